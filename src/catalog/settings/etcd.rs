//! etcd 3.3 to 3.7.

use super::Kind::{Bool, Bytes, Duration, Gates, Int, List, Millis, Secs, Text};
use super::{Component, Former, Kind, RemovedValue, Setting, Since};
use crate::catalog::releases::Version;

/// `etcd --help` of 3.4.23 and 3.5.1, and server/embed/config.go of 3.5 to 3.7.
const HELP: &str = "etcd --help 3.4.23 and 3.5.1; etcd server/embed/config.go 3.5 to 3.7";
/// The renames of 3.6 and the removals of 3.7.
const RENAMED: &str = "etcd server/embed/config.go v3.5, v3.6.0, v3.7.0";

const V3_4: Version = Version::minor(3, 4);
const V3_5: Version = Version::minor(3, 5);
/// Late enough for every flag that the patch releases of 3.5 brought.
const V3_5_LATE: Version = Version::new(3, 5, 21);
const V3_6: Version = Version::minor(3, 6);
const V3_7: Version = Version::minor(3, 7);

/// A flag whose key in etcd.conf.yml is the flag's own name.
const fn s(name: &'static str, kind: Kind) -> Setting {
    Setting::new(Component::Etcd, name, kind, HELP).file(name)
}

/// A flag that was `--experimental-…` before 3.6 and lost that alias in 3.7.
const fn renamed(name: &'static str, kind: Kind, former: &'static [Former]) -> Setting {
    Setting::new(Component::Etcd, name, kind, RENAMED)
        .file(name)
        .since(3, 6)
        .former(former)
}

/// A feature gate of 3.6 that was an `--experimental-…` flag, an alias until 3.7.
const fn gate(name: &'static str, former: &'static [Former]) -> Setting {
    Setting::new(Component::Etcd, name, Bool, RENAMED)
        .since(3, 6)
        .former(former)
        .gate()
}

/// The old name, and the version that brought it.
const fn old(name: &'static str, since: Version) -> Former {
    Former {
        name,
        since: Since::At(since),
        removed: Some(V3_7),
    }
}

/// An old name that came during the patch releases of 3.5: 3.5.1 refuses it, 3.6.0 has it.
const fn seen35(name: &'static str) -> Former {
    Former {
        name,
        since: Since::SeenIn(V3_5_LATE),
        removed: Some(V3_7),
    }
}

const fn ever(name: &'static str) -> Former {
    Former {
        name,
        since: Since::Always,
        removed: Some(V3_7),
    }
}

