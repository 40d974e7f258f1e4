//! Is it the CPU? etcd's own throttling or run-queue delay prove it; pressure on the host alone
//! is information.

use super::assess::{Assessment, Case, claim, names};
use super::cause::Cause;
use super::facts::node_of;
use crate::rules::cpu::apiserver_cpu_short::ALL_USED;
use crate::rules::{Finding, Severity};

const SETTLE: &str = "cpu.stat of etcd's cgroup (nr_throttled) and the run-queue delay of its process \
                      (host evidence)";

const OF_APISERVER: &str = "cpu.stat of kube-apiserver's cgroup and schedstat of its threads (host evidence, twice), and who asks \
                            it for most (its audit log)";

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let facts = case.facts;
    let is_etcd = |f: &&Finding| f.subject.name == "etcd" || f.subject.name.starts_with("etcd-");
    let throttled: Vec<&Finding> = case
        .failed("etcd-cpu-throttled")
        .into_iter()
        .filter(is_etcd)
        .collect();
    let delayed: Vec<&Finding> = case
        .failed("run-delay-high")
        .into_iter()
        .filter(is_etcd)
        .collect();
    let steal = case.failed("cpu-steal-high");
    let slow = case.etcd_is_slow();
    let fsync = case.failed("wal-fsync-slow");
    // The device of the member in question, not of another one.
    let on_fast_disk = |findings: &[&Finding]| {
        findings
            .first()
            .is_some_and(|finding| facts.fast_device(&node_of(&finding.subject)).is_some())
    };
    let disk_fast = on_fast_disk(&throttled) || on_fast_disk(&delayed) || on_fast_disk(&fsync);
    let runs = fsync
        .first()
        .is_some_and(|finding| facts.runs_freely(&node_of(&finding.subject)));
    let disk_slow =
        case.has("device-flush-slow") || case.has_at("device-write-slow", Severity::Warn);

    // Beside an etcd that gets its own: told where requests are seen to wait for it.
    let short = case.failed("apiserver-cpu-short");
    let waits = case.has_at("api-slo-missed", Severity::Warn)
        || case.has("apiserver-timeouts")
        || case.has("etcd-requests-slow")
        || facts.slow_traces;

    let (confidence, mut carry) = if !throttled.is_empty() {
        let confidence = match (slow, disk_fast, disk_slow) {
            (true, true, _) => 0.95,
            (true, false, false) => 0.85,
            // Both are at fault.
            (true, false, true) => 0.6,
            (false, ..) => 0.45,
        };
        (confidence, throttled)
    } else if let Some(first) = delayed.first()
        && case.burns_on(&node_of(&first.subject))
        && !disk_slow
    {
        // Who uses what it lacks is known: itself.
        (0.7, delayed)
    } else if !delayed.is_empty() && slow && disk_fast {
        // Threads that wait often and shortly make a busy process, not one that is held up: a request
        // takes a few runs.
        let short = delayed
            .iter()
            .all(|found| facts.short_waits.contains(&node_of(&found.subject)));
        (if short { 0.45 } else { 0.7 }, delayed)
    } else if !steal.is_empty() && slow && !disk_slow {
        (0.6, steal)
    } else if let Some(worst) = short.iter().find(|f| f.aspect != ALL_USED) {
        let confidence = match waits {
            true => 0.7,
            false => 0.45,
        };
        return of_apiserver(worst, &short, confidence);
    } else if !delayed.is_empty() && slow && !disk_slow {
        // It waits for a CPU; whether it waits for its disk as well is not known.
        (0.45, delayed)
    } else if !fsync.is_empty() && on_fast_disk(&fsync) && !runs {
        // The device is fast and etcd's syncs are slow: something keeps etcd from running, or its
        // writes from the device. Which is not measured.
        (0.45, Vec::new())
    } else if !fsync.is_empty() && facts.cpu_free.is_none() && !runs {
        (0.4, Vec::new())
    } else if !case.starved().is_empty() && facts.cpu_free.is_none() {
        // Its log says that it did not run; a log alone does not say what kept it from running.
        (0.45, case.starved())
    } else if slow && let Some(hidden) = &facts.throttling_hidden {
        // Over the whole window it is little; in the time of the trouble it may have been all.
        return Assessment::of(
            Cause::Cpu,
            0.45,
            hidden.clone(),
            &case.all(&["heartbeat-late", "slow-requests"]),
            "samples of cpu.stat that lie closer together than the trouble is long",
        );
    } else if case.has_at("heartbeat-late", Severity::Warn) && facts.cpu_free.is_none() {
        // The leader's own clock was late: it did not run, or it waited for its disk.
        (0.4, case.failed("heartbeat-late"))
    } else if !case.unexplained_waits().is_empty() && facts.cpu_free.is_none() {
        // So was whoever had to confirm the reads, for one of the two reasons or for its links.
        (0.4, case.unexplained_waits())
    } else if let Some(worst) = short.first() {
        // It uses all there is; whether that is too little, or it is asked for too much, is not told by it.
        return of_apiserver(worst, &short, if waits { 0.5 } else { 0.4 });
    } else if case.has("cpu-pressure-high") && case.has_at("api-slo-missed", Severity::Warn) {
        // etcd gets its CPU, and others of the control plane on that host may not get theirs.
        return Assessment::of(
            Cause::Cpu,
            0.45,
            pressed(case),
            &case.all(&["cpu-pressure-high", "api-slo-missed"]),
            "run-queue delay and throttling of kube-apiserver (/proc/PID/schedstat and cpu.stat)",
        );
    } else if let Some(free) = &facts.cpu_free
        && facts.all_seen()
    {
        return Assessment::cleared(
            Cause::Cpu,
            "etcd was neither throttled nor kept waiting for a CPU",
            free.clone(),
        );
    } else {
        return Assessment::default();
    };
    carry.extend(case.all(&["wal-fsync-slow", "slow-requests", "heartbeat-late"]));
    let summary = match carry.is_empty() {
        true => "etcd is slow although its disk is fast".to_owned(),
        false => claim(&carry),
    };
    // What was read already settles nothing by being asked for again.
    let settle = match facts.run_delay_seen {
        true => {
            "what else runs on that node, and samples of the host that lie closer together, over a longer time"
        }
        false => SETTLE,
    };
    Assessment::of(Cause::Cpu, confidence, summary, &carry, settle)
}

/// kube-apiserver lacks CPU, and etcd is not known to.
fn of_apiserver(worst: &Finding, short: &[&Finding], confidence: f64) -> Assessment {
    let mut carry = vec![worst];
    carry.extend(short.iter().filter(|found| **found != worst));
    let mut summary = worst.message.clone();
    let on = node_of(&worst.subject);
    if !on.is_empty() {
        summary = format!("{summary} (on {on})");
    }
    Assessment::of(Cause::Cpu, confidence, summary, &carry, OF_APISERVER)
}

/// The worst pressure on a host, with its name.
fn pressed(case: &Case<'_>) -> String {
    let pressed = case.failed("cpu-pressure-high");
    let words = pressed
        .first()
        .map_or("", |finding| finding.message.as_str());
    format!("{words} on {}, and the API is slow", names(&pressed))
}
