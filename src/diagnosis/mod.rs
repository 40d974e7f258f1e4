//! From findings to root causes: cause before symptom, and nothing blamed that the evidence
//! clears.

mod cause;

pub use cause::{Alternative, Cause, CauseFound, Diagnosis, Role, RuledOut, Verdict};
