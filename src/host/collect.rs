//! From the model of a node to evidence.
//!
//! Subjects: the node; each etcd as `etcd` (or `etcd-events`) on its node; each disk under an
//! etcd. Where one tree holds several main etcds (a lab), each is on a node of its own name.

pub use crate::evidence::Missing;
use crate::evidence::{
    Collector, Completeness, EvidenceSet, Key, Origin, Row, Subject, SubjectKind, Table, Window,
    keys,
};

use super::Got;
use super::barrier::BarrierState;
use super::device::Layer;
use super::filesystem::fitness;
use super::model::{DeviceUse, HostModel, PressureUse, Span, Storage};
use super::process::{EtcdProcess, Role};

/// Fewest flushes in a window whose mean is worth telling.
const ENOUGH_FLUSHES: u64 = 5;
/// Fewest writes in a window whose mean is worth telling.
const ENOUGH_WRITES: u64 = 20;

/// Turns a node's model into evidence about `node` (empty when its name is not known).
pub fn collect(model: &HostModel, node: &str) -> EvidenceSet {
    let mut out = Out {
        set: EvidenceSet::new(),
        node: node.to_owned(),
    };
    mounts(model, &mut out);
    devices(model, &mut out);
    for etcd in &model.processes.etcd {
        component(model, etcd, &mut out);
    }
    machine(model, &mut out);
    out.set
}

struct Out {
    set: EvidenceSet,
    node: String,
}

impl Out {
    fn origin(source: &str) -> Origin {
        Origin::new(Collector::Host, source.trim_start_matches('/'))
    }

    fn node(&self) -> Subject {
        Subject::new(SubjectKind::Node, &self.node)
    }

    fn device(&self, name: &str) -> Subject {
        Subject::new(SubjectKind::Device, name).on(&self.node)
    }

    fn num(&mut self, key: &Key<f64>, subject: &Subject, span: Span, origin: Origin, value: f64) {
        if value.is_finite() {
            self.set
                .put(key, subject.clone(), window(span), origin, value);
        }
    }

    fn missing<T>(&mut self, key: &Key<T>, subject: &Subject, source: &str, why: &Missing) {
        self.set
            .put_missing(key, subject.clone(), Self::origin(source), why.clone());
    }
}

fn window(span: Span) -> Window {
    Window {
        from: span.from,
        to: span.to,
    }
}

/// The subject of an etcd process.
fn subject(model: &HostModel, etcd: &EtcdProcess, node: &str) -> Subject {
    let word = match etcd.role {
        Role::Main => "etcd",
        Role::Events => "etcd-events",
    };
    let same = |other: &&EtcdProcess| other.role == etcd.role;
    let several = model.processes.etcd.iter().filter(same).count() > 1;
    let own = etcd.name.as_deref().unwrap_or("");
    // kubeadm names a member after its node, so a member's name can stand for an unknown node.
    let on = if several && !own.is_empty() || node.is_empty() {
        own
    } else {
        node
    };
    Subject::new(SubjectKind::Component, word).on(on)
}

fn table(rows: Vec<Row>) -> Table {
    let mut rows = rows;
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Table {
        rows,
        ..Table::default()
    }
}

