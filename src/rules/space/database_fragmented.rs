//! Much of the database file is free pages that only a defragmentation gives back.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "database-fragmented",
    summary: "much of the database file is free pages",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "database-fragmented",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("fragmentation");
    let least = cx.profile.get("fragmentation-min-size");
    let mut drafts = Vec::new();
    let mut looked = false;
    for (subject, series) in cx.evidence.some(&keys::DB_SIZE)? {
        let Some(last) = series.points.last() else {
            continue;
        };
        // A small file is no matter, whatever of it is free.
        looked |= last.value < least;
        let Some(in_use) = cx.evidence.peek(&keys::DB_IN_USE, &subject) else {
            continue;
        };
        looked = true;
        let free = last.value - in_use;
        if last.value < least || free / last.value < limit.value {
            continue;
        }
        cx.evidence
            .cite_as(&keys::DB_SIZE, &subject, number(last.value, Unit::Bytes));
        cx.evidence.cite(&keys::DB_IN_USE, &subject);
        // Free pages are reused: only a file near its quota makes them matter.
        let near = cx
            .evidence
            .peek(&keys::DB_QUOTA, &subject)
            .is_some_and(|quota| {
                quota > 0.0 && last.value / quota >= cx.profile.get("quota-used-info")
            });
        let severity = if near { Severity::Warn } else { Severity::Info };
        drafts.push(
            Draft::new(
                subject,
                severity,
                format!(
                    "{} of {} are free pages ({:.0} %)",
                    number(free, Unit::Bytes),
                    number(last.value, Unit::Bytes),
                    free / last.value * 100.0
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "how much of the database file is in use is not known: etcd tells it from 3.4 on"
                .to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Series};
    use crate::rules::Status;
    use crate::rules::testing::{Set, member};

    fn with(size: f64, in_use: f64, quota: f64) -> Set {
        let points = vec![Point {
            at: Timestamp(0),
            value: size,
        }];
        Set::new()
            .put(&keys::DB_SIZE, member(), Series { points })
            .put(&keys::DB_IN_USE, member(), in_use)
            .put(&keys::DB_QUOTA, member(), quota)
    }

    /// etcd 3.3 does not tell how much is in use.
    #[test]
    fn without_what_is_in_use_it_is_not_told() {
        let size = |value| {
            let points = vec![Point {
                at: Timestamp(0),
                value,
            }];
            Set::new().put(&keys::DB_SIZE, member(), Series { points })
        };
        assert_eq!(size(1e9).status(&RULE).0, Status::Unknown);
        assert_eq!(size(9e7).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn free_pages_matter_near_the_quota() {
        assert_eq!(with(1e9, 0.56e9, 1e10).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(1e9, 0.55e9, 1e10).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with(1e9, 0.55e9, 1.2e9).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(9e7, 1e7, 1e10).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
