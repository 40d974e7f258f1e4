//! Counting by position gives what counting by the catalogue gives, and words are counted as
//! `grep -ic` does.

use super::*;

use proptest::prelude::*;

use crate::logs::decode::DecodeContext;
use crate::logs::event::{Component, Shape};
use crate::logs::record::Record;

#[test]
fn words_are_counted_once_a_line_in_any_case() {
    let list = ["pod", "pods", "Events"].map(str::to_owned);
    let mut counts = vec![0; 3];
    let block = b"PODS pods pod\nno\nevents EVENTS\npod";
    count_words(&words(&list).unwrap(), block, &mut counts);
    assert_eq!(counts, [2, 1, 1]);
}

/// Lines in the forms that are counted by position, and their near misses.
const LINES: [&str; 22] = [
    r#"{"level":"warn","ts":"2026-11-01T00:00:01.000001Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"512.003ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" limit:500 ","response":"range_response_count:500 size:90000"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:02.5Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"1m2.5s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/a/b\" range_end:\"/registry/pods0\" limit:500 ","response":"range_response_count:12 size:900"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:03Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"101ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" count_only:true ","response":"range_response_count:0 size:8"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:03.100Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"171ms","expected-duration":"50ms","prefix":"read-only range ","request":"key:\"/registry/cert-manager.io/certificates/ns/x\" ","response":"range_response_count:1 size:800"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:03.200Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"171ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" limit:1 ","response":"range_response_count:0 size:8"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:03.300Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"171ms","expected-duration":"100ms","prefix":"","request":"header:<ID:1 > txn:<compare:<target:MOD key:\"/registry/pods/a/b\" mod_revision:1 > success:<request_put:<key:\"/registry/pods/a/b\" value_size:10 >> failure:<>>","response":"size:18"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:03.400Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"171ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/health\" ","response":"","error":"context canceled"}"#,
    r#"{"level":"info","ts":"2026-11-01T00:00:03.500Z","caller":"traceutil/trace.go:172","msg":"trace[12] range","detail":"{range_begin:/registry/pods/; range_end:/registry/pods0; response_count:500; response_revision:12; }","duration":"514.1ms","start":"2026-11-01T00:00:01.000Z","end":"2026-11-01T00:00:01.000Z","steps":["trace[12] 'agreement among raft nodes before linearized reading'  (duration: 400.000ms)","trace[12] 'range keys from in-memory index tree'  (duration: 1.1ms)"],"step_count":2}"#,
    r#"{"level":"info","ts":"2026-11-01T00:00:03.600Z","caller":"traceutil/trace.go:172","msg":"trace[13] range","detail":"{range_begin:/registry/pods/a/b; range_end:; response_count:0; response_revision:12; }","duration":"114.1ms","start":"2026-11-01T00:00:01.000Z","end":"2026-11-01T00:00:01.000Z","steps":["trace[13] 'get key's previous created_revision and leaseID' {req_type:get; } (duration: 4us)","trace[13] 'range keys from bolt db'  (duration: 1.1ms)"],"step_count":2}"#,
    r#"{"level":"info","ts":"2026-11-01T00:00:03.700Z","caller":"traceutil/trace.go:172","msg":"trace","operation":"range","detail":"{range_begin:/registry/pods/a/b; range_end:; response_count:1; response_revision:12; }","duration":"114.1ms","start":"2026-11-01T00:00:01.000Z","end":"2026-11-01T00:00:01.000Z","steps":[],"step_count":0}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:03.800Z","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"2026-11-01T00:00:01.000Z","time spent":"515ms","remote":"10.0.0.1:41230","response type":"/etcdserverpb.KV/Range","request count":0,"request size":43,"response count":500,"response size":913,"request content":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" limit:500 "}"#,
    r#"{"level":"debug","ts":"2026-11-01T00:00:03.900Z","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"2026-11-01T00:00:01.000Z","time spent":"115ms","remote":"[::1]:41230","response type":"/etcdserverpb.KV/Range","request count":0,"request size":43,"response count":1,"response size":913,"request content":"key:\"/registry/pods/a/b\" "}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:04Z","caller":"etcdserver/v3_server.go:897","msg":"waiting for ReadIndex response took too long, retrying","sent-request-id":13176832041700219758,"retry-timeout":"500ms"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:05Z","caller":"wal/wal.go:804","msg":"slow fdatasync","took":"1.002s","expected-duration":"1s"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:05.5Z","caller":"wal/wal.go:804","msg":"slow fdatasync","took":"1.001s","expected-duration":"1s","took":"1.5s"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:06Z","caller":"etcdserver/raft.go:416","msg":"leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk","to":"63b75c3d731594fc","heartbeat-interval":"100ms","expected-duration":"200ms","exceeded-duration":"61.150187ms"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:07Z","caller":"embed/config_logging.go:170","msg":"rejected connection on client endpoint","remote-addr":"10.0.0.1:40000","server-name":"","error":"tls: first record does not look like a TLS handshake"}"#,
    r#"{"level":"info","ts":"2026-11-01T00:00:08Z","caller":"mvcc/kvstore_compaction.go:66","msg":"finished scheduled compaction","compact-revision":12,"took":"100.003ms","hash":1,"current-db-size-bytes":61000000,"current-db-size":"61 MB","current-db-size-in-use-bytes":41000000,"current-db-size-in-use":"41 MB"}"#,
    r#"{"level":"warn","ts":"2026-11-01T00:00:09Z","logger":"etcd-client","caller":"v3@v3.5.1/retry_interceptor.go:62","msg":"slow fdatasync","took":"1.002s","expected-duration":"1s"}"#,
    r#"{"level":"warn","ts":"2026-11-01T01:00:09Z","caller":"etcdserver/raft.go:200","msg":"timed out sending read state","timeout":"1s"}"#,
    r#"{"level":"info","ts":"2026-11-01T01:00:10Z","caller":"etcdserver/server.go:2240","msg":"compacted Raft logs","compact-index":12}"#,
    r#"{"level":"info","ts":"2026-11-01T01:00:11Z","caller":"a/b.go:1","msg":"nobody knows this 12","a":1}"#,
];

