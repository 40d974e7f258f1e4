//! The manifests that a patch is for, by node.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::common::Session;
use crate::error::Error;
use crate::evidence::Missing;
use crate::manifest::{is_pattern, matches_pattern};
use crate::patch::{Named, NodeManifests, named_files};
use crate::target::HostRoot;

use super::Args;

/// The kubelet starts whatever lies here.
const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// Most manifests of one node.
const MAX_FILES: usize = 200;
/// Most bytes of one manifest or configuration.
const MAX_BYTES: u64 = 1 << 20;

/// Manifests by node: the files of a folder, and those of its sub-folders.
pub(super) fn nodes(args: &Args, session: &Session<'_>) -> Result<Vec<NodeManifests>, Error> {
    let (root, dirs): (HostRoot, Vec<&str>) = match (&args.manifests, &args.bundle) {
        (Some(manifests), _) => (HostRoot::new(existing(manifests)?), vec!["/"]),
        (None, Some(bundle)) => (
            HostRoot::new(existing(bundle)?),
            vec!["/manifests", STATIC_PODS, "/host/etc/kubernetes/manifests"],
        ),
        (None, None) if args.target == "systemd" => {
            return Ok(units(&HostRoot::live(), "", UNITS, &|text| {
                session.note(text)
            }));
        }
        (None, None) if args.target == "kubelet-config" => {
            let mut node = NodeManifests::default();
            let note = |text: &str| session.note(text);
            let path = Path::new("/var/lib/kubelet/config.yaml");
            read_into(&HostRoot::live(), path, "config.yaml", &mut node, &note);
            return Ok(vec![node]);
        }
        (None, None) => {
            let dir = match args.target.as_str() {
                "k3s" => "/etc/rancher/k3s",
                "rke2" => "/etc/rancher/rke2",
                _ => STATIC_PODS,
            };
            (HostRoot::live(), vec![dir])
        }
    };
    if args.target == "systemd" {
        let note = |text: &str| session.note(text);
        let found = units(&root, "", UNITS, &note);
        if !found.is_empty() {
            return Ok(found);
        }
        let trees = node_trees(&root, &note);
        if !trees.is_empty() {
            return Ok(trees);
        }
    }
    Ok(manifests_of(&root, &dirs, &|text| session.note(text)))
}

/// Units of several nodes, each in a folder that is laid out as the node's root.
fn node_trees(root: &HostRoot, note: &dyn Fn(&str)) -> Vec<NodeManifests> {
    let mut nodes = Vec::new();
    for entry in root.list("/").unwrap_or_default() {
        if !entry.is_dir {
            continue;
        }
        let name = entry.name.to_string_lossy().into_owned();
        for below in ["", "/host"] {
            let mut own = units(root, &format!("/{name}{below}"), UNITS, note);
            for node in &mut own {
                node.node.clone_from(&name);
            }
            nodes.append(&mut own);
        }
    }
    nodes
}

/// k3s and RKE2 on this node, or in a tree with `etc/rancher`: their configuration with the unit that
/// starts the server, since a list on its command line replaces those of the files. Empty where the
/// files lie in another way.
pub(super) fn server_nodes(
    args: &Args,
    session: &Session<'_>,
) -> Result<Vec<NodeManifests>, Error> {
    let service = match args.target.as_str() {
        "k3s" => "k3s",
        "rke2" => "rke2-server",
        _ => return Ok(Vec::new()),
    };
    let given = args.manifests.as_ref().or(args.bundle.as_ref());
    let root = match given {
        Some(path) => HostRoot::new(existing(path)?),
        None => HostRoot::live(),
    };
    let note = |text: &str| session.note(text);
    let server = |folder: &str, name: &str| {
        let mut node = NodeManifests {
            node: name.to_owned(),
            files: Vec::new(),
        };
        let mut configured = false;
        for below in ["", "/manifests", "/host"] {
            let base = format!("{folder}{below}");
            let dir = format!("{base}/etc/rancher/{}", args.target);
            let configs = manifests_of(&root, &[&dir], &note);
            let units = units(&root, &base, &[service], &note);
            configured |= root.exists(&dir) || !units.is_empty();
            for (name, text) in configs
                .into_iter()
                .filter(|own| own.node.is_empty())
                .chain(units)
                .flat_map(|own| own.files)
            {
                if node.file(&name).is_none() {
                    node.files.push((name, text));
                }
            }
        }
        configured.then_some(node)
    };
    let own = server("", "");
    if own.is_some() || given.is_none() {
        return Ok(own.into_iter().collect());
    }
    let folders = root.list("/").unwrap_or_default();
    Ok(folders
        .iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| {
            let name = entry.name.to_string_lossy();
            server(&format!("/{name}"), &name)
        })
        .collect())
}

