//! The declared synthetic control plane of 4100 nodes and its twins: same totals by `grep`, three
//! different answers.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over its own fixtures"
)]

mod support;

use std::fs;

use serde_json::Value;
use support::{doctor, fixtures};

fn diagnosed(bundle: &str) -> Value {
    doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(fixtures().join(bundle))
        .json()
}

fn find<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    report["advice"]
        .as_array()
        .unwrap()
        .iter()
        .find(|advice| advice["id"] == id)
}

fn place(report: &Value, id: &str) -> usize {
    let all = report["advice"].as_array().unwrap();
    all.iter().position(|advice| advice["id"] == id).unwrap()
}

#[test]
fn events_move_out_and_the_controller_manager_gets_room() {
    let report = diagnosed("paypal");
    let shard = find(&report, "shard-events").unwrap();
    assert_eq!(shard["strength"], "recommended");
    assert_eq!(shard["relief"]["bound"], "upper-bound");
    assert!(shard["effect"].as_str().unwrap().contains("upper bound"));
    assert_eq!(
        shard["proposed"],
        "/events#https://10.10.0.11:2382;https://10.10.0.12:2382;https://10.10.0.13:2382"
    );
    let qps = find(&report, "kcm-qps").unwrap();
    assert_eq!(
        (qps["setting"].as_str(), qps["proposed"].as_str()),
        (Some("kube-api-qps"), Some("200"))
    );
    assert_eq!(
        find(&report, "kcm-burst").unwrap()["setting"],
        "kube-api-burst"
    );
    assert!(place(&report, "shard-events") < place(&report, "kcm-qps"));
    assert!(find(&report, "inflight-read").is_none(), "etcd is slow");
    assert_eq!(report["verdict"]["cause"], "query-load");
    let value = |id: &str| {
        let advice = find(&report, id).unwrap_or_else(|| panic!("no {id}"));
        assert_eq!(advice["strength"], "recommended", "{id}");
        (
            advice["setting"].as_str().unwrap().to_owned(),
            advice["proposed"].as_str().unwrap().to_owned(),
        )
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        value("etcd-quota"),
        pair("quota-backend-bytes", "8589934592")
    );
    // This etcd knows no cheaper probe, and its probe was as patient as kubeadm makes it.
    assert_eq!(
        value("etcd-liveness-probe"),
        pair("livenessProbe", "failureThreshold 24, timeoutSeconds 15")
    );
    assert_eq!(
        value("kcm-concurrent-deployment-syncs"),
        pair("concurrent-deployment-syncs", "20")
    );
    for component in ["kcm", "scheduler"] {
        assert_eq!(
            value(&format!("{component}-lease-duration")),
            pair("leader-elect-lease-duration", "60s")
        );
        assert_eq!(
            value(&format!("{component}-renew-deadline")),
            pair("leader-elect-renew-deadline", "40s")
        );
        assert_eq!(
            value(&format!("{component}-retry-period")),
            pair("leader-elect-retry-period", "5s")
        );
    }
    let inflight = report["not_advised"]
        .as_array()
        .unwrap()
        .iter()
        .find(|advice| advice["remedy"] == "inflight")
        .unwrap();
    assert!(
        inflight["why"].as_str().unwrap().contains("3000 and 1000"),
        "{inflight}"
    );
}

#[test]
fn inflight_limits_come_last_when_etcd_is_fast() {
    let report = diagnosed("paypal-after");
    assert_eq!(report["verdict"]["cause"], "apiserver-saturation");
    let advice = report["advice"].as_array().unwrap();
    let settings: Vec<(&str, &str)> = advice
        .iter()
        .map(|one| {
            (
                one["setting"].as_str().unwrap(),
                one["proposed"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        settings,
        [
            ("max-requests-inflight", "1000"),
            ("max-mutating-requests-inflight", "500")
        ]
    );
    let why = advice[0]["why"].as_str().unwrap();
    assert!(
        why.contains("Little's law") && why.contains("workload-low"),
        "{why}"
    );
}

#[test]
fn count_polls_and_names_of_objects_give_no_shard() {
    let report = diagnosed("paypal-twin-counts");
    for advice in report["advice"].as_array().unwrap() {
        assert_ne!(advice["remedy"], "shard", "{advice}");
    }
}

#[test]
fn a_stalled_disk_comes_first() {
    let report = diagnosed("paypal-twin-disk");
    assert_eq!(report["verdict"]["cause"], "disk");
    assert_eq!(report["advice"][0]["remedy"], "disk");
    for advice in report["advice"].as_array().unwrap() {
        let remedy = advice["remedy"].as_str().unwrap();
        assert!(!matches!(remedy, "client-limits" | "inflight"), "{advice}");
        assert!(
            remedy != "shard" || advice["strength"] == "candidate",
            "{advice}"
        );
    }
}

#[test]
fn the_patch_of_the_run_holds_what_was_advised() {
    let out = tempfile::tempdir().unwrap();
    let told = doctor(&[
        "patch", "--format", "json", "--target", "kubeadm", "--bundle",
    ])
    .path(fixtures().join("paypal"))
    .arg("--out")
    .path(out.path().join("patch"))
    .json();
    assert!(told["files"].as_array().unwrap().len() > 6, "{told}");
    let read = |name: &str| fs::read_to_string(out.path().join("patch").join(name)).unwrap();
    assert!(
        read("manifests/kube-apiserver.yaml")
            .contains("- \"--etcd-servers-overrides=/events#https://10.10.0.11:2382;")
    );
    assert!(read("manifests/kube-controller-manager.yaml").contains("- --kube-api-qps=200"));
    assert!(read("events-etcd/cp2/etcd-events.yaml").contains("--name=cp2-events"));
}
