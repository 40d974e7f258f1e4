//! The HTML page: self-contained, escaped, and fit for a browser, wide and narrow.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over the program's output; what is skipped is said"
)]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{doctor, fixtures};

const NOW: [&str; 2] = ["--now", "2026-11-22T00:00:00Z"];

fn page(bundle: &Path) -> String {
    let mut run = doctor(&["report", "--html", "-"])
        .args(&NOW)
        .arg("--bundle")
        .path(bundle);
    String::from_utf8(run.output().stdout).unwrap()
}

fn recording(name: &str) -> PathBuf {
    fixtures().join("captures").join(format!("{name}.tar.zst"))
}

/// Every attribute that makes a browser fetch something points into the page itself.
fn fetches_nothing(html: &str) {
    assert!(html.contains("default-src 'none'"));
    for tag in [
        "<script", "<iframe", "<object", "<embed", "<form", "<base", "@import", "url(",
    ] {
        assert!(!html.contains(tag), "{tag}");
    }
    for attribute in ["src=\"", "href=\"", "action=\"", "srcset=\""] {
        for (at, _) in html.match_indices(attribute) {
            let value = html.get(at + attribute.len()..).unwrap();
            assert!(
                value.starts_with('#') || value.starts_with("data:,"),
                "{attribute}{}",
                value.get(..40).unwrap_or(value)
            );
        }
    }
}

#[test]
fn the_answer_comes_first_and_nothing_is_fetched() {
    let html = page(&recording("slow-disk"));
    fetches_nothing(&html);
    let order = [
        "the disk under etcd is too slow",
        "Do first",
        "id=\"causes\"",
        "id=\"timeline\"",
        "id=\"resources\"",
        "id=\"charts\"",
        "id=\"findings\"",
        "id=\"advice\"",
        "id=\"seen\"",
    ];
    let places: Vec<usize> = order
        .iter()
        .map(|part| html.find(part).unwrap_or_else(|| panic!("no {part}")))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(html.contains("First sign of the cause"));
    assert!(html.contains("<h4>Fix"), "no playbook");
    assert!(!html.contains("NaN"));
}

#[test]
fn a_healthy_cluster_gets_a_quiet_page() {
    let html = page(&recording("healthy"));
    fetches_nothing(&html);
    assert!(html.contains("no fault found"));
    assert!(html.contains("Nothing to change."));
    assert!(!html.contains("First sign of the cause"));
}

/// A bench of the disk that was saved with the node's evidence: its curve, with what 4 KiB take made
/// out and said in words.
#[test]
fn the_fsync_curve_of_a_saved_bench_is_drawn() {
    let point = |bytes: &str, p50: f64, p99: f64| serde_json::json!({"key": bytes, "cells": {"p50_ms": {"num": p50}, "p99_ms": {"num": p99}, "mean_ms": {"num": p50}}});
    let bench = serde_json::json!({
        "format": "etcd-doctor/bundle", "version": 1, "program": "1", "at": "2026-11-21T00:00:00Z",
        "records": [{
            "key": "bench.disk.curve", "subject": {"kind": "device", "name": "loop0", "node": "lab06-cp0"},
            "origin": {"collector": "bench", "source": "bench disk --dir /data"},
            "value": {"known": {"table": {"rows": [
                point("0000512", 0.4, 9.0), point("0002300", 0.5, 12.0), point("0004096", 0.6, 48.0),
                point("0065536", 2.0, 60.0), point("1048576", 18.0, 130.0),
            ]}}},
        }],
    });
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("bench.json");
    std::fs::write(&saved, bench.to_string()).unwrap();
    let mut run = doctor(&["report", "--html", "-"])
        .args(&NOW)
        .arg("--bundle")
        .path(recording("slow-disk"))
        .path(&saved);
    let html = String::from_utf8(run.output().stdout).unwrap();
    fetches_nothing(&html);
    assert!(
        html.contains("Sync by size, measured by a bench on loop0@lab06-cp0"),
        "no curve"
    );
    assert!(html.contains(
        "<desc>at 4 KiB: p50 600 µs, p99 48 ms; from 512 B (p99 9 ms) to 1 MiB (p99 130 ms)</desc>"
    ));
    assert!(html.contains("limit 10 ms"));
    keep("slow-disk-bench", &html);
}

