//! Rows by key, exact up to a bound, then within an error that the table states itself.
//!
//! When a table grows past half again its bound, its lightest rows move to `other` and the largest value that
//! any of them had is added to `error`, column by column. A row that comes back later lacks at
//! most that much. Merging adds rows, `other` and errors, so the statement still holds. Heavy rows
//! never leave and are exact.

use hashbrown::HashTable;
use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::hash::stable_hash;

/// What a row of a bounded table can do.
pub trait RowValue: Clone + Default {
    /// Adds `other`, column by column.
    fn add(&mut self, other: &Self);
    /// Adds what another stream of the same time tells of the same.
    fn beside(&mut self, other: &Self) {
        self.add(other);
    }
    /// The larger of both, counter by counter; used for errors. Distributions and times have none.
    fn raise(&mut self, other: &Self);
    /// How much the row matters.
    fn weight(&self) -> u64;
}

/// Largest bound of any table, and more: a file that says more was forged.
const MOST_ROWS: usize = 1 << 20;

/// A bounded table. Rows are addressed by key or, until the next [`Self::prune`], by number.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    try_from = "Saved<R>",
    bound(serialize = "R: Serialize", deserialize = "R: Deserialize<'de>")
)]
pub struct Bounded<R> {
    bound: usize,
    keys: Vec<Box<str>>,
    rows: Vec<R>,
    /// Sum of the rows that were dropped.
    other: R,
    /// How many times a row was dropped.
    dropped: u64,
    /// What a row can lack at most.
    error: R,
    /// Hashes of the keys.
    #[serde(skip)]
    hashes: Vec<u64>,
    #[serde(skip)]
    index: HashTable<u32>,
}

/// What of a table is saved.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved<R> {
    /// How many rows are kept exactly.
    pub bound: usize,
    /// Keys, each once.
    pub keys: Vec<Box<str>>,
    /// Their rows.
    pub rows: Vec<R>,
    /// Sum of the rows that were dropped.
    pub other: R,
    /// How many times a row was dropped.
    pub dropped: u64,
    /// What a row can lack at most.
    pub error: R,
}

impl<R> TryFrom<Saved<R>> for Bounded<R> {
    type Error = String;

    /// Whoever wrote the file may have written anything.
    fn try_from(saved: Saved<R>) -> Result<Self, String> {
        if saved.keys.len() != saved.rows.len() {
            return Err(format!(
                "table: {} `keys` for {} `rows`",
                saved.keys.len(),
                saved.rows.len()
            ));
        }
        if saved.bound > MOST_ROWS {
            return Err(format!(
                "table: its `bound` {} is above {MOST_ROWS}",
                saved.bound
            ));
        }
        Ok(Bounded::unindexed(saved))
    }
}

impl<R> Bounded<R> {
    /// What was saved, without the index of its keys.
    fn unindexed(saved: Saved<R>) -> Self {
        Bounded {
            bound: saved.bound,
            keys: saved.keys,
            rows: saved.rows,
            other: saved.other,
            dropped: saved.dropped,
            error: saved.error,
            hashes: Vec::new(),
            index: HashTable::new(),
        }
    }
}

impl<R: RowValue> Bounded<R> {
    /// A table of such rows.
    pub fn of(saved: Saved<R>) -> Self {
        let mut table = Bounded::unindexed(saved);
        table.restore();
        table
    }

    /// What of it is saved.
    pub fn into_saved(self) -> Saved<R> {
        Saved {
            bound: self.bound,
            keys: self.keys,
            rows: self.rows,
            other: self.other,
            dropped: self.dropped,
            error: self.error,
        }
    }

    /// An empty table that keeps `bound` rows exactly.
    pub fn new(bound: usize) -> Self {
        Bounded {
            bound,
            keys: Vec::new(),
            rows: Vec::new(),
            other: R::default(),
            dropped: 0,
            error: R::default(),
            hashes: Vec::new(),
            index: HashTable::new(),
        }
    }

    /// The number of a key's row, which is made if it is new.
    pub fn id(&mut self, key: &str) -> u32 {
        self.id_of_parts(key, "")
    }

    /// The number of the row `name.group`, or `name` when the group is empty, without building
    /// the text for rows that are known.
    pub fn id_of_parts(&mut self, name: &str, group: &str) -> u32 {
        let hash = hash_parts(name, group);
        let keys = &self.keys;
        let found = self.index.find(hash, |id| {
            keys.get(*id as usize)
                .is_some_and(|key| is_parts(key, name, group))
        });
        if let Some(id) = found {
            return *id;
        }
        let key = if group.is_empty() {
            name.into()
        } else {
            format!("{name}.{group}").into_boxed_str()
        };
        self.push(key, hash)
    }

    fn push(&mut self, key: Box<str>, hash: u64) -> u32 {
        let id = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(key);
        self.rows.push(R::default());
        self.hashes.push(hash);
        self.insert(hash, id);
        id
    }

