//! When a scrape was taken, as far as a file name or the scrape itself tells.

use crate::clock::Timestamp;

/// How the time of a scrape is known, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeSource {
    /// The scrape was taken by this program, or Prometheus says so.
    Taken,
    /// The samples carry a time.
    Sample,
    /// The file's name holds a time.
    Name,
    /// The file was last changed then.
    Modified,
    /// The last garbage collection; Go forces one every two minutes, so this is at most that early.
    LastGc,
}

/// A time in a file name, and where it stands there.
///
/// Reads `20261121T203026.483Z`, `2026-11-21T20:30:26Z`, `2026-11-21_20-30-26`,
/// `20261121203026`, and seconds or milliseconds since the epoch. Times without a zone are UTC.
pub(super) fn time_in(name: &str) -> Option<(Timestamp, std::ops::Range<usize>)> {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at..)?
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if digits == 0 {
            at += 1;
            continue;
        }
        if let Some((time, len)) =
            civil(bytes.get(at..)?).or_else(|| epoch(bytes.get(at..at + digits)?))
        {
            return Some((time, at..at + len));
        }
        at += digits;
    }
    None
}

/// Seconds (10 digits) or milliseconds (13) since the epoch, between 2015 and 2100.
fn epoch(digits: &[u8]) -> Option<(Timestamp, usize)> {
    let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let us = match digits.len() {
        10 => number.checked_mul(1_000_000)?,
        13 => number.checked_mul(1_000)?,
        _ => return None,
    };
    (1_420_000_000_000_000..4_102_444_800_000_000)
        .contains(&us)
        .then_some((Timestamp(us), digits.len()))
}

fn civil(text: &[u8]) -> Option<(Timestamp, usize)> {
    let mut reader = Reader { text, at: 0 };
    let year = reader.digits(4)?;
    let dashed = reader.skip(b"-_.");
    let month = reader.digits(2)?;
    if reader.skip(b"-_.") != dashed {
        return None;
    }
    let day = reader.digits(2)?;
    let parted = reader.skip(b"T_-t ");
    let hour = reader.digits(2)?;
    let colons = reader.text.get(reader.at) == Some(&b':');
    reader.skip(b":-_.h");
    let minute = reader.digits(2)?;
    let before = reader.at;
    reader.skip(b":-_.m");
    let second = match reader.digits(2) {
        Some(second) => second,
        None => {
            reader.at = before;
            0
        }
    };
    // A bare run of digits must be exactly a date and a time, or it is some other number.
    if !parted && !dashed && reader.next_is_digit() {
        return None;
    }
    let mut micros = 0;
    let before = reader.at;
    if reader.skip(b".,") {
        match reader.fraction() {
            Some(fraction) => micros = fraction,
            None => reader.at = before,
        }
    }
    let offset = reader.zone(colons);
    if !(2015..2100).contains(&year) {
        return None;
    }
    let narrow = |n: i64| i8::try_from(n).ok();
    let date = jiff::civil::DateTime::new(
        i16::try_from(year).ok()?,
        narrow(month)?,
        narrow(day)?,
        narrow(hour)?,
        narrow(minute)?,
        narrow(second)?,
        0,
    )
    .ok()?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let us = zoned.timestamp().as_microsecond() + micros - offset * 1_000_000;
    Some((Timestamp(us), reader.at))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.text.get(self.at..self.at + count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.at += count;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn skip(&mut self, any: &[u8]) -> bool {
        let hit = self.text.get(self.at).is_some_and(|b| any.contains(b));
        self.at += usize::from(hit);
        hit
    }

    fn next_is_digit(&self) -> bool {
        self.text.get(self.at).is_some_and(u8::is_ascii_digit)
    }

    fn fraction(&mut self) -> Option<i64> {
        let mut micros = 0;
        let mut scale = 100_000;
        let start = self.at;
        while let Some(digit) = self.text.get(self.at).filter(|b| b.is_ascii_digit()) {
            micros += i64::from(digit - b'0') * scale;
            scale /= 10;
            self.at += 1;
        }
        (self.at > start).then_some(micros)
    }

    /// `Z`, `+05:30` or `+0530`; seconds east of UTC. After a time without colons `-0530` is a running number as
    /// well as a zone: it is taken for the number, as hours that differ from file to file would spoil every rate.
    fn zone(&mut self, colons: bool) -> i64 {
        if self.skip(b"Zz") {
            return 0;
        }
        let before = self.at;
        let east = match self.text.get(self.at) {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return 0,
        };
        self.at += 1;
        let hours = self.digits(2);
        let colon = self.skip(b":");
        let surely = east > 0 || colon || colons;
        match (hours, self.digits(2)) {
            (Some(hours), Some(minutes))
                if surely && is_offset(east, hours, minutes) && !self.next_is_digit() =>
            {
                east * (hours * 3600 + minutes * 60)
            }
            _ => {
                self.at = before;
                0
            }
        }
    }
}

/// Whether a zone can be so far from UTC: quarters of an hour, from 12 hours west to 14 hours east.
fn is_offset(east: i64, hours: i64, minutes: i64) -> bool {
    let farthest = if east < 0 { 12 } else { 14 };
    minutes % 15 == 0 && minutes < 60 && hours * 60 + minutes <= farthest * 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_names() {
        let cases = [
            (
                "etcd-m0-20261121T203026.483Z.prom",
                "2026-11-21T20:30:26.483Z",
            ),
            ("etcd_2026-11-21T20:30:26Z.txt", "2026-11-21T20:30:26.000Z"),
            ("2026-11-21_20-30-26-etcd", "2026-11-21T20:30:26.000Z"),
            ("etcd-20261121203026.prom", "2026-11-21T20:30:26.000Z"),
            ("etcd-20261121-203026", "2026-11-21T20:30:26.000Z"),
            (
                "etcd-2026-11-21T22:30:26+0200.prom",
                "2026-11-21T20:30:26.000Z",
            ),
            (
                "etcd-2026-11-21T15:30:26-0500.prom",
                "2026-11-21T20:30:26.000Z",
            ),
            (
                "etcd-20261121T153026-05:00.prom",
                "2026-11-21T20:30:26.000Z",
            ),
            // Running numbers.
            ("etcd-20261121T203026-1432.prom", "2026-11-21T20:30:26.000Z"),
            ("etcd-20261121T203026-0100.prom", "2026-11-21T20:30:26.000Z"),
            (
                "etcd-2026-11-21T20:30:26-1432.prom",
                "2026-11-21T20:30:26.000Z",
            ),
            ("etcd-1795293026", "2026-11-21T20:30:26.000Z"),
            ("etcd.1795293026483.prom", "2026-11-21T20:30:26.483Z"),
            ("etcd-2026-11-21T20-30.prom", "2026-11-21T20:30:00.000Z"),
        ];
        for (name, expected) in cases {
            let (at, range) = time_in(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(at.to_string(), expected, "{name}");
            assert!(name.get(range).is_some());
        }
        for name in [
            "etcd.prom",
            "10.0.0.1:2381",
            "etcd-m0-1",
            "etcd-82031fc550a3a77e",
            "lab13-cp0",
            "12345678901234567890",
        ] {
            assert_eq!(time_in(name), None, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(name in "[0-9TZ:._+-]{0,40}|\\PC{0,40}") {
            if let Some((_, range)) = time_in(&name) {
                assert!(name.get(range).is_some());
            }
        }
    }
}
