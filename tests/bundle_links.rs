//! Links in a bundle that lead out of it are not followed, and are told.
#![expect(clippy::unwrap_used, reason = "a test through the binary")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use support::doctor;

const MANIFEST: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.5.21-0
    command: [etcd, --name=cp1]
";

fn report(bundle: &Path) -> Value {
    let mut run = doctor(&["diagnose", "--format", "json", "--bundle"]).path(bundle);
    serde_json::from_slice(&run.output().stdout).unwrap()
}

fn kinds(report: &Value) -> String {
    report["seen"]["sources"].to_string()
}

#[test]
fn a_part_that_leads_out_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for folder in ["out/logs", "b/manifests"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    let secret = "W1121 20:38:01.000000       1 x.go:1] top secret words\n".repeat(50);
    fs::write(at("out/logs/kube-apiserver.log"), secret).unwrap();
    fs::write(at("b/manifests/etcd.yaml"), MANIFEST).unwrap();
    symlink(at("out/logs"), at("b/logs")).unwrap();
    symlink("../out", at("b/other")).unwrap();
    symlink("/proc", at("b/host")).unwrap();
    let report = report(&at("b"));
    assert!(!report.to_string().contains("top secret"), "{report}");
    let told = report["seen"]["problems"].to_string();
    assert!(told.contains("a link that leads out"), "{told}");
    assert!(told.contains("so do 2 more"), "{told}");
    let kinds = kinds(&report);
    assert!(kinds.contains("manifest"), "{kinds}");
    assert!(
        !kinds.contains("host") && !kinds.contains("logs"),
        "{kinds}"
    );
}

/// Whoever reads the kernel's log in there waits for ever.
#[test]
fn a_link_to_the_running_kernel_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    for (name, link) in [("a", "host/proc"), ("b", "host"), ("c", "host/cp1/proc")] {
        let bundle = dir.path().join(name);
        let link = bundle.join(link);
        fs::create_dir_all(bundle.join("manifests")).unwrap();
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::write(bundle.join("manifests/etcd.yaml"), MANIFEST).unwrap();
        symlink("/proc", link).unwrap();
        let kinds = kinds(&report(&bundle));
        assert!(!kinds.contains("host"), "{name}: {kinds}");
    }
}
