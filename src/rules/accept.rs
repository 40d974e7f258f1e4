//! Accepted risks: findings that somebody looked at and decided to live with, for a reason and
//! until a day.
//!
//! An accepted finding stays in the report, says why it is accepted, and no longer makes the exit
//! code 1. It does not change the verdict: what is wrong stays wrong. A risk whose day is over
//! counts again, and says so.

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::finding::Finding;

/// Why and until when a finding is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Who decided what, in the words of the file.
    pub reason: String,
    /// The last day, `YYYY-MM-DD`, UTC.
    pub until: String,
    /// Whether that day is over: then the finding counts as any other.
    pub expired: bool,
}

/// A file of accepted risks.
#[derive(Debug, Default)]
pub struct AcceptedRisks {
    risks: Vec<Risk>,
}

#[derive(Debug)]
struct Risk {
    rule: String,
    subject: Option<Regex>,
    reason: String,
    until: String,
    /// The first moment after the last day.
    ends: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    accept: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    rule: toml::Spanned<String>,
    #[serde(default)]
    subject: Option<toml::Spanned<String>>,
    reason: toml::Spanned<String>,
    until: toml::Spanned<toml::Value>,
}

impl AcceptedRisks {
    /// Reads a file. Unknown rules, empty reasons and missing days are errors: an acceptance that
    /// matches nothing by a slip of the pen would be believed to hold.
    pub fn parse(text: &str, known: impl Fn(&str) -> bool) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|err| err.to_string())?;
        let mut risks = Vec::new();
        for entry in file.accept {
            let rule = entry.rule.get_ref();
            let wrong = |place: std::ops::Range<usize>, why: String| {
                let before = text.as_bytes().get(..place.start).unwrap_or_default();
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                format!("line {line} (`{rule}`): {why}")
            };
            if !known(rule) {
                return Err(wrong(
                    entry.rule.span(),
                    "there is no such rule; `etcd-doctor rules` lists them".to_owned(),
                ));
            }
            let reason = entry.reason.get_ref().trim();
            if reason.is_empty() {
                return Err(wrong(entry.reason.span(), "the reason is empty".to_owned()));
            }
            let place = entry.until.span();
            let until = match entry.until.get_ref() {
                toml::Value::String(text) => text.clone(),
                toml::Value::Datetime(day) => day.to_string(),
                other => {
                    let why = format!("`until` is {}, not a day", other.type_str());
                    return Err(wrong(place, why));
                }
            };
            let Some(starts) = Timestamp::parse(&format!("{until}T00:00:00Z")) else {
                let why = format!("`until` is `{until}`, not a day such as 2027-01-31");
                return Err(wrong(place, why));
            };
            let subject = match &entry.subject {
                None => None,
                Some(text) => Some(Regex::new(&format!("^(?:{})$", text.get_ref())).map_err(
                    |err| {
                        let why = format!("`subject` is no regular expression: {err}");
                        wrong(text.span(), why)
                    },
                )?),
            };
            risks.push(Risk {
                subject,
                reason: reason.to_owned(),
                ends: starts.add_us(24 * 3600 * 1_000_000),
                until,
                rule: rule.clone(),
            });
        }
        Ok(AcceptedRisks { risks })
    }

    /// Marks the failures that are accepted. Among several entries the one that lasts longest
    /// counts. Gives a note for each entry that matched nothing.
    pub fn apply(&self, findings: &mut [Finding], now: Timestamp) -> Vec<String> {
        let mut used = vec![false; self.risks.len()];
        for finding in findings.iter_mut().filter(|f| f.failed()) {
            let subject = finding.subject.to_string();
            let mut best: Option<&Risk> = None;
            for (risk, used) in self.risks.iter().zip(&mut used) {
                let fits = risk.rule == finding.rule
                    && risk.subject.as_ref().is_none_or(|re| re.is_match(&subject));
                if fits {
                    *used = true;
                    if best.is_none_or(|have| have.ends < risk.ends) {
                        best = Some(risk);
                    }
                }
            }
            finding.accepted = best.map(|risk| Accepted {
                reason: risk.reason.clone(),
                until: risk.until.clone(),
                expired: now >= risk.ends,
            });
        }
        self.risks
            .iter()
            .zip(used)
            .filter(|(_, used)| !used)
            .map(|(risk, _)| {
                format!(
                    "accepted risk `{}` (until {}) matches no finding",
                    risk.rule, risk.until
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::{Confidence, Severity, Status};

    fn finding(rule: &str, node: &str) -> Finding {
        Finding {
            rule: rule.to_owned(),
            subject: Subject::new(SubjectKind::Component, "etcd").on(node),
            status: Status::Fail,
            severity: Severity::Critical,
            confidence: Confidence::High,
            message: "m".to_owned(),
            aspect: String::new(),
            threshold: String::new(),
            evidence: vec![],
            accepted: None,
        }
    }

    const FILE: &str = "[[accept]]\nrule = \"quota-default\"\nsubject = \"component:etcd@a.*\"\n\
                        reason = \"small cluster\"\nuntil = 2027-01-31\n";

    #[test]
    fn a_risk_holds_to_the_end_of_its_day_and_for_its_subject() {
        let risks = AcceptedRisks::parse(FILE, |_| true).unwrap();
        let at = |text| Timestamp::parse(text).unwrap();
        let mut findings = vec![
            finding("quota-default", "a1"),
            finding("quota-default", "b1"),
            finding("swap-in-use", "a1"),
        ];
        assert!(
            risks
                .apply(&mut findings, at("2027-01-31T23:59:59Z"))
                .is_empty()
        );
        assert!(!findings[0].counts() && findings[1].counts() && findings[2].counts());
        risks.apply(&mut findings, at("2027-02-01T00:00:00Z"));
        assert!(findings[0].counts());
        assert!(findings[0].accepted.as_ref().unwrap().expired);
        assert_eq!(
            risks.apply(&mut [], at("2027-01-01T00:00:00Z")),
            ["accepted risk `quota-default` (until 2027-01-31) matches no finding"]
        );
    }

    #[test]
    fn slips_of_the_pen_are_errors() {
        let wrong =
            |text: &str| AcceptedRisks::parse(text, |rule| rule == "quota-default").unwrap_err();
        assert!(
            wrong("[[accept]]\nrule=\"quotas\"\nreason=\"x\"\nuntil=2027-01-31")
                .contains("no such rule")
        );
        assert!(
            wrong("[[accept]]\nrule=\"quota-default\"\nreason=\" \"\nuntil=2027-01-31")
                .contains("reason is empty")
        );
        assert!(
            wrong("[[accept]]\nrule=\"quota-default\"\nreason=\"x\"\nuntil=\"soon\"")
                .contains("not a day")
        );
        assert!(wrong("[[accept]]\nrule=\"quota-default\"\nreason=\"x\"").contains("until"));
        assert!(
            wrong(
                "[[accept]]\nrule=\"quota-default\"\nreason=\"x\"\nuntil=2027-01-31\nsubject=\"(\""
            )
            .contains("regular expression")
        );
        assert!(wrong("[[acept]]\n").contains("acept"));
    }
}
