//! Advice for a terminal: now → proposed, why, effect, risk, undo, verify.

use std::io::{self, Write};

use crate::advise::{Advice, Strength};

use super::plain::{Paint, Terminal, safe, wrap};

/// Columns of the labels.
const LABEL: usize = 9;

/// Writes all advice, numbered; what was argued against comes after the rest.
pub fn advice(out: &mut dyn Write, terminal: Terminal, all: &[Advice]) -> io::Result<()> {
    let refused_from = all
        .iter()
        .position(|advice| advice.strength == Strength::Refused)
        .unwrap_or(all.len());
    let (wanted, refused) = all.split_at(refused_from);
    for (n, advice) in wanted.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        one(out, terminal, n + 1, advice)?;
    }
    if !refused.is_empty() {
        if !wanted.is_empty() {
            writeln!(out)?;
        }
        writeln!(
            out,
            "{}",
            terminal.paint(Paint::Strong, "Looked at and not advised")
        )?;
        for advice in refused {
            let text = format!("- {}: {}", safe(&advice.id), safe(&advice.why));
            writeln!(out, "{}", wrap(&text, usize::from(terminal.width), 2))?;
        }
    }
    Ok(())
}

fn one(out: &mut dyn Write, terminal: Terminal, n: usize, advice: &Advice) -> io::Result<()> {
    let paint = match advice.strength {
        Strength::Recommended => Paint::Good,
        Strength::Candidate => Paint::Doubt,
        Strength::Refused => Paint::Faint,
    };
    let title = format!("{n}. {}: {}", safe(&advice.target), safe(&advice.setting));
    let tail = format!(
        "({}, {}, {})",
        terminal.paint(paint, advice.strength.word()),
        advice.disposition.word(),
        safe(&advice.id)
    );
    writeln!(out, "{} {tail}", terminal.paint(Paint::Strong, title))?;
    let change = match &advice.now {
        Some(now) => format!("{} → {}", safe(now), safe(&advice.proposed)),
        None => format!("{} (the value now is not known)", safe(&advice.proposed)),
    };
    for (label, text) in [
        ("change", change),
        ("why", safe(&advice.why)),
        ("effect", safe(&advice.effect)),
        ("risk", safe(&advice.risk)),
        ("undo", safe(&advice.undo)),
        ("verify", safe(&advice.verify)),
        ("source", safe(&advice.source)),
    ] {
        let lead = format!("   {label:<LABEL$}");
        let width = usize::from(terminal.width).max(40);
        let body = wrap(&text, width - lead.len(), 0);
        let mut lines = body.lines();
        writeln!(
            out,
            "{}{}",
            terminal.paint(Paint::Faint, &lead),
            lines.next().unwrap_or_default()
        )?;
        for line in lines {
            writeln!(out, "{}{line}", " ".repeat(lead.len()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_shown_within_the_width() {
        let json = serde_json::json!({
            "id": "kcm-qps", "remedy": "client-limits", "strength": "recommended",
            "target": "kube-controller-manager", "setting": "kube-api-qps", "now": "20",
            "proposed": "100", "why": "it waits \u{1b}[31mfor its own limiter a long time, as its log says many times over",
            "effect": "more", "confidence": "high", "risk": "some", "undo": "back",
            "verify": "look", "disposition": "disruptive", "finding_ids": [], "source": "docs",
        });
        let mut refused: Advice = serde_json::from_value(json.clone()).unwrap();
        refused.strength = Strength::Refused;
        let all = [serde_json::from_value(json).unwrap(), refused];
        let mut out = Vec::new();
        let terminal = Terminal {
            width: 60,
            color: false,
        };
        advice(&mut out, terminal, &all).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            "20 → 100",
            "waits",
            "effect",
            "risk",
            "undo",
            "verify",
            "not advised",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
        for line in text.lines().skip(1) {
            assert!(line.chars().count() <= 62, "{line}");
        }
    }
}
