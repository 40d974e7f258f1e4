//! Tables that many parts share.

pub mod metrics;
