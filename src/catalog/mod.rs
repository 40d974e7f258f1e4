//! Tables that many parts share: releases, settings by version, request queues, advisories.
//!
//! Nothing in here reads files or knows about evidence: names, numbers and their sources only.

pub mod advisories;
pub mod apf;
pub mod releases;
pub mod settings;
