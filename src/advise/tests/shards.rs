//! Which resource to move to an etcd of its own, and when not.

use super::super::{Bound, Disposition};
use super::*;

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
fn events_come_before_leases_where_they_are_more() {
    let why = |events: f64, leases: f64| {
        let mut rows = vec![
            row("leases.coordination.k8s.io", 900.0, 0.0, leases),
            row("pods", 10.0, 0.0, 5.0),
        ];
        if events > 0.0 {
            rows.push(row("events", 900.0, 0.0, events));
        }
        let plane = large(Cause::QueryLoad).slow_log(rows);
        plane.find("shard-leases").unwrap().why
    };
    assert!(why(90.0, 10.0).contains("takes more away"));
    assert!(why(10.0, 90.0).contains("takes less away"));
    let none = why(0.0, 90.0);
    assert!(!none.contains("split off events"), "{none}");
}

#[test]
fn without_a_cause_the_shard_is_no_first_step() {
    let shard = |cause| {
        let plane = large(cause)
            .fails(
                "events-dominate",
                Subject::new(SubjectKind::Resource, "events"),
                Warn,
            )
            .slow_log(seed());
        plane.find("shard-events").unwrap()
    };
    assert_eq!(shard(Cause::QueryLoad).strength, Strength::Recommended);
    let open = shard(Cause::Unknown);
    assert_eq!(open.strength, Strength::Candidate);
    assert!(open.why.contains("is not shown"), "{}", open.why);
}

