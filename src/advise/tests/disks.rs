//! Disks, mounts and what they cost raft.

use super::*;
use crate::evidence::Series;

#[test]
fn barriers_are_turned_on_and_never_off() {
    let all = Plane::with(Cause::Config)
        .fails("write-barriers-off", component("etcd"), Critical)
        .advice();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].id.as_str(), all[0].remedy),
        ("mount-barriers", Remedy::Safety)
    );
    let disk = Plane::with(Cause::Disk)
        .fails("wal-fsync-slow", component("etcd"), Critical)
        .fails("backend-commit-slow", component("etcd"), Critical)
        .advice();
    for advice in &disk {
        for text in [&advice.proposed, &advice.effect] {
            for word in [
                "nobarrier",
                "barrier=0",
                "unsafe-no-fsync",
                "heartbeat-interval",
            ] {
                assert!(!text.contains(word), "{}: {text}", advice.id);
            }
        }
    }
}

/// A component of a node.
fn on(name: &str, node: &str) -> Subject {
    Subject::new(SubjectKind::Component, name).on(node)
}

fn mount(path: &str, barrier: &str) -> crate::evidence::Table {
    let row = Row::new("data")
        .text("mount", path)
        .text("fs", "ext4")
        .text("device", "sdb")
        .text("barrier", barrier);
    table(vec![row])
}

#[test]
fn what_no_mount_option_cures_is_moved() {
    let advised = |fs: &str, options: &str| {
        let row = Row::new("data")
            .text("mount", "/data")
            .text("fs", fs)
            .text("options", options)
            .text("barrier", "off");
        let all = Plane::with(Cause::Config)
            .put(&keys::MOUNTS, on("etcd", "cp0"), table(vec![row]))
            .fails("write-barriers-off", on("etcd", "cp0"), Critical)
            .advice();
        all.iter()
            .find(|one| one.id == "mount-barriers")
            .unwrap()
            .clone()
    };
    for (fs, options, part) in [
        ("tmpfs", "rw,size=1g", "from memory to a local disk"),
        ("overlay", "rw,upperdir=/u,volatile", "volatile layer"),
        ("zfs", "rw,xattr", "sync=standard"),
    ] {
        let own = advised(fs, options);
        assert!(own.proposed.contains(part), "{fs}: {}", own.proposed);
        let all = format!("{}{}", own.proposed, own.verify);
        assert!(!all.contains("nobarrier"), "{fs}: {all}");
    }
    let own = advised("xfs", "rw,nobarrier");
    assert!(
        own.proposed.contains("remove `nobarrier`"),
        "{}",
        own.proposed
    );
}

#[test]
fn of_several_nodes_the_one_that_was_found_is_advised() {
    let two = |plane: Plane| {
        plane
            .put(&keys::MOUNTS, on("etcd", "cp0"), mount("/a", "on"))
            .put(&keys::MOUNTS, on("etcd", "cp1"), mount("/b", "off"))
            .put(&keys::CGROUP_CPU_LIMIT, on("etcd", "cp0"), 0.5)
            .put(&keys::CGROUP_CPU_LIMIT, on("etcd", "cp1"), 1.0)
    };
    let of = |all: &[Advice], id: &str| all.iter().find(|one| one.id == id).unwrap().clone();
    let all = two(Plane::with(Cause::Config))
        .fails("write-barriers-off", on("etcd", "cp1"), Critical)
        .advice();
    let barriers = of(&all, "mount-barriers");
    assert_eq!(barriers.target, "/b on cp1");
    assert!(barriers.verify.contains("/b`"), "{}", barriers.verify);
    let member = Subject::new(SubjectKind::Member, "cp1");
    let all = two(Plane::with(Cause::Disk))
        .fails("wal-fsync-slow", member, Critical)
        .fails("backend-commit-slow", on("etcd", "cp0"), Critical)
        .advice();
    let now = of(&all, "etcd-own-device").now.unwrap();
    assert!(now.starts_with("/b (ext4 on sdb) on cp1"), "{now}");
    // Slow commits of one member and slow syncs of another do not meet on a device.
    assert!(all.iter().all(|one| one.id != "etcd-wal-device"));
    let all = two(Plane::with(Cause::Cpu))
        .fails("etcd-cpu-throttled", on("etcd", "cp1"), Critical)
        .advice();
    assert_eq!(of(&all, "etcd-cpu-limit").now.unwrap(), "1 cores");
}

