//! `bench disk` beside a real etcd: it watches and writes nothing, traces on request, probes under
//! a guard, and refuses what could hurt. Skips, with the reason, where there is no etcd.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

#[path = "support/plain_etcd.rs"]
mod etcd;
#[path = "support/json_schema.rs"]
#[expect(dead_code, reason = "shared with the tests of the schemas themselves")]
mod json_schema;
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd::Etcd;
use serde_json::Value;
use support::doctor;

fn started(data: &Path) -> Option<Etcd> {
    Etcd::start("etcd", data)
        .map_err(|why| eprintln!("skipped: no etcd can be started here: {why}"))
        .ok()
}

/// Runs `bench disk` for this etcd under a small load; exit code, JSON and standard error.
fn bench(etcd: &Etcd, args: &[&str]) -> (Option<i32>, Value, String) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| etcd.load(2, 60.0, &stop));
        std::thread::sleep(Duration::from_millis(300));
        let pid = etcd.pid().to_string();
        let output = doctor(&[
            "bench",
            "disk",
            "--format",
            "json",
            "--leave-free",
            "64MiB",
            "--only-etcd",
            &pid,
        ])
        .args(args)
        .output();
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (
            output.status.code(),
            json,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    })
}

/// What the program prints is what its schema says.
fn described(name: &str, printed: &Value) {
    let schema = etcd_doctor::report::schema::schema(name).unwrap();
    let errors = json_schema::Checker::new(schema.text).check(printed);
    assert!(errors.is_empty(), "{name}: {}", errors.join("\n"));
}

fn left_behind(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.contains("etcd-doctor"))
        .collect()
}

#[test]
fn a_live_etcd_is_watched_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let Some(etcd) = started(&dir.path().join("data")) else {
        return;
    };
    // A directory on the same disk: the full bench is not what happens.
    let (code, seen, err) = bench(
        &etcd,
        &["--for", "2s", "--dir", dir.path().to_str().unwrap()],
    );
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("uses this disk: watching it"), "{err}");
    assert_eq!(seen["format"], "etcd-doctor/bench-disk-observe");
    described("bench-disk-observe", &seen);
    assert_eq!(seen["probe"], Value::Null);
    let one = &seen["etcds"][0];
    assert_eq!(one["pid"], etcd.pid());
    assert_eq!(one["metrics_missing"], Value::Null, "{one}");
    let wal = &one["metrics"]["wal_fsync"];
    assert!(
        wal["count"].as_u64().unwrap() > 0 && wal["mean_us"].as_f64().unwrap() > 0.0,
        "{wal}"
    );
    let p99 = &wal["p99_us"];
    assert!(
        p99[1].is_null() || p99[0].as_f64() < p99[1].as_f64(),
        "a bracket: {p99}"
    );
    assert!(
        one["wal_dir"]
            .as_str()
            .unwrap()
            .ends_with("data/member/wal"),
        "{one}"
    );
    assert!(left_behind(dir.path()).is_empty());
}

#[test]
fn a_probe_is_few_records_under_a_guard_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(etcd) = started(&dir.path().join("data")) else {
        return;
    };
    let (code, seen, err) = bench(&etcd, &["--write", "--for", "3s"]);
    // On a machine that is busy enough the guard may rightly end it.
    assert!(matches!(code, Some(0 | 1)), "{code:?} {err} {seen}");
    described("bench-disk-observe", &seen);
    let probe = &seen["probe"];
    assert_eq!(probe["guarded_by"], "metrics");
    assert_eq!(
        probe["dir"],
        dir.path().canonicalize().unwrap().to_str().unwrap(),
        "{seen}"
    );
    assert!(probe["per_sec"].as_f64().unwrap() <= 20.0);
    if code == Some(0) {
        assert!(probe["sync"]["count"].as_u64().unwrap() >= 3, "{probe}");
        assert!(
            probe["etcd_before_us"].is_f64() && probe["etcd_during_us"].is_f64(),
            "{probe}"
        );
        assert!(!probe["sync"]["p99"]["enough"].as_bool().unwrap());
    }
    assert!(left_behind(dir.path()).is_empty());
}

/// `bench disk` for this etcd in a mount namespace without tracefs; exit code, JSON, standard error.
fn untraced(etcd: &Etcd, args: &[&str]) -> (Option<i32>, Value, String) {
    let script = "umount -l /sys/kernel/tracing /sys/kernel/debug 2>/dev/null; exec \"$@\"";
    let output = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]);
        command.arg(env!("CARGO_BIN_EXE_etcd-doctor"));
        command
    } else {
        // Only root could trace.
        Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
    }
    .args(["bench", "disk", "--format", "json", "--leave-free", "64MiB"])
    .args(["--only-etcd", &etcd.pid().to_string()])
    .args(args)
    .output()
    .unwrap();
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn nothing_is_written_where_nobody_can_see_how_etcd_fares() {
    let dir = tempfile::tempdir().unwrap();
    let Some(etcd) = started(&dir.path().join("data")) else {
        return;
    };
    let nobody = ["--endpoints", "http://127.0.0.1:1", "--for", "1s"];
    let (code, seen, err) = untraced(&etcd, &[&["--write"], &nobody[..]].concat());
    assert_eq!(code, Some(3), "{err}");
    let doubts = seen["doubts"].to_string();
    assert!(
        doubts.contains("nothing was written: the guard cannot see"),
        "{doubts}"
    );
    assert!(doubts.contains("nor can its syncs be traced"), "{doubts}");
    assert_eq!(seen["probe"], Value::Null);
    let at = dir.path().to_str().unwrap();
    let (code, _, err) = untraced(
        &etcd,
        &[&["--i-know-etcd-is-live", "--dir", at], &nobody[..2]].concat(),
    );
    assert_eq!(code, Some(70), "{err}");
    assert!(err.contains("the guard cannot see how it fares"), "{err}");
    assert!(left_behind(dir.path()).is_empty());
}

