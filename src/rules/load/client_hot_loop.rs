//! A client asks at a high, steady rate, and much of it for objects that are gone or for the same
//! object again and again: it does not wait for changes, it spins.

use std::collections::BTreeMap;

use crate::evidence::{Completeness, Missing, Row, Subject, SubjectKind, keys};
use crate::rules::audit;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "client-hot-loop",
    summary: "a client repeats requests at a high, steady rate",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "client-hot-loop",
    check,
};

/// A rate that is so many times the plateau of one log is that of several.
const SPREAD: f64 = 1.5;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let rate_limit = cx.profile.limit("hot-loop-rate");
    let share_limit = cx.profile.limit("hot-loop-404-share");
    let mut drafts = Vec::new();
    let (subject, secs, clients) = match audit::clients(cx) {
        Ok(audit) => audit,
        // The apiserver's counts do not say who, but they say that somebody does.
        Err(why) => {
            from_metrics(cx, &mut drafts).ok_or(why)?;
            return Ok(Verdict::Fail(drafts));
        }
    };
    for client in &clients {
        // By the rows' own times, where a client did not ask all the time.
        let own: f64 = client
            .rows
            .iter()
            .filter_map(|row| row.get("max_per_sec"))
            .sum();
        let rate = (client.requests / secs).max(own);
        // What fits that rate: the time in which it asked, not that of the whole log.
        let asked_secs = client.requests / rate.max(f64::MIN_POSITIVE);
        let gone = client.not_found / client.requests.max(1.0);
        let same = same_object(cx, client, secs, rate_limit.value);
        if rate < rate_limit.value || gone < share_limit.value && same.is_none() {
            continue;
        }
        // Parts of Kubernetes ask for much, and for what is gone; none of it for one object all the time.
        if client.is_core() && same.is_none() {
            continue;
        }
        let pinned = pinned(cx, client, rate);
        let mut rows: Vec<_> = client.rows.iter().collect();
        rows.sort_by(|a, b| {
            b.get("requests")
                .unwrap_or(0.0)
                .total_cmp(&a.get("requests").unwrap_or(0.0))
        });
        let what: Vec<String> = rows
            .iter()
            .take(2)
            .filter_map(|row| {
                Some(format!(
                    "{} {}",
                    row.get_text("verb")?,
                    row.get_text("resource")?
                ))
            })
            .collect();
        let words = format!(
            "{}: {:.0} requests in {asked_secs:.0} s ({rate:.1}/s){pinned}, {:.0} of them 404 ({:.0} %)",
            client.name(),
            client.requests,
            client.not_found,
            gone * 100.0
        );
        cx.evidence
            .cite_as(&keys::LOGS_AUDIT_CLIENTS, &subject, words);
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Client, client.name()),
                Severity::Warn,
                format!(
                    "{} sends {rate:.1} requests/s{pinned} ({}), {}",
                    client.name(),
                    what.join(", "),
                    match same {
                        Some(same) if gone < share_limit.value => same,
                        _ => format!("{:.0} % of them for objects that are gone", gone * 100.0),
                    }
                ),
            )
            // Equal gaps alone may be the pace at which answers come.
            .confidence(if gone < share_limit.value {
                Confidence::Medium
            } else {
                Confidence::High
            })
            .threshold(format!("{}/s; {}", rate_limit.words(), share_limit.words()))
            .cites(cx.evidence.take_citations()),
        );
    }
    // A loop that no single client of the audit log shows is in the counts all the same.
    if drafts.is_empty() {
        from_metrics(cx, &mut drafts);
    }
    Ok(Verdict::Fail(drafts))
}

/// What was asked for one resource, of all kube-apiservers together.
#[derive(Default)]
struct Asked {
    requests: f64,
    gone: f64,
    gone_per_sec: f64,
    of: Vec<(Subject, String)>,
}

