//! The controllers that the evidence shows, with their knobs and both bounds of their loops: what
//! advice about them is made from, as a value to print.

use serde::Serialize;

use crate::catalog::controllers::{Buckets, Known, Role};

use super::Input;
use super::facts::Facts;
use super::model::bounds;
use super::process::Process;

/// One knob of a controller.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnobView {
    /// What it turns: `qps`, `burst`, `workers`, …
    pub role: &'static str,
    /// The spelling in force, or the one to use.
    pub setting: String,
    /// Its value, or null where neither setting nor default is known.
    pub value: Option<String>,
    /// Whether somebody set it; else the value is the default of the version.
    pub set: bool,
    /// Why it cannot be used in this version, or null.
    pub unusable: Option<String>,
}

/// Both bounds of one loop, in reconciles a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoopView {
    /// Queue or controller.
    pub name: String,
    /// Deepest its queue was.
    pub depth: f64,
    /// What was done.
    pub done_per_sec: Option<f64>,
    /// QPS over the requests of one reconcile.
    pub limiter_per_sec: Option<f64>,
    /// Workers over the seconds of one reconcile.
    pub workers_per_sec: Option<f64>,
    /// The lower one: `limiter` or `workers`; null where one of them is not known.
    pub binds: Option<&'static str>,
}

/// One controller.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ControllerView {
    /// Its name: as its manifest gives it, else as its log or metrics do.
    pub name: String,
    /// Its id in the catalogue, or null where it is not known there.
    pub controller: Option<&'static str>,
    /// Its version, or the span over its replicas; null where not known.
    pub version: Option<String>,
    /// What runs it, or null.
    pub kind: Option<String>,
    /// Its namespace, or null.
    pub namespace: Option<String>,
    /// Its replicas, or null.
    pub replicas: Option<f64>,
    /// Whether it waits for its own limiter long enough to matter.
    pub throttled: bool,
    /// What one client limit holds for: `process`, `loop`, `kind`; null where not known.
    pub limit_holds_for: Option<&'static str>,
    /// Requests of one reconcile, where both rates were measured.
    pub requests_per_reconcile: Option<f64>,
    /// Its knobs.
    pub knobs: Vec<KnobView>,
    /// Its loops with work, the deepest queue first.
    pub loops: Vec<LoopView>,
}

/// Every controller that any evidence shows.
pub fn controllers(input: &Input<'_>) -> Vec<ControllerView> {
    let facts = Facts::new(input);
    facts
        .processes()
        .iter()
        .filter(|process| process.known.is_some() || process.throttled)
        .map(|process| view(&facts, process))
        .collect()
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Qps => "qps",
        Role::Burst => "burst",
        Role::Workers => "workers",
        Role::QueueQps => "queue-qps",
        Role::QueueBurst => "queue-burst",
        Role::LeaderElection => "leader-election",
        Role::LeaseDuration => "lease-duration",
        Role::RenewDeadline => "renew-deadline",
        Role::RetryPeriod => "retry-period",
        Role::SyncPeriod => "sync-period",
    }
}

fn view(facts: &Facts<'_>, process: &Process) -> ControllerView {
    let workload = process.workload.as_ref();
    let mut knobs = Vec::new();
    for knob in process.known.map_or(&[][..], |known| &known.knobs) {
        let set = process.knob(facts, knob);
        let unusable = match process.knows(knob) {
            Known::Yes => None,
            Known::NotYet(first) => Some(format!("came with {first}")),
            Known::Gone(since) => Some(format!("gone since {since}")),
            Known::Unknown => {
                Some("not every version has it, and this one is not known".to_owned())
            }
        };
        // Of many workers those that are set or at work are of interest.
        let busy = process.loops.iter().any(|one| knob.serves(&one.name));
        if knob.role == Role::Workers && !set.set && !busy {
            continue;
        }
        knobs.push(KnobView {
            role: word(knob.role),
            value: set.words(),
            set: set.set,
            setting: set.name,
            unusable,
        });
    }
    let qps = process
        .known
        .and_then(|known| known.knob(Role::Qps))
        .and_then(|knob| process.knob(facts, knob).number());
    let loops = bounds(facts, process, qps)
        .into_iter()
        .map(|bound| LoopView {
            binds: bound.binds(),
            depth: process
                .loops
                .iter()
                .find(|one| one.name == bound.name)
                .map_or(0.0, |one| one.depth),
            name: bound.name,
            done_per_sec: bound.done,
            limiter_per_sec: bound.limiter,
            workers_per_sec: bound.workers,
        })
        .collect();
    ControllerView {
        name: process.name.clone(),
        controller: process.known.map(|known| known.id.as_str()),
        version: process.version.map(super::facts::Span::words),
        kind: workload.map(|workload| workload.kind.clone()),
        namespace: workload.and_then(|workload| workload.namespace.clone()),
        replicas: workload.and_then(|workload| workload.replicas),
        throttled: process.throttled,
        limit_holds_for: process.known.map(|known| match known.buckets {
            Buckets::Process => "process",
            Buckets::Loop => "loop",
            Buckets::Kind => "kind",
        }),
        requests_per_reconcile: process.requests_each(),
        knobs,
        loops,
    }
}
