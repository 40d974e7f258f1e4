//! What can be learnt of a disk under a live etcd without writing to it: the device's counters
//! second by second, etcd's own I/O and pressure, its metrics, and on request each of its syncs as
//! the kernel times it.
//!
//! [`probe`] writes a little, for those who ask for it; [`guard`] watches etcd meanwhile.

mod counters;
pub mod guard;
pub mod probe;
pub mod trace;
pub mod vitals;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::bench::{Cancel, Progress};
use crate::clock::Clock;
use crate::formats::bench::observe::{FORMAT, Observed, ObservedEtcd, VERSION, VolumeLimits};
use crate::formats::blockstat::parse_stat;
use crate::formats::ebs::Statistics;
use crate::formats::pressure::{Pressure, parse_pressure, stalled};
use crate::target::HostRoot;

use super::volume;

use counters::Windows;
use trace::Trace;
use vitals::{Signs, Vitals};

/// How long one look at the counters stands for.
const EVERY: Duration = Duration::from_secs(1);
/// Trace events are taken in this often.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

/// An etcd to watch.
pub struct Subject {
    /// Its process id.
    pub pid: u32,
    /// Its name.
    pub name: Option<String>,
    /// Where its write-ahead log is.
    pub wal_dir: Option<String>,
    /// Its cgroup's folder, where it has pressure files.
    pub cgroup: Option<String>,
    /// I/O limits of its cgroup, in words.
    pub io_limits: Vec<String>,
    /// How to read its metrics, or why that cannot be tried.
    pub vitals: Result<Box<dyn Vitals>, String>,
    /// Names of the disks under it.
    pub disks: Vec<String>,
}

/// A disk to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name.
    pub name: String,
    /// Where its counters are, below the root.
    pub stat_path: String,
    /// Whether it is an NVMe device of Amazon, which tells about its limits.
    pub amazon: bool,
}

/// What to watch, and how long.
pub struct Plan {
    /// The etcds.
    pub subjects: Vec<Subject>,
    /// The disks under them.
    pub devices: Vec<Device>,
    /// How long.
    pub time: Duration,
    /// Whether to trace each sync.
    pub trace: bool,
}

/// Reads the log page of an NVMe device of Amazon; the live host's way is in `sys`.
pub type ReadVolume = dyn Fn(&str) -> Option<Vec<u8>>;

