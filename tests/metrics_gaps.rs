//! Scrapes that lack a family or stop at the end of a line: what they do not tell is never a number.
#![expect(
    clippy::unwrap_used,
    reason = "a test over scrapes that it writes itself"
)]

use std::fmt::Write as _;

use etcd_doctor::evidence::{
    Completeness, EvidenceSet, FromShape, Key, Missing, Reader, Subject, SubjectKind, keys,
};
use etcd_doctor::metrics::{Hint, Limits, Loader, Model, collect};

/// Scrapes a minute apart.
fn load(component: &str, texts: &[String]) -> (Model, EvidenceSet) {
    let mut loader = Loader::new(Limits::default());
    for (at, text) in texts.iter().enumerate() {
        let name = format!("{component}-m0-20260101T03{at:02}00Z.prom");
        loader.add(&name, &name, text.as_bytes(), &Hint::default());
    }
    let model = loader.finish();
    let set = collect(&model);
    (model, set)
}

fn get<T: FromShape>(set: &EvidenceSet, key: &Key<T>, of: &Subject) -> Result<T, Missing> {
    Reader::new(set).get(key, of)
}

fn m0() -> Subject {
    Subject::new(SubjectKind::Member, "m0")
}

fn component(name: &str) -> Subject {
    Subject::new(SubjectKind::Component, name).on("m0")
}

fn faults(model: &Model) -> Vec<String> {
    let of = |f: &etcd_doctor::metrics::Fault| format!("{} {}: {}", f.kind.id(), f.source, f.what);
    model.faults.iter().map(of).collect()
}

/// An old process: 5000 fsyncs of 300 ms and 7 leader changes long ago; since then each fsync took
/// 1.5 ms, ten a second, and a tenth of a processor is used.
fn etcd(minute: u32) -> String {
    let new = 600 * minute;
    let mut text = String::from("# TYPE etcd_disk_wal_fsync_duration_seconds histogram\n");
    for (le, count) in [
        ("0.001", 0),
        ("0.002", new),
        ("0.256", new),
        ("0.512", 5000 + new),
        ("+Inf", 5000 + new),
    ] {
        writeln!(
            text,
            "etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"{le}\"}} {count}"
        )
        .unwrap();
    }
    let sum = 1500.0 + 0.0015 * f64::from(new);
    write!(
        text,
        "etcd_disk_wal_fsync_duration_seconds_sum {sum}\n\
         etcd_disk_wal_fsync_duration_seconds_count {}\n\
         # TYPE etcd_server_has_leader gauge\n\
         etcd_server_has_leader 1\n\
         # TYPE etcd_server_leader_changes_seen_total counter\n\
         etcd_server_leader_changes_seen_total 7\n\
         # TYPE etcd_server_proposals_committed_total gauge\n\
         etcd_server_proposals_committed_total {}\n\
         # TYPE etcd_server_slow_apply_total counter\n\
         etcd_server_slow_apply_total {}\n\
         # TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {}\n\
         # TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds 1767000000\n",
        5000 + new,
        1_000_000 + 6000 * minute,
        4000 + 30 * minute,
        5000 + 6 * minute,
    )
    .unwrap();
    text
}

/// The text without the families whose names hold `word`.
fn without(text: &str, word: &str) -> String {
    let kept = text.lines().filter(|line| !line.contains(word));
    kept.fold(String::new(), |all, line| all + line + "\n")
}

/// The families of a text in the opposite order.
fn turned(text: &str) -> String {
    let families: Vec<&str> = text.split("# TYPE ").filter(|f| !f.is_empty()).collect();
    let families = families.into_iter().rev();
    families.fold(String::new(), |all, family| all + "# TYPE " + family)
}

/// Nothing that is told differs from the truth, over the whole window and from scrape to scrape.
fn is_true(texts: &[String], what: &str) {
    let (_, set) = load("etcd", texts);
    let minutes = texts.len() - 1;
    let most = 600.0 * minutes as f64;
    // One scrape is a life, not a window.
    let reader = Reader::new(&set);
    let record = reader.record(&keys::WAL_FSYNC, &m0());
    if record.is_some_and(|record| record.origin.completeness != Completeness::Estimate)
        && let Ok(hist) = get(&set, &keys::WAL_FSYNC, &m0())
    {
        assert!(hist.count() <= most, "{what}: {} fsyncs", hist.count());
        let p99 = hist.bracket(0.99);
        assert!(p99.is_none_or(|p| p == (1.0, 2.0)), "{what}: {p99:?}");
        if let Ok(changes) = get(&set, &keys::LEADER_CHANGES, &m0()) {
            assert_eq!(changes, 0.0, "{what}");
        }
        if let Ok(slow) = get(&set, &keys::SLOW_APPLIES, &m0()) {
            assert!(slow <= 30.0 * minutes as f64, "{what}: {slow} slow applies");
        }
    }
    for (key, of, truth) in [
        (&keys::PROPOSALS_RATE, m0(), 100.0),
        (&keys::PROCESS_CPU, component("etcd"), 0.1),
    ] {
        if let Ok(rate) = get(&set, key, &of) {
            assert!((rate - truth).abs() < 1e-6, "{what}: {rate}, not {truth}");
        }
    }
    if let Ok(table) = get(&set, &keys::MEMBER_PHASES, &m0()) {
        for row in &table.rows {
            for (column, truth) in [
                ("proposals_per_sec", 100.0),
                ("slow_applies", 30.0),
                ("leader_changes", 0.0),
                ("cpu", 0.1),
            ] {
                let minutes = row.get("secs").unwrap() / 60.0;
                let counted = matches!(column, "slow_applies" | "leader_changes");
                let truth = if counted { truth * minutes } else { truth };
                let told = row.get(column).unwrap_or(truth);
                assert!((told - truth).abs() < 1e-6, "{what}: {column} {told}");
            }
        }
    }
    if let Ok(table) = get(&set, &keys::WAL_FSYNC_PHASES, &m0()) {
        for row in &table.rows {
            let minutes = row.get("secs").unwrap() / 60.0;
            assert_eq!(row.get("count"), Some(600.0 * minutes), "{what}");
            assert_eq!(row.get("p99_high_ms"), Some(2.0), "{what}");
        }
    }
}

