//! Evidence of an etcd member.

use crate::catalog::metrics::Metric;
use crate::evidence::{Key, Missing, Row, Table, keys};

use super::super::etcd::{Etcd, etcd};
use super::super::timeline::Timeline;
use super::super::window::Span;
use super::put::{Putter, brackets, maybe, p99_of_phase, quantile};
use crate::units::growth::TimeToFull;

/// Puts everything that a member tells.
pub(super) fn member(put: &mut Putter<'_>) {
    let read = etcd(put.line, put.span);
    disk(put, &read);
    raft(put, &read);
    space(put, &read);
    clients(put, &read);
    phases(put);
}

fn disk(put: &mut Putter<'_>, read: &Etcd) {
    put.hist(&keys::WAL_FSYNC, Metric::WalFsync, read.wal_fsync.clone());
    put.hist(&keys::WAL_WRITE, Metric::WalWrite, read.wal_write.clone());
    put.hist(
        &keys::WAL_COMMIT,
        Metric::BackendCommit,
        read.commit.clone(),
    );
    put.rate(&keys::COMMIT_DUTY, Metric::BackendCommit, read.commit_duty);
    put.hist(
        &keys::SNAPSHOT_FSYNC,
        Metric::SnapFsync,
        read.snap_fsync.clone(),
    );
    put.hist(&keys::DEFRAG, Metric::Defrag, read.defrag.clone());
    put.hist(
        &keys::COMPACTION,
        Metric::CompactionTotal,
        read.compaction.clone(),
    );
    put.hist(
        &keys::COMPACTION_PAUSE,
        Metric::CompactionPause,
        read.compaction_pause.clone(),
    );
}

fn raft(put: &mut Putter<'_>, read: &Etcd) {
    put.hist(&keys::PEER_RTT, Metric::PeerRtt, read.peer_rtt.clone());
    let rows = read
        .peer_rtt_by
        .iter()
        .map(|(peer, (hist, _))| {
            let row = brackets(Row::new(peer.clone()).num("count", hist.count()), hist, "");
            let failures = read.peer_failures.get(peer).map(|c| c.value);
            maybe(row, "send_failures", failures)
        })
        .collect();
    let rows = Some(rows).filter(|rows: &Vec<Row>| !rows.is_empty());
    put.table(&keys::PEER_RTT_BY, Metric::PeerRtt, rows, "count", false);
    put.hist(&keys::SERVER_APPLY, Metric::Apply, read.apply.clone());
    let rows = read.apply.as_ref().map(|_| {
        read.apply_by
            .iter()
            .filter(|(_, (hist, _))| hist.count() > 0.0)
            .map(|(op, (hist, _))| {
                let row = Row::new(op.clone()).num("applies", hist.count());
                let row = maybe(row, "total_secs", hist.sum.map(|ms| ms / 1000.0));
                quantile(row, hist, 0.99, "max_p99")
            })
            .collect()
    });
    put.table(
        &keys::SERVER_APPLY_BY,
        Metric::Apply,
        rows,
        "applies",
        false,
    );
    put.hist(
        &keys::SERVER_RANGE,
        Metric::RangeDuration,
        read.range.clone(),
    );
    put.series(&keys::HAS_LEADER, Metric::HasLeader);
    put.series(&keys::IS_LEADER, Metric::IsLeader);
    put.series(&keys::IS_LEARNER, Metric::IsLearner);
    put.series(&keys::PROPOSALS_APPLIED, Metric::ProposalsApplied);
    put.series(&keys::PROPOSALS_COMMITTED, Metric::ProposalsCommitted);
    let counts: [(&Key<f64>, Metric); 6] = [
        (&keys::LEADER_CHANGES, Metric::LeaderChanges),
        (&keys::HEARTBEAT_FAILURES, Metric::HeartbeatFailures),
        (&keys::PROPOSALS_FAILED, Metric::ProposalsFailed),
        (&keys::SLOW_APPLIES, Metric::SlowApplies),
        (&keys::SLOW_READ_INDEXES, Metric::SlowReadIndexes),
        (&keys::READ_INDEXES_FAILED, Metric::ReadIndexesFailed),
    ];
    for (key, metric) in counts {
        put.count(key, metric, read.counts.get(&metric).copied());
    }
    put.number(
        &keys::PROPOSALS_PENDING,
        Metric::ProposalsPending,
        read.gauges.get(&Metric::ProposalsPending).map(|g| g.max),
    );
    put.rate(
        &keys::PROPOSALS_RATE,
        Metric::ProposalsCommitted,
        read.rates.get(&Metric::ProposalsCommitted).copied(),
    );
    let id = put.line.target.member_id.clone();
    put.put(&keys::MEMBER_ID, id, false, || Missing::NotPresent {
        source: "`etcd_server_id`".to_owned(),
    });
    // Exposed with 3.6 and only while one is raised: absence says nothing before 3.6.
    if !read.alarms.is_empty() {
        let rows = read
            .alarms
            .iter()
            .map(|alarm| {
                Row::new(alarm.name.clone())
                    .num("last_raised", alarm.last)
                    .num("max_raised", 1.0)
                    .num("max_rise", alarm.rise)
            })
            .collect();
        put.table(
            &keys::SERVER_ALARMS,
            Metric::Alarms,
            Some(rows),
            "max_raised",
            false,
        );
    }
    let process = super::super::process::process(put.line);
    let versions = [
        ("cluster", read.cluster_version.clone()),
        ("go", process.go_version),
        ("server", process.version),
    ]
    .into_iter()
    .filter_map(|(row, version)| Some(Row::new(row).text("version", version?)))
    .collect();
    put.table(
        &keys::METRICS_VERSIONS,
        Metric::EtcdVersion,
        Some(versions).filter(|rows: &Vec<Row>| !rows.is_empty()),
        "version",
        false,
    );
}

