//! Causes from hand-made evidence through all rules: right or unknown, never wrong.

use crate::clock::Timestamp;
use crate::evidence::{
    Collector, Completeness, Episode, Episodes, Origin, Row, Subject, SubjectKind, Table, Window,
    keys,
};
use crate::profile::Profile;
use crate::rules::testing::{Set, histogram, table};
use crate::rules::{RULES, run};

use super::facts::Facts;
use super::{Cause, Diagnosis, Role, diagnose};

fn judged(set: &Set) -> Diagnosis {
    let profile = Profile::default();
    let findings = run(RULES, &set.0, &profile);
    diagnose(&set.0, &findings, &profile)
}

fn lacks(set: &Set) -> Vec<String> {
    let profile = Profile::default();
    let findings = run(RULES, &set.0, &profile);
    Facts::of(&set.0, &profile).would_tell(&findings)
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
        &[
            ("count", 60.0),
            ("p99_low_ms", 1024.0),
            ("p99_tail", 3.0),
            ("secs", 30.0),
        ],
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

/// Writes to a device that the kernel measured, with what it says of its cache.
fn written(set: Set, node: &str, ms: f64, cache: &str) -> Set {
    let queue = Table {
        rows: vec![Row::new("write_cache").text("value", cache)],
        ..Table::default()
    };
    set.put(&keys::DEVICE_WRITE_TIME, device(node), ms)
        .put(&keys::DEVICE_WRITES, device(node), 5_000.0)
        .put(&keys::DEVICE_QUEUE, device(node), queue)
}

fn out(found: &Diagnosis) -> Vec<Cause> {
    found.ruled_out.iter().map(|r| r.cause).collect()
}

/// Kernels before 5.5 count no flushes: fast writes into a cache that forgets clear nothing.
#[test]
fn writes_alone_clear_a_device_that_gets_no_flushes() {
    let with = |cache: &str| written(syncs(Set::new(), "cp0", 128.0), "cp0", 0.1, cache);
    assert!(!out(&judged(&with("write back"))).contains(&Cause::Disk));
    let through = judged(&with("write through"));
    assert!(out(&through).contains(&Cause::Disk));
    assert!(
        through
            .ruled_out
            .iter()
            .any(|r| r.why.contains("sends it no flushes")),
        "{:?}",
        through.ruled_out
    );
    // Flushes that are counted: none was sent, or they took long.
    let counted = |flushes: f64, ms: f64| {
        with("write back")
            .put(&keys::DEVICE_FLUSHES, device("cp0"), flushes)
            .put(&keys::DEVICE_FLUSH_TIME, device("cp0"), ms)
    };
    let none = || with("write back").put(&keys::DEVICE_FLUSHES, device("cp0"), 0.0);
    assert!(out(&judged(&none())).contains(&Cause::Disk));
    // It gets some, only not in this window.
    let before = none().put(&keys::DEVICE_FLUSH_TIME_BOOT, device("cp0"), 3.0);
    assert!(!out(&judged(&before)).contains(&Cause::Disk));
    assert!(out(&judged(&counted(500.0, 0.1))).contains(&Cause::Disk));
    assert_eq!(judged(&counted(500.0, 40.0)).verdict.cause, Cause::Disk);
}

#[test]
fn slow_writes_beside_slow_syncs_are_the_disk() {
    let set = written(syncs(Set::new(), "cp0", 128.0), "cp0", 45.0, "write back");
    let found = judged(&set);
    assert_eq!(found.verdict.cause, Cause::Disk);
    assert!(
        found.causes[0]
            .rules
            .iter()
            .any(|rule| rule == "device-write-slow")
    );
    let free = set.put(&keys::RUN_DELAY, etcd("cp0"), 0.01);
    assert!(judged(&free).verdict.confidence > found.verdict.confidence);
    // A queue that nobody waits for is no fault.
    let bulk = written(syncs(Set::new(), "cp0", 1.0), "cp0", 45.0, "write back");
    assert!(judged(&bulk).causes.is_empty());
    // Nor is the disk of another member.
    let other = written(one_slow_of_three(), "cp0", 45.0, "write back");
    assert_eq!(judged(&other).causes[0].subject, Some(member("cp1")));
}

/// A device mapper keeps no count of flushes, and its own delay is not in the counters below it.
#[test]
fn a_fast_disk_clears_no_slow_layer_above_it() {
    let with = |cells: &[(&str, f64)]| {
        measured(syncs(Set::new(), "cp0", 128.0), "cp0", 0.2).put(
            &keys::DEVICE_ABOVE,
            device("cp0"),
            table(&[("dm-0", cells)]),
        )
    };
    let slow = judged(&with(&[("writes", 2e4), ("max_write_mean_ms", 45.0)]));
    assert_eq!(slow.verdict.cause, Cause::Disk);
    assert_eq!(slow.causes[0].subject.as_ref().unwrap().name, "dm-0");
    let fast = judged(&with(&[("writes", 2e4), ("max_write_mean_ms", 0.3)]));
    assert!(out(&fast).contains(&Cause::Disk));
    let unknown = judged(&with(&[]));
    assert!(!out(&unknown).contains(&Cause::Disk));
    assert_eq!(unknown.verdict.cause, Cause::Unknown);
}

/// What one thread of etcd waited, its first one, on a node where no limit held it back.
fn first_thread(set: Set, sum: f64, ms: f64, share: f64) -> Set {
    let mut set = set
        .put(&keys::CGROUP_THROTTLED, etcd("cp0"), 0.0)
        .put(&keys::RUN_WAIT, etcd("cp0"), ms)
        .put(&keys::RUN_WAIT_SHARE, etcd("cp0"), share);
    set.0.put(
        &keys::RUN_DELAY,
        etcd("cp0"),
        Window::default(),
        Origin::new(Collector::Host, "test").with(Completeness::AtLeast),
        sum,
    );
    set
}

#[test]
fn neighbours_that_take_the_cpu_are_the_cpu() {
    let base = || measured(syncs(Set::new(), "cp0", 128.0), "cp0", 0.2);
    let found = judged(&first_thread(base(), 0.27, 1.6, 0.95));
    assert_eq!(found.verdict.cause, Cause::Cpu);
    // Without a look at the device it could be either.
    let blind = judged(&first_thread(
        syncs(Set::new(), "cp0", 128.0),
        0.27,
        1.6,
        0.95,
    ));
    assert_eq!(blind.verdict.cause, Cause::Unknown);
    assert_eq!(blind.alternatives[0].cause, Cause::Cpu);
    // What one thread waited is a lower bound: it clears by how long each wait is, or not at all.
    let free = judged(&first_thread(base(), 0.02, 0.05, 0.5));
    assert!(out(&free).contains(&Cause::Cpu));
    let near = judged(&first_thread(base(), 0.02, 0.8, 0.5));
    assert!(!out(&near).contains(&Cause::Cpu));
    // Syncs that come back in time clear it as well.
    let quick = measured(syncs(Set::new(), "cp0", 1.0), "cp0", 0.2);
    let quick = judged(&first_thread(quick, 0.02, 0.8, 0.5));
    assert!(out(&quick).contains(&Cause::Cpu));
}

/// Three members with fast syncs, answers and links that were lost at these times; members know each
/// other's ids.
fn lost_links(lost: &[(&str, &str, i64)]) -> Set {
    let mut set = Set::new();
    for node in ["cp0", "cp1", "cp2"] {
        set = probes(syncs(set, node, 1.0), node, 1.0)
            .put(&keys::MEMBER_ID, member(node), format!("id{node}"))
            .put(&keys::RUN_DELAY, etcd(node), 0.01);
    }
    for (node, about, at) in lost {
        let from = Timestamp::from_secs(*at);
        let episode = Episode {
            kind: "peer-unhealthy".to_owned(),
            from,
            to: from.add_us(55_000_000),
            count: 24,
            max_ms: None,
            detail: match about.is_empty() {
                true => "EOF".to_owned(),
                false => format!("peer id{about}"),
            },
            nature: "fault".to_owned(),
            planned: false,
        };
        set = events(set, node, &[("peer-unhealthy", &[("count", 24.0)])]).put(
            &keys::LOGS_EPISODES,
            member(node),
            Episodes {
                episodes: vec![episode],
                dropped: 0,
            },
        );
    }
    set
}

/// Round trips are those of the probes that came back.
#[test]
fn links_that_both_ends_lose_are_the_network() {
    let cut = judged(&lost_links(&[
        ("cp0", "cp2", 60),
        ("cp1", "cp2", 60),
        ("cp2", "cp0", 61),
    ]));
    assert_eq!(cut.verdict.cause, Cause::Network);
    assert!(cut.verdict.confidence >= 0.5);
    // One end alone: the peer may be down.
    let down = judged(&lost_links(&[("cp0", "cp2", 60), ("cp1", "cp2", 60)]));
    assert_eq!(down.verdict.cause, Cause::Unknown);
    assert!(!out(&down).contains(&Cause::Network));
    // It hung up: the way to it is there.
    let gone = judged(&lost_links(&[("cp0", "", 60)]));
    assert!(gone.alternatives.iter().all(|a| a.cause != Cause::Network));
    assert!(!out(&gone).contains(&Cause::Network));
    assert!(out(&judged(&lost_links(&[]))).contains(&Cause::Network));
}

#[test]
fn sends_that_fail_at_both_ends_are_the_network() {
    let with = |back: f64| {
        let row = |peer: &'static str, failures: f64| {
            table(&[(
                peer,
                &[
                    ("count", 8.0),
                    ("mean_ms", 0.4),
                    ("send_failures", failures),
                ],
            )])
        };
        lost_links(&[])
            .put(&keys::PEER_RTT_BY, member("cp0"), row("idcp2", 300.0))
            .put(&keys::PEER_RTT_BY, member("cp2"), row("idcp0", back))
    };
    assert_eq!(judged(&with(200.0)).verdict.cause, Cause::Network);
    // A peer that was away for a moment.
    let away = judged(&with(2.0));
    assert!(away.causes.is_empty());
    assert!(!out(&away).contains(&Cause::Network));
}

mod beside;
mod commits;
mod held_up;
mod long_windows;
mod own_work;
mod spins;
mod unlooked;
mod who_is_ill;
