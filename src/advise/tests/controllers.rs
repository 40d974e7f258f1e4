//! What the models say of controllers of other kinds, versions and sizes, and what they must not.

use super::*;
use crate::advise::Disposition;
use crate::evidence::Table;

fn throttling(lines: f64, max_ms: f64) -> Table {
    table(vec![
        Row::new("get secrets")
            .num("lines", lines)
            .num("max_delay_ms", max_ms)
            .text("verb", "get")
            .text("resource", "secrets"),
    ])
}

fn throttled(name: &str) -> Plane {
    Plane::with(Cause::ClientThrottling)
        .fails("client-throttled", component(name), Warn)
        .put(
            &keys::LOGS_THROTTLING,
            component(name),
            throttling(40.0, 4_000.0),
        )
}

fn workload(controller: Option<&str>, replicas: f64) -> Table {
    let row = Row::new("workload")
        .text("kind", "Deployment")
        .text("name", "x")
        .num("replicas", replicas);
    table(vec![match controller {
        Some(id) => row.text("controller", id),
        None => row,
    }])
}

#[test]
fn each_controller_by_its_own_flags_and_steps() {
    // 4 s of waiting at 20 a second are 80 requests: the first step that drains them in a second.
    for (name, qps, burst, wanted) in [
        (
            "cert-manager",
            "kube-api-qps",
            "kube-api-burst",
            ("100", "100"),
        ),
        (
            "kustomize-controller",
            "kube-api-qps",
            "kube-api-burst",
            ("100", ""),
        ),
        (
            "external-secrets",
            "client-qps",
            "client-burst",
            ("100", ""),
        ),
        (
            "istiod",
            "kubernetesApiQPS",
            "kubernetesApiBurst",
            ("100", ""),
        ),
        // At what is published for it already.
        (
            "gateway/operator",
            "kube_client_qps",
            "kube_client_burst",
            ("", ""),
        ),
    ] {
        let all = throttled(name).settings(name, &[("v", "2")]).advice();
        let value = |setting: &str| {
            all.iter()
                .find(|a| a.setting == setting && a.strength != Strength::Refused)
                .map_or("", |a| a.proposed.as_str())
        };
        assert_eq!((value(qps), value(burst)), wanted, "{name}");
    }
}

#[test]
fn no_flag_that_the_version_lacks() {
    let name = "capi-controller-manager";
    let old = throttled(name)
        .settings(name, &[("v", "2")])
        .version(name, "v1.4.9")
        .advice();
    assert!(
        old.iter().all(|a| a.strength == Strength::Refused),
        "{old:?}"
    );
    assert!(old[0].why.contains("came with 1.5,"), "{}", old[0].why);
    // Without a version it can only be a thought, and no file is written for it.
    let unknown = throttled(name).settings(name, &[("v", "2")]).advice();
    assert!(
        unknown.iter().all(|a| a.strength != Strength::Recommended),
        "{unknown:?}"
    );
    let known = throttled(name)
        .settings(name, &[("v", "2")])
        .version(name, "v1.12.3")
        .advice();
    assert_eq!(of(&known, "kube-api-qps").proposed, "100");
    assert_eq!(
        of(&known, "kube-api-qps").disposition,
        Disposition::Disruptive
    );
    // From 1.13 on the default is what is published: nothing to set.
    let new = throttled(name)
        .settings(name, &[("v", "2")])
        .version(name, "v1.14.0")
        .advice();
    assert!(
        new.iter().all(|a| a.strength == Strength::Refused),
        "{new:?}"
    );
}

#[test]
fn workers_that_are_not_safe_are_not_raised() {
    let name = "capm3-controller-manager";
    let plane = |version: &str| {
        Plane::with(Cause::ClientThrottling)
            .fails("workqueue-backlog", component(name), Warn)
            .settings(name, &[("v", "2")])
            .version(name, version)
            .put(
                &keys::WORKQUEUES,
                component(name),
                table(vec![
                    Row::new("metal3machine")
                        .num("max_standing_depth", 300.0)
                        .num("adds", 600.0)
                        .num("max_adds_per_sec", 10.0)
                        .num("done", 500.0)
                        .num("work_secs", 1000.0),
                ]),
            )
            .advice()
    };
    let old = plane("v1.5.1");
    assert_eq!(
        of(&old, "metal3machine-concurrency").strength,
        Strength::Refused
    );
    let new = plane("v1.6.0");
    let advice = of(&new, "metal3machine-concurrency");
    assert_eq!(
        (advice.now.as_deref(), advice.proposed.as_str()),
        (Some("10 (default)"), "50")
    );
    assert!(advice.why.contains("10 workers at 2 s"), "{}", advice.why);
}

