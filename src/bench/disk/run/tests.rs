//! Whole plans on simulated disks.

use super::*;
use std::sync::{Arc, Mutex};

use crate::bench::disk::plan::{named, records};
use crate::bench::disk::simulated::{Costs, SimulatedDisk, SimulatedTime};
use crate::bench::disk::watch::Watch;
use crate::bench::{Cancel, NoProgress};
use crate::clock::Timestamp;
use crate::formats::bench::disk::{Arrivals, Barrier, Ground, Level};

struct Fake(&'static str);

impl Host for Fake {
    fn ground(&self, dir: &Path) -> Ground {
        Ground {
            dir: dir.display().to_string(),
            fs: "ext4".to_owned(),
            fitness: "fine".to_owned(),
            barrier: Barrier {
                state: self.0.to_owned(),
                why: "as the test says".to_owned(),
                ..Barrier::default()
            },
            ..Ground::default()
        }
    }
    fn barrier(&self, dir: &Path, _counted: Counted) -> Barrier {
        self.ground(dir).barrier
    }
}

fn bench(costs: Costs, state: &'static str, change: fn(&mut Plan)) -> DiskBench {
    bench_on(&Fake(state), costs, change)
}

fn bench_on(host: &dyn Host, costs: Costs, change: fn(&mut Plan)) -> DiskBench {
    let time = Arc::new(SimulatedTime::default());
    let disk = SimulatedDisk::new(Arc::clone(&time), costs);
    let rig = Rig {
        wal: Arc::new(disk.clone()),
        db: Arc::new(disk.clone()),
        time,
        watch: Watch::nothing(),
        cancel: Cancel::default(),
    };
    let mut plan = named(PlanName::Quick);
    plan.records = records("put256").unwrap();
    plan.wal_only = true;
    plan.real_time_secs = 0.0;
    plan.wal_dir = "/disk".to_owned();
    change(&mut plan);
    let result = run(
        &plan,
        &Context {
            rig: &rig,
            host,
            progress: &NoProgress,
            profile: &Profile::default(),
            clock: Clock::Fixed(Timestamp(0)),
            real_time_allowed: false,
        },
    );
    assert!(disk.files().is_empty(), "{:?}", disk.files());
    result
}

#[test]
fn a_fast_disk_is_ok_and_a_slow_one_is_not() {
    let fast = bench(Costs::default(), "on", |_| {});
    assert_eq!(fast.verdict.level, Level::Ok, "{:?}", fast.verdict);
    assert_eq!(fast.rounds.len(), 4);
    assert!(fast.partial.is_none());
    let slow = Costs {
        sync_ns: |_| 25_000_000,
        ..Costs::default()
    };
    let slow = bench(slow, "on", |_| {});
    assert_eq!(slow.verdict.level, Level::NotForEtcd);
    // 40 syncs a second give no thousand samples, so rounds were added.
    assert_eq!(slow.rounds.len(), 6);
    let capacity = slow.capacity.unwrap();
    assert!((capacity.flush_ms - 25.0).abs() < 0.1);
}

#[test]
fn a_volume_that_keeps_statistics_is_asked() {
    use std::sync::atomic::{AtomicU64, Ordering};
    /// Its own limit is exceeded for another 2.5 s at each look.
    struct Volume(AtomicU64);
    impl Host for Volume {
        fn ground(&self, dir: &Path) -> Ground {
            Ground {
                disks: vec![crate::formats::bench::disk::Disk {
                    name: "nvme1n1".to_owned(),
                    ..Default::default()
                }],
                ..Fake("on").ground(dir)
            }
        }
        fn barrier(&self, dir: &Path, counted: Counted) -> Barrier {
            Fake("on").barrier(dir, counted)
        }
        fn volume_page(&self, _: &crate::formats::bench::disk::Disk) -> Option<Vec<u8>> {
            let looks = self.0.fetch_add(1, Ordering::SeqCst);
            Some(crate::bench::disk::volume::tests::page(
                looks * 2_500_000,
                0,
            ))
        }
    }
    let result = bench_on(&Volume(AtomicU64::new(0)), Costs::default(), |_| {});
    assert_eq!(result.volumes.len(), 1);
    assert_eq!(result.volumes[0].limits.volume_us, 2_500_000);
    assert!(
        result
            .doubts
            .iter()
            .any(|d| d.contains("nvme1n1 says that limits were exceeded")),
        "{:?}",
        result.doubts
    );
}

#[test]
fn barriers_off_is_unsafe_however_fast() {
    let result = bench(Costs::default(), "off", |_| {});
    assert_eq!(result.verdict.level, Level::Unsafe);
    assert_eq!(result.verdict.barrier, "barriers off");
}

#[test]
fn a_full_disk_ends_the_bench_and_keeps_what_was_measured() {
    let full = Costs {
        full_at_write: Some(12_000),
        ..Costs::default()
    };
    let result = bench(full, "on", |plan| {
        plan.arrivals = Arrivals::Clients { clients: 1 };
    });
    let why = result.partial.unwrap();
    assert!(why.starts_with("the main rounds: "), "{why}");
    assert!(result.ledger.small_sync.unwrap().count > 1_000);
    assert!(result.total.is_some());
}

#[test]
fn progress_counts_down() {
    struct Said(Mutex<Vec<(String, f64)>>);
    impl Progress for Said {
        fn at(&self, part: &str, left: f64) {
            if let Ok(mut said) = self.0.lock() {
                said.push((part.to_owned(), left));
            }
        }
    }
    let time = Arc::new(SimulatedTime::default());
    let disk = SimulatedDisk::new(Arc::clone(&time), Costs::default());
    let rig = Rig {
        wal: Arc::new(disk.clone()),
        db: Arc::new(disk),
        time,
        watch: Watch::nothing(),
        cancel: Cancel::default(),
    };
    let mut plan = named(PlanName::Quick);
    plan.wal_only = true;
    plan.real_time_secs = 0.0;
    let said = Said(Mutex::default());
    run(
        &plan,
        &Context {
            rig: &rig,
            host: &Fake("on"),
            progress: &said,
            profile: &Profile::default(),
            clock: Clock::Fixed(Timestamp(0)),
            real_time_allowed: false,
        },
    );
    let said = said.0.into_inner().unwrap();
    assert!(said.is_sorted_by(|a, b| a.1 >= b.1), "{said:?}");
    assert!(said.last().unwrap().1 < 4.0, "{said:?}");
}
