//! One run of the emulators: the WAL in one thread, commits in another, as etcd's raft loop and
//! its backend are.

mod measured;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::Cancel;
use crate::bench::recorder::{Recorder, Ticks};
use crate::formats::bench::disk::{Arrivals, Plan};
use crate::formats::cpu::parse_schedstat;
use crate::sys;
use crate::target::HostRoot;

use super::arrivals::{Due, Feed};
use super::backend::{Backend, Pending};
use super::faults;
use super::storage::{Allocation, Disk, Time};
use super::wal::{AroundSync, Wal, WalOptions};
use super::watch::{Watch, around_between, device_between};

pub use measured::Measured;

use measured::CommitsMeasured;

/// etcd's backend commits this long after the last commit ended (`defaultBatchInterval`).
const BATCH_INTERVAL_NS: u64 = 100_000_000;
/// Most entries in one batch; raft bounds the bytes under way in a similar way.
const MOST_ENTRIES: usize = 8_192;
/// Longest sleep without a look at the cancel flag.
const NAP_NS: u64 = 50_000_000;

/// Scheduling class of the writing threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// The normal one.
    #[default]
    Other,
    /// SCHED_FIFO, priority 1.
    Fifo,
}

impl Class {
    /// The word in results.
    pub fn word(self) -> &'static str {
        match self {
            Class::Other => "other",
            Class::Fifo => "fifo",
        }
    }

    /// Puts the calling thread into it.
    pub fn enter(self) -> io::Result<()> {
        match self {
            Class::Other => Ok(()),
            Class::Fifo => sys::real_time(1),
        }
    }
}

/// Where and with what runs are made.
#[derive(Clone)]
pub struct Rig {
    /// Where the WAL is written.
    pub wal: Arc<dyn Disk>,
    /// Where the database is written.
    pub db: Arc<dyn Disk>,
    /// The clock.
    pub time: Arc<dyn Time>,
    /// What is watched meanwhile.
    pub watch: Watch,
    /// Ends everything.
    pub cancel: Cancel,
}

impl std::fmt::Debug for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rig")
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Its name in the result.
    pub name: &'a str,
    /// The plan's parameters.
    pub plan: &'a Plan,
    /// When records arrive.
    pub arrivals: Arrivals,
    /// Seconds that count.
    pub secs: f64,
    /// Whether the database is written too.
    pub with_db: bool,
    /// In which class.
    pub class: Class,
    /// Seed of this run.
    pub seed: u64,
}

/// Makes a run. What was measured before an error is kept.
pub fn run(rig: &Rig, run: &Run<'_>) -> (Measured, Option<io::Error>) {
    let mut measured = Measured {
        class: run.class,
        commits: run.with_db.then(CommitsMeasured::default),
        ..Measured::default()
    };
    let pending = Pending::default();
    let ended = AtomicBool::new(false);
    let census = rig.watch.census();
    let failed = std::thread::scope(|scope| -> io::Result<()> {
        let options = WalOptions {
            segment_bytes: run.plan.segment_bytes,
            crc: run.plan.crc,
            per_sync_bytes: run.plan.records.per_sync_bytes,
        };
        let wal = Wal::create(Arc::clone(&rig.wal), Arc::clone(&rig.time), options)?;
        measured.sparse = wal.allocation() == Allocation::Sparse;
        let mut backend = None;
        if run.with_db {
            backend = Some(Backend::create(
                Arc::clone(&rig.db),
                Arc::clone(&rig.time),
                run.plan.growth,
                run.plan.db_prefill_bytes,
                run.plan.db_steady,
            )?);
        }
        let start = rig.time.now();
        let counted_from = start + secs_ns(run.plan.warm_up_secs);
        let end = counted_from + secs_ns(run.secs);
        let (pending, ended) = (&pending, &ended);
        let committing = backend.map(|backend| {
            scope.spawn(move || commits(rig, run.class, backend, pending, ended, counted_from))
        });
        let wal_part = WalPart {
            rig,
            run,
            pending,
            start,
            counted_from,
            end,
        };
        let measured = &mut measured;
        let writing = scope.spawn(move || wal_part.write(wal, measured));
        let wrote = writing
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the WAL thread died")));
        ended.store(true, Ordering::Relaxed);
        if let Some(committing) = committing {
            let (commits, failed) = committing
                .join()
                .unwrap_or_else(|_| (None, Some(io::Error::other("the commit thread died"))));
            return match (wrote, failed) {
                (Ok(writing), None) => {
                    writing.commits = commits.map(|commits| commits.within(writing.counted));
                    Ok(())
                }
                (Ok(writing), Some(err)) => {
                    writing.commits = commits.map(|commits| commits.within(writing.counted));
                    Err(err)
                }
                (Err(err), _) => Err(err),
            };
        }
        wrote.map(|_| ())
    });
    measured.around.writers = rig.watch.writers_since(&census);
    measured.around.own_io_limits = rig.watch.own_io_limits();
    (measured, failed.err())
}

