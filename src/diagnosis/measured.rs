//! What was measured on each node with etcd: its devices, its CPU, its answers to peers. A
//! measurement clears only what it is of, at the time that it is of.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::evidence::{
    Citation, Completeness, Key, Reader, Record, Subject, SubjectKind, Window, keys,
};
use crate::profile::Profile;
use crate::rules::cpu::run_delay_high::Waits;

use super::facts::node_of;

/// Fewer device requests than this make no mean.
const MIN_REQUESTS: f64 = 20.0;
/// Fewer probes of peers than this tell nothing.
const MIN_PROBES: f64 = 4.0;
/// Seconds around a window that still belong to it: scrapes and lines have clocks of their own.
const EDGE_US: i64 = 5_000_000;

/// Something that was measured on one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// Whether all of it is known and as it should be.
    pub(super) good: bool,
    /// Whether some of it is surely not.
    pub(super) ill: bool,
    /// The readings.
    pub(super) cites: Vec<Citation>,
}

/// What was measured, by node.
pub(super) type ByNode = BTreeMap<String, Measured>;

/// What a measurement says: `None` when it does not tell.
type Good = Option<bool>;

fn note(all: &mut ByNode, reader: &Reader<'_>, node: String, good: Good) {
    let entry = all.entry(node).or_insert_with(|| Measured {
        good: true,
        ..Measured::default()
    });
    entry.good &= good == Some(true);
    entry.ill |= good == Some(false);
    entry.cites.extend(reader.take_citations());
}

/// All readings, where everything that was measured is good.
pub(super) fn all_good(all: &ByNode) -> Option<Vec<Citation>> {
    let good = !all.is_empty() && all.values().all(|measured| measured.good);
    good.then(|| all.values().flat_map(|m| m.cites.clone()).collect())
}

/// Whether a subject is an etcd server: a member, or the component `etcd`.
pub(super) fn is_etcd(subject: &Subject) -> bool {
    match subject.kind {
        SubjectKind::Member => true,
        SubjectKind::Component => subject.name == "etcd" || subject.name.starts_with("etcd-"),
        _ => false,
    }
}

/// The devices under etcd. A sync waits for writes and, where the device has a cache that forgets,
/// for a flush, in every layer on the way down: one fast part of it says nothing of the others.
pub(super) fn devices(reader: &Reader<'_>, profile: &Profile) -> ByNode {
    let subjects: BTreeSet<Subject> = [&keys::DEVICE_FLUSH_TIME, &keys::DEVICE_WRITE_TIME]
        .iter()
        .flat_map(|key| reader.all(key))
        .map(|(subject, _)| subject)
        .chain(reader.all(&keys::DEVICE_QUEUE).into_iter().map(|(s, _)| s))
        .chain(reader.all(&keys::DEVICE_ABOVE).into_iter().map(|(s, _)| s))
        .collect();
    let mut all = ByNode::new();
    for device in subjects {
        reader.take_citations();
        let flush = mean(
            reader,
            (&keys::DEVICE_FLUSH_TIME, &keys::DEVICE_FLUSHES),
            &device,
            profile.get("device-flush"),
        );
        let write = mean(
            reader,
            (&keys::DEVICE_WRITE_TIME, &keys::DEVICE_WRITES),
            &device,
            profile.get("device-write"),
        );
        let own = match (flush, write) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), _) => Some(true),
            (None, Some(true)) if never_flushed(reader, &device) => Some(true),
            _ => None,
        };
        let above = layers(reader, &device, profile.get("device-write"));
        let good = match (own, above) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
        note(&mut all, reader, node_of(&device), good);
    }
    all
}

/// Whether the mean of enough requests is good: half the limit, as a device near it is not cleared.
fn mean(
    reader: &Reader<'_>,
    (time, count): (&Key<f64>, &Key<f64>),
    device: &Subject,
    limit: f64,
) -> Good {
    let mean_ms = reader.peek(time, device)?;
    if reader.peek(count, device).is_none_or(|n| n < MIN_REQUESTS) {
        return None;
    }
    let fast = mean_ms <= limit / 2.0;
    let record = reader.record(time, device);
    if fast && record.is_some_and(|record| !covers_trouble(reader, record)) {
        return None;
    }
    reader.cite(time, device);
    Some(fast)
}

