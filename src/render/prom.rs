//! Prometheus text for node_exporter's textfile collector.
//!
//! Families have few series on purpose: one per failed finding, none per passed one.

use std::io::{self, Write};

use crate::report::Judged;
use crate::rules::{Severity, Status};

/// A label's value. Source: Prometheus exposition formats, "Text format details".
fn label(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => safe.push_str("\\\\"),
            '"' => safe.push_str("\\\""),
            '\n' => safe.push_str("\\n"),
            c if c.is_control() || super::plain::turns(c) => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

struct Families<'a> {
    out: &'a mut dyn Write,
}

impl Families<'_> {
    fn head(&mut self, name: &str, help: &str) -> io::Result<()> {
        writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} gauge")
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) -> io::Result<()> {
        write!(self.out, "{name}")?;
        for (at, (key, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            write!(self.out, "{open}{key}=\"{}\"", label(text))?;
        }
        let close = if labels.is_empty() { "" } else { "}" };
        writeln!(self.out, "{close} {value}")
    }
}

/// Writes the families.
pub fn prom(out: &mut dyn Write, judged: &Judged<'_>) -> io::Result<()> {
    let mut to = Families { out };
    let name = "etcd_doctor_last_run_timestamp_seconds";
    to.head(name, "When the run was made.")?;
    // Microseconds since 1970 stay exact in a double until the year 2255.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    to.line(name, &[], judged.at.0 as f64 / 1e6)?;

    let name = "etcd_doctor_findings";
    to.head(
        name,
        "Failed rules by severity; accepted ones are not counted.",
    )?;
    for severity in [Severity::Info, Severity::Warn, Severity::Critical] {
        to.line(
            name,
            &[("severity", severity.word())],
            count(judged.failures(severity)),
        )?;
    }

    let name = "etcd_doctor_checks";
    to.head(name, "Answers of rules by status.")?;
    for status in [
        Status::Fail,
        Status::Pass,
        Status::Unknown,
        Status::NotApplicable,
    ] {
        to.line(
            name,
            &[("status", status.word())],
            count(judged.count(status)),
        )?;
    }

    let name = "etcd_doctor_problems";
    to.head(name, "Sources that could not be read.")?;
    to.line(name, &[], count(judged.problems.len()))?;

    if let Some(verdict) = judged.verdict {
        let name = "etcd_doctor_verdict";
        to.head(
            name,
            "Always 1; the label says the root cause, none or unknown.",
        )?;
        to.line(name, &[("cause", verdict.cause.word())], 1.0)?;
        let name = "etcd_doctor_verdict_confidence";
        to.head(name, "How sure the verdict is, 0 to 1.")?;
        to.line(
            name,
            &[("cause", verdict.cause.word())],
            (verdict.confidence * 100.0).round() / 100.0,
        )?;
    }

    let name = "etcd_doctor_finding";
    to.head(name, "A failed rule; 1, or 0 where the risk is accepted.")?;
    let mut seen = std::collections::BTreeSet::new();
    for finding in judged.findings.iter().filter(|f| f.failed()) {
        let subject = finding.subject.to_string();
        // Two findings of one rule about one subject would be the same series twice.
        if seen.insert((&finding.rule, subject.clone(), finding.severity)) {
            to.line(
                name,
                &[
                    ("rule", &finding.rule),
                    ("subject", &subject),
                    ("severity", finding.severity.word()),
                    ("confidence", finding.confidence.word()),
                ],
                if finding.counts() { 1.0 } else { 0.0 },
            )?;
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of findings are far below 2^53"
)]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("a\"b\\c\nd\u{7}"), "a\\\"b\\\\c\\nd\u{FFFD}");
    }
}
