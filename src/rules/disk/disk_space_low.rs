//! The file system under etcd lacks room for the WAL, a snapshot and a defragmentation.

use crate::evidence::{Missing, Row, Subject, SubjectKind, Table, Unit, keys, number};
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
    let spaces = cx.evidence.some(&keys::FS_SPACE).unwrap_or_default();
    if sizes.is_empty() {
        // Without etcd's word, the length of its file where that could be seen.
        let of = |table: &Table| table.row("data")?.get("db_bytes");
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
    wal_apart(cx, &spaces, &mut drafts);
    inodes(cx, &spaces, &mut drafts);
    // That no line tells of a full disk says nothing of the room that is left.
    let measured = match measured {
        Err(why) if drafts.is_empty() => return Err(why),
        measured => measured.unwrap_or_default(),
    };
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
    let unread = spaces.iter().find_map(|(_, table)| unread_wal(table));
    match unread {
        Some(why) if drafts.is_empty() => Err(Missing::NotEnough { why }),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// The WAL's row, where the WAL lies on a file system of its own.
fn apart(table: &Table) -> Option<&Row> {
    table
        .row("wal")
        .filter(|row| row.get_text("apart") == Some("yes"))
}

/// Why the room of the WAL's own file system is not known.
fn unread_wal(table: &Table) -> Option<String> {
    let why = apart(table)?.get_text("missing")?;
    Some(format!(
        "the WAL has a file system of its own, whose room is not known: {why}"
    ))
}

/// A WAL with a file system of its own needs room there, however much the data directory has.
fn wal_apart(cx: &Context<'_>, spaces: &[(Subject, Table)], drafts: &mut Vec<Draft>) {
    let least = cx.profile.limit("free-space-critical");
    for (subject, table) in spaces {
        let free = apart(table).and_then(|row| row.get("free_bytes"));
        let Some(free) = free.filter(|free| *free < least.value) else {
            continue;
        };
        let words = format!(
            "{} are free on the file system of the WAL",
            number(free, Unit::Bytes)
        );
        cx.evidence.cite_as(&keys::FS_SPACE, subject, words.clone());
        drafts.push(
            Draft::new(
                subject.clone(),
                Severity::Critical,
                format!("{words}: etcd stops when it cannot write its next segment"),
            )
            .threshold(least.words())
            .cites(cx.evidence.take_citations()),
        );
    }
}

/// Without a free inode etcd makes no file: neither a WAL segment nor a snapshot.
fn inodes(cx: &Context<'_>, spaces: &[(Subject, Table)], drafts: &mut Vec<Draft>) {
    let least = cx.profile.limit("free-inodes");
    let data = cx.evidence.all(&keys::FS_INODES_FREE);
    cx.evidence.take_citations();
    let of_wal = |(subject, table): &(Subject, Table)| {
        Some((subject.clone(), apart(table)?.get("inodes_free")?))
    };
    let data = data
        .into_iter()
        .map(|(subject, free)| (subject, free, None));
    let wal = spaces.iter().filter_map(of_wal);
    let wal = wal.map(|(subject, free)| (subject, free, Some("the WAL")));
    for (subject, free, whose) in data.chain(wal) {
        if free >= least.value {
            continue;
        }
        let words = format!(
            "{} free on the file system of {}",
            match free {
                0.0 => "no inode is".to_owned(),
                1.0 => "1 inode is".to_owned(),
                n => format!("{n:.0} inodes are"),
            },
            whose.unwrap_or("the data directory")
        );
        match whose {
            None => cx.evidence.cite(&keys::FS_INODES_FREE, &subject),
            Some(_) => cx
                .evidence
                .cite_as(&keys::FS_SPACE, &subject, words.clone()),
        }
        drafts.push(
            Draft::new(
                subject,
                Severity::Critical,
                format!("{words}: without one etcd makes no new file, whatever room is left"),
            )
            .threshold(least.words())
            .cites(cx.evidence.take_citations()),
        );
    }
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
        // A log without such a line does not tell how much room is left.
        assert_eq!(with(0.0, member()).status(&RULE).0, Status::Unknown);
        let measured = with(0.0, member()).put(&keys::FS_FREE, component("etcd"), 1e12);
        assert_eq!(measured.status(&RULE).0, Status::Pass);
        assert_eq!(
            with(1.0, component("kubelet")).status(&RULE).0,
            Status::Unknown
        );
        // A log without a name may be etcd's.
        assert_eq!(
            with(1.0, component("unknown")).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with(0.0, component("unknown")).status(&RULE).0,
            Status::Unknown
        );
    }

    /// The space under etcd's directories, in rows of columns; `wal` lies apart.
    fn spaces(wal: &[(&str, f64)], missing: &str) -> Table {
        let mut all = table(&[("data", &[("free_bytes", 1e12)]), ("wal", wal)]);
        all.rows[1] = all.rows[1].clone().text("apart", "yes");
        if !missing.is_empty() {
            all.rows[1] = all.rows[1].clone().text("missing", missing);
        }
        all
    }

    #[test]
    fn a_wal_with_a_file_system_of_its_own_needs_room_there() {
        let least = crate::profile::Profile::default().get("free-space-critical");
        let with = |table: Table| {
            Set::new().put(&keys::FS_FREE, component("etcd"), 1e12).put(
                &keys::FS_SPACE,
                component("etcd"),
                table,
            )
        };
        let full = with(spaces(&[("free_bytes", least - 1.0)], ""));
        assert_eq!(full.status(&RULE), (Status::Fail, Severity::Critical));
        assert!(full.check(&RULE)[0].message.contains("of the WAL"));
        let room = with(spaces(&[("free_bytes", least)], ""));
        assert_eq!(room.status(&RULE).0, Status::Pass);
        // The data directory has room; that of the WAL nobody read.
        let unread = with(spaces(&[], "no output of `df`")).check(&RULE);
        assert_eq!(unread[0].status, Status::Unknown);
        // On the same file system the data directory's row tells it.
        let mut same = spaces(&[("free_bytes", 1.0)], "");
        same.rows[1] = Row::new("wal").num("free_bytes", 1.0);
        assert_eq!(with(same).status(&RULE).0, Status::Pass);
        // What is known of the WAL counts where the data directory was not read.
        let alone = Set::new().put(
            &keys::FS_SPACE,
            component("etcd"),
            spaces(&[("free_bytes", 0.0)], ""),
        );
        assert_eq!(alone.status(&RULE).1, Severity::Critical);
    }

    #[test]
    fn a_file_system_without_inodes_is_full() {
        let least = crate::profile::Profile::default().get("free-inodes");
        let with = |free: f64, wal: f64| {
            Set::new()
                .put(&keys::FS_FREE, component("etcd"), 1e12)
                .put(&keys::FS_INODES_FREE, component("etcd"), free)
                .put(
                    &keys::FS_SPACE,
                    component("etcd"),
                    spaces(&[("free_bytes", 1e12), ("inodes_free", wal)], ""),
                )
        };
        let data = with(0.0, 1e6);
        assert_eq!(data.status(&RULE), (Status::Fail, Severity::Critical));
        let message = &data.check(&RULE)[0].message;
        assert!(message.starts_with("no inode is free"), "{message}");
        let wal = with(1e6, least - 1.0);
        assert_eq!(wal.status(&RULE), (Status::Fail, Severity::Critical));
        assert!(wal.check(&RULE)[0].message.contains("of the WAL"));
        assert_eq!(with(least, least).status(&RULE).0, Status::Pass);
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
