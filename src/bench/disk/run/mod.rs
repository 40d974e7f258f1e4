//! The plan's parts in their order, and the result that they fill.

mod finish;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use crate::bench::Progress;
use crate::bench::machine::machine;
use crate::clock::Clock;
use crate::formats::bench::disk::{
    Contention, CurvePoint, DiskBench, FORMAT, Plan, PlanName, RealTime, VERSION,
};
use crate::formats::bench::{Latency, Percentile};
use crate::formats::ebs::Statistics;
use crate::profile::Profile;

use super::emulate::{self, Class, Measured, Rig};
use super::faults;
use super::host::{Counted, Host};
use super::micro::{Micro, Pattern, expected_flushes, micro, per_sync};
use super::plan::{named, seconds};
use super::stand::settled;
use super::throttle::{self, Budget};
use super::volume;
use super::watch::device_between;

/// Bytes of the small record of the ledger: a put of 256 bytes with its HardState.
const SMALL: u32 = 376;
/// Bytes of fio's recipe for etcd.
const FIO: u32 = 2_300;
/// Rounds beyond the plan when the samples do not decide yet.
const MORE_ROUNDS: u32 = 2;
/// Seconds of looking for a limit of throughput.
const LIMIT_SECS: f64 = 10.0;
/// Rounds after which a standard plan may end its main part early.
const LEAST_ROUNDS: u32 = 4;

/// Everything that a run needs besides its plan.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Disk, clock, counters.
    pub rig: &'a Rig,
    /// Facts about directories.
    pub host: &'a dyn Host,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// The limits.
    pub profile: &'a Profile,
    /// The time of day.
    pub clock: Clock,
    /// Whether threads may be put into a real-time class.
    pub real_time_allowed: bool,
}

/// Runs a plan. Whatever ends it early, what was measured by then is in the result.
pub fn run(plan: &Plan, cx: &Context<'_>) -> DiskBench {
    let mut runner = Runner {
        cx,
        plan,
        left_secs: seconds(plan),
        counted: Counted::default(),
        volumes: Vec::new(),
        broke: None,
        result: DiskBench {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(cx.clock.now()),
            machine: machine(),
            plan: plan.clone(),
            ground: cx.host.ground(Path::new(&plan.wal_dir)),
            db_ground: plan
                .db_dir
                .as_deref()
                .map(|dir| cx.host.ground(Path::new(dir))),
            ..DiskBench::default()
        },
    };
    runner.volumes = runner.read_volumes();
    for (name, part) in PARTS {
        if cx.rig.cancel.stopped() {
            break;
        }
        if let Err(err) = part(&mut runner) {
            runner.result.partial = Some(format!("{name}: {}", faults::words(&err)));
            runner.broke = Some(faults::of_device(&err));
            break;
        }
    }
    runner.finish()
}

type Part = fn(&mut Runner<'_>) -> io::Result<()>;

/// The parts in their order: what must be known first, first.
const PARTS: &[(&str, Part)] = &[
    ("watching the idle device", |run| run.idle()),
    ("counting flushes", |run| run.ledger()),
    ("the fsync curve", |run| run.curve()),
    ("the main rounds", |run| run.rounds()),
    ("WAL against commits", |run| run.contention()),
    ("the real-time comparison", |run| run.real_time()),
    ("looking for a limit", |run| run.throttle()),
];

struct Runner<'a> {
    cx: &'a Context<'a>,
    plan: &'a Plan,
    left_secs: f64,
    counted: Counted,
    /// Statistics that volumes kept before.
    volumes: Vec<(String, Statistics)>,
    /// Whether an error ended the run, and whether it is the device's own.
    broke: Option<bool>,
    result: DiskBench,
}

