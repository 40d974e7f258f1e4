//! Causes from hand-made evidence through all rules: right or unknown, never wrong.

use crate::evidence::{Row, Subject, SubjectKind, Table, keys};
use crate::profile::Profile;
use crate::rules::testing::{Set, histogram, table};
use crate::rules::{RULES, run};

use super::{Cause, Diagnosis, Role, diagnose};

fn judged(set: &Set) -> Diagnosis {
    let profile = Profile::default();
    let findings = run(RULES, &set.0, &profile);
    diagnose(&set.0, &findings, &profile)
}

fn member(node: &str) -> Subject {
    Subject::new(SubjectKind::Member, node)
}

fn etcd(node: &str) -> Subject {
    Subject::new(SubjectKind::Component, "etcd").on(node)
}

fn apiserver() -> Subject {
    Subject::new(SubjectKind::Component, "kube-apiserver").on("cp0")
}

fn device(node: &str) -> Subject {
    Subject::new(SubjectKind::Device, "sda").on(node)
}

/// Syncs of one member that all take about this long.
fn syncs(set: Set, node: &str, ms: f64) -> Set {
    let below = (ms / 1.5, 0.0);
    set.put(
        &keys::WAL_FSYNC,
        member(node),
        histogram(&[below, (ms, 400.0)]),
    )
}

/// Probes of a member's two peers that take this long.
fn probes(set: Set, node: &str, ms: f64) -> Set {
    set.put(
        &keys::PEER_RTT,
        member(node),
        histogram(&[(ms / 1.5, 0.0), (ms, 8.0)]),
    )
}

/// A device that the kernel measured.
fn measured(set: Set, node: &str, flush_ms: f64) -> Set {
    set.put(&keys::DEVICE_FLUSH_TIME, device(node), flush_ms)
        .put(&keys::DEVICE_FLUSHES, device(node), 500.0)
}

fn events(set: Set, node: &str, rows: &[(&str, &[(&str, f64)])]) -> Set {
    set.put(&keys::LOGS_EVENTS, member(node), table(rows))
}

fn settings(set: Set, about: Subject, rows: &[(&str, &str)]) -> Set {
    let mut rows: Vec<Row> = rows
        .iter()
        .map(|(name, value)| Row::new(*name).text("value", *value).text("source", "flag"))
        .collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    set.put(
        &keys::SETTINGS,
        about,
        Table {
            rows,
            ..Table::default()
        },
    )
}

/// Three members, the second one's syncs slow; all of them answer their peers at once.
fn one_slow_of_three() -> Set {
    let mut set = Set::new();
    for (node, ms) in [("cp0", 1.0), ("cp1", 128.0), ("cp2", 1.0)] {
        set = probes(syncs(set, node, ms), node, 1.0);
    }
    set
}

#[test]
fn a_member_that_runs_freely_and_syncs_slowly_waits_for_its_disk() {
    let found = judged(&one_slow_of_three());
    assert_eq!(found.verdict.cause, Cause::Disk);
    assert_eq!(found.causes[0].subject, Some(member("cp1")));
    assert!(found.verdict.summary.contains("cp1 needs"));
}

/// A fast disk of another member says nothing about this one's.
#[test]
fn only_its_own_device_clears_a_member() {
    let other = judged(&measured(one_slow_of_three(), "cp0", 0.2));
    assert_eq!(other.verdict.cause, Cause::Disk);
    let own = judged(&measured(one_slow_of_three(), "cp1", 0.2));
    assert_ne!(own.verdict.cause, Cause::Disk);
    assert!(own.ruled_out.iter().any(|r| r.cause == Cause::Disk));
}

/// Late answers to peers: the process may be kept from running, so nothing is proved.
#[test]
fn a_member_that_answers_late_as_well_proves_no_disk() {
    let mut set = Set::new();
    for (node, ms, rtt) in [("cp0", 1.0, 1.0), ("cp1", 128.0, 30.0), ("cp2", 1.0, 1.0)] {
        set = probes(syncs(set, node, ms), node, rtt);
    }
    assert_eq!(judged(&set).verdict.cause, Cause::Unknown);
    // A peer that answers nothing leaves times of zero, which are no answers.
    let dead = Set::new().put(
        &keys::PEER_RTT_BY,
        member("cp0"),
        table(&[("a", &[("count", 8.0), ("mean_ms", 0.0)])]),
    );
    let set = probes(syncs(dead, "cp0", 128.0), "cp0", 0.1);
    assert_eq!(judged(&set).verdict.cause, Cause::Unknown);
}

