//! The report of `logs` for a terminal.

mod calls;
mod clients;
mod coverage;
mod happened;
mod lines;
mod table;

use std::io::{self, Write};

use crate::report::logs::LogsReport;

use super::Terminal;
use clients::{audit, slow_clients};
use coverage::{coverage, notes};
use happened::{episodes, events};
use table::{grep, load_table};

/// What the load table has a row for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBy {
    /// resource.group
    #[default]
    Resource,
    /// Shape
    Shape,
    /// Namespace
    Namespace,
    /// Client
    Client,
    /// Key prefix
    Prefix,
}

/// Prints the report.
pub fn logs(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
    by: LoadBy,
    top: usize,
) -> io::Result<()> {
    load_table(out, terminal, report, by, top)?;
    grep(out, terminal, report)?;
    episodes(out, terminal, report)?;
    events(out, terminal, report)?;
    calls::delays(out, terminal, report)?;
    calls::calls(out, terminal, &report.apiserver_calls)?;
    slow_clients(out, terminal, report)?;
    audit(out, terminal, report)?;
    coverage(out, terminal, report)?;
    notes(out, terminal, report)
}
