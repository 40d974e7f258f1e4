//! Lines of other programs, told by what is not in them.
//!
//! Whether a line holds a record behind some prefix takes many looks at it. Every record and every
//! wrapper has a mark, though: an object its brace, klog and the journal a bracket, capnslog its
//! bar, a runtime's or a syslog's prefix a time of day. A line without any of these marks is free
//! text, and that is soon seen. A line with one goes the slow way, which looks closer.

use memchr::memchr3_iter;

use crate::logs::needle;
use crate::sys::look;

use super::open::starts_dump;

/// Whether the slow way would surely find that nothing explains this line, which has no newline at
/// its end. It says no to most lines that it does not understand at once.
pub(super) fn is_free_text(line: &[u8]) -> bool {
    // What stands before a text by accident is taken off elsewhere; dashes are journalctl's notes.
    if !line.first().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    // The end of an object whose begin was cut off.
    if line.last() == Some(&b'}') {
        return false;
    }
    // `1.67…e+09 TAB ERROR`, and `1709633475.345678 host kernel: `.
    if line.first().is_some_and(u8::is_ascii_digit)
        && (line.get(1) == Some(&b'.') || line.get(10) == Some(&b'.'))
    {
        return false;
    }
    let look = look(line);
    if look.has_mark() {
        return false;
    }
    // `time=… level=… msg=…` of logrus and slog.
    if look.has_equals() && needle::MSG.is_in(line) {
        return false;
    }
    if look.has_colon() && timed(line) {
        return false;
    }
    !starts_dump(line)
}

/// Whether a wrapper or record with a time of day could begin somewhere in the line, which has no
/// marks of its own.
fn timed(line: &[u8]) -> bool {
    let digit = |at: Option<usize>| {
        at.and_then(|at| line.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let (mut clock, mut other) = (false, false);
    for at in memchr3_iter(b':', b'/', b'T', line) {
        match line.get(at) {
            Some(b':') => {
                // `ident: text`, which syslog has after its time.
                other |= matches!(line.get(at + 1), None | Some(b' '));
                if digit(at.checked_sub(1)) && digit(Some(at + 1)) {
                    clock = true;
                    other |= streamed(line, at);
                }
            }
            // `2022/03/19 02:50:20` of Go, raft and grpc.
            Some(b'/') => {
                other |= digit(at.checked_sub(1)) && digit(Some(at + 1)) && digit(Some(at + 2));
            }
            _ => other |= zoned(line, at),
        }
        if clock && other {
            return true;
        }
    }
    false
}

/// Whether a runtime's stream stands behind the time of which this is a colon.
fn streamed(line: &[u8], colon: usize) -> bool {
    let rest = line.get(colon..).unwrap_or_default();
    let len = rest
        .iter()
        .take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b',' | b'Z' | b'+' | b'-'))
        .count();
    rest.get(len..)
        .is_some_and(|rest| rest.starts_with(b" std"))
}

/// Whether a time with its zone is around this `T`: it is a wrapper by itself.
fn zoned(line: &[u8], at: usize) -> bool {
    // `T20:04:04.123456Z`: whatever is not plainly a time without a zone is taken for one.
    let Some(rest) = line.get(at + 1..) else {
        return false;
    };
    if !rest.first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let len = rest
        .iter()
        .take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b','))
        .count();
    matches!(rest.get(len), Some(b'Z' | b'+' | b'-'))
}
