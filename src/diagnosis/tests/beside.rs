//! Two causes at once, causes outside of etcd, and what nobody looked at.

use super::*;

fn roles(found: &Diagnosis) -> Vec<(Cause, Role)> {
    found.causes.iter().map(|c| (c.cause, c.role)).collect()
}

/// Requests that etcd logged as slow.
fn slow(set: Set) -> Set {
    let took = histogram(&[(100.0, 0.0), (500.0, 400.0)]);
    set.put(&keys::LOGS_REQUESTS_TOOK, Subject::cluster(), took)
}

/// Somebody lists all configmaps without end, and etcd's log tells that those lists take long.
fn lists(set: Set, counted: bool) -> Set {
    let row = Row::new("r")
        .text("user_agent", "inventory/1.0")
        .text("user", "system:serviceaccount:inventory:scraper")
        .text("verb", "list")
        .text("resource", "configmaps")
        .num("requests", 900.0)
        .num("unlimited", 900.0)
        .num("unbounded", 900.0)
        .num("total_secs", 900.0);
    let set = match counted {
        true => set.put(
            &keys::LOGS_AUDIT_CLIENTS,
            Subject::cluster(),
            Table {
                rows: vec![row],
                ..Table::default()
            },
        ),
        false => set,
    };
    set.put(
        &keys::LOGS_REQUESTS,
        Subject::cluster(),
        table(&[(
            "configmaps",
            &[
                ("lists", 177.0),
                ("list_slow_secs", 300.0),
                ("slow_secs", 300.0),
                ("items", 177.0 * 5_000.0),
                ("bytes", 177.0 * 8e6),
            ],
        )]),
    )
}

#[test]
fn lists_that_were_counted_are_a_cause_beside_a_slow_disk() {
    let ill = || measured(syncs(Set::new(), "cp0", 128.0), "cp0", 50.0);
    let both = judged(&lists(ill(), true));
    assert_eq!(both.verdict.cause, Cause::Disk);
    assert!(
        roles(&both).contains(&(Cause::QueryLoad, Role::Contributing)),
        "{:?}",
        roles(&both)
    );
    // Slow lists alone may be the effect.
    let effect = judged(&lists(ill(), false));
    assert_eq!(roles(&effect), [(Cause::Disk, Role::Primary)]);
}

/// Three members with the default timers; the links of the first one are slow.
fn slow_links_of_cp0(disk_ms: f64) -> Set {
    let nodes = ["cp0", "cp1", "cp2"];
    let mut set = Set::new();
    for (at, node) in nodes.iter().enumerate() {
        let far = |peer: usize| if at == 0 || peer == 0 { 111.0 } else { 0.4 };
        let others = (0..3).filter(|peer| *peer != at);
        let rows: Vec<(String, [(&str, f64); 2])> = others
            .map(|peer| {
                (
                    format!("id{}", nodes[peer]),
                    [("count", 60.0), ("mean_ms", far(peer))],
                )
            })
            .collect();
        let rows: Vec<(&str, &[(&str, f64)])> = rows
            .iter()
            .map(|(key, cells)| (key.as_str(), cells.as_slice()))
            .collect();
        let rtt = if at == 0 { 150.0 } else { 70.0 };
        let sync_ms = if at == 0 { disk_ms } else { 1.0 };
        set = probes(syncs(set, node, sync_ms), node, rtt)
            .put(&keys::MEMBER_ID, member(node), format!("id{node}"))
            .put(&keys::PEER_RTT_BY, member(node), table(&rows))
            .put(&keys::LEADER_CHANGES, member(node), 20.0);
        set = settings(
            set,
            etcd(node),
            &[("election-timeout", "1000"), ("heartbeat-interval", "100")],
        );
    }
    set
}

/// Timers that fit the network are not at fault where a disk makes one member answer late.
#[test]
fn late_answers_of_a_stalled_member_blame_no_timers() {
    let stalled = judged(&measured(slow_links_of_cp0(512.0), "cp0", 70.0));
    assert_eq!(stalled.verdict.cause, Cause::Disk);
    assert!(
        stalled.causes.iter().all(|c| c.cause != Cause::Config),
        "{:?}",
        roles(&stalled)
    );
    // A member that is only far away is another matter.
    let far = judged(&measured(slow_links_of_cp0(1.0), "cp0", 0.2));
    assert!(
        far.causes.iter().any(|c| c.cause == Cause::Config),
        "{:?}",
        roles(&far)
    );
}

