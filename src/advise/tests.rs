//! What the models say, and what they must not say, on small control planes made by hand.

use proptest::prelude::*;

use crate::diagnosis::Cause;
use crate::evidence::{Bucket, Histogram, Row, Subject, SubjectKind, keys};
use crate::rules::Severity::{Critical, Info, Warn};

use super::testing::{Plane, component, table};
use super::{Advice, Remedy, Strength};

mod clients;
mod controllers;
mod disks;
mod inflight;
mod probes;
mod ratchet;
mod shards;

/// The one on a setting.
fn of<'a>(all: &'a [Advice], setting: &str) -> &'a Advice {
    all.iter()
        .find(|advice| advice.setting == setting)
        .unwrap_or_else(|| panic!("no advice on {setting}: {all:?}"))
}

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
    Cause::MemberDown,
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
