//! What kube-apiserver tells: its requests, its etcd as it feels it, lists, caches and objects.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;

use super::apf::{self, Flow, PriorityLevel};
use super::backends;
use super::bracket::Hist;
use super::delta::{Change, Level, level};
use super::etcd::Latency;
use super::resource::{request_of, resource_of};
use super::slo::{self, Slo};
use super::timeline::{Labels, Timeline};
use super::window::Span;

/// etcd requests of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EtcdUse {
    /// Requests by kind of operation.
    pub lists: f64,
    /// Gets.
    pub gets: f64,
    /// Creates, updates and deletes.
    pub writes: f64,
    /// Others.
    pub other: f64,
    /// Seconds that requests of all kinds took, in sum; absent when only counts are known.
    pub total_secs: Option<f64>,
    /// Seconds of lists.
    pub list_secs: f64,
    /// Seconds of gets.
    pub get_secs: f64,
    /// Seconds of writes.
    pub write_secs: f64,
    /// Requests that failed (1.27+).
    pub errors: f64,
}

impl EtcdUse {
    /// All requests.
    pub fn requests(&self) -> f64 {
        self.lists + self.gets + self.writes + self.other
    }
}

/// API requests of one verb and resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    /// Answered.
    pub requests: f64,
    /// Answered 5xx.
    pub errors: f64,
    /// Answered 504.
    pub timeouts: f64,
    /// Answered 429.
    pub throttled: f64,
    /// Answered 404, 409 and other 4xx.
    pub refused: f64,
    /// Answered 404.
    pub not_found: f64,
    /// Answered 409.
    pub conflicts: f64,
    /// Seconds in sum. Watches are left out: they take as long as they last.
    pub total_secs: Option<f64>,
}

/// Lists of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists {
    /// Lists from storage, and objects fetched, evaluated and returned by them.
    pub storage: [Option<f64>; 4],
    /// Lists from the watch cache, and objects fetched and returned by them.
    pub cache: [Option<f64>; 3],
    /// Consistent reads from the watch cache, and those that fell back to etcd.
    pub consistent: Option<(f64, f64)>,
}

/// Objects of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Objects {
    /// At the first and the last scrape.
    pub first: f64,
    /// At the last scrape.
    pub last: f64,
    /// Estimated bytes of all of them (1.34+).
    pub bytes: Option<f64>,
}

/// Readings of one kube-apiserver over a span.
#[derive(Clone, Debug, Default)]
pub struct Apiserver {
    /// etcd requests by `resource.group`.
    pub etcd: Option<BTreeMap<String, EtcdUse>>,
    /// Latency of all etcd requests.
    pub etcd_took: Latency,
    /// Latency by operation and resource: `list pods`.
    pub etcd_took_by: BTreeMap<String, (Hist, bool)>,
    /// API requests by verb and resource.
    pub requests: Option<BTreeMap<String, Requests>>,
    /// Answers by HTTP code.
    pub codes: BTreeMap<String, Change>,
    /// Whether counts of requests are lower bounds.
    pub at_least: bool,
    /// Lists by resource.
    pub lists: Option<BTreeMap<String, Lists>>,
    /// Objects by resource.
    pub objects: Option<BTreeMap<String, Objects>>,
    /// Most requests in flight, by kind.
    pub inflight: Option<BTreeMap<String, Level>>,
    /// Most requests queued, by kind.
    pub inqueue: BTreeMap<String, Level>,
    /// Long-running requests by verb and resource.
    pub longrunning: BTreeMap<String, Level>,
    /// Requests that were cut off.
    pub terminations: Option<Change>,
    /// Requests turned away by the limit in flight (till 1.24).
    pub dropped: Option<Change>,
    /// Events sent to watchers, by resource.
    pub watch_events: BTreeMap<String, Change>,
    /// Size of the database as it sees it.
    pub db_size: Option<f64>,
    /// Priority levels.
    pub levels: Option<BTreeMap<String, PriorityLevel>>,
    /// Flow schemas, `LEVEL/FLOW`.
    pub flows: BTreeMap<String, Flow>,
    /// Service level objectives.
    pub slos: BTreeMap<String, Slo>,
    /// Admission webhooks by name.
    pub webhooks: BTreeMap<String, (Hist, bool)>,
    /// Calls of webhooks that failed, by name.
    pub webhook_failures: BTreeMap<String, WebhookFailures>,
    /// Aggregated APIs by name.
    pub api_services: BTreeMap<String, ApiService>,
    /// Calls of KMS plugins by provider.
    pub kms: BTreeMap<String, Kms>,
}

/// Calls of one webhook that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WebhookFailures {
    /// The request went on without its answer.
    pub open: f64,
    /// The request was refused for it.
    pub closed: f64,
}

