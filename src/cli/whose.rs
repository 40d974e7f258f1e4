//! Whose a scrape is: the member's id that its log tells too, the one node of its tree, and only then
//! the number in a file's name, where the set of nodes is whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{EvidenceSet, Reading, Shape, keys};
use crate::metrics::{Role, Target};

/// What is known of a place that scrapes lie in.
#[derive(Clone, Debug, Default)]
pub(super) struct Here {
    /// The nodes that it is of.
    pub(super) nodes: Vec<String>,
    /// Nodes by the ids of their members.
    pub(super) ids: BTreeMap<String, String>,
    /// Nothing in it is of another node.
    pub(super) of_one: bool,
}

/// What is known of all places.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// By the loader's number.
    pub(super) here: BTreeMap<usize, Here>,
    /// Nodes by their addresses.
    pub(super) addresses: BTreeMap<String, String>,
    /// How many members there are at least.
    pub(super) members: usize,
}

/// Nodes by the ids of the members that run on them, as their logs tell. An id that two nodes have, as
/// every lone etcd with its default addresses does, tells nothing.
pub(super) fn ids(evidence: &EvidenceSet) -> BTreeMap<String, String> {
    let mut ids: BTreeMap<String, Option<String>> = BTreeMap::new();
    for record in evidence.of_key(&keys::LOGS_LIVES) {
        let node = record.subject.name.split('/').next().unwrap_or_default();
        let Reading::Known(Shape::Table(table)) = &record.value else {
            continue;
        };
        let id = table.row("self").and_then(|row| row.get_text("id"));
        let Some(id) = id.filter(|_| !node.is_empty()) else {
            continue;
        };
        ids.entry(id.to_owned())
            .and_modify(|have| {
                if have.as_deref() != Some(node) {
                    *have = None;
                }
            })
            .or_insert_with(|| Some(node.to_owned()));
    }
    let known = ids.into_iter();
    known.filter_map(|(id, node)| Some((id, node?))).collect()
}

/// A node by its etcd's pod `etcd-NODE`, where such a node is known: not every log's path says that the pod is
/// a static one.
pub(super) fn node_of_pod<'a>(name: &'a str, nodes: &[String]) -> &'a str {
    match name.strip_prefix("etcd-") {
        Some(node) if nodes.iter().any(|have| have == node) => node,
        _ => name,
    }
}

/// The nodes whose etcd wrote a log.
pub(super) fn logged(evidence: &EvidenceSet) -> BTreeSet<String> {
    let records = evidence.of_key(&keys::LOGS_LIVES);
    records
        .filter_map(|record| record.subject.name.split('/').next())
        .filter(|node| !node.is_empty())
        .map(str::to_owned)
        .collect()
}

/// How many members `--initial-cluster` names: a first node names itself alone.
pub(super) fn members(evidence: &EvidenceSet) -> usize {
    let settings = evidence.of_key(&keys::SETTINGS);
    let counts = settings.filter_map(|record| {
        let Reading::Known(Shape::Table(table)) = &record.value else {
            return None;
        };
        let value = table.row("initial-cluster")?.get_text("value")?;
        Some(
            value
                .split(',')
                .filter(|pair| !pair.trim().is_empty())
                .count(),
        )
    });
    counts.max().unwrap_or(0)
}

impl Places {
    /// The nodes of targets, each with its place.
    pub(super) fn names(&self, targets: &[(usize, &Target)]) -> Vec<Option<String>> {
        let mut numbers: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
        for (place, here) in &self.here {
            let within = targets.iter().filter(|(at, _)| at == place);
            let within: Vec<&Target> = within.map(|(_, target)| *target).collect();
            numbers.insert(*place, numbered_nodes(here, &within, self.members));
        }
        let name = |(place, target): &(usize, &Target)| {
            let here = self.here.get(place)?;
            let of_id = || here.ids.get(target.member_id.as_ref()?).cloned();
            match (&target.node, here.nodes.as_slice()) {
                (Some(node), _) if number(node).is_some() => numbers.get(place)?.get(node).cloned(),
                // A name that is known is right as it is; Prometheus names processes by addresses.
                (Some(node), nodes) if nodes.contains(node) => None,
                (Some(node), _) => self.addresses.get(node).cloned().or_else(of_id),
                // One node's own scrapes need not say whose they are.
                (None, [only]) if target.roles.iter().any(|role| role.is_static_pod()) => {
                    of_id().or_else(|| Some(only.clone()))
                }
                (None, _) => of_id(),
            }
        };
        targets.iter().map(name).collect()
    }
}

