//! Bundles as other programs pack them: OpenShift's must-gather, troubleshoot.sh's support-bundle,
//! plain trees, and all of them mixed with saved runs; made up from recordings.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{capture, diagnose, doctor};

const COMPONENTS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The log of a component as `kubectl logs --timestamps` prints it.
fn log(root: &Path, component: &str) -> (String, String) {
    let pods = root.join("logs/var/log/pods");
    let folder = fs::read_dir(pods)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.to_string_lossy()
                .contains(&format!("kube-system_{component}-"))
        })
        .unwrap();
    let pod = folder
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .split('_')
        .nth(1)
        .unwrap()
        .to_owned();
    let text = fs::read_to_string(folder.join(component).join("0.log")).unwrap();
    // CRI: TIME stdout F TEXT
    let lines: String = text
        .lines()
        .map(|line| {
            let mut parts = line.splitn(4, ' ');
            let (time, text) = (parts.next().unwrap(), parts.nth(2).unwrap_or_default());
            format!("{time} {text}\n")
        })
        .collect();
    (pod, lines)
}

/// A must-gather: one folder below the collecting image's, pods by namespace, audit logs apart.
fn must_gather(root: &Path, into: &Path) -> PathBuf {
    let top = into.join("must-gather.local.4711");
    let image = top.join("quay-io-openshift-release-dev-ocp-v4-0-art-dev-sha256-0123abcd");
    write(&image.join("version"), "4.21.3\n");
    write(&image.join("timestamp"), "2026-11-21 20:59:00 +0000 UTC\n");
    for component in COMPONENTS {
        let (pod, text) = log(root, component);
        let namespace = match component {
            "etcd" => "openshift-etcd".to_owned(),
            other => format!("openshift-{other}"),
        };
        let folder = image
            .join("namespaces")
            .join(&namespace)
            .join("pods")
            .join(&pod);
        write(
            &folder.join(format!("{component}/{component}/logs/current.log")),
            &text,
        );
        write(
            &folder.join(format!("{component}/{component}/logs/previous.log")),
            "",
        );
        // Recordings are cut to what tests need.
        if let Ok(manifest) = fs::read_to_string(root.join(format!("manifests/{component}.yaml"))) {
            write(&folder.join(format!("{pod}.yaml")), &manifest);
        }
    }
    let audit = root.join("logs/var/log/kubernetes/audit/audit.log");
    let folder = image.join("audit_logs/kube-apiserver");
    if let Ok(text) = fs::read_to_string(audit) {
        write(&folder.join("cp0-audit.log"), &text);
    }
    write(
        &image.join("audit_logs/kube-apiserver.audit_logs_listing"),
        "cp0 audit.log\n",
    );
    write(
        &image.join("cluster-scoped-resources/core/nodes/cp0.yaml"),
        "---\napiVersion: v1\nkind: Node\nmetadata:\n  name: cp0\n",
    );
    write(
        &image.join("etcd_info/endpoint_health.json"),
        "[{\"endpoint\":\"https://10.0.0.1:2379\",\"health\":true,\"took\":\"9ms\"}]\n",
    );
    top
}

/// A support bundle: pods' logs below `cluster-resources/pods/logs`, the pods themselves as JSON lists.
fn support_bundle(root: &Path, into: &Path) -> PathBuf {
    let top = into.join("support-bundle-2026-11-21T20_59_00");
    write(
        &top.join("version.yaml"),
        "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nspec:\n  versionNumber: v0.120.0\n",
    );
    write(
        &top.join("cluster-info/cluster_version.json"),
        "{\"info\":{\"major\":\"1\",\"minor\":\"36\"},\"string\":\"v1.36.2\"}\n",
    );
    let mut pods = Vec::new();
    for component in COMPONENTS {
        let (pod, text) = log(root, component);
        // Without time stamps, as its collector takes them.
        let text: String = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(_, text)| format!("{text}\n"))
            .collect();
        write(
            &top.join(format!(
                "cluster-resources/pods/logs/kube-system/{pod}/{component}.log"
            )),
            &text,
        );
        let Ok(manifest) = fs::read_to_string(root.join(format!("manifests/{component}.yaml")))
        else {
            continue;
        };
        let mut object: Value = yaml_serde::from_str(&manifest).unwrap();
        object["metadata"]["name"] = pod.into();
        pods.push(object);
    }
    let list = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "items": pods});
    write(
        &top.join("cluster-resources/pods/kube-system.json"),
        &serde_json::to_string_pretty(&list).unwrap(),
    );
    write(
        &top.join("cluster-resources/nodes.json"),
        "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"items\":[]}\n",
    );
    write(&top.join("analysis.json"), "[]\n");
    top
}

fn tarball(folder: &Path) -> PathBuf {
    let path = folder.with_extension("tar.gz");
    let file = fs::File::create(&path).unwrap();
    let encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let mut builder = tar::Builder::new(encoder);
    builder
        .append_dir_all(folder.file_name().unwrap(), folder)
        .unwrap();
    builder.into_inner().unwrap().finish().unwrap();
    path
}

