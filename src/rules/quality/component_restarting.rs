//! A component starts again and again, or a member of etcd ended although nobody told it to.

use crate::clock::Timestamp;
use crate::evidence::{Missing, Row, Subject, SubjectKind, Table, keys};
use crate::profile::Limit;
use crate::rules::rises::{self, Rise};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "component-restarting",
    summary: "a component starts again and again",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "component-restarting",
    check,
};

/// Starts that lie closer together are those of a crash loop: kubelet doubles its wait up to five
/// minutes, and forgets it after ten (kubelet: pkg/kubelet/images, MaxContainerBackOff).
const LOOP_US: i64 = 600_000_000;
const DAY_US: i64 = 24 * 3_600_000_000;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("restarts");
    let mut drafts = Vec::new();
    let tables = cx.evidence.some(&keys::LOGS_RESTARTS);
    cx.evidence.take_citations();
    let finer = tables
        .iter()
        .flatten()
        .any(|(subject, _)| *subject != Subject::cluster());
    for (subject, table) in tables.iter().flatten() {
        if finer && *subject == Subject::cluster() {
            continue;
        }
        let (starts, secs) = within_a_day(table);
        if starts <= limit.value {
            drafts.extend(unasked(cx, subject, table));
            continue;
        }
        let (severity, words) = match killed(subject, table, limit.value) {
            Some(words) => (Severity::Critical, words),
            None => {
                let within = secs.map_or_else(|| "a day".to_owned(), rises::span);
                let words = format!(
                    "{} started {starts:.0} times within {within}",
                    subject.called()
                );
                let words = match table.total("count") {
                    all if all > starts => format!("{words}, {all:.0} times in all"),
                    _ => words,
                };
                (Severity::Warn, words)
            }
        };
        cx.evidence
            .cite_as(&keys::LOGS_RESTARTS, subject, words.clone());
        drafts.push(
            Draft::new(subject.clone(), severity, words)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    rises::join(&mut drafts, by_metrics(cx, limit));
    match tables {
        // Metrics tell of the time between two scrapes only.
        Err(why) if drafts.is_empty() => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// What tells a start that nobody asked for from starts that are too many.
pub const UNASKED: &str = "unasked";

/// A member that started anew though its own log tells of no stop before: it was killed, or it crashed.
/// What was so more than a day before the log ends is past.
fn unasked(cx: &Context<'_>, about: &Subject, table: &Table) -> Option<Draft> {
    if about.kind != SubjectKind::Member {
        return None;
    }
    let record = cx.evidence.record(&keys::LOGS_RESTARTS, about);
    let end = record.and_then(|record| record.window.to);
    let recent = |at: &Timestamp| end.is_none_or(|end| end.since_us(*at) <= DAY_US);
    // Only a log of etcd's own would tell of a stop.
    let unasked = table
        .rows
        .iter()
        .filter(|row| row.get("asked") == Some(0.0) && row.get("last_own_log") > Some(0.0))
        .filter_map(|row| Timestamp::parse(&row.key))
        .filter(recent);
    let (count, last) = unasked.fold((0, None), |(count, last), at| {
        (count + 1, last.max(Some(at)))
    });
    let (name, at) = (about.called(), last?.to_second());
    let words = match count {
        1 => format!("{name} started anew at {at}, and its log tells of no stop before"),
        _ => format!(
            "{name} started anew {count} times, the last time at {at}, and its log tells of no stop before"
        ),
    };
    cx.evidence
        .cite_as(&keys::LOGS_RESTARTS, about, words.clone());
    let draft = Draft::new(
        about.clone(),
        Severity::Warn,
        format!("{words}: it was killed, or it crashed"),
    );
    Some(
        draft
            .aspect(UNASKED)
            .threshold("etcd logs the signal that tells it to stop")
            .confidence(Confidence::Medium)
            .cites(cx.evidence.take_citations()),
    )
}

/// Processes that scrapes show to have started anew more often than that.
fn by_metrics(cx: &Context<'_>, limit: &Limit) -> Vec<Draft> {
    const DAY_SECS: f64 = 86_400.0;
    let over = |count: f64| count > limit.value;
    let rises = rises::over(cx, &keys::PROCESS_RESTARTS, "restarts", DAY_SECS, over);
    let draft = |rise: &Rise| {
        cx.evidence.cite(&keys::PROCESS_RESTARTS, &rise.subject);
        let words = format!(
            "{} started anew {:.0} times or more within {}, by its metrics",
            rise.subject.called(),
            rise.most,
            rise.within()
        );
        Draft::new(rise.subject.clone(), Severity::Warn, words)
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations())
    };
    let rises = rises.unwrap_or_default();
    cx.evidence.take_citations();
    rises.over.iter().map(draft).collect()
}

/// Starts of an etcd close together that no stop in order preceded, in words. Of the first one nothing
/// tells how it ended before; it counts where none of the others was asked for.
fn killed(about: &Subject, table: &Table, limit: f64) -> Option<String> {
    if about.kind != SubjectKind::Member {
        return None;
    }
    let mut starts: Vec<(Timestamp, &Row)> = table
        .rows
        .iter()
        .filter_map(|row| Some((Timestamp::parse(&row.key)?, row)))
        .collect();
    starts.sort_unstable_by_key(|(at, _)| *at);
    let (last, _) = *starts.last()?;
    starts.retain(|(at, _)| last.since_us(*at) <= LOOP_US);
    let (first, _) = *starts.first()?;
    let mut later = starts.iter().skip(1);
    // A bundle of an older release does not tell it.
    if later.any(|(_, row)| row.get("asked").is_none()) {
        return None;
    }
    let later = starts.iter().skip(1);
    let asked = later
        .filter(|(_, row)| row.get("asked") > Some(0.0))
        .count();
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since 1970, few starts"
    )]
    let (secs, count) = (last.since_us(first) as f64 / 1e6, starts.len() as f64);
    let name = &about.name;
    match asked {
        0 if count > limit => Some(format!(
            "{name} started {count:.0} times within {secs:.0} s, and was never asked to stop"
        )),
        #[expect(clippy::cast_precision_loss, reason = "few starts")]
        _ if count - 1.0 - asked as f64 > limit => Some(format!(
            "{name} started {count:.0} times within {secs:.0} s, and was asked to stop only {}",
            match asked {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            }
        )),
        _ => None,
    }
}

