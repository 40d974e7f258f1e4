//! Reading a record's fields: one pass over the raw text, unescaped only where asked.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use crate::units::parse_go_duration;

use super::format::json::JsonFields;
use super::format::klog::KlogFields;
use super::record::{Fields, Value, ValueKind};

/// The walk over a record's fields, in their order; a name may occur twice.
#[derive(Clone, Debug)]
pub enum FieldIter<'a> {
    /// Nothing to walk.
    None,
    /// A JSON object's own fields.
    Json(JsonFields<'a>),
    /// `key=value` pairs.
    Klog(KlogFields<'a>),
}

impl<'a> Iterator for FieldIter<'a> {
    type Item = (&'a [u8], Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            FieldIter::None => None,
            FieldIter::Json(fields) => fields.next(),
            FieldIter::Klog(fields) => fields.next(),
        }
    }
}

impl<'a> Fields<'a> {
    /// All fields in their order. Names are as they stand in the line.
    pub fn iter(&self) -> FieldIter<'a> {
        match *self {
            Fields::None => FieldIter::None,
            Fields::Json(text) => FieldIter::Json(JsonFields::new(text)),
            Fields::Klog(text) => FieldIter::Klog(KlogFields::new(text)),
        }
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let name = name.as_bytes();
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The last field of that name, sought from the end of a JSON text: the way to an audit
    /// line's times and annotations behind a body of megabytes. It does not check the depth,
    /// so ask only for names that a body cannot hold after them.
    pub fn get_last(&self, name: &str) -> Option<Value<'a>> {
        let Fields::Json(text) = *self else {
            return self
                .iter()
                .filter(|(known, _)| *known == name.as_bytes())
                .last()
                .map(|(_, value)| value);
        };
        let mut needle = Vec::with_capacity(name.len() + 3);
        needle.push(b'"');
        needle.extend_from_slice(name.as_bytes());
        needle.extend_from_slice(b"\":");
        let at = memmem::rfind(text, &needle)?;
        JsonFields::new(text.get(at..)?)
            .next()
            .map(|(_, value)| value)
    }

    /// Whether there are none to walk.
    pub fn is_none(&self) -> bool {
        matches!(self, Fields::None)
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = (&'a [u8], Value<'a>);
    type IntoIter = FieldIter<'a>;

    fn into_iter(self) -> FieldIter<'a> {
        self.iter()
    }
}

impl<'a> Value<'a> {
    /// The value's bytes with one level of escapes undone.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        match self.kind {
            ValueKind::String | ValueKind::Torn => unescape(self.raw),
            _ => Cow::Borrowed(self.raw),
        }
    }

    /// Like [`Self::bytes`] as text; torn UTF-8 is replaced.
    pub fn text_lossy(&self) -> Cow<'a, str> {
        match self.bytes() {
            Cow::Borrowed(bytes) => text(bytes),
            Cow::Owned(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned()),
            ),
        }
    }

    /// A whole number; also one that stands in quotes.
    pub fn as_i64(&self) -> Option<i64> {
        // So many digits fit.
        if matches!(self.kind, ValueKind::Number | ValueKind::Plain)
            && (1..=18).contains(&self.raw.len())
            && self.raw.iter().all(u8::is_ascii_digit)
        {
            let add = |value, digit: &u8| value * 10 + i64::from(digit - b'0');
            return Some(self.raw.iter().fold(0, add));
        }
        self.number()?.parse().ok()
    }

    /// A whole number that is not negative; request IDs do not fit an `i64`.
    pub fn as_u64(&self) -> Option<u64> {
        self.number()?.parse().ok()
    }

    /// A number; also one that stands in quotes.
    pub fn as_f64(&self) -> Option<f64> {
        self.number()?
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
    }

    /// `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        match (self.kind, self.raw) {
            (ValueKind::Torn, _) => None,
            (_, b"true") => Some(true),
            (_, b"false") => Some(false),
            _ => None,
        }
    }

    /// A duration in nanoseconds: a Go duration, or a bare number of seconds, which is what
    /// zap's development encoder writes (`"took":0.100389359`).
    pub fn duration_ns(&self) -> Option<u64> {
        match self.kind {
            ValueKind::Torn => None,
            ValueKind::Number => {
                let ns = self.as_f64()? * 1e9;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the range is checked"
                )]
                (0.0..9e18).contains(&ns).then_some(ns.round() as u64)
            }
            // Nearly always nothing is escaped; what is cannot be read as it stands.
            _ => parse_go_duration(self.raw).or_else(|| {
                memchr(b'\\', self.raw)?;
                parse_go_duration(&self.bytes())
            }),
        }
    }

    /// Whether the value was cut off.
    pub fn is_torn(&self) -> bool {
        self.kind == ValueKind::Torn
    }

    fn number(&self) -> Option<&'a str> {
        match self.kind {
            ValueKind::Torn | ValueKind::Nested | ValueKind::Word => None,
            _ => std::str::from_utf8(self.raw).ok(),
        }
    }
}

