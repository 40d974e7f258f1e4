//! Evidence of processes as such, of kube-scheduler, and of all that talk to kube-apiserver.

use crate::catalog::metrics::Metric;
use crate::evidence::{Row, keys};

use super::super::controllers::{client as read_client, queues, reconcilers};
use super::super::identity::Role;
use super::super::process::process as read_process;
use super::super::scheduler::scheduler as read_scheduler;
use super::super::slo;
use super::put::{Putter, maybe, quantile};

/// Puts what a process used.
pub(super) fn process(put: &mut Putter<'_>) {
    let read = read_process(put.line);
    put.rate(&keys::PROCESS_CPU, Metric::Cpu, read.cpu);
    put.phases(&keys::PROCESS_CPU_PHASES, Metric::Cpu, |line, pair, row| {
        Some(row.num("cpu", line.rate(Metric::Cpu, pair)?))
    });
    put.number(&keys::PROCESS_RSS, Metric::Rss, read.rss);
    let rows = read.fds.map(|(open, allowed)| {
        let row = Row::new("open").num("max_fds", open);
        vec![maybe(row, "limit_fds", allowed)]
    });
    put.table(&keys::PROCESS_FDS, Metric::OpenFds, rows, "max_fds", false);
    let mut go = Row::new("go");
    for (column, value) in [
        ("max_goroutines", read.goroutines),
        ("last_procs", read.max_procs),
        ("max_gc_share", read.gc_share),
        ("max_gc_pause_share", read.gc_pause),
        ("max_gc_pause_ms", read.gc_pause_max_ms),
    ] {
        go = maybe(go, column, value);
    }
    if let Some(version) = &read.go_version {
        go = go.text("version", version.clone());
    }
    let rows = Some(vec![go]).filter(|rows| rows.iter().any(|row| !row.cells.is_empty()));
    put.table(
        &keys::PROCESS_GO,
        Metric::Goroutines,
        rows,
        "max_goroutines",
        false,
    );
    let restarts = (put.line.columns.len() > 1).then_some(read.restarts as f64);
    put.rate(&keys::PROCESS_RESTARTS, Metric::StartTime, restarts);
    // Only with component-base: etcd does not expose it, and its absence is no news.
    if put.line.has(Metric::SchedLatency) {
        put.hist(
            &keys::PROCESS_SCHED_WAIT,
            Metric::SchedLatency,
            read.sched_wait,
        );
    }
    // A member has its versions at the member.
    if !put.line.target.is(Role::Etcd) {
        let rows = [("go", read.go_version), ("server", read.version)]
            .into_iter()
            .filter_map(|(row, version)| Some(Row::new(row).text("version", version?)))
            .collect();
        put.table(
            &keys::METRICS_VERSIONS,
            Metric::BuildInfo,
            Some(rows).filter(|rows: &Vec<Row>| !rows.is_empty()),
            "version",
            false,
        );
    }
}

/// Puts what kube-scheduler tells.
pub(super) fn scheduler(put: &mut Putter<'_>) {
    let read = read_scheduler(put.line, put.span);
    let rows = read.pending.map(|queues| {
        queues
            .into_iter()
            .chain(read.waiting.map(|level| ("waiting".to_owned(), level)))
            .map(|(queue, level)| {
                Row::new(queue)
                    .num("max_pods", level.max)
                    .num("last_pods", level.last)
            })
            .collect()
    });
    put.table(
        &keys::SCHEDULER_PENDING,
        Metric::PendingPods,
        rows,
        "max_pods",
        false,
    );
    let at_least = read
        .attempts
        .as_ref()
        .is_some_and(|attempts| attempts.values().any(|c| c.at_least));
    let rows = read.attempts.map(|attempts| {
        attempts
            .into_iter()
            .map(|(result, change)| Row::new(result).num("attempts", change.value))
            .collect()
    });
    put.table(
        &keys::SCHEDULER_ATTEMPTS,
        Metric::ScheduleAttempts,
        rows,
        "attempts",
        at_least,
    );
    put.hist(&keys::SCHEDULER_E2E, Metric::SchedulerE2e, read.e2e);
    put.hist(
        &keys::SCHEDULER_ATTEMPT_TOOK,
        Metric::AttemptDuration,
        read.attempt,
    );
    put.hist(
        &keys::SCHEDULER_BINDING,
        Metric::ExtensionPoint,
        read.binding,
    );
}

/// Puts what a kubelet tells about the start of pods.
pub(super) fn kubelet(put: &mut Putter<'_>) {
    let slo = slo::pod_start(put.line, put.span);
    let rows = slo.map(|slo| vec![super::apiserver::slo_row("pod-start", &slo)]);
    put.table(&keys::SLO, Metric::PodStart, rows, "requests", false);
}

