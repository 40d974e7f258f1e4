//! The database has reached its quota: etcd refuses writes until space is made and the alarm is
//! disarmed.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::evidence::{Episodes, Missing, Point, Subject, SubjectKind, Unit, keys, number};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{alarms, events};

/// The rule.
pub static RULE: Rule = Rule {
    id: "nospace-alarm",
    summary: "etcd refuses writes because its database is full",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "nospace-alarm",
    check,
};

/// What etcd calls the alarm.
const ALARM: &str = "NOSPACE";
/// A sign that is older than the newest size by so much is history.
const HISTORY_US: i64 = 3_600_000_000;

/// What was seen of the databases after the last sign in the logs.
#[derive(Clone, Copy)]
struct Calm {
    /// How long after it, where the time is known of all.
    after_us: i64,
    /// A size above the limit was seen as well, or a defragmentation since.
    came_down: bool,
}

/// Whether every member's database was seen well below its quota after the last sign in the logs: by
/// metrics, or by etcd's own log. `None` where that is not known.
fn calm_since(cx: &Context<'_>, last: Option<Timestamp>) -> Option<Calm> {
    let last = last?;
    let below = cx.profile.get("quota-used-warn");
    let mut sizes: BTreeMap<Subject, Vec<Point>> = BTreeMap::new();
    for key in [&keys::DB_SIZE, &keys::LOGS_DB_SIZE] {
        for (subject, series) in cx.evidence.all(key) {
            sizes.entry(subject).or_default().extend(series.points);
        }
    }
    let mut calm: Option<Calm> = None;
    for (subject, points) in sizes {
        let point = points.iter().max_by_key(|point| point.at)?;
        let quota = cx.evidence.peek(&keys::DB_QUOTA, &subject)?;
        let after_us = point.at.since_us(last);
        if after_us <= 0 || quota <= 0.0 || point.value >= quota * below {
            return None;
        }
        let high = points.iter().any(|point| point.value >= quota * below);
        let calm = calm.get_or_insert(Calm {
            after_us,
            came_down: false,
        });
        calm.after_us = calm.after_us.min(after_us);
        calm.came_down |= high;
    }
    let mut calm = calm?;
    calm.came_down |= defragmented(cx).any(|at| at >= last);
    Some(calm)
}

/// When defragmentations ended that etcd's logs tell of.
fn defragmented(cx: &Context<'_>) -> impl Iterator<Item = Timestamp> {
    let all = cx.evidence.all(&keys::LOGS_EPISODES).into_iter();
    let episodes = all.flat_map(|(_, list)| list.episodes);
    episodes.filter_map(|episode| (episode.kind == "defrag-finish").then_some(episode.to))
}

/// What metrics say against lines about a full database, in words: all the time no member came near
/// its quota, keys were put, and nothing made room. A line may quote what was said elsewhere, or long
/// ago. `None` where they do not say so.
fn refuted(cx: &Context<'_>, last: Timestamp) -> Option<String> {
    let below = cx.profile.get("quota-used-warn");
    if defragmented(cx).next().is_some() {
        return None;
    }
    let sizes = cx.evidence.all(&keys::DB_SIZE);
    let logs = cx.evidence.all(&keys::LOGS_EVENTS);
    let of_etcd = logs.iter().filter(|(of, _)| of.kind == SubjectKind::Member);
    let measured = |member: &Subject| sizes.iter().any(|(have, _)| have == member);
    if sizes.is_empty() || !of_etcd.clone().all(|(member, _)| measured(member)) {
        return None;
    }
    let mut most: Option<(f64, f64)> = None;
    for (member, series) in &sizes {
        let quota = cx.evidence.peek(&keys::DB_QUOTA, member)?;
        let (first, end) = (series.points.first()?, series.points.last()?);
        let size = series.points.iter().map(|point| point.value);
        let size = size.fold(0.0, f64::max);
        // On to the sign, as fast as it grew: nobody looked at that time.
        let span = end.at.since_us(first.at) as f64;
        let growth = (end.value - first.value).max(0.0) / span.max(1.0);
        let then = end.value + growth * last.since_us(end.at).max(0) as f64;
        if quota <= 0.0 || span <= 0.0 || size.max(then) >= quota * below {
            return None;
        }
        // Before the first measurement etcd's own log would tell what made room.
        let record = cx.evidence.record(&keys::LOGS_EVENTS, member);
        let read_from = record.and_then(|record| record.window.from);
        if last < first.at && read_from.is_none_or(|from| from > last) {
            return None;
        }
        // Under the alarm nothing is put.
        let counters = cx.evidence.peek(&keys::SERVER_COUNTERS, member)?;
        counters.row("puts")?.get("count").filter(|n| *n > 0.0)?;
        if most.is_none_or(|(used, of)| size / quota > used / of) {
            most = Some((size, quota));
        }
    }
    let (size, quota) = most?;
    Some(format!(
        "its metrics contradict that: at most {} of a quota of {}, and keys were put",
        number(size, Unit::Bytes),
        number(quota, Unit::Bytes)
    ))
}