/// Mounts and barriers, one table an etcd (or one for the node where no process is known).
fn mounts(model: &HostModel, out: &mut Out) {
    if let Some(why) = &model.storage_missing {
        let node = out.node();
        out.missing(&keys::MOUNTS, &node, "proc/self/mountinfo", why);
        return;
    }
    let mut by_subject: Vec<(Subject, Vec<&Storage>)> = Vec::new();
    for storage in &model.storage {
        let etcd = storage.pid.and_then(|pid| model.etcd(pid));
        let about = match etcd {
            Some(etcd) => subject(model, etcd, &out.node),
            None => Subject::new(SubjectKind::Component, "etcd").on(&out.node),
        };
        match by_subject.iter_mut().find(|(have, _)| *have == about) {
            Some((_, list)) => list.push(storage),
            None => by_subject.push((about, vec![storage])),
        }
    }
    for (about, list) in by_subject {
        let known: Vec<&Storage> = list
            .iter()
            .copied()
            .filter(|storage| storage.mount.is_ok())
            .collect();
        let source = list.first().map_or("", |storage| storage.source.as_str());
        let Some(first) = known.first() else {
            if let Some(Err(why)) = list.first().map(|storage| &storage.mount) {
                out.missing(&keys::MOUNTS, &about, source, why);
            }
            continue;
        };
        let at = Span {
            from: model.taken,
            to: model.taken,
        };
        let origin = Out::origin(&first.source);
        let rows = known.iter().filter_map(|s| mount_row(model, s)).collect();
        out.set.put(
            &keys::MOUNTS,
            about.clone(),
            window(at),
            origin.clone(),
            table(rows),
        );
        let steps = known
            .iter()
            .flat_map(|storage| step_rows(storage))
            .collect();
        out.set.put(
            &keys::BARRIER_STEPS,
            about.clone(),
            window(at),
            origin.clone(),
            table(steps),
        );
        let remarks: Vec<Row> = known
            .iter()
            .flat_map(|storage| {
                storage.remarks.iter().map(|(option, why)| {
                    Row::new(format!("{} {option}", storage.role.word())).text("why", *why)
                })
            })
            .collect();
        out.set.put(
            &keys::MOUNT_REMARKS,
            about,
            window(at),
            origin,
            table(remarks),
        );
    }
}

fn mount_row(model: &HostModel, storage: &Storage) -> Option<Row> {
    let mount = storage.mount.as_ref().ok()?;
    let real = storage.below_overlay.as_ref().unwrap_or(mount);
    let disks = storage.chain.disks();
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let (fit, fit_why) = fitness(&mount.fs);
    let mut row = Row::new(storage.role.word())
        .text("path", &storage.path)
        .text("path_source", storage.path_source)
        .text("host_path", &storage.host_path)
        .text("mount", &mount.point)
        .text("fs", &mount.fs)
        .text("fs_fitness", fit.word())
        .text("fs_why", fit_why)
        .text("options", mount.all_options().collect::<Vec<_>>().join(","))
        .text("source", &real.source);
    if let Some(first) = names.first() {
        row = row
            .text("device", *first)
            .text("devices", names.join(","))
            .text("stack", storage.chain.words());
    }
    if let Some(disk) = disks.first() {
        row = row.text("device_kind", disk.kind.word());
        if let Some(model) = &disk.model {
            row = row.text("model", model);
        }
        if let Some(cloud) = disk.cloud {
            row = row
                .text("cloud_disk", cloud.name)
                .text("ephemeral", if cloud.ephemeral { "yes" } else { "no" });
        }
    }
    if let Some(under) = &storage.below_overlay {
        row = row
            .text("overlay_on", &under.point)
            .text("overlay_fs", &under.fs);
    }
    if let Some(barrier) = &storage.barrier {
        row = row
            .text("barrier", barrier.state.word())
            .text("why", &barrier.why)
            .text("confidence", barrier.confidence.word());
        let flag = barrier.steps.iter().find(|step| step.id == "2-etcd-flag");
        if let Some(flag) = flag.filter(|step| step.state != BarrierState::Unknown) {
            let off = flag.state == BarrierState::Off;
            row = row.text("unsafe_no_fsync", if off { "yes" } else { "no" });
        }
    }
    // What a flush costs here, measured now, or since boot where none was sent now.
    let used: Vec<&DeviceUse> = names
        .iter()
        .filter_map(|name| model.devices.get(*name))
        .collect();
    let (mut flushes, mut ms, mut secs) = (0u64, 0u64, 0.0f64);
    for window in used.iter().flat_map(|used| &used.windows) {
        flushes += window.delta.flushes.unwrap_or(0);
        ms += window.delta.flush_ms.unwrap_or(0);
        secs += window.delta.secs;
    }
    if flushes >= ENOUGH_FLUSHES && secs > 0.0 {
        row = row
            .num("flush_mean_ms", ms as f64 / flushes as f64)
            .num("flush_share", ms as f64 / 1e3 / secs)
            .num("flushes_per_sec", flushes as f64 / secs);
    }
    if let Some((mean, _)) = used.iter().find_map(|used| used.since_boot) {
        row = row.num("flush_mean_since_boot_ms", mean);
    }
    Some(row)
}

