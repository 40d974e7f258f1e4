//! Tests over the whole catalogue, and over complete logs of real servers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::types::{Extractor, How, Role};
use super::{Detail, catalogue, classify, signature};
use crate::logs::event::{Event, Extra};
use crate::logs::format::object::{self, Object};
use crate::logs::format::site::Sites;
use crate::logs::format::{Parsed, Reference, parse_text, zap};
use crate::logs::record::{Encoding, Level, Outer, Record};
use crate::logs::timestamp::TimeCache;

/// A bare line to a record: the wrappers are tested where they are read.
fn decode(text: &[u8]) -> Record<'_> {
    let mut cache = TimeCache::default();
    let parsed = match text.first() {
        Some(b'{') => match zap::parse(text, &mut cache, &mut Sites::default()) {
            Some(parsed) => Some(parsed),
            None => match object::classify(text, &mut cache) {
                Object::Record(parsed) => Some(parsed),
                _ => None,
            },
        },
        _ => parse_text(text, &Reference::default(), &mut cache),
    };
    let bare = || {
        let mut parsed = Parsed::bare(Encoding::Bare, text);
        // As the decoder does with a dump.
        let dump = ["panic: ", "unexpected fault ", "SIG", "[signal SIG"];
        if dump.iter().any(|head| text.starts_with(head.as_bytes())) {
            parsed.level = Level::Fatal;
        }
        parsed
    };
    parsed
        .unwrap_or_else(bare)
        .into_record(1, 1, Outer::default())
}

/// What roles an event has filled.
fn filled(event: &Event<'_>, role: Role) -> bool {
    match role {
        Role::Took => event.took_ns.is_some(),
        Role::Expected => event.expected_ns.is_some(),
        Role::Client => event.client.is_some(),
        Role::Error => event.error.is_some(),
        Role::Request => event.request.is_some(),
        Role::Response | Role::ResponseSize => event.response.size.is_some(),
        Role::ResponseCount => event.response.range_response_count.is_some(),
        Role::Agreement => event.agreement_ns.is_some(),
        Role::Verb => event.api.as_ref().is_some_and(|call| !call.verb.is_empty()),
        Role::Url => event
            .api
            .as_ref()
            .is_some_and(|call| !call.parts.resource.is_empty()),
        Role::Lease => event
            .api
            .as_ref()
            .is_some_and(|call| call.parts.name.is_some()),
        Role::Agent => event
            .api
            .as_ref()
            .is_some_and(|call| call.user_agent.is_some()),
        Role::Status => event.api.as_ref().is_some_and(|call| call.status.is_some()),
        Role::Text(name)
        | Role::Int(name)
        | Role::Ms(name)
        | Role::Flag(name)
        | Role::Member(name) => event.extra.iter().any(|(known, value)| {
            let fits = matches!(
                (role, value),
                (Role::Text(_), Extra::Text(_))
                    | (Role::Int(_), Extra::Int(_) | Extra::Text(_))
                    | (Role::Ms(_), Extra::Num(_))
                    | (Role::Flag(_), Extra::Flag(_))
                    | (Role::Member(_), Extra::Text(_))
            );
            *known == name && fits
        }),
    }
}

#[test]
fn ids_are_sorted_unique_and_kebab_case() {
    assert!(catalogue().is_sorted_by(|a, b| a.id < b.id));
    for signature in catalogue() {
        assert!(
            signature
                .id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{}",
            signature.id
        );
        assert!(!signature.doc.is_empty() && !signature.versions.is_empty());
        assert!(!signature.forms.is_empty(), "{}", signature.id);
        assert_eq!(
            super::signature(signature.id).map(|s| s.id),
            Some(signature.id)
        );
    }
    assert!(signature("no-such-id").is_none());
}

#[test]
fn no_text_is_claimed_twice() {
    let mut seen = BTreeSet::new();
    for signature in catalogue() {
        for form in signature.forms {
            if form.how != How::Code {
                assert!(seen.insert(format!("{:?}", form.how)), "{:?}", form.how);
            }
        }
    }
}

