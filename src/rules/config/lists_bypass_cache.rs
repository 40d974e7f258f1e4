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
    for (name, what) in [
        (
            "feature-gates.ConsistentListFromCache",
            "lists without a resource version go to etcd",
        ),
        (
            "watch-cache",
            "every list, get and watch goes to etcd, with resourceVersion=0 as well and of each informer",
        ),
    ] {
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
                    format!("{name}={}: {what}", setting.value),
                )
                .threshold(
                    "kube-apiserver default: watch-cache on, ConsistentListFromCache on from 1.31",
                )
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
        let off = with("watch-cache", "false");
        assert_eq!(off.status(&RULE).0, Status::Fail);
        let words = &off.check(&RULE)[0].message;
        assert!(words.contains("resourceVersion=0 as well"), "{words}");
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
