//! CPU and I/O limits of a process's cgroup, versions 1 and 2, and how often they bit.
//!
//! A limit holds for everything below it: kubelet sets one on the container and one on the pod,
//! and systemd may set one on a slice. So every folder up to the root is looked at.

use std::collections::BTreeMap;

use crate::formats::mountinfo::MountTable;
use crate::target::HostRoot;

/// Deepest path that is followed up.
const MAX_DEPTH: usize = 16;
/// Most folders that are searched for a path that is relative to another namespace.
const MAX_SEARCH: usize = 4096;

/// `cpu.stat`: how many periods were enforced and how many of them were throttled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// Enforcement periods with something to run.
    pub periods: u64,
    /// Periods in which the limit was hit.
    pub throttled: u64,
    /// Microseconds throttled, summed over CPUs.
    pub throttled_us: u64,
}

/// Reads `cpu.stat` of either version; `None` without the three numbers, as in a root cgroup.
pub fn parse_cpu_stat(bytes: &[u8]) -> Option<CpuStat> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (have, value) = line.split_once(' ')?;
            (have == name).then(|| value.trim().parse::<u64>().ok())?
        })
    };
    let throttled_us = match value("throttled_usec") {
        Some(us) => us,
        // Version 1 counts nanoseconds.
        None => value("throttled_time")? / 1000,
    };
    Some(CpuStat {
        periods: value("nr_periods")?,
        throttled: value("nr_throttled")?,
        throttled_us,
    })
}

impl CpuStat {
    /// What happened since an earlier sample; `None` when the cgroup is a new one.
    pub fn since(&self, before: &CpuStat) -> Option<CpuStat> {
        Some(CpuStat {
            periods: self.periods.checked_sub(before.periods)?,
            throttled: self.throttled.checked_sub(before.throttled)?,
            throttled_us: self.throttled_us.checked_sub(before.throttled_us)?,
        })
    }

    /// Share of the periods that were throttled; `None` when there was no period.
    pub fn share(&self) -> Option<f64> {
        (self.periods > 0).then(|| (self.throttled as f64 / self.periods as f64).min(1.0))
    }
}

/// The limit in cores of version 2's `cpu.max`: `max 100000` is none.
pub fn parse_cpu_max(text: &str) -> Option<Option<f64>> {
    let mut words = text.split_ascii_whitespace();
    let (quota, period) = (words.next()?, words.next()?);
    let period: f64 = period.parse().ok().filter(|p: &f64| *p > 0.0)?;
    if quota == "max" {
        return Some(None);
    }
    let quota: f64 = quota.parse().ok().filter(|q: &f64| *q > 0.0)?;
    Some(Some(quota / period))
}

/// The limit in cores of version 1's two files: a quota of -1 is none.
pub fn parse_cfs(quota: &str, period: &str) -> Option<Option<f64>> {
    let quota: i64 = quota.trim().parse().ok()?;
    let period: i64 = period.trim().parse().ok().filter(|p| *p > 0)?;
    Some((quota > 0).then(|| quota as f64 / period as f64))
}

/// One folder of the cgroup tree that may limit a process.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuGroup {
    /// Its path in the file tree.
    pub folder: String,
    /// Its limit in cores; `None` inside when it has none, outside when it could not be read.
    pub limit: Option<Option<f64>>,
}

/// Where a process stands in the cgroup tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Folders that may limit its CPU, its own first.
    pub cpu: Vec<CpuGroup>,
    /// Whether it is in the root cgroup of the CPU controller, which has no limit.
    pub in_root: bool,
    /// Its folder of version 2, which has pressure files.
    pub unified: Option<String>,
    /// Its folder of the memory controller.
    pub memory: Option<String>,
    /// Its folder of the block I/O controller.
    pub io: Option<String>,
}

/// Finds a process's folders from `/proc/PID/cgroup` and the mounts of the cgroup file systems.
pub(super) fn place(
    root: &HostRoot,
    paths: &BTreeMap<String, String>,
    mounts: &MountTable,
) -> Placement {
    let mut place = Placement::default();
    let find = |controller: &str| -> Option<(String, String)> {
        // Version 1 names the controller; version 2 has one tree for all.
        let path = paths.get(controller).or_else(|| paths.get(""))?;
        let version_1 = paths.contains_key(controller);
        mount_points(mounts, controller, version_1)
            .into_iter()
            .find_map(|point| Some((point.clone(), folder(root, &point, path)?)))
    };
    let cpu_path = paths.get("cpu").or_else(|| paths.get(""));
    place.in_root = cpu_path.is_some_and(|path| path == "/");
    if let Some((top, folder)) = find("cpu") {
        let mut at = folder;
        for _ in 0..MAX_DEPTH {
            place.cpu.push(CpuGroup {
                limit: limit(root, &at),
                folder: at.clone(),
            });
            match at.rsplit_once('/') {
                Some((up, _)) if up.len() > top.len() => at = up.to_owned(),
                _ => break,
            }
        }
    }
    // The root groups count the whole machine, which says nothing about the process.
    let own = |(top, folder): (String, String)| (folder != top).then_some(folder);
    place.memory = find("memory").and_then(own);
    place.io = find("blkio").and_then(own);
    if let Some(path) = paths.get("").filter(|path| *path != "/") {
        place.unified = mount_points(mounts, "", false)
            .into_iter()
            .find_map(|point| folder(root, &point, path));
    }
    place
}

