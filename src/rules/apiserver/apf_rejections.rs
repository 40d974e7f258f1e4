//! kube-apiserver turns requests away with 429 because a priority level is full.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject, SubjectKind, Table, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{audit, events};

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
    let mut drafts = Vec::new();
    if let Ok(metrics) = &metrics {
        for (subject, table) in metrics {
            let rejected = table.total("rejected");
            let all = rejected + table.total("dispatched");
            if rejected < least || rejected / all.max(1.0) < share_limit.value {
                continue;
            }
            let levels: Vec<String> = table
                .top("rejected")
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
            let words = format!(
                "{rejected:.0} of {all:.0} requests rejected: {}",
                levels.join("; ")
            );
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
    if let (true, Ok((subject, _, clients))) = (drafts.is_empty(), &audit) {
        let throttled: f64 = clients.iter().map(|c| c.throttled).sum();
        let all: f64 = clients.iter().map(|c| c.requests).sum();
        let worst = clients
            .iter()
            .max_by(|a, b| a.throttled.total_cmp(&b.throttled));
        if let Some(worst) = worst
            && throttled >= least
            && throttled / all.max(1.0) >= share_limit.value
        {
            let words = format!(
                "{throttled:.0} of {all:.0} requests answered 429, {:.0} of them to {}",
                worst.throttled,
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
        (Err(why), Err(_), Err(_)) => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// What all kube-apiservers rejected together: a load balancer spreads the requests of one client over
/// them.
fn together(cx: &Context<'_>, metrics: &[(Subject, Table)]) -> Option<Draft> {
    let share = cx.profile.limit("rejected-share");
    let mut levels: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut rejected, mut all) = (0.0, 0.0);
    for (_, table) in metrics {
        for row in &table.rows {
            let own = row.get("rejected").unwrap_or(0.0);
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
