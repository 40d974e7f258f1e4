//! From an advice to a change of flags, spelled as the version in use spells it.

use std::collections::BTreeSet;

use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::catalog::settings::{
    Component, Existence, Kind, Since, Spelling, parse_bool, parse_duration_setting, parse_float,
    parse_gates, parse_int, setting,
};

/// What to do to a component's flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Give a flag a value.
    Set {
        /// The flag, without dashes.
        flag: String,
        /// Its value.
        value: String,
    },
    /// Take flags out.
    Remove {
        /// The flags, without dashes.
        flags: Vec<String>,
    },
}

/// The component that an advice is about, where it is one of the catalogue.
pub(super) fn component_of(advice: &Advice) -> Option<Component> {
    Component::ALL
        .into_iter()
        .find(|component| component.program() == advice.target)
}

/// The change that an advice asks for, or why it cannot be written.
pub(super) fn change_of(
    advice: &Advice,
    component: Component,
    proposed: &str,
    version: Option<Version>,
) -> Result<Change, String> {
    if let Some(flags) = advice.details.get("remove") {
        return Ok(Change::Remove {
            flags: flags.split(',').map(str::to_owned).collect(),
        });
    }
    let found = setting(component, &advice.setting)
        .ok_or_else(|| format!("`{}` is no flag of {}", advice.setting, component.program()))?;
    if !is_value(found.setting.kind, proposed) {
        return Err("the proposal is something to do, not a value to set".to_owned());
    }
    if let Some(version) = version
        && let Some(refused) = found.setting.refused_by(proposed, false, version)
    {
        return Err(format!(
            "--{}={proposed} is refused since {}.{}, and this is {version}",
            advice.setting, refused.removed.major, refused.removed.minor
        ));
    }
    let flag = match version {
        Some(version) => match found.setting.name_for(Some(version)) {
            Some(Spelling::Flag(flag)) => flag,
            Some(_) => return Err(format!("{} is no flag in {version}", advice.setting)),
            None => {
                return Err(match found.setting.exists_in(version) {
                    Existence::NotYet(first) => {
                        format!(
                            "--{} came with {first}, and this is {version}",
                            advice.setting
                        )
                    }
                    Existence::Removed(last) => {
                        format!(
                            "--{} is gone since {last}, and this is {version}",
                            advice.setting
                        )
                    }
                    _ => format!("whether {version} has --{} is not known", advice.setting),
                });
            }
        },
        None => {
            let setting = found.setting;
            let timeless = setting.flag
                && setting.former.is_empty()
                && setting.removed.is_none()
                && setting.since == Since::Always;
            if !timeless {
                return Err(format!(
                    "the version of {} is not known, and not every version has --{}",
                    component.program(),
                    advice.setting
                ));
            }
            setting.name
        }
    };
    Ok(Change::Set {
        flag: flag.to_owned(),
        value: proposed.to_owned(),
    })
}

/// A list of a command line: the entries that may stand there each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    /// `group/resource#server;server`: one resource, one set of servers.
    Overrides,
    /// `Name=true`.
    Gates,
    /// Bare words.
    Words,
}

impl List {
    fn of(advice: &Advice, component: Component) -> Option<List> {
        let found = setting(component, &advice.setting)?.setting;
        match found.kind {
            Kind::List if found.name == "etcd-servers-overrides" => Some(List::Overrides),
            Kind::List => Some(List::Words),
            Kind::Gates => Some(List::Gates),
            _ => None,
        }
    }

    /// What tells one entry from the others.
    fn key(self, entry: &str) -> &str {
        let mark = match self {
            List::Overrides => '#',
            List::Gates => '=',
            List::Words => return entry,
        };
        entry.split_once(mark).map_or(entry, |(key, _)| key)
    }

