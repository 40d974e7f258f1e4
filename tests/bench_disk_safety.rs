//! What `bench disk` never does, and what it leaves behind: nothing, or after a kill one directory
//! that the next run takes away. Disks that fail are clear errors with what was measured so far.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::zombie_processes,
    clippy::disallowed_methods,
    reason = "a test through the binary; who waits for a child is not always who started it"
)]

mod rig;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rig::FakeDisk;
use rig::media::Behaviour;
use serde_json::Value;
use support::doctor;

/// No etcd of another test is looked at.
const ALONE: [&str; 4] = ["--only-etcd", "1", "--leave-free", "64MiB"];

/// Starts a bench in a directory and waits until its own directory is there and written to.
fn start(dir: &Path, args: &[&str]) -> (Child, PathBuf) {
    let child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
        .args([
            "bench",
            "disk",
            "--format",
            "json",
            "--segment-mb",
            "8",
            "--dir",
        ])
        .arg(dir)
        .args(ALONE)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    loop {
        let found = benches(dir)
            .into_iter()
            .find(|path| fs::read_dir(path).is_ok_and(|files| files.flatten().count() > 1));
        if let Some(work) = found {
            // Some records are measured by then.
            std::thread::sleep(Duration::from_millis(1_500));
            return (child, work);
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "the bench did not begin"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn benches(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    entries
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(".etcd-doctor-bench-")
        })
        .collect()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|err| {
        let err_text = String::from_utf8_lossy(&output.stderr);
        panic!(
            "{err}: {} {err_text}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

#[test]
fn signals_end_it_with_what_was_measured_and_leave_nothing() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 143)] {
        let dir = tempfile::tempdir().unwrap();
        let (child, _) = start(dir.path(), &[]);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}");
        let result = json(&output);
        assert!(
            result["partial"].as_str().unwrap().contains("signal"),
            "{}",
            result["partial"]
        );
        assert!(benches(dir.path()).is_empty(), "{name}");
    }
}

#[test]
fn a_second_signal_leaves_nothing_either() {
    let Some((disk, at)) = disk() else { return };
    let (child, _) = start(&at, &[]);
    // A sync that does not return for long: the first signal is not answered in that time.
    disk.media.behave(Behaviour {
        flush: Duration::from_secs(4),
        ..Behaviour::default()
    });
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(output.stdout.is_empty(), "who hurries gets no report");
    disk.media.heal();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        benches(&at).is_empty(),
        "{said} {:?}",
        fs::read_dir(&at).unwrap().flatten().collect::<Vec<_>>()
    );
}

#[test]
fn after_a_kill_the_next_run_takes_the_directory_away() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, work) = start(dir.path(), &[]);
    // While it runs, another run leaves it alone.
    let (second, other) = {
        let before = benches(dir.path());
        let child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args(["bench", "disk", "--segment-mb", "8", "--dir"])
            .arg(dir.path())
            .args(ALONE)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        loop {
            let new = benches(dir.path())
                .into_iter()
                .find(|path| !before.contains(path));
            if let Some(new) = new {
                break (child, new);
            }
            assert!(begin.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    assert!(work.exists(), "a running bench lost its directory");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(work.exists() && other.exists());
    signal(&second, "TERM");
    second.wait_with_output().unwrap();
    assert!(work.exists(), "nobody swept yet");
    let (third, _) = start(dir.path(), &[]);
    assert!(!work.exists(), "the killed run's directory is still there");
    signal(&third, "TERM");
    let output = third.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("removed what a killed run left"), "{said}");
    assert!(benches(dir.path()).is_empty());
}

#[test]
fn a_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("etcd");
    fs::create_dir_all(data.join("member/wal")).unwrap();
    fs::create_dir_all(data.join("member/snap")).unwrap();
    for inside in ["", "member", "member/wal"] {
        let output = doctor(&["bench", "disk", "--dir"])
            .path(data.join(inside))
            .args(&ALONE)
            .output();
        assert_eq!(output.status.code(), Some(70));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("it is in etcd's data directory"), "{said}");
        assert!(said.contains("hint: name a directory beside it"), "{said}");
    }
    let output = doctor(&[
        "bench",
        "disk",
        "barrier-record",
        "--peer",
        "127.0.0.1:1",
        "--dir",
    ])
    .path(data.join("member"))
    .args(&ALONE[..2])
    .output();
    assert_eq!(output.status.code(), Some(70));
    let all: Vec<_> = fs::read_dir(&data).unwrap().collect();
    assert_eq!(all.len(), 1, "only `member` is there");
}

