//! One number for a long window clears nothing that was short.

use super::*;
use crate::rules::testing::episodes;

/// A quarter of an hour, with trouble in one minute of it.
const WINDOW: i64 = 900;

fn sign(kind: &str, from: i64, secs: i64, count: u64, max_ms: Option<f64>) -> Episode {
    Episode {
        count,
        max_ms,
        ..crate::rules::testing::episode(kind, from, from + secs)
    }
}

/// Requests that were slow for so long.
fn slow_for(set: Set, secs: i64) -> Set {
    let slow = sign("slow-apply", 300, secs, 120, Some(1_500.0));
    let late = sign("heartbeat-late", 300, secs, 40, None);
    // The follower that heartbeats were late for, which nothing is wrong with.
    let set = set
        .put_over(&keys::DEVICE_FLUSH_TIME, device("cp1"), 0.2, WINDOW)
        .put_over(&keys::DEVICE_FLUSHES, device("cp1"), 1_000.0, WINDOW)
        .put_over(&keys::DEVICE_SAMPLE_SECS, device("cp1"), 60.0, WINDOW)
        .put_over(&keys::CGROUP_THROTTLED, etcd("cp1"), 0.0, WINDOW)
        .put_over(&keys::PROCESS_SAMPLE_SECS, etcd("cp1"), 60.0, WINDOW);
    events(
        set,
        "cp0",
        &[
            ("slow-apply", &[("count", 120.0), ("max_ms", 1_500.0)]),
            ("heartbeat-late", &[("count", 40.0)]),
        ],
    )
    .put(
        &keys::LOGS_EPISODES,
        member("cp0"),
        episodes(vec![slow, late]),
    )
}

/// A device whose counters were read at both ends of the window, or each so many seconds.
fn flushed(set: Set, mean_ms: f64, each_secs: i64) -> Set {
    set.put_over(&keys::DEVICE_FLUSH_TIME, device("cp0"), mean_ms, WINDOW)
        .put_over(&keys::DEVICE_FLUSHES, device("cp0"), 100_000.0, WINDOW)
        .put_over(
            &keys::DEVICE_SAMPLE_SECS,
            device("cp0"),
            each_secs as f64,
            WINDOW,
        )
}

#[test]
fn a_mean_clears_no_minute_of_a_quarter_of_an_hour() {
    let with = |mean_ms: f64, secs: i64, each_secs: i64| {
        let found = judged(&flushed(slow_for(Set::new(), secs), mean_ms, each_secs));
        out(&found).contains(&Cause::Disk)
    };
    assert!(!with(1.5, 60, WINDOW));
    // The trouble fills the window, or a sample lies beside it.
    assert!(with(1.5, 800, WINDOW));
    assert!(with(1.5, 60, 60));
    // So fast that even all of it in that minute is little.
    assert!(with(0.1, 60, WINDOW));
    // The device worked for less time than one request waited.
    let set = slow_for(Set::new(), 1)
        .put_over(&keys::DEVICE_FLUSH_TIME, device("cp0"), 1.0, WINDOW)
        .put_over(&keys::DEVICE_FLUSHES, device("cp0"), 1_000.0, WINDOW);
    assert!(out(&judged(&set)).contains(&Cause::Disk));
}

/// Each sync was slow, all the time, and the device had little to do: however few requests were
/// logged, it is not the device.
#[test]
fn a_device_that_did_less_than_half_of_what_slow_syncs_took_is_cleared() {
    let all = histogram(&[(64.0, 0.0), (128.0, 45_000.0)]);
    let set = slow_for(Set::new(), 10).put_over(&keys::WAL_FSYNC, member("cp0"), all, WINDOW);
    assert!(out(&judged(&flushed(set, 1.0, 60))).contains(&Cause::Disk));
    // Syncs that took little longer than the device's own work prove nothing.
    let some = histogram(&[(1.0, 44_000.0), (64.0, 0.0), (128.0, 1_000.0)]);
    let set = slow_for(Set::new(), 10).put_over(&keys::WAL_FSYNC, member("cp0"), some, WINDOW);
    assert!(!out(&judged(&flushed(set, 1.0, 60))).contains(&Cause::Disk));
}

