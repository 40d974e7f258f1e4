//! The laws as properties.

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::evidence::{
    Collector, Completeness, Episode, EvidenceSet, Origin, Point, Row, Subject, Table, Window, keys,
};

fn record(key: &str, source: &str, at: i64, shape: Shape) -> Record {
    Record {
        key: key.to_owned(),
        subject: Subject::cluster(),
        window: Window::between(Timestamp(at), Timestamp(at + 1)),
        covered: Vec::new(),
        origin: Origin::new(Collector::Logs, source),
        value: Reading::Known(shape),
    }
}

fn set<'a>(records: impl IntoIterator<Item = &'a Record>) -> EvidenceSet {
    let mut set = EvidenceSet::new();
    for record in records {
        set.insert(record.clone());
    }
    set
}

fn of(rows: Vec<Row>) -> Table {
    let mut table = Table::default();
    let rows = Table {
        rows,
        ..Table::default()
    };
    tables::add(&mut table, &rows, None, usize::MAX);
    table
}

fn table(rows: &[(u8, u16)]) -> Shape {
    let row = |(key, n): &(u8, u16)| {
        let n = f64::from(*n);
        Row::new(format!("k{key}")).num("n", n).num("max_n", n)
    };
    Shape::Table(of(rows.iter().map(row).collect()))
}

fn histogram(counts: [u16; 3]) -> Shape {
    let les = [1.0, 2.0, f64::INFINITY];
    Shape::Histogram(Histogram {
        buckets: les
            .iter()
            .zip(counts)
            .map(|(le, n)| Bucket {
                le: *le,
                count: f64::from(n),
            })
            .collect(),
        sum: f64::from(counts[0]),
        max: None,
    })
}

/// Readings of a key that adds up: some are missing, some incomplete, any may be the same as another.
fn readings() -> impl Strategy<Value = Vec<Record>> {
    let missing = prop_oneof![
        Just(Missing::NotCollected),
        Just(Missing::Denied {
            source: "a".to_owned()
        }),
        Just(Missing::Denied {
            source: "b".to_owned()
        }),
        Just(Missing::NotEnough {
            why: "few".to_owned()
        }),
    ];
    let rows = prop::collection::vec((0u8..5, 0u16..), 0..6);
    let completeness = prop_oneof![
        Just(Completeness::Exact),
        Just(Completeness::AtLeast),
        Just(Completeness::Estimate),
    ];
    let value = prop_oneof![
        4 => rows.prop_map(|rows| Reading::Known(table(&rows))),
        1 => missing.prop_map(Reading::Missing),
    ];
    let one =
        (0u8..4, 0i64..20, completeness, value).prop_map(|(source, at, completeness, value)| {
            let mut made = record(
                keys::LOGS_EVENTS.name(),
                &format!("s{source}"),
                at,
                table(&[]),
            );
            made.origin.completeness = completeness;
            made.value = value;
            made
        });
    prop::collection::vec(one, 1..6)
}

/// The larger and the smaller of two is told of numbers only.
#[test]
fn every_law_can_merge_the_shape_of_its_key() {
    for info in keys::all() {
        if matches!(info.merge, MergeLaw::Max | MergeLaw::Min) {
            assert_eq!(
                info.shape,
                crate::evidence::ShapeKind::Scalar,
                "{}",
                info.name
            );
        }
    }
}

