//! A setting is given and does not do what its author meant: another one counts, or nobody reads it.

use crate::evidence::Missing;
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "setting-without-effect",
    summary: "a setting is given twice, or where nobody reads it",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "setting-without-effect",
    check,
};

const FAULTS: &[&str] = &[
    "duplicate-key",
    "idle-unit",
    "ignored-settings",
    "repeated-setting",
    "two-names",
    "unknown-variable",
];

/// Told in full, of one subject.
const MANY: usize = 3;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let all = faults::by_subject(cx, FAULTS)?;
    let drafts = all.into_iter().map(|(subject, all)| {
        let words = faults::in_words(cx, &all, MANY);
        // The component runs; what its author wanted may still be missed.
        Draft::new(subject, Severity::Info, words)
            .confidence(Confidence::High)
            .threshold("each setting stands once, where the component reads it")
            .cites(cx.evidence.take_citations())
    });
    Ok(Verdict::Fail(drafts.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::faults::testing::fault;
    use crate::rules::testing::Set;

    #[test]
    fn all_of_them_are_notes() {
        for kind in FAULTS {
            let found = fault(kind, "warn").status(&RULE);
            assert_eq!(found, (Status::Fail, Severity::Info), "{kind}");
        }
        assert_eq!(fault("invalid-value", "stop").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
