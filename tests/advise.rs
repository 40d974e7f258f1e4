//! `advise` through the binary: controllers of declared bundles, recordings, and manifests on
//! standard input. The right knob of the right component, and none for the innocent ones.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over its own fixtures"
)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use support::{doctor, fixtures};

fn advised(bundle: &str) -> Value {
    doctor(&["advise", "--format", "json", "--bundle"])
        .path(fixtures().join(bundle))
        .json()
}

/// `TARGET SETTING = PROPOSED` of all advice with a strength.
fn set(report: &Value, strength: &str) -> BTreeSet<String> {
    report["advice"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|advice| advice["strength"] == strength)
        .map(|advice| {
            format!(
                "{} {} = {}",
                advice["target"].as_str().unwrap(),
                advice["setting"].as_str().unwrap(),
                advice["proposed"].as_str().unwrap()
            )
        })
        .collect()
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn three_managers_get_what_is_published_for_a_thousand_clusters() {
    let report = advised("metal3");
    assert_eq!(
        set(&report, "recommended"),
        lines(
            "
            capi-controller-manager kube-api-qps = 100
            capi-controller-manager kube-api-burst = 200
            capi-controller-manager cluster-concurrency = 100
            capi-controller-manager machine-concurrency = 100
            capi-kubeadm-control-plane-controller-manager kube-api-qps = 100
            capi-kubeadm-control-plane-controller-manager kube-api-burst = 200
            capi-kubeadm-control-plane-controller-manager kubeadmcontrolplane-concurrency = 100
            capi-kubeadm-bootstrap-controller-manager kube-api-qps = 100
            capi-kubeadm-bootstrap-controller-manager kube-api-burst = 200
            capi-kubeadm-bootstrap-controller-manager kubeadmconfig-concurrency = 100
            "
        )
    );
    assert_eq!(set(&report, "candidate"), BTreeSet::new());
    let qps = &report["advice"][0];
    let why = qps["why"].as_str().unwrap();
    for part in [
        "20 requests a second at",
        "10 workers at",
        "looked at every 10m0s",
        "the limiter binds",
    ] {
        assert!(why.contains(part), "no `{part}` in {why}");
    }
    assert_eq!(qps["details"]["namespace"], "capi-system");
    assert_eq!(qps["details"]["container"], "manager");
    let view = report["controllers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|controller| controller["name"] == "capi-controller-manager")
        .unwrap();
    assert_eq!(view["controller"], "cluster-api");
    assert_eq!(view["version"], "1.7.2");
    assert_eq!(view["loops"][0]["binds"], "limiter");
}

#[test]
fn after_the_upgrade_nothing_crashes_and_no_value_equals_its_default() {
    let report = advised("metal3-1.13");
    assert_eq!(
        set(&report, "recommended"),
        lines(
            "
            capi-kubeadm-bootstrap-controller-manager cluster-concurrency = remove the flag
            capi-kubeadm-control-plane-controller-manager kube-api-qps = remove it: the default is 100
            capi-kubeadm-control-plane-controller-manager kube-api-burst = remove it: the default is 200
            capi-controller-manager cluster-concurrency = 100
            "
        )
    );
    assert_eq!(report["advice"][0]["remedy"], "safety");
    assert_eq!(
        report["advice"][0]["details"]["remove"],
        "cluster-concurrency"
    );
}

#[test]
fn advice_that_was_taken_is_not_given_again() {
    let report = advised("metal3-tuned");
    assert_eq!(report["advice"], Value::Array(Vec::new()));
    assert_eq!(report["not_advised"], Value::Array(Vec::new()));
}

#[test]
fn the_pinned_loop_is_found_and_its_own_rate_raised() {
    let report = advised("openfaas");
    let wanted = lines(
        "
        gateway/operator leader_election = true
        gateway/operator kube_client_qps = 100
        gateway/operator kube_client_burst = 250
        gateway/operator reconcile_qps = 100
        gateway/operator reconcile_burst = 250
        ",
    );
    assert_eq!(set(&report, "recommended"), wanted);
    let pinned = report["advice"]
        .as_array()
        .unwrap()
        .iter()
        .find(|advice| advice["setting"] == "reconcile_qps")
        .unwrap();
    let why = pinned["why"].as_str().unwrap();
    assert!(why.contains("pinned: 10 a second"), "{why}");
    assert_eq!(pinned["details"]["helm"], "operator.reconcileQPS");
    assert_eq!(pinned["details"]["means"], "env");
    // The chart's values instead of the Deployment: the same advice by their paths.
    let values = doctor(&["advise", "--format", "json"])
        .path(fixtures().join("openfaas-values/values.yaml"))
        .arg("--bundle")
        .path(fixtures().join("openfaas/metrics"))
        .path(fixtures().join("openfaas/logs"))
        .json();
    assert_eq!(
        set(&values, "recommended"),
        lines(
            "
            gateway/operator operator.leaderElection.enabled = true
            gateway/operator operator.kubeClientQPS = 100
            gateway/operator operator.kubeClientBurst = 250
            gateway/operator operator.reconcileQPS = 100
            gateway/operator operator.reconcileBurst = 250
            "
        )
    );
}

/// What recordings with a known cause must get, and nothing else of these kinds.
#[test]
fn recordings_get_the_knob_of_their_cause() {
    let scaling = |report: &Value| -> BTreeSet<String> {
        report["advice"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|advice| {
                let remedy = advice["remedy"].as_str().unwrap();
                let strong = advice["strength"] == "recommended";
                strong
                    && matches!(
                        remedy,
                        "shard" | "client-limits" | "inflight" | "space" | "disk"
                    )
            })
            .map(|advice| {
                format!(
                    "{} {} = {}",
                    advice["target"].as_str().unwrap(),
                    advice["setting"].as_str().unwrap(),
                    advice["proposed"].as_str().unwrap()
                )
            })
            .collect()
    };
    for (recording, wanted) in [
        ("hot-loop", ""),
        ("events-flood", ""),
        (
            "inflight-429",
            "kube-apiserver max-requests-inflight = 400
             kube-apiserver max-mutating-requests-inflight = 200",
        ),
    ] {
        let report = advised(&format!("captures/{recording}.tar.zst"));
        assert_eq!(scaling(&report), lines(wanted), "{recording}");
        let first = &report["advice"][0];
        assert_eq!(first["remedy"], "client", "{recording}: {first}");
    }
    assert_eq!(
        advised("captures/healthy.tar.zst")["advice"],
        Value::Array(Vec::new())
    );
    let demo = doctor(&["advise", "--format", "json", "--bundle"])
        .path(fixtures().join("../../demo/kcm-throttled.tar.zst"))
        .json();
    assert_eq!(
        set(&demo, "recommended"),
        lines(
            "kube-controller-manager kube-api-qps = 20
             kube-controller-manager kube-api-burst = 30"
        )
    );
    assert_eq!(set(&demo, "candidate"), BTreeSet::new());
}

#[test]
fn controllers_that_log_json_and_lie_loose_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("logs")).unwrap();
    fs::create_dir_all(at("manifests")).unwrap();
    let mut zap = String::new();
    let mut klog = String::new();
    for n in 0..50 {
        let (minute, second) = (n / 20, n * 3 % 60);
        writeln!(zap,
            "{{\"level\":\"info\",\"ts\":\"2026-05-01T10:{minute:02}:{second:02}.000Z\",\"msg\":\"Waited for 2.5s due to client-side throttling, not priority and fairness, request: GET:https://10.0.0.1:443/apis/apps/v1/namespaces/a/deployments/b{n}\"}}").unwrap();
        writeln!(klog,
            "I0501 10:{minute:02}:{second:02}.000000       1 request.go:752] \"Waited before sending request\" delay=\"2.5s\" reason=\"client-side throttling, not priority and fairness\" verb=\"GET\" URL=\"https://10.0.0.1:443/api/v1/namespaces/a/secrets/b{n}\"").unwrap();
    }
    fs::write(at("logs/kustomize-controller.log"), zap).unwrap();
    fs::write(at("logs/external-secrets.log"), klog).unwrap();
    fs::write(
        at("manifests/all.yaml"),
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: kustomize-controller, namespace: flux-system}\nspec: {template: {spec: {containers: [{name: manager, image: 'ghcr.io/fluxcd/kustomize-controller:v1.3.0', args: [--kube-api-qps=20]}]}}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: external-secrets, namespace: external-secrets}\nspec: {template: {spec: {containers: [{name: external-secrets, image: 'ghcr.io/external-secrets/external-secrets:v0.9.13', args: [--concurrent=1]}]}}}\n",
    )
    .unwrap();
    let report = doctor(&["advise", "--format", "json", "--bundle"])
        .path(dir.path())
        .json();
    assert_eq!(
        set(&report, "recommended"),
        lines(
            "
            kustomize-controller kube-api-qps = 50
            external-secrets client-qps = 100
            "
        )
    );
}

