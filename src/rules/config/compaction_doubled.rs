//! etcd compacts by itself beside kube-apiserver: two compactions fight over one history.

use crate::evidence::{Missing, keys};
use crate::rules::settings::{self, Setting};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

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
    let served = serves_kubernetes(cx);
    for setting in settings::of(cx, "etcd", NAMES)? {
        if !setting.compacts() || !setting.is_set() {
            continue;
        }
        settings::cite(cx, &setting, NAMES[0]);
        let (confidence, words) = match served {
            true => (
                Confidence::High,
                "and kube-apiserver compacts each 5 minutes",
            ),
            false => (
                Confidence::Medium,
                "right for an etcd without Kubernetes; no kube-apiserver was seen here, and one that uses it compacts each 5 minutes",
            ),
        };
        drafts.push(
            Draft::new(
                setting.subject.clone(),
                Severity::Info,
                format!("auto-compaction-retention is {}, {words}", setting.value),
            )
            .confidence(confidence)
            .threshold("kube-apiserver default: it compacts each 5 minutes by itself")
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Whether anything was read of a kube-apiserver.
fn serves_kubernetes(cx: &Context<'_>) -> bool {
    let is = |name: &str| name == "kube-apiserver";
    let versions = [&keys::VERSIONS, &keys::METRICS_VERSIONS];
    let seen = settings::of(cx, "kube-apiserver", &[]).is_ok()
        || versions.iter().any(|key| {
            let all = cx.evidence.all(key);
            all.iter().any(|(subject, _)| is(&subject.name))
        });
    cx.evidence.take_citations();
    seen
}

/// Whether every kube-apiserver whose settings were read leaves compaction to etcd.
fn nobody_else(cx: &Context<'_>) -> bool {
    let all = settings::of(cx, "kube-apiserver", &["etcd-compaction-interval"]).unwrap_or_default();
    !all.is_empty() && !all.iter().any(Setting::compacts)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let apart = &with("8", "flag").check(&RULE)[0];
        assert_eq!(apart.confidence, Confidence::Medium);
        assert!(apart.message.contains("was seen here"), "{apart:?}");
        let beside = with("8", "flag").put(
            &keys::SETTINGS,
            component("kube-apiserver"),
            settings(&[("etcd-compaction-interval", "5m0s", "default")]),
        );
        let beside = &beside.check(&RULE)[0];
        assert_eq!(beside.confidence, Confidence::High);
        assert!(
            beside
                .message
                .ends_with("and kube-apiserver compacts each 5 minutes")
        );
        let alone = with("8", "flag").put(
            &keys::SETTINGS,
            component("kube-apiserver"),
            settings(&[("etcd-compaction-interval", "0", "flag")]),
        );
        assert_eq!(alone.status(&RULE).0, Status::Pass, "nobody else compacts");
    }
}
