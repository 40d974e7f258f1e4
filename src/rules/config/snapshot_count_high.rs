//! Many raft entries are kept in memory until a snapshot: memory and restart time grow with it.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "snapshot-count-high",
    summary: "snapshot-count keeps many raft entries in memory",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "snapshot-count-high",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["snapshot-count"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("snapshot-count");
    settings::etcds(cx, NAMES, Severity::Info, &limit.words(), |setting| {
        let count = setting.number().filter(|count| *count > limit.value)?;
        setting
            .is_set()
            .then(|| format!("a snapshot is taken every {count:.0} entries"))
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
            with("100001", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("100000", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("100001", "default").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
