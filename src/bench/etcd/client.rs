//! What each client asks for next, and what its answer means.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use super::keyspace::Keyspace;
use super::random::Random;
use super::record::Op;
use super::wire::{self, Range, Then};
use super::workload::{MIXED, Preload, TXN, Workload};

/// Keys that a list by prefix answers with.
pub const LIST_KEYS: u64 = 100;

/// Which call a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `KV/Put`.
    Put,
    /// `KV/Range`.
    Range,
    /// `KV/Txn`.
    Txn,
    /// `Lease/LeaseGrant`.
    LeaseGrant,
    /// `Lease/LeaseRevoke`.
    LeaseRevoke,
}

/// One request, ready to be sent.
#[derive(Debug)]
pub struct Planned {
    /// What it counts as.
    pub op: Op,
    /// The call.
    pub call: Call,
    /// gRPC header and message.
    pub message: Bytes,
    slot: usize,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// A transaction's comparison did not hold.
    Conflict,
}

/// One client: which keys are its own, and what it knows of them.
///
/// Clients share no key that they transact on, as controllers rarely do; so a conflict is news.
#[derive(Debug)]
pub struct Client {
    keys: Rc<Keyspace>,
    workload: Workload,
    serializable: bool,
    page: i64,
    lease_ttl: i64,
    random: Random,
    first: u64,
    // Mod revisions of the own keys; 0: not there.
    revisions: Vec<i64>,
    leases: Vec<i64>,
    grants: i64,
    next: u64,
    page_from: Vec<u8>,
    page_revision: i64,
    buffer: BytesMut,
    key: Vec<u8>,
    end: Vec<u8>,
}

/// What all clients of a run have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// The keys.
    pub keys: Rc<Keyspace>,
    /// What to do.
    pub workload: Workload,
    /// Whether reads may be answered by any member itself.
    pub serializable: bool,
    /// Keys in a page.
    pub page: i64,
    /// Seconds to live of granted leases.
    pub lease_ttl: i64,
    /// How many clients there are.
    pub clients: u64,
}

/// Leases that one client of [`Workload::LeaseGrant`] holds before it revokes its oldest.
const HELD_LEASES: usize = 10;

impl Client {
    /// Client `number` of so many.
    pub fn new(common: &Common, number: u64) -> Self {
        let count = common.keys.count();
        let first = count * number / common.clients.max(1);
        let last = count * (number + 1) / common.clients.max(1);
        let own = if common.workload.preloads() == Preload::Half {
            usize::try_from(last - first).unwrap_or(0)
        } else {
            0
        };
        Client {
            keys: Rc::clone(&common.keys),
            workload: common.workload,
            serializable: common.serializable,
            page: common.page,
            lease_ttl: common.lease_ttl,
            random: Random::new(number),
            first,
            revisions: vec![0; own],
            leases: Vec::new(),
            grants: 0,
            // Writers begin at different places, so that two never write one key after the other.
            next: first,
            page_from: Vec::new(),
            page_revision: 0,
            buffer: BytesMut::with_capacity(16 << 10),
            key: Vec::new(),
            end: Vec::new(),
        }
    }

    /// The puts that must be made before the load: `None` when all are made.
    pub fn preload(&mut self, number: u64) -> Option<Planned> {
        let slot = usize::try_from(number).ok()?;
        self.revisions.get(slot)?;
        Some(self.create(slot))
    }

    /// How many keys this client owns for transactions.
    pub fn own(&self) -> u64 {
        self.revisions.len() as u64
    }

    /// Gives it a lease to keep alive.
    pub fn hold(&mut self, lease: i64) {
        self.leases.push(lease);
    }

    /// Leases that it granted and has not revoked.
    pub fn leases(&self) -> &[i64] {
        &self.leases
    }