fn step_rows(storage: &Storage) -> Vec<Row> {
    let steps = storage.barrier.as_ref().map_or(&[][..], |b| &b.steps);
    steps
        .iter()
        .map(|step| {
            Row::new(format!("{} {}", storage.role.word(), step.id))
                .text("state", step.state.word())
                .text("why", &step.why)
                .text("confidence", step.confidence.word())
        })
        .collect()
}

/// The disks under etcd.
fn devices(model: &HostModel, out: &mut Out) {
    let layers: Vec<&Layer> = model
        .storage
        .iter()
        .map(|storage| &storage.chain)
        .chain(model.assumed_chains.values())
        .flat_map(super::device::Chain::disks)
        .collect();
    for (name, used) in &model.devices {
        let about = out.device(name);
        let Some(layer) = layers.iter().find(|layer| layer.name == *name) else {
            continue;
        };
        queue(layer, model, &about, out);
        device(model, used, &about, out);
    }
    let mut rows = Vec::new();
    for (name, used) in &model.other_devices {
        let mut row = Row::new(name);
        let secs: f64 = used.windows.iter().map(|w| w.delta.secs).sum();
        if secs <= 0.0 {
            continue;
        }
        let sum = |f: fn(&super::blockstat::BlockDelta) -> u64| -> f64 {
            used.windows.iter().map(|w| f(&w.delta) as f64).sum()
        };
        row = row
            .num("writes", sum(|d| d.writes))
            .num("write_bytes", sum(|d| d.write_bytes))
            .num("reads", sum(|d| d.reads))
            .num("read_bytes", sum(|d| d.read_bytes));
        let busiest = used
            .windows
            .iter()
            .map(|w| w.delta.busy)
            .fold(0.0, f64::max);
        rows.push(row.num("max_busy", busiest));
    }
    if !rows.is_empty() {
        let about = out.node();
        out.set.put(
            &keys::DEVICES_OTHER,
            about,
            window(model.span),
            Out::origin("proc/diskstats"),
            table(rows),
        );
    }
}

fn queue(layer: &Layer, model: &HostModel, about: &Subject, out: &mut Out) {
    let mut rows: Vec<Row> = layer
        .queue
        .iter()
        .map(|(name, value)| Row::new(*name).text("value", value))
        .collect();
    if let Some((cache, source)) = &layer.claim {
        let row = Row::new("cache_claim").text("value", cache.words());
        rows.push(row.text("source", source));
    }
    rows.push(Row::new("kind").text("value", layer.kind.word()));
    if let Some(model) = &layer.model {
        rows.push(Row::new("model").text("value", model));
    }
    if let Some(size) = layer.size {
        rows.push(Row::new("size").text("value", size.to_string()));
    }
    let source = format!("sys/block/{}/queue", layer.name);
    let at = Span {
        from: model.taken,
        to: model.taken,
    };
    out.set.put(
        &keys::DEVICE_QUEUE,
        about.clone(),
        window(at),
        Out::origin(&source),
        table(rows),
    );
}

