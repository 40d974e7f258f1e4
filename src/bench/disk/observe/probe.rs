//! The careful probe beside a live etcd: small records, made durable one by one, so few that the
//! syncs take at most 5 % of the time. No burst, no commits, no second thread.

use std::io;

use crate::bench::Cancel;
use crate::bench::disk::storage::{Disk, Time};
use crate::bench::recorder::Recorder;
use crate::formats::bench::observe::Probe;

/// At most so many records per second, …
const MOST_PER_SEC: f64 = 20.0;
/// … and at most this share of the time in syncs.
const DUTY: f64 = 0.05;
/// At most so many bytes, …
const MOST_BYTES: u64 = 64 << 20;
/// … and so long.
pub const MOST_SECS: f64 = 60.0;
/// One put of 256 bytes, as etcd frames it.
const RECORD: u32 = 376;
/// Before anything is known of the disk.
const FIRST_PER_SEC: f64 = 2.0;
/// Syncs until the rate follows the median.
const LEARN: usize = 5;
/// Room for the records of a whole run.
const FILE_BYTES: u64 = 4 << 20;
const NAME: &str = "live-probe";

/// Runs it for so many seconds. The error that ended it early comes beside what was measured.
pub fn run(
    disk: &dyn Disk,
    time: &dyn Time,
    secs: f64,
    cancel: &Cancel,
) -> (Probe, Option<io::Error>) {
    let mut probe = Probe {
        record_bytes: RECORD,
        ..Probe::default()
    };
    let mut state = State::default();
    let error = write(disk, time, secs.min(MOST_SECS), cancel, &mut state).err();
    disk.remove(NAME).ok();
    probe.per_sec = state.rate;
    probe.secs = state.secs;
    probe.bytes = state.bytes;
    probe.sync = state.sync.latency();
    probe.durable = state.durable.latency();
    probe.duty = if state.secs > 0.0 {
        state.sync.sum_ns() as f64 / 1e9 / state.secs
    } else {
        0.0
    };
    (probe, error)
}

#[derive(Default)]
struct State {
    sync: Recorder,
    durable: Recorder,
    recent: Vec<u64>,
    rate: f64,
    secs: f64,
    bytes: u64,
}

impl State {
    /// Records per second from what syncs took so far. The longest of the last few counts as much
    /// as the median: on a disk that stalls, fewer are better.
    fn next_rate(&mut self, took: u64) -> f64 {
        self.recent.push(took);
        if self.recent.len() > 50 {
            self.recent.remove(0);
        }
        // Also the first few, which are not yet told apart from stalls.
        let most = if self.recent.len() < LEARN {
            FIRST_PER_SEC
        } else {
            MOST_PER_SEC
        };
        let mut sorted = self.recent.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        let mean = sorted.iter().sum::<u64>() / sorted.len() as u64;
        let secs = median.max(mean) as f64 / 1e9;
        most.min(DUTY / secs.max(1e-9))
    }
}

fn write(
    disk: &dyn Disk,
    time: &dyn Time,
    secs: f64,
    cancel: &Cancel,
    state: &mut State,
) -> io::Result<()> {
    let record: Vec<u8> = (0..RECORD).map(|i| (i % 251) as u8).collect();
    let mut file = disk.create(NAME)?;
    file.allocate(FILE_BYTES)?;
    file.sync_data()?;
    let start = time.now();
    let end = start + crate::bench::stats::whole(secs * 1e9);
    state.rate = FIRST_PER_SEC;
    let mut due = start;
    while due < end && !cancel.stopped() && state.bytes + u64::from(RECORD) <= MOST_BYTES {
        // In short steps, so that an abort is not waited for.
        while time.now() < due && !cancel.stopped() {
            time.sleep_until(due.min(time.now() + 50_000_000));
        }
        if cancel.stopped() {
            break;
        }
        if state.bytes % FILE_BYTES + u64::from(RECORD) > FILE_BYTES {
            file.seek(0)?;
        }
        file.write(&record)?;
        let written = time.now();
        file.sync_data()?;
        let durable = time.now();
        state.bytes += u64::from(RECORD);
        state.sync.record(durable - written);
        state.durable.record(durable.saturating_sub(due));
        state.rate = state.next_rate(durable - written);
        state.secs = (durable - start) as f64 / 1e9;
        let period = crate::bench::stats::whole(1e9 / state.rate);
        // Open loop: a late record does not push the next ones, but they never bunch up either.
        due = (due + period).max(durable + period / 4);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::disk::simulated::{Costs, SimulatedDisk, SimulatedTime};
    use std::sync::Arc;

    fn on(sync_ns: fn(u64) -> u64, secs: f64) -> (Probe, SimulatedDisk, Option<io::Error>) {
        let time = Arc::new(SimulatedTime::default());
        let costs = Costs {
            sync_ns,
            ..Costs::default()
        };
        let disk = SimulatedDisk::new(Arc::clone(&time), costs);
        let (probe, error) = run(&disk, &*time, secs, &Cancel::default());
        (probe, disk, error)
    }

    #[test]
    fn a_fast_disk_gets_twenty_a_second_and_a_p99_after_a_minute() {
        let (probe, disk, error) = on(|_| 200_000, 60.0);
        assert!(error.is_none());
        assert!((probe.per_sec - 20.0).abs() < 0.1, "{}", probe.per_sec);
        assert!(probe.sync.p99.unwrap().enough, "{}", probe.sync.count);
        assert!(probe.duty < 0.05);
        assert_eq!(disk.files(), Vec::<String>::new(), "nothing is left");
        let (short, ..) = on(|_| 200_000, 20.0);
        assert!(!short.sync.p99.unwrap().enough);
    }

    #[test]
    fn a_slow_disk_gets_few() {
        for ms in [10u64, 50, 400] {
            let sync: fn(u64) -> u64 = match ms {
                10 => |_| 10_000_000,
                50 => |_| 50_000_000,
                _ => |_| 400_000_000,
            };
            let (probe, ..) = on(sync, 60.0);
            // The first few come before anything is known.
            assert!(probe.duty < 0.07, "{ms} ms: {}", probe.duty);
            assert!(probe.sync.count > 5, "{ms} ms: {}", probe.sync.count);
        }
    }

    #[test]
    fn it_never_runs_longer_than_a_minute_and_stops_when_told() {
        let (probe, ..) = on(|_| 1_000_000, 3_600.0);
        assert!(probe.secs <= 61.0 && probe.bytes < MOST_BYTES);
        let cancel = Cancel::default();
        cancel.abort("etcd suffers");
        let time = Arc::new(SimulatedTime::default());
        let disk = SimulatedDisk::new(Arc::clone(&time), Costs::default());
        let (probe, error) = run(&disk, &*time, 60.0, &cancel);
        assert_eq!((probe.sync.count, error.is_none()), (0, true));
    }

    #[test]
    fn a_full_disk_keeps_what_was_measured() {
        let time = Arc::new(SimulatedTime::default());
        let costs = Costs {
            full_at_write: Some(30),
            ..Costs::default()
        };
        let disk = SimulatedDisk::new(Arc::clone(&time), costs);
        let (probe, error) = run(&disk, &*time, 60.0, &Cancel::default());
        assert_eq!(probe.sync.count, 30);
        assert_eq!(error.unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
