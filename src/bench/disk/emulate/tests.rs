//! Runs on simulated disks, where every number is known.

use super::*;
use crate::bench::disk::backend::Committed;
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
fn a_stall_that_begins_in_the_warm_up_counts() {
    // The warm-up is 0.3 s: sync 100 begins in it and ends long after it.
    let stalls = |ns: fn(u64) -> u64| {
        let (rig, _) = rig(Costs {
            sync_ns: ns,
            ..Costs::default()
        });
        go(&rig, Arrivals::Clients { clients: 1 }, 2.5).0.round("x")
    };
    let round = stalls(|n| if n == 100 { 2_000_000_000 } else { 1_000_000 });
    assert!(round.sync.max_us > 1_990_000.0, "{}", round.sync.max_us);
    assert!(round.secs > 2.5, "{}", round.secs);
    assert!(round.sync.count < 900, "{}", round.sync.count);
    // One that ends in the warm-up does not.
    let round = stalls(|n| if n == 100 { 100_000_000 } else { 1_000_000 });
    assert!(round.sync.max_us < 1_100.0, "{}", round.sync.max_us);
    assert!((round.secs - 2.5).abs() < 0.01, "{}", round.secs);
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

#[test]
fn commits_take_no_more_than_the_time_that_counts() {
    let at = |began, total_ns| Committed {
        began,
        total_ns,
        ..Committed::default()
    };
    let duty = |commits: &[Committed]| {
        let mut measured = CommitsMeasured::default();
        for commit in commits {
            measured.record(commit);
        }
        // Ten nanoseconds count, from 100 on.
        let measured = Measured {
            secs: 1e-8,
            commits: Some(measured.within((100, 110))),
            ..Measured::default()
        };
        measured.round("x").commits.unwrap().duty
    };
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(near(duty(&[at(101, 2), at(104, 3)]), 0.5));
    // One began before, one ended behind it, and one did both.
    assert!(near(duty(&[at(90, 15), at(106, 900)]), 0.9));
    assert!(near(duty(&[at(90, 900)]), 1.0));
    // Begun when all was over: none of it counts.
    assert!(near(duty(&[at(102, 3), at(112, 5)]), 0.3));
}
