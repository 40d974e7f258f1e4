//! What an advice says: now, proposed, why, expected effect, confidence, risk, undo, verify.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rules::Confidence;

/// The kind of remedy, in the order in which remedies are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Data is at risk: first of all.
    Safety,
    /// Space for the database.
    Space,
    /// The disk under etcd.
    Disk,
    /// CPU for etcd.
    Cpu,
    /// The links between members.
    Network,
    /// etcd's own settings.
    Etcd,
    /// Fix the client that misbehaves.
    Client,
    /// Put a resource into its own etcd.
    Shard,
    /// A client's own limits: QPS, burst, concurrency.
    ClientLimits,
    /// Priority levels and flow schemas.
    Apf,
    /// Inflight limits of kube-apiserver.
    Inflight,
    /// Anything else worth setting right.
    Hygiene,
}

/// How strongly it is advised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// Do it.
    Recommended,
    /// Fits, but something that decides is not known; it says what.
    Candidate,
    /// Looked at and argued against; it says why.
    Refused,
}

/// What applying it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// No restart of a member or apiserver, nothing lost.
    Safe,
    /// Restarts something; the order matters.
    Disruptive,
    /// Only shown: no file is written for it.
    ShowOnly,
}

/// Whether a relief is measured or an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// From counters that count everything.
    Exact,
    /// From logs that hold slow requests only: at most this much.
    UpperBound,
}

/// What main etcd is relieved of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relief {
    /// Measured or bound.
    pub bound: Bound,
    /// Share of requests, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// Share of the seconds that requests took: of all of them when the bound is exact, else of
    /// the slow ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_seconds: Option<f64>,
    /// Share of response bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Share of writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<f64>,
}

/// One advice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advice {
    /// Stable within a report: `shard-events`, `kcm-qps`.
    pub id: String,
    /// The kind of remedy; advice is sorted by it.
    pub remedy: Remedy,
    /// How strongly.
    pub strength: Strength,
    /// The component or thing to change: `kube-apiserver`, `etcd`, `client inventory-scraper/1.0`.
    pub target: String,
    /// The setting, by its flag name without dashes where it has one.
    pub setting: String,
    /// The value now; `None` when it is not known.
    pub now: Option<String>,
    /// The value to set, or what to do.
    pub proposed: String,
    /// Why, with the numbers.
    pub why: String,
    /// What to expect.
    pub effect: String,
    /// How sure.
    pub confidence: Confidence,
    /// What can go wrong.
    pub risk: String,
    /// How to take it back.
    pub undo: String,
    /// How to see that it worked.
    pub verify: String,
    /// What applying it does.
    pub disposition: Disposition,
    /// Rules whose findings ask for it. Empty only where what a controller does asks for it, for
    /// which there is no rule (models `hygiene`, `headroom`, `endless`, `noise`, `pinned`, `workers`);
    /// `why` has the rates then.
    pub finding_ids: Vec<String>,
    /// What it takes off main etcd, for shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relief: Option<Relief>,
    /// Where the proposed value comes from.
    pub source: String,
    /// How it was settled against other advice: what was overruled, what it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// Parts of the proposal that a patch needs one by one: a user, a priority level's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

impl Advice {
    /// An advice whose texts are still to be filled; a test holds that every model fills them.
    pub(super) fn new(
        id: impl Into<String>,
        remedy: Remedy,
        target: impl Into<String>,
        setting: impl Into<String>,
    ) -> Self {
        Advice {
            id: id.into(),
            remedy,
            strength: Strength::Recommended,
            target: target.into(),
            setting: setting.into(),
            now: None,
            proposed: String::new(),
            why: String::new(),
            effect: String::new(),
            confidence: Confidence::Medium,
            risk: String::new(),
            undo: String::new(),
            verify: String::new(),
            disposition: Disposition::ShowOnly,
            finding_ids: Vec::new(),
            relief: None,
            source: String::new(),
            conflicts: Vec::new(),
            details: BTreeMap::new(),
        }
    }

    /// Adds a part of the proposal.
    #[must_use]
    pub(super) fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

impl Strength {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Strength::Recommended => "recommended",
            Strength::Candidate => "candidate",
            Strength::Refused => "refused",
        }
    }
}

impl Disposition {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Disposition::Safe => "safe",
            Disposition::Disruptive => "disruptive",
            Disposition::ShowOnly => "show-only",
        }
    }
}
