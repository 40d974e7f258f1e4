//! The database grows so fast that its quota is reached soon.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "database-growing-fast",
    summary: "the database reaches its quota soon",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "database-growing-fast",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("time-to-full");
    let urgent = cx.profile.limit("time-to-full-critical");
    let mut drafts = Vec::new();
    for (subject, secs) in cx.evidence.some(&keys::DB_TIME_TO_FULL)? {
        if secs * 1e3 >= limit.value {
            continue;
        }
        cx.evidence.cite(&keys::DB_TIME_TO_FULL, &subject);
        cx.evidence.cite(&keys::DB_GROWTH, &subject);
        cx.evidence.cite(&keys::DB_QUOTA, &subject);
        let severity = if secs * 1e3 < urgent.value {
            Severity::Critical
        } else {
            Severity::Warn
        };
        drafts.push(
            Draft::new(
                subject,
                severity,
                if secs > 0.0 {
                    format!(
                        "at the growth of late the quota is reached in {}",
                        number(secs, Unit::Secs)
                    )
                } else {
                    "the quota is reached".to_owned()
                },
            )
            // One window is no trend of a day.
            .confidence(Confidence::Medium)
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
    fn two_steps() {
        let profile = crate::profile::Profile::default();
        let (limit, urgent) = (
            profile.get("time-to-full") / 1e3,
            profile.get("time-to-full-critical") / 1e3,
        );
        let with = |secs: f64| Set::new().put(&keys::DB_TIME_TO_FULL, member(), secs);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit - 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with(urgent - 1.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