/// Resources that somebody asks for at a high rate although they are gone; a client's requests may be
/// spread over all kube-apiservers. `None` without counts.
fn from_metrics(cx: &Context<'_>, drafts: &mut Vec<Draft>) -> Option<()> {
    let rate_limit = cx.profile.limit("gone-rate");
    let share_limit = cx.profile.limit("hot-loop-404-share");
    let tables = cx.evidence.some(&keys::APISERVER_REQUESTS).ok()?;
    let whose = match audit::clients(cx) {
        Ok(_) => ", and no client of the audit log stands out",
        Err(_) => ", and the audit log would name it",
    };
    cx.evidence.take_citations();
    let mut by: BTreeMap<String, Asked> = BTreeMap::new();
    for (subject, table) in &tables {
        let record = cx.evidence.record(&keys::APISERVER_REQUESTS, subject);
        // A start asks for much that is not there yet: what was counted since is no rate.
        let record = record.filter(|r| r.origin.completeness != Completeness::Estimate);
        let Some(secs) = record.and_then(|r| r.secs()).filter(|n| *n > 0.0) else {
            continue;
        };
        let mut own: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for row in &table.rows {
            let Some((_, resource)) = row.key.split_once(' ') else {
                continue;
            };
            let resource = resource.split('/').next().unwrap_or(resource);
            let (requests, gone) = own.entry(resource).or_default();
            *requests += row.get("requests").unwrap_or(0.0);
            *gone += row.get("not_found").unwrap_or(0.0);
        }
        for (resource, (requests, gone)) in own {
            let asked = by.entry(resource.to_owned()).or_default();
            asked.requests += requests;
            asked.gone += gone;
            asked.gone_per_sec += gone / secs;
            let words = format!(
                "{gone:.0} of {requests:.0} requests for {resource} in {secs:.0} s ({:.1}/s) are for objects \
                 that are gone",
                gone / secs
            );
            asked.of.push((subject.clone(), words));
        }
    }
    for (resource, asked) in by {
        let share = asked.gone / asked.requests.max(1.0);
        if asked.gone_per_sec < rate_limit.value || share < share_limit.value {
            continue;
        }
        let words = match asked.of.as_slice() {
            [(_, words)] => words.clone(),
            of => format!(
                "{:.0} of {:.0} requests for {resource} through {} kube-apiservers ({:.1}/s) are for objects \
                 that are gone",
                asked.gone,
                asked.requests,
                of.len(),
                asked.gone_per_sec
            ),
        };
        for (subject, words) in &asked.of {
            cx.evidence
                .cite_as(&keys::APISERVER_REQUESTS, subject, words.clone());
        }
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Resource, resource),
                Severity::Warn,
                format!("{words}: some client spins{whose}"),
            )
            .confidence(Confidence::Medium)
            .threshold(format!("{}/s; {}", rate_limit.words(), share_limit.words()))
            .cites(cx.evidence.take_citations()),
        );
    }
    Some(())
}

/// The object that the client asks for most, where that is a steady loop by itself.
fn same_object(cx: &Context<'_>, client: &audit::Client, secs: f64, least: f64) -> Option<String> {
    let table = cx
        .evidence
        .peek(&keys::LOGS_AUDIT_OBJECTS, &Subject::cluster())?;
    // Its own rate is that of one log; a client whose requests are spread over several kube-apiservers
    // is in several.
    let rate = |row: &Row| {
        let all = row.get("requests").unwrap_or(0.0) / secs;
        row.get("max_per_sec").unwrap_or(0.0).max(all)
    };
    let (row, rate) = table
        .rows
        .iter()
        .filter(|row| {
            row.get_text("user_agent") == Some(client.user_agent.as_str())
                && row.get_text("user") == Some(client.user.as_str())
                && row.get("max_steady") == Some(1.0)
        })
        .map(|row| (row, rate(row)))
        .filter(|(_, rate)| *rate >= least)
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(format!(
        "{rate:.1}/s of them for {} {}, at equal gaps",
        row.get_text("resource").unwrap_or("?"),
        row.get_text("object").unwrap_or("?")
    ))
}

