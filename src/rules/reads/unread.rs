//! Every evidence key is read by somebody, or stands here with the reason why it is collected.

use std::path::Path;

use super::tests::{names_of_keys, sources, word};

/// Folders whose code judges, advises or prints.
const READERS: &[&str] = &[
    "advise",
    "cli",
    "diagnosis",
    "patch",
    "render",
    "report",
    "rules",
];

/// Shown by `--save` and `check --format json`, and by nothing else.
const TOLD: &str =
    "context for people who look into the saved evidence; no limit for it has a source";
/// The report of the bench says it from its own result.
const BENCH: &str =
    "`bench` prints it from its own result; saved, so that two benches can be compared";
/// Another key says the same in the form in which it is judged.
const TWICE: &str =
    "the same reading as another key that is judged, in a form for charts and scripts";

/// Keys that no rule, advice or renderer asks for by name.
const UNREAD: &[(&str, &str)] = &[
    ("apiserver.codes", TOLD),
    ("apiserver.etcd.latency", TWICE),
    ("apiserver.longrunning", TOLD),
    ("apiserver.watch-events", TOLD),
    ("bench.disk.commit.duty", BENCH),
    ("bench.disk.doubts", BENCH),
    ("bench.disk.durable", BENCH),
    ("bench.disk.puts", BENCH),
    ("bench.etcd.check-perf", BENCH),
    ("bench.etcd.client.cost", BENCH),
    ("bench.etcd.client.share", BENCH),
    ("bench.etcd.errors", BENCH),
    ("bench.etcd.limit", BENCH),
    ("bench.etcd.member.peer", BENCH),
    ("bench.etcd.member.processors", BENCH),
    ("bench.etcd.member.wal.fsync", BENCH),
    ("bench.etcd.member.wal.fsync.duty", BENCH),
    ("bench.etcd.read.idle", BENCH),
    ("bench.etcd.read.loaded", BENCH),
    ("bench.etcd.runs", BENCH),
    ("cgroup.cpu.periods", TWICE),
    ("cgroup.cpu.throttled-time", TWICE),
    ("client.phases", TWICE),
    (
        "cpu.busy",
        "a busy CPU is no fault while nobody waits for it: pressure and run delay are judged",
    ),
    (
        "cpu.iowait",
        "idle time with some I/O under way, which says nothing of etcd's",
    ),
    (
        "cpu.load",
        "counts what waits for disks too: pressure and run delay are judged",
    ),
    (
        "device.busy",
        "a device with many queues is busy and fast; the time of writes and flushes is judged",
    ),
    ("device.discards", TOLD),
    ("device.flush.share", TWICE),
    (
        "device.queue-length",
        "a long queue is no fault of a device that empties it in time",
    ),
    ("device.shared", TOLD),
    ("device.write.bytes", TWICE),
    ("devices.other", TOLD),
    (
        "distribution",
        "asked for before evidence is judged, to choose the profile and the emitter",
    ),
    ("fs.free-share", TWICE),
    ("logs.turned.away", TOLD),
    ("mem.dirty", TOLD),
    ("mem.swap-used", TWICE),
    ("process.cpu.phases", TWICE),
    ("process.sched-wait", TOLD),
    ("server.apply.by", TOLD),
    (
        "server.compaction",
        "the pauses of a compaction hold requests up and are judged, not its whole time",
    ),
    ("server.grpc", TOLD),
    ("server.keys", TOLD),
];

#[test]
fn every_key_has_a_reader_or_a_reason() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut code: Vec<String> = Vec::new();
    for folder in READERS {
        code.extend(sources(&src.join(folder)));
    }
    let mut read: Vec<&str> = code
        .iter()
        .flat_map(|text| text.split("keys::").skip(1))
        .map(word)
        .collect();
    read.sort_unstable();
    let names = names_of_keys(&src);
    let told = |name: &str| UNREAD.iter().any(|(key, _)| *key == name);
    for (ident, name) in &names {
        match (read.binary_search(&ident.as_str()).is_ok(), told(name)) {
            (false, false) => panic!("{name} is collected, and nobody reads it"),
            (true, true) => panic!("{name} is read: take it out of the list"),
            _ => {}
        }
    }
    assert!(UNREAD.iter().all(|(_, why)| !why.is_empty()));
    let sorted = UNREAD.iter().map(|(key, _)| *key);
    assert!(sorted.is_sorted(), "not sorted by name");
    for (key, _) in UNREAD {
        assert!(names.values().any(|name| name == key), "{key} is no key");
    }
}
