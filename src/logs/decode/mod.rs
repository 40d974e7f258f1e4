//! Bytes to records: lines out of blocks, wrappers off, parts joined, encodings read.
//!
//! One [`Decoder`] serves one chunk or one sequential stream. Bare and CRI-wrapped lines in
//! etcd's, klog's and the audit log's own forms take a path by position that allocates nothing;
//! everything else goes the slow way, where nothing is too odd. The law that must hold whatever
//! comes in: `parsed + unparsed = lines`.

mod bare;
mod edge;
mod entry;
mod fast;
mod open;
mod saved;
mod slow;
mod start;
mod values;

use memchr::memchr;

use crate::clock::Timestamp;

use super::aggregate::hash::stable_hash;
use super::audit::Tails;
use super::format::Parsed;
use super::format::site::Sites;
use super::head::Taker;
use super::record::{Encoding, Level, Outer, Record, TimeSource};
use super::timestamp::{TimeCache, YearFrom};
use super::wrapper::syslog::complete_time;
use crate::sys::find;

use entry::Entry;
use open::{Open, Part};

pub use edge::{
    Edges, Ends, JoinedIn, OpenHead, OpenTail, finish_head, join, join_heads, join_open,
};
pub use start::LineStart;

/// What is known about a file before its first line.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecodeContext {
    /// What a date without a year is completed from: the latest that the file can end by its dates, its
    /// last change, or now.
    pub reference: Option<Timestamp>,
    /// How far the clock of wrappers without a zone is east of UTC, in microseconds.
    pub local_us: i64,
    /// The same of records without a zone and a wrapper.
    pub bare_us: i64,
    /// Whether lines that name a pod are believed: only where all that follows them is read here.
    pub sections: bool,
    /// Whether wrappers name several hosts, so that a program's name alone does not tell its writer.
    pub hosts: bool,
}

/// What became of the lines. A joined record counts with all its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Lines seen.
    pub lines: u64,
    /// Lines of records in a known encoding or from a wrapper that makes any text a record,
    /// lines that belong to one, and blank ones.
    pub parsed: u64,
    /// Lines that nothing explains. They are records too, as [`Encoding::Bare`].
    pub unparsed: u64,
    /// Blank lines, which are among the parsed.
    pub blank: u64,
    /// Records handed out.
    pub records: u64,
    /// Records made from parts or continuation lines that grew over their limit and were cut.
    pub cut: u64,
    /// Records that were not in their program's own form, so that the fast path passed.
    pub slow: u64,
}

impl LineCounts {
    /// Adds another count.
    pub fn add(&mut self, other: &LineCounts) {
        self.lines += other.lines;
        self.parsed += other.parsed;
        self.unparsed += other.unparsed;
        self.blank += other.blank;
        self.records += other.records;
        self.cut += other.cut;
        self.slow += other.slow;
    }

    /// Lines of no known form that meant something all the same.
    pub fn explain(&mut self, lines: u64) {
        let lines = lines.min(self.unparsed);
        self.parsed += lines;
        self.unparsed -= lines;
    }
}

/// What takes the records.
pub type Sink<'s> = dyn FnMut(&Record<'_>) + 's;

/// Reads lines as records. See the module for what it promises.
#[derive(Debug, Default)]
pub struct Decoder {
    context: DecodeContext,
    cache: TimeCache,
    /// How audit lines end.
    tails: Tails,
    sites: Sites,
    counts: LineCounts,
    /// Parts of lines that a container runtime split, for each output stream.
    parts: [Option<Part>; 2],
    /// A record that goes on in the next line.
    open: Option<Open>,
    /// A journal entry of many lines.
    entry: Option<Entry>,
    /// Whether lines of a dump belong to the record before them.
    dump: bool,
    /// The pod and container whose lines these are, where a line before them named it.
    section: Option<Vec<u8>>,
    /// Lines before the first one that surely starts a record, while they are collected.
    head: Option<OpenHead>,
    /// Whether the head is complete, and lines are decoded.
    headed: bool,
    /// Whether a last line without its newline is kept for what comes next.
    keeps_torn: bool,
    /// That line.
    torn: Option<Vec<u8>>,
    /// Number of the line after the last one seen.
    next_line: u64,
    /// Whether any of the above makes the next line more than itself.
    busy: bool,
    /// Buffers for unescaped texts, reused.
    scratch: Vec<Vec<u8>>,
}

