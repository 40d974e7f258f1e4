//! Where data directories lie, and on what.

use super::*;

#[test]
fn the_line_of_the_dataset_counts() {
    let text = "tank\tsync\tstandard\tdefault\ntank/etcd\tsync\tdisabled\tlocal\n";
    assert_eq!(sync_of(text, "tank/etcd").as_deref(), Some("disabled"));
    assert_eq!(sync_of(text, "tank").as_deref(), Some("standard"));
    assert_eq!(sync_of(text, "tank/other"), None);
    assert_eq!(sync_of("tank", "tank"), None);
}
use std::path::Path;

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn storage(dir: &Path, hints: &Hints) -> Got<Vec<Storage>> {
    let root = HostRoot::new(dir);
    let etcd = super::super::process::scan(&root, None).etcd;
    find(&root, &tables(&root), &etcd, hints, false)
}

const HOST: &str = "\
1 0 259:1 / / rw - ext4 /dev/nvme0n1p1 rw
2 1 259:5 / /data rw - xfs /dev/nvme1n1 rw
3 1 259:6 / /fast rw - ext4 /dev/nvme2n1 rw
4 1 0:50 / /run/ctr rw - overlay overlay rw,upperdir=/data/upper,workdir=/data/work,volatile
";

#[test]
fn a_container_sees_its_own_paths() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "proc/1/mountinfo", HOST);
    write(
        dir.path(),
        "proc/7/cmdline",
        "etcd\0--data-dir=/var/lib/etcd\0--wal-dir=/wal\0",
    );
    write(
        dir.path(),
        "proc/7/mountinfo",
        "5 4 0:50 / / rw - overlay overlay rw,upperdir=/data/upper\n\
             6 5 259:5 /etcd /var/lib/etcd rw - xfs /dev/nvme1n1 rw\n\
             7 5 259:6 /w /wal rw - ext4 /dev/nvme2n1 rw\n",
    );
    let found = storage(dir.path(), &Hints::default()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].mount.as_ref().unwrap().fs, "xfs");
    assert_eq!(found[0].host_path, "/data/etcd");
    assert_eq!(found[1].mount.as_ref().unwrap().source, "/dev/nvme2n1");
    assert_eq!(found[1].host_path, "/fast/w");
    assert_eq!(found[1].source, "proc/7/mountinfo");
}

#[test]
fn links_lead_to_the_mount_that_holds_the_data() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "proc/1/mountinfo", HOST);
    write(
        dir.path(),
        "proc/7/cmdline",
        "etcd\0--data-dir=/var/lib/etcd\0",
    );
    std::fs::create_dir_all(dir.path().join("data/etcd/member")).unwrap();
    std::fs::create_dir_all(dir.path().join("fast/wal")).unwrap();
    std::fs::create_dir_all(dir.path().join("var/lib")).unwrap();
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, dir.path().join(at)).unwrap();
    link("/data/etcd", "var/lib/etcd");
    link("../../../fast/wal", "data/etcd/member/wal");
    let points = || -> Vec<(String, String)> {
        storage(dir.path(), &Hints::default())
            .unwrap()
            .iter()
            .map(|s| (s.mount.as_ref().unwrap().point.clone(), s.host_path.clone()))
            .collect()
    };
    let linked = [("/data", "/data/etcd"), ("/fast", "/fast/wal")]
        .map(|(point, path)| (point.to_owned(), path.to_owned()));
    assert_eq!(points(), linked);
    write(dir.path(), "proc/7/mountinfo", HOST);
    assert_eq!(points(), linked, "the process sees the host's root");
    // In a container the host's links say nothing.
    let own = "5 4 0:50 / / rw - overlay overlay rw,upperdir=/data/upper\n6 5 259:6 /e /var/lib/etcd rw - ext4 /dev/nvme2n1 rw\n";
    write(dir.path(), "proc/7/mountinfo", own);
    assert_eq!(
        points()[0],
        ("/var/lib/etcd".to_owned(), "/fast/e".to_owned())
    );
}

#[test]
fn the_disk_of_an_overlay_is_that_of_its_upper_folder() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "proc/self/mountinfo", HOST);
    let hints = Hints {
        data_dir: Some("/run/ctr/etcd".to_owned()),
        ..Hints::default()
    };
    let found = storage(dir.path(), &hints).unwrap();
    assert_eq!(found[0].mount.as_ref().unwrap().fs, "overlay");
    assert_eq!(found[0].below_overlay.as_ref().unwrap().point, "/data");
    assert_eq!(found[0].chain.words(), "nvme1n1");
}

#[test]
fn without_a_process_only_what_is_named_after_etcd() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "proc/self/mountinfo", HOST);
    assert!(storage(dir.path(), &Hints::default()).is_err());
    let table = format!("{HOST}9 1 259:9 / /mnt/etcd-main rw - ext4 /dev/sdc rw\n");
    write(dir.path(), "proc/self/mountinfo", &table);
    let found = storage(dir.path(), &Hints::default()).unwrap();
    assert_eq!(found[0].path, "/mnt/etcd-main");
    assert_eq!(found[1].path, "/mnt/etcd-main/member/wal");
}

#[test]
fn other_file_systems_on_the_same_disk() {
    let dir = tempfile::tempdir().unwrap();
    let table = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /var/lib/etcd rw - ext4 /dev/sda2 rw\n3 1 8:17 / /b rw - ext4 /dev/sdb1 rw\n";
    write(dir.path(), "proc/self/mountinfo", table);
    let found = storage(dir.path(), &Hints::default()).unwrap();
    let points: Vec<&str> = found[0]
        .shared_with
        .iter()
        .map(|m| m.point.as_str())
        .collect();
    assert_eq!(points, ["/"]);
}

#[test]
fn journals() {
    let dir = tempfile::tempdir().unwrap();
    let root = HostRoot::new(dir.path());
    let mount = |options: &str| {
        let line = format!("1 0 8:1 / / rw - ext4 /dev/sda1 {options}\n");
        parse_mountinfo(line.as_bytes()).mounts.remove(0)
    };
    assert_eq!(journal(&root, &mount("rw"), "sda1"), Journal::Unknown);
    assert_eq!(
        journal(&root, &mount("rw,data=ordered"), "sda1"),
        Journal::Present
    );
    write(dir.path(), "proc/fs/ext4/sda1/options", "rw\nbarrier\n");
    assert_eq!(journal(&root, &mount("rw"), "sda1"), Journal::Absent);
    write(dir.path(), "sys/fs/ext4/sda1/journal_task", "<none>\n");
    assert_eq!(journal(&root, &mount("rw"), "sda1"), Journal::Absent);
    write(dir.path(), "sys/fs/ext4/sda1/journal_task", "123\n");
    assert_eq!(journal(&root, &mount("rw"), "sda1"), Journal::Present);
}
