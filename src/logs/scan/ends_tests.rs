//! How programs end, and that each end is told once and at a time, however a log is cut.

use std::fs;
use std::sync::atomic::AtomicBool;

use super::{ScanOptions, scan};
use crate::clock::Timestamp;
use crate::logs::aggregate::life::Life;
use crate::logs::view::View;

const START: &str = r#"{"level":"info","ts":"2026-11-01T10:00:00.000Z","caller":"embed/etcd.go:310","msg":"starting an etcd server","etcd-version":"3.5.9","name":"m1"}"#;
const READY: &str = r#"{"level":"info","ts":"2026-11-01T10:00:02.100Z","caller":"embed/serve.go:98","msg":"ready to serve client requests"}"#;
const AGAIN: &str = r#"{"level":"info","ts":"2026-11-01T10:00:32.000Z","caller":"embed/etcd.go:310","msg":"starting an etcd server","etcd-version":"3.5.9","name":"m1"}"#;
const FATAL: &str = r#"{"level":"panic","ts":"2026-11-01T10:00:02.100Z","caller":"mvcc/kvstore.go:98","msg":"tick went wrong"}"#;
const DUMP: &str = "panic: tick went wrong\n\ngoroutine 98 [running]:\ngo.etcd.io/etcd/x.(*store).tick(0xc42022cb70, 0x46)\n\tgo.etcd.io/etcd/x.go:143 +0x3c8";

/// What is told of the life of the one etcd of a log, and of its kinds that end programs how many.
fn told(lines: &[&str], chunk: Option<u64>) -> (Life, u64) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("etcd.log"), lines.join("\n") + "\n").unwrap();
    let root = crate::target::HostRoot::new("/");
    let plan = crate::logs::input::plan(&[dir.path().to_owned()], &root, None);
    let options = ScanOptions {
        threads: 1,
        chunk,
        ..ScanOptions::default()
    };
    let view = View::of(&scan(&plan, &options, &AtomicBool::new(false)));
    let mut lives = view
        .facts
        .iter()
        .filter(|(place, _)| place.component == "etcd");
    let (_, facts) = lives.next().expect("an etcd");
    let ends = view.kinds.iter().filter(|kind| kind.kind == "panic");
    (facts.life.clone(), ends.map(|kind| kind.row.count).sum())
}

fn deaths(life: &Life) -> Vec<i64> {
    life.deaths.iter().map(|at| at.0 / 1000 % 60_000).collect()
}

#[test]
fn a_dump_without_a_time_ends_its_program_at_the_line_before_it() {
    let lines = [START, READY, DUMP];
    for chunk in [None, Some(200), Some(400)] {
        let (life, ends) = told(&lines, chunk);
        assert_eq!((deaths(&life), ends), (vec![2_100], 1), "{chunk:?}");
        assert_eq!(life.why, "tick went wrong");
    }
    // It died and came back, and died again.
    let (life, ends) = told(&[START, READY, DUMP, AGAIN, DUMP], None);
    assert_eq!((deaths(&life), ends), (vec![2_100, 32_000], 2));
    // Nothing tells when.
    let (life, _) = told(&[DUMP, START, READY], None);
    assert_eq!(deaths(&life), [0_i64; 0]);
    assert!(life.ready > Some(Timestamp::from_secs(0)));
}

#[test]
fn what_a_program_says_and_its_runtime_says_again_is_one_end() {
    for chunk in [None, Some(200)] {
        let (life, ends) = told(&[START, FATAL, DUMP], chunk);
        assert_eq!((deaths(&life), ends), (vec![2_100], 1), "{chunk:?}");
        assert_eq!(life.why, "tick went wrong");
    }
    // Another one stands between them.
    let (_, ends) = told(&[START, FATAL, AGAIN, DUMP], None);
    assert_eq!(ends, 2);
}

#[test]
fn whom_raft_names_is_a_peer_and_nobody_is_its_own() {
    let raft = |text: &str| {
        format!(
            r#"{{"level":"info","ts":"2026-11-01T10:00:03.000Z","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"{text}"}}"#
        )
    };
    let lines = [
        START.to_owned(),
        raft("raft.node: aaaa1 elected leader aaaa1 at term 3"),
        raft("raft.node: aaaa1 elected leader bbbb2 at term 4"),
        raft(
            "aaaa1 [term: 4] received a MsgHeartbeat message with higher term from cccc3 [term: 5]",
        ),
        "2026-11-01 10:00:04.000000 E | etcdserver: aaaa1's hash 1 != dddd4's hash 2".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (life, _) = told(&lines, None);
    assert_eq!(life.id.as_deref(), Some("aaaa1"));
    let peers: Vec<&str> = life.peers.keys().map(String::as_str).collect();
    assert_eq!(peers, ["bbbb2", "cccc3", "dddd4"]);
}
