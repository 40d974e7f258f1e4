//! Records without their values.

use super::*;

fn shown(text: &str) -> String {
    let out = String::from_utf8(hidden(text.as_bytes())).unwrap();
    assert_eq!(out.len(), text.len());
    assert_eq!(hidden(out.as_bytes()), out.as_bytes(), "twice");
    out
}

/// The line of a put at debug level, its value as etcd escapes it.
fn put(value: &str) -> String {
    format!(
        r#"{{"level":"debug","ts":"2026-11-21T19:32:33.1Z","caller":"etcdserver/server.go:1800","msg":"applyEntryNormal","raftReq":"header:<ID:75 > put:<key:\"/registry/secrets/a/b\" value:\"{value}\" lease:7 > "}}"#
    )
}

#[test]
fn values_go_and_all_else_stays() {
    let value = r#"k8s\\000 {\\\"a\\\":\\\"key:\\\\\\\"/registry/pods/x\\\\\\\"\\\"}"#;
    let filled = "x".repeat(value.len());
    assert_eq!(shown(&put(value)), put(&filled));
    let two = put(value) + "\n" + &put(value);
    assert_eq!(shown(&two), put(&filled) + "\n" + &put(&filled));
    for line in [
        r#"2021-05-14 16:47:40.512613 D | etcdserver: put:<key:"/registry/a" value:"S\"S\000" >"#,
        r#"{"level":"debug","ts":"2026-11-21T19:32:33.1Z","msg":"x","request":"auth_user_add:<name:\"root\" password:\"SSS\" >"}"#,
        r#"{"level":"debug","ts":"2026-11-21T19:32:33.1Z","msg":"x","request":"Method:\"PUT\" Path:\"/a\" Val:\"SSS"#,
        r#"I1120 19:06:42.123456       1 request.go:1188] Request Body: {"kind":"Secret","data":{"a":"SSS"}}"#,
    ] {
        let shown = shown(line);
        assert!(!shown.contains('S') || shown.contains("S ["), "{shown}");
        assert!(!shown.contains("SS"), "{shown}");
    }
    let plain = put("")
        .replace("value:", "value_size:")
        .replace("\\\"\\\"", "12");
    assert_eq!(shown(&plain), plain);
}

#[test]
fn what_a_runtime_split_goes_in_each_part() {
    let value = r"k8s\\000SSSSSSSSSSSSSSSSSSSSSSSSS\\000";
    let line = put(value);
    let expected = put(&"x".repeat(value.len()));
    let cut = line.find("SSS").unwrap();
    for (cut, second) in [(cut + 3, cut + 9), (cut - 2, cut), (cut - 11, cut + 1)] {
        let parts = |line: &str| {
            let stamp = "2026-11-21T19:32:33.1Z stderr";
            let (a, rest) = line.split_at(cut);
            let (b, c) = rest.split_at(second - cut);
            format!("{stamp} P {a}\n{stamp} P {b}\n{stamp} F {c}\n")
        };
        let shown = shown(&parts(&line)).replace('\\', "");
        assert_eq!(shown, parts(&expected).replace('\\', ""));
    }
    let docker = |text: &str, end: &str| {
        let text = serde_json::to_string(&format!("{text}{end}")).unwrap();
        format!("{{\"log\":{text},\"stream\":\"stderr\",\"time\":\"2026-11-21T19:32:33.1Z\"}}\n")
    };
    let (a, b) = line.split_at(cut + 3);
    let text = docker(a, "") + &docker(b, "\n");
    let out = shown(&text);
    assert!(!out.contains('S'), "{out}");
    assert!(out.contains("lease:7"), "{out}");
}

#[test]
fn a_beginning_in_the_middle_of_a_value_goes_too() {
    let value = r#"k8s\\000 {\\\"a\\\":\\\"SSSSSSSS\\\"}\\n"#;
    let line = put(value);
    let begin = line.find("value:").unwrap() - 2;
    for cut in begin..line.find("lease").unwrap() {
        let out = shown(&line[cut..]);
        assert!(!out.contains('S'), "{cut}: {out}");
        assert!(out.ends_with(" > \"}"), "{cut}: {out}");
    }
    // The rest of anything else stays.
    for cut in (1..begin).chain(line.find("lease").unwrap()..line.len()) {
        let masked = shown(&line).split_off(cut);
        assert_eq!(shown(&line[cut..]), masked, "{cut}");
    }
}

#[test]
fn bodies_of_audit_records_go() {
    let line = |body: &str| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"a","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/secrets","verb":"create","user":{{"username":"admin"}},"sourceIPs":["10.0.0.9"],"userAgent":"x/1.0","objectRef":{{"resource":"secrets","namespace":"shop","apiVersion":"v1"}},"responseStatus":{{"metadata":{{}},"code":201}},{body}"requestReceivedTimestamp":"2026-11-21T19:32:33.100000Z","stageTimestamp":"2026-11-21T19:32:33.200000Z"}}"#
        )
    };
    let body = r#"{"kind":"Secret","metadata":{"name":"SSS"},"data":{"a":"SSSSSS}\"","b":"\nSS"},"type":"SSS"}"#;
    let bodies = format!(r#""requestObject":{body},"responseObject":{body},"#);
    let text = line(&bodies);
    let out = shown(&text);
    assert!(!out.contains("SS"), "{out}");
    assert_eq!(out.find("requestReceived"), text.find("requestReceived"));
    assert!(
        serde_json::from_str::<serde_json::Value>(&out).is_ok(),
        "{out}"
    );
    for cut in 1..text.len() {
        for part in [&text[cut..], &text[..cut]] {
            let out = shown(part);
            assert!(!out.contains("SS"), "{cut}: {out}");
        }
    }
    let without = line("");
    for cut in 0..without.len() {
        assert_eq!(shown(&without[cut..]), &without[cut..], "{cut}");
    }
}

proptest::proptest! {
    #[test]
    fn never_longer_never_shorter(text: Vec<u8>) {
        assert_eq!(hidden(&text).len(), text.len());
    }

    #[test]
    fn never_panics_on_quotes(text in r#"(value:|\\|"|requestObject|\{|\}|:|P |2026-11-21T19:32:33.1Z stderr |a|\n){0,24}"#) {
        assert_eq!(hidden(text.as_bytes()).len(), text.len());
    }
}
