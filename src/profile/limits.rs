//! Named limits with their unit and source, read from TOML.
//!
//! A limit is looked up by its dotted name, typed by the caller: the same file shape serves the
//! built-in profiles and a user's own, which is laid over them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::units::{parse_bytes, parse_go_duration};

/// One limit: a number in the unit its name ends in, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The number. Durations are milliseconds, sizes bytes, shares 0 to 1.
    pub value: f64,
    /// The text as the profile gives it: `10ms`, `8GiB`.
    pub text: String,
    /// Where it comes from.
    pub source: String,
    /// The profile that gave it.
    pub profile: String,
}

impl Limit {
    /// The unit of the number: `ms`, `bytes`, `share` (0 to 1) or `count`.
    pub fn unit(&self) -> &'static str {
        match &self.text {
            text if text.ends_with('%') => "share",
            text if text.parse::<f64>().is_ok() => "count",
            text if parse_go_duration(text.replace(' ', "").as_bytes()).is_some() => "ms",
            _ => "bytes",
        }
    }

    /// The limit and its source in words, for a finding.
    pub fn words(&self) -> String {
        format!("{} ({})", self.text, self.source)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    name: String,
    #[serde(default)]
    extends: Option<String>,
    #[serde(default)]
    max_nodes: Option<u32>,
    summary: String,
    limits: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    value: toml::Value,
    source: String,
}

/// The thresholds in force.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub summary: String,
    /// The largest cluster it is meant for, where that is bounded.
    pub max_nodes: Option<u32>,
    limits: BTreeMap<String, Limit>,
}

impl Profile {
    /// A limit by name.
    ///
    /// # Panics
    ///
    /// When no profile has it, which is a bug: a test looks up every name that rules use in the
    /// base profile.
    pub fn limit(&self, name: &str) -> &Limit {
        self.limits
            .get(name)
            .unwrap_or_else(|| panic!("the base profile lacks the limit `{name}`"))
    }

    /// A limit's number.
    pub fn get(&self, name: &str) -> f64 {
        self.limit(name).value
    }

    /// All limits by name.
    pub fn limits(&self) -> impl Iterator<Item = (&str, &Limit)> {
        self.limits
            .iter()
            .map(|(name, limit)| (name.as_str(), limit))
    }
}

impl Default for Profile {
    fn default() -> Self {
        Profiles::builtin()
            .profile("base")
            .expect("the base profile is embedded and tested")
    }
}

/// All profiles that are known.
#[derive(Debug)]
pub struct Profiles {
    files: BTreeMap<String, File>,
}

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/profiles/", $path)))),*]
    };
}

/// Every built-in profile file.
const BUILTIN: &[(&str, &str)] = embedded![
    "base.toml",
    "size/small.toml",
    "size/medium.toml",
    "size/large.toml",
    "size/xlarge.toml",
    "distro/openshift.toml",
    "distro/k3s.toml",
];

impl Profiles {
    /// The built-in ones.
    pub fn builtin() -> Self {
        let mut files = BTreeMap::new();
        for (path, text) in BUILTIN {
            let file: File =
                toml::from_str(text).unwrap_or_else(|err| panic!("built-in profile {path}: {err}"));
            files.insert(file.name.clone(), file);
        }
        Profiles { files }
    }

    /// Adds a user's file, which may replace a built-in one by its name.
    pub fn add(&mut self, text: &str) -> Result<String, String> {
        let file: File = toml::from_str(text).map_err(|err| err.to_string())?;
        for (name, entry) in &file.limits {
            number(&entry.value)
                .ok_or_else(|| format!("limit `{name}`: not a number, duration or size"))?;
        }
        let name = file.name.clone();
        self.files.insert(name.clone(), file);
        Ok(name)
    }

