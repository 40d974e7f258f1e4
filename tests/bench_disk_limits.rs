//! What holds a disk back from outside, on the programmable disk: token bucket, empty bucket, limit
//! of writes, cgroup, a neighbour, busy processors. Each is recognised, and none is taken for
//! another or for a slow disk.
//!
//! On a machine whose processors are short a limit may not show; then that is said. What never may
//! happen, there too, is a wrong name.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod rig;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcd_doctor::bench::Cancel;
use etcd_doctor::bench::disk::throttle::{Budget, Busy, UnknownBusy, look};
use etcd_doctor::bench::disk::{RealDisk, SystemTime};
use etcd_doctor::formats::bench::throttle::{Confidence, Limit, ThrottleProbe};
use etcd_doctor::formats::blockstat::parse_stat;
use etcd_doctor::formats::pressure::parse_pressure;
use rig::FakeDisk;
use rig::media::Behaviour;
use serde_json::Value;

const MIB: f64 = (1 << 20) as f64;
const BUDGET: Budget = Budget {
    bytes: 160 << 20,
    secs: 10.0,
};

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
    let time = SystemTime::new();
    let found = look(&real, &time, &busy, budget, None, &Cancel::default());
    disk.media.heal();
    eprintln!("{}", found.words);
    for trial in &found.trials {
        eprintln!(
            "  {}: {:.2} ms, {:.1} MiB/s, {:.0} writes/s, variation {:?}",
            trial.name,
            trial.mean_us / 1e3,
            trial.bytes_per_sec / MIB,
            trial.writes_per_sec,
            trial.variation
        );
    }
    found
}

/// Whether tasks waited for a processor for a fifth of the last ten seconds.
fn starved() -> bool {
    let text = std::fs::read("/proc/pressure/cpu").unwrap_or_default();
    parse_pressure(&text).is_some_and(|pressure| pressure.some_avg10 > 0.2)
}

/// What must be found.
#[derive(Clone, Copy)]
struct Expected {
    limit: Option<Limit>,
    /// Bytes or writes per second.
    rate: f64,
    step: bool,
    confidence: Confidence,
}

/// Every kind of disk: its name, how it behaves, what must be found.
fn kinds() -> Vec<(&'static str, Behaviour, Expected)> {
    let flush = Duration::from_millis(1);
    let plain = Behaviour {
        flush,
        ..Behaviour::default()
    };
    let nothing = Expected {
        limit: None,
        rate: 0.0,
        step: false,
        confidence: Confidence::High,
    };
    let bytes = |rate, step, confidence| Expected {
        limit: Some(Limit::Bytes),
        rate,
        step,
        confidence,
    };
    vec![
        (
            "a token bucket",
            Behaviour {
                bytes_per_sec: 16.0 * MIB,
                burst_bytes: 40.0 * MIB,
                ..plain
            },
            bytes(16.0 * MIB, true, Confidence::High),
        ),
        (
            // It still fills while the disk flushes or rests: some credit, far less than a burst.
            "an empty bucket",
            Behaviour {
                bytes_per_sec: 8.0 * MIB,
                burst_bytes: 0.5 * MIB,
                ..plain
            },
            bytes(8.0 * MIB, false, Confidence::High),
        ),
        (
            "a limit that gives no credit at all",
            Behaviour {
                bytes_per_sec: 8.0 * MIB,
                ..plain
            },
            bytes(8.0 * MIB, false, Confidence::Low),
        ),
        (
            "a limit of writes",
            Behaviour {
                writes_per_sec: 400.0,
                ..plain
            },
            Expected {
                limit: Some(Limit::Writes),
                rate: 400.0,
                step: false,
                confidence: Confidence::Low,
            },
        ),
        ("a flush of 3 ms", slow(3), nothing),
        ("a flush of 10 ms", slow(10), nothing),
    ]
}

fn slow(ms: u64) -> Behaviour {
    Behaviour {
        flush: Duration::from_millis(ms),
        ..Behaviour::default()
    }
}

#[test]
fn limits_are_recognised_and_an_honest_disk_has_none() {
    let Some((disk, at)) = disk(768) else { return };
    for (name, behaviour, expected) in kinds() {
        eprintln!("== {name}");
        let found = probe(&disk, &at, behaviour, BUDGET);
        let plateau = found.plateau;
        if plateau.is_none() && expected.limit.is_some() && starved() {
            eprintln!("skipped: tasks wait for processors here, and the limit did not show");
            continue;
        }
        assert_eq!(
            plateau.map(|p| p.limit),
            expected.limit,
            "{name}: {found:#?}"
        );
        let Some(plateau) = plateau else { continue };
        assert_eq!(plateau.step.is_some(), expected.step, "{name}: {found:#?}");
        // A chunk after a rest may wait for a processor; then the credit does not show.
        let unseen = plateau.confidence == Confidence::Low && starved();
        assert!(
            unseen || plateau.confidence == expected.confidence,
            "{name}: {found:#?}"
        );
        let rate = match plateau.limit {
            Limit::Writes => plateau.writes_per_sec,
            _ => plateau.bytes_per_sec,
        };
        // The journal's own writes are in the device's count and not in ours.
        assert!(
            (0.72..1.28).contains(&(rate / expected.rate)),
            "{name}: {rate} {found:#?}"
        );
    }
}

