//! One member differs from the others: the fault is there, not in the cluster.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "member-odd-one-out",
    summary: "one member is much slower than the others",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "member-odd-one-out",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let factor = cx.profile.limit("odd-member-factor");
    let floor = cx.profile.get("wal-fsync-p99");
    let all = cx.evidence.some(&keys::WAL_FSYNC)?;
    cx.evidence.take_citations();
    // A mean of few syncs is an accident.
    let mut means: Vec<_> = all
        .into_iter()
        .filter(|(_, syncs)| syncs.count() >= 50.0)
        .filter_map(|(subject, syncs)| Some((subject, syncs.mean()?)))
        .collect();
    if means.len() < 2 {
        return Ok(Verdict::NotApplicable("one member was measured".to_owned()));
    }
    means.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (Some((slow, mean)), Some((_, next))) = (means.first(), means.get(1)) else {
        return Ok(Verdict::Pass);
    };
    if *mean < floor || *mean < next * factor.value {
        return Ok(Verdict::Pass);
    }
    for (subject, _) in &means {
        cx.evidence.cite(&keys::WAL_FSYNC, subject);
    }
    Ok(Verdict::fail(
        Draft::new(
            slow.clone(),
            Severity::Warn,
            format!(
                "{} needs {} for a WAL fsync on average, the next slowest member {}",
                slow.name,
                number(*mean, Unit::Ms),
                number(*next, Unit::Ms)
            ),
        )
        .confidence(Confidence::High)
        .threshold(factor.words()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram};

    fn with(means: &[f64]) -> Set {
        means
            .iter()
            .enumerate()
            .fold(Set::new(), |set, (at, mean)| {
                // The helper's sum is 0.7 of the bound.
                let syncs = histogram(&[(mean / 0.7, 100.0)]);
                set.put(
                    &keys::WAL_FSYNC,
                    Subject::new(SubjectKind::Member, format!("m{at}")),
                    syncs,
                )
            })
    }

    #[test]
    fn one_slow_member_of_three_is_named() {
        let findings = with(&[2.0, 100.0, 3.0]).check(&RULE);
        assert_eq!(findings[0].subject.name, "m1");
        assert_eq!(with(&[90.0, 100.0, 80.0]).status(&RULE).0, Status::Pass);
        assert_eq!(with(&[1.0, 9.0, 1.0]).status(&RULE).0, Status::Pass);
        assert_eq!(with(&[100.0]).status(&RULE).0, Status::NotApplicable);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
