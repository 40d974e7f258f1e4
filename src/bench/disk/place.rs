//! Where a bench may write: never inside a data directory of etcd, and never so much that etcd
//! could run out of space.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::target::HostRoot;
use crate::units::format_bytes;

/// Free space that must be left, at least.
const FLOOR: u64 = 1 << 30;
/// And inodes.
const INODES: u64 = 1_000;

/// What the user allowed, and what the bench needs.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Bytes that will be written at most.
    pub need_bytes: u64,
    /// Size of the database of the etcd that shares the file system.
    pub db_bytes: u64,
    /// Data and WAL directories of etcds that are known to run here.
    pub data_dirs: Vec<PathBuf>,
    /// Whether a directory beside `member` in a data directory is allowed.
    pub in_data_dir: bool,
    /// Free space that must be left, in place of the rule; tests set it.
    pub floor_bytes: Option<u64>,
}

/// Why a bench may not write there.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is a data directory of etcd, or in one.
    #[error("refusing to write in `{}`: it is in etcd's data directory `{}`", dir.display(), data.display())]
    DataDir {
        /// What was asked for.
        dir: PathBuf,
        /// The data directory.
        data: PathBuf,
    },
    /// Too little space would be left.
    #[error("refusing to write in `{}`: {} are free, and the bench needs {} and leaves {} for etcd", dir.display(), format_bytes(*free), format_bytes(*need), format_bytes(*floor))]
    Space {
        /// What was asked for.
        dir: PathBuf,
        /// Free bytes.
        free: u64,
        /// What the bench needs.
        need: u64,
        /// What must be left.
        floor: u64,
    },
    /// Too few inodes.
    #[error("refusing to write in `{}`: only {free} inodes are free", dir.display())]
    Inodes {
        /// What was asked for.
        dir: PathBuf,
        /// Free inodes.
        free: u64,
    },
    /// The system refused.
    #[error("cannot write in `{}`: {}", dir.display(), super::faults::words(source))]
    Io {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Refused {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Refused::DataDir { .. } => {
                "name a directory beside it on the same disk; where the data directory is a mount of its own, `--in-data-dir` makes one beside `member`"
            }
            // No plan is small enough where what must be left is not there already.
            Refused::Space { free, floor, .. } if free <= floor => {
                "name a directory on another file system: less is free here than etcd is left, whatever the plan"
            }
            Refused::Space { .. } => {
                "shorter segments (`--segment-mb 8`) need less, and so does a shorter plan, where this is not the quick one"
            }
            Refused::Inodes { .. } => "name a directory on a file system with free inodes",
            Refused::Io { .. } => "name a directory that exists and that this user may write to",
        }
    }
}

/// The directory in which a bench may make its own, or why not.
pub fn allowed(dir: &Path, terms: &Terms) -> Result<PathBuf, Refused> {
    let failed = |source| Refused::Io {
        dir: dir.to_owned(),
        source,
    };
    let real = dir.canonicalize().map_err(failed)?;
    let real = match data_dir_of(&real, &terms.data_dirs) {
        None => real,
        Some(data) if terms.in_data_dir => beside(&data).map_err(failed)?,
        Some(data) => {
            return Err(Refused::DataDir {
                dir: dir.to_owned(),
                data,
            });
        }
    };
    let space = rustix::fs::statvfs(&real).map_err(|err| failed(err.into()))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let all = space.f_blocks.saturating_mul(space.f_frsize);
    let floor = terms
        .floor_bytes
        .unwrap_or_else(|| FLOOR.max(all / 10).max(terms.db_bytes.saturating_mul(2)));
    if free < terms.need_bytes.saturating_add(floor) {
        return Err(Refused::Space {
            dir: dir.to_owned(),
            free,
            need: terms.need_bytes,
            floor,
        });
    }
    // btrfs and others count no inodes and say 0 of 0.
    if space.f_files > 0 && space.f_favail < INODES {
        return Err(Refused::Inodes {
            dir: dir.to_owned(),
            free: space.f_favail,
        });
    }
    Ok(real)
}

/// The data directory that a real path lies in. By the directories of running etcds, and by what
/// the folders hold: `member/wal`, or segments of a WAL. Nothing in there is opened.
pub fn data_dir_of(real: &Path, known: &[PathBuf]) -> Option<PathBuf> {
    for data in known {
        let data = data.canonicalize().unwrap_or_else(|_| data.clone());
        if real.starts_with(&data) && data.parent().is_some() {
            return Some(data);
        }
    }
    real.ancestors().find(|at| looks_like_data(at)).map(|at| {
        // A folder that is named `member` is itself inside the data directory.
        match at.parent() {
            Some(up) if at.file_name().is_some_and(|name| name == "member") => up.to_owned(),
            _ => at.to_owned(),
        }
    })
}

