//! Reads settings back from a text in memory, so that a patch can prove itself before it is shown.

use super::effective::{Settled, settle};
use super::gather::{File, ManifestModel};
use super::settled::settle_all;
use crate::catalog::settings::Component;

/// The model of one file's text under a file name, as if it had been read from a folder.
pub fn model_of_text(name: &str, text: &str) -> ManifestModel {
    let mut model = ManifestModel::default();
    model.files = 1;
    model.add_file(File {
        name,
        node: None,
        text,
    });
    model.finish(None, &|_| None);
    model
}

/// What a component would run with, given one file's text: a static pod, a unit, a kubeadm or
/// k3s configuration, a Talos machine configuration, or the component's own file. `None` when the
/// text says nothing about the component, or could not be read.
pub fn effective_of_text(component: Component, name: &str, text: &str) -> Option<Settled> {
    let model = model_of_text(name, text);
    if let Some(unit) = settle_all(&model)
        .into_iter()
        .find(|unit| unit.main().component == Some(component))
    {
        return Some(unit.settled);
    }
    model
        .instances
        .iter()
        .find(|instance| instance.component == Some(component))
        .map(settle)
}
