//! From a result to a level: every limit from the profile, every p99 with its interval.

#[cfg(test)]
mod tests;

use crate::formats::bench::Latency;
use crate::formats::bench::disk::{
    Arrivals, Barrier, Blame, DiskBench, Judged, Level, PlanName, Round, Verdict,
};
use crate::profile::Profile;

use super::stand::{Stand, ms, settled, stand_p99, words, words_p99};
use super::trust::Trust;

/// Bytes of the record at which a disk must be fast to carry a heavy load.
pub const HEAVY_BYTES: u32 = 8_192;
/// The limit of commits under a heavy load.
const HEAVY_COMMIT: &str = "bench-heavy-commit-p99";
/// The line of the longest sync.
const STALL: &str = "slowest WAL fsync";

/// Judges a result.
pub fn judge(result: &DiskBench, trust: &Trust, profile: &Profile) -> Verdict {
    let mut bench = Bench {
        profile,
        heavy_wal: false,
        lines: Vec::new(),
    };
    let (level, why) = match &result.total {
        Some(total) if total.sync.count > 0 => bench.latency(result, total),
        _ => (Level::Inconclusive, "nothing was measured".to_owned()),
    };
    let mut verdict = Verdict {
        level,
        latency_level: None,
        why,
        blame: trust.blame,
        lines: bench.lines,
        barrier: barrier_words(&result.ground.barrier, result).to_owned(),
        profile: profile.name.clone(),
    };
    let bad = matches!(level, Level::Marginal | Level::NotForEtcd);
    let stalled = verdict
        .lines
        .iter()
        .find(|line| line.what == STALL && line.outcome == "fail")
        .map(|line| line.measured.clone());
    if bad
        && trust.blame == Blame::Cpu
        && let Some((took, cleared)) = stalled.zip(trust.stall.as_ref())
    {
        verdict.blame = Blame::Disk;
        verdict.why = format!("too slow for etcd: {STALL} {took}; {cleared}");
    } else if bad && trust.blame != Blame::Disk {
        verdict.latency_level = Some(level);
        verdict.level = Level::Inconclusive;
        verdict.why = format!("{} ({})", trust.why, verdict.why);
    } else if level == Level::Inconclusive {
        verdict.blame = Blame::Samples;
    }
    // Numbers up to an error make no good disk, and nothing else is to blame for the error.
    if let Some(broke) = &trust.broke {
        verdict.latency_level = (level != Level::Inconclusive).then_some(level);
        verdict.level = match (level, trust.blame) {
            (Level::NotForEtcd, Blame::Disk) => level,
            _ => Level::Inconclusive,
        };
        if broke.of_device {
            verdict.blame = Blame::Disk;
        }
        let numbers = match result.total {
            Some(_) => format!("; up to then: {}", verdict.why),
            None => String::new(),
        };
        verdict.why = format!("{}{numbers}", broke.why);
    }
    let grounds = [Some(&result.ground), result.db_ground.as_ref()];
    let off = grounds
        .into_iter()
        .flatten()
        .find(|ground| ground.barrier.off());
    let unfit = grounds
        .into_iter()
        .flatten()
        .find(|ground| ground.fitness == "unfit");
    // Nobody knows what was measured, and whether it keeps what it is given.
    let nowhere = grounds
        .into_iter()
        .flatten()
        .find_map(|ground| ground.problem.as_ref().filter(|_| ground.fs.is_empty()));
    let good = matches!(level, Level::Ok | Level::HeavyLoadOk) && trust.broke.is_none();
    if let Some(ground) = off {
        verdict.latency_level = Some(verdict.level);
        verdict.level = Level::Unsafe;
        verdict.why = format!(
            "acknowledged writes are lost with the power: {}",
            ground.barrier.why
        );
    } else if let Some(ground) = unfit.filter(|_| good) {
        verdict.latency_level = Some(level);
        verdict.level = Level::Inconclusive;
        verdict.why = format!("fast, but on {}: {}", ground.fs, ground.fitness_why);
    } else if let Some(why) = nowhere.filter(|_| good) {
        verdict.latency_level = Some(level);
        verdict.level = Level::Inconclusive;
        verdict.why = format!("fast, but its mount is not known: {why}");
    }
    verdict
}

/// What is known about flushes, in words that claim no more.
fn barrier_words(barrier: &Barrier, result: &DiskBench) -> &'static str {
    let implausible = result.ground.barrier.steps.iter().any(|step| {
        step.id == "5-flush-time" && step.state == "unknown" && step.why.contains("faster than")
    });
    match barrier.state.as_str() {
        "off" => "barriers off",
        "not-needed" => "no volatile cache claimed",
        "on" if implausible => "flushes sent, implausibly fast",
        "on" => "flushes sent, not proven",
        _ => "could not be told",
    }
}

