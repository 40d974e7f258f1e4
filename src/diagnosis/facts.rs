//! Facts that clear or prove causes, read from the evidence once.

use crate::evidence::{Citation, Collector, EvidenceSet, Reader, Reading, Subject, keys};
use crate::profile::Profile;

/// Fewer device requests than this make no mean.
const MIN_REQUESTS: f64 = 20.0;
/// Fewer WAL syncs than this make no p99.
const MIN_SYNCS: f64 = 100.0;

/// What is known besides the findings.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Logs were read.
    pub(super) logs: bool,
    /// Metrics over a window were read.
    pub(super) metrics: bool,
    /// Settings were read.
    pub(super) settings: bool,
    /// The mounts under etcd were read.
    pub(super) mounts: bool,
    /// The device under every member was measured and is fast.
    pub(super) device_fast: Option<Vec<Citation>>,
    /// p99 of WAL fsync is within the limit on every member.
    pub(super) fsync_fast: Option<Vec<Citation>>,
    /// etcd's CPU was measured and it was not held back.
    pub(super) cpu_free: Option<Vec<Citation>>,
    /// Round trips to peers were measured and are fast.
    pub(super) network_fast: Option<Vec<Citation>>,
    /// There is only one member, so that no peer can be slow.
    pub(super) single_member: bool,
    /// The apiserver gets its answers from etcd fast.
    pub(super) etcd_fast: Option<Vec<Citation>>,
    /// Largest CPU use of an etcd process, in cores.
    pub(super) etcd_cpu: Option<f64>,
}

impl Facts {
    /// Reads the facts.
    pub(super) fn of(evidence: &EvidenceSet, profile: &Profile) -> Self {
        let reader = Reader::new(evidence);
        let has = |collector: Collector| {
            evidence.records().any(|record| {
                record.origin.collector == collector && matches!(record.value, Reading::Known(_))
            })
        };
        let mut facts = Facts {
            logs: has(Collector::Logs),
            metrics: !reader.all(&keys::WAL_FSYNC).is_empty()
                || !reader.all(&keys::APISERVER_ETCD_TOOK).is_empty(),
            settings: !reader.all(&keys::SETTINGS).is_empty(),
            mounts: !reader.all(&keys::MOUNTS).is_empty(),
            ..Facts::default()
        };
        facts.device_fast = device_fast(&reader, profile);
        facts.fsync_fast = fsync_fast(&reader, profile);
        facts.cpu_free = cpu_free(&reader, profile);
        facts.network_fast = network_fast(&reader, profile);
        facts.single_member = single_member(&reader);
        facts.etcd_fast = etcd_fast(&reader, profile);
        facts.etcd_cpu = reader
            .all(&keys::PROCESS_CPU)
            .into_iter()
            .filter(|(subject, _)| is_etcd(subject))
            .map(|(_, cores)| cores)
            .reduce(f64::max);
        facts
    }

    /// Which kinds of evidence are lacking for an all-clear, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        [
            (self.logs, "logs"),
            (self.metrics, "metrics"),
            (self.settings, "settings"),
            (self.mounts, "mounts"),
        ]
        .iter()
        .filter(|(there, _)| !there)
        .map(|(_, name)| (*name).to_owned())
        .collect()
    }
}

/// Whether a subject is an etcd server: a member, or the component `etcd`.
fn is_etcd(subject: &Subject) -> bool {
    use crate::evidence::SubjectKind;
    match subject.kind {
        SubjectKind::Member => true,
        SubjectKind::Component => subject.name == "etcd" || subject.name.starts_with("etcd-"),
        _ => false,
    }
}

fn device_fast(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let limit = profile.get("device-flush");
    let mut measured = 0;
    for (device, flush_ms) in reader.all(&keys::DEVICE_FLUSH_TIME) {
        if reader
            .peek(&keys::DEVICE_FLUSHES, &device)
            .is_none_or(|n| n < MIN_REQUESTS)
        {
            continue;
        }
        measured += 1;
        // Half the limit: a device near it is not cleared.
        if flush_ms > limit / 2.0 {
            return None;
        }
        reader.cite(&keys::DEVICE_FLUSH_TIME, &device);
    }
    for (device, write_ms) in reader.all(&keys::DEVICE_WRITE_TIME) {
        if reader
            .peek(&keys::DEVICE_WRITES, &device)
            .is_none_or(|n| n < MIN_REQUESTS)
        {
            continue;
        }
        measured += 1;
        if write_ms > limit / 2.0 {
            return None;
        }
        reader.cite(&keys::DEVICE_WRITE_TIME, &device);
    }
    (measured > 0).then(|| reader.take_citations())
}

fn fsync_fast(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let limit = profile.get("wal-fsync-p99");
    let all = reader.all(&keys::WAL_FSYNC);
    let mut enough = 0;
    for (subject, histogram) in &all {
        if histogram.count() < MIN_SYNCS {
            continue;
        }
        enough += 1;
        // The bracket may straddle the limit: that is not slow.
        if histogram.bracket(0.99).is_none_or(|(low, _)| low >= limit) {
            return None;
        }
        reader.cite(&keys::WAL_FSYNC, subject);
    }
    (enough > 0).then(|| reader.take_citations())
}

fn cpu_free(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let mut measured = 0;
    for (subject, share) in reader.all(&keys::CGROUP_THROTTLED) {
        if !is_etcd(&subject) {
            continue;
        }
        measured += 1;
        if share > profile.get("cgroup-throttled-periods") / 2.0 {
            return None;
        }
        reader.cite(&keys::CGROUP_THROTTLED, &subject);
    }
    for (subject, delay) in reader.all(&keys::RUN_DELAY) {
        if !is_etcd(&subject) {
            continue;
        }
        measured += 1;
        if delay > profile.get("run-delay") {
            return None;
        }
        reader.cite(&keys::RUN_DELAY, &subject);
    }
    (measured > 0).then(|| reader.take_citations())
}

fn network_fast(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let limit = profile.get("peer-rtt-p99");
    let mut measured = 0;
    for (subject, histogram) in reader.all(&keys::PEER_RTT) {
        let Some((low, _)) = histogram.bracket(0.99) else {
            continue;
        };
        measured += 1;
        if low >= limit {
            return None;
        }
        reader.cite(&keys::PEER_RTT, &subject);
    }
    (measured > 0).then(|| reader.take_citations())
}

/// From `--initial-cluster` of the settings: one `name=url` pair.
fn single_member(reader: &Reader<'_>) -> bool {
    let mut known = false;
    for (subject, table) in reader.all(&keys::SETTINGS) {
        if subject.name != "etcd" {
            continue;
        }
        if let Some(value) = table
            .row("initial-cluster")
            .and_then(|row| row.get_text("value"))
        {
            known = true;
            if value
                .split(',')
                .filter(|pair| !pair.trim().is_empty())
                .count()
                > 1
            {
                return false;
            }
        }
    }
    known
}

fn etcd_fast(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let fast = profile.get("etcd-request-fast");
    let mut measured = 0;
    for (subject, histogram) in reader.all(&keys::APISERVER_ETCD_TOOK) {
        let (Some(mean), Some((p99, _))) = (histogram.mean(), histogram.bracket(0.99)) else {
            continue;
        };
        measured += 1;
        if mean > fast || p99 >= profile.get("etcd-request-p99") {
            return None;
        }
        reader.cite(&keys::APISERVER_ETCD_TOOK, &subject);
    }
    (measured > 0).then(|| reader.take_citations())
}
