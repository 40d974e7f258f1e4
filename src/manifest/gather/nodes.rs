//! Which node what was found is on.

use std::collections::{BTreeMap, BTreeSet};

use super::ManifestModel;
use crate::catalog::settings::Component;
use crate::manifest::model::{Instance, SourceKind};

impl ManifestModel {
    /// Gives a node to what has none: the host's own name, or the name of the only node that is
    /// known. Without any other sign an etcd's own name is its node.
    pub(super) fn name_nodes(&mut self, host: Option<&str>, named: &BTreeSet<String>) {
        self.name_only_etcd(host);
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

    /// kubeadm calls a member as its node: on `events-cp0`, with the folder of a node's only etcd, that
    /// makes no etcd for events of it.
    fn name_only_etcd(&mut self, host: Option<&str>) {
        for instance in &mut self.instances {
            let node = instance.node.as_deref().or(host);
            let folder = instance.last("data-dir").unwrap_or_default();
            if instance.component == Some(Component::Etcd)
                && node.is_some()
                && instance.last("name") == node
                && folder.trim_end_matches('/') == "/var/lib/etcd"
            {
                "etcd".clone_into(&mut instance.name);
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

#[cfg(test)]
mod tests {
    use crate::manifest::read_host;
    use crate::target::HostRoot;

    #[test]
    fn a_node_that_is_called_events_has_no_etcd_for_events() {
        let named = |node: &str, member: &str, folder: &str| {
            let dir = tempfile::tempdir().unwrap();
            let pods = dir.path().join("etc/kubernetes/manifests");
            std::fs::create_dir_all(&pods).unwrap();
            std::fs::write(dir.path().join("etc/hostname"), format!("{node}\n")).unwrap();
            let pod = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: etcd, labels: {{component: etcd}}}}\nspec:\n  containers:\n  - name: etcd\n    image: registry.k8s.io/etcd:3.5.15-0\n    command: [etcd, --name={member}, --data-dir={folder}]\n"
            );
            std::fs::write(pods.join("etcd.yaml"), pod).unwrap();
            let model = read_host(&HostRoot::new(dir.path()));
            let [etcd] = model.instances.as_slice() else {
                panic!("{:?}", model.instances)
            };
            (etcd.name.clone(), etcd.node.clone().unwrap())
        };
        let both = |name: &str, node: &str| (name.to_owned(), node.to_owned());
        let usual = "/var/lib/etcd";
        assert_eq!(
            named("events-cp0", "events-cp0", usual),
            both("etcd", "events-cp0")
        );
        assert_eq!(named("cp0", "cp0-events", usual).0, "etcd-events");
        assert_eq!(
            named("events-cp0", "events-cp0", "/var/lib/etcd-events").0,
            "etcd-events"
        );
    }
}
