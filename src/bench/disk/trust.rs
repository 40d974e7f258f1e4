//! Disk, processor, neighbour or cgroup: what the latencies are to be blamed on.
//!
//! A thread that waits for a processor reads as a slow disk: the same disk had a p99 of 8 ms beside
//! two compile jobs and of 0.2 ms in a real-time class. So a bad number is only the disk's when
//! nothing else explains it, or when the device's own counters prove it.
//!
//! A real-time class clears the processor only where the writing thread alone had to wait: the
//! kernel threads that serve a loop device or dm-crypt do not get it. One sync that took longer than
//! etcd's limit for a stall is judged by the waits of its own thread, whatever the others did.

use crate::formats::bench::disk::{Blame, DeviceCount, DiskBench, Ground, RealTime, Round};
use crate::profile::Profile;

/// Length of a slice of the kernel's cgroup throttling (`throtl_slice`, 100 ms on spinning disks
/// and by default).
const SLICE_MS: f64 = 100.0;

/// Syncs of which the device worked for less than this share waited above it.
const WORKED: f64 = 0.2;

/// Who is to blame, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trust {
    /// Who.
    pub blame: Blame,
    /// Why, in words; empty when nothing disturbed.
    pub why: String,
    /// What disturbed without being to blame.
    pub doubts: Vec<String>,
    /// Why the longest sync is not the processor's doing, where it was a stall.
    pub stall: Option<String>,
    /// The error that ended the run.
    pub broke: Option<Broke>,
}

/// An error that ended a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Broke {
    /// What failed and why.
    pub why: String,
    /// Whether it is an error of the device.
    pub of_device: bool,
}

/// Weighs what disturbed the main rounds.
pub fn weigh(result: &DiskBench, profile: &Profile) -> Trust {
    let mut trust = Trust::default();
    let Some(total) = &result.total else {
        return trust;
    };
    let p99 = total.sync.p99.map_or(0.0, |p| p.us / 1e3);
    let proof = device_proves(total, result.ledger.idle.as_ref(), profile);
    let cases = [
        cgroup(total, p99),
        processor(result, total, p99, profile),
        neighbour(total, result.ledger.idle.as_ref(), profile),
    ];
    for (blame, found) in [Blame::Cgroup, Blame::Cpu, Blame::Neighbour]
        .into_iter()
        .zip(cases)
    {
        match found {
            None => {}
            Some(Found::Cause(why)) if trust.blame == Blame::Disk && proof.is_none() => {
                trust.blame = blame;
                trust.why = why;
            }
            Some(Found::Cause(why) | Found::Doubt(why)) => trust.doubts.push(why),
        }
    }
    if let Some(proof) = proof
        && !trust.doubts.is_empty()
    {
        trust.doubts.push(proof);
    }
    trust.stall = stall(total, profile);
    trust
}

enum Found {
    /// It explains bad numbers.
    Cause(String),
    /// It was there, and does not explain them.
    Doubt(String),
}

/// Whether the device's own times are so long that no other explanation is needed.
fn device_proves(total: &Round, idle: Option<&DeviceCount>, profile: &Profile) -> Option<String> {
    let flush_ms = flush_ms(total.device.as_ref()?, idle)?;
    // Starved processors raised the device's own times from 25 to 147 µs, never to milliseconds;
    // one sync waits for one flush at least.
    (flush_ms > profile.get("wal-fsync-p99") / 2.0).then(|| {
        format!(
            "the device itself takes {flush_ms:.1} ms for a flush, which settles that it is slow"
        )
    })
}

/// Whether a sync was a stall even without what its thread waited for a processor.
fn stall(total: &Round, profile: &Profile) -> Option<String> {
    let net_ms = total.sync_without_delay.as_ref()?.max_us / 1e3;
    let waited_ms = total.run_delay.as_ref()?.max_us / 1e3;
    (net_ms > profile.get("wal-sync-stall")).then(|| {
        format!(
            "no thread waited for a processor longer than {} in a sync, so the longest one is not the processor's doing",
            crate::units::format_ms(waited_ms)
        )
    })
}

