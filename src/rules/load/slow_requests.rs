//! etcd logged slow requests: a symptom. How many say nothing about why.

use crate::evidence::{Completeness, Episode, Episodes, Missing, Subject, keys};
use crate::profile::Limit;
use crate::rules::events::{self, Seen};
use crate::rules::rises;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "slow-requests",
    summary: "etcd takes long to apply requests",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "slow-requests",
    check,
};

/// What etcd 3.1 and 3.2 write instead of a line for each request, from the usual threshold on.
const KINDS: &[&str] = &["apply-entries-slow"];
/// The lines for each request.
const APPLIES: &[&str] = &["slow-apply"];

/// What the reads of a member say that wait for it to apply.
const BEHIND: &[&str] = &["apply-behind"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut batches = batches(cx);
    batches.extend(behind(cx));
    match requests(cx) {
        Ok(Verdict::Fail(mut drafts)) => {
            drafts.extend(batches);
            Ok(Verdict::Fail(drafts))
        }
        _ if !batches.is_empty() => Ok(Verdict::Fail(batches)),
        verdict => verdict,
    }
}

/// Members that were slow to apply batches of entries.
fn batches(cx: &Context<'_>) -> Vec<Draft> {
    let usual = cx.profile.limit("slow-apply-default");
    let least = cx.profile.limit("slow-requests-min");
    let given_up = cx.profile.limit("request-timeout");
    events::often(cx, &[KINDS], |_| true)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|seen| {
            let record = cx.evidence.record(&keys::LOGS_EVENTS, &seen.subject);
            let secs = record.and_then(|record| record.secs());
            let limit = match seen.hourly >= least.value {
                true => least,
                false if seen.max_ms.is_some_and(|ms| is_long(given_up, ms, secs)) => given_up,
                false => return None,
            };
            events::cite(cx, &seen, "slow batches of entries");
            let max = seen.max_ms.map_or_else(String::new, |max| {
                format!(", the slowest {}", format_ms(max))
            });
            let words = format!(
                "{} of entries took over {} to apply{max}",
                match seen.count {
                    1.0 => "1 batch".to_owned(),
                    n => format!("{n:.0} batches"),
                },
                format_ms(usual.value)
            );
            let draft = Draft::new(seen.subject, Severity::Warn, words)
                .confidence(Confidence::High)
                .threshold(format!("{}; {}", usual.words(), limit.words()))
                .cites(cx.evidence.take_citations());
            Some(draft)
        })
        .collect()
}

/// Whether one alone took so long, lately, that etcd gave up what waited behind it: how many there
/// are does not matter then.
fn is_long(given_up: &Limit, ms: f64, secs: Option<f64>) -> bool {
    ms >= given_up.value && secs.is_some_and(|secs| secs <= events::RECENT_SECS)
}

/// Members whose reads waited long for what was still to be applied.
fn behind(cx: &Context<'_>) -> Vec<Draft> {
    let least = cx.profile.limit("slow-requests-min");
    let words = |seen: &Seen| {
        let max = seen.max_ms.map_or_else(String::new, |max| {
            format!(", the longest for {}", format_ms(max))
        });
        let count = seen.count;
        format!("reads waited {count:.0} times for it to apply what was committed: it lags{max}")
    };
    events::at_least(cx, &[BEHIND], least, "waits of reads for the apply", words)
        .unwrap_or_default()
}

/// Requests that were logged as slow, or counted where there is no log.
fn requests(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let usual = cx.profile.limit("slow-apply-default");
    let cluster = Subject::cluster();
    let logs = cx.evidence.get(&keys::LOGS_REQUESTS_TOOK, &cluster);
    cx.evidence.take_citations();
    let Ok(took) = logs else {
        return from_metrics(cx);
    };
    // Lines of a lowered threshold are not slowness: count those above the usual one.
    let (surely, _) = took.above(usual.value);
    let span = cx
        .evidence
        .record(&keys::LOGS_REQUESTS_TOOK, &cluster)
        .and_then(|record| record.secs());
    let secs = span.filter(|secs| *secs > 0.0);
    let least = cx.profile.limit("slow-requests-min");
    let given_up = cx.profile.limit("request-timeout");
    let limit = match in_an_hour(cx, surely, secs) >= least.value {
        true => least,
        false if took.max.is_some_and(|ms| is_long(given_up, ms, span)) => given_up,
        false => return Ok(Verdict::Pass),
    };
    let rate = secs.map_or_else(String::new, |secs| format!(" in {}", format_ms(secs * 1e3)));
    let max = took.max.map_or_else(String::new, |max| {
        format!(", the slowest {}", format_ms(max))
    });
    let words = format!(
        "at least {} over {}{rate}{max}",
        events::counted(surely.max(1.0), "requests"),
        format_ms(usual.value)
    );
    cx.evidence
        .cite_as(&keys::LOGS_REQUESTS_TOOK, &cluster, words.clone());
    let sampled = cx
        .evidence
        .record(&keys::LOGS_REQUESTS_TOOK, &cluster)
        .is_some_and(|r| r.origin.completeness != Completeness::Exact);
    Ok(Verdict::fail(
        Draft::new(cluster, Severity::Warn, words)
            .confidence(if sampled {
                Confidence::Medium
            } else {
                Confidence::High
            })
            .threshold(format!("{}; {}", usual.words(), limit.words())),
    ))
}

