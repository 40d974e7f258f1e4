//! What several rules ask of tables that have one row for each pair of scrapes.

use crate::clock::Timestamp;
use crate::evidence::{Row, Table, Unit, number};

/// Fewer values than this between two scrapes make no p99.
const MIN_VALUES: f64 = 50.0;

/// The pair of scrapes with the worst p99.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Worst {
    /// Lower end of its bracket, in milliseconds.
    pub(crate) low: f64,
    /// Upper end, where the bracket is closed.
    pub(crate) high: Option<f64>,
    /// From when to when, for people.
    pub(crate) when: String,
}

impl Worst {
    /// `between 2 s and 4 s from 20:57:04 to 20:57:46`.
    pub(crate) fn words(&self) -> String {
        let high = match self.high {
            Some(high) if high.is_finite() => number(high, Unit::Ms),
            _ => "∞".to_owned(),
        };
        format!(
            "between {} and {high} from {}",
            number(self.low, Unit::Ms),
            self.when
        )
    }
}

/// The pair of scrapes in which p99 was worst, of those with enough values.
pub(crate) fn worst(table: &Table) -> Option<Worst> {
    most(table, "p99_low_ms", "p99_high_ms", |row| row.get("count"))
}

/// The same of the latency of etcd requests in kube-apiserver's table of phases.
pub(crate) fn worst_etcd_requests(table: &Table) -> Option<Worst> {
    most(table, "etcd_p99_low_ms", "etcd_p99_high_ms", |row| {
        Some(row.get("etcd_per_sec")? * row.get("secs")?)
    })
}

fn most(
    table: &Table,
    low: &str,
    high: &str,
    count: impl Fn(&Row) -> Option<f64>,
) -> Option<Worst> {
    table
        .rows
        .iter()
        .filter(|row| count(row).is_some_and(|count| count >= MIN_VALUES))
        .filter_map(|row| Some((row, row.get(low)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(row, low)| Worst {
            low,
            high: row.get(high),
            when: span(&row.key, row.get("secs")),
        })
}

/// `20:57:04 to 20:57:46`, by the begin of a row and its length.
pub(crate) fn span(begin: &str, secs: Option<f64>) -> String {
    let clock = |at: Timestamp| {
        let text = at.to_string();
        let time = text.split('T').nth(1).unwrap_or(&text);
        time.get(..8).unwrap_or(time).to_owned()
    };
    match (Timestamp::parse(begin), secs) {
        (Some(from), Some(secs)) => {
            #[expect(clippy::cast_possible_truncation, reason = "a scrape interval")]
            let to = from.add_us((secs * 1e6) as i64);
            format!("{} to {}", clock(from), clock(to))
        }
        _ => begin.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::table;

    #[test]
    fn the_worst_pair_with_enough_values_is_named() {
        let rows = table(&[
            (
                "2026-11-21T20:57:04.413Z",
                &[
                    ("count", 60.0),
                    ("p99_low_ms", 2048.0),
                    ("p99_high_ms", 4096.0),
                    ("secs", 42.3),
                ],
            ),
            (
                "2026-11-21T20:57:46.716Z",
                &[("count", 49.0), ("p99_low_ms", 8192.0), ("secs", 5.0)],
            ),
        ]);
        let worst = worst(&rows).unwrap();
        assert_eq!((worst.low, worst.high), (2048.0, Some(4096.0)));
        assert_eq!(worst.when, "20:57:04 to 20:57:46");
        assert_eq!(
            worst.words(),
            "between 2.05 s and 4.1 s from 20:57:04 to 20:57:46"
        );
    }
}