fn space(put: &mut Putter<'_>, read: &Etcd) {
    let last = |metric| read.gauges.get(&metric).map(|g| g.last);
    put.series(&keys::DB_SIZE, Metric::DbSize);
    put.number(&keys::DB_IN_USE, Metric::DbInUse, last(Metric::DbInUse));
    // 0 before etcd 3.6.6 in some set-ups: not a quota.
    put.number(
        &keys::DB_QUOTA,
        Metric::Quota,
        last(Metric::Quota).filter(|quota| *quota > 0.0),
    );
    put.rate(&keys::DB_GROWTH, Metric::DbSize, read.growth);
    let why = || Missing::NotEnough {
        why: "the window or the growth of the database is too small to say when it is full"
            .to_owned(),
    };
    let secs = match read.time_to_full {
        Some(TimeToFull::Full) => Some(0.0),
        Some(TimeToFull::Secs(secs)) => Some(secs),
        Some(TimeToFull::NotEnough) | None => None,
    };
    put.put(&keys::DB_TIME_TO_FULL, secs, false, why);
    put.number(&keys::SERVER_KEYS, Metric::Keys, last(Metric::Keys));
}

/// Rows of the table of counters.
const COUNTERS: [(&str, Metric); 17] = [
    ("client-bytes-in", Metric::ClientReceivedBytes),
    ("client-bytes-out", Metric::ClientSentBytes),
    ("compacted-keys", Metric::CompactionKeys),
    ("deletes", Metric::MvccDelete),
    ("health-failures", Metric::HealthFailures),
    ("leases-expired", Metric::LeaseExpired),
    ("leases-granted", Metric::LeaseGranted),
    ("leases-renewed", Metric::LeaseRenewed),
    ("leases-revoked", Metric::LeaseRevoked),
    ("peer-bytes-in", Metric::PeerReceivedBytes),
    ("peer-bytes-out", Metric::PeerSentBytes),
    ("peer-send-failures", Metric::PeerSentFailures),
    ("puts", Metric::MvccPut),
    ("ranges", Metric::MvccRange),
    ("revisions", Metric::CurrentRevision),
    ("txns", Metric::MvccTxn),
    ("watch-events", Metric::WatchEvents),
];

