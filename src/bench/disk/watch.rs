//! What the device, the processors and others did during a run.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use crate::formats::bench::disk::{DeviceCount, Surroundings, Writer};
use crate::formats::blockstat::{BlockStat, delta, parse_stat};
use crate::formats::cpu::{CpuTimes, parse_cpu, shares};
use crate::formats::pressure::{Pressure, parse_pressure, stalled};
use crate::target::HostRoot;

/// Most processes that are looked at.
const MAX_PROCESSES: usize = 4096;
/// Most others that are told.
const TOP: usize = 5;
/// Most open files of one of them that are looked at.
const MAX_FILES: usize = 256;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Watch {
    root: HostRoot,
    /// Counters of the disks under the WAL, and under the database when it is elsewhere.
    stats: Vec<String>,
    /// The file systems that are written, by device.
    devices: Vec<(u32, u32)>,
    /// The disks' numbers, `MAJOR:MINOR`.
    disks: Vec<String>,
}

/// Counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    at_ns: u64,
    disks: Option<Vec<BlockStat>>,
    cpu_pressure: Option<Pressure>,
    io_pressure: Option<Pressure>,
    cpu: Option<CpuTimes>,
    own_write_bytes: Option<u64>,
}

/// Bytes that each process dirtied so far.
#[derive(Clone, Debug, Default)]
pub struct Census(BTreeMap<u32, u64>);

impl Watch {
    /// Watches disks and file systems.
    pub fn new(root: HostRoot, stats: Vec<String>, devices: Vec<(u32, u32)>) -> Self {
        // Beside its counters every disk has its numbers.
        let disks = stats
            .iter()
            .filter_map(|stat| {
                root.read_text(stat.strip_suffix("stat")?.to_owned() + "dev")
                    .ok()
            })
            .map(|numbers| numbers.trim().to_owned())
            .collect();
        Watch {
            root,
            stats,
            devices,
            disks,
        }
    }

    /// Watches nothing, for simulated disks.
    pub fn nothing() -> Self {
        Watch::new(HostRoot::new("/nonexistent"), Vec::new(), Vec::new())
    }

    /// Reads the counters. Takes some tens of microseconds.
    pub fn snapshot(&self, now: u64) -> Snapshot {
        let read = |path: &str| self.root.read(path, 1 << 20).ok();
        let disks: Option<Vec<BlockStat>> = self
            .stats
            .iter()
            .map(|path| parse_stat(&read(path)?))
            .collect();
        Snapshot {
            at_ns: now,
            disks: disks.filter(|disks| !disks.is_empty()),
            cpu_pressure: read("/proc/pressure/cpu").and_then(|b| parse_pressure(&b)),
            io_pressure: read("/proc/pressure/io").and_then(|b| parse_pressure(&b)),
            cpu: read("/proc/stat").and_then(|b| parse_cpu(&b)),
            own_write_bytes: read("/proc/self/io").and_then(|b| write_bytes(&b)),
        }
    }

