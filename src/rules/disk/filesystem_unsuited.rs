//! etcd's data lies on a file system that does not fit it: in memory, on the network, or one that
//! drops flushes; mounted with options that cost etcd, or on a disk that dies with its machine.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "filesystem-unsuited",
    summary: "etcd's data lies on a file system that does not fit it",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "filesystem-unsuited",
    check,
};

/// Options of the mount that other rules do not judge and that are no gain for etcd.
const COSTLY: &[&str] = &[
    "data=journal",
    "data=writeback",
    "discard",
    "journal_async_commit",
    "no-journal",
    "noload",
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let tables = cx.evidence.some(&keys::MOUNTS)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (subject, table) in tables {
        for row in &table.rows {
            // The WAL lies mostly where the data does: one finding tells it.
            let device = row.get_text("device");
            let told = row.key != "data"
                && table.row("data").and_then(|data| data.get_text("device")) == device;
            if row.get_text("ephemeral") == Some("yes") && !told {
                // Fast, and often meant: a member that is lost is replaced while the others live.
                let disk = row.get_text("cloud_disk").unwrap_or("a local disk");
                let words = format!(
                    "etcd's {} lies on {} ({disk}): it is gone when the machine stops or moves",
                    row.key,
                    device.unwrap_or("a disk"),
                );
                cx.evidence.cite_as(&keys::MOUNTS, &subject, words.clone());
                drafts.push(
                    Draft::new(subject.clone(), Severity::Info, words)
                        .confidence(Confidence::High)
                        .threshold(
                            "members on local disks are replaced, not restarted, after a stop",
                        )
                        .cites(cx.evidence.take_citations()),
                );
            }
            let severity = match row.get_text("fs_fitness") {
                Some("unfit") => Severity::Warn,
                Some("doubtful") => Severity::Info,
                _ => continue,
            };
            let fs = row.get_text("fs").unwrap_or("?");
            let why = row.get_text("fs_why").unwrap_or_default();
            let words = format!("etcd's {} lies on {fs}: {why}", row.key);
            cx.evidence.cite_as(&keys::MOUNTS, &subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), severity, words)
                    .confidence(Confidence::High)
                    .threshold("etcd's fsync must reach a local disk before it returns")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    // Without the table no option is worth a remark, or none was recorded.
    let remarks = cx.evidence.some(&keys::MOUNT_REMARKS).unwrap_or_default();
    cx.evidence.take_citations();
    for (subject, table) in remarks {
        for row in &table.rows {
            let Some((role, option)) = row.key.split_once(' ') else {
                continue;
            };
            // ext2 has no journal at all: its finding says so.
            let told = option == "no-journal"
                && cx.evidence.peek(&keys::MOUNTS, &subject).is_some_and(|t| {
                    t.row(role).and_then(|row| row.get_text("fs")) == Some("ext2")
                });
            if told {
                continue;
            }
            let twin = format!("data {option}");
            if !COSTLY.contains(&option) || (role != "data" && table.row(&twin).is_some()) {
                continue;
            }
            let why = row.get_text("why").unwrap_or_default();
            let words = match option {
                "no-journal" => {
                    format!("the file system of etcd's {role} has {why}")
                }
                _ => format!("etcd's {role} is mounted with {option}: {why}"),
            };
            cx.evidence
                .cite_as(&keys::MOUNT_REMARKS, &subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Info, words)
                    .confidence(Confidence::High)
                    .threshold("ext4 and XFS with their default options")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    #[test]
    fn a_disk_that_dies_with_its_machine_and_costly_options_are_told() {
        let mounts = |ephemeral: &str, wal: &str| {
            let row = |role: &str, device: &str| {
                Row::new(role)
                    .text("fs", "ext4")
                    .text("fs_fitness", "fine")
                    .text("device", device)
                    .text("cloud_disk", "Amazon EC2 instance store")
                    .text("ephemeral", ephemeral)
            };
            let table = Table {
                rows: vec![row("data", "nvme1n1"), row("wal", wal)],
                ..Table::default()
            };
            Set::new().put(&keys::MOUNTS, component("etcd"), table)
        };
        let mount = |ephemeral: &str| mounts(ephemeral, "nvme1n1");
        assert_eq!(mounts("yes", "nvme2n1").check(&RULE).len(), 2);
        let found = mount("yes").check(&RULE);
        assert_eq!((found.len(), found[0].severity), (1, Severity::Info));
        assert!(found[0].message.contains("instance store"), "{found:?}");
        assert_eq!(mount("no").status(&RULE).0, Status::Pass);
        let remarks = |keys_of: &[&str]| {
            let rows = keys_of.iter().map(|key| Row::new(*key).text("why", "w"));
            let table = Table {
                rows: rows.collect(),
                ..Table::default()
            };
            mount("no")
                .put(&keys::MOUNT_REMARKS, component("etcd"), table)
                .check(&RULE)
        };
        let found = remarks(&["data data=journal", "wal data=journal", "data nodatacow"]);
        assert_eq!(
            (found.len(), found[0].severity),
            (1, Severity::Info),
            "{found:?}"
        );
        assert!(found[0].message.contains("data=journal"));
        assert!(remarks(&["wal discard"])[0].message.contains("etcd's wal"));
        let found = remarks(&["data no-journal", "wal no-journal"]);
        assert_eq!((found.len(), found[0].severity), (1, Severity::Info));
        let words = "the file system of etcd's data has";
        assert!(found[0].message.starts_with(words), "{found:?}");
    }

    #[test]
    fn unfit_warns_doubtful_informs() {
        let with = |fitness: &str| {
            let row = Row::new("data")
                .text("fs", "nfs")
                .text("fs_fitness", fitness);
            Set::new().put(
                &keys::MOUNTS,
                component("etcd"),
                Table {
                    rows: vec![row],
                    ..Table::default()
                },
            )
        };
        assert_eq!(with("unfit").status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(
            with("doubtful").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("fine").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
