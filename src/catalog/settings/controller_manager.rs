//! kube-controller-manager 1.19 to 1.37.
//!
//! Defaults are those a v1.36.2 prints at start-up (`FLAG: --…`); what moved or went away is said
//! in the row. A row marked `seen` claims nothing about versions before 1.36.

use super::Kind::{Bool, Duration, Float, Gates, Int, List, Text};
use super::{Component, Kind, Setting};
use crate::catalog::releases::Version;

const SOURCE: &str =
    "FLAG lines of kube-controller-manager v1.36.2; kubernetes CHANGELOG 1.19 to 1.36";

const V1_36: Version = Version::minor(1, 36);

const fn s(name: &'static str, kind: Kind) -> Setting {
    Setting::new(Component::ControllerManager, name, kind, SOURCE)
}

pub(super) const TABLE: &[Setting] = &[
    s("add-dir-header", Bool).default("false").removed(1, 26),
    s("address", Text).default("0.0.0.0").removed(1, 24),
    s("allocate-node-cidrs", Bool).default("false"),
    s("allow-metric-labels", List).seen(V1_36),
    s("allow-metric-labels-manifest", Text).seen(V1_36),
    s("allow-untagged-cloud", Bool).default("false").seen(V1_36),
    s("alsologtostderr", Bool).default("false").removed(1, 26),
    s("attach-detach-reconcile-sync-period", Duration).default("1m0s"),
    s("authentication-kubeconfig", Text),
    s("authentication-skip-lookup", Bool).default("false"),
    s("authentication-token-webhook-cache-ttl", Duration).default("10s"),
    s("authentication-tolerate-lookup-failure", Bool).default("false"),
    s("authorization-always-allow-paths", List),
    s("authorization-kubeconfig", Text),
    s("authorization-webhook-cache-authorized-ttl", Duration).default("10s"),
    s("authorization-webhook-cache-unauthorized-ttl", Duration).default("10s"),
    s("bind-address", Text).default("0.0.0.0"),
    s("cert-dir", Text),
    s("cidr-allocator-type", Text).default("RangeAllocator"),
    s("client-ca-file", Text),
    s("cloud-config", Text),
    s("cloud-provider", Text),
    s("cluster-cidr", Text),
    s("cluster-name", Text).default("kubernetes"),
    s("cluster-signing-cert-file", Text),
    s("cluster-signing-duration", Duration).default("8760h0m0s"),
    s("cluster-signing-key-file", Text),
    s("cluster-signing-kube-apiserver-client-cert-file", Text).seen(V1_36),
    s("cluster-signing-kube-apiserver-client-key-file", Text).seen(V1_36),
    s("cluster-signing-kubelet-client-cert-file", Text).seen(V1_36),
    s("cluster-signing-kubelet-client-key-file", Text).seen(V1_36),
    s("cluster-signing-kubelet-serving-cert-file", Text).seen(V1_36),
    s("cluster-signing-kubelet-serving-key-file", Text).seen(V1_36),
    s("cluster-signing-legacy-unknown-cert-file", Text).seen(V1_36),
    s("cluster-signing-legacy-unknown-key-file", Text).seen(V1_36),
    s("concurrent-cron-job-syncs", Int)
        .default("5")
        .since(1, 28),
    // kubernetes #128444.
    s("concurrent-daemonset-syncs", Int)
        .default("2")
        .since(1, 32),
    s("concurrent-deployment-syncs", Int).default("5"),
    s("concurrent-device-taint-eviction-syncs", Int)
        .default("8")
        .since(1, 35),
    s("concurrent-endpoint-syncs", Int).default("5"),
    s("concurrent-ephemeralvolume-syncs", Int)
        .default("5")
        .seen(V1_36),
    s("concurrent-gc-syncs", Int).default("20"),
    // kubernetes #108501.
    s("concurrent-horizontal-pod-autoscaler-syncs", Int)
        .default("5")
        .since(1, 26),
    s("concurrent-job-syncs", Int).default("5").since(1, 28),
    s("concurrent-namespace-syncs", Int).default("10"),
    s("concurrent-rc-syncs", Int).default("5"),
    s("concurrent-replicaset-syncs", Int).default("5"),
    s("concurrent-resource-quota-syncs", Int).default("5"),
    s("concurrent-resourceclaim-syncs", Int)
        .default("50")
        .since(1, 36),
    s("concurrent-service-endpoint-syncs", Int).default("5"),
    s("concurrent-service-syncs", Int).default("1"),
    s("concurrent-serviceaccount-token-syncs", Int).default("5"),
    s("concurrent-statefulset-syncs", Int).default("5"),
    s("concurrent-ttl-after-finished-syncs", Int).default("5"),
    s("concurrent-validating-admission-policy-status-syncs", Int)
        .default("5")
        .seen(V1_36),
    s("configure-cloud-routes", Bool).default("true"),
    s("contention-profiling", Bool).default("false"),
    s("controller-shutdown-timeout", Duration)
        .default("10s")
        .seen(V1_36),
    s("controller-start-interval", Duration).default("0s"),
    s("controllers", List).default("*"),
    s("deployment-controller-sync-period", Duration)
        .default("30s")
        .removed(1, 24),
    s("disable-attach-detach-reconcile-sync", Bool).default("false"),
    s("disable-force-detach-on-timeout", Bool)
        .default("false")
        .seen(V1_36),
    s("disable-http2-serving", Bool)
        .default("false")
        .seen(V1_36),
    s("disabled-metrics", List).seen(V1_36),
    s("emulated-version", List).seen(V1_36),
    s("enable-dynamic-provisioning", Bool).default("true"),
    s("enable-garbage-collector", Bool).default("true"),
    s("enable-hostpath-provisioner", Bool).default("false"),
    s("enable-leader-migration", Bool)
        .default("false")
        .seen(V1_36),
    s("enable-taint-manager", Bool)
        .default("true")
        .removed(1, 27),
    s("endpoint-updates-batch-period", Duration).default("0s"),
    s("endpointslice-updates-batch-period", Duration).default("0s"),
    s("external-cloud-volume-plugin", Text),
    s("feature-gates", Gates),
    s("flex-volume-plugin-dir", Text)
        .default("/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"),
    s(
        "horizontal-pod-autoscaler-cpu-initialization-period",
        Duration,
    )
    .default("5m0s"),
    s(
        "horizontal-pod-autoscaler-downscale-stabilization",
        Duration,
    )
    .default("5m0s"),
    s(
        "horizontal-pod-autoscaler-initial-readiness-delay",
        Duration,
    )
    .default("30s"),
    s("horizontal-pod-autoscaler-sync-period", Duration).default("15s"),
    s("horizontal-pod-autoscaler-tolerance", Float).default("0.1"),
    s("http2-max-streams-per-connection", Int)
        .default("0")
        .seen(V1_36),
    s("kube-api-burst", Int).default("30"),
    s("kube-api-content-type", Text).default("application/vnd.kubernetes.protobuf"),
    s("kube-api-qps", Float).default("20"),
    s("kubeconfig", Text),
    s("large-cluster-size-threshold", Int).default("50"),
    s("leader-elect", Bool).default("true"),
    s("leader-elect-lease-duration", Duration).default("15s"),
    s("leader-elect-renew-deadline", Duration).default("10s"),
    s("leader-elect-resource-lock", Text).default("leases"),
    s("leader-elect-resource-name", Text).default("kube-controller-manager"),
    s("leader-elect-resource-namespace", Text).default("kube-system"),
    s("leader-elect-retry-period", Duration).default("2s"),
    s("leader-migration-config", Text).seen(V1_36),
    s("legacy-service-account-token-clean-up-period", Duration)
        .default("8760h0m0s")
        .seen(V1_36),
    s("log-backtrace-at", Text).removed(1, 26),
    s("log-dir", Text).removed(1, 26),
    s("log-file", Text).removed(1, 26),
    s("log-file-max-size", Int).default("1800").removed(1, 26),
    s("log-flush-frequency", Duration).default("5s"),
    s("log-json-info-buffer-size", Int).default("0").seen(V1_36),
    s("log-json-split-stream", Bool)
        .default("false")
        .seen(V1_36),
    s("log-text-info-buffer-size", Int).default("0").seen(V1_36),
    s("log-text-split-stream", Bool)
        .default("false")
        .seen(V1_36),
    s("logging-format", Text).default("text"),
    s("logtostderr", Bool).default("true").removed(1, 26),
    s("master", Text),
    s("max-endpoints-per-slice", Int).default("100"),
    s("min-compatibility-version", List).seen(V1_36),
    s("min-resync-period", Duration).default("12h0m0s"),
    s("mirroring-concurrent-service-endpoint-syncs", Int).default("5"),
    s("mirroring-endpointslice-updates-batch-period", Duration).default("0s"),
    s("mirroring-max-endpoints-per-subset", Int).default("1000"),
    s("namespace-sync-period", Duration).default("5m0s"),
    s("node-cidr-mask-size", Int).default("0"),
    s("node-cidr-mask-size-ipv4", Int).default("0").seen(V1_36),
    s("node-cidr-mask-size-ipv6", Int).default("0").seen(V1_36),
    s("node-eviction-rate", Float).default("0.1"),
    s("node-monitor-grace-period", Duration)
        .default("40s")
        .later(&[(Version::minor(1, 32), "50s")]),
    s("node-monitor-period", Duration).default("5s"),
    s("node-startup-grace-period", Duration).default("1m0s"),
    s("node-sync-period", Duration).default("0s").seen(V1_36),
    s("one-output", Bool).default("false").removed(1, 26),
    s("permit-address-sharing", Bool)
        .default("false")
        .seen(V1_36),
    s("permit-port-sharing", Bool).default("false"),
    s("pod-eviction-timeout", Duration)
        .default("5m0s")
        .removed(1, 27),
    s("port", Int).default("0").removed(1, 24),
    s("profiling", Bool).default("true"),
    s("pv-recycler-increment-timeout-nfs", Int)
        .default("30")
        .seen(V1_36),
    s("pv-recycler-minimum-timeout-hostpath", Int)
        .default("60")
        .seen(V1_36),
    s("pv-recycler-minimum-timeout-nfs", Int)
        .default("300")
        .seen(V1_36),
    s("pv-recycler-pod-template-filepath-hostpath", Text).seen(V1_36),
    s("pv-recycler-pod-template-filepath-nfs", Text).seen(V1_36),
    s("pv-recycler-timeout-increment-hostpath", Int)
        .default("30")
        .seen(V1_36),
    s("pvclaimbinder-sync-period", Duration).default("15s"),
    s("requestheader-allowed-names", List),
    s("requestheader-client-ca-file", Text),
    s("requestheader-extra-headers-prefix", List).default("x-remote-extra-"),
    s("requestheader-group-headers", List).default("x-remote-group"),
    s("requestheader-uid-headers", List).seen(V1_36),
    s("requestheader-username-headers", List).default("x-remote-user"),
    s("resource-quota-sync-period", Duration).default("5m0s"),
    s("root-ca-file", Text),
    s("route-reconciliation-period", Duration).default("10s"),
    s("secondary-node-eviction-rate", Float).default("0.01"),
    s("secure-port", Int).default("10257"),
    s("service-account-private-key-file", Text),
    s("service-cluster-ip-range", Text),
    s("show-hidden-metrics-for-version", Text),
    s("skip-headers", Bool).default("false").removed(1, 26),
    s("skip-log-headers", Bool).default("false").removed(1, 26),
    s("stderrthreshold", Text).default("2").removed(1, 26),
    s("terminated-pod-gc-threshold", Int).default("12500"),
    s("tls-cert-file", Text),
    s("tls-cipher-suites", List),
    s("tls-curve-preferences", List).seen(V1_36),
    s("tls-min-version", Text),
    s("tls-private-key-file", Text),
    s("tls-sni-cert-key", List),
    s("unhealthy-zone-threshold", Float).default("0.55"),
    s("use-service-account-credentials", Bool).default("false"),
    s("v", Int).default("0"),
    s("vmodule", Text),
];
