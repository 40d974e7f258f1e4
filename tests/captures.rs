//! Recorded control planes with a known cause: the verdict is right on all of them, and with any
//! kind of evidence taken away it is less certain or unknown, never wrong.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::doctor;

/// What a recording must give.
struct Truth {
    name: &'static str,
    cause: &'static str,
    /// Rules that must fail.
    found: &'static [&'static str],
    /// Rules that must not fail at `warn` or above.
    innocent: &'static [&'static str],
    /// Advice that must be among the recommended or candidate ones.
    advice: &'static [&'static str],
}

const DISK: &[&str] = &["wal-sync-stalled", "device-flush-slow", "wal-fsync-slow"];

const TRUTHS: &[Truth] = &[
    Truth {
        name: "barrier-off",
        cause: "config",
        found: &["write-barriers-off"],
        innocent: &[
            "wal-fsync-slow",
            "expensive-lists",
            "slow-requests",
            "client-throttled",
        ],
        advice: &["mount-barriers"],
    },
    Truth {
        name: "cpu-starved",
        cause: "cpu",
        found: &["etcd-cpu-throttled", "wal-fsync-slow"],
        innocent: &["wal-sync-stalled", "device-flush-slow", "peer-rtt-high"],
        advice: &["etcd-cpu-limit"],
    },
    Truth {
        name: "events-flood",
        cause: "query-load",
        found: &["events-dominate"],
        innocent: DISK,
        advice: &["shard-events"],
    },
    Truth {
        name: "healthy",
        cause: "none",
        found: &[],
        innocent: &[
            "events-dominate",
            "expensive-lists",
            "client-heavy-lists",
            "client-throttled",
        ],
        advice: &[],
    },
    Truth {
        name: "hot-loop",
        cause: "query-load",
        found: &["client-hot-loop"],
        innocent: DISK,
        advice: &[],
    },
    Truth {
        name: "inflight-429",
        cause: "apiserver-saturation",
        found: &["apf-rejections"],
        innocent: DISK,
        advice: &[],
    },
    Truth {
        name: "kcm-throttled",
        cause: "client-throttling",
        found: &["client-throttled", "workqueue-backlog"],
        innocent: DISK,
        advice: &["kcm-qps", "kcm-burst"],
    },
    Truth {
        name: "nospace",
        cause: "space",
        found: &["nospace-alarm", "compaction-off"],
        innocent: &["device-flush-slow", "peer-rtt-high"],
        advice: &["nospace-recovery"],
    },
    Truth {
        name: "range-storm",
        cause: "query-load",
        found: &["expensive-lists", "client-heavy-lists"],
        innocent: DISK,
        advice: &[],
    },
    Truth {
        name: "slow-disk",
        cause: "disk",
        found: &["device-flush-slow", "wal-fsync-slow", "wal-sync-stalled"],
        innocent: &["peer-rtt-high", "etcd-cpu-throttled"],
        advice: &["etcd-own-device"],
    },
    Truth {
        name: "slow-network",
        cause: "network",
        found: &["peer-rtt-high"],
        innocent: DISK,
        advice: &["peer-links"],
    },
];

const KINDS: [&str; 4] = ["logs", "metrics", "manifests", "host"];

fn unpack(truth: &Truth, into: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = format!("{}.tar.zst", truth.name);
    let at = [
        root.join("tests/fixtures/captures").join(&file),
        root.join("demo").join(&file),
    ];
    let path = at
        .iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no {file}"));
    let bytes = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    tar::Archive::new(bytes.as_slice()).unpack(into).unwrap();
    into.join(truth.name)
}

fn diagnose(bundle: &Path) -> Value {
    doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(bundle)
        .json()
}

fn failed<'a>(report: &'a Value, severities: &[&str]) -> Vec<&'a str> {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["status"] == "fail" && severities.contains(&f["severity"].as_str().unwrap()))
        .map(|f| f["rule"].as_str().unwrap())
        .collect()
}

