//! Is it in front of etcd: an apiserver that is full, or a client that holds itself back?

use super::assess::{Assessment, Case, claim};
use super::cause::Cause;
use crate::rules::Severity;

/// The rule of webhooks that hold requests up.
pub(super) const WEBHOOK: &str = "webhook-slow";

pub(super) fn throttling(case: &Case<'_>) -> Assessment {
    let throttled = case.failed("client-throttled");
    if throttled.is_empty() {
        return Assessment::default();
    }
    let backlog = case.has("workqueue-backlog");
    let fast = case.facts.etcd_fast.is_some() || case.facts.fsync_fast.is_some();
    let from_metrics = throttled
        .iter()
        .any(|f| f.evidence.iter().any(|c| c.key == "client.limiter.wait"));
    // Slow requests with a load that explains them are one thing, and clients that wait another. That
    // somebody lists now and then, or writes events, explains none.
    let loaded = case.has_at("expensive-lists", Severity::Warn);
    let confidence: f64 = match (from_metrics, backlog, fast) {
        // A client that holds itself back leaves etcd idle. Something else ails this one, and
        // faster clients would make it worse.
        _ if case.etcd_is_ill() => 0.4,
        (true, true, _) => 0.9,
        (true, false, true) => 0.85,
        (true, false, false) => 0.75,
        (false, ..) if case.has("slow-requests") => {
            if loaded {
                0.5
            } else {
                0.45
            }
        }
        (false, _, true) => 0.8,
        // Lines alone: the client waits by itself, and whether the server is slow is not known.
        (false, ..) => 0.65,
    };
    let carry = case.all(&["client-throttled", "workqueue-backlog", "scheduler-backlog"]);
    let summary = throttled
        .first()
        .map_or_else(String::new, |finding| finding.message.clone());
    let settle = "the client's rest_client_rate_limiter_duration_seconds and the apiserver's seats";
    Assessment::of(Cause::ClientThrottling, confidence, summary, &carry, settle)
}

pub(super) fn saturation(case: &Case<'_>) -> Assessment {
    let rejected = case.failed("apf-rejections");
    let waits = case.failed("apf-queue-waits");
    if rejected.is_empty() && waits.is_empty() {
        return Assessment::default();
    }
    let fast = case.facts.etcd_fast.is_some() || case.facts.fsync_fast.is_some();
    let slow = case.has("etcd-requests-slow")
        || case.has("wal-fsync-slow")
        || case.has("wal-sync-stalled")
        || (!fast && (case.has_at("slow-requests", Severity::Warn) || case.etcd_is_ill()));
    // Seats are held for as long as something behind them is slow: without a look at etcd, answers 429
    // do not tell a flood from that, unless there are so few seats that anything fills them.
    let looked = case.facts.etcd_seen
        || case.facts.metrics
        || case.facts.etcd_answers
        || case.facts.few_seats
        || case.has("inflight-unbalanced");
    // Lines about 429 do not say of how many requests.
    let counted = case.measured("apf-rejections");
    let confidence = match (rejected.is_empty(), fast, slow) {
        (false, true, false) if !counted => 0.7,
        (false, false, false) if !counted || !looked => 0.45,
        (false, true, false) => 0.9,
        (true, true, false) => 0.75,
        (_, _, true) => 0.4,
        (false, false, false) => 0.7,
        // Requests wait; whether for seats alone or for etcd behind them is not known.
        (true, false, false) => 0.45,
    };
    // Whoever waits for a webhook keeps a seat, and more seats would wait as well.
    let webhook = case.failed(WEBHOOK).into_iter().next();
    let webhook = webhook.zip(case.facts.webhook_share);
    let mut carry = Vec::new();
    carry.extend(webhook.map(|(finding, _)| finding));
    carry.extend(case.all(&[
        "apf-rejections",
        "apf-queue-waits",
        "inflight-unbalanced",
        "apiserver-timeouts",
    ]));
    // Whose requests wait or are turned away; seats that all of them lack say nothing of where.
    let mut summary = claim(match rejected.is_empty() {
        true => &waits,
        false => &rejected,
    });
    if let Some((finding, share)) = webhook {
        summary = format!(
            "{}: webhooks take {:.0} % of the time for which requests hold seats; {summary}",
            finding.message,
            share * 100.0
        );
    }
    let settle = "the latency of etcd requests in the apiserver's metrics: with a slow etcd, seats fill by themselves";
    Assessment::of(
        Cause::ApiserverSaturation,
        confidence,
        summary,
        &carry,
        settle,
    )
}