    fn insert(&mut self, hash: u64, id: u32) {
        let hashes = &self.hashes;
        let hash_of = |id: &u32| hashes.get(*id as usize).copied().unwrap_or(0);
        self.index.insert_unique(hash, id, hash_of);
    }

    /// A row by number.
    pub fn row_mut(&mut self, id: u32) -> Option<&mut R> {
        self.rows.get_mut(id as usize)
    }

    /// A row's key by number.
    pub fn key(&self, id: u32) -> Option<&str> {
        self.keys.get(id as usize).map(AsRef::as_ref)
    }

    /// A row by number, if its key is still `key`.
    pub fn row_if(&mut self, id: u32, key: &[u8]) -> Option<&mut R> {
        let known = self.keys.get(id as usize)?;
        (known.as_bytes() == key).then_some(())?;
        self.rows.get_mut(id as usize)
    }

    /// The row of a key, which is made if it is new.
    pub fn entry(&mut self, key: &str) -> &mut R {
        let id = self.id(key) as usize;
        &mut self.rows[id]
    }

    /// A row by key.
    pub fn get(&self, key: &str) -> Option<&R> {
        self.iter().find(|(k, _)| *k == key).map(|(_, row)| row)
    }

    /// Adds all rows of `other`; the numbers of its rows are given back as numbers here.
    pub fn merge(&mut self, other: &Self) -> Vec<u32> {
        let mut map = Vec::with_capacity(other.keys.len());
        for (at, (key, row)) in other.keys.iter().zip(&other.rows).enumerate() {
            let hash = other.hash(at, key);
            let id = match self.find(key, hash) {
                Some(id) => id,
                None => self.push(key.clone(), hash),
            };
            self.add_row(id, row);
            map.push(id);
        }
        self.add_rest(other);
        map
    }

    /// As [`Self::merge`], of another stream of the same time.
    pub fn merge_beside(&mut self, other: &Self) {
        for (at, (key, row)) in other.keys.iter().zip(&other.rows).enumerate() {
            let hash = other.hash(at, key);
            let id = match self.find(key, hash) {
                Some(id) => id,
                None => self.push(key.clone(), hash),
            };
            if let Some(mine) = self.row_mut(id) {
                mine.beside(row);
            }
        }
        self.add_rest(other);
    }

    /// As [`Self::merge`], of a table that is no longer wanted.
    pub fn take(&mut self, mut other: Self) -> Vec<u32> {
        let mut map = Vec::with_capacity(other.keys.len());
        let keys = std::mem::take(&mut other.keys);
        for (at, (key, row)) in keys.into_iter().zip(&other.rows).enumerate() {
            let hash = other.hash(at, &key);
            let id = match self.find(&key, hash) {
                Some(id) => id,
                None => self.push(key, hash),
            };
            self.add_row(id, row);
            map.push(id);
        }
        self.add_rest(&other);
        map
    }

    /// The hash of a key of its own.
    fn hash(&self, at: usize, key: &str) -> u64 {
        let known = self.hashes.get(at).copied();
        known.unwrap_or_else(|| hash_key(key))
    }

    fn find(&self, key: &str, hash: u64) -> Option<u32> {
        let is = |id: &u32| {
            let known = self.keys.get(*id as usize);
            known.is_some_and(|known| **known == *key)
        };
        self.index.find(hash, is).copied()
    }

    fn add_row(&mut self, id: u32, row: &R) {
        if let Some(slot) = self.rows.get_mut(id as usize) {
            slot.add(row);
        }
    }

    fn add_rest(&mut self, other: &Self) {
        self.other.add(&other.other);
        self.error.add(&other.error);
        self.dropped += other.dropped;
    }

    /// Whether [`Self::prune`] is due.
    pub fn is_over(&self) -> bool {
        self.rows.len() > self.bound + self.bound / 2
    }

