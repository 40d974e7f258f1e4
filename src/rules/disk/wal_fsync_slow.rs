//! WAL fsync, as etcd measured it, is slower than etcd needs. A symptom of the disk or of the CPU: the diagnosis tells which.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::phases;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

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
    let limit = cx.profile.limit("wal-fsync-p99");
    let critical = cx.profile.limit("wal-fsync-p99-critical");
    let mut drafts = Vec::new();
    for (subject, histogram) in cx.evidence.some(&keys::WAL_FSYNC)? {
        // Buckets give a bracket. Only when the whole bracket lies above the limit is it passed.
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        let worst = cx
            .evidence
            .peek(&keys::WAL_FSYNC_PHASES, &subject)
            .and_then(|table| phases::worst(&table))
            .filter(|worst| worst.low > low);
        // A window that is fast as a whole can hold minutes of standstill.
        let phase_alone = low < limit.value;
        if phase_alone
            && worst
                .as_ref()
                .is_none_or(|worst| worst.low < critical.value)
        {
            continue;
        }
        cx.evidence.cite(&keys::WAL_FSYNC, &subject);
        let severity = if low >= critical.value {
            Severity::Critical
        } else {
            Severity::Warn
        };
        let between = |low: f64, high: f64| {
            if high.is_finite() {
                format!(
                    "between {} and {}",
                    number(low, Unit::Ms),
                    number(high, Unit::Ms)
                )
            } else {
                format!("between {} and ∞", number(low, Unit::Ms))
            }
        };
        let whole = format!(
            "{} (mean {}, {:.0} values)",
            between(low, high),
            histogram
                .mean()
                .map_or_else(|| "?".to_owned(), |mean| number(mean, Unit::Ms)),
            histogram.count(),
        );
        let worst = worst.map(|worst| {
            let words = worst.words();
            cx.evidence.cite_as(
                &keys::WAL_FSYNC_PHASES,
                &subject,
                format!("WAL fsync p99 {words}"),
            );
            words
        });
        let message = match worst {
            Some(worst) if phase_alone => {
                format!("WAL fsync p99 was {worst}; over the whole window it is {whole}")
            }
            Some(worst) => format!("WAL fsync p99 is {whole}; at its worst {worst}"),
            None => format!("WAL fsync p99 is {whole}"),
        };
        let threshold = if phase_alone { critical } else { limit };
        drafts.push(
            Draft::new(subject, severity, message)
                .threshold(threshold.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
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
        let phase = |low: f64| {
            with(&[(1.0, 1000.0)]).put(
                &keys::WAL_FSYNC_PHASES,
                member(),
                table(&[(
                    "2026-11-21T20:57:04Z",
                    &[("count", 60.0), ("p99_low_ms", low), ("secs", 30.0)],
                )]),
            )
        };
        let findings = phase(critical).check(&RULE);
        assert!(findings[0].failed());
        assert!(
            findings[0].message.contains("from 20:57:04 to 20:57:34"),
            "{}",
            findings[0].message
        );
        assert_eq!(phase(critical - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn ten_times_worse_is_critical() {
        let critical = crate::profile::Profile::default().get("wal-fsync-p99-critical");
        let stalled = with(&[(critical, 1.0), (critical * 2.0, 99.0)]);
        assert_eq!(stalled.status(&RULE), (Status::Fail, Severity::Critical));
    }
}
