//! `bench disk` on the programmable disk: counts and ratios are exact whatever the machine does; a
//! power cut shows whether a disk keeps its word. Limits are in `bench_disk_limits`.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

#[path = "support/json_schema.rs"]
#[expect(dead_code, reason = "shared with the tests of the schemas themselves")]
mod json_schema;
mod rig;
mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rig::FakeDisk;
use rig::media::Behaviour;
use serde_json::Value;
use support::doctor;

fn disk(mib: u64) -> Option<(FakeDisk, PathBuf)> {
    let made = FakeDisk::new(mib).and_then(|mut disk| {
        let at = disk.format("ext4", "rw")?;
        Ok((disk, at))
    });
    made.map_err(|why| eprintln!("skipped: {why}")).ok()
}

/// Rounds of `bench disk` with records of one size, one after the other.
fn closed(at: &Path, bytes: u32) -> Value {
    let output = doctor(&["bench", "disk", "--format", "json", "--only-etcd", "1"])
        .args(&[
            "--wal-only",
            "--closed",
            "--pace",
            "0.5",
            "--segment-mb",
            "8",
            "--profile",
            &bytes.to_string(),
            "--dir",
        ])
        .path(at)
        .output();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {text}"))
}

#[test]
fn a_sync_costs_one_flush_or_two_and_its_time_follows() {
    let Some((disk, at)) = disk(2_560) else {
        return;
    };
    let flush = Duration::from_millis(5);
    disk.media.behave(Behaviour {
        flush,
        ..Behaviour::default()
    });
    // With the 40 bytes of a state record: 376 and 8192 bytes in each sync.
    let (small, large) = (closed(&at, 336), closed(&at, 8_152));
    let per_sync = |result: &Value| {
        let rounds = result["rounds"].as_array().unwrap();
        let sum = |of: &dyn Fn(&Value) -> f64| rounds.iter().map(of).sum::<f64>();
        sum(&|r| r["device"]["flushes"].as_f64().unwrap())
            / sum(&|r| r["sync"]["count"].as_f64().unwrap())
    };
    let (one, two) = (per_sync(&small), per_sync(&large));
    eprintln!("flushes per sync: {one:.3} at 376 B, {two:.3} at 8 KiB");
    assert!((one - 1.09).abs() < 0.05, "{one}");
    assert!((two - 2.00).abs() < 0.05, "{two}");
    let p50 = |result: &Value| result["total"]["sync"]["p50"]["us"].as_f64().unwrap() / 1e3;
    let (fast, slow) = (p50(&small), p50(&large));
    eprintln!("p50: {fast:.2} ms and {slow:.2} ms");
    assert!(fast >= 5.0 && slow >= 10.0);
    let pressure = small["total"]["around"]["psi_cpu_some"]
        .as_f64()
        .unwrap_or(1.0);
    if pressure > 0.2 {
        return eprintln!(
            "the ratio is not looked at: tasks waited for a processor {:.0} % of the time",
            pressure * 100.0
        );
    }
    assert!((1.8..=2.2).contains(&(slow / fast)), "{}", slow / fast);
}

/// What the program prints is what its schema says.
fn described(name: &str, output: &Output) {
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = etcd_doctor::report::schema::schema(name).unwrap();
    let errors = json_schema::Checker::new(schema.text).check(&printed);
    assert!(errors.is_empty(), "{name}: {}", errors.join("\n"));
}

#[test]
fn a_power_cut_proves_an_honest_disk_and_convicts_a_liar() {
    for lies in [false, true] {
        let Some((mut disk, at)) = disk(2_048) else {
            return;
        };
        disk.media.behave(Behaviour {
            lies,
            ..Behaviour::default()
        });
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("peer.log");
        let mut peer = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args([
                "bench",
                "disk",
                "barrier-peer",
                "--once",
                "--listen",
                "127.0.0.1:0",
                "--log",
            ])
            .arg(&log)
            .args(["--format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(peer.stderr.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        let address = said
            .split_once("listening on ")
            .unwrap()
            .1
            .split(',')
            .next()
            .unwrap();
        let recorder = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args([
                "bench",
                "disk",
                "barrier-record",
                "--only-etcd",
                "1",
                "--size",
                "8MiB",
                "--peer",
                address,
                "--dir",
            ])
            .arg(&at)
            .args(["--format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = std::time::Instant::now();
        while std::fs::read_to_string(&log)
            .unwrap_or_default()
            .lines()
            .count()
            < 5
        {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "nothing was recorded"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let survived = disk.power_cut();
        described("barrier-record", &recorder.wait_with_output().unwrap());
        described("barrier-peer", &peer.wait_with_output().unwrap());
        let verify = |extra: &[&str], dir: &Path| {
            let output = doctor(&[
                "bench",
                "disk",
                "barrier-verify",
                "--format",
                "json",
                "--log",
            ])
            .path(&log)
            .arg("--dir")
            .path(dir)
            .args(extra)
            .output();
            described("barrier-verify", &output);
            let json: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            (output.status.code(), json)
        };
        match survived {
            Ok(dir) => {
                let (code, answer) = verify(&["--disk-only"], &dir);
                eprintln!("lies: {lies}: {}", answer["why"]);
                if lies {
                    assert_eq!(
                        (code, &answer["proof"]),
                        (Some(1), &"acknowledged-lost".into())
                    );
                } else {
                    assert_eq!(
                        (code, &answer["proof"]),
                        (Some(0), &"proven-by-power-cut".into()),
                        "{answer}"
                    );
                    assert!(answer["acknowledged"].as_u64().unwrap() > 5);
                    // This machine was not started anew, so without that word nothing is proven.
                    assert_eq!(verify(&[], &dir).0, Some(3));
                }
            }
            // Nothing can be mounted any more: the liar lost even the file system.
            Err(why) => assert!(lies, "{why}"),
        }
    }
}
