//! What one caller asked for, and all of them.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::aggregate::join::Payload;
use crate::logs::aggregate::kinds::earliest;
use crate::logs::aggregate::pace::{ObjectRow, PaceRow};
use crate::logs::aggregate::seconds::Seconds;
use crate::logs::aggregate::spark::{Spark, minute_of};
use crate::logs::aggregate::table::{Bounded, RowValue};
use crate::units::{Bucket, LogHistogram};

use super::{CALLERS, CLIENTS, OBJECTS};

/// Requests of one caller for one verb and resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditRow {
    /// Requests, each once; ends of watches whose begin is not logged are apart.
    pub requests: u64,
    /// Ends of watches without a begin.
    pub watch_ends: u64,
    /// Begins of watches.
    pub watch_begins: u64,
    /// Answers 400 and above.
    pub errors: u64,
    /// Answers 404.
    pub not_found: u64,
    /// Answers 409.
    pub conflicts: u64,
    /// Answers 429, but to evictions.
    pub throttled: u64,
    /// Evictions answered 429.
    pub held: u64,
    /// Answers 500 and above, 504 among them.
    pub server_errors: u64,
    /// Answers 504.
    pub timeouts: u64,
    /// LISTs without a limit.
    pub unlimited: u64,
    /// LISTs without a resourceVersion.
    pub rv_unset: u64,
    /// LISTs with neither.
    pub bare: u64,
    /// Time of those.
    pub bare_ns: u64,
    /// Of those, the ones of all namespaces or slow: the expensive kind.
    pub unbounded: u64,
    /// Time of those.
    pub unbounded_ns: u64,
    /// LISTs that etcd answered for sure (exact revision, or a later page).
    pub from_etcd: u64,
    /// Latency of completed requests, watches left out.
    pub took: LogHistogram,
    /// Time in etcd of the requests that say so (slower than 500 ms, 1.24 and later).
    pub etcd_ns: u64,
    /// Time of those requests.
    pub etcd_total_ns: u64,
    /// Time in the queues of priority and fairness, where said.
    pub queue_ns: u64,
    /// Earliest record.
    pub first: Option<Timestamp>,
    /// Latest record.
    pub last: Option<Timestamp>,
    /// Requests over time.
    pub spark: Spark,
}

impl AuditRow {
    /// Requests, with ends of watches where their begins are not logged.
    pub fn all_requests(&self) -> u64 {
        if self.watch_begins == 0 {
            self.requests + self.watch_ends
        } else {
            self.requests
        }
    }

    /// Requests per second between the first and the last one.
    pub fn rate(&self) -> Option<f64> {
        let secs = self.last?.since_us(self.first?) as f64 / 1e6;
        (secs >= 1.0).then(|| self.all_requests() as f64 / secs)
    }
}

impl RowValue for AuditRow {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.watch_ends += other.watch_ends;
        self.watch_begins += other.watch_begins;
        self.errors += other.errors;
        self.not_found += other.not_found;
        self.conflicts += other.conflicts;
        self.throttled += other.throttled;
        self.held += other.held;
        self.server_errors += other.server_errors;
        self.timeouts += other.timeouts;
        self.unlimited += other.unlimited;
        self.rv_unset += other.rv_unset;
        self.bare += other.bare;
        self.bare_ns = self.bare_ns.saturating_add(other.bare_ns);
        self.unbounded += other.unbounded;
        self.unbounded_ns = self.unbounded_ns.saturating_add(other.unbounded_ns);
        self.from_etcd += other.from_etcd;
        self.took.merge(&other.took);
        self.etcd_ns = self.etcd_ns.saturating_add(other.etcd_ns);
        self.etcd_total_ns = self.etcd_total_ns.saturating_add(other.etcd_total_ns);
        self.queue_ns = self.queue_ns.saturating_add(other.queue_ns);
        self.first = earliest(self.first, other.first);
        self.last = self.last.max(other.last);
        self.spark.merge(&other.spark);
    }

    fn raise(&mut self, other: &Self) {
        self.requests = self.requests.max(other.requests);
        self.watch_ends = self.watch_ends.max(other.watch_ends);
        self.watch_begins = self.watch_begins.max(other.watch_begins);
        self.errors = self.errors.max(other.errors);
        self.not_found = self.not_found.max(other.not_found);
        self.conflicts = self.conflicts.max(other.conflicts);
        self.throttled = self.throttled.max(other.throttled);
        self.held = self.held.max(other.held);
        self.server_errors = self.server_errors.max(other.server_errors);
        self.timeouts = self.timeouts.max(other.timeouts);
        self.unlimited = self.unlimited.max(other.unlimited);
        self.rv_unset = self.rv_unset.max(other.rv_unset);
        self.bare = self.bare.max(other.bare);
        self.bare_ns = self.bare_ns.max(other.bare_ns);
        self.unbounded = self.unbounded.max(other.unbounded);
        self.unbounded_ns = self.unbounded_ns.max(other.unbounded_ns);
        self.from_etcd = self.from_etcd.max(other.from_etcd);
        self.etcd_ns = self.etcd_ns.max(other.etcd_ns);
        self.etcd_total_ns = self.etcd_total_ns.max(other.etcd_total_ns);
        self.queue_ns = self.queue_ns.max(other.queue_ns);
    }

    fn weight(&self) -> u64 {
        self.requests + self.watch_ends
    }
}

