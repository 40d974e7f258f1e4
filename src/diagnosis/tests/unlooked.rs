//! What was not looked at is said: members, the time after one scrape, and only what would tell more.

use super::super::rank::told_whole;
use super::*;
use crate::rules::testing::{episode, episodes};

fn not_looked_at(set: &Set) -> Vec<String> {
    Facts::of(&set.0, &Profile::default()).not_looked_at()
}

fn of_three(set: Set) -> Set {
    settings(
        set,
        etcd("cp1"),
        &[(
            "initial-cluster",
            "cp0=https://a:2380,cp1=https://b:2380,cp2=https://c:2380",
        )],
    )
}

#[test]
fn one_member_of_three_gives_no_all_clear() {
    let lacking = "logs, metrics and host facts of cp0, cp2";
    let one = of_three(syncs(Set::new(), "cp1", 1.0));
    assert_eq!(not_looked_at(&one), [lacking]);
    let found = judged(&one);
    assert!(found.verdict.missing.iter().any(|m| m == lacking));
    assert_eq!(found.ruled_out, [], "{:?}", found.ruled_out);
    // Nor is it kept quiet where a fault was seen and more is lacking.
    let point = |value: f64| crate::rules::testing::each_minute(&[value, value]);
    let lost = of_three(Set::new().put(&keys::HAS_LEADER, member("cp1"), point(0.0)));
    let missing = judged(&lost).verdict.missing;
    assert!(missing.iter().any(|m| m == lacking), "{missing:?}");
    // No sync is counted without a leader, and etcd's metrics are there.
    assert!(!missing.iter().any(|m| m == "metrics of etcd"));
    let all = ["cp0", "cp2"]
        .iter()
        .fold(one, |set, node| syncs(set, node, 1.0));
    // Only one's settings are known.
    assert_eq!(not_looked_at(&all), ["settings of cp0, cp2"]);
}

#[test]
fn a_part_of_one_member_that_is_lacking_gives_no_all_clear() {
    let from = |set: &mut Set, collector: Collector, node: &str| {
        let origin = Origin::new(collector, "test");
        let took = histogram(&[(0.5, 0.0), (1.0, 400.0)]);
        let (key, about) = (&keys::WAL_FSYNC, member(node));
        match collector {
            Collector::Metrics => set.0.put(key, about, Window::default(), origin, took),
            _ => {
                let rows = table(&[("self", &[("deaths", 0.0)])]);
                set.0
                    .put(&keys::LOGS_LIVES, about, Window::default(), origin, rows);
            }
        }
    };
    let of = |logs: &[&str], metrics: &[&str]| {
        let mut set = Set::new();
        let cluster = "cp0=https://a:2380,cp1=https://b:2380,cp2=https://c:2380";
        let settings = Table {
            rows: vec![Row::new("initial-cluster").text("value", cluster)],
            ..Table::default()
        };
        set.0.put(
            &keys::SETTINGS,
            etcd("cp1"),
            Window::default(),
            Origin::new(Collector::Manifest, "test"),
            settings,
        );
        logs.iter()
            .for_each(|node| from(&mut set, Collector::Logs, node));
        let each = metrics.iter();
        each.for_each(|node| from(&mut set, Collector::Metrics, node));
        not_looked_at(&set)
    };
    let settings = "settings of cp0, cp2";
    let all = ["cp0", "cp1", "cp2"];
    assert_eq!(of(&all, &all), [settings]);
    assert_eq!(of(&all, &all[..2]), ["metrics of cp2", settings]);
    assert_eq!(of(&all[1..], &all), ["logs of cp0", settings]);
    // Nobody's metrics: that they lack altogether is said elsewhere.
    assert_eq!(of(&all, &[]), [settings]);
    // Two sources that have names of their own.
    let odd = of(&all, &["m0", "m1"]);
    assert_eq!(odd[0], "metrics of 1 of 3 members", "{odd:?}");
}

