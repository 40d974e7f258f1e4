//! Reads a plan with several threads, and folds what they find in the order of the files.
//!
//! The work is a list of (stream, file, chunk), which is handed out by one counter. Each thread
//! reads its chunk into one reused buffer and makes a segment of it. Segments are absorbed in
//! order, whoever made them, so the result does not depend on the number of threads. Finished
//! segments that wait for an earlier one are few: a thread that is too far ahead waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::aggregate::memory::Memory;
use super::aggregate::segment::Hot;
use super::decode::{DecodeContext, Decoder, Ends, join};
use super::event::{Component, Event};
use super::head::{Head, Taker};
use super::input::{LogFile, Plan, Stream};
use super::reader::{Chunk, ReadOptions, chunks, chunks_of, open};
use super::record::{Encoding, Record};
use super::signature::{Detail, classify, classify_as};
use super::stitch;
use super::summary::{FileReport, GrepCount, StreamSummary, Summary, named};
use super::writer::writer;

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

/// One piece of work.
#[derive(Clone, Copy, Debug)]
struct Item {
    stream: usize,
    file: usize,
    chunk: Chunk,
    /// Its place among the stream's items.
    order: usize,
}

/// What was made of one item.
struct Piece {
    stream: StreamSummary,
    grep: Vec<u64>,
}

/// What all threads share.
struct Fold {
    summary: Summary,
    grep: Vec<u64>,
    /// Next order to absorb of each stream.
    next: Vec<usize>,
    /// Pieces that wait for an earlier one.
    waiting: BTreeMap<(usize, usize), Piece>,
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
    let items = items(plan, options);
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
    .min(items.len().max(1));
    let fold = Mutex::new(Fold {
        summary: Summary::default(),
        grep: vec![0; options.grep.len()],
        next: vec![0; plan.streams.len()],
        waiting: BTreeMap::new(),
    });
    let room = Condvar::new();
    let next = AtomicUsize::new(0);
    // Nobody waits for a piece that was not begun: those are begun in order.
    let most_waiting = threads + 2;
    let work = || {
        let mut worker = Worker::new(plan, options, stop);
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at).copied() else {
                return;
            };
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let piece = worker.read(item);
            let mut guard = lock(&fold);
            while guard.waiting.len() >= most_waiting
                && guard.next.get(item.stream) != Some(&item.order)
                && !stop.load(Ordering::Relaxed)
            {
                // The time limit is for `stop`, of which nobody tells.
                guard = room
                    .wait_timeout(guard, Duration::from_millis(100))
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            absorb(&mut guard, item, piece, options);
            drop(guard);
            room.notify_all();
        }
    };
    std::thread::scope(|scope| {
        // Nobody absorbs before the streams are named, which others need not wait for.
        let mut guard = lock(&fold);
        for _ in 1..threads {
            scope.spawn(work);
        }
        guard.summary = Summary::of(plan);
        drop(guard);
        work();
    });
    let mut fold = fold.into_inner().unwrap_or_else(PoisonError::into_inner);
    // After an early stop pieces may wait for ones that were never read.
    let waiting = std::mem::take(&mut fold.waiting);
    for ((stream, _), piece) in waiting {
        take(&mut fold, stream, piece, options);
    }
    let mut summary = fold.summary;
    summary.grep = options
        .grep
        .iter()
        .zip(fold.grep)
        .map(|(word, lines)| GrepCount {
            word: word.clone(),
            lines,
        })
        .collect();
    (summary.since, summary.until) = (options.since, options.until);
    summary.components = options.only;
    summary.interrupted = stop.load(Ordering::Relaxed);
    summary
}

fn lock(fold: &Mutex<Fold>) -> MutexGuard<'_, Fold> {
    fold.lock().unwrap_or_else(PoisonError::into_inner)
}

fn items(plan: &Plan, options: &ScanOptions) -> Vec<Item> {
    let mut items = Vec::new();
    for (stream_at, stream) in plan.streams.iter().enumerate() {
        let mut order = 0;
        for (file_at, file) in stream.files.iter().enumerate() {
            let chunks = match options.chunk {
                Some(length) => chunks_of(file, length),
                None => chunks(file),
            };
            for chunk in chunks {
                items.push(Item {
                    stream: stream_at,
                    file: file_at,
                    chunk,
                    order,
                });
                order += 1;
            }
        }
    }
    items
}

