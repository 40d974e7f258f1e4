//! Puts readings of one process with their subject, window and origin.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;
use crate::evidence::{
    Bucket, Collector, Completeness, EvidenceSet, FromShape, Histogram, Key, Missing, Origin,
    Point, Row, Series, Subject, SubjectKind, Table, Window,
};

use super::super::bracket::Hist;
use super::super::delta::Change;
use super::super::timeline::{Labels, Timeline};
use super::super::window::Span;

/// Most rows of a table; the smallest go to `other`.
const MAX_ROWS: usize = 500;
/// Most rows of a table over time.
const MAX_PHASES: usize = 1_500;

/// Writes readings of one process.
pub(super) struct Putter<'a> {
    set: &'a mut EvidenceSet,
    pub(super) line: &'a Timeline,
    subject: Subject,
    pub(super) span: Span,
    window: Window,
    origin: Origin,
}

impl<'a> Putter<'a> {
    pub(super) fn member(set: &'a mut EvidenceSet, line: &'a Timeline) -> Self {
        let node = line.target.node.clone().unwrap_or_default();
        let name = match (&line.target.instance, node.is_empty()) {
            (None, false) => node,
            (None, true) => line
                .target
                .member_id
                .clone()
                .unwrap_or_else(|| "etcd".to_owned()),
            (Some(instance), false) => format!("{node}/{instance}"),
            (Some(instance), true) => instance.clone(),
        };
        Self::new(set, line, Subject::new(SubjectKind::Member, name))
    }

    pub(super) fn component(set: &'a mut EvidenceSet, line: &'a Timeline, name: &str) -> Self {
        Self::new(set, line, super::component(line, name))
    }

    fn new(set: &'a mut EvidenceSet, line: &'a Timeline, subject: Subject) -> Self {
        let span = line.whole();
        let (from, to) = line.ends(span);
        let origin = Origin::new(Collector::Metrics, line.sources(span));
        // A life is no window: what it says of the time in question is an estimate.
        let origin = if span.is_lifetime() {
            origin.with(Completeness::Estimate)
        } else {
            origin
        };
        Putter {
            set,
            line,
            subject,
            span,
            window: Window { from, to },
            origin,
        }
    }

    fn origin(&self, at_least: bool) -> Origin {
        let origin = self.origin.clone();
        if at_least && origin.completeness == Completeness::Exact {
            origin.with(Completeness::AtLeast)
        } else {
            origin
        }
    }

    /// A value, or why it is missing.
    pub(super) fn put<T: FromShape>(
        &mut self,
        key: &Key<T>,
        value: Option<T>,
        at_least: bool,
        why: impl FnOnce() -> Missing,
    ) {
        let origin = self.origin(at_least);
        match value {
            Some(value) => {
                self.set
                    .put(key, self.subject.clone(), self.window, origin, value);
            }
            None => {
                self.set
                    .put_missing(key, self.subject.clone(), origin, why());
            }
        }
    }

    /// A number that a metric gives.
    pub(super) fn number(&mut self, key: &Key<f64>, metric: Metric, value: Option<f64>) {
        let why = self.absent(metric);
        self.put(key, value.filter(|v| v.is_finite()), false, || why);
    }

    /// A number of a window: without one it is not known.
    pub(super) fn rate(&mut self, key: &Key<f64>, metric: Metric, value: Option<f64>) {
        let why = if self.line.has(metric) {
            self.no_window()
        } else {
            self.absent(metric)
        };
        // What a process did between the last scrape and its end is not counted.
        let restarted = self.line.columns.iter().any(|column| column.restarted);
        self.put(key, value.filter(|v| v.is_finite()), restarted, || why);
    }

    /// A counter's rise.
    pub(super) fn count(&mut self, key: &Key<f64>, metric: Metric, change: Option<Change>) {
        let why = self.absent(metric);
        self.put(
            key,
            change.map(|c| c.value),
            change.is_some_and(|c| c.at_least),
            || why,
        );
    }

