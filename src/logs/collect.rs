//! From a summary of logs to evidence.

use std::collections::BTreeMap;

use crate::evidence::{
    Bucket, Collector, Completeness, Episode, Episodes, EvidenceSet, FromShape, Histogram, Key,
    Missing, Origin, Point, Row, Series, Subject, SubjectKind, Table, Window, keys,
};

use super::aggregate::row::LoadRow;
use super::aggregate::table::{Bounded, RowValue};
use super::signature::Nature;
use super::summary::Summary;
use super::view::{DelayView, EpisodeView, Place, View, parts};

/// Most rows of a table in evidence.
const MAX_ROWS: usize = 2_000;
/// Most episodes in evidence, all kinds together.
const MAX_EPISODES: usize = 5_000;

/// Fills the keys of the logs family.
pub fn collect(summary: &Summary) -> EvidenceSet {
    let view = View::of(summary);
    let window = view
        .span()
        .map(|(from, to)| Window::between(from, to))
        .unwrap_or_default();
    let mut into = Into {
        set: EvidenceSet::new(),
        window,
        source: source(summary),
    };
    into.coverage(summary, &view);
    into.requests(&view);
    into.events(&view);
    into.elections(&view);
    into.clients(&view);
    into.facts(&view);
    into.set
}

/// What the readings came from, as the user would name it.
fn source(summary: &Summary) -> String {
    let mut ids: Vec<&str> = summary
        .streams
        .iter()
        .map(|stream| stream.id.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [] => "logs".to_owned(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// Who a component on a node is as a subject.
fn subject(place: &Place) -> Subject {
    let node = place.node.clone().unwrap_or_default();
    if place.component == "etcd" && !node.is_empty() {
        return Subject::new(SubjectKind::Member, node.clone()).on(node);
    }
    Subject::new(SubjectKind::Component, place.component.clone()).on(node)
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn secs(ns: u64) -> f64 {
    ns as f64 / 1e9
}

struct Into {
    set: EvidenceSet,
    window: Window,
    source: String,
}

impl Into {
    fn put<T: FromShape>(&mut self, key: &Key<T>, subject: Subject, of: Completeness, value: T) {
        self.put_within(key, subject, self.window, of, value);
    }

    fn put_within<T: FromShape>(
        &mut self,
        key: &Key<T>,
        subject: Subject,
        window: Window,
        of: Completeness,
        value: T,
    ) {
        let origin = Origin::new(Collector::Logs, self.source.clone()).with(of);
        self.set.put(key, subject, window, origin, value);
    }

    fn coverage(&mut self, summary: &Summary, view: &View) {
        let cluster = Subject::cluster();
        if view.total.lines == 0 {
            let origin = Origin::new(Collector::Logs, self.source.clone());
            let why = Missing::NotPresent {
                source: "any log line".to_owned(),
            };
            self.set
                .put_missing(&keys::LOGS_LINES, cluster, origin, why);
            return;
        }
        let exact = Completeness::Exact;
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.put(
            &keys::LOGS_LINES,
            cluster.clone(),
            exact,
            count(view.total.lines),
        );
        self.put(
            &keys::LOGS_UNPARSED,
            cluster.clone(),
            exact,
            count(view.total.unparsed),
        );
        if let Some(secs) = self.window.secs() {
            self.put(&keys::LOGS_SPAN, cluster.clone(), exact, secs);
        }
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for (stream, (place, _, coverage)) in summary.streams.iter().zip(&view.coverage) {
            let key = match &place.node {
                Some(node) => format!("{}@{node}", place.component),
                None => place.component.clone(),
            };
            let gap = coverage
                .gaps()
                .first()
                .map_or(0.0, |(from, to)| to.since_us(*from) as f64 / 1e6);
            let row = rows.entry(key.clone()).or_insert_with(|| Row::new(key));
            let add = |row: &Row, column: &str, n: f64| row.get(column).unwrap_or(0.0) + n;
            *row = row
                .clone()
                .num("files", add(row, "files", stream.files.len() as f64))
                .num("lines", add(row, "lines", coverage.lines as f64))
                .num("unparsed", add(row, "unparsed", coverage.unparsed as f64))
                .num("unknown", add(row, "unknown", coverage.unknown as f64))
                .num(
                    "max_gap_secs",
                    row.get("max_gap_secs").unwrap_or(0.0).max(gap),
                );
        }
        let table = Table {
            rows: rows.into_values().collect(),
            ..Table::default()
        };
        self.put(&keys::LOGS_COVERAGE, cluster, exact, table);
    }

    fn requests(&mut self, view: &View) {
        // Without a line of an etcd, nothing can be said about its requests, not even "none".
        let any_etcd = view
            .coverage
            .iter()
            .any(|(place, _, coverage)| place.component == "etcd" && coverage.records > 0);
        if !any_etcd && view.lines == 0 {
            return;
        }
        let of = if view.complete {
            Completeness::Exact
        } else {
            Completeness::AtLeast
        };
        let cluster = Subject::cluster();
        let tables = &view.tables;
        self.put(
            &keys::LOGS_REQUESTS,
            cluster.clone(),
            of,
            load_table(&tables.resources),
        );
        for (place, load) in &view.loads {
            if place.node.is_some() {
                self.put(
                    &keys::LOGS_REQUESTS,
                    subject(place),
                    of,
                    load_table(&load.tables.resources),
                );
                self.put(
                    &keys::LOGS_REQUESTS_TOOK,
                    subject(place),
                    of,
                    histogram(&load.tables.total),
                );
            }
        }
        if !tables.clients.is_empty() {
            self.put(
                &keys::LOGS_REQUESTS_CLIENTS,
                cluster.clone(),
                of,
                load_table(&tables.clients),
            );
        }
        self.put(
            &keys::LOGS_REQUESTS_TOOK,
            cluster.clone(),
            of,
            histogram(&tables.total),
        );
        let bound = Row::new("all")
            .num("requests", tables.total.stalled as f64)
            .num("slow_secs", secs(tables.total.stalled_ns));
        self.put(
            &keys::LOGS_READINDEX_BOUND,
            cluster.clone(),
            of,
            Table {
                rows: vec![bound],
                ..Table::default()
            },
        );
        let estimate = Row::new("all")
            .num("low", view.estimate.low as f64)
            .num("value", view.estimate.value as f64)
            .num("high", view.estimate.high as f64)
            .num("lines", view.lines as f64)
            .num("joined", tables.total.requests as f64);
        let kind = if view.estimate.low == view.estimate.high {
            of
        } else {
            Completeness::Estimate
        };
        self.put(
            &keys::LOGS_REQUESTS_ESTIMATE,
            cluster.clone(),
            kind,
            Table {
                rows: vec![estimate],
                ..Table::default()
            },
        );
        if view.lines > 0 {
            self.put(
                &keys::LOGS_SLOW_COMPLETE,
                cluster.clone(),
                Completeness::Exact,
                view.complete,
            );
        }
        if let Some((low, _)) = view.threshold_ns {
            self.put(
                &keys::LOGS_SLOW_THRESHOLD,
                cluster,
                Completeness::Exact,
                ms(low),
            );
        }
    }

    fn events(&mut self, view: &View) {
        let mut tables: BTreeMap<Subject, BTreeMap<String, (f64, Option<f64>)>> = BTreeMap::new();
        for kind in &view.kinds {
            for subject in [Subject::cluster(), subject(&kind.place)] {
                let row = tables
                    .entry(subject)
                    .or_default()
                    .entry(kind.kind.clone())
                    .or_default();
                row.0 += kind.row.count as f64;
                if kind.row.timed > 0 {
                    let longest = ms(kind.row.max_ns);
                    row.1 = Some(row.1.map_or(longest, |max| max.max(longest)));
                }
            }
        }
        // A log without any recognised message is still one that was looked through.
        for (place, _, coverage) in &view.coverage {
            if coverage.records > 0 {
                tables.entry(subject(place)).or_default();
                tables.entry(Subject::cluster()).or_default();
            }
        }
        for (subject, rows) in tables {
            let rows = rows
                .into_iter()
                .map(|(kind, (count, max_ms))| {
                    let row = Row::new(kind).num("count", count);
                    match max_ms {
                        Some(max) => row.num("max_ms", max),
                        None => row,
                    }
                })
                .collect();
            let table = Table {
                rows,
                ..Table::default()
            };
            self.put(&keys::LOGS_EVENTS, subject, Completeness::AtLeast, table);
        }
        let mut by_subject: BTreeMap<Subject, Vec<&EpisodeView>> = BTreeMap::new();
        for episode in &view.episodes {
            // What is planned or says nothing about health stays out of the judgement.
            if matches!(episode.nature, Nature::Noise) {
                continue;
            }
            by_subject
                .entry(subject(&episode.place))
                .or_default()
                .push(episode);
        }
        for (subject, list) in by_subject {
            let dropped = list.len().saturating_sub(MAX_EPISODES) as u64;
            let episodes = list
                .into_iter()
                .take(MAX_EPISODES)
                .map(|episode| Episode {
                    kind: episode.kind.clone(),
                    from: episode.from,
                    to: episode.to,
                    count: episode.count,
                    max_ms: (episode.max_ns > 0).then(|| ms(episode.max_ns)),
                    detail: if episode.planned {
                        format!("planned; {}", episode.detail)
                    } else {
                        episode.detail.clone()
                    },
                })
                .collect();
            self.put(
                &keys::LOGS_EPISODES,
                subject,
                Completeness::AtLeast,
                Episodes { episodes, dropped },
            );
        }
    }

    fn elections(&mut self, view: &View) {
        let etcd = view
            .coverage
            .iter()
            .any(|(place, _, coverage)| place.component == "etcd" && coverage.records > 0);
        if !etcd {
            return;
        }
        let (mut planned, mut start, mut unplanned) = (0.0, 0.0, 0.0);
        for election in &view.elections {
            let slot = if election.start {
                &mut start
            } else if election.planned {
                &mut planned
            } else {
                &mut unplanned
            };
            *slot += 1.0;
        }
        let rows = [
            ("planned", planned),
            ("start", start),
            ("unplanned", unplanned),
        ]
        .map(|(key, terms)| Row::new(key).num("terms", terms));
        self.put(
            &keys::LOGS_ELECTIONS,
            Subject::cluster(),
            Completeness::Exact,
            Table {
                rows: rows.to_vec(),
                ..Table::default()
            },
        );
    }

    fn clients(&mut self, view: &View) {
        self.delays(&keys::LOGS_THROTTLING, &view.throttling, |row, delay| {
            row.num("lines", delay.row.lines as f64)
                .num("max_delay_ms", ms(delay.row.max_ns))
                .text("component", delay.place.component.clone())
        });
        self.delays(&keys::LOGS_TRACES, &view.traces, |row, delay| {
            row.num("count", delay.row.lines as f64)
                .num("max_ms", ms(delay.row.max_ns))
                .num("total_ms", ms(delay.row.sum_ns))
        });
        if view.audit_records == 0 {
            return;
        }
        let audit = &view.audit;
        let mut rows: Vec<Row> = audit
            .callers
            .iter()
            .map(|(key, row)| {
                let mut texts = parts(key).into_iter();
                let mut text = || texts.next().unwrap_or_default();
                let made = Row::new(key.replace(super::aggregate::audit::SEPARATOR, " "))
                    .text("user_agent", text())
                    .text("user", text())
                    .text("verb", text())
                    .text("resource", text())
                    .num("requests", row.all_requests() as f64)
                    .num("not_found", row.not_found as f64)
                    .num("throttled", row.throttled as f64)
                    .num("errors", row.server_errors as f64)
                    .num("unlimited", row.unbounded as f64)
                    .num("total_secs", secs(row.took.sum_ns()));
                let made = match row.took.max_ns() {
                    Some(max) => made.num("max_ms", ms(max)),
                    None => made,
                };
                match row.rate() {
                    Some(rate) => made.num("per_sec", rate),
                    None => made,
                }
            })
            .collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let error = audit.callers.error().map_or(0.0, |error| {
            error.requests as f64 / (audit.total.requests.max(1)) as f64
        });
        let other = audit
            .callers
            .other()
            .map(|row| Row::new("other").num("requests", row.all_requests() as f64));
        let window = match (audit.total.first, audit.total.last) {
            (Some(from), Some(to)) => Window::between(from, to),
            _ => self.window,
        };
        self.put_within(
            &keys::LOGS_AUDIT_CLIENTS,
            Subject::cluster(),
            window,
            Completeness::Exact,
            Table { rows, other, error },
        );
    }

    /// A table of delays for each component that has any.
    fn delays(
        &mut self,
        key: &Key<Table>,
        list: &[DelayView],
        cells: impl Fn(Row, &DelayView) -> Row,
    ) {
        let mut tables: BTreeMap<Subject, Vec<Row>> = BTreeMap::new();
        for delay in list.iter().take(MAX_ROWS) {
            let mut row = Row::new(delay.parts.join(" "));
            let names: &[&str] = if delay.parts.len() > 2 {
                &["user_agent", "verb", "resource"]
            } else {
                &["verb", "resource"]
            };
            for (name, text) in names.iter().zip(&delay.parts) {
                row = row.text(name, text.clone());
            }
            tables
                .entry(subject(&delay.place))
                .or_default()
                .push(cells(row, delay));
        }
        for (subject, mut rows) in tables {
            rows.sort_by(|a, b| a.key.cmp(&b.key));
            let table = Table {
                rows,
                ..Table::default()
            };
            self.put(key, subject, Completeness::AtLeast, table);
        }
    }

    fn facts(&mut self, view: &View) {
        let mut drift: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (_, peer, found) in &view.drift {
            let row = drift.entry(peer.clone()).or_default();
            row.0 += found.checks.len() as f64;
            row.1 = row.1.max(ms(found.max_ns));
        }
        if !drift.is_empty() {
            let rows = drift
                .into_iter()
                .map(|(peer, (count, max))| {
                    Row::new(peer).num("count", count).num("max_drift_ms", max)
                })
                .collect();
            let table = Table {
                rows,
                ..Table::default()
            };
            self.put(
                &keys::LOGS_CLOCK_DRIFT,
                Subject::cluster(),
                Completeness::AtLeast,
                table,
            );
        }
        for (place, facts) in &view.facts {
            let subject = subject(place);
            let series = |points: Vec<Point>| Series { points };
            let took: Vec<Point> = facts
                .compactions
                .took
                .iter()
                .filter(|(_, peak)| peak.0 > 0)
                .map(|(at, peak)| Point {
                    at,
                    value: ms(peak.0),
                })
                .collect();
            if !took.is_empty() {
                self.put(
                    &keys::LOGS_COMPACTION_TOOK,
                    subject.clone(),
                    Completeness::Exact,
                    series(took),
                );
            }
            let sizes: Vec<Point> = facts
                .db_size
                .iter()
                .filter(|(_, peak)| peak.0 > 0)
                .map(|(at, peak)| Point {
                    at,
                    value: peak.0 as f64,
                })
                .collect();
            if !sizes.is_empty() {
                self.put(
                    &keys::LOGS_DB_SIZE,
                    subject.clone(),
                    Completeness::Exact,
                    series(sizes),
                );
            }
            if !facts.starts.is_empty() {
                let rows = facts
                    .starts
                    .iter()
                    .enumerate()
                    .map(|(n, start)| {
                        let key = start
                            .at
                            .map_or_else(|| format!("start {n}"), |at| at.to_string());
                        let row = Row::new(key).num("count", 1.0);
                        match &start.version {
                            Some(version) => row.text("version", version.clone()),
                            None => row,
                        }
                    })
                    .collect();
                let table = Table {
                    rows,
                    ..Table::default()
                };
                self.put(
                    &keys::LOGS_RESTARTS,
                    subject.clone(),
                    Completeness::Exact,
                    table,
                );
            }
            if !facts.versions.is_empty() {
                let mut rows: Vec<Row> = facts
                    .versions
                    .iter()
                    .map(|(version, _)| {
                        Row::new(version)
                            .text("version", version)
                            .text("source", "log")
                    })
                    .collect();
                rows.sort_by(|a, b| a.key.cmp(&b.key));
                let table = Table {
                    rows,
                    ..Table::default()
                };
                self.put(&keys::LOGS_VERSIONS, subject, Completeness::Exact, table);
            }
        }
    }
}

fn load_table(table: &Bounded<LoadRow>) -> Table {
    let mut sorted: Vec<_> = table.iter().filter(|(_, row)| row.requests > 0).collect();
    sorted.sort_by(|a, b| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(b.0)));
    let mut other = table.other().cloned();
    for (_, row) in sorted.iter().skip(MAX_ROWS) {
        other.get_or_insert_default().add(row);
    }
    let mut rows: Vec<Row> = sorted
        .iter()
        .take(MAX_ROWS)
        .map(|(key, row)| load_row(key, row))
        .collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let total = |pick: fn(&LoadRow) -> u64| {
        let kept: u64 = sorted.iter().map(|(_, row)| pick(row)).sum();
        (kept + table.other().map_or(0, pick)).max(1) as f64
    };
    let error = table.error().map_or(0.0, |error| {
        let requests = error.requests as f64 / total(|row| row.requests);
        let slow = error.slow_ns as f64 / total(|row| row.slow_ns);
        requests.max(slow)
    });
    Table {
        rows,
        other: other.map(|row| load_row("other", &row)),
        error,
    }
}

fn load_row(key: &str, row: &LoadRow) -> Row {
    Row::new(key)
        .num("requests", row.requests as f64)
        .num("lists", row.lists as f64)
        .num("gets", row.gets as f64)
        .num("counts", row.counts as f64)
        .num("writes", row.writes as f64)
        .num("other", (row.other + row.probes + row.pages) as f64)
        .num("slow_secs", secs(row.slow_ns))
        .num("max_took_ms", row.took.max_ns().map_or(0.0, ms))
        .num("items", row.items as f64)
        .num("bytes", row.bytes as f64)
        .num("list_slow_secs", secs(row.list_slow_ns))
        .num("write_slow_secs", secs(row.write_slow_ns))
        .num("readindex_secs", secs(row.stalled_ns))
}

fn histogram(row: &LoadRow) -> Histogram {
    Histogram {
        buckets: row
            .took
            .buckets()
            .map(|(_, high, count)| Bucket {
                le: ms(high),
                count: count as f64,
            })
            .collect(),
        sum: ms(row.took.sum_ns()),
        max: row.took.max_ns().map(ms),
    }
}
