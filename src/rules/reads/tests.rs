//! The table and the sources say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::profile::Profile;

/// Panics where a rule asked for a key that its row of the table does not name. The engine calls it
/// after each check of any test, so that what helpers read for a rule is not forgotten.
pub(crate) fn holds(rule: &str, asked: &BTreeSet<&'static str>) {
    let Some(reads) = READS.iter().find(|reads| reads.rule == rule) else {
        return;
    };
    for key in asked {
        assert!(
            reads.keys.contains(key),
            "{rule} asks for {key}, and its row in rules/reads.rs does not say so"
        );
    }
}

/// What the rules' helpers read for them.
const HELPERS: &[(&str, &str)] = &[
    ("alarms::shown(", "SERVER_ALARMS"),
    ("alarms::shown(", "SERVER_COUNTERS"),
    ("answers::all(", "APF_LEVELS"),
    ("answers::all(", "APISERVER_REQUESTS"),
    ("answers::groups_down(", "APISERVER_APISERVICES"),
    ("answers::limits_events(", "SETTINGS"),
    ("answers::limits_events(", "SETTINGS_FAULTS"),
    ("audit::clients(", "LOGS_AUDIT_CLIENTS"),
    ("behind::by_metrics(", "MEMBER_ID"),
    ("behind::by_metrics(", "PEER_RTT_BY"),
    ("behind::by_metrics(", "PROPOSALS_APPLIED"),
    ("behind::by_metrics(", "PROPOSALS_COMMITTED"),
    ("compaction_saw_tooth::seen(", "LOGS_COMPACTION_TOOK"),
    ("compaction_saw_tooth::seen(", "LOGS_SLOW_SECONDS"),
    ("devices::is_etcds(", "MOUNTS"),
    ("etcd_cpu_throttled::worst_of(", "CGROUP_THROTTLED"),
    ("etcd_cpu_throttled::worst_of(", "PROCESS_SAMPLE_SECS"),
    ("events::at_least(", "LOGS_EPISODES"),
    ("events::at_least(", "LOGS_EVENTS"),
    ("events::busiest_hour(", "LOGS_EPISODES"),
    ("events::column(", "LOGS_EVENTS"),
    ("events::disarmed(", "LOGS_ALARMS"),
    ("events::disarmed(", "LOGS_EVENTS"),
    ("events::often(", "LOGS_EPISODES"),
    ("events::often(", "LOGS_EVENTS"),
    ("events::raised(", "LOGS_ALARMS"),
    ("events::raised(", "LOGS_EVENTS"),
    ("events::seen(", "LOGS_EPISODES"),
    ("events::seen(", "LOGS_EVENTS"),
    ("faults::by_subject(", "SETTINGS"),
    ("faults::by_subject(", "SETTINGS_FAULTS"),
    ("faults::of(", "SETTINGS"),
    ("faults::of(", "SETTINGS_FAULTS"),
    ("leader_unstable::is_so(", "LEADER_CHANGES"),
    ("leader_unstable::is_so(", "LOGS_ELECTIONS"),
    ("leader_unstable::is_so(", "MEMBER_PHASES"),
    ("peer_link_unstable::silent_peer(", "LOGS_LIVES"),
    ("peer_link_unstable::silent_peer(", "MEMBER_ID"),
    ("rises::over(", "MEMBER_PHASES"),
    ("rises::over_but(", "MEMBER_PHASES"),
    ("seconds::within_an_hour(", "LOGS_EPISODES"),
    ("settings::etcds(", "SETTINGS"),
    ("settings::etcds(", "SETTINGS_FAULTS"),
    ("settings::of(", "SETTINGS"),
    ("settings::of(", "SETTINGS_FAULTS"),
    ("settings::version_of(", "LOGS_VERSIONS"),
    ("settings::version_of(", "METRICS_VERSIONS"),
    ("settings::version_of(", "VERSIONS"),
];

