//! Emitters: advice as files of a distribution, applied in memory and read back before shown.
//!
//! Nothing here touches a file system: [`Emitter::emit`] takes texts and gives texts. A file is
//! given only when its edit was proven: parsed again, the setting has the advised value and
//! nothing else changed. Everything else is shown with the reason.

mod argv;
mod cluster_config;
mod model;
mod pod;
mod yaml;

pub use model::{Emitter, NodeManifests, PatchFile, PatchInput, PatchSet, Shown};
pub use yaml::Refusal;
