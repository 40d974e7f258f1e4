//! The merge laws: how two readings of the same key and subject become one.
//!
//! `Sum` and `Union` are associative and commutative; `Latest`, `Max` and `Min` are idempotent
//! as well. A known reading always beats a missing one. Property tests at the end hold this.

use super::Reading;
use super::key::MergeLaw;
use super::set::Record;
use super::shape::{Bucket, Cell, Episodes, Histogram, Row, Scalar, Series, Shape, Table};

/// Most rows a merged table keeps; the rest goes to `other`.
const MAX_ROWS: usize = 10_000;
/// Most episodes or points a merged reading keeps.
const MAX_POINTS: usize = 100_000;

/// Two readings that cannot become one. The first is kept.
pub(super) struct MergeError {
    pub(super) why: String,
}

/// Merges `from` into `into`.
pub(super) fn merge_readings(
    law: Option<MergeLaw>,
    into: &mut Record,
    from: &Record,
) -> Result<(), MergeError> {
    match (&mut into.value, &from.value) {
        (_, Reading::Missing(_)) => Ok(()),
        (Reading::Missing(_), Reading::Known(_)) => {
            *into = from.clone();
            Ok(())
        }
        (Reading::Known(a), Reading::Known(b)) => {
            let same_source = into.origin == from.origin && into.window == from.window;
            if same_source && a == b {
                // The very same reading again, as when one bundle is given twice.
                return Ok(());
            }
            // An unknown key comes from a newer release: keep the later reading.
            match law.unwrap_or(MergeLaw::Latest) {
                MergeLaw::Latest => {
                    // Ties are broken by the value, so that the order of bundles is no matter.
                    let newer = (from.window.to, from.window.from, sort_text(b))
                        > (into.window.to, into.window.from, sort_text(a));
                    if newer {
                        *into = from.clone();
                    }
                    return Ok(());
                }
                MergeLaw::Max => extreme(a, b, true)?,
                MergeLaw::Min => extreme(a, b, false)?,
                MergeLaw::Sum | MergeLaw::Union => add(a, b)?,
            }
            into.window = into.window.union(from.window);
            if into.origin.source != from.origin.source {
                let mut sources: Vec<&str> = into
                    .origin
                    .source
                    .split(", ")
                    .chain(from.origin.source.split(", "))
                    .collect();
                sources.sort_unstable();
                sources.dedup();
                into.origin.source = sources.join(", ");
            }
            if into.origin.completeness == super::Completeness::Exact {
                into.origin.completeness = from.origin.completeness;
            }
            Ok(())
        }
    }
}

fn sort_text(shape: &Shape) -> String {
    format!("{shape:?}")
}

fn extreme(a: &mut Shape, b: &Shape, larger: bool) -> Result<(), MergeError> {
    let number = |shape: &Shape| match shape {
        Shape::Scalar(Scalar::Num(n)) => Some(*n),
        Shape::Scalar(Scalar::Int(n)) => Some(*n as f64),
        Shape::Scalar(Scalar::Flag(f)) => Some(f64::from(u8::from(*f))),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(x), Some(y)) => {
            if (larger && y > x) || (!larger && y < x) {
                *a = b.clone();
            }
            Ok(())
        }
        _ => Err(MergeError {
            why: "not numbers".to_owned(),
        }),
    }
}

fn add(a: &mut Shape, b: &Shape) -> Result<(), MergeError> {
    match (a, b) {
        (Shape::Scalar(Scalar::Num(x)), Shape::Scalar(Scalar::Num(y))) => *x += y,
        (Shape::Scalar(Scalar::Int(x)), Shape::Scalar(Scalar::Int(y))) => {
            *x = x.saturating_add(*y);
        }
        (Shape::Histogram(x), Shape::Histogram(y)) => add_histogram(x, y)?,
        (Shape::Table(x), Shape::Table(y)) => add_table(x, y),
        (Shape::Series(x), Shape::Series(y)) => add_series(x, y),
        (Shape::Episodes(x), Shape::Episodes(y)) => add_episodes(x, y),
        _ => {
            return Err(MergeError {
                why: "different shapes".to_owned(),
            });
        }
    }
    Ok(())
}

fn add_histogram(a: &mut Histogram, b: &Histogram) -> Result<(), MergeError> {
    let same = a.buckets.len() == b.buckets.len()
        && a.buckets.iter().zip(&b.buckets).all(|(x, y)| x.le == y.le);
    if !same {
        return Err(MergeError {
            why: "histograms with different bounds".to_owned(),
        });
    }
    for (x, y) in a.buckets.iter_mut().zip(&b.buckets) {
        *x = Bucket {
            le: x.le,
            count: x.count + y.count,
        };
    }
    a.sum += b.sum;
    a.max = match (a.max, b.max) {
        (Some(x), Some(y)) => Some(x.max(y)),
        (x, y) => x.or(y),
    };
    Ok(())
}

/// Columns of a table that hold the largest value, not a sum.
fn is_extreme(column: &str) -> bool {
    column.starts_with("max_") || column.starts_with("last_") || column.starts_with("limit_")
}

fn add_row(into: &mut Row, from: &Row) {
    for (column, cell) in &from.cells {
        match (into.cells.get_mut(column), cell) {
            (Some(Cell::Num(x)), Cell::Num(y)) => {
                *x = if is_extreme(column) {
                    x.max(*y)
                } else {
                    *x + y
                };
            }
            // Texts that differ: the smaller one, so that the order is no matter.
            (Some(slot @ Cell::Text(_)), Cell::Text(new)) => {
                if let Cell::Text(old) = slot
                    && new < old
                {
                    *slot = cell.clone();
                }
            }
            (Some(_), _) => {}
            (None, cell) => {
                into.cells.insert(column.clone(), cell.clone());
            }
        }
    }
}

