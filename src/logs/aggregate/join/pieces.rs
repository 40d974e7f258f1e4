//! Pieces of a stream: put together, closed, and read back from a file.

use std::collections::VecDeque;

use serde::Deserialize;

use super::{Head, Joiner, Payload, Slot, TXN_WINDOW};

/// Most lines that any joiner looks back, and more: a file that says more was forged.
const FARTHEST: u64 = 1 << 16;

/// A joiner as a file holds it: whoever wrote the file may have written anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved<P> {
    reach: u64,
    total: u64,
    window: VecDeque<Slot<P>>,
    head: Vec<Head<P>>,
}

impl<P> TryFrom<Saved<P>> for Joiner<P> {
    type Error = String;

    fn try_from(saved: Saved<P>) -> Result<Self, String> {
        let (window, head) = (saved.window.len() as u64, saved.head.len() as u64);
        if saved.reach > FARTHEST || window.max(head) > saved.reach {
            return Err(format!(
                "lines of requests: a `window` of {window} and a `head` of {head} with a `reach` of {}",
                saved.reach
            ));
        }
        if window > saved.total || saved.head.iter().any(|head| head.index >= saved.total) {
            return Err(format!(
                "lines of requests: more of them than their `total` {}",
                saved.total
            ));
        }
        Ok(Joiner {
            total: saved.total,
            window: saved.window,
            head: saved.head,
            ..Joiner::with_reach(saved.reach)
        })
    }
}

impl<P: Payload> Joiner<P> {
    /// Adds the piece that came right after this one.
    pub fn absorb(&mut self, mut later: Joiner<P>, sink: &mut impl FnMut(P)) {
        let offset = self.total;
        // Where each head entry of `later` went: `None` means that it waits no more.
        let mut moved: Vec<Option<u32>> = Vec::with_capacity(later.head.len());
        for (id, mut head) in std::mem::take(&mut later.head).into_iter().enumerate() {
            let id = u32::try_from(id).ok();
            let index = offset + head.index;
            let from = self.from(index, self.reach);
            let from_txn = self.from(index, self.reach.min(TXN_WINDOW));
            let mut new_root = None;
            if head.previous
                && let Some(at) = self.find_previous(&head.item, from)
            {
                head.previous = false;
                let mut slot = Slot {
                    item: head.item,
                    payload: None,
                    root: None,
                    open: false,
                    open_txn: false,
                };
                self.take_previous(at, &mut slot);
                new_root = slot.root;
                if let Some(mut payload) = slot.payload {
                    if let Some(stored) = head.payload.take() {
                        payload.join(stored);
                        self.close(payload, new_root, sink);
                    } else if let Some(holder) = later.holder(id) {
                        if let Some(held) = holder.payload.take() {
                            payload.join(held);
                        }
                        holder.payload = Some(payload);
                    } else {
                        self.close(payload, new_root, sink);
                    }
                }
            }
            if head.trace
                && let Some(at) = self.find_trace(&head.item, from_txn)
            {
                head.trace = false;
                self.take_trace(at);
            }
            if head.apply
                && let Some(at) = self.find_apply(&head.item, from_txn)
            {
                head.apply = false;
                self.mark_txn(at);
                head.payload = None;
                if let Some(holder) = later.holder(id) {
                    holder.payload = None;
                }
            }
            let holds = head.holds();
            if index < self.reach && head.waits() {
                let new_id = u32::try_from(self.head.len()).ok();
                moved.push(if holds { new_id } else { new_root });
                self.head.push(Head { index, ..head });
            } else {
                moved.push(new_root);
                if let Some(payload) = head.payload {
                    sink(payload);
                }
            }
        }
        let new_total = offset + later.total;
        let keep_from = new_total.saturating_sub(self.reach);
        while !self.window.is_empty() && self.front_index() < keep_from {
            self.evict(sink);
        }
        for mut slot in std::mem::take(&mut later.window) {
            slot.root = slot
                .root
                .and_then(|root| moved.get(root as usize).copied().flatten());
            self.push(slot);
        }
        self.total = new_total;
    }

    /// Closes everything that is still open: the stream begins and ends here.
    pub fn finish(mut self, sink: &mut impl FnMut(P)) {
        while !self.window.is_empty() {
            self.evict(sink);
        }
        for head in self.head {
            if let Some(payload) = head.payload {
                sink(payload);
            }
        }
    }

    /// Every payload that is not closed yet.
    pub fn open_mut(&mut self) -> impl Iterator<Item = &mut P> {
        self.window
            .iter_mut()
            .filter_map(|slot| slot.payload.as_mut())
            .chain(
                self.head
                    .iter_mut()
                    .filter_map(|head| head.payload.as_mut()),
            )
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        (self.keys, self.filter, self.open_txns) = Default::default();
        for slot in std::mem::take(&mut self.window) {
            self.push(slot);
        }
    }
}
