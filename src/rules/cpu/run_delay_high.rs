//! A component's threads are ready to run and wait for a CPU.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "run-delay-high",
    summary: "a component waits long for a CPU",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "run-delay-high",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("run-delay");
    let mut drafts = Vec::new();
    for (subject, value) in cx.evidence.some(&keys::RUN_DELAY)? {
        if value <= limit.value {
            continue;
        }
        cx.evidence.cite(&keys::RUN_DELAY, &subject);
        drafts.push(
            Draft::new(
                subject.clone(),
                Severity::Warn,
                format!(
                    "threads of {} waited {:.0} % of the time for a CPU",
                    subject.name,
                    value * 100.0
                ),
            )
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
    use crate::rules::testing::{Set, component};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("run-delay");
        let with = |value: f64| Set::new().put(&keys::RUN_DELAY, component("etcd"), value);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit * 1.01).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
