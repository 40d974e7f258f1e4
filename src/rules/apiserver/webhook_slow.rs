//! Admission webhooks hold requests up: slow ones, and those that cannot be called.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject, SubjectKind, Table, keys};
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

/// Slow calls of webhooks that kube-apiserver traces.
const TRACES: &[&str] = &["apiserver-webhook-trace"];

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
                    .aspect(row.key.as_str())
                    .confidence(Confidence::High)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let (true, Ok(metrics)) = (drafts.is_empty(), &metrics) {
        together(cx, metrics, &mut drafts);
    }
    for (subject, table) in metrics.iter().flatten() {
        failing(cx, subject, table, &mut drafts);
    }
    if logs.is_ok() {
        traced(cx, &mut drafts);
    }
    for seen in logs.iter().flatten() {
        // A webhook that is rolled out fails a few calls now and then.
        if seen.hourly < least.value {
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

/// Webhooks that could not be called: the request went on without their answer, or was refused for it.
fn failing(cx: &Context<'_>, subject: &Subject, table: &Table, drafts: &mut Vec<Draft>) {
    let least = cx.profile.limit("webhook-calls");
    let secs = cx
        .evidence
        .record(&keys::APISERVER_WEBHOOKS, subject)
        .and_then(|record| record.secs());
    let hours = (secs.unwrap_or(0.0) / events::HOUR_SECS).max(1.0);
    for row in &table.rows {
        let count = |column| row.get(column).unwrap_or(0.0);
        let (open, closed) = (count("failed_open"), count("failed_closed"));
        if (open + closed) / hours < least.value {
            continue;
        }
        let mut went = Vec::new();
        if open > 0.0 {
            went.push(format!("{open:.0} requests went on without it"));
        }
        if closed > 0.0 {
            went.push(format!("{closed:.0} were refused"));
        }
        let words = format!(
            "webhook {} could not be called: {}",
            row.key,
            went.join(", ")
        );
        cx.evidence
            .cite_as(&keys::APISERVER_WEBHOOKS, subject, words.clone());
        // It is slow, too: one finding tells of it.
        let slow = drafts
            .iter_mut()
            .find(|draft| draft.has_aspect(&row.key) && draft.is_about(subject));
        if let Some(slow) = slow {
            slow.add_citations(cx.evidence.take_citations());
            continue;
        }
        drafts.push(
            Draft::new(subject.clone(), Severity::Warn, words)
                .aspect(row.key.as_str())
                .confidence(Confidence::High)
                .threshold(least.words())
                .cites(cx.evidence.take_citations()),
        );
    }
}

/// Webhooks whose calls are spread over several kube-apiservers, none of which made many.
fn together(cx: &Context<'_>, metrics: &[(Subject, Table)], drafts: &mut Vec<Draft>) {
    let limit = cx.profile.limit("webhook-took");
    let least = cx.profile.limit("webhook-calls");
    let mut hooks: BTreeMap<&str, (f64, f64, Vec<&Subject>)> = BTreeMap::new();
    for (subject, table) in metrics {
        for row in &table.rows {
            let sum = hooks.entry(&row.key).or_default();
            sum.0 += row.get("calls").unwrap_or(0.0);
            sum.1 += row.get("total_secs").unwrap_or(0.0);
            sum.2.push(subject);
        }
    }
    for (name, (calls, secs, of)) in hooks {
        let mean = secs * 1e3 / calls.max(1.0);
        if of.len() < 2 || calls < least.value || mean < limit.value {
            continue;
        }
        let words = format!(
            "webhook {name} took {} for each of {calls:.0} calls of {} kube-apiservers",
            format_ms(mean),
            of.len()
        );
        for subject in of {
            cx.evidence
                .cite_as(&keys::APISERVER_WEBHOOKS, subject, words.clone());
        }
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Component, "kube-apiserver"),
                Severity::Warn,
                words,
            )
            .confidence(Confidence::High)
            .aspect(name)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
}

/// Webhooks of which an apiserver traced slow calls. Fast ones leave no trace, so the mean is that
/// of the slow ones.
fn traced(cx: &Context<'_>, drafts: &mut Vec<Draft>) {
    let limit = cx.profile.limit("webhook-took");
    let least = cx.profile.limit("webhook-calls");
    for seen in events::seen(cx, TRACES).unwrap_or_default() {
        let hourly = seen.hourly / seen.count.max(1.0);
        let Some(table) = cx.evidence.peek(&keys::LOGS_APISERVER_CALLS, &seen.subject) else {
            continue;
        };
        let mut hooks: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for row in &table.rows {
            if row.get_text("target") == Some("webhook") {
                let sum = hooks
                    .entry(row.get_text("name").unwrap_or("?"))
                    .or_default();
                sum.0 += row.get("count").unwrap_or(0.0);
                sum.1 += row.get("total_ms").unwrap_or(0.0);
            }
        }
        for (name, (calls, total_ms)) in hooks {
            let mean = total_ms / calls.max(1.0);
            if calls * hourly < least.value || mean < limit.value {
                continue;
            }
            let words = format!(
                "webhook {name} took {} for each of {calls:.0} calls that were traced as slow",
                format_ms(mean)
            );
            cx.evidence
                .cite_as(&keys::LOGS_APISERVER_CALLS, &seen.subject, words.clone());
            // Metrics name it, too, and know of all calls.
            if let Some(known) = drafts.iter_mut().find(|draft| draft.has_aspect(name)) {
                known.add_citations(cx.evidence.take_citations());
                continue;
            }
            drafts.push(
                Draft::new(seen.subject.clone(), Severity::Warn, words)
                    .aspect(name)
                    .confidence(Confidence::Medium)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Row;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn calls_that_failed_are_told_by_metrics() {
        let least = crate::profile::Profile::default().get("webhook-calls");
        let with = |open: f64, closed: f64| {
            let row: &[(&str, f64)] = &[("failed_open", open), ("failed_closed", closed)];
            let hooks = table(&[("a.example.com", row)]);
            Set::new()
                .put(
                    &keys::APISERVER_WEBHOOKS,
                    component("kube-apiserver"),
                    hooks,
                )
                .check(&RULE)
        };
        let found = with(least, 0.0);
        assert_eq!(
            (found[0].status, found[0].severity),
            (Status::Fail, Severity::Warn)
        );
        assert!(found[0].message.contains("went on without it"));
        assert!(with(0.0, least)[0].message.ends_with("were refused"));
        assert_eq!(with(least - 1.0, 0.0)[0].status, Status::Pass);
    }

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
    fn calls_of_several_kube_apiservers_are_added_up() {
        let profile = crate::profile::Profile::default();
        let (took, least) = (profile.get("webhook-took"), profile.get("webhook-calls"));
        let spread = |calls: f64| {
            let secs = calls * took * 1.1 / 1e3;
            let row: &[(&str, f64)] = &[("calls", calls / 3.0), ("total_secs", secs / 3.0)];
            Set::new().put_on_three(&keys::APISERVER_WEBHOOKS, || {
                table(&[("slow.hooks.example.com", row)])
            })
        };
        let found = spread(least * 1.1).check(&RULE);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("calls of 3 kube-apiservers"));
        assert_eq!(spread(least - 1.0).status(&RULE).0, Status::Pass);
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

    #[test]
    fn traced_calls_name_the_webhook_without_metrics() {
        let profile = crate::profile::Profile::default();
        let (took, least) = (profile.get("webhook-took"), profile.get("webhook-calls"));
        let with = |count: f64, mean_ms: f64, hours: i64| {
            let about = || component("kube-apiserver");
            let row = Row::new("x")
                .text("target", "webhook")
                .text("name", "sidecar.example.com")
                .num("count", count)
                .num("total_ms", count * mean_ms);
            let calls = Table {
                rows: vec![row],
                ..Table::default()
            };
            let events = table(&[(TRACES[0], &[("count", count)])]);
            Set::new()
                .put_over(&keys::LOGS_EVENTS, about(), events, hours * 3600)
                .put(&keys::LOGS_APISERVER_CALLS, about(), calls)
        };
        assert_eq!(
            with(least, took, 1).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let found = with(1200.0, 5800.0, 1).check(&RULE);
        assert!(found[0].message.contains("sidecar.example.com took 5.8 s"));
        assert_eq!(with(least - 1.0, took, 1).status(&RULE).0, Status::Pass);
        assert_eq!(with(least, took * 0.99, 1).status(&RULE).0, Status::Pass);
        assert_eq!(with(least, took, 24).status(&RULE).0, Status::Pass);
    }
}
