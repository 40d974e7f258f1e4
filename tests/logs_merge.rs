//! Saved summaries: merged they say what one run over the lines says, and refuse what only lines
//! can answer.
#![expect(
    clippy::unwrap_used,
    reason = "a test of the binary on lines of its own"
)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;

use support::doctor;

/// A line of klog each second of a minute, and a request of etcd in some.
fn log() -> String {
    (0..60)
        .map(|second| {
            format!(
                "{{\"level\":\"warn\",\"ts\":\"2024-03-13T08:46:{second:02}.500000Z\",\"caller\":\"txn/util.go:93\",\"msg\":\"apply request took too long\",\"took\":\"123ms\",\"expected-duration\":\"100ms\",\"prefix\":\"read-only range \",\"request\":\"key:\\\"/registry/pods/a/b{second}\\\" \",\"response\":\"range_response_count:1 size:9\"}}\n"
            )
        })
        .collect()
}

/// A folder with the log and its summary, and where these are.
fn saved() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let (log_path, summary) = (home.path().join("etcd.log"), home.path().join("saved.json"));
    std::fs::write(&log_path, log()).unwrap();
    save(&[], &log_path, &summary);
    (home, log_path, summary)
}

fn save(args: &[&str], log: &Path, summary: &Path) {
    let output = doctor(&["logs", "--save-summary"])
        .path(summary)
        .args(args)
        .path(log)
        .output();
    assert!(output.status.success(), "{output:?}");
}

fn json(args: &[&str], path: &Path) -> Value {
    doctor(&["logs", "--format", "json"])
        .args(args)
        .path(path)
        .json()
}

/// What must be the same; a summary has no path of its own.
fn told(report: &Value) -> [&Value; 5] {
    [
        &report["requests"],
        &report["resources"],
        &report["events"],
        &report["window"],
        &report["coverage"]["outside"],
    ]
}

#[test]
fn a_window_and_a_choice_of_components_survive_saving() {
    let (_home, log_path, saved) = saved();
    for asked in [
        &["--since", "2024-03-13T08:46:30Z"][..],
        &[
            "--since",
            "2024-03-13T08:46:10Z",
            "--until",
            "2024-03-13T08:46:20Z",
        ],
        &["--component", "etcd"],
        &[],
    ] {
        let whole = json(asked, &log_path);
        save(asked, &log_path, &saved);
        let merged = json(&["--merge"], &saved);
        assert_eq!(told(&merged), told(&whole), "{asked:?}");
    }
}

#[test]
fn one_file_named_twice_counts_once() {
    let (_home, _, saved) = saved();
    let output = doctor(&["logs", "--format", "json", "--merge"])
        .path(&saved)
        .path(&saved)
        .output();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["requests"]["joined"], 60);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("named twice and counts once"), "{said}");
}

#[test]
fn what_only_lines_can_answer_is_refused_or_said() {
    let (_home, _, saved) = saved();
    for (asked, word) in [
        (
            &["--since", "2027-01-01T00:00:00Z"][..],
            "choose lines as they are read",
        ),
        (
            &["--component", "apiserver"],
            "choose lines as they are read",
        ),
        (&["--emit", "events"], "an object for each record"),
    ] {
        let output = doctor(&["logs"])
            .args(asked)
            .args(&["--merge"])
            .path(&saved)
            .output();
        assert_eq!(output.status.code(), Some(64), "{asked:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(word), "{said}");
    }
    let output = doctor(&["logs", "--compare-grep=pods", "--merge"])
        .path(&saved)
        .output();
    let table = String::from_utf8(output.stdout).unwrap();
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("What `grep -ic` says of `pods` is counted as lines are read"),
        "{table}"
    );
}

/// Whoever wrote the file may have written anything: it is refused with the field, and nothing ends.
#[test]
fn a_forged_summary_is_refused_with_the_field() {
    let (home, _, saved) = saved();
    let honest: Value = serde_json::from_str(&support::read(&saved)).unwrap();
    let load = "/summary/streams/0/segment/load";
    for (place, value, word) in [
        ("/tables/total/took/first", 4_000_000_000_u64, "`first`"),
        ("/tables/total/took/first", 1 << 62, "`first`"),
        ("/tables/total/took/count", 7, "`count`"),
        ("/sampled/0/courses/0/tally/closed/low", 1 << 33, "`low`"),
        ("/joiner/total", 1, "`total`"),
        ("/tables/resources/bound", 1 << 40, "`bound`"),
    ] {
        let mut forged = honest.clone();
        let at = format!("{load}{place}");
        *forged.pointer_mut(&at).unwrap_or_else(|| panic!("{at}")) = value.into();
        let path = home.path().join("forged.json");
        std::fs::write(&path, forged.to_string()).unwrap();
        let output = doctor(&["logs", "--merge"])
            .path(&saved)
            .path(&path)
            .output();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(word), "{at}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(output.status.code(), Some(70), "{at}: {said}");
    }
}
