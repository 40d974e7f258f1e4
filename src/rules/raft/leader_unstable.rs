//! The leader changes again and again.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "leader-unstable",
    summary: "the etcd leader changes again and again",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "leader-unstable",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("leader-changes");
    let metrics = cx.evidence.some(&keys::LEADER_CHANGES);
    let logs = cx.evidence.some(&keys::LOGS_ELECTIONS);
    let mut drafts = Vec::new();
    if let Ok(metrics) = &metrics {
        for (subject, count) in metrics.iter().filter(|(_, count)| *count > limit.value) {
            cx.evidence.cite(&keys::LEADER_CHANGES, subject);
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Critical,
                    format!("{count:.0} leader changes seen in the window"),
                )
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let Ok(logs) = &logs {
        // Every member writes lines of its own about one election, so terms are counted.
        let unplanned: f64 = logs
            .iter()
            .map(|(_, table)| {
                table
                    .row("unplanned")
                    .and_then(|row| row.get("terms"))
                    .unwrap_or(0.0)
            })
            .fold(0.0, f64::max);
        if unplanned > limit.value && drafts.is_empty() {
            for (subject, _) in logs {
                cx.evidence.cite_as(
                    &keys::LOGS_ELECTIONS,
                    subject,
                    format!("{unplanned:.0} unplanned elections (terms)"),
                );
            }
            drafts.push(
                Draft::new(
                    Subject::cluster(),
                    Severity::Critical,
                    format!("{unplanned:.0} unplanned elections, counted by term"),
                )
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    Verdict::of_either(drafts, metrics, logs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn both_sides_of_the_limit_from_either_source() {
        let limit = crate::profile::Profile::default().get("leader-changes");
        let metrics = |n: f64| Set::new().put(&keys::LEADER_CHANGES, member(), n);
        assert_eq!(metrics(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            metrics(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        let logs = |n: f64| {
            Set::new().put(
                &keys::LOGS_ELECTIONS,
                Subject::cluster(),
                table(&[
                    ("unplanned", &[("terms", n)]),
                    ("planned", &[("terms", 9.0)]),
                ]),
            )
        };
        assert_eq!(logs(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            logs(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
