//! Which node what was found is on.

use std::collections::{BTreeMap, BTreeSet};

use super::ManifestModel;
use crate::catalog::settings::Component;
use crate::manifest::model::{Instance, SourceKind};

impl ManifestModel {
    /// Gives a node to what has none: the host's own name, or the name of the only node that is
    /// known. Without any other sign an etcd's own name is its node.
    pub(super) fn name_nodes(&mut self, host: Option<&str>, named: &BTreeSet<String>) {
        // A process is on the node of the manifest that has the same member name.
        let named_members: BTreeMap<String, String> = self
            .instances
            .iter()
            .filter(|instance| instance.component == Some(Component::Etcd))
            .filter_map(|instance| {
                Some((instance.last("name")?.to_owned(), instance.node.clone()?))
            })
            .collect();
        for instance in &mut self.instances {
            if instance.node.is_none() && instance.component == Some(Component::Etcd) {
                let node = instance
                    .last("name")
                    .and_then(|name| named_members.get(name));
                instance.node = node.cloned();
            }
        }
        // Several members in one tree: one host name cannot be all of theirs.
        let members: BTreeSet<&str> = self
            .instances
            .iter()
            .filter(|instance| instance.name == "etcd" && instance.node.is_none())
            .filter_map(|instance| instance.last("name"))
            .collect();
        let host = host.filter(|_| members.len() < 2);
        for instance in &mut self.instances {
            let bound = !matches!(instance.source, SourceKind::Workload | SourceKind::Config);
            if instance.node.is_none() && bound {
                let own = match instance.component {
                    Some(Component::Etcd) if host.is_none() => instance
                        .last("name")
                        .or_else(|| {
                            let env = instance
                                .given
                                .iter()
                                .find(|given| given.name == "ETCD_NAME")?;
                            env.value.as_deref()
                        })
                        .filter(|name| *name != "default" && !name.contains(['$', '%']))
                        .map(|name| without_hash(name, instance)),
                    Some(Component::Kubelet) if host.is_none() => {
                        instance.last("hostname-override")
                    }
                    _ => None,
                };
                instance.node = own.or(host).map(str::to_owned);
            }
        }
        // A second etcd is on the first one's node: `cp1-events` beside `cp1`.
        let mut nodes: BTreeSet<String> = self
            .instances
            .iter()
            .filter(|instance| {
                instance.name == "etcd" || instance.component != Some(Component::Etcd)
            })
            .filter(|instance| {
                instance.source != SourceKind::Workload || instance.component.is_some()
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
        if nodes.is_empty() {
            nodes.extend(named.iter().cloned());
        }
        if let Some(only) = nodes.first().filter(|_| nodes.len() == 1) {
            for instance in &mut self.instances {
                if instance.node.is_none()
                    && (instance.component.is_some() || instance.source == SourceKind::StaticPod)
                {
                    instance.node = Some(only.clone());
                }
            }
        }
    }
}

/// k3s and RKE2 name a member after its node with eight hexadecimal digits behind it.
fn without_hash<'a>(name: &'a str, instance: &Instance) -> &'a str {
    let rancher = instance
        .last("data-dir")
        .is_some_and(|dir| dir.contains("/rancher/"));
    match name.rsplit_once('-') {
        Some((node, hash))
            if rancher && hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            node
        }
        _ => name,
    }
}
