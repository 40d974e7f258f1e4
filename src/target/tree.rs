//! Where the kinds of evidence lie in a folder: a node's tree `logs/ metrics/ manifests/ host/`, a
//! copied host root, or a loose pile of files.

use std::path::{Path, PathBuf};

use super::HostRoot;

/// Where to look for each kind of evidence. Empty means: not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The folder's name where several nodes' trees lie side by side: most likely the node's.
    pub name: Option<String>,
    /// Log files and folders.
    pub logs: Vec<PathBuf>,
    /// Saved scrapes.
    pub metrics: Vec<PathBuf>,
    /// Settings.
    pub manifests: Vec<PathBuf>,
    /// A copied host root: settings lie where that host has them.
    pub settings_root: Option<PathBuf>,
    /// Host roots: folders with `proc` and `sys`.
    pub host: Vec<PathBuf>,
}

impl Tree {
    /// Finds the kinds of evidence below a folder, or says what a single file is: one tree a node
    /// where several lie side by side, so that what one node's kernel tells stays its own.
    pub fn all(path: &Path) -> Vec<Self> {
        if !path.is_dir() {
            return vec![Self::of_file(path)];
        }
        if let Some(tree) = Self::of_parts(path).or_else(|| Self::of_root(path)) {
            return vec![tree];
        }
        let mut nodes = Vec::new();
        for entry in HostRoot::new(path).list("/").unwrap_or_default() {
            let sub = path.join(&entry.name);
            if entry.is_dir
                && let Some(tree) = Self::of_parts(&sub).or_else(|| Self::of_root(&sub))
            {
                nodes.push(Tree {
                    name: Some(entry.name.to_string_lossy().into_owned()),
                    ..tree
                });
            }
        }
        if nodes.is_empty() {
            nodes.push(Self::pile(path));
        }
        nodes
    }

    fn of_file(path: &Path) -> Self {
        let mut tree = Tree::default();
        match Kind::of_file(path) {
            Kind::Scrape => tree.metrics.push(path.to_owned()),
            Kind::Settings => tree.manifests.push(path.to_owned()),
            Kind::Log => tree.logs.push(path.to_owned()),
        }
        tree
    }

    /// A node's tree: `logs/ metrics/ manifests/ host/`.
    fn of_parts(path: &Path) -> Option<Self> {
        let mut tree = Tree::default();
        let mut any = false;
        for (name, list) in [
            ("logs", &mut tree.logs),
            ("metrics", &mut tree.metrics),
            ("manifests", &mut tree.manifests),
            ("host", &mut tree.host),
        ] {
            let part = path.join(name);
            if part.exists() {
                any = true;
                // A link that the user made here leads where it says: `HostRoot` keeps to its
                // root, and its root is what the link leads to.
                list.push(part.canonicalize().unwrap_or(part));
            }
        }
        // A host's files of settings may lie beside the parts, as on the host.
        let root = HostRoot::new(path);
        if any && tree.manifests.is_empty() && SETTINGS.iter().any(|name| root.exists(name)) {
            tree.settings_root = Some(path.to_owned());
        }
        any.then_some(tree)
    }

    /// A copied or mounted host root.
    fn of_root(path: &Path) -> Option<Self> {
        let root = HostRoot::new(path);
        let has = |name: &&str| root.exists(name);
        let sure = ROOT.iter().any(has);
        if !sure && !SETTINGS.iter().any(has) {
            return None;
        }
        let mut tree = Tree::default();
        if root.exists("var/log") {
            tree.logs.push(path.join("var/log"));
        }
        if SETTINGS.iter().any(has) || root.exists("proc") {
            tree.settings_root = Some(path.to_owned());
        }
        if root.exists("proc") || root.exists("sys") {
            tree.host.push(path.to_owned());
        } else if !sure {
            // A few of a host's files may lie beside logs and scrapes.
            tree.metrics.push(path.to_owned());
            if tree.logs.is_empty() {
                tree.logs.push(path.to_owned());
            }
        }
        Some(tree)
    }

