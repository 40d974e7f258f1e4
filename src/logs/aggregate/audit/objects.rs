//! Requests for single objects: a [`Bounded`] table whose keys share their beginnings.
//!
//! Most objects of a big log are asked for once, so rows come and go all the time. A key is held as
//! the number of its first four parts and as the object's name, all names in one text, and no row
//! allocates anything.

use hashbrown::HashTable;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

use crate::logs::aggregate::hash::stable_hash;
use crate::logs::aggregate::pace::ObjectRow;
use crate::logs::aggregate::table::{Bounded, RowValue, Saved};

use super::{NONE, SEPARATOR};

/// So many bytes of names that are gone do no harm.
const NAMES: usize = 1 << 16;
/// Parts of a key that are shared: user agent, user, verb, resource.
const SHARED: usize = 4;

/// The same rows as a [`Bounded`] of whole keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Bounded<ObjectRow>", into = "Bounded<ObjectRow>")]
pub(super) struct Objects {
    bound: usize,
    shared: Vec<Shared>,
    shared_index: HashTable<u32>,
    /// Their numbers in the order of their texts; new ones are missing.
    sorted: Vec<u32>,
    /// In no order; [`Key::turn`] tells it.
    keys: Vec<Key>,
    rows: Vec<ObjectRow>,
    /// How many rows were made so far.
    turns: u64,
    /// The rows from here on are in turn.
    moved: usize,
    /// The rest of all keys, and of some that are gone.
    names: Vec<u8>,
    /// How much of the names is in use.
    used: usize,
    index: HashTable<u32>,
    other: ObjectRow,
    dropped: u64,
    error: ObjectRow,
}

/// The shared part of keys, with the separator behind it.
#[derive(Clone, Debug)]
struct Shared {
    text: Box<str>,
    hash: u64,
    /// Its place among all in order.
    rank: u32,
}

/// A row's key.
#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u64,
    shared: u32,
    from: u32,
    to: u32,
    /// When the row was made.
    turn: u64,
}

impl Objects {
    pub(super) fn new(bound: usize) -> Self {
        Objects {
            bound,
            shared: Vec::new(),
            shared_index: HashTable::new(),
            sorted: Vec::new(),
            keys: Vec::new(),
            rows: Vec::new(),
            turns: 0,
            moved: 0,
            names: Vec::new(),
            used: 0,
            index: HashTable::new(),
            other: ObjectRow::default(),
            dropped: 0,
            error: ObjectRow::default(),
        }
    }

    /// The number of what keys begin with: four parts, with the separator behind them. It is good
    /// until [`Self::prune`] says otherwise.
    pub(super) fn shared(&mut self, text: &str) -> u32 {
        let hash = stable_hash(0, text.as_bytes());
        let all = &self.shared;
        let found = self.shared_index.find(hash, |id| {
            all.get(*id as usize)
                .is_some_and(|known| *known.text == *text)
        });
        if let Some(id) = found {
            return *id;
        }
        let id = number(self.shared.len());
        self.shared.push(Shared {
            text: text.into(),
            hash,
            rank: 0,
        });
        let all = &self.shared;
        let hash_of = |id: &u32| all.get(*id as usize).map_or(0, |known| known.hash);
        self.shared_index.insert_unique(hash, id, hash_of);
        id
    }

    /// The number of a key's row, which is made if it is new.
    pub(super) fn id(&mut self, key: &str) -> u32 {
        let (shared, name) = key.split_at_checked(cut(key)).unwrap_or(("", key));
        let shared = self.shared(shared);
        let from = self.names.len();
        self.names.extend_from_slice(name.as_bytes());
        self.find(shared, from)
    }

    /// As [`Self::id`], of a key in parts. The names are valid UTF-8.
    #[inline]
    pub(super) fn id_in(&mut self, shared: u32, namespace: &[u8], name: &[u8]) -> u32 {
        let from = self.names.len();
        if !namespace.is_empty() {
            self.names.extend_from_slice(namespace);
            self.names.push(b'/');
        }
        self.names.extend_from_slice(name);
        self.find(shared, from)
    }