#[test]
fn workers_that_are_not_safe_are_told_where_they_are_set() {
    let name = "capm3-controller-manager";
    let plane = |version: &str, workers: &str| {
        let plane = Plane::with(Cause::None);
        let set = plane.settings(name, &[("metal3machine-concurrency", workers)]);
        set.version(name, version).advice()
    };
    let old = plane("v1.5.1", "5");
    let advice = of(&old, "metal3machine-concurrency");
    assert_eq!(advice.proposed, "1");
    assert!(
        advice.why.contains("1.5.1") && advice.why.contains("unsafe"),
        "{}",
        advice.why
    );
    for (version, workers) in [("v1.6.0", "5"), ("v1.5.1", "1")] {
        let found = plane(version, workers);
        assert!(
            found
                .iter()
                .all(|a| a.setting != "metal3machine-concurrency"),
            "{found:?}"
        );
    }
}

#[test]
fn a_client_is_not_let_loose_while_the_apiserver_is_full() {
    let name = "cert-manager";
    let all = Plane::with(Cause::ApiserverSaturation)
        .fails("client-throttled", component(name), Warn)
        .fails("apf-rejections", component("kube-apiserver"), Critical)
        .put(
            &keys::LOGS_THROTTLING,
            component(name),
            throttling(40.0, 4_000.0),
        )
        .settings(name, &[("v", "2")])
        .settings(
            "kube-apiserver",
            &[
                ("max-requests-inflight", "8"),
                ("max-mutating-requests-inflight", "4"),
            ],
        )
        .advice();
    let qps = of(&all, "kube-api-qps");
    assert_eq!(qps.strength, Strength::Candidate);
    assert!(
        qps.conflicts[0].contains("`inflight-read`"),
        "{:?}",
        qps.conflicts
    );
}

fn requests(rows: &[(&str, f64)]) -> Table {
    table(
        rows.iter()
            .map(|(key, n)| Row::new(*key).num("requests", *n))
            .collect(),
    )
}

fn reconciles(rows: &[(&str, f64, f64)]) -> Table {
    table(
        rows.iter()
            .map(|(name, per_sec, again)| {
                Row::new(*name)
                    .num("reconciles", per_sec * 100.0)
                    .num("per_sec", *per_sec)
                    .num("errors", per_sec * 100.0 * again)
                    .num("work_secs", *per_sec)
            })
            .collect(),
    )
}

/// A controller with rates, on a cluster where nothing else is wrong.
fn busy(name: &str, rates: &[(&str, f64, f64)], sent: f64, rows: &[(&str, f64)]) -> Plane {
    Plane::with(Cause::None)
        .settings(name, &[("v", "2")])
        .put(&keys::RECONCILES, component(name), reconciles(rates))
        .put(&keys::CLIENT_REQUESTS_RATE, component(name), sent)
        .put(&keys::CLIENT_REQUESTS, component(name), requests(rows))
}

#[test]
fn endless_requeues_are_told_from_work() {
    let bmo = "baremetal-operator-controller-manager";
    let spins = busy(
        bmo,
        &[("baremetalhost", 10.0, 1.0)],
        20.0,
        &[("GET 404", 800.0), ("GET 200", 1200.0)],
    );
    let advice = spins
        .find("endless-baremetal-operator-controller-manager-baremetalhost")
        .unwrap();
    assert!(advice.why.contains("404"), "{}", advice.why);
    let works = busy(
        bmo,
        &[("baremetalhost", 10.0, 0.1)],
        20.0,
        &[("PATCH 200", 1500.0), ("GET 200", 500.0)],
    );
    assert_eq!(works.advice(), []);
}

#[test]
fn unchanged_objects_and_reads_past_the_cache() {
    let plane = |rows: &[(&str, f64)]| {
        busy("gateway/operator", &[("Functions", 30.0, 0.0)], 32.0, rows)
            .objects(&[("functions.openfaas.com", 65_000.0)])
    };
    let reads = plane(&[("GET 200", 3180.0), ("PUT 200", 20.0)]);
    let all = reads.advice();
    let ids: Vec<&str> = all.iter().map(|a| a.id.as_str()).collect();
    assert_eq!(
        ids,
        ["unchanged-gateway-operator", "uncached-gateway-operator"]
    );
    assert!(all.iter().all(|a| a.strength == Strength::Candidate));
    let writes = plane(&[("GET 200", 200.0), ("PUT 200", 3000.0)]);
    assert_eq!(writes.advice(), []);
}

