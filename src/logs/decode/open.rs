//! What goes on in the next line: parts that a runtime split, records over several lines, dumps.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::format::json::{Completeness, completeness};
use crate::logs::format::{Parsed, klog, object, starts_record};
use crate::logs::record::{Encoding, Level, Outer};

use super::{Decoder, Piece, Sink, saved};

/// Most bytes of a line joined from a runtime's parts: an audit record with its body.
pub(super) const PART_MAX: usize = 16 << 20;
/// Most lines and bytes of one record that somebody's editor broke.
const JOIN_LINES: u64 = 40;
const JOIN_BYTES: usize = 64 << 10;
/// Most lines of a dump that are counted with it; its text keeps [`JOIN_BYTES`].
const DUMP_LINES: u64 = 20_000;

/// A piece that owns what it says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Owned {
    line: u64,
    line_end: u64,
    lines: u64,
    time: Option<Timestamp>,
    zoned: bool,
    yearless: Option<Timestamp>,
    #[serde(with = "saved::option")]
    ident: Option<Vec<u8>>,
    #[serde(with = "saved::option")]
    host: Option<Vec<u8>>,
    writer: u64,
    unsampled: bool,
    cut: bool,
    level: Level,
    #[serde(with = "saved")]
    package: Vec<u8>,
    syslog: bool,
    grown: bool,
}

impl Owned {
    fn new(piece: &Piece<'_>) -> Self {
        Owned {
            line: piece.line,
            line_end: piece.line_end,
            lines: piece.lines,
            time: piece.outer.time,
            zoned: piece.zoned,
            yearless: piece.yearless,
            ident: piece.outer.ident.map(<[u8]>::to_vec),
            host: piece.outer.host.map(<[u8]>::to_vec),
            writer: piece.outer.writer,
            unsampled: piece.outer.unsampled,
            cut: piece.outer.cut,
            level: piece.level,
            package: piece.package.to_vec(),
            syslog: piece.syslog,
            grown: piece.grown,
        }
    }

    fn piece(&self) -> Piece<'_> {
        Piece {
            line: self.line,
            line_end: self.line_end,
            lines: self.lines,
            outer: Outer {
                time: self.time,
                ident: self.ident.as_deref(),
                host: self.host.as_deref(),
                writer: self.writer,
                unsampled: self.unsampled,
                cut: self.cut,
                unread: 0,
            },
            zoned: self.zoned,
            yearless: self.yearless,
            level: self.level,
            package: &self.package,
            headless: b"",
            syslog: self.syslog,
            last: true,
            grown: self.grown,
        }
    }

    fn extend(&mut self, piece: &Piece<'_>) {
        self.line_end = piece.line_end;
        self.lines += piece.lines;
    }
}

/// The beginning of a line that a container runtime split.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    #[serde(with = "saved")]
    pub(super) text: Vec<u8>,
    owned: Owned,
}

/// A record that goes on in the next line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    #[serde(with = "saved")]
    pub(super) text: Vec<u8>,
    owned: Owned,
    kind: OpenKind,
}

/// What kind of record is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OpenKind {
    /// A JSON object whose end has not come.
    Json,
    /// A klog record with an open struct or quote.
    Klog,
    /// A klog record with a value over several lines, each indented by a tab.
    KlogValue,
    /// A panic or a goroutine dump.
    Dump,
}

