//! One process over time: the rows of its scrapes side by side, with restarts found.

use crate::catalog::metrics::{Kind, Metric, MetricInfo};
use crate::clock::Timestamp;

use super::fault::{Fault, FaultKind};
use super::gaps::{Gaps, Order};
use super::identity::Role;
use super::moment::TimeSource;
use super::store::{Key, SEPARATOR};
use super::window::Span;

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Model {
    /// One for each process, by component and node.
    pub timelines: Vec<Timeline>,
    /// What was wrong.
    pub faults: Vec<Fault>,
    /// Files and answers that were read as metrics.
    pub scrapes: usize,
}

impl Model {
    /// Replaces node names: `m0`, an address or a pod name by the node's name, where the caller
    /// knows it (from manifests, or from the member ids that etcd logs).
    pub fn map_nodes(&mut self, name: impl Fn(&Target) -> Option<String>) {
        for timeline in &mut self.timelines {
            if let Some(node) = name(&timeline.target) {
                timeline.target.node = Some(node);
            }
        }
    }
}

/// Whose metrics they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// What runs in the process: one, or several as in k3s.
    pub roles: Vec<Role>,
    /// The component's name: `etcd`, `kube-apiserver`, `capi-controller-manager`, `k3s`.
    pub component: String,
    /// The node, as far as a name tells: `m0`, `cp-1`, an address.
    pub node: Option<String>,
    /// Tells processes of the same component and node apart: `events` for an etcd of events.
    pub instance: Option<String>,
    /// etcd's member id in hexadecimal.
    pub member_id: Option<String>,
}

impl Target {
    /// Whether the process plays this role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// One scrape of a time line.
#[derive(Clone, Debug)]
pub struct Column {
    /// When; `None` when nothing tells.
    pub at: Option<Timestamp>,
    /// How that is known.
    pub time: TimeSource,
    /// The file or address.
    pub source: String,
    /// Families from this one on are unknown, not zero.
    pub(super) torn_at: Option<Box<str>>,
    /// The last family of the text.
    pub(super) last_family: Box<str>,
    pub(super) order: Order,
    /// When the process started, seconds since the epoch.
    pub start: Option<f64>,
    /// Whether the process restarted since the scrape before.
    pub restarted: bool,
    /// The last scrape before it that surely is of the process before the restart: torn ones in
    /// between may be of either.
    pub(super) old_until: usize,
}

/// A restart between two scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// It lies between them.
    Within,
    /// It lies between them, or between one of them and a scrape beyond.
    Perhaps,
}

/// One process over time.
#[derive(Debug)]
pub struct Timeline {
    /// Whose.
    pub target: Target,
    /// Its scrapes by time.
    pub columns: Vec<Column>,
    /// Rows sorted by key.
    pub(super) keys: Vec<Key>,
    /// Row after row, one value a column; `NaN` where the series was not exposed.
    pub(super) values: Vec<f64>,
    /// What absence means.
    pub(super) gaps: Gaps,
}

/// The kept labels of a series.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    info: &'static MetricInfo,
    text: &'a str,
}

impl<'a> Labels<'a> {
    /// The value of a label by its newest name; empty when the series has no such label.
    pub fn get(&self, name: &str) -> &'a str {
        let at = self
            .info
            .labels
            .iter()
            .position(|label| label.split('|').next() == Some(name));
        at.and_then(|at| self.text.split(SEPARATOR).nth(at))
            .unwrap_or_default()
    }
}

/// Rows of one series: of a histogram all its parts.
pub(super) struct SeriesRows<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) keys: &'a [Key],
    /// Number of the first row.
    pub(super) first: usize,
}

impl Timeline {
    pub(super) fn new(target: Target, columns: Vec<Column>, rows: Vec<(Key, Vec<f64>)>) -> Self {
        let mut rows = rows;
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let mut keys = Vec::with_capacity(rows.len());
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        for (key, row) in rows {
            keys.push(key);
            values.extend(row);
        }
        let mut line = Timeline {
            target,
            columns,
            keys,
            values,
            gaps: Gaps::default(),
        };
        line.find_restarts();
        line.find_gaps();
        line
    }

