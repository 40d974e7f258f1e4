//! How steadily clients ask: their requests second by second, and the gaps between two requests
//! for the same object.
//!
//! A client that waits for changes is irregular. One that spins asks at the rate of its limiter or
//! its timer: the same number in every second, the same gap before every request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::table::RowValue;

/// A pace is steady when so many of the active seconds have it.
const PINNED: f64 = 0.8;
/// Fewer active seconds than this make no pace.
const MIN_SECONDS: u64 = 30;
/// A gap is steady when its spread is at most this share of it.
const STEADY: f64 = 0.35;

/// Requests of one client over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaceRow {
    /// Requests.
    pub requests: u64,
    /// Answers 404.
    pub not_found: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Seconds by the number of requests in them; the first and the last second are apart.
    seconds: BTreeMap<u64, u64>,
    /// The first and the last second, which the pieces before and after may add to.
    open: Vec<(i64, u64)>,
}

impl PaceRow {
    /// Adds one request.
    pub fn add_request(&mut self, at: Timestamp, code: u16) {
        self.requests += 1;
        self.not_found += u64::from(code == 404);
        self.throttled += u64::from(code == 429);
        self.add_second(at.secs(), 1);
    }

    fn add_second(&mut self, second: i64, requests: u64) {
        match self.open.last_mut() {
            // Records are written in the order in which requests end, or nearly so.
            Some(last) if last.0 >= second => last.1 += requests,
            _ => {
                if self.open.len() == 2
                    && let Some((_, requests)) = self.open.pop()
                {
                    *self.seconds.entry(rounded(requests)).or_default() += 1;
                }
                self.open.push((second, requests));
            }
        }
    }

    /// Seconds in which it asked at all.
    pub fn active_secs(&self) -> u64 {
        self.all().values().sum()
    }

    fn all(&self) -> BTreeMap<u64, u64> {
        let mut all = self.seconds.clone();
        for (_, requests) in &self.open {
            *all.entry(rounded(*requests)).or_default() += 1;
        }
        all
    }

    /// Requests per second that it is pinned at, and the share of its active seconds that have
    /// them, within a tenth.
    pub fn plateau(&self) -> Option<(f64, f64)> {
        let all = self.all();
        let active: u64 = all.values().sum();
        if active < MIN_SECONDS {
            return None;
        }
        let near = |rate: u64| {
            let slack = (rate / 10).max(1);
            all.range(rate.saturating_sub(slack)..=rate + slack)
                .map(|(_, seconds)| seconds)
                .sum::<u64>()
        };
        let rate = all
            .iter()
            .max_by_key(|(rate, seconds)| (**seconds, **rate))
            .map(|(rate, _)| *rate)?;
        let share = near(rate) as f64 / active as f64;
        (share >= PINNED && rate >= 3).then_some((rate as f64, share))
    }
}

/// Two digits: enough for a rate, and so that there are few.
fn rounded(n: u64) -> u64 {
    let mut scale = 1;
    while n / scale >= 100 {
        scale *= 10;
    }
    n / scale * scale
}

impl RowValue for PaceRow {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.not_found += other.not_found;
        self.throttled += other.throttled;
        for (at, (second, requests)) in other.open.iter().enumerate() {
            self.add_second(*second, *requests);
            if at == 0 {
                for (requests, seconds) in &other.seconds {
                    *self.seconds.entry(*requests).or_default() += seconds;
                }
            }
        }
    }

    fn raise(&mut self, other: &Self) {
        self.requests = self.requests.max(other.requests);
        self.not_found = self.not_found.max(other.not_found);
        self.throttled = self.throttled.max(other.throttled);
    }

    fn weight(&self) -> u64 {
        self.requests
    }
}

/// Requests of one client for one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectRow {
    /// Requests.
    pub requests: u64,
    /// Answers 404.
    pub not_found: u64,
    /// First one.
    pub first: Option<Timestamp>,
    /// Last one.
    pub last: Option<Timestamp>,
    /// Sum of the squares of the gaps, in square milliseconds.
    squares: u64,
}

impl ObjectRow {
    /// Adds one request.
    pub fn add_request(&mut self, at: Timestamp, code: u16) {
        self.add(&ObjectRow {
            requests: 1,
            not_found: u64::from(code == 404),
            first: Some(at),
            last: Some(at),
            squares: 0,
        });
    }

    /// Requests per second between the first and the last one.
    pub fn rate(&self) -> Option<f64> {
        let secs = self.last?.since_us(self.first?) as f64 / 1e6;
        (secs >= 1.0 && self.requests > 1).then(|| (self.requests - 1) as f64 / secs)
    }

    /// Whether the gaps are all about the same.
    pub fn is_steady(&self) -> bool {
        let enough = self.requests > 10;
        enough && self.spread().is_some_and(|spread| spread <= STEADY)
    }

    /// Requests per second where the gaps are all about the same for long enough: what a start asks for at
    /// the pace of its limiter ends within seconds.
    pub fn steady_rate(&self) -> Option<f64> {
        let secs = self.last?.since_us(self.first?) / 1_000_000;
        let lasts = u64::try_from(secs).is_ok_and(|secs| secs >= MIN_SECONDS);
        (lasts && self.is_steady()).then(|| self.rate()).flatten()
    }

    /// The spread of the gaps, in gaps.
    fn spread(&self) -> Option<f64> {
        let mean = 1e3 / self.rate()?;
        let gaps = (self.requests - 1) as f64;
        let variance = self.squares as f64 / gaps - mean * mean;
        Some(variance.max(0.0).sqrt() / mean)
    }

