//! The host engine on recorded nodes with a known cause.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test copies fixtures to take parts of them away; helpers may panic"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_doctor::clock::{Clock, Timestamp};
use etcd_doctor::evidence::{
    Completeness, EvidenceSet, Missing, Reader, Reading, Subject, SubjectKind, keys,
};
use etcd_doctor::host::{self, Hints};
use etcd_doctor::target::HostRoot;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/host")
        .join(name)
}

fn collect(path: &Path, hints: &Hints, node: &str) -> EvidenceSet {
    let root = HostRoot::new(path);
    let clock = Clock::Fixed(Timestamp(0));
    let model = host::read(&root, hints, Duration::from_secs(3600), clock);
    assert!(!model.live, "a recorded tree must not be waited for");
    host::collect(&model, node)
}

fn etcd(node: &str) -> Subject {
    Subject::new(SubjectKind::Component, "etcd").on(node)
}

fn device(name: &str, node: &str) -> Subject {
    Subject::new(SubjectKind::Device, name).on(node)
}

fn barrier(set: &EvidenceSet, about: &Subject, row: &str, column: &str) -> String {
    let mounts = Reader::new(set).get(&keys::MOUNTS, about).unwrap();
    let row = mounts.row(row).unwrap();
    row.get_text(column).unwrap_or_default().to_owned()
}

#[test]
fn barriers_off_by_the_option_and_by_the_count() {
    let set = collect(&fixture("barrier-off"), &Hints::default(), "cp0");
    for row in ["data", "wal"] {
        assert_eq!(barrier(&set, &etcd("cp0"), row, "barrier"), "off");
        assert_eq!(barrier(&set, &etcd("cp0"), row, "confidence"), "high");
        assert_eq!(barrier(&set, &etcd("cp0"), row, "device"), "loop0");
    }
    let reader = Reader::new(&set);
    let loop0 = device("loop0", "cp0");
    assert_eq!(reader.get(&keys::DEVICE_FLUSHES, &loop0), Ok(0.0));
    assert!(reader.get(&keys::DEVICE_WRITES, &loop0).unwrap() > 2500.0);
    assert!(reader.get(&keys::DEVICE_FLUSH_TIME, &loop0).is_err());
    // What a flush cost while they were still sent.
    let boot = reader.get(&keys::DEVICE_FLUSH_TIME_BOOT, &loop0).unwrap();
    assert!((boot - 0.672).abs() < 0.001);
    let steps = reader.get(&keys::BARRIER_STEPS, &etcd("cp0")).unwrap();
    let state = |step: &str| {
        steps
            .row(step)
            .unwrap()
            .get_text("state")
            .unwrap()
            .to_owned()
    };
    assert_eq!(state("wal 1-mount-options"), "off");
    assert_eq!(state("wal 3-write-cache"), "on");
    assert_eq!(state("wal 4-flush-count"), "off");
    assert_eq!(state("wal 5-flush-time"), "unknown");
}

#[test]
fn the_count_alone_finds_barriers_off() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("barrier-off"), dir.path());
    let table = dir.path().join("proc/self/mountinfo");
    let text = fs::read_to_string(&table)
        .unwrap()
        .replace(",nobarrier", "");
    fs::write(&table, text).unwrap();
    let set = collect(dir.path(), &Hints::default(), "cp0");
    assert_eq!(barrier(&set, &etcd("cp0"), "wal", "barrier"), "off");
    assert_eq!(barrier(&set, &etcd("cp0"), "wal", "confidence"), "medium");
}

#[test]
fn a_slow_disk_shows_in_its_flushes() {
    let set = collect(&fixture("slow-disk"), &Hints::default(), "cp0");
    let reader = Reader::new(&set);
    let loop0 = device("loop0", "cp0");
    let flush = reader.get(&keys::DEVICE_FLUSH_TIME, &loop0).unwrap();
    assert!((41.0..46.0).contains(&flush), "{flush}");
    assert_eq!(reader.get(&keys::DEVICE_FLUSHES, &loop0), Ok(7350.0));
    assert!(reader.get(&keys::DEVICE_BUSY, &loop0).unwrap() > 0.9);
    assert!(reader.get(&keys::DEVICE_FLUSH_SHARE, &loop0).unwrap() > 0.8);
    assert_eq!(barrier(&set, &etcd("cp0"), "data", "barrier"), "on");
    let record = set.record(&keys::DEVICE_FLUSHES, &loop0).unwrap();
    assert_eq!(
        record.window.from,
        Timestamp::parse("2026-11-21T20:55:40.176Z")
    );
    assert_eq!(
        record.window.to,
        Timestamp::parse("2026-11-21T20:57:52.174Z")
    );
    assert!(
        record
            .origin
            .source
            .contains("sys-block-loop0-stat-20261121T205752.174Z")
    );
    let pressure = reader
        .get(&keys::PRESSURE, &Subject::new(SubjectKind::Node, "cp0"))
        .unwrap();
    assert!(pressure.row("io").unwrap().get("max_some").unwrap() > 0.6);
    // The CPU is not to blame.
    assert_eq!(reader.get(&keys::CGROUP_THROTTLED, &etcd("cp0")), Ok(0.0));
    assert!(reader.get(&keys::RUN_DELAY, &etcd("cp0")).unwrap() < 0.05);
}

