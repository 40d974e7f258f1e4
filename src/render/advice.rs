//! Advice on a terminal.

use std::io::{self, Write};

use crate::advise::{Advice, Strength};

use super::plain::{Paint, Terminal, safe, wrap};

/// What to do, in one line.
pub fn headline(advice: &Advice) -> String {
    // What is no flag reads as a sentence only with a colon.
    let colon = if advice.setting.contains(' ') {
        ":"
    } else {
        ""
    };
    match &advice.now {
        Some(now) if !advice.setting.is_empty() => {
            format!(
                "{}: {}{colon} {now} → {}",
                advice.target, advice.setting, advice.proposed
            )
        }
        _ if !advice.setting.is_empty() => {
            format!(
                "{}: {} → {}",
                advice.target, advice.setting, advice.proposed
            )
        }
        _ => format!("{}: {}", advice.target, advice.proposed),
    }
}

/// One advice with everything that belongs to it.
pub fn one(
    out: &mut dyn Write,
    terminal: Terminal,
    number: usize,
    advice: &Advice,
    before: Option<&Advice>,
) -> io::Result<()> {
    let width = usize::from(terminal.width.min(110));
    let candidate = if advice.strength == Strength::Candidate {
        " (candidate)"
    } else {
        ""
    };
    let head = wrap(
        &safe(&format!("{number}. {}{candidate}", headline(advice))),
        width.saturating_sub(2),
        3,
    );
    for line in head.lines() {
        writeln!(out, "  {}", terminal.paint(Paint::Strong, line))?;
    }
    // Flags that go together have everything but the value in common.
    let alike = before.filter(|before| {
        (&before.effect, &before.risk, advice.strength)
            == (&advice.effect, &advice.risk, before.strength)
            && !advice.effect.is_empty()
            && advice.conflicts.is_empty()
    });
    if let Some(before) = alike {
        let words = if before.target == advice.target {
            format!("goes with {}: same reason, risk and check", before.setting)
        } else {
            format!("as for {}: same reason, risk and check", before.target)
        };
        let text = wrap(&safe(&words), width.saturating_sub(5), 0);
        for line in text.lines() {
            writeln!(out, "     {line}")?;
        }
        return Ok(());
    }
    for (label, text) in [
        ("why", &advice.why),
        ("expect", &advice.effect),
        ("risk", &advice.risk),
        ("settled", &advice.conflicts.join("; ")),
        ("undo", &advice.undo),
        ("verify", &advice.verify),
    ] {
        if text.is_empty() {
            continue;
        }
        let text = wrap(&safe(text), width.saturating_sub(13).max(30), 0);
        for (at, line) in text.lines().enumerate() {
            let label = if at == 0 { label } else { "" };
            writeln!(out, "     {label:<7} {line}")?;
        }
    }
    Ok(())
}