fn check_whole(truth: &Truth, report: &Value) {
    let name = truth.name;
    assert_eq!(
        report["verdict"]["cause"], truth.cause,
        "{name}: {}",
        report["verdict"]
    );
    assert_eq!(
        report["verdict"]["missing"],
        Value::Array(Vec::new()),
        "{name}"
    );
    let all = failed(report, &["info", "warn", "critical"]);
    let loud = failed(report, &["warn", "critical"]);
    for rule in truth.found {
        assert!(all.contains(rule), "{name}: {rule} is not among {all:?}");
    }
    for rule in truth.innocent {
        assert!(!loud.contains(rule), "{name}: {rule} accuses the innocent");
    }
    if truth.cause == "none" {
        assert!(loud.is_empty(), "{name}: {loud:?}");
        assert!(report["verdict"]["no_fault_seen"].as_bool().unwrap());
        assert_eq!(report["advice"], Value::Array(Vec::new()), "{name}");
    }
    let advice: Vec<&str> = report["advice"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["strength"] != "refused")
        .map(|a| a["id"].as_str().unwrap())
        .collect();
    for id in truth.advice {
        assert!(advice.contains(id), "{name}: {id} is not among {advice:?}");
    }
    // The order of remedies: nothing that scales out comes first while etcd itself is ill.
    if ["disk", "cpu", "network", "space"].contains(&truth.cause) {
        let first = advice.first().copied().unwrap_or_default();
        for scaling in ["shard-", "kcm-", "inflight", "apf"] {
            assert!(!first.starts_with(scaling), "{name}: {first} comes first");
        }
    }
    for finding in report["findings"].as_array().unwrap() {
        if finding["status"] == "fail" {
            let cited = !finding["evidence"].as_array().unwrap().is_empty();
            assert!(cited, "{name}: {} cites nothing", finding["rule"]);
        }
    }
}

/// All subsets of the kinds but the empty one and the whole.
fn subsets() -> Vec<Vec<&'static str>> {
    (1..(1 << KINDS.len()) - 1)
        .map(|bits: usize| {
            KINDS
                .iter()
                .enumerate()
                .filter(|(at, _)| bits & (1 << at) != 0)
                .map(|(_, k)| *k)
                .collect()
        })
        .collect()
}

fn check(name: &str) {
    let truth = TRUTHS.iter().find(|truth| truth.name == name).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let whole = unpack(truth, dir.path());
    let report = diagnose(&whole);
    check_whole(truth, &report);
    let certain = report["verdict"]["confidence"].as_f64().unwrap();
    for kinds in subsets() {
        let part = dir.path().join(kinds.join("+"));
        fs::create_dir(&part).unwrap();
        for kind in &kinds {
            // A rename back and forth is cheaper than a copy.
            fs::rename(whole.join(kind), part.join(kind)).unwrap();
        }
        let report = diagnose(&part);
        let cause = report["verdict"]["cause"].as_str().unwrap();
        let confidence = report["verdict"]["confidence"].as_f64().unwrap();
        assert!(
            cause == truth.cause || cause == "unknown",
            "{name} with {kinds:?} only: {}",
            report["verdict"]
        );
        assert!(
            confidence <= certain + 0.011,
            "{name} with {kinds:?} only is more certain"
        );
        assert_ne!(cause, "none", "{name} with {kinds:?} only");
        let missing = report["verdict"]["missing"].as_array().unwrap();
        assert!(
            cause != "unknown" || !missing.is_empty(),
            "{name} with {kinds:?} only is unknown and lacks nothing"
        );
        for kind in &kinds {
            fs::rename(part.join(kind), whole.join(kind)).unwrap();
        }
    }
}

macro_rules! captures {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            check($name);
        })*
        #[test]
        fn every_recording_is_tested() {
            let mut names = vec![$($name),*];
            names.sort_unstable();
            let mut truths: Vec<&str> = TRUTHS.iter().map(|truth| truth.name).collect();
            truths.sort_unstable();
            assert_eq!(names, truths);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captures");
            for entry in fs::read_dir(folder).unwrap() {
                let file = entry.unwrap().file_name().into_string().unwrap();
                assert!(names.contains(&file.trim_end_matches(".tar.zst")), "{file}");
            }
        }
    };
}

captures! {
    barrier_off: "barrier-off";
    cpu_starved: "cpu-starved";
    events_flood: "events-flood";
    healthy: "healthy";
    hot_loop: "hot-loop";
    inflight_429: "inflight-429";
    kcm_throttled: "kcm-throttled";
    nospace: "nospace";
    range_storm: "range-storm";
    slow_disk: "slow-disk";
    slow_network: "slow-network";
}

#[test]
fn a_saved_run_and_a_tarball_give_the_same_report_as_the_folder() {
    let truth = &TRUTHS[1];
    let dir = tempfile::tempdir().unwrap();
    let folder = unpack(truth, dir.path());
    let saved = dir.path().join("run.bundle");
    let mut whole = doctor(&[
        "diagnose",
        "--format",
        "json",
        "--now",
        "2026-11-21T21:00:00Z",
        "--save",
    ])
    .path(&saved)
    .arg("--bundle")
    .path(&folder)
    .json();
    let again = doctor(&[
        "diagnose",
        "--format",
        "json",
        "--now",
        "2026-11-21T21:00:00Z",
        "--bundle",
    ]);
    let mut replayed = again.path(&saved).json();
    for report in [&mut whole, &mut replayed] {
        // What differs by nature: the name of what was given.
        report["input"] = Value::Null;
        report["seen"]["problems"] = Value::Null;
    }
    assert_eq!(whole, replayed);
}

