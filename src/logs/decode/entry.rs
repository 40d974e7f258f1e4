//! Journal entries of many lines: `journalctl -o export` and `-o verbose`.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::format::level_priority;
use crate::logs::format::object::Origin;
use crate::logs::format::pods::Place;
use crate::logs::record::Level;
use crate::logs::timestamp::TimeCache;
use crate::logs::writer;

use super::{LineStart, saved};

/// Most bytes of one field.
const FIELD_MAX: usize = 16 << 20;

/// One entry being collected.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Entry {
    verbose: bool,
    first_line: u64,
    lines: u64,
    over: bool,
    /// A binary field being read: its name, then its length and data.
    binary: Option<(Vec<u8>, Vec<u8>)>,
    #[serde(with = "saved")]
    message: Vec<u8>,
    level: Level,
    #[serde(with = "saved")]
    package: Vec<u8>,
    #[serde(with = "saved")]
    ident: Vec<u8>,
    #[serde(with = "saved")]
    comm: Vec<u8>,
    #[serde(default, with = "saved")]
    unit: Vec<u8>,
    /// The pod and the container, where Docker's log driver made the entry.
    #[serde(default, with = "saved", skip_serializing_if = "Vec::is_empty")]
    place: Vec<u8>,
    #[serde(with = "saved")]
    host: Vec<u8>,
    origin: Origin,
    time: Option<Timestamp>,
    source_time: Option<Timestamp>,
}

impl Entry {
    /// Starts an entry: `__CURSOR=…` in export form, or verbose's
    /// `Sat 2026-11-21 20:04:04.123456 UTC [s=…;i=…]`.
    pub(super) fn start(line: &[u8], number: u64, cache: &mut TimeCache) -> Option<Self> {
        let mut entry = Entry {
            first_line: number,
            lines: 1,
            ..Entry::default()
        };
        if line.starts_with(b"__CURSOR=") {
            return Some(entry);
        }
        let rest = line.get(4..).filter(|_| line.get(3) == Some(&b' '))?;
        let stamp = cache.iso(rest)?;
        let rest = rest.get(stamp.len..)?.strip_prefix(b" ")?;
        let zone = rest.iter().position(|b| *b == b' ')?;
        if !rest.get(zone..)?.starts_with(b" [s=") || !rest.ends_with(b"]") {
            return None;
        }
        entry.verbose = true;
        entry.time = Some(stamp.time);
        Some(entry)
    }

    /// Takes a line of the entry; `false` when the entry is over and the line is another's.
    pub(super) fn take(&mut self, line: &[u8], cache: &mut TimeCache) -> bool {
        if self.over || !self.verbose && self.binary.is_none() && line.starts_with(b"__CURSOR=") {
            return false;
        }
        if let Some((name, data)) = self.binary.take() {
            // A length that lies, or whose data a cut took away, must not swallow the file: a
            // record's beginning ends it. The reader cuts there too, so no length is believed more.
            if LineStart::of(line, cache).sure {
                let value = data.get(8..).unwrap_or_default();
                let value = value.strip_suffix(b"\n").unwrap_or(value).to_vec();
                self.field(&name, &value);
                self.over = true;
                return false;
            }
            self.lines += 1;
            self.take_binary(name, data, line);
            return true;
        }
        if self.verbose {
            let Some(field) = line.strip_prefix(b"    ") else {
                return false;
            };
            let Some((name, value)) = pair(field) else {
                return false;
            };
            self.lines += 1;
            self.field(name, value);
            return true;
        }
        if line.is_empty() {
            self.lines += 1;
            self.over = true;
            return true;
        }
        if let Some((name, value)) = pair(line) {
            self.lines += 1;
            self.field(name, value);
            return true;
        }
        if is_name(line) {
            self.lines += 1;
            self.binary = Some((line.to_vec(), Vec::new()));
            return true;
        }
        false
    }

    /// `KEY`, newline, eight bytes of length (little-endian), data, newline. Any of these bytes
    /// may look like a newline.
    fn take_binary(&mut self, name: Vec<u8>, mut data: Vec<u8>, line: &[u8]) {
        data.extend_from_slice(line);
        data.push(b'\n');
        let length = data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let Some(length) = length else {
            self.binary = Some((name, data));
            return;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > FIELD_MAX || data.len() > FIELD_MAX + 16 {
            return;
        }
        match data.get(8..8 + length) {
            Some(value) if data.len() > 8 + length => self.field(&name, value),
            _ => self.binary = Some((name, data)),
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let number = || std::str::from_utf8(value).ok()?.trim().parse::<i64>().ok();
        match name {
            b"MESSAGE" => {
                if !self.message.is_empty() {
                    self.message.push(b'\n');
                }
                self.message.extend_from_slice(value);
            }
            b"PRIORITY" => {
                let level = number().and_then(|level| u32::try_from(level).ok());
                self.level = level.map(level_priority).unwrap_or_default();
            }
            b"PACKAGE" => self.package = value.to_vec(),
            b"SYSLOG_IDENTIFIER" => self.ident = value.to_vec(),
            b"_COMM" => self.comm = value.to_vec(),
            b"_SYSTEMD_UNIT" | b"UNIT" => self.unit = value.to_vec(),
            b"_HOSTNAME" => self.host = value.to_vec(),
            b"CONTAINER_NAME" => {
                self.origin.note(name, value);
                let place = Place::of_docker(value);
                self.place.clear();
                if !place.join(&mut self.place) {
                    self.place = value.to_vec();
                }
            }
            b"__REALTIME_TIMESTAMP" => self.time = number().map(Timestamp),
            b"_SOURCE_REALTIME_TIMESTAMP" => self.source_time = number().map(Timestamp),
            _ => self.origin.note(name, value),
        }
    }

    pub(super) fn first_line(&self) -> u64 {
        self.first_line
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn package(&self) -> &[u8] {
        &self.package
    }

    pub(super) fn is_unsampled(&self) -> bool {
        self.origin.is_unsampled(&self.package)
    }

    pub(super) fn ident(&self) -> Option<&[u8]> {
        if !self.place.is_empty() {
            return Some(&self.place);
        }
        writer::best([&self.ident, &self.comm, &self.unit].map(|name| Some(name.as_slice())))
    }

    pub(super) fn host(&self) -> Option<&[u8]> {
        (!self.host.is_empty()).then_some(&self.host)
    }

    pub(super) fn time(&self) -> Option<Timestamp> {
        self.source_time.or(self.time)
    }

    /// The field that is being read, and the message.
    pub(super) fn texts(&mut self) -> (Option<&mut Vec<u8>>, &mut Vec<u8>) {
        let data = self.binary.as_mut().map(|(_, data)| data);
        (data, &mut self.message)
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }
}

/// Whether a line begins with the length of a binary field, or with the rest of one that holds a
/// newline itself: eight bytes, of which the upper ones are zeros.
pub(super) fn is_length(line: &[u8]) -> bool {
    let head = line.get(..line.len().min(8)).unwrap_or_default();
    head.contains(&0)
}

fn is_name(text: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
    !text.is_empty() && text.len() <= 64 && text.iter().all(allowed)
}

fn pair(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', line.get(..line.len().min(80))?)?;
    let (name, value) = (line.get(..at)?, line.get(at + 1..)?);
    is_name(name).then_some((name, value))
}
