//! What survived a power cut: the answer of `bench disk barrier-verify`.

use serde::{Deserialize, Serialize};

/// The format's name.
pub const FORMAT: &str = "etcd-doctor/barrier-verify";
/// The format's version.
pub const VERSION: u32 = 1;

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
