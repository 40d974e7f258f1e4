//! Searchers that are built once: building one costs as much as searching a line with it.

use std::sync::LazyLock;

use memchr::memmem::{Finder, FinderRev};

use crate::sys::{BLOCK, places_of};
use crate::units::digit_run;

/// Where a byte is that most likely stands within the first few words: [`memchr::memchr`] has to
/// find out what the processor can do, which for so short a way costs more than the way.
#[inline]
pub(crate) fn near(byte: u8, text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < NEAR
        && let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk())
    {
        let found = places_of([byte], block);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += BLOCK;
    }
    memchr::memchr(byte, text.get(at..)?).map(|found| at + found)
}

/// As [`near`], for either of two bytes.
#[inline]
pub(crate) fn near2(one: u8, two: u8, text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < NEAR
        && let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk())
    {
        let found = places_of([one, two], block);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += BLOCK;
    }
    memchr::memchr2(one, two, text.get(at..)?).map(|found| at + found)
}

/// Whether two texts are the same. For short ones without a call.
#[inline]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        8..=16 => same_ends::<8>(a, b),
        17..=32 => same_ends::<16>(a, b),
        0..8 => a.iter().zip(b).all(|(a, b)| a == b),
        _ => a == b,
    }
}

/// Whether the first `N` bytes are the same, and the last ones.
#[inline]
fn same_ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<N>() == b.first_chunk() && a.last_chunk::<N>() == b.last_chunk()
}

/// What follows a text that is too long for comparing it without a call.
#[inline(always)]
pub(crate) fn after<'a, const N: usize>(text: &'a [u8], wanted: &[u8; N]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_first_chunk::<N>()?;
    let (blocks, end) = head.as_chunks::<16>();
    let (wanted_blocks, wanted_end) = wanted.as_chunks::<16>();
    let alike = blocks.iter().zip(wanted_blocks).all(|(a, b)| a == b);
    (alike && end == wanted_end).then_some(rest)
}

/// What follows a number of which only that it is one matters. With more digits than any number
/// surely may have it is none.
#[inline(always)]
pub(crate) fn after_digits(text: &[u8]) -> Option<&[u8]> {
    const MOST: usize = 19;
    let mut len = 0;
    while let Some(word) = text.get(len..).and_then(|rest| rest.first_chunk()) {
        let run = digit_run(u64::from_le_bytes(*word)) as usize;
        len += run;
        if run < word.len() {
            return text.get(len..).filter(|_| (1..=MOST).contains(&len));
        }
    }
    let rest = text.get(len..).unwrap_or_default();
    len += rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(len..).filter(|_| (1..=MOST).contains(&len))
}

/// How far a byte is looked for block by block.
const NEAR: usize = 64;

macro_rules! needles {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) static $name: Needle = Needle(LazyLock::new(|| Finder::new($text)));)*
    };
}

/// A text to look for.
pub(crate) struct Needle(LazyLock<Finder<'static>>);

impl Needle {
    /// Where it is.
    #[inline]
    pub(crate) fn find(&self, text: &[u8]) -> Option<usize> {
        self.0.find(text)
    }

    /// Where it is last. Most likely that is near the end, behind a body of any length.
    pub(crate) fn rfind(&self, text: &[u8]) -> Option<usize> {
        /// What stands behind an audit record's bodies: mostly less, then surely.
        const TAILS: [usize; 2] = [384, 2048];
        for tail in TAILS {
            let from = text.len().saturating_sub(tail);
            if let Some(at) = self.0.find_iter(text.get(from..)?).last() {
                return Some(from + at);
            }
            if from == 0 {
                return None;
            }
        }
        memchr::memmem::rfind(text, self.0.needle())
    }

    /// Everywhere it is, in order.
    pub(crate) fn find_iter<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = usize> + 't {
        self.0.find_iter(text)
    }

    /// Whether it is there.
    #[inline]
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.find(text).is_some()
    }
}

needles! {
    ZAP = b"{\"level\":\"";
    ZAP_ESCAPED = b"{\\\"level\\\":\\\"";
    GO_LINE = b".go:";
    RAFT = b"raft20";
    AUDIT = b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/";
    BAR_END = b"| ";
    BAR = b" | ";
    PID_END = b"]: ";
    KERNEL = b" kernel: ";
    MSG = b" msg=";
    MSG_FIELD = b"\"msg\":\"";
    TRACE = b"Trace[";
    TRACE_NAME = b"]: \"";
    TOTAL_TIME = b"(total time: ";
    CHECK_FAILED = b" check failed";
    BEFORE_TOTAL_TIME = b" (total time: ";
    TAB = b"#011";
    ESCAPE = b"#033[";
    DOTS = b" ...";
    STAGE_TIME = b"\"stageTimestamp\":";
    RECEIVED_TIME = b"\"requestReceivedTimestamp\":";
    LATENCY = b"latency.k8s.io";
    ELLIPSIS = b"\xe2\x80\xa6";
}

/// The last text of Docker's own form, sought from the end.
pub(crate) static DOCKER_STREAM: LazyLock<FinderRev<'static>> =
    LazyLock::new(|| FinderRev::new(b"\",\"stream\":\"std"));

/// What stands before the duration of a trace's step, sought from the end.
pub(crate) static STEP_DURATION: LazyLock<FinderRev<'static>> =
    LazyLock::new(|| FinderRev::new(b"(duration: "));

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn near_is_memchr(text in proptest::collection::vec(32u8..40, 0..120), one in 32u8..42) {
            proptest::prop_assert_eq!(near(one, &text), memchr::memchr(one, &text));
            proptest::prop_assert_eq!(
                near2(one, b'!', &text),
                memchr::memchr2(one, b'!', &text)
            );
        }

        #[test]
        fn digits_are_passed(text in "[0-9]{0,24}[^0-9]{0,9}") {
            let len = text.bytes().take_while(u8::is_ascii_digit).count();
            let rest = (1..20).contains(&len).then(|| &text.as_bytes()[len..]);
            proptest::prop_assert_eq!(after_digits(text.as_bytes()), rest);
        }

        #[test]
        fn same_is_equal(a in proptest::collection::vec(0u8..3, 0..40), at: usize) {
            let mut b = a.clone();
            proptest::prop_assert!(same(&a, &b));
            if let Some(byte) = b.get_mut(at % (a.len() + 1)) {
                *byte ^= 4;
                proptest::prop_assert!(!same(&a, &b));
            }
            b.push(0);
            proptest::prop_assert!(!same(&a, &b));
        }

        #[test]
        fn near_is_memchr_on_any_bytes(text: Vec<u8>, one: u8, two: u8) {
            proptest::prop_assert_eq!(near(one, &text), memchr::memchr(one, &text));
            proptest::prop_assert_eq!(near2(one, two, &text), memchr::memchr2(one, two, &text));
        }
    }
}
