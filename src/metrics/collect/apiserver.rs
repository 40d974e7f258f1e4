//! Evidence of a kube-apiserver.

use std::collections::BTreeSet;

use crate::catalog::metrics::Metric;
use crate::evidence::{Row, keys};

use super::super::apiserver::{Apiserver, apiserver as read_apiserver};
use super::super::slo::Slo;
use super::super::timeline::Timeline;
use super::super::window::Span;
use super::put::{Putter, brackets, maybe, p99_of_phase, quantile};

/// Puts everything that a kube-apiserver tells.
pub(super) fn apiserver(put: &mut Putter<'_>) {
    let read = read_apiserver(put.line, put.span);
    requests(put, &read);
    etcd(put, &read);
    fairness(put, &read);
    work(put, &read);
    put.phases(&keys::APISERVER_PHASES, Metric::ApiRequests, phase);
}

fn requests(put: &mut Putter<'_>, read: &Apiserver) {
    let secs = put.line.secs_of(Metric::ApiRequests, put.span);
    let rows = read.requests.as_ref().map(|requests| {
        requests
            .iter()
            .map(|(name, r)| {
                let row = Row::new(name.clone())
                    .num("requests", r.requests)
                    .num("errors", r.errors)
                    .num("timeouts", r.timeouts)
                    .num("throttled", r.throttled)
                    .num("not_found", r.not_found)
                    .num("conflicts", r.conflicts)
                    .num("refused", r.refused);
                let row = maybe(row, "total_secs", r.total_secs);
                maybe(row, "per_sec", secs.map(|secs| r.requests / secs))
            })
            .collect()
    });
    put.table(
        &keys::APISERVER_REQUESTS,
        Metric::ApiRequests,
        rows,
        "requests",
        read.at_least,
    );
    let known = read.requests.is_some();
    let of_codes = |wanted: fn(&str) -> bool| {
        known.then(|| {
            let values = read.codes.iter().filter(|(code, _)| wanted(code));
            super::super::delta::Change {
                value: values.fold(0.0, |sum, (_, change)| sum + change.value),
                at_least: read.at_least,
            }
        })
    };
    put.count(
        &keys::APISERVER_REQUESTS_429,
        Metric::ApiRequests,
        of_codes(|code| code == "429"),
    );
    put.count(
        &keys::APISERVER_REQUESTS_5XX,
        Metric::ApiRequests,
        of_codes(|code| code.starts_with('5')),
    );
    let answered: Option<f64> = read.requests.as_ref().map(|requests| {
        requests
            .iter()
            .filter(|(name, _)| !name.starts_with("WATCH"))
            .fold(0.0, |sum, (_, r)| sum + r.requests)
    });
    put.rate(
        &keys::APISERVER_REQUESTS_RATE,
        Metric::ApiRequests,
        answered.and_then(|answered| Some(answered / secs?)),
    );
    let rows = known.then(|| {
        read.codes
            .iter()
            .filter(|(_, change)| change.value > 0.0)
            .map(|(code, change)| Row::new(code.clone()).num("requests", change.value))
            .collect()
    });
    put.table(
        &keys::APISERVER_CODES,
        Metric::ApiRequests,
        rows,
        "requests",
        read.at_least,
    );
    // Printed from the first one on: absent beside other request counters, there was none.
    let terminations = read
        .terminations
        .or_else(|| known.then(super::super::delta::Change::default));
    put.count(
        &keys::APISERVER_TERMINATIONS,
        Metric::Terminations,
        terminations,
    );
    // Only old servers count these; by that alone they are no evidence that is missing from others.
    if let Some(dropped) = read.dropped {
        put.count(&keys::APISERVER_DROPPED, Metric::Dropped, Some(dropped));
    }
    let rows = read.inflight.as_ref().map(|kinds| {
        kinds
            .iter()
            .map(|(kind, level)| {
                let row = Row::new(kind.clone())
                    .num("max_inflight", level.max)
                    .num("last_inflight", level.last);
                maybe(row, "max_inqueue", read.inqueue.get(kind).map(|l| l.max))
            })
            .collect()
    });
    put.table(
        &keys::APISERVER_INFLIGHT,
        Metric::Inflight,
        rows,
        "max_inflight",
        false,
    );
    let rows = (!read.longrunning.is_empty()).then(|| {
        read.longrunning
            .iter()
            .filter(|(_, level)| level.max > 0.0)
            .map(|(name, level)| {
                Row::new(name.clone())
                    .num("max_requests", level.max)
                    .num("last_requests", level.last)
            })
            .collect()
    });
    put.table(
        &keys::APISERVER_LONGRUNNING,
        Metric::LongRunning,
        rows,
        "max_requests",
        false,
    );
    let rows = read.slos.iter().map(|(name, slo)| slo_row(name, slo));
    let rows: Vec<Row> = rows.collect();
    put.table(
        &keys::SLO,
        Metric::ApiSli,
        Some(rows).filter(|rows| !rows.is_empty()),
        "requests",
        false,
    );
}

