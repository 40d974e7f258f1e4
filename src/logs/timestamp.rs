//! Times as log lines write them, read by position; the minute is kept between lines.
//!
//! The hot path meets the same minute thousands of times in a row, so [`TimeCache`] compares
//! 16 bytes and adds the seconds. Nothing here guesses: a text that is not a time is `None`.

use crate::clock::Timestamp;
use crate::units::eight_digits;

const MINUTE_US: i64 = 60_000_000;
/// A quarter of an hour, of which zones are whole numbers.
pub const QUARTER_US: i64 = 900_000_000;
/// One day in microseconds.
pub const DAY_US: i64 = 86_400_000_000;

/// A time at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The point in time; without a zone it is taken as UTC.
    pub time: Timestamp,
    /// Bytes it took.
    pub len: usize,
    /// Whether it named its zone.
    pub zoned: bool,
    /// Digits of its fraction.
    pub digits: u8,
}

/// Remembers the last second that was read.
#[derive(Clone, Debug, Default)]
pub struct TimeCache {
    /// The last date and time without its seconds, and with them.
    key: [u8; 16],
    minute_us: i64,
    second: [u8; 19],
    second_us: Option<i64>,
    /// Day and month of the last completed klog time, and what was made of it.
    klog: Option<(KlogKey, i64)>,
}

type KlogKey = ([u8; 4], Option<i64>);

impl TimeCache {
    /// Reads `YYYY-MM-DDThh:mm:ss[.fraction][zone]`; also with a space for the `T`, a comma for
    /// the point, and a zone as `Z`, `+05:30`, `+0530` or `+05`.
    #[inline]
    pub fn iso(&mut self, text: &[u8]) -> Option<Stamp> {
        let (second, rest) = text.split_first_chunk::<19>()?;
        let mut us = match self.second_us {
            Some(us) if *second == self.second => us,
            _ => {
                let us = self.until_second(second)?;
                (self.second, self.second_us) = (*second, Some(us));
                us
            }
        };
        let (fraction, taken) = fraction_us(rest);
        us += i64::from(fraction);
        let digits = u8::try_from(taken.saturating_sub(1)).unwrap_or(u8::MAX);
        let mut len = 19 + taken;
        let rest = rest.get(taken..).unwrap_or_default();
        let (offset, zone_len) = match rest.first() {
            Some(b'Z') => (0, 1),
            Some(b'+' | b'-') => zone(rest)?,
            _ => (0, 0),
        };
        us -= offset;
        len += zone_len;
        Some(Stamp {
            time: Timestamp(us),
            len,
            zoned: zone_len > 0,
            digits,
        })
    }

    /// `YYYY-MM-DDThh:mm:ss.ffffffZ` and `.fffZ`, with the bytes taken, in the second of the last
    /// time that was read. `None` for anything else, good or bad.
    #[inline]
    pub fn again(&self, text: &[u8]) -> Option<(Timestamp, usize)> {
        let (second, rest) = text.split_first_chunk::<19>()?;
        let word = u64::from_le_bytes(*rest.first_chunk()?);
        let us = self.second_us.filter(|_| *second == self.second)?;
        let (point, end) = (u64::from(b'.'), u64::from(b'Z'));
        if word & 0xFF != point {
            return None;
        }
        // As six digits behind two zeros.
        let (digits, len) = if word >> 56 == end {
            (word << 8 & !0xFFFF, 27)
        } else if word >> 32 & 0xFF == end {
            (
                word << 8 & 0x0000_00FF_FFFF_0000 | 0x3030_3000_0000_0000,
                24,
            )
        } else {
            return None;
        };
        Some((
            Timestamp(us + i64::from(eight_digits(digits | 0x3030)?)),
            len,
        ))
    }

