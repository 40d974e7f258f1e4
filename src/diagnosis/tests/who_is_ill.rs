//! A client that asks for much beside an etcd that is ill, a device that fails without being slow, and
//! what an operator's own work does to a disk.

use super::*;
use crate::rules::testing::{episode, episodes};

fn roles(found: &Diagnosis) -> Vec<(Cause, Role)> {
    found.causes.iter().map(|c| (c.cause, c.role)).collect()
}

fn others(found: &Diagnosis) -> Vec<Cause> {
    found.alternatives.iter().map(|a| a.cause).collect()
}

/// Nearly all writes are events.
fn flood(set: Set) -> Set {
    let rows: &[(&str, &[(&str, f64)])] = &[
        ("events", &[("writes", 30_000.0)]),
        ("pods", &[("writes", 2_000.0)]),
    ];
    set.put(&keys::APISERVER_ETCD_REQUESTS, apiserver(), table(rows))
}

/// A client that asks for objects that are gone, ten times a second.
fn spinner(set: Set) -> Set {
    let row = Row::new("r")
        .text("user_agent", "operator/v1")
        .text("user", "u")
        .text("verb", "get")
        .text("resource", "pods")
        .num("requests", 2_000.0)
        .num("not_found", 2_000.0);
    let table = Table {
        rows: vec![row],
        ..Table::default()
    };
    set.put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), table)
}

/// Events and a client that spins slow no sync down and make no read wait.
#[test]
fn a_small_load_beside_an_ill_etcd_is_one_of_two() {
    for load in [flood, spinner] {
        let well = judged(&load(syncs(Set::new(), "cp0", 1.0)));
        assert_eq!(well.verdict.cause, Cause::QueryLoad);
        let ill = judged(&load(syncs(Set::new(), "cp0", 128.0)));
        assert_eq!(ill.verdict.cause, Cause::Unknown, "{ill:?}");
        assert!(others(&ill).contains(&Cause::QueryLoad), "{ill:?}");
        assert!(others(&ill).contains(&Cause::Disk), "{ill:?}");
        // Reads that wait for the leader, in logs alone.
        let waits: &[(&str, &[(&str, f64)])] = &[("readindex-retry", &[("count", 100.0)])];
        let waits = judged(&load(events(Set::new(), "cp0", waits)));
        assert_eq!(waits.verdict.cause, Cause::Unknown, "{waits:?}");
        // Where the disk is proved, what was counted stays a cause of its own.
        let disk = judged(&load(measured(
            syncs(Set::new(), "cp0", 128.0),
            "cp0",
            50.0,
        )));
        assert_eq!(
            roles(&disk),
            [
                (Cause::Disk, Role::Primary),
                (Cause::QueryLoad, Role::Contributing)
            ]
        );
    }
}

#[test]
fn a_device_that_fails_is_the_disk_however_fast_the_rest_is() {
    let fast = || measured(syncs(Set::new(), "cp0", 1.0), "cp0", 0.2);
    assert!(out(&judged(&fast())).contains(&Cause::Disk));
    let node = || Subject::new(SubjectKind::Node, "cp0");
    let errors = |own: f64, elsewhere: f64| {
        let cells = [
            ("count", 16.0),
            ("on_etcd_disk", own),
            ("elsewhere", elsewhere),
        ];
        judged(&fast().put(
            &keys::KERNEL_IO_ERRORS,
            node(),
            table(&[("io-error", &cells)]),
        ))
    };
    let own = errors(16.0, 0.0);
    assert_eq!(own.verdict.cause, Cause::Disk, "{own:?}");
    assert!(own.verdict.summary.contains("under etcd"), "{own:?}");
    // Whose device it is, is not known: not proved, and not cleared.
    let unknown = errors(0.0, 0.0);
    assert_eq!(unknown.verdict.cause, Cause::Unknown, "{unknown:?}");
    assert_eq!(others(&unknown), [Cause::Disk]);
    assert!(!out(&unknown).contains(&Cause::Disk), "{unknown:?}");
    // So in a log that names no disk of etcd.
    let kernel = Subject::new(SubjectKind::Component, "kernel").on("cp0");
    let logged = fast().put(
        &keys::LOGS_EVENTS,
        kernel,
        table(&[("kernel-io-error", &[("count", 16.0)])]),
    );
    let logged = judged(&logged);
    assert_eq!(others(&logged), [Cause::Disk], "{logged:?}");
    assert!(!out(&logged).contains(&Cause::Disk), "{logged:?}");
    assert!(logged.alternatives[0].settle.contains("findmnt"));
    // Another device is none of etcd's.
    assert!(out(&errors(0.0, 16.0)).contains(&Cause::Disk));
}

