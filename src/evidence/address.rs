//! What a reading is about, when it holds, and where it came from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The kinds of thing a reading can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// The whole control plane.
    Cluster,
    /// A machine. The name is the node's.
    Node,
    /// An etcd member. The name is the member's or, unknown, its node's.
    Member,
    /// A process: `etcd`, `kube-apiserver`, `kube-controller-manager`, `capi-controller-manager`.
    Component,
    /// A block device.
    Device,
    /// A Kubernetes resource, `resource.group` (`pods`, `leases.coordination.k8s.io`).
    Resource,
    /// Who sends requests: a user agent, a user, or an address.
    Client,
    /// An API Priority and Fairness priority level.
    PriorityLevel,
    /// A work queue or controller loop inside a component.
    Queue,
    /// A peer link, `FROM->TO`.
    Peer,
}

impl SubjectKind {
    /// The word used in `kind:name`.
    pub fn word(self) -> &'static str {
        match self {
            SubjectKind::Cluster => "cluster",
            SubjectKind::Node => "node",
            SubjectKind::Member => "member",
            SubjectKind::Component => "component",
            SubjectKind::Device => "device",
            SubjectKind::Resource => "resource",
            SubjectKind::Client => "client",
            SubjectKind::PriorityLevel => "priority-level",
            SubjectKind::Queue => "queue",
            SubjectKind::Peer => "peer",
        }
    }
}

/// One thing that readings are about. Prints as `kind:name@node`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// What kind of thing.
    pub kind: SubjectKind,
    /// Its name; empty for the cluster.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The node it was seen on, where that matters and is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl Subject {
    /// The whole control plane.
    pub fn cluster() -> Self {
        Subject {
            kind: SubjectKind::Cluster,
            name: String::new(),
            node: None,
        }
    }

    /// The node it is on, empty where it names none: a member's name is its node's, `NODE/events` for
    /// a second etcd.
    pub fn node_name(&self) -> &str {
        let name = match self.kind {
            SubjectKind::Member | SubjectKind::Node => self.name.as_str(),
            _ => self.node.as_deref().unwrap_or_default(),
        };
        name.split('/').next().unwrap_or_default()
    }

    /// How sentences name it: nothing but its program is known of an etcd whose log names no member.
    pub fn called(&self) -> &str {
        match (self.name.as_str(), self.kind) {
            ("", SubjectKind::Member) => "etcd",
            ("" | "unknown", _) | (_, SubjectKind::Cluster) => "a component",
            (name, _) => name,
        }
    }

    /// A thing with a name, on no particular node.
    pub fn new(kind: SubjectKind, name: impl Into<String>) -> Self {
        Subject {
            kind,
            name: name.into(),
            node: None,
        }
    }

    /// The same thing on a known node.
    #[must_use]
    pub fn on(mut self, node: impl Into<String>) -> Self {
        let node = node.into();
        self.node = (!node.is_empty()).then_some(node);
        self
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.word())?;
        if !self.name.is_empty() {
            write!(f, ":{}", self.name)?;
        }
        if let Some(node) = &self.node {
            write!(f, "@{node}")?;
        }
        Ok(())
    }
}

/// The span of time a reading holds for. An open end is unknown, not infinite.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First moment, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Last moment, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

impl Window {
    /// A window with both ends known.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Window {
            from: Some(from),
            to: Some(to),
        }
    }

    /// A single moment.
    pub fn at(at: Timestamp) -> Self {
        Window {
            from: Some(at),
            to: Some(at),
        }
    }

    /// Seconds covered, where both ends are known.
    pub fn secs(&self) -> Option<f64> {
        Some(self.to?.since_us(self.from?) as f64 / 1e6)
    }

    /// The smallest window that holds both.
    #[must_use]
    pub fn union(self, other: Window) -> Window {
        let pick = |a: Option<Timestamp>, b: Option<Timestamp>, least: bool| match (a, b) {
            (Some(a), Some(b)) => Some(if least { a.min(b) } else { a.max(b) }),
            (a, b) => a.or(b),
        };
        Window {
            from: pick(self.from, other.from, true),
            to: pick(self.to, other.to, false),
        }
    }

    /// The stretches of time that these windows cover, by time: those that touch are one. A window
    /// with an unknown end covers nothing that could be told.
    pub fn stretches(windows: impl IntoIterator<Item = Window>) -> Vec<Window> {
        let mut known: Vec<(Timestamp, Timestamp)> = windows
            .into_iter()
            .filter_map(|window| window.from.zip(window.to))
            .filter(|(from, to)| from <= to)
            .collect();
        known.sort_unstable();
        let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, to) in known {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        let between = |(from, to)| Window::between(from, to);
        joined.into_iter().map(between).collect()
    }

    /// Seconds in which both windows hold; `None` when an end is unknown.
    pub fn overlap_secs(&self, other: &Window) -> Option<f64> {
        let from = self.from?.max(other.from?);
        let to = self.to?.min(other.to?);
        Some((to.since_us(from) as f64 / 1e6).max(0.0))
    }
}

/// Which collector made a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Collector {
    /// Mounts, devices, cgroups, pressure, processes of a node.
    Host,
    /// Flags, environment and configuration files.
    Manifest,
    /// A live etcd's API.
    Etcd,
    /// Prometheus metrics.
    Metrics,
    /// Control-plane logs.
    Logs,
    /// The keyspace or the WAL.
    Keyspace,
    /// A benchmark run by this program.
    Bench,
}

impl Collector {
    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Collector::Host => "host",
            Collector::Manifest => "manifest",
            Collector::Etcd => "etcd",
            Collector::Metrics => "metrics",
            Collector::Logs => "logs",
            Collector::Keyspace => "keyspace",
            Collector::Bench => "bench",
        }
    }
}

/// How much of the truth the source can hold, from all of it to least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// Everything of its kind in the window.
    #[default]
    Exact,
    /// Only what passed a threshold or a sampler: a lower bound.
    AtLeast,
    /// Estimated.
    Estimate,
}

/// Where a reading came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Who measured.
    pub collector: Collector,
    /// The file, address or command, as the user would name it.
    pub source: String,
    /// How much of the truth that source can hold.
    #[serde(default)]
    pub completeness: Completeness,
}

impl Origin {
    /// An exact origin.
    pub fn new(collector: Collector, source: impl Into<String>) -> Self {
        Origin {
            collector,
            source: source.into(),
            completeness: Completeness::Exact,
        }
    }

    /// The same origin with another completeness.
    #[must_use]
    pub fn with(mut self, completeness: Completeness) -> Self {
        self.completeness = completeness;
        self
    }
}
