//! Where the kinds of evidence lie in a folder: a node's tree `logs/ metrics/ manifests/ host/`, a
//! copied host root, or a loose pile of files.

use std::ffi::OsStr;
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
    /// Files beside these of whose names nothing can be told: what they are, their content says.
    pub loose: Vec<PathBuf>,
    /// Links that lead out of the folder that was given: others may have packed it, so they are not
    /// followed.
    pub outside: Vec<PathBuf>,
}

impl Tree {
    /// Finds the kinds of evidence below a folder, or says what a single file is: one tree a node
    /// where several lie side by side, so that what one node's kernel tells stays its own. What lies
    /// beside such trees, and beside the parts of one, is looked at too.
    pub fn all(path: &Path) -> Vec<Self> {
        if !path.is_dir() {
            return vec![Self::of_file(path)];
        }
        let mut search = Search {
            inside: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            left: MOST,
            outside: Vec::new(),
        };
        let mut own = Self::of_folder(path, &search.inside);
        if let Some(own) = &mut own {
            search.outside.append(&mut own.outside);
        }
        let with = |mut trees: Vec<Self>, outside: Vec<PathBuf>| {
            if let Some(first) = trees.first_mut() {
                first.outside = outside;
            }
            trees
        };
        // A host has all of its folders for itself.
        if own.is_some() && is_root(path) {
            return with(own.into_iter().collect(), search.outside);
        }
        let deepest = if own.is_some() { 0 } else { DEEP };
        let mut nodes = Vec::new();
        let mut beside = Tree::default();
        for entry in HostRoot::new(path).list("/").unwrap_or_default() {
            let sub = path.join(&entry.name);
            if own.is_some() && is_part(&entry.name) || search.leads_out(&sub) {
                continue;
            }
            // `usr` with its units is no other node.
            let of_this = own.as_ref().is_some_and(|own| own.settings_root.is_some())
                && entry
                    .name
                    .to_str()
                    .is_some_and(|name| OF_HOST.contains(&name));
            let below = match entry.is_dir && !of_this {
                true => Self::nodes(&sub, 0, deepest, &mut search),
                false => Vec::new(),
            };
            match below.is_empty() {
                true => beside.add_beside(&sub, entry.is_dir),
                false => nodes.extend(below),
            }
        }
        let trees = match own {
            // Whoever looks for logs in it tells of its links.
            None if nodes.is_empty() => return vec![Self::pile(path)],
            None => nodes.into_iter().chain(beside.some()).collect(),
            Some(mut tree) => {
                tree.logs.append(&mut beside.logs);
                tree.metrics.append(&mut beside.metrics);
                tree.manifests.append(&mut beside.manifests);
                tree.loose.append(&mut beside.loose);
                nodes.into_iter().chain([tree]).collect()
            }
        };
        with(trees, search.outside)
    }

    /// The trees of nodes at a folder or some levels below it. Deeper ones must be sure: a folder
    /// called `logs` alone may be anybody's.
    fn nodes(path: &Path, level: usize, deepest: usize, search: &mut Search) -> Vec<Self> {
        let sure = level == 0 || is_root(path) || parts_of(path) > 1;
        if let Some(mut tree) = Self::of_folder(path, &search.inside).filter(|_| sure) {
            search.outside.append(&mut tree.outside);
            let name = path.file_name();
            return vec![Tree {
                name: name.map(|name| name.to_string_lossy().into_owned()),
                ..tree
            }];
        }
        let mut nodes = Vec::new();
        if level < deepest {
            let entries = HostRoot::new(path).list("/").unwrap_or_default();
            for entry in entries.into_iter().filter(|entry| entry.is_dir) {
                let Some(rest) = search.left.checked_sub(1) else {
                    break;
                };
                search.left = rest;
                let sub = path.join(entry.name);
                if !search.leads_out(&sub) {
                    nodes.extend(Self::nodes(&sub, level + 1, deepest, search));
                }
            }
        }
        nodes
    }

