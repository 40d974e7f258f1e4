//! What happened between two scrapes: counters with resets, histograms, and gauges.
//!
//! A counter that falls, or whose process restarted, began again from 0: the part after the
//! reset is counted and the result is a lower bound. A series that appears within the window
//! began at 0 where its family was there before, or its process began within the window. Where the
//! family was missing, or the scrape is torn before its place, nobody knows. Such a scrape between
//! two good ones takes nothing away.

use std::collections::BTreeMap;

use crate::catalog::metrics::{Kind, Metric};

use super::bracket::Hist;
use super::store::{BAD, Part};
use super::timeline::{Labels, Restart, SeriesRows, Timeline};
use super::window::Span;

/// How much a counter rose.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// By how much.
    pub value: f64,
    /// Whether that is only a lower bound: a reset or an unreadable scrape lies between.
    pub at_least: bool,
}

impl Change {
    fn add(&mut self, other: Change) {
        self.value += other.value;
        self.at_least |= other.at_least;
    }
}

/// A gauge over the scrapes of a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// At the first scrape that has it.
    pub first: f64,
    /// At the last scrape that has it.
    pub last: f64,
    /// The largest.
    pub max: f64,
    /// The smallest.
    pub min: f64,
}

impl Timeline {
    /// The parts of a series in one scrape, `NaN` where it was not exposed; `None` where the scrape
    /// does not tell.
    fn parts(&self, rows: &SeriesRows<'_>, column: usize) -> Option<Vec<f64>> {
        let told = rows.keys.first().map_or(&[][..], |key| self.gaps.told(key));
        let absent_is_told = told.get(column) == Some(&true);
        let one = |offset: usize| {
            let value = self.at(rows.first + offset, column);
            let told = value != BAD && (!value.is_nan() || absent_is_told);
            told.then_some(value)
        };
        (0..rows.keys.len()).map(one).collect()
    }

    /// Whether the process began after one scrape and before a later one: then all that it has
    /// counted lies between them.
    fn began_between(&self, from: usize, to: usize) -> bool {
        let seen = self.columns.get(from).and_then(|c| c.at);
        let start = self.columns.get(to).and_then(|c| c.start);
        self.restart(from, to) == Some(Restart::Within)
            || start
                .zip(seen)
                .is_some_and(|(start, seen)| start > seen.0 as f64 / 1e6)
    }

    /// By how much each part of a series rose in a span, and whether that is a lower bound. A scrape
    /// that does not tell is stepped over: what lies on both sides of it is known.
    fn rise(&self, rows: &SeriesRows<'_>, span: Span) -> Option<(Vec<f64>, bool)> {
        let mut total = vec![0.0; rows.keys.len()];
        if span.is_lifetime() {
            for (offset, sum) in total.iter_mut().enumerate() {
                let value = self.at(rows.first + offset, span.to);
                if !value.is_finite() {
                    return None;
                }
                *sum = value;
            }
            return Some((total, false));
        }
        let outlives = rows
            .keys
            .first()
            .is_some_and(|key| key.metric.info().kind == Kind::Level);
        let mut at_least = false;
        let mut known = false;
        let mut before: Option<(usize, Vec<f64>)> = None;
        for column in span.from..=span.to {
            let Some(now) = self.parts(rows, column) else {
                // At an end of the span nothing makes up for it.
                at_least |= before.is_none() || column == span.to;
                continue;
            };
            let Some((from, was)) = &before else {
                let whole = now.iter().all(|value| value.is_finite());
                if whole && !outlives && column > span.from && self.began_between(span.from, column)
                {
                    known = true;
                    for (sum, value) in total.iter_mut().zip(&now) {
                        *sum += value;
                    }
                }
                before = Some((column, now));
                continue;
            };
            if was.iter().zip(&now).any(|(a, b)| !a.is_nan() && b.is_nan()) {
                // It is gone, with what it counted since: where it comes back, it may have begun again.
                at_least = true;
                continue;
            }
            let restart = self.restart(*from, column).filter(|_| !outlives);
            let part_is_new = was.iter().any(|a| !a.is_nan())
                && was.iter().zip(&now).any(|(a, b)| a.is_nan() && !b.is_nan());
            if part_is_new && restart != Some(Restart::Within) {
                // A histogram has all its buckets from its birth on: some were lost before.
                at_least = true;
                before = Some((column, now));
                continue;
            }
            known = true;
            // What was not exposed before was born in between and began at 0.
            let steps: Vec<(f64, f64)> = was
                .iter()
                .zip(&now)
                .map(|(a, b)| {
                    let count = |n: &f64| if n.is_nan() { 0.0 } else { *n };
                    (count(a), count(b))
                })
                .collect();
            let fell = rows
                .keys
                .iter()
                .zip(&steps)
                .any(|(key, (a, b))| b < a && key.part != Part::Sum);
            at_least |= fell || restart.is_some();
            let reset = fell || restart == Some(Restart::Within);
            if fell && outlives {
                // An index that falls was restored from elsewhere: no count can be made of it.
                before = Some((column, now));
                continue;
            }
            for (sum, (a, b)) in total.iter_mut().zip(&steps) {
                *sum += if reset { *b } else { b - a };
            }
            before = Some((column, now));
        }
        known.then_some((total, at_least))
    }

