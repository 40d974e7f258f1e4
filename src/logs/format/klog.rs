//! klog, the encoding of all Kubernetes components:
//! `I1008 04:37:11.770951       1 httplog.go:132] "HTTP" verb="LIST" …`.
//!
//! It has neither year nor zone. A structured message is quoted and followed by `key=value`
//! pairs; a value over several lines is `key=<`, lines indented by a tab, and ` >`.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::logs::fields::unescape;
use crate::logs::needle::near2;
use crate::logs::record::{Encoding, Fields, Level, TimeSource, Value, ValueKind};
use crate::logs::timestamp::{TimeCache, clock};
use crate::sys::{has_odd_quotes, places_of};

use super::{Parsed, Reference};

/// Whether a klog header stands here.
pub fn starts(text: &[u8]) -> bool {
    header(text).is_some()
}

/// Reads a record; `text` may hold its further lines.
#[inline]
pub fn parse<'a>(
    text: &'a [u8],
    reference: &Reference,
    cache: &mut TimeCache,
) -> Option<Parsed<'a>> {
    let head = header(text)?;
    let rest = text.get(head.len..)?;
    let (msg, fields) = split(rest);
    let time = cache.klog(head.mmdd, head.day_us, reference.year());
    let time = time.map(|local| reference.zone(local).0);
    Some(Parsed {
        encoding: Encoding::Klog,
        level: head.level,
        time,
        time_source: if time.is_some() {
            TimeSource::Completed
        } else {
            TimeSource::None
        },
        logger: b"",
        caller: head.caller,
        msg,
        fields,
        repeats: 1,
    })
}

/// A message whose header an exporter took away, and says what stood in it.
pub fn headless<'a>(text: &'a [u8], level: Level, caller: &'a [u8]) -> Parsed<'a> {
    let (msg, fields) = split(text);
    Parsed {
        level,
        caller,
        msg,
        fields,
        ..Parsed::bare(Encoding::Klog, text)
    }
}

/// Reads `Trace[484169231]: …`, a line that follows a trace's header.
pub fn parse_trace(text: &[u8]) -> Option<Parsed<'_>> {
    is_trace(text).then(|| Parsed::bare(Encoding::KlogTrace, text))
}

/// Whether this is `Trace[NUMBER]: `.
pub fn is_trace(text: &[u8]) -> bool {
    let digits = |rest: &[u8]| {
        let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        len > 0 && rest.get(len..).is_some_and(|rest| rest.starts_with(b"]:"))
    };
    text.strip_prefix(b"Trace[").is_some_and(digits)
}

/// Whether the record goes on in the next line: a value over several lines is open, a struct is
/// being printed, or a quote is (somebody's editor wrapped the line).
#[inline]
pub fn goes_on(text: &[u8]) -> bool {
    if memchr(b'\n', text).is_none() {
        return line_goes_on(text);
    }
    open_struct(text) || open_value(text) || odd_quotes(text)
}

/// As [`goes_on`], for a text without newlines.
#[inline]
pub fn line_goes_on(text: &[u8]) -> bool {
    text.ends_with(b"=<") || text.ends_with(b" {") || odd_quotes(text)
}

/// grpc prints its address over several lines: `failed to connect to {`, `"Addr": …`, `}. Err: …`.
fn open_struct(text: &[u8]) -> bool {
    let mut lines = text.split(|b| *b == b'\n');
    lines.next().is_some_and(|first| first.ends_with(b" {"))
        && !lines.any(|line| line.starts_with(b"}"))
}

/// Whether a `key=<` is not closed by a line ` >`.
fn open_value(text: &[u8]) -> bool {
    let mut open = false;
    let mut lines = text.split(|b| *b == b'\n');
    let Some(first) = lines.next() else {
        return false;
    };
    open |= first.ends_with(b"=<");
    for line in lines {
        if open && line.starts_with(b" >") {
            open = line.ends_with(b"=<");
        } else {
            open |= line.ends_with(b"=<");
        }
    }
    open
}

fn odd_quotes(text: &[u8]) -> bool {
    if let Some(odd) = has_odd_quotes(text) {
        return odd;
    }
    let mut count = 0_usize;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text.get(at) == Some(&b'\\') {
            at += 2;
        } else {
            count += 1;
            at += 1;
        }
    }
    count % 2 == 1
}

struct Header<'a> {
    level: Level,
    mmdd: [u8; 4],
    day_us: i64,
    caller: &'a [u8],
    len: usize,
}