    /// Limits of this program's cgroup, and of those above it, to our disks' I/O, in words.
    pub fn own_io_limits(&self) -> Vec<String> {
        let Ok(groups) = self.root.read_text("/proc/self/cgroup") else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
                continue;
            };
            if controllers.is_empty() {
                for folder in up("/sys/fs/cgroup", path) {
                    self.limits_of(&format!("{folder}/io.max"), "", &mut found);
                }
            } else if controllers.split(',').any(|name| name == "blkio") {
                for folder in up("/sys/fs/cgroup/blkio", path) {
                    for what in ["write_bps", "write_iops"] {
                        let file = format!("{folder}/blkio.throttle.{what}_device");
                        self.limits_of(&file, what, &mut found);
                    }
                }
            }
        }
        found
    }

    fn limits_of(&self, file: &str, what: &str, found: &mut Vec<String>) {
        let Ok(text) = self.root.read_text(file) else {
            return;
        };
        for line in text.lines().take(64) {
            let Some((numbers, limit)) = line.split_once(' ') else {
                continue;
            };
            let ours = self.disks.iter().any(|disk| disk == numbers);
            let limits = limit.split(' ').any(|part| !part.ends_with("=max"));
            if ours && limits && found.len() < 8 {
                let what = if what.is_empty() {
                    String::new()
                } else {
                    format!(" {what}")
                };
                found.push(format!("{file}: {numbers}{what} {limit}"));
            }
        }
    }

    /// Counts what every process wrote so far. Takes some milliseconds.
    pub fn census(&self) -> Census {
        let Ok(entries) = self.root.list("/proc") else {
            return Census::default();
        };
        let pids = entries
            .iter()
            .filter_map(|entry| entry.name.to_string_lossy().parse::<u32>().ok());
        Census(
            pids.take(MAX_PROCESSES)
                .filter(|pid| *pid != std::process::id())
                .filter_map(|pid| {
                    let bytes = self.root.read(format!("/proc/{pid}/io"), 4096).ok()?;
                    Some((pid, write_bytes(&bytes)?))
                })
                .collect(),
        )
    }

    /// Who wrote since a census, the most first.
    pub fn writers_since(&self, before: &Census) -> Vec<Writer> {
        let after = self.census();
        let mut grown: Vec<(u32, u64)> = after
            .0
            .iter()
            .filter_map(|(pid, bytes)| {
                // Who began meanwhile counts in full.
                let old = before.0.get(pid).copied().unwrap_or(0);
                Some((*pid, bytes.checked_sub(old).filter(|more| *more > 0)?))
            })
            .collect();
        grown.sort_by_key(|(pid, bytes)| (std::cmp::Reverse(*bytes), *pid));
        grown.truncate(TOP);
        grown
            .into_iter()
            .map(|(pid, bytes)| Writer {
                pid,
                name: self
                    .root
                    .read_text(format!("/proc/{pid}/comm"))
                    .map_or_else(|_| "(ended)".to_owned(), |name| name.trim().to_owned()),
                bytes,
                same_fs: self.has_open(pid),
            })
            .collect()
    }

    /// Whether a process has a regular file open on one of our file systems.
    fn has_open(&self, pid: u32) -> Option<bool> {
        let folder = format!("/proc/{pid}/fd");
        let entries = self.root.list(&folder).ok()?;
        let base = self.root.path().join(format!("proc/{pid}/fd"));
        Some(entries.iter().take(MAX_FILES).any(|entry| {
            std::fs::metadata(base.join(&entry.name)).is_ok_and(|meta| {
                let numbers = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
                meta.is_file() && self.devices.contains(&numbers)
            })
        }))
    }
}

/// The folder of a cgroup and those above it.
fn up(base: &str, path: &str) -> Vec<String> {
    let mut folders = vec![base.to_owned()];
    let mut at = base.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()).take(16) {
        at = format!("{at}/{part}");
        folders.push(at.clone());
    }
    folders
}

/// What the devices did between two snapshots; `None` when they cannot be watched.
pub fn device_between(before: &Snapshot, after: &Snapshot) -> Option<DeviceCount> {
    let secs = secs_between(before, after);
    let (a, b) = (before.disks.as_ref()?, after.disks.as_ref()?);
    let mut sum = DeviceCount {
        secs,
        flushes: Some(0),
        flush_ms: Some(0),
        discards: Some(0),
        ..DeviceCount::default()
    };
    let add = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    for (a, b) in a.iter().zip(b) {
        let one = delta(a, b, secs)?;
        sum.writes += one.writes;
        sum.write_bytes += one.write_bytes;
        sum.write_ms += one.write_ms;
        sum.reads += one.reads;
        sum.read_bytes += one.read_bytes;
        sum.flushes = add(sum.flushes, one.flushes);
        sum.flush_ms = add(sum.flush_ms, one.flush_ms);
        sum.discards = add(sum.discards, one.discards);
    }
    Some(sum)
}

/// What the machine did between two snapshots, without the writers.
pub fn around_between(before: &Snapshot, after: &Snapshot) -> Surroundings {
    let secs = secs_between(before, after);
    let some = |a: Option<Pressure>, b: Option<Pressure>| Some(stalled(&a?, &b?, secs)?.0);
    let cpu = before.cpu.zip(after.cpu).and_then(|(a, b)| shares(&a, &b));
    Surroundings {
        psi_cpu_some: some(before.cpu_pressure, after.cpu_pressure),
        psi_io_some: some(before.io_pressure, after.io_pressure),
        steal: cpu.map(|cpu| cpu.steal),
        cpu_busy: cpu.map(|cpu| cpu.busy),
        own_write_bytes: before
            .own_write_bytes
            .zip(after.own_write_bytes)
            .and_then(|(a, b)| b.checked_sub(a)),
        ..Surroundings::default()
    }
}

