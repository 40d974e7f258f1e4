//! What the evidence does not look at: members of the cluster, and the time after one scrape.

use std::collections::BTreeSet;

use crate::evidence::{
    Collector, Completeness, EvidenceSet, Histogram, Key, Reader, Reading, Record, keys,
};

use super::facts::node_of;
use super::measured::is_etcd;
use super::members::Members;

/// Whose logs, metrics and host facts are lacking, in words: `logs, metrics and host facts of cp2`.
pub(super) fn members(
    reader: &Reader<'_>,
    count: Members,
    evidence: &EvidenceSet,
) -> Option<String> {
    let (count, all) = (count.least, count.all);
    // A setting or a manifest tells of a member without looking at it.
    let looked = [Collector::Logs, Collector::Metrics, Collector::Host];
    let seen: BTreeSet<String> = evidence
        .records()
        .filter(|record| {
            looked.contains(&record.origin.collector)
                && matches!(record.value, Reading::Known(_))
                && is_etcd(&record.subject)
        })
        .map(|record| node_of(&record.subject))
        .filter(|node| !node.is_empty())
        .collect();
    if seen.is_empty() || seen.len() >= count {
        return None;
    }
    let named: BTreeSet<String> = reader
        .all(&keys::SETTINGS)
        .iter()
        .filter_map(|(_, table)| {
            table
                .row("initial-cluster")?
                .get_text("value")
                .map(str::to_owned)
        })
        .flat_map(|value| {
            let names = value.split(',').filter_map(|pair| pair.split_once('='));
            names
                .map(|(name, _)| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let absent: Vec<String> = named.difference(&seen).cloned().collect();
    // Names that do not fit what was seen are those of another source.
    let whose = match absent.len() == count - seen.len() {
        true => absent.join(", "),
        // A log that speaks of a peer does not tell how many there are.
        false if count == 2 && !all => "the other members".to_owned(),
        false => format!("{} of {count} members", count - seen.len()),
    };
    Some(format!("logs, metrics and host facts of {whose}"))
}

/// Programs whose metrics all come from one scrape: what was counted since their start.
pub(super) fn second_scrapes(reader: &Reader<'_>) -> Vec<String> {
    let once = |key: &Key<Histogram>| {
        let all = reader.all(key);
        let since_start = |record: &Record| record.origin.completeness == Completeness::Estimate;
        !all.is_empty()
            && all
                .iter()
                .all(|(subject, _)| reader.record(key, subject).is_some_and(since_start))
    };
    [
        (&keys::WAL_FSYNC, "etcd"),
        (&keys::APISERVER_ETCD_TOOK, "kube-apiserver"),
    ]
    .into_iter()
    .filter(|(key, _)| once(key))
    .map(|(_, name)| format!("second scrape of the metrics of {name}"))
    .collect()
}