#[test]
fn every_sample_is_recognised_as_its_own_kind() {
    for signature in catalogue() {
        for form in signature.forms {
            let record = decode(form.sample.as_bytes());
            let kind = classify(&record, Detail::Full).map(|event| event.kind);
            assert_eq!(kind, Some(signature.id), "{}\n{record:?}", form.sample);
            let counts = classify(&record, Detail::Counts).unwrap();
            assert_eq!(counts.kind, signature.id);
            assert!(counts.extra.is_empty(), "{}", signature.id);
        }
    }
}

#[test]
fn every_declared_field_is_read_from_a_sample() {
    for signature in catalogue() {
        for field in signature.fields {
            let found = signature.forms.iter().any(|form| {
                let record = decode(form.sample.as_bytes());
                classify(&record, Detail::Full).is_some_and(|event| filled(&event, field.role))
            });
            assert!(found, "{}: {} {:?}", signature.id, field.name, field.role);
        }
        // And nothing is read that is not declared.
        for form in signature.forms {
            let record = decode(form.sample.as_bytes());
            let event = classify(&record, Detail::Full).unwrap();
            for (name, _) in &event.extra {
                assert!(
                    signature
                        .fields
                        .iter()
                        .any(|field| field.role.extra() == Some(name)),
                    "{}: {name} is not declared",
                    signature.id
                );
            }
        }
    }
}

/// The search for all literals at once looks at as many bytes as the shortest one has.
#[test]
fn no_literal_is_so_short_that_it_slows_down_the_search() {
    for signature in catalogue() {
        for form in signature.forms {
            let How::Find(text) = form.how else {
                continue;
            };
            let head = text.trim_start_matches('^').split('{').next().unwrap();
            assert!(head.len() >= 4, "{}: {text}", signature.id);
        }
    }
}

#[test]
fn literals_stand_in_their_samples() {
    for signature in catalogue() {
        for form in signature.forms {
            let literal = match form.how {
                How::Msg(text) | How::Client(text) | How::Klog(text) => text,
                How::Text(text) | How::Find(text) => {
                    text.trim_start_matches('^').split('{').next().unwrap()
                }
                How::Code => "",
            };
            assert!(form.sample.contains(literal), "{}: {literal}", signature.id);
        }
        assert!(!signature.encodings().is_empty() || signature.extractor != Extractor::Fields);
    }
}

#[test]
fn lines_of_a_client_are_not_the_servers() {
    let retry = br#"{"level":"warn","ts":"2026-03-16T23:08:23.946036Z","logger":"etcd-client","caller":"v3@v3.6.5/retry_interceptor.go:65","msg":"apply request took too long","took":"1s"}"#;
    assert!(classify(&decode(retry), Detail::Full).is_none());
}

