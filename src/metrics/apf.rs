//! API Priority and Fairness: seats, queues, waits and rejections by priority level and flow.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;

use super::bracket::Hist;
use super::delta::level;
use super::timeline::{Labels, Timeline};
use super::window::Span;

/// One priority level over a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriorityLevel {
    /// Requests rejected, by reason.
    pub rejected: BTreeMap<String, f64>,
    /// Requests executed; `None` where the metrics do not count them.
    pub dispatched: Option<f64>,
    /// Whether the counts are lower bounds.
    pub at_least: bool,
    /// Seats configured.
    pub nominal_seats: Option<f64>,
    /// Most seats it had, by borrowing.
    pub current_seats: Option<f64>,
    /// Fewest seats lending leaves it.
    pub lower_seats: Option<f64>,
    /// Most seats borrowing could give it.
    pub upper_seats: Option<f64>,
    /// Most seats asked for at once.
    pub demand_seats: Option<f64>,
    /// Most requests in queues at a scrape.
    pub inqueue: Option<f64>,
    /// Most seats taken at a scrape.
    pub executing_seats: Option<f64>,
    /// Wait in queues of requests that were executed.
    pub wait: Option<Hist>,
    /// Time of execution.
    pub execution: Option<Hist>,
    /// Requests that found no free seat at once.
    pub no_accommodation: Option<f64>,
}

impl PriorityLevel {
    /// All rejections.
    pub fn all_rejected(&self) -> f64 {
        self.rejected.values().fold(0.0, |sum, n| sum + n)
    }
}

/// One flow schema over a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// Requests rejected.
    pub rejected: f64,
    /// Of those, because the queue was full.
    pub queue_full: f64,
    /// Requests executed; `None` where the metrics do not count them.
    pub dispatched: Option<f64>,
    /// Most requests in queues at a scrape.
    pub inqueue: Option<f64>,
    /// Wait in queues of requests that were executed.
    pub wait: Option<Hist>,
}

fn level_name(labels: Labels<'_>) -> Option<String> {
    Some(labels.get("priority_level").to_owned()).filter(|name| !name.is_empty())
}

fn flow_name(labels: Labels<'_>) -> Option<String> {
    Some(format!(
        "{}/{}",
        level_name(labels)?,
        labels.get("flow_schema")
    ))
}

/// `executed` requests only: a rejected one waits for nothing.
fn executed(labels: Labels<'_>) -> bool {
    // Up to 1.19 without the label or with other values.
    labels.get("execute") != "false"
}

/// Priority levels over a span; `None` when API Priority and Fairness is off or unknown.
pub(super) fn levels(line: &Timeline, span: Span) -> Option<BTreeMap<String, PriorityLevel>> {
    if !line.has(Metric::ApfDispatched) && !line.has(Metric::ApfNominalLimit) {
        return None;
    }
    let mut out: BTreeMap<String, PriorityLevel> = BTreeMap::new();
    let set = |out: &mut BTreeMap<String, PriorityLevel>,
               metric,
               put: fn(&mut PriorityLevel, f64),
               pick: fn(&super::delta::Level) -> f64| {
        for (name, points) in line.gauges(metric, level_name) {
            if let Some(found) = level(&points) {
                put(out.entry(name).or_default(), pick(&found));
            }
        }
    };
    set(
        &mut out,
        Metric::ApfNominalLimit,
        |l, v| l.nominal_seats = Some(v),
        |g| g.last,
    );
    set(
        &mut out,
        Metric::ApfCurrentLimit,
        |l, v| l.current_seats = Some(v),
        |g| g.max,
    );
    set(
        &mut out,
        Metric::ApfLowerLimit,
        |l, v| l.lower_seats = Some(v),
        |g| g.last,
    );
    set(
        &mut out,
        Metric::ApfUpperLimit,
        |l, v| l.upper_seats = Some(v),
        |g| g.last,
    );
    set(
        &mut out,
        Metric::ApfHighWatermark,
        |l, v| l.demand_seats = Some(v),
        |g| g.max,
    );
    set(
        &mut out,
        Metric::ApfInqueueRequests,
        |l, v| l.inqueue = Some(v),
        |g| g.max,
    );
    set(
        &mut out,
        Metric::ApfExecutingSeats,
        |l, v| l.executing_seats = Some(v),
        |g| g.max,
    );
    for (name, change) in line.counters(Metric::ApfDispatched, span, level_name) {
        let level = out.entry(name).or_default();
        level.dispatched = Some(change.value);
        level.at_least |= change.at_least;
    }
    for (name, change) in line.counters(Metric::ApfRejected, span, |labels| {
        Some(format!("{}\n{}", level_name(labels)?, labels.get("reason")))
    }) {
        if let Some((name, reason)) = name.split_once('\n')
            && change.value > 0.0
        {
            let level = out.entry(name.to_owned()).or_default();
            level.rejected.insert(reason.to_owned(), change.value);
            level.at_least |= change.at_least;
        }
    }
    for (name, change) in line.counters(Metric::ApfNoAccommodation, span, level_name) {
        out.entry(name).or_default().no_accommodation = Some(change.value);
    }
    for (name, (hist, _)) in line.histograms(Metric::ApfWait, span, |labels| {
        level_name(labels).filter(|_| executed(labels))
    }) {
        out.entry(name).or_default().wait = Some(hist);
    }
    for (name, (hist, _)) in line.histograms(Metric::ApfExecution, span, level_name) {
        out.entry(name).or_default().execution = Some(hist);
    }
    if line.has(Metric::ApfDispatched) {
        // A level of which nothing was executed has no series.
        for level in out.values_mut() {
            level.dispatched.get_or_insert_default();
        }
    }
    Some(out)
}

/// Flow schemas over a span, `LEVEL/FLOW`.
pub(super) fn flows(line: &Timeline, span: Span) -> BTreeMap<String, Flow> {
    let mut out: BTreeMap<String, Flow> = BTreeMap::new();
    for (name, change) in line.counters(Metric::ApfDispatched, span, flow_name) {
        out.entry(name).or_default().dispatched = Some(change.value);
    }
    for (name, change) in line.counters(Metric::ApfRejected, span, |labels| {
        Some(format!("{}\n{}", flow_name(labels)?, labels.get("reason")))
    }) {
        if let Some((name, reason)) = name.split_once('\n') {
            let flow = out.entry(name.to_owned()).or_default();
            flow.rejected += change.value;
            if reason == "queue-full" {
                flow.queue_full += change.value;
            }
        }
    }
    for (name, points) in line.gauges(Metric::ApfInqueueRequests, flow_name) {
        out.entry(name).or_default().inqueue = level(&points).map(|l| l.max);
    }
    for (name, (hist, _)) in line.histograms(Metric::ApfWait, span, |labels| {
        flow_name(labels).filter(|_| executed(labels))
    }) {
        out.entry(name).or_default().wait = Some(hist);
    }
    if line.has(Metric::ApfDispatched) {
        for flow in out.values_mut() {
            flow.dispatched.get_or_insert_default();
        }
    }
    out.retain(|_, flow| flow.dispatched > Some(0.0) || flow.rejected > 0.0);
    out
}
