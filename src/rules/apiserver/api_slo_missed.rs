//! The API misses its service level objectives. A symptom: what makes it miss them is for other rules
//! to find.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::latency;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "api-slo-missed",
    summary: "the API is slower than Kubernetes' service level objectives",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "api-slo-missed",
    check,
};

/// Fewer requests than this make no p99.
const MIN_REQUESTS: f64 = 100.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for (subject, table) in cx.evidence.some(&keys::SLO)? {
        let mut missed = Vec::new();
        for row in &table.rows {
            let (Some(low), Some(limit)) = (row.get("max_p99_low_ms"), row.get("limit_ms")) else {
                continue;
            };
            // The whole bracket lies above the limit, or the objective was surely missed.
            if low < limit || row.get("requests").is_some_and(|n| n < MIN_REQUESTS) {
                continue;
            }
            let bracket = match row.get("max_p99_ms") {
                Some(high) => latency::between(low, high),
                None => format!("above {}", number(low, Unit::Ms)),
            };
            let what = row
                .get_text("worst")
                .map_or_else(|| row.key.clone(), |worst| format!("{} ({worst})", row.key));
            missed.push(format!(
                "{what}: p99 {bracket}, the objective is {}",
                number(limit, Unit::Ms)
            ));
        }
        if missed.is_empty() {
            continue;
        }
        let words = missed.join("; ");
        cx.evidence.cite_as(&keys::SLO, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                .confidence(Confidence::High)
                .threshold(
                    "Kubernetes SLOs: p99 of 1 s for writes and single reads, 30 s for lists; the scheduler's \
                     and the kubelet's limits as shown",
                )
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    fn of(low: f64, requests: f64) -> Set {
        Set::new().put(
            &keys::SLO,
            component("kube-apiserver"),
            table(&[(
                "mutating",
                &[
                    ("max_p99_low_ms", low),
                    ("limit_ms", 1000.0),
                    ("requests", requests),
                ],
            )]),
        )
    }

    #[test]
    fn only_a_bracket_wholly_above_the_objective_fails() {
        let with = |low: f64| of(low, 100.0);
        assert_eq!(with(1000.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(of(1000.0, 99.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(999.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
