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
        // Both queues at one look: the most of each may be of different ones. Unschedulable and gated
        // pods wait for the cluster, not for the scheduler. What was saved by an older version has no
        // common row, and then the fuller queue is what is sure.
        let most = |row: &str| table.row(row)?.get("max_pods");
        let fuller = || [most("active"), most("backoff")].into_iter().flatten();
        let Some(waiting) = most("waiting").or_else(|| fuller().reduce(f64::max)) else {
            continue;
        };
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
        let with = |rows: &[(&str, f64)]| {
            let cells: Vec<_> = rows
                .iter()
                .map(|(row, n)| (*row, [("max_pods", *n)]))
                .collect();
            let mut rows: Vec<_> = cells
                .iter()
                .map(|(row, cells)| (*row, &cells[..]))
                .collect();
            rows.push(("unschedulable", &[("max_pods", 1e4)]));
            Set::new().put(
                &keys::SCHEDULER_PENDING,
                component("kube-scheduler"),
                table(&rows),
            )
        };
        let fails = (Status::Fail, Severity::Warn);
        assert_eq!(with(&[("waiting", limit)]).status(&RULE), fails);
        assert_eq!(
            with(&[("waiting", limit - 1.0)]).status(&RULE).0,
            Status::Pass
        );
        // First one is full and then the other: the same pods.
        let moved = [
            ("active", limit - 1.0),
            ("backoff", limit - 1.0),
            ("waiting", limit - 1.0),
        ];
        assert_eq!(with(&moved).status(&RULE).0, Status::Pass);
        assert_eq!(with(&[("active", limit)]).status(&RULE), fails);
        assert_eq!(
            with(&[("active", limit - 1.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
