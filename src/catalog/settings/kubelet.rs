//! The kubelet 1.19 to 1.37: flags, and fields of KubeletConfiguration.

use super::Kind::{Bool, Duration, Float, Gates, Int, List, Secs, Text};
use super::{Component, Kind, Setting};
use crate::catalog::releases::Version;

const SOURCE: &str =
    "kubernetes/kubelet config/v1beta1/types.go by tag; kubernetes cmd/kubelet/app/server.go";

const V1_27: Version = Version::minor(1, 27);

const fn s(name: &'static str, kind: Kind) -> Setting {
    Setting::new(Component::Kubelet, name, kind, SOURCE)
}

pub(super) const TABLE: &[Setting] = &[
    s("anonymous-auth", Bool)
        .default("false")
        .file("authentication.anonymous.enabled"),
    s("authorization-mode", Text)
        .default("Webhook")
        .file("authorization.mode"),
    s("bootstrap-kubeconfig", Text),
    s("cgroup-driver", Text)
        .default("cgroupfs")
        .file("cgroupDriver"),
    s("client-ca-file", Text).file("authentication.x509.clientCAFile"),
    s("cluster-dns", List).file("clusterDNS"),
    s("cluster-domain", Text).file("clusterDomain"),
    s("config", Text),
    s("config-dir", Text).since(1, 28),
    s("container-log-max-files", Int)
        .default("5")
        .file("containerLogMaxFiles"),
    s("container-log-max-size", Text)
        .default("10Mi")
        .file("containerLogMaxSize"),
    s("container-runtime", Text)
        .default("docker")
        .later(&[(Version::minor(1, 24), "remote")])
        .removed(1, 27),
    s("container-runtime-endpoint", Text).file("containerRuntimeEndpoint"),
    s("cpu-manager-policy", Text)
        .default("none")
        .file("cpuManagerPolicy"),
    s("event-burst", Int)
        .default("10")
        .later(&[(V1_27, "100")])
        .file("eventBurst"),
    s("event-qps", Int)
        .default("5")
        .later(&[(V1_27, "50")])
        .file("eventRecordQPS"),
    s("feature-gates", Gates).file("featureGates"),
    s("file-check-frequency", Duration)
        .default("20s")
        .file("fileCheckFrequency"),
    s("hostname-override", Text),
    s("kube-api-burst", Int)
        .default("10")
        .later(&[(V1_27, "100")])
        .file("kubeAPIBurst"),
    s("kube-api-qps", Int)
        .default("5")
        .later(&[(V1_27, "50")])
        .file("kubeAPIQPS"),
    s("kubeconfig", Text),
    s("max-pods", Int).default("110").file("maxPods"),
    s("network-plugin", Text).removed(1, 24),
    s("node-ip", Text),
    s("node-labels", List),
    s("node-lease-duration-seconds", Secs)
        .default("40")
        .file("nodeLeaseDurationSeconds"),
    s("node-status-update-frequency", Duration)
        .default("10s")
        .file("nodeStatusUpdateFrequency"),
    s("nodeStatusReportFrequency", Duration)
        .default("5m0s")
        .file_only(),
    s("pod-infra-container-image", Text),
    s("pod-manifest-path", Text).file("staticPodPath"),
    s("protect-kernel-defaults", Bool)
        .default("false")
        .file("protectKernelDefaults"),
    s("read-only-port", Int).default("0").file("readOnlyPort"),
    s("registry-burst", Int).default("10").file("registryBurst"),
    s("registry-qps", Float)
        .default("5")
        .file("registryPullQPS"),
    s("rotate-certificates", Bool)
        .default("false")
        .file("rotateCertificates"),
    s("runtime-request-timeout", Duration)
        .default("2m0s")
        .file("runtimeRequestTimeout"),
    s("serialize-image-pulls", Bool)
        .default("true")
        .file("serializeImagePulls"),
    s("streaming-connection-idle-timeout", Duration)
        .default("4h0m0s")
        .file("streamingConnectionIdleTimeout"),
    s("sync-frequency", Duration)
        .default("1m0s")
        .file("syncFrequency"),
    s("v", Int).default("0"),
];
