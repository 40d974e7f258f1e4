//! `logs` through the binary: golden outputs, bad inputs, and the law that cutting changes nothing.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test of the binary on files of its own"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{doctor, fixtures};

fn fixture(name: &str) -> PathBuf {
    fixtures().join("logs").join(name)
}

fn report(paths: &[&Path], args: &[&str]) -> Value {
    let mut run = doctor(&["logs", "--format", "json"]);
    for path in paths {
        run = run.path(path);
    }
    for arg in args {
        run = run.arg(arg);
    }
    run.json()
}

fn estimate(report: &Value) -> (u64, u64, u64) {
    let get = |name: &str| report["requests"]["estimate"][name].as_u64().unwrap();
    (get("low"), get("value"), get("high"))
}

/// What must not depend on how the same lines were cut into files.
fn content(mut report: Value) -> Value {
    let coverage = report["coverage"].as_object_mut().unwrap();
    for name in ["files", "file_list", "streams", "gaps", "examples"] {
        coverage.remove(name);
    }
    report
}

#[test]
fn a_sampled_log_is_estimated_and_an_unsampled_one_counted() {
    let sampled = report(&[&fixture("zap-sampling.log")], &[]);
    let (low, value, high) = estimate(&sampled);
    assert!(low <= 3000 && 3000 <= high, "{low} {high}");
    assert!(high as f64 / low as f64 <= 1.3, "{low} {high}");
    assert!(value.abs_diff(3000) < 100, "{value}");
    assert_eq!(sampled["requests"]["joined"], 225);
    let exact = report(&[&fixture("capnslog-unsampled.log.gz")], &[]);
    assert_eq!(estimate(&exact), (3000, 3000, 3000));
    assert_eq!(exact["resources"][0]["name"], "pods");
    assert_eq!(exact["resources"][0]["gets"], 3000);
}

#[test]
fn cutting_a_log_into_rotated_files_changes_nothing() {
    let text = fs::read_to_string(fixture("zap-sampling.log")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("whole");
    fs::create_dir_all(&whole).unwrap();
    fs::write(whole.join("etcd.log"), &text).unwrap();
    let expected = content(report(&[&whole], &[]));
    assert_eq!(expected["requests"]["joined"], 225);
    for (n, cuts) in [[1, 2], [60, 61], [90, 200], [120, 180], [205, 230]]
        .iter()
        .enumerate()
    {
        let folder = home.path().join(format!("cut-{n}"));
        fs::create_dir_all(&folder).unwrap();
        // logrotate's names: the highest number is the oldest.
        let parts = [
            ("etcd.log.2", &lines[..cuts[0]]),
            ("etcd.log.1", &lines[cuts[0]..cuts[1]]),
            ("etcd.log", &lines[cuts[1]..]),
        ];
        let mut saved = Vec::new();
        for (name, part) in parts {
            fs::write(folder.join(name), part.concat()).unwrap();
        }
        for threads in ["1", "3"] {
            let found = content(report(&[&folder], &["--threads", threads]));
            assert_eq!(found, expected, "cuts {cuts:?}, {threads} threads");
        }
        // The same from saved summaries of each part, which keep the stream's name.
        for (at, (_, part)) in parts.iter().enumerate() {
            let folder = home.path().join("part");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("etcd.log"), part.concat()).unwrap();
            let summary = home.path().join(format!("summary-{n}-{at}"));
            let output = doctor(&["logs", "--save-summary"])
                .path(&summary)
                .path(&folder)
                .output();
            assert!(output.status.success(), "{output:?}");
            saved.push(summary);
        }
        let mut merge = doctor(&["logs", "--format", "json", "--merge"]);
        for summary in &saved {
            merge = merge.path(summary);
        }
        assert_eq!(content(merge.json()), expected, "cuts {cuts:?}, merged");
    }
}

