//! Runs of several days in one set: a quiet one hides nothing of a busy one.

use crate::clock::Timestamp;
use crate::evidence::{Collector, Key, Origin, Row, Subject, Table, Window, keys};

use super::testing::{Set, component, table};
use super::{Rule, Status};

/// Adds what a log or two scrapes of a hundred seconds of that day tell.
fn on_day(mut set: Set, day: i64, key: &Key<Table>, subject: Subject, value: Table) -> Set {
    let from = day * 86_400;
    let window = Window::between(Timestamp::from_secs(from), Timestamp::from_secs(from + 100));
    let origin = Origin::new(Collector::Logs, format!("day{day}"));
    set.0.put(key, subject, window, origin, value);
    set
}

fn fails(set: &Set, rule: &'static Rule) -> bool {
    set.check(rule).iter().any(|f| f.status == Status::Fail)
}

#[test]
fn a_client_is_still_heavy_when_the_next_day_is_quiet() {
    let lists = |count: f64| {
        let row = Row::new("r")
            .text("user_agent", "inventory/1.0")
            .text("user", "system:serviceaccount:inventory:scraper")
            .text("verb", "list")
            .text("resource", "configmaps")
            .num("requests", count)
            .num("unlimited", count)
            .num("total_secs", count);
        Table {
            rows: vec![row],
            ..Table::default()
        }
    };
    let add = |set, day, count| {
        let key = &keys::LOGS_AUDIT_CLIENTS;
        on_day(set, day, key, Subject::cluster(), lists(count))
    };
    let rule = &super::load::client_heavy_lists::RULE;
    let busy = add(Set::new(), 0, 600.0);
    assert!(fails(&busy, rule));
    let both = add(busy, 1, 1.0);
    assert!(fails(&both, rule));
    let quiet = add(add(Set::new(), 0, 1.0), 1, 2.0);
    assert!(!fails(&quiet, rule));
}

#[test]
fn events_still_dominate_when_the_next_day_is_quiet() {
    let writes = |events: f64, all: f64| {
        table(&[
            ("events", &[("writes", events)]),
            ("pods", &[("writes", all - events)]),
        ])
    };
    let add = |set, day, events: f64, all: f64| {
        let key = &keys::APISERVER_ETCD_REQUESTS;
        let table = writes(events, all);
        on_day(set, day, key, component("kube-apiserver"), table)
    };
    let rule = &super::load::events_dominate::RULE;
    let busy = add(Set::new(), 0, 9_000.0, 10_000.0);
    assert!(fails(&busy, rule));
    assert!(fails(&add(busy, 3, 10.0, 100.0), rule));
}
