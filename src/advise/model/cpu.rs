//! CPU for etcd: no limit, own cores, no noisy neighbours.

use crate::diagnosis::{Cause, Role};
use crate::evidence::{Subject, keys};
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
        let mut nodes = facts
            .failed("etcd-cpu-throttled")
            .map(|finding| finding.subject.node_name());
        if nodes.all(|node| no_pod_limit(facts, node)) {
            advice = of_the_cgroup(advice);
        }
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
    // Where etcd uses up its own processor for lists, more of it makes room for more lists.
    let follows = facts
        .input
        .diagnosis
        .causes
        .iter()
        .any(|found| found.cause == Cause::Cpu && found.role == Role::Consequence);
    if throttled.is_none()
        && !follows
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

/// Whether the static pod of etcd on a node was read, and sets no limit.
fn no_pod_limit(facts: &Facts<'_>, node: &str) -> bool {
    let here = |subject: &Subject| subject.name == "etcd" && subject.node_name() == node;
    let resources = facts.all(&keys::RESOURCES);
    let probes = facts.all(&keys::PROBES);
    let mut own = resources.iter().filter(|(subject, _)| here(subject));
    let limits = own.any(|(_, table)| {
        let cpu = table.row("cpu");
        cpu.is_some_and(|row| row.get_text("limit").is_some())
    });
    let mut read = resources.iter().map(|(subject, _)| subject);
    let mut probed = probes.iter().map(|(subject, _)| subject);
    !limits && (read.any(here) || probed.any(here))
}

/// A limit that no file of etcd holds: there is nothing to take out of the static pod.
fn of_the_cgroup(advice: Advice) -> Advice {
    Advice {
        setting: "cpu.max of its cgroup, which the static pod does not set".to_owned(),
        now: advice.now.map(|now| format!("{now}, set by someone else than the static pod")),
        proposed: "find which cgroup above etcd's container holds the limit (`cpu.max` of each folder up from \
                   /proc/PID/cgroup; v1: `cpu.cfs_quota_us`) and who set it: a slice or a unit of systemd \
                   (`systemctl show -p CPUQuotaPerSecUSec`), the container runtime, a hosting product; take it away \
                   there"
            .to_owned(),
        risk: "etcd may take CPU from its neighbours on the node".to_owned(),
        undo: "set the limit again where it was".to_owned(),
        disposition: Disposition::ShowOnly,
        ..advice
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component, table};
    use super::*;
    use crate::evidence::Row;
    use crate::rules::Severity::Critical;

    #[test]
    fn a_limit_of_a_cgroup_is_not_one_of_the_pod() {
        let with = |pod: Option<Row>| {
            let plane = Plane::with(Cause::Cpu)
                .put(&keys::CGROUP_CPU_LIMIT, component("etcd"), 0.2)
                .fails("etcd-cpu-throttled", component("etcd"), Critical);
            match pod {
                Some(row) => plane.put(&keys::RESOURCES, component("etcd"), table(vec![row])),
                None => plane,
            }
        };
        let cpu = || Row::new("cpu").text("request", "100m");
        let limited = with(Some(cpu().text("limit", "200m"))).find("etcd-cpu-limit");
        assert_eq!(limited.unwrap().setting, "resources.limits.cpu");
        // Nobody looked at the pod.
        assert!(with(None).find("etcd-cpu-limit").is_some());
        let foreign = with(Some(cpu()));
        let foreign = foreign.find("etcd-cpu-limit").unwrap();
        assert!(foreign.setting.contains("cgroup"), "{}", foreign.setting);
        assert_eq!(foreign.disposition, Disposition::ShowOnly);
        assert!(foreign.now.unwrap().starts_with("0.2 cores, "));
    }
}
