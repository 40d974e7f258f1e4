//! This program's own bench of the disk found it too slow for etcd.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "bench-disk-slow",
    summary: "the disk bench found this disk too slow for etcd",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "bench-disk-slow",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let levels = cx.evidence.some(&keys::BENCH_DISK_LEVEL)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    let mut undecided = None;
    for (disk, level) in levels {
        let why = cx
            .evidence
            .peek(&keys::BENCH_DISK_WHY, &disk)
            .unwrap_or_default();
        let severity = match level.as_str() {
            "not-for-etcd" => Severity::Critical,
            "marginal" => Severity::Warn,
            // The bench says itself what it could not tell, and why.
            "inconclusive" => {
                undecided.get_or_insert(why);
                continue;
            }
            _ => continue,
        };
        cx.evidence.cite(&keys::BENCH_DISK_LEVEL, &disk);
        cx.evidence.cite(&keys::BENCH_DISK_SYNC, &disk);
        cx.evidence.cite(&keys::BENCH_DISK_COMMIT, &disk);
        cx.evidence.cite(&keys::BENCH_DISK_FLUSH_TIME, &disk);
        let limit = cx.profile.limit("wal-fsync-p99");
        drafts.push(
            Draft::new(disk.clone(), severity, format!("{}: {why}", disk.name))
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    match undecided {
        Some(why) if drafts.is_empty() => Err(Missing::NotEnough { why }),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, device};

    #[test]
    fn levels_are_taken_at_their_word() {
        let with = |level: &str| {
            Set::new()
                .put(&keys::BENCH_DISK_LEVEL, device("sda"), level.to_owned())
                .put(&keys::BENCH_DISK_WHY, device("sda"), "p99 31 ms".to_owned())
                .status(&RULE)
        };
        assert_eq!(with("ok").0, Status::Pass);
        assert_eq!(with("heavy-load-ok").0, Status::Pass);
        assert_eq!(with("marginal"), (Status::Fail, Severity::Warn));
        assert_eq!(with("not-for-etcd"), (Status::Fail, Severity::Critical));
        assert_eq!(with("inconclusive").0, Status::Unknown);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