/// What `m0`, `m1`, … of one place stand for, as far as it is known.
///
/// Where a member is really called so, `m1` is that member's own name and not the second of the list.
fn numbered_nodes(here: &Here, targets: &[&Target], members: usize) -> BTreeMap<String, String> {
    let called = |name: &String| here.nodes.contains(name);
    let numbered = targets.iter().filter_map(|target| target.node.as_ref());
    let names: BTreeSet<&String> = numbered.filter(|node| number(node).is_some()).collect();
    if here.nodes.iter().any(|node| number(node).is_some()) {
        let own = names.into_iter().filter(|name| called(name));
        return own.map(|name| (name.clone(), name.clone())).collect();
    }
    let mut told: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    // Members that are surely not those of a node whose member's id is another one.
    let mut strange: BTreeSet<(&String, &String)> = BTreeSet::new();
    for target in targets.iter().filter(|target| target.is(Role::Etcd)) {
        let (Some(name), Some(id)) = (&target.node, &target.member_id) else {
            continue;
        };
        if let Some(node) = here.ids.get(id) {
            told.entry(name).or_default().insert(node);
        }
        if target.instance.is_none() {
            let others = here.ids.iter().filter(|(other, _)| *other != id);
            strange.extend(others.map(|(_, node)| (name, node)));
        }
    }
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for name in &names {
        if let Some(nodes) = told.get(name)
            && let [node] = nodes.iter().collect::<Vec<_>>().as_slice()
        {
            found.insert((*name).clone(), (**node).clone());
        }
    }
    if found.len() == names.len() {
        return found;
    }
    if let ([only], [name]) = (
        here.nodes.as_slice(),
        names.iter().collect::<Vec<_>>().as_slice(),
    ) && here.of_one
        && !told.contains_key(**name)
    {
        return BTreeMap::from([((**name).clone(), only.clone())]);
    }
    let by_number = |name: &String| here.nodes.get(number(name)?);
    let whole = here.nodes.len() >= members
        && names.iter().all(|name| by_number(name).is_some())
        && found
            .iter()
            .all(|(name, node)| by_number(name) == Some(node));
    if whole {
        for name in names {
            if let Some(node) = by_number(name)
                && !told.contains_key(name)
                && !strange.contains(&(name, node))
            {
                found.insert(name.clone(), node.clone());
            }
        }
        return found;
    }
    // One name and one node are left.
    let left: Vec<&&String> = names
        .iter()
        .filter(|name| !found.contains_key(**name))
        .collect();
    let free: Vec<&String> = here
        .nodes
        .iter()
        .filter(|node| !found.values().any(|have| have == *node))
        .collect();
    if let ([name], [node]) = (left.as_slice(), free.as_slice())
        && here.nodes.len() >= members
        && here.nodes.len() == names.len()
        && !told.contains_key(**name)
        && !strange.contains(&(**name, *node))
    {
        found.insert((**name).clone(), (*node).clone());
    }
    found
}

