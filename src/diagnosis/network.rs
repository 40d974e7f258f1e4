//! Is it the network between members? A slow round trip beside fast syncs shows it.

use super::assess::{Assessment, Case, names};
use super::cause::Cause;
use crate::rules::Severity;

const SETTLE: &str = "etcd_network_peer_round_trip_time_seconds of every member (two scrapes), or ping \
                      between the members";

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let facts = case.facts;
    let rtt = case.failed("peer-rtt-high");
    if rtt.is_empty() && facts.single_member {
        return Assessment::cleared(
            Cause::Network,
            "there is one member, so no peer can be slow",
            Vec::new(),
        );
    }
    let links = case.has("peer-link-unstable") || case.has("raft-messages-dropped");
    let reads = case.has("read-index-slow");
    let disk_out = facts.device_fast.is_some() || facts.fsync_fast.is_some();
    let disk_in = case.has("device-flush-slow") || case.has("wal-sync-stalled");
    let cpu_in = case.has("etcd-cpu-throttled");

    let confidence = if case.has_at("peer-rtt-high", Severity::Critical) {
        // A starved or stalled member answers probes late as well.
        if disk_in || cpu_in { 0.6 } else { 0.9 }
    } else if !rtt.is_empty() {
        if disk_in || cpu_in { 0.4 } else { 0.6 }
    } else if let Some(fast) = &facts.network_fast {
        return Assessment::cleared(
            Cause::Network,
            "the round trips between members are fast",
            fast.clone(),
        );
    } else if disk_in || cpu_in || case.has_at("tls-rejections", Severity::Warn) {
        // Links that certificates keep closed are no slow network.
        return Assessment::default();
    } else if reads || links {
        match (disk_out, facts.cpu_free.is_some(), links) {
            (true, true, _) => 0.6,
            (true, false, true) => 0.55,
            _ => 0.4,
        }
    } else {
        return Assessment::default();
    };
    let mut carry = case.odd("server.peer.rtt-by");
    carry.extend(case.all(&[
        "peer-rtt-high",
        "read-index-slow",
        "raft-messages-dropped",
        "peer-link-unstable",
        "etcd-requests-slow",
    ]));
    let on = match carry.first() {
        Some(odd) if odd.rule == "member-odd-one-out" => String::new(),
        _ => names(&carry),
    };
    let mut summary = carry
        .first()
        .map_or_else(String::new, |finding| finding.message.clone());
    if !on.is_empty() {
        summary = format!("{summary} ({on})");
    }
    Assessment::of(Cause::Network, confidence, summary, &carry, SETTLE)
}