    /// Names, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// A profile laid over the ones it extends; `base` lies under all.
    pub fn profile(&self, name: &str) -> Result<Profile, String> {
        let mut chain = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(name) = next {
            let file = self.files.get(&name).ok_or_else(|| {
                format!(
                    "there is no profile `{name}`; there are {}",
                    self.names().join(", ")
                )
            })?;
            if chain.iter().any(|have: &&File| have.name == file.name) {
                return Err(format!("profile `{name}` extends itself"));
            }
            next = file
                .extends
                .clone()
                .or_else(|| (name != "base").then(|| "base".to_owned()));
            chain.push(file);
        }
        let top = chain.first().copied().ok_or("no profile")?;
        let mut limits = BTreeMap::new();
        for file in chain.iter().rev() {
            for (name, entry) in &file.limits {
                let (value, text) = number(&entry.value)
                    .ok_or_else(|| format!("limit `{name}`: not a number, duration or size"))?;
                limits.insert(
                    name.clone(),
                    Limit {
                        value,
                        text,
                        source: entry.source.clone(),
                        profile: file.name.clone(),
                    },
                );
            }
        }
        Ok(Profile {
            name: top.name.clone(),
            summary: top.summary.clone(),
            max_nodes: top.max_nodes,
            limits,
        })
    }
}

/// A number, `"10ms"` (as milliseconds), `"8GiB"` (as bytes) or `"35 %"` (as a share).
fn number(value: &toml::Value) -> Option<(f64, String)> {
    match value {
        toml::Value::Integer(n) => Some((*n as f64, n.to_string())),
        toml::Value::Float(n) => Some((*n, n.to_string())),
        toml::Value::String(text) => {
            let number = if let Some(percent) = text.strip_suffix('%') {
                percent.trim().parse::<f64>().ok()? / 100.0
            } else if let Some(ns) = parse_go_duration(text.replace(' ', "").as_bytes()) {
                ns as f64 / 1e6
            } else {
                parse_bytes(text)? as f64
            };
            Some((number, text.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_profile_loads_and_is_named_as_its_file() {
        let profiles = Profiles::builtin();
        for (path, _) in BUILTIN {
            let name = path.rsplit('/').next().unwrap().trim_end_matches(".toml");
            let profile = profiles.profile(name).unwrap();
            assert_eq!(profile.name, name);
            for (limit, value) in profile.limits() {
                assert!(value.source.len() > 8, "{name}: {limit} has no source");
                assert!(value.value.is_finite());
            }
        }
    }

    #[test]
    fn only_the_base_profile_brings_names() {
        let profiles = Profiles::builtin();
        let base = profiles.profile("base").unwrap();
        for name in profiles.names() {
            let profile = profiles.profile(name).unwrap();
            assert_eq!(profile.limits().count(), base.limits().count(), "{name}");
        }
    }

    #[test]
    fn sizes_grow() {
        let profiles = Profiles::builtin();
        let nodes: Vec<_> = ["small", "medium", "large", "xlarge"]
            .iter()
            .map(|name| {
                profiles
                    .profile(name)
                    .unwrap()
                    .max_nodes
                    .unwrap_or(u32::MAX)
            })
            .collect();
        assert!(nodes.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn limits_have_units() {
        let text = |t: &str| number(&toml::Value::String(t.to_owned()));
        assert_eq!(text("10ms").unwrap().0, 10.0);
        assert_eq!(text("1s").unwrap().0, 1000.0);
        assert_eq!(text("8GiB").unwrap().0, 8_589_934_592.0);
        assert_eq!(text("65 %").unwrap().0, 0.65);
        assert!(text("soon").is_none());
        let profile = Profile::default();
        for (name, unit) in [
            ("wal-fsync-p99", "ms"),
            ("quota-max", "bytes"),
            ("cpu-steal", "share"),
            ("workqueue-depth", "count"),
            ("heartbeat-rtts", "count"),
        ] {
            assert_eq!(profile.limit(name).unit(), unit, "{name}");
        }
    }
}
