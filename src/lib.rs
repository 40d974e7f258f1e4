//! etcd-doctor: from a control plane's logs, metrics, settings and host facts to a verdict,
//! advice and a config patch.
//!
//! The library is not a public API. It exists so that tests, benches and fuzz targets reach the
//! parts.
//!
//! # Data flow
//!
//! ```text
//! target + profile
//!   → collectors {host, manifest, etcd, metrics, logs, bench}   each: bytes → model → evidence
//!   → EvidenceSet       typed readings with provenance; mergeable; can be saved and replayed
//!   → rules             pure functions; Pass | Fail | Unknown(reason) | NotApplicable
//!   → Findings          severity and confidence are two fields; each cites the readings it used
//!   → diagnosis         ranks root causes
//!   → advise            models that turn evidence into "set X from A to B, because…, expect…"
//!   → patch             emitters per distribution; applied in memory and read back before shown
//!   → Report → render   terminal, JSON, HTML, Markdown, JUnit, SARIF, Prometheus text
//! ```
//!
//! Every arrow is a plain serialisable value, so a run can stop, be saved, be merged with other
//! nodes' runs, and go on elsewhere. Who may name whom is kept by `tests/layering.rs`.

pub mod advise;
pub mod bench;
pub mod bundle;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod diagnosis;
pub mod error;
#[cfg(feature = "live")]
pub mod etcd;
pub mod evidence;
pub mod exit;
pub mod formats;
pub mod host;
pub mod logs;
pub mod manifest;
pub mod metrics;
pub mod patch;
pub mod playbook;
pub mod profile;
pub mod render;
pub mod report;
pub mod rules;
pub mod sys;
pub mod target;
pub mod units;

pub use cli::run_from_env;
pub use error::Error;
