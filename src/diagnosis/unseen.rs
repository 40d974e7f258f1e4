//! What the evidence does not look at: members of the cluster, and the time after one scrape.

use std::collections::BTreeSet;

use crate::evidence::{
    Collector, Completeness, EvidenceSet, Histogram, Key, Reader, Reading, Record, Subject, keys,
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

/// What one member gave and another one did not, in words: `metrics of cp2`. A member of which there is
/// something was not looked at for that.
pub(super) fn parts(reader: &Reader<'_>, count: usize, evidence: &EvidenceSet) -> Vec<String> {
    let of = |wanted: Collector, about: fn(&Subject) -> bool| -> BTreeSet<String> {
        let known = evidence.records().filter(|record| {
            record.origin.collector == wanted
                && matches!(record.value, Reading::Known(_))
                && about(&record.subject)
        });
        known.map(|record| node_of(&record.subject)).collect()
    };
    let settings: BTreeSet<String> = reader
        .all(&keys::SETTINGS)
        .iter()
        .filter(|(subject, _)| is_etcd(subject))
        .map(|(subject, _)| node_of(subject))
        .collect();
    let mounts = reader.all(&keys::MOUNTS);
    let mounts = mounts.iter().map(|(subject, _)| node_of(subject)).collect();
    let (logs, metrics) = (
        of(Collector::Logs, is_etcd),
        of(Collector::Metrics, is_etcd),
    );
    let mut all: BTreeSet<String> = logs.union(&metrics).cloned().collect();
    all.extend(of(Collector::Host, is_etcd));
    all.remove("");
    let lacking = |(what, seen): (&str, &BTreeSet<String>)| {
        // What nobody gave is said elsewhere.
        if seen.is_empty() || seen.len() >= count {
            return None;
        }
        let absent: Vec<String> = all.difference(seen).cloned().collect();
        match all.len() <= count && !seen.contains("") {
            true if absent.is_empty() => None,
            true => Some(format!("{what} of {}", absent.join(", "))),
            // Names that do not fit each other are those of different sources.
            false => Some(format!(
                "{what} of {} of {count} members",
                count - seen.len()
            )),
        }
    };
    let etcd: [(&str, &BTreeSet<String>); 4] = [
        ("logs", &logs),
        ("metrics", &metrics),
        ("settings", &settings),
        ("mounts", &mounts),
    ];
    let mut words: Vec<String> = etcd.into_iter().filter_map(lacking).collect();
    // A second kube-apiserver serves other clients than the first one.
    let serves = |subject: &Subject| subject.name == "kube-apiserver";
    let told: BTreeSet<String> = reader
        .all(&keys::SETTINGS)
        .iter()
        .filter(|(subject, _)| serves(subject))
        .map(|(subject, _)| node_of(subject))
        .filter(|node| !node.is_empty())
        .collect();
    for (what, wanted) in [("logs", Collector::Logs), ("metrics", Collector::Metrics)] {
        let seen = of(wanted, serves);
        let absent: Vec<String> = told.difference(&seen).cloned().collect();
        if !seen.is_empty() && seen.is_subset(&told) && !absent.is_empty() {
            words.push(format!("{what} of kube-apiserver on {}", absent.join(", ")));
        }
    }
    words
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
