//! The report of `logs` for a terminal.

use std::io::{self, Write};

use crate::report::logs::LogsReport;

use super::Terminal;

/// Prints the report.
pub fn logs(
    out: &mut dyn Write,
    _terminal: Terminal,
    report: &LogsReport,
    _top: usize,
) -> io::Result<()> {
    writeln!(out, "{} requests", report.requests.joined)
}
