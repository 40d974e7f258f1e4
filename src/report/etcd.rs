//! An overview of a live etcd: its members side by side, alarms, rights, certificates.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::evidence::{EvidenceSet, Reader, Reading, Subject, SubjectKind, Table, keys};

/// What `check etcd` shows before its findings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EtcdOverview {
    /// `etcd`, `kine`, `other`; `None` when nobody answered.
    pub backend: Option<String>,
    /// Members by name.
    pub members: Vec<MemberLine>,
    /// Whom the members that answered follow; `None` when none of them has a leader.
    pub leader: Option<LeaderLine>,
    /// Alarms that are raised.
    pub alarms: Vec<AlarmLine>,
    /// What the rights at hand let see.
    pub rights: Vec<RightLine>,
    /// Whether the hashes of the members were compared, and what came of it.
    pub hashes: HashLine,
    /// Certificates seen.
    pub certificates: Vec<CertificateLine>,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemberLine {
    /// Its name.
    pub name: String,
    /// Its id in hexadecimal.
    pub id: Option<String>,
    /// Where it was asked.
    pub endpoint: Option<String>,
    /// `answers`, `silent`, `refuses`, `unstarted`, `not-asked`.
    pub state: String,
    /// Why it did not answer.
    pub why: Option<String>,
    /// `leader`, `follower`, `learner`, `no-leader`.
    pub role: Option<&'static str>,
    /// Release of the server.
    pub version: Option<String>,
    /// Raft's term.
    pub term: Option<f64>,
    /// Last index in its log.
    pub index: Option<f64>,
    /// Last index applied.
    pub applied: Option<f64>,
    /// Entries behind the longest log.
    pub behind: Option<f64>,
    /// Entries not applied.
    pub unapplied: Option<f64>,
    /// Revision of the key-value store.
    pub revision: Option<f64>,
    /// Size of the database file.
    pub db_bytes: Option<f64>,
    /// Bytes of it in use.
    pub in_use_bytes: Option<f64>,
    /// The quota in force; negative for none.
    pub quota_bytes: Option<f64>,
    /// Where the quota was read.
    pub quota_from: Option<String>,
    /// Median of reads of its own data.
    pub serializable_ms: Option<f64>,
    /// Median of reads that the leader confirms.
    pub linearizable_ms: Option<f64>,
    /// Mean WAL fsync over the window, by its metrics.
    pub wal_fsync_ms: Option<f64>,
    /// Mean round trip to its peers, by its metrics.
    pub peer_rtt_ms: Option<f64>,
}

/// The leader, as the members tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LeaderLine {
    /// Its name, where the list of members has one.
    pub name: Option<String>,
    /// Its id in hexadecimal.
    pub id: String,
    /// In which term.
    pub term: Option<f64>,
    /// How it was met itself, as the state of a member; `None` where the list has no such member.
    pub state: Option<String>,
}

/// One alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlarmLine {
    /// `NOSPACE`, `CORRUPT`.
    pub alarm: String,
    /// Who raised it.
    pub member: String,
}

/// One thing that may or may not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RightLine {
    /// What.
    pub what: String,
    /// `seen`, `denied`, `not-seen`, `not-asked`.
    pub state: String,
    /// Why.
    pub why: Option<String>,
    /// What it needs.
    pub needs: Option<String>,
}

/// What came of comparing hashes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HashLine {
    /// `not-asked`, `not-compared`, `agree`, `differ`.
    pub state: &'static str,
    /// The revision.
    pub revision: Option<f64>,
    /// Members that were compared.
    pub members: Vec<String>,
    /// Why not.
    pub why: Option<String>,
}

/// One certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CertificateLine {
    /// `client`, or `server MEMBER`.
    pub whose: String,
    /// Its common name.
    pub subject: String,
    /// Until when it holds.
    pub until: String,
    /// Days left; negative when it has expired.
    pub days_left: f64,
}

