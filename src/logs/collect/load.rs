//! Load tables of etcd requests, as evidence.

use crate::evidence::{Bucket, Completeness, EvidenceSet, Histogram, Row, Subject, keys};
use crate::units::LogHistogram;

use super::super::aggregate::row::LoadRow;
use super::super::view::View;
use super::super::writer;
use super::{MAX_ROWS, Out, ms, num, secs, subject, table};

fn load_row(key: &str, row: &LoadRow) -> Row {
    Row::new(key)
        .num("requests", num(row.requests))
        .num("lists", num(row.lists))
        .num("unlimited", num(row.unlimited))
        .num("gets", num(row.gets))
        .num("counts", num(row.counts))
        .num("writes", num(row.writes))
        .num("probes", num(row.probes))
        .num("other", num(row.other))
        .num("stalled", num(row.stalled))
        .num("slow_secs", secs(row.slow_ns))
        .num("list_slow_secs", secs(row.list_slow_ns))
        .num("get_slow_secs", secs(row.get_slow_ns))
        .num("write_slow_secs", secs(row.write_slow_ns))
        .num("stalled_secs", secs(row.stalled_ns))
        .num("max_took_ms", ms(row.took.max_ns().unwrap_or(0)))
        .num("items", num(row.items))
        .num("bytes", num(row.bytes))
        .num("max_bytes", num(row.max_bytes))
}

/// A histogram with bounds of its own, fixed so that runs can be merged.
fn histogram(took: &LogHistogram) -> Histogram {
    // 1 ms to 1024 s in halves of an octave, and what is below and above.
    let bounds: Vec<f64> = (0..=20).map(|power| 2.0_f64.powi(power)).collect();
    // Thresholds at which etcd logs are bounds too, so that counts above them are exact.
    let mut bounds: Vec<f64> = bounds
        .into_iter()
        .chain([100.0, 200.0, 300.0, 500.0, 1000.0])
        .collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds.push(f64::INFINITY);
    let mut counts = vec![0.0; bounds.len()];
    for (low, high, count) in took.buckets() {
        // A bucket of the source that crosses a bound counts where its middle lies.
        let middle = (ms(low) + ms(high)) / 2.0;
        let at = bounds
            .iter()
            .position(|le| middle <= *le)
            .unwrap_or(bounds.len() - 1);
        if let Some(slot) = counts.get_mut(at) {
            *slot += num(count);
        }
    }
    Histogram {
        buckets: bounds
            .iter()
            .zip(&counts)
            .map(|(le, count)| Bucket {
                le: *le,
                count: *count,
            })
            .collect(),
        sum: ms(took.sum_ns()),
        max: took.max_ns().map(ms),
    }
}

pub(super) fn load(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let cluster = Subject::cluster();
    let completeness = if view.complete {
        Completeness::Exact
    } else {
        Completeness::AtLeast
    };
    let origin = || out.origin().with(completeness);
    if view.lines == 0 && !view.has("etcd") && !view.has(writer::EVENTS) {
        // No etcd wrote these logs, so they tell nothing about its load.
        return;
    }
    let mut rows: Vec<Row> = view
        .tables
        .resources
        .iter()
        .map(|(key, row)| load_row(key, row))
        .collect();
    rows.sort_by(|a, b| {
        b.get("slow_secs")
            .unwrap_or(0.0)
            .total_cmp(&a.get("slow_secs").unwrap_or(0.0))
    });
    let mut resources = table(rows, MAX_ROWS);
    resources.other = view
        .tables
        .resources
        .other()
        .map(|row| load_row("other", row));
    set.put(
        &keys::LOGS_REQUESTS,
        cluster.clone(),
        out.window,
        origin(),
        resources,
    );
    let clients = view
        .tables
        .clients
        .iter()
        .map(|(key, row)| load_row(key, row))
        .collect();
    set.put(
        &keys::LOGS_REQUESTS_CLIENTS,
        cluster.clone(),
        out.window,
        origin(),
        table(clients, MAX_ROWS),
    );
    let total = &view.tables.total;
    set.put(
        &keys::LOGS_REQUESTS_TOOK,
        cluster.clone(),
        out.window,
        origin(),
        histogram(&total.took),
    );
    let bound = Row::new("all")
        .num("requests", num(total.stalled))
        .num("slow_secs", secs(total.stalled_ns));
    set.put(
        &keys::LOGS_READINDEX_BOUND,
        cluster.clone(),
        out.window,
        origin(),
        table(vec![bound], 1),
    );
    let estimate = Row::new("all")
        .num("lines", num(view.lines))
        .num("joined", num(total.requests))
        .num("low", num(view.estimate.low))
        .num("value", num(view.estimate.value))
        .num("high", num(view.estimate.high))
        .num("sampled_lines", num(view.estimate.sampled_lines));
    set.put(
        &keys::LOGS_REQUESTS_ESTIMATE,
        cluster.clone(),
        out.window,
        origin(),
        table(vec![estimate], 1),
    );
    set.put(
        &keys::LOGS_SLOW_COMPLETE,
        cluster.clone(),
        out.window,
        out.origin(),
        view.complete,
    );
    if let Some((least, _)) = view.threshold_ns {
        set.put(
            &keys::LOGS_SLOW_THRESHOLD,
            cluster,
            out.window,
            out.origin(),
            ms(least),
        );
    }
    for (place, load) in &view.loads {
        let rows = load
            .tables
            .resources
            .iter()
            .map(|(key, row)| load_row(key, row))
            .collect();
        let about = subject(place);
        set.put(
            &keys::LOGS_REQUESTS,
            about.clone(),
            out.window,
            origin(),
            table(rows, MAX_ROWS),
        );
        set.put(
            &keys::LOGS_REQUESTS_TOOK,
            about,
            out.window,
            origin(),
            histogram(&load.tables.total.took),
        );
    }
}
