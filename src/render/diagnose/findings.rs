//! What the rules found.

use std::io::{self, Write};

use crate::evidence::{Subject, SubjectKind};
use crate::render::plain::{Paint, safe};
use crate::report::Report;
use crate::rules::{Finding, Severity, Status};

use super::page::Page;

impl Page {
    pub(super) fn findings(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let failures = report.failures();
        self.head(
            out,
            &format!(
                "FINDINGS  {} failed, {} passed, {} could not be told, {} do not apply",
                failures.len(),
                report.count(Status::Pass),
                report.count(Status::Unknown),
                report.count(Status::NotApplicable)
            ),
        )?;
        for finding in failures {
            self.finding(out, finding)?;
        }
        Ok(())
    }

    pub(super) fn finding(&self, out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
        let paint = match finding.severity {
            Severity::Critical => Paint::Bad,
            Severity::Warn => Paint::Doubt,
            Severity::Info => Paint::Faint,
        };
        let paint = if finding.counts() {
            paint
        } else {
            Paint::Faint
        };
        let word = format!("{:<8}", finding.severity.word());
        let subject = match nameless(&finding.subject) {
            true => String::new(),
            false => format!("[{}]", safe(&finding.subject.to_string())),
        };
        let rule = &finding.rule;
        write!(out, "  {} {rule}", self.terminal.paint(paint, word))?;
        if subject.is_empty() {
            writeln!(out)?;
        } else if 12 + rule.chars().count() + subject.chars().count() <= self.width {
            writeln!(out, " {subject}")?;
        } else {
            writeln!(out)?;
            self.para(out, "           ", &subject)?;
        }
        self.para(out, "           ", &finding.message)?;
        if let Some(accepted) = &finding.accepted {
            let words = if accepted.expired {
                format!(
                    "until {}, which is over: {}",
                    accepted.until, accepted.reason
                )
            } else {
                format!("until {}: {}", accepted.until, accepted.reason)
            };
            self.para(out, "           accepted ", &words)?;
        }
        if !finding.threshold.is_empty() && finding.severity >= Severity::Warn {
            self.para(out, "           limit: ", &finding.threshold)?;
        }
        let mut places: Vec<&str> = finding
            .evidence
            .iter()
            .filter_map(|citation| citation.place.as_deref())
            .filter(|place| !finding.message.contains(place))
            .collect();
        places.dedup();
        if !places.is_empty() {
            self.para(out, "           at: ", &places.join(", "))?;
        }
        Ok(())
    }
}

/// A member or a component of which nobody said which one it is.
fn nameless(subject: &Subject) -> bool {
    subject.kind != SubjectKind::Cluster && subject.name.is_empty() && subject.node.is_none()
}