/// One aggregated API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiService {
    /// Whether it was unavailable at the last scrape.
    pub last: f64,
    /// The share of scrapes at which it was.
    pub share: f64,
    /// How often it was found so, and for what reason mostly.
    pub found: Option<(f64, String)>,
}

/// Calls of one KMS plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kms {
    /// All calls.
    pub calls: f64,
    /// Those that failed.
    pub failed: f64,
    /// Seconds of all calls.
    pub total_secs: f64,
}

/// Reads a kube-apiserver over a span.
pub fn apiserver(line: &Timeline, span: Span) -> Apiserver {
    let codes = line.counters(Metric::ApiRequests, span, |labels| {
        Some(labels.get("code").to_owned())
    });
    Apiserver {
        etcd: etcd_use(line, span),
        etcd_took: line.histogram(Metric::EtcdRequest, span),
        etcd_took_by: line.histograms(Metric::EtcdRequest, span, |labels| {
            Some(format!(
                "{} {}",
                labels.get("operation"),
                resource_of(labels)
            ))
        }),
        requests: requests(line, span),
        at_least: codes.values().any(|change| change.at_least),
        codes,
        lists: lists(line, span),
        objects: objects(line),
        inflight: line
            .has(Metric::Inflight)
            .then(|| levels_by(line, Metric::Inflight, "request_kind")),
        inqueue: levels_by(line, Metric::Inqueue, "request_kind"),
        longrunning: line
            .gauges(Metric::LongRunning, |labels| {
                Some(format!("{} {}", labels.get("verb"), resource_of(labels)))
            })
            .into_iter()
            .filter_map(|(name, points)| Some((name, level(&points)?)))
            .collect(),
        // A 429 is counted as a termination, too; it is no request cut off.
        terminations: line
            .counters(Metric::Terminations, span, |labels| {
                (labels.get("code") != "429").then(String::new)
            })
            .into_values()
            .next(),
        dropped: line.counter(Metric::Dropped, span),
        watch_events: line.counters(Metric::ApiWatchEvents, span, |labels| {
            let resource = resource_of(labels);
            Some(if resource.is_empty() {
                labels.get("kind").to_owned()
            } else {
                resource
            })
        }),
        db_size: line.gauge(Metric::StorageSize).map(|level| level.last),
        levels: apf::levels(line, span),
        flows: apf::flows(line, span),
        slos: slo::api(line, span),
        webhooks: line.histograms(Metric::Webhooks, span, |labels| {
            Some(labels.get("name").to_owned())
        }),
        webhook_failures: backends::webhook_failures(line, span),
        api_services: backends::api_services(line, span),
        kms: backends::kms(line, span),
    }
}

fn levels_by(line: &Timeline, metric: Metric, label: &str) -> BTreeMap<String, Level> {
    line.gauges(metric, |labels| Some(labels.get(label).to_owned()))
        .into_iter()
        .filter_map(|(name, points)| Some((name, level(&points)?)))
        .collect()
}

/// What an operation of the etcd client is. `listWithCount` and `listOnce` are ages of `list`.
fn slot(used: &mut EtcdUse, operation: &str) -> (&'static str, f64) {
    let before = used.requests();
    let kind = if operation.starts_with("list") {
        "list"
    } else {
        match operation {
            "get" => "get",
            "create" | "update" | "delete" | "put" | "txn" => "write",
            _ => "other",
        }
    };
    (kind, before)
}

fn etcd_use(line: &Timeline, span: Span) -> Option<BTreeMap<String, EtcdUse>> {
    let by = |labels: Labels<'_>| {
        Some(format!(
            "{}\n{}",
            labels.get("operation"),
            resource_of(labels)
        ))
    };
    let took = line.histograms(Metric::EtcdRequest, span, by);
    let counted = line.counters(Metric::EtcdRequests, span, by);
    if took.is_empty() && counted.is_empty() {
        return None;
    }
    let mut out: BTreeMap<String, EtcdUse> = BTreeMap::new();
    let mut add = |name: &str, count: f64, secs: Option<f64>| {
        let Some((operation, resource)) = name.split_once('\n') else {
            return;
        };
        let used = out.entry(resource.to_owned()).or_default();
        let (kind, _) = slot(used, operation);
        match kind {
            "list" => {
                used.lists += count;
                used.list_secs += secs.unwrap_or_default();
            }
            "get" => {
                used.gets += count;
                used.get_secs += secs.unwrap_or_default();
            }
            "write" => {
                used.writes += count;
                used.write_secs += secs.unwrap_or_default();
            }
            _ => used.other += count,
        }
        if let Some(secs) = secs {
            *used.total_secs.get_or_insert(0.0) += secs;
        }
    };
    // The histogram counts the same requests and knows their time.
    for (name, (hist, _)) in &took {
        add(name, hist.count(), hist.sum.map(|ms| ms / 1000.0));
    }
    for (name, change) in &counted {
        if !took.contains_key(name) {
            add(name, change.value, None);
        }
    }
    for (resource, change) in line.counters(Metric::EtcdRequestErrors, span, |labels| {
        Some(resource_of(labels))
    }) {
        out.entry(resource).or_default().errors += change.value;
    }
    out.retain(|_, used| used.requests() > 0.0 || used.errors > 0.0);
    Some(out)
}