/// What a counter makes of a text, as it is saved.
fn counted(text: &[u8], by_position: bool) -> String {
    let mut counter = Counter::new(Component::Unknown, TimeFilter::of(None, None));
    let mut decoder = Decoder::new(DecodeContext::default());
    if by_position {
        decoder.block(text, 1, &mut counter);
        decoder.finish(&mut |record: &Record<'_>| counter.add(record));
    } else {
        // Past all that looks at fixed places.
        let mut take = |record: &Record<'_>| {
            counter.filter.inside(record.time);
            counter.add_of(record, None);
        };
        decoder.block(text, 1, &mut take);
        decoder.finish(&mut take);
    }
    let mut summary = counter.finish();
    summary.segment.settle();
    serde_json::to_string(&summary).unwrap()
}

#[test]
fn every_line_counts_alike_by_position_and_by_the_catalogue() {
    let all = LINES.join("\n");
    assert_eq!(
        counted(all.as_bytes(), true),
        counted(all.as_bytes(), false)
    );
    for line in LINES {
        let twice = format!("{line}\n{line}\n");
        let (fast, slow) = (
            counted(twice.as_bytes(), true),
            counted(twice.as_bytes(), false),
        );
        assert_eq!(fast, slow, "{line}");
    }
}

/// What is remembered of a call site says nothing of others, and nothing of one with many messages.
#[test]
fn call_sites_are_not_taken_for_each_other() {
    let line = |caller: &str, msg: &str| {
        format!(
            r#"{{"level":"warn","ts":"2026-11-01T00:00:05.001Z","caller":"{caller}","msg":"{msg}","took":"1.002s","to":"a"}}"#
        )
    };
    let plain = ["slow fdatasync", "compacted Raft logs", "lost leader"];
    let mut text = String::new();
    for round in 0..400 {
        let caller = format!("etcdserver/server.go:{round}");
        for _ in 0..2 {
            text += &line(&caller, plain[round % plain.len()]);
            text.push('\n');
        }
        // One writer with a message of its own for each line.
        let msg = format!("{} {}", plain[round % plain.len()], round % 7);
        for msg in ["slow fdatasync", &msg, "nobody knows this"] {
            text += &line("etcdserver/zap_raft.go:77", msg);
            text.push('\n');
        }
    }
    let (fast, slow) = (
        counted(text.as_bytes(), true),
        counted(text.as_bytes(), false),
    );
    assert_eq!(fast, slow);
}

