//! The leader sent heartbeats late: its disk, its CPU or its network keeps it.

use crate::evidence::{Missing, keys};
use crate::rules::events::{self, Seen};
use crate::rules::rises;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "heartbeat-late",
    summary: "the leader sends heartbeats late",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "heartbeat-late",
    check,
};

const KINDS: &[&str] = &["heartbeat-late"];

/// A heartbeat that is later than the election timeout costs the leader its office, however seldom it
/// is (etcd: embed/config.go, ElectionMs).
const ELECTION_MS: f64 = 1_000.0;

/// Members whose heartbeats were few, and so late that the others elected another leader.
fn far_too_late(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let late = events::seen(cx, KINDS)?.into_iter().filter(|seen| {
        let record = cx.evidence.record(&keys::LOGS_EVENTS, &seen.subject);
        let secs = record.and_then(|record| record.secs());
        seen.max_ms.is_some_and(|ms| ms >= ELECTION_MS)
            && secs.is_some_and(|secs| secs <= events::RECENT_SECS)
    });
    let draft = |seen: Seen| {
        events::cite(cx, &seen, "late heartbeats");
        let longest = crate::units::format_ms(seen.max_ms.unwrap_or(0.0));
        let words = format!(
            "{} sent late, up to {longest}: the process did not run, or waited for its disk",
            match seen.count {
                1.0 => "1 heartbeat was".to_owned(),
                n => format!("{n:.0} heartbeats were"),
            }
        );
        Draft::new(seen.subject, Severity::Warn, words)
            .confidence(Confidence::High)
            .threshold(
                "1 s (etcd's default election timeout: the others do not wait longer for a leader)",
            )
            .cites(cx.evidence.take_citations())
    };
    Ok(late.map(draft).collect())
}

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("heartbeat-late");
    let words = |seen: &Seen| format!("{:.0} heartbeats were sent late", seen.count);
    let logs = events::at_least(cx, &[KINDS], limit, "late heartbeats", words);
    // etcd counts one for each line that it logs.
    let over = |count: f64| count >= limit.value;
    let (key, column) = (&keys::HEARTBEAT_FAILURES, "heartbeat_failures");
    let metrics = rises::over(cx, key, column, events::HOUR_SECS, over);
    let mut drafts = logs.as_ref().map_or_else(|_| Vec::new(), Vec::clone);
    for late in far_too_late(cx).unwrap_or_default() {
        if drafts.iter().all(|draft| !draft.is_about(&late.subject)) {
            drafts.push(late);
        }
    }
    if let Ok(rises) = &metrics {
        let counted = rises.drafts(cx, key, "late heartbeats", Severity::Warn, limit);
        rises::join(&mut drafts, counted);
    }
    let dated = logs.is_ok();
    rises::verdict(drafts, metrics, logs, dated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, episode, episodes, member, table};

    fn with(count: f64) -> Set {
        Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[(KINDS[0], &[("count", count)])]),
        )
    }

    #[test]
    fn one_pause_longer_than_the_election_timeout_is_enough() {
        let with = |ms: f64, secs: i64| {
            let row: &[(&str, f64)] = &[("count", 2.0), ("max_ms", ms)];
            let set = Set::new();
            set.put_over(
                &keys::LOGS_EVENTS,
                member(),
                table(&[(KINDS[0], row)]),
                secs,
            )
        };
        assert_eq!(with(999.0, 60).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(4_840.0, 60).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert!(
            with(4_840.0, 60).check(&RULE)[0]
                .message
                .starts_with("2 heartbeats were sent late, up to 4.84 s")
        );
        // Of a month it is not known how long ago it was.
        assert_eq!(with(4_840.0, 30 * 86_400).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("heartbeat-late");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        // Two for each of three pauses on three days: everyday life of a month.
        let month = |apart: i64| {
            let at = |n: i64| episode(KINDS[0], n * apart, n * apart + 1);
            let count: &[(&str, f64)] = &[("count", 6.0)];
            let logged = table(&[(KINDS[0], count)]);
            Set::new()
                .put_over(&keys::LOGS_EVENTS, member(), logged, 30 * 86_400)
                .put(
                    &keys::LOGS_EPISODES,
                    member(),
                    episodes((0..6).map(at).collect()),
                )
        };
        assert_eq!(month(43_200).status(&RULE).0, Status::Pass);
        assert_eq!(month(300).status(&RULE).0, Status::Fail);
    }
    #[test]
    fn metrics_tell_it_without_a_log() {
        let limit = crate::profile::Profile::default().get("heartbeat-late");
        let counted = |n: f64| Set::new().put(&keys::HEARTBEAT_FAILURES, member(), n);
        assert_eq!(counted(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(counted(limit).status(&RULE), (Status::Fail, Severity::Warn));
        let month = Set::new().put_over(&keys::HEARTBEAT_FAILURES, member(), 9.0, 30 * 86_400);
        assert_eq!(month.status(&RULE).0, Status::Unknown, "not known when");
        // Both of one member are one finding.
        let logged = table(&[(KINDS[0], &[("count", limit)])]);
        let both = counted(limit).put(&keys::LOGS_EVENTS, member(), logged);
        assert_eq!(both.check(&RULE).len(), 1);
    }
}
