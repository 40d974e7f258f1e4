//! The report: everything a run found, as a value that renderers print and programs read.

pub mod barriers;
mod build;
pub mod compare;
pub mod compare_runs;
pub mod counts;
pub mod etcd;
mod judged;
pub mod logs;
mod logs_calls;
pub mod schema;
pub mod seats;
pub mod v1;

pub use build::{Checked, Report, Seen, SourceSeen};
pub use judged::{Judged, place};
