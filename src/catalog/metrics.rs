//! Which metrics are read: every spelling by release, which labels are kept, and what they mean.
//!
//! Names, labels and buckets were taken from the `metrics.go` files of etcd 3.3 to 3.7 and
//! Kubernetes 1.18 to 1.36. Where a metric has several names the newest stands first; the first
//! one that a target exposes is used and the others are ignored, because releases that rename a
//! metric expose both for a while.

/// How a metric's samples behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises while the process lives, and starts again from 0 with it.
    Counter,
    /// Only rises, and outlives the process: a raft index or a revision. A gauge by its `# TYPE`
    /// (`etcd_server_proposals_committed_total`).
    Level,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
    /// Quantiles, sum and count.
    Summary,
    /// Always 1; its labels carry the information.
    Info,
}

/// The unit of a metric's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// Seconds; shown as milliseconds where it is a latency.
    Secs,
    /// Milliseconds.
    Ms,
    /// Bytes.
    Bytes,
    /// A count of things.
    Count,
}

impl MetricUnit {
    /// Factor to milliseconds for durations; 1 for others.
    pub fn to_ms(self) -> f64 {
        match self {
            MetricUnit::Secs => 1000.0,
            _ => 1.0,
        }
    }
}

/// What is known about one metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// Every spelling, newest first.
    pub names: &'static [&'static str],
    /// How its samples behave.
    pub kind: Kind,
    /// Unit of its numbers.
    pub unit: MetricUnit,
    /// Labels that are kept; series that differ only in others are added up. `a|b` are spellings
    /// of the same label.
    pub labels: &'static [&'static str],
    /// One line for people.
    pub doc: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $id:ident: $kind:ident $unit:ident [$($name:literal),+] {$($label:literal),*};)*) => {
        /// One metric, whatever its spelling.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $($(#[doc = $doc])* $id,)*
        }

        /// All metrics, in the order of [`Metric`].
        pub const METRICS: &[(Metric, MetricInfo)] = &[$((Metric::$id, MetricInfo {
            names: &[$($name),+],
            kind: Kind::$kind,
            unit: MetricUnit::$unit,
            labels: &[$($label),*],
            doc: concat!($($doc),*),
        }),)*];
    };
}

