//! Models that turn evidence and the diagnosis into "set X from A to B, because …".
//!
//! Each model is a file in `model/` and looks at one family of knobs. Models do not know of each
//! other: the order of remedies, duplicates and conflicts are settled in `settle`. A healthy
//! cluster gets no advice: models answer to a failed finding or to a cause, never to a mere value.

mod advice;
mod controllers;
mod current;
mod facts;
mod model;
mod process;
mod settle;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use advice::{Advice, Bound, Disposition, Relief, Remedy, Strength};

pub use controllers::{ControllerView, KnobView, LoopView, controllers};

use crate::diagnosis::Diagnosis;
use crate::evidence::EvidenceSet;
use crate::profile::Profile;
use crate::rules::Finding;

/// What advice is made from.
#[derive(Debug)]
pub struct Input<'a> {
    /// All readings.
    pub evidence: &'a EvidenceSet,
    /// What the rules said.
    pub findings: &'a [Finding],
    /// The root causes.
    pub diagnosis: &'a Diagnosis,
    /// The thresholds.
    pub profile: &'a Profile,
}

/// All advice, in the order in which to try it; what was argued against comes last.
pub fn advise(input: &Input<'_>) -> Vec<Advice> {
    let facts = facts::Facts::new(input);
    let mut all = model::ALL
        .iter()
        .flat_map(|model| model(&facts))
        .collect::<Vec<_>>();
    if model::goes_first(&facts) {
        all.retain(|advice| advice.remedy == Remedy::Safety);
    }
    model::keep_larger(&facts, &mut all);
    settle::settle(all)
}
