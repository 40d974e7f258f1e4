//! The database has reached its quota: etcd refuses writes until space is made and the alarm is
//! disarmed.

use crate::clock::Timestamp;
use crate::evidence::{Missing, Subject, SubjectKind, Unit, keys, number};
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

/// How long after the last sign in the logs every member's database was measured well below its
/// quota. `None` where that is not known.
fn calm_since_us(cx: &Context<'_>, last: Option<Timestamp>) -> Option<i64> {
    let last = last?;
    let below = cx.profile.get("quota-used-warn");
    let mut calm: Option<i64> = None;
    for (subject, series) in cx.evidence.all(&keys::DB_SIZE) {
        let point = series.points.last()?;
        let quota = cx.evidence.peek(&keys::DB_QUOTA, &subject)?;
        let after = point.at.since_us(last);
        if after <= 0 || quota <= 0.0 || point.value >= quota * below {
            return None;
        }
        calm = Some(calm.map_or(after, |known| known.min(after)));
    }
    calm
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
    let words = format!(
        "the database was full ({ALARM}) and writes were refused, {from}{}; the alarm was disarmed since",
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
    let calm = calm_since_us(cx, last);
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
        && calm.is_none_or(|us| us < HISTORY_US)
    {
        for seen in &logs.seen {
            events::cite_alarm(cx, seen, "messages about a full database");
            let times = match seen.count {
                1.0 => String::new(),
                n => format!(" {n:.0} times"),
            };
            let (severity, since) = match calm {
                None => (Severity::Critical, ""),
                // Whether the alarm was disarmed is not known: etcd 3.6 and later do not log it.
                Some(_) => (
                    Severity::Warn,
                    "; its size came down since, and whether the alarm was disarmed is not known",
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
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Series};
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    fn sized(size: f64, quota: f64) -> Set {
        let points = vec![Point {
            at: Timestamp(0),
            value: size,
        }];
        Set::new()
            .put(&keys::DB_SIZE, member(), Series { points })
            .put(&keys::DB_QUOTA, member(), quota)
    }

    /// Logs that tell of the alarm at second 1000, and of what else the columns say.
    fn logged(columns: &[(&str, f64)]) -> Set {
        let mut row = vec![("last_raised_secs", 1_000.0)];
        row.extend(columns);
        Set::new()
            .put(&keys::LOGS_EVENTS, member(), table(&[]))
            .put(&keys::LOGS_ALARMS, member(), table(&[("NOSPACE", &row)]))
    }

    #[test]
    fn an_alarm_that_is_over_is_a_warning_for_an_hour() {
        let raised = ("raised", 2.0);
        let disarmed = |secs: f64| logged(&[raised, ("last_disarmed_secs", secs)]);
        let found = disarmed(1_001.0).check(&RULE).remove(0);
        assert_eq!(
            (found.severity, found.aspect.as_str()),
            (Severity::Warn, IS_OVER)
        );
        assert!(
            found
                .message
                .ends_with("1970-01-01 00:16:40; the alarm was disarmed since")
        );
        let row: &[(&str, f64)] = &[
            raised,
            ("last_raised_secs", 10.0),
            ("last_disarmed_secs", 11.0),
        ];
        let old = |secs| {
            Set::new()
                .put(&keys::LOGS_EVENTS, member(), table(&[]))
                .put_over(
                    &keys::LOGS_ALARMS,
                    member(),
                    table(&[("NOSPACE", row)]),
                    secs,
                )
        };
        assert_eq!(old(3_000).status(&RULE).0, Status::Fail);
        assert_eq!(old(4_000).status(&RULE).0, Status::Pass);
        assert_eq!(
            disarmed(999.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        // Another alarm of the same name's kind is another matter.
        let corrupt = Set::new()
            .put(&keys::LOGS_EVENTS, member(), table(&[]))
            .put(
                &keys::LOGS_ALARMS,
                member(),
                table(&[("CORRUPT", &[raised])]),
            );
        assert_eq!(corrupt.status(&RULE).0, Status::Pass);
        // A size measured later, well below the quota or not.
        let below = crate::profile::Profile::default().get("quota-used-warn");
        let later = |secs: i64, size: f64| {
            let point = Point {
                at: Timestamp::from_secs(secs),
                value: size,
            };
            let series = Series {
                points: vec![point],
            };
            logged(&[raised]).put(&keys::DB_SIZE, member(), series).put(
                &keys::DB_QUOTA,
                member(),
                1.0,
            )
        };
        let fails = |severity| (Status::Fail, severity);
        assert_eq!(later(1_010, below).status(&RULE), fails(Severity::Critical));
        assert_eq!(later(990, 0.1).status(&RULE), fails(Severity::Critical));
        assert_eq!(later(1_010, 0.1).status(&RULE), fails(Severity::Warn));
        assert_eq!(later(4_700, 0.1).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn metrics_show_an_alarm_that_nobody_disarmed() {
        use crate::rules::alarms::testing::showing;
        // Compacted and defragmented, and nothing else done.
        let small = || sized(286.0, 2_048.0);
        let fails = |severity| (Status::Fail, severity);
        let held = showing(small(), "a", ALARM, 0.0, Some(0.0));
        assert_eq!(held.status(&RULE), fails(Severity::Critical));
        // One finding of all members, which show the alarms of each other.
        let all = showing(held, "b", ALARM, 0.0, Some(0.0)).check(&RULE);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].message.contains("of a, b:"), "{}", all[0].message);
        // What was disarmed stays in the metric, while writes go through.
        let over = showing(small(), "a", ALARM, 0.0, Some(9.0));
        assert_eq!(over.status(&RULE).0, Status::Pass);
        let raised = showing(small(), "a", ALARM, 3.0, Some(9.0));
        assert_eq!(raised.status(&RULE), fails(Severity::Warn));
        let untold = showing(small(), "a", ALARM, 0.0, None);
        assert_eq!(untold.status(&RULE), fails(Severity::Warn));
        let other = showing(small(), "a", "CORRUPT", 0.0, Some(0.0));
        assert_eq!(other.status(&RULE).0, Status::Pass);
        // Members were asked, and have none.
        let none = crate::evidence::Table::default();
        let asked = untold.put(&keys::ETCD_ALARMS, Subject::cluster(), none);
        assert_eq!(asked.status(&RULE).0, Status::Pass);
    }

    #[test]
    fn a_full_database_or_its_messages_are_critical() {
        assert_eq!(sized(98.0, 100.0).status(&RULE).0, Status::Pass);
        assert_eq!(
            sized(99.0, 100.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        // A negative quota means none.
        assert_eq!(sized(99.0, -1.0).status(&RULE).0, Status::Pass);
        let logs = logged(&[("raised", 1.0)]);
        assert_eq!(logs.status(&RULE), (Status::Fail, Severity::Critical));
        let row = crate::evidence::Row::new("NOSPACE a")
            .text("alarm", "NOSPACE")
            .text("member", "a");
        let alarmed = |rows| {
            let table = crate::evidence::Table {
                rows,
                ..crate::evidence::Table::default()
            };
            sized(99.0, 100.0).put(&keys::ETCD_ALARMS, Subject::cluster(), table)
        };
        let both = sized(99.0, 100.0)
            .put(&keys::LOGS_EVENTS, member(), table(&[]))
            .put(
                &keys::LOGS_ALARMS,
                member(),
                table(&[("NOSPACE", &[("raised", 1.0), ("last_raised_secs", 1_000.0)])]),
            );
        let found = both.check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.starts_with("the database is"));
        assert_eq!(found[0].evidence.len(), 3, "{found:?}");
        // The alarm and the size of the same member are one finding.
        let findings = alarmed(vec![row]).check(&RULE);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains("takes no writes"));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
