//! Every kind of message that is a fault by itself is read by a rule, and no rule asks for a kind that
//! the catalogue of signatures does not have.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over the program's own sources"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
        .filter(|(_, code)| code.contains("events::") || code.contains("LOGS_EVENTS"))
        .collect()
}

#[test]
fn every_fault_is_read_by_a_rule() {
    let rules = rules();
    // Read as alarms or elections, which have readings of their own.
    let otherwise = [
        "alarm-raised",
        "etcd-error-no-space",
        "health-alarm",
        "leader-changed",
        "leader-lost",
        "quorum-lost",
        "quota-exceeded",
    ];
    let unread: Vec<String> = catalogue()
        .into_iter()
        .filter(|(id, nature)| nature == "fault" && !otherwise.contains(&id.as_str()))
        .map(|(id, _)| id)
        .filter(|id| {
            !rules
                .iter()
                .any(|(_, code)| code.contains(&format!("\"{id}\"")))
        })
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn no_rule_asks_for_a_kind_that_does_not_exist() {
    let known: BTreeSet<String> = catalogue().into_iter().map(|(id, _)| id).collect();
    let list = regex::Regex::new(r"(?s)const KINDS: &\[&str\] = &\[(.*?)\]").unwrap();
    let word = regex::Regex::new(r#""([a-z0-9-]+)""#).unwrap();
    let mut asked = 0;
    for (path, code) in rules()
        .iter()
        .filter(|(_, code)| code.contains("events::seen"))
    {
        for kinds in list.captures_iter(code) {
            for kind in word.captures_iter(&kinds[1]) {
                asked += 1;
                assert!(known.contains(&kind[1]), "{}: {}", path.display(), &kind[1]);
            }
        }
    }
    assert!(asked > 10, "{asked}");
}
