//! The report of `logs` for a terminal.

use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

use crate::report::logs::{LoadReport, LogsReport, SlowClientReport};
use crate::units::{format_bytes, format_ms};

use super::{Paint, Terminal, logs_calls, safe, wrap};

/// Episodes, events, throttling rows shown.
const MAX_LINES: usize = 25;
/// Width of a sparkline.
const SPARK: usize = 16;

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

fn time(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), format_ms)
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
    logs_calls::delays(out, terminal, report)?;
    logs_calls::calls(out, terminal, &report.apiserver_calls)?;
    slow_clients(out, terminal, report)?;
    audit(out, terminal, report)?;
    coverage(out, terminal, report)?;
    notes(out, terminal, report)
}

/// Adds a text, with blanks before it up to a width.
fn pad_left(line: &mut String, text: &str, width: usize) {
    let blanks = width.saturating_sub(text.width());
    line.extend(std::iter::repeat_n(' ', blanks));
    line.push_str(text);
}

pub(super) fn heading(out: &mut dyn Write, terminal: Terminal, text: &str) -> io::Result<()> {
    writeln!(out, "\n{}", terminal.paint(Paint::Strong, text))
}

fn load_table(
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

pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
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

fn grep(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
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

pub(super) fn place(component: &str, node: Option<&str>) -> String {
    match node {
        Some(node) => format!("{component}@{node}"),
        None => component.to_owned(),
    }
}

/// The time of day, where the report is about one day.
fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}

fn episodes(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
    let told: Vec<_> = report
        .episodes
        .iter()
        .filter(|episode| episode.kind != "slow-apply" || episode.count > 1)
        .filter(|episode| episode.nature != "change")
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let day = told.first().and_then(|episode| episode.from.get(..10));
    heading(
        out,
        terminal,
        &format!("What happened, from {} (UTC)", day.unwrap_or("")),
    )?;
    for episode in told.iter().take(MAX_LINES) {
        let mark = if episode.first { ">" } else { " " };
        let times = if episode.count > 1 {
            format!(" x{}", episode.count)
        } else {
            String::new()
        };
        let longest = episode
            .max_ms
            .map(|ms| format!(", up to {}", format_ms(ms)))
            .unwrap_or_default();
        let planned = if episode.planned { " (planned)" } else { "" };
        let detail = if episode.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", safe(&episode.detail))
        };
        let who = place(&episode.component, episode.node.as_deref());
        let line = format!(
            "{mark} {}-{} {who} {}{times}{longest}{planned}{detail}",
            clock(&episode.from),
            clock(&episode.to),
            episode.kind
        );
        let line = shorten(&line, usize::from(terminal.width));
        let paint = match episode.nature {
            "fault" if !episode.planned => terminal.paint(Paint::Doubt, line),
            _ => line,
        };
        writeln!(out, "{paint}")?;
    }
    let mut below = vec!["> first sign of an incident".to_owned()];
    if told.len() > MAX_LINES {
        below.push(format!("{} more in --format json", told.len() - MAX_LINES));
    }
    let below = wrap(&below.join("; "), usize::from(terminal.width), 2);
    writeln!(out, "{}", terminal.paint(Paint::Faint, below))
}

fn events(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
    let told: Vec<_> = report
        .events
        .iter()
        .filter(|event| matches!(event.nature, "fault" | "symptom"))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    heading(out, terminal, "Messages of trouble")?;
    for event in told.iter().take(MAX_LINES) {
        let longest = event
            .max_ms
            .map(|ms| format!("  up to {}", format_ms(ms)))
            .unwrap_or_default();
        let line = format!(
            "  {:>8}  {:<28}  {}{longest}",
            event.count,
            event.kind,
            place(&event.component, event.node.as_deref())
        );
        // Who said it can be shortened; how long it took cannot.
        let line = if line.width() > usize::from(terminal.width) {
            format!(
                "  {:>8}  {}  {}{longest}",
                event.count,
                event.kind,
                place(&event.component, event.node.as_deref())
            )
        } else {
            line
        };
        writeln!(out, "{}", shorten(&line, usize::from(terminal.width)))?;
    }
    if told.len() > MAX_LINES {
        let more = format!("{} more in --format json", told.len() - MAX_LINES);
        writeln!(out, "{}", terminal.paint(Paint::Faint, more))?;
    }
    Ok(())
}

