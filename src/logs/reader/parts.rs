//! A compressed file in parts that several threads read at once.
//!
//! Inflating goes in sequence only, and takes about as long as parsing what comes out. So one thread
//! inflates, and whoever has time parses: what comes out is cut as a plain file is, at places that
//! depend on its bytes alone.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use memchr::memchr;

use crate::formats::inflate::Inflate;
use crate::logs::input::{LogFile, Source};

use super::cut::{AHEAD, BACK, Edge};
use super::flow::{Filled, Flow, LOOK, Message};
use super::lines::Lines;
use super::{Block, CHUNK, ReadOptions, ReadStats, open_same};

/// Nominal length of a part. What is inflated and not yet parsed at its end is a fraction of it.
const STEP: u64 = 4 * CHUNK;
/// Fewest buffers of [`ReadOptions::buffer`] for one file: one is filled, one is parsed, and two are
/// between.
const LEAST_BUFFERS: usize = 4;

/// Whether a file is read in parts. A guest works on one thing at a time.
pub fn is_in_parts(file: &LogFile, options: &ReadOptions) -> bool {
    file.compression.is_some()
        && options.guest.is_none()
        && !file.told.sections
        && matches!(file.source, Source::File { .. })
}

/// One part, as it comes out.
#[derive(Debug)]
pub struct Part {
    /// Its place among the file's parts, from 0.
    pub index: u32,
    flow: Flow,
    last: Arc<AtomicBool>,
    stats: ReadStats,
}

impl Part {
    /// All of a file of which nothing can be read.
    pub fn failed(err: io::Error) -> Self {
        let (send, receive) = channel();
        send.send(Err(err)).ok();
        Part {
            index: 0,
            flow: Flow::new(receive, channel().0),
            last: Arc::new(AtomicBool::new(true)),
            stats: ReadStats::default(),
        }
    }

    /// The next whole lines; ends as [`Flow::next`] does.
    pub(super) fn next(&mut self, stop: Option<&AtomicBool>) -> io::Result<Option<Block<'_>>> {
        let Some(filled) = self.flow.next(stop)? else {
            return Ok(None);
        };
        let bytes = filled.get();
        let offset = self.stats.bytes;
        self.stats.bytes += bytes.len() as u64;
        self.stats.bytes_read = self.stats.bytes;
        self.stats.cut_lines += filled.cut_lines;
        Ok(Some(Block { bytes, offset }))
    }

    /// Whether nothing comes after it. Known once all of it was read.
    pub(super) fn is_last(&self) -> bool {
        self.last.load(Ordering::Acquire)
    }

    pub(super) fn stats(&self) -> ReadStats {
        self.stats
    }
}

/// Inflates a file, from its beginning to its end. Each part is offered when its first bytes are
/// to come; nothing more is inflated when an offer is refused, or when `stop` is set. `step` is the
/// nominal length of a part where it is not the usual one, `memory` how many bytes there may be on
/// their way.
pub fn inflate(
    file: &LogFile,
    options: &ReadOptions,
    step: Option<u64>,
    memory: usize,
    stop: &AtomicBool,
    mut offer: impl FnMut(Part) -> bool,
) {
    let opened = match &file.source {
        Source::File { path, id } => open_same(path, *id),
        _ => Err(io::Error::other("is no file")),
    };
    let inflate = match opened.and_then(|file| Inflate::new(file, options.limits)) {
        Ok(inflate) => inflate,
        Err(err) => {
            offer(Part::failed(err));
            return;
        }
    };
    let mut parts = Parts {
        source: Full {
            inner: inflate,
            error: None,
        },
        lines: Lines::new(Vec::new(), 0, options),
        cut_lines: 0,
        buffers: Buffers::new(memory.max(LEAST_BUFFERS * options.buffer), stop),
    };
    // To be told to stop is an end like others.
    parts.run(Search::new(step.unwrap_or(STEP)), &mut offer);
}

/// The inflating end.
struct Parts<'s, R> {
    source: Full<R>,
    lines: Lines,
    /// Lines that were cut so far.
    cut_lines: u64,
    buffers: Buffers<'s>,
}