#[test]
fn syncs_over_a_second_are_not_cleared_by_many_fast_flushes() {
    let with = |flush_ms: f64, each_secs: i64| {
        let set = events(
            Set::new(),
            "cp0",
            &[("wal-sync-slow", &[("count", 18.0), ("max_ms", 4_900.0)])],
        );
        let stalls = sign("wal-sync-slow", 300, 60, 18, Some(4_900.0));
        judged(&flushed(set, flush_ms, each_secs).put(
            &keys::LOGS_EPISODES,
            member("cp0"),
            episodes(vec![stalls]),
        ))
    };
    for each in [30, WINDOW] {
        let found = with(1.44, each);
        assert_eq!(found.verdict.cause, Cause::Disk, "{each}");
        assert!(!out(&found).contains(&Cause::Disk));
    }
    // All flushes together took less time than those syncs: they waited for something else.
    let found = with(0.1, WINDOW);
    assert!(out(&found).contains(&Cause::Disk));
    assert_ne!(found.verdict.cause, Cause::Disk);
}

#[test]
fn throttling_of_one_minute_is_not_cleared_by_a_quarter_of_an_hour() {
    let with = |share: f64, each_secs: i64| {
        let quick = histogram(&[(1.0, 100_000.0)]);
        let set = Set::new().put_over(&keys::WAL_FSYNC, member("cp0"), quick, WINDOW);
        let set = slow_for(set, 60)
            .put_over(&keys::CGROUP_THROTTLED, etcd("cp0"), share, WINDOW)
            .put_over(
                &keys::PROCESS_SAMPLE_SECS,
                etcd("cp0"),
                each_secs as f64,
                WINDOW,
            );
        (judged(&set), lacks(&set))
    };
    let (hidden, lacking) = with(0.064, WINDOW);
    assert!(!out(&hidden).contains(&Cause::Cpu));
    assert!(hidden.alternatives.iter().any(|a| a.cause == Cause::Cpu));
    assert!(
        lacking
            .iter()
            .any(|words| words.contains("lie closer together")),
        "{lacking:?}"
    );
    // None at all is none at any time, and dense samples tell the worst of them.
    assert!(out(&with(0.0, WINDOW).0).contains(&Cause::Cpu));
    assert!(out(&with(0.064, 60).0).contains(&Cause::Cpu));
}

/// The histogram of a process that runs for twenty days.
#[test]
fn a_life_of_good_syncs_clears_no_bad_minutes() {
    let with = |slow: f64| {
        let days = 20 * 86_400;
        let mut trouble = sign("slow-apply", days - 900, 890, 30, Some(279.0));
        trouble.count = 30;
        let set = events(
            Set::new(),
            "cp0",
            &[("slow-apply", &[("count", 30.0), ("max_ms", 279.0)])],
        )
        .put(&keys::LOGS_EPISODES, member("cp0"), episodes(vec![trouble]))
        .put_over(
            &keys::WAL_FSYNC,
            member("cp0"),
            histogram(&[(8.0, 5.2e6), (64.0, 0.0), (128.0, slow)]),
            days,
        );
        out(&judged(&set)).contains(&Cause::Disk)
    };
    assert!(!with(27_000.0));
    assert!(with(0.0));
}

/// What an old run that was well thins out is better asked of the last run.
#[test]
fn of_runs_on_several_days_the_last_one_is_asked_for() {
    use crate::diagnosis::rank::LAST_RUN;
    let slow = |days: i64| {
        let mut set = Set::new();
        for day in 0..days {
            let from = day * 86_400;
            let at = |secs| Timestamp::from_secs(from + secs);
            let window = Window::between(at(0), at(100));
            let origin = Origin::new(Collector::Logs, format!("day {day}"));
            let took = histogram(&[(100.0, 0.0), (500.0, 400.0)]);
            set.0.put(
                &keys::LOGS_REQUESTS_TOOK,
                Subject::cluster(),
                window,
                origin,
                took,
            );
        }
        judged(&set).verdict
    };
    let asks = |verdict: crate::diagnosis::Verdict| {
        assert!(!verdict.no_fault_seen, "{verdict:?}");
        verdict.missing.iter().any(|missing| missing == LAST_RUN)
    };
    assert!(asks(slow(2)));
    assert!(!asks(slow(1)));
}
