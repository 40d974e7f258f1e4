//! Single lines that are easily read wrong: torn, of odd versions, in wrappers of exports, and what
//! counts as slow.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test of the binary on lines of its own, which are ASCII where they are cut"
)]

mod support;

use serde_json::{Value, json};

use support::{doctor, events};

/// Each line alone, with what its one event must say; `null` is also a field that is not there.
fn each_says(lines: &[(&str, Value)]) {
    for (line, expected) in lines {
        let found = events(line);
        let [event] = found.as_slice() else {
            panic!("{} events of {line}", found.len());
        };
        for (name, value) in expected.as_object().unwrap() {
            let said = event.get(name).unwrap_or(&Value::Null);
            assert_eq!(said, value, "{name} of {line}");
        }
    }
}

#[test]
fn half_a_line_is_not_taken_for_a_whole_one() {
    const AUDIT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"6f268b7f","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/default/secrets?fieldManager=x","verb":"create","user":{"username":"admin"},"sourceIPs":["192.0.2.1"],"userAgent":"kubectl/v1.23.5","objectRef":{"resource":"#;
    each_says(&[
        // The address says what the object no longer does.
        (
            &format!(r#"{AUDIT}"secre"#),
            json!({"resource": "secrets", "namespace": "default", "verb": "create"}),
        ),
        (
            &format!(r#"{AUDIT}"secrets","namespace":"def"#),
            json!({"resource": "secrets", "namespace": "default"}),
        ),
        (
            r#"I0331 23:00:06.848003      10 trace.go:205] Trace[638277422]: "List" url:/api/v1/pods,user-agent:x/1,client:192.0.2.1 (31-Mar-2022 23:00:04.575) (total time: 2272m"#,
            json!({"kind": "apiserver-trace", "took_ms": null}),
        ),
        (
            "Trace[37883267]: [871.755732m",
            json!({"kind": "apiserver-trace-step", "took_ms": null}),
        ),
        (
            r#"I1008 04:37:11.770951       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/p"#,
            json!({"kind": "http-log", "resource": null}),
        ),
        (
            r#"I1008 04:37:11.770951       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/pods" latency="1.5s" userAgent="ua" audit-ID="e2" srcIP="192.0"#,
            json!({"resource": "pods", "client": null}),
        ),
        (
            r#"I1008 04:37:11.770951       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/pods" latency="1.5s" userAgent="ua" audit-ID="e2" srcIP="192.0.2.1:1234" resp=20"#,
            json!({"resource": "pods", "status": null}),
        ),
        (
            r#"{"level":"warn","ts":"2024-03-13T08:46:25.065000Z","caller":"embed/config_logging.go:160","msg":"rejected connection","remote-addr":"192.0"#,
            json!({"kind": "rejected-connection", "client": null}),
        ),
        (
            r#"{"level":"warn","ts":"2021-11-21T04:05:20.111Z","caller":"etcdserver/util.go:166","msg":"apply request took too long","took":"252ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" limit:5"#,
            json!({"kind": "slow-apply", "resource": "pods", "limit": null}),
        ),
    ]);
}

#[test]
fn one_failed_list_has_one_error_in_every_wording() {
    const TEXT: &str = r#"E1120 10:00:08.000022       1 reflector.go:150] k8s.io/client-go/informers/factory.go:160: Failed to watch *v1.Node: failed to list *v1.Node: Get "https://10.0.0.1:6443/api/v1/nodes?limit=500": connect: connection refused"#;
    const HANDLED: &str = r#"E1120 10:00:00.000022       1 reflector.go:158] "Unhandled Error" err="k8s.io/client-go/informers/factory.go:160: Failed to watch *v1.Node: failed to list *v1.Node: Get \"https://10.0.0.1:6443/api/v1/nodes?limit=500\": connect: connection refused" logger="UnhandledError""#;
    const STRUCTURED: &str = r#"E1120 10:00:07.000022       1 reflector.go:205] "Failed to watch" err="failed to list *v1.Node: Get \"https://10.0.0.1:6443/api/v1/nodes?limit=500\": connect: connection refused" logger="UnhandledError" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.Node""#;
    const JSON: &str = r#"{"ts":1763632800000.022,"logger":"UnhandledError","caller":"cache/reflector.go:158","msg":"Unhandled Error","err":"k8s.io/client-go/informers/factory.go:160: Failed to watch *v1.Node: failed to list *v1.Node: Get \"https://10.0.0.1:6443/api/v1/nodes?limit=500\": connect: connection refused","stacktrace":"x"}"#;
    let said = json!({
        "kind": "reflector-list-failed",
        "object_type": "*v1.Node",
        "error": r#"Get "https://10.0.0.1:6443/api/v1/nodes?limit=500": connect: connection refused"#,
    });
    each_says(&[TEXT, HANDLED, STRUCTURED, JSON].map(|line| (line, said.clone())));
}

#[test]
fn steps_of_a_trace_are_whose_its_header_is() {
    let components = |header: &str| -> Vec<Value> {
        let all = events(format!("{header}\nTrace[7]: [2.272s] [2.272s] END"));
        all.iter().map(|event| event["component"].clone()).collect()
    };
    let apiserver = r#"I0331 23:00:06.848003      10 trace.go:205] Trace[7]: "List" url:/api/v1/pods,user-agent:x/1,client:192.0.2.1 (31-Mar-2022 23:00:04.575) (total time: 2272ms):"#;
    let scheduler = r#"I0331 23:00:06.848003      10 trace.go:205] Trace[7]: "Scheduling" namespace:a,name:b (31-Mar-2022 23:00:04.575) (total time: 2272ms):"#;
    assert_eq!(components(apiserver), ["kube-apiserver", "kube-apiserver"]);
    assert_eq!(components(scheduler), [Value::Null, Value::Null]);
}

#[test]
fn calls_that_are_no_entry_of_raft_are_requests_too() {
    let line = |method: &str| {
        format!(
            r#"{{"level":"warn","ts":"2026-11-20T10:00:00.600000Z","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"2026-11-20T10:00:00.1Z","time spent":"6s","remote":"10.0.0.7:4","response type":"/etcdserverpb.{method}","request count":-1,"request size":-1,"response count":-1,"response size":-1,"request content":""}}"#
        )
    };
    for (method, operation, shape) in [
        ("Maintenance/Status", "status", "other"),
        ("Maintenance/HashKV", "hash_kv", "other"),
        ("Lease/LeaseTimeToLive", "lease_time_to_live", "lease"),
    ] {
        let said = json!({"operation": operation, "shape": shape, "request_id": "0-0"});
        each_says(&[(&line(method), said)]);
    }
}

#[test]
fn a_head_that_was_cut_off_makes_no_request_of_another_kind() {
    let text = r#"verb="POST" URL="https://127.0.0.1:6443/api/v1/namespaces/a/pods""#;
    assert!(events(text).iter().all(|event| event["kind"] != "http-log"));
}

#[test]
fn how_long_a_watch_or_a_shell_stood_is_no_latency() {
    const HTTP: &str = r#"I1008 04:37:11.770951       1 httplog.go:132] "HTTP" verb="VERB" URI="PATH" latency="8m1s" userAgent="ua" audit-ID="e2" srcIP="192.0.2.1:1234" resp=CODE"#;
    let line = |verb, path, code| {
        HTTP.replace("VERB", verb)
            .replace("PATH", path)
            .replace("CODE", code)
    };
    let pods = "/api/v1/pods?watch=true";
    let exec = "/api/v1/namespaces/a/pods/b/exec";
    each_says(&[
        (
            &line("WATCH", pods, "200"),
            json!({"verb": "watch", "took_ms": null}),
        ),
        (
            &line("WATCH", pods, "0"),
            json!({"verb": "watch", "took_ms": null}),
        ),
        (&line("CONNECT", exec, "101"), json!({"took_ms": null})),
        (&line("CONNECT", exec, "0"), json!({"took_ms": null})),
        (
            &line("GET", "/api/v1/namespaces/a/pods/b", "200"),
            json!({"took_ms": 481_000.0}),
        ),
    ]);
    // Counted as it is read.
    for (line, longest) in [
        (line("WATCH", pods, "200"), Value::Null),
        (line("WATCH", pods, "0"), Value::Null),
        (line("CONNECT", exec, "0"), Value::Null),
        (line("GET", "/api/v1/pods", "200"), json!(481_000.0)),
    ] {
        let output = doctor(&["logs", "--format", "json", "-"])
            .stdin(line.as_bytes())
            .output();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let event = &report["events"][0];
        assert_eq!(event["kind"], "http-log");
        assert_eq!(event["max_ms"], longest, "{line}");
    }
    const AUDIT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"URI","verb":"get","user":{"username":"u"},"sourceIPs":["192.0.2.1"],"userAgent":"k","objectRef":{"resource":"pods","namespace":"a","name":"b","apiVersion":"v1","subresource":"SUB"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2024-03-13T08:00:00.000000Z","stageTimestamp":"2024-03-13T08:10:00.000000Z"}"#;
    let audit = |uri, sub| AUDIT.replace("URI\",", uri).replace("SUB", sub);
    let log = "/api/v1/namespaces/a/pods/b/log\",";
    let followed = "/api/v1/namespaces/a/pods/b/log?follow=true\",";
    each_says(&[
        (&audit(followed, "log"), json!({"took_ms": null})),
        (&audit(log, "log"), json!({"took_ms": 600_000.0})),
        (&audit(log, "exec"), json!({"took_ms": null})),
        (&audit(log, "status"), json!({"took_ms": 600_000.0})),
    ]);
}

#[test]
fn paths_say_what_the_apiserver_makes_of_them() {
    let waited = |path: &str| {
        format!(
            "I1120 10:00:21.000000       1 request.go:665] Waited for 1.046146023s due to client-side throttling, not priority and fairness, request: GET:https://192.0.2.1:6443{path}"
        )
    };
    each_says(&[
        (
            &waited("/api/v1/watch/namespaces/default/pods"),
            json!({"verb": "watch", "resource": "pods", "namespace": "default"}),
        ),
        (
            &waited("/apis/apps/v1/watch/namespaces/a/deployments/b"),
            json!({"verb": "watch", "resource": "deployments", "name": "b"}),
        ),
        (
            &waited("/api/v1/namespaces/x/finalize").replace("GET:", "PUT:"),
            json!({"verb": "update", "resource": "namespaces", "subresource": "finalize"}),
        ),
        (
            &waited("/api/v1/pods").replace("GET:", "HEAD:"),
            json!({"verb": "list"}),
        ),
    ]);
}

#[test]
fn what_a_message_says_itself_comes_out() {
    each_says(&[
        (
            r#"{"level":"info","ts":"2026-11-21T20:04:04.119404Z","caller":"v3rpc/health.go:63","msg":"grpc service status changed","service":"","status":"NOT_SERVING"}"#,
            json!({"kind": "grpc-status-changed", "status": "NOT_SERVING"}),
        ),
        (
            "2026-11-21 19:32:22.517332 I | embed: name = m1",
            json!({"kind": "member-name", "name": "m1"}),
        ),
        (
            "2026-11-21 19:35:38.272508 I | etcdserver: alarm disarmed action:DEACTIVATE memberID:10276657743932975437 alarm:NOSPACE ",
            json!({"kind": "alarm-disarmed", "peer": "8e9e05c52164694d"}),
        ),
        // Early 3.4 wrote the two durations the wrong way round.
        (
            r#"{"level":"warn","ts":"2024-12-28T08:48:44.522403Z","caller":"rafthttp/probing_status.go:82","msg":"prober found high clock drift","round-tripper-name":"ROUND_TRIPPER_SNAPSHOT","remote-peer-id":"4df3de4b88bd271","clock-drift":"1.2ms","rtt":"5m2s"}"#,
            json!({"kind": "clock-drift", "took_ms": 302_000.0, "rtt_ms": 1.2}),
        ),
        (
            r#"{"level":"warn","ts":"2024-12-28T08:48:44.522403Z","caller":"rafthttp/probing_status.go:82","msg":"prober found high clock drift","round-tripper-name":"ROUND_TRIPPER_SNAPSHOT","remote-peer-id":"4df3de4b88bd271","clock-drift":"5m2s","rtt":"1.2ms"}"#,
            json!({"kind": "clock-drift", "took_ms": 302_000.0, "rtt_ms": 1.2}),
        ),
        (
            r#"{"level":"error","ts":"2024-03-13T08:46:25.065000Z","caller":"etcdhttp/health.go:280","msg":"Health check error","path":"/readyz","reason":"[-]read_index failed: etcdserver: request timed out\n","status-code":503}"#,
            json!({"kind": "health-error", "status": 503}),
        ),
        (
            r#"{"level":"error","ts":"2024-03-13T08:46:25.065000Z","caller":"etcdhttp/health.go:280","msg":"Health check error","path":"/readyz","reason":"[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n","status-code":503}"#,
            json!({"kind": "health-alarm", "alarm": "CORRUPT"}),
        ),
        (
            r#"I0205 13:35:21.293404 4121569 request.go:752] "Waited before sending request" delay="1.200875613s" reason="retries: 1, retry-after: 1s - retry-reason: 429" verb="GET" URL="https://cp1:6443/api/v1/pods""#,
            json!({"kind": "server-wait", "reason": "retries: 1, retry-after: 1s - retry-reason: 429"}),
        ),
        (
            r#"W0114 13:59:01.123456       1 clientconn.go:1223] grpc: addrConn.createTransport failed to connect to {https://127.0.0.1:2379  <nil> 0 <nil>}. Err :connection error: desc = "transport: Error while dialing dial tcp 127.0.0.1:2379: connect: connection refused". Reconnecting..."#,
            json!({"kind": "grpc-connect-failed"}),
        ),
        (
            "W0114 13:59:07.123456       1 reflector.go:568] k8s.io/client-go/informers/factory.go:134: watch of *v1.Pod returned 429 - backing off",
            json!({"kind": "reflector-watch-refused"}),
        ),
    ]);
}

#[test]
fn failed_checks_of_the_apiserver_are_named_and_starting_is_no_fault() {
    each_says(&[
        (
            "I0331 23:00:06.844303      10 healthz.go:257] etcd,etcd-readiness check failed: readyz",
            json!({"kind": "apiserver-health-failed", "checks": "etcd,etcd-readiness"}),
        ),
        (
            "[-]etcd failed: error getting data from etcd: context deadline exceeded",
            json!({"kind": "apiserver-check", "error": "error getting data from etcd: context deadline exceeded"}),
        ),
        // In klog's JSON a record has all its lines.
        (
            r#"{"ts":1738557840904.059,"caller":"healthz/healthz.go:261","msg":"etcd check failed: livez\n[-]etcd failed: too slow\n","v":2}"#,
            json!({"kind": "apiserver-health-failed", "checks": "etcd", "error": "too slow"}),
        ),
        (
            "I0331 23:00:07.844303      10 healthz.go:261] informer-sync,poststarthook/rbac/bootstrap-roles check failed: readyz",
            json!({"kind": "apiserver-not-ready", "checks": "informer-sync,poststarthook/rbac/bootstrap-roles"}),
        ),
        // Its own etcd client connects while it starts.
        (
            "I0331 23:00:07.944303      10 healthz.go:261] etcd,poststarthook/rbac/bootstrap-roles check failed: readyz",
            json!({"kind": "apiserver-not-ready"}),
        ),
        (
            "I0331 23:00:08.844303      10 healthz.go:261] shutdown check failed: readyz",
            json!({"kind": "apiserver-not-ready"}),
        ),
    ]);
}

#[test]
fn requests_have_the_name_that_etcd_gives_them() {
    let line = |request: &str| {
        format!(
            r#"{{"level":"warn","ts":"2021-11-21T04:05:20.111Z","caller":"etcdserver/util.go:166","msg":"apply request took too long","took":"252ms","expected-duration":"100ms","prefix":"","request":"header:<ID:7 > {request}","response":""}}"#
        )
    };
    each_says(&[
        (
            &line(r#"authenticate:<name:\"u\" simple_token:\"t\" >"#),
            json!({"operation": "authenticate"}),
        ),
        (
            &line(r#"auth_user_add:<name:\"u\" password:\"t\" >"#),
            json!({"operation": "auth_user_add"}),
        ),
        (
            &line(r#"downgrade_info_set:<enabled:true ver:\"3.5.0\" >"#),
            json!({"operation": "downgrade_info_set"}),
        ),
    ]);
}

#[test]
fn wrappers_of_exports_are_taken_off() {
    const ZAP: &str = r#"{"level":"warn","ts":"2021-11-21T04:05:20.111Z","caller":"etcdserver/util.go:166","msg":"apply request took too long","took":"252ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/a/b\" ","response":"range_response_count:1 size:9"}"#;
    let text = serde_json::to_string(ZAP).unwrap();
    let bare = events(ZAP);
    assert_eq!(bare.len(), 1);
    let wrapped = [
        format!(
            r#"{{"TenantId":"x","TimeGenerated":"2026-11-21T08:00:00.000Z","Category":"etcd","Level":"INFO","Message":{text},"PodName":"etcd-0","Stream":"stderr","Type":"AKSControlPlane"}}"#
        ),
        format!(
            r#"{{"TimeGenerated":"2026-11-21T08:00:00.000Z","Category":"etcd","log_s":{text},"pod_s":"x","stream_s":"stderr"}}"#
        ),
        format!(
            r#"{{"TimeGenerated":"2026-11-21T08:00:00.000Z","LogMessage":{text},"PodName":"etcd-0"}}"#
        ),
        format!(r#"{{"time":1795000000.1,"host":"cp0","source":"/var/log/x","event":{text}}}"#),
        format!(r#"{{"time":1795000000.1,"host":"cp0","event":{ZAP}}}"#),
        format!(
            r#"{{"version":"1.1","host":"cp0","short_message":{text},"timestamp":1795000000.1,"level":6}}"#
        ),
        format!(
            r#"{{"Timestamp":"2026-11-21T08:00:00.000Z","SeverityText":"INFO","Body":{text},"Resource":{{"k8s.container.name":"etcd"}}}}"#
        ),
        format!(
            r#"{{"timereported":"2026-11-21T08:00:00.000Z","hostname":"cp0","syslogtag":"etcd[1]:","msg":" {}}}"#,
            &text[1..]
        ),
        format!(r#"{{"log_processed":{ZAP},"stream":"stderr","time":"2026-11-21T08:00:00.000Z"}}"#),
    ];
    for line in wrapped {
        let found = events(&line);
        assert_eq!(found.len(), 1, "{line}");
        for name in ["kind", "time", "resource", "namespace", "name", "took_ms"] {
            assert_eq!(found[0][name], bare[0][name], "{name} of {line}");
        }
    }
    // Behind loose prefixes a trace's steps stay its own.
    let trace = "I1130 05:05:23.283747       1 trace.go:205] Trace[3788]: \"List etcd3\" key:/secrets,limit:10000,continue: (30-Nov-2025 05:05:22.411) (total time: 871ms):\nTrace[3788]: [871.755732ms] [871.755732ms] END\n";
    let kinds = |text: &str| -> Vec<String> {
        let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
        events(text).iter().map(kind).collect()
    };
    let bare = kinds(trace);
    assert_eq!(bare.len(), 2);
    for prefix in [
        "etcd-cp0 etcd ",
        "[pod/etcd-cp0/etcd] 2026-11-21T08:00:00.000123456Z ",
        "apiserver  | ",
    ] {
        let lines = trace.lines().map(|line| format!("{prefix}{line}\n"));
        assert_eq!(kinds(&lines.collect::<String>()), bare, "{prefix}");
    }
}

#[test]
fn a_second_that_is_just_full_is_said_to_be_one() {
    let mut text = String::new();
    for second in 0..5 {
        for at in 0..100 {
            let line = format!(
                "{{\"level\":\"warn\",\"ts\":\"2021-11-21T04:05:0{second}.{:03}Z\",\"caller\":\"etcdserver/util.go:166\",\"msg\":\"apply request took too long\",\"took\":\"252ms\",\"expected-duration\":\"100ms\",\"prefix\":\"read-only range \",\"request\":\"key:\\\"/registry/pods/a/b{second}{at}\\\" \",\"response\":\"range_response_count:1 size:9\"}}\n",
                at * 9
            );
            text.push_str(&line);
        }
    }
    let run = |args: &[&str]| {
        let output = doctor(args).stdin(text.as_bytes()).output();
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&run(&["logs", "--format", "json", "-"])).unwrap();
    assert_eq!(report["requests"]["sampled_lines"], 0);
    assert_eq!(report["requests"]["full_lines"], 500);
    assert_eq!(report["requests"]["estimate"]["low"], 500);
    assert!(report["requests"]["estimate"]["high"].as_u64() > Some(900));
    let table = run(&["logs", "-"]);
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("The logger may have left lines out"),
        "{table}"
    );
}

#[test]
fn a_compressed_copy_beside_its_log_counts_once() {
    use std::io::Write as _;
    const LINE: &str = r#"{"level":"warn","ts":"2021-11-21T04:05:20.111Z","caller":"etcdserver/util.go:166","msg":"apply request took too long","took":"252ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/a/b\" ","response":"range_response_count:1 size:9"}"#;
    let text = format!("{LINE}\n").repeat(70);
    let gz = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    for (packed, joined) in [
        (text.clone(), 70),
        // Another log of the same length.
        (text.replace("04:05", "05:05"), 140),
        (text.replace("04:05", "05:05") + &text, 210),
    ] {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("etcd.log"), &text).unwrap();
        std::fs::write(home.path().join("etcd.log.gz"), gz(&packed)).unwrap();
        let output = doctor(&["logs", "--format", "json"])
            .path(home.path())
            .output();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["requests"]["seen"], joined);
        let copies = u64::from(joined == 70);
        let skipped = report["coverage"]["skipped"]["duplicates"].as_u64();
        assert_eq!(skipped.unwrap_or(0), copies);
    }
}
