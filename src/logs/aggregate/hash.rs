//! A 64-bit hash that never changes between releases, because saved summaries hold it.
//!
//! Eight bytes at a time, multiply and fold, as the wyhash family does. It joins copies of one
//! request and is no defence against chosen keys: a collision costs one wrong join.

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const MULTIPLIER: u64 = 0xA076_1D64_78BD_642F;

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of the product are what is folded"
)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Hashes `bytes`, starting from `state`: chain calls to hash several parts.
pub fn stable_hash(state: u64, bytes: &[u8]) -> u64 {
    let mut hash = state ^ SEED;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        hash = fold(hash ^ word, MULTIPLIER);
    }
    let rest = words.remainder();
    let last = match (bytes.last_chunk(), rest.len()) {
        (_, 0) => 0,
        // The last bytes as the end of a whole word, without a loop over them.
        (Some(word), more) => u64::from_le_bytes(*word) >> (64 - 8 * more),
        (None, _) => short(rest),
    };
    // The length keeps `a` and `a\0` apart.
    let len = bytes.len() as u64;
    fold(hash ^ last, MULTIPLIER ^ len.rotate_left(32))
}

/// Makes another hash of one.
#[inline]
pub fn mixed(hash: u64, state: u64) -> u64 {
    fold(hash ^ SEED, MULTIPLIER ^ state)
}

/// Fewer than eight bytes as the low ones of a word.
pub(super) fn short(bytes: &[u8]) -> u64 {
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let shift = 8 * (bytes.len() - 4);
        return u64::from(u32::from_le_bytes(*head))
            | u64::from(u32::from_le_bytes(*tail)) << shift;
    }
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_hash_is_frozen() {
        // Saved summaries hold these values: a change here needs a new format version.
        assert_eq!(
            stable_hash(0, b"/registry/pods/"),
            15_455_574_450_289_119_952
        );
    }

    /// The hash as it was first written.
    fn plain_hash(state: u64, bytes: &[u8]) -> u64 {
        let mut hash = state ^ SEED;
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            hash = fold(
                hash ^ u64::from_le_bytes(word.try_into().unwrap()),
                MULTIPLIER,
            );
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        let len = bytes.len() as u64;
        fold(
            hash ^ u64::from_le_bytes(last),
            MULTIPLIER ^ len.rotate_left(32),
        )
    }

    proptest::proptest! {
        #[test]
        fn every_length_hashes_as_the_plain_way_does(
            state: u64,
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        ) {
            proptest::prop_assert_eq!(stable_hash(state, &bytes), plain_hash(state, &bytes));
        }
    }

    #[test]
    fn neighbours_do_not_collide() {
        let mut seen = HashSet::new();
        for i in 0..20_000 {
            assert!(seen.insert(stable_hash(
                1,
                format!("/registry/pods/ns/p-{i}").as_bytes()
            )));
        }
        assert_ne!(stable_hash(0, b"a"), stable_hash(0, b"a\0"));
        assert_ne!(stable_hash(0, b""), stable_hash(1, b""));
    }
}