#[test]
fn beside_busy_processors_none_is_taken_for_another() {
    let Some((disk, at)) = disk(768) else { return };
    let _jobs = compile_jobs();
    let budget = Budget {
        secs: 6.0,
        ..BUDGET
    };
    // One of each: of bytes, of writes, none.
    let some = kinds().into_iter().enumerate();
    for (_, (name, behaviour, expected)) in some.filter(|(at, _)| [0, 3, 5].contains(at)) {
        eprintln!("== {name}, beside two jobs");
        let found = probe(&disk, &at, behaviour, budget);
        let limit = found.plateau.map(|p| p.limit);
        assert!(
            limit.is_none() || limit == expected.limit,
            "{name}: {found:#?}"
        );
    }
}

#[test]
fn without_counters_no_cgroup_is_accused() {
    let dir = tempfile::tempdir().unwrap();
    let real = RealDisk::open(dir.path()).unwrap();
    let budget = Budget {
        bytes: 16 << 20,
        secs: 2.0,
    };
    let time = SystemTime::new();
    let found = look(&real, &time, &UnknownBusy, budget, None, &Cancel::default());
    assert_ne!(found.plateau.map(|p| p.limit), Some(Limit::Cgroup));
    assert!(found.searched_bytes <= budget.bytes);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left"
    );
}

/// A cgroup that limits writes to a disk; gone with the value.
struct Group {
    folder: PathBuf,
}

impl Group {
    /// Bytes per second, or writes; of whichever version this machine has. The reason where it has
    /// none.
    fn new(disk: &FakeDisk, bytes: u64, writes: u64) -> Result<Self, String> {
        let said = |err: std::io::Error| err.to_string();
        let numbers = std::fs::read_to_string(format!("/sys/block/{}/dev", disk.name()));
        let numbers = numbers.map_err(said)?;
        let numbers = numbers.trim();
        let (one, two) = (
            Path::new("/sys/fs/cgroup/blkio"),
            Path::new("/sys/fs/cgroup"),
        );
        let name = format!("etcd-doctor-test-{}", std::process::id());
        let limit = |value: u64| {
            if value > 0 {
                value.to_string()
            } else {
                "max".to_owned()
            }
        };
        if one.join("blkio.throttle.write_bps_device").exists() {
            let group = Group {
                folder: one.join(name),
            };
            std::fs::create_dir(&group.folder).map_err(said)?;
            for (what, value) in [("bps", bytes), ("iops", writes)] {
                if value > 0 {
                    let file = format!("blkio.throttle.write_{what}_device");
                    let line = format!("{numbers} {value}");
                    std::fs::write(group.folder.join(file), line).map_err(said)?;
                }
            }
            return Ok(group);
        }
        let has_io = std::fs::read_to_string(two.join("cgroup.controllers"))
            .is_ok_and(|text| text.split_whitespace().any(|word| word == "io"));
        if !has_io {
            return Err("no blkio controller (version 1) and no io controller (2)".to_owned());
        }
        std::fs::write(two.join("cgroup.subtree_control"), "+io").map_err(said)?;
        let group = Group {
            folder: two.join(name),
        };
        std::fs::create_dir(&group.folder).map_err(said)?;
        let line = format!("{numbers} wbps={} wiops={}", limit(bytes), limit(writes));
        std::fs::write(group.folder.join("io.max"), line).map_err(said)?;
        Ok(group)
    }

    /// Puts this process into it, runs something, and takes it out again.
    fn inside<T>(&self, act: impl FnOnce() -> T) -> T {
        /// Takes it out again, also when it panics: the folder cannot go before.
        struct Out(PathBuf);
        impl Drop for Out {
            fn drop(&mut self) {
                std::fs::write(&self.0, std::process::id().to_string()).ok();
            }
        }
        let up = self.folder.parent().unwrap();
        let _out = Out(up.join("cgroup.procs"));
        let me = std::process::id().to_string();
        std::fs::write(self.folder.join("cgroup.procs"), &me).unwrap();
        act()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.folder).ok();
    }
}

