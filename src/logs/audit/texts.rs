//! Texts of earlier lines, each with the number by which it is told from others.

use memchr::memchr;

use crate::logs::format::json::nested_end;

use super::inner;

/// How many texts of a kind are remembered.
const TEXTS: usize = 512;
/// Where nothing is remembered.
pub(super) const NOWHERE: usize = usize::MAX;
/// Longest text that is remembered.
pub(super) const LONGEST: usize = 2048;

/// Texts that were met, each with its number.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    pub(super) slots: Vec<Text>,
    last: u32,
}

/// A text, or two without anything between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub(super) text: Box<[u8]>,
    /// Where the second one begins.
    cut: usize,
    /// 0 stands for no text.
    pub(super) number: u32,
    /// What it says.
    value: Box<str>,
    /// Of a resource, whether its objects may have a namespace.
    pub(super) flag: bool,
    /// Of a user, where its last program is remembered.
    pub(super) agent: usize,
}

impl Texts {
    /// The number of an object that begins here with a user's name and where it is remembered; and
    /// what follows it.
    #[inline]
    pub(super) fn object<'a>(&mut self, text: &'a [u8]) -> Option<((u32, usize), &'a [u8])> {
        let name = match text.strip_prefix(br#"{"username":""#) {
            Some(name) => name.get(..memchr(b'"', name)?)?,
            None => b"",
        };
        let place = place(hash(name), TEXTS);
        for place in [place, place ^ 1] {
            // An object ends where its own brackets say, whatever follows.
            if let Some(known) = self.slots.get(place)
                && known.number > 0
                && let Some(rest) = text.strip_prefix(&*known.text)
            {
                return Some(((known.number, place), rest));
            }
        }
        text.starts_with(b"{").then_some(())?;
        let (object, rest) = text.split_at_checked(nested_end(text, 0).ok()?)?;
        let value = inner(object, "username").unwrap_or_default().into_owned();
        let number = self.keep(place, object, b"", (value.into_boxed_str(), false))?;
        Some(((number, place), rest))
    }

    /// The number of two texts and where they are remembered; `value` says what they say.
    #[inline]
    pub(super) fn number(
        &mut self,
        first: &[u8],
        second: &[u8],
        value: impl FnOnce() -> Option<(Box<str>, bool)>,
    ) -> Option<(u32, usize)> {
        let place = place(hash(first), TEXTS);
        for place in [place, place ^ 1] {
            if let Some(known) = self.slots.get(place)
                && known.number > 0
                && known.cut == first.len()
                && known.text.strip_prefix(first) == Some(second)
            {
                return Some((known.number, place));
            }
        }
        let value = value()?;
        Some((self.keep(place, first, second, value)?, place))
    }

    /// Remembers a text. Two may stand side by side; the older one goes.
    fn keep(
        &mut self,
        place: usize,
        first: &[u8],
        second: &[u8],
        (value, flag): (Box<str>, bool),
    ) -> Option<u32> {
        let text = [first, second].concat();
        // Nothing in a text may look like what stands between the parts of a key.
        let odd = value.contains(char::is_control) || std::str::from_utf8(&text).is_err();
        if odd || text.len() > LONGEST {
            return None;
        }
        if self.slots.is_empty() {
            self.slots.resize(TEXTS, Text::default());
        }
        self.last = self.last.checked_add(1)?;
        let new = Text {
            text: text.into_boxed_slice(),
            cut: first.len(),
            number: self.last,
            value,
            flag,
            agent: NOWHERE,
        };
        if let Ok([here, beside]) = self.slots.get_disjoint_mut([place, place ^ 1]) {
            if here.number > 0 {
                std::mem::swap(here, beside);
            }
            *here = new;
        }
        Some(self.last)
    }

    pub(super) fn value(&self, place: usize) -> &str {
        self.slots.get(place).map_or("", |known| &known.value)
    }
}

/// A hash of a text's length and ends.
#[inline]
pub(super) fn hash(text: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(ODD);
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let hash = mix(0, text.len() as u64);
    match (text.first_chunk(), text.split_last_chunk()) {
        (Some(head), Some((rest, last))) => {
            let before = rest.last_chunk().map_or(0, word);
            mix(mix(mix(hash, word(head)), before), word(last))
        }
        _ => text
            .iter()
            .fold(hash, |hash, byte| mix(hash, u64::from(*byte))),
    }
}

/// One of `places`, which is a power of two, for a hash.
#[inline]
pub(super) fn place(hash: u64, places: usize) -> usize {
    usize::try_from(hash >> (64 - places.ilog2())).unwrap_or(0)
}
