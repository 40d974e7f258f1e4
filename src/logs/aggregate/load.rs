//! The load that logged requests show: tables by resource, shape, namespace, client and prefix.

use serde::{Deserialize, Serialize};

use crate::catalog::resources::RowKey;
use crate::clock::Timestamp;
use crate::logs::event::{Event, Operation, Request, Shape};
use crate::logs::head::Head;
use crate::logs::needle::same;
use crate::logs::record::{Level, Outer, Record};
use crate::logs::request::parse_request;
use crate::logs::signature::{Detail, TraceSteps, classify};
use crate::units::{Bucket, parse_go_duration};

use super::audit::SEPARATOR;
use super::hash::{mixed, stable_hash};
use super::hot::{HotCall, HotRange, HotTrace, folder_of, in_namespace, is_free, is_plain};
use super::join::{Item, Joiner, LineKind, Payload};
use super::memory::{Meaning, Memory, Rows};
use super::pages::{PageLine, Pages};
use super::row::LoadRow;
use super::sampling::{Estimate, Sampled, Writers};
use super::seconds::{Cell, Class, Seconds};
use super::spark::minute_of;
use super::table::{Bounded, RowValue};

/// Rows by resource that are kept exactly. A cluster has a few hundred resources.
const RESOURCES: usize = 1024;
/// Rows by namespace and by client.
const NAMES: usize = 1024;
/// Rows by key prefix.
const PREFIXES: usize = 128;
/// No row.
const NONE: u32 = u32::MAX;
/// A threshold up to this logs every request: lab settings use 1 ns.
const COMPLETE_NS: u64 = 1_000;

/// What one request adds to the tables; its lines become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Which lines there were: bit 0 apply, bit 1 trace, bit 2 stats.
    lines: u8,
    took_apply: u64,
    took_other: u64,
    stalled: bool,
    error: bool,
    /// How well the describing fields are known: apply over stats over trace.
    rank: u8,
    shape: u8,
    unlimited: bool,
    resource: u32,
    namespace: u32,
    prefix: u32,
    client: u32,
    items_rank: u8,
    items: u64,
    bytes: u64,
    time_us: Option<i64>,
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
    fn add(&mut self, share: &Share) {
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
    fn settle(&mut self) {
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
    fn merge(&mut self, other: &Self) -> Renumbering {
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

    fn restore(&mut self) {
        self.resources.restore();
        self.namespaces.restore();
        self.clients.restore();
        self.prefixes.restore();
        self.seconds.restore();
    }
}

/// New numbers of rows, by old number.
struct Renumbering {
    resources: Vec<u32>,
    namespaces: Vec<u32>,
    clients: Vec<u32>,
    prefixes: Vec<u32>,
}

impl Renumbering {
    fn apply(&self, share: &mut Share) {
        share.resource = new_id(&self.resources, share.resource);
        share.namespace = new_id(&self.namespaces, share.namespace);
        share.client = new_id(&self.clients, share.client);
        share.prefix = new_id(&self.prefixes, share.prefix);
    }
}

/// What the lines about one range have in common.
#[inline]
fn range_hash(key: &[u8], range_end: &[u8]) -> u64 {
    stable_hash(
        stable_hash(u64::from(Operation::Range.number()), key),
        range_end,
    )
}

fn new_id(map: &[u32], id: u32) -> u32 {
    map.get(id as usize).copied().unwrap_or(NONE)
}

/// Requests of one stream: joined, counted, estimated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    joiner: Joiner<Share>,
    tables: Tables,
    pages: Pages,
    /// Lines by kind that go through zap's sampler: apply, trace (3.7), stats. Those of a writer
    /// without a name.
    sampled: [Sampled; 3],
    /// The same of each writer that has one: every process has a sampler of its own.
    #[serde(default, skip_serializing_if = "Writers::is_empty")]
    writers: Writers,
    /// Apply lines that do not: capnslog and the journald writer.
    unsampled_apply: u64,
    /// Smallest and largest threshold that a line named, in nanoseconds.
    threshold_ns: Option<(u64, u64)>,
    /// Lines about etcd's own requests (member attributes, cluster version).
    own_lines: u64,
    /// Request lines at debug level: then every request is logged.
    debug_lines: u64,
    #[serde(skip)]
    memory: Memory,
}

/// Who wrote a line, as far as it matters for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Which of the stream's writers; 0 where no wrapper names it.
    pub id: u32,
    /// Whether it samples.
    pub samples: bool,
}