#[test]
fn a_place_that_is_not_there_is_said() {
    let output = doctor(&["bench", "disk", "--dir", "/no/such/dir"])
        .args(&ALONE)
        .output();
    assert_eq!(output.status.code(), Some(70));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cannot write in `/no/such/dir`: it is not there"),
        "{said}"
    );
}

#[test]
fn a_vanished_directory_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (child, work) = start(
        dir.path(),
        &["--wal-only", "--rate", "200", "--profile", "large"],
    );
    fs::remove_dir_all(&work).unwrap();
    let output = child.wait_with_output().unwrap();
    let result = json(&output);
    let why = result["partial"].as_str().unwrap_or_default();
    assert!(why.contains("is not there (any more)"), "{why}");
}

/// A disk under ext4 that is large enough for the rule of free space.
fn disk() -> Option<(FakeDisk, PathBuf)> {
    let made = FakeDisk::new(2_560).and_then(|mut disk| {
        let at = disk.format("ext4", "rw,errors=remount-ro")?;
        Ok((disk, at))
    });
    made.map_err(|why| eprintln!("skipped: {why}")).ok()
}

#[test]
fn a_small_disk_is_refused_before_anything_is_written() {
    let small = FakeDisk::new(256).and_then(|mut disk| {
        let at = disk.format("ext4", "rw")?;
        Ok((disk, at))
    });
    let (_disk, at) = match small {
        Ok(small) => small,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let output = doctor(&["bench", "disk", "--dir"])
        .path(&at)
        .args(&ALONE[..2])
        .output();
    assert_eq!(output.status.code(), Some(70));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("are free, and the bench needs") && said.contains("for etcd"),
        "{said}"
    );
    assert!(benches(&at).is_empty());
}

#[test]
fn failing_disks_are_clear_and_keep_what_was_measured() {
    // EIO from the device; the kernel then makes the file system read-only.
    let Some((disk, at)) = disk() else { return };
    let (child, _) = start(&at, &[]);
    disk.media.behave(Behaviour {
        writes_fail: true,
        flushes_fail: true,
        ..Behaviour::default()
    });
    let output = child.wait_with_output().unwrap();
    let result = json(&output);
    let why = result["partial"].as_str().unwrap_or_default();
    assert!(
        why.contains("I/O error") || why.contains("read-only"),
        "{why}"
    );
    drop(disk);

    // The file system fills up under it.
    let Some((_disk, at)) = self::disk() else {
        return;
    };
    let (child, _) = start(&at, &["--wal-only", "--rate", "200", "--profile", "large"]);
    let filler = fs::File::create(at.join("filler")).unwrap();
    let mut size = 1u64 << 30;
    let mut offset = 0;
    while size >= 1 << 16 {
        match rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), offset, size) {
            Ok(()) => offset += size,
            Err(_) => size /= 2,
        }
    }
    let output = child.wait_with_output().unwrap();
    let result = json(&output);
    let why = result["partial"].as_str().unwrap_or_default();
    assert!(why.contains("the file system is full"), "{why}");
    assert!(benches(&at).is_empty());
}

#[test]
fn a_read_only_file_system_is_said() {
    let Some((_disk, at)) = disk() else { return };
    rig::run("mount", &["-o", "remount,ro", at.to_str().unwrap()]).unwrap();
    let output = doctor(&["bench", "disk", "--dir"])
        .path(&at)
        .args(&ALONE)
        .output();
    assert_eq!(output.status.code(), Some(70));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the file system is read-only"), "{said}");
}
