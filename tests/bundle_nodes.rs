//! Several nodes in one bundle, and copies of a node's root: what belongs to one node stays its own,
//! however the evidence was cut and packed. Made up from recordings.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over files it made itself"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{capture, diagnose, doctor};

const HEALTHY: &str = "lab01-cp0";

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A healthy node and one with a fault, side by side, named after themselves. Their scrapes are
/// called `m0` in both, as recorded, or have no name at all, as `docs/collect.sh` takes them.
fn side_by_side(fault: &str, named: bool, into: &Path) -> PathBuf {
    let all = into.join("all");
    fs::create_dir_all(&all).unwrap();
    for name in ["healthy", fault] {
        let root = capture(name, &into.join(format!("of-{name}")));
        let manifest = fs::read_to_string(root.join("manifests/etcd.yaml")).unwrap();
        let (_, rest) = manifest.split_once("--name=").unwrap();
        let node = all.join(rest.split_whitespace().next().unwrap());
        fs::rename(root, &node).unwrap();
        for path in files(&node) {
            // The lab's members all have the same id.
            if name == fault
                && let Ok(text) = fs::read_to_string(&path)
                && text.contains("a874c87fd42044f")
            {
                fs::write(&path, text.replace("a874c87fd42044f", "b874c87fd42044f")).unwrap();
            }
            let file = path.file_name().unwrap().to_str().unwrap();
            if !named && file.contains("-m0-") {
                fs::rename(&path, path.with_file_name(file.replace("-m0-", "-"))).unwrap();
            }
        }
    }
    all
}

fn nodes(all: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(all)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

fn tarball(folder: &Path) -> PathBuf {
    let path = PathBuf::from(format!("{}.tar", folder.display()));
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    builder.append_dir_all(".", folder).unwrap();
    builder.finish().unwrap();
    path
}

/// What a report says of faults and remedies, without where it was read.
fn said(report: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for (list, columns) in [
        (
            "findings",
            &["rule", "subject", "status", "severity", "message"][..],
        ),
        ("causes", &["cause", "subject", "summary"]),
        ("advice", &["id", "target", "now", "proposed", "why"]),
    ] {
        for one in report[list].as_array().unwrap() {
            let cells: Vec<String> = columns.iter().map(|c| one[*c].to_string()).collect();
            all.push(cells.join(" "));
        }
    }
    all.push(report["verdict"]["summary"].to_string());
    all
}

fn find<'r>(report: &'r Value, list: &str, key: &str, is: &str) -> Vec<&'r Value> {
    report[list]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one[key] == is && one["status"] != "pass")
        .collect()
}

#[test]
fn how_nodes_are_packed_does_not_matter() {
    for named in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let all = side_by_side("slow-disk", named, dir.path());
        let apart = nodes(&all);
        let [healthy, ill] = apart.as_slice() else {
            panic!("{apart:?}");
        };
        let given = diagnose(&[ill, healthy]);
        assert_eq!(given["causes"][0]["subject"], "device:loop0@lab06-cp0");
        let summary = given["causes"][0]["summary"].as_str().unwrap();
        assert!(!summary.contains(HEALTHY), "{summary}");
        let device = find(&given, "advice", "id", "etcd-own-device");
        let now = device[0]["now"].as_str().unwrap();
        assert!(now.contains("lab06-cp0") && !now.contains(HEALTHY), "{now}");
        let packed = tarball(&all);
        let each = [tarball(healthy), tarball(ill)];
        for bundles in [&[all.as_path()][..], &[&packed], &[&each[0], &each[1]]] {
            let other = diagnose(bundles);
            for (a, b) in said(&given).iter().zip(said(&other)) {
                assert_eq!(*a, b, "{bundles:?}");
            }
        }
    }
}

#[test]
fn advice_about_a_mount_names_the_mount_of_the_finding() {
    let dir = tempfile::tempdir().unwrap();
    let all = side_by_side("barrier-off", true, dir.path());
    let report = diagnose(&[&all]);
    let advice = find(&report, "advice", "id", "mount-barriers");
    for column in ["target", "verify"] {
        let text = advice[0][column].as_str().unwrap();
        assert!(
            text.contains("lab13-cp0") && !text.contains(HEALTHY),
            "{text}"
        );
    }
    assert!(advice[0]["now"].as_str().unwrap().contains("nobarrier"));
}

