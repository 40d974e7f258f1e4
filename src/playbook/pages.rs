//! The table of pages, sorted by name. A test keeps it equal to the folder `playbooks/`.

use super::Page;

macro_rules! pages {
    ($($name:literal),* $(,)?) => {
        &[$(Page {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/", $name, ".md")),
        }),*]
    };
}

/// Every page, sorted by name.
pub static PAGES: &[Page] = pages![
    "apf-rejections",
    "apiserver-timeouts",
    "backend-commit-slow",
    "client-heavy-lists",
    "client-hot-loop",
    "client-throttled",
    "clock-drift",
    "compaction-off",
    "compaction-saw-tooth",
    "cpu-pressure-high",
    "cpu-steal-high",
    "database-fragmented",
    "database-growing-fast",
    "device-flush-slow",
    "disk-shared",
    "disk-space-low",
    "etcd-cpu-throttled",
    "etcd-requests-slow",
    "events-dominate",
    "expensive-lists",
    "filesystem-unsuited",
    "heartbeat-late",
    "kernel-io-errors",
    "leader-election-lost",
    "leader-missing",
    "leader-unstable",
    "member-odd-one-out",
    "nospace-alarm",
    "object-limits",
    "peer-link-unstable",
    "peer-rtt-high",
    "proposals-failing",
    "quota-near-limit",
    "raft-messages-dropped",
    "read-index-slow",
    "retries-plateau",
    "run-delay-high",
    "scheduler-backlog",
    "slow-requests",
    "wal-fsync-slow",
    "wal-sync-stalled",
    "workqueue-backlog",
    "write-barriers-off",
];
