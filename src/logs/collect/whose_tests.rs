//! Whose evidence the logs of pods are: tests over folders as kubelet and must-gather lay them out.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::collect;
use crate::evidence::{EvidenceSet, Subject, keys};
use crate::logs::input::plan_inside;
use crate::logs::scan::{ScanOptions, scan};

const SLOW_SYNC: &str = r#"{"level":"warn","ts":"2026-03-01T10:01:40.000000Z","caller":"wal/wal.go:805","msg":"slow fdatasync","took":"1.1s","expected-duration":"1s"}"#;
const READY: &str = r#"{"level":"info","ts":"2026-03-01T10:00:01.000000Z","caller":"embed/serve.go:1","msg":"ready to serve client requests"}"#;
const THROTTLED: &str = "I0301 10:00:00.000000       1 request.go:700] Waited for 1.100s due to client-side throttling, not priority and fairness, request: GET:https://10.96.0.1:443/api/v1/pods";

/// The evidence of logs at such paths.
fn evidence(files: &[(&str, &[&str])]) -> EvidenceSet {
    let dir = tempfile::tempdir().unwrap();
    for (path, lines) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{}\n", lines.join("\n"))).unwrap();
    }
    let plan = plan_inside(&[PathBuf::from(dir.path())], None);
    let summary = scan(&plan, &ScanOptions::default(), &AtomicBool::new(false));
    collect(&summary, "logs")
}

/// Who has kinds of messages at all, and who has one of them.
fn tellers(set: &EvidenceSet, kind: &str) -> Vec<String> {
    let all = set.of_key(&keys::LOGS_EVENTS);
    let told = all.filter(|record| {
        let crate::evidence::Reading::Known(crate::evidence::Shape::Table(table)) = &record.value
        else {
            return false;
        };
        table.row(kind).is_some()
    });
    told.map(|record| record.subject.to_string()).collect()
}

#[test]
fn the_log_of_the_etcd_for_events_tells_nothing_of_main_etcd() {
    let uid = "0123456789abcdef0123456789abcdef";
    let main = format!("pods/kube-system_etcd-cp0_{uid}/etcd/0.log");
    for (pod, container) in [
        ("etcd-events-cp0", "etcd-events"),
        ("etcd-events-cp0", "etcd"),
        ("etcd-manager-events-cp0", "etcd-manager"),
    ] {
        let events = format!("pods/kube-system_{pod}_{uid}/{container}/0.log");
        let set = evidence(&[(&main, &[READY]), (&events, &[READY, SLOW_SYNC])]);
        assert_eq!(
            tellers(&set, "wal-sync-slow"),
            ["member:cp0/events"],
            "{pod}"
        );
        let coverage = set.of_key(&keys::LOGS_COVERAGE).next().unwrap();
        assert_eq!(coverage.subject, Subject::cluster());
    }
    // On a node that is called so it is the only etcd, and kubeadm calls its member as the node.
    let own = r#"{"level":"info","ts":"2026-03-01T10:00:00.000000Z","caller":"embed/etcd.go:1","msg":"starting an etcd server","etcd-version":"3.5.21","name":"events-cp0"}"#;
    let only = format!("pods/kube-system_etcd-events-cp0_{uid}/etcd/0.log");
    let set = evidence(&[(&only, &[own, READY, SLOW_SYNC])]);
    assert_eq!(tellers(&set, "wal-sync-slow"), ["member:events-cp0"]);
}

#[test]
fn clients_go_by_their_workloads_and_have_no_invented_nodes() {
    let uid = "2123456789abcdef0123456789abcdef";
    let path = |pod: &str, container: &str| format!("pods/{pod}_{uid}/{container}/0.log");
    let files = [
        path("kyverno_kyverno-admission-6d5f5f5f-abcde", "kyverno"),
        path("default_myop-0", "main"),
        path("kube-system_etcd-druid-6d5f5f5f-abcde", "etcd-druid"),
        path(
            "clusters-prod_kube-apiserver-6d5f5f5f-abcde",
            "kube-apiserver",
        ),
        path(
            "kube-system_cilium-operator-7f9b8c4d5f-xyz12",
            "cilium-operator",
        ),
        "namespaces/a/pods/web-7d4b9c6f5d-x2x9z/proxy/proxy/logs/current.log".to_owned(),
    ];
    let files: Vec<(&str, &[&str])> = files
        .iter()
        .map(|path| (path.as_str(), [THROTTLED].as_slice()))
        .collect();
    let mut found = tellers(&evidence(&files), "client-throttled");
    found.sort();
    assert_eq!(
        found,
        [
            "component:cilium-operator",
            "component:etcd-druid",
            "component:kube-apiserver",
            "component:kyverno-admission",
            "component:myop/main",
            "component:web/proxy",
        ]
    );
}

#[test]
fn members_of_a_stateful_set_stay_apart() {
    let set = evidence(&[
        (
            "namespaces/a/pods/etcd-0/etcd/etcd/logs/current.log",
            &[SLOW_SYNC],
        ),
        (
            "namespaces/a/pods/etcd-1/etcd/etcd/logs/current.log",
            &[SLOW_SYNC, READY],
        ),
    ]);
    let mut found = tellers(&set, "wal-sync-slow");
    found.sort();
    assert_eq!(found, ["member:etcd-0", "member:etcd-1"]);
}

#[test]
fn a_log_of_a_program_that_nobody_knows_is_not_judged_by_what_was_understood() {
    let set = evidence(&[(
        "namespaces/a/pods/web-7d4b9c6f5d-x2x9z/web/web/logs/current.log",
        &[THROTTLED, "GET / 200", "GET /a 200", "GET /b 200"],
    )]);
    let coverage = set.of_key(&keys::LOGS_COVERAGE).next().unwrap();
    let crate::evidence::Reading::Known(crate::evidence::Shape::Table(table)) = &coverage.value
    else {
        panic!("{:?}", coverage.value)
    };
    let keys: Vec<&str> = table.rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["unknown"]);
}