/// Most starts within 24 hours, and the seconds from the first to the last of them. Starts of unknown
/// time may be among them: then nobody knows how long it took.
fn within_a_day(table: &Table) -> (f64, Option<f64>) {
    let count = |row: &Row| row.get("count").unwrap_or(0.0);
    let rows = || table.rows.iter().chain(&table.other);
    let dated: Vec<(Timestamp, f64)> = rows()
        .filter_map(|row| Some((Timestamp::parse(&row.key)?, count(row))))
        .collect();
    let undated: f64 = rows()
        .filter(|row| Timestamp::parse(&row.key).is_none())
        .map(count)
        .sum();
    let from = |first: Timestamp| {
        let end = first.add_us(DAY_US);
        let begun = dated.iter().filter(|(at, _)| (first..end).contains(at));
        let last = begun.clone().map(|(at, _)| *at).max().unwrap_or(first);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a day")]
        let secs = last.since_us(first) as f64 / 1e6;
        (begun.map(|(_, count)| count).sum::<f64>(), secs)
    };
    let most = dated.iter().map(|(first, _)| from(*first));
    let most = most.max_by(|a, b| a.0.total_cmp(&b.0));
    let (starts, secs) = most.unwrap_or_default();
    (starts + undated, (undated == 0.0).then_some(secs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Origin, Window};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, member, table};

    #[test]
    fn a_member_that_is_killed_again_and_again() {
        // Each start by its second, and whether a stop in order came before it.
        let on = |starts: &[(u32, Option<bool>)]| {
            let rows = starts.iter().map(|(at, asked)| {
                let key = format!("2026-10-01T10:{:02}:{:02}Z", at / 60, at % 60);
                let row = Row::new(key).num("count", 1.0);
                match asked {
                    Some(asked) => row.num("asked", f64::from(u8::from(*asked))),
                    None => row,
                }
            });
            let starts = Table {
                rows: rows.collect(),
                ..Table::default()
            };
            let found = Set::new().put(&keys::LOGS_RESTARTS, member(), starts);
            let found = found.check(&RULE).remove(0);
            (found.severity, found.message)
        };
        let (no, yes, first) = (Some(false), Some(true), (0, None));
        assert_eq!(
            on(&[first, (10, no), (40, no)]),
            (
                Severity::Critical,
                "a started 3 times within 40 s, and was never asked to stop".to_owned()
            )
        );
        // Restarted in order, whatever came last.
        let rolled = [first, (10, yes), (20, yes), (30, yes)];
        assert_eq!(on(&rolled).0, Severity::Warn);
        assert_eq!(on(&[first, (10, yes), (40, no)]).0, Severity::Warn);
        assert_eq!(
            on(&[first, (10, no), (20, yes), (30, no), (40, no)]),
            (
                Severity::Critical,
                "a started 5 times within 40 s, and was asked to stop only once".to_owned()
            )
        );
        // Hours apart, or not told.
        assert_eq!(on(&[first, (10, no), (3_000, no)]).0, Severity::Warn);
        assert_eq!(on(&[first, (10, None), (20, None)]).0, Severity::Warn);
    }

    #[test]
    fn a_member_that_was_killed_once() {
        let of = |asked: f64, own: f64, at: &str| {
            let row = Row::new(at).num("count", 1.0).num("asked", asked);
            let starts = Table {
                rows: vec![
                    Row::new("2026-10-01T10:00:00Z").num("count", 1.0),
                    row.num("last_own_log", own),
                ],
                ..Table::default()
            };
            let mut set = Set::new();
            set.0.put(
                &keys::LOGS_RESTARTS,
                member(),
                Window::between(
                    Timestamp::parse("2026-10-01T10:00:00Z").unwrap(),
                    Timestamp::parse("2026-10-03T11:00:00Z").unwrap(),
                ),
                Origin::new(Collector::Logs, "test"),
                starts,
            );
            set.check(&RULE).remove(0)
        };
        let killed = of(0.0, 1.0, "2026-10-03T10:00:00Z");
        assert_eq!(
            (
                killed.severity,
                killed.aspect.as_str(),
                killed.message.as_str()
            ),
            (
                Severity::Warn,
                UNASKED,
                "a started anew at 2026-10-03 10:00:00, and its log tells of no stop before: it was \
                 killed, or it crashed"
            )
        );
        // It was told to stop; who writes into the same log says nothing of a stop; it is long ago.
        for past in [
            of(1.0, 1.0, "2026-10-03T10:00:00Z"),
            of(0.0, 0.0, "2026-10-03T10:00:00Z"),
            of(0.0, 1.0, "2026-10-01T12:00:00Z"),
        ] {
            assert_eq!(past.status, Status::Pass, "{past:?}");
        }
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("restarts");
        let with = |count: f64| {
            Set::new().put(
                &keys::LOGS_RESTARTS,
                component("etcd"),
                table(&[("start", &[("count", count)])]),
            )
        };
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        let on = |days: [&str; 3]| {
            let rows = days.map(|day| (day, [("count", 1.0)]));
            let rows: Vec<_> = rows.iter().map(|(day, row)| (*day, &row[..])).collect();
            Set::new().put(&keys::LOGS_RESTARTS, component("etcd"), table(&rows))
        };
        let first = "2026-10-01T10:00:00Z";
        let apart = on([first, "2026-10-02T10:00:00Z", "2026-10-20T10:00:00Z"]);
        assert_eq!(apart.status(&RULE).0, Status::Pass);
        let day = on([first, "2026-10-01T16:00:00Z", "2026-10-02T09:59:59Z"]);
        assert_eq!(
            day.check(&RULE)[0].message,
            "etcd started 3 times within 23 h 59 min"
        );
    }

    #[test]
    fn scrapes_tell_of_restarts_as_well() {
        let limit = crate::profile::Profile::default().get("restarts");
        let apiserver = || component("kube-apiserver");
        let of = |restarts: f64| {
            Set::new().put_over(&keys::PROCESS_RESTARTS, apiserver(), restarts, 150)
        };
        // No restart between two scrapes says nothing of the rest.
        assert_eq!(of(limit).status(&RULE).0, Status::Unknown);
        let found = of(limit + 1.0).check(&RULE).remove(0);
        assert_eq!(found.severity, Severity::Warn);
        assert_eq!(
            found.message,
            "kube-apiserver started anew 3 times or more within 2 min 30 s, by its metrics"
        );
        // Beside a log it confirms what that says.
        let row: &[(&str, f64)] = &[("count", 1.0)];
        let starts = table(&[
            ("2026-10-01T10:00:00Z", row),
            ("2026-10-01T10:01:00Z", row),
            ("2026-10-01T10:02:30Z", row),
        ]);
        let both = of(3.0).put(&keys::LOGS_RESTARTS, apiserver(), starts);
        let found = both.check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].message,
            "kube-apiserver started 3 times within 2 min 30 s"
        );
        assert_eq!(found[0].evidence.len(), 2);
    }
}
