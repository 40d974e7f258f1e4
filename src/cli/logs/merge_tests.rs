//! The law of cutting: `merge(summary(A), summary(B)) == summary(A ++ B)`, wherever the log was cut.

#![expect(clippy::string_slice, reason = "the lines that are cut here are ASCII")]

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use proptest::prelude::*;
use serde_json::Value;

use super::{Args, report};
use crate::clock::Timestamp;
use crate::logs::input::plan;
use crate::logs::scan::{ScanOptions, scan, scan_open};
use crate::logs::summary::Summary;
use crate::target::HostRoot;

#[derive(Parser)]
struct Only {
    #[command(flatten)]
    args: Args,
}

const BASE: Timestamp = Timestamp(1_795_201_602_000_000);

/// `2026-11-20T19:06:42.123456Z`.
fn at(step: usize, us: i64) -> String {
    let step = i64::try_from(step).unwrap();
    let text = BASE.add_us(step * 400_000 + us).to_string();
    // Times of whole milliseconds are printed short, as some releases of etcd do.
    text
}

/// The time of day.
fn clock(stamp: &str) -> &str {
    &stamp[11..stamp.len() - 1]
}

fn cri(stamp: &str, flag: char, text: &str) -> String {
    format!("{stamp} stderr {flag} {text}\n")
}

fn slow(stamp: &str, key: &str) -> String {
    format!(
        r#"{{"level":"warn","ts":"{stamp}","caller":"txn/util.go:93","msg":"apply request took too long","took":"400ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"{key}/\" range_end:\"{key}0\" limit:500 ","response":"range_response_count:7 size:900"}}"#
    )
}

fn trace(stamp: &str, key: &str) -> String {
    format!(
        r#"{{"level":"info","ts":"{stamp}","caller":"traceutil/trace.go:172","msg":"trace[7] range","detail":"{{range_begin:{key}/; range_end:{key}0; response_count:7; response_revision:9; }}","duration":"400.1ms","start":"{stamp}","end":"{stamp}","steps":["trace[7] 'range keys from bolt db'  (duration: 390ms)"],"step_count":1}}"#
    )
}

fn stats(stamp: &str, key: &str) -> String {
    format!(
        r#"{{"level":"warn","ts":"{stamp}","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"{stamp}","time spent":"400.2ms","remote":"10.0.0.7:4321","response type":"/etcdserverpb.KV/Range","request count":0,"request size":44,"response count":7,"response size":922,"request content":"key:\"{key}/\" range_end:\"{key}0\" limit:500 "}}"#
    )
}

fn audit(stamp: &str, stage: &str, id: usize) -> String {
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-{id}","stage":"{stage}","requestURI":"/api/v1/namespaces/shop/pods","verb":"list","user":{{"username":"admin"}},"sourceIPs":["10.0.0.9"],"userAgent":"lister/1.0","objectRef":{{"resource":"pods","namespace":"shop","apiVersion":"v1"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"{stamp}","stageTimestamp":"{stamp}"}}"#
    )
}

/// In values and bodies, and not to be saved.
const SECRET: &str = "hunter2SWORDFISHhunter2";

