//! What a thread remembers from line to line: what keys mean, and the rows of names.
//!
//! Everything is bounded, and what is looked up for each line stands in whole lines of the
//! processor's cache.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::logs::needle::same;

use super::table::{Bounded, RowValue};

/// What a key was found to mean, in the numbers of one piece's tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meaning {
    /// Place of the shape in the list of shapes.
    pub shape: u8,
    /// Row of the resource.
    pub resource: u32,
    /// Row of the namespace.
    pub namespace: u32,
    /// Row of the prefix.
    pub prefix: u32,
}

/// Names of rows, by a number that outlives the tables. The rows of one piece are looked up once.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16, FixedState>,
    /// In which piece the row was looked up, and which it is there.
    rows: Vec<(u32, u32)>,
}

impl Names {
    fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u16::try_from(self.names.len()).unwrap_or(NO_NAME);
        self.names.push(name.into());
        self.rows.push((0, 0));
        self.numbers.insert(name.into(), number);
        number
    }

    /// The row of a name in the piece `epoch`.
    #[inline]
    fn row(&mut self, number: u16, epoch: u32, find: impl FnOnce(&str) -> u32) -> u32 {
        let at = usize::from(number);
        let Some(known) = self.rows.get_mut(at) else {
            return NOTHING;
        };
        if known.0 != epoch {
            let Some(name) = self.names.get(at) else {
                return NOTHING;
            };
            *known = (epoch, find(name));
        }
        known.1
    }
}

/// No name, and no row.
const NO_NAME: u16 = u16::MAX;
const NOTHING: u32 = u32::MAX;

/// Small, so that many stand in the processor's cache.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u64,
    /// Whether the names are known: see [`Meanings::set`].
    named: bool,
    shape: u8,
    resource: u16,
    namespace: u16,
    prefix: u16,
}

/// In how many places a meaning may stand.
const WAYS: usize = 4;
/// Those places together, which are one line of the processor's cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([Place; WAYS]);
/// How many sets there are.
const SETS: usize = 4 * 1024;
/// How many names are; with more, all is forgotten.
const NAMES: usize = 4 * 1024;
/// Longest name that is remembered, so that strange keys take no room.
const NAME_MAX: usize = 256;

/// Remembered meanings, by hash, each in one of few places. A thread takes them along from piece
/// to piece ([`Self::renumber`]): a new piece has the same names and only other numbers for them.
#[derive(Clone, Debug)]
pub struct Meanings {
    epoch: u32,
    sets: Vec<Set>,
    resources: Names,
    namespaces: Names,
    prefixes: Names,
}

impl Default for Meanings {
    fn default() -> Self {
        Meanings {
            epoch: 1,
            sets: Vec::new(),
            resources: Names::default(),
            namespaces: Names::default(),
            prefixes: Names::default(),
        }
    }
}

/// The tables that a meaning has rows in.
pub struct Rows<'t, R> {
    /// By resource.
    pub resources: &'t mut Bounded<R>,
    /// By namespace.
    pub namespaces: &'t mut Bounded<R>,
    /// By prefix.
    pub prefixes: &'t mut Bounded<R>,
}

impl Meanings {
    /// The meaning remembered for a hash, which is never 0.
    #[inline]
    pub fn get<R: RowValue>(&mut self, hash: u64, rows: &mut Rows<'_, R>) -> Option<Meaning> {
        let set = self.sets.get(set_of(hash))?;
        let place = *set.0.iter().find(|known| known.hash == hash)?;
        if !place.named {
            return None;
        }
        let epoch = self.epoch;
        Some(Meaning {
            shape: place.shape,
            // In this order new rows were always made.
            resource: self
                .resources
                .row(place.resource, epoch, |name| rows.resources.id(name)),
            namespace: self
                .namespaces
                .row(place.namespace, epoch, |name| rows.namespaces.id(name)),
            prefix: self
                .prefixes
                .row(place.prefix, epoch, |name| rows.prefixes.id(name)),
        })
    }

