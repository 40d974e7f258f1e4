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

#[cfg(test)]
mod tests {
    use super::*;

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
