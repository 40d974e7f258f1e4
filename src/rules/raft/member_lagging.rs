//! A member is far behind: its log, or what it has applied of it.

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

use super::behind;

/// The rule.
pub static RULE: Rule = Rule {
    id: "member-lagging",
    summary: "a member of etcd is far behind the others",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "member-lagging",
    check,
};

/// A member that fell out of the log gets the whole database.
const KINDS: &[&str] = &["db-snapshot-received"];

/// The same, told by who sends it.
const SENT: &[&str] = &["db-snapshot-sending"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let live = live(cx);
    // A live look is taken at one moment at all members.
    let metrics = match &live {
        Ok(_) => Ok(Vec::new()),
        Err(_) => metrics(cx),
    };
    let snapshots = snapshots(cx);
    match (live, metrics, snapshots) {
        (Err(why), Err(_), Err(_)) => Err(why),
        (live, metrics, snapshots) => Ok(Verdict::Fail(
            [live, metrics, snapshots]
                .into_iter()
                .flatten()
                .flatten()
                .collect(),
        )),
    }
}

/// Members that a live etcd tells to be behind.
fn live(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let (cluster, lag) = cx.evidence.any(&keys::ETCD_LAG)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    let members = cx.evidence.peek(&keys::ETCD_MEMBERS, &cluster);
    let learns = |name: &str| {
        let row = members.as_ref().and_then(|members| members.row(name));
        row.is_some_and(|row| row.get("learner") == Some(1.0))
    };
    for row in lag.rows.iter().filter(|row| !learns(&row.key)) {
        let (behind, unapplied) = (
            row.get("behind").unwrap_or_default(),
            row.get("unapplied").unwrap_or_default(),
        );
        let looks = row.get("looks").unwrap_or_default();
        let about = Subject::new(SubjectKind::Member, &row.key);
        let Some(draft) = draft(cx, about, behind.max(unapplied), looks) else {
            continue;
        };
        let message = if behind >= unapplied {
            format!("{} is {behind:.0} entries behind the longest log", row.key)
        } else {
            format!(
                "{} has {unapplied:.0} entries in its log that it has not applied",
                row.key
            )
        };
        cx.evidence
            .cite_as(&keys::ETCD_LAG, &cluster, message.clone());
        drafts.push(draft(message).cites(cx.evidence.take_citations()));
    }
    Ok(drafts)
}

/// Members whose metrics, put beside those of the others, tell the same.
fn metrics(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let mut drafts = Vec::new();
    let learners = learners(cx);
    for found in behind::by_metrics(cx)? {
        if learners.contains(&found.subject) {
            continue;
        }
        let (entries, unapplied) = (found.entries, found.unapplied);
        let about = found.subject.clone();
        let worst = entries.max(unapplied);
        #[expect(clippy::cast_precision_loss, reason = "scrapes are few")]
        let Some(draft) = draft(cx, about, worst, found.looks as f64) else {
            continue;
        };
        let name = &found.subject.name;
        let message = if entries >= unapplied {
            format!("{name} has applied at least {entries:.0} entries less than another member")
        } else {
            format!("{name} has {unapplied:.0} committed entries that it has not applied")
        };
        cx.evidence
            .cite_as(&keys::PROPOSALS_APPLIED, &found.subject, message.clone());
        if unapplied > entries {
            cx.evidence.cite(&keys::PROPOSALS_COMMITTED, &found.subject);
        }
        drafts.push(draft(message).cites(cx.evidence.take_citations()));
    }
    Ok(drafts)
}

/// Members that said at every scrape that they learn. They do not vote, and are behind until they have
/// caught up: `learner-not-promoted` judges whether they do.
fn learners(cx: &Context<'_>) -> Vec<Subject> {
    let said = cx.evidence.all(&keys::IS_LEARNER).into_iter();
    said.filter(|(_, said)| !said.points.is_empty())
        .filter(|(_, said)| said.points.iter().all(|point| point.value == 1.0))
        .map(|(subject, _)| subject)
        .collect()
}

/// How a lag is judged, if it is one.
fn draft(
    cx: &Context<'_>,
    about: Subject,
    worst: f64,
    looks: f64,
) -> Option<impl FnOnce(String) -> Draft> {
    let limit = cx.profile.limit("raft-lag");
    let urgent = cx.profile.limit("raft-lag-critical");
    if worst < limit.value {
        return None;
    }
    let (severity, limit) = if worst >= urgent.value {
        (Severity::Critical, urgent)
    } else {
        (Severity::Warn, limit)
    };
    // One look may have met a burst.
    let confidence = if looks >= 2.0 {
        Confidence::High
    } else {
        Confidence::Medium
    };
    let threshold = limit.words();
    Some(move |message| {
        Draft::new(about, severity, message)
            .confidence(confidence)
            .threshold(threshold)
    })
}

