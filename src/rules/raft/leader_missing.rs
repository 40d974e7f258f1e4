//! There is, or was for a while, no leader: nothing can be written meanwhile.

use crate::evidence::{Episode, Missing, Subject, keys};
use crate::rules::events;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

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
/// A member that hears of no leader any more, those that it hears of, and its campaigns.
const GONE: &str = "leader-lost";
const FOUND: &[&str] = &["leader-elected", "leader-changed"];
const CAMPAIGN: &str = "election-started";
/// Clocks of one log: what is written in one moment may stand in any order.
const MOMENT_US: i64 = 1_000_000;

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
    let campaigns = cx.evidence.all(&keys::LOGS_EPISODES);
    cx.evidence.take_citations();
    for (subject, list) in campaigns {
        let known = drafts.iter().any(|draft| draft.is_about(&subject));
        if !known && let Some(draft) = leaderless(cx, &subject, &list.episodes) {
            drafts.push(draft);
        }
    }
    Verdict::of_either(drafts, metrics, logs)
}

/// A member that campaigns until the end of its log, and of which no one becomes leader.
fn leaderless(cx: &Context<'_>, member: &Subject, episodes: &[Episode]) -> Option<Draft> {
    let least = cx.profile.limit("leader-missing-for");
    let last = |kinds: &[&str]| {
        let all = episodes.iter();
        all.filter(|episode| kinds.contains(&episode.kind.as_str()))
            .map(|episode| episode.to)
            .max()
    };
    let lost = last(&[GONE])?;
    let campaign = last(&[CAMPAIGN])?;
    // An election that was won ends it.
    let won = last(FOUND).is_some_and(|won| won.since_us(lost) > -MOMENT_US);
    let us = campaign.since_us(lost);
    if won || us as f64 / 1e3 < least.value {
        return None;
    }
    let words = format!(
        "{} lost its leader and campaigned without one for {}, until the end of its log",
        member.name,
        format_ms(us as f64 / 1e3)
    );
    cx.evidence
        .cite_as(&keys::LOGS_EPISODES, member, words.clone());
    Some(
        Draft::new(member.clone(), Severity::Critical, words)
            .threshold(least.words())
            .cites(cx.evidence.take_citations()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Series};
    use crate::rules::Status;
    use crate::rules::testing::{Set, episode, episodes, member, table};

    #[test]
    fn campaigns_that_nobody_wins_are_a_missing_leader() {
        let with = |campaign: i64, elected: i64| {
            let all = episodes(vec![
                episode("leader-elected", elected, elected),
                episode("leader-lost", 100, 100),
                episode(CAMPAIGN, 100, campaign),
            ]);
            let events = table(&[("leader-lost", &[("count", 1.0)])]);
            Set::new()
                .put(&keys::LOGS_EVENTS, member(), events)
                .put(&keys::LOGS_EPISODES, member(), all)
                .status(&RULE)
        };
        assert_eq!(with(110, 10), (Status::Fail, Severity::Critical));
        assert_ne!(with(109, 10).0, Status::Fail);
        assert_ne!(with(160, 161).0, Status::Fail);
    }

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
