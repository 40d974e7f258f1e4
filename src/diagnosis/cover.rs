//! For which time a measurement speaks, and how much a mean over a long window may hide.
//!
//! A measurement clears nothing for any other time than its own. And one number for a long window
//! clears nothing that was short: at worst, all that it counts fell into the time of the trouble.

use crate::clock::Timestamp;
use crate::evidence::{Episode, Key, Reader, Subject, Window, keys};
use crate::profile::Profile;

/// Microseconds around a window that still belong to it: scrapes and lines have clocks of their own.
const EDGE_US: i64 = 5_000_000;
/// What one sign counts for at least, in microseconds: a line has a moment and seldom a length.
const SIGN_US: i64 = 1_000_000;
/// Lines by which etcd says that something holds it up.
const SIGNS: &[&str] = &[
    "heartbeat-late",
    "readindex-retry",
    "slow-apply",
    "tick-missed",
    "wal-sync-slow",
];

/// How the time of a measurement lies to that of the trouble.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cover {
    /// How many times longer a single window is than the trouble in it; 1 without trouble.
    stretch: f64,
    /// The longest wait that was logged meanwhile, in milliseconds.
    longest_wait_ms: f64,
}

impl Cover {
    /// Whether a mean is within a limit for the time of the trouble as well. `whole_ms` is all the
    /// time that it is the mean of: what took less in sum than one request waited hid no such wait.
    pub(super) fn within(self, mean: f64, limit: f64, whole_ms: f64) -> bool {
        mean * self.stretch <= limit || whole_ms < self.longest_wait_ms
    }

    /// What a rate or mean is at worst while the trouble lasts.
    pub(super) fn at_worst(self, mean: f64) -> f64 {
        mean * self.stretch
    }

    /// The quantile of a whole window that tells of this one of the trouble: all that was slow may
    /// have fallen into it.
    pub(super) fn quantile(self, q: f64) -> f64 {
        1.0 - (1.0 - q) / self.stretch
    }

    /// Whether the trouble was short beside the window.
    fn diluted(self) -> bool {
        self.stretch > 2.0
    }
}

/// How a reading lies to the trouble: `None` when most of the trouble was at another time.
/// `longest_secs` is its longest single window, where the reading is the worst of several.
pub(super) fn cover(
    reader: &Reader<'_>,
    profile: &Profile,
    window: Window,
    longest_secs: Option<f64>,
) -> Option<Cover> {
    if !covers_trouble(reader, window) {
        return None;
    }
    let mut cover = Cover {
        stretch: 1.0,
        longest_wait_ms: 0.0,
    };
    let (Some(from), Some(to)) = (window.from, window.to) else {
        return Some(cover);
    };
    let whole_us = to.since_us(from);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds between two samples"
    )]
    let one_us = longest_secs.map_or(whole_us, |secs| ((secs * 1e6) as i64).min(whole_us));
    let (from, to) = (from.add_us(-EDGE_US), to.add_us(EDGE_US));
    let mut spans: Vec<(Timestamp, Timestamp)> = Vec::new();
    let mut count = 0.0;
    for episode in signs(reader) {
        if episode.to < from || episode.from > to {
            continue;
        }
        let end = episode.to.max(episode.from.add_us(SIGN_US));
        count += episode.count as f64;
        spans.push((episode.from.max(from), end.min(to)));
        let waits = ["slow-apply", "wal-sync-slow"].contains(&episode.kind.as_str());
        let longest = episode.max_ms.filter(|_| waits).unwrap_or(0.0);
        cover.longest_wait_ms = cover.longest_wait_ms.max(longest);
    }
    let trouble_us = longest_incident(spans, one_us);
    // A few lines are no trouble: a start or a compaction writes them.
    if trouble_us > 0 && count >= profile.get("slow-requests-min") {
        cover.stretch = (one_us as f64 / trouble_us as f64).max(1.0);
    }
    Some(cover)
}

