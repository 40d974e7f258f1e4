//! Requests wait in kube-apiserver's own queues because a priority level has no free seat, whether
//! or not any is turned away.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "apf-queue-waits",
    summary: "requests wait long for a seat in kube-apiserver",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "apf-rejections",
    check,
};

/// Fewer requests than this make no quantile.
const MIN_REQUESTS: f64 = 100.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("apf-wait-p99");
    let mut drafts = Vec::new();
    for (subject, table) in cx.evidence.some(&keys::APF_LEVELS)? {
        let mut waiting: Vec<(f64, String)> = Vec::new();
        for row in &table.rows {
            let dispatched = row.get("dispatched").unwrap_or(0.0);
            let Some(low) = row.get("wait_p99_low_ms") else {
                continue;
            };
            if dispatched < MIN_REQUESTS || low < limit.value {
                continue;
            }
            let mean = row
                .get("wait_secs")
                .map(|secs| secs * 1e3 / dispatched)
                .map_or_else(String::new, |ms| format!(", mean {}", format_ms(ms)));
            let seats = match (row.get("limit_current_seats"), row.get("limit_seats")) {
                (Some(now), Some(nominal)) => {
                    format!(", {now:.0} seats now of nominal {nominal:.0}")
                }
                (_, Some(nominal)) => format!(", {nominal:.0} seats"),
                _ => String::new(),
            };
            let demand = row
                .get("max_demand_seats")
                .map_or_else(String::new, |seats| format!(", demand up to {seats:.0}"));
            waiting.push((
                low,
                format!(
                    "{}: p99 at least {}{mean}{seats}{demand}",
                    row.key,
                    format_ms(low)
                ),
            ));
        }
        if waiting.is_empty() {
            continue;
        }
        waiting.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let levels: Vec<String> = waiting
            .into_iter()
            .take(3)
            .map(|(_, words)| words)
            .collect();
        let words = format!("requests wait for a seat, {}", levels.join("; "));
        cx.evidence
            .cite_as(&keys::APF_LEVELS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                .confidence(Confidence::High)
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
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn both_sides_of_the_limit_and_too_few_requests() {
        let limit = crate::profile::Profile::default().get("apf-wait-p99");
        let with = |low: f64, dispatched: f64| {
            Set::new().put(
                &keys::APF_LEVELS,
                component("kube-apiserver"),
                table(&[(
                    "workload-low",
                    &[
                        ("wait_p99_low_ms", low),
                        ("wait_secs", 50.0),
                        ("dispatched", dispatched),
                        ("limit_seats", 5.0),
                    ],
                )]),
            )
        };
        assert_eq!(
            with(limit, 100.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(limit - 1.0, 100.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit, 99.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
