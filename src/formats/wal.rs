//! etcd's write-ahead log: frames, records, and where the valid part of a segment ends.
//!
//! A segment (`{seq:016x}-{index:016x}.wal`) is a row of frames: a little-endian length of eight
//! bytes whose low 56 bits count the record's bytes and whose top byte, when its highest bit is
//! set, holds the padding in its lowest three bits; then a `walpb.Record` (type 1, crc 2, data 3)
//! and the padding to a multiple of eight. The checksum is CRC-32C over the data of all records so
//! far; a record of type 4 opens each segment with the value to go on from. A segment is
//! preallocated with zeroes, so a length of zero is its end. A record in which a whole 512-byte
//! sector is zero was torn by a crash and not corrupted later. Sources:
//! `server/storage/wal/{encoder,decoder,wal}.go`, `walpb/record.proto`, `raftpb/raft.proto` of
//! etcd 3.6; nothing of it changed since 3.0.

use std::io::{self, Read};

use super::crc32c;

/// A record may not be longer than this: etcd refuses requests over 1.5 MiB by default and nobody
/// raises that beyond some tens of MiB. It bounds the memory that a damaged length can ask for.
pub const MAX_RECORD: u64 = 128 << 20;
/// Disks write sectors of at least this size whole.
const SECTOR: u64 = 512;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Node and cluster ids.
    Metadata,
    /// An entry of the raft log.
    Entry,
    /// Term, vote and commit index.
    State,
    /// The checksum to go on from.
    Crc,
    /// A snapshot's index and term.
    Snapshot,
    /// A type that is not known.
    Other(u64),
}

/// One record, as long as the reader is not asked for the next.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where its frame begins in the segment.
    pub offset: u64,
    /// Bytes of its frame, with length field and padding.
    pub frame_bytes: u64,
    /// What it holds.
    pub kind: Kind,
    /// Its data.
    pub data: &'a [u8],
}

/// How the valid part of a segment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At preallocated zeroes or at the file's end.
    Clean,
    /// In a record that a crash cut off: normal for the last segment after one.
    Torn {
        /// What was found.
        why: &'static str,
    },
    /// In something that is no record, or whose checksum is wrong.
    Corrupt {
        /// What was found.
        why: &'static str,
    },
    /// The file could not be read further.
    Unreadable {
        /// What the system said.
        why: String,
    },
}

/// Reads the records of one segment, one at a time, in memory for one record.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    offset: u64,
    crc: Option<u32>,
    frame: Vec<u8>,
    end: Option<End>,
}

impl<R: Read> Reader<R> {
    /// Reads from a segment's begin. Give it a buffered source.
    pub fn new(source: R) -> Self {
        Reader {
            source,
            offset: 0,
            crc: None,
            frame: Vec::new(),
            end: None,
        }
    }

    /// Goes on in the next segment: checksums roll over from one to the other.
    pub fn next_segment<S: Read>(self, source: S) -> Reader<S> {
        Reader {
            source,
            offset: 0,
            crc: self.crc,
            frame: self.frame,
            end: None,
        }
    }

    /// Where the valid part ends, as far as it was read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How it ended, once [`Self::next`] gave nothing.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The next record; `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "the record borrows from the reader, which an iterator cannot say"
    )]
    pub fn next(&mut self) -> Option<Record<'_>> {
        if self.end.is_some() {
            return None;
        }
        match self.read() {
            Ok((kind, data, frame_bytes)) => {
                let offset = self.offset;
                self.offset += frame_bytes;
                Some(Record {
                    offset,
                    frame_bytes,
                    kind,
                    data: self.frame.get(data).unwrap_or_default(),
                })
            }
            Err(end) => {
                self.end = Some(end);
                None
            }
        }
    }

    fn read(&mut self) -> Result<(Kind, std::ops::Range<usize>, u64), End> {
        let mut length = [0; 8];
        match fill(&mut self.source, &mut length)? {
            8 if length == [0; 8] => return Err(End::Clean),
            8 => {}
            0 => return Err(End::Clean),
            _ => {
                return Err(End::Torn {
                    why: "the file ends inside a length field",
                });
            }
        }
        let field = u64::from_le_bytes(length);
        let bytes = field & ((1 << 56) - 1);
        // decoder.go: padding is there when the sign bit is set.
        let padding = if field >> 63 == 1 {
            (field >> 56) & 7
        } else {
            0
        };
        let corrupt = |why| Err(End::Corrupt { why });
        if bytes == 0 || bytes > MAX_RECORD {
            return corrupt("a length that no record has");
        }
        let total = bytes + padding;
        self.frame.clear();
        let mut limited = (&mut self.source).take(total);
        let got = limited.read_to_end(&mut self.frame).map_err(unreadable)? as u64;
        if got < total {
            return Err(End::Torn {
                why: "the file ends inside a record",
            });
        }
        self.frame.truncate(usize::try_from(bytes).unwrap_or(0));
        let torn = has_zero_sector(&self.frame, self.offset + 8);
        let Some((kind, crc, data)) = parse_record(&self.frame) else {
            return if torn {
                Err(End::Torn {
                    why: "a sector of the last record was never written",
                })
            } else {
                corrupt("bytes that are no record")
            };
        };
        if kind == Kind::Crc {
            if self
                .crc
                .is_some_and(|running| running != 0 && running != crc)
            {
                return corrupt("a segment that does not follow the one before");
            }
            self.crc = Some(crc);
        } else {
            let running = self.crc.unwrap_or(0);
            let sum = crc32c::update(running, self.frame.get(data.clone()).unwrap_or_default());
            if sum != crc {
                return if torn {
                    Err(End::Torn {
                        why: "a sector of the last record was never written",
                    })
                } else {
                    corrupt("a wrong checksum")
                };
            }
            self.crc = Some(sum);
        }
        Ok((kind, data, 8 + total))
    }
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize, End> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(unreadable(err)),
        }
    }
    Ok(done)
}

