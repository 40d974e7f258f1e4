//! Controllers that talk to kube-apiserver: how each is known and which knobs it has in which
//! version. The table is `profiles/controllers.toml`.

mod find;
mod parse;

use std::sync::LazyLock;

use super::releases::Version;

pub use find::{component_of_pod, has_generated_end, is_generated};
pub use parse::parse;

/// The client that words of the client library are ascribed to where a log of several programs does
/// not say whose they are. It has no knobs: which program's to turn is not known.
pub const UNNAMED_CLIENT: &str = "a client whose name the log does not give";

/// A component's name for a sentence: in words where its log does not tell whose it is.
pub fn shown(name: &str) -> &str {
    match name {
        "unknown" => UNNAMED_CLIENT,
        known => known,
    }
}

/// What a knob turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Requests per second of its client.
    Qps,
    /// Burst of its client.
    Burst,
    /// Objects worked on at once.
    Workers,
    /// Rate of its work queue.
    QueueQps,
    /// Burst of its work queue.
    QueueBurst,
    /// Whether replicas elect a leader.
    LeaderElection,
    /// How long a lease holds.
    LeaseDuration,
    /// How long the leader tries to renew.
    RenewDeadline,
    /// Pause between two tries.
    RetryPeriod,
    /// How often every object is looked at without a change.
    SyncPeriod,
}

/// What one client limit holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// The whole process.
    Process,
    /// Each control loop by itself.
    Loop,
    /// Each kind of object by itself (controller-runtime shares no limiter between kinds).
    Kind,
}

impl Buckets {
    /// Whom the limit holds for, after "for".
    pub fn whom(self) -> &'static str {
        match self {
            Buckets::Process => "the whole process",
            Buckets::Loop => "each of its loops by itself",
            Buckets::Kind => "each kind of object by itself",
        }
    }
}

/// A published pair of QPS and burst.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientStep {
    /// Requests per second.
    pub qps: f64,
    /// Burst.
    pub burst: f64,
    /// Who published it.
    pub source: String,
}

/// A published number of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStep {
    /// Workers.
    pub value: f64,
    /// Objects for which it was published; 0 where that was not said.
    pub objects: u64,
    /// Who published it.
    pub source: String,
}

/// Whether a version knows a knob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It does.
    Yes,
    /// It came later, with this version.
    NotYet(Version),
    /// It is gone since this version.
    Gone(Version),
    /// The version is not known, and not every version has it.
    Unknown,
}

/// One knob.
#[derive(Clone, Debug)]
pub struct Knob {
    /// What it turns.
    pub role: Role,
    /// Every spelling; the first one is what is advised where nothing is set.
    pub names: Vec<String>,
    /// Its path in the chart's values.
    pub helm: Option<String>,
    /// The ConfigMap that holds it.
    pub config_map: Option<String>,
    /// Defaults by the version from which on they hold, oldest first.
    pub defaults: Vec<(Option<Version>, String)>,
    /// The first version that knows it.
    pub since: Option<Version>,
    /// The first version that no longer does.
    pub removed: Option<Version>,
    /// More than one worker is unsafe before this version.
    pub unsafe_before: Option<Version>,
    /// Queues or controllers it serves; `*` for all.
    pub loops: Vec<String>,
    /// Resources whose objects those loops work on.
    pub objects: Vec<String>,
    /// Published values.
    pub steps: Vec<WorkerStep>,
    /// What else is to be said.
    pub note: Option<String>,
}

/// One controller.
#[derive(Clone, Debug)]
pub struct Controller {
    /// Its id in this table.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Names of its workload or component.
    pub names: Vec<String>,
    /// Parts of its image's path.
    pub images: Vec<String>,
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `static pod`, `node`.
    pub kind: String,
    /// Namespaces in which its installers put it.
    pub namespaces: Vec<String>,
    /// The container that takes the knobs, where that is known.
    pub container: Option<String>,
    /// The path in its chart's values that switches it on.
    pub helm_create: Option<String>,
    /// What its chart asks for beside a value below the same key, by path.
    pub helm_beside: Vec<(String, String)>,
    /// The path of its number of replicas there.
    pub helm_replicas: Option<String>,
    /// What a client limit holds for.
    pub buckets: Buckets,
    /// Whether it runs on every node.
    pub per_node: bool,
    /// Resources of which it looks at every object each sync period.
    pub objects: Vec<String>,
    /// Published pairs.
    pub steps: Vec<ClientStep>,
    /// What else is to be said.
    pub note: Option<String>,
    /// Where all this comes from.
    pub source: String,
    /// Its knobs.
    pub knobs: Vec<Knob>,
}

const TEXT: &str = include_str!("../../../profiles/controllers.toml");

