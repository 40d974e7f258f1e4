//! Who complains of whose links, and whether both ends of one do: a member that is gone or does not
//! run says nothing, two that say it of each other are there, and what lies between them is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::evidence::{Reader, SubjectKind, keys};

use super::facts::node_of;

/// Lines of two members that are so close together are of one time: their clocks differ, and what
/// one notes at once the other notes when a read times out.
const EDGE_US: i64 = 5_000_000;

/// Kinds of messages of one end of a link.
const KINDS: &[&str] = &[
    "peer-inactive",
    "peer-unhealthy",
    "raft-message-dropped",
    "stream-lost",
];

/// What one member says of its links for some time.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    /// The node of the member that says it.
    pub(super) of: String,
    /// The node of the peer, where the lines name one that is known.
    about: Option<String>,
    /// The other end hung up or refused, so that the way to it is there.
    pub(super) gone: bool,
    from: Timestamp,
    to: Timestamp,
}

/// All of them, without those that a stop or a start brings along.
pub(super) fn complaints(reader: &Reader<'_>) -> Vec<Complaint> {
    let ids: BTreeMap<String, String> = reader
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(subject, id)| (id, node_of(&subject)))
        .collect();
    let mut all = Vec::new();
    for (subject, list) in reader.all(&keys::LOGS_EPISODES) {
        if subject.kind != SubjectKind::Member {
            continue;
        }
        for episode in &list.episodes {
            if episode.planned || !KINDS.contains(&episode.kind.as_str()) {
                continue;
            }
            let (peer, error) = parts(&episode.detail);
            all.push(Complaint {
                of: node_of(&subject),
                about: peer.and_then(|peer| ids.get(peer)).cloned(),
                gone: hung_up(error),
                from: episode.from,
                to: episode.to,
            });
        }
    }
    all
}

/// The peer that an episode is about, and its error: `peer ID: ERROR`, `peer ID` or `ERROR`.
fn parts(detail: &str) -> (Option<&str>, &str) {
    match detail.strip_prefix("peer ") {
        Some(rest) => {
            let (peer, error) = rest.split_once(": ").unwrap_or((rest, ""));
            (Some(peer), error)
        }
        None => (None, detail),
    }
}

/// Whether the other end refused or hung up: `EOF`, `failed to dial ID on stream MsgApp v2 (EOF)`.
fn hung_up(error: &str) -> bool {
    let why = error.trim_end_matches(')').rsplit(['(', ':']).next();
    why.is_some_and(|why| why.trim() == "EOF") || error.contains("connection refused")
}

/// Whether two of these members complain of each other at one time, or all `members` of the cluster
/// do at once.
pub(super) fn both_ends(all: &[Complaint], of: &BTreeSet<String>, members: usize) -> bool {
    let heard: Vec<&Complaint> = all.iter().filter(|c| of.contains(&c.of)).collect();
    let at_once = |a: &Complaint, b: &Complaint| {
        a.from.since_us(b.to) <= EDGE_US && b.from.since_us(a.to) <= EDGE_US
    };
    heard.iter().any(|one| {
        let others: Vec<&&Complaint> = heard
            .iter()
            .filter(|other| other.of != one.of && at_once(one, other))
            .collect();
        let mutual = others.iter().any(|other| {
            one.about.as_ref() == Some(&other.of) && other.about.as_ref() == Some(&one.of)
        });
        let mut speakers: BTreeSet<&str> = others.iter().map(|c| c.of.as_str()).collect();
        speakers.insert(&one.of);
        mutual || members >= 2 && speakers.len() >= members
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Episode, Subject};
    use crate::rules::testing::{Set, episode, episodes};

    fn says(of: &str, about: Option<&str>, from: i64, to: i64) -> Complaint {
        Complaint {
            of: of.to_owned(),
            about: about.map(str::to_owned),
            gone: false,
            from: Timestamp::from_secs(from),
            to: Timestamp::from_secs(to),
        }
    }

    fn both(all: &[Complaint], members: usize) -> bool {
        let of = all.iter().map(|c| c.of.clone()).collect();
        both_ends(all, &of, members)
    }

    #[test]
    fn a_link_has_two_ends_and_a_dead_member_says_nothing() {
        // Cut off: the third one complains of them as they do of it.
        let cut = [
            says("cp0", Some("cp2"), 60, 115),
            says("cp1", Some("cp2"), 60, 115),
            says("cp2", Some("cp0"), 60, 115),
        ];
        assert!(both(&cut, 3));
        // Dead.
        assert!(!both(&cut[..2], 3));
        // Names of peers that are not known: all say it at once.
        let unnamed = ["cp0", "cp1", "cp2"].map(|of| says(of, None, 60, 115));
        assert!(both(&unnamed, 3));
        assert!(!both(&unnamed, 4));
        // Of two of three members' logs nobody knows whether the third one speaks.
        assert!(!both(&unnamed[..2], 3));
        // At different times.
        let apart = [
            says("cp0", Some("cp2"), 60, 70),
            says("cp2", Some("cp0"), 90, 95),
        ];
        assert!(!both(&apart, 3));
        assert!(!both(&apart[..1], 1));
    }
    /// As zap's lines have it: the id of the peer, and what went wrong.
    #[test]
    fn the_peer_is_known_by_its_id_whatever_the_error_says() {
        let said = |node: &str, detail: &str| {
            let found = Episode {
                detail: detail.to_owned(),
                ..episode("peer-inactive", 60, 115)
            };
            let of = Subject::new(SubjectKind::Member, node);
            let id = format!("8211f1d0f64f{node}");
            Set::new()
                .put(&keys::LOGS_EPISODES, of.clone(), episodes(vec![found]))
                .put(&keys::MEMBER_ID, of, id)
                .0
        };
        let heard = |one: &str, other: &str| {
            let mut set = said("0001", one);
            set.merge(said("0002", other));
            complaints(&Reader::new(&set))
        };
        let timeout = |id: &str| {
            format!(
                "peer {id}: failed to heartbeat {id} on stream MsgApp v2 (write tcp: i/o timeout)"
            )
        };
        let (one, other) = (timeout("8211f1d0f64f0002"), timeout("8211f1d0f64f0001"));
        let cut = heard(&one, &other);
        assert!(both(&cut, 3));
        assert!(cut.iter().all(|complaint| !complaint.gone));
        // Both of a third one.
        let third = timeout("8211f1d0f64f0003");
        assert!(!both(&heard(&third, &third), 3));
        for gone in [
            "EOF",
            "peer 8211f1d0f64f0002: EOF",
            "peer 8211f1d0f64f0002: failed to dial 8211f1d0f64f0002 on stream MsgApp v2 (EOF)",
            "peer 8211f1d0f64f0002: dial tcp 10.0.0.1:2380: connect: connection refused",
        ] {
            assert!(heard(gone, "")[0].gone, "{gone}");
        }
    }
}