/// A put as etcd prints it at debug level.
fn put(stamp: &str, key: &str) -> String {
    format!(
        r#"{{"level":"warn","ts":"{stamp}","caller":"txn/util.go:93","msg":"apply request took too long","took":"400ms","expected-duration":"100ms","prefix":"","request":"header:<ID:7 > put:<key:\"{key}/web\" value:\"k8s\\000\\n{{\\\"a\\\":\\\"{SECRET}\\\"}}\\n\" lease:12 > ","response":"size:9"}}"#
    )
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// How many kinds of groups there are.
const KINDS: usize = 19;

/// Lines that belong together, at a step of time.
fn group(kind: usize, step: usize) -> String {
    let (a, b, c) = (at(step, 100), at(step, 200), at(step, 300));
    let key = format!("/registry/pods/ns-{}", step % 3);
    match kind {
        // The lines of one request.
        0 => [slow(&a, &key), trace(&b, &key), stats(&c, &key)].join("\n") + "\n",
        1 => {
            cri(&a, 'F', &slow(&a, &key))
                + &cri(&b, 'F', &trace(&b, &key))
                + &cri(&c, 'F', &stats(&c, &key))
        }
        // A line in a runtime's parts.
        2 => {
            let line = slow(&a, &key);
            cri(&a, 'P', &line[..60]) + &cri(&b, 'P', &line[60..150]) + &cri(&c, 'F', &line[150..])
        }
        3 => {
            let line = slow(&a, &key);
            let part = |text: &str, stamp: &str| {
                format!(
                    "{{\"log\":{},\"stream\":\"stderr\",\"time\":\"{stamp}\"}}\n",
                    json(text)
                )
            };
            part(&line[..60], &a) + &part(&format!("{}\n", &line[60..]), &b)
        }
        // Records over several lines.
        4 => {
            let head = format!(
                "I1120 {}      10 trace.go:205] Trace[{step}]: \"List\" url:/api/v1/pods,user-agent:lister/1.0,client:10.0.0.9 (total time: 2268ms):",
                clock(&a)
            );
            cri(&a, 'F', &head)
                + &cri(
                    &a,
                    'F',
                    &format!("Trace[{step}]: ---\"Listing done\" 2196ms"),
                )
                + &cri(&a, 'F', &format!("Trace[{step}]: [2.268s] [2.268s] END"))
        }
        5 => format!(
            "{a}\terror\tetcdserver/server.go:1\tfailed to purge snap file\t{{\"error\": \"gone\"}}\ngo.etcd.io/etcd/server/v3/etcdserver.(*EtcdServer).purgeFile\n\t/go/src/server.go:812\n"
        ),
        6 => slow(&a, &key).replace(",\"", ",\n    \"") + "\n",
        7 => {
            cri(
                &a,
                'F',
                &format!(
                    "E1120 {}       1 controller.go:1] \"failed\" err=<",
                    clock(&a)
                ),
            ) + &cri(&a, 'F', "\tone")
                + &cri(&a, 'F', " >")
        }
        // Audit records of one request.
        8 => {
            audit(&a, "RequestReceived", step) + "\n" + &audit(&b, "ResponseComplete", step) + "\n"
        }
        9 => "something that nobody knows\n".to_owned(),
        10 => "\n".to_owned(),
        11 => format!(
            "{} W | wal: sync duration of 1.5{}s, expected less than 1s\n",
            a.replace('T', " ").trim_end_matches('Z'),
            step % 7
        ),
        12 => cri(
            &a,
            'F',
            &format!(
                r#"{{"level":"warn","ts":"{a}","caller":"wal/wal.go:805","msg":"slow fdatasync","took":"1.5s","expected-duration":"1s"}}"#
            ),
        ),
        13 => "panic: freepages\n\ngoroutine 1 [running]:\nmain.main()\n\t/go/main.go:1 +0x1\n"
            .to_owned(),
        // Both outputs of a container at once.
        14 => {
            let line = slow(&a, &key);
            cri(&a, 'P', &line[..60])
                + &format!("{b} stdout F {}\n", trace(&b, &key))
                + &cri(&c, 'F', &line[60..])
        }
        // Values and bodies.
        15 => put(&a, &key) + "\n",
        16 => {
            let line = put(&a, &key);
            let cut = line.find(SECRET).unwrap() + step % 9;
            cri(&a, 'P', &line[..cut - 30])
                + &cri(&b, 'P', &line[cut - 30..cut])
                + &cri(&c, 'F', &line[cut..])
        }
        17 => {
            let body = format!(
                r#"{{"kind":"Secret","metadata":{{"name":"a"}},"data":{{"{SECRET}":"{SECRET}"}},"type":"Opaque"}}"#
            );
            let bodies = format!(r#""requestObject":{body},"responseObject":{body},"requestRec"#);
            audit(&a, "ResponseComplete", step).replace(r#""requestRec"#, &bodies) + "\n"
        }
        _ => slow(&a, &key) + "\n",
    }
}

fn options() -> ScanOptions {
    ScanOptions {
        threads: 1,
        now: Some(BASE),
        ..ScanOptions::default()
    }
}

fn summary(dir: &Path, text: &[u8]) -> Summary {
    let path = dir.join("etcd.log");
    fs::write(&path, text).unwrap();
    let mut plan = plan(&[path], &HostRoot::live(), None);
    for stream in &mut plan.streams {
        for file in &mut stream.files {
            file.modified = None;
        }
    }
    let found = scan_open(&plan, &options(), &AtomicBool::new(false));
    let mut saved = Vec::new();
    found.save(&mut saved).unwrap();
    for part in SECRET.as_bytes().windows(6) {
        let told = memchr::memmem::find(&saved, part);
        let near = |at: usize| {
            let near = &saved[at.saturating_sub(300)..(at + 300).min(saved.len())];
            String::from_utf8_lossy(near).into_owned()
        };
        // Of a piece of one line, cut at both ends, nobody can tell.
        if text.contains(&b'\n') {
            assert_eq!(told.map(near), None);
        }
    }
    Summary::load(saved.as_slice()).unwrap()
}

fn content(mut summary: Summary) -> Value {
    summary.close();
    let args = Only::parse_from(["logs", "x"]).args;
    let mut value = serde_json::to_value(report(&summary, &args)).unwrap();
    let coverage = value["coverage"].as_object_mut().unwrap();
    let (lines, parsed, unparsed) = (
        coverage["lines"].as_u64().unwrap(),
        coverage["parsed"].as_u64().unwrap(),
        coverage["unparsed"].as_u64().unwrap(),
    );
    assert_eq!(parsed + unparsed, lines);
    for name in ["files", "file_list", "streams", "gaps", "examples"] {
        coverage.remove(name);
    }
    value
}

fn check(text: &[u8], cuts: &[usize]) {
    let home = tempfile::tempdir().unwrap();
    let expected = content(summary(home.path(), text));
    let mut merged: Option<Summary> = None;
    let mut from = 0;
    let mut parts: Vec<&[u8]> = Vec::new();
    for cut in cuts.iter().copied().chain([text.len()]) {
        if cut > from {
            parts.push(&text[from..cut]);
            from = cut;
        }
    }
    for part in &parts {
        let next = summary(home.path(), part);
        match &mut merged {
            None => merged = Some(next),
            Some(merged) => merged.merge(next),
        }
    }
    let shown: Vec<_> = parts
        .iter()
        .map(|part| String::from_utf8_lossy(part))
        .collect();
    same(&content(merged.unwrap()), &expected, "merged", &shown);
    // The same parts as rotated files of one stream, the highest number being the oldest.
    let folder = home.path().join("rotated");
    fs::create_dir(&folder).unwrap();
    for (at, part) in parts.iter().rev().enumerate() {
        let name = match at {
            0 => "etcd.log".to_owned(),
            n => format!("etcd.log.{n}"),
        };
        fs::write(folder.join(name), part).unwrap();
    }
    let mut plan = plan(&[folder], &HostRoot::live(), None);
    for file in plan.streams.iter_mut().flat_map(|stream| &mut stream.files) {
        file.modified = None;
    }
    let found = scan(&plan, &options(), &AtomicBool::new(false));
    same(&content(found), &expected, "rotated", &shown);
}

/// Compares, and shows what differs alone.
fn same(found: &Value, expected: &Value, how: &str, parts: &[std::borrow::Cow<'_, str>]) {
    let mut differs = Vec::new();
    diff(found, expected, "", &mut differs);
    assert!(
        differs.is_empty(),
        "{how}: {differs:#?}\n{}",
        parts.join("\n======\n")
    );
}

fn diff(a: &Value, b: &Value, path: &str, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) if x.keys().eq(y.keys()) => {
            for (key, value) in x {
                diff(value, &y[key], &format!("{path}.{key}"), out);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (at, value) in x.iter().enumerate() {
                diff(value, &y[at], &format!("{path}[{at}]"), out);
            }
        }
        _ if a == b => {}
        _ => out.push(format!("{path}: {a} is not {b}")),
    }
}

fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at + 1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn merged_summaries_are_the_summary_of_the_whole_log(
        kinds in prop::collection::vec(0..KINDS, 1..14),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        whole_lines in any::<bool>(),
    ) {
        // In the middle of a line, a runtime's part may lose its header, so that nobody knows that it
        // is one; only its own output's next lines can tell.
        let kind = |kind: &usize| match *kind {
            14 | 16 if !whole_lines => 18,
            kind => kind,
        };
        let kinds: Vec<usize> = kinds.iter().map(kind).collect();
        let text: String = kinds.iter().enumerate().map(|(step, kind)| group(*kind, step)).collect();
        let ends = line_ends(&text);
        let mut cuts: Vec<usize> = cuts
            .iter()
            .map(|cut| if whole_lines { *cut.get(&ends) } else { cut.index(text.len()) })
            .collect();
        cuts.sort_unstable();
        check(text.as_bytes(), &cuts);
    }
}

/// What follows begins much as a record does, and is the rest of one.
#[test]
fn a_body_that_is_cut_before_an_object_stays_whole() {
    let text = group(18, 0) + &group(17, 1) + &group(18, 2);
    let places = text.match_indices(r#"{"kind":"Secret""#);
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    assert_eq!(places.len(), 2);
    for place in places {
        check(text.as_bytes(), &[place]);
    }
}

#[test]
fn every_group_is_whole_when_cut_between_any_two_of_its_lines() {
    for kind in 0..KINDS {
        let text = group(18, 0) + &group(kind, 1) + &group(18, 2);
        for cut in line_ends(&text) {
            check(text.as_bytes(), &[cut]);
        }
    }
}

#[test]
fn pieces_are_joined_in_the_order_of_their_times_whatever_order_they_come_in() {
    let home = tempfile::tempdir().unwrap();
    let groups: Vec<String> = (0..6).map(|step| group(0, step)).collect();
    let text = groups.concat();
    let expected = content(summary(home.path(), text.as_bytes()));
    // Each request's lines are in two pieces.
    let ends = line_ends(&text);
    let cuts: Vec<usize> = ends.iter().skip(1).step_by(3).copied().collect();
    let from = [0].into_iter().chain(cuts.iter().copied());
    let to = cuts.iter().copied().chain([text.len()]);
    let parts: Vec<&[u8]> = from.zip(to).map(|(a, b)| &text.as_bytes()[a..b]).collect();
    for order in [
        [6, 3, 0, 1, 2, 5, 4],
        [6, 5, 4, 3, 2, 1, 0],
        [0, 2, 4, 6, 1, 3, 5],
    ] {
        let mut merged = Summary::default();
        let pieces = order.map(|at| summary(home.path(), parts[at])).to_vec();
        merged.merge_all(pieces);
        same(&content(merged), &expected, &format!("{order:?}"), &[]);
    }
}
