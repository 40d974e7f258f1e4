//! Is it a setting? Only settings that endanger data or break something count as a cause; the
//! rest is hygiene.

use super::assess::{Assessment, Case};
use super::cause::Cause;
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
    "quota-above-maximum",
    "compaction-off",
];

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let carry: Vec<&Finding> = case
        .all(RULES)
        .into_iter()
        .filter(|finding| finding.severity >= Severity::Warn)
        .collect();
    let Some(first) = carry.iter().max_by_key(|f| f.severity) else {
        return Assessment::default();
    };
    let confidence = if first.severity == Severity::Critical {
        0.9
    } else {
        0.6
    };
    let summary = first.message.clone();
    let mut ordered = vec![*first];
    ordered.extend(carry.iter().filter(|f| **f != *first));
    Assessment::of(
        Cause::Config,
        confidence,
        summary,
        &ordered,
        "the settings of every component",
    )
}
