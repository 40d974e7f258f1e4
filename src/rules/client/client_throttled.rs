//! A client holds its own requests back: its QPS and burst are too low for its work.

use crate::evidence::{Missing, Unit, keys, number};
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

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let metrics = cx.evidence.some(&keys::CLIENT_LIMITER_WAIT);
    cx.evidence.take_citations();
    let logs = cx.evidence.some(&keys::LOGS_THROTTLING);
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = Vec::new();
    let wait = cx.profile.limit("limiter-wait-p99");
    if let Ok(metrics) = &metrics {
        for (subject, histogram) in metrics {
            let (Some((low, high)), Some(mean)) = (histogram.bracket(0.99), histogram.mean())
            else {
                continue;
            };
            // The bracket must lie above the limit, or the mean, which needs no bracket.
            if low < wait.value && mean < wait.value / 2.0 {
                continue;
            }
            cx.evidence.cite(&keys::CLIENT_LIMITER_WAIT, subject);
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Warn,
                    format!(
                        "{:.0} requests of {} waited {} on average in its own rate limiter (p99 {} to {})",
                        histogram.count(),
                        subject.name,
                        number(mean, Unit::Ms),
                        number(low, Unit::Ms),
                        if high.is_finite() { number(high, Unit::Ms) } else { "∞".to_owned() }
                    ),
                )
                .threshold(wait.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let Ok(logs) = &logs {
        let least = cx.profile.limit("throttled-lines");
        for (subject, table) in logs {
            let lines = table.total("lines");
            if lines < least.value {
                continue;
            }
            let longest = table
                .rows
                .iter()
                .filter_map(|row| row.get("max_delay_ms"))
                .fold(0.0_f64, f64::max);
            let busiest = table.top("lines").first().map(|(row, n)| {
                let verb = row.get_text("verb").unwrap_or_default();
                let resource = row.get_text("resource").unwrap_or_default();
                format!("{n:.0}× {verb} {resource}")
            });
            let name = table
                .rows
                .iter()
                .find_map(|row| row.get_text("component"))
                .filter(|_| subject.name.is_empty())
                .unwrap_or(&subject.name)
                .to_owned();
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
                    .cites(cites),
            );
        }
    }
    match (metrics, logs) {
        (Err(why), Err(_)) => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
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
