//! Advice about single clients, on small control planes.

use super::slug;
use crate::advise::Advice;
use crate::advise::testing::{Plane, table};
use crate::diagnosis::Cause;
use crate::evidence::{Row, Subject, SubjectKind, Table, keys};
use crate::rules::Severity;

fn for_lists_of(resource: &str) -> Advice {
    Plane::with(Cause::QueryLoad)
        .fails(
            "expensive-lists",
            Subject::new(SubjectKind::Resource, resource),
            Severity::Warn,
        )
        .find("client-lists")
        .unwrap()
}

#[test]
fn no_cache_is_promised_where_there_is_none() {
    assert!(for_lists_of("pods").effect.contains("cache"));
    let events = for_lists_of("events");
    assert!(!events.effect.contains("cache"), "{}", events.effect);
    assert!(
        events.proposed.contains("does not help"),
        "{}",
        events.proposed
    );
    let all = for_lists_of("(all)");
    assert!(all.proposed.contains("snapshot save"), "{}", all.proposed);
    assert!(!all.proposed.contains("informer"), "{}", all.proposed);
}

#[test]
fn who_pages_is_not_told_to_page() {
    let with = |unlimited: f64| {
        let row = Row::new("pods")
            .num("lists", 14.0)
            .num("unlimited", unlimited);
        Plane::with(Cause::QueryLoad)
            .slow_log(vec![row])
            .fails(
                "expensive-lists",
                Subject::new(SubjectKind::Resource, "pods"),
                Severity::Warn,
            )
            .find("client-lists")
            .unwrap()
            .proposed
    };
    assert!(with(14.0).contains("without `limit`"), "{}", with(14.0));
    assert!(!with(0.0).contains("`limit`"), "{}", with(0.0));
    assert!(with(0.0).contains("page by page"), "{}", with(0.0));
}

#[test]
fn what_a_traced_client_lists_is_told() {
    let row = Row::new("r")
        .text("user_agent", "report-tool/1.0 (linux/amd64)")
        .text("resource", "pods")
        .num("count", 12.0);
    let table = Table {
        rows: vec![row],
        ..Table::default()
    };
    let advice = Plane::with(Cause::QueryLoad)
        .put(&keys::LOGS_TRACES, Subject::cluster(), table)
        .fails(
            "client-heavy-lists",
            Subject::new(SubjectKind::Client, "report-tool/1.0"),
            Severity::Warn,
        )
        .find("client-lists-report-tool-1-0")
        .unwrap();
    assert_eq!(
        advice.now.as_deref(),
        Some("whole lists of pods, again and again")
    );
}

#[test]
fn a_clients_name_is_told_once() {
    let of = |subject: &str, message: &str| {
        let about = Subject::new(SubjectKind::Client, subject);
        let plane = Plane::with(Cause::QueryLoad).says("client-heavy-lists", about, message);
        let (name, _) = super::split_name(subject);
        let id = format!("client-lists-{}", slug(name));
        plane.find(&id).unwrap().why
    };
    let traced = of("tool/1.0", "tool/1.0 (linux/amd64): 12 slow lists of pods");
    assert!(traced.contains("`tool/1.0`: 12 slow lists"), "{traced}");
    let audited = of("tool/1.0 (bob)", "tool/1.0 (bob): 12 lists of pods");
    assert!(
        audited.contains("`tool/1.0` (user bob): 12 lists"),
        "{audited}"
    );
    let pinned = of("tool/1.0", "tool/1.0 sends 5.0 requests/s");
    assert!(pinned.contains("`tool/1.0`: sends 5.0"), "{pinned}");
}

#[test]
fn slugs_are_ids() {
    assert_eq!(slug("inventory-scraper/1.0"), "inventory-scraper-1-0");
    assert_eq!(slug("äöü//"), "");
    assert_eq!(
        slug("kubectl/v1.30.1 (linux/amd64) kubernetes/1234567"),
        "kubectl-v1-30-1-linux-amd64-kubernetes-1234567"
    );
}

#[test]
fn the_resource_is_the_one_of_the_whole_lists() {
    let row = |resource: &str, requests: f64, unlimited: f64, secs: f64| {
        Row::new(resource)
            .text("user_agent", "agent/0.9")
            .text("verb", "list")
            .text("resource", resource)
            .num("requests", requests)
            .num("unlimited", unlimited)
            .num("total_secs", secs)
    };
    let of = |rows: Vec<Row>| {
        Plane::with(Cause::QueryLoad)
            .put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), table(rows))
            .fails(
                "client-heavy-lists",
                Subject::new(SubjectKind::Client, "agent/0.9"),
                Severity::Warn,
            )
            .find("client-lists-agent-0-9")
            .unwrap()
            .proposed
    };
    // Most of what it asks for comes out of the cache.
    let cached = of(vec![
        row("configmaps", 9000.0, 10.0, 90.0),
        row("pods", 2800.0, 2800.0, 50.0),
    ]);
    assert!(cached.contains("watch pods"), "{cached}");
    // Few that take long, many that take nothing.
    let long = of(vec![
        row("secrets", 100.0, 100.0, 300.0),
        row("pods", 2800.0, 2800.0, 3.0),
    ]);
    assert!(long.contains("watch secrets"), "{long}");
    let untimed = of(vec![
        row("secrets", 100.0, 100.0, 0.0),
        row("pods", 2800.0, 2800.0, 0.0),
    ]);
    assert!(untimed.contains("watch pods"), "{untimed}");
}
