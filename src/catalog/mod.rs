//! Tables that many parts share: resources, releases, settings by version, metric names, request
//! queues, advisories, core clients.
//!
//! Nothing in here reads files or knows about evidence: names, numbers and their sources only.

pub mod advisories;
pub mod apf;
pub mod controllers;
pub mod core_clients;
pub mod metrics;
pub mod probes;
pub mod releases;
pub mod resources;
pub mod settings;
