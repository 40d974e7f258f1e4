//! One client lists whole resources again and again, past the watch cache.

use crate::evidence::{Missing, Row, Subject, SubjectKind, keys};
use crate::profile::Limit;
use crate::rules::audit;
use crate::rules::seconds;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "client-heavy-lists",
    summary: "a client lists whole resources again and again",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "client-heavy-lists",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("heavy-list-rate");
    let found = from_audit(cx, limit, cx.profile.get("list-busy"));
    let traces = from_traces(cx);
    let drafts = match (found, traces) {
        (Err(why), Err(_)) => return Err(why),
        // The audit log counts every request; traces only the slow ones.
        (Ok(drafts), _) if !drafts.is_empty() => drafts,
        (_, Ok(drafts)) => drafts,
        (Ok(drafts), Err(_)) => drafts,
    };
    Ok(Verdict::Fail(drafts))
}

/// A client's lists of one resource that name neither limit nor resource version.
struct Lists<'r> {
    resource: &'r str,
    all: f64,
    all_secs: f64,
    /// Those of the time in which it asked, as `logs` tells it.
    per_sec: f64,
    /// Of all namespaces, or as slow as one of those.
    whole: f64,
    whole_secs: f64,
    timeouts: f64,
}

impl<'r> Lists<'r> {
    fn of(row: &'r Row, secs: f64) -> Option<Self> {
        let whole = row.get("unlimited")?;
        if row.get_text("verb") != Some("list") {
            return None;
        }
        let all = row.get("bare").unwrap_or(whole);
        let asked = row.get("requests").unwrap_or(all).max(1.0);
        // Where an earlier version wrote the evidence: the row's other lists, out of the cache or page
        // by page, took their part.
        let part = |n: f64| row.get("total_secs").unwrap_or(0.0) * (n / asked).min(1.0);
        let mean = row.get("max_per_sec").unwrap_or(0.0);
        Some(Lists {
            resource: row.get_text("resource")?,
            all,
            all_secs: row.get("bare_secs").unwrap_or_else(|| part(all)),
            per_sec: (mean * (all / asked).min(1.0)).max(all / secs),
            whole,
            whole_secs: row.get("unlimited_secs").unwrap_or_else(|| part(whole)),
            timeouts: row.get("timeouts").unwrap_or(0.0),
        })
    }

    fn words(&self) -> String {
        let Lists { all, whole, .. } = self;
        let timed_out = match self.timeouts > 0.0 {
            true => format!(", {:.0} timed out", self.timeouts),
            false => String::new(),
        };
        let small = match whole < all {
            // `LARGE_NS` of the audit log's reader.
            true => format!("; {whole:.0} of all namespaces or over 100 ms"),
            false => String::new(),
        };
        format!(
            "{all:.0} lists of {} ({:.2}/s, {} each{timed_out}{small})",
            self.resource,
            self.per_sec,
            crate::units::format_ms(self.all_secs * 1e3 / all.max(1.0))
        )
    }
}

fn from_audit(cx: &Context<'_>, limit: &Limit, busy: f64) -> Result<Vec<Draft>, Missing> {
    let slow = cx.profile.get("etcd-request-fast");
    let (subject, secs, clients) = audit::clients(cx)?;
    let mut drafts = Vec::new();
    for client in clients.iter().filter(|client| !client.is_core()) {
        let mut lists: Vec<Lists<'_>> = client
            .rows
            .iter()
            .filter_map(|row| Lists::of(row, secs))
            .filter(|lists| lists.whole / secs >= limit.value)
            .collect();
        if lists.is_empty() {
            continue;
        }
        lists.sort_by(|a, b| {
            b.whole_secs
                .total_cmp(&a.whole_secs)
                .then_with(|| b.whole.total_cmp(&a.whole))
        });
        let what: Vec<String> = lists.iter().take(3).map(Lists::words).collect();
        let words = format!(
            "{}: {} without limit and resource version",
            client.name(),
            what.join(", ")
        );
        cx.evidence
            .cite_as(&keys::LOGS_AUDIT_CLIENTS, &subject, words.clone());
        // Lists of a few objects cost next to nothing, however bad a habit they are.
        let took: f64 = lists.iter().map(|list| list.whole_secs).sum();
        let count: f64 = lists.iter().map(|list| list.whole).sum();
        let severity = if took / secs >= busy || took * 1e3 / count.max(1.0) >= slow {
            Severity::Warn
        } else {
            Severity::Info
        };
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Client, client.name()),
                severity,
                words,
            )
            .confidence(Confidence::High)
            .threshold(format!("{}/s ({})", limit.text, limit.source))
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(drafts)
}

