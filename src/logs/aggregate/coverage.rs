//! What was read of a stream: lines, time span, gaps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::Component;
use crate::logs::writer::program;

use super::hash::stable_hash;
use super::kinds::earliest;
use super::runs::{Run, Runs};
use super::table::{Bounded, RowValue};

/// A stream that says nothing for so long has a gap: etcd logs its compactions every five
/// minutes, a rotated-away file lacks more.
pub const GAP_US: i64 = 15 * 60 * 1_000_000;
/// Unknown messages kept as examples.
const EXAMPLES: usize = 64;
/// Longest beginning of an unknown message that tells it from others.
const SKELETON: usize = 48;
/// Units kept whose messages were kept back.
const UNITS: usize = 64;
/// The example of a message that begins with a number.
const NO_TEXT: &[u8] = b"(no text)";
/// Rows of examples that are remembered.
const RECENT: usize = 32;

/// A count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Count(pub u64);

impl RowValue for Count {
    fn add(&mut self, other: &Self) {
        self.0 += other.0;
    }
    fn raise(&mut self, other: &Self) {
        self.0 = self.0.max(other.0);
    }
    fn weight(&self) -> u64 {
        self.0
    }
}

/// What was read of a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Lines.
    pub lines: u64,
    /// Lines of records that were understood.
    pub parsed: u64,
    /// Lines that were not.
    pub unparsed: u64,
    /// Records.
    pub records: u64,
    /// Records in a known format whose message the catalogue does not know.
    pub unknown: u64,
    /// Records without a time.
    pub untimed: u64,
    /// Bytes, inflated.
    pub bytes: u64,
    /// Messages that a rate limiter says it kept back (journald).
    pub suppressed: u64,
    /// The same by the unit whose they were. Of too many units the first by name are kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub suppressed_by: BTreeMap<String, u64>,
    /// Time spans with records.
    spans: Runs,
    /// The latest record's time, in the order of lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<Timestamp>,
    /// Beginnings of unknown messages.
    pub examples: Bounded<Count>,
    /// Rows of the latest examples, by the hash of their text.
    #[serde(skip)]
    recent: [u32; RECENT],
    /// The same by the first bytes of the message.
    #[serde(skip)]
    again: [u32; RECENT],
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage {
            lines: 0,
            parsed: 0,
            unparsed: 0,
            records: 0,
            unknown: 0,
            untimed: 0,
            bytes: 0,
            suppressed: 0,
            suppressed_by: BTreeMap::new(),
            spans: Runs::new(GAP_US),
            latest: None,
            examples: Bounded::new(EXAMPLES),
            recent: [0; RECENT],
            again: [0; RECENT],
        }
    }
}

/// The bytes at which an example ends: numbers and quoted names differ from record to record.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        ends[digit as usize] = true;
        digit += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\n' as usize] = true;
    ends[b'/' as usize] = true;
    ends
};

/// Whether a message's example is surely `key`, which is an example already.
fn begins(msg: &[u8], key: &[u8]) -> bool {
    let Some(mut rest) = msg.strip_prefix(key) else {
        return false;
    };
    // White space before a number is not kept.
    while let Some((b' ', more)) = rest.split_first() {
        rest = more;
    }
    let len = msg.len() - rest.len();
    len < SKELETON && rest.first().is_none_or(|b| ENDS[usize::from(*b)])
}

impl Coverage {
    /// Counts a record's time.
    pub fn time(&mut self, at: Option<Timestamp>) {
        match at {
            Some(at) => {
                self.latest = Some(at);
                self.spans.point(at);
            }
            None => self.untimed += 1,
        }
    }

    /// When the latest record that has a time was written: what follows it without one is not earlier.
    pub fn latest(&self) -> Option<Timestamp> {
        // A piece that was saved by an older program knows no more than where it ends.
        self.latest.or_else(|| self.span().map(|(_, to)| to))
    }

    /// What comes next follows a record of this time.
    pub fn follows(&mut self, latest: Option<Timestamp>) {
        self.latest = latest;
    }

    /// Counts a record in a known format whose message nobody knows.
    pub fn unknown(&mut self, msg: &[u8]) {
        self.unknown += 1;
        self.example(msg);
    }

    /// Keeps the beginning of a message as an example.
    pub fn example(&mut self, msg: &[u8]) {
        // Most unknown messages of a log are a few that come again and again.
        let again =
            usize::try_from(stable_hash(0, msg.get(..8).unwrap_or_default()) % RECENT as u64)
                .unwrap_or(0);
        if let Some(slot) = self.again.get(again)
            && self
                .examples
                .key(*slot)
                .is_some_and(|key| begins(msg, key.as_bytes()))
            && let Some(row) = self.examples.row_mut(*slot)
        {
            row.0 += 1;
            return;
        }
        let id = self.example_row(msg);
        if let Some(slot) = self.again.get_mut(again) {
            *slot = id;
        }
    }

