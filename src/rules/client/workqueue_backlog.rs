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
        // A burst fills a queue for a moment, which is what it is for: what counts is the depth at
        // every look. Older evidence knows the largest only.
        let deep: Vec<String> = table
            .top("max_depth")
            .iter()
            .map(|(row, most)| (row, row.get("min_depth").unwrap_or(*most), *most))
            .filter(|(_, least, _)| *least >= limit.value)
            .take(5)
            .map(|(row, least, most)| match least < most {
                true => format!("{} {least:.0} to {most:.0}", row.key),
                false => format!("{} {most:.0}", row.key),
            })
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

    #[test]
    fn a_burst_that_is_drained_is_no_backlog() {
        let limit = crate::profile::Profile::default().get("workqueue-depth");
        let with = |least: f64, most: f64| {
            Set::new().put(
                &keys::WORKQUEUES,
                component("kube-controller-manager"),
                table(&[("replicaset", &[("min_depth", least), ("max_depth", most)])]),
            )
        };
        assert_eq!(with(0.0, 9e4).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit - 1.0, 9e4).status(&RULE).0, Status::Pass);
        let found = with(limit, 9e4).check(&RULE);
        assert_eq!(
            found[0].message,
            format!("queues of kube-controller-manager: replicaset {limit:.0} to 90000")
        );
    }
}