/// Where a controller may be mounted: as the mount table says, then the usual places.
fn mount_points(mounts: &MountTable, controller: &str, version_1: bool) -> Vec<String> {
    let mut points: Vec<String> = mounts
        .mounts
        .iter()
        .filter(|mount| {
            if version_1 {
                mount.fs == "cgroup" && mount.super_options.iter().any(|o| o == controller)
            } else {
                mount.fs == "cgroup2"
            }
        })
        .map(|mount| mount.point.trim_end_matches('/').to_owned())
        .collect();
    if version_1 {
        points.push(format!("/sys/fs/cgroup/{controller}"));
        points.push("/sys/fs/cgroup/cpu,cpuacct".to_owned());
    } else {
        points.push("/sys/fs/cgroup".to_owned());
        points.push("/sys/fs/cgroup/unified".to_owned());
    }
    points.dedup();
    points
}

/// The folder of a path of `/proc/PID/cgroup`, if it is there.
fn folder(root: &HostRoot, point: &str, path: &str) -> Option<String> {
    // Read from inside another cgroup namespace (a debug pod), paths begin with `/..` for each
    // level that the reader is below the root. What follows them is unique in practice.
    if let Some((_, rest)) = path.rsplit_once("../") {
        return search(root, point, rest.trim_matches('/'), 0, &mut 0);
    }
    let folder = join(point, path);
    root.exists(&folder).then_some(folder)
}

/// Looks for a folder below `at` that ends in `tail`.
fn search(root: &HostRoot, at: &str, tail: &str, depth: usize, seen: &mut usize) -> Option<String> {
    if tail.is_empty() || depth > 5 || *seen > MAX_SEARCH {
        return None;
    }
    *seen += 1;
    let here = join(at, tail);
    if root.exists(&here) {
        return Some(here);
    }
    root.list(at)
        .ok()?
        .into_iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| entry.name.into_string().ok())
        .find_map(|name| search(root, &join(at, &name), tail, depth + 1, seen))
}

fn join(point: &str, path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() {
        point.to_owned()
    } else {
        format!("{point}/{path}")
    }
}

fn limit(root: &HostRoot, folder: &str) -> Option<Option<f64>> {
    if let Ok(text) = root.read_text(format!("{folder}/cpu.max")) {
        return parse_cpu_max(&text);
    }
    let quota = root.read_text(format!("{folder}/cpu.cfs_quota_us")).ok()?;
    let period = root.read_text(format!("{folder}/cpu.cfs_period_us")).ok()?;
    parse_cfs(&quota, &period)
}

