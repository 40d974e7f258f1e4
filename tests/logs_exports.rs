//! What exports and copies make of logs: several writers in one file, a log twice, the newest lines
//! first, and the times of a host that is not on UTC.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test of the binary on lines of its own, which are ASCII where they are cut"
)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use support::{doctor, events};

fn report_of(input: &str) -> Value {
    let run = doctor(&["logs", "--format", "json", "-"]);
    let output = run.stdin(input.as_bytes()).output();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn report(path: &Path) -> Value {
    let output = doctor(&["logs", "--format", "json"]).path(path).output();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn notes(report: &Value) -> String {
    let notes = report["notes"].as_array().unwrap();
    notes
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The three lines that etcd writes about one request, at a second of some hour.
fn request(second: u32) -> [String; 3] {
    let at = format!("2026-11-20T10:{:02}:{:02}", second / 60, second % 60);
    [
        format!(
            r#"{{"level":"warn","ts":"{at}.500000Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"310ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/a/x{second}\" ","response":"range_response_count:1 size:100"}}"#
        ),
        format!(
            r#"{{"level":"info","ts":"{at}.500100Z","caller":"traceutil/trace.go:172","msg":"trace[5] range","detail":"{{range_begin:/registry/pods/a/x{second}; range_end:; response_count:1; response_revision:7; }}","duration":"310ms","start":"{at}.190000Z","end":"{at}.500000Z","steps":["trace[5] 'range keys from in-memory index tree'  (duration: 309ms)"],"step_count":1}}"#
        ),
        format!(
            r#"{{"level":"warn","ts":"{at}.500200Z","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"{at}.189000Z","time spent":"311ms","remote":"10.0.0.1:1","response type":"/etcdserverpb.KV/Range","request count":0,"request size":20,"response count":1,"response size":120,"request content":"key:\"/registry/pods/a/x{second}\" "}}"#
        ),
    ]
}

const THROTTLED: &str = "I1120 10:00:01.500003       1 request.go:697] Waited for 1.046146023s due to client-side throttling, not priority and fairness, request: POST:https://10.0.0.1:6443/api/v1/namespaces/a/pods";

/// What shippers make of a line of a pod's container.
fn shipped(pod: &str, container: &str, line: &str) -> Vec<String> {
    let text = serde_json::to_string(line).unwrap();
    let at = "2026-11-20T10:00:01.500010Z";
    vec![
        format!(
            r#"{{"@timestamp":"{at}","log":{text},"kubernetes":{{"pod_name":"{pod}","container_name":"{container}","host":"n"}}}}"#
        ),
        format!(
            r#"{{"@timestamp":"{at}","message":{text},"kubernetes":{{"pod":{{"name":"{pod}"}},"container":{{"name":"{container}"}}}}}}"#
        ),
        format!(
            r#"{{"_source":{{"@timestamp":"{at}","message":{text},"kubernetes":{{"pod_name":"{pod}","container_name":"{container}"}}}}}}"#
        ),
        format!(
            r#"{{"file":"/var/log/pods/kube-system_{pod}_0f0f/{container}/0.log","message":{text},"timestamp":"{at}"}}"#
        ),
        format!(
            r#"{{"result":{{"_raw":{text},"_time":"{at}","host":"n","source":"/var/log/pods/kube-system_{pod}_0f0f/{container}/0.log"}}}}"#
        ),
        format!(
            r#"{{"data":{{"resultType":"streams","result":[{{"stream":{{"container":"{container}","pod":"{pod}"}},"values":[["1795168801500010000",{text}]]}}]}}}}"#
        ),
        format!(
            r#"{{"labels":{{"container":"{container}","pod":"{pod}"}},"line":{text},"timestamp":"{at}"}}"#
        ),
        format!(r#"{at} {{app="{container}", pod="{pod}"}} {line}"#),
        format!(
            r#"{{"message":{text},"namespace":"kube-system","podName":"{pod}","containerName":"{container}"}}"#
        ),
        format!("kube-system/{pod}[{container}]: {line}"),
        format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"k8s.pod.name","value":{{"stringValue":"{pod}"}}}},{{"key":"k8s.container.name","value":{{"stringValue":"{container}"}}}}]}},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1795168801500010000","body":{{"stringValue":{text}}}}}]}}]}}]}}"#
        ),
        format!(r#"{{"@timestamp":"{at}","@logStream":"{pod}","@message":{text}}}"#),
        format!(
            r#"{{"events":[{{"logStreamName":"{pod}","timestamp":1795168801500,"message":{text}}}]}}"#
        ),
        format!("{at} {pod} {line}"),
        format!(
            r#"{{"__REALTIME_TIMESTAMP":"1795168801500010","MESSAGE":{text},"SYSLOG_IDENTIFIER":"dockerd","CONTAINER_NAME":"k8s_{container}_{pod}_kube-system_x_1"}}"#
        ),
        format!("[pod/{pod}/{container}] {line}"),
        format!("{pod} {container} {line}"),
        format!(
            "==== START logs for container {container} of pod kube-system/{pod} ====\n{line}\n==== END logs for container {container} of pod kube-system/{pod} ===="
        ),
    ]
}