#[test]
fn one_scrape_gives_no_all_clear() {
    let with = |completeness: Completeness| {
        let mut set = Set::new();
        set.0.put(
            &keys::WAL_FSYNC,
            member("cp0"),
            Window::default(),
            Origin::new(Collector::Metrics, "test").with(completeness),
            histogram(&[(0.5, 0.0), (1.0, 400.0)]),
        );
        not_looked_at(&set)
    };
    assert_eq!(
        with(Completeness::Estimate),
        ["second scrape of the metrics of etcd"]
    );
    assert_eq!(with(Completeness::Exact), [""; 0]);
}

#[test]
fn a_defragmentation_that_holds_requests_up_asks_for_no_audit_log() {
    let mut done = episode("defrag-finish", 10, 20);
    done.max_ms = Some(9_000.0);
    let mut slow = episode("slow-apply", 11, 19);
    slow.count = 500;
    let took = histogram(&[(100.0, 0.0), (2_000.0, 500.0)]);
    let set = Set::new()
        .put(
            &keys::LOGS_EPISODES,
            member("cp0"),
            episodes(vec![done, slow]),
        )
        .put(&keys::LOGS_REQUESTS_TOOK, Subject::cluster(), took.clone());
    let lacking = lacks(&set);
    assert!(!lacking.iter().any(|m| m.contains("audit")), "{lacking:?}");
    let words = judged(&set).verdict.summary;
    assert!(words.starts_with("a defragmentation held"), "{words}");
    let alone = Set::new().put(&keys::LOGS_REQUESTS_TOOK, Subject::cluster(), took);
    assert!(lacks(&alone).iter().any(|m| m.contains("audit")));
}

#[test]
fn a_state_asks_for_no_longer_look() {
    let found = |rows: &[(&str, &[(&str, f64)])]| {
        run(
            RULES,
            &events(Set::new(), "cp0", rows).0,
            &Profile::default(),
        )
    };
    let drift: &[(&str, f64)] = &[("count", 8.0)];
    assert!(told_whole(&found(&[("clock-drift", drift)])));
    let stalls: &[(&str, f64)] = &[("count", 40.0)];
    assert!(!told_whole(&found(&[
        ("clock-drift", drift),
        ("wal-sync-slow", stalls)
    ])));
}

/// Events that another etcd takes are no load of this one.
#[test]
fn events_of_an_etcd_of_their_own_are_not_blamed() {
    let flood = || {
        let rows: &[(&str, &[(&str, f64)])] = &[
            ("events", &[("writes", 30_000.0)]),
            ("pods", &[("writes", 2_000.0)]),
        ];
        let set = syncs(Set::new(), "cp0", 1.0);
        set.put(&keys::APISERVER_ETCD_REQUESTS, apiserver(), table(rows))
    };
    assert_eq!(judged(&flood()).verdict.cause, Cause::QueryLoad);
    let apart = settings(
        flood(),
        apiserver(),
        &[("etcd-servers-overrides", "/events#https://10.0.0.21:2379")],
    );
    assert_ne!(judged(&apart).verdict.cause, Cause::QueryLoad);
}

/// The client of a cause is the one that its first sentence tells of.
#[test]
fn of_two_clients_the_one_that_is_told_is_named() {
    let row = |agent: &str| {
        Row::new(agent)
            .text("user_agent", agent)
            .text("user", "u")
            .text("verb", "get")
            .text("resource", "pods")
            .num("requests", 2_000.0)
            .num("not_found", 2_000.0)
    };
    let clients = Table {
        rows: vec![row("argocd/v1"), row("operator/v1")],
        ..Table::default()
    };
    let found = judged(&Set::new().put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), clients));
    let cause = &found.causes[0];
    let client = cause.client.as_ref().unwrap();
    assert!(cause.summary.starts_with(&client.name), "{cause:?}");
    assert!(!cause.summary.contains("; the client:"), "{cause:?}");
}
