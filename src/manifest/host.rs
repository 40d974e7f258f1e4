//! The folders of a control-plane node where settings live: the running host, `/host` of a debug
//! pod, or a copy of a node's tree.

use std::collections::BTreeSet;

use super::component_config::config_path;
use super::env_files;
use super::gather::ManifestModel;
use super::model::{Fault, Place, Weight};
use super::process;
use super::read::read_file;
use crate::evidence::Missing;
use crate::target::HostRoot;

/// Folders that kubelets take static pods from.
const POD_DIRS: &[&str] = &[
    "/etc/kubernetes/manifests",
    "/etc/kubelet.d",
    "/var/lib/rancher/rke2/agent/pod-manifests",
    "/var/lib/rancher/k3s/agent/pod-manifests",
    "/var/lib/kubelet/static-pods",
];

/// Files of settings outside them.
const FILES: &[&str] = &[
    "/etc/default/etcd",
    "/etc/default/kubelet",
    "/etc/etcd.conf.yaml",
    "/etc/etcd.conf.yml",
    "/etc/etcd.env",
    "/etc/etcd/etcd.conf",
    "/etc/etcd/etcd.conf.yaml",
    "/etc/etcd/etcd.conf.yml",
    "/etc/kubernetes/kubeadm-config.yaml",
    "/etc/kubernetes/kubelet-config.yaml",
    "/etc/kubernetes/kubelet/config.json",
    "/etc/rancher/k3s/config.yaml",
    "/etc/rancher/rke2/config.yaml",
    "/etc/sysconfig/etcd",
    "/etc/sysconfig/kubelet",
    "/system/state/config.yaml",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/rancher/k3s/server/db/etcd/config",
    "/var/lib/rancher/rke2/server/db/etcd/config",
];

/// Folders whose files are settings.
const DIRS: &[&str] = &[
    "/etc/kubernetes/kubelet/config.json.d",
    "/etc/rancher/k3s/config.yaml.d",
    "/etc/rancher/rke2/config.yaml.d",
    "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d",
    "/var/lib/rancher/rke2/agent/etc/kubelet.conf.d",
];

/// Folders of systemd units, the strongest first.
const UNIT_DIRS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Beginnings of the names of units that matter here.
const UNITS: &[&str] = &["etcd", "kube-", "kubelet", "k3s", "rke2", "k0s"];

/// Reads a host: its static pods, units, configuration files and running processes.
pub fn read_host(root: &HostRoot) -> ManifestModel {
    let mut model = ManifestModel::default();
    // A copy of a node's files has no processes; a running host without /proc is worth a word.
    if root.is_live() || root.exists("/proc") {
        process::read(root, "/proc", &mut model);
    }
    read_tree(root, "", &mut model);
    finish(root, "", &mut model);
    model
}

/// Settles a model of one host.
pub(super) fn finish(root: &HostRoot, prefix: &str, model: &mut ManifestModel) {
    let host = root
        .read_text(format!("{prefix}/etc/hostname"))
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|name| !name.is_empty() && !name.contains(char::is_whitespace));
    model.finish(host.as_deref(), &|path| {
        env_files::of_root(root, prefix, path)
    });
}

