//! A small control plane for the models' tests: evidence, findings and a verdict by hand.

use crate::clock::Timestamp;
use crate::diagnosis::{Cause, CauseFound, Diagnosis, Role, Verdict};
use crate::evidence::{
    Collector, Completeness, EvidenceSet, FromShape, Key, Origin, Reader, Row, Subject,
    SubjectKind, Table, Window, keys,
};
use crate::profile::Profile;
use crate::rules::{Confidence, Finding, Severity, Status};

use super::facts::Facts;
use super::{Advice, Input, Remedy, Strength, advise};

/// What the models are given, built up by a test.
pub(super) struct Plane {
    evidence: EvidenceSet,
    findings: Vec<Finding>,
    diagnosis: Diagnosis,
}

/// The component on the one node of these tests.
pub(super) fn component(name: &str) -> Subject {
    Subject::new(SubjectKind::Component, name).on("cp0")
}

impl Plane {
    /// A control plane with a verdict.
    pub(super) fn with(cause: Cause) -> Self {
        Plane {
            evidence: EvidenceSet::new(),
            findings: Vec::new(),
            diagnosis: Diagnosis {
                verdict: Verdict {
                    cause,
                    confidence: 0.8,
                    no_fault_seen: cause == Cause::None,
                    missing: Vec::new(),
                    summary: String::new(),
                },
                causes: vec![CauseFound {
                    cause,
                    role: Role::Primary,
                    confidence: 0.8,
                    summary: String::new(),
                    subject: None,
                    rules: Vec::new(),
                    evidence: Vec::new(),
                    client: None,
                    client_unknown: None,
                }],
                alternatives: Vec::new(),
                ruled_out: Vec::new(),
                who: None,
                timeline: Vec::new(),
            },
        }
    }

    /// Adds a cause beside the verdict.
    pub(super) fn also(mut self, cause: Cause, role: Role) -> Self {
        self.diagnosis.causes.push(CauseFound {
            cause,
            role,
            confidence: 0.6,
            summary: String::new(),
            subject: None,
            rules: Vec::new(),
            evidence: Vec::new(),
            client: None,
            client_unknown: None,
        });
        self
    }

    /// Says what the verdict's cause rests on.
    pub(super) fn resting_on(mut self, rules: &[&str]) -> Self {
        if let Some(cause) = self.diagnosis.causes.first_mut() {
            cause.rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        }
        self
    }

    /// Adds a reading.
    pub(super) fn put<T: FromShape>(mut self, key: &Key<T>, subject: Subject, value: T) -> Self {
        let origin = Origin::new(Collector::Metrics, "test");
        self.evidence
            .put(key, subject, Window::default(), origin, value);
        self
    }

    /// Adds a reading of a hundred seconds.
    pub(super) fn put_timed<T: FromShape>(
        mut self,
        key: &Key<T>,
        subject: Subject,
        value: T,
    ) -> Self {
        let origin = Origin::new(Collector::Metrics, "test");
        let window = Window::between(Timestamp::from_secs(0), Timestamp::from_secs(100));
        self.evidence.put(key, subject, window, origin, value);
        self
    }

    /// Adds a reading from a log that holds slow requests only.
    pub(super) fn slow_log(mut self, rows: Vec<Row>) -> Self {
        let origin = Origin::new(Collector::Logs, "0.log").with(Completeness::AtLeast);
        self.evidence.put(
            &keys::LOGS_REQUESTS,
            Subject::cluster(),
            Window::default(),
            origin,
            table(rows),
        );
        self
    }

    /// Adds a failed finding with these words.
    pub(super) fn says(self, rule: &str, subject: Subject, message: &str) -> Self {
        let mut plane = self.fails(rule, subject, Severity::Warn);
        if let Some(finding) = plane.findings.last_mut() {
            message.clone_into(&mut finding.message);
        }
        plane
    }

    /// Adds a failed finding.
    pub(super) fn fails(mut self, rule: &str, subject: Subject, severity: Severity) -> Self {
        self.findings.push(Finding {
            rule: rule.to_owned(),
            subject,
            status: Status::Fail,
            severity,
            confidence: Confidence::High,
            message: format!("{rule} was found"),
            aspect: String::new(),
            threshold: String::new(),
            evidence: Vec::new(),
            accepted: None,
        });
        self
    }

