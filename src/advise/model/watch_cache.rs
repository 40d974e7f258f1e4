//! kube-apiserver without its watch cache: no client can help that every read goes to etcd.

use crate::catalog::releases::Version;
use crate::evidence::keys;

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

/// From here on lists without a resource version come from the cache, if every etcd can tell how far
/// its watches are.
const CONSISTENT: Version = Version::minor(1, 31);
const GATE: &str = "feature-gates.ConsistentListFromCache";

/// Why lists of a resource without a resource version hardly reach etcd: counted, or by the version.
pub(super) fn answers(facts: &Facts<'_>, resource: &str) -> Option<String> {
    if is_off(facts) {
        return None;
    }
    let counted = facts.summed(&keys::APISERVER_ETCD_REQUESTS);
    let row = counted.as_ref().and_then(|table| table.row(resource));
    if let Some(lists) = row.and_then(|row| row.get("lists")) {
        // A few are those with which the cache itself was filled.
        return (lists < 1.0)
            .then(|| format!("kube-apiserver's counters show no list of {resource} in etcd"));
    }
    let gate = facts.setting("kube-apiserver", GATE, None);
    let off = gate.is_some_and(|gate| gate.texts().any(|text| text == "false"));
    let old_etcd = facts.version("etcd").is_some_and(|span| {
        let first = if span.oldest.minor == 4 {
            (4, 31)
        } else {
            (5, 13)
        };
        (span.oldest.major, span.oldest.minor, span.oldest.patch) < (3, first.0, first.1)
    });
    let span = facts.kubernetes()?;
    (span.oldest >= CONSISTENT && !off && !old_etcd).then(|| {
        format!(
            "kube-apiserver {} answers lists without a resource version from its cache",
            span.words()
        )
    })
}

/// What else is to be expected where the cache answers already.
pub(super) fn answered(mut advice: Advice, resource: &str, why: &str) -> Advice {
    advice.effect = format!(
        "kube-apiserver spends less CPU, memory and seats on its lists of {resource}; etcd is hardly \
         relieved, since {why}"
    );
    advice.verify = format!(
        "the audit log shows `watch` in place of `list` of {resource} for this client, and \
         kube-apiserver's CPU falls"
    );
    advice.source = format!(
        "{}; k8s.io/apiserver features: ConsistentListFromCache is on from 1.31",
        advice.source
    );
    advice
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
    use super::super::super::testing::table;
    use super::super::super::testing::{Plane, component};
    use crate::diagnosis::Cause;
    use crate::evidence::{Row, Subject, SubjectKind, keys};
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
        assert_eq!(advice.now.as_deref(), Some("false"));
        assert!(advice.proposed.starts_with("true"), "{}", advice.proposed);
        assert!(gate.find("client-lists").is_some());
    }

    /// What a list costs etcd depends on the version, and counters know best.
    #[test]
    fn the_effect_of_fewer_lists_is_that_of_the_version() {
        let of = |version: &str, lists: Option<f64>| {
            let client = Subject::new(SubjectKind::Client, "agent/1");
            let mut plane = plane(&[])
                .version("kube-apiserver", version)
                .fails("client-heavy-lists", client, Critical)
                .put(
                    &keys::LOGS_AUDIT_CLIENTS,
                    component("kube-apiserver"),
                    table(vec![
                        Row::new("a")
                            .text("user_agent", "agent/1")
                            .text("verb", "list")
                            .text("resource", "pods")
                            .num("requests", 9.0)
                            .num("unlimited", 9.0),
                    ]),
                );
            if let Some(lists) = lists {
                plane = plane.put(
                    &keys::APISERVER_ETCD_REQUESTS,
                    component("kube-apiserver"),
                    table(vec![
                        Row::new("pods").num("lists", lists).num("requests", 90.0),
                    ]),
                );
            }
            plane.find("client-lists-agent-1").unwrap().effect
        };
        assert!(of("v1.30.4", None).contains("out of etcd"));
        assert!(of("v1.34.0", None).contains("etcd is hardly relieved"));
        assert!(of("v1.34.0", Some(70.0)).contains("out of etcd"));
        assert!(of("v1.30.4", Some(0.0)).contains("no list of pods in etcd"));
    }
}
