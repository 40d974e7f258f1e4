//! etcd logged slow requests: a symptom. How many say nothing about why.

use crate::evidence::{Completeness, Missing, Subject, keys};
use crate::rules::events;
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

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let batches = batches(cx);
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
    let least = cx.profile.get("slow-requests-min");
    events::seen(cx, KINDS)
        .unwrap_or_default()
        .into_iter()
        .filter(|seen| seen.count >= least)
        .map(|seen| {
            events::cite(cx, &seen, "slow batches of entries");
            let max = seen.max_ms.map_or_else(String::new, |max| {
                format!(", the slowest {}", format_ms(max))
            });
            Draft::new(
                seen.subject.clone(),
                Severity::Warn,
                format!(
                    "{:.0} batches of entries took over {} to apply{max}",
                    seen.count,
                    format_ms(usual.value)
                ),
            )
            .confidence(Confidence::High)
            .threshold(usual.words())
            .cites(cx.evidence.take_citations())
        })
        .collect()
}

/// Requests that were logged as slow, or counted where there is no log.
fn requests(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let usual = cx.profile.limit("slow-apply-default");
    let share_limit = cx.profile.limit("slow-share");
    let cluster = Subject::cluster();
    let logs = cx.evidence.get(&keys::LOGS_REQUESTS_TOOK, &cluster);
    cx.evidence.take_citations();
    let Ok(took) = logs else {
        return from_metrics(cx);
    };
    // Lines of a lowered threshold are not slowness: count those above the usual one.
    let (surely, _) = took.above(usual.value);
    let secs = cx
        .evidence
        .record(&keys::LOGS_REQUESTS_TOOK, &cluster)
        .and_then(|record| record.secs())
        .filter(|secs| *secs > 0.0);
    let least = cx.profile.get("slow-requests-min");
    if surely < least {
        return Ok(Verdict::Pass);
    }
    let rate = secs.map_or_else(String::new, |secs| format!(" in {}", format_ms(secs * 1e3)));
    let max = took.max.map_or_else(String::new, |max| {
        format!(", the slowest {}", format_ms(max))
    });
    let words = format!(
        "at least {surely:.0} requests over {}{rate}{max}",
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
            .threshold(format!("{}; {}", usual.words(), share_limit.words())),
    ))
}

/// etcd's own counter, where there is no log. The threshold may have been lowered, so it is
/// information only.
fn from_metrics(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let least = cx.profile.get("slow-requests-min");
    let mut drafts = Vec::new();
    for (subject, count) in cx.evidence.some(&keys::SLOW_APPLIES)? {
        if count < least {
            continue;
        }
        cx.evidence.cite(&keys::SLOW_APPLIES, &subject);
        drafts.push(
            Draft::new(
                subject,
                Severity::Info,
                format!("{count:.0} requests took longer than etcd's warning threshold to apply"),
            )
            .confidence(Confidence::Medium)
            .threshold(cx.profile.limit("slow-requests-min").words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram, member, table};

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
    }
}
