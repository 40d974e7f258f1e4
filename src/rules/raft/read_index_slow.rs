//! Linearizable reads wait long for the leader's confirmation.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::rises::{self, Rises};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "read-index-slow",
    summary: "linearizable reads wait long for the leader",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "read-index-slow",
    check,
};

const KINDS: &[&str] = &["readindex-retry", "readindex-timeout", "readindex-stale"];

/// Traces of the loop that waits for the leader, of 500 ms or more: what a retry stands for, too.
const LOOPS: &[&str] = &["read-loop-slow"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("read-index-slow");
    let over = |count: f64| count >= limit.value;
    let metrics = rises::over(
        cx,
        &keys::SLOW_READ_INDEXES,
        "slow_read_indexes",
        events::HOUR_SECS,
        over,
    );
    let logs = events::often(cx, &[KINDS, LOOPS], over);
    let (key, what) = (&keys::SLOW_READ_INDEXES, "slow read indexes");
    let mut drafts = metrics.as_ref().map_or_else(
        |_| Vec::new(),
        |rises| rises.drafts(cx, key, what, Severity::Warn, limit),
    );
    let failing = cx.profile.limit("read-index-failed");
    let span = cx.profile.get("counted-within") / 1e3;
    let failed = rises::over(
        cx,
        &keys::READ_INDEXES_FAILED,
        "read_indexes_failed",
        span,
        |count| count > failing.value,
    );
    if let Ok(failed) = &failed {
        let (key, what) = (&keys::READ_INDEXES_FAILED, "read indexes failed");
        let more = failed.drafts(cx, key, what, Severity::Warn, failing);
        rises::join(&mut drafts, more);
    }
    if let Ok(logs) = &logs {
        for seen in logs {
            events::cite(cx, seen, "waits of reads for the leader");
            if let Some(have) = drafts
                .iter_mut()
                .find(|draft| draft.is_about(&seen.subject))
            {
                have.add_citations(cx.evidence.take_citations());
                continue;
            }
            drafts.push(
                Draft::new(
                    seen.subject.clone(),
                    Severity::Warn,
                    // A line for each 500 ms of waiting, or for a wait of that or more.
                    format!("reads waited {:.0} times 500 ms for the leader", seen.count),
                )
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    let dated = logs.is_ok();
    let metrics = match (metrics, failed) {
        (Ok(slow), Ok(failed)) => Ok(Rises {
            untold: slow.untold.or(failed.untold),
            ..slow
        }),
        (Err(_), Ok(failed)) => Ok(failed),
        (slow, Err(_)) => slow,
    };
    rises::verdict(drafts, metrics, logs, dated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn logs_or_metrics_are_enough() {
        let limit = crate::profile::Profile::default().get("read-index-slow");
        for kind in [KINDS[0], LOOPS[0]] {
            let logs = |n: f64| {
                Set::new().put(
                    &keys::LOGS_EVENTS,
                    member(),
                    table(&[(kind, &[("count", n)])]),
                )
            };
            assert_eq!(logs(limit).status(&RULE), (Status::Fail, Severity::Warn));
            assert_eq!(logs(limit - 1.0).status(&RULE).0, Status::Pass);
        }
        let metrics = |n: f64| Set::new().put(&keys::SLOW_READ_INDEXES, member(), n);
        assert_eq!(metrics(limit).status(&RULE).0, Status::Fail);
        assert_eq!(metrics(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        // Failed ones are no slow ones.
        let limit = crate::profile::Profile::default().get("read-index-failed");
        let failed = |n: f64| metrics(0.0).put(&keys::READ_INDEXES_FAILED, member(), n);
        assert_eq!(
            failed(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(failed(limit).status(&RULE).0, Status::Pass);
        let week = Set::new().put_over(&keys::SLOW_READ_INDEXES, member(), 30.0, 7 * 86_400);
        assert_eq!(week.status(&RULE).0, Status::Unknown, "not known when");
    }
}
