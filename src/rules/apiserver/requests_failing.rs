//! Requests to kube-apiserver fail with an error of the server's, or are turned away for something else
//! than load.

use std::collections::BTreeSet;

use crate::catalog::resources::is_events;
use crate::evidence::{Missing, Row, Subject, keys};
use crate::rules::answers::{self, Answers};
use crate::rules::audit::{self, Client};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "requests-failing",
    summary: "requests to kube-apiserver fail, or are turned away for something else than load",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "requests-failing",
    check,
};

/// What was found: errors of the server, answers 429 without load, evictions that wait.
const FAILED: &str = "failed";
const TURNED_AWAY: &str = "turned-away";
const EVICTIONS: &str = "evictions";

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limits_events = answers::limits_events(cx);
    let down = answers::groups_down(cx);
    let metrics = answers::all(cx);
    let audit = audit::clients(cx);
    let mut drafts = Vec::new();
    for own in metrics.iter().flatten() {
        failed(cx, own, &down, &mut drafts);
        turned_away(cx, own, limits_events, &mut drafts);
        if let Some(draft) = held_back(cx, own) {
            drafts.push(draft);
        }
    }
    if let Ok((subject, secs, clients)) = &audit {
        let seen = Audit {
            subject,
            hours: (secs / 3600.0).max(1.0),
            clients,
        };
        let known = |aspect: &str, drafts: &[Draft]| drafts.iter().any(|d| d.has_aspect(aspect));
        // What fails at each start, `/readyz`, and what a server behind it fails at are not its own.
        let is_others = |row: &Row| {
            let resource = row.get_text("resource").unwrap_or("");
            !answers::is_object(resource) || answers::is_of(resource, &down)
        };
        if !known(FAILED, &drafts) {
            // Time-outs are another rule's.
            let count = |row: &Row| match is_others(row) {
                true => 0.0,
                false => row.get("errors").unwrap_or(0.0) - row.get("timeouts").unwrap_or(0.0),
            };
            let found = seen.found(cx, "answered 5xx", FAILED, Severity::Warn, &count);
            drafts.extend(found);
        }
        if !known(TURNED_AWAY, &drafts) && limits_events {
            let words =
                "to write events answered 429, as the admission plug-in EventRateLimit does";
            let count = answers::limited_events;
            drafts.extend(seen.found(cx, words, TURNED_AWAY, Severity::Warn, &count));
        }
        if !known(EVICTIONS, &drafts) {
            let words = "are evictions answered 429: a PodDisruptionBudget lets no pod go";
            let count = |row: &Row| row.get("held").unwrap_or(0.0);
            drafts.extend(seen.found(cx, words, EVICTIONS, Severity::Info, &count));
        }
    }
    Verdict::of_either(drafts, metrics, audit)
}

/// Whether so many of all requests are more than now and then.
fn is_often(cx: &Context<'_>, count: f64, all: f64, hours: f64) -> bool {
    count / hours >= cx.profile.get("failing-min")
        && count / all.max(1.0) >= cx.profile.get("failing-share")
}

fn draft(
    cx: &Context<'_>,
    own: &Answers,
    severity: Severity,
    aspect: &str,
    words: String,
) -> Draft {
    cx.evidence
        .cite_as(&keys::APISERVER_REQUESTS, &own.subject, words.clone());
    Draft::new(own.subject.clone(), severity, words)
        .aspect(aspect)
        .confidence(Confidence::High)
        .threshold(cx.profile.limit("failing-share").words())
        .cites(cx.evidence.take_citations())
}

fn failed(cx: &Context<'_>, own: &Answers, down: &BTreeSet<String>, drafts: &mut Vec<Draft>) {
    let count = |row: &Row| {
        let resource = row.key.split_once(' ').map_or("", |(_, resource)| resource);
        match answers::is_of(resource, down) {
            true => 0.0,
            // Time-outs are another rule's.
            false => row.get("errors").unwrap_or(0.0) - row.get("timeouts").unwrap_or(0.0),
        }
    };
    let all: f64 = own.rows.iter().map(count).sum();
    if is_often(cx, all, own.requests, own.hours) {
        let words = format!(
            "{all:.0} of {:.0} requests answered 5xx: {}",
            own.requests,
            own.most(&count)
        );
        drafts.push(draft(cx, own, Severity::Warn, FAILED, words));
    }
}

