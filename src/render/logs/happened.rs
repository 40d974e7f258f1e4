//! What happened: episodes and events.

use std::collections::BTreeSet;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

use crate::render::{Paint, Terminal, safe, wrap};
use crate::report::logs::LogsReport;
use crate::units::format_ms;

use super::lines::{MAX_LINES, heading, place, shorten};

/// The day and the time of day.
fn parts(time: &str) -> (&str, &str) {
    match (time.get(..10), time.get(11..19)) {
        (Some(day), Some(clock)) => (day, clock),
        _ => ("", time),
    }
}

/// From when to when, with the days where the report is about several.
fn span(from: &str, to: &str, dated: bool) -> String {
    let ((day, from), (end, to)) = (parts(from), parts(to));
    match dated {
        false => format!("{from}-{to}"),
        true if day == end => format!("{day} {from}-{to}"),
        true => format!("{day} {from} to {end} {to}"),
    }
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
    let shown = || told.iter().take(MAX_LINES);
    let days: BTreeSet<&str> = shown()
        .flat_map(|episode| [parts(&episode.from).0, parts(&episode.to).0])
        .collect();
    let dated = days.len() > 1;
    let day = match (days.first(), days.last()) {
        (Some(first), Some(last)) if dated => format!("{first} to {last}"),
        (first, _) => format!("from {}", first.copied().unwrap_or_default()),
    };
    heading(out, terminal, &format!("What happened, {day} (UTC)"))?;
    for episode in shown() {
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
            "{mark} {} {who} {}{times}{longest}{planned}{detail}",
            span(&episode.from, &episode.to, dated),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_where_there_are_several() {
        let (a, b) = ("2026-11-19T09:59:55.000Z", "2026-11-19T10:00:00.000Z");
        assert_eq!(span(a, b, false), "09:59:55-10:00:00");
        assert_eq!(span(a, b, true), "2026-11-19 09:59:55-10:00:00");
        assert_eq!(
            span(a, "2026-11-20T00:00:01.000Z", true),
            "2026-11-19 09:59:55 to 2026-11-20 00:00:01"
        );
    }
}