fn failing<'r>(report: &'r Value, rule: &str) -> Vec<&'r str> {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["rule"] == rule && f["status"] == "fail")
        .map(|f| f["subject"].as_str().unwrap())
        .collect()
}

/// `(recording, cause, rules that logs and settings carry)`
const CASES: &[(&str, &str, &[&str])] = &[
    ("slow-disk", "disk", &["wal-sync-stalled", "slow-requests"]),
    ("nospace", "space", &["nospace-alarm", "compaction-off"]),
    (
        "range-storm",
        "query-load",
        &["expensive-lists", "lists-bypass-cache"],
    ),
];

#[test]
fn a_must_gather_is_read_as_what_it_is() {
    for (name, cause, rules) in CASES {
        let dir = tempfile::tempdir().unwrap();
        let gathered = must_gather(&capture(name, dir.path()), dir.path());
        let packed = tarball(&gathered);
        for bundle in [&gathered, &packed] {
            let report = diagnose(&[bundle]);
            assert_eq!(
                report["verdict"]["cause"], *cause,
                "{name}: {}",
                report["verdict"]
            );
            for rule in *rules {
                assert!(!failing(&report, rule).is_empty(), "{name}: {rule}");
            }
            assert_eq!(report["seen"]["problems"], Value::Array(vec![]), "{name}");
        }
    }
}

#[test]
fn a_support_bundle_is_read_as_what_it_is() {
    for (name, cause, rules) in CASES {
        let dir = tempfile::tempdir().unwrap();
        let gathered = support_bundle(&capture(name, dir.path()), dir.path());
        let packed = tarball(&gathered);
        for bundle in [&gathered, &packed] {
            let report = diagnose(&[bundle]);
            assert_eq!(
                report["verdict"]["cause"], *cause,
                "{name}: {}",
                report["verdict"]
            );
            for rule in *rules {
                assert!(!failing(&report, rule).is_empty(), "{name}: {rule}");
            }
        }
    }
}

/// The client is named from the audit log of a must-gather.
#[test]
fn a_must_gather_names_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let gathered = must_gather(&capture("range-storm", dir.path()), dir.path());
    let report = diagnose(&[&gathered]);
    assert_eq!(
        report["causes"][0]["client"]["user_agent"], "inventory-scraper/1.0",
        "{}",
        report["causes"][0]
    );
}

/// Three healthy members of three forms (a saved run, a tree, a tarball) and one with a slow disk as
/// a must-gather: the odd one is named.
#[test]
fn nodes_in_four_forms_are_one_picture_and_the_odd_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let healthy = capture("healthy", dir.path());
    let saved = dir.path().join("cp0.zst");
    doctor(&["diagnose", "--save"])
        .path(&saved)
        .arg("--bundle")
        .path(&healthy)
        .output();
    let tree = capture("barrier-off", dir.path());
    // A second healthy node: the same kind of recording with its mount option put right.
    let mounts = tree.join("host/proc/self/mountinfo");
    let text = fs::read_to_string(&mounts).unwrap();
    fs::write(
        &mounts,
        text.replace(",nobarrier", "").replace("nobarrier", ""),
    )
    .unwrap();
    let packed = tarball(&capture("hot-loop", &dir.path().join("third")));
    let odd = must_gather(&capture("slow-disk", dir.path()), dir.path());
    let orders: [[&Path; 4]; 2] = [
        [&saved, &tree, &packed, &odd],
        [&odd, &packed, &saved, &tree],
    ];
    let mut last: Option<Value> = None;
    for bundles in orders {
        let report = diagnose(&bundles);
        assert_eq!(report["verdict"]["cause"], "disk", "{}", report["verdict"]);
        assert_eq!(report["causes"][0]["subject"], "member:lab06-cp0");
        assert_eq!(failing(&report, "wal-sync-stalled"), ["member:lab06-cp0"]);
        let summary = report["verdict"]["summary"].as_str().unwrap();
        assert!(summary.contains("lab06-cp0"), "{summary}");
        if let Some(last) = &last {
            assert_eq!(last["verdict"], report["verdict"]);
            assert_eq!(last["findings"], report["findings"]);
        }
        last = Some(report);
    }
}

/// Logs beside the parts of a tree are read whatever they are called, as they are when they are named.
#[test]
fn a_log_beside_scrapes_needs_no_telling_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = capture("slow-disk", dir.path());
    let cause = |names: &[&str]| {
        let all = tempfile::tempdir().unwrap();
        let bundle = all.path().join("b");
        fs::create_dir_all(&bundle).unwrap();
        let status = std::process::Command::new("cp")
            .arg("-r")
            .arg(root.join("metrics"))
            .arg(&bundle)
            .status();
        assert!(status.unwrap().success());
        for name in names {
            write(&bundle.join(name), &log(&root, "etcd").1);
        }
        // What is no log stays none.
        write(&bundle.join("notes.txt"), "the disk is slow\n");
        let report = diagnose(&[&bundle]);
        report["verdict"]["cause"].as_str().unwrap().to_owned()
    };
    assert_eq!(cause(&[]), "unknown");
    for name in ["messages", "journal.txt", "journalctl_--no-pager"] {
        assert_eq!(cause(&[name]), "disk", "{name}");
    }
}