impl Runner<'_> {
    fn say(&self, part: &str) {
        self.cx.progress.at(part, self.left_secs.max(0.0));
    }

    fn read_volumes(&self) -> Vec<(String, Statistics)> {
        let grounds = [Some(&self.result.ground), self.result.db_ground.as_ref()];
        let disks = grounds.into_iter().flatten().flat_map(|g| &g.disks);
        disks
            .filter_map(|disk| {
                let page = self.cx.host.volume_page(disk);
                Some((disk.name.clone(), volume::read(page)?))
            })
            .collect()
    }

    fn idle(&mut self) -> io::Result<()> {
        self.say("watching the idle device");
        let rig = self.cx.rig;
        let before = rig.watch.snapshot(rig.time.now());
        let end = rig.time.now() + crate::bench::stats::whole(self.plan.idle_secs * 1e9);
        while rig.time.now() < end && !rig.cancel.stopped() {
            rig.time.sleep_until((rig.time.now() + 50_000_000).min(end));
        }
        let after = rig.watch.snapshot(rig.time.now());
        self.result.ledger.idle = device_between(&before, &after);
        self.left_secs -= self.plan.idle_secs;
        Ok(())
    }

    /// One measurement of one kind of sync.
    fn one(&mut self, pattern: Pattern, bytes: u32) -> (Micro, Option<io::Error>) {
        let (secs, segment) = (self.plan.point_secs, self.plan.segment_bytes);
        let done = micro(self.cx.rig, pattern, bytes, secs, segment, Class::Other);
        self.left_secs -= secs;
        self.count(&done.0);
        done
    }

    fn count(&mut self, micro: &Micro) {
        if let Some(device) = &micro.device {
            self.counted.writes += device.writes;
            self.counted.flushes += device.flushes.unwrap_or(0);
            self.counted.flush_ms += device.flush_ms.unwrap_or(0);
            self.counted.secs += device.secs;
        }
    }

    fn ledger(&mut self) -> io::Result<()> {
        for (name, pattern, bytes) in [
            ("appending", Pattern::Append, FIO),
            ("small records", Pattern::Preallocated, SMALL),
            ("records of 2300 bytes", Pattern::Preallocated, FIO),
            ("overwriting", Pattern::Overwrite, FIO),
        ] {
            if self.cx.rig.cancel.stopped() {
                return Ok(());
            }
            self.say(&format!("counting flushes: {name}"));
            let (micro, failed) = self.one(pattern, bytes);
            let cost = per_sync(
                micro.device.as_ref(),
                self.result.ledger.idle.as_ref(),
                micro.sync.count(),
                f64::from(bytes),
                expected_flushes(&self.result.ground, pattern, bytes),
            );
            let ledger = &mut self.result.ledger;
            match (pattern, bytes) {
                (Pattern::Append, _) => ledger.append = cost,
                (Pattern::Overwrite, _) => {
                    ledger.overwrite = cost;
                    let latency = micro.sync.latency();
                    ledger.overwrite_sync_ms = latency.p50.map(|p| p.us / 1e3);
                }
                (Pattern::Preallocated, SMALL) => {
                    ledger.small = cost;
                    if micro.secs > 0.0 && micro.sync.count() > 0 {
                        ledger.syncs_per_sec = Some(micro.sync.count() as f64 / micro.secs);
                    }
                    ledger.small_sync = Some(micro.sync.latency());
                }
                (Pattern::Preallocated, _) => {
                    ledger.fio = cost;
                    ledger.fio_sync = Some(micro.sync.latency());
                }
            }
            if let Some(err) = failed {
                return Err(err);
            }
        }
        Ok(())
    }

    fn curve(&mut self) -> io::Result<()> {
        for bytes in &self.plan.curve_bytes {
            if self.cx.rig.cancel.stopped() {
                return Ok(());
            }
            self.say(&format!("fsync of {bytes} bytes"));
            let (micro, failed) = self.one(Pattern::Preallocated, *bytes);
            if micro.sync.count() > 0 {
                self.result.curve.push(CurvePoint {
                    bytes: *bytes,
                    sync: micro.sync.latency(),
                    per_sec: micro.sync.count() as f64 / micro.secs.max(1e-9),
                    cost: per_sync(
                        micro.device.as_ref(),
                        self.result.ledger.idle.as_ref(),
                        micro.sync.count(),
                        f64::from(*bytes),
                        expected_flushes(&self.result.ground, Pattern::Preallocated, *bytes),
                    ),
                });
            }
            if let Some(err) = failed {
                return Err(err);
            }
        }
        Ok(())
    }

    fn emulate(
        &mut self,
        name: &str,
        secs: f64,
        with_db: bool,
        class: Class,
        seed: u64,
    ) -> (Measured, Option<io::Error>) {
        self.say(name);
        let run = emulate::Run {
            name,
            plan: self.plan,
            arrivals: self.plan.arrivals,
            secs,
            with_db,
            class,
            seed: self.plan.seed.wrapping_add(seed),
        };
        let done = emulate::run(self.cx.rig, &run);
        self.left_secs -= secs + self.plan.warm_up_secs;
        if done.0.sparse {
            self.doubt("the file system cannot reserve blocks, so WAL segments are sparse files, as they are for etcd itself");
        }
        done
    }

    fn doubt(&mut self, text: &str) {
        if !self.result.doubts.iter().any(|have| have == text) {
            self.result.doubts.push(text.to_owned());
        }
    }

    fn rounds(&mut self) -> io::Result<()> {
        let mut total = Measured::default();
        let mut outcome = Ok(());
        let planned = self.plan.rounds;
        for number in 1..=planned + MORE_ROUNDS {
            if self.cx.rig.cancel.stopped() {
                break;
            }
            let decided = self.decided(&total);
            if number > planned && (decided || self.plan.name == PlanName::Soak) {
                break;
            }
            let may_end = self.plan.name == PlanName::Standard && number > LEAST_ROUNDS;
            if may_end && decided {
                self.left_secs -= f64::from(planned + 1 - number)
                    * (self.plan.round_secs + self.plan.warm_up_secs);
                break;
            }
            let name = format!("round {number} of {}", planned.max(number));
            let (measured, failed) = self.emulate(
                &name,
                self.plan.round_secs,
                !self.plan.wal_only,
                Class::Other,
                u64::from(number),
            );
            if measured.sync.count() > 0 {
                total.add(&measured);
                self.result.rounds.push(measured.round(&name));
            }
            if let Some(err) = failed {
                outcome = Err(err);
                break;
            }
        }
        if total.sync.count() > 0 {
            self.result.total = Some(total.round("all rounds"));
        }
        outcome
    }

    /// Whether the samples put the p99 on one side of all lines. A standard plan also waits until
    /// the commits are told: there are ten a second at most.
    fn decided(&self, total: &Measured) -> bool {
        let sync = total.sync.latency();
        let Some(p99) = sync.p99.filter(|p99| p99.enough) else {
            return false;
        };
        let wal = ["wal-fsync-p99", "bench-wal-p99-grey"].iter().all(|limit| {
            let line_us = self.cx.profile.get(limit) * 1e3;
            p99.bounds.below(line_us) || p99.bounds.above(line_us)
        });
        let commits = total.commit_latency();
        let told = commits.is_none_or(|commits| {
            ["bench-heavy-commit-p99", "backend-commit-p99"]
                .iter()
                .all(|limit| settled(&commits, self.cx.profile.get(limit) * 1e3))
        });
        wal && (told || self.plan.name == PlanName::Quick)
    }

    /// The WAL alone, with commits, alone, with commits: taking turns, so that a drift of the
    /// disk is in both.
    fn contention(&mut self) -> io::Result<()> {
        if self.plan.contention_secs <= 0.0 || self.plan.wal_only {
            return Ok(());
        }
        let half = self.plan.contention_secs / 2.0;
        let (mut alone, mut with) = (Measured::default(), Measured::default());
        for turn in 0..4u64 {
            if self.cx.rig.cancel.stopped() {
                return Ok(());
            }
            let with_db = turn % 2 == 1;
            let name = if with_db {
                "WAL and commits"
            } else {
                "WAL alone"
            };
            let (measured, failed) =
                self.emulate(name, half, with_db, Class::Other, 100 + turn / 2);
            if with_db { &mut with } else { &mut alone }.add(&measured);
            if let Some(err) = failed {
                return Err(err);
            }
        }
        self.result.contention = Some(contention(alone, with));
        Ok(())
    }

    /// The same load in both scheduling classes. A quick plan spares it when nothing is in doubt.
    fn real_time(&mut self) -> io::Result<()> {
        let secs = self.plan.real_time_secs;
        if secs <= 0.0 {
            return Ok(());
        }
        if self.plan.name == PlanName::Quick && !self.in_doubt() {
            self.left_secs -= 2.0 * secs;
            return Ok(());
        }
        let refused = if !self.cx.real_time_allowed {
            Some("not allowed: run as root, or give --rt")
        } else if self.result.machine.cpus < 2 {
            Some("one processor only: a real-time thread would hold everybody else up")
        } else {
            None
        };
        if let Some(why) = refused {
            self.result.real_time = Some(RealTime {
                refused: Some(why.to_owned()),
                ..RealTime::default()
            });
            return Ok(());
        }
        let (mut normal, mut fifo) = (Measured::default(), Measured::default());
        for turn in 0..4u64 {
            if self.cx.rig.cancel.stopped() {
                return Ok(());
            }
            let class = if turn % 2 == 0 {
                Class::Other
            } else {
                Class::Fifo
            };
            let name = match class {
                Class::Other => "normal scheduling class",
                Class::Fifo => "real-time scheduling class",
            };
            // With its warm-up: no thread is in the real-time class for longer than `secs` in all.
            let each = (secs / 2.0 - self.plan.warm_up_secs).max(0.05);
            let (measured, failed) = self.emulate(name, each, false, class, 200 + turn / 2);
            if let Some(err) = failed {
                if class == Class::Fifo && err.kind() == io::ErrorKind::PermissionDenied {
                    self.result.real_time = Some(RealTime {
                        refused: Some("the kernel refused the real-time class".to_owned()),
                        ..RealTime::default()
                    });
                    return Ok(());
                }
                return Err(err);
            }
            if class == Class::Fifo {
                &mut fifo
            } else {
                &mut normal
            }
            .add(&measured);
        }
        let (normal, fifo) = (normal.sync.latency(), fifo.sync.latency());
        let ratio = class_ratio(&normal, &fifo);
        self.result.real_time = Some(RealTime {
            normal,
            fifo,
            refused: None,
            ratio,
        });
        Ok(())
    }

    fn throttle(&mut self) -> io::Result<()> {
        if !self.plan.throttle_probe {
            return Ok(());
        }
        self.say("looking for a limit of throughput");
        let rig = self.cx.rig;
        // At the pace of the plan's other parts.
        let pace = self.plan.point_secs / named(self.plan.name).point_secs.max(0.001);
        let budget = Budget {
            secs: LIMIT_SECS * pace,
            ..Budget::default()
        };
        let limits = rig.watch.own_io_limits();
        let limits = (!limits.is_empty()).then(|| limits.join(", "));
        let found = throttle::look(
            &*rig.wal,
            &*rig.time,
            &rig.watch,
            budget,
            limits,
            &rig.cancel,
        );
        self.left_secs -= LIMIT_SECS * pace;
        if let Some(doubt) = &found.doubt {
            self.doubt(&format!("looking for a limit of throughput: {doubt}"));
        }
        self.result.throttle = Some(found);
        Ok(())
    }

    /// Whether what was measured so far could be the processor's doing.
    fn in_doubt(&self) -> bool {
        let Some(total) = &self.result.total else {
            return false;
        };
        let line_us = self.cx.profile.get("wal-fsync-p99") * 1e3;
        total.sync.p99.is_none_or(|p99| !p99.bounds.below(line_us))
    }
}