/// Slow lists that kube-apiserver traced or logged, with the client's user agent.
fn from_traces(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let least = cx.profile.limit("heavy-list-traces");
    let (subject, table) = cx.evidence.any(&keys::LOGS_TRACES)?;
    cx.evidence.take_citations();
    let record = cx.evidence.record(&keys::LOGS_TRACES, &subject);
    let secs = record.and_then(|record| record.secs());
    let mut drafts = Vec::new();
    for (row, count) in table.top("count") {
        let agent = row.get_text("user_agent").unwrap_or_default();
        let list = row
            .get_text("verb")
            .is_some_and(|verb| verb.eq_ignore_ascii_case("list"));
        let core = audit::Client {
            user_agent: agent.to_owned(),
            ..audit::Client::default()
        }
        .is_core();
        if agent.is_empty() || core || !list || count < least.value {
            continue;
        }
        // Ten in a month are a person, or a job of the night.
        let resource = row.get_text("resource").unwrap_or("?");
        if within_an_hour(cx, (agent, resource), (count, secs)) < least.value {
            continue;
        }
        let words = format!(
            "{agent}: {count:.0} slow lists of {resource} logged, the slowest {}",
            crate::units::format_ms(row.get("max_ms").unwrap_or(0.0))
        );
        cx.evidence
            .cite_as(&keys::LOGS_TRACES, &subject, words.clone());
        let product = agent.split(' ').next().unwrap_or(agent);
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Client, product),
                Severity::Warn,
                words,
            )
            // `LogIfLong` of k8s.io/utils/trace writes each trace over its threshold: nothing limits
            // their rate, but quicker lists are not among them.
            .confidence(Confidence::Medium)
            .threshold(least.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(drafts)
}