/// Bytes as text; torn UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    // The quick check first: nearly all is whole.
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Undoes one level of JSON or Go escapes: `\"`, `\n`, `\u00b5`, surrogate pairs, and Go's `\x41`,
/// `\a`, `\v`. What is no escape stays as it is.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    unescape_into(raw, &mut out);
    Cow::Owned(out)
}

/// Like [`unescape`], added to a buffer.
pub fn unescape_into(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let Some((&[_, letter], after)) = escape.split_first_chunk() else {
            out.extend_from_slice(escape);
            return;
        };
        rest = after;
        match letter {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'a' => out.push(7),
            b'v' => out.push(11),
            b'"' | b'\\' | b'/' | b'\'' => out.push(letter),
            b'x' => match hex(rest, 2).and_then(|code| u8::try_from(code).ok()) {
                Some(byte) => {
                    out.push(byte);
                    rest = rest.get(2..).unwrap_or_default();
                }
                None => out.extend_from_slice(b"\\x"),
            },
            b'u' => rest = unicode(rest, out),
            other => out.extend_from_slice(&[b'\\', other]),
        }
    }
    out.extend_from_slice(rest);
}

/// One `\uXXXX`, or a pair of them; `rest` starts after the `u`.
fn unicode<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some(code) = hex(rest, 4) else {
        out.extend_from_slice(b"\\u");
        return rest;
    };
    let after = rest.get(4..).unwrap_or_default();
    let mut push = |code: u32| {
        // Half a surrogate pair is no character.
        let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    };
    if (0xD800..0xDC00).contains(&code)
        && let Some(low) = after.strip_prefix(b"\\u").and_then(|low| hex(low, 4))
        && (0xDC00..0xE000).contains(&low)
    {
        push(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
        return after.get(6..).unwrap_or_default();
    }
    push(code);
    after
}

fn hex(text: &[u8], len: usize) -> Option<u32> {
    let mut code = 0;
    for byte in text.get(..len)? {
        code = code * 16 + char::from(*byte).to_digit(16)?;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &'static str) -> Fields<'static> {
        Fields::Json(text.as_bytes())
    }

    #[test]
    fn values_of_every_kind() {
        let fields = json(
            r#"{"took":"101.221909ms","dev":0.100389359,"id":13176832041700219758,"n":-1,
                "ok":false,"q":"a\"b\u00b5\ud83d\ude00","now":"now","words":"3.5","x":null}"#,
        );
        let get = |name| fields.get(name).expect(name);
        assert_eq!(get("took").duration_ns(), Some(101_221_909));
        assert_eq!(get("dev").duration_ns(), Some(100_389_359));
        assert_eq!(get("id").as_u64(), Some(13_176_832_041_700_219_758));
        assert_eq!(get("id").as_i64(), None);
        assert_eq!(get("n").as_i64(), Some(-1));
        assert_eq!(get("n").duration_ns(), None);
        assert_eq!(get("ok").as_bool(), Some(false));
        assert_eq!(get("q").text_lossy(), "a\"bµ😀");
        assert_eq!(get("now").duration_ns(), None);
        assert_eq!(get("words").as_f64(), Some(3.5));
        assert_eq!(get("x").as_f64(), None);
        assert!(fields.get("y").is_none());
    }

    #[test]
    fn a_torn_value_is_no_number() {
        let fields = json(r#"{"a":1,"took":"1m"#);
        let took = fields.get("took").expect("took");
        assert!(took.is_torn());
        assert_eq!((took.duration_ns(), took.as_i64()), (None, None));
        assert_eq!(took.text_lossy(), "1m");
        assert_eq!(
            json(r#"{"size":12"#).get("size").and_then(|v| v.as_i64()),
            None
        );
    }

    #[test]
    fn the_tail_is_reached_from_the_end() {
        let fields = json(r#"{"a":{"stage":"x"},"stage":"Complete","b":"1"}"#);
        let stage = fields.get_last("stage").expect("stage");
        assert_eq!(stage.raw, b"Complete");
        assert!(fields.get_last("none").is_none());
    }

    #[test]
    fn go_and_json_escapes() {
        let cases: &[(&str, &[u8])] = &[
            (r#"\x41\"\\\/"#, b"A\"\\/"),
            (r"\ud83d", "\u{FFFD}".as_bytes()),
            (r"\u12", br"\u12"),
            (r"\303\251", br"\303\251"),
            (r"end\", br"end\"),
            (r"\xZZ", br"\xZZ"),
            (r"a\tb\nc\u00e9", "a\tb\ncé".as_bytes()),
        ];
        for (text, want) in cases {
            assert_eq!(&*unescape(text.as_bytes()), *want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>, name: String) {
            for fields in [Fields::Json(&text), Fields::Klog(&text)] {
                for (_, value) in fields {
                    let _ = (value.text_lossy(), value.as_f64(), value.duration_ns());
                }
                let _ = (fields.get(&name), fields.get_last(&name));
            }
        }
    }
}
