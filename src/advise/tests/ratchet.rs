//! The same evidence never raises a setting twice: what is advised is written into the settings, and
//! the models are asked again with all else as it was.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::diagnosis::Cause;
use crate::evidence::{Bucket, Histogram, Row, Subject, Table, keys};
use crate::rules::Severity::{Critical, Warn};

use crate::advise::testing::{Plane, component, table};
use crate::advise::{Advice, Remedy, Strength};

type Settings = BTreeMap<String, String>;

/// A component and what is set for it at first.
type Start<'a> = (&'a str, &'a [(&'a str, Option<String>)]);

/// Writes recommended values into the settings, as `patch` does; whether any was new.
fn take(advices: &[Advice], settings: &mut BTreeMap<String, Settings>) -> Vec<String> {
    let mut new = Vec::new();
    for advice in advices {
        let knob = matches!(
            advice.remedy,
            Remedy::ClientLimits
                | Remedy::Inflight
                | Remedy::Space
                | Remedy::Hygiene
                | Remedy::Etcd
                | Remedy::Network
        );
        if advice.strength != Strength::Recommended || !knob {
            continue;
        }
        let own = settings.entry(advice.target.clone()).or_default();
        if let Some(names) = advice.details.get("remove") {
            for name in names.split(',') {
                if own.remove(name).is_some() {
                    new.push(format!("{} {name} goes", advice.target));
                }
            }
            continue;
        }
        let value = crate::units::parse_go_duration(advice.proposed.as_bytes()).is_some()
            || advice.proposed.parse::<f64>().is_ok();
        if !value {
            continue;
        }
        let old = own.insert(advice.setting.clone(), advice.proposed.clone());
        if old.as_ref() != Some(&advice.proposed) {
            new.push(format!(
                "{} {} {old:?} -> {}",
                advice.target, advice.setting, advice.proposed
            ));
        }
    }
    new
}

/// Asks until nothing new comes; more than once is a ratchet.
fn settles(start: &[Start<'_>], plane: impl Fn() -> Plane) {
    let mut settings: BTreeMap<String, Settings> = start
        .iter()
        .map(|(name, all)| {
            let all = all
                .iter()
                .filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
            ((*name).to_owned(), all.collect())
        })
        .collect();
    let ask = |settings: &BTreeMap<String, Settings>| {
        let mut plane = plane();
        for (name, own) in settings {
            let mut pairs: Vec<(&str, &str)> = vec![("v", "2")];
            pairs.extend(own.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            plane = plane.settings(name, &pairs);
        }
        plane.advice()
    };
    let before = settings.clone();
    let first = take(&ask(&settings), &mut settings);
    let after = settings.clone();
    let second = take(&ask(&settings), &mut settings);
    assert!(
        second.is_empty(),
        "from {before:?}\nfirst {first:?}\nto {after:?}\nagain {second:?}"
    );
}

fn waits(name: &str, lines: u32, ms: f64) -> Table {
    table(vec![
        Row::new(format!("get secrets {name}"))
            .num("lines", f64::from(lines))
            .num("max_delay_ms", ms)
            .text("verb", "get")
            .text("resource", "secrets"),
    ])
}

fn around(mean: f64) -> Histogram {
    Histogram {
        buckets: vec![Bucket {
            le: mean * 2.0,
            count: 100.0,
        }],
        sum: mean * 100.0,
        max: None,
    }
}

/// Component, version, QPS, burst, workers, and the queue that those serve.
const CLIENTS: &[(&str, &str, &str, &str, &str, &str)] = &[
    (
        "kube-controller-manager",
        "v1.31.2",
        "kube-api-qps",
        "kube-api-burst",
        "concurrent-deployment-syncs",
        "deployment",
    ),
    (
        "kube-scheduler",
        "v1.31.2",
        "kube-api-qps",
        "kube-api-burst",
        "parallelism",
        "",
    ),
    (
        "cert-manager",
        "v1.15.0",
        "kube-api-qps",
        "kube-api-burst",
        "concurrent-workers",
        "certificates",
    ),
    (
        "capi-controller-manager",
        "v1.7.1",
        "kube-api-qps",
        "kube-api-burst",
        "cluster-concurrency",
        "cluster",
    ),
    (
        "capi-controller-manager",
        "v1.13.1",
        "kube-api-qps",
        "kube-api-burst",
        "cluster-concurrency",
        "cluster",
    ),
    (
        "baremetal-operator-controller-manager",
        "v0.6.0",
        "kube-api-qps",
        "kube-api-burst",
        "controller-concurrency",
        "baremetalhost",
    ),
    (
        "gateway/operator",
        "",
        "kube_client_qps",
        "kube_client_burst",
        "reconcile_workers",
        "Functions",
    ),
    (
        "kyverno-background-controller",
        "v1.12.0",
        "clientRateLimitQPS",
        "clientRateLimitBurst",
        "genWorkers",
        "",
    ),
    (
        "kustomize-controller",
        "v1.3.0",
        "kube-api-qps",
        "kube-api-burst",
        "concurrent",
        "kustomization",
    ),
];

/// A starting value: not set, one of those that people use, or anything.
fn knob() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        prop::sample::select(vec![1, 2, 5, 10, 20, 30, 50, 100, 200, 250, 500])
            .prop_map(|n| Some(n.to_string())),
        (1u32..600).prop_map(|n| Some(n.to_string())),
        (1u32..100).prop_map(|n| Some(format!("{}", f64::from(n) / 10.0))),
    ]
}

