//! Time lines to evidence.

mod apiserver;
mod clients;
mod etcd;
mod feeds;
mod put;

use crate::evidence::{Collector, EvidenceSet, Origin, Row, Subject, Table, Window, keys};

use super::identity::Role;
use super::moment::TimeSource;
use super::timeline::{Model, Timeline};
use put::Putter;

pub use feeds::feeds;

/// All readings of a model.
pub fn collect(model: &Model) -> EvidenceSet {
    let mut set = EvidenceSet::new();
    for line in &model.timelines {
        if line.columns.is_empty() {
            continue;
        }
        // One process may be several components, as in k3s.
        if line.target.is(Role::Etcd) {
            etcd::member(&mut Putter::member(&mut set, line));
        }
        let mut of = |role: Role, put: fn(&mut Putter<'_>)| {
            if line.target.is(role) {
                put(&mut Putter::component(&mut set, line, role.word()));
            }
        };
        of(Role::Apiserver, apiserver::apiserver);
        of(Role::Scheduler, clients::scheduler);
        of(Role::Kubelet, clients::kubelet);
        let mut own = Putter::component(&mut set, line, &line.target.component);
        clients::process(&mut own);
        clients::client(&mut own);
        coverage(&mut set, line);
    }
    faults(&mut set, model);
    set
}

/// The subject of a time line's process: `Component`, on its node.
pub(super) fn component(line: &Timeline, name: &str) -> Subject {
    let name = match &line.target.instance {
        Some(instance) => format!("{name}/{instance}"),
        None => name.to_owned(),
    };
    Subject::new(crate::evidence::SubjectKind::Component, name).on(line
        .target
        .node
        .clone()
        .unwrap_or_default())
}

fn coverage(set: &mut EvidenceSet, line: &Timeline) {
    let subject = component(line, &line.target.component);
    let (from, to) = line.ends(line.whole());
    let text = |at: Option<crate::clock::Timestamp>| at.map(|at| at.to_string());
    let gaps = line.pairs().filter_map(|pair| line.secs(pair));
    let mut row = Row::new(subject.to_string())
        .num("scrapes", line.columns.len() as f64)
        .num(
            "restarts",
            line.columns.iter().filter(|c| c.restarted).count() as f64,
        );
    if let Some(secs) = line.secs(line.whole()) {
        row = row.num("secs", secs);
    }
    if let Some(gap) = gaps.reduce(f64::max) {
        row = row.num("max_gap_secs", gap);
    }
    if let Some(from) = text(from) {
        row = row.text("from", from);
    }
    if let Some(to) = text(to) {
        row = row.text("to", to);
    }
    let worst = line.columns.iter().map(|c| c.time).max();
    row = row.text(
        "time",
        match worst {
            Some(TimeSource::Taken) => "taken",
            Some(TimeSource::Sample) => "in the samples",
            Some(TimeSource::Name) => "in the file names",
            Some(TimeSource::Modified) => "when the files were last changed",
            Some(TimeSource::LastGc) | None => "roughly, by the last garbage collection",
        },
    );
    set.put(
        &keys::METRICS_COVERAGE,
        subject,
        Window { from, to },
        Origin::new(Collector::Metrics, line.sources(line.whole())),
        Table {
            rows: vec![row],
            ..Table::default()
        },
    );
}

fn faults(set: &mut EvidenceSet, model: &Model) {
    let mut rows: Vec<Row> = model
        .faults
        .iter()
        .map(|fault| {
            Row::new(format!(
                "{} {} {}",
                fault.kind.id(),
                fault.source,
                fault.what
            ))
            .text("fault", format!("{}: {}", fault.source, fault.what))
            .text("kind", fault.kind.id())
            .text("source", fault.source.clone())
        })
        .collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.dedup_by(|a, b| a.key == b.key);
    if rows.is_empty() {
        return;
    }
    set.put(
        &keys::METRICS_FAULTS,
        Subject::cluster(),
        Window::default(),
        Origin::new(Collector::Metrics, "scrapes"),
        Table {
            rows,
            ..Table::default()
        },
    );
}
