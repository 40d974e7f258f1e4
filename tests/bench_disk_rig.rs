//! `bench disk` on the programmable disk: counts and ratios are exact whatever the machine does;
//! limits are told apart; a power cut shows whether a disk keeps its word.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod rig;
mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use etcd_doctor::bench::Cancel;
use etcd_doctor::bench::disk::throttle::{Budget, Busy, UnknownBusy, look};
use etcd_doctor::bench::disk::{RealDisk, SystemTime};
use etcd_doctor::formats::bench::throttle::{Limit, Plateau, ThrottleProbe};
use etcd_doctor::formats::blockstat::parse_stat;
use etcd_doctor::formats::pressure::parse_pressure;
use rig::FakeDisk;
use rig::media::Behaviour;
use serde_json::Value;
use support::doctor;

const MIB: f64 = (1 << 20) as f64;

fn disk(mib: u64) -> Option<(FakeDisk, PathBuf)> {
    let made = FakeDisk::new(mib).and_then(|mut disk| {
        let at = disk.format("ext4", "rw")?;
        Ok((disk, at))
    });
    made.map_err(|why| eprintln!("skipped: {why}")).ok()
}

/// The fake disk's own counters, as the program reads those of a real one.
struct Counters(String);

impl Busy for Counters {
    fn device_busy_ns(&self) -> Option<u64> {
        let bytes = std::fs::read(format!("/sys/block/{}/stat", self.0)).ok()?;
        Some(parse_stat(&bytes)?.ms_busy * 1_000_000)
    }

    fn cpu_wait_ns(&self) -> Option<u64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    }
}

fn probe(disk: &FakeDisk, at: &Path, behaviour: Behaviour, budget: Budget) -> ThrottleProbe {
    disk.media.behave(behaviour);
    let real = RealDisk::open(at).unwrap();
    let busy = Counters(disk.name().to_owned());
    let found = look(
        &real,
        &SystemTime::new(),
        &busy,
        budget,
        None,
        &Cancel::default(),
    );
    disk.media.heal();
    eprintln!("{}", found.words);
    for trial in &found.trials {
        eprintln!(
            "  {}: {:.1} MiB/s, {:.0} writes/s, variation {:?}",
            trial.name,
            trial.bytes_per_sec / MIB,
            trial.writes_per_sec,
            trial.variation
        );
    }
    found
}

/// The plateau; on a machine whose processors are short a missed one is no fault of the detector.
fn recognised(found: ThrottleProbe) -> Option<Plateau> {
    if found.plateau.is_none() && starved() {
        eprintln!("skipped: tasks wait for processors here, and a limit did not show");
        return None;
    }
    assert!(found.plateau.is_some(), "{found:#?}");
    found.plateau
}

/// Whether tasks waited for a processor for a fifth of the last ten seconds.
fn starved() -> bool {
    let text = std::fs::read("/proc/pressure/cpu").unwrap_or_default();
    parse_pressure(&text).is_some_and(|pressure| pressure.some_avg10 > 0.2)
}

#[test]
fn limits_of_bytes_are_recognised_and_an_honest_disk_has_none() {
    let Some((disk, at)) = disk(768) else { return };
    let budget = Budget {
        bytes: 160 << 20,
        secs: 14.0,
    };
    let flush = Duration::from_millis(1);
    let bucket = Behaviour {
        flush,
        bytes_per_sec: 16.0 * MIB,
        burst_bytes: 40.0 * MIB,
        ..Behaviour::default()
    };
    let Some(plateau) = recognised(probe(&disk, &at, bucket, budget)) else {
        return;
    };
    assert_eq!(plateau.limit, Limit::Bytes);
    assert!(plateau.step.is_some(), "{plateau:?}");
    assert!(
        (plateau.bytes_per_sec / MIB - 16.0).abs() < 4.0,
        "{plateau:?}"
    );

    // An empty bucket still fills while the disk flushes: some credit, far less than a burst.
    let empty = Behaviour {
        burst_bytes: 0.5 * MIB,
        bytes_per_sec: 8.0 * MIB,
        ..bucket
    };
    let Some(plateau) = recognised(probe(&disk, &at, empty, budget)) else {
        return;
    };
    assert_eq!(plateau.limit, Limit::Bytes);
    assert!(plateau.step.is_none(), "{plateau:?}");
    assert!(
        (plateau.bytes_per_sec / MIB - 8.0).abs() < 2.0,
        "{plateau:?}"
    );

    let honest = Behaviour {
        flush: Duration::from_millis(3),
        ..Behaviour::default()
    };
    let found = probe(&disk, &at, honest, budget);
    assert_eq!(found.plateau, None, "{found:#?}");
}

