//! Changes that kubeadm's `patches` folder can carry: probes and resources, where a strategic
//! merge changes one key. Never `command`, which is replaced as a whole there.

use crate::advise::Advice;

use super::yaml::{documents, scalar};

/// A file of the `patches` folder: path and content.
pub(super) type Patch = Result<(String, String), String>;

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
            None => {
                // Digits only: the text goes into a file.
                let threshold = advice
                    .details
                    .get("failure-threshold")
                    .filter(|text| text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty())
                    .map_or("8", String::as_str);
                container(
                    "etcd",
                    "liveness",
                    &format!(
                        "    livenessProbe:\n      failureThreshold: {threshold}\n      timeoutSeconds: 15\n"
                    ),
                )
            }
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
