//! A client holds its own requests back: its QPS and burst are too low for its work.

use crate::catalog::controllers;
use crate::evidence::{Completeness, Missing, Subject, Table, Unit, keys, number};
use crate::rules::events;
use crate::rules::latency::{self, Least};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "client-throttled",
    summary: "a component throttles its own requests",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "client-throttled",
    check,
};

/// What a client asked for, in words: what it reads without a resource are the lists of groups and
/// resources themselves.
pub fn asked_for(verb: &str, resource: &str) -> String {
    match (verb, resource) {
        ("get", "") => "API discovery".to_owned(),
        (verb, "") => verb.to_owned(),
        (verb, resource) => format!("{verb} {resource}"),
    }
}

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let metrics = cx.evidence.some(&keys::CLIENT_LIMITER_WAIT);
    cx.evidence.take_citations();
    let logs = cx.evidence.some(&keys::LOGS_THROTTLING);
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = Vec::new();
    let wait = cx.profile.limit("limiter-wait-p99");
    let life = cx.profile.get("limiter-life");
    let rests_on = Least::of(cx, "slow-values");
    let mut few = None;
    if let Ok(metrics) = &metrics {
        for (subject, histogram) in metrics {
            let (Some((low, high)), Some(mean)) = (histogram.bracket(0.99), histogram.mean())
            else {
                continue;
            };
            let record = cx.evidence.record(&keys::CLIENT_LIMITER_WAIT, subject);
            // What was counted since a start a moment ago is the start.
            if record.is_some_and(|record| {
                record.origin.completeness == Completeness::Estimate
                    && record.secs().is_some_and(|secs| secs * 1e3 < life)
            }) {
                continue;
            }
            // The bracket must lie above the limit, or the mean, which needs no bracket.
            if low < wait.value && mean < wait.value / 2.0 {
                continue;
            }
            // One request that waits is no bound that is too low.
            let long = if low < wait.value {
                wait.value / 2.0
            } else {
                wait.value
            };
            if !rests_on.enough(histogram, long) {
                let what = "waits in the rate limiter";
                few.get_or_insert_with(|| latency::too_few(histogram, wait, what));
                continue;
            }
            cx.evidence.cite(&keys::CLIENT_LIMITER_WAIT, subject);
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Warn,
                    format!(
                        "{} of {} waited {} on average in its own rate limiter (p99 {})",
                        events::counted(histogram.count(), "requests"),
                        subject.name,
                        number(mean, Unit::Ms),
                        latency::between(low, high),
                    ),
                )
                .threshold(wait.words())
                // What was measured goes before what lines tell.
                .weight(f64::MAX)
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let Ok(logs) = &logs {
        let least = cx.profile.limit("throttled-lines");
        let most_at_start = cx.profile.get("throttled-lines-start");
        let mut by_wait: Vec<(&Subject, &Table, f64)> = logs
            .iter()
            .map(|(subject, table)| (subject, table, longest_wait(table)))
            .collect();
        by_wait.sort_by(|a, b| b.2.total_cmp(&a.2));
        for (subject, table, longest) in by_wait {
            let startup = table.total("startup");
            let excused = if startup <= most_at_start {
                startup
            } else {
                0.0
            };
            let lines = table.total("lines") - excused;
            if lines < least.value || measured_since(cx, subject, table, least.value) {
                continue;
            }
            let busiest = table.top("lines").first().map(|(row, n)| {
                let verb = row.get_text("verb").unwrap_or_default();
                let resource = row.get_text("resource").unwrap_or_default();
                format!("{n:.0}× {}", asked_for(verb, resource))
            });
            let name = table
                .rows
                .iter()
                .find_map(|row| row.get_text("component"))
                .filter(|_| subject.name.is_empty())
                .unwrap_or(&subject.name);
            let name = controllers::shown(name);
            let words = format!(
                "{name} logged at least {lines:.0} delayed requests, the longest {}{}",
                format_ms(longest),
                busiest.map_or_else(String::new, |b| format!(" ({b})"))
            );
            cx.evidence
                .cite_as(&keys::LOGS_THROTTLING, subject, words.clone());
            let cites = cx.evidence.take_citations();
            if let Some(have) = drafts.iter_mut().find(|draft| draft.is_about(subject)) {
                have.add_citations(cites);
                continue;
            }
            drafts.push(
                Draft::new(subject.clone(), Severity::Warn, words)
                    .confidence(Confidence::High)
                    .threshold(least.words())
                    .weight(longest)
                    .cites(cites),
            );
        }
    }
    let metrics = match few {
        Some(why) if drafts.is_empty() => Err(why),
        _ => metrics,
    };
    Verdict::of_either(drafts, metrics, logs)
}

