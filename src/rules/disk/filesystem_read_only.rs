//! The file system under etcd takes no writes: no member works on one.

use crate::evidence::{Missing, Row, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "filesystem-read-only",
    summary: "the file system under etcd is mounted read-only",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "filesystem-read-only",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut unknown = false;
    for (subject, table) in cx.evidence.some(&keys::MOUNTS)? {
        let mount_of = |row: &Row| row.get_text("mount").unwrap_or("?").to_owned();
        let mut told: Vec<String> = Vec::new();
        for row in &table.rows {
            let how = match row.get_text("read_only") {
                Some("no") => continue,
                Some(how @ ("file system" | "mount" | "maybe")) => how,
                _ => {
                    unknown = true;
                    continue;
                }
            };
            let mount = mount_of(row);
            if told.contains(&mount) {
                continue;
            }
            let holds: Vec<&str> = table
                .rows
                .iter()
                .filter(|other| mount_of(other) == mount)
                .map(|other| other.key.as_str())
                .collect();
            let fs = row.get_text("fs").unwrap_or("?");
            let on = row
                .get_text("device")
                .map_or_else(String::new, |device| format!(" on {device}"));
            let options = row.get_text("options").unwrap_or_default();
            cx.evidence.cite_as(
                &keys::MOUNTS,
                &subject,
                format!("{}: {mount} {fs} ({options})", row.key),
            );
            // A path that nobody named may be that of something else.
            let named = matches!(row.get_text("path_source"), Some("process" | "hint"));
            let confidence = if named && how != "maybe" {
                Confidence::High
            } else {
                Confidence::Medium
            };
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Critical,
                    format!(
                        "{mount} ({fs}{on}) holds etcd's {} and is mounted read-only: etcd cannot \
                         write there",
                        holds.join(" and ")
                    ),
                )
                .threshold("etcd writes to its WAL before it answers")
                .confidence(confidence)
                .cites(cx.evidence.take_citations()),
            );
            told.push(mount);
        }
    }
    if unknown && drafts.is_empty() {
        return Err(Missing::NotEnough {
            why: "whether the mount under etcd takes writes is not recorded".to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    fn with(rows: &[(&str, &str, &str)]) -> Set {
        let rows = rows.iter().map(|(name, mount, read_only)| {
            let row = Row::new(*name)
                .text("mount", *mount)
                .text("path_source", "process")
                .text("fs", "ext4")
                .text("device", "sdb");
            match *read_only {
                "" => row,
                how => row.text("read_only", how),
            }
        });
        Set::new().put(
            &keys::MOUNTS,
            component("etcd"),
            Table {
                rows: rows.collect(),
                ..Table::default()
            },
        )
    }

    #[test]
    fn read_only_is_critical() {
        let set = with(&[("data", "/e", "file system"), ("wal", "/e", "file system")]);
        assert_eq!(set.status(&RULE), (Status::Fail, Severity::Critical));
        let found = &set.check(&RULE)[0];
        assert_eq!(found.confidence, Confidence::High);
        let message = &found.message;
        assert!(
            message.contains("/e (ext4 on sdb) holds etcd's data and wal"),
            "{message}"
        );
        let doubt = with(&[("data", "/e", "maybe")]);
        assert_eq!(doubt.check(&RULE)[0].confidence, Confidence::Medium);
    }

    #[test]
    fn either_directory_will_do() {
        let set = with(&[("data", "/e", "no"), ("wal", "/w", "mount")]);
        assert_eq!(set.status(&RULE), (Status::Fail, Severity::Critical));
        assert!(set.check(&RULE)[0].message.starts_with("/w "));
        assert_eq!(
            with(&[("data", "/e", "no"), ("wal", "/e", "no")])
                .status(&RULE)
                .0,
            Status::Pass
        );
    }

    #[test]
    fn what_was_not_recorded_is_not_known() {
        assert_eq!(with(&[("data", "/e", "")]).status(&RULE).0, Status::Unknown);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
