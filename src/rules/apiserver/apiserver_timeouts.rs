//! Requests to the apiserver ran into their time limit.

use crate::evidence::{Missing, Row, Subject, SubjectKind, keys};
use crate::rules::answers::{self, Answers};
use crate::rules::audit;
use crate::rules::events::{self, Seen};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "apiserver-timeouts",
    summary: "requests to kube-apiserver time out",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "apiserver-timeouts",
    check,
};

const KINDS: &[&str] = &[
    "apiserver-timeout",
    "api-timeout",
    "apiserver-handler-timeout",
    "etcd-error-timeout",
    "etcd-deadline",
];

/// A handler that went on after its time-out says so once more when it ends.
const AFTER: &[&str] = &["apiserver-post-timeout"];

/// What the HTTP log says of the same requests.
const ANSWERS: &[&str] = &["http-timeout"];

/// Kinds of which each tells of a time-out for sure. The others say the same of a client that went away
/// (apiserver: filters/timeout.go, both end the request's context).
const SURE: &[&str] = &[
    "api-timeout",
    "apiserver-handler-timeout",
    "etcd-deadline",
    "etcd-error-timeout",
    "http-timeout",
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("apiserver-timeouts");
    let sure = |about: &Subject| events::column(cx, about, SURE, "count") > 0.0;
    let words = |seen: &Seen| match sure(&seen.subject) {
        true => format!("{:.0} requests timed out", seen.count),
        false => format!(
            "{:.0} requests timed out, or their clients gave them up: the log does not tell which",
            seen.count
        ),
    };
    let logged = events::at_least(cx, &[KINDS, AFTER, ANSWERS], limit, "time-outs", words);
    let counted = answers::all(cx);
    let audit = audit::clients(cx);
    let mut drafts = logged.clone().unwrap_or_default();
    for draft in &mut drafts {
        if !sure(draft.about()) {
            *draft = draft.clone().confidence(Confidence::Medium);
        }
    }
    if drafts.is_empty() && logged.is_ok() {
        drafts.extend(together(cx)?);
    }
    for own in counted.iter().flatten() {
        // A log that tells of them on this server tells of the same.
        if !drafts.iter().any(|draft| draft.is_about(&own.subject)) {
            drafts.extend(by_metrics(cx, own));
        }
    }
    if drafts.is_empty() {
        drafts.extend(by_audit(cx));
    }
    match (logged, counted, audit) {
        (Err(why), Err(_), Err(_)) => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// Answers 504, and requests that were cut off.
fn by_metrics(cx: &Context<'_>, own: &Answers) -> Option<Draft> {
    let least = cx.profile.get("apiserver-timeouts");
    let share = cx.profile.limit("failing-share");
    let count = |row: &Row| row.get("timeouts").unwrap_or(0.0);
    let timeouts = own.total("timeouts");
    if timeouts / own.hours >= least && timeouts / own.requests.max(1.0) >= share.value {
        let words = format!(
            "{timeouts:.0} of {:.0} requests timed out (504): {}",
            own.requests,
            own.most(&count)
        );
        cx.evidence
            .cite_as(&keys::APISERVER_REQUESTS, &own.subject, words.clone());
        return Some(
            Draft::new(own.subject.clone(), Severity::Warn, words)
                .confidence(Confidence::High)
                .threshold(share.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    // Clients that go away before their answer are counted there, too.
    let cut = cx
        .evidence
        .peek(&keys::APISERVER_TERMINATIONS, &own.subject)?;
    let most = cx.profile.limit("terminated-share");
    if cut / own.hours < least || cut / (cut + own.requests) < most.value {
        return None;
    }
    let words = format!(
        "{cut:.0} requests were cut off beside {:.0} that were answered: they timed out, or their \
         clients gave them up",
        own.requests
    );
    cx.evidence
        .cite_as(&keys::APISERVER_TERMINATIONS, &own.subject, words.clone());
    Some(
        Draft::new(own.subject.clone(), Severity::Warn, words)
            .confidence(Confidence::Medium)
            .threshold(most.words())
            .cites(cx.evidence.take_citations()),
    )
}

/// Answers 504 of the audit log, and whose most of them are.
fn by_audit(cx: &Context<'_>) -> Option<Draft> {
    let least = cx.profile.get("apiserver-timeouts");
    let share = cx.profile.limit("failing-share");
    let (subject, secs, clients) = audit::clients(cx).ok()?;
    let rows = || {
        let all = clients.iter();
        all.flat_map(|client| client.rows.iter().map(move |row| (client, row)))
    };
    let count = |row: &Row| match answers::is_object(row.get_text("resource").unwrap_or("")) {
        true => row.get("timeouts").unwrap_or(0.0),
        false => 0.0,
    };
    let timeouts: f64 = rows().map(|(_, row)| count(row)).sum();
    let all: f64 = clients.iter().map(|client| client.requests).sum();
    let hours = (secs / 3600.0).max(1.0);
    if timeouts / hours < least || timeouts / all.max(1.0) < share.value {
        return None;
    }
    let (client, row) = rows().max_by(|a, b| count(a.1).total_cmp(&count(b.1)))?;
    let words = format!(
        "{timeouts:.0} of {all:.0} requests timed out (504), {:.0} of them {} {} of {}",
        count(row),
        row.get_text("verb").unwrap_or("?"),
        row.get_text("resource").unwrap_or("?"),
        client.name()
    );
    cx.evidence
        .cite_as(&keys::LOGS_AUDIT_CLIENTS, &subject, words.clone());
    Some(
        Draft::new(subject, Severity::Warn, words)
            .confidence(Confidence::High)
            .threshold(share.words())
            .cites(cx.evidence.take_citations()),
    )
}

/// Time-outs that are spread over several kube-apiservers. Who waited for one of them may tell of the
/// same, so that only their own lines are added up.
fn together(cx: &Context<'_>) -> Result<Option<Draft>, Missing> {
    let limit = cx.profile.limit("apiserver-timeouts");
    for kinds in [KINDS, AFTER, ANSWERS] {
        let mut all = 0.0;
        let mut seen = Vec::new();
        for own in events::seen(cx, kinds)? {
            if own.subject.name == "kube-apiserver" {
                all += own.hourly;
                seen.push(own);
            }
        }
        if seen.len() < 2 || all < limit.value {
            continue;
        }
        let count: f64 = seen.iter().map(|own| own.count).sum();
        for own in &seen {
            events::cite(cx, own, "time-outs");
        }
        return Ok(Some(
            Draft::new(
                Subject::new(SubjectKind::Component, "kube-apiserver"),
                Severity::Warn,
                format!(
                    "{count:.0} requests to {} kube-apiservers timed out",
                    seen.len()
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        ));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, member, table};

    #[test]
    fn answers_504_and_requests_cut_off_by_metrics() {
        let profile = crate::profile::Profile::default();
        let share = profile.get("terminated-share");
        let with = |timeouts: f64, cut: f64| {
            let about = || component("kube-apiserver");
            let row: &[(&str, f64)] = &[("requests", 400.0), ("timeouts", timeouts)];
            Set::new()
                .put(
                    &keys::APISERVER_REQUESTS,
                    about(),
                    table(&[("LIST pods", row)]),
                )
                .put(&keys::APISERVER_TERMINATIONS, about(), cut)
                .check(&RULE)
        };
        let limit = profile.get("apiserver-timeouts");
        let found = with(limit, 0.0);
        assert!(found[0].message.contains("LIST pods 5"), "{found:?}");
        assert_eq!(found[0].confidence, Confidence::High);
        assert_eq!(with(limit - 1.0, 0.0)[0].status, Status::Pass);
        // Of cut and answered ones together.
        let most = (400.0 * share / (1.0 - share)).ceil();
        assert_eq!(with(0.0, most)[0].confidence, Confidence::Medium);
        assert_eq!(with(0.0, most)[0].status, Status::Fail);
        assert_eq!(with(0.0, most - 1.0)[0].status, Status::Pass);
    }

    #[test]
    fn answers_504_of_the_audit_log_name_their_client() {
        let row = Row::new("kubectl/1 | jane | list pods")
            .text("user_agent", "kubectl/1")
            .text("user", "jane")
            .text("verb", "list")
            .text("resource", "pods")
            .num("requests", 250.0)
            .num("timeouts", 250.0);
        let clients = Table {
            rows: vec![row],
            ..Table::default()
        };
        let about = Subject::cluster();
        let set = Set::new().put(&keys::LOGS_AUDIT_CLIENTS, about, clients);
        let found = set.check(&RULE);
        assert!(
            found[0]
                .message
                .ends_with("250 of them list pods of kubectl/1 (jane)"),
            "{}",
            found[0].message
        );
    }

    fn of(kinds: &[(&str, f64)]) -> Set {
        let rows: Vec<_> = kinds
            .iter()
            .map(|(kind, count)| (*kind, [("count", *count)]))
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(kind, cells)| (*kind, &cells[..]))
            .collect();
        Set::new().put(&keys::LOGS_EVENTS, member(), table(&rows))
    }

    fn with(count: f64) -> Set {
        of(&[(KINDS[0], count)])
    }

    #[test]
    fn what_ends_after_its_time_counts_once() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        let status = |timeouts, after| of(&[(KINDS[0], timeouts), (AFTER[0], after)]).status(&RULE);
        assert_eq!(status(limit - 1.0, limit - 1.0).0, Status::Pass);
        assert_eq!(status(0.0, limit).0, Status::Fail);
        let answers = |n| {
            of(&[(KINDS[0], limit - 1.0), (ANSWERS[0], n)])
                .status(&RULE)
                .0
        };
        assert_eq!(answers(limit - 1.0), Status::Pass);
        assert_eq!(answers(limit), Status::Fail);
    }

    #[test]
    fn what_may_be_a_client_that_left_is_said_so() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        let said = |kinds: &[(&str, f64)]| of(kinds).check(&RULE)[0].message.clone();
        let open = said(&[(KINDS[0], limit)]);
        assert!(open.contains("or their clients gave them up"), "{open}");
        let sure = said(&[(KINDS[0], limit), ("etcd-error-timeout", 1.0)]);
        assert!(sure.ends_with("requests timed out"), "{sure}");
    }

    #[test]
    fn time_outs_of_several_kube_apiservers_are_added_up() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        let spread = |count: f64| {
            let row = [("count", count / 3.0)];
            Set::new().put_on_three(&keys::LOGS_EVENTS, || table(&[(KINDS[0], &row)]))
        };
        assert_eq!(spread(limit).check(&RULE).len(), 1);
        assert_eq!(spread(limit - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
