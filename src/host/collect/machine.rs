//! Evidence about the machine: pressure, CPU, memory, settings, kernel messages, time, writers.

use crate::evidence::{Completeness, Key, Row, Subject, Table, keys};
use crate::host::Got;
use crate::host::kernel_log::{KernelLog, Topic};
use crate::host::model::HostModel;

use super::{Out, moment, pressure, table, window};

/// The machine as a whole.
pub(super) fn collect(model: &HostModel, out: &mut Out) {
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
    facts(model, out);
}

/// Memory, settings, kernel messages, time and writers.
fn facts(model: &HostModel, out: &mut Out) {
    let node = out.node();
    let at = moment(model);
    known(
        &model.memory,
        &keys::MEM_AVAILABLE,
        &node,
        "proc/meminfo",
        out,
        |out, memory| {
            let origin = || Out::origin(&memory.source);
            let share = memory.value.available_share();
            out.num(&keys::MEM_AVAILABLE, &node, memory.span, origin(), share);
            if let Some(used) = memory.value.swap_used {
                out.num(
                    &keys::MEM_SWAP_USED,
                    &node,
                    memory.span,
                    origin(),
                    used as f64,
                );
            }
            if let Some(dirty) = memory.value.dirty {
                out.num(&keys::MEM_DIRTY, &node, memory.span, origin(), dirty as f64);
            }
        },
    );
    let mut settings: Vec<Row> = model
        .settings
        .iter()
        .map(|setting| {
            Row::new(setting.name)
                .text("value", &setting.value)
                .text("source", setting.source.trim_start_matches('/'))
        })
        .collect();
    if let Some(cpus) = model.cpus {
        settings.push(
            Row::new("cpus")
                .text("value", cpus.to_string())
                .text("source", "proc/stat"),
        );
    }
    let time = &model.time;
    if !time.daemons.is_empty() {
        let row = Row::new("time-daemons").text("value", time.daemons.join(", "));
        settings.push(row.text("source", "proc"));
    }
    if let Some(error) = time.max_error_ms {
        let row = Row::new("time-max-error-ms").text("value", format!("{error:.1}"));
        settings.push(row.text("source", "adjtimex"));
    }
    if !settings.is_empty() {
        out.set.put(
            &keys::HOST_SETTINGS,
            node.clone(),
            window(at),
            Out::origin("proc/sys, sys"),
            table(settings),
        );
    }
    match time.synced {
        Some(synced) => out.set.put(
            &keys::TIME_SYNCED,
            node.clone(),
            window(at),
            Out::origin(&time.source),
            synced,
        ),
        None => {
            let why = super::Missing::NotEnough {
                why: "no time daemon's answer and no running kernel to ask".to_owned(),
            };
            out.missing(&keys::TIME_SYNCED, &node, "chronyc tracking", &why);
        }
    }
    if let Some(offset) = time.offset_ms {
        let origin = Out::origin(&time.source);
        out.num(&keys::TIME_OFFSET, &node, at, origin, offset);
    }
    match &model.kernel_log {
        Some(Ok(log)) => kernel_log(log, model, &node, out),
        Some(Err(why)) => out.missing(&keys::KERNEL_IO_ERRORS, &node, "dev/kmsg", why),
        None => {}
    }
    let writers: Vec<Row> = model
        .writers
        .iter()
        .filter(|writer| writer.secs > 0.0)
        .map(|writer| {
            Row::new(format!("{} {}", writer.name, writer.pid))
                .num("write_bytes", writer.bytes as f64)
                .num("max_bytes_per_sec", writer.bytes as f64 / writer.secs)
                .text("role", if writer.is_etcd { "etcd" } else { "other" })
                .text(
                    "on_etcd_disk",
                    match writer.on_etcd_disk {
                        Some(true) => "yes",
                        Some(false) => "no",
                        None => "unknown",
                    },
                )
        })
        .collect();
    if !writers.is_empty() {
        out.set.put(
            &keys::WRITERS,
            node,
            window(model.span),
            Out::origin("proc/*/io"),
            table(writers),
        );
    }
}

fn kernel_log(log: &KernelLog, model: &HostModel, node: &Subject, out: &mut Out) {
    // The ring buffer forgets and a file may be cut, so counts are lower bounds.
    let origin = || Out::origin(&log.source).with(Completeness::AtLeast);
    let rows = |topic: Topic| -> Table {
        let kinds = log.kinds.iter().filter(|(_, kind)| kind.topic == topic);
        table(
            kinds
                .map(|(name, kind)| {
                    let mut row = Row::new(*name)
                        .num("count", kind.count as f64)
                        .num("older", kind.older as f64)
                        .num("on_etcd_disk", kind.on_etcd_disk as f64)
                        .num("elsewhere", kind.elsewhere as f64)
                        .text("example", &kind.example);
                    if !kind.others.is_empty() {
                        let others: Vec<&str> = kind.others.iter().map(String::as_str).collect();
                        row = row.text("others", others.join(","));
                    }
                    // A column for each, so that what several runs saw adds up.
                    for (name, count) in &kind.killed {
                        row = row.num(&format!("killed:{name}"), *count as f64);
                    }
                    for (name, count) in &kind.killed_by_limit {
                        row = row.num(&format!("limited:{name}"), *count as f64);
                    }
                    if let Some(last) = kind.last {
                        row = row.num("last_unix_secs", last.secs() as f64);
                    }
                    row
                })
                .collect(),
        )
    };
    let span = window(moment(model));
    // No row means that the log was read and is clean.
    out.set.put(
        &keys::KERNEL_IO_ERRORS,
        node.clone(),
        span,
        origin(),
        rows(Topic::Io),
    );
    let notes = rows(Topic::Machine);
    if !notes.rows.is_empty() {
        out.set
            .put(&keys::KERNEL_NOTES, node.clone(), span, origin(), notes);
    }
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
