//! `bench disk` through the binary: what it leaves behind, what a signal does to it, and on file
//! systems of its own, whether flushes are counted to the digit.
//!
//! Latencies are never asserted: machines that run tests are as noisy as any. Counts and ratios are.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test through the binary, which says why it skips"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::doctor;

/// A directory on a file system that no etcd of this machine uses.
fn scratch() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        tempfile::tempdir_in(shm).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

fn bench(dir: &Path, args: &[&str]) -> support::Run {
    doctor(&[
        "bench",
        "disk",
        "--format",
        "json",
        "--segment-mb",
        "8",
        "--only-etcd",
        "1",
        "--dir",
    ])
    .path(dir)
    .args(args)
}

/// The result of a bench; `None`, with the reason printed, where it is refused because a live etcd
/// of this machine uses the same file system, or for lack of space.
fn measured(mut run: support::Run) -> Option<(Output, Value)> {
    let output = run.output();
    let said = String::from_utf8_lossy(&output.stderr);
    let result: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let watched = result
        .as_ref()
        .is_some_and(|r| r["format"] != "etcd-doctor/bench-disk");
    if watched || said.contains("refus") {
        eprintln!("skipped: {said}");
        return None;
    }
    let result = result.unwrap_or_else(|| panic!("no result: {said}"));
    Some((output, result))
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name != "lost+found"))
        .collect()
}

