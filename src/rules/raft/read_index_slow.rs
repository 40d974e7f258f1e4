//! Linearizable reads wait long for the leader's confirmation.

use crate::evidence::{Missing, SubjectKind, keys};
use crate::profile::Limit;
use crate::rules::events::{self, Seen};
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

/// What is logged for each 500 ms that a read waits. The answers that come out of date, and the traces of
/// the loop that waits, are of the same waits: the list that was seen most counts, never their sum.
const RETRIES: &[&[&str]] = &[
    &["readindex-retry"],
    &["readindex-stale"],
    &["read-loop-slow"],
];

/// A read that gave up: after its whole time-out, which is seconds.
const TIMEOUTS: &[&[&str]] = &[&["readindex-timeout"]];

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
    let logs = events::often(cx, RETRIES, over);
    let gave_up = cx.profile.limit("read-index-failed");
    let timeouts = events::often(cx, TIMEOUTS, |count| count > gave_up.value);
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
    let of_logs = |drafts: &mut Vec<Draft>, seen: &Seen, words: String, limit: &Limit| {
        events::cite(cx, seen, "waits of reads for the leader");
        let cites = cx.evidence.take_citations();
        match drafts
            .iter_mut()
            .find(|draft| draft.is_about(&seen.subject))
        {
            Some(have) => have.add_citations(cites),
            None => drafts.push(
                Draft::new(seen.subject.clone(), Severity::Warn, words)
                    .confidence(Confidence::High)
                    .threshold(limit.words())
                    .cites(cites),
            ),
        }
    };
    for seen in logs.iter().flatten() {
        // A line for each 500 ms of waiting, or for a wait of that or more.
        let words = format!("reads waited {:.0} times 500 ms for the leader", seen.count);
        of_logs(&mut drafts, seen, words, limit);
    }
    for seen in timeouts.iter().flatten() {
        let words = format!(
            "{} gave up waiting for the leader, each after the time-out of a request",
            events::counted(seen.count, "reads")
        );
        of_logs(&mut drafts, seen, words, gave_up);
    }
    // Their own lines tell most; etcd before 3.4.20 writes none for a wait of some seconds.
    if drafts.is_empty() {
        drafts.extend(bound(cx));
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

/// From this share of the time of slow requests on, the leader is what they have in common.
const MOST: f64 = 0.5;

/// Slow requests most of whose time went into waiting for the leader, by their own traces.
fn bound(cx: &Context<'_>) -> Vec<Draft> {
    let usual = cx.profile.limit("slow-apply-default");
    let least = cx.profile.limit("slow-requests-min");
    let key = &keys::LOGS_REQUESTS;
    let mut tables = cx.evidence.all(key);
    cx.evidence.take_citations();
    // Totals of the cluster are only used when nothing finer is known.
    if tables.iter().any(|(of, _)| of.kind != SubjectKind::Cluster) {
        tables.retain(|(of, _)| of.kind != SubjectKind::Cluster);
    }
    let mut drafts = Vec::new();
    for (subject, table) in tables {
        let (waited, secs) = (table.total("stalled"), table.total("stalled_secs"));
        let most = secs > table.total("slow_secs") * MOST;
        // A lowered threshold logs waits that hold nobody up.
        let long = secs * 1e3 >= waited * usual.value;
        if waited < least.value || !most || !long {
            continue;
        }
        let record = cx.evidence.record(key, &subject);
        let span = record.and_then(|record| record.secs());
        let lists = cx.evidence.peek(&keys::LOGS_EPISODES, &subject);
        let hourly = events::busiest_hour(waited, span, lists.iter(), |episode| {
            episode.kind == "slow-apply"
        });
        if hourly < least.value {
            continue;
        }
        let words = format!(
            "{waited:.0} slow requests ({secs:.1} s) waited for the leader to confirm a read, and that took most of \
             their time"
        );
        cx.evidence.cite_as(key, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                // The log holds slow requests only.
                .confidence(Confidence::Medium)
                .threshold(format!("{}; {}", usual.words(), least.words()))
                .cites(cx.evidence.take_citations()),
        );
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Subject;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn traces_of_slow_requests_tell_of_waits_that_have_no_line_of_their_own() {
        let profile = crate::profile::Profile::default();
        let (least, usual) = (
            profile.get("slow-requests-min"),
            profile.get("slow-apply-default"),
        );
        let events = [("slow-apply", [("count", 900.0)].as_slice())];
        let with = |waited: f64, each_ms: f64, others: f64, secs: i64| {
            let stalled = waited * each_ms / 1e3;
            let row = [
                ("requests", waited),
                ("stalled", waited),
                ("stalled_secs", stalled),
                ("slow_secs", stalled + others),
            ];
            Set::new()
                .put(&keys::LOGS_EVENTS, member(), table(&events))
                .put_over(
                    &keys::LOGS_REQUESTS,
                    Subject::cluster(),
                    table(&[("pods", &row)]),
                    secs,
                )
        };
        let of = |set: Set| set.status(&RULE).0;
        let found = with(720.0, 1_800.0, 0.0, 1_980).check(&RULE);
        assert_eq!(
            (found[0].status, found[0].confidence),
            (Status::Fail, Confidence::Medium)
        );
        let told = "720 slow requests (1296.0 s) waited for the leader";
        assert!(found[0].message.starts_with(told), "{found:?}");
        assert_eq!(of(with(least, usual, 0.0, 100)), Status::Fail);
        assert_eq!(of(with(least - 1.0, usual, 0.0, 100)), Status::Pass);
        assert_eq!(of(with(least, usual - 1.0, 0.0, 100)), Status::Pass);
        // Others were slow for longer.
        assert_eq!(of(with(least, usual, 2.0, 100)), Status::Pass);
        // As many in a week are no state.
        assert_eq!(of(with(least, usual, 0.0, 7 * 86_400)), Status::Pass);
    }

    #[test]
    fn what_has_lines_of_its_own_is_told_by_them() {
        let limit = crate::profile::Profile::default().get("read-index-slow");
        let row = [
            ("stalled", 99.0),
            ("stalled_secs", 99.0),
            ("slow_secs", 99.0),
        ];
        let set = Set::new()
            .put(
                &keys::LOGS_EVENTS,
                member(),
                table(&[("readindex-retry", &[("count", limit)])]),
            )
            .put(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                table(&[("pods", &row)]),
            );
        let found = set.check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("500 ms"), "{found:?}");
    }

    #[test]
    fn a_wait_that_several_lines_tell_of_counts_once() {
        let with = |rows: &[(&str, f64)]| {
            let cells: Vec<_> = rows
                .iter()
                .map(|(kind, n)| (*kind, [("count", *n)]))
                .collect();
            let rows: Vec<(&str, &[(&str, f64)])> = cells
                .iter()
                .map(|(kind, row)| (*kind, row.as_slice()))
                .collect();
            let set = Set::new().put(&keys::LOGS_EVENTS, member(), table(&rows));
            set.check(&RULE)[0].message.clone()
        };
        let both = with(&[("readindex-retry", 70.0), ("readindex-stale", 59.0)]);
        assert!(both.contains(" 70 times 500 ms"), "{both}");
        // One that gave up waited for seconds.
        let old = with(&[("readindex-timeout", 8.0)]);
        assert!(
            old.starts_with("8 reads gave up") && !old.contains("500 ms"),
            "{old}"
        );
    }

    #[test]
    fn logs_or_metrics_are_enough() {
        let limit = crate::profile::Profile::default().get("read-index-slow");
        for kind in RETRIES.iter().map(|kinds| kinds[0]) {
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
