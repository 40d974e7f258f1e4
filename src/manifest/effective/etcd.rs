//! What etcd can read and refuses all the same as it starts: words that are no choice of a setting,
//! numbers below zero, and flags that no release has.
//!
//! Tried with etcd 3.4.23 and 3.5.1; etcd server/etcdmain/config.go, server/embed/config.go,
//! config_logging.go and etcd.go (parseCompactionRetention).

use crate::catalog::releases::Version;
use crate::catalog::settings::{self, Component, Existence, parse_int};
use crate::manifest::model::{Fault, Given, Means, Weight};
use crate::units::parse_go_duration;

use super::check::is_whole;
use super::{Provenance, Settled};

/// A setting that takes one of a few words.
struct Choice {
    name: &'static str,
    words: &'static [&'static str],
    /// Whether a wrong word is refused in etcd's file too: what the flag's own type checks is not.
    in_file: bool,
}

const fn choice(name: &'static str, words: &'static [&'static str], in_file: bool) -> Choice {
    Choice {
        name,
        words,
        in_file,
    }
}

const CHOICES: &[Choice] = &[
    choice("auto-compaction-mode", &["periodic", "revision"], true),
    choice("discovery-fallback", &["exit", "proxy"], false),
    choice("initial-cluster-state", &["existing", "new"], false),
    // What 3.5 took away is told as a value that was removed.
    choice("logger", &["zap", "capnslog"], true),
    choice("proxy", &["off", "on", "readonly"], false),
];

/// Levels of zap; which of them in capitals, and whether `warning`, is not the same in every release.
const LEVELS: &[&str] = &[
    "debug", "info", "warn", "warning", "error", "dpanic", "panic", "fatal",
];

/// Whole numbers that have no sign. The two timers have rules of their own.
const UNSIGNED: &[&str] = &[
    "max-request-bytes",
    "max-snapshots",
    "max-txn-ops",
    "max-wals",
    "snapshot-count",
];

/// The first release of which it is known that it takes no whole number below zero as a retention.
const RETENTION_UNSIGNED: Version = Version::new(3, 4, 23);

/// Flags that etcd takes and does nothing with, and those that make it print and end.
const WITHOUT_EFFECT: &[&str] = &[
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "h",
    "help",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-election-timeout",
    "peer-heartbeat-interval",
    "retry-interval",
    "snapshot",
    "test.coverprofile",
    "test.outputdir",
    "v",
    "version",
    "vv",
];

/// Looks at the values in force.
pub(super) fn check(version: Option<Version>, out: &mut Settled) {
    let mut faults = Vec::new();
    for effective in out.settings.values() {
        let Provenance::Given(means) = effective.from else {
            continue;
        };
        let Some(value) = effective.value.as_deref().filter(|value| is_whole(value)) else {
            continue;
        };
        // An empty variable is none, and a setting that the version lacks is told as such.
        let absent = version.is_some_and(|version| {
            settings::setting(Component::Etcd, &effective.name)
                .is_some_and(|found| found.setting.known_to(version) != Existence::Yes)
        });
        if absent || value.is_empty() && means == Means::Env {
            continue;
        }
        let Some(why) = refusal(&effective.name, value, means == Means::File, version) else {
            continue;
        };
        let spelled = effective.spelled.as_deref().unwrap_or(&effective.name);
        faults.push(
            Fault::new(
                "invalid-value",
                Weight::Stop,
                effective.place.clone().unwrap_or_default(),
                format!("etcd refuses the value `{value}` of `{spelled}`: {why}"),
            )
            .about(&effective.name),
        );
    }
    out.faults.append(&mut faults);
}

/// Why etcd refuses a value, if it does.
fn refusal(name: &str, value: &str, in_file: bool, version: Option<Version>) -> Option<String> {
    if let Some(choice) = CHOICES.iter().find(|choice| choice.name == name) {
        let good = choice.words.contains(&value)
            // No mode at all is one up to 3.6.
            || value.is_empty() && name == "auto-compaction-mode"
            || in_file && !choice.in_file;
        let words: Vec<String> = choice
            .words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect();
        return (!good).then(|| format!("it must be {}", words.join(" or ")));
    }
    match name {
        "log-level" => {
            let good = value.is_empty() || LEVELS.contains(&value.to_ascii_lowercase().as_str());
            (!good).then(|| "there is no such level".to_owned())
        }
        "auto-compaction-retention" => {
            let unsigned = version.is_some_and(|version| version >= RETENTION_UNSIGNED);
            (!is_retention(value, unsigned))
                .then(|| "it must be a whole number or a duration such as `5m`".to_owned())
        }
        name if UNSIGNED.contains(&name) => (value.starts_with('-') && parse_int(value).is_some())
            .then(|| "it must not be negative".to_owned()),
        _ => None,
    }
}

/// A whole number, or a Go duration.
fn is_retention(value: &str, unsigned: bool) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let rest = value.trim_start_matches(['+', '-']);
    let below = value.starts_with('-');
    // Without one nothing is compacted.
    value.is_empty()
        || digits(rest) && !(below && unsigned && rest.bytes().any(|b| b != b'0'))
        || parse_go_duration(rest.as_bytes()).is_some()
}

