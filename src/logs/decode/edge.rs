//! Joining across files: kubelet and logrotate cut a stream wherever it is, also between the
//! parts of one line.
//!
//! The end of one file is an [`OpenTail`], the beginning of the next an [`OpenHead`]; [`join`]
//! decodes the two as the one text they were.

use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::format::object;
use crate::logs::record::Record;

use super::open::PART_MAX;
use super::{
    DecodeContext, Decoder, Entry, LineCounts, LineStart, Open, Part, Sink, saved, values,
};

/// Most that is kept of a beginning: lines, and bytes where they are a runtime's parts.
const HEAD_LINES: u64 = 64;
const HEAD_PART_BYTES: usize = 4 << 20;
/// Bytes by which lines of one writer begin alike: `{"level"`, `2026-11-`, `I1120 19`.
const ALIKE: usize = 8;

/// Digits stand for each other, and klog's levels do.
fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'0',
        b'A'..=b'Z' => b'A',
        other => other,
    }
}

/// The first line of a file and those after it, up to the next one that surely starts a record.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenHead {
    #[serde(with = "saved")]
    pub(super) bytes: Vec<u8>,
    lines: u64,
    parts: bool,
    /// On which outputs a runtime's part of a line is open.
    lanes: [bool; 2],
}

impl OpenHead {
    /// How many lines it holds.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// What was still open at the end of a file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenTail {
    pub(super) parts: [Option<Part>; 2],
    pub(super) open: Option<Open>,
    pub(super) entry: Option<Entry>,
    dump: bool,
    /// A last line without its newline.
    #[serde(with = "saved::option")]
    pub(super) torn: Option<Vec<u8>>,
    lines: u64,
    next_line: u64,
}

impl OpenTail {
    /// How many lines wait in it. None, when only a dump's further lines would belong to it.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// What a decoder leaves behind at a file's ends.
#[derive(Debug, Default)]
pub struct Edges {
    /// Lines that may belong to the file before.
    pub head: Option<OpenHead>,
    /// A record that may go on in the file after.
    pub tail: Option<OpenTail>,
    /// What became of all other lines.
    pub counts: LineCounts,
    /// All lines seen, with those of both edges: what the next chunk's numbers start after.
    pub lines: u64,
    /// Whether the head is all there is: the next file may go on with it.
    pub only_head: bool,
}

/// What a stream, or a piece of one, left open at its ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ends {
    /// Lines that may belong to what came before.
    pub head: Option<OpenHead>,
    /// A record that may go on in what comes after.
    pub tail: Option<OpenTail>,
    /// Whether the head is all there is.
    pub only_head: bool,
    /// What dates without a year are completed from, in the head and in the tail.
    pub references: [Option<Timestamp>; 2],
    /// How far the clock of wrappers is east of UTC, there and there.
    #[serde(skip_serializing_if = "is_utc")]
    pub locals_us: [i64; 2],
    /// The same of records without a zone and a wrapper.
    #[serde(skip_serializing_if = "is_utc")]
    pub bares_us: [i64; 2],
    /// Whether wrappers name several hosts, there and there.
    #[serde(skip_serializing_if = "is_one_host")]
    pub hosts: [bool; 2],
}

fn is_one_host(hosts: &[bool; 2]) -> bool {
    *hosts == [false; 2]
}

fn is_utc(locals_us: &[i64; 2]) -> bool {
    *locals_us == [0; 2]
}

impl Ends {
    /// What the head and the tail are decoded with.
    pub fn contexts(&self) -> [DecodeContext; 2] {
        [0, 1].map(|at: usize| DecodeContext {
            reference: self.references.get(at).copied().flatten(),
            local_us: self.locals_us.get(at).copied().unwrap_or_default(),
            bare_us: self.bares_us.get(at).copied().unwrap_or_default(),
            sections: false,
            hosts: self.hosts.get(at).copied().unwrap_or_default(),
        })
    }

    /// Notes that head and tail are decoded with these.
    pub fn with_contexts(self, contexts: [DecodeContext; 2]) -> Self {
        Ends {
            references: contexts.map(|context| context.reference),
            locals_us: contexts.map(|context| context.local_us),
            bares_us: contexts.map(|context| context.bare_us),
            hosts: contexts.map(|context| context.hosts),
            ..self
        }
    }

    /// Fills the object values in it, which nothing is counted from, before it is saved.
    pub fn hide_values(&mut self) {
        values::hide_in(self);
    }
}

/// In which file a joined record begins; its line numbers are that file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinedIn {
    /// In the file whose tail it was.
    Tail,
    /// In the file whose head it was.
    Head,
}

