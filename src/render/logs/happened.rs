//! What happened: episodes and events.

use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

use crate::render::{Paint, Terminal, safe, wrap};
use crate::report::logs::LogsReport;
use crate::units::format_ms;

use super::lines::{MAX_LINES, heading, place, shorten};

/// The time of day, where the report is about one day.
fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}

pub(super) fn episodes(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
) -> io::Result<()> {
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
            .map(|ms| crate::render::longest(&episode.kind, ms))
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

pub(super) fn events(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
) -> io::Result<()> {
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
