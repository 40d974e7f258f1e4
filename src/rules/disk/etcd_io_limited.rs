//! etcd's own cgroup limits its I/O: its syncs wait for a budget, however fast the disk is.

use crate::evidence::{Missing, keys};
use crate::rules::latency::Least;
use crate::rules::nodes;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_bytes;

/// The rule.
pub static RULE: Rule = Rule {
    id: "etcd-io-limited",
    summary: "etcd's cgroup limits its I/O",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "etcd-io-limited",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let fsync = cx.profile.get("wal-fsync-p99");
    // A limit alone is a choice; with slow syncs it is a suspect.
    let least = Least::of(cx, "slow-values");
    let syncs = cx.evidence.all(&keys::WAL_FSYNC);
    let mut drafts = Vec::new();
    let mut limited = cx.evidence.some(&keys::CGROUP_IO_LIMITS)?;
    limited.retain(|(subject, _)| subject.name == "etcd" || subject.name.starts_with("etcd-"));
    let asking: Vec<_> = limited.iter().map(|(subject, _)| subject.clone()).collect();
    for (subject, table) in limited {
        // The limit of one node slows no member on another.
        let slow = nodes::beside(&syncs, &subject, &asking)
            .into_iter()
            .any(|syncs| least.is_slow(syncs, fsync));
        for row in &table.rows {
            // No sync of etcd's waits for the budget of another device.
            if row.get_text("on_etcd_disk") == Some("no") {
                continue;
            }
            let limits: Vec<String> = [
                ("write_bytes_per_sec", "written a second", true),
                ("writes_per_sec", "writes a second", false),
                ("read_bytes_per_sec", "read a second", true),
                ("reads_per_sec", "reads a second", false),
            ]
            .iter()
            .filter_map(|(column, what, bytes)| {
                let limit = row.get(column)?;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "`as` saturates"
                )]
                let limit = if *bytes {
                    format_bytes(limit as u64)
                } else {
                    format!("{limit:.0}")
                };
                Some(format!("{limit} {what}"))
            })
            .collect();
            if limits.is_empty() {
                continue;
            }
            let words = format!(
                "the cgroup of {} allows {} on device {}",
                subject.name,
                limits.join(", "),
                row.key
            );
            cx.evidence
                .cite_as(&keys::CGROUP_IO_LIMITS, &subject, words.clone());
            let severity = if slow { Severity::Warn } else { Severity::Info };
            drafts.push(
                Draft::new(subject.clone(), severity, words)
                    .confidence(Confidence::High)
                    .threshold(
                        "any limit of I/O holds up each sync that runs into it (cgroup v2: io.max)",
                    )
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, histogram, member, table};

    #[test]
    fn a_limit_is_a_suspect_when_syncs_are_slow() {
        let with = |cells: &[(&str, f64)]| {
            Set::new().put(
                &keys::CGROUP_IO_LIMITS,
                component("etcd"),
                table(&[("259:0", cells)]),
            )
        };
        let limited = with(&[("write_bytes_per_sec", 1e6)]);
        assert_eq!(limited.status(&RULE), (Status::Fail, Severity::Info));
        let slow = limited.put(
            &keys::WAL_FSYNC,
            member(),
            histogram(&[(16.0, 0.0), (32.0, 100.0)]),
        );
        assert_eq!(slow.status(&RULE), (Status::Fail, Severity::Warn));
        let elsewhere = with(&[("write_bytes_per_sec", 1e6)])
            .put(&keys::WAL_FSYNC, member(), histogram(&[(1.0, 100.0)]))
            .put(
                &keys::WAL_FSYNC,
                Subject::new(SubjectKind::Member, "b"),
                histogram(&[(16.0, 0.0), (32.0, 100.0)]),
            );
        assert_eq!(elsewhere.status(&RULE).1, Severity::Info);
        let of = |whose: &str| {
            let mut limits = table(&[("8:1", &[("write_bytes_per_sec", 1e6)])]);
            limits.rows[0] = limits.rows[0].clone().text("on_etcd_disk", whose);
            Set::new().put(&keys::CGROUP_IO_LIMITS, component("etcd"), limits)
        };
        assert_eq!(of("yes").status(&RULE).0, Status::Fail);
        assert_eq!(of("no").status(&RULE).0, Status::Pass);
        assert_eq!(with(&[]).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
