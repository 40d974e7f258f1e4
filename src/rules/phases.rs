//! What several rules ask of tables that have one row for each pair of scrapes.

use crate::clock::Timestamp;
use crate::evidence::{Row, Table, Unit, number};
use crate::profile::Profile;

/// The pair of scrapes with the worst p99.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Worst {
    /// Lower end of its bracket, in milliseconds.
    pub(crate) low: f64,
    /// Upper end, where the bracket is closed.
    pub(crate) high: Option<f64>,
    /// How many values there were.
    pub(crate) count: f64,
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
            "between {} and {high} from {} ({:.0} values)",
            number(self.low, Unit::Ms),
            self.when,
            self.count
        )
    }
}

/// The pair of scrapes in which p99 was worst, of those whose p99 rests on enough: on as many values as
/// a hundredth part needs, or on several slow ones.
pub(crate) fn worst(table: &Table, profile: &Profile) -> Option<Worst> {
    most(table, profile, "", |row| row.get("count"))
}

/// The last pair of scrapes that tells a p99, where that came down since the worst pair: by more than
/// one step of etcd's buckets, each of which is twice the one before.
pub(crate) fn at_the_end(table: &Table, profile: &Profile) -> Option<Worst> {
    let worst = worst(table, profile)?;
    let told = table
        .rows
        .iter()
        .filter(|row| enough(row, "", row.get("count"), profile));
    let last = told.max_by(|a, b| a.key.cmp(&b.key))?;
    let (low, high) = (last.get("p99_low_ms")?, last.get("p99_high_ms")?);
    (high <= worst.low / 2.0).then(|| Worst {
        low,
        high: Some(high),
        count: last.get("count").unwrap_or_default(),
        when: span(&last.key, last.get("secs")),
    })
}

/// Whether the p99 of a row rests on enough. How many values are above, older evidence does not tell.
fn enough(row: &Row, prefix: &str, count: Option<f64>, profile: &Profile) -> bool {
    let tail = row.get(&format!("{prefix}p99_tail"));
    count.is_some_and(|count| count >= profile.get("p99-values"))
        || count.is_some() && tail.is_some_and(|tail| tail >= profile.get("slow-values"))
}

/// The same of the latency of etcd requests in kube-apiserver's table of phases.
pub(crate) fn worst_etcd_requests(table: &Table, profile: &Profile) -> Option<Worst> {
    most(table, profile, "etcd_", |row| {
        Some(row.get("etcd_per_sec")? * row.get("secs")?)
    })
}

fn most(
    table: &Table,
    profile: &Profile,
    prefix: &str,
    count: impl Fn(&Row) -> Option<f64>,
) -> Option<Worst> {
    let of = |row: &Row, column: &str| row.get(&format!("{prefix}p99_{column}"));
    table
        .rows
        .iter()
        .filter_map(|row| Some((row, of(row, "low_ms")?, count(row)?)))
        .filter(|(row, _, count)| enough(row, prefix, Some(*count), profile))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(row, low, count)| Worst {
            low,
            high: of(row, "high_ms"),
            count,
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
    fn a_fault_that_ended_is_told_with_how_it_is_since() {
        let profile = Profile::default();
        let values = profile.get("p99-values");
        let end = |low: f64, count: f64| {
            let row = |low: f64, count: f64, secs: f64| {
                [
                    ("count", count),
                    ("p99_low_ms", low),
                    ("p99_high_ms", low * 2.0),
                    ("secs", secs),
                ]
            };
            let rows = table(&[
                ("2026-11-29T23:47:20.894Z", &row(512.0, values, 16.0)),
                ("2026-11-29T23:47:36.896Z", &row(low, count, 40.0)),
            ]);
            at_the_end(&rows, &profile).map(|end| end.words())
        };
        assert_eq!(
            end(32.0, 1_218.0).as_deref(),
            Some("between 32 ms and 64 ms from 23:47:36 to 23:48:16 (1218 values)")
        );
        assert!(end(128.0, values).is_some());
        // One step, no better, or too few values to say.
        assert_eq!(end(256.0, values), None);
        assert_eq!(end(1_024.0, values), None);
        assert_eq!(end(8.0, values - 1.0), None);
    }

    #[test]
    fn the_worst_pair_with_enough_values_is_named() {
        let profile = Profile::default();
        let (values, slow) = (profile.get("p99-values"), profile.get("slow-values"));
        let rows = table(&[
            (
                "2026-11-21T20:57:04.413Z",
                &[
                    ("count", values),
                    ("p99_low_ms", 2048.0),
                    ("p99_high_ms", 4096.0),
                    ("secs", 42.3),
                ],
            ),
            (
                "2026-11-21T20:57:46.716Z",
                &[
                    ("count", values - 1.0),
                    ("p99_low_ms", 8192.0),
                    ("p99_tail", slow - 1.0),
                    ("secs", 5.0),
                ],
            ),
            (
                "2026-11-21T20:57:51.716Z",
                &[
                    ("count", values - 1.0),
                    ("p99_low_ms", 8192.0),
                    ("secs", 5.0),
                ],
            ),
        ]);
        let worst = worst(&rows, &profile).unwrap();
        assert_eq!((worst.low, worst.high), (2048.0, Some(4096.0)));
        assert_eq!(worst.when, "20:57:04 to 20:57:46");
        assert_eq!(
            worst.words(),
            "between 2.05 s and 4.1 s from 20:57:04 to 20:57:46 (100 values)"
        );
        // A disk that stands still syncs a dozen times in a minute, and each takes seconds.
        let few: &[(&str, f64)] = &[("count", 12.0), ("p99_low_ms", 2048.0), ("p99_tail", slow)];
        let still = table(&[("2026-11-21T20:57:04.413Z", few)]);
        assert_eq!(super::worst(&still, &profile).unwrap().low, 2048.0);
    }
}
