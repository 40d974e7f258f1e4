//! Plans over folders made for the purpose.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const LINE: &str = "2026-11-21 19:33:30.483562 I | etcdmain: etcd Version: 3.4.23\n";

fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, LINE).expect("a file");
    }
    dir
}

fn names(plan: &Plan, dir: &Path) -> Vec<(String, Vec<String>)> {
    let cut = |text: &str| text.replace(&format!("{}/", dir.display()), "");
    plan.streams
        .iter()
        .map(|stream| {
            let files = stream.files.iter().map(|file| cut(&file.name)).collect();
            (cut(&stream.id), files)
        })
        .collect()
}

fn folder(dir: &tempfile::TempDir) -> Plan {
    plan(&[dir.path().to_owned()], &HostRoot::new("/"), None)
}

const POD: &str = "var/log/pods/kube-system_etcd-cp0_dc711967b1cdd840d7b1b04656e9ff0f/etcd";

#[test]
fn rotated_sets_are_streams_in_time_order() {
    let rotated = format!("{POD}/0.log.20250502-181650");
    let (one, ten) = (format!("{POD}/1.log"), format!("{POD}/10.log"));
    let dir = tree(&[
        &ten,
        &one,
        &format!("{POD}/0.log"),
        &rotated,
        "x/etcd.log",
        "x/etcd.log.1",
        "x/etcd.log.10",
        "x/etcd.log.2",
        "audit/audit.log",
        "audit/audit-2025-05-02T18-16-50.123.log",
        "audit/audit-2025-05-01T18-16-50.123.log",
    ]);
    let got = names(&folder(&dir), dir.path());
    let want = |id: &str, files: &[&str]| {
        (
            id.to_owned(),
            files
                .iter()
                .map(|file| (*file).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        got,
        [
            want(
                "audit/audit.log",
                &[
                    "audit/audit-2025-05-01T18-16-50.123.log",
                    "audit/audit-2025-05-02T18-16-50.123.log",
                    "audit/audit.log",
                ]
            ),
            want(
                "x/etcd.log",
                &[
                    "x/etcd.log.10",
                    "x/etcd.log.2",
                    "x/etcd.log.1",
                    "x/etcd.log"
                ]
            ),
            want(
                "kube-system/etcd-cp0/etcd",
                &[&rotated, &format!("{POD}/0.log"), &one, &ten]
            ),
        ]
    );
}

#[test]
fn links_do_not_count_twice_and_loops_end() {
    let dir = tree(&[&format!("{POD}/0.log")]);
    let id = "0123456789abcdef".repeat(4);
    let docker = dir.path().join(format!("var/lib/docker/containers/{id}"));
    fs::create_dir_all(&docker).expect("folders");
    let json = docker.join(format!("{id}-json.log"));
    fs::rename(dir.path().join(POD).join("0.log"), &json).expect("moves");
    symlink(&json, dir.path().join(POD).join("0.log")).expect("links");
    let containers = dir.path().join("var/log/containers");
    fs::create_dir_all(&containers).expect("folders");
    let link = containers.join(format!("etcd-cp0_kube-system_etcd-{id}.log"));
    symlink(dir.path().join(POD).join("0.log"), link).expect("links");
    symlink(dir.path(), dir.path().join("var/loop")).expect("links");
    symlink("/nowhere/at/all", containers.join("gone.log")).expect("links");
    let plan = folder(&dir);
    assert_eq!(plan.streams.len(), 1, "{plan:?}");
    assert_eq!(plan.streams[0].id, "kube-system/etcd-cp0/etcd");
    assert_eq!(plan.streams[0].component, Component::Etcd);
    assert_eq!(plan.streams[0].node.as_deref(), Some("cp0"));
    assert_eq!(plan.skipped.duplicates, 3);
    assert_eq!(plan.problems.len(), 1);
    assert!(plan.problems[0].why.contains("leads back"));
}

#[test]
fn a_pods_link_to_dockers_file_names_the_writer_under_any_root() {
    let pod = "var/log/pods/kube-system_kube-scheduler-cp1_0123456789abcdef0123456789abcdef/kube-scheduler";
    let dir = tree(&["var/lib/docker/containers/abc/abc-json.log"]);
    fs::create_dir_all(dir.path().join(pod)).expect("folders");
    let target = "/var/lib/docker/containers/abc/abc-json.log";
    symlink(target, dir.path().join(pod).join("0.log")).expect("links");
    let plan = plan(&[], &HostRoot::new(dir.path()), None);
    assert_eq!(plan.streams.len(), 1, "{plan:?}");
    let stream = &plan.streams[0];
    assert_eq!(stream.component, Component::Scheduler);
    assert_eq!(stream.node.as_deref(), Some("cp1"));
    let shown = dir.path().join(pod).join("0.log");
    assert_eq!(stream.files[0].name, shown.display().to_string());
}

#[test]
fn pieces_whose_numbers_count_up_are_put_in_the_order_of_their_times() {
    let dir = tree(&[]);
    for (at, minute) in [("part.00", 30), ("part.01", 31), ("part.02", 32)] {
        let line = LINE.replace(":33:", &format!(":{minute}:"));
        fs::write(dir.path().join(at), line).expect("a file");
    }
    let named = ["part.02", "part.00", "part.01"].map(|name| dir.path().join(name));
    let found = plan(&named, &HostRoot::new("/"), None);
    let want = vec![
        "part.00".to_owned(),
        "part.01".to_owned(),
        "part.02".to_owned(),
    ];
    assert_eq!(names(&found, dir.path()), [("part".to_owned(), want)]);
}

#[test]
fn what_is_no_log_is_counted_not_read() {
    let dir = tree(&["logs/etcd.log", "syslog"]);
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).expect("writes");
    write("manifest.yaml", b"apiVersion: v1\n");
    write("m.prom", b"# HELP x\nx 1\n");
    write("truth.json", b"{\"cause\":\"disk\"}\n");
    write("db", &[0; 4096]);
    write("stat", b"cpu 1 2 3\n");
    write("empty.log", b"");
    let fifo = dir.path().join("fifo.log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).expect("a fifo");
    let plan = folder(&dir);
    assert_eq!(plan.streams.len(), 2, "{plan:?}");
    assert_eq!(
        plan.skipped,
        Skipped {
            other: 5,
            empty: 1,
            special: 1,
            ..Skipped::default()
        }
    );
    assert!(plan.problems.is_empty());
}

#[test]
fn what_was_named_is_read_or_reported() {
    let dir = tree(&["notes.yaml"]);
    let path = |name: &str| dir.path().join(name);
    fs::write(path("binary.log"), [0; 100]).expect("writes");
    fs::write(path("empty.log"), "").expect("writes");
    let named = [
        path("notes.yaml"),
        path("binary.log"),
        path("empty.log"),
        path("none.log"),
        "-".into(),
    ];
    let plan = plan(&named, &HostRoot::new("/"), None);
    let ids: Vec<_> = names(&plan, dir.path())
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ids, ["-", "empty.log", "notes.yaml"]);
    assert_eq!(plan.problems.len(), 2);
    assert!(plan.problems.iter().all(|problem| problem.named));
}

#[test]
fn a_host_gives_its_control_plane_only() {
    let controller =
        "var/log/pods/capi-system_capi-controller-manager-7c_0f0f0f0f-1111/manager/0.log";
    let dir = tree(&[
        &format!("{POD}/0.log"),
        controller,
        "var/log/pods/default_shop-1_0f0f0f0f-2222/web/0.log",
        "var/log/kubernetes/audit/audit.log",
        "var/log/syslog",
        "var/log/kube-scheduler.log",
        "var/log/kube-scheduler.log.1",
    ]);
    let plan = plan(&[], &HostRoot::new(dir.path()), None);
    let got: Vec<_> = plan
        .streams
        .iter()
        .map(|stream| (stream.component, stream.files.len()))
        .collect();
    assert_eq!(
        got,
        [
            (Component::Scheduler, 2),
            (Component::Apiserver, 1),
            (Component::Controller, 1),
            (Component::Etcd, 1),
        ]
    );
}

#[test]
fn files_before_the_window_are_passed_over() {
    let dir = tree(&["a/etcd.log", "a/etcd.log.1"]);
    let old = fs::File::options()
        .write(true)
        .open(dir.path().join("a/etcd.log.1"))
        .expect("opens");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    old.set_modified(long_ago).expect("sets");
    let since = Some(Timestamp::from_secs(1_700_010_000));
    let plan = plan(&[dir.path().to_owned()], &HostRoot::new("/"), since);
    assert_eq!(plan.skipped.old, 1);
    assert_eq!(plan.streams[0].files.len(), 1);
}

#[test]
fn a_unit_is_read_through_journalctl() {
    let since = Some(Timestamp::from_secs(1_700_000_000));
    let stream = host::unit_stream("/usr/bin/journalctl", "etcd", Component::Etcd, since);
    let Source::Command(argv) = &stream.files[0].source else {
        panic!("{stream:?}");
    };
    assert_eq!(argv[0], "/usr/bin/journalctl");
    assert!(argv.contains(&"--since=@1700000000".to_owned()));
    assert!(argv.contains(&"--unit=etcd.service".to_owned()));
}

#[test]
fn what_kubelet_is_packing_counts_once() {
    use std::io::Write as _;
    let text: String = (0..4000)
        .map(|n| format!("2026-11-21T19:33:30.{n:06}Z stderr F {LINE}"))
        .collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("packs");
    let packed = encoder.finish().expect("packs");
    let rotated = format!("{POD}/0.log.20261128-090000");
    for (part, beside, left) in [
        (packed.len(), true, vec![rotated.clone()]),
        (packed.len() / 2, true, vec![rotated.clone()]),
        // Alone it is all that is left.
        (packed.len(), false, vec![format!("{rotated}.tmp")]),
    ] {
        let dir = tree(&[&format!("{POD}/1.log")]);
        if beside {
            fs::write(dir.path().join(&rotated), &text).expect("a file");
        }
        let tmp = dir.path().join(format!("{rotated}.tmp"));
        fs::write(tmp, packed.get(..part).expect("a part")).expect("a file");
        let plan = folder(&dir);
        let mut files: Vec<String> = names(&plan, dir.path())
            .into_iter()
            .flat_map(|(_, files)| files)
            .collect();
        files.retain(|file| !file.ends_with("1.log"));
        assert_eq!(files, left, "{part}");
        assert_eq!(plan.skipped.duplicates, u64::from(beside));
    }
}

#[test]
fn a_packed_copy_under_another_name_counts_once() {
    use std::io::Write as _;
    let line = |n: u32| format!("2026-11-21T19:33:30.{n:06}Z stderr F {LINE}");
    let text: String = (0..4000).map(line).collect();
    let packed = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("packs");
        encoder.finish().expect("packs")
    };
    let (half, _) = text.split_at(text.len() / 2 / line(0).len() * line(0).len());
    let mut other = text.clone();
    other.replace_range(text.len() - 5.., "9.99\n");
    let short = line(0);
    for (plain, name, bytes, copies) in [
        // As logrotate and kubelet name them, whole or the beginning of what was written on.
        ("x/audit.log", "x/audit.log.1.gz", packed(&text), 1),
        ("x/audit.log", "x/audit.log.1.gz", packed(half), 1),
        (
            &*format!("{POD}/0.log"),
            &*format!("{POD}/0.log.20261121-203300.gz"),
            packed(&text),
            1,
        ),
        // Another end, another pod, a damaged file, too few bytes to tell.
        ("x/audit.log", "x/audit.log.1.gz", packed(&other), 0),
        (
            &*format!("{POD}/0.log"),
            "var/log/pods/kube-system_etcd-cp1_ac711967b1cdd840d7b1b04656e9ff0f/etcd/0.log.20261121-203300.gz",
            packed(&text),
            0,
        ),
        (
            "x/audit.log",
            "x/audit.log.1.gz",
            packed(&text).split_at(900).0.to_vec(),
            0,
        ),
        ("x/audit.log", "x/audit.log.1.gz", packed(&short), 0),
    ] {
        let dir = tree(&[plain, name]);
        fs::write(dir.path().join(plain), &text).expect("a file");
        fs::write(dir.path().join(name), bytes).expect("a file");
        let plan = folder(&dir);
        assert_eq!(plan.skipped.duplicates, copies, "{plain} {name}");
        let files: usize = plan.streams.iter().map(|stream| stream.files.len()).sum();
        assert_eq!(files as u64, 2 - copies, "{plain} {name}");
    }
}