impl EtcdOverview {
    /// The overview that evidence gives; `None` when no etcd was asked.
    pub fn of(evidence: &EvidenceSet) -> Option<Self> {
        let reader = Reader::new(evidence);
        let cluster = Subject::cluster();
        let table = |key| reader.peek::<Table>(key, &cluster);
        let members = table(&keys::ETCD_MEMBERS)?;
        let lag = table(&keys::ETCD_LAG).unwrap_or_default();
        let lines: Vec<MemberLine> = members
            .rows
            .iter()
            .map(|row| {
                let text = |column: &str| row.get_text(column).map(str::to_owned);
                let mut line = MemberLine {
                    name: row.key.clone(),
                    id: text("id"),
                    endpoint: text("endpoint"),
                    state: text("state").unwrap_or_default(),
                    why: text("why"),
                    behind: lag.row(&row.key).and_then(|row| row.get("behind")),
                    unapplied: lag.row(&row.key).and_then(|row| row.get("unapplied")),
                    ..MemberLine::default()
                };
                fill(&mut line, &reader, row.get("learner") == Some(1.0));
                line
            })
            .collect();
        let alarms = table(&keys::ETCD_ALARMS).unwrap_or_default();
        let rights = table(&keys::ETCD_RIGHTS).unwrap_or_default();
        let certificates = table(&keys::ETCD_CERTIFICATES).unwrap_or_default();
        Some(EtcdOverview {
            backend: reader.peek(&keys::ETCD_BACKEND, &cluster),
            leader: leader(&reader, &lines),
            members: lines,
            alarms: alarms
                .rows
                .iter()
                .map(|row| AlarmLine {
                    alarm: row.get_text("alarm").unwrap_or_default().to_owned(),
                    member: row.get_text("member").unwrap_or_default().to_owned(),
                })
                .collect(),
            rights: rights
                .rows
                .iter()
                .map(|row| RightLine {
                    what: row.key.clone(),
                    state: row.get_text("state").unwrap_or_default().to_owned(),
                    why: row.get_text("why").map(str::to_owned),
                    needs: row.get_text("needs").map(str::to_owned),
                })
                .collect(),
            hashes: hashes(evidence),
            certificates: certificates
                .rows
                .iter()
                .map(|row| CertificateLine {
                    whose: row.key.clone(),
                    subject: row.get_text("subject").unwrap_or_default().to_owned(),
                    until: row.get_text("until").unwrap_or_default().to_owned(),
                    days_left: row.get("days_left").unwrap_or_default(),
                })
                .collect(),
        })
    }
}

/// The leader that the members of the newest term name; of several the one of the most members. A
/// learner calls no election and believes in a dead leader for ever, so it is asked only where no
/// voter answers.
fn leader(reader: &Reader<'_>, members: &[MemberLine]) -> Option<LeaderLine> {
    let told = |of_learners: bool| -> Vec<(f64, Option<String>)> {
        let asked = members
            .iter()
            .filter(|one| (one.role == Some("learner")) == of_learners);
        asked
            .filter_map(|member| {
                let subject = Subject::new(SubjectKind::Member, &member.name);
                let status = reader.peek(&keys::ETCD_STATUS, &subject)?;
                let row = status.row("status")?;
                Some((row.get("term")?, row.get_text("leader").map(str::to_owned)))
            })
            .collect()
    };
    let voters = told(false);
    let told = if voters.is_empty() {
        told(true)
    } else {
        voters
    };
    let newest = told.iter().map(|(term, _)| *term).max_by(f64::total_cmp)?;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (term, leader) in told {
        if let Some(id) = leader.filter(|_| term.total_cmp(&newest).is_eq()) {
            *seen.entry(id).or_default() += 1;
        }
    }
    let (id, _) = seen.into_iter().max_by_key(|(_, count)| *count)?;
    let own = members
        .iter()
        .find(|member| member.id.as_deref() == Some(&*id));
    Some(LeaderLine {
        name: own.map(|member| member.name.clone()),
        state: own.map(|member| member.state.clone()),
        id,
        term: Some(newest),
    })
}

fn fill(line: &mut MemberLine, reader: &Reader<'_>, learner: bool) {
    let subject = Subject::new(SubjectKind::Member, &line.name);
    let Some(status) = reader.peek(&keys::ETCD_STATUS, &subject) else {
        return;
    };
    let Some(row) = status.row("status") else {
        return;
    };
    line.version = row.get_text("version").map(str::to_owned);
    line.role = Some(if row.get_text("leader").is_none() {
        "no-leader"
    } else if row.get("leads") == Some(1.0) {
        "leader"
    } else if learner {
        "learner"
    } else {
        "follower"
    });
    line.term = row.get("term");
    line.index = row.get("index");
    line.applied = row.get("applied");
    line.revision = row.get("revision");
    line.db_bytes = row.get("db_bytes");
    line.in_use_bytes = row.get("in_use_bytes");
    line.quota_bytes = reader.peek(&keys::DB_QUOTA, &subject);
    line.quota_from = reader
        .record(&keys::DB_QUOTA, &subject)
        .filter(|_| line.quota_bytes.is_some())
        .map(|record| record.origin.source.clone());
    if let Some(reads) = reader.peek(&keys::ETCD_READS, &subject) {
        let median = |kind: &str| reads.row(kind)?.get("p50_ms");
        line.serializable_ms = median("serializable");
        line.linearizable_ms = median("linearizable");
    }
    let mean = |key| {
        reader
            .peek::<crate::evidence::Histogram>(key, &subject)?
            .mean()
    };
    line.wal_fsync_ms = mean(&keys::WAL_FSYNC);
    line.peer_rtt_ms = match reader.peek(&keys::PEER_RTT_BY, &subject) {
        Some(peers) => answered(&peers),
        None => mean(&keys::PEER_RTT),
    };
}

