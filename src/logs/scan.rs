//! Reads a plan with several threads: each takes a chunk, reads it through one reused buffer, and
//! makes a segment of it, which is folded into what is known of the chunk's stream.

use std::sync::atomic::{AtomicBool, Ordering};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use memchr::memchr;

use crate::clock::Timestamp;

use super::aggregate::memory::Memory;
use super::decode::{Decoder, Ends, join};
use super::input::{LogFile, Plan, Stream};
use super::reader::{BlockReader, ReadOptions, open};
use super::summary::{FileReport, StreamSummary, Summary, named};

mod counter;
mod filter;
mod work;

pub(super) use counter::Counter;
pub use filter::{Only, TimeFilter};
pub(super) use filter::{by_wrapper, component_of};
use work::{Piece, Place, Task, Work};

/// How to scan.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// Threads; 0 stands for as many as there are processors.
    pub threads: usize,
    /// Records before this time are left out.
    pub since: Option<Timestamp>,
    /// Records after this time are left out.
    pub until: Option<Timestamp>,
    /// What a date without a year is completed from, where the file does not say.
    pub now: Option<Timestamp>,
    /// Whose records are counted.
    pub only: Only,
    /// Words whose lines are counted as `grep -ic` would.
    pub grep: Vec<String>,
    /// How to read.
    pub read: ReadOptions,
    /// Nominal length of a chunk; `None` goes by the file's.
    pub chunk: Option<u64>,
}

/// Reads everything in the plan. Stops early when `stop` is set, with what was read by then.
pub fn scan(plan: &Plan, options: &ScanOptions, stop: &AtomicBool) -> Summary {
    let mut summary = scan_open(plan, options, stop);
    summary.close();
    summary
}

/// Like [`scan`], with what is open at the ends of each stream kept open, for other summaries to be
/// merged to.
pub fn scan_open(plan: &Plan, options: &ScanOptions, stop: &AtomicBool) -> Summary {
    let work = Work::new(plan, options, stop);
    std::thread::scope(|scope| {
        let work = &work;
        let turn = move || {
            let mut worker = Worker::new(plan, options, stop);
            while let Some(task) = work.next(scope) {
                let (place, piece) = worker.read(task);
                work.done(place, piece);
            }
        };
        work.name_streams(|| {
            for _ in 1..work.threads() {
                scope.spawn(turn);
            }
        });
        turn();
    });
    let mut summary = work.into_summary();
    (summary.since, summary.until) = (options.since, options.until);
    summary.components = options.only;
    summary.interrupted = stop.load(Ordering::Relaxed);
    summary
}

/// What one thread keeps between its pieces of work.
struct Worker<'p> {
    plan: &'p Plan,
    options: &'p ScanOptions,
    stop: &'p AtomicBool,
    buffer: Vec<u8>,
    memory: Memory,
    words: Option<AhoCorasick>,
}

/// After so many bytes a segment whose tables have outgrown their bounds is absorbed, which prunes
/// them.
const LOOK_EVERY: u64 = 1 << 20;
/// What comes from a pipe is one piece of any length: after so many bytes its segment is absorbed in
/// any case.
const ABSORB_EVERY: u64 = 64 << 20;

impl<'p> Worker<'p> {
    fn new(plan: &'p Plan, options: &'p ScanOptions, stop: &'p AtomicBool) -> Self {
        Worker {
            plan,
            options,
            stop,
            buffer: Vec::new(),
            memory: Memory::default(),
            words: words(&options.grep),
        }
    }

    fn read(&mut self, task: Task) -> (Place, Piece) {
        let mut piece = Piece {
            stream: StreamSummary::default(),
            grep: vec![0; self.options.grep.len()],
            last: true,
        };
        let place = match &task {
            Task::Chunk(place, _) | Task::Part(place, _) => *place,
        };
        let plan = self.plan;
        if let Some(stream) = plan.streams.get(place.stream)
            && let Some(file) = stream.files.get(place.file)
        {
            let mut report = FileReport {
                name: file.name.clone(),
                local_us: file.told.local_us,
                bare_us: file.told.bare_us,
                years: file.years(self.options.now),
                newest_first: file.told.newest_first,
                unjoined: file.told.newest_first && !file.is_read_backward(&self.options.read),
                ..FileReport::default()
            };
            let read = &self.options.read;
            let buffer = std::mem::take(&mut self.buffer);
            let opened = match task {
                Task::Part(_, part) => Ok(part.into()),
                Task::Chunk(_, chunk) => {
                    piece.last = chunk.end == u64::MAX;
                    open(file, chunk, read, buffer)
                }
            };
            let result = opened.and_then(|reader| {
                self.read_file((stream, file), reader, place.chunk, &mut piece, &mut report)
            });
            if let Err(err) = result {
                report.error = Some(err.to_string());
            }
            piece.stream.files.push(report);
        }
        (place, piece)
    }

