//! Most writes are Events.

use crate::catalog::resources::is_events;
use crate::evidence::{Missing, Row, Subject, SubjectKind, Table, keys};
use crate::rules::audit;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{seconds, settings};

/// The rule.
pub static RULE: Rule = Rule {
    id: "events-dominate",
    summary: "Events make up most of etcd's writes",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "events-dominate",
    check,
};

/// Where only slow requests are known, a share says less: Events are among the commonest changes, so
/// that a slow disk makes many of them slow.
const MOST: f64 = 0.6;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let share_limit = cx.profile.limit("events-writes-share");
    let rate_limit = cx.profile.limit("events-rate");
    let metrics = cx.evidence.some(&keys::APISERVER_ETCD_REQUESTS);
    cx.evidence.take_citations();
    let source = source_of_events(cx);
    let apart = apart(cx);
    let where_to = cx.evidence.take_citations();
    let mut drafts = Vec::new();
    if let Ok(metrics) = &metrics
        && let Some(words) = of_all(cx, metrics, share_limit.value, rate_limit.value)
    {
        drafts.push((words, Confidence::High));
    }
    if drafts.is_empty()
        && let Some(Source { client, rate, .. }) = &source
        && *rate >= rate_limit.value
    {
        drafts.push((
            format!("events are written {rate:.0} times a second, by {client}"),
            Confidence::High,
        ));
    }
    let logged = cx.evidence.peek(&keys::LOGS_REQUESTS, &Subject::cluster());
    if drafts.is_empty()
        && metrics.is_err()
        && let Some(table) = &logged
        && let Some(words) = of_logged(cx, table)
    {
        cx.evidence
            .cite_as(&keys::LOGS_REQUESTS, &Subject::cluster(), words.clone());
        drafts.push((words, Confidence::Medium));
    }
    let Some((mut words, confidence)) = drafts.pop() else {
        return match (metrics, logged) {
            (Err(why), None) if source.is_none() => Err(why),
            _ => Ok(Verdict::Pass),
        };
    };
    if let Some(source) = source {
        let subject = cx
            .evidence
            .any(&keys::LOGS_AUDIT_CLIENTS)
            .map(|(subject, _)| subject);
        if let Ok(subject) = subject {
            cx.evidence
                .cite_as(&keys::LOGS_AUDIT_CLIENTS, &subject, source.cite);
        }
        if !words.contains(&source.client) {
            // A share: the rate of another time would not fit the one above.
            words = format!(
                "{words}; {:.0} % of those in the audit log by {}",
                source.share * 100.0,
                source.client
            );
        }
    }
    // Slow requests are those of whichever etcd wrote the log; counts of kube-apiserver do not tell them
    // apart.
    let mut cites = cx.evidence.take_citations();
    let severity = match confidence == Confidence::High && apart {
        true => {
            words = format!("{words}; they go to an etcd of their own");
            cites.extend(where_to);
            Severity::Info
        }
        false => Severity::Warn,
    };
    Ok(Verdict::fail(
        Draft::new(
            Subject::new(SubjectKind::Resource, "events"),
            severity,
            words,
        )
        .confidence(confidence)
        .threshold(format!("{}; {}/s", share_limit.words(), rate_limit.words()))
        .cites(cites),
    ))
}

/// Whether every kube-apiserver sends Events to an etcd of their own.
fn apart(cx: &Context<'_>) -> bool {
    let settings = settings::of(cx, "kube-apiserver", &["etcd-servers-overrides"]);
    let apart = |value: &str| {
        let mut entries = value.split(',');
        entries.any(|entry| entry.trim().starts_with("/events#"))
    };
    settings.is_ok_and(|all| {
        let apart = !all.is_empty() && all.iter().all(|setting| apart(&setting.value));
        if apart {
            for setting in &all {
                settings::cite(cx, setting, "etcd-servers-overrides");
            }
        }
        apart
    })
}

