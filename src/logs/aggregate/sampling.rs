//! Undoes zap's sampling: how many records stood behind the lines of one message.
//!
//! etcd's zap logger writes, per second and per (level, message), the first 100 records and then
//! every 100th (zap: zapcore/sampler.go; etcd: client/pkg/logutil/zap.go). A window starts with
//! the first record after the last window's end. So a window with `100 + k` lines stands for
//! `100 + 100 k` to `199 + 100 k` records, one with fewer for as many as there are.
//!
//! A line from more than a second before its window is another log's, put behind this one, or was
//! moved by an export: it starts a window too. Lines that are a little out of order stay in theirs.
//!
//! Where a window starts depends on the one before. A piece of a log therefore keeps the times of its first
//! lines and the outcome for each line that may start its first own window (a course); joining
//! two pieces picks the course that fits. Courses become one at the first quiet second. In a steady
//! flood they need not; after `MAX_FOLLOWED` lines they are taken as one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

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
/// Lines after which other outcomes are followed no more.
const MAX_FOLLOWED: u64 = 4096;
/// Room for lines that are not laid yet.
const ROOM: usize = 8192;

/// How many records there were: a range and the best single number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SavedEstimate")]
pub struct Estimate {
    /// Lines read.
    pub lines: u64,
    /// At least so many records.
    pub low: u64,
    /// Best single number.
    pub value: u64,
    /// At most so many.
    pub high: u64,
    /// Lines in windows in which records were left out.
    pub sampled_lines: u64,
    /// Lines in windows that are just full: whether records were left out, they do not tell.
    #[serde(skip_serializing_if = "is_zero")]
    pub full_lines: u64,
}

/// An estimate as a file holds it: whoever wrote the file may have written anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEstimate {
    lines: u64,
    low: u64,
    value: u64,
    high: u64,
    sampled_lines: u64,
    #[serde(default)]
    full_lines: u64,
}

impl TryFrom<SavedEstimate> for Estimate {
    type Error = String;

    fn try_from(saved: SavedEstimate) -> Result<Self, String> {
        if saved.low > saved.value || saved.value > saved.high {
            return Err(format!(
                "estimate of records: its `value` {} is not between its `low` {} and its `high` {}",
                saved.value, saved.low, saved.high
            ));
        }
        Ok(Estimate {
            lines: saved.lines,
            low: saved.low,
            value: saved.value,
            high: saved.high,
            sampled_lines: saved.sampled_lines,
            full_lines: saved.full_lines,
        })
    }
}

fn is_zero(lines: &u64) -> bool {
    *lines == 0
}

impl Estimate {
    /// What a window with so many lines stands for. Stamps cut to milliseconds leave open to which
    /// of two windows the line at their border belongs, and one line is up to 100 records.
    fn of_window(lines: u64, rough: bool) -> Self {
        if lines < INITIAL {
            return Estimate::exact(lines);
        }
        if lines == INITIAL {
            // It may hide up to 99 records more.
            return Estimate {
                value: lines + THEREAFTER / 2,
                high: lines + THEREAFTER - 1,
                full_lines: lines,
                ..Estimate::exact(lines)
            };
        }
        let low = INITIAL + (lines - INITIAL) * THEREAFTER;
        let doubt = if rough { THEREAFTER - 1 } else { 0 };
        Estimate {
            lines,
            low: (low - doubt).max(lines),
            value: low + THEREAFTER / 2,
            high: low + THEREAFTER - 1 + doubt,
            sampled_lines: lines,
            full_lines: 0,
        }
    }

    /// Nothing was left out.
    pub fn exact(lines: u64) -> Self {
        Estimate {
            lines,
            low: lines,
            value: lines,
            high: lines,
            sampled_lines: 0,
            full_lines: 0,
        }
    }

    /// This, and what `now` has more than `then`.
    fn plus_since(&self, now: &Estimate, then: &Estimate) -> Self {
        Estimate {
            lines: self.lines + now.lines.saturating_sub(then.lines),
            low: self.low + now.low.saturating_sub(then.low),
            value: self.value + now.value.saturating_sub(then.value),
            high: self.high + now.high.saturating_sub(then.high),
            sampled_lines: self.sampled_lines
                + now.sampled_lines.saturating_sub(then.sampled_lines),
            full_lines: self.full_lines + now.full_lines.saturating_sub(then.full_lines),
        }
    }

    /// Adds another estimate.
    pub fn add(&mut self, other: &Estimate) {
        self.lines += other.lines;
        self.low += other.low;
        self.value += other.value;
        self.high += other.high;
        self.sampled_lines += other.sampled_lines;
        self.full_lines += other.full_lines;
    }
}

/// One way to lay the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Course {
    /// Number of the line that starts the first window.
    start: u64,
    closed: Estimate,
    /// Most lines of a closed window.
    most: u64,
    /// Start of the open window and its lines.
    window_us: i64,
    lines: u64,
}

impl Course {
    fn starting(start: u64, time_us: i64) -> Self {
        Course {
            start,
            window_us: time_us,
            lines: 1,
            ..Course::default()
        }
    }

