//! Whose evidence it is: names of nodes from settings, host files and folders, given to what has none.

use std::collections::BTreeMap;
use std::path::Path;

use crate::diagnosis::{host_of, is_loopback};
use crate::evidence::{Collector, EvidenceSet, Reading, Record, Scalar, Shape, SubjectKind, keys};
use crate::host;
use crate::metrics::{Role, Target};
use crate::patch::NodeManifests;
use crate::target::{HostRoot, Tree};

use super::collect::Opened;
use super::whose::{self, Here, Places};

/// What a folder or a tarball is called, without the endings of tarballs.
pub(super) fn folder_name(one: &Opened, tree: &Tree) -> Option<String> {
    if tree.name.is_some() {
        return tree.name.clone();
    }
    let given = match &one.packed {
        Some(packed) => Path::new(packed).file_name(),
        None => one.root.file_name(),
    };
    let mut name = given?.to_string_lossy().into_owned();
    for ending in [".gz", ".zst", ".tgz", ".tar"] {
        name.truncate(name.strip_suffix(ending).map_or(name.len(), str::len));
    }
    Some(name)
}

/// The node of a tree without settings: one that is known from elsewhere and that the tree, its
/// host files or its folder name.
pub(super) fn node_of(one: &Opened, tree: &Tree, known: &[String]) -> Option<String> {
    let host =
        tree.host
            .iter()
            .find_map(|path| match host::roots(&HostRoot::new(path)).as_slice() {
                [(None, root)] => host::hostname(root),
                _ => None,
            });
    [host, folder_name(one, tree)]
        .into_iter()
        .flatten()
        .find(|name| known.contains(name))
}

/// One entry a node, with its name where there are several. Of a node that was given twice each file
/// counts once, and of a file of which there are two texts neither does.
pub(super) fn name_manifests(all: &mut Vec<NodeManifests>, names: Vec<(usize, String)>) {
    if all.len() < 2 {
        return;
    }
    for (at, name) in names {
        if let Some(one) = all.get_mut(at) {
            one.node = name;
        }
    }
    let mut nodes: Vec<NodeManifests> = Vec::new();
    for one in all.drain(..) {
        let Some(have) = nodes.iter_mut().find(|have| have.node == one.node) else {
            nodes.push(one);
            continue;
        };
        for (name, text) in one.files {
            match have.file(&name).map(|known| known == text) {
                None => have.files.push((name, text)),
                Some(true) => {}
                Some(false) => {
                    have.files.retain(|(known, _)| *known != name);
                    have.unread(
                        name,
                        "there are two texts of it: give the one that is in force",
                    );
                }
            }
        }
    }
    *all = nodes;
}

