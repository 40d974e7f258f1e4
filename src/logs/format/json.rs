//! A tolerant walk over one JSON object's own fields, without building anything.
//!
//! Log lines are torn, cut, pasted with their inner quotes bare, and hold a name twice. A strict
//! reader loses such lines, so this one goes on where it can: a quote ends a string only where
//! JSON lets one end (before `,` `}` `]` or the end), every field is yielded in its order, and
//! what is cut off is yielded as [`ValueKind::Torn`].

use memchr::memchr;

use crate::logs::needle::{near, near2};
use crate::logs::record::{Value, ValueKind};
use crate::units::digit_run;

/// The fields of an object at depth one. Starts at `{`, or at the comma before a field.
#[derive(Clone, Debug)]
pub struct JsonFields<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the object ended, once its `}` was met.
    end: Option<usize>,
}

impl<'a> JsonFields<'a> {
    /// Over an object's text.
    pub fn new(text: &'a [u8]) -> Self {
        let open = text.iter().position(|b| !b.is_ascii_whitespace());
        let at = match open {
            Some(at) if text.get(at) == Some(&b'{') => at + 1,
            _ => 0,
        };
        JsonFields {
            text,
            at,
            end: None,
        }
    }

    /// Just after the closing `}`, when the whole object was walked and closed.
    pub fn end(&self) -> Option<usize> {
        self.end
    }

    /// Just after the last value.
    pub fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

impl<'a> Iterator for JsonFields<'a> {
    type Item = (&'a [u8], Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some() {
            return None;
        }
        if let Some((name, value, next)) = plain_field(self.text, self.at) {
            self.at = next;
            return Some((name, value));
        }
        loop {
            match self.peek()? {
                b',' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'}' => {
                    self.end = Some(self.at + 1);
                    return None;
                }
                b'"' => {
                    let from = self.at + 1;
                    let Some(len) = near(b'"', self.text.get(from..)?) else {
                        self.at = self.text.len();
                        return None;
                    };
                    let name = self.text.get(from..from + len)?;
                    self.at = from + len + 1;
                    let colon = skip_space(self.text, self.at);
                    if self.text.get(colon) != Some(&b':') {
                        continue;
                    }
                    self.at = skip_space(self.text, colon + 1);
                    let (value, next) = value(self.text, self.at)?;
                    self.at = next;
                    return Some((name, value));
                }
                // Something that is no field: go on at the next quote.
                _ => self.at += memchr(b'"', self.text.get(self.at..)?)?,
            }
        }
    }
}

/// The field `,"name":"value"` or `,"name":123` at `at`, which is what nearly all are, with what
/// follows it.
#[inline(always)]
pub fn plain_field(text: &[u8], at: usize) -> Option<(&[u8], Value<'_>, usize)> {
    let rest = text.get(at..)?.strip_prefix(b",\"")?;
    let len = near(b'"', rest)?;
    let (name, rest) = rest.split_at(len);
    let rest = rest.strip_prefix(b"\":")?;
    let from = text.len() - rest.len();
    if let Some((b'"', inner)) = rest.split_first() {
        let end = match near2(b'"', b'\\', inner) {
            Some(len) if matches!(inner.get(len..len + 2), Some([b'"', b',' | b'}'])) => {
                from + 1 + len
            }
            _ => string_end(text, from + 1)?,
        };
        return Some((name, make(text, from + 1, end, ValueKind::String), end + 1));
    }
    let digits = digits(rest);
    let ends = digits > 0 && matches!(rest.get(digits), Some(b',' | b'}'));
    let end = from + digits;
    ends.then(|| (name, make(text, from, end, ValueKind::Number), end))
}