    /// The next request.
    pub fn plan(&mut self) -> Planned {
        match self.workload {
            Workload::Put | Workload::Watch => self.put(),
            Workload::Get => self.get_any(),
            Workload::List => self.list(),
            Workload::Page => self.next_page(),
            Workload::Count => {
                let end = self.keys.end();
                let range = Range {
                    key: self.keys.prefix(),
                    end: &end,
                    count_only: true,
                    serializable: self.serializable,
                    ..Range::default()
                };
                let message = range.encode(&mut self.buffer);
                planned(Op::Count, Call::Range, message, 0)
            }
            Workload::Txn => self.drawn(&TXN),
            Workload::Mixed => self.drawn(&MIXED),
            Workload::LeaseGrant | Workload::KeepAlive => self.lease(),
        }
    }

    fn put(&mut self) -> Planned {
        let n = self.next;
        self.next = (n + 1) % self.keys.count().max(1);
        self.keys.key(n, &mut self.key);
        let message = wire::put(
            &mut self.buffer,
            &self.key,
            self.keys.value(n),
            self.keys.lease(n),
        );
        planned(Op::Put, Call::Put, message, 0)
    }

    /// A put whose value begins with a text, for a watcher to read.
    pub fn put_marked(&mut self, mark: &[u8]) -> Planned {
        let n = self.next;
        self.next = (n + 1) % self.keys.count().max(1);
        self.keys.key(n, &mut self.key);
        self.end.clear();
        self.end.extend_from_slice(mark);
        if let Some(rest) = self.keys.value(n).get(mark.len()..) {
            self.end.extend_from_slice(rest);
        }
        let lease = self.keys.lease(n);
        let message = wire::put(&mut self.buffer, &self.key, &self.end, lease);
        planned(Op::Put, Call::Put, message, 0)
    }

    fn get(&mut self, n: u64, slot: usize) -> Planned {
        self.keys.key(n, &mut self.key);
        let range = Range {
            key: &self.key,
            serializable: self.serializable,
            ..Range::default()
        };
        let message = range.encode(&mut self.buffer);
        planned(Op::Get, Call::Range, message, slot)
    }

    fn get_any(&mut self) -> Planned {
        let n = self.random.below(self.keys.count());
        self.get(n, 0)
    }

    fn list(&mut self) -> Planned {
        let groups = self.keys.count().div_ceil(LIST_KEYS);
        let from = self.random.below(groups) * LIST_KEYS;
        self.keys.key(from, &mut self.key);
        // A hundred keys share all but their last two digits.
        self.key.truncate(self.keys.key_size() - 2);
        self.end = super::keyspace::prefix_end(&self.key);
        let range = Range {
            key: &self.key,
            end: &self.end,
            serializable: self.serializable,
            ..Range::default()
        };
        let message = range.encode(&mut self.buffer);
        planned(Op::List, Call::Range, message, 0)
    }

    fn next_page(&mut self) -> Planned {
        if self.page_from.is_empty() {
            self.page_from.extend_from_slice(self.keys.prefix());
        }
        let end = self.keys.end();
        let range = Range {
            key: &self.page_from,
            end: &end,
            limit: self.page,
            revision: self.page_revision,
            serializable: self.serializable,
            ..Range::default()
        };
        let message = range.encode(&mut self.buffer);
        planned(Op::Page, Call::Range, message, 0)
    }

    fn drawn(&mut self, shares: &[(u64, Op)]) -> Planned {
        let percent = self.random.below(100);
        let op = shares
            .iter()
            .find(|(upto, _)| percent < *upto)
            .map_or(Op::Update, |(_, op)| *op);
        match op {
            Op::Get => {
                let slot = self.slot();
                self.get(self.first + slot as u64, slot)
            }
            Op::Page => self.next_page(),
            // With no key to create there is one to delete, and the other way round.
            Op::Create => match self.find(false) {
                Some(slot) => self.create(slot),
                None => self.change(Op::Delete),
            },
            op => self.change(op),
        }
    }

    fn change(&mut self, op: Op) -> Planned {
        let Some(slot) = self.find(true) else {
            let slot = self.slot();
            return self.create(slot);
        };
        let n = self.first + slot as u64;
        self.keys.key(n, &mut self.key);
        let revision = self.revisions.get(slot).copied().unwrap_or(0);
        let then = if op == Op::Delete {
            Then::Delete
        } else {
            Then::Put {
                value: self.keys.value(n),
                lease: self.keys.lease(n),
            }
        };
        let message = wire::txn(&mut self.buffer, &self.key, revision, then);
        planned(op, Call::Txn, message, slot)
    }