const DEPLOYMENTS: &str = include_str!("fixtures/metal3/manifests/deployments.yaml");

#[test]
fn manifests_on_standard_input_yaml_json_and_crlf() {
    let names = |text: &str| -> Vec<String> {
        let report = doctor(&["advise", "--format", "json", "-"])
            .stdin(text.as_bytes())
            .json();
        assert_eq!(
            report["advice"],
            Value::Array(Vec::new()),
            "settings alone are no evidence"
        );
        report["controllers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                format!(
                    "{} {}",
                    one["controller"].as_str().unwrap(),
                    one["version"].as_str().unwrap()
                )
            })
            .collect()
    };
    let wanted = [
        "cluster-api 1.7.2",
        "cluster-api-bootstrap-kubeadm 1.7.2",
        "cluster-api-control-plane-kubeadm 1.7.2",
        "metal3 1.7.0",
    ];
    assert_eq!(names(DEPLOYMENTS), wanted);
    assert_eq!(names(&DEPLOYMENTS.replace('\n', "\r\n")), wanted);
    let json = r#"{
        "apiVersion": "v1",
        "kind": "List",
        "items": [{
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cert-manager", "namespace": "cert-manager"},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [{
                "name": "cert-manager-controller",
                "image": "quay.io/jetstack/cert-manager-controller:v1.15.1",
                "args": ["--v=2", "--kube-api-qps=40"]
            }]}}}
        }]
    }"#;
    assert_eq!(names(json), ["cert-manager 1.15.1"]);
}

