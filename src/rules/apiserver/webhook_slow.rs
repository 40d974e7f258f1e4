//! Admission webhooks hold requests up: slow ones, and those that cannot be called.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "webhook-slow",
    summary: "an admission webhook is slow or cannot be called",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "webhook-slow",
    check,
};

const KINDS: &[&str] = &["webhook-failed"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let metrics = cx.evidence.some(&keys::APISERVER_WEBHOOKS);
    let logs = events::seen(cx, KINDS);
    cx.evidence.take_citations();
    let limit = cx.profile.limit("webhook-took");
    let least = cx.profile.limit("webhook-calls");
    let mut drafts: Vec<Draft> = Vec::new();
    for (subject, table) in metrics.iter().flatten() {
        for (row, secs) in table.top("total_secs") {
            let calls = row.get("calls").unwrap_or(0.0);
            let mean = secs * 1e3 / calls.max(1.0);
            if calls < least.value || mean < limit.value {
                continue;
            }
            let words = format!(
                "webhook {} took {} for each of {calls:.0} calls",
                row.key,
                format_ms(mean)
            );
            cx.evidence
                .cite_as(&keys::APISERVER_WEBHOOKS, subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Warn, words)
                    .confidence(Confidence::High)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    for seen in logs.iter().flatten() {
        // A webhook that is rolled out fails a few calls now and then.
        if events::within_an_hour(cx, seen, KINDS) < least.value {
            continue;
        }
        events::cite(cx, seen, "failed calls of webhooks");
        // A slow one fails, too: its finding has the name.
        if let Some(slow) = drafts
            .iter_mut()
            .find(|draft| draft.is_about(&seen.subject))
        {
            slow.add_citations(cx.evidence.take_citations());
            continue;
        }
        drafts.push(
            Draft::new(
                seen.subject.clone(),
                Severity::Warn,
                format!("{:.0} calls of admission webhooks failed", seen.count),
            )
            .confidence(Confidence::High)
            .threshold(least.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Verdict::of_either(drafts, metrics, logs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn slow_calls_name_the_webhook() {
        let profile = crate::profile::Profile::default();
        let (took, least) = (profile.get("webhook-took"), profile.get("webhook-calls"));
        let with = |calls: f64, mean_ms: f64| {
            Set::new().put(
                &keys::APISERVER_WEBHOOKS,
                component("kube-apiserver"),
                table(&[(
                    "slow.hooks.example.com",
                    &[("calls", calls), ("total_secs", calls * mean_ms / 1e3)],
                )]),
            )
        };
        assert_eq!(
            with(least, took).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let found = with(450.0, 4200.0).check(&RULE);
        assert!(
            found[0]
                .message
                .contains("slow.hooks.example.com took 4.2 s")
        );
        let failed = table(&[(KINDS[0], &[("count", 12.0)])]);
        let both = with(450.0, 4200.0).put(&keys::LOGS_EVENTS, component("kube-apiserver"), failed);
        let found = both.check(&RULE);
        assert_eq!((found.len(), found[0].evidence.len()), (1, 2), "{found:?}");
        assert_eq!(with(least - 1.0, took).status(&RULE).0, Status::Pass);
        assert_eq!(with(1e6, took * 0.99).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn calls_that_fail_are_counted_from_the_log() {
        let least = crate::profile::Profile::default().get("webhook-calls");
        let with = |count: f64| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                component("kube-apiserver"),
                table(&[(KINDS[0], &[("count", count)])]),
            )
        };
        assert_eq!(with(least).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(least - 1.0).status(&RULE).0, Status::Pass);
    }
}