#[test]
fn a_storm_of_leases_is_load_by_a_client_of_etcd() {
    let with = |felt: bool, sync_ms: f64| {
        let rate = Profile::default().get("leases-granted") * 10.0;
        let granted = table(&[("leases-granted", &[("count", 9e6), ("per_sec", rate)])]);
        let set =
            syncs(Set::new(), "cp0", sync_ms).put(&keys::SERVER_COUNTERS, member("cp0"), granted);
        match felt {
            true => slow(set),
            false => set,
        }
    };
    let storm = judged(&with(true, 1.0));
    assert_eq!(storm.verdict.cause, Cause::QueryLoad);
    let words = &storm.verdict.summary;
    assert!(words.contains("asks etcd directly"), "{words}");
    // Slow syncs that nothing explains make requests slow as well.
    let ill = judged(&with(true, 128.0));
    assert_ne!(ill.verdict.cause, Cause::QueryLoad);
    let fast = judged(&with(false, 1.0));
    assert_eq!(fast.verdict.cause, Cause::Unknown);
    assert_eq!(fast.alternatives[0].cause, Cause::QueryLoad);
    assert!(fast.alternatives[0].settle.contains("2379"));
}

/// What is lacking is what could tell: the evidence of a member that is gone, and no audit log.
#[test]
fn members_that_nobody_looked_at_are_named() {
    let lost: &[(&str, &[(&str, f64)])] = &[("peer-unhealthy", &[("count", 90.0)])];
    let mut set = events(lost_links(&[]), "cp0", lost);
    set.0.retain(|record| record.subject.node_name() != "cp2");
    let row = Row::new("initial-cluster").text(
        "value",
        "cp0=https://a:2380,cp1=https://b:2380,cp2=https://c:2380",
    );
    set.0.put(
        &keys::SETTINGS,
        etcd("cp0"),
        Window::default(),
        Origin::new(Collector::Manifest, "etcd.yaml"),
        Table {
            rows: vec![row],
            ..Table::default()
        },
    );
    let lacking = lacks(&set);
    assert!(lacking[0].ends_with("facts of cp2"), "{lacking:?}");
    assert!(
        lacking.iter().all(|words| !words.contains("audit")),
        "{lacking:?}"
    );
    let slow = slow(Set::new());
    let lacking = lacks(&slow);
    assert!(
        lacking.iter().any(|words| words.contains("audit")),
        "{lacking:?}"
    );
}

/// etcd that gets its CPU says nothing of the others on that host.
#[test]
fn a_host_without_cpu_for_the_apiserver_clears_no_cpu() {
    let with = |pressure: f64| {
        let node = Subject::new(SubjectKind::Node, "cp0");
        let missed = &[
            ("requests", 900.0),
            ("max_p99_low_ms", 2_000.0),
            ("limit_ms", 1_000.0),
        ];
        let set = first_thread(syncs(Set::new(), "cp0", 1.0), 0.02, 0.05, 0.5)
            .put(
                &keys::PRESSURE,
                node,
                table(&[("cpu", &[("max_some", pressure)])]),
            )
            .put(&keys::SLO, apiserver(), table(&[("mutating", missed)]));
        judged(&set)
    };
    let starved = with(0.9);
    assert!(!out(&starved).contains(&Cause::Cpu));
    assert_eq!(starved.alternatives[0].cause, Cause::Cpu);
    assert!(out(&with(0.01)).contains(&Cause::Cpu));
}

/// Calls of a webhook beside requests that wait for a seat.
fn hooked(hook_secs: f64) -> Set {
    let levels = table(&[(
        "workload-low",
        &[
            ("dispatched", 5_000.0),
            ("wait_p99_low_ms", 2_000.0),
            ("wait_secs", 9_000.0),
            ("execution_secs", 20_000.0),
        ],
    )]);
    let hooks = table(&[("a.hooks", &[("calls", 1_000.0), ("total_secs", hook_secs)])]);
    syncs(Set::new(), "cp0", 1.0)
        .put(&keys::APF_LEVELS, apiserver(), levels)
        .put(&keys::APISERVER_WEBHOOKS, apiserver(), hooks)
}

