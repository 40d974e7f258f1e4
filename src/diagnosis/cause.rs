//! What a diagnosis says.

use serde::{Deserialize, Serialize};

use crate::evidence::{Citation, Subject};

use super::client::ClientNamed;
use super::timeline::Entry;
use super::who::Joined;

/// The closed list of root causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Members of etcd are down, or do not start. The list that others read has no word for it: what
    /// took them down is `unknown`.
    #[serde(rename(serialize = "unknown"))]
    MemberDown,
    /// The disk under etcd is slow or stalls.
    Disk,
    /// etcd does not get the CPU it needs.
    Cpu,
    /// The links between members are slow or lossy.
    Network,
    /// Requests are too many or too expensive.
    QueryLoad,
    /// The database or its disk is full.
    Space,
    /// A setting is wrong or dangerous.
    Config,
    /// A client holds itself back.
    ClientThrottling,
    /// kube-apiserver is full while etcd is fast.
    ApiserverSaturation,
    /// Everything was looked at, and nothing is wrong.
    None,
    /// The evidence does not tell.
    Unknown,
}

impl Cause {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Disk => "disk",
            Cause::Cpu => "cpu",
            Cause::Network => "network",
            Cause::QueryLoad => "query-load",
            Cause::Space => "space",
            Cause::Config => "config",
            Cause::ClientThrottling => "client-throttling",
            Cause::ApiserverSaturation => "apiserver-saturation",
            Cause::None => "none",
            Cause::MemberDown | Cause::Unknown => "unknown",
        }
    }

    /// What is wrong, for a headline.
    pub fn headline(self) -> &'static str {
        match self {
            Cause::MemberDown => "a member of etcd is down, or does not stay up",
            Cause::Disk => "the disk under etcd is too slow, or fails",
            Cause::Cpu => "etcd, or kube-apiserver, does not get enough CPU",
            Cause::Network => "the network between etcd members is too slow, or breaks",
            Cause::QueryLoad => "requests are too many or too expensive",
            Cause::Space => "etcd is out of space, or nearly",
            Cause::Config => "a setting is dangerous or wrong",
            Cause::ClientThrottling => "a client throttles itself",
            Cause::ApiserverSaturation => "kube-apiserver is saturated while etcd is fast",
            Cause::None => "no fault found",
            Cause::Unknown => "the evidence does not tell",
        }
    }

    /// Whether the remedy of this cause comes before sharding, QPS and inflight.
    pub fn blocks_scaling_advice(self) -> bool {
        matches!(
            self,
            Cause::MemberDown | Cause::Disk | Cause::Cpu | Cause::Network | Cause::Space
        )
    }
}

/// The part a cause plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Take this away and the rest follows.
    Primary,
    /// Makes it worse on its own.
    Contributing,
    /// Follows from the primary cause.
    Consequence,
}

/// One cause that the evidence shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CauseFound {
    /// Which.
    pub cause: Cause,
    /// Its part.
    pub role: Role,
    /// 0 to 1.
    pub confidence: f64,
    /// One sentence: what, where, how much.
    pub summary: String,
    /// The thing at fault, where one stands out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Rules whose findings carry it.
    pub rules: Vec<String>,
    /// The readings that carry it, strongest first.
    pub evidence: Vec<Citation>,
    /// The client behind it, where one matters and is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientNamed>,
    /// Why no client is named, where one matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_unknown: Option<String>,
}

/// A cause that could also be, and what would settle it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// Which.
    pub cause: Cause,
    /// 0 to 1.
    pub confidence: f64,
    /// Why it is open.
    pub why: String,
    /// What to look at to settle it.
    pub settle: String,
}

/// A cause that the evidence clears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuledOut {
    /// Which.
    pub cause: Cause,
    /// What clears it.
    pub why: String,
    /// The readings.
    pub evidence: Vec<Citation>,
}

/// The one-line answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The root cause, `none` or `unknown`.
    pub cause: Cause,
    /// 0 to 1.
    pub confidence: f64,
    /// Whether nothing at or above `warn` was seen in what was looked at.
    pub no_fault_seen: bool,
    /// What was not looked at, in words.
    pub missing: Vec<String>,
    /// One sentence.
    pub summary: String,
}

/// The whole diagnosis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// The answer.
    pub verdict: Verdict,
    /// Causes shown by the evidence, the primary one first.
    pub causes: Vec<CauseFound>,
    /// Causes that could also be.
    pub alternatives: Vec<Alternative>,
    /// Causes that the evidence clears.
    pub ruled_out: Vec<RuledOut>,
    /// Slow requests of etcd by client, where both were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Joined>,
    /// What happened, over all members and components.
    #[serde(default)]
    pub timeline: Vec<Entry>,
}
