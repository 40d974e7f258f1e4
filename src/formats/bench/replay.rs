//! The result of replaying a write-ahead log.

use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// The format's name.
pub const FORMAT: &str = "etcd-doctor/bench-disk-replay";
/// The format's version.
pub const VERSION: u32 = 1;

/// The log that was replayed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The files in their order.
    pub files: Vec<String>,
    /// Bytes of valid records.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Batches: what etcd made durable with one sync each.
    pub batches: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of the batches.
    pub batch_bytes: u64,
    /// Bytes of the largest entry.
    pub largest_entry: u64,
    /// Mean number of entries in a batch.
    pub entries_per_batch: f64,
    /// Damage and what else was met.
    pub remarks: Vec<String>,
}

/// The replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Always [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// The log.
    pub source: Source,
    /// Entries per second that were asked for; `null` when batches followed each other at once.
    pub rate: Option<f64>,
    /// Seconds.
    pub secs: f64,
    /// Batches made durable.
    pub batches: u64,
    /// Entries made durable.
    pub entries: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Entries per second that it came to.
    pub entries_per_sec: f64,
    /// How many seconds later than asked for the end came.
    pub behind_secs: Option<f64>,
    /// `write()` alone.
    pub write: Latency,
    /// `fdatasync()` alone.
    pub sync: Latency,
    /// From when a batch was due to when it was durable.
    pub durable: Latency,
    /// Why it ended early, where it did.
    pub partial: Option<String>,
}