metrics! {
    // etcd: disk.
    /// Time of one WAL fsync, as the Go process saw it.
    WalFsync: Histogram Secs ["etcd_disk_wal_fsync_duration_seconds"] {};
    /// Time of one WAL write without its fsync (3.5.15+, 3.6).
    WalWrite: Histogram Secs ["etcd_disk_wal_write_duration_seconds"] {};
    /// Time of one backend commit.
    BackendCommit: Histogram Secs ["etcd_disk_backend_commit_duration_seconds"] {};
    /// Time of one fsync of a raft snapshot file.
    SnapFsync: Histogram Secs ["etcd_snap_fsync_duration_seconds"] {};
    /// Time to send or save a whole backend snapshot.
    BackendSnapshot: Histogram Secs ["etcd_disk_backend_snapshot_duration_seconds"] {};
    /// Time of one defragmentation.
    Defrag: Histogram Secs ["etcd_disk_backend_defrag_duration_seconds"] {};
    /// Whether a defragmentation is under way (3.5+).
    DefragInflight: Gauge Count ["etcd_disk_defrag_inflight"] {};

    // etcd: network.
    /// Round trip time to a peer.
    PeerRtt: Histogram Secs ["etcd_network_peer_round_trip_time_seconds"] {"To"};
    /// Messages to a peer that could not be sent.
    PeerSentFailures: Counter Count ["etcd_network_peer_sent_failures_total"] {"To"};
    /// Bytes sent to peers.
    PeerSentBytes: Counter Bytes ["etcd_network_peer_sent_bytes_total"] {"To"};
    /// Bytes received from peers.
    PeerReceivedBytes: Counter Bytes ["etcd_network_peer_received_bytes_total"] {"From"};
    /// Bytes received from gRPC clients.
    ClientReceivedBytes: Counter Bytes ["etcd_network_client_grpc_received_bytes_total"] {};
    /// Bytes sent to gRPC clients.
    ClientSentBytes: Counter Bytes ["etcd_network_client_grpc_sent_bytes_total"] {};

    // etcd: raft and requests.
    /// Time to apply one entry (3.5+).
    Apply: Histogram Secs ["etcd_server_apply_duration_seconds"] {"op", "success"};
    /// Time of one range in the server (3.6+).
    RangeDuration: Histogram Secs ["etcd_server_range_duration_seconds"] {};
    /// Time of one request in the server (3.7+).
    RequestDuration: Histogram Secs ["etcd_server_request_duration_seconds"] {};
    /// Whether the member sees a leader.
    HasLeader: Gauge Count ["etcd_server_has_leader"] {};
    /// Whether the member is the leader.
    IsLeader: Gauge Count ["etcd_server_is_leader"] {};
    /// Whether the member is a learner.
    IsLearner: Gauge Count ["etcd_server_is_learner"] {};
    /// Leader changes seen.
    LeaderChanges: Counter Count ["etcd_server_leader_changes_seen_total"] {};
    /// Heartbeats that the leader could not send in time.
    HeartbeatFailures: Counter Count ["etcd_server_heartbeat_send_failures_total"] {};
    /// Proposals applied. The raft index, hence not from 0 after a restart.
    ProposalsApplied: Level Count ["etcd_server_proposals_applied_total"] {};
    /// Proposals committed. The raft index, hence not from 0 after a restart.
    ProposalsCommitted: Level Count ["etcd_server_proposals_committed_total"] {};
    /// Proposals failed.
    ProposalsFailed: Counter Count ["etcd_server_proposals_failed_total"] {};
    /// Proposals waiting for a commit.
    ProposalsPending: Gauge Count ["etcd_server_proposals_pending"] {};
    /// Applies slower than the warning threshold.
    SlowApplies: Counter Count ["etcd_server_slow_apply_total"] {};
    /// Read indexes that came late.
    SlowReadIndexes: Counter Count ["etcd_server_slow_read_indexes_total"] {};
    /// Read indexes that failed.
    ReadIndexesFailed: Counter Count ["etcd_server_read_indexes_failed_total"] {};
    /// Requests of clients by type.
    ClientRequests: Counter Count ["etcd_server_client_requests_total"] {"type"};
    /// `/health` answered well.
    HealthSuccess: Counter Count ["etcd_server_health_success"] {};
    /// `/health` answered badly.
    HealthFailures: Counter Count ["etcd_server_health_failures"] {};
    /// Whether a snapshot is being applied.
    SnapshotApply: Gauge Count ["etcd_server_snapshot_apply_in_progress_total"] {};
    /// Alarms raised (3.6+).
    Alarms: Gauge Count ["etcd_debugging_server_alarms"] {"alarm_type|alarm"};
    /// gRPC calls that ended.
    GrpcHandled: Counter Count ["grpc_server_handled_total"] {"grpc_type", "grpc_service", "grpc_method", "grpc_code"};
    /// gRPC calls that began.
    GrpcStarted: Counter Count ["grpc_server_started_total"] {"grpc_type", "grpc_service", "grpc_method"};
    /// Time of gRPC calls; only with `--metrics=extensive`.
    GrpcHandling: Histogram Secs ["grpc_server_handling_seconds"] {"grpc_type", "grpc_method"};

    // etcd: space.
    /// Quota in force.
    Quota: Gauge Bytes ["etcd_server_quota_backend_bytes"] {};
    /// Size of the database file.
    DbSize: Gauge Bytes ["etcd_mvcc_db_total_size_in_bytes", "etcd_debugging_mvcc_db_total_size_in_bytes"] {};
    /// Size of the database in use (3.4+).
    DbInUse: Gauge Bytes ["etcd_mvcc_db_total_size_in_use_in_bytes"] {};
    /// Read transactions open (3.4+).
    OpenReadTxns: Gauge Count ["etcd_mvcc_db_open_read_transactions"] {};
    /// Keys stored, from the last compaction or start on.
    Keys: Gauge Count ["etcd_debugging_mvcc_keys_total"] {};
    /// Current revision (3.5+, late 3.4).
    CurrentRevision: Level Count ["etcd_debugging_mvcc_current_revision"] {};
    /// Revision of the last compaction.
    CompactRevision: Level Count ["etcd_debugging_mvcc_compact_revision"] {};
    /// Unix time of the last compaction; 0 when none.
    CompactionLast: Gauge Secs ["etcd_debugging_mvcc_db_compaction_last"] {};
    /// Time for which one batch of a compaction held the backend.
    CompactionPause: Histogram Ms ["etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds"] {};
    /// Time of one compaction.
    CompactionTotal: Histogram Ms ["etcd_debugging_mvcc_db_compaction_total_duration_milliseconds"] {};
    /// Keys removed by compactions.
    CompactionKeys: Counter Count ["etcd_debugging_mvcc_db_compaction_keys_total"] {};
    /// Puts.
    MvccPut: Counter Count ["etcd_mvcc_put_total", "etcd_debugging_mvcc_put_total"] {};
    /// Deletes.
    MvccDelete: Counter Count ["etcd_mvcc_delete_total", "etcd_debugging_mvcc_delete_total"] {};
    /// Transactions.
    MvccTxn: Counter Count ["etcd_mvcc_txn_total", "etcd_debugging_mvcc_txn_total"] {};
    /// Ranges.
    MvccRange: Counter Count ["etcd_mvcc_range_total", "etcd_debugging_mvcc_range_total"] {};
    /// Watchers.
    Watchers: Gauge Count ["etcd_debugging_mvcc_watcher_total"] {};
    /// Watch streams.
    WatchStreams: Gauge Count ["etcd_debugging_mvcc_watch_stream_total"] {};
    /// Watchers that lag behind.
    SlowWatchers: Gauge Count ["etcd_debugging_mvcc_slow_watcher_total"] {};
    /// Events waiting to be sent to watchers.
    PendingEvents: Gauge Count ["etcd_debugging_mvcc_pending_events_total"] {};
    /// Events sent to watchers.
    WatchEvents: Counter Count ["etcd_debugging_mvcc_events_total"] {};
    /// Leases granted.
    LeaseGranted: Counter Count ["etcd_debugging_lease_granted_total"] {};
    /// Leases revoked.
    LeaseRevoked: Counter Count ["etcd_debugging_lease_revoked_total"] {};
    /// Leases renewed.
    LeaseRenewed: Counter Count ["etcd_debugging_lease_renewed_total"] {};
    /// Leases expired.
    LeaseExpired: Counter Count ["etcd_debugging_server_lease_expired_total"] {};

    // etcd: identity.
    /// Version of the server.
    EtcdVersion: Info Count ["etcd_server_version"] {"server_version"};
    /// Version of the cluster: the lowest member's minor.
    ClusterVersion: Info Count ["etcd_cluster_version"] {"cluster_version"};
    /// Member id, in hexadecimal.
    ServerId: Info Count ["etcd_server_id"] {"server_id"};

    // kube-apiserver: its etcd.
    /// Latency of etcd requests. `type` is a Go type up to 1.25, `resource.group` up to 1.33.
    EtcdRequest: Histogram Secs ["etcd_request_duration_seconds"] {"operation", "type", "group", "resource"};
    /// etcd requests (1.27+).
    EtcdRequests: Counter Count ["etcd_requests_total"] {"operation", "type", "group", "resource"};
    /// etcd requests that failed (1.27+).
    EtcdRequestErrors: Counter Count ["etcd_request_errors_total"] {"operation", "type", "group", "resource"};
    /// Objects stored. -1 when the count failed.
    Objects: Gauge Count ["apiserver_resource_objects", "apiserver_storage_objects", "etcd_object_counts"] {"group", "resource"};
    /// Estimated size of all objects of a resource (1.34+).
    ObjectBytes: Gauge Bytes ["apiserver_resource_size_estimate_bytes"] {"group", "resource"};
    /// Size of the database as kube-apiserver sees it.
    StorageSize: Gauge Bytes ["apiserver_storage_size_bytes", "apiserver_storage_db_total_size_in_bytes", "etcd_db_total_size_in_bytes"] {"storage_cluster_id|cluster|endpoint"};
    /// Lists from storage.
    ListTotal: Counter Count ["apiserver_storage_list_total"] {"group", "resource"};
    /// Objects read from storage for lists.
    ListFetched: Counter Count ["apiserver_storage_list_fetched_objects_total"] {"group", "resource"};
    /// Objects tested against a selector for lists from storage.
    ListEvaluated: Counter Count ["apiserver_storage_list_evaluated_objects_total"] {"group", "resource"};
    /// Objects returned by lists from storage.
    ListReturned: Counter Count ["apiserver_storage_list_returned_objects_total"] {"group", "resource"};
    /// Lists from the watch cache.
    CacheListTotal: Counter Count ["apiserver_cache_list_total"] {"group", "resource", "resource_prefix"};
    /// Objects read from the watch cache for lists.
    CacheListFetched: Counter Count ["apiserver_cache_list_fetched_objects_total"] {"group", "resource", "resource_prefix"};
    /// Objects returned by lists from the watch cache.
    CacheListReturned: Counter Count ["apiserver_cache_list_returned_objects_total"] {"group", "resource", "resource_prefix"};
    /// Events received from etcd (1.28+).
    StorageEvents: Counter Count ["apiserver_storage_events_received_total"] {"group", "resource"};
    /// Wait of a consistent read until the watch cache was fresh (1.30+).
    CacheReadWait: Histogram Secs ["apiserver_watch_cache_read_wait_seconds"] {"group", "resource"};
    /// Consistent reads from the watch cache (1.31+).
    ConsistentReads: Counter Count ["apiserver_watch_cache_consistent_read_total"] {"group", "resource", "success", "fallback"};

    // kube-apiserver: requests.
    /// Requests answered.
    ApiRequests: Counter Count ["apiserver_request_total", "apiserver_request_count"] {"verb", "group", "resource", "subresource", "scope", "code"};
    /// Time of requests.
    ApiDuration: Histogram Secs ["apiserver_request_duration_seconds"] {"verb", "group", "resource", "subresource", "scope"};
    /// Time of requests without webhooks and queue waits.
    ApiSli: Histogram Secs ["apiserver_request_sli_duration_seconds", "apiserver_request_slo_duration_seconds"] {"verb", "group", "resource", "subresource", "scope"};
    /// Requests that kube-apiserver cut off.
    Terminations: Counter Count ["apiserver_request_terminations_total"] {"verb", "group", "resource", "code"};
    /// Requests turned away by the limit of requests in flight (till 1.24).
    Dropped: Counter Count ["apiserver_dropped_requests_total"] {"request_kind|requestKind"};
    /// Most requests in flight within the last second.
    Inflight: Gauge Count ["apiserver_current_inflight_requests"] {"request_kind|requestKind"};
    /// Most requests queued within the last second.
    Inqueue: Gauge Count ["apiserver_current_inqueue_requests"] {"request_kind|requestKind"};
    /// Watches and other long-running requests.
    LongRunning: Gauge Count ["apiserver_longrunning_requests", "apiserver_longrunning_gauge"] {"verb", "group", "resource"};
    /// Registered watchers (till 1.24).
    RegisteredWatchers: Gauge Count ["apiserver_registered_watchers"] {"group", "kind"};
    /// Events sent to watchers.
    ApiWatchEvents: Counter Count ["apiserver_watch_events_total"] {"group", "resource", "kind"};
    /// Watchers ended because they were too slow.
    TerminatedWatchers: Counter Count ["apiserver_terminated_watchers_total"] {"group", "resource"};
    /// Time of admission webhooks.
    Webhooks: Histogram Secs ["apiserver_admission_webhook_admission_duration_seconds"] {"name", "operation", "rejected"};
    /// Calls of admission webhooks that failed and were let pass (`failurePolicy: Ignore`).
    WebhookFailOpen: Counter Count ["apiserver_admission_webhook_fail_open_count"] {"name"};
    /// Requests that admission webhooks rejected, or that were rejected because one could not be called.
    WebhookRejections: Counter Count ["apiserver_admission_webhook_rejection_count"] {"name", "error_type"};
    /// Whether an aggregated API is unavailable.
    ApiServiceDown: Gauge Count ["aggregator_unavailable_apiservice"] {"name"};
    /// Times an aggregated API was found unavailable, by reason.
    ApiServiceChecks: Counter Count ["aggregator_unavailable_apiservice_total"] {"name", "reason"};
    /// Time of calls of a KMS plugin (1.27+).
    KmsCalls: Histogram Secs ["apiserver_envelope_encryption_kms_operations_latency_seconds"] {"provider_name", "method_name", "grpc_status_code"};

    // kube-apiserver: API Priority and Fairness.
    /// Requests rejected.
    ApfRejected: Counter Count ["apiserver_flowcontrol_rejected_requests_total"] {"priority_level|priorityLevel", "flow_schema|flowSchema", "reason"};
    /// Requests executed.
    ApfDispatched: Counter Count ["apiserver_flowcontrol_dispatched_requests_total"] {"priority_level|priorityLevel", "flow_schema|flowSchema"};
    /// Requests in queues.
    ApfInqueueRequests: Gauge Count ["apiserver_flowcontrol_current_inqueue_requests"] {"priority_level|priorityLevel", "flow_schema|flowSchema"};
    /// Seats that queued requests would take (1.29+).
    ApfInqueueSeats: Gauge Count ["apiserver_flowcontrol_current_inqueue_seats"] {"priority_level|priorityLevel", "flow_schema|flowSchema"};
    /// Requests being executed.
    ApfExecutingRequests: Gauge Count ["apiserver_flowcontrol_current_executing_requests"] {"priority_level|priorityLevel", "flow_schema|flowSchema"};
    /// Seats taken (`request_concurrency_in_use` until 1.30).
    ApfExecutingSeats: Gauge Count ["apiserver_flowcontrol_current_executing_seats", "apiserver_flowcontrol_request_concurrency_in_use"] {"priority_level|priorityLevel", "flow_schema|flowSchema"};
    /// Seats configured.
    ApfNominalLimit: Gauge Count ["apiserver_flowcontrol_nominal_limit_seats", "apiserver_flowcontrol_request_concurrency_limit"] {"priority_level|priorityLevel"};
    /// Seats now, after lending and borrowing (1.26+).
    ApfCurrentLimit: Gauge Count ["apiserver_flowcontrol_current_limit_seats"] {"priority_level|priorityLevel"};
    /// Least seats after lending (1.26+).
    ApfLowerLimit: Gauge Count ["apiserver_flowcontrol_lower_limit_seats"] {"priority_level|priorityLevel"};
    /// Most seats after borrowing (1.26+).
    ApfUpperLimit: Gauge Count ["apiserver_flowcontrol_upper_limit_seats"] {"priority_level|priorityLevel"};
    /// Most seats asked for at once, in the last 10 s period (1.26+).
    ApfHighWatermark: Gauge Count ["apiserver_flowcontrol_demand_seats_high_watermark"] {"priority_level|priorityLevel"};
    /// Wait in queues.
    ApfWait: Histogram Secs ["apiserver_flowcontrol_request_wait_duration_seconds"] {"priority_level|priorityLevel", "flow_schema|flowSchema", "execute"};
    /// Time of execution.
    ApfExecution: Histogram Secs ["apiserver_flowcontrol_request_execution_seconds"] {"priority_level|priorityLevel", "flow_schema|flowSchema"};
    /// Requests that found no free seat (1.24+).
    ApfNoAccommodation: Counter Count ["apiserver_flowcontrol_request_dispatch_no_accommodation_total"] {"priority_level|priorityLevel", "flow_schema|flowSchema"};

    // kube-scheduler and kubelet.
    /// Pods waiting, by queue.
    PendingPods: Gauge Count ["scheduler_pending_pods"] {"queue"};
    /// Attempts to schedule a pod, by result.
    ScheduleAttempts: Counter Count ["scheduler_schedule_attempts_total"] {"result"};
    /// From when a pod was first seen to when it was bound, backoff not counted in the SLI.
    SchedulerE2e: Histogram Secs ["scheduler_pod_scheduling_sli_duration_seconds", "scheduler_pod_scheduling_duration_seconds"] {"attempts"};
    /// Time of one attempt, binding included.
    AttemptDuration: Histogram Secs ["scheduler_scheduling_attempt_duration_seconds", "scheduler_e2e_scheduling_duration_seconds"] {"result"};
    /// Time of the algorithm alone.
    AlgorithmDuration: Histogram Secs ["scheduler_scheduling_algorithm_duration_seconds"] {};
    /// Time to bind (till 1.23).
    BindingDuration: Histogram Secs ["scheduler_binding_duration_seconds"] {};
    /// Time of the plugins of one extension point.
    ExtensionPoint: Histogram Secs ["scheduler_framework_extension_point_duration_seconds"] {"extension_point", "status"};
    /// Pods that entered a queue, by what made them.
    IncomingPods: Counter Count ["scheduler_queue_incoming_pods_total"] {"queue", "event"};
    /// Pods that a plugin holds back.
    UnschedulablePods: Gauge Count ["scheduler_unschedulable_pods"] {"plugin"};
    /// Preemptions tried.
    Preemptions: Counter Count ["scheduler_preemption_attempts_total"] {};
    /// Nodes and pods that the scheduler knows.
    SchedulerCache: Gauge Count ["scheduler_cache_size", "scheduler_scheduler_cache_size"] {"type"};
    /// From when a kubelet saw a pod to its start, image pulls not counted.
    PodStart: Histogram Secs ["kubelet_pod_start_sli_duration_seconds"] {};

    // Controllers and clients.
    /// Items waiting in a work queue.
    QueueDepth: Gauge Count ["workqueue_depth"] {"name"};
    /// Items added to a work queue.
    QueueAdds: Counter Count ["workqueue_adds_total"] {"name"};
    /// Items put back to be tried again.
    QueueRetries: Counter Count ["workqueue_retries_total"] {"name"};
    /// Wait of an item in the queue.
    QueueWait: Histogram Secs ["workqueue_queue_duration_seconds"] {"name"};
    /// Time to work on an item.
    QueueWork: Histogram Secs ["workqueue_work_duration_seconds"] {"name"};
    /// Seconds of work under way and not yet counted in the work time.
    QueueUnfinished: Gauge Secs ["workqueue_unfinished_work_seconds"] {"name"};
    /// Seconds that the longest running worker has been at it.
    QueueLongest: Gauge Secs ["workqueue_longest_running_processor_seconds"] {"name"};
    /// Wait in the client's own token bucket.
    LimiterWait: Histogram Secs ["rest_client_rate_limiter_duration_seconds"] {"verb"};
    /// Latency of requests as the client saw it.
    ClientDuration: Histogram Secs ["rest_client_request_duration_seconds", "rest_client_request_latency_seconds"] {"verb"};
    /// Requests that a client sent.
    RestRequests: Counter Count ["rest_client_requests_total"] {"code", "method"};
    /// Requests that a client sent again.
    RestRetries: Counter Count ["rest_client_request_retries_total"] {"code", "verb"};
    /// Whether this process leads.
    LeaderStatus: Gauge Count ["leader_election_master_status"] {"name"};
    /// Leader election calls that took the slow path (1.30+).
    LeaderSlowPath: Counter Count ["leader_election_slowpath_total"] {"name"};
    /// Reconciles of a controller-runtime controller.
    Reconciles: Counter Count ["controller_runtime_reconcile_total"] {"controller", "result"};
    /// Reconciles that failed.
    ReconcileErrors: Counter Count ["controller_runtime_reconcile_errors_total"] {"controller"};
    /// Time of one reconcile.
    ReconcileTime: Histogram Secs ["controller_runtime_reconcile_time_seconds"] {"controller"};
    /// Workers a controller may use.
    MaxConcurrent: Gauge Count ["controller_runtime_max_concurrent_reconciles"] {"controller"};
    /// Workers a controller uses.
    ActiveWorkers: Gauge Count ["controller_runtime_active_workers"] {"controller"};

    // Processes.
    /// CPU seconds used.
    Cpu: Counter Secs ["process_cpu_seconds_total"] {};
    /// When the process started, seconds since the epoch.
    StartTime: Gauge Secs ["process_start_time_seconds"] {};
    /// Resident memory.
    Rss: Gauge Bytes ["process_resident_memory_bytes"] {};
    /// File descriptors open.
    OpenFds: Gauge Count ["process_open_fds", "os_fd_used"] {};
    /// File descriptors allowed.
    MaxFds: Gauge Count ["process_max_fds", "os_fd_limit"] {};
    /// Goroutines.
    Goroutines: Gauge Count ["go_goroutines"] {};
    /// Processors that Go may use at once.
    GoMaxProcs: Gauge Count ["go_sched_gomaxprocs_threads"] {};
    /// Pauses of the garbage collector.
    GcPause: Summary Secs ["go_gc_duration_seconds"] {"quantile"};
    /// CPU time of the garbage collector (component-base 1.27+).
    GcCpu: Counter Secs ["go_cpu_classes_gc_total_cpu_seconds_total"] {};
    /// Heap in use.
    Heap: Gauge Bytes ["go_memstats_heap_inuse_bytes"] {};
    /// Unix time of the last garbage collection. Go forces one every two minutes.
    LastGc: Gauge Secs ["go_memstats_last_gc_time_seconds"] {};
    /// Time that runnable goroutines waited for a processor (component-base 1.27+).
    SchedLatency: Histogram Secs ["go_sched_latencies_seconds"] {};
    /// Time goroutines waited for mutexes.
    MutexWait: Counter Secs ["go_sync_mutex_wait_total_seconds_total"] {};
    /// Version of a Kubernetes component.
    BuildInfo: Info Count ["kubernetes_build_info"] {"git_version"};
    /// Version of Go.
    GoInfo: Info Count ["go_info"] {"version"};

    // Only to tell which process this is.
    /// Zones of the node lifecycle controller, which only kube-controller-manager runs.
    KcmMark: Gauge Count ["node_collector_zone_size", "node_collector_zone_health"] {};
    /// The kubelet's pods.
    KubeletMark: Gauge Count ["kubelet_running_pods", "kubelet_running_pod_count"] {};
}

