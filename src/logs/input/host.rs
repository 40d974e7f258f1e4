//! Where a control-plane node keeps its logs, when no path is given.

use std::path::Path;

use crate::clock::Timestamp;
use crate::logs::event::Component;
use crate::target::HostRoot;

use super::program::{component, is_controller};
use super::walk::Walk;
use super::{LogFile, Source, Stream};

/// kubelet's folder of pod logs.
const PODS: &str = "/var/log/pods";

/// Files that single components write on some distributions.
const FILES: [&str; 9] = [
    "/var/log/etcd.log",
    "/var/log/etcd-events.log",
    "/var/log/kube-apiserver.log",
    "/var/log/kube-controller-manager.log",
    "/var/log/kube-scheduler.log",
    "/var/log/k3s.log",
    "/var/log/rke2.log",
    "/var/lib/rancher/k3s/server/logs/k3s.log",
    "/var/log/etcd/etcd.log",
];

/// Folders in which audit logs lie, with their rotations.
const AUDIT: [&str; 10] = [
    "/var/log/kubernetes/audit",
    "/var/log/kubernetes",
    "/var/log/kube-audit",
    "/var/log/kube-apiserver",
    "/var/log/apiserver",
    "/var/log/audit/kube",
    "/var/log/openshift-apiserver",
    "/var/log/oauth-apiserver",
    "/var/lib/rancher/rke2/server/logs",
    "/var/lib/rancher/k3s/server/logs",
];

/// Units whose journal may hold a control plane.
const UNITS: [(&str, Component); 6] = [
    ("etcd", Component::Etcd),
    ("k3s", Component::Unknown),
    ("rke2-server", Component::Unknown),
    ("microshift", Component::Unknown),
    ("k0scontroller", Component::Unknown),
    ("kubelet", Component::Kubelet),
];

/// Where unit files lie.
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/local/lib/systemd/system",
];

/// Adds all that a node has.
pub(super) fn add(walk: &mut Walk, root: &HostRoot, since: Option<Timestamp>) {
    pods(walk, root);
    for path in FILES {
        rotated(walk, root, Path::new(path));
    }
    for folder in AUDIT {
        audit(walk, root, folder);
    }
    if root.is_live() {
        journal(walk, root, since);
    }
}

fn pods(walk: &mut Walk, root: &HostRoot) {
    if !root.exists(PODS) {
        return;
    }
    let folders = match root.list(PODS) {
        Ok(folders) => folders,
        Err(missing) => {
            walk.problem(Path::new(PODS), &missing.to_string(), false);
            return;
        }
    };
    for folder in folders.iter().filter(|entry| entry.is_dir) {
        let pod = Path::new(PODS).join(&folder.name);
        let Ok(containers) = root.list(&pod) else {
            walk.problem(&pod, "cannot be listed", false);
            continue;
        };
        for container in containers.iter().filter(|entry| entry.is_dir) {
            let (Some(pod_name), Some(name)) = (folder.name.to_str(), container.name.to_str())
            else {
                continue;
            };
            if wanted(pod_name, name) {
                files(walk, root, &pod.join(name), |_| true);
            }
        }
    }
}

/// Whether a container is a part of the control plane or a client that lists and watches.
fn wanted(folder: &str, container: &str) -> bool {
    let pod = folder.split('_').nth(1).unwrap_or(folder);
    match component(container, pod) {
        Component::Unknown => is_controller(container) || is_controller(pod),
        _ => true,
    }
}

fn files(walk: &mut Walk, root: &HostRoot, folder: &Path, keep: impl Fn(&str) -> bool) {
    let entries = match root.list(folder) {
        Ok(entries) => entries,
        Err(missing) => {
            walk.problem(folder, &missing.to_string(), false);
            return;
        }
    };
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        if entry.name.to_str().is_some_and(&keep) {
            file(walk, root, &folder.join(&entry.name));
        }
    }
}

fn file(walk: &mut Walk, root: &HostRoot, path: &Path) {
    match root.resolve(path) {
        Ok(real) => {
            // A container's file may be a link to Docker's; its own name tells more.
            let under = path.strip_prefix("/").unwrap_or(path);
            walk.file_as(&real, &root.path().join(under));
        }
        Err(err) => walk.problem(path, &err.to_string(), false),
    }
}

/// A file and its rotations.
fn rotated(walk: &mut Walk, root: &HostRoot, path: &Path) {
    let (Some(folder), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return;
    };
    if root.exists(path) {
        files(walk, root, folder, |other| {
            super::name::rotation(other).0 == name
        });
    }
}

fn audit(walk: &mut Walk, root: &HostRoot, folder: &str) {
    if root.exists(folder) {
        let log = |name: &str| name.contains("audit") && name.contains(".log");
        files(walk, root, Path::new(folder), log);
    }
}

fn journal(walk: &mut Walk, root: &HostRoot, since: Option<Timestamp>) {
    let program = ["/usr/bin/journalctl", "/bin/journalctl"]
        .into_iter()
        .find(|path| root.exists(path));
    let Some(program) = program else {
        return;
    };
    for (unit, component) in UNITS {
        let there = UNIT_FOLDERS
            .iter()
            .any(|folder| root.exists(Path::new(folder).join(format!("{unit}.service"))));
        if there {
            walk.stream(unit_stream(program, unit, component, since));
        }
    }
}

/// One unit's journal as a stream.
pub(super) fn unit_stream(
    program: &str,
    unit: &str,
    component: Component,
    since: Option<Timestamp>,
) -> Stream {
    // `--all`: long messages come as text instead of null.
    let mut argv: Vec<String> = [program, "--output=json", "--all", "--no-pager", "--quiet"]
        .map(str::to_owned)
        .to_vec();
    argv.push(format!("--unit={unit}.service"));
    if let Some(since) = since {
        argv.push(format!("--since=@{}", since.secs()));
    }
    Stream {
        id: format!("journal/{unit}"),
        component,
        files: vec![LogFile {
            name: format!("journal/{unit}"),
            source: Source::Command(argv),
            size: 0,
            modified: None,
            compression: None,
            told: super::Told::default(),
        }],
        ..Stream::default()
    }
}