    /// A histogram; one without any value is known and empty.
    pub(super) fn hist(
        &mut self,
        key: &Key<Histogram>,
        metric: Metric,
        hist: Option<(Hist, bool)>,
    ) {
        let why = self.absent(metric);
        let at_least = hist.as_ref().is_some_and(|(_, at_least)| *at_least);
        self.put(key, hist.and_then(|(h, _)| shape(&h)), at_least, || why);
    }

    /// A gauge at each scrape.
    pub(super) fn series(&mut self, key: &Key<Series>, metric: Metric) {
        let points: Vec<Point> = self
            .line
            .gauge_points(metric)
            .into_iter()
            .filter_map(|(column, value)| {
                Some(Point {
                    at: self.line.columns.get(column)?.at?,
                    value,
                })
            })
            .collect();
        let why = if self.line.has(metric) {
            Missing::NotEnough {
                why: "the time of the scrapes is not known".to_owned(),
            }
        } else {
            self.absent(metric)
        };
        let series = (!points.is_empty()).then_some(Series { points });
        self.put(key, series, false, || why);
    }

    /// A table; `None` when the metric was not exposed. Rows over the bound go to `other`.
    pub(super) fn table(
        &mut self,
        key: &Key<Table>,
        metric: Metric,
        rows: Option<Vec<Row>>,
        rank_by: &str,
        at_least: bool,
    ) {
        let why = self.absent(metric);
        let table = rows.map(|rows| bounded(rows, rank_by));
        self.put(key, table, at_least, || why);
    }

    /// One row for each pair of scrapes.
    pub(super) fn phases(
        &mut self,
        key: &Key<Table>,
        metric: Metric,
        row: impl Fn(&Timeline, Span, Row) -> Option<Row>,
    ) {
        let line = self.line;
        let mut rows: Vec<Row> = line
            .pairs()
            .filter_map(|pair| {
                let from = line.ends(pair).0?;
                let start = Row::new(from.to_string()).num("secs", line.secs(pair)?);
                row(line, pair, start)
            })
            .collect();
        rows.truncate(MAX_PHASES);
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.dedup_by(|a, b| a.key == b.key);
        let why = if line.has(metric) {
            self.no_window()
        } else {
            self.absent(metric)
        };
        let table = (!rows.is_empty()).then_some(Table {
            rows,
            ..Table::default()
        });
        self.put(key, table, false, || why);
    }

    /// Rates of work queues for each pair of scrapes.
    pub(super) fn queue_phases(&mut self, key: &Key<Table>, queues: &[String]) {
        let line = self.line;
        let depth = line.gauges(Metric::QueueDepth, queue_name);
        let mut rows = Vec::new();
        for pair in line.pairs() {
            let (Some(from), Some(secs)) = (line.ends(pair).0, line.secs(pair)) else {
                continue;
            };
            let adds = line.counters(Metric::QueueAdds, pair, queue_name);
            let retries = line.counters(Metric::QueueRetries, pair, queue_name);
            for queue in queues {
                let rate = |of: &BTreeMap<String, Change>| of.get(queue).map(|c| c.value / secs);
                let later = depth
                    .get(queue)
                    .and_then(|points| points.iter().find(|(column, _)| *column == pair.to))
                    .map(|(_, value)| *value);
                let mut row = Row::new(format!("{queue} {from}"))
                    .text("queue", queue.clone())
                    .num("secs", secs);
                row = maybe(row, "adds_per_sec", rate(&adds));
                row = maybe(row, "retries_per_sec", rate(&retries));
                rows.push(maybe(row, "depth", later));
            }
            if rows.len() > MAX_PHASES {
                break;
            }
        }
        rows.truncate(MAX_PHASES);
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.dedup_by(|a, b| a.key == b.key);
        let why = self.no_window();
        let table = (!rows.is_empty()).then_some(Table {
            rows,
            ..Table::default()
        });
        self.put(key, table, false, || why);
    }

