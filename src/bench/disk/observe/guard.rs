//! The live guard: looks at etcd every second while a bench writes beside it, and ends the bench
//! when etcd suffers. That etcd was hurt is a result and is reported as one.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::bench::Cancel;

use super::vitals::{Signs, Vitals, above};

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(1);
/// A mean of WAL fsyncs in one look above this share of the one before the bench, …
const TIMES: f64 = 2.0;
/// … and above what etcd's FAQ wants of the 99th percentile.
const FLOOR_US: f64 = 10_000.0;
/// A single fsync above half an election timeout is far too long. Seconds; etcd's buckets end at
/// 0.512.
const FAR_TOO_LONG: f64 = 0.512;
/// More proposals than before that wait, twice in a row: a queue, and no burst.
const MORE_PENDING: f64 = 10.0;
/// So many looks without an answer, and nobody knows how etcd fares.
const BLIND: u32 = 3;

/// What it compares with, and what it saw.
#[derive(Debug, Default)]
pub struct Guard {
    baseline_us: Option<f64>,
    baseline_pending: f64,
    last: Option<Signs>,
    waiting: u32,
    blind: u32,
}

impl Guard {
    /// Learns what is usual from two readings before the bench.
    pub fn learn(before: &Signs, after: &Signs) -> Self {
        let window = after.since(before, 1.0, None);
        Guard {
            baseline_us: window.wal_fsync.filter(|w| w.count > 0).map(|w| w.mean_us),
            baseline_pending: before
                .pending
                .unwrap_or(0.0)
                .max(after.pending.unwrap_or(0.0)),
            last: Some(after.clone()),
            ..Guard::default()
        }
    }

    /// Mean WAL fsync before the bench, microseconds; `None` when etcd wrote nothing.
    pub fn baseline_us(&self) -> Option<f64> {
        self.baseline_us
    }

    /// Takes a look; gives the reason to end the bench.
    pub fn look(&mut self, seen: Result<Signs, String>) -> Option<String> {
        let now = match seen {
            Ok(now) => now,
            Err(why) => {
                self.blind += 1;
                return (self.blind >= BLIND).then(|| {
                    format!("etcd did not say how it fares {BLIND} times in a row: {why}")
                });
            }
        };
        self.blind = 0;
        let then = self.last.replace(now.clone())?;
        if now.has_leader == Some(false) && then.has_leader == Some(true) {
            return Some("etcd lost its leader".to_owned());
        }
        let window = now.since(&then, 1.0, None);
        if window.leader_changes.is_some_and(|changes| changes > 0.0) {
            return Some("etcd changed its leader".to_owned());
        }
        if let (Some(now), Some(then)) = (&now.wal, &then.wal)
            && above(now, then, FAR_TOO_LONG).is_some_and(|count| count > 0.0)
        {
            return Some("a WAL fsync of etcd took more than 512 ms".to_owned());
        }
        if let Some(wal) = window.wal_fsync.filter(|w| w.count > 0)
            && wal.mean_us > FLOOR_US
            && self
                .baseline_us
                .is_none_or(|usual| wal.mean_us > usual * TIMES)
        {
            let usual = self
                .baseline_us
                .map_or("unknown".to_owned(), |us| format!("{:.1} ms", us / 1e3));
            return Some(format!(
                "the mean of etcd's WAL fsyncs rose to {:.1} ms in one second (before the bench: {usual})",
                wal.mean_us / 1e3
            ));
        }
        let waits = now
            .pending
            .is_some_and(|pending| pending > self.baseline_pending + MORE_PENDING);
        self.waiting = if waits { self.waiting + 1 } else { 0 };
        (self.waiting >= 2).then(|| {
            format!(
                "{:.0} proposals of etcd are waiting (before the bench: {:.0})",
                now.pending.unwrap_or(0.0),
                self.baseline_pending
            )
        })
    }
}

