//! Nobody compacts the history: the database grows with every write until its quota.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "compaction-off",
    summary: "kube-apiserver does not compact etcd",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "compaction-off",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["etcd-compaction-interval"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for setting in settings::of(cx, "kube-apiserver", NAMES)? {
        if setting.compacts() || etcd_compacts(cx) {
            continue;
        }
        settings::cite(cx, &setting, NAMES[0]);
        drafts.push(
            Draft::new(setting.subject.clone(), Severity::Warn, "--etcd-compaction-interval=0: kube-apiserver does not compact etcd, and etcd's own auto-compaction is off".to_owned())
                .threshold("kube-apiserver default: a compaction each 5 minutes")
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Whether etcd compacts by itself, in which case nothing grows without bound.
fn etcd_compacts(cx: &Context<'_>) -> bool {
    settings::of(cx, "etcd", &["auto-compaction-retention"])
        .unwrap_or_default()
        .iter()
        .any(|setting| setting.is_set() && setting.compacts())
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
            component("kube-apiserver"),
            settings(&[(NAMES[0], value, source)]),
        )
    }

    #[test]
    fn both_sides() {
        assert_eq!(
            with("0", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with("0s", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with("5m0s", "default").status(&RULE).0, Status::Pass);
        assert_eq!(with("150s", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        let etcd = |retention: &str| {
            let settings = settings(&[("auto-compaction-retention", retention, "flag")]);
            let set = with("0", "flag").put(&keys::SETTINGS, component("etcd"), settings);
            set.status(&RULE).0
        };
        for off in ["0", "0s", "0m", "0h", ""] {
            assert_eq!(etcd(off), Status::Fail, "`{off}` compacts nothing");
        }
        for on in ["8", "5m", "1h30m", "1000"] {
            assert_eq!(etcd(on), Status::Pass, "{on}");
        }
    }
}
