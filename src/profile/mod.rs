//! Thresholds by cluster size and distribution, embedded from `profiles/`, each with its source.

mod limits;

pub use limits::{Limit, Profile, Profiles};
