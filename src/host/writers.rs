//! Who else writes: by process (`/proc/PID/io`) and by cgroup and device (`io.stat`, `blkio`).
//!
//! A process's `write_bytes` are pages that it dirtied for any disk; whether the disk is etcd's is
//! told by the files it has open. The counters of cgroups are exact for each disk, but their
//! buffered writes count only with version 2.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc;
use std::time::Duration;

use crate::formats::mountinfo::MountTable;
use crate::target::HostRoot;

use super::samples::{Samples, names, pairs};

/// Most processes whose I/O is sampled.
const MAX_PROCESSES: usize = 4096;
/// Most cgroup folders that are sampled.
const MAX_GROUPS: usize = 1024;
/// Deepest cgroup folder: slice, pod slice, pod, container and one to spare.
const MAX_DEPTH: usize = 6;
/// Most writers that are told.
const TOP: usize = 12;
/// Most open files of one writer that are looked at.
const MAX_FILES: usize = 512;
/// All looking at open files together.
const FILES_LIMIT: Duration = Duration::from_secs(2);

/// A process that wrote in the window.
#[derive(Clone, Debug, PartialEq)]
pub struct Writer {
    /// Its process id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Bytes that it caused to be written.
    pub bytes: u64,
    /// Seconds of the window.
    pub secs: f64,
    /// Whether it has a file open on a file system that shares etcd's disk.
    pub on_etcd_disk: Option<bool>,
    /// Whether it is an etcd itself.
    pub is_etcd: bool,
}

/// A cgroup that wrote to a device in the window.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupWriter {
    /// Its path below the mount of the cgroup tree.
    pub group: String,
    /// The device, `MAJOR:MINOR`.
    pub device: String,
    /// Bytes written.
    pub bytes: u64,
    /// Seconds of the window.
    pub secs: f64,
}

/// The I/O files of all processes of a tree.
pub(super) fn process_paths(pids: impl Iterator<Item = u32>) -> Vec<String> {
    pids.take(MAX_PROCESSES)
        .map(|pid| format!("/proc/{pid}/io"))
        .collect()
}

/// The processes that wrote, the most first.
pub(super) fn processes(
    root: &HostRoot,
    samples: &Samples,
    known: &BTreeMap<u32, String>,
    etcd: &BTreeSet<u32>,
    devices: &BTreeSet<(u32, u32)>,
    live: bool,
) -> Vec<Writer> {
    let mut writers: Vec<Writer> = Vec::new();
    for (pid, name) in known {
        let path = format!("/proc/{pid}/io");
        let Ok(series) = samples.parsed(&path, super::series::parse_write_bytes) else {
            continue;
        };
        let (mut bytes, mut span) = (0u64, 0.0);
        for (a, b, secs) in pairs(&series) {
            // A smaller number is another process with the same id.
            if let Some(more) = b.value.checked_sub(a.value) {
                bytes = bytes.saturating_add(more);
                span += secs;
            }
        }
        if bytes > 0 {
            writers.push(Writer {
                pid: *pid,
                name: name.clone(),
                bytes,
                secs: span,
                on_etcd_disk: None,
                is_etcd: etcd.contains(pid),
            });
        }
    }
    writers.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.pid.cmp(&b.pid)));
    writers.truncate(TOP);
    if live && !devices.is_empty() {
        let pids: Vec<u32> = writers.iter().map(|writer| writer.pid).collect();
        let found = open_on(root, pids, devices.clone());
        for writer in &mut writers {
            writer.on_etcd_disk = found.get(&writer.pid).copied();
        }
    }
    writers
}

/// Which processes have a regular file open on one of the devices. What could not be looked at, or
/// not in time, is left out.
fn open_on(root: &HostRoot, pids: Vec<u32>, devices: BTreeSet<(u32, u32)>) -> BTreeMap<u32, bool> {
    let (send, receive) = mpsc::channel();
    let base = root.path().to_owned();
    let list = root.clone();
    // stat of an open file of a dead network file system hangs, so this is left behind then.
    let started = std::thread::Builder::new()
        .name("open files".to_owned())
        .spawn(move || {
            for pid in pids {
                let folder = format!("/proc/{pid}/fd");
                let Ok(entries) = list.list(&folder) else {
                    continue;
                };
                let on = entries.iter().take(MAX_FILES).any(|entry| {
                    let path = base.join(format!("proc/{pid}/fd")).join(&entry.name);
                    std::fs::metadata(path).is_ok_and(|meta| {
                        let device = meta.dev();
                        meta.is_file()
                            && devices
                                .contains(&(rustix::fs::major(device), rustix::fs::minor(device)))
                    })
                });
                if send.send((pid, on)).is_err() {
                    return;
                }
            }
        });
    let mut found = BTreeMap::new();
    if started.is_err() {
        return found;
    }
    while let Ok((pid, on)) = receive.recv_timeout(FILES_LIMIT) {
        found.insert(pid, on);
    }
    found
}

/// The folders and files of the cgroup tree that count I/O by device, leaves only.
pub(super) fn group_paths(root: &HostRoot, mounts: &MountTable) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut tops: Vec<(String, &'static str)> = Vec::new();
    for mount in &mounts.mounts {
        let point = mount.point.trim_end_matches('/').to_owned();
        if mount.fs == "cgroup2" {
            tops.push((point, "io.stat"));
        } else if mount.fs == "cgroup" && mount.super_options.iter().any(|o| o == "blkio") {
            tops.push((point, "blkio.throttle.io_service_bytes"));
        }
    }
    for (top, file) in tops {
        walk(root, &top, &top, file, 0, &mut found);
    }
    found
}

