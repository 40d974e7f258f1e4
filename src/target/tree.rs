//! Where the kinds of evidence lie in a folder: a node's tree `logs/ metrics/ manifests/ host/`, a
//! copied host root, or a loose pile of files.

use std::path::{Path, PathBuf};

use super::HostRoot;

/// Where to look for each kind of evidence. Empty means: not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Log files and folders.
    pub logs: Vec<PathBuf>,
    /// Saved scrapes.
    pub metrics: Vec<PathBuf>,
    /// Settings.
    pub manifests: Vec<PathBuf>,
    /// Host roots: folders with `proc` and `sys`.
    pub host: Vec<PathBuf>,
}

impl Tree {
    /// Finds the kinds of evidence below a folder, or says what a single file is.
    pub fn of(path: &Path) -> Self {
        let root = HostRoot::new(path);
        let mut tree = Tree::default();
        if !path.is_dir() {
            match Kind::of_file(path) {
                Kind::Scrape => tree.metrics.push(path.to_owned()),
                Kind::Settings => tree.manifests.push(path.to_owned()),
                Kind::Log => tree.logs.push(path.to_owned()),
            }
            return tree;
        }
        let has = |name: &str| path.join(name).exists();
        if has("logs") || has("metrics") || has("manifests") || has("host") {
            for (name, list) in [
                ("logs", &mut tree.logs),
                ("metrics", &mut tree.metrics),
                ("manifests", &mut tree.manifests),
                ("host", &mut tree.host),
            ] {
                if has(name) {
                    // A link that the user made here leads where it says: `HostRoot` keeps to its
                    // root, and its root is what the link leads to.
                    let real = path.join(name);
                    list.push(real.canonicalize().unwrap_or(real));
                }
            }
            return tree;
        }
        let has = |name: &str| root.exists(name);
        if has("proc") || has("var/log/pods") || has("etc/kubernetes") {
            // A copied or mounted host root.
            if has("var/log") {
                tree.logs.push(path.join("var/log"));
            }
            if has("etc/kubernetes") || has("etc/rancher") || has("etc/systemd") {
                tree.manifests.push(path.to_owned());
            }
            if has("proc") {
                tree.host.push(path.to_owned());
            }
            return tree;
        }
        // Several nodes' trees side by side, or a pile: each engine picks what is its own.
        let mut nodes = Vec::new();
        for entry in root.list("/").unwrap_or_default() {
            let sub = path.join(&entry.name);
            if entry.is_dir && is_tree(&sub) {
                nodes.push(Tree::of(&sub));
            }
        }
        if nodes.is_empty() {
            for list in [&mut tree.logs, &mut tree.metrics, &mut tree.manifests] {
                list.push(path.to_owned());
            }
            return tree;
        }
        for node in nodes {
            tree.logs.extend(node.logs);
            tree.metrics.extend(node.metrics);
            tree.manifests.extend(node.manifests);
            tree.host.extend(node.host);
        }
        tree
    }
}

/// Whether a folder is one node's tree.
fn is_tree(path: &Path) -> bool {
    let root = HostRoot::new(path);
    [
        "logs",
        "metrics",
        "manifests",
        "host",
        "proc",
        "var/log/pods",
        "etc/kubernetes",
    ]
    .iter()
    .any(|name| root.exists(name))
}

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
        let node = Tree::of(&at("node"));
        let real = |path: &str| at(path).canonicalize().unwrap();
        assert_eq!(
            (node.logs, node.host),
            (vec![real("node/logs")], vec![real("node/host")])
        );
        assert!(node.metrics.is_empty());
        let root = Tree::of(&at("root"));
        assert_eq!(root.logs, [at("root/var/log")]);
        assert_eq!(
            (root.manifests, root.host),
            (vec![at("root")], vec![at("root")])
        );
        assert_eq!(Tree::of(&at("pile")).metrics, [at("pile")]);
        assert_eq!(Tree::of(&at("pile/etcd.log")).logs, [at("pile/etcd.log")]);
        assert_eq!(Tree::of(&at("x.prom.gz")).metrics, [at("x.prom.gz")]);
        // Several nodes side by side.
        assert_eq!(Tree::of(dir.path()).host.len(), 2);
    }
}
