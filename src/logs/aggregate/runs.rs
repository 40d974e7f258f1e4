//! Episodes: points in time that lie close together are one thing that happened.
//!
//! Points and pieces may come in any order: two belong together when the gap between them is
//! small enough, and that does not depend on who was seen first.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Most episodes kept; with more, the gap that separates two is doubled.
const MAX: usize = 256;

/// Something that happened between two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// First sign; where a sign has a duration, its begin.
    pub from: Timestamp,
    /// Last sign.
    pub to: Timestamp,
    /// How many signs.
    pub count: u64,
    /// The longest duration that a sign named.
    pub max_ns: u64,
    /// A detail of the longest sign, else of the first one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Episodes of one kind, by rising begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    gap_us: i64,
    runs: Vec<Run>,
}

impl Runs {
    /// No episode; signs up to `gap_us` apart are one.
    pub fn new(gap_us: i64) -> Self {
        Runs {
            gap_us,
            runs: Vec::new(),
        }
    }

    /// Adds one sign, or several at once.
    pub fn add(&mut self, run: &Run) {
        // Nearly always the sign continues the last episode.
        if let Some(last) = self.runs.last_mut()
            && run.from >= last.from
            && run.from.since_us(last.to) <= self.gap_us
        {
            join(last, run);
            return;
        }
        self.insert(run.clone());
        while self.runs.len() > MAX {
            self.coarsen();
        }
    }

    /// Adds one sign of one moment, without duration or detail.
    pub fn point(&mut self, at: Timestamp) {
        if let Some(last) = self.runs.last_mut()
            && at >= last.from
            && at.since_us(last.to) <= self.gap_us
        {
            // What `join` does with such a sign.
            last.to = last.to.max(at);
            last.count += 1;
            return;
        }
        self.add(&Run {
            from: at,
            to: at,
            count: 1,
            max_ns: 0,
            detail: String::new(),
        });
    }

    /// Whether the detail of a sign at this time could be kept.
    pub fn shows(&self, at: Timestamp, max_ns: u64) -> bool {
        self.runs.last().is_none_or(|last| {
            at <= last.to
                || at.since_us(last.to) > self.gap_us
                || max_ns > last.max_ns
                || last.detail.is_empty()
        })
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if other.gap_us > self.gap_us {
            self.gap_us = other.gap_us;
            for run in std::mem::take(&mut self.runs) {
                self.insert(run);
            }
        }
        for run in &other.runs {
            self.add(run);
        }
    }

    /// The episodes, by rising begin.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter()
    }

    /// How many episodes there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn insert(&mut self, mut run: Run) {
        // All episodes that the new one touches become one with it.
        let begin = self
            .runs
            .partition_point(|other| run.from.since_us(other.to) > self.gap_us);
        let end = self
            .runs
            .partition_point(|other| other.from.since_us(run.to) <= self.gap_us);
        if begin < end {
            let mut touched = self.runs.drain(begin..end);
            if let Some(mut first) = touched.next() {
                for other in touched {
                    join(&mut first, &other);
                }
                join(&mut first, &run);
                run = first;
            }
        }
        self.runs.insert(begin, run);
    }

    fn coarsen(&mut self) {
        self.gap_us = self.gap_us.saturating_mul(2).max(1);
        for run in std::mem::take(&mut self.runs) {
            self.insert(run);
        }
    }
}

fn join(into: &mut Run, run: &Run) {
    // The longest sign's detail, then the earliest's: independent of the order of merging.
    let theirs = (run.max_ns, std::cmp::Reverse((run.from, &run.detail)));
    let ours = (into.max_ns, std::cmp::Reverse((into.from, &into.detail)));
    if (into.detail.is_empty() || theirs > ours) && !run.detail.is_empty() {
        into.detail.clone_from(&run.detail);
    }
    into.from = into.from.min(run.from);
    into.to = into.to.max(run.to);
    into.count += run.count;
    into.max_ns = into.max_ns.max(run.max_ns);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: i64) -> Run {
        Run {
            from: Timestamp::from_secs(secs),
            to: Timestamp::from_secs(secs),
            count: 1,
            max_ns: 0,
            detail: String::new(),
        }
    }

    fn of(times: &[i64]) -> Runs {
        let mut runs = Runs::new(10_000_000);
        for t in times {
            runs.add(&at(*t));
        }
        runs
    }

    #[test]
    fn twenty_signs_half_a_second_apart_are_one_episode() {
        let mut runs = Runs::new(10_000_000);
        for n in 0..20 {
            let mut sign = at(0);
            sign.from = Timestamp(n * 500_000);
            sign.to = sign.from;
            runs.add(&sign);
        }
        assert_eq!(runs.len(), 1);
        assert_eq!(runs.iter().next().unwrap().count, 20);
        assert_eq!(of(&[0, 10, 20, 31]).len(), 2);
    }

    #[test]
    fn more_episodes_than_the_bound_become_coarser_and_none_is_lost() {
        let times: Vec<i64> = (0..2000).map(|n| n * 60).collect();
        let runs = of(&times);
        assert!(runs.len() <= MAX);
        assert_eq!(runs.iter().map(|run| run.count).sum::<u64>(), 2000);
    }

    proptest! {
        #[test]
        fn order_and_cuts_do_not_matter(
            times in prop::collection::vec(0i64..500, 0..40),
            cut in 0usize..40,
        ) {
            let cut = cut.min(times.len());
            let mut merged = of(&times[..cut]);
            merged.merge(&of(&times[cut..]));
            prop_assert_eq!(&merged, &of(&times));
            let mut sorted = times;
            sorted.sort_unstable();
            prop_assert_eq!(merged, of(&sorted));
        }
    }
}