/// Rows of a table whose last column takes what room there is.
fn rows(
    out: &mut dyn Write,
    terminal: Terminal,
    head: &[&str],
    lines: &[Vec<String>],
) -> io::Result<()> {
    let width = |at: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(at))
            .map(|cell| cell.width())
            .chain(head.get(at).map(|head| head.width()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut show = |line: &[String], faint: bool| {
        let mut text = String::from(" ");
        for (at, cell) in line.iter().enumerate() {
            text.push(' ');
            // Texts to the left, numbers to the right.
            if at + 1 == line.len() {
                text.push(' ');
                text.push_str(cell);
            } else {
                pad_left(&mut text, cell, widths.get(at).copied().unwrap_or(0));
                text.push(' ');
            }
        }
        let text = shorten(text.trim_end(), usize::from(terminal.width));
        if faint {
            writeln!(out, "{}", terminal.paint(Paint::Faint, text))
        } else {
            writeln!(out, "{text}")
        }
    };
    let names: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    show(&names, true)?;
    lines.iter().try_for_each(|line| show(line, false))
}

fn who(agent: &str, user: &str) -> String {
    let agent = safe(agent.split(' ').next().unwrap_or_default());
    match (agent.as_str(), user) {
        ("", user) => safe(user),
        (agent, "") => agent.to_owned(),
        (agent, user) => format!("{agent} ({})", safe(user)),
    }
}

fn more(out: &mut dyn Write, terminal: Terminal, left: usize) -> io::Result<()> {
    if left == 0 {
        return Ok(());
    }
    let more = format!("{left} more in --format json");
    writeln!(out, "{}", terminal.paint(Paint::Faint, more))
}

/// Less than this is shown as nothing.
fn tells(client: &SlowClientReport) -> bool {
    client.slow_secs >= 0.05
}

fn slow_clients(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
    let Some(found) = report
        .slow_clients
        .as_ref()
        .filter(|found| found.clients.iter().any(tells))
    else {
        return Ok(());
    };
    heading(out, terminal, "Slow requests of etcd, by who asked")?;
    let lines: Vec<Vec<String>> = found
        .clients
        .iter()
        .filter(|client| tells(client))
        .take(10)
        .map(|client| {
            vec![
                format!("{:.1}", client.slow_secs),
                format!("{:.0}%", client.share * 100.0),
                format!("{:.0}%", client.confidence * 100.0),
                client.source.to_owned(),
                format!(
                    "{} {}  {}",
                    client.class,
                    safe(&client.resource),
                    who(&client.user_agent, &client.user)
                ),
            ]
        })
        .collect();
    rows(
        out,
        terminal,
        &["SLOW-S", "SHARE", "SURE", "KNOWN BY", "WHAT AND WHO"],
        &lines,
    )?;
    let shown = found.clients.iter().filter(|client| tells(client)).count();
    more(out, terminal, shown.saturating_sub(10))?;
    let mut below = Vec::new();
    if found.unknown_secs >= 0.05 {
        below.push(format!(
            "{:.1} s of {:.1} s are of nobody who is known",
            found.unknown_secs, found.slow_secs
        ));
    }
    for skew in &found.clock_skews {
        below.push(format!(
            "the clock of {} seems {} s {} kube-apiserver's, which is accounted for",
            safe(&skew.member),
            skew.secs.abs(),
            if skew.secs > 0 { "ahead of" } else { "behind" }
        ));
    }
    if !below.is_empty() {
        let below = wrap(&below.join("; "), usize::from(terminal.width), 2);
        writeln!(out, "{}", terminal.paint(Paint::Faint, below))?;
    }
    Ok(())
}

fn audit(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
    let Some(audit) = &report.audit else {
        return Ok(());
    };
    heading(
        out,
        terminal,
        &format!(
            "Audit log: {} requests in {} records",
            audit.requests, audit.records
        ),
    )?;
    let lines: Vec<Vec<String>> = audit
        .callers
        .iter()
        .take(10)
        .map(|row| {
            let mut marks = Vec::new();
            for (count, what) in [
                (row.not_found, "404"),
                (row.throttled, "429"),
                (row.server_errors, "5xx"),
                (row.unlimited, "unlimited"),
                (row.rv_unset, "rv unset"),
            ] {
                if count > 0 {
                    marks.push(format!("{count} {what}"));
                }
            }
            let etcd = row
                .etcd_share
                .map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0));
            vec![
                row.requests.to_string(),
                row.per_sec
                    .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s")),
                time(row.p99_ms),
                etcd,
                format!(
                    "{} {}  {}  {}",
                    row.verb,
                    safe(&row.resource),
                    match row.user_agent.as_str() {
                        // The marks need the room more than a second name.
                        "" => safe(&row.user),
                        agent => safe(agent),
                    },
                    marks.join(", ")
                ),
            ]
        })
        .collect();
    rows(
        out,
        terminal,
        &["REQS", "RATE", "P99", "ETCD", "WHAT AND WHO"],
        &lines,
    )?;
    more(out, terminal, audit.callers.len().saturating_sub(10))?;
    let pinned: Vec<Vec<String>> = audit
        .clients
        .iter()
        .filter_map(|client| {
            Some(vec![
                format!("{:.0}/s", client.plateau_per_sec?),
                format!("{:.0}%", client.plateau_share? * 100.0),
                client.active_secs.to_string(),
                client.not_found.to_string(),
                who(&client.user_agent, &client.user),
            ])
        })
        .take(5)
        .collect();
    if !pinned.is_empty() {
        heading(out, terminal, "Pinned at a constant rate")?;
        rows(
            out,
            terminal,
            &["RATE", "OF SECS", "SECS", "404", "WHO"],
            &pinned,
        )?;
    }
    let loops: Vec<Vec<String>> = audit
        .objects
        .iter()
        // Leases are renewed every other second on purpose.
        .filter(|object| {
            object.not_found * 2 > object.requests
                || object.steady && object.per_sec.is_some_and(|rate| rate >= 1.0)
        })
        .take(8)
        .map(|object| {
            vec![
                object.requests.to_string(),
                object
                    .per_sec
                    .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s")),
                object.not_found.to_string(),
                (if object.steady { "steady" } else { "-" }).to_owned(),
                format!(
                    "{} {} {}  {}",
                    object.verb,
                    safe(&object.resource),
                    safe(&object.object),
                    who(&object.user_agent, &object.user)
                ),
            ]
        })
        .collect();
    if !loops.is_empty() {
        heading(out, terminal, "The same object again and again")?;
        rows(
            out,
            terminal,
            &["REQS", "RATE", "404", "GAPS", "WHAT AND WHO"],
            &loops,
        )?;
    }
    Ok(())
}

fn coverage(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
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
            "special" => format!("{count} sockets, devices and pipes"),
            _ => format!("{count} files end before the window"),
        });
    }
    for line in lines {
        writeln!(out, "  {}", wrap(&line, width.saturating_sub(2), 4))?;
    }
    Ok(())
}

fn notes(out: &mut dyn Write, terminal: Terminal, report: &LogsReport) -> io::Result<()> {
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
