//! Runs the engines over folders, bundles and the live node, and puts their evidence together.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::bundle::{self, Scratch};
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::evidence::{Collector, EvidenceSet, Reader, Reading, Record, Shape, SubjectKind, keys};
use crate::patch::NodeManifests;
use crate::target::{HostRoot, Tree};
use crate::{host, logs, manifest, metrics};

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) evidence: EvidenceSet,
    /// What could not be read, in words.
    pub(super) problems: Vec<String>,
    /// Unpacked tarballs; they go away with this.
    scratch: Vec<Scratch>,
    /// Manifests as found, node by node, for the patch.
    pub(super) manifests: Vec<NodeManifests>,
    /// Versions to judge settings by, in place of those that run.
    pub(super) asked: Vec<(
        crate::catalog::settings::Component,
        crate::catalog::releases::Version,
    )>,
}

/// A tree that is to be read.
struct Opened {
    root: PathBuf,
    /// The tarball that it came out of.
    packed: Option<String>,
}

/// How to gather.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) clock: Clock,
    pub(super) stop: &'a AtomicBool,
    pub(super) threads: usize,
    pub(super) read: logs::reader::ReadOptions,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl Gathered {
    /// Gathers from one bundle: a saved run, a tarball, a folder or a file.
    pub(super) fn add_bundle(&mut self, path: &Path, how: &How<'_>) -> Result<(), Error> {
        self.add_bundles(std::slice::from_ref(&path), how)
    }

    /// Gathers from several. What one of them tells of the nodes helps to read the others, so the
    /// settings of all come first: how they are cut into bundles, and their order, is no matter.
    pub(super) fn add_bundles(
        &mut self,
        paths: &[impl AsRef<Path>],
        how: &How<'_>,
    ) -> Result<(), Error> {
        let mut opened = Vec::new();
        for path in paths {
            opened.extend(self.open(path.as_ref())?);
        }
        self.add_opened(&opened, how);
        Ok(())
    }

    /// Takes a saved run, or says where the tree is that is to be read.
    fn open(&mut self, path: &Path) -> Result<Option<Opened>, Error> {
        let unreadable = |source| Error::Evidence {
            path: path.to_owned(),
            source,
        };
        let plain = || Opened {
            root: path.to_owned(),
            packed: None,
        };
        let meta = std::fs::metadata(path).map_err(unreadable)?;
        if meta.is_dir() {
            return Ok(Some(plain()));
        }
        #[expect(clippy::disallowed_methods, reason = "the user named this file")]
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        if bundle::is_tarball(path) {
            return self.unpack(file, &path.display().to_string()).map(Some);
        }
        let mut head = vec![0; 512];
        let read = std::io::Read::read(&mut file, &mut head).map_err(unreadable)?;
        head.truncate(read);
        if bundle::looks_like(&head) {
            #[expect(clippy::disallowed_methods, reason = "the user named this file")]
            let file = std::fs::File::open(path).map_err(unreadable)?;
            match bundle::load(file) {
                Ok(saved) => {
                    let notes = saved
                        .notes
                        .into_iter()
                        .chain(saved.evidence.conflicts().to_vec());
                    self.problems
                        .extend(notes.map(|note| format!("{}: {note}", path.display())));
                    self.evidence.merge(saved.evidence);
                    return Ok(None);
                }
                // A compressed log starts like a compressed bundle.
                Err(why) if head.starts_with(b"{") || names_format(path) => {
                    return Err(Error::Format {
                        path: path.to_owned(),
                        why,
                    });
                }
                Err(_) => {}
            }
        }
        Ok(Some(plain()))
    }

    /// Unpacks a tarball.
    fn unpack(&mut self, tarball: impl std::io::Read, name: &str) -> Result<Opened, Error> {
        let (scratch, left_out) = bundle::unpack(tarball).map_err(|source| Error::Read {
            path: name.into(),
            source,
        })?;
        self.problems
            .extend(left_out.into_iter().map(|why| format!("{name}: {why}")));
        let root = only_folder(scratch.path());
        self.scratch.push(scratch);
        Ok(Opened {
            root,
            packed: Some(name.to_owned()),
        })
    }

    /// Gathers from a tarball.
    pub(super) fn add_tarball(
        &mut self,
        tarball: impl std::io::Read,
        name: &str,
        how: &How<'_>,
    ) -> Result<(), Error> {
        let opened = self.unpack(tarball, name)?;
        self.add_opened(&[opened], how);
        Ok(())
    }

    /// Gathers from trees: settings of all, then what needs to know the nodes.
    fn add_opened(&mut self, opened: &[Opened], how: &How<'_>) {
        let trees: Vec<(&Opened, Tree)> = opened
            .iter()
            .flat_map(|one| {
                Tree::all(&one.root)
                    .into_iter()
                    .map(move |tree| (one, tree))
            })
            .collect();
        let mut own = Vec::new();
        let mut names = Vec::new();
        for (one, tree) in &trees {
            let noted = self.problems.len();
            own.push(self.add_manifests(one, tree, &mut names));
            self.as_given(noted, one);
        }
        name_manifests(&mut self.manifests, names);
        let known = etcd_nodes(&self.evidence);
        // `m0` of scrapes, and the only host, tell nothing where they may be those of any of
        // several trees.
        let unnamed = || trees.iter().zip(&own).filter(|(_, nodes)| nodes.is_empty());
        let many = unnamed()
            .filter(|((_, tree), _)| !tree.metrics.is_empty())
            .count()
            > 1
            || unnamed()
                .filter(|((_, tree), _)| !tree.host.is_empty())
                .count()
                > 1;
        let hosts = trees.iter().filter(|(_, tree)| !tree.host.is_empty());
        let several = hosts.count() > 1;
        for ((one, tree), nodes) in trees.iter().zip(&own) {
            let noted = self.problems.len();
            let nodes = if !nodes.is_empty() {
                nodes.clone()
            } else if let Some(node) = node_of(one, tree, &known) {
                vec![node]
            } else if known.len() <= 1 || !many {
                known.clone()
            } else {
                tree.name.iter().cloned().collect()
            };
            self.add_metrics(tree, &nodes);
            self.add_host(tree, how, &nodes, several);
            self.add_logs(&tree.logs, &one.root, how);
            self.as_given(noted, one);
        }
        name_nodes(&mut self.evidence);
    }

    /// Problems name files of the tarball, not of the folder that goes away.
    fn as_given(&mut self, noted: usize, one: &Opened) {
        if let Some(name) = &one.packed {
            let (root, given) = (one.root.display().to_string(), format!("{name}:"));
            for problem in self.problems.iter_mut().skip(noted) {
                *problem = problem.replace(&root, &given);
            }
        }
    }

    /// Gathers from saved scrapes: a file or a folder, whatever its names are.
    pub(super) fn add_scrapes(&mut self, path: &Path) -> Result<(), Error> {
        let mut loader = metrics::Loader::new(metrics::Limits::default());
        super::metrics::read_path(path, &mut loader)?;
        let model = loader.finish();
        self.evidence.merge(metrics::collect(&model));
        Ok(())
    }

    /// Gathers settings from a text, as if it had been read from a file of that name.
    pub(super) fn add_settings(&mut self, name: &str, text: &str) {
        let mut model = manifest::model_of_text(name, text);
        model.asked.clone_from(&self.asked);
        for (_, fault) in &model.faults {
            if fault.weight == manifest::Weight::Stop {
                self.problems.push(format!("{name}: {}", fault.text));
            }
        }
        self.evidence.merge(manifest::collect(&model));
    }

    /// Settings; gives the nodes' names in the order of their etcd members, and adds to `names` whose
    /// manifests those are that lie in no folder of a node.
    fn add_manifests(
        &mut self,
        one: &Opened,
        tree: &Tree,
        names: &mut Vec<(usize, String)>,
    ) -> Vec<String> {
        let mut nodes = Vec::new();
        let roots = tree.settings_root.iter().map(|path| (path, true));
        for (path, is_root) in tree.manifests.iter().map(|path| (path, false)).chain(roots) {
            // The engine looks for `manifests` below a root.
            let root = if !is_root && path.ends_with("manifests") {
                path.parent()
                    .map_or_else(|| path.clone(), Path::to_path_buf)
            } else {
                path.clone()
            };
            let root = HostRoot::new(root);
            let found = super::patch::manifests_of(
                &root,
                &[
                    "/manifests",
                    "/etc/kubernetes/manifests",
                    "/host/etc/kubernetes/manifests",
                ],
                &|_| {},
            );
            let mut model = match (is_root, path.is_file(), path.parent(), path.file_name()) {
                (true, ..) => manifest::read_host(&root),
                (_, true, Some(folder), Some(name)) => {
                    manifest::read_single(&HostRoot::new(folder), &name.to_string_lossy())
                }
                _ => manifest::read_bundle(&root),
            };
            model.asked.clone_from(&self.asked);
            self.problems.extend(manifest::unread(&model));
            let settings = manifest::collect(&model);
            let on = |wanted: Option<&str>| {
                let mut names: Vec<String> = settings
                    .of_key(&keys::SETTINGS)
                    .filter(|record| wanted.is_none_or(|name| record.subject.name == name))
                    .filter_map(|record| record.subject.node.clone())
                    .collect();
                names.sort();
                names.dedup();
                names
            };
            if let [only] = found.as_slice()
                && only.node.is_empty()
            {
                let name = match on(None).as_slice() {
                    [node] => node.clone(),
                    _ => folder_name(one, tree).unwrap_or_default(),
                };
                names.push((self.manifests.len(), name));
            }
            self.manifests.extend(found);
            nodes.extend(on(Some("etcd")));
            self.evidence.merge(settings);
        }
        nodes.sort();
        nodes.dedup();
        nodes
    }

    fn add_metrics(&mut self, tree: &Tree, nodes: &[String]) {
        for path in &tree.metrics {
            let mut loader = metrics::Loader::new(metrics::Limits::default());
            if path.is_dir() {
                metrics::read_folder(&HostRoot::new(path), &mut loader);
            } else if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
                metrics::read_file(&HostRoot::new(folder), &name.to_string_lossy(), &mut loader);
            }
            let mut model = loader.finish();
            model.map_nodes(|target| match (&target.node, nodes) {
                (Some(node), _) => member_node(node, nodes),
                // One node's own scrapes need not say whose they are.
                (None, [only]) if target.roles.iter().any(|role| role.is_static_pod()) => {
                    Some(only.clone())
                }
                (None, _) => None,
            });
            self.evidence.merge(metrics::collect(&model));
        }
    }

    /// Host facts. A host of which no settings tell has a name only where there are `several`: the
    /// settings may come with another run.
    fn add_host(&mut self, tree: &Tree, how: &How<'_>, nodes: &[String], several: bool) {
        for path in &tree.host {
            for (name, root) in host::roots(&HostRoot::new(path)) {
                let named = name.or_else(|| match nodes {
                    [only] => Some(only.clone()),
                    several => host::hostname(&root).filter(|name| several.contains(name)),
                });
                // Members that were recorded together share their machine.
                let node = named
                    .or_else(|| nodes.first().cloned())
                    .or_else(|| host::hostname(&root).filter(|_| several))
                    .or_else(|| tree.name.clone().filter(|_| several))
                    .unwrap_or_default();
                let hints = host_hints(&self.evidence, &node);
                let model = host::read(&root, &hints, Duration::ZERO, how.clock);
                self.evidence.merge(host::collect(&model, &node));
            }
        }
    }

    fn add_logs(&mut self, paths: &[PathBuf], root: &Path, how: &How<'_>) {
        if paths.is_empty() {
            return;
        }
        let plan = logs::input::plan_inside(paths, how.since);
        let summary = scan_logs(&plan, how);
        // As settings and scrapes are named: by their place in the bundle.
        let source: Vec<String> = paths
            .iter()
            .map(|path| {
                path.strip_prefix(root)
                    .ok()
                    .filter(|p| !p.as_os_str().is_empty())
                    .unwrap_or(path)
            })
            .map(|path| path.display().to_string())
            .collect();
        self.add_summary(&summary, &source.join(", "));
    }

    /// Adds what logs told.
    pub(super) fn add_summary(&mut self, summary: &logs::summary::Summary, source: &str) {
        for problem in summary.problems.iter().take(20) {
            self.problems
                .push(format!("{}: {}", problem.path, problem.why));
        }
        if summary.interrupted {
            self.problems
                .push("reading logs was interrupted: what was read by then counts".to_owned());
        }
        self.evidence.merge(logs::collect(summary, source));
    }
}

