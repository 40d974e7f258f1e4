//! Collects files into one model: dispatches each document to its reader, and keeps what is wrong.

use std::collections::BTreeSet;

use super::model::{Fault, Instance, Place, SourceKind, Weight};
use super::pods;
use super::yaml::{self, Node};
use crate::catalog::settings::Component;

/// All that the readers found on one or more nodes.
#[derive(Clone, Debug, Default)]
pub struct ManifestModel {
    /// Every run of a program that some source describes.
    pub instances: Vec<Instance>,
    /// What is wrong with the sources themselves, with the node where it is known.
    pub faults: Vec<(Option<String>, Fault)>,
    /// What could not be read, in words.
    pub unread: Vec<String>,
    /// Signs of the distribution: `(name, sign, place)`.
    pub signs: Vec<(&'static str, String, Place)>,
    /// Files that were read.
    pub files: usize,
    /// Files and documents that hold no settings.
    pub others: usize,
}

/// The text of a file and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct File<'a> {
    /// Its name in reports.
    pub(super) name: &'a str,
    /// The node it belongs to, where that is known.
    pub(super) node: Option<&'a str>,
    /// Its text.
    pub(super) text: &'a str,
}

impl ManifestModel {
    /// Adds a fault of a source.
    pub(super) fn fault(&mut self, node: Option<&str>, fault: Fault) {
        self.faults.push((node.map(str::to_owned), fault));
    }

    /// Adds a file by its name and content.
    pub(super) fn add_file(&mut self, file: File<'_>) {
        self.add_yaml(file);
    }

    /// Gives a node to what has none: the host's own name, or the name of the only node or etcd
    /// member that is known. With several members and no other sign an etcd's own name is its node.
    pub(super) fn name_nodes(&mut self, host: Option<&str>) {
        for instance in &mut self.instances {
            if instance.node.is_none() && instance.source != SourceKind::Workload {
                let own = match instance.component {
                    Some(Component::Etcd) if host.is_none() => instance
                        .last("name")
                        .filter(|name| *name != "default" && !name.contains('$')),
                    Some(Component::Kubelet) => instance.last("hostname-override"),
                    _ => None,
                };
                instance.node = own.or(host).map(str::to_owned);
            }
        }
        // A second etcd is named after the first one's node.
        let nodes: BTreeSet<String> = self
            .instances
            .iter()
            .filter(|instance| {
                instance.name == "etcd" || instance.component != Some(Component::Etcd)
            })
            .filter_map(|instance| instance.node.clone())
            .collect();
        for instance in &mut self.instances {
            if instance.component == Some(Component::Etcd) && instance.name != "etcd" {
                let found = instance.node.as_ref().and_then(|own| {
                    nodes.iter().find(|node| {
                        own.strip_prefix(node.as_str())
                            .is_some_and(|rest| rest.starts_with(['-', '.']))
                    })
                });
                if let Some(node) = found {
                    instance.node = Some(node.clone());
                }
            }
        }
        if let Some(only) = nodes.first().filter(|_| nodes.len() == 1) {
            for instance in &mut self.instances {
                let node_bound =
                    !matches!(instance.source, SourceKind::Workload | SourceKind::Config);
                if instance.node.is_none() && node_bound {
                    instance.node = Some(only.clone());
                }
            }
        }
    }

    /// Adds a YAML or JSON file of any kind.
    pub(super) fn add_yaml(&mut self, file: File<'_>) {
        let read = yaml::read(file.text);
        for trouble in read.troubles {
            let place = Place::new(file.name, trouble.line);
            let column = trouble
                .column
                .map_or(String::new(), |column| format!(", column {column}"));
            let (kind, weight) = if trouble.fatal {
                ("unreadable", Weight::Stop)
            } else {
                ("duplicate-key", Weight::Warn)
            };
            let text = format!("line {}{column}: {}", trouble.line, trouble.why);
            self.fault(file.node, Fault::new(kind, weight, place, text));
        }
        for doc in &read.documents {
            if !self.add_document(doc, file) {
                self.others += 1;
            }
        }
    }

    /// Adds one document; says whether it held settings.
    fn add_document(&mut self, doc: &Node, file: File<'_>) -> bool {
        if pods::is_workload(doc) {
            for mut instance in pods::read(doc, file.name, SourceKind::StaticPod) {
                if instance.node.is_none() {
                    instance.node = file.node.map(str::to_owned);
                }
                self.instances.push(instance);
            }
            return true;
        }
        false
    }
}