fn device(model: &HostModel, used: &DeviceUse, about: &Subject, out: &mut Out) {
    let doubt = |origin: Origin| {
        if model.assumed_devices {
            // Nothing says that this is etcd's disk; it is only the one that was sampled.
            origin.with(Completeness::Estimate)
        } else {
            origin
        }
    };
    let (mut flush_means, mut write_means) = (0, 0);
    for window in &used.windows {
        let delta = &window.delta;
        let mut put = |key: &Key<f64>, value: f64| {
            let origin = doubt(Out::origin(&window.source));
            out.num(key, about, window.span, origin, value);
        };
        put(&keys::DEVICE_BUSY, delta.busy);
        put(&keys::DEVICE_QUEUE_LENGTH, delta.queue);
        put(&keys::DEVICE_WRITES, delta.writes as f64);
        put(&keys::DEVICE_WRITE_BYTES, delta.write_bytes as f64);
        put(
            &keys::DEVICE_WRITE_RATE,
            delta.write_bytes as f64 / delta.secs,
        );
        if delta.writes >= ENOUGH_WRITES
            && let Some(mean) = delta.write_mean_ms()
        {
            put(&keys::DEVICE_WRITE_TIME, mean);
            write_means += 1;
        }
        if let Some(discards) = delta.discards {
            put(&keys::DEVICE_DISCARDS, discards as f64);
        }
        if used.counts_flushes
            && let Some(flushes) = delta.flushes
        {
            put(&keys::DEVICE_FLUSHES, flushes as f64);
            if flushes >= ENOUGH_FLUSHES
                && let Some(mean) = delta.flush_mean_ms()
            {
                put(&keys::DEVICE_FLUSH_TIME, mean);
                put(
                    &keys::DEVICE_FLUSH_SHARE,
                    mean * flushes as f64 / 1e3 / delta.secs,
                );
                flush_means += 1;
            }
        }
    }
    let few = |what: &str| Missing::NotEnough {
        why: format!("too few {what} in the window for a mean"),
    };
    let why = used.missing.clone();
    if used.windows.is_empty() {
        let why = why.clone().unwrap_or(Missing::NotCollected);
        for key in [
            &keys::DEVICE_BUSY,
            &keys::DEVICE_WRITES,
            &keys::DEVICE_WRITE_BYTES,
            &keys::DEVICE_FLUSHES,
        ] {
            out.missing(key, about, &used.source, &why);
        }
    }
    if write_means == 0 {
        let why = why.clone().unwrap_or_else(|| few("writes"));
        out.missing(&keys::DEVICE_WRITE_TIME, about, &used.source, &why);
    }
    if flush_means == 0 {
        let why = if used.counts_flushes {
            why.unwrap_or_else(|| few("flushes"))
        } else {
            Missing::NotEnough {
                why: "this kind of device counts no flushes".to_owned(),
            }
        };
        out.missing(&keys::DEVICE_FLUSH_TIME, about, &used.source, &why);
    }
    if let Some((mean, _)) = used.since_boot.filter(|_| used.counts_flushes) {
        let span = Span {
            from: model.boot,
            to: model.taken,
        };
        let origin = doubt(Out::origin(&used.source));
        out.num(&keys::DEVICE_FLUSH_TIME_BOOT, about, span, origin, mean);
    }
}

