//! What kube-scheduler tells: pods waiting by queue, attempts, and how long binding takes.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;

use super::delta::{Change, Level, level};
use super::etcd::Latency;
use super::timeline::Timeline;
use super::window::Span;

/// Readings of one kube-scheduler over a span.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    /// Pods waiting, by queue: `active`, `backoff`, `unschedulable`, `gated`.
    pub pending: Option<BTreeMap<String, Level>>,
    /// Pods that wait for the scheduler: `active` and `backoff` together, at each look.
    pub waiting: Option<Level>,
    /// Attempts by result.
    pub attempts: Option<BTreeMap<String, Change>>,
    /// From first seen to bound.
    pub e2e: Latency,
    /// One attempt with its binding.
    pub attempt: Latency,
    /// The algorithm alone.
    pub algorithm: Latency,
    /// Binding: the request to kube-apiserver.
    pub binding: Latency,
    /// Pods held back, by plugin.
    pub unschedulable: BTreeMap<String, Level>,
    /// Pods that entered queues, by event.
    pub incoming: BTreeMap<String, Change>,
    /// Nodes and pods it knows.
    pub cache: BTreeMap<String, Level>,
}

/// Reads a kube-scheduler over a span.
pub fn scheduler(line: &Timeline, span: Span) -> Scheduler {
    let gauges = |metric, label: &'static str| -> BTreeMap<String, Level> {
        line.gauges(metric, |labels| Some(labels.get(label).to_owned()))
            .into_iter()
            .filter_map(|(name, points)| Some((name, level(&points)?)))
            .collect()
    };
    let bind = line.histograms(Metric::ExtensionPoint, span, |labels| {
        (labels.get("extension_point") == "Bind").then(String::new)
    });
    Scheduler {
        pending: line
            .has(Metric::PendingPods)
            .then(|| gauges(Metric::PendingPods, "queue")),
        waiting: line
            .gauges(Metric::PendingPods, |labels| {
                matches!(labels.get("queue"), "active" | "backoff").then(String::new)
            })
            .into_values()
            .find_map(|points| level(&points)),
        // Prints nothing before the first attempt, so that its absence beside the queues is 0.
        attempts: line.has(Metric::PendingPods).then(|| {
            line.counters(Metric::ScheduleAttempts, span, |labels| {
                Some(labels.get("result").to_owned())
            })
        }),
        e2e: line.histogram(Metric::SchedulerE2e, span),
        attempt: line.histogram(Metric::AttemptDuration, span),
        algorithm: line.histogram(Metric::AlgorithmDuration, span),
        binding: bind
            .into_values()
            .next()
            .or_else(|| line.histogram(Metric::BindingDuration, span)),
        unschedulable: gauges(Metric::UnschedulablePods, "plugin"),
        incoming: line.counters(Metric::IncomingPods, span, |labels| {
            Some(labels.get("event").to_owned())
        }),
        cache: gauges(Metric::SchedulerCache, "type"),
    }
}
