//! Talos machine configuration: the arguments it adds to the control plane. Its secrets are never
//! looked at.

use super::model::{ETCD_TIMERS, Given, Instance, Means, Place, SourceKind, VersionSeen};
use super::secret::mask;
use super::yaml::Node;
use crate::catalog::releases;
use crate::catalog::settings::Component;

/// Whether a document is a Talos machine configuration.
pub(super) fn is_machine(doc: &Node) -> bool {
    doc.get("kind").is_none()
        && doc
            .get("machine")
            .is_some_and(|machine| !machine.entries().is_empty())
        && (doc.get("cluster").is_some() || doc.text_at(&["version"]) == Some("v1alpha1"))
}

/// The node's name, where the configuration gives one.
pub(super) fn host_name(doc: &Node) -> Option<&str> {
    doc.text_at(&["machine", "network", "hostname"])
}

/// The components with arguments or a version.
pub(super) fn read(doc: &Node, file: &str) -> Vec<Instance> {
    let parts: [(&[&str], Component); 5] = [
        (&["cluster", "apiServer"], Component::ApiServer),
        (
            &["cluster", "controllerManager"],
            Component::ControllerManager,
        ),
        (&["cluster", "scheduler"], Component::Scheduler),
        (&["cluster", "etcd"], Component::Etcd),
        (&["machine", "kubelet"], Component::Kubelet),
    ];
    let mut out = Vec::new();
    for (path, component) in parts {
        let Some(part) = doc.at(path) else { continue };
        let mut instance = Instance::new(
            component.program(),
            SourceKind::Config,
            Place::new(file, part.line),
        );
        instance.component = Some(component);
        instance.partial = true;
        if component == Component::Etcd {
            instance.left_alone = ETCD_TIMERS;
        }
        if let Some(args) = part.get("extraArgs") {
            for (key, value) in args.entries() {
                let Some(name) = key.text() else { continue };
                // Newer releases take a list too: the flag is then repeated.
                let one = std::slice::from_ref(value);
                let values = if value.items().is_empty() {
                    one
                } else {
                    value.items()
                };
                for value in values {
                    instance.given.push(Given {
                        name: name.to_owned(),
                        value: value.text().map(|text| mask(name, text)),
                        means: Means::Flag,
                        place: Place::new(file, key.line),
                    });
                }
            }
        }
        if let Some(config) = part.get("extraConfig") {
            instance
                .given
                .extend(super::component_config::flatten(config, file));
        }
        if let Some(image) = part.get("image")
            && let Some(text) = image.text()
        {
            instance.image = Some(text.to_owned());
            if let Some(version) = releases::of_image(text) {
                instance.versions.push(VersionSeen {
                    source: "image",
                    version,
                    text: text.to_owned(),
                    place: Place::new(file, image.line),
                });
            }
        }
        if !instance.given.is_empty() || !instance.versions.is_empty() {
            out.push(instance);
        }
    }
    out
}