/// Adds the leaves below a folder; returns whether there was one.
fn walk(
    root: &HostRoot,
    top: &str,
    at: &str,
    file: &str,
    depth: usize,
    found: &mut Vec<(String, String)>,
) -> bool {
    if depth > MAX_DEPTH || found.len() >= MAX_GROUPS {
        return false;
    }
    let Ok(entries) = root.list(at) else {
        return false;
    };
    let mut below = false;
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        if let Some(name) = entry.name.to_str() {
            below |= walk(root, top, &format!("{at}/{name}"), file, depth + 1, found);
        }
    }
    if below {
        return true;
    }
    let here = entries.iter().any(|entry| entry.name == file);
    // The top counts everything, which is the disk's own counter again.
    if here && at != top && found.len() < MAX_GROUPS {
        let group = at.strip_prefix(top).unwrap_or(at).trim_start_matches('/');
        found.push((group.to_owned(), format!("{at}/{file}")));
        return true;
    }
    false
}

/// Bytes written by device of `io.stat` or `blkio.throttle.io_service_bytes`.
pub fn parse_io_stat(bytes: &[u8]) -> Option<BTreeMap<String, u64>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut written = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(device) = words.next().filter(|device| device.contains(':')) else {
            continue;
        };
        match words.next() {
            Some("Write") => {
                if let Some(bytes) = words.next().and_then(|word| word.parse().ok()) {
                    written.insert(device.to_owned(), bytes);
                }
            }
            first => {
                let value = first
                    .into_iter()
                    .chain(words)
                    .find_map(|word| word.strip_prefix("wbytes="))
                    .and_then(|value| value.parse().ok());
                if let Some(bytes) = value {
                    written.insert(device.to_owned(), bytes);
                }
            }
        }
    }
    Some(written)
}

/// The cgroups that wrote to one of the devices, the most first.
pub(super) fn groups(
    samples: &Samples,
    paths: &[(String, String)],
    devices: &BTreeSet<String>,
) -> Vec<GroupWriter> {
    let mut writers: BTreeMap<(String, String), (u64, f64)> = BTreeMap::new();
    for (group, path) in paths {
        let Ok(series) = samples.parsed(path, parse_io_stat) else {
            continue;
        };
        for (a, b, secs) in pairs(&series) {
            for device in devices {
                let Some(after) = b.value.get(device) else {
                    continue;
                };
                let before = a.value.get(device).copied().unwrap_or(0);
                if let Some(more) = after.checked_sub(before).filter(|more| *more > 0) {
                    let slot = writers
                        .entry((group.clone(), device.clone()))
                        .or_insert((0, 0.0));
                    slot.0 = slot.0.saturating_add(more);
                    slot.1 += secs;
                }
            }
        }
    }
    let mut writers: Vec<GroupWriter> = writers
        .into_iter()
        .map(|((group, device), (bytes, secs))| GroupWriter {
            group,
            device,
            bytes,
            secs,
        })
        .collect();
    writers.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.group.cmp(&b.group)));
    writers.truncate(TOP);
    writers
}

/// The numbers of a device, `8:16`.
pub(super) fn numbers(root: &HostRoot, disk: &str) -> Option<String> {
    let text = root.read_text(format!("/sys/block/{disk}/dev")).ok()?;
    let text = text.trim();
    text.contains(':').then(|| text.to_owned())
}

/// Process ids of a tree.
pub(super) fn pids(root: &HostRoot) -> Vec<u32> {
    names(root, "/proc")
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::formats::mountinfo::parse_mountinfo;
    use crate::host::samples::Sample;

    #[test]
    fn io_by_device_of_both_versions() {
        let v2 = b"8:16 rbytes=1 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n8:0 wbytes=7\n";
        let v1 = b"8:16 Read 1\n8:16 Write 200\n8:16 Sync 201\nTotal 201\n";
        assert_eq!(parse_io_stat(v2).unwrap()["8:16"], 200);
        assert_eq!(parse_io_stat(v2).unwrap()["8:0"], 7);
        assert_eq!(
            parse_io_stat(v1).unwrap(),
            BTreeMap::from([("8:16".to_owned(), 200)])
        );
    }

    #[test]
    fn leaves_of_the_tree_are_the_writers() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join("cg").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("io.stat", "");
        write("kubepods.slice/io.stat", "");
        write("kubepods.slice/pod1/io.stat", "");
        write("system.slice/backup.service/io.stat", "");
        let root = HostRoot::new(dir.path());
        let mounts = parse_mountinfo(b"1 0 0:30 / /cg rw - cgroup2 cgroup2 rw\n");
        let paths = group_paths(&root, &mounts);
        let groups_found: Vec<&str> = paths.iter().map(|(group, _)| group.as_str()).collect();
        assert_eq!(
            groups_found,
            ["kubepods.slice/pod1", "system.slice/backup.service"]
        );
        let mut samples = Samples::default();
        for (secs, bytes) in [(0, 100), (10, 1100)] {
            for (_, path) in &paths {
                let text = format!("8:16 wbytes={bytes}\n8:0 wbytes=5\n");
                samples.push(
                    path,
                    Sample {
                        at: Some(Timestamp::from_secs(secs)),
                        source: path.clone(),
                        bytes: Ok(text.into_bytes()),
                    },
                );
            }
        }
        let devices = BTreeSet::from(["8:16".to_owned()]);
        let writers = groups(&samples, &paths, &devices);
        assert_eq!(writers.len(), 2);
        assert_eq!((writers[0].bytes, writers[0].secs), (1000, 10.0));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>) {
            let _ = parse_io_stat(&bytes);
        }
    }
}
