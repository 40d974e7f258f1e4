//! Lines about ranges that were read by position.

use crate::logs::aggregate::hash::stable_hash;
use crate::logs::aggregate::hot::{HotCall, HotRange, HotTrace};
use crate::logs::aggregate::join::{Item, LineKind};
use crate::logs::event::{Operation, Shape};
use crate::logs::head::Head;
use crate::logs::needle::same;
use crate::logs::record::Record;
use crate::logs::request::parse_request;
use crate::logs::signature::TraceSteps;
use crate::units::parse_go_duration;

use super::Load;
use super::line::{Writer, host_of};
use super::meaning::is_shape;
use super::tables::{NONE, Share};

impl Load {
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
        self.note_call(head.level, head.time, writer);
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
}

/// What the lines about one range have in common.
#[inline]
fn range_hash(key: &[u8], range_end: &[u8]) -> u64 {
    stable_hash(
        stable_hash(u64::from(Operation::Range.number()), key),
        range_end,
    )
}
