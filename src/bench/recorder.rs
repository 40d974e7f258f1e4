//! Records latencies: an HDR histogram from 1 ns to 60 s with three digits, and a series of
//! 100 ms windows in which steps and stalls show.

use hdrhistogram::Histogram;

use crate::formats::bench::disk::Tick;
use crate::formats::bench::latency::Slot;
use crate::formats::bench::{Bounds, Latency, Percentile};

use super::stats::{ENOUGH_P99, ENOUGH_P999, quantile_ranks};

/// The longest that is told apart: a disk that takes a minute is dead.
const LONGEST_NS: u64 = 60_000_000_000;
/// Buckets of a saved result are at most this much wider than the one before.
const BUCKET_GROWTH: f64 = 1.02;
/// Length of a window of the series.
pub const TICK_NS: u64 = 100_000_000;
/// Most windows that are kept: half an hour.
const MAX_TICKS: usize = 18_000;

/// A histogram of nanoseconds.
#[derive(Clone, Debug)]
pub struct Recorder {
    histogram: Histogram<u64>,
    sum_ns: u128,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder {
            histogram: Histogram::new_with_bounds(1, LONGEST_NS, 3)
                .expect("the bounds are constants and fit"),
            sum_ns: 0,
        }
    }
}

impl Recorder {
    /// Records one value.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns);
        self.sum_ns += u128::from(ns);
    }

    /// Adds all values of another.
    pub fn add(&mut self, other: &Recorder) {
        // Both have the same bounds, so this cannot fail.
        self.histogram.add(&other.histogram).ok();
        self.sum_ns += other.sum_ns;
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their sum.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// What was recorded, as results store it.
    pub fn latency(&self) -> Latency {
        let count = self.count();
        if count == 0 {
            return Latency::default();
        }
        Latency {
            count,
            mean_us: self.sum_ns as f64 / count as f64 / 1e3,
            max_us: self.histogram.max() as f64 / 1e3,
            p50: self.percentile(0.5, 1),
            p90: self.percentile(0.9, 100),
            p99: self.percentile(0.99, ENOUGH_P99),
            p999: self.percentile(0.999, ENOUGH_P999),
            buckets: self.buckets(),
        }
    }

    fn percentile(&self, q: f64, enough: u64) -> Option<Percentile> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let of_rank = |rank: u64| {
            let ns = self.histogram.value_at_quantile(rank as f64 / count as f64);
            ns as f64 / 1e3
        };
        let (low, high) = quantile_ranks(count, q);
        Some(Percentile {
            us: self.histogram.value_at_quantile(q) as f64 / 1e3,
            bounds: Bounds {
                low_us: of_rank(low),
                high_us: high.map(of_rank),
            },
            enough: count >= enough,
        })
    }

    fn buckets(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Vec::new();
        let mut open_until = 0.0;
        for step in self.histogram.iter_recorded() {
            let upper_us = step.value_iterated_to() as f64 / 1e3;
            let count = step.count_since_last_iteration();
            match slots.last_mut() {
                Some(last) if upper_us <= open_until => {
                    last.upper_us = upper_us;
                    last.count += count;
                }
                _ => {
                    open_until = upper_us * BUCKET_GROWTH;
                    slots.push(Slot { upper_us, count });
                }
            }
        }
        slots
    }
}

/// Collects the series.
#[derive(Clone, Debug, Default)]
pub struct Ticks {
    done: Vec<Tick>,
    at: u64,
    bytes: u64,
    values: Vec<u64>,
}

impl Ticks {
    /// Adds a sync that ended `since_start_ns` after the run's start.
    pub fn add(&mut self, since_start_ns: u64, bytes: u64, ns: u64) {
        let at = since_start_ns / TICK_NS;
        if at != self.at {
            self.close();
            self.at = at;
        }
        self.bytes += bytes;
        self.values.push(ns);
    }

    fn close(&mut self) {
        if self.values.is_empty() || self.done.len() >= MAX_TICKS {
            self.values.clear();
            self.bytes = 0;
            return;
        }
        self.values.sort_unstable();
        let at = |i: usize| self.values.get(i).copied().unwrap_or(0) as f64 / 1e3;
        self.done.push(Tick {
            at_ms: self.at * (TICK_NS / 1_000_000),
            syncs: u32::try_from(self.values.len()).unwrap_or(u32::MAX),
            bytes: self.bytes,
            p50_us: at((self.values.len() - 1) / 2),
            max_us: at(self.values.len() - 1),
        });
        self.values.clear();
        self.bytes = 0;
    }

    /// The series; windows without a sync are not in it.
    pub fn finish(mut self) -> Vec<Tick> {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_bounds_its_percentiles_and_keeps_all_values() {
        let mut recorder = Recorder::default();
        for us in 1..=2_000u64 {
            recorder.record(us * 1_000);
        }
        let latency = recorder.latency();
        assert_eq!(latency.count, 2_000);
        assert!((latency.mean_us - 1_000.5).abs() < 0.01);
        let p99 = latency.p99.unwrap();
        assert!(p99.enough);
        assert!((p99.us - 1_980.0).abs() < 2.0);
        assert!(p99.bounds.low_us < 1_980.0 && p99.bounds.high_us.unwrap() > 1_980.0);
        assert!(!latency.p999.unwrap().enough);
        assert_eq!(latency.buckets.iter().map(|b| b.count).sum::<u64>(), 2_000);
        assert!(latency.buckets.len() < 450);
        assert!(latency.buckets.is_sorted_by(|a, b| a.upper_us < b.upper_us));
    }

    #[test]
    fn few_samples_leave_p99_unbounded() {
        let mut recorder = Recorder::default();
        (0..100).for_each(|_| recorder.record(5_000_000));
        let p99 = recorder.latency().p99.unwrap();
        assert!(!p99.enough);
        assert_eq!(p99.bounds.high_us, None);
        assert!(!p99.bounds.below(10_000.0));
        assert_eq!(Recorder::default().latency(), Latency::default());
    }

    #[test]
    fn the_series_is_by_100_ms_and_skips_silence() {
        let mut ticks = Ticks::default();
        ticks.add(10_000_000, 8, 3_000);
        ticks.add(20_000_000, 8, 1_000);
        ticks.add(30_000_000, 8, 2_000);
        ticks.add(950_000_000, 1, 9_000);
        let series = ticks.finish();
        assert_eq!(series.len(), 2);
        assert_eq!(
            (series[0].at_ms, series[0].syncs, series[0].bytes),
            (0, 3, 24)
        );
        assert_eq!((series[0].p50_us, series[0].max_us), (2.0, 3.0));
        assert_eq!((series[1].at_ms, series[1].syncs), (900, 1));
    }

    proptest::proptest! {
        #[test]
        fn no_value_is_lost(values: Vec<u64>) {
            let mut recorder = Recorder::default();
            values.iter().for_each(|ns| recorder.record(*ns));
            let latency = recorder.latency();
            proptest::prop_assert_eq!(latency.count, values.len() as u64);
            proptest::prop_assert_eq!(latency.buckets.iter().map(|b| b.count).sum::<u64>(), latency.count);
        }
    }
}