/// Watches. What was seen before a signal is in the result.
pub fn run(
    plan: &Plan,
    root: &HostRoot,
    read_volume: &ReadVolume,
    cancel: &Cancel,
    progress: &dyn Progress,
    clock: Clock,
) -> Observed {
    let mut seen = Observed {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started: Some(clock.now()),
        ..Observed::default()
    };
    let (mut trace, trace_missing) = start_trace(plan);
    let begin = Instant::now();
    let mut windows: BTreeMap<&str, Windows> = BTreeMap::new();
    let volumes = volumes(plan, read_volume);
    let mut first = Look::take(plan, root, 0.0);
    let before = first.clone();
    let mut pending: BTreeMap<u32, f64> = BTreeMap::new();
    let mut first_signs: BTreeMap<u32, (f64, Signs)> = BTreeMap::new();
    let mut last_signs: BTreeMap<u32, (f64, Signs)> = BTreeMap::new();
    let mut why_not: BTreeMap<u32, String> = BTreeMap::new();
    loop {
        let at = begin.elapsed().as_secs_f64();
        for device in &plan.devices {
            if let Some(stat) = first.stats.get(&device.name) {
                windows
                    .entry(device.name.as_str())
                    .or_default()
                    .add(first.at, *stat);
            }
        }
        for subject in &plan.subjects {
            let signs = match &subject.vitals {
                Ok(vitals) => guard::read(&**vitals),
                Err(why) => Err(why.clone()),
            };
            match signs {
                Ok(signs) => {
                    let at = begin.elapsed().as_secs_f64();
                    if let Some(waiting) = signs.pending {
                        let most = pending.entry(subject.pid).or_default();
                        *most = most.max(waiting);
                    }
                    first_signs
                        .entry(subject.pid)
                        .or_insert_with(|| (at, signs.clone()));
                    last_signs.insert(subject.pid, (at, signs));
                }
                Err(why) => {
                    why_not.insert(subject.pid, why);
                }
            }
        }
        progress.at("watching", (plan.time.as_secs_f64() - at).max(0.0));
        if begin.elapsed() >= plan.time || cancel.stopped() {
            break;
        }
        let until = (begin.elapsed() + EVERY).min(plan.time.max(Duration::from_millis(1)));
        while begin.elapsed() < until && !cancel.stopped() {
            if let Some(trace) = &mut trace {
                trace.listen();
            }
            let left = until.saturating_sub(begin.elapsed());
            std::thread::sleep(LISTEN_EVERY.min(left));
        }
        first = Look::take(plan, root, begin.elapsed().as_secs_f64());
    }
    let after = first;
    seen.secs = after.at;
    seen.partial = cancel.reason();
    let (mut traced, silent) = trace.map_or((BTreeMap::new(), None), Trace::finish);
    seen.doubts.extend(silent);
    for subject in &plan.subjects {
        let pid = subject.pid;
        let metrics = first_signs.get(&pid).zip(last_signs.get(&pid)).and_then(
            |((from, before), (to, after))| {
                (to > from).then(|| after.since(before, to - from, pending.get(&pid).copied()))
            },
        );
        let metrics_missing = match (&metrics, why_not.get(&pid)) {
            (Some(_), None) => None,
            (_, Some(why)) => Some(why.clone()),
            (None, None) => Some("only one answer came in the time that was watched".to_owned()),
        };
        seen.etcds.push(ObservedEtcd {
            pid,
            name: subject.name.clone(),
            ended: before.alive.contains(&pid) && !after.alive.contains(&pid),
            wal_dir: subject.wal_dir.clone(),
            write_bytes_per_sec: rate(before.io.get(&pid), after.io.get(&pid), after.at),
            cgroup_io_some: share(before.cgroups.get(&pid), after.cgroups.get(&pid), after.at),
            io_limits: subject.io_limits.clone(),
            metrics,
            metrics_missing,
            trace: traced.remove(&pid),
            trace_missing: trace_missing.clone(),
        });
    }
    seen.psi_cpu_some = share(before.cpu.as_ref(), after.cpu.as_ref(), after.at);
    seen.psi_io_some = share(
        before.io_pressure.as_ref(),
        after.io_pressure.as_ref(),
        after.at,
    );
    for device in &plan.devices {
        let windows = windows.remove(device.name.as_str()).unwrap_or_default();
        let Some(mut disk) = windows.disk(&device.name) else {
            seen.doubts
                .push(format!("{}: its counters cannot be read", device.name));
            continue;
        };
        disk.foreign_share = foreign(plan, device, &before, &after, windows.write_bytes());
        disk.volume = limits(volumes.get(&device.name), device, read_volume);
        seen.disks.push(disk);
    }
    doubts(&mut seen);
    seen
}

fn start_trace(plan: &Plan) -> (Option<Trace>, Option<String>) {
    if !plan.trace {
        return (None, None);
    }
    let pids: Vec<u32> = plan.subjects.iter().map(|subject| subject.pid).collect();
    match Trace::start(&pids) {
        Ok(trace) => (Some(trace), None),
        Err(why) => (None, Some(why)),
    }
}

/// All counters at one moment.
#[derive(Clone, Debug, Default)]
struct Look {
    at: f64,
    stats: BTreeMap<String, crate::formats::blockstat::BlockStat>,
    io: BTreeMap<u32, u64>,
    alive: BTreeSet<u32>,
    cgroups: BTreeMap<u32, Pressure>,
    cpu: Option<Pressure>,
    io_pressure: Option<Pressure>,
}

