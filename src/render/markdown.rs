//! The report as Markdown, to paste into a ticket or a chat.

use std::io::{self, Write};

use crate::advise::Strength;
use crate::diagnosis::Role;
use crate::report::{Checked, Report};
use crate::rules::{Finding, Status};

use super::advice::headline;

/// A text from an untrusted source inside Markdown: on one line, and nothing in it is markup, a
/// link, HTML or a mention.
fn md(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' => {
                safe.push('\\');
                safe.push(c);
            }
            // A zero-width character keeps a chat from notifying people and from making links.
            '@' => safe.push_str("@\u{200B}"),
            c if c.is_control() || super::plain::turns(c) => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe.replace("://", ":\u{200B}//")
}

/// A text inside a code span; a backtick cannot close it.
fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| {
            if c == '`' || c == '|' || c.is_control() || super::plain::turns(c) {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect();
    format!("`{text}`")
}

/// Writes the whole report.
pub fn markdown(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let verdict = &report.diagnosis.verdict;
    writeln!(
        out,
        "# {}: {}\n",
        verdict.cause.word(),
        verdict.cause.headline()
    )?;
    writeln!(out, "{}\n", md(&verdict.summary))?;
    writeln!(out, "- Confidence: {:.0} %", verdict.confidence * 100.0)?;
    if let Some(first) = report
        .advice
        .iter()
        .find(|a| a.strength == Strength::Recommended)
    {
        writeln!(out, "- Do first: {}", md(&headline(first)))?;
    }
    if !verdict.missing.is_empty() {
        writeln!(out, "- Not seen: {}", md(&verdict.missing.join(", ")))?;
    }
    writeln!(out, "\n## Causes\n")?;
    if report.diagnosis.causes.is_empty() {
        writeln!(out, "None shown by the evidence.")?;
    }
    for cause in &report.diagnosis.causes {
        let role = match cause.role {
            Role::Primary => "primary",
            Role::Contributing => "contributing",
            Role::Consequence => "consequence",
        };
        writeln!(
            out,
            "- **{}** ({role}, {:.0} %): {}",
            cause.cause.word(),
            cause.confidence * 100.0,
            md(&cause.summary)
        )?;
        for c in cause.evidence.iter().take(6) {
            writeln!(
                out,
                "  - {} {}: {}",
                code(&c.subject.to_string()),
                code(&c.key),
                md(&c.value)
            )?;
        }
    }
    for other in &report.diagnosis.alternatives {
        writeln!(
            out,
            "- could be **{}** ({:.0} %): {}. To settle: {}",
            other.cause.word(),
            other.confidence * 100.0,
            md(&other.why),
            md(&other.settle)
        )?;
    }
    for cleared in &report.diagnosis.ruled_out {
        writeln!(
            out,
            "- not **{}**: {}",
            cleared.cause.word(),
            md(&cleared.why)
        )?;
    }
    findings(out, &report.findings)?;
    if !report.advice.is_empty() {
        writeln!(out, "\n## Advice, in this order\n")?;
        let (yes, no): (Vec<_>, Vec<_>) = report
            .advice
            .iter()
            .partition(|a| a.strength != Strength::Refused);
        for (number, advice) in yes.iter().enumerate() {
            let candidate = match advice.strength {
                Strength::Candidate => " (candidate)",
                _ => "",
            };
            writeln!(
                out,
                "{}. **{}**{candidate}",
                number + 1,
                md(&headline(advice))
            )?;
            for (label, text) in [
                ("why", &advice.why),
                ("expect", &advice.effect),
                ("risk", &advice.risk),
                ("undo", &advice.undo),
                ("verify", &advice.verify),
            ] {
                if !text.is_empty() {
                    writeln!(out, "   - {label}: {}", md(text))?;
                }
            }
        }
        for advice in no {
            writeln!(
                out,
                "- not advised: {}: {}",
                md(&headline(advice)),
                md(&advice.why)
            )?;
        }
    }
    writeln!(out, "\n## Looked at\n")?;
    for source in &report.seen.sources {
        let window = match (source.window.from, source.window.to) {
            (Some(from), Some(to)) => format!(", {from} to {to}"),
            _ => String::new(),
        };
        writeln!(
            out,
            "- {}: {} readings{window}",
            source.collector.word(),
            source.readings
        )?;
    }
    if let Some(words) = report.seen.several() {
        writeln!(out, "- of {}", md(&words))?;
    }
    for problem in &report.seen.problems {
        writeln!(out, "- could not read: {}", md(problem))?;
    }
    writeln!(
        out,
        "\netcd-doctor {}, profile {}, {}",
        env!("CARGO_PKG_VERSION"),
        md(&report.profile),
        report.at
    )
}

/// Writes what a check found.
pub fn markdown_checked(out: &mut dyn Write, checked: &Checked) -> io::Result<()> {
    writeln!(out, "# etcd-doctor check")?;
    findings(out, &checked.findings)?;
    for problem in &checked.problems {
        writeln!(out, "\ncould not read: {}", md(problem))?;
    }
    Ok(())
}

fn findings(out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    let count = |status| findings.iter().filter(|f| f.status == status).count();
    writeln!(
        out,
        "\n## Findings: {} failed, {} passed, {} could not be told, {} do not apply\n",
        count(Status::Fail),
        count(Status::Pass),
        count(Status::Unknown),
        count(Status::NotApplicable)
    )?;
    let mut failed: Vec<&Finding> = findings.iter().filter(|f| f.failed()).collect();
    failed.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)))
    });
    if failed.is_empty() {
        return Ok(());
    }
    writeln!(out, "| severity | rule | about | what | limit |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for finding in failed {
        let accepted = match &finding.accepted {
            Some(a) if a.expired => format!(" (accepted until {}: expired)", md(&a.until)),
            Some(a) => format!(" (accepted until {}: {})", md(&a.until), md(&a.reason)),
            None => String::new(),
        };
        writeln!(
            out,
            "| {}{accepted} | {} | {} | {} | {} |",
            finding.severity.word(),
            code(&finding.rule),
            code(&finding.subject.to_string()),
            md(&finding.message),
            md(&finding.threshold)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_log_becomes_markup() {
        assert_eq!(
            md("<b>x</b> [a](http://e) @all\n|"),
            "\\<b\\>x\\</b\\> \\[a\\](http:\u{200B}//e) @\u{200B}all \\|"
        );
        assert_eq!(code("a`b|c"), "`a\u{FFFD}b\u{FFFD}c`");
    }
}
