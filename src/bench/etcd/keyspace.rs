//! The keys and values that a load uses: its own prefix, a fixed number of keys that are written
//! over and over, and leases under them.
//!
//! Few keys share a lease. Before 3.4.27 and 3.5.10 etcd looks at every key of a lease whenever one of them is
//! written (etcd #15993): with a thousand keys on each, puts took ten times as long as without leases, and
//! the bench measured its own leases.

use std::cell::RefCell;

/// Most keys that end in the same second, and on one lease: while etcd deletes the keys of a lease it
/// does nothing else. kube-apiserver takes the same bound for its events.
pub const KEYS_AT_ONCE: u64 = 1000;

/// Leases at most, as long as no lease has more keys than [`KEYS_AT_ONCE`]: each costs etcd an entry in
/// the log at its begin and its end, and a message at each beat.
const LEASES: u64 = 2500;

/// Digits of a key's number.
const DIGITS: usize = 9;

/// The keys of one run.
#[derive(Debug)]
pub struct Keyspace {
    prefix: Vec<u8>,
    count: u64,
    key_size: usize,
    values: Values,
    // One for each `keys_per_lease` keys; empty without leases.
    leases: RefCell<Vec<i64>>,
}

/// How large values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSize {
    /// All the same.
    Bytes(usize),
    /// As Kubernetes objects are: 60 % of 500 bytes, 30 % of 2300, 9 % of 8 KiB, 1 % of 100 KiB.
    /// A key keeps its size.
    Objects,
}

/// Sizes of [`ValueSize::Objects`], up to which percent of the keys. The same mix as the disk
/// bench's `k8s` profile.
const OBJECTS: [(u64, usize); 4] = [(60, 500), (90, 2300), (99, 8192), (100, 102_400)];

impl ValueSize {
    /// Bytes of the value of a key.
    pub fn of(self, key: u64) -> usize {
        match self {
            ValueSize::Bytes(bytes) => bytes,
            ValueSize::Objects => {
                // Spread over the keys, so that each client has all sizes.
                let percent = key.wrapping_mul(61) % 100;
                OBJECTS
                    .iter()
                    .find(|(upto, _)| percent < *upto)
                    .map_or(0, |(_, bytes)| *bytes)
            }
        }
    }

    /// Mean bytes of a value.
    pub fn mean(self) -> f64 {
        (0..100).map(|key| self.of(key) as f64).sum::<f64>() / 100.0
    }

    fn largest(self) -> usize {
        (0..100).map(|key| self.of(key)).max().unwrap_or(0)
    }
}

/// Bytes to cut values from. etcd compresses nothing, so what they are does not matter; they are
/// text, so that people can look at them.
#[derive(Debug)]
struct Values {
    size: ValueSize,
    pool: Vec<u8>,
}

impl Keyspace {
    /// `count` keys of at least `key_size` bytes under `prefix`.
    pub fn new(prefix: &str, count: u64, key_size: usize, size: ValueSize) -> Self {
        let pool = b"etcd-doctor bench etcd: may be deleted at any time. "
            .iter()
            .copied()
            .cycle()
            .take(size.largest())
            .collect();
        Keyspace {
            prefix: prefix.as_bytes().to_vec(),
            count,
            key_size: key_size.max(prefix.len() + DIGITS),
            values: Values { size, pool },
            leases: RefCell::default(),
        }
    }

    /// How many keys.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of each key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// The prefix.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// End of the range that holds all keys.
    pub fn end(&self) -> Vec<u8> {
        prefix_end(&self.prefix)
    }

    /// Keys that share a lease.
    pub fn keys_per_lease(&self) -> u64 {
        self.count.div_ceil(LEASES).clamp(1, KEYS_AT_ONCE)
    }

    /// Leases that all keys need.
    pub fn leases_needed(&self) -> u64 {
        self.count.div_ceil(self.keys_per_lease())
    }

