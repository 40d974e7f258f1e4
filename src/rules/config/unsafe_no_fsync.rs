//! etcd runs without fsync: a crash loses acknowledged writes and can corrupt the member.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "unsafe-no-fsync",
    summary: "etcd runs without fsync",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "unsafe-no-fsync",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["unsafe-no-fsync"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let source = "etcd help: never use in production";
    settings::etcds(cx, NAMES, Severity::Critical, source, |setting| {
        (setting.flag() == Some(true)).then(|| {
            "etcd runs with --unsafe-no-fsync: a crash loses acknowledged writes".to_owned()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table, keys};
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
            with("true", "flag").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(with("false", "default").status(&RULE).0, Status::Pass);
        assert_eq!(with("false", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn etcd_does_not_run_with_a_flag_that_it_refuses() {
        let of = |kind: &str, weight: &str| {
            let fault = Row::new("fault")
                .text("kind", kind)
                .text("weight", weight)
                .text("setting", NAMES[0])
                .text("fault", "etcd 3.4.9 refuses it");
            let faults = Table {
                rows: vec![fault],
                ..Table::default()
            };
            let given = settings(&[(NAMES[0], "true", "flag")]);
            let set = Set::new().put(&keys::SETTINGS, component("etcd"), given);
            set.put(&keys::SETTINGS_FAULTS, component("etcd"), faults)
                .status(&RULE)
                .0
        };
        assert_eq!(of("unknown-setting", "stop"), Status::Unknown);
        assert_eq!(of("unknown-setting", "warn"), Status::Fail);
        assert_eq!(of("renamed-setting", "note"), Status::Fail);
    }
}