#[test]
fn a_bench_in_memory_is_unsafe_and_leaves_nothing_behind() {
    let dir = scratch();
    if !dir.path().starts_with("/dev/shm") {
        eprintln!("skipped: no /dev/shm here");
        return;
    }
    let saved = dir.path().join("saved");
    std::fs::create_dir(&saved).unwrap();
    let file = saved.join("bench.zst");
    let run = bench(dir.path(), &["--pace", "0.1", "--save"]).path(&file);
    let Some((output, result)) = measured(run) else {
        return;
    };
    assert_eq!(
        result["verdict"]["level"], "unsafe",
        "{}",
        result["verdict"]
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(result["rounds"].as_array().unwrap().len() >= 4);
    assert!(
        result["total"]["commits"]["total"]["count"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(entries(dir.path()), [saved]);

    // What was saved is read by the main job, and found at fault.
    let report = doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(&file)
        .json();
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| finding["rule"] == "bench-disk-unsafe" && finding["status"] == "fail"),
        "{findings:?}"
    );
}

#[test]
fn a_signal_ends_it_with_what_was_measured() {
    let dir = scratch();
    let mut child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
        .args([
            "bench",
            "disk",
            "--format",
            "json",
            "--plan",
            "soak",
            "--segment-mb",
            "8",
        ])
        .arg("--dir")
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while entries(dir.path()).is_empty() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
        if child.try_wait().unwrap().is_some() {
            eprintln!(
                "skipped: {}",
                String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr)
            );
            return;
        }
    }
    // Past the idle window of two seconds, into what writes.
    std::thread::sleep(Duration::from_secs(4));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["partial"].as_str().unwrap().contains("signal"));
    assert!(
        !result["ledger"]["append"].is_null()
            || !result["ledger"]["small_sync"].is_null()
            || result["ground"]["disks"].as_array().unwrap().is_empty()
    );
    assert_eq!(entries(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_comparison_sees_what_got_worse_and_claims_no_more() {
    let dir = scratch();
    let run = bench(dir.path(), &["--pace", "0.05", "--wal-only"]);
    let Some((_, mut before)) = measured(run) else {
        return;
    };
    // Rounds that a test can rely on.
    let set = |result: &mut Value, p99s: [f64; 4]| {
        let rounds = result["rounds"].as_array_mut().unwrap();
        let one = rounds[0].clone();
        rounds.clear();
        for us in p99s {
            let mut round = one.clone();
            round["sync"]["p99"] = serde_json::json!({
                "us": us, "bounds": { "low_us": us, "high_us": us }, "enough": true
            });
            rounds.push(round);
        }
    };
    let mut after = before.clone();
    set(&mut before, [1000.0, 1100.0, 1050.0, 1020.0]);
    set(&mut after, [1500.0, 1600.0, 1550.0, 1520.0]);
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a.json"), home.path().join("b.json"));
    std::fs::write(&a, before.to_string()).unwrap();
    std::fs::write(&b, after.to_string()).unwrap();
    let compare = |a: &Path, b: &Path, args: &[&str]| {
        doctor(&["compare", "--width", "140"])
            .path(a)
            .path(b)
            .args(args)
            .output()
    };
    let worse = compare(&a, &b, &["--fail-on", "worse"]);
    assert_eq!(worse.status.code(), Some(1));
    let text = String::from_utf8(worse.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("p99 ")).unwrap();
    assert!(line.contains("worse"), "{text}");
    assert!(text.contains("no difference shown"), "{text}");
    assert_eq!(compare(&a, &b, &[]).status.code(), Some(0));
    assert_eq!(
        compare(&b, &a, &["--fail-on", "worse"]).status.code(),
        Some(0)
    );
    assert_eq!(
        compare(&a, &a, &["--fail-on", "worse"]).status.code(),
        Some(0)
    );
    let no = compare(&a, Path::new("/etc/passwd"), &[]);
    assert_eq!(no.status.code(), Some(70));
    assert_eq!(
        doctor(&["rules", "--fail-on", "worse"])
            .output()
            .status
            .code(),
        Some(64)
    );
}

/// A file system of its own on a loop device; gone with the value.
struct Loop {
    device: String,
    mount: PathBuf,
    _dir: tempfile::TempDir,
}

impl Loop {
    fn make(mkfs: &[&str], options: &str) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        let dir = scratch();
        let image = dir.path().join("image");
        let file = std::fs::File::create(&image).unwrap();
        // Sparse; what is written is some hundred megabytes.
        file.set_len(4 << 30).unwrap();
        let image = image.display().to_string();
        let device = ran(&["losetup", "-f", "--show", &image])?;
        let made = Loop {
            device: device.trim().to_owned(),
            mount: dir.path().join("mount"),
            _dir: dir,
        };
        let mut command = mkfs.to_vec();
        command.push(&made.device);
        ran(&command)?;
        std::fs::create_dir(&made.mount).unwrap();
        let mount = made.mount.display().to_string();
        let mut command = vec!["mount"];
        if !options.is_empty() {
            command.extend(["-o", options]);
        }
        command.extend([made.device.as_str(), mount.as_str()]);
        ran(&command)?;
        Ok(made)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let mount = self.mount.display().to_string();
        ran(&["umount", &mount]).ok();
        ran(&["losetup", "-d", &self.device]).ok();
    }
}

fn ran(command: &[&str]) -> Result<String, String> {
    let (program, args) = command.split_first().unwrap();
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|err| format!("{program}: {err}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

/// Runs on a fresh file system; `None` with the reason printed where that cannot be.
fn on_loop(mkfs: &[&str], options: &str) -> Option<Value> {
    let fs = match Loop::make(mkfs, options) {
        Ok(fs) => fs,
        Err(why) => {
            eprintln!("skipped: no file system on a loop device: {why}");
            return None;
        }
    };
    let (_, result) = measured(bench(&fs.mount, &["--pace", "0.7"]))?;
    assert_eq!(entries(&fs.mount), Vec::<PathBuf>::new());
    if result["ledger"]["append"]["flushes"].is_null() {
        eprintln!("skipped: this kernel does not count flushes");
        return None;
    }
    Some(result)
}

fn flushes(result: &Value) -> [f64; 3] {
    ["append", "fio", "overwrite"].map(|kind| result["ledger"][kind]["flushes"].as_f64().unwrap())
}

fn close(found: [f64; 3], expected: [f64; 3]) {
    for (found, expected) in found.into_iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 0.05,
            "{found:.3} where {expected:.2} was expected"
        );
    }
}

const EXT4: &[&str] = &[
    "mkfs.ext4",
    "-q",
    "-F",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=0",
];

#[test]
fn ext4_pays_two_flushes_for_new_blocks_and_one_for_old_ones() {
    let Some(result) = on_loop(EXT4, "") else {
        return;
    };
    close(flushes(&result), [2.0, 1.56, 1.0]);
    let small = result["ledger"]["small"]["flushes"].as_f64().unwrap();
    assert!((small - 1.09).abs() <= 0.05, "{small}");
    assert_ne!(result["verdict"]["level"], "unsafe");
    assert_eq!(result["ground"]["barrier"]["state"], "on");
    let curve = &result["curve"][0];
    assert_eq!(curve["bytes"], 8192);
    assert!((curve["cost"]["flushes"].as_f64().unwrap() - 2.0).abs() <= 0.05);
}

#[test]
fn ext4_without_barriers_is_unsafe_whatever_its_latency() {
    let Some(result) = on_loop(EXT4, "barrier=0") else {
        return;
    };
    close(flushes(&result), [0.0, 0.0, 0.0]);
    assert_eq!(result["verdict"]["level"], "unsafe");
    assert_eq!(result["verdict"]["barrier"], "barriers off");
}

#[test]
fn xfs_counts_as_ext4_does() {
    let Some(result) = on_loop(&["mkfs.xfs", "-q", "-f"], "") else {
        return;
    };
    close(flushes(&result), [2.0, 1.56, 1.0]);
    assert_eq!(result["ground"]["barrier"]["state"], "on");
}
