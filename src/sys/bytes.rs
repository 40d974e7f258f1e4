//! Classes of bytes in a text, many bytes at once where the processor can.

/// What a text holds, as [`look`] tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    classes: u8,
    quotes: u32,
}

// Each bit is for those bytes whose low and high half both have it in the tables below.
const CONTROL: u8 = 1;
const HASH: u8 = 1 << 1;
const LESS_OR_BAR: u8 = 1 << 2;
const OPEN: u8 = 1 << 3;
const CLOSE: u8 = 1 << 4;
const BACKSLASH: u8 = 1 << 5;
const EQUALS: u8 = 1 << 6;
const COLON: u8 = 1 << 7;

/// Classes by the low half of a byte.
const LOW: [u8; 16] = {
    let mut low = [CONTROL; 16];
    low[0x3] |= HASH;
    low[0xA] |= COLON;
    low[0xB] |= OPEN;
    low[0xC] |= LESS_OR_BAR | BACKSLASH;
    low[0xD] |= CLOSE | EQUALS;
    low
};
/// Classes by the high half of a byte.
const HIGH: [u8; 16] = {
    let mut high = [0; 16];
    high[0x0] = CONTROL;
    high[0x1] = CONTROL;
    high[0x2] = HASH;
    high[0x3] = LESS_OR_BAR | EQUALS | COLON;
    high[0x5] = OPEN | CLOSE | BACKSLASH;
    high[0x7] = LESS_OR_BAR | OPEN;
    high
};

impl Look {
    /// A control character, or one of `{ [ ] | < #`.
    #[inline]
    pub fn has_mark(self) -> bool {
        self.classes & (CONTROL | HASH | LESS_OR_BAR | OPEN | CLOSE) != 0
    }

    /// `\`.
    #[inline]
    pub fn has_backslash(self) -> bool {
        self.classes & BACKSLASH != 0
    }

    /// `=`.
    #[inline]
    pub fn has_equals(self) -> bool {
        self.classes & EQUALS != 0
    }

    /// `:`.
    #[inline]
    pub fn has_colon(self) -> bool {
        self.classes & COLON != 0
    }

    /// How many `"` there are.
    #[inline]
    pub fn quotes(self) -> u32 {
        self.quotes
    }
}

/// Looks at a text once.
#[inline]
pub fn look(text: &[u8]) -> Look {
    #[cfg(target_arch = "x86_64")]
    if avx2::is_there() {
        // SAFETY: the processor has AVX2 and POPCNT.
        return unsafe { avx2::look(text) };
    }
    plain(text)
}

/// Whether the number of `"` is odd; `None` where a `\` is too, which may hide some of them.
#[inline]
pub fn has_odd_quotes(text: &[u8]) -> Option<bool> {
    #[cfg(target_arch = "x86_64")]
    if avx2::is_there() {
        // SAFETY: the processor has AVX2 and POPCNT.
        return unsafe { avx2::has_odd_quotes(text) };
    }
    let look = plain(text);
    (!look.has_backslash()).then_some(look.quotes() % 2 == 1)
}

/// Where a byte is first. Finds out faster than `memchr` in texts as short as lines are.
#[inline]
pub fn find(byte: u8, text: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::find(byte, text) };
    }
    memchr::memchr(byte, text)
}

/// Bytes that [`places_of`] looks at.
pub const BLOCK: usize = 16;

/// Where any of a few bytes are in a block, as bits. Needs nothing that not every processor has.
#[inline]
pub fn places_of<const N: usize>(wanted: [u8; N], block: &[u8; BLOCK]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
            _mm_setzero_si128,
        };
        // SAFETY: 16 bytes are there to be read, and no alignment is asked for; every x86-64
        // processor has SSE2.
        unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().cast());
            let mut found = _mm_setzero_si128();
            for byte in wanted {
                let wanted = _mm_set1_epi8(byte.cast_signed());
                found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, wanted));
            }
            _mm_movemask_epi8(found).cast_unsigned()
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let bits = block.iter().zip(0..);
        bits.fold(0, |found, (byte, at)| {
            found | u32::from(wanted.contains(byte)) << at
        })
    }
}