/// Keeps a page to look at: `target/tmp/NAME.html`.
fn keep(name: &str, html: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    std::fs::write(&path, html).unwrap();
    path
}

/// Keys, user agents and errors from a log are untrusted.
#[test]
fn markup_in_a_log_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mut log = String::new();
    for n in 0..50 {
        write!(
            log,
            concat!(
                r#"{{"level":"warn","ts":"2026-11-21T20:38:{:02}.000Z","caller":"etcdserver/util.go:170","#,
                r#""msg":"apply request took too long","took":"900ms","expected-duration":"100ms","prefix":"read-only range ","#,
                r#""request":"key:\"/registry/<script>alert(1)</script>{{{{7*7}}}}/x\" range_end:\"/registry/<img src=q onerror=alert(2)>0\" ","#,
                r#""response":"range_response_count:900 size:900000"}}"#,
                "\n"
            ),
            n
        )
        .unwrap();
    }
    std::fs::write(logs.join("etcd.log"), log).unwrap();
    let html = page(folder.path());
    fetches_nothing(&html);
    assert!(
        html.contains("&lt;script&gt;"),
        "the key is not in the page"
    );
    assert!(!html.contains("<img") && !html.contains("49/x"));
}

#[test]
fn the_page_is_written_whole_or_not_at_all() {
    let mut run = doctor(&["report", "--demo", "--html", "page.html"]).args(&NOW);
    let output = run.output();
    assert_eq!(output.status.code(), Some(0));
    let names: Vec<_> = std::fs::read_dir(run.home())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["page.html"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("client-throttling: "), "{text}");
    let mut run = doctor(&["report", "--demo", "--html", "no/such/folder/page.html"]);
    assert_eq!(run.output().status.code(), Some(70));
}

/// A browser, where there is one.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|dir| ["chromium", "chromium-browser", "google-chrome"].map(|n| dir.join(n)))
        .find(|file| file.is_file())
}

fn chromium(browser: &Path, home: &Path, width: u32, more: &[&str], page: &Path) -> String {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .arg(format!("--window-size={width},1000"))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    for line in errors.lines() {
        assert!(!line.contains(":CONSOLE"), "{line}");
    }
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_browser_has_no_complaint_at_1280_and_400_pixels() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no chromium on PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ["slow-disk", "healthy"] {
        let html = page(&recording(name));
        let file = keep(name, &html);
        // The same page with a script of the test that writes down how wide it became.
        let policy = html.find("<meta http-equiv").unwrap();
        let end = policy + html.get(policy..).unwrap().find('>').unwrap();
        let measured = format!(
            "{}{}<script>document.title='WIDTH '+document.documentElement.scrollWidth+' OF '+innerWidth</script>",
            html.get(..policy).unwrap(),
            html.get(end + 1..).unwrap()
        );
        let probe = folder.path().join(format!("{name}-probe.html"));
        std::fs::write(&probe, measured).unwrap();
        for width in [1280, 400] {
            let home = folder.path().join(format!("{name}-{width}"));
            let png = file.with_file_name(format!("{name}-{width}.png"));
            let picture = format!("--screenshot={}", png.display());
            chromium(&browser, &home, width, &[&picture], &file);
            let bytes = std::fs::metadata(&png).unwrap().len();
            assert!(bytes > 10_000, "an empty picture");
            let dom = chromium(&browser, &home, width, &["--dump-dom"], &probe);
            let (_, rest) = dom.split_once("<title>WIDTH ").unwrap();
            let (words, _) = rest.split_once('<').unwrap();
            let (page, window) = words.split_once(" OF ").unwrap();
            let (page, window): (u32, u32) = (page.parse().unwrap(), window.parse().unwrap());
            assert!(
                page <= window,
                "{name} is {page} wide in a window of {window}"
            );
        }
    }
}
