//! What was asked second by second: the cells by which slow requests of etcd and clients of
//! kube-apiserver find each other.
//!
//! etcd's side marks the second in which a request began; a client's side marks each second that
//! its request spans, because etcd's work lies somewhere inside.

use std::cmp::Ordering;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use serde::{Deserialize, Serialize};

use crate::logs::event::Shape;

use super::audit::SEPARATOR;
use super::table::RowValue;

/// Cells kept exactly.
const CELLS: usize = 4096;
/// Few cells, for which no room is kept.
const SOME: usize = 256;
/// Tags whose names are remembered.
const TAGS: usize = 256;
/// Most seconds that one request marks: a longer one marks its begin and its end.
const SPAN: i64 = 8;

/// What kind of request, as far as etcd and a client can both tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A list of many objects.
    List,
    /// A read of one.
    Read,
    /// A change.
    Write,
}

impl Class {
    /// The word used in keys.
    pub fn word(self) -> &'static str {
        match self {
            Class::List => "list",
            Class::Read => "read",
            Class::Write => "write",
        }
    }

    /// The class of an etcd request; nothing for polls, probes and what no client asks for.
    pub fn of_shape(shape: Shape) -> Option<Self> {
        match shape {
            Shape::List | Shape::Page => Some(Class::List),
            Shape::Get => Some(Class::Read),
            Shape::Create | Shape::Update | Shape::Delete => Some(Class::Write),
            _ => None,
        }
    }

    /// The class of an API verb; nothing for watches.
    pub fn of_verb(verb: &str) -> Option<Self> {
        match verb {
            "list" => Some(Class::List),
            "get" => Some(Class::Read),
            "create" | "update" | "patch" | "delete" | "deletecollection" => Some(Class::Write),
            _ => None,
        }
    }
}

/// Requests of one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cell {
    /// How many. A request that spans several seconds is one in each.
    pub requests: u64,
    /// How long they took altogether.
    pub ns: u64,
    /// Of them, LISTs without a limit.
    pub unlimited: u64,
}

impl RowValue for Cell {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.ns = self.ns.saturating_add(other.ns);
        self.unlimited += other.unlimited;
    }
    fn raise(&mut self, other: &Self) {
        self.requests = self.requests.max(other.requests);
        self.ns = self.ns.max(other.ns);
        self.unlimited = self.unlimited.max(other.unlimited);
    }
    fn weight(&self) -> u64 {
        self.ns / 1_000_000 + self.requests
    }
}

/// Cells of many seconds, exact up to a bound as a [`super::table::Bounded`] is. Their keys are a
/// second and the number of a name, because nearly every line of a big log makes a new one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(into = "Saved", from = "Saved")]
pub struct Seconds {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32, FixedState>,
    keys: Vec<(i64, u32)>,
    cells: Vec<Cell>,
    index: HashTable<u32>,
    /// Sum of the cells that were dropped.
    other: Cell,
    /// How many times a cell was dropped.
    dropped: u64,
    /// What a cell can lack at most.
    error: Cell,
    /// Numbers of the names that tags stood for lately.
    tags: Vec<(u64, u32)>,
    /// Reused for a name.
    name: String,
}

fn hash((second, name): (i64, u32)) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mixed = (second.cast_unsigned() ^ u64::from(name) << 40).wrapping_mul(ODD);
    (mixed ^ mixed >> 29).wrapping_mul(ODD)
}

impl Seconds {
    /// Adds a request. `tag` stands for what `name` writes until [`Self::forget`].
    pub fn add(&mut self, second: i64, tag: u64, cell: &Cell, name: impl FnOnce(&mut String)) {
        if self.tags.is_empty() {
            self.tags.resize(TAGS, (u64::MAX, 0));
        }
        let place = usize::try_from(tag % TAGS as u64).unwrap_or(0);
        let number = match self.tags.get(place) {
            Some((known, number)) if *known == tag => *number,
            _ => {
                let mut text = std::mem::take(&mut self.name);
                text.clear();
                name(&mut text);
                let number = self.number(&text);
                self.name = text;
                if let Some(slot) = self.tags.get_mut(place) {
                    *slot = (tag, number);
                }
                number
            }
        };
        self.put((second, number), cell);
        self.bound();
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }

