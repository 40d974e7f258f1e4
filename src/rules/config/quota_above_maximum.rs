//! The quota is above the suggested maximum, or off: recovery and defragmentation take long, and memory grows with
//! the file.

use crate::evidence::{Missing, Unit, number};
use crate::rules::settings;
use crate::rules::{Context, Rule, Severity, Verdict};

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
    settings::etcds(cx, NAMES, Severity::Warn, &limit.words(), |setting| {
        let quota = setting.number()?;
        // etcd takes a negative value for no quota at all.
        if quota < 0.0 {
            return Some(format!(
                "the quota is off ({quota}): nothing stops the database before the disk is full"
            ));
        }
        (quota > limit.value).then(|| format!("the quota is {}", number(quota, Unit::Bytes)))
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
            with("8589934593", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with("8589934592", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("0", "default").status(&RULE).0, Status::Pass);
        let off = with("-1", "flag");
        assert_eq!(off.status(&RULE), (Status::Fail, Severity::Warn));
        assert!(off.check(&RULE)[0].message.contains("off (-1)"));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