/// What stands between the writing thread and the disk and does not get its scheduling class.
fn unreached(ground: &Ground) -> Option<String> {
    // Their own threads check, compress and write: btrfs workers, ZFS's taskqs, a daemon.
    let own = ["btrfs", "zfs", "bcachefs", "fuse"]
        .iter()
        .any(|fs| ground.fs == *fs || ground.fs.starts_with(&format!("{fs}.")));
    if !ground.kernel_threads.is_empty() {
        Some(format!(
            "{} is served by threads of the kernel that do not get it",
            ground.kernel_threads.join(", ")
        ))
    } else if own {
        Some(format!(
            "{} writes by threads of its own that do not get it",
            ground.fs
        ))
    } else if ground.disks.is_empty() && !ground.fs.is_empty() {
        Some("what serves this file system is not known".to_owned())
    } else {
        None
    }
}

/// Mean time of a flush, those of the idle window taken off.
pub fn flush_ms(device: &DeviceCount, idle: Option<&DeviceCount>) -> Option<f64> {
    let share = idle
        .filter(|idle| idle.secs > 0.0)
        .map_or(0.0, |idle| device.secs / idle.secs);
    let less =
        |count: u64, idle: Option<u64>| (count as f64 - idle.unwrap_or(0) as f64 * share).max(0.0);
    let flushes = less(device.flushes?, idle.and_then(|idle| idle.flushes));
    let ms = less(device.flush_ms?, idle.and_then(|idle| idle.flush_ms));
    (flushes >= 20.0).then(|| ms / flushes)
}

/// A limit of our own cgroup: slow calls, a fast device, and waits in slices of 100 ms.
fn cgroup(total: &Round, p99_ms: f64) -> Option<Found> {
    let device = total.device.as_ref()?;
    let writes = device.writes.max(1) as f64;
    let device_ms = device.write_ms as f64 / writes + flush_ms(device, None).unwrap_or(0.0);
    let slow: u64 = total
        .sync
        .buckets
        .iter()
        .filter(|slot| slot.upper_us > 40_000.0)
        .map(|slot| slot.count)
        .sum();
    let in_slices: u64 = total
        .sync
        .buckets
        .iter()
        .filter(|slot| slot.upper_us > 40_000.0)
        .filter(|slot| {
            let slices = slot.upper_us / 1e3 / SLICE_MS;
            (slices - slices.round()).abs() < 0.15 && slices.round() >= 1.0
        })
        .map(|slot| slot.count)
        .sum();
    let signature = p99_ms > 40.0
        && slow >= 3
        && in_slices as f64 >= 0.6 * slow as f64
        && device_ms * 20.0 < p99_ms;
    let limits = &total.around.own_io_limits;
    let named = limits.join(", ");
    // Under a tight limit a sync waits for many slices and its time is no multiple any more. The
    // requests' times overlap, so their sum is the most that the device can have had to do with it.
    let waited_ms = total.sync.mean_us / 1e3 * total.sync.count as f64;
    let worked_ms = (device.write_ms + device.flush_ms.unwrap_or(0)) as f64;
    let above = p99_ms > SLICE_MS / 5.0 && worked_ms < waited_ms * WORKED;
    if above && !signature && !limits.is_empty() {
        return Some(Found::Cause(format!(
            "the device worked for {:.0} % of the time that syncs took: the rest is the limit of this program's cgroup ({named}), not the disk",
            worked_ms / waited_ms * 100.0
        )));
    }
    if signature {
        let who = if limits.is_empty() {
            "a limit of this program's cgroup (or one above it)".to_owned()
        } else {
            format!("the limit of this program's cgroup ({named})")
        };
        return Some(Found::Cause(format!(
            "syncs wait in slices of 100 ms while the device itself needs {device_ms:.1} ms: that is {who}, not the disk"
        )));
    }
    (!limits.is_empty()).then(|| {
        Found::Doubt(format!(
            "this program's own cgroup limits its I/O ({named}): the numbers are the cgroup's"
        ))
    })
}

