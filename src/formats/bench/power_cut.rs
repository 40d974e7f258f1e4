//! A check with a real power cut: what `bench disk barrier-record` wrote, what `barrier-peer` heard
//! of it, and what `barrier-verify` found afterwards.

use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// The format's name of what was recorded.
pub const RECORD_FORMAT: &str = "etcd-doctor/barrier-record";
/// The format's name of what a peer heard.
pub const PEER_FORMAT: &str = "etcd-doctor/barrier-peer";
/// The format's name of the answer.
pub const FORMAT: &str = "etcd-doctor/barrier-verify";
/// The format's version.
pub const VERSION: u32 = 1;

/// What a recorder did until it was ended; after a real power cut nobody prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Always [`RECORD_FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// The run's name, sixteen hexadecimal digits.
    pub run: String,
    /// Where the records are.
    pub dir: String,
    /// Records that are durable as far as the kernel says, and were told to the peer.
    pub durable: u64,
    /// Seconds.
    pub secs: f64,
    /// `fdatasync()` alone.
    pub sync: Latency,
    /// Why it ended; `null` when it was told to.
    pub ended: Option<String>,
}

/// What a peer heard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// Always [`PEER_FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// Connections that recorders made.
    pub links: u64,
    /// The runs that it heard of.
    pub runs: Vec<HeardRun>,
}

/// One run that a peer heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeardRun {
    /// The run's name, sixteen hexadecimal digits.
    pub run: String,
    /// The highest number that was told to be durable.
    pub acknowledged: u64,
}

/// What it proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Every acknowledged record is there after a cut.
    ProvenByPowerCut,
    /// Acknowledged records are gone: flushes do not do what they say.
    AcknowledgedLost,
    /// Nothing is proven, and why is said.
    #[default]
    NotProven,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerCut {
    /// Always [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// The run's name, sixteen hexadecimal digits.
    pub run: String,
    /// Where the records are.
    pub dir: String,
    /// What it proves.
    pub proof: Proof,
    /// One sentence.
    pub why: String,
    /// The highest number that the peer knows to have been acknowledged.
    pub acknowledged: u64,
    /// Acknowledged records that had to be there: the file is a ring, older ones were overwritten.
    pub expected: u64,
    /// Of those, how many are there and whole.
    pub intact: u64,
    /// Of those, how many are gone or damaged.
    pub lost: u64,
    /// The first that is lost.
    pub first_lost: Option<u64>,
    /// The highest number found; it may be above `acknowledged`, by what was under way.
    pub newest: Option<u64>,
    /// Whether the machine was started anew in between.
    pub restarted: Option<bool>,
}
