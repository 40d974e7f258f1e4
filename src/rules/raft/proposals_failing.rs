//! Proposals fail: writes are lost to clients.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::rises;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "proposals-failing",
    summary: "raft proposals fail",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "proposals-failing",
    check,
};

/// The leader's own writes that did not get through: leases to revoke.
const KINDS: &[&str] = &["lease-revoke-failed"];

/// What it says instead where it does not even try.
const UNSURE: &[&str] = &["leadership-check-failed"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("proposals-failed");
    let span = cx.profile.get("counted-within") / 1e3;
    let over = |count: f64| count > limit.value;
    let metrics = rises::over(cx, &keys::PROPOSALS_FAILED, "proposals_failed", span, over);
    let logs = events::often(cx, &[KINDS, UNSURE], over);
    cx.evidence.take_citations();
    let (key, what) = (&keys::PROPOSALS_FAILED, "proposals failed");
    let mut drafts = metrics.as_ref().map_or_else(
        |_| Vec::new(),
        |rises| rises.drafts(cx, key, what, Severity::Warn, limit),
    );
    for seen in logs.iter().flatten() {
        let counted = drafts.iter().any(|draft| draft.is_about(&seen.subject));
        if counted {
            continue;
        }
        events::cite(cx, seen, "leases that could not be revoked");
        drafts.push(
            Draft::new(
                seen.subject.clone(),
                Severity::Warn,
                format!(
                    "{:.0} times an expired lease could not be revoked: writes do not get through",
                    seen.count
                ),
            )
            .confidence(Confidence::Medium)
            .threshold(format!(
                "more than {} within an hour, which a log tells; of metrics {}",
                limit.text, limit.source
            ))
            .cites(cx.evidence.take_citations()),
        );
    }
    // Leases are a part of all writes only: a log without them clears nothing.
    rises::verdict(drafts, metrics, logs, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn leases_that_cannot_be_revoked_are_writes_that_fail() {
        let limit = crate::profile::Profile::default().get("proposals-failed");
        for kind in [KINDS[0], UNSURE[0]] {
            let with = |count: f64| {
                Set::new().put(
                    &keys::LOGS_EVENTS,
                    member(),
                    table(&[(kind, &[("count", count)])]),
                )
            };
            assert_eq!(with(limit).status(&RULE).0, Status::Pass);
            assert_eq!(
                with(limit + 1.0).status(&RULE),
                (Status::Fail, Severity::Warn)
            );
        }
    }

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
        let week = Set::new().put_over(&keys::PROPOSALS_FAILED, member(), 30.0, 7 * 86_400);
        assert_eq!(week.status(&RULE).0, Status::Unknown, "not known when");
    }
}
