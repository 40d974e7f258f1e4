//! The static pods while they are edited, and their files.

use std::collections::BTreeSet;

use crate::catalog::releases::{Version, of_image};
use crate::catalog::settings::Component;
use crate::patch::diff::{safe_name, unified};
use crate::patch::model::{PatchFile, PatchInput};
use crate::patch::pod::Pod;

/// A static pod while it is edited.
#[derive(Clone, Debug)]
pub(super) struct Edited {
    pub(super) node: String,
    pub(super) file: String,
    pub(super) component: Component,
    pub(super) before: String,
    pub(super) pod: Pod,
    pub(super) advice: Vec<String>,
}

impl Edited {
    pub(super) fn version(&self, input: &PatchInput<'_>) -> Option<Version> {
        self.pod
            .image()
            .and_then(of_image)
            .or(match self.component {
                Component::Etcd => input.etcd,
                _ => input.kubernetes,
            })
    }

    /// `kube-apiserver on cp0`.
    pub(super) fn words(&self) -> String {
        let program = self.component.program();
        if self.node.is_empty() {
            program.to_owned()
        } else {
            format!("{program} on {}", self.node)
        }
    }
}

/// The manifests that changed, each with what changed; a folder a node where there are several.
pub(super) fn pod_files(pods: &[Edited], many: bool) -> Vec<PatchFile> {
    let mut files: Vec<PatchFile> = Vec::new();
    let mut written: BTreeSet<(&str, &str)> = BTreeSet::new();
    for one in pods {
        if one.pod.text() == one.before || !written.insert((&one.node, &one.file)) {
            continue;
        }
        let dir = if many {
            format!("{}/", safe_name(&one.node))
        } else {
            String::new()
        };
        // Names that differ may be one when they are made safe.
        let safe = safe_name(&one.file);
        let name = (1..)
            .map(|n| match n {
                1 => safe.clone(),
                n => format!("{n}-{safe}"),
            })
            .find(|name| {
                let path = format!("manifests/{dir}{name}");
                files.iter().all(|file| file.path != path)
            })
            .unwrap_or(safe.clone());
        let mut advice: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for part in pods.iter().filter(|part| {
            (&part.node, &part.file) == (&one.node, &one.file) && !part.advice.is_empty()
        }) {
            words.push(part.words());
            for id in &part.advice {
                if !advice.contains(id) {
                    advice.push(id.clone());
                }
            }
        }
        files.push(PatchFile {
            path: format!("manifests/{dir}{name}"),
            content: one.pod.text().to_owned(),
            what: format!(
                "static pod{} of {}",
                if words.len() > 1 { "s" } else { "" },
                words.join(", ")
            ),
            advice: advice.clone(),
        });
        files.push(PatchFile {
            path: format!("diffs/{dir}{name}.diff"),
            content: unified(&one.before, one.pod.text(), &name),
            what: "what changed".to_owned(),
            advice,
        });
    }
    files
}