#[test]
fn a_trace_tells_the_year_of_a_log_that_was_copied() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("kube-apiserver.log");
    let year = |date: &str| {
        let text = format!(
            "I1220 07:32:10.071205       1 a.go:1] x\nI1220 07:32:11.071205       1 trace.go:205] Trace[908013652]: \"Get\" url:/api/v1/pods ({date} 07:31:25.959) (total time: 45111ms):\n"
        );
        fs::write(&path, text).expect("a file");
        let plan = folder(&dir);
        let file = plan.streams.first().and_then(|stream| stream.files.first());
        file.expect("a file").context(None).reference
    };
    let now = year("20-Dec-9999").expect("its last change");
    let then = year("20-Dec-2022").expect("the trace's");
    assert_eq!(
        then,
        Timestamp::parse("2023-10-16T00:00:00Z").expect("a time")
    );
    assert!(now > then);
}

/// The times of all records in a folder's streams, as a scan in small pieces finds them.
fn times_of(dir: &tempfile::TempDir) -> Vec<(String, String, Years)> {
    let found = folder(dir);
    let options = crate::logs::scan::ScanOptions {
        chunk: Some(64),
        threads: 2,
        ..Default::default()
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let summary = crate::logs::scan::scan(&found, &options, &stop);
    let files = summary.streams.iter().flat_map(|stream| &stream.files);
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    files
        .map(|file| (text(file.from), text(file.to), file.years))
        .collect()
}

const ZAP: &str = r#"{"level":"warn","ts":"DAYT06:42:36.000Z","caller":"wal/wal.go:806","msg":"slow fdatasync","took":"7.4s","expected-duration":"1s"}"#;

#[test]
fn dated_neighbours_tell_the_year_across_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = format!(
        "I1231 23:59:58.071205       1 a.go:1] x\n{}\nI1231 23:59:59.071205       1 a.go:1] x\nI0101 00:00:01.071205       1 a.go:1] x\n{}\nI0102 00:00:01.071205       1 a.go:1] x\n",
        ZAP.replace("DAY", "2020-12-31"),
        ZAP.replace("DAY", "2021-01-01"),
    );
    fs::write(dir.path().join("k3s.log"), text).expect("a file");
    let want = (
        "2020-12-31T06:42:36.000Z".to_owned(),
        "2021-01-02T00:00:01.071205Z".to_owned(),
        Years::Neighbours,
    );
    assert_eq!(times_of(&dir), [want]);
}

