//! Memory of `logs` does not grow with what is read: neither with its length nor with the number
//! of names in it.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

/// One slow range of an object, by a client, each of which occurs once in the whole log.
fn lines(out: &mut Vec<u8>, from: u64, to: u64) {
    for n in from..to {
        let (minute, second, us) = (n / 60_000 % 60, n / 1_000 % 60, n % 1_000);
        let at = format!("2026-11-01T20:{minute:02}:{second:02}.{us:03}000Z");
        writeln!(
            out,
            r#"{{"level":"warn","ts":"{at}","caller":"txn/util.go:93","msg":"apply request took too long","took":"{}ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/group-{n}.example.com/kind-{n}/ns-{n}/object-{n}\" ","response":"range_response_count:1 size:{n}"}}"#,
            100 + n % 900,
        )
        .unwrap();
        writeln!(
            out,
            r#"{{"level":"warn","ts":"{at}","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"{at}","time spent":"{}ms","remote":"10.{}.{}.{}:41230","response type":"/etcdserverpb.KV/Range","request count":0,"request size":43,"response count":1,"response size":913,"request content":"key:\"/registry/group-{n}.example.com/kind-{n}/ns-{n}/object-{n}\" "}}"#,
            100 + n % 900,
            n >> 16 & 255,
            n >> 8 & 255,
            n & 255,
        )
        .unwrap();
    }
}

/// The most memory that a process had so far, in KiB; without what it maps from files.
fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    field("VmHWM:") - field("RssFile:")
}

#[test]
fn memory_is_bounded_however_long_a_log_is_and_however_many_names_it_has() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
        .args(["logs", "-", "--threads", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut text = Vec::new();
    let mut seen = Vec::new();
    const STEP: u64 = 8_000;
    for round in 0..8 {
        text.clear();
        lines(&mut text, round * STEP, (round + 1) * STEP);
        stdin.write_all(&text).unwrap();
        seen.push(most_memory(child.id()));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let (first, last) = (seen[2], seen[7]);
    assert!(last < 64 << 10, "KiB after each {STEP} requests: {seen:?}");
    assert!(
        last <= first + first / 4 + 1024,
        "KiB after each {STEP} requests: {seen:?}"
    );
}