#[test]
fn slow_syncs_on_a_fast_device_are_never_the_disk() {
    let set = measured(syncs(Set::new(), "cp0", 128.0), "cp0", 0.2);
    let found = judged(&set);
    assert_eq!(found.verdict.cause, Cause::Unknown);
    assert!(found.ruled_out.iter().any(|r| r.cause == Cause::Disk));
    // With a limit of I/O on etcd itself it is that, and with throttling the CPU.
    let limited = set.put(
        &keys::CGROUP_IO_LIMITS,
        etcd("cp0"),
        table(&[("8:0", &[("write_bytes_per_sec", 1e6)])]),
    );
    assert_eq!(judged(&limited).verdict.cause, Cause::Config);
    let throttled = limited.put(&keys::CGROUP_THROTTLED, etcd("cp0"), 0.9);
    let found = judged(&throttled);
    assert_eq!(found.verdict.cause, Cause::Cpu);
    // Without a look at the device the limit proves nothing.
    let blind = syncs(Set::new(), "cp0", 128.0).put(
        &keys::CGROUP_IO_LIMITS,
        etcd("cp0"),
        table(&[("8:0", &[("write_bytes_per_sec", 1e6)])]),
    );
    assert_eq!(judged(&blind).verdict.cause, Cause::Unknown);
}

fn waiting(set: Set) -> Set {
    set.put(
        &keys::APF_LEVELS,
        apiserver(),
        table(&[(
            "workload-low",
            &[
                ("dispatched", 5000.0),
                ("wait_p99_low_ms", 2000.0),
                ("wait_secs", 9000.0),
                ("rejected", 0.0),
            ],
        )]),
    )
}

/// Full queues without a single 429 are saturation when etcd is fast, its consequence when etcd is slow, and a cause of
/// their own beside it when the server was given few seats.
#[test]
fn waiting_for_seats_is_saturation_or_its_consequence() {
    let fast = waiting(syncs(Set::new(), "cp0", 1.0));
    assert_eq!(judged(&fast).verdict.cause, Cause::ApiserverSaturation);
    let slow = measured(waiting(syncs(Set::new(), "cp0", 128.0)), "cp0", 50.0);
    let roles = |found: &Diagnosis| -> Vec<(Cause, Role)> {
        found.causes.iter().map(|c| (c.cause, c.role)).collect()
    };
    assert_eq!(
        roles(&judged(&slow)),
        [
            (Cause::Disk, Role::Primary),
            (Cause::ApiserverSaturation, Role::Consequence)
        ]
    );
    let few = settings(
        slow,
        apiserver(),
        &[
            ("max-mutating-requests-inflight", "4"),
            ("max-requests-inflight", "8"),
        ],
    );
    assert!(
        roles(&judged(&few)).contains(&(Cause::ApiserverSaturation, Role::Contributing)),
        "{:?}",
        roles(&judged(&few))
    );
}

#[test]
fn certificates_that_peers_refuse_are_no_slow_network() {
    let links: &[(&str, &[(&str, f64)])] = &[("peer-unhealthy", &[("count", 40.0)])];
    let refused: &[(&str, &[(&str, f64)])] = &[
        ("peer-unhealthy", &[("count", 40.0)]),
        ("rejected-connection", &[("count", 40.0)]),
    ];
    let base = || syncs(Set::new(), "cp0", 1.0);
    assert_eq!(
        judged(&events(base(), "cp0", refused)).verdict.cause,
        Cause::Config
    );
    assert_ne!(
        judged(&events(base(), "cp0", links)).verdict.cause,
        Cause::Config
    );
    // Around a restart both are nothing.
    let restart: &[(&str, &[(&str, f64)])] =
        &[("peer-unhealthy", &[("count", 40.0), ("settling", 40.0)])];
    assert!(judged(&events(base(), "cp0", restart)).causes.is_empty());
}

#[test]
fn elections_with_a_timeout_below_the_default_are_the_timeouts() {
    let set = syncs(Set::new(), "cp0", 1.0).put(&keys::LEADER_CHANGES, member("cp0"), 20.0);
    let tight = settings(
        set,
        etcd("cp0"),
        &[("election-timeout", "50"), ("heartbeat-interval", "10")],
    );
    assert_eq!(judged(&tight).verdict.cause, Cause::Config);
}

/// There is no class for want of memory: it is said, and not called something else.
#[test]
fn an_etcd_that_the_kernel_killed_is_told_and_not_misnamed() {
    let set = syncs(Set::new(), "cp0", 1.0).put(
        &keys::PROCESS_FACTS,
        etcd("cp0"),
        table(&[("oom-kills", &[("value", 2.0)])]),
    );
    let found = judged(&set);
    assert_eq!(found.verdict.cause, Cause::Unknown);
    assert!(found.verdict.summary.contains("memory limit"));
    assert!(!found.verdict.no_fault_seen);
}

