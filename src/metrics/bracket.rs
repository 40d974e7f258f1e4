//! A histogram between two scrapes, and quantiles of it as brackets.
//!
//! A Prometheus histogram knows in which bucket a quantile lies and nothing more. Interpolation
//! inside the bucket invents a number (fsync buckets are 8 ms and then 16 ms, so "9.3 ms" would
//! be a guess); the bracket `(8, 16]` is what was measured.

/// Counts by bucket, not cumulative, in milliseconds for durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hist {
    /// `(upper bound, count)` by rising bound; the last bound is infinite.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of all values; `None` when the scrape does not tell.
    pub sum: Option<f64>,
}

impl Hist {
    /// From cumulative buckets. `None` when they fall, which no histogram can do.
    pub(super) fn from_cumulative(
        mut cumulative: Vec<(f64, f64)>,
        sum: Option<f64>,
    ) -> Option<Self> {
        cumulative.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut buckets = Vec::with_capacity(cumulative.len());
        let mut before = 0.0;
        for (le, count) in cumulative {
            // Counts are whole numbers below 2^53, so differences are exact.
            let own = count - before;
            if own < 0.0 || !own.is_finite() {
                return None;
            }
            buckets.push((le, own));
            before = count;
        }
        buckets.last().filter(|(le, _)| le.is_infinite())?;
        Some(Hist { buckets, sum })
    }

    /// Number of values.
    pub fn count(&self) -> f64 {
        self.buckets.iter().fold(0.0, |sum, (_, n)| sum + n)
    }

    /// Mean of the values.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0.0).then(|| self.sum.map(|sum| sum / count))?
    }

    /// The bracket `(low, high]` that holds the quantile `q` (nearest rank); `high` is infinite
    /// in the open last bucket. `None` when there is no value.
    pub fn bracket(&self, q: f64) -> Option<(f64, f64)> {
        let count = self.count();
        if count <= 0.0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * count).max(f64::MIN_POSITIVE);
        let mut seen = 0.0;
        let mut low = 0.0;
        for (le, own) in &self.buckets {
            seen += own;
            // Counts are whole: far more than rounding errors of `q * count`.
            if *own > 0.0 && seen + 1e-9 * count >= rank {
                return Some((low, *le));
            }
            low = *le;
        }
        None
    }

    /// How many values lie in the bracket that holds the quantile `q`, or above it: what the quantile
    /// rests on.
    pub fn tail(&self, q: f64) -> f64 {
        let low = self.bracket(q).map_or(f64::INFINITY, |(low, _)| low);
        let above = self.buckets.iter().filter(|(le, _)| *le > low);
        above.map(|(_, own)| own).sum()
    }

    /// The bracket that holds the largest value.
    pub fn max_bracket(&self) -> Option<(f64, f64)> {
        self.bracket(1.0)
    }

    /// Adds another histogram; `false` when their bounds differ and nothing was added.
    pub(super) fn add(&mut self, other: &Hist) -> bool {
        if self.buckets.is_empty() {
            *self = other.clone();
            return true;
        }
        let same = self.buckets.len() == other.buckets.len()
            && self
                .buckets
                .iter()
                .zip(&other.buckets)
                .all(|(a, b)| a.0 == b.0);
        if same {
            for (a, b) in self.buckets.iter_mut().zip(&other.buckets) {
                a.1 += b.1;
            }
            self.sum = self.sum.zip(other.sum).map(|(a, b)| a + b);
        }
        same
    }

    /// The same histogram in another unit.
    pub(super) fn scaled(mut self, factor: f64) -> Self {
        for (le, _) in &mut self.buckets {
            *le = rounded(*le * factor);
        }
        self.sum = self.sum.map(|sum| sum * factor);
        self
    }
}

/// Bounds are round numbers in the source; `0.016 * 1000` must print as `16`.
fn rounded(bound: f64) -> f64 {
    if bound.is_finite() {
        (bound * 1e9).round() / 1e9
    } else {
        bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64], bounds: &[f64]) -> Hist {
        let cumulative = bounds
            .iter()
            .chain(&[f64::INFINITY])
            .map(|le| (*le, values.iter().filter(|v| *v <= le).count() as f64))
            .collect();
        Hist::from_cumulative(cumulative, Some(values.iter().sum())).expect("rises")
    }

    #[test]
    fn brackets_at_bounds_and_in_the_open_bucket() {
        let bounds = [1.0, 2.0, 4.0];
        let hist = of(&[1.0, 1.0, 2.0, 9.0], &bounds);
        assert_eq!(hist.bracket(0.5), Some((0.0, 1.0)));
        assert_eq!(hist.bracket(0.51), Some((1.0, 2.0)));
        assert_eq!(hist.bracket(0.75), Some((1.0, 2.0)));
        assert_eq!(hist.bracket(0.99), Some((4.0, f64::INFINITY)));
        assert_eq!(hist.bracket(0.0), Some((0.0, 1.0)));
        assert_eq!(of(&[], &bounds).bracket(0.99), None);
        assert_eq!(hist.mean(), Some(3.25));
    }

    #[test]
    fn falling_buckets_are_refused() {
        assert_eq!(
            Hist::from_cumulative(vec![(1.0, 5.0), (2.0, 4.0), (f64::INFINITY, 6.0)], None),
            None
        );
        assert_eq!(Hist::from_cumulative(vec![(1.0, 5.0)], None), None);
    }

    #[test]
    fn bounds_stay_round() {
        let hist = of(&[0.001], &[0.001, 0.002, 0.004, 0.016, 4.096]).scaled(1000.0);
        let bounds: Vec<f64> = hist.buckets.iter().map(|b| b.0).collect();
        assert_eq!(bounds, [1.0, 2.0, 4.0, 16.0, 4096.0, f64::INFINITY]);
    }

    proptest! {
        #[test]
        fn the_bracket_holds_the_true_quantile(
            mut values in prop::collection::vec(0.0f64..20_000.0, 1..300),
            q in 0.0f64..=1.0,
        ) {
            // etcd's fsync buckets: 1 ms, doubled 13 times.
            let bounds: Vec<f64> = (0..14).map(|k| 2f64.powi(k)).collect();
            let hist = of(&values, &bounds);
            values.sort_by(f64::total_cmp);
            // Nearest rank, found by counting.
            let least = q * values.len() as f64;
            let rank = (1..values.len()).find(|r| *r as f64 >= least).unwrap_or(values.len());
            let truth = values[rank - 1];
            let (low, high) = hist.bracket(q).expect("not empty");
            prop_assert!((low < truth || (low == 0.0 && truth == 0.0)) && truth <= high,
                "{low} {truth} {high}");
        }

        #[test]
        fn adding_is_like_counting_together(
            a in prop::collection::vec(0.0f64..100.0, 0..50),
            b in prop::collection::vec(0.0f64..100.0, 0..50),
        ) {
            let bounds = [1.0, 10.0, 50.0];
            let mut sum = of(&a, &bounds);
            prop_assert!(sum.add(&of(&b, &bounds)));
            let all: Vec<f64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(sum.buckets, of(&all, &bounds).buckets);
        }
    }
}
