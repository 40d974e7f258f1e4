//! What `advise --format json` prints.

use serde::Serialize;

use super::{Advice, Document, Seen, Verdict};
use crate::advise;
use crate::report::Report;

/// What `advise` prints.
#[derive(Debug, Serialize)]
pub struct AdviceDocument<'a> {
    /// Always `etcd-doctor/advice`.
    pub format: &'static str,
    /// Always 1.
    pub version: u32,
    /// The program's release.
    pub program: &'static str,
    /// When it was made, RFC 3339.
    pub at: String,
    /// What was given.
    pub input: &'a [String],
    /// The profile whose limits were used.
    pub profile: &'a str,
    /// The answer that the advice follows from.
    pub verdict: Verdict<'a>,
    /// What to change, in order.
    pub advice: Vec<Advice<'a>>,
    /// What was looked at and argued against, with the reason in `why`.
    pub not_advised: Vec<Advice<'a>>,
    /// Controllers that the evidence shows.
    pub controllers: &'a [advise::ControllerView],
    /// What was looked at.
    pub seen: Seen<'a>,
}

impl<'a> AdviceDocument<'a> {
    /// The document of a run of `advise`.
    pub fn of(report: &'a Report, controllers: &'a [advise::ControllerView]) -> Self {
        let whole = Document::of(report);
        AdviceDocument {
            format: "etcd-doctor/advice",
            version: 1,
            program: whole.program,
            at: whole.at,
            input: whole.input,
            profile: whole.profile,
            verdict: whole.verdict,
            advice: whole.advice,
            not_advised: whole.not_advised,
            controllers,
            seen: whole.seen,
        }
    }
}
