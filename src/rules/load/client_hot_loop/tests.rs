//! Who spins, who works, and what neither can be told of.

use super::*;
use crate::evidence::Table;
use crate::rules::Status;
use crate::rules::testing::Set;

fn with(agent: &str, user: &str, requests: f64, not_found: f64) -> Set {
    let row = Row::new("r")
        .text("user_agent", agent)
        .text("user", user)
        .text("verb", "get")
        .text("resource", "pods")
        .num("requests", requests)
        .num("not_found", not_found);
    Set::new().put(
        &keys::LOGS_AUDIT_CLIENTS,
        Subject::cluster(),
        Table {
            rows: vec![row],
            ..Table::default()
        },
    )
}

fn of(row: Row) -> Table {
    Table {
        rows: vec![row],
        ..Table::default()
    }
}

#[test]
fn the_span_fits_the_rate() {
    // 10 a second between its own first and last request, in a log of 100 s.
    let row = Row::new("r")
        .text("user_agent", "bmo/1")
        .text("verb", "get")
        .text("resource", "pods")
        .num("requests", 500.0)
        .num("not_found", 500.0);
    for (rate, words) in [
        (10.0, "bmo/1: 500 requests in 50 s (10.0/s)"),
        (0.0, "bmo/1: 500 requests in 100 s (5.0/s)"),
    ] {
        let pace = Row::new("p")
            .text("user_agent", "bmo/1")
            .text("user", "")
            .num("max_per_sec", rate);
        // A burst of some seconds within it is not the client's rate.
        let row = row.clone().text("user", "").num("max_per_sec", 90.0);
        let set = Set::new()
            .put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), of(row))
            .put(&keys::LOGS_AUDIT_PACE, Subject::cluster(), of(pace));
        let cited = &set.check(&RULE)[0].evidence[0].value;
        assert!(cited.contains(words), "{cited}");
    }
}

/// What a client asks of one object: by verb, requests, those answered 404, and their steady rate.
fn objects(all: &[(&str, f64, f64, f64)]) -> Table {
    let row = |(verb, requests, gone, rate): &(&str, f64, f64, f64)| {
        Row::new(format!("o {verb}"))
            .text("user_agent", "bmo/1")
            .text("user", "u")
            .text("verb", *verb)
            .text("resource", "pods")
            .text("object", "shop/web")
            .num("requests", *requests)
            .num("not_found", *gone)
            .num("max_steady_per_sec", *rate)
    };
    Table {
        rows: all.iter().map(row).collect(),
        ..Table::default()
    }
}

fn asking(all: &[(&str, f64, f64, f64)]) -> Set {
    with("bmo/1", "u", 500.0, 0.0).put(&keys::LOGS_AUDIT_OBJECTS, Subject::cluster(), objects(all))
}

#[test]
fn the_same_object_read_at_equal_gaps_is_a_loop_too() {
    let set = |rate: f64| asking(&[("get", 200.0, 0.0, rate)]);
    let found = &set(5.0).check(&RULE)[0];
    assert_eq!(
        (found.status, found.severity),
        (Status::Fail, Severity::Warn)
    );
    assert_eq!(found.aspect, READS);
    assert!(
        found
            .message
            .ends_with("5.0/s of them to read pods shop/web, at equal gaps and without a write"),
        "{}",
        found.message
    );
    // Without equal gaps, and too slowly.
    assert_eq!(set(0.0).status(&RULE).0, Status::Pass);
    assert_eq!(set(4.9).status(&RULE).0, Status::Pass);
}

