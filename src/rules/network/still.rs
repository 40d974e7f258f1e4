//! Members that stood still for a moment: their peers' probes came back late, their own in time. A way
//! that is slow is slow for both of its ends, and a clock that stands still counts nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Reader, Subject, keys};
use crate::profile::Profile;

/// Links that are slow one way only.
#[derive(Clone, Debug, Default)]
pub(crate) struct OneWay {
    /// The members that answered late, with the mean of their own round trips.
    pub(crate) still: BTreeMap<String, f64>,
    /// Members all of whose slow links lead to one of those.
    explained: BTreeSet<String>,
}

impl OneWay {
    /// Whether what a member measured tells of its peers and not of the way to them.
    pub(crate) fn explains(&self, member: &Subject) -> bool {
        self.explained.contains(&member.name)
    }

    /// The members that answered late, in words.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.still.keys().map(String::as_str).collect();
        names.join(", ")
    }
}

/// What the round trips of all links tell.
pub(crate) fn links(reader: &Reader<'_>, profile: &Profile) -> OneWay {
    let limit = profile.get("peer-rtt-p99");
    let names: BTreeMap<String, String> = reader
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(member, id)| (id, member.name))
        .collect();
    let mut means: BTreeMap<(String, String), f64> = BTreeMap::new();
    for (member, peers) in reader.all(&keys::PEER_RTT_BY) {
        for row in &peers.rows {
            if let (Some(peer), Some(mean)) = (names.get(&row.key), row.get("mean_ms"))
                && row.get("count").is_some_and(|count| count > 0.0)
            {
                means.insert((member.name.clone(), peer.clone()), mean);
            }
        }
    }
    let slow: Vec<&(String, String)> = means
        .iter()
        .filter(|(_, mean)| **mean >= limit)
        .map(|(link, _)| link)
        .collect();
    let mut found = OneWay::default();
    for (from, to) in &slow {
        let back = means.get(&((*to).clone(), (*from).clone()));
        if let Some(back) = back.filter(|back| **back < limit) {
            found.still.insert(to.clone(), *back);
        }
    }
    for (from, _) in &slow {
        let own = slow.iter().filter(|(of, _)| of == from);
        if own.clone().all(|(_, to)| found.still.contains_key(to)) {
            found.explained.insert(from.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::SubjectKind;
    use crate::rules::testing::{Set, table};

    /// Members a, b and c with the mean round trip of each link, in milliseconds.
    pub(crate) fn with(links: &[(&str, &str, f64)]) -> Set {
        let of = |name: &str| Subject::new(SubjectKind::Member, name);
        ["a", "b", "c"].into_iter().fold(Set::new(), |set, name| {
            let cells: Vec<(&str, [(&str, f64); 2])> = links
                .iter()
                .filter(|(from, ..)| *from == name)
                .map(|(_, to, mean)| (*to, [("count", 2.0), ("mean_ms", *mean)]))
                .collect();
            let rows: Vec<(&str, &[(&str, f64)])> = cells
                .iter()
                .map(|(to, row)| (*to, row.as_slice()))
                .collect();
            set.put(&keys::MEMBER_ID, of(name), name.to_owned()).put(
                &keys::PEER_RTT_BY,
                of(name),
                table(&rows),
            )
        })
    }

    #[test]
    fn only_links_that_are_slow_one_way_tell_of_a_member() {
        let explained = |set: Set| {
            let found = links(&Reader::new(&set.0), &Profile::default());
            let of = |name: &str| found.explains(&Subject::new(SubjectKind::Member, name));
            (found.names(), of("b"), of("c"))
        };
        let ways = |back: f64, between: f64| {
            with(&[
                ("a", "b", back),
                ("a", "c", back),
                ("b", "a", 440.0),
                ("b", "c", between),
                ("c", "a", 440.0),
                ("c", "b", 0.5),
            ])
        };
        assert_eq!(explained(ways(0.5, 0.5)), ("a".to_owned(), true, true));
        // Slow both ways: the way itself.
        assert_eq!(explained(ways(440.0, 0.5)), (String::new(), false, false));
        // Another slow link of its own, and c stood still as well.
        assert_eq!(explained(ways(0.5, 300.0)), ("a, c".to_owned(), true, true));
    }
}
