//! Changes that kubeadm's `patches` folder can carry: probes and resources, where a strategic
//! merge changes one key. Never `command`, which is replaced as a whole there.

use yaml_serde::Value;

use crate::advise::{Advice, Disposition};

use super::pod_value::Wish;
use super::yaml::{documents, scalar};

/// A file of the `patches` folder: path and content.
pub(super) type Patch = Result<(String, String), String>;

const LIVENESS_PATH: &[&str] = &["livenessProbe", "httpGet", "path"];
const LIVENESS_FAILURES: &[&str] = &["livenessProbe", "failureThreshold"];
const LIVENESS_TIMEOUT: &[&str] = &["livenessProbe", "timeoutSeconds"];
const CPU_LIMIT: &[&str] = &["resources", "limits", "cpu"];

/// The keys of etcd's container that an advice changes, where it is about its probe or resources.
pub(super) fn wishes_of(advice: &Advice) -> Option<Vec<Wish>> {
    match advice.id.as_str() {
        // A limit that the pod does not set cannot be taken out of it.
        "etcd-cpu-limit" if advice.disposition != Disposition::ShowOnly => {
            Some(vec![(CPU_LIMIT, None)])
        }
        "etcd-liveness-probe" => Some(match advice.proposed.strip_prefix("path ") {
            Some(path) => vec![(LIVENESS_PATH, Some(Value::from(path)))],
            None => vec![
                (LIVENESS_FAILURES, Some(Value::from(threshold(advice)))),
                (LIVENESS_TIMEOUT, Some(Value::from(15))),
            ],
        }),
        _ => None,
    }
}

fn threshold(advice: &Advice) -> u64 {
    advice
        .details
        .get("failure-threshold")
        .and_then(|text| text.parse().ok())
        .unwrap_or(8)
}

/// The patch of an advice that is about a probe or a resource, where it is one.
pub(super) fn patch_of(advice: &Advice) -> Option<Patch> {
    match advice.id.as_str() {
        "etcd-cpu-limit" => Some(container(
            "etcd",
            "resources",
            "    resources:\n      limits:\n        cpu: null\n",
        )),
        "etcd-liveness-probe" => Some(match advice.proposed.strip_prefix("path ") {
            Some(path) => container(
                "etcd",
                "liveness",
                &format!(
                    "    livenessProbe:\n      httpGet:\n        path: {}\n",
                    scalar(path)
                ),
            ),
            None => container(
                "etcd",
                "liveness",
                &format!(
                    "    livenessProbe:\n      failureThreshold: {}\n      timeoutSeconds: 15\n",
                    threshold(advice)
                ),
            ),
        }),
        _ => None,
    }
}

/// The liveness probe of kube-apiserver with another path.
pub(super) fn apiserver_liveness(path: &str) -> Patch {
    container(
        "kube-apiserver",
        "liveness",
        &format!(
            "    livenessProbe:\n      httpGet:\n        path: {}\n",
            scalar(path)
        ),
    )
}

fn container(component: &str, suffix: &str, body: &str) -> Patch {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {component}\n  namespace: kube-system\nspec:\n  containers:\n  - name: {component}\n{body}"
    );
    let read = documents(&text).map_err(|refusal| refusal.to_string())?;
    let named = read.first().and_then(|d| {
        d.get("spec")?
            .get("containers")?
            .get(0)?
            .get("name")?
            .as_str()
    });
    if named != Some(component) {
        return Err("the patch does not read back as meant".to_owned());
    }
    // kubeadm: target[suffix][+type].yaml, read in order of the suffix.
    Ok((format!("patches/{component}-{suffix}+strategic.yaml"), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_not_the_pods_is_not_taken_out_of_it() {
        let wishes = |disposition: &str| {
            let json = serde_json::json!({
                "id": "etcd-cpu-limit", "remedy": "cpu", "strength": "recommended", "target": "etcd",
                "setting": "s", "now": null, "proposed": "p", "why": "w", "effect": "e",
                "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
                "disposition": disposition, "finding_ids": [], "source": "s",
            });
            let advice: Advice = serde_json::from_value(json).unwrap();
            wishes_of(&advice).is_some()
        };
        assert!(wishes("disruptive"));
        assert!(!wishes("show-only"));
    }
}
