//! One run of the emulators: the WAL in one thread, commits in another, as etcd's raft loop and
//! its backend are.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::Cancel;
use crate::bench::recorder::{Recorder, Ticks};
use crate::formats::bench::disk::{
    Arrivals, Commits, DeviceCount, Plan, Round, Surroundings, Tick,
};
use crate::formats::cpu::parse_schedstat;
use crate::sys;
use crate::target::HostRoot;

use super::arrivals::{Due, Feed};
use super::backend::{Backend, Committed, Pending};
use super::storage::{Allocation, Disk, Time};
use super::wal::{AroundSync, Wal, WalOptions};
use super::watch::{Watch, around_between, device_between};

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

/// What a run measured, so that several can be added up.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Seconds that count.
    pub secs: f64,
    entries: u64,
    bytes: u64,
    backlog: u64,
    write: Recorder,
    /// The syncs.
    pub sync: Recorder,
    durable: Recorder,
    cuts: Recorder,
    waits: Option<Recorder>,
    net: Option<Recorder>,
    commits: Option<CommitsMeasured>,
    /// What the devices did.
    pub device: Option<DeviceCount>,
    around: Surroundings,
    series: Vec<Tick>,
    class: Class,
    /// Whether segments could not be reserved.
    pub sparse: bool,
}

#[derive(Clone, Debug, Default)]
struct CommitsMeasured {
    total: Recorder,
    data_sync: Recorder,
    meta_sync: Recorder,
    grow_sync: Recorder,
    pages: u64,
    bytes: u64,
}

impl CommitsMeasured {
    fn record(&mut self, committed: &Committed) {
        self.total.record(committed.total_ns);
        self.data_sync.record(committed.data_sync_ns);
        self.meta_sync.record(committed.meta_sync_ns);
        if let Some(ns) = committed.grow_ns {
            self.grow_sync.record(ns);
        }
        self.pages += committed.pages;
        self.bytes += committed.bytes;
    }

    fn add(&mut self, other: &CommitsMeasured) {
        self.total.add(&other.total);
        self.data_sync.add(&other.data_sync);
        self.meta_sync.add(&other.meta_sync);
        self.grow_sync.add(&other.grow_sync);
        self.pages += other.pages;
        self.bytes += other.bytes;
    }
}

impl Measured {
    /// Adds another run of the same kind. The series is not joined.
    pub fn add(&mut self, other: &Measured) {
        let weight = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) if self.secs + other.secs > 0.0 => {
                Some((a * self.secs + b * other.secs) / (self.secs + other.secs))
            }
            _ => None,
        };
        if self.secs == 0.0 {
            *self = Measured {
                series: Vec::new(),
                ..other.clone()
            };
            return;
        }
        let mut around = Surroundings {
            psi_cpu_some: weight(self.around.psi_cpu_some, other.around.psi_cpu_some),
            psi_io_some: weight(self.around.psi_io_some, other.around.psi_io_some),
            steal: weight(self.around.steal, other.around.steal),
            cpu_busy: weight(self.around.cpu_busy, other.around.cpu_busy),
            run_delay_ms: sum(self.around.run_delay_ms, other.around.run_delay_ms),
            own_write_bytes: self
                .around
                .own_write_bytes
                .zip(other.around.own_write_bytes)
                .map(|(a, b)| a + b),
            own_io_limits: other.around.own_io_limits.clone(),
            writers: std::mem::take(&mut self.around.writers),
        };
        for writer in &other.around.writers {
            match around
                .writers
                .iter_mut()
                .find(|have| have.pid == writer.pid)
            {
                Some(have) => have.bytes += writer.bytes,
                None => around.writers.push(writer.clone()),
            }
        }
        around
            .writers
            .sort_by_key(|writer| std::cmp::Reverse(writer.bytes));
        self.around = around;
        self.secs += other.secs;
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.backlog = self.backlog.max(other.backlog);
        self.write.add(&other.write);
        self.sync.add(&other.sync);
        self.durable.add(&other.durable);
        self.cuts.add(&other.cuts);
        join(&mut self.waits, other.waits.as_ref(), Recorder::add);
        join(&mut self.net, other.net.as_ref(), Recorder::add);
        join(
            &mut self.commits,
            other.commits.as_ref(),
            CommitsMeasured::add,
        );
        self.device = match (self.device, other.device) {
            (Some(a), Some(b)) => Some(add_devices(&a, &b)),
            _ => None,
        };
        self.sparse |= other.sparse;
    }

    /// As results store it.
    pub fn round(&self, name: &str) -> Round {
        Round {
            name: name.to_owned(),
            secs: self.secs,
            entries: self.entries,
            bytes: self.bytes,
            backlog: self.backlog,
            write: self.write.latency(),
            sync: self.sync.latency(),
            durable: self.durable.latency(),
            cuts: self.cuts.latency(),
            run_delay: self.waits.as_ref().map(Recorder::latency),
            sync_without_delay: self.net.as_ref().map(Recorder::latency),
            commits: self.commits.as_ref().map(|commits| Commits {
                total: commits.total.latency(),
                data_sync: commits.data_sync.latency(),
                meta_sync: commits.meta_sync.latency(),
                grow_sync: commits.grow_sync.latency(),
                duty: if self.secs > 0.0 {
                    commits.total.sum_ns() as f64 / 1e9 / self.secs
                } else {
                    0.0
                },
                pages: commits.pages,
                bytes: commits.bytes,
            }),
            series: self.series.clone(),
            device: self.device,
            around: self.around.clone(),
            class: self.class.word().to_owned(),
        }
    }
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? + b?)
}

