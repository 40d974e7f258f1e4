//! What members say of themselves and of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::probe::Greeting;
use super::trouble::Trouble;
use crate::clock::Timestamp;
use crate::target::etcd::Endpoint;

/// Everything that was asked and answered.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Members, those of the lists and those that answered, by name.
    pub members: Vec<Member>,
    /// Member lists by the name of the member that gave it.
    pub lists: BTreeMap<String, Vec<Listed>>,
    /// Addresses that belong to no member that is known, and why.
    pub strangers: Vec<(Endpoint, Trouble)>,
    /// Addresses that did not answer, whoever they belong to.
    pub silent: Vec<Endpoint>,
    /// When asking began and ended.
    pub window: Option<(Timestamp, Timestamp)>,
    /// What went wrong without stopping the rest, in words.
    pub problems: Vec<String>,
    /// Hashes were left out because a database is larger than the guard, in words.
    pub hash_refused: Option<String>,
    /// Whether hashes were asked for.
    pub hash_asked: bool,
    /// Whether a user logged in.
    pub user: Option<String>,
}

/// One row of a member list.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its id.
    pub id: u64,
    /// Its name; empty before its first start.
    pub name: String,
    /// Where peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty before its first start.
    pub client_urls: Vec<String>,
    /// Whether it only learns.
    pub learner: bool,
}

/// One member.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Its id, where it is known.
    pub id: Option<u64>,
    /// Its name, or its id or address where it has none.
    pub name: String,
    /// Where it was asked.
    pub endpoint: Option<Endpoint>,
    /// Its row of the list.
    pub listed: Option<Listed>,
    /// Why it did not answer.
    pub trouble: Option<Trouble>,
    /// Its answers, in order of time.
    pub samples: Vec<Sample>,
    /// Latency of linearizable reads.
    pub linearizable: Reads,
    /// Latency of serializable reads.
    pub serializable: Reads,
    /// What it showed at the door.
    pub greeting: Greeting,
    /// Hash of its keyspace.
    pub hash: Option<Result<Hash, Trouble>>,
}

/// A member's status at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// The member's own id.
    pub id: u64,
    /// The cluster's id.
    pub cluster_id: u64,
    /// The key-value store's revision.
    pub revision: i64,
    /// Release of the server.
    pub version: String,
    /// Release of the database's format (3.6+).
    pub storage_version: String,
    /// Size of the database file.
    pub db: Option<f64>,
    /// Bytes of it in use.
    pub in_use: Option<f64>,
    /// The quota (3.6.6+).
    pub quota: Option<f64>,
    /// Id of the leader it sees; 0 without one.
    pub leader: u64,
    /// Raft's term.
    pub term: u64,
    /// Last index in its log.
    pub index: u64,
    /// Last index applied.
    pub applied: u64,
    /// Whether it only learns.
    pub learner: bool,
    /// Its own complaints: no leader, alarms.
    pub errors: Vec<String>,
}

/// Reads of one kind.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// How long each took.
    pub took: Vec<Duration>,
    /// What stopped them.
    pub error: Option<Trouble>,
}

/// A hash of the keyspace up to a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The hash.
    pub hash: u32,
    /// The revision it was asked for.
    pub revision: i64,
    /// The revision of the last compaction: hashes with different ones do not compare.
    pub compacted: i64,
}

/// What speaks etcd's protocol there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// etcd.
    Etcd,
    /// kine, over a database.
    Kine,
    /// Something else that speaks a part of the protocol.
    Other,
}

impl Backend {
    /// The word used in evidence.
    pub fn word(self) -> &'static str {
        match self {
            Backend::Etcd => "etcd",
            Backend::Kine => "kine",
            Backend::Other => "other",
        }
    }
}

/// An alarm that a member tells of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// `NOSPACE`, `CORRUPT`.
    pub alarm: String,
    /// The member that raised it.
    pub member: String,
}

impl Member {
    /// The latest status.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.last()
    }

    /// Whether it answered.
    pub fn answers(&self) -> bool {
        !self.samples.is_empty()
    }

    /// Whether it does not count for the quorum.
    pub fn is_learner(&self) -> bool {
        self.last().map_or_else(
            || self.listed.as_ref().is_some_and(|listed| listed.learner),
            |last| last.learner,
        )
    }

    /// Whether it was added and never started.
    pub fn is_unstarted(&self) -> bool {
        !self.answers()
            && self
                .listed
                .as_ref()
                .is_some_and(|listed| listed.name.is_empty() && listed.client_urls.is_empty())
    }
}