/// One etcd process.
fn component(model: &HostModel, etcd: &EtcdProcess, out: &mut Out) {
    let about = subject(model, etcd, &out.node);
    let Some(used) = model.process_use.get(&etcd.pid) else {
        return;
    };
    for delay in &used.run_delay {
        let mut origin = Out::origin(&delay.source);
        if !used.run_delay_of_all {
            // The process's own file counts its first thread only.
            origin = origin.with(Completeness::AtLeast);
        }
        out.num(&keys::RUN_DELAY, &about, delay.span, origin, delay.value);
    }
    if let Some(why) = &used.run_delay_missing {
        let source = format!("proc/{}/schedstat", etcd.pid);
        out.missing(&keys::RUN_DELAY, &about, &source, why);
    }
    for group in &used.throttling {
        let mut origin = Out::origin(&group.source);
        if group.lifetime {
            origin = origin.with(Completeness::Estimate);
        }
        if let Some(share) = group.share {
            out.num(
                &keys::CGROUP_THROTTLED,
                &about,
                group.span,
                origin.clone(),
                share,
            );
        }
        if let Some(time) = group.time {
            out.num(
                &keys::CGROUP_THROTTLED_TIME,
                &about,
                group.span,
                origin,
                time,
            );
        }
    }
    if let Some(why) = &used.throttling_missing {
        let source = format!("proc/{}/cgroup", etcd.pid);
        out.missing(&keys::CGROUP_THROTTLED, &about, &source, why);
    }
    let at = Span {
        from: model.taken,
        to: model.taken,
    };
    for group in &used.placement.cpu {
        if let Some(Some(limit)) = group.limit {
            out.num(
                &keys::CGROUP_CPU_LIMIT,
                &about,
                at,
                Out::origin(&group.folder),
                limit,
            );
        }
    }
    if !used.throttling.is_empty() {
        let rows = used
            .throttling
            .iter()
            .map(|group| {
                Row::new(group.folder.trim_start_matches('/'))
                    .num("periods", group.periods as f64)
                    .num("throttled", group.throttled as f64)
            })
            .fold(Vec::new(), |mut rows: Vec<Row>, row| {
                match rows.iter_mut().find(|have| have.key == row.key) {
                    Some(have) => {
                        for column in ["periods", "throttled"] {
                            let sum =
                                have.get(column).unwrap_or(0.0) + row.get(column).unwrap_or(0.0);
                            *have = have.clone().num(column, sum);
                        }
                    }
                    None => rows.push(row),
                }
                rows
            });
        let sources: Vec<&str> = used.throttling.iter().map(|g| g.source.as_str()).collect();
        let span = used.throttling.first().map_or(at, |group| group.span);
        out.set.put(
            &keys::CGROUP_PERIODS,
            about.clone(),
            window(span),
            Out::origin(sources.first().copied().unwrap_or("")),
            table(rows),
        );
    }
    if !used.io_limits.is_empty() {
        let mut rows: Vec<Row> = Vec::new();
        for (device, kind, value) in &used.io_limits {
            match rows.iter_mut().find(|row| row.key == *device) {
                Some(row) => *row = row.clone().num(kind, *value),
                None => rows.push(Row::new(device).num(kind, *value)),
            }
        }
        let folder = used
            .placement
            .unified
            .as_ref()
            .or(used.placement.io.as_ref());
        let source = folder.map_or("io.max", String::as_str);
        out.set.put(
            &keys::CGROUP_IO_LIMITS,
            about.clone(),
            window(at),
            Out::origin(source),
            table(rows),
        );
    }
    for (kind, windows) in &used.pressure {
        pressure(kind, windows, &about, out);
    }
    let rows = process_rows(etcd, used.write_rate);
    out.set.put(
        &keys::PROCESS_FACTS,
        about,
        window(at),
        Out::origin(&format!("proc/{}", etcd.pid)),
        table(rows),
    );
}

