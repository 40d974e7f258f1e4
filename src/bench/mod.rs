//! Benches: what a disk or an etcd can do, measured as etcd feels it, with the doubts about it.
//!
//! An engine measures and judges; it prints nothing. It gets what it needs of the host through
//! [`disk::Host`] and `etcd`'s `Surroundings`, and a live guard ends it through [`Cancel`]: `cli` wires both. Results are the
//! values of [`formats::bench`](crate::formats::bench).

pub mod cancel;
pub mod collect;
pub mod disk;
#[cfg(feature = "live")]
pub mod etcd;
pub mod machine;
pub mod progress;
pub mod recorder;
pub mod stats;

pub use cancel::Cancel;
pub use progress::{NoProgress, Progress};
