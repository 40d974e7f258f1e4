//! How many members the cluster has, and whether that is surely all of them.
//!
//! `--initial-cluster` alone counts nothing: the first node of kubeadm, k3s and RKE2 names itself and
//! nobody else, however many join later, and etcd does not look at the flag once it has data.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Collector, EvidenceSet, Reader, keys};

use super::facts::node_of;
use super::measured::is_etcd;

/// Kinds of messages that only a member with peers writes.
const PEERS: &[&str] = &[
    "clock-drift",
    "heartbeat-late",
    "leader-changed",
    "peer-active",
    "peer-dial-failed",
    "peer-inactive",
    "peer-unhealthy",
    "peer-unreachable",
    "quorum-lost",
    "raft-message-dropped",
    "stream-closed",
    "stream-lost",
];

/// How many members there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// At least so many; 0 where nothing tells.
    pub least: usize,
    /// Members themselves told of all of them.
    pub all: bool,
}

impl Members {
    /// Counts them by all that tells.
    pub fn of(evidence: &EvidenceSet) -> Self {
        let reader = Reader::new(evidence);
        let listed = listed(&reader);
        let peers = by_peers(&reader);
        let least = [
            listed,
            peers,
            Some(named(&reader)),
            Some(nodes(evidence)),
            Some(servers(&reader)),
            tells_of_a_peer(&reader).then_some(2),
        ];
        let least = least.into_iter().flatten().max().unwrap_or(0);
        Members {
            least,
            all: listed.or(peers) == Some(least)
                || (least == 1 && listed.is_none() && has_no_peer(&reader)),
        }
    }

    /// There is surely only one member, so that no peer can be slow.
    pub fn is_single(self) -> bool {
        self.all && self.least == 1
    }
}

/// What etcd answers to `member list`.
fn listed(reader: &Reader<'_>) -> Option<usize> {
    let lists = reader.all(&keys::ETCD_LISTS);
    let rows = lists.iter().flat_map(|(_, table)| &table.rows);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of members, and `as` saturates"
    )]
    rows.filter_map(|row| row.get("members"))
        .map(|count| count as usize)
        .max()
        .filter(|count| *count > 0)
}

/// The peers that a member probes, and itself.
fn by_peers(reader: &Reader<'_>) -> Option<usize> {
    let all = reader.all(&keys::PEER_RTT_BY);
    all.iter()
        .map(|(_, table)| table.rows.len())
        .max()
        .filter(|peers| *peers > 0)
        .map(|peers| peers + 1)
}

/// What `--initial-cluster` names.
fn named(reader: &Reader<'_>) -> usize {
    let all = reader.all(&keys::SETTINGS);
    all.iter()
        .filter_map(|(_, table)| table.row("initial-cluster")?.get_text("value"))
        .map(|value| {
            let pairs = value.split(',').filter(|pair| !pair.trim().is_empty());
            pairs.count()
        })
        .max()
        .unwrap_or(0)
}

/// Nodes with etcd, as the source that knows most of them tells.
pub(super) fn nodes(evidence: &EvidenceSet) -> usize {
    let mut by: BTreeMap<Collector, BTreeSet<String>> = BTreeMap::new();
    for record in evidence.records() {
        let node = node_of(&record.subject);
        if is_etcd(&record.subject) && !node.is_empty() {
            by.entry(record.origin.collector).or_default().insert(node);
        }
    }
    by.values().map(BTreeSet::len).max().unwrap_or(0)
}

/// What kube-apiserver is told: the most servers of one, or the nodes where each asks the etcd beside
/// it.
fn servers(reader: &Reader<'_>) -> usize {
    let mut most = 0;
    let mut beside: BTreeSet<String> = BTreeSet::new();
    for (subject, table) in reader.all(&keys::SETTINGS) {
        let row = table.row("etcd-servers");
        let Some(value) = row.and_then(|row| row.get_text("value")) else {
            continue;
        };
        let hosts: BTreeSet<String> = value.split(',').filter_map(host_of).collect();
        let (own, far): (Vec<String>, Vec<String>) =
            hosts.into_iter().partition(|host| is_loopback(host));
        most = most.max(far.len());
        if far.is_empty() && !own.is_empty() {
            beside.insert(node_of(&subject));
        }
    }
    most.max(beside.len())
}

/// Whether an address is only reachable from its own host.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

/// The host of `https://10.0.0.1:2379` or `name=https://10.0.0.1:2380`, with its brackets when
/// it is an IPv6 address.
pub fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.trim().split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    (!host.is_empty() && !url.trim().starts_with("unix")).then(|| host.to_owned())
}

/// Whether the log of some member speaks of a peer, were it only at a start.
fn tells_of_a_peer(reader: &Reader<'_>) -> bool {
    let events = reader.all(&keys::LOGS_EVENTS);
    let mut rows = events.iter().flat_map(|(_, table)| &table.rows);
    let logged =
        rows.any(|row| PEERS.contains(&row.key.as_str()) && row.get("count").unwrap_or(1.0) > 0.0);
    logged || sends_failed(reader)
}

