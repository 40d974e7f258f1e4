//! Is it a setting? Only settings that endanger data or break something count as a cause; the
//! rest is hygiene.

use super::assess::{Assessment, Case};
use super::cause::Cause;
use super::facts::node_of;
use crate::rules::{Finding, Severity};

/// Rules whose failure is a wrong or dangerous setting, gravest first.
const RULES: &[&str] = &[
    "write-barriers-off",
    "unsafe-no-fsync",
    "filesystem-unsuited",
    "flag-removed",
    "flag-and-environment",
    "overrides-invalid",
    "heartbeat-election-mismatch",
    "election-timeouts-unequal",
    "liveness-probe-kills",
    "known-bad-release",
    "node-status-frequency-trap",
    "leader-election-tight",
    "etcd-io-limited",
    "tls-rejections",
    "quota-above-maximum",
    "compaction-off",
];

/// Which symptom a setting explains.
const SYMPTOMS: &[(&str, &str)] = &[
    ("heartbeat-election-mismatch", "leader-unstable"),
    ("election-timeouts-unequal", "leader-unstable"),
    ("liveness-probe-kills", "component-restarting"),
    ("leader-election-tight", "leader-election-lost"),
    ("tls-rejections", "peer-link-unstable"),
    ("etcd-io-limited", "wal-fsync-slow"),
    ("compaction-off", "database-growing-fast"),
];

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let carry: Vec<&Finding> = case
        .all(RULES)
        .into_iter()
        .filter(|finding| finding.severity >= Severity::Warn)
        // A limit of I/O explains slow syncs where the disk itself is fast.
        .filter(|finding| {
            finding.rule != "etcd-io-limited"
                || case.facts.fast_device(&node_of(&finding.subject)).is_some()
        })
        // One member's late answers are no distance, where its disk or its CPU explains them.
        .filter(|finding| !(of_round_trips(finding) && answers_late(case)))
        .collect();
    let Some(first) = carry.iter().max_by_key(|f| f.severity) else {
        return Assessment::default();
    };
    // A doubtful setting alone explains nothing; with the symptom that it causes it does.
    let explains = SYMPTOMS.iter().find(|(setting, symptom)| {
        carry.iter().any(|finding| finding.rule == *setting) && case.has(symptom)
    });
    let confidence = match (first.severity, explains) {
        (Severity::Critical, _) => 0.9,
        (_, Some(_)) => 0.7,
        (_, None) => 0.45,
    };
    let summary = first.message.clone();
    let mut ordered = vec![*first];
    ordered.extend(carry.iter().filter(|f| **f != *first));
    if let Some((_, symptom)) = explains {
        ordered.extend(case.failed(symptom));
    }
    Assessment::of(
        Cause::Config,
        confidence,
        summary,
        &ordered,
        "whether the symptom that this setting causes is seen",
    )
}

/// Whether a finding about timers rests on how long members take to answer each other.
fn of_round_trips(finding: &Finding) -> bool {
    finding.rule == "heartbeat-election-mismatch"
        && finding.evidence.iter().any(|c| c.key == "server.peer.rtt")
}

/// Whether only one member answers its peers late, and its disk or its CPU keeps it from answering.
fn answers_late(case: &Case<'_>) -> bool {
    let odd = case.odd("server.peer.rtt-by");
    let held_up = case.all(&[
        "device-flush-slow",
        "device-write-slow",
        "wal-sync-stalled",
        "etcd-cpu-throttled",
        "run-delay-high",
    ]);
    odd.iter().any(|odd| {
        let on = node_of(&odd.subject);
        let same = |finding: &&Finding| node_of(&finding.subject) == on;
        let mut held_up = held_up.iter().filter(|f| f.severity >= Severity::Warn);
        held_up.any(same)
    })
}
