//! What an etcd member tells about itself: disk, network, raft, space and its clients.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;
use crate::units::growth::{Growth, TimeToFull, growth, time_to_full};

use super::bracket::Hist;
use super::delta::{Change, Level};
use super::timeline::{Labels, Timeline};
use super::window::Span;

/// A histogram over a span, and whether its counts are lower bounds.
pub type Latency = Option<(Hist, bool)>;

/// gRPC calls of one method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grpc {
    /// Calls that ended.
    pub handled: f64,
    /// Calls that ended in an error other than a cancel.
    pub errors: f64,
    /// By code.
    pub codes: BTreeMap<String, f64>,
}

/// Readings of one member over a span.
#[derive(Clone, Debug, Default)]
pub struct Etcd {
    /// WAL fsync.
    pub wal_fsync: Latency,
    /// WAL write without the fsync.
    pub wal_write: Latency,
    /// Backend commit.
    pub commit: Latency,
    /// Share of the window that commits took.
    pub commit_duty: Option<f64>,
    /// Round trip time to all peers.
    pub peer_rtt: Latency,
    /// Round trip time by peer id.
    pub peer_rtt_by: BTreeMap<String, (Hist, bool)>,
    /// Messages that could not be sent, by peer id.
    pub peer_failures: BTreeMap<String, Change>,
    /// Apply time (3.5+).
    pub apply: Latency,
    /// Apply time by operation.
    pub apply_by: BTreeMap<String, (Hist, bool)>,
    /// Range time (3.6+).
    pub range: Latency,
    /// fsync of raft snapshots.
    pub snap_fsync: Latency,
    /// Backend snapshots.
    pub backend_snapshot: Latency,
    /// Defragmentations.
    pub defrag: Latency,
    /// Batches of compactions.
    pub compaction_pause: Latency,
    /// Whole compactions.
    pub compaction: Latency,
    /// Counters over the span, by metric.
    pub counts: BTreeMap<Metric, Change>,
    /// Gauges over the scrapes, by metric.
    pub gauges: BTreeMap<Metric, Level>,
    /// Rates over the span, by metric.
    pub rates: BTreeMap<Metric, f64>,
    /// Bytes per second that the database file grew of late.
    pub growth: Option<f64>,
    /// When it will be full.
    pub time_to_full: Option<TimeToFull>,
    /// gRPC calls by method.
    pub grpc: BTreeMap<String, Grpc>,
    /// Requests by type (3.5+).
    pub requests: BTreeMap<String, Change>,
    /// Alarms raised at some scrape (3.6+).
    pub alarms: Vec<Alarm>,
    /// Version of the cluster.
    pub cluster_version: Option<String>,
}

/// Counters that are read over the span.
const COUNTERS: [Metric; 27] = [
    Metric::LeaderChanges,
    Metric::HeartbeatFailures,
    Metric::ProposalsApplied,
    Metric::ProposalsCommitted,
    Metric::ProposalsFailed,
    Metric::SlowApplies,
    Metric::SlowReadIndexes,
    Metric::ReadIndexesFailed,
    Metric::HealthSuccess,
    Metric::HealthFailures,
    Metric::CurrentRevision,
    Metric::CompactRevision,
    Metric::CompactionKeys,
    Metric::MvccPut,
    Metric::MvccDelete,
    Metric::MvccTxn,
    Metric::MvccRange,
    Metric::WatchEvents,
    Metric::LeaseGranted,
    Metric::LeaseRevoked,
    Metric::LeaseRenewed,
    Metric::LeaseExpired,
    Metric::ClientReceivedBytes,
    Metric::ClientSentBytes,
    Metric::PeerSentBytes,
    Metric::PeerReceivedBytes,
    Metric::PeerSentFailures,
];

/// Gauges that are read over the scrapes.
const GAUGES: [Metric; 15] = [
    Metric::HasLeader,
    Metric::IsLeader,
    Metric::IsLearner,
    Metric::ProposalsPending,
    Metric::Quota,
    Metric::DbSize,
    Metric::DbInUse,
    Metric::OpenReadTxns,
    Metric::Keys,
    Metric::Watchers,
    Metric::WatchStreams,
    Metric::SlowWatchers,
    Metric::PendingEvents,
    Metric::DefragInflight,
    Metric::SnapshotApply,
];

