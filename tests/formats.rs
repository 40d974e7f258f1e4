//! The formats for other programs: Markdown, JUnit, SARIF, Prometheus text; accepted risks.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over the program's output"
)]

mod support;

use std::fmt::Write as _;

use support::doctor;

const NOW: [&str; 2] = ["--now", "2026-11-22T00:00:00Z"];

/// The demo's recording: two settings of it fail at `warn`.
fn recording() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/kcm-throttled.tar.zst")
}

fn check(format: &str) -> support::Run {
    doctor(&["check", "config", "--format", format])
        .args(&NOW)
        .arg("--bundle")
        .path(recording())
}

fn text(run: &mut support::Run) -> String {
    String::from_utf8(run.output().stdout).unwrap()
}

#[test]
fn check_as_markdown() {
    insta::assert_snapshot!(text(&mut check("markdown")));
}

#[test]
fn check_as_prometheus_text() {
    insta::assert_snapshot!(text(&mut check("prom")));
}

#[test]
fn check_as_junit() {
    let xml = text(&mut check("junit"));
    well_formed(&xml);
    insta::assert_snapshot!(xml);
}

/// Every tag is closed in order, and no text holds a bare `<` or `&`.
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    let body = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
        .unwrap();
    for part in body.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap();
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "in {tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        for entity in part.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;", "apos;"];
            assert!(known.iter().any(|k| entity.starts_with(k)), "&{entity}");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn sarif_points_at_file_and_line_of_settings() {
    let mut run = check("sarif");
    let sarif: serde_json::Value = serde_json::from_slice(&run.output().stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    let mut prints = std::collections::BTreeSet::new();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        prints.insert(result["partialFingerprints"].to_string());
    }
    assert_eq!(
        prints.len(),
        results.len(),
        "two results with one fingerprint"
    );
    // Every place with a line holds the setting that the result is about.
    let unpacked = tempfile::tempdir().unwrap();
    let tarball = zstd::decode_all(std::fs::File::open(recording()).unwrap()).unwrap();
    tar::Archive::new(tarball.as_slice())
        .unpack(unpacked.path())
        .unwrap();
    let mut lines = 0;
    for result in results {
        for location in result["locations"].as_array().unwrap() {
            let place = &location["physicalLocation"];
            let (Some(uri), Some(line)) = (
                place["artifactLocation"]["uri"].as_str(),
                place["region"]["startLine"].as_u64(),
            ) else {
                continue;
            };
            let file = unpacked.path().join("kcm-throttled").join(uri);
            let text = std::fs::read_to_string(&file).unwrap();
            let at = usize::try_from(line).unwrap() - 1;
            let setting = result["message"]["text"].as_str().unwrap();
            let setting = setting.split(' ').next().unwrap();
            let there = text.lines().nth(at).unwrap();
            assert!(
                there.contains(setting),
                "{uri}:{line} is {there}, not {setting}"
            );
            lines += 1;
        }
    }
    assert!(lines > 0, "no result has a line");
}

#[test]
fn the_verdict_is_in_every_format() {
    for (format, sign) in [
        ("markdown", "# client-throttling: a client throttles itself"),
        ("junit", "name=\"verdict\" value=\"client-throttling\""),
        ("sarif", "\"verdict\": \"client-throttling\""),
        ("prom", "etcd_doctor_verdict{cause=\"client-throttling\"} 1"),
    ] {
        let out = text(&mut doctor(&["diagnose", "--demo", "--format", format]).args(&NOW));
        assert!(out.contains(sign), "{format}: {out}");
    }
}

