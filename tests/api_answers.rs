//! What kube-apiserver answers with errors, 429 or not at all: scrapes and audit logs of a few lines,
//! through the whole program.
#![expect(
    clippy::unwrap_used,
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

/// A family's name and type, and its series with their values in two scrapes.
type Family<'f> = (&'f str, &'f str, &'f [(&'f str, f64, f64)]);

/// Two scrapes of a kube-apiserver, 150 s apart, of lines that end with the value of each.
fn scraped(dir: &Path, families: &[Family<'_>]) {
    let always = [(
        "apiserver_request_total",
        "counter",
        &[(
            r#"code="200",component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1""#,
            10.0,
            1010.0,
        )][..],
    )];
    for (at, time) in ["20261121T203026.549Z", "20261121T203256.843Z"]
        .iter()
        .enumerate()
    {
        let mut text = String::from(
            "# TYPE kubernetes_build_info gauge\nkubernetes_build_info{git_version=\"v1.30.1\"} 1\n\
             # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.7952e+09\n",
        );
        let mut typed = Vec::new();
        for (name, kind, rows) in always.iter().chain(families) {
            let family = name
                .trim_end_matches("_bucket")
                .trim_end_matches("_sum")
                .trim_end_matches("_count");
            if !typed.contains(&family) {
                typed.push(family);
                writeln!(text, "# TYPE {family} {kind}").unwrap();
            }
            for (labels, first, last) in *rows {
                let value = if at == 0 { first } else { last };
                writeln!(text, "{name}{{{labels}}} {value}").unwrap();
            }
        }
        let file = format!("metrics/kube-apiserver-cp0-{time}.prom");
        write(&dir.join(file), &text);
    }
}

fn diagnose(dir: &Path) -> Value {
    doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(dir)
        .json()
}

/// Severity and message of each failure of a rule.
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

fn of(families: &[Family<'_>]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    scraped(dir.path(), families);
    diagnose(dir.path())
}

const LIST_429: &str = r#"code="429",component="apiserver",group="",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1""#;
const EVICTION_429: &str = r#"code="429",component="apiserver",group="",resource="pods",scope="resource",subresource="eviction",verb="POST",version="v1""#;
const APF: (&str, &str, &[(&str, f64, f64)]) = (
    "apiserver_flowcontrol_dispatched_requests_total",
    "counter",
    &[(
        r#"flow_schema="global-default",priority_level="global-default""#,
        5.0,
        900.0,
    )],
);

#[test]
fn answers_429_without_priority_and_fairness_are_saturation() {
    let report = of(&[
        (
            "apiserver_request_total",
            "counter",
            &[(LIST_429, 0.0, 5000.0)],
        ),
        (
            "apiserver_dropped_requests_total",
            "counter",
            &[(r#"requestKind="readOnly""#, 0.0, 5000.0)],
        ),
    ]);
    let found = failures(&report, "apf-rejections");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].1.starts_with("5000 of 6000 requests answered 429"),
        "{found:?}"
    );
    let causes = format!("{}{}", report["causes"], report["alternatives"]);
    assert!(causes.contains("apiserver-saturation"), "{causes}");
}

#[test]
fn priority_and_fairness_that_rejected_nothing_is_believed() {
    let report = of(&[
        (
            "apiserver_request_total",
            "counter",
            &[(LIST_429, 0.0, 600.0)],
        ),
        APF,
    ]);
    assert!(failures(&report, "apf-rejections").is_empty());
    let found = failures(&report, "requests-failing");
    assert!(
        found[0].1.contains("not by priority and fairness"),
        "{found:?}"
    );
    assert_eq!(report["verdict"]["cause"], "unknown");
}

#[test]
fn evictions_that_a_budget_holds_are_no_load() {
    for apf in [&[APF][..], &[]] {
        let mut families = vec![(
            "apiserver_request_total",
            "counter",
            &[(EVICTION_429, 0.0, 900.0)][..],
        )];
        families.extend(apf);
        let report = of(&families);
        assert!(failures(&report, "apf-rejections").is_empty());
        let found = failures(&report, "requests-failing");
        assert_eq!(found[0].0, "info", "{found:?}");
        assert!(found[0].1.contains("PodDisruptionBudget"), "{found:?}");
    }
}

#[test]
fn what_kube_apiserver_asks_besides_etcd_is_named() {
    let report = of(&[
        (
            "apiserver_admission_webhook_fail_open_count",
            "counter",
            &[(r#"name="a.example.com",type="validating""#, 0.0, 900.0)],
        ),
        (
            "apiserver_admission_webhook_rejection_count",
            "counter",
            &[
                (
                    r#"error_type="calling_webhook_error",name="b.example.com",operation="CREATE",rejection_code="500",type="validating""#,
                    0.0,
                    700.0,
                ),
                (
                    r#"error_type="no_error",name="c.example.com",operation="CREATE",rejection_code="403",type="validating""#,
                    0.0,
                    700.0,
                ),
            ],
        ),
        (
            "aggregator_unavailable_apiservice",
            "gauge",
            &[(r#"name="v1beta1.metrics.k8s.io""#, 1.0, 1.0)],
        ),
        (
            "aggregator_unavailable_apiservice_total",
            "counter",
            &[(
                r#"name="v1beta1.metrics.k8s.io",reason="FailedDiscoveryCheck""#,
                5.0,
                50.0,
            )],
        ),
        (
            "apiserver_envelope_encryption_kms_operations_latency_seconds_bucket",
            "histogram",
            &[
                (
                    r#"grpc_status_code="OK",le="1",method_name="/v2.KeyManagementService/Decrypt",provider_name="kms1""#,
                    0.0,
                    0.0,
                ),
                (
                    r#"grpc_status_code="OK",le="+Inf",method_name="/v2.KeyManagementService/Decrypt",provider_name="kms1""#,
                    0.0,
                    900.0,
                ),
            ],
        ),
        (
            "apiserver_envelope_encryption_kms_operations_latency_seconds_sum",
            "histogram",
            &[(
                r#"grpc_status_code="OK",method_name="/v2.KeyManagementService/Decrypt",provider_name="kms1""#,
                0.0,
                2160.0,
            )],
        ),
        (
            "apiserver_envelope_encryption_kms_operations_latency_seconds_count",
            "histogram",
            &[(
                r#"grpc_status_code="OK",method_name="/v2.KeyManagementService/Decrypt",provider_name="kms1""#,
                0.0,
                900.0,
            )],
        ),
    ]);
    let webhooks = failures(&report, "webhook-slow");
    let said = |text: &str| webhooks.iter().any(|(_, words)| words.contains(text));
    assert!(
        said("a.example.com could not be called: 900 requests went on without it"),
        "{webhooks:?}"
    );
    assert!(
        said("b.example.com could not be called: 700 were refused"),
        "{webhooks:?}"
    );
    // One that says no does its work.
    assert!(!said("c.example.com"), "{webhooks:?}");
    let apis = failures(&report, "apiservice-unavailable");
    assert!(
        apis[0]
            .1
            .contains("v1beta1.metrics.k8s.io is unavailable, found so 45 times"),
        "{apis:?}"
    );
    let kms = failures(&report, "kms-slow");
    assert!(
        kms[0].1.contains("kms1 took 2.4 s for each of 900 calls"),
        "{kms:?}"
    );
}

/// A record of the audit log, as kube-apiserver writes it.
fn record(n: u32, verb: &str, uri: &str, object: &str, code: u16) -> String {
    let at = format!(
        "2026-11-21T20:{:02}:{:02}.000000Z",
        30 + n / 60 % 20,
        n % 60
    );
    format!(
        "{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":\"{n}\",\
         \"stage\":\"ResponseComplete\",\"requestURI\":\"{uri}\",\"verb\":\"{verb}\",\
         \"user\":{{\"username\":\"jane\"}},\"sourceIPs\":[\"10.0.0.7\"],\"userAgent\":\"kubectl/v1.30.1\",\
         \"objectRef\":{{{object}}},\"responseStatus\":{{\"metadata\":{{}},\"code\":{code}}},\
         \"requestReceivedTimestamp\":\"{at}\",\"stageTimestamp\":\"{at}\"}}\n"
    )
}

fn audited(verb: &str, uri: &str, object: &str, code: u16) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..300)
        .map(|n| record(n, verb, uri, object, code))
        .collect();
    write(&dir.path().join("audit.log"), &text);
    diagnose(dir.path())
}

#[test]
fn codes_of_the_audit_log_are_told_apart() {
    let pods = r#""resource":"pods","namespace":"app","name":"web-1","apiVersion":"v1""#;
    let eviction = r#""resource":"pods","namespace":"app","name":"web-1","apiVersion":"v1","subresource":"eviction""#;
    let uri = "/api/v1/namespaces/app/pods/web-1";
    let report = audited("create", &format!("{uri}/eviction"), eviction, 429);
    assert!(failures(&report, "apf-rejections").is_empty());
    let held = failures(&report, "requests-failing");
    assert_eq!(held[0].0, "info", "{held:?}");
    let report = audited("get", uri, pods, 429);
    assert_eq!(failures(&report, "apf-rejections").len(), 1);
    let report = audited("get", uri, pods, 500);
    let failed = failures(&report, "requests-failing");
    assert!(
        failed[0]
            .1
            .contains("300 of them are get pods of kubectl/v1.30.1 (jane)"),
        "{failed:?}"
    );
    let report = audited("get", uri, pods, 504);
    assert!(failures(&report, "requests-failing").is_empty());
    let late = failures(&report, "apiserver-timeouts");
    assert!(
        late[0].1.starts_with("300 of 300 requests timed out (504)"),
        "{late:?}"
    );
}
