//! A comparison for people.

use std::io::{self, Write};

use crate::report::compare::{Change, Comparison, Side};
use crate::report::compare_runs::BracketSide;
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
            Change::Minor | Change::NoneShown | Change::TooFew => Paint::Faint,
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
    runs(out, terminal, comparison)?;
    for doubt in &comparison.doubts {
        let text = wrap(&safe(doubt), usize::from(terminal.width.min(110)), 0);
        writeln!(out, "{}", terminal.paint(Paint::Doubt, text))?;
    }
    Ok(())
}

/// What two runs of `diagnose` say.
fn runs(out: &mut dyn Write, terminal: Terminal, comparison: &Comparison) -> io::Result<()> {
    let paint = |change: Change| match change {
        Change::Better => Paint::Good,
        Change::Worse => Paint::Bad,
        Change::Minor | Change::NoneShown | Change::TooFew => Paint::Faint,
    };
    if !comparison.brackets.is_empty() {
        writeln!(out)?;
        let mut shown = table(terminal, &["P99 OF", "A", "B", "B IS"]);
        for line in &comparison.brackets {
            let of = |side: &BracketSide| match side.high_ms {
                Some(high) => format!("{} to {}", format_ms(side.low_ms), format_ms(high)),
                None => format!("over {}", format_ms(side.low_ms)),
            };
            let words = match line.change {
                Change::TooFew => "too few values to tell",
                change => change.words(),
            };
            shown.add_row([
                safe(&format!("{}, {}", line.what, line.subject)),
                of(&line.a),
                of(&line.b),
                terminal.paint(paint(line.change), words),
            ]);
        }
        writeln!(out, "{}", trimmed(&shown))?;
    }
    if comparison.findings.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{}",
        terminal.paint(Paint::Strong, "FINDINGS THAT DIFFER")
    )?;
    let width = usize::from(terminal.width.min(110));
    for line in &comparison.findings {
        let word = match line.change {
            Change::Better => "better",
            Change::Worse => "worse",
            Change::Minor => "note",
            Change::NoneShown => "noise",
            Change::TooFew => "unknown",
        };
        let state =
            |state: &Option<String>| state.as_deref().map_or("not looked at", |s| s).to_owned();
        writeln!(
            out,
            "  {} {} [{}]: {} → {}",
            terminal.paint(paint(line.change), format!("{word:<8}")),
            safe(&line.rule),
            safe(&line.subject),
            safe(&state(&line.a)),
            safe(&state(&line.b))
        )?;
        let text = match line.note.is_empty() {
            true => safe(&line.message),
            false => safe(&format!("{} ({})", line.message, line.note)),
        };
        for words in wrap(&text, width.saturating_sub(11), 0).lines() {
            writeln!(out, "           {words}")?;
        }
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