/// Answers 429 that priority and fairness, which is on, did not give.
fn turned_away(cx: &Context<'_>, own: &Answers, limits_events: bool, drafts: &mut Vec<Draft>) {
    let (Some(others), Some(rejected)) = (own.throttled_by_others(), own.rejected) else {
        return;
    };
    if !is_often(cx, others, own.requests, own.hours) {
        return;
    }
    let count = |row: &Row| match answers::is_eviction(&row.key) {
        true => 0.0,
        false => row.get("throttled").unwrap_or(0.0),
    };
    let of = |wanted: &dyn Fn(&str) -> bool| -> f64 {
        let rows = own.rows.iter().filter(|row| wanted(&row.key));
        rows.map(count).sum()
    };
    let events = of(&|key| key.split(' ').nth(1).is_some_and(is_events));
    let lists = of(&|key| key.starts_with("LIST ") || key.starts_with("WATCH"));
    // Most of them, so that a few of another kind do not hide what it is.
    let why = if limits_events && events * 2.0 >= others {
        "the admission plug-in EventRateLimit turns events away"
    } else if lists * 2.0 >= others {
        "kube-apiserver answers lists and watches so while a watch cache initialises (1.31 and newer)"
    } else {
        "an admission plug-in, a webhook or a server behind it did"
    };
    let words = format!(
        "{others:.0} of {:.0} requests answered 429 and not by priority and fairness, which rejected \
         {rejected:.0}: {}; {why}",
        own.requests,
        own.most(&count)
    );
    let found = draft(cx, own, Severity::Warn, TURNED_AWAY, words);
    // Who it was is concluded from what was asked for.
    drafts.push(found.confidence(Confidence::Medium));
}

/// A drain that waits is as it should be, and worth knowing where it does for long.
fn held_back(cx: &Context<'_>, own: &Answers) -> Option<Draft> {
    let held = own.evictions();
    if held / own.hours < cx.profile.get("failing-min") {
        return None;
    }
    let words = format!("{held:.0} evictions answered 429: a PodDisruptionBudget lets no pod go");
    Some(draft(cx, own, Severity::Info, EVICTIONS, words))
}

/// The audit log.
struct Audit<'a> {
    subject: &'a Subject,
    hours: f64,
    clients: &'a [Client],
}

