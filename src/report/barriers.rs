//! The ladder of evidence about write barriers under etcd's directories, and what flushes cost there.

use serde::Serialize;

use crate::evidence::{EvidenceSet, Reader, Row, Table, keys};

/// The barriers of one mount under an etcd.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ladder {
    /// The etcd.
    pub subject: String,
    /// Which of its directories lie there: `data`, `wal`.
    pub directories: Vec<String>,
    /// Where it is mounted.
    pub mount: String,
    /// The file system.
    pub file_system: String,
    /// The disk, where it is known.
    pub device: Option<String>,
    /// `on`, `off`, `not-needed`, `unknown`.
    pub state: String,
    /// Why.
    pub why: String,
    /// How sure.
    pub confidence: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Flushes of the device's cache per second; `None` where they were not counted, or too few.
    pub flushes_per_sec: Option<f64>,
    /// Mean time of one flush in the window.
    pub flush_mean_ms: Option<f64>,
    /// Share of the window that was spent in flushes.
    pub flush_share: Option<f64>,
    /// Mean time of one flush since the machine started.
    pub flush_mean_since_boot_ms: Option<f64>,
}

/// One step of the ladder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its name: `1-mount-options` and so on.
    pub step: String,
    /// Its answer.
    pub state: String,
    /// Why.
    pub why: String,
    /// How sure.
    pub confidence: String,
}

/// The ladders of all directories whose mount is known; directories of one mount share one.
pub fn ladders(evidence: &EvidenceSet) -> Vec<Ladder> {
    let reader = Reader::new(evidence);
    let mut all: Vec<Ladder> = Vec::new();
    for (subject, mounts) in reader.all(&keys::MOUNTS) {
        let steps = reader
            .peek(&keys::BARRIER_STEPS, &subject)
            .unwrap_or_default();
        let subject = subject.to_string();
        for row in &mounts.rows {
            let Some(ladder) = ladder(&subject, row, &steps) else {
                continue;
            };
            let same = |have: &&mut Ladder| {
                let directories = have.directories.clone();
                **have
                    == Ladder {
                        directories,
                        ..ladder.clone()
                    }
            };
            match all.iter_mut().find(same) {
                Some(have) => have.directories.extend(ladder.directories),
                None => all.push(ladder),
            }
        }
    }
    all
}

fn ladder(subject: &str, row: &Row, steps: &Table) -> Option<Ladder> {
    let text = |row: &Row, column: &str| row.get_text(column).unwrap_or_default().to_owned();
    let prefix = format!("{} ", row.key);
    let mut own: Vec<Step> = steps
        .rows
        .iter()
        .filter_map(|step| {
            Some(Step {
                step: step.key.strip_prefix(&prefix)?.to_owned(),
                state: text(step, "state"),
                why: text(step, "why"),
                confidence: text(step, "confidence"),
            })
        })
        .collect();
    own.sort_by(|a, b| a.step.cmp(&b.step));
    Some(Ladder {
        subject: subject.to_owned(),
        directories: vec![row.key.clone()],
        mount: text(row, "mount"),
        file_system: text(row, "fs"),
        device: row.get_text("device").map(str::to_owned),
        state: row.get_text("barrier")?.to_owned(),
        why: text(row, "why"),
        confidence: text(row, "confidence"),
        steps: own,
        flushes_per_sec: row.get("flushes_per_sec"),
        flush_mean_ms: row.get("flush_mean_ms"),
        flush_share: row.get("flush_share"),
        flush_mean_since_boot_ms: row.get("flush_mean_since_boot_ms"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Set, component};

    fn rows(of: &[(&str, &str)]) -> (Table, Table) {
        let (mut mounts, mut steps) = (Table::default(), Table::default());
        for (role, mount) in of {
            let row = Row::new(*role).text("mount", *mount).text("fs", "ext4");
            let row = row.text("barrier", "on").num("flush_mean_ms", 0.5);
            mounts.rows.push(row);
            for step in ["2-etcd-flag", "1-mount-options"] {
                let row = Row::new(format!("{role} {step}")).text("state", "on");
                steps.rows.push(row.text("why", *mount));
            }
        }
        (mounts, steps)
    }

    #[test]
    fn directories_of_one_mount_share_a_ladder() {
        let of = |all: &[(&str, &str)]| {
            let (mounts, steps) = rows(all);
            let set = Set::new().put(&keys::MOUNTS, component("etcd"), mounts);
            ladders(&set.put(&keys::BARRIER_STEPS, component("etcd"), steps).0)
        };
        let one = of(&[("data", "/a"), ("wal", "/a")]);
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].directories, ["data", "wal"]);
        let names: Vec<&str> = one[0].steps.iter().map(|step| &*step.step).collect();
        assert_eq!(names, ["1-mount-options", "2-etcd-flag"]);
        assert_eq!(one[0].flush_mean_ms, Some(0.5));
        let two = of(&[("data", "/a"), ("wal", "/b")]);
        assert_eq!(two.len(), 2);
        assert_eq!(two[1].steps[0].why, "/b");
        assert!(ladders(&Set::new().0).is_empty());
    }
}