#[test]
fn a_hungry_manager_beside_one_that_is_not() {
    let kcp = "capi-kubeadm-control-plane-controller-manager";
    let core = "capi-controller-manager";
    let plane = |cpu: f64| {
        Plane::with(Cause::None)
            .put(
                &keys::RECONCILES,
                component(kcp),
                reconciles(&[("kubeadmcontrolplane", 2.0, 0.0)]),
            )
            .put(
                &keys::RECONCILES,
                component(core),
                reconciles(&[("cluster", 2.0, 0.0)]),
            )
            .put(&keys::PROCESS_CPU, component(kcp), cpu)
            .put(&keys::PROCESS_CPU, component(core), 0.1)
            .advice()
    };
    let all = plane(1.8);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].why.contains("8602"), "{}", all[0].why);
    assert_eq!(plane(0.3), []);
}

#[test]
fn replicas_without_a_leader() {
    let plane = |replicas: f64, set: &str| {
        Plane::with(Cause::None)
            .settings("gateway/operator", &[("leader_election", set)])
            .put(
                &keys::WORKLOADS,
                component("gateway/operator"),
                workload(Some("openfaas-operator"), replicas),
            )
            .advice()
    };
    assert_eq!(plane(3.0, "false").len(), 1);
    assert_eq!(plane(3.0, "true"), []);
    assert_eq!(plane(1.0, "false"), []);
}

#[test]
fn a_container_that_only_has_the_name_is_somebody_else() {
    let all = Plane::with(Cause::ClientThrottling)
        .fails("client-throttled", component("gateway"), Warn)
        .put(&keys::WORKLOADS, component("gateway"), workload(None, 3.0))
        .put(
            &keys::LOGS_THROTTLING,
            component("gateway"),
            throttling(40.0, 4_000.0),
        )
        .advice();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (all[0].target.as_str(), all[0].strength),
        ("gateway", Strength::Candidate)
    );
    assert_eq!(all[0].setting, "client QPS and burst");
}

#[test]
fn one_message_that_is_the_log() {
    let plane = |records: f64| {
        Plane::with(Cause::None)
            .put(
                &keys::LOGS_MESSAGES,
                component("gateway/operator"),
                table(vec![
                    Row::new("Deployment not available for function").num("records", records),
                ]),
            )
            .put(
                &keys::LOGS_COVERAGE,
                Subject::cluster(),
                table(vec![Row::new("gateway/operator").num("lines", 2000.0)]),
            )
            .put(&keys::LOGS_SPAN, Subject::cluster(), 100.0)
            .advice()
    };
    let id = |all: &[Advice], id: &str| all.iter().any(|advice| advice.id == id);
    assert!(id(&plane(1800.0), "log-noise-gateway-operator"));
    // The same error again and again is a question of its own, from one a second on.
    assert!(id(&plane(1800.0), "endless-log-gateway-operator"));
    assert!(!id(&plane(300.0), "log-noise-gateway-operator"));
    assert_eq!(plane(90.0), []);
    // Messages that the program knows count as well, but for those that tell of a fault.
    let known = |kind: &str, log: &str| {
        Plane::with(Cause::None)
            .put(
                &keys::LOGS_EVENTS,
                component("gateway/operator"),
                table(vec![Row::new(kind).num("count", 1800.0)]),
            )
            .put(
                &keys::LOGS_COVERAGE,
                Subject::cluster(),
                table(vec![Row::new(log).num("lines", 2000.0)]),
            )
            .put(&keys::LOGS_SPAN, Subject::cluster(), 100.0)
            .find("log-noise-gateway-operator")
    };
    assert!(known("reflector-watch-ended", "gateway/operator").is_some());
    assert_eq!(known("client-throttled", "gateway/operator"), None);
    // What share of a log it is that others write too is not known.
    assert_eq!(known("reflector-watch-ended", "etcd on cp0"), None);
}

#[test]
fn the_look_at_all_objects_alone_uses_up_the_limit() {
    let name = "capi-controller-manager";
    let plane = |clusters: f64| {
        Plane::with(Cause::None)
            .settings(name, &[("v", "2")])
            .version(name, "v1.7.2")
            .objects(&[("clusters.cluster.x-k8s.io", clusters)])
            .advice()
    };
    // 6000 objects each 600 s are 10 a second: half of 20.
    let all = plane(6000.0);
    assert_eq!(of(&all, "kube-api-qps").strength, Strength::Candidate);
    assert_eq!(of(&all, "kube-api-qps").proposed, "100");
    assert_eq!(plane(5900.0), []);
}