    /// Drops the lightest rows down to the bound. Rows in `keep` (by number) stay. Gives back the
    /// new number of each row, or `None` for dropped ones.
    pub fn prune(&mut self, keep: &[u32]) -> Vec<Option<u32>> {
        // Weights are read once: the rows are large.
        let mut order: Vec<(u64, u32)> = (0..)
            .zip(&self.rows)
            .map(|(at, row)| (row.weight(), at))
            .collect();
        if order.len() > self.bound {
            let keys = &self.keys;
            order.select_nth_unstable_by(self.bound, |a, b| {
                let key = |at: u32| keys.get(at as usize);
                b.0.cmp(&a.0).then_with(|| key(a.1).cmp(&key(b.1)))
            });
        }
        let mut stays = vec![false; self.rows.len()];
        for at in order
            .into_iter()
            .take(self.bound)
            .map(|(_, at)| at as usize)
            .chain(keep.iter().map(|id| *id as usize))
        {
            if let Some(stay) = stays.get_mut(at) {
                *stay = true;
            }
        }
        let mut map = Vec::with_capacity(self.rows.len());
        let mut most = R::default();
        // It will grow as far again.
        let room = self.rows.len();
        let keys = std::mem::replace(&mut self.keys, Vec::with_capacity(room));
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(room));
        let hashes = std::mem::replace(&mut self.hashes, Vec::with_capacity(room));
        for (((key, row), hash), stay) in keys.into_iter().zip(rows).zip(hashes).zip(stays) {
            if stay {
                map.push(u32::try_from(self.keys.len()).ok());
                self.keys.push(key);
                self.rows.push(row);
                self.hashes.push(hash);
            } else {
                map.push(None);
                most.raise(&row);
                self.other.add(&row);
                self.dropped += 1;
            }
        }
        self.error.add(&most);
        self.reindex();
        map
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.hashes = self.keys.iter().map(|key| hash_key(key)).collect();
        self.reindex();
    }

    fn reindex(&mut self) {
        self.index.clear();
        for at in 0..self.hashes.len() {
            if let (Some(hash), Ok(id)) = (self.hashes.get(at).copied(), u32::try_from(at)) {
                self.insert(hash, id);
            }
        }
    }

    /// The rows with their keys, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &R)> {
        self.keys.iter().map(AsRef::as_ref).zip(&self.rows)
    }

    /// Number of rows kept.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sum of the rows that were dropped, if any was.
    pub fn other(&self) -> Option<&R> {
        (self.dropped > 0).then_some(&self.other)
    }

    /// What a row can lack at most, column by column.
    pub fn error(&self) -> Option<&R> {
        (self.dropped > 0).then_some(&self.error)
    }

    /// How many times a row was dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn hash_key(key: &str) -> u64 {
    let key = key.as_bytes();
    // As `hash_parts`: a name holds no dot, a group may.
    match memchr(b'.', key) {
        Some(dot) => {
            let (name, group) = key.split_at(dot);
            let group = group.get(1..).unwrap_or_default();
            stable_hash(stable_hash(0, name), group)
        }
        None => stable_hash(stable_hash(0, key), b""),
    }
}

fn hash_parts(name: &str, group: &str) -> u64 {
    if group.is_empty() {
        return hash_key(name);
    }
    if memchr(b'.', name.as_bytes()).is_some() {
        return hash_key(&format!("{name}.{group}"));
    }
    stable_hash(stable_hash(0, name.as_bytes()), group.as_bytes())
}

fn is_parts(key: &str, name: &str, group: &str) -> bool {
    if group.is_empty() {
        return key == name;
    }
    key.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('.'))
        == Some(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Count(u64);

    impl RowValue for Count {
        fn add(&mut self, other: &Self) {
            self.0 += other.0;
        }
        fn raise(&mut self, other: &Self) {
            self.0 = self.0.max(other.0);
        }
        fn weight(&self) -> u64 {
            self.0
        }
    }

    fn count(table: &mut Bounded<Count>, key: &str) {
        table.entry(key).0 += 1;
        if table.is_over() {
            table.prune(&[]);
        }
    }

    #[test]
    fn parts_and_whole_keys_are_the_same_row() {
        let mut table: Bounded<Count> = Bounded::new(10);
        let id = table.id_of_parts("leases", "coordination.k8s.io");
        assert_eq!(table.id("leases.coordination.k8s.io"), id);
        assert_eq!(table.id_of_parts("leases.coordination", "k8s.io"), id);
        assert_ne!(table.id("leases"), id);
        assert_eq!(table.len(), 2);
    }

    proptest! {
        #[test]
        fn the_stated_error_holds(
            keys in prop::collection::vec((0u32..60, 0u32..8), 0..600),
            cut in 0usize..600,
            bound in 1usize..40,
        ) {
            // Small numbers are frequent: a few heavy rows and a long tail.
            let keys: Vec<String> = keys
                .iter()
                .map(|(a, b)| format!("k{}", if *b > 3 { a % 4 } else { *a }))
                .collect();
            let mut truth: BTreeMap<&str, u64> = BTreeMap::new();
            for key in &keys {
                *truth.entry(key).or_default() += 1;
            }
            let cut = cut.min(keys.len());
            let mut left = Bounded::new(bound);
            keys[..cut].iter().for_each(|key| count(&mut left, key));
            let mut right = Bounded::new(bound);
            keys[cut..].iter().for_each(|key| count(&mut right, key));
            left.merge(&right);
            if left.is_over() {
                left.prune(&[]);
            }
            let error = left.error().map_or(0, |row| row.0);
            let mut sum = left.other().map_or(0, |row| row.0);
            for (key, row) in left.iter() {
                let true_count = truth[key];
                prop_assert!(row.0 <= true_count && true_count <= row.0 + error, "{key}");
                sum += row.0;
            }
            // A key without a row had at most `error`.
            for (key, true_count) in &truth {
                if left.get(key).is_none() {
                    prop_assert!(*true_count <= error, "{key}");
                }
            }
            prop_assert_eq!(sum, keys.len() as u64);
            if truth.len() <= bound {
                prop_assert_eq!(error, 0);
            }
        }
    }
}
