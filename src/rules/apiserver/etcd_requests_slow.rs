//! The apiserver waits long for etcd: a symptom that tells nothing about the cause.

use crate::evidence::{Histogram, Missing, Row, Subject, Unit, keys, number};
use crate::rules::events;
use crate::rules::latency;
use crate::rules::phases;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "etcd-requests-slow",
    summary: "kube-apiserver waits long for etcd",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "etcd-requests-slow",
    check,
};

/// Slow calls of etcd that kube-apiserver traces.
const KINDS: &[&str] = &["apiserver-storage-trace"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let metrics = cx.evidence.some(&keys::APISERVER_ETCD_TOOK);
    let logs = events::seen(cx, KINDS).unwrap_or_default();
    cx.evidence.take_citations();
    let mut drafts = metrics
        .as_ref()
        .map_or_else(|_| Vec::new(), |metrics| from_metrics(cx, metrics));
    for seen in &logs {
        traced(cx, seen, &mut drafts);
    }
    match metrics {
        // A log without traces clears nothing: they are written at some verbosity only.
        Err(why) if drafts.is_empty() => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// Calls that an apiserver traced as slow.
fn traced(cx: &Context<'_>, seen: &events::Seen, drafts: &mut Vec<Draft>) {
    let limit = cx.profile.limit("etcd-request-traces");
    if seen.hourly < limit.value {
        return;
    }
    events::cite(cx, seen, "slow calls of etcd");
    if let Some(known) = drafts
        .iter_mut()
        .find(|draft| draft.is_about(&seen.subject))
    {
        known.add_citations(cx.evidence.take_citations());
        return;
    }
    let table = cx.evidence.peek(&keys::LOGS_APISERVER_CALLS, &seen.subject);
    let most = table.as_ref().and_then(|table| {
        let rows = table.rows.iter();
        let of_etcd = rows.filter(|row| row.get_text("target") == Some("etcd"));
        let secs = |row: &Row| row.get("total_ms").unwrap_or(0.0);
        of_etcd.max_by(|a, b| secs(a).total_cmp(&secs(b)))
    });
    let mostly = most.map_or_else(String::new, |row| {
        let text = |name| row.get_text(name).unwrap_or("?");
        format!(", above all {} {}", text("verb"), text("resource"))
    });
    let longest = seen.max_ms.map_or_else(String::new, |max| {
        format!(", the slowest {}", format_ms(max))
    });
    drafts.push(
        Draft::new(
            seen.subject.clone(),
            Severity::Warn,
            format!(
                "{:.0} slow calls of etcd traced{longest}{mostly}",
                seen.count
            ),
        )
        .confidence(Confidence::Medium)
        .threshold(limit.words())
        .cites(cx.evidence.take_citations()),
    );
}

fn from_metrics(cx: &Context<'_>, metrics: &[(Subject, Histogram)]) -> Vec<Draft> {
    let limit = cx.profile.limit("etcd-request-p99");
    let mut drafts = Vec::new();
    for (subject, histogram) in metrics {
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        if histogram.count() < cx.profile.get("p99-values") {
            continue;
        }
        let worst = cx
            .evidence
            .peek(&keys::APISERVER_PHASES, subject)
            .and_then(|table| phases::worst_etcd_requests(&table, cx.profile))
            .filter(|worst| worst.low > low && worst.low >= limit.value);
        cx.evidence.take_citations();
        if low < limit.value && worst.is_none() {
            // A way to etcd that costs every request as much leaves p99 below the limit.
            let half = cx.profile.limit("etcd-request-p50");
            let median = histogram.bracket(0.5);
            if let Some((low, high)) = median.filter(|(low, _)| *low >= half.value) {
                cx.evidence.cite(&keys::APISERVER_ETCD_TOOK, subject);
                let words = format!(
                    "half of {:.0} requests to etcd take longer than {} to {}",
                    histogram.count(),
                    number(low, Unit::Ms),
                    number(high, Unit::Ms)
                );
                drafts.push(
                    Draft::new(subject.clone(), Severity::Warn, words)
                        .confidence(Confidence::High)
                        .threshold(half.words())
                        .cites(cx.evidence.take_citations()),
                );
            }
            continue;
        }
        cx.evidence.cite(&keys::APISERVER_ETCD_TOOK, subject);
        let whole = latency::between(low, high);
        let message = match &worst {
            Some(worst) => {
                let words = worst.words();
                cx.evidence.cite_as(
                    &keys::APISERVER_PHASES,
                    subject,
                    format!("p99 of requests to etcd {words}"),
                );
                if low < limit.value {
                    format!(
                        "p99 of requests to etcd was {words}; over the whole window it is {whole}"
                    )
                } else {
                    format!("p99 of requests to etcd is {whole}; at its worst {words}")
                }
            }
            None => format!("p99 of requests to etcd is {whole}"),
        };
        drafts.push(
            Draft::new(subject.clone(), Severity::Warn, message)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, histogram, table};

    #[test]
    fn only_a_bracket_above_the_limit() {
        let with = |buckets: &[(f64, f64)]| {
            Set::new().put(
                &keys::APISERVER_ETCD_TOOK,
                component("kube-apiserver"),
                histogram(buckets),
            )
        };
        assert_eq!(
            with(&[(1000.0, 0.0), (2000.0, 100.0)]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with(&[(5.0, 900.0), (800.0, 0.0), (1250.0, 100.0)])
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(
            with(&[(1000.0, 0.0), (2000.0, 99.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn traced_calls_count_by_the_hour() {
        let limit = crate::profile::Profile::default().get("etcd-request-traces");
        let about = || component("kube-apiserver");
        let with = |count: f64, hours: i64| {
            let row: &[(&str, f64)] = &[("count", count), ("max_ms", 5800.0)];
            let call = Row::new("x")
                .text("target", "etcd")
                .text("verb", "list")
                .text("resource", "secrets")
                .num("total_ms", 1.0);
            let calls = Table {
                rows: vec![call],
                ..Table::default()
            };
            let events = table(&[(KINDS[0], row)]);
            Set::new()
                .put_over(&keys::LOGS_EVENTS, about(), events, hours * 3600)
                .put(&keys::LOGS_APISERVER_CALLS, about(), calls)
        };
        assert_eq!(with(limit, 1).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit - 1.0, 1).status(&RULE).0, Status::Unknown);
        assert_eq!(with(limit, 24).status(&RULE).0, Status::Unknown);
        let found = with(limit, 1).check(&RULE);
        assert!(
            found[0]
                .message
                .contains("slowest 5.8 s, above all list secrets")
        );
    }

    /// p99 is below its limit, and no request is answered as fast as etcd answers.
    #[test]
    fn a_slow_way_makes_every_request_slow() {
        let limit = crate::profile::Profile::default().get("etcd-request-p50");
        let with = |low: f64| {
            let took = histogram(&[(low, 0.0), (low * 2.0, 300.0), (600.0, 2.0)]);
            let about = component("kube-apiserver");
            Set::new().put(&keys::APISERVER_ETCD_TOOK, about, took)
        };
        assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit * 0.9).status(&RULE).0, Status::Pass);
    }
}
