//! The way of all other lines: clean, unwrap until nothing matches, join, read.

use memchr::memchr;

use crate::logs::format::json::{Completeness, completeness};
use crate::logs::format::object::{self, Object, Stream, Wrapped};
use crate::logs::format::{Parsed, Reference, capnslog, klog, parse_text, starts_record, zap};
use crate::logs::needle;
use crate::logs::record::{Encoding, Fields, Level, Record};
use crate::logs::timestamp::YearFrom;
use crate::logs::wrapper::{self, clean, salvage, section, syslog};
use crate::logs::writer;

use super::entry;
use super::open::{OpenKind, is_dump, starts_dump};
use super::start::plain_start;
use super::{Decoder, Piece, Sink};

/// Most wrappers around one line.
pub(super) const LAYERS: u8 = 12;

impl Decoder {
    pub(super) fn slow(&mut self, line: &[u8], number: u64, sink: &mut Sink<'_>) {
        if self.collecting() && self.collect(line, number, sink) {
            return;
        }
        self.line(line, number, sink);
    }

    pub(super) fn line(&mut self, line: &[u8], number: u64, sink: &mut Sink<'_>) {
        if self.in_entry(line, number, sink) {
            self.settle_busy();
            return;
        }
        if self.context.sections && line.starts_with(b"====") && self.marked(line, sink) {
            self.settle_busy();
            return;
        }
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let text = clean::strip_quotes(clean::strip_start(text));
        let section = self.section.take();
        let mut piece = Piece::at(number);
        piece.ident(section.as_deref(), None, None);
        if text.trim_ascii().is_empty() {
            self.blank(text, &piece, sink);
        } else if memchr(0x1b, text).is_some() {
            let mut clean = self.buffer();
            clean::strip_ansi(text, &mut clean);
            self.unwrap(&clean, piece, 0, sink);
            self.give_back(clean);
        } else {
            self.unwrap(text, piece, 0, sink);
        }
        self.section = section;
        self.settle_busy();
    }

    /// Takes the lines around a container's log in `kubectl cluster-info dump`.
    fn marked(&mut self, line: &[u8], sink: &mut Sink<'_>) -> bool {
        let Some(mark) = section::mark(line) else {
            return false;
        };
        self.flush_open(sink);
        self.settle(true, 1);
        self.section = match mark {
            section::Mark::Start(writer) => Some(writer),
            section::Mark::End => None,
        };
        true
    }

