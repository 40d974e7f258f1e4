//! Scrapes of other releases, and scrapes that are damaged: the same readings, or none.
#![expect(
    clippy::unwrap_used,
    reason = "a test over scrapes that it writes itself"
)]

use etcd_doctor::clock::Timestamp;
use etcd_doctor::evidence::{
    Completeness, EvidenceSet, FromShape, Key, Missing, Reader, Reading, Subject, SubjectKind, keys,
};
use etcd_doctor::metrics::{Hint, Limits, Loader, Model, collect};
use proptest::prelude::*;

/// Scrapes by file name.
fn load(files: &[(&str, String)]) -> (Model, EvidenceSet) {
    let mut loader = Loader::new(Limits::default());
    for (name, text) in files {
        loader.add(name, name, text.as_bytes(), &Hint::default());
    }
    let model = loader.finish();
    let set = collect(&model);
    (model, set)
}

/// Two scrapes of one component on `m0`, a minute apart.
fn pair(component: &str, first: &str, second: &str) -> (Model, EvidenceSet) {
    load(&[
        (
            &format!("{component}-m0-20260101T030000Z.prom"),
            first.to_owned(),
        ),
        (
            &format!("{component}-m0-20260101T030100Z.prom"),
            second.to_owned(),
        ),
    ])
}

fn component(name: &str) -> Subject {
    Subject::new(SubjectKind::Component, name).on("m0")
}

fn get<T: FromShape>(set: &EvidenceSet, key: &Key<T>, of: &Subject) -> Result<T, Missing> {
    Reader::new(set).get(key, of)
}