    /// The row of a key whose name stands at the end of the names.
    fn find(&mut self, shared: u32, from: usize) -> u32 {
        let name = self.names.get(from..).unwrap_or_default();
        let seed = self.shared.get(shared as usize).map_or(0, |all| all.hash);
        let hash = stable_hash(seed, name);
        let (keys, names) = (&self.keys, &self.names);
        let found = self.index.find(hash, |id| {
            keys.get(*id as usize).is_some_and(|key| {
                key.hash == hash && key.shared == shared && key.name(names) == name
            })
        });
        if let Some(id) = found {
            self.names.truncate(from);
            return *id;
        }
        let id = number(self.keys.len());
        let hash_of = |id: &u32| keys.get(*id as usize).map_or(0, |key| key.hash);
        self.index.insert_unique(hash, id, hash_of);
        self.keys.push(Key {
            hash,
            shared,
            from: number(from),
            to: number(self.names.len()),
            turn: self.turns,
        });
        self.turns += 1;
        self.used += self.names.len() - from;
        self.rows.push(ObjectRow::default());
        id
    }

    pub(super) fn row_mut(&mut self, id: u32) -> Option<&mut ObjectRow> {
        self.rows.get_mut(id as usize)
    }

    /// Adds all rows of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut shared = vec![NONE; other.shared.len()];
        for at in other.in_turn() {
            let (Some(key), Some(row)) = (other.keys.get(at), other.rows.get(at)) else {
                continue;
            };
            let at = key.shared as usize;
            let (Some(known), Some(text)) = (shared.get_mut(at), other.shared.get(at)) else {
                continue;
            };
            if *known == NONE {
                *known = self.shared(&text.text);
            }
            let id = self.id_in(*known, b"", key.name(&other.names));
            if let Some(slot) = self.rows.get_mut(id as usize) {
                slot.add(row);
            }
        }
        self.other.add(&other.other);
        self.error.add(&other.error);
        self.dropped += other.dropped;
    }

    /// Whether [`Self::prune`] is due.
    pub(super) fn is_over(&self) -> bool {
        self.rows.len() > self.bound + self.bound / 2
    }

    /// Drops the lightest rows down to the bound. Numbers of rows change; gives back whether
    /// those of shared parts do.
    pub(super) fn prune(&mut self) -> bool {
        self.rank();
        let mut order: Vec<(u128, u32)> = Vec::with_capacity(self.keys.len());
        for (at, (key, row)) in (0..).zip(self.keys.iter().zip(&self.rows)) {
            let rank = self.shared.get(key.shared as usize).map_or(0, |of| of.rank);
            order.push((order_of(row.weight(), rank, key.name(&self.names)), at));
        }
        if order.len() > self.bound {
            let name = |at: u32| self.keys.get(at as usize).map(|key| key.name(&self.names));
            order.select_nth_unstable_by(self.bound, |a, b| {
                a.0.cmp(&b.0).then_with(|| name(a.1).cmp(&name(b.1)))
            });
            let mut gone = vec![false; order.len()];
            let mut dropped: Vec<(u64, u32)> = Vec::new();
            for (_, at) in order.iter().skip(self.bound) {
                if let (Some(gone), Some(key)) =
                    (gone.get_mut(*at as usize), self.keys.get(*at as usize))
                {
                    *gone = true;
                    if (*at as usize) < self.moved {
                        dropped.push((key.turn, *at));
                    }
                }
            }
            dropped.sort_unstable();
            let mut dropped: Vec<u32> = dropped.into_iter().map(|(_, at)| at).collect();
            let later = (0..).zip(&gone).skip(self.moved).filter(|(_, gone)| **gone);
            dropped.extend(later.map(|(at, _)| at));
            self.drop_rows(&dropped, &gone);
        }
        if self.names.len() > 4 * self.used + NAMES {
            self.forget_names();
        }
        let renumbered = self.shared.len() > 4 * self.bound;
        if renumbered {
            self.forget_shared();
        }
        renumbered
    }

    /// Drops rows, given in turn and by number.
    fn drop_rows(&mut self, dropped: &[u32], gone: &[bool]) {
        let mut most = ObjectRow::default();
        for at in dropped {
            let place = *at as usize;
            if let (Some(row), Some(key)) = (self.rows.get(place), self.keys.get(place)) {
                most.raise(row);
                self.other.add(row);
                self.dropped += 1;
                self.used -= (key.to - key.from) as usize;
                if let Ok(found) = self.index.find_entry(key.hash, |id| id == at) {
                    found.remove();
                }
            }
        }
        self.error.add(&most);
        // The last rows go to the places of those that went.
        let left = self.keys.len() - dropped.len();
        let mut last = (0..).zip(gone).skip(left).filter(|(_, gone)| !**gone);
        for to in dropped.iter().filter(|at| (**at as usize) < left) {
            let Some((from, _)) = last.next() else {
                break;
            };
            self.keys.swap(*to as usize, from as usize);
            self.rows.swap(*to as usize, from as usize);
            if let Some(key) = self.keys.get(*to as usize)
                && let Some(id) = self.index.find_mut(key.hash, |id| *id == from)
            {
                *id = *to;
            }
        }
        self.keys.truncate(left);
        self.rows.truncate(left);
        self.moved = left;
    }

    /// Drops names of rows that are gone.
    fn forget_names(&mut self) {
        let old = std::mem::take(&mut self.names);
        for key in &mut self.keys {
            let from = number(self.names.len());
            self.names.extend_from_slice(key.name(&old));
            (key.from, key.to) = (from, number(self.names.len()));
        }
    }

    /// The numbers of the rows in the order in which they were made.
    fn in_turn(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.keys.len()).collect();
        all.sort_unstable_by_key(|at| self.keys.get(*at).map(|key| key.turn));
        all
    }

    /// Numbers the shared parts in their order.
    fn rank(&mut self) {
        let known = self.sorted.len();
        if known == self.shared.len() {
            return;
        }
        for new in known..self.shared.len() {
            let shared = &self.shared;
            let text = |at: usize| shared.get(at).map(|shared| &shared.text);
            let place = self
                .sorted
                .partition_point(|at| text(*at as usize) < text(new));
            self.sorted.insert(place, number(new));
        }
        for (rank, at) in (0..).zip(&self.sorted) {
            if let Some(shared) = self.shared.get_mut(*at as usize) {
                shared.rank = rank;
            }
        }
    }

    /// Drops the shared parts that no row has.
    fn forget_shared(&mut self) {
        let old = std::mem::take(&mut self.shared);
        self.shared_index.clear();
        self.sorted.clear();
        let mut map = vec![NONE; old.len()];
        for at in 0..self.keys.len() {
            let Some(shared) = self.keys.get(at).map(|key| key.shared as usize) else {
                continue;
            };
            let (Some(known), Some(text)) = (map.get(shared).copied(), old.get(shared)) else {
                continue;
            };
            let id = match known {
                NONE => self.shared(&text.text),
                known => known,
            };
            if let (Some(slot), Some(key)) = (map.get_mut(shared), self.keys.get_mut(at)) {
                *slot = id;
                key.shared = id;
            }
        }
    }

    /// The same rows with whole keys.
    pub(super) fn table(&self) -> Bounded<ObjectRow> {
        let all = self.in_turn();
        let keys = all.iter().filter_map(|at| {
            let key = self.keys.get(*at)?;
            let shared = self.shared.get(key.shared as usize)?;
            let name = String::from_utf8_lossy(key.name(&self.names));
            Some([&*shared.text, &*name].concat().into_boxed_str())
        });
        let rows = all.iter().filter_map(|at| self.rows.get(*at).cloned());
        Bounded::of(Saved {
            bound: self.bound,
            keys: keys.collect(),
            rows: rows.collect(),
            other: self.other.clone(),
            dropped: self.dropped,
            error: self.error.clone(),
        })
    }
}

