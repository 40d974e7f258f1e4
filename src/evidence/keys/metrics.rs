//! Keys of what metrics tell, all of them over the window between the first and the last scrape
//! unless they say otherwise.
//!
//! Subjects: `Member` (name = node; `NODE/events` for a second etcd) for keys that start with
//! `server.`, `Component` (`kube-apiserver@node`) for the others. With a single scrape counts are
//! since the start of the process, the origin is an `Estimate` and there are no rates. After a
//! counter reset the origin is `AtLeast`.
//!
//! Quantiles are brackets: `…_low_ms` and `…_high_ms`; the `high` column is absent when the
//! quantile lies in the open last bucket. `…_PHASES` have one row for each pair of scrapes: the
//! row's key is the time of the earlier one (RFC 3339), column `secs` the length of the pair.

use super::super::{Histogram, Series, Table};

keys! { METRICS;
    /// API Priority and Fairness by flow schema, rows `LEVEL/FLOW`: columns `rejected`, `queue_full`,
    /// `dispatched`, `max_inqueue`, `max_wait_p99_low_ms`, `max_wait_p99_high_ms`.
    APF_FLOWS: Table = "apiserver.apf.flows", None, Sum;
    /// API Priority and Fairness by priority level: columns `rejected`, `queue_full`, `timed_out`, `cancelled` (the client
    /// went away while it waited; all are in `rejected`, too), `dispatched`,
    /// `limit_seats`, `limit_current_seats`, `limit_lower_seats`, `limit_upper_seats`, `max_demand_seats`, `max_inqueue`,
    /// `max_executing_seats`, `wait_secs`, `wait_p99_low_ms`, `max_wait_p99_high_ms`, `execution_secs`, `no_accommodation`.
    APF_LEVELS: Table = "apiserver.apf.levels", None, Sum;
    /// Aggregated APIs by the name of their APIService: columns `last_down` (1 where it was unavailable at the last scrape),
    /// `max_down_share` (of the scrapes), `found` (times it was found so); text `reason`.
    APISERVER_APISERVICES: Table = "apiserver.apiservices", None, Sum;
    /// API answers by HTTP code: column `requests`.
    APISERVER_CODES: Table = "apiserver.codes", None, Sum;
    /// Size of the database as kube-apiserver sees it, at the last scrape.
    APISERVER_DB_SIZE: f64 = "apiserver.db.size", Bytes, Latest;
    /// Requests that the limit of requests in flight turned away (till 1.24).
    APISERVER_DROPPED: f64 = "apiserver.dropped", Count, Sum;
    /// Latency of etcd requests as kube-apiserver measured them, rows `OPERATION resource.group`: columns `requests`,
    /// `total_secs`, `max_mean_ms`, `max_p50_low_ms`, `max_p50_high_ms`, `max_p99_low_ms`, `max_p99_high_ms`.
    APISERVER_ETCD_LATENCY: Table = "apiserver.etcd.latency", None, Sum;
    /// etcd requests as kube-apiserver measured them, by `resource.group`: columns `requests`, `lists`, `gets`, `writes`,
    /// `errors`, `total_secs`, `per_sec`, `list_secs`, `get_secs`, `write_secs`.
    APISERVER_ETCD_REQUESTS: Table = "apiserver.etcd.requests", None, Sum;
    /// Latency of etcd requests as kube-apiserver measured them.
    APISERVER_ETCD_TOOK: Histogram = "apiserver.etcd.took", Ms, Sum;
    /// Largest number of requests in flight at a scrape: rows `readOnly`, `mutating`, columns `max_inflight`, `last_inflight`,
    /// `max_inqueue`.
    APISERVER_INFLIGHT: Table = "apiserver.inflight", None, Sum;
    /// Calls of KMS plugins that decrypt and encrypt, by provider: columns `calls`, `failed`, `total_secs`.
    APISERVER_KMS: Table = "apiserver.kms", None, Sum;
    /// Lists by resource, from storage: columns `lists`, `fetched`, `evaluated`, `returned`; from the watch cache:
    /// `cache_lists`, `cache_fetched`, `cache_returned`, `consistent_reads`, `consistent_fallbacks`.
    APISERVER_LISTS: Table = "apiserver.lists", None, Sum;
    /// Watches and other long-running requests, rows `VERB resource`: columns `max_requests`, `last_requests`.
    APISERVER_LONGRUNNING: Table = "apiserver.longrunning", None, Sum;
    /// Objects stored by resource: columns `last_objects`, `last_bytes` (estimated, 1.34+), `added`.
    APISERVER_OBJECTS: Table = "apiserver.objects", None, Sum;
    /// kube-apiserver from scrape to scrape: columns `secs`, `requests_per_sec`, `throttled_per_sec`, `errors_per_sec`,
    /// `etcd_per_sec`, `etcd_mean_ms`, `etcd_p99_low_ms`, `etcd_p99_high_ms`, `etcd_p99_tail` (as in the commit phases), `inflight`, `inqueue` (at the later scrape).
    APISERVER_PHASES: Table = "apiserver.phases", None, Sum;
    /// API requests by `verb resource` (`PATCH nodes/status`): columns `requests`, `errors` (5xx), `timeouts` (504),
    /// `throttled` (429), `not_found` (404), `conflicts` (409), `refused` (4xx but 429), `total_secs`, `per_sec`.
    APISERVER_REQUESTS: Table = "apiserver.requests", None, Sum;
    /// Requests answered 5xx.
    APISERVER_REQUESTS_5XX: f64 = "apiserver.requests.errors", Count, Sum;
    /// API requests answered per second, watches left out.
    APISERVER_REQUESTS_RATE: f64 = "apiserver.requests.rate", PerSec, Max;
    /// Requests answered 429.
    APISERVER_REQUESTS_429: f64 = "apiserver.requests.throttled", Count, Sum;
    /// Requests that kube-apiserver cut off, those answered 429 left out.
    APISERVER_TERMINATIONS: f64 = "apiserver.terminations", Count, Sum;
    /// Events sent to watchers by resource: column `events`.
    APISERVER_WATCH_EVENTS: Table = "apiserver.watch-events", None, Sum;
    /// Admission webhooks by name: columns `calls`, `total_secs`, `max_p99_low_ms`, `max_p99_high_ms`, and of the calls that
    /// failed `failed_open` (the request went on) and `failed_closed` (it was refused).
    APISERVER_WEBHOOKS: Table = "apiserver.webhooks", None, Sum;
    /// Client-side rate limiter of a component: how long requests waited in its own token bucket.
    CLIENT_LIMITER_WAIT: Histogram = "client.limiter.wait", Ms, Sum;
    /// The component as a client from scrape to scrape: columns `secs`, `requests_per_sec`, `waits`, `wait_mean_ms`, `wait_p99_low_ms`, `wait_p99_high_ms`.
    CLIENT_PHASES: Table = "client.phases", None, Sum;
    /// Requests that a component sent, rows `METHOD CODE`: column `requests`.
    CLIENT_REQUESTS: Table = "client.requests", None, Sum;
    /// Requests per second that a component sent to the apiserver.
    CLIENT_REQUESTS_RATE: f64 = "client.requests.rate", PerSec, Max;
    /// Latency of requests as the component saw it, its own rate limiter left out.
    CLIENT_REQUESTS_TOOK: Histogram = "client.requests.took", Ms, Sum;
    /// Controllers of controller-runtime by name: columns `reconciles`, `errors`, `requeues`, `per_sec`, `work_secs`,
    /// `limit_workers`, `max_active`, `max_p99_low_ms`, `max_p99_high_ms`.
    RECONCILES: Table = "controller.reconciles", None, Sum;
    /// Which scrapes there are, row = the component: columns `scrapes`, `secs`, `max_gap_secs`, `restarts`; texts `from`, `to`, `time`
    /// (how their times are known).
    METRICS_COVERAGE: Table = "metrics.coverage", None, Sum;
    /// Faults of the scrapes themselves, one row each: texts `fault`, `kind`, `source`. Subject: the cluster.
    METRICS_FAULTS: Table = "metrics.faults", None, Sum;
    /// CPU seconds per second that a process used.
    PROCESS_CPU: f64 = "process.cpu", Ratio, Max;
    /// CPU seconds per second from scrape to scrape: columns `secs`, `cpu`.
    PROCESS_CPU_PHASES: Table = "process.cpu.phases", None, Sum;
    /// File descriptors: row `open` with `max_fds`, `limit_fds`.
    PROCESS_FDS: Table = "process.fds", None, Sum;
    /// The Go runtime, row `go`: columns `max_goroutines`, `last_procs` (GOMAXPROCS), `max_gc_share` (of the process' CPU time),
    /// `max_gc_pause_share` (of the window), `max_gc_pause_ms` (longest since start); text `version`.
    PROCESS_GO: Table = "process.go", None, Sum;
    /// Restarts of a process between scrapes.
    PROCESS_RESTARTS: f64 = "process.restarts", Count, Sum;
    /// Resident memory of a process at the last scrape.
    PROCESS_RSS: f64 = "process.rss", Bytes, Latest;
    /// How long runnable goroutines waited for a processor: long waits are CPU hunger.
    PROCESS_SCHED_WAIT: Histogram = "process.sched-wait", Ms, Sum;
    /// Attempts to schedule a pod by result: column `attempts`.
    SCHEDULER_ATTEMPTS: Table = "scheduler.attempts", None, Sum;
    /// Time of one attempt to schedule a pod, its binding included.
    SCHEDULER_ATTEMPT_TOOK: Histogram = "scheduler.attempts.took", Ms, Sum;
    /// Time to bind a pod: the request to kube-apiserver.
    SCHEDULER_BINDING: Histogram = "scheduler.binding", Ms, Sum;
    /// Latency from when a pod was first seen to when it was bound.
    SCHEDULER_E2E: Histogram = "scheduler.e2e", Ms, Sum;
    /// Pods waiting to be scheduled, by queue: columns `max_pods`, `last_pods`. Row `waiting`: `active` and `backoff` together at one
    /// look, as unschedulable and gated pods wait for the cluster and not for the scheduler.
    SCHEDULER_PENDING: Table = "scheduler.pending", None, Sum;
    /// Alarms that the member's metrics show (3.6+), rows `NOSPACE`, `CORRUPT`: columns `max_raised` (1: at some look), `last_raised` (the
    /// metric at the last look: requests that raised it since the process started, less the disarmings), `max_rise` (what it rose by meanwhile).
    SERVER_ALARMS: Table = "server.alarms", None, Sum;
    /// Time to apply an entry (3.5+).
    SERVER_APPLY: Histogram = "server.apply", Ms, Sum;
    /// Time to apply an entry, by operation: columns `applies`, `total_secs`, `max_p99_low_ms`, `max_p99_high_ms`.
    SERVER_APPLY_BY: Table = "server.apply.by", None, Sum;
    /// Backend commit duration.
    WAL_COMMIT: Histogram = "server.backend.commit", Ms, Sum;
    /// Share of the window that backend commits took.
    COMMIT_DUTY: f64 = "server.backend.commit-duty", Ratio, Max;
    /// Backend commits from scrape to scrape: columns `secs`, `count`, `mean_ms`, `p50_low_ms`, `p50_high_ms`, `p99_low_ms`, `p99_high_ms`,
    /// `p99_tail` (how many values lie in the bracket of p99 or above it).
    COMMIT_PHASES: Table = "server.backend.commit-phases", None, Sum;
    /// Time of whole compactions.
    COMPACTION: Histogram = "server.compaction", Ms, Sum;
    /// Time for which one batch of a compaction held the backend.
    COMPACTION_PAUSE: Histogram = "server.compaction.pause", Ms, Sum;
    /// Counters of the member over the window, one row each: columns `count`, `per_sec`. Rows: `puts`, `deletes`, `txns`, `ranges`,
    /// `watch-events`, `leases-granted`, `leases-revoked`, `leases-renewed`, `leases-expired`, `compacted-keys`, `revisions`,
    /// `client-bytes-in`, `client-bytes-out`, `peer-bytes-in`, `peer-bytes-out`, `peer-send-failures`, `health-failures`.
    SERVER_COUNTERS: Table = "server.counters", None, Sum;
    /// How fast the database file grew. Missing after a defragmentation in the window.
    DB_GROWTH: f64 = "server.db.growth", BytesPerSec, Max;
    /// Size of the database in use at the last scrape.
    DB_IN_USE: f64 = "server.db.in-use", Bytes, Latest;
    /// Quota of the database in force.
    DB_QUOTA: f64 = "server.db.quota", Bytes, Latest;
    /// Size of the database file over the scrapes.
    DB_SIZE: Series = "server.db.size", Bytes, Union;
    /// Time until the database is as large as its quota, at the growth of late; 0 when it is full. Missing when the window
    /// (10 min) or the growth is too small to say.
    DB_TIME_TO_FULL: f64 = "server.db.time-to-full", Secs, Min;
    /// Time of defragmentations.
    DEFRAG: Histogram = "server.defrag", Ms, Sum;
    /// gRPC calls by method: columns `calls`, `errors` (neither OK nor Canceled), `per_sec`, and one column a code (`OK`, `Unavailable`).
    SERVER_GRPC: Table = "server.grpc", None, Sum;
    /// Whether the member sees a leader, 0 or 1, at each scrape.
    HAS_LEADER: Series = "server.has-leader", Count, Union;
    /// Heartbeats that the leader could not send in time.
    HEARTBEAT_FAILURES: f64 = "server.heartbeat.failures", Count, Sum;
    /// The member's id in hexadecimal, as etcd's logs spell it.
    MEMBER_ID: String = "server.id", None, Latest;
    /// Whether the member is the leader, 0 or 1, at each scrape.
    IS_LEADER: Series = "server.is-leader", Count, Union;
    /// Whether the member is a learner, 0 or 1, at each scrape.
    IS_LEARNER: Series = "server.is-learner", Count, Union;
    /// Keys stored at the last scrape.
    SERVER_KEYS: f64 = "server.keys", Count, Latest;
    /// Leader changes seen.
    LEADER_CHANGES: f64 = "server.leader.changes", Count, Sum;
    /// Round trip time to peers.
    PEER_RTT: Histogram = "server.peer.rtt", Ms, Sum;
    /// Round trip time by peer id: columns `count`, `mean_ms`, `p50_low_ms`, `p50_high_ms`, `p99_low_ms`, `p99_high_ms`, `send_failures`.
    PEER_RTT_BY: Table = "server.peer.rtt-by", None, Latest;
    /// Round trip time from scrape to scrape: columns as in the commit phases.
    PEER_RTT_PHASES: Table = "server.peer.rtt-phases", None, Sum;
    /// The member from scrape to scrape: columns `secs`, `proposals_per_sec`, `slow_applies`, `slow_read_indexes`, `read_indexes_failed`, `proposals_failed`,
    /// `leader_changes`, `heartbeat_failures`, `cpu`, `commit_duty`, `db_bytes` (at the later scrape), `apply_mean_ms`, `apply_p99_low_ms`, `apply_p99_high_ms`.
    MEMBER_PHASES: Table = "server.phases", None, Sum;
    /// The index of raft's log up to which the member has applied, at each scrape.
    PROPOSALS_APPLIED: Series = "server.proposals.applied", Count, Union;
    /// The index of raft's log up to which the member knows entries to be committed, at each scrape.
    PROPOSALS_COMMITTED: Series = "server.proposals.committed", Count, Union;
    /// Proposals that failed.
    PROPOSALS_FAILED: f64 = "server.proposals.failed", Count, Sum;
    /// Largest number of proposals pending at a scrape.
    PROPOSALS_PENDING: f64 = "server.proposals.pending", Count, Max;
    /// Proposals committed per second.
    PROPOSALS_RATE: f64 = "server.proposals.rate", PerSec, Max;
    /// Time of a range in the server (3.6+).
    SERVER_RANGE: Histogram = "server.range", Ms, Sum;
    /// Read indexes that failed.
    READ_INDEXES_FAILED: f64 = "server.read-indexes.failed", Count, Sum;
    /// Requests that took longer than the warning threshold to apply, counted by etcd itself (never sampled).
    SLOW_APPLIES: f64 = "server.slow.applies", Count, Sum;
    /// Linearizable reads whose read index was late.
    SLOW_READ_INDEXES: f64 = "server.slow.read-indexes", Count, Sum;
    /// Time of raft snapshots' fsyncs.
    SNAPSHOT_FSYNC: Histogram = "server.snapshot.fsync", Ms, Sum;
    /// WAL fsync duration as etcd measured it. It includes the wait for a CPU after the disk is done.
    WAL_FSYNC: Histogram = "server.wal.fsync", Ms, Sum;
    /// WAL fsyncs from scrape to scrape: columns as in the commit phases. Shows a bad phase that the whole window averages away.
    WAL_FSYNC_PHASES: Table = "server.wal.fsync-phases", None, Sum;
    /// WAL write duration without the fsync (3.5.15+, 3.6).
    WAL_WRITE: Histogram = "server.wal.write", Ms, Sum;
    /// Watching: rows `watchers`, `streams`, `slow`, `pending-events`; columns `max_count`, `last_count`.
    WATCHERS: Table = "server.watchers", None, Sum;
    /// Watchers that lag behind, at each scrape.
    SLOW_WATCHERS: Series = "server.watchers.slow", Count, Union;
    /// SLO readings: rows `mutating`, `read-resource`, `read-namespace`, `read-cluster` (the worst kind of request of each with 100 or more
    /// requests), `binding`, `pod-start`; columns `max_p99_low_ms`, `max_p99_ms` (upper end of the bracket, absent when open), `limit_ms`,
    /// `requests`, `missed` (kinds of request surely over the limit); text `worst`.
    SLO: Table = "slo", None, Sum;
    /// Versions by metrics: rows `server`, `cluster`, `go`; text `version`.
    METRICS_VERSIONS: Table = "version.metrics", None, Sum;
    /// Work queues of controllers: columns `adds`, `retries`, `max_depth`, `max_standing_depth` (there at two looks in a
    /// row, 5 s or more apart; absent where there were no two), `last_depth`, `queue_secs`, `work_secs`, `done`,
    /// `max_unfinished_secs`, `max_longest_secs`, `max_wait_p99_low_ms`, `max_wait_p99_high_ms`, `max_work_p99_low_ms`,
    /// `max_work_p99_high_ms`, `max_adds_per_sec`, `max_retries_per_sec` (over the window).
    WORKQUEUES: Table = "workqueue", None, Sum;
    /// Busy work queues from scrape to scrape, rows `QUEUE TIME`: columns `secs`, `adds_per_sec`, `retries_per_sec`, `depth` (at the later
    /// scrape); text `queue`. A rate of retries that stays near 10 per second is the bucket of client-go's rate limiter.
    WORKQUEUE_PHASES: Table = "workqueue.phases", None, Sum;
}