fn plain(text: &[u8]) -> Look {
    let mut look = Look::default();
    for byte in text {
        let (low, high) = (usize::from(byte & 15), usize::from(byte >> 4));
        look.classes |= LOW[low] & HIGH[high];
        look.quotes += u32::from(*byte == b'"');
    }
    look
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_or_si128, _mm_unpackhi_epi64,
        _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_extracti128_si256,
        _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
        _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_xor_si256,
    };

    use super::{HIGH, LOW, Look};

    const LANES: usize = 32;
    /// What stands in for bytes that are not there: of no class, and no quote.
    const NOTHING: u8 = b'a';

    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; LANES]) -> __m256i {
        // SAFETY: 32 bytes are there to be read, and no alignment is asked for.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn table(bytes: &[u8; 16]) -> __m256i {
        // SAFETY: 16 bytes are there to be read, and no alignment is asked for.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn find(byte: u8, text: &[u8]) -> Option<usize> {
        let wanted = _mm256_set1_epi8(byte.cast_signed());
        let (pairs, rest) = text.as_chunks::<{ 2 * LANES }>();
        for (number, pair) in pairs.iter().enumerate() {
            let ([first, second], []) = pair.as_chunks::<LANES>() else {
                break;
            };
            let first = _mm256_cmpeq_epi8(load(first), wanted);
            let second = _mm256_cmpeq_epi8(load(second), wanted);
            if _mm256_movemask_epi8(_mm256_or_si256(first, second)) != 0 {
                let low = u64::from(_mm256_movemask_epi8(first).cast_unsigned());
                let high = u64::from(_mm256_movemask_epi8(second).cast_unsigned());
                let found = (low | high << LANES).trailing_zeros() as usize;
                return Some(number * 2 * LANES + found);
            }
        }
        let places = |block: &[u8; LANES]| {
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(load(block), wanted)).cast_unsigned()
        };
        let (blocks, tail) = rest.as_chunks::<LANES>();
        let mut from = text.len() - rest.len();
        if let Some(block) = blocks.first() {
            let found = places(block);
            if found != 0 {
                return Some(from + found.trailing_zeros() as usize);
            }
            from += LANES;
        }
        if tail.is_empty() {
            return None;
        }
        let found = match text.last_chunk::<LANES>() {
            // The last bytes as the end of a whole block.
            Some(block) => places(block) >> (LANES - tail.len()),
            None => {
                return tail
                    .iter()
                    .position(|have| *have == byte)
                    .map(|at| from + at);
            }
        };
        (found != 0).then(|| from + found.trailing_zeros() as usize)
    }

    /// Whether the processor can do what stands here. None has AVX2 without POPCNT, but a
    /// virtual one may hide either.
    #[inline]
    pub(super) fn is_there() -> bool {
        std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt")
    }

    /// The last bytes of a text that are no whole block, with others for those that are missing.
    #[target_feature(enable = "avx2")]
    fn padded(rest: &[u8]) -> __m256i {
        let mut block = [NOTHING; LANES];
        if let Some(part) = block.get_mut(..rest.len()) {
            part.copy_from_slice(rest);
        }
        load(&block)
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn has_odd_quotes(text: &[u8]) -> Option<bool> {
        let quote = _mm256_set1_epi8(b'"'.cast_signed());
        let backslash = _mm256_set1_epi8(b'\\'.cast_signed());
        let mut odd = _mm256_setzero_si256();
        let mut hidden = _mm256_setzero_si256();
        let (blocks, rest) = text.as_chunks::<LANES>();
        for block in blocks {
            let bytes = load(block);
            odd = _mm256_xor_si256(odd, _mm256_cmpeq_epi8(bytes, quote));
            hidden = _mm256_or_si256(hidden, _mm256_cmpeq_epi8(bytes, backslash));
        }
        let mut places = _mm256_movemask_epi8(odd).cast_unsigned();
        if !rest.is_empty() {
            let (bytes, seen) = match text.last_chunk::<LANES>() {
                // The last bytes as the end of a whole block; quotes are counted once.
                Some(block) => (load(block), LANES - rest.len()),
                None => (padded(rest), 0),
            };
            let found = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, quote)).cast_unsigned();
            places ^= found >> seen;
            hidden = _mm256_or_si256(hidden, _mm256_cmpeq_epi8(bytes, backslash));
        }
        (_mm256_movemask_epi8(hidden) == 0).then_some(places.count_ones() % 2 == 1)
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn look(text: &[u8]) -> Look {
        let (low, high) = (table(&LOW), table(&HIGH));
        let half = _mm256_set1_epi8(15);
        let quote = _mm256_set1_epi8(b'"'.cast_signed());
        let mut classes = _mm256_setzero_si256();
        let mut quotes = 0;
        let (blocks, rest) = text.as_chunks::<LANES>();
        let mut take = |bytes: __m256i| {
            let by_low = _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, half));
            let shifted = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half);
            let by_high = _mm256_shuffle_epi8(high, shifted);
            classes = _mm256_or_si256(classes, _mm256_and_si256(by_low, by_high));
            let found = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, quote));
            found.cast_unsigned()
        };
        for block in blocks {
            quotes += take(load(block)).count_ones();
        }
        if !rest.is_empty() {
            match text.last_chunk::<LANES>() {
                // The last bytes as the end of a whole block; quotes are counted once.
                Some(block) => {
                    let seen = LANES - rest.len();
                    quotes += (take(load(block)) >> seen).count_ones();
                }
                None => quotes += take(padded(rest)).count_ones(),
            }
        }
        let halves = _mm_or_si128(
            _mm256_extracti128_si256::<0>(classes),
            _mm256_extracti128_si256::<1>(classes),
        );
        let word = _mm_cvtsi128_si64(_mm_or_si128(halves, _mm_unpackhi_epi64(halves, halves)));
        let word = word.cast_unsigned();
        let word = word | word >> 32;
        let word = word | word >> 16;
        Look {
            classes: (word | word >> 8).to_le_bytes()[0],
            quotes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hand(text: &[u8]) -> (bool, bool, bool, bool, usize) {
        let has = |wanted: &[u8]| text.iter().any(|byte| wanted.contains(byte));
        (
            has(b"{[]|<#") || text.iter().any(|byte| *byte < b' '),
            has(b"\\"),
            has(b"="),
            has(b":"),
            text.iter().filter(|byte| **byte == b'"').count(),
        )
    }

    fn told(look: Look) -> (bool, bool, bool, bool, usize) {
        (
            look.has_mark(),
            look.has_backslash(),
            look.has_equals(),
            look.has_colon(),
            look.quotes() as usize,
        )
    }

    #[test]
    fn every_byte_is_of_its_classes() {
        for byte in 0..=u8::MAX {
            for text in [vec![byte], [vec![b'a'; 40], vec![byte]].concat()] {
                assert_eq!(told(look(&text)), by_hand(&text), "{byte}");
                assert_eq!(told(plain(&text)), by_hand(&text), "{byte}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_text_is_told_as_by_hand(
            text in proptest::collection::vec(proptest::sample::select(b"ab\"\\=:{}]|\n 9z".to_vec()), 0..200),
            any: Vec<u8>,
        ) {
            proptest::prop_assert_eq!(told(look(&text)), by_hand(&text));
            proptest::prop_assert_eq!(look(&text), plain(&text));
            proptest::prop_assert_eq!(told(look(&any)), by_hand(&any));
            for text in [&text, &any] {
                let (_, backslash, _, _, quotes) = by_hand(text);
                proptest::prop_assert_eq!(has_odd_quotes(text), (!backslash).then_some(quotes % 2 == 1));
            }
            for byte in [b'a', b'"', b'\n', b'z', 0, 255] {
                proptest::prop_assert_eq!(find(byte, &text), memchr::memchr(byte, &text));
                proptest::prop_assert_eq!(find(byte, &any), memchr::memchr(byte, &any));
            }
        }
    }
}