impl Writer {
    /// The writer of zap's lines without a wrapper that says anything of it.
    pub const BARE: Writer = Writer {
        id: 0,
        samples: true,
    };

    /// The writer of a zap line.
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one too")]
    pub fn of(outer: &Outer<'_>) -> Self {
        let id = match outer.writer {
            0 => 0,
            hash => ((hash ^ hash >> 32) as u32).max(1),
        };
        Writer {
            id,
            samples: !outer.unsampled,
        }
    }
}

/// By what a meaning is remembered.
#[derive(Clone, Copy, Debug)]
struct Label {
    hash: u64,
    /// Whether it says nothing of the namespace.
    free: bool,
}

/// What a stream's requests come to, with nothing open.
#[derive(Clone, Debug, Default)]
pub struct LoadView {
    /// The tables.
    pub tables: Tables,
    /// Request lines.
    pub lines: u64,
    /// How many requests passed the threshold.
    pub estimate: Estimate,
    /// Smallest and largest threshold that a line named, in nanoseconds.
    pub threshold_ns: Option<(u64, u64)>,
    /// Whether the log holds every request and not only slow ones.
    pub complete: bool,
}

impl Load {
    /// Adds a line about a request. `one_message` says whether a trace has no number in its
    /// message (3.7), so that traces are sampled too. Returns whether it was one.
    pub fn add(&mut self, event: &Event<'_>, writer: Writer, one_message: bool) -> bool {
        let Some(kind) = kind_of(event) else {
            return false;
        };
        let lost;
        let request = match &event.request {
            Some(request) => request,
            // Its text was cut off: a request all the same.
            None if kind == LineKind::Apply => {
                lost = Request::of(Operation::Unknown, Shape::Other);
                &lost
            }
            None => return false,
        };
        if request.operation == Operation::ReadIndex {
            return false;
        }
        self.note(event, kind, writer, one_message);
        if matches!(request.operation, Operation::V2 | Operation::Cluster(_)) {
            // etcd's own bookkeeping at a start, which nobody asked for.
            self.own_lines += 1;
            return false;
        }
        let item = item(event, request, kind, writer.id);
        let share = self.share(event, request, kind);
        let tables = &mut self.tables;
        self.joiner
            .add(item, share, &mut |share: Share| tables.add(&share));
        true
    }

    /// Adds a slow range that was read by position. The result is that of [`Self::add`] for the
    /// same line.
    pub fn add_hot(&mut self, head: &Head<'_>, range: &HotRange<'_>, writer: Writer) {
        let expected = &mut self.memory.expected;
        if !same(&expected.0, range.expected) {
            *expected = (range.expected.to_vec(), parse_go_duration(range.expected));
        }
        if let Some(ns) = expected.1 {
            let (low, high) = self.threshold_ns.unwrap_or((ns, ns));
            self.threshold_ns = Some((low.min(ns), high.max(ns)));
        }
        self.debug_lines += u64::from(head.level == Level::Debug);
        self.sample(LineKind::Apply, head.time, writer);
        let hash = range_hash(range.key, range.range_end);
        // A limit of 1 makes a probe or a get by another client, so it belongs to the meaning.
        let variant = u64::from(range.options) | u64::from(range.limit == Some(1)) << 16;
        let known = self.recall(variant, hash, (range.key, range.range_end));
        let known =
            known.unwrap_or_else(|class| self.remember(class, &parse_request(range.request)));
        let shape = Shape::ALL.get(usize::from(known.shape)).copied();
        let is_page = shape == Some(Shape::Page);
        if (is_page || (shape == Some(Shape::List) && range.limit.is_some()))
            && let Some(at) = head.time
            && !range.range_end.is_empty()
        {
            self.page(range.range_end, is_page, at.0, known.resource);
        }
        let share = Share {
            lines: 1,
            took_apply: range.took_ns,
            took_other: range.took_ns,
            stalled: false,
            error: false,
            rank: 3,
            shape: known.shape,
            unlimited: shape == Some(Shape::List) && range.limit.is_none(),
            resource: known.resource,
            namespace: known.namespace,
            prefix: known.prefix,
            client: NONE,
            items_rank: 3,
            items: range.count,
            bytes: range.size,
            time_us: head.time.map(|at| at.0),
        };
        let item = Item {
            kind: LineKind::Apply,
            key: Some(hash),
            txn: false,
            writer: writer.id,
            time_us: share.time_us,
            took_us: i64::try_from(range.took_ns / 1000).unwrap_or(i64::MAX),
        };
        let tables = &mut self.tables;
        self.joiner
            .add(item, share, &mut |share: Share| tables.add(&share));
    }

