//! What was asked second by second: the cells by which slow requests of etcd and clients of
//! kube-apiserver find each other.
//!
//! etcd's side marks the second in which a request began; a client's side marks each second that
//! its request spans, because etcd's work lies somewhere inside.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::logs::event::Shape;

use super::audit::SEPARATOR;
use super::table::{Bounded, RowValue};

/// Cells kept exactly.
const CELLS: usize = 4096;
/// Cells that are found without building their name.
const CACHE: usize = 256;
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
    }
    fn weight(&self) -> u64 {
        self.ns / 1_000_000 + self.requests
    }
}

/// Cells of many seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    table: Bounded<Cell>,
    /// Second, tag and number of cells that were used lately.
    #[serde(skip)]
    cache: Vec<(i64, u64, u32)>,
    /// Reused for the key of a cell.
    #[serde(skip)]
    key: String,
}

impl Default for Seconds {
    fn default() -> Self {
        Seconds {
            table: Bounded::new(CELLS),
            cache: Vec::new(),
            key: String::new(),
        }
    }
}

impl Seconds {
    /// Adds a request. `tag` stands for what `name` writes until [`Self::forget`].
    pub fn add(&mut self, second: i64, tag: u64, cell: &Cell, name: impl FnOnce(&mut String)) {
        if self.cache.is_empty() {
            self.cache.resize(CACHE, (i64::MIN, 0, 0));
        }
        let place = usize::try_from(
            (second.unsigned_abs().wrapping_mul(31)
                ^ tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32)
                % CACHE as u64,
        )
        .unwrap_or(0);
        if let Some((at, known, id)) = self.cache.get(place)
            && (*at, *known) == (second, tag)
            && let Some(row) = self.table.row_mut(*id)
        {
            row.add(cell);
            return;
        }
        let key = &mut self.key;
        key.clear();
        // Writing to a string cannot fail.
        write!(key, "{second}{SEPARATOR}").ok();
        name(key);
        let id = self.table.id(key);
        if let Some(row) = self.table.row_mut(id) {
            row.add(cell);
        }
        if let Some(slot) = self.cache.get_mut(place) {
            *slot = (second, tag, id);
        }
        self.bound();
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
        self.cache.clear();
    }

    fn bound(&mut self) {
        if self.table.is_over() {
            self.table.prune(&[]);
            self.forget();
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.table.merge(&other.table);
        self.bound();
    }

    /// As [`Self::merge`], of cells that are no longer wanted apart.
    pub fn take(&mut self, other: Self) {
        self.table.take(other.table);
        self.bound();
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.table.restore();
        self.forget();
    }

    /// The cells: second, the parts of the name, and what was asked.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Vec<&str>, &Cell)> {
        self.table.iter().filter_map(|(key, cell)| {
            let (second, rest) = key.split_once(SEPARATOR)?;
            Some((second.parse().ok()?, rest.split(SEPARATOR).collect(), cell))
        })
    }

    /// How many times a cell was dropped for lack of room.
    pub fn dropped(&self) -> u64 {
        self.table.dropped()
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
