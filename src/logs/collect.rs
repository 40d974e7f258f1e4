//! What logs tell, as evidence. Only this file and its folder know about
//! evidence.
//!
//! Load tables are about the cluster and, by node, about members; kinds of messages are about the
//! member or component that wrote them.

mod clients;
mod lives;
mod load;
mod who;
#[cfg(test)]
mod whose_tests;

use crate::catalog::controllers;
use crate::clock::Timestamp;
use crate::evidence::{
    Collector, Episode, Episodes, EvidenceSet, Origin, Point, Row, Series, Subject, SubjectKind,
    Table, Window, keys,
};

use super::aggregate::coverage::Coverage;
use super::aggregate::facts::{Facts, REJECTED, UNCONNECTED};
use super::aggregate::rejections::Rejections;
use super::signature::Nature;
use super::summary::Summary;
use super::view::{Place, UNNAMED_CLIENT, View};
use super::writer;

pub use who::tells_clients;

/// Most clients of the audit log that evidence keeps apart.
const MAX_CLIENTS: usize = 500;
/// Most resources, clients or delays that evidence keeps apart.
const MAX_ROWS: usize = 1_000;
/// Most kinds of unknown messages of one component.
const MAX_MESSAGES: usize = 8;

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
    load::load(&view, &out, &mut set);
    kinds(&view, &out, &mut set);
    episodes(&view, &out, &mut set);
    facts(&view, &out, &mut set);
    alarms(&view, &out, &mut set);
    lives::lives(&view, &out, &mut set);
    clients::delays(&view, &out, &mut set);
    clients::audit(&view, &out, &mut set);
    who::who(&view, &out, &mut set);
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

/// The component, in words where it has no name.
fn component(place: &Place) -> &str {
    match place.component.as_str() {
        UNNAMED_CLIENT => controllers::UNNAMED_CLIENT,
        known => known,
    }
}

