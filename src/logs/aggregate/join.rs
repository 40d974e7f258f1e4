//! One request counted once: joins the up to three lines that etcd writes about it.
//!
//! `apply request took too long`, `trace[N]` and `request stats` of one request come from one
//! goroutine in this order (etcd: server/etcdserver/v3_server.go, Range's deferred calls, then
//! the interceptor of server/etcdserver/api/v3rpc/interceptor.go). So a line looks back, among the
//! last [`WINDOW`] request lines of its stream, for the latest line of an earlier kind with the
//! same key and range end whose `[end − took, end]` overlaps its own and which no other line has
//! taken. Equal durations are no condition: on a starved host the lines of one request differ.
//!
//! Looking for the latest first makes this a bracket matching: what a piece of a log decides
//! within itself does not depend on what came before. Lines that found no partner within the
//! piece's first [`WINDOW`] lines stay pending (`head`), and the last lines stay open (`window`), so
//! pieces join associatively, wherever the log was cut.
//!
//! A transaction's trace names no key. It is taken by a request-stats line that spans it closely,
//! else it belongs to the latest overlapping applied transaction, else it is a request of its own.

mod pieces;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use pieces::Saved;

/// How many request lines back a partner is looked for.
pub const WINDOW: u64 = 512;
/// How many request lines back the transaction of a keyless trace is looked for.
const TXN_WINDOW: u64 = 64;
/// How many keys are compared at once.
const KEYS: usize = 16;
/// Size of the filter over open keys.
const FILTER: usize = 4096;
/// Lines of one request are not further apart than this in time, in microseconds.
pub const HORIZON_US: i64 = 10_000_000;
/// Intervals that miss each other by this much still overlap: stamps are cut to milliseconds and
/// are taken a moment after the duration, in microseconds.
const SLACK_US: i64 = 5_000;

/// Which of the lines of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineKind {
    /// `apply request took too long`; of an audit record: RequestReceived.
    Apply,
    /// `trace[N] …`; of an audit record: ResponseStarted.
    Trace,
    /// `request stats`; of an audit record: ResponseComplete or Panic.
    Stats,
}

/// What the joiner needs to know about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Which line.
    pub kind: LineKind,
    /// Hash of operation, key and range end; `None` for a transaction's trace.
    pub key: Option<u64>,
    /// Whether the request is a transaction.
    pub txn: bool,
    /// Whose line it is: lines of two writers are never one request.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub writer: u32,
    /// When the line was written, in microseconds; `None` joins by key alone.
    pub time_us: Option<i64>,
    /// How long the request took by this line, in microseconds.
    pub took_us: i64,
}

fn is_zero(writer: &u32) -> bool {
    *writer == 0
}

impl Item {
    fn overlaps(&self, later: &Item) -> bool {
        let (Some(a), Some(b)) = (self.time_us, later.time_us) else {
            return self.time_us == later.time_us;
        };
        b.saturating_sub(later.took_us) <= a.saturating_add(SLACK_US)
            && a.saturating_sub(self.took_us) <= b.saturating_add(SLACK_US)
            && b.abs_diff(a) <= HORIZON_US.unsigned_abs()
    }

    /// Whether `later`, a request-stats line, is this trace's interceptor: it starts just before
    /// and ends just after.
    fn within(&self, later: &Item) -> bool {
        let (Some(a), Some(b)) = (self.time_us, later.time_us) else {
            return false;
        };
        let start = (a.saturating_sub(self.took_us)).abs_diff(b.saturating_sub(later.took_us));
        let limit = SLACK_US.unsigned_abs() + later.took_us.unsigned_abs() / 50;
        start <= limit && b.abs_diff(a) <= limit
    }

    fn is_wild(&self) -> bool {
        self.key.is_none() && self.kind == LineKind::Trace
    }
}

/// What a line contributes; the lines of one request become one.
pub trait Payload: Sized {
    /// Adds a later line of the same request.
    fn join(&mut self, later: Self);
}

