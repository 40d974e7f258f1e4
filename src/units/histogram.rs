//! A latency histogram of a few KiB with a stated error, made to be merged.
//!
//! Log-linear: 16 buckets an octave over whole microseconds, so that a quantile is known to
//! within 1/16 (6.25 %) of its value. Merging adds counts, hence it is associative, commutative
//! and exact in the counts.

use serde::{Deserialize, Serialize};

const SUB_BITS: u32 = 4;
const SUB: u64 = 1 << SUB_BITS;
/// Buckets there are: the last octave of microseconds in 64 bits ends the axis.
const BUCKETS: usize = (63 - SUB_BITS as usize + 2) << SUB_BITS;

/// Counts of durations in log-linear buckets; count, sum, minimum and maximum are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct LogHistogram {
    /// Number of the first bucket kept.
    first: usize,
    /// Bucket counts from there on: no zeros at either end, so that few values take little room.
    counts: Vec<u64>,
    count: u64,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

/// A histogram as a file holds it: whoever wrote the file may have written anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    #[serde(default)]
    first: usize,
    counts: Vec<u64>,
    count: u64,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

impl TryFrom<Saved> for LogHistogram {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        let end = saved.first.checked_add(saved.counts.len());
        if end.is_none_or(|end| end > BUCKETS) {
            return Err(format!(
                "histogram: `first` {} and {} `counts` go beyond its {BUCKETS} buckets",
                saved.first,
                saved.counts.len()
            ));
        }
        let sum = saved
            .counts
            .iter()
            .try_fold(0_u64, |sum, n| sum.checked_add(*n));
        if sum != Some(saved.count) {
            return Err(format!(
                "histogram: its `counts` do not add up to its `count` {}",
                saved.count
            ));
        }
        if saved.min_ns > saved.max_ns {
            return Err("histogram: its `min_ns` is above its `max_ns`".to_owned());
        }
        Ok(LogHistogram {
            first: saved.first,
            counts: saved.counts,
            count: saved.count,
            sum_ns: saved.sum_ns,
            min_ns: saved.min_ns,
            max_ns: saved.max_ns,
        })
    }
}

/// Where a duration falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(usize);

impl Bucket {
    /// The bucket of a duration in nanoseconds.
    pub fn of_ns(ns: u64) -> Self {
        Bucket(bucket_of(ns / 1_000))
    }
}

