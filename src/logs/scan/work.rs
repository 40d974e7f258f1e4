//! Who does what next, and the fold of what was done.
//!
//! The work is a list of (stream, file, chunk). A compressed file's chunks are not known before it
//! was inflated: a thread of its own does that, and its parts join the work as they come out.
//! Whoever has time takes what comes first. What is done is absorbed in the order of the files,
//! whoever did it, so the result does not depend on the number of threads. Finished pieces that
//! wait for an earlier one are few: with many waiting, only what they wait for is handed out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use crate::logs::input::{LogFile, Plan};
use crate::logs::reader::{Chunk, Part, chunks, chunks_of, inflate, is_in_parts};
use crate::logs::stitch;
use crate::logs::summary::{GrepCount, StreamSummary, Summary};

use super::{ScanOptions, TimeFilter};

/// Compressed bytes that keep one more thread busy: about those of one part.
const OF_PART: u64 = 512 << 10;
/// Bytes that all files together may have inflated and not parsed yet.
const ON_THEIR_WAY: usize = 8 << 20;
/// How often one who waits looks whether to stop, of which nobody tells.
const LOOK: Duration = Duration::from_millis(100);

/// Where a piece belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) stream: usize,
    pub(super) file: usize,
    pub(super) chunk: u32,
}

/// One piece of work.
pub(super) enum Task {
    /// A chunk of a file, or all that comes from a pipe.
    Chunk(Place, Chunk),
    /// A part of a compressed file.
    Part(Place, Part),
}

/// What was made of one.
pub(super) struct Piece {
    pub(super) stream: StreamSummary,
    pub(super) grep: Vec<u64>,
    /// Whether it is the last one of its file.
    pub(super) last: bool,
}

/// Work that is to be begun.
#[derive(Clone, Copy, Debug)]
enum Item {
    Chunk(Place, Chunk),
    /// A compressed file, by its first part.
    Parts(Place),
}

/// What all threads share.
pub(super) struct Work<'p> {
    plan: &'p Plan,
    options: &'p ScanOptions,
    stop: &'p AtomicBool,
    items: Vec<Item>,
    threads: usize,
    /// Bytes that each compressed file may have on their way.
    on_their_way: usize,
    state: Mutex<State>,
    news: Condvar,
}

struct State {
    summary: Summary,
    grep: Vec<u64>,
    /// The next file and chunk to absorb of each stream.
    due: Vec<(usize, u32)>,
    /// Pieces that wait for an earlier one.
    waiting: BTreeMap<Place, Piece>,
    /// How many items were begun; that is done in order.
    begun: usize,
    /// Parts that nobody reads yet.
    ready: BTreeMap<Place, Part>,
    /// Files that are being inflated.
    inflating: usize,
}

impl<'p> Work<'p> {
    pub(super) fn new(plan: &'p Plan, options: &'p ScanOptions, stop: &'p AtomicBool) -> Self {
        let items = items(plan, options);
        let of_item = |item: &Item| match item {
            Item::Chunk(..) => 1,
            Item::Parts(place) => file_of(plan, *place).map_or(1, |file| {
                1 + usize::try_from(file.size / OF_PART).unwrap_or(0)
            }),
        };
        let most = items.iter().map(of_item).fold(0, usize::saturating_add);
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
        .min(most.max(1));
        let in_parts = |item: &&Item| matches!(item, Item::Parts(_));
        let inflaters = items.iter().filter(in_parts).count().clamp(1, threads);
        Work {
            plan,
            options,
            stop,
            items,
            threads,
            on_their_way: ON_THEIR_WAY / inflaters,
            state: Mutex::new(State {
                summary: Summary::default(),
                grep: vec![0; options.grep.len()],
                due: vec![(0, 0); plan.streams.len()],
                waiting: BTreeMap::new(),
                begun: 0,
                ready: BTreeMap::new(),
                inflating: 0,
            }),
            news: Condvar::new(),
        }
    }