impl Decoder {
    /// A decoder for one chunk or stream.
    pub fn new(context: DecodeContext) -> Self {
        Decoder {
            context,
            ..Decoder::default()
        }
    }

    /// A decoder for the beginning of a file whose predecessor is known: lines that may go on
    /// from there are kept for [`join`].
    pub fn with_head(context: DecodeContext) -> Self {
        // What stands before the first record names the writer of all that follows.
        let headed = !context.sections;
        Decoder {
            head: headed.then(OpenHead::default),
            busy: headed,
            keeps_torn: true,
            ..Decoder::new(context)
        }
    }

    /// A decoder for one stream of several files, each after [`Decoder::next_file`].
    pub fn across(context: DecodeContext) -> Self {
        Decoder {
            keeps_torn: true,
            ..Decoder::new(context)
        }
    }

    /// The file is over, the next one begins; what is open may go on there.
    pub fn next_file(&mut self, context: DecodeContext) {
        self.context = context;
        self.cache = TimeCache::default();
        self.section = None;
        self.settle_busy();
    }

    /// Of what is no file nothing is known before its first lines are there: now the zone of wrappers
    /// and the year of dates without one are.
    pub fn learns(&mut self, context: &DecodeContext) {
        self.context.local_us = context.local_us;
        self.context.bare_us = context.bare_us;
        self.context.reference = context.reference;
        self.context.hosts = context.hosts;
    }

    /// Reads a block of whole lines; its last line may lack its newline. `first_line` is the
    /// number of its first line, from 1, in whatever count the caller keeps.
    pub fn block(&mut self, block: &[u8], first_line: u64, taker: &mut impl Taker) {
        let mut number = first_line;
        let mut rest = block;
        if self.torn.is_some() && !block.is_empty() {
            rest = self.settle_torn(block, &mut number, &mut |record| taker.take(record));
        }
        // Colours are rare: one look at the whole block spares one at each line.
        let coloured = memchr(0x1b, block).is_some();
        while !rest.is_empty() {
            let (line, next) = match find(b'\n', rest) {
                Some(end) => (
                    rest.get(..end).unwrap_or_default(),
                    rest.get(end + 1..).unwrap_or_default(),
                ),
                None if self.keeps_torn => {
                    self.counts.lines += 1;
                    number += 1;
                    self.torn = Some(rest.to_vec());
                    break;
                }
                None => (rest, &rest[..0]),
            };
            self.counts.lines += 1;
            let special = self.busy || coloured && memchr(0x1b, line).is_some();
            if special || !self.fast(line, number, taker) {
                self.counts.slow += 1;
                self.slow(line, number, &mut |record| taker.take(record));
            }
            number += 1;
            rest = next;
        }
        self.next_line = number;
    }

