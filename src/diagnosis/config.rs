//! Is it a setting? Only settings that endanger data or break something count as a cause; the
//! rest is hygiene.

use super::assess::{Assessment, Case};
use super::cause::Cause;
use super::facts::node_of;
use crate::rules::{Finding, Severity};

/// Rules whose failure is a wrong or dangerous setting, gravest first.
const RULES: &[&str] = &[
    "write-barriers-off",
    "unsafe-no-fsync",
    "filesystem-unsuited",
    "setting-refused",
    "flag-removed",
    "flag-and-environment",
    "overrides-invalid",
    "heartbeat-election-mismatch",
    "election-timeouts-unequal",
    "liveness-probe-kills",
    "known-bad-release",
    "node-status-frequency-trap",
    "leader-election-tight",
    "etcd-io-limited",
    "tls-rejections",
    "quota-above-maximum",
    "compaction-off",
];

/// Which symptom a setting explains.
const SYMPTOMS: &[(&str, &str)] = &[
    ("heartbeat-election-mismatch", "leader-unstable"),
    ("election-timeouts-unequal", "leader-unstable"),
    ("liveness-probe-kills", "component-restarting"),
    ("leader-election-tight", "leader-election-lost"),
    ("tls-rejections", "peer-link-unstable"),
    ("etcd-io-limited", "wal-fsync-slow"),
    ("compaction-off", "database-growing-fast"),
    ("known-bad-release", "compaction-saw-tooth"),
];

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    // A member that the others took out of their list, and that is still started.
    let removed = case.logged("member-removed");
    let carry: Vec<&Finding> = case
        .all(RULES)
        .into_iter()
        .filter(|finding| finding.severity >= Severity::Warn)
        // A limit of I/O explains slow syncs where the disk itself is fast.
        .filter(|finding| {
            finding.rule != "etcd-io-limited"
                || case.facts.fast_device(&node_of(&finding.subject)).is_some()
        })
        // One member's late answers are no distance, where its disk or its CPU explains them.
        .filter(|finding| !(of_round_trips(finding) && answers_late(case)))
        .chain(removed.iter().copied())
        .collect();
    let Some(first) = carry.iter().max_by_key(|f| f.severity) else {
        return Assessment::default();
    };
    // A doubtful setting alone explains nothing; with the symptom that it causes it does.
    let explains = SYMPTOMS.iter().find(|(setting, symptom)| {
        // A release has several defects: its finding names the symptom of the one that it tells of.
        let tells = |finding: &&&Finding| {
            finding.rule == *setting
                && (*setting != "known-bad-release" || finding.aspect == *symptom)
        };
        carry.iter().any(|finding| tells(&finding)) && case.has(symptom)
    });
    let confidence = match (first.severity, explains) {
        (Severity::Critical, _) => 0.9,
        (_, Some(_)) => 0.7,
        (_, None) if !removed.is_empty() => 0.7,
        (_, None) => 0.45,
    };
    let summary = first.message.clone();
    let mut ordered = vec![*first];
    ordered.extend(carry.iter().filter(|f| **f != *first));
    if let Some((_, symptom)) = explains {
        ordered.extend(case.failed(symptom));
    }
    Assessment::of(
        Cause::Config,
        confidence,
        summary,
        &ordered,
        "whether the symptom that this setting causes is seen",
    )
}

/// Whether a finding about timers rests on how long members take to answer each other.
fn of_round_trips(finding: &Finding) -> bool {
    finding.rule == "heartbeat-election-mismatch"
        && finding.evidence.iter().any(|c| c.key == "server.peer.rtt")
}

