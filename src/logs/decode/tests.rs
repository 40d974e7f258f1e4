//! Whole lines through the decoder: every wrapper around every encoding.

#![expect(
    clippy::string_slice,
    reason = "the texts are ASCII, and a panic is a failure"
)]

use super::*;
use crate::logs::record::{Encoding, TimeSource};

/// What a test looks at in a record.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    lines: (u64, u64),
    encoding: Encoding,
    level: Level,
    time: Option<String>,
    source: TimeSource,
    logger: String,
    msg: String,
    fields: Vec<(String, String)>,
    ident: Option<String>,
    cut: bool,
    repeats: u64,
}

fn seen(record: &Record<'_>) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Seen {
        lines: (record.line, record.line_end),
        encoding: record.encoding,
        level: record.level,
        time: record.time.map(|time| time.to_string()),
        source: record.time_source,
        logger: text(record.logger),
        msg: text(&record.msg),
        fields: record
            .fields
            .iter()
            .map(|(name, value)| (text(name), value.text_lossy().into_owned()))
            .collect(),
        ident: record.outer.ident.map(text),
        cut: record.outer.cut,
        repeats: record.repeats,
    }
}

fn context() -> DecodeContext {
    DecodeContext {
        reference: Timestamp::parse("2026-11-21T21:00:00Z"),
        ..DecodeContext::default()
    }
}

fn decode(text: impl AsRef<[u8]>) -> (Vec<Seen>, LineCounts) {
    let mut records = Vec::new();
    let mut decoder = Decoder::new(context());
    let mut sink = |record: &Record<'_>| records.push(seen(record));
    decoder.block(text.as_ref(), 1, &mut sink);
    decoder.finish(&mut sink);
    let counts = decoder.counts();
    assert_eq!(counts.parsed + counts.unparsed, counts.lines);
    (records, counts)
}

const ZAP: &str = r#"{"level":"warn","ts":"2026-11-20T19:06:42.123456Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"112.966862ms"}"#;
const CAPNSLOG: &str = "2026-11-20 19:06:42.123456 W | etcdserver: apply request took too long";
const KLOG: &str =
    r#"W1120 19:06:42.123456       1 a.go:1] "apply request took too long" took="112.966862ms""#;

#[test]
fn bare_lines_of_the_three_encodings() {
    let (records, counts) = decode(format!("{ZAP}\n{CAPNSLOG}\n{KLOG}"));
    assert_eq!((counts.lines, counts.parsed, counts.records), (3, 3, 3));
    for (record, encoding) in
        records
            .iter()
            .zip([Encoding::ZapJson, Encoding::Capnslog, Encoding::Klog])
    {
        assert_eq!(record.encoding, encoding);
        assert_eq!(record.level, Level::Warn);
        assert_eq!(record.msg, "apply request took too long");
        assert_eq!(record.time.as_deref(), Some("2026-11-20T19:06:42.123456Z"));
    }
}

/// The one record of a text.
fn one(text: &str) -> Seen {
    let (records, counts) = decode(text);
    assert_eq!(records.len(), 1, "{text}: {records:?}");
    assert_eq!(counts.unparsed, 0, "{text}");
    records.into_iter().next().expect("one")
}

fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("serialises");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Every wrapper around a line, with the program it names.
fn wrappers(line: &str) -> Vec<(String, Option<&'static str>)> {
    let json = escaped(line);
    let bytes: Vec<String> = line.bytes().map(|byte| byte.to_string()).collect();
    let bytes = bytes.join(",");
    let tabs = line.replace('\t', "#011");
    let entry = format!(
        "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795201602123456\nSYSLOG_IDENTIFIER=etcd\nMESSAGE={line}\n_PID=1\n\n"
    );
    let verbose = format!(
        "Fri 2026-11-20 19:06:42.123456 UTC [s=1;i=2;b=3;m=4;t=5;x=6]\n    SYSLOG_IDENTIFIER=etcd\n    MESSAGE={line}\n    _PID=1\n"
    );
    vec![
        (line.to_owned(), None),
        (format!("{line}\r"), None),
        (format!("\u{feff}{line}"), None),
        (format!("^C{line}"), None),
        (format!("    {line}"), None),
        (format!("\x1b[33m{line}\x1b[0m"), None),
        (
            format!("2026-11-20T19:06:42.223456789Z stderr F {line}"),
            None,
        ),
        (format!("2026-11-20T19:06:42.2Z stdout F:x {line}"), None),
        (
            format!(
                "2026-11-20T19:06:42.223456789+00:00 stderr P {}\n2026-11-20T19:06:42.323Z stderr F {}",
                &line[..30],
                &line[30..]
            ),
            None,
        ),
        (
            format!(
                r#"{{"log":"{json}\n","stream":"stderr","time":"2026-11-20T19:06:42.223456789Z"}}"#
            ),
            None,
        ),
        (
            format!(
                r#"{{"log":"{json}\n","stream":"stderr","attrs":{{"tag":"etcd"}},"time":"2026-11-20T19:06:42.223456789Z"}}"#
            ),
            None,
        ),
        (
            format!(
                "{{\"log\":\"{}\",\"stream\":\"stderr\",\"time\":\"2026-11-20T19:06:42.2Z\"}}\n{{\"log\":\"{}\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-20T19:06:42.3Z\"}}",
                escaped(&line[..30]),
                escaped(&line[30..])
            ),
            None,
        ),
        (
            format!("Nov 20 19:06:43 cp0 etcd[2586]: {tabs}"),
            Some("etcd"),
        ),
        (
            format!("Nov 20 19:06:43.123456 cp0 k3s[2586]: {tabs}"),
            Some("k3s"),
        ),
        (
            format!("2026-11-20T19:06:43+0000 cp0 etcd[2586]: {line}"),
            Some("etcd"),
        ),
        (
            format!("2026-11-20T19:06:43.123456+00:00 cp0 rke2-pods: {tabs}"),
            Some("rke2-pods"),
        ),
        (
            format!("Fri 2026-11-20 19:06:43 UTC cp0 etcd.service[2586]: {line}"),
            Some("etcd.service"),
        ),
        (
            format!("[ 5123.170712] cp0 etcd[2586]: {line}"),
            Some("etcd"),
        ),
        (
            format!("<28>Nov 20 19:06:43 cp0 etcd[2586]: {tabs}"),
            Some("etcd"),
        ),
        (
            format!("<28>1 2026-11-20T19:06:43.123456Z cp0 etcd 2586 - - {line}"),
            Some("etcd"),
        ),
        (
            format!(
                r#"{{"MESSAGE":"{json}","PRIORITY":"4","__REALTIME_TIMESTAMP":"1795201602123456","SYSLOG_IDENTIFIER":"etcd","_HOSTNAME":"cp0"}}"#
            ),
            Some("etcd"),
        ),
        (
            format!(
                r#"{{ "__CURSOR" : "s=1", "MESSAGE" : [{bytes}], "__REALTIME_TIMESTAMP" : "1795201602123456", "SYSLOG_IDENTIFIER" : "etcd" }}"#
            ),
            Some("etcd"),
        ),
        (entry, Some("etcd")),
        (verbose, Some("etcd")),
        (format!("2026-11-20T19:06:42.223456789Z {line}"), None),
        (
            format!("[pod/etcd-cp0/etcd] {line}"),
            Some("pod/etcd-cp0/etcd"),
        ),
        (
            format!("[pod/etcd-cp0/etcd] 2026-11-20T19:06:42.223456789Z {line}"),
            Some("pod/etcd-cp0/etcd"),
        ),
        (
            format!(r#"2026-11-20T19:06:43Z {{container="etcd", pod="etcd-cp0"}} {line}"#),
            Some("etcd"),
        ),
        (format!(r#"{{pod="etcd-cp0"}} {line}"#), None),
        (
            format!(r#"2026-11-20 19:06:43 +0000 kube.etcd: {{"log":"{json}","stream":"stderr"}}"#),
            None,
        ),
        (
            format!(
                "2026-11-20T19:06:43+00:00\tkube.etcd\t{{\"log\":\"{json}\\n\",\"stream\":\"stderr\"}}"
            ),
            None,
        ),
        (
            format!(
                r#"{{"insertId":"1","jsonPayload":{{"message":"{json}"}},"logName":"projects/p/logs/stderr","resource":{{"type":"k8s_container","labels":{{"container_name":"etcd","pod_name":"etcd-cp0"}}}},"timestamp":"2026-11-20T19:06:43.223Z"}}"#
            ),
            Some("etcd-cp0 etcd"),
        ),
        (
            format!(
                r#"{{"time":"2026-11-20T19:06:43.223Z","category":"etcd","properties":{{"log":"{json}\n","stream":"stderr","pod":"etcd-cp0","containerID":"y"}}}}"#
            ),
            Some("etcd"),
        ),
        (
            format!(
                r#"{{"id":"x","type":"log","attributes":{{"timestamp":"2026-11-20T19:06:43.223Z","message":"{json}","service":"etcd","host":"cp0"}}}}"#
            ),
            Some("etcd"),
        ),
        (format!("10.0.0.1: {line}"), None),
        (format!("etcd-1  | {line}"), Some("etcd-1")),
        (format!("etcd-cp0 etcd {line}"), Some("etcd-cp0 etcd")),
        (format!("var/log/etcd.log:{line}"), None),
        (format!("221:{line}"), None),
        (format!("var/log/etcd.log.gz:221:{line}"), None),
        (
            format!(
                r#"{{"@timestamp":1795201602.323456,"log":"2026-11-20T19:06:42.223456789Z stderr F {json}"}}"#
            ),
            None,
        ),
        (
            format!(
                r#"{{"@timestamp":"2026-11-20T19:06:42.323Z","message":"{json}","stream":"stderr"}}"#
            ),
            None,
        ),
        (
            format!(
                r#"{{"@timestamp":"2026-11-20T19:06:42.323Z","log":{{"offset":22,"file":{{"path":"/x"}}}},"message":"{json}"}}"#
            ),
            None,
        ),
        (
            format!(
                r#"{{"line":"{json}","timestamp":"1795201602223456000","labels":{{"app":"etcd"}}}},"#
            ),
            Some("etcd"),
        ),
        (
            format!(
                "2026-11-20T19:06:43+00:00 cp0 rke2-pods: 2026-11-20T19:06:42.223456789Z stderr F {tabs}"
            ),
            Some("rke2-pods"),
        ),
        (
            format!(
                "Nov 20 19:06:43 cp0 dockerd[1]: {{\"log\":\"{}\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-20T19:06:42.2Z\"}}",
                escaped(line)
            ),
            Some("dockerd"),
        ),
        (
            format!(r#"time="2026-11-20T19:06:43Z" level=info msg="{json}""#),
            None,
        ),
        (
            format!(r#"{{"level":"info","msg":"{json}","time":"2026-11-20T19:06:43Z"}}"#),
            None,
        ),
        (
            format!("2026-11-20T19:06:43.223456+00:00 stream-1a {line}"),
            None,
        ),
        (
            format!("kube-system etcd-cp0 etcd {line}"),
            Some("etcd-cp0 etcd"),
        ),
        (format!("* {line}"), None),
        (format!("stderr of the task was: {line}"), None),
    ]
}

const CONSOLE: &str = "2026-11-20T19:06:42.123456Z\twarn\tetcdserver/util.go:170\tapply request took too long\t{\"took\": \"112.966862ms\"}";

#[test]
fn every_wrapper_around_every_encoding() {
    let encodings = [
        (ZAP, Encoding::ZapJson),
        (CAPNSLOG, Encoding::Capnslog),
        (KLOG, Encoding::Klog),
        (CONSOLE, Encoding::ZapConsole),
    ];
    for (line, encoding) in encodings {
        for (text, ident) in wrappers(line) {
            if encoding == Encoding::ZapConsole && text.starts_with("stderr of") {
                // A console line has no mark that is looked for in the middle of a text.
                continue;
            }
            let record = one(&text);
            assert_eq!(record.encoding, encoding, "{text}");
            assert_eq!(record.msg, "apply request took too long", "{text}");
            assert_eq!(record.level, Level::Warn, "{text}");
            assert_eq!(
                record.time.as_deref(),
                Some("2026-11-20T19:06:42.123456Z"),
                "{text}"
            );
            assert_eq!(record.ident.as_deref(), ident, "{text}");
            let lines = text.trim_end_matches('\n').matches('\n').count() as u64 + 1;
            if !text.starts_with("__CURSOR") {
                assert_eq!(record.lines, (1, lines), "{text}");
            }
            if encoding != Encoding::Capnslog {
                let took = record.fields.iter().find(|(name, _)| name == "took");
                assert_eq!(
                    took.map(|(_, took)| &**took),
                    Some("112.966862ms"),
                    "{text}"
                );
            }
        }
    }
}

/// Exports in which a line stands twice, or several lines stand in one.
#[test]
fn exports_of_several_records_on_one_line() {
    let json = escaped(ZAP);
    let twice = [
        format!("[{ZAP},{ZAP}]"),
        format!("[ {ZAP}, {ZAP} ]"),
        format!(r#"[{{"log":"{json}"}},{{"log":"{json}"}}]"#),
        format!(
            r#"{{"hits":{{"total":2,"hits":[{{"_id":"a","_source":{{"message":"{json}"}}}},{{"_id":"b","_source":{{"message":"{json}"}}}}]}}}}"#
        ),
        format!(r#"{{"_source":{{"log":{{"offset":1}},"message":"{json}\n{json}"}}}}"#),
        format!(
            r#"{{"events":[{{"timestamp":1,"message":"{json}","ingestionTime":2}},{{"timestamp":1,"message":"{json}"}}],"searchedLogStreams":[]}}"#
        ),
        format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[]}},"scopeLogs":[{{"scope":{{}},"logRecords":[{{"timeUnixNano":"1795201602223456000","body":{{"stringValue":"{json}"}}}},{{"body":{{"stringValue":"{json}"}},"attributes":[]}}]}}]}}]}}"#
        ),
        format!(
            r#"[{{"id":"a","attributes":{{"message":"{json}"}}}},{{"attributes":{{"message":"{json}"}}}}]"#
        ),
        format!(
            r#"{{"streams":[{{"stream":{{"container":"etcd"}},"values":[["1795201602223456000","{json}"],["1795201602223456000","{json}\n"]]}}]}}"#
        ),
        format!(
            r#"{{"status":"success","data":{{"resultType":"streams","result":[{{"stream":{{}},"values":[["1","{json}",{{}}],["2","{json}",{{}}]]}}]}}}}"#
        ),
    ];
    for text in twice {
        let (records, counts) = decode(&text);
        let slow = records.iter().filter(|record| {
            record.msg == "apply request took too long" && record.fields.len() == 1
        });
        assert_eq!(
            (slow.count(), records.len(), counts.unparsed),
            (2, 2, 0),
            "{text}"
        );
    }
    // Printed over several lines, with objects inside.
    let json = escaped(&ZAP.replace("\":\"", "\": \""));
    let text = format!(
        "{{\n  \"stream\": {{\n    \"pod\": \"a\"\n  }},\n  \"values\": [\n    [\n      \"1\",\n      \"{json}\"\n    ]\n  ]\n}}"
    );
    assert_eq!(one(&text).msg, "apply request took too long");
    // More of them than there may be wrappers.
    let (records, _) = decode(format!("[{}]", [ZAP; 100].join(",")));
    assert_eq!(records.len(), 100);
    // Fluent Bit's line, and what it read in it.
    for text in [
        format!(
            r#"{{"@timestamp":1795201602.3,"log":"{json}","log_processed":{ZAP},"stream":"stderr"}}"#
        ),
        format!(r#"{{"log_processed":{ZAP},"log":"{json}"}}"#),
        format!(r#"{{"message":{ZAP}}}"#),
    ] {
        assert_eq!(one(&text).msg, "apply request took too long", "{text}");
    }
    // Of a list that is cut, what is there.
    let (records, counts) = decode(format!("[{ZAP},{}", &ZAP[..120]));
    assert_eq!((records.len(), counts.parsed), (2, 1));
}

/// What a request's own quotes are worth: one level of escapes too much undone, and its keys are
/// gone.
#[test]
fn a_klog_record_whose_header_became_an_exports_fields() {
    let export = |message: &str| {
        format!(
            r#"{{"insertId":"1","jsonPayload":{{"message":"{}","pid":"1"}},"logName":"projects/p/logs/container.googleapis.com%2Fcontroller-manager","resource":{{"labels":{{"component_name":"controller-manager"}},"type":"k8s_control_plane_component"}},"severity":"WARNING","sourceLocation":{{"file":"request.go","line":"697"}},"timestamp":"2026-11-20T19:06:42.123456Z"}}"#,
            escaped(message)
        )
    };
    let record = one(&export(
        r#""Waited before sending request" delay="1.5s" verb="GET""#,
    ));
    assert_eq!(
        (record.encoding, record.level),
        (Encoding::Klog, Level::Warn)
    );
    assert_eq!(record.msg, "Waited before sending request");
    assert_eq!(record.fields[0], ("delay".to_owned(), "1.5s".to_owned()));
    assert_eq!(record.time.as_deref(), Some("2026-11-20T19:06:42.123456Z"));
    assert_eq!(record.ident.as_deref(), Some("kube-controller-manager"));
    // A trace and its steps are in one message.
    let (records, _) = decode(export(
        "Trace[5]: \"Update\" url:/api/v1/pods,verb:PUT (20-Nov-2026 19:06:41.000) (total time: 1000ms):\nTrace[5]: [1.000s] [1.000s] END",
    ));
    let encodings: Vec<_> = records.iter().map(|record| record.encoding).collect();
    assert_eq!(encodings, [Encoding::Klog, Encoding::KlogTrace]);
}

#[test]
fn no_wrapper_takes_a_requests_escapes() {
    let line = r#"2021-05-14 16:47:40.512613 W | etcdserver: read-only range request "key:\"/registry/pods/\" range_end:\"/registry/pods0\" " with result "range_response_count:3 size:615" took too long (123.4ms) to execute"#;
    for (text, _) in wrappers(line) {
        let record = one(&text);
        assert_eq!(
            Some(&*record.msg),
            line.split_once(": ").map(|(_, msg)| msg),
            "{text}"
        );
        assert_eq!(record.level, Level::Warn, "{text}");
    }
}

#[test]
fn native_capnslog_has_its_header_in_the_journals_fields() {
    let record = one(
        r#"{"MESSAGE":"server is likely overloaded","PRIORITY":"4","PACKAGE":"etcdserver","SYSLOG_IDENTIFIER":"etcd","__REALTIME_TIMESTAMP":"1795201602123456"}"#,
    );
    assert_eq!(
        (record.encoding, record.level),
        (Encoding::Capnslog, Level::Warn)
    );
    assert_eq!(
        (&*record.logger, &*record.msg),
        ("etcdserver", "server is likely overloaded")
    );
    assert_eq!(record.source, TimeSource::Wrapper);
    let record = one(
        "2026-11-20T17:46:39.169 controller-0 etcd[23910]: warning server is likely overloaded",
    );
    assert_eq!(
        (record.encoding, record.level),
        (Encoding::Capnslog, Level::Warn)
    );
    assert_eq!(record.msg, "server is likely overloaded");
    let record = one("Nov 20 18:45:41 cp0 kernel: sd 0:0:0:0: [sda] I/O error");
    assert_eq!(
        (record.encoding, record.ident.as_deref()),
        (Encoding::Bare, Some("kernel"))
    );
}

#[test]
fn binary_fields_of_an_export_hold_any_bytes() {
    let entry = |message: &[u8]| {
        let mut entry = b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795201602123456\nMESSAGE\n".to_vec();
        entry.extend_from_slice(&(message.len() as u64).to_le_bytes());
        entry.extend_from_slice(message);
        entry.extend_from_slice(b"\nSYSLOG_IDENTIFIER=etcd\n\n");
        entry
    };
    // Ten bytes: the length itself looks like a newline.
    let mut text = entry(b"0123456\n89");
    text.extend(entry(ZAP.as_bytes()));
    text.extend_from_slice(ZAP.as_bytes());
    let (records, counts) = decode(&text);
    let messages: Vec<_> = records.iter().map(|record| &*record.msg).collect();
    let slow = "apply request took too long";
    assert_eq!(messages, ["0123456", "89", slow, slow]);
    assert_eq!(counts.unparsed, 0);
    // Nothing that a text begins with ends its field, at any length: an object, a name and a colon.
    for padding in ["", " ", "       "].into_iter().chain([&*" ".repeat(2400)]) {
        let json = escaped(ZAP);
        let line = format!(
            r#"{{"file":"/x","kubernetes":{{"container_name":"etcd"}},{padding}"message":"{json}"}}"#
        );
        let (records, counts) = decode([entry(line.as_bytes()), entry(line.as_bytes())].concat());
        let messages: Vec<_> = records.iter().map(|record| &*record.msg).collect();
        assert_eq!(
            (messages, counts.unparsed),
            (vec![slow, slow], 0),
            "{}",
            padding.len()
        );
        assert_eq!(records[0].ident.as_deref(), Some("etcd"));
    }
    // A length that lies does not swallow the records after it.
    let mut text = b"__CURSOR=s=1\nMESSAGE\n\xff\0\x10\0\0\0\0\0lost\n".to_vec();
    text.extend_from_slice(ZAP.as_bytes());
    let (records, _) = decode(&text);
    assert_eq!(records.last().map(|record| &*record.msg), Some(slow));
}

#[test]
fn a_wrapper_without_a_year_takes_the_records() {
    let mut outer = None;
    let mut decoder = Decoder::new(context());
    let text = format!(
        "Nov 24 19:06:43 cp0 etcd[1]: {}",
        ZAP.replace("2026-11-20", "2023-11-24")
    );
    decoder.block(text.as_bytes(), 1, &mut |record: &Record<'_>| {
        outer = record.outer.time
    });
    assert_eq!(outer, Timestamp::parse("2023-11-24T19:06:43Z"));
    // klog has no year either: both take the file's.
    let record = one("Nov 24 19:06:43 cp0 k3s[1]: I1124 19:06:42.770951       1 a.go:1] x");
    assert_eq!(record.time.as_deref(), Some("2025-11-24T19:06:42.770951Z"));
    assert_eq!(record.source, TimeSource::Completed);
}

#[test]
fn what_rsyslog_counted_is_repeated() {
    let head = "Nov 24 19:06:43 cp0 etcd[1]: message repeated 3 times: ";
    let record = one(&format!("{head}[ {CAPNSLOG}]"));
    assert_eq!(record.msg, "apply request took too long");
    assert_eq!((record.repeats, record.cut), (3, false));
    let record = one(&format!("{head}[server is likely overloaded]"));
    assert_eq!(
        (&*record.msg, record.repeats),
        ("server is likely overloaded", 3)
    );
    // It keeps 800 bytes.
    let record = one(&format!("{head}[ {CAPNSLOG} {}]", "x".repeat(800)));
    assert_eq!((record.repeats, record.cut), (3, true));
    let record = one("Nov 24 19:06:43 cp0 etcd[1]: message repeated: [x]");
    assert_eq!(record.repeats, 1);
}

#[test]
fn a_record_over_several_lines_is_one() {
    let pretty = "{\n    \"level\": \"warn\",\n    \"ts\": \"2026-11-20T19:06:42.123Z\",\n    \"msg\": \"slow\",\n    \"request content\":\"key:\"/registry/pods/\" limit:500 \"\n}";
    let record = one(pretty);
    assert_eq!((record.lines, &*record.msg), ((1, 6), "slow"));
    assert_eq!(record.fields[3].1, "key:\"/registry/pods/\" limit:500 ");
    let record = one(
        "Nov 20 18:45:41 cp0 bash[7]: {\"level\":\"info\",\"ts\":\"2026-11-20T19:06:42.123Z\",\"caller\":\"etcdserver/zap_raft.\ngo:77\",\"msg\":\"x lost leader y\"}",
    );
    assert_eq!((record.lines, &*record.msg), ((1, 2), "x lost leader y"));
    let record =
        one("I1120 19:06:42.123456       1 a.go:1] \"Using config\" config=<\n\tone\n\ttwo\n >");
    assert_eq!(
        (record.lines, &*record.fields[0].1),
        ((1, 4), "\tone\n\ttwo")
    );
    let record = one(
        "W1120 19:06:42.123456       1 logging.go:59] [core] failed to connect to {\n  \"Addr\": \"127.0.0.1:2379\",\n}. Err: connection error: desc = \"x\"",
    );
    assert!(
        record
            .msg
            .ends_with("}. Err: connection error: desc = \"x\"")
    );
    let record = one(
        "E1120 19:06:42.123456       1 a.go:1] error: Get \"https://cp0/kube-\n      system/leases\": context deadline exceeded",
    );
    assert_eq!(
        record.msg,
        "error: Get \"https://cp0/kube-system/leases\": context deadline exceeded"
    );
}

#[test]
fn a_panic_keeps_its_dump() {
    let text = format!(
        "{ZAP}\npanic: freepages: failed to get all reachable pages (page 4517: multiple references)\n\ngoroutine 107 [running]:\ngo.etcd.io/bbolt.(*DB).freepages.func2(0xc0000a6000)\n\t/go/pkg/mod/go.etcd.io/bbolt/db.go:1003 +0xe9\ncreated by go.etcd.io/bbolt.(*DB).freepages\n\t/go/pkg/x.go:2 +0x1\n{ZAP}"
    );
    let (records, counts) = decode(&text);
    assert_eq!((records.len(), counts.unparsed), (3, 0));
    assert_eq!((records[1].lines, records[1].level), ((2, 8), Level::Fatal));
    assert!(records[1].msg.starts_with("panic: freepages"));
    let text = format!(
        "F1120 19:06:42.123456       1 a.go:1] leaderelection lost\ngoroutine 1 [running]:\nmain.main()\n\t/go/a.go:1 +0x1\n{KLOG}"
    );
    let (records, counts) = decode(&text);
    assert_eq!((records.len(), counts.unparsed), (2, 0));
}

#[test]
fn a_fault_is_one_record_with_its_dump() {
    let dump = "unexpected fault address 0x7f3a457f3008\nfatal error: fault\n[signal SIGBUS: bus error code=0x2 addr=0x7f3a457f3008 pc=0x9e2b65]\n\ngoroutine 1 [running]:\nruntime.throw(0x121d104, 0x5)\n\t/go/panic.go:1117 +0x72";
    let framed = |frame: &str| -> String {
        let lines = dump.lines().map(|line| format!("{frame}{line}\n"));
        lines.collect()
    };
    for frame in [
        "",
        "2026-11-28T10:00:01.1Z stderr F ",
        "Nov 20 10:00:01 h etcd[5]: ",
    ] {
        let (records, counts) = decode(format!("{}{frame}{ZAP}", framed(frame)));
        assert_eq!((records.len(), counts.unparsed), (2, 0), "{frame}");
        assert_eq!((records[0].lines, records[0].level), ((1, 7), Level::Fatal));
        assert!(records[0].msg.contains("[signal SIGBUS"), "{frame}");
    }
}

#[test]
fn two_records_on_one_line_are_two() {
    let (records, counts) = decode(format!("{CAPNSLOG} {CAPNSLOG}\n{ZAP}{ZAP}\n"));
    assert_eq!((records.len(), counts.lines, counts.parsed), (4, 2, 2));
    // A record that a crash tore, and the first one after the restart.
    let (records, _) = decode(format!("{}{ZAP}", &ZAP[..120]));
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].msg, "apply request took too long");
}

