//! Saved results of the benches: plain values that programs read, `compare` sets side by side and
//! `render` prints. The numbers are in here; the judging and the words are elsewhere.

pub mod disk;
pub mod etcd;
pub mod latency;
pub mod observe;
mod plan;
pub mod power_cut;
pub mod replay;
pub mod throttle;

pub use latency::{Bounds, Latency, Percentile};