/// Reads etcd's figures once.
pub fn read(vitals: &dyn Vitals) -> Result<Signs, String> {
    vitals.signs()
}

/// What the guard tells afterwards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// Mean WAL fsync before, microseconds.
    pub before_us: Option<f64>,
    /// Mean while the bench ran.
    pub during_us: Option<f64>,
    /// Why it ended the bench.
    pub aborted: Option<String>,
}

/// Runs `act` under the guard. Watches for `baseline` first; refuses, with the reason, when it
/// cannot see how etcd fares. `cancel` ends the act.
pub fn under<T>(
    vitals: &dyn Vitals,
    baseline: Duration,
    cancel: &Cancel,
    act: impl FnOnce() -> T,
) -> Result<(T, Watched), String> {
    let before = read(vitals)?;
    wait(baseline, &|| cancel.stopped());
    let after = read(vitals)?;
    let mut guard = Guard::learn(&before, &after);
    let mut watched = Watched {
        before_us: guard.baseline_us(),
        ..Watched::default()
    };
    let done = Mutex::new(false);
    let is_done = || {
        *done
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let result = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !is_done() && !cancel.stopped() {
                wait(EVERY, &|| is_done() || cancel.stopped());
                if is_done() {
                    break;
                }
                if let Some(why) = guard.look(read(vitals)) {
                    cancel.abort(format!("the bench was hurting etcd: {why}"));
                    return Some(why);
                }
            }
            None
        });
        // Set also when `act` panics, or the watcher would never end.
        let _end = End(&done);
        let result = act();
        drop(_end);
        watched.aborted = watcher.join().unwrap_or_default();
        result
    });
    // A busy etcd may not answer in time just then; the last look that it answered tells as well.
    if let Some(last) = read(vitals).ok().or(guard.last) {
        let window = last.since(&after, 1.0, None);
        watched.during_us = window.wal_fsync.filter(|w| w.count > 0).map(|w| w.mean_us);
    }
    Ok((result, watched))
}

struct End<'a>(&'a Mutex<bool>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = true;
    }
}

/// Waits in small steps, so that a signal is not waited for.
pub(super) fn wait(time: Duration, stopped: &dyn Fn() -> bool) {
    let begin = Instant::now();
    while begin.elapsed() < time && !stopped() {
        std::thread::sleep(Duration::from_millis(20).min(time.saturating_sub(begin.elapsed())));
    }
}

#[cfg(test)]
mod tests {
    use super::super::vitals::tests::text;
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn signs(syncs: &[(f64, u64)], pending: u64, changes: u64) -> Signs {
        Signs::parse(text(syncs, pending, changes).as_bytes()).unwrap()
    }

    fn guard() -> Guard {
        Guard::learn(&signs(&[(6.0, 0)], 1, 2), &signs(&[(6.0, 100)], 1, 2))
    }

    #[test]
    fn twice_as_slow_and_over_ten_milliseconds_ends_it() {
        let mut guard = guard();
        assert_eq!(guard.baseline_us(), Some(6_000.0));
        // Slower, but not twice.
        assert_eq!(guard.look(Ok(signs(&[(6.0, 100), (11.0, 50)], 1, 2))), None);
        let why = guard
            .look(Ok(signs(&[(6.0, 100), (11.0, 50), (14.0, 50)], 1, 2)))
            .unwrap();
        assert!(
            why.contains("rose to 14.0 ms in one second (before the bench: 6.0 ms)"),
            "{why}"
        );
        // A fast disk may become ten times as slow below 10 ms.
        let mut fast = Guard::learn(&signs(&[(0.2, 0)], 0, 0), &signs(&[(0.2, 100)], 0, 0));
        assert_eq!(fast.look(Ok(signs(&[(0.2, 100), (5.0, 50)], 0, 0))), None);
    }

