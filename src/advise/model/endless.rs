//! Work that never ends: objects that come again and again, by metrics or by the log.

use crate::catalog::controllers::Controller;
use crate::evidence::keys;
use crate::rules::Confidence;

use super::super::advice::{Advice, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::Process;
use super::client::slug;
use super::pace::number;
use super::relief::percent;

/// Reconciles that fail or come again at a steady rate, and the answers that say so.
pub(super) fn endless(process: &Process) -> Vec<Advice> {
    let all_requests: f64 = process.requests.values().sum();
    let gone = process.sent(&["GET", "PATCH", "PUT", "DELETE"], &["404"]);
    let gone_share = if all_requests > 0.0 {
        gone / all_requests
    } else {
        0.0
    };
    let mut all = Vec::new();
    for one in &process.loops {
        let (Some(rate), Some(again)) = (one.per_sec, one.unfinished) else {
            continue;
        };
        // A wave of conflicts fails too, but it ends; one that is most of the work does not.
        if rate < 1.0 || again < 0.8 {
            continue;
        }
        let mut advice = Advice::new(
            format!("endless-{}-{}", process.short(), slug(&one.name)),
            Remedy::Client,
            &process.name,
            format!("requeue of `{}`", one.name),
        );
        advice.now = Some(format!(
            "{} reconciles a second, {} of them fail or ask to come again",
            number(rate),
            percent(again)
        ));
        advice.proposed = "stop on NotFound, requeue with back-off, and mend the error that its \
                           log repeats"
            .to_owned();
        advice.why = format!(
            "`{}` of {} does not come to an end: {} of {} reconciles a second have to come again{}{}",
            one.name,
            process.name,
            percent(again),
            number(rate),
            if gone_share >= 0.2 {
                format!(
                    ", and {} of its requests are answered 404",
                    percent(gone_share)
                )
            } else {
                String::new()
            },
            process
                .known
                .and_then(|known| known.note.as_deref())
                .map_or_else(String::new, |note| format!("; {note}"))
        );
        advice.effect =
            "the queue is free for real changes, and its log becomes readable".to_owned();
        advice.confidence = if gone_share >= 0.2 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        advice.risk =
            "a back-off that is too long delays real changes: cap it at a few minutes".to_owned();
        advice.undo = "roll the controller back to its former version".to_owned();
        advice.verify = format!(
            "`controller_runtime_reconcile_errors_total{{controller=\"{}\"}}` stands still",
            one.name
        );
        advice.source = "controller-runtime: an error or Requeue puts the object back".to_owned();
        all.push(advice);
    }
    all
}

/// What a controller's log repeats when an object does not come to an end: the beginnings of the
/// messages of controller-runtime and client-go's work queues, and what a 404 is called in them.
const AGAIN: &[&str] = &[
    "error syncing",
    "failed to reconcile",
    "not available for",
    "not found",
    "notfound",
    "reconcile error",
    "reconciler error",
    "requeu",
    "retrying",
];
/// Fewer records than this are a wave, whatever their rate.
const REPEATS: f64 = 100.0;

/// The same error at a rate, as the logs of controllers show it. A log does not say of which object,
/// so this is a question and no verdict. `told` is what metrics have told already.
pub(super) fn endless_in_logs(facts: &Facts<'_>, told: &[Advice]) -> Vec<Advice> {
    let span = super::noise::span(facts);
    let mut all = Vec::new();
    for (subject, table) in facts.all(&keys::LOGS_MESSAGES) {
        let Some(known) =
            Controller::by_name(&subject.name).filter(|known| !known.id.starts_with("kube"))
        else {
            continue;
        };
        let again = table
            .rows
            .iter()
            .filter(|row| {
                let text = row.key.to_lowercase();
                AGAIN.iter().any(|part| text.contains(part))
            })
            .filter_map(|row| Some((row.key.as_str(), row.get("records")?)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((head, records)) = again else {
            continue;
        };
        let known_already = told.iter().any(|advice| {
            advice.target == subject.name
                && (advice.id.starts_with("endless-") || advice.id.starts_with("pinned-"))
        });
        if known_already || records < REPEATS || span < 30.0 || records / span < 1.0 {
            continue;
        }
        let rate = number(records / span);
        let mut advice = Advice::new(
            format!("endless-log-{}", slug(&subject.name)),
            Remedy::Client,
            &subject.name,
            "repeated error in its log",
        );
        advice.strength = Strength::Candidate;
        advice.now = Some(format!("{records:.0} lines `{head}…`, {rate} a second"));
        advice.proposed =
            "look which objects these lines name: when they are always the same ones, \
                           stop on NotFound, requeue with back-off, and mend the error"
                .to_owned();
        advice.why = format!(
            "the log of {} says `{head}…` {rate} times a second over the whole log: work that fails \
             at a fixed rate is put back again and again{}",
            subject.name,
            known
                .note
                .as_deref()
                .map_or_else(String::new, |note| format!("; {note}"))
        );
        advice.effect =
            "the queue is free for real changes, and its log becomes readable".to_owned();
        advice.confidence = Confidence::Low;
        advice.risk =
            "a back-off that is too long delays real changes: cap it at a few minutes".to_owned();
        advice.undo = "roll the controller back to its former version".to_owned();
        advice.verify = "the line is gone from its log, or rare".to_owned();
        advice.source = "controller-runtime: an error or Requeue puts the object back".to_owned();
        all.push(advice);
    }
    all
}