    /// A blank line belongs to an open record, or to nothing.
    fn blank(&mut self, text: &[u8], piece: &Piece<'_>, sink: &mut Sink<'_>) {
        self.counts.blank += piece.lines;
        if self.open.is_none() || !self.goes_on(text, piece, sink) {
            self.settle(true, piece.lines);
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.scratch.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        // A line of megabytes must not be kept for ever.
        if self.scratch.len() < 4 && buffer.capacity() <= 1 << 20 {
            self.scratch.push(buffer);
        }
    }

    /// Takes wrappers off until none is left.
    pub(super) fn unwrap<'a>(
        &mut self,
        text: &'a [u8],
        mut piece: Piece<'a>,
        depth: u8,
        sink: &mut Sink<'_>,
    ) {
        let mut text = text;
        for layer in depth..LAYERS {
            let bare = clean::strip_start(text.trim_ascii_start());
            if bare.first() == Some(&b'{') && (object::starts(bare) || piece.last) {
                self.object_line(bare, piece, layer, sink);
                return;
            }
            let Some(peeled) = wrapper::peel(bare, &mut self.cache) else {
                break;
            };
            let time = peeled.time.and_then(|time| {
                let year = self
                    .context
                    .reference
                    .map_or(YearFrom::Nothing, YearFrom::NotAfter);
                syslog::complete_time(time, piece.outer.time.map_or(year, YearFrom::Near))
            });
            let yearless = peeled.time != time;
            let local_us = if peeled.zoned {
                0
            } else {
                self.context.local_us
            };
            let time = time.map(|time| time.add_us(-local_us));
            piece.time(time, peeled.zoned || local_us != 0);
            if yearless && piece.outer.time == time {
                piece.yearless = peeled.time;
            }
            piece.ident(peeled.ident, peeled.host, peeled.name);
            if peeled.level != Level::Unknown {
                piece.level = peeled.level;
            }
            piece.syslog |= peeled.syslog;
            piece.outer.unsampled = false;
            text = peeled.text;
            if let Some((stream, more)) = peeled.part {
                let lane = usize::from(stream == Stream::Stderr);
                match self.part(lane, more, text, &piece, sink) {
                    Some(whole) => text = whole,
                    None => return,
                }
            }
            if peeled.syslog {
                if let Some((times, inner, cut)) = syslog::repeated(text) {
                    piece.outer.cut |= cut;
                    self.unwrap(inner, piece, layer + 1, &mut |record: &Record<'_>| {
                        let mut all = record.clone();
                        all.repeats = all.repeats.saturating_mul(times);
                        sink(&all);
                    });
                    return;
                }
                piece.outer.cut |= is_cut(text);
                if clean::has_octal(text) {
                    let mut plain = self.buffer();
                    clean::undo_octal(text, &mut plain);
                    let mut clean = self.buffer();
                    clean::strip_ansi(&plain, &mut clean);
                    self.unwrap(&clean, piece, layer + 1, sink);
                    self.give_back(clean);
                    self.give_back(plain);
                    return;
                }
            }
        }
        self.inner(text, piece, depth, sink);
    }

    /// A JSON object: a record, a wrapper, or the beginning of one. More may follow it, glued or as
    /// the next ones of a list.
    fn object_line<'a>(
        &mut self,
        text: &'a [u8],
        mut piece: Piece<'a>,
        layer: u8,
        sink: &mut Sink<'_>,
    ) {
        let mut text = text.trim_ascii_end();
        loop {
            self.flush_open(sink);
            // etcd's own form inside some wrapper: its fields then start after the head, as always.
            if let Some(parsed) = self.single_zap(text) {
                self.emit(parsed, &piece, true, sink);
                return;
            }
            let end = if object::is_audit(text) && text.ends_with(b"}") {
                Some(text.len())
            } else {
                match completeness(text) {
                    Completeness::Closed(end) => Some(end),
                    _ => None,
                }
            };
            let Some(end) = end else {
                // A tail that its terminal cut off never comes.
                if piece.last || piece.outer.cut {
                    self.object(text, piece, layer, sink);
                } else {
                    self.keep(text, &piece, OpenKind::Json, sink);
                }
                return;
            };
            let (object, rest) = text.split_at(end);
            self.object(object, piece, layer, sink);
            piece.lines = 0;
            let rest = rest.trim_ascii_start();
            let next = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
            if !object::starts(next) {
                if starts_record(rest) && layer < LAYERS {
                    self.unwrap(rest, piece, layer + 1, sink);
                }
                return;
            }
            text = next;
        }
    }

    fn object<'a>(&mut self, text: &'a [u8], piece: Piece<'a>, layer: u8, sink: &mut Sink<'_>) {
        // A record that was torn by another one that starts inside it.
        if let Some(at) = memchr::memmem::rfind(text, zap::HEAD).filter(|at| *at > 0)
            && layer < LAYERS
            && !self.is_whole_around(text, at)
        {
            let (torn, rest) = text.split_at(at);
            self.object(
                torn,
                Piece {
                    last: true,
                    ..piece
                },
                layer + 1,
                sink,
            );
            self.unwrap(rest, Piece { lines: 0, ..piece }, layer + 1, sink);
            return;
        }
        if let Some(parsed) = self.single_zap(text) {
            self.emit(parsed, &piece, true, sink);
            return;
        }
        match object::classify(text, &mut self.cache) {
            Object::Record(parsed) => self.record(parsed, piece, layer, sink),
            Object::Wrapper(wrapped) if layer < LAYERS => self.wrapped(wrapped, piece, layer, sink),
            Object::Wrapper(_) | Object::Unknown => {
                let mut parsed = Parsed::bare(Encoding::Bare, text);
                parsed.fields = Fields::Json(text);
                self.emit(parsed, &piece, piece.syslog, sink);
            }
        }
    }

    /// Whether an object that says what it is holds what stands at a place of it: Fluent Bit adds
    /// the line's fields to the line.
    fn is_whole_around(&mut self, text: &[u8], at: usize) -> bool {
        object::holds(text, at)
            && !matches!(object::classify(text, &mut self.cache), Object::Unknown)
    }

    fn wrapped<'a>(
        &mut self,
        wrapped: Wrapped<'a>,
        piece: Piece<'a>,
        layer: u8,
        sink: &mut Sink<'_>,
    ) {
        let mut joined = self.buffer();
        let place = wrapped.place;
        let is_both = place.join(&mut joined);
        let mut piece = piece;
        piece.time(wrapped.time, true);
        let ident = if is_both {
            Some(&*joined)
        } else if wrapped.journal {
            place.container.or(wrapped.ident)
        } else {
            writer::surest([wrapped.ident, place.container], place.pod)
        };
        piece.ident(ident, wrapped.host, place.pod);
        if wrapped.level != Level::Unknown {
            piece.level = wrapped.level;
        }
        if !wrapped.package.is_empty() {
            piece.package = wrapped.package;
        }
        if !wrapped.headless.is_empty() {
            piece.headless = wrapped.headless;
        }
        piece.syslog |= wrapped.journal;
        piece.outer.unsampled = wrapped.unsampled;
        let line = object::line_of(wrapped.text);
        let mut text: &[u8] = &line;
        if object::has_objects(&wrapped.text) {
            self.unwrap(text, piece, layer + 1, sink);
            self.give_back(joined);
            return;
        }
        let ended = text.ends_with(b"\n");
        text = text.strip_suffix(b"\n").unwrap_or(text);
        text = text.strip_suffix(b"\r").unwrap_or(text);
        if let Some(stream) = wrapped.docker {
            let lane = usize::from(stream == Stream::Stderr);
            match self.part(lane, !ended, text, &piece, sink) {
                Some(whole) => text = whole,
                None => return,
            }
        }
        self.lines(text, piece, layer, sink);
        self.give_back(joined);
    }

    /// A text that may hold several lines of its own; the first settles for all.
    pub(super) fn lines(&mut self, text: &[u8], piece: Piece<'_>, layer: u8, sink: &mut Sink<'_>) {
        let mut piece = piece;
        for line in text.split(|b| *b == b'\n') {
            let mut clean = self.buffer();
            let line = if memchr(0x1b, line).is_some() {
                clean::strip_ansi(line, &mut clean);
                &clean
            } else {
                line
            };
            if line.trim_ascii().is_empty() {
                self.blank_inner(line, &piece, sink);
            } else {
                self.unwrap(line, piece, layer + 1, sink);
            }
            self.give_back(clean);
            piece.lines = 0;
        }
    }

    fn blank_inner(&mut self, text: &[u8], piece: &Piece<'_>, sink: &mut Sink<'_>) {
        if self.open.is_none() || !self.goes_on(text, piece, sink) {
            self.settle(true, piece.lines);
        }
    }

    /// A text without wrappers that is no JSON object.
    fn inner<'a>(&mut self, text: &'a [u8], piece: Piece<'a>, layer: u8, sink: &mut Sink<'_>) {
        let bare = clean::strip_start(text.trim_ascii_start());
        // Of a klog record without its header every text is one, but for a trace's further lines.
        let headless = !piece.headless.is_empty()
            && !starts_record(bare)
            && (!klog::is_trace(bare) || needle::TOTAL_TIME.is_in(bare));
        let starts = headless || starts_record(bare) || piece.syslog && plain_start(text);
        if starts || klog::is_trace(bare) {
            self.flush_open(sink);
        } else if self.goes_on(text, &piece, sink) {
            return;
        }
        let reference = Reference {
            outer: piece.outer.time,
            outer_zoned: piece.zoned,
            context: self.context.reference,
            bare_us: self.context.bare_us,
        };
        if headless {
            let parsed = klog::headless(text, piece.level, piece.headless);
            self.emit(parsed, &piece, true, sink);
            return;
        }
        if let Some(parsed) = parse_text(bare, &reference, &mut self.cache) {
            self.text_record(parsed, bare, piece, layer, sink);
            return;
        }
        if bare.is_empty() {
            self.settle(true, piece.lines);
            return;
        }
        if self.dump && is_dump(text) || is_note(bare) {
            self.settle(true, piece.lines);
            return;
        }
        if starts_dump(bare) {
            if piece.last {
                let mut parsed = Parsed::bare(Encoding::Bare, text);
                parsed.level = Level::Fatal;
                self.emit(parsed, &piece, true, sink);
            } else {
                self.keep(bare, &piece, OpenKind::Dump, sink);
            }
            return;
        }
        if layer < LAYERS && wrapper::may_hold(bare) && self.salvaged(bare, piece, layer, sink) {
            return;
        }
        if let Some(parsed) = zap::torn(bare, &mut self.cache) {
            self.emit(parsed, &piece, true, sink);
            return;
        }
        // capnslog that talks to the journal itself leaves time, level and package to its fields.
        let native = matches!(
            piece.outer.ident,
            Some(b"etcd" | b"etcd.service" | b"etcd2")
        );
        let encoding = if native && piece.syslog {
            Encoding::Capnslog
        } else {
            Encoding::Bare
        };
        self.emit(Parsed::bare(encoding, text), &piece, piece.syslog, sink);
    }

    fn text_record<'a>(
        &mut self,
        parsed: Parsed<'a>,
        text: &'a [u8],
        piece: Piece<'a>,
        layer: u8,
        sink: &mut Sink<'_>,
    ) {
        match parsed.encoding {
            Encoding::Klog if !piece.last && !piece.outer.cut && klog::goes_on(text) => {
                let kind = if text.ends_with(b"=<") {
                    OpenKind::KlogValue
                } else {
                    OpenKind::Klog
                };
                self.keep(text, &piece, kind, sink);
            }
            Encoding::Capnslog if layer < LAYERS => match capnslog::glued(text) {
                Some(at) => {
                    let (first, second) = text.split_at(at);
                    let piece_of_rest = Piece { lines: 0, ..piece };
                    self.unwrap(first.trim_ascii_end(), piece, layer + 1, sink);
                    self.unwrap(second, piece_of_rest, layer + 1, sink);
                }
                None => self.emit(parsed, &piece, true, sink),
            },
            Encoding::Logrus => self.record(parsed, piece, layer, sink),
            _ => self.emit(parsed, &piece, true, sink),
        }
    }

    /// A record whose message may be another program's whole line: logrus around etcd.
    fn record<'a>(
        &mut self,
        parsed: Parsed<'a>,
        mut piece: Piece<'a>,
        layer: u8,
        sink: &mut Sink<'_>,
    ) {
        // Syslog's form leaves a blank before its text.
        let inner = parsed.msg.trim_ascii_start();
        if layer < LAYERS && starts_record(inner) {
            piece.time(parsed.time, true);
            self.unwrap(inner, piece, layer + 1, sink);
        } else {
            self.emit(parsed, &piece, true, sink);
        }
    }

    fn salvaged(&mut self, text: &[u8], piece: Piece<'_>, layer: u8, sink: &mut Sink<'_>) -> bool {
        match salvage::find(text) {
            Some(salvage::Found::Plain(rest)) => {
                self.unwrap(rest, piece, layer + 1, sink);
                true
            }
            Some(salvage::Found::Escaped(rest)) => {
                let mut plain = self.buffer();
                crate::logs::fields::unescape_into(rest, &mut plain);
                self.unwrap(&plain, piece, layer + 1, sink);
                self.give_back(plain);
                true
            }
            None => false,
        }
    }

    /// Takes the lines of journal entries in export and verbose form.
    fn in_entry(&mut self, line: &[u8], number: u64, sink: &mut Sink<'_>) -> bool {
        if let Some(entry) = &mut self.entry {
            if entry.take(line, &mut self.cache) {
                return true;
            }
            self.flush_entry(sink);
        }
        match entry::Entry::start(line, number, &mut self.cache) {
            Some(entry) => {
                self.flush_open(sink);
                self.entry = Some(entry);
                true
            }
            None => false,
        }
    }

    pub(super) fn flush_entry(&mut self, sink: &mut Sink<'_>) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        let mut piece = Piece::at(entry.first_line());
        piece.lines = entry.lines();
        piece.line_end = entry.first_line() + entry.lines().saturating_sub(1);
        piece.syslog = true;
        piece.level = entry.level();
        piece.package = entry.package();
        piece.outer.unsampled = entry.is_unsampled();
        piece.time(entry.time(), true);
        piece.ident(entry.ident(), entry.host(), None);
        self.lines(entry.message(), piece, 0, sink);
    }
}

/// Whether a terminal or a message limit took the end or the middle of a line away.
fn is_cut(text: &[u8]) -> bool {
    if text.ends_with(b">") {
        // A request text ends in `>` too, but then inside quotes or before ` took too long`.
        let request = text.ends_with(b" >") || text.ends_with(b">>");
        return !request || text.first() == Some(&b'{');
    }
    if needle::ELLIPSIS.is_in(text) {
        return true;
    }
    // `Throttling request took ...t=32s`: the middle was elided.
    needle::DOTS
        .find(text)
        .is_some_and(|at| text.get(at + 4).is_some_and(u8::is_ascii_alphanumeric))
}

/// journalctl's own lines: `-- Boot 4f… --`, `-- Logs begin at …`.
fn is_note(text: &[u8]) -> bool {
    text.starts_with(b"-- ")
        && (text.ends_with(b" --")
            || text.starts_with(b"-- Logs begin at ")
            || text.starts_with(b"-- Journal begins at ")
            || text.starts_with(b"-- Boot ")
            || text.starts_with(b"-- cursor: "))
}