impl Decoder {
    /// Ends a chunk without giving out what is open at its ends.
    pub fn close(mut self) -> Edges {
        let mut counts = self.counts;
        let lines = counts.lines;
        let open = self.open_lines();
        counts.lines -= open;
        let only_head = self.collecting();
        let head = self.head.take().filter(|head| head.lines > 0);
        counts.lines -= head.as_ref().map_or(0, |head| head.lines);
        let torn = u64::from(self.torn.is_some());
        counts.lines -= torn;
        let open = open + torn;
        let tail = (open > 0 || self.dump).then_some(OpenTail {
            parts: self.parts,
            open: self.open,
            entry: self.entry,
            dump: self.dump,
            torn: self.torn,
            lines: open,
            next_line: self.next_line,
        });
        Edges {
            head,
            tail,
            counts,
            lines,
            only_head,
        }
    }

    /// Number of the line after the last one seen.
    pub fn next_line(&self) -> u64 {
        self.next_line
    }

    /// Whether a record or a line is still open.
    pub fn is_open(&self) -> bool {
        self.torn.is_some() || self.open_lines() > 0
    }

    /// Goes on where something was left open, with the next line's number.
    pub fn resume(&mut self, tail: OpenTail) -> u64 {
        self.counts.lines += tail.lines;
        self.parts = tail.parts;
        self.open = tail.open;
        self.entry = tail.entry;
        self.dump = tail.dump;
        self.torn = tail.torn;
        self.next_line = tail.next_line.max(1);
        self.settle_busy();
        self.next_line
    }

    /// The last line had no newline: it goes on here, or was the last thing its writer wrote.
    pub(super) fn settle_torn<'b>(
        &mut self,
        block: &'b [u8],
        number: &mut u64,
        sink: &mut Sink<'_>,
    ) -> &'b [u8] {
        let Some(mut torn) = self.torn.take() else {
            return block;
        };
        let end = memchr(b'\n', block);
        let first = block.get(..end.unwrap_or(block.len())).unwrap_or_default();
        let before = number.max(&mut 2).saturating_sub(1);
        if !self.glues(&torn, first) {
            self.slow(&torn, before, sink);
            return block;
        }
        let room = PART_MAX.saturating_sub(torn.len());
        torn.extend_from_slice(first.get(..first.len().min(room)).unwrap_or_default());
        *number += 1;
        match end {
            // Half a line of its own.
            None if self.keeps_torn => self.torn = Some(torn),
            _ => self.slow(&torn, before, sink),
        }
        block.get(first.len() + 1..).unwrap_or_default()
    }

    /// Whether a torn line and the first one of the next file are one: a copy of a log was cut in
    /// the middle of a line. A writer that died there is followed by a whole record, which begins
    /// as the torn one did.
    fn glues(&mut self, torn: &[u8], first: &[u8]) -> bool {
        let alike = torn.len() >= ALIKE
            && torn
                .iter()
                .zip(first)
                .take(ALIKE)
                .all(|(a, b)| class(*a) == class(*b))
            // An object of an audit record's body begins much as the record does.
            && object::is_audit(torn) == object::is_audit(first);
        !alike || !LineStart::of(first, &mut self.cache).sure
    }

    pub(super) fn collecting(&self) -> bool {
        self.head.is_some() && !self.headed
    }

    /// Keeps a line for the head; `false` when the head is over and the line is to be decoded.
    pub(super) fn collect(&mut self, line: &[u8], number: u64, sink: &mut Sink<'_>) -> bool {
        let start = LineStart::of(line, &mut self.cache);
        let whole = self
            .head
            .as_ref()
            .is_none_or(|head| head.lines > 0 && head.lanes == [false; 2]);
        if start.sure && whole {
            self.headed = true;
            self.settle_busy();
            return false;
        }
        let Some(head) = &mut self.head else {
            return false;
        };
        head.parts |= start.part.is_some();
        if let Some((lane, more)) = start.part
            && let Some(open) = head.lanes.get_mut(lane)
        {
            *open = more;
        }
        head.bytes.extend_from_slice(line);
        head.bytes.push(b'\n');
        head.lines += 1;
        let full = head.lines >= HEAD_LINES && !(head.parts && head.bytes.len() < HEAD_PART_BYTES);
        if full {
            // So many lines are no record's rest: they are this file's own.
            self.release_head(number + 1, sink);
        }
        true
    }

    /// Decodes the head here after all, when nobody asked for it by [`Decoder::close`].
    pub(super) fn give_up_head(&mut self, sink: &mut Sink<'_>) {
        if self.head.as_ref().is_some_and(|head| head.lines > 0) {
            if self.collecting() {
                self.release_head(self.next_line, sink);
            } else {
                // It stands before all that was decoded since, so it is decoded apart.
                let head = self.head.take();
                let counts = join(None, head, self.context, &mut |_, record| sink(record));
                self.counts.lines -= counts.lines;
                self.counts.add(&counts);
            }
        }
        self.head = None;
    }

    fn release_head(&mut self, next: u64, sink: &mut Sink<'_>) {
        let Some(head) = self.head.take() else {
            return;
        };
        let mut number = next - head.lines;
        let mut rest: &[u8] = &head.bytes;
        while let Some(end) = memchr(b'\n', rest) {
            self.line(rest.get(..end).unwrap_or_default(), number, sink);
            number += 1;
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        self.settle_busy();
    }
}

