//! Scrapes of one server that are given as several files are what the folder with them is: which
//! arguments they come in, their order and their names are no matter, and no counter is summed.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test of the binary on files of its own"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::doctor;

/// A scrape of an etcd that saw this many leader changes since it started.
fn etcd(id: &str, start: u64, changes: u64, ranges: u64) -> String {
    format!(
        "# HELP etcd_mvcc_range_total Total number of ranges seen by this member.\n\
         # TYPE etcd_mvcc_range_total counter\n\
         etcd_mvcc_range_total {ranges}\n\
         # TYPE etcd_server_has_leader gauge\n\
         etcd_server_has_leader 1\n\
         # TYPE etcd_server_id gauge\n\
         etcd_server_id{{server_id=\"{id}\"}} 1\n\
         # TYPE etcd_server_leader_changes_seen_total counter\n\
         etcd_server_leader_changes_seen_total {changes}\n\
         # TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {ranges}\n\
         # TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds {start}\n"
    )
}

/// A scrape of a kube-apiserver, which has no id.
fn apiserver(start: &str, requests: u64) -> String {
    format!(
        "# HELP etcd_request_duration_seconds Etcd request latency\n\
         # TYPE etcd_request_duration_seconds histogram\n\
         etcd_request_duration_seconds_bucket{{operation=\"get\",type=\"pods\",le=\"0.1\"}} {requests}\n\
         etcd_request_duration_seconds_bucket{{operation=\"get\",type=\"pods\",le=\"+Inf\"}} {requests}\n\
         etcd_request_duration_seconds_sum{{operation=\"get\",type=\"pods\"}} 1\n\
         etcd_request_duration_seconds_count{{operation=\"get\",type=\"pods\"}} {requests}\n\
         # TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds {start}\n"
    )
}

fn put(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// What was read: key, subject and value of each record, as saved. Why something is missing names files.
fn read(args: &[(&str, &[&PathBuf])]) -> Vec<(String, String, Value)> {
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("saved.zst");
    let mut doctor = doctor(&["diagnose", "--format", "json", "--save"]).path(&saved);
    for (flag, paths) in args {
        doctor = doctor.arg(flag);
        for path in *paths {
            doctor = doctor.path(path);
        }
    }
    doctor.json();
    let saved = zstd::decode_all(fs::File::open(&saved).unwrap()).unwrap();
    let saved: Value = serde_json::from_slice(&saved).unwrap();
    let records = saved["records"].as_array().unwrap().iter();
    records
        .filter(|record| record["origin"]["collector"] == "metrics")
        .filter(|record| record["value"]["known"].is_object())
        .map(|record| {
            let key = record["key"].as_str().unwrap().to_owned();
            (key, record["subject"].to_string(), record["value"].clone())
        })
        .collect()
}

/// The count of one row of a table, by subject.
fn counts(records: &[(String, String, Value)], key: &str, row: &str, column: &str) -> Vec<f64> {
    let of_key = records.iter().filter(|(of, ..)| of == key);
    of_key
        .map(|(.., value)| {
            let rows = value["known"]["table"]["rows"].as_array().unwrap();
            let found = rows.iter().find(|found| found["key"] == row).unwrap();
            found["cells"][column]["num"].as_f64().unwrap()
        })
        .collect()
}

#[test]
fn scrapes_of_one_server_are_paired_whatever_they_are_called_and_wherever_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for (folder, first, second) in [
        // As a script names them, as a person does, and in two folders under one name.
        (
            "a",
            "etcd-20261121T203026.483Z.prom",
            "etcd-20261121T203326.483Z.prom",
        ),
        ("b", "20261121T203026Z.prom", "again-20261121T203326Z.prom"),
        (
            "c",
            "before-20261121T203026Z.txt",
            "20261121T203326Z-then.out",
        ),
        (
            "d",
            "one/etcd.20261121T203026Z.prom",
            "two/etcd.20261121T203326Z.prom",
        ),
    ] {
        let folder = at.join(folder);
        let first = put(&folder, first, &etcd("d19a", 1_795_290_000, 3, 1_000));
        let second = put(&folder, second, &etcd("d19a", 1_795_290_000, 3, 4_000));
        let whole = read(&[("--metrics", &[&folder])]);
        // Since the first scrape, and not twice since the start.
        assert_eq!(
            counts(&whole, "server.counters", "ranges", "count"),
            [3_000.0]
        );
        for args in [
            vec![("--metrics", vec![&first, &second])],
            vec![("--metrics", vec![&second, &first])],
            vec![("--bundle", vec![&second, &first])],
            vec![("--bundle", vec![&first]), ("--metrics", vec![&second])],
            vec![("--metrics", vec![&first, &second, &first])],
            vec![("--bundle", vec![&folder]), ("--metrics", vec![&first])],
        ] {
            let args: Vec<(&str, &[&PathBuf])> = args
                .iter()
                .map(|(flag, paths)| (*flag, paths.as_slice()))
                .collect();
            assert_eq!(read(&args), whole, "{args:?}");
        }
    }
}

#[test]
fn several_servers_in_files_stay_apart() {
    let dir = tempfile::tempdir().unwrap();
    // A shell's pattern over the folders of three nodes, in no order.
    let mut files = Vec::new();
    for (node, id) in [("cp-1", "aa"), ("cp-2", "bb"), ("cp-3", "cc")] {
        for (minute, ranges) in [(30, 1_000), (33, 4_000)] {
            let name = format!("{node}/metrics/etcd-20261121T20{minute}26Z.prom");
            files.push(put(dir.path(), &name, &etcd(id, 1_795_290_000, 3, ranges)));
        }
    }
    files.reverse();
    let files: Vec<&PathBuf> = files.iter().collect();
    let records = read(&[("--metrics", &files)]);
    assert_eq!(
        counts(&records, "server.counters", "ranges", "count"),
        [3_000.0; 3]
    );
    for node in ["cp-1", "cp-2", "cp-3"] {
        let named = |(key, subject, _): &(String, String, Value)| {
            key == "server.counters" && subject.contains(&format!("\"{node}\""))
        };
        assert!(records.iter().any(named), "{node}");
    }
}

#[test]
fn a_server_without_an_id_is_known_by_the_start_of_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| put(dir.path(), name, text);
    let start = "1795290000.53";
    let first = at("alpha.20261121T203026Z.txt", &apiserver(start, 1_000));
    let second = at("beta.20261121T203326Z.txt", &apiserver(start, 1_300));
    let requests = |files: &[&PathBuf]| {
        let records = read(&[("--metrics", files)]);
        counts(&records, "apiserver.etcd.requests", "pods", "requests")
    };
    assert_eq!(requests(&[&first, &second]), [300.0]);
    // Another process, however alike: each counts for itself.
    let other = at(
        "gamma.20261121T203326Z.txt",
        &apiserver("1795290000.54", 1_300),
    );
    assert_eq!(requests(&[&first, &other]).len(), 2);
}
