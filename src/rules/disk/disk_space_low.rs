//! The file system under etcd lacks room for the WAL, a snapshot and a defragmentation.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "disk-space-low",
    summary: "the file system under etcd has too little free space",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "disk-space-low",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let least = cx.profile.limit("free-space-critical");
    let spare = cx.profile.limit("free-space-wal");
    // The largest database: a defragmentation writes a copy of it, and so does a snapshot.
    let database = cx
        .evidence
        .all(&keys::DB_SIZE)
        .iter()
        .filter_map(|(_, series)| series.points.last().map(|point| point.value))
        .fold(0.0, f64::max);
    let need = spare.value + 2.0 * database;
    let mut drafts = Vec::new();
    for (subject, free) in cx.evidence.some(&keys::FS_FREE)? {
        let (severity, threshold) = if free < least.value {
            (Severity::Critical, least.words())
        } else if free < need {
            (Severity::Warn, spare.words())
        } else {
            continue;
        };
        cx.evidence.cite(&keys::FS_FREE, &subject);
        drafts.push(
            Draft::new(
                subject,
                severity,
                format!(
                    "{} are free; the WAL, a snapshot and a defragmentation can need {}",
                    number(free, Unit::Bytes),
                    number(need, Unit::Bytes)
                ),
            )
            .threshold(threshold)
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Series};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, member};

    #[test]
    fn room_for_wal_and_twice_the_database() {
        let profile = crate::profile::Profile::default();
        let (critical, wal) = (
            profile.get("free-space-critical"),
            profile.get("free-space-wal"),
        );
        let with = |free: f64, database: f64| {
            let points = vec![Point {
                at: Timestamp(0),
                value: database,
            }];
            Set::new().put(&keys::FS_FREE, component("etcd"), free).put(
                &keys::DB_SIZE,
                member(),
                Series { points },
            )
        };
        assert_eq!(
            with(critical - 1.0, 0.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(with(wal, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(wal, 1.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
