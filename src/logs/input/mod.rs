//! Which files hold logs, and which of them are one stream.
//!
//! A stream is what one writer wrote: a container with its restarts and rotations, a unit, a
//! file. Its files are in time order, and no file is in two places, whatever links lead to it.

mod copies;
mod host;
mod name;
mod overlap;
mod pod;
mod program;
mod sniff;
mod walk;
mod years;

use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::formats::inflate::Compression;

use crate::target::HostRoot;

use super::decode::DecodeContext;
use super::event::Component;
use super::reader::ReadOptions;

pub(super) use name::of_path;
pub(super) use pod::{is_events, of_container};
pub(super) use program::is_controller;
pub use years::Years;

/// Whether a file is a log, by its name and its first bytes, or may hold one that is to be unpacked.
pub fn may_be_log(path: &std::path::Path) -> bool {
    use sniff::{ByName, Kind};
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if sniff::by_name(&name) == ByName::Other {
        return false;
    }
    let kind = open(path).and_then(|file| {
        let size = file.metadata()?.len();
        sniff::sniff(&file, size)
    });
    matches!(kind, Ok((Kind::Log | Kind::Packed(_), _)))
}

/// Plans what to read: files, folders (recursively) and `-` for standard input; without any, what
/// the host under `root` keeps. Files that were last changed before `since` are passed over,
/// except those that were named.
pub fn plan(paths: &[PathBuf], root: &HostRoot, since: Option<Timestamp>) -> Plan {
    let mut walk = walk::Walk::new(since);
    if paths.is_empty() {
        host::add(&mut walk, root, since);
    }
    for path in paths {
        if path == Path::new("-") {
            walk.stream(stdin());
        } else {
            walk.path(path, true);
        }
    }
    walk.finish()
}

/// Like [`plan`] for folders that others packed: a link that leads out of the folder that was named
/// is not followed, so that a bundle cannot show files of the machine it is looked at on.
pub fn plan_inside(paths: &[PathBuf], since: Option<Timestamp>) -> Plan {
    let mut walk = walk::Walk::new(since);
    for path in paths {
        walk.inside(path);
        walk.path(path, true);
    }
    walk.finish()
}

fn stdin() -> Stream {
    Stream {
        id: "-".to_owned(),
        files: vec![LogFile {
            name: "-".to_owned(),
            source: Source::Stdin,
            size: 0,
            modified: None,
            compression: None,
            told: Told::default(),
        }],
        ..Stream::default()
    }
}

/// What is to be read.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The streams, by their ids.
    pub streams: Vec<Stream>,
    /// What was named or found and cannot be read.
    pub problems: Vec<Problem>,
    /// What lies in the folders and is no log.
    pub skipped: Skipped,
}

/// What one writer wrote.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Stable name: `namespace/pod/container`, with the node in front where the path has it, or
    /// the path without its rotation's suffix.
    pub id: String,
    /// Who wrote it, as far as names tell.
    pub component: Component,
    /// Node, where the path names it.
    pub node: Option<String>,
    /// Namespace of the pod.
    pub namespace: Option<String>,
    /// Pod.
    pub pod: Option<String>,
    /// Container.
    pub container: Option<String>,
    /// Its files, oldest first.
    pub files: Vec<LogFile>,
}

/// One file, pipe or command.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// Its name for people: the path as it was given or found.
    pub name: String,
    /// Where its bytes come from.
    pub source: Source,
    /// Its length when it was found; 0 for what has none.
    pub size: u64,
    /// Its last change.
    pub modified: Option<Timestamp>,
    /// How it is compressed, by its first bytes.
    pub compression: Option<Compression>,
    /// What its lines told when it was found.
    pub told: Told,
}

/// What a look at a few lines tells of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The first time with a year that stands in it, where its beginning has one.
    pub dated: Option<Timestamp>,
    /// The earliest and the latest time with a year that was seen in it. Where lines have none, more
    /// than the beginning was looked at.
    pub years: Option<(Timestamp, Timestamp)>,
    /// Whether some of its dates have no year.
    pub yearless: bool,
    /// The latest that it can end by other files that were found with it.
    pub lent: Option<Timestamp>,
    /// The first day that a trace of a Kubernetes component names in it: the other lines of such a
    /// log have no year.
    pub traced: Option<Timestamp>,
    /// How far its wrappers' clock is east of UTC, in microseconds, where they name no zone and
    /// records in them do.
    pub local_us: i64,
    /// How far the clock of its records is east of UTC, by those that name their zone, for those that
    /// do not: Go's own lines in the log of an etcd that runs in local time.
    pub bare_us: i64,
    /// Whether pods' logs follow each other in it, with a line before each that names the pod.
    pub sections: bool,
    /// Whether its newest lines stand first, as logcli, `journalctl -r` and downloads of Grafana and
    /// Kibana have them.
    pub newest_first: bool,
    /// Whether wrappers in it name several hosts, as in a log server's files and `journalctl -m`.
    pub hosts: bool,
    /// Bytes and lines at its beginning that another file that is read holds as well.
    pub again: (u64, u64),
}

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A regular file.
    File {
        /// Path to open it by.
        path: PathBuf,
        /// Device and inode when it was found, so that a rotation in between is seen.
        id: FileId,
    },
    /// A fifo or device that the user named.
    Pipe(PathBuf),
    /// Standard input.
    Stdin,
    /// What a command prints: program and arguments, run without a shell.
    Command(Vec<String>),
}

