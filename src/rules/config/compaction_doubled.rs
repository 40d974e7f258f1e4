//! etcd compacts by itself beside kube-apiserver: two compactions fight over one history.

use crate::evidence::Missing;
use crate::rules::settings::{self, Setting};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "compaction-doubled",
    summary: "etcd auto-compaction runs beside the one of kube-apiserver",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "compaction-doubled",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["auto-compaction-retention"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    if nobody_else(cx) {
        // etcd's own compaction is the only one there is.
        settings::of(cx, "etcd", NAMES)?;
        cx.evidence.take_citations();
        return Ok(Verdict::Fail(drafts));
    }
    for setting in settings::of(cx, "etcd", NAMES)? {
        if !setting.compacts() || !setting.is_set() {
            continue;
        }
        settings::cite(cx, &setting, NAMES[0]);
        drafts.push(
            Draft::new(
                setting.subject.clone(),
                Severity::Info,
                format!(
                    "auto-compaction-retention is {}, and kube-apiserver compacts each 5 minutes",
                    setting.value
                ),
            )
            .threshold("kube-apiserver default: it compacts each 5 minutes by itself")
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Whether every kube-apiserver whose settings were read leaves compaction to etcd.
fn nobody_else(cx: &Context<'_>) -> bool {
    let all = settings::of(cx, "kube-apiserver", &["etcd-compaction-interval"]).unwrap_or_default();
    !all.is_empty() && !all.iter().any(Setting::compacts)
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
            with("8", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("5m", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("0", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("0m", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("0", "default").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        let alone = with("8", "flag").put(
            &keys::SETTINGS,
            component("kube-apiserver"),
            settings(&[("etcd-compaction-interval", "0", "flag")]),
        );
        assert_eq!(alone.status(&RULE).0, Status::Pass, "nobody else compacts");
    }
}