proptest! {
    #[test]
    fn sums_do_not_depend_on_order_grouping_or_repetition(
        records in readings(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let once = set(&records);
        prop_assert_eq!(&once, &set(records.iter().rev()));
        // Any of them again, in between and at the end.
        let again = order.iter().map(|at| at.get(&records));
        let mixed: Vec<&Record> = again.clone().chain(&records).chain(again).collect();
        prop_assert_eq!(&once, &set(mixed.iter().copied()));
        // As two runs, each merged before, of which one has all of the other.
        let mut left = set(records.iter().take(cut.index(records.len()) + 1));
        left.merge(set(mixed.iter().copied()));
        prop_assert_eq!(&once, &left);
        let (head, tail) = records.split_at(cut.index(records.len()));
        let apart = tail.iter().all(|record| !head.contains(record));
        if apart {
            let mut right = set(tail);
            right.merge(set(head));
            prop_assert_eq!(&once, &right);
        }
    }

    #[test]
    fn histograms_add_in_any_order(h in prop::array::uniform3(prop::array::uniform3(0u16..))) {
        let [x, y, z] = h.map(histogram);
        let key = keys::LOGS_REQUESTS_TOOK.name();
        let all = [record(key, "x", 1, x), record(key, "y", 2, y), record(key, "z", 3, z)];
        let mut later = set(&all[1..]);
        later.merge(set(&all[..1]));
        prop_assert_eq!(&set(&all), &later);
        prop_assert_eq!(&set(&all), &set(all.iter().rev()));
    }

    #[test]
    fn latest_does_not_depend_on_order(times in prop::collection::vec((0i64..4, 0i64..4), 1..6)) {
        let records: Vec<Record> = times
            .iter()
            .map(|(at, v)| record("k", "s", *at, Shape::Scalar(Scalar::Int(*v))))
            .collect();
        prop_assert_eq!(set(&records), set(records.iter().rev()));
    }

    /// Whatever is merged in whatever steps: no row is wrong by more than the stated share of its
    /// column, and nothing is lost from the total.
    #[test]
    fn the_stated_error_of_a_bounded_table_holds(
        runs in prop::collection::vec(prop::collection::vec((0u8..30, 1u16..50), 0..20), 1..6),
        most in 1usize..12,
    ) {
        let mut truth: std::collections::BTreeMap<String, f64> = Default::default();
        let mut merged = Table::default();
        for run in &runs {
            // A few keys are heavy and stay so.
            let rows = run.iter().map(|(key, n)| {
                let n = f64::from(*n) * if *key < 3 { 20.0 } else { 1.0 };
                Row::new(format!("k{key}")).num("n", n)
            });
            let rows: Vec<Row> = rows.collect();
            for row in &rows {
                *truth.entry(row.key.clone()).or_default() += row.get("n").unwrap();
            }
            tables::add(&mut merged, &of(rows), None, most);
            prop_assert!(merged.rows.len() <= most);
        }
        let total: f64 = truth.values().sum();
        prop_assert!((merged.total("n") - total).abs() < 1e-6);
        let lacks = merged.error * total + 1e-6;
        for (key, n) in &truth {
            let have = merged.row(key).map_or(0.0, |row| row.get("n").unwrap());
            prop_assert!(have <= n + 1e-6 && *n <= have + lacks, "{key}: {have} of {n}");
        }
        if truth.len() <= most {
            prop_assert_eq!(merged.error, 0.0);
        }
    }
}

#[test]
fn a_known_reading_beats_a_missing_one_in_both_orders() {
    let known = record("k", "s", 1, Shape::Scalar(Scalar::Int(1)));
    let mut missing = known.clone();
    missing.value = Reading::Missing(Missing::NotCollected);
    assert_eq!(set([&known, &missing]), set([&missing, &known]));
    // Of two that are missing, what can be done something about is told.
    let mut denied = known;
    denied.value = Reading::Missing(Missing::Denied {
        source: "/x".to_owned(),
    });
    assert_eq!(set([&missing, &denied]), set([&denied]));
    assert_eq!(set([&denied, &missing]), set([&denied]));
}

fn lists(of: &EvidenceSet) -> f64 {
    of.records()
        .map(|record| match &record.value {
            Reading::Known(Shape::Table(table)) => table.total("n"),
            _ => 0.0,
        })
        .sum()
}

#[test]
fn a_bundle_that_is_given_twice_counts_once_wherever_it_stands() {
    let key = keys::LOGS_EVENTS.name();
    let a = record(key, "a", 1, table(&[(1, 5)]));
    let b = record(key, "b", 2, table(&[(1, 7)]));
    let c = record(key, "c", 3, table(&[(1, 1)]));
    assert_eq!(lists(&set([&a, &a, &b])), 12.0);
    assert_eq!(lists(&set([&a, &b, &a])), 12.0);
    // Two merged runs that share a part cannot be told apart any more: that is said.
    let mut shared = set([&a, &b]);
    shared.merge(set([&b, &c]));
    assert!(shared.conflicts()[0].contains("counts twice"));
    assert!(set([&a, &b, &a]).conflicts().is_empty());
    // A sum that was saved does not tell its parts any more.
    let sum = set([&a, &b]);
    let saved: Vec<Record> = sum.records().cloned().collect();
    let mut both = set(saved.iter());
    both.merge(sum.clone());
    assert_eq!(lists(&both), 12.0);
    let mut both = sum;
    both.merge(set(saved.iter()));
    assert_eq!(lists(&both), 12.0);
}

#[test]
fn the_weakest_part_decides_how_complete_a_sum_is() {
    let key = keys::LOGS_EVENTS.name();
    let with = |source: &str, completeness| {
        let mut made = record(key, source, 1, table(&[(1, 1)]));
        made.origin.completeness = completeness;
        made
    };
    let (a, b) = (
        with("a", Completeness::AtLeast),
        with("b", Completeness::Estimate),
    );
    for set in [set([&a, &b]), set([&b, &a])] {
        let record = set.records().next().unwrap();
        assert_eq!(record.origin.completeness, Completeness::Estimate);
    }
}

/// Runs of two days are not one run of two days.
#[test]
fn seconds_between_runs_are_not_covered() {
    let run = |source: &str, from: i64, to: i64, per_sec: f64| {
        let row = Row::new("pods").num("n", 60.0).num("per_sec", per_sec);
        let mut made = record(
            keys::SERVER_COUNTERS.name(),
            source,
            0,
            Shape::Table(of(vec![row])),
        );
        made.window = Window::between(Timestamp::from_secs(from), Timestamp::from_secs(to));
        made
    };
    let (today, next) = (run("a", 0, 60, 1.0), run("b", 86_400, 86_520, 0.5));
    let both = set([&today, &next]);
    assert_eq!(both, set([&next, &today]));
    let record = both.records().next().unwrap();
    assert_eq!(record.window.secs(), Some(86_520.0));
    assert_eq!(record.secs(), Some(180.0));
    assert_eq!(record.covered.len(), 2);
    let rate = |set: &EvidenceSet| match &set.records().next().unwrap().value {
        Reading::Known(Shape::Table(table)) => table.rows[0].get("per_sec").unwrap(),
        _ => unreachable!(),
    };
    // 120 in the 180 seconds that were looked at.
    assert!((rate(&both) - 120.0 / 180.0).abs() < 1e-9);
    // Two sources of the same minute: their rates add up.
    let beside = set([&today, &run("c", 0, 60, 2.0)]);
    assert!((rate(&beside) - 3.0).abs() < 1e-9);
    let record = beside.records().next().unwrap();
    assert_eq!(record.secs(), Some(60.0));
    assert!(record.covered.is_empty());
}

#[test]
fn points_over_the_bound_are_counted_and_the_newest_stay() {
    let series = |source: &str, from: usize| {
        let points = (from..from + MAX_POINTS)
            .map(|at| Point {
                at: Timestamp(i64::try_from(at).unwrap()),
                value: 1.0,
            })
            .collect();
        let shape = Shape::Series(Series { points });
        record(keys::DB_SIZE.name(), source, 1, shape)
    };
    let set = set([&series("a", 5), &series("b", 0)]);
    let words = &set.conflicts()[0];
    assert!(words.contains("5 over the bound were dropped"), "{words}");
    let Reading::Known(Shape::Series(kept)) = &set.records().next().unwrap().value else {
        unreachable!()
    };
    assert_eq!(kept.points.len(), MAX_POINTS);
    assert_eq!(kept.points[0].at, Timestamp(5));
}

#[test]
fn episodes_over_the_bound_are_counted_and_the_newest_stay() {
    let episodes = |source: &str, from: usize| {
        let episodes = (from..from + MAX_POINTS)
            .map(|at| Timestamp(i64::try_from(at).unwrap()))
            .map(|at| Episode {
                kind: "slow-apply".to_owned(),
                nature: String::new(),
                planned: false,
                from: at,
                to: at,
                count: 1,
                max_ms: None,
                detail: String::new(),
            })
            .collect();
        let shape = Shape::Episodes(Episodes {
            episodes,
            dropped: 0,
        });
        record(keys::LOGS_EPISODES.name(), source, 1, shape)
    };
    let set = set([&episodes("a", 5), &episodes("b", 0)]);
    let Reading::Known(Shape::Episodes(kept)) = &set.records().next().unwrap().value else {
        unreachable!()
    };
    assert_eq!((kept.episodes.len(), kept.dropped), (MAX_POINTS, 5));
    assert_eq!(kept.episodes[0].from, Timestamp(5));
}