    /// Anything: each engine picks what is its own.
    fn pile(path: &Path) -> Self {
        Tree {
            logs: vec![path.to_owned()],
            metrics: vec![path.to_owned()],
            manifests: vec![path.to_owned()],
            ..Tree::default()
        }
    }
}

/// Signs of a host root.
const ROOT: &[&str] = &["proc", "var/log/pods", "etc/kubernetes"];

/// Where a host root has settings: static pods, k3s and RKE2, units, and what packages of etcd bring.
const SETTINGS: &[&str] = &[
    "etc/kubernetes",
    "etc/kubelet.d",
    "etc/rancher",
    "var/lib/rancher",
    "var/lib/kubelet",
    "etc/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "etc/default/etcd",
    "etc/sysconfig/etcd",
    "etc/etcd",
    "etc/etcd.env",
    "etc/etcd.conf.yaml",
    "etc/etcd.conf.yml",
    "system/state/config.yaml",
];

/// What a single file is, by its name. The engines look at the content again.
enum Kind {
    Log,
    Scrape,
    Settings,
}

impl Kind {
    fn of_file(path: &Path) -> Self {
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
        if plain.ends_with(".prom") || plain.ends_with(".metrics") {
            Kind::Scrape
        } else if plain.ends_with(".yaml") || plain.ends_with(".yml") || plain.ends_with(".conf") {
            Kind::Settings
        } else {
            Kind::Log
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn trees_roots_piles_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "node/logs",
            "node/host/proc",
            "root/proc",
            "root/var/log/pods",
            "root/etc/kubernetes",
            "pile",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("pile/etcd.log"), "").unwrap();
        let of = |path: &str| match Tree::all(&at(path)).as_slice() {
            [one] => one.clone(),
            several => panic!("{several:?}"),
        };
        let node = of("node");
        let real = |path: &str| at(path).canonicalize().unwrap();
        assert_eq!(
            (node.logs, node.host),
            (vec![real("node/logs")], vec![real("node/host")])
        );
        assert!(node.metrics.is_empty());
        assert_eq!(node.settings_root, None);
        fs::create_dir_all(at("beside/logs")).unwrap();
        fs::create_dir_all(at("beside/etc/rancher/k3s")).unwrap();
        assert_eq!(of("beside").settings_root, Some(at("beside")));
        fs::remove_dir_all(at("beside")).unwrap();
        let root = of("root");
        assert_eq!(root.logs, [at("root/var/log")]);
        assert_eq!(
            (root.settings_root, root.host),
            (Some(at("root")), vec![at("root")])
        );
        assert_eq!(of("pile").metrics, [at("pile")]);
        assert_eq!(of("pile/etcd.log").logs, [at("pile/etcd.log")]);
        assert_eq!(of("x.prom.gz").metrics, [at("x.prom.gz")]);
        // Several nodes side by side, each with its own.
        let all = Tree::all(dir.path());
        let names: Vec<_> = all.iter().map(|tree| tree.name.as_deref()).collect();
        assert_eq!(names, [Some("node"), Some("root")]);
        assert!(all.iter().all(|tree| tree.host.len() == 1));
    }

    #[test]
    fn a_root_without_kubernetes_is_one() {
        for sign in [
            "etc/systemd/system/etcd.service",
            "etc/rancher/k3s/config.yaml",
            "etc/default/etcd",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join(sign);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
            let all = Tree::all(dir.path());
            assert_eq!(all[0].settings_root.as_deref(), Some(dir.path()), "{sign}");
            // What lies beside is looked at as before.
            assert_eq!(all[0].metrics, [dir.path()], "{sign}");
            assert_eq!(all[0].logs, [dir.path()], "{sign}");
            assert!(all[0].host.is_empty(), "{sign}");
        }
    }
}
