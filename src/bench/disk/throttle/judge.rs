//! From the times of writes and syncs to the limit that explains them. Pure: the series may come
//! from a disk, a simulation or a file.

use crate::bench::stats::median;
use crate::formats::bench::throttle::{Confidence, Limit, Plateau, Step, Trial};

use super::step::{split, variation};

/// Length of a window of throughput.
const WINDOW_SECS: f64 = 0.2;
/// A step is one when the second level is below this share of the first, …
const STEP_RATIO: f64 = 0.7;
/// … varies no more than this (a token bucket is a metronome: 0.01 measured, an honest disk 0.08
/// and more), …
const METRONOME: f64 = 0.1;
/// … and explains at least this share of the variance.
const EXPLAINED: f64 = 0.3;
/// With eight times the bytes per sync an honest disk moves far more bytes; a limit of bytes does
/// not (measured 9.2 against 7.7 MiB/s; honest 183 against 48).
const SAME_BYTES: f64 = 1.5;
/// Beyond this a limit of bytes is the device's own bandwidth, and nothing that etcd would feel.
const WIDE: f64 = 1e9;
/// Without a burst and without credit for a rest only what is slower than this is told: disks that
/// are sold for servers write 80 MB/s and more in a row, spinning ones too. Cards, sticks and
/// limits are below.
const SLOW: f64 = 64.0 * 1024.0 * 1024.0;
/// Chunks of three sizes lie on a line when its two halves have slopes within this factor.
const STRAIGHT: f64 = 1.3;
/// A chunk after a rest that takes less than this share of one without was paid for by the rest.
const CREDITED: f64 = 0.7;
/// As many bytes in scattered writes as in one: below this factor bytes are what costs.
const BY_BYTES: f64 = 2.0;
/// Sixteen scattered writes before a sync instead of one cost an honest disk little; under a limit
/// of writes they cost at least so many times the time.
const SCATTER_COST: f64 = 3.5;
/// The chunk of the part that looks for a step.
const CHUNK_OF_STEP: f64 = 262_144.0;
/// A write that costs less than this is no limit that etcd would feel.
const WRITE_COST_US: f64 = 100.0;
/// The device is idle while the syncs wait: below this busy share somebody above it holds back.
const IDLE_DEVICE: f64 = 0.35;
/// A sync that waits this long or longer for its cgroup's next slice (blk-throttle hands out slices
/// of 100 ms, 20 ms on some kernels).
const SLICE_WAIT_US: f64 = 15_000.0;

/// One sync with the writes before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it ended, seconds after the trial's begin.
    pub at: f64,
    /// Writes and sync together, microseconds.
    pub us: f64,
}

/// A trial and its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What was done.
    pub name: &'static str,
    /// Bytes written before each sync.
    pub bytes: u64,
    /// Writes before each sync.
    pub writes: u32,
    /// The samples in time order.
    pub samples: Vec<Sample>,
    /// Share of the time in which the device had something to do, 0 to 1, where it is known.
    pub device_busy: Option<f64>,
    /// Share of the time that this thread waited for a processor, where it is known.
    pub cpu_wait: Option<f64>,
}

impl Series {
    fn secs(&self) -> f64 {
        self.samples.last().map_or(0.0, |last| last.at)
    }

    /// Syncs per second in windows; the last, which is not full, is left out.
    fn windows(&self) -> Vec<f64> {
        let secs = self.secs();
        // The windows hold several syncs each, or they would only show how time was cut.
        let per_sync = secs / self.samples.len().max(1) as f64;
        let window = WINDOW_SECS.max(per_sync * 4.0);
        let full = crate::bench::stats::whole(secs / window);
        let mut sums = vec![0.0; usize::try_from(full).unwrap_or(0).min(100_000)];
        let mut begin = 0.0;
        for sample in &self.samples {
            // A sync's work is spread over the time it took, so that a window is not judged by
            // which syncs happen to end in it.
            let (from, to) = (begin / window, sample.at / window);
            let length = (to - from).max(1e-9);
            let mut at = from;
            while at < to {
                let next = (at.floor() + 1.0).min(to);
                let place = usize::try_from(crate::bench::stats::whole(at)).unwrap_or(usize::MAX);
                if let Some(sum) = sums.get_mut(place) {
                    *sum += (next - at) / length / window;
                }
                at = next;
            }
            begin = sample.at;
        }
        sums
    }