#[test]
fn a_cgroup_limit_is_told_from_a_slow_disk() {
    let Some((disk, at)) = disk(512) else { return };
    for (what, bytes, writes) in [("bytes", 2 << 20, 0), ("writes", 0, 40)] {
        eprintln!("== a cgroup's limit of {what}");
        let group = match Group::new(&disk, bytes, writes) {
            Ok(group) => group,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        let budget = Budget {
            bytes: 64 << 20,
            secs: 12.0,
        };
        let found = group.inside(|| probe(&disk, &at, Behaviour::default(), budget));
        let limit = found.plateau.map(|p| p.limit);
        assert_eq!(limit, Some(Limit::Cgroup), "{found:#?}");
    }
}

/// `bench disk` on this directory.
fn bench(at: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
        .args(["bench", "disk", "--format", "json", "--only-etcd", "1"])
        .args(["--segment-mb", "8", "--leave-free", "64MiB", "--dir"])
        .arg(at)
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {said}"))
}

#[test]
fn a_bench_in_a_limited_cgroup_blames_the_cgroup() {
    let Some((disk, at)) = disk(1_024) else {
        return;
    };
    let group = match Group::new(&disk, 1 << 20, 0) {
        Ok(group) => group,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let seen = group.inside(|| bench(&at, &["--pace", "0.6"]));
    let verdict = &seen["verdict"];
    eprintln!("{verdict}");
    let limits = seen["total"]["around"]["own_io_limits"].to_string();
    let name = group.folder.file_name().unwrap().to_str().unwrap();
    assert!(limits.contains(name), "{limits}");
    assert!(
        !["marginal", "not-for-etcd"].contains(&verdict["level"].as_str().unwrap()),
        "the disk is blamed: {verdict}"
    );
    if verdict["level"] == "inconclusive" {
        assert_eq!(verdict["blame"], "cgroup", "{verdict}");
    }
    let told = format!("{} {}", verdict["why"], seen["doubts"]);
    assert!(told.contains(name), "{told}");
}

/// A process that is ended with all that it started.
struct Job(Child);

impl Job {
    fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Job(child.unwrap())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_neighbour_that_writes_is_named() {
    let Some((disk, at)) = disk(2_048) else {
        return;
    };
    disk.media.behave(slow(1));
    // A name of its own, and alive from before the bench until after it.
    let program = at.join("backup-agent");
    if let Err(err) = std::fs::copy("/bin/dd", &program) {
        return eprintln!("skipped: no dd to copy: {err}");
    }
    let job = Job::start(
        Command::new(&program)
            .args(["if=/dev/zero", "bs=16k", "oflag=dsync", "count=65536"])
            .arg(format!("of={}", at.join("backup").display())),
    );
    let seen = bench(&at, &["--pace", "0.6", "--wal-only"]);
    let pid = job.0.id();
    drop(job);
    let named = format!("backup-agent (pid {pid})");
    let told = format!("{} {}", seen["verdict"]["why"], seen["doubts"]);
    assert!(told.contains(&named), "{told}");
    let writers = seen["total"]["around"]["writers"].as_array().unwrap();
    assert!(
        writers
            .iter()
            .any(|writer| writer["pid"] == pid && writer["same_fs"] == true),
        "{writers:?}"
    );
    let level = seen["verdict"]["level"].as_str().unwrap();
    assert!(!["marginal", "not-for-etcd"].contains(&level), "{told}");
}

/// Two niced jobs with the shape of a compiler: short processes one after the other, and
/// arithmetic in between.
fn compile_jobs() -> Vec<Job> {
    let script = "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; \
                  /bin/true; /bin/ls /usr/bin; done";
    let job = || Job::start(Command::new("nice").args(["-n", "10", "sh", "-c", script]));
    vec![job(), job()]
}

#[test]
fn two_niced_compile_jobs_do_not_make_a_good_disk_slow() {
    let Some((disk, at)) = disk(1_024) else {
        return;
    };
    disk.media.behave(Behaviour {
        flush: Duration::from_micros(200),
        ..Behaviour::default()
    });
    let _jobs = compile_jobs();
    let seen = bench(&at, &[]);
    let verdict = &seen["verdict"];
    eprintln!(
        "{verdict}\nCPU pressure {}",
        seen["total"]["around"]["psi_cpu_some"]
    );
    let busy = seen["total"]["around"]["cpu_busy"].as_f64().unwrap_or(1.0);
    assert!(busy > 0.8, "the jobs did not run: {busy}");
    let level = verdict["level"].as_str().unwrap();
    assert!(
        !["marginal", "not-for-etcd"].contains(&level),
        "a good disk beside compile jobs: {verdict}"
    );
}