fn kinds(model: &Model) -> Vec<&'static str> {
    let mut kinds: Vec<_> = model.faults.iter().map(|f| f.kind.id()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

const START: &str = "process_start_time_seconds 1767225000\n";

fn etcd(fsyncs: [u32; 4], cpu: f64, extra: &str) -> String {
    let [a, b, c, d] = fsyncs;
    format!(
        "# TYPE etcd_disk_wal_fsync_duration_seconds histogram\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"0.001\"}} {a}\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"0.008\"}} {b}\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"0.016\"}} {c}\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"+Inf\"}} {d}\n\
         etcd_disk_wal_fsync_duration_seconds_sum {}\n\
         etcd_disk_wal_fsync_duration_seconds_count {d}\n\
         # TYPE etcd_server_has_leader gauge\n\
         etcd_server_has_leader 1\n\
         {extra}\
         # TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {cpu}\n",
        f64::from(d) * 0.002,
    )
}

fn m0() -> Subject {
    Subject::new(SubjectKind::Member, "m0")
}

#[test]
fn three_ages_of_etcd_latency_labels_mean_the_same() {
    let ages = [
        (
            "{operation=\"OP\",type=\"*core.Pod\"",
            "{operation=\"OP\",type=\"*apps.Deployment\"",
        ),
        (
            "{operation=\"OP\",type=\"pods\"",
            "{operation=\"OP\",type=\"deployments.apps\"",
        ),
        (
            "{group=\"\",operation=\"OP\",resource=\"pods\"",
            "{group=\"apps\",operation=\"OP\",resource=\"deployments\"",
        ),
    ];
    for (pods, deployments) in ages {
        let text = |n: u32| {
            let mut text =
                String::from("apiserver_current_inflight_requests{request_kind=\"mutating\"} 1\n");
            for (labels, op, count) in [
                (pods, "list", n),
                (pods, "listWithCount", n),
                (pods, "get", 2 * n),
                (deployments, "update", 3 * n),
                (deployments, "create", n),
            ] {
                let labels = labels.replace("OP", op);
                text.push_str(
                    &format_args!(
                        "etcd_request_duration_seconds_bucket{labels},le=\"0.005\"}} {count}\n\
                     etcd_request_duration_seconds_bucket{labels},le=\"+Inf\"}} {count}\n\
                     etcd_request_duration_seconds_sum{labels}}} {}\n\
                     etcd_request_duration_seconds_count{labels}}} {count}\n",
                        f64::from(count) * 0.001
                    )
                    .to_string(),
                );
            }
            text + START
        };
        let (_, set) = pair("kube-apiserver", &text(10), &text(70));
        let used = get(
            &set,
            &keys::APISERVER_ETCD_REQUESTS,
            &component("kube-apiserver"),
        )
        .unwrap();
        let row = used.row("pods").unwrap();
        assert_eq!(row.get("lists"), Some(120.0), "{pods}");
        assert_eq!(row.get("gets"), Some(120.0));
        assert_eq!(row.get("per_sec"), Some(4.0));
        let row = used.row("deployments.apps").unwrap();
        assert_eq!(row.get("writes"), Some(240.0));
        assert!((row.get("write_secs").unwrap() - 0.24).abs() < 1e-9);
    }
}

#[test]
fn old_spellings_of_fairness_and_inflight() {
    let text = |n: u32| {
        format!(
            "apiserver_current_inflight_requests{{requestKind=\"mutating\"}} {n}\n\
             apiserver_flowcontrol_dispatched_requests_total{{flowSchema=\"system\",priorityLevel=\"system\"}} {n}\n\
             apiserver_flowcontrol_rejected_requests_total{{flowSchema=\"f\",priorityLevel=\"workload-low\",reason=\"time-out\"}} {n}\n\
             apiserver_flowcontrol_request_concurrency_limit{{priorityLevel=\"workload-low\"}} 245\n{START}"
        )
    };
    let (_, set) = pair("kube-apiserver", &text(5), &text(25));
    let levels = get(&set, &keys::APF_LEVELS, &component("kube-apiserver")).unwrap();
    let low = levels.row("workload-low").unwrap();
    assert_eq!(low.get("timed_out"), Some(20.0));
    assert_eq!(low.get("rejected"), Some(20.0));
    assert_eq!(low.get("limit_seats"), Some(245.0));
    assert_eq!(levels.row("system").unwrap().get("dispatched"), Some(20.0));
    let inflight = get(
        &set,
        &keys::APISERVER_INFLIGHT,
        &component("kube-apiserver"),
    )
    .unwrap();
    assert_eq!(
        inflight.row("mutating").unwrap().get("max_inflight"),
        Some(25.0)
    );
}

#[test]
fn a_restart_counts_from_zero_and_says_so() {
    let start = |at: u32| format!("process_start_time_seconds {at}\n");
    let extra = "etcd_server_proposals_committed_total 5000\netcd_server_slow_apply_total 7\n";
    let later = "etcd_server_proposals_committed_total 5600\netcd_server_slow_apply_total 9\n";
    // The new process counted more than the old one had: only its start tells.
    let (model, set) = pair(
        "etcd",
        &(etcd([10, 10, 10, 10], 5.0, extra) + &start(1_767_200_000)),
        &(etcd([50, 50, 60, 60], 9.0, later) + &start(1_767_236_430)),
    );
    assert!(kinds(&model).contains(&"restart"), "{:?}", model.faults);
    let hist = get(&set, &keys::WAL_FSYNC, &m0()).unwrap();
    assert_eq!(hist.count(), 60.0);
    assert_eq!(get(&set, &keys::SLOW_APPLIES, &m0()), Ok(9.0));
    let reader = Reader::new(&set);
    let record = reader.record(&keys::SLOW_APPLIES, &m0()).unwrap();
    assert_eq!(record.origin.completeness, Completeness::AtLeast);
    // The raft index outlives the process.
    assert_eq!(get(&set, &keys::PROPOSALS_RATE, &m0()), Ok(10.0));
    assert_eq!(
        get(&set, &keys::PROCESS_RESTARTS, &component("etcd")),
        Ok(1.0)
    );
}

#[test]
fn copied_files_have_no_time_and_keep_their_order() {
    let first = etcd([10, 20, 30, 30], 50.0, START);
    let second = etcd([110, 220, 330, 330], 90.0, START);
    // Copied at once, within a moment, and in the wrong order.
    for modified in [(0, 0), (0, 300_000), (600_000_000, 0)] {
        let mut loader = Loader::new(Limits::default());
        for (name, text, at) in [
            ("etcd-m0-1.prom", &first, modified.0),
            ("etcd-m0-2.prom", &second, modified.1),
        ] {
            let hint = Hint {
                modified: Some(Timestamp(1_767_228_000_000_000 + at)),
                ..Hint::default()
            };
            loader.add(name, name, text.as_bytes(), &hint);
        }
        let model = loader.finish();
        assert_eq!(kinds(&model), ["doubtful-time"], "{modified:?}");
        let set = collect(&model);
        let syncs = get(&set, &keys::WAL_FSYNC, &m0()).unwrap();
        assert_eq!(syncs.count(), 300.0, "{modified:?}");
    }
}

#[test]
fn a_clock_that_was_set_is_no_restart() {
    let start = |at: u32| format!("process_start_time_seconds {at}\n");
    let (model, set) = pair(
        "etcd",
        &(etcd([10, 10, 10, 10], 5.0, "") + &start(1_767_200_000)),
        &(etcd([20, 20, 20, 20], 9.0, "") + &start(1_767_200_007)),
    );
    assert_eq!(kinds(&model), <[&str; 0]>::default());
    assert_eq!(get(&set, &keys::WAL_FSYNC, &m0()).unwrap().count(), 10.0);
}

#[test]
fn scrapes_of_two_processes_behind_one_name_are_not_mixed() {
    let start = |at: u32| format!("process_start_time_seconds {at}\n");
    let (model, set) = load(&[
        (
            "etcd-m0-20260101T030000Z.prom",
            etcd([10, 10, 10, 10], 5.0, "") + &start(1_767_200_000),
        ),
        (
            "etcd-m0-20260101T030100Z.prom",
            etcd([90, 90, 90, 90], 50.0, "") + &start(1_767_100_000),
        ),
        (
            "etcd-m0-20260101T030200Z.prom",
            etcd([15, 15, 15, 15], 6.0, "") + &start(1_767_200_000),
        ),
    ]);
    assert!(kinds(&model).contains(&"mixed-processes"));
    assert_eq!(model.timelines.len(), 2);
    let counts: Vec<f64> = Reader::new(&set)
        .all(&keys::WAL_FSYNC)
        .iter()
        .map(|(_, hist)| hist.count())
        .collect();
    assert_eq!(counts, [90.0, 5.0]);
}

#[test]
fn series_born_in_the_window_count_in_full() {
    let first = format!(
        "apiserver_request_total{{code=\"200\",resource=\"pods\",verb=\"GET\"}} 5\n{START}"
    );
    let second = format!(
        "apiserver_request_total{{code=\"200\",resource=\"pods\",verb=\"GET\"}} 6\n\
         apiserver_request_total{{code=\"429\",resource=\"pods\",verb=\"GET\"}} 40\n{START}"
    );
    let (_, set) = pair("kube-apiserver", &first, &second);
    let api = component("kube-apiserver");
    assert_eq!(get(&set, &keys::APISERVER_REQUESTS_429, &api), Ok(40.0));
}

#[test]
fn a_torn_first_scrape_makes_no_births() {
    let whole = |n: u32| {
        format!(
            "# TYPE apiserver_request_total counter\n\
             apiserver_request_total{{code=\"200\",resource=\"pods\",verb=\"GET\"}} {n}\n\
             # TYPE etcd_requests_total counter\n\
             etcd_requests_total{{operation=\"get\",resource=\"pods\",group=\"\"}} {n}\n\
             # TYPE rest_client_requests_total counter\n\
             rest_client_requests_total{{code=\"200\",method=\"GET\"}} {n}\n"
        )
    };
    let text = whole(1000);
    // Cut within the second family: it and all that sort behind it are unknown.
    let cut = text.find("group=\"\"").unwrap();
    let (model, set) = pair("kube-apiserver", text.get(..cut).unwrap(), &whole(1060));
    assert!(kinds(&model).contains(&"truncated"), "{:?}", model.faults);
    let api = component("kube-apiserver");
    assert_eq!(
        get(&set, &keys::APISERVER_REQUESTS, &api)
            .unwrap()
            .total("requests"),
        60.0
    );
    assert!(get(&set, &keys::APISERVER_ETCD_REQUESTS, &api).is_err());
    assert!(get(&set, &keys::CLIENT_REQUESTS_RATE, &api).is_err());
}

/// Five scrapes, ten minutes apart, of which some are cut.
fn five(starts: [u32; 5], puts: [u32; 5], torn: &[usize]) -> EvidenceSet {
    let files: Vec<(String, String)> = (0..5)
        .map(|at| {
            // Where it stands in a real scrape: a tear leaves out what sorts behind it.
            let leader = "# TYPE etcd_server_has_leader";
            let puts = format!("etcd_mvcc_put_total {}\n{leader}", puts[at]);
            let cpu = f64::from(starts[at] % 1000) + 1.0;
            let start = format!("process_start_time_seconds {}\n", starts[at]);
            let mut text = etcd([10, 10, 10, 10], cpu, "").replace(leader, &puts) + &start;
            if torn.contains(&at) {
                text.truncate(text.find("etcd_mvcc_put_total").unwrap());
            }
            (format!("etcd-m0-20260101T03{at}000Z.prom"), text)
        })
        .collect();
    let files: Vec<(&str, String)> = files.iter().map(|(name, t)| (&**name, t.clone())).collect();
    load(&files).1
}

/// Count and rate.
fn puts(set: &EvidenceSet) -> (f64, f64) {
    let table = get(set, &keys::SERVER_COUNTERS, &m0()).unwrap();
    let row = table.row("puts").unwrap();
    (row.get("count").unwrap(), row.get("per_sec").unwrap())
}

const SAME: [u32; 5] = [1_767_200_000; 5];
const PUTS: [u32; 5] = [1000, 2000, 3000, 4000, 5000];

#[test]
fn a_torn_scrape_in_the_middle_takes_nothing_away() {
    let whole = puts(&five(SAME, PUTS, &[]));
    assert_eq!(whole, (4000.0, 4000.0 / 2400.0));
    for torn in [&[2][..], &[1, 3], &[1, 2, 3]] {
        assert_eq!(puts(&five(SAME, PUTS, torn)), whole, "{torn:?}");
    }
    // At an end nobody knows what was before or after: the rate is that of the known time.
    for torn in [0, 4] {
        let known = puts(&five(SAME, PUTS, &[torn]));
        assert_eq!(known, (3000.0, 3000.0 / 1800.0), "{torn}");
    }
}

#[test]
fn a_restart_behind_a_torn_scrape_is_seen() {
    // The process began anew at about the third scrape, which is torn, and soon counts more than before.
    let anew = 1_767_237_600 + 1_000;
    let starts = [SAME[0], SAME[0], anew, anew, anew];
    let overtaken = [1000, 2000, 2100, 2300, 2500];
    let set = five(starts, overtaken, &[2]);
    // 1000 before, at least 2300 after, and 200 more.
    assert_eq!(puts(&set).0, 3500.0);
    let restarts = get(&set, &keys::PROCESS_RESTARTS, &component("etcd")).unwrap();
    assert_eq!(restarts, 1.0);
}

#[test]
fn nan_and_falling_buckets_are_findings_not_numbers() {
    let good = etcd([10, 20, 30, 30], 1.0, "etcd_server_slow_apply_total 1\n") + START;
    let bad = etcd([90, 20, 30, 40], 2.0, "etcd_server_slow_apply_total NaN\n") + START;
    let (model, set) = pair("etcd", &good, &bad);
    assert!(
        kinds(&model).contains(&"broken-histogram"),
        "{:?}",
        model.faults
    );
    assert!(kinds(&model).contains(&"bad-values"));
    assert!(get(&set, &keys::WAL_FSYNC, &m0()).is_err());
    assert!(get(&set, &keys::SLOW_APPLIES, &m0()).is_err());
}

#[test]
fn pages_instead_of_metrics_are_named() {
    let (model, set) = load(&[
        ("etcd-m0-1.prom", "404 page not found\n".to_owned()),
        (
            "etcd-m0-2.prom",
            "<html><title>Login</title></html>".to_owned(),
        ),
        (
            "etcd-m0-3.prom",
            "{\"kind\":\"Status\",\"message\":\"Unauthorized\"}".to_owned(),
        ),
        ("etcd-m0-4.prom", String::new()),
        ("etcd-m0-5.prom", "foo_total 1\n".to_owned()),
    ]);
    assert_eq!(kinds(&model), ["not-metrics"]);
    assert_eq!(model.faults.len(), 5);
    let said: Vec<&str> = model.faults.iter().map(|f| f.what.as_str()).collect();
    assert!(said[1].contains("Login"), "{said:?}");
    assert!(said[2].contains("Unauthorized"), "{said:?}");
    // Only the faults.
    assert_eq!(set.len(), 1);
}

#[test]
fn one_process_that_is_everything() {
    let text = |n: u32| {
        etcd([n, n, n, n], f64::from(n), "")
            + &format!(
                "apiserver_request_total{{code=\"200\",resource=\"pods\",verb=\"GET\"}} {n}\n\
                 scheduler_pending_pods{{queue=\"active\"}} 3\n\
                 workqueue_depth{{name=\"replicaset\"}} 4\n\
                 workqueue_adds_total{{name=\"replicaset\"}} {n}\n\
                 kubernetes_build_info{{git_version=\"v1.34.1+k3s1\"}} 1\n{START}"
            )
    };
    // Every endpoint of k3s shows all of it.
    let (model, set) = load(&[
        ("etcd-m0-20260101T030000Z.prom", text(10)),
        ("kube-apiserver-m0-20260101T030000.5Z.prom", text(11)),
        ("etcd-m0-20260101T030100Z.prom", text(70)),
        ("kube-apiserver-m0-20260101T030100.5Z.prom", text(71)),
    ]);
    assert_eq!(model.timelines.len(), 1, "{:?}", model.timelines[0].target);
    assert_eq!(model.timelines[0].target.component, "k3s");
    // Not twice.
    assert_eq!(get(&set, &keys::WAL_FSYNC, &m0()).unwrap().count(), 61.0);
    let requests = get(
        &set,
        &keys::APISERVER_REQUESTS,
        &component("kube-apiserver"),
    )
    .unwrap();
    assert_eq!(requests.total("requests"), 61.0);
    let queues = get(&set, &keys::WORKQUEUES, &component("k3s")).unwrap();
    assert_eq!(
        queues.row("replicaset").unwrap().get("max_depth"),
        Some(4.0)
    );
    assert!(get(&set, &keys::PROCESS_CPU, &component("k3s")).is_ok());
    assert!(get(&set, &keys::PROCESS_CPU, &component("etcd")).is_err());
}

#[test]
fn several_scrapes_in_one_file() {
    let text = etcd([10, 10, 10, 10], 1.0, "")
        + "go_memstats_last_gc_time_seconds 1767236000\n"
        + START
        + &etcd([40, 40, 40, 40], 2.0, "")
        + "go_memstats_last_gc_time_seconds 1767239600\n"
        + START;
    let (model, set) = load(&[("etcd-m0.txt", text)]);
    assert!(
        kinds(&model).contains(&"several-in-one"),
        "{:?}",
        model.faults
    );
    assert_eq!(get(&set, &keys::WAL_FSYNC, &m0()).unwrap().count(), 30.0);
    // An hour by the garbage collector's clock is good enough for a rate.
    assert!(get(&set, &keys::PROCESS_CPU, &component("etcd")).is_ok());
}

#[test]
fn a_federated_scrape_is_parted_by_instance() {
    let text = |n: u32| {
        ["10.0.0.1:2381", "10.0.0.2:2381"]
            .map(|instance| {
                format!(
                    "etcd_server_slow_apply_total{{instance=\"{instance}\",job=\"etcd\"}} {n} 17672364{n}000\n\
                     etcd_server_has_leader{{instance=\"{instance}\",job=\"etcd\"}} 1 17672364{n}000\n"
                )
            })
            .concat()
    };
    let (model, set) = load(&[("a.prom", text(10)), ("b.prom", text(40))]);
    assert_eq!(model.timelines.len(), 2, "{:?}", model.faults);
    let slow = Reader::new(&set).all(&keys::SLOW_APPLIES);
    let shown: Vec<(String, f64)> = slow.into_iter().map(|(s, v)| (s.name, v)).collect();
    assert_eq!(
        shown,
        [("10.0.0.1".to_owned(), 30.0), ("10.0.0.2".to_owned(), 30.0)]
    );
}

#[test]
fn a_second_etcd_for_events_stands_beside_the_first() {
    let (_, set) = load(&[
        (
            "etcd-m0-20260101T030000Z.prom",
            etcd([1, 1, 1, 1], 1.0, "") + START,
        ),
        (
            "etcd-m0-20260101T030100Z.prom",
            etcd([3, 3, 3, 3], 2.0, "") + START,
        ),
        (
            "etcd-events-m0-20260101T030000Z.prom",
            etcd([5, 5, 5, 5], 1.0, "") + START,
        ),
        (
            "etcd-events-m0-20260101T030100Z.prom",
            etcd([9, 9, 9, 9], 2.0, "") + START,
        ),
    ]);
    let counts: Vec<(String, f64)> = Reader::new(&set)
        .all(&keys::WAL_FSYNC)
        .into_iter()
        .map(|(subject, hist)| (subject.name, hist.count()))
        .collect();
    assert_eq!(
        counts,
        [("m0".to_owned(), 2.0), ("m0/events".to_owned(), 4.0)]
    );
}

#[test]
fn an_operator_for_etcd_is_no_etcd() {
    let text = |n: u32| {
        format!(
            "controller_runtime_reconcile_total{{controller=\"etcd\",result=\"success\"}} {n}\n\
             workqueue_depth{{name=\"etcd\"}} 0\n{START}"
        )
    };
    let (model, set) = load(&[
        ("etcd-operator-m0-20260101T030000Z.prom", text(1)),
        ("etcd-operator-m0-20260101T030100Z.prom", text(4)),
    ]);
    assert_eq!(model.timelines.len(), 1);
    let reconciles = get(&set, &keys::RECONCILES, &component("etcd-operator")).unwrap();
    assert_eq!(reconciles.total("reconciles"), 3.0);
    assert_eq!(Reader::new(&set).all(&keys::WAL_FSYNC).len(), 0);
}

#[test]
fn nodes_get_their_real_names() {
    let mut loader = Loader::new(Limits::default());
    for (name, n) in [
        ("etcd-m0-20260101T030000Z.prom", 1),
        ("etcd-m0-20260101T030100Z.prom", 5),
    ] {
        let text = etcd([n, n, n, n], f64::from(n), "") + START;
        loader.add(name, name, text.as_bytes(), &Hint::default());
    }
    let mut model = loader.finish();
    model.map_nodes(|target| (target.node.as_deref() == Some("m0")).then(|| "cp-1".to_owned()));
    let set = collect(&model);
    let subject = Subject::new(SubjectKind::Member, "cp-1");
    assert_eq!(get(&set, &keys::WAL_FSYNC, &subject).unwrap().count(), 4.0);
}

#[test]
fn the_retry_plateau_shows_pair_by_pair() {
    let text = |retries: u32| {
        format!(
            "controller_runtime_reconcile_total{{controller=\"baremetalhost\",result=\"error\"}} {retries}\n\
             controller_runtime_max_concurrent_reconciles{{controller=\"baremetalhost\"}} 3\n\
             controller_runtime_active_workers{{controller=\"baremetalhost\"}} 1\n\
             workqueue_depth{{name=\"baremetalhost\"}} 0\n\
             workqueue_adds_total{{name=\"baremetalhost\"}} {retries}\n\
             workqueue_retries_total{{name=\"baremetalhost\"}} {retries}\n{START}"
        )
    };
    let (model, set) = load(&[
        ("bmo-m0-20260101T030000Z.prom", text(100)),
        ("bmo-m0-20260101T030030Z.prom", text(401)),
        ("bmo-m0-20260101T030100Z.prom", text(700)),
    ]);
    assert_eq!(model.timelines[0].target.component, "bmo");
    let phases = get(&set, &keys::WORKQUEUE_PHASES, &component("bmo")).unwrap();
    assert_eq!(phases.rows.len(), 2);
    for row in &phases.rows {
        let rate = row.get("retries_per_sec").unwrap();
        assert!((9.9..=10.1).contains(&rate), "{rate}");
    }
    let reconciles = get(&set, &keys::RECONCILES, &component("bmo")).unwrap();
    let row = reconciles.row("baremetalhost").unwrap();
    assert_eq!(row.get("reconciles"), Some(600.0));
    assert_eq!(row.get("limit_workers"), Some(3.0));
}

#[test]
fn a_taken_time_beats_a_name() {
    let mut loader = Loader::new(Limits::default());
    for (secs, n) in [(0, 10), (30, 40)] {
        let hint = Hint {
            taken: Some(Timestamp::from_secs(1_767_236_400 + secs)),
            ..Hint::default()
        };
        let text = etcd([n, n, n, n], f64::from(n), "") + START;
        loader.add("", "http://127.0.0.1:2381/metrics", text.as_bytes(), &hint);
    }
    let set = collect(&loader.finish());
    let cpu = Reader::new(&set).all(&keys::PROCESS_CPU);
    assert_eq!(cpu[0].1, 1.0);
}

proptest! {
    /// However a scrape is cut or damaged, nothing panics, no count is above the truth, and no
    /// reading appears that the whole scrape does not have.
    #[test]
    fn damage_never_makes_a_number_larger(
        cut in 0usize..1000,
        flip in prop::option::of((0usize..1000, any::<u8>())),
        which in any::<bool>(),
    ) {
        let first = etcd([10, 20, 30, 30], 1.0, "etcd_server_slow_apply_total 1\n") + START;
        let second = etcd([40, 50, 60, 70], 2.0, "etcd_server_slow_apply_total 5\n") + START;
        let mut bytes = [first.into_bytes(), second.into_bytes()];
        let damaged = &mut bytes[usize::from(which)];
        damaged.truncate(cut);
        let mut flipped = false;
        if let Some((at, byte)) = flip
            && let Some(slot) = damaged.get_mut(at)
        {
            *slot = byte;
            flipped = true;
        }
        let mut loader = Loader::new(Limits::default());
        for (name, text) in ["etcd-m0-20260101T030000Z.prom", "etcd-m0-20260101T030100Z.prom"]
            .iter()
            .zip(&bytes)
        {
            loader.add(name, name, text, &Hint::default());
        }
        let set = collect(&loader.finish());
        // A flipped digit is a number as good as any; a cut must not make one.
        if !flipped {
            let reader = Reader::new(&set);
            if let Some(record) = reader.record(&keys::WAL_FSYNC, &m0())
                && record.origin.completeness != Completeness::Estimate
                && let Reading::Known(_) = &record.value
            {
                let hist = get(&set, &keys::WAL_FSYNC, &m0()).unwrap();
                prop_assert!(hist.count() <= 40.0, "{}", hist.count());
            }
            if let Some(record) = reader.record(&keys::SLOW_APPLIES, &m0())
                && let Reading::Known(_) = &record.value
            {
                // What one scrape alone tells is the life of the process, not a window.
                let life = record.origin.completeness == Completeness::Estimate;
                let slow = get(&set, &keys::SLOW_APPLIES, &m0()).unwrap();
                prop_assert!(slow <= if life { 5.0 } else { 4.0 }, "{slow}");
            }
        }
    }
}

/// A scrape of member `id` that began at `start`, at the given time of its last collection.
fn scrape(id: &str, start: u64, at: u64, fsyncs: u64) -> String {
    format!(
        "etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"0.001\"}} {fsyncs}\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"+Inf\"}} {fsyncs}\n\
         etcd_disk_wal_fsync_duration_seconds_sum 1\n\
         etcd_disk_wal_fsync_duration_seconds_count {fsyncs}\n\
         etcd_server_has_leader 1\n\
         {}go_memstats_last_gc_time_seconds {at}\n\
         process_start_time_seconds {start}\n",
        if id.is_empty() {
            String::new()
        } else {
            format!("etcd_server_id{{server_id=\"{id}\"}} 1\n")
        }
    )
}

fn targets(files: &[(&str, String)]) -> Vec<(Option<String>, usize)> {
    let (model, _) = load(files);
    model
        .timelines
        .iter()
        .map(|line| (line.target.node.clone(), line.columns.len()))
        .collect()
}

#[test]
fn scrapes_of_one_member_are_one_target_whatever_their_names() {
    const ID: &str = "a874c87fd42044f";
    let (t0, t1) = (1_767_225_600, 1_767_225_900);
    let one = |a: &str, b: &str| {
        targets(&[
            (a, scrape(ID, 1_767_225_000, t0, 100)),
            (b, scrape(ID, 1_767_225_000, t1, 900)),
        ])
    };
    for (a, b, name) in [
        ("t0.prom", "t1.prom", None),
        ("metrics1.txt", "metrics2.txt", None),
        ("a.prom", "b.prom", None),
        ("etcd1.prom", "etcd2.prom", None),
        ("scrape1.prom", "scrape2.prom", None),
        ("cp-1.prom", "cp-1-again.prom", Some("cp-1")),
    ] {
        assert_eq!(one(a, b), [(name.map(str::to_owned), 2)], "{a} {b}");
    }
    // A copy under another name is the same scrape again.
    let copy = scrape(ID, 1_767_225_000, t0, 100);
    assert_eq!(
        targets(&[("a.prom", copy.clone()), ("copy.prom", copy)]),
        [(None, 1)]
    );
    // The member was restarted in between.
    let restarted = targets(&[
        ("t0.prom", scrape(ID, 1_767_225_000, t0, 100)),
        ("t1.prom", scrape(ID, 1_767_225_700, t1, 10)),
    ]);
    assert_eq!(restarted, [(None, 2)]);
}

#[test]
fn members_with_one_id_that_ran_at_one_time_stay_apart() {
    // A lone etcd with default addresses always has this id.
    const DEFAULT: &str = "8e9e05c52164694d";
    let (t0, t1) = (1_767_225_600, 1_767_225_900);
    let two = targets(&[
        ("east.prom", scrape(DEFAULT, 1_767_225_000, t0, 100)),
        ("west.prom", scrape(DEFAULT, 1_767_225_300, t1, 900)),
    ]);
    assert_eq!(two.len(), 2, "{two:?}");
    // Other ids, and none at all, are what their names say.
    let two = targets(&[
        ("t0.prom", scrape("a1", 1_767_225_000, t0, 100)),
        ("t1.prom", scrape("a2", 1_767_225_000, t1, 900)),
    ]);
    assert_eq!(two.len(), 2, "{two:?}");
    let two = targets(&[
        ("t0.prom", scrape("", 1_767_225_000, t0, 100)),
        ("t1.prom", scrape("", 1_767_225_000, t1, 900)),
    ]);
    assert_eq!(two.len(), 2, "{two:?}");
}
