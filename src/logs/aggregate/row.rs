//! One row of the load table: what the logged requests of one resource, client or shape add up to.

use serde::{Deserialize, Serialize};

use crate::logs::event::Shape;
use crate::units::LogHistogram;

use super::spark::Spark;
use super::table::RowValue;

/// Sums over requests, each counted once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadRow {
    /// All requests.
    pub requests: u64,
    /// LISTs. Pages that follow a logged page of the same range are not counted again.
    pub lists: u64,
    /// Further pages of paginated LISTs.
    pub pages: u64,
    /// LISTs without a limit.
    pub unlimited: u64,
    /// Reads of one object.
    pub gets: u64,
    /// Object count polls.
    pub counts: u64,
    /// Creates, updates, deletes.
    pub writes: u64,
    /// Health checks and revision probes.
    pub probes: u64,
    /// Everything else.
    pub other: u64,
    /// Requests whose time went into waiting for the read index: a stalled leader, not an
    /// expensive query.
    pub stalled: u64,
    /// Time of all requests in nanoseconds.
    pub slow_ns: u64,
    /// Of it, LISTs and pages, those of `stalled` requests left out, as in the two that follow.
    pub list_slow_ns: u64,
    /// Of it, reads of one object.
    pub get_slow_ns: u64,
    /// Of it, writes.
    pub write_slow_ns: u64,
    /// Of it, `stalled` requests.
    pub stalled_ns: u64,
    /// Objects returned.
    pub items: u64,
    /// Bytes returned.
    pub bytes: u64,
    /// Most bytes returned by one request.
    pub max_bytes: u64,
    /// Requests that ended in an error.
    pub errors: u64,
    /// Duration of requests.
    pub took: LogHistogram,
    /// Requests over time.
    pub spark: Spark,
}

impl LoadRow {
    /// Counts one request by its shape.
    pub fn count_shape(&mut self, shape: Shape) {
        let column = match shape {
            Shape::List => &mut self.lists,
            Shape::Page => &mut self.pages,
            Shape::Get => &mut self.gets,
            Shape::Count => &mut self.counts,
            Shape::Create | Shape::Update | Shape::Delete => &mut self.writes,
            Shape::Health | Shape::RevisionProbe => &mut self.probes,
            Shape::Lease | Shape::Compaction | Shape::Txn | Shape::Other => &mut self.other,
        };
        *column += 1;
    }
}

impl RowValue for LoadRow {
    fn add(&mut self, other: &Self) {
        self.each(other, |a, b| *a = a.saturating_add(b));
        self.max_bytes = self.max_bytes.max(other.max_bytes);
        self.took.merge(&other.took);
        self.spark.merge(&other.spark);
    }

    fn raise(&mut self, other: &Self) {
        self.each(other, |a, b| *a = (*a).max(b));
        self.max_bytes = self.max_bytes.max(other.max_bytes);
    }

    fn weight(&self) -> u64 {
        // A second of slow requests weighs as much as a thousand requests.
        self.requests.saturating_add(self.slow_ns / 1_000_000)
    }
}

impl LoadRow {
    fn each(&mut self, other: &Self, apply: impl Fn(&mut u64, u64)) {
        let LoadRow {
            requests,
            lists,
            pages,
            unlimited,
            gets,
            counts,
            writes,
            probes,
            other: rest,
            stalled,
            slow_ns,
            list_slow_ns,
            get_slow_ns,
            write_slow_ns,
            stalled_ns,
            items,
            bytes,
            max_bytes: _,
            errors,
            took: _,
            spark: _,
        } = self;
        apply(requests, other.requests);
        apply(lists, other.lists);
        apply(pages, other.pages);
        apply(unlimited, other.unlimited);
        apply(gets, other.gets);
        apply(counts, other.counts);
        apply(writes, other.writes);
        apply(probes, other.probes);
        apply(rest, other.other);
        apply(stalled, other.stalled);
        apply(slow_ns, other.slow_ns);
        apply(list_slow_ns, other.list_slow_ns);
        apply(get_slow_ns, other.get_slow_ns);
        apply(write_slow_ns, other.write_slow_ns);
        apply(stalled_ns, other.stalled_ns);
        apply(items, other.items);
        apply(bytes, other.bytes);
        apply(errors, other.errors);
    }
}