/// Reads the logs of a plan.
pub(super) fn scan_logs(plan: &logs::input::Plan, how: &How<'_>) -> logs::summary::Summary {
    logs::scan::scan(plan, &log_options(how), how.stop)
}

/// How logs are read.
pub(super) fn log_options(how: &How<'_>) -> logs::scan::ScanOptions {
    logs::scan::ScanOptions {
        threads: how.threads,
        since: how.since,
        until: how.until,
        now: Some(how.clock.now()),
        read: how.read,
        ..logs::scan::ScanOptions::default()
    }
}

/// Whether a compressed file is a saved run by its first bytes, whatever comes after them.
fn names_format(path: &Path) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the user named this file")]
    std::fs::File::open(path).is_ok_and(bundle::is_saved)
}

/// Where etcd's data is and how large its database, as settings and metrics tell.
pub(super) fn host_hints(evidence: &EvidenceSet, node: &str) -> host::Hints {
    let reader = Reader::new(evidence);
    let settings = reader.all(&keys::SETTINGS);
    let own = settings.iter().find(|(subject, _)| {
        subject.name == "etcd"
            && subject
                .node
                .as_deref()
                .is_none_or(|on| on == node || node.is_empty())
    });
    let setting = |name: &str| {
        let row = own?.1.row(name)?;
        row.get_text("value")
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    let size = reader
        .all(&keys::DB_SIZE)
        .into_iter()
        .filter(|(subject, _)| subject.name == node || node.is_empty())
        .find_map(|(_, series)| series.points.last().map(|point| point.value));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are not negative"
    )]
    host::Hints {
        data_dir: setting("data-dir").filter(|dir| dir.starts_with('/')),
        wal_dir: setting("wal-dir").filter(|dir| dir.starts_with('/')),
        db_bytes: size.map(|bytes| bytes as u64),
    }
}

