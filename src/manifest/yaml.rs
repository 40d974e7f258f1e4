//! YAML and JSON documents with the line of every scalar.
//!
//! The values come from `yaml_serde`; it keeps no positions, so a second pass finds each scalar
//! again in the text, walking both in the same order. Where that fails (escapes, anchors used
//! elsewhere) the line is the nearest one known before it. Duplicated keys are kept, as the
//! kubelet reads them: the last one wins, and the earlier one is reported.

mod depth;
mod merge;
mod visit;

use self::depth::Depth;

/// Documents read from one file; more are counted as skipped.
const MAX_DOCUMENTS: usize = 1000;
/// Nodes of one document; a larger one is refused. A node's own files are far smaller.
const MAX_NODES: usize = 400_000;

/// How far ahead a scalar is looked for; farther by what was passed over.
const WINDOW: usize = 64 << 10;

/// A value with the line where its text starts (from 1; 0 when unknown).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    /// A scalar that is no string: `true`, `10`, `1.5`.
    Plain(String),
    /// A string.
    Text(String),
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Something wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) line: u32,
    pub(super) column: Option<u32>,
    pub(super) why: String,
    /// Whether the document was given up.
    pub(super) fatal: bool,
    /// A scalar that YAML 1.1 and 1.2 read differently.
    pub(super) ambiguous: bool,
}

/// The documents of a text, each with what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) documents: Vec<Node>,
    pub(super) troubles: Vec<Trouble>,
}

impl Node {
    fn new(value: Value) -> Self {
        Node { value, line: 0 }
    }

    /// A member of a mapping; the last one when the key is there twice. Keys of merged anchors
    /// (`<<: *base`) count when the mapping has none of its own.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        let own = entries.iter().rev().find(|(k, _)| k.text() == Some(key));
        own.map(|(_, value)| value).or_else(|| {
            entries
                .iter()
                .filter(|(k, _)| k.text() == Some("<<"))
                .find_map(|(_, merged)| match &merged.value {
                    Value::Seq(items) => items.iter().find_map(|item| item.get(key)),
                    _ => merged.get(key),
                })
        })
    }

    /// Whether no mapping in it has a mapping or a list for a key.
    fn keys_are_scalars(&self) -> bool {
        match &self.value {
            Value::Seq(items) => items.iter().all(Node::keys_are_scalars),
            Value::Map(entries) => entries.iter().all(|(key, value)| {
                !matches!(key.value, Value::Seq(_) | Value::Map(_)) && value.keys_are_scalars()
            }),
            Value::Null | Value::Plain(_) | Value::Text(_) => true,
        }
    }

    /// A member of nested mappings.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text of a scalar, a number or boolean included.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Text(text) => Some(text),
            Value::Null | Value::Seq(_) | Value::Map(_) => None,
        }
    }

    /// A scalar's text at a path.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.text()
    }

    /// The members of a sequence; none when it is no sequence.
    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; none when it is no mapping.
    pub(super) fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
}

/// Reads all documents of a text. Never fails as a whole: a bad document is a trouble with its
/// line, the others go on. CRLF and a byte order mark are accepted.
pub(super) fn read(text: &str) -> Documents {
    let mut out = Documents::default();
    for (index, (first_line, body)) in split(text).into_iter().enumerate() {
        if index >= MAX_DOCUMENTS {
            out.troubles.push(Trouble {
                line: first_line,
                column: None,
                why: format!(
                    "more than {MAX_DOCUMENTS} documents in one file: the rest was not read"
                ),
                fatal: true,
                ambiguous: false,
            });
            break;
        }
        read_one(&body, first_line, &mut out);
    }
    out
}