/// The limits that the rules' helpers compare with.
const HELPED: &[(&str, &str)] = &[
    ("Least::of(", "p99-values"),
    ("phases::worst_etcd_requests(", "p99-values"),
    ("phases::worst_etcd_requests(", "slow-values"),
    ("leader_unstable::is_so(", "counted-within"),
    ("waits.starved(", "run-delay-least"),
    ("waits.starved(", "run-wait"),
    ("waits.starved(", "run-wait-share"),
];

#[expect(
    clippy::disallowed_methods,
    reason = "a test over the program's own sources"
)]
pub(super) fn sources(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            out.extend(sources(&path));
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            out.push(code.to_owned());
        }
    }
    out
}

/// The name of each key by its identifier.
pub(super) fn names_of_keys(src: &Path) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for text in sources(&src.join("evidence/keys")) {
        for line in text.lines().map(str::trim) {
            let ident = word(line);
            if let Some(rest) = line.strip_prefix(ident)
                && rest.starts_with(": ")
                && let Some((_, name)) = rest.split_once("= \"")
            {
                let (name, _) = name.split_once('"').unwrap();
                keys.insert(ident.to_owned(), name.to_owned());
            }
        }
    }
    keys
}

/// The word that begins a text.
pub(super) fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.get(..end.unwrap_or(text.len())).unwrap()
}

#[test]
fn every_failure_says_what_it_was_measured_by() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for text in sources(&src.join("rules")) {
        let Some((_, id)) = text.split_once("\n    id: \"") else {
            continue;
        };
        let times = |what: &str| text.matches(what).count();
        assert!(
            times(".threshold(") >= times("Draft::new(") || text.contains("draft.threshold("),
            "{}: a failure without limit or reason",
            id.split('"').next().unwrap()
        );
    }
}

/// A limit on lines is one of an hour (`Seen::hourly`). Of damaged data one line is too many, whenever.
#[test]
fn no_rule_holds_all_lines_of_a_log_against_a_limit() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for text in sources(&src.join("rules")) {
        let (_, id) = text.split_once("\n    id: \"").unwrap_or_default();
        if !text.contains("events::seen(") || id.starts_with("data-corruption") {
            continue;
        }
        for compared in [">", "<"].map(|sign| format!(".count {sign}")) {
            let id = id.split('"').next().unwrap();
            assert!(!text.contains(&compared), "{id}: `{compared}`");
        }
    }
}

#[test]
fn the_table_is_what_the_sources_say() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let keys = names_of_keys(&src);
    let limits: BTreeSet<String> = Profile::default()
        .limits()
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut found: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for text in sources(&src.join("rules")) {
        let Some((_, id)) = text.split_once("\n    id: \"") else {
            continue;
        };
        let (id, _) = id.split_once('"').unwrap();
        let helped = HELPERS
            .iter()
            .filter(|(call, _)| text.contains(call))
            .map(|(_, key)| *key);
        let read = text
            .split("keys::")
            .skip(1)
            .map(word)
            .filter(|key| key.bytes().all(|b| !b.is_ascii_lowercase()))
            .filter(|key| !key.is_empty())
            .chain(helped)
            .map(|key| keys[key].clone())
            .collect();
        let compared = text
            .split('"')
            .filter(|word| limits.contains(*word))
            .chain(
                HELPED
                    .iter()
                    .filter(|(call, _)| text.contains(call))
                    .map(|(_, limit)| *limit),
            )
            .map(str::to_owned)
            .collect();
        found.insert(id.to_owned(), (read, compared));
    }
    let told: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = READS
        .iter()
        .map(|reads| {
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            (reads.rule.to_owned(), (set(reads.keys), set(reads.limits)))
        })
        .collect();
    for (rule, sets) in &found {
        assert_eq!(told.get(rule), Some(sets), "{rule}");
    }
    assert_eq!(told.len(), found.len());
    assert_eq!(found.len(), crate::rules::RULES.len());
}
