//! Tables, paragraphs and colour for a terminal of any width.

use std::fmt;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::shell::Shell;

/// What the reader's terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns.
    pub width: u16,
    /// Whether to use ANSI colours.
    pub color: bool,
}

/// Columns of the terminal on standard output, where it has a size.
pub fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Rows of the terminal on standard output, where it has a size.
pub fn terminal_rows() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_row > 0).then_some(size.ws_row)
}

/// The few colours in use, by meaning. Never the only carrier of a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Headings.
    Strong,
    /// Critical.
    Bad,
    /// Warning.
    Doubt,
    /// Fine.
    Good,
    /// Less important.
    Faint,
}

impl Terminal {
    /// A text in a colour, or as it is.
    pub fn paint(self, paint: Paint, text: impl fmt::Display) -> String {
        if !self.color {
            return text.to_string();
        }
        let code = match paint {
            Paint::Strong => "1",
            Paint::Bad => "1;31",
            Paint::Doubt => "33",
            Paint::Good => "32",
            Paint::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// A borderless table with a header that fits the terminal.
pub fn table(terminal: Terminal, header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(terminal.width)
        .set_header(header.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A table whose first column stays whole where it can. While the table is too wide for the
/// terminal, the columns named in `least` are left out in that order; if it still is, the first
/// column's texts are cut in the middle, so that their ends can be told apart. All columns but the
/// first are numbers.
pub fn fitted(terminal: Terminal, header: &[&str], rows: &[Vec<String>], least: &[usize]) -> Table {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.width()).max().unwrap_or(0);
        longest.max(header.get(column).map_or(0, |name| name.width())) + 2
    };
    let mut kept: Vec<usize> = (0..header.len()).collect();
    let total = |kept: &[usize]| kept.iter().map(|at| width(*at)).sum::<usize>();
    let most = usize::from(terminal.width);
    for column in least {
        // The last column's padding may hang over.
        if total(&kept) <= most + 2 {
            break;
        }
        kept.retain(|at| at != column);
    }
    let over = total(&kept).saturating_sub(most + 2);
    let first = width(0).saturating_sub(2 + over).max(12);
    let names: Vec<&str> = kept
        .iter()
        .filter_map(|at| header.get(*at).copied())
        .collect();
    let mut shown = table(terminal, &names);
    // It was made to fit: nothing is to be broken into two lines.
    shown.set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        shown.add_row(kept.iter().map(|at| {
            let cell = row.get(*at).map_or("", String::as_str);
            if *at == 0 {
                middle(cell, first)
            } else {
                cell.to_owned()
            }
        }));
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    shown
}

/// A text cut in the middle to at most `most` columns of a terminal.
pub fn middle(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let tail = most.saturating_sub(1) / 2;
    let head = most.saturating_sub(1) - tail;
    // Some letters take two columns.
    let fits = |room: usize| {
        let mut left = room;
        move |letter: &char| {
            let rest = left.checked_sub(letter.width().unwrap_or(0));
            left = rest.unwrap_or(0);
            rest.is_some()
        }
    };
    let head: String = text.chars().take_while(fits(head)).collect();
    let tail: Vec<char> = text.chars().rev().take_while(fits(tail)).collect();
    head.chars()
        .chain(['…'])
        .chain(tail.into_iter().rev())
        .collect()
}

/// A table as text, without blanks at line ends.
pub fn trimmed(table: &Table) -> String {
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

/// A text from an untrusted source, safe for a terminal: control characters are shown, not sent.
pub fn safe(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || turns(c) {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect()
}

/// Whether a character makes the text after it run the other way.
pub(super) fn turns(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}')
}

/// Wraps a text to `width` columns, with every line after the first indented by `indent`.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let len = word.width();
        if column > indent.min(column) && column + 1 + len > width {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += len;
    }
    lines
}

/// The cells of a row of a Markdown table.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|');
    let row = row.replace("\\|", "\u{0}");
    row.split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

/// Prints a table of Markdown: as it stands there where it fits, else with its cells wrapped.
fn markdown_table(out: &mut dyn Write, terminal: Terminal, rows: &[&str]) -> io::Result<()> {
    let width = terminal.width.min(MOST);
    let [head, _, body @ ..] = rows else {
        return rows.iter().try_for_each(|row| writeln!(out, "{row}"));
    };
    if rows.iter().all(|row| row.width() <= usize::from(width)) {
        return rows.iter().try_for_each(|row| writeln!(out, "{row}"));
    }
    let head = cells(head);
    let names: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut shown = table(Terminal { width, ..terminal }, &names);
    for row in body {
        shown.add_row(cells(row));
    }
    writeln!(out, "{}", trimmed(&shown))
}

/// Columns of a page at most: longer lines are hard to read.
const MOST: u16 = 100;

/// Prints Markdown for a terminal: headings strong, all else wrapped.
pub fn markdown_text(out: &mut dyn Write, terminal: Terminal, text: &str) -> io::Result<()> {
    let width = usize::from(terminal.width.min(MOST));
    let mut code: Option<Shell> = None;
    let mut rows: Vec<&str> = Vec::new();
    let mut paragraph = String::new();
    let flush = |paragraph: &mut String, out: &mut dyn Write| -> io::Result<()> {
        if !paragraph.is_empty() {
            let indent = if paragraph.starts_with("- ") {
                2
            } else if paragraph
                .split_once(". ")
                .is_some_and(|(n, _)| n.parse::<u8>().is_ok())
            {
                3
            } else {
                0
            };
            writeln!(out, "{}", wrap(paragraph, width, indent))?;
            paragraph.clear();
        }
        Ok(())
    };
    for line in text.lines() {
        let trimmed = line.trim();
        if code.is_none() && trimmed.starts_with('|') {
            flush(&mut paragraph, out)?;
            rows.push(line);
            continue;
        }
        markdown_table(out, terminal, &std::mem::take(&mut rows))?;
        if trimmed.starts_with("```") {
            flush(&mut paragraph, out)?;
            code = code.is_none().then(Shell::default);
        } else if let Some(shell) = &mut code {
            for line in shell.fit(line, width.saturating_sub(4)) {
                writeln!(out, "    {line}")?;
            }
        } else if trimmed.starts_with('#') {
            flush(&mut paragraph, out)?;
            writeln!(
                out,
                "{}",
                terminal.paint(Paint::Strong, trimmed.trim_start_matches('#').trim())
            )?;
        } else if trimmed.is_empty() {
            flush(&mut paragraph, out)?;
            writeln!(out, "{line}")?;
        } else {
            let item = trimmed.starts_with("- ")
                || trimmed
                    .split_once(". ")
                    .is_some_and(|(n, _)| n.parse::<u8>().is_ok());
            if item {
                flush(&mut paragraph, out)?;
            }
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(trimmed);
        }
    }
    markdown_table(out, terminal, &rows)?;
    flush(&mut paragraph, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_two_columns_are_counted_as_two() {
        let rows = vec![vec!["日本語のクライアント名".repeat(3), "1".to_owned()]];
        let shown = fitted(
            Terminal {
                width: 40,
                color: false,
            },
            &["client", "requests"],
            &rows,
            &[],
        );
        for line in trimmed(&shown).lines() {
            assert!(line.width() <= 40, "{line}");
        }
        assert_eq!(middle("日本語の名", 6), "日…名");
    }

    #[test]
    fn wrapping_keeps_words_and_width() {
        let text = wrap("one two three four five six seven", 12, 2);
        assert_eq!(text, "one two\n  three four\n  five six\n  seven");
        assert!(text.lines().all(|line| line.chars().count() <= 12));
    }

    #[test]
    fn pages_fit_the_width_but_for_what_is_quoted() {
        for width in [60, 80] {
            let terminal = Terminal {
                width,
                color: false,
            };
            for page in crate::playbook::PAGES {
                let mut out = Vec::new();
                markdown_text(&mut out, terminal, page.text).unwrap();
                let text = String::from_utf8(out).unwrap();
                for line in text.lines() {
                    // A path, an address or a quoted text is one word.
                    let over = line.width() > usize::from(width);
                    let words = line.trim_end_matches(" \\").split_whitespace();
                    let quoted = line.contains(['\'', '"', '`']);
                    assert!(
                        !over || quoted || words.count() <= 2,
                        "{} at {width}: {line}",
                        page.name
                    );
                }
            }
        }
    }

    #[test]
    fn a_wide_table_has_its_cells_wrapped() {
        let text = "| what | means |\n|---|---|\n| `a \\| b` | one two three four five six seven eight |\n| c | d |\n\nend";
        let of = |width| {
            let mut out = Vec::new();
            let terminal = Terminal {
                width,
                color: false,
            };
            markdown_text(&mut out, terminal, text).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(80), format!("{text}\n"));
        let narrow = of(40);
        assert!(narrow.lines().all(|line| line.width() <= 40), "{narrow}");
        assert!(
            narrow.contains("`a | b`") && narrow.contains("eight"),
            "{narrow}"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(
            safe("a\u{1b}[31mb\u{202E}c\nd"),
            "a\u{FFFD}[31mb\u{FFFD}c\u{FFFD}d"
        );
    }

    #[test]
    fn a_table_drops_columns_before_it_cuts_names() {
        let header = ["NAME", "MANY", "FEW", "REST"];
        let row = |name: &str| {
            let cells = ["1234567", "1", "12345678"].map(str::to_owned);
            [name.to_owned()]
                .into_iter()
                .chain(cells)
                .collect::<Vec<_>>()
        };
        let rows = [row("leases.coordination.k8s.io"), row("pods")];
        let of = |width| {
            let terminal = Terminal {
                width,
                color: false,
            };
            trimmed(&fitted(terminal, &header, &rows, &[2, 1]))
        };
        let first = |width| of(width).lines().nth(1).unwrap().to_owned();
        assert_eq!(
            first(80),
            "leases.coordination.k8s.io  1234567    1  12345678"
        );
        assert_eq!(first(48), "leases.coordination.k8s.io  1234567  12345678");
        assert_eq!(first(40), "leases.coordination.k8s.io  12345678");
        assert_eq!(first(30), "leases.coo…on.k8s.io  12345678");
        for width in [30, 40, 48, 80] {
            assert!(
                of(width)
                    .lines()
                    .all(|l| l.chars().count() <= usize::from(width))
            );
        }
    }

    #[test]
    fn colour_only_when_wanted() {
        let plain = Terminal {
            width: 80,
            color: false,
        };
        assert_eq!(plain.paint(Paint::Bad, "x"), "x");
        let colour = Terminal {
            width: 80,
            color: true,
        };
        assert_eq!(colour.paint(Paint::Bad, "x"), "\u{1b}[1;31mx\u{1b}[0m");
    }
}
