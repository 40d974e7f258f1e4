//! Puts evidence, findings, diagnosis and advice together.

use crate::advise::Advice;
use crate::clock::Timestamp;
use crate::diagnosis::Diagnosis;
use crate::evidence::{Collector, EvidenceSet, Window};
use crate::patch::PatchSet;
use crate::rules::{Finding, Severity, Status};

/// One kind of evidence and whether it was there.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSeen {
    /// Which collector.
    pub collector: Collector,
    /// Readings it gave.
    pub readings: usize,
    /// The time they cover, where they have one.
    pub window: Window,
}

/// What was looked at and what was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Kinds of evidence that gave readings.
    pub sources: Vec<SourceSeen>,
    /// What could not be read, each with the reason.
    pub problems: Vec<String>,
}

/// A whole report.
#[derive(Clone, Debug)]
pub struct Report {
    /// When it was made.
    pub at: Timestamp,
    /// The profile whose limits were used.
    pub profile: String,
    /// Its limits by name, in the unit of what they limit (times in milliseconds).
    pub limits: std::collections::BTreeMap<String, f64>,
    /// What was given, as the user named it.
    pub input: Vec<String>,
    /// What was looked at.
    pub seen: Seen,
    /// The evidence.
    pub evidence: EvidenceSet,
    /// What the rules said.
    pub findings: Vec<Finding>,
    /// The root causes.
    pub diagnosis: Diagnosis,
    /// What to change.
    pub advice: Vec<Advice>,
    /// The recommended advice as files, where manifests were found.
    pub patch: Option<PatchSet>,
}

impl Seen {
    /// What a set of evidence covers.
    pub fn of(evidence: &EvidenceSet, problems: Vec<String>) -> Self {
        let mut sources: Vec<SourceSeen> = Vec::new();
        for record in evidence.records() {
            if matches!(record.value, crate::evidence::Reading::Missing(_)) {
                continue;
            }
            let collector = record.origin.collector;
            match sources.iter_mut().find(|s| s.collector == collector) {
                Some(seen) => {
                    seen.readings += 1;
                    seen.window = seen.window.union(record.window);
                }
                None => sources.push(SourceSeen {
                    collector,
                    readings: 1,
                    window: record.window,
                }),
            }
        }
        sources.sort_by_key(|s| s.collector);
        Seen { sources, problems }
    }

    /// Whether a collector gave readings.
    pub fn has(&self, collector: Collector) -> bool {
        self.sources.iter().any(|s| s.collector == collector)
    }
}

impl Report {
    /// The worst severity among failures that nobody accepted.
    pub fn worst(&self) -> Option<Severity> {
        self.findings
            .iter()
            .filter(|f| f.counts())
            .map(|f| f.severity)
            .max()
    }

    /// How many findings have a status.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|f| f.status == status).count()
    }

    /// Failures, worst first, then by rule.
    pub fn failures(&self) -> Vec<&Finding> {
        let mut failures: Vec<&Finding> = self.findings.iter().filter(|f| f.failed()).collect();
        failures.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then_with(|| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)))
        });
        failures
    }
}

/// What `check` found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What the rules said.
    pub findings: Vec<Finding>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// The profile whose limits were used.
    pub profile: String,
    /// What the priority levels of each kube-apiserver get, where settings were checked.
    pub seats: Vec<super::seats::Seats>,
    /// The write barriers under each etcd, where the host was checked.
    pub barriers: Vec<super::barriers::Ladder>,
    /// The members of a live etcd, when it was checked.
    pub etcd: Option<super::etcd::EtcdOverview>,
    /// What to do about a live etcd, when it was checked.
    pub advice: Vec<Advice>,
}

impl Checked {
    /// Its JSON.
    pub fn document(&self) -> super::v1::CheckDocument<'_> {
        super::v1::CheckDocument::of(self)
    }
}