    /// `YYYY-MM-DDThh:mm:ss` in microseconds since the epoch.
    fn until_second(&mut self, text: &[u8; 19]) -> Option<i64> {
        let (head, rest) = text.split_first_chunk::<16>()?;
        if *head != self.key {
            self.minute_us = minute(head)?;
            self.key = *head;
        }
        let &[b':', tens, ones] = rest else {
            return None;
        };
        let secs = two(tens, ones)?;
        (secs <= 60).then(|| self.minute_us + i64::from(secs) * 1_000_000)
    }

    /// Completes a klog date (`mmdd`) and a time of day with the year that lies nearest to
    /// `near`, or the latest one that is not after `reference`.
    pub fn klog(&mut self, mmdd: [u8; 4], day_us: i64, year: YearFrom) -> Option<Timestamp> {
        let key = (mmdd, year.day());
        let days_us = match self.klog {
            Some((known, us)) if known == key => us,
            _ => {
                let month = two(mmdd[0], mmdd[1])?;
                let day = two(mmdd[2], mmdd[3])?;
                let us = complete(month, day, year)?;
                self.klog = Some((key, us));
                us
            }
        };
        Some(Timestamp(days_us + day_us))
    }
}

/// How many quarters of an hour a time without a zone is ahead of one that is known, if that is a
/// zone's distance. A record may lag behind its own time by some 30 s on a starved host.
pub fn quarters(local: Timestamp, known: Timestamp) -> Option<i64> {
    const LAG_US: i64 = 120_000_000;
    let apart = local.since_us(known);
    let quarters = (apart + QUARTER_US / 2).div_euclid(QUARTER_US);
    let rest = apart - quarters * QUARTER_US;
    // No zone is more than 14 hours from UTC.
    (quarters.abs() <= 56 && rest.abs() <= LAG_US).then_some(quarters)
}

/// Where a missing year is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YearFrom {
    /// Nowhere.
    Nothing,
    /// The wrapper's time: the year that brings the record nearest to it.
    Near(Timestamp),
    /// The end of the file or now: the latest year that is not a day after it.
    NotAfter(Timestamp),
}

impl YearFrom {
    /// The reference rounded to a day, so that a cache of the last day can be used.
    fn day(self) -> Option<i64> {
        match self {
            YearFrom::Nothing => None,
            YearFrom::Near(at) | YearFrom::NotAfter(at) => Some(at.0.div_euclid(DAY_US)),
        }
    }
}

/// Midnight of that day in the year that fits, in microseconds since the epoch.
pub fn complete(month: u32, day: u32, year: YearFrom) -> Option<i64> {
    let reference = year.day()?;
    let this = year_of(reference);
    let candidates = [this + 1, this, this - 1];
    let mut best: Option<i64> = None;
    for candidate in candidates {
        let Some(days) = civil_days(candidate, month, day) else {
            continue;
        };
        match year {
            YearFrom::NotAfter(_) if days <= reference + 1 => return Some(days * DAY_US),
            YearFrom::Near(_)
                if best.is_none_or(|old| (days - reference).abs() < (old - reference).abs()) =>
            {
                best = Some(days);
            }
            _ => {}
        }
    }
    // February 29 may be as far as eight years back.
    if best.is_none() {
        best = (2..=8).find_map(|back| civil_days(this - back, month, day));
    }
    best.map(|days| days * DAY_US)
}

/// Reads `hh:mm:ss[.fraction]` as microseconds of the day; with the bytes taken.
pub fn clock(text: &[u8]) -> Option<(i64, usize)> {
    let (&[h1, h2, b':', m1, m2, b':', s1, s2], rest) = text.split_first_chunk()? else {
        return None;
    };
    let (hours, minutes, secs) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hours > 23 || minutes > 59 || secs > 60 {
        return None;
    }
    let (fraction, taken) = fraction_us(rest);
    let secs = i64::from(hours * 3600 + minutes * 60 + secs);
    Some((secs * 1_000_000 + i64::from(fraction), 8 + taken))
}