    /// Threads that there is work for.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the streams, for which nobody need wait to begin.
    pub(super) fn name_streams(&self, begin: impl FnOnce()) {
        // Nobody absorbs before.
        let mut state = self.lock();
        begin();
        state.summary = Summary::of(self.plan);
    }

    /// The next work; `None` when there will be none.
    pub(super) fn next<'s, 'e>(&'e self, scope: &'s Scope<'s, 'e>) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                // Whoever inflates for them ends.
                state.ready.clear();
                return None;
            }
            // Nobody waits for what was not begun.
            let crowded = state.waiting.len() >= self.threads + 2;
            let may = |state: &State, place: &Place| !crowded || state.is_due(*place);
            let ready = state.ready.keys().find(|place| may(&state, place)).copied();
            if let Some(place) = ready
                && let Some(part) = state.ready.remove(&place)
            {
                return Some(Task::Part(place, part));
            }
            match self.items.get(state.begun).copied() {
                Some(Item::Chunk(place, chunk)) if may(&state, &place) => {
                    state.begun += 1;
                    return Some(Task::Chunk(place, chunk));
                }
                Some(Item::Parts(place))
                    if may(&state, &place) && state.inflating < self.threads =>
                {
                    state.begun += 1;
                    state.inflating += 1;
                    let begun = std::thread::Builder::new()
                        .name("inflate".to_owned())
                        .spawn_scoped(scope, move || self.inflate(place));
                    if let Err(err) = begun {
                        state.inflating -= 1;
                        state.ready.insert(place, Part::failed(err));
                    }
                    continue;
                }
                None if state.inflating == 0 && state.ready.is_empty() => return None,
                _ => {}
            }
            state = self
                .news
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Inflates a file to its end.
    fn inflate(&self, first: Place) {
        if let Some(file) = file_of(self.plan, first) {
            let (read, step) = (&self.options.read, self.options.chunk);
            inflate(file, read, step, self.on_their_way, self.stop, |part| {
                let mut state = self.lock();
                if self.stop.load(Ordering::Relaxed) {
                    return false;
                }
                let chunk = part.index;
                state.ready.insert(Place { chunk, ..first }, part);
                self.news.notify_all();
                true
            });
        }
        self.lock().inflating -= 1;
        self.news.notify_all();
    }

    /// Takes what was made.
    pub(super) fn done(&self, place: Place, piece: Piece) {
        self.lock().absorb(place, piece, self.options);
        self.news.notify_all();
    }

    /// All that was found.
    pub(super) fn into_summary(self) -> Summary {
        let mut state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // After an early stop pieces may wait for ones that were never read.
        for (place, piece) in std::mem::take(&mut state.waiting) {
            state.take(place.stream, piece, self.options);
        }
        let mut summary = state.summary;
        let words = self.options.grep.iter().zip(state.grep);
        summary.grep = words
            .map(|(word, lines)| GrepCount {
                word: word.clone(),
                lines,
            })
            .collect();
        summary
    }
}

impl State {
    fn is_due(&self, place: Place) -> bool {
        self.due.get(place.stream) == Some(&(place.file, place.chunk))
    }

    /// Absorbs a piece, and those that waited for it.
    fn absorb(&mut self, mut place: Place, piece: Piece, options: &ScanOptions) {
        if !self.is_due(place) {
            self.waiting.insert(place, piece);
            return;
        }
        let mut next = Some(piece);
        while let Some(piece) = next {
            (place.file, place.chunk) = match piece.last {
                true => (place.file + 1, 0),
                false => (place.file, place.chunk + 1),
            };
            self.take(place.stream, piece, options);
            next = self.waiting.remove(&place);
        }
        if let Some(due) = self.due.get_mut(place.stream) {
            *due = (place.file, place.chunk);
        }
    }

    fn take(&mut self, stream: usize, piece: Piece, options: &ScanOptions) {
        if let Some(into) = self.summary.streams.get_mut(stream) {
            stitch::absorb(into, piece.stream, TimeFilter::new(options));
        }
        for (into, add) in self.grep.iter_mut().zip(piece.grep) {
            *into += add;
        }
    }
}