#[inline]
fn header(text: &[u8]) -> Option<Header<'_>> {
    let (&[letter, m1, m2, d1, d2, b' '], rest) = text.split_first_chunk()? else {
        return None;
    };
    let level = match letter {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        b'D' => Level::Debug,
        _ => return None,
    };
    let mmdd = [m1, m2, d1, d2];
    if !mmdd.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (day_us, taken) = clock(rest)?;
    // Always six digits: `hh:mm:ss.uuuuuu`.
    if taken != 15 {
        return None;
    }
    let mut at = 6 + taken;
    let spaces = spaces(text.get(at..)?);
    at += spaces;
    let digits = text
        .get(at..)?
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .count();
    if spaces == 0 || digits == 0 {
        return None;
    }
    at += digits;
    let rest = text.get(at..)?.strip_prefix(b" ")?;
    at += 1;
    // `file.go:123`: no spaces, a line number at the end.
    let end = near2(b']', b' ', rest.get(..rest.len().min(160))?)?;
    let caller = rest.get(..end).filter(|_| rest.get(end) == Some(&b']'))?;
    let digits = caller
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    if digits == 0 || caller.iter().rev().nth(digits) != Some(&b':') {
        return None;
    }
    at += end + 1;
    // The space after the bracket is missing only where the line was cut.
    at += usize::from(text.get(at) == Some(&b' '));
    Some(Header {
        level,
        mmdd,
        day_us,
        caller,
        len: at,
    })
}

/// How many spaces a text begins with. The number of the thread is padded to seven places.
#[inline]
fn spaces(text: &[u8]) -> usize {
    let others = text
        .first_chunk()
        .map_or(0, |block| !places_of([b' '], block) & 0xFFFF);
    match others {
        0 => text.iter().take_while(|b| **b == b' ').count(),
        others => others.trailing_zeros() as usize,
    }
}

/// Splits a structured message from its fields.
fn split(text: &[u8]) -> (Cow<'_, [u8]>, Fields<'_>) {
    let plain = (Cow::Borrowed(text), Fields::None);
    if text.first() != Some(&b'"') {
        return plain;
    }
    let Some(end) = quote_end(text, 1) else {
        return plain;
    };
    let (Some(msg), Some(rest)) = (text.get(1..end), text.get(end + 1..)) else {
        return plain;
    };
    match rest.first() {
        None => (unescape(msg), Fields::None),
        Some(b' ') => (unescape(msg), Fields::Klog(rest)),
        Some(_) => plain,
    }
}

/// Where the Go string that begins at `from` ends.
pub fn quote_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += near2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// The walk over `key="value" key2=3`.
#[derive(Clone, Debug)]
pub struct KlogFields<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> KlogFields<'a> {
    /// Over the text after the message.
    pub fn new(text: &'a [u8]) -> Self {
        KlogFields { text, at: 0 }
    }

    /// A bare value: up to the next space outside brackets and quotes.
    fn bare(&self) -> usize {
        let mut depth = 0_usize;
        let mut at = self.at;
        while let Some(byte) = self.text.get(at) {
            match byte {
                b'{' | b'[' | b'(' => depth += 1,
                b'}' | b']' | b')' => depth = depth.saturating_sub(1),
                b'"' => match quote_end(self.text, at + 1) {
                    Some(end) => at = end,
                    None => return self.text.len(),
                },
                b' ' | b'\n' if depth == 0 => return at,
                _ => {}
            }
            at += 1;
        }
        at
    }

    fn take(&mut self, from: usize, to: usize, next: usize, kind: ValueKind) -> Value<'a> {
        self.at = next;
        Value {
            raw: self.text.get(from..to).unwrap_or_default(),
            kind,
        }
    }

    fn value(&mut self) -> Value<'a> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.first() == Some(&b'"') {
            let from = self.at + 1;
            return match quote_end(self.text, from) {
                Some(end) => self.take(from, end, end + 1, ValueKind::String),
                None => self.take(from, self.text.len(), self.text.len(), ValueKind::Torn),
            };
        }
        if rest.starts_with(b"<\n") {
            let from = self.at + 2;
            return match memchr::memmem::find(rest, b"\n >") {
                Some(end) => {
                    let end = self.at + end;
                    self.take(from.min(end), end, end + 3, ValueKind::Plain)
                }
                None => self.take(from, self.text.len(), self.text.len(), ValueKind::Torn),
            };
        }
        let (from, end) = (self.at, self.bare());
        let raw = self.text.get(from..end).unwrap_or_default();
        let digit = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let kind = match raw {
            b"true" | b"false" | b"null" | b"nil" | b"<nil>" => ValueKind::Word,
            [b'{' | b'[', ..] => ValueKind::Nested,
            [_, ..] if raw.iter().all(digit) => ValueKind::Number,
            _ => ValueKind::Plain,
        };
        self.take(from, end, end, kind)
    }
}

