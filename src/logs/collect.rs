//! What logs tell, as evidence. The only file of the engine that knows about evidence.
//!
//! Load tables are about the cluster and, by node, about members; kinds of messages are about the
//! member or component that wrote them.

use crate::clock::Timestamp;
use crate::evidence::{
    Bucket, Collector, Completeness, Episode, Episodes, EvidenceSet, Histogram, Origin, Point, Row,
    Series, Subject, SubjectKind, Table, Window, keys,
};
use crate::units::LogHistogram;

use super::aggregate::audit::{AuditRow, SEPARATOR};
use super::aggregate::coverage::Coverage;
use super::aggregate::row::LoadRow;
use super::signature::Nature;
use super::summary::Summary;
use super::view::{DelayView, Place, View};

/// Most clients of the audit log that evidence keeps apart.
const MAX_CLIENTS: usize = 500;
/// Most resources, clients or delays that evidence keeps apart.
const MAX_ROWS: usize = 1_000;

/// Turns a summary into evidence. `source` is how the user named the logs.
pub fn collect(summary: &Summary, source: &str) -> EvidenceSet {
    let view = View::of(summary);
    let mut set = EvidenceSet::new();
    if view.total.lines == 0 {
        return set;
    }
    let out = Out {
        window: window(&view.total),
        source,
    };
    coverage(&view, &out, &mut set);
    load(&view, &out, &mut set);
    kinds(&view, &out, &mut set);
    episodes(&view, &out, &mut set);
    facts(&view, &out, &mut set);
    delays(&view, &out, &mut set);
    audit(&view, &out, &mut set);
    set
}

struct Out<'a> {
    window: Window,
    source: &'a str,
}

impl Out<'_> {
    fn origin(&self) -> Origin {
        Origin::new(Collector::Logs, self.source)
    }
}

fn window(coverage: &Coverage) -> Window {
    let span = coverage.span();
    Window {
        from: span.map(|s| s.0),
        to: span.map(|s| s.1),
    }
}

