//! The page that all parts write on: headings and paragraphs that fit the terminal.

use std::io::{self, Write};

use crate::render::plain::{Paint, Terminal, safe, wrap};

/// A terminal, and how much of its width is used.
pub(super) struct Page {
    pub(super) terminal: Terminal,
    pub(super) width: usize,
}

impl Page {
    pub(super) fn head(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        if text.chars().count() <= self.width {
            return writeln!(out, "\n{}", self.terminal.paint(Paint::Strong, text));
        }
        // The title stays strong and whole; what explains it goes on below.
        writeln!(out)?;
        let (title, rest) = text.split_once("  ").unwrap_or((text, ""));
        let lines = wrap(&format!("{title} {rest}"), self.width - 1, 2);
        let lines = lines.replacen(&format!("{title} "), &format!("{title}  "), 1);
        for line in lines.lines() {
            writeln!(out, "{}", self.terminal.paint(Paint::Strong, line))?;
        }
        Ok(())
    }

    pub(super) fn para(&self, out: &mut dyn Write, first: &str, text: &str) -> io::Result<()> {
        let indent = first.chars().count();
        if indent + 30 > self.width {
            // Beside so long a beginning nothing has room: what follows stands below it.
            let bare = first.trim_start();
            let lead = " ".repeat(indent - bare.chars().count());
            let width = self.width.saturating_sub(lead.len());
            for line in wrap(&format!("{bare}{}", safe(text)), width, 4).lines() {
                writeln!(out, "{lead}{line}")?;
            }
            return Ok(());
        }
        let text = wrap(&safe(text), self.width - indent, 0);
        for (at, line) in text.lines().enumerate() {
            if at == 0 {
                writeln!(out, "{first}{line}")?;
            } else {
                writeln!(out, "{}{line}", " ".repeat(indent))?;
            }
        }
        Ok(())
    }

    /// How many lines a text takes.
    pub(super) fn lines(&self, indent: usize, text: &str) -> usize {
        let text = text.replace("system:serviceaccount:", "sa:");
        wrap(&safe(&text), self.width.saturating_sub(indent).max(30), 0)
            .lines()
            .count()
    }

    /// A paragraph of at most `most` lines; `…` says that there is more.
    pub(super) fn first_lines(
        &self,
        out: &mut dyn Write,
        first: &str,
        text: &str,
        most: usize,
    ) -> io::Result<()> {
        let indent = first.chars().count();
        let width = self.width.saturating_sub(indent).max(30);
        // Long names of accounts would push out what is said about them; below they are whole.
        let text = text.replace("system:serviceaccount:", "sa:");
        let text = wrap(&safe(&text), width, 0);
        let count = text.lines().count();
        for (at, line) in text.lines().take(most).enumerate() {
            let lead = if at == 0 {
                first.to_owned()
            } else {
                " ".repeat(indent)
            };
            if at + 1 == most && count > most {
                let kept: String = line.chars().take(width - 2).collect();
                writeln!(
                    out,
                    "{lead}{} …",
                    kept.trim_end_matches([',', ';', ':', ' '])
                )?;
            } else {
                writeln!(out, "{lead}{line}")?;
            }
        }
        Ok(())
    }
}
