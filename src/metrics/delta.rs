//! What happened between two scrapes: counters with resets, histograms, and gauges.
//!
//! A counter that falls, or whose process restarted, began again from 0: the part after the
//! reset is counted and the result is a lower bound. A series that appears within the window
//! began at 0, unless the earlier scrape is torn before its place: then nobody knows.

use std::collections::BTreeMap;

use crate::catalog::metrics::{Kind, Metric};

use super::bracket::Hist;
use super::store::{BAD, Key, Part};
use super::timeline::{Labels, SeriesRows, Timeline};
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

/// What one part of a series did in one step.
enum Step {
    /// From, to.
    Both(f64, f64),
    Unknown,
}

impl Timeline {
    fn step(&self, row: usize, key: &Key, from: usize, to: usize) -> Step {
        let read = |column: usize| {
            let value = self.at(row, column);
            if value == BAD {
                None
            } else if !value.is_nan() {
                Some(value)
            } else if self.knows(key, column) {
                Some(f64::NAN)
            } else {
                None
            }
        };
        match (read(from), read(to)) {
            // Born in between: it began at 0.
            (Some(a), Some(b)) if !b.is_nan() => Step::Both(if a.is_nan() { 0.0 } else { a }, b),
            // Absent at both ends: nothing happened.
            (Some(a), Some(_)) if a.is_nan() => Step::Both(0.0, 0.0),
            _ => Step::Unknown,
        }
    }

    /// By how much each part of a series rose in a span, and whether that is a lower bound.
    fn rise(&self, rows: &SeriesRows<'_>, span: Span) -> Option<(Vec<f64>, bool)> {
        let mut total = vec![0.0; rows.keys.len()];
        let mut at_least = false;
        let mut known = false;
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
        for (from, to) in span.steps() {
            let steps: Vec<Step> = rows
                .keys
                .iter()
                .enumerate()
                .map(|(offset, key)| self.step(rows.first + offset, key, from, to))
                .collect();
            if steps.iter().any(|step| matches!(step, Step::Unknown)) {
                at_least = true;
                continue;
            }
            known = true;
            let outlives = rows
                .keys
                .first()
                .is_some_and(|key| key.metric.info().kind == Kind::Level);
            let restarted = self.columns.get(to).is_some_and(|c| c.restarted);
            let fell = rows.keys.iter().zip(&steps).any(
                |(key, step)| matches!(step, Step::Both(a, b) if b < a && key.part != Part::Sum),
            );
            let reset = fell || (restarted && !outlives);
            at_least |= reset;
            if fell && outlives {
                // An index that falls was restored from elsewhere: no count can be made of it.
                continue;
            }
            for (sum, step) in total.iter_mut().zip(&steps) {
                if let Step::Both(a, b) = step {
                    *sum += if reset { *b } else { b - a };
                }
            }
        }
        known.then_some((total, at_least))
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
        Some(self.counter(metric, span)?.value / self.secs(span)?)
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
