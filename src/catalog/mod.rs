//! Tables that many parts share: releases, settings by version, metric names, request queues,
//! advisories.
//!
//! Nothing in here reads files or knows about evidence: names, numbers and their sources only.
pub mod metrics;
pub mod releases;
pub mod settings;
//! Tables that several parts share: what an etcd key or an API path means.
pub mod resources;
