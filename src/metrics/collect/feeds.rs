//! Which evidence each metric feeds, for `explain`.

use crate::catalog::metrics::Metric;
use crate::evidence::keys;

/// Names of the evidence keys that a metric feeds. Empty for one that only tells whose a scrape is
/// or that no reading needs.
pub fn feeds(metric: Metric) -> &'static [&'static str] {
    match metric {
        Metric::WalFsync => &[keys::WAL_FSYNC.info.name, keys::WAL_FSYNC_PHASES.info.name],
        Metric::WalWrite => &[keys::WAL_WRITE.info.name],
        Metric::BackendCommit => &[
            keys::WAL_COMMIT.info.name,
            keys::COMMIT_DUTY.info.name,
            keys::COMMIT_PHASES.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::SnapFsync => &[keys::SNAPSHOT_FSYNC.info.name],
        Metric::Defrag => &[keys::DEFRAG.info.name],
        Metric::PeerRtt => &[
            keys::PEER_RTT.info.name,
            keys::PEER_RTT_BY.info.name,
            keys::PEER_RTT_PHASES.info.name,
        ],
        Metric::PeerSentFailures => &[keys::PEER_RTT_BY.info.name, keys::SERVER_COUNTERS.info.name],
        Metric::PeerSentBytes
        | Metric::PeerReceivedBytes
        | Metric::ClientReceivedBytes
        | Metric::ClientSentBytes
        | Metric::HealthFailures
        | Metric::CurrentRevision
        | Metric::CompactionKeys
        | Metric::MvccPut
        | Metric::MvccDelete
        | Metric::MvccTxn
        | Metric::MvccRange
        | Metric::WatchEvents
        | Metric::LeaseGranted
        | Metric::LeaseRevoked
        | Metric::LeaseRenewed
        | Metric::LeaseExpired => &[keys::SERVER_COUNTERS.info.name],
        Metric::Apply => &[
            keys::SERVER_APPLY.info.name,
            keys::SERVER_APPLY_BY.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::RangeDuration => &[keys::SERVER_RANGE.info.name],
        Metric::HasLeader => &[keys::HAS_LEADER.info.name],
        Metric::IsLeader => &[keys::IS_LEADER.info.name],
        Metric::IsLearner => &[keys::IS_LEARNER.info.name],
        Metric::ProposalsApplied => &[keys::PROPOSALS_APPLIED.info.name],
        Metric::LeaderChanges => &[
            keys::LEADER_CHANGES.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::HeartbeatFailures => &[
            keys::HEARTBEAT_FAILURES.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::ProposalsCommitted => &[
            keys::PROPOSALS_COMMITTED.info.name,
            keys::PROPOSALS_RATE.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::ProposalsFailed => &[
            keys::PROPOSALS_FAILED.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::ProposalsPending => &[keys::PROPOSALS_PENDING.info.name],
        Metric::SlowApplies => &[keys::SLOW_APPLIES.info.name, keys::MEMBER_PHASES.info.name],
        Metric::SlowReadIndexes => &[
            keys::SLOW_READ_INDEXES.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::ReadIndexesFailed => &[
            keys::READ_INDEXES_FAILED.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::Alarms => &[keys::SERVER_ALARMS.info.name],
        Metric::GrpcHandled => &[keys::SERVER_GRPC.info.name],
        Metric::Quota => &[keys::DB_QUOTA.info.name, keys::DB_TIME_TO_FULL.info.name],
        Metric::DbSize => &[
            keys::DB_SIZE.info.name,
            keys::DB_GROWTH.info.name,
            keys::DB_TIME_TO_FULL.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::DbInUse => &[keys::DB_IN_USE.info.name],
        Metric::Keys => &[keys::SERVER_KEYS.info.name],
        Metric::CompactionPause => &[keys::COMPACTION_PAUSE.info.name],
        Metric::CompactionTotal => &[keys::COMPACTION.info.name],
        Metric::Watchers | Metric::WatchStreams | Metric::PendingEvents => {
            &[keys::WATCHERS.info.name]
        }
        Metric::SlowWatchers => &[keys::WATCHERS.info.name, keys::SLOW_WATCHERS.info.name],
        Metric::EtcdVersion | Metric::ClusterVersion | Metric::BuildInfo => {
            &[keys::METRICS_VERSIONS.info.name]
        }
        Metric::ServerId => &[keys::MEMBER_ID.info.name],
        Metric::EtcdRequest => &[
            keys::APISERVER_ETCD_REQUESTS.info.name,
            keys::APISERVER_ETCD_TOOK.info.name,
            keys::APISERVER_ETCD_LATENCY.info.name,
            keys::APISERVER_PHASES.info.name,
        ],
        Metric::EtcdRequests | Metric::EtcdRequestErrors => {
            &[keys::APISERVER_ETCD_REQUESTS.info.name]
        }
        Metric::Objects | Metric::ObjectBytes => &[keys::APISERVER_OBJECTS.info.name],
        Metric::StorageSize => &[keys::APISERVER_DB_SIZE.info.name],
        Metric::ListTotal
        | Metric::ListFetched
        | Metric::ListEvaluated
        | Metric::ListReturned
        | Metric::CacheListTotal
        | Metric::CacheListFetched
        | Metric::CacheListReturned
        | Metric::ConsistentReads => &[keys::APISERVER_LISTS.info.name],
        Metric::ApiRequests => &[
            keys::APISERVER_REQUESTS.info.name,
            keys::APISERVER_REQUESTS_429.info.name,
            keys::APISERVER_REQUESTS_5XX.info.name,
            keys::APISERVER_REQUESTS_RATE.info.name,
            keys::APISERVER_CODES.info.name,
            keys::APISERVER_PHASES.info.name,
        ],
        Metric::ApiDuration => &[keys::APISERVER_REQUESTS.info.name, keys::SLO.info.name],
        Metric::ApiSli | Metric::PodStart => &[keys::SLO.info.name],
        Metric::Terminations => &[keys::APISERVER_TERMINATIONS.info.name],
        Metric::Inflight | Metric::Inqueue => &[
            keys::APISERVER_INFLIGHT.info.name,
            keys::APISERVER_PHASES.info.name,
        ],
        Metric::LongRunning => &[keys::APISERVER_LONGRUNNING.info.name],
        Metric::ApiWatchEvents => &[keys::APISERVER_WATCH_EVENTS.info.name],
        Metric::Webhooks | Metric::WebhookFailOpen | Metric::WebhookRejections => {
            &[keys::APISERVER_WEBHOOKS.info.name]
        }
        Metric::ApiServiceDown | Metric::ApiServiceChecks => {
            &[keys::APISERVER_APISERVICES.info.name]
        }
        Metric::KmsCalls => &[keys::APISERVER_KMS.info.name],
        Metric::Dropped => &[keys::APISERVER_DROPPED.info.name],
        Metric::ApfRejected
        | Metric::ApfDispatched
        | Metric::ApfInqueueRequests
        | Metric::ApfWait => &[keys::APF_LEVELS.info.name, keys::APF_FLOWS.info.name],
        Metric::ApfExecutingSeats
        | Metric::ApfNominalLimit
        | Metric::ApfCurrentLimit
        | Metric::ApfLowerLimit
        | Metric::ApfUpperLimit
        | Metric::ApfHighWatermark
        | Metric::ApfExecution
        | Metric::ApfNoAccommodation => &[keys::APF_LEVELS.info.name],
        Metric::PendingPods => &[keys::SCHEDULER_PENDING.info.name],
        Metric::ScheduleAttempts => &[keys::SCHEDULER_ATTEMPTS.info.name],
        Metric::SchedulerE2e => &[keys::SCHEDULER_E2E.info.name],
        Metric::AttemptDuration => &[keys::SCHEDULER_ATTEMPT_TOOK.info.name],
        Metric::BindingDuration | Metric::ExtensionPoint => &[keys::SCHEDULER_BINDING.info.name],
        Metric::QueueDepth | Metric::QueueAdds | Metric::QueueRetries => {
            &[keys::WORKQUEUES.info.name, keys::WORKQUEUE_PHASES.info.name]
        }
        Metric::QueueWait | Metric::QueueWork | Metric::QueueUnfinished | Metric::QueueLongest => {
            &[keys::WORKQUEUES.info.name]
        }
        Metric::LimiterWait => &[
            keys::CLIENT_LIMITER_WAIT.info.name,
            keys::CLIENT_PHASES.info.name,
        ],
        Metric::ClientDuration => &[keys::CLIENT_REQUESTS_TOOK.info.name],
        Metric::RestRequests => &[
            keys::CLIENT_REQUESTS.info.name,
            keys::CLIENT_REQUESTS_RATE.info.name,
            keys::CLIENT_PHASES.info.name,
        ],
        Metric::Reconciles
        | Metric::ReconcileErrors
        | Metric::ReconcileTime
        | Metric::MaxConcurrent
        | Metric::ActiveWorkers => &[keys::RECONCILES.info.name],
        Metric::Cpu => &[
            keys::PROCESS_CPU.info.name,
            keys::PROCESS_CPU_PHASES.info.name,
            keys::MEMBER_PHASES.info.name,
        ],
        Metric::StartTime => &[keys::PROCESS_RESTARTS.info.name],
        Metric::Rss => &[keys::PROCESS_RSS.info.name],
        Metric::OpenFds | Metric::MaxFds => &[keys::PROCESS_FDS.info.name],
        Metric::Goroutines | Metric::GoMaxProcs | Metric::GcPause | Metric::GcCpu => {
            &[keys::PROCESS_GO.info.name]
        }
        Metric::SchedLatency => &[keys::PROCESS_SCHED_WAIT.info.name],
        Metric::GoInfo => &[keys::PROCESS_GO.info.name, keys::METRICS_VERSIONS.info.name],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalog::metrics::METRICS;

    #[test]
    fn every_key_of_metrics_is_fed() {
        let fed: BTreeSet<&str> = METRICS
            .iter()
            .flat_map(|(metric, _)| feeds(*metric))
            .copied()
            .collect();
        // These two are about the scrapes themselves.
        let own = [
            keys::METRICS_COVERAGE.info.name,
            keys::METRICS_FAULTS.info.name,
        ];
        let all: BTreeSet<&str> = keys::METRICS
            .iter()
            .map(|info| info.name)
            .filter(|name| !own.contains(name))
            .collect();
        assert_eq!(fed, all);
    }
}
