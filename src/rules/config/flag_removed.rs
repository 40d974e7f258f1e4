//! A component is given a setting, or a value of one, that its version does not have: it does not start.

use crate::evidence::Missing;
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "flag-removed",
    summary: "a setting does not exist in the version that gets it",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "flag-removed",
    check,
};

const KINDS: &[&str] = &[
    "removed-setting",
    "removed-value",
    "renamed-setting",
    "unknown-setting",
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let drafts = faults::of(cx, KINDS)?
        .into_iter()
        .map(|fault| {
            faults::cite(cx, &fault);
            Draft::new(fault.subject.clone(), fault.severity(), fault.text)
                .confidence(Confidence::High)
                .threshold("a component takes only the settings that its version has (its help and release notes)")
                .cites(cx.evidence.take_citations())
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::faults::testing::fault;
    use crate::rules::testing::Set;

    #[test]
    fn the_kind_and_the_weight_decide() {
        assert_eq!(
            fault("removed-setting", "stop").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(
            fault("removed-value", "stop").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(
            fault("renamed-setting", "note").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(fault("no-such-kind", "stop").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
