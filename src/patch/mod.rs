//! Emitters: advice as files of a distribution, applied in memory and read back before shown.
//!
//! Nothing here touches a file system: [`Emitter::emit`] takes texts and gives texts. A file is
//! given only when its edit was proven: parsed again, the setting has the advised value and
//! nothing else changed. Everything else is shown with the reason.

mod apf;
mod argv;
mod change;
mod cluster_config;
mod component_file;
mod diff;
mod edit;
#[cfg(test)]
mod emitter_props;
mod events_etcd;
mod events_unit;
mod exec_line;
mod floor;
mod helm;
mod json_patch;
mod kubeadm;
mod members;
mod model;
mod others;
mod pod;
mod pod_value;
mod probes;
#[cfg(test)]
mod raise_tests;
mod rancher;
mod steps;
mod systemd;
mod talos;
mod talos_undo;
mod wanted;
mod yaml;

use crate::manifest::mask_text;

pub use apf::Apf;
pub use component_file::{ComponentFile, KUBELET_FILE, SCHEDULER_FILE};
pub use helm::Helm;
pub use json_patch::JsonPatch;
pub use kubeadm::Kubeadm;
pub use members::{Member, members};
pub use model::{Emitter, Had, NodeManifests, PatchFile, PatchInput, PatchSet, Shown};
pub use rancher::{K3S, RKE2, Rancher};
pub use systemd::Systemd;
pub(crate) use systemd::{Named, named_files};
pub use talos::Talos;
pub use yaml::Refusal;

/// Every emitter, by name.
pub const EMITTERS: &[&dyn Emitter] = &[
    &Kubeadm,
    &K3S,
    &RKE2,
    &Talos,
    &Systemd,
    &JsonPatch,
    &Helm,
    &SCHEDULER_FILE,
    &KUBELET_FILE,
    &Apf,
];

/// What the emitter of a name gives, with the secrets masked in what is to be printed: its files hold
/// the nodes' own lines, its sentences and diffs do not.
pub fn emit(name: &str, input: &PatchInput<'_>) -> Option<PatchSet> {
    let emitter = EMITTERS.iter().find(|emitter| emitter.name() == name)?;
    let mut set = emitter.emit(input);
    for shown in &mut set.shown {
        shown.why = mask_text(&shown.why);
    }
    for already in &mut set.already {
        *already = mask_text(already);
    }
    Some(set)
}