/// Absorbs a piece and those that waited for it.
fn absorb(fold: &mut Fold, item: Item, piece: Piece, options: &ScanOptions) {
    let due = fold.next.get(item.stream).copied();
    if due != Some(item.order) {
        fold.waiting.insert((item.stream, item.order), piece);
        return;
    }
    take(fold, item.stream, piece, options);
    let mut order = item.order + 1;
    while let Some(piece) = fold.waiting.remove(&(item.stream, order)) {
        take(fold, item.stream, piece, options);
        order += 1;
    }
    if let Some(next) = fold.next.get_mut(item.stream) {
        *next = order;
    }
}

fn take(fold: &mut Fold, stream: usize, piece: Piece, options: &ScanOptions) {
    if let Some(into) = fold.summary.streams.get_mut(stream) {
        stitch::absorb(into, piece.stream, TimeFilter::new(options));
    }
    for (into, add) in fold.grep.iter_mut().zip(piece.grep) {
        *into += add;
    }
}

/// What one thread keeps between its items.
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
/// A compressed file is one item of any length: after so many bytes its segment is absorbed in any
/// case.
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

    fn read(&mut self, item: Item) -> Piece {
        let mut piece = Piece {
            stream: StreamSummary::default(),
            grep: vec![0; self.options.grep.len()],
        };
        let plan = self.plan;
        if let Some(stream) = plan.streams.get(item.stream)
            && let Some(file) = stream.files.get(item.file)
        {
            let mut report = FileReport {
                name: file.name.clone(),
                ..FileReport::default()
            };
            if let Err(err) = self.read_file(stream, file, item.chunk, &mut piece, &mut report) {
                report.error = Some(err.to_string());
            }
            piece.stream.files.push(report);
        }
        piece
    }

    fn read_file(
        &mut self,
        stream: &Stream,
        file: &LogFile,
        chunk: Chunk,
        piece: &mut Piece,
        report: &mut FileReport,
    ) -> std::io::Result<()> {
        let options = self.options;
        let buffer = std::mem::take(&mut self.buffer);
        let mut reader = open(file, chunk, &options.read, buffer)?;
        let reference = file.modified.or(options.now);
        let context = DecodeContext { reference };
        // The first lines of a file may go on from what was written before it.
        let mut decoder = match chunk.index {
            0 => Decoder::with_head(context),
            _ => Decoder::across(context),
        };
        let whole = !named(stream).is_empty();
        let mut counter = Counter::new(stream.component, TimeFilter::new(options)).of_one(whole);
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
                piece.stream.absorb(done);
            }
            if self.stop.load(Ordering::Relaxed) {
                break Ok(());
            }
        };
        let stats = reader.stats();
        let mut edges = decoder.close();
        let mut counts = edges.counts;
        if chunk.end != u64::MAX
            && let Some(tail) = edges.tail.take()
        {
            // The next chunk begins where a record surely does.
            counts.add(&join(Some(tail), None, context, &mut |_, record| {
                counter.add(record);
            }));
        }
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
            references: [reference; 2],
        };
        if let Some((from, to)) = piece.stream.segment.coverage.span() {
            (report.from, report.to) = (Some(from), Some(to));
        }
        self.buffer = reader.into_buffer();
        result
    }
}

/// Every component that a record can name.
const ALL_COMPONENTS: [Component; COMPONENTS] = [
    Component::Unknown,
    Component::Etcd,
    Component::Apiserver,
    Component::ControllerManager,
    Component::Scheduler,
    Component::Kubelet,
    Component::Controller,
    Component::Kernel,
];
const COMPONENTS: usize = 8;

/// Components that were asked for; nobody's name stands for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Only(u8);

impl Only {
    /// Adds a component.
    pub fn add(&mut self, component: Component) {
        self.0 |= Only::bit(component);
    }

    /// Whether everybody is asked for.
    pub fn is_everybody(&self) -> bool {
        self.0 == 0
    }

    /// Whether what is this component's is asked for. What may be anybody's is.
    pub fn has(self, component: Component) -> bool {
        self.0 == 0 || component == Component::Unknown || self.0 & Only::bit(component) != 0
    }

    /// Whether nothing but etcd is asked for.
    fn is_etcd(self) -> bool {
        self.0 == Only::bit(Component::Etcd)
    }

    fn bit(component: Component) -> u8 {
        let at = ALL_COMPONENTS.iter().position(|known| *known == component);
        at.map_or(0, |at| 1 << at)
    }
}

impl From<Vec<String>> for Only {
    fn from(words: Vec<String>) -> Self {
        let mut only = Only::default();
        for word in words {
            only.add(component_of(&word));
        }
        only
    }
}

