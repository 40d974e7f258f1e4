//! Proposals fail: writes are lost to clients.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "proposals-failing",
    summary: "raft proposals fail",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "proposals-failing",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("proposals-failed");
    let mut drafts = Vec::new();
    for (subject, value) in cx.evidence.some(&keys::PROPOSALS_FAILED)? {
        if value <= limit.value {
            continue;
        }
        cx.evidence.cite(&keys::PROPOSALS_FAILED, &subject);
        drafts.push(
            Draft::new(
                subject.clone(),
                Severity::Warn,
                format!("{value:.0} proposals failed"),
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
    use crate::rules::testing::{Set, member};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("proposals-failed");
        let with = |value: f64| Set::new().put(&keys::PROPOSALS_FAILED, member(), value);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit * 1.01).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
