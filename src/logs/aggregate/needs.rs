//! What is read of a record, by its kind: most count by their time and duration alone.

use crate::logs::record::Fields;

use super::facts::{FAILED_APPLY, REJECTED, UNCONNECTED};
use super::life;

/// The kinds that tell of a process's start: its version, its flags.
fn is_of_a_start(kind: &str) -> bool {
    matches!(
        kind,
        "etcd-start"
            | "member-name"
            | "apiserver-start"
            | "controller-manager-start"
            | "scheduler-start"
            | "kubelet-start"
            | "settings-refused"
            | "component-flag"
    )
}

/// The kinds whose own fields are read.
pub(super) fn needs_fields(kind: &str) -> bool {
    is_of_a_start(kind)
        || matches!(
            kind,
            "compaction-finished"
                | "defrag-finish"
                | "clock-drift"
                | "leader-elected"
                | "leader-lost"
                | "leader-changed"
                | "member-id"
                | "member-start"
                | "peer-active"
                | "peer-inactive"
                | "peer-unhealthy"
                | "peer-unreachable"
                | "stream-lost"
                | "corruption-detected"
                | "raft-higher-term"
                | "raft-lower-term"
                | "vote-ignored"
                | "journald-suppressed"
                | "kernel-oom-kill"
                | "alarm-raised"
                | "alarm-disarmed"
                | "health-alarm"
                | "http-too-many-requests"
                | "apiserver-webhook-trace"
        )
}

/// Whether a connection ended as those of balancers, probes and scans do: the commonest, of which
/// nothing is counted but the line (see [`super::rejections::Rejections::add`]).
pub(super) fn tells_no_reason(fields: &Fields<'_>) -> bool {
    const ENDS: [&[u8]; 4] = [
        br#""error":"EOF"}"#,
        br#" does not look like a TLS handshake"}"#,
        br#": connection reset by peer"}"#,
        br#": i/o timeout"}"#,
    ];
    matches!(fields, Fields::Json(text) if ENDS.iter().any(|end| text.ends_with(end)))
}

/// Whether every record of this kind tells a fact, besides those that have fields of their own.
pub(super) fn tells_facts(kind: &str) -> bool {
    is_of_a_start(kind)
        || life::is_told_by(kind)
        || matches!(
            kind,
            REJECTED
                | FAILED_APPLY
                | UNCONNECTED
                | "compaction-finished"
                | "etcd-stopped"
                | "component-stop"
                | "leader-transfer-started"
                | "leader-transfer-finished"
                | "leader-transfer-raft"
        )
}
