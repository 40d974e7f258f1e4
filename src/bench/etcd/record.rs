//! What a run records: latencies by kind of request, outcomes, errors by kind, and slices of time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The kinds of request that a load makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// `KV/Put`.
    Put,
    /// `KV/Range` of one key.
    Get,
    /// `KV/Range` of a prefix, all at once.
    List,
    /// One page of a paginated range.
    Page,
    /// `KV/Range` that only counts.
    Count,
    /// `KV/Txn` that creates a key.
    Create,
    /// `KV/Txn` that updates a key.
    Update,
    /// `KV/Txn` that deletes a key.
    Delete,
    /// `Lease/LeaseGrant`.
    LeaseGrant,
    /// `Lease/LeaseRevoke`.
    LeaseRevoke,
    /// One beat of `Lease/LeaseKeepAlive`.
    KeepAlive,
    /// An event, from the put's begin to its arrival at a watcher.
    WatchEvent,
}

impl Op {
    /// All of them.
    pub const ALL: [Op; 12] = [
        Op::Put,
        Op::Get,
        Op::List,
        Op::Page,
        Op::Count,
        Op::Create,
        Op::Update,
        Op::Delete,
        Op::LeaseGrant,
        Op::LeaseRevoke,
        Op::KeepAlive,
        Op::WatchEvent,
    ];

    /// What tables and JSON call it.
    pub fn name(self) -> &'static str {
        match self {
            Op::Put => "put",
            Op::Get => "get",
            Op::List => "list",
            Op::Page => "page",
            Op::Count => "count",
            Op::Create => "txn create",
            Op::Update => "txn update",
            Op::Delete => "txn delete",
            Op::LeaseGrant => "lease grant",
            Op::LeaseRevoke => "lease revoke",
            Op::KeepAlive => "lease keep-alive",
            Op::WatchEvent => "watch event",
        }
    }

    /// Whether it writes, and so goes through raft and the disk.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Op::Put | Op::Create | Op::Update | Op::Delete | Op::LeaseGrant | Op::LeaseRevoke
        )
    }
}

/// Longest latency that is told apart: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Latencies of one kind of request.
#[derive(Clone, Debug)]
pub struct Latencies {
    // Three digits: a quantile is at most 0.1 % off.
    histogram: Histogram<u64>,
    sum_ns: u128,
    // Sum of squares in seconds, as etcd's benchmark needs it for its standard deviation.
    squares: f64,
    min_ns: u64,
    max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            histogram: Histogram::new_with_bounds(1_000, LONGEST_NS, 3)
                .expect("the bounds are right"),
            sum_ns: 0,
            squares: 0.0,
            min_ns: u64::MAX,
            max_ns: 0,
        }
    }
}

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(ns);
        self.sum_ns += u128::from(ns);
        let secs = latency.as_secs_f64();
        self.squares += secs * secs;
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).ok();
        self.sum_ns += other.sum_ns;
        self.squares += other.squares;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The shortest in seconds.
    pub fn min(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.min_ns as f64 / 1e9)
    }

    /// The longest in seconds.
    pub fn max(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.max_ns as f64 / 1e9)
    }

    /// The mean in seconds.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum_ns as f64 / 1e9 / self.count() as f64)
    }

    /// The standard deviation in seconds, of the whole population as etcd's benchmark takes it.
    pub fn stddev(&self) -> Option<f64> {
        let mean = self.mean()?;
        let variance = self.squares / self.count() as f64 - mean * mean;
        // Rounding may leave a tiny negative number where all are equal.
        Some(variance.max(0.0).sqrt())
    }

    /// A percentile (0 to 100) in seconds, by the rank that etcd's benchmark takes.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let n = self.count();
        if n == 0 {
            return None;
        }
        let rank = rank(percent, n);
        // hdrhistogram asks for a share; the middle of a rank's span is safe from rounding.
        let quantile = (rank as f64 - 0.5) / n as f64;
        let ns = self.histogram.value_at_quantile(quantile);
        Some((ns.clamp(self.min_ns, self.max_ns)) as f64 / 1e9)
    }

    /// How many are in `(above, upto]` seconds, as far as the histogram tells them apart.
    pub fn between(&self, above: f64, upto: f64) -> u64 {
        // A recorded value stands for the highest one that it cannot be told from.
        let same = |secs: f64| self.histogram.highest_equivalent(nanos(secs));
        let low = if above < 0.0 { 0 } else { same(above) };
        let high = same(upto);
        self.histogram
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .filter(|(value, _)| *value > low && *value <= high)
            .map(|(_, count)| count)
            .sum()
    }
}

