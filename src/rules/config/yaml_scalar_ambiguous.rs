//! A bare scalar in a configuration file means one thing to YAML 1.1 and another to YAML 1.2.

use crate::evidence::Missing;
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "yaml-scalar-ambiguous",
    summary: "a bare scalar is not what it looks like to every YAML reader",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "yaml-scalar-ambiguous",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let drafts = faults::of(cx, &["ambiguous-scalar"])?
        .into_iter()
        .map(|fault| {
            faults::cite(cx, &fault);
            Draft::new(fault.subject, Severity::Info, fault.text)
                .confidence(Confidence::High)
                .threshold("YAML 1.1 and 1.2 must read the same value")
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
    fn the_kind_decides() {
        assert_eq!(
            fault("ambiguous-scalar", "note").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(fault("duplicate-key", "warn").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
