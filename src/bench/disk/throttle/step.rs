//! A step in a series: the best split into two constant parts by least squares.

use crate::bench::stats::median;

/// Windows before the step, at least.
const BEFORE: usize = 2;
/// Windows after it, at least: a plateau shorter than that is a stall.
const AFTER: usize = 6;

/// Where a series changes its level, and how well that explains it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// First window of the second part.
    pub at: usize,
    /// Mean of the first part.
    pub before: f64,
    /// Mean of the second.
    pub after: f64,
    /// How much the second part varies, as [`variation`] has it.
    pub variation: f64,
    /// Share of the variance that two levels explain instead of one.
    pub explained: f64,
}

/// Sum and sum of squares give the squared error of a constant in constant time.
struct Sums(Vec<(f64, f64)>);

impl Sums {
    fn of(series: &[f64]) -> Self {
        let mut sums = vec![(0.0, 0.0)];
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in series {
            sum += value;
            squares += value * value;
            sums.push((sum, squares));
        }
        Sums(sums)
    }

    fn mean_and_error(&self, from: usize, to: usize) -> (f64, f64) {
        let at = |i: usize| self.0.get(i).copied().unwrap_or_default();
        let ((sum_a, squares_a), (sum_b, squares_b)) = (at(from), at(to));
        let count = (to - from) as f64;
        let sum = sum_b - sum_a;
        let error = (squares_b - squares_a) - sum * sum / count;
        (sum / count, error.max(0.0))
    }
}

/// The best split of a series; `None` when it is too short or constant.
pub fn split(series: &[f64]) -> Option<Split> {
    let count = series.len();
    if count < BEFORE + AFTER {
        return None;
    }
    let sums = Sums::of(series);
    let (_, whole) = sums.mean_and_error(0, count);
    let best = (BEFORE..=count - AFTER)
        .map(|at| {
            let (_, first) = sums.mean_and_error(0, at);
            let (_, second) = sums.mean_and_error(at, count);
            (at, first + second)
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    let (at, error) = best;
    if whole <= 0.0 || !whole.is_finite() {
        return None;
    }
    let (before, _) = sums.mean_and_error(0, at);
    let (after, _) = sums.mean_and_error(at, count);
    Some(Split {
        at,
        before,
        after,
        variation: variation(series.get(at..).unwrap_or_default()).unwrap_or(f64::INFINITY),
        explained: 1.0 - error / whole,
    })
}

/// How much a series varies: its median distance from its median, scaled to a standard deviation,
/// over the median. A few windows in which the machine was busy with something else do not count.
/// `None` with fewer than four values.
pub fn variation(series: &[f64]) -> Option<f64> {
    if series.len() < 4 {
        return None;
    }
    /// Of a normal distribution.
    const SCALE: f64 = 1.4826;
    let middle = median(series)?;
    let distances: Vec<f64> = series.iter().map(|value| (value - middle).abs()).collect();
    (middle > 0.0).then(|| median(&distances).unwrap_or(0.0) * SCALE / middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_where_it_is() {
        let mut series = vec![56.0; 6];
        series.extend([16.0; 20]);
        let split = split(&series).unwrap();
        assert_eq!((split.at, split.before, split.after), (6, 56.0, 16.0));
        assert!(split.variation < 0.001 && split.explained > 0.999);
    }

    #[test]
    fn short_and_constant_series_have_no_step() {
        assert_eq!(split(&[5.0; 7]), None);
        assert_eq!(split(&[5.0; 40]), None);
        assert_eq!(variation(&[1.0, 2.0, 3.0]), None);
        assert_eq!(variation(&[2.0; 5]), Some(0.0));
    }

    proptest::proptest! {
        #[test]
        fn any_series_does(series in proptest::collection::vec(0.0..1e12f64, 0..60)) {
            if let Some(split) = split(&series) {
                proptest::prop_assert!(split.at >= BEFORE && split.at <= series.len() - AFTER);
                proptest::prop_assert!(split.explained <= 1.0);
            }
        }
    }
}
