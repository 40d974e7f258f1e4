//! What a process used: CPU, memory, descriptors, and what its Go runtime says about hunger.

use crate::catalog::metrics::Metric;

use super::bracket::Hist;
use super::timeline::Timeline;
use super::window::Span;

/// Readings of one process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// CPU seconds per second of the window.
    pub cpu: Option<f64>,
    /// CPU seconds per second, from scrape to scrape: `(span, value)`.
    pub cpu_steps: Vec<(Span, f64)>,
    /// Resident bytes at the last scrape.
    pub rss: Option<f64>,
    /// File descriptors open at most, and allowed.
    pub fds: Option<(f64, Option<f64>)>,
    /// Most goroutines at a scrape.
    pub goroutines: Option<f64>,
    /// Processors that Go may use.
    pub max_procs: Option<f64>,
    /// Share of the process' CPU time that the garbage collector took.
    pub gc_share: Option<f64>,
    /// Time in garbage collection pauses per second of the window.
    pub gc_pause: Option<f64>,
    /// Longest pause of the garbage collector since the process started, milliseconds.
    pub gc_pause_max_ms: Option<f64>,
    /// How long runnable goroutines waited for a processor, with the flag of a lower bound.
    pub sched_wait: Option<(Hist, bool)>,
    /// Version of the component.
    pub version: Option<String>,
    /// Version of Go.
    pub go_version: Option<String>,
    /// Restarts seen between scrapes.
    pub restarts: usize,
    /// When the process started, seconds since the epoch, at the last scrape.
    pub start: Option<f64>,
}

/// Reads a process over its whole time line.
pub fn process(line: &Timeline) -> Process {
    let span = line.whole();
    let share = |metric| {
        let used = line.counter(metric, span)?.value;
        let cpu = line.counter(Metric::Cpu, span)?.value;
        (cpu > 0.0).then_some(used / cpu)
    };
    Process {
        cpu: line.rate(Metric::Cpu, span),
        cpu_steps: line
            .pairs()
            .filter_map(|pair| Some((pair, line.rate(Metric::Cpu, pair)?)))
            .collect(),
        rss: line.gauge(Metric::Rss).map(|level| level.last),
        fds: line.gauge(Metric::OpenFds).map(|open| {
            let allowed = line.gauge(Metric::MaxFds).map(|max| max.last);
            (open.max, allowed)
        }),
        goroutines: line.gauge(Metric::Goroutines).map(|level| level.max),
        max_procs: line.gauge(Metric::GoMaxProcs).map(|level| level.last),
        gc_share: share(Metric::GcCpu),
        gc_pause: line.secs_of(Metric::GcPause, span).and_then(|secs| {
            let paused = line.summary_sum(Metric::GcPause, span)?;
            Some(paused / secs)
        }),
        gc_pause_max_ms: line
            .gauges(Metric::GcPause, |labels| {
                (labels.get("quantile") == "1").then(String::new)
            })
            .into_values()
            .next()
            .and_then(|points| super::delta::level(&points))
            .map(|level| level.max * 1000.0),
        sched_wait: line.histogram(Metric::SchedLatency, span),
        version: line
            .info(Metric::EtcdVersion, "server_version")
            .or_else(|| line.info(Metric::BuildInfo, "git_version")),
        go_version: line.info(Metric::GoInfo, "version"),
        restarts: line.columns.iter().filter(|c| c.restarted).count(),
        start: line.gauge(Metric::StartTime).map(|level| level.last),
    }
}