#[test]
fn members_in_one_export_are_told_apart() {
    let lines = request(1);
    let each: Vec<Vec<String>> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| shipped(&format!("etcd-cp{at}"), "etcd", line))
        .collect();
    let one: Vec<Vec<String>> = lines
        .iter()
        .map(|line| shipped("etcd-cp0", "etcd", line))
        .collect();
    for form in 0..each[0].len() {
        let text = |lines: &[Vec<String>]| -> String {
            lines
                .iter()
                .map(|forms| forms[form].clone() + "\n")
                .collect()
        };
        let three = report_of(&text(&each));
        assert_eq!(three["requests"]["joined"], 3, "{}", each[0][form]);
        assert_eq!(three["coverage"]["unparsed"], 0, "{}", each[0][form]);
        assert_eq!(report_of(&text(&one))["requests"]["joined"], 1);
    }
}

#[test]
fn clients_in_one_export_are_told_apart_and_named_in_events() {
    let forms = |name: &str| shipped(&format!("{name}-cp0"), name, THROTTLED);
    let pairs = forms("kube-scheduler")
        .into_iter()
        .zip(forms("kube-controller-manager"));
    for (scheduler, manager) in pairs {
        let text = format!("{scheduler}\n{manager}\n");
        let found = report_of(&text);
        let mut clients: Vec<&str> = found["throttling"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|client| client["component"].as_str())
            .collect();
        clients.sort_unstable();
        assert_eq!(
            clients,
            ["kube-controller-manager", "kube-scheduler"],
            "{text}"
        );
        let said: Vec<Value> = events(&text)
            .into_iter()
            .map(|event| event["component"].clone())
            .collect();
        assert_eq!(
            said,
            ["kube-scheduler", "kube-controller-manager"],
            "{text}"
        );
    }
    // A syslog's tag and a journal's identifier.
    let text = format!("Nov 20 10:00:01 cp0 kube-scheduler[7]: {THROTTLED}\n");
    assert_eq!(events(&text)[0]["component"], "kube-scheduler");
}

