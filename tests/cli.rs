//! The command line itself: help, errors, exit codes, closed pipes, generated texts.

mod support;

use support::doctor;

#[test]
fn an_unknown_page_is_a_usage_error_that_helps() {
    insta::assert_snapshot!(doctor(&["explain", "wal-sync"]).text(), @r"
    exit 64
    --- stdout
    --- stderr
    error: there is no rule, page, metric or reading `wal-sync`; did you mean `wal-sync-stalled`?
      hint: see `etcd-doctor help`
    ");
}

#[test]
fn no_command_and_unknown_flags_are_usage_errors() {
    for args in [&[][..], &["--no-such-flag"], &["explain", "a", "b"]] {
        let output = doctor(args).output();
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn variables_that_are_set_to_nothing_are_not_set() {
    for name in [
        "ETCDCTL_CACERT",
        "ETCDCTL_CERT",
        "ETCDCTL_KEY",
        "ETCDCTL_PASSWORD",
        "ETCDCTL_USER",
        "ETCDCTL_DIAL_TIMEOUT",
        "ETCDCTL_COMMAND_TIMEOUT",
        "ETCDCTL_INSECURE_SKIP_TLS_VERIFY",
        "ETCDCTL_INSECURE_TRANSPORT",
        "COLUMNS",
    ] {
        // A port that nobody listens on: what is told is that, and no word about the variable.
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args(["check", "etcd", "--endpoints", "http://127.0.0.1:1"])
            .env_clear()
            .env(name, "")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.status.code(), Some(64), "{name}: {text}");
        assert!(text.contains("127.0.0.1:1"), "{name}: {text}");
    }
}

#[test]
fn what_is_no_file_is_named_once() {
    for args in [
        &["metrics", "/dev/null"][..],
        &[
            "patch",
            "--target",
            "kubeadm",
            "--check",
            "--report",
            "/dev/null",
        ],
    ] {
        let output = doctor(args).output();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0), "{text}");
        assert_eq!(text.matches("null").count(), 1, "{text}");
        assert!(text.contains("is no plain file"), "{text}");
    }
}

#[test]
fn the_list_of_pages_is_json_where_that_is_asked_for() {
    let output = doctor(&["explain", "--format", "json"]).output();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let pages = told["pages"].as_array().unwrap();
    assert!(
        pages.iter().any(|page| page["page"] == "barriers"),
        "{told}"
    );
}

#[test]
fn version_and_help_go_to_standard_output() {
    assert_eq!(
        doctor(&["--version"]).text(),
        "exit 0\n--- stdout\netcd-doctor [VERSION]\n--- stderr\n"
    );
    let help = doctor(&["--help"]).output();
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for code in ["0  nothing", "64  wrong", "130  interrupted"] {
        assert!(help.contains(code), "{code} is not in the help");
    }
}

#[test]
fn a_closed_pipe_is_no_fault() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
        .args(["man"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn completions_and_man_page_know_every_command() {
    let man = String::from_utf8(doctor(&["man"]).output().stdout).unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(doctor(&["completions", shell]).output().stdout).unwrap();
        assert!(
            script.contains("explain") && script.contains("completions"),
            "{shell}"
        );
    }
    assert!(man.contains("etcd\\-doctor explain"));
}

#[test]
fn ids_of_rules_are_whole_in_a_narrow_window() {
    let rules = doctor(&["rules", "--format", "json"]).json();
    let text = doctor(&["rules", "--width", "40"]).text();
    for rule in rules.as_array().unwrap() {
        let id = rule["id"].as_str().unwrap();
        assert!(text.contains(id), "{id}\n{text}");
    }
}

#[test]
fn rules_tell_their_limits_with_value_and_source() {
    let rules = doctor(&["rules", "--format", "json"]).json();
    let find = |id: &str| {
        let mut rules = rules.as_array().unwrap().iter();
        rules.find(|rule| rule["id"] == id).unwrap()
    };
    let limits = &find("quota-above-maximum")["limits"];
    assert_eq!(limits[0]["name"], "quota-max");
    assert_eq!(limits[0]["value"], 8_589_934_592.0);
    assert_eq!(limits[0]["unit"], "bytes");
    let source = limits[0]["source"].as_str().unwrap();
    let text = doctor(&["rules", "--width", "200"]).text();
    let row = text.lines().find(|line| line.contains("quota-max "));
    let row = row.unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains("8GiB") && row.contains(source), "{row}");
    assert_eq!(text.matches("quota-max ").count(), 1);
}

#[test]
fn every_rule_can_be_explained() {
    let rules = doctor(&["rules", "--format", "json"]).json();
    let rules = rules.as_array().unwrap();
    assert!(rules.len() > 40);
    for rule in rules {
        let id = rule["id"].as_str().unwrap();
        let page = doctor(&["explain", id, "--format", "json"]).json();
        let text = page["text"].as_str().unwrap();
        for section in [
            "## What you see",
            "## Why",
            "## Confirm",
            "## Fix",
            "## Undo",
            "## References",
        ] {
            assert!(text.contains(section), "{id}: no section {section}");
        }
    }
}

#[test]
fn a_metric_is_explained_with_its_rules_and_its_page() {
    let text = doctor(&["explain", "etcd_disk_backend_commit_duration_seconds"]).text();
    for part in [
        "exit 0",
        "Time of one backend commit.",
        "unit: seconds",
        "`server.backend.commit`",
        "`backend-commit-slow`",
        "backend-commit-p99: 25ms",
        "## What you see".trim_start_matches("## "),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Of several pages each is named.
    let text = doctor(&["explain", "etcd_disk_wal_fsync_duration_seconds"]).text();
    for part in [
        "exit 0",
        "wal-fsync-p99: 10ms",
        "etcd-doctor explain wal-fsync-slow",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = doctor(&["explain", "server.wal.fsync", "--format", "json"]).json();
    assert_eq!(json["unit"], "milliseconds");
    let text = doctor(&["explain", "etcd_disk_wal_fsync_duration"]).text();
    assert!(
        text.starts_with("exit 64")
            && text.contains("did you mean `etcd_disk_wal_fsync_duration_seconds`?"),
        "{text}"
    );
}