/// The units of a control plane without a distribution.
const UNITS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Units with their drop-ins and environment files, below a folder of a root.
fn units(root: &HostRoot, base: &str, names: &[&str], note: &dyn Fn(&str)) -> Vec<NodeManifests> {
    let mut node = NodeManifests::default();
    let read = |path: &str, node: &mut NodeManifests| {
        if let Ok(bytes) = root.read(format!("{base}/{path}"), MAX_BYTES) {
            match String::from_utf8(bytes) {
                Ok(text) => node
                    .files
                    .push((path.trim_start_matches('/').to_owned(), text)),
                Err(_) => note(&format!("{path} is not UTF-8 and was left out")),
            }
        }
    };
    for unit in names {
        for dir in [
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/local/lib/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
        ] {
            read(&format!("{dir}/{unit}.service"), &mut node);
            let drops = format!("{dir}/{unit}.service.d");
            for entry in root.list(format!("{base}{drops}")).unwrap_or_default() {
                let name = entry.name.to_string_lossy();
                if name.ends_with(".conf") {
                    read(&format!("{drops}/{name}"), &mut node);
                }
            }
        }
    }
    // Only the files that a unit names.
    let named: BTreeSet<Named> = node
        .files
        .iter()
        .flat_map(|(name, text)| named_files(name, text))
        .collect();
    for Named { path, optional } in named {
        let had = node.files.len();
        let mut absent = false;
        if let Some((dir, last)) = path.rsplit_once('/').filter(|_| is_pattern(&path)) {
            match root.list(format!("{base}/{dir}")) {
                Ok(entries) => {
                    for entry in entries {
                        let name = entry.name.to_string_lossy();
                        if !entry.is_dir && matches_pattern(last, &name) {
                            read(&format!("{dir}/{name}"), &mut node);
                        }
                    }
                    absent = node.files.len() == had;
                }
                Err(missing) => absent = matches!(missing, Missing::NotPresent { .. }),
            }
        } else {
            read(&path, &mut node);
            let there = root.read(format!("{base}/{path}"), MAX_BYTES);
            absent |= matches!(there, Err(Missing::NotPresent { .. }));
        }
        // One that may be missing and is sets nothing, which must be known. Of one that must be
        // there nothing is known: it was not copied.
        if node.files.len() == had && absent && optional {
            node.files.push((path, String::new()));
        }
    }
    if node.files.is_empty() {
        Vec::new()
    } else {
        vec![node]
    }
}