/// Whether only one member answers its peers late, and its disk or its CPU keeps it from answering.
fn answers_late(case: &Case<'_>) -> bool {
    let odd = case.odd("server.peer.rtt-by");
    let held_up = case.all(&[
        "device-flush-slow",
        "device-write-slow",
        "wal-sync-stalled",
        "etcd-cpu-throttled",
        "run-delay-high",
    ]);
    odd.iter().any(|odd| {
        let on = node_of(&odd.subject);
        let same = |finding: &&Finding| node_of(&finding.subject) == on;
        let mut held_up = held_up.iter().filter(|f| f.severity >= Severity::Warn);
        held_up.any(same)
    })
}

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;
    use crate::diagnosis::{Cause, Diagnosis, diagnose};
    use crate::evidence::{Point, Row, Series, Subject, SubjectKind, Table, keys};
    use crate::profile::Profile;
    use crate::rules::testing::{Set, component, member, table};
    use crate::rules::{RULES, run};

    fn judged(set: &Set) -> Diagnosis {
        let profile = Profile::default();
        let findings = run(RULES, &set.0, &profile);
        diagnose(&set.0, &findings, &profile)
    }

    fn is_config(set: &Set, at_least: f64) -> bool {
        let verdict = judged(set).verdict;
        verdict.cause == Cause::Config && verdict.confidence >= at_least
    }

    fn rows(rows: Vec<Row>) -> Table {
        Table {
            rows,
            ..Table::default()
        }
    }

    #[test]
    fn what_a_component_refuses_is_the_cause() {
        let fault = Row::new("invalid-value:event-ttl")
            .text("kind", "invalid-value")
            .text("weight", "stop")
            .text(
                "fault",
                "kube-apiserver refuses the value `1d` of `event-ttl`",
            );
        let set = Set::new().put(
            &keys::SETTINGS_FAULTS,
            component("kube-apiserver"),
            rows(vec![fault]),
        );
        assert!(is_config(&set, 0.9));
        let timer =
            |name: &str, value: &str| Row::new(name).text("value", value).text("source", "flag");
        let timers = |election: &str| {
            Set::new().put(
                &keys::SETTINGS,
                component("etcd"),
                rows(vec![
                    timer("election-timeout", election),
                    timer("heartbeat-interval", "500"),
                ]),
            )
        };
        assert!(is_config(&timers("1000"), 0.9));
        assert!(!is_config(&timers("2500"), 0.0));
        let said = table(&[("settings-refused", &[("count", 1.0)])]);
        assert!(is_config(
            &Set::new().put(&keys::LOGS_EVENTS, member(), said),
            0.9
        ));
    }

    #[test]
    fn certificates_and_removed_members_are_settings_too() {
        let of = |subject: Subject, events: &[(&str, &[(&str, f64)])]| {
            Set::new().put(&keys::LOGS_EVENTS, subject, table(events))
        };
        let ends = of(
            component("kube-apiserver"),
            &[
                ("grpc-connect-failed", &[("count", 8.0), ("expired", 8.0)]),
                ("panic", &[("count", 8.0)]),
            ],
        );
        assert!(is_config(&ends, 0.9));
        let removed = |count| of(member(), &[("member-removed", &[("count", count)])]);
        assert!(is_config(&removed(6.0), 0.7));
        // Taken out as it should be.
        assert!(!is_config(&removed(1.0), 0.0));
    }

    #[test]
    fn a_release_that_compacts_without_a_pause_explains_its_peaks() {
        let with = |version: &str| {
            let about = Subject::new(SubjectKind::Member, member().name);
            let compactions = (1..=6).map(|i| Point {
                at: Timestamp::from_secs(i * 300),
                value: 18_100.0,
            });
            let slow = (1..=6)
                .map(|i| Row::new(format!("{}|pods|write", i * 300 + 5)).num("requests", 180.0));
            let mut slow: Vec<Row> = slow.collect();
            slow.sort_by(|a, b| a.key.cmp(&b.key));
            Set::new()
                .put_over(
                    &keys::LOGS_COMPACTION_TOOK,
                    about.clone(),
                    Series {
                        points: compactions.collect(),
                    },
                    2100,
                )
                .put_over(&keys::LOGS_SLOW_SECONDS, about.clone(), rows(slow), 2100)
                .put(
                    &keys::LOGS_VERSIONS,
                    about,
                    rows(vec![Row::new("etcd").text("version", version)]),
                )
        };
        assert!(is_config(&with("3.5.17"), 0.7));
        assert!(!is_config(&with("3.5.21"), 0.0));
    }
}
