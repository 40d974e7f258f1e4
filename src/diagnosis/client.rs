//! Names the client behind a cause, or says why nobody can be named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::core_clients::product;
use crate::catalog::resources::is_events;
use crate::evidence::{EvidenceSet, Reader, Row, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Finding, Severity};

use super::cause::{Cause, CauseFound};
use super::who::{Joined, Source};

/// Who must have so much of it to be named.
const MOST: f64 = 0.5;
/// Less certain than this is a guess.
const SURE: f64 = 0.5;

/// A client that a cause names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientNamed {
    /// How people call it: `inventory-scraper/1.0 (system:serviceaccount:inventory:scraper)`.
    pub name: String,
    /// Its user agent.
    pub user_agent: String,
    /// Its user; empty where the evidence does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// How it is known.
    pub source: Source,
    /// 0 to 1.
    pub confidence: f64,
    /// What it did, with numbers.
    pub why: String,
}

/// Names the client of each cause for which a client matters.
pub(super) fn name(
    causes: &mut [CauseFound],
    evidence: &EvidenceSet,
    findings: &[Finding],
    joined: Option<&Joined>,
) {
    for cause in causes {
        let first = cause.rules.first().map(String::as_str);
        // Whoever waits for a webhook is not what fills the seats.
        if first == Some(super::clients::WEBHOOK) {
            continue;
        }
        let direct = first == Some(super::load::LEASES);
        let client = match cause.cause {
            Cause::QueryLoad if direct => None,
            Cause::QueryLoad => of_load(cause, evidence, findings, joined),
            Cause::ApiserverSaturation => {
                most(evidence, "answers 429", MOST, &|row| row.get("throttled"))
            }
            _ => continue,
        };
        match &client {
            Some(client) if !cause.summary.contains(product(&client.user_agent)) => {
                cause.summary = format!("{}; the client: {}", cause.summary, client.name);
            }
            Some(_) => {}
            None => {
                let why = match direct {
                    true => {
                        "it asks etcd directly, which no log of kube-apiserver shows".to_owned()
                    }
                    false => unknown(evidence),
                };
                // Whoever asks for most is found by what it asks for, whoever is turned away.
                let stands_out = match cause.cause {
                    Cause::ApiserverSaturation => measured(cause, findings),
                    _ => None,
                };
                let why = match stands_out {
                    Some(found) => {
                        format!("no answer 429 names it; {} stands out", found.subject.name)
                    }
                    None => why,
                };
                cause.summary = match stands_out {
                    Some(_) => {
                        format!("{}; who was turned away is not known: {why}", cause.summary)
                    }
                    None => format!("{}; the client is not known ({why})", cause.summary),
                };
                cause.client_unknown = Some(why);
            }
        }
        cause.client = client;
    }
}

/// Why no client can be named.
fn unknown(evidence: &EvidenceSet) -> String {
    let reader = Reader::new(evidence);
    let why = unseen(&reader);
    match peer(&reader) {
        Some((address, share)) => format!(
            "{why}; etcd's log names the address {address} for {:.0} % of the time: kube-apiserver's, or that of \
             whoever reads etcd directly",
            share * 100.0
        ),
        None => why.to_owned(),
    }
}

/// The address that most of the logged time is for, and its share; those of the host itself say nothing.
fn peer(reader: &Reader<'_>) -> Option<(String, f64)> {
    let tables = reader.all(&keys::LOGS_REQUESTS_CLIENTS);
    let rows = tables.iter().flat_map(|(_, table)| &table.rows);
    let mut all = 0.0;
    let mut most: Option<(&str, f64)> = None;
    for row in rows {
        let secs = row.get("slow_secs").unwrap_or(0.0);
        all += secs;
        if most.is_none_or(|(_, most)| secs > most) {
            most = Some((&row.key, secs));
        }
    }
    let (address, secs) = most.filter(|(_, secs)| *secs > 0.0 && *secs >= all * MOST)?;
    let own = address.starts_with("127.") || matches!(address, "::1" | "localhost" | "@");
    (!own).then(|| (address.to_owned(), secs / all))
}

