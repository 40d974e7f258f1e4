//! Questions to the settings tables: which setting is meant, its default, its spelling.

use super::{
    Component, Former, RemovedValue, Setting, Since, apiserver, controller_manager, etcd, kubelet,
    scheduler,
};
use crate::catalog::releases::Version;

/// All catalogued settings of a component, sorted by name.
pub fn settings(component: Component) -> &'static [Setting] {
    match component {
        Component::Etcd => etcd::TABLE,
        Component::ApiServer => apiserver::TABLE,
        Component::ControllerManager => controller_manager::TABLE,
        Component::Scheduler => scheduler::TABLE,
        Component::Kubelet => kubelet::TABLE,
    }
}

/// What a spelling was found to mean.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The setting.
    pub setting: &'static Setting,
    /// The older spelling that was used, if it was one.
    pub former: Option<&'static Former>,
}

impl Setting {
    /// The value that was taken away from a setting, where a version refuses it. Texts of a file
    /// are looked at less strictly than those of flags and variables.
    pub fn refused_by(
        &self,
        value: &str,
        in_file: bool,
        version: Version,
    ) -> Option<&'static RemovedValue> {
        self.refused.iter().find(|refused| {
            refused.value == value && version >= refused.removed && (refused.in_file || !in_file)
        })
    }
}

impl Found {
    /// Whether the spelling that was used is accepted by a version.
    pub fn accepted_by(&self, version: Version) -> Existence {
        match self.former {
            Some(former) => exists(former.since, former.removed, version),
            None => self.setting.exists_in(version),
        }
    }
}

/// Whether something exists in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// It does.
    Yes,
    /// It came with a later version.
    NotYet(Version),
    /// It was removed in that version or before.
    Removed(Version),
    /// The tables do not reach that far back.
    Unknown,
}

/// A setting's default in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultOf {
    /// That value.
    Value(&'static str),
    /// Empty, or worked out from the host.
    Unset,
    /// It depends on the version, and that is not known.
    Unknown,
    /// The version has no such setting.
    Absent,
}

