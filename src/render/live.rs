//! What was seen beside a live etcd, what a replay came to, and what a power cut proved.

use std::io::{self, Write};

use crate::formats::bench::Latency;
use crate::formats::bench::observe::{HistogramWindow, Observed, ObservedEtcd, Probe};
use crate::formats::bench::power_cut::{PowerCut, Proof};
use crate::formats::bench::replay::Replay;
use crate::units::format_bytes;

use super::plain::{Paint, Terminal, safe, table, trimmed, wrap};

/// Microseconds as milliseconds.
fn ms(us: f64) -> String {
    let ms = us / 1e3;
    if ms < 1.0 {
        format!("{ms:.3}")
    } else if ms < 100.0 {
        format!("{ms:.2}")
    } else {
        format!("{ms:.0}")
    }
}

fn bytes(per_sec: f64) -> String {
    format!("{}/s", format_bytes(whole(per_sec)))
}

/// A count from a number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

fn or_dash<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), words)
}

/// A bracket of a histogram: all that its buckets tell.
fn bracket(value: Option<(f64, Option<f64>)>) -> String {
    or_dash(value, |(low, high)| match high {
        Some(high) => format!("{}–{}", short(low), short(high)),
        None => format!("> {}", short(low)),
    })
}

fn short(us: f64) -> String {
    let ms = us / 1e3;
    if ms >= 1.0 || ms == 0.0 {
        format!("{ms:.0}")
    } else {
        format!("{ms:.2}")
    }
}

/// A row of exact latencies. A percentile without its samples is not shown.
fn exact(what: &str, source: &str, latency: &Latency, secs: f64) -> Vec<String> {
    if latency.count == 0 {
        return vec![
            what.to_owned(),
            source.to_owned(),
            "0".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
        ];
    }
    let rate = if secs > 0.0 {
        format!("{:.1}", latency.count as f64 / secs)
    } else {
        "-".to_owned()
    };
    vec![
        what.to_owned(),
        source.to_owned(),
        rate,
        ms(latency.mean_us),
        or_dash(latency.p50, |p| ms(p.us)),
        or_dash(latency.p99.filter(|p| p.enough), |p| ms(p.us)),
        ms(latency.max_us),
    ]
}

fn window(what: &str, window: Option<&HistogramWindow>) -> Option<Vec<String>> {
    let window = window?;
    Some(vec![
        what.to_owned(),
        "metrics".to_owned(),
        format!("{:.1}", window.per_sec),
        if window.count > 0 {
            ms(window.mean_us)
        } else {
            "-".to_owned()
        },
        bracket(window.p50_us),
        bracket(window.p99_us),
        "-".to_owned(),
    ])
}

/// Prints what was seen beside live etcds.
pub fn observed(out: &mut dyn Write, terminal: Terminal, seen: &Observed) -> io::Result<()> {
    let width = usize::from(terminal.width);
    let mode = if seen.probe.is_some() {
        "watched, then probed with care"
    } else {
        "watched; nothing was written"
    };
    writeln!(
        out,
        "{} ({:.0} s, {mode})",
        terminal.paint(Paint::Strong, "Disk under a live etcd"),
        seen.secs
    )?;
    for etcd in &seen.etcds {
        one(out, terminal, etcd, seen.probe.as_ref())?;
    }
    writeln!(out, "\n{}", terminal.paint(Paint::Strong, "Disks"))?;
    let mut rows = table(
        terminal,
        &[
            "disk",
            "writes/s",
            "written",
            "write ms",
            "flushes/s",
            "flush ms",
            "busy",
            "others",
        ],
    );
    for disk in &seen.disks {
        rows.add_row([
            safe(&disk.name),
            format!("{:.1}", disk.writes_per_sec),
            bytes(disk.write_bytes_per_sec),
            or_dash(disk.write_ms, |v| format!("{v:.2}")),
            or_dash(disk.flushes_per_sec, |v| format!("{v:.1}")),
            or_dash(disk.flush_ms, |v| format!("{v:.2}")),
            format!("{:.0} %", disk.busy * 100.0),
            or_dash(disk.foreign_share, |v| format!("{:.0} %", v * 100.0)),
        ]);
    }
    writeln!(out, "{}", trimmed(&rows))?;
    for disk in &seen.disks {
        if let Some(top) = &disk.ceiling {
            let text = format!(
                "{}: a ceiling for {:.0} s at {} and {:.0} writes/s, with writes waiting {:.1} times as long as at best: a limit holds it",
                safe(&disk.name),
                top.secs,
                bytes(top.bytes_per_sec),
                top.writes_per_sec,
                top.wait_ratio
            );
            writeln!(out, "{}", terminal.paint(Paint::Bad, wrap(&text, width, 2)))?;
        }
        if let Some(volume) = &disk.volume {
            let text = format!(
                "{}: its own limits were exceeded for {} ms and the machine's for {} ms in this time, for {:.1} s in all since it was attached",
                safe(&disk.name),
                volume.volume_us / 1_000,
                volume.instance_us / 1_000,
                volume.since_attach_us as f64 / 1e6
            );
            writeln!(out, "{}", wrap(&text, width, 2))?;
        }
    }
    let percent = |share: Option<f64>| or_dash(share, |v| format!("{:.1} %", v * 100.0));
    writeln!(
        out,
        "Some task waited for I/O {} of the time, for a processor {} (whole machine).",
        percent(seen.psi_io_some),
        percent(seen.psi_cpu_some)
    )?;
    if let Some(why) = &seen.partial {
        writeln!(
            out,
            "{}",
            terminal.paint(
                Paint::Doubt,
                wrap(&format!("Ended early: {}", safe(why)), width, 2)
            )
        )?;
    }
    for doubt in &seen.doubts {
        writeln!(
            out,
            "{}",
            terminal.paint(Paint::Doubt, wrap(&format!("! {}", safe(doubt)), width, 2))
        )?;
    }
    Ok(())
}

