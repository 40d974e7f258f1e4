//! The words and numbers in the cells of `metrics`' tables.

use crate::clock::Timestamp;
use crate::evidence::{Histogram, Row, Subject, SubjectKind, Table};
use crate::units::{format_bytes, format_ms, format_ns};

pub(super) fn named(subject: &Subject) -> String {
    match (&subject.node, subject.kind) {
        (Some(node), _) => format!("{} on {node}", subject.name),
        (None, SubjectKind::Member) => format!("etcd {}", subject.name),
        (None, _) => subject.name.clone(),
    }
}

pub(super) fn version(table: &Table) -> Option<String> {
    table.row("server")?.get_text("version").map(str::to_owned)
}

/// `8–16 ms`.
pub(super) fn bracket(hist: &Histogram, q: f64) -> Option<String> {
    let (low, high) = hist.bracket(q)?;
    interval(Some(low), Some(high))
}

/// The bracket in the columns `NAME_low_ms` and `NAME_high_ms`.
pub(super) fn columns(row: &Row, name: &str) -> Option<String> {
    interval(
        row.get(&format!("{name}_low_ms")),
        row.get(&format!("{name}_high_ms")),
    )
}

/// A bracket in words: `8–16 ms`, `≤ 1 ms`, `> 8.19 s`, `512 ms–1.02 s`.
pub(super) fn interval(low: Option<f64>, high: Option<f64>) -> Option<String> {
    let low = low?;
    Some(match high.filter(|high| high.is_finite()) {
        None => format!("> {}", format_ms(low)),
        Some(high) if low <= 0.0 => format!("≤ {}", format_ms(high)),
        Some(high) => {
            let (low, high) = (format_ms(low), format_ms(high));
            match (low.rsplit_once(' '), high.rsplit_once(' ')) {
                (Some((number, a)), Some((_, b))) if a == b => format!("{number}–{high}"),
                _ => format!("{low}–{high}"),
            }
        }
    })
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), whole)
}

pub(super) fn whole(value: f64) -> String {
    format!("{:.0}", value + 0.0)
}

pub(super) fn rate(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.0}")
    } else if value >= 0.95 || value == 0.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

pub(super) fn percent(share: f64) -> String {
    if share < 0.0995 {
        format!("{:.1} %", share * 100.0)
    } else {
        format!("{:.0} %", share * 100.0)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what a display wants"
)]
pub(super) fn size(bytes: f64) -> String {
    format_bytes(bytes.max(0.0).round() as u64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what a display wants"
)]
pub(super) fn seconds(secs: f64) -> String {
    format_ns((secs.max(0.0) * 1e9) as u64)
}

/// The time of day of an RFC 3339 time.
pub(super) fn clock(at: &str) -> String {
    at.split_once('T')
        .map_or(at, |(_, time)| time.trim_end_matches('Z'))
        .to_owned()
}

/// A time to the second, so that it stays in one piece on a narrow terminal.
pub(super) fn moment(text: Option<&str>) -> String {
    match text {
        None => "–".to_owned(),
        Some(text) => Timestamp::parse(text).map_or_else(|| text.to_owned(), Timestamp::to_second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_words() {
        let words = |low, high| interval(Some(low), high).unwrap();
        assert_eq!(words(8.0, Some(16.0)), "8–16 ms");
        assert_eq!(words(0.0, Some(1.0)), "≤ 1 ms");
        assert_eq!(words(8192.0, None), "> 8.19 s");
        assert_eq!(words(8192.0, Some(f64::INFINITY)), "> 8.19 s");
        assert_eq!(words(512.0, Some(1024.0)), "512 ms–1.02 s");
        assert_eq!(interval(None, Some(1.0)), None);
    }
}
