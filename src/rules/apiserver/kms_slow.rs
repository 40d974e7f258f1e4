//! The KMS plug-in that decrypts what kube-apiserver stores is slow, or fails: reads and writes of secrets
//! wait for it, and etcd has no part in that.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "kms-slow",
    summary: "the KMS plug-in of kube-apiserver is slow or fails",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "kms-slow",
    check,
};

const KINDS: &[&str] = &["kms-failed"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let took = cx.profile.limit("kms-took");
    let least = cx.profile.limit("kms-calls");
    let logged = events::at_least(
        cx,
        &[KINDS],
        least,
        "failed calls of the KMS plug-in",
        |seen| format!("{:.0} calls of the KMS plug-in failed", seen.count),
    );
    let metrics = cx.evidence.some(&keys::APISERVER_KMS);
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = Vec::new();
    for (subject, table) in metrics.iter().flatten() {
        for row in &table.rows {
            let count = |column| row.get(column).unwrap_or(0.0);
            let (calls, failed) = (count("calls"), count("failed"));
            let mean = count("total_secs") * 1e3 / calls.max(1.0);
            let slow = calls >= least.value && mean >= took.value;
            if !slow && failed < least.value {
                continue;
            }
            let fails = match failed > 0.0 {
                true => format!(", and {failed:.0} of them failed"),
                false => String::new(),
            };
            let words = format!(
                "the KMS plug-in {} took {} for each of {calls:.0} calls{fails}",
                row.key,
                format_ms(mean)
            );
            cx.evidence
                .cite_as(&keys::APISERVER_KMS, subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Warn, words)
                    .aspect(row.key.as_str())
                    .confidence(Confidence::High)
                    .threshold(if slow { took.words() } else { least.words() })
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    // Metrics name it; the lines are of the same calls.
    Verdict::of_metrics_first(drafts, metrics, logged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn slow_ones_and_those_that_fail() {
        let profile = crate::profile::Profile::default();
        let (took, least) = (profile.get("kms-took"), profile.get("kms-calls"));
        let with = |calls: f64, mean: f64, failed: f64| {
            let row: &[(&str, f64)] = &[
                ("calls", calls),
                ("failed", failed),
                ("total_secs", calls * mean / 1e3),
            ];
            Set::new()
                .put(
                    &keys::APISERVER_KMS,
                    component("kube-apiserver"),
                    table(&[("kms1", row)]),
                )
                .status(&RULE)
        };
        assert_eq!(with(least, took, 0.0), (Status::Fail, Severity::Warn));
        assert_eq!(with(least - 1.0, took, 0.0).0, Status::Pass);
        assert_eq!(with(least, took * 0.9, 0.0).0, Status::Pass);
        assert_eq!(with(100.0, 1.0, least).0, Status::Fail);
        assert_eq!(with(100.0, 1.0, least - 1.0).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn lines_count_from_the_limit_on() {
        let limit = crate::profile::Profile::default().get("kms-calls");
        let with = |count: f64| {
            let lines = table(&[(KINDS[0], &[("count", count)])]);
            Set::new()
                .put(&keys::LOGS_EVENTS, component("kube-apiserver"), lines)
                .status(&RULE)
                .0
        };
        assert_eq!(with(limit), Status::Fail);
        assert_eq!(with(limit - 1.0), Status::Pass);
    }
}
