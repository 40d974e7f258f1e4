//! What a sample allows to say: ranks that bound a quantile, spread, whether two sets of rounds
//! differ.

/// Fewest samples for a verdict about a p99: its 95 % interval then spans the ranks 984 to 996.
pub const ENOUGH_P99: u64 = 1_000;
/// Fewest samples for a verdict about a p99.9: ten of them lie above it.
pub const ENOUGH_P999: u64 = 10_000;

/// The ranks (from 1) between which the quantile `q` of the truth lies with 95 % probability,
/// given `n` samples. The upper one is `None` when it would lie beyond the sample.
///
/// Order statistics with the normal approximation of the binomial. Neighbouring syncs are not
/// independent (a stall hits several), so the true interval is wider: rounds show how much.
pub fn quantile_ranks(n: u64, q: f64) -> (u64, Option<u64>) {
    let count = n as f64;
    let half = 1.96 * (count * q * (1.0 - q)).sqrt();
    let low = (count * q - half).floor().max(1.0);
    let high = (count * q + half).ceil();
    (whole(low), (high <= count).then(|| whole(high)))
}

/// A count from a number that is not negative; saturates.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and NaN becomes 0"
)]
pub fn whole(number: f64) -> u64 {
    number as u64
}

/// The median; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let high = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(high);
    }
    Some((sorted.get(middle.checked_sub(1)?)? + high) / 2.0)
}

/// (largest − smallest) / smallest; `None` with fewer than two values.
pub fn spread(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low > 0.0).then(|| (high - low) / low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_samples_bound_p99_and_ten_thousand_p999() {
        assert_eq!(quantile_ranks(1_000, 0.99), (983, Some(997)));
        assert_eq!(quantile_ranks(10_029, 0.999), (10_012, Some(10_026)));
        // Too few to say how high it may be.
        assert_eq!(quantile_ranks(200, 0.99), (195, None));
        assert_eq!(quantile_ranks(0, 0.5), (1, Some(0)));
    }

    #[test]
    fn medians_and_spread() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(spread(&[2.0, 3.0]), Some(0.5));
        assert_eq!(spread(&[2.0]), None);
    }
}