/// Whether messages to a peer failed that never answered a probe, so that it has no round trips.
fn sends_failed(reader: &Reader<'_>) -> bool {
    let counters = reader.all(&keys::SERVER_COUNTERS);
    let mut failed = counters
        .iter()
        .filter_map(|(_, table)| table.row("peer-send-failures")?.get("count"));
    failed.any(|count| count > 0.0)
}

/// Whether members that write to their WAL probe no peer at all. Without peers `--initial-cluster`
/// has to name one member too: metrics may have been filtered on their way.
fn has_no_peer(reader: &Reader<'_>) -> bool {
    let writes = reader.all(&keys::WAL_FSYNC);
    named(reader) == 1
        && writes.iter().any(|(_, syncs)| syncs.count() > 0.0)
        && reader.all(&keys::PEER_RTT).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Subject, SubjectKind, Table};
    use crate::rules::testing::{Set, component, histogram, member, table};

    fn says(set: Set, about: Subject, setting: &str, value: &str) -> Set {
        let table = Table {
            rows: vec![
                Row::new(setting)
                    .text("value", value)
                    .text("source", "flag"),
            ],
            ..Table::default()
        };
        set.put(&keys::SETTINGS, about, table)
    }

    /// The manifest of a first node, which is that of a single one too.
    fn first() -> Set {
        says(
            Set::new(),
            component("etcd"),
            "initial-cluster",
            "a=https://10.0.0.1:2380",
        )
    }

    fn writes(set: Set) -> Set {
        set.put(&keys::WAL_FSYNC, member(), histogram(&[(1.0, 9.0)]))
    }

    fn count(set: &Set) -> (usize, bool) {
        let found = Members::of(&set.0);
        (found.least, found.all)
    }

    #[test]
    fn the_flag_of_a_first_node_counts_nobody() {
        assert_eq!(count(&Set::new()), (0, false));
        assert_eq!(count(&first()), (1, false));
        // Its metrics know no peer.
        assert_eq!(count(&writes(first())), (1, true));
        assert!(Members::of(&writes(first()).0).is_single());
        // They alone may have lost what they had of peers.
        assert_eq!(count(&writes(Set::new())), (1, false));
        for kind in PEERS {
            let log = table(&[(kind, &[("count", 1.0), ("settling", 1.0)])]);
            let told = writes(first()).put(&keys::LOGS_EVENTS, member(), log);
            assert_eq!(count(&told), (2, false), "{kind}");
        }
        let failed = table(&[("peer-send-failures", &[("count", 3.0)])]);
        let failed = writes(first()).put(&keys::SERVER_COUNTERS, member(), failed);
        assert_eq!(count(&failed), (2, false));
        let peers = table(&[("x", &[("count", 9.0)]), ("y", &[("count", 9.0)])]);
        let probed = writes(first()).put(&keys::PEER_RTT_BY, member(), peers);
        assert_eq!(count(&probed), (3, true));
    }

    #[test]
    fn a_member_list_counts_all() {
        let list = |n: f64| {
            let list = table(&[("a", &[("members", n)])]);
            first().put(&keys::ETCD_LISTS, Subject::cluster(), list)
        };
        assert_eq!(count(&list(1.0)), (1, true));
        assert_eq!(count(&list(3.0)), (3, true));
        // Something else knows more of them.
        let beside = Subject::new(SubjectKind::Component, "etcd").on("b");
        let two = says(list(1.0), beside, "name", "b");
        assert_eq!(count(&two), (2, false));
    }

    #[test]
    fn what_apiservers_are_told_counts_at_least() {
        let api = |node: &str| Subject::new(SubjectKind::Component, "kube-apiserver").on(node);
        let own = "https://127.0.0.1:2379";
        let one = says(writes(first()), api("a"), "etcd-servers", own);
        assert_eq!(count(&one), (1, true));
        let two = says(one, api("b"), "etcd-servers", own);
        assert_eq!(count(&two), (2, false));
        let far = "https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379";
        let three = says(writes(first()), api("a"), "etcd-servers", far);
        assert_eq!(count(&three), (3, false));
        let kine = says(
            writes(first()),
            api("a"),
            "etcd-servers",
            "unix:///kine.sock",
        );
        assert_eq!(count(&kine), (1, true));
    }

    #[test]
    fn hosts_of_every_form() {
        for (url, host) in [
            ("https://10.0.0.1:2379", Some("10.0.0.1")),
            ("cp0=https://10.0.0.1:2380", Some("10.0.0.1")),
            (
                "https://etcd-a.example.com:2379/",
                Some("etcd-a.example.com"),
            ),
            ("https://[fd00::1]:2379", Some("[fd00::1]")),
            ("unix:///var/lib/rancher/kine.sock", None),
            ("", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
