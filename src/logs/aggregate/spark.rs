//! Values over time in a bounded number of buckets: a minute wide at first, doubling as the span
//! grows.
//!
//! Buckets start at multiples of their width since the epoch, and the width is the smallest that
//! fits the span, so the result depends on the values alone and not on their order.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Most buckets kept.
pub const BUCKETS: usize = 120;
/// Width of a bucket at first.
const MINUTE_US: i64 = 60_000_000;

/// How two values of one bucket become one.
pub trait BucketValue: Clone + Default {
    /// Adds `other`.
    fn add(&mut self, other: &Self);
}

impl BucketValue for u64 {
    fn add(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

/// Buckets over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    try_from = "Saved<V>",
    bound(serialize = "V: Serialize", deserialize = "V: Deserialize<'de>")
)]
pub struct Grid<V> {
    /// The width is a minute times two to this power.
    doublings: u32,
    /// Number of the first bucket since the epoch.
    first: i64,
    buckets: VecDeque<V>,
}

/// A grid as a file holds it: whoever wrote the file may have written anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<V> {
    doublings: u32,
    first: i64,
    buckets: VecDeque<V>,
}

impl<V> TryFrom<Saved<V>> for Grid<V> {
    type Error = String;

    fn try_from(saved: Saved<V>) -> Result<Self, String> {
        if saved.buckets.len() > BUCKETS {
            return Err(format!(
                "counts over time: {} `buckets` where {BUCKETS} are the most",
                saved.buckets.len()
            ));
        }
        // All minutes that a time can have are fewer than that, so no span needs wider buckets.
        let minutes = i64::MAX / MINUTE_US;
        let widest = (minutes / BUCKETS as i64).ilog2() + 2;
        let fits = saved.doublings <= widest
            && saved.first.unsigned_abs() <= minutes.unsigned_abs() >> saved.doublings;
        if !fits {
            return Err(format!(
                "counts over time: `first` {} and `doublings` {} are beyond the end of time",
                saved.first, saved.doublings
            ));
        }
        Ok(Grid {
            doublings: saved.doublings,
            first: saved.first,
            buckets: saved.buckets,
        })
    }
}

/// Exact counts over time.
pub type Spark = Grid<u64>;

impl<V> Default for Grid<V> {
    fn default() -> Self {
        Grid {
            doublings: 0,
            first: 0,
            buckets: VecDeque::new(),
        }
    }
}

impl<V: BucketValue> Grid<V> {
    /// Adds a value at a time.
    pub fn add(&mut self, at: Timestamp, value: &V) {
        self.add_minute(minute_of(at), value);
    }

    /// As [`Self::add`], in a minute of which the number is known.
    pub fn add_minute(&mut self, minute: i64, value: &V) {
        let bucket = shift(minute, self.doublings);
        if let Ok(offset) = usize::try_from(bucket - self.first)
            && let Some(slot) = self.buckets.get_mut(offset)
        {
            slot.add(value);
            return;
        }
        self.reserve(bucket, bucket);
        let bucket = shift(minute, self.doublings);
        if let Ok(offset) = usize::try_from(bucket - self.first)
            && let Some(slot) = self.buckets.get_mut(offset)
        {
            slot.add(value);
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if other.buckets.is_empty() {
            return;
        }
        while self.doublings < other.doublings {
            self.widen();
        }
        let scale = self.doublings - other.doublings;
        let last = other.first + len(&other.buckets) - 1;
        self.reserve(shift(other.first, scale), shift(last, scale));
        let scale = self.doublings - other.doublings;
        for (at, value) in (other.first..).zip(&other.buckets) {
            if let Ok(offset) = usize::try_from(shift(at, scale) - self.first)
                && let Some(slot) = self.buckets.get_mut(offset)
            {
                slot.add(value);
            }
        }
    }

    /// Width of a bucket in seconds.
    pub fn width_secs(&self) -> u64 {
        self.width_us().unsigned_abs() / 1_000_000
    }

    /// Start of the first bucket, or `None` when empty.
    pub fn start(&self) -> Option<Timestamp> {
        (!self.buckets.is_empty()).then(|| Timestamp(self.first.saturating_mul(self.width_us())))
    }

    /// The buckets with their start, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &V)> {
        let width = self.width_us();
        (self.first..)
            .zip(&self.buckets)
            .map(move |(at, value)| (Timestamp(at.saturating_mul(width)), value))
    }

    fn width_us(&self) -> i64 {
        MINUTE_US << self.doublings
    }

    /// Makes room for buckets `low..=high` of the present width, widening as needed.
    fn reserve(&mut self, mut low: i64, mut high: i64) {
        loop {
            let (least, most) = if self.buckets.is_empty() {
                (low, high)
            } else {
                (
                    low.min(self.first),
                    high.max(self.first + len(&self.buckets) - 1),
                )
            };
            if most - least < BUCKETS as i64 {
                if self.buckets.is_empty() {
                    self.first = least;
                }
                while self.first > least {
                    self.buckets.push_front(V::default());
                    self.first -= 1;
                }
                while self.first + len(&self.buckets) <= most {
                    self.buckets.push_back(V::default());
                }
                return;
            }
            self.widen();
            (low, high) = (low.div_euclid(2), high.div_euclid(2));
        }
    }

    fn widen(&mut self) {
        let first = self.first.div_euclid(2);
        let mut wide: VecDeque<V> = VecDeque::new();
        for (at, value) in (self.first..).zip(&self.buckets) {
            let offset = usize::try_from(at.div_euclid(2) - first).unwrap_or(usize::MAX);
            if offset >= wide.len() {
                wide.push_back(V::default());
            }
            if let Some(slot) = wide.back_mut() {
                slot.add(value);
            }
        }
        self.first = first;
        self.buckets = wide;
        self.doublings += 1;
    }
}

/// Number of the minute since the epoch.
pub fn minute_of(at: Timestamp) -> i64 {
    at.0.div_euclid(MINUTE_US)
}

fn len<V>(buckets: &VecDeque<V>) -> i64 {
    i64::try_from(buckets.len()).unwrap_or(i64::MAX)
}

fn shift(bucket: i64, doublings: u32) -> i64 {
    // An arithmetic shift rounds down, as `div_euclid` by two does.
    bucket >> doublings
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(times: &[i64]) -> Spark {
        let mut spark = Spark::default();
        for t in times {
            spark.add(Timestamp(*t * 1_000_000), &1);
        }
        spark
    }

    #[test]
    fn the_width_doubles_and_no_count_is_lost() {
        let spark = of(&[0, 59, 60, 3600 * 24]);
        assert_eq!(spark.iter().map(|(_, n)| n).sum::<u64>(), 4);
        // 24 h in at most 120 buckets: 16 minutes each (8 minutes would need 181).
        assert_eq!(spark.width_secs(), 16 * 60);
    }

    proptest! {
        #[test]
        fn order_and_cuts_do_not_matter(
            times in prop::collection::vec(-10_000_000i64..2_000_000_000, 0..40),
            cut in 0usize..40,
        ) {
            let cut = cut.min(times.len());
            let mut merged = of(&times[..cut]);
            merged.merge(&of(&times[cut..]));
            let mut reversed = times.clone();
            reversed.reverse();
            prop_assert_eq!(&merged, &of(&times));
            prop_assert_eq!(&merged, &of(&reversed));
            prop_assert_eq!(merged.iter().map(|(_, n)| n).sum::<u64>(), times.len() as u64);
        }
    }
}