/// What all kube-apiservers wrote together: they share one etcd, and clients are spread over them.
fn of_all(
    cx: &Context<'_>,
    metrics: &[(Subject, Table)],
    share_limit: f64,
    rate_limit: f64,
) -> Option<String> {
    let (mut events, mut writes, mut events_rate, mut writes_rate) = (0.0, 0.0, 0.0, 0.0);
    let mut of: Vec<(&Subject, String)> = Vec::new();
    for (subject, table) in metrics {
        let record = cx.evidence.record(&keys::APISERVER_ETCD_REQUESTS, subject);
        let Some(secs) = record.and_then(|record| record.secs()).filter(|s| *s > 0.0) else {
            continue;
        };
        let all = table.total("writes");
        let row = table.row("events");
        let own = row.and_then(|row| row.get("writes")).unwrap_or(0.0);
        events += own;
        writes += all;
        events_rate += own / secs;
        writes_rate += all / secs;
        of.push((subject, format!("{own:.0} of {all:.0} writes are events")));
    }
    if writes_rate <= 0.0 || events_rate / writes_rate < share_limit || events_rate < rate_limit {
        return None;
    }
    let through = match of.len() {
        1 => String::new(),
        n => format!(" through {n} kube-apiservers"),
    };
    let words = format!(
        "{events:.0} of {writes:.0} writes ({:.0} %) are events, {events_rate:.0}/s{through}",
        events_rate / writes_rate * 100.0
    );
    if let [(_, own)] = of.as_mut_slice() {
        own.clone_from(&words);
    }
    for (subject, own) in of {
        cx.evidence
            .cite_as(&keys::APISERVER_ETCD_REQUESTS, subject, own);
    }
    Some(words)
}

/// What slow requests alone tell: Events are most of the slow changes, and of the time.
fn of_logged(cx: &Context<'_>, table: &Table) -> Option<String> {
    let of_events = |row: &&Row| is_events(&row.key);
    let of = |column: &str| -> f64 {
        let rows = table.rows.iter().filter(of_events);
        rows.filter_map(|row| row.get(column)).sum()
    };
    let (writes, all_writes) = (of("writes"), table.total("writes"));
    let (secs, all_secs) = (of("slow_secs"), table.total("slow_secs"));
    let most = writes >= all_writes * MOST && secs >= all_secs * MOST;
    // Lines of a debug level are of fast changes too: many of them hold nobody up.
    let usual = cx.profile.get("slow-apply-default");
    let told = table.rows.iter().filter(of_events);
    let told = told
        .filter_map(|row| row.get("write_slow_secs"))
        .reduce(|a, b| a + b);
    if told.is_some_and(|secs| secs * 1e3 < writes * usual) {
        return None;
    }
    let record = cx
        .evidence
        .record(&keys::LOGS_REQUESTS, &Subject::cluster());
    let all = (writes, record.and_then(|record| record.secs()));
    let key = &keys::LOGS_SLOW_SECONDS;
    let at_once = || {
        seconds::within_an_hour(
            cx,
            key,
            &["slow-apply"],
            all,
            |names| matches!(names, [resource, "write"] if is_events(resource)),
        )
    };
    let least = cx.profile.get("events-lines");
    (most && writes >= least && at_once() >= least).then(|| {
        format!(
            "{writes:.0} of {all_writes:.0} slow changes ({:.0} %) are of events, and {:.0} % of all logged time",
            writes / all_writes * 100.0,
            secs / all_secs * 100.0
        )
    })
}

/// The client that writes most events.
struct Source {
    client: String,
    /// Events a second, over the time of the audit log.
    rate: f64,
    /// Of all events in it.
    share: f64,
    /// That in words.
    cite: String,
}

