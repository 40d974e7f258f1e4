//! One piece of one stream: everything that was learnt from it, with open edges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::logs::audit;
use crate::logs::event::Event;
use crate::logs::record::{Encoding, Fields, Level, Record};
use crate::logs::timeline;

use super::audit::Audit;
use super::coverage::Coverage;
use super::facts::{Facts, int};
use super::hot;
use super::kinds::Kinds;
use super::load::Load;
use super::runs::{Run, Runs};

/// What is known about a stream before its first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Records came through etcd's journald writer, which does not sample.
    pub journald_writer: bool,
}

/// One piece of one stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// What was read.
    pub coverage: Coverage,
    /// Records by kind.
    pub kinds: Kinds,
    /// Requests.
    pub load: Load,
    /// Audit records.
    pub audit: Audit,
    /// Single facts.
    pub facts: Facts,
    /// Episodes by kind.
    pub episodes: BTreeMap<String, Runs>,
    /// Records by level: unknown, trace, debug, info, notice, warn, error, fatal.
    pub levels: [u64; 8],
    #[serde(skip)]
    rules: [(usize, Option<timeline::Rule>); 16],
}

/// The id of the main line about a slow request.
const SLOW_APPLY: &str = "slow-apply";

impl Segment {
    /// Adds a record whose message the catalogue does not know.
    pub fn add_unknown(&mut self, record: &Record<'_>) {
        self.note(record);
        self.coverage.unknown(&record.msg);
    }

    /// Adds a record of free text that nobody knows; its lines are counted as unparsed.
    pub fn add_bare(&mut self, record: &Record<'_>) {
        self.note(record);
        self.coverage.example(&record.msg);
    }

    /// Adds a record if it is a slow range in the usual form, the commonest of a big log.
    pub fn add_hot(&mut self, record: &Record<'_>, traits: Traits) -> bool {
        let Some(range) = hot::slow_range(record) else {
            return false;
        };
        self.note(record);
        self.kinds
            .add(SLOW_APPLY, record.time, 1, Some(range.took_ns));
        self.load.add_hot(record, &range, !traits.journald_writer);
        if let (Some(at), Some(rule)) = (record.time, timeline::rule(SLOW_APPLY)) {
            let took_us = i64::try_from(range.took_ns / 1000).unwrap_or(i64::MAX);
            self.sign(
                SLOW_APPLY,
                rule,
                &Run {
                    from: at.add_us(took_us.saturating_neg()),
                    to: at,
                    count: 1,
                    max_ns: range.took_ns,
                    detail: String::new(),
                },
            );
        }
        true
    }

    fn sign(&mut self, kind: &'static str, rule: timeline::Rule, run: &Run) {
        match self.episodes.get_mut(kind) {
            Some(runs) => runs.add(run),
            None => {
                let mut runs = Runs::new(rule.gap_us);
                runs.add(run);
                self.episodes.insert(kind.to_owned(), runs);
            }
        }
    }

    /// Adds a recognised record. Unless it is a plain request line, the event must have its own
    /// fields ([`needs_fields`]).
    pub fn add(&mut self, record: &Record<'_>, event: &Event<'_>, traits: Traits) {
        self.note(record);
        self.kinds
            .add(event.kind, event.time, event.repeats, event.took_ns);
        if record.encoding == Encoding::Audit {
            if let Fields::Json(text) = record.fields
                && let Some(parsed) = audit::parse(text)
            {
                self.audit.add(&parsed);
            }
            return;
        }
        let zap = matches!(record.encoding, Encoding::ZapJson | Encoding::ZapConsole);
        // Up to 3.6 a trace's message holds a random number, so no two are the same message.
        let one_message = record.msg.as_ref() == b"trace";
        self.load
            .add(event, zap && !traits.journald_writer, one_message);
        if let Some(rule) = self.rule(event.kind)
            && let Some(at) = event.time
        {
            // The last episode keeps its detail when this sign is no longer than its longest.
            let shown = self
                .episodes
                .get(event.kind)
                .is_none_or(|runs| runs.shows(at, event.took_ns.unwrap_or(0)));
            let run = timeline::sign(event, at, rule, shown);
            self.sign(event.kind, rule, &run);
        }
        if event.kind == "journald-suppressed" {
            self.coverage.suppressed += int(event, "count").unwrap_or(0);
        }
        if tells_facts(event) {
            self.facts.add(event);
        }
    }

    /// The rule of a kind; the latest ones are remembered by the address of the kind's text.
    fn rule(&mut self, kind: &'static str) -> Option<timeline::Rule> {
        let address = kind.as_ptr() as usize;
        let slot = (address >> 3) & 15;
        match self.rules.get_mut(slot) {
            Some((known, rule)) if *known == address => *rule,
            Some(slot) => {
                *slot = (address, timeline::rule(kind));
                slot.1
            }
            None => timeline::rule(kind),
        }
    }

    fn note(&mut self, record: &Record<'_>) {
        self.coverage.records += 1;
        self.coverage.time(record.time);
        let level = match record.level {
            Level::Unknown => 0,
            Level::Trace => 1,
            Level::Debug => 2,
            Level::Info => 3,
            Level::Notice => 4,
            Level::Warn => 5,
            Level::Error => 6,
            Level::Fatal => 7,
        };
        if let Some(count) = self.levels.get_mut(level) {
            *count += 1;
        }
    }

    /// Adds the piece that came right after this one.
    pub fn absorb(&mut self, later: Segment) {
        self.coverage.merge(&later.coverage);
        self.kinds.merge(&later.kinds);
        self.load.absorb(later.load);
        self.audit.absorb(later.audit);
        self.facts.merge(&later.facts);
        for (kind, runs) in later.episodes {
            match self.episodes.get_mut(&kind) {
                Some(known) => known.merge(&runs),
                None => {
                    self.episodes.insert(kind, runs);
                }
            }
        }
        for (mine, theirs) in self.levels.iter_mut().zip(later.levels) {
            *mine += theirs;
        }
    }

    /// Rebuilds what is not saved, after reading a saved summary.
    pub fn restore(&mut self) {
        self.coverage.restore();
        self.kinds.restore();
        self.load.restore();
        self.audit.restore();
        self.facts.restore();
    }
}

/// Whether [`Segment::add`] wants the signature's own fields of an event of this kind.
pub fn needs_fields(kind: &str) -> bool {
    matches!(
        kind,
        "compaction-finished"
            | "clock-drift"
            | "etcd-start"
            | "apiserver-start"
            | "controller-manager-start"
            | "scheduler-start"
            | "kubelet-start"
            | "leader-elected"
            | "leader-lost"
            | "leader-changed"
            | "peer-inactive"
            | "peer-unhealthy"
            | "journald-suppressed"
            | "alarm-raised"
            | "health-alarm"
    )
}

/// Whether the event tells a fact besides its kind and time.
fn tells_facts(event: &Event<'_>) -> bool {
    !event.extra.is_empty()
        || event.api.is_some()
        || matches!(
            event.kind,
            "compaction-finished"
                | "shutdown"
                | "etcd-stopped"
                | "component-stop"
                | "leader-transfer-started"
                | "leader-transfer-finished"
                | "leader-transfer-raft"
                | "etcd-start"
                | "apiserver-start"
                | "controller-manager-start"
                | "scheduler-start"
                | "kubelet-start"
        )
}
