//! When records are due and how large they are.
//!
//! Open loop: arrival times are fixed beforehand and kept, so that a stall delays all records that
//! were due in it (no coordinated omission, and no synthetic correction either). Closed loop:
//! each client sends its next record when its last one is durable.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::formats::bench::disk::{Arrivals, RecordSize};

/// A client of a closed loop needs this long from its answer to its next record; the server
/// takes them in one after the other. Without it all clients would arrive at one instant and be
/// one batch for ever; with it, batches alternate between one entry and the rest, as with etcd
/// (61 % of the syncs at 64 clients carried one entry).
const CLIENT_STEP_NS: u64 = 10_000;

/// A small generator of random numbers (xorshift64*), so that a plan's seed gives the same load
/// again. Nothing secret depends on it.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 up to, not including, 1.
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it was due, nanoseconds.
    pub at: u64,
    /// Its bytes.
    pub bytes: u32,
}

#[derive(Debug)]
enum Schedule {
    Open {
        next: f64,
        step: f64,
        random: bool,
    },
    Closed {
        clients: BinaryHeap<Reverse<u64>>,
        step: u64,
    },
}

/// Gives records as they become due.
#[derive(Debug)]
pub struct Feed {
    schedule: Schedule,
    sizes: Vec<RecordSize>,
    random: Random,
}

impl Feed {
    /// A feed that begins at `start`.
    pub fn new(arrivals: Arrivals, sizes: &[RecordSize], seed: u64, start: u64) -> Self {
        let open = |per_sec: f64, random| Schedule::Open {
            next: start as f64,
            step: 1e9 / per_sec.max(1e-3),
            random,
        };
        let schedule = match arrivals {
            Arrivals::Constant { per_sec } => open(per_sec, false),
            Arrivals::Poisson { per_sec } => open(per_sec, true),
            Arrivals::Clients { clients } => {
                // One client alone is back to back, as fio is.
                let step = if clients > 1 { CLIENT_STEP_NS } else { 0 };
                Schedule::Closed {
                    clients: (0..u64::from(clients.max(1)))
                        .map(|n| Reverse(start + n * step))
                        .collect(),
                    step,
                }
            }
        };
        Feed {
            schedule,
            sizes: sizes.to_vec(),
            random: Random::new(seed),
        }
    }

    /// When the next record is due; `None` when all clients wait for an answer.
    pub fn next_at(&self) -> Option<u64> {
        match &self.schedule {
            Schedule::Open { next, .. } => Some(super::super::stats::whole(*next)),
            Schedule::Closed { clients, .. } => clients.peek().map(|Reverse(at)| *at),
        }
    }

    /// Takes what is due, at most `most` records.
    pub fn take(&mut self, now: u64, most: usize, into: &mut Vec<Due>) {
        while into.len() < most && self.next_at().is_some_and(|at| at <= now) {
            let bytes = self.size();
            let at = match &mut self.schedule {
                Schedule::Open { next, step, random } => {
                    let at = *next;
                    *next += if *random {
                        // Times between arrivals of a Poisson process are exponential.
                        -(1.0 - self.random.share()).ln() * *step
                    } else {
                        *step
                    };
                    super::super::stats::whole(at)
                }
                Schedule::Closed { clients, .. } => match clients.pop() {
                    Some(Reverse(at)) => at,
                    None => return,
                },
            };
            into.push(Due { at, bytes });
        }
    }

    /// So many records became durable: their clients come again.
    pub fn done(&mut self, records: usize, now: u64) {
        if let Schedule::Closed { clients, step } = &mut self.schedule {
            clients.extend((1..=records as u64).map(|n| Reverse(now + n * *step)));
        }
    }

    /// How many records are due and not taken.
    pub fn backlog(&self, now: u64) -> u64 {
        match &self.schedule {
            Schedule::Open { next, step, .. } => {
                super::super::stats::whole(((now as f64 - next) / step).max(0.0))
            }
            Schedule::Closed { .. } => 0,
        }
    }

    fn size(&mut self) -> u32 {
        let mut left = if self.sizes.len() > 1 {
            self.random.share()
        } else {
            0.0
        };
        for size in &self.sizes {
            left -= size.share;
            if left < 0.0 {
                return size.bytes;
            }
        }
        self.sizes.last().map_or(336, |size| size.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::disk::plan::records;

    fn feed(arrivals: Arrivals) -> Feed {
        Feed::new(arrivals, &records("k8s").unwrap().sizes, 7, 0)
    }

    #[test]
    fn an_open_loop_keeps_the_times_that_a_stall_passed_over() {
        let mut feed = feed(Arrivals::Constant { per_sec: 100.0 });
        let mut due = Vec::new();
        feed.take(0, 10, &mut due);
        assert_eq!(due.len(), 1);
        // A stall of one second: 100 records, each due at its own time.
        assert_eq!(feed.backlog(1_000_000_000), 99);
        feed.take(1_000_000_000, 1_000, &mut due);
        assert_eq!(due.len(), 101);
        assert_eq!(due[1].at, 10_000_000);
        assert_eq!(due[100].at, 1_000_000_000);
    }

    #[test]
    fn a_closed_loop_alternates_between_one_entry_and_the_rest() {
        let mut feed = feed(Arrivals::Clients { clients: 8 });
        let mut now = 0;
        let mut batches = Vec::new();
        for _ in 0..20 {
            now = now.max(feed.next_at().unwrap());
            let mut due = Vec::new();
            feed.take(now, 100, &mut due);
            now += 1_000_000;
            feed.done(due.len(), now);
            batches.push(due.len());
        }
        assert!(
            batches[2..].iter().all(|n| *n == 1 || *n == 7),
            "{batches:?}"
        );
        let mean = batches[2..].iter().sum::<usize>() as f64 / 18.0;
        assert!(
            (mean - 4.0).abs() < 0.5,
            "about half of the clients: {mean}"
        );
    }

    #[test]
    fn one_client_is_back_to_back() {
        let mut feed = feed(Arrivals::Clients { clients: 1 });
        let mut due = Vec::new();
        feed.take(0, 10, &mut due);
        assert_eq!(feed.next_at(), None);
        feed.done(1, 5_000);
        assert_eq!(feed.next_at(), Some(5_000));
    }

    #[test]
    fn sizes_and_random_arrivals_have_the_shares_and_the_rate() {
        let mut feed = feed(Arrivals::Poisson { per_sec: 1_000.0 });
        let mut due = Vec::new();
        feed.take(20_000_000_000, 100_000, &mut due);
        assert!((19_000..21_000).contains(&due.len()), "{}", due.len());
        let small = due.iter().filter(|d| d.bytes == 500).count() as f64 / due.len() as f64;
        assert!((small - 0.6).abs() < 0.02, "{small}");
        let huge = due.iter().filter(|d| d.bytes == 102_400).count() as f64 / due.len() as f64;
        assert!((huge - 0.01).abs() < 0.004, "{huge}");
    }
}