#[test]
fn a_line_that_its_terminal_cut_says_so() {
    let record = one(
        r#"Nov 16 12:10:05 node1 etcd[27235]: {"level":"warn","ts":"2026-11-16T12:10:05.337596Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"330.8313ms","expected-dur>"#,
    );
    assert!(record.cut);
    assert_eq!(
        record.fields.last().map(|(name, took)| (&**name, &**took)),
        Some(("took", "330.8313ms"))
    );
    let record = one(
        r#"Nov 16 12:10:05 node1 etcd[27235]: request "header:<ID:1 > lease_revoke:<id:6a>" with result "size:31" took too long (1s) to execute"#,
    );
    assert!(!record.cut);
}

#[test]
fn unknown_lines_are_records_and_are_counted() {
    let (records, counts) =
        decode("Hello there\n\n  \nnt:1 size:518\" took too long (395.5ms) to execute\n");
    assert_eq!(
        (counts.lines, counts.parsed, counts.unparsed, counts.blank),
        (4, 2, 2, 2)
    );
    assert!(
        records
            .iter()
            .all(|record| record.encoding == Encoding::Bare)
    );
    assert_eq!(records.len(), 2);
}

#[test]
fn parts_that_never_end_are_given_out() {
    let (records, counts) = decode(
        "2026-11-20T19:06:42.2Z stderr P {\"level\":\"warn\",\"ts\":\"2026-11-20T19:06:42.123Z\",\"msg\":\"a\",\"took\":\"1m",
    );
    assert_eq!((records.len(), counts.unparsed), (1, 0));
    assert_eq!(records[0].msg, "a");
    // The writer died; another line of the same output follows.
    let (records, _) = decode(format!(
        "2026-11-20T19:06:42.2Z stderr P {}\n2026-11-20T19:06:42.2Z stderr F {ZAP}\n",
        &ZAP[..120]
    ));
    assert_eq!(records.len(), 2);
}

