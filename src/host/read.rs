//! Reads a node: finds what to sample, samples it (two live reads a window apart, or what a bundle
//! recorded) and makes the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::formats::mountinfo::MountTable;
use crate::target::HostRoot;

use super::barrier::{Facts, FlushCount, judge};
use super::blockstat::{BlockStat, delta, parse_diskstats, parse_stat};
use super::cgroup::{self, CpuStat, parse_cpu_stat};
use super::cpu::{
    CpuShares, SchedStat, parse_cpu, parse_load, parse_schedstat, parse_uptime, shares,
};
use super::device::{self, Chain, Layer};
use super::model::{
    CgroupUse, DeviceUse, DeviceWindow, Hints, HostModel, Measured, PressureUse, ProcessUse, Span,
};
use super::pressure::{Pressure, parse_pressure, stalled};
use super::process::{self, READ_LIMIT};
use super::samples::{Recorded, Samples, Timed, names, pairs, sources, take};
use super::storage::{self, Tables};
use super::{Got, Missing};

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
    let host = HostRoot::new(root.path().join("host"));
    if is_tree(&host) {
        return vec![(None, host)];
    }
    let mut found: Vec<(Option<String>, HostRoot)> = Vec::new();
    for base in [host.path(), root.path()] {
        for name in names(&HostRoot::new(base), "/") {
            for below in [base.join(&name), base.join(&name).join("host")] {
                let below = HostRoot::new(below);
                if is_tree(&below) {
                    found.push((Some(name.clone()), below));
                    break;
                }
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

/// Reads a node. `window` is how far apart live samples are; zero takes one sample only.
pub fn read(root: &HostRoot, hints: &Hints, window: Duration, clock: Clock) -> HostModel {
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
    let tables = storage::tables(root);
    match storage::find(root, &tables, &model.processes.etcd, hints, live) {
        Ok(storage) => model.storage = storage,
        Err(why) => model.storage_missing = Some(why),
    }
    place(root, &tables, &mut model);

    let mut recorded = Recorded::new(root, taken);
    assume_devices(root, &recorded, live, &mut model);
    let paths = paths(root, &model);
    let mut samples = Samples::default();
    if live {
        take(root, clock.now(), &paths, READ_LIMIT, &mut samples);
        let threads = thread_paths(root, &model);
        take(root, clock.now(), &threads, READ_LIMIT, &mut samples);
        if !window.is_zero() {
            std::thread::sleep(window);
            take(root, clock.now(), &paths, READ_LIMIT, &mut samples);
            // Threads come and go, so they are listed anew.
            let threads = thread_paths(root, &model);
            take(root, clock.now(), &threads, READ_LIMIT, &mut samples);
        }
    } else {
        for path in paths.iter().chain(&thread_paths(root, &model)) {
            recorded.load(path, &mut samples);
        }
    }

    model.cpus = times.map(|times| times.cpus).filter(|cpus| *cpus > 0);
    devices(root, &samples, &mut model);
    model.cpu = Some(cpu(&samples));
    model.load = Some(load(&samples));
    for kind in PRESSURES {
        let use_ = pressure(&samples, &format!("/proc/pressure/{kind}"));
        model.pressure.insert(kind, use_);
    }
    process_use(root, &samples, &mut model);
    barriers(root, &mut model);
    model.span = span_of(&model);
    model
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

fn hostname(root: &HostRoot) -> Option<String> {
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
        model.process_use.insert(etcd.pid, placed);
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

/// The disks under etcd, by name.
fn disks(model: &HostModel) -> BTreeMap<String, Layer> {
    model
        .storage
        .iter()
        .map(|storage| &storage.chain)
        .chain(model.assumed_chains.values())
        .flat_map(Chain::disks)
        .map(|disk| (disk.name.clone(), disk.clone()))
        .collect()
}

/// The files to sample.
fn paths(root: &HostRoot, model: &HostModel) -> Vec<String> {
    let mut paths: Vec<String> = ["/proc/diskstats", "/proc/stat", "/proc/loadavg"]
        .map(str::to_owned)
        .to_vec();
    paths.extend(
        PRESSURES
            .iter()
            .map(|kind| format!("/proc/pressure/{kind}")),
    );
    for disk in disks(model).values() {
        paths.push(device::stat_path(root, &disk.name));
        paths.extend(disk.paths.iter().map(|path| device::stat_path(root, path)));
    }
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
    let unique: BTreeSet<String> = paths.into_iter().collect();
    unique.into_iter().collect()
}

/// The `schedstat` of every thread of every etcd, or of the process alone.
fn thread_paths(root: &HostRoot, model: &HostModel) -> Vec<String> {
    let mut paths = Vec::new();
    for etcd in &model.processes.etcd {
        let folder = format!("/proc/{}/task", etcd.pid);
        let threads: Vec<String> = names(root, &folder)
            .into_iter()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
            .take(MAX_THREADS)
            .collect();
        if threads.is_empty() {
            paths.push(format!("/proc/{}/schedstat", etcd.pid));
        }
        paths.extend(
            threads
                .iter()
                .map(|tid| format!("{folder}/{tid}/schedstat")),
        );
    }
    paths
}

fn devices(root: &HostRoot, samples: &Samples, model: &mut HostModel) {
    let disks = disks(model);
    for (name, disk) in &disks {
        let mut used = device_use(root, samples, name);
        used.counts_flushes = disk.kind.counts_flushes();
        if !disk.paths.is_empty() {
            used.counts_flushes = add_paths(root, samples, &disk.paths, &mut used);
        }
        model.devices.insert(name.clone(), used);
    }
    let Ok(all) = samples.parsed("/proc/diskstats", parse_diskstats) else {
        return;
    };
    let Some(last) = all.last() else { return };
    for line in &last.value {
        if disks.contains_key(&line.name) || model.other_devices.len() >= 512 {
            continue;
        }
        let series = of_device(&all, &line.name);
        let used = windows(&series);
        if used
            .windows
            .iter()
            .any(|w| w.delta.writes + w.delta.reads > 0)
        {
            model.other_devices.insert(line.name.clone(), used);
        }
    }
}

/// The series of one device in samples of `/proc/diskstats`.
fn of_device(all: &[Timed<Vec<super::blockstat::DiskLine>>], name: &str) -> Vec<Timed<BlockStat>> {
    all.iter()
        .filter_map(|sample| {
            let line = sample.value.iter().find(|line| line.name == name)?;
            Some(Timed {
                at: sample.at,
                source: sample.source.clone(),
                value: line.stat,
            })
        })
        .collect()
}

fn device_use(root: &HostRoot, samples: &Samples, name: &str) -> DeviceUse {
    let path = device::stat_path(root, name);
    let own = samples.parsed(&path, parse_stat);
    let all = samples
        .parsed("/proc/diskstats", parse_diskstats)
        .map(|all| of_device(&all, name));
    // The device's own file is the more precise one; the table of all may have more samples.
    let best = match (&own, &all) {
        (Ok(own), Ok(all)) if pairs(all).len() > pairs(own).len() => all,
        (Ok(own), _) => own,
        (Err(_), Ok(all)) if !all.is_empty() => all,
        (Err(why), _) => {
            return DeviceUse {
                missing: Some(why.clone()),
                source: path,
                ..DeviceUse::default()
            };
        }
    };
    windows(best)
}

fn windows(series: &[Timed<BlockStat>]) -> DeviceUse {
    let mut used = DeviceUse::default();
    if let Some(last) = series.last() {
        used.source.clone_from(&last.source);
        if let (Some(flushes), Some(ms)) = (last.value.flushes, last.value.ms_flushing)
            && flushes > 0
        {
            used.since_boot = Some((ms as f64 / flushes as f64, flushes));
        }
    }
    for (before, after, secs) in pairs(series) {
        match delta(&before.value, &after.value, secs) {
            Some(delta) => used.windows.push(DeviceWindow {
                span: span(before.at, after.at),
                source: sources(before, after),
                delta,
            }),
            None => used.resets += 1,
        }
    }
    if used.windows.is_empty() {
        used.missing = Some(Missing::NotEnough {
            why: if used.resets > 0 {
                "the counters started anew between the samples".to_owned()
            } else {
                "it takes two samples with known times".to_owned()
            },
        });
    }
    used
}

/// Takes the flushes of a multipath disk from its paths. False when a path was not sampled.
fn add_paths(root: &HostRoot, samples: &Samples, paths: &[String], used: &mut DeviceUse) -> bool {
    let of_paths: Vec<DeviceUse> = paths
        .iter()
        .map(|path| device_use(root, samples, path))
        .collect();
    for (at, window) in used.windows.iter_mut().enumerate() {
        let mut flushes = 0;
        let mut ms = 0;
        for path in &of_paths {
            let Some(of_path) = path.windows.get(at).filter(|w| w.span == window.span) else {
                return false;
            };
            let (Some(f), Some(m)) = (of_path.delta.flushes, of_path.delta.flush_ms) else {
                return false;
            };
            flushes += f;
            ms += m;
        }
        window.delta.flushes = Some(flushes);
        window.delta.flush_ms = Some(ms);
    }
    true
}

fn cpu(samples: &Samples) -> Got<Vec<Measured<CpuShares>>> {
    let series = samples.parsed("/proc/stat", parse_cpu)?;
    let found: Vec<_> = pairs(&series)
        .into_iter()
        .filter_map(|(a, b, _)| {
            Some(Measured {
                span: span(a.at, b.at),
                source: sources(a, b),
                value: shares(&a.value, &b.value)?,
            })
        })
        .collect();
    at_least_one(found)
}

fn load(samples: &Samples) -> Got<Vec<Measured<f64>>> {
    let series = samples.parsed("/proc/loadavg", parse_load)?;
    Ok(series
        .into_iter()
        .map(|sample| Measured {
            span: span(sample.at, sample.at),
            source: sample.source,
            value: sample.value,
        })
        .collect())
}

fn pressure(samples: &Samples, path: &str) -> Got<Vec<PressureUse>> {
    let series: Vec<Timed<Pressure>> = samples.parsed(path, parse_pressure)?;
    let found: Vec<PressureUse> = pairs(&series)
        .into_iter()
        .filter_map(|(a, b, secs)| {
            let (some, full) = stalled(&a.value, &b.value, secs)?;
            Some(PressureUse {
                span: span(a.at, b.at),
                source: sources(a, b),
                average: false,
                some,
                full,
            })
        })
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    // One sample: the kernel's own mean of its last ten seconds.
    let Some(last) = series.last() else {
        return at_least_one(found);
    };
    Ok(vec![PressureUse {
        span: span(last.at.map(|at| at.add_us(-10_000_000)), last.at),
        source: format!("{} (avg10)", last.source),
        average: true,
        some: last.value.some_avg10,
        full: last.value.full_avg10,
    }])
}

fn at_least_one<T>(found: Vec<T>) -> Got<Vec<T>> {
    if found.is_empty() {
        return Err(Missing::NotEnough {
            why: "it takes two samples with known times".to_owned(),
        });
    }
    Ok(found)
}

fn process_use(root: &HostRoot, samples: &Samples, model: &mut HostModel) {
    let threads = thread_paths(root, model);
    for etcd in &model.processes.etcd {
        let Some(used) = model.process_use.get_mut(&etcd.pid) else {
            continue;
        };
        match run_delay(samples, &threads, etcd.pid, etcd.started) {
            Ok((delays, all)) => {
                used.run_delay = delays;
                used.run_delay_of_all = all;
            }
            Err(why) => used.run_delay_missing = Some(why),
        }
        if used.throttling_missing.is_none() {
            match throttling(samples, &used.placement, etcd.started) {
                Ok(found) => used.throttling = found,
                Err(why) => used.throttling_missing = Some(why),
            }
        }
        if let Some(folder) = &used.placement.unified {
            for kind in PRESSURES {
                if let Ok(found) = pressure(samples, &format!("{folder}/{kind}.pressure")) {
                    used.pressure.insert(kind, found);
                }
            }
        }
        let io = samples.parsed(&format!("/proc/{}/io", etcd.pid), parse_write_bytes);
        if let Ok(series) = io
            && let Some((a, b, secs)) = pairs(&series).first().copied()
            && let Some(bytes) = b.value.checked_sub(a.value)
        {
            used.write_rate = Some(bytes as f64 / secs);
        }
    }
}

/// `write_bytes` of `/proc/PID/io`: bytes that the process caused to be written.
pub(super) fn parse_write_bytes(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"))?;
    value.trim().parse().ok()
}

/// How long threads waited for a CPU, per second of the window. It passes 1 when several wait.
fn run_delay(
    samples: &Samples,
    paths: &[String],
    pid: u32,
    started: Option<Timestamp>,
) -> Got<(Vec<Measured<f64>>, bool)> {
    let task = format!("/proc/{pid}/task/");
    let whole = format!("/proc/{pid}/schedstat");
    let mut by_time: BTreeMap<Option<Timestamp>, SchedStat> = BTreeMap::new();
    let mut source = whole.clone();
    let mut all_threads = true;
    let mut why = None;
    for path in paths
        .iter()
        .filter(|path| path.starts_with(&task) || **path == whole)
    {
        let tid: u32 = path
            .strip_prefix(&task)
            .and_then(|rest| rest.split('/').next()?.parse().ok())
            .unwrap_or(0);
        all_threads &= tid != 0;
        match samples.parsed(path, parse_schedstat) {
            Ok(series) => {
                for sample in series {
                    if tid == 0 {
                        source.clone_from(&sample.source);
                    } else {
                        source = format!("/proc/{pid}/task/*/schedstat");
                    }
                    let (ran, waited) = sample.value;
                    by_time
                        .entry(sample.at)
                        .or_default()
                        .threads
                        .push((tid, ran, waited));
                }
            }
            Err(missing) => why = Some(missing),
        }
    }
    let series: Vec<Timed<SchedStat>> = by_time
        .into_iter()
        .map(|(at, value)| Timed {
            at,
            source: source.clone(),
            value,
        })
        .collect();
    let mut found: Vec<Measured<f64>> = pairs(&series)
        .into_iter()
        .map(|(a, b, secs)| {
            let waited = b.value.waited_since(&a.value) as f64 / 1e9;
            Measured {
                span: span(a.at, b.at),
                source: source.clone(),
                value: waited / secs,
            }
        })
        .collect();
    if found.is_empty()
        && let Some(last) = series.last()
        && let Some((from, to)) = started.zip(last.at)
        && to.since_us(from) > 1_000_000
    {
        // One sample: since the process began.
        let secs = to.since_us(from) as f64 / 1e6;
        let waited = last.value.waited() as f64 / 1e9;
        found.push(Measured {
            span: span(Some(from), Some(to)),
            source,
            value: waited / secs,
        });
    }
    if found.is_empty() {
        return Err(why.unwrap_or(Missing::NotEnough {
            why: "it takes two samples, or one and the start of the process".to_owned(),
        }));
    }
    Ok((found, all_threads))
}

/// What the CPU limits of a process's cgroups did, the worst folder in each window.
fn throttling(
    samples: &Samples,
    placement: &cgroup::Placement,
    started: Option<Timestamp>,
) -> Got<Vec<CgroupUse>> {
    let mut found: Vec<CgroupUse> = Vec::new();
    let mut why = None;
    for group in &placement.cpu {
        let path = format!("{}/cpu.stat", group.folder);
        let series: Vec<Timed<CpuStat>> = match samples.parsed(&path, parse_cpu_stat) {
            Ok(series) => series,
            Err(missing) => {
                why.get_or_insert(missing);
                continue;
            }
        };
        let before = found.len();
        for (a, b, secs) in pairs(&series) {
            if let Some(since) = b.value.since(&a.value) {
                found.push(cgroup_use(
                    group,
                    since,
                    span(a.at, b.at),
                    sources(a, b),
                    Some(secs),
                    false,
                ));
            }
        }
        if found.len() == before
            && let Some(last) = series.last()
        {
            // One sample counts since the group was made, which is about when etcd began.
            let secs = started
                .zip(last.at)
                .map(|(from, to)| to.since_us(from) as f64 / 1e6)
                .filter(|secs| *secs > 1.0);
            found.push(cgroup_use(
                group,
                last.value,
                span(started, last.at),
                last.source.clone(),
                secs,
                true,
            ));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    if placement.in_root {
        // The root cgroup of the CPU controller can have no limit (kernel: tg_set_cfs_bandwidth).
        return Ok(vec![CgroupUse {
            span: Span::default(),
            source: "/proc/PID/cgroup (the root cgroup has no CPU limit)".to_owned(),
            folder: "/".to_owned(),
            share: Some(0.0),
            time: Some(0.0),
            periods: 0,
            throttled: 0,
            lifetime: true,
        }]);
    }
    Err(why.unwrap_or(Missing::NotEnough {
        why: "the folder of etcd's cgroup is not in this tree".to_owned(),
    }))
}

fn cgroup_use(
    group: &cgroup::CpuGroup,
    stat: CpuStat,
    span: Span,
    source: String,
    secs: Option<f64>,
    lifetime: bool,
) -> CgroupUse {
    CgroupUse {
        span,
        source,
        folder: group.folder.clone(),
        // Without a limit there are no periods, and nothing was throttled.
        share: stat.share().or((stat.throttled == 0).then_some(0.0)),
        time: secs.map(|secs| stat.throttled_us as f64 / 1e6 / secs),
        periods: stat.periods,
        throttled: stat.throttled,
        lifetime,
    }
}

fn barriers(root: &HostRoot, model: &mut HostModel) {
    let zfs_no_flush = storage::zfs_no_flush(root);
    for at in 0..model.storage.len() {
        let Some(storage) = model.storage.get(at) else {
            continue;
        };
        let Ok(mount) = &storage.mount else { continue };
        let volatile =
            mount.fs == "overlay" && (mount.has("volatile") || mount.has("fsync=volatile"));
        let real = storage.below_overlay.as_ref().unwrap_or(mount);
        let top = storage
            .chain
            .layers
            .first()
            .map(|layer| layer.name.as_str());
        let etcd = storage.pid.and_then(|pid| model.etcd(pid));
        let barrier = judge(&Facts {
            mount: real,
            volatile_overlay: volatile,
            chain: &storage.chain,
            journal: storage::journal(root, real, top.unwrap_or("")),
            unsafe_no_fsync: etcd.and_then(|etcd| etcd.unsafe_no_fsync),
            count: flush_count(model, &storage.chain, storage.pid),
            zfs_no_flush,
        });
        if let Some(storage) = model.storage.get_mut(at) {
            storage.barrier = Some(barrier);
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

fn span(from: Option<Timestamp>, to: Option<Timestamp>) -> Span {
    Span { from, to }
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
