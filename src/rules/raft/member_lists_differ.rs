//! Members list different members: one was cut off while the membership changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "member-lists-differ",
    summary: "members of etcd list different members",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "member-lists-differ",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let (_, lists) = cx.evidence.any(&keys::ETCD_LISTS)?;
    // Members of several clusters are told of as such (`leader-disputed`): each lists its own.
    let mut clusters: BTreeMap<&str, ByList<'_>> = BTreeMap::new();
    for row in &lists.rows {
        clusters
            .entry(row.get_text("cluster-id").unwrap_or_default())
            .or_default()
            .entry(row.get_text("list").unwrap_or_default())
            .or_default()
            .push(&row.key);
    }
    if lists.rows.len() < 2 {
        return Ok(Verdict::NotApplicable(
            "one member gave its list".to_owned(),
        ));
    }
    let differ = clusters.values().filter(|by_list| by_list.len() > 1);
    let words: Vec<String> = differ.map(differences).collect();
    if words.is_empty() {
        return Ok(Verdict::Pass);
    }
    Ok(Verdict::fail(
        Draft::new(Subject::cluster(), Severity::Critical, words.join("; "))
            .confidence(Confidence::High)
            .threshold("every member applies the same changes of membership"),
    ))
}

/// Who gave which list.
type ByList<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// Who lists what the others do not.
fn differences(by_list: &ByList<'_>) -> String {
    // What all have in common tells nothing.
    let parts = |list: &str| -> BTreeSet<String> { list.split("; ").map(str::to_owned).collect() };
    let mut common: Option<BTreeSet<String>> = None;
    for list in by_list.keys() {
        let parts = parts(list);
        common = Some(match common {
            Some(common) => common.intersection(&parts).cloned().collect(),
            None => parts,
        });
    }
    let common = common.unwrap_or_default();
    let words: Vec<String> = by_list
        .iter()
        .map(|(list, who)| {
            let own: Vec<String> = parts(list).difference(&common).cloned().collect();
            let own = if own.is_empty() {
                "nothing more than the others".to_owned()
            } else {
                own.join(", ")
            };
            format!("{} lists {own}", who.join(" and "))
        })
        .collect();
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn with(lists: &[&str]) -> Set {
        let rows = lists
            .iter()
            .enumerate()
            .map(|(at, list)| Row::new(format!("m{at}")).text("list", *list))
            .collect();
        Set::new().put(
            &keys::ETCD_LISTS,
            Subject::cluster(),
            Table {
                rows,
                ..Table::default()
            },
        )
    }

    #[test]
    fn each_cluster_lists_its_own_members() {
        let with = |rows: &[(&str, &str)]| {
            let rows = rows.iter().enumerate().map(|(at, (cluster, list))| {
                Row::new(format!("m{at}"))
                    .text("list", *list)
                    .text("cluster-id", *cluster)
            });
            let table = Table {
                rows: rows.collect(),
                ..Table::default()
            };
            Set::new().put(&keys::ETCD_LISTS, Subject::cluster(), table)
        };
        let two = with(&[("a", "1=a"), ("a", "1=a"), ("b", "9=z")]);
        assert_eq!(two.status(&RULE).0, Status::Pass);
        let differ = with(&[("a", "1=a"), ("a", "1=a; 2=b"), ("b", "9=z")]).check(&RULE);
        assert!(!differ[0].message.contains("9=z"), "{differ:?}");
        assert!(differ[0].message.contains("m1 lists 2=b"), "{differ:?}");
    }

    #[test]
    fn only_what_differs_is_said() {
        assert_eq!(
            with(&["1=a; 2=b", "1=a; 2=b"]).status(&RULE).0,
            Status::Pass
        );
        let found = with(&["1=a; 2=b; 3=c", "1=a; 2=b"]).check(&RULE);
        assert_eq!(found[0].severity, Severity::Critical);
        assert!(found[0].message.contains("m0 lists 3=c"), "{found:?}");
        assert!(!found[0].message.contains("1=a"), "{found:?}");
        assert_eq!(with(&["1=a"]).status(&RULE).0, Status::NotApplicable);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
