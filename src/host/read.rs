//! Reads a node: finds what to sample, samples it (two live reads a window apart, or what a bundle
//! recorded) and makes the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Timestamp};
use crate::formats::mountinfo::MountTable;
use crate::sys;
use crate::target::HostRoot;

use super::barrier::FlushCount;
use super::cgroup;
use super::cpu::{parse_cpu, parse_uptime};
use super::device::{self, Chain};
use super::layer::Layer;
use super::model::{Hints, HostModel, Measured, ProcessUse, Span, StorageRole};
use super::process::{self, READ_LIMIT};
use super::samples::{Recorded, Samples, names, take, take_together};
use super::storage::{self, Tables};
use super::{Missing, directory, kernel_log, memory, series, settings, space, time_sync, writers};

/// Most threads of a process that are sampled.
const MAX_THREADS: usize = 4096;
/// The kinds of pressure.
pub(super) const PRESSURES: [&str; 3] = ["cpu", "io", "memory"];

/// The nodes in a folder: the tree itself, its `host/` folder, or one folder a node below that.
/// Each comes with the node's name where the folder has one.
pub fn roots(root: &HostRoot) -> Vec<(Option<String>, HostRoot)> {
    let is_tree = |root: &HostRoot| root.exists("/proc") || root.exists("/sys");
    if root.is_live() || is_tree(root) {
        return vec![(None, root.clone())];
    }
    // A link that leads out, such as `host/proc` to `/proc`, gives no folder here.
    let below = |root: &HostRoot, path: &str| root.resolve(path).ok().map(HostRoot::new);
    let host = below(root, "host");
    if let Some(host) = host.clone().filter(is_tree) {
        return vec![(None, host)];
    }
    let mut found: Vec<(Option<String>, HostRoot)> = Vec::new();
    for base in host.iter().chain([root]) {
        for name in names(base, "/") {
            let mut places = [name.clone(), format!("{name}/host")].into_iter();
            let tree = places.find_map(|path| below(base, &path).filter(is_tree));
            found.extend(tree.map(|tree| (Some(name), tree)));
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

/// Reads a node. `window` is how far apart live samples are; zero takes one sample only.
pub fn read(root: &HostRoot, hints: &Hints, window: Duration, clock: Clock) -> HostModel {
    read_until(root, hints, window, clock, &AtomicBool::new(false))
}

/// Like [`read`]; when `stop` is set the second sample is taken at once.
pub fn read_until(
    root: &HostRoot,
    hints: &Hints,
    window: Duration,
    clock: Clock,
    stop: &AtomicBool,
) -> HostModel {
    let live = is_running(root);
    let times = root.read("/proc/stat", 16 << 20).ok();
    let times = times.as_deref().and_then(parse_cpu);
    let boot = times
        .and_then(|times| times.boot_secs)
        .map(Timestamp::from_secs);
    let taken = if live {
        Some(clock.now())
    } else {
        let uptime = root.read("/proc/uptime", 4096).ok();
        let uptime = uptime.as_deref().and_then(parse_uptime);
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        boot.zip(uptime)
            .map(|(boot, uptime)| boot.add_us((uptime * 1e6) as i64))
    };
    let mut model = HostModel {
        live,
        hostname: hostname(root),
        boot,
        taken,
        ..HostModel::default()
    };
    model.processes = process::scan(root, boot);
    if live && is_own_pid_space(root) {
        for etcd in &mut model.processes.etcd {
            etcd.ionice = sys::ioprio(etcd.pid).map(process::ionice_words);
        }
    }
    let tables = storage::tables(root);
    match storage::find(root, &tables, &model.processes.etcd, hints, live) {
        Ok(storage) => model.storage = storage,
        Err(why) => model.storage_missing = Some(why),
    }
    place(root, &tables, &mut model);

    let mut recorded = Recorded::new(root, taken);
    assume_devices(root, &recorded, live, &mut model);
    let disks = layers(&model, Chain::disks);
    let above = layers(&model, Chain::above);
    let empty = MountTable::default();
    let host_mounts = tables.host.as_ref().map_or(&empty, |(_, table)| table);
    let group_paths = writers::group_paths(root, host_mounts);
    let mut paths = paths(root, &model, &disks, &above);
    paths.extend(group_paths.iter().map(|(_, path)| path.clone()));
    paths.extend(writers::process_paths(writers::pids(root).into_iter()));
    let unique: BTreeSet<String> = paths.into_iter().collect();
    let paths: Vec<String> = unique.into_iter().collect();
    let mut samples = Samples::default();
    if live {
        let mut sample = |model: &HostModel| {
            // Threads come and go, so they are listed anew each time.
            take_together(root, clock, &thread_paths(root, model), &mut samples);
            take(root, clock, &paths, READ_LIMIT, &mut samples);
        };
        sample(&model);
        if !window.is_zero() {
            let begin = Instant::now();
            while begin.elapsed() < window && !stop.load(Ordering::Relaxed) {
                let left = window.saturating_sub(begin.elapsed());
                std::thread::sleep(left.min(Duration::from_millis(100)));
            }
            sample(&model);
        }
    } else {
        for path in paths.iter().chain(&thread_paths(root, &model)) {
            recorded.load(path, &mut samples);
        }
    }

    model.cpus = times.map(|times| times.cpus).filter(|cpus| *cpus > 0);
    series::devices(root, &samples, &disks, &above, &mut model);
    model.cpu = Some(series::cpu(&samples));
    model.load = Some(series::load(&samples));
    for kind in PRESSURES {
        let found = series::pressure(&samples, &format!("/proc/pressure/{kind}"));
        model.pressure.insert(kind, found);
    }
    let threads = thread_paths(root, &model);
    series::process_use(&samples, &threads, &mut model);
    other_writers(root, &samples, &group_paths, &disks, &mut model);
    barriers(root, &mut model);
    machine(root, hints, &disks, &mut model);
    model.span = span_of(&model);
    model
}

/// Facts of one moment: memory, settings, space, kernel messages, time.
fn machine(root: &HostRoot, hints: &Hints, disks: &BTreeMap<String, Layer>, model: &mut HostModel) {
    let at = Span {
        from: model.taken,
        to: model.taken,
    };
    const MEMINFO: &str = "/proc/meminfo";
    model.memory = Some(root.read(MEMINFO, 1 << 20).and_then(|bytes| {
        let value = memory::parse_meminfo(&bytes).ok_or_else(|| Missing::Unreadable {
            source: MEMINFO.to_owned(),
            line: None,
            why: "no MemTotal or MemAvailable".to_owned(),
        })?;
        Ok(Measured {
            span: at,
            source: MEMINFO.to_owned(),
            value,
        })
    }));
    model.settings = settings::read(root);
    // A device that is only assumed to be etcd's accuses none and clears none.
    let mut names: Vec<String> = disks
        .keys()
        .filter(|_| !model.assumed_devices)
        .cloned()
        .collect();
    names.extend(
        model
            .storage
            .iter()
            .flat_map(|storage| storage.chain.layers.iter().map(|layer| layer.name.clone())),
    );
    names.sort();
    names.dedup();
    model.kernel_log = Some(kernel_log::read(
        root,
        model.live,
        model.boot,
        model.taken,
        &names,
        &hints.logs,
    ));
    // The kernel that answers is the tree's own when the tree is live, wherever it is mounted.
    let kernel = model.live.then(sys::clock_discipline).flatten();
    model.time = time_sync::read(root, model.processes.names.values(), kernel);
    model.db_hint = hints.db_bytes;
    spaces(root, model);
}

/// Free space under each directory, and what etcd keeps there.
fn spaces(root: &HostRoot, model: &mut HostModel) {
    let wal_of = |storages: &[super::Storage], pid: Option<u32>| {
        storages
            .iter()
            .find(|storage| storage.pid == pid && storage.role == StorageRole::Wal)
            .map(|storage| storage.host_path.clone())
    };
    for at in 0..model.storage.len() {
        let Some(storage) = model.storage.get(at) else {
            continue;
        };
        let (space, kept) = if model.live {
            // The folder as the process sees it, past all namespaces; the kernel follows that
            // link. Else the same path on the host.
            let seen = storage
                .pid
                .map(|pid| root.path().join(format!("proc/{pid}/root{}", storage.path)))
                .filter(|path| path.exists());
            let path = seen.or_else(|| root.resolve(&storage.host_path).ok());
            let space = match path {
                Some(path) => space::live(path),
                None => Err(Missing::NotPresent {
                    source: storage.host_path.clone(),
                }),
            };
            let wal = wal_of(&model.storage, storage.pid).unwrap_or_default();
            let kept = (storage.role == StorageRole::Data)
                .then(|| space::kept(root, &storage.host_path, &wal));
            (space, kept)
        } else {
            let space = match &storage.mount {
                Ok(mount) => space::recorded(root, &mount.point),
                Err(why) => Err(why.clone()),
            };
            (space, None)
        };
        if let Some(storage) = model.storage.get_mut(at) {
            storage.space = Some(space);
            storage.kept = kept;
        }
    }
}

/// Who else writes.
fn other_writers(
    root: &HostRoot,
    samples: &Samples,
    group_paths: &[(String, String)],
    disks: &BTreeMap<String, Layer>,
    model: &mut HostModel,
) {
    let etcd: BTreeSet<u32> = model.processes.etcd.iter().map(|etcd| etcd.pid).collect();
    let mut devices: BTreeSet<(u32, u32)> = BTreeSet::new();
    for storage in &model.storage {
        let own = storage
            .below_overlay
            .as_ref()
            .or(storage.mount.as_ref().ok());
        devices.extend(own.and_then(|mount| mount.device));
        devices.extend(storage.shared_with.iter().filter_map(|mount| mount.device));
    }
    model.writers = writers::processes(
        root,
        samples,
        &model.processes.names,
        &etcd,
        &devices,
        model.live,
    );
    let mut numbers: BTreeMap<String, String> = BTreeMap::new();
    for name in disks.keys() {
        if let Some(number) = writers::numbers(root, name) {
            numbers.insert(number, name.clone());
        }
    }
    let wanted: BTreeSet<String> = numbers.keys().cloned().collect();
    model.group_writers = writers::groups(samples, group_paths, &wanted);
    for writer in &mut model.group_writers {
        if let Some(name) = numbers.get(&writer.device) {
            writer.device.clone_from(name);
        }
    }
}

/// Whether `/proc` below this root is a running kernel's.
fn is_running(root: &HostRoot) -> bool {
    /// `PROC_SUPER_MAGIC` of statfs(2).
    const PROC: i64 = 0x9fa0;
    if root.is_live() {
        return true;
    }
    rustix::fs::statfs(root.path().join("proc")).is_ok_and(|fs| fs.f_type == PROC)
}

/// Whether process ids of this tree mean the same to us: only then may we ask the kernel by them.
fn is_own_pid_space(root: &HostRoot) -> bool {
    std::fs::read_link(root.path().join("proc/self"))
        .is_ok_and(|link| link.to_str() == Some(std::process::id().to_string().as_str()))
}

/// What a host calls itself, as far as its files tell.
pub fn hostname(root: &HostRoot) -> Option<String> {
    // The file first: `/proc/sys` shows the name of whoever reads it, which in a debug pod is the
    // pod's.
    ["/etc/hostname", "/proc/sys/kernel/hostname"]
        .into_iter()
        .filter_map(|path| root.read_text(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|name| !name.is_empty() && name != "localhost")
}

fn place(root: &HostRoot, tables: &Tables, model: &mut HostModel) {
    let empty = MountTable::default();
    let table = tables.host.as_ref().map_or(&empty, |(_, table)| table);
    for etcd in &model.processes.etcd {
        let mut placed = ProcessUse::default();
        match &etcd.cgroups {
            Ok(paths) => placed.placement = cgroup::place(root, paths, table),
            Err(why) => placed.throttling_missing = Some(why.clone()),
        }
        if let Some(folder) = placed.placement.unified.clone() {
            placed.io_limits = cgroup::io_limits(root, &folder);
        }
        if let Some(folder) = placed.placement.io.clone() {
            placed.io_limits.extend(cgroup::io_limits(root, &folder));
        }
        if let Some(folder) = &placed.placement.memory {
            placed.memory = memory::cgroup_memory(root, folder);
        }
        model.process_use.insert(etcd.pid, placed);
    }
    for apiserver in &model.processes.apiservers {
        let mut placed = ProcessUse::default();
        match &apiserver.cgroups {
            Ok(paths) => placed.placement = cgroup::place(root, paths, table),
            Err(why) => placed.throttling_missing = Some(why.clone()),
        }
        model.process_use.insert(apiserver.pid, placed);
    }
}

/// Where no mount leads to a disk, a bundle may still hold samples of the one that mattered.
fn assume_devices(root: &HostRoot, recorded: &Recorded<'_>, live: bool, model: &mut HostModel) {
    let known = model.storage.iter().any(|s| !s.chain.disks().is_empty());
    if known || live {
        return;
    }
    let sampled = recorded.sampled_devices();
    if let [one] = sampled.as_slice() {
        model.assumed_devices = true;
        let chain = device::chain_of_device(root, one);
        model.assumed_chains.insert(one.clone(), chain);
    }
}

/// Layers under etcd by name: the disks, or what lies above them.
fn layers(model: &HostModel, which: fn(&Chain) -> Vec<&Layer>) -> BTreeMap<String, Layer> {
    model
        .storage
        .iter()
        .map(|storage| &storage.chain)
        .chain(model.assumed_chains.values())
        .flat_map(which)
        .map(|layer| (layer.name.clone(), layer.clone()))
        .collect()
}

/// The files to sample.
fn paths(
    root: &HostRoot,
    model: &HostModel,
    disks: &BTreeMap<String, Layer>,
    above: &BTreeMap<String, Layer>,
) -> Vec<String> {
    let mut paths: Vec<String> = ["/proc/diskstats", "/proc/stat", "/proc/loadavg"]
        .map(str::to_owned)
        .to_vec();
    paths.extend(
        PRESSURES
            .iter()
            .map(|kind| format!("/proc/pressure/{kind}")),
    );
    for disk in disks.values() {
        paths.push(device::stat_path(root, &disk.name));
        paths.extend(disk.paths.iter().map(|path| device::stat_path(root, path)));
    }
    paths.extend(above.keys().map(|name| device::stat_path(root, name)));
    for (pid, used) in &model.process_use {
        paths.push(format!("/proc/{pid}/io"));
        for group in &used.placement.cpu {
            paths.push(format!("{}/cpu.stat", group.folder));
        }
        if let Some(folder) = &used.placement.unified {
            paths.extend(
                PRESSURES
                    .iter()
                    .map(|kind| format!("{folder}/{kind}.pressure")),
            );
        }
    }
    paths
}

/// The `schedstat` of every thread of every etcd and kube-apiserver, or of the process alone.
fn thread_paths(root: &HostRoot, model: &HostModel) -> Vec<String> {
    let mut paths = Vec::new();
    for pid in model.process_use.keys() {
        let folder = format!("/proc/{pid}/task");
        let threads: Vec<String> = names(root, &folder)
            .into_iter()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
            .take(MAX_THREADS)
            .collect();
        if threads.is_empty() {
            paths.push(format!("/proc/{pid}/schedstat"));
        }
        paths.extend(
            threads
                .iter()
                .map(|tid| format!("{folder}/{tid}/schedstat")),
        );
    }
    paths
}

fn barriers(root: &HostRoot, model: &mut HostModel) {
    for at in 0..model.storage.len() {
        let Some(storage) = model.storage.get(at) else {
            continue;
        };
        let etcd = storage.pid.and_then(|pid| model.etcd(pid));
        let unsafe_no_fsync = etcd.and_then(|etcd| etcd.unsafe_no_fsync);
        let count = flush_count(model, &storage.chain, storage.pid);
        let barrier = directory::barrier(root, storage, unsafe_no_fsync, count);
        if let Some(storage) = model.storage.get_mut(at) {
            storage.barrier = barrier;
        }
    }
}

/// Flushes and writes of all disks under a mount, over all windows.
fn flush_count(model: &HostModel, chain: &Chain, pid: Option<u32>) -> Option<FlushCount> {
    let disks = chain.disks();
    let mut count = FlushCount {
        flushes: 0,
        writes: 0,
        flush_ms: 0,
        secs: 0.0,
        etcd_wrote: pid
            .and_then(|pid| model.process_use.get(&pid)?.write_rate)
            .is_some_and(|rate| rate > 0.0),
    };
    for disk in &disks {
        let used = model
            .devices
            .get(&disk.name)
            .filter(|used| used.counts_flushes)?;
        let mut secs = 0.0;
        for window in &used.windows {
            count.flushes += window.delta.flushes?;
            count.flush_ms += window.delta.flush_ms?;
            count.writes += window.delta.writes;
            secs += window.delta.secs;
        }
        count.secs = if count.secs == 0.0 {
            secs
        } else {
            count.secs.min(secs)
        };
    }
    (!disks.is_empty() && count.secs > 0.0).then_some(count)
}

fn span_of(model: &HostModel) -> Span {
    let mut times: Vec<Timestamp> = Vec::new();
    if let Some(Ok(load)) = &model.load {
        times.extend(load.iter().filter_map(|load| load.span.to));
    }
    for used in model.devices.values() {
        for window in &used.windows {
            times.extend(window.span.from);
            times.extend(window.span.to);
        }
    }
    times.extend(model.taken);
    Span {
        from: times.iter().min().copied(),
        to: times.iter().max().copied(),
    }
}