#[test]
fn a_webhook_that_holds_the_seats_is_what_fills_the_apiserver() {
    let found = judged(&hooked(18_000.0));
    assert_eq!(found.verdict.cause, Cause::ApiserverSaturation);
    let words = &found.verdict.summary;
    assert!(words.starts_with("webhook a.hooks took 18 s"), "{words}");
    assert!(words.contains("90 % of the time"), "{words}");
    assert_eq!(found.causes[0].rules[0], "webhook-slow");
    // It is slow, and the seats are held by others.
    let others = judged(&hooked(2_000.0));
    assert!(
        others.causes[0]
            .rules
            .iter()
            .all(|rule| rule != "webhook-slow")
    );
}

/// A size is told of those members that have it, and no member hides behind another program.
#[test]
fn a_full_database_is_told_of_the_members_that_are_full() {
    let sized = |set: Set, node: &str, size: f64| {
        let series = crate::rules::testing::each_minute(&[size]);
        set.put(&keys::DB_SIZE, member(node), series)
            .put(
                &keys::DB_QUOTA,
                member(node),
                2.0 * 1024.0 * 1024.0 * 1024.0,
            )
            .put(
                &keys::LOGS_ALARMS,
                member(node),
                table(&[("NOSPACE", &[("raised", 1.0), ("last_raised_secs", 10.0)])]),
            )
    };
    let gib = 1024.0 * 1024.0 * 1024.0;
    let all = |sizes: [f64; 3]| {
        let mut set = Set::new();
        for (node, size) in ["cp0", "cp1", "cp2"].iter().zip(sizes) {
            set = sized(set, node, size * gib);
        }
        let refused = table(&[("nospace", &[("count", 30.0)])]);
        judged(&set.put(&keys::LOGS_EVENTS, apiserver(), refused))
            .verdict
            .summary
    };
    let one = all([0.9, 0.8, 2.0]);
    assert!(one.ends_with("(cp2)"), "{one}");
    let three = all([2.0, 2.0, 2.0]);
    assert!(three.ends_with("(cp0, cp1, cp2)"), "{three}");
}

/// What is true of one member is not said of those that are slow in another way.
#[test]
fn brackets_name_only_whom_the_numbers_are_of() {
    let throttled = |cp2: f64, cp1: f64| {
        let slow = ["cp0", "cp1", "cp2"]
            .iter()
            .fold(Set::new(), |set, node| syncs(set, node, 64.0));
        let set = slow
            .put(&keys::CGROUP_THROTTLED, etcd("cp0"), 0.0)
            .put(&keys::CGROUP_THROTTLED, etcd("cp1"), cp1)
            .put(&keys::CGROUP_THROTTLED, etcd("cp2"), cp2);
        judged(&set).verdict.summary
    };
    let one = throttled(1.0, 0.0);
    assert!(one.ends_with("(etcd on cp2)"), "{one}");
    let like = throttled(1.0, 1.0);
    assert!(like.ends_with("(etcd on cp1, etcd on cp2)"), "{like}");
    let other = throttled(1.0, 0.5);
    let (first, second) = other.split_once("; with other numbers ").unwrap();
    let told = match first.contains("100 %") {
        true => ("(etcd on cp2", "etcd on cp1)"),
        false => ("(etcd on cp1", "etcd on cp2)"),
    };
    assert!(first.ends_with(told.0) && second == told.1, "{other}");
}

/// Who was turned away is one question, who asks for most another one.
#[test]
fn a_client_that_stands_out_is_named_where_no_answer_429_names_one() {
    let levels = table(&[(
        "workload-low",
        &[("dispatched", 5_000.0), ("rejected", 4_000.0)],
    )]);
    let set = |counted| {
        lists(syncs(Set::new(), "cp0", 1.0), counted).put(
            &keys::APF_LEVELS,
            apiserver(),
            levels.clone(),
        )
    };
    let of = |counted| {
        let mut causes = judged(&set(counted)).causes.into_iter();
        causes
            .find(|c| c.cause == Cause::ApiserverSaturation)
            .unwrap()
    };
    let told = of(true);
    assert!(told.client.is_none(), "{told:?}");
    let words = "who was turned away is not known: no answer 429 names it; ";
    assert!(told.summary.contains(words), "{told:?}");
    assert!(told.summary.ends_with(" stands out"), "{told:?}");
    let untold = of(false);
    assert!(
        untold.summary.contains("the client is not known"),
        "{untold:?}"
    );
}

