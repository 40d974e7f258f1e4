//! A private folder for what was unpacked: locked while it is used, gone with the value, and taken away by the
//! next run where a kill left it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};

use crate::target::HostRoot;

/// How such a folder's name begins.
const PREFIX: &str = "etcd-doctor-";

/// A folder that only we can read and that is removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    // The lock goes with it. `None` on file systems without locks.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes a new one below the system's folder for temporary files.
    pub fn new() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(base: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        sweep(base);
        // A name that exists is tried no more often than this.
        for _ in 0..1000 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let lock = opened(&path).filter(|folder| folder.try_lock().is_ok());
                    return Ok(Scratch { path, _lock: lock });
                }
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => return Err(err),
            }
        }
        Err(io::Error::other("no free name for a temporary folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

/// The folder itself, no link to one.
fn opened(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .ok()
        .map(File::from)
}

/// Takes away what killed runs left: folders of ours, of a process that is gone, and locked by nobody. (A process
/// of another pid namespace looks gone from here, but it holds its lock.)
fn sweep(base: &Path) {
    for entry in HostRoot::new(base).list("/").unwrap_or_default() {
        let name = entry.name.to_string_lossy();
        let Some(pid) = owner(&name) else { continue };
        let path = base.join(&entry.name);
        let ours = fs::symlink_metadata(&path)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw());
        let gone = !Path::new("/proc").join(pid.to_string()).exists();
        if ours && gone && opened(&path).is_some_and(|folder| folder.try_lock().is_ok()) {
            fs::remove_dir_all(&path).ok();
        }
    }
}

/// The process in a folder's name.
fn owner(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix(PREFIX)?.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process id that is free: the largest there can be is far below.
    const DEAD: u32 = 4_194_999;

    #[test]
    fn only_what_a_killed_run_left_is_taken_away() {
        let base = tempfile::tempdir().unwrap();
        let folder = |name: String| {
            let path = base.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("etcd.log"), "x").unwrap();
            path
        };
        let left = folder(format!("{PREFIX}{DEAD}-0"));
        let held = folder(format!("{PREFIX}{DEAD}-1"));
        let holder = opened(&held).unwrap();
        holder.lock().unwrap();
        let alive = folder(format!("{PREFIX}1-0"));
        let foreign = folder(format!("{PREFIX}notes"));
        let link = base.path().join(format!("{PREFIX}{DEAD}-2"));
        std::os::unix::fs::symlink(&foreign, &link).unwrap();
        let mine = Scratch::below(base.path()).unwrap();
        assert!(!left.exists());
        for path in [&held, &alive, &foreign] {
            assert!(path.join("etcd.log").exists(), "{}", path.display());
        }
        assert!(link.is_symlink());
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists());
    }
}
