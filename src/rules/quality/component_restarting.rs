//! A component starts again and again.

use crate::clock::Timestamp;
use crate::evidence::{Missing, Row, Subject, Table, keys};
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
        cx.evidence
            .cite_as(&keys::LOGS_RESTARTS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
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
    use crate::rules::testing::{Set, component, table};

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
