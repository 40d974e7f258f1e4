//! WAL fsync, as etcd measured it, is slower than etcd needs. A symptom of the disk or of the CPU: the diagnosis tells which.

use crate::evidence::{Missing, keys};
use crate::rules::latency::{self, Latency, Least};
use crate::rules::{Context, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "wal-fsync-slow",
    summary: "WAL fsync takes longer than etcd needs",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "wal-fsync-slow",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    latency::slow(
        cx,
        &Latency {
            key: &keys::WAL_FSYNC,
            phases: &keys::WAL_FSYNC_PHASES,
            what: "WAL fsync",
            limit: cx.profile.limit("wal-fsync-p99"),
            critical: cx.profile.limit("wal-fsync-p99-critical"),
            least: Least::of(cx, "slow-values"),
            gravest: Severity::Critical,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram, member, table};

    fn with(buckets: &[(f64, f64)]) -> Set {
        Set::new().put(&keys::WAL_FSYNC, member(), histogram(buckets))
    }

    #[test]
    fn only_a_bracket_wholly_above_the_limit_fails() {
        let limit = crate::profile::Profile::default().get("wal-fsync-p99");
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
                &keys::WAL_FSYNC_PHASES,
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
        let findings = phase(critical, slow).check(&RULE);
        assert!(findings[0].failed());
        assert!(
            findings[0].message.contains("from 20:57:04 to 20:57:34"),
            "{}",
            findings[0].message
        );
        assert_eq!(phase(critical - 1.0, slow).status(&RULE).0, Status::Pass);
        // One slow value among sixty is no p99.
        assert_eq!(phase(critical, slow - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn a_slow_value_or_two_of_few_make_no_p99() {
        let profile = crate::profile::Profile::default();
        let (slow, all) = (profile.get("slow-values"), profile.get("p99-values"));
        let of = |slow: f64, all: f64| {
            let buckets = [(8.0, all - slow), (128.0, 0.0), (256.0, slow)];
            with(&buckets).check(&RULE)[0].clone()
        };
        let found = of(1.0, 5.0);
        assert_eq!(found.status, Status::Unknown);
        let why = "1 of 5 values of WAL fsync above 10ms: too few for a p99";
        assert_eq!(found.message, why);
        assert_eq!(of(slow - 1.0, all - 1.0).status, Status::Unknown);
        // A disk that stands still: a dozen syncs in a minute, each of seconds.
        assert_eq!(of(slow, slow).severity, Severity::Critical);
        assert_eq!(of(slow, 12.0).status, Status::Fail);
        assert_eq!(of(2.0, all).status, Status::Fail);
        assert_eq!(of(0.0, 5.0).status, Status::Pass);
    }

    #[test]
    fn ten_times_worse_is_critical() {
        let critical = crate::profile::Profile::default().get("wal-fsync-p99-critical");
        let stalled = with(&[(critical, 1.0), (critical * 2.0, 99.0)]);
        assert_eq!(stalled.status(&RULE), (Status::Fail, Severity::Critical));
    }
}