impl Decoder {
    /// Takes a part of a split line. Gives the text back when it is a line of its own.
    pub(super) fn part<'a>(
        &mut self,
        lane: usize,
        more: bool,
        text: &'a [u8],
        piece: &Piece<'a>,
        sink: &mut Sink<'_>,
    ) -> Option<&'a [u8]> {
        if self.parts.get(lane).is_some_and(Option::is_some) && starts_record(text) {
            // The writer died in the middle of a line and another one goes on.
            self.flush_part(lane, sink);
        }
        let Some(slot) = self.parts.get_mut(lane) else {
            return Some(text);
        };
        match slot {
            None if !more => return Some(text),
            None => {
                *slot = Some(Part {
                    text: text.to_vec(),
                    owned: Owned::new(piece),
                });
            }
            Some(part) => {
                let room = PART_MAX.saturating_sub(part.text.len());
                part.owned.grown |= text.len() > room;
                part.text
                    .extend_from_slice(text.get(..text.len().min(room)).unwrap_or_default());
                part.owned.extend(piece);
            }
        }
        if !more {
            self.flush_part(lane, sink);
        }
        None
    }

    pub(super) fn flush_part(&mut self, lane: usize, sink: &mut Sink<'_>) {
        if let Some(part) = self.parts.get_mut(lane).and_then(Option::take) {
            let mut piece = part.owned.piece();
            piece.last = false;
            self.unwrap(&part.text, piece, 1, sink);
        }
    }

    /// Keeps a record open until its end comes.
    pub(super) fn keep(
        &mut self,
        text: &[u8],
        piece: &Piece<'_>,
        kind: OpenKind,
        sink: &mut Sink<'_>,
    ) {
        self.flush_open(sink);
        self.open = Some(Open {
            text: text.to_vec(),
            owned: Owned::new(piece),
            kind,
        });
    }

    /// Lines that are part of something open, which nothing was counted for yet.
    pub(super) fn open_lines(&self) -> u64 {
        let parts = self.parts.iter().flatten().map(|part| part.owned.lines);
        let open = self.open.as_ref().map_or(0, |open| open.owned.lines);
        let entry = self.entry.as_ref().map_or(0, super::Entry::lines);
        parts.sum::<u64>() + open + entry
    }

    /// Adds a line to the open record, if it belongs to it.
    pub(super) fn goes_on(&mut self, text: &[u8], piece: &Piece<'_>, sink: &mut Sink<'_>) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        let (lines, bytes) = (open.owned.lines + piece.lines, open.text.len() + text.len());
        let room = match open.kind {
            OpenKind::Dump => is_dump(text) && lines <= DUMP_LINES,
            OpenKind::KlogValue => value_line(text) && lines <= DUMP_LINES,
            _ => lines <= JOIN_LINES && bytes <= JOIN_BYTES,
        };
        if !room {
            self.flush_open(sink);
            return false;
        }
        open.owned.extend(piece);
        match open.kind {
            OpenKind::Dump => {
                if bytes < JOIN_BYTES {
                    open.text.push(b'\n');
                    open.text.extend_from_slice(text);
                }
            }
            OpenKind::KlogValue => {
                let over = text.starts_with(b" >");
                if over || bytes < JOIN_BYTES {
                    open.text.push(b'\n');
                    open.text.extend_from_slice(text);
                } else {
                    open.owned.grown = true;
                }
                if over && !text.ends_with(b"=<") {
                    self.flush_open(sink);
                }
            }
            OpenKind::Klog => {
                if !wrapped_klog(open, text) {
                    open.text.push(b'\n');
                    open.text.extend_from_slice(text);
                }
                if !klog::goes_on(&open.text) {
                    self.flush_open(sink);
                }
            }
            OpenKind::Json => {
                join_json(&mut open.text, text);
                let ends = text
                    .trim_ascii_end()
                    .iter()
                    .rev()
                    .take(2)
                    .any(|b| *b == b'}');
                if ends && object::closed(&open.text) {
                    self.flush_open(sink);
                }
            }
        }
        true
    }

    /// Gives out the open record as it is.
    pub(super) fn flush_open(&mut self, sink: &mut Sink<'_>) {
        let Some(open) = self.open.take() else {
            return;
        };
        let piece = open.owned.piece();
        match open.kind {
            OpenKind::Dump => {
                let mut parsed = Parsed::bare(Encoding::Bare, &open.text);
                parsed.level = Level::Fatal;
                self.emit(parsed, &piece, true, sink);
                self.dump = true;
            }
            _ => self.unwrap(&open.text, piece, 1, sink),
        }
    }
}

