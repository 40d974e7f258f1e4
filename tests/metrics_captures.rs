//! Recorded scrapes against what is known about them: the brackets hold the quantiles that finer
//! sources gave, and the counts are the components' own.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test; their failure is the test's"
)]

use std::path::Path;

use etcd_doctor::evidence::{
    Completeness, EvidenceSet, Histogram, Key, Reader, Subject, SubjectKind, Table, keys,
};
use etcd_doctor::metrics::{Limits, Loader, Model, collect, read_folder};
use etcd_doctor::target::HostRoot;

fn load(capture: &str) -> (Model, EvidenceSet) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/metrics")
        .join(capture);
    let mut loader = Loader::new(Limits::default());
    read_folder(&HostRoot::new(folder), &mut loader);
    let model = loader.finish();
    let set = collect(&model);
    (model, set)
}

fn member(name: &str) -> Subject {
    Subject::new(SubjectKind::Member, name)
}

fn component(name: &str) -> Subject {
    Subject::new(SubjectKind::Component, name).on("m0")
}

fn get<T: etcd_doctor::evidence::FromShape>(set: &EvidenceSet, key: &Key<T>, of: &Subject) -> T {
    Reader::new(set).get(key, of).unwrap()
}

#[track_caller]
fn holds(hist: &Histogram, count: f64, q: f64, truth: f64) {
    assert_eq!(hist.count(), count);
    let (low, high) = hist.bracket(q).unwrap();
    assert!(low < truth && truth <= high, "{truth} in ({low}, {high}]");
}

#[test]
fn a_healthy_etcd() {
    let (model, set) = load("healthy");
    assert_eq!(model.faults, []);
    let m0 = member("m0");
    let fsync = get(&set, &keys::WAL_FSYNC, &m0);
    holds(&fsync, 1654.0, 0.99, 7.21);
    holds(&fsync, 1654.0, 0.5, 0.55);
    assert!((fsync.mean().unwrap() - 0.41).abs() < 0.005);
    holds(&get(&set, &keys::WAL_COMMIT, &m0), 602.0, 0.99, 9.96);
    for key in [
        &keys::SLOW_APPLIES,
        &keys::HEARTBEAT_FAILURES,
        &keys::LEADER_CHANGES,
        &keys::PROPOSALS_FAILED,
    ] {
        assert_eq!(get(&set, key, &m0), 0.0, "{}", key.name());
    }
    let grpc = get(&set, &keys::SERVER_GRPC, &m0);
    assert_eq!(grpc.row("Txn").unwrap().get("calls"), Some(1708.0));
    assert_eq!(grpc.row("Range").unwrap().get("calls"), Some(646.0));
    assert_eq!(get(&set, &keys::DB_SIZE, &m0).points.len(), 5);
    assert_eq!(get(&set, &keys::DB_QUOTA, &m0), 2_147_483_648.0);
    // Two and a half minutes say nothing about when a database is full.
    assert!(Reader::new(&set).get(&keys::DB_TIME_TO_FULL, &m0).is_err());
    // One member has no peers: not zero, but no reading.
    assert!(Reader::new(&set).get(&keys::PEER_RTT, &m0).is_err());
    assert_eq!(get(&set, &keys::MEMBER_ID, &m0), "a874c87fd42044f");
    let versions = get(&set, &keys::METRICS_VERSIONS, &m0);
    let server = versions.row("server").unwrap();
    assert_eq!(server.get_text("version"), Some("3.6.14"));
}

