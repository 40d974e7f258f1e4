//! What runs is not what the manifest says: a change waits for a restart, or was made by hand.

use crate::evidence::Missing;
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "settings-not-applied",
    summary: "a running process has other settings than its manifest",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "settings-not-applied",
    check,
};

const KINDS: &[&str] = &["not-applied", "drift", "two-definitions", "stray-manifest"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let drafts = faults::of(cx, KINDS)?
        .into_iter()
        .map(|fault| {
            faults::cite(cx, &fault);
            let severity = if fault.weight == "note" {
                Severity::Info
            } else {
                Severity::Warn
            };
            Draft::new(fault.subject.clone(), severity, fault.text)
                .confidence(Confidence::High)
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
            fault("not-applied", "warn").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            fault("drift", "note").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(fault("no-such-kind", "stop").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