impl<P: Payload> Payload for Box<P> {
    fn join(&mut self, later: Self) {
        P::join(self, *later);
    }
}

impl Payload for () {
    fn join(&mut self, (): Self) {}
}

/// Partners that a line found when it was added, by index of their line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The line with the same key.
    pub previous: Option<u64>,
    /// For request stats: the transaction's trace that it spans.
    pub trace: Option<u64>,
    /// For a transaction's trace: the applied transaction that it belongs to.
    pub apply: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot<P> {
    item: Item,
    /// `None` once a later line has taken it.
    payload: Option<P>,
    /// Head entry on which the payload waits.
    root: Option<u32>,
    /// No later line with its key has taken it.
    open: bool,
    /// A transaction's trace that no stats line has taken, or an applied transaction that no
    /// trace has taken.
    open_txn: bool,
}

/// A line that may still find its partner in what came before this piece.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<P> {
    index: u64,
    item: Item,
    /// Looks for a line with the same key.
    previous: bool,
    /// Looks for a transaction's trace.
    trace: bool,
    /// Looks for an applied transaction.
    apply: bool,
    /// The payload, once its line has left the window.
    payload: Option<P>,
}

impl<P> Head<P> {
    /// Whether the payload's fate depends on a partner.
    fn holds(&self) -> bool {
        self.previous || self.apply
    }

    fn waits(&self) -> bool {
        self.holds() || self.trace
    }
}

/// Joins the lines of one stream. Closed requests go to the sink that each call is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    try_from = "Saved<P>",
    bound(serialize = "P: Serialize", deserialize = "P: Deserialize<'de>")
)]
pub struct Joiner<P> {
    /// How many lines back partners are looked for.
    reach: u64,
    total: u64,
    window: VecDeque<Slot<P>>,
    head: Vec<Head<P>>,
    /// The key of each slot of the window while it is open, else 0: a dense copy to search in.
    #[serde(skip)]
    keys: VecDeque<u64>,
    /// How many open keyed slots fall on each place: most lines need no search.
    #[serde(skip)]
    filter: Vec<u16>,
    /// How many slots of the window have `open_txn`.
    #[serde(skip)]
    open_txns: usize,
}

impl<P> Default for Joiner<P> {
    fn default() -> Self {
        Joiner::with_reach(WINDOW)
    }
}

impl<P> Joiner<P> {
    /// A joiner that looks `reach` lines back.
    pub fn with_reach(reach: u64) -> Self {
        Joiner {
            reach,
            total: 0,
            window: VecDeque::new(),
            head: Vec::new(),
            keys: VecDeque::new(),
            filter: Vec::new(),
            open_txns: 0,
        }
    }
}

/// The last line of a request, which names no times.
fn last_item(key: u64) -> Item {
    Item {
        kind: LineKind::Stats,
        key: Some(key),
        txn: false,
        writer: 0,
        time_us: None,
        took_us: 0,
    }
}

/// The slot of a line that no later one takes.
fn gone<P>(item: Item) -> Slot<P> {
    Slot {
        item,
        payload: None,
        root: None,
        open: false,
        open_txn: false,
    }
}

fn place(key: u64) -> usize {
    usize::try_from(key % FILTER as u64).unwrap_or(0)
}