/// The alarm as metrics show it.
fn by_metrics(shown: &alarms::Shown) -> Draft {
    let (severity, words) = match shown.holds {
        true => (
            Severity::Critical,
            format!(
                "the NOSPACE alarm is raised, by the metrics of {}: the whole cluster takes no writes",
                shown.members
            ),
        ),
        false => (
            Severity::Warn,
            format!(
                "the metrics of {} show a NOSPACE alarm since the start of etcd, and whether it was \
                 disarmed is not known",
                shown.members
            ),
        ),
    };
    Draft::new(shown.subject.clone(), severity, words)
        .confidence(match shown.holds {
            true => Confidence::High,
            false => Confidence::Medium,
        })
        .threshold("etcd raises NOSPACE when the quota is reached")
}

/// The aspect of a finding about an alarm that was disarmed.
pub const IS_OVER: &str = "over";

/// Kinds that begin with a full database.
const BEGINS: &[&str] = &["alarm-raised", "etcd-error-no-space", "quota-exceeded"];

/// How often an alarm was raised within the hour before its last sign, and when for the last time. etcd
/// logs it where there was none yet (`applyV3.Alarm`): a second one comes after a disarming. Each member
/// logs it, so that the one counts that tells of most.
fn raised_again(episodes: &[(Subject, Episodes)], last: Timestamp) -> Option<(u64, Timestamp)> {
    let counts = episodes.iter().filter_map(|(_, list)| {
        let raised = list.episodes.iter().filter(|episode| {
            episode.kind == "alarm-raised" && (0..HISTORY_US).contains(&last.since_us(episode.from))
        });
        let times = raised.clone().map(|episode| episode.count).sum();
        Some((times, raised.map(|episode| episode.to).max()?))
    });
    counts.max().filter(|(times, _)| *times > 1)
}