    /// What a key means, remembered by all that decides it; without a record, only if it was met.
    fn known(
        &mut self,
        record: Option<&Record<'_>>,
        variant: u64,
        hash: u64,
        range: (&[u8], &[u8]),
    ) -> Option<Meaning> {
        match self.recall(variant, hash, range) {
            Ok(known) => Some(known),
            Err(class) => {
                let event = classify(record?, Detail::Counts)?;
                Some(self.remember(class, event.request.as_ref()?))
            }
        }
    }

    /// What a key meant when it was met before, or what to remember it by. `hash` is that of key
    /// and range end.
    #[inline]
    fn recall(
        &mut self,
        variant: u64,
        hash: u64,
        (key, range_end): (&[u8], &[u8]),
    ) -> Result<Meaning, Label> {
        let mut free = None;
        if let Some((folder, namespace)) = in_namespace(key, range_end) {
            let class = stable_hash(variant << 2 | 2, folder).max(1);
            free = Some((class, folder, namespace));
            if let Some(known) = self.remembered(class)
                && let Some(row) = self.plain_namespace(namespace)
            {
                return Ok(Meaning {
                    namespace: row,
                    ..known
                });
            }
        }
        let own = match folder_of(key, range_end) {
            Some(folder) => stable_hash(variant << 2 | 1, folder),
            None => mixed(hash, variant << 2),
        };
        let own = own.max(1);
        self.remembered(own).ok_or_else(|| {
            // What does not depend on the namespace is remembered once for all of them.
            match free {
                Some((class, folder, namespace))
                    if is_plain(namespace) && is_free(key, folder, namespace) =>
                {
                    Label {
                        hash: class,
                        free: true,
                    }
                }
                _ => Label {
                    hash: own,
                    free: false,
                },
            }
        })
    }

    /// The row of a namespace, unless its name may mean something else in a key.
    #[inline]
    fn plain_namespace(&mut self, namespace: &[u8]) -> Option<u32> {
        if let Some(row) = self.memory.namespaces.get(namespace) {
            return Some(row);
        }
        if !is_plain(namespace) {
            return None;
        }
        let name = std::str::from_utf8(namespace).ok()?;
        let row = self.tables.namespaces.id(name);
        self.memory.namespaces.put(namespace, row);
        Some(row)
    }

    #[inline]
    fn remembered(&mut self, class: u64) -> Option<Meaning> {
        let tables = &mut self.tables;
        let mut rows = Rows {
            resources: &mut tables.resources,
            namespaces: &mut tables.namespaces,
            prefixes: &mut tables.prefixes,
        };
        self.memory.meanings.get(class, &mut rows)
    }

    fn remember(&mut self, class: Label, request: &Request<'_>) -> Meaning {
        let found = self.meaning_of(request);
        let namespace = request.parts.namespace.as_deref();
        self.memory.meanings.set(
            class.hash,
            found.shape,
            self.tables
                .resources
                .key(found.resource)
                .unwrap_or_default(),
            namespace.filter(|_| !class.free),
            Some(&*request.parts.prefix).filter(|prefix| !prefix.is_empty()),
        );
        found
    }