/// Ends of the lines of a text.
fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at + 1).collect()
}

#[test]
fn a_cut_or_a_lost_line_never_makes_a_wrong_number() {
    for turn in [false, true] {
        for started in [false, true] {
            let make = |minute| {
                let text = match started {
                    true => etcd(minute),
                    false => without(&etcd(minute), "process_start"),
                };
                if turn { turned(&text) } else { text }
            };
            for count in [2, 3] {
                let whole: Vec<String> = (0..count).map(make).collect();
                is_true(&whole, "whole");
                for which in 0..whole.len() {
                    let mut before = 0;
                    for end in line_ends(&whole[which]) {
                        let what =
                            format!("turned {turn}, started {started}, {count}: {which} at {end}");
                        let mut texts = whole.clone();
                        texts[which].truncate(end);
                        is_true(&texts, &format!("{what}, cut"));
                        let mut texts = whole.clone();
                        texts[which].replace_range(before..end, "");
                        is_true(&texts, &format!("{what}, lost line"));
                        let mut texts = whole.clone();
                        texts[which].replace_range(..end, "");
                        is_true(&texts, &format!("{what}, lost head"));
                        before = end;
                    }
                }
            }
        }
    }
}

#[test]
fn a_family_missing_from_the_first_scrape_is_named_and_not_counted() {
    for word in ["leader_changes", "wal_fsync", "slow_apply"] {
        for turn in [false, true] {
            let make = |text: String| if turn { turned(&text) } else { text };
            let texts = [make(without(&etcd(0), word)), make(etcd(1))];
            let (model, set) = load("etcd", &texts);
            let said = faults(&model);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].starts_with("missing-family etcd-m0-20260101T030000Z.prom: `"));
            assert!(said[0].contains(word), "{said:?}");
            let missing = match word {
                "leader_changes" => get(&set, &keys::LEADER_CHANGES, &m0()).err(),
                "wal_fsync" => get(&set, &keys::WAL_FSYNC, &m0()).err(),
                _ => get(&set, &keys::SLOW_APPLIES, &m0()).err(),
            };
            let why = missing.unwrap();
            assert!(matches!(&why, Missing::NotEnough { .. }), "{why:?}");
            // The others are known as before.
            assert_eq!(get(&set, &keys::PROPOSALS_RATE, &m0()), Ok(100.0));
        }
    }
}

#[test]
fn rates_are_over_the_time_that_a_family_was_there() {
    let gone = |minute: u32, from: u32| match minute >= from {
        true => without(&without(&etcd(minute), "slow_apply"), "proposals"),
        false => etcd(minute),
    };
    // Gone from the last two of four.
    let texts: Vec<String> = (0..4).map(|minute| gone(minute, 2)).collect();
    let (model, set) = load("etcd", &texts);
    assert_eq!(faults(&model).len(), 2, "{:?}", faults(&model));
    assert_eq!(get(&set, &keys::PROPOSALS_RATE, &m0()), Ok(100.0));
    assert_eq!(get(&set, &keys::SLOW_APPLIES, &m0()), Ok(30.0));
    let reader = Reader::new(&set);
    let record = reader.record(&keys::SLOW_APPLIES, &m0()).unwrap();
    assert_eq!(record.origin.completeness, Completeness::AtLeast);
    let phases = get(&set, &keys::MEMBER_PHASES, &m0()).unwrap();
    let of = |column: &str| -> Vec<Option<f64>> {
        phases.rows.iter().map(|row| row.get(column)).collect()
    };
    assert_eq!(of("slow_applies"), [Some(30.0), None, None]);
    assert_eq!(of("proposals_per_sec"), [Some(100.0), None, None]);
    // Absent in the middle: both sides of it are known.
    let texts = [etcd(0), gone(1, 1), gone(2, 1), etcd(3)];
    let (_, set) = load("etcd", &texts);
    assert_eq!(get(&set, &keys::SLOW_APPLIES, &m0()), Ok(90.0));
    let reader = Reader::new(&set);
    let record = reader.record(&keys::SLOW_APPLIES, &m0()).unwrap();
    assert_eq!(record.origin.completeness, Completeness::Exact);
    let phases = get(&set, &keys::MEMBER_PHASES, &m0()).unwrap();
    assert!(
        phases
            .rows
            .iter()
            .all(|row| row.get("slow_applies").is_none())
    );
}

