//! Real clusters of three members with one fault, and recordings put together: the verdict is right or `unknown`, never
//! wrong, and the member at fault is named.
#![expect(clippy::unwrap_used, reason = "a test through the binary")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::diagnose;

fn recording(folder: &str, name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = format!("{name}.tar.zst");
    let at = [
        root.join("tests/fixtures").join(folder).join(&file),
        root.join("demo").join(&file),
    ];
    at.into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no {file}"))
}

fn failing(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["status"] == "fail" && f["severity"] != "info")
        .map(|f| (text(&f["rule"]), text(&f["subject"]), text(&f["message"])))
        .collect()
}

/// Three members of 3.5.1 that started, worked and were stopped one after the other: lost links and elections at both ends
/// are no fault.
#[test]
fn a_healthy_cluster_that_starts_and_stops_is_quiet() {
    let report = diagnose(&[recording("members", "members-healthy")]);
    assert_eq!(failing(&report), []);
    assert_eq!(report["verdict"]["no_fault_seen"], true);
}

/// The disk of one follower is slow (3.5.1, and 3.4.23 with its old log format). Its process runs freely, as its answers to
/// its peers show, so it is the disk; the other two are not blamed.
#[test]
fn the_member_with_the_slow_disk_is_named() {
    for (name, member) in [("member-slow-disk", "cp1"), ("capnslog-slow-disk", "cp0")] {
        let report = diagnose(&[recording("members", name)]);
        assert_eq!(report["verdict"]["cause"], "disk", "{name}");
        let cause = &report["causes"][0];
        assert_eq!(cause["subject"], format!("member:{member}"), "{name}");
        assert!(
            cause["summary"]
                .as_str()
                .unwrap()
                .contains(&format!("{member} needs ")),
            "{cause}"
        );
        for (rule, subject, message) in failing(&report) {
            let named = subject == format!("member:{member}") || subject == "cluster";
            assert!(named, "{name}: {rule} {subject} {message}");
        }
    }
}

/// Only the links of one member are slow.
#[test]
fn the_member_behind_the_slow_link_is_named() {
    let report = diagnose(&[recording("members", "member-slow-link")]);
    assert_eq!(report["verdict"]["cause"], "network");
    assert_eq!(report["causes"][0]["subject"], "member:cp2");
    let cleared: Vec<&str> = report["ruled_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["cause"].as_str().unwrap())
        .collect();
    assert_eq!(cleared, ["disk"]);
}

/// One member has 4 % of a processor. Without its cgroup nothing proves that; nothing else is blamed.
#[test]
fn a_starved_member_without_host_facts_is_unknown() {
    let report = diagnose(&[recording("members", "member-starved")]);
    assert_eq!(report["verdict"]["cause"], "unknown");
}

/// Recordings of two nodes in one run: what one node's facts clear says nothing of the other, and both causes are found.
/// `(first, second, primary, other)`.
const PAIRS: &[(&str, &str, &str, &str)] = &[
    ("healthy", "slow-disk", "disk", ""),
    ("healthy", "cpu-starved", "cpu", ""),
    ("healthy", "kcm-throttled", "client-throttling", ""),
    ("slow-disk", "kcm-throttled", "disk", "client-throttling"),
    ("cpu-starved", "events-flood", "cpu", "query-load"),
    ("nospace", "hot-loop", "space", "query-load"),
    ("slow-disk", "inflight-429", "disk", "apiserver-saturation"),
    (
        "barrier-off",
        "kcm-throttled",
        "config",
        "client-throttling",
    ),
];

#[test]
fn both_causes_of_a_mixture_are_found() {
    for (first, second, primary, other) in PAIRS {
        let bundles = [recording("captures", first), recording("captures", second)];
        let report = diagnose(&bundles);
        let causes: Vec<(&str, &str)> = report["causes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| (c["cause"].as_str().unwrap(), c["role"].as_str().unwrap()))
            .collect();
        assert_eq!(
            causes.first(),
            Some(&(*primary, "primary")),
            "{first} + {second}: {causes:?}"
        );
        if !other.is_empty() {
            assert!(
                causes
                    .iter()
                    .any(|(cause, role)| cause == other && *role != "primary"),
                "{first} + {second}: {causes:?}"
            );
        }
    }
}
