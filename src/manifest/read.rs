//! Walks a bundle's `manifests/` tree or a host's own folders.

use super::gather::{File, ManifestModel};
use super::model::{Fault, Place, Weight};
use super::{host, process};
use crate::target::HostRoot;

/// Files of settings are small; a larger one is something else.
const MAX_FILE: u64 = 8 << 20;
/// Files of one tree; what is over that is said.
const MAX_FILES: usize = 5_000;
/// Depth of a tree.
const MAX_DEPTH: usize = 12;

/// Names of folders below `manifests/` that are no nodes.
const NO_NODES: &[&str] = &[
    "agent",
    "config",
    "configs",
    "conf",
    "deployments",
    "etc",
    "etcd",
    "home",
    "host",
    "k3s",
    "kube-system",
    "kubelet",
    "kubernetes",
    "lib",
    "manifests",
    "opt",
    "patches",
    "pod-manifests",
    "pods",
    "rancher",
    "rke2",
    "root",
    "run",
    "server",
    "static",
    "static-pods",
    "system",
    "systemd",
    "usr",
    "var",
];

/// Reads a bundle: `manifests/` with any file names, `manifests/NODE/…` for several nodes, and the
/// command lines under `host/proc`.
pub fn read_bundle(root: &HostRoot) -> ManifestModel {
    let mut model = ManifestModel::default();
    if root.exists("/manifests") {
        walk(root, "/manifests", &mut model);
    } else if pile(root, &mut model) | gathered(root, &mut model) {
        // Files of settings lie loose in the folder, or where must-gather and support-bundle put
        // the pods of the control plane.
    } else {
        model.unread.push("no manifests".to_owned());
    }
    for proc in ["/host/proc", "/proc"] {
        if root.exists(proc) {
            process::read(root, proc, &mut model);
        }
    }
    if root.exists("/host/etc") || root.exists("/host/var") {
        host::read_tree(root, "/host", &mut model);
    }
    host::finish(root, "/host", &mut model);
    model
}

/// Endings of files that hold settings, in a folder that holds anything.
const ENDINGS: &[&str] = &[".yaml", ".yml", ".manifest", ".service"];

/// Reads loose files of settings right in a folder; says whether there were any.
fn pile(root: &HostRoot, model: &mut ManifestModel) -> bool {
    let before = model.files;
    for entry in root.list("/").unwrap_or_default() {
        if let Some(name) = entry.name.to_str()
            && !entry.is_dir
            && ENDINGS.iter().any(|ending| name.ends_with(ending))
            && model.files < MAX_FILES
        {
            read_file(root, &format!("/{name}"), None, model);
        }
    }
    model.files > before
}

/// Entries looked at in what other programs gathered.
const MAX_ENTRIES: usize = 300_000;

/// Reads pods as must-gather (`namespaces/NS/pods/POD/POD.yaml`, `namespaces/NS/core/pods.yaml`) and
/// support-bundle (`cluster-resources/pods/NS.json`) keep them; says whether there were any.
fn gathered(root: &HostRoot, model: &mut ManifestModel) -> bool {
    let before = model.files;
    let mut todo = vec![(String::new(), 0usize)];
    let mut seen = 0;
    while let Some((dir, depth)) = todo.pop() {
        for entry in root.list(format!("{dir}/")).unwrap_or_default() {
            seen += 1;
            if seen > MAX_ENTRIES || model.files >= MAX_FILES {
                model.unread.push(format!(
                    "only the first {MAX_FILES} files of settings among {MAX_ENTRIES} were read"
                ));
                return true;
            }
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            let path = format!("{dir}/{name}");
            if entry.is_dir {
                // Logs are many, and hold no settings.
                if depth < MAX_DEPTH && name != "logs" {
                    todo.push((path, depth + 1));
                }
            } else if holds_pods(&path) {
                read_file(root, &path, None, model);
            }
        }
    }
    model.files > before
}

/// Whether a path is that of pods of a control plane.
fn holds_pods(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let component = |pod: &str| {
        [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "openshift-kube-",
        ]
        .iter()
        .any(|name| pod.starts_with(name))
    };
    let namespace = |name: &str| {
        name == "kube-system" || name == "openshift-etcd" || name.starts_with("openshift-kube-")
    };
    match parts.as_slice() {
        [.., "namespaces", of, "pods", pod, file] => {
            namespace(of) && component(pod) && file.strip_suffix(".yaml") == Some(pod)
        }
        [.., "namespaces", of, "core", "pods.yaml"] => namespace(of),
        [.., "cluster-resources", "pods", file] => {
            file.strip_suffix(".json").is_some_and(namespace)
        }
        _ => false,
    }
}

/// Reads one file that the user named.
pub fn read_single(folder: &HostRoot, name: &str) -> ManifestModel {
    let mut model = ManifestModel::default();
    read_file(folder, &format!("/{name}"), None, &mut model);
    host::finish(folder, "/host", &mut model);
    model
}

fn walk(root: &HostRoot, top: &str, model: &mut ManifestModel) {
    let mut todo = vec![(top.to_owned(), None::<String>, 0usize)];
    while let Some((dir, node, depth)) = todo.pop() {
        let entries = match root.list(&dir) {
            Ok(entries) => entries,
            Err(missing) => {
                model.cannot_read(&missing);
                continue;
            }
        };
        let mut folders = Vec::new();
        for entry in entries {
            let Some(name) = entry.name.to_str() else {
                model
                    .unread
                    .push(format!("{dir}: a file name that is not UTF-8"));
                continue;
            };
            let path = format!("{dir}/{name}");
            if entry.is_dir {
                if depth < MAX_DEPTH {
                    let is_node = depth == 0
                        && node.is_none()
                        && !NO_NODES.contains(&name)
                        && !name.ends_with(".d");
                    let node = node.clone().or_else(|| is_node.then(|| name.to_owned()));
                    folders.push((path, node, depth + 1));
                }
            } else if model.files >= MAX_FILES {
                model
                    .unread
                    .push(format!("{top}: only the first {MAX_FILES} files were read"));
                return;
            } else {
                read_file(root, &path, node.as_deref(), model);
            }
        }
        // The stack turns them round again.
        todo.extend(folders.into_iter().rev());
    }
}

/// Reads one file and adds what it holds.
pub(super) fn read_file(
    root: &HostRoot,
    path: &str,
    node: Option<&str>,
    model: &mut ManifestModel,
) {
    let shown = path.trim_start_matches('/');
    let bytes = match root.read(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(missing) => {
            model.cannot_read(&missing);
            return;
        }
    };
    model.files += 1;
    if bytes.contains(&0) {
        model.fault(
            node,
            Fault::new(
                "unreadable",
                Weight::Note,
                Place::new(shown, 0),
                "is a binary file, not settings",
            ),
        );
        return;
    }
    let text = String::from_utf8_lossy(&bytes);
    model.add_file(File {
        name: shown,
        node,
        text: &text,
    });
}
