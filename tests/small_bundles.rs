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

fn diagnose(bundle: &Path) -> Value {
    doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(bundle)
        .json()
}

/// Severity and message of a rule's failures.
fn failures(report: &Value, rule: &str) -> Vec<(String, String)> {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["rule"] == rule && finding["status"] == "fail")
        .map(|finding| {
            let text = |name: &str| finding[name].as_str().unwrap().to_owned();
            (text("severity"), text("message"))
        })
        .collect()
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

fn line(secs: u32, level: &str, rest: &str) -> String {
    format!(
        "{{\"level\":\"{level}\",\"ts\":\"{}\",\"caller\":\"x.go:1\",{rest}}}\n",
        at(secs)
    )
}

fn start(secs: u32, node: &str, version: &str) -> String {
    line(
        secs,
        "info",
        &format!(
            "\"msg\":\"starting an etcd server\",\"etcd-version\":\"{version}\",\"name\":\"{node}\",\
             \"data-dir\":\"/var/lib/etcd\",\"initial-advertise-peer-urls\":[\"https://{node}:2380\"]"
        ),
    )
}

/// An etcd log of one node.
fn etcd_log(bundle: &Path, node: &str, text: &str) {
    write(&bundle.join(format!("logs/{node}/etcd.log")), text);
}

fn refused(message: &str, error: &str, count: u32) -> String {
    let mut text = start(0, "n1", "3.6.14");
    for n in 0..count {
        text += &line(
            60 + n * 3,
            "warn",
            &format!(
                "\"msg\":\"{message}\",\"remote-addr\":\"10.0.0.5:4060\",\"server-name\":\"\",\
                 \"error\":\"{error}\""
            ),
        );
    }
    text
}

#[test]
fn connections_are_refused_for_what_their_error_says() {
    let of = |message: &str, error: &str, count: u32| {
        let dir = tempfile::tempdir().unwrap();
        etcd_log(dir.path(), "n1", &refused(message, error, count));
        diagnose(dir.path())
    };
    let client = "rejected connection on client endpoint";
    let expired = of(
        client,
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
        380,
    );
    assert_eq!(
        failures(&expired, "tls-rejections"),
        [(
            "warn".to_owned(),
            "380 connections refused for a certificate: 380 expired or not valid yet".to_owned()
        )]
    );
    assert_eq!(expired["verdict"]["no_fault_seen"], false);
    let foreign = of(
        "rejected connection on peer endpoint",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        380,
    );
    assert_eq!(failures(&foreign, "tls-rejections")[0].0, "critical");
    let files = of(
        "rejected connection",
        "accept tcp [::]:2379: accept4: too many open files",
        380,
    );
    assert_eq!(failures(&files, "tls-rejections"), []);
    assert_eq!(
        failures(&files, "open-files-limit-low"),
        [(
            "warn".to_owned(),
            "380 connections refused: etcd has too many open files".to_owned()
        )]
    );
    // A balancer looks whether the port is open.
    let probes = of(client, "EOF", 12);
    assert_eq!(failures(&probes, "tls-rejections")[0].0, "info");
    for report in [expired, foreign, files, probes] {
        assert!(!report["evidence"].to_string().contains("10.0.0.5"));
    }
}

#[test]
fn releases_in_the_logs_of_members_are_compared() {
    let of = |starts: [&[(u32, &str)]; 3]| {
        let dir = tempfile::tempdir().unwrap();
        for (node, starts) in ["n1", "n2", "n3"].iter().zip(starts) {
            let mut text = String::new();
            for (secs, version) in starts {
                text += &start(*secs, node, version);
            }
            text += &line(7000, "info", "\"msg\":\"hello\"");
            etcd_log(dir.path(), node, &text);
        }
        diagnose(dir.path())
    };
    let mixed = of([&[(0, "3.5.12")], &[(5, "3.6.1")], &[(9, "3.5.12")]]);
    assert_eq!(
        failures(&mixed, "versions-mixed"),
        [(
            "warn".to_owned(),
            "3.5.12 on n1, n3; 3.6.1 on n2".to_owned()
        )]
    );
    let upgraded = of([
        &[(0, "3.5.12"), (600, "3.6.1")],
        &[(5, "3.5.12"), (900, "3.6.1")],
        &[(9, "3.5.12"), (1200, "3.6.1")],
    ]);
    assert_eq!(failures(&upgraded, "versions-mixed"), []);
}

