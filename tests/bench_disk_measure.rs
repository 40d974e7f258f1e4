//! Measurements, not checks: they take minutes and want a quiet machine, so they run only when
//! asked for (`cargo nextest run --test bench_disk_measure --run-ignored all --no-capture`).
//! They print what they measured; nothing of it is asserted in the ordinary run.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "measurements through the binary"
)]

#[path = "support/plain_etcd.rs"]
mod etcd;
mod rig;
mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd::Etcd;
use rig::FakeDisk;
use rig::media::Behaviour;
use serde_json::Value;
use support::doctor;

fn disk(flush_ms: u64) -> Option<(FakeDisk, PathBuf)> {
    let made = FakeDisk::new(3_072).and_then(|mut disk| {
        let at = disk.format("ext4", "rw")?;
        let flush = Duration::from_millis(flush_ms);
        disk.media.behave(Behaviour {
            flush,
            ..Behaviour::default()
        });
        Ok((disk, at))
    });
    made.map_err(|why| eprintln!("skipped: {why}")).ok()
}

fn bench(args: &[&str]) -> Value {
    let output = doctor(&["bench", "disk", "--format", "json"])
        .args(args)
        .output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {said}"))
}

fn programs() -> Vec<String> {
    let given = std::env::var("ETCDS").unwrap_or_else(|_| "etcd".to_owned());
    given.split(':').map(str::to_owned).collect()
}

/// Runs under a load of puts.
fn loaded<T>(etcd: &Etcd, clients: u64, rate: f64, act: impl FnOnce() -> T) -> (T, u64) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| etcd.load(clients, rate, &stop));
        std::thread::sleep(Duration::from_secs(1));
        let result = act();
        stop.store(true, Ordering::Relaxed);
        (result, load.join().unwrap())
    })
}

fn traced(etcd: &Etcd, extra: &[&str]) -> Value {
    let pid = etcd.pid().to_string();
    bench(&[&["--only-etcd", &pid, "--trace", "--for", "15s"], extra].concat())
}

#[test]
#[ignore = "a measurement that takes minutes"]
fn the_emulator_against_real_etcds() {
    for program in programs() {
        for (rate, clients) in [(50.0, 1), (500.0, 32)] {
            let Some((_disk, at)) = disk(5) else { return };
            let real = {
                let etcd = match Etcd::start(&program, &at.join("data")) {
                    Ok(etcd) => etcd,
                    Err(why) => return eprintln!("skipped: {why}"),
                };
                loaded(&etcd, clients, rate, || traced(&etcd, &[])).0
            };
            std::fs::remove_dir_all(at.join("data")).unwrap();
            let rate_text = rate.to_string();
            let emulated = bench(&[
                "--only-etcd",
                "1",
                "--profile",
                "put256",
                "--rate",
                &rate_text,
                "--dir",
                at.to_str().unwrap(),
            ]);
            report(&program, rate, &real, &emulated);
        }
    }
}

fn report(program: &str, rate: f64, real: &Value, emulated: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let etcd = &real["etcds"][0];
    let (trace, metrics) = (&etcd["trace"], &etcd["metrics"]);
    let per_sec = number(&trace["wal"]["count"]) / number(&trace["secs"]);
    let puts = number(&metrics["proposals_per_sec"]);
    let total = &emulated["total"];
    let emulated_rate = number(&total["sync"]["count"]) / number(&total["secs"]);
    let emulated_batch = number(&total["entries"]) / number(&total["sync"]["count"]);
    let rows = [
        (
            "mean WAL fsync, ms",
            number(&trace["wal"]["mean_us"]) / 1e3,
            number(&total["sync"]["mean_us"]) / 1e3,
        ),
        (
            "p50, ms",
            number(&trace["wal"]["p50"]["us"]) / 1e3,
            number(&total["sync"]["p50"]["us"]) / 1e3,
        ),
        (
            "p99, ms",
            number(&trace["wal"]["p99"]["us"]) / 1e3,
            number(&total["sync"]["p99"]["us"]) / 1e3,
        ),
        ("fsyncs/s", per_sec, emulated_rate),
        ("entries per fsync", puts / per_sec, emulated_batch),
        (
            "commit mean, ms",
            number(&metrics["commit"]["mean_us"]) / 1e3,
            number(&total["commits"]["total"]["mean_us"]) / 1e3,
        ),
    ];
    eprintln!(
        "{program}, {rate} puts/s asked for ({puts:.0} came), lost trace events {}",
        trace["lost_events"]
    );
    for (what, real, emulated) in rows {
        eprintln!(
            "  {what:<20} etcd {real:8.2}  emulator {emulated:8.2}  {:+.1} %",
            (emulated / real - 1.0) * 100.0
        );
    }
    eprintln!(
        "  waited for a processor: {:.0} % of the time beside etcd, {:.0} % beside the emulator",
        number(&real["psi_cpu_some"]) * 100.0,
        number(&total["around"]["psi_cpu_some"]) * 100.0
    );
}

#[test]
#[ignore = "a measurement that takes minutes"]
fn what_the_careful_probe_costs_etcd() {
    let Some((_disk, at)) = disk(5) else { return };
    let etcd = match Etcd::start(&programs()[0], &at.join("data")) {
        Ok(etcd) => etcd,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let (rounds, _) = loaded(&etcd, 4, 50.0, || {
        (0..5)
            .map(|_| (traced(&etcd, &[]), with_probe(&etcd, &at)))
            .collect::<Vec<_>>()
    });
    let p50 = |seen: &Value| {
        seen["etcds"][0]["trace"]["wal"]["p50"]["us"]
            .as_f64()
            .unwrap()
            / 1e3
    };
    let mut shares = Vec::new();
    for (alone, (probed, probe)) in &rounds {
        let share = p50(probed) / p50(alone) - 1.0;
        eprintln!(
            "WAL fsync p50 {:.2} ms alone, {:.2} ms beside the probe ({} records): {:+.1} %",
            p50(alone),
            p50(probed),
            probe["probe"]["sync"]["count"],
            share * 100.0
        );
        shares.push(share);
    }
    shares.sort_by(f64::total_cmp);
    eprintln!("median {:+.1} %", shares[shares.len() / 2] * 100.0);
}

/// A trace while a probe of its own run writes.
fn with_probe(etcd: &Etcd, at: &Path) -> (Value, Value) {
    std::thread::scope(|scope| {
        let pid = etcd.pid().to_string();
        let probe = scope.spawn(move || {
            // Watches 1 s, learns 5 s, then probes while the trace runs.
            bench(&[
                "--only-etcd",
                &pid,
                "--write",
                "--for",
                "21s",
                "--dir",
                at.to_str().unwrap(),
            ])
        });
        std::thread::sleep(Duration::from_secs(28));
        let seen = {
            let pid = etcd.pid().to_string();
            bench(&["--only-etcd", &pid, "--trace", "--for", "15s"])
        };
        (seen, probe.join().unwrap())
    })
}