/// Reads a number of seconds or, from 10^11 on, milliseconds since the epoch, as zap and klog
/// JSON write it (`1526587299.0738947`, `1738557840904.059`).
pub fn epoch(text: &[u8]) -> Option<Timestamp> {
    let mut whole: i64 = 0;
    let mut at = 0;
    while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
        whole = whole
            .checked_mul(10)?
            .checked_add(i64::from(digit - b'0'))?;
        at += 1;
    }
    if at == 0 {
        return None;
    }
    let rest = text.get(at..)?;
    let (fraction, taken) = fraction_us(rest);
    let exponent = rest.get(taken..)?;
    if !exponent.is_empty() {
        // Go prints large floats as `1.5265872990738947e+09`.
        let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        let us = if value >= 1e11 {
            value * 1e3
        } else {
            value * 1e6
        };
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        return us.is_finite().then_some(Timestamp(us as i64));
    }
    if whole >= 100_000_000_000_000_000 {
        return Some(Timestamp(whole / 1000));
    }
    if whole >= 100_000_000_000_000 {
        return Some(Timestamp(whole));
    }
    if whole >= 100_000_000_000 {
        return Some(Timestamp(whole * 1000 + i64::from(fraction) / 1000));
    }
    Some(Timestamp(whole * 1_000_000 + i64::from(fraction)))
}

/// Month from its English three-letter name.
pub fn month(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let at = NAMES.iter().position(|known| *known == name)?;
    u32::try_from(at + 1).ok()
}

