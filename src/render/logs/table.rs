//! The table of load, and what `grep` would have said of the same lines.

use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

use crate::render::{Paint, Terminal, safe, wrap};
use crate::report::logs::{LoadReport, LogsReport};
use crate::units::format_bytes;

use super::LoadBy;
use super::lines::{heading, pad_left, shorten, time};

/// Width of a sparkline.
const SPARK: usize = 16;

/// A column: its head, what it shows, and when it goes if there is no room (highest first).
struct Column {
    head: &'static str,
    cell: fn(&LoadReport) -> String,
    goes: u8,
}

const COLUMNS: [Column; 13] = [
    column("REQS", |row| row.requests.to_string(), 1),
    column("LISTS", |row| row.lists.to_string(), 1),
    column("GETS", |row| row.gets.to_string(), 3),
    column("COUNTS", |row| row.counts.to_string(), 3),
    column("WRITES", |row| row.writes.to_string(), 2),
    column(
        "OTHER",
        |row| (row.other + row.probes + row.pages).to_string(),
        6,
    ),
    column("SLOW-S", |row| format!("{:.1}", row.slow_secs), 0),
    column("SHARE", |row| format!("{:.0}%", row.share * 100.0), 1),
    column("P50", |row| time(row.p50_ms), 5),
    column("P99", |row| time(row.p99_ms), 2),
    column("MAX", |row| time(row.max_ms), 4),
    column("ITEMS", |row| row.items.to_string(), 8),
    column("BYTES", |row| format_bytes(row.bytes), 7),
];

const fn column(head: &'static str, cell: fn(&LoadReport) -> String, goes: u8) -> Column {
    Column { head, cell, goes }
}

pub(super) fn load_table(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
    by: LoadBy,
    top: usize,
) -> io::Result<()> {
    let (head, rows) = match by {
        LoadBy::Resource => ("RESOURCE", &report.resources),
        LoadBy::Shape => ("SHAPE", &report.shapes),
        LoadBy::Namespace => ("NAMESPACE", &report.namespaces),
        LoadBy::Client => ("CLIENT", &report.clients),
        LoadBy::Prefix => ("PREFIX", &report.prefixes),
    };
    let requests = &report.requests;
    if requests.seen == 0 {
        return writeln!(out, "No etcd request was logged.");
    }
    writeln!(
        out,
        "{}",
        terminal.paint(
            Paint::Strong,
            format!(
                "{} logged requests, {:.1} s (from {} lines)",
                requests.joined, requests.load.slow_secs, requests.seen
            )
        )
    )?;
    if rows.is_empty() {
        return writeln!(out, "No line names a {}.", head.to_ascii_lowercase());
    }
    let shown = if top == 0 { rows.len() } else { top };
    let mut all = requests.load.clone();
    all.name = "all".to_owned();
    let cells: Vec<&LoadReport> = rows.iter().take(shown).chain([&all]).collect();
    let name_width = cells
        .iter()
        .map(|row| safe(&row.name).width())
        .chain([head.len()])
        .max()
        .unwrap_or(0)
        .min(usize::from(terminal.width) / 2);
    let mut columns: Vec<(&Column, usize)> = COLUMNS
        .iter()
        .map(|column| {
            let widest = cells.iter().map(|row| (column.cell)(row).width());
            (column, widest.chain([column.head.len()]).max().unwrap_or(0))
        })
        .collect();
    // Columns in which every row is nothing say nothing.
    columns.retain(|(column, _)| {
        column.goes < 2
            || cells
                .iter()
                .any(|row| !matches!((column.cell)(row).as_str(), "0" | "0 B" | "-"))
    });
    let room = usize::from(terminal.width);
    let width = |columns: &[(&Column, usize)]| {
        name_width + columns.iter().map(|(_, width)| width + 2).sum::<usize>()
    };
    let mut dropped = Vec::new();
    while width(&columns) > room {
        let Some((at, goes)) = columns
            .iter()
            .enumerate()
            .map(|(at, (column, _))| (at, column.goes))
            .max_by_key(|(_, goes)| *goes)
        else {
            break;
        };
        if goes == 0 {
            break;
        }
        dropped.push(columns.remove(at).0.head);
    }
    let spark = width(&columns) + 2 + SPARK <= room;
    let mut line = format!("{head:<name_width$}");
    for (column, width) in &columns {
        line.push_str("  ");
        pad_left(&mut line, column.head, *width);
    }
    if spark {
        line.push_str("  OVER TIME");
    }
    writeln!(out, "{}", terminal.paint(Paint::Faint, line))?;
    for row in cells {
        let mut line = format!("{:<name_width$}", shorten(&safe(&row.name), name_width));
        for (column, width) in &columns {
            line.push_str("  ");
            pad_left(&mut line, &(column.cell)(row), *width);
        }
        if spark {
            line.push_str("  ");
            line.push_str(&sparkline(&row.spark.counts));
        }
        if row.stalled > 0 && row.name != "all" {
            line.push_str(" *");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    let mut below = Vec::new();
    if rows.len() > shown {
        below.push(format!("{} more rows (--top 0)", rows.len() - shown));
    }
    if !dropped.is_empty() {
        below.push(format!("left out for lack of room: {}", dropped.join(", ")));
    }
    if rows.iter().any(|row| row.stalled > 0) {
        below.push("* some waited for the read index".to_owned());
    }
    if !below.is_empty() {
        let below = wrap(&below.join("; "), usize::from(terminal.width), 2);
        writeln!(out, "{}", terminal.paint(Paint::Faint, below))?;
    }
    Ok(())
}

/// Counts as blocks of eight heights, neighbours added up to fit.
fn sparkline(counts: &[u64]) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let per = counts.len().div_ceil(SPARK).max(1);
    let sums: Vec<u64> = counts.chunks(per).map(|part| part.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    sums.iter()
        .map(|sum| {
            let height = (sum * 8).div_ceil(most);
            BLOCKS
                .get(usize::try_from(height).unwrap_or(8))
                .copied()
                .unwrap_or('█')
        })
        .collect()
}

pub(super) fn grep(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
    if report.grep.is_empty() {
        return Ok(());
    }
    heading(out, terminal, "What `grep -ic` would have said")?;
    for row in &report.grep {
        let truth = match (&row.resource, row.requests, row.lists) {
            (Some(resource), Some(requests), Some(lists)) => {
                format!("{requests} requests for {resource}, {lists} of them lists")
            }
            _ => "no logged request is for such a resource".to_owned(),
        };
        let head = format!("  {:<14} {:>9} lines; ", safe(&row.word), row.lines);
        let room = usize::from(terminal.width).saturating_sub(head.width());
        if room >= truth.width().min(30) {
            let truth = wrap(&safe(&truth), room, 0).replace('\n', &format!("\n{:>28}", ""));
            writeln!(out, "{head}{truth}")?;
        } else {
            let text = wrap(
                &format!("{} {truth}", head.trim()),
                usize::from(terminal.width) - 2,
                4,
            );
            writeln!(out, "  {text}")?;
        }
    }
    Ok(())
}