/// Whether the kernel sends a device no flush: it says that it has no cache to forget, or flushes
/// were counted and there was none.
fn never_flushed(reader: &Reader<'_>, device: &Subject) -> bool {
    let through = reader
        .peek(&keys::DEVICE_QUEUE, device)
        .is_some_and(|queue| {
            let cache = queue
                .row("write_cache")
                .and_then(|row| row.get_text("value"));
            cache.is_some_and(|cache| cache.starts_with("write through"))
        });
    through || reader.peek(&keys::DEVICE_FLUSHES, device) == Some(0.0)
}

/// Whether all layers above a device are fast. Good where there are none.
fn layers(reader: &Reader<'_>, device: &Subject, limit: f64) -> Good {
    let Some(above) = reader.peek(&keys::DEVICE_ABOVE, device) else {
        return Some(true);
    };
    let record = reader.record(&keys::DEVICE_ABOVE, device);
    let covers = record.is_none_or(|record| covers_trouble(reader, record));
    let mut good = Some(true);
    for row in &above.rows {
        let enough = row.get("writes").is_some_and(|n| n >= MIN_REQUESTS);
        let mean_ms = row.get("max_write_mean_ms").filter(|_| enough);
        match mean_ms {
            Some(ms) if ms > limit / 2.0 => good = Some(false),
            Some(_) if covers => {}
            _ => good = good.filter(|good| !good),
        }
        if let Some(ms) = mean_ms {
            let words = format!("{}: {ms:.1} ms for one write", row.key);
            reader.cite_as(&keys::DEVICE_ABOVE, device, words);
        }
    }
    good
}

/// Names of layers under etcd whose writes were not timed.
pub(super) fn unmeasured_layers(reader: &Reader<'_>) -> Vec<String> {
    let names: BTreeSet<String> = reader
        .all(&keys::DEVICE_ABOVE)
        .iter()
        .flat_map(|(_, table)| &table.rows)
        .filter(|row| row.get("max_write_mean_ms").is_none())
        .map(|row| row.key.clone())
        .collect();
    names.into_iter().collect()
}

/// What is known of the CPU of each etcd.
#[derive(Default)]
pub(super) struct Cpus {
    /// Good when neither a limit nor neighbours were seen to hold it back.
    pub(super) by: ByNode,
    /// Where it surely did not wait for a CPU: a limit that was not met does not tell that.
    pub(super) delay_known: BTreeSet<String>,
}

pub(super) fn cpus(reader: &Reader<'_>, profile: &Profile) -> Cpus {
    let mut cpus = Cpus::default();
    let at_the_time =
        |record: Option<&Record>| record.is_none_or(|record| covers_trouble(reader, record));
    let limit = profile.get("cgroup-throttled-periods") / 2.0;
    for (subject, value) in reader.all(&keys::CGROUP_THROTTLED) {
        let record = reader.record(&keys::CGROUP_THROTTLED, &subject);
        let good = value <= limit;
        if !is_etcd(&subject) || good && !at_the_time(record) {
            continue;
        }
        reader.cite(&keys::CGROUP_THROTTLED, &subject);
        note(&mut cpus.by, reader, node_of(&subject), Some(good));
    }
    for (subject, per_sec) in reader.all(&keys::RUN_DELAY) {
        if !is_etcd(&subject) {
            continue;
        }
        let record = reader.record(&keys::RUN_DELAY, &subject);
        let of_all =
            record.is_none_or(|record| record.origin.completeness != Completeness::AtLeast);
        let waits = Waits {
            per_sec,
            mean_ms: reader.peek(&keys::RUN_WAIT, &subject),
            share: reader.peek(&keys::RUN_WAIT_SHARE, &subject),
        };
        let held = per_sec > profile.get("run-delay") || waits.starved(profile);
        let free = waits.free(of_all, profile) && at_the_time(record);
        if !held && !free {
            continue;
        }
        reader.cite(&keys::RUN_DELAY, &subject);
        reader.cite(&keys::RUN_WAIT, &subject);
        if free && !held {
            cpus.delay_known.insert(node_of(&subject));
        }
        note(&mut cpus.by, reader, node_of(&subject), Some(!held));
    }
    cpus
}

pub(super) fn answering(reader: &Reader<'_>, profile: &Profile) -> ByNode {
    let limit = profile.get("peer-rtt-p99");
    let mut all = ByNode::new();
    for (subject, rtt) in reader.all(&keys::PEER_RTT) {
        let (Some(mean), Some((low, _))) = (rtt.mean(), rtt.bracket(0.99)) else {
            continue;
        };
        // Peers that do not answer leave a time of zero.
        if rtt.count() < MIN_PROBES || unanswered(reader, &subject) {
            continue;
        }
        reader.cite(&keys::PEER_RTT, &subject);
        let good = low < limit && mean < limit / 5.0;
        note(&mut all, reader, node_of(&subject), Some(good));
    }
    all
}

