//! The report on a terminal: the first lines are the answer, the rest is why.

mod answer;
mod barriers;
mod findings;
mod load;
mod page;
mod remedy;
mod seats;
mod timeline;

use std::io::{self, Write};

use crate::evidence::Citation;
use crate::report::{Checked, Report};
use crate::rules::{Finding, Status};

use super::plain::Terminal;
use page::Page;

/// Prints the whole report.
pub fn diagnose(out: &mut dyn Write, terminal: Terminal, report: &Report) -> io::Result<()> {
    let page = Page {
        terminal,
        width: usize::from(terminal.width.min(110)),
    };
    page.answer(out, report)?;
    page.causes(out, report)?;
    page.timeline(out, report)?;
    page.resources(out, report)?;
    page.clients(out, report)?;
    page.findings(out, report)?;
    page.advice(out, report)?;
    page.patch(out, report)?;
    page.unseen(out, report)
}

/// Prints what `check` found: failures, and with `all` the rest as well.
pub fn checked(
    out: &mut dyn Write,
    terminal: Terminal,
    checked: &Checked,
    all: bool,
) -> io::Result<()> {
    let page = Page {
        terminal,
        width: usize::from(terminal.width.min(110)),
    };
    let count = |status| {
        checked
            .findings
            .iter()
            .filter(|f| f.status == status)
            .count()
    };
    let mut failures: Vec<&Finding> = checked.findings.iter().filter(|f| f.failed()).collect();
    failures.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)))
    });
    writeln!(
        out,
        "{} failed, {} passed, {} could not be told, {} do not apply",
        failures.len(),
        count(Status::Pass),
        count(Status::Unknown),
        count(Status::NotApplicable)
    )?;
    for finding in failures {
        page.finding(out, finding)?;
    }
    if all {
        for finding in checked.findings.iter().filter(|f| !f.failed()) {
            page.para(
                out,
                &format!("  {:<8} {}: ", finding.status.word(), finding.rule),
                &finding.message,
            )?;
        }
    }
    for problem in &checked.problems {
        page.para(out, "  ! ", problem)?;
    }
    for server in &checked.seats {
        page.seats(out, server)?;
    }
    for ladder in &checked.barriers {
        page.barriers(out, ladder)?;
    }
    Ok(())
}

impl Page {
    fn unseen(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        self.head(out, "LOOKED AT")?;
        for source in &report.seen.sources {
            let window = match (source.window.from, source.window.to) {
                (Some(from), Some(to)) => {
                    format!(", {} to {}", from.to_second(), to.to_second())
                }
                _ => String::new(),
            };
            writeln!(
                out,
                "  {:<9} {} readings{window}",
                source.collector.word(),
                source.readings
            )?;
        }
        if let Some(words) = report.seen.several() {
            self.para(out, "  of        ", &words)?;
        }
        if !report.diagnosis.verdict.missing.is_empty() {
            self.para(
                out,
                "  not seen: ",
                &report.diagnosis.verdict.missing.join(", "),
            )?;
        }
        for problem in &report.seen.problems {
            self.para(out, "  ! ", problem)?;
        }
        writeln!(
            out,
            "  profile {}; `etcd-doctor explain RULE` says more about a finding",
            report.profile
        )
    }
}

/// A citation as one line.
pub(super) fn cited(citation: &Citation) -> String {
    format!("{} {}: {}", citation.subject, citation.key, citation.value)
}