    #[test]
    fn a_leader_change_a_stall_and_a_queue_end_it() {
        let calm = [(6.0, 100)];
        assert!(
            guard()
                .look(Ok(signs(&calm, 1, 3)))
                .unwrap()
                .contains("leader")
        );
        let stalled = [(6.0, 10_000), (600.0, 1)];
        assert!(
            guard()
                .look(Ok(signs(&stalled, 1, 2)))
                .unwrap()
                .contains("512 ms")
        );
        let mut guard = guard();
        assert_eq!(guard.look(Ok(signs(&calm, 30, 2))), None, "a burst");
        assert!(
            guard
                .look(Ok(signs(&calm, 30, 2)))
                .unwrap()
                .contains("30 proposals")
        );
    }

    #[test]
    fn a_blind_guard_ends_it_too() {
        let mut guard = guard();
        let blind = || Err("connection refused".to_owned());
        assert_eq!(guard.look(blind()), None);
        assert_eq!(guard.look(Ok(signs(&[(6.0, 100)], 1, 2))), None);
        assert_eq!(guard.look(blind()), None);
        assert_eq!(guard.look(blind()), None);
        assert!(guard.look(blind()).unwrap().contains("connection refused"));
    }

    /// An etcd whose fsyncs take ever longer.
    struct Worse(AtomicU64);

    impl Vitals for Worse {
        fn scrape(&self) -> Result<Vec<u8>, String> {
            let at = self.0.fetch_add(1, Ordering::SeqCst);
            let syncs: Vec<(f64, u64)> = (0..=at).map(|i| (6.0 + 10.0 * i as f64, 10)).collect();
            Ok(text(&syncs, 0, 0).into_bytes())
        }
    }

    #[test]
    fn a_bench_that_hurts_is_ended_and_says_so() {
        let cancel = Cancel::default();
        let vitals = Worse(AtomicU64::new(0));
        let (looks, watched) = under(&vitals, Duration::ZERO, &cancel, || {
            let mut looks = 0;
            while !cancel.stopped() && looks < 500 {
                std::thread::sleep(Duration::from_millis(20));
                looks += 1;
            }
            looks
        })
        .unwrap();
        assert!(looks < 500, "ended by the guard");
        assert!(watched.aborted.is_some());
        assert!(
            cancel
                .reason()
                .unwrap()
                .starts_with("the bench was hurting etcd: ")
        );
    }

    /// An etcd that syncs and then does not answer any more.
    struct Busy(AtomicU64, std::sync::atomic::AtomicBool);

    impl Vitals for Busy {
        fn scrape(&self) -> Result<Vec<u8>, String> {
            if self.1.load(Ordering::SeqCst) {
                return Err("no answer in time".to_owned());
            }
            let at = self.0.fetch_add(1, Ordering::SeqCst);
            Ok(text(&[(6.0, 20 * (at + 1))], 0, 0).into_bytes())
        }
    }

    #[test]
    fn an_etcd_that_does_not_answer_at_the_end_was_seen_before() {
        let vitals = Busy(AtomicU64::new(0), false.into());
        let ((), watched) = under(&vitals, Duration::ZERO, &Cancel::default(), || {
            // Three looks: two before, and one of the guard.
            while vitals.0.load(Ordering::SeqCst) < 3 {
                std::thread::sleep(Duration::from_millis(20));
            }
            vitals.1.store(true, Ordering::SeqCst);
        })
        .unwrap();
        assert_eq!(watched.before_us, Some(6_000.0));
        assert_eq!(watched.during_us, Some(6_000.0));
    }

    struct Nobody;

    impl Vitals for Nobody {
        fn scrape(&self) -> Result<Vec<u8>, String> {
            Err("connection refused".to_owned())
        }
    }

    #[test]
    fn nothing_runs_where_nobody_can_look() {
        let ran = under(&Nobody, Duration::ZERO, &Cancel::default(), || {
            panic!("ran")
        });
        assert_eq!(ran.unwrap_err(), "connection refused");
    }
}
