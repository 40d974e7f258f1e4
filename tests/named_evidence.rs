//! What was asked for by name and could not be had is said, and ends with 3; a reader that had enough
//! changes nothing of what was found.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test of the binary on files of its own"
)]

use std::fs;
use std::io::Read as _;

mod support;

use support::{capture, doctor};

const XZ: &[u8] = b"\xfd7zXZ\0\0\x04rest";

/// The exit code, and standard output and errors.
fn run(args: &[&str]) -> (i32, String) {
    let output = doctor(args).output();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    // The table breaks lines.
    let words: Vec<&str> = text.split_whitespace().collect();
    (output.status.code().unwrap(), words.join(" "))
}

#[test]
fn a_packed_log_is_no_silent_loss() {
    let dir = tempfile::tempdir().unwrap();
    let tree = capture("healthy", dir.path());
    let packed = dir.path().join("etcd-cp0.log.xz");
    fs::write(&packed, XZ).unwrap();
    let (tree, packed) = (tree.to_str().unwrap(), packed.to_str().unwrap());

    // Named beside what can be read.
    let (code, text) = run(&["diagnose", "--bundle", tree, packed]);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("etcd-cp0.log.xz: is compressed with xz"),
        "{text}"
    );
    let (code, text) = run(&["check", "config", "--bundle", tree, packed]);
    assert_eq!(code, 3, "{text}");
    let (code, text) = run(&["diagnose", "--bundle", tree]);
    assert_eq!(code, 0, "{text}");

    // In a folder it is said.
    let logs = dir.path().join("only/logs");
    fs::create_dir_all(&logs).unwrap();
    fs::copy(packed, logs.join("etcd-cp0.log.xz")).unwrap();
    let only = dir.path().join("only");
    let only = only.to_str().unwrap();
    let (code, text) = run(&["diagnose", "--bundle", only]);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("is compressed with xz: unpack it first"),
        "{text}"
    );
    let (_, text) = run(&["logs", only]);
    assert!(
        text.contains("is compressed with xz: unpack it first"),
        "{text}"
    );
    // Beside logs that can be read it is said, and no reason to fail.
    let beside = format!("{tree}/logs/var/old.log.xz");
    fs::copy(packed, beside).unwrap();
    let (code, text) = run(&["diagnose", "--bundle", tree]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("old.log.xz: is compressed with xz"), "{text}");
}

#[test]
fn endpoints_and_roots_that_were_named_and_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().to_str().unwrap();
    let nobody = "http://127.0.0.1:1";
    for named in ["--metrics-url", "--prometheus"] {
        let (code, text) = run(&[
            "diagnose", "--root", empty, "--window", "100ms", named, nobody,
        ]);
        assert_eq!(code, 3, "{named}: {text}");
        assert!(text.contains("nothing listens there"), "{text}");
    }
    // Nobody asked for more than what is here.
    let (code, text) = run(&["diagnose", "--root", empty, "--window", "100ms"]);
    assert_eq!(code, 0, "{text}");
    let none = dir.path().join("none");
    let none = none.to_str().unwrap();
    for command in [
        &["diagnose", "--root", none][..],
        &["check", "config", "--root", none],
        &["check", "host", "--root", none],
        &["logs", "--root", none],
    ] {
        let (code, text) = run(command);
        assert_eq!(code, 3, "{command:?}: {text}");
        assert!(
            text.contains("cannot read") && text.contains("none"),
            "{text}"
        );
    }
}

#[test]
fn a_saved_run_that_is_damaged_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let tree = capture("healthy", dir.path());
    let saved = dir.path().join("run.zst");
    let output = doctor(&["diagnose", "--save"])
        .path(&saved)
        .arg("--bundle")
        .path(&tree)
        .output();
    assert!(output.status.success());
    let whole = fs::read(&saved).unwrap();
    fs::write(&saved, &whole[..2000]).unwrap();
    let (code, text) = run(&["diagnose", "--bundle", saved.to_str().unwrap()]);
    assert_eq!(code, 70, "{text}");
    assert!(text.contains("only a part of it was copied"), "{text}");
    let other = dir.path().join("other.json");
    fs::write(&other, r#"{"format":"etcd-doctor-bundle","version":99}"#).unwrap();
    let (code, text) = run(&["diagnose", "--bundle", other.to_str().unwrap()]);
    assert_eq!(code, 70, "{text}");
    assert!(
        text.contains("its format is `etcd-doctor-bundle`"),
        "{text}"
    );
}

/// The exit code is that of the findings, whoever stops reading.
#[test]
fn a_closed_pipe_hides_no_finding() {
    let dir = tempfile::tempdir().unwrap();
    let tree = capture("nospace", dir.path());
    let mut run = doctor(&["diagnose", "--format", "json", "--bundle"]).path(&tree);
    let mut child = run.spawn();
    let mut first = [0; 1];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
