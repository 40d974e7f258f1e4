//! From an advice to a change of flags, spelled as the version in use spells it.

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