/// One line each of what four programs say at their start, and of what one says of its own limit;
/// as the journal keeps them.
fn journal() -> Vec<String> {
    let etcd = r#"{"level":"info","ts":"2026-11-21T20:29:51.513000Z","caller":"embed/etcd.go:311","msg":"starting an etcd server","etcd-version":"3.6.14","name":"cp0"}"#;
    let waited = |second: u32, who: &str| {
        format!(
            "I1121 20:40:{second:02}.660498   21313 request.go:697] Waited for 1.{second:02}s due to client-side \
             throttling, not priority and fairness, request: POST:https://10.0.0.1:6443/api/v1/namespaces/{who}/pods"
        )
    };
    let mut lines = vec![
        ("etcd", etcd.to_owned()),
        (
            "kube-apiserver",
            "I1121 20:29:52.100000   21295 server.go:187] Version: v1.36.2".to_owned(),
        ),
        (
            "kube-controller-manager",
            r#"I1121 20:29:55.665326   21313 controllermanager.go:211] "Starting" version="v1.36.2""#.to_owned(),
        ),
        (
            "kube-scheduler",
            r#"I1121 20:29:58.230058    1562 server.go:183] "Starting Kubernetes Scheduler" version="v1.36.2""#.to_owned(),
        ),
    ];
    for second in 0..40 {
        let who = match second % 10 {
            9 => "kube-scheduler",
            _ => "kube-controller-manager",
        };
        lines.push((who, waited(second, who)));
    }
    let entry = |(at, (who, text)): (usize, &(&str, String))| {
        let entry = serde_json::json!({
            "__REALTIME_TIMESTAMP": (1_795_292_991_600_000_u64 + at as u64 * 1_000_000).to_string(),
            "_HOSTNAME": "cp0",
            "_SYSTEMD_UNIT": format!("{who}.service"),
            "MESSAGE": text,
        });
        format!("{entry}\n")
    };
    lines.iter().enumerate().map(entry).collect()
}

