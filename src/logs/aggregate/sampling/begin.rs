//! What a log tells of the time before its first sampled line: whether a window may have been open.

use crate::clock::Timestamp;

use super::TICK_US;

/// What is known of the time before the first line of a message.
#[derive(Clone, Debug, Default)]
pub struct Begin {
    /// From when on the log holds all that was written, of each of its spans.
    spans: Vec<i64>,
    /// The first start of the program: with it the sampler began anew.
    start: Option<i64>,
}

impl Begin {
    /// Of a log with records from these times on, in which its writer starts at these times.
    pub fn new(
        spans: impl Iterator<Item = Timestamp>,
        starts: impl Iterator<Item = Timestamp>,
    ) -> Self {
        Begin {
            spans: spans.map(|at| at.0).collect(),
            start: starts.map(|at| at.0).min(),
        }
    }

    /// The same where several write: the start of one says nothing of the others.
    #[must_use]
    pub fn of_several(mut self) -> Self {
        self.start = None;
        self
    }

    /// The earliest time from which on a window's first line would stand in the log.
    pub(super) fn before(&self, first_us: i64) -> i64 {
        if self.start.is_some_and(|start| start <= first_us) {
            return first_us.saturating_sub(TICK_US);
        }
        let earlier = self.spans.iter().filter(|from| **from <= first_us);
        earlier.max().copied().unwrap_or(first_us)
    }
}
