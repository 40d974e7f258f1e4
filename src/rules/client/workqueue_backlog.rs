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
        let deep = |column: &str| -> Option<String> {
            let queues: Vec<String> = table
                .top(column)
                .iter()
                .filter(|(_, depth)| *depth >= limit.value)
                .take(5)
                .map(|(row, depth)| format!("{} {depth:.0}", row.key))
                .collect();
            (!queues.is_empty())
                .then(|| format!("queues of {}: {}", subject.name, queues.join(", ")))
        };
        let (severity, confidence, words) = if let Some(words) = deep("max_standing_depth") {
            (Severity::Warn, Confidence::High, words)
        } else if let Some(words) = deep("last_depth") {
            // Everything is queued at once after a start or a rollout, and may be gone at the next look.
            let words =
                format!("{words} at the last look; none after it tells whether they are drained");
            (Severity::Info, Confidence::Medium, words)
        } else {
            continue;
        };
        cx.evidence
            .cite_as(&keys::WORKQUEUES, &subject, words.clone());
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(confidence)
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
        let with = |cells: &[(&str, f64)]| {
            Set::new().put(
                &keys::WORKQUEUES,
                component("kube-controller-manager"),
                table(&[("replicaset", cells)]),
            )
        };
        let warns = (Status::Fail, Severity::Warn);
        let two = |standing, last| {
            with(&[
                ("max_depth", 900.0),
                ("max_standing_depth", standing),
                ("last_depth", last),
            ])
        };
        assert_eq!(two(limit, 0.0).status(&RULE), warns);
        assert_eq!(two(limit, limit).status(&RULE), warns);
        // A hill that one look of several saw, and one that nothing after it saw.
        assert_eq!(two(limit - 1.0, limit - 1.0).status(&RULE).0, Status::Pass);
        let notes = (Status::Fail, Severity::Info);
        assert_eq!(two(limit - 1.0, limit).status(&RULE), notes);
        let once = |depth| with(&[("max_depth", depth), ("last_depth", depth)]);
        assert_eq!(once(limit).status(&RULE), notes);
        assert_eq!(once(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
