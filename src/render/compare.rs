//! A comparison for people.

use std::io::{self, Write};

use crate::report::compare::{Change, Comparison, Side};
use crate::units::format_ms;

use super::plain::{Paint, Terminal, safe, table, trimmed, wrap};

/// Prints a comparison.
pub fn compared(
    out: &mut dyn Write,
    terminal: Terminal,
    comparison: &Comparison,
) -> io::Result<()> {
    let [a, b] = &comparison.names;
    writeln!(out, "A  {}\nB  {}\n", safe(a), safe(b))?;
    let paint = |change: Change| {
        let paint = match change {
            Change::Better => Paint::Good,
            Change::Worse => Paint::Bad,
            Change::NoneShown | Change::TooFew => Paint::Faint,
        };
        terminal.paint(paint, change.words())
    };
    if !comparison.words.is_empty() || !comparison.lines.is_empty() {
        let mut shown = table(terminal, &["", "A", "B", "CHANGE", "B IS"]);
        for word in &comparison.words {
            let text = |word: &Option<String>| word.as_deref().map_or("–".to_owned(), safe);
            let same = word.a == word.b;
            shown.add_row([
                safe(&word.what),
                text(&word.a),
                text(&word.b),
                String::new(),
                if same {
                    "the same".to_owned()
                } else {
                    paint(word.change)
                },
            ]);
        }
        for line in &comparison.lines {
            let time = line.what.ends_with("_ms");
            shown.add_row([
                safe(line.what.trim_end_matches("_ms").replace('_', " ").as_str()),
                side(&line.a, time),
                side(&line.b, time),
                line.share
                    .map_or_else(String::new, |share| format!("{:+.0} %", share * 100.0)),
                paint(line.change),
            ]);
        }
        writeln!(out, "{}", trimmed(&shown))?;
        if let Some(line) = comparison.lines.first() {
            writeln!(
                out,
                "\nMedian of the rounds ({} of A, {} of B), and from the smallest to the largest.",
                line.a.rounds, line.b.rounds
            )?;
        }
    }
    for doubt in &comparison.doubts {
        let text = wrap(&safe(doubt), usize::from(terminal.width.min(110)), 0);
        writeln!(out, "{}", terminal.paint(Paint::Doubt, text))?;
    }
    Ok(())
}

fn side(side: &Side, time: bool) -> String {
    let number = |n: f64| {
        if time {
            format_ms(n)
        } else {
            format!("{n:.0}")
        }
    };
    format!(
        "{} ({} to {})",
        number(side.median),
        number(side.low),
        number(side.high)
    )
}