/// The nodes that run an etcd, by the settings.
pub(super) fn etcd_nodes(evidence: &EvidenceSet) -> Vec<String> {
    let mut nodes: Vec<String> = evidence
        .of_key(&keys::SETTINGS)
        .filter(|record| record.subject.name == "etcd")
        .filter_map(|record| record.subject.node.clone())
        .collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// Where settings name the addresses of their own node.
const OWN_ADDRESSES: [&str; 4] = [
    "advertise-address",
    "advertise-client-urls",
    "initial-advertise-peer-urls",
    "node-ip",
];

/// The nodes' addresses, by the settings of what runs on them. One that two nodes name is nobody's.
pub(super) fn addresses(evidence: &EvidenceSet) -> BTreeMap<String, String> {
    let mut nodes: BTreeMap<String, Option<String>> = BTreeMap::new();
    for record in evidence.of_key(&keys::SETTINGS) {
        let (Some(node), Reading::Known(Shape::Table(table))) =
            (&record.subject.node, &record.value)
        else {
            continue;
        };
        let values = OWN_ADDRESSES
            .iter()
            .filter_map(|name| table.row(name)?.get_text("value"));
        for url in values.flat_map(|value| value.split(',')) {
            let host = host_of(url).unwrap_or_else(|| url.trim().to_owned());
            if host.is_empty() || is_loopback(&host) {
                continue;
            }
            let host = host.trim_matches(['[', ']']).to_owned();
            nodes
                .entry(host)
                .and_modify(|have| {
                    if have.as_ref() != Some(node) {
                        *have = None;
                    }
                })
                .or_insert_with(|| Some(node.clone()));
        }
    }
    let known = nodes.into_iter();
    known
        .filter_map(|(host, node)| Some((host, node?)))
        .collect()
}

/// Gives their names to nodes that a run could not name when it was saved, because its settings
/// were saved apart: `m0` of scrapes, and the node of host facts without one.
pub(super) fn name_nodes(evidence: &mut EvidenceSet) {
    let nodes = etcd_nodes(evidence);
    let host = |record: &Record| record.origin.collector == Collector::Host;
    let numbered = numbered(evidence, &nodes);
    let name = |record: &Record, node: &str| -> Option<String> {
        match node {
            "" if host(record) => nodes.first().cloned(),
            _ => numbered.get(node).cloned(),
        }
    };
    let unnamed = evidence.records().any(|record| {
        let subject = &record.subject;
        let by_node = subject.node.as_deref().unwrap_or_default();
        name(record, by_node).is_some()
            || matches!(subject.kind, SubjectKind::Member | SubjectKind::Node)
                && name(record, subject.name.split('/').next().unwrap_or_default()).is_some()
    });
    if !unnamed {
        return;
    }
    let mut named = EvidenceSet::new();
    for conflict in evidence.conflicts() {
        named.note_conflict(conflict.clone());
    }
    for record in evidence.records() {
        let mut record = record.clone();
        let old = record.subject.to_string();
        match record.subject.kind {
            SubjectKind::Member | SubjectKind::Node => {
                let (node, rest) = match record.subject.name.split_once('/') {
                    Some((node, rest)) => (node, format!("/{rest}")),
                    None => (record.subject.name.as_str(), String::new()),
                };
                if let Some(new) = name(&record, node) {
                    record.subject.name = format!("{new}{rest}");
                }
            }
            // The cluster and what has no place stay.
            SubjectKind::Component | SubjectKind::Device if record.subject.node.is_none() => {
                if let Some(new) = name(&record, "") {
                    record.subject.node = Some(new);
                }
            }
            _ => {
                let node = record.subject.node.clone().unwrap_or_default();
                if let Some(new) = name(&record, &node).filter(|_| !node.is_empty()) {
                    record.subject.node = Some(new);
                }
            }
        }
        // The one table whose rows are subjects.
        if let Reading::Known(Shape::Table(table)) = &mut record.value
            && record.key == keys::METRICS_COVERAGE.info.name
        {
            for row in table.rows.iter_mut().filter(|row| row.key == old) {
                row.key = record.subject.to_string();
            }
        }
        named.insert(record);
    }
    *evidence = named;
}

/// What `m0`, `m1`, … of scrapes stand for, by all that was gathered.
fn numbered(evidence: &EvidenceSet, nodes: &[String]) -> BTreeMap<String, String> {
    let mut targets: Vec<Target> = Vec::new();
    for record in evidence.records() {
        let subject = &record.subject;
        let (node, instance) = match subject.kind {
            SubjectKind::Member => match subject.name.split_once('/') {
                Some((node, rest)) => (node, Some(rest.to_owned())),
                None => (subject.name.as_str(), None),
            },
            SubjectKind::Node => (subject.name.as_str(), None),
            _ => (subject.node.as_deref().unwrap_or_default(), None),
        };
        let is_id = record.key == keys::MEMBER_ID.info.name;
        let known = targets
            .iter()
            .any(|have| have.node.as_deref() == Some(node));
        if whose::number(node).is_none() || (known && !is_id) {
            continue;
        }
        let member_id = match &record.value {
            Reading::Known(Shape::Scalar(Scalar::Text(id))) if is_id => Some(id.clone()),
            _ => None,
        };
        targets.push(Target {
            roles: vec![Role::Etcd],
            component: "etcd".to_owned(),
            node: Some(node.to_owned()),
            instance,
            member_id,
        });
    }
    if targets.is_empty() {
        return BTreeMap::new();
    }
    let mut ids = whose::ids(evidence);
    for node in ids.values_mut() {
        *node = whose::node_of_pod(node, nodes).to_owned();
    }
    let known = |name: &String| {
        let node = whose::node_of_pod(name, nodes);
        nodes.iter().any(|have| have == node)
    };
    let here = Here {
        nodes: nodes.to_vec(),
        ids,
        of_one: nodes.len() == 1 && whose::logged(evidence).iter().all(known),
    };
    let places = Places {
        here: BTreeMap::from([(0, here)]),
        members: whose::members(evidence),
        ..Places::default()
    };
    let targets: Vec<(usize, &Target)> = targets.iter().map(|target| (0, target)).collect();
    let names = places.names(&targets);
    let named = targets.iter().zip(names);
    named
        .filter_map(|((_, target), name)| Some((target.node.clone()?, name?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Origin, Row, Subject, Table, Window};

    #[test]
    fn addresses_are_their_nodes() {
        let mut set = EvidenceSet::new();
        for (node, component, name, value) in [
            (
                "cp0",
                "etcd",
                "advertise-client-urls",
                "https://10.0.0.1:2379,https://127.0.0.1:2379",
            ),
            ("cp0", "kube-apiserver", "advertise-address", "10.0.0.1"),
            (
                "cp1",
                "etcd",
                "initial-advertise-peer-urls",
                "https://[fd00::2]:2380",
            ),
            // A name that both have tells nothing.
            (
                "cp1",
                "etcd-events",
                "advertise-client-urls",
                "https://vip:1",
            ),
            (
                "cp2",
                "etcd-events",
                "advertise-client-urls",
                "https://vip:1",
            ),
        ] {
            let row = Row::new(name).text("value", value);
            let mut about = Subject::new(SubjectKind::Component, component);
            about.node = Some(node.to_owned());
            let table = Table {
                rows: vec![row],
                ..Table::default()
            };
            let origin = Origin::new(Collector::Manifest, "x.yaml");
            set.put(&keys::SETTINGS, about, Window::default(), origin, table);
        }
        let found = addresses(&set);
        let found: Vec<_> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(found, [("10.0.0.1", "cp0"), ("fd00::2", "cp1")]);
    }
}
