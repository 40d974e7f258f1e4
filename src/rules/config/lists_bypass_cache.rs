//! kube-apiserver sends consistent lists to etcd instead of serving them from its watch cache.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "lists-bypass-cache",
    summary: "kube-apiserver's consistent lists go to etcd although the watch cache could serve them",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "lists-bypass-cache",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for name in ["feature-gates.ConsistentListFromCache", "watch-cache"] {
        for setting in settings::of(cx, "kube-apiserver", &[name])? {
            let off = setting.is_set() && setting.flag() == Some(false);
            if !off {
                continue;
            }
            settings::cite(cx, &setting, name);
            drafts.push(
                Draft::new(
                    setting.subject.clone(),
                    Severity::Info,
                    format!(
                        "{name}={}: lists without a resource version go to etcd",
                        setting.value
                    ),
                )
                .threshold("kube-apiserver default: ConsistentListFromCache on from 1.31")
                .cites(cx.evidence.take_citations()),
            );
        }
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

    #[test]
    fn the_gate_or_the_cache_switched_off() {
        let with = |name: &str, value: &str| {
            Set::new().put(
                &keys::SETTINGS,
                component("kube-apiserver"),
                settings(&[(name, value, "flag")]),
            )
        };
        assert_eq!(
            with("feature-gates.ConsistentListFromCache", "false").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("feature-gates.ConsistentListFromCache", "true")
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(with("watch-cache", "false").status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
