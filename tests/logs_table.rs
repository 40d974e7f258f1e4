//! `logs` for people: whole outputs through the binary, as a terminal would show them.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test of the binary on files of its own"
)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::{Run, doctor, fixtures, mask};

/// A small control plane: etcd, kube-apiserver, kube-controller-manager and an audit log.
fn node() -> PathBuf {
    fixtures().join("logs/node")
}

/// With threads named, so that an etcd on the machine does not change what is said.
fn logs(args: &[&str]) -> Run {
    doctor(&["logs", "--threads", "2"]).args(args)
}

fn of_node(args: &[&str]) -> String {
    logs(args).path(node()).text()
}

fn fits(text: &str, width: usize) {
    for line in text.lines().filter(|line| !line.contains("[FIXTURES]")) {
        assert!(line.chars().count() <= width, "wider than {width}: {line}");
    }
}

#[test]
fn the_default() {
    let text = of_node(&[]);
    fits(&text, 80);
    insta::assert_snapshot!(text);
}

#[test]
fn wide_and_narrow() {
    let text = of_node(&["--width", "140"]);
    fits(&text, 140);
    insta::assert_snapshot!("wide", text);
    let text = of_node(&["--width", "48"]);
    fits(&text, 48);
    insta::assert_snapshot!("narrow", text);
}

/// The part of an output that a flag changes: the table at its head.
fn head(text: &str) -> String {
    text.split("\n\n").next().unwrap().to_owned()
}