/// The rank (from 1 on) of a percentile of `n` values: etcd's `pkg/report` takes
/// ⌈p (n + 1) / 100⌉, kept within the list.
pub fn rank(percent: f64, n: u64) -> u64 {
    let rank = (percent * (n as f64 + 1.0) / 100.0).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is between 0 and n + 1"
    )]
    let rank = rank as u64;
    rank.clamp(1, n.max(1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates"
)]
fn nanos(secs: f64) -> u64 {
    (secs * 1e9) as u64
}

/// One slice of time.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Requests answered well.
    pub done: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Their latencies from the intended begin.
    pub latencies: Coarse,
}

/// Latencies in two digits: enough for a curve, and small.
#[derive(Clone, Debug)]
pub struct Coarse(Histogram<u32>);

impl Default for Coarse {
    fn default() -> Self {
        // In microseconds.
        Coarse(Histogram::new_with_bounds(1, LONGEST_NS / 1000, 2).expect("the bounds are right"))
    }
}

impl Coarse {
    fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us);
    }

    /// A quantile (0 to 1) in seconds.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(q) as f64 / 1e6)
    }
}

/// Most slices that are kept; then two become one.
const SLICES: usize = 60;
/// Most kinds of error that are told apart.
const ERROR_KINDS: usize = 32;

/// Everything that a run records.
#[derive(Debug)]
pub struct Recorder {
    begin: Instant,
    service: BTreeMap<Op, Latencies>,
    intended: BTreeMap<Op, Latencies>,
    conflicts: u64,
    errors: BTreeMap<String, u64>,
    slices: Vec<Slice>,
    slice: Duration,
    open: bool,
    answered: u64,
    late: Latencies,
    last: Option<Instant>,
}

impl Recorder {
    /// From `begin` on. In an open loop the latency from the intended begin is kept beside that
    /// from the real one; in a closed loop they are the same.
    pub fn new(begin: Instant, open: bool) -> Self {
        Recorder {
            begin,
            service: BTreeMap::new(),
            intended: BTreeMap::new(),
            conflicts: 0,
            errors: BTreeMap::new(),
            slices: Vec::new(),
            slice: Duration::from_secs(1),
            open,
            answered: 0,
            late: Latencies::default(),
            last: None,
        }
    }

    /// A request that was answered well.
    pub fn done(&mut self, op: Op, intended: Instant, sent: Instant, now: Instant) {
        self.service
            .entry(op)
            .or_default()
            .record(now.saturating_duration_since(sent));
        let whole = now.saturating_duration_since(intended);
        if self.open {
            self.intended.entry(op).or_default().record(whole);
            self.late.record(sent.saturating_duration_since(intended));
        }
        self.answered += 1;
        self.last = Some(now);
        let slice = self.slice_at(now);
        slice.done += 1;
        slice.latencies.record(whole);
    }

    /// A transaction whose comparison did not hold: answered, but nothing was done.
    pub fn conflict(&mut self) {
        self.conflicts += 1;
    }

    /// A request that failed.
    pub fn failed(&mut self, kind: String, now: Instant) {
        self.slice_at(now).failed += 1;
        if self.errors.len() >= ERROR_KINDS && !self.errors.contains_key(&kind) {
            *self.errors.entry("other errors".to_owned()).or_default() += 1;
        } else {
            *self.errors.entry(kind).or_default() += 1;
        }
    }

    fn slice_at(&mut self, now: Instant) -> &mut Slice {
        let since = now.saturating_duration_since(self.begin);
        let mut at = index(since, self.slice);
        while at >= SLICES {
            // Twice as wide from now on: what was recorded is kept, two by two.
            self.slices = self
                .slices
                .chunks(2)
                .map(|pair| {
                    let mut sum = Slice::default();
                    for slice in pair {
                        sum.done += slice.done;
                        sum.failed += slice.failed;
                        sum.latencies.0.add(&slice.latencies.0).ok();
                    }
                    sum
                })
                .collect();
            self.slice *= 2;
            at = index(since, self.slice);
        }
        while self.slices.len() <= at {
            self.slices.push(Slice::default());
        }
        let Some(slice) = self.slices.get_mut(at) else {
            unreachable!("the list was filled up to this place")
        };
        slice
    }

    /// Requests answered well so far.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Requests that failed so far.
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The slowest answer so far, from its real begin.
    pub fn slowest(&self) -> Duration {
        let ns = self.service.values().map(|l| l.max_ns).max().unwrap_or(0);
        Duration::from_nanos(ns)
    }

    /// Latencies from the real begin, by kind.
    pub fn service(&self) -> &BTreeMap<Op, Latencies> {
        &self.service
    }

    /// Latencies from the intended begin, by kind; empty in a closed loop.
    pub fn intended(&self) -> &BTreeMap<Op, Latencies> {
        &self.intended
    }

    /// How late requests began in an open loop.
    pub fn late(&self) -> &Latencies {
        &self.late
    }