fn longest_wait(table: &Table) -> f64 {
    table
        .rows
        .iter()
        .filter_map(|row| row.get("max_delay_ms"))
        .fold(0.0_f64, f64::max)
}

/// A clean measurement this much later than the last line makes the lines history.
const HISTORY_SECS: f64 = 3_600.0;

/// Whether the limiter's own histogram says that these lines tell of nothing, or of nothing any more:
/// it was measured at their time, or an hour later, and fewer than `least` requests waited.
fn measured_since(cx: &Context<'_>, subject: &Subject, table: &Table, least: f64) -> bool {
    let last = table
        .rows
        .iter()
        .filter_map(|row| row.get("last_secs"))
        .fold(f64::NEG_INFINITY, f64::max);
    let limit = cx.profile.get("limiter-wait-p99");
    let measured = cx.evidence.all(&keys::CLIENT_LIMITER_WAIT);
    let mut of_it = measured
        .iter()
        .filter(|(other, _)| other.name == subject.name)
        .peekable();
    let known = of_it.peek().is_some();
    known
        && of_it.all(|(other, waits)| {
            let record = cx.evidence.record(&keys::CLIENT_LIMITER_WAIT, other);
            let window = record.map(|record| record.window);
            let (Some(from), Some(to)) = (window.and_then(|w| w.from), window.and_then(|w| w.to))
            else {
                return false;
            };
            let (from, to) = (from.0 as f64 / 1e6, to.0 as f64 / 1e6);
            let then = from <= last && last <= to || from - last > HISTORY_SECS;
            then && waits.above(limit).0 < least
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, histogram, table};

    #[test]
    fn lines_are_a_floor() {
        let least = crate::profile::Profile::default().get("throttled-lines");
        let with = |lines: f64| {
            Set::new().put(
                &keys::LOGS_THROTTLING,
                component("kube-controller-manager"),
                table(&[("POST pods", &[("lines", lines), ("max_delay_ms", 31_613.0)])]),
            )
        };
        assert_eq!(with(least).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(least - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn what_has_no_resource_is_discovery() {
        assert_eq!(asked_for("get", ""), "API discovery");
        assert_eq!(asked_for("get", "pods"), "get pods");
        assert_eq!(asked_for("post", ""), "post");
    }

    #[test]
    fn whoever_waited_longest_comes_first() {
        let waits = |set: Set, name: &str, longest: f64| {
            set.put(
                &keys::LOGS_THROTTLING,
                component(name),
                table(&[("GET pods", &[("lines", 50.0), ("max_delay_ms", longest)])]),
            )
        };
        let set = waits(Set::new(), "a", 8_900.0);
        let found = waits(set, "b", 12_900.0).check(&RULE);
        let names: Vec<&str> = found.iter().map(|f| f.subject.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn a_client_without_a_name_is_said_to_have_none() {
        let rows = table(&[("POST pods", &[("lines", 40.0), ("max_delay_ms", 31_613.0)])]);
        let set = Set::new().put(&keys::LOGS_THROTTLING, component("unknown"), rows);
        let said = &set.check(&RULE)[0].message;
        assert!(
            said.starts_with("a client whose name the log does not give logged at least 40"),
            "{said}"
        );
    }

    #[test]
    fn lines_of_a_start_and_lines_that_the_limiter_denies_are_nothing() {
        let name = "kube-controller-manager";
        let most = crate::profile::Profile::default().get("throttled-lines-start");
        let lines = |columns: &[(&str, f64)]| {
            let mut row = vec![("lines", most + 2.0), ("max_delay_ms", 2_000.0)];
            row.extend(columns);
            Set::new().put(
                &keys::LOGS_THROTTLING,
                component(name),
                table(&[("POST pods", &row)]),
            )
        };
        assert_eq!(lines(&[("startup", most)]).status(&RULE).0, Status::Pass);
        assert_eq!(
            lines(&[("startup", most - 1.0)]).status(&RULE).0,
            Status::Fail
        );
        // So many are no start any more.
        assert_eq!(
            lines(&[("startup", most + 1.0)]).status(&RULE).0,
            Status::Fail
        );
        // The window of these tests is 0 to 100 s.
        let limiter = |last: f64, slow: f64| {
            lines(&[("last_secs", last)]).put(
                &keys::CLIENT_LIMITER_WAIT,
                component(name),
                histogram(&[(5.0, 9_990.0), (1000.0, 0.0), (4000.0, slow)]),
            )
        };
        assert_eq!(limiter(50.0, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(limiter(50.0, 50.0).status(&RULE).0, Status::Fail);
        assert_eq!(limiter(-3_000.0, 0.0).status(&RULE).0, Status::Fail);
        assert_eq!(limiter(-4_000.0, 0.0).status(&RULE).0, Status::Pass);
        // What came after the measurement is not denied by it.
        assert_eq!(limiter(200.0, 0.0).status(&RULE).0, Status::Fail);
    }

    #[test]
    fn one_request_that_waited_is_no_bound_that_is_too_low() {
        let profile = crate::profile::Profile::default();
        let (least, slow) = (profile.get("p99-values"), profile.get("slow-values"));
        let with = |fast: f64, slow: f64, le: f64| {
            Set::new()
                .put(
                    &keys::CLIENT_LIMITER_WAIT,
                    component("kube-controller-manager"),
                    histogram(&[(5.0, fast), (500.0, 0.0), (1000.0, 0.0), (le, slow)]),
                )
                .status(&RULE)
                .0
        };
        assert_eq!(with(0.0, 1.0, 2000.0), Status::Unknown);
        assert_eq!(with(1.0, slow - 1.0, 2000.0), Status::Unknown);
        assert_eq!(with(1.0, slow, 2000.0), Status::Fail);
        assert_eq!(with(least - 2.0, 2.0, 2000.0), Status::Fail);
        // By the mean alone.
        let means = |slow: f64| {
            let waits = histogram(&[(500.0, 0.0), (1000.0, slow)]);
            Set::new()
                .put(
                    &keys::CLIENT_LIMITER_WAIT,
                    component("kube-scheduler"),
                    waits,
                )
                .status(&RULE)
                .0
        };
        assert_eq!(
            (means(slow - 1.0), means(slow)),
            (Status::Unknown, Status::Fail)
        );
    }

    #[test]
    fn the_limiter_itself_tells() {
        let with = |buckets: &[(f64, f64)]| {
            Set::new().put(
                &keys::CLIENT_LIMITER_WAIT,
                component("kube-controller-manager"),
                histogram(buckets),
            )
        };
        assert_eq!(
            with(&[(5.0, 90.0), (1000.0, 0.0), (4000.0, 10.0)])
                .status(&RULE)
                .0,
            Status::Fail
        );
        assert_eq!(
            with(&[(5.0, 999.0), (1000.0, 1.0), (4000.0, 0.0)])
                .status(&RULE)
                .0,
            Status::Pass
        );
    }
}
