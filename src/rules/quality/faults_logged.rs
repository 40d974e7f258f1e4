//! Messages that are faults by themselves and that no other rule judges: crashes, refusals, a server
//! that cannot be reached.

use crate::evidence::{Missing, Subject, SubjectKind};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "faults-logged",
    summary: "components log crashes, refusals or a server that cannot be reached",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "faults-logged",
    check,
};

/// Kinds of which one message is one too many, and what they say.
const ONCE: &[(&str, &str)] = &[
    ("panic", "crashed"),
    (
        "db-locked",
        "could not open its database: another etcd holds the file, or it loads for long",
    ),
    (
        "db-snapshot-failed",
        "could not send its database to a member",
    ),
    ("defrag-failed", "failed to defragment"),
    (
        "etcd-error-too-large",
        "met an object or an answer larger than etcd or gRPC allow",
    ),
    ("etcd-exhausted", "was refused for lack of a resource"),
    (
        "quota-disabled",
        "runs without a backend quota: the database may fill the disk",
    ),
    (
        "storage-io-error",
        "could not read or write its files: the disk fails, or is read-only",
    ),
    ("too-many-open-files", "ran out of file descriptors"),
    ("kernel-device-timeout", "a device did not answer in time"),
    (
        "kernel-fs-error",
        "a file system is damaged or went read-only",
    ),
    ("kernel-hung-task", "a task hung for two minutes"),
    ("kernel-io-error", "a device failed to read or write"),
    ("kernel-oom-kill", "a process was killed for lack of memory"),
];

/// Kinds of which a start, a stop or a roll-out brings a few, and what they say.
const MANY: &[(&str, &str)] = &[
    ("auto-compaction-failed", "failed to compact"),
    ("publish-failed", "could not write its name through raft"),
    ("health-error", "answered health checks with an error"),
    ("no-leader-drop", "dropped requests for lack of a leader"),
    (
        "tick-missed",
        "could not tick raft's clock in time: starved of CPU, or stopped",
    ),
    ("apiserver-health-failed", "failed health checks"),
    (
        "client-limiter-error",
        "gave requests up in its own rate limiter",
    ),
    ("etcd-error-no-leader", "was told that etcd has no leader"),
    (
        "etcd-error-too-many-requests",
        "was told that etcd takes no more proposals",
    ),
    ("etcd-unavailable", "could not reach etcd"),
    (
        "grpc-connect-failed",
        "could not connect to a server, mostly etcd",
    ),
    ("leaderelection-renew-failed", "could not renew its lease"),
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("faults-logged");
    let mut drafts = Vec::new();
    let all = ONCE
        .iter()
        .map(|kind| (kind, 1.0))
        .chain(MANY.iter().map(|kind| (kind, limit.value)));
    for ((kind, words), least) in all {
        for seen in events::seen(cx, &[kind])? {
            if seen.count < least {
                continue;
            }
            events::cite(cx, &seen, &format!("{kind} messages"));
            let who = match (&*seen.subject.name, seen.subject.kind) {
                ("", _) | (_, SubjectKind::Cluster) => "a component".to_owned(),
                (name, _) => name.to_owned(),
            };
            let words = match kind.starts_with("kernel-") {
                true => words.to_string(),
                false => format!("{who} {words}"),
            };
            let times = match seen.count {
                1.0 => String::new(),
                n => format!(" ({n:.0} messages)"),
            };
            let severity = match *kind {
                "panic" | "storage-io-error" if holds_the_cluster(&seen.subject) => {
                    Severity::Critical
                }
                _ => Severity::Warn,
            };
            drafts.push(
                Draft::new(seen.subject.clone(), severity, format!("{words}{times}"))
                    .confidence(Confidence::High)
                    .threshold(if least > 1.0 {
                        limit.words()
                    } else {
                        "one such message is one too many".to_owned()
                    })
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    Ok(Verdict::Fail(drafts))
}

/// Whether the cluster stands still without it.
fn holds_the_cluster(subject: &Subject) -> bool {
    subject.kind == SubjectKind::Member || matches!(&*subject.name, "etcd" | "kube-apiserver")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, member, table};

    fn with(subject: Subject, kind: &str, count: f64) -> (Status, Severity) {
        Set::new()
            .put(
                &keys::LOGS_EVENTS,
                subject,
                table(&[(kind, &[("count", count)])]),
            )
            .status(&RULE)
    }

    #[test]
    fn one_crash_is_enough_and_of_others_a_few_are_not() {
        let limit = crate::profile::Profile::default().get("faults-logged");
        assert_eq!(
            with(member(), "panic", 1.0),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(
            with(component("kube-scheduler"), "panic", 1.0),
            (Status::Fail, Severity::Warn)
        );
        for (kind, _) in MANY {
            assert_eq!(with(member(), kind, limit - 1.0).0, Status::Pass, "{kind}");
            assert_eq!(with(member(), kind, limit).0, Status::Fail, "{kind}");
        }
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn what_a_stop_brings_along_is_none() {
        let set = Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[("health-error", &[("count", 30.0), ("settling", 25.0)])]),
        );
        assert_eq!(set.status(&RULE).0, Status::Pass);
    }
}