impl From<Only> for Vec<String> {
    fn from(only: Only) -> Self {
        let named = |component: &Component| only.0 & Only::bit(*component) != 0;
        let words = ALL_COMPONENTS.into_iter().filter(named);
        words.map(|component| component.word().to_owned()).collect()
    }
}

/// Which records were asked for: those of a window, and of some components.
#[derive(Clone, Copy, Debug)]
pub struct TimeFilter {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Whether the last record with a time was inside: one without a time follows it.
    inside: bool,
    only: Only,
}

impl TimeFilter {
    /// The filter that the options ask for.
    pub fn new(options: &ScanOptions) -> Self {
        TimeFilter::of(options.since, options.until).only(options.only)
    }

    /// The same for these components.
    pub fn only(self, only: Only) -> Self {
        TimeFilter { only, ..self }
    }

    /// Whether all records are some component's that was asked for, as far as this tells.
    pub fn is_for_all(&self) -> bool {
        self.only.is_everybody()
    }

    /// Whether a record is one of the components that were asked for, or may be. Its event is what
    /// the catalogue knows of it.
    pub fn wants(&self, record: &Record<'_>, event: Option<&Event<'_>>) -> bool {
        if self.only.is_everybody() {
            return true;
        }
        if record.encoding == Encoding::Audit {
            return self.only.has(Component::Apiserver);
        }
        let by_wrapper = record.outer.ident.and_then(writer).map(|name| {
            match component_of(super::writer::parts(&name).0) {
                // All writers that are known and no part of the control plane are controllers.
                Component::Unknown => Component::Controller,
                known => known,
            }
        });
        let said = match event.map_or(Component::Unknown, |event| event.component) {
            // Only etcd writes this, and never klog.
            Component::Unknown
                if matches!(record.encoding, Encoding::Capnslog | Encoding::RaftText) =>
            {
                Component::Etcd
            }
            Component::Unknown
                if matches!(record.encoding, Encoding::Klog | Encoding::KlogJson) =>
            {
                return by_wrapper.map_or(!self.only.is_etcd(), |known| self.only.has(known));
            }
            said => said,
        };
        self.only.has(by_wrapper.unwrap_or(said))
    }

    /// The filter of a window.
    pub fn of(since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        TimeFilter {
            since,
            until,
            inside: true,
            only: Only::default(),
        }
    }

    /// Whether the next record is inside.
    pub fn inside(&mut self, time: Option<Timestamp>) -> bool {
        if let Some(at) = time {
            self.inside = self.since.is_none_or(|since| at >= since)
                && self.until.is_none_or(|until| at <= until);
        }
        self.inside
    }
}

/// The component of a word, as streams are named by it.
pub(super) fn component_of(word: &str) -> Component {
    ALL_COMPONENTS
        .into_iter()
        .find(|known| known.word() == word)
        .unwrap_or_default()
}

/// Takes records into a segment.
pub(super) struct Counter {
    filter: TimeFilter,
    named: Component,
    pub(super) current: StreamSummary,
    /// Records outside the window.
    pub(super) outside: u64,
    /// Records that only an etcd server writes, besides those in `components`.
    etcd: u64,
    components: [u64; COMPONENTS],
    /// The next record was offered by its beginning, in vain.
    refused: bool,
    /// The stream's name says whose all of it is.
    of_one: bool,
    /// Not all records of the stream may be asked for.
    chooses: bool,
    /// Whose records are those that wrappers name so.
    writers: BTreeMap<Vec<u8>, Option<Arc<str>>>,
}

/// The writer that an etcd server is.
const ETCD: &str = Component::Etcd.word();
/// Most of a wrapper's names that are remembered.
const MAX_NAMES: usize = 256;

impl Taker for Counter {
    #[inline]
    fn take(&mut self, record: &Record<'_>) {
        self.add(record);
    }

    #[inline]
    fn take_head(&mut self, head: &Head<'_>) -> bool {
        // Whose a line is must be known before it is counted.
        if self.chooses || !self.filter.inside(head.time) {
            return false;
        }
        if head.message.is_none() {
            let component = self.current.segment.add_plain_head(head);
            if let Some(component) = component {
                self.count(component);
            }
            return component.is_some();
        }
        let hot = self.current.segment.add_hot(head, None);
        self.refused = hot == Hot::Other;
        self.etcd += u64::from(hot == Hot::Added);
        hot == Hot::Added
    }
}

