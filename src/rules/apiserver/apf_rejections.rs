//! kube-apiserver turns requests away with 429 because a priority level is full, or, without priority
//! levels, because too many are in flight.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject, SubjectKind, Table, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{answers, audit, events, settings};

/// The rule.
pub static RULE: Rule = Rule {
    id: "apf-rejections",
    summary: "kube-apiserver turns requests away with 429",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "apf-rejections",
    check,
};

/// Messages about answers 429, whoever wrote them.
const KINDS: &[&str] = &["api-too-many-requests", "http-too-many-requests"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let share_limit = cx.profile.limit("rejected-share");
    let least = cx.profile.get("rejected-min");
    let metrics = cx.evidence.some(&keys::APF_LEVELS);
    cx.evidence.take_citations();
    let audit = audit::clients(cx);
    let answers = answers::all(cx).unwrap_or_default();
    let limits_events = answers::limits_events(cx);
    let mut drafts = Vec::new();
    if let Ok(metrics) = &metrics {
        for (subject, table) in metrics {
            if let Some(draft) = gave_up(cx, subject, table) {
                drafts.push(draft);
            }
            let rejected = table.total("rejected") - table.total("cancelled");
            let all = rejected + table.total("dispatched");
            if rejected < least || rejected / all.max(1.0) < share_limit.value {
                continue;
            }
            let mut levels = table.top("rejected");
            for (row, n) in &mut levels {
                *n -= row.get("cancelled").unwrap_or(0.0);
            }
            levels.sort_by(|a, b| b.1.total_cmp(&a.1));
            let levels: Vec<String> = levels
                .iter()
                .filter(|(_, n)| *n > 0.0)
                .take(3)
                .map(|(row, n)| {
                    let seats = row
                        .get("limit_seats")
                        .map_or_else(String::new, |seats| format!(", {seats:.0} seats"));
                    format!("{} {n:.0}{seats}", row.key)
                })
                .collect();
            let counted = table.rows.iter().any(|row| row.get("dispatched").is_some());
            let of = match counted {
                true => format!("of {all:.0} requests rejected"),
                false => "requests rejected, of how many the metrics do not tell".to_owned(),
            };
            let words = format!("{rejected:.0} {of}: {}", levels.join("; "));
            cx.evidence
                .cite_as(&keys::APF_LEVELS, subject, words.clone());
            if let Ok((audit_subject, _, clients)) = &audit
                && let Some(worst) = clients
                    .iter()
                    .max_by(|a, b| a.throttled.total_cmp(&b.throttled))
                && worst.throttled > 0.0
            {
                cx.evidence.cite_as(
                    &keys::LOGS_AUDIT_CLIENTS,
                    audit_subject,
                    format!("{}: {:.0} answers 429", worst.name(), worst.throttled),
                );
            }
            drafts.push(
                Draft::new(subject.clone(), Severity::Critical, words)
                    .confidence(Confidence::High)
                    .threshold(share_limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let (true, Ok(metrics)) = (drafts.is_empty(), &metrics) {
        drafts.extend(together(cx, metrics));
    }
    for own in answers.iter().filter(|own| own.rejected.is_none()) {
        drafts.extend(without_levels(cx, own));
    }
    // Priority and fairness counts what it rejects: where others gave the answers 429, the audit log
    // tells of those.
    let by_others = answers.iter().any(|own| {
        let rejected = own.rejected.unwrap_or(f64::INFINITY);
        rejected < least && own.throttled() >= least
    });
    if let (true, false, Ok((subject, _, clients))) = (drafts.is_empty(), by_others, &audit) {
        let of = |client: &audit::Client| match limits_events {
            true => {
                let events = client.rows.iter().map(answers::limited_events);
                client.throttled - events.sum::<f64>()
            }
            false => client.throttled,
        };
        let throttled: f64 = clients.iter().map(of).sum();
        let all: f64 = clients.iter().map(|c| c.requests).sum();
        let worst = clients.iter().max_by(|a, b| of(a).total_cmp(&of(b)));
        if let Some(worst) = worst
            && throttled >= least
            && throttled / all.max(1.0) >= share_limit.value
        {
            let words = format!(
                "{throttled:.0} of {all:.0} requests answered 429, {:.0} of them to {}",
                of(worst),
                worst.name()
            );
            cx.evidence
                .cite_as(&keys::LOGS_AUDIT_CLIENTS, subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Critical, words)
                    .confidence(Confidence::High)
                    .threshold(share_limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    let logged = events::seen(cx, KINDS);
    if let (true, Ok(logged)) = (drafts.is_empty(), &logged) {
        for seen in logged.iter().filter(|seen| seen.hourly >= least) {
            events::cite(cx, seen, "messages about answers 429");
            let who = match &*seen.subject.name {
                "" => "a component",
                name => name,
            };
            drafts.push(
                Draft::new(
                    seen.subject.clone(),
                    Severity::Warn,
                    format!("the log of {who} tells of {:.0} answers 429", seen.count),
                )
                // How many requests there were, and of which level, such lines do not say.
                .confidence(Confidence::Medium)
                .threshold(cx.profile.limit("rejected-min").words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    match (metrics, audit, logged) {
        (Err(why), Err(_), Err(_)) if answers.is_empty() => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// Requests that left their queue because their clients gave them up: no seat was free for them, and none
/// of them was answered 429 (kubernetes: flowcontrol/fairqueuing/queueset, `cancelled`).
fn gave_up(cx: &Context<'_>, subject: &Subject, table: &Table) -> Option<Draft> {
    let share = cx.profile.limit("rejected-share");
    let cancelled = table.total("cancelled");
    let all = table.total("rejected") + table.total("dispatched");
    if cancelled < cx.profile.get("rejected-min") || cancelled / all.max(1.0) < share.value {
        return None;
    }
    let words = format!(
        "{cancelled:.0} of {all:.0} requests left their queues because their clients gave them up: no \
         seat was free for them"
    );
    cx.evidence
        .cite_as(&keys::APF_LEVELS, subject, words.clone());
    Some(
        Draft::new(subject.clone(), Severity::Warn, words)
            .aspect("cancelled")
            // How long they would have waited is not known.
            .confidence(Confidence::Medium)
            .threshold(share.words())
            .cites(cx.evidence.take_citations()),
    )
}

/// What a kube-apiserver without priority levels turned away: it has only the limits of requests in flight.
fn without_levels(cx: &Context<'_>, own: &answers::Answers) -> Option<Draft> {
    let share = cx.profile.limit("rejected-share");
    let least = cx.profile.get("rejected-min");
    let full = full(cx, &own.subject);
    cx.evidence.take_citations();
    let dropped = cx.evidence.peek(&keys::APISERVER_DROPPED, &own.subject);
    let rejected = dropped.unwrap_or(0.0).max(own.throttled());
    if rejected / own.hours >= least && rejected / own.requests.max(1.0) >= share.value {
        let full = full.map_or_else(String::new, |full| format!("; {full}"));
        let words = format!(
            "{rejected:.0} of {:.0} requests answered 429, without priority and fairness: {}{full}",
            own.requests,
            own.most(&|row| match answers::is_eviction(&row.key) {
                true => 0.0,
                false => row.get("throttled").unwrap_or(0.0),
            })
        );
        cx.evidence
            .cite_as(&keys::APISERVER_REQUESTS, &own.subject, words.clone());
        return Some(
            Draft::new(own.subject.clone(), Severity::Critical, words)
                .confidence(Confidence::High)
                .threshold(share.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    let words = full?;
    cx.evidence
        .cite_as(&keys::APISERVER_INFLIGHT, &own.subject, words.clone());
    Some(
        Draft::new(own.subject.clone(), Severity::Warn, words)
            .aspect("in-flight")
            // What came beyond is not counted.
            .confidence(Confidence::Medium)
            .threshold("its own limits of requests in flight: what comes beyond is answered 429")
            .cites(cx.evidence.take_citations()),
    )
}

/// Whether requests in flight were at their limit at a scrape, and at the last one still; in words.
fn full(cx: &Context<'_>, subject: &Subject) -> Option<String> {
    let inflight = cx.evidence.peek(&keys::APISERVER_INFLIGHT, subject)?;
    let kinds = [
        ("readOnly", "max-requests-inflight"),
        ("mutating", "max-mutating-requests-inflight"),
    ];
    let full: Vec<String> = kinds
        .iter()
        .filter_map(|(kind, flag)| {
            let row = inflight.row(kind)?;
            let most = row.get("max_inflight")?.min(row.get("last_inflight")?);
            let set = settings::of(cx, "kube-apiserver", &[flag]).ok()?;
            // Scrapes and files may call a node by different names.
            let own = set.iter().find(|one| one.subject == *subject);
            let limit = own.or(set.first())?.number()?;
            // 0 is no limit.
            (limit > 0.0 && most >= limit)
                .then(|| format!("{most:.0} {kind} requests in flight are the limit ({flag})"))
        })
        .collect();
    (!full.is_empty()).then(|| full.join(", "))
}

/// What all kube-apiservers rejected together: a load balancer spreads the requests of one client over
/// them.
fn together(cx: &Context<'_>, metrics: &[(Subject, Table)]) -> Option<Draft> {
    let share = cx.profile.limit("rejected-share");
    let mut levels: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut rejected, mut all) = (0.0, 0.0);
    for (_, table) in metrics {
        for row in &table.rows {
            let own = row.get("rejected").unwrap_or(0.0) - row.get("cancelled").unwrap_or(0.0);
            rejected += own;
            all += own + row.get("dispatched").unwrap_or(0.0);
            *levels.entry(&row.key).or_default() += own;
        }
    }
    if metrics.len() < 2
        || rejected < cx.profile.get("rejected-min")
        || rejected / all.max(1.0) < share.value
    {
        return None;
    }
    for (subject, table) in metrics {
        let words = format!("{:.0} requests rejected", table.total("rejected"));
        cx.evidence.cite_as(&keys::APF_LEVELS, subject, words);
    }
    let mut levels: Vec<_> = levels.into_iter().filter(|(_, n)| *n > 0.0).collect();
    levels.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let levels: Vec<String> = levels
        .iter()
        .take(3)
        .map(|(level, n)| format!("{level} {n:.0}"))
        .collect();
    let words = format!(
        "{rejected:.0} of {all:.0} requests rejected by {} kube-apiservers together: {}",
        metrics.len(),
        levels.join("; ")
    );
    Some(
        Draft::new(
            Subject::new(SubjectKind::Component, "kube-apiserver"),
            Severity::Critical,
            words,
        )
        .confidence(Confidence::High)
        .threshold(share.words())
        .cites(cx.evidence.take_citations()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn lines_about_429_are_a_sign_without_a_share() {
        let least = crate::profile::Profile::default().get("rejected-min");
        let with = |count: f64| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                component("kube-apiserver"),
                table(&[(KINDS[0], &[("count", count)])]),
            )
        };
        let found = with(least).check(&RULE);
        assert_eq!(
            (found[0].severity, found[0].confidence),
            (Severity::Warn, Confidence::Medium)
        );
        assert_eq!(with(least - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn lines_of_weeks_about_429_are_none() {
        let least = crate::profile::Profile::default().get("rejected-min");
        let with = |hours: i64| {
            let events = table(&[(KINDS[1], &[("count", least)])]);
            Set::new()
                .put_over(
                    &keys::LOGS_EVENTS,
                    component("kube-apiserver"),
                    events,
                    hours * 3600,
                )
                .status(&RULE)
                .0
        };
        assert_eq!(with(1), Status::Fail);
        assert_eq!(with(20 * 24), Status::Pass);
    }

    #[test]
    fn requests_that_a_balancer_spreads_are_added_up() {
        let least = crate::profile::Profile::default().get("rejected-min");
        let spread = |rejected: f64| {
            let row = [("rejected", rejected / 3.0), ("dispatched", 300.0)];
            Set::new().put_on_three(&keys::APF_LEVELS, || table(&[("workload-low", &row)]))
        };
        let found = spread(least.max(24.0)).check(&RULE);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].message.contains("by 3 kube-apiservers together"),
            "{}",
            found[0].message
        );
        assert_eq!(spread(least - 1.0).status(&RULE).0, Status::Pass);
    }

    fn answered(row: &[(&str, f64)]) -> Set {
        let about = component("kube-apiserver");
        let rows = table(&[("LIST pods", row)]);
        Set::new().put(&keys::APISERVER_REQUESTS, about, rows)
    }

    #[test]
    fn without_priority_levels_all_answers_429_count() {
        let least = crate::profile::Profile::default().get("rejected-min");
        let with = |n: f64| answered(&[("requests", 100.0), ("throttled", n)]);
        let found = with(least).status(&RULE);
        assert_eq!(found, (Status::Fail, Severity::Critical));
        assert_eq!(with(least - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn requests_in_flight_at_their_limit() {
        use crate::rules::settings::testing::settings;
        let with = |max: f64, last: f64, limit: &str| {
            let about = || component("kube-apiserver");
            let row: &[(&str, f64)] = &[("max_inflight", max), ("last_inflight", last)];
            answered(&[("requests", 100.0)])
                .put(
                    &keys::APISERVER_INFLIGHT,
                    about(),
                    table(&[("readOnly", row)]),
                )
                .put(
                    &keys::SETTINGS,
                    about(),
                    settings(&[("max-requests-inflight", limit, "default")]),
                )
                .status(&RULE)
        };
        assert_eq!(with(400.0, 400.0, "400"), (Status::Fail, Severity::Warn));
        assert_eq!(with(400.0, 399.0, "400").0, Status::Pass);
        assert_eq!(with(400.0, 400.0, "0").0, Status::Pass);
    }

    #[test]
    fn clients_that_gave_up_are_no_answers_429() {
        let about = component("kube-apiserver");
        let row: &[(&str, f64)] = &[
            ("rejected", 300.0),
            ("cancelled", 300.0),
            ("dispatched", 1700.0),
        ];
        let set = Set::new().put(&keys::APF_LEVELS, about, table(&[("workload-low", row)]));
        let found = set.check(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Warn);
        assert!(found[0].message.contains("clients gave them up"));
    }

    /// The audit log knows the answers 429, and priority and fairness counted that it gave none.
    #[test]
    fn answers_429_of_others_are_no_rejections() {
        let row = crate::evidence::Row::new("a | b | list pods")
            .num("requests", 600.0)
            .num("throttled", 600.0);
        let clients = Table {
            rows: vec![row],
            ..Table::default()
        };
        let set = || {
            let row: &[(&str, f64)] = &[("requests", 600.0), ("throttled", 600.0)];
            let about = Subject::cluster();
            answered(row).put(&keys::LOGS_AUDIT_CLIENTS, about, clients.clone())
        };
        let with = |rejected: f64| {
            let row: &[(&str, f64)] = &[("rejected", rejected), ("dispatched", 1e6)];
            let about = component("kube-apiserver");
            let levels = table(&[("workload-low", row)]);
            set().put(&keys::APF_LEVELS, about, levels).status(&RULE).0
        };
        assert_eq!(with(0.0), Status::Pass);
        assert_eq!(with(600.0), Status::Fail);
    }

    #[test]
    fn both_sides_of_the_limit() {
        let profile = crate::profile::Profile::default();
        let (share, least) = (profile.get("rejected-share"), profile.get("rejected-min"));
        let with = |rejected: f64, all: f64| {
            Set::new().put(
                &keys::APF_LEVELS,
                component("kube-apiserver"),
                table(&[(
                    "workload-low",
                    &[("rejected", rejected), ("dispatched", all - rejected)],
                )]),
            )
        };
        assert_eq!(
            with(least, least / share).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(
            with(least, least / share + 1.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(with(least - 1.0, least).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