    /// Whether two entries say the same: the order of an override's servers says nothing.
    fn same(self, a: &str, b: &str) -> bool {
        let servers = |entry: &str| -> BTreeSet<String> {
            let rest = entry.split_once('#').map_or("", |(_, rest)| rest);
            rest.split(';').map(str::to_owned).collect()
        };
        a == b
            || (self == List::Overrides && self.key(a) == self.key(b) && servers(a) == servers(b))
    }

    /// The entries of a value, or of the words that evidence has for one: `a#b (cp0), not set`.
    fn entries(self, value: Option<&str>) -> Vec<String> {
        let value = value.filter(|value| !value.starts_with("not set"));
        let mut all: Vec<String> = Vec::new();
        for part in value.into_iter().flat_map(|value| value.split(',')) {
            let Some(entry) = part.split_whitespace().next() else {
                continue;
            };
            let whole = match self {
                List::Overrides => entry.contains('#'),
                List::Gates => entry.contains('='),
                List::Words => true,
            };
            if whole && !all.iter().any(|have| have == entry) {
                all.push(entry.to_owned());
            }
        }
        all
    }
}

/// Whether an advice's setting holds a list, to which a repeated flag adds.
pub(super) fn is_list(advice: &Advice, component: Component) -> bool {
    List::of(advice, component).is_some()
}

/// What a file's value becomes by an advice: of a list only the entries change that differ between
/// the advice's `now` and `proposed`, since the file may hold others than the evidence showed.
pub(super) fn value_for(
    advice: &Advice,
    component: Component,
    proposed: &str,
    have: Option<&str>,
) -> Result<String, String> {
    let Some(list) = List::of(advice, component) else {
        return Ok(proposed.to_owned());
    };
    let now = list.entries(advice.now.as_deref());
    let proposed = list.entries(Some(proposed));
    let mut value = list.entries(have);
    let of = |entries: &[String], key: &str| -> Option<String> {
        entries.iter().find(|one| list.key(one) == key).cloned()
    };
    for gone in now
        .iter()
        .filter(|one| of(&proposed, list.key(one)).is_none())
    {
        value.retain(|have| !list.same(have, gone));
    }
    for new in &proposed {
        let key = list.key(new);
        let before = of(&now, key);
        if before.as_deref().is_some_and(|old| list.same(old, new)) {
            // Not what the advice is about.
            continue;
        }
        let mut placed = false;
        for have in value.iter_mut().filter(|have| list.key(have) == key) {
            let known = list.same(have, new)
                || list == List::Gates
                || before.as_deref().is_some_and(|old| list.same(old, have));
            if !known {
                return Err(format!(
                    "it has `{have}`, and the advice is `{new}`: which servers are right is not for \
                     a file to decide"
                ));
            }
            if !list.same(have, new) {
                have.clone_from(new);
            }
            placed = true;
        }
        if !placed {
            value.push(new.clone());
        }
    }
    Ok(value.join(","))
}

/// Two values of one setting as one: of a list all entries, else the later value.
pub(super) fn union(advice: &Advice, component: Component, one: &str, two: &str) -> String {
    let Some(list) = List::of(advice, component) else {
        return two.to_owned();
    };
    let mut all = list.entries(Some(one));
    for new in list.entries(Some(two)) {
        match all.iter_mut().find(|have| list.key(have) == list.key(&new)) {
            Some(have) => *have = new,
            None => all.push(new),
        }
    }
    all.join(",")
}

/// Whether a file has another value than the advice was made from.
pub(super) fn differs(advice: &Advice, component: Component, have: Option<&str>) -> bool {
    let Some(now) = advice.now.as_deref() else {
        return false;
    };
    match (List::of(advice, component), have) {
        (Some(list), have) => {
            let (have, now) = (list.entries(have), list.entries(Some(now)));
            let lacks = |a: &[String], b: &[String]| {
                a.iter().any(|one| !b.iter().any(|two| list.same(one, two)))
            };
            lacks(&have, &now) || lacks(&now, &have)
        }
        // Most flags stand in no file; their default is no other value.
        (None, None) => false,
        (None, Some(have)) => !now
            .split(',')
            .any(|one| one.split_whitespace().next() == Some(have)),
    }
}

