//! Backend commits, as etcd measured them, are slower than etcd needs. A symptom of the disk, of the CPU or of a large database.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::phases;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

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
    let limit = cx.profile.limit("backend-commit-p99");
    let critical = cx.profile.limit("wal-fsync-p99-critical");
    let mut drafts = Vec::new();
    for (subject, histogram) in cx.evidence.some(&keys::WAL_COMMIT)? {
        // Buckets give a bracket. Only when the whole bracket lies above the limit is it passed.
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        // A window that is fast as a whole can hold a bad phase: told from the point on where a
        // heartbeat waits for it.
        let worst = cx
            .evidence
            .peek(&keys::COMMIT_PHASES, &subject)
            .and_then(|table| phases::worst(&table))
            .filter(|worst| worst.low > low && worst.low >= critical.value);
        if low < limit.value && worst.is_none() {
            continue;
        }
        cx.evidence.cite(&keys::WAL_COMMIT, &subject);
        let whole = format!(
            "between {} and {} (mean {}, {:.0} values)",
            number(low, Unit::Ms),
            if high.is_finite() {
                number(high, Unit::Ms)
            } else {
                "∞".to_owned()
            },
            histogram
                .mean()
                .map_or_else(|| "?".to_owned(), |mean| number(mean, Unit::Ms)),
            histogram.count(),
        );
        let message = match &worst {
            Some(worst) => {
                let words = worst.words();
                cx.evidence.cite_as(
                    &keys::COMMIT_PHASES,
                    &subject,
                    format!("backend commit p99 {words}"),
                );
                if low < limit.value {
                    format!("backend commit p99 was {words}; over the whole window it is {whole}")
                } else {
                    format!("backend commit p99 is {whole}; at its worst {words}")
                }
            }
            None => format!("backend commit p99 is {whole}"),
        };
        let threshold = if low < limit.value {
            critical.words()
        } else {
            limit.words()
        };
        drafts.push(
            Draft::new(subject, Severity::Warn, message)
                .threshold(threshold)
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
        let phase = |low: f64| {
            with(&[(1.0, 1000.0)]).put(
                &keys::COMMIT_PHASES,
                member(),
                table(&[(
                    "2026-11-21T20:57:04Z",
                    &[("count", 60.0), ("p99_low_ms", low), ("secs", 30.0)],
                )]),
            )
        };
        let message = phase(critical).check(&RULE)[0].message.clone();
        assert!(message.contains("from 20:57:04 to 20:57:34"), "{message}");
        assert_eq!(phase(critical - 1.0).status(&RULE).0, Status::Pass);
    }
}
