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

/// Most runs that are named.
const SHOWN: usize = 4;

/// What was looked at and what was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Kinds of evidence that gave readings.
    pub sources: Vec<SourceSeen>,
    /// The runs, by time, where the evidence is of several with an hour or more between them; else nothing.
    pub runs: Vec<Window>,
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
        Seen {
            sources,
            runs: evidence.runs(),
            problems,
        }
    }

    /// That counts and rates are those of several runs together, in words.
    pub fn several(&self) -> Option<String> {
        let last = self.runs.last()?.from?.to_second();
        let of = |run: &Window| {
            let (from, to) = (run.from?.to_second(), run.to?.to_second());
            Some(format!("{from} to {to}"))
        };
        let all: Vec<String> = self.runs.iter().filter_map(of).collect();
        let (shown, more) = match all.len() {
            n if n > SHOWN => (SHOWN, format!("; and {} more", n - SHOWN)),
            n => (n, String::new()),
        };
        let shown = all.get(..shown).unwrap_or_default().join("; ");
        let at = last.replace(' ', "T");
        Some(format!(
            "{} runs with an hour or more between them ({shown}{more}): counts, rates and shares are of all of them \
             together, and `--since {at}Z` looks at the last one alone",
            all.len()
        ))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Origin, Subject, Table, keys};

    fn seen(windows: &[(i64, i64)]) -> Seen {
        let mut evidence = EvidenceSet::new();
        for (from, to) in windows {
            let window = Window::between(Timestamp::from_secs(*from), Timestamp::from_secs(*to));
            let origin = Origin::new(Collector::Logs, format!("from {from}"));
            let key = &keys::LOGS_AUDIT_CLIENTS;
            evidence.put(key, Subject::cluster(), window, origin, Table::default());
        }
        Seen::of(&evidence, Vec::new())
    }

    #[test]
    fn runs_with_hours_between_them_are_told() {
        const DAY: i64 = 86_400;
        let words = seen(&[(0, 180), (DAY, DAY + 120)]).several().unwrap();
        assert!(
            words.starts_with(
                "2 runs with an hour or more between them (1970-01-01 00:00:00 to 1970-01-01 00:03:00; 1970-01-02 00:00:00 to "
            ),
            "{words}"
        );
        assert!(words.contains("`--since 1970-01-02T00:00:00Z`"), "{words}");
        let many: Vec<(i64, i64)> = (0..6).map(|n| (n * DAY, n * DAY + 9)).collect();
        assert!(seen(&many).several().unwrap().contains("; and 2 more)"));
        // Pieces of one run, and one run.
        assert_eq!(seen(&[(0, 180), (180 + 3_599, DAY)]).several(), None);
        assert!(seen(&[(0, 180), (180 + 3_600, DAY)]).several().is_some());
        assert_eq!(seen(&[(0, DAY)]).several(), None);
    }
}
