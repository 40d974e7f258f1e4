//! A distribution of latencies as a result stores it: the usual percentiles, each with what the
//! number of samples allows to say about it, and the buckets to compute any other.

use serde::{Deserialize, Serialize};

/// One bucket: how many values lie in `(previous upper, upper]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Upper bound, microseconds.
    pub upper_us: f64,
    /// Values in this bucket alone.
    pub count: u64,
}

/// Where the truth lies with a probability of 95 %, by order statistics of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Not below this, microseconds.
    pub low_us: f64,
    /// Not above this; `null` where the sample is too small to bound it.
    pub high_us: Option<f64>,
}

impl Bounds {
    /// Whether all of it lies below a line.
    pub fn below(&self, line_us: f64) -> bool {
        self.high_us.is_some_and(|high| high < line_us)
    }

    /// Whether all of it lies above a line.
    pub fn above(&self, line_us: f64) -> bool {
        self.low_us > line_us
    }
}

/// A percentile and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// The sample's value, microseconds.
    pub us: f64,
    /// Its 95 % interval.
    pub bounds: Bounds,
    /// Whether there are samples enough for a verdict (1000 for p99, 10 000 for p99.9).
    pub enough: bool,
}

/// A distribution of latencies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Mean, microseconds; 0 when there is none.
    pub mean_us: f64,
    /// The largest.
    pub max_us: f64,
    /// The median.
    pub p50: Option<Percentile>,
    /// 90th percentile.
    pub p90: Option<Percentile>,
    /// 99th percentile.
    pub p99: Option<Percentile>,
    /// 99.9th percentile.
    pub p999: Option<Percentile>,
    /// Non-empty buckets by rising bound, each at most 2 % wide.
    pub buckets: Vec<Slot>,
}

impl Latency {
    /// The value at a percentile in milliseconds, without a claim to its certainty.
    pub fn p99_ms(&self) -> Option<f64> {
        self.p99.map(|p| p.us / 1e3)
    }
}
