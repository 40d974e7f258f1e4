//! Headings and rows of the report.

use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

use crate::render::{Paint, Terminal};
use crate::units::format_ms;

/// Episodes, events, throttling rows shown.
pub(super) const MAX_LINES: usize = 25;
/// Adds a text, with blanks before it up to a width.
pub(super) fn pad_left(line: &mut String, text: &str, width: usize) {
    let blanks = width.saturating_sub(text.width());
    line.extend(std::iter::repeat_n(' ', blanks));
    line.push_str(text);
}

pub(super) fn heading(out: &mut dyn Write, terminal: Terminal, text: &str) -> io::Result<()> {
    writeln!(out, "\n{}", terminal.paint(Paint::Strong, text))
}

/// Rows of a table whose last column takes what room there is.
pub(super) fn rows(
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

pub(super) fn more(out: &mut dyn Write, terminal: Terminal, left: usize) -> io::Result<()> {
    if left == 0 {
        return Ok(());
    }
    let more = format!("{left} more in --format json");
    writeln!(out, "{}", terminal.paint(Paint::Faint, more))
}

pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

pub(super) fn place(component: &str, node: Option<&str>) -> String {
    match node {
        Some(node) => format!("{component}@{node}"),
        None => component.to_owned(),
    }
}

pub(super) fn time(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), format_ms)
}