/// Three resources with two codes each, of which the label `component` is not kept.
fn apiserver(minute: u32, more: &str) -> String {
    let mut text = String::from("# TYPE apiserver_request_total counter\n");
    for component in ["apiserver", "aggregator"] {
        for resource in ["nodes", "pods"] {
            writeln!(
                text,
                "apiserver_request_total{{code=\"200\",component=\"{component}\",\
                 resource=\"{resource}\",verb=\"GET\"}} {}",
                10_000 + 60 * minute
            )
            .unwrap();
        }
    }
    write!(
        text,
        "{more}# TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {}\n\
         # TYPE workqueue_adds_total counter\n\
         workqueue_adds_total{{name=\"a\"}} {}\n",
        50 + minute,
        700 + minute
    )
    .unwrap();
    text
}

#[test]
fn a_cut_among_added_up_series_counts_nothing_of_them() {
    let api = component("kube-apiserver");
    for turn in [false, true] {
        // Out of order: the family that sorts last stands first.
        let make = |text: String| match text.rsplit_once("# TYPE ") {
            Some((rest, last)) if turn => format!("# TYPE {last}{rest}"),
            _ => text.clone(),
        };
        let (first, second) = (make(apiserver(0, "")), make(apiserver(1, "")));
        for end in line_ends(&first) {
            let cut = first.get(..end).unwrap().to_owned();
            let (model, set) = load("kube-apiserver", &[cut, second.clone()]);
            // Of a text without a sample only the other scrape is left: a life, not a window.
            if model.scrapes == 2
                && let Ok(table) = get(&set, &keys::APISERVER_REQUESTS, &api)
            {
                let most = table.rows.iter().filter_map(|row| row.get("requests"));
                assert!(most.fold(0.0, f64::max) <= 120.0, "{turn} {end}: {table:?}");
            }
        }
    }
}

#[test]
fn what_is_born_in_the_window_counts_in_full() {
    let api = component("kube-apiserver");
    let code =
        "apiserver_request_total{code=\"504\",component=\"\",resource=\"pods\",verb=\"GET\"} 3\n";
    let rejected = "# TYPE apiserver_flowcontrol_rejected_requests_total counter\n\
                    apiserver_flowcontrol_rejected_requests_total{flow_schema=\"f\",\
                    priority_level=\"low\",reason=\"queue-full\"} 40\n";
    // The first answer with a code, and the first rejection at all: nothing is amiss.
    let second = apiserver(1, code);
    let (model, set) = load("kube-apiserver", &[apiserver(0, ""), second.clone()]);
    assert_eq!(faults(&model), <[String; 0]>::default());
    assert_eq!(get(&set, &keys::APISERVER_REQUESTS_5XX, &api), Ok(3.0));
    let first = apiserver(0, "");
    let dispatched = "# TYPE apiserver_flowcontrol_dispatched_requests_total counter\n\
                      apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"f\",\
                      priority_level=\"low\"} 7\n";
    let third = format!("{dispatched}{rejected}{}", apiserver(1, ""));
    let before = dispatched.to_owned() + &first;
    let (model, set) = load("kube-apiserver", &[before, third.clone()]);
    assert_eq!(faults(&model), <[String; 0]>::default());
    let levels = get(&set, &keys::APF_LEVELS, &api).unwrap();
    assert_eq!(levels.row("low").unwrap().get("rejected"), Some(40.0));
    // A family that is missing elsewhere takes nothing from the code's.
    let (model, set) = load(
        "kube-apiserver",
        &[
            without(&first, "process_cpu"),
            without(&second, "workqueue"),
        ],
    );
    assert_eq!(faults(&model).len(), 2, "{:?}", faults(&model));
    assert!(get(&set, &keys::PROCESS_CPU, &api).is_err());
    // Without the family in the first scrape nobody knows.
    let none = "# TYPE a counter\n".to_owned() + &without(&first, "apiserver_request");
    let (model, set) = load("kube-apiserver", &[none.clone(), second]);
    assert!(faults(&model)[0].contains("`apiserver_request_total`"));
    assert!(get(&set, &keys::APISERVER_REQUESTS_5XX, &api).is_err());
    // A process that began after that scrape counted all of it since.
    let started = third + "# TYPE zz gauge\nprocess_start_time_seconds 1767236430\n";
    let (_, set) = load("kube-apiserver", &[none, started]);
    let rows = get(&set, &keys::APISERVER_REQUESTS, &api).unwrap();
    assert_eq!(rows.total("requests"), 4.0 * 10_060.0);
}
