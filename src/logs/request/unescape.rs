//! Undoes one level of quoting: Go's `%q`, a JSON string or protobuf text.

use std::borrow::Cow;

use memchr::memchr;

/// Undoes one level of escapes. `%q`, JSON and protobuf text share their escapes, so one reader
/// serves all: `\"`, `\\`, `\n`, `\000` (octal), `\x00`, `\u00e9`. What is no escape stays as it
/// stands, and a torn escape at the end is dropped.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', text) else {
        return Cow::Borrowed(text);
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut next = Some(first);
    while let Some(at) = next {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let used = one(escape, &mut out);
        rest = escape.get(used..).unwrap_or_default();
        next = memchr(b'\\', rest);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Reads the escape at the start of `text` (its backslash included) and gives its length.
fn one(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(&kind) = text.get(1) else {
        return text.len();
    };
    let simple = match kind {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'v' => 0x0b,
        b'"' | b'\\' | b'\'' | b'/' => kind,
        b'0'..=b'7' => return octal(text, out),
        b'x' => return hex(text, 2, out),
        b'u' => return hex(text, 4, out),
        b'U' => return hex(text, 8, out),
        _ => {
            out.extend_from_slice(text.get(..2).unwrap_or_default());
            return 2;
        }
    };
    out.push(simple);
    2
}

/// `\ooo`: always three digits in Go's protobuf text.
fn octal(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(digits) = text.get(1..4) else {
        return text.len();
    };
    let mut value: u32 = 0;
    for digit in digits {
        if !(b'0'..=b'7').contains(digit) {
            out.extend_from_slice(text.get(..2).unwrap_or_default());
            return 2;
        }
        value = value * 8 + u32::from(digit - b'0');
    }
    match u8::try_from(value) {
        Ok(byte) => out.push(byte),
        Err(_) => out.extend_from_slice(text.get(..4).unwrap_or_default()),
    }
    4
}

fn hex_value(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(digit)
    })
}

/// `\xhh` is a byte; `\uhhhh` and `\Uhhhhhhhh` are code points (JSON's as UTF-16).
fn hex(text: &[u8], len: usize, out: &mut Vec<u8>) -> usize {
    let Some(digits) = text.get(2..2 + len) else {
        return text.len();
    };
    let Some(value) = hex_value(digits) else {
        out.extend_from_slice(text.get(..2).unwrap_or_default());
        return 2;
    };
    if len == 2 {
        out.push(u8::try_from(value).unwrap_or(b'?'));
        return 4;
    }
    let mut used = 2 + len;
    let mut value = value;
    if (0xd800..0xdc00).contains(&value)
        && let Some([b'\\', b'u', low @ ..]) = text.get(6..12)
        && let Some(low) = hex_value(low)
        && (0xdc00..0xe000).contains(&low)
    {
        value = 0x1_0000 + ((value - 0xd800) << 10) + (low - 0xdc00);
        used = 12;
    }
    let decoded = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_of_escapes() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"plain", b"plain"),
            (br"a\000", b"a\0"),
            (br"a\x00", b"a\0"),
            (br"\303\251", "é".as_bytes()),
            (br"\u00e9", "é".as_bytes()),
            (br"\ud83d\ude00", "😀".as_bytes()),
            (br"\377\001\t\\q\\", b"\xff\x01\t\\q\\"),
            (br#"\""#, b"\""),
            (br"\u003c", b"<"),
            (br"\q", br"\q"),
            (br"\9", br"\9"),
            (br"torn\", b"torn"),
            (br"torn\x0", b"torn"),
        ];
        for (text, expected) in cases {
            assert_eq!(unescape(text).as_ref(), *expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_never_grows_much(text: Vec<u8>) {
            let out = unescape(&text);
            proptest::prop_assert!(out.len() <= text.len().max(3));
        }
    }
}
