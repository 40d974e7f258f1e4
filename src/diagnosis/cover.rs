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

/// How a reading of these stretches of time lies to the trouble: `None` when most of the trouble was
/// at another time. `longest_secs` is its longest single window, where it is the worst of several.
pub(super) fn cover(
    reader: &Reader<'_>,
    profile: &Profile,
    stretches: &[Window],
    longest_secs: Option<f64>,
) -> Option<Cover> {
    let measured = with_edges(stretches);
    if !covers_trouble(reader, &measured) {
        return None;
    }
    let mut cover = Cover {
        stretch: 1.0,
        longest_wait_ms: 0.0,
    };
    if measured.is_empty() {
        return Some(cover);
    }
    let length = |window: &Window| Some(window.to?.since_us(window.from?));
    let whole_us: i64 = stretches.iter().filter_map(length).sum();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds between two samples"
    )]
    let one_us = longest_secs.map_or(whole_us, |secs| ((secs * 1e6) as i64).min(whole_us));
    let mut spans: Vec<(Timestamp, Timestamp)> = Vec::new();
    let mut count = 0.0;
    for episode in signs(reader) {
        let meets =
            |(from, to): &&(Timestamp, Timestamp)| episode.to >= *from && episode.from <= *to;
        let met = spans.len();
        let end = episode.to.max(episode.from.add_us(SIGN_US));
        let parts = measured.iter().filter(meets);
        spans.extend(parts.map(|(from, to)| (episode.from.max(*from), end.min(*to))));
        if spans.len() == met {
            continue;
        }
        count += episode.count as f64;
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
    let record = reader.record(key, subject);
    let stretches = record.map(|record| record.stretches()).unwrap_or_default();
    let secs = longest.and_then(|key| reader.peek(key, subject));
    cover(reader, profile, &stretches, secs)
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

/// Stretches of time with what still belongs to them, by time.
fn with_edges(stretches: &[Window]) -> Vec<(Timestamp, Timestamp)> {
    let wider = stretches.iter().filter_map(|stretch| {
        let (from, to) = stretch.from.zip(stretch.to)?;
        Some(Window::between(from.add_us(-EDGE_US), to.add_us(EDGE_US)))
    });
    let joined = Window::stretches(wider);
    joined
        .iter()
        .filter_map(|stretch| stretch.from.zip(stretch.to))
        .collect()
}

/// Whether the slow requests that logs tell of were, for the most part, at a time that was measured.
/// Of a measurement without a time nothing else is known.
fn covers_trouble(reader: &Reader<'_>, measured: &[(Timestamp, Timestamp)]) -> bool {
    if measured.is_empty() {
        return true;
    }
    let (mut inside, mut outside) = (0.0, 0.0);
    for episode in signs(reader).iter().filter(|e| e.kind == "slow-apply") {
        let span = episode.to.since_us(episode.from).max(0);
        let shared = measured
            .iter()
            .map(|(from, to)| episode.to.min(*to).since_us(episode.from.max(*from)))
            .filter(|shared| *shared >= 0);
        // Requests of an episode are taken to be spread evenly over it.
        let share = match (shared.reduce(|a, b| a + b), span) {
            (None, _) => 0.0,
            (_, 0) => 1.0,
            (Some(shared), span) => (shared as f64 / span as f64).min(1.0),
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
            (record.stretches(), secs)
        })
    });
    let histograms = histograms
        .iter()
        .flat_map(|key| reader.records(key))
        .map(|record| (record.stretches(), None));
    let mut lacks = Lacks::default();
    for (stretches, secs) in numbers.chain(histograms) {
        match cover(reader, profile, &stretches, secs) {
            None => lacks.uncovered = true,
            Some(cover) => lacks.diluted |= secs.is_some() && cover.diluted(),
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Set, episode, episodes, member};

    #[test]
    fn what_was_measured_before_and_after_says_nothing_of_the_time_between() {
        let run = |from: i64, to: i64| {
            Window::between(Timestamp::from_secs(from), Timestamp::from_secs(to))
        };
        let trouble = |from, to| {
            let all = episodes(vec![episode("slow-apply", from, to)]);
            Set::new().put(&keys::LOGS_EPISODES, member(), all)
        };
        let covers = |set: Set, covered: Vec<Window>| {
            let set = set.put_over(&keys::RUN_DELAY, member(), 0.0, 10_000);
            let mut record = set.0.record(&keys::RUN_DELAY, &member()).unwrap().clone();
            record.covered = covered;
            covers_trouble(&Reader::new(&set.0), &with_edges(&record.stretches()))
        };
        let two = || vec![run(0, 100), run(9_900, 10_000)];
        assert!(covers(trouble(5_000, 5_010), vec![]));
        assert!(!covers(trouble(5_000, 5_010), two()));
        assert!(covers(trouble(20, 30), two()));
        assert!(covers(trouble(9_950, 9_951), two()));
        // A moment at the edge, and one that reaches into the gap for the most part.
        assert!(covers(trouble(103, 103), two()));
        assert!(!covers(trouble(50, 1_000), two()));
    }
}