fn one(
    out: &mut dyn Write,
    terminal: Terminal,
    etcd: &ObservedEtcd,
    probe: Option<&Probe>,
) -> io::Result<()> {
    let width = usize::from(terminal.width);
    let name = etcd
        .name
        .as_deref()
        .map_or(String::new(), |name| format!(" {}", safe(name)));
    let wal = etcd
        .wal_dir
        .as_deref()
        .map_or(String::new(), |dir| format!(", WAL in {}", safe(dir)));
    writeln!(
        out,
        "\n{}",
        terminal.paint(
            Paint::Strong,
            format!("etcd{name} (process {}){wal}", etcd.pid)
        )
    )?;
    let mut rows = table(
        terminal,
        &["ms", "source", "per s", "mean", "p50", "p99", "max"],
    );
    let mut any = false;
    let metrics = etcd.metrics.as_ref();
    for row in [
        window("WAL fsync", metrics.and_then(|m| m.wal_fsync.as_ref())),
        window("commit", metrics.and_then(|m| m.commit.as_ref())),
    ]
    .into_iter()
    .flatten()
    {
        rows.add_row(row);
        any = true;
    }
    if let Some(trace) = &etcd.trace {
        for (what, latency) in [
            ("WAL fsync", &trace.wal),
            ("database sync", &trace.db),
            ("other syncs", &trace.other),
        ] {
            rows.add_row(exact(what, "trace", latency, trace.secs));
            any = true;
        }
    }
    if let Some(probe) = probe {
        rows.add_row(exact(
            &format!("{} B record", probe.record_bytes),
            "probe",
            &probe.sync,
            probe.secs,
        ));
        any = true;
    }
    if any {
        writeln!(out, "{}", trimmed(&rows))?;
    }
    if let Some(metrics) = metrics {
        let mut facts = Vec::new();
        if let Some(duty) = metrics.commit_duty {
            facts.push(format!(
                "commits lock the store {:.1} % of the time",
                duty * 100.0
            ));
        }
        if let Some(rate) = metrics.proposals_per_sec {
            facts.push(format!("{rate:.1} proposals/s"));
        }
        if let Some(most) = metrics.pending_max {
            facts.push(format!("at most {most:.0} waiting"));
        }
        if let Some(changes) = metrics.leader_changes.filter(|c| *c > 0.0) {
            facts.push(format!("{changes:.0} leader changes"));
        }
        if !facts.is_empty() {
            writeln!(out, "{}.", wrap(&facts.join("; "), width, 2))?;
        }
    }
    let mut doubts = Vec::new();
    if let Some(why) = &etcd.metrics_missing {
        doubts.push(format!("metrics: {why}"));
    }
    if let Some(why) = &etcd.trace_missing {
        doubts.push(format!("trace: {why}"));
    }
    for limit in &etcd.io_limits {
        doubts.push(format!("its cgroup limits its I/O: {limit}"));
    }
    for doubt in doubts {
        writeln!(
            out,
            "{}",
            terminal.paint(Paint::Doubt, wrap(&format!("! {}", safe(&doubt)), width, 2))
        )?;
    }
    if let Some(probe) = probe {
        probed(out, terminal, probe)?;
    }
    Ok(())
}