    /// Its figures.
    pub fn trial(&self) -> Trial {
        let secs = self.secs();
        let syncs = self.samples.len() as u64;
        let per_sec = if secs > 0.0 { syncs as f64 / secs } else { 0.0 };
        Trial {
            name: self.name.to_owned(),
            bytes: self.bytes,
            writes: self.writes,
            syncs,
            secs,
            mean_us: self.samples.iter().map(|s| s.us).sum::<f64>() / syncs.max(1) as f64,
            bytes_per_sec: per_sec * self.bytes as f64,
            writes_per_sec: per_sec * f64::from(self.writes),
            variation: variation(&self.windows()),
        }
    }

    fn step(&self, per_sync: f64) -> Option<(Step, f64)> {
        let windows = self.windows();
        let found = split(&windows)?;
        let window = self.secs() / windows.len() as f64;
        let is_step = found.after < found.before * STEP_RATIO
            && found.variation < METRONOME
            && found.explained > EXPLAINED;
        is_step.then(|| {
            let at_secs = found.at as f64 * window;
            let step = Step {
                at_secs,
                before_per_sec: found.before * per_sync,
                after_per_sec: found.after * per_sync,
                credit: (found.before - found.after) * per_sync * at_secs,
                explained: found.explained,
            };
            (step, found.variation)
        })
    }

    /// The median time of a sync with its writes, microseconds; a few that waited for a processor
    /// do not count.
    fn median_us(&self) -> Option<f64> {
        let times: Vec<f64> = self.samples.iter().map(|sample| sample.us).collect();
        median(&times)
    }

    /// Whether the syncs wait while the device has nothing to do, and not for a processor.
    fn held_back(&self) -> bool {
        let total: f64 = self.samples.iter().map(|s| s.us).sum();
        let long: f64 = self
            .samples
            .iter()
            .map(|s| s.us)
            .filter(|us| *us >= SLICE_WAIT_US)
            .sum();
        let idle = self.device_busy.is_some_and(|busy| busy < IDLE_DEVICE);
        let starved = self.cpu_wait.is_some_and(|share| share > 0.1);
        self.samples.len() >= 5 && idle && !starved && long > total / 2.0
    }
}

/// All that the probe measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Chunks one after the other, as long as the budget lasts.
    pub sequential: Option<Series>,
    /// Small chunks.
    pub small: Option<Series>,
    /// Eight times as large ones.
    pub large: Option<Series>,
    /// Small chunks, each after a rest.
    pub rested: Option<Series>,
    /// One write of 4 KiB before each sync.
    pub single: Option<Series>,
    /// Many writes of 4 KiB at places apart before each sync.
    pub scattered: Option<Series>,
    /// A limit of this program's cgroup, in words, where one is set.
    pub cgroup_limit: Option<String>,
}

impl Measured {
    /// A limit gives credit for a rest, a medium does not.
    fn confidence(&self, step: bool) -> Confidence {
        let rested = self.rested.as_ref().filter(|part| part.samples.len() >= 3);
        let credited = rested
            .and_then(Series::median_us)
            .zip(self.small.as_ref().and_then(Series::median_us))
            .is_some_and(|(rested, small)| rested < small * CREDITED);
        if step || credited {
            Confidence::High
        } else {
            Confidence::Low
        }
    }

    /// The parts in the order in which they ran.
    pub fn parts(&self) -> impl Iterator<Item = &Series> {
        [
            &self.sequential,
            &self.small,
            &self.large,
            &self.rested,
            &self.single,
            &self.scattered,
        ]
        .into_iter()
        .flatten()
    }
}

/// The limit that explains the measurement; `None` when none is needed to.
pub fn judge(measured: &Measured) -> Option<Plateau> {
    cgroup(measured)
        .or_else(|| byte_limit(measured))
        .or_else(|| straight_line(measured))
        .or_else(|| write_limit(measured))
}