#[test]
fn etcds_own_word_about_a_full_disk_is_space() {
    let set = events(
        syncs(Set::new(), "cp0", 1.0),
        "cp0",
        &[("disk-full", &[("count", 3.0)])],
    );
    assert_eq!(judged(&set).verdict.cause, Cause::Space);
}

/// A bad phase in a window that is good as a whole: the disk is not cleared by the whole.
#[test]
fn a_good_window_with_a_bad_phase_clears_no_disk() {
    let phases = table(&[(
        "2026-11-21T20:57:04Z",
        &[("count", 60.0), ("p99_low_ms", 1024.0), ("secs", 30.0)],
    )]);
    let set = syncs(Set::new(), "cp0", 1.0).put(&keys::WAL_FSYNC_PHASES, member("cp0"), phases);
    let found = judged(&set);
    assert_eq!(found.verdict.cause, Cause::Unknown);
    assert!(found.ruled_out.iter().all(|r| r.cause != Cause::Disk));
    let stalled = events(set, "cp0", &[("wal-sync-slow", &[("count", 9.0)])]);
    assert_eq!(judged(&stalled).verdict.cause, Cause::Disk);
}

#[test]
fn a_slow_sync_in_hours_is_a_question_and_many_are_the_disk() {
    let with = |count: f64| {
        judged(&events(
            Set::new(),
            "cp0",
            &[("wal-sync-slow", &[("count", count), ("max_ms", 1_050.0)])],
        ))
    };
    for few in [1.0, 2.0] {
        let found = with(few);
        assert_eq!(found.verdict.cause, Cause::Unknown);
        assert!(found.alternatives.iter().any(|a| a.cause == Cause::Disk));
    }
    assert_eq!(with(40.0).verdict.cause, Cause::Disk);
}

/// A process that does not run misses ticks, and its syncs take long as well.
#[test]
fn missed_ticks_beside_a_few_slow_syncs_are_the_disk_or_the_cpu() {
    let found = judged(&events(
        Set::new(),
        "cp0",
        &[
            ("wal-sync-slow", &[("count", 4.0), ("max_ms", 1_050.0)]),
            ("tick-missed", &[("count", 57.0)]),
        ],
    ));
    assert_eq!(found.verdict.cause, Cause::Unknown);
    for cause in [Cause::Disk, Cause::Cpu] {
        assert!(
            found.alternatives.iter().any(|a| a.cause == cause),
            "{:?}",
            found.alternatives
        );
    }
}

#[test]
fn a_logged_crash_is_no_all_clear() {
    let found = judged(&events(Set::new(), "cp0", &[("panic", &[("count", 1.0)])]));
    assert_eq!(found.verdict.cause, Cause::Unknown);
    assert!(!found.verdict.no_fault_seen);
    assert!(found.verdict.summary.contains("crashed"));
}

#[test]
fn the_resource_that_costs_most_is_named_first() {
    let lists = |secs: f64| {
        [
            ("lists", 177.0),
            ("list_slow_secs", secs),
            ("slow_secs", secs),
            ("items", 177.0 * 5_000.0),
            ("bytes", 177.0 * 8e6),
        ]
    };
    let set = Set::new().put(
        &keys::LOGS_REQUESTS,
        Subject::cluster(),
        table(&[("configmaps", &lists(100.0)), ("secrets", &lists(300.0))]),
    );
    let set = set.put(
        &keys::LOGS_REQUESTS_CLIENTS,
        Subject::cluster(),
        table(&[
            ("10.9.9.9", &[("slow_secs", 390.0)]),
            ("127.0.0.1", &[("slow_secs", 10.0)]),
        ]),
    );
    let found = judged(&set);
    assert_eq!(found.verdict.cause, Cause::QueryLoad);
    let summary = &found.verdict.summary;
    assert!(summary.contains("lists of secrets"), "{summary}");
    // etcd's log names an address, which is no client's name.
    assert!(summary.contains("10.9.9.9"), "{summary}");
}

/// An error of its files accuses the disk; one around a stop of the member does not.
#[test]
fn files_that_cannot_be_written_are_the_disk() {
    let with = |settling: f64| {
        judged(&events(
            Set::new(),
            "cp0",
            &[(
                "storage-io-error",
                &[("count", 2.0), ("settling", settling)],
            )],
        ))
    };
    let found = with(0.0);
    assert_eq!(found.verdict.cause, Cause::Disk);
    assert!(found.verdict.summary.contains("could not read or write"));
    assert_eq!(with(2.0).verdict.cause, Cause::Unknown);
}