/// A flag that no release in the catalogue has: etcd ends at one that it does not know. Releases bring
/// `--experimental-…` flags and take them away, so nothing is said about those.
pub(super) fn unknown_flag(given: &Given, version: Option<Version>) -> Option<Fault> {
    let version = version.filter(|version| (FIRST..BEYOND).contains(version))?;
    let name = given.name.as_str();
    let kept = WITHOUT_EFFECT.contains(&name) || name.starts_with("experimental-");
    if given.means != Means::Flag || kept || !name.bytes().all(is_of_flag) {
        return None;
    }
    let text = format!(
        "no flag `--{name}` is known of etcd {version}, which refuses a command line with a flag that it does not have"
    );
    Some(Fault::new("unknown-setting", Weight::Warn, given.place.clone(), text).about(name))
}

/// The catalogue has the flags from the one up to, not with, the other.
const FIRST: Version = Version::minor(3, 4);
const BEYOND: Version = Version::minor(3, 8);

fn is_of_flag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_that_etcd_does_not_take() {
        let new = Some(Version::new(3, 5, 21));
        let of = |name: &str, value: &str| refusal(name, value, false, new).is_some();
        for (name, good, bad) in [
            ("auto-compaction-mode", "revision", "foo"),
            ("auto-compaction-mode", "", "Periodic"),
            ("auto-compaction-retention", "5", "abc"),
            ("auto-compaction-retention", "1h30m", "1.5"),
            ("auto-compaction-retention", "-5m", "-5"),
            ("auto-compaction-retention", "", "5 m"),
            ("logger", "zap", "foo"),
            ("logger", "capnslog", ""),
            ("log-level", "warn", "foo"),
            ("log-level", "INFO", "verbose"),
            ("initial-cluster-state", "existing", "old"),
            ("max-wals", "0", "-3"),
        ] {
            assert!(!of(name, good), "{name}={good}");
            assert!(of(name, bad), "{name}={bad}");
        }
        assert!(!of("name", "anything"));
        // etcd's file is not gone through by the flags' own types.
        assert!(refusal("initial-cluster-state", "old", true, new).is_none());
        assert!(refusal("logger", "foo", true, new).is_some());
        // Of older ones it is not known.
        assert!(refusal("auto-compaction-retention", "-5", false, None).is_none());
    }

    fn faults(version: Version, flags: &[(&str, &str)]) -> Vec<(&'static str, Weight, String)> {
        use crate::manifest::model::{Instance, Place, SourceKind};
        let mut etcd = Instance::new("etcd", SourceKind::StaticPod, Place::default());
        etcd.component = Some(Component::Etcd);
        etcd.given = flags
            .iter()
            .map(|(name, value)| Given {
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
                means: Means::Flag,
                place: Place::default(),
            })
            .collect();
        let settled = super::super::settle_as(&etcd, Some(version));
        let faults = settled.faults.into_iter();
        faults
            .map(|fault| (fault.kind, fault.weight, fault.text))
            .collect()
    }

    #[test]
    fn a_flag_that_no_release_has_is_told() {
        let of = |version, name| faults(version, &[(name, "1")]);
        let v3_5 = Version::new(3, 5, 21);
        let found = of(v3_5, "unknown-flag");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0, found[0].1), ("unknown-setting", Weight::Warn));
        for (version, name) in [
            (v3_5, "max-wals"),
            (v3_5, "vv"),
            (v3_5, "experimental-wait-cluster-ready-timeout"),
            (Version::new(3, 9, 0), "unknown-flag"),
        ] {
            assert_eq!(of(version, name), [], "{name}");
        }
    }

    #[test]
    fn flags_of_patch_releases_are_refused_before_them() {
        let of = |minor, patch| {
            let flags = [
                ("unsafe-no-fsync", "true"),
                ("experimental-watch-progress-notify-interval", "5s"),
            ];
            let faults = faults(Version::new(3, minor, patch), &flags);
            faults
                .iter()
                .filter(|(kind, weight, _)| *kind == "unknown-setting" && *weight == Weight::Stop)
                .count()
        };
        assert_eq!([of(4, 9), of(4, 10), of(4, 11), of(5, 0)], [2, 1, 0, 0]);
        assert_eq!(of(3, 10), 2);
    }

    #[test]
    fn each_refused_value_is_told_once() {
        let of = |name, value| faults(Version::new(3, 5, 21), &[(name, value)]);
        for (name, value) in [
            ("logger", "foo"),
            ("max-wals", "-3"),
            ("max-wals", "abc"),
            ("logger", "capnslog"),
        ] {
            assert_eq!(of(name, value).len(), 1, "{name}={value}");
        }
        // 3.3 has no logger at all.
        let old = faults(Version::new(3, 3, 10), &[("logger", "foo")]);
        assert_eq!(old.len(), 1, "{old:?}");
    }
}