    /// Whether a line belongs to the open window.
    fn holds(&self, time_us: i64) -> bool {
        near(self.window_us, time_us, TICK_US)
    }

    fn add(&mut self, time_us: i64) {
        if self.holds(time_us) {
            self.lines += 1;
        } else {
            self.close();
            self.window_us = time_us;
            self.lines = 1;
        }
    }

    fn close(&mut self) {
        let window = Estimate::of_window(self.lines, self.window_us % 1000 == 0);
        self.closed.add(&window);
        self.most = self.most.max(self.lines);
        self.lines = 0;
    }
}

/// Whether a time lies at most `span_us` before another and less than that after it: one comparison
/// for both.
fn near(center_us: i64, time_us: i64, span_us: i64) -> bool {
    let since = time_us.wrapping_sub(center_us.wrapping_sub(span_us));
    since.cast_unsigned() < span_us.unsigned_abs() * 2
}

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
    /// Once all courses lay their windows alike: what the first one had closed then. From there on
    /// only the first one is kept up.
    alike: Option<Estimate>,
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
        if self.raw.len() as u64 > 16 * MAX_FOLLOWED {
            self.lay();
        }
    }

    /// Lays the lines added so far into windows.
    pub fn lay(&mut self) {
        for time_us in std::mem::take(&mut self.raw) {
            self.lay_line(time_us);
        }
    }

    fn lay_line(&mut self, time_us: i64) {
        let index = self.total;
        self.total += 1;
        if self.alike.is_some() {
            if let Some(first) = self.courses.first_mut() {
                first.add(time_us);
            }
            return;
        }
        for course in &mut self.courses {
            course.add(time_us);
        }
        if self.head.len() as u64 == index {
            self.courses.push(Course::starting(index, time_us));
            if self.in_head(time_us) {
                self.head.push(time_us);
            }
        }
        self.settle();
    }

    /// Whether a line right after the head belongs to it.
    fn in_head(&self, time_us: i64) -> bool {
        self.head.len() < MAX_HEAD
            && self
                .head
                .first()
                .is_none_or(|first| near(*first, time_us, 2 * TICK_US))
    }

    /// Stops following the courses once they lay their windows alike.
    fn settle(&mut self) {
        let head_over = (self.head.len() as u64) < self.total;
        let alike = self
            .courses
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if (a.window_us, a.lines) == (b.window_us, b.lines)));
        if head_over && (alike || self.total >= MAX_FOLLOWED) {
            self.alike = self.courses.first().map(|first| first.closed);
        }
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
        let live = if self.alike.is_some() {
            1
        } else {
            self.courses.len()
        };
        for course in self.courses.iter_mut().take(live) {
            let swallowed = later
                .head
                .iter()
                .take_while(|time| course.holds(**time))
                .count();
            course.lines += swallowed as u64;
            course.close();
            let next = later.course_from(swallowed as u64);
            course.closed.add(&next.closed);
            course.most = course.most.max(next.most);
            (course.window_us, course.lines) = (next.window_us, next.lines);
        }
        if self.alike.is_none() && self.head.len() as u64 == offset {
            // Still within its head: lines of the later piece may start a course too. So may the
            // line after its head: no window holds it and the first line there, so none holds it
            // and the first line here.
            for (index, time_us) in (0..).zip(later.head.iter().map(Some).chain([None])) {
                self.courses.push(Course {
                    start: offset + index,
                    ..later.course_from(index)
                });
                match time_us {
                    Some(time_us) if self.in_head(*time_us) => self.head.push(*time_us),
                    _ => break,
                }
            }
        }
        self.total += later.total;
        if self.alike.is_none() {
            self.settle();
        }
        self.raw = later.raw;
        self.lay();
    }

    /// The course whose first window starts with this line (else the nearest later one, else the
    /// last), carried on to the end.
    fn course_from(&self, start: u64) -> Course {
        let at = self.courses.partition_point(|course| course.start < start);
        let (Some(first), Some(course)) = (
            self.courses.first(),
            self.courses.get(at).or(self.courses.last()),
        ) else {
            return Course::default();
        };
        match &self.alike {
            // The first one is kept up itself.
            Some(then) if at > 0 => Course {
                start: course.start,
                closed: course.closed.plus_since(&first.closed, then),
                most: course.most.max(first.most),
                ..*first
            },
            _ => *course,
        }
    }

    /// The estimate, with the open window as it stands.
    pub fn estimate(&self) -> Estimate {
        let mut laid = self.clone();
        laid.lay();
        let Some(mut main) = laid.courses.first().copied() else {
            return Estimate::default();
        };
        main.close();
        if main.most > MOST_LINES {
            return Estimate::exact(laid.total);
        }
        main.closed
    }
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
    pub fn estimate(&self, kind: usize) -> Estimate {
        let mut all = Estimate::default();
        for sampled in self.by_id.values().filter_map(|kinds| kinds.get(kind)) {
            all.add(&sampled.estimate());
        }
        all
    }
}

#[cfg(test)]
mod tests;