/// How a version spells a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// A flag of that name.
    Flag(&'static str),
    /// A feature gate of that name.
    Gate(&'static str),
    /// Only a path in the component's file.
    File(&'static str),
}

/// The setting that a flag name means: the main name or an older one, `_` read as `-` (as the
/// Kubernetes components do).
pub fn setting(component: Component, name: &str) -> Option<Found> {
    let normal;
    let name = if name.contains('_') && component != Component::Etcd {
        normal = name.replace('_', "-");
        normal.as_str()
    } else {
        name
    };
    let table = settings(component);
    if let Ok(at) = table.binary_search_by(|setting| setting.name.cmp(name)) {
        return table.get(at).map(|setting| Found {
            setting,
            former: None,
        });
    }
    table.iter().find_map(|setting| {
        let former = setting.former.iter().find(|former| former.name == name)?;
        Some(Found {
            setting,
            former: Some(former),
        })
    })
}

/// The setting behind a path of the component's configuration file.
pub fn setting_of_file(component: Component, path: &str) -> Option<Found> {
    settings(component)
        .iter()
        .find(|setting| setting.file == Some(path))
        .map(|setting| Found {
            setting,
            former: None,
        })
}

/// etcd's environment variable for a flag: `ETCD_` and the flag in capitals.
pub fn env_name(flag: &str) -> String {
    format!("ETCD_{}", flag.to_ascii_uppercase().replace('-', "_"))
}

/// The flag that an etcd environment variable stands for.
pub fn flag_of_env(name: &str) -> Option<String> {
    let flag = name.strip_prefix("ETCD_")?;
    (!flag.is_empty()).then(|| flag.to_ascii_lowercase().replace('_', "-"))
}

/// Whether etcd stops when a flag and its variable are both set: from 3.4 on. Before, the flag
/// counts, and etcd logs that the variable is unused (`pkg/flags`). `None` where the version is not
/// known.
pub fn stops_at_both(version: Option<Version>) -> Option<bool> {
    version.map(|version| version >= Version::minor(3, 4))
}

fn exists(since: Since, removed: Option<Version>, version: Version) -> Existence {
    if let Some(removed) = removed
        && version >= removed
    {
        return Existence::Removed(removed);
    }
    match since {
        Since::Always => Existence::Yes,
        Since::At(first) if version >= first => Existence::Yes,
        Since::At(first) => Existence::NotYet(first),
        Since::SeenIn(seen) if version >= seen => Existence::Yes,
        Since::SeenIn(_) => Existence::Unknown,
        Since::Backported(firsts) => {
            // The first release with it in the version's own minor, or the newest such release.
            let own = firsts.iter().find(|first| first.same_minor(version));
            match own.or_else(|| firsts.first()) {
                Some(first) if version >= *first => Existence::Yes,
                Some(first) => Existence::NotYet(*first),
                None => Existence::Unknown,
            }
        }
    }
}

impl Setting {
    /// Whether a version accepts the setting in any spelling.
    pub fn known_to(&self, version: Version) -> Existence {
        let main = self.exists_in(version);
        if main == Existence::Yes {
            return main;
        }
        self.former
            .iter()
            .map(|former| exists(former.since, former.removed, version))
            .find(|existence| *existence == Existence::Yes)
            .unwrap_or(main)
    }

    /// Whether a version accepts the main name.
    pub fn exists_in(&self, version: Version) -> Existence {
        exists(self.since, self.removed, version)
    }

    /// The default in a version. Without a version it is known only if it never changed.
    pub fn default_of(&self, version: Option<Version>) -> DefaultOf {
        let Some(version) = version else {
            return match (self.later, self.default) {
                ([], Some(value)) => DefaultOf::Value(value),
                ([], None) => DefaultOf::Unset,
                _ => DefaultOf::Unknown,
            };
        };
        match self.known_to(version) {
            Existence::NotYet(_) | Existence::Removed(_) => return DefaultOf::Absent,
            Existence::Yes | Existence::Unknown => {}
        }
        let era = self
            .later
            .iter()
            .rev()
            .find(|(from, _)| version >= *from)
            .map(|(_, value)| *value);
        match (era, self.default) {
            (Some(value), _) | (None, Some(value)) => DefaultOf::Value(value),
            (None, None) => DefaultOf::Unset,
        }
    }

    /// How a version spells the setting; `None` when it has no such setting. Without a version
    /// the main name.
    pub fn name_for(&self, version: Option<Version>) -> Option<Spelling> {
        let main = match self.name.strip_prefix("feature-gates.") {
            Some(gate) => Spelling::Gate(gate),
            None if self.flag => Spelling::Flag(self.name),
            None => Spelling::File(self.file.unwrap_or(self.name)),
        };
        let Some(version) = version else {
            return Some(main);
        };
        match self.exists_in(version) {
            Existence::Yes => Some(main),
            Existence::Unknown | Existence::NotYet(_) | Existence::Removed(_) => self
                .former
                .iter()
                .find(|former| {
                    matches!(
                        exists(former.since, former.removed, version),
                        Existence::Yes
                    )
                })
                .map(|former| Spelling::Flag(former.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn v(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    fn default(component: Component, name: &str, version: &str) -> DefaultOf {
        setting(component, name)
            .expect(name)
            .setting
            .default_of(Some(v(version)))
    }

    #[test]
    fn tables_are_sorted_unique_and_ordered() {
        for component in Component::ALL {
            let table = settings(component);
            assert!(
                table.is_sorted_by(|a, b| a.name < b.name),
                "{component:?}: {:?}",
                table
                    .windows(2)
                    .filter(|w| w[0].name >= w[1].name)
                    .map(|w| w[1].name)
                    .collect::<Vec<_>>()
            );
            let mut names = BTreeSet::new();
            for setting in table {
                assert_eq!(setting.component, component, "{}", setting.name);
                assert!(!setting.source.is_empty());
                for name in
                    std::iter::once(setting.name).chain(setting.former.iter().map(|f| f.name))
                {
                    assert!(names.insert(name), "{component:?} {name} twice");
                }
                assert!(
                    setting.later.is_sorted_by(|a, b| a.0 < b.0),
                    "{}",
                    setting.name
                );
                if let (Since::At(first), Some(removed)) = (setting.since, setting.removed) {
                    assert!(first < removed, "{}", setting.name);
                }
                if !setting.later.is_empty() {
                    assert!(setting.default.is_some(), "{}", setting.name);
                }
            }
        }
    }

    #[test]
    fn every_rename_resolves_both_ways() {
        let mut seen = 0;
        for component in Component::ALL {
            for setting in settings(component) {
                for former in setting.former {
                    seen += 1;
                    let found = super::setting(component, former.name).expect(former.name);
                    assert_eq!(found.setting.name, setting.name);
                    let first = match former.since {
                        Since::Always => Version::minor(3, 3),
                        Since::At(first) | Since::SeenIn(first) => first,
                        Since::Backported(firsts) => firsts[0],
                    };
                    assert_eq!(
                        setting.name_for(Some(first)),
                        Some(Spelling::Flag(former.name)),
                        "{} in {first}",
                        setting.name
                    );
                    let removed = former.removed.expect("every old name ends");
                    assert_ne!(
                        setting.name_for(Some(removed)),
                        Some(Spelling::Flag(former.name))
                    );
                    assert!(
                        setting.name_for(Some(removed)).is_some(),
                        "{}",
                        setting.name
                    );
                }
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn the_defaults_that_moved() {
        use Component::{ApiServer, ControllerManager, Etcd, Kubelet};
        let cases: &[(Component, &str, &str, DefaultOf)] = &[
            (Etcd, "snapshot-count", "3.5.21", DefaultOf::Value("100000")),
            (Etcd, "snapshot-count", "3.6.0", DefaultOf::Value("10000")),
            (Etcd, "pre-vote", "3.4.30", DefaultOf::Value("false")),
            (Etcd, "pre-vote", "3.5.0", DefaultOf::Value("true")),
            (Etcd, "discovery-token", "3.5.0", DefaultOf::Absent),
            (
                Etcd,
                "warning-apply-duration",
                "3.5.0",
                DefaultOf::Value("100ms"),
            ),
            (Kubelet, "kube-api-qps", "1.26.15", DefaultOf::Value("5")),
            (Kubelet, "kube-api-qps", "1.27.0", DefaultOf::Value("50")),
            (
                ControllerManager,
                "node-monitor-grace-period",
                "1.31.9",
                DefaultOf::Value("40s"),
            ),
            (
                ControllerManager,
                "node-monitor-grace-period",
                "1.32.0",
                DefaultOf::Value("50s"),
            ),
            (
                ApiServer,
                "max-requests-inflight",
                "1.20.2",
                DefaultOf::Value("400"),
            ),
            (ApiServer, "target-ram-mb", "1.24.0", DefaultOf::Absent),
        ];
        for (component, name, version, expected) in cases {
            assert_eq!(
                default(*component, name, version),
                *expected,
                "{name} {version}"
            );
        }
        let count = setting(Etcd, "snapshot-count").unwrap().setting;
        assert_eq!(count.default_of(None), DefaultOf::Unknown);
        let quota = setting(Etcd, "quota-backend-bytes").unwrap().setting;
        assert_eq!(quota.default_of(None), DefaultOf::Value("0"));
    }

    #[test]
    fn experimental_names_end_with_3_7() {
        let found = setting(Component::Etcd, "experimental-initial-corrupt-check").unwrap();
        assert_eq!(found.setting.name, "feature-gates.InitialCorruptCheck");
        assert_eq!(found.accepted_by(v("3.5.1")), Existence::Yes);
        assert_eq!(found.accepted_by(v("3.6.14")), Existence::Yes);
        assert_eq!(
            found.accepted_by(v("3.7.0")),
            Existence::Removed(v("3.7.0"))
        );
        assert_eq!(
            found.setting.name_for(Some(v("3.7.0"))),
            Some(Spelling::Gate("InitialCorruptCheck"))
        );
        for setting in settings(Component::Etcd) {
            let main = setting.name.starts_with("experimental-") && setting.removed.is_none();
            assert!(!main, "{} lives in 3.7", setting.name);
        }
    }

    #[test]
    fn backports_are_by_minor() {
        let streams = setting(Component::Etcd, "max-concurrent-streams")
            .unwrap()
            .setting;
        assert_eq!(streams.exists_in(v("3.4.23")), Existence::Yes);
        assert_eq!(streams.exists_in(v("3.5.1")), Existence::NotYet(v("3.5.5")));
        assert_eq!(streams.exists_in(v("3.5.9")), Existence::Yes);
        assert_eq!(streams.exists_in(v("3.6.0")), Existence::Yes);
        assert!(matches!(
            streams.exists_in(v("3.3.9")),
            Existence::NotYet(_)
        ));
    }

    #[test]
    fn names_and_environment() {
        assert_eq!(env_name("quota-backend-bytes"), "ETCD_QUOTA_BACKEND_BYTES");
        assert_eq!(
            flag_of_env("ETCD_QUOTA_BACKEND_BYTES").as_deref(),
            Some("quota-backend-bytes")
        );
        assert_eq!(flag_of_env("ETCDCTL_API"), None);
        let found = setting(Component::ApiServer, "max_requests_inflight").unwrap();
        assert_eq!(found.setting.name, "max-requests-inflight");
        assert!(setting(Component::Etcd, "quota_backend_bytes").is_none());
        assert!(setting(Component::Etcd, "no-such").is_none());
    }
}
