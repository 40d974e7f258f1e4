//! Clients before scaling: who is to be asked, and what limits them.

use super::*;
use crate::advise::Disposition;
use crate::diagnosis::Role;
use crate::rules::load::client_hot_loop::{GONE, READS};

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

#[test]
fn whom_the_verdict_accuses_comes_first() {
    let (source, lister) = ("detector/0.8", "exporter/1.7");
    let with = |leads: &str| {
        Plane::with(Cause::QueryLoad)
            .resting_on(&[leads])
            .fails(
                "client-heavy-lists",
                Subject::new(SubjectKind::Client, lister),
                Warn,
            )
            .says(
                "events-dominate",
                Subject::new(SubjectKind::Resource, "events"),
                "91 % of writes are events; 99 % of those in the audit log by detector/0.8",
            )
            .put(
                &keys::LOGS_AUDIT_CLIENTS,
                component("kube-apiserver"),
                audit(&[
                    (source, "sa:detector", "create", "events", 7891.0),
                    (lister, "sa:exporter", "list", "events", 86.0),
                ]),
            )
            .advice()
    };
    let first = |leads| with(leads)[0].id.clone();
    assert_eq!(first("events-dominate"), "client-events-detector-0-8");
    assert_eq!(first("client-heavy-lists"), "client-lists-exporter-1-7");
    let why = with("events-dominate")[0].why.clone();
    assert!(!why.contains("it makes"), "told twice: {why}");
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
fn a_limit_in_a_file_that_was_not_read_is_not_its_default() {
    let hidden = |name: &str| {
        Row::new(name)
            .text("value", "")
            .text("source", "unknown default")
            .text(
                "unread",
                "/etc/kubernetes/config.yaml, which holds the settings, was not read",
            )
    };
    let kcm = || component("kube-controller-manager");
    let all = large(Cause::ClientThrottling)
        .fails("client-throttled", kcm(), Warn)
        .put(
            &keys::SETTINGS,
            kcm(),
            table(vec![hidden("kube-api-burst"), hidden("kube-api-qps")]),
        )
        .put(&keys::LOGS_THROTTLING, kcm(), throttling(40.0, 31_613.7))
        .advice();
    for id in ["kcm-qps", "kcm-burst"] {
        let advice = all.iter().find(|advice| advice.id == id).unwrap();
        assert_eq!(advice.now, None, "{id}");
        assert_eq!(advice.strength, Strength::Candidate, "{id}");
        assert_eq!(advice.disposition, Disposition::ShowOnly, "{id}");
    }
    let qps = all.iter().find(|advice| advice.id == "kcm-qps").unwrap();
    assert!(qps.why.contains("config.yaml"), "{}", qps.why);
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
                .num("max_standing_depth", 900.0)
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

#[test]
fn clients_on_endpoints_are_told_of_slices() {
    let plane = |agent: &str, user: &str, resource: &str| {
        Plane::with(Cause::QueryLoad)
            .put(
                &keys::LOGS_AUDIT_CLIENTS,
                component("kube-apiserver"),
                table(vec![
                    Row::new("a")
                        .text("user", user)
                        .text("user_agent", agent)
                        .text("verb", "watch")
                        .text("resource", resource)
                        .num("requests", 400.0),
                ]),
            )
            .find("endpoints-to-slices")
    };
    let account = "system:serviceaccount:mesh:agent";
    let advice = plane("mesh-agent/1.2 (linux)", account, "endpoints").unwrap();
    assert_eq!(advice.target, "client mesh-agent/1.2");
    assert_eq!(advice.strength, Strength::Candidate);
    assert_eq!(
        plane("mesh-agent/1.2 (linux)", account, "endpointslices"),
        None
    );
    // Kubernetes' own parts mirror them by design.
    let own = "system:kube-controller-manager";
    assert_eq!(
        plane("kube-controller-manager/v1.30.1", own, "endpoints"),
        None
    );
}

#[test]
fn what_a_log_says_of_a_setting_is_in_force_where_no_file_was_read() {
    let said = || table(vec![Row::new("kube-api-qps").text("value", "5")]);
    let now = |plane: &Plane, name: &str| {
        plane.with_facts(|facts| {
            let found = facts.setting("kube-controller-manager", name, Some("20"));
            found.map(|current| current.words())
        })
    };
    let manager = || component("kube-controller-manager");
    let log = Plane::with(Cause::ClientThrottling).put(&keys::LOGS_SETTINGS, manager(), said());
    assert_eq!(now(&log, "kube-api-qps").as_deref(), Some("5"));
    // It says little of the others.
    assert_eq!(now(&log, "kube-api-burst"), None);
    // A file is the truth of now.
    let both = log.settings("kube-controller-manager", &[("kube-api-qps", "50")]);
    assert_eq!(now(&both, "kube-api-qps").as_deref(), Some("50"));
}

#[test]
fn a_loop_is_told_to_change_what_it_does() {
    let client = || Subject::new(SubjectKind::Client, "writer/1.0 (apps)");
    let plane = || Plane::with(Cause::QueryLoad);
    let of = |aspect: &str| {
        let plane = plane().fails_as("client-hot-loop", client(), aspect);
        let all = plane.advice();
        let found = all
            .into_iter()
            .find(|advice| advice.target == "client writer/1.0");
        found.unwrap()
    };
    assert!(of(GONE).verify.contains("404"));
    let reads = of(READS);
    assert!(!reads.verify.contains("404"), "{}", reads.verify);
    assert!(reads.proposed.contains("watch it"), "{}", reads.proposed);
    // Who is only seen to write much is told nothing.
    let writes = plane().fails("client-hot-loop", client(), Info);
    let mut all = writes.advice().into_iter();
    assert!(all.all(|advice| advice.target != "client writer/1.0"));
    // Who sends most of all is no trifle.
    let most = audit(&[("writer/1.0", "apps", "get", "configmaps", 600.0)]);
    let told = plane()
        .fails_as("client-hot-loop", client(), READS)
        .put(&keys::LOGS_AUDIT_CLIENTS, component("kube-apiserver"), most)
        .advice();
    let told = told
        .iter()
        .find(|advice| advice.target == "client writer/1.0");
    let effect = &told.unwrap().effect;
    assert!(effect.contains("100 % of all requests"), "{effect}");
}