/// Puts work queues, reconciles and the client of a process, where it has them.
pub(super) fn client(put: &mut Putter<'_>) {
    work_queues(put);
    let secs = put.line.secs_of(Metric::Reconciles, put.span);
    if let Some(controllers) = reconcilers(put.line, put.span) {
        let rows = controllers
            .into_iter()
            .map(|(name, c)| {
                let all = c.results.values().fold(0.0, |sum, n| sum + n);
                let requeues = c
                    .results
                    .iter()
                    .filter(|(result, _)| result.starts_with("requeue"))
                    .fold(0.0, |sum, (_, n)| sum + n);
                let mut row = Row::new(name)
                    .num("reconciles", all)
                    .num("errors", c.errors)
                    .num("requeues", requeues);
                for (column, value) in [
                    ("per_sec", secs.map(|secs| all / secs)),
                    ("limit_workers", c.workers),
                    ("max_active", c.active),
                ] {
                    row = maybe(row, column, value);
                }
                if let Some(hist) = &c.took {
                    row = maybe(row, "work_secs", hist.sum.map(|ms| ms / 1000.0));
                    row = quantile(row, hist, 0.99, "max_p99");
                }
                row
            })
            .collect();
        put.table(
            &keys::RECONCILES,
            Metric::Reconciles,
            Some(rows),
            "reconciles",
            false,
        );
    }
    // etcd is no client of kube-apiserver.
    if put.line.target.roles == [Role::Etcd] {
        return;
    }
    let read = read_client(put.line, put.span);
    put.hist(
        &keys::CLIENT_LIMITER_WAIT,
        Metric::LimiterWait,
        read.limiter,
    );
    put.rate(&keys::CLIENT_REQUESTS_RATE, Metric::RestRequests, read.rate);
    put.hist(
        &keys::CLIENT_REQUESTS_TOOK,
        Metric::ClientDuration,
        read.took,
    );
    let at_least = read.codes.values().any(|c| c.at_least);
    let rows = put.line.has(Metric::RestRequests).then(|| {
        read.codes
            .into_iter()
            .filter(|(_, change)| change.value > 0.0)
            .map(|(name, change)| Row::new(name).num("requests", change.value))
            .collect()
    });
    put.table(
        &keys::CLIENT_REQUESTS,
        Metric::RestRequests,
        rows,
        "requests",
        at_least,
    );
    put.phases(
        &keys::CLIENT_PHASES,
        Metric::RestRequests,
        |line, pair, row| {
            let mut row = maybe(
                row,
                "requests_per_sec",
                line.rate(Metric::RestRequests, pair),
            );
            if let Some((hist, _)) = line.histogram(Metric::LimiterWait, pair) {
                row = row.num("waits", hist.count());
                row = maybe(row, "wait_mean_ms", hist.mean());
                row = quantile(row, &hist, 0.99, "wait_p99");
            }
            Some(row)
        },
    );
}

fn work_queues(put: &mut Putter<'_>) {
    let Some(all) = queues(put.line, put.span) else {
        return;
    };
    let secs = put.line.secs_of(Metric::QueueAdds, put.span);
    let at_least = all.values().any(|queue| queue.at_least);
    let mut busy: Vec<String> = Vec::new();
    let rows = all
        .into_iter()
        .map(|(name, queue)| {
            if queue.adds > 0.0 || queue.depth.is_some_and(|depth| depth.max > 0.0) {
                busy.push(name.clone());
            }
            let mut row = Row::new(name)
                .num("adds", queue.adds)
                .num("retries", queue.retries);
            for (column, value) in [
                ("max_depth", queue.depth.map(|d| d.max)),
                ("max_standing_depth", queue.standing),
                ("last_depth", queue.depth.map(|d| d.last)),
                ("max_unfinished_secs", queue.unfinished),
                ("max_longest_secs", queue.longest),
                ("max_adds_per_sec", secs.map(|secs| queue.adds / secs)),
                ("max_retries_per_sec", secs.map(|secs| queue.retries / secs)),
            ] {
                row = maybe(row, column, value);
            }
            if let Some(hist) = &queue.wait {
                row = maybe(row, "queue_secs", hist.sum.map(|ms| ms / 1000.0));
                row = quantile(row, hist, 0.99, "max_wait_p99");
            }
            if let Some(hist) = &queue.work {
                row = row.num("done", hist.count());
                row = maybe(row, "work_secs", hist.sum.map(|ms| ms / 1000.0));
                row = quantile(row, hist, 0.99, "max_work_p99");
            }
            row
        })
        .collect();
    put.table(
        &keys::WORKQUEUES,
        Metric::QueueAdds,
        Some(rows),
        "adds",
        at_least,
    );
    put.queue_phases(&keys::WORKQUEUE_PHASES, &busy);
}