/// What an object in a folder means says nothing of the health check in it.
#[test]
fn a_health_check_under_a_prefix_of_its_own_counts_alike() {
    let of = |key: &str| LINES[3].replace("/registry/cert-manager.io/certificates/ns/x", key);
    for (object, check) in [
        (
            "/tenants/a/b/registry/widgets",
            "/tenants/a/b/registry/health",
        ),
        ("/k8s/configmaps/ns/health", "/k8s/health"),
    ] {
        let (object, check) = (of(object), of(check));
        for lines in [[&*object, &*check], [&*check, &*object]] {
            let text = (lines.join("\n") + "\n").repeat(2);
            let fast = counted(text.as_bytes(), true);
            assert_eq!(fast, counted(text.as_bytes(), false), "{text}");
        }
        let view = load_of(&format!("{object}\n{check}\n{object}\n"), &[]);
        let health = Shape::ALL.iter().position(|shape| *shape == Shape::Health);
        assert_eq!(view.tables.shapes[health.unwrap()].requests, 1);
        assert_eq!(view.tables.total.requests, 3);
    }
}

/// A limit of nothing is none: what such a key means says nothing of the same key with a limit.
#[test]
fn a_limit_of_zero_counts_alike() {
    let page = LINES[1];
    for zero in ["limit:0 ", "limit:00 "] {
        let none = page.replace("limit:500 ", zero);
        let text = [&*none, &*none, page, &*none].join("\n");
        assert_eq!(
            counted(text.as_bytes(), true),
            counted(text.as_bytes(), false)
        );
    }
}

