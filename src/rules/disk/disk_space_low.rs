//! The file system under etcd lacks room for the WAL, a snapshot and a defragmentation.

use crate::evidence::{Missing, Subject, SubjectKind, Unit, keys, number};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{events, nodes};

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
    let mut sizes: Vec<(Subject, f64)> = cx
        .evidence
        .all(&keys::DB_SIZE)
        .into_iter()
        .filter_map(|(subject, series)| Some((subject, series.points.last()?.value)))
        .collect();
    if sizes.is_empty() {
        // Without etcd's word, the length of its file where that could be seen.
        let spaces = cx.evidence.some(&keys::FS_SPACE).unwrap_or_default();
        let of = |table: &crate::evidence::Table| table.row("data")?.get("db_bytes");
        let known = spaces
            .iter()
            .filter_map(|(s, table)| Some((s.clone(), of(table)?)));
        sizes.extend(known);
    }
    let mut drafts = Vec::new();
    let measured = cx.evidence.some(&keys::FS_FREE);
    cx.evidence.take_citations();
    // etcd says so itself when a write met a full file system.
    let logged = events::seen(cx, &["disk-full"]);
    for seen in logged.iter().flatten() {
        let times = events::counted(seen.count, "times");
        let (severity, words, confidence, threshold) = match (
            seen.subject.kind,
            &*seen.subject.name,
        ) {
            (SubjectKind::Member, _) => (
                Severity::Critical,
                format!("etcd logged {times} that no space is left on its disk"),
                Confidence::High,
                "a member whose WAL cannot be written stops",
            ),
            // Whose line it is nothing tells: it may be etcd's.
            (_, "unknown" | "unnamed-client") => (
                Severity::Warn,
                format!(
                    "a log that does not say whose it is tells {times} that no space is left on a disk"
                ),
                Confidence::Medium,
                "one such message is one too many where the disk may be etcd's",
            ),
            // Other programs may fill other disks.
            _ => continue,
        };
        events::cite(cx, seen, "messages `no space left on device`");
        drafts.push(
            Draft::new(seen.subject.clone(), severity, words)
                .confidence(confidence)
                .threshold(threshold)
                .cites(cx.evidence.take_citations()),
        );
    }
    if let (Err(why), Err(_)) = (&measured, &logged) {
        return Err(why.clone());
    }
    let measured = measured.unwrap_or_default();
    let asking: Vec<Subject> = measured
        .iter()
        .map(|(subject, _)| subject.clone())
        .collect();
    for (subject, free) in measured {
        // A defragmentation writes a copy of the database, and so does a snapshot. The members of a
        // cluster hold the same data, so that of a node without metrics is as large as another's.
        let mut on_node = nodes::beside(&sizes, &subject, &asking);
        if on_node.is_empty() {
            on_node = sizes.iter().map(|(_, size)| size).collect();
        }
        let database = on_node.into_iter().copied().fold(0.0, f64::max);
        let need = spare.value + 2.0 * database;
        let (severity, threshold) = if free < least.value {
            (Severity::Critical, least.words())
        } else if free < need {
            let words = match database > 0.0 {
                true => format!(
                    "{} and twice the database of {} ({})",
                    spare.text,
                    number(database, Unit::Bytes),
                    spare.source
                ),
                false => format!(
                    "{} and twice the database, whose size is not known ({})",
                    spare.text, spare.source
                ),
            };
            (Severity::Warn, words)
        } else {
            continue;
        };
        cx.evidence.cite(&keys::FS_FREE, &subject);
        drafts.push(
            Draft::new(
                subject,
                severity,
                format!(
                    "{} are free; the WAL, a snapshot and a defragmentation can need {}{}",
                    number(free, Unit::Bytes),
                    number(need, Unit::Bytes),
                    if database > 0.0 {
                        ""
                    } else {
                        " and twice the size of the database, which is not known"
                    }
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
    use crate::rules::testing::{Set, component, member, table};

    #[test]
    fn what_etcd_says_of_its_disk_counts() {
        let with = |count: f64, about| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                about,
                table(&[("disk-full", &[("count", count)])]),
            )
        };
        assert_eq!(
            with(1.0, member()).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(with(0.0, member()).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(1.0, component("kubelet")).status(&RULE).0,
            Status::Pass
        );
        // A log without a name may be etcd's.
        assert_eq!(
            with(1.0, component("unknown")).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with(0.0, component("unknown")).status(&RULE).0,
            Status::Pass
        );
    }

    #[test]
    fn a_database_of_unknown_size_is_not_one_of_nothing() {
        let wal = crate::profile::Profile::default().get("free-space-wal");
        let free = |left: f64| Set::new().put(&keys::FS_FREE, component("etcd"), left);
        let found = free(wal - 1.0).check(&RULE);
        assert!(!found[0].threshold.contains("0 B"), "{found:?}");
        assert!(
            found[0].threshold.contains("size is not known"),
            "{found:?}"
        );
        assert!(found[0].message.contains("which is not known"), "{found:?}");
        // The host saw the file.
        let rows = &[("data", &[("db_bytes", 1e6)] as &[_])];
        let seen = free(wal).put(&keys::FS_SPACE, component("etcd"), table(rows));
        let found = seen.check(&RULE);
        assert!(found[0].threshold.contains("977 KiB"), "{found:?}");
    }

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
        let threshold = with(wal, 1e6).check(&RULE)[0].threshold.clone();
        let judged = "640MB and twice the database of 977 KiB (";
        assert!(threshold.starts_with(judged), "{threshold}");
        // The database of another cluster's node needs no room here.
        let larger = Series {
            points: vec![Point {
                at: Timestamp(0),
                value: 9e9,
            }],
        };
        let other = Subject::new(SubjectKind::Member, "b");
        let two = with(wal + 10.0, 1.0).put(&keys::DB_SIZE, other, larger);
        assert_eq!(two.status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
