//! A controller does not keep up with its queue.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "workqueue-backlog",
    summary: "a controller does not keep up with its work queue",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "workqueue-backlog",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("workqueue-depth");
    let mut drafts = Vec::new();
    let tables = cx.evidence.some(&keys::WORKQUEUES)?;
    cx.evidence.take_citations();
    for (subject, table) in tables {
        let deep: Vec<String> = table
            .top("max_depth")
            .iter()
            .filter(|(_, depth)| *depth >= limit.value)
            .take(5)
            .map(|(row, depth)| format!("{} {depth:.0}", row.key))
            .collect();
        if deep.is_empty() {
            continue;
        }
        let words = format!("queues of {}: {}", subject.name, deep.join(", "));
        cx.evidence
            .cite_as(&keys::WORKQUEUES, &subject, words.clone());
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
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("workqueue-depth");
        let with = |depth: f64| {
            Set::new().put(
                &keys::WORKQUEUES,
                component("kube-controller-manager"),
                table(&[("replicaset", &[("max_depth", depth)])]),
            )
        };
        assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
