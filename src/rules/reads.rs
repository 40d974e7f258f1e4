//! What each rule reads and which limits it compares with, for `explain`. A test keeps it equal to
//! the rules' own sources.

/// What one rule reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// The rule's id.
    pub rule: &'static str,
    /// Names of the evidence keys, sorted.
    pub keys: &'static [&'static str],
    /// Names of the profile's limits, sorted.
    pub limits: &'static [&'static str],
}

const fn reads(
    rule: &'static str,
    keys: &'static [&'static str],
    limits: &'static [&'static str],
) -> Reads {
    Reads { rule, keys, limits }
}

/// Every rule, sorted by id.
pub const READS: &[Reads] = &[
    reads(
        "apf-queue-waits",
        &["apiserver.apf.levels"],
        &["apf-wait-p99"],
    ),
    reads(
        "apf-rejections",
        &[
            "apiserver.apf.levels",
            "apiserver.dropped",
            "apiserver.inflight",
            "apiserver.requests",
            "logs.audit.clients",
            "logs.episodes",
            "logs.events",
            "settings",
            "settings.faults",
        ],
        &["rejected-min", "rejected-share"],
    ),
    reads("api-slo-missed", &["slo"], &[]),
    reads(
        "apiserver-cpu-short",
        &[
            "cgroup.cpu.throttled",
            "host.settings",
            "process.cpu",
            "process.go",
            "process.run-delay",
            "process.run-wait",
            "process.run-wait-share",
            "process.sample-secs",
        ],
        &[
            "cgroup-throttled-periods",
            "process-cpu-share",
            "run-delay-least",
            "run-wait",
            "run-wait-share",
        ],
    ),
    reads(
        "apiserver-timeouts",
        &[
            "apiserver.apf.levels",
            "apiserver.requests",
            "apiserver.terminations",
            "logs.audit.clients",
            "logs.episodes",
            "logs.events",
        ],
        &["apiserver-timeouts", "failing-share", "terminated-share"],
    ),
    reads(
        "apiservice-unavailable",
        &["apiserver.apiservices", "logs.episodes", "logs.events"],
        &["apiservice-lines"],
    ),
    reads(
        "backend-commit-slow",
        &["server.backend.commit", "server.backend.commit-phases"],
        &[
            "backend-commit-p99",
            "p99-values",
            "slow-values",
            "wal-fsync-p99-critical",
        ],
    ),
    reads(
        "bench-disk-slow",
        &[
            "bench.disk.commit",
            "bench.disk.flush.time",
            "bench.disk.level",
            "bench.disk.wal.sync",
            "bench.disk.why",
        ],
        &["wal-fsync-p99"],
    ),
    reads(
        "bench-disk-unsafe",
        &["bench.disk.barrier", "bench.disk.ledger", "bench.disk.why"],
        &[],
    ),
    reads(
        "certificate-expiring",
        &["etcd.certificates"],
        &["certificate-days", "certificate-days-critical"],
    ),
    reads(
        "client-heavy-lists",
        &[
            "logs.audit.clients",
            "logs.client.seconds",
            "logs.episodes",
            "logs.traces",
        ],
        &[
            "etcd-request-fast",
            "heavy-list-rate",
            "heavy-list-traces",
            "list-busy",
        ],
    ),
    reads(
        "client-hot-loop",
        &[
            "apiserver.requests",
            "logs.audit.clients",
            "logs.audit.objects",
            "logs.audit.pace",
        ],
        &["gone-rate", "hot-loop-404-share", "hot-loop-rate"],
    ),
    reads(
        "client-qps-low",
        &[
            "logs.versions",
            "settings",
            "settings.faults",
            "version",
            "version.metrics",
        ],
        &[],
    ),
    reads(
        "client-throttled",
        &["client.limiter.wait", "logs.throttling"],
        &[
            "limiter-life",
            "limiter-wait-p99",
            "p99-values",
            "slow-values",
            "throttled-lines",
            "throttled-lines-start",
        ],
    ),
    reads(
        "clock-drift",
        &[
            "logs.clock.drift",
            "logs.episodes",
            "logs.events",
            "server.id",
        ],
        &["clock-drift"],
    ),
    reads(
        "compaction-doubled",
        &["settings", "settings.faults", "version", "version.metrics"],
        &[],
    ),
    reads("compaction-off", &["settings", "settings.faults"], &[]),
    reads(
        "compaction-saw-tooth",
        &["logs.compaction.took", "logs.slow.seconds"],
        &[
            "compaction-took",
            "slow-in-compactions",
            "slow-requests-min",
        ],
    ),
    reads(
        "component-restarting",
        &["logs.restarts", "process.restarts", "server.phases"],
        &["restarts"],
    ),
    reads("cpu-governor-slow", &["host.settings"], &[]),
    reads("cpu-pressure-high", &["pressure"], &["cpu-pressure"]),
    reads("cpu-steal-high", &["cpu.steal"], &["cpu-steal"]),
    reads(
        "data-corruption",
        &[
            "etcd.alarms",
            "etcd.hashes",
            "logs.alarms",
            "logs.episodes",
            "logs.events",
            "logs.lives",
            "server.alarms",
            "server.counters",
        ],
        &["data-corruption"],
    ),
    reads(
        "database-fragmented",
        &["server.db.in-use", "server.db.quota", "server.db.size"],
        &["fragmentation", "fragmentation-min-size", "quota-used-info"],
    ),
    reads(
        "database-growing-fast",
        &[
            "server.db.growth",
            "server.db.quota",
            "server.db.time-to-full",
        ],
        &["time-to-full", "time-to-full-critical"],
    ),
    reads(
        "datastore-slow",
        &["logs.episodes", "logs.events"],
        &["datastore-slow"],
    ),
    reads(
        "defragmentation-stalls",
        &["logs.episodes"],
        &["defragmentation-took", "slow-requests-min"],
    ),
    reads(
        "device-flush-slow",
        &["device.flush.time", "device.flushes", "mount.etcd"],
        &["device-flush"],
    ),
    reads(
        "device-write-slow",
        &[
            "device.above",
            "device.write.time",
            "device.writes",
            "logs.episodes",
            "logs.events",
            "mount.etcd",
            "server.backend.commit",
            "server.wal.fsync",
        ],
        &["backend-commit-p99", "device-write", "wal-fsync-p99"],
    ),
    reads(
        "disk-shared",
        &[
            "device.write.rate",
            "device.writers",
            "mount.etcd",
            "process.facts",
            "writers",
        ],
        &["disk-shared-rate"],
    ),
    reads(
        "disk-space-low",
        &[
            "fs.free",
            "fs.inodes-free",
            "fs.space",
            "logs.episodes",
            "logs.events",
            "server.db.size",
        ],
        &["free-inodes", "free-space-critical", "free-space-wal"],
    ),
    reads(
        "election-timeouts-unequal",
        &["settings", "settings.faults"],
        &["election-timeout", "heartbeat-interval"],
    ),
    reads(
        "etcd-cpu-throttled",
        &["cgroup.cpu.throttled", "process.sample-secs"],
        &["cgroup-throttled-periods"],
    ),
    reads(
        "etcd-io-limited",
        &["cgroup.io.limits", "server.wal.fsync"],
        &["p99-values", "slow-values", "wal-fsync-p99"],
    ),
    reads(
        "etcd-requests-slow",
        &[
            "apiserver.etcd.took",
            "apiserver.phases",
            "logs.apiserver.calls",
            "logs.episodes",
            "logs.events",
        ],
        &[
            "etcd-request-p50",
            "etcd-request-p99",
            "etcd-request-traces",
            "p99-values",
            "slow-values",
        ],
    ),
    reads(
        "event-ttl-long",
        &["settings", "settings.faults"],
        &["event-ttl"],
    ),
    reads(
        "events-dominate",
        &[
            "apiserver.etcd.requests",
            "logs.audit.clients",
            "logs.episodes",
            "logs.requests",
            "logs.slow.seconds",
            "settings",
            "settings.faults",
        ],
        &[
            "events-lines",
            "events-rate",
            "events-writes-share",
            "slow-apply-default",
        ],
    ),
    reads(
        "evidence-not-aligned",
        &["apiserver.etcd.took", "logs.lines", "server.wal.fsync"],
        &["evidence-overlap"],
    ),
    reads(
        "expensive-lists",
        &[
            "apiserver.etcd.requests",
            "apiserver.lists",
            "logs.episodes",
            "logs.readindex.bound",
            "logs.requests",
            "logs.slow.seconds",
            "process.cpu",
            "server.counters",
        ],
        &[
            "etcd-request-fast",
            "list-busy",
            "list-cpu",
            "list-items",
            "list-lines",
            "list-rate",
            "list-share",
            "list-size",
            "slow-apply-default",
        ],
    ),
    reads(
        "faults-logged",
        &[
            "logs.episodes",
            "logs.events",
            "settings",
            "settings.faults",
        ],
        &["ends-with-error", "faults-logged", "watches-failed"],
    ),
    reads("filesystem-read-only", &["mount.etcd"], &[]),
    reads("filesystem-unsuited", &["mount.etcd", "mount.remarks"], &[]),
    reads(
        "flag-and-environment",
        &["settings", "settings.faults"],
        &[],
    ),
    reads("flag-removed", &["settings", "settings.faults"], &[]),
    reads(
        "heartbeat-election-mismatch",
        &[
            "logs.elections",
            "server.leader.changes",
            "server.peer.rtt",
            "server.phases",
            "server.wal.fsync",
            "settings",
            "settings.faults",
        ],
        &[
            "counted-within",
            "election-heartbeats",
            "election-rtts",
            "election-timeout",
            "election-timeout-max",
            "heartbeat-interval",
            "heartbeat-min",
            "heartbeat-rtts",
            "leader-changes",
            "p99-values",
            "slow-values",
        ],
    ),
    reads(
        "heartbeat-late",
        &[
            "logs.episodes",
            "logs.events",
            "server.heartbeat.failures",
            "server.phases",
        ],
        &["heartbeat-late"],
    ),
    reads(
        "inflight-unbalanced",
        &[
            "logs.versions",
            "settings",
            "settings.faults",
            "version",
            "version.metrics",
        ],
        &["inflight-sum"],
    ),
    reads("io-scheduler-unsuited", &["device.queue"], &[]),
    reads("kernel-io-errors", &["kernel.io-errors"], &[]),
    reads(
        "kms-slow",
        &["apiserver.kms", "logs.episodes", "logs.events"],
        &["kms-calls", "kms-took"],
    ),
    reads(
        "known-bad-release",
        &[
            "logs.compaction.took",
            "logs.events",
            "logs.lives",
            "logs.slow.seconds",
            "logs.versions",
            "settings",
            "version",
            "version.metrics",
        ],
        &[],
    ),
    reads("leader-disputed", &["etcd.status"], &[]),
    reads(
        "leader-election-lost",
        &["logs.episodes", "logs.events"],
        &["leader-election-lost"],
    ),
    reads(
        "leader-election-tight",
        &["settings", "settings.faults"],
        &["renew-deadline"],
    ),
    reads(
        "leader-missing",
        &["logs.episodes", "logs.events", "server.has-leader"],
        &["leader-missing-drops", "leader-missing-for"],
    ),
    reads(
        "leader-unstable",
        &["logs.elections", "server.leader.changes", "server.phases"],
        &["counted-within", "leader-changes"],
    ),
    reads(
        "learner-not-promoted",
        &[
            "etcd.lag",
            "etcd.members",
            "etcd.status",
            "server.has-leader",
            "server.id",
            "server.is-learner",
            "server.peer.rtt-by",
            "server.proposals.applied",
            "server.proposals.committed",
        ],
        &["raft-lag"],
    ),
    reads(
        "leases-granted-fast",
        &["server.counters"],
        &["leases-granted"],
    ),
    reads("lists-bypass-cache", &["settings", "settings.faults"], &[]),
    reads(
        "liveness-probe-kills",
        &["logs.versions", "probes", "version", "version.metrics"],
        &["probe-failures", "probe-timeout"],
    ),
    reads("log-gaps", &["logs.coverage"], &["log-gap"]),
    reads("log-sampled", &["logs.requests.estimate"], &[]),
    reads(
        "log-unparsed",
        &["logs.coverage", "logs.lines", "logs.unparsed"],
        &["unparsed-share"],
    ),
    reads(
        "max-request-bytes-raised",
        &["settings", "settings.faults"],
        &["max-request-bytes"],
    ),
    reads("member-down", &["logs.lives", "server.id"], &[]),
    reads(
        "member-lagging",
        &[
            "etcd.lag",
            "etcd.members",
            "logs.episodes",
            "logs.events",
            "server.id",
            "server.is-learner",
            "server.peer.rtt-by",
            "server.proposals.applied",
            "server.proposals.committed",
        ],
        &["raft-lag", "raft-lag-critical", "whole-snapshots"],
    ),
    reads("member-lists-differ", &["etcd.lists"], &[]),
    reads(
        "member-odd-one-out",
        &[
            "logs.episodes",
            "logs.events",
            "server.id",
            "server.peer.rtt-by",
            "server.wal.fsync",
        ],
        &[
            "odd-member-factor",
            "peer-rtt-p99",
            "wal-fsync-p99",
            "wal-sync-stall",
            "wal-sync-stalls",
        ],
    ),
    reads(
        "member-unreachable",
        &["etcd.members", "etcd.reads", "etcd.status"],
        &[],
    ),
    reads("memory-low", &["mem.available"], &["memory-available"]),
    reads("metrics-faults", &["metrics.faults"], &[]),
    reads(
        "node-status-frequency-trap",
        &[
            "apiserver.objects",
            "apiserver.requests",
            "settings",
            "settings.faults",
        ],
        &["node-status-interval", "node-status-nodes"],
    ),
    reads(
        "nospace-alarm",
        &[
            "etcd.alarms",
            "logs.alarms",
            "logs.db.size",
            "logs.episodes",
            "logs.events",
            "server.alarms",
            "server.counters",
            "server.db.quota",
            "server.db.size",
        ],
        &["quota-used-warn"],
    ),
    reads(
        "object-limits",
        &["apiserver.objects"],
        &[
            "objects-bytes",
            "objects-events",
            "objects-namespaces",
            "objects-nodes",
            "objects-of-a-type",
            "objects-services",
        ],
    ),
    reads(
        "oom-killed",
        &[
            "kernel.io-errors",
            "kernel.notes",
            "logs.coverage",
            "logs.episodes",
            "process.facts",
        ],
        &[],
    ),
    reads(
        "open-files-limit-low",
        &[
            "logs.episodes",
            "logs.events",
            "process.facts",
            "process.fds",
        ],
        &["open-files", "open-files-used"],
    ),
    reads(
        "overrides-invalid",
        &["probes", "settings", "settings.faults", "version"],
        &[],
    ),
    reads(
        "peer-link-unstable",
        &[
            "logs.episodes",
            "logs.events",
            "logs.lives",
            "server.id",
            "server.peer.rtt-by",
        ],
        &["peer-link-unstable"],
    ),
    reads(
        "peer-rtt-high",
        &["server.peer.rtt", "server.peer.rtt-phases"],
        &[
            "heartbeat-interval",
            "p99-values",
            "peer-rtt-p99",
            "slow-rtts",
        ],
    ),
    reads(
        "proposals-failing",
        &[
            "logs.episodes",
            "logs.events",
            "server.phases",
            "server.proposals.failed",
        ],
        &["counted-within", "proposals-failed"],
    ),
    reads(
        "quota-above-maximum",
        &["server.db.quota", "settings", "settings.faults"],
        &["quota-max"],
    ),
    reads(
        "quota-default",
        &["settings", "settings.faults"],
        &["quota-default"],
    ),
    reads(
        "quota-near-limit",
        &[
            "logs.db.size",
            "server.db.in-use",
            "server.db.quota",
            "server.db.size",
        ],
        &["quota-used-critical", "quota-used-info", "quota-used-warn"],
    ),
    reads(
        "raft-messages-dropped",
        &[
            "logs.episodes",
            "logs.events",
            "logs.lives",
            "process.restarts",
            "server.id",
            "server.peer.rtt-by",
        ],
        &["peer-sends-failed", "raft-messages-dropped"],
    ),
    reads(
        "read-index-slow",
        &[
            "logs.episodes",
            "logs.events",
            "logs.requests",
            "server.phases",
            "server.read-indexes.failed",
            "server.slow.read-indexes",
        ],
        &[
            "counted-within",
            "read-index-failed",
            "read-index-slow",
            "slow-apply-default",
            "slow-requests-min",
        ],
    ),
    reads(
        "reads-slow",
        &["etcd.reads", "server.wal.fsync"],
        &["read-latency", "wal-fsync-p99"],
    ),
    reads(
        "requests-failing",
        &[
            "apiserver.apf.levels",
            "apiserver.apiservices",
            "apiserver.requests",
            "logs.audit.clients",
            "settings",
            "settings.faults",
        ],
        &["failing-min", "failing-share"],
    ),
    reads("retries-plateau", &["workqueue"], &["retries-plateau"]),
    reads(
        "run-delay-high",
        &[
            "process.run-delay",
            "process.run-wait",
            "process.run-wait-share",
        ],
        &["run-delay", "run-delay-least", "run-wait", "run-wait-share"],
    ),
    reads(
        "scheduler-backlog",
        &["scheduler.pending"],
        &["scheduler-pending"],
    ),
    reads(
        "setting-refused",
        &[
            "logs.episodes",
            "logs.events",
            "settings",
            "settings.faults",
        ],
        &[],
    ),
    reads(
        "setting-without-effect",
        &["settings", "settings.faults"],
        &[],
    ),
    reads(
        "settings-not-applied",
        &["settings", "settings.faults"],
        &[],
    ),
    reads("settings-unreadable", &["settings", "settings.faults"], &[]),
    reads(
        "slow-requests",
        &[
            "logs.episodes",
            "logs.events",
            "logs.requests.took",
            "server.phases",
            "server.slow.applies",
        ],
        &["request-timeout", "slow-apply-default", "slow-requests-min"],
    ),
    reads(
        "snapshot-count-high",
        &["settings", "settings.faults"],
        &["snapshot-count"],
    ),
    reads("swap-in-use", &["process.facts"], &["swap-in-use"]),
    reads("time-unsynced", &["time.offset", "time.synced"], &[]),
    reads(
        "tls-rejections",
        &["logs.episodes", "logs.events"],
        &["ends-with-error", "peer-link-unstable", "tls-rejections"],
    ),
    reads("unsafe-no-fsync", &["settings", "settings.faults"], &[]),
    reads(
        "versions-mixed",
        &["etcd.status", "logs.restarts", "version", "version.metrics"],
        &[],
    ),
    reads(
        "wal-fsync-slow",
        &["server.wal.fsync", "server.wal.fsync-phases"],
        &[
            "p99-values",
            "slow-values",
            "wal-fsync-p99",
            "wal-fsync-p99-critical",
        ],
    ),
    reads(
        "wal-shares-device",
        &["bench.disk.level", "bench.disk.wal.db-cost"],
        &["bench-wal-db-cost"],
    ),
    reads(
        "wal-sync-stalled",
        &["logs.episodes", "logs.events"],
        &["wal-sync-stall", "wal-sync-stalls"],
    ),
    reads(
        "warning-threshold-lowered",
        &["settings", "settings.faults"],
        &["slow-apply-default"],
    ),
    reads(
        "watchers-behind",
        &["server.watchers", "server.watchers.slow"],
        &["slow-watchers"],
    ),
    reads(
        "webhook-slow",
        &[
            "apiserver.webhooks",
            "logs.apiserver.calls",
            "logs.episodes",
            "logs.events",
        ],
        &["webhook-calls", "webhook-took"],
    ),
    reads("workqueue-backlog", &["workqueue"], &["workqueue-depth"]),
    reads("write-barriers-off", &["device.flushes", "mount.etcd"], &[]),
    reads(
        "yaml-scalar-ambiguous",
        &["settings", "settings.faults"],
        &[],
    ),
];

/// The rules that read a key.
pub fn readers(key: &str) -> impl Iterator<Item = &'static Reads> {
    READS.iter().filter(move |reads| reads.keys.contains(&key))
}

#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
mod unread;
