//! Lines of other programs, told by what is not in them.
//!
//! Whether a line holds a record behind some prefix takes many looks at it. Every record and every
//! wrapper has a mark, though: an object its brace, klog and the journal a bracket, capnslog its
//! bar, a runtime's or a syslog's prefix a time of day. A line without any of these marks is free
//! text, and that is soon seen. A line with one goes the slow way, which looks closer.

use memchr::memchr_iter;

use crate::logs::needle;

use super::open::starts_dump;

/// Whether the slow way would surely find that nothing explains this line, which has no newline at
/// its end. It says no to most lines that it does not understand at once.
pub(super) fn is_free_text(line: &[u8]) -> bool {
    // What stands before a text by accident is taken off elsewhere; dashes are journalctl's notes.
    if !line.first().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let marks = classes(line);
    if marks & MARK != 0 {
        return false;
    }
    // `time=… level=… msg=…` of logrus and slog.
    if marks & EQUALS != 0 && needle::MSG.is_in(line) {
        return false;
    }
    if marks & COLON != 0 && timed(line) {
        return false;
    }
    !starts_dump(line)
}

/// The line holds a byte that is a mark by itself.
const MARK: u8 = 1;
const EQUALS: u8 = 2;
const COLON: u8 = 4;

/// Which classes of bytes a line holds. Many bytes at a time: the compiler makes vector code of
/// the inner loop.
fn classes(line: &[u8]) -> u8 {
    const LANES: usize = 32;
    let mut lanes = [0_u8; LANES];
    let (blocks, rest) = line.as_chunks::<LANES>();
    for block in blocks {
        for (lane, byte) in lanes.iter_mut().zip(block) {
            *lane |= class(*byte);
        }
    }
    // The last bytes once more as a whole block: what is looked at twice changes nothing.
    let rest = match line.last_chunk::<LANES>() {
        Some(block) => {
            for (lane, byte) in lanes.iter_mut().zip(block) {
                *lane |= class(*byte);
            }
            0
        }
        None => rest.iter().fold(0, |all, byte| all | class(*byte)),
    };
    lanes.iter().fold(rest, |all, lane| all | lane)
}

#[inline]
fn class(byte: u8) -> u8 {
    let is = |wanted: u8, class: u8| if byte == wanted { class } else { 0 };
    let control = if byte < b' ' { MARK } else { 0 };
    control
        | is(b'{', MARK)
        | is(b'|', MARK)
        | is(b'[', MARK)
        | is(b']', MARK)
        | is(b'<', MARK)
        | is(b'#', MARK)
        | is(b'=', EQUALS)
        | is(b':', COLON)
}

/// Whether a wrapper or record with a time of day could begin somewhere in the line, which has no
/// marks of its own.
fn timed(line: &[u8]) -> bool {
    let digit = |at: Option<usize>| {
        at.and_then(|at| line.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let (mut clock, mut tag) = (false, false);
    for at in memchr_iter(b':', line) {
        clock |= digit(at.checked_sub(1)) && digit(Some(at + 1));
        // `ident: text`, which syslog has after its time.
        tag |= matches!(line.get(at + 1), None | Some(b' '));
    }
    if !clock {
        return false;
    }
    // `2022/03/19 02:50:20` of Go, raft and grpc.
    let slashed =
        |at: usize| digit(at.checked_sub(1)) && digit(Some(at + 1)) && digit(Some(at + 2));
    tag || memchr_iter(b'/', line).any(slashed)
        || needle::RUNTIME_STREAM.is_in(line)
        || memchr_iter(b'T', line).any(|at| zoned(line, at))
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
