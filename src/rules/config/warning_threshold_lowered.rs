//! etcd logs requests as slow that are not: its threshold was lowered, so lines are not slowness.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "warning-threshold-lowered",
    summary: "etcd logs requests as slow that are not",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "warning-threshold-lowered",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &[
    "warning-apply-duration",
    "experimental-warning-apply-duration",
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("slow-apply-default");
    settings::etcds(cx, NAMES, Severity::Info, &limit.words(), |setting| {
        (setting.ms()? < limit.value).then(|| {
            format!(
                "requests over {} are logged as slow: lines are not slowness",
                setting.value
            )
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
    fn both_sides() {
        assert_eq!(
            with("5ms", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("99ms", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("100ms", "default").status(&RULE).0, Status::Pass);
        assert_eq!(with("200ms", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
