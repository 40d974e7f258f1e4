//! Verdicts at both sides of each line, and what stands above the latency.

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
fn a_stall_outside_the_rounds_counts() {
    let mut off = bench(latency(1.0, 2_000, 1.0, 0), fine_commits());
    off.ledger.fio_sync = Some(latency(1.0, 300, 2_000.0, 1));
    let verdict = judge(&off, &Trust::default(), &Profile::default());
    assert_eq!(verdict.level, Level::NotForEtcd);
    assert!(
        verdict.why.contains("while flushes were counted"),
        "{}",
        verdict.why
    );
    off.ledger.fio_sync = Some(latency(1.0, 300, 990.0, 1));
    assert_eq!(level(&off), Level::Ok);
}

#[test]
fn a_stall_that_the_processor_did_not_make_is_the_disks() {
    let profile = Profile::default();
    let stalled = bench(latency(1.0, 1_999, 2_000.0, 1), fine_commits());
    let mut trust = Trust {
        blame: Blame::Cpu,
        why: "tasks waited".to_owned(),
        ..Trust::default()
    };
    assert_eq!(judge(&stalled, &trust, &profile).level, Level::Inconclusive);
    trust.stall = Some("no thread waited".to_owned());
    let verdict = judge(&stalled, &trust, &profile);
    assert_eq!(
        (verdict.level, verdict.blame),
        (Level::NotForEtcd, Blame::Disk)
    );
    assert!(verdict.why.contains("no thread waited"), "{}", verdict.why);
    // It acquits of that one sync only.
    let slow = bench(latency(1.0, 1_900, 30.0, 100), fine_commits());
    assert_eq!(judge(&slow, &trust, &profile).level, Level::Inconclusive);
    trust.blame = Blame::Cgroup;
    assert_eq!(judge(&stalled, &trust, &profile).level, Level::Inconclusive);
}

#[test]
fn an_interval_above_the_line_is_a_fail_also_of_few() {
    let sync = || latency(0.3, 5_000, 0.3, 0);
    // The 76 commits of a slow disk: four of them are above the line.
    let slow = bench(sync(), latency(20.0, 72, 300.0, 4));
    let verdict = judge(&slow, &Trust::default(), &Profile::default());
    let line = verdict
        .lines
        .iter()
        .find(|l| l.what == "backend commit p99");
    assert_eq!(line.unwrap().outcome, "fail", "{verdict:?}");
    let one = bench(sync(), latency(20.0, 75, 300.0, 1));
    assert_eq!(level(&one), Level::Ok);
}

#[test]
fn why_it_is_open_is_said_by_what_is_missing() {
    let why = |sync| {
        judge(
            &bench(sync, fine_commits()),
            &Trust::default(),
            &Profile::default(),
        )
        .why
    };
    let close = why(latency(1.0, 4_700, 10.5, 50));
    assert!(
        close.contains("holds the limit") && !close.contains("too few"),
        "{close}"
    );
    let few = why(latency(1.0, 148, 11.0, 2));
    assert!(few.contains("too few") && !few.contains("holds"), "{few}");
}

#[test]
fn an_error_ends_it_first_and_nothing_else_is_blamed_for_it() {
    let broken = |sync, blame, of_device| {
        let trust = Trust {
            blame,
            why: "tasks waited".to_owned(),
            broke: Some(super::super::trust::Broke {
                why: "the main rounds: the device reported an I/O error".to_owned(),
                of_device,
            }),
            ..Trust::default()
        };
        judge(&bench(sync, fine_commits()), &trust, &Profile::default())
    };
    let fast = || latency(1.0, 2_000, 1.0, 0);
    let slow = || latency(1.0, 1_900, 45.0, 100);
    let verdict = broken(slow(), Blame::Cpu, true);
    assert_eq!(
        (verdict.level, verdict.blame),
        (Level::Inconclusive, Blame::Disk)
    );
    assert!(
        verdict.why.starts_with("the main rounds: the device"),
        "{}",
        verdict.why
    );
    assert_eq!(verdict.latency_level, Some(Level::NotForEtcd));
    assert_eq!(
        broken(fast(), Blame::Disk, false).level,
        Level::Inconclusive
    );
    assert_eq!(broken(slow(), Blame::Disk, true).level, Level::NotForEtcd);
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
        ..Trust::default()
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