/// Members that got the whole database again and again, or else who sent it to them.
fn snapshots(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let limit = cx.profile.limit("whole-snapshots");
    let often = |kinds| {
        let mut seen = events::seen(cx, kinds)?;
        // A member that is replaced now and then gets one each time.
        seen.retain(|seen| seen.hourly >= limit.value);
        Ok::<_, Missing>(seen)
    };
    let received = often(KINDS)?;
    let sent = often(SENT)?;
    let (seen, words, what) = match received.is_empty() {
        false => (received, "got the whole database", "databases received"),
        true => (
            sent,
            "sent its whole database to members that lag",
            "databases sent",
        ),
    };
    Ok(seen
        .iter()
        .map(|seen| {
            events::cite(cx, seen, what);
            let message = format!("{} {words} {:.0} times", seen.subject.called(), seen.count);
            Draft::new(seen.subject.clone(), Severity::Warn, message)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations())
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn metrics_of_several_members_are_put_side_by_side() {
        let profile = crate::profile::Profile::default();
        let (limit, urgent) = (profile.get("raft-lag"), profile.get("raft-lag-critical"));
        let with = |values: &[f64]| {
            // One entry a second: 150 in the time that is in doubt.
            let set = behind::testing::applied(Set::new(), "m0", &[2e5, 200_060.0, 200_120.0]);
            // Another etcd has a log of its own.
            let set = behind::testing::applied(set, "m1/events", &[10.0, 20.0, 30.0]);
            behind::testing::applied(set, "m1", values).check(&RULE)
        };
        let found = with(&[1e5, 1.1e5, 1.2e5]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(&*found[0].subject.name, "m1");
        assert_eq!(
            (found[0].severity, found[0].confidence),
            (Severity::Critical, Confidence::High)
        );
        // The smallest lag of all looks counts.
        let near = 200_060.0 - 150.0 - limit;
        assert_eq!(with(&[1e5, near, 1e5])[0].severity, Severity::Warn);
        assert!(!with(&[1e5, near + 1.0, 1e5])[0].failed());
        assert!(!with(&[2e5, 200_060.0, 200_120.0])[0].failed());
        // One that has just started has applied nothing yet.
        assert!(!with(&[0.0, 200_060.0, 200_120.0])[0].failed());
        let one = with(&[2e5 - 150.0 - urgent]);
        assert_eq!(one[0].confidence, Confidence::Medium);
    }

    #[test]
    fn a_member_that_gets_the_database_again_and_again_lags() {
        let limit = crate::profile::Profile::default().get("whole-snapshots");
        for kind in [KINDS[0], SENT[0]] {
            let with = |count: f64| {
                Set::new().put(
                    &keys::LOGS_EVENTS,
                    member(),
                    table(&[(kind, &[("count", count)])]),
                )
            };
            assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Warn));
            assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        }
    }

    #[test]
    fn a_learner_may_be_behind() {
        use crate::rules::testing::each_minute;
        let set = behind::testing::applied(Set::new(), "m0", &[2e5, 2e5]);
        let set = behind::testing::applied(set, "m1", &[1e4, 2e4]);
        assert_eq!(set.status(&RULE).1, Severity::Critical);
        let about = Subject::new(SubjectKind::Member, "m1");
        let set = set.put(&keys::IS_LEARNER, about, each_minute(&[1.0, 1.0]));
        assert_eq!(set.status(&RULE).0, Status::Pass);
        let learns: &[(&str, f64)] = &[("learner", 1.0)];
        let live = with(1e6, 0.0);
        assert_eq!(live.status(&RULE).1, Severity::Critical);
        let live = live.put(
            &keys::ETCD_MEMBERS,
            Subject::cluster(),
            table(&[("m0", learns)]),
        );
        assert_eq!(live.status(&RULE).0, Status::Pass);
    }

    fn with(behind: f64, unapplied: f64) -> Set {
        let row: &[(&str, f64)] = &[("behind", behind), ("unapplied", unapplied), ("looks", 2.0)];
        Set::new().put(&keys::ETCD_LAG, Subject::cluster(), table(&[("m0", row)]))
    }

    #[test]
    fn both_kinds_of_lag() {
        let profile = crate::profile::Profile::default();
        let (limit, urgent) = (profile.get("raft-lag"), profile.get("raft-lag-critical"));
        assert_eq!(with(limit - 1.0, limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit, 0.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let unapplied = with(0.0, urgent).check(&RULE);
        assert_eq!(unapplied[0].severity, Severity::Critical);
        assert!(unapplied[0].message.contains("not applied"));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
