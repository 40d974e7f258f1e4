//! The load that logged requests show: tables by resource, shape, namespace, client and prefix.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::{Event, Operation, Request, Shape};
use crate::logs::record::Level;

use super::hash::stable_hash;
use super::join::{Joiner, LineKind};
use super::memory::{Meaning, Memory};
use super::pages::{PageLine, Pages};
use super::row::LoadRow;
use super::sampling::{Begin, Estimate, Sampled, Writers};
use super::table::Bounded;

mod debug;
mod line;
mod meaning;
mod quick;
mod tables;

use debug::DebugLines;
pub use line::{Writer, item_of};
use line::{host_of, item, kind_of};
use tables::{NONE, new_id};
pub use tables::{Share, Tables};

/// A threshold up to this logs every request: lab settings use 1 ns.
const COMPLETE_NS: u64 = 1_000;

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
    /// Request stats at debug level, how many and when.
    debug_lines: u64,
    #[serde(default, skip_serializing_if = "DebugLines::is_empty")]
    debug: DebugLines,
    #[serde(skip)]
    memory: Memory,
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
    /// Lines at debug level, of whatever requests.
    pub debug_lines: u64,
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
        self.debug.lay();
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
        let samples = writer.samples && (one_message || kind != LineKind::Trace);
        let writer = Writer { samples, ..writer };
        if kind == LineKind::Stats {
            self.note_call(event.level, event.time, writer);
        } else {
            self.sample(kind, event.time, writer);
        }
    }

    /// Request stats. Those at debug level are another message to the sampler.
    fn note_call(&mut self, level: Level, time: Option<Timestamp>, writer: Writer) {
        if level == Level::Debug {
            self.debug_lines += 1;
            self.debug.add(time, writer);
        } else {
            self.sample(LineKind::Stats, time, writer);
        }
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
        self.debug.absorb(later.debug);
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

    /// What it all comes to when nothing follows, in a log of which this is known before its first
    /// request.
    pub fn view(&self, begin: &Begin) -> LoadView {
        let mut tables = self.tables.clone();
        let lines = self.joiner.total();
        self.joiner
            .clone()
            .finish(&mut |share: Share| tables.add(&share));
        tables.settle();
        let estimate = self.estimate(&tables, begin);
        let low_threshold = self
            .threshold_ns
            .is_some_and(|(_, high)| high <= COMPLETE_NS);
        let complete = estimate.sampled_lines + estimate.full_lines == 0
            && (low_threshold || self.debug.cover(&tables.total.spark));
        LoadView {
            lines,
            estimate,
            threshold_ns: self.threshold_ns,
            complete,
            debug_lines: self.debug_lines,
            tables,
        }
    }

    /// How many requests there were: those joined, and those of which sampling left out every
    /// line. A request without an apply line in a sampled second is one whose apply line was left
    /// out, so those do not add to the lower bound. Neither do requests without request stats, where
    /// those at debug level are sampled.
    fn estimate(&self, tables: &Tables, begin: &Begin) -> Estimate {
        let unnamed = self.sampled.iter().any(|sampled| !sampled.is_empty());
        let writers = self.writers.count() + usize::from(unnamed);
        let several = begin.clone().of_several();
        let begin = match writers.max(self.debug.count()) {
            0 | 1 => begin,
            _ => &several,
        };
        let mut apply = self.writers.estimate(0, begin);
        if let Some(unnamed) = self.sampled.first() {
            apply.add(&unnamed.estimate(begin));
        }
        let debug = self.debug.estimate(begin);
        let joined = tables.total.requests;
        let missing = |all: &Estimate, n: u64| n.saturating_sub(all.lines);
        // A fast request has no apply line that could have been left out.
        let seen_otherwise = tables.without_apply.saturating_sub(self.debug_lines);
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
        let slow = missing(&apply, apply.low).saturating_sub(tables.without_apply);
        let any =
            missing(&debug, debug.low).saturating_sub(joined.saturating_sub(self.debug_lines));
        let low = joined + slow.max(any);
        let high = joined + missing(&apply, apply.high) + missing(&debug, debug.high);
        let value = joined
            + missing(&apply, apply.value).saturating_sub(covered)
            + missing(&debug, debug.value);
        Estimate {
            lines: self.joiner.total(),
            low,
            // Sums of forged pieces may lie the other way round.
            value: value.min(high).max(low),
            high: high.max(low),
            sampled_lines: apply.sampled_lines + debug.sampled_lines,
            full_lines: apply.full_lines + debug.full_lines,
        }
    }
}
