//! Rules: pure functions from evidence to findings, one file a rule.
//!
//! Every rule has an id, a playbook page and boundary tests; [`RULES`] is the registry.

mod engine;
mod finding;

pub use engine::{Context, Rule, Verdict, run};
pub use finding::{Confidence, Draft, Finding, Severity, Status};

/// All rules, sorted by id.
pub static RULES: &[&Rule] = &[];

/// A rule by id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}
