//! Which Kubernetes resource a metric's labels mean, in every age of kube-apiserver.
//!
//! Up to 1.25 etcd latencies carry a Go type (`*core.Pod`), from 1.26 a group-resource
//! (`deployments.apps`), from 1.34 `group` and `resource` apart. All become `resource.group`.

use super::timeline::Labels;

/// `resource.group` of a series; empty when the labels name none.
pub(super) fn resource_of(labels: Labels<'_>) -> String {
    let (group, resource) = (labels.get("group"), labels.get("resource"));
    if !resource.is_empty() {
        return join(resource, group);
    }
    let prefix = labels.get("resource_prefix");
    if !prefix.is_empty() {
        return from_storage_key(prefix);
    }
    from_type(labels.get("type"))
}

/// The same with the subresource: `pods/status`, `nodes/status`. Paths stay as they are.
pub(super) fn request_of(labels: Labels<'_>) -> String {
    let (resource, sub) = (resource_of(labels), labels.get("subresource"));
    match (resource.is_empty(), sub.is_empty()) {
        (false, true) => resource,
        (false, false) => {
            // `pods/status`, but `deployments/status.apps` would not be read well.
            format!("{resource}/{sub}")
        }
        (true, false) => sub.to_owned(),
        (true, true) => "other".to_owned(),
    }
}

