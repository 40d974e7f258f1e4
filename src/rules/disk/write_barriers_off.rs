//! Flushes do not reach the device: what etcd acknowledged as durable is lost in a power cut.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "write-barriers-off",
    summary: "the file system under etcd does not flush the device's cache",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "write-barriers-off",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut unknown = None;
    for (subject, table) in cx.evidence.some(&keys::MOUNTS)? {
        for row in &table.rows {
            let why = row.get_text("why").unwrap_or_default();
            match row.get_text("barrier") {
                Some("off") => {}
                Some("on" | "not-needed") => continue,
                _ => {
                    unknown = Some(format!(
                        "whether flushes reach the device is not known: {why}"
                    ));
                    continue;
                }
            }
            let mount = row.get_text("mount").unwrap_or("?");
            let shared = |other: &&crate::evidence::Row| {
                other.get_text("mount") == row.get_text("mount")
                    && other.get_text("barrier") == Some("off")
            };
            let holds: Vec<&str> = table
                .rows
                .iter()
                .filter(shared)
                .map(|r| r.key.as_str())
                .collect();
            if holds.first() != Some(&row.key.as_str()) {
                // Told with the first row of the same mount.
                continue;
            }
            let options = row.get_text("options").unwrap_or_default();
            cx.evidence.cite_as(
                &keys::MOUNTS,
                &subject,
                format!(
                    "{}: {mount} {} ({options}): {why}",
                    row.key,
                    row.get_text("fs").unwrap_or("?")
                ),
            );
            for (device, _) in cx.evidence.all(&keys::DEVICE_FLUSHES) {
                let name = row.get_text("device").and_then(|d| d.rsplit('/').next());
                if name == Some(device.name.as_str()) {
                    cx.evidence.cite(&keys::DEVICE_FLUSHES, &device);
                }
            }
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Critical,
                    format!(
                        "{mount} holds etcd's {} and does not flush the device's cache ({why}): \
                         a power cut can lose acknowledged writes",
                        holds.join(" and ")
                    ),
                )
                .threshold("etcd needs every fsync to reach stable storage")
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    match unknown {
        Some(why) if drafts.is_empty() => Err(Missing::NotEnough { why }),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    fn with(barrier: &str) -> Set {
        let row = Row::new("data")
            .text("barrier", barrier)
            .text("mount", "/var/lib/etcd")
            .text("fs", "ext4");
        Set::new().put(
            &keys::MOUNTS,
            component("etcd"),
            Table {
                rows: vec![row],
                ..Table::default()
            },
        )
    }

    #[test]
    fn off_is_critical_on_passes_unknown_is_unknown() {
        assert_eq!(
            with("off").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(with("on").status(&RULE).0, Status::Pass);
        assert_eq!(with("not-needed").status(&RULE).0, Status::Pass);
        assert_eq!(with("unknown").status(&RULE).0, Status::Unknown);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
