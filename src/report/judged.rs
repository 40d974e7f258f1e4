//! What rules said, apart from the rest of a report: what the formats for other programs show.

use crate::clock::Timestamp;
use crate::diagnosis;
use crate::evidence::Citation;
use crate::rules::{Finding, Severity, Status};

use super::{Checked, Report};

/// Findings with what belongs to them.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// When it was made.
    pub at: Timestamp,
    /// The profile whose limits were used.
    pub profile: &'a str,
    /// What the rules said.
    pub findings: &'a [Finding],
    /// The answer, where causes were looked for.
    pub verdict: Option<&'a diagnosis::Verdict>,
    /// What could not be read.
    pub problems: &'a [String],
}

impl<'a> Judged<'a> {
    /// Of a whole report.
    pub fn of(report: &'a Report) -> Self {
        Judged {
            at: report.at,
            profile: &report.profile,
            findings: &report.findings,
            verdict: Some(&report.diagnosis.verdict),
            problems: &report.seen.problems,
        }
    }

    /// Of a check.
    pub fn checked(checked: &'a Checked, at: Timestamp) -> Self {
        Judged {
            at,
            profile: &checked.profile,
            findings: &checked.findings,
            verdict: None,
            problems: &checked.problems,
        }
    }

    /// How many failures of a severity are not accepted.
    pub fn failures(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|f| f.counts() && f.severity == severity)
            .count()
    }

    /// How many answers have a status.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|f| f.status == status).count()
    }
}

/// The file, and where known the line, of a setting that a finding cites.
pub fn place(citation: &Citation) -> Option<(&str, Option<u32>)> {
    if citation.origin.collector != crate::evidence::Collector::Manifest {
        return None;
    }
    let place = citation
        .place
        .as_deref()
        .and_then(|place| place.rsplit_once(':'))
        .and_then(|(file, line)| Some((file, line.parse::<u32>().ok().filter(|n| *n > 0)?)));
    match place {
        Some((file, line)) => Some((file, Some(line))),
        None if citation.origin.source.is_empty() => None,
        None => Some((&citation.origin.source, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Origin, Subject, Window};

    #[test]
    fn a_setting_knows_its_file_and_line() {
        let cited = |place: Option<&str>, collector| Citation {
            place: place.map(str::to_owned),
            key: "settings".to_owned(),
            subject: Subject::cluster(),
            value: "a=5".to_owned(),
            window: Window::default(),
            origin: Origin::new(collector, "manifests/etcd.yaml"),
        };
        let flag = cited(Some("m/x.yaml:31"), Collector::Manifest);
        assert_eq!(place(&flag), Some(("m/x.yaml", Some(31))));
        let default = cited(None, Collector::Manifest);
        assert_eq!(place(&default), Some(("manifests/etcd.yaml", None)));
        assert_eq!(place(&cited(None, Collector::Metrics)), None);
    }
}
