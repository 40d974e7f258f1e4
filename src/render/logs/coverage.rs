//! What was read, and what that leaves open.

use std::io::{self, Write};

use crate::render::{Terminal, safe, wrap};
use crate::report::logs::LogsReport;
use crate::units::{format_bytes, format_ms};

use super::lines::heading;

pub(super) fn coverage(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
) -> io::Result<()> {
    let coverage = &report.coverage;
    heading(out, terminal, "What was read")?;
    let span = match (&coverage.from, &coverage.to) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        _ if coverage.outside > 0 => "no record is in the window".to_owned(),
        _ => "no record has a time".to_owned(),
    };
    let width = usize::from(terminal.width);
    let mut lines = vec![
        format!(
            "{} files, {}, {} lines; {span}",
            coverage.files,
            format_bytes(coverage.bytes),
            coverage.lines
        ),
        format!(
            "{} lines understood, {} not; {} records of unknown meaning",
            coverage.parsed, coverage.unparsed, coverage.unknown
        ),
    ];
    if coverage.outside > 0 {
        lines.push(format!("{} records outside the window", coverage.outside));
    }
    for gap in coverage.gaps.iter().take(3) {
        lines.push(format!(
            "gap of {} in {}: {} to {}",
            format_ms(gap.secs * 1000.0),
            safe(&gap.stream),
            gap.from,
            gap.to
        ));
    }
    for file in coverage
        .file_list
        .iter()
        .filter(|file| file.error.is_some())
        .take(10)
    {
        let why = file.error.as_deref().unwrap_or_default();
        lines.push(format!("{}: {}", safe(&file.name), safe(why)));
    }
    for problem in coverage.problems.iter().take(10) {
        lines.push(format!("{}: {}", safe(&problem.path), safe(&problem.why)));
    }
    for (reason, count) in &coverage.skipped {
        lines.push(match reason.as_str() {
            "other" => format!("{count} files are no logs"),
            "empty" => format!("{count} files are empty"),
            "duplicates" => format!("{count} links to files that are read already"),
            "overlaps" => match count {
                1 => {
                    "a file holds lines that another one holds as well; they count once".to_owned()
                }
                n => format!("{n} files hold lines that others hold as well; they count once"),
            },
            "overlaps-not-sought" => format!(
                "{count} files were not compared with all others of their time: what they hold again counts again"
            ),
            "special" => format!("{count} sockets, devices and pipes"),
            _ => format!("{count} files end before the window"),
        });
    }
    for line in lines {
        writeln!(out, "  {}", wrap(&line, width.saturating_sub(2), 4))?;
    }
    Ok(())
}

pub(super) fn notes(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
) -> io::Result<()> {
    if report.notes.is_empty() {
        return Ok(());
    }
    heading(out, terminal, "Read with care")?;
    for note in &report.notes {
        let text = wrap(&format!("- {}", safe(note)), usize::from(terminal.width), 2);
        writeln!(out, "{text}")?;
    }
    Ok(())
}
