//! One line of etcd, one of 3.4's and one of kube-apiserver's in every wrapper, in two at once, in
//! every age of its timestamp and duration, and damaged: the events are those that a person reads.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test of the binary on lines of its own, which are ASCII where they are cut"
)]

mod support;

use serde_json::{Value, json};
use support::{doctor, events};

const ZAP: &str = r#"{"level":"warn","ts":"2023-03-13T08:46:25.065Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"123.5ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" ","response":"range_response_count:7 size:900"}"#;
const CAPNSLOG: &str = r#"2023-03-13 08:46:25.065123 W | etcdserver: read-only range request "key:\"/registry/pods/\" range_end:\"/registry/pods0\" " with result "range_response_count:7 size:900" took too long (123.5ms) to execute"#;
const KLOG: &str = r#"I0313 08:46:25.065123      10 trace.go:205] Trace[1]: "List" url:/api/v1/pods,user-agent:kubectl/v1.22 (linux/amd64) kubernetes/abc,audit-id:x,client:10.0.0.1,accept:application/json, */*,protocol:HTTP/2.0 (13-Mar-2023 08:46:24.000) (total time: 1065ms):"#;

/// Every input is one record; all are read in one run, a file of its own each, and compared.
fn hold(cases: &[(String, Vec<u8>, Value)]) {
    let home = tempfile::tempdir().unwrap();
    let mut run = doctor(&["logs", "--emit", "events", "--threads", "1"]);
    for (at, (_, input, _)) in cases.iter().enumerate() {
        let path = home.path().join(format!("case-{at:04}.txt"));
        std::fs::write(&path, input).unwrap();
        run = run.path(path);
    }
    let output = run.output();
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (at, (name, input, expected)) in cases.iter().enumerate() {
        let file = format!("case-{at:04}.txt");
        let of: Vec<&Value> = found
            .iter()
            .filter(|event| event["file"].as_str().unwrap().ends_with(&file))
            .collect();
        let shown = String::from_utf8_lossy(input);
        assert_eq!(of.len(), 1, "{name}: {shown}\n{of:?}");
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&of[0][field], value, "{name}: {field} of {shown}");
        }
    }
}

fn case(
    name: impl Into<String>,
    input: impl AsRef<[u8]>,
    expected: &Value,
) -> (String, Vec<u8>, Value) {
    (name.into(), input.as_ref().to_vec(), expected.clone())
}

fn list() -> Value {
    json!({"kind": "slow-apply", "resource": "pods", "operation": "range", "shape": "list", "took_ms": 123.5, "range_response_count": 7})
}

