//! A component lost its leader lease: renewing it failed for its whole renew deadline.

use crate::evidence::Missing;
use crate::rules::events::{self, Seen};
use crate::rules::{Context, Rule, Severity, Verdict};

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
    let words = |seen: &Seen| match seen.count {
        1.0 => "the leader lease was lost once".to_owned(),
        n => format!("the leader lease was lost {n:.0} times"),
    };
    let drafts = events::at_least(cx, &[KINDS], limit, "lost leader elections", words)?;
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