    /// Whether tables have outgrown their bounds.
    pub fn is_over(&self) -> bool {
        let tables = &self.tables;
        [
            &tables.resources,
            &tables.namespaces,
            &tables.clients,
            &tables.prefixes,
        ]
        .iter()
        .any(|table| table.is_over())
    }

    /// See `Tables::settle`.
    pub fn settle(&mut self) {
        self.tables.settle();
    }

    /// Lays the lines of sampled messages into windows.
    pub fn lay(&mut self) {
        self.sampled.iter_mut().for_each(Sampled::lay);
        self.writers.lay();
    }

    /// Takes over what the thread learnt in earlier pieces.
    pub fn lend(&mut self, memory: Memory) {
        self.memory = memory;
        self.memory.renumber();
    }

    /// Gives back what was lent.
    pub fn reclaim(&mut self) -> Memory {
        std::mem::take(&mut self.memory)
    }

    /// Adds a traced range that was read by position. The result is that of [`Self::add`] for
    /// the same line. `false` means that nothing was done; a key that was not met before needs
    /// the record.
    pub fn add_hot_trace(
        &mut self,
        head: &Head<'_>,
        range: &HotTrace<'_>,
        writer: Writer,
        record: Option<&Record<'_>>,
    ) -> bool {
        let TraceSteps {
            agreement_ns,
            counted,
            from_disk,
        } = range.steps;
        let variant = 1 << 40
            | u64::from(counted)
            | u64::from(from_disk) << 1
            | u64::from(range.count == 0) << 2;
        let hash = range_hash(range.key, range.range_end);
        let Some(known) = self.known(record, variant, hash, (range.key, range.range_end)) else {
            return false;
        };
        self.debug_lines += u64::from(head.level == Level::Debug);
        let share = Share {
            lines: 2,
            took_apply: 0,
            took_other: range.took_ns,
            stalled: agreement_ns.is_some_and(|ns| ns > 0 && ns.saturating_mul(2) >= range.took_ns),
            error: false,
            rank: 1,
            shape: known.shape,
            unlimited: is_shape(known, Shape::List),
            resource: known.resource,
            namespace: known.namespace,
            prefix: known.prefix,
            client: NONE,
            items_rank: 2,
            items: range.count,
            bytes: 0,
            time_us: head.time.map(|at| at.0),
        };
        let line = (LineKind::Trace, writer.id);
        self.join_range(line, share, hash, range.range_end, None);
        true
    }

    /// Adds a range's call that was read by position. The result is that of [`Self::add`] for
    /// the same line. `false` as of [`Self::add_hot_trace`].
    pub fn add_hot_call(
        &mut self,
        head: &Head<'_>,
        range: &HotCall<'_>,
        writer: Writer,
        record: Option<&Record<'_>>,
    ) -> bool {
        let variant = 1 << 41 | u64::from(range.options) | u64::from(range.limit == Some(1)) << 16;
        let hash = range_hash(range.key, range.range_end);
        let Some(known) = self.known(record, variant, hash, (range.key, range.range_end)) else {
            return false;
        };
        self.debug_lines += u64::from(head.level == Level::Debug);
        self.sample(LineKind::Stats, head.time, writer);
        let is_count = is_shape(known, Shape::Count);
        let items = range
            .limit
            .map_or(range.count, |limit| range.count.min(limit));
        let client = match self.memory.clients.get(range.remote) {
            Some(row) => row,
            None => {
                let remote = std::str::from_utf8(range.remote).unwrap_or_default();
                let row = self.tables.clients.id(host_of(remote));
                self.memory.clients.put(range.remote, row);
                row
            }
        };
        let share = Share {
            lines: 4,
            took_apply: 0,
            took_other: range.took_ns,
            stalled: false,
            error: false,
            rank: 2,
            shape: known.shape,
            unlimited: is_shape(known, Shape::List) && range.limit.is_none(),
            resource: known.resource,
            namespace: known.namespace,
            prefix: known.prefix,
            client,
            items_rank: u8::from(!is_count),
            items: if is_count { 0 } else { items },
            bytes: range.size,
            time_us: head.time.map(|at| at.0),
        };
        let line = (LineKind::Stats, writer.id);
        self.join_range(line, share, hash, range.range_end, range.limit);
        true
    }

