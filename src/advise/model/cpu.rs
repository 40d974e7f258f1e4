//! CPU for etcd: no limit, own cores, no noisy neighbours.

use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy};
use super::super::facts::{Facts, same_node};

/// What to do when etcd does not get the CPU it needs.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    if !facts.has_cause(Cause::Cpu) {
        return Vec::new();
    }
    let mut all = Vec::new();
    // A lower limit of a member that is not held back is not what holds another one back.
    let held_back = |node: &str| {
        facts
            .failed("etcd-cpu-throttled")
            .any(|finding| same_node(finding.subject.node_name(), node))
    };
    let limit = facts
        .all(&keys::CGROUP_CPU_LIMIT)
        .into_iter()
        .filter(|(subject, _)| subject.name == "etcd" || subject.name.starts_with("etcd"))
        .filter(|(subject, _)| held_back(subject.node_name()))
        .map(|(_, cores)| cores)
        .min_by(f64::total_cmp);
    let throttled = facts.failed("etcd-cpu-throttled").next();
    if let Some(finding) = throttled {
        let mut advice = Advice::new(
            "etcd-cpu-limit",
            Remedy::Cpu,
            "etcd",
            "resources.limits.cpu",
        );
        advice.now = limit.map(|cores| format!("{cores} cores"));
        advice.proposed = "no CPU limit; a request of 2 cores, 4 under heavy load".to_owned();
        advice.why = finding.message.clone();
        advice.effect =
            "etcd is no longer stopped in the middle of a heartbeat or a WAL sync; its \
                         fsync and commit times fall with it"
                .to_owned();
        advice.confidence = Confidence::High;
        advice.risk = "etcd may take CPU from its neighbours on the node; changing the static pod \
                       restarts the member: one at a time, the leader last"
            .to_owned();
        advice.undo = "set the limit again".to_owned();
        advice.verify = "`nr_throttled` in etcd's cpu.stat no longer grows".to_owned();
        advice.disposition = Disposition::Disruptive;
        advice.finding_ids =
            facts.failing(&["etcd-cpu-throttled", "cpu-pressure-high", "run-delay-high"]);
        advice.source = "etcd hardware guide: 2 to 4 cores, 8 to 16 under heavy load".to_owned();
        all.push(advice);
    }
    if let Some(finding) = facts.failed("cpu-steal-high").next() {
        let mut advice = Advice::new(
            "cpu-steal",
            Remedy::Cpu,
            finding.subject.to_string(),
            "virtual machine",
        );
        advice.proposed = "move the machine to a host or type with dedicated CPUs".to_owned();
        advice.why = finding.message.clone();
        advice.effect = "the hypervisor no longer takes the CPU away".to_owned();
        advice.risk = "moving restarts the machine: one member at a time, quorum first".to_owned();
        advice.undo = "move it back".to_owned();
        advice.verify = "the steal column of /proc/stat stays near zero".to_owned();
        advice.finding_ids = vec!["cpu-steal-high".to_owned()];
        advice.confidence = Confidence::High;
        advice.source = "etcd hardware guide: dedicated CPU".to_owned();
        all.push(advice);
    }
    if throttled.is_none()
        && let Some(finding) = facts
            .failed("run-delay-high")
            .chain(facts.failed("cpu-pressure-high"))
            .next()
    {
        let mut advice = Advice::new("etcd-own-cpu", Remedy::Cpu, "etcd", "CPU share");
        advice.proposed =
            "give etcd cores that nothing else uses, or move the neighbours away; at \
                           the least a CPU request of 2 cores"
                .to_owned();
        advice.why = finding.message.clone();
        advice.effect = "heartbeats and WAL syncs no longer wait for a CPU".to_owned();
        advice.risk = "none to etcd; the neighbours have less".to_owned();
        advice.undo = "take the reservation back".to_owned();
        advice.verify = "the second field of /proc/PID/schedstat of etcd grows by less than a \
                         tenth of a second per second"
            .to_owned();
        advice.finding_ids = facts.failing(&["run-delay-high", "cpu-pressure-high"]);
        advice.source = "etcd hardware guide: 2 to 4 cores, 8 to 16 under heavy load".to_owned();
        all.push(advice);
    }
    all
}