/// One objective as a row.
pub(super) fn slo_row(name: &str, slo: &Slo) -> Row {
    let row = Row::new(name)
        .num("max_p99_low_ms", slo.p99_ms.0)
        .num("limit_ms", slo.limit_ms)
        .num("requests", slo.requests)
        .num("missed", slo.missed)
        .text("worst", slo.worst.clone());
    maybe(row, "max_p99_ms", Some(slo.p99_ms.1))
}

fn etcd(put: &mut Putter<'_>, read: &Apiserver) {
    let secs = put.line.secs_of(Metric::EtcdRequest, put.span);
    let rows = read.etcd.as_ref().map(|resources| {
        resources
            .iter()
            .map(|(resource, used)| {
                let row = Row::new(resource.clone())
                    .num("requests", used.requests())
                    .num("lists", used.lists)
                    .num("gets", used.gets)
                    .num("writes", used.writes)
                    .num("errors", used.errors)
                    .num("list_secs", used.list_secs)
                    .num("get_secs", used.get_secs)
                    .num("write_secs", used.write_secs);
                let row = maybe(row, "total_secs", used.total_secs);
                maybe(row, "per_sec", secs.map(|secs| used.requests() / secs))
            })
            .collect()
    });
    let at_least = read.etcd_took.as_ref().is_some_and(|(_, l)| *l);
    put.table(
        &keys::APISERVER_ETCD_REQUESTS,
        Metric::EtcdRequest,
        rows,
        "requests",
        at_least,
    );
    put.hist(
        &keys::APISERVER_ETCD_TOOK,
        Metric::EtcdRequest,
        read.etcd_took.clone(),
    );
    let rows = read.etcd_took.as_ref().map(|_| {
        read.etcd_took_by
            .iter()
            .filter(|(_, (hist, _))| hist.count() > 0.0)
            .map(|(name, (hist, _))| {
                let row = Row::new(name.clone()).num("requests", hist.count());
                let row = maybe(row, "total_secs", hist.sum.map(|ms| ms / 1000.0));
                brackets(row, hist, "max_")
            })
            .collect()
    });
    put.table(
        &keys::APISERVER_ETCD_LATENCY,
        Metric::EtcdRequest,
        rows,
        "total_secs",
        at_least,
    );
    put.number(&keys::APISERVER_DB_SIZE, Metric::StorageSize, read.db_size);
}

fn fairness(put: &mut Putter<'_>, read: &Apiserver) {
    let rows = read.levels.as_ref().map(|levels| {
        levels
            .iter()
            .map(|(name, level)| {
                let of = |reason: &str| level.rejected.get(reason).copied().unwrap_or_default();
                let mut row = Row::new(name.clone())
                    .num("rejected", level.all_rejected())
                    .num("queue_full", of("queue-full"))
                    .num("timed_out", of("time-out"))
                    .num("cancelled", of("cancelled"));
                for (column, value) in [
                    ("dispatched", level.dispatched),
                    ("limit_seats", level.nominal_seats),
                    ("limit_current_seats", level.current_seats),
                    ("limit_lower_seats", level.lower_seats),
                    ("limit_upper_seats", level.upper_seats),
                    ("max_demand_seats", level.demand_seats),
                    ("max_inqueue", level.inqueue),
                    ("max_executing_seats", level.executing_seats),
                    ("no_accommodation", level.no_accommodation),
                ] {
                    row = maybe(row, column, value);
                }
                if let Some(wait) = &level.wait {
                    row = maybe(row, "wait_secs", wait.sum.map(|ms| ms / 1000.0));
                    if let Some((low, high)) = wait.bracket(0.99) {
                        row = row.num("wait_p99_low_ms", low);
                        row = maybe(row, "max_wait_p99_high_ms", Some(high));
                    }
                }
                let execution = level.execution.as_ref().and_then(|hist| hist.sum);
                maybe(row, "execution_secs", execution.map(|ms| ms / 1000.0))
            })
            .collect()
    });
    let at_least = read
        .levels
        .as_ref()
        .is_some_and(|levels| levels.values().any(|level| level.at_least));
    put.table(
        &keys::APF_LEVELS,
        Metric::ApfDispatched,
        rows,
        "dispatched",
        at_least,
    );
    let rows = read.levels.as_ref().map(|_| {
        read.flows
            .iter()
            .map(|(name, flow)| {
                let row = Row::new(name.clone())
                    .num("rejected", flow.rejected)
                    .num("queue_full", flow.queue_full);
                let row = maybe(row, "dispatched", flow.dispatched);
                let row = maybe(row, "max_inqueue", flow.inqueue);
                match &flow.wait {
                    Some(wait) => quantile(row, wait, 0.99, "max_wait_p99"),
                    None => row,
                }
            })
            .collect()
    });
    put.table(
        &keys::APF_FLOWS,
        Metric::ApfDispatched,
        rows,
        "dispatched",
        at_least,
    );
}