#[test]
fn other_files_of_a_bundle_tell_the_year() {
    let dir = tempfile::tempdir().expect("a folder");
    let klog = "E0125 06:42:40.227000       1 leaderelection.go:325] x\n";
    fs::write(dir.path().join("kube-controller-manager.log"), klog).expect("a file");
    fs::write(
        dir.path().join("etcd.log"),
        ZAP.replace("DAY", "2021-01-25"),
    )
    .expect("a file");
    let mut years: Vec<_> = times_of(&dir)
        .into_iter()
        .map(|file| (file.0, file.2))
        .collect();
    years.sort();
    let want = [
        ("2021-01-25T06:42:36.000Z".to_owned(), Years::LastChange),
        ("2021-01-25T06:42:40.227Z".to_owned(), Years::Bundle),
    ];
    assert_eq!(years, want);
}

/// A log that cannot be read as it is may be the one that matters: it is said, each kind once.
#[test]
fn packed_logs_in_a_folder_are_problems() {
    let dir = tree(&["a/0.log"]);
    let xz = b"\xfd7zXZ\0\0\x04rest";
    for name in ["a/0.log.1.xz", "b/etcd.log.xz", "b/other"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, xz).expect("a file");
    }
    fs::write(dir.path().join("a/0.log.2.bz2"), "BZh91AY&SY").expect("a file");
    // What its name says is no log is none, however it is packed.
    fs::write(dir.path().join("a/snapshot.db.xz"), xz).expect("a file");
    fs::write(dir.path().join("a/tool"), "\x7fELF\x02\x01").expect("a file");
    let plan = folder(&dir);
    let got: Vec<(String, &str, bool)> = plan
        .problems
        .iter()
        .map(|problem| {
            let name = problem
                .path
                .replace(&format!("{}/", dir.path().display()), "");
            (name, problem.why.as_str(), problem.named)
        })
        .collect();
    assert_eq!(
        got,
        [
            (
                "a/0.log.2.bz2".to_owned(),
                "is compressed with bzip2: unpack it first",
                false
            ),
            (
                "a/0.log.1.xz".to_owned(),
                "is compressed with xz: unpack it first; so are 2 more files",
                false
            ),
        ]
    );
    assert_eq!(plan.skipped.other, 2);
}