    fn put(&mut self, key: (i64, u32), cell: &Cell) {
        let hash = hash(key);
        let keys = &self.keys;
        let is = |at: &u32| keys.get(*at as usize) == Some(&key);
        if let Some(at) = self.index.find(hash, is) {
            if let Some(known) = self.cells.get_mut(*at as usize) {
                known.add(cell);
            }
            return;
        }
        if self.keys.len() == SOME {
            // It will be many: all of the room at once, rather than by doubling.
            let more = CELLS + CELLS / 2 + 1 - SOME;
            self.keys.reserve_exact(more);
            self.cells.reserve_exact(more);
            self.reserve(more);
        }
        let at = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(key);
        self.cells.push(cell.clone());
        self.insert(hash, at);
    }

    fn reserve(&mut self, more: usize) {
        let keys = &self.keys;
        let again = |at: &u32| keys.get(*at as usize).map_or(0, |key| hash(*key));
        self.index.reserve(more, again);
    }

    fn insert(&mut self, hash_of: u64, at: u32) {
        let keys = &self.keys;
        let again = |at: &u32| keys.get(*at as usize).map_or(0, |key| hash(*key));
        self.index.insert_unique(hash_of, at, again);
    }

    /// Adds a request to each second that it spans.
    pub fn add_span(
        &mut self,
        from_us: i64,
        to_us: i64,
        tag: u64,
        cell: &Cell,
        name: &dyn Fn(&mut String),
    ) {
        let (from, to) = (from_us.div_euclid(1_000_000), to_us.div_euclid(1_000_000));
        let to = to.max(from);
        for second in from..=to.min(from + SPAN / 2) {
            self.add(second, tag, cell, name);
        }
        for second in (from + SPAN / 2 + 1).max(to - SPAN / 2)..=to {
            self.add(second, tag, cell, name);
        }
    }

    /// The tags have another meaning from now on.
    pub fn forget(&mut self) {
        self.tags.clear();
    }

    fn bound(&mut self) {
        if self.cells.len() > CELLS + CELLS / 2 {
            self.prune();
        }
    }

    /// Drops the lightest cells, and the names that no cell has any more.
    fn prune(&mut self) {
        let mut order: Vec<(u64, usize)> = self.cells.iter().map(Cell::weight).zip(0..).collect();
        order.select_nth_unstable_by(CELLS, |a, b| {
            b.0.cmp(&a.0).then_with(|| self.by_text(a.1, b.1))
        });
        let mut stays = vec![false; self.cells.len()];
        for (_, at) in order.into_iter().take(CELLS) {
            if let Some(stay) = stays.get_mut(at) {
                *stay = true;
            }
        }
        let old = std::mem::take(self);
        let mut most = Cell::default();
        (self.other, self.dropped, self.error) = (old.other, old.dropped, old.error);
        let mut moved: Vec<Option<u32>> = vec![None; old.names.len()];
        for ((key, cell), stay) in old.keys.iter().zip(&old.cells).zip(stays) {
            if stay {
                let number = self.moved(&mut moved, &old.names, key.1);
                self.put((key.0, number), cell);
            } else {
                most.raise(cell);
                self.other.add(cell);
                self.dropped += 1;
            }
        }
        self.error.add(&most);
    }

    /// The number here of a name that has another one elsewhere.
    fn moved(&mut self, moved: &mut [Option<u32>], names: &[Box<str>], number: u32) -> u32 {
        let at = number as usize;
        if let Some(Some(known)) = moved.get(at) {
            return *known;
        }
        let new = self.number(names.get(at).map_or("", AsRef::as_ref));
        if let Some(slot) = moved.get_mut(at) {
            *slot = Some(new);
        }
        new
    }

    /// The order of two cells' texts.
    fn by_text(&self, a: usize, b: usize) -> Ordering {
        let (Some(a), Some(b)) = (self.keys.get(a), self.keys.get(b)) else {
            return Ordering::Equal;
        };
        // Seconds of this age have ten digits.
        let usual = |second: i64| (1_000_000_000..10_000_000_000).contains(&second);
        if a.0 != b.0 && usual(a.0) && usual(b.0) {
            return a.0.cmp(&b.0);
        }
        self.text(*a).cmp(&self.text(*b))
    }

    fn text(&self, (second, number): (i64, u32)) -> String {
        let name = self.names.get(number as usize).map_or("", AsRef::as_ref);
        format!("{second}{SEPARATOR}{name}")
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        let mut moved: Vec<Option<u32>> = vec![None; other.names.len()];
        for (key, cell) in other.keys.iter().zip(&other.cells) {
            let number = self.moved(&mut moved, &other.names, key.1);
            self.put((key.0, number), cell);
        }
        self.other.add(&other.other);
        self.error.add(&other.error);
        self.dropped += other.dropped;
        self.bound();
    }