fn contention(alone: Measured, with: Measured) -> Contention {
    let (alone, with) = (alone.round("WAL alone"), with.round("WAL and commits"));
    let p99 = |latency: &Latency| latency.p99.filter(|p99| p99.enough);
    let (a, b) = (p99(&alone.sync), p99(&with.sync));
    let p99_cost = a.zip(b).map(|(a, b)| b.us / a.us.max(0.001) - 1.0);
    let shown = a
        .zip(b)
        .is_some_and(|(a, b)| a.bounds.high_us.is_some_and(|high| high < b.bounds.low_us));
    Contention {
        mean_cost: if alone.sync.mean_us > 0.0 {
            with.sync.mean_us / alone.sync.mean_us - 1.0
        } else {
            0.0
        },
        p99_cost,
        shown,
        alone,
        with_commits: with,
    }
}

/// How many times slower the normal class is, by the p99 where both have samples enough for one,
/// else by the p90.
fn class_ratio(normal: &Latency, fifo: &Latency) -> Option<f64> {
    let of = |pick: fn(&Latency) -> Option<Percentile>| {
        let (normal, fifo) = (pick(normal)?, pick(fifo)?);
        (normal.enough && fifo.enough).then(|| normal.us / fifo.us.max(0.001))
    };
    of(|latency| latency.p99).or_else(|| of(|latency| latency.p90))
}
