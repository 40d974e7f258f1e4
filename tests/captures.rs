//! Recorded control planes with a known cause: the verdict is right on all of them, and with any
//! kind of evidence taken away it is less certain or unknown, never wrong.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod support;

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