struct Bench<'a> {
    profile: &'a Profile,
    /// Whether the WAL alone would carry a heavy load.
    heavy_wal: bool,
    lines: Vec<Judged>,
}

impl Bench<'_> {
    fn line(&mut self, what: &str, measured: String, limit: &str, stand: Stand) -> Stand {
        self.lines.push(Judged {
            what: what.to_owned(),
            measured,
            limit: self.profile.limit(limit).words(),
            outcome: stand.word().to_owned(),
        });
        stand
    }

    /// The level by latency and rate alone.
    fn latency(&mut self, result: &DiskBench, total: &Round) -> (Level, String) {
        let wal = self.p99("WAL fsync p99", &total.sync, "wal-fsync-p99");
        let grey = match wal {
            Stand::Pass => Stand::Pass,
            _ => self.p99("  the same, upper line", &total.sync, "bench-wal-p99-grey"),
        };
        let tail = self.p999(&total.sync);
        let stall = self.slowest(result, total);
        let rate = self.rate(result);
        let (commit, commit_grey, duty) = self.commits(total);
        let carried = self.carried(result, total);

        let fail = |stand| stand == Stand::Fail;
        let why = |lines: &[Judged], level: &str| {
            let failed: Vec<String> = lines
                .iter()
                .filter(|line| line.outcome == "fail" && !line.what.starts_with(' '))
                .map(|line| format!("{} {}", line.what, line.measured))
                .collect();
            format!("{level}: {}", failed.join("; "))
        };
        if fail(grey) || fail(stall) || fail(rate) || fail(commit_grey) {
            return (Level::NotForEtcd, why(&self.lines, "too slow for etcd"));
        }
        if fail(wal) || fail(tail) || fail(commit) || fail(duty) || fail(carried) {
            return (Level::Marginal, why(&self.lines, "at the edge"));
        }
        if wal == Stand::Open {
            let n = total.sync.count;
            let why = match total.sync.p99.is_some_and(|p99| p99.enough) {
                true => format!("the 95 % interval of the WAL's p99 of {n} syncs holds the limit"),
                false => format!("{n} syncs are too few (a p99 needs 1000)"),
            };
            let longer = match result.plan.name {
                PlanName::Soak => "another run",
                PlanName::Quick | PlanName::Standard => "a longer plan",
            };
            return (Level::Inconclusive, format!("{why}: {longer} tells"));
        }
        if self.heavy(result, total) {
            return (
                Level::HeavyLoadOk,
                "fast enough for a large and busy cluster".to_owned(),
            );
        }
        let mut why = "fast enough for etcd".to_owned();
        if let Some(commits) = total.commits.as_ref() {
            let heavy_us = self.profile.get(HEAVY_COMMIT) * 1e3;
            let longer = match result.plan.name {
                PlanName::Quick => "standard",
                PlanName::Standard | PlanName::Soak => "soak",
            };
            if commit == Stand::Open {
                why = format!(
                    "{why}; {} commits do not decide their p99 (--plan {longer} does)",
                    commits.total.count
                );
            } else if self.heavy_wal && !settled(&commits.total, heavy_us) {
                why = format!(
                    "{why}; its WAL would carry a heavy load, and {} commits do not tell whether they would (--plan {longer} does)",
                    commits.total.count
                );
            }
        }
        (Level::Ok, why)
    }

    fn p99(&mut self, what: &str, latency: &Latency, limit: &str) -> Stand {
        let line_us = self.profile.get(limit) * 1e3;
        let stand = stand_p99(latency, line_us);
        self.line(what, words_p99(latency), limit, stand)
    }

    fn p999(&mut self, latency: &Latency) -> Stand {
        const LIMIT: &str = "bench-wal-p999";
        let line_us = self.profile.get(LIMIT) * 1e3;
        let Some(p999) = latency.p999 else {
            return Stand::Open;
        };
        if !p999.enough {
            let words = format!("not told by {} syncs (needs 10000)", latency.count);
            return self.line("WAL fsync p99.9", words, LIMIT, Stand::Open);
        }
        let stand = if p999.bounds.below(line_us) {
            Stand::Pass
        } else if p999.bounds.above(line_us) {
            Stand::Fail
        } else {
            Stand::Open
        };
        let words = words(p999.us, p999.bounds.low_us, p999.bounds.high_us);
        self.line("WAL fsync p99.9", words, LIMIT, stand)
    }

    /// The longest sync of all parts that write as etcd does: a disk need not stall in the rounds.
    fn slowest(&mut self, result: &DiskBench, total: &Round) -> Stand {
        const LIMIT: &str = "wal-sync-stall";
        let ledger = &result.ledger;
        let apart = [ledger.small_sync.as_ref(), ledger.fio_sync.as_ref()]
            .into_iter()
            .flatten()
            .map(|sync| (sync, ", while flushes were counted"))
            .chain(
                result
                    .curve
                    .iter()
                    .map(|p| (&p.sync, ", in the fsync curve")),
            )
            .chain(result.contention.iter().flat_map(|contention| {
                [&contention.alone, &contention.with_commits]
                    .map(|round| (&round.sync, ", WAL against commits"))
            }));
        let mut most = (total.sync.max_us, "");
        for (sync, place) in apart {
            if sync.max_us > most.0 {
                most = (sync.max_us, place);
            }
        }
        let line_us = self.profile.get(LIMIT) * 1e3;
        // Which of them it was matters only where it decides.
        let (us, place) = most;
        let (stand, words) = if us > line_us {
            (Stand::Fail, format!("{}{place}", ms(us)))
        } else {
            (Stand::Pass, ms(total.sync.max_us))
        };
        self.line(STALL, words, LIMIT, stand)
    }

    /// Syncs per second one after the other, by the small record of the ledger.
    fn rate(&mut self, result: &DiskBench) -> Stand {
        const LIMIT: &str = "bench-sync-rate";
        let Some(per_sec) = result.ledger.syncs_per_sec else {
            return Stand::Open;
        };
        let stand = if per_sec < self.profile.get(LIMIT) {
            Stand::Fail
        } else {
            Stand::Pass
        };
        self.line(
            "syncs per second, one after the other",
            format!("{per_sec:.0}/s"),
            LIMIT,
            stand,
        )
    }

    fn commits(&mut self, total: &Round) -> (Stand, Stand, Stand) {
        let Some(commits) = &total.commits else {
            return (Stand::Open, Stand::Open, Stand::Open);
        };
        let commit = self.p99("backend commit p99", &commits.total, "backend-commit-p99");
        let grey = match commit {
            Stand::Pass => Stand::Pass,
            _ => self.p99(
                "  the same, upper line",
                &commits.total,
                "bench-commit-p99-grey",
            ),
        };
        const DUTY: &str = "bench-commit-duty";
        let stand = if commits.duty > self.profile.get(DUTY) {
            Stand::Fail
        } else {
            Stand::Pass
        };
        let words = format!("{:.1} % of the time", commits.duty * 100.0);
        let duty = self.line("commits lock the store", words, DUTY, stand);
        (commit, grey, duty)
    }

    /// Whether the asked rate was carried.
    fn carried(&mut self, result: &DiskBench, total: &Round) -> Stand {
        const LIMIT: &str = "bench-backlog";
        let per_sec = match result.plan.arrivals {
            Arrivals::Constant { per_sec } | Arrivals::Poisson { per_sec } => per_sec,
            Arrivals::Clients { .. } => return Stand::Pass,
        };
        let secs = total.backlog as f64 / per_sec;
        let stand = if secs > self.profile.get(LIMIT) / 1e3 {
            Stand::Fail
        } else {
            Stand::Pass
        };
        let words = format!("{secs:.2} s of {per_sec:.0} records/s");
        self.line(
            "records left behind at the end of a round",
            words,
            LIMIT,
            stand,
        )
    }

    /// Whether it carries a heavy load.
    fn heavy(&mut self, result: &DiskBench, total: &Round) -> bool {
        let Some(point) = result.curve.iter().find(|point| point.bytes == HEAVY_BYTES) else {
            return false;
        };
        let wal = self.p99("WAL fsync p99 at 8 KiB", &point.sync, "bench-heavy-wal-p99");
        const RATE: &str = "bench-heavy-sync-rate";
        let enough = point.per_sec >= self.profile.get(RATE);
        let stand = if enough { Stand::Pass } else { Stand::Fail };
        self.line(
            "syncs of 8 KiB per second",
            format!("{:.0}/s", point.per_sec),
            RATE,
            stand,
        );
        let commit = match &total.commits {
            Some(commits) => self.p99("backend commit p99", &commits.total, HEAVY_COMMIT),
            None => Stand::Open,
        };
        self.heavy_wal = wal == Stand::Pass && enough;
        self.heavy_wal && commit == Stand::Pass
    }
}