/// Whether some peer of a member answered no probe: etcd notes a time of zero then.
pub(super) fn unanswered(reader: &Reader<'_>, member: &Subject) -> bool {
    reader
        .peek(&keys::PEER_RTT_BY, member)
        .is_some_and(|table| {
            table.rows.iter().any(|row| {
                row.get("count").is_some_and(|n| n > 0.0) && row.get("mean_ms") == Some(0.0)
            })
        })
}

/// Whether the slow requests that logs tell of were, for the most part, at a time in which this was
/// measured. A measurement clears nothing for any other time, and none for the time between runs.
pub(super) fn covers_trouble(reader: &Reader<'_>, record: &Record) -> bool {
    if record.window.from.is_none() || record.window.to.is_none() {
        return true;
    }
    let wider = record.stretches().into_iter().filter_map(|stretch| {
        let (from, to) = stretch.from.zip(stretch.to)?;
        Some(Window::between(from.add_us(-EDGE_US), to.add_us(EDGE_US)))
    });
    let measured: Vec<(Timestamp, Timestamp)> = Window::stretches(wider)
        .iter()
        .filter_map(|stretch| stretch.from.zip(stretch.to))
        .collect();
    let (mut inside, mut outside) = (0.0, 0.0);
    for (_, list) in reader.all(&keys::LOGS_EPISODES) {
        for episode in list.episodes.iter().filter(|e| e.kind == "slow-apply") {
            let span = episode.to.since_us(episode.from).max(0);
            let shared = measured
                .iter()
                .map(|(from, to)| episode.to.min(*to).since_us(episode.from.max(*from)))
                .filter(|shared| *shared >= 0);
            // Requests of an episode are taken to be spread evenly over it.
            let share = match (shared.reduce(|a, b| a + b), span) {
                (None, _) => 0.0,
                (_, 0) => 1.0,
                (Some(shared), span) => (shared as f64 / span as f64).min(1.0),
            };
            let count = episode.count as f64;
            inside += count * share;
            outside += count * (1.0 - share);
        }
    }
    inside >= outside
}

/// Whether something that tells causes from each other was measured at another time than that of
/// the trouble.
pub(super) fn uncovered(reader: &Reader<'_>) -> bool {
    let numbers = [
        &keys::CGROUP_THROTTLED,
        &keys::DEVICE_FLUSH_TIME,
        &keys::DEVICE_WRITE_TIME,
        &keys::RUN_DELAY,
    ];
    let histograms = [
        &keys::APISERVER_ETCD_TOOK,
        &keys::PEER_RTT,
        &keys::WAL_FSYNC,
    ];
    let mut records = numbers
        .iter()
        .flat_map(|key| reader.records(key))
        .chain(histograms.iter().flat_map(|key| reader.records(key)));
    records.any(|record| !covers_trouble(reader, record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Set, episode, episodes, member};

    #[test]
    fn what_was_measured_before_and_after_says_nothing_of_the_time_between() {
        let run = |from: i64, to: i64| {
            Window::between(Timestamp::from_secs(from), Timestamp::from_secs(to))
        };
        let trouble = |from, to| {
            let all = episodes(vec![episode("slow-apply", from, to)]);
            Set::new().put(&keys::LOGS_EPISODES, member(), all)
        };
        let covers = |set: Set, covered: Vec<Window>| {
            let set = set.put_over(&keys::RUN_DELAY, member(), 0.0, 10_000);
            let mut record = set.0.record(&keys::RUN_DELAY, &member()).unwrap().clone();
            record.covered = covered;
            covers_trouble(&Reader::new(&set.0), &record)
        };
        let two = || vec![run(0, 100), run(9_900, 10_000)];
        assert!(covers(trouble(5_000, 5_010), vec![]));
        assert!(!covers(trouble(5_000, 5_010), two()));
        assert!(covers(trouble(20, 30), two()));
        assert!(covers(trouble(9_950, 9_951), two()));
        // A moment at the edge, and one that reaches into the gap for the most part.
        assert!(covers(trouble(103, 103), two()));
        assert!(!covers(trouble(50, 1_000), two()));
    }
}
