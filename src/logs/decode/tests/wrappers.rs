//! What stands around a record: exports, journals, rotation, shippers.

use super::*;

/// Every wrapper around a line, with the program it names.
pub(super) fn wrappers(line: &str) -> Vec<(String, Option<&'static str>)> {
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
            format!("1795201602.223456 cp0 etcd[2586]: {line}"),
            Some("etcd"),
        ),
        (
            format!("[12345.678901 <    0.000123 >] cp0 etcd[2586]: {line}"),
            Some("etcd"),
        ),
        (
            format!("1795201602223\t2026-11-20T19:06:42.223Z\t{line}"),
            None,
        ),
        (
            format!(r#"{{"stream":{{}},"values":[["1795201602223456789","{json}"]]}}"#),
            None,
        ),
        (
            format!(
                r#"{{"results":[[{{"field":"@timestamp","value":"2026-11-20 19:06:42.223"}},{{"field":"@message","value":"{json}"}}]]}}"#
            ),
            None,
        ),
        (
            format!(
                r#"{{"_id":"1","fields":{{"@timestamp":["2026-11-20T19:06:42.223Z"],"message":["{json}"]}}}}"#
            ),
            None,
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
        (format!("var/log/etcd.log:{line}"), Some("var/log/etcd.log")),
        (format!("221:{line}"), None),
        (
            format!("var/log/etcd.log.gz:221:{line}"),
            Some("var/log/etcd.log.gz"),
        ),
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
fn what_an_export_says_of_the_time_completes_klogs_date() {
    let klog = "E0305 10:11:14.123456       1 leaderelection.go:369] x";
    for text in [
        format!("1709633474.345678 m1 kube-controller-manager[9]: {klog}"),
        format!("1709633474346\t2024-03-05T10:11:14.346Z\t{klog}"),
        format!(r#"{{"stream":{{}},"values":[["1709633474346000000","{klog}"]]}}"#),
        format!(
            r#"{{"results":[[{{"field":"@timestamp","value":"2024-03-05 10:11:14.346"}},{{"field":"@message","value":"{klog}"}}]]}}"#
        ),
        format!(
            r#"{{"fields":{{"@timestamp":["2024-03-05T10:11:14.346Z"],"message":["{klog}"]}}}}"#
        ),
    ] {
        let (records, _) = decode(&text);
        let times: Vec<_> = records
            .iter()
            .map(|record| record.time.as_deref())
            .collect();
        assert_eq!(times, [Some("2024-03-05T10:11:14.123456Z")], "{text}");
    }
}

#[test]
fn a_message_alone_keeps_the_time_before_it() {
    let (records, _) = decode(
        "2025-03-18T12:21:38.350+01:00 dropped internal Raft message since sending buffer is full (overloaded network)\n2025-03-18T12:21:38.350+01:00 nobody knows this one\n",
    );
    let times: Vec<_> = records
        .iter()
        .map(|record| record.time.as_deref())
        .collect();
    assert_eq!(times, [Some("2025-03-18T11:21:38.350Z"), None]);
}

#[test]
fn a_batch_of_audit_records_is_read_one_by_one() {
    let event = |n: u32| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"{n}","stage":"ResponseComplete","verb":"list","stageTimestamp":"2026-11-21T20:30:3{n}.200000Z"}}"#
        )
    };
    let spaced = |text: &str| {
        text.replace(':', ": ")
            .replace("30: 3", "30:3")
            .replace("20: ", "20:")
    };
    let list = format!(
        r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{},{}]}}"#,
        event(1),
        event(2)
    );
    let array = format!("[{},{}]", event(1), event(2));
    for text in [&list, &spaced(&list), &array] {
        let (records, counts) = decode(text);
        let times: Vec<_> = records.iter().map(|seen| seen.time.clone()).collect();
        let kinds: Vec<_> = records.iter().map(|seen| seen.encoding).collect();
        assert_eq!(kinds, [Encoding::Audit, Encoding::Audit], "{text}");
        assert!(
            times[0] < times[1] && times[0].is_some(),
            "{times:?} {text}"
        );
        assert_eq!(counts.unparsed, 0, "{text}");
    }
    // What stands on lines of its own around them is none of them.
    let lines = format!("[\n{},\n{}\n]", event(1), event(2));
    let (mut records, _) = decode(&lines);
    records.retain(|seen| seen.encoding == Encoding::Audit);
    assert_eq!(records.len(), 2);
}