#[test]
fn other_commands_say_that_they_do_not_know_the_format() {
    insta::assert_snapshot!(doctor(&["rules", "--format", "sarif"]).text(), @r"
    exit 64
    --- stdout
    --- stderr
    error: this command writes tables or JSON; `diagnose` and `check` write the other formats
      hint: see `etcd-doctor help`
    ");
}

fn accept(file: &str, now: &str) -> support::Run {
    let run = doctor(&["check", "config", "--fail-on", "warn", "--now", now]);
    std::fs::write(run.home().join("risks.toml"), file).unwrap();
    run.args(&["--accept", "risks.toml", "--bundle"])
        .path(recording())
}

/// Every rule that fails at `warn` or above on the fixture, accepted until a day.
fn all_accepted() -> String {
    let json = check("json").json();
    let mut file = String::new();
    for finding in json["findings"].as_array().unwrap() {
        if finding["status"] == "fail" && finding["severity"] != "info" {
            write!(
                file,
                "[[accept]]\nrule = {}\nreason = \"known\"\nuntil = 2026-12-31\n",
                finding["rule"]
            )
            .unwrap();
        }
    }
    assert!(!file.is_empty());
    file
}

#[test]
fn an_accepted_risk_is_shown_and_does_not_fail_until_its_day_is_over() {
    let file = all_accepted();
    let mut before = accept(&file, "2026-12-31T23:00:00Z");
    let output = before.output();
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("accepted until 2026-12-31: known"),
        "{shown}"
    );
    let mut after = accept(&file, "2027-01-01T00:00:00Z");
    let output = after.output();
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("which is over"), "{shown}");
}

/// In `diagnose` as in `check`: what is accepted stays in sight, and speaks up when its day is over.
#[test]
fn a_diagnosis_knows_accepted_risks() {
    let diagnose = |now: &str| {
        let run = doctor(&["diagnose", "--fail-on", "warn", "--now", now]);
        let file = "[[accept]]\nrule = \"client-qps-low\"\nsubject = \".*kube-controller-manager.*\"\n\
                    reason = \"by design\"\nuntil = 2026-12-31\n\
                    [[accept]]\nrule = \"swap-in-use\"\nreason = \"old\"\nuntil = 2026-12-31\n";
        std::fs::write(run.home().join("risks.toml"), file).unwrap();
        run.args(&["--accept", "risks.toml", "--bundle"])
            .path(recording())
    };
    let before = text(&mut diagnose("2026-12-31T23:59:59Z"));
    assert!(before.contains("client-qps-low"), "{before}");
    assert!(
        before.contains("accepted until 2026-12-31: by design"),
        "{before}"
    );
    assert!(!before.contains("which is over"), "{before}");
    let nothing = "accepted risk `swap-in-use` (until 2026-12-31) matches no finding";
    assert!(before.contains(nothing), "{before}");
    let after = text(&mut diagnose("2027-01-01T00:00:00Z"));
    assert!(after.contains("which is over"), "{after}");
    let counted = |now: &str| {
        let report = diagnose(now).args(&["--format", "json"]).json();
        let findings = report["findings"].as_array().unwrap().clone();
        let mut expired: Vec<_> = findings
            .iter()
            .filter(|f| f["rule"] == "client-qps-low" && f["status"] == "fail")
            .map(|f| f["accepted"]["expired"].as_bool().unwrap())
            .collect();
        expired.dedup();
        expired
    };
    assert_eq!(counted("2026-12-31T23:59:59Z"), [false]);
    assert_eq!(counted("2027-01-01T00:00:00Z"), [true]);
}

#[test]
fn a_bad_day_is_an_error_with_its_line() {
    let run = accept(
        "# known\n[[accept]]\nrule = \"quota-default\"\nreason = \"x\"\nuntil = 2026-12-31\n\n\
         [[accept]]\nrule = \"swap-in-use\"\nreason = \"x\"\nuntil = \"next year\"\n",
        "2026-12-01T00:00:00Z",
    );
    insta::assert_snapshot!(run.text(), @"
    exit 70
    --- stdout
    --- stderr
    error: cannot use `risks.toml`: line 10 (`swap-in-use`): `until` is `next year`, not a day such as 2027-01-31
    ");
}

#[test]
fn an_acceptance_of_an_unknown_rule_is_refused() {
    let run = accept(
        "[[accept]]\nrule = \"quota\"\nreason = \"x\"\nuntil = 2026-12-31\n",
        "2026-12-01T00:00:00Z",
    );
    insta::assert_snapshot!(run.text());
}
