//! Undoes zap's sampling: how many records stood behind the lines of one message.
//!
//! etcd's zap logger writes, per second and per (level, message), the first 100 records and then
//! every 100th (zap: zapcore/sampler.go; etcd: client/pkg/logutil/zap.go). A window starts with
//! the first record after the last window's end, and that record is always written. So a window with
//! `100 + k` lines stands for `100 + 100 k` to `199 + 100 k` records, one with fewer for as many as there are.
//!
//! A line from more than a second before its window is another log's, put behind this one, or was
//! moved by an export: it starts a window too. Lines that are a little out of order stay in theirs.
//!
//! Where a window starts depends on the one before. Who begins to read in the middle of a flood (the
//! piece before was rotated away, `tail`, `--since`) does not know where the window that was open then ends:
//! any line of the first second may start the next one, and each choice is a course through the
//! whole log. The first lines that belong to the open window may be singles or hundredths. The range is that of
//! all courses; the best number is that of the course whose windows differ least, as those of a flood laid wrong
//! jump between few and many lines. Where the log shows the second before the first line, or
//! the start of the program, the first line starts a window and one course is left ([`Begin`]).
//!
//! For the same reason a piece of a log keeps the times of its first lines and the outcome of each
//! course; joining two pieces picks the one that fits. Courses that start a window with the same line are one from
//! there on (a path): all of them after a quiet second, most of them soon in a flood.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

mod begin;
mod course;
mod estimate;

pub use begin::Begin;
use course::{Course, Path, Spread, Tally, near};
pub use estimate::Estimate;

/// Length of zap's window (etcd: zap.SamplingConfig, tick of one second).
const TICK_US: i64 = 1_000_000;
/// Records of a window that are all written (etcd: Initial: 100).
const INITIAL: u64 = 100;
/// After that, one of so many is written (etcd: Thereafter: 100).
const THEREAFTER: u64 = 100;
/// Most lines of a window that sampling can explain: more would mean over 20 000 slow requests
/// a second, so a log with such a window was not sampled.
const MOST_LINES: u64 = 300;
/// Times kept of a piece's first lines.
const MAX_HEAD: usize = 512;
/// Lines that wait to be laid, at most.
const MAX_RAW: usize = 65_536;
/// Room for lines that are not laid yet.
const ROOM: usize = 8192;

/// Lines of one message that goes through zap's sampler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// Lines not yet laid into windows, in order. A piece that is soon absorbed needs no windows.
    #[serde(skip)]
    raw: Vec<i64>,
    /// Lines laid into windows.
    total: u64,
    /// Times of the lines that may belong to a window of an earlier piece, as the first one may:
    /// those of the two seconds before and after it.
    head: Vec<i64>,
    /// By rising start; the first one starts with the first line.
    courses: Vec<Course>,
    /// The open windows, by rising time.
    paths: VecDeque<Path>,
}

impl Sampled {
    /// Adds the next line.
    pub fn add(&mut self, time_us: i64) {
        if self.raw.capacity() == 0 {
            self.raw.reserve(ROOM);
        }
        self.push(time_us);
    }

    /// As [`Self::add`], without room made beforehand.
    fn push(&mut self, time_us: i64) {
        self.raw.push(time_us);
        if self.raw.len() > MAX_RAW {
            self.lay();
        }
    }

    /// Lays the lines added so far into windows.
    pub fn lay(&mut self) {
        for time_us in std::mem::take(&mut self.raw) {
            self.lay_line(time_us);
        }
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.total == 0 && self.raw.is_empty()
    }

    fn lay_line(&mut self, time_us: i64) {
        let index = self.total;
        self.total += 1;
        self.reopen(index, time_us);
        if self.head.len() as u64 == index {
            self.courses.push(Course::starting(index));
            self.open(Path::starting(index, time_us));
            if self.in_head(time_us) {
                self.head.push(time_us);
            }
        }
    }