    /// Adds what the same client asked for the same object through another server. Of two logs of one
    /// time the gaps between a request of the one and a request of the other say nothing, so that the
    /// pace is as steady as the less steady of both.
    fn add_beside(&mut self, other: &Self) {
        let bounds = |row: &Self| Some((row.first?, row.last?));
        let (Some((first, last)), Some((from, to))) = (bounds(self), bounds(other)) else {
            return self.add(other);
        };
        if from >= last {
            return self.add(other);
        }
        if first >= to {
            let mut whole = other.clone();
            whole.add(self);
            *self = whole;
            return;
        }
        let spread = self.spread().into_iter().chain(other.spread());
        let spread = spread.fold(0.0, f64::max);
        self.add(other);
        if let Some(rate) = self.rate() {
            let (mean, gaps) = (1e3 / rate, (self.requests - 1) as f64);
            self.squares = whole(gaps * mean * mean * (1.0 + spread * spread));
        }
    }
}

/// A number without its fraction.
fn whole(n: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what does not fit becomes the nearest that does"
    )]
    let whole = n.round() as u64;
    whole
}

impl RowValue for ObjectRow {
    fn add(&mut self, other: &Self) {
        if let (Some(last), Some(first)) = (self.last, other.first) {
            let ms = first.since_us(last).max(0).unsigned_abs() / 1_000;
            self.squares = self.squares.saturating_add(ms.saturating_mul(ms));
        }
        self.squares = self.squares.saturating_add(other.squares);
        self.requests += other.requests;
        self.not_found += other.not_found;
        self.first = super::kinds::earliest(self.first, other.first);
        self.last = self.last.max(other.last);
    }

    fn beside(&mut self, other: &Self) {
        self.add_beside(other);
    }

    fn raise(&mut self, other: &Self) {
        self.requests = self.requests.max(other.requests);
        self.not_found = self.not_found.max(other.not_found);
    }

    fn weight(&self) -> u64 {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_795_201_602_000_000 + ms * 1000)
    }

    #[test]
    fn ten_a_second_is_a_plateau_and_bursts_are_not() {
        let mut pinned = PaceRow::default();
        let mut bursts = PaceRow::default();
        for step in 0..600 {
            pinned.add_request(at(step * 100), 200);
            // The same number, in one second of six.
            bursts.add_request(at(step / 60 * 6000 + step % 60), 200);
        }
        assert_eq!(pinned.plateau(), Some((10.0, 1.0)));
        assert_eq!(pinned.active_secs(), 60);
        assert_eq!(bursts.plateau(), None);
    }

    #[test]
    fn equal_gaps_are_steady() {
        let mut steady = ObjectRow::default();
        let mut random = ObjectRow::default();
        for step in 0..100_i64 {
            steady.add_request(at(step * 500 + step % 7), 404);
            random.add_request(at(step * 500 + step * step % 487 * 17), 200);
        }
        assert!(steady.is_steady());
        assert_eq!(steady.not_found, 100);
        assert!((steady.rate().unwrap() - 2.0).abs() < 0.01);
        assert!(!random.is_steady());
        assert_eq!(steady.steady_rate(), steady.rate());
        assert_eq!(random.steady_rate(), None);
    }

    /// A controller at its start, held at 8/s by its limiter.
    #[test]
    fn a_short_burst_at_equal_gaps_is_no_steady_rate() {
        let lasting = |secs: i64| {
            let mut row = ObjectRow::default();
            (0..=secs * 8).for_each(|step| row.add_request(at(step * 125), 200));
            row
        };
        assert!(lasting(29).is_steady());
        assert_eq!(lasting(29).steady_rate(), None);
        assert_eq!(lasting(30).steady_rate(), Some(8.0));
    }

    /// A client that goes round three servers asks through each at a third of its rate.
    #[test]
    fn a_pace_that_is_spread_over_servers_is_added_up() {
        let mut servers = [(); 3].map(|()| ObjectRow::default());
        let mut bursts = [(); 2].map(|()| ObjectRow::default());
        for step in 0..300_i64 {
            servers[usize::try_from(step % 3).unwrap()].add_request(at(step * 83), 200);
            bursts[0].add_request(at(step / 50 * 20_000 + step % 50), 200);
            bursts[1].add_request(at(step * 400), 200);
        }
        let all = |rows: &[ObjectRow]| {
            let mut whole = ObjectRow::default();
            rows.iter().for_each(|row| whole.beside(row));
            whole
        };
        let whole = all(&servers);
        assert!((whole.rate().unwrap() - 12.0).abs() < 0.1);
        assert!(whole.is_steady());
        assert!(!all(&bursts).is_steady());
        // One after the other, in any order.
        let mut later = ObjectRow::default();
        (0..100).for_each(|step| later.add_request(at(24_900 + step * 249), 200));
        let parts = [later, servers[0].clone()];
        assert!(all(&parts).is_steady());
    }

    proptest! {
        #[test]
        fn pieces_in_a_row_make_the_whole(gaps in prop::collection::vec(0_i64..3000, 1..60), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(gaps.len());
            let mut now = 0;
            let (mut whole, mut first, mut second) = (PaceRow::default(), PaceRow::default(), PaceRow::default());
            let (mut object, mut before, mut after) = (ObjectRow::default(), ObjectRow::default(), ObjectRow::default());
            for (step, gap) in gaps.iter().enumerate() {
                now += gap;
                whole.add_request(at(now), 200);
                object.add_request(at(now), 200);
                let (pace, row) = if step < cut { (&mut first, &mut before) } else { (&mut second, &mut after) };
                pace.add_request(at(now), 200);
                row.add_request(at(now), 200);
            }
            first.add(&second);
            before.add(&after);
            prop_assert_eq!(first, whole);
            prop_assert_eq!(before, object);
        }
    }
}
