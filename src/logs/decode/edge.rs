//! Joining across files: kubelet and logrotate cut a stream wherever it is, also between the
//! parts of one line.
//!
//! The end of one file is an [`OpenTail`], the beginning of the next an [`OpenHead`]; [`join`]
//! decodes the two as the one text they were.

use memchr::memchr;

use crate::logs::record::Record;

use super::{DecodeContext, Decoder, Entry, LineCounts, LineStart, Open, Part, Sink};

/// Most that is kept of a beginning: lines, and bytes where they are a runtime's parts.
const HEAD_LINES: u64 = 64;
const HEAD_PART_BYTES: usize = 4 << 20;

/// Lines at the beginning of a file before the first one that surely starts a record.
#[derive(Clone, Debug, Default)]
pub struct OpenHead {
    bytes: Vec<u8>,
    lines: u64,
    parts: bool,
}

impl OpenHead {
    /// How many lines it holds.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// What was still open at the end of a file.
#[derive(Debug, Default)]
pub struct OpenTail {
    parts: [Option<Part>; 2],
    open: Option<Open>,
    entry: Option<Entry>,
    dump: bool,
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
        let head = self.head.take().filter(|head| head.lines > 0);
        counts.lines -= head.as_ref().map_or(0, |head| head.lines);
        let tail = (open > 0 || self.dump).then_some(OpenTail {
            parts: self.parts,
            open: self.open,
            entry: self.entry,
            dump: self.dump,
            lines: open,
            next_line: self.next_line,
        });
        Edges {
            head,
            tail,
            counts,
            lines,
        }
    }

    pub(super) fn collecting(&self) -> bool {
        self.head.is_some() && !self.headed
    }

    /// Keeps a line for the head; `false` when the head is over and the line is to be decoded.
    pub(super) fn collect(&mut self, line: &[u8], number: u64, sink: &mut Sink<'_>) -> bool {
        let start = LineStart::of(line, &mut self.cache);
        if start.sure {
            self.headed = true;
            self.settle_busy();
            return false;
        }
        let Some(head) = &mut self.head else {
            return false;
        };
        head.parts |= start.part.is_some();
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
    let mut decoder = Decoder::new(context);
    let mut boundary = 1;
    if let Some(tail) = tail {
        boundary = tail.next_line.max(1);
        decoder.counts.lines = tail.lines;
        decoder.parts = tail.parts;
        decoder.open = tail.open;
        decoder.entry = tail.entry;
        decoder.dump = tail.dump;
        decoder.settle_busy();
    }
    let mut placed = |record: &Record<'_>| {
        let mut record = record.clone();
        if record.line >= boundary {
            record.line -= boundary - 1;
            record.line_end -= boundary - 1;
            sink(JoinedIn::Head, &record);
        } else {
            record.line_end = record.line_end.min(boundary - 1);
            sink(JoinedIn::Tail, &record);
        }
    };
    if let Some(head) = head {
        decoder.block(&head.bytes, boundary, &mut placed);
    }
    decoder.finish(&mut placed);
    decoder.counts()
}