impl Look {
    fn take(plan: &Plan, root: &HostRoot, at: f64) -> Self {
        let read = |path: &str| {
            root.read_within(path, 1 << 20, Duration::from_millis(500))
                .ok()
        };
        let pressure = |path: &str| read(path).and_then(|bytes| parse_pressure(&bytes));
        let mut look = Look {
            at,
            cpu: pressure("/proc/pressure/cpu"),
            io_pressure: pressure("/proc/pressure/io"),
            ..Look::default()
        };
        for device in &plan.devices {
            if let Some(stat) = read(&device.stat_path).and_then(|bytes| parse_stat(&bytes)) {
                look.stats.insert(device.name.clone(), stat);
            }
        }
        for subject in &plan.subjects {
            if read(&format!("/proc/{}/stat", subject.pid)).is_some_and(|stat| lives(&stat)) {
                look.alive.insert(subject.pid);
            }
            let io = read(&format!("/proc/{}/io", subject.pid));
            if let Some(bytes) = io.and_then(|bytes| written(&bytes)) {
                look.io.insert(subject.pid, bytes);
            }
            if let Some(group) = &subject.cgroup
                && let Some(pressure) = pressure(&format!("{group}/io.pressure"))
            {
                look.cgroups.insert(subject.pid, pressure);
            }
        }
        look
    }
}

/// Whether `/proc/PID/stat` is of a process that is no zombie.
fn lives(stat: &[u8]) -> bool {
    // The name in brackets may hold any.
    let state = stat.rsplit(|b| *b == b')').next().unwrap_or_default();
    !matches!(state.trim_ascii_start().first(), None | Some(b'Z' | b'X'))
}

/// `write_bytes` of `/proc/PID/io`.
fn written(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"))?;
    line.trim().parse().ok()
}

fn rate(before: Option<&u64>, after: Option<&u64>, secs: f64) -> Option<f64> {
    let bytes = after?.checked_sub(*before?)?;
    (secs > 0.0).then(|| bytes as f64 / secs)
}

fn share(before: Option<&Pressure>, after: Option<&Pressure>, secs: f64) -> Option<f64> {
    Some(stalled(before?, after?, secs)?.0)
}

/// The share of a disk's bytes that the etcds on it did not write. A file system adds to what a
/// program writes (journal, metadata), so less than a tenth means nothing.
fn foreign(plan: &Plan, device: &Device, before: &Look, after: &Look, bytes: u64) -> Option<f64> {
    let mut own = 0;
    for subject in plan
        .subjects
        .iter()
        .filter(|s| s.disks.contains(&device.name))
    {
        own += after
            .io
            .get(&subject.pid)?
            .checked_sub(*before.io.get(&subject.pid)?)?;
    }
    (bytes > 0).then(|| 1.0 - (own as f64 / bytes as f64).min(1.0))
}

fn volumes(plan: &Plan, read: &ReadVolume) -> BTreeMap<String, Statistics> {
    let amazon = plan.devices.iter().filter(|device| device.amazon);
    amazon
        .filter_map(|device| Some((device.name.clone(), volume::read(read(&device.name))?)))
        .collect()
}

fn limits(before: Option<&Statistics>, device: &Device, read: &ReadVolume) -> Option<VolumeLimits> {
    volume::limits(before?, &volume::read(read(&device.name))?)
}