fn processor(result: &DiskBench, total: &Round, p99_ms: f64, profile: &Profile) -> Option<Found> {
    let real_time: Option<&RealTime> = result.real_time.as_ref();
    let grounds = [Some(&result.ground), result.db_ground.as_ref()];
    let unreached = grounds.into_iter().flatten().find_map(unreached);
    let pressure = total
        .around
        .psi_cpu_some
        .filter(|some| *some > profile.get("bench-cpu-pressure"));
    let steal = total
        .around
        .steal
        .filter(|steal| *steal > profile.get("cpu-steal"));
    let waited = total
        .run_delay
        .as_ref()
        .and_then(|delay| delay.p99)
        .map(|p| p.us / 1e3)
        .filter(|ms| p99_ms > 0.0 && *ms > p99_ms * 0.3);
    let mut signs = Vec::new();
    if let Some(some) = pressure {
        signs.push(format!(
            "tasks waited for a processor {:.0} % of the time",
            some * 100.0
        ));
    }
    if let Some(steal) = steal {
        signs.push(format!(
            "the hypervisor took {:.0} % of the processors",
            steal * 100.0
        ));
    }
    if let Some(ms) = waited {
        signs.push(format!(
            "the writing thread itself waited {ms:.2} ms for a processor in its slowest hundredth"
        ));
    }
    let signs = signs.join(", ");
    let compared = real_time.and_then(|compared| {
        let (normal, fifo) = (&compared.normal, &compared.fifo);
        let enough = normal.p99?.enough && fifo.p99?.enough;
        let (name, normal, fifo) = if enough {
            ("p99", normal.p99?, fifo.p99?)
        } else {
            ("p90", normal.p90?, fifo.p90?)
        };
        Some((compared.ratio?, name, normal.us / 1e3, fifo.us / 1e3))
    });
    match compared {
        Some((ratio, name, normal, fifo)) if ratio > profile.get("bench-real-time-ratio") => {
            let why = format!(
                "the processor, not the disk: the {name} is {normal:.2} ms in the normal scheduling class and {fifo:.2} ms in a real-time class"
            );
            Some(Found::Cause(if signs.is_empty() {
                why
            } else {
                format!("{why}; {signs}")
            }))
        }
        Some(_) if signs.is_empty() => None,
        // Real time did not help, so the processor was not it, if it could have helped.
        Some(_) => Some(match unreached {
            None => Found::Doubt(format!(
                "{signs}, yet a real-time class changes little: it is not the processor"
            )),
            Some(why) => Found::Cause(format!(
                "{signs}: a wait for the processor reads as a slow disk, and that a real-time class changes little proves nothing here, as {why}"
            )),
        }),
        None if signs.is_empty() => None,
        None => Some(Found::Cause(format!(
            "{signs}: a wait for the processor reads as a slow disk"
        ))),
    }
}

fn neighbour(total: &Round, idle: Option<&DeviceCount>, profile: &Profile) -> Option<Found> {
    let limit = profile.get("bench-foreign-io");
    let device = total.device.as_ref();
    if let (Some(idle), Some(device)) = (idle.filter(|idle| idle.secs > 0.0), device) {
        let share = |idle_count: u64, count: u64| {
            if count == 0 {
                return 0.0;
            }
            idle_count as f64 / idle.secs * device.secs / count as f64
        };
        let bytes = share(idle.write_bytes, device.write_bytes);
        let flushes = share(idle.flushes.unwrap_or(0), device.flushes.unwrap_or(0));
        let most = bytes.max(flushes);
        if most > limit {
            return Some(Found::Cause(format!(
                "others use the disk: before anything was written it had {:.0} % of the bench's own traffic{}",
                most * 100.0,
                names(total)
            )));
        }
    }
    let own = total.around.own_write_bytes?;
    let others: u64 = total
        .around
        .writers
        .iter()
        .filter(|writer| writer.same_fs != Some(false))
        .map(|writer| writer.bytes)
        .sum();
    (others as f64 > limit * own.max(1) as f64).then(|| {
        Found::Cause(format!(
            "others wrote {:.0} % of what the bench wrote{}",
            others as f64 / own.max(1) as f64 * 100.0,
            names(total)
        ))
    })
}

