//! What the names of a pod and its container say: who writes there, on which node, and which etcd of
//! several it is.

use crate::catalog::controllers::{has_generated_end, is_generated};
use crate::logs::event::Component;
use crate::logs::writer::{EVENTS, is_events_name};

use super::program::{component, is_controller};

/// kOps' program that starts etcd; its pods' names say which etcd: `etcd-manager-main-NODE`.
const ETCD_MANAGER: &str = "etcd-manager";

/// Who writes in a pod's container, and the node that a static pod's name says.
pub(in crate::logs) fn of_container(pod: &str, container: &str) -> (Component, Option<String>) {
    (component_of(pod, container), static_node(pod, container))
}

/// Who writes in a pod's container. A program called `etcd-druid` runs in a pod of a Deployment of that
/// name: only saved logs are called `etcd-NODE`.
pub(super) fn component_of(pod: &str, container: &str) -> Component {
    let generated = || end_of(pod, container).is_some_and(is_generated);
    match component(container, pod) {
        Component::Etcd if container.starts_with("etcd-") && !is_etcd(container) && generated() => {
            match is_controller(container) {
                true => Component::Controller,
                false => Component::Unknown,
            }
        }
        known => known,
    }
}

/// Whether a container is called as those in which an etcd runs are.
fn is_etcd(container: &str) -> bool {
    matches!(
        container,
        "etcd-main" | "etcd-server" | "etcd-container" | EVENTS | ETCD_MANAGER
    )
}

/// Whether a pod's container is the etcd that keeps only events.
pub(in crate::logs) fn is_events(pod: &str, container: &str) -> bool {
    match container {
        // `etcd-events` alone is the etcd of a node called `events`.
        "etcd" => pod.starts_with("etcd-events-"),
        ETCD_MANAGER => pod.starts_with("etcd-manager-events-"),
        _ => is_events_name(container),
    }
}

/// The node of one of the control plane's static pods.
pub(super) fn static_node(pod: &str, container: &str) -> Option<String> {
    node_of(pod, container).filter(|_| is_static(container))
}

/// The node in a static pod's name: `etcd-cp0` with its container `etcd`. What a Deployment or a
/// StatefulSet made up is none.
pub(super) fn node_of(pod: &str, container: &str) -> Option<String> {
    let end = end_of(pod, container)?;
    let node = match container {
        ETCD_MANAGER => {
            let main = end.strip_prefix("main-");
            main.or_else(|| end.strip_prefix("events-")).unwrap_or(end)
        }
        "etcd" => end.strip_prefix("events-").unwrap_or(end),
        _ => end,
    };
    let made_up = match is_static(container) {
        true => is_generated(node),
        // A container may have the first word of its Deployment's name.
        false => is_generated(node) || has_generated_end(node) || container.ends_with("-operator"),
    };
    (!node.is_empty() && !made_up).then(|| node.to_owned())
}

/// What a pod's name has behind its container's.
fn end_of<'p>(pod: &'p str, container: &str) -> Option<&'p str> {
    pod.strip_prefix(container)?.strip_prefix('-')
}

fn is_static(container: &str) -> bool {
    matches!(
        container,
        "etcd"
            | EVENTS
            | ETCD_MANAGER
            | "kube-apiserver"
            | "kube-controller-manager"
            | "kube-scheduler"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_static_pods_name_their_node() {
        for (pod, container, node) in [
            ("etcd-cp0", "etcd", Some("cp0")),
            ("etcd-events-cp0", "etcd-events", Some("cp0")),
            ("etcd-events-cp0", "etcd", Some("cp0")),
            ("etcd-manager-main-cp0", "etcd-manager", Some("cp0")),
            ("etcd-manager-events-cp0", "etcd-manager", Some("cp0")),
            (
                "kube-apiserver-k8s-cp-0",
                "kube-apiserver",
                Some("k8s-cp-0"),
            ),
            (
                "kube-apiserver-ip-10-0-1-5.eu-west-1.compute.internal",
                "kube-apiserver",
                Some("ip-10-0-1-5.eu-west-1.compute.internal"),
            ),
            // A StatefulSet's, Deployments', and a Job's.
            ("etcd-0", "etcd", None),
            ("kube-apiserver-6d5f5f5f-abcde", "kube-apiserver", None),
            ("kube-apiserver-7d4b9c6f5d-x2x9z", "kube-apiserver", None),
            ("etcd-operator-7f9b8c-xyz12", "etcd-operator", None),
            ("etcd-operator-x", "etcd-operator", None),
            ("kyverno-admission-6d5f5f5f-abcde", "kyverno", None),
            ("haproxy-cp0", "haproxy", Some("cp0")),
            ("etcd-28391040-x2x9z", "etcd", None),
        ] {
            assert_eq!(node_of(pod, container).as_deref(), node, "{pod}");
        }
        assert_eq!(static_node("cilium-operator-cp0", "cilium"), None);
    }

    #[test]
    fn an_operator_of_etcd_is_no_etcd() {
        for (pod, container, wanted) in [
            (
                "etcd-druid-6d5f5f5f-abcde",
                "etcd-druid",
                Component::Unknown,
            ),
            (
                "etcd-operator-7d4b9c6f5d-x2x9z",
                "etcd-operator",
                Component::Controller,
            ),
            ("etcd-cp0", "etcd", Component::Etcd),
            ("etcd-events-cp0", "etcd-events", Component::Etcd),
            ("etcd-main-0", "etcd-main", Component::Etcd),
        ] {
            assert_eq!(component_of(pod, container), wanted, "{container}");
        }
    }

    #[test]
    fn the_etcd_for_events_is_known_by_its_names() {
        for (pod, container, wanted) in [
            ("etcd-events-cp0", "etcd-events", true),
            ("etcd-events-cp0", "etcd", true),
            ("etcd-manager-events-cp0", "etcd-manager", true),
            ("etcd-manager-main-cp0", "etcd-manager", false),
            ("etcd-cp0", "etcd", false),
            ("etcd-events", "etcd", false),
            ("etcd-cp0-events", "etcd", false),
            ("etcd-eventsource-0", "etcd", false),
        ] {
            assert_eq!(is_events(pod, container), wanted, "{pod}");
        }
    }
}
