//! A member of the list does not answer, or may not be asked.

use std::collections::BTreeSet;

use crate::evidence::{Missing, Row, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "member-unreachable",
    summary: "a member of etcd does not answer",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "member-unreachable",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let (cluster, members) = cx.evidence.any(&keys::ETCD_MEMBERS)?;
    cx.evidence.take_citations();
    let is = |row: &&Row, state: &str| row.get_text("state") == Some(state);
    let voters: Vec<&Row> = members
        .rows
        .iter()
        .filter(|row| row.get("learner") != Some(1.0))
        .collect();
    let quorum = voters.len() / 2 + 1;
    let led = leaders(cx);
    let leads = |row: &Row| row.get_text("id").is_some_and(|id| led.contains(id));
    // One that refuses us may well serve its peers, and one that they follow does.
    let lost = voters
        .iter()
        .filter(|row| (is(row, "silent") || is(row, "unstarted")) && !leads(row))
        .count();
    let left = voters.len() - lost;
    let drafts = members
        .rows
        .iter()
        .filter(|row| is(row, "silent") || is(row, "refuses") || is(row, "unstarted"))
        .map(|row| {
            let why = row.get_text("why").unwrap_or("it was added and never started");
            cx.evidence
                .cite_as(&keys::ETCD_MEMBERS, &cluster, format!("{}: {why}", row.key));
            let learner = row.get("learner") == Some(1.0);
            let (severity, rest) = if is(&row, "refuses") {
                (Severity::Warn, "it may be well, and could not be looked at".to_owned())
            } else if leads(row) {
                (
                    Severity::Warn,
                    "it leads the others and confirms their reads, so it is alive: only this address cannot be reached from here".to_owned(),
                )
            } else if learner {
                (Severity::Warn, "it is a learner and does not count for the quorum".to_owned())
            } else if left < quorum {
                (
                    Severity::Critical,
                    format!("{left} of {} members are left, {quorum} are needed: nothing can be written", voters.len()),
                )
            } else if left == quorum {
                (
                    Severity::Warn,
                    format!("{left} of {} members are left: the next failure stops all writes", voters.len()),
                )
            } else {
                (Severity::Warn, format!("{left} of {} members are left", voters.len()))
            };
            // From here a network fault looks like a dead member.
            let confidence = match row.get_text("kind") {
                Some("timed-out" | "no-route" | "unresolved") => Confidence::Medium,
                _ => Confidence::High,
            };
            let place = row
                .get_text("endpoint")
                .map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
            Draft::new(
                Subject::new(SubjectKind::Member, &row.key),
                severity,
                format!("{}{place}: {why}; {rest}", row.key),
            )
            .confidence(confidence)
            .threshold("etcd FAQ: a cluster of n members needs n/2 + 1 of them")
            .cites(cx.evidence.take_citations())
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

/// Ids of the leaders that confirmed a read just now. To be followed is not enough: voters follow a
/// dead leader until their election timeout, learners for ever.
fn leaders(cx: &Context<'_>) -> BTreeSet<String> {
    let all = cx.evidence.some(&keys::ETCD_STATUS).unwrap_or_default();
    let confirmed = |subject: &Subject| {
        let reads = cx.evidence.get(&keys::ETCD_READS, subject).ok();
        let row = reads.as_ref().and_then(|reads| reads.row("linearizable"));
        row.is_some_and(|row| row.get("p50_ms").is_some() && row.get_text("error").is_none())
    };
    let found = all
        .iter()
        .filter(|(subject, _)| confirmed(subject))
        .filter_map(|(_, table)| table.row("status")?.get_text("leader"))
        .map(str::to_owned)
        .collect();
    cx.evidence.take_citations();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn with(states: &[(&str, f64)]) -> Set {
        let rows = states
            .iter()
            .enumerate()
            .map(|(at, (state, learner))| {
                Row::new(format!("m{at}"))
                    .num("learner", *learner)
                    .text("state", *state)
                    .text("kind", "refused")
                    .text("why", "nothing listens there")
            })
            .collect();
        Set::new().put(
            &keys::ETCD_MEMBERS,
            Subject::cluster(),
            Table {
                rows,
                ..Table::default()
            },
        )
    }

    #[test]
    fn severity_follows_the_quorum() {
        let up = ("answers", 0.0);
        let down = ("silent", 0.0);
        assert_eq!(with(&[up, up, up]).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(&[up, up, down]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let two = with(&[up, down, down]).check(&RULE);
        assert_eq!(two.len(), 2);
        assert!(
            two.iter().all(|f| f.severity == Severity::Critical),
            "{two:?}"
        );
        assert!(two[0].message.contains("1 of 3"), "{two:?}");
        // A learner never counts, and one that only refuses us is not lost.
        assert_eq!(with(&[up, ("silent", 1.0)]).status(&RULE).1, Severity::Warn);
        assert_eq!(
            with(&[up, ("refuses", 0.0)]).status(&RULE).1,
            Severity::Warn
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn a_leader_that_others_follow_is_not_lost() {
        let member = |name: &str, id: &str, state: &str| {
            Row::new(name)
                .num("learner", 0.0)
                .text("id", id)
                .text("state", state)
                .text("kind", "refused")
                .text("why", "nothing listens there")
        };
        let rows = ["silent", "answers", "answers"];
        let rows = rows.iter().enumerate();
        let rows = rows.map(|(at, state)| member(&format!("m{at}"), &format!("a{at}"), state));
        let table = |rows: Vec<Row>| Table {
            rows,
            ..Table::default()
        };
        let found = |leader: &str, confirms: bool| {
            let status = Row::new("status").num("term", 2.0).text("leader", leader);
            let m1 = Subject::new(SubjectKind::Member, "m1");
            let mut reads = Row::new("linearizable").num("p50_ms", 0.9);
            if !confirms {
                reads = reads.text("error", "timed out");
            }
            Set::new()
                .put(&keys::ETCD_READS, m1.clone(), table(vec![reads]))
                .put(
                    &keys::ETCD_MEMBERS,
                    Subject::cluster(),
                    table(rows.clone().collect()),
                )
                .put(&keys::ETCD_STATUS, m1, table(vec![status]))
                .check(&RULE)
                .remove(0)
                .message
        };
        let living = found("a0", true);
        assert!(
            living.contains("it is alive") && !living.contains("are left"),
            "{living}"
        );
        // Another leads, or they follow one that may be dead since a moment.
        for told in [found("a1", true), found("a0", false)] {
            assert!(told.contains("2 of 3 members are left"), "{told}");
        }
    }
}
