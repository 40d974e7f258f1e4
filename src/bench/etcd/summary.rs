//! What was recorded, as the saved result holds it: etcd's own summary, kinds, slices.

use std::time::Duration;

use crate::formats::bench::etcd as saved;

use super::record::{Latencies, Recorder};
use super::server::{Between, Delta};
use super::shape::Schedule;

/// The percentiles that etcd's benchmark prints.
pub const PERCENTS: [f64; 8] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// Bars of etcd's histogram, the one for the fastest alone included.
const BARS: u32 = 11;

/// etcd's summary of some latencies over so many seconds.
pub fn summary(latencies: &Latencies, secs: f64) -> saved::Summary {
    let count = latencies.count();
    let (Some(fastest), Some(slowest), Some(average), Some(stddev)) = (
        latencies.min(),
        latencies.max(),
        latencies.mean(),
        latencies.stddev(),
    ) else {
        return saved::Summary {
            total_secs: secs,
            ..saved::Summary::default()
        };
    };
    saved::Summary {
        count,
        total_secs: secs,
        slowest_secs: slowest,
        fastest_secs: fastest,
        average_secs: average,
        stddev_secs: stddev,
        per_sec: if secs > 0.0 { count as f64 / secs } else { 0.0 },
        histogram: bars(latencies, fastest, slowest),
        percentiles: PERCENTS
            .iter()
            .filter_map(|percent| {
                Some(saved::Percentile {
                    percent: *percent,
                    secs: latencies.percentile(*percent)?,
                })
            })
            .collect(),
    }
}

/// etcd's `pkg/report`: the first bar is the fastest, ten more in equal steps to the slowest.
fn bars(latencies: &Latencies, fastest: f64, slowest: f64) -> Vec<saved::Bar> {
    let step = (slowest - fastest) / f64::from(BARS - 1);
    let mut below = -1.0;
    let mut left = latencies.count();
    let mut bars = Vec::new();
    for bar in 0..BARS {
        let last = bar == BARS - 1;
        let upto_secs = if last {
            slowest
        } else {
            fastest + step * f64::from(bar)
        };
        // The histogram tells values apart to 0.1 %; the last bar takes what is left, so that
        // the bars always add up.
        let count = if last {
            left
        } else {
            latencies.between(below, upto_secs).min(left)
        };
        left -= count;
        below = upto_secs;
        bars.push(saved::Bar { upto_secs, count });
    }
    bars
}

/// By kind of request.
pub fn requests(recorder: &Recorder) -> Vec<saved::Requests> {
    recorder
        .service()
        .iter()
        .filter_map(|(op, latencies)| {
            Some(saved::Requests {
                kind: op.name().to_owned(),
                count: latencies.count(),
                mean_ms: latencies.mean()? * 1e3,
                p50_ms: latencies.percentile(50.0)? * 1e3,
                p99_ms: latencies.percentile(99.0)? * 1e3,
                max_ms: latencies.max()? * 1e3,
            })
        })
        .collect()
}

/// The slices of a run that took `took`; the last one may be shorter than the others.
pub fn slices(
    recorder: &Recorder,
    schedule: Option<&Schedule>,
    took: Duration,
) -> Vec<saved::Slice> {
    let (slices, width) = recorder.slices();
    let width_secs = width.as_secs_f64();
    slices
        .iter()
        .enumerate()
        .map(|(at, slice)| {
            let at_secs = width_secs * at as f64;
            let secs = (took.as_secs_f64() - at_secs).clamp(1e-3, width_secs);
            let asked = schedule.map(|schedule| {
                let due = |secs: f64| schedule.due(nanos(secs)) as f64;
                (due(at_secs + secs) - due(at_secs)) / secs
            });
            saved::Slice {
                at_secs,
                asked_per_sec: asked,
                done_per_sec: slice.done as f64 / secs,
                failed: slice.failed,
                p50_ms: slice.latencies.quantile(0.5).map(|s| s * 1e3),
                p99_ms: slice.latencies.quantile(0.99).map(|s| s * 1e3),
            }
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a run"
)]
fn nanos(secs: f64) -> u64 {
    (secs * 1e9) as u64
}

fn timed(between: &Between, secs: f64) -> saved::Timed {
    saved::Timed {
        count: between.count,
        mean_ms: between.mean * 1e3,
        duty: between.sum / secs,
        p99_low_ms: between.p99.0 * 1e3,
        p99_high_ms: between.p99.1.is_finite().then_some(between.p99.1 * 1e3),
    }
}

/// A member's counters over a load of `secs`.
pub fn server(name: &str, leader: bool, delta: &Delta, secs: f64) -> saved::Server {
    let secs = delta.window(secs);
    let histogram = |between: &Option<Between>| between.as_ref().map(|b| timed(b, secs));
    saved::Server {
        name: name.to_owned(),
        leader,
        missing: None,
        wal_fsync: histogram(&delta.fsync),
        backend_commit: histogram(&delta.commit),
        peer_round_trip: histogram(&delta.peer),
        cpu_cores: delta.cpu_secs.map(|cpu| cpu / secs),
        resident_bytes: delta.resident,
        received_bytes: delta.bytes_in,
        sent_bytes: delta.bytes_out,
        leader_changes: delta.leader_changes,
        proposals_failed: delta.proposals_failed,
        slow_applies: delta.slow_applies,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_counts_are_of_the_time_between_its_answers() {
        let between = Between {
            count: 10.0,
            mean: 0.7,
            sum: 7.0,
            p99: (0.5, 1.0),
        };
        let with = |secs: f64| {
            let delta = Delta {
                secs,
                fsync: Some(between.clone()),
                cpu_secs: Some(4.0),
                ..Delta::default()
            };
            server("m1", true, &delta, 2.0)
        };
        // It stood still, and answered long after the load had ended.
        let late = with(8.0);
        assert_eq!(late.wal_fsync.unwrap().duty, 7.0 / 8.0);
        assert_eq!(late.cpu_cores, Some(0.5));
        assert_eq!(with(2.0).cpu_cores, Some(2.0));
    }

    #[test]
    fn a_summary_is_etcds_own() {
        let mut latencies = Latencies::default();
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = summary(&latencies, 2.0);
        assert_eq!(summary.count, 100);
        assert_eq!(summary.per_sec, 50.0);
        assert!((summary.average_secs - 0.0505).abs() < 1e-9);
        assert_eq!(summary.histogram.len(), 11);
        assert_eq!(summary.histogram[0].upto_secs, 0.001);
        assert_eq!(summary.histogram[0].count, 1);
        assert_eq!(summary.histogram[10].upto_secs, 0.1);
        let sum: u64 = summary.histogram.iter().map(|bar| bar.count).sum();
        assert_eq!(sum, 100);
        let p50 = summary.percentiles[2];
        assert_eq!(p50.percent, 50.0);
        assert!((p50.secs - 0.051).abs() < 1e-4, "{}", p50.secs);
    }

    #[test]
    fn nothing_answered_is_no_made_up_number() {
        let summary = summary(&Latencies::default(), 1.0);
        assert_eq!(summary.count, 0);
        assert!(summary.histogram.is_empty() && summary.percentiles.is_empty());
    }

    #[test]
    fn equal_latencies_fall_into_one_bar_and_are_not_lost() {
        let mut latencies = Latencies::default();
        for _ in 0..5 {
            latencies.record(Duration::from_millis(3));
        }
        let bars = summary(&latencies, 1.0).histogram;
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 5);
    }
}
