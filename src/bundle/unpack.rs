//! Tarballs of a node's tree, unpacked into a private folder that goes away again.
//!
//! A tarball is untrusted: only plain files and folders are taken, none outside the folder, and
//! never more than a stated amount.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Most bytes taken from one tarball, decompressed.
const MAX_BYTES: u64 = 8 << 30;
/// Most entries taken from one tarball.
const MAX_ENTRIES: usize = 200_000;

/// A folder that only we can read and that is removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new one below the system's folder for temporary files.
    pub fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = std::env::temp_dir();
        // A name that exists is tried no more often than this.
        for _ in 0..1000 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("etcd-doctor-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => return Err(err),
            }
        }
        Err(io::Error::other("no free name for a temporary folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Whether a file's name says that it is a tarball.
pub fn is_tarball(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Unpacks a tarball, compressed or not. Gives the folder and what was left out.
pub fn unpack(input: impl Read) -> io::Result<(Scratch, Vec<String>)> {
    let scratch = Scratch::new()?;
    let mut input = io::BufReader::new(input);
    let head = io::BufRead::fill_buf(&mut input)?.to_vec();
    #[expect(clippy::disallowed_types, reason = "capped by the budget below")]
    let plain: Box<dyn Read> = if head.starts_with(&[0x1F, 0x8B]) {
        Box::new(flate2::read::MultiGzDecoder::new(input))
    } else if head.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(input)?)
    } else {
        Box::new(input)
    };
    let mut archive = tar::Archive::new(plain.take(MAX_BYTES));
    let mut left_out = Vec::new();
    let mut entries = 0;
    let mut written = 0;
    for entry in archive.entries()? {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(err) => {
                left_out.push(format!("the tarball ends early: {err}"));
                break;
            }
        };
        entries += 1;
        if entries > MAX_ENTRIES {
            left_out.push(format!(
                "more than {MAX_ENTRIES} entries; the rest was left out"
            ));
            break;
        }
        let name = entry.path()?.into_owned();
        let Some(target) = inside(scratch.path(), &name) else {
            left_out.push(format!("`{}` points out of the bundle", name.display()));
            continue;
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(target)?;
        } else if kind.is_file() {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&target)?;
            match io::copy(&mut entry, &mut file) {
                Ok(bytes) => written += bytes,
                Err(err) => {
                    left_out.push(format!("`{}` is torn: {err}", name.display()));
                    break;
                }
            }
            if written >= MAX_BYTES {
                left_out
                    .push("larger than the limit for a tarball; the rest was left out".to_owned());
                break;
            }
        } else {
            left_out.push(format!("`{}` is no plain file", name.display()));
        }
    }
    left_out.truncate(20);
    Ok((scratch, left_out))
}

/// The path inside the folder, or `None` when it points out of it.
fn inside(root: &Path, name: &Path) -> Option<PathBuf> {
    let mut path = root.to_owned();
    for part in name.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            // Written by hand: the builder itself refuses names that point out.
            let field = &mut header.as_old_mut().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        builder
            .append_link(&mut link, "logs/link", "/etc/passwd")
            .unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn nothing_leaves_the_folder_and_it_goes_away() {
        let tar = tarball(&[("logs/a.log", b"x"), ("../out", b"y"), ("/abs", b"z")]);
        let (scratch, left_out) = unpack(tar.as_slice()).unwrap();
        let root = crate::target::HostRoot::new(scratch.path());
        assert_eq!(root.read_text("logs/a.log").unwrap(), "x");
        assert_eq!(left_out.len(), 3, "{left_out:?}");
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn compressed_and_torn_tarballs() {
        let tar = tarball(&[("logs/a.log", b"x")]);
        let zst = zstd::encode_all(tar.as_slice(), 3).unwrap();
        let (scratch, _) = unpack(zst.as_slice()).unwrap();
        assert!(scratch.path().join("logs/a.log").is_file());
        // What came before the tear is kept.
        let (scratch, left_out) = unpack(&tar[..1500]).unwrap();
        assert!(scratch.path().join("logs/a.log").is_file());
        assert!(!left_out.is_empty());
    }
}