#[test]
fn what_is_wrong_in_manifests_alone() {
    let removed = DEPLOYMENTS.replace("v1.7.2", "v1.13.0").replacen(
        "          - --v=2\n",
        "          - --v=2\n          - --cluster-concurrency=100\n",
        3,
    );
    let report = doctor(&["advise", "--format", "json", "-"])
        .stdin(removed.as_bytes())
        .json();
    // The core manager knows the flag, the bootstrap manager does not any more.
    assert_eq!(
        set(&report, "recommended"),
        lines("capi-kubeadm-bootstrap-controller-manager cluster-concurrency = remove the flag")
    );
    let two = DEPLOYMENTS
        .replacen("replicas: 1", "replicas: 2", 1)
        .replacen(
            "        - --leader-elect\n",
            "        - --leader-elect=false\n",
            1,
        )
        .replacen(
            "          - --leader-elect\n",
            "          - --leader-elect=false\n",
            1,
        );
    let report = doctor(&["advise", "--format", "json", "-"])
        .stdin(two.as_bytes())
        .json();
    assert_eq!(
        set(&report, "recommended"),
        lines("capi-controller-manager leader-elect = true")
    );
}

#[test]
fn pods_and_old_revisions_are_their_deployment() {
    let text = r#"
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: capi-controller-manager, namespace: capi-system}
  spec: {replicas: 1, template: {spec: {containers: [{name: manager, image: "r/cluster-api/cluster-api-controller:v1.9.0", args: [--kube-api-qps=50]}]}}}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: capi-controller-manager-6b8d9f7c5d, ownerReferences: [{kind: Deployment, name: capi-controller-manager}]}
  spec: {replicas: 0, template: {spec: {containers: [{name: manager, image: "r/cluster-api/cluster-api-controller:v1.4.0", args: []}]}}}