#[test]
fn a_starved_etcd_shows_in_its_cgroup_and_not_in_its_disk() {
    let set = collect(&fixture("cpu-starved"), &Hints::default(), "cp0");
    let reader = Reader::new(&set);
    let share = reader.get(&keys::CGROUP_THROTTLED, &etcd("cp0")).unwrap();
    assert!((share - 825.0 / 841.0).abs() < 1e-9);
    let record = set.record(&keys::CGROUP_THROTTLED, &etcd("cp0")).unwrap();
    // One sample: since the group was made, not over a window.
    assert_eq!(record.origin.completeness, Completeness::Estimate);
    assert_eq!(reader.get(&keys::CGROUP_CPU_LIMIT, &etcd("cp0")), Ok(0.05));
    assert!(
        reader
            .get(&keys::CGROUP_THROTTLED_TIME, &etcd("cp0"))
            .unwrap()
            > 0.5
    );
    assert!(reader.get(&keys::RUN_DELAY, &etcd("cp0")).unwrap() > 0.2);
    // Of the first thread alone: in sum a lower bound, each time a sample.
    let wait = reader.get(&keys::RUN_WAIT, &etcd("cp0")).unwrap();
    assert!((1.5..1.6).contains(&wait), "{wait}");
    let share = reader.get(&keys::RUN_WAIT_SHARE, &etcd("cp0")).unwrap();
    assert!((0.95..0.96).contains(&share), "{share}");
    let zram = device("zram4", "cp0");
    assert!(reader.get(&keys::DEVICE_WRITE_TIME, &zram).unwrap() < 0.02);
    assert!(matches!(
        reader.get(&keys::DEVICE_FLUSH_TIME, &zram),
        Err(Missing::NotEnough { .. })
    ));
}

/// A first thread that hardly ran says nothing of the others.
#[test]
fn a_thread_that_sleeps_tells_no_wait() {
    let set = collect(&fixture("healthy"), &Hints::default(), "cp0");
    let reader = Reader::new(&set);
    assert!(reader.get(&keys::RUN_DELAY, &etcd("cp0")).is_ok());
    assert!(reader.get(&keys::RUN_WAIT, &etcd("cp0")).is_err());
}

/// etcd on a device mapper over the disk: its own writes are slow, those of the disk are not known
/// to be; without samples of it it is told as not measured.
#[test]
fn a_layer_above_the_disk_is_measured_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("slow-disk"), dir.path());
    let at = |path: &str| dir.path().join(path);
    let table = at("proc/self/mountinfo");
    let text = fs::read_to_string(&table)
        .unwrap()
        .replace("7:0 / /var", "252:0 / /var")
        .replace("/dev/loop0", "/dev/mapper/etcd");
    fs::write(&table, text).unwrap();
    fs::create_dir_all(at("sys/block/dm-0/dm")).unwrap();
    fs::create_dir_all(at("sys/block/dm-0/slaves/loop0")).unwrap();
    fs::write(at("sys/block/dm-0/dm/name"), "etcd\n").unwrap();
    fs::write(at("sys/block/dm-0/slaves/loop0/.keep"), "").unwrap();
    let loop0 = device("loop0", "cp0");
    let above = || {
        let set = collect(dir.path(), &Hints::default(), "cp0");
        let reader = Reader::new(&set);
        assert!(reader.get(&keys::DEVICE_FLUSH_TIME, &loop0).is_ok());
        let others = reader.any(&keys::DEVICES_OTHER).map(|(_, table)| table);
        assert!(others.is_err() || others.unwrap().row("dm-0").is_none());
        let layers = reader.get(&keys::DEVICE_ABOVE, &loop0).unwrap();
        let row = layers.row("dm-0").unwrap();
        (row.get("writes"), row.get("max_write_mean_ms"))
    };
    fs::write(at("sys/block/dm-0/stat"), "0 0 0 0 5000 0 0 200000 0 0 0\n").unwrap();
    assert_eq!(above(), (None, None));
    for (time, writes, ms) in [("205540", 1000, 20_000), ("205752", 5000, 200_000)] {
        fs::write(
            at(&format!("sys-block-dm-0-stat-20261121T{time}.175Z")),
            format!("0 0 0 0 {writes} 0 0 {ms} 0 0 0\n"),
        )
        .unwrap();
    }
    assert_eq!(above(), (Some(4000.0), Some(45.0)));
}