/// A defragmentation writes a database in one go; what its writes took in the queue is no slow disk.
#[test]
fn writes_of_a_defragmentation_accuse_no_disk_whose_flushes_are_fast() {
    let slow = |flush_ms: f64, at: i64| {
        let mut done = episode("defrag-finish", at, at + 4);
        done.max_ms = Some(4_000.0);
        let set = measured(syncs(Set::new(), "cp0", 64.0), "cp0", flush_ms)
            .put(&keys::DEVICE_WRITE_TIME, device("cp0"), 20.0)
            .put(&keys::DEVICE_WRITES, device("cp0"), 7_000.0)
            .put(&keys::LOGS_EPISODES, member("cp0"), episodes(vec![done]));
        judged(&set)
    };
    let held = slow(0.5, 50);
    assert_eq!(held.verdict.cause, Cause::Unknown, "{held:?}");
    assert!(
        held.verdict.summary.starts_with("a defragmentation held"),
        "{}",
        held.verdict.summary
    );
    // At another time, or with flushes that take long as well.
    assert_eq!(slow(0.5, 5_000).verdict.cause, Cause::Disk);
    assert_eq!(slow(50.0, 50).verdict.cause, Cause::Disk);
}

/// A kube-apiserver that its own limit holds back, beside an etcd that gets its CPU.
#[test]
fn a_throttled_kube_apiserver_is_the_cpu_where_requests_wait() {
    let with = |traces: f64, share: f64| {
        let set = first_thread(syncs(Set::new(), "cp0", 1.0), 0.02, 0.05, 0.5)
            .put(&keys::CGROUP_THROTTLED, apiserver(), share)
            .put(
                &keys::LOGS_TRACES,
                apiserver(),
                table(&[("curl get pods", &[("count", traces)])]),
            );
        judged(&set)
    };
    let held = with(103.0, 0.98);
    assert_eq!(held.verdict.cause, Cause::Cpu, "{held:?}");
    assert!(
        held.verdict
            .summary
            .starts_with("kube-apiserver was throttled"),
        "{held:?}"
    );
    // Nobody waited for it as far as is known: a question, and no all-clear.
    let unfelt = with(0.0, 0.98);
    assert_eq!(unfelt.verdict.cause, Cause::Unknown);
    assert_eq!(others(&unfelt), [Cause::Cpu]);
    assert!(out(&with(103.0, 0.0)).contains(&Cause::Cpu));
}

/// One that uses all processors may be asked for too much.
#[test]
fn a_kube_apiserver_that_uses_all_processors_clears_no_cpu() {
    let procs: &[(&str, f64)] = &[("last_procs", 2.0)];
    let missed = &[
        ("requests", 900.0),
        ("max_p99_low_ms", 2_000.0),
        ("limit_ms", 1_000.0),
    ];
    let with = |cores: f64| {
        first_thread(syncs(Set::new(), "cp0", 1.0), 0.02, 0.05, 0.5)
            .put(&keys::PROCESS_CPU, apiserver(), cores)
            .put(&keys::PROCESS_GO, apiserver(), table(&[("go", procs)]))
            .put(&keys::SLO, apiserver(), table(&[("mutating", missed)]))
    };
    let busy = judged(&with(1.95));
    assert_eq!(busy.verdict.cause, Cause::Cpu, "{busy:?}");
    assert!(
        busy.verdict.summary.contains("1.9 of the 2 processors")
            || busy.verdict.summary.contains("2.0 of the 2")
    );
    assert!(out(&judged(&with(0.5))).contains(&Cause::Cpu));
    // Whoever floods it comes first.
    assert_eq!(judged(&flood(with(1.95))).verdict.cause, Cause::QueryLoad);
}