    /// Seconds from the first to the last scrape of a span that tell of a metric: what its counters
    /// rose by is to be divided by them. Torn scrapes at the ends are not among them.
    pub(super) fn secs_of(&self, metric: Metric, span: Span) -> Option<f64> {
        let series = self.series(metric);
        let tells = |column: &usize| {
            let mut any = series.iter();
            any.any(|rows| self.parts(rows, *column).is_some())
        };
        let from = (span.from..=span.to).find(tells)?;
        let to = (span.from..=span.to).rev().find(tells)?;
        self.secs(Span { from, to })
    }

    /// By how much the counters of a metric rose, added up by what `by` says. Series for which
    /// it says `None` are left out.
    pub fn counters(
        &self,
        metric: Metric,
        span: Span,
        by: impl Fn(Labels<'_>) -> Option<String>,
    ) -> BTreeMap<String, Change> {
        let mut out: BTreeMap<String, Change> = BTreeMap::new();
        for rows in self.series(metric) {
            let Some(group) = by(rows.labels) else {
                continue;
            };
            if let Some((rise, at_least)) = self.rise(&rows, span) {
                out.entry(group).or_default().add(Change {
                    value: rise.first().copied().unwrap_or_default(),
                    at_least,
                });
            }
        }
        out
    }

    /// By how much a counter rose, all its series added up. `None` when it was not exposed.
    pub fn counter(&self, metric: Metric, span: Span) -> Option<Change> {
        self.counters(metric, span, |_| Some(String::new()))
            .into_values()
            .next()
    }

    /// Rise per second of a window.
    pub fn rate(&self, metric: Metric, span: Span) -> Option<f64> {
        Some(self.counter(metric, span)?.value / self.secs_of(metric, span)?)
    }

    /// Histograms of a metric over a span, added up by what `by` says, durations in
    /// milliseconds; with the flag of lower bounds.
    pub fn histograms(
        &self,
        metric: Metric,
        span: Span,
        by: impl Fn(Labels<'_>) -> Option<String>,
    ) -> BTreeMap<String, (Hist, bool)> {
        let mut out: BTreeMap<String, (Hist, bool)> = BTreeMap::new();
        for rows in self.series(metric) {
            let Some(group) = by(rows.labels) else {
                continue;
            };
            let Some((hist, at_least)) = self.histogram_of(&rows, span) else {
                continue;
            };
            let slot = out.entry(group).or_default();
            if slot.0.add(&hist) {
                slot.1 |= at_least;
            } else {
                // Other bounds, as after an upgrade: what does not fit is not counted.
                slot.1 = true;
            }
        }
        for (hist, _) in out.values_mut() {
            *hist = std::mem::take(hist).scaled(metric.info().unit.to_ms());
        }
        out
    }

    /// By how much the sum of a summary rose.
    pub(super) fn summary_sum(&self, metric: Metric, span: Span) -> Option<f64> {
        let mut total = None;
        for rows in self.series(metric) {
            let Some(at) = rows.keys.iter().position(|key| key.part == Part::Sum) else {
                continue;
            };
            // The sum alone: quantiles of a summary go up and down.
            let own = SeriesRows {
                labels: rows.labels,
                keys: rows.keys.get(at..=at)?,
                first: rows.first + at,
            };
            if let Some((rise, _)) = self.rise(&own, span) {
                *total.get_or_insert(0.0) += rise.first().copied().unwrap_or_default();
            }
        }
        total
    }

    /// One histogram over a span, all series added up.
    pub fn histogram(&self, metric: Metric, span: Span) -> Option<(Hist, bool)> {
        self.histograms(metric, span, |_| Some(String::new()))
            .into_values()
            .next()
    }

    fn histogram_of(&self, rows: &SeriesRows<'_>, span: Span) -> Option<(Hist, bool)> {
        let (rise, at_least) = self.rise(rows, span)?;
        let mut cumulative = Vec::with_capacity(rise.len());
        let (mut sum, mut count) = (None, None);
        for (key, value) in rows.keys.iter().zip(rise) {
            match key.part {
                Part::Bucket(bits) => cumulative.push((f64::from_bits(bits), value)),
                Part::Sum => sum = Some(value),
                Part::Count => count = Some(value),
                Part::Value => {}
            }
        }
        if !cumulative.iter().any(|(le, _)| le.is_infinite()) {
            // The count is the open bucket; without either the total is not known.
            cumulative.push((f64::INFINITY, count?));
        }
        let hist = Hist::from_cumulative(cumulative, sum)?;
        Some((hist, at_least))
    }

    /// Histograms of a metric that make no sense, by the columns in which they do not.
    pub(super) fn broken_histograms(&self) -> Vec<(Metric, String)> {
        let mut broken = Vec::new();
        for (metric, info) in crate::catalog::metrics::METRICS {
            if info.kind != Kind::Histogram {
                continue;
            }
            for rows in self.series(*metric) {
                for column in 0..self.columns.len() {
                    let life = Span {
                        from: column,
                        to: column,
                    };
                    let complete = rows
                        .keys
                        .iter()
                        .enumerate()
                        .all(|(offset, _)| self.at(rows.first + offset, column).is_finite());
                    if complete && self.histogram_of(&rows, life).is_none() {
                        let source = self.columns.get(column).map_or("", |c| c.source.as_str());
                        broken.push((*metric, source.to_owned()));
                    }
                }
            }
        }
        broken.sort();
        broken.dedup();
        broken
    }

    /// A gauge in each column, series added up by what `by` says. Columns without any of the
    /// series are left out.
    pub fn gauges(
        &self,
        metric: Metric,
        by: impl Fn(Labels<'_>) -> Option<String>,
    ) -> BTreeMap<String, Vec<(usize, f64)>> {
        let mut groups: BTreeMap<String, Vec<SeriesRows<'_>>> = BTreeMap::new();
        for rows in self.series(metric) {
            if let Some(group) = by(rows.labels) {
                groups.entry(group).or_default().push(rows);
            }
        }
        groups
            .into_iter()
            .map(|(group, series)| {
                let points = (0..self.columns.len()).filter_map(|column| {
                    let values = series
                        .iter()
                        .map(|rows| self.at(rows.first, column))
                        .filter(|value| !value.is_nan() && *value != BAD);
                    let (mut sum, mut any) = (0.0, false);
                    for value in values {
                        sum += value;
                        any = true;
                    }
                    any.then_some((column, sum))
                });
                (group, points.collect::<Vec<_>>())
            })
            .filter(|(_, points)| !points.is_empty())
            .collect()
    }

    /// A gauge in each column, all its series added up.
    pub fn gauge_points(&self, metric: Metric) -> Vec<(usize, f64)> {
        self.gauges(metric, |_| Some(String::new()))
            .into_values()
            .next()
            .unwrap_or_default()
    }

    /// A gauge over all columns.
    pub fn gauge(&self, metric: Metric) -> Option<Level> {
        level(&self.gauge_points(metric))
    }
}

/// First, last, largest and smallest of a gauge's points.
pub(super) fn level(points: &[(usize, f64)]) -> Option<Level> {
    let (first, last) = (points.first()?.1, points.last()?.1);
    let values = || points.iter().map(|(_, value)| *value);
    Some(Level {
        first,
        last,
        max: values().fold(f64::NEG_INFINITY, f64::max),
        min: values().fold(f64::INFINITY, f64::min),
    })
}
