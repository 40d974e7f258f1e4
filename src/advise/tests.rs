//! What the models say, and what they must not say, on small control planes made by hand.

use proptest::prelude::*;

use crate::diagnosis::{Cause, Role};
use crate::evidence::{Bucket, Histogram, Row, Subject, SubjectKind, keys};
use crate::rules::Severity::{Critical, Info, Warn};

use super::testing::{Plane, component, table};
use super::{Advice, Bound, Disposition, Remedy, Strength};

fn row(resource: &str, lists: f64, counts: f64, secs: f64) -> Row {
    Row::new(resource)
        .num("requests", lists + counts)
        .num("lists", lists)
        .num("counts", counts)
        .num("slow_secs", secs)
        .num("list_slow_secs", secs * lists / (lists + counts))
}

/// The totals of a published 4100-node case, by resource.
fn seed() -> Vec<Row> {
    vec![
        row("events", 1308.0, 0.0, 700.0),
        row("pods", 1077.0, 0.0, 600.0),
        row("configmaps", 863.0, 0.0, 400.0),
        row("deployments.apps", 68.0, 0.0, 20.0),
        row("leases.coordination.k8s.io", 49.0, 0.0, 10.0),
    ]
}

fn large(cause: Cause) -> Plane {
    Plane::with(cause)
        .fails("slow-requests", Subject::cluster(), Warn)
        .nodes(4100.0)
        .version("kube-apiserver", "v1.20.6")
        .version("etcd", "3.4.13")
        .settings(
            "kube-apiserver",
            &[(
                "etcd-servers",
                "https://10.0.0.1:2379,https://10.0.0.2:2379",
            )],
        )
}

#[test]
fn a_large_cluster_under_query_load_moves_events_out() {
    let advice = large(Cause::QueryLoad)
        .slow_log(seed())
        .find("shard-events")
        .unwrap();
    assert_eq!(advice.strength, Strength::Recommended);
    assert_eq!(
        advice.proposed,
        "/events#https://10.0.0.1:2382;https://10.0.0.2:2382"
    );
    assert_eq!(advice.disposition, Disposition::Disruptive);
    let relief = advice.relief.unwrap();
    assert_eq!(relief.bound, Bound::UpperBound);
    assert!((relief.requests.unwrap() - 1308.0 / 3365.0).abs() < 1e-9);
    assert!(advice.effect.contains("upper bound"), "{}", advice.effect);
    assert!(advice.why.contains("4100 nodes"), "{}", advice.why);
    // 1.20 does not look at override servers, and does not answer such lists from its cache.
    assert!(!advice.risk.contains("livez?exclude"), "{}", advice.risk);
    assert!(!advice.risk.contains("3.5.13"), "{}", advice.risk);
}

#[test]
fn what_else_comes_to_mind_is_argued_against() {
    let all = large(Cause::QueryLoad).slow_log(seed()).advice();
    let pods = all.iter().find(|a| a.id == "shard-pods").unwrap();
    assert_eq!(pods.strength, Strength::Refused);
    assert!(!pods.proposed.contains('#'));
    assert!(!all.iter().any(|a| a.id == "shard-deployments.apps"));
}

#[test]
fn custom_resources_cannot_be_moved() {
    let all = large(Cause::QueryLoad)
        .slow_log(vec![
            row("functions.openfaas.com", 900.0, 0.0, 900.0),
            row("pods", 1.0, 0.0, 1.0),
        ])
        .advice();
    let custom = all
        .iter()
        .find(|a| a.id == "shard-functions.openfaas.com")
        .unwrap();
    assert_eq!(custom.strength, Strength::Refused);
    assert!(custom.why.contains("cannot be moved"));
    assert!(
        !all.iter()
            .any(|a| a.proposed.contains("functions.openfaas.com#"))
    );
}

#[test]
fn count_polls_are_no_reason_for_a_shard() {
    let polls = seed()
        .into_iter()
        .map(|r| {
            let n = r.get("requests").unwrap();
            row(&r.key, n * 0.05, n * 0.95, r.get("slow_secs").unwrap())
        })
        .collect();
    let all = large(Cause::QueryLoad).slow_log(polls).advice();
    let events = all.iter().find(|a| a.id == "shard-events").unwrap();
    assert_eq!(events.strength, Strength::Refused);
    assert!(events.why.contains("count polls"), "{}", events.why);
    assert!(!events.proposed.contains('#'));
}

