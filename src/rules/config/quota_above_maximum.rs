//! The quota is above the suggested maximum: recovery and defragmentation take long, and memory grows with it.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "quota-above-maximum",
    summary: "the quota is above the suggested maximum of 8 GiB",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "quota-above-maximum",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["quota-backend-bytes"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("quota-max");
    let mut drafts = Vec::new();
    for setting in settings::of(cx, "etcd", NAMES)? {
        let Some(quota) = setting.number() else {
            continue;
        };
        if quota <= limit.value {
            continue;
        }
        settings::cite(cx, &setting, NAMES[0]);
        drafts.push(
            Draft::new(
                setting.subject.clone(),
                Severity::Warn,
                format!(
                    "the quota is {}",
                    crate::evidence::number(quota, crate::evidence::Unit::Bytes)
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
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
            with("8589934593", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with("8589934592", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("0", "default").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
