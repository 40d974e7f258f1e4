//! What the throttle probe found: whether somebody above or inside the device limits it.
//!
//! A limit is named as a plateau and never as a product: which of the caps of a disk, a machine
//! and a network is the one that holds cannot be seen from here.

use serde::{Deserialize, Serialize};

/// What limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Bytes per second.
    Bytes,
    /// Writes per second.
    Writes,
    /// The kernel holds back this program's I/O for its cgroup; the device itself is idle.
    Cgroup,
}

/// How sure it is that somebody limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Only a limit gives time back: there was a burst, or writes after a rest were faster.
    #[default]
    High,
    /// A medium of that bandwidth, or one that takes so long for each write, would show the same.
    Low,
}

/// A throughput that does not rise whatever is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// What limits.
    pub limit: Limit,
    /// Bytes per second there; of a limit of writes, what they carried.
    pub bytes_per_sec: f64,
    /// Writes per second there.
    pub writes_per_sec: f64,
    /// How much its windows vary: scaled median distance from the median, over the median.
    pub variation: f64,
    /// Whether a slow medium would explain it as well.
    #[serde(default)]
    pub confidence: Confidence,
    /// What each sync takes besides its bytes, microseconds, where the two could be told apart.
    #[serde(default)]
    pub base_us: Option<f64>,
    /// The step down to it; `null` when the burst was used up before the probe began.
    pub step: Option<Step>,
}

/// From a burst to a plateau.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Seconds after the begin.
    pub at_secs: f64,
    /// Per second before: bytes or writes, as the limit is.
    pub before_per_sec: f64,
    /// Per second after.
    pub after_per_sec: f64,
    /// What the burst gave above the plateau, in bytes or writes: about the credit that was there.
    pub credit: f64,
    /// Share of the variance that the step explains, 0 to 1.
    pub explained: f64,
}

/// One part of the probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// What was done: `sequential` (chunks of 256 KiB), `64 KiB`, `512 KiB`, `rested` (64 KiB after
    /// a pause of 100 ms each), `single`, `scattered`.
    pub name: String,
    /// Bytes written before each sync.
    pub bytes: u64,
    /// Writes before each sync.
    pub writes: u32,
    /// Syncs.
    pub syncs: u64,
    /// Seconds.
    pub secs: f64,
    /// Mean time of writes and sync together, microseconds.
    pub mean_us: f64,
    /// Bytes per second.
    pub bytes_per_sec: f64,
    /// Writes per second.
    pub writes_per_sec: f64,
    /// How much the throughput of its windows varies, in the same way; `null` with fewer than four.
    pub variation: Option<f64>,
}

/// The probe's result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleProbe {
    /// The plateau, where there is one.
    pub plateau: Option<Plateau>,
    /// One sentence.
    pub words: String,
    /// Bytes that were written to look for it.
    pub searched_bytes: u64,
    /// Seconds that it took.
    pub searched_secs: f64,
    /// The parts.
    pub trials: Vec<Trial>,
    /// Why the answer is not complete, where it is not.
    pub doubt: Option<String>,
}