/// An alarm that was raised and disarmed within the last hour of the log: writes were refused, and
/// will be again.
fn over(cx: &Context<'_>) -> Option<Draft> {
    let told = events::disarmed(cx, ALARM)?;
    let last = told.last?;
    let ends = cx.evidence.records(&keys::LOGS_ALARMS);
    let end = ends.iter().filter_map(|record| record.window.to).max();
    if end.is_some_and(|end| end.since_us(last) >= HISTORY_US) {
        return None;
    }
    let episodes = cx.evidence.all(&keys::LOGS_EPISODES);
    cx.evidence.take_citations();
    let first = episodes
        .iter()
        .flat_map(|(_, list)| &list.episodes)
        .filter(|episode| BEGINS.contains(&episode.kind.as_str()))
        .map(|episode| episode.from)
        .filter(|from| (0..HISTORY_US).contains(&last.since_us(*from)))
        .min();
    let from = first.map_or_else(String::new, |first| format!("{} to ", first.to_second()));
    for seen in &told.seen {
        events::cite_alarm(cx, seen, "messages about a full database");
    }
    let subject = match told.seen.as_slice() {
        [one] => one.subject.clone(),
        _ => Subject::cluster(),
    };
    let again = match raised_again(&episodes, last) {
        Some((times, at)) => format!(
            " ({times} times: disarmed in between, and raised again at {})",
            at.to_second()
        ),
        None => String::new(),
    };
    let words = format!(
        "the database was full ({ALARM}) and writes were refused, {from}{}{again}; the alarm was disarmed since",
        last.to_second()
    );
    Some(
        Draft::new(subject, Severity::Warn, words)
            .aspect(IS_OVER)
            .confidence(Confidence::High)
            .threshold("etcd raises NOSPACE when the quota is reached")
            .cites(cx.evidence.take_citations()),
    )
}

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let logs = events::raised(cx, ALARM);
    let last = logs.as_ref().ok().and_then(|logs| logs.last);
    let calm = calm_since(cx, last);
    let sizes = cx.evidence.some(&keys::DB_SIZE);
    let members = cx.evidence.any(&keys::ETCD_ALARMS);
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    if let Ok((cluster, alarms)) = &members {
        for row in alarms
            .rows
            .iter()
            .filter(|row| row.get_text("alarm") == Some(ALARM))
        {
            let member = row.get_text("member").unwrap_or_default();
            cx.evidence.cite(&keys::ETCD_ALARMS, cluster);
            drafts.push(
                Draft::new(
                    Subject::new(SubjectKind::Member, member),
                    Severity::Critical,
                    format!(
                        "the NOSPACE alarm of {member} is raised: the whole cluster takes no writes"
                    ),
                )
                .confidence(Confidence::High)
                .threshold("etcd raises NOSPACE when the quota is reached")
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    // Members who were asked know it better than a metric that outlives the alarm.
    let shown = alarms::shown(cx, ALARM).filter(|_| members.is_err());
    if let Some(shown) = shown.filter(|shown| shown.holds || calm.is_none()) {
        alarms::cite(cx, ALARM);
        drafts.push(by_metrics(&shown).cites(cx.evidence.take_citations()));
    }
    let raised: Vec<Subject> = drafts
        .iter()
        .map(|draft: &Draft| draft.subject.clone())
        .collect();
    if let Ok(logs) = &logs
        && calm.is_none_or(|calm| calm.after_us < HISTORY_US)
    {
        let sign = last.filter(|_| raised.is_empty());
        let refuted = sign.and_then(|last| refuted(cx, last));
        cx.evidence.take_citations();
        for seen in &logs.seen {
            events::cite_alarm(cx, seen, "messages about a full database");
            let times = match seen.count {
                1.0 => String::new(),
                n => format!(" {n:.0} times"),
            };
            // Whether the alarm was disarmed is not known: etcd 3.6 and later do not log it.
            let (severity, since) = match (&refuted, calm) {
                (Some(why), _) => {
                    for (member, _) in cx.evidence.all(&keys::DB_SIZE) {
                        cx.evidence.cite(&keys::DB_QUOTA, &member);
                    }
                    (Severity::Info, format!("; {why}"))
                }
                (None, None) => (Severity::Critical, String::new()),
                (None, Some(calm)) => (
                    Severity::Warn,
                    format!(
                        "; {}, and whether the alarm was disarmed is not known",
                        match calm.came_down {
                            true => "its size came down since",
                            false => "its size was seen far below the quota since",
                        }
                    ),
                ),
            };
            let words = format!("it logged{times} that the database is full ({ALARM}){since}");
            drafts.push(
                Draft::new(seen.subject.clone(), severity, words)
                    .threshold("etcd raises NOSPACE when the quota is reached")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let Ok(sizes) = &sizes {
        for (subject, series) in sizes {
            let (Some(last), Some(quota)) = (
                series.points.last(),
                cx.evidence.peek(&keys::DB_QUOTA, subject),
            ) else {
                continue;
            };
            // The alarm is raised when the next write would pass the quota, so just below it.
            let told = raised.contains(subject);
            if quota <= 0.0 || last.value < quota * 0.99 || told {
                continue;
            }
            cx.evidence
                .cite_as(&keys::DB_SIZE, subject, number(last.value, Unit::Bytes));
            cx.evidence.cite(&keys::DB_QUOTA, subject);
            // What the database is by its own numbers says more than that its log tells it.
            let at = drafts.iter().position(|draft| {
                draft.subject == *subject && draft.severity == Severity::Critical
            });
            let logged = at.map(|at| drafts.remove(at).evidence).unwrap_or_default();
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Critical,
                    format!(
                        "the database is {} of a quota of {}",
                        number(last.value, Unit::Bytes),
                        number(quota, Unit::Bytes)
                    ),
                )
                .confidence(Confidence::High)
                .threshold("etcd raises NOSPACE when the quota is reached")
                .cites([cx.evidence.take_citations(), logged].concat()),
            );
        }
    }
    if drafts.is_empty() {
        drafts.extend(over(cx));
    }
    if drafts.is_empty() && logs.is_err() && sizes.is_err() && members.is_err() {
        return Err(sizes.err().unwrap_or(Missing::NotCollected));
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests;
