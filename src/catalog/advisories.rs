//! Known defects of releases, from `profiles/advisories.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::releases::Version;

/// One defect.
#[derive(Clone, Debug)]
pub struct Advisory {
    /// Its id.
    pub id: String,
    /// The program it is in.
    pub component: String,
    /// Affected versions: from, and before.
    pub affected: Vec<(Option<Version>, Version)>,
    /// Releases with the fix, oldest first.
    pub fixed: Vec<Version>,
    /// What it does.
    pub summary: String,
    /// Ids of log events, `setting:NAME` or `rule:NAME` that make it matter; none: information.
    pub symptoms: Vec<String>,
    /// Where it is described.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    advisory: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    component: String,
    affected: String,
    fixed: Vec<String>,
    summary: String,
    symptoms: Vec<String>,
    source: String,
}

/// Reads a file of advisories; the error says which entry is wrong.
pub fn parse(text: &str) -> Result<Vec<Advisory>, String> {
    let file: File = toml::from_str(text).map_err(|err| err.to_string())?;
    file.advisory
        .into_iter()
        .map(|raw| {
            let id = raw.id;
            let version = |text: &str| {
                Version::parse(text).ok_or_else(|| format!("{id}: `{text}` is no version"))
            };
            let mut affected = Vec::new();
            for range in raw.affected.split(',') {
                let (from, before) = range
                    .trim()
                    .split_once("..")
                    .ok_or_else(|| format!("{id}: `{range}` is no range FROM..BEFORE"))?;
                let from = if from.is_empty() {
                    None
                } else {
                    Some(version(from)?)
                };
                affected.push((from, version(before)?));
            }
            let fixed = raw
                .fixed
                .iter()
                .map(|text| version(text))
                .collect::<Result<_, _>>()?;
            Ok(Advisory {
                affected,
                fixed,
                component: raw.component,
                summary: raw.summary,
                symptoms: raw.symptoms,
                source: raw.source,
                id,
            })
        })
        .collect()
}

static BUILT_IN: LazyLock<Vec<Advisory>> = LazyLock::new(|| {
    // A test loads the embedded file, so that it cannot be shipped broken.
    parse(include_str!("../../profiles/advisories.toml")).unwrap_or_default()
});

/// The built-in advisories, by id.
pub fn advisories() -> &'static [Advisory] {
    &BUILT_IN
}

impl Advisory {
    /// Whether a version has the defect; `None` when the version lacks a patch number and the
    /// answer hangs on it.
    pub fn affects(&self, version: Version) -> Option<bool> {
        let inside = |version: Version| {
            self.affected
                .iter()
                .any(|(from, before)| from.is_none_or(|from| version >= from) && version < *before)
        };
        if version.patch_known {
            return Some(inside(version));
        }
        let first = inside(version);
        let last = inside(Version {
            patch: u16::MAX,
            ..version
        });
        (first == last).then_some(first)
    }

    /// The oldest release with the fix that is newer than a version: of its own minor where there
    /// is one, else the next.
    pub fn fixed_for(&self, version: Version) -> Option<Version> {
        self.fixed
            .iter()
            .copied()
            .find(|fixed| fixed.same_minor(version) && *fixed > version)
            .or_else(|| self.fixed.iter().copied().find(|fixed| *fixed > version))
    }
}

/// The advisories that a version of a program has.
pub fn affecting(component: &str, version: Version) -> Vec<&'static Advisory> {
    advisories()
        .iter()
        .filter(|advisory| {
            advisory.component == component && advisory.affects(version) == Some(true)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    fn ids(version: &str) -> Vec<&'static str> {
        affecting("etcd", v(version))
            .iter()
            .map(|a| a.id.as_str())
            .collect()
    }

    #[test]
    fn the_built_in_file_is_sound() {
        let all = parse(include_str!("../../profiles/advisories.toml")).expect("parses");
        assert!(all.len() >= 12);
        assert!(all.is_sorted_by(|a, b| a.id < b.id));
        for advisory in &all {
            assert!(!advisory.affected.is_empty(), "{}", advisory.id);
            assert!(!advisory.source.is_empty());
            for (from, before) in &advisory.affected {
                assert!(from.is_none_or(|from| from < *before), "{}", advisory.id);
                // Every range ends with a release that has the fix.
                assert!(advisory.fixed.contains(before), "{}: {before}", advisory.id);
            }
            for fixed in &advisory.fixed {
                assert_eq!(
                    advisory.affects(*fixed),
                    Some(false),
                    "{} {fixed}",
                    advisory.id
                );
            }
            assert!(advisory.fixed.is_sorted());
        }
    }

    #[test]
    fn versions_meet_their_defects() {
        assert!(ids("3.5.1").contains(&"corrupt-after-crash"));
        assert!(!ids("3.5.3").contains(&"corrupt-after-crash"));
        assert!(ids("3.5.17").contains(&"no-sleep-compaction"));
        assert!(!ids("3.5.15").contains(&"no-sleep-compaction"));
        assert!(ids("3.6.4").contains(&"defrag-after-snapshot"));
        assert!(!ids("3.6.5").contains(&"defrag-after-snapshot"));
        assert!(!ids("3.4.31").contains(&"leases-revoked-by-old-leader"));
        assert!(ids("3.4.30").contains(&"leases-revoked-by-old-leader"));
        assert_eq!(ids("3.7.1"), [""; 0]);
    }

    #[test]
    fn fixes_are_of_the_same_minor_first() {
        let all = advisories();
        let defrag = all
            .iter()
            .find(|a| a.id == "defrag-after-snapshot")
            .unwrap();
        assert_eq!(defrag.fixed_for(v("3.6.1")), Some(v("3.6.5")));
        assert_eq!(defrag.fixed_for(v("3.5.9")), Some(v("3.5.23")));
        assert_eq!(defrag.fixed_for(v("3.4.9")), Some(v("3.5.23")));
        assert_eq!(defrag.affects(v("3.5")), None);
        assert_eq!(defrag.affects(v("3.7")), Some(false));
        assert_eq!(defrag.affects(v("3.4")), Some(true));
    }

    #[test]
    fn bad_files_say_where() {
        let bad = "[[advisory]]\nid='x'\ncomponent='etcd'\naffected='3.5'\nfixed=[]\nsummary=''\nsymptoms=[]\nsource=''\n";
        assert!(parse(bad).unwrap_err().contains("x: `3.5`"));
    }
}
