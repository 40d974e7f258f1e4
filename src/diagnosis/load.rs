//! Is it what is asked of etcd? A bad client is named before a resource.

use super::assess::{Assessment, Case};
use super::cause::Cause;
use crate::rules::{Finding, Severity};

/// The rule of a client that asks etcd and not kube-apiserver.
pub(super) const LEASES: &str = "leases-granted-fast";

/// The rule of a client that asks and changes nothing.
const LOOP: &str = "client-hot-loop";

/// Faults of etcd's own processor, disk and space: where one is measured and critical, a client that
/// wastes requests is not what is broken.
const GRAVER: &[&str] = &[
    "backend-commit-slow",
    "cpu-steal-high",
    "device-flush-slow",
    "device-write-slow",
    "disk-space-low",
    "etcd-cpu-throttled",
    "etcd-io-limited",
    "filesystem-read-only",
    "kernel-io-errors",
    "nospace-alarm",
    "quota-near-limit",
    "run-delay-high",
    "wal-fsync-slow",
    "wal-sync-stalled",
];

/// Whether one of them was measured; what a log tells is weighed elsewhere.
fn graver(case: &Case<'_>) -> bool {
    let critical = |f: &&Finding| f.failed() && f.severity == Severity::Critical;
    let mut found = case.findings.iter().filter(critical);
    found.any(|f| {
        let mut cited = f.evidence.iter();
        GRAVER.contains(&f.rule.as_str()) && cited.any(|cited| !cited.key.starts_with("logs."))
    })
}

/// What would settle it, as far as it was not read yet.
fn settle(metrics: bool, audit: bool) -> &'static str {
    match (metrics, audit) {
        (false, false) => {
            "the apiserver's metrics (etcd requests by resource) and its audit log (requests by client)"
        }
        (false, true) => "the apiserver's metrics (etcd requests by resource)",
        (true, false) => "the apiserver's audit log (requests by client)",
        (true, true) => {
            "whether it gets faster while that client is paused: what it asks for is known already"
        }
    }
}

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let lists = !case.failed("expensive-lists").is_empty();
    let lister = case.has_at("client-heavy-lists", Severity::Warn);
    // Those of an etcd of their own are a note.
    let events = case.has_at("events-dominate", Severity::Warn);
    // Slow requests alone do not tell a flood of Events from changes that are slow for another reason.
    let counted = events && case.measured("events-dominate");
    // One that is only seen to write much is a note.
    let loops = case.has_at(LOOP, Severity::Warn);
    // A writer that waits for each answer asks at equal gaps as well, and at those that a slow etcd
    // makes; one that asks for what is gone spins whatever etcd does.
    let spins = loops && case.measured(LOOP);
    // No kube-apiserver asks for leases at such a rate: somebody talks to etcd directly.
    let leases = case.has_at(LEASES, Severity::Warn);
    let etcd_well = case.facts.etcd_seen
        && case.facts.fsync_fast.is_some()
        && !case.etcd_is_ill()
        && !case.etcd_is_slow();
    // etcd's own counters show whom the processor that it lacks is used for.
    let burns = case.burns().next().is_some();
    let confidence = if lists && lister {
        if case.measured("expensive-lists") {
            0.9
        } else {
            0.8
        }
    } else if counted || spins || burns {
        0.8
    } else if loops && etcd_well {
        0.7
    } else if case.measured("expensive-lists") {
        0.75
    } else if lists {
        0.6
    } else if leases && case.has("slow-requests") {
        0.7
    } else if loops || events || leases {
        0.45
    } else if lister {
        // Somebody lists a lot; that this is what slows etcd down is not shown.
        0.4
    } else {
        return Assessment::default();
    };
    // While etcd itself is slow, and neither its disk nor its CPU is cleared, slow requests may be the
    // effect.
    let ill = [
        "wal-fsync-slow",
        "wal-sync-stalled",
        "heartbeat-late",
        "read-index-slow",
    ]
    .iter()
    .any(|rule| case.has(rule));
    let cleared = case.facts.device_fast.is_some() && case.facts.cpu_free.is_some();
    let doubted = match lists || leases {
        true => ill,
        // Events and a client that spins are small requests, which make no sync and no read wait: what
        // is slow beside them was not slowed by them alone.
        false => ill || case.etcd_is_ill() || case.has_at("slow-requests", Severity::Warn),
    } && !cleared
        && !burns;
    let leads = loops && !lists && !events;
    let told = match doubted || leads && graver(case) {
        true => f64::min(confidence, 0.45),
        false => confidence,
    };
    // Whoever causes it comes first; the strongest sign leads.
    let order: &[&str] = if lists || (lister && !events && !loops) {
        &[
            "client-heavy-lists",
            "expensive-lists",
            "events-dominate",
            "client-hot-loop",
            "leases-granted-fast",
            "slow-requests",
        ]
    } else if events {
        &[
            "events-dominate",
            "client-heavy-lists",
            "client-hot-loop",
            "leases-granted-fast",
            "slow-requests",
        ]
    } else {
        &["client-hot-loop", "leases-granted-fast", "slow-requests"]
    };
    let mut carry = case.all(order);
    carry.retain(|finding| finding.rule != LOOP || finding.severity >= Severity::Warn);
    let mut summary = carry
        .first()
        .map_or_else(String::new, |finding| finding.message.clone());
    if let Some(second) = carry.iter().find(|f| f.rule == "expensive-lists")
        && carry.first().is_some_and(|f| f.rule != second.rule)
    {
        summary = format!("{summary}; {}", second.message);
    }
    let audit = carry
        .iter()
        .flat_map(|finding| &finding.evidence)
        .any(|cited| cited.key.starts_with("logs.audit"));
    let of_leases = carry.first().is_some_and(|f| f.rule == LEASES);
    let settle = match of_leases {
        true => "which client of etcd grants them: `ss -tnp` on port 2379 beside the members",
        false => settle(case.facts.metrics, audit),
    };
    let mut assessment = Assessment::of(Cause::QueryLoad, told, summary, &carry, settle);
    // What was counted stays so beside another cause, which explains what is slow.
    if (counted || spins)
        && let Some(weak) = &mut assessment.weak
    {
        weak.confidence = confidence;
    }
    assessment
}
