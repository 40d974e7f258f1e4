//! Finding files under what was named, once each, whatever links, loops and locked doors there are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::formats::inflate::Compression;

use super::copies;
use super::name::{self, Identity};
use super::overlap;
use super::sniff::{self, ByName, Kind};
use super::{FileId, LogFile, Plan, Problem, Source, Stream, Told, modified};

/// How deep folders are followed.
const DEPTH: usize = 64;
/// Most entries looked at in all.
const ENTRIES: usize = 1_000_000;
/// A file that was last changed so much before the window holds nothing of it.
const MARGIN_US: i64 = 3_600_000_000;

/// One file, and what its path says.
struct Found {
    file: LogFile,
    identity: Identity,
}

/// Collects files.
#[derive(Default)]
pub(super) struct Walk {
    plan: Plan,
    found: Vec<Found>,
    by_id: HashMap<FileId, usize>,
    folders: HashSet<FileId>,
    entries: usize,
    since: Option<Timestamp>,
    /// Where links must lead to.
    inside: Option<PathBuf>,
    /// Links that lead elsewhere.
    outside: usize,
    /// What was found, may hold logs and cannot be read: why, the first one, and how many there are.
    packed: BTreeMap<&'static str, (PathBuf, u64)>,
}

impl Walk {
    pub(super) fn new(since: Option<Timestamp>) -> Self {
        Walk {
            since,
            ..Walk::default()
        }
    }

    /// From now on links must stay inside this folder.
    pub(super) fn inside(&mut self, path: &Path) {
        self.inside = fs::canonicalize(path).ok();
    }

    /// Whether an entry is a link out of the folder that everything must be in.
    fn leads_out(&self, path: &Path) -> bool {
        let Some(inside) = &self.inside else {
            return false;
        };
        fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
            && fs::canonicalize(path).is_ok_and(|real| !real.starts_with(inside))
    }

