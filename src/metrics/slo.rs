//! The latency objectives of Kubernetes (SIG Scalability) against what was measured.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;

use super::bracket::Hist;
use super::resource::request_of;
use super::timeline::Timeline;
use super::window::Span;

/// SIG Scalability, `slos/api_call_latency.md`: mutating calls and reads of one object.
const SINGLE_MS: f64 = 1_000.0;
/// The same: reads of a namespace or of the cluster.
const COLLECTION_MS: f64 = 30_000.0;
/// SIG Scalability, `slos/pod_startup_latency.md`: stateless pods, image pulls not counted.
const POD_START_MS: f64 = 5_000.0;
/// A p99 of fewer requests is their maximum.
const MIN_REQUESTS: f64 = 100.0;

/// One objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// The bracket of the p99.
    pub p99_ms: (f64, f64),
    /// The limit.
    pub limit_ms: f64,
    /// Requests it is of.
    pub requests: f64,
    /// Which request is the worst one, for objectives over many.
    pub worst: String,
    /// How many kinds of request surely miss it.
    pub missed: f64,
}

/// Sums over a scope that only a `read` and a `write` differ in.
fn objective(verb: &str, scope: &str) -> Option<(&'static str, f64)> {
    match (verb, scope) {
        ("POST" | "PUT" | "PATCH" | "DELETE" | "APPLY", _) => Some(("mutating", SINGLE_MS)),
        ("GET" | "LIST", "resource") => Some(("read-resource", SINGLE_MS)),
        ("GET" | "LIST", "namespace") => Some(("read-namespace", COLLECTION_MS)),
        ("GET" | "LIST", "cluster") => Some(("read-cluster", COLLECTION_MS)),
        _ => None,
    }
}

/// Streams and what goes through to a kubelet: as slow as their user wants.
fn is_stream(subresource: &str) -> bool {
    matches!(
        subresource,
        "log" | "exec" | "attach" | "portforward" | "proxy" | "ephemeralcontainers"
    )
}

/// API call latency by objective, and `binding`. The SLI metric is used where there is one: it
/// leaves out webhooks and the wait in queues, as the objective does.
pub(super) fn api(line: &Timeline, span: Span) -> BTreeMap<String, Slo> {
    let metric = if line.has(Metric::ApiSli) {
        Metric::ApiSli
    } else {
        Metric::ApiDuration
    };
    let calls = line.histograms(metric, span, |labels| {
        let (name, _) = objective(labels.get("verb"), labels.get("scope"))?;
        if labels.get("resource").is_empty() || is_stream(labels.get("subresource")) {
            return None;
        }
        Some(format!(
            "{name}\n{} {}",
            labels.get("verb"),
            request_of(labels)
        ))
    });
    let mut out: BTreeMap<String, Slo> = BTreeMap::new();
    for (name, (hist, _)) in &calls {
        let Some((name, call)) = name.split_once('\n') else {
            continue;
        };
        let limit = if matches!(name, "mutating" | "read-resource") {
            SINGLE_MS
        } else {
            COLLECTION_MS
        };
        if call == "POST pods/binding"
            && let Some(slo) = of(hist, SINGLE_MS, call)
        {
            out.insert("binding".to_owned(), slo);
        }
        if hist.count() < MIN_REQUESTS {
            continue;
        }
        let Some(slo) = of(hist, limit, call) else {
            continue;
        };
        match out.get_mut(name) {
            None => {
                out.insert(name.to_owned(), slo);
            }
            Some(have) => {
                have.missed += slo.missed;
                if slo.p99_ms > have.p99_ms {
                    have.p99_ms = slo.p99_ms;
                    have.worst = slo.worst;
                    have.requests = slo.requests;
                }
            }
        }
    }
    out
}

/// Pod start as kubelets measured it.
pub(super) fn pod_start(line: &Timeline, span: Span) -> Option<Slo> {
    let (hist, _) = line.histogram(Metric::PodStart, span)?;
    of(&hist, POD_START_MS, "pod start")
}

fn of(hist: &Hist, limit_ms: f64, worst: &str) -> Option<Slo> {
    let p99_ms = hist.bracket(0.99)?;
    Some(Slo {
        p99_ms,
        limit_ms,
        requests: hist.count(),
        worst: worst.to_owned(),
        missed: f64::from(u8::from(p99_ms.0 >= limit_ms)),
    })
}