#[test]
fn two_samples_of_the_cgroup_are_a_window() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("cpu-starved"), dir.path());
    let group = "sys/fs/cgroup/cpu/kubepods/burstable/pod042a364195de97877e1a4bcc7cb0eee0";
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join(group).join(name), text).unwrap();
    };
    write(
        "cpu.stat-20261121T203900.000Z",
        "nr_periods 100\nnr_throttled 10\nthrottled_time 1000000000\n",
    );
    write(
        "cpu.stat-20261121T203910.000Z",
        "nr_periods 200\nnr_throttled 60\nthrottled_time 6000000000\n",
    );
    fs::remove_file(dir.path().join(group).join("cpu.stat")).unwrap();
    let set = collect(dir.path(), &Hints::default(), "cp0");
    let reader = Reader::new(&set);
    assert_eq!(reader.get(&keys::CGROUP_THROTTLED, &etcd("cp0")), Ok(0.5));
    assert_eq!(
        reader.get(&keys::CGROUP_THROTTLED_TIME, &etcd("cp0")),
        Ok(0.5)
    );
    let record = set.record(&keys::CGROUP_THROTTLED, &etcd("cp0")).unwrap();
    assert_eq!(record.window.secs(), Some(10.0));
    assert_eq!(record.origin.completeness, Completeness::Exact);
}

/// A kube-apiserver beside etcd has a cgroup of its own, and what holds it back is none of etcd's.
#[test]
fn the_limit_of_a_kube_apiserver_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("healthy"), dir.path());
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("proc/4242/cmdline", "/usr/bin/kube-apiserver\0--v=2\0");
    write("proc/4242/cgroup", "1:cpu:/kubepods/podapi\n0::/\n");
    // Of a program that only has it in its name.
    write("proc/4343/cmdline", "kube-apiserver-network-proxy\0");
    write("proc/4343/cgroup", "1:cpu:/kubepods/podother\n0::/\n");
    let stat = |throttled: u32| {
        format!("nr_periods 1500\nnr_throttled {throttled}\nthrottled_time 110000000000\n")
    };
    let groups = "sys/fs/cgroup/cpu/kubepods";
    write(&format!("{groups}/podapi/cpu.stat"), &stat(1470));
    write(&format!("{groups}/podother/cpu.stat"), &stat(1500));
    let set = collect(dir.path(), &Hints::default(), "cp0");
    let reader = Reader::new(&set);
    let apiserver = Subject::new(SubjectKind::Component, "kube-apiserver").on("cp0");
    let share = reader.get(&keys::CGROUP_THROTTLED, &apiserver);
    assert_eq!(share, Ok(0.98));
    assert_eq!(reader.get(&keys::CGROUP_THROTTLED, &etcd("cp0")), Ok(0.0));
}

#[test]
fn a_healthy_node_has_nothing_to_say() {
    let set = collect(&fixture("healthy"), &Hints::default(), "cp0");
    let reader = Reader::new(&set);
    assert_eq!(barrier(&set, &etcd("cp0"), "wal", "barrier"), "not-needed");
    assert_eq!(barrier(&set, &etcd("cp0"), "wal", "fs_fitness"), "fine");
    assert_eq!(reader.get(&keys::CGROUP_THROTTLED, &etcd("cp0")), Ok(0.0));
    assert!(reader.get(&keys::RUN_DELAY, &etcd("cp0")).unwrap() < 0.01);
    assert!(
        reader
            .get(&keys::DEVICE_WRITE_TIME, &device("zram1", "cp0"))
            .unwrap()
            < 0.05
    );
    let remarks = reader.get(&keys::MOUNT_REMARKS, &etcd("cp0")).unwrap();
    assert!(remarks.rows.is_empty(), "{remarks:?}");
    let other = reader
        .get(
            &keys::DEVICES_OTHER,
            &Subject::new(SubjectKind::Node, "cp0"),
        )
        .unwrap();
    assert!(other.row("vda").is_some() && other.row("zram1").is_none());
    // No kernel log was recorded: that is not a clean one.
    let node = Subject::new(SubjectKind::Node, "cp0");
    assert!(reader.get(&keys::KERNEL_IO_ERRORS, &node).is_err());
    assert!(set.conflicts().is_empty(), "{:?}", set.conflicts());
}