/// The mean round trip to the peers that answered: of the others etcd notes a time of zero.
fn answered(peers: &Table) -> Option<f64> {
    let (mut sum, mut all) = (0.0, 0.0);
    for row in &peers.rows {
        if let (Some(count), Some(mean)) = (row.get("count"), row.get("mean_ms"))
            && mean > 0.0
        {
            sum += count * mean;
            all += count;
        }
    }
    (all > 0.0).then(|| sum / all)
}

fn hashes(evidence: &EvidenceSet) -> HashLine {
    let mut line = HashLine {
        state: "not-asked",
        ..HashLine::default()
    };
    let Some(record) = evidence.record(&keys::ETCD_HASHES, &Subject::cluster()) else {
        return line;
    };
    let table = match &record.value {
        Reading::Known(crate::evidence::Shape::Table(table)) => table,
        Reading::Known(_) => return line,
        Reading::Missing(why) => {
            line.state = "not-compared";
            line.why = Some(why.to_string());
            return line;
        }
    };
    let known: Vec<_> = table
        .rows
        .iter()
        .filter_map(|row| Some((row, row.get("hash")?, row.get("compacted")?)))
        .collect();
    line.members = known.iter().map(|(row, _, _)| row.key.clone()).collect();
    line.revision = known.first().and_then(|(row, _, _)| row.get("revision"));
    line.why = table
        .rows
        .iter()
        .find_map(|row| Some(format!("{}: {}", row.key, row.get_text("error")?)))
        .or_else(|| {
            let alone = table.rows.len() < 2;
            alone.then(|| "there is only one member, and nothing to compare with".to_owned())
        });
    let (mut compared, mut differ) = (false, false);
    for (at, (row, hash, compacted)) in known.iter().enumerate() {
        for (beside, other, others) in known.iter().skip(at + 1) {
            // Hashes of different revisions, or with different compactions behind them, tell nothing.
            let same = compacted.total_cmp(others).is_eq()
                && row.get("revision") == beside.get("revision");
            compared |= same;
            differ |= same && hash.total_cmp(other).is_ne();
        }
    }
    line.state = match (differ, compared) {
        (true, _) => "differ",
        (false, true) => "agree",
        (false, false) => "not-compared",
    };
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Missing, Origin, Row, Window};

    fn put(set: &mut EvidenceSet, rows: Vec<Row>) {
        set.put(
            &keys::ETCD_HASHES,
            Subject::cluster(),
            Window::default(),
            Origin::new(Collector::Etcd, "test"),
            Table {
                rows,
                ..Table::default()
            },
        );
    }

    fn row(name: &str, hash: f64, compacted: f64) -> Row {
        Row::new(name)
            .num("hash", hash)
            .num("revision", 9.0)
            .num("compacted", compacted)
    }

    #[test]
    fn a_peer_that_never_answered_has_no_round_trip() {
        let row = |peer: &str, mean: f64, count: f64| {
            Row::new(peer).num("count", count).num("mean_ms", mean)
        };
        let mean = |rows: Vec<Row>| {
            answered(&Table {
                rows,
                ..Table::default()
            })
        };
        assert_eq!(mean(vec![row("a", 0.0, 9.0)]), None);
        assert_eq!(
            mean(vec![row("a", 0.0, 9.0), row("b", 2.0, 3.0)]),
            Some(2.0)
        );
        assert_eq!(
            mean(vec![row("a", 1.0, 1.0), row("b", 2.0, 3.0)]),
            Some(1.75)
        );
    }

    #[test]
    fn hashes_in_words() {
        let state = |rows: Vec<Row>| {
            let mut set = EvidenceSet::new();
            put(&mut set, rows);
            hashes(&set).state
        };
        assert_eq!(hashes(&EvidenceSet::new()).state, "not-asked");
        assert_eq!(state(vec![row("a", 1.0, 5.0), row("b", 1.0, 5.0)]), "agree");
        assert_eq!(
            state(vec![row("a", 1.0, 5.0), row("b", 2.0, 5.0)]),
            "differ"
        );
        assert_eq!(
            state(vec![row("a", 1.0, 5.0), row("b", 2.0, 6.0)]),
            "not-compared"
        );
        let later = row("b", 2.0, 5.0).num("revision", 10.0);
        assert_eq!(state(vec![row("a", 1.0, 5.0), later]), "not-compared");
        assert_eq!(state(vec![row("a", 1.0, 5.0)]), "not-compared");
        let mut one = EvidenceSet::new();
        put(&mut one, vec![row("a", 1.0, 5.0)]);
        let why = hashes(&one).why.unwrap();
        assert!(why.starts_with("there is only one member"), "{why}");
        let mut set = EvidenceSet::new();
        set.put_missing(
            &keys::ETCD_HASHES,
            Subject::cluster(),
            Origin::new(Collector::Etcd, "test"),
            Missing::NotEnough {
                why: "too large".to_owned(),
            },
        );
        assert_eq!(hashes(&set).why.as_deref(), Some("too large"));
    }
}
