//! Calls that took long or had to wait, by who made them, for a terminal.

use std::io::{self, Write};

use crate::report::logs::{CallReport, LogsReport};
use crate::units::format_ms;

use crate::render::{Paint, Terminal, safe};

use super::lines::{heading, place, shorten};

/// Rows shown.
const MAX_ROWS: usize = 10;

/// One row: how many lines, the longest call, who made it or to whom, and what was asked.
struct Line<'r> {
    lines: u64,
    max_ms: f64,
    who: String,
    verb: &'r str,
    resource: &'r str,
}

/// What clients waited for, by themselves or told to, and their slow calls.
pub(super) fn delays(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
) -> io::Result<()> {
    for (title, rows) in [
        ("Throttled by their own client limit", &report.throttling),
        ("Told to wait by the server", &report.server_waits),
        ("Slow API calls, by user agent", &report.traces),
    ] {
        let line = rows.iter().map(|row| Line {
            lines: row.lines,
            max_ms: row.max_ms,
            who: match &row.user_agent {
                Some(agent) if !agent.is_empty() => safe(agent),
                _ => place(&row.component, row.node.as_deref()),
            },
            verb: &row.verb,
            resource: &row.resource,
        });
        rows_of(out, terminal, title, line)?;
    }
    Ok(())
}

/// What kube-apiserver itself called, the most time first.
pub(super) fn calls(
    out: &mut dyn Write,
    terminal: Terminal,
    rows: &[CallReport],
) -> io::Result<()> {
    let lines = rows.iter().map(|row| Line {
        lines: row.lines,
        max_ms: row.max_ms,
        who: match (row.target, &row.name) {
            ("webhook", Some(name)) => format!("webhook {}", safe(name)),
            ("cache", _) => "watch cache".to_owned(),
            (target, _) => target.to_owned(),
        },
        verb: &row.verb,
        resource: &row.resource,
    });
    rows_of(out, terminal, "Slow calls by kube-apiserver itself", lines)
}

/// The first rows under their title; nothing where there are none.
fn rows_of<'r>(
    out: &mut dyn Write,
    terminal: Terminal,
    title: &str,
    rows: impl ExactSizeIterator<Item = Line<'r>>,
) -> io::Result<()> {
    let all = rows.len();
    if all == 0 {
        return Ok(());
    }
    heading(out, terminal, title)?;
    for row in rows.take(MAX_ROWS) {
        let line = format!(
            "  {:>7} lines  up to {:>8}  {}  {} {}",
            row.lines,
            format_ms(row.max_ms),
            row.who,
            safe(row.verb),
            safe(row.resource)
        );
        writeln!(out, "{}", shorten(&line, usize::from(terminal.width)))?;
    }
    if all > MAX_ROWS {
        let more = format!("{} more in --format json", all - MAX_ROWS);
        writeln!(out, "{}", terminal.paint(Paint::Faint, more))?;
    }
    Ok(())
}