fn read_one(body: &str, first_line: u32, out: &mut Documents) {
    let (clean, depth) = without_comments(body);
    if clean.trim().is_empty() {
        return;
    }
    if let Some((before, limit)) = depth.over(body) {
        out.troubles.push(Trouble {
            line: first_line.saturating_add(before),
            column: None,
            why: format!("opens more than {limit} brackets inside one another: it was not read"),
            fatal: true,
            ambiguous: false,
        });
        return;
    }
    let read = yaml_serde::from_str::<Node>(body);
    // `{{ .Values.x }}` outside of quotes is a mapping whose key is a mapping; inside of them it is a
    // text like any other, and whose it is the reader of the settings knows.
    if !read.as_ref().is_ok_and(|node| node.keys_are_scalars())
        && let Some((line, column, why)) = explained(&clean)
    {
        out.troubles.push(Trouble {
            line: first_line + line,
            column: Some(column),
            why,
            fatal: true,
            ambiguous: false,
        });
        return;
    }
    let mut node = match read {
        Ok(node) => node,
        Err(err) => {
            let location = err.location();
            let at = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            out.troubles.push(Trouble {
                line: first_line.saturating_add(
                    location
                        .as_ref()
                        .map_or(0, |l| at(l.line()).saturating_sub(1)),
                ),
                column: location.as_ref().map(|l| at(l.column())),
                why: format!("is not valid YAML: {}", first_line_of(&err.to_string())),
                fatal: true,
                ambiguous: false,
            });
            return;
        }
    };
    let mut finder = Finder {
        text: clean.as_bytes(),
        at: 0,
        line: first_line,
        counted: 0,
        nodes: 0,
        lost: 0,
        troubles: &mut out.troubles,
    };
    finder.locate(&mut node);
    if finder.nodes > MAX_NODES {
        out.troubles.push(Trouble {
            line: first_line,
            column: None,
            why: "has too many nodes: it was not read".to_owned(),
            fatal: true,
            ambiguous: false,
        });
        return;
    }
    merge::flatten(&mut node);
    out.documents.push(node);
}

fn first_line_of(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

/// The documents of a text with the number of their first line.
fn split(text: &str) -> Vec<(u32, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = vec![(1, String::new())];
    let mut number = 0u32;
    for line in text.lines() {
        number = number.saturating_add(1);
        let marker = line.strip_prefix("---");
        let starts = marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        let ends = line.trim_end() == "...";
        if starts || ends {
            // What follows the marker on its line belongs to the new document; spaces keep columns.
            let rest = if starts { marker.unwrap_or("") } else { "" };
            documents.push((number, format!("   {rest}\n")));
        } else if let Some((_, body)) = documents.last_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    documents
}

/// Why a text is no YAML, where it is a tab or a template that was never filled in: `(line, column,
/// why)`, the line from 0.
fn explained(clean: &str) -> Option<(u32, u32, String)> {
    // In a flow collection (JSON) a tab is allowed white space.
    let flow = clean.trim_start().starts_with(['{', '[']);
    for (number, line) in clean.lines().enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let indent = line.len() - line.trim_start_matches(' ').len();
        if !flow && line.as_bytes().get(indent) == Some(&b'\t') && !line.trim().is_empty() {
            let column = u32::try_from(indent + 1).unwrap_or(u32::MAX);
            return Some((
                number,
                column,
                "has a tab in its indentation, which YAML forbids".to_owned(),
            ));
        }
        if let Some((at, mark)) = template_in(line) {
            let column = u32::try_from(at + 1).unwrap_or(u32::MAX);
            return Some((number, column, unfilled(mark)));
        }
    }
    None
}

/// Where a template begins that nobody filled in, and its mark.
pub(super) fn template_in(text: &str) -> Option<(usize, &'static str)> {
    [("{{", "}}"), ("{%", "%}"), ("<%", "%>")]
        .into_iter()
        .find_map(|(mark, close)| {
            let at = text.find(mark)?;
            text.get(at..)?.contains(close).then_some((at, mark))
        })
}

/// What is said of such a template.
pub(super) fn unfilled(mark: &str) -> String {
    format!("holds a template that was never filled in (`{mark}`)")
}

/// The text with comments blanked out, byte for byte as long. A `#` starts a comment at the start
/// of a line or after white space, outside quotes. What is left is counted for its brackets.
fn without_comments(text: &str) -> (String, Depth) {
    let mut depth = Depth::default();
    let mut clean: Vec<u8> = Vec::with_capacity(text.len());
    let mut quote: Option<u8> = None;
    let mut comment = false;
    let mut previous = b'\n';
    let mut at_token = true;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        let kept = match byte {
            b'\n' => {
                comment = false;
                byte
            }
            _ if comment => b' ',
            _ => match quote {
                Some(open) => {
                    depth.take(at, byte, true);
                    // A backslash is one like any other letter in single quotes; there a quote is
                    // doubled to stand for itself.
                    let escaped = match open {
                        b'"' => previous == b'\\',
                        _ => previous == b'\'' || text.as_bytes().get(at + 1) == Some(&b'\''),
                    };
                    if byte == open && !escaped {
                        quote = None;
                    }
                    byte
                }
                None => match byte {
                    // A quote opens a scalar only where a token starts; `it's` does not.
                    b'"' | b'\'' if at_token => {
                        quote = Some(byte);
                        byte
                    }
                    b'#' if matches!(previous, b' ' | b'\t' | b'\n') => {
                        comment = true;
                        b' '
                    }
                    _ => {
                        depth.take(at, byte, false);
                        byte
                    }
                },
            },
        };
        at_token = matches!(
            byte,
            b' ' | b'\t' | b'\n' | b'[' | b'{' | b',' | b':' | b'('
        );
        // An escaped backslash does not escape the quote after it.
        previous = if byte == b'\\' && previous == b'\\' {
            0
        } else {
            byte
        };
        clean.push(kept);
    }
    let clean = String::from_utf8(clean).unwrap_or_else(|_| text.to_owned());
    (clean, depth)
}