impl<'a> Iterator for KlogFields<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.text.get(self.at..)?;
            let skip = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.at += skip;
            let rest = rest.get(skip..)?;
            let stop = rest
                .iter()
                .position(|b| matches!(b, b'=' | b' ' | b'\n' | b'"'))?;
            let name = rest.get(..stop)?;
            match rest.get(stop) {
                Some(b'=') if !name.is_empty() => {
                    self.at += stop + 1;
                    return Some((name, self.value()));
                }
                // A word or a quoted text that is no pair.
                Some(b'"') => {
                    let from = self.at + stop + 1;
                    self.at = quote_end(self.text, from)? + 1;
                }
                _ => self.at += stop + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn read(text: &str) -> Option<Parsed<'_>> {
        let reference = Reference {
            context: Timestamp::parse("2026-11-21T00:00:00Z"),
            ..Reference::default()
        };
        parse(text.as_bytes(), &reference, &mut TimeCache::default())
    }

    #[test]
    fn structured_and_free_messages() {
        let parsed = read(
            r#"I1008 04:37:11.770951       1 httplog.go:132] "HTTP" verb="LIST" latency="556.708µs" resp=200 obj={"a b":[1, 2]} ok=true err="a \"b\"" last=x y"#,
        )
        .expect("parses");
        assert_eq!(&*parsed.msg, b"HTTP");
        assert_eq!(parsed.caller, b"httplog.go:132");
        assert_eq!(parsed.time, Timestamp::parse("2026-10-08T04:37:11.770951Z"));
        assert_eq!(parsed.time_source, TimeSource::Completed);
        let get = |name| parsed.fields.get(name).expect(name);
        assert_eq!(get("latency").duration_ns(), Some(556_708));
        assert_eq!(get("resp").as_i64(), Some(200));
        assert_eq!(get("obj").raw, br#"{"a b":[1, 2]}"#);
        assert_eq!(get("ok").as_bool(), Some(true));
        assert_eq!(get("err").text_lossy(), "a \"b\"");
        assert_eq!(get("last").raw, b"x");
        let parsed = read("W0503 06:23:23.804106      15 watcher.go:338] watch chan error: x")
            .expect("parses");
        assert_eq!(&*parsed.msg, b"watch chan error: x");
        assert!(parsed.fields.is_none());
        let parsed =
            read(r#"E0503 06:23:23.804106 4121569 a.go:3] "quoted": and more"#).expect("parses");
        assert_eq!(&*parsed.msg, br#""quoted": and more"#);
    }

    #[test]
    fn a_value_over_several_lines() {
        let text = "I1008 04:37:11.770951       1 a.go:1] \"msg\" diff=<\n\tone\n\ttwo\n > after=1";
        let parsed = read(text).expect("parses");
        assert_eq!(
            parsed.fields.get("diff").map(|v| v.raw),
            Some(&b"\tone\n\ttwo"[..])
        );
        assert_eq!(parsed.fields.get("after").and_then(|v| v.as_i64()), Some(1));
        assert!(!goes_on(text.as_bytes()));
        assert!(goes_on(
            b"I1008 04:37:11.770951       1 a.go:1] \"msg\" diff=<\n\tone"
        ));
        assert!(goes_on(
            b"W1121 02:37:42.581626       1 logging.go:59] [core] failed to connect to {"
        ));
    }

    #[test]
    fn no_header_no_record() {
        for text in [
            "I1008 04:37:11.770951       1 httplog.go] x",
            "I1008 04:37:11       1 httplog.go:12] x",
            "I100 04:37:11.770951       1 httplog.go:12] x",
            "X1008 04:37:11.770951       1 httplog.go:12] x",
            "I1008 04:37:11.770951 httplog.go:12] x",
            "In 1008",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn traces_by_their_number() {
        assert!(is_trace(b"Trace[484169231]: [2.2s] [2.2s] END"));
        assert!(!is_trace(b"Trace[]: x"));
        assert!(!is_trace(b"Traceback"));
    }
}