    fn join_range(
        &mut self,
        (kind, writer): (LineKind, u32),
        share: Share,
        hash: u64,
        range_end: &[u8],
        limit: Option<u64>,
    ) {
        let shape = Shape::ALL.get(usize::from(share.shape)).copied();
        let is_page = shape == Some(Shape::Page);
        if (is_page || (shape == Some(Shape::List) && limit.is_some()))
            && let Some(us) = share.time_us
            && !range_end.is_empty()
        {
            self.page(range_end, is_page, us, share.resource);
        }
        let item = Item {
            kind,
            key: Some(hash),
            txn: false,
            writer,
            time_us: share.time_us,
            took_us: i64::try_from(share.took_other / 1000).unwrap_or(i64::MAX),
        };
        let tables = &mut self.tables;
        self.joiner
            .add(item, share, &mut |share: Share| tables.add(&share));
    }

    /// Rows and shape of a request.
    fn meaning_of(&mut self, request: &Request<'_>) -> Meaning {
        let shape = Shape::ALL
            .iter()
            .position(|shape| *shape == request.shape)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(u8::MAX);
        let resource = self.resource(request);
        let tables = &mut self.tables;
        let namespace = request.parts.namespace.as_deref();
        let namespace = optional_id(&mut tables.namespaces, namespace);
        let prefix = Some(&*request.parts.prefix).filter(|prefix| !prefix.is_empty());
        let prefix = optional_id(&mut tables.prefixes, prefix);
        Meaning {
            shape,
            resource,
            namespace,
            prefix,
        }
    }

    fn page(&mut self, range_end: &[u8], is_page: bool, time_us: i64, resource: u32) {
        let orphan = self.pages.add(PageLine {
            range: stable_hash(0, range_end),
            is_page,
            time_us,
            resource,
        });
        if orphan {
            self.count_orphans(resource, 1);
        }
    }

    /// Threshold, level and sampling.
    fn note(&mut self, event: &Event<'_>, kind: LineKind, writer: Writer, one_message: bool) {
        if kind == LineKind::Apply
            && let Some(ns) = event.expected_ns
        {
            let (low, high) = self.threshold_ns.unwrap_or((ns, ns));
            self.threshold_ns = Some((low.min(ns), high.max(ns)));
        }
        if event.level == Level::Debug {
            self.debug_lines += 1;
        }
        let samples = writer.samples && (one_message || kind != LineKind::Trace);
        self.sample(kind, event.time, Writer { samples, ..writer });
    }

    #[inline]
    fn sample(&mut self, kind: LineKind, time: Option<Timestamp>, writer: Writer) {
        let slot = match kind {
            LineKind::Apply => 0,
            LineKind::Trace => 1,
            LineKind::Stats => 2,
        };
        match (time, self.sampled.get_mut(slot)) {
            (Some(at), Some(sampled)) if writer.samples && writer.id == 0 => sampled.add(at.0),
            (Some(at), _) if writer.samples && self.writers.add(writer.id, slot, at.0) => {}
            _ if kind == LineKind::Apply => self.unsampled_apply += 1,
            _ => {}
        }
    }

