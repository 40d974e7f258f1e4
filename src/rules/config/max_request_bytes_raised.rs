//! Larger requests are allowed than etcd is tested with.

use crate::evidence::{Missing, Unit, number};
use crate::rules::settings;
use crate::rules::{Context, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "max-request-bytes-raised",
    summary: "etcd allows requests above the recommended maximum of 10 MiB",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "max-request-bytes-raised",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["max-request-bytes"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("max-request-bytes");
    settings::etcds(cx, NAMES, Severity::Info, &limit.words(), |setting| {
        let bytes = setting.number().filter(|bytes| *bytes > limit.value)?;
        Some(format!(
            "requests up to {} are allowed",
            number(bytes, Unit::Bytes)
        ))
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
    fn both_sides() {
        assert_eq!(
            with("10485761", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("1572864", "default").status(&RULE).0, Status::Pass);
        assert_eq!(with("10485760", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
