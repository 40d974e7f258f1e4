//! What matters of one record.

use crate::clock::Timestamp;
use crate::logs::aggregate::join::LineKind;
use crate::logs::aggregate::seconds::{Cell, Class};
use crate::logs::audit::{AuditRecord, KnownRecord, List, ListSource, Stage, Verb};

use super::row::AuditShare;

/// A list of one namespace that takes as long as what etcd logs as slow is as good as a whole one.
const LARGE_NS: u64 = 100_000_000;

/// What of a request counts, however its line was read.
pub(super) struct Request {
    pub(super) stage: Stage,
    pub(super) watch: bool,
    pub(super) class: Option<Class>,
    pub(super) code: Option<u16>,
    pub(super) took_ns: Option<u64>,
    pub(super) etcd_ns: u64,
    pub(super) queue_ns: u64,
    pub(super) list: Option<List>,
    /// It asks for the objects of one namespace alone.
    pub(super) namespaced: bool,
    /// An eviction that was put off.
    pub(super) held: bool,
    pub(super) received: Option<Timestamp>,
    pub(super) stage_time: Option<Timestamp>,
}

impl Request {
    pub(super) fn of(record: &AuditRecord<'_>) -> Self {
        Request {
            stage: record.stage,
            watch: record.verb == "watch",
            class: Class::of_verb(&record.verb).filter(|_| !record.is_connection()),
            code: record.code,
            took_ns: record.latency_ns(),
            etcd_ns: record.etcd_ns.unwrap_or(0),
            queue_ns: record.queue_ns.unwrap_or(0),
            list: record.list,
            namespaced: record.parts.namespace.is_some(),
            held: record.is_held_eviction(),
            received: record.received,
            stage_time: record.stage_time,
        }
    }

    pub(super) fn of_known(record: &KnownRecord<'_>) -> Self {
        Request {
            stage: record.stage,
            watch: record.asked.verb == Verb::Watch,
            class: Class::of_verb(record.asked.verb.word()),
            code: record.code,
            took_ns: record.latency_ns(),
            etcd_ns: 0,
            queue_ns: 0,
            list: record.list,
            namespaced: record.namespace.is_some(),
            // Evictions are read by their names.
            held: false,
            received: record.received,
            stage_time: record.stage_time,
        }
    }

    /// Whether it is a request that was answered, and no watch.
    pub(super) fn answered(&self) -> bool {
        self.stage == Stage::ResponseComplete && !self.watch
    }

    pub(super) fn code(&self) -> u16 {
        self.code.unwrap_or(0)
    }

    pub(super) fn unlimited(&self) -> bool {
        self.list
            .is_some_and(|list| list.limit.is_none() && !list.continued)
    }

    /// The seconds in which etcd may have worked for it, and what to count there.
    pub(super) fn seconds(&self) -> Option<(Timestamp, Timestamp, Cell)> {
        let (class, from, to) = (self.class?, self.received?, self.stage_time?);
        // Answered from memory, or turned away: etcd had no part in it.
        let cached = self
            .list
            .is_some_and(|list| matches!(list.source, ListSource::Cache | ListSource::NotOlder));
        let turned_away = matches!(self.code, Some(401 | 403 | 429));
        // Reads of one object are many and cheap; they are in the other tables.
        if cached || turned_away || class == Class::Read {
            return None;
        }
        let cell = Cell {
            requests: 1,
            ns: self.took_ns.unwrap_or(0),
            unlimited: u64::from(self.unlimited()),
        };
        Some((from, to, cell))
    }

    pub(super) fn share(&self, row: u32) -> AuditShare {
        let ended = line_kind(self.stage) == LineKind::Stats;
        let at = self.received.or(self.stage_time);
        AuditShare {
            row,
            watch: self.watch,
            begun: !ended,
            ended,
            code: self.code(),
            held: self.held,
            took_ns: self.took_ns,
            etcd_ns: self.etcd_ns,
            queue_ns: self.queue_ns,
            unlimited: self.unlimited(),
            whole: !self.namespaced || self.took_ns.is_some_and(|ns| ns >= LARGE_NS),
            rv_unset: self
                .list
                .is_some_and(|list| list.source == ListSource::Unset),
            from_etcd: self
                .list
                .is_some_and(|list| list.source == ListSource::Exact),
            first: at,
            last: at,
        }
    }
}

/// Which line of a request a record is.
pub(super) fn line_kind(stage: Stage) -> LineKind {
    match stage {
        Stage::RequestReceived => LineKind::Apply,
        Stage::ResponseStarted => LineKind::Trace,
        Stage::ResponseComplete | Stage::Panic | Stage::Unknown => LineKind::Stats,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_list_of_one_namespace_is_no_list_of_everything() {
        let whole = |namespace: Option<&'static str>, ms: i64| {
            let mut record = AuditRecord {
                stage: Stage::ResponseComplete,
                verb: "list".into(),
                received: Some(Timestamp::from_secs(0)),
                stage_time: Some(Timestamp::from_secs(0).add_us(ms * 1_000)),
                list: Some(List {
                    source: ListSource::Unset,
                    limit: None,
                    continued: false,
                    selected: false,
                }),
                ..AuditRecord::default()
            };
            record.parts.namespace = namespace.map(Into::into);
            Request::of(&record).share(0).whole
        };
        assert!(whole(None, 4));
        assert!(!whole(Some("a"), 4));
        assert!(whole(Some("a"), 100), "as large as one of everything");
    }
}