fn probed(out: &mut dyn Write, terminal: Terminal, probe: &Probe) -> io::Result<()> {
    let width = usize::from(terminal.width);
    let effect = match (probe.etcd_before_us, probe.etcd_during_us) {
        (Some(before), Some(during)) => format!(
            "etcd's mean WAL fsync was {} ms in the 5 s right before and {} ms meanwhile",
            ms(before),
            ms(during)
        ),
        (Some(before), None) => format!(
            "etcd's mean WAL fsync was {} ms in the 5 s right before; of the time meanwhile there is no reading with a sync in it",
            ms(before)
        ),
        (None, Some(during)) => format!(
            "etcd's mean WAL fsync was {} ms meanwhile; in the 5 s right before it made none",
            ms(during)
        ),
        (None, None) => {
            "no sync of etcd was seen right before or meanwhile, so the effect on it is not known"
                .to_owned()
        }
    };
    let eyes = if probe.guarded_by == "trace" {
        ", by a trace of its syncs: its metrics could not be read, so leader changes and waiting proposals were not seen"
    } else {
        ""
    };
    let text = format!(
        "Probe in {}: {} records in {:.0} s, {:.1} % of the time in syncs, I/O class {}; {effect}{eyes}.",
        safe(&probe.dir),
        probe.sync.count,
        probe.secs,
        probe.duty * 100.0,
        safe(&probe.io_class)
    );
    writeln!(out, "{}", wrap(&text, width, 2))?;
    if probe.sync.p99.is_some_and(|p| !p.enough) {
        writeln!(
            out,
            "{}",
            wrap(
                "No p99 of the probe: that takes 1000 syncs, which is `--for 60s` on a disk below 2.5 ms.",
                width,
                2
            )
        )?;
    }
    if let Some(why) = &probe.aborted {
        writeln!(
            out,
            "{}",
            terminal.paint(
                Paint::Bad,
                wrap(
                    &format!(
                        "Aborted: the bench was hurting etcd, or could not go on: {}",
                        safe(why)
                    ),
                    width,
                    2
                )
            )
        )?;
    }
    Ok(())
}

/// Prints a replay.
pub fn replay(out: &mut dyn Write, terminal: Terminal, replay: &Replay) -> io::Result<()> {
    let width = usize::from(terminal.width);
    let source = &replay.source;
    writeln!(
        out,
        "{}",
        terminal.paint(Paint::Strong, "Replay of a write-ahead log")
    )?;
    let text = format!(
        "{} entries in {} batches ({:.2} in each; {}), the largest entry {}; {} records in {}.",
        source.entries,
        source.batches,
        source.entries_per_batch,
        format_bytes(source.batch_bytes),
        format_bytes(source.largest_entry),
        source.records,
        match source.files.as_slice() {
            [only] => safe(only),
            several => format!("{} files", several.len()),
        }
    );
    writeln!(out, "{}", wrap(&text, width, 2))?;
    for remark in &source.remarks {
        writeln!(
            out,
            "{}",
            terminal.paint(Paint::Doubt, wrap(&format!("! {}", safe(remark)), width, 2))
        )?;
    }
    let mut rows = table(
        terminal,
        &["ms", "source", "per s", "mean", "p50", "p99", "max"],
    );
    for (what, latency) in [
        ("write", &replay.write),
        ("fdatasync", &replay.sync),
        ("due to durable", &replay.durable),
    ] {
        rows.add_row(exact(what, "replay", latency, replay.secs));
    }
    writeln!(out, "{}", trimmed(&rows))?;
    let pace = match (replay.rate, replay.behind_secs) {
        (Some(rate), Some(behind)) if behind > 1.0 => format!(
            "{rate:.0} entries/s were asked for: this disk does not carry them and ended {behind:.1} s late"
        ),
        (Some(rate), _) => format!("{rate:.0} entries/s were asked for, and it kept up"),
        (None, _) => {
            "one batch after the other; a WAL holds no times, so --replay-rate sets a pace"
                .to_owned()
        }
    };
    let text = format!(
        "{} entries in {:.1} s: {:.0} entries/s; {pace}.",
        replay.entries, replay.secs, replay.entries_per_sec
    );
    writeln!(out, "{}", wrap(&text, width, 2))?;
    if let Some(why) = &replay.partial {
        writeln!(
            out,
            "{}",
            terminal.paint(
                Paint::Doubt,
                wrap(&format!("Ended early: {}", safe(why)), width, 2)
            )
        )?;
    }
    Ok(())
}

/// Prints what a power cut proved.
pub fn power_cut(out: &mut dyn Write, terminal: Terminal, answer: &PowerCut) -> io::Result<()> {
    let width = usize::from(terminal.width);
    let (paint, word) = match answer.proof {
        Proof::ProvenByPowerCut => (Paint::Good, "PROVEN BY POWER CUT"),
        Proof::AcknowledgedLost => (Paint::Bad, "ACKNOWLEDGED WRITES LOST"),
        Proof::NotProven => (Paint::Doubt, "NOT PROVEN"),
    };
    writeln!(out, "{}", terminal.paint(paint, word))?;
    writeln!(out, "{}", wrap(&safe(&answer.why), width, 2))?;
    writeln!(
        out,
        "run {}: {} acknowledged, {} looked for, {} intact, {} lost",
        safe(&answer.run),
        answer.acknowledged,
        answer.expected,
        answer.intact,
        answer.lost
    )
}