#[test]
fn a_writer_at_equal_gaps_is_a_note_unless_its_writes_are_refused() {
    let (fail, note) = (Status::Fail, Severity::Info);
    let busy = asking(&[("update", 500.0, 0.0, 15.0)]);
    assert_eq!(busy.status(&RULE), (fail, note));
    let words = &busy.check(&RULE)[0].message;
    assert!(words.ends_with("they change something"), "{words}");
    // One that reads before each write is at work as well; one that reads three times is not.
    let reads = |n: f64| asking(&[("get", n, 0.0, n / 50.0), ("update", 500.0, 0.0, 5.0)]);
    assert_eq!(reads(500.0).status(&RULE), (fail, note));
    assert_eq!(reads(750.0).status(&RULE), (fail, Severity::Warn));
    assert_eq!(reads(749.0).status(&RULE), (fail, note));
    let gone = asking(&[("patch", 500.0, 250.0, 10.0)]);
    assert_eq!(gone.status(&RULE), (fail, Severity::Warn));
    assert_eq!(gone.check(&RULE)[0].aspect, REFUSED);
    let few = asking(&[("patch", 500.0, 249.0, 10.0)]);
    assert_eq!(few.status(&RULE), (fail, note));
    // Conflicts are counted by verb and resource.
    let conflicts = |count: f64| {
        let row = Row::new("r")
            .text("user_agent", "bmo/1")
            .text("user", "u")
            .text("verb", "update")
            .text("resource", "pods")
            .num("requests", 500.0)
            .num("conflicts", count);
        let all = objects(&[("update", 500.0, 0.0, 10.0)]);
        Set::new()
            .put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), of(row))
            .put(&keys::LOGS_AUDIT_OBJECTS, Subject::cluster(), all)
    };
    assert_eq!(conflicts(250.0).status(&RULE), (fail, Severity::Warn));
    assert_eq!(conflicts(249.0).status(&RULE), (fail, note));
}

/// Beside a writer that is noted, the counts of kube-apiserver still tell of a loop.
#[test]
fn a_note_hides_no_loop() {
    let counted = asking(&[("update", 500.0, 0.0, 15.0)]).put(
        &keys::APISERVER_REQUESTS,
        crate::rules::testing::component("kube-apiserver"),
        crate::rules::testing::table(&[(
            "GET configmaps",
            &[("requests", 1_000.0), ("not_found", 900.0)],
        )]),
    );
    let severities: Vec<Severity> = counted.check(&RULE).iter().map(|f| f.severity).collect();
    assert!(severities.contains(&Severity::Warn), "{severities:?}");
}

/// The logs of three kube-apiservers, of which each holds a third of the loop.
#[test]
fn a_loop_that_is_spread_over_kube_apiservers_is_added_up() {
    let row = |name: &str| Row::new(name).text("user_agent", "op/1").text("user", "u");
    let spread = |requests: f64| {
        let object = row("o")
            .text("verb", "get")
            .text("resource", "configmaps")
            .text("object", "ops/state")
            .num("requests", requests)
            .num("max_steady_per_sec", requests / 300.0);
        let pace = row("p")
            .num("max_plateau_per_sec", requests / 300.0)
            .num("max_plateau_share", 1.0);
        with("op/1", "u", requests, 0.0)
            .put(&keys::LOGS_AUDIT_OBJECTS, Subject::cluster(), of(object))
            .put(&keys::LOGS_AUDIT_PACE, Subject::cluster(), of(pace))
    };
    let found = &spread(1_200.0).check(&RULE)[0];
    assert_eq!(found.status, Status::Fail);
    let words = &found.message;
    assert!(
        words.contains("12.0/s of them to read configmaps ops/state"),
        "{words}"
    );
    assert!(!words.contains("pinned"), "{words}");
    assert_eq!(spread(499.0).status(&RULE).0, Status::Pass);
}

