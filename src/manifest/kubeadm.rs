//! kubeadm: ClusterConfiguration (v1beta3: maps, v1beta4: lists), Init- and JoinConfiguration,
//! and the ConfigMaps that hold them.

use super::model::{
    ETCD_TIMERS, Fault, Given, Instance, Means, Place, SourceKind, VersionSeen, Weight,
};
use super::secret::{mask, mask_env};
use super::yaml::{Node, Value};
use crate::catalog::releases::Version;
use crate::catalog::settings::Component;

/// What a kubeadm document gives.
#[derive(Debug, Default)]
pub(super) struct Kubeadm {
    pub(super) instances: Vec<Instance>,
    pub(super) faults: Vec<Fault>,
    pub(super) node: Option<String>,
    /// Endpoints of an etcd that kubeadm does not run.
    pub(super) external_etcd: Option<(String, u32)>,
}

/// Whether a document is one of kubeadm's.
pub(super) fn is_kubeadm(doc: &Node) -> bool {
    doc.text_at(&["apiVersion"])
        .is_some_and(|api| api.starts_with("kubeadm.k8s.io/"))
        && matches!(
            doc.text_at(&["kind"]),
            Some("ClusterConfiguration" | "InitConfiguration" | "JoinConfiguration")
        )
}

/// Reads a document; `offset` lines stand before it in the file (inside a ConfigMap).
pub(super) fn read(doc: &Node, file: &str, offset: u32) -> Kubeadm {
    let mut out = Kubeadm::default();
    let lists = doc
        .text_at(&["apiVersion"])
        .and_then(|api| api.rsplit("v1beta").next())
        .and_then(|n| n.parse::<u32>().ok())
        .is_some_and(|n| n >= 4);
    let place = |node: &Node| Place::new(file, node.line.saturating_add(offset));
    match doc.text_at(&["kind"]) {
        Some("ClusterConfiguration") => {}
        _ => {
            let registration = doc.get("nodeRegistration");
            out.node = registration
                .and_then(|node| node.text_at(&["name"]))
                .map(str::to_owned);
            if let Some(args) = registration.and_then(|node| node.get("kubeletExtraArgs")) {
                let mut instance = Instance::new("kubelet", SourceKind::Config, place(args));
                instance.component = Some(Component::Kubelet);
                instance.partial = true;
                arguments(args, lists, &mut instance, file, offset, &mut out.faults);
                out.instances.push(instance);
            }
            return out;
        }
    }
    let version = doc.get("kubernetesVersion").and_then(|node| {
        let text = node.text()?;
        Some((Version::parse(text)?, text.to_owned(), place(node)))
    });
    let parts: [(&[&str], Component); 4] = [
        (&["apiServer"], Component::ApiServer),
        (&["controllerManager"], Component::ControllerManager),
        (&["scheduler"], Component::Scheduler),
        (&["etcd", "local"], Component::Etcd),
    ];
    for (path, component) in parts {
        let Some(part) = doc.at(path) else { continue };
        let mut instance = Instance::new(component.program(), SourceKind::Config, place(part));
        instance.component = Some(component);
        instance.partial = true;
        if component == Component::Etcd {
            instance.left_alone = ETCD_TIMERS;
        }
        if let Some(args) = part.get("extraArgs") {
            arguments(args, lists, &mut instance, file, offset, &mut out.faults);
        }
        for env in part.get("extraEnvs").map_or(&[][..], Node::items) {
            if let (Some(name), Some(value)) = (env.text_at(&["name"]), env.text_at(&["value"])) {
                instance.given.push(Given {
                    name: name.to_owned(),
                    value: Some(mask_env(name, value)),
                    means: Means::Env,
                    place: place(env),
                });
            }
        }
        if component == Component::Etcd {
            if let Some(dir) = part
                .get("dataDir")
                .and_then(|node| Some((node.text()?, node)))
            {
                instance.given.push(Given {
                    name: "data-dir".to_owned(),
                    value: Some(dir.0.to_owned()),
                    means: Means::Flag,
                    place: place(dir.1),
                });
            }
            if let Some(tag) = part.get("imageTag")
                && let Some(text) = tag.text()
                && let Some(version) = Version::parse(text)
            {
                instance.versions.push(VersionSeen {
                    source: "config",
                    version,
                    text: text.to_owned(),
                    place: place(tag),
                });
            }
        } else if let Some((version, text, place)) = &version {
            instance.versions.push(VersionSeen {
                source: "config",
                version: *version,
                text: text.clone(),
                place: place.clone(),
            });
        }
        // Without any argument there is nothing to compare.
        if !instance.given.is_empty() || !instance.versions.is_empty() {
            out.instances.push(instance);
        }
    }
    if let Some(endpoints) = doc.at(&["etcd", "external", "endpoints"]) {
        let all: Vec<&str> = endpoints.items().iter().filter_map(Node::text).collect();
        out.external_etcd = Some((all.join(","), endpoints.line.saturating_add(offset)));
    }
    out
}

/// `extraArgs`: a map until v1beta3, a list of name and value from v1beta4.
fn arguments(
    args: &Node,
    lists: bool,
    instance: &mut Instance,
    file: &str,
    offset: u32,
    faults: &mut Vec<Fault>,
) {
    let is_list = matches!(args.value, Value::Seq(_));
    let empty = args.items().is_empty() && args.entries().is_empty();
    if is_list != lists && !empty {
        let (wants, has) = if lists {
            ("a list of name and value", "a map")
        } else {
            ("a map", "a list")
        };
        faults.push(
            // kubeadm refuses its own file; what runs does not read it.
            Fault::new(
                "invalid-value",
                Weight::Warn,
                Place::new(file, args.line.saturating_add(offset)),
                format!("kubeadm refuses it: extraArgs is {wants} in this version of the API, and {has} here"),
            )
            .about("extraArgs"),
        );
    }
    let pairs: Vec<(&str, &Node, u32)> = if is_list {
        args.items()
            .iter()
            .filter_map(|item| Some((item.text_at(&["name"])?, item.get("value")?, item.line)))
            .collect()
    } else {
        args.entries()
            .iter()
            .filter_map(|(key, value)| Some((key.text()?, value, key.line)))
            .collect()
    };
    for (name, value, line) in pairs {
        let place = Place::new(file, line.saturating_add(offset));
        if matches!(value.value, Value::Plain(_)) {
            faults.push(
                Fault::new(
                    "invalid-value",
                    Weight::Warn,
                    place.clone(),
                    format!("kubeadm refuses it: the value of `{name}` must be quoted, since arguments are strings"),
                )
                .about(name),
            );
        }
        let name = name.trim_start_matches('-');
        instance.given.push(Given {
            name: name.to_owned(),
            value: Some(mask(name, value.text().unwrap_or(""))),
            means: Means::Flag,
            place,
        });
    }
}