fn requests(line: &Timeline, span: Span) -> Option<BTreeMap<String, Requests>> {
    let counts = line.counters(Metric::ApiRequests, span, |labels| {
        Some(format!(
            "{}\n{} {}",
            labels.get("code"),
            labels.get("verb"),
            request_of(labels)
        ))
    });
    if counts.is_empty() {
        return None;
    }
    let mut out: BTreeMap<String, Requests> = BTreeMap::new();
    for (name, change) in counts {
        let Some((code, name)) = name.split_once('\n') else {
            continue;
        };
        if change.value <= 0.0 {
            continue;
        }
        let row = out.entry(name.to_owned()).or_default();
        row.requests += change.value;
        match code {
            "429" => row.throttled += change.value,
            code if code.starts_with('5') => {
                row.errors += change.value;
                if code == "504" {
                    row.timeouts += change.value;
                }
            }
            code if code.starts_with('4') => row.refused += change.value,
            _ => {}
        }
        match code {
            "404" => row.not_found += change.value,
            "409" => row.conflicts += change.value,
            _ => {}
        }
    }
    for (name, (hist, _)) in line.histograms(Metric::ApiDuration, span, |labels| {
        let verb = labels.get("verb");
        (!matches!(verb, "WATCH" | "WATCHLIST" | "CONNECT"))
            .then(|| format!("{verb} {}", request_of(labels)))
    }) {
        if let Some(row) = out.get_mut(&name) {
            row.total_secs = hist.sum.map(|ms| ms / 1000.0);
        }
    }
    Some(out)
}

fn lists(line: &Timeline, span: Span) -> Option<BTreeMap<String, Lists>> {
    let read = |metric| {
        line.counters(metric, span, |labels| Some(resource_of(labels)))
            .into_iter()
            .filter(|(_, change)| change.value > 0.0)
    };
    let mut out: BTreeMap<String, Lists> = BTreeMap::new();
    let storage = [
        Metric::ListTotal,
        Metric::ListFetched,
        Metric::ListEvaluated,
        Metric::ListReturned,
    ];
    let cache = [
        Metric::CacheListTotal,
        Metric::CacheListFetched,
        Metric::CacheListReturned,
    ];
    if !storage.iter().chain(&cache).any(|metric| line.has(*metric)) {
        return None;
    }
    for (at, metric) in storage.into_iter().enumerate() {
        for (resource, change) in read(metric) {
            if let Some(cell) = out.entry(resource).or_default().storage.get_mut(at) {
                *cell = Some(change.value);
            }
        }
    }
    for (at, metric) in cache.into_iter().enumerate() {
        for (resource, change) in read(metric) {
            if let Some(cell) = out.entry(resource).or_default().cache.get_mut(at) {
                *cell = Some(change.value);
            }
        }
    }
    for (name, change) in line.counters(Metric::ConsistentReads, span, |labels| {
        Some(format!(
            "{}\n{}",
            labels.get("fallback"),
            resource_of(labels)
        ))
    }) {
        if let Some((fallback, resource)) = name.split_once('\n')
            && change.value > 0.0
        {
            let row = out.entry(resource.to_owned()).or_default();
            let (reads, fell) = row.consistent.get_or_insert((0.0, 0.0));
            *reads += change.value;
            if fallback == "true" {
                *fell += change.value;
            }
        }
    }
    Some(out)
}

fn objects(line: &Timeline) -> Option<BTreeMap<String, Objects>> {
    let counts = line.gauges(Metric::Objects, |labels| Some(resource_of(labels)));
    if counts.is_empty() {
        return None;
    }
    let bytes = line.gauges(Metric::ObjectBytes, |labels| Some(resource_of(labels)));
    Some(
        counts
            .into_iter()
            .filter_map(|(resource, mut points)| {
                // -1: the count could not be fetched.
                points.retain(|(_, value)| *value >= 0.0);
                let objects = level(&points)?;
                let bytes = bytes
                    .get(&resource)
                    .and_then(|points| level(points))
                    .map(|size| size.last)
                    .filter(|size| *size >= 0.0);
                Some((
                    resource,
                    Objects {
                        first: objects.first,
                        last: objects.last,
                        bytes,
                    },
                ))
            })
            .collect(),
    )
}