/// Where a value falls: below 16 µs one bucket a microsecond, above 16 buckets an octave.
fn bucket_of(us: u64) -> usize {
    let bucket = if us < SUB {
        us
    } else {
        let octave = u64::from(us.ilog2() - SUB_BITS);
        (octave + 1) * SUB + ((us >> octave) - SUB)
    };
    // Below `BUCKETS`, so it fits.
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The microseconds `[low, high)` a bucket covers.
fn bounds_of(bucket: usize) -> (u64, u64) {
    let bucket = bucket as u64;
    if bucket < SUB {
        return (bucket, bucket + 1);
    }
    let octave = bucket / SUB - 1;
    let low = (bucket % SUB + SUB) << octave;
    (low, low.saturating_add(1 << octave))
}

impl LogHistogram {
    /// Relative error of a quantile: the width of a bucket.
    pub const RELATIVE_ERROR: f64 = 1.0 / SUB as f64;

    /// Adds one duration.
    pub fn record_ns(&mut self, ns: u64) {
        self.record(ns, Bucket::of_ns(ns));
    }

    /// As [`Self::record_ns`], where the bucket is known already: one value often goes into
    /// several histograms.
    #[inline]
    pub fn record(&mut self, ns: u64, Bucket(bucket): Bucket) {
        match self.counts.get_mut(bucket.wrapping_sub(self.first)) {
            Some(slot) => *slot += 1,
            None => {
                self.reserve(bucket, bucket);
                if let Some(slot) = self.counts.get_mut(bucket - self.first) {
                    *slot += 1;
                }
            }
        }
        self.min_ns = if self.count == 0 {
            ns
        } else {
            self.min_ns.min(ns)
        };
        self.max_ns = self.max_ns.max(ns);
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Makes room for the buckets `low..=high`.
    fn reserve(&mut self, low: usize, high: usize) {
        if self.counts.is_empty() {
            self.first = low;
        } else if low < self.first {
            let more = self.first - low;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = low;
        }
        let len = high + 1 - self.first;
        if len > self.counts.len() {
            self.counts.resize(len, 0);
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.reserve(other.first, other.first + other.counts.len().max(1) - 1);
        let at = other.first - self.first;
        for (slot, add) in self.counts.iter_mut().skip(at).zip(&other.counts) {
            *slot = slot.saturating_add(*add);
        }
        self.min_ns = if self.count == 0 {
            other.min_ns
        } else {
            self.min_ns.min(other.min_ns)
        };
        self.max_ns = self.max_ns.max(other.max_ns);
        self.count = self.count.saturating_add(other.count);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// How many durations were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their exact sum in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The exact largest, or `None` when empty.
    pub fn max_ns(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max_ns)
    }

    /// The exact smallest, or `None` when empty.
    pub fn min_ns(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min_ns)
    }

    /// The exact mean, or `None` when empty.
    pub fn mean_ns(&self) -> Option<u64> {
        (self.count > 0).then(|| self.sum_ns / self.count)
    }

    /// The bracket `[low, high]` in nanoseconds that holds the quantile `q` in 0..=1
    /// (nearest rank), or `None` when empty. Never wider than a bucket, and cut to the exact
    /// minimum and maximum.
    pub fn quantile_bracket_ns(&self, q: f64) -> Option<(u64, u64)> {
        if self.count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "q is clamped to 0..=1, so the rank is between 0 and count"
        )]
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0_u64;
        for (bucket, n) in self.counts.iter().enumerate() {
            seen = n.saturating_add(seen);
            if seen >= rank {
                let (low, high) = bounds_of(self.first + bucket);
                let low = low.saturating_mul(1_000).max(self.min_ns);
                let high = high.saturating_mul(1_000).min(self.max_ns);
                return Some((low.min(high), high));
            }
        }
        Some((self.max_ns, self.max_ns))
    }

    /// One number for a table: the upper end of the bracket, so that a limit is never passed
    /// by rounding down.
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        self.quantile_bracket_ns(q).map(|(_, high)| high)
    }

    /// Non-empty buckets as `(low_ns, high_ns, count)`.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, n)| **n > 0)
            .map(|(bucket, n)| {
                let (low, high) = bounds_of(self.first + bucket);
                (low.saturating_mul(1_000), high.saturating_mul(1_000), *n)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_tile_the_axis() {
        let mut expected = 0;
        for bucket in 0..600 {
            let (low, high) = bounds_of(bucket);
            assert_eq!(low, expected, "bucket {bucket}");
            assert_eq!(bucket_of(low), bucket);
            assert_eq!(bucket_of(high - 1), bucket);
            expected = high;
        }
    }

    #[test]
    fn what_no_duration_makes_is_refused_with_its_field() {
        let load = |text: &str| serde_json::from_str::<LogHistogram>(text);
        let forged = |first: &str, counts: &str, count: &str, min: u64| {
            let text = format!(
                r#"{{"first":{first},"counts":{counts},"count":{count},"sum_ns":9,"min_ns":{min},"max_ns":9}}"#
            );
            load(&text).map(|_| ()).unwrap_err().to_string()
        };
        for first in [
            "4000000000",
            "4611686018427387904",
            "18446744073709551615",
            "976",
        ] {
            let why = forged(first, "[1]", "1", 0);
            assert!(why.contains("`first`"), "{why}");
        }
        for (counts, count) in [("[1,2]", "4"), ("[18446744073709551615,1]", "0")] {
            let why = forged("0", counts, count, 0);
            assert!(why.contains("`count`"), "{why}");
        }
        assert!(forged("0", "[1]", "1", 10).contains("`min_ns`"));
        let honest = of(&[0, 5_000, u64::MAX]);
        let text = serde_json::to_string(&honest).unwrap();
        assert_eq!(load(&text).unwrap(), honest);
        // The fullest that can be read: merging it with itself ends nothing.
        let full = r#"{"counts":[18446744073709551615],"count":18446744073709551615,"sum_ns":9,"min_ns":9,"max_ns":9}"#;
        let mut full = load(full).unwrap();
        full.merge(&full.clone());
        assert_eq!(full.count(), u64::MAX);
        assert_eq!(full.quantile_ns(0.5), Some(9));
    }

    fn of(values: &[u64]) -> LogHistogram {
        let mut histogram = LogHistogram::default();
        for v in values {
            histogram.record_ns(*v);
        }
        histogram
    }

    proptest! {
        #[test]
        fn the_bracket_holds_the_true_quantile(
            mut values in prop::collection::vec(0u64..50_000_000_000, 1..200),
            q in 0.0f64..=1.0,
        ) {
            let histogram = of(&values);
            values.sort_unstable();
            // Nearest rank, found by counting instead of by rounding.
            let least = q * values.len() as f64;
            let rank = (1..values.len()).find(|rank| *rank as f64 >= least).unwrap_or(values.len());
            let truth = values[rank - 1];
            let (low, high) = histogram.quantile_bracket_ns(q).expect("not empty");
            prop_assert!(low <= truth && truth <= high, "{low} <= {truth} <= {high}");
        }

        #[test]
        fn merging_equals_recording_all(
            a in prop::collection::vec(0u64..u64::MAX / 1000, 0..50),
            b in prop::collection::vec(0u64..u64::MAX / 1000, 0..50),
        ) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let all: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(merged, of(&all));
        }
    }
}
