//! Small bundles, written line by line, through the whole program: what is said of them, and what is
//! kept of them.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test of the binary on files of its own"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::doctor;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A time of the day on which all of this happens.
fn at(secs: u32) -> String {
    format!(
        "2026-11-20T{:02}:{:02}:{:02}.000000Z",
        10 + secs / 3600,
        secs / 60 % 60,
        secs % 60
    )
}

/// All that a run prints and saves.
fn shown_and_saved(args: &[&str], of: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("saved.json.zst");
    let out = doctor(&["diagnose", "--format", "json", "--save"])
        .path(&saved)
        .args(args)
        .path(of)
        .output();
    let text = zstd::decode_all(fs::read(&saved).unwrap().as_slice()).unwrap();
    [out.stdout, out.stderr, text]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat()
}

#[test]
fn a_password_of_a_datastore_is_neither_shown_nor_saved() {
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir.path().join("etc/rancher/k3s/config.yaml"),
        "datastore-endpoint: \"postgres://u:LEAK1@h/db?sslmode=disable&password=LEAK2\"\n\
         token: LEAK3\n",
    );
    write(&dir.path().join("proc/77/cmdline"), "k3s\0server\0");
    write(&dir.path().join("proc/77/environ"), "K3S_TOKEN=LEAK4\0");
    for more in [
        &["--window", "100ms", "--root"][..],
        &["--redact", "--window", "100ms", "--root"],
    ] {
        let all = shown_and_saved(more, dir.path());
        assert!(!all.contains("LEAK"), "{all}");
        assert!(all.contains("sslmode=disable"), "{all}");
    }
}

#[test]
fn secrets_of_a_manifest_are_neither_shown_nor_saved() {
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir.path().join("manifests/manager.yaml"),
        "apiVersion: apps/v1\n\
         kind: Deployment\n\
         metadata: {name: capi-controller-manager, namespace: capi-system}\n\
         spec:\n\
         \x20 selector: {}\n\
         \x20 template:\n\
         \x20   spec:\n\
         \x20     containers:\n\
         \x20     - name: manager\n\
         \x20       image: registry.k8s.io/cluster-api/cluster-api-controller:v1.7.2\n\
         \x20       args: [--leader-elect, --kube-api-qps=20, \"--webhook-pass\", LEAK4, \
         \"--dsn=u:LEAK5@tcp(h:3306)/d\", \"--basic-auth=LEAK6\", --bypass-cache=KEPT1, \
         --token-ttl=KEPT2, --token-auth-file=/etc/KEPT3]\n\
         \x20       env:\n\
         \x20       - {name: DB_PASS, value: LEAK7}\n",
    );
    let all = shown_and_saved(&["--bundle"], dir.path());
    assert!(!all.contains("LEAK"), "{all}");
    for kept in ["KEPT1", "KEPT2", "KEPT3"] {
        assert!(all.contains(kept), "{kept}");
    }
}

#[test]
fn a_client_without_a_user_agent_goes_by_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for n in 0..200 {
        let at = at(n);
        writeln!(
            text,
            "{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\
             \"auditID\":\"{n}\",\"stage\":\"ResponseComplete\",\"requestURI\":\"/api/v1/pods\",\
             \"verb\":\"list\",\"user\":{{\"username\":\"system:serviceaccount:a:noagent\"}},\
             \"objectRef\":{{\"resource\":\"pods\",\"apiVersion\":\"v1\"}},\
             \"responseStatus\":{{\"code\":200}},\
             \"requestReceivedTimestamp\":\"{at}\",\"stageTimestamp\":\"{at}\"}}"
        )
        .unwrap();
    }
    write(&dir.path().join("audit.log"), &text);
    let shown = doctor(&["logs"]).path(dir.path()).text();
    let table = shown.split("Audit log:").nth(1).unwrap();
    let row = table
        .lines()
        .find(|line| line.contains("list pods"))
        .unwrap();
    assert!(row.contains("system:serviceaccount:a:noagent"), "{row}");
}