fn clients(put: &mut Putter<'_>, read: &Etcd) {
    let secs = put.line.secs_of(Metric::GrpcHandled, put.span);
    let rows: Vec<Row> = read
        .grpc
        .iter()
        .map(|(method, grpc)| {
            let row = Row::new(method.clone())
                .num("calls", grpc.handled)
                .num("errors", grpc.errors);
            let row = maybe(row, "per_sec", secs.map(|secs| grpc.handled / secs));
            grpc.codes
                .iter()
                .fold(row, |row, (code, count)| row.num(code, *count))
        })
        .collect();
    let rows = put.line.has(Metric::GrpcHandled).then_some(rows);
    put.table(
        &keys::SERVER_GRPC,
        Metric::GrpcHandled,
        rows,
        "calls",
        false,
    );
    let rows: Vec<Row> = COUNTERS
        .iter()
        .filter_map(|(name, metric)| {
            let change = read.counts.get(metric)?;
            let row = Row::new(*name).num("count", change.value);
            Some(maybe(row, "per_sec", read.rates.get(metric).copied()))
        })
        .collect();
    let rows = Some(rows).filter(|rows| !rows.is_empty());
    put.table(
        &keys::SERVER_COUNTERS,
        Metric::MvccPut,
        rows,
        "count",
        false,
    );
    put.series(&keys::SLOW_WATCHERS, Metric::SlowWatchers);
    let rows: Vec<Row> = [
        ("pending-events", Metric::PendingEvents),
        ("slow", Metric::SlowWatchers),
        ("streams", Metric::WatchStreams),
        ("watchers", Metric::Watchers),
    ]
    .into_iter()
    .filter_map(|(name, metric)| {
        let level = read.gauges.get(&metric)?;
        Some(
            Row::new(name)
                .num("max_count", level.max)
                .num("last_count", level.last),
        )
    })
    .collect();
    let rows = Some(rows).filter(|rows| !rows.is_empty());
    put.table(&keys::WATCHERS, Metric::Watchers, rows, "max_count", false);
}

fn phases(put: &mut Putter<'_>) {
    let hists: [(&Key<Table>, Metric); 3] = [
        (&keys::WAL_FSYNC_PHASES, Metric::WalFsync),
        (&keys::COMMIT_PHASES, Metric::BackendCommit),
        (&keys::PEER_RTT_PHASES, Metric::PeerRtt),
    ];
    for (key, metric) in hists {
        put.phases(key, metric, |line, pair, row| {
            let (hist, _) = line.histogram(metric, pair)?;
            let row = brackets(row.num("count", hist.count()), &hist, "");
            Some(p99_of_phase(row, &hist, "p99"))
        });
    }
    put.phases(
        &keys::MEMBER_PHASES,
        Metric::ProposalsCommitted,
        member_phase,
    );
}

fn member_phase(line: &Timeline, pair: Span, row: Row) -> Option<Row> {
    let count = |metric| line.counter(metric, pair).map(|c| c.value);
    let secs = line.secs(pair)?;
    let mut row = row;
    for (column, value) in [
        (
            "proposals_per_sec",
            line.rate(Metric::ProposalsCommitted, pair),
        ),
        ("slow_applies", count(Metric::SlowApplies)),
        ("slow_read_indexes", count(Metric::SlowReadIndexes)),
        ("read_indexes_failed", count(Metric::ReadIndexesFailed)),
        ("proposals_failed", count(Metric::ProposalsFailed)),
        ("leader_changes", count(Metric::LeaderChanges)),
        ("heartbeat_failures", count(Metric::HeartbeatFailures)),
        ("cpu", line.rate(Metric::Cpu, pair)),
        (
            "commit_duty",
            line.histogram(Metric::BackendCommit, pair)
                .and_then(|(hist, _)| Some(hist.sum? / 1000.0 / secs)),
        ),
        (
            "db_bytes",
            line.gauge_points(Metric::DbSize)
                .into_iter()
                .find(|(column, _)| *column == pair.to)
                .map(|(_, value)| value),
        ),
    ] {
        row = maybe(row, column, value);
    }
    if let Some((hist, _)) = line.histogram(Metric::Apply, pair) {
        row = maybe(row, "apply_mean_ms", hist.mean());
        row = quantile(row, &hist, 0.99, "apply_p99");
    }
    Some(row)
}
