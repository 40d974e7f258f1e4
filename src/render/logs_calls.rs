//! Slow calls that kube-apiserver itself made, for a terminal.

use std::io::{self, Write};

use crate::report::logs::CallReport;
use crate::units::format_ms;

use super::logs::shorten;
use super::{Paint, Terminal, safe};

/// Rows shown.
const MAX_ROWS: usize = 10;

/// The rows, the most time first.
pub(super) fn calls(
    out: &mut dyn Write,
    terminal: Terminal,
    rows: &[CallReport],
) -> io::Result<()> {
    for row in rows.iter().take(MAX_ROWS) {
        let whom = match (row.target, &row.name) {
            ("webhook", Some(name)) => format!("webhook {}", safe(name)),
            ("cache", _) => "watch cache".to_owned(),
            (target, _) => target.to_owned(),
        };
        let line = format!(
            "  {:>7} lines  up to {:>8}  {whom}  {} {}",
            row.lines,
            format_ms(row.max_ms),
            safe(&row.verb),
            safe(&row.resource)
        );
        writeln!(out, "{}", shorten(&line, usize::from(terminal.width)))?;
    }
    if rows.len() > MAX_ROWS {
        let more = format!("{} more in --format json", rows.len() - MAX_ROWS);
        writeln!(out, "{}", terminal.paint(Paint::Faint, more))?;
    }
    Ok(())
}
