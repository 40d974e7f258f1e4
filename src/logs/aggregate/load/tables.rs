//! What requests add up to, by resource, shape, namespace, client and prefix.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::Shape;
use crate::units::Bucket;

use crate::logs::aggregate::audit::SEPARATOR;
use crate::logs::aggregate::join::Payload;
use crate::logs::aggregate::row::LoadRow;
use crate::logs::aggregate::seconds::{Cell, Class, Seconds};
use crate::logs::aggregate::spark::minute_of;
use crate::logs::aggregate::table::{Bounded, RowValue};

/// Rows by resource that are kept exactly. A cluster has a few hundred resources.
const RESOURCES: usize = 1024;
/// Rows by namespace and by client.
const NAMES: usize = 1024;
/// Rows by key prefix.
const PREFIXES: usize = 128;
/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// What one request adds to the tables; its lines become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Which lines there were: bit 0 apply, bit 1 trace, bit 2 stats.
    pub(super) lines: u8,
    pub(super) took_apply: u64,
    pub(super) took_other: u64,
    pub(super) stalled: bool,
    pub(super) error: bool,
    /// How well the describing fields are known: apply over stats over trace.
    pub(super) rank: u8,
    pub(super) shape: u8,
    pub(super) unlimited: bool,
    pub(super) resource: u32,
    pub(super) namespace: u32,
    pub(super) prefix: u32,
    pub(super) client: u32,
    pub(super) items_rank: u8,
    pub(super) items: u64,
    pub(super) bytes: u64,
    pub(super) time_us: Option<i64>,
}

impl Payload for Share {
    fn join(&mut self, later: Self) {
        self.lines |= later.lines;
        if later.took_apply > 0 {
            self.took_apply = later.took_apply;
        }
        if self.took_other == 0 {
            self.took_other = later.took_other;
        }
        self.stalled |= later.stalled;
        self.error |= later.error;
        if self.client == NONE {
            self.client = later.client;
        }
        if later.items_rank > self.items_rank {
            (self.items, self.items_rank) = (later.items, later.items_rank);
        }
        if self.bytes == 0 {
            self.bytes = later.bytes;
        }
        if later.rank > self.rank {
            self.rank = later.rank;
            self.shape = later.shape;
            self.unlimited = later.unlimited;
            self.resource = later.resource;
            self.namespace = later.namespace;
            self.prefix = later.prefix;
        }
        self.time_us = self.time_us.or(later.time_us);
    }
}

/// The tables, each keyed by a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// By `resource.group`.
    pub resources: Bounded<LoadRow>,
    /// By namespace.
    pub namespaces: Bounded<LoadRow>,
    /// By client address.
    pub clients: Bounded<LoadRow>,
    /// By key prefix.
    pub prefixes: Bounded<LoadRow>,
    /// By shape, in the order of [`Shape::ALL`].
    pub shapes: Vec<LoadRow>,
    /// All requests.
    pub total: LoadRow,
    /// Requests without an apply line.
    pub without_apply: u64,
    /// Lists and changes by the second in which they began, by resource and class.
    pub seconds: Seconds,
    /// Requests that are not in the tables yet: see [`Tables::settle`].
    #[serde(skip)]
    cells: Cells,
}

/// Most cells. A cluster's usual resources and shapes are fewer; what finds no cell goes into the
/// tables at once.
const CELLS: usize = 256;

/// Sums by resource, shape and prefix, from which four tables are made in the end: adding a
/// request to one row instead of four.
#[derive(Clone, Debug, Default)]
struct Cells {
    /// The cell of a resource and shape, from 1 on.
    index: Vec<u16>,
    cells: Vec<Sums>,
}

#[derive(Clone, Debug)]
struct Sums {
    resource: u32,
    prefix: u32,
    shape: u8,
    row: LoadRow,
}

impl Cells {
    /// The cell's row, unless there is no room for it.
    #[inline]
    fn row(&mut self, share: &Share) -> Option<&mut LoadRow> {
        let shapes = Shape::ALL.len();
        let shape = usize::from(share.shape);
        let resource = share.resource as usize;
        if shape >= shapes || resource >= RESOURCES {
            return None;
        }
        let at = resource * shapes + shape;
        let known = self.index.get(at).copied().unwrap_or(0);
        let number = match known {
            0 => self.make(at, share)?,
            known => known,
        };
        let cell = self.cells.get_mut(usize::from(number) - 1)?;
        (cell.prefix == share.prefix).then_some(&mut cell.row)
    }

    fn make(&mut self, at: usize, share: &Share) -> Option<u16> {
        if self.cells.len() >= CELLS {
            return None;
        }
        self.cells.push(Sums {
            resource: share.resource,
            prefix: share.prefix,
            shape: share.shape,
            row: LoadRow::default(),
        });
        if self.index.len() <= at {
            self.index.resize(at + 1, 0);
        }
        let number = u16::try_from(self.cells.len()).ok()?;
        *self.index.get_mut(at)? = number;
        Some(number)
    }
}

/// What a request adds to a row, worked out once for all rows.
struct Sum<'s> {
    share: &'s Share,
    shape: Shape,
    took: u64,
    bucket: Bucket,
    minute: Option<i64>,
}

impl<'s> Sum<'s> {
    fn of(share: &'s Share) -> Self {
        let took = if share.took_apply > 0 {
            share.took_apply
        } else {
            share.took_other
        };
        Sum {
            share,
            shape: Shape::ALL
                .get(usize::from(share.shape))
                .copied()
                .unwrap_or(Shape::Other),
            took,
            bucket: Bucket::of_ns(took),
            minute: share.time_us.map(|us| minute_of(Timestamp(us))),
        }
    }

