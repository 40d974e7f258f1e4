//! The merge laws: how two readings of the same key and subject become one.
//!
//! All are associative and commutative, `Latest`, `Max` and `Min` idempotent as well; what keeps a
//! reading from being added twice is the [`EvidenceSet`](super::EvidenceSet). A known reading beats
//! a missing one. Property tests hold this. Only where a bound cuts does the order matter, and then
//! within the error that is stated.

mod tables;

pub(crate) use tables::is_extreme;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::key::MergeLaw;
use super::set::Record;
use super::shape::{Bucket, Episodes, Histogram, Scalar, Series, Shape};
use super::{Missing, Reading, Window};
use tables::Secs;

/// Most rows a merged table keeps; the lightest go to `other`.
const MAX_ROWS: usize = 10_000;
/// Most episodes or points a merged reading keeps.
const MAX_POINTS: usize = 100_000;
/// Most stretches of time a merged reading tells apart.
const MAX_STRETCHES: usize = 1_000;

/// Two readings that cannot become one. The first is kept.
pub(super) struct MergeError {
    pub(super) why: String,
}

/// Merges `from` into `into`. Gives the number of points that were dropped because there were too
/// many, where the shape does not say so itself.
pub(super) fn merge_readings(
    law: Option<MergeLaw>,
    into: &mut Record,
    from: &Record,
) -> Result<usize, MergeError> {
    let both = into.stretches().into_iter().chain(from.stretches());
    let stretches = Window::stretches(both);
    let all = stretches.iter().filter_map(Window::secs).sum();
    let secs = into.secs().zip(from.secs());
    let secs = secs.map(|(a, b)| Secs { a, b, all });
    let (a, b) = match (&mut into.value, &from.value) {
        (Reading::Known(_), Reading::Missing(_)) => return Ok(0),
        (Reading::Missing(a), Reading::Missing(b)) => {
            let order = |why: &Missing, record: &Record| (telling(why), format!("{record:?}"));
            if order(b, from) > order(&a.clone(), into) {
                *into = from.clone();
            }
            return Ok(0);
        }
        (Reading::Missing(_), Reading::Known(_)) => {
            *into = from.clone();
            return Ok(0);
        }
        (Reading::Known(a), Reading::Known(b)) => (a, b),
    };
    let mut dropped = 0;
    // An unknown key comes from a newer release: keep the later reading.
    match law.unwrap_or(MergeLaw::Latest) {
        MergeLaw::Latest => {
            // Ties are broken by the value, so that the order of bundles is no matter.
            let newer = (from.window.to, from.window.from, sort_text(b))
                > (into.window.to, into.window.from, sort_text(a));
            if newer {
                *into = from.clone();
            }
            return Ok(0);
        }
        MergeLaw::Max => extreme(a, b, true)?,
        MergeLaw::Min => extreme(a, b, false)?,
        MergeLaw::Sum | MergeLaw::Union => dropped = add(a, b, secs)?,
    }
    into.window = into.window.union(from.window);
    into.covered = told(stretches, into.window);
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
    into.origin.collector = into.origin.collector.min(from.origin.collector);
    // What one part lacks, the sum lacks.
    into.origin.completeness = into.origin.completeness.max(from.origin.completeness);
    Ok(dropped)
}

/// How much a reason tells somebody who wants the reading.
fn telling(why: &Missing) -> u8 {
    match why {
        Missing::NotCollected => 0,
        Missing::NotPresent { .. } => 1,
        Missing::NotEnough { .. } => 2,
        Missing::TimedOut { .. } => 3,
        Missing::Unreadable { .. } => 4,
        Missing::Denied { .. } => 5,
    }
}

/// What a record says of these stretches: nothing where they are its window.
fn told(stretches: Vec<Window>, window: Window) -> Vec<Window> {
    if stretches.is_empty() || stretches == [window] {
        return Vec::new();
    }
    let gap = |pair: &[Window]| match pair {
        [before, after] => after
            .from
            .zip(before.to)
            .map(|(to, from)| to.since_us(from)),
        _ => None,
    };
    let mut gaps: Vec<(Option<i64>, usize)> = stretches.windows(2).map(gap).zip(1..).collect();
    if gaps.len() < MAX_STRETCHES {
        return stretches;
    }
    // Too many to tell apart: the smallest gaps are the least loss.
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.truncate(MAX_STRETCHES - 1);
    let begins: BTreeSet<usize> = gaps.into_iter().map(|(_, at)| at).collect();
    let mut joined: Vec<Window> = Vec::new();
    for (at, stretch) in stretches.into_iter().enumerate() {
        match joined.last_mut() {
            Some(last) if !begins.contains(&at) => *last = last.union(stretch),
            _ => joined.push(stretch),
        }
    }
    joined
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
            let beats = if larger { y > x } else { y < x };
            // `1` and `1.0` are the same number and print differently.
            if beats || (x == y && sort_text(b) < sort_text(a)) {
                *a = b.clone();
            }
            Ok(())
        }
        _ => Err(MergeError {
            why: "not numbers".to_owned(),
        }),
    }
}

/// Adds `b` to `a` and gives the number of points that were dropped.
fn add(a: &mut Shape, b: &Shape, secs: Option<Secs>) -> Result<usize, MergeError> {
    match (a, b) {
        (Shape::Scalar(Scalar::Num(x)), Shape::Scalar(Scalar::Num(y))) => *x += y,
        (Shape::Scalar(Scalar::Int(x)), Shape::Scalar(Scalar::Int(y))) => {
            *x = x.saturating_add(*y);
        }
        (Shape::Histogram(x), Shape::Histogram(y)) => add_histogram(x, y)?,
        (Shape::Table(x), Shape::Table(y)) => tables::add(x, y, secs, MAX_ROWS),
        (Shape::Series(x), Shape::Series(y)) => return Ok(add_series(x, y)),
        (Shape::Episodes(x), Shape::Episodes(y)) => add_episodes(x, y),
        _ => {
            return Err(MergeError {
                why: "different shapes".to_owned(),
            });
        }
    }
    Ok(0)
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

/// Keeps the newest points, as they tell of now, and gives the number of those that were dropped.
fn add_series(a: &mut Series, b: &Series) -> usize {
    a.points.extend(b.points.iter().copied());
    a.points
        .sort_by(|x, y| x.at.cmp(&y.at).then(x.value.total_cmp(&y.value)));
    a.points.dedup();
    let dropped = a.points.len().saturating_sub(MAX_POINTS);
    a.points.drain(..dropped);
    dropped
}

fn add_episodes(a: &mut Episodes, b: &Episodes) {
    a.episodes.extend(b.episodes.iter().cloned());
    a.episodes.sort_by(|x, y| {
        (x.from, x.to, &x.kind, x.count, &x.detail)
            .cmp(&(y.from, y.to, &y.kind, y.count, &y.detail))
    });
    a.episodes.dedup();
    a.dropped += b.dropped;
    // The newest stay, as they tell of now.
    let dropped = a.episodes.len().saturating_sub(MAX_POINTS);
    a.dropped += dropped as u64;
    a.episodes.drain(..dropped);
}
