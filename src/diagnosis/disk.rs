//! Is it the disk? The kernel's flush time and etcd's own lines about stalled syncs prove it;
//! latency alone does not, because a starved CPU looks the same to etcd.

mod weights;

use super::assess::{Assessment, Case, claim};
use super::cause::Cause;
use super::facts::node_of;
use crate::evidence::Citation;
use crate::rules::quality::data_corruption::OF_FILES;
use crate::rules::{Confidence, Finding, Severity};
use weights::{OnNode, Says, Seen, SlowCommits, SlowSyncs, Stalls};
pub use weights::{WEIGHTS, Weight};

const SETTLE: &str = "two samples of the device's flush counters (host evidence: /proc/diskstats or \
                      /sys/block/DEV/stat) and the CPU throttling of etcd's cgroup";

/// Messages of the kernel about devices and what lies on them.
const OF_DEVICES: &[&str] = &[
    "kernel-io-error",
    "kernel-fs-error",
    "kernel-device-timeout",
];

const WHOSE: &str = "which device is under etcd (`findmnt -T` of its data directory), and which one the kernel's \
                     message names";

/// An etcd that uses less of a core than this does next to nothing.
const IDLE_CORES: f64 = 0.1;

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let flush = case.failed("device-flush-slow");
    // Those of a defragmentation are a note.
    let mut stalls = case.failed("wal-sync-stalled");
    stalls.retain(|finding| finding.severity >= Severity::Warn);
    let mut fsync = case.failed("wal-fsync-slow");
    // Below etcd as well, but with the writes of others in it: it counts beside slow syncs.
    let mut writes = case.failed("device-write-slow");
    writes.retain(|finding| {
        // While a database is written anew, writes queue up on any device; flushes tell of it.
        finding.severity >= Severity::Warn && !case.facts.rewritten.contains(&finding.subject)
    });
    let read_only = case.failed("filesystem-read-only");
    // Those of another device are a note.
    let mut broken = case.failed("kernel-io-errors");
    broken.retain(|finding| finding.severity == Severity::Critical);
    let on_own = broken.iter().any(|f| f.confidence > Confidence::Low);
    // What only a log tells names a device, and not whether etcd lies on it.
    let somewhere: Vec<&Finding> = match case.has("kernel-io-errors") {
        true => Vec::new(),
        false => OF_DEVICES
            .iter()
            .flat_map(|kind| case.logged(kind))
            .collect(),
    };
    let io_errors = !broken.is_empty() || !somewhere.is_empty();
    let facts = case.facts;

    // A device is cleared by a measurement of itself: one of another member's says nothing.
    let cleared = |finding: &&Finding| facts.fast_device(&node_of(&finding.subject)).is_some();
    // What was written came back as something else: that is not cleared by how long it took.
    let damaged = case
        .failed("data-corruption")
        .iter()
        .any(|finding| finding.aspect == OF_FILES);
    if damaged && flush.is_empty() && stalls.is_empty() && fsync.is_empty() {
        return match !broken.is_empty() || !read_only.is_empty() {
            true => told(
                case,
                0.9,
                broken.iter().chain(&read_only).copied().collect(),
            ),
            false => Assessment::default(),
        };
    }
    if flush.is_empty() && !io_errors && read_only.is_empty() {
        let ill: Vec<&Finding> = stalls.iter().chain(&fsync).copied().collect();
        if ill.is_empty()
            && writes.is_empty()
            && facts.all_seen()
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
    // Beside a disk that is slow, syncs that are a little late on other members accuse no disk of theirs:
    // one that was measured is cleared, and one that is far from the slowest had its own reasons.
    let odd: Vec<String> = case
        .odd("server.wal.fsync")
        .iter()
        .map(|finding| node_of(&finding.subject))
        .filter(|node| fsync.iter().any(|sync| node_of(&sync.subject) == *node))
        .collect();
    let sound = |finding: &Finding| {
        let node = node_of(&finding.subject);
        let beside = !odd.is_empty() && !odd.contains(&node);
        (beside && finding.severity < Severity::Critical)
            || (facts.fast_device(&node).is_some() && !beneath(&broken, finding))
    };
    if !odd.is_empty() || !flush.is_empty() {
        fsync.retain(|finding| !sound(finding));
        stalls.retain(|finding| !sound(finding));
    }
    // Of another node they say nothing about the syncs of this one.
    let breaks = |ill: &&Finding| beneath(&broken, ill);
    let mut commits = case.failed("backend-commit-slow");
    commits.retain(|finding| finding.severity >= Severity::Warn);
    if !odd.is_empty() || !flush.is_empty() {
        commits.retain(|finding| !sound(finding));
    }
    let unwritable = case.logged("storage-io-error");
    let seen = Seen {
        read_only: read_only.first().map(|worst| worst.confidence),
        slow_flush: !flush.is_empty(),
        broken: on_own,
        broken_somewhere: io_errors,
        broken_beneath: stalls.iter().chain(&fsync).any(breaks),
        unwritable: !unwritable.is_empty(),
        slow_writes: writes.first().map(|worst| on_node(case, worst)),
        stalls: stalls.first().map(|worst| Stalls {
            on: on_node(case, worst),
            many: worst.severity >= Severity::Critical,
        }),
        slow_syncs: fsync.first().map(|worst| SlowSyncs {
            on: on_node(case, worst),
            steady: facts.steadily_slow.contains(&node_of(&worst.subject)),
        }),
        fast_syncs: facts.fsync_fast.is_some(),
        slow_commits: commits.first().map(|worst| SlowCommits {
            on: on_node(case, worst),
            flushed_slowly: commits.iter().any(|commit| beneath(&flush, commit)),
        }),
        fast_device: facts.device_fast.is_some(),
        starved: !case.starved().is_empty(),
        idle: facts.etcd_cpu.is_some_and(|cores| cores < IDLE_CORES),
    };
    let confidence = match weights::says(&seen) {
        Says::Cause(confidence) => confidence,
        // What was measured says nothing of a member that nobody looked at.
        Says::Cleared if !facts.all_seen() => return Assessment::default(),
        Says::Cleared => {
            return Assessment::cleared(
                Cause::Disk,
                "p99 of the WAL fsync is within the limit on every member",
                facts.fsync_fast.clone().unwrap_or_default(),
            );
        }
        // The leader's own clock was late: it waited for its disk, or it did not run.
        Says::Nothing
            if case.has_at("heartbeat-late", Severity::Warn) && facts.device_fast.is_none() =>
        {
            return told(case, 0.4, case.failed("heartbeat-late"));
        }
        // A leader that waits for its disk confirms no read meanwhile.
        Says::Nothing
            if !case.unexplained_waits().is_empty()
                && facts.device_fast.is_none()
                && facts.fsync_fast.is_none() =>
        {
            return told(case, 0.4, case.unexplained_waits());
        }
        Says::Nothing => return Assessment::default(),
    };
    let mut carry: Vec<&Finding> = read_only;
    carry.extend(&unwritable);
    carry.extend(&flush);
    carry.extend(&writes);
    carry.extend(&stalls);
    carry.extend(&fsync);
    carry.extend(&broken);
    carry.extend(&somewhere);
    carry.extend(&commits);
    told(case, confidence, carry)
}

