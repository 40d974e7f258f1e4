//! Terminal colours, control characters and rsyslog's escapes for them.

use crate::logs::needle;

/// The text without terminal escapes (`ESC[31m`, `ESC]0;…BEL`), added to a buffer.
pub fn strip_ansi(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(0x1b, rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match escape.get(1) {
            Some(b'[') => {
                // Parameters and intermediates, then one final byte (ECMA-48, 5.4).
                let inner = escape.get(2..).unwrap_or_default();
                let end = inner.iter().position(|b| (0x40..=0x7e).contains(b));
                end.and_then(|end| inner.get(end + 1..)).unwrap_or_default()
            }
            Some(b']') => {
                let inner = escape.get(2..).unwrap_or_default();
                let end = inner.iter().position(|b| matches!(b, 0x07 | 0x1b));
                end.and_then(|end| inner.get(end + 1..)).unwrap_or_default()
            }
            Some(_) => escape.get(2..).unwrap_or_default(),
            None => &[],
        };
    }
    out.extend_from_slice(rest);
}

/// Whether rsyslog replaced control characters in this text (`#011` for a tab).
pub fn has_octal(text: &[u8]) -> bool {
    memchr::memchr(b'#', text).is_some() && (needle::TAB.is_in(text) || needle::ESCAPE.is_in(text))
}

/// Undoes rsyslog's `#011`, `#012`, `#015` and `#033`.
pub fn undo_octal(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'#', rest) {
        let (before, mark) = rest.split_at(at);
        out.extend_from_slice(before);
        let byte = match mark.get(..4) {
            Some(b"#011") => b'\t',
            Some(b"#012") => b'\n',
            Some(b"#015") => b'\r',
            Some(b"#033") => 0x1b,
            _ => {
                out.push(b'#');
                rest = mark.get(1..).unwrap_or_default();
                continue;
            }
        };
        out.push(byte);
        rest = mark.get(4..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The text without what stands before it by accident: a byte order mark, `^C` as the terminal
/// shows it, and control characters. Zeros stay: they are the lengths of a journal export's
/// binary fields, or the hole that a power cut left, whose line is salvaged.
pub fn strip_start(text: &[u8]) -> &[u8] {
    let mut text = text;
    loop {
        text = match text {
            [0xef, 0xbb, 0xbf, rest @ ..] | [b'^', b'C' | b'Z' | b'D' | b'\\', rest @ ..] => rest,
            [0x01..=0x08 | 0x0e..=0x1a | 0x1c..=0x1f, rest @ ..] => rest,
            _ => return text,
        };
    }
}

/// A line without the back quotes that an issue or a chat puts around it. Three begin a block.
pub fn strip_quotes(text: &[u8]) -> &[u8] {
    match text.strip_prefix(b"`") {
        Some(rest) if rest.first() != Some(&b'`') => rest.strip_suffix(b"`").unwrap_or(rest),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_octals() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"\x1b[31;1mred\x1b[0m plain", b"red plain"),
            (b"\x1b]0;title\x07x", b"x"),
            (b"cut\x1b", b"cut"),
            (b"cut\x1b[31", b"cut"),
            (b"none", b"none"),
        ];
        for (text, want) in cases {
            let mut out = Vec::new();
            strip_ansi(text, &mut out);
            assert_eq!(out, *want);
        }
        let mut out = Vec::new();
        undo_octal(b"a#011b#0112#", &mut out);
        assert_eq!(out, b"a\tb\t2#");
        for (text, want) in [
            (&b"`a`"[..], &b"a"[..]),
            (b"`a", b"a"),
            (b"a`", b"a`"),
            (b"```", b"```"),
            (b"`", b""),
        ] {
            assert_eq!(strip_quotes(text), want);
        }
        assert_eq!(strip_start(b"\xef\xbb\xbf^C\x03{\"a\""), b"{\"a\"");
    }
}