/// etcd members by node, a second etcd's as `NODE/events`, everything else as a component on its node.
fn subject(place: &Place) -> Subject {
    let node = place.node.clone().unwrap_or_default();
    match place.component.as_str() {
        "etcd" => return Subject::new(SubjectKind::Member, node),
        writer::EVENTS if node.is_empty() => return Subject::new(SubjectKind::Member, "events"),
        writer::EVENTS => return Subject::new(SubjectKind::Member, format!("{node}/events")),
        _ => {}
    }
    Subject::new(SubjectKind::Component, component(place)).on(node)
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
    for (at, (place, _, coverage)) in view.coverage.iter().enumerate() {
        let key = match view.by_workload.contains(&at) {
            // Nobody knows what its words are like.
            true => "unknown".to_owned(),
            false => coverage_key(place),
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
    // Who shares its log with others is among those who were read; whose lines are how many is not
    // counted.
    let known = |place: &&Place| {
        let mut unknown = view
            .by_workload
            .iter()
            .filter_map(|at| view.coverage.get(*at));
        !unknown.any(|(have, ..)| have == *place)
    };
    for place in view.places.iter().filter(known) {
        let key = coverage_key(place);
        if !rows.iter().any(|have| have.key == key) {
            rows.push(Row::new(&key).num("files", 0.0).num("lines", 0.0));
        }
    }
    messages(view, out, set);
    set.put(
        &keys::LOGS_COVERAGE,
        cluster,
        out.window,
        out.origin(),
        table(rows, MAX_ROWS),
    );
}

fn coverage_key(place: &Place) -> String {
    match &place.node {
        Some(node) => format!("{} on {node}", place.component),
        None => place.component.clone(),
    }
}

/// Beginnings of the messages that controllers write most and that no signature knows.
fn messages(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut tables: Vec<(Subject, Vec<Row>)> = Vec::new();
    for (at, (place, _, coverage)) in view.coverage.iter().enumerate() {
        // Of several programs it is not known whose they are.
        if writer::is_etcd(&place.component)
            || matches!(place.component.as_str(), "kernel" | "unknown")
            || view.mixed.contains(&at)
            || view.by_workload.contains(&at)
        {
            continue;
        }
        let about = subject(place);
        for (text, count) in coverage.examples.iter() {
            let row = Row::new(text).num("records", num(count.0));
            let at = match tables.iter().position(|(have, _)| *have == about) {
                Some(at) => at,
                None => {
                    tables.push((about.clone(), Vec::new()));
                    tables.len() - 1
                }
            };
            let Some((_, rows)) = tables.get_mut(at) else {
                continue;
            };
            match rows.iter_mut().find(|have| have.key == row.key) {
                Some(have) => add(have, &row),
                None => rows.push(row),
            }
        }
    }
    for (about, mut rows) in tables {
        rows.sort_by(|a, b| {
            b.get("records")
                .unwrap_or(0.0)
                .total_cmp(&a.get("records").unwrap_or(0.0))
                .then_with(|| a.key.cmp(&b.key))
        });
        rows.truncate(MAX_MESSAGES);
        set.put(
            &keys::LOGS_MESSAGES,
            about,
            out.window,
            out.origin(),
            table(rows, MAX_MESSAGES),
        );
    }
}

/// Adds the numbers of a row; columns that start with `max_` keep the larger one.
fn add(into: &mut Row, from: &Row) {
    for (column, cell) in &from.cells {
        let crate::evidence::Cell::Num(value) = cell else {
            continue;
        };
        let have = into.get(column).unwrap_or(0.0);
        let sum = if column.starts_with("max_") || column.starts_with("last_") {
            have.max(*value)
        } else {
            have + value
        };
        into.cells
            .insert(column.clone(), crate::evidence::Cell::Num(sum));
    }
}

fn kinds(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut tables: Vec<(Subject, Vec<Row>)> = Vec::new();
    // A component that wrote nothing of note was still looked at.
    for place in view
        .coverage
        .iter()
        .map(|(place, ..)| place)
        .chain(&view.places)
    {
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
        if kind.settling > 0 {
            row = row.num("settling", num(kind.settling));
        }
        if kind.row.timed > 0 {
            row = row
                .num("max_ms", ms(kind.row.max_ns))
                .num("total_ms", ms(kind.row.sum_ns));
        }
        let about = subject(&kind.place);
        let reasons = match kind.kind.as_str() {
            REJECTED => reasons(view, &about, |facts| &facts.rejections),
            UNCONNECTED => reasons(view, &about, |facts| &facts.unconnected),
            _ => Rejections::default(),
        };
        for (name, count) in reasons.columns() {
            if count > 0 {
                row = row.num(name, num(count));
            }
        }
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

/// Why one member turned connections away, or one program could not connect.
fn reasons(view: &View, about: &Subject, of: fn(&Facts) -> &Rejections) -> Rejections {
    let mut all = Rejections::default();
    for (place, facts) in &view.facts {
        if subject(place) == *about {
            all.merge(of(facts));
        }
    }
    all
}

/// Alarms, and what clients were told because of one.
fn alarms(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    /// Kinds of messages that a full database brings about.
    const FULL: [&str; 2] = ["etcd-error-no-space", "quota-exceeded"];
    let mut tables: Vec<(Subject, Vec<Row>)> = Vec::new();
    let mut put = |place: &Place, kind: &str, raised: Seen, disarmed: Seen| {
        let mut row = Row::new(kind)
            .num("raised", num(raised.0))
            .num("disarmed", num(disarmed.0));
        for (name, (_, last)) in [
            ("last_raised_secs", raised),
            ("last_disarmed_secs", disarmed),
        ] {
            if let Some(at) = last {
                row = row.num(name, at.0 as f64 / 1e6);
            }
        }
        let about = subject(place);
        let at = match tables.iter().position(|(have, _)| *have == about) {
            Some(at) => at,
            None => {
                tables.push((about, Vec::new()));
                tables.len() - 1
            }
        };
        let Some((_, rows)) = tables.get_mut(at) else {
            return;
        };
        match rows.iter_mut().find(|have| have.key == row.key) {
            Some(have) => add(have, &row),
            None => rows.push(row),
        }
    };
    for (place, facts) in &view.facts {
        for (kind, alarm) in &facts.alarms {
            let raised = (alarm.raised, alarm.last_raised);
            put(place, kind, raised, (alarm.disarmed, alarm.last_disarmed));
        }
    }
    for kind in &view.kinds {
        if FULL.contains(&kind.kind.as_str()) {
            let raised = (kind.row.count, kind.row.last);
            put(&kind.place, "NOSPACE", raised, (0, None));
        }
    }
    for (about, rows) in tables {
        let rows = table(rows, MAX_ROWS);
        set.put(&keys::LOGS_ALARMS, about, out.window, out.origin(), rows);
    }
}

/// How often something was said, and when last.
type Seen = (u64, Option<Timestamp>);

fn episodes(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut lists: Vec<(Subject, Vec<Episode>)> = Vec::new();
    for episode in &view.episodes {
        if episode.nature == Nature::Noise {
            continue;
        }
        let entry = Episode {
            kind: episode.kind.clone(),
            from: episode.from,
            to: episode.to,
            count: episode.count,
            max_ms: (episode.max_ns > 0).then(|| ms(episode.max_ns)),
            detail: episode.detail.clone(),
            nature: episode.nature.word().to_owned(),
            planned: episode.planned,
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
    let unplanned: Vec<Timestamp> = view
        .elections
        .iter()
        .filter(|e| !e.planned && !e.start)
        .map(|e| e.election.first)
        .collect();
    let rows = vec![
        Row::new("planned")
            .num("terms", count(&|planned, start| planned && !start))
            .text("at", moments(view)),
        Row::new("start").num("terms", count(&|_, start| start)),
        Row::new("unplanned")
            .num("terms", count(&|planned, start| !planned && !start))
            .num("max_all", num(unplanned.len() as u64))
            .num("max_terms", num(most_together(&unplanned))),
    ];
    if view.has("etcd") || view.has(writer::EVENTS) {
        set.put(
            &keys::LOGS_ELECTIONS,
            Subject::cluster(),
            out.window,
            out.origin(),
            table(rows, 3),
        );
    }
}

/// When leadership was handed over on purpose: the last times, in seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970")]
fn moments(view: &View) -> String {
    let planned = view.elections.iter().filter(|e| e.planned && !e.start);
    let mut secs: Vec<String> = planned
        .map(|e| format!("{:.3}", e.election.last.0 as f64 / 1e6))
        .collect();
    let all = secs.split_off(secs.len().saturating_sub(MAX_ROWS));
    all.join(" ")
}

/// Most of these moments within a quarter of an hour: etcd's own alert counts elections so.
fn most_together(moments: &[Timestamp]) -> u64 {
    const SPAN_US: i64 = 15 * 60 * 1_000_000;
    let most = moments.iter().map(|first| {
        let end = first.add_us(SPAN_US);
        let near = |at: &&Timestamp| (*first..end).contains(at);
        moments.iter().filter(near).count() as u64
    });
    most.max().unwrap_or(0)
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
        // Minutes in which nothing was said are empty buckets, no readings.
        let took: Vec<_> = facts
            .compactions
            .took
            .iter()
            .filter(|(_, peak)| peak.0 > 0)
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
            .filter(|(_, size)| size.value > 0)
            .map(|(_, size)| (size.at, num(size.value)))
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
        let said: Vec<Row> = facts
            .settings
            .0
            .iter()
            .map(|(name, said)| Row::new(name).text("value", said.value.clone()))
            .collect();
        if !said.is_empty() {
            set.put(
                &keys::LOGS_SETTINGS,
                about.clone(),
                out.window,
                out.origin(),
                table(said, MAX_ROWS),
            );
        }
        set.put(
            &keys::LOGS_RESTARTS,
            about.clone(),
            out.window,
            out.origin(),
            table(lives::starts(place, facts, view), MAX_ROWS),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections_of_one_quarter_of_an_hour_are_counted_together() {
        let at = |seconds: &[i64]| -> u64 {
            let moments: Vec<_> = seconds.iter().map(|at| Timestamp::from_secs(*at)).collect();
            most_together(&moments)
        };
        assert_eq!(at(&[]), 0);
        assert_eq!(at(&[0, 899, 900, 1_798]), 3);
        assert_eq!(at(&[0, 90_000, 180_000]), 1);
    }
}