    /// A node's tree, a host root, or both in one folder.
    fn of_folder(path: &Path, inside: &Path) -> Option<Self> {
        let (parts, root) = (Self::of_parts(path, inside), Self::of_root(path));
        let Some(mut tree) = parts else {
            return root;
        };
        if let Some(mut root) = root.filter(|_| is_root(path)) {
            tree.logs.append(&mut root.logs);
            tree.host.append(&mut root.host);
        }
        // A whole host may have been copied to `host`.
        for host in &tree.host {
            let root = HostRoot::new(host);
            if host != path && root.exists("var/log/pods") {
                tree.logs.extend(root.resolve("var/log"));
            }
            let without = tree.manifests.is_empty() && tree.settings_root.is_none();
            if without && (SETTINGS.iter().any(|name| root.exists(name)) || has_programs(&root)) {
                tree.settings_root = Some(host.clone());
            }
        }
        Some(tree)
    }

    /// What lies beside a node's tree. What a program wrote there may look like settings, so that only
    /// what is named so is taken for any.
    fn add_beside(&mut self, path: &Path, is_dir: bool) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !is_dir {
            match Kind::of_file(path) {
                Kind::Scrape => self.metrics.push(path.to_owned()),
                Kind::Settings => self.manifests.push(path.to_owned()),
                Kind::Log if name.contains(".log") => self.logs.push(path.to_owned()),
                Kind::Log => self.loose.push(path.to_owned()),
            }
            return;
        }
        // A host's own folders are looked at where its settings lie.
        if OF_HOST.contains(&&*name) {
            return;
        }
        self.logs.push(path.to_owned());
        self.metrics.push(path.to_owned());
        if MANIFESTS.iter().any(|word| name.contains(word)) {
            self.manifests.push(path.to_owned());
        }
    }

    /// Nothing, if nothing was found.
    fn some(self) -> Option<Self> {
        (self != Tree::default()).then_some(self)
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
    fn of_parts(path: &Path, inside: &Path) -> Option<Self> {
        let mut tree = Tree::default();
        let mut outside = Vec::new();
        let mut any = false;
        let lists = [
            &mut tree.logs,
            &mut tree.metrics,
            &mut tree.manifests,
            &mut tree.host,
        ];
        for (name, list) in PARTS.iter().zip(lists) {
            let part = path.join(name);
            if part.exists() {
                any = true;
                // `HostRoot` keeps to its root, and its root is what a link leads to.
                match part.canonicalize() {
                    Ok(real) if real.starts_with(inside) => list.push(real),
                    _ => outside.push(part),
                }
            }
        }
        tree.outside = outside;
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
            tree.logs.extend(root.resolve("var/log"));
        }
        tree.logs.extend(journal_of_sos(&root, path));
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

/// A search for trees below a folder.
struct Search {
    /// The folder that was given, which links must not lead out of.
    inside: PathBuf,
    /// How many folders are still looked at.
    left: usize,
    /// Links that lead out.
    outside: Vec<PathBuf>,
}

impl Search {
    /// Whether an entry is a link out of the folder that was given.
    fn leads_out(&mut self, path: &Path) -> bool {
        let out = path.is_symlink()
            && path
                .canonicalize()
                .is_ok_and(|real| !real.starts_with(&self.inside));
        if out {
            self.outside.push(path.to_owned());
        }
        out
    }
}

/// The parts of a node's tree.
const PARTS: [&str; 4] = ["logs", "metrics", "manifests", "host"];
/// How many levels below a folder nodes' trees are looked for, besides the first.
const DEEP: usize = 2;
/// Most folders that are looked at for them.
const MOST: usize = 2_000;
/// Folders of a host root.
const OF_HOST: &[&str] = &["etc", "lib", "proc", "run", "sys", "system", "usr", "var"];
/// What folders of manifests are called: must-gather's, dumps', copied ones.
const MANIFESTS: &[&str] = &["manifest", "must-gather", "namespaces", "kubernetes"];

/// The journals that a sosreport keeps as text, one a boot. Where the host's own text log is there, they
/// hold the same lines; with the texts of the catalogue between them they are there once more.
fn journal_of_sos(root: &HostRoot, path: &Path) -> Vec<PathBuf> {
    const FOLDER: &str = "sos_commands/logs";
    if ["var/log/messages", "var/log/syslog"]
        .iter()
        .any(|name| root.exists(name))
    {
        return Vec::new();
    }
    let entries = root.list(FOLDER).unwrap_or_default().into_iter();
    let mut names: Vec<String> = entries
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| entry.name.into_string().ok())
        .filter(|name| name.starts_with("journalctl_") && name.contains("boot"))
        .filter(|name| !name.contains("list-boots"))
        .collect();
    let plain = |name: &String| !name.contains("catalog");
    if names.iter().any(plain) {
        names.retain(plain);
    }
    names.sort();
    let files = names.into_iter();
    files.map(|name| path.join(FOLDER).join(name)).collect()
}