fn cgroup(measured: &Measured) -> Option<Plateau> {
    let held: Vec<&Series> = measured.parts().filter(|part| part.held_back()).collect();
    let trial = held.first()?.trial();
    // Without a limit that is set, two parts have to agree.
    if held.len() < 2 && measured.cgroup_limit.is_none() {
        return None;
    }
    Some(Plateau {
        limit: Limit::Cgroup,
        bytes_per_sec: trial.bytes_per_sec,
        writes_per_sec: trial.writes_per_sec,
        variation: trial.variation.unwrap_or(0.0),
        confidence: Confidence::High,
        base_us: None,
        step: None,
    })
}

fn byte_limit(measured: &Measured) -> Option<Plateau> {
    let large = measured.large.as_ref()?.trial();
    let small = measured.small.as_ref()?.trial();
    if small.syncs < 5 || large.syncs < 5 || small.bytes_per_sec <= 0.0 {
        return None;
    }
    let same = large.bytes_per_sec < small.bytes_per_sec * SAME_BYTES;
    let steady = large.variation.is_none_or(|v| v < METRONOME);
    let step = measured
        .sequential
        .as_ref()
        .and_then(|s| s.step(s.bytes as f64));
    // A step alone may be a limit of writes. Where small and large chunks move the same bytes after
    // it, bytes are what is counted; and where scattered writes were far more than the plateau
    // has, writes are not. Small chunks may be slower than the limit, and then refill the bucket.
    let scattered = measured
        .scattered
        .as_ref()
        .map(|s| s.trial().writes_per_sec);
    let many_writes = |step: &Step| {
        let writes = step.after_per_sec / CHUNK_OF_STEP;
        scattered.is_some_and(|rate| rate > writes * SCATTER_COST)
    };
    let by_step = step
        .as_ref()
        .is_some_and(|(step, _)| same || many_writes(step));
    if !(by_step || same && steady) || large.bytes_per_sec >= WIDE {
        return None;
    }
    let confidence = measured.confidence(by_step);
    if confidence == Confidence::Low && (large.bytes_per_sec >= SLOW || !by_bytes(measured)) {
        return None;
    }
    let (step, variation) = match step {
        Some((step, variation)) => (Some(step), variation),
        None => (None, large.variation.unwrap_or(0.0)),
    };
    Some(Plateau {
        limit: Limit::Bytes,
        bytes_per_sec: step.map_or(large.bytes_per_sec, |s| s.after_per_sec),
        writes_per_sec: large.writes_per_sec,
        variation,
        confidence,
        base_us: None,
        step,
    })
}

/// A limit that gives no credit while a flush runs, and any slow medium: the time of a sync is a
/// constant and its bytes at one rate, as regular as a clock.
fn straight_line(measured: &Measured) -> Option<Plateau> {
    let (small, middle, large) = (
        measured.small.as_ref()?,
        measured.sequential.as_ref()?,
        measured.large.as_ref()?,
    );
    let enough = [small, middle, large]
        .iter()
        .all(|part| part.samples.len() >= 5);
    if !enough || middle.step(1.0).is_some() {
        return None;
    }
    let (few, some, many) = (small.median_us()?, middle.median_us()?, large.median_us()?);
    let slope = |from: &Series, to: &Series, us: f64| us / (to.bytes as f64 - from.bytes as f64);
    let (first, second) = (
        slope(small, middle, some - few),
        slope(middle, large, many - some),
    );
    let straight =
        first > 0.0 && second > 0.0 && (STRAIGHT.recip()..=STRAIGHT).contains(&(first / second));
    let us_per_byte = slope(small, large, many - few);
    let of_bytes = us_per_byte * large.bytes as f64;
    let bytes_per_sec = 1e6 / us_per_byte;
    let trial = large.trial();
    let steady = [&trial, &middle.trial()]
        .iter()
        .all(|trial| trial.variation.is_some_and(|v| v < METRONOME));
    if !straight || !steady || bytes_per_sec >= SLOW || of_bytes < many / 2.0 || !by_bytes(measured)
    {
        return None;
    }
    Some(Plateau {
        limit: Limit::Bytes,
        bytes_per_sec,
        writes_per_sec: trial.writes_per_sec,
        variation: trial.variation.unwrap_or(0.0),
        confidence: measured.confidence(false),
        base_us: Some((many - of_bytes).max(0.0)),
        step: None,
    })
}