fn file_of(plan: &Plan, place: Place) -> Option<&LogFile> {
    plan.streams.get(place.stream)?.files.get(place.file)
}

fn items(plan: &Plan, options: &ScanOptions) -> Vec<Item> {
    let mut items = Vec::new();
    for (stream, of_stream) in plan.streams.iter().enumerate() {
        for (file, log) in of_stream.files.iter().enumerate() {
            let place = |chunk| Place {
                stream,
                file,
                chunk,
            };
            if is_in_parts(log, &options.read) {
                items.push(Item::Parts(place(0)));
                continue;
            }
            let chunks = match options.chunk {
                Some(length) => chunks_of(log, length),
                None => chunks(log),
            };
            items.extend(
                chunks
                    .into_iter()
                    .map(|chunk| Item::Chunk(place(chunk.index), chunk)),
            );
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::super::scan;
    use super::*;
    use crate::logs::reader::ReadOptions;

    fn slow(n: u32) -> String {
        let ms = n % 60_000;
        format!(
            "{{\"level\":\"warn\",\"ts\":\"2026-11-01T0{}:{:02}:{:02}.{:03}Z\",\"caller\":\"txn/util.go:93\",\"msg\":\"apply request took too long\",\"took\":\"{}ms\",\"expected-duration\":\"100ms\",\"prefix\":\"read-only range \",\"request\":\"key:\\\"/registry/pods/a/p{n}\\\" \",\"response\":\"range_response_count:1 size:615\"}}\n",
            n / 3_600_000 % 10,
            n / 60_000 % 60,
            ms / 1000,
            ms % 1000,
            100 + n % 900,
        )
    }

    /// A rotated set of compressed files with the live one, and another node's.
    fn tree(dir: &std::path::Path) -> Plan {
        for (node, seed) in [("a", 0), ("b", 7)] {
            let folder = dir.join(node);
            fs::create_dir(&folder).unwrap();
            for file in 0..4_u32 {
                let lines = (0..300).map(|n| slow((file * 300 + n) * 1000 + seed));
                let text: String = lines.collect();
                if file == 3 {
                    fs::write(folder.join("etcd.log"), text).unwrap();
                    continue;
                }
                let name = folder.join(format!("etcd.log.{}.gz", 3 - file));
                let out = fs::File::create(name).unwrap();
                let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                out.write_all(text.as_bytes()).unwrap();
                out.finish().unwrap();
            }
        }
        crate::logs::input::plan(&[dir.to_owned()], &crate::target::HostRoot::new("/"), None)
    }

    #[test]
    fn any_number_of_threads_and_any_parts_give_one_result() {
        let dir = tempfile::tempdir().unwrap();
        let plan = tree(dir.path());
        let read = |threads, chunk, buffer| {
            let options = ScanOptions {
                threads,
                chunk,
                grep: vec!["pods".to_owned()],
                read: ReadOptions {
                    buffer,
                    ..ReadOptions::default()
                },
                ..ScanOptions::default()
            };
            let summary = scan(&plan, &options, &AtomicBool::new(false));
            assert_eq!(summary.grep[0].lines, 2400);
            serde_json::to_string(&summary).unwrap()
        };
        let whole = read(1, None, 256 << 10);
        assert!(whole.len() > 1000, "{whole}");
        for threads in [1, 2, 3, 16] {
            for chunk in [Some(500), Some(9_000), None] {
                for buffer in [1 << 10, 64 << 10] {
                    let found = read(threads, chunk, buffer);
                    assert_eq!(found, whole, "{threads} {chunk:?} {buffer}");
                }
            }
        }
    }

    #[test]
    fn a_scan_that_is_to_stop_ends() {
        let dir = tempfile::tempdir().unwrap();
        let plan = tree(dir.path());
        let options = ScanOptions {
            threads: 2,
            chunk: Some(500),
            ..ScanOptions::default()
        };
        let summary = scan(&plan, &options, &AtomicBool::new(true));
        assert!(summary.interrupted);
    }
}