    /// Counts an example and gives its row.
    fn example_row(&mut self, msg: &[u8]) -> u32 {
        let end = msg
            .iter()
            .take(SKELETON)
            .position(|b| ENDS[usize::from(*b)])
            .unwrap_or(msg.len().min(SKELETON));
        let head = match msg.get(..end).unwrap_or_default().trim_ascii() {
            b"" => NO_TEXT,
            head => head,
        };
        // A row that was dropped or renumbered since does not bear the same text.
        let place = usize::try_from(stable_hash(0, head) % RECENT as u64).unwrap_or(0);
        if let Some(slot) = self.recent.get(place)
            && let Some(row) = self.examples.row_if(*slot, head)
        {
            row.0 += 1;
            return *slot;
        }
        let text = String::from_utf8_lossy(head);
        let id = self.examples.id(match text.trim() {
            "" => "(no text)",
            text => text,
        });
        if let Some(row) = self.examples.row_mut(id) {
            row.0 += 1;
        }
        if let Some(slot) = self.recent.get_mut(place) {
            *slot = id;
        }
        if self.examples.is_over() {
            self.examples.prune(&[]);
            self.again = [u32::MAX; RECENT];
            return u32::MAX;
        }
        id
    }

    /// Counts messages of a unit that a rate limiter kept back.
    pub fn kept_back(&mut self, unit: &str, count: u64) {
        self.suppressed += count;
        // journald calls a unit by its name, or by its control group.
        let unit = unit.rsplit('/').next().unwrap_or(unit);
        *self.suppressed_by.entry(unit.to_owned()).or_default() += count;
        self.bound_units();
    }

    fn bound_units(&mut self) {
        while self.suppressed_by.len() > UNITS {
            self.suppressed_by.pop_last();
        }
    }

    /// How many of the messages that were kept back may be etcd's: all but those of units that are
    /// named for another program.
    pub fn maybe_etcds(&self) -> u64 {
        let others = self.suppressed_by.iter().filter(|(unit, _)| {
            program(unit.as_bytes()).is_some_and(|program| program != Component::Etcd)
        });
        let others = others.map(|(_, count)| count).sum();
        self.suppressed.saturating_sub(others)
    }

    /// Adds another piece.
    pub fn merge(&mut self, other: &Coverage) {
        self.lines += other.lines;
        self.parsed += other.parsed;
        self.unparsed += other.unparsed;
        self.records += other.records;
        self.unknown += other.unknown;
        self.untimed += other.untimed;
        self.bytes += other.bytes;
        self.suppressed += other.suppressed;
        for (unit, count) in &other.suppressed_by {
            *self.suppressed_by.entry(unit.clone()).or_default() += count;
        }
        self.bound_units();
        self.latest = other.latest().or(self.latest);
        self.spans.merge(&other.spans);
        self.examples.merge(&other.examples);
        if self.examples.is_over() {
            self.examples.prune(&[]);
        }
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.examples.restore();
    }

    /// First and last record's time.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.spans.iter().next()?;
        let last = self.spans.iter().map(|run| run.to).max()?;
        Some((first.from, last))
    }

    /// When each span of records begins.
    pub fn begins(&self) -> impl Iterator<Item = Timestamp> {
        self.spans.iter().map(|run| run.from)
    }

    /// Times without any record, longest first.
    pub fn gaps(&self) -> Vec<(Timestamp, Timestamp)> {
        let spans: Vec<&Run> = self.spans.iter().collect();
        let mut gaps: Vec<(Timestamp, Timestamp)> = spans
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] => Some((a.to, b.from)),
                _ => None,
            })
            .collect();
        gaps.sort_by_key(|(from, to)| (std::cmp::Reverse(to.since_us(*from)), *from));
        gaps
    }

    /// The earlier of this and another begin.
    pub fn begin(&self, other: Option<Timestamp>) -> Option<Timestamp> {
        earliest(self.span().map(|(from, _)| from), other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_kept_back_may_be_etcds_unless_their_unit_is_anothers() {
        let mut coverage = Coverage::default();
        coverage.kept_back("etcd.service", 100);
        coverage.kept_back("kubelet.service", 7);
        let mut later = Coverage::default();
        later.kept_back("/system.slice/etcd.service", 5);
        later.kept_back("k3s.service", 30);
        coverage.merge(&later);
        assert_eq!((coverage.suppressed, coverage.maybe_etcds()), (142, 135));
        assert_eq!(coverage.suppressed_by.get("etcd.service"), Some(&105));
        // Units too many are in the sum all the same, and nobody knows whose they were.
        for n in 0..UNITS {
            coverage.kept_back(&format!("a{n}.service"), 1);
        }
        assert_eq!(coverage.suppressed_by.len(), UNITS);
        assert_eq!(coverage.maybe_etcds(), 142 + UNITS as u64);
    }
}