/// A quote that a line's end broke is joined without the break and the indentation.
fn wrapped_klog(open: &mut Open, text: &[u8]) -> bool {
    if open.text.ends_with(b" {") || open.text.contains(&b'\n') {
        return false;
    }
    open.text.extend_from_slice(text.trim_ascii_start());
    true
}

/// A string that a line's end broke goes on without the break; between tokens any space will do.
fn join_json(open: &mut Vec<u8>, text: &[u8]) {
    if completeness(open) == Completeness::InString {
        // One space is the text's own, more are an indentation.
        let indented = text.starts_with(b"  ") || text.starts_with(b"\t");
        let text = if indented {
            text.trim_ascii_start()
        } else {
            text
        };
        open.extend_from_slice(text);
    } else {
        open.push(b'\n');
        open.extend_from_slice(text);
    }
}

/// A line of a klog value, or its end.
fn value_line(text: &[u8]) -> bool {
    text.is_empty() || text.starts_with(b"\t") || text.starts_with(b" >")
}

/// Whether a panic or a goroutine dump starts here.
pub(super) fn starts_dump(text: &[u8]) -> bool {
    // Most lines are told by their first byte.
    if !matches!(
        text.first(),
        Some(b'p' | b'f' | b'r' | b'g' | b'S' | b'u' | b'[' | b'P')
    ) {
        return false;
    }
    const STARTS: [&[u8]; 11] = [
        b"panic: ",
        b"fatal error: ",
        b"runtime: ",
        b"goroutine ",
        b"SIGQUIT: ",
        b"SIGABRT: ",
        b"SIGBUS: ",
        b"SIGSEGV: ",
        b"unexpected fault address ",
        b"[signal SIG",
        b"PC=0x",
    ];
    if let Some(rest) = text.strip_prefix(b"goroutine ") {
        return rest.first().is_some_and(u8::is_ascii_digit)
            && memchr::memmem::find(rest, b" [").is_some();
    }
    STARTS.iter().any(|start| text.starts_with(start))
}

/// Whether a line looks like a part of a Go dump or a stack trace.
pub(super) fn is_dump(text: &[u8]) -> bool {
    let trimmed = text.trim_ascii();
    if trimmed.is_empty() || text.starts_with(b"\t") || starts_dump(text) {
        return true;
    }
    // `main.main()`, `k8s.io/klog/v2.stacks(0x1)`, `created by net/http.(*Server).Serve`.
    let call = trimmed.ends_with(b")") && trimmed.first() != Some(&b'(');
    let path = trimmed
        .iter()
        .take_while(|b| !matches!(b, b'(' | b' '))
        .any(|b| *b == b'.');
    let spaces = memchr::memchr(
        b' ',
        trimmed.get(..trimmed.len().min(200)).unwrap_or_default(),
    );
    if call && path && (spaces.is_none() || memchr::memmem::find(trimmed, b"(0x").is_some()) {
        return true;
    }
    const WORDS: [&[u8]; 6] = [
        b"created by ",
        b"exit status ",
        b"rax ",
        b"[recovered]",
        b"...additional frames elided...",
        b"goroutine running on other thread",
    ];
    if WORDS.iter().any(|word| trimmed.starts_with(word)) {
        return true;
    }
    // zap's stack traces: a function a line, with its package's path.
    let plain = |b: &u8| b.is_ascii_graphic();
    let function = trimmed.iter().all(plain) && trimmed.contains(&b'.');
    if function
        && (trimmed.contains(&b'/')
            || trimmed.starts_with(b"main.")
            || trimmed.starts_with(b"runtime."))
    {
        return true;
    }
    // Registers: `rip    0x46c3a1`.
    let mut words = trimmed
        .split(|b| *b == b' ')
        .filter(|word| !word.is_empty());
    matches!((words.next(), words.next(), words.next()), (Some(name), Some(value), None)
        if name.len() <= 6 && value.starts_with(b"0x"))
}