#[test]
fn by_each() {
    let mut all = String::new();
    for by in ["resource", "shape", "namespace", "client", "prefix"] {
        let text = of_node(&["--by", by]);
        fits(&text, 80);
        all = format!("{all}{}\n\n", head(&text));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn sorted_by_each_and_cut_at_the_top() {
    let mut all = String::new();
    for sort in [
        "slow", "requests", "lists", "writes", "items", "bytes", "p99", "max", "name",
    ] {
        let text = of_node(&["--sort", sort, "--top", "3"]);
        all = format!("{all}--sort {sort}\n{}\n\n", head(&text));
    }
    insta::assert_snapshot!(all);
}

/// The comparison with grep.
fn grep_part(text: &str) -> &str {
    text.split("\n\n")
        .find(|part| part.starts_with("What `grep"))
        .unwrap()
}

#[test]
fn what_grep_would_have_said() {
    let text = of_node(&["--compare-grep"]);
    // Where lines wrap depends on how long the path of this checkout is.
    let part: Vec<&str> = grep_part(&text).split_whitespace().collect();
    insta::assert_snapshot!(part.join(" "));
    let text = of_node(&["--compare-grep=Engines,nothing"]);
    let part = grep_part(&text);
    insta::assert_snapshot!("grep_words", part);
}

#[test]
fn colour_only_where_it_is_wanted() {
    let plain = of_node(&[]);
    assert!(!plain.contains('\u{1b}'));
    let forced = of_node(&["--color", "always"]);
    assert!(forced.contains("\u{1b}[1m"), "{forced}");
    // The same text, and colour is never the only sign of anything.
    let stripped = strip(&forced);
    assert_eq!(stripped, plain);
    let never = logs(&["--color", "never"]).path(node()).text();
    assert_eq!(never, plain);
    let no_color = logs(&[]).env("NO_COLOR", "1").path(node()).text();
    assert_eq!(no_color, plain);
}

fn strip(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    out + rest
}

#[test]
fn a_sampled_log() {
    let text = logs(&[])
        .path(fixtures().join("logs/zap-sampling.log"))
        .text();
    fits(&text, 80);
    insta::assert_snapshot!(text);
}

/// The hashes have another key in every run.
fn unhashed(text: &str) -> String {
    let mut parts = text.split("x-");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hash = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        out.push_str("x-");
        out.extend(std::iter::repeat_n('#', hash));
        out.push_str(part.get(hash..).unwrap());
    }
    out
}

#[test]
fn names_hidden() {
    let text = of_node(&["--by", "namespace", "--redact"]);
    for name in ["shop", "longhorn-system"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    insta::assert_snapshot!(unhashed(&text));
}

#[test]
fn empty_and_damaged() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let show = |text: String| mask(&text, home.path());
    fs::write(at("empty.log"), "").unwrap();
    insta::assert_snapshot!("empty", show(logs(&[]).path(at("empty.log")).text()));
    fs::create_dir(at("nothing")).unwrap();
    insta::assert_snapshot!("empty_folder", show(logs(&[]).path(at("nothing")).text()));
    let good = fs::read(
        node().join("pods/kube-system_etcd-cp0_0123456789abcdef0123456789abcdef/etcd/0.log"),
    )
    .unwrap();
    let mut damaged = good[..good.len() / 2].to_vec();
    damaged.extend(
        b"\xff\xfe\x00garbage\x1b[2J that \xe2\x80\xae clears screens\nhalf of {\"level\":\"warn\n",
    );
    damaged.extend(&good[good.len() / 2 + 37..]);
    fs::write(at("damaged.log"), damaged).unwrap();
    insta::assert_snapshot!("damaged", show(logs(&[]).path(at("damaged.log")).text()));
    fs::write(
        at("binary.log"),
        [0u8, 159, 146, 150, 0, 255, 10, 7].repeat(100),
    )
    .unwrap();
    insta::assert_snapshot!("binary", show(logs(&[]).path(at("binary.log")).text()));
    insta::assert_snapshot!("missing", show(logs(&[]).path(at("missing.log")).text()));
    // gzip by its magic, torn in the middle: what came before the tear counts.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &good).unwrap();
    let packed = encoder.finish().unwrap();
    fs::write(at("torn.log"), &packed[..packed.len() * 3 / 4]).unwrap();
    let text = show(logs(&[]).path(at("torn.log")).text());
    assert!(text.starts_with("exit 0"), "{text}");
    assert!(text.contains("logged requests"), "{text}");
    assert!(
        text.split("--- stderr")
            .nth(1)
            .unwrap()
            .contains("torn.log"),
        "{text}"
    );
}

#[test]
fn permission_denied() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = home.path().join("closed.log");
    fs::write(&closed, "x\n").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let open = home.path().join("open.log");
    fs::copy(fixtures().join("logs/zap-sampling.log"), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    // Root reads everything: another user is needed, and a program that it may run.
    let program = home.path().join("doctor");
    fs::copy(env!("CARGO_BIN_EXE_etcd-doctor"), &program).unwrap();
    let run = |paths: &[&PathBuf]| {
        let mut command = match fs::read(&closed) {
            Ok(_) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
                command.arg(&program);
                command
            }
            Err(_) => Command::new(&program),
        };
        command.args(["logs", "--threads", "2"]).args(paths);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.output()
    };
    let Ok(alone) = run(&[&closed]) else {
        eprintln!("skipped: root, and no setpriv to be somebody else");
        return;
    };
    let said = |output: &std::process::Output| {
        mask(
            &format!(
                "exit {:?}\n{}{}",
                output.status.code(),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            home.path(),
        )
    };
    if !said(&alone).contains("ermission denied") {
        eprintln!("skipped: another user cannot be had here: {}", said(&alone));
        return;
    }
    assert_eq!(alone.status.code(), Some(3), "{}", said(&alone));
    assert!(
        said(&alone).contains("[HOME]/closed.log: "),
        "{}",
        said(&alone)
    );
    let both = run(&[&closed, &open]).unwrap();
    assert_eq!(both.status.code(), Some(3), "{}", said(&both));
    assert!(
        said(&both).contains("225 logged requests"),
        "{}",
        said(&both)
    );
    assert!(
        said(&both).contains("[HOME]/closed.log: "),
        "{}",
        said(&both)
    );
}
