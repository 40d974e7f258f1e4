//! Whose slow links may be its own lateness: where all slow links meet, and which members are known
//! to be in time.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Reader, keys};
use crate::profile::Profile;

use super::facts::{MIN_SYNCS, node_of};

/// The members at which all slow links meet, by node, or by member id where no name is known. Nobody
/// where they have nothing in common.
pub(super) fn common_ends(reader: &Reader<'_>, profile: &Profile) -> BTreeSet<String> {
    slow_links(reader, profile)
        .into_iter()
        .reduce(|common, ends| common.intersection(&ends).cloned().collect())
        .unwrap_or_default()
}

/// Both ends of each link whose mean round trip is above the limit.
fn slow_links(reader: &Reader<'_>, profile: &Profile) -> Vec<BTreeSet<String>> {
    let limit = profile.get("peer-rtt-p99");
    let nodes: BTreeMap<String, String> = reader
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(subject, id)| (id, node_of(&subject)))
        .collect();
    let mut links = Vec::new();
    for (subject, table) in reader.all(&keys::PEER_RTT_BY) {
        let slow = table
            .rows
            .iter()
            .filter(|row| row.get("mean_ms").is_some_and(|mean| mean >= limit));
        links.extend(slow.map(|row| {
            let peer = nodes.get(&row.key).unwrap_or(&row.key);
            BTreeSet::from([node_of(&subject), peer.clone()])
        }));
    }
    links
}

/// Whether some slow link has both of its ends at members that are in time: no member's lateness makes
/// it slow.
pub(super) fn apart(
    reader: &Reader<'_>,
    profile: &Profile,
    in_time: &dyn Fn(&str) -> bool,
) -> bool {
    slow_links(reader, profile)
        .iter()
        .any(|ends| ends.len() == 2 && ends.iter().all(|end| in_time(end)))
}

/// Whether the slow links were looked at no more than once: etcd reports the round trip twice for
/// each peer each 30 s, and one moment in which the peer stood still lifts both.
pub(super) fn one_look(reader: &Reader<'_>, profile: &Profile) -> bool {
    let (limit, both) = (profile.get("peer-rtt-p99"), profile.get("slow-rtts"));
    let tables = reader.all(&keys::PEER_RTT_BY);
    let mut slow = tables
        .iter()
        .flat_map(|(_, table)| &table.rows)
        .filter(|row| row.get("mean_ms").is_some_and(|mean| mean >= limit))
        .peekable();
    slow.peek().is_some() && slow.all(|row| row.get("count").is_some_and(|count| count <= both))
}

/// The nodes of members whose WAL syncs come back in time: neither their disk nor a want of CPU makes
/// them late.
pub(super) fn prompt(reader: &Reader<'_>, profile: &Profile) -> BTreeSet<String> {
    let limit = profile.get("wal-fsync-p99");
    reader
        .all(&keys::WAL_FSYNC)
        .into_iter()
        .filter(|(_, syncs)| syncs.count() >= MIN_SYNCS)
        .filter(|(_, syncs)| syncs.bracket(0.99).is_some_and(|(low, _)| low < limit))
        .map(|(subject, _)| node_of(&subject))
        .collect()
}