    /// Transactions whose comparison did not hold.
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Errors by kind.
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Slices of time, and how long each is.
    pub fn slices(&self) -> (&[Slice], Duration) {
        (&self.slices, self.slice)
    }

    /// When the last answer came.
    pub fn last(&self) -> Option<Instant> {
        self.last
    }
}

/// All kinds together.
pub fn together(kinds: &BTreeMap<Op, Latencies>) -> Latencies {
    let mut all = Latencies::default();
    for latencies in kinds.values() {
        all.add(latencies);
    }
    all
}

fn index(since: Duration, slice: Duration) -> usize {
    usize::try_from(since.as_nanos() / slice.as_nanos().max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(millis: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        for ms in millis {
            latencies.record(Duration::from_millis(*ms));
        }
        latencies
    }

    #[test]
    fn ranks_are_those_of_etcds_report() {
        // pkg/report: idx = ceil(p * (n+1) / 100) - 1, kept within the list.
        assert_eq!(rank(50.0, 1), 1);
        assert_eq!(rank(50.0, 4), 3);
        assert_eq!(rank(99.0, 100), 100);
        assert_eq!(rank(99.9, 10), 10);
        assert_eq!(rank(10.0, 100), 11);
        assert_eq!(rank(0.0, 5), 1);
    }

    #[test]
    fn mean_stddev_and_extremes_are_exact() {
        let latencies = of(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert!((latencies.mean().unwrap() - 0.005).abs() < 1e-12);
        assert!((latencies.stddev().unwrap() - 0.002).abs() < 1e-9);
        assert_eq!(latencies.min(), Some(0.002));
        assert_eq!(latencies.max(), Some(0.009));
        assert_eq!(Latencies::default().mean(), None);
        assert_eq!(Latencies::default().percentile(99.0), None);
        assert!(of(&[3, 3, 3]).stddev().unwrap() < 1e-9);
    }

    #[test]
    fn counts_between_bounds_add_up() {
        let latencies = of(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(latencies.between(0.0, 1.0), 10);
        assert_eq!(latencies.between(0.0, 0.0052), 5);
        assert_eq!(latencies.between(0.0052, 0.010), 5);
    }

    #[test]
    fn an_open_loop_keeps_both_latencies_and_the_lateness() {
        let begin = Instant::now();
        let mut recorder = Recorder::new(begin, true);
        let sent = begin + Duration::from_millis(30);
        recorder.done(Op::Put, begin, sent, sent + Duration::from_millis(10));
        assert_eq!(recorder.service()[&Op::Put].max(), Some(0.010));
        assert_eq!(recorder.intended()[&Op::Put].max(), Some(0.040));
        assert_eq!(recorder.late().max(), Some(0.030));
    }

    #[test]
    fn slices_double_and_lose_nothing() {
        let begin = Instant::now();
        let mut recorder = Recorder::new(begin, false);
        for second in 0..200 {
            let at = begin + Duration::from_secs(second);
            recorder.done(Op::Put, at, at, at + Duration::from_millis(1));
        }
        recorder.failed("x".to_owned(), begin);
        let (slices, width) = recorder.slices();
        assert_eq!(width, Duration::from_secs(4));
        assert!(slices.len() <= SLICES);
        assert_eq!(slices.iter().map(|s| s.done).sum::<u64>(), 200);
        assert_eq!(slices.iter().map(|s| s.failed).sum::<u64>(), 1);
    }

    #[test]
    fn kinds_of_error_are_bounded() {
        let now = Instant::now();
        let mut recorder = Recorder::new(now, false);
        for n in 0..100 {
            recorder.failed(format!("error {n}"), now);
        }
        assert_eq!(recorder.errors().len(), ERROR_KINDS + 1);
        assert_eq!(recorder.failures(), 100);
    }

    #[test]
    fn ops_are_named_once() {
        let names: std::collections::BTreeSet<_> = Op::ALL.iter().map(|op| op.name()).collect();
        assert_eq!(names.len(), Op::ALL.len());
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_thousandth_of_the_sorted_list(
            mut us in proptest::collection::vec(1_u64..10_000_000, 1..400)
        ) {
            let mut latencies = Latencies::default();
            for us in &us {
                latencies.record(Duration::from_micros(*us));
            }
            us.sort_unstable();
            for percent in [10.0, 50.0, 90.0, 99.0, 99.9] {
                let at = usize::try_from(rank(percent, us.len() as u64) - 1).unwrap();
                let exact = us[at] as f64 / 1e6;
                let ours = latencies.percentile(percent).unwrap();
                prop_assert!((ours - exact).abs() <= exact * 1.1e-3, "{percent}: {ours} {exact}");
            }
            prop_assert_eq!(latencies.between(0.0, 1e6), us.len() as u64);
        }
    }
}
