//! A member only learns: it adds load and no safety until it is promoted.

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

use super::behind::{self, Going};

/// The rule.
pub static RULE: Rule = Rule {
    id: "learner-not-promoted",
    summary: "a member is still a learner and does not vote",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "learner-not-promoted",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    match (live(cx), metrics(cx)) {
        (Ok(drafts), _) | (Err(_), Ok(drafts)) => Ok(Verdict::Fail(drafts)),
        (Err(why), Err(_)) => Err(why),
    }
}

/// Learners by the member list of a live etcd.
fn live(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let (cluster, members) = cx.evidence.any(&keys::ETCD_MEMBERS)?;
    cx.evidence.take_citations();
    let lag = |name: &str| {
        cx.evidence
            .peek(&keys::ETCD_LAG, &cluster)
            .and_then(|lag| lag.row(name)?.get("behind"))
    };
    let said = cx.evidence.all(&keys::ETCD_STATUS);
    cx.evidence.take_citations();
    let mut statuses = said
        .iter()
        .filter_map(|(_, table)| table.row("status"))
        .peekable();
    let leaderless =
        statuses.peek().is_some() && statuses.all(|row| row.get_text("leader").is_none());
    let drafts = members
        .rows
        .iter()
        .filter(|row| row.get("learner") == Some(1.0))
        .map(|row| {
            cx.evidence
                .cite_as(&keys::ETCD_MEMBERS, &cluster, format!("{} learns", row.key));
            let about = Subject::new(SubjectKind::Member, &row.key);
            let behind = lag(&row.key);
            draft(cx, about, (behind, behind), Going::Unknown, leaderless)
        })
        .collect();
    Ok(drafts)
}

/// Members that said at every scrape that they learn.
fn metrics(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let members = cx.evidence.some(&keys::IS_LEARNER)?;
    cx.evidence.take_citations();
    let lags = behind::by_metrics(cx).unwrap_or_default();
    let leaders = cx.evidence.all(&keys::HAS_LEADER);
    cx.evidence.take_citations();
    let mut last = leaders
        .iter()
        .filter_map(|(_, said)| said.points.last())
        .peekable();
    let leaderless = last.peek().is_some() && last.all(|point| point.value < 0.5);
    let learns = members
        .into_iter()
        .filter(|(_, said)| !said.points.is_empty())
        .filter(|(_, said)| said.points.iter().all(|point| point.value == 1.0));
    Ok(learns
        .map(|(subject, said)| {
            let words = format!("1 at each of {} looks", said.points.len());
            cx.evidence.cite_as(&keys::IS_LEARNER, &subject, words);
            let lag = lags.iter().find(|lag| lag.subject == subject);
            let going = lag.map_or(Going::Unknown, behind::Behind::going);
            let last = lag.map(behind::Behind::last);
            let behind = (lag.map(|lag| lag.entries), last);
            draft(cx, subject, behind, going, leaderless)
        })
        .collect())
}

