//! kube-apiserver without its watch cache: no client can help that every read goes to etcd.

use super::super::advice::{Advice, Disposition};
use super::super::facts::Facts;
use super::config::ONE_BY_ONE;

const SETTING: &str = "watch-cache";

/// Where what is said of lists without a cache comes from.
pub(super) const SOURCE: &str = "kube-apiserver reference: --watch-cache (default true); without it each list, get and watch is \
     one of etcd, whatever its resourceVersion";

/// Whether some kube-apiserver keeps no cache of anything.
pub(super) fn is_off(facts: &Facts<'_>) -> bool {
    let set = facts.setting("kube-apiserver", SETTING, None);
    set.is_some_and(|set| {
        let mut texts = set.texts();
        texts.any(|text| {
            matches!(
                text.trim().to_ascii_lowercase().as_str(),
                "false" | "f" | "0"
            )
        })
    })
}

/// The advice about lists that the cache could answer, where there is none.
pub(super) fn turn_on(facts: &Facts<'_>, mut advice: Advice) -> Advice {
    let now = facts.setting("kube-apiserver", SETTING, None);
    SETTING.clone_into(&mut advice.setting);
    advice.now = now.map(|now| now.words());
    advice.proposed = format!("remove {SETTING}");
    advice.effect =
        "lists with `resourceVersion=0`, gets, informers and, from 1.31 on, lists without a \
                     resource version are answered from memory; etcd has one watch a resource and \
                     kube-apiserver, and not one a client"
            .to_owned();
    advice.risk = format!(
        "each kube-apiserver lists every resource once from etcd as it starts, and needs memory for all \
         objects: look at its limit first. It {ONE_BY_ONE}"
    );
    advice.undo = format!("set {SETTING} back to false");
    advice.verify =
        "lists in `etcd_request_duration_seconds_count` of kube-apiserver nearly stop".to_owned();
    advice.disposition = Disposition::Disruptive;
    SOURCE.clone_into(&mut advice.source);
    advice.detail("remove", SETTING)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use crate::diagnosis::Cause;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::Severity::{Critical, Info, Warn};

    fn plane(settings: &[(&str, &str)]) -> Plane {
        Plane::with(Cause::QueryLoad)
            .settings("kube-apiserver", settings)
            .fails("lists-bypass-cache", component("kube-apiserver"), Info)
            .fails(
                "expensive-lists",
                Subject::new(SubjectKind::Resource, "pods"),
                Warn,
            )
    }

    #[test]
    fn a_cache_that_is_off_is_turned_on_and_no_client_is_asked_to_use_it() {
        let off = plane(&[("watch-cache", "false")]);
        let advice = off.find("lists-bypass-cache").unwrap();
        assert_eq!(advice.setting, "watch-cache");
        assert_eq!(advice.now.as_deref(), Some("false"));
        assert_eq!(advice.proposed, "remove watch-cache");
        assert_eq!(off.find("client-lists"), None);
        let named = off
            .fails(
                "client-heavy-lists",
                Subject::new(SubjectKind::Client, "agent/1"),
                Critical,
            )
            .find("client-lists-agent-1")
            .unwrap();
        assert!(
            !named.proposed.contains("resourceVersion=0"),
            "{}",
            named.proposed
        );

        let gate = plane(&[("feature-gates.ConsistentListFromCache", "false")]);
        let advice = gate.find("lists-bypass-cache").unwrap();
        assert!(advice.setting.contains("ConsistentListFromCache"));
        assert!(gate.find("client-lists").is_some());
    }
}