fn add_table(a: &mut Table, b: &Table) {
    for row in &b.rows {
        match a.rows.binary_search_by(|have| have.key.cmp(&row.key)) {
            Ok(at) => {
                if let Some(have) = a.rows.get_mut(at) {
                    add_row(have, row);
                }
            }
            Err(at) => a.rows.insert(at, row.clone()),
        }
    }
    if let Some(other) = &b.other {
        add_row(a.other.get_or_insert_with(|| Row::new("other")), other);
    }
    a.error = a.error.max(b.error);
    while a.rows.len() > MAX_ROWS {
        if let Some(row) = a.rows.pop() {
            add_row(a.other.get_or_insert_with(|| Row::new("other")), &row);
        }
    }
}

fn add_series(a: &mut Series, b: &Series) {
    a.points.extend(b.points.iter().copied());
    a.points
        .sort_by(|x, y| x.at.cmp(&y.at).then(x.value.total_cmp(&y.value)));
    a.points.dedup();
    a.points.truncate(MAX_POINTS);
}

fn add_episodes(a: &mut Episodes, b: &Episodes) {
    a.episodes.extend(b.episodes.iter().cloned());
    a.episodes.sort_by(|x, y| {
        (x.from, x.to, &x.kind, x.count, &x.detail)
            .cmp(&(y.from, y.to, &y.kind, y.count, &y.detail))
    });
    a.episodes.dedup();
    a.dropped += b.dropped;
    if a.episodes.len() > MAX_POINTS {
        a.dropped += (a.episodes.len() - MAX_POINTS) as u64;
        a.episodes.truncate(MAX_POINTS);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Collector, EvidenceSet, Origin, Subject, Window};
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;

    fn record(key: &str, source: &str, at: i64, shape: Shape) -> Record {
        Record {
            key: key.to_owned(),
            subject: Subject::cluster(),
            window: Window::at(Timestamp(at)),
            origin: Origin::new(Collector::Logs, source),
            value: Reading::Known(shape),
        }
    }

    fn set(records: &[Record]) -> EvidenceSet {
        let mut set = EvidenceSet::new();
        for r in records {
            set.insert(r.clone());
        }
        set
    }

    fn table(rows: &[(u8, u16)]) -> Shape {
        let mut table = Table::default();
        for (key, n) in rows {
            let row = Row::new(format!("k{key}"))
                .num("n", f64::from(*n))
                .num("max_n", f64::from(*n));
            add_table(
                &mut table,
                &Table {
                    rows: vec![row],
                    ..Table::default()
                },
            );
        }
        Shape::Table(table)
    }

    fn histogram(counts: &[u16; 3]) -> Shape {
        let les = [1.0, 2.0, f64::INFINITY];
        Shape::Histogram(Histogram {
            buckets: les
                .iter()
                .zip(counts)
                .map(|(le, n)| Bucket {
                    le: *le,
                    count: f64::from(*n),
                })
                .collect(),
            sum: f64::from(counts[0]),
            max: None,
        })
    }

    fn merged(law: MergeLaw, records: &[&Record]) -> Record {
        let mut into = records[0].clone();
        for r in &records[1..] {
            merge_readings(Some(law), &mut into, r)
                .ok()
                .expect("same shapes merge");
        }
        into
    }

    proptest! {
        #[test]
        fn sums_of_tables_and_histograms_are_associative_and_commutative(
            a in prop::collection::vec((0u8..5, 0u16..), 0..6),
            b in prop::collection::vec((0u8..5, 0u16..), 0..6),
            c in prop::collection::vec((0u8..5, 0u16..), 0..6),
            h in prop::array::uniform3(prop::array::uniform3(0u16..)),
        ) {
            for [x, y, z] in [
                [table(&a), table(&b), table(&c)],
                [histogram(&h[0]), histogram(&h[1]), histogram(&h[2])],
            ] {
                let (x, y, z) =
                    (record("k", "x", 1, x), record("k", "y", 2, y), record("k", "z", 3, z));
                let left = merged(MergeLaw::Sum, &[&merged(MergeLaw::Sum, &[&x, &y]), &z]);
                let right = merged(MergeLaw::Sum, &[&x, &merged(MergeLaw::Sum, &[&y, &z])]);
                prop_assert_eq!(&left, &right);
                prop_assert_eq!(&left, &merged(MergeLaw::Sum, &[&z, &y, &x]));
            }
        }

        #[test]
        fn latest_does_not_depend_on_order(times in prop::collection::vec((0i64..4, 0i64..4), 1..6)) {
            let records: Vec<Record> = times
                .iter()
                .map(|(at, v)| record("k", "s", *at, Shape::Scalar(Scalar::Int(*v))))
                .collect();
            let forward = set(&records);
            let backward = set(&records.iter().rev().cloned().collect::<Vec<_>>());
            prop_assert_eq!(forward, backward);
        }
    }

    #[test]
    fn a_known_reading_beats_a_missing_one_in_both_orders() {
        let known = record("k", "s", 1, Shape::Scalar(Scalar::Int(1)));
        let mut missing = known.clone();
        missing.value = Reading::Missing(super::super::Missing::NotCollected);
        assert_eq!(
            set(&[known.clone(), missing.clone()]),
            set(&[missing, known])
        );
    }

    #[test]
    fn the_same_bundle_twice_counts_once() {
        let one = record("k", "s", 1, table(&[(1, 5)]));
        let mut into = one.clone();
        merge_readings(Some(MergeLaw::Sum), &mut into, &one)
            .ok()
            .expect("merges");
        assert_eq!(into, one);
    }
}