#[test]
fn a_cgroup_limit_is_told_from_a_slow_disk() {
    let base = Path::new("/sys/fs/cgroup/blkio");
    if !base.join("blkio.throttle.write_bps_device").exists() {
        return eprintln!("skipped: no blkio controller of cgroup version 1 is mounted");
    }
    let Some((disk, at)) = disk(512) else { return };
    let group = base.join(format!("etcd-doctor-test-{}", std::process::id()));
    if let Err(err) = std::fs::create_dir(&group) {
        return eprintln!("skipped: a cgroup cannot be made: {err}");
    }
    let numbers = std::fs::read_to_string(format!("/sys/block/{}/dev", disk.name())).unwrap();
    let limit = format!("{} {}", numbers.trim(), 2 << 20);
    std::fs::write(group.join("blkio.throttle.write_bps_device"), limit).unwrap();
    // This process alone; its threads go with it.
    std::fs::write(group.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    let budget = Budget {
        bytes: 64 << 20,
        secs: 12.0,
    };
    let found = probe(&disk, &at, Behaviour::default(), budget);
    std::fs::write(base.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    std::fs::remove_dir(&group).ok();
    let starved = found.trials.is_empty();
    assert!(!starved);
    assert_eq!(
        found.plateau.map(|p| p.limit),
        Some(Limit::Cgroup),
        "{found:#?}"
    );
}

#[test]
fn without_counters_no_cgroup_is_accused() {
    let dir = tempfile::tempdir().unwrap();
    let real = RealDisk::open(dir.path()).unwrap();
    let budget = Budget {
        bytes: 16 << 20,
        secs: 2.0,
    };
    let found = look(
        &real,
        &SystemTime::new(),
        &UnknownBusy,
        budget,
        None,
        &Cancel::default(),
    );
    assert_ne!(found.plateau.map(|p| p.limit), Some(Limit::Cgroup));
    assert!(found.searched_bytes <= budget.bytes);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left"
    );
}

/// Rounds of `bench disk` with records of one size, one after the other.
fn closed(at: &Path, bytes: u32) -> Value {
    let output = doctor(&["bench", "disk", "--format", "json", "--only-etcd", "1"])
        .args(&[
            "--wal-only",
            "--closed",
            "--segment-mb",
            "8",
            "--profile",
            &bytes.to_string(),
            "--dir",
        ])
        .path(at)
        .output();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {text}"))
}

#[test]
fn a_sync_costs_one_flush_or_two_and_its_time_follows() {
    let Some((disk, at)) = disk(2_560) else {
        return;
    };
    let flush = Duration::from_millis(5);
    disk.media.behave(Behaviour {
        flush,
        ..Behaviour::default()
    });
    // With the 40 bytes of a state record: 376 and 8192 bytes in each sync.
    let (small, large) = (closed(&at, 336), closed(&at, 8_152));
    let per_sync = |result: &Value| {
        let rounds = result["rounds"].as_array().unwrap();
        let sum = |of: &dyn Fn(&Value) -> f64| rounds.iter().map(of).sum::<f64>();
        sum(&|r| r["device"]["flushes"].as_f64().unwrap())
            / sum(&|r| r["sync"]["count"].as_f64().unwrap())
    };
    let (one, two) = (per_sync(&small), per_sync(&large));
    eprintln!("flushes per sync: {one:.3} at 376 B, {two:.3} at 8 KiB");
    assert!((one - 1.09).abs() < 0.05, "{one}");
    assert!((two - 2.00).abs() < 0.05, "{two}");
    let p50 = |result: &Value| result["total"]["sync"]["p50"]["us"].as_f64().unwrap() / 1e3;
    let (fast, slow) = (p50(&small), p50(&large));
    eprintln!("p50: {fast:.2} ms and {slow:.2} ms");
    assert!(fast >= 5.0 && slow >= 10.0);
    let pressure = small["total"]["around"]["psi_cpu_some"]
        .as_f64()
        .unwrap_or(1.0);
    if pressure > 0.2 {
        return eprintln!(
            "the ratio is not looked at: tasks waited for a processor {:.0} % of the time",
            pressure * 100.0
        );
    }
    assert!((1.8..=2.2).contains(&(slow / fast)), "{}", slow / fast);
}

#[test]
fn a_power_cut_proves_an_honest_disk_and_convicts_a_liar() {
    for lies in [false, true] {
        let Some((mut disk, at)) = disk(2_048) else {
            return;
        };
        disk.media.behave(Behaviour {
            lies,
            ..Behaviour::default()
        });
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("peer.log");
        let mut peer = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args([
                "bench",
                "disk",
                "barrier-peer",
                "--once",
                "--listen",
                "127.0.0.1:0",
                "--log",
            ])
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(peer.stderr.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        let address = said
            .split_once("listening on ")
            .unwrap()
            .1
            .split(',')
            .next()
            .unwrap();
        let mut recorder = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args([
                "bench",
                "disk",
                "barrier-record",
                "--only-etcd",
                "1",
                "--size",
                "8MiB",
                "--peer",
                address,
                "--dir",
            ])
            .arg(&at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = std::time::Instant::now();
        while std::fs::read_to_string(&log)
            .unwrap_or_default()
            .lines()
            .count()
            < 5
        {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "nothing was recorded"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let survived = disk.power_cut();
        recorder.wait().unwrap();
        peer.wait().unwrap();
        let verify = |extra: &[&str], dir: &Path| {
            let output = doctor(&[
                "bench",
                "disk",
                "barrier-verify",
                "--format",
                "json",
                "--log",
            ])
            .path(&log)
            .arg("--dir")
            .path(dir)
            .args(extra)
            .output();
            let json: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            (output.status.code(), json)
        };
        match survived {
            Ok(dir) => {
                let (code, answer) = verify(&["--disk-only"], &dir);
                eprintln!("lies: {lies}: {}", answer["why"]);
                if lies {
                    assert_eq!(
                        (code, &answer["proof"]),
                        (Some(1), &"acknowledged-lost".into())
                    );
                } else {
                    assert_eq!(
                        (code, &answer["proof"]),
                        (Some(0), &"proven-by-power-cut".into()),
                        "{answer}"
                    );
                    assert!(answer["acknowledged"].as_u64().unwrap() > 5);
                    // This machine was not started anew, so without that word nothing is proven.
                    assert_eq!(verify(&[], &dir).0, Some(3));
                }
            }
            // Nothing can be mounted any more: the liar lost even the file system.
            Err(why) => assert!(lies, "{why}"),
        }
    }
}