impl Audit<'_> {
    /// A finding where `count` counts many, with the client and the request that most of them are of.
    fn found(
        &self,
        cx: &Context<'_>,
        words: &str,
        aspect: &str,
        severity: Severity,
        count: &dyn Fn(&Row) -> f64,
    ) -> Option<Draft> {
        let rows = || {
            let clients = self.clients.iter();
            clients.flat_map(|client| client.rows.iter().map(move |row| (client, row)))
        };
        let all: f64 = rows().map(|(_, row)| count(row)).sum();
        let requests: f64 = self.clients.iter().map(|client| client.requests).sum();
        if !is_often(cx, all, requests, self.hours) {
            return None;
        }
        let (client, row) = rows().max_by(|a, b| count(a.1).total_cmp(&count(b.1)))?;
        let words = format!(
            "{all:.0} of {requests:.0} requests {words}; {:.0} of them are {} {} of {}",
            count(row),
            row.get_text("verb").unwrap_or("?"),
            row.get_text("resource").unwrap_or("?"),
            client.name()
        );
        cx.evidence
            .cite_as(&keys::LOGS_AUDIT_CLIENTS, self.subject, words.clone());
        Some(
            Draft::new(self.subject.clone(), severity, words)
                .aspect(aspect)
                .confidence(Confidence::High)
                .threshold(cx.profile.limit("failing-share").words())
                .cites(cx.evidence.take_citations()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component, table};

    fn answered(rows: &[(&str, &[(&str, f64)])]) -> Set {
        let about = component("kube-apiserver");
        Set::new().put(&keys::APISERVER_REQUESTS, about, table(rows))
    }

    fn with_apf(set: Set, rejected: f64) -> Set {
        let level: &[(&str, f64)] = &[("rejected", rejected), ("dispatched", 900.0)];
        let levels = table(&[("workload-low", level)]);
        set.put(&keys::APF_LEVELS, component("kube-apiserver"), levels)
    }

    #[test]
    fn errors_of_the_server_count_and_time_outs_do_not() {
        let profile = crate::profile::Profile::default();
        let (least, share) = (profile.get("failing-min"), profile.get("failing-share"));
        let with = |errors: f64, timeouts: f64, requests: f64| {
            answered(&[(
                "POST pods",
                &[
                    ("requests", requests),
                    ("errors", errors),
                    ("timeouts", timeouts),
                ],
            )])
            .status(&RULE)
        };
        let found = with(least, 0.0, least / share);
        assert_eq!(found, (Status::Fail, Severity::Warn));
        assert_eq!(with(least - 1.0, 0.0, least).0, Status::Pass);
        assert_eq!(with(least, 0.0, least / share + 1.0).0, Status::Pass);
        assert_eq!(with(least, 1.0, least).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn probes_of_a_start_are_no_failures() {
        let row: &[(&str, f64)] = &[("requests", 60.0), ("errors", 30.0)];
        assert_eq!(
            answered(&[("GET /readyz", row)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(answered(&[("GET ", row)]).status(&RULE).0, Status::Pass);
        let path = Row::new("k | u | get /readyz")
            .text("verb", "get")
            .text("resource", "/readyz")
            .num("requests", 60.0)
            .num("errors", 30.0);
        let clients = Table {
            rows: vec![path],
            ..Table::default()
        };
        let about = Subject::cluster();
        let set = Set::new().put(&keys::LOGS_AUDIT_CLIENTS, about, clients);
        assert_eq!(set.status(&RULE).0, Status::Pass);
    }

    #[test]
    fn what_an_aggregated_server_cannot_answer_is_not_its_own() {
        let row: &[(&str, f64)] = &[("requests", 500.0), ("errors", 450.0)];
        let set = answered(&[("LIST pods.metrics.k8s.io", row)]);
        assert_eq!(set.status(&RULE).0, Status::Fail);
        let down: &[(&str, f64)] = &[("last_down", 1.0), ("max_down_share", 1.0)];
        let set = set.put(
            &keys::APISERVER_APISERVICES,
            component("kube-apiserver"),
            table(&[("v1beta1.metrics.k8s.io", down)]),
        );
        assert_eq!(set.status(&RULE).0, Status::Pass);
    }

    #[test]
    fn evictions_that_wait_are_no_load() {
        let row: &[(&str, f64)] = &[("requests", 900.0), ("throttled", 900.0)];
        let set = with_apf(answered(&[("POST pods/eviction", row)]), 0.0);
        let found = set.check(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Info);
        assert!(found[0].message.contains("PodDisruptionBudget"));
    }

    #[test]
    fn answers_429_that_priority_and_fairness_did_not_give() {
        let row: &[(&str, f64)] = &[("requests", 600.0), ("throttled", 600.0)];
        let said = |key: &str, rejected: f64| {
            let found = with_apf(answered(&[(key, row)]), rejected).check(&RULE);
            (found[0].status, found[0].message.clone())
        };
        let (status, words) = said("LIST pods", 0.0);
        assert_eq!(status, Status::Fail);
        assert!(words.contains("watch cache initialises"), "{words}");
        assert_eq!(said("LIST pods", 600.0).0, Status::Pass);
        // Where it is not known, the rule of rejections tells of them.
        assert_eq!(
            answered(&[("LIST pods", row)]).status(&RULE).0,
            Status::Pass
        );
        let on = settings(&[("enable-admission-plugins", "EventRateLimit", "flag")]);
        let set = with_apf(answered(&[("POST events", row)]), 0.0);
        let set = set.put(&keys::SETTINGS, component("kube-apiserver"), on);
        assert!(set.check(&RULE)[0].message.contains("EventRateLimit"));
    }

    #[test]
    fn the_audit_log_names_whose_requests_fail() {
        let row = Row::new("dep/1 | sa | create pods")
            .text("user_agent", "dep/1")
            .text("user", "sa")
            .text("verb", "create")
            .text("resource", "pods")
            .num("requests", 4000.0)
            .num("errors", 4000.0);
        let clients = Table {
            rows: vec![row],
            ..Table::default()
        };
        let about = Subject::cluster();
        let found = Set::new()
            .put(&keys::LOGS_AUDIT_CLIENTS, about, clients)
            .check(&RULE);
        assert!(
            found[0]
                .message
                .contains("4000 of them are create pods of dep/1 (sa)"),
            "{}",
            found[0].message
        );
    }
}