/// Who did it, by user agent and user.
const CLIENTS: &[(&str, &str, &str)] = &[
    (
        "events-flood",
        "node-problem-detector/0.8",
        "system:serviceaccount:monitoring:node-problem",
    ),
    (
        "hot-loop",
        "bmo-manager/v0.3",
        "system:serviceaccount:metal3:bmo-manager",
    ),
    (
        "inflight-429",
        "fleet-agent/0.9",
        "system:serviceaccount:fleet:agent",
    ),
    (
        "range-storm",
        "inventory-scraper/1.0",
        "system:serviceaccount:inventory:scraper",
    ),
];

#[test]
fn the_client_is_named_from_the_audit_log_and_never_guessed_without_it() {
    for (name, agent, user) in CLIENTS {
        let truth = TRUTHS.iter().find(|truth| truth.name == *name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let whole = unpack(truth, dir.path());
        let logs = dir.path().join("logs-only");
        fs::create_dir(&logs).unwrap();
        for (bundle, only_logs) in [(&whole, false), (&logs, true)] {
            if only_logs {
                fs::rename(whole.join("logs"), logs.join("logs")).unwrap();
            }
            let report = diagnose(bundle);
            let cause = &report["causes"][0];
            assert_eq!(cause["cause"], truth.cause, "{name}: {}", report["verdict"]);
            let client = &cause["client"];
            assert_eq!(
                (&client["user_agent"], &client["user"], &client["source"]),
                (
                    &Value::from(*agent),
                    &Value::from(*user),
                    &Value::from("audit")
                ),
                "{name}"
            );
            // What was read already is not asked for.
            for other in report["alternatives"].as_array().into_iter().flatten() {
                let settle = other["settle"].as_str().unwrap_or_default();
                assert!(!settle.contains("audit log"), "{name}: {other}");
            }
            assert!(
                client["confidence"].as_f64().unwrap() >= 0.7,
                "{name}: {client}"
            );
            let summary = report["verdict"]["summary"].as_str().unwrap();
            assert!(summary.contains(agent), "{name}: {summary}");
        }
        // Nothing else in these logs tells a client: its name must not come up.
        fs::remove_dir_all(logs.join("logs/var/log/kubernetes")).unwrap();
        fs::rename(logs.join("logs"), whole.join("logs")).unwrap();
        let report = diagnose(&whole);
        for cause in report["causes"].as_array().unwrap() {
            assert_eq!(cause["client"], Value::Null, "{name}");
            let matters = ["query-load", "apiserver-saturation"];
            if matters.contains(&cause["cause"].as_str().unwrap()) {
                assert!(cause["client_unknown"].is_string(), "{name}");
                let summary = cause["summary"].as_str().unwrap();
                assert!(
                    summary.contains("the client is not known"),
                    "{name}: {summary}"
                );
            }
        }
        assert!(!report.to_string().contains(agent), "{name}");
    }
}

#[test]
fn slow_requests_find_their_client_and_a_clock_that_differs_is_seen() {
    let truth = TRUTHS
        .iter()
        .find(|truth| truth.name == "range-storm")
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let whole = unpack(truth, dir.path());
    let first = |report: &Value| report["slow_clients"]["clients"][0].clone();
    let report = diagnose(&whole);
    let found = first(&report);
    assert_eq!(found["user_agent"], "inventory-scraper/1.0", "{report}");
    assert_eq!(
        (&found["resource"], &found["class"]),
        (&Value::from("configmaps"), &Value::from("list"))
    );
    assert!(found["share"].as_f64().unwrap() > 0.8, "{found}");
    assert!(found["confidence"].as_f64().unwrap() > 0.5, "{found}");
    assert_eq!(report["slow_clients"]["skews"], Value::Array(Vec::new()));
    // The same with etcd's log an hour ahead.
    let pods = whole.join("logs/var/log/pods");
    let etcd = fs::read_dir(&pods)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("kube-system_etcd"))
        .unwrap()
        .join("etcd/0.log");
    let text = fs::read_to_string(&etcd).unwrap();
    fs::write(&etcd, text.replace("2026-11-21T20:", "2026-11-21T21:")).unwrap();
    let report = diagnose(&whole);
    assert_eq!(
        report["slow_clients"]["skews"][0]["secs"], 3600,
        "{}",
        report["slow_clients"]
    );
    assert_eq!(first(&report)["user_agent"], "inventory-scraper/1.0");
    assert!(first(&report)["confidence"].as_f64() < found["confidence"].as_f64());
}