#[test]
fn no_shard_first_while_something_else_is_the_verdict() {
    for cause in [Cause::Disk, Cause::Cpu, Cause::Network, Cause::Space] {
        let all = large(cause)
            .fails("wal-sync-stalled", component("etcd"), Critical)
            .fails("etcd-cpu-throttled", component("etcd"), Critical)
            .fails("nospace-alarm", component("etcd"), Critical)
            .slow_log(seed())
            .advice();
        let first = &all[0];
        assert!(first.remedy < Remedy::Shard, "{cause:?}: {}", first.id);
        let shard = all.iter().find(|a| a.id == "shard-events").unwrap();
        assert_eq!(shard.strength, Strength::Candidate, "{cause:?}");
        assert!(shard.why.contains("mend that first"), "{}", shard.why);
        assert!(!all.iter().any(|a| a.remedy == Remedy::ClientLimits));
        assert!(!all.iter().any(|a| a.remedy == Remedy::Inflight));
    }
}

#[test]
fn an_unknown_number_of_nodes_makes_a_candidate() {
    let advice = Plane::with(Cause::QueryLoad)
        .fails("slow-requests", Subject::cluster(), Warn)
        .slow_log(seed())
        .find("shard-events")
        .unwrap();
    assert_eq!(advice.strength, Strength::Candidate);
    assert_eq!(
        advice.disposition,
        Disposition::ShowOnly,
        "no host is known"
    );
    assert!(advice.proposed.contains("<etcd-1>"));
    assert!(advice.why.contains("not known"));
}

#[test]
fn the_threshold_of_nodes_holds_on_both_sides() {
    let at = |nodes: f64| {
        Plane::with(Cause::QueryLoad)
            .fails("slow-requests", Subject::cluster(), Warn)
            .slow_log(seed())
            .nodes(nodes)
            .find("shard-events")
            .unwrap()
            .strength
    };
    assert_eq!(at(499.0), Strength::Refused);
    assert_eq!(at(500.0), Strength::Recommended);
}

#[test]
fn exact_counters_give_exact_relief() {
    let row = |name: &str, writes: f64, secs: f64| {
        Row::new(name)
            .num("requests", writes)
            .num("writes", writes)
            .num("total_secs", secs)
            .num("write_secs", secs)
    };
    let advice = large(Cause::QueryLoad)
        .put(
            &keys::APISERVER_ETCD_REQUESTS,
            component("kube-apiserver"),
            table(vec![row("events", 700.0, 7.0), row("pods", 300.0, 3.0)]),
        )
        .find("shard-events")
        .unwrap();
    let relief = advice.relief.unwrap();
    assert_eq!(relief.bound, Bound::Exact);
    assert_eq!(relief.writes, Some(0.7));
    assert!(!advice.effect.contains("upper bound"));
}

#[test]
fn an_existing_events_shard_is_not_proposed_again_and_others_are_kept() {
    let sharded = Plane::with(Cause::QueryLoad)
        .fails("slow-requests", Subject::cluster(), Warn)
        .slow_log(seed())
        .nodes(4100.0)
        .settings(
            "kube-apiserver",
            &[
                ("etcd-servers-overrides", "/events#https://10.0.0.1:2382"),
                ("etcd-servers", "https://10.0.0.1:2379"),
            ],
        );
    assert_eq!(sharded.find("shard-events"), None);
    let leases = sharded.find("shard-leases").unwrap();
    assert!(
        leases
            .proposed
            .starts_with("/events#https://10.0.0.1:2382,coordination.k8s.io/leases#")
    );
    assert_eq!(leases.disposition, Disposition::ShowOnly);
}

#[test]
fn an_override_without_effect_goes_and_the_shard_is_still_proposed() {
    for idle in [
        "cluster.x-k8s.io/machines#https://10.0.0.1:2390",
        "events.k8s.io/events#https://10.0.0.1:2390",
    ] {
        let leases = "coordination.k8s.io/leases#https://10.0.0.1:2385";
        let plane = Plane::with(Cause::QueryLoad)
            .fails("slow-requests", Subject::cluster(), Warn)
            .nodes(4100.0)
            .slow_log(seed())
            .fails("overrides-invalid", component("kube-apiserver"), Warn)
            .settings(
                "kube-apiserver",
                &[
                    ("etcd-servers-overrides", &format!("{idle},{leases}")),
                    ("etcd-servers", "https://10.0.0.1:2379"),
                ],
            );
        let invalid = plane.find("overrides-invalid").unwrap();
        assert!(invalid.proposed.contains(idle), "{}", invalid.proposed);
        let shard = plane.find("shard-events").unwrap();
        assert_eq!(
            shard.proposed,
            format!("{leases},/events#https://10.0.0.1:2382")
        );
        assert!(shard.why.contains(idle), "{}", shard.why);
    }
}

