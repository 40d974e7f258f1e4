//! Lists by logs, by kube-apiserver and by etcd itself.

use super::*;
use crate::rules::Status;
use crate::rules::testing::{Set, component, table};

fn logs(lists: f64, items: f64, bound: f64) -> Set {
    Set::new()
        .put(
            &keys::LOGS_REQUESTS,
            Subject::cluster(),
            table(&[
                (
                    "configmaps",
                    &[
                        ("lists", lists),
                        ("list_slow_secs", 30.0),
                        ("slow_secs", 30.0),
                        ("items", items * lists),
                        ("bytes", 0.0),
                    ],
                ),
                ("pods", &[("slow_secs", 70.0), ("lists", 0.0)]),
            ]),
        )
        .put(
            &keys::LOGS_READINDEX_BOUND,
            Subject::cluster(),
            table(&[("all", &[("slow_secs", bound)])]),
        )
}

#[test]
fn large_slow_lists_with_a_large_share_fail() {
    let profile = crate::profile::Profile::default();
    let (page, least) = (profile.get("list-items"), profile.get("list-lines"));
    assert_eq!(
        logs(least, page, 0.0).status(&RULE),
        (Status::Fail, Severity::Warn)
    );
    assert_eq!(logs(least - 1.0, page, 0.0).status(&RULE).0, Status::Pass);
    assert_eq!(logs(least, page - 1.0, 0.0).status(&RULE).0, Status::Pass);
    // A stalled leader makes any key slow.
    assert_eq!(logs(least, page, 51.0).status(&RULE).0, Status::Pass);
    assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
}

#[test]
fn whole_lists_that_keep_etcd_itself_at_work_fail() {
    let profile = crate::profile::Profile::default();
    let (size, busy) = (profile.get("list-size"), profile.get("list-cpu"));
    let with = |bytes: f64, cores: f64, watched: f64| {
        let put = [("count", 500.0 * size)];
        let sent = [("count", 100.0 * bytes)];
        let watched = [("count", watched)];
        let counters: [(&str, &[(&str, f64)]); 5] = [
            ("client-bytes-in", &put),
            ("client-bytes-out", &sent),
            ("puts", &[("count", 1000.0)]),
            ("ranges", &[("count", 100.0), ("per_sec", 10.0)]),
            ("watch-events", &watched),
        ];
        Set::new()
            .put(
                &keys::SERVER_COUNTERS,
                crate::rules::testing::member(),
                table(&counters),
            )
            .put(&keys::PROCESS_CPU, component("etcd"), cores)
    };
    let found = |set: Set| {
        let mut all = logs(1.0, 1.0, 0.0);
        all.0.merge(set.0);
        all.check(&RULE)
    };
    let fails = |set: Set| {
        let findings = found(set);
        findings.iter().any(|f| f.failed() && f.aspect == OWN_CPU)
    };
    assert!(fails(with(size, busy, 0.0)));
    assert!(!fails(with(size * 0.99, busy, 0.0)));
    assert!(!fails(with(size, busy * 0.99, 0.0)));
    // What watchers got is no answer to a read.
    assert!(!fails(with(size, busy, 1.0)));
    // The log says what the lists are of, and the member where they are answered.
    let findings = found(with(size, busy, 0.0));
    assert_eq!(findings[0].subject.name, "configmaps");
    assert_eq!(
        findings[0].subject.node_name(),
        crate::rules::testing::member().name
    );
}

#[test]
fn a_few_slow_lists_a_day_are_no_load() {
    let least = crate::profile::Profile::default().get("list-lines");
    let with = |apart: i64| {
        let row = |n| crate::evidence::Row::new(format!("{}|pods|list", n * apart));
        let rows = (0..20).map(|n| row(n).num("requests", 1.0));
        let seconds = Table {
            rows: rows.collect(),
            ..Table::default()
        };
        let pods = [
            ("lists", 20.0),
            ("list_slow_secs", 2.64),
            ("slow_secs", 2.64),
            ("items", 20.0 * 500.0),
        ];
        Set::new()
            .put_over(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                table(&[("pods", &pods)]),
                86_400,
            )
            .put(
                &keys::LOGS_SLOW_SECONDS,
                crate::rules::testing::member(),
                seconds,
            )
            .status(&RULE)
            .0
    };
    assert!((2.0..=20.0).contains(&least), "the counts above are for it");
    assert_eq!(with(4_000), Status::Pass);
    assert_eq!(with(10), Status::Fail);
}