fn join<T>(into: &mut Option<T>, other: Option<&T>, add: fn(&mut T, &T)) {
    match (into.as_mut(), other) {
        (Some(into), Some(other)) => add(into, other),
        _ => *into = None,
    }
}

fn add_devices(a: &DeviceCount, b: &DeviceCount) -> DeviceCount {
    let both = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    DeviceCount {
        secs: a.secs + b.secs,
        writes: a.writes + b.writes,
        write_bytes: a.write_bytes + b.write_bytes,
        write_ms: a.write_ms + b.write_ms,
        reads: a.reads + b.reads,
        read_bytes: a.read_bytes + b.read_bytes,
        flushes: both(a.flushes, b.flushes),
        flush_ms: both(a.flush_ms, b.flush_ms),
        discards: both(a.discards, b.discards),
    }
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
                    writing.commits = commits;
                    Ok(())
                }
                (Ok(writing), Some(err)) => {
                    writing.commits = commits;
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
                continue;
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
                saved.durable_at.saturating_sub(self.counted_from),
                saved.bytes,
                saved.sync_ns,
            );
        }
        if let Some(before) = before {
            let after = rig.watch.snapshot(time.now());
            measured.secs = time.now().saturating_sub(self.counted_from) as f64 / 1e9;
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
            Ok(Some(committed)) if committed.began >= counted_from => measured.record(&committed),
            Ok(_) => {}
            Err(err) => {
                // The WAL must not go on alone and be taken for both.
                rig.cancel
                    .abort(format!("a commit of the database failed: {err}"));
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
        Some(parse_schedstat(bytes.get(..len)?)?.1)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::disk::plan::{named, records};
    use crate::bench::disk::simulated::{Costs, SimulatedDisk, SimulatedTime};
    use crate::formats::bench::disk::PlanName;

    fn rig(costs: Costs) -> (Rig, SimulatedDisk) {
        let time = Arc::new(SimulatedTime::default());
        let disk = SimulatedDisk::new(Arc::clone(&time), costs);
        let rig = Rig {
            wal: Arc::new(disk.clone()),
            db: Arc::new(disk.clone()),
            time,
            watch: Watch::nothing(),
            cancel: Cancel::default(),
        };
        (rig, disk)
    }

    fn go(rig: &Rig, arrivals: Arrivals, secs: f64) -> (Measured, Option<io::Error>) {
        let mut plan = named(PlanName::Quick);
        plan.records = records("put256").unwrap();
        let one = Run {
            name: "test",
            plan: &plan,
            arrivals,
            secs,
            with_db: false,
            class: Class::Other,
            seed: 1,
        };
        run(rig, &one)
    }

    #[test]
    fn a_closed_loop_is_as_fast_as_the_disk() {
        let (rig, disk) = rig(Costs::default());
        let (measured, failed) = go(&rig, Arrivals::Clients { clients: 1 }, 2.0);
        assert!(failed.is_none());
        let round = measured.round("x");
        // 1 ms for the sync and 2 µs for the write.
        assert!((round.syncs_per_sec().unwrap() - 998.0).abs() < 1.0);
        assert_eq!(round.entries_per_sync(), Some(1.0));
        assert!((round.sync.mean_us - 1_000.0).abs() < 0.1);
        assert!((round.write.mean_us - 2.0).abs() < 0.1);
        assert_eq!(round.device, None);
        assert!(disk.files().is_empty(), "{:?}", disk.files());
    }

    #[test]
    fn a_stall_makes_every_record_that_was_due_late() {
        // One sync in a thousand takes a second.
        let costs = Costs {
            sync_ns: |n| if n == 1_500 { 1_000_000_000 } else { 1_000_000 },
            ..Costs::default()
        };
        let (open, _) = rig(costs.clone());
        let (measured, _) = go(&open, Arrivals::Constant { per_sec: 500.0 }, 10.0);
        let round = measured.round("x");
        assert!((round.entries as f64 / 10.0 - 500.0).abs() < 1.0);
        let late: u64 = round
            .durable
            .buckets
            .iter()
            .filter(|slot| slot.upper_us > 100_000.0)
            .map(|slot| slot.count)
            .sum();
        assert!(
            (449..=452).contains(&late),
            "{late} records were due in the stall"
        );
        assert!(
            round.sync.p99.unwrap().us < 1_100.0,
            "the sync itself was slow once"
        );
        let (closed, _) = rig(costs);
        let (measured, _) = go(&closed, Arrivals::Clients { clients: 1 }, 10.0);
        let round = measured.round("x");
        let late: u64 = round
            .durable
            .buckets
            .iter()
            .filter(|slot| slot.upper_us > 100_000.0)
            .map(|slot| slot.count)
            .sum();
        assert_eq!(late, 1, "a closed loop hides it");
    }

    #[test]
    fn a_disk_that_cannot_keep_up_commits_in_groups() {
        let costs = Costs {
            sync_ns: |_| 10_000_000,
            ..Costs::default()
        };
        let (rig, _) = rig(costs);
        let (measured, _) = go(&rig, Arrivals::Constant { per_sec: 500.0 }, 10.0);
        let round = measured.round("x");
        assert!((round.entries_per_sync().unwrap() - 5.0).abs() < 0.1);
        assert!(round.backlog <= 5);
    }

    #[test]
    fn what_was_measured_before_the_disk_was_full_stays() {
        let costs = Costs {
            full_at_write: Some(1_200),
            ..Costs::default()
        };
        let (rig, disk) = rig(costs);
        let (measured, failed) = go(&rig, Arrivals::Clients { clients: 1 }, 60.0);
        assert_eq!(failed.unwrap().kind(), io::ErrorKind::StorageFull);
        let round = measured.round("x");
        assert!(round.sync.count > 800, "{}", round.sync.count);
        assert!(round.secs > 0.8);
        assert!(disk.files().is_empty(), "{:?}", disk.files());
    }

    #[test]
    fn a_cancelled_run_ends_at_once() {
        let (rig, _) = rig(Costs::default());
        rig.cancel.abort("enough");
        let (measured, failed) = go(&rig, Arrivals::Clients { clients: 1 }, 60.0);
        assert!(failed.is_none());
        assert_eq!(measured.round("x").sync.count, 0);
        assert_eq!(measured.secs, 0.0);
    }

    #[test]
    fn rounds_add_up() {
        let (rig, _) = rig(Costs::default());
        let (a, _) = go(&rig, Arrivals::Clients { clients: 1 }, 1.0);
        let (b, _) = go(&rig, Arrivals::Clients { clients: 1 }, 3.0);
        let mut total = Measured::default();
        total.add(&a);
        total.add(&b);
        let round = total.round("all");
        assert_eq!(
            round.sync.count,
            a.round("a").sync.count + b.round("b").sync.count
        );
        assert!((round.secs - 4.0).abs() < 0.01);
    }
}
