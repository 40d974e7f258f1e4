//! What was measured on each node with etcd: its devices, its CPU, its answers to peers. A
//! measurement clears only what it is of, at the time that it is of.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::evidence::{Citation, Completeness, Key, Reader, Record, Subject, SubjectKind, keys};
use crate::profile::Profile;
use crate::rules::cpu::run_delay_high::Waits;

use super::cover::{Cover, cover_of};
use super::facts::node_of;

/// Fewer device requests than this make no mean.
const MIN_REQUESTS: f64 = 20.0;
/// Fewer probes of peers than this tell nothing.
const MIN_PROBES: f64 = 4.0;

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
            (profile, "device-flush"),
        );
        let write = mean(
            reader,
            (&keys::DEVICE_WRITE_TIME, &keys::DEVICE_WRITES),
            &device,
            (profile, "device-write"),
        );
        let own = match (flush, write) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), _) => Some(true),
            (None, Some(true)) if never_flushed(reader, &device) => Some(true),
            _ => None,
        };
        let above = layers(reader, &device, profile);
        let good = match (own, above) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) if !may_hide_stalls(reader, &device, profile) => Some(true),
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
    (profile, limit): (&Profile, &str),
) -> Good {
    let limit = profile.get(limit);
    let mean_ms = reader.peek(time, device)?;
    let count = reader.peek(count, device).filter(|n| *n >= MIN_REQUESTS)?;
    let fast = mean_ms <= limit / 2.0;
    if fast {
        let cover = cover_of(
            reader,
            profile,
            time,
            device,
            Some(&keys::DEVICE_SAMPLE_SECS),
        )?;
        let waited_elsewhere = slow_syncs_elsewhere(reader, device, profile);
        if !waited_elsewhere && !cover.within(mean_ms, limit / 2.0, mean_ms * count) {
            return None;
        }
    }
    reader.cite(time, device);
    Some(fast)
}

/// Devices whose flushes are fast and that held a defragmentation while they were measured: it writes
/// the database anew, in one go and without waiting, so that what its writes took in the queue is not
/// what a sync waits for.
pub(super) fn rewritten(reader: &Reader<'_>, profile: &Profile) -> BTreeSet<Subject> {
    let limit = profile.get("device-flush");
    let spans: Vec<(Timestamp, Timestamp)> = reader
        .all(&keys::LOGS_EPISODES)
        .iter()
        .flat_map(|(_, all)| &all.episodes)
        .filter(|episode| episode.kind == "defrag-finish")
        .map(|episode| (episode.from, episode.to))
        .collect();
    let within = |device: &Subject| {
        let window = reader.record(&keys::DEVICE_WRITE_TIME, device)?.window;
        let (from, to) = (window.from?, window.to?);
        let mut spans = spans.iter();
        Some(spans.any(|(begin, end)| *begin <= to && from <= *end))
    };
    let flushes = reader.all(&keys::DEVICE_FLUSH_TIME).into_iter();
    let fast = flushes.filter(|(device, mean_ms)| {
        let count = reader.peek(&keys::DEVICE_FLUSHES, device).unwrap_or(0.0);
        *mean_ms <= limit / 2.0 && count >= MIN_REQUESTS
    });
    let devices = fast.map(|(device, _)| device);
    devices
        .filter(|device| within(device) == Some(true))
        .collect()
}

/// Whether most of the time of etcd's slow syncs was not spent in a device: all that it did in a
/// second took less than half of what those syncs took.
fn slow_syncs_elsewhere(reader: &Reader<'_>, device: &Subject, profile: &Profile) -> bool {
    let limit = profile.get("wal-fsync-p99");
    let node = node_of(device);
    let syncs = reader.all(&keys::WAL_FSYNC);
    let Some((about, syncs)) = syncs.iter().find(|(about, _)| node_of(about) == node) else {
        return false;
    };
    let mut low = 0.0;
    let mut slow_ms = 0.0;
    for bucket in &syncs.buckets {
        if low >= limit {
            slow_ms += low * bucket.count;
        }
        low = bucket.le;
    }
    let secs = |record: Option<&Record>| {
        let window = record?.window;
        Some(window.to?.since_us(window.from?) as f64 / 1e6).filter(|secs| *secs > 0.0)
    };
    let times = [
        (&keys::DEVICE_FLUSH_TIME, &keys::DEVICE_FLUSHES),
        (&keys::DEVICE_WRITE_TIME, &keys::DEVICE_WRITES),
    ];
    let device_secs = times
        .iter()
        .find_map(|(time, _)| secs(reader.record(time, device)));
    let (Some(syncs_secs), Some(device_secs)) =
        (secs(reader.record(&keys::WAL_FSYNC, about)), device_secs)
    else {
        return false;
    };
    let device_ms: f64 = times
        .iter()
        .map(|(time, count)| whole_ms(reader, device, time, count))
        .sum();
    slow_ms / syncs_secs > 2.0 * device_ms / device_secs
}

/// All the time that a device spent in requests of one kind; at most, where the mean is of its
/// slowest window.
fn whole_ms(reader: &Reader<'_>, device: &Subject, time: &Key<f64>, count: &Key<f64>) -> f64 {
    reader.peek(time, device).unwrap_or(0.0) * reader.peek(count, device).unwrap_or(0.0)
}

