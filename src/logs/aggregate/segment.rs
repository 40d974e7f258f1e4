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
use super::kinds::Kinds;
use super::load::Load;
use super::runs::Runs;

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
}

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
        if let Some(rule) = timeline::rule(event.kind)
            && let Some(at) = event.time
        {
            let run = timeline::sign(event, at, rule);
            match self.episodes.get_mut(event.kind) {
                Some(runs) => runs.add(&run),
                None => {
                    let mut runs = Runs::new(rule.gap_us);
                    runs.add(&run);
                    self.episodes.insert(event.kind.to_owned(), runs);
                }
            }
        }
        if event.kind == "journald-suppressed" {
            self.coverage.suppressed += int(event, "count").unwrap_or(0);
        }
        if needs_fields(event.kind) {
            self.facts.add(event);
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
    !matches!(
        kind,
        "slow-apply" | "request-stats" | "trace" | "audit-request"
    )
}