/// Go's own lines have no zone, and an etcd in local time says its own on all others.
#[test]
fn zaps_zone_is_that_of_the_lines_without_one() {
    let zone = |text: &str| {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("etcd.log");
        fs::write(&path, text).expect("a file");
        let file = LogFile::open_path(&path).expect("a log");
        let mut decoder = crate::logs::decode::Decoder::new(file.context(None));
        let mut times = Vec::new();
        let mut take = |record: &crate::logs::record::Record<'_>| times.extend(record.time);
        decoder.block(text.as_bytes(), 1, &mut take);
        decoder.finish(&mut take);
        times.last().map(ToString::to_string)
    };
    let go = "WARNING: 2026/11/22 02:27:57 [core] grpc: x\n";
    let zap = |time: &str| {
        format!("{{\"level\":\"info\",\"ts\":\"{time}\",\"caller\":\"a/b.go:1\",\"msg\":\"x\"}}\n")
    };
    let utc = Some("2026-11-22T02:27:57.000Z".to_owned());
    let east = zap("2026-11-22T02:25:26.972+0530");
    let moved = Some("2026-11-21T20:57:57.000Z".to_owned());
    assert_eq!(zone(&format!("{east}{go}")), moved);
    assert_eq!(
        zone(&format!(
            "2026-11-22T02:25:26.972+0530\tINFO\ta/b.go:1\tx\n{go}"
        )),
        moved
    );
    assert_eq!(
        zone(&format!("{}{go}", zap("2026-11-21T20:55:26.972Z"))),
        utc
    );
    // Seconds since the epoch, or nothing, name no zone; where two are named, neither is believed.
    assert_eq!(zone(go), utc);
    let west = zap("2026-11-21T15:55:26.972-0500");
    assert_eq!(zone(&format!("{east}{west}{go}")), utc);
    // A wrapper's time is the line's own.
    let cri = "2026-11-22T02:27:57.100000000Z stderr F ";
    assert_eq!(zone(&format!("{east}{cri}{go}")), utc);
}
