//! What several rules ask of requests that are known by the second: how many came within one hour.

use crate::evidence::{Episodes, Key, Table, keys};

use super::{Context, events};

/// How many of `count` requests in so many seconds came within one hour.
///
/// The rows of `key`, one for each second, tell where `wanted` knows their names; the heaviest rows are
/// kept, so they stand for the rest. Where they tell nothing, the episodes of `kinds` do, and else the
/// mean of all hours.
pub(super) fn within_an_hour(
    cx: &Context<'_>,
    key: &Key<Table>,
    kinds: &[&str],
    (count, secs): (f64, Option<f64>),
    wanted: impl Fn(&[&str]) -> bool,
) -> f64 {
    let tables = cx.evidence.all(key);
    let rows = tables.iter().flat_map(|(_, table)| &table.rows);
    let mut told: Vec<(i64, f64)> = rows
        .filter_map(|row| {
            let mut names = row.key.split('|');
            let second = names.next()?.parse().ok()?;
            let names: Vec<&str> = names.collect();
            let requests = row.get("requests").filter(|n| *n > 0.0)?;
            wanted(&names).then_some((second, requests))
        })
        .collect();
    told.sort_by_key(|(second, _)| *second);
    let all: f64 = told.iter().map(|(_, requests)| requests).sum();
    if all <= 0.0 {
        let lists: Vec<Episodes> = cx
            .evidence
            .all(&keys::LOGS_EPISODES)
            .into_iter()
            .map(|(_, list)| list)
            .collect();
        let told = |kind: &str| kinds.contains(&kind);
        return events::busiest_hour(count, secs, lists.iter(), |episode| told(&episode.kind));
    }
    let mean = count / secs.map_or(1.0, |secs| (secs / events::HOUR_SECS).max(1.0));
    (busiest(&told) / all * count).max(mean)
}

/// The most requests of one hour, of seconds in their order.
fn busiest(told: &[(i64, f64)]) -> f64 {
    const HOUR: i64 = 3600;
    let (mut most, mut now) = (0.0_f64, 0.0);
    let mut begin = told.iter().peekable();
    for (second, requests) in told {
        now += requests;
        while let Some((_, past)) =
            begin.next_if(|(first, _)| second.saturating_sub(*first) >= HOUR)
        {
            now -= past;
        }
        most = most.max(now);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Reader, Row};
    use crate::profile::Profile;
    use crate::rules::testing::{Set, episode, episodes, member};

    const WEEK: Option<f64> = Some(7.0 * 86_400.0);

    fn lists_at(seconds: &[i64]) -> Set {
        let row = |at: &i64| Row::new(format!("{at}|pods|list")).num("requests", 2.0);
        let other = Row::new("5|pods|write").num("requests", 900.0);
        let rows = seconds.iter().map(row).chain([other]);
        let table = Table {
            rows: rows.collect(),
            ..Table::default()
        };
        Set::new().put(&keys::LOGS_SLOW_SECONDS, member(), table)
    }

    fn of(set: &Set, count: f64, secs: Option<f64>) -> f64 {
        let profile = Profile::default();
        let cx = Context {
            evidence: Reader::new(&set.0),
            profile: &profile,
        };
        within_an_hour(
            &cx,
            &keys::LOGS_SLOW_SECONDS,
            &["slow-apply"],
            (count, secs),
            |names| names == ["pods", "list"],
        )
    }

    #[test]
    fn the_busiest_hour_counts() {
        // Two requests in each of these seconds.
        let spread = lists_at(&[0, 7_200, 14_400]);
        assert_eq!(of(&spread, 6.0, WEEK), 2.0);
        let flood = lists_at(&[0, 1_000, 3_599, 90_000]);
        assert_eq!(of(&flood, 8.0, WEEK), 6.0);
        assert_eq!(of(&lists_at(&[0, 3_600]), 4.0, WEEK), 2.0);
        // Half of them are told of.
        assert_eq!(of(&flood, 16.0, WEEK), 12.0);
    }

    #[test]
    fn what_no_row_tells_of_is_told_by_episodes_or_is_the_mean() {
        let nothing = Set::new();
        assert_eq!(of(&nothing, 336.0, WEEK), 2.0);
        // Nothing is known of when.
        assert_eq!(of(&nothing, 336.0, None), 336.0);
        let at = |seconds: &[i64]| {
            let all = seconds.iter().map(|at| episode("slow-apply", *at, *at));
            nothing_but(all.collect())
        };
        assert_eq!(of(&at(&[0, 10, 20]), 3.0, WEEK), 3.0);
        assert_eq!(of(&at(&[0, 10_000, 20_000]), 3.0, WEEK), 1.0);
    }

    fn nothing_but(all: Vec<crate::evidence::Episode>) -> Set {
        Set::new().put(&keys::LOGS_EPISODES, member(), episodes(all))
    }
}
