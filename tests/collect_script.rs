//! `docs/collect.sh` on this machine: what it copies is what `diagnose --bundle` reads.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that runs a script"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::doctor;

/// A process by the name of etcd, which ends with the test.
struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn etcd(dir: &Path) -> Etcd {
    let program = dir.join("etcd");
    fs::copy("/bin/sleep", &program).unwrap();
    Etcd(Command::new(program).arg("120").spawn().unwrap())
}

/// The tar that the script writes.
fn collected(dir: &Path) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/collect.sh");
    let output = Command::new("sh")
        .arg(script)
        .env("SECS", "4")
        .env("TMPDIR", dir)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// The files of a tar by their names below the node's folder.
fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let Some((_, name)) = name.trim_start_matches("./").split_once('/') else {
            continue;
        };
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        files.insert(name.to_owned(), bytes);
    }
    files
}

#[test]
fn what_it_copies_is_read() {
    if Command::new("pgrep").arg("-V").output().is_err() {
        eprintln!("skipped: there is no pgrep, which the script needs");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let etcd = etcd(dir.path());
    let pid = etcd.0.id();
    let scratch = dir.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    let tar = collected(&scratch);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "it cleans up");
    let files = files(&tar);
    // Counters come twice, the second time with their time.
    let twice = |file: &str| {
        let name = format!("host{file}");
        let later = |have: &&String| have.starts_with(&format!("{name}-"));
        assert!(files.contains_key(&name), "{name}");
        assert!(files.keys().any(|have| later(&have)), "{name}");
    };
    for name in ["host/df", "host/df-i"] {
        assert!(files.contains_key(name), "{name}");
    }
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let io = fs::read(format!("/proc/{pid}/io"));
    for file in ["diskstats", "stat", "loadavg"] {
        twice(&format!("/proc/{file}"));
    }
    twice(&format!("/proc/{pid}/task/{pid}/schedstat"));
    if io.is_ok() {
        twice(&format!("/proc/{pid}/io"));
    }
    for line in cgroups.lines() {
        let [_, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
            continue;
        };
        let top = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            other => format!("/sys/fs/cgroup/{other}"),
        };
        let folder = format!("{top}{path}");
        let there = |file: &str| path != "/" && Path::new(&folder).join(file).exists();
        if there("cpu.stat") {
            twice(&format!("{folder}/cpu.stat"));
        }
        for file in [
            "cpu.max",
            "cpu.cfs_quota_us",
            "memory.max",
            "memory.events",
            "io.max",
        ] {
            if there(file) {
                let name = format!("host{folder}/{file}");
                assert!(files.contains_key(&name), "{name}");
            }
        }
    }
    let dmesg = Command::new("dmesg").output();
    if dmesg.is_ok_and(|output| output.status.success() && !output.stdout.is_empty()) {
        assert!(files.contains_key("host/dmesg"));
    }

    let bundle = dir.path().join("node.tar");
    fs::write(&bundle, &tar).unwrap();
    let saved = dir.path().join("run.zst");
    doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(&bundle)
        .arg("--save")
        .path(&saved)
        .json();
    let run = zstd::decode_all(fs::File::open(&saved).unwrap()).unwrap();
    let run: Value = serde_json::from_slice(&run).unwrap();
    let records = run["records"].as_array().unwrap();
    let of = |key: &str| records.iter().find(|record| record["key"] == key);
    let delay = of("process.run-delay").unwrap();
    assert_eq!(
        delay["origin"]["source"],
        format!("proc/{pid}/task/*/schedstat")
    );
    // Two samples of all threads; of the process alone, or of one sample, it were an estimate.
    assert_eq!(delay["origin"]["completeness"], "exact", "{delay}");
    assert!(of("cgroup.cpu.throttled").is_some());
    if files.contains_key("host/dmesg") {
        assert_eq!(of("kernel.io-errors").unwrap()["origin"]["source"], "dmesg");
    }
}

/// A connection that breaks off ends the script by a signal: nothing may stay behind, of which the
/// administrator's key would be a part.
#[test]
fn a_signal_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/collect.sh");
    let mut running = Command::new("sh")
        .arg(script)
        .env("SECS", "2")
        .env("TMPDIR", dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let left = || fs::read_dir(dir.path()).unwrap().count();
    for _ in 0..400 {
        if left() == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(left(), 2, "it works in two folders");
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(!running.wait().unwrap().success());
    assert_eq!(left(), 0);
}
