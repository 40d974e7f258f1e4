//! k3s and RKE2: `config.yaml` and `config.yaml.d/*.yaml`.
//!
//! A later file replaces a key of an earlier one; `key+` appends to it (rke2-docs,
//! install/configuration.md). So a plain list in a later file silently drops what an earlier one
//! gave, which is reported.

use std::collections::BTreeMap;

use super::argv::Word;
use super::model::{Fault, Given, Instance, Means, Place, SourceKind, Weight};
use super::secret::mask;
use super::yaml::Node;
use crate::catalog::settings::Component;

/// Keys that hand arguments to a component.
const ARGUMENTS: &[(&str, Component)] = &[
    ("etcd-arg", Component::Etcd),
    ("kube-apiserver-arg", Component::ApiServer),
    ("kube-controller-arg", Component::ControllerManager),
    ("kube-controller-manager-arg", Component::ControllerManager),
    ("kube-scheduler-arg", Component::Scheduler),
    ("kubelet-arg", Component::Kubelet),
];

/// Keys that only such a file has.
const TELLING: &[&str] = &[
    "agent-token",
    "agent-token-file",
    "cluster-init",
    "datastore-endpoint",
    "disable-etcd",
    "etcd-expose-metrics",
    "etcd-snapshot-retention",
    "etcd-snapshot-schedule-cron",
    "secrets-encryption",
    "tls-san",
    "token",
    "token-file",
    "write-kubeconfig-mode",
];

/// Whether a document is such a file, by its place or its keys.
pub(super) fn is_config(doc: &Node, file: &str) -> bool {
    if doc.get("kind").is_some() || doc.get("apiVersion").is_some() {
        return false;
    }
    let plain = |key: &str| -> bool {
        let key = key.trim_end_matches('+');
        ARGUMENTS.iter().any(|(name, _)| *name == key)
    };
    let keys = || doc.entries().iter().filter_map(|(key, _)| key.text());
    let placed =
        file.contains("rancher/k3s/config.yaml") || file.contains("rancher/rke2/config.yaml");
    placed || keys().any(plain) || keys().filter(|key| TELLING.contains(key)).count() >= 2
}

/// One value with its place.
#[derive(Clone, Debug)]
struct Item {
    text: String,
    place: Place,
}

/// The merged files of one node.
#[derive(Debug, Default)]
pub(super) struct Config {
    values: BTreeMap<String, Vec<Item>>,
    faults: Vec<Fault>,
}

impl Config {
    /// Merges the next file; call in the order that the program reads them.
    pub(super) fn add(&mut self, doc: &Node, file: &str) {
        for (key, value) in doc.entries() {
            let Some(name) = key.text() else { continue };
            let (name, append) = match name.strip_suffix('+') {
                Some(name) => (name, true),
                None => (name, false),
            };
            let item = |node: &Node| {
                node.text().map(|text| Item {
                    text: text.to_owned(),
                    place: Place::new(file, if node.line == 0 { key.line } else { node.line }),
                })
            };
            let items: Vec<Item> = match value.items() {
                [] => item(value).into_iter().collect(),
                items => items.iter().filter_map(item).collect(),
            };
            let have = self.values.entry(name.to_owned()).or_default();
            let lost = have
                .first()
                .filter(|old| !append && old.place.file != file)
                .map(|old| old.place.clone());
            if let Some(lost) = lost
                && ARGUMENTS.iter().any(|(argument, _)| *argument == name)
            {
                self.faults.push(
                    Fault::new(
                        "repeated-setting",
                        Weight::Warn,
                        Place::new(file, key.line),
                        format!(
                            "`{name}` replaces the {} values given at {lost}; `{name}+` would add to them",
                            have.len()
                        ),
                    )
                    .about(name),
                );
            }
            if !append {
                have.clear();
            }
            have.extend(items);
        }
    }

    /// Merges a command line (`k3s server --kube-apiserver-arg=…`): its lists replace those of the
    /// files (k3s docs, installation/configuration).
    pub(super) fn add_words(&mut self, words: &[Word], file: &str) {
        let mut from_words: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.text.strip_prefix("--") else {
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => {
                    let next = words
                        .as_slice()
                        .first()
                        .filter(|next| !next.text.starts_with('-'));
                    let value = next.map(|next| next.text.clone());
                    if value.is_some() {
                        words.next();
                    }
                    (flag, value)
                }
            };
            from_words.entry(name.to_owned()).or_default().push(Item {
                text: value.unwrap_or_else(|| "true".to_owned()),
                place: Place::new(file, word.line),
            });
        }
        self.values.extend(from_words);
    }

    /// The last value of a plain key.
    pub(super) fn value(&self, key: &str) -> Option<(&str, &Place)> {
        let item = self.values.get(key)?.last()?;
        Some((&item.text, &item.place))
    }

    /// The components that get arguments, and what was wrong.
    pub(super) fn finish(self) -> (Vec<Instance>, Vec<Fault>) {
        let mut instances: BTreeMap<&str, Instance> = BTreeMap::new();
        for (key, component) in ARGUMENTS {
            let Some(items) = self.values.get(*key) else {
                continue;
            };
            let Some(first) = items.first() else { continue };
            let program = component.program();
            let instance = instances.entry(program).or_insert_with(|| {
                let mut instance = Instance::new(program, SourceKind::Config, first.place.clone());
                instance.component = Some(*component);
                instance.partial = true;
                instance
            });
            for item in items {
                let text = item.text.trim_start_matches('-');
                let (name, value) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(mask(name, value))),
                    None => (text, None),
                };
                instance.given.push(Given {
                    name: name.to_owned(),
                    value,
                    means: Means::Flag,
                    place: item.place.clone(),
                });
            }
        }
        (instances.into_values().collect(), self.faults)
    }
}
