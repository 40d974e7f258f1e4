//! What an assessment of one cause gives, and how findings are looked up.

use std::collections::BTreeSet;

use crate::evidence::{Citation, Subject, SubjectKind};
use crate::rules::load::expensive_lists::OWN_CPU;
use crate::rules::{Confidence, Finding, Severity};

use super::cause::{Alternative, Cause, CauseFound, Role, RuledOut};
use super::facts::Facts;
use super::measured::is_etcd;

/// From this confidence on a cause is claimed; below it is an alternative.
pub(super) const CLAIM: f64 = 0.5;

/// Rules that fail when etcd itself is ill, whatever its cause; what proves most comes first.
pub const ILL: &[&str] = &[
    "device-flush-slow",
    "device-write-slow",
    "wal-sync-stalled",
    "wal-fsync-slow",
    "backend-commit-slow",
    "leader-unstable",
    "leader-missing",
    "heartbeat-late",
    "read-index-slow",
    "proposals-failing",
];

/// Rules that fail when too much, or what costs too much, is asked of etcd.
pub const LOADED: &[&str] = &["client-heavy-lists", "events-dominate", "expensive-lists"];

/// Everything one assessment can say.
#[derive(Clone, Debug, Default)]
pub(super) struct Assessment {
    pub(super) found: Option<CauseFound>,
    /// What it would be as a part of another cause: set where it is too weak to stand alone.
    pub(super) weak: Option<CauseFound>,
    pub(super) alternative: Option<Alternative>,
    pub(super) ruled_out: Option<RuledOut>,
}

impl Assessment {
    /// A cause with a confidence: claimed, or an alternative with what would settle it.
    pub(super) fn of(
        cause: Cause,
        confidence: f64,
        summary: String,
        findings: &[&Finding],
        settle: &str,
    ) -> Self {
        let found = CauseFound {
            cause,
            role: Role::Primary,
            confidence,
            summary,
            subject: findings.first().map(|f| f.subject.clone()),
            rules: rules(findings),
            evidence: evidence(findings),
            client: None,
            client_unknown: None,
        };
        if confidence < CLAIM {
            let alternative = Alternative {
                cause,
                confidence,
                why: found.summary.clone(),
                settle: settle.to_owned(),
            };
            return Assessment {
                weak: Some(found),
                alternative: Some(alternative),
                ..Assessment::default()
            };
        }
        Assessment {
            found: Some(found),
            ..Assessment::default()
        }
    }

    /// A cause that the evidence clears.
    pub(super) fn cleared(cause: Cause, why: impl Into<String>, evidence: Vec<Citation>) -> Self {
        Assessment {
            ruled_out: Some(RuledOut {
                cause,
                why: why.into(),
                evidence,
            }),
            ..Assessment::default()
        }
    }
}

/// What assessments look at.
pub(super) struct Case<'a> {
    pub(super) findings: &'a [Finding],
    pub(super) facts: &'a Facts,
}