/// Reads a member over a span.
pub fn etcd(line: &Timeline, span: Span) -> Etcd {
    let all = |metric| line.histogram(metric, span);
    let label = |name: &'static str| move |labels: Labels<'_>| Some(labels.get(name).to_owned());
    let commit = all(Metric::BackendCommit);
    let quota = line.gauge(Metric::Quota).map(|level| level.last);
    let size = line.gauge(Metric::DbSize);
    let full =
        quota.is_some_and(|quota| quota > 0.0 && size.is_some_and(|size| size.last >= quota));
    let growth = growth_of(line, span, full);
    Etcd {
        wal_fsync: all(Metric::WalFsync),
        wal_write: all(Metric::WalWrite),
        commit_duty: commit.as_ref().and_then(|(hist, _)| {
            let secs = line.secs_of(Metric::BackendCommit, span)?;
            Some(hist.sum? / 1000.0 / secs)
        }),
        commit,
        peer_rtt: all(Metric::PeerRtt),
        peer_rtt_by: line.histograms(Metric::PeerRtt, span, label("To")),
        peer_failures: line.counters(Metric::PeerSentFailures, span, label("To")),
        apply: all(Metric::Apply),
        apply_by: line.histograms(Metric::Apply, span, label("op")),
        range: all(Metric::RangeDuration),
        snap_fsync: all(Metric::SnapFsync),
        backend_snapshot: all(Metric::BackendSnapshot),
        defrag: all(Metric::Defrag),
        compaction_pause: all(Metric::CompactionPause),
        compaction: all(Metric::CompactionTotal),
        counts: by_metric(&COUNTERS, |metric| line.counter(metric, span)),
        gauges: by_metric(&GAUGES, |metric| line.gauge(metric)),
        rates: by_metric(&COUNTERS, |metric| line.rate(metric, span)),
        growth: growth.map(|growth| growth.per_sec),
        time_to_full: time_to_full(quota, size.map(|s| s.last), growth),
        grpc: grpc(line, span),
        requests: line.counters(Metric::ClientRequests, span, label("type")),
        alarms: alarms(line),
        cluster_version: line.info(Metric::ClusterVersion, "cluster_version"),
    }
}

fn by_metric<T>(metrics: &[Metric], read: impl Fn(Metric) -> Option<T>) -> BTreeMap<Metric, T> {
    metrics
        .iter()
        .filter_map(|metric| Some((*metric, read(*metric)?)))
        .collect()
}

/// How the file of the database grew over the scrapes.
fn growth_of(line: &Timeline, span: Span, full: bool) -> Option<Growth> {
    let points = line.gauge_points(Metric::DbSize).into_iter();
    let points = points.filter(|(column, _)| (span.from..=span.to).contains(column));
    let mut first = None;
    let points: Vec<(f64, f64)> = points
        .filter_map(|(column, size)| {
            let from = *first.get_or_insert(column);
            let to = column;
            match from == to {
                true => Some((0.0, size)),
                false => Some((line.secs(Span { from, to })?, size)),
            }
        })
        .collect();
    growth(&points, full)
}

fn grpc(line: &Timeline, span: Span) -> BTreeMap<String, Grpc> {
    let handled = line.counters(Metric::GrpcHandled, span, |labels| {
        Some(format!(
            "{} {}",
            labels.get("grpc_method"),
            labels.get("grpc_code")
        ))
    });
    let mut out: BTreeMap<String, Grpc> = BTreeMap::new();
    for (name, change) in handled {
        let Some((method, code)) = name.split_once(' ') else {
            continue;
        };
        // Every method stands there with every code from the start on, at 0.
        if change.value <= 0.0 {
            continue;
        }
        let grpc = out.entry(method.to_owned()).or_default();
        grpc.handled += change.value;
        // A watch ends canceled when its client goes: no error of etcd.
        if !matches!(code, "OK" | "Canceled") {
            grpc.errors += change.value;
        }
        grpc.codes.insert(code.to_owned(), change.value);
    }
    out
}

/// The gauge of an alarm, which is there from the first time that it is raised.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// `NOSPACE` or `CORRUPT`.
    pub name: String,
    /// At the last scrape.
    pub last: f64,
    /// How much it rose from the first scrape to the last.
    pub rise: f64,
}

fn alarms(line: &Timeline) -> Vec<Alarm> {
    let by_name = line.gauges(Metric::Alarms, |labels| {
        Some(labels.get("alarm_type").to_owned())
    });
    let newest = line.columns.len().saturating_sub(1);
    let raised = by_name
        .into_iter()
        .filter(|(_, points)| points.iter().any(|(_, value)| *value > 0.0));
    raised
        .map(|(name, points)| {
            let at = |scrape| {
                let mut of = points.iter().filter(|(column, _)| *column == scrape);
                of.next().map(|(_, value)| *value)
            };
            // Where the first scrape does not tell, it may have been raised before.
            let told = line.tells(Metric::Alarms, 0);
            let unknown = points.first().map_or(0.0, |(_, value)| *value);
            let first = at(0).unwrap_or(if told { 0.0 } else { unknown });
            let last = at(newest).unwrap_or_default();
            Alarm {
                name,
                last,
                rise: (last - first).max(0.0),
            }
        })
        .collect()
}