    fn share(&mut self, event: &Event<'_>, request: &Request<'_>, kind: LineKind) -> Share {
        let took = event.took_ns.unwrap_or(0);
        let (bit, rank, items_rank) = match kind {
            LineKind::Apply => (1, 3, 3),
            LineKind::Trace => (2, 1, 2),
            LineKind::Stats => (4, 2, 1),
        };
        let Meaning {
            shape,
            resource,
            namespace,
            prefix,
            ..
        } = self.meaning_of(request);
        let client = match event.client.as_deref() {
            Some(client) if kind == LineKind::Stats => self.tables.clients.id(host_of(client)),
            _ => NONE,
        };
        // The stats line's count is of all that match, also where fewer were asked for.
        let count = event.response.range_response_count;
        let items = match kind {
            LineKind::Stats if request.shape == Shape::Count => None,
            LineKind::Stats => count.map(|n| request.limit.map_or(n, |limit| n.min(limit.max(1)))),
            _ => count,
        };
        if let (Shape::List | Shape::Page, Some(at), Some(end)) =
            (request.shape, event.time, request.range_end.as_deref())
            && (request.limit.is_some() || request.shape == Shape::Page)
        {
            self.page(end, request.shape == Shape::Page, at.0, resource);
        }
        Share {
            lines: bit,
            took_apply: if kind == LineKind::Apply { took } else { 0 },
            took_other: took,
            stalled: event
                .agreement_ns
                .is_some_and(|ns| ns > 0 && ns.saturating_mul(2) >= took),
            error: event.error.is_some(),
            rank,
            shape,
            unlimited: request.shape == Shape::List && request.limit.is_none(),
            resource,
            namespace,
            prefix,
            client,
            items_rank: if items.is_some() { items_rank } else { 0 },
            items: items.unwrap_or(0),
            bytes: event.response.size.unwrap_or(0),
            time_us: event.time.map(|at| at.0),
        }
    }

    fn resource(&mut self, request: &Request<'_>) -> u32 {
        let table = &mut self.tables.resources;
        match request.parts.row_key() {
            RowKey::Name("") if request.key.is_none() => {
                table.id(&format!("({})", request.operation.word()))
            }
            RowKey::Name("") => table.id("(other keys)"),
            RowKey::Name(name) => table.id(name),
            RowKey::Custom(name, group) => table.id_of_parts(name, group),
        }
    }

    /// A page whose list was not seen stands for one list.
    fn count_orphans(&mut self, resource: u32, change: i64) {
        let rows = [
            self.tables.resources.row_mut(resource),
            Some(&mut self.tables.total),
        ];
        for row in rows.into_iter().flatten() {
            row.lists = row.lists.saturating_add_signed(change);
        }
    }

    /// Adds the piece that came right after this one.
    pub fn absorb(&mut self, mut later: Load) {
        self.settle();
        later.settle();
        let map = self.tables.merge(&later.tables);
        for share in later.joiner.open_mut() {
            map.apply(share);
        }
        let tables = &mut self.tables;
        self.joiner
            .absorb(later.joiner, &mut |share: Share| tables.add(&share));
        later.pages.renumber(|id| new_id(&map.resources, id));
        for resource in self.pages.absorb(later.pages) {
            self.count_orphans(resource, -1);
        }
        for (sampled, add) in self.sampled.iter_mut().zip(later.sampled) {
            sampled.absorb(add);
        }
        self.writers.absorb(later.writers);
        self.unsampled_apply += later.unsampled_apply;
        self.own_lines += later.own_lines;
        self.threshold_ns = match (self.threshold_ns, later.threshold_ns) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
        self.debug_lines += later.debug_lines;
        self.prune();
    }

    /// Keeps the tables within their bounds.
    pub fn prune(&mut self) {
        self.settle();
        self.tables.seconds.forget();
        self.memory.renumber();
        type Pick = fn(&mut Share) -> &mut u32;
        let tables = &mut self.tables;
        let picks: [(&mut Bounded<LoadRow>, Pick); 4] = [
            (&mut tables.resources, |share| &mut share.resource),
            (&mut tables.namespaces, |share| &mut share.namespace),
            (&mut tables.clients, |share| &mut share.client),
            (&mut tables.prefixes, |share| &mut share.prefix),
        ];
        for (at, (table, pick)) in picks.into_iter().enumerate() {
            if !table.is_over() {
                continue;
            }
            let mut keep: Vec<u32> = self.joiner.open_mut().map(|share| *pick(share)).collect();
            if at == 0 {
                keep.extend(self.pages.resources());
            }
            let map = table.prune(&keep);
            let renumber = |id: u32| map.get(id as usize).copied().flatten().unwrap_or(NONE);
            for share in self.joiner.open_mut() {
                let id = pick(share);
                *id = renumber(*id);
            }
            if at == 0 {
                self.pages.renumber(renumber);
            }
        }
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.joiner.restore();
        self.tables.restore();
    }

