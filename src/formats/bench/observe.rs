//! What `bench disk` saw beside a live etcd: etcd's own syncs, the device's counters, and what the
//! careful probe measured, if one was asked for.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::latency::Latency;

/// The format's name in the file.
pub const FORMAT: &str = "etcd-doctor/bench-disk-observe";
/// The format's version.
pub const VERSION: u32 = 1;

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// Always [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// Seconds that were watched.
    pub secs: f64,
    /// Why it ended early, where it did.
    pub partial: Option<String>,
    /// The etcds.
    pub etcds: Vec<ObservedEtcd>,
    /// The disks under them.
    pub disks: Vec<ObservedDisk>,
    /// Share of the time in which some task waited for a processor; `null` where it is not known.
    pub psi_cpu_some: Option<f64>,
    /// Share of the time in which some task waited for I/O.
    pub psi_io_some: Option<f64>,
    /// The careful probe; `null` when nothing was written.
    pub probe: Option<Probe>,
    /// What to keep in mind.
    pub doubts: Vec<String>,
}

/// One etcd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedEtcd {
    /// Its process id.
    pub pid: u32,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Whether its process ended while it was watched.
    #[serde(default)]
    pub ended: bool,
    /// Where its write-ahead log is.
    pub wal_dir: Option<String>,
    /// Bytes that it dirtied per second; `null` with the reason in `doubts`.
    pub write_bytes_per_sec: Option<f64>,
    /// Share of the time in which a task of its cgroup waited for I/O (cgroup version 2 only).
    pub cgroup_io_some: Option<f64>,
    /// I/O limits of its cgroup, in words.
    pub io_limits: Vec<String>,
    /// What its metrics tell of this window.
    pub metrics: Option<MetricsWindow>,
    /// Why there are none.
    pub metrics_missing: Option<String>,
    /// Its syncs one by one.
    pub trace: Option<Traced>,
    /// Why there is no trace, when one was asked for.
    pub trace_missing: Option<String>,
}

/// The difference of two scrapes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsWindow {
    /// Seconds between them.
    pub secs: f64,
    /// `etcd_disk_wal_fsync_duration_seconds`.
    pub wal_fsync: Option<HistogramWindow>,
    /// `etcd_disk_backend_commit_duration_seconds`.
    pub commit: Option<HistogramWindow>,
    /// Share of the time in which a commit locked the store.
    pub commit_duty: Option<f64>,
    /// Proposals committed per second.
    pub proposals_per_sec: Option<f64>,
    /// Most proposals that were pending at a look.
    pub pending_max: Option<f64>,
    /// Leader changes.
    pub leader_changes: Option<f64>,
}

/// A window of a histogram: its mean is exact, its quantiles are intervals between two bucket
/// bounds, because that is all that buckets tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistogramWindow {
    /// Observations.
    pub count: u64,
    /// Per second.
    pub per_sec: f64,
    /// Mean, microseconds.
    pub mean_us: f64,
    /// The median lies in here, microseconds; the upper bound is `null` in the last bucket.
    pub p50_us: Option<(f64, Option<f64>)>,
    /// The 99th percentile lies in here.
    pub p99_us: Option<(f64, Option<f64>)>,
}

/// Syncs of one etcd, each timed by the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traced {
    /// Seconds.
    pub secs: f64,
    /// `fdatasync` of the write-ahead log.
    pub wal: Latency,
    /// `fdatasync` of the database: two in each commit.
    pub db: Latency,
    /// Every other sync: directories, snapshots, growth of the database.
    pub other: Latency,
    /// Syncs that failed.
    pub failed: u64,
    /// Events that the kernel's buffer lost; with any, the counts are too low.
    pub lost_events: u64,
    /// Syncs of which only one end was seen: under way at the begin or the end.
    pub unpaired: u64,
    /// Threads that were followed from the begin.
    pub threads: usize,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedDisk {
    /// The kernel's name.
    pub name: String,
    /// Writes per second.
    pub writes_per_sec: f64,
    /// Bytes written per second.
    pub write_bytes_per_sec: f64,
    /// Mean time of a write, milliseconds; `null` when there was none.
    pub write_ms: Option<f64>,
    /// Flushes per second; `null` where they are not counted.
    pub flushes_per_sec: Option<f64>,
    /// Mean time of a flush, milliseconds.
    pub flush_ms: Option<f64>,
    /// Share of the time with something to do.
    pub busy: f64,
    /// Mean number of requests waiting or under way.
    pub queue: f64,
    /// Share of the bytes that no etcd wrote; `null` where it cannot be told.
    pub foreign_share: Option<f64>,
    /// A flat ceiling with waiting requests.
    pub ceiling: Option<Ceiling>,
    /// What an Amazon volume says of its limits.
    pub volume: Option<VolumeLimits>,
    /// Seconds of the windows that the counters' restarts took away.
    pub lost_secs: f64,
}

/// Throughput that stood still at a level while requests waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Seconds.
    pub secs: f64,
    /// Bytes written per second.
    pub bytes_per_sec: f64,
    /// Writes per second.
    pub writes_per_sec: f64,
    /// Standard deviation over mean.
    pub variation: f64,
    /// Mean time of a write meanwhile over that in the best second.
    pub wait_ratio: f64,
}

/// Time for which limits of an Amazon volume were exceeded, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeLimits {
    /// Whether it is a disk of the machine itself, lost with it.
    pub instance_store: bool,
    /// In this window, of the volume's IOPS or throughput.
    pub volume_us: u64,
    /// In this window, of the machine's.
    pub instance_us: u64,
    /// Since the volume was attached, of any.
    pub since_attach_us: u64,
}

/// Small records written beside a live etcd, so few that it hardly notices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Where.
    pub dir: String,
    /// Bytes of each record.
    pub record_bytes: u32,
    /// Records per second at the end: at most 20, and at most 5 % of the time in syncs.
    pub per_sec: f64,
    /// Seconds.
    pub secs: f64,
    /// Bytes written.
    pub bytes: u64,
    /// `fdatasync` alone.
    pub sync: Latency,
    /// From when a record was due to when it was durable.
    pub durable: Latency,
    /// Share of the time that was spent in syncs.
    pub duty: f64,
    /// Mean WAL fsync of etcd before the probe, microseconds.
    pub etcd_before_us: Option<f64>,
    /// Mean WAL fsync of etcd while it ran.
    pub etcd_during_us: Option<f64>,
    /// Why the guard ended it, where it did.
    pub aborted: Option<String>,
    /// The I/O class it ran in.
    pub io_class: String,
    /// How the guard saw etcd: `metrics`, or `trace` of its syncs where metrics cannot be read;
    /// then leader changes and waiting proposals are not seen.
    #[serde(default)]
    pub guarded_by: String,
}
