//! Is it space? The alarm says so itself.

use super::assess::{Assessment, Case, names};
use super::cause::Cause;
use crate::rules::{Finding, Severity};

const SETTLE: &str =
    "etcdctl endpoint status and alarm list, or the metrics of database size and quota";

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let mut alarm = case.failed("nospace-alarm");
    let told = !alarm.is_empty();
    alarm.retain(|finding| finding.severity == Severity::Critical);
    let near = case.has_at("quota-near-limit", Severity::Critical);
    let disk = case.has_at("disk-space-low", Severity::Critical);
    let carry = case.all(&[
        "nospace-alarm",
        "quota-near-limit",
        "disk-space-low",
        "compaction-off",
        "database-growing-fast",
    ]);
    let confidence = if !alarm.is_empty() {
        // Several sources that agree make it sure.
        if alarm.len() > 1 { 0.97 } else { 0.9 }
    } else if disk {
        0.7
    } else if case.facts.full_soon && case.has_at("database-growing-fast", Severity::Critical) {
        0.65
    } else if near {
        0.6
    } else if told {
        // The database was full, and is not any more.
        0.45
    } else {
        return Assessment::default();
    };
    // What the database is by its own numbers says more than that somebody logged it, and is of
    // those members only.
    let by_numbers: Vec<&Finding> = ["the database is", "the NOSPACE alarm"]
        .iter()
        .map(|begin| {
            let mut told = carry.clone();
            told.retain(|finding| finding.message.starts_with(begin));
            told
        })
        .find(|told| !told.is_empty())
        .unwrap_or_default();
    let told = if by_numbers.is_empty() {
        &carry
    } else {
        &by_numbers
    };
    let on = names(told);
    let mut summary = told
        .first()
        .map_or_else(String::new, |finding| finding.message.clone());
    if !on.is_empty() {
        summary = format!("{summary} ({on})");
    }
    Assessment::of(Cause::Space, confidence, summary, &carry, SETTLE)
}
