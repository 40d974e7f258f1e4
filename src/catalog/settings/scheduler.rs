//! kube-scheduler 1.19 to 1.37: flags, and fields of KubeSchedulerConfiguration.
//!
//! Defaults are those a v1.36.2 prints at start-up (`FLAG: --…`); what moved or went away is said
//! in the row. A row marked `seen` claims nothing about versions before 1.36.

use super::Kind::{Bool, Duration, Float, Gates, Int, List, Secs, Text};
use super::{Component, Kind, Setting};
use crate::catalog::releases::Version;

const SOURCE: &str = "FLAG lines of kube-scheduler v1.36.2; kubernetes CHANGELOG 1.19 to 1.36";

const V1_36: Version = Version::minor(1, 36);

const fn s(name: &'static str, kind: Kind) -> Setting {
    Setting::new(Component::Scheduler, name, kind, SOURCE)
}

pub(super) const TABLE: &[Setting] = &[
    s("add-dir-header", Bool).default("false").removed(1, 26),
    s("address", Text).default("0.0.0.0").removed(1, 24),
    s("allow-metric-labels", List).seen(V1_36),
    s("allow-metric-labels-manifest", Text).seen(V1_36),
    s("alsologtostderr", Bool).default("false").removed(1, 26),
    s("authentication-kubeconfig", Text),
    s("authentication-skip-lookup", Bool).default("false"),
    s("authentication-token-webhook-cache-ttl", Duration).default("10s"),
    s("authentication-tolerate-lookup-failure", Bool).default("true"),
    s("authorization-always-allow-paths", List),
    s("authorization-kubeconfig", Text),
    s("authorization-webhook-cache-authorized-ttl", Duration).default("10s"),
    s("authorization-webhook-cache-unauthorized-ttl", Duration).default("10s"),
    s("bind-address", Text).default("0.0.0.0"),
    s("cert-dir", Text),
    s("client-ca-file", Text),
    s("clientConnection.acceptContentTypes", Text).file_only(),
    s("config", Text),
    s("contention-profiling", Bool)
        .default("true")
        .file("enableContentionProfiling"),
    s("disable-http2-serving", Bool)
        .default("false")
        .seen(V1_36),
    s("disabled-metrics", List).seen(V1_36),
    s("emulated-version", List).seen(V1_36),
    s("feature-gates", Gates),
    s("http2-max-streams-per-connection", Int)
        .default("0")
        .seen(V1_36),
    s("kube-api-burst", Int)
        .default("100")
        .file("clientConnection.burst"),
    s("kube-api-content-type", Text)
        .default("application/vnd.kubernetes.protobuf")
        .file("clientConnection.contentType"),
    s("kube-api-qps", Float)
        .default("50")
        .file("clientConnection.qps"),
    s("kubeconfig", Text).file("clientConnection.kubeconfig"),
    s("leader-elect", Bool)
        .default("true")
        .file("leaderElection.leaderElect"),
    s("leader-elect-lease-duration", Duration)
        .default("15s")
        .file("leaderElection.leaseDuration"),
    s("leader-elect-renew-deadline", Duration)
        .default("10s")
        .file("leaderElection.renewDeadline"),
    s("leader-elect-resource-lock", Text)
        .default("leases")
        .file("leaderElection.resourceLock"),
    s("leader-elect-resource-name", Text)
        .default("kube-scheduler")
        .file("leaderElection.resourceName"),
    s("leader-elect-resource-namespace", Text)
        .default("kube-system")
        .file("leaderElection.resourceNamespace"),
    s("leader-elect-retry-period", Duration)
        .default("2s")
        .file("leaderElection.retryPeriod"),
    s("log-dir", Text).removed(1, 26),
    s("log-file", Text).removed(1, 26),
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
    s("min-compatibility-version", List).seen(V1_36),
    s("parallelism", Int).default("16").file_only(),
    s("percentageOfNodesToScore", Int).default("0").file_only(),
    s("permit-address-sharing", Bool)
        .default("false")
        .seen(V1_36),
    s("permit-port-sharing", Bool).default("false"),
    s("pod-max-in-unschedulable-pods-duration", Duration)
        .default("5m0s")
        .seen(V1_36),
    s("podInitialBackoffSeconds", Secs).default("1").file_only(),
    s("podMaxBackoffSeconds", Secs).default("10").file_only(),
    s("policy-config-file", Text).removed(1, 23),
    s("policy-configmap", Text).removed(1, 23),
    s("policy-configmap-namespace", Text)
        .default("kube-system")
        .removed(1, 23),
    s("port", Int).default("0").removed(1, 24),
    s("profiling", Bool).default("true").file("enableProfiling"),
    s("requestheader-allowed-names", List),
    s("requestheader-client-ca-file", Text),
    s("requestheader-extra-headers-prefix", List).default("x-remote-extra-"),
    s("requestheader-group-headers", List).default("x-remote-group"),
    s("requestheader-uid-headers", List).seen(V1_36),
    s("requestheader-username-headers", List).default("x-remote-user"),
    s("secure-port", Int).default("10259"),
    s("show-hidden-metrics-for-version", Text),
    s("tls-cert-file", Text),
    s("tls-cipher-suites", List),
    s("tls-curve-preferences", List).seen(V1_36),
    s("tls-min-version", Text),
    s("tls-private-key-file", Text),
    s("tls-sni-cert-key", List),
    s("use-legacy-policy-config", Bool)
        .default("false")
        .removed(1, 23),
    s("v", Int).default("0"),
    s("vmodule", Text),
    s("write-config-to", Text),
];