/// Whether the bytes of scattered writes explain their time: then writes are not what is counted.
fn by_bytes(measured: &Measured) -> bool {
    let median = |part: &Option<Series>| part.as_ref().and_then(Series::median_us);
    let times = median(&measured.scattered).zip(median(&measured.small));
    times.is_some_and(|(scattered, small)| scattered < small * BY_BYTES)
}

fn write_limit(measured: &Measured) -> Option<Plateau> {
    let scattered = measured.scattered.as_ref()?;
    let single = measured.single.as_ref()?.trial();
    let step = scattered.step(f64::from(scattered.writes));
    let many = match &step {
        // Only what came after the burst shows the limit.
        Some((step, _)) => after(scattered, step.at_secs).trial(),
        None => scattered.trial(),
    };
    if many.syncs < 5 || single.syncs < 5 || scattered.writes < 2 {
        return None;
    }
    let cost_us = (many.mean_us - single.mean_us) / f64::from(scattered.writes - 1);
    let dear = cost_us >= WRITE_COST_US
        && (step.is_some() || many.mean_us > single.mean_us * SCATTER_COST);
    let steady = many.variation.is_some_and(|v| v < METRONOME);
    if !dear || !steady || by_bytes(measured) {
        return None;
    }
    Some(Plateau {
        limit: Limit::Writes,
        bytes_per_sec: many.bytes_per_sec,
        writes_per_sec: many.writes_per_sec,
        variation: many.variation.unwrap_or(0.0),
        confidence: measured.confidence(step.is_some()),
        base_us: None,
        step: step.map(|(step, _)| step),
    })
}

/// The part of a series after some time, counted from there.
fn after(series: &Series, secs: f64) -> Series {
    Series {
        samples: series
            .samples
            .iter()
            .filter(|sample| sample.at > secs)
            .map(|sample| Sample {
                at: sample.at - secs,
                us: sample.us,
            })
            .collect(),
        ..series.clone()
    }
}

/// What was found, in one sentence.
pub fn words(plateau: Option<&Plateau>, cgroup: Option<&str>, bytes: u64, secs: f64) -> String {
    use crate::units::format_bytes;
    let size = |bytes: f64| format_bytes(crate::bench::stats::whole(bytes));
    let Some(plateau) = plateau else {
        return format!(
            "no plateau within {} and {secs:.1} s; a burst bucket larger than that would not show",
            format_bytes(bytes)
        );
    };
    let rate = match plateau.limit {
        Limit::Bytes => format!("{}/s", size(plateau.bytes_per_sec)),
        Limit::Writes => format!("{:.0} writes/s", plateau.writes_per_sec),
        Limit::Cgroup => {
            let name = cgroup.map_or(String::new(), |limit| format!(" ({limit})"));
            return format!(
                "held back above the device, as a cgroup's I/O limit does{name}: syncs wait in slices while \
                 the device is idle, {}/s",
                size(plateau.bytes_per_sec)
            );
        }
    };
    match plateau.step {
        Some(step) => {
            let credit = match plateau.limit {
                Limit::Writes => format!("{:.0} writes", step.credit),
                _ => size(step.credit),
            };
            format!(
                "a plateau at {rate} after a burst of {:.1} s ({:.1} times as fast; credit used about {credit}): \
                 a token bucket",
                step.at_secs,
                step.before_per_sec / step.after_per_sec.max(f64::MIN_POSITIVE),
            )
        }
        None => from_the_begin(plateau, &rate),
    }
}

fn from_the_begin(plateau: &Plateau, rate: &str) -> String {
    let besides = plateau.base_us.map_or(String::new(), |us| {
        format!(
            " (and {} for each sync besides)",
            crate::units::format_ms(us / 1e3)
        )
    });
    let why = match (plateau.confidence, plateau.limit) {
        (Confidence::High, _) => {
            "a limit whose burst is used up: what follows a rest is faster, as only a limit gives credit for one"
        }
        (Confidence::Low, Limit::Writes) => {
            "a limit, or a medium that takes so long for each write; they cannot be told apart from here"
        }
        (Confidence::Low, _) => {
            "a limit, or a medium of that bandwidth (a card, a stick, an old disk); they cannot be told apart from here"
        }
    };
    format!("a plateau at {rate}{besides} from the begin, whatever is asked for: {why}")
}
