//! etcd's own figures, as far as a bench must know how it fares: parsed from its metrics, and the
//! difference of two readings.

use crate::bench::recorder::Recorder;
use crate::formats::bench::observe::{HistogramWindow, MetricsWindow};
use crate::formats::prometheus::{Sample, Sink, number, scan};

/// Where metrics come from. `cli` wires it: no engine fetches for another.
pub trait Vitals: Send + Sync {
    /// The text of `/metrics`, or why it cannot be had, in words that hold no secret.
    fn scrape(&self) -> Result<Vec<u8>, String>;

    /// One reading.
    fn signs(&self) -> Result<Signs, String> {
        let text = self.scrape()?;
        Signs::parse(&text).ok_or_else(|| "its answer holds no metrics of etcd".to_owned())
    }
}

/// A histogram as it stands: cumulative counts by bound in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// `(upper bound, values up to it)` by rising bound; the last bound is infinite.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of all values in seconds.
    pub sum: f64,
    /// Number of values.
    pub count: f64,
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signs {
    /// WAL fsync.
    pub wal: Option<Counted>,
    /// Backend commit.
    pub commit: Option<Counted>,
    /// Leader changes that this member saw.
    pub leader_changes: Option<f64>,
    /// Whether it has a leader.
    pub has_leader: Option<bool>,
    /// Proposals that wait.
    pub pending: Option<f64>,
    /// Proposals committed.
    pub committed: Option<f64>,
}

/// Bounds of etcd's own histograms: 1 ms, doubled thirteen times.
const BOUNDS: usize = 14;

impl Counted {
    /// What a recorder holds, in etcd's buckets; a value within 2 % of a bound may be counted on
    /// its other side.
    pub fn of(recorder: &Recorder) -> Self {
        let latency = recorder.latency();
        let mut counted = Counted {
            buckets: Vec::with_capacity(BOUNDS + 1),
            sum: recorder.sum_ns() as f64 / 1e9,
            count: latency.count as f64,
        };
        let bounds = (0..BOUNDS).map(|i| 0.001 * f64::from(1u32 << i));
        for bound in bounds {
            let below = latency
                .buckets
                .iter()
                .filter(|slot| slot.upper_us <= bound * 1e6);
            let up_to: u64 = below.map(|slot| slot.count).sum();
            counted.buckets.push((bound, up_to as f64));
        }
        counted.buckets.push((f64::INFINITY, counted.count));
        counted
    }
}

const WAL: &[u8] = b"etcd_disk_wal_fsync_duration_seconds";
const COMMIT: &[u8] = b"etcd_disk_backend_commit_duration_seconds";

impl Signs {
    /// Reads the text of `/metrics`; `None` when it is not etcd's.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut signs = Signs::default();
        scan(text, &mut signs);
        for counted in [&mut signs.wal, &mut signs.commit].into_iter().flatten() {
            counted.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        (signs.wal.is_some() || signs.has_leader.is_some()).then_some(signs)
    }

    /// The metrics between two readings.
    pub fn since(&self, before: &Signs, secs: f64, pending_max: Option<f64>) -> MetricsWindow {
        let less = |now: Option<f64>, then: Option<f64>| Some(now? - then?).filter(|d| *d >= 0.0);
        let histogram = |now: &Option<Counted>, then: &Option<Counted>| {
            window(now.as_ref()?, then.as_ref()?, secs)
        };
        let duty = || {
            let (now, then) = (self.commit.as_ref()?, before.commit.as_ref()?);
            Some((now.sum - then.sum) / secs).filter(|share| *share >= 0.0 && secs > 0.0)
        };
        MetricsWindow {
            secs,
            wal_fsync: histogram(&self.wal, &before.wal),
            commit: histogram(&self.commit, &before.commit),
            commit_duty: duty(),
            proposals_per_sec: less(self.committed, before.committed)
                .filter(|_| secs > 0.0)
                .map(|count| count / secs),
            pending_max,
            leader_changes: less(self.leader_changes, before.leader_changes),
        }
    }
}

