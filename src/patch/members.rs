//! etcd's members as the evidence knows them, and the order in which to restart them: the leader
//! last, since each restart of a leader is an election.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{EvidenceSet, Reader, SubjectKind, Table, keys};

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name, or its node's.
    pub name: String,
    /// Whether it leads; `None` where nobody said.
    pub leads: Option<bool>,
}

/// The members that the evidence shows, by name: as they answered, or as their metrics say.
pub fn members(evidence: &EvidenceSet) -> Vec<Member> {
    let reader = Reader::new(evidence);
    let mut all: BTreeMap<String, Option<bool>> = BTreeMap::new();
    for (_, table) in reader.all(&keys::ETCD_MEMBERS) {
        for row in &table.rows {
            all.entry(row.key.clone()).or_default();
        }
    }
    for (subject, series) in reader.all(&keys::IS_LEADER) {
        let name = match (&subject.node, subject.name.as_str()) {
            // Metrics of a folder by node name the component.
            (Some(node), "" | "etcd") => node.clone(),
            (None, "") => continue,
            (_, name) => name.to_owned(),
        };
        if let Some(last) = series.points.last() {
            all.insert(name, Some(last.value > 0.5));
        }
    }
    let listed = listed(&reader);
    // Names of another kind would count members twice.
    if all.keys().all(|name| listed.contains(name)) {
        for name in listed {
            all.entry(name).or_default();
        }
    }
    all.into_iter()
        .map(|(name, leads)| Member { name, leads })
        .collect()
}

/// The names of the longest `initial-cluster` that any member was started with.
fn listed(reader: &Reader<'_>) -> BTreeSet<String> {
    let names = |table: &Table| -> Option<BTreeSet<String>> {
        let text = table.row("initial-cluster")?.get_text("value")?;
        let names = text.split(',').filter_map(|part| part.split_once('='));
        Some(names.map(|(name, _)| name.trim().to_owned()).collect())
    };
    reader
        .all(&keys::SETTINGS)
        .iter()
        .filter(|(subject, _)| subject.kind == SubjectKind::Member || subject.name == "etcd")
        .filter_map(|(_, table)| names(table))
        .max_by_key(BTreeSet::len)
        .unwrap_or_default()
}

/// In which order to restart members, or how to learn which one leads: `ask` is the command, with what
/// to look at.
pub(super) fn order(members: &[Member], ask: &str) -> String {
    let leaders: Vec<&str> = members
        .iter()
        .filter(|member| member.leads == Some(true))
        .map(|member| member.name.as_str())
        .collect();
    let others: Vec<&str> = members
        .iter()
        .filter(|member| member.leads != Some(true))
        .map(|member| member.name.as_str())
        .collect();
    match (leaders.as_slice(), others.as_slice()) {
        ([leader], [_, ..]) => format!(
            "take etcd's members in this order: {}, and then {leader}, which led when this was seen: {ask} \
             shows whether it still does, and the one that leads goes last",
            others.join(", ")
        ),
        ([only], []) => format!("of etcd's members only {only} was seen: {ask} shows all"),
        _ => format!(
            "which member of etcd leads is not known: {ask} shows it, and that one goes last"
        ),
    }
}

/// Where a node comes in that order; its names are the node's own and its member's. Nodes of which
/// nobody said whether they lead come first.
pub(super) fn rank(members: &[Member], names: &[&str]) -> usize {
    let led = members.iter().filter(|member| member.leads == Some(true));
    // Two that lead are scrapes around an election: then nobody is known to.
    match led.collect::<Vec<_>>().as_slice() {
        [leader] if names.contains(&leader.name.as_str()) => 1,
        _ => 0,
    }
}

/// Members whose nodes' files were not given: those that evidence or a configuration names, without
/// the names of the given nodes and their members.
pub(super) fn not_given(
    members: &[Member],
    listed: impl Iterator<Item = String>,
    given: &BTreeSet<String>,
) -> Vec<String> {
    let listed: BTreeSet<String> = listed.collect();
    // Names of another kind would name given nodes once more.
    let alike = listed.is_empty() || members.iter().any(|member| listed.contains(&member.name));
    let known = members.iter().map(|member| &member.name).filter(|_| alike);
    let known: BTreeSet<&String> = known.chain(&listed).collect();
    known
        .into_iter()
        .filter(|name| !given.contains(*name))
        .cloned()
        .collect()
}

/// `cp1, cp2 and cp3`.
pub(super) fn joined(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_another_node_is_one_whose_files_are_missing() {
        let seen = |name: &str| Member {
            name: name.to_owned(),
            leads: None,
        };
        let given = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let listed = |names: &'static [&str]| names.iter().map(|&name| name.to_owned());
        let both = [seen("cp0"), seen("cp1")];
        assert_eq!(not_given(&both, listed(&[]), &given(&["cp0"])), ["cp1"]);
        let missing = not_given(
            &both,
            listed(&["etcd-a", "etcd-b"]),
            &given(&["cp0", "etcd-a"]),
        );
        assert_eq!(missing, ["etcd-b"], "names of nodes are no further members");
        // The first node of a cluster lists itself alone.
        assert_eq!(
            not_given(&both, listed(&["cp0"]), &given(&["cp0"])),
            ["cp1"]
        );
        assert!(not_given(&both, listed(&[]), &given(&["cp0", "cp1"])).is_empty());
    }

    #[test]
    fn the_leader_goes_last_and_is_named_only_where_one_is_known() {
        let member = |name: &str, leads| Member {
            name: name.to_owned(),
            leads,
        };
        let three = [
            member("a", Some(false)),
            member("b", Some(true)),
            member("c", None),
        ];
        let text = order(&three, "ask");
        assert!(text.contains("in this order: a, c, and then b,"), "{text}");
        assert!(text.contains("ask shows"), "{text}");
        for unknown in [
            &[][..],
            &[member("a", Some(false)), member("b", None)],
            // Two scrapes around an election.
            &[member("a", Some(true)), member("b", Some(true))],
        ] {
            let text = order(unknown, "ask");
            assert!(text.contains("not known: ask shows it"), "{text}");
        }
        assert!(order(&three[1..2], "ask").contains("only b was seen"));
    }
}
