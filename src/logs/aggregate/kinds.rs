//! How often each kind of message was seen, with its extremes.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::table::{Bounded, RowValue};

/// Most kinds: more than the catalogue holds.
const KINDS: usize = 1024;

/// Kinds whose rows are remembered.
const RECENT: usize = 64;

fn none_recent() -> [(usize, u32); RECENT] {
    [(0, 0); RECENT]
}

/// All records of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KindRow {
    /// Records, repeats included.
    pub count: u64,
    /// Earliest one with a time.
    pub first: Option<Timestamp>,
    /// Latest one with a time.
    pub last: Option<Timestamp>,
    /// Records that name a duration.
    pub timed: u64,
    /// The longest duration in nanoseconds.
    pub max_ns: u64,
    /// Sum of durations in nanoseconds.
    pub sum_ns: u64,
}

impl RowValue for KindRow {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.first = earliest(self.first, other.first);
        self.last = self.last.max(other.last);
        self.timed += other.timed;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    fn raise(&mut self, other: &Self) {
        self.count = self.count.max(other.count);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns = self.sum_ns.max(other.sum_ns);
    }

    fn weight(&self) -> u64 {
        self.count
    }
}

/// The earlier of two points that may be unknown.
pub fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Records by kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kinds {
    table: Bounded<KindRow>,
    /// Where the rows of the latest kinds are, by the address of the kind's text.
    #[serde(skip, default = "none_recent")]
    recent: [(usize, u32); RECENT],
}

impl Default for Kinds {
    fn default() -> Self {
        Kinds {
            table: Bounded::new(KINDS),
            recent: none_recent(),
        }
    }
}

impl Kinds {
    /// Counts a record.
    pub fn add(
        &mut self,
        kind: &'static str,
        time: Option<Timestamp>,
        repeats: u64,
        took_ns: Option<u64>,
    ) {
        let address = kind.as_ptr() as usize;
        let first = (address >> 2 ^ address >> 7 ^ address >> 13) % RECENT;
        let known = |at: usize| {
            let (known, id) = self.recent.get(at)?;
            (*known == address).then_some(*id)
        };
        let id = match known(first).or_else(|| known(first ^ 1)) {
            Some(id) => id,
            None => {
                let id = self.table.id(kind);
                let free = |at: &usize| self.recent.get(*at).is_some_and(|slot| slot.0 == 0);
                let at = [first, first ^ 1].into_iter().find(free).unwrap_or(first);
                if let Some(recent) = self.recent.get_mut(at) {
                    *recent = (address, id);
                }
                id
            }
        };
        let Some(row) = self.table.row_mut(id) else {
            return;
        };
        row.count += repeats;
        if time.is_some() {
            row.first = earliest(row.first, time);
            row.last = row.last.max(time);
        }
        if let Some(ns) = took_ns {
            row.timed += 1;
            row.max_ns = row.max_ns.max(ns);
            row.sum_ns = row.sum_ns.saturating_add(ns);
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.table.merge(&other.table);
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.table.restore();
    }

    /// The kinds, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &KindRow)> {
        self.table.iter()
    }

    /// A kind's row.
    pub fn get(&self, kind: &str) -> Option<&KindRow> {
        self.table.get(kind)
    }
}