/// Without etcd its cause stands below kine: what it brings along is no headline.
#[test]
fn a_slow_datastore_is_told_before_the_leases_that_it_costs() {
    let about = |name: &str| Subject::new(SubjectKind::Component, name).on("cp0");
    let of = |kind, row| table(&[(kind, row)]);
    let sql: &[(&str, f64)] = &[("count", 60.0), ("max_ms", 1100.0)];
    let set = Set::new()
        .put(&keys::LOGS_EVENTS, about("kine"), of("kine-sql-slow", sql))
        .put(
            &keys::LOGS_EVENTS,
            about("kube-controller-manager"),
            of("leaderelection-lost", &[("count", 6.0)]),
        );
    let found = judged(&set);
    assert_eq!(found.verdict.cause, Cause::Unknown);
    let summary = &found.verdict.summary;
    assert!(summary.starts_with("the datastore below kine"), "{summary}");
}

/// As with a slow disk: few seats are a cause of their own, whatever the primary one is.
#[test]
fn few_seats_beside_a_full_database_are_no_consequence() {
    let full = |set: Set| events(set, "cp0", &[("disk-full", &[("count", 3.0)])]);
    let role = |set: Set| -> Vec<Role> {
        judged(&full(waiting(set)))
            .causes
            .iter()
            .filter(|c| c.cause == Cause::ApiserverSaturation)
            .map(|c| c.role)
            .collect()
    };
    let few = settings(
        syncs(Set::new(), "cp0", 1.0),
        apiserver(),
        &[
            ("max-mutating-requests-inflight", "4"),
            ("max-requests-inflight", "8"),
        ],
    );
    assert_eq!(role(few), [Role::Contributing]);
    assert_eq!(role(syncs(Set::new(), "cp0", 1.0)), [Role::Consequence]);
}

/// The first node of kubeadm names itself alone in `--initial-cluster`, however many joined later.
#[test]
fn a_first_node_that_speaks_of_peers_clears_no_network() {
    let first = |set| {
        let pair = ("initial-cluster", "cp0=https://10.0.0.1:2380");
        settings(set, etcd("cp0"), &[pair])
    };
    let alone = first(syncs(Set::new(), "cp0", 1.0));
    assert!(out(&judged(&alone)).contains(&Cause::Network));
    let lost: &[(&str, &[(&str, f64)])] = &[
        ("peer-unhealthy", &[("count", 80.0)]),
        ("read-index-slow", &[("count", 40.0)]),
        ("stream-lost", &[("count", 80.0)]),
    ];
    let set = first(events(Set::new(), "cp0", lost));
    let found = judged(&set);
    assert!(!out(&found).contains(&Cause::Network));
    assert!(
        found.alternatives.iter().any(|a| a.cause == Cause::Network),
        "{:?}",
        found.alternatives
    );
    assert!(
        lacks(&set)[0].ends_with("of the other members"),
        "{:?}",
        lacks(&set)
    );
}

/// By the traces of slow requests, in a log that says nothing else.
#[test]
fn reads_that_waited_for_the_leader_are_of_one_of_three_causes() {
    let row = [
        ("requests", 720.0),
        ("stalled", 720.0),
        ("stalled_secs", 1_300.0),
        ("slow_secs", 1_302.0),
    ];
    let waits = || {
        events(Set::new(), "cp0", &[("slow-apply", &[("count", 720.0)])]).put(
            &keys::LOGS_REQUESTS,
            Subject::cluster(),
            table(&[("pods", &row)]),
        )
    };
    let open = |set: &Set| -> Vec<Cause> {
        let found = judged(set);
        assert_eq!(found.verdict.cause, Cause::Unknown, "{found:?}");
        found.alternatives.iter().map(|a| a.cause).collect()
    };
    assert_eq!(
        open(&waits()),
        [Cause::Disk, Cause::Cpu, Cause::Network],
        "nothing tells them apart"
    );
    // The slow requests are those that waited.
    let took = crate::rules::testing::histogram(&[(100.0, 0.0), (2_000.0, 720.0)]);
    let summary = judged(&waits().put(&keys::LOGS_REQUESTS_TOOK, Subject::cluster(), took))
        .verdict
        .summary;
    assert!(summary.contains("waited for the leader"), "{summary}");
    assert!(!summary.contains("apart from that"), "{summary}");
    // Lines of followers that ask again point to the links.
    let row = ("readindex-retry", &[("count", 101.0)][..]);
    assert_eq!(open(&events(Set::new(), "cp0", &[row])), [Cause::Network]);
    // What is measured is out of it.
    let prompt = open(&syncs(waits(), "cp0", 1.0));
    assert!(!prompt.contains(&Cause::Disk), "{prompt:?}");
    assert!(prompt.contains(&Cause::Network), "{prompt:?}");
}

