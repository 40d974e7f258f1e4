//! Evidence about each etcd process: CPU limits and waits, I/O limits, its own settings; and about the
//! CPU of each kube-apiserver.

use std::collections::BTreeSet;

use crate::evidence::{Completeness, Row, Subject, SubjectKind, keys};
use crate::host::apiserver::Apiserver;
use crate::host::model::{HostModel, ProcessUse, Span};
use crate::host::process::EtcdProcess;

use super::{Missing, Out, moment, pressure, subject, table, window};

/// Fewest runs whose mean wait tells something.
const ENOUGH_RUNS: u64 = 100;
/// The same of the first thread alone, which may sleep through the work of the others.
const ENOUGH_RUNS_OF_ONE: u64 = 1_000;

/// One etcd process.
pub(super) fn collect(model: &HostModel, etcd: &EtcdProcess, out: &mut Out) {
    let about = subject(model, etcd, &out.node);
    let Some(used) = model.process_use.get(&etcd.pid) else {
        return;
    };
    run_delays(used, &about, out);
    if let Some(why) = &used.run_delay_missing {
        let source = format!("proc/{}/schedstat", etcd.pid);
        out.missing(&keys::RUN_DELAY, &about, &source, why);
    }
    throttling(used, &about, out);
    if let Some(why) = &used.throttling_missing {
        let source = format!("proc/{}/cgroup", etcd.pid);
        out.missing(&keys::CGROUP_THROTTLED, &about, &source, why);
    }
    let at = moment(model);
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
        let own = own_devices(model, etcd);
        if let Some((all, whole)) = own {
            rows = rows
                .into_iter()
                .map(|row| match all.contains(row.key.as_str()) {
                    true => row.text("on_etcd_disk", "yes"),
                    false if whole => row.text("on_etcd_disk", "no"),
                    false => row,
                })
                .collect();
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
    let rows = process_rows(etcd, used);
    out.set.put(
        &keys::PROCESS_FACTS,
        about,
        window(at),
        Out::origin(&format!("proc/{}", etcd.pid)),
        table(rows),
    );
}

/// File systems that spread over devices which their mount does not name.
const SPREAD: &[&str] = &["btrfs", "zfs", "bcachefs"];
/// Mount options that name a further device, for the journal.
const JOURNALS: &[&str] = &["logdev", "journal_dev", "journal_path"];

/// The numbers of the devices under an etcd, and whether these are all.
fn own_devices<'a>(model: &'a HostModel, etcd: &EtcdProcess) -> Option<(BTreeSet<&'a str>, bool)> {
    let mut all = BTreeSet::new();
    let mut whole = true;
    let mut some = false;
    for storage in model.storage.iter().filter(|s| s.pid == Some(etcd.pid)) {
        some = true;
        let real = storage
            .below_overlay
            .as_ref()
            .or(storage.mount.as_ref().ok());
        whole &= real.is_some_and(|mount| {
            !SPREAD.contains(&mount.fs.as_str())
                && JOURNALS.iter().all(|option| mount.value(option).is_none())
        });
        let numbers = storage.chain.numbers();
        whole &= numbers.is_some();
        let layers = storage.chain.layers.iter();
        all.extend(layers.filter_map(|layer| layer.numbers.as_deref()));
    }
    some.then_some((all, whole))
}

/// One kube-apiserver: what held it back. Nothing is missing where nothing was recorded of it.
pub(super) fn apiserver(model: &HostModel, apiserver: &Apiserver, out: &mut Out) {
    let about = Subject::new(SubjectKind::Component, "kube-apiserver").on(&out.node);
    if let Some(used) = model.process_use.get(&apiserver.pid) {
        run_delays(used, &about, out);
        throttling(used, &about, out);
    }
}

/// How threads waited for a CPU.
fn run_delays(used: &ProcessUse, about: &Subject, out: &mut Out) {
    for delay in &used.run_delay {
        let origin = || Out::origin(&delay.source);
        let waits = delay.value.waits;
        // The process's own file counts its first thread only: its waits are less than those of all,
        // and how long it waits each time is a sample.
        let (sum, mean, enough) = match used.run_delay_of_all {
            true => (origin(), origin(), ENOUGH_RUNS),
            false => (
                origin().with(Completeness::AtLeast),
                origin().with(Completeness::Estimate),
                ENOUGH_RUNS_OF_ONE,
            ),
        };
        sample_secs(about, delay.span, &delay.source, out);
        out.num(
            &keys::RUN_DELAY,
            about,
            delay.span,
            sum,
            delay.value.per_sec,
        );
        if waits.runs < enough {
            continue;
        }
        if let Some(ms) = waits.mean_ms() {
            out.num(&keys::RUN_WAIT, about, delay.span, mean.clone(), ms);
        }
        if let Some(share) = waits.share() {
            out.num(&keys::RUN_WAIT_SHARE, about, delay.span, mean, share);
        }
    }
}

/// How often a CPU limit bit.
fn throttling(used: &ProcessUse, about: &Subject, out: &mut Out) {
    for group in &used.throttling {
        sample_secs(about, group.span, &group.source, out);
        let mut origin = Out::origin(&group.source);
        if group.lifetime {
            origin = origin.with(Completeness::Estimate);
        }
        if let Some(share) = group.share {
            out.num(
                &keys::CGROUP_THROTTLED,
                about,
                group.span,
                origin.clone(),
                share,
            );
        }
        if let Some(time) = group.time {
            out.num(
                &keys::CGROUP_THROTTLED_TIME,
                about,
                group.span,
                origin,
                time,
            );
        }
    }
}

fn process_rows(etcd: &EtcdProcess, used: &ProcessUse) -> Vec<Row> {
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
    if let Some(rate) = used.write_rate {
        numbers.push(("write-bytes-per-sec", rate));
    }
    let memory = &used.memory;
    for (key, value) in [
        ("memory-limit-bytes", memory.limit),
        ("memory-used-bytes", memory.used),
        ("oom-kills", memory.oom_kills),
    ] {
        if let Some(value) = value {
            numbers.push((key, value as f64));
        }
    }
    rows.extend(
        numbers
            .into_iter()
            .map(|(key, value)| Row::new(key).num("value", value)),
    );
    if let Ok(stat) = &etcd.stat {
        rows.push(Row::new("policy").text("text", crate::host::process::policy_word(stat.policy)));
        rows.push(Row::new("state").text("text", stat.state.to_string()));
    }
    if let Some(started) = etcd.started {
        rows.push(Row::new("started").text("text", started.to_string()));
    }
    rows
}

/// How long one window of a component's counters is: the longest one is kept.
fn sample_secs(about: &Subject, span: Span, source: &str, out: &mut Out) {
    if let (Some(from), Some(to)) = (span.from, span.to) {
        let secs = to.since_us(from) as f64 / 1e6;
        let origin = Out::origin(source);
        out.num(&keys::PROCESS_SAMPLE_SECS, about, span, origin, secs);
    }
}
