//! Points in time and the one source of "now", which tests fix.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC. Prints as RFC 3339 with a `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds since the epoch.
    pub fn from_secs(secs: i64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This point moved by `us` microseconds, stopping at the ends of time.
    pub fn add_us(self, us: i64) -> Self {
        Timestamp(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this point; negative when it is later.
    pub fn since_us(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339 (`2026-11-21T20:38:05.693Z`, `…+05:30`, also `+0530`), a date with a time
    /// (`2026-11-21 20:38:05`, taken as UTC), a date, or `@SECONDS`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(secs) = text.strip_prefix('@') {
            let secs: f64 = secs.parse().ok()?;
            #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
            return (secs.is_finite()).then_some(Timestamp((secs * 1e6) as i64));
        }
        if let Ok(zoned) = text.parse::<jiff::Timestamp>() {
            return Some(Timestamp(zoned.as_microsecond()));
        }
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Timestamp(zoned.timestamp().as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            // Millisecond precision is what every source has at least.
            Ok(ts) if self.0 % 1000 == 0 => write!(f, "{ts:.3}"),
            Ok(ts) => write!(f, "{ts:.6}"),
            Err(_) => write!(f, "@{}", self.secs()),
        }
    }
}

impl Timestamp {
    /// To the second, for people: `2026-11-21 20:55:26`.
    pub fn to_second(self) -> String {
        let text = self.to_string();
        match (text.get(..10), text.get(11..19)) {
            (Some(day), Some(time)) => format!("{day} {time}"),
            _ => text,
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

/// Where "now" comes from: the system, or a fixed point in tests and replays.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The system clock.
    System,
    /// Always this point.
    Fixed(Timestamp),
}

impl Clock {
    /// The current time.
    pub fn now(self) -> Timestamp {
        match self {
            Clock::Fixed(at) => at,
            Clock::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place")]
                let now = SystemTime::now();
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_and_programs_write() {
        let at = Timestamp(1_763_757_485_693_000);
        for text in [
            "2025-11-21T20:38:05.693Z",
            "2025-11-21T20:38:05.693+00:00",
            "2025-11-22T02:08:05.693+0530",
            "2025-11-21 20:38:05.693",
            "@1763757485.693",
        ] {
            assert_eq!(Timestamp::parse(text), Some(at), "{text}");
        }
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(at.to_string(), "2025-11-21T20:38:05.693Z");
    }
}
