//! Whole outputs of `check config` and `check host`, as text and as JSON.

mod support;

use support::{doctor, fixtures};

fn golden(name: &str, what: &str, bundle: &str) {
    let bundle = fixtures().join(bundle);
    let run = |args: &[&str]| {
        doctor(&["check", what])
            .args(args)
            .arg("--bundle")
            .path(&bundle)
            .text()
    };
    insta::assert_snapshot!(format!("{name}-table"), run(&["--all"]));
    insta::assert_snapshot!(format!("{name}-json"), run(&["--format", "json"]));
}

#[test]
fn settings_of_a_server_with_little_concurrency() {
    golden("config-inflight", "config", "captures/inflight-429.tar.zst");
}

#[test]
fn settings_of_a_kubeadm_host() {
    golden("config-kubeadm", "config", "manifests/kubeadm");
}

#[test]
fn a_host_without_barriers() {
    golden("host-barriers", "host", "host/barrier-off");
}

#[test]
fn a_host_with_a_slow_disk() {
    golden("host-slow-disk", "host", "host/slow-disk");
}

/// Every finding about a setting that stands in a file names the file and the line.
#[test]
fn findings_about_settings_name_file_and_line() {
    let checked = doctor(&["check", "config", "--format", "json", "--bundle"])
        .path(fixtures().join("captures/inflight-429.tar.zst"))
        .json();
    let findings = checked["findings"].as_array().cloned().unwrap_or_default();
    let inflight = findings
        .iter()
        .find(|f| f["rule"] == "inflight-unbalanced")
        .cloned()
        .unwrap_or_default();
    let places: Vec<(String, u64)> = inflight["evidence"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| Some((e["file"].as_str()?.to_owned(), e["line"].as_u64()?)))
        .collect();
    assert_eq!(places.len(), 2, "{inflight}");
    for (file, line) in places {
        assert!(file.ends_with("kube-apiserver.yaml") && line > 0);
    }
}
