//! A setting of etcd is given as a flag and as a variable: etcd from 3.4 on refuses to start.

use crate::evidence::Missing;
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "flag-and-environment",
    summary: "a setting is given as a flag and as a variable",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "flag-and-environment",
    check,
};

const KINDS: &[&str] = &["flag-and-variable"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let drafts = faults::of(cx, KINDS)?
        .into_iter()
        .map(|fault| {
            faults::cite(cx, &fault);
            Draft::new(fault.subject.clone(), fault.severity(), fault.text)
                .confidence(Confidence::High)
                .threshold(
                    "etcd exits when a flag and its variable are both set (pkg/flags/flag.go)",
                )
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
            fault("flag-and-variable", "stop").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(
            fault("flag-and-variable", "warn").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            fault("flag-and-variable", "note").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(fault("no-such-kind", "stop").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