#[test]
fn three_members_in_one_tree_stay_apart() {
    let set = collect(&fixture("slow-network"), &Hints::default(), "host");
    let reader = Reader::new(&set);
    for (node, disk) in [
        ("lab12-cp0", "zram4"),
        ("lab12-cp1", "zram5"),
        ("lab12-cp2", "zram6"),
    ] {
        assert_eq!(barrier(&set, &etcd(node), "data", "device"), disk);
        assert!(reader.get(&keys::DEVICE_BUSY, &device(disk, node)).unwrap() < 0.01);
    }
}

#[test]
fn without_a_mount_table_the_sampled_disk_is_an_assumption() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("slow-disk"), dir.path());
    fs::remove_file(dir.path().join("proc/self/mountinfo")).unwrap();
    let set = collect(dir.path(), &Hints::default(), "cp0");
    let loop0 = device("loop0", "cp0");
    let record = set.record(&keys::DEVICE_FLUSH_TIME, &loop0).unwrap();
    assert!(matches!(record.value, Reading::Known(_)));
    assert_eq!(record.origin.completeness, Completeness::Estimate);
    assert!(Reader::new(&set).get(&keys::MOUNTS, &etcd("cp0")).is_err());
}

#[test]
fn hints_stand_in_for_the_process() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("barrier-off"), dir.path());
    fs::remove_dir_all(dir.path().join("proc/1529")).unwrap();
    let hints = Hints {
        data_dir: Some("/var/lib/etcd-lab/lab13-cp0/etcd".to_owned()),
        ..Hints::default()
    };
    let set = collect(dir.path(), &hints, "cp0");
    assert_eq!(barrier(&set, &etcd("cp0"), "data", "barrier"), "off");
    assert_eq!(barrier(&set, &etcd("cp0"), "data", "path_source"), "hint");
    assert!(
        Reader::new(&set)
            .get(&keys::RUN_DELAY, &etcd("cp0"))
            .is_err()
    );
}

#[test]
fn the_name_of_the_member_stands_for_an_unknown_node() {
    let set = collect(&fixture("healthy"), &Hints::default(), "");
    assert_eq!(barrier(&set, &etcd("lab01-cp0"), "data", "device"), "zram1");
}

#[test]
fn any_file_may_be_missing_or_torn() {
    let fixture = fixture("slow-disk");
    let mut files = Vec::new();
    list(&fixture, &mut files);
    assert!(files.len() > 30);
    for file in files {
        let name = file.strip_prefix(&fixture).unwrap();
        for torn in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            copy(&fixture, dir.path());
            let target = dir.path().join(name);
            if torn {
                let bytes = fs::read(&target).unwrap();
                fs::write(&target, &bytes[..bytes.len() / 2]).unwrap();
            } else {
                fs::remove_file(&target).unwrap();
            }
            let set = collect(dir.path(), &Hints::default(), "cp0");
            // Less is known, and nothing else: a flush time is the true one or absent.
            let flush = Reader::new(&set).get(&keys::DEVICE_FLUSH_TIME, &device("loop0", "cp0"));
            if let Ok(flush) = flush {
                assert!(
                    (7.0..46.0).contains(&flush),
                    "{} {torn}: {flush}",
                    name.display()
                );
            }
            let throttled = Reader::new(&set).get(&keys::CGROUP_THROTTLED, &etcd("cp0"));
            assert!(
                throttled.is_err() || throttled == Ok(0.0),
                "{}",
                name.display()
            );
            for (about, mounts) in Reader::new(&set).all(&keys::MOUNTS) {
                for row in &mounts.rows {
                    let barrier = row.get_text("barrier").unwrap();
                    assert_ne!(barrier, "off", "{} of {about}", name.display());
                }
            }
        }
    }
}