#[test]
fn a_compaction_every_five_minutes_is_read_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = start(0, "n1", "3.6.14");
    for n in 1..=12 {
        text += &line(
            n * 300,
            "info",
            "\"msg\":\"finished scheduled compaction\",\"compact-revision\":1,\"took\":\"9.1s\",\
             \"hash\":1,\"current-db-size-bytes\":1000000,\"current-db-size\":\"1.0 MB\",\
             \"current-db-size-in-use-bytes\":500000,\"current-db-size-in-use\":\"0.5 MB\"",
        );
    }
    etcd_log(dir.path(), "n1", &text);
    let report = diagnose(dir.path());
    let found = failures(&report, "compaction-saw-tooth");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.starts_with("12 of 12 compactions"), "{found:?}");
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

/// Lists of all pods, one a second.
fn lists(query: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for n in 0..600 {
        let (at, end) = (at(n), at(n + 1));
        writeln!(
            text,
            "{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\
             \"auditID\":\"{n}\",\"stage\":\"ResponseComplete\",\"requestURI\":\"/api/v1/pods{query}\",\
             \"verb\":\"list\",\"user\":{{\"username\":\"system:serviceaccount:a:agent\"}},\
             \"userAgent\":\"agent/1.0\",\"objectRef\":{{\"resource\":\"pods\",\"apiVersion\":\"v1\"}},\
             \"responseStatus\":{{\"code\":200}},\
             \"requestReceivedTimestamp\":\"{at}\",\"stageTimestamp\":\"{end}\"}}"
        )
        .unwrap();
    }
    write(&dir.path().join("audit.log"), &text);
    diagnose(dir.path())
}

#[test]
fn lists_out_of_the_cache_are_no_heavy_ones() {
    assert_eq!(failures(&lists(""), "client-heavy-lists").len(), 1);
    for query in [
        "?resourceVersion=0",
        "?fieldSelector=metadata.name%3Dfoo&resourceVersion=123",
        "?limit=500",
    ] {
        let found = failures(&lists(query), "client-heavy-lists");
        assert!(found.is_empty(), "{query}: {found:?}");
    }
}

#[test]
fn an_etcd_that_refuses_its_flags_starts_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |n: u32| {
        line(
            n * 60,
            "warn",
            "\"msg\":\"failed to verify flags\",\"error\":\"--election-timeout[1000ms] should be at \
             least as 5 times as --heartbeat-interval[500ms]\"",
        )
    };
    etcd_log(dir.path(), "n1", &(0..8).map(refused).collect::<String>());
    let report = diagnose(dir.path());
    assert_eq!(failures(&report, "component-restarting").len(), 1);
    let said = failures(&report, "setting-refused");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, "critical");
    assert_eq!(report["verdict"]["cause"], "config");
}

#[test]
fn a_value_that_is_refused_is_told_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir.path().join("manifests/kube-apiserver.yaml"),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n\
         \x20 containers:\n  - name: kube-apiserver\n    image: registry.k8s.io/kube-apiserver:v1.34.2\n\
         \x20   command: [kube-apiserver, --event-ttl=1d, --etcd-servers=https://127.0.0.1:2379]\n",
    );
    let report = diagnose(dir.path());
    let found = failures(&report, "setting-refused");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "critical");
    assert_eq!(report["verdict"]["cause"], "config");
}

#[test]
fn settings_that_cannot_be_read_are_missing_to_the_strict() {
    let dir = tempfile::tempdir().unwrap();
    let api = |flags: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: kube-apiserver, namespace: kube-system}}\nspec:\n\
             \x20 containers:\n  - name: kube-apiserver\n    image: registry.k8s.io/kube-apiserver:v1.34.2\n\
             \x20   command: [kube-apiserver, {flags}--etcd-servers=https://127.0.0.1:2379]\n"
        )
    };
    write(&dir.path().join("manifests/kube-apiserver.yaml"), &api(""));
    let code = |strict: &[&str]| {
        let args = [&["check", "config"], strict, &["--bundle"]].concat();
        doctor(&args).path(dir.path()).output().status.code()
    };
    assert_eq!((code(&[]), code(&["--strict"])), (Some(0), Some(0)));
    // A tab in its indentation.
    write(
        &dir.path().join("manifests/etcd.yaml"),
        "apiVersion: v1\nkind: Pod\nspec:\n\tcontainers: []\n",
    );
    assert_eq!((code(&[]), code(&["--strict"])), (Some(0), Some(3)));
}

