//! Prometheus metrics of etcd and the control plane: scrapes to time lines, time lines to
//! windowed counts, rates and latency brackets.
//!
//! ```text
//! files, HTTP or Prometheus → scrape (one moment of one process) → timeline (one process over
//! time) → delta (counters with resets, histograms) → etcd, apiserver, scheduler, … → collect
//! ```

pub mod apf;
pub mod apiserver;
mod backends;
mod bracket;
pub mod collect;
pub mod controllers;
mod copies;
mod delta;
mod dump;
pub mod etcd;
mod fault;
pub mod fetch;
mod folder;
mod gaps;
mod group;
mod identity;
mod joined;
mod load;
mod moment;
pub mod process;
pub mod prometheus_api;
mod resource;
pub mod scheduler;
pub mod slo;
mod store;
mod timeline;
mod window;

pub use bracket::Hist;
pub use collect::collect;
pub use delta::{Change, Level};
pub use fault::{Fault, FaultKind};
pub use folder::{is_scrape, read_file, read_files, read_folder};
pub use identity::Role;
pub use load::{Hint, Limits, Loader};
pub use moment::TimeSource;
pub use timeline::{Labels, Model, Target, Timeline};
pub use window::Span;