/// Limits of I/O by device in `io.max` or the `blkio.throttle.*` files: device, what, how much.
pub(super) fn io_limits(root: &HostRoot, folder: &str) -> Vec<(String, &'static str, f64)> {
    let mut limits = Vec::new();
    if let Ok(text) = root.read_text(format!("{folder}/io.max")) {
        for line in text.lines().take(1024) {
            let mut words = line.split_ascii_whitespace();
            let Some(device) = words.next() else { continue };
            for word in words {
                let Some((name, value)) = word.split_once('=') else {
                    continue;
                };
                let kind = match name {
                    "rbps" => "read_bytes_per_sec",
                    "wbps" => "write_bytes_per_sec",
                    "riops" => "reads_per_sec",
                    "wiops" => "writes_per_sec",
                    _ => continue,
                };
                if let Ok(value) = value.parse() {
                    limits.push((device.to_owned(), kind, value));
                }
            }
        }
    }
    for (file, kind) in [
        ("blkio.throttle.read_bps_device", "read_bytes_per_sec"),
        ("blkio.throttle.write_bps_device", "write_bytes_per_sec"),
        ("blkio.throttle.read_iops_device", "reads_per_sec"),
        ("blkio.throttle.write_iops_device", "writes_per_sec"),
    ] {
        let text = root.read_text(format!("{folder}/{file}"));
        for line in text.unwrap_or_default().lines().take(1024) {
            if let Some((device, value)) = line.split_once(' ')
                && let Ok(value) = value.trim().parse()
            {
                limits.push((device.to_owned(), kind, value));
            }
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"nr_periods 841\nnr_throttled 825\nthrottled_time 78733789892\nnr_bursts 0\nburst_time 0\n";
    const V2: &[u8] = b"usage_usec 5\nuser_usec 4\nsystem_usec 1\nnr_periods 10\nnr_throttled 5\nthrottled_usec 250000\n";

    #[test]
    fn both_versions_of_cpu_stat() {
        let one = parse_cpu_stat(V1).unwrap();
        assert_eq!((one.periods, one.throttled), (841, 825));
        assert_eq!(one.throttled_us, 78_733_789);
        let two = parse_cpu_stat(V2).unwrap();
        assert_eq!(two.throttled_us, 250_000);
        assert_eq!(two.share(), Some(0.5));
        assert_eq!(one.since(&two).unwrap().periods, 831);
        assert_eq!(two.since(&one), None);
        // The root cgroup of version 2 has usage alone.
        assert_eq!(parse_cpu_stat(b"usage_usec 5\n"), None);
        assert_eq!(CpuStat::default().share(), None);
    }

    #[test]
    fn limits_in_cores() {
        assert_eq!(parse_cpu_max("max 100000\n"), Some(None));
        assert_eq!(parse_cpu_max("5000 100000\n"), Some(Some(0.05)));
        assert_eq!(parse_cpu_max("5000 0"), None);
        assert_eq!(parse_cpu_max(""), None);
        assert_eq!(parse_cfs("-1\n", "100000\n"), Some(None));
        assert_eq!(parse_cfs("200000", "100000"), Some(Some(2.0)));
    }

    #[test]
    fn the_limit_may_be_on_a_parent() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let slice = "sys/fs/cgroup/kubepods.slice/pod1.slice";
        write(&format!("{slice}/cri.scope/cpu.max"), "max 100000\n");
        write(&format!("{slice}/cpu.max"), "50000 100000\n");
        let paths = BTreeMap::from([(
            String::new(),
            "/kubepods.slice/pod1.slice/cri.scope".to_owned(),
        )]);
        let place = place(&HostRoot::new(dir.path()), &paths, &MountTable::default());
        let limits: Vec<_> = place.cpu.iter().map(|group| group.limit).collect();
        assert_eq!(limits, [Some(None), Some(Some(0.5)), None]);
        assert!(!place.in_root);
        assert!(place.unified.is_some());
        assert!(place.cpu[1].folder.ends_with("/pod1.slice"));
    }

    #[test]
    fn a_path_seen_from_another_namespace_is_searched_for() {
        let dir = tempfile::tempdir().unwrap();
        let group = "sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/pod1.slice/cri.scope";
        std::fs::create_dir_all(dir.path().join(group)).unwrap();
        std::fs::write(dir.path().join(group).join("cpu.max"), "5000 100000").unwrap();
        let paths = BTreeMap::from([(
            String::new(),
            "/../../../kubepods-burstable.slice/pod1.slice/cri.scope".to_owned(),
        )]);
        let root = HostRoot::new(dir.path());
        let place = place(&root, &paths, &MountTable::default());
        assert_eq!(place.cpu[0].folder, format!("/{group}"));
        assert_eq!(place.cpu[0].limit, Some(Some(0.05)));
        let gone = BTreeMap::from([(String::new(), "/../../gone".to_owned())]);
        assert!(
            super::place(&root, &gone, &MountTable::default())
                .cpu
                .is_empty()
        );
    }

    #[test]
    fn io_limits_of_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("io.max"),
            "8:16 rbps=max wbps=2097152 riops=max wiops=max\n",
        )
        .unwrap();
        std::fs::write(
            dir.path().join("blkio.throttle.write_iops_device"),
            "8:16 100\n",
        )
        .unwrap();
        let limits = io_limits(&HostRoot::new(dir.path()), "");
        assert_eq!(
            limits,
            [
                ("8:16".to_owned(), "write_bytes_per_sec", 2_097_152.0),
                ("8:16".to_owned(), "writes_per_sec", 100.0)
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>, text: String, cut in 0..V1.len()) {
            let _ = (parse_cpu_stat(&bytes), parse_cpu_stat(&V1[..cut]));
            let _ = (parse_cpu_max(&text), parse_cfs(&text, &text));
        }
    }
}