type Wrap = (&'static str, fn(&str) -> String);

fn js(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

const WRAPPERS: &[Wrap] = &[
    ("cri", |t| format!("2023-03-13T08:46:26.1Z stderr F {t}")),
    ("docker", |t| {
        format!(
            "{{\"log\":{},\"stream\":\"stderr\",\"time\":\"2023-03-13T08:46:26.1Z\"}}",
            js(&format!("{t}\n"))
        )
    }),
    ("journal short", |t| {
        format!("Mar 13 08:46:26 host etcd[12]: {t}")
    }),
    ("journal json", |t| {
        format!(
            "{{\"MESSAGE\":{},\"PRIORITY\":\"4\",\"__REALTIME_TIMESTAMP\":\"1678697186000000\",\"SYSLOG_IDENTIFIER\":\"etcd\"}}",
            js(t)
        )
    }),
    ("kubectl prefix", |t| format!("[pod/etcd-cp0/etcd] {t}")),
    ("timestamps", |t| {
        format!("2023-03-13T08:46:26.123456789Z {t}")
    }),
    ("short-iso", |t| {
        format!("2023-03-13T08:46:26+0000 host etcd[12]: {t}")
    }),
    ("compose", |t| format!("etcd2   | {t}")),
    ("rsyslog", |t| {
        format!("2026-02-23T16:33:58+00:00 host rke2-pods: {t}")
    }),
    ("fluent bit", |t| {
        format!("{{\"@timestamp\":1678697186.1,\"log\":{}}}", js(t))
    }),
    ("grep", |t| format!("/var/log/pods/x/etcd/0.log:{t}")),
    ("journal bytes", |t| {
        format!(
            "{{\"MESSAGE\":{:?},\"PRIORITY\":\"4\",\"__REALTIME_TIMESTAMP\":\"1678697186000000\",\"SYSLOG_IDENTIFIER\":\"etcd\"}}",
            t.as_bytes()
        )
    }),
    ("journal list", |t| {
        format!(
            "{{\"MESSAGE\":[{}],\"PRIORITY\":\"4\",\"__REALTIME_TIMESTAMP\":\"1678697186000000\"}}",
            js(t)
        )
    }),
    ("5424", |t| {
        format!("<30>1 2023-03-13T08:46:26.1Z host etcd 12 - - {t}")
    }),
    ("3164", |t| {
        format!("<30>Mar 13 08:46:26 host etcd[12]: {t}")
    }),
    ("talosctl", |t| format!("10.0.0.1: {t}")),
    ("stern", |t| format!("etcd-cp0 etcd {t}")),
    ("zgrep with numbers", |t| format!("/var/log/x.gz:221:{t}")),
    ("numbers", |t| format!("221:{t}")),
    ("filebeat", |t| {
        format!(
            "{{\"@timestamp\":\"2023-03-13T08:46:26.1Z\",\"message\":{}}}",
            js(t)
        )
    }),
    ("short-full", |t| {
        format!("Sat 2026-11-21 20:04:04 UTC host etcd[12]: {t}")
    }),
    ("monotonic", |t| {
        format!("[ 5123.170712] host etcd[12]: {t}")
    }),
    ("export", |t| {
        format!("__CURSOR=s=1\n__REALTIME_TIMESTAMP=1678697186000000\nPRIORITY=4\nMESSAGE={t}\n")
    }),
];

#[test]
fn every_wrapper_around_every_encoding() {
    let trace = json!({"kind": "apiserver-trace", "resource": "pods", "took_ms": 1065.0});
    let mut cases = Vec::new();
    for (name, wrap) in WRAPPERS {
        for (encoding, line, expected) in [
            ("zap", ZAP, list()),
            ("capnslog", CAPNSLOG, list()),
            ("klog", KLOG, trace.clone()),
        ] {
            cases.push(case(
                format!("{encoding} in {name}"),
                wrap(line) + "\n",
                &expected,
            ));
        }
    }
    hold(&cases);
}

#[test]
fn wrappers_in_wrappers() {
    let mut cases = Vec::new();
    for (outer, wrap) in &WRAPPERS[..11] {
        for (inner, within) in &WRAPPERS[..7] {
            // A kubectl prefix is put on by the outermost reader.
            if outer != inner && *inner != "kubectl prefix" {
                cases.push(case(
                    format!("{inner} in {outer}"),
                    wrap(&within(ZAP)) + "\n",
                    &list(),
                ));
            }
        }
    }
    hold(&cases);
}

#[test]
fn every_age_of_timestamps_and_durations() {
    let mut cases = Vec::new();
    for (written, time) in [
        ("2023-03-13T08:46:25.065Z", "2023-03-13T08:46:25.065Z"),
        ("2023-03-13T08:46:11.4992Z", "2023-03-13T08:46:11.499200Z"),
        ("2023-03-13T08:46:05Z", "2023-03-13T08:46:05.000Z"),
        (
            "2023-03-13T14:16:11.499200+0530",
            "2023-03-13T08:46:11.499200Z",
        ),
    ] {
        let mut expected = list();
        expected["time"] = time.into();
        cases.push(case(
            written,
            ZAP.replace("2023-03-13T08:46:25.065Z", written),
            &expected,
        ));
    }
    let number = ZAP.replace("\"2023-03-13T08:46:25.065Z\"", "1526587299.0738947");
    cases.push(case("epoch", number, &list()));
    for (written, ms) in [
        ("1m15.841622694s", 75_841.622_694),
        ("8h0m2.59s", 28_802_590.0),
        ("56.905\u{b5}s", 0.056_905),
        ("56.905us", 0.056_905),
        ("56.905\u{3bc}s", 0.056_905),
        ("250ns", 0.000_25),
        ("2s", 2_000.0),
    ] {
        let mut expected = list();
        expected["took_ms"] = ms.into();
        cases.push(case(written, ZAP.replace("123.5ms", written), &expected));
    }
    hold(&cases);
}

#[test]
fn damage_that_people_and_runtimes_do() {
    let part = |text: &str, flag: char| format!("2023-03-13T08:46:26.1Z stderr {flag} {text}\n");
    let mut torn = ZAP.as_bytes().to_vec();
    torn.extend(b" \xff\xc3\n");
    let cases = [
        case(
            "key twice",
            ZAP.replacen('{', "{\"level\":\"warn\",", 1),
            &list(),
        ),
        case("control", format!("^C{ZAP}\n"), &list()),
        case("end of text", format!("\u{3}{ZAP}\n"), &list()),
        case("crlf", format!("{ZAP}\r\n"), &list()),
        case("mark", format!("\u{feff}{ZAP}\n"), &list()),
        case("colour", format!("\u{1b}[33m{ZAP}\u{1b}[0m\n"), &list()),
        case("torn text", torn, &list()),
        case("no newline", ZAP, &list()),
        case(
            "parts",
            part(&ZAP[..50], 'P') + &part(&ZAP[50..120], 'P') + &part(&ZAP[120..], 'F'),
            &list(),
        ),
        case("pretty", ZAP.replace(",\"", ",\n    \""), &list()),
        case(
            "openshift",
            ZAP.replace("/registry/", "/kubernetes.io/"),
            &list(),
        ),
    ];
    hold(&cases);
    // Programs that run etcd inside print its texts with logrus, without etcd's own header.
    let (_, body) = CAPNSLOG.split_once("etcdserver: ").unwrap();
    let text = format!(
        "time=\"2023-03-13T08:46:26Z\" level=warning msg={} component=etcd pkg=etcdserver\n",
        js(body)
    );
    let object = format!(
        "{{\"component\":\"etcd\",\"level\":\"warning\",\"msg\":{},\"pkg\":\"etcdserver\",\"time\":\"2023-03-13T08:46:26Z\"}}\n",
        js(body)
    );
    hold(&[
        case("logrus text", text, &list()),
        case("logrus object", object, &list()),
    ]);
    assert_eq!(events(b"").len(), 0);
}

#[test]
fn the_request_text_of_3_7() {
    let text = r#"key:\"/registry/pods/\" range_end:\"/registry/pods0\" "#;
    let with = |request: &str| ZAP.replace(text, request);
    let cases = [
        case(
            "list",
            with(r#"key:\"/registry/pods/\"  range_end:\"/registry/pods0\"  limit:500"#),
            &list(),
        ),
        case(
            "count",
            with(r#"key:\"/registry/pods/\"  range_end:\"/registry/pods0\"  count_only:true"#),
            &json!({"shape": "count", "resource": "pods"}),
        ),
        case(
            "create",
            with(
                r#"header:<ID:9> txn:<compare:<target:MOD  key:\"/registry/events/default/p\"  mod_revision:0> success:<request_put:<key:\"/registry/events/default/p\" value_size:300 lease:99 >> failure:<request_range:{key:\"/registry/events/default/p\"}>>"#,
            ),
            &json!({"operation": "txn", "shape": "create", "resource": "events", "namespace": "default"}),
        ),
        case(
            "delete",
            with(r#"header:{ID:9}  delete_range:{key:\"/registry/pods/a/b\"}"#),
            &json!({"operation": "delete_range", "resource": "pods"}),
        ),
        case(
            "compaction",
            with(r#"header:{ID:9}  compaction:{revision:36}"#),
            &json!({"operation": "compaction"}),
        ),
        case(
            "reads",
            with(
                r#"compare:<> success:<request_range:{key:\"/registry/pods/a/b\"  limit:2} request_range:{key:\"/registry/pods/a/c\"}> failure:<>"#,
            ),
            &json!({"operation": "txn"}),
        ),
        case(
            "probe",
            with(r#"key:\"/registry/statefulsets\" limit:1 "#),
            &json!({"shape": "revision-probe"}),
        ),
        case(
            "page",
            with(
                r#"key:\"/registry/pods/ns/last\\x00\"  range_end:\"/registry/pods0\"  limit:500"#,
            ),
            &json!({"shape": "page", "resource": "pods"}),
        ),
    ];
    hold(&cases);
}