fn is_part(name: &OsStr) -> bool {
    PARTS.iter().any(|part| name == *part)
}

fn parts_of(path: &Path) -> usize {
    PARTS.iter().filter(|part| path.join(part).exists()).count()
}

/// Whether a folder surely is a host root.
fn is_root(path: &Path) -> bool {
    let root = HostRoot::new(path);
    ROOT.iter().any(|name| root.exists(name))
}

/// Whether a host's copy has what its programs were started with.
fn has_programs(root: &HostRoot) -> bool {
    let entries = root.list("proc").unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| entry.is_dir)
        .any(|entry| {
            let number = entry
                .name
                .to_str()
                .and_then(|name| name.parse::<u32>().ok());
            number.is_some_and(|pid| root.exists(format!("proc/{pid}/cmdline")))
        })
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
    fn units_below_usr_and_programs_below_proc_are_the_hosts_own() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "a/etc/default",
            "a/usr/lib/systemd/system",
            "b/host/proc/12",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for file in [
            "a/etc/default/etcd",
            "a/usr/lib/systemd/system/etcd.service",
            "b/host/proc/12/cmdline",
        ] {
            fs::write(at(file), "x").unwrap();
        }
        let roots = |path: &str| {
            let trees = Tree::all(&at(path));
            let roots = trees.into_iter().map(|tree| tree.settings_root);
            roots.collect::<Vec<_>>()
        };
        assert_eq!(roots("a"), [Some(at("a"))]);
        let host = at("b/host").canonicalize().unwrap();
        assert_eq!(roots("b"), [Some(host)]);
    }

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
        // What lies beside them is a tree without a name.
        assert_eq!(names, [Some("node"), Some("root"), None]);
        assert!(all[..2].iter().all(|tree| tree.host.len() == 1));
        assert_eq!(all[2].logs, [at("pile")]);
        assert!(all[2].manifests.is_empty() && all[2].host.is_empty());
    }

    #[test]
    fn files_without_a_telling_name_are_kept_for_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "a/metrics",
            "s/proc",
            "s/etc/kubernetes",
            "s/sos_commands/logs",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for file in [
            "a/messages",
            "a/journal.txt",
            "a/etcd.log",
            "s/sos_commands/logs/journalctl_--no-pager_--boot",
            "s/sos_commands/logs/journalctl_--no-pager_--catalog_--boot",
            "s/sos_commands/logs/journalctl_--disk-usage",
        ] {
            fs::write(at(file), "x").unwrap();
        }
        let of = |path: &str| Tree::all(&at(path)).pop().unwrap();
        let mut loose = of("a").loose;
        loose.sort();
        assert_eq!(loose, [at("a/journal.txt"), at("a/messages")]);
        assert_eq!(of("a").logs, [at("a/etcd.log")]);
        let journal = at("s/sos_commands/logs/journalctl_--no-pager_--boot");
        assert_eq!(of("s").logs, [journal]);
        // The same lines are in the host's own log.
        fs::create_dir_all(at("s/var/log")).unwrap();
        fs::write(at("s/var/log/messages"), "x").unwrap();
        assert_eq!(of("s").logs, [at("s/var/log")]);
    }

    #[test]
    fn nothing_beside_a_part_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        let real = |path: &str| at(path).canonicalize().unwrap();
        for path in [
            // A host's root with scrapes in it.
            "a/metrics",
            "a/proc",
            "a/var/log/pods",
            "a/etc/kubernetes/manifests",
            // Nodes with scrapes beside them.
            "b/cp0/logs",
            "b/cp0/host/proc",
            "b/metrics",
            // A whole host in `host`.
            "c/metrics",
            "c/host/etc/kubernetes",
            "c/host/var/log/pods",
            // Single files, and folders of other names.
            "d/host/proc",
            "d/must-gather.local.1/namespaces",
            "d/out",
            // Deeper down.
            "e/x/y/logs",
            "e/x/y/metrics",
            "e/x/z/logs",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["d/etcd.log", "d/etcd.yaml", "d/m0.prom.gz", "d/truth.json"] {
            fs::write(at(path), "").unwrap();
        }
        let all = Tree::all(&at("a"));
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].metrics, [real("a/metrics")]);
        assert_eq!(
            (&all[0].logs, &all[0].host),
            (&vec![at("a/var/log")], &vec![at("a")])
        );
        assert_eq!(all[0].settings_root, Some(at("a")));
        let all = Tree::all(&at("b"));
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0].name.as_deref(), Some("cp0"));
        assert_eq!(
            (&all[1].name, &all[1].metrics),
            (&None, &vec![real("b/metrics")])
        );
        let all = Tree::all(&at("c"));
        assert_eq!(all[0].logs, [real("c/host").join("var/log")]);
        assert_eq!(all[0].settings_root, Some(real("c/host")));
        let all = Tree::all(&at("d"));
        assert_eq!(all.len(), 1, "{all:?}");
        let gather = at("d/must-gather.local.1");
        assert_eq!(all[0].logs, [at("d/etcd.log"), gather.clone(), at("d/out")]);
        assert_eq!(
            all[0].metrics,
            [at("d/m0.prom.gz"), gather.clone(), at("d/out")]
        );
        // What was written to `out` may be a patch.
        assert_eq!(all[0].manifests, [at("d/etcd.yaml"), gather]);
        let all = Tree::all(&at("e"));
        let names: Vec<_> = all.iter().map(|tree| tree.name.as_deref()).collect();
        assert_eq!(names, [Some("y")]);
    }

    #[test]
    fn links_out_of_the_folder_are_left_out_and_told() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "out/logs",
            "out/manifests",
            "out/var/log",
            "b/manifests",
            "b/more/logs",
            "b/deep/er",
            "r/etc/kubernetes",
            "r/out/log",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        symlink(at("out/logs"), at("b/logs")).unwrap();
        symlink("../out", at("b/host")).unwrap();
        symlink("../..", at("b/up")).unwrap();
        symlink("../out", at("b/node")).unwrap();
        // This one stays inside.
        symlink("more/logs", at("b/metrics")).unwrap();
        let all = Tree::all(&at("b"));
        let real = |path: &str| at(path).canonicalize().unwrap();
        let mut outside: Vec<_> = all.iter().flat_map(|tree| tree.outside.clone()).collect();
        outside.sort();
        assert_eq!(
            outside,
            [at("b/host"), at("b/logs"), at("b/node"), at("b/up")]
        );
        assert_eq!(all.last().unwrap().metrics[0], real("b/more/logs"));
        for tree in &all {
            for path in tree.logs.iter().chain(&tree.manifests).chain(&tree.host) {
                let path = path.canonicalize().unwrap();
                assert!(path.starts_with(real("b")), "{path:?}");
            }
        }
        // Deeper down, where there is no tree at the top.
        symlink("../../..", at("b/deep/er/up")).unwrap();
        for part in ["logs", "metrics", "host", "manifests", "node", "up"] {
            let path = at("b").join(part);
            match path.is_symlink() {
                true => fs::remove_file(path).unwrap(),
                false => fs::remove_dir_all(path).unwrap(),
            }
        }
        fs::create_dir_all(at("b/n1/logs")).unwrap();
        let all = Tree::all(&at("b"));
        assert_eq!(all[0].outside, [at("b/deep/er/up")], "{all:?}");
        // Of a host's copy links stay inside, as on the host.
        symlink("/out", at("r/var")).unwrap();
        assert_eq!(Tree::all(&at("r"))[0].logs, [at("r/out/log")]);
        // The folder that is given may be a link itself.
        symlink("b", at("link")).unwrap();
        assert_eq!(Tree::all(&at("link"))[0].outside, [at("link/deep/er/up")]);
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
