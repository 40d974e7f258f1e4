//! There is, or was for a while, no leader: nothing can be written meanwhile.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "leader-missing",
    summary: "etcd had no leader",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "leader-missing",
    check,
};

/// A leader that found itself without a quorum.
const LOST: &[&str] = &["quorum-lost"];
/// Requests dropped for want of a leader: a start alone makes some.
const DROPPED: &[&str] = &["no-leader-drop"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let metrics = cx.evidence.some(&keys::HAS_LEADER);
    let least = cx.profile.get("leader-missing-drops");
    let lost = events::seen(cx, LOST);
    let dropped = events::often(cx, &[DROPPED], |count| count >= least);
    let logs = match (lost, dropped) {
        (Ok(mut lost), Ok(dropped)) => {
            lost.extend(dropped);
            Ok(lost)
        }
        (Err(why), _) | (_, Err(why)) => Err(why),
    };
    let mut drafts = Vec::new();
    if let Ok(metrics) = &metrics {
        for (subject, series) in metrics {
            let without = series
                .points
                .iter()
                .filter(|point| point.value < 0.5)
                .count();
            if without == 0 {
                continue;
            }
            cx.evidence.cite_as(
                &keys::HAS_LEADER,
                subject,
                format!("no leader at {without} of {} looks", series.points.len()),
            );
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Critical,
                    format!("no leader at {without} of {} looks", series.points.len()),
                )
                .threshold("a member without a leader serves no writes and no linearizable reads")
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let Ok(logs) = &logs {
        for seen in logs {
            events::cite(cx, seen, "messages about a missing leader or quorum");
            drafts.push(
                Draft::new(
                    seen.subject.clone(),
                    Severity::Critical,
                    format!(
                        "{:.0} messages that the leader or the quorum was missing",
                        seen.count
                    ),
                )
                .threshold("a member without a leader serves no writes and no linearizable reads")
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    Verdict::of_either(drafts, metrics, logs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Series};
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn one_scrape_without_a_leader_is_critical() {
        let with = |values: &[f64]| {
            let points = values
                .iter()
                .enumerate()
                .map(|(i, value)| Point {
                    at: Timestamp(i as i64),
                    value: *value,
                })
                .collect();
            Set::new().put(&keys::HAS_LEADER, member(), Series { points })
        };
        assert_eq!(with(&[1.0, 1.0]).status(&RULE).0, Status::Pass);
        // A look may be a scrape or a member's answer.
        let message = &with(&[1.0, 0.0]).check(&RULE)[0].message;
        assert_eq!(message, "no leader at 1 of 2 looks");
        assert_eq!(
            with(&[1.0, 0.0]).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        let logs = Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[("quorum-lost", &[("count", 1.0)])]),
        );
        assert_eq!(logs.status(&RULE), (Status::Fail, Severity::Critical));
        let least = crate::profile::Profile::default().get("leader-missing-drops");
        let drops = |n: f64| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                member(),
                table(&[("no-leader-drop", &[("count", n)])]),
            )
        };
        assert_eq!(
            drops(least).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(drops(least - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
