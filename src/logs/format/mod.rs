//! Encodings: how one record is written, below all wrappers. Detected for each line, never for
//! a file: etcd 3.4 in zap mode still writes capnslog lines, and k3s mixes four encodings.

pub mod capnslog;
pub mod console;
pub mod json;
pub mod klog;
pub mod logfmt;
pub mod object;
pub mod plain;
pub mod pods;
pub mod site;
pub mod zap;

use std::borrow::Cow;

use crate::clock::Timestamp;

use super::record::{Encoding, Fields, Level, Outer, Record, TimeSource};
use super::timestamp::{QUARTER_US, TimeCache, YearFrom, quarters};

/// A record as its own text gives it, before line numbers and wrappers are added.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    /// How it was written.
    pub encoding: Encoding,
    /// Severity.
    pub level: Level,
    /// When.
    pub time: Option<Timestamp>,
    /// Where the time was read.
    pub time_source: TimeSource,
    /// zap logger, capnslog package.
    pub logger: &'a [u8],
    /// Source position.
    pub caller: &'a [u8],
    /// The message.
    pub msg: Cow<'a, [u8]>,
    /// Its fields.
    pub fields: Fields<'a>,
    /// How many records it stands for.
    pub repeats: u64,
}

impl<'a> Parsed<'a> {
    /// A record with nothing but a message.
    pub fn bare(encoding: Encoding, msg: &'a [u8]) -> Self {
        Parsed {
            encoding,
            level: Level::Unknown,
            time: None,
            time_source: TimeSource::None,
            logger: b"",
            caller: b"",
            msg: Cow::Borrowed(msg),
            fields: Fields::None,
            repeats: 1,
        }
    }

    /// The record, with its place and what its wrappers said. The record's own time goes first.
    #[inline]
    pub fn into_record(self, line: u64, line_end: u64, outer: Outer<'a>) -> Record<'a> {
        let (time, time_source) = match (self.time, outer.time) {
            (Some(time), _) => (Some(time), self.time_source),
            (None, Some(time)) => (Some(time), TimeSource::Wrapper),
            (None, None) => (None, TimeSource::None),
        };
        Record {
            line,
            line_end,
            encoding: self.encoding,
            level: self.level,
            time,
            time_source,
            logger: self.logger,
            caller: self.caller,
            msg: self.msg,
            fields: self.fields,
            repeats: self.repeats,
            outer,
        }
    }
}

/// What times without year or zone are completed from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference {
    /// The wrapper's time.
    pub outer: Option<Timestamp>,
    /// Whether the wrapper's time names its zone.
    pub outer_zoned: bool,
    /// The end of the file, or now.
    pub context: Option<Timestamp>,
    /// How far the clock of records without a zone and a wrapper is east of UTC.
    pub bare_us: i64,
}

impl Reference {
    /// Where the year of a date without one comes from.
    pub fn year(&self) -> YearFrom {
        match (self.outer, self.context) {
            (Some(outer), _) => YearFrom::Near(outer),
            (None, Some(context)) => YearFrom::NotAfter(context),
            (None, None) => YearFrom::Nothing,
        }
    }

    /// A local time read as UTC, moved into UTC where the wrapper shows the zone: when both
    /// differ by whole quarters of an hour, as a container in local time under containerd does; or
    /// where, without a wrapper, other records of the file show it.
    pub fn zone(&self, local: Timestamp) -> (Timestamp, bool) {
        let outer = self.outer.filter(|_| self.outer_zoned);
        match outer.and_then(|outer| quarters(local, outer)) {
            Some(apart) if apart != 0 => (local.add_us(-apart * QUARTER_US), true),
            _ if self.outer.is_none() && self.bare_us != 0 => (local.add_us(-self.bare_us), true),
            _ => (local, false),
        }
    }
}

/// Severity from the words that zap, logrus, syslog and operators use, in any case.
pub fn level_word(word: &[u8]) -> Option<Level> {
    let mut lower = [0; 8];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"trace" => Level::Trace,
        b"debug" => Level::Debug,
        b"info" => Level::Info,
        b"notice" => Level::Notice,
        b"warn" | b"warning" => Level::Warn,
        b"error" | b"err" => Level::Error,
        b"fatal" | b"panic" | b"dpanic" | b"crit" | b"critical" | b"alert" | b"emerg" => {
            Level::Fatal
        }
        _ => return None,
    })
}

/// Severity from a syslog priority, 0 to 7.
pub fn level_priority(priority: u32) -> Level {
    match priority {
        0..=2 => Level::Fatal,
        3 => Level::Error,
        4 => Level::Warn,
        5 => Level::Notice,
        6 => Level::Info,
        7 => Level::Debug,
        _ => Level::Unknown,
    }
}

/// Whether a record surely starts here: nothing that goes on from a line before looks like it.
/// The reader cuts files before such lines only, and joined records end before them.
pub fn starts_record(text: &[u8]) -> bool {
    match text.first() {
        Some(b'{') => object::starts(text),
        Some(b'0'..=b'9' | b':') => {
            capnslog::starts(text) || console::starts(text) || plain::starts(text)
        }
        Some(b'I' | b'W' | b'E' | b'F' | b'D') => klog::starts(text) || plain::starts(text),
        Some(b'r' | b'[') => plain::starts(text),
        Some(b't' | b'l') => logfmt::starts(text),
        _ => false,
    }
}

/// Reads a line-text encoding, all but JSON objects.
pub fn parse_text<'a>(
    text: &'a [u8],
    reference: &Reference,
    cache: &mut TimeCache,
) -> Option<Parsed<'a>> {
    match text.first()? {
        b'0'..=b'9' | b':' => capnslog::parse(text, reference, cache)
            .or_else(|| console::parse(text, cache))
            .or_else(|| plain::parse(text, reference)),
        b'I' | b'W' | b'E' | b'F' | b'D' => {
            klog::parse(text, reference, cache).or_else(|| plain::parse(text, reference))
        }
        b'r' | b'[' => plain::parse(text, reference),
        b't' | b'l' => logfmt::parse(text, cache),
        b'T' => klog::parse_trace(text),
        _ => None,
    }
}
