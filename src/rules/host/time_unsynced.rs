//! Nobody keeps the node's clock: certificates, leases and logs depend on it.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "time-unsynced",
    summary: "nothing keeps the node's clock in step",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "time-unsynced",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for (subject, synced) in cx.evidence.some(&keys::TIME_SYNCED)? {
        if synced {
            continue;
        }
        cx.evidence.cite(&keys::TIME_SYNCED, &subject);
        cx.evidence.cite(&keys::TIME_OFFSET, &subject);
        drafts.push(
            Draft::new(
                subject,
                Severity::Info,
                "the node's clock is not synchronised",
            )
            .confidence(Confidence::Medium)
            .threshold("the time daemon's or the kernel's own status")
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
    fn the_clocks_own_word() {
        let with = |synced: bool| Set::new().put(&keys::TIME_SYNCED, component("host"), synced);
        assert_eq!(with(false).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(true).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