/// Each node's own files, changed by the advised settings alone.
#[test]
fn patches_of_two_nodes_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let all = side_by_side("nospace", true, dir.path());
    let out = dir.path().join("out");
    let run = doctor(&["patch", "--target", "kubeadm", "--bundle"])
        .path(&all)
        .arg("--out")
        .path(&out)
        .text();
    assert!(run.starts_with("exit 0"), "{run}");
    let mut seen = 0;
    for node in nodes(&all) {
        let name = node.file_name().unwrap().to_str().unwrap().to_owned();
        for path in files(&out.join("manifests").join(&name)) {
            seen += 1;
            let file = path.file_name().unwrap();
            let before = fs::read_to_string(node.join("manifests").join(file)).unwrap();
            let after = fs::read_to_string(&path).unwrap();
            let gone: Vec<&str> = before
                .lines()
                .filter(|line| !after.lines().any(|have| have == *line))
                .collect();
            let settings = ["etcd-compaction-interval", "quota-backend-bytes"];
            assert!(
                gone.iter()
                    .all(|line| settings.iter().any(|name| line.contains(name))),
                "{name}: {gone:?}"
            );
            assert!(before.contains(&name) == after.contains(&name), "{name}");
        }
    }
    assert!(seen >= 2, "{run}");
    // The same from tarballs and from `diagnose`.
    let each: Vec<PathBuf> = nodes(&all).iter().map(|node| tarball(node)).collect();
    let told = doctor(&["diagnose", "--bundle"])
        .path(&each[0])
        .path(&each[1])
        .text();
    assert!(told.contains("  on lab08-cp0:\n  --- a/"), "{told}");
    for line in told
        .lines()
        .filter(|line| line.starts_with("  -") || line.starts_with("  +"))
    {
        assert!(!line.contains("--name="), "{line}");
    }
}

/// Two texts of one file: neither is patched, and it is said.
#[test]
fn a_manifest_that_was_given_twice_and_differs_is_not_patched() {
    let dir = tempfile::tempdir().unwrap();
    let a = capture("nospace", &dir.path().join("a"));
    let b = capture("nospace", &dir.path().join("b"));
    let path = b.join("manifests/kube-apiserver.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}# edited\n")).unwrap();
    let both = dir.path().join("both");
    fs::create_dir(&both).unwrap();
    fs::rename(a, both.join("before")).unwrap();
    fs::rename(b, both.join("after")).unwrap();
    let out = dir.path().join("out");
    let told = doctor(&["patch", "--target", "kubeadm", "--bundle"])
        .path(&both)
        .arg("--out")
        .path(&out)
        .text();
    assert!(told.contains("there are two texts of it"), "{told}");
    assert!(
        !out.join("manifests").exists()
            || files(&out.join("manifests"))
                .iter()
                .all(|path| !path.ends_with("kube-apiserver.yaml"))
    );
}

/// A copy of a node's root, as rsync or tar makes one.
fn root_copy(name: &str, into: &Path) -> PathBuf {
    let tree = capture(name, &into.join("tree"));
    let root = into.join("root");
    fs::create_dir_all(root.join("etc/kubernetes")).unwrap();
    for (from, to) in [
        ("manifests", "etc/kubernetes/manifests"),
        ("logs/var", "var"),
        ("host/proc", "proc"),
    ] {
        fs::rename(tree.join(from), root.join(to)).unwrap();
    }
    root
}

#[test]
fn a_copied_root_is_read_as_the_root_itself() {
    let dir = tempfile::tempdir().unwrap();
    let root = root_copy("barrier-off", dir.path());
    let packed = tarball(&root);
    for bundle in [&root, &packed] {
        let report = diagnose(&[bundle]);
        let missing = report["seen"].to_string();
        let barriers = find(&report, "findings", "rule", "write-barriers-off");
        assert_eq!(barriers[0]["status"], "fail", "{missing}");
        let check = doctor(&["check", "config", "--bundle"]).path(bundle).text();
        assert!(!check.contains("found no settings"), "{check}");
        assert!(check.contains("lab13-cp0"), "{check}");
    }
}

#[test]
fn a_root_with_nothing_but_a_unit_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("etc/systemd/system/etcd.service");
    fs::create_dir_all(unit.parent().unwrap()).unwrap();
    fs::write(
        unit,
        "[Service]\nExecStart=/usr/local/bin/etcd --name=m1 --data-dir=/srv/etcd --snapshot-count=5000000\n",
    )
    .unwrap();
    let check = doctor(&["check", "config", "--bundle"])
        .path(dir.path())
        .text();
    assert!(!check.contains("found no settings"), "{check}");
    assert!(check.contains("snapshot-count"), "{check}");
}