/// What one request adds to its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditShare {
    pub(super) row: u32,
    pub(super) watch: bool,
    pub(super) begun: bool,
    pub(super) ended: bool,
    pub(super) code: u16,
    /// An eviction that was put off.
    #[serde(default)]
    pub(super) held: bool,
    pub(super) took_ns: Option<u64>,
    pub(super) etcd_ns: u64,
    pub(super) queue_ns: u64,
    pub(super) unlimited: bool,
    /// Of all namespaces, or as slow as one of those.
    pub(super) whole: bool,
    pub(super) rv_unset: bool,
    pub(super) from_etcd: bool,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
}

impl Payload for AuditShare {
    fn join(&mut self, later: Self) {
        self.row = later.row;
        self.begun |= later.begun;
        self.ended |= later.ended;
        if later.code > 0 {
            self.code = later.code;
            self.held = later.held;
        }
        self.took_ns = later.took_ns.or(self.took_ns);
        self.whole |= later.whole;
        self.etcd_ns = self.etcd_ns.saturating_add(later.etcd_ns);
        self.queue_ns = self.queue_ns.saturating_add(later.queue_ns);
        self.first = earliest(self.first, later.first);
        self.last = self.last.max(later.last);
    }
}

/// Callers and totals.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditTables<O = Bounded<ObjectRow>> {
    /// By user agent, user, verb and resource, joined by [`super::SEPARATOR`].
    pub callers: Bounded<AuditRow>,
    /// All requests.
    pub total: AuditRow,
    /// By user agent and user: how steadily they ask.
    pub clients: Bounded<PaceRow>,
    /// By user agent, user, verb, resource and object.
    pub objects: O,
    /// Lists and changes by second, resource, class, user agent and user.
    pub seconds: Seconds,
}

impl Default for AuditTables {
    fn default() -> Self {
        AuditTables {
            callers: Bounded::new(CALLERS),
            total: AuditRow::default(),
            clients: Bounded::new(CLIENTS),
            objects: Bounded::new(OBJECTS),
            seconds: Seconds::default(),
        }
    }
}

impl<O> AuditTables<O> {
    pub(super) fn add(&mut self, share: &AuditShare) {
        // Worked out once for both rows.
        let took = share.took_ns.map(|ns| (ns, Bucket::of_ns(ns)));
        let minute = share.first.map(minute_of);
        for row in [self.callers.row_mut(share.row), Some(&mut self.total)]
            .into_iter()
            .flatten()
        {
            if share.watch && share.ended && !share.begun {
                row.watch_ends += 1;
            } else {
                row.requests += 1;
                row.watch_begins += u64::from(share.watch);
            }
            if share.code >= 400 {
                row.errors += 1;
                row.not_found += u64::from(share.code == 404);
                row.conflicts += u64::from(share.code == 409);
                row.throttled += u64::from(share.code == 429 && !share.held);
                row.held += u64::from(share.held);
                row.server_errors += u64::from(share.code >= 500);
                row.timeouts += u64::from(share.code == 504);
            }
            row.unlimited += u64::from(share.unlimited);
            row.rv_unset += u64::from(share.rv_unset);
            if share.unlimited && share.rv_unset {
                let ns = share.took_ns.unwrap_or(0);
                row.bare += 1;
                row.bare_ns = row.bare_ns.saturating_add(ns);
                if share.whole {
                    row.unbounded += 1;
                    row.unbounded_ns = row.unbounded_ns.saturating_add(ns);
                }
            }
            row.from_etcd += u64::from(share.from_etcd);
            if let Some((ns, bucket)) = took {
                row.took.record(ns, bucket);
                if share.etcd_ns > 0 {
                    row.etcd_total_ns = row.etcd_total_ns.saturating_add(ns);
                }
            }
            row.etcd_ns = row.etcd_ns.saturating_add(share.etcd_ns);
            row.queue_ns = row.queue_ns.saturating_add(share.queue_ns);
            row.first = earliest(row.first, share.first);
            row.last = row.last.max(share.last);
            if let Some(minute) = minute {
                row.spark.add_minute(minute, &1);
            }
        }
    }
}