/// The number of `m0`, `m1`, ….
pub(super) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('m')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etcd(node: &str, id: &str) -> Target {
        Target {
            roles: vec![Role::Etcd],
            component: "etcd".to_owned(),
            node: Some(node.to_owned()).filter(|node| !node.is_empty()),
            instance: None,
            member_id: Some(id.to_owned()).filter(|id| !id.is_empty()),
        }
    }

    #[test]
    fn a_pod_of_etcd_is_of_the_node_in_its_name() {
        let nodes = ["cp0".to_owned(), "etcd-b".to_owned()];
        assert_eq!(node_of_pod("etcd-cp0", &nodes), "cp0");
        assert_eq!(node_of_pod("etcd-b", &nodes), "etcd-b");
        assert_eq!(node_of_pod("etcd-cp1", &nodes), "etcd-cp1");
    }

    fn apiserver(node: &str) -> Target {
        Target {
            roles: vec![Role::Apiserver],
            component: "kube-apiserver".to_owned(),
            ..etcd(node, "")
        }
    }

    fn names(
        nodes: &[&str],
        ids: &[(&str, &str)],
        of_one: bool,
        members: usize,
        targets: &[Target],
    ) -> Vec<String> {
        let owned = |text: &str| text.to_owned();
        let here = Here {
            nodes: nodes.iter().map(|node| owned(node)).collect(),
            ids: ids.iter().map(|(a, b)| (owned(a), owned(b))).collect(),
            of_one,
        };
        let places = Places {
            here: BTreeMap::from([(1, here)]),
            addresses: BTreeMap::from([(owned("10.0.0.2"), owned("cp1"))]),
            members,
        };
        let targets: Vec<(usize, &Target)> = targets.iter().map(|target| (1, target)).collect();
        let names = places.names(&targets).into_iter();
        names
            .map(|name| name.unwrap_or_else(|| "-".to_owned()))
            .collect()
    }

    #[test]
    fn a_members_id_tells_and_what_lies_beside_it_follows() {
        let nodes = ["alpha", "mid", "zeta"];
        let ids = [("b", "alpha"), ("c", "mid"), ("a", "zeta")];
        let all = [
            etcd("m0", "a"),
            etcd("m1", "b"),
            etcd("m2", "c"),
            apiserver("m1"),
        ];
        assert_eq!(
            names(&nodes, &ids, false, 3, &all),
            ["zeta", "alpha", "mid", "alpha"]
        );
        // Nothing but the logs names the nodes.
        assert_eq!(
            names(&[], &ids, false, 0, &all),
            ["zeta", "alpha", "mid", "alpha"]
        );
        // The ids of two: the order of names tells nothing, and the third is who is left, if any is.
        let two = &ids[..2];
        assert_eq!(
            names(&nodes, two, false, 3, &all),
            ["zeta", "alpha", "mid", "alpha"]
        );
        assert_eq!(
            names(&nodes[..2], two, false, 3, &all),
            ["-", "alpha", "mid", "alpha"]
        );
        // One id that fits the order leaves it standing, but for a member that is known not to be it.
        let one = [("a", "cp0")];
        let some = [etcd("m0", "a"), etcd("m1", "b")];
        assert_eq!(
            names(&["cp0", "cp1"], &one, false, 2, &some),
            ["cp0", "cp1"]
        );
        let other = [("x", "cp1")];
        assert_eq!(
            names(&["cp0", "cp1"], &other, false, 2, &some),
            ["cp0", "-"]
        );
    }

    #[test]
    fn a_number_stands_for_a_member_where_all_nodes_are_known() {
        let all = [etcd("m0", "a"), etcd("m1", "b"), apiserver("m1")];
        assert_eq!(
            names(&["cp0", "cp1"], &[], false, 2, &all),
            ["cp0", "cp1", "cp1"]
        );
        assert_eq!(
            names(&["cp0", "cp1"], &[], false, 0, &all),
            ["cp0", "cp1", "cp1"]
        );
        // cp0's files are missing.
        assert_eq!(names(&["cp1", "cp2"], &[], false, 3, &all), ["-", "-", "-"]);
        // There are more numbers than nodes.
        assert_eq!(names(&["cp1"], &[], true, 1, &all), ["-", "-", "-"]);
        // The tree of one node.
        assert_eq!(names(&["cp1"], &[], true, 3, &all[1..]), ["cp1", "cp1"]);
        assert_eq!(names(&["cp1"], &[], false, 3, &all[1..]), ["-", "-"]);
        let own = [etcd("m1", "a"), etcd("m0", "b")];
        assert_eq!(names(&["m1", "m2", "m3"], &[], false, 3, &own), ["m1", "-"]);
    }

    #[test]
    fn names_that_are_no_numbers() {
        let ids = [("b", "cp1")];
        let all = [
            etcd("cp0", "b"),
            etcd("10.0.0.2", ""),
            etcd("before", "b"),
            etcd("after", "x"),
            etcd("", "b"),
            etcd("", "x"),
        ];
        assert_eq!(
            names(&["cp0", "cp1"], &ids, false, 2, &all),
            ["-", "cp1", "cp1", "-", "cp1", "-"]
        );
        assert_eq!(names(&["cp0"], &[], true, 1, &[apiserver("")]), ["cp0"]);
    }
}
