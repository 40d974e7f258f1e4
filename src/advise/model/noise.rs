//! Logs that are mostly one message.

use crate::catalog::controllers::controllers;
use crate::evidence::{Subject, keys};

use super::super::advice::{Advice, Remedy, Strength};
use super::super::facts::Facts;
use super::client::slug;
use super::pace::number;
use super::relief::percent;

/// A log that is mostly one message.
pub(super) fn noise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    let coverage = facts.all(&keys::LOGS_COVERAGE);
    let span = span(facts);
    for (subject, rows) in messages(facts) {
        // Only programs that are known to be controllers: their authors can be told.
        let is_controller = controllers().iter().any(|known| {
            !known.id.starts_with("kube")
                && crate::catalog::controllers::Controller::by_name(&subject.name)
                    .is_some_and(|own| own.id == known.id)
        });
        let lines: f64 = coverage
            .iter()
            .flat_map(|(_, table)| &table.rows)
            .filter(|row| row.key.split(" on ").next() == Some(subject.name.as_str()))
            .filter_map(|row| row.get("lines"))
            .sum();
        let Some((text, records)) = most(&rows) else {
            continue;
        };
        // In a log that it shares with others nobody counted its lines.
        let share = records / lines.max(records);
        if !is_controller || lines == 0.0 || share < 0.5 || span < 30.0 || records / span < 5.0 {
            continue;
        }
        let mut advice = Advice::new(
            format!("log-noise-{}", slug(&subject.name)),
            Remedy::Hygiene,
            &subject.name,
            "log messages",
        );
        advice.strength = Strength::Candidate;
        advice.now = Some(format!(
            "{records:.0} lines {text}, {} of its log",
            percent(share)
        ));
        advice.proposed = "lower its verbosity, or take this message out".to_owned();
        advice.why = format!(
            "one message is {} of what {} writes, {} a second",
            percent(share),
            subject.name,
            number(records / span)
        );
        advice.effect =
            "the rest of its log can be read, and the disk that holds it writes less".to_owned();
        advice.risk = "none, where the message says nothing".to_owned();
        advice.undo = "set the verbosity back".to_owned();
        advice.verify = format!("`etcd-doctor logs` over the log of {}", subject.name);
        advice.source =
            "half of a log that is one sentence tells nothing by its second half".to_owned();
        all.push(advice);
    }
    all
}

/// How long the logs are, in seconds.
pub(super) fn span(facts: &Facts<'_>) -> f64 {
    facts
        .all(&keys::LOGS_SPAN)
        .into_iter()
        // The lines of several runs add up, so their seconds must as well.
        .map(|(subject, secs)| {
            let covered = facts.covered_secs(&keys::LOGS_SPAN, &subject);
            covered.map_or(secs, |covered| covered.max(secs))
        })
        .max_by(f64::total_cmp)
        .unwrap_or(0.0)
}

/// Known messages that tell of a fault: their remedy is that fault's, and no lower verbosity.
const FAULTS: &[&str] = &["client-", "leaderelection-", "etcd-", "api-", "queue-"];

/// What each component writes, by template: messages that nobody knows by their beginning, known
/// ones by their kind.
fn messages(facts: &Facts<'_>) -> Vec<(Subject, Vec<(String, f64)>)> {
    let mut all: Vec<(Subject, Vec<(String, f64)>)> = Vec::new();
    let mut put = |subject: Subject, text: String, records: f64| match all
        .iter_mut()
        .find(|(have, _)| *have == subject)
    {
        Some((_, rows)) => rows.push((text, records)),
        None => all.push((subject, vec![(text, records)])),
    };
    for (subject, table) in facts.all(&keys::LOGS_MESSAGES) {
        for row in &table.rows {
            if let Some(records) = row.get("records") {
                put(subject.clone(), format!("`{}…`", row.key), records);
            }
        }
    }
    for (subject, table) in facts.all(&keys::LOGS_EVENTS) {
        for row in &table.rows {
            let fault = FAULTS.iter().any(|begin| row.key.starts_with(begin));
            if let Some(records) = row.get("count").filter(|_| !fault) {
                put(subject.clone(), format!("of the kind {}", row.key), records);
            }
        }
    }
    all
}

fn most(rows: &[(String, f64)]) -> Option<(&str, f64)> {
    rows.iter()
        .map(|(text, records)| (text.as_str(), *records))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}
