//! The quota is etcd's default of 2 GiB, or less. Hygiene: it matters when the database grows.

use crate::evidence::{Missing, Unit, number};
use crate::rules::settings;
use crate::rules::{Context, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "quota-default",
    summary: "the quota is the default of 2 GiB, or less",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "quota-default",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["quota-backend-bytes"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("quota-default");
    settings::etcds(cx, NAMES, Severity::Info, &limit.words(), |setting| {
        let quota = setting.number().unwrap_or(0.0);
        // A negative value switches the quota off, of which `quota-above-maximum` speaks.
        if quota < 0.0 || quota > limit.value {
            return None;
        }
        Some(match quota {
            0.0 => "the quota is etcd's default of 2 GiB".to_owned(),
            set if set < limit.value => format!(
                "the quota is {}, less than etcd's default of 2 GiB",
                number(set, Unit::Bytes)
            ),
            _ => "the quota is 2 GiB, as etcd's default".to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component};

    fn with(value: &str, source: &str) -> Set {
        Set::new().put(
            &keys::SETTINGS,
            component("etcd"),
            settings(&[(NAMES[0], value, source)]),
        )
    }

    #[test]
    fn a_quota_that_somebody_set_is_not_called_the_default() {
        let words = |value, source| with(value, source).check(&RULE)[0].message.clone();
        assert!(words("0", "default").ends_with("is etcd's default of 2 GiB"));
        let small = words("67108864", "flag");
        assert!(small.contains("64 MiB, less than"), "{small}");
        assert!(words("2147483648", "flag").contains("2 GiB, as"));
    }

    #[test]
    fn both_sides() {
        assert_eq!(
            with("0", "default").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("2147483648", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("2147483649", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("-1", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("8589934592", "env").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