    /// Ends the stream: what is still open is given out as it is, a head that was kept too.
    pub fn finish(&mut self, sink: &mut impl FnMut(&Record<'_>)) {
        self.flush_all(sink);
    }

    /// What became of the lines so far. Lines of records that are still open are in `lines` only.
    pub fn counts(&self) -> LineCounts {
        self.counts
    }

    fn flush_all(&mut self, sink: &mut Sink<'_>) {
        if let Some(torn) = self.torn.take() {
            self.slow(&torn, self.next_line.max(2) - 1, sink);
        }
        self.give_up_head(sink);
        self.flush_entry(sink);
        // What is given out may open another one inside it, which is always shorter.
        while self.open.is_some() || self.parts.iter().any(Option::is_some) {
            self.flush_open(sink);
            for lane in 0..self.parts.len() {
                self.flush_part(lane, sink);
            }
        }
        self.settle_busy();
    }

    fn settle_busy(&mut self) {
        self.busy = self.collecting()
            || self.open.is_some()
            || self.entry.is_some()
            || self.dump
            || self.section.is_some()
            || self.parts.iter().any(Option::is_some);
    }

    fn emit(&mut self, parsed: Parsed<'_>, piece: &Piece<'_>, known: bool, sink: &mut Sink<'_>) {
        self.dump = match parsed.encoding {
            Encoding::Klog => parsed.level == Level::Fatal,
            Encoding::ZapConsole => parsed.level >= Level::Error,
            // What `Panicf` said comes again as Go's panic.
            Encoding::ZapJson | Encoding::Capnslog => parsed.level == Level::Fatal,
            _ => false,
        };
        let mut outer = piece.outer;
        outer.host = outer.host.filter(|_| self.context.hosts);
        if let (Some(yearless), Some(inner), TimeSource::Inner) =
            (piece.yearless, parsed.time, parsed.time_source)
        {
            // The record knows its year, so its wrapper's is the nearest.
            let local_us = self.context.local_us;
            outer.time = complete_time(yearless, YearFrom::Near(inner.add_us(local_us)))
                .map(|time| time.add_us(-local_us));
        }
        outer.unread = if known { 0 } else { piece.lines };
        let mut record = parsed.into_record(piece.line, piece.line_end, outer);
        if record.level == Level::Unknown {
            record.level = piece.level;
        }
        if record.logger.is_empty() {
            record.logger = piece.package;
        }
        self.counts.records += 1;
        self.counts.cut += u64::from(piece.grown);
        self.settle(known, piece.lines);
        sink(&record);
    }

    fn settle(&mut self, known: bool, lines: u64) {
        if known {
            self.counts.parsed += lines;
        } else {
            self.counts.unparsed += lines;
        }
    }
}

/// A text on its way to a record: where it stands, and what its wrappers said.
#[derive(Clone, Copy, Debug, Default)]
struct Piece<'a> {
    line: u64,
    line_end: u64,
    /// How many lines are settled with it.
    lines: u64,
    outer: Outer<'a>,
    /// Whether the wrapper's time names its zone.
    zoned: bool,
    /// The wrapper's time as it stood there, where it had no year.
    yearless: Option<Timestamp>,
    level: Level,
    package: &'a [u8],
    /// The source file of a klog message that lost its header; else empty.
    headless: &'a [u8],
    /// The wrapper makes any text a record.
    syslog: bool,
    /// It was joined and is over, so it must not wait for more.
    last: bool,
    /// It grew over its limit, and lost its end.
    grown: bool,
}

impl<'a> Piece<'a> {
    fn at(line: u64) -> Self {
        Piece {
            line,
            line_end: line,
            lines: 1,
            ..Piece::default()
        }
    }

    /// The outermost wrapper's time, unless an inner one knows its zone better.
    fn time(&mut self, time: Option<Timestamp>, zoned: bool) {
        if time.is_some() && (self.outer.time.is_none() || zoned && !self.zoned) {
            self.yearless = None;
            self.outer.time = time;
            self.zoned = zoned;
        }
    }

    /// What a wrapper calls the writer. `name` is any further name that it has.
    fn ident(&mut self, ident: Option<&'a [u8]>, host: Option<&'a [u8]>, name: Option<&'a [u8]>) {
        for part in [ident, host, name].into_iter().flatten() {
            self.outer.writer = stable_hash(self.outer.writer, part);
        }
        self.outer.ident = self.outer.ident.or(ident.filter(|name| !name.is_empty()));
        self.outer.host = self.outer.host.or(host.filter(|name| !name.is_empty()));
    }
}

#[cfg(test)]
mod tests;
