//! What kube-apiserver's `--etcd-servers-overrides` says now.

use std::collections::BTreeSet;

use crate::catalog::settings::overrides::{Problem, Split, parse, splits};

use super::super::facts::Facts;

/// The flag.
pub(super) const SETTING: &str = "etcd-servers-overrides";

/// The overrides that kube-apiserver has now.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    /// In words, with the nodes where they differ.
    pub(super) now: Option<String>,
    /// Entries that act, and those that kube-apiserver refuses, over all nodes.
    pub(super) kept: Vec<String>,
    /// Resources of which kube-apiservers say different things.
    pub(super) split: Vec<Split>,
    /// Entries that kube-apiserver takes and that do nothing, with the name that would work.
    pub(super) idle: Vec<(String, Option<&'static str>)>,
}

impl Overrides {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let Some(current) = facts.setting("kube-apiserver", SETTING, None) else {
            return Overrides::default();
        };
        let version = facts.kubernetes().map(|span| span.oldest);
        let mut found = Overrides {
            now: Some(current.words()),
            split: splits(&facts.rows_of("kube-apiserver", SETTING)),
            ..Overrides::default()
        };
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for entry in current
            .texts()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            if !known.insert(entry) {
                continue;
            }
            let problems = parse(entry, version, None).problems;
            let idle = problems.into_iter().find_map(|problem| match problem {
                Problem::NoEffect { instead, .. } => Some(instead),
                _ => None,
            });
            match idle {
                Some(instead) => found.idle.push((entry.to_owned(), instead)),
                None => found.kept.push(entry.to_owned()),
            }
        }
        found
    }

    /// What kube-apiservers say differently about a resource.
    pub(super) fn split_of(&self, resource: &str) -> Option<&Split> {
        self.split.iter().find(|one| one.resource == resource)
    }

    pub(super) fn has(&self, resource: &str) -> bool {
        self.kept
            .iter()
            .filter_map(|one| one.split_once('#'))
            .any(|(left, _)| left == resource)
    }

    /// What differs, in words.
    pub(super) fn differing(&self) -> Option<String> {
        let words: Vec<String> = self
            .split
            .iter()
            .map(|one| match one.without.as_slice() {
                [] => format!("{} differs on {}", one.resource, one.with.join(", ")),
                without => format!(
                    "{} on {}, not on {}",
                    one.resource,
                    one.with.join(", "),
                    without.join(", ")
                ),
            })
            .collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// What to do where kube-apiservers differ, in words: which place is right is not in the settings.
    pub(super) fn alike(&self) -> Option<String> {
        let others: Vec<&str> = self
            .split
            .iter()
            .filter(|one| one.resource != "/events" || one.entry.is_none())
            .map(|one| one.resource.as_str())
            .collect();
        if others.is_empty() {
            return None;
        }
        let stop = if others.iter().any(|resource| *resource != "/events") {
            ", all at the same moment: stop controller-manager and scheduler, stop every \
             kube-apiserver, set the flag, start them"
        } else {
            ", one kube-apiserver after the other"
        };
        Some(format!(
            "give every kube-apiserver the same override of {}{stop}; the etcd that holds the data in \
             use is the right one",
            others.join(" and ")
        ))
    }

    /// What to do about the entries that do nothing.
    pub(super) fn mend(&self) -> Option<String> {
        let parts: Vec<String> = self
            .idle
            .iter()
            .map(|(entry, instead)| {
                let or = instead.map_or_else(String::new, |name| format!(", or name it `{name}`"));
                format!("take `{entry}` out: it has no effect{or}")
            })
            .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
