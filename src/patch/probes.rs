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
        "etcd-liveness-probe" => Some(liveness(advice)),
        _ => None,
    }
}

/// What of the probe changes: the path, the patience or both.
fn liveness(advice: &Advice) -> Vec<Wish> {
    let path = advice.details.get("path").map(String::as_str);
    // Advice that an earlier release saved says it in words alone.
    let path = path.or_else(|| advice.proposed.strip_prefix("path "));
    let failures = advice
        .details
        .get("failure-threshold")
        .and_then(|text| text.parse().ok());
    let failures: Option<u64> = failures.or_else(|| path.is_none().then_some(8));
    let mut wishes = Vec::new();
    if let Some(path) = path {
        wishes.push((LIVENESS_PATH, Some(Value::from(path))));
    }
    if let Some(failures) = failures {
        wishes.push((LIVENESS_FAILURES, Some(Value::from(failures))));
        wishes.push((LIVENESS_TIMEOUT, Some(Value::from(15))));
    }
    wishes
}

/// The patch of an advice that is about a probe or a resource, where it is one.
pub(super) fn patch_of(advice: &Advice) -> Option<Patch> {
    match advice.id.as_str() {
        "etcd-cpu-limit" => Some(container(
            "etcd",
            "resources",
            "    resources:\n      limits:\n        cpu: null\n",
        )),
        "etcd-liveness-probe" => {
            let (mut get, mut rest) = (String::new(), String::new());
            for (place, value) in liveness(advice) {
                let (Some(name), Some(value)) = (place.last(), value.as_ref()) else {
                    continue;
                };
                if place == LIVENESS_PATH {
                    let path = scalar(value.as_str().unwrap_or_default());
                    get = format!("      httpGet:\n        {name}: {path}\n");
                } else {
                    let number = value.as_u64().unwrap_or_default();
                    rest = format!("{rest}      {name}: {number}\n");
                }
            }
            let body = format!("    livenessProbe:\n{get}{rest}");
            Some(container("etcd", "liveness", &body))
        }
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