    fn create(&mut self, slot: usize) -> Planned {
        let n = self.first + slot as u64;
        self.keys.key(n, &mut self.key);
        let then = Then::Put {
            value: self.keys.value(n),
            lease: self.keys.lease(n),
        };
        let message = wire::txn(&mut self.buffer, &self.key, 0, then);
        planned(Op::Create, Call::Txn, message, slot)
    }

    fn slot(&mut self) -> usize {
        let own = self.revisions.len() as u64;
        usize::try_from(self.random.below(own)).unwrap_or(0)
    }

    /// An own key that is there, or one that is not: the first from a random place on.
    fn find(&mut self, there: bool) -> Option<usize> {
        let from = self.slot();
        let (before, after) = self.revisions.split_at_checked(from)?;
        let wanted = |revision: &i64| (*revision != 0) == there;
        after
            .iter()
            .position(wanted)
            .map(|at| from + at)
            .or_else(|| before.iter().position(wanted))
    }

    fn lease(&mut self) -> Planned {
        if self.leases.len() >= HELD_LEASES
            && let Some(oldest) = self.leases.first()
        {
            let message = wire::lease_id(&mut self.buffer, *oldest);
            return planned(Op::LeaseRevoke, Call::LeaseRevoke, message, 0);
        }
        self.grants += 1;
        // Should we be killed, the leases must not all end in the same second.
        let ttl = self.lease_ttl + self.grants % 60;
        let message = wire::lease_grant(&mut self.buffer, ttl);
        planned(Op::LeaseGrant, Call::LeaseGrant, message, 0)
    }

    /// Takes note of an answer.
    pub fn answered(&mut self, planned: &Planned, answer: &[u8]) -> Answer {
        match planned.op {
            Op::Create | Op::Update | Op::Delete => {
                let (held, revision) = wire::txn_answer(answer);
                let Some(known) = self.revisions.get_mut(planned.slot) else {
                    return Answer::Done;
                };
                if held {
                    *known = if planned.op == Op::Delete {
                        0
                    } else {
                        revision
                    };
                    return Answer::Done;
                }
                // A create's conflict tells no revision: 1 makes the next update find it.
                *known = if planned.op == Op::Create {
                    1
                } else {
                    wire::txn_found(answer)
                };
                Answer::Conflict
            }
            Op::Page => {
                let page = wire::ranged(answer);
                if page.more {
                    let last = wire::keys(answer).last().unwrap_or_default();
                    self.page_from.clear();
                    self.page_from.extend_from_slice(last);
                    self.page_from.push(0);
                    if self.page_revision == 0 {
                        self.page_revision = page.revision;
                    }
                } else {
                    self.new_list();
                }
                Answer::Done
            }
            Op::LeaseGrant => {
                let (id, _) = wire::leased(answer);
                self.leases.push(id);
                Answer::Done
            }
            Op::LeaseRevoke => {
                self.leases.remove(0);
                Answer::Done
            }
            _ => Answer::Done,
        }
    }

    /// Takes note of a failed request: what it did is unknown.
    pub fn failed(&mut self, planned: &Planned) {
        match planned.op {
            // A revision that was compacted meanwhile: begin at the first page again.
            Op::Page => self.new_list(),
            Op::LeaseRevoke if !self.leases.is_empty() => {
                // It lives on until its time is over.
                self.leases.remove(0);
            }
            _ => {}
        }
    }

    fn new_list(&mut self) {
        self.page_from.clear();
        self.page_revision = 0;
    }
}

