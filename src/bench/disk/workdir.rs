//! The bench's own directory: made new, private, and gone with the value, also in a panic.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How such a directory's name begins.
pub const PREFIX: &str = ".etcd-doctor-bench-";

/// A directory that is removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes one below `parent`.
    pub fn create(parent: &Path) -> io::Result<Self> {
        let random = std::hash::BuildHasher::hash_one(&foldhash::fast::RandomState::default(), 0);
        let name = format!(
            "{PREFIX}{}-{:08x}",
            std::process::id(),
            random & 0xFFFF_FFFF
        );
        let path = parent.join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(WorkDir { path })
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
