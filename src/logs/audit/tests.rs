//! Audit records of all levels and versions.

use super::*;

const LINE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"6f26","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/default/deployments?limit=500\u0026resourceVersion=0","verb":"list","user":{"username":"admin","groups":["system:masters"],"extra":{"k":["v"]}},"impersonatedUser":{"username":"bob"},"sourceIPs":["192.168.13.138","10.0.0.1"],"userAgent":"kubectl/v1.23.5 (linux/amd64) kubernetes/c285e78","objectRef":{"resource":"deployments","namespace":"default","apiGroup":"apps","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2022-05-15T17:50:20.617783Z","stageTimestamp":"2022-05-15T17:50:20.620154Z","annotations":{"apiserver.latency.k8s.io/etcd":"1.5ms","authorization.k8s.io/decision":"allow"}}"#;

#[test]
fn a_whole_record() {
    let audit = parse(LINE.as_bytes()).unwrap();
    assert_eq!(audit.audit_id, "6f26");
    assert_eq!(audit.stage, Stage::ResponseComplete);
    assert_eq!(audit.parts.resource_group(), "deployments.apps");
    assert_eq!(audit.parts.namespace.as_deref(), Some("default"));
    assert_eq!(audit.user.as_deref(), Some("admin"));
    assert_eq!(audit.impersonated.as_deref(), Some("bob"));
    assert_eq!(audit.source_ip.as_deref(), Some("192.168.13.138"));
    assert_eq!(audit.code, Some(200));
    assert_eq!(audit.latency_ns(), Some(2_371_000));
    assert_eq!(audit.etcd_ns, Some(1_500_000));
    assert_eq!(
        audit.list,
        Some(List {
            source: ListSource::Cache,
            limit: Some(500),
            continued: false,
            selected: false
        })
    );
    assert_eq!(
        audit.received.unwrap().to_string(),
        "2022-05-15T17:50:20.617783Z"
    );
}

/// What a record of known texts says, as a line read in full does.
fn as_whole<'a>(known: &'a Known, record: &'a KnownRecord<'_>) -> AuditRecord<'a> {
    let text = |bytes: &'a [u8]| Cow::Borrowed(std::str::from_utf8(bytes).unwrap());
    AuditRecord {
        audit_id: text(record.audit_id),
        stage: record.stage,
        verb: Cow::Borrowed(record.asked.verb.word()),
        code: record.code,
        received: record.received,
        stage_time: record.stage_time,
        list: record.list,
        parts: KeyParts {
            namespace: record.namespace.map(text),
            name: record.name.map(text),
            ..KeyParts::default()
        },
        user: Some(Cow::Borrowed(known.texts(record).user)),
        user_agent: Some(Cow::Borrowed(known.texts(record).agent)),
        subresource: Some(Cow::Borrowed(known.texts(record).resource)),
        ..AuditRecord::default()
    }
}

