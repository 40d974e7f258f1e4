//! From a result to a level: every limit from the profile, every p99 with its interval.

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
    if bad && trust.blame != Blame::Disk {
        verdict.latency_level = Some(level);
        verdict.level = Level::Inconclusive;
        verdict.why = format!("{} ({})", trust.why, verdict.why);
    } else if level == Level::Inconclusive {
        verdict.blame = Blame::Samples;
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
    let good = matches!(level, Level::Ok | Level::HeavyLoadOk);
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
        let stall = self.most("slowest WAL fsync", &total.sync, "wal-sync-stall");
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
            return (
                Level::Inconclusive,
                format!(
                    "the 95 % interval of the WAL's p99 holds the limit, or {n} syncs are too few (a p99 needs 1000): a longer plan tells"
                ),
            );
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

    fn most(&mut self, what: &str, latency: &Latency, limit: &str) -> Stand {
        let line_us = self.profile.get(limit) * 1e3;
        let stand = if latency.max_us > line_us {
            Stand::Fail
        } else {
            Stand::Pass
        };
        self.line(what, ms(latency.max_us), limit, stand)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::recorder::Recorder;
    use crate::formats::bench::disk::{Commits, CurvePoint, Ground, Ledger};

    fn latency(fast_ms: f64, fast: usize, slow_ms: f64, slow: usize) -> Latency {
        let mut recorder = Recorder::default();
        let ns = |ms: f64| crate::bench::stats::whole(ms * 1e6);
        (0..fast).for_each(|_| recorder.record(ns(fast_ms)));
        (0..slow).for_each(|_| recorder.record(ns(slow_ms)));
        recorder.latency()
    }

    fn bench(sync: Latency, commit: Latency) -> DiskBench {
        DiskBench {
            total: Some(Round {
                secs: 10.0,
                sync,
                commits: Some(Commits {
                    total: commit,
                    duty: 0.02,
                    ..Commits::default()
                }),
                ..Round::default()
            }),
            ledger: Ledger {
                syncs_per_sec: Some(900.0),
                ..Ledger::default()
            },
            ..DiskBench::default()
        }
    }

    fn level(result: &DiskBench) -> Level {
        judge(result, &Trust::default(), &Profile::default()).level
    }

    fn fine_commits() -> Latency {
        latency(4.0, 300, 4.0, 0)
    }

    #[test]
    fn both_sides_of_ten_and_twenty_milliseconds() {
        for (p99_ms, expected) in [
            (9.8, Level::Ok),
            (10.3, Level::Marginal),
            (19.5, Level::Marginal),
            (20.5, Level::NotForEtcd),
        ] {
            let sync = latency(1.0, 1_900, p99_ms, 100);
            assert_eq!(level(&bench(sync, fine_commits())), expected, "{p99_ms}");
        }
    }

    #[test]
    fn too_few_samples_prove_slow_but_never_fast() {
        let few_slow = latency(1.0, 180, 45.0, 20);
        assert_eq!(level(&bench(few_slow, fine_commits())), Level::NotForEtcd);
        // Two of 150 above the line: p99 may be on either side.
        let few_fast = latency(1.0, 148, 11.0, 2);
        let verdict = judge(
            &bench(few_fast, fine_commits()),
            &Trust::default(),
            &Profile::default(),
        );
        assert_eq!(
            (verdict.level, verdict.blame),
            (Level::Inconclusive, Blame::Samples)
        );
        // An interval that holds the line.
        let close = latency(1.0, 990, 10.5, 10);
        assert_eq!(level(&bench(close, fine_commits())), Level::Inconclusive);
        assert_eq!(level(&DiskBench::default()), Level::Inconclusive);
    }

    #[test]
    fn a_handful_of_commits_decides_nothing() {
        let sync = || latency(0.3, 5_000, 0.3, 0);
        let all_below = |n: usize| {
            let verdict = judge(
                &bench(sync(), latency(4.0, n, 4.0, 0)),
                &Trust::default(),
                &Profile::default(),
            );
            let line = verdict
                .lines
                .iter()
                .find(|line| line.what == "backend commit p99")
                .map(|line| line.outcome.clone());
            (
                line.unwrap_or_default(),
                verdict.why.contains("do not decide"),
            )
        };
        assert_eq!(all_below(298), ("open".to_owned(), true));
        assert_eq!(all_below(299), ("pass".to_owned(), false));
    }

    #[test]
    fn a_stall_a_low_rate_and_slow_commits_count() {
        let stalled = latency(1.0, 1_999, 1_100.0, 1);
        assert_eq!(level(&bench(stalled, fine_commits())), Level::NotForEtcd);
        let fast = || latency(1.0, 2_000, 1.0, 0);
        let mut few = bench(fast(), fine_commits());
        few.ledger.syncs_per_sec = Some(49.0);
        assert_eq!(level(&few), Level::NotForEtcd);
        assert_eq!(
            level(&bench(fast(), latency(30.0, 300, 30.0, 0))),
            Level::Marginal
        );
        assert_eq!(
            level(&bench(fast(), latency(60.0, 300, 60.0, 0))),
            Level::NotForEtcd
        );
        let mut locked = bench(fast(), fine_commits());
        if let Some(commits) = locked.total.as_mut().and_then(|t| t.commits.as_mut()) {
            commits.duty = 0.21;
        }
        assert_eq!(level(&locked), Level::Marginal);
        let mut behind = bench(fast(), fine_commits());
        if let Some(total) = behind.total.as_mut() {
            total.backlog = 5_000;
        }
        assert_eq!(level(&behind), Level::Marginal);
    }

    #[test]
    fn p999_needs_ten_thousand() {
        let tail = |n: usize| bench(latency(1.0, n, 150.0, n / 400), fine_commits());
        assert_eq!(level(&tail(4_000)), Level::Ok);
        assert_eq!(level(&tail(40_000)), Level::Marginal);
    }

    #[test]
    fn a_heavy_load_takes_two_milliseconds_at_8_kib() {
        let mut fast = bench(latency(0.3, 5_000, 0.3, 0), fine_commits());
        let point = |ms: f64| CurvePoint {
            bytes: HEAVY_BYTES,
            sync: latency(ms, 2_000, ms, 0),
            per_sec: 1_000.0 / ms,
            cost: None,
        };
        fast.curve = vec![point(1.9)];
        assert_eq!(level(&fast), Level::HeavyLoadOk);
        // Two hundred commits cannot tell: that is said, with the plan that can.
        let mut few = fast.clone();
        if let Some(commits) = few.total.as_mut().and_then(|t| t.commits.as_mut()) {
            commits.total = latency(12.0, 3, 4.0, 197);
        }
        let verdict = judge(&few, &Trust::default(), &Profile::default());
        assert_eq!(verdict.level, Level::Ok);
        assert!(verdict.why.contains("--plan standard"), "{}", verdict.why);
        fast.curve = vec![point(2.1)];
        assert_eq!(level(&fast), Level::Ok);
    }

    #[test]
    fn a_disturbed_bench_is_inconclusive_and_a_good_one_stays_good() {
        let trust = Trust {
            blame: Blame::Cpu,
            why: "tasks waited".to_owned(),
            doubts: vec![],
        };
        let profile = Profile::default();
        let slow = bench(latency(1.0, 1_900, 30.0, 100), fine_commits());
        let verdict = judge(&slow, &trust, &profile);
        assert_eq!(verdict.level, Level::Inconclusive);
        assert_eq!(verdict.latency_level, Some(Level::NotForEtcd));
        assert!(verdict.why.starts_with("tasks waited"));
        let good = bench(latency(1.0, 2_000, 1.0, 0), fine_commits());
        assert_eq!(judge(&good, &trust, &profile).level, Level::Ok);
    }

    #[test]
    fn a_network_file_system_is_never_ok() {
        let mut fast = bench(latency(1.0, 2_000, 1.0, 0), fine_commits());
        fast.ground = Ground {
            fs: "nfs4".to_owned(),
            fitness: "unfit".to_owned(),
            fitness_why: "a network file system".to_owned(),
            ..Ground::default()
        };
        let verdict = judge(&fast, &Trust::default(), &Profile::default());
        assert_eq!(verdict.level, Level::Inconclusive);
        assert_eq!(verdict.latency_level, Some(Level::Ok));
        assert!(verdict.why.contains("nfs4"), "{}", verdict.why);
        // Slow is slow anywhere.
        let mut slow = bench(latency(1.0, 1_900, 45.0, 100), fine_commits());
        slow.ground = fast.ground;
        assert_eq!(level(&slow), Level::NotForEtcd);
    }

    #[test]
    fn an_unknown_mount_is_never_ok() {
        let mut fast = bench(latency(1.0, 2_000, 1.0, 0), fine_commits());
        fast.ground.problem = Some("no mount holds `x`".to_owned());
        let verdict = judge(&fast, &Trust::default(), &Profile::default());
        assert_eq!(verdict.level, Level::Inconclusive);
        assert!(verdict.why.contains("no mount holds"), "{}", verdict.why);
        fast.ground.fs = "ext4".to_owned();
        assert_eq!(level(&fast), Level::Ok, "only its disk has a doubt");
    }

    #[test]
    fn unsafe_stands_above_everything() {
        let mut off = bench(latency(0.01, 9_000, 0.01, 0), fine_commits());
        off.db_ground = Some(Ground {
            barrier: Barrier {
                state: "off".to_owned(),
                why: "/data is mounted with nobarrier".to_owned(),
                ..Barrier::default()
            },
            ..Ground::default()
        });
        let verdict = judge(&off, &Trust::default(), &Profile::default());
        assert_eq!(verdict.level, Level::Unsafe);
        assert_eq!(verdict.latency_level, Some(Level::Ok));
        assert!(verdict.why.contains("nobarrier"));
    }
}