/// At least a thousand: most of the ways to a second raise are narrow.
fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.max(1000),
        ..usual
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn limits_of_clients(
        which in 0..CLIENTS.len(),
        (qps, burst) in (knob(), knob()),
        workers in prop::option::of(1u32..120),
        (lines, ms) in (3u32..500, 1000.0f64..60_000.0),
        measured in prop::option::of((0.05f64..1.0, prop::option::of(100.0f64..5000.0))),
        nodes in prop::option::of(1u32..6000),
        objects in prop::option::of(1u32..2000),
        (depth, adds, done) in (0.0f64..500.0, 0.1f64..200.0, 0.01f64..1.0),
        secs in prop::option::of(0.001f64..5.0),
        limit_shown in any::<bool>(),
        throttled in any::<bool>(),
    ) {
        let (name, version, qps_name, burst_name, workers_name, queue) = CLIENTS[which];
        let start: Vec<(&str, Option<String>)> = vec![
            (qps_name, qps.clone()),
            (burst_name, burst),
            (workers_name, workers.map(|n| n.to_string())),
        ];
        let rate = qps.as_ref().map_or(20.0, |qps| qps.parse::<f64>().unwrap());
        settles(&[(name, &start)], || {
            let mut plane = Plane::with(Cause::ClientThrottling)
                .fails("workqueue-backlog", component(name), Warn)
                .version(name, version);
            if throttled {
                plane = plane
                    .fails("client-throttled", component(name), Warn)
                    .put(&keys::LOGS_THROTTLING, component(name), waits(name, lines, ms));
            }
            if let Some((share, mean)) = measured {
                // A client sends at most what its limit lets through.
                plane = plane.put(&keys::CLIENT_REQUESTS_RATE, component(name), rate * share);
                if let Some(mean) = mean.filter(|_| throttled) {
                    plane = plane.put(&keys::CLIENT_LIMITER_WAIT, component(name), around(mean));
                }
            }
            if let Some(nodes) = nodes {
                let mut counts = vec![("nodes", f64::from(nodes))];
                if let Some(objects) = objects {
                    counts.push(("clusters.cluster.x-k8s.io", f64::from(objects)));
                }
                plane = plane.objects(&counts);
            }
            if !queue.is_empty() {
                let row = Row::new(queue)
                    .num("max_standing_depth", depth)
                    .num("adds", adds * 60.0)
                    .num("max_adds_per_sec", adds);
                let row = match secs {
                    Some(secs) => row
                        .num("done", adds * 60.0 * done)
                        .num("work_secs", adds * 60.0 * done * secs),
                    None => row,
                };
                plane = plane.put(&keys::WORKQUEUES, component(name), table(vec![row]));
                if limit_shown {
                    let shown = f64::from(workers.unwrap_or(10));
                    let row = Row::new(queue)
                        .num("reconciles", adds * 60.0 * done)
                        .num("per_sec", adds * done)
                        .num("work_secs", adds * 60.0 * done * secs.unwrap_or(0.1))
                        .num("limit_workers", shown)
                        .num("max_active", shown);
                    plane = plane.put(&keys::RECONCILES, component(name), table(vec![row]));
                }
            }
            plane
        });
    }

    #[test]
    fn inflight_limits(
        (read, mutating) in (prop::option::of(0u32..40), prop::option::of(0u32..40)),
        demand in prop::option::of(0.0f64..5000.0),
        shown in any::<bool>(),
        nodes in prop::option::of(1u32..6000),
        lowered in any::<bool>(),
    ) {
        let of = |n: Option<u32>| n.map(|n| (n * 50).to_string());
        let start = [
            ("max-requests-inflight", of(read)),
            ("max-mutating-requests-inflight", of(mutating)),
        ];
        let sum = f64::from(read.map_or(400, |n| n * 50) + mutating.map_or(200, |n| n * 50));
        settles(&[("kube-apiserver", &start)], || {
            let mut plane = Plane::with(Cause::ApiserverSaturation)
                .fails("apf-rejections", component("kube-apiserver"), Critical)
                .version("kube-apiserver", "v1.31.2");
            if lowered {
                plane = plane.fails("inflight-unbalanced", component("kube-apiserver"), Warn);
            }
            if let Some(nodes) = nodes {
                plane = plane.nodes(f64::from(nodes));
            }
            if demand.is_some() || shown {
                let rows = [("system", 30.0), ("workload-low", 180.0), ("global-default", 30.0), ("catch-all", 5.0)]
                    .into_iter()
                    .map(|(level, shares)| {
                        let mut row = Row::new(level).num("rejected", 9.0);
                        if shown {
                            row = row.num("limit_seats", (sum * shares / 245.0).ceil());
                        }
                        match demand {
                            Some(demand) => row.num("max_demand_seats", demand / 4.0),
                            None => row,
                        }
                    })
                    .collect();
                plane = plane.put(&keys::APF_LEVELS, component("kube-apiserver"), table(rows));
            }
            plane
        });
    }

    #[test]
    fn the_quota(
        quota in prop::option::of(prop_oneof![1u64..12, Just(2u64), Just(4), Just(8)]),
        small in any::<bool>(),
        in_use in prop::option::of(0.0f64..10.0),
        measured in any::<bool>(),
        nodes in prop::option::of(1u32..6000),
    ) {
        let unit = if small { 200u64 << 20 } else { 1 << 30 };
        let start = [("quota-backend-bytes", quota.map(|n| (n * unit).to_string()))];
        let in_force = quota.map_or((2u64 << 30) as f64, |n| (n * unit) as f64);
        settles(&[("etcd", &start)], || {
            let mut plane = Plane::with(Cause::Space)
                .fails("nospace-alarm", component("etcd"), Critical)
                .version("etcd", "3.5.16");
            if let Some(in_use) = in_use {
                plane = plane.put(&keys::DB_IN_USE, component("etcd"), in_use * (1u64 << 30) as f64);
            }
            if measured {
                plane = plane.put(&keys::DB_QUOTA, component("etcd"), in_force);
            }
            if let Some(nodes) = nodes {
                plane = plane.nodes(f64::from(nodes));
            }
            plane
        });
    }

    #[test]
    fn leader_election(
        renew in prop::option::of(1u32..150),
        stall in prop::option::of(100.0f64..100_000.0),
        tight in any::<bool>(),
    ) {
        let secs = |n: u32| Some(format!("{n}s"));
        let start = [
            ("leader-elect-renew-deadline", renew.and_then(secs)),
            ("leader-elect-lease-duration", renew.and_then(|n| secs(n + n / 2 + 1))),
        ];
        settles(&[("kube-scheduler", &start)], || {
            let mut plane = Plane::with(Cause::None)
                .fails("leader-election-lost", component("kube-scheduler"), Warn)
                .version("kube-scheduler", "v1.31.2")
                .put(
                    &keys::LOGS_EVENTS,
                    component("kube-scheduler"),
                    table(vec![Row::new("leaderelection-lost").num("count", 2.0)]),
                );
            if tight {
                plane = plane.fails("leader-election-tight", component("kube-scheduler"), Warn);
            }
            if let Some(stall) = stall {
                plane = plane.put(
                    &keys::LOGS_EVENTS,
                    component("etcd"),
                    table(vec![Row::new("wal-sync-slow").num("max_ms", stall)]),
                );
            }
            plane
        });
    }

    #[test]
    fn timers_of_etcd(
        heartbeat in prop::option::of(10u32..3000),
        election in prop::option::of(100u32..50_000),
        rtt in 1.0f64..5000.0,
        stall in prop::option::of(100.0f64..60_000.0),
        mismatch in any::<bool>(),
    ) {
        let start = [
            ("heartbeat-interval", heartbeat.map(|n| n.to_string())),
            ("election-timeout", election.map(|n| n.to_string())),
        ];
        settles(&[("etcd", &start)], || {
            let mut plane = Plane::with(Cause::Network)
                .fails("peer-rtt-high", component("etcd"), Warn)
                .version("etcd", "3.5.16")
                .put(&keys::PEER_RTT, component("etcd"), around(rtt));
            if mismatch {
                plane = plane.fails("heartbeat-election-mismatch", component("etcd"), Warn);
            }
            if let Some(stall) = stall {
                plane = plane.put(
                    &keys::LOGS_EVENTS,
                    Subject::cluster(),
                    table(vec![Row::new("wal-sync-slow").num("max_ms", stall)]),
                );
            }
            plane
        });
    }
}

/// Below its default a limit goes to the default where that is enough, and then it is left alone.
#[test]
fn a_limit_below_its_default_rises_once() {
    for (qps, ms, wanted) in [
        ("5", 3_900.0, "20"),
        ("5", 10_000.0, "100"),
        ("1", 19_000.0, "20"),
        ("20", 60_000.0, "100"),
    ] {
        let name = "kube-controller-manager";
        let plane = |qps: &str, burst: &str| {
            Plane::with(Cause::ClientThrottling)
                .fails("client-throttled", component(name), Warn)
                .put(&keys::LOGS_THROTTLING, component(name), waits(name, 40, ms))
                .settings(name, &[("kube-api-qps", qps), ("kube-api-burst", burst)])
        };
        let raised = plane(qps, "5").find("kcm-qps").unwrap();
        assert_eq!(
            (raised.proposed.as_str(), raised.strength),
            (wanted, Strength::Recommended),
            "{qps} {ms}"
        );
        let burst = plane(qps, "5").find("kcm-burst").unwrap();
        let again = plane(&raised.proposed, &burst.proposed).find("kcm-qps");
        assert!(
            again
                .as_ref()
                .is_none_or(|again| again.strength != Strength::Recommended),
            "{again:?}"
        );
    }
}
