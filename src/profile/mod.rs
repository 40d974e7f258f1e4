//! Thresholds by cluster size and distribution, embedded from `profiles/`, each with its source.

/// The thresholds in force.
#[derive(Clone, Debug, Default)]
pub struct Profile {}