/// Decodes what one file left open and the next one began with, as one text. Either may be
/// missing: then the other is decoded alone.
pub fn join(
    tail: Option<OpenTail>,
    head: Option<OpenHead>,
    context: DecodeContext,
    sink: &mut dyn FnMut(JoinedIn, &Record<'_>),
) -> LineCounts {
    let (mut decoder, boundary) = joined(tail, head, context, sink);
    decoder.finish(&mut |record| placed(record, boundary, sink));
    decoder.counts()
}

/// Like [`join`], of a head that is all there is of its file, with its torn last line: what goes on
/// behind it stays open.
pub fn join_open(
    tail: Option<OpenTail>,
    head: Option<OpenHead>,
    torn: Option<OpenTail>,
    context: DecodeContext,
    sink: &mut dyn FnMut(JoinedIn, &Record<'_>),
) -> (LineCounts, Option<OpenTail>) {
    let (mut decoder, boundary) = joined(tail, head, context, sink);
    if let Some(torn) = torn.and_then(|tail| tail.torn) {
        decoder.keeps_torn = true;
        let next = decoder.next_line.max(boundary);
        decoder.block(&torn, next, &mut |record: &Record<'_>| {
            placed(record, boundary, sink);
        });
    }
    let edges = decoder.close();
    (edges.counts, edges.tail)
}

/// Decodes a beginning that is all there is of its file, and its torn last line, as they are.
pub fn finish_head(
    head: Option<OpenHead>,
    torn: Option<OpenTail>,
    context: DecodeContext,
    sink: &mut dyn FnMut(&Record<'_>),
) -> LineCounts {
    let sink = &mut |record: &Record<'_>| sink(record);
    let mut decoder = Decoder::new(context);
    if let Some(head) = head {
        decoder.block(&head.bytes, 1, sink);
    }
    if let Some(torn) = torn.and_then(|tail| tail.torn) {
        decoder.counts.lines += 1;
        decoder.next_line += 1;
        decoder.torn = Some(torn);
    }
    decoder.finish(sink);
    decoder.counts()
}

/// Two beginnings, of which the first is all there is of its file, as the one beginning that they
/// are.
pub fn join_heads(
    first: &OpenHead,
    torn: Option<OpenTail>,
    second: &OpenHead,
    last: Option<&OpenTail>,
    context: DecodeContext,
    sink: &mut dyn FnMut(&Record<'_>),
) -> Edges {
    let mut decoder = Decoder::with_head(context);
    let sink = &mut |record: &Record<'_>| sink(record);
    decoder.block(&first.bytes, 1, sink);
    if let Some(torn) = torn.and_then(|tail| tail.torn) {
        decoder.counts.lines += 1;
        decoder.torn = Some(torn);
    }
    decoder.block(&second.bytes, first.lines + 1, sink);
    if let Some(torn) = last.and_then(|tail| tail.torn.as_ref()) {
        decoder.block(torn, decoder.next_line.max(1), sink);
    }
    decoder.close()
}

fn joined(
    tail: Option<OpenTail>,
    head: Option<OpenHead>,
    context: DecodeContext,
    sink: &mut dyn FnMut(JoinedIn, &Record<'_>),
) -> (Decoder, u64) {
    let mut decoder = Decoder::new(context);
    let boundary = tail.map_or(1, |tail| decoder.resume(tail));
    if let Some(head) = head {
        decoder.block(&head.bytes, boundary, &mut |record: &Record<'_>| {
            placed(record, boundary, sink);
        });
    }
    (decoder, boundary)
}

/// Gives a record with the line numbers of the file in which it begins.
fn placed(record: &Record<'_>, boundary: u64, sink: &mut dyn FnMut(JoinedIn, &Record<'_>)) {
    let mut record = record.clone();
    if record.line >= boundary {
        record.line -= boundary - 1;
        record.line_end -= boundary - 1;
        sink(JoinedIn::Head, &record);
    } else {
        record.line_end = record.line_end.min(boundary - 1);
        sink(JoinedIn::Tail, &record);
    }
}