/// Clients that write all the time are found at any shift; their waves tell that the clock of one of
/// two members is seven seconds ahead. Shares are as without the difference, and times of that
/// member in the timeline are put right.
#[test]
fn a_clock_seven_seconds_ahead_is_estimated_and_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = support::fixtures().join("clocks/slow-network.tar.zst");
    let bytes = zstd::decode_all(fs::File::open(file).unwrap()).unwrap();
    tar::Archive::new(bytes.as_slice())
        .unpack(dir.path())
        .unwrap();
    let whole = dir.path().join("slow-network");
    let right = diagnose(&whole);
    assert_eq!(right["slow_clients"]["skews"], Value::Array(Vec::new()));
    let pods = whole.join("logs/var/log/pods");
    let etcd = fs::read_dir(&pods)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.to_string_lossy()
                .contains("kube-system_etcd-lab12-cp1")
        })
        .unwrap()
        .join("etcd/0.log");
    let text = fs::read_to_string(&etcd).unwrap();
    fs::write(&etcd, later(&text, 7)).unwrap();
    let shifted = diagnose(&whole);
    let skews = shifted["slow_clients"]["skews"].as_array().unwrap();
    let skews: Vec<(&str, i64)> = skews
        .iter()
        .map(|skew| {
            (
                skew["member"].as_str().unwrap(),
                skew["secs"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(skews, [("lab12-cp1", 7)], "{}", shifted["slow_clients"]);
    let shares = |report: &Value| -> Vec<(String, i64)> {
        let clients = report["slow_clients"]["clients"].as_array().unwrap();
        let name = |c: &Value| format!("{} {} {}", c["user_agent"], c["resource"], c["class"]);
        #[expect(clippy::cast_possible_truncation, reason = "shares of one")]
        let share = |c: &Value| (c["share"].as_f64().unwrap() * 100.0).round() as i64;
        clients
            .iter()
            .take(4)
            .map(|c| (name(c), share(c)))
            .collect()
    };
    assert_eq!(shares(&shifted), shares(&right));
    let times = |report: &Value| -> Vec<String> {
        let timeline = report["timeline"].as_array().unwrap();
        let own = timeline
            .iter()
            .filter(|e| e["subject"] == "member:lab12-cp1");
        let mut times: Vec<String> = own
            .map(|e| {
                format!(
                    "{} {}",
                    e["kind"],
                    e["from"].as_str().unwrap().get(..19).unwrap()
                )
            })
            .collect();
        times.sort();
        times
    };
    assert_eq!(times(&shifted), times(&right));
}

/// A log whose clock is some seconds ahead, in the wrapper's times, etcd's and those of its libraries.
fn later(text: &str, secs: u32) -> String {
    let mut text = text.to_owned();
    for day in ["2026-11-21T20:", "2026/11/21 20:"] {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(day) {
            let (before, found) = rest.split_at(at);
            out.push_str(before);
            let number = |range| found.get(range).and_then(|n: &str| n.parse::<u32>().ok());
            match (number(14..16), number(17..19)) {
                (Some(minute), Some(second)) => {
                    let all = minute * 60 + second + secs;
                    write!(out, "{day}{:02}:{:02}", all / 60, all % 60).unwrap();
                    rest = found.get(19..).unwrap();
                }
                _ => {
                    out.push_str(day);
                    rest = found.get(day.len()..).unwrap();
                }
            }
        }
        out.push_str(rest);
        text = out;
    }
    text
}

#[test]
fn traces_name_the_client_where_there_is_no_audit_log() {
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs/node/pods");
    let report = diagnose(&node);
    let found = &report["slow_clients"]["clients"][0];
    assert_eq!(
        (&found["user_agent"], &found["user"], &found["source"]),
        (
            &Value::from("inventory/1.4"),
            &Value::from(""),
            &Value::from("trace")
        ),
        "{}",
        report["slow_clients"]
    );
    let named = report["causes"]
        .as_array()
        .unwrap()
        .iter()
        .chain(report["findings"].as_array().unwrap())
        .any(|item| item.to_string().contains("inventory/1.4"));
    assert!(named);
}

#[test]
fn the_timeline_marks_the_first_sign_of_the_cause() {
    for (name, kind) in [
        // Each sync took long before one took over a second.
        ("slow-disk", "slow-apply"),
        ("cpu-starved", "slow-apply"),
        ("range-storm", "slow-apply"),
    ] {
        let truth = TRUTHS.iter().find(|truth| truth.name == name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let report = diagnose(&unpack(truth, dir.path()));
        let timeline = report["timeline"].as_array().unwrap();
        let times: Vec<&str> = timeline
            .iter()
            .map(|entry| entry["from"].as_str().unwrap())
            .collect();
        assert!(times.is_sorted(), "{name}");
        let marked: Vec<&Value> = timeline
            .iter()
            .filter(|entry| entry["first_cause"] == true)
            .collect();
        assert_eq!(marked.len(), 1, "{name}");
        assert_eq!(marked[0]["kind"], kind, "{name}");
        let told = support::doctor(&["diagnose", "--bundle"])
            .path(dir.path().join(name))
            .text();
        assert!(told.contains("TIMELINE"), "{told}");
    }
}