    fn read_file(
        &mut self,
        (stream, file): (&Stream, &LogFile),
        mut reader: BlockReader,
        chunk: u32,
        piece: &mut Piece,
        report: &mut FileReport,
    ) -> std::io::Result<()> {
        let options = self.options;
        let mut context = file.context(options.now);
        // The first lines of a file may go on from what was written before it.
        let mut decoder = match chunk {
            0 => Decoder::with_head(context),
            _ => Decoder::across(context),
        };
        let mut counter = Counter::new(stream.component, TimeFilter::new(options))
            .of(&named(stream), stream.node.as_deref());
        counter
            .current
            .segment
            .lend(std::mem::take(&mut self.memory));
        let mut line = 1;
        let (mut since_absorbed, mut since_looked) = (0, 0);
        let result = loop {
            let block = match reader.next_block_until(self.stop) {
                Ok(Some(block)) => block,
                Ok(None) => break Ok(()),
                Err(err) => break Err(err),
            };
            if let Some(words) = &self.words {
                count_words(words, block.bytes, &mut piece.grep);
            }
            // Of what is no file nothing was seen before.
            if line == 1
                && let Some(file) = file.begun(block.bytes)
            {
                let told = file.told;
                let known = file.context(options.now);
                (context.local_us, context.reference) = (known.local_us, known.reference);
                context.bare_us = known.bare_us;
                decoder.learns(&context);
                (report.local_us, report.bare_us) = (told.local_us, told.bare_us);
                report.years = file.years(options.now);
                (report.newest_first, report.unjoined) = (told.newest_first, told.newest_first);
            }
            let before = decoder.counts().lines;
            decoder.block(block.bytes, line, &mut counter);
            line += decoder.counts().lines - before;
            since_absorbed += block.bytes.len() as u64;
            since_looked += block.bytes.len() as u64;
            let full = since_looked >= LOOK_EVERY && {
                since_looked = 0;
                counter.current.segment.is_over()
            };
            if full || since_absorbed >= ABSORB_EVERY {
                since_absorbed = 0;
                let memory = counter.current.segment.reclaim();
                let done = std::mem::take(&mut counter.current);
                counter.current.segment.lend(memory);
                counter.current.segment.follow(&done.segment);
                piece.stream.absorb(done);
            }
            if self.stop.load(Ordering::Relaxed) {
                break Ok(());
            }
        };
        let stats = reader.stats();
        if let Some(last) = reader.is_last_part() {
            piece.last = last;
        }
        let mut edges = decoder.close();
        let mut counts = edges.counts;
        if !piece.last
            && let Some(tail) = edges.tail.take()
        {
            // The next chunk begins where a record surely does.
            counts.add(&join(Some(tail), None, context, &mut |_, record| {
                counter.add(record);
            }));
        }
        counts.explain(counter.explained());
        report.outside = counter.outside;
        self.memory = counter.current.segment.reclaim();
        let mut rest = counter.finish();
        let coverage = &mut rest.segment.coverage;
        coverage.lines += counts.lines;
        coverage.parsed += counts.parsed;
        coverage.unparsed += counts.unparsed;
        coverage.bytes += stats.bytes;
        report.lines = counts.lines;
        report.parsed = counts.parsed;
        report.unparsed = counts.unparsed;
        report.bytes = stats.bytes;
        report.cut_lines = stats.cut_lines;
        if stats.truncated {
            report.error = Some("became shorter while it was read".to_owned());
        }
        piece.stream.absorb(rest);
        piece.stream.ends = Ends {
            head: edges.head,
            tail: edges.tail,
            only_head: edges.only_head,
            ..Ends::default()
        }
        .with_contexts([context; 2]);
        if let Some((from, to)) = piece.stream.segment.coverage.span() {
            (report.from, report.to) = (Some(from), Some(to));
        }
        self.buffer = reader.into_buffer();
        result
    }
}

/// An automaton over words, in any case.
pub(super) fn words(list: &[String]) -> Option<AhoCorasick> {
    if list.is_empty() {
        return None;
    }
    AhoCorasickBuilder::new()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(list)
        .ok()
}

/// Counts the lines that hold each word, as `grep -ic` does.
pub(super) fn count_words(words: &AhoCorasick, block: &[u8], counts: &mut [u64]) {
    let mut line_end = vec![0; counts.len()];
    for hit in words.find_overlapping_iter(block) {
        let word = hit.pattern().as_usize();
        let (Some(end), Some(count)) = (line_end.get_mut(word), counts.get_mut(word)) else {
            continue;
        };
        if hit.start() < *end {
            continue;
        }
        *count += 1;
        let rest = block.get(hit.end()..).unwrap_or_default();
        *end = memchr(b'\n', rest).map_or(block.len(), |at| hit.end() + at);
    }
}

#[cfg(test)]
mod ends_tests;
#[cfg(test)]
mod tests;