#[test]
fn without_metrics_the_guard_traces() {
    if let Err(why) = traceable() {
        return eprintln!("skipped: {why}");
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(etcd) = started(&dir.path().join("data")) else {
        return;
    };
    let nobody = ["--endpoints", "http://127.0.0.1:1", "--for", "3s"];
    let (code, seen, err) = bench(&etcd, &[&["--write"], &nobody[..]].concat());
    assert!(matches!(code, Some(0 | 1)), "{code:?} {err} {seen}");
    let probe = &seen["probe"];
    assert_eq!(probe["guarded_by"], "trace", "{seen}");
    // It learnt what is usual, and saw etcd while the probe ran.
    assert!(
        probe["etcd_before_us"].as_f64().unwrap() > 0.0
            && probe["etcd_during_us"].as_f64().unwrap() > 0.0,
        "{probe}"
    );
    assert!(left_behind(dir.path()).is_empty());
    let left = fs::read_dir("/sys/kernel/tracing/instances").unwrap();
    assert_eq!(left.count(), 0, "an instance is left");
}

#[test]
fn a_wal_of_a_running_etcd_is_replayed_from_a_copy_only() {
    let dir = tempfile::tempdir().unwrap();
    let Some(etcd) = started(&dir.path().join("data")) else {
        return;
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| etcd.load(4, 0.0, &stop));
        std::thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap() > 10);
    });
    let wal = fs::read_dir(etcd.data.join("member/wal")).unwrap();
    let segment = wal
        .map(|e| e.unwrap().path())
        .find(|path| path.extension().is_some_and(|ext| ext == "wal"))
        .unwrap();
    let pid = etcd.pid().to_string();
    let replay = |file: &Path, only: &str| {
        doctor(&[
            "bench",
            "disk",
            "--format",
            "json",
            "--leave-free",
            "64MiB",
            "--only-etcd",
            only,
            "--dir",
        ])
        .path(dir.path())
        .arg("--replay")
        .path(file)
        .output()
    };
    // The disk is etcd's, and so is the file.
    let refused = replay(&segment, &pid);
    assert_eq!(
        refused.status.code(),
        Some(70),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    let copy = dir.path().join("copy.wal");
    fs::copy(&segment, &copy).unwrap();
    drop(etcd);
    let output = replay(&copy, "1");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    described("bench-disk-replay", &seen);
    let source = &seen["source"];
    assert_eq!(
        source["remarks"],
        serde_json::json!([]),
        "a real log is read to its end"
    );
    assert!(source["entries"].as_u64().unwrap() > 10, "{source}");
    assert_eq!(seen["entries"], source["entries"]);
    assert_eq!(seen["sync"]["count"], source["batches"]);
    // One put of 256 bytes is 336 bytes, and each batch has its 40.
    assert!(source["largest_entry"].as_u64().unwrap() < 4_096);
    assert!(left_behind(dir.path()).is_empty());
}

/// Whether syncs can be traced here; tracefs is mounted where it is not.
fn traceable() -> Result<(), String> {
    let tracing = Path::new("/sys/kernel/tracing");
    if !rustix::process::geteuid().is_root() {
        return Err("tracing needs root".to_owned());
    }
    if !tracing.join("instances").is_dir() {
        let mounted = Command::new("mount")
            .args(["-t", "tracefs", "tracefs"])
            .arg(tracing)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return Err("tracefs cannot be mounted".to_owned());
        }
    }
    if !tracing.join("events/syscalls/sys_enter_fdatasync").is_dir() {
        return Err("the kernel has no events of system calls".to_owned());
    }
    Ok(())
}

#[test]
fn a_trace_times_each_sync_and_takes_away_what_a_killed_one_left() {
    if let Err(why) = traceable() {
        return eprintln!("skipped: {why}");
    }
    let tracing = Path::new("/sys/kernel/tracing");
    let dir = tempfile::tempdir().unwrap();
    let Some(etcd) = started(&dir.path().join("data")) else {
        return;
    };
    let stale = tracing.join("instances/etcd-doctor-4194999");
    fs::create_dir_all(&stale).unwrap();
    let (code, seen, err) = bench(&etcd, &["--trace", "--for", "4s"]);
    assert_eq!(code, Some(0), "{err} {seen}");
    assert!(
        !stale.exists(),
        "the instance of a killed run is still there"
    );
    let left: Vec<_> = fs::read_dir(tracing.join("instances")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    described("bench-disk-observe", &seen);
    let one = &seen["etcds"][0];
    let trace = &one["trace"];
    let count = |what: &str| trace[what]["count"].as_u64().unwrap();
    assert!(count("wal") > 50, "{trace}");
    // Two in each commit, and a commit every 100 ms or so.
    assert!(count("db") > 4 && count("db") < count("wal"), "{trace}");
    assert_eq!(trace["lost_events"], 0);
    // The trace and the metrics count the same syncs, of windows that are not quite the same.
    let metrics = one["metrics"]["wal_fsync"]["per_sec"].as_f64().unwrap();
    let traced = count("wal") as f64 / trace["secs"].as_f64().unwrap();
    assert!(
        (traced / metrics - 1.0).abs() < 0.35,
        "{traced} against {metrics} per second"
    );
}
