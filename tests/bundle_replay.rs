//! Saved runs: the files of this release stay readable with the same verdict, any way to cut a
//! recording into bundles gives the same report, and what is saved redacted names nobody.
//!
//! The golden files are made by `UPDATE_GOLDEN=1 cargo test --test bundle_replay golden`, once a
//! release, and never again for a release that is out.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use support::{capture, doctor, fixtures};

const NOW: [&str; 2] = ["--now", "2026-11-22T00:00:00Z"];

/// Name, verdict, least confidence.
const GOLDEN: &[(&str, &str, f64)] = &[
    ("healthy", "none", 0.85),
    ("range-storm", "query-load", 0.85),
    ("slow-disk", "disk", 0.9),
    ("slow-network", "network", 0.85),
];

fn diagnose(bundles: &[PathBuf]) -> Value {
    bundles
        .iter()
        .fold(
            doctor(&["diagnose", "--format", "json"])
                .args(&NOW)
                .arg("--bundle"),
            |run, bundle| run.path(bundle),
        )
        .json()
}

fn save(bundle: &Path, to: &Path, more: &[&str]) -> Value {
    doctor(&["diagnose", "--format", "json"])
        .args(&NOW)
        .args(more)
        .arg("--save")
        .path(to)
        .arg("--bundle")
        .path(bundle)
        .json()
}

#[test]
fn golden_bundles_of_this_release_stay_readable() {
    let folder = fixtures().join("bundles/0.1");
    let dir = tempfile::tempdir().unwrap();
    for (name, cause, least) in GOLDEN {
        let file = folder.join(format!("{name}.bundle.zst"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&folder).unwrap();
            // Given by its name in the same folder, so that no path of this machine is saved.
            let root = capture(name, dir.path());
            let mut run = doctor(&["diagnose", "--format", "json"]).args(&NOW);
            std::os::unix::fs::symlink(&root, run.home().join(name)).unwrap();
            run = run.arg("--save").path(&file).args(&["--bundle", name]);
            run.json();
        }
        let report = diagnose(std::slice::from_ref(&file));
        assert_eq!(report["verdict"]["cause"], *cause, "{name}");
        assert!(
            report["verdict"]["confidence"].as_f64().unwrap() >= *least,
            "{name}"
        );
        assert_eq!(report["verdict"]["missing"], Value::Array(vec![]), "{name}");
        assert_eq!(report["seen"]["problems"], Value::Array(vec![]), "{name}");
        let plain = zstd::decode_all(fs::File::open(&file).unwrap()).unwrap();
        let saved: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(
            (&saved["format"], &saved["version"]),
            (&"etcd-doctor/bundle".into(), &1.into())
        );
    }
}

/// What differs by nature: what was given, where files lay, and what was said about them.
fn comparable(mut report: Value) -> Value {
    report["input"] = Value::Null;
    report["seen"]["problems"] = Value::Null;
    fn sources(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(sources),
            Value::Object(map) => {
                if map.contains_key("collector") && map.contains_key("source") {
                    map.insert("source".to_owned(), Value::Null);
                }
                map.values_mut().for_each(sources);
            }
            _ => {}
        }
    }
    sources(&mut report);
    report
}

/// The pieces that a recording can be cut into: what belongs together stays together (the scrapes of
/// one process, the log of one container with its rotations, the settings, the facts of the host).
fn pieces(root: &Path) -> Vec<Vec<PathBuf>> {
    let mut pieces: Vec<Vec<PathBuf>> = vec![vec!["manifests".into()], vec!["host".into()]];
    let mut processes: std::collections::BTreeMap<String, Vec<PathBuf>> = Default::default();
    for entry in fs::read_dir(root.join("metrics")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let process = name.split("-2026").next().unwrap().to_owned();
        processes
            .entry(process)
            .or_default()
            .push(Path::new("metrics").join(name));
    }
    pieces.extend(processes.into_values());
    pieces
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// Folder = tarball = saved run = any split of it into bundles, saved or not, in any order.
#[test]
fn every_split_gives_the_same_report() {
    for name in ["slow-disk", "kcm-throttled", "slow-network"] {
        let dir = tempfile::tempdir().unwrap();
        let root = capture(name, dir.path());
        let whole = comparable(diagnose(std::slice::from_ref(&root)));
        let mut all = pieces(&root);
        // All logs are read in one go: who slowed whom is joined over components.
        all.push(vec!["logs".into()]);
        let strategy = (
            prop::collection::vec(0..4_usize, all.len()),
            Just((0..4).collect::<Vec<usize>>()).prop_shuffle(),
            prop::collection::vec(0..3_u8, 4),
        );
        let mut runner = TestRunner::new_with_rng(
            Config {
                cases: 4,
                failure_persistence: None,
                ..Config::default()
            },
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        runner
            .run(&strategy, |(places, order, forms)| {
                let work = tempfile::tempdir().unwrap();
                for (piece, place) in all.iter().zip(&places) {
                    for path in piece {
                        copy(
                            &root.join(path),
                            &work.path().join(format!("part{place}/node")).join(path),
                        );
                    }
                }
                let mut bundles = Vec::new();
                for place in order {
                    let part = work.path().join(format!("part{place}"));
                    if !part.is_dir() {
                        continue;
                    }
                    let bundle = match forms[place] {
                        0 => part.join("node"),
                        1 => {
                            let tar = work.path().join(format!("part{place}.tar"));
                            let mut builder = tar::Builder::new(fs::File::create(&tar).unwrap());
                            builder.append_dir_all("node", part.join("node")).unwrap();
                            builder.finish().unwrap();
                            tar
                        }
                        _ => {
                            let saved = work.path().join(format!("part{place}.zst"));
                            save(&part.join("node"), &saved, &[]);
                            saved
                        }
                    };
                    bundles.push(bundle);
                }
                let split = comparable(diagnose(&bundles));
                prop_assert_eq!(&split["verdict"], &whole["verdict"], "{:?}", places);
                prop_assert_eq!(&split["findings"], &whole["findings"], "{:?}", places);
                prop_assert_eq!(&split, &whole, "{:?}", places);
                Ok(())
            })
            .unwrap();
    }
}

/// Names of the recordings' audit logs: namespaces, objects, users, addresses, nodes.
fn raw_names(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Not every recording has one.
    let text = fs::read_to_string(root.join("logs/var/log/kubernetes/audit/audit.log"))
        .unwrap_or_default();
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        for pointer in ["/objectRef/namespace", "/objectRef/name", "/user/username"] {
            if let Some(name) = event.pointer(pointer).and_then(Value::as_str) {
                names.extend(name.split(':').map(str::to_owned));
            }
        }
        for ip in event["sourceIPs"].as_array().into_iter().flatten() {
            names.insert(ip.as_str().unwrap().to_owned());
        }
    }
    let pods = root.join("logs/var/log/pods");
    for entry in fs::read_dir(pods).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(node) = name.strip_prefix("kube-system_etcd-") {
            names.insert(node.split('_').next().unwrap().to_owned());
        }
    }
    // What is a word of Kubernetes itself, or of everybody's language, names nobody.
    names.retain(|name| {
        let public = [
            "kubernetes",
            "system",
            "serviceaccount",
            "events",
            "default",
            "apiserver",
            "anonymous",
            "etcd",
            "node",
            "127.0.0.1",
            "::1",
            "admin",
            "agent",
            "apps",
            "monitoring",
            "root",
        ];
        name.len() > 3
            && !public.contains(&name.as_str())
            && !name.starts_with("kube-")
            && !name.contains("controller")
            && !name.contains('.')
            && !["admin", "edit", "view", "masters"].contains(&name.as_str())
    });
    names
}