fn source_of_events(cx: &Context<'_>) -> Option<Source> {
    let (_, secs, clients) = audit::clients(cx).ok()?;
    let written = |client: &audit::Client| -> f64 {
        let rows = client.rows.iter().filter(|row| {
            row.get_text("resource").is_some_and(is_events)
                && matches!(row.get_text("verb"), Some("create" | "update" | "patch"))
        });
        rows.filter_map(|row| row.get("requests")).sum()
    };
    let all: f64 = clients.iter().map(written).sum();
    let (client, writes) = clients
        .iter()
        .map(|client| (client.name(), written(client)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, writes)| *writes > 0.0)?;
    Some(Source {
        rate: writes / secs,
        share: writes / all,
        cite: format!("{client}: {writes:.0} of {all:.0} events written in {secs:.0} s"),
        client,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn share_and_rate_must_both_be_high() {
        let profile = crate::profile::Profile::default();
        // The test window is 100 s.
        let least = profile.get("events-rate") * 100.0;
        let with = |events: f64, others: f64| {
            Set::new().put(
                &keys::APISERVER_ETCD_REQUESTS,
                component("kube-apiserver"),
                table(&[
                    ("events", &[("writes", events)]),
                    ("pods", &[("writes", others)]),
                ]),
            )
        };
        assert_eq!(
            with(least, least).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(least - 1.0, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(least, least * 9.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn what_several_apiservers_write_adds_up() {
        let least = crate::profile::Profile::default().get("events-rate") * 100.0;
        let with = |events: f64| {
            ["cp0", "cp1", "cp2"]
                .into_iter()
                .fold(Set::new(), |set, node| {
                    let about = component("kube-apiserver").on(node);
                    let table = table(&[
                        ("events", &[("writes", events)]),
                        ("pods", &[("writes", 10.0)]),
                    ]);
                    set.put(&keys::APISERVER_ETCD_REQUESTS, about, table)
                })
        };
        let found = with(least / 3.0).check(&RULE);
        assert_eq!((found.len(), found[0].status), (1, Status::Fail));
        assert!(
            found[0].message.contains("through 3 kube-apiservers"),
            "{}",
            found[0].message
        );
        assert_eq!(found[0].evidence.len(), 3);
        assert_eq!(with(least / 3.0 - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn slow_changes_alone_tell_where_most_are_events() {
        let least = crate::profile::Profile::default().get("events-lines");
        let with = |writes: f64, others: f64, secs: f64| {
            Set::new().put(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                table(&[
                    ("events", &[("writes", writes), ("slow_secs", secs)]),
                    ("pods", &[("writes", others), ("slow_secs", 10.0)]),
                ]),
            )
        };
        let found = with(least, least / 2.0, 20.0).check(&RULE);
        assert_eq!(
            (found[0].status, found[0].confidence),
            (Status::Fail, Confidence::Medium)
        );
        assert_eq!(with(least - 1.0, 0.0, 20.0).status(&RULE).0, Status::Pass);
        // As many in a week are no flood.
        let row = [("writes", least), ("slow_secs", 80.0)];
        let week = Set::new().put_over(
            &keys::LOGS_REQUESTS,
            Subject::cluster(),
            table(&[("events", &row)]),
            7 * 86_400,
        );
        assert_eq!(week.status(&RULE).0, Status::Pass);
        assert_eq!(with(least, least, 20.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(least, 0.0, 5.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn the_writer_has_a_share_of_the_audit_log_and_no_rate_of_another_time() {
        let row = |agent: &str, verb: &str, n: f64| {
            Row::new(format!("{agent}{verb}"))
                .text("user_agent", agent)
                .text("verb", verb)
                .text("resource", "events")
                .num("requests", n)
        };
        let audit = Table {
            rows: vec![
                row("detector/1", "create", 7_900.0),
                row("detector/1", "list", 50.0),
                row("kubelet/1", "patch", 79.0),
            ],
            ..Table::default()
        };
        let writes = table(&[("events", &[("writes", 7_972.0)])]);
        let set = Set::new()
            .put(
                &keys::APISERVER_ETCD_REQUESTS,
                component("kube-apiserver"),
                writes,
            )
            .put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), audit);
        let found = set.check(&RULE);
        assert_eq!(
            found[0].message,
            "7972 of 7972 writes (100 %) are events, 80/s; 99 % of those in the audit log by detector/1"
        );
        let cited = |words: &str| found[0].evidence.iter().any(|c| c.value.contains(words));
        assert!(cited("7900 of 7979 events written in 100 s"), "{found:?}");
    }

    /// Of a log at debug level, which holds every change.
    #[test]
    fn fast_changes_are_no_slow_ones() {
        let profile = crate::profile::Profile::default();
        let least = profile.get("events-lines");
        let usual = profile.get("slow-apply-default");
        let with = |each_ms: f64| {
            let secs = least * each_ms / 1e3;
            let row = [
                ("writes", least),
                ("slow_secs", secs),
                ("write_slow_secs", secs),
            ];
            Set::new()
                .put(
                    &keys::LOGS_REQUESTS,
                    Subject::cluster(),
                    table(&[("events", &row)]),
                )
                .status(&RULE)
                .0
        };
        assert_eq!(with(usual), Status::Fail);
        assert_eq!(with(usual / 2.0), Status::Pass);
    }
}