/// Days since the epoch of a civil date, `None` when there is no such day.
pub fn civil_days(year: i64, month: u32, day: u32) -> Option<i64> {
    const LENGTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = LENGTHS.get(index)? + u32::from(leap && month == 2);
    if day == 0 || day > length {
        return None;
    }
    // Days from civil, as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
    let (month, day) = (i64::from(month), i64::from(day));
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The civil year of a day since the epoch.
fn year_of(days: i64) -> i64 {
    // 146 097 days are 400 years; at most one too many, then back.
    let mut year = 1971 + (days * 400).div_euclid(146_097);
    while civil_days(year, 1, 1).is_some_and(|first| first > days) {
        year -= 1;
    }
    year
}

fn minute(head: &[u8; 16]) -> Option<i64> {
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T' | b' ' | b't',
        h1,
        h2,
        b':',
        n1,
        n2,
    ] = head
    else {
        return None;
    };
    let year = i64::from(two(y1, y2)? * 100 + two(y3, y4)?);
    let days = civil_days(year, two(m1, m2)?, two(d1, d2)?)?;
    let (hours, minutes) = (two(h1, h2)?, two(n1, n2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(days * DAY_US + i64::from(hours * 60 + minutes) * MINUTE_US)
}

/// Two digits as a number.
#[inline]
pub fn two(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Microseconds of a fraction `.123456789`, with the bytes it takes; none when there is none.
#[inline]
fn fraction_us(text: &[u8]) -> (u32, usize) {
    if !matches!(text.first(), Some(b'.' | b',')) {
        return (0, 0);
    }
    // Six digits and the zone, as etcd, klog and the apiserver write it.
    if let Some(word) = text.first_chunk()
        && let Some(us) = six_digits(u64::from_le_bytes(*word))
    {
        return (us, 7);
    }
    let mut us = 0;
    let mut at = 1;
    let mut scale = 100_000;
    while let Some(digit) = text.get(at).map(|b| b.wrapping_sub(b'0')) {
        if digit > 9 || at > 18 {
            break;
        }
        us += u32::from(digit) * scale;
        scale /= 10;
        at += 1;
    }
    if at == 1 { (0, 0) } else { (us, at) }
}

/// The number in bytes 1 to 6 of a word, if all are digits and byte 7 is none.
#[inline]
fn six_digits(word: u64) -> Option<u32> {
    if word.to_le_bytes()[7].is_ascii_digit() {
        return None;
    }
    // Two zeros in front make eight.
    eight_digits(word << 8 & !0xFFFF | 0x3030)
}

/// Offset in microseconds and bytes of `+05:30`, `+0530` or `+05`.
pub fn zone(text: &[u8]) -> Option<(i64, usize)> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = two(*text.get(1)?, *text.get(2)?)?;
    let digit = |at: usize| text.get(at).copied().filter(u8::is_ascii_digit);
    let (minutes, len) = match (text.get(3), digit(3), digit(4), digit(5)) {
        (Some(b':'), _, Some(tens), Some(ones)) => (two(tens, ones)?, 6),
        (_, Some(tens), Some(ones), _) => (two(tens, ones)?, 5),
        _ => (0, 3),
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some((sign * i64::from(hours * 60 + minutes) * MINUTE_US, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso(text: &str) -> Option<(String, usize, bool)> {
        TimeCache::default()
            .iso(text.as_bytes())
            .map(|stamp| (stamp.time.to_string(), stamp.len, stamp.zoned))
    }

    #[test]
    fn the_second_that_was_read_is_read_again() {
        let mut cache = TimeCache::default();
        assert!(cache.again(b"2026-11-21T19:32:28.496Z and more").is_none());
        for text in ["2026-11-21T19:32:28.496Z", "2026-11-21T19:32:28.496007Z"] {
            let text = format!("{text}\",\"caller");
            let told = cache.iso(text.as_bytes()).unwrap();
            assert_eq!(cache.again(text.as_bytes()), Some((told.time, told.len)));
        }
        for text in [
            "2026-11-21T19:32:29.496Z",
            "2026-11-21T19:32:28.49Z",
            "2026-11-21T19:32:28.49x6Z",
            "2026-11-21T19:32:28.496+01:00",
            "2026-11-21T19:32:28,496Z",
        ] {
            assert_eq!(
                cache.again(format!("{text}     ").as_bytes()),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn every_age_of_zap_timestamps() {
        let cases = [
            ("2023-03-13T08:46:25.065Z", "2023-03-13T08:46:25.065Z", true),
            (
                "2023-09-03T16:55:11.4992Z",
                "2023-09-03T16:55:11.499200Z",
                true,
            ),
            ("2023-09-03T16:55:05Z", "2023-09-03T16:55:05.000Z", true),
            (
                "2024-11-03T16:55:11.499200Z",
                "2024-11-03T16:55:11.499200Z",
                true,
            ),
            (
                "2025-03-01T04:34:10.336768+0530",
                "2025-02-28T23:04:10.336768Z",
                true,
            ),
            (
                "2025-03-01T04:34:10-05:00",
                "2025-03-01T09:34:10.000Z",
                true,
            ),
            (
                "2021-05-14 16:47:28.068343",
                "2021-05-14T16:47:28.068343Z",
                false,
            ),
            (
                "2022-11-21T02:50:53.90545154Z",
                "2022-11-21T02:50:53.905451Z",
                true,
            ),
        ];
        for (text, want, zoned) in cases {
            let got = iso(text);
            assert_eq!(got.as_ref().map(|(time, ..)| &**time), Some(want), "{text}");
            assert_eq!(
                got.map(|(_, len, zone)| (len, zone)),
                Some((text.len(), zoned))
            );
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2023-13-13T08:46:25Z",
            "2023-02-30T08:46:25Z",
            "2023-02-20T24:46:25Z",
            "2023-02-20T20:66:25Z",
            "2023-02-20T20:06:99Z",
            "2023-02-20T20:06",
            "not a time at all!!",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }

    #[test]
    fn epochs_in_seconds_and_milliseconds() {
        assert_eq!(
            epoch(b"1526587299.0738947"),
            Some(Timestamp(1_526_587_299_073_894))
        );
        assert_eq!(
            epoch(b"1738557840904.059"),
            Some(Timestamp(1_738_557_840_904_059))
        );
        assert_eq!(
            epoch(b"1.5265872990738947e+09"),
            Some(Timestamp(1_526_587_299_073_894))
        );
        assert_eq!(
            epoch(b"1763757485693000"),
            Some(Timestamp(1_763_757_485_693_000))
        );
        assert_eq!(epoch(b""), None);
        assert_eq!(epoch(b"now"), None);
    }

    #[test]
    fn the_year_comes_from_what_is_known() {
        let at = Timestamp::parse("2026-01-02T00:00:00Z").expect("a time");
        let mut cache = TimeCache::default();
        let klog = |cache: &mut TimeCache, date: &[u8; 4], year| {
            cache.klog(*date, 0, year).map(|time| time.to_string())
        };
        // A December line in a file that ends in January is of the year before.
        let got = klog(&mut cache, b"1231", YearFrom::NotAfter(at));
        assert_eq!(got.as_deref(), Some("2025-12-31T00:00:00.000Z"));
        let got = klog(&mut cache, b"0102", YearFrom::NotAfter(at));
        assert_eq!(got.as_deref(), Some("2026-01-02T00:00:00.000Z"));
        let got = klog(&mut cache, b"1231", YearFrom::Near(at));
        assert_eq!(got.as_deref(), Some("2025-12-31T00:00:00.000Z"));
        let got = klog(&mut cache, b"0229", YearFrom::NotAfter(at));
        assert_eq!(got.as_deref(), Some("2024-02-29T00:00:00.000Z"));
        assert_eq!(klog(&mut cache, b"1331", YearFrom::NotAfter(at)), None);
        assert_eq!(klog(&mut cache, b"0101", YearFrom::Nothing), None);
    }

    #[test]
    fn civil_days_agree_with_jiff() {
        for days in (-200_000..200_000).step_by(17) {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
            let (year, month, day) = (date.year(), date.month(), date.day());
            let month = u32::from(month.unsigned_abs());
            let day = u32::from(day.unsigned_abs());
            let got = civil_days(i64::from(year), month, day);
            assert_eq!(got, Some(i64::from(days)));
            assert_eq!(year_of(i64::from(days)), i64::from(year));
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>, near: i64, date: [u8; 4]) {
            let mut cache = TimeCache::default();
            let _ = cache.iso(&text);
            let _ = clock(&text);
            let _ = epoch(&text);
            let near = Timestamp(near % 4_000_000_000_000_000);
            let _ = cache.klog(date, 0, YearFrom::Near(near));
            let _ = cache.klog(date, 0, YearFrom::NotAfter(near));
        }

        #[test]
        fn six_digits_are_read_at_once(word: u64, us in 0_u32..1_000_000, next: u8, at in 1_usize..7) {
            let mut bytes = *b".000000Z";
            bytes[1..7].copy_from_slice(format!("{us:06}").as_bytes());
            bytes[7] = next;
            let whole = (!next.is_ascii_digit()).then_some(us);
            proptest::prop_assert_eq!(six_digits(u64::from_le_bytes(bytes)), whole);
            bytes[at] = next | 0x80;
            proptest::prop_assert_eq!(six_digits(u64::from_le_bytes(bytes)), None);
            let bytes = word.to_le_bytes();
            let digits = bytes[1..7].iter().all(u8::is_ascii_digit) && !bytes[7].is_ascii_digit();
            proptest::prop_assert_eq!(six_digits(word).is_some(), digits);
        }

        #[test]
        fn what_rfc3339_prints_is_read_back(us in 0_i64..4_000_000_000_000_000) {
            let text = jiff::Timestamp::from_microsecond(us).expect("in range").to_string();
            let stamp = TimeCache::default().iso(text.as_bytes()).expect("a time");
            proptest::prop_assert_eq!(stamp.time, Timestamp(us));
        }
    }
}
