//! How long a log goes on decides nothing: quiet hours after trouble make no verdict worse, what comes
//! now and then in a log of weeks is no trouble, and a short flood in it still is.
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

const HOUR: u32 = 3600;
/// Times that one sign is written.
const TIMES: u32 = 24;

/// A sign of trouble, and the rule that finds it where it comes often.
struct Sign {
    rule: &'static str,
    /// Whose log it is in.
    log: &'static str,
    line: fn(u32) -> String,
}

const SIGNS: &[Sign] = &[
    Sign {
        rule: "expensive-lists",
        log: "etcd",
        line: |at| {
            etcd(
                at,
                "warn",
                r#""msg":"apply request took too long","took":"132.4ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" limit:500 ","response":"range_response_count:500 size:1803210""#,
            )
        },
    },
    Sign {
        rule: "peer-link-unstable",
        log: "etcd",
        line: |at| {
            etcd(
                at,
                "warn",
                r#""msg":"lost TCP streaming connection with remote peer","stream-reader-type":"stream MsgApp v2","local-member-id":"8e9e05c52164694d","remote-peer-id":"91bc3c398fb3c146","error":"EOF""#,
            )
        },
    },
    Sign {
        rule: "tls-rejections",
        log: "etcd",
        line: |at| {
            etcd(
                at,
                "warn",
                r#""msg":"rejected connection","remote-addr":"10.0.0.9:4242","server-name":"","error":"remote error: tls: bad certificate""#,
            )
        },
    },
    Sign {
        rule: "client-heavy-lists",
        log: "kube-apiserver",
        line: |at| {
            let klog = klog(at);
            format!(
                "I{klog}       1 trace.go:236] Trace[{at}]: \"List\" accept:application/json, */*,audit-id:a{at},client:10.0.0.9,protocol:HTTP/2.0,resource:pods,scope:cluster,url:/api/v1/pods,user-agent:report-tool/1.0,verb:LIST ({} {}.000) (total time: 612ms):\n\
                 Trace[{at}]: ---\"Listing from storage done\" 600ms ({}.000)\n\
                 Trace[{at}]: [612.1ms] [612.1ms] END\n",
                format_args!("{:02}-Oct-2026", day(at)),
                clock(at),
                clock(at),
            )
        },
    },
    Sign {
        rule: "apf-rejections",
        log: "kube-apiserver",
        line: |at| {
            format!(
                "I{}       1 httplog.go:132] \"HTTP\" verb=\"GET\" URI=\"/api/v1/pods\" latency=\"1.2ms\" userAgent=\"tool/1\" audit-ID=\"q{at}\" srcIP=\"10.0.0.7:1\" resp=429\n",
                klog(at)
            )
        },
    },
    Sign {
        rule: "faults-logged",
        log: "kube-apiserver",
        line: |at| {
            format!(
                "W{}       1 logging.go:55] [core] grpc: addrConn.createTransport failed to connect to {{Addr: \"127.0.0.1:2379\", ServerName: \"127.0.0.1:2379\", }}. Err: connection error: desc = \"transport: Error while dialing: dial tcp 127.0.0.1:2379: connect: connection refused\"\n",
                klog(at)
            )
        },
    },
];

fn day(at: u32) -> u32 {
    1 + at / 86_400
}

fn clock(at: u32) -> String {
    let at = at % 86_400;
    format!("{:02}:{:02}:{:02}", at / 3600, at / 60 % 60, at % 60)
}

fn klog(at: u32) -> String {
    format!("10{:02} {}.000000", day(at), clock(at))
}

fn etcd(at: u32, level: &str, rest: &str) -> String {
    format!(
        "{{\"level\":\"{level}\",\"ts\":\"2026-10-{:02}T{}.000000Z\",\"caller\":\"x.go:1\",{rest}}}\n",
        day(at),
        clock(at)
    )
}

/// What a log says each quarter of an hour where nothing is wrong.
fn calm(log: &str, at: u32) -> String {
    match log {
        "etcd" => etcd(
            at,
            "info",
            r#""msg":"finished scheduled compaction","compact-revision":1000,"took":"45.123456ms""#,
        ),
        _ => format!(
            "I{}       1 controller.go:615] quota admission added evaluator for: jobs.batch\n",
            klog(at)
        ),
    }
}

/// A log of so many hours with the sign at these seconds.
fn report(sign: &Sign, hours: u32, signs: &[u32]) -> Value {
    let quiet =
        (0..=hours * 4).map(|quarter| (quarter * HOUR / 4, calm(sign.log, quarter * HOUR / 4)));
    let mut lines: Vec<(u32, String)> = quiet.collect();
    lines.extend(signs.iter().map(|at| (*at, (sign.line)(*at))));
    lines.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    for (_, line) in lines {
        write!(text, "{line}").unwrap();
    }
    let bundle = tempfile::tempdir().unwrap();
    let path = bundle.path().join(format!("logs/{}.log", sign.log));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    diagnose(bundle.path())
}

fn diagnose(bundle: &Path) -> Value {
    doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(bundle)
        .json()
}

/// Rules that failed, each with how gravely.
fn failures(report: &Value) -> Vec<(String, usize)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["status"] == "fail")
        .map(|finding| {
            let severity = finding["severity"].as_str().unwrap();
            let grave = ["info", "warn", "critical"]
                .iter()
                .position(|s| *s == severity);
            (finding["rule"].as_str().unwrap().to_owned(), grave.unwrap())
        })
        .collect()
}

/// Whether a rule failed as a warning at least.
fn found(report: &Value, rule: &str) -> bool {
    let fails = failures(report);
    fails.iter().any(|(id, grave)| id == rule && *grave >= 1)
}

fn burst(from: u32) -> Vec<u32> {
    (0..TIMES).map(|n| from + n * 20).collect()
}

#[test]
fn a_short_flood_is_found_however_long_the_log_is() {
    for sign in SIGNS {
        for (hours, from) in [(2, 3000), (20 * 24, 9 * 24 * HOUR)] {
            let report = report(sign, hours, &burst(from));
            assert!(found(&report, sign.rule), "{}: {hours} h", sign.rule);
        }
    }
}

#[test]
fn quiet_hours_make_nothing_worse() {
    for sign in SIGNS {
        let short = report(sign, 2, &burst(3000));
        let long = report(sign, 10 * 24, &burst(3000));
        let before = failures(&short);
        for (rule, grave) in failures(&long) {
            let was = before.iter().any(|(id, was)| *id == rule && *was >= grave);
            assert!(was, "{}: {rule} is new or worse: {before:?}", sign.rule);
        }
        let calm = |report: &Value| report["verdict"]["no_fault_seen"].as_bool().unwrap();
        assert!(calm(&long) || !calm(&short), "{}", sign.rule);
        let confidence = |report: &Value| report["verdict"]["confidence"].as_f64().unwrap();
        let cause = |report: &Value| report["verdict"]["cause"].clone();
        if cause(&short) == cause(&long) {
            let more = confidence(&long) - confidence(&short);
            assert!(more <= 1e-9, "{}: {more}", sign.rule);
        }
    }
}

#[test]
fn what_comes_now_and_then_is_no_trouble() {
    for sign in SIGNS {
        let now_and_then: Vec<u32> = (0..TIMES).map(|n| 600 + n * 20 * HOUR).collect();
        let report = report(sign, 20 * 24, &now_and_then);
        assert!(!found(&report, sign.rule), "{}", sign.rule);
        let verdict = &report["verdict"];
        assert!(
            verdict["no_fault_seen"].as_bool().unwrap(),
            "{}: {verdict}",
            sign.rule
        );
    }
}
