//! Backend commits, as etcd measured them, are slower than etcd needs. A symptom of the disk, of the CPU or of a large database.

use crate::evidence::{Missing, Unit, keys, number};
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
    let mut drafts = Vec::new();
    for (subject, histogram) in cx.evidence.some(&keys::WAL_COMMIT)? {
        // Buckets give a bracket. Only when the whole bracket lies above the limit is it passed.
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        if low < limit.value {
            continue;
        }
        cx.evidence.cite(&keys::WAL_COMMIT, &subject);
        let severity = Severity::Warn;
        drafts.push(
            Draft::new(
                subject,
                severity,
                format!(
                    "backend commit p99 is between {} and {} (mean {}, {:.0} values)",
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
                ),
            )
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
    use crate::rules::testing::{Set, histogram, member};

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
}