    /// As [`Self::merge`], of cells that are no longer wanted apart.
    pub fn take(&mut self, other: Self) {
        match self.keys.is_empty() && self.dropped == 0 {
            true => *self = other,
            false => self.merge(&other),
        }
        self.forget();
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.forget();
    }

    /// The cells: second, the parts of the name, and what was asked.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Vec<&str>, &Cell)> {
        self.keys.iter().zip(&self.cells).map(|(key, cell)| {
            let name = self.names.get(key.1 as usize).map_or("", AsRef::as_ref);
            (key.0, name.split(SEPARATOR).collect(), cell)
        })
    }

    /// How many times a cell was dropped for lack of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// As it is saved: a bounded table by text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    table: SavedTable,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedTable {
    bound: usize,
    keys: Vec<String>,
    rows: Vec<Cell>,
    other: Cell,
    dropped: u64,
    error: Cell,
}

impl From<Seconds> for Saved {
    fn from(seconds: Seconds) -> Self {
        Saved {
            table: SavedTable {
                bound: CELLS,
                keys: seconds.keys.iter().map(|key| seconds.text(*key)).collect(),
                rows: seconds.cells,
                other: seconds.other,
                dropped: seconds.dropped,
                error: seconds.error,
            },
        }
    }
}

impl From<Saved> for Seconds {
    fn from(saved: Saved) -> Self {
        let table = saved.table;
        let mut seconds = Seconds {
            other: table.other,
            dropped: table.dropped,
            error: table.error,
            ..Seconds::default()
        };
        for (key, cell) in table.keys.iter().zip(&table.rows) {
            // A second that is none was written by nobody of us.
            let Some((second, name)) = key.split_once(SEPARATOR) else {
                continue;
            };
            if let Ok(second) = second.parse() {
                let number = seconds.number(name);
                seconds.put((second, number), cell);
            }
        }
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(ns: u64) -> Cell {
        Cell {
            requests: 1,
            ns,
            unlimited: 0,
        }
    }

    #[test]
    fn a_request_marks_the_seconds_it_spans_and_a_long_one_its_ends() {
        let mut seconds = Seconds::default();
        let name = |key: &mut String| key.push_str("pods");
        seconds.add_span(10_900_000, 12_100_000, 1, &one(5), &name);
        let marked: Vec<i64> = seconds.iter().map(|(second, ..)| second).collect();
        assert_eq!(marked, [10, 11, 12]);
        let mut long = Seconds::default();
        long.add_span(0, 100_000_000, 1, &one(5), &name);
        let marked: Vec<i64> = long.iter().map(|(second, ..)| second).collect();
        assert_eq!(marked, [0, 1, 2, 3, 4, 96, 97, 98, 99, 100]);
    }

    #[test]
    fn what_is_saved_is_read_back() {
        let mut seconds = Seconds::default();
        for at in 0..9_000_i64 {
            let name =
                |key: &mut String| key.push_str(["pods", "events"][usize::from(at % 3 == 0)]);
            seconds.add(at, u64::from(at % 3 == 0), &one(at.unsigned_abs()), name);
        }
        let text = serde_json::to_string(&seconds).unwrap();
        let again: Seconds = serde_json::from_str(&text).unwrap();
        assert!(again.iter().eq(seconds.iter()));
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        assert!(again.dropped() > 0);
    }

    #[test]
    fn cutting_changes_nothing_and_heavy_cells_stay() {
        let name = |key: &mut String| key.push_str("pods");
        let mut whole = Seconds::default();
        let mut parts = [Seconds::default(), Seconds::default()];
        for at in 0..20_000_i64 {
            let ns = if at == 77 { 9_000_000_000 } else { 1_000_000 };
            let part = usize::from(at >= 9_000);
            whole.add(at, 1, &one(ns), name);
            parts[part].add(at, 1, &one(ns), name);
        }
        let [mut first, second] = parts;
        first.merge(&second);
        for seconds in [&whole, &first] {
            assert!(seconds.iter().count() <= CELLS * 3 / 2);
            assert!(seconds.dropped() > 0);
            let heavy = seconds.iter().find(|(at, ..)| *at == 77).unwrap();
            assert_eq!(heavy.2.ns, 9_000_000_000);
        }
    }
}