struct WalPart<'a> {
    rig: &'a Rig,
    run: &'a Run<'a>,
    pending: &'a Pending,
    start: u64,
    counted_from: u64,
    end: u64,
}

impl WalPart<'_> {
    fn write<'m>(&self, mut wal: Wal, measured: &'m mut Measured) -> io::Result<&'m mut Measured> {
        self.run.class.enter()?;
        let outcome = self.batches(&mut wal, measured);
        let removed = wal.remove();
        outcome?;
        removed?;
        Ok(measured)
    }

    fn batches(&self, wal: &mut Wal, measured: &mut Measured) -> io::Result<()> {
        let (rig, run) = (self.rig, self.run);
        let time = &*rig.time;
        let mut feed = Feed::new(run.arrivals, &run.plan.records.sizes, run.seed, self.start);
        let mut waits = RunDelay::open();
        let mut net = Recorder::default();
        let mut ticks = Ticks::default();
        let mut due: Vec<Due> = Vec::new();
        let mut sizes: Vec<u32> = Vec::new();
        let mut before = None;
        let mut delay_at_start = None;
        let mut counted_from = self.counted_from;
        let at_start = (rig.watch.snapshot(time.now()), waits.total());
        let mut outcome = Ok(());
        loop {
            let now = time.now();
            if now >= self.end || rig.cancel.stopped() {
                break;
            }
            if before.is_none() && now >= self.counted_from {
                before = Some(rig.watch.snapshot(time.now()));
                delay_at_start = waits.total();
                continue;
            }
            due.clear();
            feed.take(now, MOST_ENTRIES, &mut due);
            if due.is_empty() {
                let next = feed.next_at().unwrap_or(now + NAP_NS);
                let wake = next.min(now + NAP_NS).min(self.end);
                time.sleep_until(wake.max(now + 1));
                continue;
            }
            sizes.clear();
            sizes.extend(due.iter().map(|due| due.bytes));
            let saved = match wal.save(&sizes, &mut waits) {
                Ok(saved) => saved,
                Err(err) => {
                    outcome = Err(err);
                    break;
                }
            };
            feed.done(due.len(), time.now());
            if run.with_db {
                self.pending.add(&sizes);
            }
            if before.is_none() {
                if saved.durable_at < self.counted_from {
                    continue;
                }
                // It began in the warm-up and ended after it, so it is one of those that count: it may
                // be the stall that is looked for. One longer than the warm-up is nearly all that
                // the devices did since the start; their counters hold it only from there on.
                let (snapshot, delay) = if saved.sync_ns >= self.counted_from - self.start {
                    counted_from = self.start;
                    at_start.clone()
                } else {
                    (rig.watch.snapshot(time.now()), waits.total())
                };
                before = Some(snapshot);
                delay_at_start = delay;
            }
            measured.entries += due.len() as u64;
            measured.bytes += saved.bytes;
            measured.write.record(saved.write_ns);
            measured.sync.record(saved.sync_ns);
            net.record(saved.sync_ns.saturating_sub(waits.last.unwrap_or(0)));
            if let Some(ns) = saved.cut_ns {
                measured.cuts.record(ns);
            }
            for due in &due {
                measured
                    .durable
                    .record(saved.durable_at.saturating_sub(due.at));
            }
            ticks.add(
                saved.durable_at.saturating_sub(counted_from),
                saved.bytes,
                saved.sync_ns,
            );
        }
        if let Some(before) = before {
            let after = rig.watch.snapshot(time.now());
            measured.counted = (counted_from, time.now());
            measured.secs = measured.counted.1.saturating_sub(counted_from) as f64 / 1e9;
            measured.device = device_between(&before, &after);
            measured.around = around_between(&before, &after);
            measured.around.run_delay_ms = waits
                .total()
                .zip(delay_at_start)
                .map(|(a, b)| a.saturating_sub(b) as f64 / 1e6);
        }
        measured.backlog = feed.backlog(time.now());
        measured.series = ticks.finish();
        if waits.works() {
            measured.waits = Some(waits.recorder);
            measured.net = Some(net);
        }
        outcome
    }
}

