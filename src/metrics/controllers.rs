//! What controllers tell: work queues, reconciles, and their own client's token bucket.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;

use super::bracket::Hist;
use super::delta::{Change, Level, level};
use super::etcd::Latency;
use super::timeline::Timeline;
use super::window::Span;

/// One work queue over a span.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// Items added.
    pub adds: f64,
    /// Items put back.
    pub retries: f64,
    /// Whether the counts are lower bounds.
    pub at_least: bool,
    /// Items waiting.
    pub depth: Option<Level>,
    /// The most items that were there at two looks in a row; `None` where there were no two.
    pub standing: Option<f64>,
    /// Wait in the queue.
    pub wait: Option<Hist>,
    /// Work on an item.
    pub work: Option<Hist>,
    /// Most seconds of work under way at a scrape.
    pub unfinished: Option<f64>,
    /// Longest a worker was at it at a scrape.
    pub longest: Option<f64>,
}

/// One controller of controller-runtime over a span.
#[derive(Clone, Debug, Default)]
pub struct Reconciler {
    /// Reconciles by result.
    pub results: BTreeMap<String, f64>,
    /// Reconciles that failed.
    pub errors: f64,
    /// Time of a reconcile.
    pub took: Option<Hist>,
    /// Workers it may use.
    pub workers: Option<f64>,
    /// Most workers in use at a scrape.
    pub active: Option<f64>,
}

/// Readings of one client of kube-apiserver over a span.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Wait in its own token bucket.
    pub limiter: Latency,
    /// The same by verb.
    pub limiter_by: BTreeMap<String, (Hist, bool)>,
    /// Requests by method and code.
    pub codes: BTreeMap<String, Change>,
    /// Requests per second.
    pub rate: Option<f64>,
    /// Latency as the client saw it.
    pub took: Latency,
    /// Requests sent again.
    pub retries: Option<Change>,
}

/// Work queues over a span; `None` when the process has none.
pub fn queues(line: &Timeline, span: Span) -> Option<BTreeMap<String, Queue>> {
    if !line.has(Metric::QueueAdds) && !line.has(Metric::QueueDepth) {
        return None;
    }
    let name = |labels: super::timeline::Labels<'_>| Some(labels.get("name").to_owned());
    let mut out: BTreeMap<String, Queue> = BTreeMap::new();
    for (queue, change) in line.counters(Metric::QueueAdds, span, name) {
        let queue = out.entry(queue).or_default();
        queue.adds = change.value;
        queue.at_least |= change.at_least;
    }
    for (queue, change) in line.counters(Metric::QueueRetries, span, name) {
        let queue = out.entry(queue).or_default();
        queue.retries = change.value;
        queue.at_least |= change.at_least;
    }
    for (queue, points) in line.gauges(Metric::QueueDepth, name) {
        let queue = out.entry(queue).or_default();
        queue.depth = level(&points);
        queue.standing = standing(&points, |from, to| line.secs(Span { from, to }));
    }
    for (queue, (hist, _)) in line.histograms(Metric::QueueWait, span, name) {
        out.entry(queue).or_default().wait = Some(hist);
    }
    for (queue, (hist, _)) in line.histograms(Metric::QueueWork, span, name) {
        out.entry(queue).or_default().work = Some(hist);
    }
    for (queue, points) in line.gauges(Metric::QueueUnfinished, name) {
        out.entry(queue).or_default().unfinished = level(&points).map(|l| l.max);
    }
    for (queue, points) in line.gauges(Metric::QueueLongest, name) {
        out.entry(queue).or_default().longest = level(&points).map(|l| l.max);
    }
    Some(out)
}

/// Looks that are closer together are one: the queue had no time to be drained.
const APART_SECS: f64 = 5.0;

/// The most that a gauge held at all looks from one to the next one that is apart from it.
fn standing(points: &[(usize, f64)], secs: impl Fn(usize, usize) -> Option<f64>) -> Option<f64> {
    let kept = points
        .iter()
        .enumerate()
        .filter_map(|(nth, (from, value))| {
            let mut least = *value;
            for (to, value) in points.iter().skip(nth + 1) {
                least = least.min(*value);
                if secs(*from, *to).is_some_and(|secs| secs >= APART_SECS) {
                    return Some(least);
                }
            }
            None
        });
    kept.reduce(f64::max)
}

/// Controllers of controller-runtime over a span.
pub fn reconcilers(line: &Timeline, span: Span) -> Option<BTreeMap<String, Reconciler>> {
    if !line.has(Metric::Reconciles) {
        return None;
    }
    let name = |labels: super::timeline::Labels<'_>| Some(labels.get("controller").to_owned());
    let mut out: BTreeMap<String, Reconciler> = BTreeMap::new();
    for (name, change) in line.counters(Metric::Reconciles, span, |labels| {
        Some(format!(
            "{}\n{}",
            labels.get("controller"),
            labels.get("result")
        ))
    }) {
        if let Some((controller, result)) = name.split_once('\n') {
            out.entry(controller.to_owned())
                .or_default()
                .results
                .insert(result.to_owned(), change.value);
        }
    }
    for (controller, change) in line.counters(Metric::ReconcileErrors, span, name) {
        out.entry(controller).or_default().errors = change.value;
    }
    for (controller, (hist, _)) in line.histograms(Metric::ReconcileTime, span, name) {
        out.entry(controller).or_default().took = Some(hist);
    }
    for (controller, points) in line.gauges(Metric::MaxConcurrent, name) {
        out.entry(controller).or_default().workers = level(&points).map(|l| l.last);
    }
    for (controller, points) in line.gauges(Metric::ActiveWorkers, name) {
        out.entry(controller).or_default().active = level(&points).map(|l| l.max);
    }
    Some(out)
}

/// The process as a client of kube-apiserver over a span.
pub fn client(line: &Timeline, span: Span) -> Client {
    Client {
        limiter: line.histogram(Metric::LimiterWait, span),
        limiter_by: line.histograms(Metric::LimiterWait, span, |labels| {
            Some(labels.get("verb").to_owned())
        }),
        codes: line.counters(Metric::RestRequests, span, |labels| {
            Some(format!("{} {}", labels.get("method"), labels.get("code")))
        }),
        rate: line.rate(Metric::RestRequests, span),
        took: line.histogram(Metric::ClientDuration, span),
        retries: line.counter(Metric::RestRetries, span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_stands_where_two_looks_in_a_row_find_it() {
        let of = |points: &[(usize, f64)]| {
            // One look each second.
            standing(points, |from, to| Some((to - from) as f64))
        };
        assert_eq!(of(&[(0, 0.0), (10, 60.0), (20, 0.0)]), Some(0.0));
        assert_eq!(of(&[(0, 0.0), (10, 60.0), (20, 57.0)]), Some(57.0));
        assert_eq!(of(&[(0, 60.0)]), None);
        assert_eq!(of(&[]), None);
        // Too close for two.
        assert_eq!(of(&[(0, 60.0), (4, 60.0)]), None);
        assert_eq!(of(&[(0, 60.0), (4, 0.0), (5, 60.0)]), Some(0.0));
    }
}