impl From<Bounded<ObjectRow>> for Objects {
    fn from(table: Bounded<ObjectRow>) -> Self {
        let saved = table.into_saved();
        let mut objects = Objects::new(saved.bound);
        for (key, row) in saved.keys.iter().zip(saved.rows) {
            let id = objects.id(key);
            if let Some(slot) = objects.rows.get_mut(id as usize) {
                *slot = row;
            }
        }
        Objects {
            other: saved.other,
            dropped: saved.dropped,
            error: saved.error,
            ..objects
        }
    }
}

impl From<Objects> for Bounded<ObjectRow> {
    fn from(objects: Objects) -> Self {
        objects.table()
    }
}

impl Key {
    fn name<'n>(&self, names: &'n [u8]) -> &'n [u8] {
        names
            .get(self.from as usize..self.to as usize)
            .unwrap_or_default()
    }
}

/// Where the shared part of a key ends.
fn cut(key: &str) -> usize {
    memchr_iter(SEPARATOR as u8, key.as_bytes())
        .nth(SHARED - 1)
        .map_or(0, |at| at + 1)
}

/// Where a row stands among others: the heaviest first, then by the shared part and the first bytes
/// of the name.
#[inline]
fn order_of(weight: u64, rank: u32, name: &[u8]) -> u128 {
    let head = name.first_chunk().copied().unwrap_or_else(|| {
        let mut head = [0; 8];
        for (slot, byte) in head.iter_mut().zip(name) {
            *slot = *byte;
        }
        head
    });
    let light = u32::MAX - u32::try_from(weight).unwrap_or(u32::MAX);
    u128::from(light) << 96 | u128::from(rank) << 64 | u128::from(u64::from_be_bytes(head))
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;

    type Asked = (u8, u8, u8, i64);

    fn parts((shared, namespace, name, _): Asked) -> [String; 3] {
        let shared = format!("agent-{shared}\u{1f}user\u{1f}get\u{1f}pods\u{1f}");
        let namespace = match namespace {
            0 => String::new(),
            n => format!("namespace-{n}"),
        };
        [shared, namespace, format!("n-{name}")]
    }

    fn saved(table: Bounded<ObjectRow>) -> String {
        serde_json::to_string(&table).unwrap()
    }

    fn add(objects: &mut Objects, table: &mut Bounded<ObjectRow>, asked: Asked) {
        let [shared, namespace, name] = parts(asked);
        let slash = if namespace.is_empty() { "" } else { "/" };
        let key = format!("{shared}{namespace}{slash}{name}");
        let id = if asked.3 % 2 == 0 {
            let shared = objects.shared(&shared);
            objects.id_in(shared, namespace.as_bytes(), name.as_bytes())
        } else {
            objects.id(&key)
        };
        let at = Timestamp(asked.3 * 1_000_000);
        objects.row_mut(id).unwrap().add_request(at, 200);
        table.entry(&key).add_request(at, 200);
        if objects.is_over() {
            objects.prune();
        }
        if table.is_over() {
            table.prune(&[]);
        }
    }

    proptest! {
        #[test]
        fn the_rows_are_those_of_a_table_of_whole_keys(
            asked in prop::collection::vec((0u8..9, 0u8..3, 0u8..60, 0i64..1000), 0..500),
            bound in 1usize..40,
            cut in 0usize..500,
        ) {
            let mut objects = [Objects::new(bound), Objects::new(bound)];
            let mut tables = [Bounded::new(bound), Bounded::new(bound)];
            for (at, asked) in asked.into_iter().enumerate() {
                let part = usize::from(at >= cut);
                add(&mut objects[part], &mut tables[part], asked);
                prop_assert_eq!(objects[part].is_over(), tables[part].is_over());
            }
            let [mut first, second] = objects;
            let [mut whole, rest] = tables;
            prop_assert_eq!(saved(first.table()), saved(whole.clone()));
            // What was saved goes on as if it had not been.
            let text = saved(second.table());
            let second: Objects = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(saved(second.clone().into()), text);
            first.merge(&second);
            whole.merge(&rest);
            if first.is_over() {
                first.prune();
                whole.prune(&[]);
            }
            prop_assert_eq!(saved(first.table()), saved(whole));
        }
    }
}