    /// Lets the windows that do not hold a line end before it; from there on their paths are one.
    fn reopen(&mut self, index: u64, time_us: i64) {
        let mut opened: Option<Path> = None;
        // They are in order, so those in between hold it if both ends do.
        while let Some(mut path) = match (self.paths.front(), self.paths.back()) {
            (Some(first), _) if !first.holds(time_us) => self.paths.pop_front(),
            (_, Some(last)) if !last.holds(time_us) => self.paths.pop_back(),
            _ => None,
        } {
            path.next_window(index, time_us);
            opened = Some(match opened {
                Some(other) => self.join(other, path),
                None => path,
            });
        }
        if let Some(path) = opened {
            self.open(path);
        }
    }

    /// Two paths that go on alike: what they came to so far is put down with their courses.
    fn join(&mut self, mut one: Path, other: Path) -> Path {
        for course in &mut self.courses {
            if course.path == one.id {
                course.tally.append(&one.tally);
            } else if course.path == other.id {
                course.tally.append(&other.tally);
                course.path = one.id;
            }
        }
        one.tally = Tally::default();
        one
    }

    /// Puts a path in its place.
    fn open(&mut self, path: Path) {
        if self
            .paths
            .back()
            .is_none_or(|last| last.window_us <= path.window_us)
        {
            self.paths.push_back(path);
        } else {
            let at = self
                .paths
                .partition_point(|known| known.window_us <= path.window_us);
            self.paths.insert(at, path);
        }
    }

    /// Whether a line right after the head belongs to it.
    fn in_head(&self, time_us: i64) -> bool {
        self.head.len() < MAX_HEAD
            && self
                .head
                .first()
                .is_none_or(|first| near(*first, time_us, 2 * TICK_US))
    }

    /// Adds the piece that came right after this one.
    pub fn absorb(&mut self, later: Sampled) {
        self.lay();
        if later.total == 0 {
            self.raw = later.raw;
            self.lay();
            return;
        }
        if self.total == 0 {
            *self = later;
            return;
        }
        if later.head.len() as u64 == later.total {
            // All its lines are known.
            for time_us in later.head.into_iter().chain(later.raw) {
                self.lay_line(time_us);
            }
            return;
        }
        let offset = self.total;
        for mut path in std::mem::take(&mut self.paths) {
            let held = later.head.iter().take_while(|time| path.holds(**time));
            let held = held.count() as u64;
            path.close(offset.saturating_add(held));
            let next = later.course_from(held);
            path.tally.append(&next.tally);
            for course in &mut self.courses {
                if course.path == path.id {
                    course.tally.append(&path.tally);
                    course.path = offset.saturating_add(next.path);
                }
            }
        }
        if self.head.len() as u64 == offset {
            // Still within its head: lines of the later piece may start a course too. So may the
            // line after its head: no window holds it and the first line there, so none holds it
            // and the first line here.
            for (index, time_us) in (0..).zip(later.head.iter().map(Some).chain([None])) {
                let next = later.course_from(index);
                self.courses.push(Course {
                    start: offset + index,
                    path: offset.saturating_add(next.path),
                    ..next
                });
                match time_us {
                    Some(time_us) if self.in_head(*time_us) => self.head.push(*time_us),
                    _ => break,
                }
            }
        }
        self.paths = later.paths;
        for path in &mut self.paths {
            path.id = path.id.saturating_add(offset);
            path.first = path.first.saturating_add(offset);
        }
        let courses = &self.courses;
        self.paths
            .retain(|path| courses.iter().any(|course| course.path == path.id));
        self.total = self.total.saturating_add(later.total);
        self.raw = later.raw;
        self.lay();
    }

    /// The course whose first window starts with this line (else the nearest later one, else the
    /// last).
    fn course_from(&self, start: u64) -> Course {
        let at = self.courses.partition_point(|course| course.start < start);
        self.courses
            .get(at)
            .or(self.courses.last())
            .copied()
            .unwrap_or_default()
    }

    /// What a course comes to with its open window as it stands.
    fn whole(&self, course: &Course) -> Tally {
        let mut tally = course.tally;
        if let Some(mut path) = self
            .paths
            .iter()
            .find(|path| path.id == course.path)
            .copied()
        {
            path.close(self.total);
            tally.append(&path.tally);
        }
        tally
    }

