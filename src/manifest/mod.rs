//! Readers of every place where settings live → effective settings.
//!
//! Bytes become [`Instance`]s (one run of a program as one source describes it, every setting with
//! its file and line), instances become [`Unit`]s (what is in force, and what only the manifest
//! says), and [`collect`] turns those into evidence. Secrets are masked while reading.

mod argv;
mod collect;
mod component_config;
mod distribution;
mod effective;
mod env_files;
mod gather;
mod helm;
mod host;
mod kubeadm;
mod masked;
mod model;
mod pods;
mod process;
mod rancher;
mod read;
mod secret;
mod settled;
mod shell_env;
mod specifier;
mod systemd;
mod talos;
mod text;
mod yaml;

pub use collect::collect;
pub use distribution::{Datastore, DatastoreKind, Distribution, Distro, datastore, distribution};
pub use effective::{Effective, Provenance, Settled, settle, settle_as};
pub(crate) use env_files::{is_pattern, matches as matches_pattern};
pub use gather::ManifestModel;
pub use host::read_host;
pub(crate) use masked::mask_lines;
pub use model::{
    Fault, Given, Instance, Means, Place, Probe, Resources, SourceKind, VersionSeen, Weight,
    Workload,
};
pub use read::{read_bundle, read_single};
pub(crate) use secret::mask_text;
pub use settled::{Defined, Unit, settle_all, unread};
pub(crate) use specifier::expand as expand_specifiers;
pub(crate) use systemd::OPEN as OPEN_VARIABLE;
pub use systemd::quotes_closed;
pub use text::{effective_of_files, effective_of_text, model_of_text};
