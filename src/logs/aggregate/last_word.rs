//! The end of a program as its log tells it: a last line of its own, a dump of Go's runtime, or both.
//!
//! Who ends by a panic writes why and Go's runtime writes it again: that is one end, not two.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::Event;
use crate::logs::record::{Encoding, Level, Record};

/// A runtime's dump follows the line before it within moments.
const MOMENT_US: i64 = 5_000_000;

/// A record with which a program ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LastWord {
    who: Option<Box<str>>,
    kind: Box<str>,
    at: Option<Timestamp>,
    level: Level,
    dump: bool,
}

/// Whether it is a dump of Go's runtime, with or without a wrapper around it.
pub(super) fn is_dump(record: &Record<'_>) -> bool {
    record.encoding == Encoding::Bare && record.level == Level::Fatal
}

impl LastWord {
    /// What this record is, if it is one: of the levels fatal and panic, or of a kind that tells of
    /// ends where the line has no level.
    pub(super) fn of(who: Option<&str>, record: &Record<'_>, event: &Event<'_>) -> Option<Self> {
        let ends = record.level == Level::Fatal
            || matches!(event.kind, "panic" | "fatal-exit" | "storage-damaged");
        ends.then(|| LastWord {
            who: who.map(Box::from),
            kind: Box::from(event.kind),
            at: event.time,
            level: record.level,
            dump: is_dump(record),
        })
    }

    /// Whether the record after it is the dump of the same end.
    pub(super) fn is_told_again_by(&self, next: &LastWord) -> bool {
        let close = match (self.at, next.at) {
            (Some(at), Some(next)) => (0..=MOMENT_US).contains(&next.since_us(at)),
            _ => true,
        };
        let same = self.ends() || self.kind == next.kind;
        // Nothing in a dump says whose it is, where no wrapper does.
        let who = next.who.is_none() || self.who == next.who;
        !self.dump && next.dump && who && close && same
    }

    /// Whether it ends its program by itself: what is only said of damage may be survived.
    pub(super) fn ends(&self) -> bool {
        self.level == Level::Fatal || matches!(&*self.kind, "panic" | "fatal-exit")
    }
}
