//! What the emulators need of a file system, and the real one.
//!
//! The calls are etcd's: `write` at the offset for the WAL, `pwrite` for the database,
//! `fdatasync`, `fallocate` with mode 0, `rename` and `fsync` of the directory. The simulated disk
//! of [`simulated`](super::simulated) has the same face, so that everything above is tested
//! without one.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, Mode, OFlags};

/// How blocks were reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// As unwritten extents, as on ext4 and XFS.
    Reserved,
    /// Not at all: the file system cannot, so the file is sparse, as with etcd itself.
    Sparse,
}

/// An open file.
pub trait DiskFile: Send {
    /// Reserves blocks from the begin of the file, and makes it that long.
    fn allocate(&mut self, len: u64) -> io::Result<Allocation>;
    /// Makes the file that long.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Writes all bytes at the offset, which moves on.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Moves the offset.
    fn seek(&mut self, offset: u64) -> io::Result<()>;
    /// Writes all bytes somewhere, without touching the offset.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// `fdatasync`.
    fn sync_data(&mut self) -> io::Result<()>;
    /// `fsync`.
    fn sync_all(&mut self) -> io::Result<()>;
}

/// A directory on some disk.
pub trait Disk: Send + Sync {
    /// Makes a file that must not exist yet.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// `fsync` of the directory.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A monotonic clock that can wait.
pub trait Time: Send + Sync {
    /// Nanoseconds since some moment.
    fn now(&self) -> u64;
    /// Waits until then; returns at once when it has passed.
    fn sleep_until(&self, at: u64);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemTime {
    start: Instant,
}

impl SystemTime {
    /// Counts from now on.
    pub fn new() -> Self {
        SystemTime {
            start: Instant::now(),
        }
    }
}

impl Default for SystemTime {
    fn default() -> Self {
        Self::new()
    }
}

impl Time for SystemTime {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, at: u64) {
        if let Some(left) = at.checked_sub(self.now()).filter(|left| *left > 0) {
            std::thread::sleep(Duration::from_nanos(left));
        }
    }
}

/// A directory of the real file system.
#[derive(Debug)]
pub struct RealDisk {
    dir: File,
    path: PathBuf,
}

impl RealDisk {
    /// Opens a directory that is there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(RealDisk {
            dir: File::from(dir),
            path: path.to_owned(),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.dir.as_fd(), name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Box::new(RealFile {
            file: File::from(file),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let flags = rustix::fs::AtFlags::empty();
        Ok(rustix::fs::unlinkat(&self.dir, name, flags)?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.dir.sync_all()
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn allocate(&mut self, len: u64) -> io::Result<Allocation> {
        use rustix::io::Errno;
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(Allocation::Reserved),
            // etcd falls back the same way (client/pkg/fileutil/preallocate_unix.go).
            Err(Errno::NOTSUP | Errno::INTR | Errno::NOSYS) => {
                self.file.set_len(len)?;
                Ok(Allocation::Sparse)
            }
            Err(err) => Err(err.into()),
        }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.file, bytes)
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        io::Seek::seek(&mut self.file, io::SeekFrom::Start(offset)).map(|_| ())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test's own directory")]
mod tests {
    use super::*;

    #[test]
    fn a_real_directory_has_all_the_calls() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let mut file = disk.create("0.tmp").unwrap();
        assert!(disk.create("0.tmp").is_err(), "never opens what is there");
        file.allocate(1 << 20).unwrap();
        file.write(b"one").unwrap();
        file.write(b"two").unwrap();
        file.write_at(b"X", 0).unwrap();
        file.sync_data().unwrap();
        file.set_len(6).unwrap();
        file.sync_all().unwrap();
        disk.rename("0.tmp", "0.wal").unwrap();
        disk.sync_dir().unwrap();
        let bytes = std::fs::read(dir.path().join("0.wal")).unwrap();
        assert_eq!(bytes, b"Xnetwo");
        disk.remove("0.wal").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("0.tmp")).unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        assert!(disk.create("0.tmp").is_err());
    }
}