    /// Takes a file or a folder. `named` means that the user gave this very path.
    pub(super) fn path(&mut self, path: &Path, named: bool) {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.folder(path, &meta, named, 0),
            Ok(meta) => self.file(path, path, &meta, named),
            Err(err) => self.problem(path, &err.to_string(), named),
        }
    }

    /// Takes a file of the host's tree under the name that it has there.
    pub(super) fn file_as(&mut self, real: &Path, shown: &Path) {
        match fs::metadata(real) {
            Ok(meta) if meta.is_file() => self.file(real, shown, &meta, false),
            Ok(_) => {}
            Err(err) => self.problem(shown, &err.to_string(), false),
        }
    }

    /// Adds a stream that is no file.
    pub(super) fn stream(&mut self, stream: Stream) {
        self.plan.streams.push(stream);
    }

    pub(super) fn problem(&mut self, path: &Path, why: &str, named: bool) {
        self.plan.problems.push(Problem {
            path: path.display().to_string(),
            why: why.to_owned(),
            named,
        });
    }

    fn folder(&mut self, path: &Path, meta: &fs::Metadata, named: bool, depth: usize) {
        let id = FileId {
            dev: meta.dev(),
            ino: meta.ino(),
        };
        if !self.folders.insert(id) {
            self.plan.skipped.duplicates += 1;
            if is_loop(path) {
                self.problem(path, "leads back to a folder above it", named);
            }
            return;
        }
        if depth > DEPTH {
            self.problem(path, "lies too deep", named);
            return;
        }
        // Kernel interfaces hold no logs, and reading some of them has effects.
        if matches!(path.to_str(), Some("/proc" | "/sys" | "/dev")) && !named {
            self.plan.skipped.special += 1;
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "folders that the user named")]
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(err) => {
                self.problem(path, &err.to_string(), named);
                return;
            }
        };
        let mut names: Vec<PathBuf> = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.push(entry.path()),
                Err(err) => self.problem(path, &err.to_string(), named),
            }
        }
        names.sort();
        for inner in names {
            self.entries += 1;
            if self.entries > ENTRIES {
                self.problem(path, "holds more files than are looked at", named);
                return;
            }
            if self.leads_out(&inner) {
                self.plan.skipped.special += 1;
                self.outside += 1;
                continue;
            }
            match fs::metadata(&inner) {
                Ok(meta) if meta.is_dir() => self.folder(&inner, &meta, false, depth + 1),
                Ok(meta) => self.file(&inner, &inner, &meta, false),
                Err(err) => self.broken(&inner, &err),
            }
        }
    }

    /// A link to nowhere is usual in `/var/log/containers`, and no loss.
    fn broken(&mut self, path: &Path, err: &std::io::Error) {
        let link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        if link && err.kind() == std::io::ErrorKind::NotFound {
            self.plan.skipped.other += 1;
        } else {
            self.problem(path, &err.to_string(), false);
        }
    }

    fn file(&mut self, real: &Path, shown: &Path, meta: &fs::Metadata, named: bool) {
        let kind = meta.file_type();
        if kind.is_socket() || kind.is_block_device() || !kind.is_file() && !named {
            self.plan.skipped.special += 1;
            if named {
                self.problem(shown, "is no file with lines", true);
            }
            return;
        }
        let identity = name::identify(shown);
        if !kind.is_file() {
            self.found.push(Found {
                file: LogFile {
                    name: shown.display().to_string(),
                    source: Source::Pipe(real.to_owned()),
                    size: 0,
                    modified: None,
                    compression: None,
                    told: Told::default(),
                },
                identity,
            });
            return;
        }
        let id = FileId {
            dev: meta.dev(),
            ino: meta.ino(),
        };
        if let Some(known) = self.by_id.get(&id) {
            self.plan.skipped.duplicates += 1;
            // The way that tells most gives the name: a pod's folder rather than Docker's.
            if let Some(found) = self.found.get_mut(*known)
                && found.identity.rank < identity.rank
            {
                found.identity = identity;
                found.file.name = shown.display().to_string();
            }
            return;
        }
        if meta.len() == 0 && !named {
            self.plan.skipped.empty += 1;
            return;
        }
        let name = shown
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        let by_name = sniff::by_name(&name);
        if by_name == ByName::Other && !named {
            self.plan.skipped.other += 1;
            return;
        }
        let modified = modified(meta);
        if !named
            && let (Some(since), Some(modified)) = (self.since, modified)
            && modified.add_us(MARGIN_US) < since
        {
            self.plan.skipped.old += 1;
            return;
        }
        let Some((compression, told)) = self.look(real, meta.len(), shown, named, by_name) else {
            return;
        };
        self.by_id.insert(id, self.found.len());
        self.found.push(Found {
            file: LogFile {
                name: shown.display().to_string(),
                source: Source::File {
                    path: real.to_owned(),
                    id,
                },
                size: meta.len(),
                modified,
                compression,
                told,
            },
            identity,
        });
    }

    /// Looks into a file. `None` when it is not to be read.
    fn look(
        &mut self,
        real: &Path,
        size: u64,
        shown: &Path,
        named: bool,
        by_name: ByName,
    ) -> Option<(Option<Compression>, Told)> {
        use std::os::unix::fs::FileExt as _;
        let look = || {
            let file = super::open(real)?;
            let mut head = [0; 8];
            let len = file.read_at(&mut head, 0)?;
            let compression = Compression::detect(head.get(..len).unwrap_or_default());
            let (kind, told) = sniff::sniff(&file, size)?;
            Ok::<_, std::io::Error>((compression, kind, told))
        };
        match look() {
            Err(err) => {
                self.problem(shown, &err.to_string(), named);
                None
            }
            Ok((_, Kind::Packed(why), _)) if !named => {
                let first = || (shown.to_owned(), 0);
                self.packed.entry(why).or_insert_with(first).1 += 1;
                None
            }
            Ok((_, Kind::Packed(why) | Kind::Other(why), _)) => {
                if named {
                    self.problem(shown, why, true);
                } else {
                    self.plan.skipped.other += 1;
                }
                None
            }
            Ok((_, Kind::Text, _)) if !named && by_name != ByName::Log => {
                self.plan.skipped.other += 1;
                None
            }
            Ok((compression, _, told)) => Some((compression, told)),
        }
    }

    /// Removes files of which another one holds everything; places are in order.
    fn remove(&mut self, held: Vec<(usize, usize)>) {
        for (at, of) in &held {
            let path = self.found.get(*at).map(|copy| copy.identity.clone());
            // Whichever has more bytes: the path that tells most says whose log it is.
            if let (Some(path), Some(whole)) = (path, self.found.get_mut(*of))
                && whole.identity.rank < path.rank
            {
                whole.identity = path;
            }
        }
        for (at, _) in held.into_iter().rev() {
            self.found.remove(at);
        }
    }

    /// Groups what was found into streams.
    pub(super) fn finish(mut self) -> Plan {
        for (why, (first, count)) in std::mem::take(&mut self.packed) {
            let words = match count {
                1 => why.to_owned(),
                2 => format!("{why}; so is one more file"),
                n => format!("{why}; so are {} more files", n - 1),
            };
            self.problem(&first, &words, false);
        }
        if let (1.., Some(inside)) = (self.outside, self.inside.clone()) {
            let words = match self.outside {
                1 => "a link leads out of it and was not followed".to_owned(),
                n => format!("{n} links lead out of it and were not followed"),
            };
            self.problem(&inside, &words, false);
        }
        let files = self.found.iter();
        let copies = copies::find(files.map(|found| (&found.file, &found.identity)));
        self.plan.skipped.duplicates += copies.len() as u64;
        self.remove(copies.iter().map(|copy| (copy.at, copy.of)).collect());
        let files = self.found.iter();
        let again = overlap::find(files.map(|found| (&found.file, &found.identity)));
        self.plan.skipped.unsought += again.unsought;
        let again = again.again;
        self.plan.skipped.overlaps += again.len() as u64;
        for piece in &again {
            if let Some(found) = self.found.get_mut(piece.at) {
                found.file.told.again = (piece.bytes, piece.lines);
            }
        }
        let all = again.iter().filter(|piece| piece.all);
        self.remove(all.map(|piece| (piece.at, piece.of)).collect());
        let mut newest: HashMap<(String, String), Option<Timestamp>> = HashMap::new();
        for found in &self.found {
            let key = (found.identity.base.clone(), found.identity.group.clone());
            let last = newest.entry(key).or_default();
            *last = (*last).max(found.file.modified);
        }
        let age = |identity: &Identity| {
            let key = (identity.base.clone(), identity.group.clone());
            newest.get(&key).copied().flatten()
        };
        self.found.sort_by_cached_key(|found| {
            let identity = &found.identity;
            (
                name::stream_key(identity),
                age(identity),
                identity.group.clone(),
                identity.order,
                found.file.modified,
                found.file.name.clone(),
            )
        });
        let mut last = None;
        let mut bases: HashMap<String, HashSet<String>> = HashMap::new();
        for found in &self.found {
            let (base, id) = name::stream_key(&found.identity);
            bases.entry(id).or_default().insert(base);
        }
        for Found { file, identity } in self.found {
            let key = name::stream_key(&identity);
            if last.as_ref() == Some(&key)
                && let Some(stream) = self.plan.streams.last_mut()
            {
                // The current file's name is the stream's: `audit.log`, not `audit`.
                if identity.order.slot == 2 && stream.pod.is_none() {
                    stream.id = identity.id;
                }
                stream.files.push(file);
                continue;
            }
            let twice = bases.get(&key.1).is_some_and(|bases| bases.len() > 1);
            let id = if twice && !identity.base.is_empty() {
                format!("{}:{}", identity.base, identity.id)
            } else {
                identity.id.clone()
            };
            last = Some(key);
            self.plan.streams.push(Stream {
                id,
                component: identity.component,
                node: identity.node,
                namespace: identity.namespace,
                pod: identity.pod,
                container: identity.container,
                files: vec![file],
            });
        }
        for stream in &mut self.plan.streams {
            undo_count(&mut stream.files);
        }
        super::years::lend(&mut self.plan.streams);
        self.plan.streams.sort_by(|a, b| a.id.cmp(&b.id));
        self.plan
    }
}

/// Numbers of rotations count back in time, those of other pieces (`split -d`) forth: where every
/// file says when it begins and each begins before the one that its name puts first, names are wrong.
fn undo_count(files: &mut [LogFile]) {
    let goes_back = |first: &LogFile, second: &LogFile| match (first.told.dated, second.told.dated)
    {
        (Some(first), Some(second)) => first > second,
        _ => false,
    };
    if files.len() > 1 && files.is_sorted_by(goes_back) {
        files.reverse();
    }
}

/// Whether a link leads to one of the folders that it lies in.
fn is_loop(path: &Path) -> bool {
    let Ok(real) = fs::canonicalize(path) else {
        return false;
    };
    let Some(parent) = path
        .parent()
        .and_then(|parent| fs::canonicalize(parent).ok())
    else {
        return false;
    };
    parent.starts_with(&real)
}
