//! What several rules ask of log events.

use crate::clock::Timestamp;
use crate::evidence::{Episode, Missing, Subject, SubjectKind, keys};

use super::Context;

const HOUR_US: i64 = 3_600_000_000;
const HOUR_SECS: f64 = 3600.0;

/// How often a kind of message was seen on one subject.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) subject: Subject,
    pub(super) count: f64,
    pub(super) max_ms: Option<f64>,
}

/// Counts of any of `kinds`, per member or component. `Err` when no log was read.
///
/// Cites nothing by itself; the caller cites what it uses with [`cite`].
pub(super) fn seen(cx: &Context<'_>, kinds: &[&str]) -> Result<Vec<Seen>, Missing> {
    let tables = cx.evidence.all(&keys::LOGS_EVENTS);
    if tables.is_empty() {
        return Err(cx
            .evidence
            .any(&keys::LOGS_EVENTS)
            .err()
            .unwrap_or(Missing::NotCollected));
    }
    // Totals of the cluster are only used when nothing finer is known.
    let finer = tables
        .iter()
        .any(|(subject, _)| subject.kind != SubjectKind::Cluster);
    let mut seen = Vec::new();
    for (subject, table) in tables {
        if finer && subject.kind == SubjectKind::Cluster {
            continue;
        }
        let rows = kinds.iter().filter_map(|kind| table.row(kind));
        let (mut count, mut max_ms) = (0.0, None::<f64>);
        for row in rows {
            // What a stop that was asked for and a start bring along is no fault.
            let settling = row.get("settling").unwrap_or(0.0);
            let faults = (row.get("count").unwrap_or(0.0) - settling).max(0.0);
            if faults == 0.0 {
                continue;
            }
            count += faults;
            max_ms = match (max_ms, row.get("max_ms")) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
        }
        if count > 0.0 {
            seen.push(Seen {
                subject,
                count,
                max_ms,
            });
        }
    }
    Ok(seen)
}

/// How many of these messages of a subject came within one hour: the busiest one as far as episodes
/// tell, and at least the mean of all hours.
pub(super) fn within_an_hour(cx: &Context<'_>, seen: &Seen, kinds: &[&str]) -> f64 {
    let record = cx.evidence.record(&keys::LOGS_EVENTS, &seen.subject);
    let secs = record.and_then(|record| record.secs());
    let mean = seen.count / secs.map_or(1.0, |secs| (secs / HOUR_SECS).max(1.0));
    let all = cx.evidence.peek(&keys::LOGS_EPISODES, &seen.subject);
    let episodes: Vec<&Episode> = all
        .iter()
        .flat_map(|all| &all.episodes)
        .filter(|episode| !episode.planned && kinds.contains(&episode.kind.as_str()))
        .collect();
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of lines, stretches of time"
    )]
    let share = |episode: &Episode| {
        let secs = episode.to.since_us(episode.from) as f64 / 1e6;
        episode.count as f64 / (secs / HOUR_SECS).max(1.0)
    };
    let busiest = episodes.iter().map(|first| {
        let end = first.from.add_us(HOUR_US);
        let begun = |episode: &&&Episode| (first.from..end).contains(&episode.from);
        episodes.iter().filter(begun).map(|e| share(e)).sum::<f64>()
    });
    busiest.fold(mean, f64::max)
}

/// As [`seen`], of several lists of kinds that tell of the same trouble: of each subject the list
/// that was seen most counts, so that nothing counts twice.
pub(super) fn most(cx: &Context<'_>, lists: &[&[&str]]) -> Result<Vec<Seen>, Missing> {
    let mut most: Vec<Seen> = Vec::new();
    for kinds in lists {
        for seen in self::seen(cx, kinds)? {
            match most.iter_mut().find(|have| have.subject == seen.subject) {
                Some(have) if have.count < seen.count => *have = seen,
                Some(_) => {}
                None => most.push(seen),
            }
        }
    }
    Ok(most)
}

/// One column of the messages of any of `kinds` on one subject. Cites nothing.
pub(super) fn column(cx: &Context<'_>, about: &Subject, kinds: &[&str], column: &str) -> f64 {
    cx.evidence
        .all(&keys::LOGS_EVENTS)
        .iter()
        .filter(|(subject, _)| subject == about)
        .flat_map(|(_, table)| kinds.iter().filter_map(|kind| table.row(kind)))
        .filter_map(|row| row.get(column))
        .sum()
}

/// What logs say of one type of alarm that was not disarmed since.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Raised {
    /// Who said how often that it is raised.
    pub(super) seen: Vec<Seen>,
    /// When somebody said so last.
    pub(super) last: Option<Timestamp>,
}

/// What logs say of an alarm. Empty where its disarming is the last that was said: an alarm is the
/// whole cluster's, and every member logs both. `Err` when no log was read.
pub(super) fn raised(cx: &Context<'_>, alarm: &str) -> Result<Raised, Missing> {
    cx.evidence.any(&keys::LOGS_EVENTS)?;
    let mut raised = Raised::default();
    let (mut last, mut disarmed) = (None::<f64>, None::<f64>);
    let later = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    for (subject, table) in cx.evidence.all(&keys::LOGS_ALARMS) {
        let Some(row) = table.row(alarm) else {
            continue;
        };
        last = later(last, row.get("last_raised_secs"));
        disarmed = later(disarmed, row.get("last_disarmed_secs"));
        let count = row.get("raised").unwrap_or(0.0);
        if count > 0.0 {
            raised.seen.push(Seen {
                subject,
                count,
                max_ms: None,
            });
        }
    }
    cx.evidence.take_citations();
    if last.is_some() && disarmed >= last {
        return Ok(Raised::default());
    }
    #[expect(clippy::cast_possible_truncation, reason = "microseconds since 1970")]
    let at = last.map(|secs| Timestamp((secs * 1e6) as i64));
    raised.last = at;
    Ok(raised)
}

/// The words for one of them: their plurals are all regular.
fn singular(what: &str) -> String {
    what.split(' ')
        .map(|word| match word.strip_suffix('s') {
            Some(one) if one.len() > 3 && !one.ends_with("ie") && !one.ends_with('s') => one,
            _ => word,
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A number of things in words.
pub(super) fn counted(count: f64, what: &str) -> String {
    match count {
        1.0 => format!("1 {}", singular(what)),
        n => format!("{n:.0} {what}"),
    }
}

/// Notes the events of one subject as used, in words.
pub(super) fn cite(cx: &Context<'_>, seen: &Seen, what: &str) {
    let mut words = counted(seen.count, what);
    if let Some(max) = seen.max_ms {
        words = format!("{words}, longest {}", crate::units::format_ms(max));
    }
    cx.evidence
        .cite_as(&keys::LOGS_EVENTS, &seen.subject, words);
}

/// As [`cite`], of lines about an alarm.
pub(super) fn cite_alarm(cx: &Context<'_>, seen: &Seen, what: &str) {
    let words = counted(seen.count, what);
    cx.evidence
        .cite_as(&keys::LOGS_ALARMS, &seen.subject, words);
}
