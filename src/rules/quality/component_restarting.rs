//! A component starts again and again.

use crate::clock::Timestamp;
use crate::evidence::{Missing, Row, Subject, SubjectKind, Table, keys};
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

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("restarts");
    let mut drafts = Vec::new();
    let tables = cx.evidence.some(&keys::LOGS_RESTARTS)?;
    cx.evidence.take_citations();
    let finer = tables
        .iter()
        .any(|(subject, _)| *subject != Subject::cluster());
    for (subject, table) in tables {
        if finer && subject == Subject::cluster() {
            continue;
        }
        let starts = within_a_day(&table);
        if starts <= limit.value {
            continue;
        }
        let words = match table.total("count") {
            all if all > starts => format!("{starts:.0} starts within a day, {all:.0} in all"),
            all => format!("{all:.0} starts within a day"),
        };
        let killed = killed(cx, &subject, &table).filter(|(n, _)| *n > limit.value);
        let (severity, words) = match killed {
            Some((n, secs)) => (
                Severity::Critical,
                format!(
                    "{} started {n:.0} times within {secs:.0} s, and was never asked to stop",
                    subject.name
                ),
            ),
            None => (Severity::Warn, words),
        };
        cx.evidence
            .cite_as(&keys::LOGS_RESTARTS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Starts of an etcd close together without a stop in order between the first and the last of them,
/// and the seconds they lie apart.
fn killed(cx: &Context<'_>, about: &Subject, table: &Table) -> Option<(f64, f64)> {
    if about.kind != SubjectKind::Member {
        return None;
    }
    let life = cx.evidence.peek(&keys::LOGS_LIVES, about)?;
    let mut starts: Vec<Timestamp> = table
        .rows
        .iter()
        .filter_map(|row| Timestamp::parse(&row.key))
        .collect();
    starts.sort_unstable();
    let last = *starts.last()?;
    starts.retain(|at| last.since_us(*at) <= LOOP_US);
    let first = *starts.first()?;
    let stop = life.row("self").and_then(|row| row.get("last_stop_secs"));
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since 1970, few starts"
    )]
    let (from, secs, count) = (
        first.0 as f64 / 1e6,
        last.since_us(first) as f64 / 1e6,
        starts.len() as f64,
    );
    #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970")]
    let within = |stop: f64| from < stop && stop < last.0 as f64 / 1e6;
    (!stop.is_some_and(within)).then_some((count, secs))
}

/// Most starts within 24 hours; those of unknown time may be among them.
fn within_a_day(table: &Table) -> f64 {
    const DAY_US: i64 = 24 * 3_600_000_000;
    let count = |row: &Row| row.get("count").unwrap_or(0.0);
    let (dated, undated): (Vec<_>, Vec<_>) = table
        .rows
        .iter()
        .chain(&table.other)
        .map(|row| (Timestamp::parse(&row.key), count(row)))
        .partition(|(at, _)| at.is_some());
    let most = dated.iter().map(|(first, _)| {
        let (first, end) = (*first, first.map(|first| first.add_us(DAY_US)));
        let begun = |at: &Option<Timestamp>| *at >= first && *at < end;
        let in_time = dated.iter().filter(|(at, _)| begun(at));
        in_time.map(|(_, count)| count).sum::<f64>()
    });
    most.fold(0.0, f64::max) + undated.iter().map(|(_, count)| count).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, member, table};

    #[test]
    fn a_member_that_is_killed_again_and_again() {
        let on = |stop: Option<f64>, third: &str| {
            let rows = ["2026-10-01T10:00:00Z", "2026-10-01T10:00:10Z", third];
            let rows = rows.map(|at| (at, [("count", 1.0)]));
            let rows: Vec<_> = rows.iter().map(|(at, row)| (*at, &row[..])).collect();
            let mut own = Row::new("self").num("deaths", 0.0);
            if let Some(stop) = stop {
                own = own.num("last_stop_secs", stop);
            }
            let life = Table {
                rows: vec![own],
                ..Table::default()
            };
            let found = Set::new()
                .put(&keys::LOGS_RESTARTS, member(), table(&rows))
                .put(&keys::LOGS_LIVES, member(), life)
                .check(&RULE)
                .remove(0);
            (found.severity, found.message)
        };
        let third = "2026-10-01T10:00:40Z";
        let at = |text: &str| Timestamp::parse(text).unwrap().secs() as f64;
        let (severity, words) = on(None, third);
        assert_eq!(severity, Severity::Critical);
        assert_eq!(
            words,
            "a started 3 times within 40 s, and was never asked to stop"
        );
        // Asked to stop at the end of the log: none of the starts followed it.
        assert_eq!(on(Some(at(third) + 20.0), third).0, Severity::Critical);
        assert_eq!(on(Some(at(third) - 5.0), third).0, Severity::Warn);
        assert_eq!(on(None, "2026-10-01T16:00:40Z").0, Severity::Warn);
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
        assert_eq!(day.check(&RULE)[0].message, "3 starts within a day");
    }
}