impl<P: Payload> Joiner<P> {
    /// Adds the next line.
    pub fn add(&mut self, item: Item, payload: P, sink: &mut impl FnMut(P)) -> Links {
        let index = self.total;
        let mut links = Links::default();
        let mut slot = Slot {
            item,
            payload: Some(payload),
            root: None,
            open: item.key.is_some() && item.kind != LineKind::Stats,
            open_txn: item.txn
                && (item.is_wild() || (item.kind == LineKind::Apply && item.key.is_some())),
        };
        // What it looks for in vain, and may find in the piece before.
        let (mut previous, mut trace, mut apply) = (false, false, false);
        if item.kind != LineKind::Apply && item.key.is_some() {
            match self.find_previous(&item, 0) {
                Some(at) => {
                    links.previous = Some(self.index_of(at));
                    self.take_previous(at, &mut slot);
                }
                None => previous = true,
            }
        }
        if item.kind == LineKind::Stats && item.txn {
            match self.find_trace(&item, self.from(index, self.reach.min(TXN_WINDOW))) {
                Some(at) => {
                    links.trace = Some(self.index_of(at));
                    self.take_trace(at);
                }
                None => trace = true,
            }
        }
        if item.is_wild() {
            match self.find_apply(&item, self.from(index, self.reach.min(TXN_WINDOW))) {
                Some(at) => {
                    links.apply = Some(self.index_of(at));
                    self.mark_txn(at);
                    slot.payload = None;
                }
                None => apply = true,
            }
        }
        if index < self.reach && (previous || trace || apply) {
            let head = Head {
                index,
                item,
                previous,
                trace,
                apply,
                payload: None,
            };
            if head.holds() {
                slot.root = u32::try_from(self.head.len()).ok();
            }
            self.head.push(head);
        }
        self.push(slot);
        self.total += 1;
        while self.window.len() as u64 > self.reach {
            self.evict(sink);
        }
        links
    }

    /// As [`Self::add`], of a line that no later one takes: request stats of no transaction. What
    /// becomes of it is clear at once, and it does not wait until it leaves the window.
    pub fn add_last(&mut self, key: u64, payload: P, sink: &mut impl FnMut(P)) {
        let item = last_item(key);
        if let Some(at) = self.find_previous(&item, 0) {
            let mut slot = gone(item);
            slot.payload = Some(payload);
            self.take_previous(at, &mut slot);
            if let Some(payload) = slot.payload {
                self.close(payload, slot.root, sink);
            }
        } else if self.total < self.reach {
            self.head.push(Head {
                index: self.total,
                item,
                previous: true,
                trace: false,
                apply: false,
                payload: Some(payload),
            });
        } else {
            sink(payload);
        }
        self.push_gone(item, sink);
    }

    /// As [`Self::add_last`], where the line is a request of its own whatever comes before or
    /// after it: its payload goes to the sink, which is left to the caller. `false` means that
    /// nothing was done.
    #[inline]
    pub fn add_alone(&mut self, key: u64, sink: &mut impl FnMut(P)) -> bool {
        let taken = self.filter.get(place(key)).is_some_and(|open| *open > 0);
        if taken || self.total < self.reach {
            return false;
        }
        self.push_gone(last_item(key), sink);
        true
    }

    /// Adds a line whose payload is gone already.
    #[inline]
    fn push_gone(&mut self, item: Item, sink: &mut impl FnMut(P)) {
        // First of all, so that the window never takes more room than it needs.
        while self.window.len() as u64 >= self.reach.max(1) {
            let first = self.window.front();
            if first.is_some_and(|slot| slot.payload.is_none() && !slot.open && !slot.open_txn) {
                self.window.pop_front();
                self.keys.pop_front();
            } else {
                self.evict(sink);
            }
        }
        self.window.push_back(gone(item));
        self.keys.push_back(0);
        self.total += 1;
    }