    /// What it all comes to when nothing follows.
    pub fn view(&self) -> LoadView {
        let mut tables = self.tables.clone();
        let lines = self.joiner.total();
        self.joiner
            .clone()
            .finish(&mut |share: Share| tables.add(&share));
        tables.settle();
        let estimate = self.estimate(&tables);
        let complete = self.debug_lines > 0
            || (estimate.sampled_lines + estimate.full_lines == 0
                && self
                    .threshold_ns
                    .is_some_and(|(_, high)| high <= COMPLETE_NS));
        LoadView {
            lines,
            estimate,
            threshold_ns: self.threshold_ns,
            complete,
            tables,
        }
    }

    /// How many requests there were: those joined, and those of which sampling left out every
    /// line. A request without an apply line in a sampled second is one whose apply line was left
    /// out, so those do not add to the lower bound.
    fn estimate(&self, tables: &Tables) -> Estimate {
        let mut apply = self.writers.estimate(0);
        if let Some(unnamed) = self.sampled.first() {
            apply.add(&unnamed.estimate());
        }
        let joined = tables.total.requests;
        let missing = |n: u64| n.saturating_sub(apply.lines);
        let seen_otherwise = tables.without_apply;
        let share = if apply.lines == 0 {
            0.0
        } else {
            (apply.sampled_lines + apply.full_lines) as f64 / apply.lines as f64
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count, between 0 and the count"
        )]
        let covered = (seen_otherwise as f64 * share) as u64;
        let low = joined + missing(apply.low).saturating_sub(seen_otherwise);
        let high = joined + missing(apply.high);
        let value = joined + missing(apply.value).saturating_sub(covered);
        Estimate {
            lines: self.joiner.total(),
            low,
            value: value.clamp(low, high),
            high,
            sampled_lines: apply.sampled_lines,
            full_lines: apply.full_lines,
        }
    }
}

fn optional_id(table: &mut Bounded<LoadRow>, name: Option<&str>) -> u32 {
    name.map_or(NONE, |name| table.id(name))
}

fn is_shape(known: Meaning, shape: Shape) -> bool {
    Shape::ALL.get(usize::from(known.shape)) == Some(&shape)
}

/// Which line of a request an event is.
fn kind_of(event: &Event<'_>) -> Option<LineKind> {
    match event.kind {
        "slow-apply" => Some(LineKind::Apply),
        "trace" => Some(LineKind::Trace),
        "request-stats" => Some(LineKind::Stats),
        _ => None,
    }
}

/// What the joiner needs to know of an event, for those that are lines about one request.
pub fn item_of(event: &Event<'_>, outer: &Outer<'_>) -> Option<(Item, LineKind)> {
    let writer = Writer::of(outer).id;
    let kind = kind_of(event)?;
    match &event.request {
        Some(request) => match request.operation {
            Operation::ReadIndex | Operation::V2 | Operation::Cluster(_) => None,
            _ => Some((item(event, request, kind, writer), kind)),
        },
        None if kind == LineKind::Apply => {
            let lost = Request::of(Operation::Unknown, Shape::Other);
            Some((item(event, &lost, kind, writer), kind))
        }
        None => None,
    }
}

fn item(event: &Event<'_>, request: &Request<'_>, kind: LineKind, writer: u32) -> Item {
    let operation = u64::from(request.operation.number());
    let key = match request.key.as_deref() {
        Some(key) => {
            let end = request.range_end.as_deref().unwrap_or_default();
            Some(stable_hash(stable_hash(operation, key), end))
        }
        None if kind == LineKind::Trace && request.operation == Operation::Txn => None,
        None => Some(stable_hash(operation, b"")),
    };
    Item {
        kind,
        key,
        txn: request.operation == Operation::Txn,
        writer,
        time_us: event.time.map(|at| at.0),
        took_us: i64::try_from(event.took_ns.unwrap_or(0) / 1000).unwrap_or(i64::MAX),
    }
}

/// `10.0.0.1:41230` and `[::1]:41230` without the port, which changes with every connection.
fn host_of(client: &str) -> &str {
    match client.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            host.trim_matches(['[', ']'])
        }
        _ => client,
    }
}