impl Metric {
    /// What is known about it.
    pub fn info(self) -> &'static MetricInfo {
        // The table is made by the same macro, in the same order.
        METRICS
            .get(self as usize)
            .map_or(&METRICS[0].1, |(_, info)| info)
    }

    /// Whether its family appears only with the first thing that it counts: a failure, a refusal.
    /// Others are there soon after the start of a process, whatever happens.
    pub fn comes_with_its_first_event(self) -> bool {
        matches!(
            self,
            Metric::PeerSentFailures
                | Metric::EtcdRequestErrors
                | Metric::Terminations
                | Metric::Dropped
                | Metric::TerminatedWatchers
                | Metric::WebhookFailOpen
                | Metric::WebhookRejections
                | Metric::ApiServiceChecks
                | Metric::ApfRejected
                | Metric::ApfNoAccommodation
                | Metric::RestRetries
                | Metric::LeaderSlowPath
        )
    }

    /// Its newest name.
    pub fn name(self) -> &'static str {
        self.info().names.first().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_well_formed() {
        let mut seen = BTreeSet::new();
        for (at, (metric, info)) in METRICS.iter().enumerate() {
            assert_eq!(*metric as usize, at);
            assert_eq!(metric.name(), info.names[0]);
            assert!(!info.doc.trim().is_empty());
            for name in info.names {
                assert!(seen.insert(*name), "{name} twice");
                assert!(
                    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                    "{name}"
                );
                assert!(
                    !["_bucket", "_sum"].iter().any(|end| name.ends_with(end)),
                    "{name} is a part"
                );
            }
            for label in info.labels {
                assert!(!label.is_empty());
            }
            let by_name = if info.names[0].ends_with("_seconds") {
                Some(MetricUnit::Secs)
            } else if info.names[0].ends_with("_milliseconds") {
                Some(MetricUnit::Ms)
            } else if info.names[0].ends_with("_bytes") {
                Some(MetricUnit::Bytes)
            } else {
                None
            };
            assert!(
                by_name.is_none_or(|unit| unit == info.unit),
                "{:?}",
                info.names
            );
        }
    }
}