#[test]
fn a_slow_disk_shows_in_its_phases() {
    let (_, set) = load("slow-disk");
    let m0 = member("m0");
    // The whole window hides the stalls; the phases do not.
    holds(&get(&set, &keys::WAL_FSYNC, &m0), 3784.0, 0.99, 241.73);
    let phases = get(&set, &keys::WAL_FSYNC_PHASES, &m0);
    let truth = [
        (2808.0, 4.93),
        (23.0, 250.11),
        (434.0, 252.06),
        (84.0, 3904.85),
        (425.0, 56.0),
        (10.0, 3.93),
    ];
    assert_eq!(phases.rows.len(), truth.len());
    for (row, (count, p99)) in phases.rows.iter().zip(truth) {
        assert_eq!(row.get("count"), Some(count), "{}", row.key);
        let low = row.get("p99_low_ms").unwrap();
        let high = row.get("p99_high_ms").unwrap();
        assert!(
            low < p99 && p99 <= high,
            "{}: {p99} in ({low}, {high}]",
            row.key
        );
    }
    assert_eq!(get(&set, &keys::SLOW_APPLIES, &m0), 452.0);
    let duty = get(&set, &keys::COMMIT_DUTY, &m0);
    // 545 commits of 142.43 ms in 137 s.
    assert!((duty - 545.0 * 0.142_43 / 137.014).abs() < 0.001, "{duty}");
    // 3.5.1 has no WAL write metric.
    assert!(Reader::new(&set).get(&keys::WAL_WRITE, &m0).is_err());
}

#[test]
fn a_full_database() {
    let (_, set) = load("nospace");
    let m0 = member("m0");
    assert_eq!(get(&set, &keys::DB_TIME_TO_FULL, &m0), 0.0);
    assert_eq!(
        get(&set, &keys::DB_SIZE, &m0).points.last().unwrap().value,
        67_121_152.0
    );
    let grpc = get(&set, &keys::SERVER_GRPC, &m0);
    let txn = grpc.row("Txn").unwrap();
    assert_eq!(txn.get("errors"), txn.get("ResourceExhausted"));
    assert!(txn.get("ResourceExhausted").unwrap() >= 380.0);
}

#[test]
fn a_slow_network_between_three_members() {
    let (model, set) = load("slow-network");
    assert_eq!(model.timelines.len(), 3);
    for name in ["m0", "m1", "m2"] {
        let rtt = get(&set, &keys::PEER_RTT, &member(name));
        let (low, high) = rtt.bracket(0.5).unwrap();
        assert!(low >= 200.0 && high <= 820.0, "{name}: ({low}, {high}]");
        assert_eq!(get(&set, &keys::PEER_RTT_BY, &member(name)).rows.len(), 2);
        // The disk is innocent.
        let (_, fsync) = get(&set, &keys::WAL_FSYNC, &member(name))
            .bracket(0.99)
            .unwrap();
        assert!(fsync <= 16.0);
    }
    holds(
        &get(&set, &keys::PEER_RTT, &member("m0")),
        12.0,
        0.99,
        811.01,
    );
    let ids: std::collections::BTreeSet<String> = ["m0", "m1", "m2"]
        .iter()
        .map(|name| get(&set, &keys::MEMBER_ID, &member(name)))
        .collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn rejections_are_counted_at_their_level() {
    let (_, set) = load("inflight-429");
    let api = component("kube-apiserver");
    assert_eq!(get(&set, &keys::APISERVER_REQUESTS_429, &api), 5495.0);
    assert_eq!(get(&set, &keys::APISERVER_REQUESTS_5XX, &api), 0.0);
    let levels = get(&set, &keys::APF_LEVELS, &api);
    for row in &levels.rows {
        let expected = if row.key == "workload-low" {
            5495.0
        } else {
            0.0
        };
        assert_eq!(row.get("rejected"), Some(expected), "{}", row.key);
        assert_eq!(row.get("queue_full"), Some(expected), "{}", row.key);
    }
    let low = levels.row("workload-low").unwrap();
    assert_eq!(low.get("limit_seats"), Some(5.0));
    assert!(low.get("max_demand_seats").unwrap() > 300.0);
    let flows = get(&set, &keys::APF_FLOWS, &api);
    let flow = flows.row("workload-low/service-accounts").unwrap();
    assert_eq!(flow.get("queue_full"), Some(5495.0));
    // Both generations of the object count are exposed; one is used.
    let objects = get(&set, &keys::APISERVER_OBJECTS, &api);
    assert_eq!(
        objects.row("namespaces").unwrap().get("last_objects"),
        Some(8.0)
    );
}

#[test]
fn a_controller_manager_that_throttles_itself() {
    let (_, set) = load("kcm-throttled");
    let kcm = component("kube-controller-manager");
    let wait = get(&set, &keys::CLIENT_LIMITER_WAIT, &kcm);
    holds(&wait, 1000.0, 0.99, 3944.9);
    assert!((wait.mean().unwrap() - 1700.63).abs() < 0.01);
    // qps 5: its requests are pinned there, scrape for scrape.
    let phases = get(&set, &keys::CLIENT_PHASES, &kcm);
    for row in phases
        .rows
        .iter()
        .filter(|row| row.get("secs").unwrap() > 10.0)
    {
        assert!(row.get("wait_mean_ms").unwrap() > 1000.0, "{row:?}");
    }
    let queues = get(&set, &keys::WORKQUEUES, &kcm);
    let depth = |name: &str| queues.row(name).unwrap().get("max_depth").unwrap();
    assert_eq!((depth("replicaset"), depth("deployment")), (59.0, 55.0));
}

/// The last two scrapes of a time line alone say the same of their time as the phases do.
#[test]
fn any_pair_of_scrapes_is_a_window() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics/slow-disk");
    let root = HostRoot::new(folder);
    let names = [
        "metrics/etcd-m0-20261121T205704.413Z.prom.gz",
        "metrics/etcd-m0-20261121T205746.716Z.prom.gz",
    ];
    let mut loader = Loader::new(Limits::default());
    for name in names {
        etcd_doctor::metrics::read_file(&root, name, &mut loader);
    }
    let set = collect(&loader.finish());
    holds(
        &get(&set, &keys::WAL_FSYNC, &member("m0")),
        84.0,
        0.99,
        3904.85,
    );
}