/// The same of a line read in full.
fn only_known(record: AuditRecord<'_>) -> AuditRecord<'_> {
    AuditRecord {
        user: Some(record.user.unwrap_or_default()),
        user_agent: Some(record.user_agent.unwrap_or_default()),
        subresource: Some(Cow::Owned(record.parts.resource_group().into_owned())),
        parts: KeyParts {
            namespace: record.parts.namespace.clone(),
            name: record.parts.name.clone(),
            ..KeyParts::default()
        },
        uri: Cow::default(),
        impersonated: None,
        source_ip: None,
        ..record
    }
}

fn with_body(line: &str) -> String {
    line.replace(
        r#""requestReceivedTimestamp""#,
        r#""requestObject":{"a":["}",{"verb":"x"}]},"requestReceivedTimestamp""#,
    )
}

#[test]
fn a_line_like_those_before_it_is_known() {
    let line = LINE.replace("\"apiserver.latency.k8s.io/etcd\":\"1.5ms\",", "");
    let mut known = Known::default();
    for line in [&line, &with_body(&line), &line, &with_body(&line)] {
        let record = known.read(line.as_bytes()).unwrap();
        let whole = parse(line.as_bytes()).unwrap();
        assert_eq!(as_whole(&known, &record), only_known(whole));
    }
    // What says how long its parts took is read in full.
    assert_eq!(known.read(LINE.as_bytes()), None);
    // Another user, program, resource, query and end, one at a time.
    for (from, to) in [
        (r#""admin""#, r#""adm\u0069n""#),
        (r#""admin","groups""#, r#""other","groups""#),
        (r#"{"username":"admin","#, "{"),
        ("kubectl/v1.23.5", "kubectl/v1.24.0"),
        (
            r#""userAgent":"kubectl/v1.23.5 (linux/amd64) kubernetes/c285e78","#,
            "",
        ),
        (r#""resource":"deployments""#, r#""resource":"nodes""#),
        (r#""apiGroup":"apps""#, r#""apiGroup":"example.com""#),
        ("resourceVersion=0", "resourceVersion=7"),
        ("limit=500", "continue=abc"),
        ("/apis/apps", "https://host/apis/apps"),
        (r#""allow""#, r#""forbid""#),
        (
            r#","annotations":{"authorization.k8s.io/decision":"allow"}"#,
            "",
        ),
        (":200", r#":404,"reason":"NotFound""#),
        ("ResponseComplete", "RequestReceived"),
    ] {
        for line in [
            line.replacen(from, to, 1),
            with_body(&line).replacen(from, to, 1),
        ] {
            assert!(line.contains(to));
            let record = known.read(line.as_bytes()).expect(to);
            let whole = parse(line.as_bytes()).unwrap();
            assert_eq!(as_whole(&known, &record), only_known(whole), "{to}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn known_or_read_in_full_is_the_same(
        cut in 0usize..760,
        len in 0usize..12,
        put in "[\"\\\\{},a:\\[\\]é0Z\u{1}]{0,3}",
        body: bool,
        other: bool,
    ) {
        let mut line = LINE.replace("\"apiserver.latency.k8s.io/etcd\":\"1.5ms\",", "");
        if other {
            line = line.replace(r#""namespace":"default""#, r#""namespace":"default","name":"n""#);
        }
        let line = if body { with_body(&line) } else { line };
        let mut known = Known::default();
        proptest::prop_assert!(known.read(line.as_bytes()).is_some());
        let mut line = line.into_bytes();
        let cut = cut.min(line.len());
        let end = (cut + len).min(line.len());
        line.splice(cut..end, put.bytes());
        // Once as it comes, once when all its texts were met.
        for _ in 0..2 {
            if let Some(record) = known.read(&line) {
                let whole = parse(&line).map(only_known);
                proptest::prop_assert_eq!(Some(as_whole(&known, &record)), whole);
            }
        }
    }

    #[test]
    fn the_time_of_a_line_is_the_same_by_a_known_end(
        cut in 0usize..400,
        len in 0usize..12,
        put in "[\"\\\\{},a:é0Z]{0,3}",
    ) {
        use crate::logs::format::object::{audit, usual_audit};
        use crate::logs::timestamp::TimeCache;

        let mut tails = Tails::default();
        let first = LINE.replace("\"apiserver.latency.k8s.io/etcd\":\"1.5ms\",", "");
        usual_audit(first.as_bytes(), &mut TimeCache::default(), &mut tails);
        proptest::prop_assert!(tails.stage_time(first.as_bytes()).is_some());
        let mut line = first.into_bytes();
        let cut = line.len().saturating_sub(cut);
        let end = (cut + len).min(line.len());
        line.splice(cut..end, put.bytes());
        let usual = usual_audit(&line, &mut TimeCache::default(), &mut tails);
        let whole = audit(&line, &mut TimeCache::default());
        proptest::prop_assert_eq!((usual.time, usual.time_source), (whole.time, whole.time_source));
    }

    #[test]
    fn by_position_or_in_any_order_is_the_same(
        cut in 0usize..700,
        len in 0usize..12,
        put in "[\"\\\\{},a:\\[\\]é]{0,3}",
        body: bool,
    ) {
        let usual_line = LINE.replace(r#""impersonatedUser":{"username":"bob"},"#, "");
        let mut line = match body {
            true => usual_line.replace(
                r#""requestReceivedTimestamp""#,
                r#""requestObject":{"a":["}",{"verb":"x"}]},"requestReceivedTimestamp""#,
            ),
            false => usual_line,
        }
        .into_bytes();
        proptest::prop_assert!(usual(&line).is_some());
        let cut = cut.min(line.len());
        let end = (cut + len).min(line.len());
        line.splice(cut..end, put.bytes());
        if let Some(record) = usual(&line) {
            proptest::prop_assert_eq!(Some(record), any_order(&line));
        }
    }
}

#[test]
fn bodies_are_not_read_and_other_orders_are() {
    let body = r#""requestObject":{"auditID":"wrong","verb":"x","s":"} \" {"},"responseObject":{"stageTimestamp":"1999-01-01T00:00:00.000000Z"},"requestReceivedTimestamp""#;
    let with_body = LINE.replace("\"requestReceivedTimestamp\"", body);
    assert_eq!(parse(with_body.as_bytes()), parse(LINE.as_bytes()));
    let mut value: serde_json::Value = serde_json::from_str(&with_body).unwrap();
    // serde_json sorts the names, so bodies come before verb and user.
    value["annotations"]["z"] = "1".into();
    let sorted = value.to_string();
    let audit = parse(sorted.as_bytes()).unwrap();
    let plain = parse(LINE.as_bytes()).unwrap();
    assert_eq!((audit.verb, audit.code), (plain.verb, plain.code));
    assert_eq!(audit.code, plain.code);
}

#[test]
fn watches_have_no_latency() {
    let watch = LINE.replace("\"verb\":\"list\"", "\"verb\":\"watch\"");
    let audit = parse(watch.as_bytes()).unwrap();
    assert_eq!((audit.latency_ns(), audit.list), (None, None));
}

#[test]
fn torn_lines_give_what_is_there() {
    for cut in 0..LINE.len() {
        let _ = parse(LINE.as_bytes().get(..cut).unwrap());
    }
    let cut = LINE.find("\"objectRef\"").unwrap();
    let audit = parse(LINE.as_bytes().get(..cut).unwrap()).unwrap();
    // The path still names the resource.
    assert_eq!(audit.parts.resource_group(), "deployments.apps");
    assert_eq!(audit.latency_ns(), None);
    assert!(parse(b"{}").is_none());
}

proptest::proptest! {
    #[test]
    fn never_panics(line: Vec<u8>) {
        let _ = parse(&line);
        let _ = timestamp(&line);
    }
}