/// What a folder or a tarball is called, without the endings of tarballs.
fn folder_name(one: &Opened, tree: &Tree) -> Option<String> {
    if tree.name.is_some() {
        return tree.name.clone();
    }
    let given = match &one.packed {
        Some(packed) => Path::new(packed).file_name(),
        None => one.root.file_name(),
    };
    let mut name = given?.to_string_lossy().into_owned();
    for ending in [".gz", ".zst", ".tgz", ".tar"] {
        name.truncate(name.strip_suffix(ending).map_or(name.len(), str::len));
    }
    Some(name)
}

/// The node of a tree without settings: one that is known from elsewhere and that the tree, its
/// host files or its folder name.
fn node_of(one: &Opened, tree: &Tree, known: &[String]) -> Option<String> {
    let host =
        tree.host
            .iter()
            .find_map(|path| match host::roots(&HostRoot::new(path)).as_slice() {
                [(None, root)] => host::hostname(root),
                _ => None,
            });
    [host, folder_name(one, tree)]
        .into_iter()
        .flatten()
        .find(|name| known.contains(name))
}

/// One entry a node, with its name where there are several. Of a node that was given twice each file
/// counts once, and of a file of which there are two texts neither does.
fn name_manifests(all: &mut Vec<NodeManifests>, names: Vec<(usize, String)>) {
    if all.len() < 2 {
        return;
    }
    for (at, name) in names {
        if let Some(one) = all.get_mut(at) {
            one.node = name;
        }
    }
    let mut nodes: Vec<NodeManifests> = Vec::new();
    for one in all.drain(..) {
        let Some(have) = nodes.iter_mut().find(|have| have.node == one.node) else {
            nodes.push(one);
            continue;
        };
        for (name, text) in one.files {
            match have.file(&name).map(|known| known == text) {
                None => have.files.push((name, text)),
                Some(true) => {}
                Some(false) => {
                    have.files.retain(|(known, _)| *known != name);
                    have.unread(
                        name,
                        "there are two texts of it: give the one that is in force",
                    );
                }
            }
        }
    }
    *all = nodes;
}