impl Model {
    /// Members that answered.
    pub fn answering(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.answers())
    }

    /// Ids of the clusters that members who answered belong to: more than one where addresses of several were given.
    pub fn clusters(&self) -> BTreeSet<u64> {
        self.answering()
            .filter_map(Member::last)
            .map(|sample| sample.cluster_id)
            .collect()
    }

    /// The name of a member's id.
    pub fn name_of(&self, id: u64) -> String {
        self.members
            .iter()
            .find(|member| member.id == Some(id))
            .map_or_else(|| format!("{id:x}"), |member| member.name.clone())
    }

    /// What speaks etcd's protocol there; `None` when nobody answered.
    pub fn backend(&self) -> Option<Backend> {
        let mut answers = self.answering().peekable();
        answers.peek()?;
        // A real member has ids and a term. kine's status has an empty header
        // (k3s-io/kine pkg/server/maintenance.go).
        let real = answers.any(|member| {
            member
                .samples
                .iter()
                .any(|sample| sample.cluster_id != 0 && sample.id != 0)
        });
        if real {
            return Some(Backend::Etcd);
        }
        let kine = self.members.iter().any(|member| {
            member.name == "kine"
                || member
                    .endpoint
                    .as_ref()
                    .is_some_and(|endpoint| endpoint.address.contains("kine"))
        });
        Some(if kine { Backend::Kine } else { Backend::Other })
    }

    /// Alarms, as the members' status tells them.
    ///
    /// A status puts the alarm's protobuf text among its errors: `memberID:123 alarm:NOSPACE `
    /// (etcd server/etcdserver/api/v3rpc/maintenance.go). An alarm request would be a raft entry.
    pub fn alarms(&self) -> Vec<Alarm> {
        let mut alarms: Vec<Alarm> = self
            .answering()
            .filter_map(Member::last)
            .flat_map(|sample| &sample.errors)
            .filter_map(|error| self.alarm(error))
            .collect();
        alarms.sort();
        alarms.dedup();
        alarms
    }

    fn alarm(&self, error: &str) -> Option<Alarm> {
        let mut member = None;
        let mut alarm = None;
        // Protobuf's text has one space or two, and quotes nothing here.
        for word in error.split_whitespace() {
            match word.split_once(':') {
                Some(("memberID", id)) => member = id.parse::<u64>().ok(),
                Some(("alarm", name)) => alarm = Some(name.to_owned()),
                _ => {}
            }
        }
        Some(Alarm {
            alarm: alarm?,
            member: member.map_or_else(String::new, |id| self.name_of(id)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(name: &str, id: u64, errors: &[&str]) -> Member {
        Member {
            id: (id != 0).then_some(id),
            name: name.to_owned(),
            samples: vec![Sample {
                at: Timestamp(0),
                id,
                cluster_id: id,
                revision: 1,
                version: "3.4.23".to_owned(),
                storage_version: String::new(),
                db: None,
                in_use: None,
                quota: None,
                leader: id,
                term: 2,
                index: 5,
                applied: 5,
                learner: false,
                errors: errors.iter().map(|error| (*error).to_owned()).collect(),
            }],
            ..Member::default()
        }
    }

    #[test]
    fn alarms_are_read_from_what_members_say() {
        let model = Model {
            members: vec![
                answering(
                    "a",
                    7,
                    &["memberID:7 alarm:NOSPACE ", "etcdserver: no leader"],
                ),
                // Newer protobuf texts have two blanks; both members tell the same.
                answering(
                    "b",
                    8,
                    &["memberID:7  alarm:NOSPACE", "memberID:9 alarm:CORRUPT "],
                ),
            ],
            ..Model::default()
        };
        let alarms: Vec<(String, String)> = model
            .alarms()
            .into_iter()
            .map(|alarm| (alarm.alarm, alarm.member))
            .collect();
        let of = |alarm: &str, member: &str| (alarm.to_owned(), member.to_owned());
        assert_eq!(alarms, [of("CORRUPT", "9"), of("NOSPACE", "a")]);
    }

    #[test]
    fn etcd_kine_and_others() {
        let of = |member: Member| {
            Model {
                members: vec![member],
                ..Model::default()
            }
            .backend()
        };
        assert_eq!(of(answering("a", 7, &[])), Some(Backend::Etcd));
        assert_eq!(of(answering("kine", 0, &[])), Some(Backend::Kine));
        assert_eq!(
            of(answering("http://127.0.0.1:2379", 0, &[])),
            Some(Backend::Other)
        );
        let mut socket = answering("unix", 0, &[]);
        socket.endpoint =
            Endpoint::parse("unix:///var/lib/rancher/k3s/server/kine.sock", false).ok();
        assert_eq!(of(socket), Some(Backend::Kine));
        assert_eq!(of(Member::default()), None);
    }
}
