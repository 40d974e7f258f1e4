//! Control-plane logs: files, folders and streams in; events, a load table, episodes and
//! evidence out.
//!
//! ```text
//! input (which files, which stream) → reader (bytes, inflated, in chunks) → wrapper (CRI, docker,
//! journal, syslog, …) → format (zap, capnslog, klog, …) → Record → signature → Event
//! → aggregate (join, sampling, bounded tables; merge) → Summary → collect → evidence
//! ```
//!
//! etcd's commonest lines take a shorter way, with the same result: from format to aggregate by
//! their beginning ([`head::Head`]), without a record.

pub mod aggregate;
pub mod audit;
mod collect;
pub mod decode;
pub mod emit;
pub mod event;
pub mod fields;
pub mod format;
pub mod head;
pub mod input;
pub mod live;
mod mix;
mod needle;
pub mod reader;
pub mod record;
pub mod request;
pub mod scan;
pub mod signature;
pub mod stitch;
pub mod summary;
pub mod tail;
pub mod timeline;
pub mod timestamp;
pub mod view;
pub mod wrapper;
pub mod writer;

pub use collect::{collect, tells_clients};