static BUILT_IN: LazyLock<Vec<Controller>> = LazyLock::new(|| {
    // A test loads the embedded file, so that it cannot be shipped broken.
    parse(TEXT).unwrap_or_default()
});

/// Every controller that is known.
pub fn controllers() -> &'static [Controller] {
    &BUILT_IN
}

/// Whether the table may hold a name. Most names are no controller's, and for them it need not be read.
fn is_mentioned(name: &str) -> bool {
    TEXT.contains(name)
}

impl Knob {
    /// Whether versions between two know it.
    pub fn known(&self, oldest: Option<Version>, newest: Option<Version>) -> Known {
        match (self.since, oldest) {
            (Some(since), Some(oldest)) if oldest < since => return Known::NotYet(since),
            (Some(_), None) => return Known::Unknown,
            _ => {}
        }
        match (self.removed, newest) {
            (Some(removed), Some(newest)) if newest >= removed => Known::Gone(removed),
            (Some(_), None) => Known::Unknown,
            _ => Known::Yes,
        }
    }

    /// The default, where it is the same for all versions between two.
    pub fn default_for(&self, oldest: Option<Version>, newest: Option<Version>) -> Option<&str> {
        let at = |version: Version| {
            self.defaults
                .iter()
                .rev()
                .find(|(from, _)| from.is_none_or(|from| version >= from))
                .map(|(_, value)| value.as_str())
        };
        if let [(None, only)] = self.defaults.as_slice() {
            return Some(only);
        }
        let (old, new) = (at(oldest?)?, at(newest?)?);
        (old == new).then_some(old)
    }

    /// Whether these workers serve a queue or controller.
    pub fn serves(&self, name: &str) -> bool {
        self.loops.iter().any(|one| one == "*" || one == name)
    }
}

impl Controller {
    /// The first knob of a role.
    pub fn knob(&self, role: Role) -> Option<&Knob> {
        self.knobs.iter().find(|knob| knob.role == role)
    }

    /// All knobs of a role.
    pub fn knobs_of(&self, role: Role) -> impl Iterator<Item = &Knob> {
        self.knobs.iter().filter(move |knob| knob.role == role)
    }

    /// The knob that a name sets.
    pub fn knob_named(&self, name: &str) -> Option<&Knob> {
        self.knobs
            .iter()
            .find(|knob| knob.names.iter().any(|have| have == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_id(id: &str) -> &'static Controller {
        controllers().iter().find(|c| c.id == id).unwrap()
    }

    #[test]
    fn the_table_is_whole() {
        parse(TEXT).unwrap();
        let mut ids: Vec<&str> = controllers().iter().map(|c| c.id.as_str()).collect();
        let mut names: Vec<&str> = controllers()
            .iter()
            .flat_map(|c| c.names.iter().map(String::as_str))
            .collect();
        for list in [&mut ids, &mut names] {
            let all = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), all, "something is named twice");
        }
        for controller in controllers() {
            assert!(!controller.source.is_empty(), "{}", controller.id);
            assert!(controller.steps.is_sorted_by(|a, b| a.qps < b.qps));
            for knob in &controller.knobs {
                assert!(!knob.names.is_empty(), "{}", controller.id);
                assert!(knob.steps.is_sorted_by(|a, b| a.value < b.value));
                assert!(knob.defaults.is_sorted_by(|a, b| a.0 < b.0));
            }
        }
    }

    #[test]
    fn defaults_and_flags_follow_the_version() {
        let old = Version::parse("1.7.2");
        let new = Version::parse("1.13.0");
        let capi = by_id("cluster-api");
        let qps = capi.knob(Role::Qps).unwrap();
        assert_eq!(qps.default_for(old, old), Some("20"));
        assert_eq!(qps.default_for(new, new), Some("100"));
        assert_eq!(qps.default_for(None, None), None);
        assert_eq!(qps.default_for(old, new), None);
        assert_eq!(qps.known(old, old), Known::Yes);
        assert_eq!(
            qps.known(Version::parse("1.4.0"), old),
            Known::NotYet(Version::minor(1, 5))
        );
        assert_eq!(qps.known(None, None), Known::Unknown);
        let cluster = by_id("cluster-api-bootstrap-kubeadm")
            .knob_named("cluster-concurrency")
            .unwrap();
        assert_eq!(cluster.known(new, new), Known::Gone(Version::minor(1, 13)));
        assert_eq!(cluster.known(old, old), Known::Yes);
        assert!(!cluster.serves("cluster"));
        let kubelet = by_id("kubelet").knob(Role::Qps).unwrap();
        let k126 = Version::parse("1.26.9");
        assert_eq!(kubelet.default_for(k126, k126), Some("5"));
        assert_eq!(kubelet.default_for(k126, Version::parse("1.27.0")), None);
    }
}
