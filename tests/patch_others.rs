//! `patch` for k3s, RKE2 and Talos: one file that reads back, and nothing set twice.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over files it made itself"
)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::doctor;

fn advice(id: &str, target: &str, setting: &str, proposed: &str) -> Value {
    json!({
        "id": id, "remedy": "etcd", "strength": "recommended", "target": target,
        "setting": setting, "now": null, "proposed": proposed, "why": "because", "effect": "better",
        "confidence": "high", "risk": "some", "undo": "set it back", "verify": "look",
        "disposition": "disruptive", "finding_ids": [], "source": "docs",
    })
}

fn run(dir: &Path, target: &str, manifests: &Path, out: &str, versions: &[&str]) -> Value {
    let mut shard = advice(
        "shard-events",
        "kube-apiserver",
        "etcd-servers-overrides",
        "/events#https://a:2382",
    );
    shard["details"] = json!({ "resource": "events" });
    let all = json!({ "advice": [
        advice("qps", "kube-controller-manager", "kube-api-qps", "100"),
        advice("quota", "etcd", "quota-backend-bytes", "8589934592"),
        advice("batch", "etcd", "compaction-batch-limit", "500"),
        shard,
    ]});
    fs::write(dir.join("report.json"), all.to_string()).unwrap();
    doctor(&["patch", "--format", "json", "--target", target])
        .arg("--report")
        .path(dir.join("report.json"))
        .arg("--manifests")
        .path(manifests)
        .arg("--out")
        .path(dir.join(out))
        .args(versions)
        .json()
}

#[test]
fn k3s_and_rke2_get_a_drop_in_and_a_second_run_changes_nothing() {
    for target in ["k3s", "rke2"] {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        fs::create_dir_all(config.join("config.yaml.d")).unwrap();
        let own = "# ours\ntoken: x\netcd-arg:\n  - \"quota-backend-bytes=4294967296\" # half\n  - heartbeat-interval=500\n";
        fs::write(config.join("config.yaml"), own).unwrap();
        let told = run(
            dir.path(),
            target,
            &config,
            "out",
            &["--etcd-version", "3.5.16"],
        );
        let shown: Vec<&str> = told["shown"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["advice"].as_str().unwrap())
            .collect();
        assert_eq!(shown, ["shard-events"], "its etcd is not there yet");
        let read = |name: &str| fs::read_to_string(dir.path().join("out").join(name)).unwrap();
        assert_eq!(
            read("config.yaml.d/90-etcd-doctor.yaml"),
            "etcd-arg+:\n  - \"experimental-compaction-batch-limit=500\"\nkube-controller-manager-arg+:\n  - \"kube-api-qps=100\"\n"
        );
        assert_eq!(
            read("config/config.yaml"),
            own.replace("4294967296", "8589934592"),
            "the flag that is there is changed where it is"
        );
        assert!(read("STEPS.md").contains("systemctl restart"));
        fs::write(config.join("config.yaml"), read("config/config.yaml")).unwrap();
        fs::write(
            config.join("config.yaml.d/90-etcd-doctor.yaml"),
            read("config.yaml.d/90-etcd-doctor.yaml"),
        )
        .unwrap();
        let again = run(
            dir.path(),
            target,
            &config,
            "again",
            &["--etcd-version", "3.5.16"],
        );
        assert_eq!(again["files"], json!([]), "{again}");
    }
}

#[test]
fn k3s_without_etcd_gets_no_etcd_settings() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    fs::create_dir_all(&config).unwrap();
    fs::write(
        config.join("config.yaml"),
        "datastore-endpoint: postgres://x\n",
    )
    .unwrap();
    run(
        dir.path(),
        "k3s",
        &config,
        "out",
        &["--etcd-version", "3.5.16"],
    );
    let text =
        fs::read_to_string(dir.path().join("out/config.yaml.d/90-etcd-doctor.yaml")).unwrap();
    assert!(!text.contains("etcd-arg"), "{text}");
    assert!(text.contains("kube-api-qps=100"));
}

#[test]
fn talos_gets_extra_args_and_what_depends_on_an_unknown_version_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    fs::create_dir_all(&none).unwrap();
    let told = run(dir.path(), "talos", &none, "out", &[]);
    let text = fs::read_to_string(dir.path().join("out/talos-patch.yaml")).unwrap();
    assert_eq!(
        text,
        "cluster:\n  etcd:\n    extraArgs:\n      quota-backend-bytes: \"8589934592\"\n  controllerManager:\n    extraArgs:\n      kube-api-qps: \"100\"\n"
    );
    let shown: Vec<&str> = told["shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["advice"].as_str().unwrap())
        .collect();
    assert_eq!(shown, ["batch", "shard-events"]);
}
