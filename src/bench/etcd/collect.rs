//! From a result to evidence: what `diagnose --bundle` and `compare` read.

use crate::clock::Timestamp;
use crate::evidence::{
    Collector, EvidenceSet, Key, Origin, Row, Subject, SubjectKind, Table, Window, keys,
};
use crate::formats::bench::etcd::{BenchEtcd, Run, Summary};

/// The evidence of a result that was measured between two moments.
pub fn collect(result: &BenchEtcd, from: Timestamp, to: Timestamp) -> EvidenceSet {
    let mut set = EvidenceSet::new();
    let window = Window::between(from, to);
    let origin = || Origin::new(Collector::Bench, "bench etcd");
    let cluster = Subject::cluster();
    let mut runs = Table::default();
    for run in &result.runs {
        runs.rows.push(row(run, result));
    }
    runs.rows.sort_by(|a, b| a.key.cmp(&b.key));
    set.put(
        &keys::BENCH_ETCD_RUNS,
        cluster.clone(),
        window,
        origin(),
        runs,
    );
    if let Some(check) = &result.check_perf {
        let highest = check.highest.clone().unwrap_or_else(|| "none".to_owned());
        // Without a class that ran to its end, nothing is known.
        if check.classes.iter().any(|class| class.verdict != "unknown") {
            set.put(
                &keys::BENCH_ETCD_CHECK_PERF,
                cluster.clone(),
                window,
                origin(),
                highest,
            );
        }
    }
    // The last run is the one that the verdict rests on.
    let Some(run) = result.runs.last() else {
        return set;
    };
    let mut num = |key: &Key<f64>, subject: &Subject, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            set.put(key, subject.clone(), window, origin(), value);
        }
    };
    num(
        &keys::BENCH_ETCD_CLIENT_COST,
        &cluster,
        run.client.us_per_request,
    );
    num(&keys::BENCH_ETCD_CLIENT_SHARE, &cluster, run.client.share);
    num(&keys::BENCH_ETCD_READ_IDLE, &cluster, run.idle_read_ms);
    num(&keys::BENCH_ETCD_READ_LOADED, &cluster, run.loaded_read_ms);
    for server in &run.servers {
        let member = Subject::new(SubjectKind::Member, &server.name);
        let fsync = server.wal_fsync;
        num(&keys::BENCH_ETCD_MEMBER_CPU, &member, server.cpu_cores);
        num(
            &keys::BENCH_ETCD_MEMBER_FSYNC,
            &member,
            fsync.map(|f| f.mean_ms),
        );
        num(
            &keys::BENCH_ETCD_MEMBER_FSYNC_DUTY,
            &member,
            fsync.map(|f| f.duty),
        );
        num(
            &keys::BENCH_ETCD_MEMBER_PEER,
            &member,
            server.peer_round_trip.map(|p| p.mean_ms),
        );
    }
    if let Some(limit) = run.limits.first() {
        set.put(
            &keys::BENCH_ETCD_LIMIT,
            cluster.clone(),
            window,
            origin(),
            limit.limit.clone(),
        );
    }
    let mut errors = Table::default();
    for (kind, count) in &run.errors {
        errors.rows.push(Row::new(kind).num("count", *count as f64));
    }
    set.put(&keys::BENCH_ETCD_ERRORS, cluster, window, origin(), errors);
    set
}

fn row(run: &Run, result: &BenchEtcd) -> Row {
    let summary = &run.summary;
    let errors: u64 = run.errors.values().sum();
    let mut row = Row::new(&run.name)
        .num("count", summary.count as f64)
        .num("errors", errors as f64)
        .num("clients", run.clients as f64)
        .num("connections", run.connections as f64)
        .text("target", &result.plan.target);
    if let Some(rate) = run.rate {
        row = row.num("asked_per_sec", rate);
    }
    if summary.count > 0 {
        row = row
            .num("per_sec", summary.per_sec)
            .num("mean_ms", summary.average_secs * 1e3)
            .num("max_ms", summary.slowest_secs * 1e3);
        for (column, percent) in [("p50_ms", 50.0), ("p99_ms", 99.0)] {
            if let Some(secs) = percentile(summary, percent) {
                row = row.num(column, secs * 1e3);
            }
        }
    }
    row
}

fn percentile(summary: &Summary, percent: f64) -> Option<f64> {
    summary
        .percentiles
        .iter()
        .find(|p| (p.percent - percent).abs() < 1e-9)
        .map(|p| p.secs)
}