    /// How many lines were added.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn front_index(&self) -> u64 {
        self.total - self.window.len() as u64
    }

    fn index_of(&self, at: usize) -> u64 {
        self.front_index() + at as u64
    }

    /// First position in the window that a line with this index can see.
    fn from(&self, index: u64, reach: u64) -> usize {
        let from = index
            .saturating_sub(reach)
            .saturating_sub(self.front_index());
        usize::try_from(from).unwrap_or(usize::MAX)
    }

    /// The window's slot that holds the payload of a head entry.
    fn holder(&mut self, id: Option<u32>) -> Option<&mut Slot<P>> {
        let id = id?;
        self.window
            .iter_mut()
            .find(|slot| slot.root == Some(id) && slot.payload.is_some())
    }

    fn close(&mut self, payload: P, root: Option<u32>, sink: &mut impl FnMut(P)) {
        match root.and_then(|root| self.head.get_mut(root as usize)) {
            Some(head) => head.payload = Some(payload),
            None => sink(payload),
        }
    }

    fn evict(&mut self, sink: &mut impl FnMut(P)) {
        // Only what is wanted is moved out: a slot is large.
        let Some(slot) = self.window.front_mut() else {
            return;
        };
        let (payload, root) = (slot.payload.take(), slot.root);
        let (key, open_txn) = (slot.item.key.filter(|_| slot.open), slot.open_txn);
        self.window.pop_front();
        self.keys.pop_front();
        self.unfilter(key);
        self.open_txns -= usize::from(open_txn);
        if let Some(payload) = payload {
            self.close(payload, root, sink);
        }
    }

    fn push(&mut self, slot: Slot<P>) {
        let key = slot.item.key.filter(|_| slot.open);
        if let Some(key) = key {
            if self.filter.is_empty() {
                self.filter.resize(FILTER, 0);
            }
            if let Some(count) = self.filter.get_mut(place(key)) {
                *count += 1;
            }
        }
        self.keys.push_back(key.unwrap_or(0));
        self.open_txns += usize::from(slot.open_txn);
        self.window.push_back(slot);
    }

    fn unfilter(&mut self, key: Option<u64>) {
        if let Some(count) = key.and_then(|key| self.filter.get_mut(place(key))) {
            *count = count.saturating_sub(1);
        }
    }

    fn find_previous(&self, item: &Item, from: usize) -> Option<usize> {
        let key = item.key?;
        if self.filter.get(place(key)).is_none_or(|count| *count == 0) {
            return None;
        }
        let mut at = self.keys.len();
        let (front, back) = self.keys.as_slices();
        for keys in [back, front]
            .into_iter()
            .flat_map(|part| part.rchunks(KEYS))
        {
            if at <= from {
                return None;
            }
            // All at once, without a branch for each.
            if !keys.iter().fold(false, |any, found| any | (*found == key)) {
                at -= keys.len();
                continue;
            }
            for found in keys.iter().rev() {
                if at <= from {
                    return None;
                }
                at -= 1;
                if *found == key
                    && let Some(slot) = self.window.get(at)
                    && slot.item.kind < item.kind
                    && slot.item.writer == item.writer
                    && slot.item.overlaps(item)
                {
                    return Some(at);
                }
            }
        }
        None
    }

    fn find_trace(&self, item: &Item, from: usize) -> Option<usize> {
        self.find_txn(from, |slot| {
            slot.item.is_wild() && slot.item.writer == item.writer && slot.item.within(item)
        })
    }

    fn find_apply(&self, item: &Item, from: usize) -> Option<usize> {
        self.find_txn(from, |slot| {
            slot.item.kind == LineKind::Apply
                && slot.item.writer == item.writer
                && slot.item.overlaps(item)
        })
    }

    fn find_txn(&self, from: usize, matches: impl Fn(&Slot<P>) -> bool) -> Option<usize> {
        if self.open_txns == 0 || from >= self.window.len() {
            return None;
        }
        (from..self.window.len())
            .rev()
            .find(|at| matches!(self.window.get(*at), Some(slot) if slot.open_txn && matches(slot)))
    }

    fn take_previous(&mut self, at: usize, by: &mut Slot<P>) {
        let Some(slot) = self.window.get_mut(at) else {
            return;
        };
        slot.open = false;
        let key = slot.item.key;
        by.root = slot.root;
        if let Some(mut payload) = slot.payload.take() {
            if let Some(own) = by.payload.take() {
                payload.join(own);
            }
            by.payload = Some(payload);
        }
        if let Some(found) = self.keys.get_mut(at) {
            *found = 0;
        }
        self.unfilter(key);
    }

    fn take_trace(&mut self, at: usize) {
        self.mark_txn(at);
        if let Some(slot) = self.window.get_mut(at) {
            slot.payload = None;
        }
    }

    fn mark_txn(&mut self, at: usize) {
        if let Some(slot) = self.window.get_mut(at)
            && std::mem::take(&mut slot.open_txn)
        {
            self.open_txns -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
