//! Runs the engines over folders, bundles and the live node, and puts their evidence together.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::bundle::{self, Scratch};
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::evidence::{EvidenceSet, Reader, keys};
use crate::patch::NodeManifests;
use crate::target::{HostRoot, Tree};
use crate::{host, logs, manifest, metrics};

use super::naming::{addresses, etcd_nodes, folder_name, name_manifests, name_nodes, node_of};
use super::whose::{self, Here, Places};

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) evidence: EvidenceSet,
    /// What could not be read, in words.
    pub(super) problems: Vec<String>,
    /// Something that was asked for by name could not be had.
    pub(super) lacks_named: bool,
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
pub(super) struct Opened {
    pub(super) root: PathBuf,
    /// The tarball that it came out of.
    pub(super) packed: Option<String>,
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
        self.add_given(paths, &[], how)
    }

    /// Gathers from bundles, and from saved scrapes beside them, whatever their names are. What is of
    /// one process is put together before its counters are read.
    pub(super) fn add_given(
        &mut self,
        paths: &[impl AsRef<Path>],
        scrapes: &[PathBuf],
        how: &How<'_>,
    ) -> Result<(), Error> {
        let mut opened = Vec::new();
        for path in paths {
            opened.extend(self.open(path.as_ref(), how)?);
        }
        self.add_opened(&opened, scrapes, how)
    }

    /// Takes a saved run, or says where the tree is that is to be read.
    fn open(&mut self, path: &Path, how: &How<'_>) -> Result<Option<Opened>, Error> {
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
            return self
                .unpack(file, &path.display().to_string(), how)
                .map(Some);
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
                Err(_) if !head.starts_with(b"{") && opens_and(path, bundle::gives_nothing) => {
                    return Err(Error::Format {
                        path: path.to_owned(),
                        why: "it is damaged, or only a part of it was copied: nothing comes out of it"
                            .to_owned(),
                    });
                }
                // A compressed log starts like a compressed bundle.
                Err(why) if head.starts_with(b"{") || opens_and(path, bundle::is_saved) => {
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
    fn unpack(
        &mut self,
        tarball: impl std::io::Read,
        name: &str,
        how: &How<'_>,
    ) -> Result<Opened, Error> {
        let (scratch, left_out) =
            bundle::unpack(tarball, how.stop).map_err(|source| Error::Read {
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
        let opened = self.unpack(tarball, name, how)?;
        self.add_opened(&[opened], &[], how)
    }

    /// Gathers from trees: settings of all, then what needs to know the nodes.
    fn add_opened(
        &mut self,
        opened: &[Opened],
        given: &[PathBuf],
        how: &How<'_>,
    ) -> Result<(), Error> {
        let mut trees: Vec<(&Opened, Tree)> = opened
            .iter()
            .flat_map(|one| {
                Tree::all(&one.root)
                    .into_iter()
                    .map(move |tree| (one, tree))
            })
            .collect();
        for (_, tree) in &mut trees {
            sort_loose(tree);
        }
        for (one, tree) in &trees {
            let noted = self.problems.len();
            self.problems.extend(left_links(&tree.outside));
            self.as_given(noted, one);
        }
        let files = scrape_files(&mut trees);
        let mut own = Vec::new();
        let mut names = Vec::new();
        for (one, tree) in &trees {
            let noted = self.problems.len();
            own.push(self.add_manifests(one, tree, &mut names));
            self.as_given(noted, one);
        }
        name_manifests(&mut self.manifests, names);
        // Logs tell whose scrapes are, and what they tell comes after these.
        let told: Vec<Told> = trees
            .iter()
            .map(|(one, tree)| self.read_logs(&tree.logs, &one.root, how))
            .collect();
        let mut all_told = EvidenceSet::new();
        for record in self.evidence.of_key(&keys::LOGS_LIVES) {
            all_told.insert(record.clone());
        }
        for lives in told
            .iter()
            .flat_map(|told| told.evidence.of_key(&keys::LOGS_LIVES))
        {
            all_told.insert(lives.clone());
        }
        let mut known = etcd_nodes(&self.evidence);
        if known.is_empty() {
            known.extend(whose::logged(&all_told));
        }
        // `m0` of scrapes, and the only host, tell nothing where they may be those of any of
        // several trees.
        let unnamed = || trees.iter().zip(&own).filter(|(_, nodes)| nodes.is_empty());
        let many = unnamed()
            .filter(|((_, tree), _)| !tree.metrics.is_empty())
            .count()
            + usize::from(!files.is_empty())
            > 1
            || unnamed()
                .filter(|((_, tree), _)| !tree.host.is_empty())
                .count()
                > 1;
        let hosts = trees.iter().filter(|(_, tree)| !tree.host.is_empty());
        let several = hosts.count() > 1;
        let whose = |(one, tree): &(&Opened, Tree), nodes: &Vec<String>| {
            if !nodes.is_empty() {
                nodes.clone()
            } else if let Some(node) = node_of(one, tree, &known) {
                vec![node]
            } else if known.len() <= 1 || !many {
                known.clone()
            } else {
                tree.name.iter().cloned().collect()
            }
        };
        let whose: Vec<Vec<String>> = trees.iter().zip(&own).map(|(t, n)| whose(t, n)).collect();
        let mut scrapes = metrics::Loader::new(metrics::Limits::default());
        let all_ids = whose::ids(&all_told);
        let mut places = Places {
            addresses: addresses(&self.evidence),
            members: whose::members(&self.evidence),
            ..Places::default()
        };
        for (((_, tree), nodes), (told, own)) in trees.iter().zip(&whose).zip(told.iter().zip(&own))
        {
            // A node's own settings stand above the ids that others have, too.
            let mut ids = all_ids.clone();
            ids.retain(|_, node| own.is_empty() || nodes.contains(node));
            ids.extend(whose::ids(&told.evidence));
            for node in ids.values_mut() {
                *node = whose::node_of_pod(node, nodes).to_owned();
            }
            let here = Here {
                nodes: nodes.clone(),
                ids,
                of_one: nodes.len() == 1
                    && whose::logged(&told.evidence).iter().all(|node| {
                        nodes
                            .iter()
                            .any(|have| have == whose::node_of_pod(node, nodes))
                    }),
            };
            places.here.insert(scrapes.next_place(), here);
            for path in &tree.metrics {
                match path.is_dir() {
                    true => metrics::read_folder(&HostRoot::new(path), &mut scrapes),
                    false => metrics::read_files(std::slice::from_ref(path), &mut scrapes),
                }
            }
        }
        let of_files = (known.len() <= 1 || !many).then(|| known.clone());
        let here = Here {
            nodes: of_files.unwrap_or_default(),
            ids: all_ids,
            of_one: known.len() == 1 && whose::logged(&all_told).iter().all(|n| known.contains(n)),
        };
        places.here.insert(scrapes.next_place(), here);
        metrics::read_files(&files, &mut scrapes);
        super::metrics::read_paths(given, &mut scrapes)?;
        let any = self.add_metrics(scrapes, &places);
        self.lacks_named |= !given.is_empty() && !any;
        for (((one, tree), nodes), told) in trees.iter().zip(&whose).zip(told) {
            let noted = self.problems.len();
            self.add_host(tree, how, nodes, several);
            self.problems.extend(told.problems);
            self.evidence.merge(told.evidence);
            self.as_given(noted, one);
        }
        name_nodes(&mut self.evidence);
        Ok(())
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
            let unread = manifest::unread(&model);
            let settings = manifest::collect(&model);
            self.lacks_named |= *path == one.root && !unread.is_empty() && settings.is_empty();
            self.problems.extend(unread);
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

    /// Scrapes of all places, and whether there was any.
    fn add_metrics(&mut self, scrapes: metrics::Loader, places: &Places) -> bool {
        let model = scrapes.finish_named(|targets| places.names(targets));
        self.evidence.merge(metrics::collect(&model));
        !model.timelines.is_empty()
    }

    /// Host facts. A host of which no settings tell has a name only where there are `several`: the
    /// settings may come with another run.
    fn add_host(&mut self, tree: &Tree, how: &How<'_>, nodes: &[String], several: bool) {
        for path in &tree.host {
            for (name, root) in host::roots(&HostRoot::new(path)) {
                let of_folder = name.clone();
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
                let logs = match &of_folder {
                    // A link in its place may lead anywhere.
                    Some(name) => {
                        let logs = tree.logs.iter();
                        logs.filter_map(|logs| HostRoot::new(logs).resolve(name).ok())
                            .collect()
                    }
                    None => tree.logs.clone(),
                };
                let hints = host::Hints {
                    logs,
                    ..host_hints(&self.evidence, &node)
                };
                let model = host::read(&root, &hints, Duration::ZERO, how.clock);
                self.evidence.merge(host::collect(&model, &node));
            }
        }
    }

    /// What the logs of a tree tell, not yet among the rest.
    fn read_logs(&mut self, paths: &[PathBuf], root: &Path, how: &How<'_>) -> Told {
        if paths.is_empty() {
            return Told::default();
        }
        let plan = logs::input::plan_inside(paths, how.since);
        let summary = scan_logs(&plan, how);
        self.lacks_named |= lacks(&plan, &summary, paths, root);
        // As settings and scrapes are named: by their place in the bundle, so that the same logs in a
        // folder and in an archive of it are the same evidence.
        let real = root.canonicalize().ok();
        let roots = [Some(root), real.as_deref()];
        let source: Vec<String> = paths
            .iter()
            .map(|path| {
                let inside = |root: &&Path| path.strip_prefix(root).ok();
                let inside = roots.iter().flatten().find_map(inside);
                inside.filter(|p| !p.as_os_str().is_empty()).unwrap_or(path)
            })
            .map(|path| path.display().to_string())
            .collect();
        Told::of(&summary, &source.join(", "))
    }

    /// Adds what logs told.
    pub(super) fn add_summary(&mut self, summary: &logs::summary::Summary, source: &str) {
        let told = Told::of(summary, source);
        self.problems.extend(told.problems);
        self.evidence.merge(told.evidence);
    }
}

/// What logs told.
#[derive(Debug, Default)]
struct Told {
    evidence: EvidenceSet,
    problems: Vec<String>,
}

impl Told {
    fn of(summary: &logs::summary::Summary, source: &str) -> Self {
        let problems = summary.problems.iter().take(20);
        let mut problems: Vec<String> = problems
            .map(|problem| format!("{}: {}", problem.path, problem.why))
            .collect();
        if summary.interrupted {
            problems.push("reading logs was interrupted: what was read by then counts".to_owned());
        }
        Told {
            evidence: logs::collect(summary, source),
            problems,
        }
    }
}

/// Whether what was named could not be had: a file that gave no line, or a folder in which nothing
/// can be read as it is.
fn lacks(
    plan: &logs::input::Plan,
    summary: &logs::summary::Summary,
    paths: &[PathBuf],
    named: &Path,
) -> bool {
    let name = named.display().to_string();
    let unread = |file: &logs::summary::FileReport| {
        file.error.is_some() && file.lines == 0 && file.name == name
    };
    plan.problems.iter().any(|problem| problem.path == name)
        || summary.files().any(unread)
        || paths == [named] && plan.streams.is_empty() && !plan.problems.is_empty()
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

/// Puts files of unknown names where their content belongs.
fn sort_loose(tree: &mut Tree) {
    for path in std::mem::take(&mut tree.loose) {
        if metrics::is_scrape(&path) {
            tree.metrics.push(path);
        } else if logs::input::may_be_log(&path) {
            tree.logs.push(path);
        }
    }
}

/// Takes the scrapes that were given as files out of their trees: those of one server are read
/// together, and a file's name need not tell what it holds.
fn scrape_files(trees: &mut [(&Opened, Tree)]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (one, tree) in trees.iter_mut().filter(|(one, _)| one.root.is_file()) {
        let by_content = tree.metrics.is_empty() && metrics::is_scrape(&one.root);
        if by_content {
            tree.logs.clear();
            tree.manifests.clear();
        }
        if by_content || !tree.metrics.is_empty() {
            tree.metrics.clear();
            let real = one.root.canonicalize();
            files.push(real.unwrap_or_else(|_| one.root.clone()));
        }
    }
    files
}

/// What a compressed file's first bytes tell, whatever comes after them.
fn opens_and(path: &Path, is: impl FnOnce(std::fs::File) -> bool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the user named this file")]
    std::fs::File::open(path).is_ok_and(is)
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
        logs: Vec::new(),
    }
}

/// What is said of links that lead out of a bundle.
fn left_links(links: &[PathBuf]) -> Option<String> {
    let more = match links.len() {
        0 | 1 => String::new(),
        n => format!(" (so do {} more)", n - 1),
    };
    links.first().map(|link| {
        format!(
            "{}: a link that leads out of what was given, so it was not followed{more}: name the folder it leads to, if it is yours",
            link.display()
        )
    })
}

/// A tarball often holds one folder with everything inside.
fn only_folder(path: &Path) -> PathBuf {
    let root = HostRoot::new(path);
    match root.list("/").as_deref() {
        Ok([only]) if only.is_dir => path.join(&only.name),
        _ => path.to_owned(),
    }
}