#[test]
fn a_stream_cut_anywhere_between_lines_is_joined_again() {
    let half = ZAP.len() / 2;
    let text = format!(
        "2026-11-20T19:06:42.2Z stderr F {ZAP}\n2026-11-20T19:06:42.2Z stderr P {}\n2026-11-20T19:06:42.2Z stderr P {}\n2026-11-20T19:06:42.2Z stderr F {}\n2026-11-20T19:06:42.3Z stderr F {KLOG} diff=<\n2026-11-20T19:06:42.3Z stderr F \tone\n2026-11-20T19:06:42.3Z stderr F  >\n2026-11-20T19:06:42.2Z stderr F {ZAP}\n",
        &ZAP[..half],
        &ZAP[half..half + 5],
        &ZAP[half + 5..]
    );
    let (whole, all) = decode(&text);
    assert_eq!(whole.len(), 4);
    for (at, _) in text.match_indices('\n') {
        let (first, second) = text.split_at(at + 1);
        let mut records = Vec::new();
        let mut one = Decoder::new(context());
        one.block(first.as_bytes(), 1, &mut |record: &Record<'_>| {
            records.push(seen(record))
        });
        let before = one.close();
        let mut later = Vec::new();
        let mut two = Decoder::with_head(context());
        two.block(second.as_bytes(), 1, &mut |record: &Record<'_>| {
            later.push(seen(record))
        });
        let after = two.close();
        let middle = join(before.tail, after.head, context(), &mut |_, record| {
            records.push(seen(record))
        });
        let tail = join(after.tail, None, context(), &mut |_, record| {
            later.push(seen(record))
        });
        records.extend(later);
        let mut counts = before.counts;
        for part in [middle, after.counts, tail] {
            counts.add(&part);
        }
        let bare = |records: &[Seen]| {
            records
                .iter()
                .map(|seen| Seen {
                    lines: (0, 0),
                    ..seen.clone()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(bare(&records), bare(&whole), "cut at {at}");
        assert_eq!(
            (counts.lines, counts.parsed, counts.unparsed),
            (all.lines, all.parsed, all.unparsed)
        );
        assert_eq!(before.lines + after.lines, all.lines);
    }
}

/// Lines to mix: whole, torn, wrapped, continued.
fn pool() -> Vec<String> {
    let mut pool: Vec<String> = [ZAP, CAPNSLOG, KLOG, CONSOLE]
        .iter()
        .flat_map(|line| wrappers(line).into_iter().map(|(text, _)| text))
        .collect();
    pool.extend(
        [
            &ZAP[..100],
            "}",
            "{",
            "  \"a\": 1,",
            "\tgoroutine",
            "panic: x",
            "goroutine 1 [running]:",
            "",
            "Trace[1]: x",
            "MESSAGE",
            "__CURSOR=1",
            " >",
            "plain text",
        ]
        .map(str::to_owned),
    );
    let json = escaped(ZAP);
    pool.extend([
        format!("[{ZAP},{ZAP}]"),
        format!("[{ZAP},{}", &ZAP[..100]),
        format!(r#"{{"_source":{{"log":"{json}"}}}}"#),
        format!(r#"{{"values":[["1","{json}"],["2","{}"]]}}"#, &json[..60]),
    ]);
    pool
}

/// Every line the slow way, whatever it is.
fn decode_slowly(text: &[u8]) -> (Vec<Seen>, LineCounts) {
    let mut records = Vec::new();
    let mut decoder = Decoder::new(context());
    let mut sink = |record: &Record<'_>| records.push(seen(record));
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        decoder.counts.lines += 1;
        decoder.slow(line, number, &mut sink);
    }
    decoder.finish(&mut sink);
    let counts = decoder.counts();
    (records, LineCounts { slow: 0, ..counts })
}

/// Pieces that lines of other programs and near misses of every wrapper are made of.
const SCRAPS: [&str; 54] = [
    "2026-11-01T00:00:01.000001",
    "2026-11-01T00:00:01.000001Z",
    "2026-11-01t00:00:01.000001Z",
    "2026-11-01T00:00:01+01:00",
    "2026-11-01 00:00:01.000001",
    "2026/11/01 00:00:01",
    "20:04:04.123456",
    ":41.942121",
    "Nov 21 20:04:04",
    "Sat 2026-11-21 20:04:04 UTC",
    "I1121 20:04:04.123456       1 a.go:12]",
    "etcd",
    "etcd[12]:",
    "host",
    "tag:",
    "a/b",
    "x.log:12:",
    "221:",
    "|",
    "W |",
    "stderr F",
    "stdout P",
    " std",
    "<30>",
    "<30>1",
    "{",
    "}",
    "{\"level\":\"warn\",\"msg\":\"x\"}",
    "[pod/a/b]",
    "[ 5123.170712]",
    "[WARNING]",
    "WARNING:",
    "raft2026/11/01 00:00:01",
    "INFO:",
    "time=2026-11-01T00:00:01Z",
    "level=info",
    "ts=1",
    "msg=x",
    "panic:",
    "goroutine 1",
    "runtime:",
    "PC=0x1",
    "exit status 2",
    "main.main()",
    "Trace[12]:",
    "--",
    "^C",
    "\t",
    "\r",
    "\u{1b}[31m",
    "#011",
    "\0",
    "words of a text",
    "took 12.5ms;",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        max_global_rejects: 100_000,
        ..proptest::prelude::ProptestConfig::with_cases(1000)
    })]

    /// What is told to be free text at once is what the long way finds to be free text.
    #[test]
    fn fast_and_slow_agree_on_lines_of_scraps(
        picks in proptest::collection::vec((0..SCRAPS.len(), 0..3_usize), 1..9)
    ) {
        let mut text = String::new();
        for (pick, space) in picks {
            text.push_str(SCRAPS[pick]);
            text.push_str(["", " ", " "][space]);
        }
        proptest::prop_assume!(bare::is_free_text(text.as_bytes()));
        let (fast, counts) = decode(&text);
        let slow = decode_slowly(text.as_bytes());
        proptest::prop_assert_eq!((fast, LineCounts { slow: 0, ..counts }), slow, "{:?}", text);
    }

    #[test]
    fn fast_and_slow_agree_on_any_text(text in "[A-Za-z0-9 :|\\[\\]/{}\"T.=<>,#-]{1,80}") {
        proptest::prop_assume!(bare::is_free_text(text.as_bytes()));
        let (fast, counts) = decode(&text);
        let slow = decode_slowly(text.as_bytes());
        proptest::prop_assert_eq!((fast, LineCounts { slow: 0, ..counts }), slow, "{:?}", text);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_break_the_law(bytes: Vec<u8>, newlines in proptest::collection::vec(0..200_usize, 0..8)) {
        let mut bytes = bytes;
        for at in newlines {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b'\n';
            }
        }
        let (_, counts) = decode(&bytes);
        let lines = bytes.split(|b| *b == b'\n').count() - usize::from(bytes.is_empty() || bytes.ends_with(b"\n"));
        proptest::prop_assert_eq!(counts.lines, lines as u64);
    }

    #[test]
    fn damaged_lines_keep_the_law(
        picks in proptest::collection::vec((0..1000_usize, 0..400_usize, proptest::option::of(0..255_u8)), 1..12)
    ) {
        let pool = pool();
        let mut bytes = Vec::new();
        for (pick, at, byte) in picks {
            let mut line = pool[pick % pool.len()].clone().into_bytes();
            let at = at % (line.len() + 1);
            match byte {
                Some(byte) => line.insert(at, byte),
                None => line.truncate(at),
            }
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        decode(&bytes);
    }

    #[test]
    fn fast_and_slow_agree_on_damaged_lines(
        picks in proptest::collection::vec((0..1000_usize, 0..400_usize, proptest::option::of(0..255_u8)), 1..6)
    ) {
        let pool = pool();
        let mut bytes = Vec::new();
        for (pick, at, byte) in picks {
            let mut line = pool[pick % pool.len()].clone().into_bytes();
            let at = at % (line.len() + 1);
            match byte {
                Some(byte) => line.insert(at, byte),
                None => line.truncate(at),
            }
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        for line in bytes.split(|b| *b == b'\n').filter(|line| bare::is_free_text(line)) {
            let (fast, counts) = decode(line);
            let slow = decode_slowly(line);
            proptest::prop_assert_eq!((fast, LineCounts { slow: 0, ..counts }), slow);
        }
    }

    #[test]
    fn blocks_may_be_split_between_any_lines(
        picks in proptest::collection::vec((0..1000_usize, proptest::bool::ANY), 1..20)
    ) {
        let pool = pool();
        let mut text = String::new();
        let mut blocks = vec![String::new()];
        for (pick, split) in picks {
            let line = format!("{}\n", pool[pick % pool.len()]);
            text.push_str(&line);
            // A wrapper of several lines is split between them too.
            for line in line.split_inclusive('\n') {
                blocks.last_mut().expect("one").push_str(line);
                if split {
                    blocks.push(String::new());
                }
            }
        }
        let (whole, counts) = decode(&text);
        let mut records = Vec::new();
        let mut decoder = Decoder::new(context());
        for block in &blocks {
            let first = decoder.counts().lines + 1;
            decoder.block(block.as_bytes(), first, &mut |record: &Record<'_>| records.push(seen(record)));
        }
        decoder.finish(&mut |record: &Record<'_>| records.push(seen(record)));
        proptest::prop_assert_eq!(records, whole);
        proptest::prop_assert_eq!(decoder.counts(), counts);
    }

    /// What the reader's cuts rest on: a decoder started at a sure start, with no part open
    /// before it, gives the rest of the records.
    #[test]
    fn a_sure_start_ends_all_that_was_open(
        picks in proptest::collection::vec(0..1000_usize, 2..20)
    ) {
        let pool = pool();
        let text: String = picks.iter().map(|pick| format!("{}\n", pool[pick % pool.len()])).collect();
        let (whole, _) = decode(&text);
        let mut cache = TimeCache::default();
        let mut open = [false; 2];
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = LineStart::of(line.trim_end_matches('\n').as_bytes(), &mut cache);
            if start.sure && open == [false; 2] && at > 0 {
                let (mut first, _) = decode(&text[..at]);
                let (second, _) = decode(&text[at..]);
                let lines = text[..at].matches('\n').count() as u64;
                first.extend(second.into_iter().map(|seen| Seen { lines: (seen.lines.0 + lines, seen.lines.1 + lines), ..seen }));
                proptest::prop_assert_eq!(&first, &whole, "cut before {}", line);
            }
            if let Some((lane, more)) = start.part {
                open[lane] = more;
            }
            at += line.len();
        }
    }
}