#[test]
fn a_journal_of_several_units_tells_who_said_what_however_it_is_cut() {
    let lines = journal();
    let home = tempfile::tempdir().unwrap();
    let write = |folder: &str, lines: &[String]| {
        let folder = home.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("node.log"), lines.concat()).unwrap();
        folder
    };
    let whole = write("whole", &lines);
    let expected = content(report(&[&whole], &[]));
    let lines_of = |who: &str| {
        let rows = expected["throttling"].as_array().unwrap();
        rows.iter()
            .filter(|row| row["component"] == who)
            .map(|row| row["lines"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(lines_of("kube-controller-manager"), 36, "{expected:#}");
    assert_eq!(lines_of("kube-scheduler"), 4);
    let starts: Vec<&str> = expected["starts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|start| start["component"].as_str().unwrap())
        .collect();
    assert_eq!(
        starts,
        [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler"
        ]
    );
    for cut in [1, 2, 3, 5, 20, 43] {
        let mut merge = doctor(&["logs", "--format", "json", "--merge"]);
        for (at, part) in [&lines[..cut], &lines[cut..]].into_iter().enumerate() {
            let folder = write("part", part);
            let summary = home.path().join(format!("summary-{cut}-{at}"));
            let output = doctor(&["logs", "--save-summary"])
                .path(&summary)
                .path(&folder)
                .output();
            assert!(output.status.success(), "{output:?}");
            merge = merge.path(&summary);
        }
        assert_eq!(content(merge.json()), expected, "cut after {cut}");
    }
    // Four programs that start once are no program that starts four times, and the advice is for the
    // program that waits.
    let run: Value = doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(&whole)
        .json();
    let failed: Vec<(&str, &str)> = run["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["status"] == "fail")
        .map(|finding| {
            let text = |name: &str| finding[name].as_str().unwrap();
            (text("rule"), text("subject"))
        })
        .collect();
    assert_eq!(
        failed,
        [
            // It waited longest.
            ("client-throttled", "component:kube-scheduler@cp0"),
            ("client-throttled", "component:kube-controller-manager@cp0"),
        ]
    );
    // Each of them was looked at.
    assert_eq!(
        run["verdict"]["missing"],
        serde_json::json!(["metrics", "settings", "mounts"])
    );
    let advised = run["advice"].as_array().unwrap();
    assert!(!advised.is_empty());
    assert!(
        advised.iter().all(|advice| {
            let target = advice["target"].as_str().unwrap();
            target == "kube-controller-manager" || target == "kube-scheduler"
        }),
        "{advised:#?}"
    );
}

#[test]
fn words_of_an_unknown_program_among_several_are_nobodys() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("all.log");
    let texts: String = journal()
        .iter()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            format!("{}\n", entry["MESSAGE"].as_str().unwrap())
        })
        .collect();
    let diagnose = |texts: &str| -> (Vec<String>, Value) {
        fs::write(&log, texts).unwrap();
        let run: Value = doctor(&["diagnose", "--format", "json", "--bundle"])
            .path(home.path())
            .json();
        let failed = run["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["status"] == "fail")
            .map(|finding| finding["subject"].as_str().unwrap().to_owned())
            .collect();
        (failed, run["advice"].clone())
    };
    assert_eq!(
        diagnose(&texts),
        (
            vec!["component:a client whose name the log does not give@cp0".to_owned()],
            serde_json::json!([])
        )
    );
    let table = report(&[&log], &[]);
    assert_eq!(table["throttling"][0]["component"], "unnamed-client");
    // A dozen lines right after the start of any of them may be that one's start; forty are not.
    let at_start = texts.replace("I1121 20:40:", "I1121 20:30:");
    assert_eq!(diagnose(&at_start).0.len(), 1);
    let (starts, lines_of_a_start) = (4, 12);
    let few: String = at_start
        .split_inclusive('\n')
        .take(starts + lines_of_a_start)
        .collect();
    assert_eq!(diagnose(&few), (vec![], serde_json::json!([])));
}

#[test]
fn one_election_is_one_term_however_many_members_tell_of_it() {
    let home = tempfile::tempdir().unwrap();
    for member in ["a", "b", "c"] {
        let pod = home
            .path()
            .join(format!(
                "kube-system_etcd-cp-{member}_0123456789abcdef0123456789abcdef"
            ))
            .join("etcd");
        fs::create_dir_all(&pod).unwrap();
        fs::copy(
            fixture(&format!("election-{member}.log")),
            pod.join("0.log"),
        )
        .unwrap();
    }
    let report = report(&[home.path()], &[]);
    let elections = report["elections"].as_array().unwrap();
    let mut terms: Vec<u64> = elections
        .iter()
        .map(|election| election["term"].as_u64().unwrap())
        .collect();
    let count = terms.len();
    terms.sort_unstable();
    terms.dedup();
    assert_eq!(terms.len(), count, "{elections:?}");
    assert!(elections.iter().any(|election| election["planned"] == true));
    assert!(
        elections
            .iter()
            .any(|election| election["members"].as_u64() == Some(3))
    );
}

#[test]
fn compare_grep_leaves_the_path_alone() {
    let path = fixture("zap-sampling.log");
    let found = report(&[], &["--compare-grep", path.to_str().unwrap()]);
    assert!(found["grep"].as_array().unwrap().len() > 1, "{found}");
    assert!(found["requests"]["joined"].as_u64().unwrap() > 0, "{found}");
    let output = doctor(&["logs", "--compare-grep", "nosuchword"]).output();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`--compare-grep=nosuchword`"), "{said}");
}

#[test]
fn compare_grep_says_what_grep_says() {
    for name in ["zap-sampling.log", "capnslog-unsampled.log.gz"] {
        let path = fixture(name);
        let found = report(
            &[&path],
            &[
                "--compare-grep=pods,RANGE",
                "--compare-grep=warn,nosuchword",
            ],
        );
        for row in found["grep"].as_array().unwrap() {
            let word = row["word"].as_str().unwrap();
            let program = if name.ends_with(".gz") {
                "zgrep"
            } else {
                "grep"
            };
            let output = Command::new(program)
                .args(["-ic", word])
                .arg(&path)
                .output()
                .unwrap();
            let expected: u64 = String::from_utf8(output.stdout)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            assert_eq!(row["lines"].as_u64(), Some(expected), "{name} {word}");
        }
    }
}

#[test]
fn events_carry_the_listed_fields_and_join_the_lines_of_one_request() {
    let text = concat!(
        r#"{"level":"warn","ts":"2026-11-21T20:00:01.000000Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"400ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/shop/\" range_end:\"/registry/pods/shop0\" limit:500 ","response":"range_response_count:7 size:900"}"#,
        "\n",
        r#"{"level":"info","ts":"2026-11-21T20:00:01.000100Z","caller":"traceutil/trace.go:172","msg":"trace[7] range","detail":"{range_begin:/registry/pods/shop/; range_end:/registry/pods/shop0; response_count:7; response_revision:9; }","duration":"400.1ms","start":"2026-11-21T20:00:00.600000Z","end":"2026-11-21T20:00:01.000100Z","steps":["trace[7] 'range keys from bolt db'  (duration: 390ms)"],"step_count":1}"#,
        "\n",
        r#"{"level":"warn","ts":"2026-11-21T20:00:01.000200Z","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"2026-11-21T20:00:00.600000Z","time spent":"400.2ms","remote":"10.0.0.7:4321","response type":"/etcdserverpb.KV/Range","request count":0,"request size":44,"response count":7,"response size":922,"request content":"key:\"/registry/pods/shop/\" range_end:\"/registry/pods/shop0\" limit:500 "}"#,
        "\n",
    );
    let output = doctor(&["logs", "--emit", "events", "-"])
        .stdin(text.as_bytes())
        .output();
    assert!(output.status.success(), "{output:?}");
    let events: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 3);
    for event in &events {
        for name in [
            "file",
            "line",
            "line_end",
            "time",
            "time_source",
            "component",
            "level",
            "kind",
            "resource",
            "group",
            "namespace",
            "key",
            "operation",
            "shape",
            "took_ms",
            "range_response_count",
            "response_size",
            "client",
            "request_id",
            "primary",
        ] {
            assert!(event.get(name).is_some(), "{name}");
        }
        assert_eq!(event["resource"], "pods");
        assert_eq!(event["namespace"], "shop");
        assert_eq!(event["request_id"], events[0]["request_id"]);
    }
    let primary: Vec<&Value> = events.iter().map(|event| &event["primary"]).collect();
    assert_eq!(primary, [true, false, false]);
    assert_eq!(events[0]["kind"], "slow-apply");
    assert_eq!(events[0]["time"], "2026-11-21T20:00:01.000Z");
    assert_eq!(events[2]["client"], "10.0.0.7:4321");
    // The table counts it once, with the client of the one line and the size of the other.
    let output = doctor(&["logs", "--format", "json", "-"])
        .stdin(text.as_bytes())
        .json();
    assert_eq!(output["requests"]["seen"], 3);
    assert_eq!(output["requests"]["joined"], 1);
    assert_eq!(output["clients"][0]["name"], "10.0.0.7");
    assert_eq!(output["clients"][0]["bytes"], 900);
    // Names are hidden when asked.
    let output = doctor(&["logs", "--emit", "events", "--redact", "-"])
        .stdin(text.as_bytes())
        .output();
    let hidden = String::from_utf8(output.stdout).unwrap();
    assert!(
        !hidden.contains("shop") && hidden.contains("\"pods\""),
        "{hidden}"
    );
}

#[test]
fn the_table_fits_eighty_columns() {
    let text = doctor(&["logs"]).path(fixture("zap-sampling.log")).text();
    assert!(text.starts_with("exit 0"), "{text}");
    for line in text.lines() {
        assert!(
            line.chars().count() <= 80 || line.contains("[FIXTURES]"),
            "{line}"
        );
    }
    assert!(text.contains("225 logged requests"), "{text}");
    assert!(text.contains("left lines out"), "{text}");
}

#[test]
fn bad_inputs_are_named_and_the_rest_is_read() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::write(at("empty.log"), "").unwrap();
    fs::write(
        at("binary.log"),
        [0u8, 159, 146, 150, 0, 255, 10, 7].repeat(100),
    )
    .unwrap();
    fs::write(
        at("half.log"),
        r#"{"level":"warn","ts":"2026-11-21T20:00:01.0000"#,
    )
    .unwrap();
    fs::write(
        at("torn.log.gz"),
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3],
    )
    .unwrap();
    let mut good = fs::read(fixture("zap-sampling.log")).unwrap();
    good.extend(std::iter::repeat_n(b'x', 30 << 20));
    fs::write(at("long-line.log"), &good).unwrap();
    std::os::unix::fs::symlink(home.path(), at("loop")).unwrap();
    let all = report(&[home.path()], &[]);
    assert_eq!(all["requests"]["joined"], 225);
    let coverage = &all["coverage"];
    assert_eq!(
        coverage["parsed"].as_u64().unwrap() + coverage["unparsed"].as_u64().unwrap(),
        coverage["lines"].as_u64().unwrap()
    );
    // Each alone: no panic, and an exit code that says whether anything could be read.
    for name in ["empty.log", "half.log", "long-line.log"] {
        let output = doctor(&["logs"]).path(at(name)).output();
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
    }
    for name in ["torn.log.gz", "binary.log", "missing.log"] {
        let output = doctor(&["logs"]).path(at(name)).output();
        assert_eq!(output.status.code(), Some(3), "{name}: {output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(name),
            "{name}"
        );
    }
    let output = doctor(&["logs", "--strict"])
        .path(fixture("zap-sampling.log"))
        .path(at("missing.log"))
        .output();
    assert_eq!(output.status.code(), Some(3));
    let output = doctor(&["logs"])
        .path(fixture("zap-sampling.log"))
        .path(at("missing.log"))
        .output();
    // What was named is missing, and the rest is reported.
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("slow-apply"));
    let output = doctor(&["logs", "--emit", "events"])
        .path(fixture("zap-sampling.log"))
        .path(at("missing.log"))
        .output();
    assert_eq!(output.status.code(), Some(3));
    assert!(!output.stdout.is_empty());
    // What lies in a folder was not asked for by its own name.
    fs::create_dir(at("folder")).unwrap();
    fs::copy(fixture("zap-sampling.log"), at("folder/a.log")).unwrap();
    fs::write(at("folder/t.log"), b"\x7fELF\x02\x01\x01\0").unwrap();
    let output = doctor(&["logs"]).path(at("folder")).output();
    assert_eq!(output.status.code(), Some(0));
    let output = doctor(&["logs"])
        .path(at("folder"))
        .path(at("folder/t.log"))
        .output();
    assert_eq!(output.status.code(), Some(3));
    let output = doctor(&["diagnose", "--bundle"])
        .path(at("missing"))
        .output();
    assert_eq!(output.status.code(), Some(3));
    // Of a file of several programs, what is surely another's is left out.
    let mixed = [
        r#"{"level":"warn","ts":"2024-05-14T20:27:19.085646Z","caller":"wal/wal.go:805","msg":"slow fdatasync","took":"1.8s","expected-duration":"1s"}"#,
        r#"{"level":"warn","ts":"2024-05-14T20:27:19.185646Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"400ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" limit:500 ","response":"range_response_count:7 size:900"}"#,
        r#"E0514 20:27:20.058446       1 wrap.go:53] "Timeout or abort while handling" method="GET" URI="/api/v1/pods" auditID="e4""#,
        r#"Trace[908013652]: ---"Writing http response done" 45107ms (20:27:20.071)"#,
        "E0514 20:27:21.058446       1 leaderelection.go:330] leaderelection lost",
        r#"I0514 20:27:22.058446       1 server.go:183] "Starting Kubernetes Scheduler" version="v1.36.2""#,
    ];
    fs::write(at("all-in-one.log"), mixed.join("\n") + "\n").unwrap();
    let kinds = |component: &str| -> Vec<String> {
        let text = doctor(&["logs", "--emit", "events", "--component", component])
            .path(at("all-in-one.log"))
            .output();
        let text = String::from_utf8(text.stdout).unwrap();
        let kind = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["kind"].as_str().unwrap().to_owned()
        };
        let emitted: Vec<String> = text.lines().map(kind).collect();
        let report = doctor(&["logs", "--format", "json", "--component", component])
            .path(at("all-in-one.log"))
            .output();
        let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
        let mut counted: Vec<String> = report["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["kind"].as_str().unwrap().to_owned())
            .collect();
        counted.sort();
        let mut sorted = emitted.clone();
        sorted.sort();
        assert_eq!(counted, sorted, "{component}");
        emitted
    };
    assert_eq!(
        kinds("scheduler"),
        [
            "apiserver-trace-step",
            "leaderelection-lost",
            "scheduler-start"
        ]
    );
    // etcd never writes klog.
    assert_eq!(kinds("etcd"), ["wal-sync-slow", "slow-apply"]);
    let output = doctor(&["logs", "--component", "bogus"])
        .path(fixture("zap-sampling.log"))
        .output();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("etcd, apiserver, kcm"));
    let output = doctor(&["logs", "--sort", "nothing"]).output();
    assert_eq!(output.status.code(), Some(64));
    fs::write(at("not-a-summary"), "{}").unwrap();
    let output = doctor(&["logs", "--merge"])
        .path(at("not-a-summary"))
        .output();
    assert_eq!(output.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no saved summary"));
}