impl<R: Read> Parts<'_, R> {
    /// `None` when it was told to stop.
    fn run(&mut self, mut search: Search, offer: &mut impl FnMut(Part) -> bool) -> Option<()> {
        let mut part = self.begin(0, offer)?;
        loop {
            let mut offset = match self.lines.next(&mut self.source) {
                Ok(Some(block)) => block.offset,
                end => {
                    part.last.store(true, Ordering::Release);
                    if let Err(err) = end {
                        part.send.send(Err(err)).ok();
                    }
                    return Some(());
                }
            };
            let mut block = self.hand_over()?;
            while let Some(len) = search.cut(block.get(), offset) {
                let rest = self.split_off(&mut block, len)?;
                part.send.send(Ok(block)).ok()?;
                part = self.begin(part.index + 1, offer)?;
                block = rest;
                offset += len as u64;
            }
            part.send.send(Ok(block)).ok()?;
        }
    }

    /// A new part, which is offered.
    fn begin(&self, index: u32, offer: &mut impl FnMut(Part) -> bool) -> Option<Filling> {
        let (send, receive) = channel();
        let last = Arc::new(AtomicBool::new(false));
        let part = Part {
            index,
            flow: Flow::new(receive, self.buffers.back.clone()),
            last: Arc::clone(&last),
            stats: ReadStats::default(),
        };
        offer(part).then_some(Filling { index, send, last })
    }

    /// The block that was read last.
    fn hand_over(&mut self) -> Option<Filled> {
        let (bytes, range) = self.lines.hand_over(self.buffers.take()?);
        self.buffers.out += bytes.capacity();
        let before = std::mem::replace(&mut self.cut_lines, self.lines.stats().cut_lines);
        Some(Filled {
            bytes,
            range,
            cut_lines: self.cut_lines - before,
        })
    }

    /// What of a block is behind its first `len` bytes.
    fn split_off(&mut self, block: &mut Filled, len: usize) -> Option<Filled> {
        let mut bytes = self.buffers.take()?;
        bytes.clear();
        bytes.extend_from_slice(block.get().get(len..).unwrap_or_default());
        self.buffers.out += bytes.capacity();
        block.range.end = block.range.start + len;
        Some(Filled {
            range: 0..bytes.len(),
            bytes,
            cut_lines: 0,
        })
    }
}

/// A part that is being filled.
struct Filling {
    index: u32,
    send: Sender<Message>,
    last: Arc<AtomicBool>,
}

/// Fills whole buffers, so that where blocks end depends on the bytes alone.
struct Full<R> {
    inner: R,
    /// What went wrong after what was given out.
    error: Option<io::Error>,
}

impl<R: Read> Read for Full<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut len = 0;
        while self.error.is_none() {
            let room = buf.get_mut(len..).unwrap_or_default();
            match self.inner.read(room) {
                Ok(0) => return Ok(len),
                Ok(more) => len += more,
                Err(err) => self.error = Some(err),
            }
        }
        match self.error.take() {
            Some(err) if len == 0 => Err(err),
            later => {
                self.error = later;
                Ok(len)
            }
        }
    }
}

/// The search for places where a part may begin.
struct Search {
    step: u64,
    /// From where on the next one may.
    nominal: u64,
    edge: Edge,
}

impl Search {
    fn new(step: u64) -> Self {
        let step = step.max(1);
        Search {
            step,
            nominal: step,
            edge: Edge::default(),
        }
    }

    /// Where to cut whole lines that stand at an offset, which follow those of the last call. None
    /// where no cut is in them.
    fn cut(&mut self, lines: &[u8], offset: u64) -> Option<usize> {
        let mut at = 0;
        loop {
            // The lines before are of no interest, and then the rest of one.
            let from = self.nominal.saturating_sub(BACK).saturating_sub(offset);
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            if at < from {
                at = next_line(lines, from - 1)?;
            }
            if at >= lines.len() {
                return None;
            }
            let end = next_line(lines, at).unwrap_or(lines.len());
            let line = lines.get(at..end).unwrap_or_default();
            let here = offset + at as u64;
            let safe = self.edge.is_before(line);
            if safe && here >= self.nominal || here > self.nominal + AHEAD {
                self.nominal = (here / self.step + 1) * self.step;
                self.edge = Edge::default();
                if safe && here > 0 {
                    return Some(at);
                }
            }
            at = end;
        }
    }
}

/// Where the line after the one at `at` begins.
fn next_line(lines: &[u8], at: usize) -> Option<usize> {
    memchr(b'\n', lines.get(at..)?).map(|found| at + found + 1)
}

/// Buffers that go round, of a bounded number of bytes.
struct Buffers<'s> {
    most: usize,
    /// Bytes of those that are on their way.
    out: usize,
    back: Sender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    stop: &'s AtomicBool,
}

impl<'s> Buffers<'s> {
    fn new(most: usize, stop: &'s AtomicBool) -> Self {
        let (back, used) = channel();
        Buffers {
            most,
            out: 0,
            back,
            used,
            spare: Vec::new(),
            stop,
        }
    }

    /// A used one, or a new one without room; waits while too much is on its way. `None` when told
    /// to stop.
    fn take(&mut self) -> Option<Vec<u8>> {
        loop {
            while let Ok(used) = self.used.try_recv() {
                self.put_back(used);
            }
            if self.out < self.most {
                return Some(self.spare.pop().unwrap_or_default());
            }
            match self.used.recv_timeout(LOOK) {
                Ok(used) => self.put_back(used),
                Err(RecvTimeoutError::Timeout) if !self.stop.load(Ordering::Relaxed) => {}
                Err(_) => return None,
            }
        }
    }

    fn put_back(&mut self, used: Vec<u8>) {
        self.out = self.out.saturating_sub(used.capacity());
        // What a long line needed is not kept.
        if self.spare.len() < LEAST_BUFFERS && used.capacity() < self.most / LEAST_BUFFERS * 2 {
            self.spare.push(used);
        }
    }
}
