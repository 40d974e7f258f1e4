//! Objects that are records, wrappers or neither, by their names.

use super::*;

fn class(text: &str) -> Object<'_> {
    classify(text.as_bytes(), &mut TimeCache::default())
}

fn record_of(text: &str) -> Parsed<'_> {
    match class(text) {
        Object::Record(parsed) => parsed,
        other => panic!("{text}: {other:?}"),
    }
}

fn wrapper_of(text: &str) -> Wrapped<'_> {
    match class(text) {
        Object::Wrapper(wrapped) => wrapped,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn records_by_their_names() {
    let cases = [
        (
            r#"{"ts":1738557840904.059,"caller":"a.go:1","msg":"m","err":"x"}"#,
            (Encoding::KlogJson, Level::Error),
        ),
        (
            r#"{"ts":1738557840904.059,"caller":"a.go:1","msg":"m","v":0}"#,
            (Encoding::KlogJson, Level::Info),
        ),
        (
            r#"{"ts":1738557840904.059,"caller":"a.go:1","msg":"m 1\n"}"#,
            (Encoding::KlogJson, Level::Error),
        ),
        (
            r#"{"ts":1738557840904.059,"caller":"a.go:1","msg":"m 1\n","v":0}"#,
            (Encoding::KlogJson, Level::Info),
        ),
        (
            r#"{"level": "warn", "ts": "2022-03-31T23:00:06.771Z", "msg": "m"}"#,
            (Encoding::ZapJson, Level::Warn),
        ),
        (
            r#"{"msg":"saved snapshot","snapshot-index":58260753}"#,
            (Encoding::ZapJson, Level::Unknown),
        ),
        (
            r#"{"component":"etcd","level":"warning","msg":"m","pkg":"etcdserver","time":"..."}"#,
            (Encoding::Logrus, Level::Warn),
        ),
        (
            r#"{"level":"Metadata","kind":"Event","apiVersion":"audit.k8s.io/v1","stageTimestamp":"2026-11-21T20:55:50.584431Z"}"#,
            (Encoding::Audit, Level::Unknown),
        ),
    ];
    for (text, want) in cases {
        let parsed = record_of(text);
        assert_eq!((parsed.encoding, parsed.level), want, "{text}");
    }
    assert_eq!(&*record_of(cases[2].0).msg, b"m 1");
    let parsed = record_of(cases[6].0);
    assert_eq!(parsed.logger, b"etcdserver");
    assert!(parsed.time.is_none());
    assert!(matches!(class(r#"{"a":1}"#), Object::Unknown));
}

#[test]
fn a_zap_record_may_have_other_names() {
    let text = r#"{"version":"1.2.0","timestamp":"2023-05-19T09:39:37.100+02:00","severity":"warning","message":"slow fdatasync","caller":"wal/wal.go:805","took":"1.52s"}"#;
    let parsed = record_of(text);
    assert_eq!(
        (parsed.encoding, parsed.level),
        (Encoding::ZapJson, Level::Warn)
    );
    assert_eq!(&*parsed.msg, b"slow fdatasync");
    assert_eq!(parsed.caller, b"wal/wal.go:805");
    let took = parsed
        .fields
        .get("took")
        .and_then(|took| took.duration_ns());
    assert_eq!(took, Some(1_520_000_000));
    assert_eq!(parsed.time, Timestamp::parse("2023-05-19T07:39:37.100Z"));
    // A program's whole line, and a source that is no position.
    for text in [
        r#"{"severity":"warning","message":"2026-11-21 19:32:28.496001 W | wal: x","caller":"a/b.go:5"}"#,
        r#"{"severity":"warning","message":"slow fdatasync","source":"/var/log/x.log"}"#,
        r#"{"severity":"warning","message":"slow fdatasync","caller":"b.go"}"#,
    ] {
        wrapper_of(text);
    }
}

#[test]
fn wrappers_by_their_names() {
    let wrapped =
        wrapper_of(r#"{"log":"a\n","stream":"stderr","time":"2022-03-07T09:08:30.051273291Z"}"#);
    assert_eq!(wrapped.docker, Some(Stream::Stderr));
    assert_eq!(&*line_of(wrapped.text), b"a\n");
    assert!(wrapped.time.is_some());
    let wrapped = wrapper_of(
        r#"{"@timestamp":1646644110.080202,"log":"x","kubernetes":{"pod":"p"},"stream":"stderr"}"#,
    );
    assert_eq!(wrapped.docker, None);
    let wrapped = wrapper_of(
        r#"{"MESSAGE":[72,105,10],"__REALTIME_TIMESTAMP":"1763757485693000","PRIORITY":"4","SYSLOG_IDENTIFIER":"etcd","PACKAGE":"wal","_HOSTNAME":"n1"}"#,
    );
    assert_eq!(&*line_of(wrapped.text), b"Hi\n");
    assert_eq!(
        (wrapped.level, wrapped.ident),
        (Level::Warn, Some(&b"etcd"[..]))
    );
    assert_eq!((wrapped.package, wrapped.journal), (&b"wal"[..], true));
    let wrapped = wrapper_of(r#"{"MESSAGE":["a","b\"c"],"__REALTIME_TIMESTAMP":"1"}"#);
    assert_eq!(&*line_of(wrapped.text), b"a\nb\"c");
    let wrapped = wrapper_of(r#"{"MESSAGE":null,"__REALTIME_TIMESTAMP":"1"}"#);
    assert_eq!(&*line_of(wrapped.text), b"");
}

#[test]
fn rows_of_exports_keep_their_times() {
    let rows = [
        (
            r#"{"stream":{"app":"kcm"},"values":[["1709633474346000001","E0305 a \"b\""],["1","c"],["1709633474346000002","d","e"]]}"#,
            "2024-03-05T10:11:14.346000001Z E0305 a \"b\"\nc\n2024-03-05T10:11:14.346000002Z d",
        ),
        (
            r#"{"results":[[{"field":"@timestamp","value":"2024-03-05 10:11:12.346"},{"field":"@message","value":"{\"level\":\"warn\"}"},{"field":"@ptr","value":"C"}],[{"field":"@message","value":"x"}],[{"field":"@ptr","value":"C"}]],"statistics":{}}"#,
            "2024-03-05T10:11:12.346000000Z {\"level\":\"warn\"}\nx",
        ),
    ];
    for (text, lines) in rows {
        let text = text.replace("\n", "");
        let line = line_of(wrapper_of(&text).text).into_owned();
        assert_eq!(String::from_utf8_lossy(&line), lines, "{text}");
    }
    // Printed over several lines its columns are objects of their own.
    let column = wrapper_of(r#"{"field":"@message","value":"E0305 a"}"#);
    assert_eq!(&*line_of(column.text), b"E0305 a");
    assert!(matches!(
        class(r#"{"field":"@ptr","value":"C"}"#),
        Object::Unknown
    ));
    let other = r#"{"results":[[{"field":"x","value":"y"}]]}"#;
    assert!(matches!(class(other), Object::Unknown));
}

#[test]
fn kibanas_fields_are_lists() {
    let hit = r#"{"_index":"l","fields":{"@timestamp":["2024-03-05T10:11:14.346Z"],"message":["a"]},"sort":[1]}"#;
    let inner = wrapper_of(hit).text;
    let inner = std::str::from_utf8(inner.raw).expect("text");
    let wrapped = wrapper_of(inner);
    assert_eq!(wrapped.time, Timestamp::parse("2024-03-05T10:11:14.346Z"));
    assert_eq!(&*line_of(wrapped.text), b"a");
    // The source goes first, wherever it stands, and other programs' fields are none.
    let both = r#"{"fields":{"message":["a"]},"_source":{"message":"b"}}"#;
    assert_eq!(wrapper_of(both).text.raw, br#"{"message":"b"}"#);
    let filebeat = r#"{"fields":{"message":["a"]},"message":"b"}"#;
    assert_eq!(&*line_of(wrapper_of(filebeat).text), b"b");
    assert!(matches!(
        class(r#"{"fields":{"a":["b"]}}"#),
        Object::Unknown
    ));
}

#[test]
fn exports_of_clouds_name_the_writer() {
    let google = wrapper_of(
        r#"{"insertId":"1","jsonPayload":{"message":"Waited","pid":"1"},"logName":"projects/p/logs/container.googleapis.com%2Fscheduler","resource":{"labels":{"component_name":"scheduler","cluster_name":"c"},"type":"k8s_control_plane_component"},"severity":"INFO","sourceLocation":{"file":"request.go","line":"697"},"timestamp":"2026-11-20T10:00:00.123456Z"}"#,
    );
    assert_eq!(google.ident, Some(&b"kube-scheduler"[..]));
    assert_eq!(
        (google.headless, google.level),
        (&b"request.go"[..], Level::Info)
    );
    assert!(google.time.is_some());
    let azure =
        r#"{"time":"2026-11-21T19:32:33.2Z","category":"kube-apiserver","properties":PROPERTIES}"#;
    for properties in [
        r#"{"log":"I1121 x\n","stream":"stderr","pod":"p"}"#,
        r#""{\"log\":\"I1121 x\",\"stream\":\"stderr\"}""#,
    ] {
        let text = azure.replace("PROPERTIES", properties);
        let wrapped = wrapper_of(&text);
        assert_eq!(wrapped.ident, Some(&b"kube-apiserver"[..]), "{text}");
        assert!(wrapped.time.is_some() && wrapped.headless.is_empty());
    }
    // Other documents have categories, too.
    let other = wrapper_of(r#"{"time":"2026-11-21T19:32:33.2Z","category":"etcd","message":"x"}"#);
    assert_eq!(other.ident, None);
}

#[test]
fn of_names_for_a_line_the_one_with_a_text_has_it() {
    let cases = [
        (
            r#"{"log":{"offset":22,"file":{"path":"/x"}},"message":"a"}"#,
            "a",
        ),
        (r#"{"message":"a","log":{"offset":22}}"#, "a"),
        (r#"{"line":7,"message":"a"}"#, "a"),
        (r#"{"log":{"msg":"a"},"message":"b"}"#, r#"{"msg":"a"}"#),
        (r#"{"log":"a","message":"b"}"#, "a"),
        (r#"{"log":{"log":"a"}}"#, r#"{"log":"a"}"#),
    ];
    for (text, line) in cases {
        assert_eq!(&*line_of(wrapper_of(text).text), line.as_bytes(), "{text}");
    }
    // A record beside filebeat's own object is one still.
    let text = r#"{"log":{"offset":22},"stream":"stderr","level":"warn","msg":"m"}"#;
    assert_eq!(&*record_of(text).msg, b"m");
}

#[test]
fn dockers_own_form_is_read_from_its_ends() {
    let text = br#"{"log":"{\"a\":1}\n","stream":"stderr","time":"2022-03-07T09:08:30.05Z"}"#;
    let want: (&[u8], &[u8]) = (br#"{\"a\":1}"#, b"2022-03-07T09:08:30.05Z");
    assert_eq!(docker(text), Some(want));
    for text in [
        r#"{"log":"part","stream":"stderr","time":"2022-03-07T09:08:30.05Z"}"#,
        r#"{"log":"x\\n","stream":"stderr","time":"2022-03-07T09:08:30.05Z"}"#,
        r#"{"log":"x\n","stream":"stderr","attrs":{},"time":"2022-03-07T09:08:30.05Z"}"#,
    ] {
        assert_eq!(docker(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn only_an_object_of_its_own_starts_a_record() {
    for text in [
        r#"{"level":"#,
        r#"{ "ts" : 1"#,
        "{",
        "{ ",
        r#"{"@timestamp":1"#,
    ] {
        assert!(starts(text.as_bytes()), "{text}");
    }
    for text in [
        r#"{"a b":1}"#,
        r#"{"":1}"#,
        "{x",
        r#"{"unfinished"#,
        r#"{"a" "b"}"#,
    ] {
        assert!(!starts(text.as_bytes()), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "\\{[\"a-zA-Z_:,0-9\\[\\]\\\\{} ]{0,80}") {
        let _ = (class(&text), starts(text.as_bytes()), closed(text.as_bytes()));
    }
}

#[test]
fn a_batch_of_audit_records_holds_them() {
    let event = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"ResponseComplete","stageTimestamp":"2026-11-21T20:30:31.2Z"}"#;
    let list = format!(
        r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{event},{event}]}}"#
    );
    let inner = wrapper_of(&list).text;
    assert!(has_objects(&inner));
    assert_eq!(inner.raw, format!("[{event},{event}]").as_bytes());
    // The events of a namespace are no lines, and neither is an empty batch.
    for other in [
        r#"{"apiVersion":"v1","items":[{"kind":"Event","message":"Pulled image","type":"Normal"}],"kind":"List"}"#,
        r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[]}"#,
    ] {
        assert!(matches!(class(other), Object::Unknown), "{other}");
    }
}