/// How many of a client's slow lists of a resource came within one hour.
fn within_an_hour(
    cx: &Context<'_>,
    (agent, resource): (&str, &str),
    lists: (f64, Option<f64>),
) -> f64 {
    let key = &keys::LOGS_CLIENT_SECONDS;
    // As keys spell it, whose parts end at this sign.
    let agent = agent.replace('|', "/");
    seconds::within_an_hour(cx, key, &["apiserver-trace"], lists, |names| {
        names.starts_with(&[resource, "list", "trace", &agent])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn audit(unlimited: f64) -> Set {
        audit_of(unlimited, 1.0)
    }

    fn audit_of(unlimited: f64, each_secs: f64) -> Set {
        let row = Row::new("r")
            .text("user_agent", "inventory/1.0")
            .text("user", "system:serviceaccount:inventory:scraper")
            .text("verb", "list")
            .text("resource", "configmaps")
            .num("requests", unlimited)
            .num("unlimited", unlimited)
            .num("total_secs", unlimited * each_secs);
        Set::new().put(
            &keys::LOGS_AUDIT_CLIENTS,
            Subject::cluster(),
            Table {
                rows: vec![row],
                ..Table::default()
            },
        )
    }

    fn traces(count: f64) -> Set {
        Set::new().put(&keys::LOGS_TRACES, Subject::cluster(), traced(count))
    }

    fn traced(count: f64) -> Table {
        let row = Row::new("r")
            .text("user_agent", "lister/v1 (linux)")
            .text("verb", "List")
            .text("resource", "pods")
            .num("count", count);
        Table {
            rows: vec![row],
            ..Table::default()
        }
    }

    #[test]
    fn traces_of_weeks_are_nobody_who_lists_again_and_again() {
        let least = crate::profile::Profile::default().get("heavy-list-traces");
        let with = |apart: i64| {
            let key = |n| format!("{}|pods|list|trace|lister/v1 (linux)|", n * apart);
            let rows = (0..12).map(|n| Row::new(key(n)).num("requests", 1.0));
            let seconds = Table {
                rows: rows.collect(),
                ..Table::default()
            };
            let set = Set::new().put(&keys::LOGS_CLIENT_SECONDS, Subject::cluster(), seconds);
            let all = traced(12.0);
            set.put_over(&keys::LOGS_TRACES, Subject::cluster(), all, 20 * 86_400)
                .status(&RULE)
                .0
        };
        assert!((2.0..=12.0).contains(&least), "the counts above are for it");
        assert_eq!(with(40 * 3600), Status::Pass);
        assert_eq!(with(60), Status::Fail);
    }

    #[test]
    fn the_rate_is_that_of_the_time_in_which_it_listed() {
        assert!(audit(50.0).check(&RULE)[0].message.contains("(0.50/s, "));
        let row = Row::new("r")
            .text("user_agent", "inventory/1.0")
            .text("verb", "list")
            .text("resource", "configmaps")
            .num("requests", 100.0)
            .num("unlimited", 50.0)
            .num("total_secs", 50.0)
            .num("max_per_sec", 4.0);
        let table = Table {
            rows: vec![row],
            ..Table::default()
        };
        let set = Set::new().put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), table);
        let message = &set.check(&RULE)[0].message;
        assert!(
            message.contains("50 lists of configmaps (2.00/s, "),
            "{message}"
        );
    }

    #[test]
    fn small_lists_are_counted_and_told_apart() {
        let row = Row::new("r")
            .text("user_agent", "event-exporter/1.7")
            .text("verb", "list")
            .text("resource", "events")
            .num("requests", 90.0)
            .num("bare", 86.0)
            .num("bare_secs", 8.6)
            .num("unlimited", 50.0)
            .num("unlimited_secs", 6.5)
            .num("total_secs", 20.0);
        let table = Table {
            rows: vec![row],
            ..Table::default()
        };
        let set = Set::new().put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), table);
        let message = &set.check(&RULE)[0].message;
        let told =
            "86 lists of events (0.86/s, 100 ms each; 50 of all namespaces or over 100 ms) without";
        assert!(message.contains(told), "{message}");
        // Nothing is said of what has no number.
        let message = &audit(50.0).check(&RULE)[0].message;
        assert!(!message.contains("namespaces"), "{message}");
    }

    #[test]
    fn rate_from_audit_and_count_from_traces() {
        let profile = crate::profile::Profile::default();
        let per_sec = profile.get("heavy-list-rate");
        // The test window is 100 s.
        assert_eq!(
            audit(per_sec * 100.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(audit(per_sec * 100.0 - 1.0).status(&RULE).0, Status::Pass);
        // 1 % of the time, or slow ones.
        let lists_of = |each| audit_of(100.0, each).status(&RULE);
        assert_eq!(lists_of(0.01), (Status::Fail, Severity::Warn));
        assert_eq!(lists_of(0.009), (Status::Fail, Severity::Info));
        let least = profile.get("heavy-list-traces");
        let finding = &traces(least).check(&RULE)[0];
        assert_eq!(
            (finding.status, finding.subject.name.as_str()),
            (Status::Fail, "lister/v1")
        );
        assert!(finding.threshold.starts_with("10 ("), "{finding:?}");
        assert_eq!(traces(least - 1.0).status(&RULE).0, Status::Pass);
        let threshold = &audit(1000.0).check(&RULE)[0].threshold;
        assert!(threshold.starts_with("0.1/s ("), "{threshold}");
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
