//! Load per resource: exact counts from metrics where there are any, slow requests from logs.

use std::collections::BTreeMap;

use crate::evidence::{Reader, Subject, keys};
use crate::report::Report;

/// One resource's load. `None` was not measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LoadRow {
    pub(super) resource: String,
    /// Requests to etcd, as kube-apiserver counted them.
    pub(super) requests: Option<f64>,
    /// Lists among them.
    pub(super) lists: Option<f64>,
    /// Writes among them.
    pub(super) writes: Option<f64>,
    /// Seconds that all of them took.
    pub(super) seconds: Option<f64>,
    /// Requests in etcd's log.
    pub(super) slow: Option<f64>,
    /// Lists among those.
    pub(super) slow_lists: Option<f64>,
    /// Seconds that those took.
    pub(super) slow_seconds: Option<f64>,
    /// Whether some of those waited for the leader: a note below the table tells of them.
    pub(super) stalled: bool,
}

impl LoadRow {
    /// The resource, with the mark of that note.
    pub(super) fn name(&self) -> String {
        match self.stalled {
            true => format!("{} *", self.resource),
            false => self.resource.clone(),
        }
    }

    /// What rows are sorted by.
    pub(super) fn weight(&self) -> f64 {
        self.slow_seconds.unwrap_or(0.0) + self.seconds.unwrap_or(0.0)
    }
}

/// Rows by falling weight. Empty when nothing was measured.
pub(super) fn load(report: &Report) -> Vec<LoadRow> {
    let reader = Reader::new(&report.evidence);
    let logs = reader.peek(&keys::LOGS_REQUESTS, &Subject::cluster());
    let metrics = reader.all(&keys::APISERVER_ETCD_REQUESTS);
    let mut rows: BTreeMap<String, LoadRow> = BTreeMap::new();
    let add = |have: &mut Option<f64>, more: Option<f64>| {
        if let Some(more) = more {
            *have = Some(have.unwrap_or(0.0) + more);
        }
    };
    for (_, table) in &metrics {
        for row in &table.rows {
            let to = rows.entry(row.key.clone()).or_default();
            add(&mut to.requests, row.get("requests"));
            add(&mut to.lists, row.get("lists"));
            add(&mut to.writes, row.get("writes"));
            add(&mut to.seconds, row.get("total_secs"));
        }
    }
    for row in logs.iter().flat_map(|table| &table.rows) {
        let to = rows.entry(row.key.clone()).or_default();
        to.slow = row.get("requests");
        to.slow_lists = row.get("lists");
        to.slow_seconds = row.get("slow_secs");
        to.stalled = row.get("stalled").is_some_and(|n| n > 0.0);
    }
    let mut rows: Vec<LoadRow> = rows
        .into_iter()
        .map(|(resource, row)| LoadRow { resource, ..row })
        .filter(|row| row.weight() > 0.0)
        .collect();
    rows.sort_by(|a, b| {
        b.weight()
            .total_cmp(&a.weight())
            .then_with(|| a.resource.cmp(&b.resource))
    });
    rows
}