impl<'a> Case<'a> {
    /// Failures of a rule, worst first.
    pub(super) fn failed(&self, rule: &str) -> Vec<&'a Finding> {
        let mut failed: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|f| f.rule == rule && f.failed())
            .collect();
        failed.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then_with(|| b.confidence.cmp(&a.confidence))
        });
        failed
    }

    /// Whether a rule failed.
    pub(super) fn has(&self, rule: &str) -> bool {
        self.findings.iter().any(|f| f.rule == rule && f.failed())
    }

    /// Whether a rule failed with at least this severity.
    pub(super) fn has_at(&self, rule: &str, severity: Severity) -> bool {
        self.findings
            .iter()
            .any(|f| f.rule == rule && f.failed() && f.severity >= severity)
    }

    /// Whether a rule failed with high confidence.
    pub(super) fn measured(&self, rule: &str) -> bool {
        self.findings
            .iter()
            .any(|f| f.rule == rule && f.failed() && f.confidence == Confidence::High)
    }

    /// All failures of several rules, in the order given.
    pub(super) fn all(&self, rules: &[&str]) -> Vec<&'a Finding> {
        rules.iter().flat_map(|rule| self.failed(rule)).collect()
    }

    /// Failures of `faults-logged` about one kind of message, which their citations name.
    pub(super) fn logged(&self, kind: &str) -> Vec<&'a Finding> {
        let mut logged = self.failed("faults-logged");
        logged.retain(|finding| {
            let mut words = finding.evidence.iter().flat_map(|c| c.value.split(' '));
            words.any(|word| word == kind)
        });
        logged
    }

    /// Failures that say, by the traces of slow requests, that reads waited for the leader, where
    /// nothing else says what held it up. Lines of their own are those of members that wait for another
    /// one: they point to the links.
    pub(super) fn unexplained_waits(&self) -> Vec<&'a Finding> {
        let mut waits = self.failed("read-index-slow");
        waits.retain(|finding| by_traces(finding) && !self.known_reason_to_wait());
        waits
    }

    fn known_reason_to_wait(&self) -> bool {
        let warned = [
            "component-restarting",
            "device-flush-slow",
            "device-write-slow",
            "etcd-cpu-throttled",
            "heartbeat-late",
            "leader-missing",
            "member-down",
            "peer-link-unstable",
            "peer-rtt-high",
            "raft-messages-dropped",
            "run-delay-high",
            "wal-fsync-slow",
            "wal-sync-stalled",
        ]
        .iter()
        .any(|rule| self.has_at(rule, Severity::Warn));
        warned || !self.starved().is_empty()
    }

    /// Failures that say that raft's clock could not tick, where that was logged more often than a
    /// slow sync: the process did not run.
    pub(super) fn starved(&self) -> Vec<&'a Finding> {
        match self.facts.ticks_over_syncs {
            true => self.logged("tick-missed"),
            false => Vec::new(),
        }
    }

    /// Failures that say that lists keep etcd itself at work.
    pub(super) fn burns(&self) -> impl Iterator<Item = &'a Finding> {
        let failed = self.failed("expensive-lists").into_iter();
        failed.filter(|finding| finding.aspect == OWN_CPU)
    }

    /// Whether the processor that etcd lacks on a node is used by etcd itself, for lists.
    pub(super) fn burns_on(&self, node: &str) -> bool {
        self.burns()
            .any(|finding| node.is_empty() || finding.subject.node_name() == node)
    }

    /// What makes one member stand out from the others, as far as a reading of this key shows it.
    pub(super) fn odd(&self, key: &str) -> Vec<&'a Finding> {
        self.failed("member-odd-one-out")
            .into_iter()
            .filter(|finding| finding.evidence.iter().any(|cited| cited.key == key))
            .collect()
    }

    /// Whether etcd itself is ill, whatever its cause: no client that holds itself back does that.
    pub(super) fn etcd_is_ill(&self) -> bool {
        ILL.iter().any(|rule| self.has_at(rule, Severity::Warn))
    }

    /// Whether etcd or its clients show slowness, whatever its cause.
    pub(super) fn etcd_is_slow(&self) -> bool {
        [
            "wal-fsync-slow",
            "wal-sync-stalled",
            "backend-commit-slow",
            "slow-requests",
            "heartbeat-late",
            "read-index-slow",
            "leader-unstable",
            "leader-missing",
            "etcd-requests-slow",
            "proposals-failing",
        ]
        .iter()
        .any(|rule| self.has(rule))
    }
}

/// Whether a failure about reads that waited for the leader is told from slow requests themselves.
pub(super) fn by_traces(finding: &Finding) -> bool {
    let mut cited = finding.evidence.iter();
    finding.rule == "read-index-slow" && cited.any(|cited| cited.key == "logs.requests")
}

fn rules(findings: &[&Finding]) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for finding in findings {
        if !rules.contains(&finding.rule) {
            rules.push(finding.rule.clone());
        }
    }
    rules
}

fn evidence(findings: &[&Finding]) -> Vec<Citation> {
    let mut citations: Vec<Citation> = Vec::new();
    // The first citation of each finding first, so that the strongest of each comes early.
    let deepest = findings.iter().map(|f| f.evidence.len()).max().unwrap_or(0);
    for depth in 0..deepest {
        for finding in findings {
            if let Some(citation) = finding.evidence.get(depth)
                && !citations.contains(citation)
            {
                citations.push(citation.clone());
            }
        }
    }
    citations.truncate(12);
    citations
}

/// What the first of some findings says, with the subjects of which it says so. Others of its rule have
/// numbers of their own; what other rules found is told elsewhere.
pub(super) fn claim(findings: &[&Finding]) -> String {
    let Some(first) = findings.first() else {
        return String::new();
    };
    let of_rule = findings.iter().filter(|found| found.rule == first.rule);
    let (same, others): (Vec<&Finding>, Vec<&Finding>) =
        of_rule.partition(|found| found.message == first.message);
    let (same, others) = (names(&same), names(&others));
    let message = &first.message;
    match (same.as_str(), others.as_str()) {
        ("", _) => message.clone(),
        (same, "") if message.contains(same) => message.clone(),
        (same, "") => format!("{message} ({same})"),
        (same, others) => format!("{message} ({same}; with other numbers {others})"),
    }
}

/// The subjects of findings, named once each: `lab06-cp0, lab06-cp1`.
pub(super) fn names(findings: &[&Finding]) -> String {
    let mut names: Vec<String> = Vec::new();
    for finding in findings {
        let name = name(&finding.subject);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    // `etcd on cp0, cp0` says one thing twice; `kube-apiserver on cp0, cp0` says two.
    let longer: BTreeSet<String> = findings
        .iter()
        .filter(|finding| finding.subject.kind == SubjectKind::Device || is_etcd(&finding.subject))
        .filter(|finding| !finding.subject.name.is_empty())
        .filter_map(|finding| finding.subject.node.clone())
        .collect();
    names.retain(|name| !longer.contains(name));
    names.truncate(3);
    names.join(", ")
}

fn name(subject: &Subject) -> String {
    match (&subject.node, subject.name.is_empty()) {
        (Some(node), false) => format!("{} on {node}", subject.name),
        (Some(node), true) => node.clone(),
        (None, _) => subject.name.clone(),
    }
}