#[test]
fn timers_only_with_a_measured_round_trip() {
    let rtt = Histogram {
        buckets: vec![Bucket {
            le: 400.0,
            count: 100.0,
        }],
        sum: 36_800.0,
        max: None,
    };
    let plane = Plane::with(Cause::Network)
        .fails("peer-rtt-high", component("etcd"), Critical)
        .settings("etcd", &[("name", "cp0")]);
    assert_eq!(plane.find("heartbeat-interval"), None);
    assert_eq!(plane.advice()[0].id, "peer-links");
    let plane = plane.put(
        &keys::PEER_RTT,
        Subject::new(SubjectKind::Member, "cp0"),
        rtt,
    );
    let heartbeat = plane.find("heartbeat-interval").unwrap();
    assert_eq!(
        (heartbeat.now.as_deref(), heartbeat.proposed.as_str()),
        (Some("100 (default)"), "400")
    );
    assert_eq!(heartbeat.strength, Strength::Candidate);
    assert_eq!(plane.find("election-timeout").unwrap().proposed, "4000");
}

#[test]
fn timers_follow_round_trip_and_wal_sync() {
    let member = || Subject::new(SubjectKind::Member, "m0");
    // All syncs lie between 128 and 256 ms.
    let took = || Histogram {
        buckets: vec![
            Bucket {
                le: 128.0,
                count: 0.0,
            },
            Bucket {
                le: 256.0,
                count: 1000.0,
            },
        ],
        sum: 200_000.0,
        max: None,
    };
    // A disk that costs the lead: the disk first, the timers as a bridge.
    let disk = || {
        Plane::with(Cause::Disk)
            .fails("leader-unstable", member(), Critical)
            .settings(
                "etcd",
                &[("heartbeat-interval", "100"), ("election-timeout", "1000")],
            )
            .put(&keys::WAL_FSYNC, member(), took())
            .put(
                &keys::LOGS_EVENTS,
                member(),
                table(vec![
                    Row::new("wal-sync-slow")
                        .num("count", 3.0)
                        .num("max_ms", 3_900.0),
                ]),
            )
    };
    let all = disk().advice();
    let of = |setting: &str| all.iter().find(|advice| advice.setting == setting).unwrap();
    assert_eq!(of("heartbeat-interval").proposed, "300");
    assert_eq!(of("election-timeout").proposed, "5000");
    assert_eq!(of("election-timeout").strength, Strength::Candidate);
    assert!(
        of("election-timeout")
            .why
            .contains("Only until the disk is replaced")
    );
    let place = |setting: &str| {
        all.iter()
            .position(|advice| advice.setting == setting)
            .unwrap()
    };
    assert!(place("data-dir device") < place("heartbeat-interval"));
    // A leader that stays: nothing to outlast.
    let calm = Plane::with(Cause::Disk)
        .put(&keys::WAL_FSYNC, member(), took())
        .settings("etcd", &[("heartbeat-interval", "100")]);
    assert!(calm.find("heartbeat-interval").is_none());
    // Timers that are wide enough are left alone.
    let wide = Plane::with(Cause::Disk)
        .fails("leader-unstable", member(), Critical)
        .settings(
            "etcd",
            &[("heartbeat-interval", "500"), ("election-timeout", "5000")],
        )
        .put(&keys::WAL_FSYNC, member(), took());
    assert!(wide.find("heartbeat-interval").is_none());
}

#[test]
fn links_are_blamed_by_what_the_cause_rests_on() {
    let link = Plane::with(Cause::Network)
        .resting_on(&["read-index-slow"])
        .fails("read-index-slow", Subject::cluster(), Warn)
        .find("peer-links")
        .unwrap();
    assert_eq!(link.finding_ids, ["read-index-slow"]);
    assert!(
        link.why.contains("read-index-slow was found"),
        "{}",
        link.why
    );
}

#[test]
fn a_large_cluster_gets_the_largest_quota_and_defrag_has_an_order() {
    let member = |name: &str| Subject::new(SubjectKind::Member, name);
    let leads = |value: f64| Series {
        points: vec![crate::evidence::Point {
            at: crate::clock::Timestamp(1),
            value,
        }],
    };
    let plane = |nodes: f64| {
        Plane::with(Cause::Unknown)
            .fails("quota-near-limit", member("cp0"), Warn)
            .fails("database-fragmented", member("cp0"), Warn)
            .nodes(nodes)
            .put(&keys::DB_QUOTA, member("cp0"), 2_147_483_648.0)
            .put(&keys::DB_IN_USE, member("cp0"), 1e9)
            .put(&keys::IS_LEADER, member("cp0"), leads(1.0))
            .put(&keys::IS_LEADER, member("cp1"), leads(0.0))
            .advice()
    };
    assert_eq!(
        of(&plane(4100.0), "quota-backend-bytes").proposed,
        "8589934592"
    );
    let small = plane(30.0);
    assert_eq!(of(&small, "quota-backend-bytes").proposed, "4294967296");
    let defrag = of(&small, "defragmentation");
    assert!(
        defrag.proposed.ends_with("cp1, then cp0"),
        "{}",
        defrag.proposed
    );
    assert!(defrag.risk.contains("10 s to"), "{}", defrag.risk);
}