/// The nodes that run an etcd, by the settings.
fn etcd_nodes(evidence: &EvidenceSet) -> Vec<String> {
    let mut nodes: Vec<String> = evidence
        .of_key(&keys::SETTINGS)
        .filter(|record| record.subject.name == "etcd")
        .filter_map(|record| record.subject.node.clone())
        .collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// Gives their names to nodes that a run could not name when it was saved, because its settings
/// were saved apart: `m0` of scrapes, and the node of host facts without one.
fn name_nodes(evidence: &mut EvidenceSet) {
    let nodes = etcd_nodes(evidence);
    let host = |record: &Record| record.origin.collector == Collector::Host;
    let name = |record: &Record, node: &str| -> Option<String> {
        match node {
            "" if host(record) => nodes.first().cloned(),
            "" => None,
            _ => member_node(node, &nodes),
        }
    };
    let unnamed = evidence.records().any(|record| {
        let subject = &record.subject;
        let by_node = subject.node.as_deref().unwrap_or_default();
        name(record, by_node).is_some()
            || matches!(subject.kind, SubjectKind::Member | SubjectKind::Node)
                && name(record, subject.name.split('/').next().unwrap_or_default()).is_some()
    });
    if nodes.is_empty() || !unnamed {
        return;
    }
    let mut named = EvidenceSet::new();
    for conflict in evidence.conflicts() {
        named.note_conflict(conflict.clone());
    }
    for record in evidence.records() {
        let mut record = record.clone();
        let old = record.subject.to_string();
        match record.subject.kind {
            SubjectKind::Member | SubjectKind::Node => {
                let (node, rest) = match record.subject.name.split_once('/') {
                    Some((node, rest)) => (node, format!("/{rest}")),
                    None => (record.subject.name.as_str(), String::new()),
                };
                if let Some(new) = name(&record, node) {
                    record.subject.name = format!("{new}{rest}");
                }
            }
            // The cluster and what has no place stay.
            SubjectKind::Component | SubjectKind::Device if record.subject.node.is_none() => {
                if let Some(new) = name(&record, "") {
                    record.subject.node = Some(new);
                }
            }
            _ => {
                let node = record.subject.node.clone().unwrap_or_default();
                if let Some(new) = name(&record, &node).filter(|_| !node.is_empty()) {
                    record.subject.node = Some(new);
                }
            }
        }
        // The one table whose rows are subjects.
        if let Reading::Known(Shape::Table(table)) = &mut record.value
            && record.key == keys::METRICS_COVERAGE.info.name
        {
            for row in table.rows.iter_mut().filter(|row| row.key == old) {
                row.key = record.subject.to_string();
            }
        }
        named.insert(record);
    }
    *evidence = named;
}

/// `m0` of a recorded scrape is the first member.
fn member_node(node: &str, nodes: &[String]) -> Option<String> {
    let number: usize = node.strip_prefix('m')?.parse().ok()?;
    nodes.get(number).cloned()
}

/// A tarball often holds one folder with everything inside.
fn only_folder(path: &Path) -> PathBuf {
    let root = HostRoot::new(path);
    match root.list("/").as_deref() {
        Ok([only]) if only.is_dir => path.join(&only.name),
        _ => path.to_owned(),
    }
}