/// etcd members by node, everything else as a component on its node.
fn subject(place: &Place) -> Subject {
    let node = place.node.clone().unwrap_or_default();
    if place.component == "etcd" {
        return Subject::new(SubjectKind::Member, node);
    }
    Subject::new(SubjectKind::Component, &place.component).on(node)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn num(n: u64) -> f64 {
    n as f64
}

fn secs(ns: u64) -> f64 {
    num(ns) / 1e9
}

fn ms(ns: u64) -> f64 {
    num(ns) / 1e6
}

/// A table of rows by key. Rows with the same key stay apart by a number.
fn table(mut rows: Vec<Row>, most: usize) -> Table {
    rows.truncate(most);
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.dedup_by(|a, b| a.key == b.key);
    Table {
        rows,
        ..Table::default()
    }
}

fn coverage(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let cluster = Subject::cluster();
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    set.put(
        &keys::LOGS_LINES,
        cluster.clone(),
        out.window,
        out.origin(),
        count(view.total.lines),
    );
    set.put(
        &keys::LOGS_UNPARSED,
        cluster.clone(),
        out.window,
        out.origin(),
        count(view.total.unparsed),
    );
    if let Some(secs) = out.window.secs() {
        set.put(
            &keys::LOGS_SPAN,
            cluster.clone(),
            out.window,
            out.origin(),
            secs,
        );
    }
    let mut rows: Vec<Row> = Vec::new();
    for (place, _, coverage) in &view.coverage {
        let key = match &place.node {
            Some(node) => format!("{} on {node}", place.component),
            None => place.component.clone(),
        };
        let gap = coverage
            .gaps()
            .iter()
            .map(|(from, to)| to.since_us(*from))
            .max()
            .unwrap_or(0);
        let row = Row::new(&key)
            .num("files", 1.0)
            .num("lines", num(coverage.lines))
            .num("unparsed", num(coverage.unparsed))
            .num("unknown", num(coverage.unknown))
            .num("max_gap_secs", gap.max(0) as f64 / 1e6);
        match rows.iter_mut().find(|have| have.key == key) {
            Some(have) => add(have, &row),
            None => rows.push(row),
        }
    }
    set.put(
        &keys::LOGS_COVERAGE,
        cluster,
        out.window,
        out.origin(),
        table(rows, MAX_ROWS),
    );
}

/// Adds the numbers of a row; columns that start with `max_` keep the larger one.
fn add(into: &mut Row, from: &Row) {
    for (column, cell) in &from.cells {
        let crate::evidence::Cell::Num(value) = cell else {
            continue;
        };
        let have = into.get(column).unwrap_or(0.0);
        let sum = if column.starts_with("max_") {
            have.max(*value)
        } else {
            have + value
        };
        into.cells
            .insert(column.clone(), crate::evidence::Cell::Num(sum));
    }
}

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

fn load(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let cluster = Subject::cluster();
    let completeness = if view.complete {
        Completeness::Exact
    } else {
        Completeness::AtLeast
    };
    let origin = || out.origin().with(completeness);
    let has_etcd = view
        .coverage
        .iter()
        .any(|(place, ..)| place.component == "etcd");
    if view.lines == 0 && !has_etcd {
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

fn kinds(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut tables: Vec<(Subject, Vec<Row>)> = Vec::new();
    // A component that wrote nothing of note was still looked at.
    for (place, ..) in &view.coverage {
        let about = subject(place);
        if !tables.iter().any(|(have, _)| *have == about) {
            tables.push((about, Vec::new()));
        }
    }
    for kind in &view.kinds {
        if kind.nature == Nature::Noise {
            continue;
        }
        let mut row = Row::new(&kind.kind).num("count", num(kind.row.count));
        if kind.row.timed > 0 {
            row = row
                .num("max_ms", ms(kind.row.max_ns))
                .num("total_ms", ms(kind.row.sum_ns));
        }
        let about = subject(&kind.place);
        match tables.iter_mut().find(|(have, _)| *have == about) {
            Some((_, rows)) => rows.push(row),
            None => tables.push((about, vec![row])),
        }
    }
    for (about, rows) in tables {
        set.put(
            &keys::LOGS_EVENTS,
            about,
            out.window,
            out.origin(),
            table(rows, MAX_ROWS),
        );
    }
}

fn episodes(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut lists: Vec<(Subject, Vec<Episode>)> = Vec::new();
    for episode in &view.episodes {
        if matches!(episode.nature, Nature::Noise | Nature::Request) {
            continue;
        }
        let entry = Episode {
            kind: episode.kind.clone(),
            from: episode.from,
            to: episode.to,
            count: episode.count,
            max_ms: (episode.max_ns > 0).then(|| ms(episode.max_ns)),
            detail: episode.detail.clone(),
        };
        let about = subject(&episode.place);
        match lists.iter_mut().find(|(have, _)| *have == about) {
            Some((_, list)) => list.push(entry),
            None => lists.push((about, vec![entry])),
        }
    }
    for (about, mut list) in lists {
        let dropped = list.len().saturating_sub(MAX_ROWS) as u64;
        list.truncate(MAX_ROWS);
        let value = Episodes {
            episodes: list,
            dropped,
        };
        set.put(&keys::LOGS_EPISODES, about, out.window, out.origin(), value);
    }
    let count = |wanted: &dyn Fn(bool, bool) -> bool| {
        num(view
            .elections
            .iter()
            .filter(|e| wanted(e.planned, e.start))
            .count() as u64)
    };
    let rows = vec![
        Row::new("planned").num("terms", count(&|planned, start| planned && !start)),
        Row::new("start").num("terms", count(&|_, start| start)),
        Row::new("unplanned").num("terms", count(&|planned, start| !planned && !start)),
    ];
    if view
        .coverage
        .iter()
        .any(|(place, ..)| place.component == "etcd")
    {
        set.put(
            &keys::LOGS_ELECTIONS,
            Subject::cluster(),
            out.window,
            out.origin(),
            table(rows, 3),
        );
    }
}

fn facts(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let series = |points: Vec<(Timestamp, f64)>| Series {
        points: points
            .into_iter()
            .map(|(at, value)| Point { at, value })
            .collect(),
    };
    let mut drift: Vec<Row> = Vec::new();
    for (_, peer, seen) in &view.drift {
        let row = Row::new(peer)
            .num("count", num(seen.checks.len() as u64))
            .num("max_drift_ms", ms(seen.max_ns));
        match drift.iter_mut().find(|have| have.key == *peer) {
            Some(have) => add(have, &row),
            None => drift.push(row),
        }
    }
    if !drift.is_empty() {
        set.put(
            &keys::LOGS_CLOCK_DRIFT,
            Subject::cluster(),
            out.window,
            out.origin(),
            table(drift, MAX_ROWS),
        );
    }
    for (place, facts) in &view.facts {
        let about = subject(place);
        let took: Vec<_> = facts
            .compactions
            .took
            .iter()
            .map(|(at, peak)| (at, ms(peak.0)))
            .collect();
        if !took.is_empty() {
            set.put(
                &keys::LOGS_COMPACTION_TOOK,
                about.clone(),
                out.window,
                out.origin(),
                series(took),
            );
        }
        let sizes: Vec<_> = facts
            .db_size
            .iter()
            .map(|(at, peak)| (at, num(peak.0)))
            .collect();
        if !sizes.is_empty() {
            set.put(
                &keys::LOGS_DB_SIZE,
                about.clone(),
                out.window,
                out.origin(),
                series(sizes),
            );
        }
        let starts: Vec<Row> = facts
            .starts
            .iter()
            .map(|start| {
                let at = start.at.map_or_else(|| "?".to_owned(), |at| at.to_string());
                let row = Row::new(at).num("count", 1.0);
                match &start.version {
                    Some(version) => row.text("version", version),
                    None => row,
                }
            })
            .collect();
        set.put(
            &keys::LOGS_RESTARTS,
            about.clone(),
            out.window,
            out.origin(),
            table(starts, MAX_ROWS),
        );
        let versions: Vec<Row> = facts
            .starts
            .iter()
            .filter_map(|start| start.version.as_ref())
            .map(|version| {
                Row::new(format!("{} {version}", place.component))
                    .text("version", version)
                    .text("source", "start")
            })
            .collect();
        if !versions.is_empty() {
            set.put(
                &keys::LOGS_VERSIONS,
                about,
                out.window,
                out.origin(),
                table(versions, MAX_ROWS),
            );
        }
    }
}

fn delays(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut tables: Vec<(Subject, Vec<Row>)> = Vec::new();
    for delay in &view.throttling {
        let [verb, resource] = parts(delay);
        let row = Row::new(format!("{verb} {resource}"))
            .num("lines", num(delay.row.lines))
            .num("max_delay_ms", ms(delay.row.max_ns))
            .text("component", &delay.place.component)
            .text("verb", verb)
            .text("resource", resource);
        let about = subject(&delay.place);
        match tables.iter_mut().find(|(have, _)| *have == about) {
            Some((_, rows)) => rows.push(row),
            None => tables.push((about, vec![row])),
        }
    }
    for (about, rows) in tables {
        set.put(
            &keys::LOGS_THROTTLING,
            about,
            out.window,
            out.origin().with(Completeness::AtLeast),
            table(rows, MAX_ROWS),
        );
    }
    if view.throttling.is_empty() {
        // Nobody said so: that is known, and at default verbosity no proof of none.
        set.put(
            &keys::LOGS_THROTTLING,
            Subject::cluster(),
            out.window,
            out.origin().with(Completeness::AtLeast),
            Table::default(),
        );
    }
    let has_apiserver = view
        .coverage
        .iter()
        .any(|(place, ..)| place.component == "kube-apiserver");
    if view.traces.is_empty() && !has_apiserver {
        return;
    }
    let rows = view
        .traces
        .iter()
        .map(|delay| {
            let [agent, verb, resource] = parts(delay);
            Row::new(format!("{agent} {verb} {resource}"))
                .num("count", num(delay.row.lines))
                .num("max_ms", ms(delay.row.max_ns))
                .num("total_ms", ms(delay.row.sum_ns))
                .text("user_agent", agent)
                .text("verb", verb)
                .text("resource", resource)
        })
        .collect();
    set.put(
        &keys::LOGS_TRACES,
        Subject::cluster(),
        out.window,
        out.origin().with(Completeness::AtLeast),
        table(rows, MAX_ROWS),
    );
}

fn parts<const N: usize>(delay: &DelayView) -> [&str; N] {
    std::array::from_fn(|at| delay.parts.get(at).map_or("", String::as_str))
}

fn audit(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    if view.audit_records == 0 {
        return;
    }
    let total = &view.audit.total;
    let window = Window {
        from: total.first,
        to: total.last,
    };
    let mut callers: Vec<(&str, &AuditRow)> = view.audit.callers.iter().collect();
    callers.sort_by(|a, b| {
        b.1.all_requests()
            .cmp(&a.1.all_requests())
            .then(a.0.cmp(b.0))
    });
    let mut other = view
        .audit
        .callers
        .other()
        .map(|row| audit_row("other", row));
    let rest: Vec<Row> = callers
        .iter()
        .skip(MAX_CLIENTS)
        .map(|(_, row)| audit_row("other", row))
        .collect();
    for row in &rest {
        add(other.get_or_insert_with(|| Row::new("other")), row);
    }
    let rows = callers
        .iter()
        .take(MAX_CLIENTS)
        .map(|(key, row)| {
            let mut parts = key.split(SEPARATOR);
            let mut next = || parts.next().unwrap_or_default();
            let (agent, user, verb, resource) = (next(), next(), next(), next());
            audit_row(&format!("{agent} | {user} | {verb} {resource}"), row)
                .text("user_agent", agent)
                .text("user", user)
                .text("verb", verb)
                .text("resource", resource)
        })
        .collect();
    let mut clients = table(rows, MAX_CLIENTS);
    clients.other = other;
    set.put(
        &keys::LOGS_AUDIT_CLIENTS,
        Subject::cluster(),
        window,
        out.origin(),
        clients,
    );
}

fn audit_row(key: &str, row: &AuditRow) -> Row {
    // The rate between the row's own first and last request: a loop that began late is as fast.
    let rated = match row.rate() {
        Some(rate) => Row::new(key).num("max_per_sec", rate),
        None => Row::new(key),
    };
    rated
        .num("requests", num(row.all_requests()))
        .num("not_found", num(row.not_found))
        .num("conflicts", num(row.conflicts))
        .num("throttled", num(row.throttled))
        .num("errors", num(row.server_errors))
        .num("unlimited", num(row.unlimited))
        .num("rv_unset", num(row.rv_unset))
        .num("total_secs", secs(row.took.sum_ns()))
        .num("max_ms", ms(row.took.max_ns().unwrap_or(0)))
        .num("etcd_secs", secs(row.etcd_ns))
}
