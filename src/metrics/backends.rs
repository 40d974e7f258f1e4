//! Servers that kube-apiserver asks besides etcd: webhooks, aggregated APIs, a KMS plugin.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;

use super::apiserver::{ApiService, Kms, WebhookFailures};
use super::timeline::Timeline;
use super::window::Span;

/// Calls of webhooks that failed, by name.
pub(super) fn webhook_failures(line: &Timeline, span: Span) -> BTreeMap<String, WebhookFailures> {
    let mut out: BTreeMap<String, WebhookFailures> = BTreeMap::new();
    for (name, change) in line.counters(Metric::WebhookFailOpen, span, |labels| {
        Some(labels.get("name").to_owned())
    }) {
        out.entry(name).or_default().open = change.value;
    }
    // A webhook that says no does its work: only calls that failed are its fault.
    for (name, change) in line.counters(Metric::WebhookRejections, span, |labels| {
        let failed = labels.get("error_type") == "calling_webhook_error";
        failed.then(|| labels.get("name").to_owned())
    }) {
        out.entry(name).or_default().closed = change.value;
    }
    out.retain(|_, calls| calls.open + calls.closed > 0.0);
    out
}

/// Aggregated APIs by the name of their APIService.
#[expect(clippy::cast_precision_loss, reason = "a count of scrapes")]
pub(super) fn api_services(line: &Timeline, span: Span) -> BTreeMap<String, ApiService> {
    let mut out: BTreeMap<String, ApiService> = BTreeMap::new();
    for (name, points) in line.gauges(Metric::ApiServiceDown, |labels| {
        Some(labels.get("name").to_owned())
    }) {
        let Some((_, last)) = points.last() else {
            continue;
        };
        let down = points.iter().filter(|(_, value)| *value > 0.0).count();
        let service = ApiService {
            last: *last,
            share: down as f64 / points.len() as f64,
            found: None,
        };
        out.insert(name, service);
    }
    for (name, change) in line.counters(Metric::ApiServiceChecks, span, |labels| {
        Some(format!("{}\n{}", labels.get("name"), labels.get("reason")))
    }) {
        let Some((name, reason)) = name.split_once('\n') else {
            continue;
        };
        if change.value > 0.0
            && let Some(service) = out.get_mut(name)
        {
            let (found, most) = service.found.get_or_insert_with(Default::default);
            if most.is_empty() || change.value > *found {
                reason.clone_into(most);
            }
            *found += change.value;
        }
    }
    out
}

/// Calls of KMS plugins by the provider's name.
pub(super) fn kms(line: &Timeline, span: Span) -> BTreeMap<String, Kms> {
    let mut out: BTreeMap<String, Kms> = BTreeMap::new();
    for (name, (hist, _)) in line.histograms(Metric::KmsCalls, span, |labels| {
        // `Status` asks whether it is there, once a minute.
        let asks = !labels.get("method_name").ends_with("/Status");
        let code = labels.get("grpc_status_code");
        asks.then(|| format!("{}\n{code}", labels.get("provider_name")))
    }) {
        let Some((provider, code)) = name.split_once('\n') else {
            continue;
        };
        let calls = out.entry(provider.to_owned()).or_default();
        calls.calls += hist.count();
        calls.total_secs += hist.sum.unwrap_or_default() / 1000.0;
        if code != "OK" {
            calls.failed += hist.count();
        }
    }
    out.retain(|_, calls| calls.calls > 0.0);
    out
}