#[test]
fn a_redacted_run_names_nobody_and_says_the_same() {
    for name in [
        "hot-loop",
        "range-storm",
        "inflight-429",
        "slow-disk",
        "slow-network",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let root = capture(name, dir.path());
        let saved = dir.path().join("run.zst");
        let plain = diagnose(std::slice::from_ref(&root));
        let report = save(&root, &saved, &["--redact"]);
        assert_eq!(
            report["verdict"]["cause"], plain["verdict"]["cause"],
            "{name}"
        );
        assert_eq!(
            report["verdict"]["confidence"], plain["verdict"]["confidence"],
            "{name}"
        );
        let rules = |report: &Value| -> Vec<String> {
            let mut rules: Vec<String> = report["findings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|f| format!("{} {} {}", f["rule"], f["status"], f["severity"]))
                .collect();
            rules.sort();
            rules
        };
        assert_eq!(rules(&report), rules(&plain), "{name}");
        let text = zstd::decode_all(fs::File::open(&saved).unwrap()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let names = raw_names(&root);
        assert!(!names.is_empty(), "{names:?}");
        let whole = format!("{text}{report}");
        let is_word = |at: usize, len: usize| {
            let bytes = whole.as_bytes();
            let word = |b: u8| b.is_ascii_alphanumeric();
            !(at > 0 && word(bytes[at - 1]) || bytes.get(at + len).is_some_and(|b| word(*b)))
        };
        for raw in &names {
            let found = whole
                .match_indices(raw.as_str())
                .find(|(at, _)| is_word(*at, raw.len()));
            assert!(
                found.is_none(),
                "{name}: {raw} in …{}…",
                whole
                    .get(
                        found.unwrap().0.saturating_sub(120)
                            ..(found.unwrap().0 + 80).min(whole.len())
                    )
                    .unwrap_or_default()
            );
        }
        // It can be judged again, and several of one run fit together.
        let again = diagnose(&[saved]);
        assert_eq!(
            again["verdict"]["cause"], plain["verdict"]["cause"],
            "{name}"
        );
    }
}

/// Flags with secrets are masked when they are read, redacted or not.
#[test]
fn secrets_are_never_saved() {
    let dir = tempfile::tempdir().unwrap();
    let root = capture("slow-disk", dir.path());
    let manifest = root.join("manifests/etcd.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    let flag = "    - --experimental-watch-progress-notify-interval=5s\n";
    assert!(text.contains(flag));
    let more = "    - --root-token=hunter2\n    - --initial-cluster-token=hunter3\n    - --listen-client-http-urls=https://joe:hunter4@127.0.0.1:4001\n";
    fs::write(&manifest, text.replace(flag, &format!("{flag}{more}"))).unwrap();
    let log = root.join("logs/kube-apiserver.log");
    fs::write(
        &log,
        "E1121 20:56:01.000000       1 x.go:1] \"Unhandled\" err=\"Get https://10.0.0.1/api: Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl\"\n"
            .repeat(30),
    )
    .unwrap();
    for more in [&[][..], &["--redact"][..]] {
        let saved = dir.path().join("run.zst");
        let report = save(&root, &saved, more).to_string();
        let text =
            String::from_utf8(zstd::decode_all(fs::File::open(&saved).unwrap()).unwrap()).unwrap();
        for secret in ["hunter2", "hunter4", "eyJhbGciOi.eyJzdWIi"] {
            assert!(
                !text.contains(secret) && !report.contains(secret),
                "{secret} {more:?}"
            );
        }
    }
}