    fn find_restarts(&mut self) {
        let cpu: Vec<f64> = (0..self.columns.len())
            .map(|column| {
                self.series(Metric::Cpu)
                    .first()
                    .map_or(f64::NAN, |rows| self.at(rows.first, column))
            })
            .collect();
        // The last scrape that has the CPU time, and the last that has the start: torn ones lack them.
        let (mut timed, mut dated): (Option<usize>, Option<usize>) = (None, None);
        let mut latest = None;
        for at in 0..self.columns.len() {
            // CPU time never falls while a process lives.
            let busy = cpu.get(at).filter(|cpu| cpu.is_finite());
            let fell = timed.filter(|before| busy.is_some_and(|now| Some(now) < cpu.get(*before)));
            // The start is computed from the boot time, which moves when the clock is set. A new
            // process starts after the last scrape of the old one.
            let started = dated.filter(|before| {
                if latest > Some(*before) {
                    // Its CPU time told of that start before.
                    return false;
                }
                let (before, now) = (self.columns.get(*before), self.columns.get(at));
                let starts = before.and_then(|c| c.start).zip(now.and_then(|c| c.start));
                match (starts, before.and_then(|c| c.at)) {
                    (Some((a, b)), Some(seen)) => b > a + 1.5 && b > seen.0 as f64 / 1e6 - 5.0,
                    (Some((a, b)), None) => b > a + 60.0,
                    _ => false,
                }
            });
            if busy.is_some() {
                timed = Some(at);
            }
            if fell.or(started).is_some() {
                latest = Some(at);
            }
            if let Some(column) = self.columns.get_mut(at) {
                column.restarted = fell.or(started).is_some();
                column.old_until = fell.max(started).unwrap_or(at);
                if column.start.is_some() {
                    dated = Some(at);
                }
            }
        }
    }

    /// Whether the process restarted between two scrapes, of which the first is the earlier one.
    pub(super) fn restart(&self, from: usize, to: usize) -> Option<Restart> {
        let mut found = None;
        for (at, column) in self.columns.iter().enumerate().skip(from + 1) {
            if !column.restarted || column.old_until >= to {
                continue;
            }
            if from <= column.old_until && at <= to {
                return Some(Restart::Within);
            }
            found = Some(Restart::Perhaps);
        }
        found
    }

    /// From the first to the last scrape; the life of the process when there is only one.
    pub fn whole(&self) -> Span {
        Span {
            from: 0,
            to: self.columns.len().saturating_sub(1),
        }
    }

    /// Each scrape to the next.
    pub fn pairs(&self) -> impl Iterator<Item = Span> + use<> {
        (1..self.columns.len()).map(|to| Span { from: to - 1, to })
    }

    /// Both ends of a span, where known. For a life: from the start of the process.
    pub fn ends(&self, span: Span) -> (Option<Timestamp>, Option<Timestamp>) {
        let column = |at: usize| self.columns.get(at);
        let from = if span.is_lifetime() {
            #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
            column(span.from)
                .and_then(|c| c.start)
                .map(|start| Timestamp((start * 1e6) as i64))
        } else {
            column(span.from).and_then(|c| c.at)
        };
        (from, column(span.to).and_then(|c| c.at))
    }

    /// Seconds of a window, for rates. `None` for a life, and when the times are not known well
    /// enough: a time from the last garbage collection may be two minutes early.
    pub fn secs(&self, span: Span) -> Option<f64> {
        if span.is_lifetime() {
            return None;
        }
        let (from, to) = (self.columns.get(span.from)?, self.columns.get(span.to)?);
        let secs = to.at?.since_us(from.at?) as f64 / 1e6;
        let rough = [from.time, to.time].contains(&TimeSource::LastGc);
        (secs > 0.0 && (!rough || secs >= 1200.0)).then_some(secs)
    }

