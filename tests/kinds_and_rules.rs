//! Every kind of message that is a fault or a symptom is read by a rule, or declared to be harmless by
//! itself; a log full of it is a finding; and no rule asks for a kind that the catalogue of signatures
//! does not have.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over the program's own sources"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use etcd_doctor::evidence::{
    Collector, EvidenceSet, Origin, Row, Subject, SubjectKind, Table, Window, keys,
};
use etcd_doctor::profile::Profile;
use etcd_doctor::rules::harmless::HARMLESS;
use etcd_doctor::rules::{RULES, Severity, run};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The catalogue as it is documented: id and nature. `tests/generated.sh` keeps it true.
fn catalogue() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/log-kinds.md");
    let text = fs::read_to_string(page).unwrap();
    let kinds: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let id = cells.next()?.trim().trim_end_matches('`').to_owned();
            Some((id, cells.next()?.trim().to_owned()))
        })
        .collect();
    assert!(kinds.len() > 100, "{kinds:?}");
    kinds
}

/// The rules that ask for kinds of messages, with their texts up to their tests.
fn rules() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    sources(&folder)
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            (path, code)
        })
        .filter(|(path, _)| !path.ends_with("rules/harmless.rs"))
        .filter(|(_, code)| code.contains("events::") || code.contains("LOGS_EVENTS"))
        .collect()
}

/// Read as alarms, elections or throttling, which have readings of their own.
const OTHERWISE: &[&str] = &[
    "alarm-raised",
    "client-throttled",
    "etcd-error-no-space",
    "health-alarm",
    "leader-changed",
    "leader-lost",
    "quorum-lost",
    "quota-exceeded",
];

fn is_harmless(id: &str) -> bool {
    HARMLESS.iter().any(|(kind, _)| *kind == id)
}

/// Kinds that some rule must read as messages.
fn to_be_read() -> impl Iterator<Item = String> {
    catalogue()
        .into_iter()
        .filter(|(_, nature)| nature == "fault" || nature == "symptom")
        .map(|(id, _)| id)
        .filter(|id| !OTHERWISE.contains(&id.as_str()) && !is_harmless(id))
}

#[test]
fn what_is_declared_harmless_is_a_symptom_that_no_rule_reads() {
    let (catalogue, rules) = (catalogue(), rules());
    for (kind, why) in HARMLESS {
        let known = catalogue.iter().find(|(id, _)| id == kind);
        assert_eq!(
            known.map(|(_, nature)| &**nature),
            Some("symptom"),
            "{kind}"
        );
        assert!(why.len() > 20, "{kind}: {why}");
        let read = rules
            .iter()
            .find(|(_, code)| code.contains(&format!("\"{kind}\"")));
        assert!(read.is_none(), "{kind} is read: {read:?}");
    }
}

/// Who writes a kind mostly: rules judge members and components apart.
fn writer(kind: &str) -> Subject {
    match kind.starts_with("api") || kind.starts_with("leaderelection") {
        true => Subject::new(SubjectKind::Component, "kube-apiserver").on("a"),
        false => Subject::new(SubjectKind::Member, "a"),
    }
}

#[test]
fn a_log_full_of_any_of_them_is_a_finding() {
    for kind in to_be_read() {
        // Judged by the reasons that the lines give: port checks are no fault.
        if kind == "rejected-connection" {
            continue;
        }
        let row = Row::new(&kind).num("count", 200.0).num("max_ms", 5000.0);
        let table = Table {
            rows: vec![row],
            ..Table::default()
        };
        let mut set = EvidenceSet::new();
        set.put(
            &keys::LOGS_EVENTS,
            writer(&kind),
            Window::default(),
            Origin::new(Collector::Logs, "test"),
            table,
        );
        let findings = run(RULES, &set, &Profile::default());
        assert!(
            findings
                .iter()
                .any(|found| found.failed() && found.severity >= Severity::Warn),
            "200 of {kind} are nothing"
        );
    }
}

#[test]
fn every_fault_and_symptom_is_read_by_a_rule() {
    let rules = rules();
    let unread: Vec<String> = to_be_read()
        .filter(|id| {
            !rules
                .iter()
                .any(|(_, code)| code.contains(&format!("\"{id}\"")))
        })
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
}

/// Faults of settings that a rule finds by itself, out of the values.
const WORKED_OUT: &[&str] = &["refused-timers"];

#[test]
fn every_kind_of_fault_of_settings_is_read_by_a_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("src/evidence/keys/manifest.rs")).unwrap();
    let list = page.split("Kinds of faults:").nth(1).unwrap();
    let list = list.split("Weights:").next().unwrap();
    let kinds: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    let code: String = sources(&root.join("src/rules"))
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .map(|text| text.split("#[cfg(test)]").next().unwrap().to_owned())
        .collect();
    for kind in &kinds {
        let read = code.contains(&format!("\"{kind}\""));
        assert!(read || WORKED_OUT.contains(kind), "{kind}");
    }
    // And what is made is listed.
    let made = regex::Regex::new(r#"Fault::new\(\s*"([a-z-]+)""#).unwrap();
    for path in sources(&root.join("src/manifest")) {
        let text = fs::read_to_string(&path).unwrap();
        for found in made.captures_iter(&text) {
            assert!(
                kinds.contains(&&found[1]),
                "{}: {}",
                path.display(),
                &found[1]
            );
        }
    }
}

#[test]
fn no_rule_asks_for_a_kind_that_does_not_exist() {
    let known: BTreeSet<String> = catalogue().into_iter().map(|(id, _)| id).collect();
    let list = regex::Regex::new(r"(?s)const KINDS: &\[&str\] = &\[(.*?)\]").unwrap();
    let word = regex::Regex::new(r#""([a-z0-9-]+)""#).unwrap();
    let mut asked = 0;
    for (path, code) in rules().iter().filter(|(_, code)| code.contains("events::")) {
        for kinds in list.captures_iter(code) {
            for kind in word.captures_iter(&kinds[1]) {
                asked += 1;
                assert!(known.contains(&kind[1]), "{}: {}", path.display(), &kind[1]);
            }
        }
    }
    assert!(asked > 10, "{asked}");
}
