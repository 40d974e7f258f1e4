//! A component lost its leader lease: renewing it failed for its whole renew deadline.

use crate::evidence::Missing;
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "leader-election-lost",
    summary: "a controller lost its leader election",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "leader-election-lost",
    check,
};

const KINDS: &[&str] = &["leaderelection-lost"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("leader-election-lost");
    let drafts = events::seen(cx, KINDS)?
        .into_iter()
        .filter(|seen| seen.count >= limit.value)
        .map(|seen| {
            events::cite(cx, &seen, "lost leader elections");
            let severity = Severity::Warn;
            Draft::new(
                seen.subject.clone(),
                severity,
                match seen.count {
                    1.0 => "the leader lease was lost once".to_owned(),
                    n => format!("the leader lease was lost {n:.0} times"),
                },
            )
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations())
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    fn with(count: f64) -> Set {
        Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[(KINDS[0], &[("count", count)])]),
        )
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("leader-election-lost");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