fn work(put: &mut Putter<'_>, read: &Apiserver) {
    let rows = read.lists.as_ref().map(|lists| {
        lists
            .iter()
            .map(|(resource, list)| {
                let mut row = Row::new(resource.clone());
                let storage = ["lists", "fetched", "evaluated", "returned"];
                let cache = ["cache_lists", "cache_fetched", "cache_returned"];
                for (column, value) in storage
                    .iter()
                    .zip(list.storage)
                    .chain(cache.iter().zip(list.cache))
                {
                    row = maybe(row, column, value);
                }
                if let Some((reads, fallbacks)) = list.consistent {
                    row = row
                        .num("consistent_reads", reads)
                        .num("consistent_fallbacks", fallbacks);
                }
                row
            })
            .collect()
    });
    put.table(
        &keys::APISERVER_LISTS,
        Metric::ListTotal,
        rows,
        "fetched",
        false,
    );
    let rows = read.objects.as_ref().map(|objects| {
        objects
            .iter()
            .map(|(resource, o)| {
                let row = Row::new(resource.clone())
                    .num("last_objects", o.last)
                    .num("added", o.last - o.first);
                maybe(row, "last_bytes", o.bytes)
            })
            .collect()
    });
    put.table(
        &keys::APISERVER_OBJECTS,
        Metric::Objects,
        rows,
        "last_objects",
        false,
    );
    let rows = put.line.has(Metric::ApiWatchEvents).then(|| {
        read.watch_events
            .iter()
            .filter(|(_, change)| change.value > 0.0)
            .map(|(resource, change)| Row::new(resource.clone()).num("events", change.value))
            .collect()
    });
    put.table(
        &keys::APISERVER_WATCH_EVENTS,
        Metric::ApiWatchEvents,
        rows,
        "events",
        false,
    );
    backends(put, read);
}

/// What it asks besides etcd. None of them configured is the usual case, and nothing is missing then.
fn backends(put: &mut Putter<'_>, read: &Apiserver) {
    let names: BTreeSet<&String> = read
        .webhooks
        .keys()
        .chain(read.webhook_failures.keys())
        .collect();
    if !names.is_empty() {
        let rows = names
            .into_iter()
            .map(|name| {
                let mut row = Row::new(name.clone());
                if let Some((hist, _)) = read.webhooks.get(name) {
                    row = row.num("calls", hist.count());
                    row = maybe(row, "total_secs", hist.sum.map(|ms| ms / 1000.0));
                    row = quantile(row, hist, 0.99, "max_p99");
                }
                match read.webhook_failures.get(name) {
                    Some(calls) => row
                        .num("failed_open", calls.open)
                        .num("failed_closed", calls.closed),
                    None => row,
                }
            })
            .collect();
        put.table(
            &keys::APISERVER_WEBHOOKS,
            Metric::Webhooks,
            Some(rows),
            "total_secs",
            false,
        );
    }
    if !read.api_services.is_empty() {
        let rows = read
            .api_services
            .iter()
            .map(|(name, service)| {
                let row = Row::new(name.clone())
                    .num("last_down", service.last)
                    .num("max_down_share", service.share);
                match &service.found {
                    Some((found, reason)) => {
                        row.num("found", *found).text("reason", reason.clone())
                    }
                    None => row,
                }
            })
            .collect();
        put.table(
            &keys::APISERVER_APISERVICES,
            Metric::ApiServiceDown,
            Some(rows),
            "last_down",
            false,
        );
    }
    if !read.kms.is_empty() {
        let rows = read
            .kms
            .iter()
            .map(|(provider, calls)| {
                Row::new(provider.clone())
                    .num("calls", calls.calls)
                    .num("failed", calls.failed)
                    .num("total_secs", calls.total_secs)
            })
            .collect();
        put.table(
            &keys::APISERVER_KMS,
            Metric::KmsCalls,
            Some(rows),
            "total_secs",
            false,
        );
    }
}

fn phase(line: &Timeline, pair: Span, row: Row) -> Option<Row> {
    let secs = line.secs(pair)?;
    let codes = line.counters(Metric::ApiRequests, pair, |labels| {
        let watch = labels.get("verb").starts_with("WATCH");
        (!watch).then(|| labels.get("code").to_owned())
    });
    let of = |wanted: fn(&str) -> bool| -> f64 {
        codes
            .iter()
            .filter(|(code, _)| wanted(code))
            .fold(0.0, |sum, (_, change)| sum + change.value)
    };
    if codes.is_empty() {
        return None;
    }
    let mut row = row
        .num("requests_per_sec", of(|_| true) / secs)
        .num("throttled_per_sec", of(|code| code == "429") / secs)
        .num("errors_per_sec", of(|code| code.starts_with('5')) / secs);
    if let Some((hist, _)) = line.histogram(Metric::EtcdRequest, pair) {
        row = row.num("etcd_per_sec", hist.count() / secs);
        row = maybe(row, "etcd_mean_ms", hist.mean());
        row = p99_of_phase(row, &hist, "etcd_p99");
    }
    for (column, metric) in [("inflight", Metric::Inflight), ("inqueue", Metric::Inqueue)] {
        let points = line.gauge_points(metric);
        let later = points.iter().find(|(column, _)| *column == pair.to);
        row = maybe(row, column, later.map(|(_, value)| *value));
    }
    Some(row)
}