fn names(total: &Round) -> String {
    let names: Vec<String> = total
        .around
        .writers
        .iter()
        .filter(|writer| writer.same_fs != Some(false))
        .take(3)
        .map(|writer| format!("{} (pid {})", writer.name, writer.pid))
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(": {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::recorder::Recorder;
    use crate::formats::bench::Latency;
    use crate::formats::bench::disk::{Surroundings, Writer};

    fn latency(ms: &[f64]) -> Latency {
        let mut recorder = Recorder::default();
        for ms in ms {
            recorder.record(crate::bench::stats::whole(ms * 1e6));
        }
        recorder.latency()
    }

    /// 1000 syncs, of which twenty take `slow` milliseconds.
    fn syncs(slow: f64) -> Latency {
        let mut all = vec![0.2; 980];
        all.extend([slow; 20]);
        latency(&all)
    }

    fn result(sync: Latency, around: Surroundings, flush_ms: u64) -> DiskBench {
        DiskBench {
            total: Some(Round {
                secs: 10.0,
                sync,
                device: Some(DeviceCount {
                    secs: 10.0,
                    writes: 3_000,
                    write_ms: 300,
                    write_bytes: 12_000_000,
                    flushes: Some(1_000),
                    flush_ms: Some(flush_ms),
                    ..DeviceCount::default()
                }),
                around,
                ..Round::default()
            }),
            ..DiskBench::default()
        }
    }

    fn weighed(result: &DiskBench) -> Blame {
        weigh(result, &Profile::default()).blame
    }

    #[test]
    fn nothing_disturbed() {
        let quiet = result(syncs(30.0), Surroundings::default(), 200);
        let trust = weigh(&quiet, &Profile::default());
        assert_eq!((trust.blame, trust.doubts.len()), (Blame::Disk, 0));
    }

    #[test]
    fn pressure_blames_the_processor_unless_real_time_or_the_device_settles_it() {
        let around = Surroundings {
            psi_cpu_some: Some(0.6),
            ..Surroundings::default()
        };
        let mut busy = result(syncs(8.0), around.clone(), 200);
        assert_eq!(weighed(&busy), Blame::Cpu);
        // Real time is as slow: the disk.
        busy.real_time = Some(RealTime {
            normal: syncs(8.0),
            fifo: syncs(7.0),
            refused: None,
            ratio: Some(1.1),
        });
        let trust = weigh(&busy, &Profile::default());
        assert_eq!(trust.blame, Blame::Disk);
        assert!(trust.doubts[0].contains("real-time"), "{:?}", trust.doubts);
        // A loop device's own threads wait whatever class the writer is in.
        for change in [
            |ground: &mut Ground| ground.kernel_threads = vec!["loop0 (loop)".to_owned()],
            |ground: &mut Ground| ground.fs = "overlay".to_owned(),
            |ground: &mut Ground| ground.fs = "fuse.sshfs".to_owned(),
        ] {
            let mut served = busy.clone();
            change(&mut served.ground);
            let trust = weigh(&served, &Profile::default());
            assert_eq!(trust.blame, Blame::Cpu, "{:?}", served.ground);
            assert!(trust.why.contains("proves nothing here"), "{}", trust.why);
            // Without a sign of starvation it says nothing against the disk.
            served.total.as_mut().unwrap().around.psi_cpu_some = Some(0.02);
            assert_eq!(weighed(&served), Blame::Disk);
        }
        // The device's own time of a flush is 12 ms.
        let slow = result(syncs(30.0), around, 12_000);
        let trust = weigh(&slow, &Profile::default());
        assert_eq!(trust.blame, Blame::Disk);
        assert!(trust.doubts.iter().any(|doubt| doubt.contains("12.0 ms")));
    }

    #[test]
    fn real_time_that_helps_blames_the_processor_without_any_pressure_file() {
        let mut starved = result(syncs(8.0), Surroundings::default(), 200);
        starved.real_time = Some(RealTime {
            normal: syncs(8.0),
            fifo: syncs(0.3),
            refused: None,
            ratio: Some(27.0),
        });
        let trust = weigh(&starved, &Profile::default());
        assert_eq!(trust.blame, Blame::Cpu);
        assert!(
            trust.why.contains("8.0") && trust.why.contains("0.3"),
            "{}",
            trust.why
        );
    }

    #[test]
    fn a_stall_is_judged_by_the_waits_of_its_own_thread() {
        let around = Surroundings {
            psi_cpu_some: Some(0.6),
            ..Surroundings::default()
        };
        let mut busy = result(syncs(2_050.0), around, 200);
        assert_eq!(weigh(&busy, &Profile::default()).stall, None, "not known");
        let mut waited = |ms: f64, net: f64| {
            let total = busy.total.as_mut().unwrap();
            total.run_delay = Some(latency(&[ms]));
            total.sync_without_delay = Some(latency(&[net]));
            weigh(&busy, &Profile::default())
        };
        let trust = waited(17.8, 1_982.0);
        assert_eq!(trust.blame, Blame::Cpu, "of the other numbers");
        assert!(trust.stall.unwrap().contains("17.8 ms"));
        assert_eq!(waited(1_950.0, 50.0).stall, None);
    }

    #[test]
    fn one_report_does_not_say_both_that_it_is_the_disk_and_that_it_is_not() {
        let around = Surroundings {
            psi_cpu_some: Some(0.21),
            own_io_limits: vec!["7:0 2 MiB/s".to_owned()],
            ..Surroundings::default()
        };
        let mut limited = result(syncs(618.0), around, 200);
        limited.real_time = Some(RealTime {
            normal: syncs(8.0),
            fifo: syncs(7.0),
            refused: None,
            ratio: Some(1.1),
        });
        let trust = weigh(&limited, &Profile::default());
        assert_eq!(trust.blame, Blame::Cgroup);
        assert!(trust.why.contains("not the disk"), "{}", trust.why);
        assert!(
            !trust
                .doubts
                .iter()
                .any(|doubt| doubt.contains("the disk decides")),
            "{:?}",
            trust.doubts
        );
    }

    #[test]
    fn a_cgroup_limit_is_seen_by_its_slices() {
        let around = Surroundings {
            own_io_limits: vec!["7:0 2 MiB/s".to_owned()],
            ..Surroundings::default()
        };
        let limited = result(syncs(99.0), around, 200);
        let trust = weigh(&limited, &Profile::default());
        assert_eq!(trust.blame, Blame::Cgroup);
        assert!(trust.why.contains("2 MiB/s"));
        // The same waits on a device that is slow itself are the device's.
        let slow = result(syncs(99.0), Surroundings::default(), 90_000);
        assert_eq!(weighed(&slow), Blame::Disk);
        // Under a tight limit waits are of any length: then a limit that is set, and an idle
        // device, say it.
        let tight = |own_io_limits: Vec<String>, flush_ms| {
            let around = Surroundings {
                own_io_limits,
                ..Surroundings::default()
            };
            weighed(&result(latency(&[1_350.0; 24]), around, flush_ms))
        };
        let set = || vec!["7:0 1 MiB/s".to_owned()];
        assert_eq!(tight(set(), 200), Blame::Cgroup);
        assert_eq!(tight(Vec::new(), 200), Blame::Disk);
        assert_eq!(
            tight(set(), 30_000),
            Blame::Disk,
            "the device is slow itself"
        );
        // Waits of 60 ms are no slices.
        assert_eq!(
            weighed(&result(syncs(60.0), Surroundings::default(), 200)),
            Blame::Disk
        );
    }

    #[test]
    fn neighbours_are_named() {
        let around = Surroundings {
            own_write_bytes: Some(10_000_000),
            writers: vec![
                Writer {
                    pid: 7,
                    name: "backup".to_owned(),
                    bytes: 4_000_000,
                    same_fs: Some(true),
                },
                Writer {
                    pid: 8,
                    name: "elsewhere".to_owned(),
                    bytes: 400_000_000,
                    same_fs: Some(false),
                },
            ],
            ..Surroundings::default()
        };
        let shared = result(syncs(30.0), around, 200);
        let trust = weigh(&shared, &Profile::default());
        assert_eq!(trust.blame, Blame::Neighbour);
        assert!(trust.why.contains("backup (pid 7)") && !trust.why.contains("elsewhere"));
        let mut before = result(syncs(30.0), Surroundings::default(), 200);
        before.ledger.idle = Some(DeviceCount {
            secs: 1.0,
            write_bytes: 600_000,
            flushes: Some(2),
            ..DeviceCount::default()
        });
        assert_eq!(weighed(&before), Blame::Neighbour);
    }
}
