//! The bench's own directory: made new, private, locked, and gone with the value, also in a panic.
//! After a kill the next run takes it away.
//!
//! Where it may be made is decided in [`place`](super::place).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::target::HostRoot;

use super::place::{Refused, Terms, allowed};

/// How such a directory's name begins.
pub const PREFIX: &str = ".etcd-doctor-bench-";
/// The file in it that is locked while it is used, and says whose it is.
const LOCK: &str = "README";

/// A directory that is removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    /// Directories of killed runs that were taken away.
    pub swept: Vec<PathBuf>,
    // The lock goes with it.
    _lock: File,
}

impl WorkDir {
    /// Makes one below `parent`, if the terms allow it.
    pub fn create(parent: &Path, terms: &Terms) -> Result<Self, Refused> {
        let parent = allowed(parent, terms)?;
        let swept = sweep(&parent);
        Self::make(&parent, swept).map_err(|source| Refused::Io {
            dir: parent.clone(),
            source,
        })
    }

    fn make(parent: &Path, swept: Vec<PathBuf>) -> io::Result<Self> {
        let random = std::hash::BuildHasher::hash_one(&foldhash::fast::RandomState::default(), 0);
        let pid = std::process::id();
        let path = parent.join(format!("{PREFIX}{pid}-{:08x}", random & 0xFFFF_FFFF));
        // mkdir fails where anything is, also a dangling link.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = lock_new(&path, pid);
        match lock {
            Ok(lock) => Ok(WorkDir {
                path,
                swept,
                _lock: lock,
            }),
            Err(err) => {
                fs::remove_dir_all(&path).ok();
                Err(err)
            }
        }
    }

    /// Removes it now; says where it is left when that does not work, as on a file system that
    /// turned read-only meanwhile.
    pub fn remove(self) -> Result<(), (PathBuf, io::Error)> {
        match fs::remove_dir_all(&self.path) {
            Err(err) if self.path.exists() => Err((self.path.clone(), err)),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

/// Makes the lock file and takes the lock.
fn lock_new(path: &Path, pid: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(
        path.join(LOCK),
        flags,
        Mode::RUSR | Mode::WUSR,
    )?);
    file.try_lock()?;
    writeln!(
        file,
        "Test files of `etcd-doctor bench`, process {pid}. They may be removed when that process is gone."
    )?;
    Ok(file)
}

/// Takes away the directories that killed runs left in `parent`: ours, of a process that is gone,
/// and locked by nobody. Gives those that were removed.
pub fn sweep(parent: &Path) -> Vec<PathBuf> {
    let root = HostRoot::new(parent);
    let mut gone = Vec::new();
    for entry in root.list("/").unwrap_or_default() {
        let name = entry.name.to_string_lossy();
        let Some(pid) = owner(&name) else { continue };
        let path = parent.join(&entry.name);
        let ours = fs::symlink_metadata(&path)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw());
        let dead = !Path::new("/proc").join(pid.to_string()).exists();
        if ours && dead && unlocked(&path) && fs::remove_dir_all(&path).is_ok() {
            gone.push(path);
        }
    }
    gone
}

/// The process id in a directory's name.
fn owner(name: &str) -> Option<u32> {
    let (pid, random) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let hex = random.len() == 8 && random.bytes().all(|b| b.is_ascii_hexdigit());
    pid.parse()
        .ok()
        .filter(|pid| hex && *pid != std::process::id())
}

/// Whether nobody holds the lock. A process of another pid namespace looks dead from here, but it
/// holds its lock.
fn unlocked(path: &Path) -> bool {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(path.join(LOCK), flags, Mode::empty()) {
        Ok(file) => File::from(file).try_lock().is_ok(),
        // Killed between making the directory and the file.
        Err(rustix::io::Errno::NOENT) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process id that is free: the largest there can be is far below.
    const DEAD: u32 = 4_194_999;

    fn terms() -> Terms {
        Terms {
            floor_bytes: Some(0),
            ..Terms::default()
        }
    }

    #[test]
    fn it_is_private_locked_and_gone_with_a_panic() {
        let parent = tempfile::tempdir().unwrap();
        let at = parent.path().to_owned();
        let path = std::thread::spawn({
            let at = at.clone();
            move || {
                let work = WorkDir::create(&at, &terms()).unwrap();
                fs::write(work.path().join("wal-0"), "x").unwrap();
                let mode = fs::metadata(work.path()).unwrap().mode();
                assert_eq!(mode & 0o777, 0o700);
                assert!(!unlocked(work.path()));
                panic!("{}", work.path().display());
            }
        })
        .join()
        .unwrap_err();
        let path = path.downcast::<String>().unwrap();
        assert!(path.contains(PREFIX), "{path}");
        assert_eq!(HostRoot::new(at).list("/").unwrap(), []);
    }

    #[test]
    fn only_what_a_killed_run_left_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let dir = |name: String| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("wal-0"), "x").unwrap();
            path
        };
        let dead = dir(format!("{PREFIX}{DEAD}-0123abcd"));
        fs::write(dead.join(LOCK), "").unwrap();
        let early = dir(format!("{PREFIX}{DEAD}-00000000"));
        let locked = dir(format!("{PREFIX}{DEAD}-ffffffff"));
        fs::write(locked.join(LOCK), "").unwrap();
        let holder = File::options().write(true).open(locked.join(LOCK)).unwrap();
        holder.lock().unwrap();
        let alive = dir(format!("{PREFIX}1-0123abcd"));
        let foreign = dir(format!("{PREFIX}notes"));
        let link = parent.path().join(format!("{PREFIX}{DEAD}-11111111"));
        std::os::unix::fs::symlink(&foreign, &link).unwrap();
        let mut swept = sweep(parent.path());
        swept.sort();
        let mut expected = vec![dead, early];
        expected.sort();
        assert_eq!(swept, expected);
        for path in [&locked, &alive, &foreign] {
            assert!(path.join("wal-0").exists(), "{}", path.display());
        }
        assert!(link.is_symlink());
        drop(holder);
        assert_eq!(sweep(parent.path()), [locked]);
    }
}
