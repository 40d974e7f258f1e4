//! Members see different leaders, or belong to different clusters.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "leader-disputed",
    summary: "members of etcd follow different leaders",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "leader-disputed",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let all = cx.evidence.some(&keys::ETCD_STATUS)?;
    cx.evidence.take_citations();
    let mut leaders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut before: BTreeSet<(String, u64)> = BTreeSet::new();
    let mut clusters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (subject, table) in &all {
        let Some(row) = table.row("status") else {
            continue;
        };
        cx.evidence.cite(&keys::ETCD_STATUS, subject);
        if let Some(cluster) = row.get_text("cluster-id") {
            let who = subject.name.clone();
            clusters.entry(cluster.to_owned()).or_default().push(who);
        }
        // A member without a leader is another fault.
        if let (Some(leader), Some(term)) = (row.get_text("first-leader"), row.get("first_term")) {
            before.insert((leader.to_owned(), term.to_bits()));
        }
        if let (Some(leader), Some(term)) = (row.get_text("leader"), row.get("term")) {
            leaders
                .entry(format!("{leader} (term {term:.0})"))
                .or_default()
                .push(subject.name.clone());
        }
    }
    let words = |of: &BTreeMap<String, Vec<String>>, verb: &str| -> String {
        let words: Vec<String> = of
            .iter()
            .map(|(what, who)| format!("{} {verb} {what}", who.join(", ")))
            .collect();
        words.join("; ")
    };
    if clusters.len() > 1 {
        return Ok(Verdict::fail(
            Draft::new(
                Subject::cluster(),
                Severity::Critical,
                format!(
                    "the addresses lead to {} clusters: {}",
                    clusters.len(),
                    words(&clusters, "of cluster")
                ),
            )
            .confidence(Confidence::High)
            .threshold("all members of a cluster carry its id"),
        ));
    }
    if leaders.len() > 1 {
        // During an election members differ for a moment; what two looks saw lasts.
        let (severity, when) = match before.len() > 1 {
            true => (Severity::Critical, ", at both looks"),
            false => (
                Severity::Warn,
                ", at the last look: an election passes within seconds",
            ),
        };
        let words = format!("{}{when}", words(&leaders, "follows"));
        return Ok(Verdict::fail(
            Draft::new(Subject::cluster(), severity, words)
                .confidence(Confidence::Medium)
                .threshold("all members follow one leader in one term"),
        ));
    }
    if all.len() < 2 {
        return Ok(Verdict::NotApplicable("one member was asked".to_owned()));
    }
    Ok(Verdict::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, SubjectKind, Table};
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn with(members: &[(&str, f64, &str)]) -> Set {
        members
            .iter()
            .enumerate()
            .fold(Set::new(), |set, (at, (leader, term, cluster))| {
                let row = Row::new("status")
                    .text("leader", *leader)
                    .num("term", *term)
                    .text("cluster-id", *cluster);
                let subject = Subject::new(SubjectKind::Member, format!("m{at}"));
                set.put(
                    &keys::ETCD_STATUS,
                    subject,
                    Table {
                        rows: vec![row],
                        ..Table::default()
                    },
                )
            })
    }

    #[test]
    fn one_leader_one_term_one_cluster() {
        assert_eq!(
            with(&[("a", 2.0, "c"), ("a", 2.0, "c")]).status(&RULE).0,
            Status::Pass
        );
        let two = with(&[("a", 2.0, "c"), ("b", 3.0, "c")]).check(&RULE);
        assert!(two[0].message.contains("m0 follows a (term 2)"), "{two:?}");
        assert_eq!(
            two[0].severity,
            Severity::Warn,
            "one look may be an election"
        );
        let looks = |before: [(&str, f64); 2]| {
            let mut set = Set::new();
            for (at, (leader, term)) in before.into_iter().enumerate() {
                let row = Row::new("status")
                    .text("leader", format!("{at}"))
                    .num("term", 3.0)
                    .text("first-leader", leader)
                    .num("first_term", term);
                let mut table = Table::default();
                table.rows.push(row);
                let subject = Subject::new(SubjectKind::Member, format!("m{at}"));
                set = set.put(&keys::ETCD_STATUS, subject, table);
            }
            set.check(&RULE)[0].severity
        };
        assert_eq!(looks([("0", 3.0), ("1", 3.0)]), Severity::Critical);
        assert_eq!(looks([("0", 2.0), ("0", 2.0)]), Severity::Warn);
        let mixed = with(&[("a", 2.0, "c"), ("a", 2.0, "d")]).check(&RULE);
        assert!(mixed[0].message.contains("2 clusters"), "{mixed:?}");
        assert_eq!(
            with(&[("a", 2.0, "c")]).status(&RULE).0,
            Status::NotApplicable
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
