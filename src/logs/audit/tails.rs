//! How audit lines end: behind the two times stand annotations that hardly ever differ.

use memchr::memchr;

use crate::logs::needle;

/// Ends that are remembered.
const ENDS: usize = 128;
/// Longest end that is remembered, from the quote behind the stage's time.
const LONGEST: usize = 2048;
/// The last bytes of a line by which its end is found.
const KEY: usize = 40;

/// What stands before the time at which the request arrived.
pub(super) const RECEIVED: &[u8] = br#""requestReceivedTimestamp":""#;
/// What stands before the time of the stage.
pub(super) const STAGE: &[u8] = br#""stageTimestamp":""#;
/// `2022-05-15T17:50:20.617783Z`
pub(super) const TIME: usize = 27;

/// Ends of earlier lines. None of them holds another time, or a latency.
#[derive(Clone, Debug, Default)]
pub struct Tails(Vec<Box<[u8]>>);

impl Tails {
    /// Where the end of the line begins, if it is a known one: with the quote behind the time.
    #[inline]
    pub(super) fn known(&self, line: &[u8]) -> Option<usize> {
        if line.ends_with(b"Z\"}") {
            return Some(line.len() - 2);
        }
        let place = place(line)?;
        [place, place ^ 1].into_iter().find_map(|place| {
            let end = self.0.get(place)?;
            (!end.is_empty() && line.ends_with(end)).then(|| line.len() - end.len())
        })
    }

    /// Where the time of the stage is, if the line has a known end. There is none behind it.
    #[inline]
    pub fn stage_time<'a>(&self, line: &'a [u8]) -> Option<&'a [u8; TIME]> {
        let (before, time) = line.get(..self.known(line)?)?.split_last_chunk::<TIME>()?;
        before.ends_with(STAGE).then_some(time)
    }

    /// Remembers how a line ends, if its end says nothing of its own.
    pub fn learn(&mut self, line: &[u8]) {
        let end = || {
            let from = needle::STAGE_TIME.rfind(line)? + STAGE.len() + TIME;
            let end = line.get(from..)?;
            let known = end.len() <= LONGEST
                && is_plain_end(end.strip_prefix(b"\"")?)
                && !needle::RECEIVED_TIME.is_in(end);
            Some((place(line)?, end)).filter(|_| known)
        };
        let Some((place, end)) = end() else {
            return;
        };
        if self.0.is_empty() {
            self.0.resize(ENDS, Box::default());
        }
        // Two may stand side by side; the older one goes.
        if let Ok([first, second]) = self.0.get_disjoint_mut([place, place ^ 1]) {
            if !first.is_empty() {
                std::mem::swap(first, second);
            }
            *first = end.into();
        }
    }
}

/// Whether a line ends here, behind a time, or has annotations only, and none of latency.
pub(super) fn is_plain_end(rest: &[u8]) -> bool {
    let notes = || {
        let notes = rest
            .strip_prefix(br#","annotations":"#)?
            .strip_suffix(b"}")?;
        // No other object may close before the annotations do.
        let closes = memchr(b'}', notes)? + 1 == notes.len();
        Some(closes && notes.starts_with(b"{") && !needle::LATENCY.is_in(notes))
    };
    rest == b"}" || notes() == Some(true)
}

/// Where an end is remembered.
fn place(line: &[u8]) -> Option<usize> {
    let key: &[u8; KEY] = line.last_chunk()?;
    let hash = key.chunks_exact(8).fold(0_u64, |hash, word| {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    usize::try_from(hash >> (64 - ENDS.ilog2())).ok()
}