/// Reads the files of a host tree below `prefix`.
pub(super) fn read_tree(root: &HostRoot, prefix: &str, model: &mut ManifestModel) {
    let mut seen = BTreeSet::new();
    for path in FILES {
        add(root, &format!("{prefix}{path}"), &mut seen, model);
    }
    for dir in DIRS {
        for name in files_of(root, &format!("{prefix}{dir}"), model) {
            add(root, &format!("{prefix}{dir}/{name}"), &mut seen, model);
        }
    }
    units(root, prefix, &mut seen, model);
    let mut pod_dirs: BTreeSet<String> = POD_DIRS.iter().map(|dir| (*dir).to_owned()).collect();
    // Where this kubelet really looks.
    for instance in &model.instances {
        for key in ["staticPodPath", "pod-manifest-path"] {
            pod_dirs.extend(
                instance
                    .last(key)
                    .map(|dir| dir.trim_end_matches('/').to_owned()),
            );
        }
    }
    for dir in pod_dirs {
        static_pods(root, &format!("{prefix}{dir}"), &mut seen, model);
    }
    // Files that the programs found so far name.
    let named: BTreeSet<String> = model
        .instances
        .iter()
        .filter_map(|instance| config_path(instance, instance.component?))
        .filter(|path| path.starts_with('/'))
        .collect();
    for path in named {
        add(root, &format!("{prefix}{path}"), &mut seen, model);
    }
    let dirs: BTreeSet<String> = model
        .instances
        .iter()
        .filter_map(|instance| instance.last("config-dir").map(str::to_owned))
        .filter(|dir| dir.starts_with('/'))
        .collect();
    for dir in dirs {
        let dir = dir.trim_end_matches('/');
        for name in files_of(root, &format!("{prefix}{dir}"), model) {
            if name.ends_with(".conf") {
                add(root, &format!("{prefix}{dir}/{name}"), &mut seen, model);
            }
        }
    }
}

fn add(
    root: &HostRoot,
    path: &str,
    seen: &mut BTreeSet<std::path::PathBuf>,
    model: &mut ManifestModel,
) {
    if !root.exists(path) {
        return;
    }
    // `/lib` is a link to `/usr/lib` on most systems: a file counts once.
    if let Ok(real) = root.resolve(path)
        && !seen.insert(real)
    {
        return;
    }
    read_file(root, path, None, model);
}

/// Names of the files of a folder that exists.
fn files_of(root: &HostRoot, dir: &str, model: &mut ManifestModel) -> Vec<String> {
    // A folder behind one that is closed to us may well be there.
    match root.list(dir) {
        Ok(entries) => entries
            .into_iter()
            .filter(|entry| !entry.is_dir)
            .filter_map(|entry| entry.name.into_string().ok())
            .collect(),
        Err(missing) => {
            if !matches!(missing, Missing::NotPresent { .. }) {
                model.cannot_read(&missing);
            }
            Vec::new()
        }
    }
}

/// A manifest folder: the kubelet reads every file of it, and no folder, except those whose name
/// begins with a dot (kubernetes pkg/kubelet/config/file_linux.go and file.go).
fn static_pods(
    root: &HostRoot,
    dir: &str,
    seen: &mut BTreeSet<std::path::PathBuf>,
    model: &mut ManifestModel,
) {
    for name in files_of(root, dir, model) {
        let path = format!("{dir}/{name}");
        if name.starts_with('.') {
            model.fault(
                None,
                Fault::new(
                    "stray-manifest",
                    Weight::Note,
                    Place::new(path.trim_start_matches('/'), 0),
                    "the kubelet ignores files of its manifest folder whose name begins with a dot; it was not read here either",
                ),
            );
            continue;
        }
        add(root, &path, seen, model);
    }
}

fn units(
    root: &HostRoot,
    prefix: &str,
    seen: &mut BTreeSet<std::path::PathBuf>,
    model: &mut ManifestModel,
) {
    for dir in UNIT_DIRS {
        let dir = format!("{prefix}{dir}");
        let Ok(entries) = root.list(&dir) else {
            continue;
        };
        for entry in entries {
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            if !UNITS.iter().any(|start| name.starts_with(start)) {
                continue;
            }
            if entry.is_dir && name.ends_with(".service.d") {
                for file in files_of(root, &format!("{dir}/{name}"), model) {
                    add(root, &format!("{dir}/{name}/{file}"), seen, model);
                }
            } else if !entry.is_dir && name.ends_with(".service") {
                // An alias is a link to the unit under its own name; a masked unit one to /dev/null.
                let path = format!("{dir}/{name}");
                let real = root.resolve(&path).ok().and_then(|real| {
                    let inside = real.strip_prefix(root.path()).ok()?;
                    Some(format!("/{}", inside.to_str()?))
                });
                match real {
                    Some(real) if real.ends_with(".service") => add(root, &real, seen, model),
                    Some(_) => {}
                    None => add(root, &path, seen, model),
                }
            }
        }
    }
}
