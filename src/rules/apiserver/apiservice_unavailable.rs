//! The server behind an aggregated API does not answer: its API is gone, and whoever looks at all APIs
//! waits for it.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "apiservice-unavailable",
    summary: "the server of an aggregated API does not answer",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "apiservice-unavailable",
    check,
};

const KINDS: &[&str] = &["apiservice-unavailable"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("apiservice-lines");
    let logged = events::at_least(cx, &[KINDS], limit, "lines about aggregated APIs", |seen| {
        format!(
            "{:.0} lines tell of an aggregated API whose server does not answer",
            seen.count
        )
    });
    let metrics = cx.evidence.some(&keys::APISERVER_APISERVICES);
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = Vec::new();
    for (subject, table) in metrics.iter().flatten() {
        for row in &table.rows {
            // One that was away for a moment came back.
            if row.get("last_down") != Some(1.0) || row.get("max_down_share") != Some(1.0) {
                continue;
            }
            let found = row.get("found").zip(row.get_text("reason"));
            let why = found.map_or_else(String::new, |(found, reason)| {
                format!(", found so {found:.0} times ({reason})")
            });
            let words = format!("the aggregated API {} is unavailable{why}", row.key);
            cx.evidence
                .cite_as(&keys::APISERVER_APISERVICES, subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Warn, words)
                    .aspect(row.key.as_str())
                    .confidence(Confidence::High)
                    .threshold("unavailable at each scrape (kube-apiserver: aggregator_unavailable_apiservice)")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    // Metrics name it; lines of whoever asks for all APIs are of the same.
    Verdict::of_metrics_first(drafts, metrics, logged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn one_that_is_down_at_each_scrape() {
        let with = |last: f64, share: f64| {
            let row: &[(&str, f64)] = &[("last_down", last), ("max_down_share", share)];
            let apis = table(&[("v1beta1.metrics.k8s.io", row)]);
            Set::new()
                .put(
                    &keys::APISERVER_APISERVICES,
                    component("kube-apiserver"),
                    apis,
                )
                .status(&RULE)
        };
        assert_eq!(with(1.0, 1.0), (Status::Fail, Severity::Warn));
        assert_eq!(with(1.0, 0.5).0, Status::Pass);
        assert_eq!(with(0.0, 0.5).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn lines_count_from_the_limit_on() {
        let limit = crate::profile::Profile::default().get("apiservice-lines");
        let with = |count: f64| {
            let lines = table(&[(KINDS[0], &[("count", count)])]);
            Set::new()
                .put(&keys::LOGS_EVENTS, component("kube-apiserver"), lines)
                .status(&RULE)
                .0
        };
        assert_eq!(with(limit), Status::Fail);
        assert_eq!(with(limit - 1.0), Status::Pass);
    }
}
