//! What several rules ask of log events.

use crate::clock::Timestamp;
use crate::evidence::{Episode, Episodes, Missing, Subject, SubjectKind, keys};
use crate::profile::Limit;

use super::{Confidence, Context, Draft, Severity};

const HOUR_US: i64 = 3_600_000_000;
pub(super) const HOUR_SECS: f64 = 3600.0;
/// Within a log of a day a single sign is a matter of now.
pub(super) const RECENT_SECS: f64 = 86_400.0;

/// A moment, in seconds since 1970, in words.
pub(super) fn moment(secs: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "microseconds since 1970")]
    let at = Timestamp((secs * 1e6) as i64);
    at.to_second()
}

/// How often a kind of message was seen on one subject.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) subject: Subject,
    /// How many there are in the whole log: for words, and where one is too many.
    pub(super) count: f64,
    /// How many of them came within one hour, which is what limits are held against: what comes now
    /// and then in a log of weeks is no state.
    pub(super) hourly: f64,
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
            let hourly = within_an_hour(cx, &subject, count, kinds);
            seen.push(Seen {
                subject,
                count,
                hourly,
                max_ms,
            });
        }
    }
    Ok(seen)
}

/// How many of these messages of a subject came within one hour: the busiest one as far as episodes
/// tell, at least the mean of all hours, and never less than one.
fn within_an_hour(cx: &Context<'_>, about: &Subject, count: f64, kinds: &[&str]) -> f64 {
    if count <= 1.0 {
        return count;
    }
    let record = cx.evidence.record(&keys::LOGS_EVENTS, about);
    let secs = record.and_then(|record| record.secs());
    let all = cx.evidence.peek(&keys::LOGS_EPISODES, about);
    busiest_hour(count, secs, all.iter(), |episode| {
        kinds.contains(&episode.kind.as_str())
    })
}

/// How many of `count` signs in so many seconds came within one hour.
pub(super) fn busiest_hour<'a>(
    count: f64,
    secs: Option<f64>,
    lists: impl Iterator<Item = &'a Episodes>,
    wanted: impl Fn(&Episode) -> bool,
) -> f64 {
    let mean = count / secs.map_or(1.0, |secs| (secs / HOUR_SECS).max(1.0));
    let (mut episodes, mut cut) = (Vec::new(), false);
    for list in lists {
        cut |= list.dropped > 0;
        let counts = |episode: &&Episode| !episode.planned && wanted(episode);
        episodes.extend(list.episodes.iter().filter(counts));
    }
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
    let mut most = busiest.fold(mean, f64::max);
    if cut {
        // What the kept ones do not tell of may all be of one hour.
        let told: u64 = episodes.iter().map(|episode| episode.count).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of lines")]
        let rest = count - told as f64;
        most += rest.max(0.0);
    }
    most.max(1.0).min(count)
}

/// As [`seen`], of several lists of kinds that tell of the same trouble, and of those only that were
/// seen so often within one hour: of each subject the list that was seen most counts, so that nothing
/// counts twice.
pub(super) fn often(
    cx: &Context<'_>,
    lists: &[&[&str]],
    is_often: impl Fn(f64) -> bool,
) -> Result<Vec<Seen>, Missing> {
    let mut all = Vec::new();
    for kinds in lists {
        let seen = self::seen(cx, kinds)?.into_iter();
        all.extend(seen.filter(|seen| is_often(seen.hourly)));
    }
    Ok(by_subject(all))
}

/// A warning for each subject on which any of these lists of kinds was seen `limit` times within one
/// hour. `what` names them in the citation.
pub(super) fn at_least(
    cx: &Context<'_>,
    lists: &[&[&str]],
    limit: &Limit,
    what: &str,
    words: impl Fn(&Seen) -> String,
) -> Result<Vec<Draft>, Missing> {
    let often = often(cx, lists, |count| count >= limit.value)?;
    let draft = |seen: Seen| {
        cite(cx, &seen, what);
        Draft::new(seen.subject.clone(), Severity::Warn, words(&seen))
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations())
    };
    Ok(often.into_iter().map(draft).collect())
}

/// Of each subject what was seen most.
fn by_subject(all: Vec<Seen>) -> Vec<Seen> {
    let mut most: Vec<Seen> = Vec::new();
    for seen in all {
        match most.iter_mut().find(|have| have.subject == seen.subject) {
            Some(have) if have.count < seen.count => *have = seen,
            Some(_) => {}
            None => most.push(seen),
        }
    }
    most
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
    let (raised, is_over) = said(cx, alarm)?;
    Ok(if is_over { Raised::default() } else { raised })
}

/// As [`raised`], of an alarm that was disarmed since.
pub(super) fn disarmed(cx: &Context<'_>, alarm: &str) -> Option<Raised> {
    let (raised, is_over) = said(cx, alarm).ok()?;
    (is_over && !raised.seen.is_empty()).then_some(raised)
}

/// All that is said of an alarm, and whether its disarming was said last.
fn said(cx: &Context<'_>, alarm: &str) -> Result<(Raised, bool), Missing> {
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
                hourly: count,
                max_ms: None,
            });
        }
    }
    cx.evidence.take_citations();
    let is_over = last.is_some() && disarmed >= last;
    #[expect(clippy::cast_possible_truncation, reason = "microseconds since 1970")]
    let at = last.map(|secs| Timestamp((secs * 1e6) as i64));
    raised.last = at;
    Ok((raised, is_over))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{episode, episodes};

    #[test]
    fn the_busiest_hour_of_a_long_log_counts() {
        let month = Some(30.0 * 86_400.0);
        let of = |count: f64, lists: &[Episodes]| {
            busiest_hour(count, month, lists.iter(), |episode| episode.kind == "a")
        };
        let at = |seconds: &[i64]| {
            let all = seconds.iter().map(|at| episode("a", *at, *at));
            episodes(all.collect())
        };
        // Three on three days, and three within an hour.
        assert_eq!(of(3.0, &[at(&[0, 90_000, 180_000])]), 1.0);
        assert_eq!(of(3.0, &[at(&[0, 900, 3_500])]), 3.0);
        // Two members' together.
        assert_eq!(of(3.0, &[at(&[0]), at(&[10, 90_000])]), 2.0);
        // Without episodes the mean, and one at least.
        assert_eq!(of(7_200.0, &[]), 10.0);
        assert_eq!(of(2.0, &[]), 1.0);
        // What was dropped may be of one hour.
        let mut cut = at(&[0, 90_000]);
        cut.dropped = 1;
        assert_eq!(of(12.0, &[cut]), 11.0);
        // Lines of a stop that was asked for are in the episodes, not in the count.
        assert_eq!(of(2.0, &[at(&[0, 1, 2])]), 2.0);
    }
}