fn unseen(reader: &Reader<'_>) -> &'static str {
    let audit = !reader.all(&keys::LOGS_AUDIT_CLIENTS).is_empty();
    let traces = reader
        .all(&keys::LOGS_TRACES)
        .iter()
        .any(|(_, table)| !table.rows.is_empty());
    match (audit, traces) {
        (true, _) => "the audit log shows no client that stands out",
        (false, true) => "no audit log, and no client stands out among kube-apiserver's traces",
        (false, false) => "no audit log was read, and no trace of kube-apiserver names one",
    }
}

fn of_load(
    cause: &CauseFound,
    evidence: &EvidenceSet,
    findings: &[Finding],
    joined: Option<&Joined>,
) -> Option<ClientNamed> {
    let found = measured(cause, findings);
    let writer = most(evidence, "events written", MOST, &|row| {
        let events = row.get_text("resource").is_some_and(is_events);
        let writes = matches!(row.get_text("verb"), Some("create" | "update" | "patch"));
        (events && writes).then(|| row.get("requests")).flatten()
    });
    let leads = |rule: &str| cause.rules.first().is_some_and(|first| first == rule);
    if leads("events-dominate") && writer.is_some() {
        return writer;
    }
    if let Some(finding) = found {
        return Some(of_finding(finding, evidence));
    }
    let joined = joined.and_then(|joined| {
        let most = joined
            .clients
            .iter()
            .filter(|client| client.share >= MOST && client.confidence >= SURE)
            .max_by(|a, b| a.slow_secs.total_cmp(&b.slow_secs))?;
        Some(ClientNamed {
            name: words(&most.user_agent, &most.user),
            user_agent: most.user_agent.clone(),
            user: most.user.clone(),
            source: most.source,
            confidence: two_digits(most.confidence),
            why: format!(
                "{:.0} % of the time of etcd's slow {}s are in seconds in which it asked for {}, by {}",
                most.share * 100.0,
                most.class,
                most.resource,
                most.source.words()
            ),
        })
    });
    joined.or(
        if cause.rules.iter().any(|rule| rule == "events-dominate") {
            writer
        } else {
            None
        },
    )
}

/// What a rule has measured of a client.
fn measured<'f>(cause: &CauseFound, findings: &'f [Finding]) -> Option<&'f Finding> {
    findings
        .iter()
        .filter(|f| f.failed() && f.subject.kind == SubjectKind::Client)
        // A client that is only seen to write much is a note.
        .filter(|f| f.rule != "client-hot-loop" || f.severity >= Severity::Warn)
        .filter(|f| matches!(f.rule.as_str(), "client-heavy-lists" | "client-hot-loop"))
        .min_by_key(|f| {
            let of_rule = cause.rules.iter().position(|rule| *rule == f.rule);
            // Of several the one that the summary tells of.
            let told = cause.summary.contains(&f.message);
            (of_rule.unwrap_or(usize::MAX), !told)
        })
}

/// The client that a finding is about, with its user agent and user as the readings have them.
fn of_finding(finding: &Finding, evidence: &EvidenceSet) -> ClientNamed {
    let reader = Reader::new(evidence);
    let name = &finding.subject.name;
    let audit = reader.all(&keys::LOGS_AUDIT_CLIENTS);
    let row = audit
        .iter()
        .flat_map(|(_, table)| &table.rows)
        .find(|row| words(agent(row), user(row)) == *name);
    let traced = finding
        .evidence
        .iter()
        .any(|cite| cite.key == "logs.traces");
    let (user_agent, user) = match row {
        Some(row) => (agent(row).to_owned(), user(row).to_owned()),
        None => (name.clone(), String::new()),
    };
    ClientNamed {
        name: name.clone(),
        user_agent,
        user,
        source: if traced { Source::Trace } else { Source::Audit },
        confidence: match finding.confidence {
            Confidence::High => 0.95,
            Confidence::Medium => 0.8,
            Confidence::Low => 0.6,
        },
        why: finding.message.clone(),
    }
}

/// The client with at least `least` of all that `count` counts in the audit log.
fn most(
    evidence: &EvidenceSet,
    what: &str,
    least: f64,
    count: &dyn Fn(&Row) -> Option<f64>,
) -> Option<ClientNamed> {
    let reader = Reader::new(evidence);
    let table = reader.peek(&keys::LOGS_AUDIT_CLIENTS, &Subject::cluster())?;
    let mut clients: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    let mut all = 0.0;
    for row in &table.rows {
        let n = count(row).unwrap_or(0.0);
        all += n;
        *clients.entry((agent(row), user(row))).or_default() += n;
    }
    let ((agent, user), n) = clients
        .into_iter()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, n)| *n > 0.0 && *n >= all * least)?;
    Some(ClientNamed {
        name: words(agent, user),
        user_agent: agent.to_owned(),
        user: user.to_owned(),
        source: Source::Audit,
        confidence: two_digits(0.5 + 0.45 * n / all),
        why: format!("{n:.0} of {all:.0} {what}"),
    })
}

fn agent(row: &Row) -> &str {
    row.get_text("user_agent").unwrap_or_default()
}

fn user(row: &Row) -> &str {
    row.get_text("user").unwrap_or_default()
}

fn words(agent: &str, user: &str) -> String {
    match (product(agent), user) {
        ("", "") => "(no name)".to_owned(),
        ("", user) => user.to_owned(),
        (product, "") => product.to_owned(),
        (product, user) => format!("{product} ({user})"),
    }
}

fn two_digits(n: f64) -> f64 {
    (n * 100.0).round() / 100.0
}