/// What another device does is no reason to replace etcd's.
#[test]
fn io_errors_elsewhere_do_not_condemn_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let node = capture("healthy", dir.path());
    let log = node.join("host/dmesg");
    let line = |device: &str| {
        format!("[    9.000000] I/O error, dev {device}, sector 8 op 0x1:(WRITE) flags 0x800\n")
    };
    fs::write(&log, line("sdz")).unwrap();
    let report = diagnose(&[&node]);
    let found = find(&report, "findings", "rule", "kernel-io-errors");
    assert_eq!(found[0]["severity"], "info", "{}", found[0]);
    assert_eq!(report["verdict"]["cause"], "none", "{}", report["verdict"]);
    assert!(found[0]["message"].as_str().unwrap().contains("sdz"));
    assert!(find(&report, "advice", "id", "replace-device").is_empty());
    // etcd's own.
    fs::write(&log, line("zram1")).unwrap();
    let report = diagnose(&[&node]);
    let found = find(&report, "findings", "rule", "kernel-io-errors");
    assert_eq!(found[0]["severity"], "critical", "{}", found[0]);
    let advice = find(&report, "advice", "id", "replace-device");
    assert_eq!(advice[0]["strength"], "recommended");
    // Nothing tells which device is etcd's.
    fs::remove_file(node.join("host/proc/self/mountinfo")).unwrap();
    for path in files(&node.join("host/proc")) {
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("diskstats")
        {
            fs::remove_file(path).unwrap();
        }
    }
    let report = diagnose(&[&node]);
    let found = find(&report, "findings", "rule", "kernel-io-errors");
    assert_eq!(found[0]["confidence"], "low", "{}", found[0]);
    let advice = find(&report, "advice", "id", "replace-device");
    assert_eq!(advice[0]["strength"], "candidate");
}

#[test]
fn a_read_only_file_system_under_etcd_is_critical() {
    let dir = tempfile::tempdir().unwrap();
    let node = capture("healthy", dir.path());
    let path = node.join("host/proc/self/mountinfo");
    let before = fs::read_to_string(&path).unwrap();
    let mount = "/var/lib/etcd-lab/lab01-cp0 rw,relatime - ext4 /dev/zram1 rw";
    assert!(before.contains(mount), "{before}");
    let with = |options: &str| {
        fs::write(&path, before.replace(mount, options)).unwrap();
        diagnose(&[&node])
    };
    for options in [
        "ro,relatime - ext4 /dev/zram1 ro,errors=remount-ro",
        "rw - ext4 /dev/zram1 rw,emergency_ro",
    ] {
        let report = with(&format!("/var/lib/etcd-lab/lab01-cp0 {options}"));
        assert_eq!(report["verdict"]["cause"], "disk", "{}", report["verdict"]);
        let found = find(&report, "findings", "rule", "filesystem-read-only");
        assert_eq!(found[0]["severity"], "critical");
        let advice = find(&report, "advice", "id", "read-only-filesystem");
        assert_eq!(advice[0]["remedy"], "safety");
        assert!(find(&report, "advice", "id", "etcd-own-device").is_empty());
        let proposed = advice[0]["proposed"].as_str().unwrap();
        assert!(
            proposed.contains("dmesg") && !proposed.contains("remount"),
            "{proposed}"
        );
    }
    // A view of somebody else, and other mounts, say nothing.
    for table in [
        before.replace(mount, &mount.replacen("rw", "ro", 1)),
        format!("{before}999 45 7:9 / /mnt/cd ro,relatime - iso9660 /dev/loop9 ro\n"),
    ] {
        fs::write(&path, table).unwrap();
        let report = diagnose(&[&node]);
        assert_eq!(report["verdict"]["cause"], "none", "{}", report["verdict"]);
        assert!(find(&report, "findings", "rule", "filesystem-read-only").is_empty());
    }
}