/// How many digits a text begins with.
fn digits(text: &[u8]) -> usize {
    let mut len = 0;
    while let Some(block) = text.get(len..).and_then(|rest| rest.first_chunk()) {
        let run = digit_run(u64::from_le_bytes(*block)) as usize;
        len += run;
        if run < block.len() {
            return len;
        }
    }
    let rest = text.get(len..).unwrap_or_default();
    len + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The value at `at`, and where it ends.
fn value(text: &[u8], at: usize) -> Option<(Value<'_>, usize)> {
    match text.get(at)? {
        b'"' => {
            let from = at + 1;
            Some(match string_end(text, from) {
                Some(end) => (make(text, from, end, ValueKind::String), end + 1),
                None => (make(text, from, text.len(), ValueKind::Torn), text.len()),
            })
        }
        b'{' | b'[' => Some(match nested_end(text, at) {
            Ok(end) => (make(text, at, end, ValueKind::Nested), end),
            Err(_) => (make(text, at, text.len(), ValueKind::Torn), text.len()),
        }),
        first => {
            let rest = text.get(at..)?;
            let stop = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            let len = rest.iter().position(stop);
            let kind = match (len, first) {
                (None, _) => ValueKind::Torn,
                (_, b'-' | b'0'..=b'9') => ValueKind::Number,
                _ => ValueKind::Word,
            };
            let end = at + len.unwrap_or(rest.len());
            Some((make(text, at, end, kind), end))
        }
    }
}

fn make(text: &[u8], from: usize, to: usize, kind: ValueKind) -> Value<'_> {
    let raw = text.get(from..to).unwrap_or_default();
    Value { raw, kind }
}

/// Where the string that begins at `from` (after its quote) ends: the place of its closing quote.
#[inline]
pub fn string_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += near2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'\\') {
            at += 2;
            continue;
        }
        // A quote inside a string that somebody unescaped is followed by anything else.
        match text.get(at + 1) {
            None | Some(b',' | b'}' | b']') => return Some(at),
            Some(b' ' | b'\t' | b'\n' | b'\r') => {
                let next = skip_space(text, at + 1);
                if matches!(text.get(next), None | Some(b',' | b'}' | b']')) {
                    return Some(at);
                }
            }
            Some(_) => {}
        }
        at += 1;
    }
}

/// Where the object or array that opens at `at` ends; or how the text ends before it does.
pub fn nested_end(text: &[u8], at: usize) -> Result<usize, Completeness> {
    let mut depth = 0_usize;
    let mut here = at;
    while let Some(byte) = text.get(here) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(here + 1);
                }
            }
            b'"' => match nested_string_end(text, here + 1) {
                Some(end) => here = end,
                None => return Err(Completeness::InString),
            },
            _ => {}
        }
        here += 1;
    }
    Err(Completeness::Open)
}

/// Like [`string_end`], where the string may be a name, so that a colon may follow.
fn nested_string_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += near2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'\\') {
            at += 2;
            continue;
        }
        let next = skip_space(text, at + 1);
        if matches!(text.get(next), None | Some(b',' | b'}' | b']' | b':')) {
            return Some(at);
        }
        at += 1;
    }
}

/// The next place from `at` that is not white space.
#[inline]
pub fn skip_space(text: &[u8], at: usize) -> usize {
    let mut at = at;
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// How far an object that may go on in the next line is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It is closed; with the place after its `}`.
    Closed(usize),
    /// It ends inside a string.
    InString,
    /// It ends between tokens or inside a number.
    Open,
}

