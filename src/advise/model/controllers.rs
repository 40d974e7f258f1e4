//! Clients with a limit of their own: how each is named, where the limit is set, its default.

use crate::catalog::releases::Version;

/// Where a client's limit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Two flags.
    Flags {
        /// Requests per second.
        qps: &'static str,
        /// Burst.
        burst: &'static str,
    },
    /// `clientConnection` of KubeSchedulerConfiguration.
    SchedulerConfig,
    /// KubeletConfiguration.
    KubeletConfig,
    /// Environment variables.
    Env {
        /// Requests per second.
        qps: &'static str,
        /// Burst.
        burst: &'static str,
    },
}

/// One client that limits itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Controller {
    /// Names of its component, its Deployment or its image.
    pub(super) names: &'static [&'static str],
    /// Where its limit is set.
    pub(super) at: Where,
    /// QPS and burst when nothing is set; from a version on others.
    pub(super) default: (f64, f64),
    /// Defaults of later versions.
    pub(super) later: Option<(Version, (f64, f64))>,
    /// Whether the bucket is per controller loop, so that the number is no total.
    pub(super) per_loop: bool,
    /// Where these facts come from.
    pub(super) source: &'static str,
}

impl Controller {
    /// The default of a version, where it is the same for all or the version is known.
    pub(super) fn default_for(
        &self,
        oldest: Option<Version>,
        newest: Option<Version>,
    ) -> Option<(f64, f64)> {
        match (self.later, oldest, newest) {
            (None, _, _) => Some(self.default),
            (Some((from, later)), Some(oldest), _) if oldest >= from => Some(later),
            (Some((from, _)), _, Some(newest)) if newest < from => Some(self.default),
            _ => None,
        }
    }
}

const FLAGS: Where = Where::Flags {
    qps: "kube-api-qps",
    burst: "kube-api-burst",
};
const CAPI_1_13: Option<(Version, (f64, f64))> = Some((Version::minor(1, 13), (100.0, 200.0)));

/// The clients that are known.
const CONTROLLERS: &[Controller] = &[
    Controller {
        names: &["kube-controller-manager"],
        at: FLAGS,
        default: (20.0, 30.0),
        later: None,
        per_loop: true,
        source: "kube-controller-manager reference: 20/30, one bucket for each controller",
    },
    Controller {
        names: &["kube-scheduler"],
        at: Where::SchedulerConfig,
        default: (50.0, 100.0),
        later: None,
        per_loop: false,
        source: "kubernetes pkg/scheduler/apis/config/v1/defaults.go: 50/100",
    },
    Controller {
        names: &["kubelet"],
        at: Where::KubeletConfig,
        default: (5.0, 10.0),
        later: Some((Version::minor(1, 27), (50.0, 100.0))),
        per_loop: false,
        source: "kubelet config v1beta1: 5/10 up to 1.26, 50/100 from 1.27 on",
    },
    Controller {
        names: &[
            "capi-controller-manager",
            "capi-kubeadm-bootstrap-controller-manager",
            "capi-kubeadm-control-plane-controller-manager",
            "cluster-api-controller",
            "kubeadm-bootstrap-controller",
            "kubeadm-control-plane-controller",
        ],
        at: FLAGS,
        default: (20.0, 30.0),
        later: CAPI_1_13,
        per_loop: true,
        source: "cluster-api main.go: 20/30 up to 1.12, 100/200 from 1.13 on",
    },
    Controller {
        names: &[
            "capm3-controller-manager",
            "cluster-api-provider-metal3",
            "ipam-controller-manager",
            "ip-address-manager",
            "baremetal-operator-controller-manager",
            "baremetal-operator",
        ],
        at: FLAGS,
        default: (20.0, 30.0),
        later: None,
        per_loop: true,
        source: "metal3-io main.go: 20/30",
    },
    Controller {
        names: &["cert-manager", "cert-manager-controller"],
        at: FLAGS,
        default: (20.0, 50.0),
        later: None,
        per_loop: false,
        source: "cert-manager defaults.go: 20/50",
    },
    Controller {
        names: &[
            "kustomize-controller",
            "helm-controller",
            "source-controller",
            "notification-controller",
        ],
        at: FLAGS,
        default: (50.0, 300.0),
        later: None,
        per_loop: false,
        source: "fluxcd pkg/runtime/client: 50/300",
    },
    Controller {
        names: &["keda-operator", "keda"],
        at: FLAGS,
        default: (20.0, 30.0),
        later: None,
        per_loop: false,
        source: "keda cmd/operator/main.go: 20/30",
    },
    Controller {
        names: &["argocd-application-controller"],
        at: Where::Env {
            qps: "ARGOCD_K8S_CLIENT_QPS",
            burst: "ARGOCD_K8S_CLIENT_BURST",
        },
        default: (50.0, 100.0),
        later: None,
        per_loop: false,
        source: "Argo CD high availability docs: 50, burst twice that",
    },
    Controller {
        names: &["karpenter"],
        at: Where::Env {
            qps: "KUBE_CLIENT_QPS",
            burst: "KUBE_CLIENT_BURST",
        },
        default: (200.0, 300.0),
        later: None,
        per_loop: false,
        source: "karpenter pkg/operator/options: 200/300",
    },
    Controller {
        names: &["external-secrets"],
        at: Where::Flags {
            qps: "client-qps",
            burst: "client-burst",
        },
        default: (50.0, 100.0),
        later: None,
        per_loop: false,
        source: "external-secrets cmd/controller/root.go: 50/100",
    },
    Controller {
        names: &["cilium-agent", "cilium"],
        at: Where::Flags {
            qps: "k8s-client-qps",
            burst: "k8s-client-burst",
        },
        default: (10.0, 20.0),
        later: None,
        per_loop: false,
        source: "cilium Helm reference: 10/20 per node",
    },
    Controller {
        names: &["cilium-operator"],
        at: Where::Flags {
            qps: "k8s-client-qps",
            burst: "k8s-client-burst",
        },
        default: (100.0, 200.0),
        later: None,
        per_loop: false,
        source: "cilium Helm reference: 100/200",
    },
    Controller {
        names: &["istiod", "pilot", "discovery"],
        at: Where::Flags {
            qps: "kubernetesApiQPS",
            burst: "kubernetesApiBurst",
        },
        default: (80.0, 160.0),
        later: None,
        per_loop: false,
        source: "istio pilot-discovery reference: 80/160",
    },
];

