//! Secrets that stand beside what a patch changes: no output shows them, and files keep them to
//! their owner.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that writes files and looks at their modes"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use support::doctor;

const SECRET: &str = "hunter2";

/// A bundle of files with a quota that nobody should have, and a secret on the next line.
fn bundle(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn pod() -> tempfile::TempDir {
    bundle(&[
        // A quota is only lowered unasked where the database is known to fit it.
        (
            "metrics/etcd.prom",
            "# TYPE etcd_server_has_leader gauge\netcd_server_has_leader 1\n\
             # TYPE etcd_mvcc_db_total_size_in_bytes gauge\netcd_mvcc_db_total_size_in_bytes 1.2e+08\n",
        ),
        (
            "manifests/etcd.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec:\n  containers:\n  \
         - name: etcd\n    image: registry.k8s.io/etcd:3.5.21-0\n    env:\n    - name: ETCD_ROOT_PASSWORD\n      \
         value: hunter2-env\n    command:\n    - etcd\n    - --discovery-password\n    - hunter2-flag\n    \
         - --quota-backend-bytes=9999999999999\n    - --data-dir=/var/lib/etcd\n",
        ),
    ])
}

fn unit() -> tempfile::TempDir {
    bundle(&[
        (
            "etc/etcd/etcd.env",
            "ETCD_NAME=cp0\nETCD_ROOT_PASSWORD=hunter2-env\nETCD_QUOTA_BACKEND_BYTES=9999999999999\n",
        ),
        (
            "etc/systemd/system/etcd.service",
            "[Unit]\nDescription=etcd\n[Service]\nEnvironmentFile=/etc/etcd/etcd.env\n\
             ExecStart=/usr/local/bin/etcd --data-dir=/var/lib/etcd\n[Install]\nWantedBy=multi-user.target\n",
        ),
    ])
}

fn rancher(name: &str) -> tempfile::TempDir {
    bundle(&[(
        &format!("etc/rancher/{name}/config.yaml"),
        "cluster-init: true\ntoken: hunter2-token\netcd-arg:\n- quota-backend-bytes=9999999999999\n",
    )])
}

/// All files under a folder.
fn under(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(under(&path));
        }
        files.push(path);
    }
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn no_target_shows_a_secret_beside_its_change() {
    for (target, bundle) in [
        ("kubeadm", pod()),
        ("systemd", unit()),
        ("k3s", rancher("k3s")),
        ("rke2", rancher("rke2")),
    ] {
        for format in ["table", "json"] {
            let out = tempfile::tempdir().unwrap();
            fs::set_permissions(out.path(), fs::Permissions::from_mode(0o755)).unwrap();
            // Of a database whose size is not known the quota is a candidate.
            let told = doctor(&["patch", "--format", format, "--target", target])
                .args(&["--advice", "etcd-quota-maximum", "--bundle"])
                .path(bundle.path())
                .arg("--out")
                .path(out.path())
                .text();
            assert!(!told.contains(SECRET), "{target} {format}\n{told}");
            let files = under(out.path());
            let (mut whole, mut diffs) = (0, 0);
            for path in &files {
                let dir = path.is_dir();
                assert_eq!(mode(path), if dir { 0o700 } else { 0o600 }, "{path:?}");
                if dir {
                    continue;
                }
                // What is to be applied is whole; what is to be read is masked.
                let holds = fs::read_to_string(path).unwrap().contains(SECRET);
                match path.extension().is_some_and(|end| end == "diff") {
                    true => {
                        assert!(!holds, "{path:?}");
                        diffs += 1;
                    }
                    false => whole += u32::from(holds),
                }
            }
            assert!(whole == 1 && diffs == 1, "{target}: {files:?}\n{told}");
            // A folder that was there is somebody's.
            assert_eq!(mode(out.path()), 0o755);
            if format == "table" {
                assert!(told.contains("***"), "{target}\n{told}");
            }
        }
        let check = doctor(&["patch", "--check", "--target", target])
            .args(&["--advice", "etcd-quota-maximum", "--bundle"])
            .path(bundle.path())
            .text();
        assert!(!check.contains(SECRET), "{target}\n{check}");
        assert!(check.contains("9999999999999"), "{target}\n{check}");
    }
}

#[test]
fn no_renderer_shows_a_secret_beside_a_change() {
    for bundle in [pod(), unit(), rancher("k3s")] {
        for format in ["table", "json", "markdown", "junit", "sarif", "prom"] {
            let told = doctor(&["diagnose", "--format", format, "--bundle"])
                .path(bundle.path())
                .text();
            assert!(!told.contains(SECRET), "{format}\n{told}");
        }
        for format in ["table", "json"] {
            for command in ["advise", "check"] {
                let args = match command {
                    "check" => &["check", "config", "--format", format, "--bundle"][..],
                    _ => &["advise", "--format", format, "--bundle"],
                };
                let told = doctor(args).path(bundle.path()).text();
                assert!(!told.contains(SECRET), "{command} {format}\n{told}");
            }
        }
        let page = doctor(&["report", "--html", "-", "--bundle"])
            .path(bundle.path())
            .text();
        assert!(!page.contains(SECRET), "{page}");
    }
    // The diff is there, with the lines around the change.
    let pod = pod();
    let told = doctor(&["diagnose", "--bundle"]).path(pod.path()).text();
    assert!(told.contains("- ***"), "{told}");
    assert!(
        told.contains("-    - --quota-backend-bytes=9999999999999"),
        "{told}"
    );
}

#[test]
fn what_is_saved_is_for_its_owner() {
    let pod = pod();
    let dir = tempfile::tempdir().unwrap();
    let (run, page) = (dir.path().join("run.zst"), dir.path().join("page.html"));
    doctor(&["report", "--bundle"])
        .path(pod.path())
        .arg("--save")
        .path(&run)
        .arg("--html")
        .path(&page)
        .text();
    assert_eq!((mode(&run), mode(&page)), (0o600, 0o600));
    assert_eq!(under(dir.path()).len(), 2);
}
