//! Messages of the kernel's log.

use super::*;

const DMESG: &[u8] = b"\
[    1.445235] EXT4-fs (vda): mounted filesystem r/w without journal.
[  100.000000] blk_update_request: I/O error, dev sdb, sector 1234 op 0x1:(WRITE) flags 0x800
[  100.100000] Buffer I/O error on dev sdb1, logical block 5, lost async page write
[  100.200000] EXT4-fs error (device sdb1): ext4_journal_check_start:83: comm etcd: Detected aborted journal
[  100.300000] EXT4-fs (sdb1): Remounting filesystem read-only
[  200.000000] nvme nvme1: I/O 12 QID 3 timeout, aborting
[  300.000000] INFO: task etcd:1234 blocked for more than 120 seconds.
[  301.000000] Memory cgroup out of memory: Killed process 77 (etcd) total-vm:1kB
";

#[test]
fn everybody_who_was_killed_is_named() {
    const KILLS: &[u8] = b"\
[ 1.0] Out of memory: Killed process 31925 (etcd) total-vm:1kB, oom_score_adj:-997
[ 2.0] Memory cgroup out of memory: Killed process 40 (java) total-vm:1kB
[ 3.0] Memory cgroup out of memory: Kill process 41 (Web Content) score 5 or sacrifice child
[ 4.0] Memory cgroup out of memory: Killed process 42 (java), UID 1000
[ 5.0] Out of memory: Killed process 7
";
    let log = parse("dmesg", KILLS, Form::Kernel, None, None, &[]);
    let kind = &log.kinds["oom-kill"];
    let names = |of: &BTreeMap<String, u64>| -> Vec<(String, u64)> {
        of.iter().map(|(name, n)| (name.clone(), *n)).collect()
    };
    assert_eq!(kind.count, 5);
    assert_eq!(names(&kind.killed), [("etcd".to_owned(), 1)]);
    let limited = [("Web Content".to_owned(), 1), ("java".to_owned(), 2)];
    assert_eq!(names(&kind.killed_by_limit), limited);
}

fn at(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
}

#[test]
fn messages_by_kind_and_disk() {
    let boot = at("2026-11-21T10:00:00Z");
    let now = at("2026-11-21T12:00:00Z");
    let log = parse("dmesg", DMESG, Form::Kernel, boot, now, &["sdb".to_owned()]);
    let kinds: Vec<_> = log
        .kinds
        .iter()
        .map(|(name, kind)| (*name, kind.count, kind.on_etcd_disk))
        .collect();
    assert_eq!(
        kinds,
        [
            ("buffer-io-error", 1, 1),
            ("ext4-error", 1, 1),
            ("hung-task", 1, 1),
            ("io-error", 1, 1),
            ("nvme-timeout", 1, 0),
            ("oom-kill", 1, 0),
            ("remounted-read-only", 1, 1),
        ]
    );
    assert_eq!(log.lines, 8);
    let killed = &log.kinds["oom-kill"];
    assert_eq!(killed.topic, Topic::Machine);
    assert_eq!(killed.killed_by_limit["etcd"], 1);
    assert!(killed.killed.is_empty());
    assert_eq!(log.kinds["io-error"].last, at("2026-11-21T10:01:40Z"));
    // Days later the same messages are history.
    let later = parse(
        "dmesg",
        DMESG,
        Form::Kernel,
        boot,
        at("2026-12-01T00:00:00Z"),
        &[],
    );
    assert_eq!(later.kinds["io-error"].count, 0);
    assert_eq!(later.kinds["io-error"].older, 1);
    // Without a clock they count: better told twice than not at all.
    let unknown = parse("dmesg", DMESG, Form::Kernel, None, now, &[]);
    assert_eq!(unknown.kinds["io-error"].count, 1);
}

#[test]
fn the_device_of_a_message() {
    let of = |disks: &[&str], line: &str| {
        let disks: Vec<String> = disks.iter().map(|disk| (*disk).to_owned()).collect();
        let log = parse("dmesg", line.as_bytes(), Form::Kernel, None, None, &disks);
        let kind = log.kinds.into_values().next().unwrap();
        let others: Vec<String> = kind.others.into_iter().collect();
        (kind.on_etcd_disk, kind.elsewhere, others.join(","))
    };
    let io = "I/O error, dev sdz, sector 8 op 0x1:(WRITE)";
    assert_eq!(of(&["zram1"], io), (0, 1, "sdz".to_owned()));
    assert_eq!(of(&["sdz2"], io), (1, 0, String::new()));
    // Which disk lies under a volume is not known, nor is anything without a device of etcd.
    assert_eq!(of(&["dm-0"], io), (0, 0, String::new()));
    assert_eq!(of(&["dm-0", "sda"], io), (0, 1, "sdz".to_owned()));
    assert_eq!(of(&[], io), (0, 0, String::new()));
    let nvme = "nvme nvme1: I/O 12 QID 3 timeout, aborting";
    assert_eq!(of(&["nvme1n1"], nvme), (1, 0, String::new()));
    assert_eq!(of(&["nvme0n1"], nvme), (0, 1, "nvme1".to_owned()));
    let journal = "Aborting journal on device sdb1-8.";
    assert_eq!(of(&["sdb"], journal), (1, 0, String::new()));
    assert_eq!(of(&["sda"], journal), (0, 1, "sdb".to_owned()));
    let volume = "EXT4-fs error (device dm-3): ext4_find_entry:1455";
    assert_eq!(of(&["sda"], volume), (0, 1, "dm-3".to_owned()));
    // A port is no device, and a task is etcd's wherever its disk is.
    let ata = "ata3.00: exception Emask 0x0 SAct 0x0";
    assert_eq!(of(&["sda"], ata), (0, 0, String::new()));
    let task = "INFO: task etcd:1234 blocked for more than 120 seconds.";
    assert_eq!(of(&["sda"], task), (1, 0, String::new()));
}