#[test]
fn reads_of_one_object_are_taken_off_as_well() {
    let events = |told: bool| {
        let row = Row::new("events")
            .num("requests", 120.0)
            .num("lists", 40.0)
            .num("gets", 40.0)
            .num("counts", 40.0)
            .num("slow_secs", 80.0)
            .num("list_slow_secs", 40.0)
            .num("write_slow_secs", 0.0);
        match told {
            true => row.num("get_slow_secs", 25.0),
            false => row,
        }
    };
    let pods = || row("pods", 30.0, 0.0, 20.0);
    let relief = |told| {
        let plane = large(Cause::QueryLoad).slow_log(vec![events(told), pods()]);
        let advice = plane.find("shard-events").unwrap();
        advice.relief.unwrap().slow_seconds.unwrap()
    };
    assert!((relief(true) - 0.65).abs() < 1e-9, "{}", relief(true));
    // Of an earlier version: two of three requests are no count polls.
    let share = 80.0 * 2.0 / 3.0 / 100.0;
    assert!((relief(false) - share).abs() < 1e-9, "{}", relief(false));
    // Counters of kube-apiserver, where nothing is an upper bound.
    let counted = |name: &str, gets: f64| {
        Row::new(name)
            .num("requests", 100.0)
            .num("gets", 50.0)
            .num("writes", 50.0)
            .num("total_secs", 10.0)
            .num("list_secs", 0.0)
            .num("get_secs", gets)
            .num("write_secs", 10.0 - gets)
    };
    let rows = vec![counted("events", 6.0), counted("pods", 1.0)];
    let plane = large(Cause::QueryLoad).put(
        &keys::APISERVER_ETCD_REQUESTS,
        component("kube-apiserver"),
        table(rows),
    );
    let relief = plane.find("shard-events").unwrap().relief.unwrap();
    assert_eq!(relief.slow_seconds, Some(0.5));
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
fn overrides_that_differ_by_node_are_never_proposed_together() {
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
        .find("shard-events");
    // Merged, each kube-apiserver would look for its pods or jobs in an empty etcd.
    assert!(shard.is_none(), "{shard:?}");
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

/// The first node of kubeadm names itself alone in `--initial-cluster`, however many joined later.
#[test]
fn a_shard_is_written_only_where_all_members_are_known() {
    let on = |cluster: &str, peers: usize| {
        let plane = Plane::with(Cause::QueryLoad)
            .fails("slow-requests", Subject::cluster(), Warn)
            .nodes(4100.0)
            .slow_log(seed())
            .settings("etcd", &[("initial-cluster", cluster)]);
        let rows = (0..peers).map(|at| Row::new(format!("peer{at}")).num("count", 9.0));
        let member = Subject::new(SubjectKind::Member, "cp0");
        let plane = match peers {
            0 => plane,
            _ => plane.put(&keys::PEER_RTT_BY, member, table(rows.collect())),
        };
        let advice = plane.find("shard-events").unwrap();
        (advice.proposed, advice.disposition)
    };
    let one = "cp0=https://10.0.0.1:2380";
    let two = format!("{one},cp1=https://10.0.0.2:2380");
    let three = format!("{two},cp2=https://10.0.0.3:2380");
    for known in [one, &two] {
        let (proposed, disposition) = on(known, 0);
        assert!(proposed.contains("https://10.0.0.1:2382;"), "{proposed}");
        assert!(proposed.contains("<etcd-3>"), "{proposed}");
        assert_eq!(disposition, Disposition::ShowOnly);
    }
    let all = "/events#https://10.0.0.1:2382;https://10.0.0.2:2382;https://10.0.0.3:2382";
    let written = |peers| (all.to_owned(), peers, Disposition::Disruptive);
    for peers in [0, 2] {
        let (proposed, disposition) = on(&three, peers);
        assert_eq!((proposed, peers, disposition), written(peers));
    }
    // Members that probe more peers than anybody names.
    let (proposed, disposition) = on(&three, 4);
    assert!(proposed.contains("<etcd-4>"), "{proposed}");
    assert_eq!(disposition, Disposition::ShowOnly);
    assert_eq!(on(&two, 1).1, Disposition::Disruptive);
}

/// A large cluster under load, of whose settings nothing is known.
fn bare() -> Plane {
    Plane::with(Cause::QueryLoad)
        .fails("slow-requests", Subject::cluster(), Warn)
        .nodes(4100.0)
        .version("kube-apiserver", "v1.20.6")
        .slow_log(seed())
}

/// A large cluster whose kube-apiservers say this of their overrides, node by node.
fn by_node(values: &[&str]) -> Plane {
    values
        .iter()
        .enumerate()
        .fold(bare(), |plane, (at, value)| {
            let source = if value.is_empty() { "default" } else { "flag" };
            plane.put(
                &keys::SETTINGS,
                component("kube-apiserver").on(format!("cp{at}")),
                table(vec![
                    Row::new("etcd-servers-overrides")
                        .text("value", *value)
                        .text("source", source),
                ]),
            )
        })
}

#[test]
fn nothing_is_rolled_over_overrides_that_differ() {
    let events = "/events#https://a:2382;https://b:2382";
    // A roll-out that stopped half way is finished.
    let half = by_node(&[events, "", ""]).find("shard-events").unwrap();
    assert_eq!(half.strength, Strength::Recommended);
    assert_eq!(half.proposed, events);
    assert!(half.why.contains("cp0 keeps events in"), "{}", half.why);
    assert!(!half.now.unwrap().contains('#'));
    // Different servers, or leases in two places: which is right is not in the settings.
    for values in [
        ["/events#https://a:2382", "/events#https://b:2382", ""],
        ["coordination.k8s.io/leases#https://a:2385", "", ""],
    ] {
        let all = by_node(&values).advice();
        let written = all
            .iter()
            .find(|a| a.remedy == Remedy::Shard && a.proposed.contains('#'));
        assert!(written.is_none(), "{values:?}: {written:?}");
    }
    // The same everywhere is done.
    assert!(by_node(&[events, events]).find("shard-events").is_none());
}

#[test]
fn a_shard_takes_ports_that_nothing_has_and_the_scheme_of_main_etcd() {
    let with = |etcd: &[(&str, &str)], apiserver: &[(&str, &str)]| {
        bare()
            .settings("etcd", etcd)
            .settings("kube-apiserver", apiserver)
            .find("shard-events")
            .unwrap()
    };
    let servers = "http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379";
    let plain = with(
        &[("listen-metrics-urls", "http://127.0.0.1:2381")],
        &[
            ("etcd-servers", servers),
            ("etcd-prefix", "/k8s"),
            ("event-ttl", "24h0m0s"),
        ],
    );
    assert!(
        plain.proposed.starts_with("/events#http://10.0.0.1:2382;"),
        "{}",
        plain.proposed
    );
    assert!(plain.verify.contains("get /k8s/events"), "{}", plain.verify);
    assert!(plain.verify.contains("24h0m0s"), "{}", plain.verify);
    let moved = with(
        &[("listen-metrics-urls", "http://127.0.0.1:2384")],
        &[("etcd-servers", &servers.replace("http:", "https:"))],
    );
    assert!(
        moved.proposed.starts_with("/events#https://10.0.0.1:2392;"),
        "{}",
        moved.proposed
    );
    assert!(moved.why.contains("port 2384 is"), "{}", moved.why);
}

#[test]
fn leases_that_were_counted_beat_what_nodes_should_ask_for() {
    let counted = |leases: f64, others: f64| {
        let row = |name: &str, writes: f64| {
            Row::new(name)
                .num("requests", writes)
                .num("writes", writes)
                .num("total_secs", writes / 100.0)
        };
        let rows = vec![
            row("leases.coordination.k8s.io", leases),
            row("pods", others),
        ];
        large(Cause::QueryLoad)
            // Over a hundred seconds.
            .put_timed(
                &keys::APISERVER_ETCD_REQUESTS,
                component("kube-apiserver"),
                table(rows),
            )
            .find("shard-leases")
            .unwrap()
    };
    let few = counted(330.0, 9000.0);
    assert_eq!(few.strength, Strength::Refused);
    assert!(few.why.contains("3.3 writes of leases a second"), "{few:?}");
    let many = counted(30_000.0, 9000.0);
    assert_ne!(many.strength, Strength::Refused);
    assert!(many.effect.contains("300 writes a second"), "{many:?}");
}