/// What is told beside the worst finding is told as another thing, unless it may be behind it.
#[test]
fn a_headline_joins_only_what_belongs_together() {
    let throttled: &[(&str, &[(&str, f64)])] =
        &[("GET nodes", &[("lines", 60.0), ("max_delay_ms", 1_200.0)])];
    let stalled: &[(&str, &[(&str, f64)])] =
        &[("wal-sync-slow", &[("count", 1.0), ("max_ms", 1_050.0)])];
    let apart = judged(
        &events(Set::new(), "cp0", stalled)
            .put(&keys::LOGS_THROTTLING, apiserver(), table(throttled))
            .put(&keys::DEVICE_FLUSH_TIME, device("cp0"), 0.1)
            .put(&keys::DEVICE_FLUSHES, device("cp0"), 500.0),
    );
    assert_eq!(others(&apart)[0], Cause::ClientThrottling, "{apart:?}");
    let words = &apart.verdict.summary;
    assert!(
        words.contains("; apart from that, kube-apiserver"),
        "{words}"
    );
    let ill = judged(&syncs(Set::new(), "cp0", 128.0)).verdict.summary;
    assert!(!ill.contains("apart from that"), "{ill}");
    assert!(
        ill.ends_with("it could be disk, which is not proved"),
        "{ill}"
    );
}

/// Requests that are turned away hold up all; a client's own limit holds up itself. So it is told with
/// any evidence of the two.
#[test]
fn answers_429_come_before_a_client_that_holds_itself_back() {
    let kcm = Subject::new(SubjectKind::Component, "kube-controller-manager").on("cp0");
    let rejected = table(&[(
        "workload-low",
        &[("dispatched", 9_000.0), ("rejected", 5_000.0)],
    )]);
    let set = syncs(Set::new(), "cp0", 1.0)
        .put(&keys::APF_LEVELS, apiserver(), rejected)
        .put(
            &keys::CLIENT_LIMITER_WAIT,
            kcm.clone(),
            histogram(&[(1_000.0, 0.0), (4_000.0, 1_000.0)]),
        )
        .put(
            &keys::WORKQUEUES,
            kcm,
            table(&[("replicaset", &[("depth", 59.0), ("adds", 900.0)])]),
        );
    let found = judged(&set);
    assert_eq!(
        roles(&found),
        [
            (Cause::ApiserverSaturation, Role::Primary),
            (Cause::ClientThrottling, Role::Contributing)
        ],
        "{found:?}"
    );
}

/// Of several kube-apiservers the one that turns requests away is named, whatever seats the others have.
#[test]
fn the_full_kube_apiserver_of_three_is_named_alone() {
    let few = [
        ("max-mutating-requests-inflight", "4"),
        ("max-requests-inflight", "8"),
    ];
    let on = |node: &str| Subject::new(SubjectKind::Component, "kube-apiserver").on(node);
    let mut set = syncs(Set::new(), "cp0", 1.0);
    for (node, rejected) in [("cp0", 5_000.0), ("cp1", 0.0), ("cp2", 0.0)] {
        let level: &[(&str, f64)] = &[("dispatched", 9_000.0), ("rejected", rejected)];
        set = settings(set, on(node), &few).put(
            &keys::APF_LEVELS,
            on(node),
            table(&[("workload-low", level)]),
        );
    }
    let words = judged(&set).verdict.summary;
    assert!(words.contains("kube-apiserver on cp0"), "{words}");
    assert!(!words.contains("cp1"), "{words}");
}

/// Three members, all far apart, and one of them has a slow disk as well.
#[test]
fn slow_links_between_sound_members_are_no_consequence_of_a_slow_disk() {
    let with = |between: f64| {
        let nodes = ["cp0", "cp1", "cp2"];
        let mut set = Set::new();
        for (at, node) in nodes.iter().enumerate() {
            let rows: Vec<Row> = (0..3)
                .filter(|peer| *peer != at)
                .map(|peer| {
                    let ms = if at == 1 || peer == 1 { 90.0 } else { between };
                    let id = format!("id{}", nodes[peer]);
                    Row::new(id).num("count", 60.0).num("mean_ms", ms)
                })
                .collect();
            let rows = Table {
                rows,
                ..Table::default()
            };
            let sync_ms = if at == 1 { 200.0 } else { 1.0 };
            set = probes(syncs(set, node, sync_ms), node, 90.0)
                .put(&keys::MEMBER_ID, member(node), format!("id{node}"))
                .put(&keys::PEER_RTT_BY, member(node), rows);
        }
        roles(&judged(&measured(set, "cp1", 60.0)))
    };
    assert_eq!(
        with(90.0),
        [
            (Cause::Disk, Role::Primary),
            (Cause::Network, Role::Contributing)
        ]
    );
    assert_eq!(with(0.4), [(Cause::Disk, Role::Primary)]);
}