fn looks_like_data(dir: &Path) -> bool {
    let member = |at: &Path| at.join("wal").is_dir() && at.join("snap").is_dir();
    if dir.join("member/wal").is_dir() {
        return true;
    }
    if dir.file_name().is_some_and(|name| name == "member") && member(dir) {
        return true;
    }
    // A WAL directory of its own.
    let entries = HostRoot::new(dir).list("/");
    entries
        .unwrap_or_default()
        .iter()
        .take(4096)
        .any(|entry| is_segment(&entry.name.to_string_lossy()))
}

/// Whether a name is that of a WAL segment: `0000000000000001-00000000000a1b2c.wal`.
pub fn is_segment(name: &str) -> bool {
    let hex = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    name.strip_suffix(".wal")
        .and_then(|stem| stem.split_once('-'))
        .is_some_and(|(sequence, index)| hex(sequence) && hex(index))
}

/// A place on the data directory's file system and outside of `member`: beside the data directory,
/// or in it where it is a mount of its own.
fn beside(data: &Path) -> io::Result<PathBuf> {
    let device = fs::metadata(data)?.dev();
    match data.parent() {
        Some(up) if fs::metadata(up)?.dev() == device => Ok(up.to_owned()),
        _ => Ok(data.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            floor_bytes: Some(0),
            ..Terms::default()
        }
    }

    #[test]
    fn data_directories_are_refused_however_they_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("etcd");
        fs::create_dir_all(data.join("member/wal")).unwrap();
        fs::create_dir_all(data.join("member/snap")).unwrap();
        let wal = dir.path().join("wal-elsewhere");
        fs::create_dir_all(wal.join("sub")).unwrap();
        fs::write(wal.join("0000000000000000-0000000000000000.wal"), "").unwrap();
        std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
        let real = data.canonicalize().unwrap();
        for (asked, found) in [
            (data.clone(), &real),
            (data.join("member"), &real),
            (data.join("member/wal"), &real),
            (dir.path().join("link/member/snap"), &real),
            (data.join("member/../member"), &real),
            (wal.join("sub"), &wal.canonicalize().unwrap()),
        ] {
            match allowed(&asked, &terms()) {
                Err(Refused::DataDir { data, .. }) => assert_eq!(&data, found),
                other => panic!("{}: {other:?}", asked.display()),
            }
        }
        assert!(allowed(dir.path(), &terms()).is_ok());
        // An etcd that was started a moment ago has nothing there yet.
        let known = Terms {
            data_dirs: vec![dir.path().to_owned()],
            ..terms()
        };
        assert!(matches!(
            allowed(dir.path(), &known),
            Err(Refused::DataDir { .. })
        ));
        // Beside it, and never in `member`.
        let with = Terms {
            in_data_dir: true,
            ..terms()
        };
        let place = allowed(&data.join("member/wal"), &with).unwrap();
        assert_eq!(place, dir.path().canonicalize().unwrap());
    }

    #[test]
    fn space_is_left_for_etcd() {
        let dir = tempfile::tempdir().unwrap();
        let greedy = Terms {
            need_bytes: u64::MAX / 2,
            ..Terms::default()
        };
        let err = allowed(dir.path(), &greedy).unwrap_err();
        assert!(
            matches!(err, Refused::Space { floor, .. } if floor >= FLOOR),
            "{err}"
        );
        assert!(err.hint().contains("--segment-mb"), "{}", err.hint());
        let full = Terms {
            floor_bytes: Some(u64::MAX / 2),
            ..Terms::default()
        };
        let err = allowed(dir.path(), &full).unwrap_err();
        assert!(err.hint().contains("another file system"), "{}", err.hint());
        let large_db = Terms {
            db_bytes: u64::MAX / 2,
            ..Terms::default()
        };
        assert!(matches!(
            allowed(dir.path(), &large_db),
            Err(Refused::Space { .. })
        ));
        let none = allowed(&dir.path().join("no"), &terms()).unwrap_err();
        assert!(none.to_string().contains("is not there"), "{none}");
    }

    #[test]
    fn names_of_segments() {
        assert!(is_segment("0000000000000001-00000000000a1b2c.wal"));
        for name in [
            "0.tmp",
            "x.wal",
            "0000000000000001.wal",
            "000000000000000g-0000000000000000.wal",
        ] {
            assert!(!is_segment(name), "{name}");
        }
    }
}