fn process_rows(etcd: &EtcdProcess, write_rate: Option<f64>) -> Vec<Row> {
    let mut rows = vec![Row::new("pid").num("value", f64::from(etcd.pid))];
    let mut text = |key: &str, value: &str| rows.push(Row::new(key).text("text", value));
    if let Some(name) = &etcd.name {
        text("name", name);
    }
    if let Some(dir) = &etcd.data_dir {
        text("data-dir", dir);
    }
    if let Some(dir) = &etcd.wal_dir {
        text("wal-dir", dir);
    }
    if let Some(ionice) = &etcd.ionice {
        text("ionice", ionice);
    }
    if let Some(off) = etcd.unsafe_no_fsync {
        text("unsafe-no-fsync", if off { "yes" } else { "no" });
    }
    if etcd.embedded {
        text("embedded", "k3s");
    }
    let mut why = |key: &str, why: &Missing| {
        rows.push(Row::new(key).text("missing", why.to_string()));
    };
    let mut numbers: Vec<(&str, f64)> = Vec::new();
    let mut number = |key: &'static str, value: Result<f64, &Missing>| match value {
        Ok(value) => numbers.push((key, value)),
        Err(missing) => why(key, missing),
    };
    number("nofile", etcd.nofile.as_ref().map(|n| *n as f64));
    number(
        "oom-score-adj",
        etcd.oom_score_adj.as_ref().map(|n| *n as f64),
    );
    number("swap-bytes", etcd.swapped.as_ref().map(|n| *n as f64));
    number("rss-bytes", etcd.rss.as_ref().map(|n| *n as f64));
    number("nice", etcd.stat.as_ref().map(|stat| stat.nice as f64));
    number(
        "threads",
        etcd.stat.as_ref().map(|stat| stat.threads as f64),
    );
    number(
        "rt-priority",
        etcd.stat.as_ref().map(|stat| stat.rt_priority as f64),
    );
    if let Some(rate) = write_rate {
        numbers.push(("write-bytes-per-sec", rate));
    }
    rows.extend(
        numbers
            .into_iter()
            .map(|(key, value)| Row::new(key).num("value", value)),
    );
    if let Ok(stat) = &etcd.stat {
        rows.push(Row::new("policy").text("text", super::process::policy_word(stat.policy)));
        rows.push(Row::new("state").text("text", stat.state.to_string()));
    }
    if let Some(started) = etcd.started {
        rows.push(Row::new("started").text("text", started.to_string()));
    }
    rows
}

fn pressure(kind: &str, windows: &[PressureUse], about: &Subject, out: &mut Out) {
    for used in windows {
        let mut row = Row::new(kind).num("max_some", used.some);
        if let Some(full) = used.full {
            row = row.num("max_full", full);
        }
        let mut origin = Out::origin(&used.source);
        if used.average {
            origin = origin.with(Completeness::Estimate);
        }
        out.set.put(
            &keys::PRESSURE,
            about.clone(),
            window(used.span),
            origin,
            table(vec![row]),
        );
    }
}

/// The machine as a whole.
fn machine(model: &HostModel, out: &mut Out) {
    let node = out.node();
    let mut missing = None;
    for (kind, found) in &model.pressure {
        match found {
            Ok(windows) => pressure(kind, windows, &node, out),
            Err(why) => missing = Some((format!("proc/pressure/{kind}"), why)),
        }
    }
    if let Some((source, why)) = missing {
        out.missing(&keys::PRESSURE, &node, &source, why);
    }
    match &model.cpu {
        Some(Ok(windows)) => {
            for used in windows {
                let (span, shares) = (&used.span, &used.value);
                let origin = Out::origin(&used.source);
                out.num(&keys::CPU_STEAL, &node, *span, origin.clone(), shares.steal);
                out.num(&keys::CPU_BUSY, &node, *span, origin.clone(), shares.busy);
                out.num(&keys::CPU_IOWAIT, &node, *span, origin, shares.iowait);
            }
        }
        Some(Err(why)) => out.missing(&keys::CPU_STEAL, &node, "proc/stat", why),
        None => {}
    }
    known(
        &model.load,
        &keys::CPU_LOAD,
        &node,
        "proc/loadavg",
        out,
        |out, load| {
            let Some(cpus) = model.cpus else { return };
            for load in load {
                let per_cpu = load.value / f64::from(cpus);
                out.num(
                    &keys::CPU_LOAD,
                    &node,
                    load.span,
                    Out::origin(&load.source),
                    per_cpu,
                );
            }
        },
    );
}

fn known<T, K>(
    value: &Option<Got<T>>,
    key: &Key<K>,
    about: &Subject,
    source: &str,
    out: &mut Out,
    put: impl FnOnce(&mut Out, &T),
) {
    match value {
        Some(Ok(value)) => put(out, value),
        Some(Err(why)) => out.missing(key, about, source, why),
        None => {}
    }
}
