//! The first ten lines of the terminal are the answer, on every recording there is, and no line is
//! wider than the terminal.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test through the binary"
)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{doctor, fixtures};

/// Whole bundles: recordings of single nodes and of several members, and generated clusters.
fn bundles() -> Vec<PathBuf> {
    let mut found = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/kcm-throttled.tar.zst"),
        fixtures().join("host/slow-disk"),
        fixtures().join("logs/node"),
    ];
    for folder in ["captures", "members", "clocks", "bundles/0.1"] {
        let entries = std::fs::read_dir(fixtures().join(folder)).unwrap();
        found.extend(entries.map(|entry| entry.unwrap().path()));
    }
    for folder in [
        "metal3",
        "metal3-1.13",
        "openfaas",
        "paypal",
        "paypal-twin-disk",
    ] {
        found.push(fixtures().join(folder));
    }
    let is_bundle = |path: &PathBuf| {
        path.is_dir() || path.extension().is_some_and(|e| e == "zst" || e == "json")
    };
    found.retain(is_bundle);
    found.sort();
    found
}

/// What the first ten lines lack.
fn lacks(lines: &[&str], report: &Value) -> Vec<String> {
    let mut lacks = Vec::new();
    let top = &lines[..lines.len().min(10)];
    let verdict = &report["verdict"];
    let cause = verdict["cause"].as_str().unwrap();
    let first = top.first().copied().unwrap_or_default();
    if !first.starts_with(&format!("VERDICT  {cause}: ")) {
        lacks.push(format!("the verdict {cause}"));
    }
    let confidence = verdict["confidence"].as_f64().unwrap();
    let words = format!("(confidence {:.0} %)", confidence * 100.0);
    // Where it does not fit behind a long headline, it is the first that follows.
    let second = top.get(1).copied().unwrap_or_default();
    if confidence > 0.0 && !first.ends_with(&words) && !second.trim_start().starts_with(&words) {
        lacks.push(words);
    }
    let of_primary = report["causes"][0]["evidence"]
        .as_array()
        .map_or(0, Vec::len);
    let shown = top.iter().filter(|line| line.starts_with("  - ")).count();
    if shown != of_primary.min(3) {
        lacks.push(format!("{} readings, it has {shown}", of_primary.min(3)));
    }
    let recommended = report["advice"]
        .as_array()
        .unwrap()
        .iter()
        .any(|advice| advice["strength"] == "recommended");
    let step = match recommended || cause == "none" {
        true => "DO FIRST ",
        false => "NEXT     ",
    };
    if !top.iter().any(|line| line.starts_with(step)) {
        lacks.push(format!("`{}`", step.trim()));
    }
    if lines.get(10).is_some_and(|line| line.starts_with(' '))
        && shown > 0
        && top.iter().all(|line| !line.is_empty())
    {
        lacks.push("an end before the eleventh line".to_owned());
    }
    lacks
}

#[test]
fn ten_lines_are_the_answer_and_fit() {
    let bundles = bundles();
    assert!(bundles.len() > 20, "{bundles:?}");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts = bundles.chunks(bundles.len().div_ceil(4));
        let workers: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().flat_map(|bundle| faults(bundle)).collect()))
            .collect();
        let found = workers.into_iter().map(|worker| worker.join().unwrap());
        found.collect::<Vec<Vec<_>>>().concat()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What is wrong with the report of one bundle.
fn faults(bundle: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = bundle.file_name().unwrap().to_string_lossy().into_owned();
    let run = || {
        doctor(&[
            "diagnose",
            "--threads",
            "1",
            "--now",
            "2026-11-22T00:00:00Z",
        ])
    };
    let json = run().args(&["--format", "json", "--bundle"]);
    let report = json.path(bundle).json();
    for width in [80, 140] {
        let mut run = run()
            .env("COLUMNS", &width.to_string())
            .arg("--bundle")
            .path(bundle);
        let text = String::from_utf8(run.output().stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for what in lacks(&lines, &report) {
            let top = lines[..lines.len().min(11)].join("\n");
            wrong.push(format!(
                "{name} at {width}: the first ten lines lack {what}:\n{top}"
            ));
        }
        let wide = lines.iter().filter(|line| {
            // A flag or an address is copied whole, not cut.
            let one_word = !line.trim_start_matches([' ', '+', '-']).contains(' ');
            line.chars().count() > width && !one_word
        });
        wrong.extend(wide.map(|line| format!("{name}: wider than {width}: {line}")));
    }
    wrong
}