    fn add_to(&self, row: &mut LoadRow) {
        let Sum { share, took, .. } = *self;
        row.requests += 1;
        row.count_shape(self.shape);
        row.slow_ns = row.slow_ns.saturating_add(took);
        match self.shape {
            _ if share.stalled => {
                row.stalled += 1;
                row.stalled_ns = row.stalled_ns.saturating_add(took);
            }
            Shape::List | Shape::Page => {
                row.list_slow_ns = row.list_slow_ns.saturating_add(took);
            }
            Shape::Get => {
                row.get_slow_ns = row.get_slow_ns.saturating_add(took);
            }
            Shape::Create | Shape::Update | Shape::Delete => {
                row.write_slow_ns = row.write_slow_ns.saturating_add(took);
            }
            _ => {}
        }
        row.unlimited += u64::from(share.unlimited);
        row.errors += u64::from(share.error);
        row.items = row.items.saturating_add(share.items);
        row.bytes = row.bytes.saturating_add(share.bytes);
        row.max_bytes = row.max_bytes.max(share.bytes);
        row.took.record(took, self.bucket);
        if let Some(minute) = self.minute {
            row.spark.add_minute(minute, &1);
        }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            resources: Bounded::new(RESOURCES),
            namespaces: Bounded::new(NAMES),
            clients: Bounded::new(NAMES),
            prefixes: Bounded::new(PREFIXES),
            shapes: vec![LoadRow::default(); Shape::ALL.len()],
            total: LoadRow::default(),
            without_apply: 0,
            seconds: Seconds::default(),
            cells: Cells::default(),
        }
    }
}

impl Tables {
    pub(super) fn add(&mut self, share: &Share) {
        if share.lines & 1 == 0 {
            self.without_apply += 1;
        }
        let sum = Sum::of(share);
        self.second(share, &sum);
        // No loop over these: it costs more than what it saves.
        if let Some(row) = self.namespaces.row_mut(share.namespace) {
            sum.add_to(row);
        }
        if let Some(row) = self.clients.row_mut(share.client) {
            sum.add_to(row);
        }
        if let Some(row) = self.cells.row(share) {
            sum.add_to(row);
            return;
        }
        let rows = [
            self.resources.row_mut(share.resource),
            self.prefixes.row_mut(share.prefix),
            self.shapes.get_mut(usize::from(share.shape)),
            Some(&mut self.total),
        ];
        for row in rows.into_iter().flatten() {
            sum.add_to(row);
        }
    }

    /// Marks the second in which a list or a change began.
    fn second(&mut self, share: &Share, sum: &Sum<'_>) {
        // A request that waited for its leader was slow whoever sent it.
        if let Some(us) = share.time_us.filter(|_| !share.stalled)
            && let Some(class @ (Class::List | Class::Write)) = Class::of_shape(sum.shape)
        {
            let began = us.saturating_sub(i64::try_from(sum.took / 1_000).unwrap_or(i64::MAX));
            let cell = Cell {
                requests: 1,
                ns: sum.took,
                unlimited: u64::from(share.unlimited),
            };
            let resources = &self.resources;
            self.seconds.add(
                began.div_euclid(1_000_000),
                u64::from(share.resource) << 2 | class as u64,
                &cell,
                |key| {
                    key.push_str(resources.key(share.resource).unwrap_or_default());
                    key.push(SEPARATOR);
                    key.push_str(class.word());
                },
            );
        }
    }

    /// Puts what is in the cells into the tables. Due before these are read, saved or renumbered.
    pub(super) fn settle(&mut self) {
        for cell in std::mem::take(&mut self.cells).cells {
            let rows = [
                self.resources.row_mut(cell.resource),
                self.prefixes.row_mut(cell.prefix),
                self.shapes.get_mut(usize::from(cell.shape)),
                Some(&mut self.total),
            ];
            for row in rows.into_iter().flatten() {
                row.add(&cell.row);
            }
        }
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: &Self) -> Renumbering {
        let map = Renumbering {
            resources: self.resources.merge(&other.resources),
            namespaces: self.namespaces.merge(&other.namespaces),
            clients: self.clients.merge(&other.clients),
            prefixes: self.prefixes.merge(&other.prefixes),
        };
        for (row, add) in self.shapes.iter_mut().zip(&other.shapes) {
            row.add(add);
        }
        self.total.add(&other.total);
        self.without_apply += other.without_apply;
        self.seconds.merge(&other.seconds);
        map
    }

    pub(super) fn restore(&mut self) {
        self.resources.restore();
        self.namespaces.restore();
        self.clients.restore();
        self.prefixes.restore();
        self.seconds.restore();
    }
}

/// New numbers of rows, by old number.
pub(super) struct Renumbering {
    pub(super) resources: Vec<u32>,
    namespaces: Vec<u32>,
    clients: Vec<u32>,
    prefixes: Vec<u32>,
}

impl Renumbering {
    pub(super) fn apply(&self, share: &mut Share) {
        share.resource = new_id(&self.resources, share.resource);
        share.namespace = new_id(&self.namespaces, share.namespace);
        share.client = new_id(&self.clients, share.client);
        share.prefix = new_id(&self.prefixes, share.prefix);
    }
}

pub(super) fn new_id(map: &[u32], id: u32) -> u32 {
    map.get(id as usize).copied().unwrap_or(NONE)
}