fn commits(
    rig: &Rig,
    class: Class,
    mut backend: Backend,
    pending: &Pending,
    ended: &AtomicBool,
    counted_from: u64,
) -> (Option<CommitsMeasured>, Option<io::Error>) {
    let mut measured = CommitsMeasured::default();
    let mut failed = class.enter().err();
    while failed.is_none() && !ended.load(Ordering::Relaxed) {
        let wake = rig.time.now() + BATCH_INTERVAL_NS;
        while rig.time.now() < wake && !ended.load(Ordering::Relaxed) {
            rig.time.sleep_until((rig.time.now() + NAP_NS).min(wake));
        }
        if ended.load(Ordering::Relaxed) {
            break;
        }
        match backend.commit(pending) {
            // As the syncs: what ends in the time that counts.
            Ok(Some(committed)) if committed.began + committed.total_ns >= counted_from => {
                measured.record(&committed);
            }
            Ok(_) => {}
            Err(err) => {
                // The WAL must not go on alone and be taken for both.
                rig.cancel.abort(format!(
                    "a commit of the database failed: {}",
                    faults::words(&err)
                ));
                failed = Some(err);
            }
        }
    }
    let removed = backend.remove().err();
    (Some(measured), failed.or(removed))
}

/// How long the calling thread waits for a processor during each sync.
struct RunDelay {
    file: Option<std::fs::File>,
    before: Option<u64>,
    last: Option<u64>,
    recorder: Recorder,
}

impl RunDelay {
    /// For the calling thread.
    fn open() -> Self {
        RunDelay {
            file: HostRoot::live().open("/proc/thread-self/schedstat").ok(),
            before: None,
            last: None,
            recorder: Recorder::default(),
        }
    }

    fn works(&self) -> bool {
        self.recorder.count() > 0
    }

    fn total(&self) -> Option<u64> {
        use std::os::unix::fs::FileExt;
        let mut bytes = [0; 96];
        let len = self.file.as_ref()?.read_at(&mut bytes, 0).ok()?;
        Some(parse_schedstat(bytes.get(..len)?)?.waited)
    }
}

impl AroundSync for RunDelay {
    fn before(&mut self) {
        self.before = self.total();
    }

    fn after(&mut self) {
        self.last = self
            .before
            .zip(self.total())
            .map(|(before, after)| after.saturating_sub(before));
        if let Some(ns) = self.last {
            self.recorder.record(ns);
        }
    }
}

fn secs_ns(secs: f64) -> u64 {
    crate::bench::stats::whole(secs * 1e9)
}