    fn no_window(&self) -> Missing {
        Missing::NotEnough {
            why: if self.span.is_lifetime() {
                format!(
                    "{} is the only scrape: a rate needs two",
                    self.origin.source
                )
            } else {
                "the times of the scrapes are not known well enough for a rate".to_owned()
            },
        }
    }

    /// Why a metric's reading is missing: not exposed, or broken.
    fn absent(&self, metric: Metric) -> Missing {
        let scrapes = 0..self.line.columns.len();
        let untold = |at: &usize| !self.line.tells(metric, *at);
        if self.line.has(metric) && scrapes.clone().filter(untold).count() + 1 >= scrapes.len() {
            Missing::NotEnough {
                why: format!(
                    "`{}` is in fewer than two scrapes of {}",
                    metric.name(),
                    self.origin.source
                ),
            }
        } else if self.line.has(metric) {
            Missing::Unreadable {
                source: self.origin.source.clone(),
                line: None,
                why: format!("`{}` gives no usable value", metric.name()),
            }
        } else {
            Missing::NotPresent {
                source: format!("`{}` in {}", metric.name(), self.origin.source),
            }
        }
    }
}

fn queue_name(labels: Labels<'_>) -> Option<String> {
    Some(labels.get("name").to_owned())
}

/// A histogram as evidence. One whose sum is not known would show a wrong mean, and is missing.
pub(super) fn shape(hist: &Hist) -> Option<Histogram> {
    Some(Histogram {
        buckets: hist
            .buckets
            .iter()
            .map(|(le, count)| Bucket {
                le: *le,
                count: *count,
            })
            .collect(),
        sum: hist.sum?,
        max: None,
    })
}

/// Adds mean, p50 and p99 of a histogram with the usual column names.
pub(super) fn brackets(mut row: Row, hist: &Hist, prefix: &str) -> Row {
    if let Some(mean) = hist.mean() {
        row = row.num(&format!("{prefix}mean_ms"), mean);
    }
    row = quantile(row, hist, 0.5, &format!("{prefix}p50"));
    quantile(row, hist, 0.99, &format!("{prefix}p99"))
}

/// Adds `NAME_low_ms` and, unless it is open, `NAME_high_ms`.
pub(super) fn quantile(mut row: Row, hist: &Hist, q: f64, name: &str) -> Row {
    if let Some((low, high)) = hist.bracket(q) {
        row = row.num(&format!("{name}_low_ms"), low);
        if high.is_finite() {
            row = row.num(&format!("{name}_high_ms"), high);
        }
    }
    row
}

/// As [`quantile`] of p99, with `NAME_tail`: how many values it rests on.
pub(super) fn p99_of_phase(row: Row, hist: &Hist, name: &str) -> Row {
    let row = quantile(row, hist, 0.99, name);
    match hist.count() > 0.0 {
        true => row.num(&format!("{name}_tail"), hist.tail(0.99)),
        false => row,
    }
}

/// A number, where it is known.
pub(super) fn maybe(row: Row, column: &str, value: Option<f64>) -> Row {
    match value.filter(|v| v.is_finite()) {
        Some(value) => row.num(column, value),
        None => row,
    }
}

/// Keeps the largest rows by a column, sorted by key; the rest is summed.
fn bounded(mut rows: Vec<Row>, rank_by: &str) -> Table {
    let mut table = Table::default();
    if rows.len() > MAX_ROWS {
        let rank = |row: &Row| row.get(rank_by).unwrap_or_default();
        rows.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then_with(|| a.key.cmp(&b.key)));
        let mut other = Row::new("other");
        for row in rows.drain(MAX_ROWS..) {
            for (column, cell) in &row.cells {
                if let crate::evidence::Cell::Num(value) = cell {
                    let have = other.get(column).unwrap_or_default();
                    let extreme = ["max_", "last_", "limit_"]
                        .iter()
                        .any(|start| column.starts_with(start));
                    let value = if extreme {
                        have.max(*value)
                    } else {
                        have + value
                    };
                    other = other.num(column, value);
                }
            }
        }
        table.other = Some(other);
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    table.rows = rows;
    table
}