/// A file's identity on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
}

/// Something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub path: String,
    /// Why, in words.
    pub why: String,
    /// Whether the user named it, so that its absence is more than an aside.
    pub named: bool,
}

/// What was passed over, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Files that are no logs, by name or by their first bytes.
    pub other: u64,
    /// Empty files.
    pub empty: u64,
    /// Further ways to a file that is read already.
    pub duplicates: u64,
    /// Files whose beginning, or all of it, another one holds as well.
    pub overlaps: u64,
    /// Files of which it is not known what they hold of others: there were too many in the same time.
    pub unsought: u64,
    /// Sockets, devices and fifos in folders.
    pub special: u64,
    /// Files that were last changed before the window.
    pub old: u64,
}

impl LogFile {
    /// A whole regular file, as it is now.
    pub fn open_path(path: impl Into<PathBuf>) -> std::io::Result<Self> {
        use std::os::unix::fs::{FileExt as _, MetadataExt as _};
        let path = path.into();
        let file = open(&path)?;
        let meta = file.metadata()?;
        let mut head = [0; 8];
        let mut told = Told::default();
        let len = if meta.is_file() {
            (_, told) = sniff::sniff(&open(&path)?, meta.len())?;
            file.read_at(&mut head, 0)?
        } else {
            0
        };
        let source = if meta.is_file() {
            Source::File {
                path: path.clone(),
                id: FileId {
                    dev: meta.dev(),
                    ino: meta.ino(),
                },
            }
        } else {
            Source::Pipe(path.clone())
        };
        Ok(LogFile {
            name: path.display().to_string(),
            source,
            size: meta.len(),
            modified: modified(&meta),
            compression: Compression::detect(head.get(..len).unwrap_or_default()),
            told,
        })
    }

    /// Where the year of dates without one comes from, where there are such dates.
    pub fn years(&self, now: Option<Timestamp>) -> Years {
        match self.told.yearless {
            true => years::reference(&self.told, self.modified, now).1,
            false => Years::LastChange,
        }
    }

    /// What its lines are read by; `now` is for what has no last change.
    pub fn context(&self, now: Option<Timestamp>) -> DecodeContext {
        DecodeContext {
            reference: years::reference(&self.told, self.modified, now).0,
            local_us: self.told.local_us,
            bare_us: self.told.bare_us,
            // What is no file is read in one piece.
            sections: self.told.sections || !matches!(self.source, Source::File { .. }),
            hosts: self.told.hosts,
        }
    }

    /// The same with what its first lines tell, where nothing could be seen of them before.
    pub fn begun(&self, lines: &[u8]) -> Option<LogFile> {
        matches!(self.source, Source::Stdin | Source::Pipe(_)).then(|| LogFile {
            told: sniff::of_lines(lines),
            ..self.clone()
        })
    }

    /// Whether it is read from its end to its beginning. What is compressed or piped cannot be, and a
    /// guest does not read that way.
    pub fn is_read_backward(&self, options: &ReadOptions) -> bool {
        self.told.newest_first
            && self.compression.is_none()
            && options.guest.is_none()
            && matches!(self.source, Source::File { .. })
    }

    /// The same source, to be followed: `journalctl` is told to go on. Files are followed by
    /// [`crate::logs::reader::follow::Follower`].
    pub fn following(&self) -> LogFile {
        let mut file = self.clone();
        if let Source::Command(argv) = &mut file.source {
            argv.push("--follow".to_owned());
        }
        file
    }
}

/// When a file last changed.
pub(super) fn modified(meta: &std::fs::Metadata) -> Option<Timestamp> {
    use std::os::unix::fs::MetadataExt as _;
    let secs = meta.mtime();
    (secs > 0).then(|| Timestamp::from_secs(secs).add_us(meta.mtime_nsec() / 1000))
}

/// Opens what the user named, or what was found under it.
pub(super) fn open(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    #[expect(clippy::disallowed_methods, reason = "paths that the user named")]
    std::fs::File::open(path)
}

#[cfg(test)]
mod tests;