fn planned(op: Op, call: Call, message: Bytes, slot: usize) -> Planned {
    Planned {
        op,
        call,
        message,
        slot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::etcd::keyspace::ValueSize;
    use std::collections::BTreeMap;

    fn common(workload: Workload, keys: u64, clients: u64) -> Common {
        Common {
            keys: Rc::new(Keyspace::new("/b/", keys, 20, ValueSize::Bytes(8))),
            workload,
            serializable: false,
            page: 5,
            lease_ttl: 60,
            clients,
        }
    }

    /// A transaction's answer: header with a revision, and whether it held.
    fn answer(revision: u8, held: bool) -> Vec<u8> {
        let mut answer = vec![0x0a, 2, 0x18, revision];
        if held {
            answer.extend([0x10, 1]);
        }
        answer
    }

    #[test]
    fn clients_own_all_keys_and_none_twice() {
        let common = common(Workload::Txn, 103, 10);
        let clients: Vec<Client> = (0..10).map(|n| Client::new(&common, n)).collect();
        assert_eq!(clients.iter().map(Client::own).sum::<u64>(), 103);
        for pair in clients.windows(2) {
            assert_eq!(pair[0].first + pair[0].own(), pair[1].first);
        }
    }

    #[test]
    fn transactions_follow_what_is_there() {
        let common = common(Workload::Txn, 4, 1);
        let mut client = Client::new(&common, 0);
        let mut there = [false; 4];
        let mut seen = BTreeMap::new();
        for n in 0..2000 {
            let planned = client.plan();
            match planned.op {
                Op::Create => assert!(!there[planned.slot], "{n}: created what is there"),
                _ => assert!(there[planned.slot], "{n}: changed what is not there"),
            }
            there[planned.slot] = planned.op != Op::Delete;
            *seen.entry(planned.op).or_insert(0) += 1;
            let answer = answer(7, true);
            assert_eq!(client.answered(&planned, &answer), Answer::Done);
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    #[test]
    fn a_conflict_is_seen_and_the_found_revision_taken() {
        let common = common(Workload::Txn, 1, 1);
        let mut client = Client::new(&common, 0);
        let planned = client.plan();
        assert_eq!(planned.op, Op::Create);
        assert_eq!(
            client.answered(&planned, &answer(9, false)),
            Answer::Conflict
        );
        assert_ne!(client.revisions[0], 0);
    }

    #[test]
    fn the_mix_comes_out_in_its_shares() {
        let common = common(Workload::Mixed, 1000, 1);
        let mut client = Client::new(&common, 0);
        for slot in (0..1000).step_by(2) {
            let planned = client.preload(slot).unwrap();
            client.answered(&planned, &answer(3, true));
        }
        let mut seen: BTreeMap<Op, u32> = BTreeMap::new();
        for _ in 0..5000 {
            let planned = client.plan();
            *seen.entry(planned.op).or_default() += 1;
            client.answered(&planned, &answer(5, true));
        }
        let percent = |op| f64::from(seen.get(&op).copied().unwrap_or(0)) / 50.0;
        assert!((percent(Op::Update) - 37.0).abs() < 3.0, "{seen:?}");
        assert!((percent(Op::Get) - 27.0).abs() < 3.0, "{seen:?}");
        assert!(
            percent(Op::Page) > 0.2 && percent(Op::Page) < 2.0,
            "{seen:?}"
        );
        assert!((MIXED[4].0, TXN[2].0) == (100, 100));
    }

    #[test]
    fn pages_go_on_after_the_last_key_at_the_first_pages_revision() {
        let common = common(Workload::Page, 100, 1);
        let mut client = Client::new(&common, 0);
        let planned = client.plan();
        // One key, and more of them, at revision 9.
        let page = [0x0a, 2, 0x18, 9, 0x12, 3, 0x0a, 1, b'k', 0x18, 1];
        client.answered(&planned, &page);
        assert_eq!(client.page_from, b"k\0");
        assert_eq!(client.page_revision, 9);
        let planned = client.plan();
        client.failed(&planned);
        assert!(client.page_from.is_empty());
    }

    #[test]
    fn leases_are_bounded_and_end_at_different_times() {
        let common = common(Workload::LeaseGrant, 1, 1);
        let mut client = Client::new(&common, 0);
        let mut ttls = Vec::new();
        for id in 1..=40_u8 {
            let planned = client.plan();
            if planned.op == Op::LeaseGrant {
                ttls.push(planned.message[wire::PREFIX + 1]);
            }
            client.answered(&planned, &[0x0a, 0, 0x10, id, 0x18, 60]);
            assert!(client.leases().len() <= HELD_LEASES);
        }
        assert!(ttls.len() >= 20);
        assert!(ttls.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
