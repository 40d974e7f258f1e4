//! Backend commits, as etcd measured them, are slower than etcd needs. A symptom of the disk, of the CPU or of a large database.

use crate::evidence::{Missing, keys};
use crate::rules::latency::{self, Latency, Least};
use crate::rules::{Context, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "backend-commit-slow",
    summary: "backend commits take longer than etcd needs",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "backend-commit-slow",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    latency::slow(
        cx,
        &Latency {
            key: &keys::WAL_COMMIT,
            phases: &keys::COMMIT_PHASES,
            what: "backend commit",
            limit: cx.profile.limit("backend-commit-p99"),
            critical: cx.profile.limit("wal-fsync-p99-critical"),
            least: Least::of(cx, "slow-values"),
            gravest: Severity::Warn,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram, member, table};

    fn with(buckets: &[(f64, f64)]) -> Set {
        Set::new().put(&keys::WAL_COMMIT, member(), histogram(buckets))
    }

    #[test]
    fn only_a_bracket_wholly_above_the_limit_fails() {
        let limit = crate::profile::Profile::default().get("backend-commit-p99");
        let around = with(&[(limit * 0.8, 10.0), (limit * 1.6, 90.0)]);
        assert_eq!(around.status(&RULE).0, Status::Pass);
        let above = with(&[(limit, 10.0), (limit * 2.0, 90.0)]);
        assert_eq!(above.status(&RULE), (Status::Fail, Severity::Warn));
        let below = with(&[(limit, 100.0), (limit * 2.0, 0.0)]);
        assert_eq!(below.status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn one_bad_phase_of_a_good_window_is_seen_and_dated() {
        let critical = crate::profile::Profile::default().get("wal-fsync-p99-critical");
        let slow = crate::profile::Profile::default().get("slow-values");
        let phase = |low: f64, tail: f64| {
            with(&[(1.0, 1000.0)]).put(
                &keys::COMMIT_PHASES,
                member(),
                table(&[(
                    "2026-11-21T20:57:04Z",
                    &[
                        ("count", 60.0),
                        ("p99_low_ms", low),
                        ("p99_tail", tail),
                        ("secs", 30.0),
                    ],
                )]),
            )
        };
        let message = phase(critical, slow).check(&RULE)[0].message.clone();
        assert!(message.contains("from 20:57:04 to 20:57:34"), "{message}");
        assert_eq!(phase(critical - 1.0, slow).status(&RULE).0, Status::Pass);
        // One slow value among sixty is no p99.
        assert_eq!(phase(critical, slow - 1.0).status(&RULE).0, Status::Pass);
    }
}
