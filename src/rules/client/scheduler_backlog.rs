//! Pods wait to be scheduled in the active queue: the scheduler does not keep up.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "scheduler-backlog",
    summary: "pods pile up before the scheduler",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "scheduler-backlog",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("scheduler-pending");
    let mut drafts = Vec::new();
    let tables = cx.evidence.some(&keys::SCHEDULER_PENDING)?;
    cx.evidence.take_citations();
    for (subject, table) in tables {
        // Unschedulable and gated pods wait for the cluster, not for the scheduler.
        let waiting: f64 = ["active", "backoff"]
            .iter()
            .filter_map(|queue| table.row(queue)?.get("max_pods"))
            .sum();
        if waiting < limit.value {
            continue;
        }
        let words = format!("{waiting:.0} pods in the scheduler's active and backoff queues");
        cx.evidence
            .cite_as(&keys::SCHEDULER_PENDING, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                .confidence(Confidence::High)
                .threshold(limit.words())
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

    #[test]
    fn unschedulable_pods_do_not_count() {
        let limit = crate::profile::Profile::default().get("scheduler-pending");
        let with = |active: f64| {
            Set::new().put(
                &keys::SCHEDULER_PENDING,
                component("kube-scheduler"),
                table(&[
                    ("active", &[("max_pods", active)]),
                    ("unschedulable", &[("max_pods", 1e4)]),
                ]),
            )
        };
        assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