/// Whether some of these findings about devices are of the node that another is about, as far as
/// either names one.
fn beneath(devices: &[&Finding], ill: &Finding) -> bool {
    let node = node_of(&ill.subject);
    devices.iter().any(|found| {
        let on = node_of(&found.subject);
        on.is_empty() || node.is_empty() || on == node
    })
}

/// What is known of the node that a finding is about.
fn on_node(case: &Case<'_>, finding: &Finding) -> OnNode {
    let node = node_of(&finding.subject);
    let fails = |rule: &str| {
        case.failed(rule)
            .iter()
            .any(|finding| node.is_empty() || node_of(&finding.subject) == node)
    };
    OnNode {
        throttled: fails("etcd-cpu-throttled"),
        waits: fails("run-delay-high"),
        free_cpu: case.facts.free_cpu(&node),
        runs_freely: case.facts.runs_freely(&node),
    }
}

/// The cause in words, with the findings that carry it.
fn told<'a>(case: &Case<'a>, confidence: f64, mut carry: Vec<&'a Finding>) -> Assessment {
    let mut summary = claim(&carry);
    let mut odd = case.odd("server.wal.fsync");
    odd.extend(case.odd("logs.events"));
    if let Some(odd) = odd.first() {
        summary = format!("{summary}; {}", odd.message);
        carry.push(odd);
    }
    // What was read already settles nothing by being asked for again.
    let facts = case.facts;
    let of_devices = carry
        .first()
        .is_some_and(|first| matches!(&*first.rule, "faults-logged" | "kernel-io-errors"));
    let settle = match (facts.flushes_seen, facts.run_delay_seen) {
        _ if of_devices => WHOSE,
        (true, true) => {
            "samples of the host that lie closer together, over a longer time; `etcd-doctor bench disk` on \
             that device"
        }
        (true, false) => {
            "the CPU throttling of etcd's cgroup and the run-queue delay of its process (host evidence)"
        }
        _ => SETTLE,
    };
    Assessment::of(Cause::Disk, confidence, summary, &carry, settle)
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