#[test]
fn a_file_that_waits_for_a_restart_is_not_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = line(
        0,
        "info",
        "\"msg\":\"starting an etcd server\",\"etcd-version\":\"3.6.5\",\"name\":\"n1\",\
         \"data-dir\":\"/var/lib/etcd\",\"quota-backend-bytes\":2147483648",
    );
    for n in 1..4 {
        text += &line(
            n * 300,
            "info",
            "\"msg\":\"finished scheduled compaction\",\"compact-revision\":9000000,\"took\":\"310ms\",\
             \"current-db-size-bytes\":2140000000,\"current-db-size-in-use-bytes\":2000000000",
        );
    }
    write(&dir.path().join("n1/logs/etcd.log"), &text);
    write(
        &dir.path().join("n1/manifests/etcd.yaml"),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec:\n\
         \x20 containers:\n  - name: etcd\n    image: registry.k8s.io/etcd:3.6.5-0\n\
         \x20   command: [etcd, --name=n1, --quota-backend-bytes=8589934592]\n",
    );
    let report = diagnose(dir.path());
    assert_eq!(failures(&report, "settings-not-applied").len(), 1);
    assert_eq!(failures(&report, "quota-near-limit")[0].0, "critical");
    assert_eq!(report["verdict"]["cause"], "space");
}

#[test]
fn a_slow_disk_of_the_etcd_for_events_accuses_no_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let uid = "0123456789abcdef0123456789abcdef";
    let log = |pod: &str, container: &str, text: String| {
        let path = format!("logs/var/log/pods/kube-system_{pod}_{uid}/{container}/0.log");
        write(&dir.path().join(path), &text);
    };
    let ready = |secs| line(secs, "info", "\"msg\":\"ready to serve client requests\"");
    log(
        "etcd-cp0",
        "etcd",
        start(0, "cp0", "3.5.33") + &ready(1) + &ready(3_000),
    );
    let mut events = start(0, "cp0-events", "3.5.33") + &ready(1);
    for at in 1..=9 {
        events += &line(
            at * 60,
            "warn",
            "\"msg\":\"slow fdatasync\",\"took\":\"1.5s\",\"expected-duration\":\"1s\"",
        );
    }
    log("etcd-events-cp0", "etcd-events", events);
    let report = diagnose(dir.path());
    let stalled: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["status"] == "fail")
        .filter(|finding| {
            finding["rule"] == "wal-sync-stalled" || finding["rule"] == "member-odd-one-out"
        })
        .collect();
    // Two etcds of one node are no members of one cluster, of which one stands out.
    assert_eq!(stalled.len(), 1, "{stalled:?}");
    assert!(
        stalled[0]["subject"].to_string().contains("cp0/events"),
        "{stalled:?}"
    );
    let advice = report["advice"].as_array().unwrap();
    let device = advice
        .iter()
        .find(|advice| advice["id"] == "etcd-own-device");
    assert_eq!(device.unwrap()["target"], "etcd-events");
}

#[test]
fn a_family_that_was_not_scraped_is_no_zero() {
    let dir = tempfile::tempdir().unwrap();
    let scrape = |minute: u32, rejected: u32, executed: Option<u32>| {
        let level = "flow_schema=\"s\",priority_level=\"workload-low\"";
        let executed = executed.map_or_else(String::new, |count| {
            format!("apiserver_flowcontrol_dispatched_requests_total{{{level}}} {count}\n")
        });
        write(
            &dir.path().join(format!(
                "kube-apiserver-m0-20261129T10{minute:02}00.000Z.prom"
            )),
            &format!(
                "process_start_time_seconds 1.7e9\n\
                 apiserver_request_total{{verb=\"GET\",code=\"200\",resource=\"pods\",scope=\"namespace\"}} {rejected}\n\
                 apiserver_flowcontrol_nominal_limit_seats{{priority_level=\"workload-low\"}} 245\n\
                 apiserver_flowcontrol_rejected_requests_total{{{level},reason=\"queue-full\"}} {rejected}\n{executed}"
            ),
        );
    };
    let row = || {
        let text = doctor(&["metrics"]).path(dir.path()).text();
        let row = text.lines().find(|line| line.starts_with("workload-low"));
        let row = row.unwrap_or_else(|| panic!("no level: {text}")).to_owned();
        row.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    scrape(0, 1000, None);
    scrape(1, 1100, None);
    let cells = row();
    assert_eq!(
        (cells[6].as_str(), cells[7].as_str()),
        ("–", "100"),
        "{cells:?}"
    );
    scrape(0, 1000, Some(5));
    scrape(1, 1100, Some(5));
    let cells = row();
    assert_eq!(
        (cells[6].as_str(), cells[7].as_str()),
        ("0", "100"),
        "{cells:?}"
    );
}
