//! This program's own bench saw that flushes do not reach the disk.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "bench-disk-unsafe",
    summary: "the disk bench saw that flushes do not reach the disk: acknowledged writes can be lost",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "write-barriers-off",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let found = cx.evidence.some(&keys::BENCH_DISK_BARRIER)?;
    cx.evidence.take_citations();
    let unknown = found.iter().all(|(_, state)| state == "unknown");
    let mut drafts = Vec::new();
    for (disk, state) in found {
        if state != "off" {
            continue;
        }
        let why = cx
            .evidence
            .peek(&keys::BENCH_DISK_WHY, &disk)
            .unwrap_or_default();
        cx.evidence.cite(&keys::BENCH_DISK_BARRIER, &disk);
        cx.evidence.cite(&keys::BENCH_DISK_LEDGER, &disk);
        drafts.push(
            Draft::new(
                disk.clone(),
                Severity::Critical,
                format!("{}: {why}", disk.name),
            )
            .confidence(Confidence::High)
            .threshold("a sync that was acknowledged is on the disk, whatever happens next")
            .cites(cx.evidence.take_citations()),
        );
    }
    if unknown {
        return Err(Missing::NotEnough {
            why: "the bench could not tell whether flushes reach the disk".to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, device};

    #[test]
    fn only_barriers_that_are_off_are_a_fault() {
        let with = |state: &str| {
            Set::new()
                .put(&keys::BENCH_DISK_BARRIER, device("sda"), state.to_owned())
                .status(&RULE)
        };
        assert_eq!(with("off"), (Status::Fail, Severity::Critical));
        assert_eq!(with("on").0, Status::Pass);
        assert_eq!(with("not-needed").0, Status::Pass);
        assert_eq!(with("unknown").0, Status::Unknown);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
