//! What a rule says: findings with severity and confidence apart, and the readings they rest on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::{Citation, Subject};

use super::accept::Accepted;

/// How bad it is if it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know; needs no action now.
    Info,
    /// Will hurt, or hurts a little.
    Warn,
    /// Hurts now, or can lose data.
    Critical,
}

impl Severity {
    /// The word used in output and in `--fail-on`.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How sure it is: a measurement, an inference, or a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A hint: other explanations are as good.
    Low,
    /// Inferred: the evidence fits, and could fit something else.
    Medium,
    /// Measured or said outright.
    High,
}

impl Confidence {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }
    }
}

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The fault is there.
    Fail,
    /// It could not be told; the message says why.
    Unknown,
    /// It was looked for and is not there.
    Pass,
    /// The question makes no sense here (kine instead of etcd, a single member).
    NotApplicable,
}

impl Status {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Status::Fail => "fail",
            Status::Unknown => "unknown",
            Status::Pass => "pass",
            Status::NotApplicable => "not-applicable",
        }
    }
}

/// One answer of one rule about one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// What it is about.
    pub subject: Subject,
    /// What came of it.
    pub status: Status,
    /// How bad; `info` for anything but a failure.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence with the numbers in it.
    pub message: String,
    /// Which of a rule's several faults it is, in a word for the program; empty where a rule has one. The
    /// message is for people, and may be worded anew.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub aspect: String,
    /// The limit that decided and where it comes from, where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub threshold: String,
    /// The readings it rests on.
    pub evidence: Vec<Citation>,
    /// Set when somebody accepted it, with the reason and the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

impl Finding {
    /// Whether the fault is there.
    pub fn failed(&self) -> bool {
        self.status == Status::Fail
    }

    /// Whether the fault is there and nobody has accepted it.
    pub fn counts(&self) -> bool {
        self.failed() && self.accepted.as_ref().is_none_or(|a| a.expired)
    }
}

/// What a rule's function gives back for one subject; the engine adds id and citations.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) subject: Subject,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) message: String,
    pub(super) aspect: String,
    pub(super) threshold: String,
    pub(super) evidence: Vec<Citation>,
    /// How much of the whole it is: of several subjects the heaviest comes first.
    pub(super) weight: f64,
}

impl Draft {
    /// A failure with high confidence.
    pub fn new(subject: Subject, severity: Severity, message: impl Into<String>) -> Self {
        Draft {
            subject,
            severity,
            confidence: Confidence::High,
            message: message.into(),
            aspect: String::new(),
            threshold: String::new(),
            evidence: Vec::new(),
            weight: 0.0,
        }
    }

    /// How much of the whole it is, so that of several subjects the heaviest is named first.
    #[must_use]
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Lowers or states the confidence.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Says which of the rule's faults it is; see [`Finding::aspect`].
    #[must_use]
    pub fn aspect(mut self, aspect: impl Into<String>) -> Self {
        self.aspect = aspect.into();
        self
    }

    /// States the limit that decided, with its source.
    #[must_use]
    pub fn threshold(mut self, threshold: impl Into<String>) -> Self {
        self.threshold = threshold.into();
        self
    }

    /// Takes what the reader noted since the last draft as this one's citations. Without it, the
    /// engine gives all drafts of a rule everything the rule read.
    #[must_use]
    pub fn cites(mut self, evidence: Vec<Citation>) -> Self {
        self.evidence = evidence;
        self
    }

    /// What it is about.
    pub fn about(&self) -> &Subject {
        &self.subject
    }

    /// Whether it is about this fault of the rule's; see [`Finding::aspect`].
    pub fn has_aspect(&self, aspect: &str) -> bool {
        self.aspect == aspect
    }

    /// Whether it is about this subject.
    pub fn is_about(&self, subject: &Subject) -> bool {
        self.subject == *subject
    }

    /// Adds citations, as when a second source says the same.
    pub fn add_citations(&mut self, more: Vec<Citation>) {
        self.evidence.extend(more);
    }
}
