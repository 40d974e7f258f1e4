//! Tests of what a record's cause is, and whose it is, where its kind alone does not tell.

use super::{Detail, classify, decode};
use crate::logs::decode::{DecodeContext, Decoder};
use crate::logs::event::{Component, Extra};
use crate::logs::record::Record;
use crate::logs::scan::{Counter, TimeFilter};
use crate::logs::summary::Summary;
use crate::logs::view::View;

/// Kind and component of each record of a log, as far as the catalogue knows them.
fn kinds(log: &str) -> Vec<Option<(&'static str, Component)>> {
    let mut out = Vec::new();
    let mut decoder = Decoder::new(DecodeContext {
        reference: Some(crate::clock::Timestamp::from_secs(1_795_400_000)),
        ..DecodeContext::default()
    });
    let mut sink = |record: &Record<'_>| {
        let event = classify(record, Detail::Full);
        out.push(event.map(|event| (event.kind, event.component)));
    };
    decoder.block(log.as_bytes(), 1, &mut sink);
    decoder.finish(&mut sink);
    out
}

fn kind(line: &str) -> Option<(&'static str, Component)> {
    kinds(line).into_iter().next().flatten()
}

/// Component and kind of everything seen in a log without a name.
fn seen(log: &str) -> Vec<(String, String)> {
    let mut counter = Counter::new(Component::Unknown, TimeFilter::of(None, None));
    let mut decoder = Decoder::new(DecodeContext {
        reference: Some(crate::clock::Timestamp::from_secs(1_795_400_000)),
        ..DecodeContext::default()
    });
    decoder.block(log.as_bytes(), 1, &mut counter);
    decoder.finish(&mut |record: &Record<'_>| counter.add(record));
    let view = View::of(&Summary {
        streams: vec![counter.finish()],
        ..Summary::default()
    });
    let kinds = view.kinds.iter();
    kinds
        .map(|kind| (kind.place.component.clone(), kind.kind.clone()))
        .collect()
}

#[test]
fn etcds_last_words_in_a_plain_journal_need_no_level() {
    let line = |who: &str, msg: &str| kind(&format!("Mar 09 10:00:00 m1 {who}[54776]: {msg}"));
    let cases = [
        (
            "create wal error: mkdir /var/lib/etcd/member/wal.tmp: no space left on device",
            "disk-full",
        ),
        (
            "failed to allocate space when creating new wal file (no space left on device)",
            "disk-full",
        ),
        (
            "open wal error: structure needs cleaning",
            "storage-io-error",
        ),
        (
            "save raft state and entries error: write /var/lib/etcd/member/wal/0.wal: input/output error",
            "storage-io-error",
        ),
        (
            "read wal error (walpb: crc mismatch) and cannot be repaired",
            "storage-damaged",
        ),
        (
            "tocommit(5588980) is out of range [lastIndex(3)]. Was the raft log corrupted, truncated, or lost?",
            "storage-damaged",
        ),
        (
            "recovering backend from snapshot error: failed to find database snapshot file (snap: snapshot file doesn't exist)",
            "storage-damaged",
        ),
        (
            "member 7c0e4f8d7a2d1b5a has already been bootstrapped",
            "member-bootstrapped",
        ),
        (
            "listen tcp 10.0.0.1:2380: bind: address already in use",
            "fatal-exit",
        ),
        (
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcd-error-timeout",
        ),
    ];
    for (msg, wanted) in cases {
        assert_eq!(line("etcd", msg), Some((wanted, Component::Etcd)), "{msg}");
        // Of the words of another program, those that name etcd's own file are believed as before.
        if msg.contains("walpb: ") {
            continue;
        }
        // The words of another program are not etcd's.
        let other = line("kubelet", msg);
        assert!(
            other.is_none_or(|(_, who)| who == Component::Unknown),
            "{msg}: {other:?}"
        );
        let client = format!("E0305 10:11:15.123456       1 x.go:1] it said: {msg}");
        let other = kind(&client);
        assert!(
            other.is_none_or(|(_, who)| who == Component::Unknown),
            "{client}: {other:?}"
        );
    }
    assert_eq!(
        line(
            "kubelet",
            "member 7c0e4f8d7a2d1b5a has already been bootstrapped"
        ),
        None
    );
    assert_eq!(
        line("etcd", "listening for peers on https://10.0.0.1:2380"),
        None
    );
}

#[test]
fn a_record_of_an_etcd_server_is_its_own() {
    let etcd = [
        "2017-07-28 16:46:57.148924 C | etcdserver: create wal error: no space left on device",
        r#"{"level":"fatal","ts":"2024-03-05T10:11:12.345678Z","caller":"backend/batch_tx.go:269","msg":"failed to commit tx","error":"write /var/lib/etcd/member/snap/db: no space left on device"}"#,
    ];
    for line in etcd {
        assert_eq!(kind(line), Some(("disk-full", Component::Etcd)), "{line}");
        assert_eq!(seen(line), [("etcd".to_owned(), "disk-full".to_owned())]);
    }
    let other = [
        "2017-07-28 16:46:57.148924 C | rkt: write /a: no space left on device",
        r#"{"level":"fatal","ts":"2024-03-05T10:11:12.345678Z","caller":"backup/upload.go:269","msg":"failed","error":"write /a: no space left on device"}"#,
        r#"{"level":"error","ts":"2024-03-05T10:11:12.345678Z","logger":"etcd-client","caller":"etcdserver/a.go:1","msg":"failed","error":"write /a: no space left on device"}"#,
    ];
    for line in other {
        let who = kind(line).map(|(_, who)| who);
        assert!(matches!(who, None | Some(Component::Unknown)), "{line}");
    }
    let ended = r#"{"level":"fatal","ts":"2022-01-26T03:41:05.797Z","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"member 7c0e4f8d7a2d1b5a has already been bootstrapped"}"#;
    assert_eq!(kind(ended), Some(("member-bootstrapped", Component::Etcd)));
    // Beside kube-apiserver in one log it stays etcd's.
    let both = format!(
        "I1121 20:29:52.100000   21295 server.go:187] Version: v1.36.2\n{}",
        etcd[1]
    );
    assert!(
        seen(&both).contains(&("etcd".to_owned(), "disk-full".to_owned())),
        "{:?}",
        seen(&both)
    );
}

#[test]
fn what_the_file_system_refused_counts_from_a_warning_on() {
    let zap = |caller: &str, msg: &str, error: &str| {
        kind(&format!(
            r#"{{"level":"warn","ts":"2024-03-05T10:11:12.345678Z","caller":"{caller}","msg":"{msg}","error":"{error}"}}"#
        ))
    };
    let full = "write /a: no space left on device";
    for (caller, msg) in [
        (
            "rafthttp/http.go:271",
            "failed to save incoming database snapshot",
        ),
        (
            "wal/wal.go:117",
            "failed to preallocate an initial WAL file",
        ),
        ("snap/snapshotter.go:98", "failed to write a snap file"),
    ] {
        assert_eq!(
            zap(caller, msg, full),
            Some(("disk-full", Component::Etcd)),
            "{msg}"
        );
    }
    let failing = zap(
        "snap/snapshotter.go:98",
        "failed to write a snap file",
        "write /x: input/output error",
    );
    assert_eq!(failing, Some(("storage-io-error", Component::Etcd)));
    assert_eq!(
        zap("snap/snapshotter.go:98", "failed to write a snap file", "x"),
        None
    );
    assert_eq!(
        zap("backup/upload.go:98", "failed to write a file", full),
        None
    );
    for line in [
        "2019-06-17 10:00:00.123456 E | wal: failed to allocate space when creating a new WAL (structure needs cleaning)",
        "2019-06-17 10:00:00.123456 C | etcdserver: open wal error: structure needs cleaning",
        r#"{"level":"fatal","ts":"2023-06-17T10:00:00.123Z","caller":"etcdserver/raft.go:233","msg":"failed to save Raft snapshot","error":"read-only file system"}"#,
    ] {
        assert_eq!(
            kind(line),
            Some(("storage-io-error", Component::Etcd)),
            "{line}"
        );
    }
}

#[test]
fn a_lease_is_lost_by_whose_lock_it_is() {
    const APISERVER: &str = "Nov 25 06:42:40 ln01 k3s[77]: E1125 06:42:40.227000      77 status.go:71] apiserver received an error that is not an metav1.Status: &errors.errorString{s:\"context canceled\"}";
    let manager = [
        r#"error retrieving resource lock kube-system/kube-controller-manager: Get "https://127.0.0.1:6444/api/v1/namespaces/kube-system/endpoints/kube-controller-manager?timeout=10s": net/http: request canceled"#,
        "Failed to update lock: Put https://127.0.0.1:6444/api/v1/namespaces/kube-system/endpoints/kube-controller-manager?timeout=10s: context deadline exceeded",
        r#"Failed to update lock: Put "https://[::1]:6444/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager?timeout=5s": context deadline exceeded"#,
    ];
    for msg in manager {
        let line = format!(
            "Nov 25 06:42:40 ln01 k3s[77]: E1125 06:42:40.227000      77 leaderelection.go:325] {msg}"
        );
        let wanted = (
            "kube-controller-manager".to_owned(),
            "leaderelection-lock-error".to_owned(),
        );
        for log in [line.clone(), format!("{APISERVER}\n{APISERVER}\n{line}")] {
            assert!(seen(&log).contains(&wanted), "{log}: {:?}", seen(&log));
        }
    }
    let lost = format!(
        "{APISERVER}\nNov 25 06:43:24 ln01 k3s[77]: F1125 06:43:24.227000      77 controllermanager.go:213] leaderelection lost"
    );
    let wanted = (
        "kube-controller-manager".to_owned(),
        "leaderelection-lost".to_owned(),
    );
    assert!(seen(&lost).contains(&wanted), "{:?}", seen(&lost));
    // The cloud's controller manager has a file of that name, too.
    let cloud = [
        "leaderelection.go:283] failed to renew lease kube-system/cloud-controller-manager: timed out waiting for the condition",
        "controllermanager.go:234] leaderelection lost",
    ]
    .map(|text| format!("F0326 18:06:19.424088       1 {text}"));
    let told = seen(&cloud.join("\n"));
    assert_eq!(told.len(), 2, "{told:?}");
    let of_cloud = |(component, _): &(String, String)| component == "cloud-controller-manager";
    assert!(told.iter().all(of_cloud), "{told:?}");
    let stopped = kind("F0117 11:11:11.212909       1 leader_election.go:182] stopped leading");
    assert_eq!(stopped, Some(("leaderelection-lost", Component::Unknown)));
}

#[test]
fn a_lock_has_no_blanks_around_its_name() {
    let line = "I0705 11:42:37.591515       1 leaderelection.go:242] attempting to acquire leader lease  kube-system/kops-controller-leader...";
    let record = decode(line.as_bytes());
    let event = classify(&record, Detail::Full).expect("known");
    let parts = event.api.as_deref().map(|api| &api.parts).unwrap();
    assert_eq!(parts.namespace.as_deref(), Some("kube-system"));
    assert_eq!(parts.name.as_deref(), Some("kops-controller-leader"));
    let line = "I0422 14:08:01.783828       1 handlers.go:137] GET /api/v1/pods: (42.8s) 200 [[kubelet/v0.15.0 (linux/amd64) kubernetes/21788d8] 192.0.2.3:40001]";
    let record = decode(line.as_bytes());
    let event = classify(&record, Detail::Full).expect("known");
    let agent = event
        .api
        .as_deref()
        .and_then(|api| api.user_agent.as_deref());
    assert_eq!(
        agent,
        Some("kubelet/v0.15.0 (linux/amd64) kubernetes/21788d8")
    );
    assert_eq!(event.client.as_deref(), Some("192.0.2.3:40001"));
}

#[test]
fn a_lock_is_named_by_its_url() {
    let lock = |msg: &str| {
        let line = format!("E0117 11:11:11.212861       1 leaderelection.go:367] {msg}");
        let record = decode(line.as_bytes());
        let event = classify(&record, Detail::Full).expect("known");
        let parts = event
            .api
            .as_deref()
            .map(|call| call.parts.clone().into_owned());
        parts.map(|parts| {
            let text =
                |part: Option<std::borrow::Cow<'_, str>>| part.unwrap_or_default().into_owned();
            (
                parts.resource.into_owned(),
                text(parts.namespace),
                text(parts.name),
            )
        })
    };
    let put = |path: &str| {
        lock(&format!(
            r#"Failed to update lock: Put "https://10.152.183.1:443{path}?timeout=5s": context deadline exceeded"#
        ))
    };
    let named = |resource: &str, name: &str| {
        Some((
            resource.to_owned(),
            "kube-system".to_owned(),
            name.to_owned(),
        ))
    };
    assert_eq!(
        put("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler"),
        named("leases", "kube-scheduler")
    );
    assert_eq!(
        put("/api/v1/namespaces/kube-system/configmaps/x"),
        named("configmaps", "x")
    );
    assert_eq!(put("/healthz"), None);
    let slow = r#"Failed to update lock optimitically: Put "https://10.0.0.1:443/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/a": context deadline exceeded, falling back to slow path"#;
    assert_eq!(lock(slow), named("leases", "a"));
    // Half a URL names nothing.
    assert_eq!(
        lock(
            r#"Failed to update lock: Put "https://10.0.0.1:443/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-sch"#
        ),
        None
    );
}

#[test]
fn a_watch_that_ended_is_no_time_out() {
    let aborted = |uri: &str| {
        kind(&format!(
            r#"E0211 12:59:19.703718      19 wrap.go:54] timeout or abort while handling: method=GET URI="{uri}" audit-ID="b0""#
        ))
    };
    assert_eq!(
        aborted("/api/v1/pods?timeout=8m28s&timeoutSeconds=508&watch=true"),
        Some(("apiserver-watch-ended", Component::Apiserver))
    );
    assert_eq!(
        aborted("/api/v1/pods?limit=500"),
        Some(("apiserver-timeout", Component::Apiserver))
    );
}

#[test]
fn slow_sql_tells_its_key_and_never_a_value() {
    let line = r#"time="2024-06-18T16:30:11+02:00" level=info msg="Slow SQL (started: 2024-06-18 16:30:03.68 +0200 CEST m=+5.6) (total time: 7.982377818s):  INSERT INTO kine(name, value) VALUES(?, ?)  : [[/registry/secrets/a/b 1 hunter2]]""#;
    let record = decode(line.as_bytes());
    let event = classify(&record, Detail::Full).expect("known");
    assert_eq!(
        (event.kind, event.took_ns),
        ("kine-sql-slow", Some(7_982_377_818))
    );
    let parts = &event.api.as_deref().expect("a key").parts;
    assert_eq!(
        (&*parts.resource, parts.name.as_deref()),
        ("secrets", Some("b"))
    );
    let said = format!("{:?}", event.extra);
    assert!(
        said.contains("INSERT") && !said.contains("hunter2"),
        "{said}"
    );
    // It is the database's trouble, whoever runs it.
    let log = format!("I1121 20:29:52.100000   21295 server.go:187] Version: v1.36.2\n{line}");
    assert!(
        seen(&log).contains(&("kine".to_owned(), "kine-sql-slow".to_owned())),
        "{:?}",
        seen(&log)
    );
    let compacted = r#"time="2022-12-14T17:58:37Z" level=error msg="error while range on /registry/pods/ /registry/pods0: etcdserver: mvcc: required revision has been compacted""#;
    assert_eq!(
        kind(compacted).map(|(kind, _)| kind),
        Some("etcd-error-compacted")
    );
}

#[test]
fn a_later_page_in_a_trace_is_of_what_its_end_says() {
    let place = |end: &str| {
        let line = format!(
            r#"{{"level":"info","ts":"2026-11-01T00:00:03.500Z","caller":"traceutil/trace.go:172","msg":"trace[12] range","detail":"{{range_begin:/registry/pods/a.b/o500; range_end:{end}; response_count:500; response_revision:12; }}","duration":"514.1ms","steps":[],"step_count":0}}"#
        );
        let record = decode(line.as_bytes());
        let event = classify(&record, Detail::Full).expect("known");
        let parts = event.request.expect("a request").parts.into_owned();
        assert_eq!(parts.resource, "pods");
        let own = |text: Option<std::borrow::Cow<'_, str>>| text.map(|text| text.into_owned());
        (own(parts.namespace), own(parts.name))
    };
    assert_eq!(place("/registry/pods0"), (None, None));
    let one = Some("a.b".to_owned());
    assert_eq!(place("/registry/pods/a.b0"), (one.clone(), None));
    // No range.
    assert_eq!(place(""), (one, Some("o500".to_owned())));
}

#[test]
fn a_lease_of_an_apiserver_that_is_updated_has_its_name() {
    let named = |object: &str| {
        let line = format!(
            r#"I1028 11:17:56.769385     484 trace.go:205] Trace[1920479996]: "GuaranteedUpdate etcd3" type:{object} (28-Oct-2021 11:17:54.460) (total time: 2308ms):"#
        );
        let record = decode(line.as_bytes());
        let event = classify(&record, Detail::Full).expect("known");
        event
            .api
            .expect("a call")
            .parts
            .resource_group()
            .into_owned()
    };
    // What each kube-apiserver writes of itself; a Service's endpoints are of the inner type.
    assert_eq!(named("*v1.Endpoints"), "(masterleases)");
    assert_eq!(named("*core.Endpoints"), "endpoints");
    assert_eq!(named("*coordination.Lease"), "leases.coordination.k8s.io");
    assert_eq!(named("*unstructured.Unstructured"), "");
}

#[test]
fn an_operation_inside_a_trace_tells_its_name_and_time() {
    let step = |line: &str| {
        let record = decode(line.as_bytes());
        let event = classify(&record, Detail::Full).expect("known");
        let step = event.extra.iter().find_map(|(name, value)| match value {
            Extra::Text(text) if *name == "step" => Some(text.clone().into_owned()),
            _ => None,
        });
        (event.took_ns.map(|ns| ns / 1_000_000), step)
    };
    let named = |text: &str| Some(text.to_owned());
    assert_eq!(
        step(
            r#"Trace[1195163171]: ["GuaranteedUpdate etcd3" audit-id:61c4,key:/leases/kube-node-lease/n1,resource:leases.coordination.k8s.io 631ms (07:55:19.246)"#
        ),
        (Some(631), named("GuaranteedUpdate etcd3"))
    );
    assert_eq!(
        step(
            r#"Trace[1278792655]: "Reflector ListAndWatch" name:*v1.PodStore (started: 2021-10-15 09:15:15.677742785 +0000 UTC m=+3349.793617611) (total time: 2m0.000883547s):"#
        ),
        (Some(120_000), named("Reflector ListAndWatch"))
    );
    assert_eq!(
        step("Trace[1]: [12.123s] [12.123s] END"),
        (Some(12_123), None)
    );
}

#[test]
fn devices_and_units_are_named_by_what_stands_before() {
    let name = |line: &str| {
        let record = decode(line.as_bytes());
        let event = classify(&record, Detail::Full).expect("known");
        let first = event.extra.iter().find_map(|(name, value)| match value {
            Extra::Text(text) if matches!(*name, "device" | "unit") => {
                Some(text.clone().into_owned())
            }
            _ => None,
        });
        (event.kind, first.unwrap_or_default())
    };
    for (line, kind, device) in [
        (
            "[12345.678901] XFS (sda1): log I/O error -5",
            "kernel-fs-error",
            "sda1",
        ),
        (
            "EXT4-fs (sda1): Remounting filesystem read-only",
            "kernel-fs-error",
            "sda1",
        ),
        (
            "XFS (sda1): Corruption of in-memory data detected.",
            "kernel-fs-error",
            "sda1",
        ),
        (
            "[12345.678901] ata1.00: failed command: FLUSH CACHE EXT",
            "kernel-device-timeout",
            "ata1.00",
        ),
        (
            "[12345.6] sd 0:0:0:0: [sda] tag#12 FAILED Result: hostbyte=DID_TIME_OUT driverbyte=DRIVER_OK cmd_age=30s",
            "kernel-device-timeout",
            "sda",
        ),
        (
            "critical medium error, dev sdb, sector 55 op 0x0:(READ)",
            "kernel-io-error",
            "sdb",
        ),
        (
            "etcd.service: A process of this unit has been killed by the OOM killer.",
            "unit-oom-killed",
            "etcd.service",
        ),
    ] {
        assert_eq!(name(line), (kind, device.to_owned()), "{line}");
    }
}

#[test]
fn the_watch_cache_tells_of_what_it_is() {
    let line = br#"I0305 10:11:15.123456       1 cache_watcher.go:193] Forcing pods watcher close due to unresponsiveness: key: "/pods/", labels: "", fields: "". len(c.input) = 10, len(c.result) = 9, graceful = false"#;
    let record = decode(line);
    let event = classify(&record, Detail::Full).expect("known");
    assert_eq!(event.kind, "watcher-closed-slow");
    assert_eq!(
        event.api.as_deref().map(|call| &*call.parts.resource),
        Some("pods")
    );
    assert!(
        event.extra.contains(&("queued", Extra::Int(10))),
        "{:?}",
        event.extra
    );
}