/// A learner, with how far it is behind: at least, and at the last look. Only a leader promotes one,
/// and knows how far it has come.
fn draft(
    cx: &Context<'_>,
    about: Subject,
    (behind, last): (Option<f64>, Option<f64>),
    going: Going,
    leaderless: bool,
) -> Draft {
    let limit = cx.profile.get("raft-lag");
    // One that has caught up waits for nothing but its promotion.
    let (severity, state) = match (behind, last) {
        _ if leaderless => (
            Severity::Warn,
            "no member has a leader, so that it cannot be promoted now and how far it has come is not known"
                .to_owned(),
        ),
        (Some(behind), Some(last)) if behind < limit => (
            Severity::Warn,
            format!("it is {last:.0} entries behind, near enough to be promoted"),
        ),
        (Some(_), Some(last)) => match going {
            Going::CatchesUp => (
                Severity::Info,
                format!("it is {last:.0} entries behind and still catches up"),
            ),
            Going::FallsBehind => (
                Severity::Warn,
                format!("it is {last:.0} entries behind, and falls further behind"),
            ),
            Going::Unknown => (
                Severity::Info,
                format!("it is {last:.0} entries behind; whether it catches up is not known"),
            ),
        },
        _ => (
            Severity::Warn,
            "how far it has come is not known".to_owned(),
        ),
    };
    let words = format!("{} is a learner and does not vote: {state}", about.name);
    Draft::new(about, severity, words)
        .confidence(Confidence::High)
        .threshold("etcd learner guide: promote a learner once it has caught up")
        .cites(cx.evidence.take_citations())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, each_minute, member, table};

    #[test]
    fn metrics_of_a_member_tell_it_too() {
        let says =
            |set: Set, values: &[f64]| set.put(&keys::IS_LEARNER, member(), each_minute(values));
        let with = |values: &[f64]| says(Set::new(), values).status(&RULE);
        assert_eq!(with(&[1.0, 1.0]), (Status::Fail, Severity::Warn));
        // Promoted in between.
        assert_eq!(with(&[1.0, 0.0]).0, Status::Pass);
        assert_eq!(with(&[0.0, 0.0]).0, Status::Pass);
        // One that still catches up is in order.
        let set = behind::testing::applied(Set::new(), "b", &[9e5, 9e5]);
        let set = behind::testing::applied(set, &member().name, &[1e5, 2e5]);
        let found = says(set, &[1.0, 1.0]).check(&RULE);
        assert_eq!(found[0].severity, Severity::Info);
        assert!(found[0].message.contains("700000 entries behind and still"));
        // One that falls further behind never gets there.
        let set = behind::testing::applied(Set::new(), "b", &[8e5, 9e5]);
        let set = behind::testing::applied(set, &member().name, &[3e5, 3e5]);
        let found = says(set, &[1.0, 1.0]).check(&RULE);
        assert!(found[0].message.contains("not known"), "{found:?}");
        let set = behind::testing::applied(Set::new(), "b", &[9e5, 9e5]);
        let set = behind::testing::applied(set, &member().name, &[3e5, 1e5]);
        let found = says(set, &[1.0, 1.0]).check(&RULE);
        assert_eq!(found[0].severity, Severity::Warn, "{found:?}");
    }

    fn with(learner: f64, behind: f64) -> Set {
        Set::new()
            .put(
                &keys::ETCD_MEMBERS,
                Subject::cluster(),
                table(&[("m0", &[("learner", learner)])]),
            )
            .put(
                &keys::ETCD_LAG,
                Subject::cluster(),
                table(&[("m0", &[("behind", behind)])]),
            )
    }

    #[test]
    fn a_learner_that_caught_up_is_to_be_promoted() {
        assert_eq!(with(0.0, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(1.0, 3.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(1.0, 1e5).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn without_a_leader_none_is_near_enough() {
        let status = |leader: Option<&str>| {
            let row = crate::evidence::Row::new("status");
            let rows = vec![
                leader
                    .into_iter()
                    .fold(row, |row, id| row.text("leader", id)),
            ];
            let table = crate::evidence::Table {
                rows,
                ..crate::evidence::Table::default()
            };
            let set = with(1.0, 0.0).put(&keys::ETCD_STATUS, member(), table);
            set.check(&RULE)[0].message.clone()
        };
        assert!(status(Some("a1")).contains("near enough"));
        let none = status(None);
        assert!(
            none.contains("no member has a leader") && !none.contains("near"),
            "{none}"
        );

        let by_metrics = |has: f64| {
            let set = behind::testing::applied(Set::new(), "b", &[9e5, 9e5]);
            let set = behind::testing::applied(set, &member().name, &[9e5, 9e5]);
            let set = set.put(&keys::IS_LEARNER, member(), each_minute(&[1.0, 1.0]));
            let set = set.put(&keys::HAS_LEADER, member(), each_minute(&[1.0, has]));
            set.check(&RULE)[0].message.clone()
        };
        assert!(by_metrics(1.0).contains("near enough"));
        assert!(by_metrics(0.0).contains("no member has a leader"));
    }
}