fn secs_between(before: &Snapshot, after: &Snapshot) -> f64 {
    after.at_ns.saturating_sub(before.at_ns) as f64 / 1e9
}

/// `write_bytes` of `/proc/PID/io`: pages that the process dirtied.
fn write_bytes(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("write_bytes:"))?
        .trim()
        .parse()
        .ok()
}

impl super::throttle::Busy for Watch {
    fn device_busy_ns(&self) -> Option<u64> {
        // The busiest of them: what is written goes to one after the other, or to all at once.
        let disks = self.snapshot(0).disks?;
        disks.iter().map(|disk| disk.ms_busy * 1_000_000).max()
    }

    fn cpu_wait_ns(&self) -> Option<u64> {
        let bytes = self.root.read("/proc/thread-self/schedstat", 4096).ok()?;
        Some(crate::formats::cpu::parse_schedstat(&bytes)?.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(flushes: u64, writes: u64, cpu_us: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["sys/block/sda", "proc/pressure", "proc/7"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let put = |path: &str, text: String| fs::write(dir.path().join(path), text).unwrap();
        put(
            "sys/block/sda/stat",
            format!(
                "1 0 8 0 {writes} 0 {} 5 0 0 0 0 0 0 0 {flushes} 40\n",
                writes * 8
            ),
        );
        put(
            "proc/pressure/cpu",
            format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={cpu_us}\n"),
        );
        put(
            "proc/7/io",
            format!("rchar: 1\nwrite_bytes: {}\n", writes * 10),
        );
        put("proc/7/comm", "backup\n".to_owned());
        put("sys/block/sda/dev", "8:0\n".to_owned());
        dir
    }

    fn watch(dir: &tempfile::TempDir) -> Watch {
        let stats = vec!["/sys/block/sda/stat".to_owned()];
        Watch::new(HostRoot::new(dir.path()), stats, vec![])
    }

    #[test]
    fn two_snapshots_give_flushes_pressure_and_writers() {
        let (a, b) = (tree(100, 1_000, 0), tree(150, 1_200, 500_000));
        let census = watch(&a).census();
        let before = watch(&a).snapshot(0);
        let after = watch(&b).snapshot(2_000_000_000);
        let device = device_between(&before, &after).unwrap();
        assert_eq!((device.flushes, device.writes), (Some(50), 200));
        assert_eq!(device.write_bytes, 200 * 4096);
        let around = around_between(&before, &after);
        assert_eq!(around.psi_cpu_some, Some(0.25));
        assert_eq!(around.psi_io_some, None, "not there, and not zero");
        let writers = watch(&b).writers_since(&census);
        assert_eq!(
            (writers[0].name.as_str(), writers[0].bytes),
            ("backup", 2_000)
        );
    }

    #[test]
    fn limits_of_our_own_cgroup_and_those_above_are_found() {
        let dir = tree(1, 1, 1);
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/self/cgroup", "3:blkio:/pods/a\n0::/kube/b\n");
        put(
            "sys/fs/cgroup/kube/io.max",
            "8:0 rbps=max wbps=2097152 riops=max wiops=max\n",
        );
        put(
            "sys/fs/cgroup/kube/b/io.max",
            "8:0 rbps=max wbps=max riops=max wiops=max\n",
        );
        put(
            "sys/fs/cgroup/blkio/pods/blkio.throttle.write_iops_device",
            "8:0 100\n9:9 1\n",
        );
        let limits = watch(&dir).own_io_limits();
        assert_eq!(limits.len(), 2, "{limits:?}");
        assert!(limits[0].contains("write_iops 100"), "{limits:?}");
        assert!(limits[1].contains("wbps=2097152"), "{limits:?}");
    }

    #[test]
    fn without_counters_nothing_is_claimed() {
        let nothing = Watch::nothing();
        let (a, b) = (nothing.snapshot(0), nothing.snapshot(1));
        assert_eq!(device_between(&a, &b), None);
        assert_eq!(around_between(&a, &b), Surroundings::default());
    }
}
