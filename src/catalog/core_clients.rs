//! Clients that are part of Kubernetes itself: their load follows from what others do.
//!
//! Add-ons live in `kube-system` as well (CNIs, autoscalers, metrics agents), so a namespace alone
//! clears nobody: accounts go by name.

/// The product of a user agent; the rest is platform and commit.
pub fn product(agent: &str) -> &str {
    agent.split(' ').next().unwrap_or_default()
}

/// Users of the components that every cluster has.
const USERS: &[&str] = &[
    "system:apiserver",
    "system:cloud-controller-manager",
    "system:kube-controller-manager",
    "system:kube-proxy",
    "system:kube-scheduler",
];

/// Beginnings of the components' user agents.
const AGENTS: &[&str] = &[
    "kube-apiserver/",
    "kube-controller-manager/",
    "kube-proxy/",
    "kube-scheduler/",
    "kubelet/",
];

/// Accounts in `kube-system`: those that kube-controller-manager uses for its loops with
/// `--use-service-account-credentials` (Kubernetes: rbac/bootstrappolicy/controller_policy.go and the
/// clients of cmd/kube-controller-manager), and kubeadm's of kube-proxy. Sorted.
const ACCOUNTS: &[&str] = &[
    "attachdetach-controller",
    "bootstrap-signer",
    "certificate-controller",
    "cloud-controller-manager",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "endpointslicemirroring-controller",
    "ephemeral-volume-controller",
    "expand-controller",
    "generic-garbage-collector",
    "horizontal-pod-autoscaler",
    "job-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher",
    "kube-proxy",
    "legacy-service-account-token-cleaner",
    "namespace-controller",
    "node-controller",
    "persistent-volume-binder",
    "pod-garbage-collector",
    "pv-protection-controller",
    "pvc-protection-controller",
    "replicaset-controller",
    "replication-controller",
    "resource-claim-controller",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "route-controller",
    "selinux-warning-controller",
    "service-account-controller",
    "service-cidrs-controller",
    "service-controller",
    "statefulset-controller",
    "storage-version-garbage-collector",
    "storage-version-migrator-controller",
    "token-cleaner",
    "ttl-after-finished-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

/// Whether a client is part of Kubernetes itself, by its user agent or its user.
pub fn is_core(agent: &str, user: &str) -> bool {
    let account = user.strip_prefix("system:serviceaccount:kube-system:");
    user.starts_with("system:node:")
        || USERS.contains(&user)
        || account.is_some_and(|account| ACCOUNTS.binary_search(&account).is_ok())
        || AGENTS.iter().any(|core| agent.starts_with(core))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_go_by_name_not_by_namespace() {
        assert!(ACCOUNTS.is_sorted() && USERS.is_sorted() && AGENTS.is_sorted());
        let of = |account: &str| {
            let user = format!("system:serviceaccount:kube-system:{account}");
            is_core("", &user)
        };
        assert!(of("generic-garbage-collector") && of("kube-proxy"));
        assert!(!of("cilium-operator") && !of("cluster-autoscaler"));
        assert!(!is_core(
            "",
            "system:serviceaccount:default:node-controller"
        ));
        assert!(is_core("kubelet/v1.34.2 (linux/amd64)", ""));
        assert!(is_core("", "system:node:cp0") && is_core("", "system:kube-scheduler"));
        // What people and installers use on k3s and OpenShift.
        assert!(!is_core("kubectl/v1.34.2", "system:admin"));
    }
}