/// Whether all that a device or a layer above it did took long enough to hold the syncs of over a
/// second that were logged: among many fast requests no mean shows a few that stood still.
fn may_hide_stalls(reader: &Reader<'_>, device: &Subject, profile: &Profile) -> bool {
    let node = node_of(device);
    let events = reader.all(&keys::LOGS_EVENTS);
    let stalls: f64 = events
        .iter()
        .filter(|(subject, _)| {
            let other = node_of(subject);
            is_etcd(subject) && (other == node || other.is_empty() || node.is_empty())
        })
        .filter_map(|(_, table)| table.row("wal-sync-slow"))
        .map(|row| row.get("count").unwrap_or(0.0) - row.get("settling").unwrap_or(0.0))
        .sum();
    let stalled_ms = stalls * profile.get("wal-sync-stall");
    let whole = |time, count| whole_ms(reader, device, time, count);
    let own_ms = whole(&keys::DEVICE_FLUSH_TIME, &keys::DEVICE_FLUSHES)
        + whole(&keys::DEVICE_WRITE_TIME, &keys::DEVICE_WRITES);
    let above = reader.peek(&keys::DEVICE_ABOVE, device);
    let above_ms = above
        .iter()
        .flat_map(|table| &table.rows)
        .filter_map(|row| Some(row.get("max_write_mean_ms")? * row.get("writes")?));
    stalls > 0.0 && above_ms.fold(own_ms, f64::max) >= stalled_ms
}

/// Whether the kernel sends a device no flush: it says that it has no cache to forget, or flushes
/// were counted and there was none, since boot neither. A window in which nobody synced has none
/// of a device that gets them.
fn never_flushed(reader: &Reader<'_>, device: &Subject) -> bool {
    let through = reader
        .peek(&keys::DEVICE_QUEUE, device)
        .is_some_and(|queue| {
            let cache = queue
                .row("write_cache")
                .and_then(|row| row.get_text("value"));
            cache.is_some_and(|cache| cache.starts_with("write through"))
        });
    let ever = reader.peek(&keys::DEVICE_FLUSH_TIME_BOOT, device).is_some();
    through || (reader.peek(&keys::DEVICE_FLUSHES, device) == Some(0.0) && !ever)
}

/// Whether all layers above a device are fast. Good where there are none.
fn layers(reader: &Reader<'_>, device: &Subject, profile: &Profile) -> Good {
    let limit = profile.get("device-write");
    let Some(above) = reader.peek(&keys::DEVICE_ABOVE, device) else {
        return Some(true);
    };
    let longest = Some(&keys::DEVICE_SAMPLE_SECS);
    let cover = cover_of(reader, profile, &keys::DEVICE_ABOVE, device, longest);
    let mut good = Some(true);
    for row in &above.rows {
        let writes = row.get("writes").unwrap_or(0.0);
        let mean_ms = row
            .get("max_write_mean_ms")
            .filter(|_| writes >= MIN_REQUESTS);
        let within = |ms: f64, cover: Cover| cover.within(ms, limit / 2.0, ms * writes);
        match mean_ms {
            Some(ms) if ms > limit / 2.0 => good = Some(false),
            Some(ms) if cover.is_some_and(|cover| within(ms, cover)) => {}
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
    /// Throttling that is little over a window and may have been much in the time of the trouble.
    pub(super) hidden: Option<String>,
}

pub(super) fn cpus(reader: &Reader<'_>, profile: &Profile) -> Cpus {
    let mut cpus = Cpus::default();
    let longest = Some(&keys::PROCESS_SAMPLE_SECS);
    let limit = profile.get("cgroup-throttled-periods") / 2.0;
    for (subject, value) in reader.all(&keys::CGROUP_THROTTLED) {
        if !is_etcd(&subject) {
            continue;
        }
        let cover = cover_of(reader, profile, &keys::CGROUP_THROTTLED, &subject, longest);
        let good = match cover {
            _ if value > limit => Some(false),
            Some(cover) => (cover.at_worst(value) <= limit).then_some(true),
            None => continue,
        };
        if good.is_none() {
            let node = node_of(&subject);
            cpus.hidden = Some(format!(
                "etcd on {node} was throttled in {:.1} % of the scheduling periods, and the window is much \
                 longer than the trouble: it may have been throttled for most of that",
                value * 100.0
            ));
        }
        reader.cite(&keys::CGROUP_THROTTLED, &subject);
        note(&mut cpus.by, reader, node_of(&subject), good);
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
        let cover = cover_of(reader, profile, &keys::RUN_DELAY, &subject, longest);
        let free = cover.is_some_and(|cover| {
            let at_worst = Waits {
                per_sec: cover.at_worst(per_sec),
                mean_ms: waits.mean_ms.map(|ms| cover.at_worst(ms)),
                share: waits.share,
            };
            at_worst.free(of_all, profile)
        });
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

/// Nodes where etcd waited for a CPU before each run, and for less than is felt.
pub(super) fn short_waits(reader: &Reader<'_>, profile: &Profile) -> BTreeSet<String> {
    let felt = profile.get("run-wait");
    let waits = reader.all(&keys::RUN_WAIT).into_iter();
    let waits = waits.filter(|(subject, ms)| is_etcd(subject) && *ms < felt);
    waits.map(|(subject, _)| node_of(&subject)).collect()
}

pub(super) fn answering(reader: &Reader<'_>, profile: &Profile) -> ByNode {
    let limit = profile.get("peer-rtt-p99");
    let mut all = ByNode::new();
    for (subject, rtt) in reader.all(&keys::PEER_RTT) {
        let Some(cover) = cover_of(reader, profile, &keys::PEER_RTT, &subject, None) else {
            continue;
        };
        let (Some(mean), Some((low, _))) = (rtt.mean(), rtt.bracket(cover.quantile(0.99))) else {
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
