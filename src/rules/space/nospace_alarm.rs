//! The database has reached its quota: etcd refuses writes until space is made and the alarm is
//! disarmed.

use crate::evidence::{Missing, Subject, SubjectKind, Unit, keys, number};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "nospace-alarm",
    summary: "etcd refuses writes because its database is full",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "nospace-alarm",
    check,
};

/// `alarm-raised` up to etcd 3.5; later versions tell only through health checks and clients.
const KINDS: &[&str] = &["alarm-raised", "health-alarm", "etcd-error-no-space"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let logs = events::seen(cx, KINDS);
    let sizes = cx.evidence.some(&keys::DB_SIZE);
    let alarms = cx.evidence.any(&keys::ETCD_ALARMS);
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    if let Ok((cluster, alarms)) = &alarms {
        for row in alarms
            .rows
            .iter()
            .filter(|row| row.get_text("alarm") == Some("NOSPACE"))
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
    let raised: Vec<Subject> = drafts
        .iter()
        .map(|draft: &Draft| draft.subject.clone())
        .collect();
    if let Ok(logs) = &logs {
        for seen in logs {
            events::cite(cx, seen, "messages about a full database");
            drafts.push(
                Draft::new(
                    seen.subject.clone(),
                    Severity::Critical,
                    match seen.count {
                        1.0 => "it logged that the database is full (NOSPACE)".to_owned(),
                        n => format!("it logged {n:.0} times that the database is full (NOSPACE)"),
                    },
                )
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
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    if drafts.is_empty() && logs.is_err() && sizes.is_err() && alarms.is_err() {
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

    #[test]
    fn a_full_database_or_its_messages_are_critical() {
        assert_eq!(sized(98.0, 100.0).status(&RULE).0, Status::Pass);
        assert_eq!(
            sized(99.0, 100.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        // A negative quota means none.
        assert_eq!(sized(99.0, -1.0).status(&RULE).0, Status::Pass);
        let logs = Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[("alarm-raised", &[("count", 1.0)])]),
        );
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
        // The alarm and the size of the same member are one finding.
        let findings = alarmed(vec![row]).check(&RULE);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains("takes no writes"));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
