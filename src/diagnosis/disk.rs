//! Is it the disk? The kernel's flush time and etcd's own lines about stalled syncs prove it;
//! latency alone does not, because a starved CPU looks the same to etcd.

use super::assess::{Assessment, Case, names};
use super::cause::Cause;
use super::facts::node_of;
use crate::evidence::Citation;
use crate::rules::{Confidence, Finding, Severity};

const SETTLE: &str = "two samples of the device's flush counters (host evidence: /proc/diskstats or \
                      /sys/block/DEV/stat) and the CPU throttling of etcd's cgroup";

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let flush = case.failed("device-flush-slow");
    let mut stalls = case.failed("wal-sync-stalled");
    let mut fsync = case.failed("wal-fsync-slow");
    // Below etcd as well, but with the writes of others in it: it counts beside slow syncs.
    let mut writes = case.failed("device-write-slow");
    writes.retain(|finding| finding.severity >= Severity::Warn);
    let read_only = case.failed("filesystem-read-only");
    // Those of another device are a note.
    let mut broken = case.failed("kernel-io-errors");
    broken.retain(|finding| finding.severity == Severity::Critical);
    let io_errors = !broken.is_empty();
    let facts = case.facts;

    // A device is cleared by a measurement of itself: one of another member's says nothing.
    let cleared = |finding: &&Finding| facts.fast_device(&node_of(&finding.subject)).is_some();
    if flush.is_empty() && !io_errors && read_only.is_empty() {
        let ill: Vec<&Finding> = stalls.iter().chain(&fsync).copied().collect();
        if ill.is_empty()
            && writes.is_empty()
            && let Some(fast) = &facts.device_fast
        {
            return Assessment::cleared(Cause::Disk, fast_words(fast), fast.clone());
        }
        if !ill.is_empty() && ill.iter().all(cleared) {
            let mut cites = Vec::new();
            for finding in &ill {
                for cite in facts
                    .fast_device(&node_of(&finding.subject))
                    .unwrap_or_default()
                {
                    if !cites.contains(cite) {
                        cites.push(cite.clone());
                    }
                }
            }
            return Assessment::cleared(Cause::Disk, fast_words(&cites), cites);
        }
        stalls.retain(|finding| !cleared(finding));
        fsync.retain(|finding| !cleared(finding));
    }
    let fails_on = |rule: &str, node: &str| {
        case.failed(rule)
            .iter()
            .any(|finding| node.is_empty() || node_of(&finding.subject) == node)
    };
    let throttled_on = |node: &str| fails_on("etcd-cpu-throttled", node);
    let waits_on = |node: &str| fails_on("run-delay-high", node);
    // Of another node they say nothing about the syncs of this one.
    let breaks = |ill: &&Finding| {
        let node = node_of(&ill.subject);
        broken.iter().any(|found| {
            let on = node_of(&found.subject);
            on.is_empty() || node.is_empty() || on == node
        })
    };
    let unwritable = case.logged("storage-io-error");
    let mut carry: Vec<&Finding> = read_only.clone();
    carry.extend(&unwritable);
    carry.extend(&flush);
    carry.extend(&writes);
    carry.extend(&stalls);
    carry.extend(&fsync);
    carry.extend(&broken);
    carry.extend(case.failed("backend-commit-slow"));
    let confidence = if let Some(worst) = read_only.first() {
        // No write gets through, whatever else is measured.
        if worst.confidence == Confidence::High {
            0.95
        } else {
            0.7
        }
    } else if !flush.is_empty() {
        match (
            stalls.is_empty() && fsync.is_empty(),
            facts.fsync_fast.is_some(),
        ) {
            // Below etcd and inside etcd: proved twice.
            (false, _) => 0.95,
            // The device is slow, and etcd does not feel it.
            (true, true) => 0.35,
            (true, false) => 0.75,
        }
    } else if stalls.iter().chain(&fsync).any(breaks) {
        0.85
    } else if !unwritable.is_empty() {
        // An error, not a latency: no starved CPU makes it.
        0.8
    } else if let Some(slow) = writes.first() {
        let node = node_of(&slow.subject);
        if throttled_on(&node) || waits_on(&node) {
            0.6
        } else if facts.free_cpu(&node) || facts.runs_freely(&node) {
            0.85
        } else {
            0.75
        }
    } else if let Some(worst) = stalls.first() {
        let node = node_of(&worst.subject);
        // One or two such lines in hours are a moment, not a state.
        let few = worst.severity < Severity::Critical && fsync.is_empty();
        if throttled_on(&node) {
            0.35
        } else if few {
            0.45
        } else if facts.free_cpu(&node) {
            0.85
        } else if facts.runs_freely(&node) {
            // Its peers get their answers at once.
            0.75
        } else if !case.starved().is_empty() {
            // A process that is kept from running misses ticks, and its syncs take long as well.
            0.45
        } else if facts.etcd_cpu.is_some_and(|cores| cores < 0.1)
            && !fsync.is_empty()
            && worst.severity < Severity::Critical
        {
            // CPU was not looked at: a starved etcd can write a line or two as well.
            0.45
        } else {
            0.65
        }
    } else if let Some(worst) = fsync.first() {
        let node = node_of(&worst.subject);
        if throttled_on(&node) {
            return Assessment::default();
        }
        // Slow syncs without a measurement below etcd: disk or CPU. A process that is kept from
        // running syncs fast while it runs; one that runs freely and whose every sync is slow
        // waits for its disk.
        if facts.steadily_slow.contains(&node) && facts.runs_freely(&node) {
            0.6
        } else if waits_on(&node) {
            0.4
        } else {
            0.45
        }
    } else if let Some(fast) = &facts.fsync_fast {
        return Assessment::cleared(
            Cause::Disk,
            "p99 of the WAL fsync is within the limit on every member",
            fast.clone(),
        );
    } else if case.has_at("backend-commit-slow", Severity::Warn) && facts.device_fast.is_none() {
        // Commits sync as the WAL does; what its syncs took at that time is not known.
        0.4
    } else {
        return Assessment::default();
    };
    let on = names(&carry);
    let mut summary = carry
        .first()
        .map_or_else(String::new, |finding| finding.message.clone());
    if !on.is_empty() {
        summary = format!("{summary} ({on})");
    }
    let mut odd = case.odd("server.wal.fsync");
    odd.extend(case.odd("logs.events"));
    if let Some(odd) = odd.first() {
        summary = format!("{summary}; {}", odd.message);
        carry.push(odd);
    }
    Assessment::of(Cause::Disk, confidence, summary, &carry, SETTLE)
}

/// What clears a device, in words.
fn fast_words(cites: &[Citation]) -> &'static str {
    match cites.iter().any(|cited| cited.key == "device.flush.time") {
        true => "the kernel measured fast writes and flushes on the device under etcd",
        false => {
            "the kernel measured fast writes on the device under etcd, and sends it no flushes"
        }
    }
}