    /// The estimate, with the open window as it stands.
    pub fn estimate(&self, begin: &Begin) -> Estimate {
        let mut laid = self.clone();
        laid.lay();
        let Some(first_us) = laid.head.first().copied() else {
            return Estimate::default();
        };
        // No window that was open then reaches further.
        let end_us = begin.before(first_us).saturating_add(TICK_US);
        let known = end_us <= first_us;
        let mut found: Vec<(Estimate, Spread)> = Vec::new();
        let mut least_most = u64::MAX;
        for course in &laid.courses {
            let span_us = match course.start.checked_sub(1) {
                None => 0,
                Some(last) => match usize::try_from(last).ok().and_then(|at| laid.head.get(at)) {
                    Some(last_us) if *last_us < end_us => last_us.saturating_sub(first_us),
                    _ => break,
                },
            };
            let tally = laid.whole(course);
            least_most = least_most.min(tally.most);
            let mut all = tally.closed;
            if !known {
                all.add(&tally.before(course.start, span_us));
            }
            found.push((all, tally.spread()));
        }
        match range_of(&found) {
            Some(range) if least_most <= MOST_LINES => Estimate {
                lines: laid.total,
                ..range
            },
            _ => Estimate::exact(laid.total),
        }
    }
}

/// The range of all courses that may be the true one, with the number of the steadiest.
fn range_of(found: &[(Estimate, Spread)]) -> Option<Estimate> {
    let (best, steadiest) = found.iter().min_by(|(_, one), (_, other)| one.cmp(other))?;
    let likely = found
        .iter()
        .filter(|(_, spread)| !spread.is_wilder(steadiest));
    let mut range = *best;
    for (other, _) in likely {
        range.low = range.low.min(other.low);
        range.high = range.high.max(other.high);
    }
    Some(range)
}

/// Most writers of one stream whose windows are laid.
const MAX_WRITERS: usize = 64;

/// Lines of several writers in one stream: every process has a sampler of its own.
///
/// Where there are too many, those with the highest numbers are given up, and their lines count as
/// they are. So it does not matter in which piece a writer was met first: whoever is among the
/// lowest of all is among the lowest of each piece.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Writers {
    by_id: BTreeMap<u32, [Sampled; KINDS]>,
}

/// Kinds of lines.
const KINDS: usize = 3;

impl Writers {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Adds the next line of a writer and kind; `false` where the writer was given up.
    pub fn add(&mut self, id: u32, kind: usize, time_us: i64) -> bool {
        if let Some(sampled) = self.by_id.get_mut(&id).and_then(|of| of.get_mut(kind)) {
            sampled.push(time_us);
            return true;
        }
        let full = self.by_id.len() >= MAX_WRITERS;
        if full
            && self
                .by_id
                .last_key_value()
                .is_none_or(|(last, _)| *last < id)
        {
            return false;
        }
        if let Some(sampled) = self.by_id.entry(id).or_default().get_mut(kind) {
            sampled.push(time_us);
        }
        self.bound();
        true
    }

    fn bound(&mut self) {
        while self.by_id.len() > MAX_WRITERS {
            self.by_id.pop_last();
        }
    }

    /// See [`Sampled::lay`].
    pub fn lay(&mut self) {
        self.by_id.values_mut().flatten().for_each(Sampled::lay);
    }

    /// Adds the piece that came right after this one.
    pub fn absorb(&mut self, later: Writers) {
        for (id, kinds) in later.by_id {
            match self.by_id.entry(id) {
                Entry::Vacant(none) => {
                    none.insert(kinds);
                }
                Entry::Occupied(mut known) => {
                    for (sampled, add) in known.get_mut().iter_mut().zip(kinds) {
                        sampled.absorb(add);
                    }
                }
            }
        }
        self.bound();
    }

    /// The estimate of all lines of a kind.
    pub fn estimate(&self, kind: usize, begin: &Begin) -> Estimate {
        let mut all = Estimate::default();
        for sampled in self.by_id.values().filter_map(|kinds| kinds.get(kind)) {
            all.add(&sampled.estimate(begin));
        }
        all
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests;