/// Parts of Kubernetes are excused for much that they ask for, not for one object at a high rate.
#[test]
fn a_part_of_kubernetes_that_asks_for_one_object_spins_as_well() {
    let (agent, user) = ("kubelet/v1", "system:node:a");
    let object = |requests: f64| {
        let row = Row::new("o")
            .text("user_agent", agent)
            .text("user", user)
            .text("verb", "get")
            .text("resource", "secrets")
            .text("object", "shop/gone")
            .num("requests", requests)
            .num("max_steady_per_sec", 1.0);
        let table = Table {
            rows: vec![row],
            ..Table::default()
        };
        with(agent, user, 900.0, 900.0).put(&keys::LOGS_AUDIT_OBJECTS, Subject::cluster(), table)
    };
    assert_eq!(object(900.0).status(&RULE).0, Status::Fail);
    assert_eq!(object(90.0).status(&RULE).0, Status::Pass);
    // What kube-apiserver counts is not forgotten over the audit log.
    let counted = with("a/1", "u", 900.0, 0.0).put(
        &keys::APISERVER_REQUESTS,
        crate::rules::testing::component("kube-apiserver"),
        crate::rules::testing::table(&[(
            "GET configmaps",
            &[("requests", 1_000.0), ("not_found", 900.0)],
        )]),
    );
    let found = &counted.check(&RULE)[0];
    assert!(
        found.message.contains("no client of the audit log"),
        "{found:?}"
    );
}

#[test]
fn without_an_audit_log_the_apiserver_counts_what_is_gone() {
    let with = |gone: f64, requests: f64| {
        Set::new().put(
            &keys::APISERVER_REQUESTS,
            crate::rules::testing::component("kube-apiserver"),
            crate::rules::testing::table(&[
                (
                    "GET configmaps",
                    &[("requests", requests), ("not_found", gone)],
                ),
                ("LIST pods", &[("requests", 900.0)]),
            ]),
        )
    };
    // 2/s in 100 s, and 20 %.
    assert_eq!(
        with(200.0, 1_000.0).status(&RULE),
        (Status::Fail, Severity::Warn)
    );
    assert_eq!(with(199.0, 900.0).status(&RULE).0, Status::Pass);
    // A load balancer spreads it.
    let spread = |each: f64| {
        let row = [("requests", 300.0), ("not_found", each)];
        Set::new().put_on_three(&keys::APISERVER_REQUESTS, || {
            crate::rules::testing::table(&[("GET configmaps", &row)])
        })
    };
    let found = spread(67.0).check(&RULE);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].message.contains(
            "201 of 900 requests for configmaps through 3 kube-apiservers (2.0/s) are for objects"
        ),
        "{}",
        found[0].message
    );
    assert_eq!(spread(66.0).status(&RULE).0, Status::Pass);
    assert_eq!(with(200.0, 1_001.0).status(&RULE).0, Status::Pass);
    // One scrape tells what was counted since the start, and no rate.
    let once = |set: Set, node: &str| {
        let row = [("requests", 1_000.0), ("not_found", 900.0)];
        set.put_since_start(
            &keys::APISERVER_REQUESTS,
            crate::rules::testing::component("kube-apiserver").on(node),
            crate::rules::testing::table(&[("GET configmaps", &row)]),
        )
    };
    assert_eq!(once(Set::new(), "b").status(&RULE).0, Status::Unknown);
    // One kube-apiserver with two scrapes can be judged.
    assert_eq!(once(with(1.0, 9.0), "b").status(&RULE).0, Status::Pass);
}

#[test]
fn a_steady_rate_with_many_404s_is_a_loop() {
    // The test window is 100 s, the limits 5/s and 20 %.
    assert_eq!(
        with("bmo/1", "u", 500.0, 100.0).status(&RULE),
        (Status::Fail, Severity::Warn)
    );
    assert_eq!(
        with("bmo/1", "u", 499.0, 100.0).status(&RULE).0,
        Status::Pass
    );
    assert_eq!(
        with("bmo/1", "u", 500.0, 99.0).status(&RULE).0,
        Status::Pass
    );
    assert_eq!(
        with("kubelet/v1", "system:node:a", 900.0, 900.0)
            .status(&RULE)
            .0,
        Status::Pass
    );
    assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
}