impl Sink for Signs {
    fn wants(&mut self, name: &[u8]) -> bool {
        name.starts_with(WAL)
            || name.starts_with(COMMIT)
            || name.starts_with(b"etcd_server_leader_changes_seen_total")
            || name.starts_with(b"etcd_server_has_leader")
            || name.starts_with(b"etcd_server_proposals_")
    }

    fn family(&mut self, _name: &[u8], _kind: &[u8]) {}

    fn sample(&mut self, sample: &Sample<'_, '_>) {
        for (family, slot) in [(WAL, &mut self.wal), (COMMIT, &mut self.commit)] {
            let Some(part) = sample.name.strip_prefix(family) else {
                continue;
            };
            let counted = slot.get_or_insert_default();
            match part {
                b"_sum" => counted.sum = sample.value,
                b"_count" => counted.count = sample.value,
                b"_bucket" => {
                    let bound = sample.labels.iter().find(|label| label.name == b"le");
                    let bound = bound.and_then(|label| number(&label.value()));
                    // An invented bucket would be worse than none.
                    if let Some(bound) = bound.filter(|_| counted.buckets.len() < 256) {
                        counted.buckets.push((bound, sample.value));
                    }
                }
                _ => {}
            }
            return;
        }
        match sample.name {
            b"etcd_server_leader_changes_seen_total" => self.leader_changes = Some(sample.value),
            b"etcd_server_has_leader" => self.has_leader = Some(sample.value > 0.0),
            b"etcd_server_proposals_pending" => self.pending = Some(sample.value),
            b"etcd_server_proposals_committed_total" => self.committed = Some(sample.value),
            _ => {}
        }
    }
}

/// What a histogram counted between two readings; `None` after a restart.
fn window(now: &Counted, then: &Counted, secs: f64) -> Option<HistogramWindow> {
    let count = now.count - then.count;
    let sum = now.sum - then.sum;
    if count < 0.0 || sum < 0.0 || now.buckets.len() != then.buckets.len() {
        return None;
    }
    let buckets: Vec<(f64, f64)> = now
        .buckets
        .iter()
        .zip(&then.buckets)
        .map(|(a, b)| (a.0, a.1 - b.1))
        .collect();
    if buckets.iter().any(|(_, count)| *count < 0.0) {
        return None;
    }
    let quantile = |q: f64| {
        let rank = q * count;
        let at = buckets
            .iter()
            .position(|(_, up_to)| *up_to >= rank && *up_to > 0.0)?;
        let low = at
            .checked_sub(1)
            .and_then(|i| buckets.get(i))
            .map_or(0.0, |b| b.0);
        let high = buckets
            .get(at)
            .map(|b| b.0)
            .filter(|bound| bound.is_finite());
        Some((low * 1e6, high.map(|bound| bound * 1e6)))
    };
    Some(HistogramWindow {
        count: crate::bench::stats::whole(count),
        per_sec: if secs > 0.0 { count / secs } else { 0.0 },
        mean_us: if count > 0.0 { sum / count * 1e6 } else { 0.0 },
        p50_us: (count > 0.0).then(|| quantile(0.5)).flatten(),
        p99_us: (count > 0.0).then(|| quantile(0.99)).flatten(),
    })
}