#[test]
fn folders_of_several_nodes() {
    let dir = tempfile::tempdir().unwrap();
    for node in ["a", "b"] {
        copy(&fixture("healthy"), &dir.path().join("host").join(node));
    }
    let found = host::roots(&HostRoot::new(dir.path()));
    let names: Vec<_> = found.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned())]);
    let found = host::roots(&HostRoot::new(fixture("healthy")));
    assert_eq!(found.len(), 1);
    assert!(host::roots(&HostRoot::new(dir.path().join("nothing"))).is_empty());
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let mut files = Vec::new();
    list(from, &mut files);
    for file in files {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}

/// A node whose etcd (process 7) keeps its data on `nvme1n1` and its WAL on `nvme2n1`, with further files.
fn split_node(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put(
        "proc/self/mountinfo",
        "1 0 259:0 / / rw - ext4 /dev/nvme0n1 rw\n\
         2 1 259:1 / /var/lib/etcd rw - ext4 /dev/nvme1n1 rw\n\
         3 1 259:2 / /wal rw - ext4 /dev/nvme2n1 rw\n",
    );
    put(
        "proc/7/cmdline",
        "etcd\0--data-dir=/var/lib/etcd\0--wal-dir=/wal\0",
    );
    put("proc/7/cgroup", "0::/etcd.scope\n");
    put(
        "proc/7/stat",
        "7 (etcd) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 50 1 1 1 1 1 0 0 0 0 0 0 0 1 1 0 0 0 17 0 0 0 0 0 0 1 1 1 1 1 1 1 0\n",
    );
    for (name, number) in [("nvme1n1", "259:1\n"), ("nvme2n1", "259:2\n")] {
        put(&format!("sys/block/{name}/dev"), number);
        put(
            &format!("sys/block/{name}/queue/write_cache"),
            "write back\n",
        );
    }
    for (path, text) in files {
        put(path, text);
    }
    dir
}

#[test]
fn limits_of_devices_that_are_not_etcds_are_marked() {
    let limits = "8:1 wbps=1000\n259:1 wbps=2000\n259:2 wbps=3000\n";
    let dir = split_node(&[("sys/fs/cgroup/etcd.scope/io.max", limits)]);
    let set = collect(dir.path(), &Hints::default(), "cp0");
    let table = Reader::new(&set)
        .get(&keys::CGROUP_IO_LIMITS, &etcd("cp0"))
        .unwrap();
    let whose = |device: &str| table.row(device).unwrap().get_text("on_etcd_disk");
    assert_eq!(whose("8:1"), Some("no"));
    assert_eq!(whose("259:1"), Some("yes"));
    assert_eq!(whose("259:2"), Some("yes"));
    // A pool may have further devices than the one that its mount names.
    let pool = "1 0 0:40 / /var/lib/etcd rw - btrfs /dev/nvme1n1 rw\n\
                3 1 259:2 / /wal rw - ext4 /dev/nvme2n1 rw\n";
    let dir = split_node(&[
        ("sys/fs/cgroup/etcd.scope/io.max", limits),
        ("proc/self/mountinfo", pool),
    ]);
    let set = collect(dir.path(), &Hints::default(), "cp0");
    let table = Reader::new(&set)
        .get(&keys::CGROUP_IO_LIMITS, &etcd("cp0"))
        .unwrap();
    let other = table.row("8:1").unwrap();
    assert_eq!(other.get_text("on_etcd_disk"), None);
}

#[test]
fn the_room_of_a_wal_that_lies_apart_is_its_own() {
    let df = "Filesystem 1K-blocks Used Available Use% Mounted on\n\
              /dev/nvme1n1 100000000 9900000 90000000 10% /var/lib/etcd\n";
    let of = |df: &str| {
        let dir = split_node(&[("df", df)]);
        let set = collect(dir.path(), &Hints::default(), "cp0");
        let table = Reader::new(&set)
            .get(&keys::FS_SPACE, &etcd("cp0"))
            .unwrap();
        table.row("wal").unwrap().clone()
    };
    let both = of(&format!(
        "{df}/dev/nvme2n1 10000000 9900000 100000 99% /wal\n"
    ));
    assert_eq!(both.get_text("apart"), Some("yes"));
    assert_eq!(both.get("free_bytes"), Some(100_000.0 * 1024.0));
    let unread = of(df);
    assert_eq!(unread.get_text("apart"), Some("yes"));
    assert!(
        unread
            .get_text("missing")
            .is_some_and(|why| why.contains("/wal"))
    );
}