/// No name of what a cluster holds is in what is written with `--redact`, in any form.
#[test]
fn redacted_output_names_nobody() {
    let text = concat!(
        r#"{"level":"warn","ts":"2026-11-21T19:32:33.2Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"1.2s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/zzns/zzname\\000\" range_end:\"/registry/pods0\" limit:500 revision:5 ","response":"range_response_count:3 size:100"}"#,
        "\n",
        r#"{"level":"warn","ts":"2026-11-21T19:32:33.4Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"1.2s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/zzcustom/zzns/zzname/zzmore\" ","response":"range_response_count:0 size:6"}"#,
        "\n",
        r#"{"level":"warn","ts":"2026-11-21T19:32:33.5Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"1.2s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/zzns/zzname/zzextra\" ","response":"range_response_count:0 size:6"}"#,
        "\n",
        r#"{"level":"warn","ts":"2026-11-21T19:32:33.8Z","caller":"etcdserver/util.go:170","msg":"failed to apply request","took":"1.2ms","request":"header:<ID:7 > put:<key:\"/registry/pods/zzns/zzname\" value_size:4 > ","response":"","error":"etcdserver: zzns zzname failed"}"#,
        "\n",
        r#"{"level":"info","ts":"2026-11-21T19:32:33.9Z","caller":"embed/etcd.go:300","msg":"starting an etcd server","etcd-version":"3.5.9","name":"zznode01.corp","data-dir":"/var/lib/etcd","initial-cluster":"zznode01=https://10.1.1.1:2380"}"#,
        "\n",
        r#"{"level":"warn","ts":"2026-11-21T19:32:34.1Z","caller":"embed/config_logging.go:160","msg":"rejected connection","remote-addr":"10.1.2.3:5555","server-name":"zzserver.corp","ip-addresses":[],"dns-names":["zzdns"],"error":"remote error: tls: bad certificate"}"#,
        "\n",
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"6f268b7f-d717-484a-a4c5-6ca08365a57c","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/zzns/secrets/zzname","verb":"get","user":{"username":"zzalice","groups":["system:masters"]},"impersonatedUser":{"username":"zzbob"},"sourceIPs":["192.168.13.138"],"userAgent":"zzagent/v1 (linux/amd64) kubernetes/abc/zzns","objectRef":{"resource":"secrets","namespace":"zzns","name":"zzname","apiVersion":"v1"},"responseStatus":{"code":403,"message":"secrets \"zzname\" is forbidden: User zzalice cannot get in namespace zzns"},"requestReceivedTimestamp":"2026-11-21T19:32:34.000000Z","stageTimestamp":"2026-11-21T19:32:36.000000Z"}"#,
        "\n",
        r#"I1121 19:32:35.844403      10 trace.go:205] Trace[484169232]: "Get" url:/api/v1/namespaces/zzns/pods/zzname,user-agent:zzctl/v1 (linux/amd64) kubernetes/$Format/system:serviceaccount:zzns:zzname,client:10.13.20.49 (21-Nov-2026 19:32:33.575) (total time: 2272ms):"#,
        "\n",
        r#"Trace[484169232]: ---"About to write zzname" 2268ms (19:32:35.844)"#,
        "\n",
        r#"E1121 19:32:38.383747       1 reflector.go:138] k8s.io/client-go/informers/factory.go:134: Failed to watch *v1.Pod: failed to list *v1.Pod: Get "https://10.0.0.1/api/v1/namespaces/zzns/pods": dial tcp zzhost.corp:6443: connect: connection refused"#,
        "\n",
        r#"E1121 19:32:39.483747       1 deployment_controller.go:100] zzwords that nobody of zzcorp knows"#,
        "\n",
        "Nov 21 19:32:33 zzhost kernel: Out of memory: Killed process 123 (zzproc) total-vm:1kB\n",
    );
    let home = tempfile::tempdir().unwrap();
    let path = home
        .path()
        .join("pods/zzns_etcd-zznode01_0123456789abcdef0123456789abcdef/etcd");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("0.log"), text).unwrap();
    let run = |args: &[&str]| {
        let output = doctor(&["logs", "--redact"])
            .args(args)
            .path(home.path())
            .output();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for args in [
        &[][..],
        &["--by", "client"],
        &["--by", "prefix"],
        &["--by", "namespace"],
        &["--format", "json"],
        &["--emit", "events"],
    ] {
        let out = run(args);
        assert!(!out.contains("zz"), "{args:?}: {out}");
    }
    let events = run(&["--emit", "events"]);
    for kept in [
        "connection refused",
        "/registry/pods/x-",
        "10.1.2.3:5555",
        "kubernetes/$Format/system:serviceaccount:x-",
        "tls: bad certificate",
        "etcdserver: x-",
    ] {
        assert!(events.contains(kept), "{kept}: {events}");
    }
    // A saved summary keeps names for what is merged to it; they are hidden when it is shown.
    let saved = home.path().join("a.sum");
    let refused = doctor(&["logs", "--redact", "--save-summary"])
        .path(&saved)
        .path(home.path())
        .text();
    assert!(
        refused.starts_with("exit 64") && refused.contains("--merge FILE --redact"),
        "{refused}"
    );
    assert!(!saved.exists());
    doctor(&["logs", "--save-summary"])
        .path(&saved)
        .path(home.path())
        .output();
    let merged = doctor(&["logs", "--redact", "--format", "json", "--merge"])
        .path(&saved)
        .output();
    let merged = String::from_utf8(merged.stdout).unwrap();
    assert!(
        !merged.contains("zz") && merged.contains("\"pods\""),
        "{merged}"
    );
}

#[test]
fn records_outside_the_window_are_not_without_a_time() {
    let text = doctor(&["logs", "--since", "2030-01-01T00:00:00Z"])
        .path(fixture("zap-sampling.log"))
        .text();
    assert!(text.contains("no record is in the window"), "{text}");
    assert!(!text.contains("no record has a time"), "{text}");
}
