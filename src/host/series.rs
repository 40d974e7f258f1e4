//! From samples to the model: what happened between them, device by device and file by file.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::target::HostRoot;

use super::cgroup::{CpuGroup, CpuStat, Placement, parse_cpu_stat};
use super::cpu::{CpuShares, SchedStat, Waits, parse_cpu, parse_load, parse_schedstat, shares};
use super::device;
use super::layer::Layer;
use super::model::{
    CgroupUse, DeviceUse, DeviceWindow, HostModel, Measured, PressureUse, RunDelay, Span,
};
use super::read::PRESSURES;
use super::samples::{Samples, Timed, pairs, sources};
use super::{Got, Missing};
use crate::formats::blockstat::{BlockStat, DiskLine, delta, parse_diskstats, parse_stat};
use crate::formats::pressure::{Pressure, parse_pressure, stalled};

/// Fills in the counters of the disks under etcd, of the layers above them, and of all others.
pub(super) fn devices(
    root: &HostRoot,
    samples: &Samples,
    disks: &BTreeMap<String, Layer>,
    above: &BTreeMap<String, Layer>,
    model: &mut HostModel,
) {
    for name in above.keys() {
        let used = device_use(root, samples, name);
        model.layers_above.insert(name.clone(), used);
    }
    for (name, disk) in disks {
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
        let etcds = disks.contains_key(&line.name) || above.contains_key(&line.name);
        if etcds || model.other_devices.len() >= 512 {
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
fn of_device(all: &[Timed<Vec<DiskLine>>], name: &str) -> Vec<Timed<BlockStat>> {
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

/// Shares of the CPU time.
pub(super) fn cpu(samples: &Samples) -> Got<Vec<Measured<CpuShares>>> {
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

/// The load at each sample.
pub(super) fn load(samples: &Samples) -> Got<Vec<Measured<f64>>> {
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

/// Shares of the time under pressure.
pub(super) fn pressure(samples: &Samples, path: &str) -> Got<Vec<PressureUse>> {
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

/// Fills in what samples tell about each etcd and each kube-apiserver. `threads` are the files of their
/// threads.
pub(super) fn process_use(samples: &Samples, threads: &[String], model: &mut HostModel) {
    let etcds = model
        .processes
        .etcd
        .iter()
        .map(|one| (one.pid, one.started));
    let apiservers = model.processes.apiservers.iter();
    let apiservers = apiservers.map(|one| (one.pid, one.started));
    for (pid, started) in etcds.chain(apiservers) {
        let Some(used) = model.process_use.get_mut(&pid) else {
            continue;
        };
        match run_delay(samples, threads, pid, started) {
            Ok((delays, all)) => {
                used.run_delay = delays;
                used.run_delay_of_all = all;
            }
            Err(why) => used.run_delay_missing = Some(why),
        }
        if used.throttling_missing.is_none() {
            match throttling(samples, &used.placement, started) {
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
        let io = samples.parsed(&format!("/proc/{pid}/io"), parse_write_bytes);
        if let Ok(series) = io {
            used.write_rate = busiest(&series);
        }
    }
}

/// The most bytes per second between two samples: of the device, too, the busiest pair is told.
fn busiest(series: &[Timed<u64>]) -> Option<f64> {
    let rates = pairs(series).into_iter().filter_map(|(a, b, secs)| {
        let bytes = b.value.checked_sub(a.value)?;
        Some(bytes as f64 / secs)
    });
    rates.max_by(f64::total_cmp)
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
) -> Got<(Vec<Measured<RunDelay>>, bool)> {
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
                    by_time
                        .entry(sample.at)
                        .or_default()
                        .threads
                        .push((tid, sample.value));
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
    let delay = |waits: Waits, secs: f64| RunDelay {
        per_sec: waits.waited as f64 / 1e9 / secs,
        waits,
    };
    let mut found: Vec<Measured<RunDelay>> = pairs(&series)
        .into_iter()
        .map(|(a, b, secs)| Measured {
            span: span(a.at, b.at),
            source: source.clone(),
            value: delay(b.value.since(&a.value), secs),
        })
        .collect();
    if found.is_empty()
        && let Some(last) = series.last()
        && let Some((from, to)) = started.zip(last.at)
        && to.since_us(from) > 1_000_000
    {
        // One sample: since the process began.
        let secs = to.since_us(from) as f64 / 1e6;
        found.push(Measured {
            span: span(Some(from), Some(to)),
            source,
            value: delay(last.value.total(), secs),
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
    placement: &Placement,
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
    group: &CpuGroup,
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

fn span(from: Option<Timestamp>, to: Option<Timestamp>) -> Span {
    Span { from, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The device's rate is that of its busiest window, so etcd's is, too.
    #[test]
    fn the_busiest_pair_of_samples_tells_how_much_is_written() {
        let at = |secs, value| Timed {
            at: Some(Timestamp::from_secs(secs)),
            source: "/proc/7/io".to_owned(),
            value,
        };
        let written = [at(0, 0), at(10, 1_000), at(20, 51_000), at(30, 51_000)];
        assert_eq!(busiest(&written), Some(5_000.0));
        // A process that began anew.
        assert_eq!(busiest(&[at(0, 9_000), at(10, 0)]), None);
        assert_eq!(busiest(&[at(0, 9_000)]), None);
    }
}