/// The manifests below the first of `dirs` that has any, node by node.
pub(in crate::cli) fn manifests_of(
    root: &HostRoot,
    dirs: &[&str],
    note: &dyn Fn(&str),
) -> Vec<NodeManifests> {
    let mut nodes = Vec::new();
    for dir in dirs {
        let Ok(entries) = root.list(dir) else {
            continue;
        };
        let mut own = NodeManifests::default();
        for entry in entries {
            let path = Path::new(dir).join(&entry.name);
            let name = entry.name.to_string_lossy().into_owned();
            if entry.is_dir && (name == "config.yaml.d" || name.ends_with(".service.d")) {
                // k3s, RKE2 and systemd: parts of one node's configuration.
                for inner in root.list(&path).unwrap_or_default() {
                    let inner = inner.name.to_string_lossy().into_owned();
                    let full = format!("{name}/{inner}");
                    read_into(root, &path.join(&inner), &full, &mut own, note);
                }
            } else if entry.is_dir {
                let mut node = NodeManifests {
                    node: name,
                    files: Vec::new(),
                };
                for inner in root.list(&path).unwrap_or_default() {
                    let inner_name = inner.name.to_string_lossy().into_owned();
                    let parts = inner_name == "config.yaml.d" || inner_name.ends_with(".service.d");
                    if inner.is_dir && parts {
                        let dir = path.join(&inner.name);
                        for drop_in in root.list(&dir).unwrap_or_default() {
                            let name = drop_in.name.to_string_lossy().into_owned();
                            let full = format!("{inner_name}/{name}");
                            read_into(root, &dir.join(&name), &full, &mut node, note);
                        }
                    }
                    if !inner.is_dir {
                        read_into(
                            root,
                            &path.join(&inner.name),
                            &inner.name.to_string_lossy(),
                            &mut node,
                            note,
                        );
                    }
                }
                if !node.files.is_empty() {
                    nodes.push(node);
                }
            } else {
                read_into(root, &path, &name, &mut own, note);
            }
        }
        if !own.files.is_empty() {
            nodes.push(own);
        }
        if !nodes.is_empty() {
            break;
        }
    }
    nodes
}

pub(super) fn existing(path: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_into(
    root: &HostRoot,
    path: &Path,
    name: &str,
    node: &mut NodeManifests,
    note: &dyn Fn(&str),
) {
    let drop_in = name
        .rsplit_once('/')
        .is_some_and(|(dir, _)| dir.ends_with("config.yaml.d"));
    let wanted = match Path::new(name).extension() {
        // k3s and RKE2 read these of their folder, in any case, and nothing else.
        ext if drop_in => ext.is_some_and(|ext| {
            ["yaml", "yml"]
                .iter()
                .any(|end| ext.eq_ignore_ascii_case(end))
        }),
        // kOps names its static pods `*.manifest`.
        Some(ext) => ["yaml", "yml", "manifest", "json", "service", "conf", "env"]
            .iter()
            .any(|e| ext == *e),
        // Environment files seldom have an extension: /etc/default/etcd.
        None => name == "etcd",
    };
    if !wanted || node.files.len() >= MAX_FILES {
        return;
    }
    match root.read(path, MAX_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => node.files.push((name.to_owned(), text)),
            Err(err) => {
                let place = err.utf8_error().valid_up_to();
                let why = format!("not UTF-8 at byte {place}");
                note(&format!("{name} was left out: {why}"));
                node.unread(name.to_owned(), &why);
            }
        },
        Err(missing) => {
            // The name is there: what is not is the target below this root, where links are followed.
            let own = root.path().join(path.strip_prefix("/").unwrap_or(path));
            let why = match (&missing, fs::read_link(own)) {
                (Missing::NotPresent { .. }, Ok(target)) => format!(
                    "it is a link to {}, which is not below {}: give the folder that holds the file",
                    target.display(),
                    root.path().display()
                ),
                _ => missing.to_string(),
            };
            note(&format!("{name} was left out: {why}"));
            node.unread(name.to_owned(), &why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kOps names its static pods `*.manifest`; what lies beside them is none.
    #[test]
    fn every_name_of_a_static_pod_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd.manifest", "kube-apiserver.yaml", "notes.txt"] {
            fs::write(dir.path().join(name), "kind: Pod\n").unwrap();
        }
        let nodes = manifests_of(&HostRoot::new(dir.path()), &["/"], &|_| {});
        let names: Vec<&str> = nodes[0].files.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["etcd.manifest", "kube-apiserver.yaml"]);
    }
}
