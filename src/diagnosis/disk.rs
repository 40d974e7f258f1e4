//! Is it the disk? The kernel's flush time and etcd's own lines about stalled syncs prove it;
//! latency alone does not, because a starved CPU looks the same to etcd.

use super::assess::{Assessment, Case, names};
use super::cause::Cause;

const SETTLE: &str = "two samples of the device's flush counters (host evidence: /proc/diskstats or \
                      /sys/block/DEV/stat) and the CPU throttling of etcd's cgroup";

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let flush = case.failed("device-flush-slow");
    let stalls = case.failed("wal-sync-stalled");
    let fsync = case.failed("wal-fsync-slow");
    let io_errors = case.has("kernel-io-errors");
    let throttled = case.has("etcd-cpu-throttled");
    let facts = case.facts;

    if let (Some(cleared), true) = (&facts.device_fast, flush.is_empty() && !io_errors) {
        return Assessment::cleared(
            Cause::Disk,
            "the kernel measured fast writes and flushes on the device under etcd",
            cleared.clone(),
        );
    }
    let carry = case.all(&[
        "device-flush-slow",
        "wal-sync-stalled",
        "wal-fsync-slow",
        "kernel-io-errors",
        "backend-commit-slow",
    ]);
    let confidence = if !flush.is_empty() {
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
    } else if io_errors && (!fsync.is_empty() || !stalls.is_empty()) {
        0.85
    } else if !stalls.is_empty() {
        match (throttled, facts.cpu_free.is_some()) {
            (true, _) => 0.35,
            (false, true) => 0.85,
            // CPU was not looked at: a starved etcd can write such lines too.
            (false, false) => {
                if facts.etcd_cpu.is_some_and(|cores| cores < 0.1) && !fsync.is_empty() {
                    0.45
                } else {
                    0.65
                }
            }
        }
    } else if !fsync.is_empty() && !throttled {
        // Slow syncs without a measurement below etcd: disk or CPU.
        0.45
    } else if let Some(fast) = &facts.fsync_fast {
        return Assessment::cleared(
            Cause::Disk,
            "p99 of the WAL fsync is within the limit on every member",
            fast.clone(),
        );
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
    Assessment::of(Cause::Disk, confidence, summary, &carry, SETTLE)
}
