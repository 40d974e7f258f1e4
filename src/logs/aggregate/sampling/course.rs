//! Ways to lay zap's windows over the lines of a log, and what each comes to.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Estimate, INITIAL, THEREAFTER, TICK_US};

/// Windows at a course's begin whose lines are kept: what the lines before them stand for is told by these.
const FIRSTS: usize = 3;

/// Windows that are enough to tell courses apart.
const ENOUGH: u64 = 10;
/// A course is laid wrong if its windows stray so many times as far as those of the steadiest, squared. Laid wrong, a
/// steady flood strays much more: a line that is taken for a hundredth counts 100 times. A flood of bursts strays by itself, but
/// so it does in all its courses: in simulations (`tests.rs`) of such floods 16 was enough to lose none, 9 was not.
const WILD: f64 = 25.0;
/// The variance of a count that is known to half a hundred.
const BLUR: f64 = 2500.0;

/// What windows come to. Two tallies put one behind the other are that of all their windows, however
/// they were cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tally {
    pub(super) closed: Estimate,
    /// Windows.
    windows: u64,
    /// The squares of their values.
    squares: u64,
    /// Most lines of a window.
    pub(super) most: u64,
    /// Lines of the first windows.
    firsts: [u64; FIRSTS],
}

impl Tally {
    fn close(&mut self, lines: u64, window_us: i64) {
        let window = Estimate::of_window(lines, window_us % 1000 == 0);
        self.append(&Tally {
            closed: window,
            windows: 1,
            squares: window.value.saturating_mul(window.value),
            most: lines,
            firsts: [lines, 0, 0],
        });
    }

    /// Puts later windows behind these.
    pub(super) fn append(&mut self, later: &Tally) {
        self.closed.add(&later.closed);
        let had = usize::try_from(self.windows).unwrap_or(FIRSTS);
        for (slot, lines) in self.firsts.iter_mut().skip(had).zip(later.firsts) {
            *slot = lines;
        }
        self.windows = self.windows.saturating_add(later.windows);
        self.squares = self.squares.saturating_add(later.squares);
        self.most = self.most.max(later.most);
    }

    /// How much the windows differ.
    pub(super) fn spread(&self) -> Spread {
        let windows = self.windows.max(1) as f64;
        let mean = self.closed.value as f64 / windows;
        Spread {
            windows: self.windows,
            variance: (self.squares as f64 / windows - mean * mean).max(0.0),
        }
    }

    /// What the lines before these windows stand for, which belong to a window of which the log does not
    /// show the begin. Each may be a hundredth, and up to 99 records may be hidden before the first one: but only
    /// in a flood that goes on, and that was hardly greater than right after.
    pub(super) fn before(&self, lines: u64, span_us: i64) -> Estimate {
        let fullest = self.firsts.iter().copied().max().unwrap_or(0);
        if fullest < INITIAL {
            return Estimate::exact(lines);
        }
        let flood = Estimate::of_window(fullest, false);
        let high = lines
            .saturating_mul(THEREAFTER)
            .saturating_add(THEREAFTER - 1)
            .min(flood.high.max(lines));
        let share = span_us.clamp(0, TICK_US).unsigned_abs();
        let value = flood.low.saturating_mul(share) / TICK_US.unsigned_abs();
        Estimate {
            lines,
            low: lines,
            value: value.clamp(lines, high),
            high,
            sampled_lines: 0,
            full_lines: lines,
        }
    }
}

/// How much the windows of a course differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    windows: u64,
    /// The variance of their values.
    variance: f64,
}

impl Spread {
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        self.variance.total_cmp(&other.variance)
    }

    /// Whether these windows differ so much more than the steadiest that they are laid wrong.
    pub(super) fn is_wilder(&self, steadiest: &Self) -> bool {
        steadiest.windows >= ENOUGH && self.variance > WILD * (steadiest.variance + BLUR)
    }
}

/// Whether a time lies at most `span_us` before another and less than that after it: one comparison
/// for both.
pub(super) fn near(center_us: i64, time_us: i64, span_us: i64) -> bool {
    let since = time_us.wrapping_sub(center_us.wrapping_sub(span_us));
    since.cast_unsigned() < span_us.unsigned_abs() * 2
}

/// An open window, of all courses that have come to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Path {
    /// Start of the first of its courses.
    pub(super) id: u64,
    /// Start of the window, and the number of the line that starts it.
    pub(super) window_us: i64,
    pub(super) first: u64,
    /// The windows since its courses are on one path.
    pub(super) tally: Tally,
}

impl Path {
    pub(super) fn starting(first: u64, window_us: i64) -> Self {
        Path {
            id: first,
            window_us,
            first,
            tally: Tally::default(),
        }
    }

    /// Whether a line belongs to the window.
    pub(super) fn holds(&self, time_us: i64) -> bool {
        near(self.window_us, time_us, TICK_US)
    }

    /// Ends the window before a line.
    pub(super) fn close(&mut self, line: u64) {
        self.tally
            .close(line.saturating_sub(self.first), self.window_us);
    }

    /// Ends the window, and starts one with this line.
    pub(super) fn next_window(&mut self, line: u64, time_us: i64) {
        self.close(line);
        self.first = line;
        self.window_us = time_us;
    }
}

/// One way to lay the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Course {
    /// Number of the line that starts the first window.
    pub(super) start: u64,
    /// Its windows until it came to its path.
    pub(super) tally: Tally,
    /// The path it is on.
    pub(super) path: u64,
}

impl Course {
    pub(super) fn starting(start: u64) -> Self {
        Course {
            start,
            tally: Tally::default(),
            path: start,
        }
    }
}
