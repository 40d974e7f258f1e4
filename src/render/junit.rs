//! JUnit XML: a test suite of all rules, a test case for each answer.

use std::io::{self, Write};

use crate::report::Judged;
use crate::rules::{Finding, Severity, Status};

/// A text inside XML, quoted attributes included. Characters that XML 1.0 forbids are replaced.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\n' | '\t' => safe.push(' '),
            c if c.is_control()
                || super::plain::turns(c)
                || matches!(c, '\u{FFFE}' | '\u{FFFF}') =>
            {
                safe.push('\u{FFFD}');
            }
            c => safe.push(c),
        }
    }
    safe
}

/// What a test case says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    /// Passed, with something good to know.
    Noted,
    Failure,
    Skipped,
}

impl Kind {
    fn of(finding: &Finding) -> Self {
        if finding.counts() && finding.severity == Severity::Info {
            Kind::Noted
        } else if finding.counts() {
            Kind::Failure
        } else if finding.status == Status::Pass {
            Kind::Passed
        } else {
            Kind::Skipped
        }
    }
}

/// Writes the document. What fails at `warn` or `critical` and is not accepted is a `failure`;
/// `info` passes with a note in `system-out`; what could not be told, does not apply or is
/// accepted is `skipped`, with the reason.
pub fn junit(out: &mut dyn Write, judged: &Judged<'_>) -> io::Result<()> {
    let kinds: Vec<Kind> = judged.findings.iter().map(Kind::of).collect();
    let count = |kind| kinds.iter().filter(|k| **k == kind).count();
    let (failures, skipped) = (count(Kind::Failure), count(Kind::Skipped));
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"",
        judged.findings.len()
    );
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"etcd-doctor\" {counts}>")?;
    writeln!(
        out,
        "  <testsuite name=\"etcd-doctor\" {counts} timestamp=\"{}\">",
        judged.at
    )?;
    writeln!(out, "    <properties>")?;
    let mut property = |name: &str, value: &str| {
        writeln!(
            out,
            "      <property name=\"{name}\" value=\"{}\"/>",
            escaped(value)
        )
    };
    property("profile", judged.profile)?;
    if let Some(verdict) = judged.verdict {
        property("verdict", verdict.cause.word())?;
        property("confidence", &format!("{:.2}", verdict.confidence))?;
        property("summary", &verdict.summary)?;
    }
    for problem in judged.problems {
        property("problem", problem)?;
    }
    writeln!(out, "    </properties>")?;
    for finding in judged.findings {
        case(out, finding)?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn case(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let name = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        escaped(&finding.rule),
        escaped(&finding.subject.to_string())
    );
    let kind = Kind::of(finding);
    if kind == Kind::Passed {
        return writeln!(out, "{name}/>");
    }
    writeln!(out, "{name}>")?;
    let message = escaped(&finding.message);
    match kind {
        Kind::Passed => {}
        Kind::Noted => {
            writeln!(out, "      <system-out>{}: {message}", finding.severity)?;
            details(out, finding)?;
            writeln!(out, "      </system-out>")?;
        }
        Kind::Failure => {
            writeln!(
                out,
                "      <failure type=\"{}\" message=\"{message}\">",
                finding.severity
            )?;
            details(out, finding)?;
            writeln!(out, "      </failure>")?;
        }
        Kind::Skipped => {
            let why = match &finding.accepted {
                Some(accepted) => format!(
                    "accepted until {}: {}; {}",
                    accepted.until, accepted.reason, finding.message
                ),
                None => format!("{}: {}", finding.status.word(), finding.message),
            };
            writeln!(out, "      <skipped message=\"{}\"/>", escaped(&why))?;
        }
    }
    writeln!(out, "    </testcase>")
}

/// The limit and the readings, a line each.
fn details(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    if !finding.threshold.is_empty() {
        writeln!(out, "limit: {}", escaped(&finding.threshold))?;
    }
    for citation in &finding.evidence {
        writeln!(
            out,
            "{} {}: {} [{}]",
            escaped(&citation.subject.to_string()),
            escaped(&citation.key),
            escaped(&citation.value),
            escaped(&citation.origin.source)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_holds_no_character_that_it_forbids() {
        assert_eq!(
            escaped("a<b>&\"'\u{1b}[31m\0\u{FFFF}\n"),
            "a&lt;b&gt;&amp;&quot;&apos;\u{FFFD}[31m\u{FFFD}\u{FFFD} "
        );
    }
}