pub(super) const TABLE: &[Setting] = &[
    s("advertise-client-urls", List).default("http://localhost:2379"),
    s("auth-token", Text).default("simple"),
    // CHANGELOG-3.3 and CHANGELOG-3.4: these came with patch releases.
    s("auth-token-ttl", Secs)
        .default("300")
        .backported(&[Version::new(3, 3, 23), Version::new(3, 4, 10)]),
    s("auto-compaction-mode", Text).default("periodic"),
    s("auto-compaction-retention", Text).default("0"),
    s("auto-tls", Bool).default("false").file("client-transport-security.auto-tls"),
    s("backend-batch-interval", Duration).default("100ms").since(3, 4),
    s("backend-batch-limit", Int).default("10000").since(3, 4),
    s("backend-bbolt-freelist-type", Text)
        .default("map")
        .later(&[(V3_4, "array"), (V3_5, "map")])
        .since(3, 5)
        .former(&[Former {
            name: "experimental-backend-bbolt-freelist-type",
            since: Since::At(V3_4),
            removed: Some(V3_5),
        }]),
    s("bcrypt-cost", Int).default("10").since(3, 4),
    renamed(
        "bootstrap-defrag-threshold-megabytes",
        Int,
        &[old("experimental-bootstrap-defrag-threshold-megabytes", V3_5)],
    )
    .default("0"),
    s("cert-file", Text).file("client-transport-security.cert-file"),
    s("cipher-suites", List),
    s("client-cert-allowed-hostname", Text)
        .since(3, 4)
        .file("client-transport-security.allowed-hostname"),
    s("client-cert-auth", Bool)
        .default("false")
        .file("client-transport-security.client-cert-auth"),
    s("client-cert-file", Text).since(3, 5).file("client-transport-security.client-cert-file"),
    s("client-crl-file", Text),
    s("client-key-file", Text).since(3, 5).file("client-transport-security.client-key-file"),
    renamed(
        "compact-hash-check-time",
        Duration,
        &[old("experimental-compact-hash-check-time", Version::new(3, 5, 5))],
    )
    .default("1m0s"),
    renamed(
        "compaction-batch-limit",
        Int,
        &[old("experimental-compaction-batch-limit", V3_4)],
    )
    .default("1000"),
    renamed(
        "compaction-sleep-interval",
        Duration,
        &[seen35("experimental-compaction-sleep-interval")],
    )
    .default("10ms"),
    s("config-file", Text),
    renamed(
        "corrupt-check-time",
        Duration,
        &[ever("experimental-corrupt-check-time")],
    )
    .default("0s"),
    s("cors", List).default("*"),
    s("data-dir", Text).default("${name}.etcd"),
    s("debug", Bool).default("false").removed(3, 5),
    s("disable-log-sampling", Bool).default("false").seen(Version::minor(3, 8)),
    s("discovery", Text).removed(3, 7),
    s("discovery-cacert", Text).since(3, 6),
    s("discovery-cert", Text).since(3, 6),
    s("discovery-dial-timeout", Duration).default("2s").since(3, 6),
    s("discovery-endpoints", List).since(3, 6),
    // server/etcdmain/config.go, validate: refused since the v2 proxy is gone.
    s("discovery-fallback", Text)
        .default("proxy")
        .refuses(&[RemovedValue { value: "proxy", removed: V3_6, in_file: false }])
        .removed(3, 7),
    s("discovery-insecure-skip-tls-verify", Bool).default("false").since(3, 6),
    s("discovery-insecure-transport", Bool).default("true").since(3, 6),
    s("discovery-keepalive-time", Duration).default("2s").since(3, 6),
    s("discovery-keepalive-timeout", Duration).default("6s").since(3, 6),
    s("discovery-key", Text).since(3, 6),
    s("discovery-password", Text).since(3, 6),
    s("discovery-proxy", Text).removed(3, 7),
    s("discovery-request-timeout", Duration).default("5s").since(3, 6),
    s("discovery-srv", Text),
    s("discovery-srv-name", Text).since(3, 4),
    s("discovery-token", Text).since(3, 6),
    s("discovery-user", Text).since(3, 6),
    renamed(
        "distributed-tracing-address",
        Text,
        &[old("experimental-distributed-tracing-address", V3_5)],
    )
    .default("localhost:4317"),
    renamed(
        "distributed-tracing-instance-id",
        Text,
        &[old("experimental-distributed-tracing-instance-id", V3_5)],
    ),
    renamed(
        "distributed-tracing-sampling-rate",
        Int,
        &[old(
            "experimental-distributed-tracing-sampling-rate",
            Version::new(3, 5, 11),
        )],
    )
    .default("0"),
    renamed(
        "distributed-tracing-service-name",
        Text,
        &[old("experimental-distributed-tracing-service-name", V3_5)],
    )
    .default("etcd"),
    renamed(
        "downgrade-check-time",
        Duration,
        &[old("experimental-downgrade-check-time", V3_5)],
    )
    .default("5s"),
    s("election-timeout", Millis).default("1000"),
    renamed(
        "enable-distributed-tracing",
        Bool,
        &[old("experimental-enable-distributed-tracing", V3_5)],
    )
    .default("false"),
    s("enable-grpc-gateway", Bool).default("true").since(3, 4),
    s("enable-log-rotation", Bool).default("false").since(3, 5),
    s("enable-pprof", Bool).default("false"),
    s("enable-v2", Bool).default("true").later(&[(V3_4, "false")]).removed(3, 6),
    s("experimental-enable-v2v3", Text).removed(3, 6),
    s("feature-gates", Gates).since(3, 6),
    gate(
        "feature-gates.CompactHashCheck",
        &[old("experimental-compact-hash-check-enabled", Version::new(3, 5, 5))],
    )
    .default("false"),
    gate(
        "feature-gates.InitialCorruptCheck",
        &[ever("experimental-initial-corrupt-check")],
    )
    .default("false"),
    gate(
        "feature-gates.LeaseCheckpoint",
        &[old("experimental-enable-lease-checkpoint", V3_4)],
    )
    .default("false"),
    gate(
        "feature-gates.LeaseCheckpointPersist",
        &[Former {
            name: "experimental-enable-lease-checkpoint-persist",
            since: Since::Backported(&[Version::new(3, 4, 20), Version::new(3, 5, 2)]),
            removed: Some(V3_7),
        }],
    )
    .default("false"),
    gate(
        "feature-gates.StopGRPCServiceOnDefrag",
        &[seen35("experimental-stop-grpc-service-on-defrag")],
    )
    .default("false"),
    gate(
        "feature-gates.TxnModeWriteWithSharedBuffer",
        &[old("experimental-txn-mode-write-with-shared-buffer", V3_5)],
    )
    .default("true"),
    s("force-new-cluster", Bool).default("false"),
    s("grpc-keepalive-interval", Duration).default("2h0m0s"),
    s("grpc-keepalive-min-time", Duration).default("5s"),
    s("grpc-keepalive-timeout", Duration).default("20s"),
    s("heartbeat-interval", Millis).default("100"),
    s("host-whitelist", List).default("*"),
    s("initial-advertise-peer-urls", List).default("http://localhost:2380"),
    s("initial-cluster", Text),
    s("initial-cluster-state", Text).default("new"),
    s("initial-cluster-token", Text).default("etcd-cluster"),
    s("initial-election-tick-advance", Bool).default("true"),
    s("key-file", Text).file("client-transport-security.key-file"),
    s("listen-client-http-urls", List).backported(&[Version::new(3, 4, 25), Version::new(3, 5, 8)]),
    s("listen-client-urls", List).default("http://localhost:2379"),
    s("listen-metrics-urls", List),
    s("listen-peer-urls", List).default("http://localhost:2380"),
    s("log-format", Text).default("json").seen(V3_6),
    s("log-level", Text).default("info").since(3, 4),
    s("log-outputs", List).default("default").since(3, 4).former(&[Former {
        name: "log-output",
        since: Since::Always,
        removed: Some(V3_5),
    }]),
    s("log-package-levels", Text).removed(3, 5),
    s("log-rotation-config-json", Text)
        .default("{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}")
        .since(3, 5),
    // server/embed/config_logging.go: "--logger=capnslog is removed in v3.5".
    s("logger", Text)
        .default("capnslog")
        .later(&[(V3_5, "zap")])
        .refuses(&[RemovedValue { value: "capnslog", removed: V3_5, in_file: true }])
        .since(3, 4),
    s("max-concurrent-streams", Int).default("4294967295").backported(&[Version::new(3, 4, 20), Version::new(3, 5, 5)]),
    renamed("max-learners", Int, &[seen35("experimental-max-learners")]).default("1"),
    s("max-request-bytes", Bytes).default("1572864"),
    s("max-snapshots", Int).default("5"),
    s("max-txn-ops", Int).default("128"),
    s("max-wals", Int).default("5"),
    renamed("memory-mlock", Bool, &[old("experimental-memory-mlock", V3_5)]).default("false"),
    s("metrics", Text).default("basic"),
    s("name", Text).default("default"),
    s("peer-auto-tls", Bool).default("false").file("peer-transport-security.auto-tls"),
    s("peer-cert-allowed-cn", List).file("peer-transport-security.allowed-cn"),
    s("peer-cert-allowed-hostname", List)
        .since(3, 4)
        .file("peer-transport-security.allowed-hostname"),
    s("peer-cert-file", Text).file("peer-transport-security.cert-file"),
    s("peer-client-cert-auth", Bool)
        .default("false")
        .file("peer-transport-security.client-cert-auth"),
    s("peer-client-cert-file", Text).since(3, 5).file("peer-transport-security.client-cert-file"),
    s("peer-client-key-file", Text).since(3, 5).file("peer-transport-security.client-key-file"),
    s("peer-crl-file", Text),
    s("peer-key-file", Text).file("peer-transport-security.key-file"),
    renamed(
        "peer-skip-client-san-verification",
        Bool,
        &[Former {
            name: "experimental-peer-skip-client-san-verification",
            since: Since::Backported(&[Version::new(3, 3, 16), V3_4]),
            removed: Some(V3_7),
        }],
    )
    .default("false"),
    s("peer-trusted-ca-file", Text).file("peer-transport-security.trusted-ca-file"),
    s("pre-vote", Bool).default("false").later(&[(V3_5, "true")]).since(3, 4),
    s("proxy", Text).default("off").removed(3, 6),
    s("proxy-dial-timeout", Millis).default("1000").removed(3, 6),
    s("proxy-failure-wait", Millis).default("5000").removed(3, 6),
    s("proxy-read-timeout", Millis).default("0").removed(3, 6),
    s("proxy-refresh-interval", Millis).default("30000").removed(3, 6),
    s("proxy-write-timeout", Millis).default("5000").removed(3, 6),
    s("quota-backend-bytes", Bytes).default("0"),
    s("raft-read-timeout", Duration).default("5s").since(3, 5),
    s("raft-write-timeout", Duration).default("5s").since(3, 5),
    s("self-signed-cert-validity", Int).default("1").since(3, 5),
    renamed(
        "snapshot-catchup-entries",
        Int,
        &[seen35("experimental-snapshot-catchup-entries")],
    )
    .default("5000"),
    s("snapshot-count", Int).default("100000").later(&[(V3_6, "10000")]),
    s("socket-reuse-address", Bool)
        .default("false")
        .since(3, 5)
        .file("socket-options.reuse-address"),
    s("socket-reuse-port", Bool)
        .default("false")
        .since(3, 5)
        .file("socket-options.reuse-port"),
    s("strict-reconfig-check", Bool).default("true"),
    s("tls-max-version", Text).backported(&[Version::new(3, 5, 8)]),
    s("tls-min-version", Text)
        .default("TLS1.2")
        .backported(&[Version::new(3, 5, 8)]),
    s("trusted-ca-file", Text).file("client-transport-security.trusted-ca-file"),
    s("unsafe-no-fsync", Bool).default("false").backported(&[Version::new(3, 4, 10)]),
    s("v2-deprecation", Text)
        .default("not-yet")
        .later(&[(V3_6, "write-only")])
        .refuses(&[RemovedValue { value: "not-yet", removed: V3_6, in_file: false }])
        .since(3, 5),
    s("wal-dir", Text),
    renamed(
        "warning-apply-duration",
        Duration,
        &[old("experimental-warning-apply-duration", Version::new(3, 4, 16))],
    )
    .default("100ms"),
    renamed(
        "warning-unary-request-duration",
        Duration,
        &[seen35("experimental-warning-unary-request-duration")],
    )
    .default("300ms"),
    renamed(
        "watch-progress-notify-interval",
        Duration,
        &[old(
            "experimental-watch-progress-notify-interval",
            Version::new(3, 4, 11),
        )],
    )
    .default("10m0s"),
];