/// Whether a text is a value of that kind.
fn is_value(kind: Kind, text: &str) -> bool {
    let plain = !text.is_empty() && !text.contains([' ', '\n', '<', '>']);
    plain
        && match kind {
            Kind::Bool => parse_bool(text).is_some(),
            Kind::Int | Kind::Bytes | Kind::Millis | Kind::Secs => parse_int(text).is_some(),
            Kind::Float => parse_float(text).is_some(),
            Kind::Duration => parse_duration_setting(text, 1.0).is_some(),
            Kind::Gates => !parse_gates(text).is_empty(),
            Kind::Text | Kind::List => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(target: &str, setting: &str, proposed: &str) -> Advice {
        let json = serde_json::json!({
            "id": "x", "remedy": "etcd", "strength": "recommended", "target": target,
            "setting": setting, "now": null, "proposed": proposed, "why": "w", "effect": "e",
            "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
            "disposition": "disruptive", "finding_ids": [], "source": "s",
        });
        serde_json::from_value(json).unwrap()
    }

    fn change(
        target: &str,
        setting: &str,
        proposed: &str,
        version: Option<&str>,
    ) -> Result<Change, String> {
        let advice = advice(target, setting, proposed);
        let component = component_of(&advice).unwrap();
        change_of(
            &advice,
            component,
            proposed,
            version.and_then(Version::parse),
        )
    }

    fn flag(change: Result<Change, String>) -> String {
        match change.unwrap() {
            Change::Set { flag, .. } => flag,
            Change::Remove { .. } => panic!("a removal"),
        }
    }

    #[test]
    fn never_a_value_that_the_version_refuses() {
        let logger = |version| change("etcd", "logger", "capnslog", version);
        assert_eq!(flag(logger(Some("3.4.30"))), "logger");
        let why = logger(Some("3.5.0")).unwrap_err();
        assert!(why.contains("refused since 3.5"), "{why}");
    }

    #[test]
    fn never_a_flag_that_the_version_lacks() {
        let batch = |version| change("etcd", "compaction-batch-limit", "500", version);
        assert_eq!(
            flag(batch(Some("3.5.12"))),
            "experimental-compaction-batch-limit"
        );
        assert_eq!(flag(batch(Some("3.6.1"))), "compaction-batch-limit");
        assert_eq!(flag(batch(Some("3.7.0"))), "compaction-batch-limit");
        assert!(
            batch(None).is_err(),
            "which name is right depends on the version"
        );
        let jobs = |version| {
            change(
                "kube-controller-manager",
                "concurrent-job-syncs",
                "10",
                version,
            )
        };
        assert!(jobs(Some("1.20.6")).unwrap_err().contains("1.20.6"));
        assert_eq!(flag(jobs(Some("1.30.0"))), "concurrent-job-syncs");
        assert!(jobs(None).is_err());
    }

    #[test]
    fn what_every_version_has_needs_no_version() {
        assert_eq!(
            flag(change(
                "kube-controller-manager",
                "kube-api-qps",
                "100",
                None
            )),
            "kube-api-qps"
        );
        assert_eq!(
            flag(change("etcd", "quota-backend-bytes", "8589934592", None)),
            "quota-backend-bytes"
        );
    }

    #[test]
    fn a_file_keeps_the_entries_that_the_advice_says_nothing_about() {
        const LEASES: &str = "coordination.k8s.io/leases#https://a:2385";
        const EVENTS: &str = "/events#https://a:2382;https://b:2382";
        let into = |now: Option<&str>, proposed: &str, have: Option<&str>| {
            let mut advice = advice("kube-apiserver", "etcd-servers-overrides", proposed);
            advice.now = now.map(str::to_owned);
            value_for(&advice, Component::ApiServer, proposed, have)
        };
        let both = format!("{LEASES},{EVENTS}");
        let reversed = "/events#https://b:2382;https://a:2382";
        let old = "/events#https://old:2382";
        for (now, proposed, have, after) in [
            (None, EVENTS, Some(LEASES), both.as_str()),
            (
                Some("not set: events live in main etcd"),
                EVENTS,
                None,
                EVENTS,
            ),
            (Some(LEASES), both.as_str(), None, EVENTS),
            (Some(LEASES), both.as_str(), Some(LEASES), both.as_str()),
            (Some(LEASES), both.as_str(), Some("/pods#https://c:1"), {
                "/pods#https://c:1,/events#https://a:2382;https://b:2382"
            }),
            (None, EVENTS, Some(reversed), reversed),
            (Some(old), EVENTS, Some(old), EVENTS),
            (Some(old), LEASES, Some(old), LEASES),
            (
                Some("/pods#https://c:1 (cp0), /jobs#https://d:1 (cp1)"),
                "/pods#https://c:1,/jobs#https://d:1,/events#https://a:2382;https://b:2382",
                Some("/jobs#https://d:1"),
                "/jobs#https://d:1,/events#https://a:2382;https://b:2382",
            ),
        ] {
            let got = into(now, proposed, have);
            assert_eq!(got.as_deref(), Ok(after), "{now:?} {proposed} {have:?}");
            assert_eq!(
                into(now, proposed, Some(after)).as_deref(),
                Ok(after),
                "twice"
            );
        }
        let refused = into(None, EVENTS, Some(old)).unwrap_err();
        assert!(refused.contains("https://old:2382"), "{refused}");
    }

    #[test]
    fn gates_and_words_are_lists_too_and_numbers_are_not() {
        let into = |target: &str, setting: &str, proposed: &str, have: &str| {
            let advice = advice(target, setting, proposed);
            value_for(
                &advice,
                component_of(&advice).unwrap(),
                proposed,
                Some(have),
            )
            .unwrap()
        };
        assert_eq!(
            into("etcd", "feature-gates", "A=true", "B=true,A=false"),
            "B=true,A=true"
        );
        assert_eq!(
            into(
                "kube-apiserver",
                "enable-admission-plugins",
                "EventRateLimit",
                "NodeRestriction"
            ),
            "NodeRestriction,EventRateLimit"
        );
        assert_eq!(into("etcd", "quota-backend-bytes", "8", "4"), "8");
    }

    #[test]
    fn a_file_that_is_as_the_evidence_says_is_no_difference() {
        let differ = |setting: &str, now: &str, have: Option<&str>| {
            let mut advice = advice("kube-apiserver", setting, "1");
            advice.now = Some(now.to_owned());
            differs(&advice, Component::ApiServer, have)
        };
        let overrides = "etcd-servers-overrides";
        assert!(!differ(
            overrides,
            "not set: events live in main etcd",
            None
        ));
        assert!(differ(overrides, "not set", Some("/pods#https://c:1")));
        assert!(differ(overrides, "/pods#https://c:1", None));
        assert!(!differ(
            overrides,
            "/pods#https://c:1;https://d:1",
            Some("/pods#https://d:1;https://c:1")
        ));
        assert!(!differ("max-requests-inflight", "400 (default)", None));
        assert!(!differ(
            "max-requests-inflight",
            "400 (a), 500 (b)",
            Some("500")
        ));
        assert!(differ(
            "max-requests-inflight",
            "400 (default)",
            Some("800")
        ));
    }

    #[test]
    fn prose_and_unknown_names_are_no_change() {
        assert!(change("etcd", "quota-backend-bytes", "more", None).is_err());
        assert!(change("etcd", "no-such-flag", "1", Some("3.5.0")).is_err());
        assert!(
            change(
                "kube-apiserver",
                "etcd-servers-overrides",
                "/events#https://<etcd-1>:2382",
                Some("1.30.0")
            )
            .is_err()
        );
    }
}