/// An escaped quote does not end a text, whichever text it is.
#[test]
fn escaped_quotes_count_alike() {
    for line in LINES {
        let quotes = line.match_indices('"').map(|(at, _)| at);
        for at in quotes {
            let (before, after) = line.split_at(at);
            let text = format!("{before}\\{after}\n{line}\n").repeat(2);
            assert_eq!(
                counted(text.as_bytes(), true),
                counted(text.as_bytes(), false),
                "{text}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn damaged_lines_count_alike(
        picks in prop::collection::vec((0..LINES.len(), 0..500_usize, 0..6_u8, any::<u8>()), 1..24)
    ) {
        let mut text = Vec::new();
        for (pick, at, how, byte) in picks {
            let mut line = LINES[pick].as_bytes().to_vec();
            let at = at % line.len();
            match how {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                2 => { line.remove(at); }
                // A digit for a digit changes a value and not the form.
                3 if line[at].is_ascii_digit() => line[at] = b'0' + byte % 10,
                _ => {}
            }
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        prop_assert_eq!(counted(&text, true), counted(&text, false));
    }
}

/// A slow line of zap, number `n` of 60 a second, about a key of its own.
fn slow_line(n: u64) -> String {
    let us = n * 1_000_000 / 60;
    format!(
        r#"{{"level":"warn","ts":"2026-11-01T00:{:02}:{:02}.{:06}Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"110ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/a/p{n}\" ","response":"range_response_count:1 size:615"}}"#,
        us / 60_000_000,
        us / 1_000_000 % 60,
        us % 1_000_000
    )
}

/// What a text comes to, cut before each of some lines.
fn load_of(text: &str, cuts: &[usize]) -> crate::logs::aggregate::load::LoadView {
    let mut all = crate::logs::aggregate::segment::Segment::default();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut at = 0;
    for cut in cuts.iter().copied().chain([lines.len()]) {
        let mut counter = Counter::new(Component::Etcd, TimeFilter::of(None, None));
        let mut decoder = Decoder::new(DecodeContext::default());
        decoder.block(lines[at..cut].concat().as_bytes(), 1, &mut counter);
        decoder.finish(&mut |record: &Record<'_>| counter.add(record));
        let mut piece = counter.finish().segment;
        // As a piece that is saved and loaded.
        piece.settle_all();
        let saved = serde_json::to_string(&piece).unwrap();
        let mut piece: crate::logs::aggregate::segment::Segment =
            serde_json::from_str(&saved).unwrap();
        piece.restore();
        all.absorb(piece);
        at = cut;
    }
    all.settle();
    all.load_view()
}

/// The estimate's three numbers.
fn estimate_of(text: &str, cuts: &[usize]) -> (u64, u64, u64) {
    let estimate = load_of(text, cuts).estimate;
    (estimate.low, estimate.value, estimate.high)
}

#[test]
fn etcds_own_journald_writer_does_not_sample() {
    let object = |n: u64, more: &str| {
        let message = serde_json::to_string(&slow_line(n)).unwrap();
        format!(
            r#"{{"__REALTIME_TIMESTAMP":"1793491200000000","PRIORITY":"4","SYSLOG_IDENTIFIER":"etcd",{more}"MESSAGE":{message}}}"#
        ) + "\n"
    };
    let export = |n: u64, more: &str| {
        format!(
            "__CURSOR=s={n}\n__REALTIME_TIMESTAMP=1793491200000000\nPRIORITY=4\nSYSLOG_IDENTIFIER=etcd\n{more}MESSAGE={}\n\n",
            slow_line(n)
        )
    };
    let text = |line: &dyn Fn(u64) -> String| (0..600).map(|n| line(n / 2)).collect::<String>();
    let exact = (600, 600, 600);
    for more in [r#""PACKAGE":"etcdserver","#, r#""_TRANSPORT":"journal","#] {
        let text = text(&|n| object(n, more));
        assert_eq!(estimate_of(&text, &[]), exact, "{more}");
        assert_eq!(estimate_of(&text, &[1, 150, 400]), exact, "{more}");
    }
    for more in ["PACKAGE=etcdserver\n", "_TRANSPORT=journal\n"] {
        assert_eq!(
            estimate_of(&text(&|n| export(n, more)), &[]),
            exact,
            "{more}"
        );
    }
    // What a unit or a container prints went through zap's sampler, also beside the other. The log
    // begins with these, so that the window of the first ones is not known.
    for more in [
        "",
        r#""_TRANSPORT":"stdout","#,
        r#""_TRANSPORT":"journal","CONTAINER_NAME":"etcd","#,
    ] {
        let printed = text(&|n| object(n, more));
        let (low, ..) = estimate_of(&printed, &[]);
        assert!(low > 5_000, "{more} {low}");
        let other = object(9_000, r#""PACKAGE":"etcdserver","#);
        let (low, ..) = estimate_of(&(other + &printed), &[]);
        assert!(low > 5_000, "{more} {low}");
    }
    let (low, ..) = estimate_of(&text(&|n| export(n, "_TRANSPORT=stdout\n")), &[]);
    assert!(low > 5_000, "{low}");
}

/// Request stats at debug level, `ms` after the hour, about a key of its own.
fn debug_line(ms: u64) -> String {
    let at = format!(
        "2026-11-01T{:02}:{:02}:{:02}.{:03}001Z",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    );
    format!(
        r#"{{"level":"debug","ts":"{at}","caller":"v3rpc/interceptor.go:182","msg":"request stats","start time":"{at}","time spent":"297us","remote":"127.0.0.1:48594","response type":"/etcdserverpb.KV/Range","request count":0,"request size":20,"response count":1,"response size":28,"request content":"key:\"/registry/pods/a/d{ms}\" "}}"#
    ) + "\n"
}

/// A slow apply line of this time.
fn slow_at(ms: u64) -> String {
    let line = slow_line(0);
    let at = format!(
        "T{:02}:{:02}:{:02}.{:03}Z",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    );
    line.replace("T00:00:00.000000Z", &at)
        .replace("a/p0", &format!("a/p{ms}"))
        + "\n"
}

#[test]
fn a_log_at_debug_level_all_the_time_holds_every_request() {
    let text: String = (0..600)
        .map(|n| {
            debug_line(n * 2_000)
                + if n % 50 == 7 {
                    slow_at(n * 2_000 + 900)
                } else {
                    String::new()
                }
                .as_str()
        })
        .collect();
    for cuts in [&[][..], &[1, 100, 401]] {
        let load = load_of(&text, cuts);
        assert!(load.complete);
        assert_eq!(load.estimate.lines, load.estimate.high);
    }
    assert!(load_of(&debug_line(5), &[]).complete);
}

#[test]
fn a_level_that_was_debug_for_a_while_makes_no_log_complete() {
    let slow: String = (0..500).map(|n| slow_at(n * 30_000)).collect();
    let some: String = (0..3).map(|n| debug_line(500 * 30_000 + n)).collect();
    for text in [slow.clone() + &some, some + &slow] {
        for cuts in [&[][..], &[1, 100, 501]] {
            let load = load_of(&text, cuts);
            assert!(!load.complete);
            assert_eq!((load.debug_lines, load.estimate.high), (3, 503));
        }
    }
}

#[test]
fn request_stats_at_debug_level_are_sampled_as_any_message() {
    // 1000 requests in each of 5 seconds: the first 100 are written, then every 100th.
    let text: String = (0..5_000)
        .filter(|n| n % 1000 < 100 || n % 100 == 99)
        .map(debug_line)
        .collect();
    // The log shows the second before.
    let before = r#"{"level":"info","ts":"2026-10-31T23:59:58Z","caller":"etcdserver/server.go:2240","msg":"compacted Raft logs","compact-index":12}"#;
    let text = format!("{before}\n{text}");
    for cuts in [&[][..], &[1, 150, 401]] {
        let load = load_of(&text, cuts);
        let estimate = load.estimate;
        assert!(!load.complete);
        assert!(
            estimate.low <= 5_000 && 5_000 <= estimate.high,
            "{estimate:?}"
        );
        assert!(estimate.value.abs_diff(5_000) < 500, "{estimate:?}");
        assert!(estimate.high - estimate.low <= 1_000, "{estimate:?}");
    }
}

/// How several members' lines get into one stream: what stands before or around each.
fn gathered(member: u64, n: u64, line: &str) -> Vec<(&'static str, String)> {
    let name = ["etcd-a", "etcd-b", "etcd-c"][usize::try_from(member).unwrap()];
    let text = serde_json::to_string(line).unwrap();
    vec![
        ("kubectl", format!("[pod/{name}/etcd] {line}")),
        ("stern", format!("{name} etcd {line}")),
        ("compose", format!("{name}  | {line}")),
        ("grep", format!("logs/{name}/0.log:{line}")),
        ("grep -n", format!("logs/{name}/0.log:{n}:{line}")),
        ("talosctl", format!("10.0.0.{member}: {line}")),
        (
            "syslog",
            format!("Nov  1 00:00:00 {name} etcd[{member}]: {line}"),
        ),
        (
            "syslog around kubectl",
            format!("Nov  1 00:00:00 node1 logs: [pod/{name}/etcd] {line}"),
        ),
        (
            "journal",
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1793491200000000","_HOSTNAME":"{name}","SYSLOG_IDENTIFIER":"etcd","MESSAGE":{text}}}"#
            ),
        ),
        (
            "Fluent Bit",
            format!(
                r#"{{"@timestamp":1793491200.1,"log":{text},"kubernetes":{{"pod_name":"{name}","host":"n"}}}}"#
            ),
        ),
        (
            "filebeat",
            format!(
                r#"{{"@timestamp":"2026-11-01T00:00:00.000Z","message":{text},"kubernetes":{{"pod":{{"uid":"u","name":"{name}"}}}}}}"#
            ),
        ),
    ]
}

#[test]
fn members_in_one_stream_have_a_sampler_each() {
    let ways = gathered(0, 0, "").len();
    for way in 0..ways {
        let mut text = String::new();
        let mut label = "";
        for n in 0..200 {
            for member in 0..3 {
                let (name, line) = gathered(member, n, &slow_line(n)).swap_remove(way);
                label = name;
                text += &line;
                text.push('\n');
            }
        }
        // Sixty a second and member are not sampled, though the stream has 180.
        assert_eq!(estimate_of(&text, &[]), (600, 600, 600), "{label}");
        assert_eq!(
            estimate_of(&text, &[1, 111, 400]),
            (600, 600, 600),
            "{label}"
        );
        // One member at three times that rate is.
        let mut text = String::new();
        for n in 0..600 {
            let line = gathered(1, n, &slow_line(n / 3)).swap_remove(way).1;
            text += &line;
            text.push('\n');
        }
        let whole = estimate_of(&text, &[]);
        assert!(whole.0 > 15_000, "{label} {whole:?}");
        assert_eq!(estimate_of(&text, &[1, 111, 400]), whole, "{label}");
    }
}

#[test]
fn lines_of_two_members_are_not_one_request() {
    let (apply, trace) = (LINES[3], LINES[8]);
    let apply = apply
        .replace("cert-manager.io/certificates/ns/x", "pods/a/b")
        .replace("00:00:03.100Z", "00:00:03.590Z");
    for way in 0..gathered(0, 0, "").len() {
        let text = |first: u64, second: u64| {
            let (label, a) = gathered(first, 1, &apply).swap_remove(way);
            let (_, b) = gathered(second, 2, trace).swap_remove(way);
            (label, format!("{a}\n{b}\n"))
        };
        for (first, second, requests) in [(0, 0, 1), (0, 1, 2), (2, 1, 2)] {
            let (label, text) = text(first, second);
            for cuts in [&[][..], &[1]] {
                let joined = load_of(&text, cuts).tables.total.requests;
                assert_eq!(joined, requests, "{label} {first} {second}");
            }
        }
    }
}

#[test]
fn etcds_messages_count_under_another_name_of_their_time() {
    let fields = r#""took":"1.2s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" ","response":"range_response_count:3 size:615""#;
    let stamp = "2026-11-01T00:00:01.000Z";
    for (line, samples) in [
        (
            format!(
                r#"{{"level":"warning","msg":"apply request took too long",{fields},"time":"{stamp}"}}"#
            ),
            false,
        ),
        (
            format!(
                r#"{{"level":"warn","@timestamp":"{stamp}","caller":"etcdserver/util.go:170","msg":"apply request took too long",{fields}}}"#
            ),
            true,
        ),
    ] {
        let view = load_of(&format!("{line}\n"), &[]);
        let total = &view.tables.total;
        assert_eq!((total.requests, total.lists), (1, 1), "{line}");
        assert_eq!(total.slow_ns, 1_200_000_000, "{line}");
        let view = load_of(&format!("{line}\n").repeat(150), &[]);
        assert_eq!(view.estimate.sampled_lines > 0, samples, "{line}");
    }
    // A client's message is not the server's, and another program's is none.
    for line in [
        r#"{"level":"warning","logger":"etcd-client","msg":"apply request took too long","took":"1.2s","time":"2026-11-01T00:00:01.000Z"}"#,
        r#"{"level":"warning","msg":"request \"x\" failed","took":"1.2s","time":"2026-11-01T00:00:01.000Z"}"#,
    ] {
        let view = load_of(&format!("{line}\n"), &[]);
        assert_eq!(view.tables.total.requests, 0, "{line}");
    }
}

/// A file of that name, scanned.
fn scanned(name: &str, text: &str) -> StreamSummary {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let plan = crate::logs::input::plan(&[path], &crate::target::HostRoot::new("/"), None);
    let stop = std::sync::atomic::AtomicBool::new(false);
    scan(&plan, &ScanOptions::default(), &stop)
        .streams
        .remove(0)
}

#[test]
fn etcd_is_known_where_none_of_its_messages_is() {
    for line in [
        r#"Nov 24 08:38:14 n3 etcd[5]: {"level":"info","ts":"2025-11-24T08:38:14.067567Z","caller":"membership/cluster.go:605","msg":"words that nobody knows"}"#,
        r#"{"level":"error","ts":"2026-02-19T22:52:37.575944Z","caller":"etcdserver/server.go:2090","msg":"words that nobody knows"}"#,
        "2019-02-25 10:00:01.000001 W | etcdserver: words that nobody knows",
    ] {
        assert_eq!(
            scanned("notes.txt", &format!("{line}\n")).component(),
            "etcd",
            "{line}"
        );
    }
    // Another program's packages and files are not etcd's.
    for line in [
        r#"{"level":"error","ts":"2026-02-19T22:52:37.575944Z","caller":"controller/run.go:2","msg":"words"}"#,
        "2019-02-25 10:00:01.000001 W | locksmith: words",
    ] {
        assert_eq!(
            scanned("notes.txt", &format!("{line}\n")).component(),
            "unknown",
            "{line}"
        );
    }
}

#[test]
fn a_line_that_told_something_is_understood() {
    let dropped = "2025-03-18T12:21:38.350+01:00 dropped internal Raft message since sending buffer is full (overloaded network)";
    let slow = r#"`etcdserver: read-only range request "key:\"/registry/pods\" " with result "range_response_count:1 size:441" took too long (1.02s) to execute`"#;
    let count = |text: &str| {
        let stream = scanned("notes.txt", text);
        let file = &stream.files[0];
        let coverage = &stream.segment.coverage;
        assert_eq!(
            (coverage.parsed, coverage.unparsed),
            (file.parsed, file.unparsed)
        );
        (file.lines, file.parsed, file.unparsed)
    };
    assert_eq!(count(&format!("{dropped}\n{dropped}\n")), (2, 2, 0));
    assert_eq!(count(&format!("{slow}\nwords of nobody\n")), (2, 1, 1));
    assert_eq!(count("Words of nobody, too many open files\n"), (1, 1, 0));
}

/// A word of a file's name makes nobody a controller whose lines say who wrote them.
#[test]
fn lines_tell_more_than_a_word_of_the_files_name() {
    let klog = |text: &str| format!("I1121 20:55:28.532089       1 {text}\n");
    let manager = klog("controllermanager.go:211] \"Starting\" version=\"v1.36.2\"");
    let nobody = klog("x.go:1] words that nobody knows");
    let named = |name: &str, text: &str| scanned(name, text).component().to_owned();
    let file = "kubectl_-n_kube-system_logs_kube-controller-manager-cp0";
    assert_eq!(named(file, &manager), "kube-controller-manager");
    // Where no line tells, the word does.
    assert_eq!(named(file, &nobody), "controller");
    assert_eq!(named("my-operator.log", &nobody), "controller");
    assert_eq!(named("notes.log", &nobody), "unknown");
    assert_eq!(
        named("capi-controller-manager.log", &manager),
        "capi-controller-manager"
    );
}
