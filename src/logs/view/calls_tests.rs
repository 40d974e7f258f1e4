//! Slow calls of and to kube-apiserver, whichever log tells of them, and what etcd refuses.

use super::View;
use crate::clock::Timestamp;
use crate::logs::decode::{DecodeContext, Decoder};
use crate::logs::event::Component;
use crate::logs::record::Record;
use crate::logs::scan::{Counter, TimeFilter};
use crate::logs::summary::Summary;

/// What is seen in the lines of one stream that no name tells of.
fn view(lines: &[String]) -> View {
    let mut counter = Counter::new(Component::Unknown, TimeFilter::of(None, None));
    let mut decoder = Decoder::new(DecodeContext {
        reference: Some(Timestamp::from_secs(1_795_400_000)),
        ..DecodeContext::default()
    });
    decoder.block(lines.join("\n").as_bytes(), 1, &mut counter);
    decoder.finish(&mut |record: &Record<'_>| counter.add(record));
    View::of(&Summary {
        streams: vec![counter.finish()],
        ..Summary::default()
    })
}

fn traced(what: &str, header: &str) -> [String; 2] {
    [
        format!(
            r#"I1120 10:00:00.500022       1 trace.go:236] Trace[7]: "{what}" {header} (20-Nov-2026 10:00:00.000) (total time: 5800ms):"#
        ),
        "Trace[7]: [5.800s] [5.800s] END".to_owned(),
    ]
}

fn answered(verb: &str, path: &str, latency: &str, status: u16, more: &str) -> String {
    format!(
        r#"I1120 10:00:00.500022       1 httplog.go:132] "HTTP" verb="{verb}" URI="{path}" latency="{latency}" userAgent="lister/v1" audit-ID="a0" srcIP="10.0.0.9:1234" resp={status}{more}"#
    )
}

fn count(view: &View, kind: &str) -> u64 {
    let kinds = view.kinds.iter().filter(|found| found.kind == kind);
    kinds.map(|found| found.row.count).sum()
}

#[test]
fn calls_of_the_apiserver_are_told_by_whom_it_called() {
    let cases = [
        (
            traced(
                "List(recursive=true) etcd3",
                "audit-id:,key:/secrets,limit:10000,continue:",
            ),
            ["etcd", "", "list", "secrets"],
        ),
        (
            traced(
                "GuaranteedUpdate etcd3",
                "key:/leases/a/b,type:*coordination.Lease,resource:leases.coordination.k8s.io",
            ),
            ["etcd", "", "update", "leases.coordination.k8s.io"],
        ),
        (
            traced("cacher list", "audit-id:abc,type:deployments.apps"),
            ["cache", "", "list", "deployments.apps"],
        ),
        // A Go type is the one of a resource.
        (
            traced("cacher list", "audit-id:abc,type:*apps.Deployment"),
            ["cache", "", "list", "deployments.apps"],
        ),
        (
            traced("cacher list", "audit-id:abc,type:*mine.Thing"),
            ["cache", "", "list", ""],
        ),
        (
            traced(
                "Call mutating webhook",
                "configuration:mesh,webhook:sidecar.example.com,resource:/v1, Resource=pods,subresource:,operation:CREATE,UID:abc",
            ),
            ["webhook", "sidecar.example.com", "create", "pods"],
        ),
    ];
    for (lines, wanted) in cases {
        let view = view(&lines);
        let found: Vec<_> = view.calls.iter().map(|call| &call.parts).collect();
        assert_eq!(found, [&wanted.map(str::to_owned).to_vec()], "{lines:?}");
        assert_eq!(view.calls[0].row.max_ns, 5_800_000_000);
        assert!(view.has("kube-apiserver"), "{lines:?}");
    }
}

#[test]
fn a_trace_that_any_program_writes_names_none() {
    for what in [
        "Scheduling",
        "Reflector ListAndWatch",
        "DeltaFIFO Pop Process",
    ] {
        let view = view(&traced(what, "name:a"));
        assert!(!view.has("kube-apiserver"), "{what}");
        assert_eq!(count(&view, "component-trace"), 1);
    }
}

#[test]
fn answers_of_the_http_log_are_slow_calls_or_faults_of_the_server() {
    let lists = "/api/v1/secrets";
    let slow = view(&vec![answered("LIST", lists, "59.8s", 200, ""); 3]);
    let [call] = slow.traces.as_slice() else {
        panic!("{:?}", slow.traces);
    };
    assert_eq!(call.parts, ["lister/v1", "list", "secrets"]);
    assert_eq!((call.row.lines, call.row.max_ns), (3, 59_800_000_000));
    for (line, kind) in [
        (answered("LIST", lists, "59.8s", 504, ""), "http-timeout"),
        (answered("LIST", lists, "5ms", 504, ""), "http-timeout"),
        (answered("LIST", lists, "5ms", 500, ""), "http-server-error"),
        (
            answered("LIST", lists, "5ms", 503, r#" statusStack="x" addedInfo="y""#),
            "http-server-error",
        ),
        // An aggregated server is not there: its own matter.
        (
            answered("GET", "/apis/metrics.k8s.io/v1beta1/nodes/a", "5ms", 503, ""),
            "http-log",
        ),
        (answered("GET", "/healthz", "5ms", 500, ""), "http-log"),
        (answered("LIST", lists, "5ms", 404, ""), "http-log"),
        (
            r#"I1008 04:37:11.770951       1 httplog.go:90] GET /api/v1/pods: (2.3ms) 504 [x/1 172.18.0.1:60528]"#.to_owned(),
            "http-timeout",
        ),
    ] {
        assert_eq!(count(&view(std::slice::from_ref(&line)), kind), 1, "{line}");
    }
    // Neither fast ones nor what is streamed.
    for line in [
        answered("LIST", lists, "499ms", 200, ""),
        answered("GET", "/api/v1/namespaces/a/pods/b/log", "9m", 200, ""),
        answered("WATCH", lists, "9m", 200, ""),
    ] {
        assert!(
            view(std::slice::from_ref(&line)).traces.is_empty(),
            "{line}"
        );
    }
}

#[test]
fn a_call_that_is_traced_and_logged_counts_once() {
    let header = "user-agent:lister/v1,verb:LIST,url:/api/v1/secrets,client:10.0.0.9";
    let mut lines = traced("List", header).to_vec();
    lines.push(answered("LIST", "/api/v1/secrets", "5.8s", 200, ""));
    assert_eq!(view(&lines).traces.len(), 1);
    assert_eq!(view(&lines).traces[0].row.lines, 1);
}

#[test]
fn what_is_refused_because_of_an_alarm_tells_of_it() {
    let zap = |error: &str| {
        format!(
            r#"{{"level":"warn","ts":"2026-11-20T10:00:00.500000Z","caller":"txn/util.go:94","msg":"failed to apply request","took":"5µs","request":"header:<ID:1 > lease_grant:<ttl:15-second id:694d9296faf18c07>","response":"size:31","error":"{error}"}}"#
        )
    };
    let capnslog = |error: &str| {
        format!(
            r#"2026-11-20 10:00:00.123456 W | etcdserver: failed to apply request "header:<ID:1 > lease_grant:<ttl:15-second id:694d9296faf18c07>" with response "size:31" took (5.1µs) to execute, err is {error}"#
        )
    };
    let raised = |line: String, alarm: &str| -> u64 {
        let view = view(&[line]);
        let all = view.facts.iter();
        all.filter_map(|(_, facts)| facts.alarms.get(alarm))
            .map(|alarm| alarm.raised)
            .sum()
    };
    for (error, alarm) in [
        ("etcdserver: no space", "NOSPACE"),
        ("etcdserver: corrupt cluster", "CORRUPT"),
    ] {
        assert_eq!(raised(zap(error), alarm), 1, "{error}");
        assert_eq!(raised(capnslog(error), alarm), 1, "{error}");
    }
    assert_eq!(raised(zap("lease not found"), "NOSPACE"), 0);
}

#[test]
fn a_read_loop_that_takes_long_says_what_it_waited_for() {
    let looped = |took: &str, index: &str, apply: &str| {
        format!(
            r#"{{"level":"info","ts":"2026-11-20T10:00:05.000100Z","caller":"traceutil/trace.go:172","msg":"trace[7] linearizableReadLoop","detail":"{{readStateIndex:5; appliedIndex:4; }}","duration":"{took}","start":"2026-11-20T10:00:00.000Z","end":"2026-11-20T10:00:05.000Z","steps":["trace[7] 'read index received'  (duration: {index})","trace[7] 'applied index is now lower than readState.Index'  (duration: {apply})"],"step_count":2}}"#
        )
    };
    for (line, kind) in [
        (looped("5s", "4.9s", "1ms"), "read-loop-slow"),
        (looped("5s", "1ms", "4.9s"), "apply-behind"),
        (looped("499ms", "1ms", "490ms"), "trace"),
    ] {
        assert_eq!(count(&view(&[line]), kind), 1, "{kind}");
    }
}