/// The same of a reading of one key. `longest` is the key that holds its longest single window.
pub(super) fn cover_of<T>(
    reader: &Reader<'_>,
    profile: &Profile,
    key: &Key<T>,
    subject: &Subject,
    longest: Option<&Key<f64>>,
) -> Option<Cover> {
    let window = reader
        .record(key, subject)
        .map_or_else(Window::default, |record| record.window);
    let secs = longest.and_then(|key| reader.peek(key, subject));
    cover(reader, profile, window, secs)
}

fn signs(reader: &Reader<'_>) -> Vec<Episode> {
    reader
        .all(&keys::LOGS_EPISODES)
        .into_iter()
        .flat_map(|(_, list)| list.episodes)
        .filter(|episode| !episode.planned && SIGNS.contains(&episode.kind.as_str()))
        .collect()
}

/// How long the largest incident held on: what lies further apart than one window is another one.
fn longest_incident(mut spans: Vec<(Timestamp, Timestamp)>, one_us: i64) -> i64 {
    spans.sort();
    let (mut longest, mut sum) = (0, 0);
    let mut end: Option<Timestamp> = None;
    for (from, to) in spans {
        let gap = end.map_or(0, |end| from.since_us(end));
        if gap > one_us {
            sum = 0;
        }
        let new_from = end.map_or(from, |end| from.max(end));
        sum += to.since_us(new_from).max(0);
        longest = longest.max(sum);
        end = Some(end.map_or(to, |end| end.max(to)));
    }
    longest
}

/// Whether the slow requests that logs tell of were, for the most part, at a time in which `window`
/// was measured.
fn covers_trouble(reader: &Reader<'_>, window: Window) -> bool {
    let (Some(from), Some(to)) = (window.from, window.to) else {
        return true;
    };
    let (from, to) = (from.add_us(-EDGE_US), to.add_us(EDGE_US));
    let (mut inside, mut outside) = (0.0, 0.0);
    for episode in signs(reader).iter().filter(|e| e.kind == "slow-apply") {
        let span = episode.to.since_us(episode.from).max(0);
        let shared = episode.to.min(to).since_us(episode.from.max(from));
        // Requests of an episode are taken to be spread evenly over it.
        let share = match (shared, span) {
            (shared, _) if shared < 0 => 0.0,
            (_, 0) => 1.0,
            (shared, span) => (shared as f64 / span as f64).min(1.0),
        };
        let count = episode.count as f64;
        inside += count * share;
        outside += count * (1.0 - share);
    }
    inside >= outside
}

/// What is lacking in time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lacks {
    /// Something that tells causes from each other was measured at another time than the trouble.
    pub(super) uncovered: bool,
    /// The trouble is short beside the windows of such a measurement.
    pub(super) diluted: bool,
}

/// What the times of measurements lack.
pub(super) fn lacks(reader: &Reader<'_>, profile: &Profile) -> Lacks {
    let device = Some(&keys::DEVICE_SAMPLE_SECS);
    let process = Some(&keys::PROCESS_SAMPLE_SECS);
    let numbers = [
        (&keys::CGROUP_THROTTLED, process),
        (&keys::DEVICE_FLUSH_TIME, device),
        (&keys::DEVICE_WRITE_TIME, device),
        (&keys::RUN_DELAY, process),
    ];
    let histograms = [
        &keys::APISERVER_ETCD_TOOK,
        &keys::PEER_RTT,
        &keys::WAL_FSYNC,
    ];
    let numbers = numbers.into_iter().flat_map(|(key, longest)| {
        let records = reader.records(key).into_iter();
        records.map(move |record| {
            let secs = longest.and_then(|longest| reader.peek(longest, &record.subject));
            (record.window, secs)
        })
    });
    let histograms = histograms
        .iter()
        .flat_map(|key| reader.records(key))
        .map(|record| (record.window, None));
    let mut lacks = Lacks::default();
    for (window, secs) in numbers.chain(histograms) {
        match cover(reader, profile, window, secs) {
            None => lacks.uncovered = true,
            Some(cover) => lacks.diluted |= secs.is_some() && cover.diluted(),
        }
    }
    lacks
}