/// What YAML 1.1 makes of a bare scalar that YAML 1.2 takes for a text (go-yaml v2, resolve.go).
fn yaml11(text: &str) -> Option<String> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Some("the boolean true".to_owned());
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Some("the boolean false".to_owned());
        }
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.replace('_', "");
    let octal = plain.len() > 1
        && plain.starts_with('0')
        && plain.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let underscored = digits.contains('_')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && plain.bytes().all(|b| b.is_ascii_digit());
    if octal {
        let value = i64::from_str_radix(&plain, 8).ok()?;
        return Some(format!("the number {value}"));
    }
    underscored.then(|| format!("the number {plain}"))
}

/// Walks values and text in the same order.
struct Finder<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    counted: usize,
    nodes: usize,
    /// Bytes of scalars that were not found since the last one that was.
    lost: usize,
    troubles: &'a mut Vec<Trouble>,
}

impl Finder<'_> {
    fn locate(&mut self, node: &mut Node) {
        self.nodes += 1;
        match &mut node.value {
            Value::Null => node.line = self.line_of(self.at),
            Value::Plain(text) => node.line = self.find(text, true),
            Value::Text(text) => {
                let before = self.at;
                node.line = self.find(text, false);
                self.note_ambiguous(text, before, node.line);
            }
            Value::Seq(items) => {
                for item in items.iter_mut() {
                    self.locate(item);
                }
                node.line = items
                    .first()
                    .map_or_else(|| self.line_of(self.at), |i| i.line);
            }
            Value::Map(entries) => {
                for (key, value) in entries.iter_mut() {
                    self.locate(key);
                    self.locate(value);
                }
                self.note_duplicates(entries);
                node.line = entries
                    .first()
                    .map_or_else(|| self.line_of(self.at), |(key, _)| key.line);
            }
        }
    }

    /// A bare word or number that YAML 1.2 takes for a text and YAML 1.1, which Kubernetes' tools
    /// read by, for something else.
    fn note_ambiguous(&mut self, text: &str, before: usize, line: u32) {
        let Some(meaning) = yaml11(text) else {
            return;
        };
        // Found as a token, and the token is not in quotes.
        let start = self.at.wrapping_sub(text.len());
        let found = self.at > before && self.text.get(start..self.at) == Some(text.as_bytes());
        let quoted = matches!(
            start.checked_sub(1).and_then(|at| self.text.get(at)),
            Some(b'"' | b'\'')
        );
        if !found || quoted {
            return;
        }
        self.troubles.push(Trouble {
            line,
            column: None,
            why: format!(
                "`{text}` without quotes is {meaning} by YAML 1.1, as Kubernetes' tools read it, and a text by YAML 1.2: \
                 quote it, or write what is meant"
            ),
            fatal: false,
            ambiguous: true,
        });
    }

    fn note_duplicates(&mut self, entries: &[(Node, Node)]) {
        // Mappings of settings are short; long ones are data of no interest here.
        if entries.len() > 500 {
            return;
        }
        for (i, (key, _)) in entries.iter().enumerate() {
            let earlier = entries.iter().take(i).find(|(k, _)| k.value == key.value);
            if let (Some(_), Some(name)) = (earlier, key.text())
                && name != "<<"
            {
                self.troubles.push(Trouble {
                    line: key.line,
                    column: None,
                    why: format!("the key `{name}` is there twice; the last one counts"),
                    fatal: false,
                    ambiguous: false,
                });
            }
        }
    }

    /// The line of the next occurrence of a scalar as a token, and goes on behind it. What is not
    /// found gets the line reached so far.
    fn find(&mut self, text: &str, near: bool) -> u32 {
        // A multi-line scalar is found by its first line, an escaped one by its plain beginning.
        let probe = first_line_of(text).trim_end();
        let probe = probe.split(['\\', '"']).next().unwrap_or(probe).trim();
        if probe.is_empty() {
            return self.line_of(self.at);
        }
        // A number or boolean may be written otherwise (`True`, `1_000`): do not run away. Nor may
        // a text that is not there cost a walk through a large file, for each such text.
        let reach = if near {
            let rest = self.text.get(self.at..).unwrap_or(&[]);
            memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 161)
        } else {
            WINDOW.saturating_add(self.lost.saturating_mul(2))
        };
        let end = self.at.saturating_add(reach).min(self.text.len());
        let mut from = self.at;
        while let Some(hay) = self.text.get(from..end) {
            let Some(offset) = memchr::memmem::find(hay, probe.as_bytes()) else {
                break;
            };
            let start = from + offset;
            let stop = start + probe.len();
            if self.is_token(start, stop) {
                self.at = stop;
                self.lost = 0;
                return self.line_of(start);
            }
            from = start + 1;
        }
        self.lost = self.lost.saturating_add(text.len());
        self.line_of(self.at)
    }

    fn is_token(&self, start: usize, stop: usize) -> bool {
        let before = start.checked_sub(1).and_then(|i| self.text.get(i));
        let after = self.text.get(stop);
        let left = before.is_none_or(|b| {
            matches!(
                b,
                b' ' | b'\t' | b'\n' | b'"' | b'\'' | b'[' | b'{' | b',' | b':'
            )
        });
        let right = after.is_none_or(|b| {
            matches!(
                b,
                b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b']' | b'}' | b',' | b':' | b'\\'
            )
        });
        left && right
    }

    fn line_of(&mut self, at: usize) -> u32 {
        // Positions only grow, so lines are counted once.
        if at > self.counted {
            let passed = self.text.get(self.counted..at).unwrap_or(&[]);
            let lines = memchr::memchr_iter(b'\n', passed).count();
            self.line = self
                .line
                .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
            self.counted = at;
        }
        self.line
    }
}

#[cfg(test)]
mod tests;