- apiVersion: v1
  kind: Pod
  metadata: {name: capi-controller-manager-7b8d9f7c5d-x2x9z, ownerReferences: [{kind: ReplicaSet, name: capi-controller-manager-7b8d9f7c5d}]}
  spec: {nodeName: w1, containers: [{name: manager, image: "r/cluster-api/cluster-api-controller:v1.9.0", args: [--kube-api-qps=50]}]}
"#;
    let report = doctor(&["advise", "--format", "json", "-"])
        .stdin(text.as_bytes())
        .json();
    let controllers = report["controllers"].as_array().unwrap();
    assert_eq!(controllers.len(), 1, "{controllers:?}");
    assert_eq!(controllers[0]["version"], "1.9.0");
    assert_eq!(controllers[0]["knobs"][0]["value"], "50");
}

#[test]
fn what_cannot_be_read_is_said() {
    let text = doctor(&["advise", "-"]).stdin(b"hello there\n").text();
    assert!(
        !text.contains("exit 0") && text.contains("no manifest"),
        "{text}"
    );
    let text = doctor(&["advise", "-"])
        .stdin(b"kind: Deployment\nspec: {{ .Values.x }}\n\tx: 1\n")
        .text();
    assert!(text.contains("line "), "{text}");
    let text = doctor(&["advise", "no-such-file"]).text();
    assert!(text.contains("no-such-file"), "{text}");
}

#[test]
fn tables_fit_the_terminal_and_hold_both_bounds() {
    let told = doctor(&[
        "advise",
        "--width",
        "100",
        "--target",
        "capi-controller-manager",
        "--bundle",
    ])
    .path(fixtures().join("metal3"))
    .text();
    for line in told.lines() {
        assert!(line.chars().count() <= 110, "{line}");
    }
    let head: Vec<&str> = told.lines().take(24).collect();
    insta::assert_snapshot!(head.join("\n"));
}

#[test]
fn every_advice_cites_the_findings_that_ask_for_it() {
    let mut bundles: Vec<std::path::PathBuf> = fs::read_dir(fixtures().join("captures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for name in [
        "metal3",
        "openfaas",
        "paypal",
        "paypal-twin-counts",
        "paypal-twin-disk",
    ] {
        bundles.push(fixtures().join(name));
    }
    for bundle in bundles {
        let report = doctor(&["diagnose", "--format", "json", "--bundle"])
            .path(&bundle)
            .json();
        let list = |name: &str| report[name].as_array().unwrap().clone();
        let failed: BTreeSet<String> = list("findings")
            .iter()
            .filter(|finding| finding["status"] == "fail")
            .map(|finding| finding["rule"].as_str().unwrap().to_owned())
            .collect();
        for advice in list("advice").iter().chain(&list("not_advised")) {
            let id = advice["id"].as_str().unwrap();
            let cited = advice["finding_ids"].as_array().unwrap();
            // What a controller does is measured, and no rule judges it.
            let measured = ["client", "client-limits", "hygiene"]
                .contains(&advice["remedy"].as_str().unwrap());
            assert!(
                measured || !cited.is_empty(),
                "{}: no finding asks for {id}",
                bundle.display()
            );
            for rule in cited {
                assert!(
                    failed.contains(rule.as_str().unwrap()),
                    "{}: {id} cites {rule}, which did not fail",
                    bundle.display()
                );
            }
        }
    }
}

#[test]
fn the_report_of_advise_is_what_patch_reads() {
    let out = tempfile::tempdir().unwrap();
    let report = out.path().join("advice.json");
    let advice = doctor(&["advise", "--format", "json", "--bundle"])
        .path(fixtures().join("paypal"))
        .output();
    fs::write(&report, &advice.stdout).unwrap();
    let told = doctor(&[
        "patch", "--format", "json", "--target", "kubeadm", "--report",
    ])
    .path(&report)
    .arg("--manifests")
    .path(fixtures().join("paypal/manifests"))
    .arg("--out")
    .path(out.path().join("patch"))
    .json();
    let files = told["files"].as_array().unwrap();
    assert!(files.len() > 3, "{told}");
    let scheduler =
        fs::read_to_string(out.path().join("patch/manifests/kube-scheduler.yaml")).unwrap();
    assert!(
        scheduler.contains("--leader-elect-lease-duration=60s"),
        "{scheduler}"
    );
}
