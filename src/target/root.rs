//! The one way to a host's files: `/` live, `/host` from a debug pod, a bundle or a fixture.
//!
//! Symlinks resolve inside the root, so that a bundle cannot point out of itself and a mounted
//! `/host` follows its own links.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::evidence::Missing;

/// Most symlinks followed on one path, as the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The kernel's number of its `proc` file systems.
const PROC: rustix::fs::FsWord = libc::PROC_SUPER_MAGIC;

/// Where `/proc`, `/sys`, `/etc` and `/var` hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoot(PathBuf);

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: OsString,
    /// Whether it is a folder, symlinks resolved inside the root.
    pub is_dir: bool,
}

impl HostRoot {
    /// A root at any folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        HostRoot(path.into())
    }

    /// The running host.
    pub fn live() -> Self {
        HostRoot(PathBuf::from("/"))
    }

    /// Whether this is the running host itself, so that processes and devices are real.
    pub fn is_live(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// The folder that stands for `/`.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The real path of `path` (absolute inside the root), with symlinks resolved inside the root.
    /// A path whose last parts do not exist resolves as far as it does.
    pub fn resolve(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let mut todo: VecDeque<OsString> = parts(path.as_ref());
        // Inside the root, without the root itself.
        let mut done: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let here = self.join(&done);
            match fs::symlink_metadata(&here) {
                Ok(meta) if meta.file_type().is_symlink() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(io::Error::other("too many symbolic links"));
                    }
                    let link = fs::read_link(&here)?;
                    done.pop();
                    if link.is_absolute() {
                        done.clear();
                    }
                    for part in parts(&link).into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                _ => {}
            }
        }
        Ok(self.join(&done))
    }

    fn join(&self, parts: &[OsString]) -> PathBuf {
        let mut path = self.0.clone();
        path.extend(parts);
        path
    }

    /// Opens a file.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<File, Missing> {
        let path = path.as_ref();
        let open = || {
            // No link of the running host leads out of it: the kernel follows them at less cost.
            let real = match self.is_live() {
                true => self.0.join(path),
                false => self.resolve(path)?,
            };
            let kind = fs::metadata(&real)?.file_type();
            if kind.is_dir() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
            }
            // A fifo never answers, and a device in a bundle is somebody's trap. The kernel's own
            // log is one that is meant.
            let log = kind.is_char_device() && path.ends_with("dev/kmsg");
            // The kernel's other log calls itself a file, blocks whoever reads it and takes away
            // what others were to read.
            let takes = || {
                real.file_name().is_some_and(|name| name == "kmsg")
                    && rustix::fs::statfs(&real).is_ok_and(|fs| fs.f_type == PROC)
            };
            if !kind.is_file() && !log || kind.is_file() && takes() {
                return Err(io::Error::other("is no plain file"));
            }
            #[expect(clippy::disallowed_methods, reason = "this is the one place")]
            File::open(real)
        };
        open().map_err(|err| missing(path, &err))
    }

    /// Reads a file of at most `cap` bytes; what is longer is unreadable, not cut.
    pub fn read(&self, path: impl AsRef<Path>, cap: u64) -> Result<Vec<u8>, Missing> {
        let path = path.as_ref();
        let file = self.open(path)?;
        let mut bytes = Vec::new();
        file.take(cap + 1)
            .read_to_end(&mut bytes)
            .map_err(|err| missing(path, &err))?;
        if bytes.len() as u64 > cap {
            return Err(Missing::Unreadable {
                source: path.display().to_string(),
                line: None,
                why: format!("larger than {}", crate::units::format_bytes(cap)),
            });
        }
        Ok(bytes)
    }

    /// Reads a text of at most 16 MiB; torn UTF-8 is replaced.
    pub fn read_text(&self, path: impl AsRef<Path>) -> Result<String, Missing> {
        let bytes = self.read(path, 16 << 20)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned()))
    }

    /// Like [`Self::read`], but given up after `limit`: reads of `/proc` can hang in the kernel
    /// when a process or its disk is sick. The thread that hangs is left behind.
    pub fn read_within(
        &self,
        path: impl AsRef<Path>,
        cap: u64,
        limit: Duration,
    ) -> Result<Vec<u8>, Missing> {
        let path = path.as_ref().to_owned();
        let root = self.clone();
        let (send, receive) = mpsc::sync_channel(1);
        let name = path.display().to_string();
        std::thread::Builder::new()
            .name("read".to_owned())
            .spawn(move || {
                // The receiver may have given up by then.
                send.send(root.read(&path, cap)).ok();
            })
            .map_err(|err| missing(Path::new(&name), &err))?;
        receive
            .recv_timeout(limit)
            .unwrap_or(Err(Missing::TimedOut {
                source: name,
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            }))
    }

    /// The entries of a folder, sorted by name.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<Entry>, Missing> {
        let path = path.as_ref();
        let list = || {
            let real = self.resolve(path)?;
            let mut entries = Vec::new();
            #[expect(clippy::disallowed_methods, reason = "this is the one place")]
            for entry in fs::read_dir(real)? {
                let name = entry?.file_name();
                let is_dir = self
                    .resolve(path.join(&name))
                    .and_then(fs::metadata)
                    .is_ok_and(|meta| meta.is_dir());
                entries.push(Entry { name, is_dir });
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        };
        list().map_err(|err| missing(path, &err))
    }

    /// Whether something is there.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.resolve(path).is_ok_and(|real| real.exists())
    }
}

/// The normal parts of a path; `.` and the root are dropped, `..` is kept.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// What an I/O error on a file means as evidence.
fn missing(path: &Path, err: &io::Error) -> Missing {
    let source = path.display().to_string();
    match err.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Missing::NotPresent { source },
        io::ErrorKind::PermissionDenied => Missing::Denied { source },
        _ => Missing::Unreadable {
            source,
            line: None,
            why: err.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(dir.path());
        fs::create_dir_all(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc/passwd", dir.path().join("etc/relative")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        for path in ["/absolute", "/etc/relative", "/../../etc/passwd"] {
            assert_eq!(root.read_text(path).unwrap(), "inside", "{path}");
        }
        assert!(matches!(
            root.open("/loop"),
            Err(Missing::Unreadable { .. })
        ));
        assert!(matches!(root.open("/no"), Err(Missing::NotPresent { .. })));
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _kept = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let root = HostRoot::new(dir.path());
        for path in ["/fifo", "/socket"] {
            assert!(
                matches!(root.open(path), Err(Missing::Unreadable { .. })),
                "{path}"
            );
        }
    }

    /// `/proc/kmsg` would block here for ever.
    #[test]
    fn the_log_that_blocks_is_not_opened() {
        if !Path::new("/proc/kmsg").exists() {
            return;
        }
        let why = HostRoot::new("/proc").open("/kmsg").unwrap_err();
        assert!(
            matches!(&why, Missing::Unreadable { why, .. } if why == "is no plain file"),
            "{why:?}"
        );
    }

    #[test]
    fn a_file_over_the_cap_is_refused_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("big"), [0; 11]).unwrap();
        let root = HostRoot::new(dir.path());
        assert!(root.read("/big", 10).is_err());
        assert_eq!(root.read("/big", 11).unwrap().len(), 11);
        assert_eq!(
            root.read_within("/big", 11, Duration::from_secs(5))
                .unwrap()
                .len(),
            11
        );
    }
}
