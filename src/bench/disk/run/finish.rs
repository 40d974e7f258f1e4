//! The end of a run: what the rounds cost, whom to blame, the verdict, and what to keep in mind.

use std::path::Path;

use crate::bench::stats::spread;
use crate::formats::bench::Latency;
use crate::formats::bench::disk::{Blame, DiskBench, Level, Volume};
use crate::formats::bench::throttle::Limit;

use super::super::capacity::{Cap, Known, capacity};
use super::super::micro::per_sync;
use super::super::plan::mean_bytes;
use super::super::trust::{Broke, flush_ms, weigh};
use super::super::verdict::judge;
use super::super::volume;
use super::Runner;

impl Runner<'_> {
    /// Ends it.
    pub(super) fn finish(mut self) -> DiskBench {
        if let Some(why) = self.cx.rig.cancel.reason() {
            self.result.partial = Some(why);
        }
        self.result.spread = spread(
            &self
                .result
                .rounds
                .iter()
                .filter_map(|round| round.sync.p99_ms())
                .collect::<Vec<_>>(),
        );
        self.totals();
        self.volumes();
        if self.counted.secs > 0.0 && self.counted.writes > 0 {
            let dir = Path::new(&self.plan.wal_dir);
            let uncounted = self
                .result
                .ground
                .disks
                .iter()
                .any(|disk| !disk.counts_flushes);
            if !uncounted
                && self
                    .result
                    .ledger
                    .small
                    .is_some_and(|small| small.flushes.is_some())
            {
                self.result.ground.barrier = self.cx.host.barrier(dir, self.counted);
            }
        }
        let mut trust = weigh(&self.result, self.cx.profile);
        if let Some(of_device) = self.broke {
            let why = self.result.partial.clone().unwrap_or_default();
            trust.broke = Some(Broke { why, of_device });
        }
        for doubt in trust.doubts.clone() {
            self.doubt(&doubt);
        }
        self.doubts();
        self.result.verdict = judge(&self.result, &trust, self.cx.profile);
        self.bound_model(trust.blame);
        // The stall is the disk's, and the rest may be the processor's.
        if trust.blame == Blame::Cpu && self.result.verdict.blame == Blame::Disk {
            let text = format!("of the other numbers: {}", trust.why);
            self.doubt(&text);
        }
        let good = matches!(self.result.verdict.level, Level::Ok | Level::HeavyLoadOk);
        if good && trust.blame != Blame::Disk {
            let text = format!("{}, so the disk is at least as good as this", trust.why);
            self.doubt(&text);
        }
        self.result.ended = Some(self.cx.clock.now());
        self.result
    }

    /// Takes back of the model what the measurement itself refutes.
    fn bound_model(&mut self, blame: Blame) {
        let Some(capacity) = &mut self.result.capacity else {
            return;
        };
        let verdict = &self.result.verdict;
        if verdict.latency_level.unwrap_or(verdict.level) == Level::NotForEtcd {
            // It asks for answers within 500 ms as well, of which the model knows nothing.
            capacity.check_perf = None;
        }
        if blame == Blame::Cgroup {
            self.result.capacity = None;
            self.doubt(
                "how many puts it carries is not told: the model knows the disk, and the limit of the cgroup comes first",
            );
        }
    }

    /// What the volumes say of their limits.
    fn volumes(&mut self) {
        let after = self.read_volumes();
        for (name, before) in std::mem::take(&mut self.volumes) {
            let now = after.iter().find(|(other, _)| *other == name);
            let Some(limits) = now.and_then(|(_, now)| volume::limits(&before, now)) else {
                continue;
            };
            if let Some(words) = volume::words(&name, &limits) {
                self.doubt(&words);
            }
            if self.result.volumes.iter().all(|have| have.name != name) {
                self.result.volumes.push(Volume { name, limits });
            }
        }
    }

    /// What the main rounds cost, and what the disk can carry.
    fn totals(&mut self) {
        let idle = self.result.ledger.idle;
        let ledger = &mut self.result.ledger;
        if let Some(total) = &self.result.total {
            if let Some(device) = &total.device {
                ledger.flush_ms = flush_ms(device, idle.as_ref());
                let cost = per_sync(Some(device), idle.as_ref(), total.entries, 0.0, None);
                if let Some(cost) = cost {
                    ledger.flushes_per_put = cost.flushes;
                    ledger.writes_per_put = Some(cost.writes);
                    ledger.bytes_per_put = Some(cost.device_bytes);
                    ledger.flushes_per_sec = cost
                        .flushes
                        .map(|each| each * total.entries as f64 / total.secs.max(1e-9));
                }
            }
            if let Some(flush_ms) = ledger.overwrite_sync_ms {
                let commits = total.commits.as_ref().filter(|c| c.total.count > 0);
                self.result.capacity = Some(capacity(&Known {
                    flush_ms,
                    entry_bytes: mean_bytes(&self.plan.records),
                    commit_ms: commits.map(|commits| commits.total.mean_us / 1e3),
                    duty: commits.map(|commits| commits.duty),
                    cpus: self.result.machine.cpus,
                    cap: self
                        .result
                        .throttle
                        .as_ref()
                        .and_then(|found| found.plateau)
                        .map(|plateau| match plateau.limit {
                            Limit::Writes => Cap::Writes(plateau.writes_per_sec),
                            Limit::Bytes | Limit::Cgroup => Cap::Bytes(plateau.bytes_per_sec),
                        }),
                }));
            }
        }
    }

    /// What everybody who reads the numbers must know.
    fn doubts(&mut self) {
        let mut doubts = Vec::new();
        let ground = &self.result.ground;
        if matches!(ground.fitness.as_str(), "doubtful" | "unfit" | "unknown") {
            doubts.push(format!(
                "{} on {}: {}",
                ground.fs, ground.dir, ground.fitness_why
            ));
        }
        doubts.extend(ground.remarks.iter().cloned());
        if let Some(why) = &ground.problem {
            doubts.push(why.clone());
        }
        // Where nothing was synced there was nothing to count.
        let synced = |latency: &Latency| latency.count > 0;
        if self.result.ledger.small_sync.as_ref().is_some_and(synced)
            && self
                .result
                .ledger
                .small
                .is_none_or(|small| small.flushes.is_none())
        {
            doubts.push(
                "flushes could not be counted (kernel below 5.5, or no disk with a queue of its own under the file system)"
                    .to_owned(),
            );
        }
        for (name, cost) in [
            ("small records", self.result.ledger.small),
            ("records of 2300 bytes", self.result.ledger.fio),
            ("overwriting", self.result.ledger.overwrite),
        ] {
            if let Some((flushes, expected)) =
                cost.and_then(|cost| cost.flushes.zip(cost.expected_flushes))
                && (flushes - expected).abs() > 0.15
            {
                doubts.push(format!(
                    "{name}: {flushes:.2} flushes per sync where {expected:.2} were expected: others flush the same disk, or the file system is set up unusually"
                ));
            }
        }
        if let Some(spread) = self.result.spread.filter(|spread| *spread > 1.0) {
            doubts.push(format!(
                "the rounds' p99 differ by a factor of {:.1}: do not rely on a single one",
                spread + 1.0
            ));
        }
        if let Some(total) = &self.result.total {
            if total.sync.p50.is_some_and(|p50| p50.us < 300.0) {
                doubts.push(
                    "below 0.3 ms etcd itself is 20 to 60 % slower per sync than this bench (its scheduler, colder caches): a floor, not a forecast"
                        .to_owned(),
                );
            }
            let discards = total.device.and_then(|device| device.discards);
            if discards.is_some_and(|n| n > 0) {
                doubts.push("discards were sent meanwhile: on a `discard` mount every removed segment costs some".to_owned());
            }
        }
        if let Some(refused) = self
            .result
            .real_time
            .as_ref()
            .and_then(|rt| rt.refused.clone())
        {
            doubts.push(format!("no comparison with a real-time class: {refused}"));
        }
        for doubt in doubts {
            self.doubt(&doubt);
        }
    }
}