/// Every member's log tells of the same elections, and of the term that ended as well as of the next.
#[test]
fn one_election_is_one_whichever_way_the_nodes_are_packed() {
    let critical = |elections: u32, a_folder_each: bool| {
        let home = tempfile::tempdir().unwrap();
        for (node, id) in [
            ("cp0", "8e9e05c52164694d"),
            ("cp1", "91bc3c398fb3c146"),
            ("cp2", "fd422379fda50e48"),
        ] {
            let mut text = String::new();
            for n in 0..elections {
                let (minute, term) = (n + 1, 10 + n);
                for (second, what) in [
                    (10, format!("lost leader 8e9e05c52164694d at term {term}")),
                    (
                        11,
                        format!("elected leader 91bc3c398fb3c146 at term {}", term + 1),
                    ),
                ] {
                    writeln!(text, "{{\"level\":\"info\",\"ts\":\"2026-11-20T03:{minute:02}:{second}.000Z\",\"caller\":\"etcdserver/zap_raft.go:77\",\"msg\":\"raft.node: {id} {what}\"}}").unwrap();
                }
            }
            let pod = format!(
                "var/log/pods/kube-system_etcd-{node}_0123456789abcdef0123456789abcdef/etcd"
            );
            let folder = match a_folder_each {
                true => home.path().join(node).join("logs").join(pod),
                false => home.path().join("logs").join(pod),
            };
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("0.log"), text).unwrap();
        }
        let report = diagnose(&[home.path()]);
        assert_eq!(report["seen"]["problems"], Value::Array(vec![]), "{report}");
        find(&report, "findings", "rule", "leader-unstable")
            .iter()
            .any(|finding| finding["status"] == "fail")
    };
    for a_folder_each in [true, false] {
        assert!(!critical(1, a_folder_each), "{a_folder_each}");
        assert!(!critical(3, a_folder_each), "{a_folder_each}");
        assert!(critical(4, a_folder_each), "{a_folder_each}");
    }
}

/// A lab of three members in one tree, whose names look like those of recorded scrapes. Each finding is
/// of the member whose mount it names.
#[test]
fn members_that_are_called_m1_to_m3_keep_their_names() {
    for bad in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let mut mounts = "21 1 8:1 / / rw,relatime - xfs /dev/sda1 rw\n".to_owned();
        for i in 1..=3 {
            let option = if i == bad { ",nobarrier" } else { "" };
            writeln!(
                mounts,
                "6{i} 21 259:{i} / /var/lib/m{i} rw - ext4 /dev/nvme{i}n1 rw{option}"
            )
            .unwrap();
        }
        put("etc/hostname", "vm\n");
        put(
            "proc/meminfo",
            "MemTotal: 8000000 kB\nMemFree: 10000 kB\nMemAvailable: 20000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        );
        put("proc/1/mountinfo", &mounts);
        for i in 1..=3 {
            let of = |file: &str| format!("proc/123{i}/{file}");
            let urls = format!("http://127.0.0.1:{i}2379");
            let cmdline = [
                "etcd",
                &format!("--name=m{i}"),
                &format!("--data-dir=/var/lib/m{i}"),
                &format!("--listen-client-urls={urls}"),
                &format!("--advertise-client-urls={urls}"),
            ]
            .join("\0");
            put(&of("cmdline"), &cmdline);
            put(&of("comm"), "etcd\n");
            put(&of("mountinfo"), &mounts);
            put(&format!("sys/block/nvme{i}n1/dev"), &format!("259:{i}\n"));
        }
        for asked in ["--root", "--bundle"] {
            let text = doctor(&[
                "--format", "json", "check", "host", "--window", "100ms", asked,
            ])
            .path(dir.path())
            .text();
            let json = text.split_once('{').unwrap().1.rsplit_once('}').unwrap().0;
            let report: Value = serde_json::from_str(&format!("{{{json}}}")).unwrap();
            let failed: Vec<(&str, &str)> = report["findings"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|found| found["rule"] == "write-barriers-off" && found["status"] == "fail")
                .map(|found| {
                    (
                        found["subject"].as_str().unwrap(),
                        found["message"].as_str().unwrap(),
                    )
                })
                .collect();
            let [(about, message)] = failed.as_slice() else {
                panic!("{asked} {bad}: {failed:?}")
            };
            assert_eq!(*about, format!("component:etcd@m{bad}"), "{asked}");
            assert!(message.contains(&format!("/var/lib/m{bad} ")), "{message}");
            if asked == "--root" {
                assert!(
                    text.contains("node:vm") && !text.contains("node:m"),
                    "{text}"
                );
            }
        }
    }
}