    /// Remembers a meaning. At first only that it was met: in a log of a million names most are
    /// never met again, and their texts would be kept for nothing.
    pub fn set(
        &mut self,
        hash: u64,
        shape: u8,
        resource: &str,
        namespace: Option<&str>,
        prefix: Option<&str>,
    ) {
        if self.sets.is_empty() {
            self.sets.resize(SETS, Set::default());
        }
        let set = self.sets.get(set_of(hash)).copied().unwrap_or_default();
        let known = set.0.iter().position(|known| known.hash == hash);
        // A place that is free, else one that its hash picks.
        let free = set.0.iter().position(|known| known.hash == 0);
        let way = known.or(free).unwrap_or((hash >> 60) as usize % WAYS);
        let mut new = Place {
            hash,
            ..Place::default()
        };
        let names = [Some(resource), namespace, prefix];
        let short = names
            .into_iter()
            .flatten()
            .all(|name| name.len() <= NAME_MAX);
        if known.is_some() && short {
            let count = [&self.resources, &self.namespaces, &self.prefixes]
                .into_iter()
                .map(|names| names.names.len())
                .max();
            if count.is_some_and(|count| count >= NAMES) {
                *self = Meanings {
                    epoch: self.epoch,
                    ..Meanings::default()
                };
                self.sets.resize(SETS, Set::default());
            }
            let number = |names: &mut Names, name: Option<&str>| {
                name.map_or(NO_NAME, |name| names.number(name))
            };
            new = Place {
                hash,
                named: true,
                shape,
                resource: self.resources.number(resource),
                namespace: number(&mut self.namespaces, namespace),
                prefix: number(&mut self.prefixes, prefix),
            };
        }
        if let Some(set) = self.sets.get_mut(set_of(hash))
            && let Some(place) = set.0.get_mut(way)
        {
            *place = new;
        }
    }

    /// The tables' rows have got new numbers, or the tables are new.
    pub fn renumber(&mut self) {
        match self.epoch.checked_add(1) {
            Some(next) => self.epoch = next,
            None => *self = Meanings::default(),
        }
    }
}

/// The set that a hash may stand in.
#[inline]
fn set_of(hash: u64) -> usize {
    usize::try_from(hash % SETS as u64).unwrap_or(0)
}

/// What a thread remembers from line to line, whatever piece they are of.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What keys mean.
    pub meanings: Meanings,
    /// The last `expected-duration` text and its value: lines hardly ever differ in it.
    pub expected: (Vec<u8>, Option<u64>),
    /// Rows of clients in the present piece, by address and port.
    pub clients: Recent,
    /// Rows of namespaces in the present piece.
    pub namespaces: Recent,
}

impl Memory {
    /// The tables' rows have got new numbers, or the tables are new.
    pub fn renumber(&mut self) {
        self.meanings.renumber();
        self.clients.forget();
        self.namespaces.forget();
    }
}

/// How many texts are remembered.
const TEXTS: usize = 128;
/// Longest text that is: all of a namespace's names but the longest, and of addresses with a port.
const TEXT_MAX: usize = 59;

/// One line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Text {
    text: [u8; TEXT_MAX],
    len: u8,
    row: u32,
}

/// Rows of the texts that were met lately, as they stand in the line.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    rows: Vec<Text>,
}

impl Recent {
    /// The row of a text, if it is remembered.
    #[inline]
    pub fn get(&self, text: &[u8]) -> Option<u32> {
        let known = self.rows.get(slot(text))?;
        let have = known.text.get(..usize::from(known.len))?;
        (known.row != NOTHING && same(have, text)).then_some(known.row)
    }

    /// Remembers a row.
    pub fn put(&mut self, text: &[u8], row: u32) {
        if self.rows.is_empty() {
            let nothing = Text {
                text: [0; TEXT_MAX],
                len: 0,
                row: NOTHING,
            };
            self.rows.resize(TEXTS, nothing);
        }
        if let Some(known) = self.rows.get_mut(slot(text))
            && let Some(room) = known.text.get_mut(..text.len())
        {
            room.copy_from_slice(text);
            (known.len, known.row) = (u8::try_from(text.len()).unwrap_or(0), row);
        }
    }

    /// The rows have got new numbers, or the tables are new.
    pub fn forget(&mut self) {
        self.rows.clear();
    }
}

/// Texts differ most in their last bytes.
#[inline]
fn slot(text: &[u8]) -> usize {
    let last = match (
        text.last_chunk(),
        text.first_chunk::<4>(),
        text.last_chunk::<4>(),
    ) {
        (Some(last), ..) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => text
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let hash = last
        .wrapping_add(text.len() as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(hash >> 32).unwrap_or(0) % TEXTS
}
