//! Files that the user asked for, written whole or not at all, and for their owner alone: they hold
//! names, users and addresses, and a node has other users too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Mode of a written file.
const MODE: u32 = 0o600;
/// Names that are tried for a new file; others may be left of a run that was killed.
const TRIES: u32 = 1000;

/// Writes a file. A former one stays as it was until the new one is complete.
pub(super) fn whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    put(path, write).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn put(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let found = fs::symlink_metadata(path);
    // A device, a pipe and a link (`/dev/stdout`) are written to: something else must not take
    // their place.
    if found.as_ref().is_ok_and(|meta| !meta.is_file()) {
        return filled(in_place(path)?, write).map(drop);
    }
    let (part, file) = match fresh(folder(path)) {
        Ok(made) => made,
        // In a folder that takes no new file an old one may still be writable.
        Err(_) if found.is_ok() => return filled(in_place(path)?, write).map(drop),
        Err(err) => return Err(err),
    };
    let written = filled(file, write)
        .and_then(|file| file.sync_all())
        .and_then(|()| take_place(&part, path));
    if written.is_err() {
        fs::remove_file(&part).ok();
    }
    written
}

fn take_place(part: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(part, path) {
        // One file that is mounted into a container cannot be replaced.
        Err(err) if err.kind() == ErrorKind::ResourceBusy => {
            #[expect(clippy::disallowed_methods, reason = "a file that was just written")]
            let mut from = File::open(part)?;
            io::copy(&mut from, &mut in_place(path)?)?;
            fs::remove_file(part)
        }
        done => done,
    }
}

fn filled(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<File> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

fn in_place(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(path)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A new file in a folder, whatever lies there: a link that somebody laid under its name is never
/// followed.
pub(super) fn fresh(folder: &Path) -> io::Result<(PathBuf, File)> {
    let mut last = ErrorKind::AlreadyExists.into();
    for n in 0..TRIES {
        let path = folder.join(format!(".etcd-doctor.{}.{n}.part", std::process::id()));
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&path)
        {
            Ok(file) => return Ok((path, file)),
            Err(err) if err.kind() == ErrorKind::AlreadyExists => last = err,
            Err(err) => return Err(err),
        }
    }
    Err(last)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests look at files of their own"
)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    fn text(text: &'static str) -> impl FnOnce(&mut dyn Write) -> io::Result<()> {
        move |out| out.write_all(text.as_bytes())
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_new_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.zst");
        fs::write(&path, "old").unwrap();
        let failed = whole(&path, |out| {
            out.write_all(&[b'x'; 100_000])?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("run.zst"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        whole(&path, text("new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert_eq!(names(dir.path()), ["run.zst"]);
        assert!(whole(&dir.path().join("none/run.zst"), text("new")).is_err());
        assert!(whole(dir.path(), text("new")).is_err());
    }

    #[test]
    fn links_are_kept_and_those_in_the_way_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "old").unwrap();
        symlink(&target, &link).unwrap();
        whole(&link, text("new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        whole(Path::new("/dev/null"), text("new")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let trap = dir
            .path()
            .join(format!(".etcd-doctor.{}.0.part", std::process::id()));
        symlink(&target, &trap).unwrap();
        whole(&dir.path().join("file"), text("own")).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "own");
        assert!(
            fs::symlink_metadata(dir.path().join("file"))
                .unwrap()
                .is_file()
        );
    }
}