#[test]
fn overrides_that_differ_by_node_are_proposed_together() {
    let one = |node: &str, value: &str| {
        let subject = Subject::new(SubjectKind::Component, "kube-apiserver").on(node);
        let rows = [
            ("etcd-servers-overrides", value),
            ("etcd-servers", "https://10.0.0.1:2379"),
        ]
        .iter()
        .map(|(name, value)| Row::new(*name).text("value", *value).text("source", "flag"))
        .collect();
        (subject, table(rows))
    };
    let (a, on_a) = one("cp0", "/pods#https://10.0.0.1:2390");
    let (b, on_b) = one("cp1", "/jobs#https://10.0.0.1:2391");
    let shard = Plane::with(Cause::QueryLoad)
        .fails("slow-requests", Subject::cluster(), Warn)
        .nodes(4100.0)
        .slow_log(seed())
        .put(&keys::SETTINGS, a, on_a)
        .put(&keys::SETTINGS, b, on_b)
        .find("shard-events")
        .unwrap();
    assert_eq!(
        shard.proposed,
        "/pods#https://10.0.0.1:2390,/jobs#https://10.0.0.1:2391,/events#https://10.0.0.1:2382"
    );
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
fn free_pages_are_given_back_before_the_quota_is_raised() {
    let gib = 1_073_741_824.0;
    let member = || Subject::new(SubjectKind::Member, "etcd-0");
    let with = |in_use: f64| {
        Plane::with(Cause::Space)
            .fails("quota-near-limit", member(), Warn)
            .fails("database-fragmented", member(), Warn)
            .put(&keys::DB_QUOTA, member(), 2.0 * gib)
            .put(&keys::DB_IN_USE, member(), in_use * gib)
            .advice()
    };
    let order = |all: &[Advice]| -> Vec<(String, Strength)> {
        all.iter()
            .filter(|a| a.remedy == Remedy::Space)
            .map(|a| (a.id.clone(), a.strength))
            .collect()
    };
    let all = with(0.3);
    let (defrag, quota) = ("etcd-defrag".to_owned(), "etcd-quota".to_owned());
    assert_eq!(
        order(&all),
        [
            (defrag.clone(), Strength::Recommended),
            (quota.clone(), Strength::Candidate)
        ]
    );
    assert!(
        all.iter()
            .any(|a| a.conflicts.iter().any(|c| c.contains("etcd-defrag")))
    );
    // Full of free pages, the recovery gives them back; full of data, it needs the quota as well.
    let full = |in_use: f64| {
        let all = Plane::with(Cause::Space)
            .fails("nospace-alarm", member(), Critical)
            .fails("database-fragmented", member(), Warn)
            .put(&keys::DB_QUOTA, member(), 2.0 * gib)
            .put(&keys::DB_IN_USE, member(), in_use * gib)
            .advice();
        order(&all)
    };
    let recovery = ("nospace-recovery".to_owned(), Strength::Recommended);
    let raised = |strength| vec![recovery.clone(), (quota.clone(), strength)];
    assert_eq!(full(0.3), raised(Strength::Candidate));
    assert_eq!(full(1.3), raised(Strength::Recommended));
    // More than half of the quota is in use: free pages alone are not room enough.
    assert_eq!(
        order(&with(1.3)),
        [
            (defrag, Strength::Recommended),
            (quota, Strength::Recommended)
        ]
    );
}

#[test]
fn a_kine_datastore_is_not_sharded() {
    let all = Plane::with(Cause::QueryLoad)
        .fails("slow-requests", Subject::cluster(), Warn)
        .slow_log(seed())
        .nodes(4100.0)
        .settings("kube-apiserver", &[("etcd-servers", "unix://kine.sock")])
        .advice();
    assert!(!all.iter().any(|a| a.remedy == Remedy::Shard));
}

fn audit(rows: &[(&str, &str, &str, &str, f64)]) -> crate::evidence::Table {
    table(
        rows.iter()
            .map(|(agent, user, verb, resource, n)| {
                Row::new(format!("{agent} {user} {verb} {resource}"))
                    .text("user_agent", *agent)
                    .text("user", *user)
                    .text("verb", *verb)
                    .text("resource", *resource)
                    .num("requests", *n)
            })
            .collect(),
    )
}

#[test]
fn a_bad_client_is_named_before_anything_is_scaled() {
    let client = Subject::new(SubjectKind::Client, "inventory-scraper/1.0");
    let all = large(Cause::QueryLoad)
        .fails("client-heavy-lists", client, Critical)
        .put(
            &keys::LOGS_AUDIT_CLIENTS,
            component("kube-apiserver"),
            audit(&[(
                "inventory-scraper/1.0",
                "system:serviceaccount:inventory:scraper",
                "list",
                "events",
                600.0,
            )]),
        )
        .slow_log(seed())
        .advice();
    assert_eq!(all[0].id, "client-lists-inventory-scraper-1-0");
    assert_eq!(all[0].target, "client inventory-scraper/1.0");
    let shard = all.iter().find(|a| a.id == "shard-events").unwrap();
    assert_eq!(shard.strength, Strength::Candidate);
    let apf = all.iter().find(|a| a.remedy == Remedy::Apf).unwrap();
    assert_eq!(
        apf.details.get("user").map(String::as_str),
        Some("system:serviceaccount:inventory:scraper")
    );
}

#[test]
fn one_source_of_events_is_named_and_the_small_cluster_gets_no_shard_first() {
    let counters = |name: &str, writes: f64| {
        Row::new(name)
            .num("requests", writes)
            .num("writes", writes)
            .num("total_secs", writes / 100.0)
            .num("write_secs", writes / 100.0)
    };
    let all = Plane::with(Cause::QueryLoad)
        .fails(
            "events-dominate",
            Subject::new(SubjectKind::Resource, "events"),
            Critical,
        )
        .nodes(20.0)
        .settings(
            "kube-apiserver",
            &[("etcd-servers", "https://127.0.0.1:2379")],
        )
        .put(
            &keys::APISERVER_ETCD_REQUESTS,
            component("kube-apiserver"),
            table(vec![counters("events", 7975.0), counters("pods", 800.0)]),
        )
        .put(
            &keys::LOGS_AUDIT_CLIENTS,
            component("kube-apiserver"),
            audit(&[
                (
                    "node-problem-detector/0.8",
                    "system:serviceaccount:monitoring:node-problem",
                    "create",
                    "events",
                    7891.0,
                ),
                (
                    "kubelet/1.36",
                    "system:node:node-01",
                    "create",
                    "events",
                    60.0,
                ),
            ]),
        )
        .advice();
    assert_eq!(all[0].id, "client-events-node-problem-detector-0-8");
    let ids: Vec<&str> = all.iter().map(|a| a.id.as_str()).collect();
    assert!(
        ids.contains(&"event-rate-limit") && ids.contains(&"event-ttl"),
        "{ids:?}"
    );
    let shard = all.iter().find(|a| a.id == "shard-events").unwrap();
    assert_eq!(shard.strength, Strength::Candidate);
    assert!(!ids.iter().any(|id| id.contains("leases")), "{ids:?}");
}

fn throttling(lines: f64, max_ms: f64) -> crate::evidence::Table {
    table(vec![
        Row::new("kube-controller-manager POST pods")
            .num("lines", lines)
            .num("max_delay_ms", max_ms)
            .text("component", "kube-controller-manager")
            .text("verb", "POST")
            .text("resource", "pods"),
    ])
}

fn throttled(qps: &str, burst: &str) -> Plane {
    Plane::with(Cause::ClientThrottling)
        .fails(
            "client-throttled",
            component("kube-controller-manager"),
            Critical,
        )
        .settings(
            "kube-controller-manager",
            &[("kube-api-qps", qps), ("kube-api-burst", burst)],
        )
}

#[test]
fn a_lowered_limit_goes_back_to_the_default_first() {
    let plane = throttled("5", "5").put(
        &keys::LOGS_THROTTLING,
        component("kube-controller-manager"),
        throttling(1245.0, 3900.0),
    );
    let qps = plane.find("kcm-qps").unwrap();
    assert_eq!(
        (qps.now.as_deref(), qps.proposed.as_str()),
        (Some("5"), "20")
    );
    assert_eq!(qps.setting, "kube-api-qps");
    assert_eq!(qps.strength, Strength::Recommended);
    let burst = plane.find("kcm-burst").unwrap();
    assert_eq!(
        (burst.now.as_deref(), burst.proposed.as_str()),
        (Some("5"), "30")
    );
}

#[test]
fn the_seed_gets_qps_and_burst_of_its_size() {
    let plane = large(Cause::QueryLoad)
        .also(Cause::ClientThrottling, Role::Contributing)
        .fails(
            "client-throttled",
            component("kube-controller-manager"),
            Warn,
        )
        .settings("kube-controller-manager", &[("leader-elect", "true")])
        .put(
            &keys::LOGS_THROTTLING,
            component("kube-controller-manager"),
            throttling(40.0, 31_613.7),
        )
        .slow_log(seed());
    let all = plane.advice();
    let qps = all.iter().find(|a| a.id == "kcm-qps").unwrap();
    assert_eq!(
        (qps.now.as_deref(), qps.proposed.as_str()),
        (Some("20 (default)"), "200")
    );
    assert_eq!(qps.strength, Strength::Recommended);
    assert!(qps.why.contains("POST pods"), "{}", qps.why);
    let at = |id: &str| all.iter().position(|a| a.id == id).unwrap();
    assert!(at("shard-events") < at("kcm-qps"));
}

#[test]
fn a_few_lines_at_the_start_are_no_throttling() {
    let plane = throttled("20", "30").put(
        &keys::LOGS_THROTTLING,
        component("kube-controller-manager"),
        throttling(2.0, 1200.0),
    );
    assert_eq!(plane.find("kcm-qps"), None);
}

#[test]
fn metrics_alone_are_enough_and_the_innocent_stay_out() {
    let waits = |count: f64, le: f64| Histogram {
        buckets: vec![
            Bucket {
                le: 5.0,
                count: 10.0,
            },
            Bucket { le, count },
        ],
        sum: count * le,
        max: None,
    };
    let all = throttled("5", "5")
        .settings("kube-scheduler", &[("leader-elect", "true")])
        .put(
            &keys::CLIENT_LIMITER_WAIT,
            component("kube-controller-manager"),
            waits(990.0, 4000.0),
        )
        .put(
            &keys::CLIENT_LIMITER_WAIT,
            component("kube-scheduler"),
            waits(0.0, 4000.0),
        )
        .advice();
    let targets: Vec<&str> = all.iter().map(|a| a.target.as_str()).collect();
    assert!(targets.contains(&"kube-controller-manager"), "{targets:?}");
    assert!(!targets.contains(&"kube-scheduler"), "{targets:?}");
}

#[test]
fn workers_are_raised_when_they_bind_and_not_when_the_limiter_does() {
    let queues = || {
        table(vec![
            Row::new("deployment")
                .num("max_depth", 900.0)
                .num("adds", 100.0)
                .num("work_secs", 50.0),
        ])
    };
    let bound = Plane::with(Cause::ClientThrottling)
        .fails(
            "workqueue-backlog",
            component("kube-controller-manager"),
            Warn,
        )
        .settings("kube-controller-manager", &[])
        .put(
            &keys::WORKQUEUES,
            component("kube-controller-manager"),
            queues(),
        );
    let advice = bound.find("kcm-concurrent-deployment-syncs").unwrap();
    assert_eq!(
        (advice.now.as_deref(), advice.proposed.as_str()),
        (Some("5 (default)"), "10")
    );
    assert_eq!(advice.strength, Strength::Recommended);
    let limited = throttled("20", "30")
        .put(
            &keys::LOGS_THROTTLING,
            component("kube-controller-manager"),
            throttling(99.0, 9e3),
        )
        .put(
            &keys::WORKQUEUES,
            component("kube-controller-manager"),
            queues(),
        );
    assert_eq!(limited.find("kcm-concurrent-deployment-syncs"), None);
}

fn saturated() -> Plane {
    Plane::with(Cause::ApiserverSaturation)
        .fails("apf-rejections", component("kube-apiserver"), Critical)
        .version("kube-apiserver", "v1.36.2")
        .put(
            &keys::APISERVER_ETCD_TOOK,
            component("kube-apiserver"),
            Histogram {
                buckets: vec![Bucket {
                    le: 5.0,
                    count: 1000.0,
                }],
                sum: 2000.0,
                max: None,
            },
        )
}

#[test]
fn inflight_limits_below_the_default_are_restored() {
    let plane = saturated().settings(
        "kube-apiserver",
        &[
            ("max-requests-inflight", "8"),
            ("max-mutating-requests-inflight", "4"),
        ],
    );
    let read = plane.find("inflight-read").unwrap();
    assert_eq!(
        (read.now.as_deref(), read.proposed.as_str()),
        (Some("8"), "400")
    );
    assert_eq!(read.strength, Strength::Recommended);
    let mutating = plane.find("inflight-mutating").unwrap();
    assert_eq!(
        (mutating.now.as_deref(), mutating.proposed.as_str()),
        (Some("4"), "200")
    );
}

#[test]
fn inflight_limits_grow_together_by_published_steps() {
    let plane = |nodes: f64| saturated().nodes(nodes).settings("kube-apiserver", &[]);
    let large = plane(4100.0);
    assert_eq!(large.find("inflight-read").unwrap().proposed, "1000");
    assert_eq!(large.find("inflight-mutating").unwrap().proposed, "500");
    let small = plane(50.0).advice();
    assert!(
        !small
            .iter()
            .any(|a| a.remedy == Remedy::Inflight && a.strength != Strength::Refused)
    );
}

#[test]
fn inflight_limits_are_never_raised_while_etcd_is_slow() {
    let slow = Plane::with(Cause::ApiserverSaturation)
        .fails("apf-rejections", component("kube-apiserver"), Critical)
        .fails("etcd-requests-slow", component("kube-apiserver"), Critical)
        .nodes(4100.0)
        .settings("kube-apiserver", &[]);
    let all = slow.advice();
    let inflight: Vec<_> = all
        .iter()
        .filter(|a| a.remedy == Remedy::Inflight)
        .collect();
    assert_eq!(inflight.len(), 1);
    assert_eq!(inflight[0].strength, Strength::Refused);
    assert!(
        inflight[0].why.contains("3000 and 1000"),
        "{}",
        inflight[0].why
    );
}

#[test]
fn a_healthy_cluster_gets_no_advice() {
    let plane = Plane::with(Cause::None)
        .nodes(20.0)
        .slow_log(seed())
        .fails("quota-default", component("etcd"), Info)
        .fails("database-fragmented", component("etcd"), Info)
        .settings("etcd", &[("quota-backend-bytes", "0")])
        .settings("kube-apiserver", &[])
        .put(
            &keys::LOGS_THROTTLING,
            component("kube-controller-manager"),
            throttling(50.0, 9e3),
        );
    assert_eq!(plane.advice(), []);
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
fn nospace_recovers_in_order() {
    let plane = Plane::with(Cause::Space)
        .fails("nospace-alarm", component("etcd"), Critical)
        .fails("compaction-off", component("kube-apiserver"), Critical)
        .fails("database-fragmented", component("etcd"), Warn)
        .settings("etcd", &[("quota-backend-bytes", "67108864")])
        .settings("kube-apiserver", &[("etcd-compaction-interval", "0")])
        .put(
            &keys::DB_IN_USE,
            Subject::new(SubjectKind::Member, "cp0"),
            66_500_000.0,
        );
    let recovery = plane.find("nospace-recovery").unwrap().proposed;
    let at = |word: &str| recovery.find(word).unwrap();
    assert!(at("compact") < at("defrag") && at("defrag") < at("disarm"));
    let quota = plane.find("etcd-quota").unwrap();
    assert_eq!(
        (quota.now.as_deref(), quota.proposed.as_str()),
        (Some("67108864"), "2147483648")
    );
    assert_eq!(
        plane.find("etcd-compaction-interval").unwrap().proposed,
        "5m0s"
    );
    assert_eq!(
        plane.find("etcd-defrag"),
        None,
        "it is a step of the recovery"
    );
}

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

const RULES: &[&str] = &[
    "filesystem-read-only",
    "wal-fsync-slow",
    "wal-sync-stalled",
    "write-barriers-off",
    "kernel-io-errors",
    "disk-shared",
    "etcd-cpu-throttled",
    "cpu-steal-high",
    "run-delay-high",
    "peer-rtt-high",
    "client-throttled",
    "slow-requests",
    "expensive-lists",
    "events-dominate",
    "client-heavy-lists",
    "client-hot-loop",
    "nospace-alarm",
    "compaction-off",
    "quota-near-limit",
    "database-fragmented",
    "apf-rejections",
    "flag-removed",
    "known-bad-release",
    "liveness-probe-kills",
    "leader-election-tight",
    "heartbeat-election-mismatch",
    "election-timeouts-unequal",
    "inflight-unbalanced",
    "snapshot-count-high",
    "settings-not-applied",
    "unsafe-no-fsync",
    "retries-plateau",
    "workqueue-backlog",
    "quota-above-maximum",
    "event-ttl-long",
    "max-request-bytes-raised",
];
const CAUSES: &[Cause] = &[
    Cause::Disk,
    Cause::Cpu,
    Cause::Network,
    Cause::QueryLoad,
    Cause::Space,
    Cause::Config,
    Cause::ClientThrottling,
    Cause::ApiserverSaturation,
    Cause::None,
    Cause::Unknown,
];

proptest! {
    /// Whatever fails together: complete texts, right order, one value a setting, no scaling
    /// before the remedy of a sick etcd.
    #[test]
    fn any_mixture_keeps_the_order_of_remedies(
        failed in proptest::collection::vec(any::<bool>(), RULES.len()),
        cause in 0..CAUSES.len(),
        nodes in proptest::option::of(0u32..9000),
        n in proptest::collection::vec(0.0f64..1e6, 3),
    ) {
        let cause = CAUSES[cause];
        let mut plane = Plane::with(cause)
            .settings("etcd", &[("heartbeat-interval", "100")])
            .settings("kube-controller-manager", &[])
            .put(&keys::LOGS_THROTTLING, component("kube-controller-manager"), throttling(99.0, n[0]))
            .slow_log(vec![row("events", n[1] + 1.0, n[0], n[1]), row("pods", n[2] + 1.0, 0.0, n[2])]);
        if let Some(nodes) = nodes {
            plane = plane.nodes(f64::from(nodes));
        }
        for (rule, failed) in RULES.iter().zip(&failed) {
            if *failed {
                plane = plane.fails(rule, Subject::new(SubjectKind::Client, "agent/1"), Critical);
            }
        }
        let all = plane.advice();
        let mut places: Vec<(String, String)> = Vec::new();
        for advice in all.iter().filter(|a| a.strength != Strength::Refused) {
            let place = (advice.target.clone(), advice.setting.clone());
            prop_assert!(!places.contains(&place), "{place:?} twice");
            places.push(place);
            if cause.blocks_scaling_advice() {
                prop_assert!(advice.remedy != Remedy::ClientLimits && advice.remedy != Remedy::Inflight);
                prop_assert!(advice.remedy != Remedy::Shard || advice.strength == Strength::Candidate);
            }
        }
    }
}

#[test]
fn defragmentation_goes_followers_first_with_its_price() {
    let status = |name: &str, leads: f64| {
        (
            Subject::new(SubjectKind::Member, name),
            Row::new("status")
                .num("leads", leads)
                .num("revision", 42.0)
                .text("endpoint", format!("https://{name}:2379")),
        )
    };
    let plane = [status("a", 1.0), status("b", 0.0), status("c", 0.0)]
        .into_iter()
        .fold(Plane::with(Cause::Space), |plane, (subject, row)| {
            plane.put(&keys::ETCD_STATUS, subject, table(vec![row]))
        })
        .put(
            &keys::DB_IN_USE,
            Subject::new(SubjectKind::Member, "b"),
            2e9,
        )
        .fails("nospace-alarm", Subject::cluster(), Critical);
    let advice = plane.find("nospace-recovery").unwrap();
    let place = |text: &str| {
        advice
            .proposed
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {}", advice.proposed))
    };
    assert!(place("snapshot") < place("etcdctl compact 42"));
    assert!(
        place("compact") < place("https://b:2379")
            && place("https://b:2379") < place("https://c:2379")
    );
    assert!(place("https://c:2379") < place("https://a:2379"));
    assert!(place("(the leader, last)") < place("alarm disarm"));
    // 2 GB at 100 and at 10 MB/s.
    assert!(advice.risk.contains("about 20 s to "), "{}", advice.risk);
    assert!(advice.risk.contains("hardware guide"), "{}", advice.risk);
    // The speed of this disk is better than a guide's: 100 KiB in a millisecond. Small pieces say nothing.
    let curve = |bytes: &str, mean_ms: f64| table(vec![Row::new(bytes).num("mean_ms", mean_ms)]);
    let node = || Subject::new(SubjectKind::Node, "b");
    let plane = plane.put(&keys::BENCH_DISK_CURVE, node(), curve("0008192", 0.5));
    let advice = plane.find("nospace-recovery").unwrap();
    assert!(advice.risk.contains("hardware guide"), "{}", advice.risk);
    let plane = plane.put(&keys::BENCH_DISK_CURVE, node(), curve("0102400", 1.0));
    let advice = plane.find("nospace-recovery").unwrap();
    assert!(
        advice.risk.contains("at most about 19.5 s")
            && advice.risk.contains("`bench disk` wrote 100 KiB"),
        "{}",
        advice.risk
    );
    // What one took here is better still.
    let took = Histogram {
        buckets: vec![Bucket {
            le: 6400.0,
            count: 2.0,
        }],
        sum: 9000.0,
        max: None,
    };
    let measured = plane.put(&keys::DEFRAG, Subject::new(SubjectKind::Member, "b"), took);
    let advice = measured.find("nospace-recovery").unwrap();
    assert!(
        advice.risk.contains("4.5 s as the last one here took"),
        "{}",
        advice.risk
    );
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
fn kubelets_that_flood_get_their_former_event_limit() {
    let plane = |version: &str, agent: &str, qps: &str| {
        Plane::with(Cause::QueryLoad)
            .fails(
                "events-dominate",
                Subject::new(SubjectKind::Resource, "events"),
                Warn,
            )
            .version("kubelet", version)
            .settings("kubelet", &[("event-qps", qps)])
            .put(
                &keys::LOGS_AUDIT_CLIENTS,
                component("kube-apiserver"),
                table(vec![
                    Row::new("a")
                        .text("user", "system:node:n1")
                        .text("user_agent", agent)
                        .text("verb", "create")
                        .text("resource", "events")
                        .num("requests", 900.0),
                ]),
            )
    };
    let advice = plane("v1.30.1", "kubelet/v1.30.1 (linux/amd64)", "50")
        .find("kubelet-event-qps")
        .unwrap();
    assert_eq!(
        (advice.setting.as_str(), advice.proposed.as_str()),
        ("event-qps", "5")
    );
    for (version, agent, qps) in [
        ("v1.26.3", "kubelet/v1.26.3", "5"),
        ("v1.30.1", "node-problem-detector/0.8", "50"),
        ("v1.30.1", "kubelet/v1.30.1", "5"),
    ] {
        let none = plane(version, agent, qps).find("kubelet-event-qps");
        assert_eq!(none, None, "{version} {agent} {qps}");
    }
}

#[test]
fn what_is_set_may_already_be_the_answer() {
    // The log may be older than a limit that would be its answer; then nothing is recommended.
    let plane = |qps: &str| {
        Plane::with(Cause::ClientThrottling)
            .fails(
                "client-throttled",
                component("kube-controller-manager"),
                Warn,
            )
            .nodes(4100.0)
            .settings(
                "kube-controller-manager",
                &[("kube-api-qps", qps), ("kube-api-burst", qps)],
            )
            .put(
                &keys::LOGS_THROTTLING,
                component("kube-controller-manager"),
                table(vec![
                    Row::new("GET pods")
                        .text("verb", "GET")
                        .text("resource", "pods")
                        .num("lines", 90.0)
                        .num("max_delay_ms", 4_000.0),
                ]),
            )
            .find("kcm-qps")
    };
    let first = plane("20").unwrap();
    assert_eq!(
        (first.proposed.as_str(), first.strength),
        ("100", Strength::Recommended)
    );
    let second = plane("100").unwrap();
    assert_eq!(second.strength, Strength::Candidate);
    assert!(second.why.contains("would be the answer"), "{}", second.why);
    // Half a raise is none.
    let half = plane("30").unwrap();
    assert_eq!(
        (half.proposed.as_str(), half.strength),
        ("200", Strength::Recommended)
    );
}

#[test]
fn long_compactions_get_a_shorter_interval_as_a_candidate() {
    let plane = |interval: &str| {
        Plane::with(Cause::QueryLoad)
            .fails(
                "compaction-saw-tooth",
                Subject::new(SubjectKind::Member, "m0"),
                Info,
            )
            .settings("kube-apiserver", &[("etcd-compaction-interval", interval)])
            .find("compaction-smaller")
    };
    let advice = plane("5m0s").unwrap();
    assert_eq!(
        (advice.proposed.as_str(), advice.strength),
        ("2m30s", Strength::Candidate)
    );
    assert_eq!(plane("150s"), None);
    assert_eq!(plane("0"), None, "nobody compacts there");
}