impl Counter {
    pub(super) fn new(named: Component, filter: TimeFilter) -> Self {
        Counter {
            filter,
            named,
            current: StreamSummary::default(),
            outside: 0,
            etcd: 0,
            components: [0; COMPONENTS],
            refused: false,
            of_one: false,
            // What a name says of the whole stream was looked at before.
            chooses: named == Component::Unknown && !filter.is_for_all(),
            writers: BTreeMap::new(),
        }
    }

    /// Of a stream whose name says whose all of it is, wrappers are not asked.
    pub(super) fn of_one(self, of_one: bool) -> Self {
        let chooses = self.chooses && !of_one;
        Counter {
            of_one,
            chooses,
            ..self
        }
    }

    /// Whose record it is, where its wrapper names its writer.
    fn writer(&mut self, ident: &[u8]) -> Option<Arc<str>> {
        if self.of_one {
            return None;
        }
        if let Some(known) = self.writers.get(ident) {
            return known.clone();
        }
        if self.writers.len() >= MAX_NAMES {
            self.writers.clear();
        }
        let found: Option<Arc<str>> = writer(ident).map(Arc::from);
        self.writers.insert(ident.to_vec(), found.clone());
        found
    }

    pub(super) fn add(&mut self, record: &Record<'_>) {
        if !self.filter.inside(record.time) {
            self.outside += 1;
            return;
        }
        if self.chooses
            && !self
                .filter
                .wants(record, classify(record, Detail::Counts).as_ref())
        {
            return;
        }
        let writer = match record.outer.ident {
            Some(ident) if record.encoding != Encoding::Audit => self.writer(ident),
            _ => None,
        };
        if writer.as_deref().is_some_and(|writer| writer != ETCD) {
            self.add_of(record, writer.as_deref());
            return;
        }
        let segment = &mut self.current.segment;
        if !std::mem::take(&mut self.refused)
            && let Some(head) = Head::of(record)
            && segment.add_hot(&head, Some(record)) == Hot::Added
        {
            self.etcd += 1;
            return;
        }
        if record.encoding == Encoding::Audit {
            segment.add_audit(record);
            self.count(Component::Apiserver);
            return;
        }
        if let Some(component) = segment.add_plain(record) {
            self.count(component);
            return;
        }
        self.add_of(record, writer.as_deref());
    }

    /// The way of all records, whatever their form, of the writer that their wrapper names.
    fn add_of(&mut self, record: &Record<'_>, writer: Option<&str>) {
        let segment = &mut self.current.segment;
        let mut asked = ("", Detail::Counts);
        let found = classify_as(record, |kind| {
            let detail = match segment.wants_fields(kind) {
                true => Detail::Full,
                false => Detail::Counts,
            };
            asked = (kind, detail);
            detail
        });
        let Some(mut event) = found else {
            // Free text in no known form is counted as unparsed already.
            if record.encoding == Encoding::Bare {
                segment.add_bare(record);
            } else {
                segment.add_unknown(record);
            }
            return;
        };
        // What is read of a record may change its kind.
        if !std::ptr::eq(asked.0, event.kind) {
            let detail = match segment.wants_fields(event.kind) {
                true => Detail::Full,
                false => Detail::Counts,
            };
            if detail != asked.1
                && let Some(other) = classify(record, detail)
            {
                event = other;
            }
        }
        // What only an etcd server says is the stream's own, as it is where nothing is wrapped.
        let other = writer.filter(|name| *name != ETCD || event.component == Component::Unknown);
        segment.add(other, record, &event);
        if other.is_none() {
            self.count(event.component);
        }
    }

    fn count(&mut self, component: Component) {
        if self.named == Component::Unknown
            && let Some(count) = ALL_COMPONENTS
                .iter()
                .position(|known| *known == component)
                .and_then(|at| self.components.get_mut(at))
        {
            *count += 1;
        }
    }

    pub(super) fn finish(mut self) -> StreamSummary {
        self.take()
    }

    /// What was counted since the last call.
    pub(super) fn take(&mut self) -> StreamSummary {
        let etcd = std::mem::take(&mut self.etcd);
        let components = std::mem::take(&mut self.components);
        // What was learnt stays here for what comes next.
        let memory = self.current.segment.reclaim();
        let mut current = std::mem::take(&mut self.current);
        self.current.segment.lend(memory);
        let mut counts = components;
        if self.named == Component::Unknown
            && let Some(count) = counts.get_mut(1)
        {
            *count += etcd;
        }
        for (component, count) in ALL_COMPONENTS.iter().zip(counts) {
            if count > 0 && *component != Component::Unknown {
                let word = component.word().to_owned();
                *current.components.entry(word).or_default() += count;
            }
        }
        current
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
mod tests;