fn join(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

/// From the `type` label of etcd latencies.
fn from_type(text: &str) -> String {
    if let Some(go) = text.strip_prefix('*').or_else(|| text.strip_prefix("[]")) {
        return from_go_type(go);
    }
    if text.starts_with('/') {
        return from_storage_key(text);
    }
    text.to_owned()
}

/// API groups by the package of their internal types (`pkg/apis/*` of Kubernetes).
const PACKAGES: [(&str, &str); 24] = [
    ("admissionregistration", "admissionregistration.k8s.io"),
    ("apiextensions", "apiextensions.k8s.io"),
    ("apiregistration", "apiregistration.k8s.io"),
    ("apiserverinternal", "internal.apiserver.k8s.io"),
    ("apps", "apps"),
    ("auditregistration", "auditregistration.k8s.io"),
    ("autoscaling", "autoscaling"),
    ("batch", "batch"),
    ("certificates", "certificates.k8s.io"),
    ("coordination", "coordination.k8s.io"),
    ("core", ""),
    ("discovery", "discovery.k8s.io"),
    ("events", "events.k8s.io"),
    ("extensions", "extensions"),
    ("flowcontrol", "flowcontrol.apiserver.k8s.io"),
    ("networking", "networking.k8s.io"),
    ("node", "node.k8s.io"),
    ("policy", "policy"),
    ("rbac", "rbac.authorization.k8s.io"),
    ("resource", "resource.k8s.io"),
    ("scheduling", "scheduling.k8s.io"),
    ("settings", "settings.k8s.io"),
    ("storage", "storage.k8s.io"),
    ("storagemigration", "storagemigration.k8s.io"),
];

/// `core.Pod`, `apps.DeploymentList`. All custom resources are `unstructured.Unstructured`, so
/// that which one it was is not known.
fn from_go_type(text: &str) -> String {
    let Some((package, name)) = text.rsplit_once('.') else {
        return text.to_owned();
    };
    if name.starts_with("Unstructured") {
        return "custom-resources".to_owned();
    }
    let name = name.strip_suffix("List").unwrap_or(name);
    let package = package.rsplit('/').next().unwrap_or(package);
    let Some((_, group)) = PACKAGES.iter().find(|(known, _)| *known == package) else {
        return format!("{package}.{name}");
    };
    join(&plural(&name.to_lowercase()), group)
}

fn plural(name: &str) -> String {
    let ends = |end: &[&str]| end.iter().any(|end| name.ends_with(end));
    if name == "endpoints" {
        name.to_owned()
    } else if ends(&["s", "x", "ch"]) {
        format!("{name}es")
    } else if let Some(stem) = name.strip_suffix('y')
        && !ends(&["ay", "ey", "oy", "uy"])
    {
        format!("{stem}ies")
    } else {
        format!("{name}s")
    }
}

/// Groups of resources whose storage key names no group.
const KEY_GROUPS: [(&str, &str); 30] = [
    ("certificatesigningrequests", "certificates.k8s.io"),
    ("clusterrolebindings", "rbac.authorization.k8s.io"),
    ("clusterroles", "rbac.authorization.k8s.io"),
    ("controllerrevisions", "apps"),
    ("cronjobs", "batch"),
    ("csidrivers", "storage.k8s.io"),
    ("csinodes", "storage.k8s.io"),
    ("csistoragecapacities", "storage.k8s.io"),
    ("daemonsets", "apps"),
    ("deployments", "apps"),
    ("endpointslices", "discovery.k8s.io"),
    ("flowschemas", "flowcontrol.apiserver.k8s.io"),
    ("horizontalpodautoscalers", "autoscaling"),
    ("ingress", "networking.k8s.io"),
    ("ingressclasses", "networking.k8s.io"),
    ("jobs", "batch"),
    ("leases", "coordination.k8s.io"),
    (
        "mutatingwebhookconfigurations",
        "admissionregistration.k8s.io",
    ),
    ("networkpolicies", "networking.k8s.io"),
    ("poddisruptionbudgets", "policy"),
    ("priorityclasses", "scheduling.k8s.io"),
    (
        "prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io",
    ),
    ("replicasets", "apps"),
    ("rolebindings", "rbac.authorization.k8s.io"),
    ("roles", "rbac.authorization.k8s.io"),
    ("runtimeclasses", "node.k8s.io"),
    ("statefulsets", "apps"),
    ("storageclasses", "storage.k8s.io"),
    (
        "validatingwebhookconfigurations",
        "admissionregistration.k8s.io",
    ),
    ("volumeattachments", "storage.k8s.io"),
];

/// `/registry/pods/…`, `/services/specs`, `/apiregistration.k8s.io/apiservices`.
fn from_storage_key(key: &str) -> String {
    let mut parts = key.split('/').filter(|part| !part.is_empty()).peekable();
    parts.next_if(|first| matches!(*first, "registry" | "kubernetes.io"));
    let first = parts.next().unwrap_or_default();
    let second = parts.next().unwrap_or_default();
    match (first, second) {
        ("", _) => String::new(),
        ("minions", _) => "nodes".to_owned(),
        ("controllers", _) => "replicationcontrollers".to_owned(),
        ("services", "endpoints") => "endpoints".to_owned(),
        ("services", _) => "services".to_owned(),
        ("ingress", _) => "ingresses.networking.k8s.io".to_owned(),
        (group, resource) if group.contains('.') && !resource.is_empty() => join(resource, group),
        (resource, _) => {
            let group = KEY_GROUPS
                .iter()
                .find(|(known, _)| *known == resource)
                .map_or("", |(_, group)| group);
            join(resource, group)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_every_age() {
        for (text, expected) in [
            ("*core.Pod", "pods"),
            ("*core.PodList", "pods"),
            ("*core.Endpoints", "endpoints"),
            ("*core.ConfigMap", "configmaps"),
            ("*apps.Deployment", "deployments.apps"),
            ("*coordination.Lease", "leases.coordination.k8s.io"),
            (
                "*networking.NetworkPolicy",
                "networkpolicies.networking.k8s.io",
            ),
            ("*networking.Ingress", "ingresses.networking.k8s.io"),
            (
                "*scheduling.PriorityClass",
                "priorityclasses.scheduling.k8s.io",
            ),
            (
                "*discovery.EndpointSlice",
                "endpointslices.discovery.k8s.io",
            ),
            ("*unstructured.Unstructured", "custom-resources"),
            (
                "*apiextensions.CustomResourceDefinition",
                "customresourcedefinitions.apiextensions.k8s.io",
            ),
            ("*foo.Bar", "foo.Bar"),
            ("pods", "pods"),
            ("deployments.apps", "deployments.apps"),
            ("/registry/pods/", "pods"),
            ("/registry/minions", "nodes"),
            ("/registry/services/endpoints/x", "endpoints"),
            (
                "/registry/cluster.x-k8s.io/machines/",
                "machines.cluster.x-k8s.io",
            ),
            ("/deployments", "deployments.apps"),
            ("", ""),
        ] {
            assert_eq!(from_type(text), expected, "{text}");
        }
    }

    #[test]
    fn tables_are_sorted() {
        assert!(PACKAGES.is_sorted());
        assert!(KEY_GROUPS.is_sorted());
    }
}