/// How many of so many slow requests came within one hour, as far as etcd's own lines tell when.
fn in_an_hour(cx: &Context<'_>, count: f64, secs: Option<f64>) -> f64 {
    let lists: Vec<Episodes> = cx
        .evidence
        .all(&keys::LOGS_EPISODES)
        .into_iter()
        .map(|(_, list)| list)
        .collect();
    let told = |episode: &Episode| APPLIES.contains(&episode.kind.as_str());
    let lines: u64 = lists
        .iter()
        .flat_map(|list| &list.episodes)
        .filter(|episode| told(episode))
        .map(|episode| episode.count)
        .sum();
    let known = (lines as f64).min(count);
    // Of the others it is not known when: they may be of that hour.
    events::busiest_hour(known, secs, lists.iter(), told) + count - known
}

/// etcd's own counter, where there is no log. The threshold may have been lowered, so it is
/// information only.
fn from_metrics(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let least = cx.profile.limit("slow-requests-min");
    let over = |count: f64| count >= least.value;
    let hour = events::HOUR_SECS;
    let rises = rises::over(cx, &keys::SLOW_APPLIES, "slow_applies", hour, over)?;
    let what = "requests took longer than etcd's warning threshold to apply";
    let drafts = rises.drafts(cx, &keys::SLOW_APPLIES, what, Severity::Info, least);
    let drafts: Vec<Draft> = drafts
        .into_iter()
        .map(|draft| draft.confidence(Confidence::Medium))
        .collect();
    match rises.untold {
        Some(why) if drafts.is_empty() => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, episode, episodes, histogram, member, table};

    #[test]
    fn batches_that_name_no_request_are_slow_too() {
        let least = crate::profile::Profile::default().get("slow-requests-min");
        let with = |count: f64| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                member(),
                table(&[(KINDS[0], &[("count", count), ("max_ms", 1500.0)])]),
            )
        };
        assert_eq!(with(least).status(&RULE), (Status::Fail, Severity::Warn));
        assert!(with(least).check(&RULE)[0].message.contains("1.5 s"));
        assert!(!with(least - 1.0).check(&RULE)[0].failed());
    }

    #[test]
    fn one_that_takes_longer_than_etcd_waits_is_enough() {
        let given_up = crate::profile::Profile::default().get("request-timeout");
        let batches = |ms: f64, secs: i64| {
            let row: &[(&str, f64)] = &[("count", 5.0), ("max_ms", ms)];
            let table = table(&[(KINDS[0], row)]);
            let set = Set::new().put_over(&keys::LOGS_EVENTS, member(), table, secs);
            set.check(&RULE).swap_remove(0)
        };
        assert_eq!(
            batches(20_235.0, 68).message,
            "5 batches of entries took over 100 ms to apply, the slowest 20.2 s"
        );
        assert!(batches(given_up, 68).failed());
        assert!(!batches(given_up - 1.0, 68).failed());
        // In a log of weeks that is a moment.
        assert!(!batches(given_up, 8 * 86_400).failed());
        let requests = |ms: f64, secs: i64| {
            let mut took = histogram(&[(100.0, 0.0), (100_000.0, 1.0)]);
            took.max = Some(ms);
            let (key, about) = (&keys::LOGS_REQUESTS_TOOK, Subject::cluster());
            let set = Set::new().put_over(key, about, took, secs);
            set.check(&RULE).swap_remove(0)
        };
        assert_eq!(
            requests(75_842.0, 0).message,
            "at least 1 request over 100 ms, the slowest 75.8 s"
        );
        assert!(requests(given_up, 3600).failed());
        assert!(!requests(given_up - 1.0, 3600).failed());
        assert!(!requests(given_up, 8 * 86_400).failed());
    }

    #[test]
    fn reads_that_wait_for_the_apply_tell_who_lags() {
        let least = crate::profile::Profile::default().get("slow-requests-min");
        let with = |count: f64| {
            let row: &[(&str, f64)] = &[("count", count), ("max_ms", 5000.0)];
            Set::new().put(&keys::LOGS_EVENTS, member(), table(&[(BEHIND[0], row)]))
        };
        assert_eq!(with(least).status(&RULE), (Status::Fail, Severity::Warn));
        assert!(
            with(least).check(&RULE)[0]
                .message
                .contains("longest for 5 s")
        );
        assert!(!with(least - 1.0).check(&RULE)[0].failed());
    }

    #[test]
    fn requests_under_the_usual_threshold_are_not_slow() {
        let least = crate::profile::Profile::default().get("slow-requests-min");
        let with = |fast: f64, slow: f64| {
            Set::new().put(
                &keys::LOGS_REQUESTS_TOOK,
                Subject::cluster(),
                histogram(&[(10.0, fast), (100.0, 0.0), (200.0, slow)]),
            )
        };
        assert_eq!(
            with(1e6, least).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(1e6, least - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        let metrics = Set::new().put(&keys::SLOW_APPLIES, member(), least);
        assert_eq!(metrics.status(&RULE), (Status::Fail, Severity::Info));
        let life = Set::new().put_over(&keys::SLOW_APPLIES, member(), least, 30 * 86_400);
        assert_eq!(life.status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn a_slow_request_now_and_then_is_everyday_life() {
        let least = crate::profile::Profile::default().get("slow-requests-min");
        let month = |apart: i64| {
            let at = |n: i64| episode(APPLIES[0], n * apart, n * apart);
            #[expect(clippy::cast_possible_truncation, reason = "a small number")]
            let lines = episodes((0..least as i64).map(at).collect());
            let took = histogram(&[(100.0, 0.0), (200.0, least)]);
            let month = 30 * 86_400;
            Set::new()
                .put_over(&keys::LOGS_REQUESTS_TOOK, Subject::cluster(), took, month)
                .put(&keys::LOGS_EPISODES, member(), lines)
        };
        assert_eq!(month(86_400).status(&RULE).0, Status::Pass);
        assert_eq!(month(60).status(&RULE).0, Status::Fail);
    }
}
