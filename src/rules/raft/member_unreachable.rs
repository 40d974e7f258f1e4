//! A member of the list does not answer, or may not be asked.

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
    // One that refuses us may well serve its peers.
    let lost = voters
        .iter()
        .filter(|row| is(row, "silent") || is(row, "unstarted"))
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
}
