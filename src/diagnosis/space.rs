//! Is it space? The alarm says so itself.

use super::assess::{Assessment, Case, claim};
use super::cause::Cause;
use crate::evidence::keys;
use crate::rules::space::nospace_alarm::IS_OVER;
use crate::rules::{Finding, Severity};

const SETTLE: &str =
    "etcdctl endpoint status and alarm list, or the metrics of database size and quota";

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let mut alarm = case.failed("nospace-alarm");
    // What is contradicted by metrics is a note.
    alarm.retain(|finding| finding.severity >= Severity::Warn);
    let told = !alarm.is_empty();
    let over = alarm.iter().any(|finding| finding.aspect == IS_OVER);
    alarm.retain(|finding| finding.severity == Severity::Critical);
    let near = case.has_at("quota-near-limit", Severity::Critical);
    let disk = case.has_at("disk-space-low", Severity::Critical);
    let mut carry = case.all(&[
        "nospace-alarm",
        "quota-near-limit",
        "disk-space-low",
        "compaction-off",
        "database-growing-fast",
    ]);
    carry.retain(|f| f.rule != "nospace-alarm" || f.severity >= Severity::Warn);
    let confidence = if !alarm.is_empty() {
        // Several sources that agree make it sure.
        let cites = |key: &str| {
            let cited = alarm.iter().flat_map(|finding| &finding.evidence);
            cited.into_iter().any(|cited| cited.key == key)
        };
        let both = cites(keys::LOGS_ALARMS.info.name) && cites(keys::DB_SIZE.info.name);
        if alarm.len() > 1 || both { 0.97 } else { 0.9 }
    } else if disk {
        0.7
    } else if over {
        // Writes were refused for it within the evidence, whatever else there is.
        0.7
    } else if case.facts.full_soon && case.has_at("database-growing-fast", Severity::Critical) {
        0.65
    } else if near {
        0.6
    } else if told {
        // The database was full, and is not any more.
        0.45
    } else if case.has_at("database-growing-fast", Severity::Critical) {
        // In some hours, as one window goes on: nothing waits for room yet.
        0.45
    } else {
        return Assessment::default();
    };
    // What the database is by its own numbers says more than that somebody logged it, and is of
    // those members only.
    let by_numbers: Vec<&Finding> = ["the database is", "the database was", "the NOSPACE alarm"]
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
    let summary = claim(told);
    Assessment::of(Cause::Space, confidence, summary, &carry, SETTLE)
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::{Cause, diagnose};
    use crate::evidence::keys;
    use crate::profile::Profile;
    use crate::rules::testing::{Set, member};
    use crate::rules::{RULES, run};

    #[test]
    fn a_quota_that_is_reached_soon_is_space_or_may_become_it() {
        let profile = Profile::default();
        let within = |secs: f64| {
            let set = Set::new().put(&keys::DB_TIME_TO_FULL, member(), secs);
            let found = diagnose(&set.0, &run(RULES, &set.0, &profile), &profile);
            let mut others = found.alternatives.iter();
            (
                found.verdict.cause,
                others.any(|other| other.cause == Cause::Space),
            )
        };
        assert_eq!(within(300.0), (Cause::Space, false));
        assert_eq!(within(1_421.0), (Cause::Unknown, true));
        assert_eq!(within(80_000.0), (Cause::Unknown, false));
    }
}