fn unreadable(err: io::Error) -> End {
    End::Unreadable {
        why: err.to_string(),
    }
}

/// Whether a sector of the file that lies in this record is all zero (`isTornEntry` of etcd's
/// decoder.go).
fn has_zero_sector(record: &[u8], offset: u64) -> bool {
    let mut rest = record;
    let mut at = offset;
    while !rest.is_empty() {
        let to_border = usize::try_from(SECTOR - at % SECTOR).unwrap_or(1);
        let (chunk, next) = rest.split_at(to_border.min(rest.len()));
        if chunk.iter().all(|byte| *byte == 0) {
            return true;
        }
        at += chunk.len() as u64;
        rest = next;
    }
    false
}

fn parse_record(bytes: &[u8]) -> Option<(Kind, u32, std::ops::Range<usize>)> {
    let (mut kind, mut crc, mut data) = (0, 0, 0..0);
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Number(value)) => kind = value,
            (2, Value::Number(value)) => crc = u32::try_from(value).ok()?,
            (3, Value::Bytes(range)) => data = range,
            _ => {}
        }
    }
    let kind = match kind {
        1 => Kind::Metadata,
        2 => Kind::Entry,
        3 => Kind::State,
        4 => Kind::Crc,
        5 => Kind::Snapshot,
        other => Kind::Other(other),
    };
    Some((kind, crc, data))
}

/// An entry of the raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whether it changes the members and not the data.
    pub conf_change: bool,
    /// The term it was proposed in.
    pub term: u64,
    /// Its place in the log.
    pub index: u64,
    /// The request; empty for the entry of a new leader.
    pub data: &'a [u8],
}

/// Reads the data of an entry record.
pub fn parse_entry(data: &[u8]) -> Option<Entry<'_>> {
    let mut entry = Entry {
        conf_change: false,
        term: 0,
        index: 0,
        data: &[],
    };
    let mut fields = Fields::new(data);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Number(kind)) => entry.conf_change = kind != 0,
            (2, Value::Number(term)) => entry.term = term,
            (3, Value::Number(index)) => entry.index = index,
            (4, Value::Bytes(range)) => entry.data = data.get(range)?,
            _ => {}
        }
    }
    Some(entry)
}

/// Term, vote and commit index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The term.
    pub term: u64,
    /// Who got this member's vote.
    pub vote: u64,
    /// The last committed index that this member knew of.
    pub commit: u64,
}

/// Reads the data of a state record.
pub fn parse_state(data: &[u8]) -> Option<State> {
    let mut state = State::default();
    let mut fields = Fields::new(data);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Number(term)) => state.term = term,
            (2, Value::Number(vote)) => state.vote = vote,
            (3, Value::Number(commit)) => state.commit = commit,
            _ => {}
        }
    }
    Some(state)
}

enum Value {
    Number(u64),
    Bytes(std::ops::Range<usize>),
}

/// The fields of a protobuf message, by position.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Fields { bytes, at: 0 }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, count: u64) -> Option<std::ops::Range<usize>> {
        let end = self.at.checked_add(usize::try_from(count).ok()?)?;
        let range = self.at..end;
        self.bytes.get(range.clone())?;
        self.at = end;
        Some(range)
    }

    /// The next field; `Some(None)` at the end, `None` when the bytes are no message.
    fn next(&mut self) -> Option<Option<(u64, Value)>> {
        if self.at == self.bytes.len() {
            return Some(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 {
            return None;
        }
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.skip(8)?),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.skip(len)?)
            }
            5 => Value::Bytes(self.skip(4)?),
            _ => return None,
        };
        Some(Some((number, value)))
    }
}

/// What one `Save` of etcd wrote before its `fdatasync`: the unit of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Entries in it.
    pub entries: u32,
    /// Bytes of all its frames, those of a state that waited for this sync too.
    pub bytes: u64,
    /// Bytes of its largest entry.
    pub largest: u64,
}

/// Puts records together to batches: entries up to the state record that `Save` writes after them.
/// A state without entries is not synced by etcd and rides with the next batch. One batch may be
/// several where the state did not change, which is rare: the commit index moves with every batch.
#[derive(Debug, Default)]
pub struct Batcher {
    open: Batch,
}

impl Batcher {
    /// Takes one record in; gives the batch that it ends.
    pub fn push(&mut self, record: &Record<'_>) -> Option<Batch> {
        match record.kind {
            Kind::Entry => {
                self.open.entries += 1;
                self.open.bytes += record.frame_bytes;
                self.open.largest = self.open.largest.max(record.frame_bytes);
                None
            }
            Kind::State => {
                self.open.bytes += record.frame_bytes;
                (self.open.entries > 0).then(|| std::mem::take(&mut self.open))
            }
            _ => None,
        }
    }

    /// The entries that no state followed.
    pub fn finish(self) -> Option<Batch> {
        (self.open.entries > 0).then_some(self.open)
    }
}

#[cfg(test)]
mod tests;
