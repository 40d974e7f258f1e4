//! The database below kine (k3s, MicroK8s) answers slowly or not at all: there is no etcd to blame.

use crate::evidence::Missing;
use crate::rules::events::{self, Seen};
use crate::rules::{Context, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "datastore-slow",
    summary: "the SQL datastore below kube-apiserver is slow or fails",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "datastore-slow",
    check,
};

const SLOW: &[&str] = &["kine-sql-slow"];
const FAILED: &[&str] = &["kine-request-failed"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("datastore-slow");
    let slow = |seen: &Seen| {
        let longest = seen
            .max_ms
            .map(|ms| format!(", the longest {}", format_ms(ms)));
        format!(
            "the datastore below kine is slow: {} took longer than 1 s{}; no etcd is involved",
            events::counted(seen.count, "statements"),
            longest.unwrap_or_default()
        )
    };
    let failed = |seen: &Seen| {
        format!(
            "the datastore below kine failed or did not answer in time: {}; no etcd is involved",
            events::counted(seen.count, "requests")
        )
    };
    let mut drafts = events::at_least(cx, &[SLOW], limit, "slow SQL statements", slow)?;
    let failing = events::at_least(cx, &[FAILED], limit, "failed requests of kine", failed)?;
    drafts.extend(failing);
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    fn with(kind: &str, count: f64) -> Set {
        let row = [("count", count), ("max_ms", 7982.4)];
        let events = table(&[(kind, &row)]);
        Set::new().put(&keys::LOGS_EVENTS, component("kine"), events)
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("datastore-slow");
        for kind in [SLOW[0], FAILED[0]] {
            assert_eq!(with(kind, limit - 1.0).status(&RULE).0, Status::Pass);
            assert_eq!(
                with(kind, limit).status(&RULE),
                (Status::Fail, Severity::Warn)
            );
        }
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn it_says_what_is_slow_and_how_slow() {
        let message = with(SLOW[0], 60.0).check(&RULE)[0].message.clone();
        assert!(
            message.contains(
                "below kine is slow: 60 statements took longer than 1 s, the longest 7.98"
            ),
            "{message}"
        );
    }
}
