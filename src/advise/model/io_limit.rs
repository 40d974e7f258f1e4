//! A limit on the I/O of etcd's own cgroup: each sync that runs into it waits, however fast the disk is.

use crate::rules::{Confidence, Finding, Severity};

use super::super::advice::{Advice, Disposition, Remedy};
use super::super::facts::Facts;

/// To take the limit away, where syncs run into it.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let found: Vec<&Finding> = facts
        .failed("etcd-io-limited")
        .filter(|finding| finding.severity >= Severity::Warn)
        .collect();
    let Some(first) = found.first() else {
        return Vec::new();
    };
    let mut targets: Vec<String> = found
        .iter()
        .map(|found| found.subject.to_string())
        .collect();
    targets.dedup();
    let messages: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
    let mut advice = Advice::new(
        "etcd-io-limit",
        Remedy::Disk,
        targets.join(", "),
        "io.max of its cgroup",
    );
    advice.proposed = "no limit: find which cgroup above etcd's holds it (`io.max` of each folder up from \
                       /proc/PID/cgroup; v1: `blkio.throttle.*`) and who set it (a slice or a unit of systemd: \
                       IOWriteIOPSMax, IOWriteBandwidthMax; the container runtime), and take it away there"
        .to_owned();
    advice.why = messages.join("; ");
    advice.effect = "a WAL sync waits for the device only, and no longer for a budget".to_owned();
    advice.confidence = first.confidence.min(Confidence::High);
    advice.risk =
        "etcd may take I/O from its neighbours on that device; no restart is needed".to_owned();
    advice.undo = "set the limit again where it was".to_owned();
    advice.verify =
        "`io.max` no longer names the device, and `etcd_disk_wal_fsync_duration_seconds` p99 falls"
            .to_owned();
    advice.disposition = Disposition::ShowOnly;
    advice.finding_ids = vec!["etcd-io-limited".to_owned()];
    advice.source =
        "Linux Documentation/admin-guide/cgroup-v2.rst: io.max; systemd.resource-control(5)"
            .to_owned();
    vec![advice]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use crate::diagnosis::Cause;
    use crate::rules::Severity::{Info, Warn};

    #[test]
    fn a_limit_that_syncs_run_into_is_to_go_and_one_that_nobody_feels_stays() {
        let with = |severity| {
            Plane::with(Cause::Config)
                .fails("etcd-io-limited", component("etcd"), severity)
                .find("etcd-io-limit")
        };
        assert!(with(Warn).unwrap().proposed.starts_with("no limit"));
        assert!(with(Info).is_none());
    }
}
