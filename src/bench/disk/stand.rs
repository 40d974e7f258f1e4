//! How a measured p99 stands to a line, with what its samples can tell.

use crate::formats::bench::Latency;

/// Fewest samples whose lower bound of a p99 is a certain "too slow": from here on three of them at
/// least are above the line then, and were no more than a hundredth, chance would do that to one
/// in fifty at most.
const LEAST_FOR_FAIL: u64 = 30;
/// Fewest samples that, all below a line, put the p99 below it: 0.99^299 is below 5 %.
const ALL_BELOW: u64 = 299;

/// How a measured value stands to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Pass,
    Fail,
    Open,
}

impl Stand {
    pub(super) fn word(self) -> &'static str {
        match self {
            Stand::Pass => "pass",
            Stand::Fail => "fail",
            Stand::Open => "open",
        }
    }
}

/// Whether a p99 is known to be on one side of a line.
pub(super) fn settled(latency: &Latency, line_us: f64) -> bool {
    stand_p99(latency, line_us) != Stand::Open
}

/// How a p99 stands to a line.
///
/// A pass takes a thousand samples and an interval below the line, or 299 that are all below it. A fail
/// takes an interval above it, for which thirty samples are enough: more than a hundredth of them
/// were slower.
pub(super) fn stand_p99(latency: &Latency, line_us: f64) -> Stand {
    let Some(p99) = latency.p99 else {
        return Stand::Open;
    };
    if latency.count >= LEAST_FOR_FAIL && p99.bounds.above(line_us) {
        return Stand::Fail;
    }
    if p99.enough && p99.bounds.below(line_us) {
        return Stand::Pass;
    }
    if latency.count >= ALL_BELOW && latency.max_us < line_us {
        return Stand::Pass;
    }
    Stand::Open
}

pub(super) fn words_p99(latency: &Latency) -> String {
    let Some(p99) = latency.p99 else {
        return "not measured".to_owned();
    };
    let words = words(p99.us, p99.bounds.low_us, p99.bounds.high_us);
    if p99.enough {
        words
    } else {
        format!(
            "{words}, of only {}; the slowest took {}",
            latency.count,
            ms(latency.max_us)
        )
    }
}

pub(super) fn words(us: f64, low_us: f64, high_us: Option<f64>) -> String {
    match high_us {
        Some(high) => format!("{} (95 %: {} to {})", ms(us), ms(low_us), ms(high)),
        None => format!("{} (95 %: {} or more)", ms(us), ms(low_us)),
    }
}

pub(super) fn ms(us: f64) -> String {
    crate::units::format_ms(us / 1e3)
}
