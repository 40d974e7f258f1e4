//! From a summary of logs to the report's values.

use std::cmp::Reverse;

use crate::clock::Timestamp;
use crate::logs::aggregate::audit::AuditRow;
use crate::logs::aggregate::row::LoadRow;
use crate::logs::aggregate::spark::Spark;
use crate::logs::aggregate::table::Bounded;
use crate::logs::event::Shape;
use crate::logs::summary::Summary;
use crate::logs::view::{DelayView, Place, View, parts, sorted};
use crate::report::logs as v1;

use super::notes::{notes, reading};
use super::{Args, Sort};
use crate::cli::redact::Redactor;

/// Most rows of a table in JSON.
const MAX_ROWS: usize = 5_000;
/// Most unknown messages shown.
const EXAMPLES: usize = 20;
/// Most clients and objects.
const MAX_PACED: usize = 200;
/// Fewer requests than this for one object are no loop.
const MIN_REPEATS: u64 = 10;

pub(super) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn secs(ns: u64) -> f64 {
    ns as f64 / 1e9
}

pub(super) fn when(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// Makes the report's values.
pub(super) fn report(summary: &Summary, args: &Args, redactor: &Redactor) -> v1::LogsReport {
    let view = View::of(summary);
    let tables = &view.tables;
    let total = tables.total.slow_ns;
    let load = |table: &Bounded<LoadRow>, name: &dyn Fn(&str) -> String| {
        let mut rows: Vec<_> = table
            .iter()
            .filter(|(_, row)| row.requests > 0)
            .map(|(key, row)| row_of(name(key), row, total))
            .collect();
        sort_rows(&mut rows, args.sort);
        rows.truncate(MAX_ROWS);
        rows
    };
    let plain = |name: &str| name.to_owned();
    let mut shapes: Vec<_> = Shape::ALL
        .iter()
        .zip(&tables.shapes)
        .filter(|(_, row)| row.requests > 0)
        .map(|(shape, row)| row_of(shape.word().to_owned(), row, total))
        .collect();
    sort_rows(&mut shapes, args.sort);
    let resources = load(&tables.resources, &plain);
    let mut bounded = Vec::new();
    for (name, table) in [
        ("resources", &tables.resources),
        ("namespaces", &tables.namespaces),
        ("clients", &tables.clients),
        ("prefixes", &tables.prefixes),
    ] {
        if let (Some(other), Some(error)) = (table.other(), table.error()) {
            bounded.push(v1::BoundReport {
                table: name,
                dropped: table.dropped(),
                requests: other.requests,
                slow_secs: secs(other.slow_ns),
                error_requests: error.requests,
                error_slow_secs: secs(error.slow_ns),
            });
        }
    }
    let mut report = v1::LogsReport {
        format: "etcd-doctor/logs",
        version: 1,
        window: v1::WindowReport {
            since: when(summary.since),
            until: when(summary.until),
        },
        requests: v1::Requests {
            seen: view.lines,
            joined: tables.total.requests,
            estimate: v1::EstimateReport {
                low: view.estimate.low,
                value: view.estimate.value,
                high: view.estimate.high + view.kept_back,
            },
            sampled_lines: view.estimate.sampled_lines,
            full_lines: view.estimate.full_lines,
            threshold_ms: view.threshold_ns.map(|(low, _)| ms(low)),
            threshold_max_ms: view.threshold_ns.map(|(_, high)| ms(high)),
            complete: view.complete,
            debug_lines: view.debug_lines,
            load: row_of("all".to_owned(), &tables.total, total),
        },
        grep: grep(summary, &resources),
        resources,
        shapes,
        namespaces: load(&tables.namespaces, &|name| redactor.name(name)),
        clients: load(&tables.clients, &|name| redactor.agent(name)),
        prefixes: load(&tables.prefixes, &|name| redactor.prefix(name)),
        bounded,
        events: kinds(&view, redactor),
        episodes: episodes(&view, redactor),
        elections: elections(&view, redactor),
        throttling: delays(&view.throttling, redactor),
        server_waits: delays(&view.server_waits, redactor),
        traces: delays(&view.traces, redactor),
        apiserver_calls: super::calls::calls(&view.calls, redactor),
        audit: audit(&view, redactor),
        slow_clients: slow_clients(summary, &view, redactor),
        starts: starts(&view, redactor),
        clock_drift: view
            .drift
            .iter()
            .map(|(place, peer, drift)| v1::DriftReport {
                node: node(place.node.as_ref(), redactor),
                peer: redactor.text(peer),
                checks: drift.checks.len() as u64,
                max_ms: ms(drift.max_ns),
            })
            .collect(),
        storage: storage(&view, redactor),
        coverage: coverage(summary, &view, redactor),
        notes: Vec::new(),
    };
    report.notes = notes(&report);
    let files: Vec<_> = summary.files().collect();
    report.notes.extend(reading(&files, redactor));
    report
}

fn row_of(name: String, row: &LoadRow, total_ns: u64) -> v1::LoadReport {
    v1::LoadReport {
        name,
        requests: row.requests,
        lists: row.lists,
        pages: row.pages,
        unlimited: row.unlimited,
        gets: row.gets,
        counts: row.counts,
        writes: row.writes,
        probes: row.probes,
        other: row.other,
        stalled: row.stalled,
        errors: row.errors,
        slow_secs: secs(row.slow_ns),
        list_slow_secs: secs(row.list_slow_ns),
        write_slow_secs: secs(row.write_slow_ns),
        stalled_secs: secs(row.stalled_ns),
        p50_ms: row.took.quantile_ns(0.5).map(ms),
        p99_ms: row.took.quantile_ns(0.99).map(ms),
        max_ms: row.took.max_ns().map(ms),
        items: row.items,
        bytes: row.bytes,
        max_bytes: row.max_bytes,
        share: if total_ns == 0 {
            0.0
        } else {
            row.slow_ns as f64 / total_ns as f64
        },
        spark: spark(&row.spark),
    }
}

fn spark(spark: &Spark) -> v1::SparkReport {
    v1::SparkReport {
        start: when(spark.start()),
        width_secs: spark.width_secs(),
        counts: spark.iter().map(|(_, count)| *count).collect(),
    }
}

/// Sorts rows by the column that was asked for, then by name.
fn sort_rows(rows: &mut [v1::LoadReport], sort: Sort) {
    let key = |row: &v1::LoadReport| match sort {
        Sort::Slow => row.slow_secs,
        Sort::Requests => row.requests as f64,
        Sort::Lists => row.lists as f64,
        Sort::Writes => row.writes as f64,
        Sort::Items => row.items as f64,
        Sort::Bytes => row.bytes as f64,
        Sort::P99 => row.p99_ms.unwrap_or(0.0),
        Sort::Max => row.max_ms.unwrap_or(0.0),
        Sort::Name => 0.0,
    };
    rows.sort_by(|a, b| key(b).total_cmp(&key(a)).then_with(|| a.name.cmp(&b.name)));
}

/// What people mean by the words that they search for.
fn grep(summary: &Summary, resources: &[v1::LoadReport]) -> Vec<v1::GrepReport> {
    summary
        .grep
        .iter()
        .map(|count| {
            let word = count.word.to_ascii_lowercase();
            let plural = format!("{word}s");
            let resource = resources.iter().find(|row| {
                let name = row.name.split('.').next().unwrap_or_default();
                name == word || name == plural
            });
            v1::GrepReport {
                word: count.word.clone(),
                lines: count.lines,
                resource: resource.map(|row| row.name.clone()),
                requests: resource.map(|row| row.requests),
                lists: resource.map(|row| row.lists),
            }
        })
        .collect()
}

fn kinds(view: &View, redactor: &Redactor) -> Vec<v1::KindReport> {
    let mut rows: Vec<_> = view
        .kinds
        .iter()
        .map(|kind| v1::KindReport {
            component: redactor.agent(&kind.place.component),
            node: node(kind.place.node.as_ref(), redactor),
            kind: kind.kind.clone(),
            nature: kind.nature.word(),
            count: kind.row.count,
            first: when(kind.row.first),
            last: when(kind.row.last),
            max_ms: (kind.row.timed > 0).then(|| ms(kind.row.max_ns)),
        })
        .collect();
    rows.sort_by(|a, b| {
        (Reverse(a.count), &a.component, &a.node, &a.kind).cmp(&(
            Reverse(b.count),
            &b.component,
            &b.node,
            &b.kind,
        ))
    });
    rows
}

fn episodes(view: &View, redactor: &Redactor) -> Vec<v1::EpisodeReport> {
    view.episodes
        .iter()
        .map(|episode| v1::EpisodeReport {
            component: redactor.agent(&episode.place.component),
            node: node(episode.place.node.as_ref(), redactor),
            kind: episode.kind.clone(),
            nature: episode.nature.word(),
            from: episode.from.to_string(),
            to: episode.to.to_string(),
            count: episode.count,
            max_ms: (episode.max_ns > 0).then(|| ms(episode.max_ns)),
            detail: redactor.text(&episode.detail),
            planned: episode.planned,
            first: episode.first,
        })
        .collect()
}

fn elections(view: &View, redactor: &Redactor) -> Vec<v1::ElectionReport> {
    view.elections
        .iter()
        .map(|election| v1::ElectionReport {
            term: election.term,
            at: election.election.first.to_string(),
            leader: election
                .election
                .leader
                .as_deref()
                .map(|leader| redactor.text(leader)),
            members: election.nodes.len() as u64,
            planned: election.planned,
            start: election.start,
        })
        .collect()
}

fn delays(views: &[DelayView], redactor: &Redactor) -> Vec<v1::DelayReport> {
    views.iter().map(|view| delay(view, redactor)).collect()
}

/// A node's name, where it is known.
pub(super) fn node(name: Option<&String>, redactor: &Redactor) -> Option<String> {
    name.map(|name| redactor.name(name))
}

fn delay(view: &DelayView, redactor: &Redactor) -> v1::DelayReport {
    let part = |at: usize| view.parts.get(at).cloned().unwrap_or_default();
    let (user_agent, verb, resource) = if view.parts.len() > 2 {
        (Some(redactor.agent(&part(0))), part(1), part(2))
    } else {
        (None, part(0), part(1))
    };
    v1::DelayReport {
        component: redactor.agent(&view.place.component),
        node: node(view.place.node.as_ref(), redactor),
        user_agent,
        verb,
        resource,
        lines: view.row.lines,
        max_ms: ms(view.row.max_ns),
        total_ms: ms(view.row.sum_ns),
        first: when(view.row.first),
        last: when(view.row.last),
    }
}

fn audit(view: &View, redactor: &Redactor) -> Option<v1::AuditReport> {
    (view.audit_records > 0).then(|| v1::AuditReport {
        records: view.audit_records,
        requests: view.audit.total.all_requests(),
        callers: sorted(&view.audit.callers)
            .into_iter()
            .take(MAX_ROWS)
            .map(|(key, row)| caller(key, row, redactor))
            .collect(),
        clients: sorted(&view.audit.clients)
            .into_iter()
            .take(MAX_PACED)
            .map(|(key, row)| {
                let mut parts = parts(key).into_iter();
                let plateau = row.plateau();
                v1::PaceReport {
                    user_agent: redactor.agent(&parts.next().unwrap_or_default()),
                    user: redactor.user(&parts.next().unwrap_or_default()),
                    requests: row.requests,
                    not_found: row.not_found,
                    throttled: row.throttled,
                    active_secs: row.active_secs(),
                    plateau_per_sec: plateau.map(|(rate, _)| rate),
                    plateau_share: plateau.map(|(_, share)| share),
                }
            })
            .collect(),
        objects: sorted(&view.audit.objects)
            .into_iter()
            .filter(|(_, row)| row.requests >= MIN_REPEATS)
            .take(MAX_PACED)
            .map(|(key, row)| {
                let mut parts = parts(key).into_iter();
                let mut part = || parts.next().unwrap_or_default();
                v1::ObjectReport {
                    user_agent: redactor.agent(&part()),
                    user: redactor.user(&part()),
                    verb: part(),
                    resource: part(),
                    object: object(&part(), redactor),
                    requests: row.requests,
                    not_found: row.not_found,
                    per_sec: row.rate(),
                    steady: row.is_steady(),
                }
            })
            .collect(),
    })
}

/// `namespace/name`, each hidden where that is asked for.
fn object(text: &str, redactor: &Redactor) -> String {
    match text.split_once('/') {
        Some((namespace, name)) => {
            format!("{}/{}", redactor.name(namespace), redactor.name(name))
        }
        None => redactor.name(text),
    }
}

/// Slow requests of etcd by client, as the diagnosis joins them.
fn slow_clients(
    summary: &Summary,
    view: &View,
    redactor: &Redactor,
) -> Option<v1::SlowClientsReport> {
    // Most logs have no such side, and evidence of all of them takes its time.
    if !crate::logs::tells_clients(view) {
        return None;
    }
    let joined = crate::diagnosis::who::joined(&crate::logs::collect(summary, ""))?;
    Some(v1::SlowClientsReport {
        slow_secs: joined.slow_secs,
        unknown_secs: joined.unknown_secs,
        clients: joined
            .clients
            .into_iter()
            .map(|client| v1::SlowClientReport {
                user_agent: redactor.agent(&client.user_agent),
                user: redactor.user(&client.user),
                source: match client.source {
                    crate::diagnosis::who::Source::Audit => "audit",
                    crate::diagnosis::who::Source::Trace => "trace",
                },
                resource: client.resource,
                class: client.class,
                requests: client.requests,
                slow_secs: client.slow_secs,
                share: client.share,
                confidence: client.confidence,
            })
            .collect(),
        clock_skews: joined
            .skews
            .into_iter()
            .map(|skew| v1::SkewReport {
                member: redactor.text(&skew.member),
                secs: skew.secs,
            })
            .collect(),
    })
}

fn caller(key: &str, row: &AuditRow, redactor: &Redactor) -> v1::CallerReport {
    let mut parts = parts(key).into_iter();
    let mut part = || parts.next().unwrap_or_default();
    let etcd_share =
        (row.etcd_total_ns > 0).then(|| (row.etcd_ns as f64 / row.etcd_total_ns as f64).min(1.0));
    v1::CallerReport {
        user_agent: redactor.agent(&part()),
        user: redactor.user(&part()),
        verb: part(),
        resource: part(),
        requests: row.all_requests(),
        per_sec: row.rate(),
        errors: row.errors,
        not_found: row.not_found,
        conflicts: row.conflicts,
        throttled: row.throttled,
        server_errors: row.server_errors,
        unlimited: row.unlimited,
        rv_unset: row.rv_unset,
        p50_ms: row.took.quantile_ns(0.5).map(ms),
        p99_ms: row.took.quantile_ns(0.99).map(ms),
        max_ms: row.took.max_ns().map(ms),
        etcd_share,
    }
}

fn starts(view: &View, redactor: &Redactor) -> Vec<v1::StartReport> {
    let mut starts: Vec<(&Place, _)> = view
        .facts
        .iter()
        .flat_map(|(place, facts)| facts.starts.iter().map(move |start| (place, start)))
        .collect();
    starts.sort_by_key(|(place, start)| (start.at, *place));
    starts
        .into_iter()
        .map(|(place, start)| v1::StartReport {
            component: redactor.agent(&place.component),
            node: node(place.node.as_ref(), redactor),
            at: when(start.at),
            version: start.version.clone(),
        })
        .collect()
}

fn storage(view: &View, redactor: &Redactor) -> Vec<v1::StorageReport> {
    view.facts
        .iter()
        .filter(|(_, facts)| facts.compactions.count > 0 || facts.db_size.start().is_some())
        .map(|(place, facts)| {
            let in_use: std::collections::BTreeMap<_, _> = facts
                .db_in_use
                .iter()
                .filter(|(_, size)| size.value > 0)
                .map(|(at, size)| (at, size.value))
                .collect();
            v1::StorageReport {
                node: node(place.node.as_ref(), redactor),
                compactions: facts.compactions.count,
                compaction_period_secs: facts.compactions.period_us().map(|us| us as f64 / 1e6),
                compaction_max_ms: facts
                    .compactions
                    .took
                    .iter()
                    .map(|(_, peak)| peak.0)
                    .max()
                    .map(ms),
                db: facts
                    .db_size
                    .iter()
                    .filter(|(_, size)| size.value > 0)
                    .map(|(at, size)| (at.to_string(), size.value, in_use.get(&at).copied()))
                    .collect(),
            }
        })
        .collect()
}

fn coverage(summary: &Summary, view: &View, redactor: &Redactor) -> v1::CoverageReport {
    let span = view.span();
    let total = &view.total;
    let mut gaps: Vec<v1::GapReport> = view
        .coverage
        .iter()
        .flat_map(|(_, id, coverage)| {
            coverage
                .gaps()
                .into_iter()
                .take(10)
                .map(move |(from, to)| v1::GapReport {
                    stream: redactor.text(id),
                    from: from.to_string(),
                    to: to.to_string(),
                    secs: to.since_us(from) as f64 / 1e6,
                })
        })
        .collect();
    gaps.sort_by(|a, b| {
        b.secs
            .total_cmp(&a.secs)
            .then_with(|| a.stream.cmp(&b.stream))
    });
    gaps.truncate(100);
    v1::CoverageReport {
        files: summary.files().count() as u64
            + summary.streams.iter().map(|s| s.more_files).sum::<u64>(),
        bytes: total.bytes,
        lines: total.lines,
        parsed: total.parsed,
        unparsed: total.unparsed,
        unknown: total.unknown,
        untimed: total.untimed,
        outside: summary.files().map(|file| file.outside).sum(),
        suppressed: total.suppressed,
        suppressed_by: total
            .suppressed_by
            .iter()
            .map(|(unit, count)| (redactor.text(unit), *count))
            .collect(),
        from: when(span.map(|(from, _)| from)),
        to: when(span.map(|(_, to)| to)),
        gaps,
        streams: summary
            .streams
            .iter()
            .map(|stream| {
                let coverage = &stream.segment.coverage;
                let span = coverage.span();
                v1::StreamReport {
                    id: redactor.text(&stream.id),
                    component: redactor.agent(stream.who()),
                    node: node(stream.node.as_ref(), redactor),
                    files: stream.files.len() as u64 + stream.more_files,
                    lines: coverage.lines,
                    parsed: coverage.parsed,
                    unparsed: coverage.unparsed,
                    unknown: coverage.unknown,
                    from: when(span.map(|(from, _)| from)),
                    to: when(span.map(|(_, to)| to)),
                }
            })
            .collect(),
        file_list: summary
            .files()
            .map(|file| v1::FileReport {
                name: redactor.text(&file.name),
                lines: file.lines,
                parsed: file.parsed,
                unparsed: file.unparsed,
                cut_lines: file.cut_lines,
                bytes: file.bytes,
                from: when(file.from),
                to: when(file.to),
                error: file.error.as_deref().map(|why| redactor.text(why)),
            })
            .collect(),
        problems: summary
            .problems
            .iter()
            .map(|problem| v1::ProblemReport {
                path: redactor.text(&problem.path),
                why: redactor.text(&problem.why),
            })
            .collect(),
        skipped: summary.skipped.clone(),
        examples: sorted(&total.examples)
            .into_iter()
            .take(EXAMPLES)
            .map(|(text, count)| (redactor.text(text), count.0))
            .collect(),
        interrupted: summary.interrupted,
    }
}