/// `, pinned at 10/s in 97 % of its seconds`, where it is. Of a client whose requests are spread over
/// several logs the plateau is that of one of them, and says nothing of all.
fn pinned(cx: &Context<'_>, client: &audit::Client, rate: f64) -> String {
    let words = || {
        let table = cx
            .evidence
            .peek(&keys::LOGS_AUDIT_PACE, &Subject::cluster())?;
        let row = table.rows.iter().find(|row| {
            row.get_text("user_agent") == Some(client.user_agent.as_str())
                && row.get_text("user") == Some(client.user.as_str())
        })?;
        let plateau = row.get("max_plateau_per_sec")?;
        (rate < plateau * SPREAD).then_some(())?;
        Some(format!(
            ", pinned at {plateau:.0}/s in {:.0} % of its seconds",
            row.get("max_plateau_share")? * 100.0
        ))
    };
    words().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn with(agent: &str, user: &str, requests: f64, not_found: f64) -> Set {
        let row = Row::new("r")
            .text("user_agent", agent)
            .text("user", user)
            .text("verb", "get")
            .text("resource", "pods")
            .num("requests", requests)
            .num("not_found", not_found);
        Set::new().put(
            &keys::LOGS_AUDIT_CLIENTS,
            Subject::cluster(),
            Table {
                rows: vec![row],
                ..Table::default()
            },
        )
    }

    #[test]
    fn the_span_fits_the_rate() {
        // 10 a second between its own first and last request, in a log of 100 s.
        let row = Row::new("r")
            .text("user_agent", "bmo/1")
            .text("verb", "get")
            .text("resource", "pods")
            .num("requests", 500.0)
            .num("not_found", 500.0);
        for (rate, words) in [
            (Some(10.0), "bmo/1: 500 requests in 50 s (10.0/s)"),
            (None, "bmo/1: 500 requests in 100 s (5.0/s)"),
        ] {
            let row = match rate {
                Some(rate) => row.clone().num("max_per_sec", rate),
                None => row.clone(),
            };
            let table = Table {
                rows: vec![row],
                ..Table::default()
            };
            let set = Set::new().put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), table);
            let cited = &set.check(&RULE)[0].evidence[0].value;
            assert!(cited.contains(words), "{cited}");
        }
    }

    #[test]
    fn the_same_object_at_equal_gaps_is_a_loop_too() {
        let object = |steady: f64, rate: f64| Table {
            rows: vec![
                Row::new("o")
                    .text("user_agent", "bmo/1")
                    .text("user", "u")
                    .text("resource", "pods")
                    .text("object", "shop/web")
                    .num("max_steady", steady)
                    .num("max_per_sec", rate),
            ],
            ..Table::default()
        };
        let set = |steady: f64, rate: f64| {
            with("bmo/1", "u", 500.0, 0.0).put(
                &keys::LOGS_AUDIT_OBJECTS,
                Subject::cluster(),
                object(steady, rate),
            )
        };
        let found = &set(1.0, 5.0).check(&RULE)[0];
        assert_eq!(found.status, Status::Fail);
        assert!(
            found.message.contains("shop/web, at equal gaps"),
            "{}",
            found.message
        );
        assert_eq!(set(0.0, 5.0).status(&RULE).0, Status::Pass);
        assert_eq!(set(1.0, 4.9).status(&RULE).0, Status::Pass);
    }

    /// The logs of three kube-apiservers, of which each holds a third of the loop.
    #[test]
    fn a_loop_that_is_spread_over_kube_apiservers_is_added_up() {
        let row = |name: &str| Row::new(name).text("user_agent", "op/1").text("user", "u");
        let of = |row: Row| Table {
            rows: vec![row],
            ..Table::default()
        };
        let spread = |requests: f64| {
            let object = row("o")
                .text("resource", "configmaps")
                .text("object", "ops/state")
                .num("requests", requests)
                .num("max_steady", 1.0)
                .num("max_per_sec", requests / 300.0);
            let pace = row("p")
                .num("max_plateau_per_sec", requests / 300.0)
                .num("max_plateau_share", 1.0);
            with("op/1", "u", requests, 0.0)
                .put(&keys::LOGS_AUDIT_OBJECTS, Subject::cluster(), of(object))
                .put(&keys::LOGS_AUDIT_PACE, Subject::cluster(), of(pace))
        };
        let found = &spread(1_200.0).check(&RULE)[0];
        assert_eq!(found.status, Status::Fail);
        let words = &found.message;
        assert!(
            words.contains("12.0/s of them for configmaps ops/state"),
            "{words}"
        );
        assert!(!words.contains("pinned"), "{words}");
        assert_eq!(spread(499.0).status(&RULE).0, Status::Pass);
    }

    /// Parts of Kubernetes are excused for much that they ask for, not for one object at a high rate.
    #[test]
    fn a_part_of_kubernetes_that_asks_for_one_object_spins_as_well() {
        let (agent, user) = ("kubelet/v1", "system:node:a");
        let object = |requests: f64| {
            let row = Row::new("o")
                .text("user_agent", agent)
                .text("user", user)
                .text("resource", "secrets")
                .text("object", "shop/gone")
                .num("requests", requests)
                .num("max_steady", 1.0);
            let table = Table {
                rows: vec![row],
                ..Table::default()
            };
            with(agent, user, 900.0, 900.0).put(
                &keys::LOGS_AUDIT_OBJECTS,
                Subject::cluster(),
                table,
            )
        };
        assert_eq!(object(900.0).status(&RULE).0, Status::Fail);
        assert_eq!(object(90.0).status(&RULE).0, Status::Pass);
        // What kube-apiserver counts is not forgotten over the audit log.
        let counted = with("a/1", "u", 900.0, 0.0).put(
            &keys::APISERVER_REQUESTS,
            crate::rules::testing::component("kube-apiserver"),
            crate::rules::testing::table(&[(
                "GET configmaps",
                &[("requests", 1_000.0), ("not_found", 900.0)],
            )]),
        );
        let found = &counted.check(&RULE)[0];
        assert!(
            found.message.contains("no client of the audit log"),
            "{found:?}"
        );
    }

    #[test]
    fn without_an_audit_log_the_apiserver_counts_what_is_gone() {
        let with = |gone: f64, requests: f64| {
            Set::new().put(
                &keys::APISERVER_REQUESTS,
                crate::rules::testing::component("kube-apiserver"),
                crate::rules::testing::table(&[
                    (
                        "GET configmaps",
                        &[("requests", requests), ("not_found", gone)],
                    ),
                    ("LIST pods", &[("requests", 900.0)]),
                ]),
            )
        };
        // 2/s in 100 s, and 20 %.
        assert_eq!(
            with(200.0, 1_000.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(199.0, 900.0).status(&RULE).0, Status::Pass);
        // A load balancer spreads it.
        let spread = |each: f64| {
            let row = [("requests", 300.0), ("not_found", each)];
            Set::new().put_on_three(&keys::APISERVER_REQUESTS, || {
                crate::rules::testing::table(&[("GET configmaps", &row)])
            })
        };
        let found = spread(67.0).check(&RULE);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].message.contains(
                "201 of 900 requests for configmaps through 3 kube-apiservers (2.0/s) are for objects"
            ),
            "{}",
            found[0].message
        );
        assert_eq!(spread(66.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(200.0, 1_001.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn a_steady_rate_with_many_404s_is_a_loop() {
        // The test window is 100 s, the limits 5/s and 20 %.
        assert_eq!(
            with("bmo/1", "u", 500.0, 100.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with("bmo/1", "u", 499.0, 100.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            with("bmo/1", "u", 500.0, 99.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            with("kubelet/v1", "system:node:a", 900.0, 900.0)
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