/// Values above a bound between two readings; `None` where no bucket ends there.
pub fn above(now: &Counted, then: &Counted, bound: f64) -> Option<f64> {
    let at = |counted: &Counted| {
        let up_to = counted
            .buckets
            .iter()
            .find(|(le, _)| (le - bound).abs() < bound * 1e-6)?;
        Some(counted.count - up_to.1)
    };
    Some(at(now)? - at(then)?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Metrics of an etcd whose WAL fsyncs were `(milliseconds, how many)`.
    pub(crate) fn text(syncs: &[(f64, u64)], pending: u64, changes: u64) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("# TYPE etcd_disk_wal_fsync_duration_seconds histogram\n");
        let bounds: Vec<f64> = (0..14).map(|i| 0.001 * f64::from(1 << i)).collect();
        let up_to = |bound: f64| -> u64 {
            syncs
                .iter()
                .filter(|(ms, _)| ms / 1e3 <= bound)
                .map(|(_, n)| n)
                .sum()
        };
        for bound in bounds {
            writeln!(
                text,
                "etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"{bound}\"}} {}",
                up_to(bound)
            )
            .unwrap();
        }
        let sum: f64 = syncs.iter().map(|(ms, n)| ms / 1e3 * *n as f64).sum();
        let count = up_to(f64::INFINITY);
        write!(
            text,
            "etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"+Inf\"}} {count}\n\
             etcd_disk_wal_fsync_duration_seconds_sum {sum}\n\
             etcd_disk_wal_fsync_duration_seconds_count {count}\n\
             etcd_disk_backend_commit_duration_seconds_sum {}\n\
             etcd_disk_backend_commit_duration_seconds_count {}\n\
             etcd_server_has_leader 1\n\
             etcd_server_leader_changes_seen_total {changes}\n\
             etcd_server_proposals_pending {pending}\n\
             etcd_server_proposals_committed_total {count}\n",
            sum / 2.0,
            count / 2,
        )
        .unwrap();
        text
    }

    #[test]
    fn the_mean_is_exact_and_quantiles_are_brackets() {
        let before = Signs::parse(text(&[(0.5, 100)], 0, 1).as_bytes()).unwrap();
        let after =
            Signs::parse(text(&[(0.5, 140), (5.0, 58), (12.0, 2)], 3, 1).as_bytes()).unwrap();
        let window = after.since(&before, 10.0, Some(3.0));
        let wal = window.wal_fsync.unwrap();
        assert_eq!((wal.count, wal.per_sec), (100, 10.0));
        assert!((wal.mean_us - 3_340.0).abs() < 0.1, "{}", wal.mean_us);
        assert_eq!(wal.p50_us, Some((4_000.0, Some(8_000.0))));
        assert_eq!(wal.p99_us, Some((8_000.0, Some(16_000.0))));
        assert_eq!(
            (window.leader_changes, window.pending_max),
            (Some(0.0), Some(3.0))
        );
        assert!((window.commit_duty.unwrap() - 0.0167).abs() < 0.001);
        assert_eq!(
            window.commit.unwrap().p99_us,
            None,
            "no buckets, no quantile"
        );
    }

    #[test]
    fn a_restart_is_no_window_and_other_pages_are_no_etcd() {
        let before = Signs::parse(text(&[(0.5, 100)], 0, 1).as_bytes()).unwrap();
        let after = Signs::parse(text(&[(0.5, 3)], 0, 0).as_bytes()).unwrap();
        let window = after.since(&before, 1.0, None);
        assert_eq!((window.wal_fsync, window.leader_changes), (None, None));
        assert_eq!(Signs::parse(b"<html>login</html>"), None);
        assert_eq!(Signs::parse(b"up 1\n"), None);
    }

    #[test]
    fn slow_ones_are_counted_at_a_bucket_bound() {
        let read = |syncs: &[(f64, u64)]| {
            Signs::parse(text(syncs, 0, 0).as_bytes())
                .unwrap()
                .wal
                .unwrap()
        };
        let (then, now) = (read(&[(1.0, 5)]), read(&[(1.0, 9), (700.0, 1)]));
        assert_eq!(above(&now, &then, 0.512), Some(1.0));
        assert_eq!(above(&now, &then, 0.5), None);
    }

    #[test]
    fn a_recorder_reads_as_a_histogram_of_etcd_does() {
        let mut recorder = Recorder::default();
        for ms in [0.4, 3.0, 3.1, 700.0, 9_000.0] {
            recorder.record(crate::bench::stats::whole(ms * 1e6));
        }
        let counted = Counted::of(&recorder);
        assert_eq!(counted.buckets.len(), BOUNDS + 1);
        let up_to = |bound: f64| {
            let found = counted.buckets.iter().find(|(le, _)| *le >= bound);
            found.map(|(_, count)| *count)
        };
        assert_eq!(
            [up_to(0.001), up_to(0.002), up_to(0.004), up_to(0.512)],
            [Some(1.0), Some(1.0), Some(3.0), Some(3.0)]
        );
        assert_eq!(up_to(f64::INFINITY), Some(5.0));
        assert_eq!(
            above(&counted, &Counted::of(&Recorder::default()), 0.512),
            Some(2.0)
        );
        assert!((counted.sum - 9.7065).abs() < 1e-6);
    }
}
