//! Is it the network between members? A slow round trip beside fast syncs shows it, and so do links
//! that both of their ends lose.

use super::assess::{Assessment, Case, claim};
use super::cause::Cause;
use super::facts::node_of;
use super::links;
use crate::rules::{Finding, Severity};

const SETTLE: &str = "etcd_network_peer_round_trip_time_seconds of every member (two scrapes), or ping \
                      between the members";

const AGAIN: &str = "ping between the members, and their round trips again when the members themselves are in \
                     time";

const SILENT: &str =
    "whether the peer's host runs and can be pinged, and the last lines of its etcd's log";

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
    // Whose peers are down, or come and go, loses its links to them.
    if rtt.is_empty()
        && (case.has("member-down") || case.has_at("component-restarting", Severity::Critical))
    {
        return Assessment::default();
    }
    let broken: Vec<&Finding> = case
        .all(&["peer-link-unstable", "raft-messages-dropped"])
        .into_iter()
        .filter(|finding| finding.severity >= Severity::Warn)
        .collect();
    let reads = case.has("read-index-slow");
    let disk_out = facts.device_fast.is_some() || facts.fsync_fast.is_some();
    let disk_in = case.has("device-flush-slow")
        || case.has_at("device-write-slow", Severity::Warn)
        || case.has("wal-sync-stalled");
    let cpu_in = case.has("etcd-cpu-throttled") || case.has("run-delay-high");
    let cpu_out = facts.cpu_free.is_some();

    let confidence = if !rtt.is_empty() && facts.slow_apart && (disk_in || cpu_in) {
        // Between members that are in time: a matter of its own beside the one that is late.
        0.75
    } else if case.has_at("peer-rtt-high", Severity::Critical) {
        // A starved or stalled member answers probes late as well.
        match disk_in || cpu_in {
            true => 0.6,
            false if late_by_itself(case) => 0.45,
            false => 0.9,
        }
    } else if !rtt.is_empty() {
        match disk_in || cpu_in || late_by_itself(case) {
            true => 0.4,
            false => 0.6,
        }
    } else if broken.is_empty()
        && let Some(fast) = &facts.network_fast
    {
        // Round trips are those of the probes that came back: with broken links they clear nothing.
        return Assessment::cleared(
            Cause::Network,
            "the round trips between members are fast",
            fast.clone(),
        );
    } else if disk_in || cpu_in || case.has_at("tls-rejections", Severity::Warn) {
        // Links that certificates keep closed are no slow network.
        return Assessment::default();
    } else if !broken.is_empty() {
        match (both_ends(case, &broken), disk_out) {
            // A process that does not run loses its links as well.
            (true, _) if !cpu_out && !case.starved().is_empty() => 0.4,
            (true, true) if cpu_out => 0.65,
            (true, true) => 0.55,
            (true, false) if cpu_out => 0.5,
            (false, _) if peer_is_gone(case, &broken) => return Assessment::default(),
            // It may be the way to it; a peer that is off answers as little.
            (false, _) if is_silent(&broken) => 0.3,
            // One end alone does not tell the way from the peer.
            _ => 0.4,
        }
    } else if reads {
        if disk_out && cpu_out { 0.6 } else { 0.4 }
    } else {
        return Assessment::default();
    };
    // Heartbeats are late by the sender's own clock: before its links something holds it up.
    let held_up = case.has_at("heartbeat-late", Severity::Warn) && !(disk_out && cpu_out);
    let confidence = match rtt.is_empty() && held_up {
        true => f64::min(confidence, 0.3),
        false => confidence,
    };
    let mut carry = case.odd("server.peer.rtt-by");
    carry.extend(&rtt);
    // Where links break, what breaks them comes before what waits for it.
    carry.extend(&broken);
    carry.extend(case.all(&["read-index-slow", "etcd-requests-slow"]));
    let summary = match carry.first() {
        Some(odd) if odd.rule == "member-odd-one-out" => odd.message.clone(),
        _ => claim(&carry),
    };
    // What was read already settles nothing by being asked for again.
    let settle = match rtt.is_empty() {
        true if is_silent(&broken) => SILENT,
        true => SETTLE,
        false => AGAIN,
    };
    Assessment::of(Cause::Network, confidence, summary, &carry, settle)
}

/// Whether all slow links meet in a member that may be late by itself: neither its syncs, nor its
/// device and its CPU together, are known to be as they should; or the leader stood still at the one
/// look that there was.
fn late_by_itself(case: &Case<'_>) -> bool {
    let facts = case.facts;
    // Heartbeats are late by the sender's own clock, whatever the links do.
    if facts.one_look && case.has_at("heartbeat-late", Severity::Warn) {
        return true;
    }
    facts.late_ends.iter().any(|node| {
        let syncs = facts.prompt.contains(node);
        let cleared = facts.fast_device(node).is_some() && facts.free_cpu(node);
        !(syncs || cleared)
    })
}

/// Whether both ends of some link say that it broke: in their logs, or by messages that either could
/// not send.
fn both_ends(case: &Case<'_>, broken: &[&Finding]) -> bool {
    let counted = broken.iter().any(|finding| {
        let mut cited = finding.evidence.iter();
        finding.rule == "raft-messages-dropped" && cited.any(|c| c.key == "server.peer.rtt-by")
    });
    let of = broken.iter().map(|f| node_of(&f.subject)).collect();
    counted || links::both_ends(&case.facts.complaints, &of, case.facts.members)
}

/// Whether one peer of a member answers nothing at all, and its other links are well.
fn is_silent(broken: &[&Finding]) -> bool {
    let mut cited = broken.iter().flat_map(|finding| &finding.evidence);
    cited.any(|citation| citation.key == "logs.lives")
}

/// Whether those who complain were refused or hung up on: the peer ended, and the way to it is there.
fn peer_is_gone(case: &Case<'_>, broken: &[&Finding]) -> bool {
    let mut complaints = case.facts.complaints.iter();
    complaints.any(|c| c.gone && broken.iter().any(|f| node_of(&f.subject) == c.of))
}