    /// Files of a span, as the user would name them.
    pub fn sources(&self, span: Span) -> String {
        let name = |at: usize| self.columns.get(at).map_or("", |c| c.source.as_str());
        if span.is_lifetime() || name(span.from) == name(span.to) {
            name(span.to).to_owned()
        } else {
            format!("{} .. {}", name(span.from), name(span.to))
        }
    }

    /// The value of a row in a column; `NaN` when it was not exposed.
    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        if column >= self.columns.len() {
            return f64::NAN;
        }
        self.values
            .get(row * self.columns.len() + column)
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// The series of a metric under the name that this target uses.
    pub(super) fn series(&self, metric: Metric) -> Vec<SeriesRows<'_>> {
        let from = self.keys.partition_point(|key| key.metric < metric);
        let to = self.keys.partition_point(|key| key.metric <= metric);
        let Some(keys) = self.keys.get(from..to) else {
            return Vec::new();
        };
        // The newest name; releases that rename a metric expose both for a while.
        let Some(spelling) = keys.first().map(|key| key.spelling) else {
            return Vec::new();
        };
        let end = keys.partition_point(|key| key.spelling <= spelling);
        let mut rest = keys.get(..end).unwrap_or_default();
        let mut first = from;
        let mut out = Vec::new();
        while let Some(key) = rest.first() {
            let len = rest.partition_point(|other| other.labels <= key.labels);
            let (own, tail) = rest.split_at(len.max(1).min(rest.len()));
            out.push(SeriesRows {
                labels: Labels {
                    info: metric.info(),
                    text: &key.labels,
                },
                keys: own,
                first,
            });
            first += own.len();
            rest = tail;
        }
        out
    }

    /// Whether the metric was exposed at all.
    pub fn has(&self, metric: Metric) -> bool {
        let at = self.keys.partition_point(|key| key.metric < metric);
        self.keys.get(at).is_some_and(|key| key.metric == metric)
    }

    /// The values of an information metric's label, of the last scrape that has one.
    pub fn info(&self, metric: Metric, label: &str) -> Option<String> {
        let series = self.series(metric);
        for column in (0..self.columns.len()).rev() {
            let found = series
                .iter()
                .filter(|rows| self.at(rows.first, column) == 1.0)
                .map(|rows| rows.labels.get(label))
                .find(|value| !value.is_empty());
            if let Some(value) = found {
                return Some(value.to_owned());
            }
        }
        None
    }

    /// Restarts and what scrapes lack, as faults.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = self.gaps.faults.clone();
        for column in self.columns.iter().filter(|c| c.restarted) {
            faults.push(Fault::new(
                &column.source,
                FaultKind::Restart,
                "the process restarted since the scrape before: what it counted between that \
                 scrape and its end is lost, counts are lower bounds",
            ));
        }
        if self.columns.len() == 1
            && let Some(column) = self.columns.first()
        {
            faults.push(Fault::new(
                &column.source,
                FaultKind::SingleScrape,
                "the only scrape of this process: counts are since its start, and there are no \
                 rates",
            ));
        }
        faults
    }

    /// Counters that fell between two scrapes of a process that lived on.
    pub(super) fn resets(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = Vec::new();
        for (row, key) in self.keys.iter().enumerate() {
            let info = key.metric.info();
            if matches!(info.kind, Kind::Gauge | Kind::Info | Kind::Summary)
                || key.part == super::store::Part::Sum
            {
                continue;
            }
            for at in 1..self.columns.len() {
                let (a, b) = (self.at(row, at - 1), self.at(row, at));
                let column = self.columns.get(at);
                if b.is_finite() && b < a && column.is_some_and(|c| !c.restarted) {
                    let source = column.map_or("", |c| c.source.as_str());
                    let what =
                        format!("`{}` fell although its process did not restart", key.name());
                    if !faults.iter().any(|f| f.what == what && f.source == source) {
                        faults.push(Fault::new(source, FaultKind::CounterReset, what));
                    }
                }
            }
            if faults.len() >= 20 {
                break;
            }
        }
        faults
    }
}
