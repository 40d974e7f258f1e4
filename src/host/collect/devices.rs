//! Evidence about the disks under etcd and the other disks of the node.

use crate::evidence::{Completeness, Key, Origin, Row, Subject, keys};
use crate::host::layer::Layer;
use crate::host::model::{DeviceUse, HostModel, Span};

use super::storage::ENOUGH_FLUSHES;
use super::{Missing, Out, moment, table, window};

/// Fewest writes in a window whose mean is worth telling.
const ENOUGH_WRITES: u64 = 20;

/// The disks under etcd.
pub(super) fn collect(model: &HostModel, out: &mut Out) {
    let layers: Vec<&Layer> = model
        .storage
        .iter()
        .map(|storage| &storage.chain)
        .chain(model.assumed_chains.values())
        .flat_map(crate::host::device::Chain::disks)
        .collect();
    for (name, used) in &model.devices {
        let about = out.device(model, name);
        let Some(layer) = layers.iter().find(|layer| layer.name == *name) else {
            continue;
        };
        queue(layer, model, &about, out);
        device(model, used, &about, out);
        above(model, name, &about, out);
        neighbours(model, name, &about, out);
    }
    let mut rows = Vec::new();
    for (name, used) in &model.other_devices {
        let mut row = Row::new(name);
        let secs: f64 = used.windows.iter().map(|w| w.delta.secs).sum();
        if secs <= 0.0 {
            continue;
        }
        let sum = |f: fn(&crate::formats::blockstat::BlockDelta) -> u64| -> f64 {
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
    let at = moment(model);
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
        put(&keys::DEVICE_SAMPLE_SECS, delta.secs);
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

/// What lies between etcd's file systems and a disk, measured or not: the disk's own counters say
/// nothing about it.
fn above(model: &HostModel, name: &str, about: &Subject, out: &mut Out) {
    let mut layers: Vec<&Layer> = model
        .storage
        .iter()
        .map(|storage| &storage.chain)
        .chain(model.assumed_chains.values())
        .filter(|chain| chain.disks().iter().any(|disk| disk.name == name))
        .flat_map(crate::host::device::Chain::above)
        .collect();
    layers.sort_by(|a, b| a.name.cmp(&b.name));
    layers.dedup_by(|a, b| a.name == b.name);
    if layers.is_empty() {
        return;
    }
    let mut span = Span::default();
    let mut source = format!("sys/block/{name}");
    let mut rows = Vec::new();
    for layer in layers {
        let mut row = Row::new(&layer.name).text("kind", layer.kind.word());
        let windows = model
            .layers_above
            .get(&layer.name)
            .map_or(&[][..], |used| &used.windows);
        let writes: u64 = windows.iter().map(|window| window.delta.writes).sum();
        let slowest = windows
            .iter()
            .filter(|window| window.delta.writes >= ENOUGH_WRITES)
            .filter_map(|window| window.delta.write_mean_ms())
            .max_by(f64::total_cmp);
        if let Some(ms) = slowest {
            row = row
                .num("writes", writes as f64)
                .num("max_write_mean_ms", ms);
        }
        if let (Some(first), Some(last)) = (windows.first(), windows.last()) {
            span = Span {
                from: first.span.from,
                to: last.span.to,
            };
            source.clone_from(&first.source);
        }
        rows.push(row);
    }
    let origin = Out::origin(&source);
    out.set.put(
        &keys::DEVICE_ABOVE,
        about.clone(),
        window(span),
        origin,
        table(rows),
    );
}

/// Who shares a disk: the mounts on it and the cgroups that wrote to it.
fn neighbours(model: &HostModel, name: &str, about: &Subject, out: &mut Out) {
    let mut rows: Vec<Row> = Vec::new();
    let mut source = String::new();
    for storage in &model.storage {
        if !storage.chain.disks().iter().any(|disk| disk.name == name) {
            continue;
        }
        source.clone_from(&storage.source);
        for mount in &storage.shared_with {
            if !rows.iter().any(|row| row.key == mount.point) {
                rows.push(
                    Row::new(&mount.point)
                        .text("fs", &mount.fs)
                        .text("source", &mount.source),
                );
            }
        }
    }
    let at = moment(model);
    if !rows.is_empty() {
        out.set.put(
            &keys::DEVICE_SHARED,
            about.clone(),
            window(at),
            Out::origin(&source),
            table(rows),
        );
    }
    let writers: Vec<Row> = model
        .group_writers
        .iter()
        .filter(|writer| writer.device == name && writer.secs > 0.0)
        .map(|writer| {
            Row::new(&writer.group)
                .num("write_bytes", writer.bytes as f64)
                .num("max_bytes_per_sec", writer.bytes as f64 / writer.secs)
        })
        .collect();
    if !writers.is_empty() {
        out.set.put(
            &keys::DEVICE_WRITERS,
            about.clone(),
            window(model.span),
            Out::origin("io.stat of the cgroups"),
            table(writers),
        );
    }
}
