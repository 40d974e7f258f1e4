//! Commits of the database make the WAL wait, as the bench measured with and without them.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "wal-shares-device",
    summary: "the database's commits slow the WAL on the device that they share",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "wal-shares-device",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("bench-wal-db-cost");
    let costs = cx.evidence.some(&keys::BENCH_DISK_WAL_DB_COST)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (disk, cost) in costs {
        if cost <= limit.value {
            continue;
        }
        let level = cx.evidence.peek(&keys::BENCH_DISK_LEVEL, &disk);
        // On a disk that is fast enough anyway it is good to know, and no more.
        let severity = match level.as_deref() {
            Some("marginal" | "not-for-etcd") => Severity::Warn,
            _ => Severity::Info,
        };
        cx.evidence.cite(&keys::BENCH_DISK_WAL_DB_COST, &disk);
        cx.evidence.cite(&keys::BENCH_DISK_LEVEL, &disk);
        drafts.push(
            Draft::new(
                disk.clone(),
                severity,
                format!(
                    "{}: commits put {:.0} % on the WAL's p99",
                    disk.name,
                    cost * 100.0
                ),
            )
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, device};

    #[test]
    fn both_sides_of_the_limit_and_what_the_disk_is_otherwise() {
        let with = |cost: f64, level: &str| {
            Set::new()
                .put(&keys::BENCH_DISK_WAL_DB_COST, device("sda"), cost)
                .put(&keys::BENCH_DISK_LEVEL, device("sda"), level.to_owned())
                .status(&RULE)
        };
        assert_eq!(with(0.30, "marginal").0, Status::Pass);
        assert_eq!(with(0.31, "marginal"), (Status::Fail, Severity::Warn));
        assert_eq!(with(0.31, "ok"), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
