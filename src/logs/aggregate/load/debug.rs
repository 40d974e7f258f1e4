//! Request stats at debug level, where etcd writes a line of every request and not only of slow ones.
//!
//! Whether a log holds every request is told by them, but only for the time in which they stand
//! there: the level may have been changed in between. And zap samples them as it does any other message.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::aggregate::sampling::{Begin, Estimate, Sampled, Writers};
use crate::logs::aggregate::spark::Spark;

use super::line::Writer;

/// A log is at debug level when of so many buckets with requests at most one has no debug line: in
/// a long stall every request may be a slow one.
const BUCKETS: usize = 20;

/// Lines of one stream about requests at debug level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DebugLines {
    /// Lines of a writer without a name.
    sampled: Sampled,
    /// Lines of each writer that has one.
    #[serde(default, skip_serializing_if = "Writers::is_empty")]
    writers: Writers,
    /// When they were written.
    spark: Spark,
}

impl DebugLines {
    pub(super) fn is_empty(&self) -> bool {
        self.spark.start().is_none()
    }

    /// Adds the next line.
    pub(super) fn add(&mut self, time: Option<Timestamp>, writer: Writer) {
        let Some(at) = time else {
            return;
        };
        self.spark.add(at, &1);
        match writer {
            Writer { samples: false, .. } => {}
            Writer { id: 0, .. } => self.sampled.add(at.0),
            Writer { id, .. } => {
                self.writers.add(id, 0, at.0);
            }
        }
    }

    /// See [`Sampled::lay`].
    pub(super) fn lay(&mut self) {
        self.sampled.lay();
        self.writers.lay();
    }

    /// Adds those of the piece that came right after this one.
    pub(super) fn absorb(&mut self, later: DebugLines) {
        self.sampled.absorb(later.sampled);
        self.writers.absorb(later.writers);
        self.spark.merge(&later.spark);
    }

    /// How many writers there are.
    pub(super) fn count(&self) -> usize {
        self.writers.count() + usize::from(!self.sampled.is_empty())
    }

    /// How many there were before they were sampled.
    pub(super) fn estimate(&self, begin: &Begin) -> Estimate {
        let mut all = self.writers.estimate(0, begin);
        all.add(&self.sampled.estimate(begin));
        all
    }

    /// Whether they stand beside all these requests, so that the level was debug all the time.
    pub(super) fn cover(&self, requests: &Spark) -> bool {
        let width = i64::try_from(requests.width_secs().saturating_mul(1_000_000)).unwrap_or(1);
        let own = i64::try_from(self.spark.width_secs().saturating_mul(1_000_000)).unwrap_or(1);
        let mut debug = BTreeSet::new();
        for (start, _) in self.spark.iter().filter(|(_, lines)| **lines > 0) {
            let first = start.0.div_euclid(width);
            debug.extend(first..=(start.0.saturating_add(own) - 1).div_euclid(width));
        }
        let (with, without): (Vec<_>, Vec<_>) = requests
            .iter()
            .filter(|(_, requests)| **requests > 0)
            .partition(|(start, _)| debug.contains(&start.0.div_euclid(width)));
        !with.is_empty() && without.len() * BUCKETS <= with.len()
    }
}