#[test]
fn lists_that_are_no_slower_than_reads_of_one_object_are_no_cause() {
    let with = |gets: f64, get_secs: f64| {
        Set::new().put(
            &keys::LOGS_REQUESTS,
            Subject::cluster(),
            table(&[
                (
                    "configmaps",
                    &[
                        ("lists", 60.0),
                        ("list_slow_secs", 60.0),
                        ("slow_secs", 60.0),
                        ("items", 60.0 * 2500.0),
                        ("bytes", 60.0 * 4.4e6),
                    ],
                ),
                ("pods", &[("gets", gets), ("slow_secs", gets * get_secs)]),
            ]),
        )
    };
    assert_eq!(with(60.0, 0.5).status(&RULE).0, Status::Fail);
    assert_eq!(with(60.0, 0.9).status(&RULE).0, Status::Pass);
    assert_eq!(with(59.0, 0.9).status(&RULE).0, Status::Fail);
}

#[test]
fn lines_of_a_lowered_threshold_are_not_slowness() {
    let with = |secs: f64| {
        Set::new().put(
            &keys::LOGS_REQUESTS,
            Subject::cluster(),
            table(&[(
                "configmaps",
                &[
                    ("lists", 200.0),
                    ("list_slow_secs", secs),
                    ("slow_secs", secs),
                    ("items", 200.0 * 2500.0),
                    ("bytes", 200.0 * 4.4e6),
                ],
            )]),
        )
    };
    // Of 100 s.
    assert_eq!(with(1.0).status(&RULE).0, Status::Fail);
    assert_eq!(with(0.9).status(&RULE).0, Status::Pass);
}

#[test]
fn exact_counts_decide_where_they_exist() {
    let with = |list_secs: f64| {
        Set::new().put(
            &keys::APISERVER_ETCD_REQUESTS,
            component("kube-apiserver"),
            table(&[
                (
                    "configmaps",
                    &[
                        ("lists", 100.0),
                        ("list_secs", list_secs),
                        ("total_secs", list_secs),
                    ],
                ),
                (
                    "leases",
                    &[("lists", 0.0), ("list_secs", 0.0), ("total_secs", 10.0)],
                ),
            ]),
        )
    };
    assert_eq!(with(50.0).status(&RULE), (Status::Fail, Severity::Warn));
    // 100 lists in 9.9 s are 99 ms each: fast.
    assert_eq!(with(9.9).status(&RULE).0, Status::Pass);
}

/// A load balancer spreads one client's lists over all kube-apiservers.
#[test]
fn lists_through_several_apiservers_are_one_finding() {
    let with = |lists: [f64; 3]| {
        let nodes = ["a", "b", "c"].into_iter().zip(lists);
        let set = nodes.fold(Set::new(), |set, (node, lists)| {
            let took = [
                ("lists", lists),
                ("list_secs", lists),
                ("total_secs", lists),
            ];
            set.put(
                &keys::APISERVER_ETCD_REQUESTS,
                Subject::new(SubjectKind::Component, "kube-apiserver").on(node),
                table(&[("configmaps", &took), ("leases", &[("total_secs", 10.0)])]),
            )
        });
        let found = set.check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let least = crate::profile::Profile::default().get("list-rate") * 100.0;
    let spread = with([least / 2.0, least / 2.0, 0.0]);
    let words = format!("{least:.0} lists of configmaps through 2 kube-apiservers took");
    assert!(spread.message.starts_with(&words), "{}", spread.message);
    // The third waits for etcd as well.
    let share = least / (least + 30.0) * 100.0;
    let words = format!("{share:.0} % of the time the apiserver waited");
    assert!(spread.message.contains(&words), "{}", spread.message);
    assert_eq!(spread.evidence.len(), 2);
    assert_eq!(
        with([least / 2.0, least / 2.0 - 1.0, 0.0]).status,
        Status::Pass
    );
    let one = with([least, 0.0, 0.0]);
    assert!(
        one.message
            .starts_with(&format!("{least:.0} lists of configmaps took"))
    );
}