    /// Adds a failed finding about one of the rule's faults.
    pub(super) fn fails_as(mut self, rule: &str, subject: Subject, aspect: &str) -> Self {
        self = self.fails(rule, subject, Severity::Warn);
        if let Some(finding) = self.findings.last_mut() {
            aspect.clone_into(&mut finding.aspect);
        }
        self
    }

    /// Lets the last finding rest on a reading.
    pub(super) fn citing<T>(mut self, key: &Key<T>, subject: &Subject) -> Self {
        let reader = Reader::new(&self.evidence);
        reader.cite(key, subject);
        if let Some(last) = self.findings.last_mut() {
            last.evidence = reader.take_citations();
        }
        self
    }

    /// The number of nodes.
    pub(super) fn nodes(self, n: f64) -> Self {
        self.put(
            &keys::APISERVER_OBJECTS,
            component("kube-apiserver"),
            table(vec![Row::new("nodes").num("last_objects", n)]),
        )
    }

    /// Stored objects.
    pub(super) fn objects(self, counts: &[(&str, f64)]) -> Self {
        let rows = counts
            .iter()
            .map(|(resource, n)| Row::new(*resource).num("last_objects", *n))
            .collect();
        self.put(
            &keys::APISERVER_OBJECTS,
            component("kube-apiserver"),
            table(rows),
        )
    }

    /// Asks something of the facts.
    pub(super) fn with_facts<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        let profile = Profile::default();
        let input = Input {
            evidence: &self.evidence,
            findings: &self.findings,
            diagnosis: &self.diagnosis,
            profile: &profile,
        };
        ask(&Facts::new(&input))
    }

    /// Settings of a component.
    pub(super) fn settings(self, name: &str, settings: &[(&str, &str)]) -> Self {
        let rows = settings
            .iter()
            .map(|(name, value)| Row::new(*name).text("value", *value).text("source", "flag"))
            .collect();
        self.put(&keys::SETTINGS, component(name), table(rows))
    }

    /// The version of a component.
    pub(super) fn version(self, name: &str, version: &str) -> Self {
        self.put(
            &keys::VERSIONS,
            component(name),
            table(vec![Row::new("image").text("version", version)]),
        )
    }

    /// Runs all models, and holds every advice to what it must say.
    pub(super) fn advice(&self) -> Vec<Advice> {
        let profile = Profile::default();
        let all = advise(&Input {
            evidence: &self.evidence,
            findings: &self.findings,
            diagnosis: &self.diagnosis,
            profile: &profile,
        });
        for advice in &all {
            for (name, text) in [
                ("id", &advice.id),
                ("target", &advice.target),
                ("setting", &advice.setting),
                ("proposed", &advice.proposed),
                ("why", &advice.why),
                ("effect", &advice.effect),
                ("risk", &advice.risk),
                ("undo", &advice.undo),
                ("verify", &advice.verify),
                ("source", &advice.source),
            ] {
                assert!(!text.trim().is_empty(), "{}: no {name}", advice.id);
                assert!(
                    !text.contains("  "),
                    "{}: {name} has a double blank: {text}",
                    advice.id
                );
            }
        }
        // Real causes rest on rules; those of a test only where it says so.
        let causes = &self.diagnosis.causes;
        let rested = causes.iter().all(|cause| !cause.rules.is_empty());
        for advice in all.iter().filter(|_| rested) {
            // What a controller does is measured, and no rule judges it.
            let measured = matches!(
                advice.remedy,
                Remedy::Client | Remedy::ClientLimits | Remedy::Hygiene
            );
            assert!(
                measured || !advice.finding_ids.is_empty(),
                "{}: no finding asks for it",
                advice.id
            );
        }
        assert!(
            all.is_sorted_by_key(|a| (a.strength == Strength::Refused, a.remedy)),
            "out of order"
        );
        all
    }

    /// One advice by id.
    pub(super) fn find(&self, id: &str) -> Option<Advice> {
        self.advice().into_iter().find(|advice| advice.id == id)
    }
}

/// A table of rows in any order.
pub(super) fn table(mut rows: Vec<Row>) -> Table {
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Table {
        rows,
        other: None,
        error: 0.0,
    }
}