#[test]
fn one_scrape_alone_claims_no_rate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics/slow-disk");
    let mut loader = Loader::new(Limits::default());
    etcd_doctor::metrics::read_file(
        &HostRoot::new(folder),
        "metrics/etcd-m0-20261121T205757.073Z.prom.gz",
        &mut loader,
    );
    let model = loader.finish();
    let set = collect(&model);
    let m0 = member("m0");
    assert_eq!(model.faults[0].kind.id(), "single-scrape");
    assert_eq!(get(&set, &keys::SLOW_APPLIES, &m0), 452.0);
    let reader = Reader::new(&set);
    for key in [&keys::PROPOSALS_RATE, &keys::COMMIT_DUTY, &keys::DB_GROWTH] {
        assert!(reader.get(key, &m0).is_err(), "{}", key.name());
    }
    let record = reader.record(&keys::WAL_FSYNC, &m0).unwrap();
    assert_eq!(record.origin.completeness, Completeness::Estimate);
    // Since the start of the process.
    assert!(record.window.from.unwrap() < record.window.to.unwrap());
    let phases = reader.get(&keys::WAL_FSYNC_PHASES, &m0);
    assert!(phases.is_err());
}

#[test]
fn tables_are_sorted_by_key_as_the_merge_needs() {
    for capture in ["healthy", "inflight-429", "kcm-throttled", "slow-network"] {
        let (_, set) = load(capture);
        for record in set.records() {
            if let etcd_doctor::evidence::Reading::Known(etcd_doctor::evidence::Shape::Table(
                Table { rows, .. },
            )) = &record.value
            {
                assert!(
                    rows.is_sorted_by(|a, b| a.key < b.key),
                    "{} of {}",
                    record.key,
                    record.subject
                );
            }
        }
        assert_eq!(set.conflicts(), <[String; 0]>::default());
    }
}