/// Whether the object at the start of `text` is closed.
pub fn completeness(text: &[u8]) -> Completeness {
    let mut fields = JsonFields::new(text);
    let mut torn = None;
    for (_, value) in &mut fields {
        torn = (value.kind == ValueKind::Torn).then_some(value);
    }
    if let Some(end) = fields.end() {
        return Completeness::Closed(end);
    }
    // What is torn reaches to the end of the text.
    let start = torn.map(|value| text.len() - value.raw.len());
    match start.and_then(|at| Some((at, text.get(at)?))) {
        Some((at, b'{' | b'[')) => nested_end(text, at).err().unwrap_or(Completeness::Open),
        _ => {
            let quote = match start {
                Some(at) => at.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'"'),
                // A name without its end.
                None => text.iter().filter(|b| **b == b'"').count() % 2 == 1,
            };
            if quote {
                Completeness::InString
            } else {
                Completeness::Open
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(text: &str) -> Vec<(String, String, ValueKind)> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        JsonFields::new(text.as_bytes())
            .map(|(name, value)| (text_of(name), text_of(value.raw), value.kind))
            .collect()
    }

    fn pair(name: &str, raw: &str, kind: ValueKind) -> (String, String, ValueKind) {
        (name.to_owned(), raw.to_owned(), kind)
    }

    #[test]
    fn names_twice_and_names_with_spaces_are_kept() {
        let got = walk(r#"{"from":"3.0","from":"3.5","start time":"x", "n": -1.5,"ok":true}"#);
        let want = [
            pair("from", "3.0", ValueKind::String),
            pair("from", "3.5", ValueKind::String),
            pair("start time", "x", ValueKind::String),
            pair("n", "-1.5", ValueKind::Number),
            pair("ok", "true", ValueKind::Word),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn inner_quotes_that_lost_their_escapes_do_not_end_a_string() {
        let got = walk(r#"{"request content":"key:"/registry/pods/" range_end:"/x0" limit:500 "}"#);
        let want = r#"key:"/registry/pods/" range_end:"/x0" limit:500 "#;
        assert_eq!(got, [pair("request content", want, ValueKind::String)]);
    }

    #[test]
    fn what_is_cut_off_is_torn() {
        let got = walk(r#"{"took":"330.8313ms","expected-dur"#);
        assert_eq!(got, [pair("took", "330.8313ms", ValueKind::String)]);
        let got = walk(r#"{"took":"1m"#);
        assert_eq!(got, [pair("took", "1m", ValueKind::Torn)]);
        let got = walk(r#"{"size":12"#);
        assert_eq!(got, [pair("size", "12", ValueKind::Torn)]);
        let got = walk(r#"{"args":["a","b"#);
        assert_eq!(got, [pair("args", r#"["a","b"#, ValueKind::Torn)]);
    }

    #[test]
    fn starts_at_the_comma_after_the_head_too() {
        let got = walk(r#","took":"1s","args":["}",{"a":"]"}]}"#);
        let want = [
            pair("took", "1s", ValueKind::String),
            pair("args", r#"["}",{"a":"]"}]"#, ValueKind::Nested),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn completeness_tells_where_it_ends() {
        assert_eq!(completeness(b"{}"), Completeness::Closed(2));
        assert_eq!(
            completeness(br#"{"a":{"b":"}"}} x"#),
            Completeness::Closed(15)
        );
        assert_eq!(completeness(br#"{"a":"x"#), Completeness::InString);
        assert_eq!(completeness(br#"{"a":"x","#), Completeness::Open);
        assert_eq!(completeness(br#"{"a":"x","b"#), Completeness::InString);
        assert_eq!(completeness(br#"{"a":"x","b":1"#), Completeness::Open);
        assert_eq!(completeness(b"{"), Completeness::Open);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_always_ends(text in "[{}\\[\\]\",:\\\\ a0-9\n]{0,80}") {
            let walked = JsonFields::new(text.as_bytes()).count();
            proptest::prop_assert!(walked <= text.len());
            let _ = completeness(text.as_bytes());
        }

        #[test]
        fn agrees_with_serde_on_whole_objects(
            map in proptest::collection::btree_map("[a-z ]{1,8}", ".{0,12}", 0..6)
        ) {
            let text = serde_json::to_vec(&map).expect("serialises");
            let got: Vec<_> = JsonFields::new(&text)
                .map(|(name, value)| {
                    let name = String::from_utf8(name.to_vec()).expect("ascii");
                    (name, String::from_utf8(value.bytes().into_owned()).expect("utf-8"))
                })
                .collect();
            proptest::prop_assert_eq!(got, map.into_iter().collect::<Vec<_>>());
            proptest::prop_assert_eq!(completeness(&text), Completeness::Closed(text.len()));
        }
    }
}
