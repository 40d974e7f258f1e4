//! Whose disk is accused, and whose is only a little late beside a slow one.

use crate::diagnosis::Cause;
use crate::evidence::{Subject, keys};
use crate::rules::{Finding, Severity};

use super::super::facts::{Facts, same_node};

/// Findings about the disk, the strongest first.
pub(super) const SLOW: &[&str] = &[
    "wal-sync-stalled",
    "device-flush-slow",
    "device-write-slow",
    "wal-fsync-slow",
    "backend-commit-slow",
    "disk-shared",
    "filesystem-unsuited",
];

/// Subjects whose disk is accused: the one that the diagnosis names, then those of findings that
/// are more than a note.
pub(super) fn accused<'a>(facts: &Facts<'a>) -> Vec<&'a Subject> {
    let named = facts
        .input
        .diagnosis
        .causes
        .iter()
        .filter(|found| found.cause == Cause::Disk)
        .filter_map(|found| found.subject.as_ref());
    let found = SLOW
        .iter()
        .flat_map(|rule| facts.failed(rule))
        .filter(|finding| finding.severity >= Severity::Warn)
        .filter(|finding| !beside_another(facts, finding))
        .map(|finding| &finding.subject);
    named.chain(found).collect()
}

/// Whether a member is a little late beside one whose disk is slow: its own device was measured and is
/// not among the slow ones, or the other stands out from it by far.
fn beside_another(facts: &Facts<'_>, finding: &Finding) -> bool {
    let node = finding.subject.node_name();
    let slow: Vec<&Finding> = ["device-flush-slow", "device-write-slow"]
        .iter()
        .flat_map(|rule| facts.failed(rule))
        .filter(|device| device.severity >= Severity::Warn)
        .collect();
    let here = |found: &&Finding| same_node(found.subject.node_name(), node);
    let own = facts.all(&keys::DEVICE_FLUSH_TIME);
    let measured = own.iter().any(|(device, _)| device.node_name() == node);
    if !slow.is_empty() && measured && !slow.iter().any(here) {
        return true;
    }
    let odd = facts.failed("member-odd-one-out").filter(|odd| {
        odd.evidence
            .iter()
            .any(|cited| cited.key == "server.wal.fsync")
    });
    let mut others = odd.peekable();
    finding.severity < Severity::Critical
        && others.peek().is_some()
        && !others.any(|odd| here(&odd))
        && !slow.iter().any(here)
}
