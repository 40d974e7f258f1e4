//! Which program writes into a file or container of some name.

use crate::logs::event::Component;

/// Who writes into a file or container of that name; `folder` is its pod or parent folder.
pub(super) fn component(name: &str, folder: &str) -> Component {
    let name = name.trim_end_matches(".txt").trim_end_matches(".log");
    let name = name.strip_suffix("_service").unwrap_or(name);
    let lower = name.to_ascii_lowercase();
    // `kube-system-etcd-cp0.log`: a saved log that is named after namespace and pod.
    let lower = lower
        .strip_prefix("kube-system")
        .and_then(|rest| rest.strip_prefix(['-', '_', '.']))
        .unwrap_or(&lower);
    let is = |known: &str| {
        lower == known
            || lower
                .strip_prefix(known)
                .is_some_and(|rest| rest.starts_with(['.', '_']))
    };
    if is("etcd") || is("etcd-events") || is("etcd-main") || is("etcd-manager") || is("etcd-server")
    {
        return Component::Etcd;
    }
    if lower.starts_with("etcd")
        && (folder.starts_with("etcd") || folder.contains("_etcd"))
        && lower == "etcd-container"
    {
        return Component::Etcd;
    }
    if is("kube-apiserver") || is("apiserver") || is("openshift-apiserver") || is("oauth-apiserver")
    {
        return Component::Apiserver;
    }
    if lower.contains("audit")
        && !lower.contains("auditd")
        && (folder != "audit" || lower != "audit")
    {
        return Component::Apiserver;
    }
    if lower.contains("audit") && folder == "audit" {
        // `/var/log/kubernetes/audit/audit.log`; the kernel's own `/var/log/audit/audit.log` has
        // no audit.k8s.io record in it and says so by itself.
        return Component::Apiserver;
    }
    if is("kube-controller-manager") {
        return Component::ControllerManager;
    }
    if is("kube-scheduler") {
        return Component::Scheduler;
    }
    if is("kubelet") {
        return Component::Kubelet;
    }
    if matches!(lower, "kern" | "kernel" | "dmesg") {
        return Component::Kernel;
    }
    // `kube-controller-manager-cp0.log`, as `kubectl logs POD` is saved. Before the words that make
    // a controller, since one of these names has two of them.
    for (prefix, component) in [
        ("kube-apiserver-", Component::Apiserver),
        ("kube-controller-manager-", Component::ControllerManager),
        ("kube-scheduler-", Component::Scheduler),
        // kops starts etcd inside its manager.
        ("etcd-manager-", Component::Etcd),
        ("etcd-", Component::Etcd),
    ] {
        if let Some(rest) = lower.strip_prefix(prefix)
            && !is_helper(rest)
        {
            return component;
        }
    }
    match is_controller(lower) {
        true => Component::Controller,
        false => Component::Unknown,
    }
}

/// Who writes into a file of that name. That a word of it is a controller's tells less than what its
/// lines say: `kubectl_logs_kube-controller-manager-cp0` has two of them.
pub(super) fn of_file(name: &str, folder: &str) -> Component {
    match component(name, folder) {
        Component::Controller => Component::Unknown,
        known => known,
    }
}

/// Whether a container of that name is likely a controller: something that lists and watches.
pub(in crate::logs) fn is_controller(container: &str) -> bool {
    let words = [
        "manager",
        "operator",
        "controller",
        "provisioner",
        "autoscaler",
        "gateway",
        "webhook",
        "cainjector",
    ];
    words.iter().any(|word| container.contains(word))
}

/// Whether what follows a control-plane component's name makes it another program beside it, and
/// is not the name of a node.
fn is_helper(rest: &str) -> bool {
    const WORDS: [&str; 19] = [
        "autoscaler",
        "backup",
        "controller",
        "copy",
        "defrag",
        "druid",
        "endpoints",
        "ensure",
        "etcdctl",
        "healthcheck",
        "metrics",
        "monitor",
        "operator",
        "provisioner",
        "proxy",
        "readyz",
        "setup",
        "syncer",
        "webhook",
    ];
    rest.split(['-', '_', '.'])
        // `etcd-rev`: the word is too short to begin another one.
        .any(|part| part == "rev" || WORDS.iter().any(|word| part.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_logs_are_their_pods() {
        use Component::{Apiserver, Controller, ControllerManager, Etcd, Scheduler, Unknown};
        let cases = [
            ("kube-controller-manager-cp0.log", ControllerManager),
            (
                "kube-controller-manager-cp0-previous.log",
                ControllerManager,
            ),
            (
                "kube-controller-manager-k8s-manager-1.txt",
                ControllerManager,
            ),
            (
                "kube-controller-manager-0a1b2c3d4e5f.log",
                ControllerManager,
            ),
            (
                "kube-system-kube-controller-manager-cp0.log",
                ControllerManager,
            ),
            ("kube-system_kube-scheduler-cp0.txt", Scheduler),
            ("kube-scheduler-cp0-previous.log", Scheduler),
            ("kube-apiserver-review-1.log", Apiserver),
            ("etcd-cp0-previous.log", Etcd),
            ("etcd-manager-main-ip-10-0-0-1.log", Etcd),
            // Programs beside them.
            ("kube-controller-manager-operator.log", Controller),
            ("kube-controller-manager-recovery-controller", Controller),
            ("kube-controller-manager-cert-syncer", Controller),
            ("kube-apiserver-cert-syncer", Unknown),
            ("kube-apiserver-check-endpoints", Unknown),
            ("kube-apiserver-proxy", Unknown),
            ("etcd-operator-7c.log", Controller),
            ("etcd-metrics", Unknown),
            ("etcd-rev", Unknown),
            ("cloud-controller-manager-cp0.log", Controller),
        ];
        for (name, wanted) in cases {
            assert_eq!(component(name, "logs"), wanted, "{name}");
            let of_file = match wanted {
                Controller => Unknown,
                known => known,
            };
            assert_eq!(super::of_file(name, "logs"), of_file, "{name}");
        }
    }
}