#[test]
fn a_log_and_its_copies_count_once() {
    let text: String = (0..200)
        .map(|second| request(second).join("\n") + "\n")
        .collect();
    let uid = "0123456789abcdef0123456789abcdef";
    let id = uid.repeat(2);
    let pod = |node: &str| format!("pods/kube-system_etcd-{node}_{uid}/etcd/0.log");
    let link = format!("containers/etcd-cp0_kube-system_etcd-{id}.log");
    // The link's copy was taken a moment earlier.
    let shorter = &text[..text.len() - 1000];
    for (files, joined) in [
        (vec![(pod("cp0"), &*text), (link.clone(), &*text)], 200),
        (vec![(pod("cp0"), &*text), (link, shorter)], 200),
        (
            vec![
                ("etcd.log".to_owned(), &*text),
                ("etcd (copy).log".to_owned(), &*text),
            ],
            200,
        ),
        // Two pods are two writers.
        (vec![(pod("cp0"), &*text), (pod("cp1"), &*text)], 400),
    ] {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in &files {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = report(home.path());
        assert_eq!(found["requests"]["joined"], joined, "{:?}", files[1].0);
        let copies = found["coverage"]["skipped"]["duplicates"].as_u64();
        assert_eq!(copies.unwrap_or(0), u64::from(joined == 200));
        if joined == 200 && files[0].0 != "etcd.log" {
            assert_eq!(found["coverage"]["streams"][0]["node"], "cp0");
        }
    }
}

#[test]
fn the_newest_lines_may_stand_first() {
    let lines: Vec<String> = (0..900).flat_map(request).collect();
    let forth = lines.join("\n") + "\n";
    let back: String = lines.iter().rev().map(|line| line.clone() + "\n").collect();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("etcd.log");
    fs::write(&path, &back).unwrap();
    let found = report(&path);
    assert_eq!(found["requests"]["joined"], 900);
    assert!(
        notes(&found).contains("read from its end"),
        "{}",
        notes(&found)
    );
    // The events name the lines where they stand.
    let emitted = doctor(&["logs", "--emit", "events"])
        .path(&path)
        .json_lines();
    assert_eq!(emitted.len(), 2700);
    assert_eq!(
        (&emitted[0]["line"], &emitted[2699]["line"]),
        (&json!(2700), &json!(1))
    );
    let first: Value = events(&request(0)[0]).remove(0);
    assert_eq!(emitted[0]["time"], first["time"]);
    // A pipe cannot be turned round.
    let piped = report_of(&back);
    assert!(
        notes(&piped).contains("did not find each other"),
        "{}",
        notes(&piped)
    );
    assert_eq!(notes(&report_of(&forth)).matches("newest").count(), 0);
}

#[test]
fn records_without_a_zone_have_the_one_that_others_show() {
    let journal = |zone: &str| {
        format!(
            "Feb 16 21:31:27 h k3s[1]: {{\"level\":\"warn\",\"ts\":\"2026-02-16T21:31:27.325{zone}\",\"caller\":\"wal/wal.go:805\",\"msg\":\"slow fdatasync\",\"took\":\"1.2s\",\"expected-duration\":\"1s\"}}\n\
             Feb 16 21:31:27 h k3s[1]: I0216 21:31:27.400003       1 request.go:697] Waited for 2.046146023s due to client-side throttling, not priority and fairness, request: GET:https://10.0.0.1:6443/apis/apps/v1/deployments\n\
             Feb 16 21:31:28 h k3s[1]: sync duration of 1.2s, expected less than 1s\n"
        )
    };
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("k3s.log");
    for (zone, utc) in [
        ("-0500", "2026-02-17T02:31:2"),
        ("+0530", "2026-02-16T16:01:2"),
        ("Z", "2026-02-16T21:31:2"),
    ] {
        fs::write(&path, journal(zone)).unwrap();
        let found = doctor(&["logs", "--emit", "events"])
            .path(&path)
            .json_lines();
        assert_eq!(found.len(), 3);
        for event in &found {
            assert!(
                event["time"].as_str().unwrap().starts_with(utc),
                "{zone} {event}"
            );
        }
        let said = notes(&report(&path));
        assert_eq!(said.contains("the host's"), zone != "Z", "{said}");
        assert_eq!(
            notes(&report_of(&journal(zone))).contains("the host's"),
            zone != "Z"
        );
    }
}

#[test]
fn pieces_of_rarer_tools_are_one_log() {
    let lines: Vec<String> = (0..90).flat_map(request).collect();
    // Cut between the lines of one request.
    let pieces = [&lines[..100], &lines[100..200], &lines[200..]];
    for names in [
        ["messages-20261118", "messages-20261119", "messages"],
        ["000000", "000001", "000002"],
        [
            "@400000005f6e1e2a12345678.s",
            "@400000005f6f1e2a12345678.s",
            "current",
        ],
        ["etcd.log.aa", "etcd.log.ab", "etcd.log.ac"],
    ] {
        let home = tempfile::tempdir().unwrap();
        for (name, lines) in names.iter().zip(pieces) {
            fs::write(home.path().join(name), lines.join("\n") + "\n").unwrap();
        }
        let found = report(home.path());
        assert_eq!(found["requests"]["joined"], 90, "{names:?}");
    }
}

#[test]
fn what_the_journal_kept_back_is_in_the_upper_bound() {
    let line = |second: u32| {
        format!(
            "Nov 20 10:00:0{second} cp1 etcd[99]: {}\n",
            request(second)[0]
        )
    };
    let said = "Nov 20 10:00:03 cp1 systemd-journald[400]: Suppressed 12345 messages from etcd.service\n\
                Nov 20 10:00:03 cp1 systemd-journald[400]: Suppressed 77 messages from kubelet.service\n";
    let report = report_of(&[&line(1), said, &line(5)].concat());
    let requests = &report["requests"];
    assert_eq!(
        requests["estimate"],
        json!({"low": 2, "value": 2, "high": 12347})
    );
    assert_eq!(requests["complete"], false);
    assert_eq!(
        report["coverage"]["suppressed_by"],
        json!({"etcd.service": 12345, "kubelet.service": 77})
    );
    assert!(notes(&report).contains("12345 of etcd.service, 77 of kubelet.service"));
}

#[test]
fn the_year_of_klogs_dates_is_that_of_dated_lines_and_a_note_says_so() {
    const ZAP: &str = r#"{"level":"warn","ts":"2021-01-25T06:42:36.000+0100","caller":"wal/wal.go:806","msg":"slow fdatasync","took":"7.454439372s","expected-duration":"1s"}"#;
    const KLOG: &str = "E0125 05:42:39.880363 2189071 leaderelection.go:325] error retrieving resource lock kube-system/kube-controller-manager: Get \"https://127.0.0.1:6444/x\": context deadline exceeded";
    let day = "2021-01-25T05:4";
    // Beside each other, in a file and in a pipe.
    let dir = tempfile::tempdir().unwrap();
    let both = format!("{ZAP}\n{KLOG}\n");
    fs::write(dir.path().join("k3s.log"), &both).unwrap();
    for report in [report(dir.path()), report_of(&both)] {
        assert!(
            report["coverage"]["to"].as_str().unwrap().starts_with(day),
            "{report}"
        );
        assert!(
            notes(&report).contains("dated lines beside them"),
            "{report}"
        );
    }
    // In two files of a bundle.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("etcd.log"), format!("{ZAP}\n")).unwrap();
    fs::write(
        dir.path().join("kube-controller-manager.log"),
        format!("{KLOG}\n"),
    )
    .unwrap();
    let report = report(dir.path());
    assert!(
        report["coverage"]["to"].as_str().unwrap().starts_with(day),
        "{report}"
    );
    assert!(notes(&report).contains("in the other files"), "{report}");
}