#[test]
fn a_line_that_breaks_off_tells_only_what_is_surely_there() {
    const APPLY: &str = r#"{"level":"warn","ts":"2026-11-21T19:32:33.123456Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"1.2s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"#;
    const STATS: &str = r#"{"level":"warn","ts":"2026-11-21T19:32:33.123456Z","caller":"v3rpc/interceptor.go:197","msg":"request stats","start time":"2026-11-21T19:32:32.123456Z","time spent":"1.0s","remote":"127.0.0.1:2"#;
    const TRACE: &str = r#"{"level":"info","ts":"2022-12-23T05:46:45.510Z","caller":"traceutil/trace.go:171","msg":"trace[1289777367] range","detail":"{range_begin:/registry/"#;
    const TYPE: &str = r#"8932","response type":"/etcdserverpb.KV/"#;
    let one = |text: &str| {
        let record = decode(text.as_bytes());
        let event = classify(&record, Detail::Full).expect(text);
        let request = event.request.as_ref();
        format!(
            "{} {} {} {} {}",
            request.map_or("-", |request| request.operation.word()),
            request.map_or("-", |request| request.shape.word()),
            request.map_or("-".into(), |request| request.parts.resource_group()),
            request
                .and_then(|request| request.parts.name.as_deref())
                .unwrap_or("-"),
            event.client.as_deref().unwrap_or("-"),
        )
    };
    let client = "127.0.0.1:28932";
    for (text, expected) in [
        (format!(r#"{APPLY}"/registry/pods/\" range_e"#), "range other pods - -".to_owned()),
        (format!(r#"{APPLY}"/registry/pods"#), "range other  - -".to_owned()),
        (format!(r#"{APPLY}"/registry/pods/a/p-"#), "range other pods - -".to_owned()),
        (
            r#"2021-05-14 16:47:40.512613 W | etcdserver: read-only range request "key:\"/registry/pods/\" range_en"#.to_owned(),
            "range other pods - -".to_owned(),
        ),
        (format!("{TRACE}masterle"), "range other  - -".to_owned()),
        (format!("{TRACE}pods/a/b; range_e"), "range other pods - -".to_owned()),
        (format!("{TRACE}pods/; range_end:/registry/pods0; resp"), "range other pods - -".to_owned()),
        (STATS.to_owned(), "- - - - -".to_owned()),
        (format!(r#"{STATS}{TYPE}Ra"#), format!("- - - - {client}")),
        (format!(r#"{STATS}{TYPE}Range","request count":0,"respo"#), format!("range other  - {client}")),
        (format!(r#"{STATS}{TYPE}Txn","request count":1,"respo"#), format!("txn other  - {client}")),
        (format!(r#"{STATS}{TYPE}Put","request count":1,"respo"#), format!("put update  - {client}")),
        (
            format!(r#"{STATS}{TYPE}Range","request content":"key:\"/registry/pods/\" "#),
            format!("range other pods - {client}"),
        ),
        // Whole lines still say what they are.
        (
            format!(r#"{STATS}{TYPE}Range","request content":"limit:1 keys_only:true "}}"#),
            format!("range health  - {client}"),
        ),
        (
            format!(r#"{STATS}{TYPE}Range","request content":""}}"#),
            format!("range health  - {client}"),
        ),
        (format!(r#"{APPLY}"/registry/pods/a/b\" "}}"#), "range get pods b -".to_owned()),
    ] {
        assert_eq!(one(&text), expected, "{text}");
    }
}

#[test]
fn other_programs_texts_are_not_slow_requests() {
    for text in [
        "request \"GET /healthz\"",
        "request \"x\" was refused",
        "I0706 09:23:08.710529       1 x.go:645] sync took too long (3s), retrying",
        "sync took too long (3s), retrying",
    ] {
        assert!(
            classify(&decode(text.as_bytes()), Detail::Full).is_none(),
            "{text}"
        );
    }
}

/// A log and the table of what was asked.
macro_rules! logs {
    ($($name:literal)*) => {
        [$((
            include_str!(concat!("../../../tests/fixtures/logs-meaning/", $name, "-slow.log")),
            include_str!(concat!("../../../tests/fixtures/logs-meaning/", $name, "-slow.key.tsv")),
        )),*]
    };
}

/// Undoes Python's `b'…'`, in which the tables print keys that are no plain text.
fn python_key(text: &str) -> Vec<u8> {
    match text
        .strip_prefix("b'")
        .and_then(|text| text.strip_suffix('\''))
    {
        Some(inner) => crate::logs::request::unescape(inner.as_bytes()).into_owned(),
        None => text.as_bytes().to_vec(),
    }
}

/// Every slow-apply line of a complete log against the table of what was really asked.
fn check_against_table(log: &str, table: &str) -> usize {
    let lines: Vec<&str> = log.lines().collect();
    let mut rows = 0;
    let mut known = BTreeSet::new();
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [line, operation, key, note, answer, group, shape, ..] = columns.as_slice() else {
            panic!("{row}");
        };
        let number: usize = line.parse().unwrap();
        known.insert(number);
        let record = decode(lines[number - 1].as_bytes());
        let event =
            classify(&record, Detail::Counts).unwrap_or_else(|| panic!("{row}\n{record:?}"));
        assert_eq!(event.kind, "slow-apply", "{row}");
        let request = event.request.as_ref().unwrap_or_else(|| panic!("{row}"));
        if *operation == "(health)" {
            assert_eq!(request.shape.word(), "health", "{row}");
        } else {
            assert_eq!(request.operation.word(), *operation, "{row}");
        }
        let named = !key.is_empty() && *key != "-" && *key != "read-only 2 ranges";
        if named && *operation != "compaction" {
            assert_eq!(request.key.as_deref(), Some(&*python_key(key)), "{row}");
        }
        if *operation == "compaction" {
            assert_eq!(request.revision.unwrap().to_string(), *key);
        }
        if *group != "-" {
            assert_eq!(request.parts.resource_group(), *group, "{row}");
        }
        if *shape != "-" {
            assert_eq!(request.shape.word(), *shape, "{row}");
        }
        if let Some(rows) = answer.strip_prefix("kvs=") {
            let rows = rows.split(' ').next().unwrap().parse().ok();
            assert_eq!(event.response.range_response_count, rows, "{row}");
        }
        if note.contains("LIST continue") {
            assert_eq!(request.shape.word(), "page");
        }
        assert!(event.took_ns.is_some(), "{row}");
        rows += 1;
    }
    // Beyond the table there are only the server's own requests at its start.
    for (index, line) in lines.iter().enumerate() {
        let record = decode(line.as_bytes());
        if let Some(event) = classify(&record, Detail::Counts)
            && event.kind == "slow-apply"
            && !known.contains(&(index + 1))
        {
            let operation = event.request.map(|request| request.operation.word());
            let own = operation.is_some_and(|name| name == "v2" || name.starts_with("cluster_"));
            assert!(own, "{line}");
        }
    }
    rows
}

proptest::proptest! {
    #[test]
    fn never_panics_on_any_record(text: Vec<u8>) {
        let _ = classify(&decode(&text), Detail::Full);
    }

    #[test]
    fn never_panics_on_cut_or_changed_samples(
        which: proptest::sample::Index,
        cut: proptest::sample::Index,
        at: proptest::sample::Index,
        byte: u8,
        encoding in proptest::sample::select(vec![Encoding::Klog, Encoding::Bare, Encoding::Capnslog, Encoding::KlogTrace, Encoding::Audit, Encoding::ZapConsole]),
    ) {
        let samples: Vec<&str> = catalogue()
            .iter()
            .flat_map(|signature| signature.forms.iter().map(|form| form.sample))
            .collect();
        let mut text = which.get(&samples).as_bytes().to_vec();
        text.truncate(cut.index(text.len() + 1));
        if !text.is_empty() {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let mut record = decode(&text);
        let _ = classify(&record, Detail::Full);
        record.encoding = encoding;
        record.msg = Cow::Borrowed(&text);
        let _ = classify(&record, Detail::Full);
    }
}

#[test]
fn slow_lines_of_every_generation_match_what_was_asked() {
    let mut rows = 0;
    for (log, table) in logs!["3423-capnslog" "3423-zap" "3530-zap" "371-zap"] {
        rows += check_against_table(log, table);
    }
    assert!(rows > 280, "{rows}");
}

#[test]
fn a_fault_names_its_signal_and_is_of_the_disk_only_in_a_database() {
    let one = |text: &str| {
        let record = decode(text.as_bytes());
        let event = classify(&record, Detail::Full).expect(text);
        (event.kind, event.error.map(Cow::into_owned))
    };
    let dump = |signal: &str, frame: &str| {
        format!(
            "unexpected fault address 0x7f3a457f3008\nfatal error: fault\n[signal {signal} \
             code=0x2 addr=0x7f3a457f3008 pc=0x9e2b65]\n\ngoroutine 1 [running]:\n{frame}"
        )
    };
    let bus = "SIGBUS: bus error";
    let bbolt = "go.etcd.io/bbolt.(*Cursor).search(0xc000)";
    let containerd = "github.com/containerd/containerd/metadata.(*DB).Init(0xc000)";
    for (text, kind) in [
        (dump(bus, bbolt), "storage-io-error"),
        (dump(bus, "main.main()"), "panic"),
        (dump(bus, &format!("{bbolt}\n{containerd}")), "panic"),
        (dump("SIGSEGV: segmentation violation", bbolt), "panic"),
    ] {
        let (found, error) = one(&text);
        assert_eq!(found, kind, "{text}");
        let error = error.unwrap();
        assert!(
            error.starts_with("unexpected fault address 0x7f3a457f3008: SIG"),
            "{error}"
        );
        assert!(error.ends_with("pc=0x9e2b65"), "{error}");
    }
    // A panic of another program that could not write is its own matter.
    assert_eq!(one("panic: open /x: input/output error").0, "panic");
}

#[test]
fn inner_quotes_may_have_lost_their_backslashes() {
    let head = "2021-05-14 16:47:40.512613 W | etcdserver: read-only range request ";
    let whole = r#""key:\"/registry/pods/\" range_end:\"/registry/pods0\" limit:500 " with result "range_response_count:500 size:62600" took too long (196.6ms) to execute"#;
    let plain = whole.replace('\\', "");
    let one = |text: &str| {
        let text = format!("{head}{text}");
        let record = decode(text.as_bytes());
        let event = classify(&record, Detail::Full).expect(&text);
        let request = event.request.expect(&text);
        (
            event.kind,
            event.took_ns,
            event.response.size,
            request.parts.resource_group().into_owned(),
            request.limit,
        )
    };
    assert_eq!(one(&plain), one(whole));
    assert_eq!(one(&plain).1, Some(196_600_000));
    // Cut off before the answer.
    let cut = one(r#""key:"/registry/pods/" range_end:"/registry/po"#);
    assert_eq!((cut.0, &*cut.3), ("slow-apply", "pods"));
}

#[test]
fn old_traces_have_the_path_in_their_name() {
    let one = |what: &str, year: &str| {
        let text = format!(
            "I0606 10:00:08.000001       1 trace.go:76] Trace[2]: \"{what}\" (started: {year}-06-06 10:00:00.1 +0000 UTC m=+1.0) (total time: 1.5s):"
        );
        let reference = Reference {
            context: crate::clock::Timestamp::parse("2026-11-21T21:00:00Z"),
            ..Reference::default()
        };
        let mut cache = TimeCache::default();
        let parsed = parse_text(text.as_bytes(), &reference, &mut cache).unwrap();
        let record = parsed.into_record(1, 1, Outer::default());
        let event = classify(&record, Detail::Full).unwrap();
        let call = event.api.unwrap();
        assert_eq!(event.took_ns, Some(1_500_000_000));
        let time = event.time.unwrap().to_string();
        let kind = event.kind;
        let resource = call.parts.resource_group().into_owned();
        (
            kind,
            call.verb.into_owned(),
            resource,
            time.get(..10).unwrap().to_owned(),
        )
    };
    let trace = |kind, verb: &str, resource: &str, day: &str| {
        (kind, verb.to_owned(), resource.to_owned(), day.to_owned())
    };
    assert_eq!(
        one("List /apis/apps/v1/deployments?limit=500", "2019"),
        trace("apiserver-trace", "list", "deployments.apps", "2019-06-06")
    );
    assert_eq!(
        one("Create /api/v1/namespaces/default/pods", "2018"),
        trace("apiserver-trace", "create", "pods", "2018-06-06")
    );
    assert_eq!(
        one("GuaranteedUpdate etcd3: *core.Node", "2026"),
        trace("apiserver-storage-trace", "update", "nodes", "2026-06-06")
    );
}

#[test]
fn an_old_lock_of_an_election_is_no_lease() {
    let one = |url: &str| {
        let text = format!(
            "E0325 11:08:47.205570       1 leaderelection.go:320] error retrieving resource lock kube-system/kube-scheduler: Get https://192.168.10.50:6443{url}?timeout=10s: context deadline exceeded"
        );
        let record = decode(text.as_bytes());
        let event = classify(&record, Detail::Full).unwrap();
        let parts = event.api.unwrap().parts.clone();
        (
            parts.resource_group().into_owned(),
            parts.name.map(Cow::into_owned),
        )
    };
    let name = Some("kube-scheduler".to_owned());
    assert_eq!(
        one("/api/v1/namespaces/kube-system/endpoints/kube-scheduler"),
        ("endpoints".to_owned(), name.clone())
    );
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler";
    assert_eq!(one(lease), ("leases.coordination.k8s.io".to_owned(), name));
}

#[test]
fn what_a_reflector_passes_on_and_a_second_version_are_kept() {
    let kind = |text: &str| {
        classify(&decode(text.as_bytes()), Detail::Full)
            .unwrap()
            .kind
    };
    assert_eq!(
        kind(
            "E0503 06:23:23.804106      15 cacher.go:419] cacher (*core.Event): unexpected ListAndWatch error: storage/cacher.go:/events: failed to list *core.Event: rpc error: code = ResourceExhausted desc = grpc: trying to send message larger than max (2147483690 vs. 2147483647)"
        ),
        "etcd-error-too-large"
    );
    let text = r#"{"level":"info","ts":1526586617.1649303,"caller":"membership/cluster.go:473","msg":"updated cluster version","cluster-id":"7dee9ba76d59ed53","local-member-id":"7339c4e5e833c029","from":"3.0","from":"3.3"}"#;
    let record = decode(text.as_bytes());
    let event = classify(&record, Detail::Full).unwrap();
    for expected in [("from", "3.0"), ("to", "3.3")] {
        let (name, value) = expected;
        assert!(
            event.extra.contains(&(name, Extra::Text(value.into()))),
            "{:?}",
            event.extra
        );
    }
}

#[test]
fn what_is_left_of_a_line_is_recognised() {
    let kind = |text: &str, outer: Outer<'_>| {
        let parsed = Parsed::bare(Encoding::Bare, text.as_bytes());
        let record = parsed.into_record(1, 1, outer);
        let event = classify(&record, Detail::Full);
        event.map(|event| event.kind.to_owned())
    };
    // A package without level and time.
    for (text, want) in [
        (
            "etcdserver: failed to send out heartbeat on time (exceeded the 500ms timeout for 2.060806741s, to 417c9cd34ec2ca5)",
            "heartbeat-late",
        ),
        (
            "etcdserver: timed out waiting for read index response (local node might have slow network)",
            "readindex-timeout",
        ),
        ("etcdserver: server is likely overloaded", "heartbeat-hint"),
    ] {
        assert_eq!(
            kind(text, Outer::default()).as_deref(),
            Some(want),
            "{text}"
        );
    }
    // A message without anything, but for a time.
    let stamped = || Outer {
        time: crate::clock::Timestamp::parse("2025-03-18T12:21:38Z"),
        ..Outer::default()
    };
    for (text, want) in [
        ("slow fdatasync", Some("wal-sync-slow")),
        (
            "dropped internal Raft message since sending buffer is full (overloaded network)",
            Some("raft-message-dropped"),
        ),
        // Without its request it tells nothing.
        ("apply request took too long", None),
        ("failed to authenticate", None),
    ] {
        assert_eq!(kind(text, stamped()).as_deref(), want, "{text}");
        assert_eq!(kind(text, Outer::default()), None, "{text}");
    }
}

mod causes;