#[test]
fn leases_outlast_the_stall_that_was_seen() {
    let plane = |stall_ms: f64| {
        Plane::with(Cause::QueryLoad)
            .fails("leader-election-lost", component("kube-scheduler"), Warn)
            .settings("kube-scheduler", &[("leader-elect", "true")])
            .put(
                &keys::LOGS_EVENTS,
                component("kube-scheduler"),
                table(vec![Row::new("leaderelection-lost").num("count", 2.0)]),
            )
            .slow_log(vec![
                Row::new("pods")
                    .num("requests", 1.0)
                    .num("max_took_ms", stall_ms),
            ])
            .advice()
    };
    let short = plane(4_000.0);
    assert_eq!(of(&short, "leader-elect-lease-duration").proposed, "60s");
    assert_eq!(of(&short, "leader-elect-renew-deadline").proposed, "40s");
    assert_eq!(of(&short, "leader-elect-retry-period").proposed, "5s");
    let felt = of(&short, "leader-elect-lease-duration");
    assert_eq!(felt.strength, Strength::Recommended);
    // What no try to renew would have felt explains no lost lease.
    let quick = plane(50.0);
    let guess = of(&quick, "leader-elect-lease-duration");
    assert_eq!(guess.strength, Strength::Candidate);
    assert!(guess.why.contains("nothing was seen"), "{}", guess.why);
    let long = plane(50_000.0);
    let seen = of(&long, "leader-elect-renew-deadline");
    assert_eq!(seen.proposed, "107s");
    assert_eq!(seen.strength, Strength::Recommended);
    // A component that lost nothing is left alone.
    assert!(!long.iter().any(|a| a.target == "kube-controller-manager"));
}

#[test]
fn limiter_metrics_take_the_waits_out_of_a_reconcile() {
    let name = "kube-controller-manager";
    let waits = Histogram {
        buckets: vec![Bucket {
            le: 2000.0,
            count: 100.0,
        }],
        sum: 150_000.0,
        max: None,
    };
    let plane = throttled(name)
        .settings(name, &[("kube-api-qps", "20")])
        .put(&keys::CLIENT_LIMITER_WAIT, component(name), waits)
        .put(
            &keys::WORKQUEUES,
            component(name),
            table(vec![
                Row::new("deployment")
                    .num("max_standing_depth", 900.0)
                    .num("adds", 100.0)
                    .num("max_adds_per_sec", 1.0)
                    .num("done", 100.0)
                    .num("work_secs", 160.0),
            ]),
        )
        .put(&keys::CLIENT_REQUESTS_RATE, component(name), 1.0);
    let secs = plane.with_facts(|facts| {
        let process = &facts.processes()[0];
        process.work_secs(&process.loops[0]).unwrap()
    });
    // 1.6 s a reconcile, of which its one request waited 1.5 s.
    assert!((secs - 0.1).abs() < 1e-9, "{secs}");
}

#[test]
fn a_loop_at_the_rate_of_the_bucket_is_pinned_and_one_at_the_rate_of_its_work_is_not() {
    let name = "capi-controller-manager";
    // Three looks at the queue: adds a second between them.
    let plane = |rates: [f64; 3], depth: f64| {
        let phases = rates
            .iter()
            .enumerate()
            .map(|(n, rate)| {
                Row::new(format!("machine|{n}"))
                    .text("queue", "machine")
                    .num("secs", 60.0)
                    .num("adds_per_sec", *rate)
            })
            .collect();
        let mean = rates.iter().sum::<f64>() / 3.0;
        Plane::with(Cause::None)
            .settings(name, &[("v", "2")])
            .version(name, "v1.7.2")
            .put(
                &keys::WORKQUEUES,
                component(name),
                table(vec![
                    Row::new("machine")
                        .num("adds", mean * 180.0)
                        .num("max_standing_depth", depth)
                        .num("max_adds_per_sec", mean),
                ]),
            )
            .put(&keys::WORKQUEUE_PHASES, component(name), table(phases))
            .find("pinned-capi-controller-manager-machine")
    };
    let pinned = plane([10.0, 10.1, 9.9], 300.0).unwrap();
    assert!(pinned.why.contains("10 a second"), "{}", pinned.why);
    assert!(
        pinned.why.contains("do not touch that bucket"),
        "{}",
        pinned.why
    );
    // Ten a second by chance: nothing waits, or the rate moves.
    assert_eq!(plane([10.0, 10.1, 9.9], 0.0), None);
    assert_eq!(plane([2.0, 18.0, 10.0], 300.0), None);
    assert_eq!(plane([30.0, 30.1, 29.9], 300.0), None);
}
