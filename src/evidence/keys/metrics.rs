//! Keys of what metrics tell, all of them over the window between two scrapes unless they say
//! otherwise.
//!
//! Subjects: `Member` (name = node) for etcd, `Component` (`kube-apiserver@node`) for the others.

use super::super::{Histogram, Series, Table};

keys! { METRICS;
    /// API Priority and Fairness by priority level: columns `rejected`, `queue_full`, `timed_out`, `dispatched`,
    /// `limit_seats`, `max_demand_seats`, `max_inqueue`, `max_executing_seats`, `wait_p99_low_ms`, `max_wait_p99_high_ms`.
    APF_LEVELS: Table = "apiserver.apf.levels", None, Sum;
    /// etcd requests as kube-apiserver measured them, by `resource.group`: columns `requests`, `lists`, `gets`, `writes`, `total_secs`, `per_sec`, `list_secs`, `write_secs`.
    APISERVER_ETCD_REQUESTS: Table = "apiserver.etcd.requests", None, Sum;
    /// Latency of etcd requests as kube-apiserver measured them.
    APISERVER_ETCD_TOOK: Histogram = "apiserver.etcd.took", Ms, Sum;
    /// Largest number of requests in flight at a scrape: rows `readOnly`, `mutating`, column `max_inflight`.
    APISERVER_INFLIGHT: Table = "apiserver.inflight", None, Sum;
    /// Storage lists by resource: columns `lists`, `fetched`, `evaluated`, `returned`.
    APISERVER_LISTS: Table = "apiserver.lists", None, Sum;
    /// Objects stored by resource: column `last_objects`.
    APISERVER_OBJECTS: Table = "apiserver.objects", None, Sum;
    /// API requests by `verb resource`: columns `requests`, `errors`, `throttled` (429), `total_secs`, `per_sec`.
    APISERVER_REQUESTS: Table = "apiserver.requests", None, Sum;
    /// Requests answered 5xx.
    APISERVER_REQUESTS_5XX: f64 = "apiserver.requests.errors", Count, Sum;
    /// Requests answered 429.
    APISERVER_REQUESTS_429: f64 = "apiserver.requests.throttled", Count, Sum;
    /// Client-side rate limiter of a component: how long requests waited in its own token bucket.
    CLIENT_LIMITER_WAIT: Histogram = "client.limiter.wait", Ms, Sum;
    /// Requests per second that a component sent to the apiserver.
    CLIENT_REQUESTS_RATE: f64 = "client.requests.rate", PerSec, Max;
    /// Faults of the scrapes themselves, one row each: text `fault`.
    METRICS_FAULTS: Table = "metrics.faults", None, Sum;
    /// CPU seconds per second that a process used.
    PROCESS_CPU: f64 = "process.cpu", Ratio, Max;
    /// Resident memory of a process at the last scrape.
    PROCESS_RSS: f64 = "process.rss", Bytes, Latest;
    /// Latency from when a pod was first seen to when it was bound.
    SCHEDULER_E2E: Histogram = "scheduler.e2e", Ms, Sum;
    /// Pods waiting to be scheduled, by queue: column `max_pods`.
    SCHEDULER_PENDING: Table = "scheduler.pending", None, Sum;
    /// Backend commit duration.
    WAL_COMMIT: Histogram = "server.backend.commit", Ms, Sum;
    /// Share of the window that backend commits took.
    COMMIT_DUTY: f64 = "server.backend.commit-duty", Ratio, Max;
    /// Size of the database in use at the last scrape.
    DB_IN_USE: f64 = "server.db.in-use", Bytes, Latest;
    /// Quota of the database in force.
    DB_QUOTA: f64 = "server.db.quota", Bytes, Latest;
    /// Size of the database file over the scrapes.
    DB_SIZE: Series = "server.db.size", Bytes, Union;
    /// Whether the member sees a leader, 0 or 1, at each scrape.
    HAS_LEADER: Series = "server.has-leader", Count, Union;
    /// Heartbeats that the leader could not send in time.
    HEARTBEAT_FAILURES: f64 = "server.heartbeat.failures", Count, Sum;
    /// Leader changes seen.
    LEADER_CHANGES: f64 = "server.leader.changes", Count, Sum;
    /// Round trip time to peers.
    PEER_RTT: Histogram = "server.peer.rtt", Ms, Sum;
    /// Proposals that failed.
    PROPOSALS_FAILED: f64 = "server.proposals.failed", Count, Sum;
    /// Largest number of proposals pending at a scrape.
    PROPOSALS_PENDING: f64 = "server.proposals.pending", Count, Max;
    /// Proposals committed per second.
    PROPOSALS_RATE: f64 = "server.proposals.rate", PerSec, Max;
    /// Requests that took longer than the warning threshold to apply, counted by etcd itself (never sampled).
    SLOW_APPLIES: f64 = "server.slow.applies", Count, Sum;
    /// Linearizable reads whose read index was late.
    SLOW_READ_INDEXES: f64 = "server.slow.read-indexes", Count, Sum;
    /// WAL fsync duration as etcd measured it. It includes the wait for a CPU after the disk is done.
    WAL_FSYNC: Histogram = "server.wal.fsync", Ms, Sum;
    /// SLO readings: rows by SLO name, columns `max_p99_ms`, `limit_ms`.
    SLO: Table = "slo", None, Sum;
    /// Versions by metrics: text `version`.
    METRICS_VERSIONS: Table = "version.metrics", None, Sum;
    /// Work queues of controllers: columns `adds`, `retries`, `max_depth`, `queue_secs`, `work_secs`, `max_unfinished_secs`.
    WORKQUEUES: Table = "workqueue", None, Sum;
}