/// Answers 429 in the audit log, alone or beside an etcd of which something is known.
#[test]
fn refusals_in_the_audit_log_alone_are_no_full_apiserver() {
    let refused = |set: Set| {
        let row = Row::new("r")
            .text("user_agent", "sync/1")
            .text("user", "u")
            .text("verb", "list")
            .text("resource", "pods")
            .num("requests", 2_000.0)
            .num("throttled", 400.0);
        let table = Table {
            rows: vec![row],
            ..Table::default()
        };
        judged(&set.put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), table))
    };
    let alone = refused(Set::new());
    assert_eq!(alone.verdict.cause, Cause::Unknown);
    assert_eq!(alone.alternatives[0].cause, Cause::ApiserverSaturation);
    let quick = refused(syncs(Set::new(), "cp0", 1.0));
    assert_eq!(quick.verdict.cause, Cause::ApiserverSaturation);
    // etcd's own log says that it is slow.
    let slow = Set::new().put(
        &keys::LOGS_REQUESTS_TOOK,
        Subject::cluster(),
        histogram(&[(100.0, 0.0), (2_000.0, 300.0)]),
    );
    assert_eq!(refused(slow).verdict.cause, Cause::Unknown);
    let few = settings(
        Set::new(),
        apiserver(),
        &[
            ("max-mutating-requests-inflight", "4"),
            ("max-requests-inflight", "8"),
        ],
    );
    assert_eq!(refused(few).verdict.cause, Cause::ApiserverSaturation);
}

/// Three members, all slow links at `cp0`, whose own syncs take so long; it is not looked at for `None`.
fn one_late(own_ms: Option<f64>) -> Set {
    let nodes = [("cp0", "a"), ("cp1", "b"), ("cp2", "c")];
    let mut set = Set::new();
    for (node, id) in nodes {
        let own = if node == "cp0" { own_ms } else { Some(1.0) };
        let Some(ms) = own else { continue };
        set = syncs(set, node, ms);
        let links: Vec<(&str, f64)> = nodes
            .iter()
            .filter(|(peer, _)| *peer != node)
            .map(|(peer, id)| {
                (
                    *id,
                    if [node, *peer].contains(&"cp0") {
                        200.0
                    } else {
                        1.0
                    },
                )
            })
            .collect();
        let cells: Vec<(&str, [(&str, f64); 1])> = links
            .iter()
            .map(|(id, ms)| (*id, [("mean_ms", *ms)]))
            .collect();
        let rows: Vec<(&str, &[(&str, f64)])> = cells
            .iter()
            .map(|(id, cells)| (*id, cells.as_slice()))
            .collect();
        set = probes(set, node, 200.0)
            .put(&keys::MEMBER_ID, member(node), id.to_owned())
            .put(&keys::PEER_RTT_BY, member(node), table(&rows));
    }
    set
}

/// A member that does not run, or waits for its disk, answers late: its links are not known to be slow.
#[test]
fn the_links_of_one_member_that_may_be_late_by_itself_are_not_blamed() {
    assert_eq!(judged(&one_late(Some(1.0))).verdict.cause, Cause::Network);
    let starved = judged(&one_late(Some(128.0)));
    assert_ne!(starved.verdict.cause, Cause::Network);
    assert!(
        starved
            .alternatives
            .iter()
            .any(|other| other.cause == Cause::Network)
    );
    // Nobody looked at it: what the others measured clears neither its disk nor its CPU.
    let mut absent = one_late(None);
    for node in ["cp1", "cp2"] {
        absent = measured(absent, node, 0.2);
    }
    let absent = judged(&absent);
    assert_eq!(absent.verdict.cause, Cause::Unknown);
    assert_eq!(absent.ruled_out, [], "{:?}", absent.ruled_out);
}
