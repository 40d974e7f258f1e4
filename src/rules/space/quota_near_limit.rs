//! The database comes near its quota.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "quota-near-limit",
    summary: "the database comes near its quota",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "quota-near-limit",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let steps = [
        ("quota-used-critical", Severity::Critical),
        ("quota-used-warn", Severity::Warn),
        ("quota-used-info", Severity::Info),
    ];
    let mut drafts = Vec::new();
    let mut looked = false;
    let measured = cx.evidence.some(&keys::DB_SIZE);
    let logged = cx.evidence.all(&keys::LOGS_DB_SIZE);
    cx.evidence.take_citations();
    let sizes = match measured {
        Err(why) if logged.is_empty() => return Err(why),
        sizes => sizes.unwrap_or_default(),
    };
    // What compactions say of the size counts for members without metrics.
    let unmeasured: Vec<_> = logged
        .into_iter()
        .filter(|(member, _)| !sizes.iter().any(|(have, _)| have == member))
        .collect();
    let of_metrics = sizes.len();
    for (at, (subject, series)) in sizes.into_iter().chain(unmeasured).enumerate() {
        let (Some(last), Some(quota)) = (
            series.points.last(),
            cx.evidence.peek(&keys::DB_QUOTA, &subject),
        ) else {
            continue;
        };
        looked = true;
        let share = last.value / quota;
        // A negative quota means none.
        let step = steps
            .iter()
            .find(|(name, _)| quota > 0.0 && share >= cx.profile.get(name));
        let Some((name, severity)) = step else {
            continue;
        };
        let size = number(last.value, Unit::Bytes);
        if at < of_metrics {
            cx.evidence.cite_as(&keys::DB_SIZE, &subject, size);
        } else {
            cx.evidence.cite_as(&keys::LOGS_DB_SIZE, &subject, size);
        }
        cx.evidence.cite(&keys::DB_QUOTA, &subject);
        cx.evidence.cite(&keys::DB_IN_USE, &subject);
        drafts.push(
            Draft::new(
                subject,
                *severity,
                format!(
                    "the database uses {:.0} % of its quota ({} of {})",
                    share * 100.0,
                    number(last.value, Unit::Bytes),
                    number(quota, Unit::Bytes)
                ),
            )
            .threshold(cx.profile.limit(name).words())
            .cites(cx.evidence.take_citations()),
        );
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "the quota in force is not known".to_owned(),
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

    fn with(share: f64) -> Set {
        let points = vec![Point {
            at: Timestamp(0),
            value: share * 1e9,
        }];
        Set::new()
            .put(&keys::DB_SIZE, member(), Series { points })
            .put(&keys::DB_QUOTA, member(), 1e9)
    }

    #[test]
    fn a_log_tells_the_size_of_a_member_without_metrics() {
        let points = vec![Point {
            at: Timestamp(0),
            value: 0.9e9,
        }];
        let set = Set::new()
            .put(&keys::LOGS_DB_SIZE, member(), Series { points })
            .put(&keys::DB_QUOTA, member(), 1e9);
        assert_eq!(set.status(&RULE), (Status::Fail, Severity::Critical));
        // Metrics go before it.
        let points = vec![Point {
            at: Timestamp(0),
            value: 0.1e9,
        }];
        let set = set.put(&keys::DB_SIZE, member(), Series { points });
        assert_eq!(set.status(&RULE).0, Status::Pass);
    }

    #[test]
    fn three_steps() {
        assert_eq!(with(0.649).status(&RULE).0, Status::Pass);
        assert_eq!(with(0.65).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(0.75).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(0.85).status(&RULE), (Status::Fail, Severity::Critical));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
