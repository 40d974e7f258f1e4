//! `compare` of two diagnoses: what got worse is said, what chance explains is not.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{capture, doctor, fixtures};

fn save(bundle: &Path, to: PathBuf) -> PathBuf {
    doctor(&["diagnose", "--save"])
        .path(&to)
        .arg("--bundle")
        .path(bundle)
        .output();
    to
}

fn report(bundle: &Path, to: PathBuf) -> PathBuf {
    let output = doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(bundle)
        .output();
    std::fs::write(&to, output.stdout).unwrap();
    to
}

fn compare(a: &Path, b: &Path) -> (Option<i32>, Value) {
    let mut run = doctor(&["compare", "--format", "json", "--fail-on", "worse"])
        .path(a)
        .path(b);
    let output = run.output();
    let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), value)
}

fn changes<'v>(value: &'v Value, change: &str) -> Vec<&'v str> {
    value["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["change"] == change)
        .map(|f| f["rule"].as_str().unwrap())
        .collect()
}

/// The log of the only controller manager under a folder of pods.
fn manager_log(pods: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(pods)
        .unwrap()
        .map(|one| one.unwrap().path());
    let of_manager = |path: &PathBuf| {
        path.display()
            .to_string()
            .contains("kube-controller-manager")
    };
    let pod = folders.find(of_manager).unwrap();
    pod.join("kube-controller-manager/0.log")
}

/// The same node before and after its settings went wrong; and back.
#[test]
fn what_got_worse_is_named_and_sets_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let root = capture("kcm-throttled", dir.path());
    let bad = save(&root, dir.path().join("bad.zst"));
    let bad_report = report(&root, dir.path().join("bad.json"));
    let manifest = root.join("manifests/kube-controller-manager.yaml");
    let text = support::read(&manifest)
        .replace("--kube-api-qps=5", "--kube-api-qps=50")
        .replace("--kube-api-burst=5", "--kube-api-burst=100");
    std::fs::write(&manifest, text).unwrap();
    // It was restarted with them, as its log says.
    let log = manager_log(&root.join("logs/var/log/pods"));
    let text = support::read(&log)
        .replace(
            r#"FLAG: --kube-api-qps="5""#,
            r#"FLAG: --kube-api-qps="50""#,
        )
        .replace(
            r#"FLAG: --kube-api-burst="5""#,
            r#"FLAG: --kube-api-burst="100""#,
        );
    std::fs::write(&log, text).unwrap();
    let good = save(&root, dir.path().join("good.zst"));
    let good_report = report(&root, dir.path().join("good.json"));
    for (good, bad) in [(&good, &bad), (&good_report, &bad_report)] {
        let (code, value) = compare(good, bad);
        assert_eq!(code, Some(1), "{value}");
        assert!(
            changes(&value, "worse").contains(&"client-qps-low"),
            "{value}"
        );
        let (code, value) = compare(bad, good);
        assert_eq!(code, Some(0), "{value}");
        assert!(
            changes(&value, "better").contains(&"client-qps-low"),
            "{value}"
        );
        let (code, value) = compare(bad, bad);
        assert_eq!(code, Some(0), "{value}");
        assert_eq!(value["findings"], Value::Array(vec![]));
    }
    // Without the flag a comparison is no gate.
    let output = doctor(&["compare"]).path(&good).path(&bad).output();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("FINDINGS THAT DIFFER") && text.contains("client-qps-low"),
        "{text}"
    );
}

/// A distribution whose p99 crosses the limit by a handful of values: the finding changes, and nothing is claimed.
#[test]
fn a_finding_that_chance_explains_is_noise() {
    let dir = tempfile::tempdir().unwrap();
    let golden = fixtures().join("bundles/0.1/healthy.bundle.zst");
    let plain = zstd::decode_all(std::fs::File::open(golden).unwrap()).unwrap();
    let real: Value = serde_json::from_slice(&plain).unwrap();
    let with = |slow: f64, name: &str| {
        let mut forged = real.clone();
        for record in forged["records"].as_array_mut().unwrap() {
            if record["key"] == "server.wal.fsync" {
                let buckets = record["value"]["known"]["histogram"]["buckets"]
                    .as_array_mut()
                    .unwrap();
                for bucket in buckets.iter_mut() {
                    let le = bucket["le"].as_f64();
                    // 1000 values: most below 1 ms, some between 16 and 32 ms.
                    bucket["count"] = match le {
                        Some(1.0) => (1000.0 - slow).into(),
                        Some(32.0) => slow.into(),
                        _ => 0.0.into(),
                    };
                }
                assert!(buckets.iter().any(|b| b["le"] == 32.0), "{buckets:?}");
            }
            if record["key"] == "server.wal.fsync-phases" {
                record["value"] = serde_json::json!({"missing": {"reason": "not-collected"}});
            }
        }
        let path = dir.path().join(name);
        std::fs::write(&path, forged.to_string()).unwrap();
        path
    };
    let (below, above, far) = (with(9.0, "a"), with(11.0, "b"), with(80.0, "c"));
    let (code, value) = compare(&below, &above);
    assert_eq!(code, Some(0), "{value}");
    assert_eq!(changes(&value, "none-shown"), ["wal-fsync-slow"], "{value}");
    let (code, value) = compare(&below, &far);
    assert_eq!(code, Some(1), "{value}");
    assert_eq!(changes(&value, "worse"), ["wal-fsync-slow"], "{value}");
}

/// Two clusters, or a run that saw less: doubts, no verdict on what was not seen.
#[test]
fn what_cannot_be_compared_is_said() {
    let golden = |name: &str| fixtures().join(format!("bundles/0.1/{name}.bundle.zst"));
    let (_, value) = compare(&golden("healthy"), &golden("slow-disk"));
    assert!(
        value["doubts"].to_string().contains("of one cluster"),
        "{value}"
    );
    let dir = tempfile::tempdir().unwrap();
    let root = capture("slow-disk", dir.path());
    let whole = save(&root, dir.path().join("whole.zst"));
    let less = save(&root.join("manifests"), dir.path().join("less.zst"));
    let (code, value) = compare(&whole, &less);
    assert_eq!(code, Some(0), "{value}");
    assert!(
        value["doubts"].to_string().contains("B did not look at"),
        "{value}"
    );
    assert!(changes(&value, "better").is_empty(), "{value}");
    assert!(
        changes(&value, "too-few").contains(&"wal-sync-stalled"),
        "{value}"
    );
}

/// As `diagnose` does, so that a script need not tell the two apart.
#[test]
fn a_bench_that_is_not_compared_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("watched.json");
    for format in ["bench-etcd", "bench-disk-observe"] {
        let text = format!(r#"{{"format": "etcd-doctor/{format}", "version": 1}}"#);
        std::fs::write(&file, text).unwrap();
        let output = doctor(&["compare"]).path(&file).path(&file).output();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(format) && said.contains("are compared"),
            "{said}"
        );
    }
}

/// Each command says so in the same way.
#[test]
fn scrapes_that_are_not_there_are_evidence_that_could_not_be_had() {
    let output = doctor(&["metrics", "/nonexist"]).output();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_file_that_is_not_there_is_evidence_that_could_not_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone.zst");
    assert_eq!(compare(&gone, &gone).0, Some(3));
    assert_eq!(
        doctor(&["diagnose", "--bundle"])
            .path(&gone)
            .output()
            .status
            .code(),
        Some(3)
    );
}
