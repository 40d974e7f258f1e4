//! A component starts again and again.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "component-restarting",
    summary: "a component starts again and again",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "component-restarting",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("restarts");
    let mut drafts = Vec::new();
    let tables = cx.evidence.some(&keys::LOGS_RESTARTS)?;
    cx.evidence.take_citations();
    let finer = tables
        .iter()
        .any(|(subject, _)| *subject != Subject::cluster());
    for (subject, table) in tables {
        if finer && subject == Subject::cluster() {
            continue;
        }
        let starts = table.total("count");
        if starts <= limit.value {
            continue;
        }
        let words = format!("{starts:.0} starts in the time of the log");
        cx.evidence
            .cite_as(&keys::LOGS_RESTARTS, &subject, words.clone());
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
        let limit = crate::profile::Profile::default().get("restarts");
        let with = |count: f64| {
            Set::new().put(
                &keys::LOGS_RESTARTS,
                component("etcd"),
                table(&[("start", &[("count", count)])]),
            )
        };
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