/// The client of a component's name.
pub(super) fn controller(name: &str) -> Option<&'static Controller> {
    CONTROLLERS.iter().find(|c| c.names.contains(&name))
}

/// The work queues of kube-controller-manager and the flags that set how many keys of each are
/// worked on at once, with defaults and the Kubernetes minor version that brought the flag.
pub(super) const QUEUES: &[(&str, &str, u32, u16)] = &[
    ("cronjob", "concurrent-cron-job-syncs", 5, 28),
    ("daemonset", "concurrent-daemonset-syncs", 2, 0),
    ("deployment", "concurrent-deployment-syncs", 5, 0),
    ("endpoint", "concurrent-endpoint-syncs", 5, 0),
    ("endpoint_slice", "concurrent-service-endpoint-syncs", 5, 0),
    (
        "garbage_collector_attempt_to_delete",
        "concurrent-gc-syncs",
        20,
        0,
    ),
    (
        "horizontalpodautoscaler",
        "concurrent-horizontal-pod-autoscaler-syncs",
        5,
        26,
    ),
    ("job", "concurrent-job-syncs", 5, 28),
    ("namespace", "concurrent-namespace-syncs", 10, 0),
    ("replicaset", "concurrent-replicaset-syncs", 5, 0),
    ("replicationmanager", "concurrent-rc-syncs", 5, 0),
    (
        "resourcequota_primary",
        "concurrent-resource-quota-syncs",
        5,
        0,
    ),
    ("service", "concurrent-service-syncs", 1, 0),
    (
        "serviceaccount_tokens_secret",
        "concurrent-serviceaccount-token-syncs",
        5,
        0,
    ),
    ("statefulset", "concurrent-statefulset-syncs", 5, 0),
    (
        "ttl_jobs_to_delete",
        "concurrent-ttl-after-finished-syncs",
        5,
        0,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_order_and_names_are_unique() {
        assert!(QUEUES.is_sorted_by(|a, b| a.0 < b.0));
        let mut names: Vec<&str> = CONTROLLERS.iter().flat_map(|c| c.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn defaults_follow_the_version() {
        let capi = controller("capi-controller-manager").unwrap();
        let old = Some(Version::new(1, 7, 2));
        let new = Some(Version::new(1, 13, 0));
        assert_eq!(capi.default_for(old, old), Some((20.0, 30.0)));
        assert_eq!(capi.default_for(new, new), Some((100.0, 200.0)));
        assert_eq!(capi.default_for(None, None), None);
        assert_eq!(capi.default_for(old, new), None);
    }
}