#[test]
fn times_of_all_forms() {
    let boot = at("2026-11-21T10:00:00Z");
    let now = at("2026-11-21T12:00:00Z");
    let expected = at("2026-11-21T10:01:40Z");
    for line in [
        "[  100.000000] x",
        "3,1234,100000000,-;x",
        "[Sat Nov 21 10:01:40 2026] x",
        "2026-11-21T10:01:40.000+00:00 host kernel: x",
        "2026-11-21T10:01:40+0000 host kernel: x",
        "Nov 21 10:01:40 host kernel: x",
    ] {
        assert_eq!(time(line.as_bytes(), boot, now), expected, "{line}");
    }
    assert_eq!(
        time(
            b"Dec 31 23:59:59 host kernel: x",
            boot,
            at("2026-01-01T00:00:30Z")
        ),
        at("2025-12-31T23:59:59Z")
    );
    assert_eq!(time(b"nothing", boot, now), None);
}

#[test]
fn other_programs_may_say_what_they_like() {
    let text = b"Nov 21 10:01:40 n1 app[1]: Buffer I/O error on dev sdb\nNov 21 10:01:41 n1 kernel: [1.0] Buffer I/O error on dev sdb, logical block 1\n";
    let log = parse(
        "syslog",
        text,
        Form::Syslog,
        None,
        at("2026-11-21T12:00:00Z"),
        &[],
    );
    assert_eq!(log.kinds["buffer-io-error"].count, 1);
}

#[test]
fn what_every_boot_says_is_no_fault() {
    let text = b"\
[    1.0] nvme nvme0: Shutdown timeout set to 10 seconds
[    2.0] blk_update_request: I/O error, dev fd0, sector 0
[    3.0] Buffer I/O error on dev sr0, logical block 0
[    4.0] blk_update_request: operation not supported error, dev loop0, sector 8 op 0x9:(WRITE_ZEROES)
[    5.0] BTRFS info (device sdb): bdev /dev/sdb errs: wr 0, rd 0
[    6.0] XFS (sda1): Ending clean mount
[    7.0] INFO: task backup:9 blocked for more than 120 seconds.
";
    let log = parse("dmesg", text, Form::Kernel, None, None, &[]);
    let kinds: Vec<_> = log.kinds.keys().copied().collect();
    assert_eq!(kinds, ["hung-task-other"]);
    assert_eq!(log.kinds["hung-task-other"].topic, Topic::Machine);
}

#[test]
fn devices_are_whole_words() {
    for (line, disk, is) in [
        ("dev sda, sector", "sda", true),
        ("(device sda10):", "sda", true),
        ("dev sdaa, sector", "sda", false),
        ("dev nvme0n1, sector", "nvme0n1", true),
        ("dev nvme0n1p3, sector", "nvme0n1", true),
        ("dev nvme0n12, sector", "nvme0n1", false),
        ("xsda ", "sda", false),
    ] {
        assert_eq!(names(line.as_bytes(), disk), is, "{line}");
    }
}

proptest::proptest! {
    #[test]
    fn every_line_is_counted(bytes: Vec<u8>, cut in 0..DMESG.len()) {
        for bytes in [&bytes[..], &DMESG[..cut]] {
            let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count() as u64;
            let log = parse("x", bytes, Form::Kernel, Some(Timestamp(0)), Some(Timestamp(1)), &["sda".to_owned()]);
            proptest::prop_assert_eq!(log.lines, lines);
        }
    }
}

/// A bundle may keep the system log with the other logs.
#[test]
fn a_kernel_log_beside_the_tree_is_read_where_the_tree_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let io =
        "2026-11-21T10:01:40.000+00:00 cp0 kernel: I/O error, dev sda, sector 8 op 0x1:(WRITE)\n";
    write("logs/var/log/kern.log", io);
    std::fs::create_dir_all(dir.path().join("host")).unwrap();
    let root = HostRoot::new(dir.path().join("host"));
    let disks = ["sda".to_owned()];
    let read = |logs: &[PathBuf]| read(&root, false, None, None, &disks, logs);
    assert!(read(&[]).is_err());
    let logs = [dir.path().join("logs")];
    assert_eq!(read(&logs).unwrap().kinds["io-error"].on_etcd_disk, 1);
    // The tree's own comes first.
    write("host/var/log/kern.log", "nothing\n");
    assert!(read(&logs).unwrap().kinds.is_empty());
}

#[test]
fn a_loop_device_that_is_gone_lies_under_nothing() {
    let line = b"I/O error, dev loop1, sector 0 op 0x1:(WRITE)\nI/O error, dev loop2, sector 0\n";
    let of = |disks: &[&str], gone: &dyn Fn(&str) -> bool| {
        let disks: Vec<String> = disks.iter().map(|disk| (*disk).to_owned()).collect();
        let log = parse_beside("dmesg", line, Form::Kernel, None, None, &disks, gone);
        let kind = &log.kinds["io-error"];
        (kind.count, kind.on_etcd_disk, kind.elsewhere)
    };
    assert_eq!(of(&["loop2"], &|name| name == "loop1"), (2, 1, 1));
    // It may lie under etcd's own.
    assert_eq!(of(&["loop2"], &|_| false), (2, 1, 0));
    // Where etcd's device is not known at all, nothing is said of any.
    assert_eq!(of(&[], &|_| true), (2, 0, 0));
}