fn doubts(seen: &mut Observed) {
    for etcd in &seen.etcds {
        let who = format!("etcd {}", etcd.pid);
        if etcd.ended {
            seen.doubts.push(format!(
                "{who}: the process ended while it was watched; its numbers are of the time before"
            ));
        } else if etcd.write_bytes_per_sec.is_none() {
            seen.doubts.push(format!(
                "{who}: /proc/{}/io cannot be read (root may)",
                etcd.pid
            ));
        }
        if let Some(trace) = &etcd.trace {
            if trace.lost_events > 0 {
                seen.doubts.push(format!(
                    "{who}: the kernel lost {} trace events; counts are too low",
                    trace.lost_events
                ));
            }
            if trace.failed > 0 {
                seen.doubts
                    .push(format!("{who}: {} syncs failed", trace.failed));
            }
        }
    }
    if seen.psi_cpu_some.is_some_and(|some| some > 0.1) {
        seen.doubts.push(
            "processors were short on this machine: syncs may have waited for one and not for the disk"
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::NoProgress;
    use std::fs;

    struct Page(std::sync::atomic::AtomicU64);

    impl Vitals for Page {
        fn scrape(&self) -> Result<Vec<u8>, String> {
            let at = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(vitals::tests::text(&[(6.0, 10 * (at + 1))], at, 0).into_bytes())
        }
    }

    #[test]
    fn an_etcd_that_dies_is_said_to_have_died() {
        assert!(lives(b"7 (etcd) S 1 7"));
        assert!(lives(b"7 (a) Z b) S 1 7"));
        assert!(!lives(b"7 (etcd) Z 1 7") && !lives(b""));
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/7")).unwrap();
        let stat = dir.path().join("proc/7/stat");
        fs::write(&stat, "7 (etcd) S 1 7").unwrap();
        /// Dies after its first answer.
        struct Dies(std::path::PathBuf);
        impl Vitals for Dies {
            fn scrape(&self) -> Result<Vec<u8>, String> {
                fs::remove_file(&self.0).ok();
                Err("connection refused".to_owned())
            }
        }
        let plan = Plan {
            subjects: vec![Subject {
                pid: 7,
                name: None,
                wal_dir: None,
                cgroup: None,
                io_limits: Vec::new(),
                vitals: Ok(Box::new(Dies(stat)) as Box<dyn Vitals>),
                disks: Vec::new(),
            }],
            devices: Vec::new(),
            time: Duration::from_millis(60),
            trace: false,
        };
        let root = HostRoot::new(dir.path());
        let cancel = Cancel::default();
        let seen = run(&plan, &root, &|_| None, &cancel, &NoProgress, Clock::System);
        assert!(seen.etcds[0].ended);
        assert!(
            seen.doubts.iter().any(|doubt| doubt.contains("ended"))
                && !seen.doubts.iter().any(|doubt| doubt.contains("root may")),
            "{:?}",
            seen.doubts
        );
    }

    #[test]
    fn a_tree_is_watched_and_nothing_is_invented() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["sys/block/sda", "proc/pressure", "proc/7"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let put = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
        put(
            "sys/block/sda/stat",
            "1 0 8 0 50 0 400 5 0 0 0 0 0 0 0 7 40\n",
        );
        put("proc/7/io", "rchar: 1\nwrite_bytes: 4096\n");
        let subject = |pid, vitals| Subject {
            pid,
            name: None,
            wal_dir: Some("/var/lib/etcd/member/wal".to_owned()),
            cgroup: None,
            io_limits: Vec::new(),
            vitals,
            disks: vec!["sda".to_owned()],
        };
        let plan = Plan {
            subjects: vec![
                subject(7, Ok(Box::new(Page(0.into())) as Box<dyn Vitals>)),
                subject(8, Err("no address is known".to_owned())),
            ],
            devices: vec![
                Device {
                    name: "sda".to_owned(),
                    stat_path: "/sys/block/sda/stat".to_owned(),
                    amazon: false,
                },
                Device {
                    name: "sdb".to_owned(),
                    stat_path: "/sys/block/sdb/stat".to_owned(),
                    amazon: false,
                },
            ],
            time: Duration::from_millis(120),
            trace: false,
        };
        let root = HostRoot::new(dir.path());
        let cancel = Cancel::default();
        let seen = run(&plan, &root, &|_| None, &cancel, &NoProgress, Clock::System);
        let etcd = &seen.etcds[0];
        assert_eq!(etcd.metrics.as_ref().unwrap().wal_fsync.unwrap().count, 10);
        assert_eq!(etcd.write_bytes_per_sec, Some(0.0));
        assert_eq!((etcd.cgroup_io_some, seen.psi_io_some), (None, None));
        assert_eq!(
            seen.etcds[1].metrics_missing.as_deref(),
            Some("no address is known")
        );
        assert_eq!(seen.etcds[1].write_bytes_per_sec, None);
        assert_eq!(seen.disks.len(), 1);
        assert!(
            seen.doubts
                .iter()
                .any(|d| d == "sdb: its counters cannot be read"),
            "{:?}",
            seen.doubts
        );
        assert!(seen.partial.is_none());
    }
}