    /// Leases whose keys may go at once.
    pub fn leases_at_once(&self) -> u64 {
        KEYS_AT_ONCE / self.keys_per_lease()
    }

    /// Gives the keys their leases.
    pub fn set_leases(&self, leases: Vec<i64>) {
        *self.leases.borrow_mut() = leases;
    }

    /// The lease of a key, or 0.
    pub fn lease(&self, key: u64) -> i64 {
        usize::try_from(key / self.keys_per_lease())
            .ok()
            .and_then(|at| self.leases.borrow().get(at).copied())
            .unwrap_or(0)
    }

    /// Writes a key into `into`.
    pub fn key(&self, key: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.prefix);
        into.resize(self.key_size, b'0');
        let mut left = key % self.count.max(1);
        for digit in into.iter_mut().rev().take(DIGITS) {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
    }

    /// The value of a key.
    pub fn value(&self, key: u64) -> &[u8] {
        self.values
            .pool
            .get(..self.values.size.of(key))
            .unwrap_or_default()
    }

    /// What one write adds to the database, about: key and value in the record, the record's own
    /// fields, and bbolt's pages around them.
    pub fn bytes_per_write(&self) -> f64 {
        // Measured on 3.4.23 and 3.5.1, 40 000 puts each, keys of 64 and values of 256 and 1024
        // bytes: 1.20 to 1.21 times the bytes of the record.
        (self.key_size as f64 + self.values.size.mean() + 60.0) * 1.2
    }
}

/// The first key after all that begin with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // All keys.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_unique_and_of_one_size() {
        let keys = Keyspace::new("/b/", 1500, 20, ValueSize::Bytes(8));
        let mut last = Vec::new();
        let mut key = Vec::new();
        for n in 0..1500 {
            keys.key(n, &mut key);
            assert_eq!(key.len(), 20);
            assert!(key > last && key < keys.end());
            last.clone_from(&key);
        }
        // What is beyond the last key begins again: the keyspace is bounded.
        let mut first = Vec::new();
        keys.key(0, &mut first);
        keys.key(1500, &mut key);
        assert_eq!(first, key);
    }

    #[test]
    fn few_keys_share_a_lease_and_a_thousand_may_go_at_once() {
        let of = |count| Keyspace::new("/b/", count, 20, ValueSize::Bytes(8));
        let cases = [
            (1, 1),
            (2500, 1),
            (2501, 2),
            (10_000, 4),
            (100_000, 40),
            (1_000_000, 400),
        ];
        for (count, per) in cases {
            let keys = of(count);
            assert_eq!(keys.keys_per_lease(), per, "{count}");
            assert!(keys.leases_needed() <= LEASES);
            assert!(keys.leases_needed() * per >= count);
            assert!(keys.leases_at_once() * per <= KEYS_AT_ONCE);
        }
        assert_eq!(of(9_000_000).keys_per_lease(), KEYS_AT_ONCE);
        let keys = of(6000);
        assert_eq!(keys.lease(0), 0, "none were granted");
        keys.set_leases(vec![7, 8, 9]);
        assert_eq!((keys.lease(2), keys.lease(3), keys.lease(8)), (7, 8, 9));
    }

    #[test]
    fn objects_have_the_sizes_of_the_mix() {
        let mut counts = std::collections::BTreeMap::new();
        for key in 0..1000 {
            *counts.entry(ValueSize::Objects.of(key)).or_insert(0) += 1;
        }
        assert_eq!(
            counts.into_iter().collect::<Vec<_>>(),
            [(500, 600), (2300, 300), (8192, 90), (102_400, 10)]
        );
        assert!((ValueSize::Objects.mean() - 2751.28).abs() < 0.01);
        let keys = Keyspace::new("/b/", 100, 20, ValueSize::Objects);
        assert!((0..100).all(|key| keys.value(key).len() == ValueSize::Objects.of(key)));
    }

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(prefix_end(b"/a/"), b"/a0");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        assert_eq!(prefix_end(b"\xff"), b"\0");
    }
}
