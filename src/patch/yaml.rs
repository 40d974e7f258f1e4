//! YAML that is read with places, and texts as its scalars. `edit` changes it.

use std::fmt;

use serde::Deserialize;
use yaml_serde::Value;

/// Larger files are no manifests.
const MAX_BYTES: usize = 1 << 20;

/// Why a text is not edited, with its place where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is in the way.
    pub why: String,
    /// Line and column, from 1.
    pub place: Option<(usize, usize)>,
}

impl Refusal {
    /// A refusal about the file as a whole.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Refusal {
            why: why.into(),
            place: None,
        }
    }

    /// A refusal about a place.
    pub(super) fn at(why: impl Into<String>, line: usize, column: usize) -> Self {
        Refusal {
            why: why.into(),
            place: Some((line, column)),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Line and column of a byte, from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

/// All documents of a text. Refuses what cannot be read without doubt.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, Refusal> {
    if let Some(why) = super::model::why_unread(text) {
        return Err(Refusal::new(why));
    }
    if text.len() > MAX_BYTES {
        return Err(Refusal::new("larger than 1 MiB: no manifest"));
    }
    // A byte order mark is no part of the text; the reader trips over it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        if !blank && let Some(tab) = line.get(..indent).and_then(|lead| lead.find('\t')) {
            let (line, column) = place(text, at + tab);
            return Err(Refusal::at(
                "a tab in the indentation, which YAML forbids",
                line,
                column,
            ));
        }
        if !blank && let Some(brace) = line.find("{{") {
            let (line, column) = place(text, at + brace);
            return Err(Refusal::at(
                "a template that was not filled in",
                line,
                column,
            ));
        }
        at += line.len();
    }
    let mut values = Vec::new();
    for document in yaml_serde::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|err| {
            let place = err.location().map(|l| (l.line().max(1), l.column().max(1)));
            let place = second_key(text, &err.to_string()).or(place);
            Refusal {
                why: format!("not readable as YAML: {}", plain(&err.to_string())),
                place,
            }
        })?;
        values.push(value);
    }
    Ok(values)
}

/// The second place of a key that an error calls a duplicate: the parser names only the mapping.
fn second_key(text: &str, error: &str) -> Option<(usize, usize)> {
    let (_, rest) = error.split_once("duplicate entry with key \"")?;
    let (key, _) = rest.split_once('"')?;
    let mut seen: Vec<usize> = Vec::new();
    for (n, (_, line)) in lines(text).enumerate() {
        let body = line.trim_start_matches([' ', '-']);
        let bare = body.trim_start_matches(['"', '\'']);
        let is_key = bare
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'));
        if is_key {
            let column = line.len() - body.len() + 1;
            if seen.contains(&column) {
                return Some((n + 1, column));
            }
            seen.push(column);
        }
    }
    None
}

/// An error text without the place that is said apart.
fn plain(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

/// A text as a YAML scalar: plain where that reads back as the same string, else in double quotes.
pub(super) fn scalar(text: &str) -> String {
    let safe = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_=./:;,?&@+".contains(c))
        && !text.ends_with(':');
    let reads_back = |raw: &str| {
        yaml_serde::from_str::<Value>(raw).is_ok_and(|value| value.as_str() == Some(text))
    };
    if safe && reads_back(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out = format!("{out}\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Lines with their ends, and the byte each begins at.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line)
    })
}

/// The line end in use.
pub(super) fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for (text, place) in [
            ("a:\n\tb: 1\n", (2, 1)),
            ("a:\n  b: {{ .Values.x }}\n", (2, 6)),
            ("a: 1\nb: 2\na: 3\n", (3, 1)),
            ("x:\n  - a: 1\n    b: 2\n    a: 3\n", (4, 5)),
        ] {
            let refusal = documents(text).unwrap_err();
            assert_eq!(refusal.place, Some(place), "{text:?}: {refusal}");
        }
        assert!(documents("a: [1\n").unwrap_err().place.is_some());
    }

    #[test]
    fn comments_may_hold_anything() {
        assert!(documents("# {{ x }}\n#\ttab\na: 1 # b\n").is_ok());
    }

    #[test]
    fn crlf_and_several_documents() {
        assert_eq!(documents("a: 1\r\n---\r\nb: 2\r\n").unwrap().len(), 2);
        assert_eq!(
            documents("\u{feff}a: 1\n").unwrap(),
            documents("a: 1\n").unwrap()
        );
    }

    proptest! {
        #[test]
        fn scalars_read_back(text in "[ -~]{0,40}") {
            let value: Value = yaml_serde::from_str(&format!("- {}", scalar(&text))).unwrap();
            prop_assert_eq!(value.get(0).and_then(Value::as_str), Some(text.as_str()));
        }

        #[test]
        fn never_panics(text in "[ -~\n\t\r]{0,200}") {
            documents(&text).ok();
        }
    }
}
