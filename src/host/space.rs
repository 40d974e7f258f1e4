//! Free space and inodes under etcd's directories, and what etcd already keeps there.
//!
//! Live it is asked from the kernel, with a time limit: statfs hangs on a dead network file system.
//! From a bundle it is read from recorded output of `df`.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::target::HostRoot;
use crate::units::parse_bytes;

use super::{Got, Missing};

/// statfs and stat are given up after this long.
const LIMIT: Duration = Duration::from_secs(2);
/// Most files of a WAL folder that are counted. etcd keeps five segments and two spare ones.
const MAX_FILES: usize = 10_000;

/// A file system's space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Where it was read.
    pub source: String,
    /// All bytes.
    pub size: Option<u64>,
    /// Bytes that a normal user may still write.
    pub free: Option<u64>,
    /// All inodes; `None` where the file system has no fixed number.
    pub inodes: Option<u64>,
    /// Free inodes.
    pub inodes_free: Option<u64>,
}

/// What etcd keeps in a directory, by the sizes of its files alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The database file.
    pub db: Option<u64>,
    /// All WAL segments, preallocated ones included.
    pub wal: Option<u64>,
    /// Snapshots beside the database, left-over copies included.
    pub snapshots: Option<u64>,
}

/// Asks the kernel about the file system that holds `path`.
pub(super) fn live(path: PathBuf) -> Got<Space> {
    let source = format!("statfs {}", path.display());
    within(&source, move || {
        let fs = rustix::fs::statvfs(&path).map_err(|err| missing(&path, err.into()))?;
        let bytes = |blocks: u64| Some(blocks.saturating_mul(fs.f_frsize));
        Ok(Space {
            source: format!("statfs {}", path.display()),
            size: bytes(fs.f_blocks),
            free: bytes(fs.f_bavail),
            // btrfs and others say zero: they have no fixed number.
            inodes: (fs.f_files > 0).then_some(fs.f_files),
            inodes_free: (fs.f_files > 0).then_some(fs.f_favail),
        })
    })
}

/// Sizes of etcd's files in a data directory and its WAL directory. Nothing is opened.
pub(super) fn kept(root: &HostRoot, data: &str, wal: &str) -> Got<Kept> {
    let root = root.clone();
    let (data, wal) = (data.to_owned(), wal.to_owned());
    within(&data.clone(), move || {
        let size = |path: String| {
            let real = root
                .resolve(&path)
                .map_err(|err| missing(Path::new(&path), err))?;
            std::fs::metadata(&real)
                .map(|meta| meta.len())
                .map_err(|err| missing(Path::new(&path), err))
        };
        let sum = |folder: &str, keep: &dyn Fn(&str) -> bool| -> Got<u64> {
            let mut total: u64 = 0;
            for entry in root.list(folder)?.into_iter().take(MAX_FILES) {
                if let Some(name) = entry.name.to_str().filter(|name| keep(name)) {
                    total = total.saturating_add(size(format!("{folder}/{name}")).unwrap_or(0));
                }
            }
            Ok(total)
        };
        let snap = format!("{data}/member/snap");
        let db = size(format!("{snap}/db"));
        let wal = sum(&wal, &|name| {
            name.ends_with(".wal") || name.ends_with(".tmp")
        });
        if let (Err(why), Err(_)) = (&db, &wal) {
            return Err(why.clone());
        }
        Ok(Kept {
            db: db.ok(),
            wal: wal.ok(),
            snapshots: sum(&snap, &|name| name != "db").ok(),
        })
    })
}

fn within<T: Send + 'static>(what: &str, ask: impl FnOnce() -> Got<T> + Send + 'static) -> Got<T> {
    let (send, receive) = mpsc::sync_channel(1);
    let source = what.to_owned();
    std::thread::Builder::new()
        .name("statfs".to_owned())
        .spawn(move || {
            // The receiver may have given up by then.
            send.send(ask()).ok();
        })
        .map_err(|err| missing(Path::new(what), err))?;
    receive
        .recv_timeout(LIMIT)
        .unwrap_or(Err(Missing::TimedOut {
            source,
            after_ms: u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX),
        }))
}

fn missing(path: &Path, err: std::io::Error) -> Missing {
    let source = path.display().to_string();
    match err.kind() {
        std::io::ErrorKind::NotFound => Missing::NotPresent { source },
        std::io::ErrorKind::PermissionDenied => Missing::Denied { source },
        _ => Missing::Unreadable {
            source,
            line: None,
            why: err.to_string(),
        },
    }
}

/// One line of `df`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DfLine {
    /// Where it is mounted.
    pub point: String,
    /// All bytes or inodes.
    pub total: Option<u64>,
    /// Free bytes or inodes.
    pub free: Option<u64>,
    /// Whether the numbers are inodes.
    pub inodes: bool,
}

/// Reads the output of `df` in its usual forms: `-k`, `-P`, `-B1`, `-h`, `-i`, `-T`. Several
/// outputs in one file are told apart by their headings.
pub fn parse_df(text: &str) -> Vec<DfLine> {
    let mut lines = Vec::new();
    let mut heading: Option<Heading> = None;
    // A long device name stands on a line of its own without `-P`.
    let mut carried = String::new();
    for line in text.lines().take(100_000) {
        if let Some(new) = Heading::parse(line) {
            heading = Some(new);
            carried.clear();
            continue;
        }
        let Some(heading) = &heading else { continue };
        let joined = format!("{carried} {line}");
        let words: Vec<&str> = joined.split_ascii_whitespace().collect();
        if words.len() == 1 && carried.is_empty() {
            carried = line.to_owned();
            continue;
        }
        carried.clear();
        let number = |at: usize| {
            let word = words.get(at)?;
            if heading.inodes || heading.unit > 1 {
                return word.parse::<u64>().ok()?.checked_mul(heading.unit);
            }
            // `-h` prints powers of 1024 without saying so.
            let text = match word.bytes().last()? {
                b'K' | b'M' | b'G' | b'T' | b'P' => format!("{word}i"),
                _ => (*word).to_owned(),
            };
            parse_bytes(&text)
        };
        let Some(point) = words.get(heading.point..).filter(|w| !w.is_empty()) else {
            continue;
        };
        let point = point.join(" ");
        if !point.starts_with('/') {
            continue;
        }
        lines.push(DfLine {
            point,
            total: number(heading.total),
            free: number(heading.free),
            inodes: heading.inodes,
        });
    }
    lines
}

struct Heading {
    total: usize,
    free: usize,
    point: usize,
    inodes: bool,
    unit: u64,
}

impl Heading {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        line.starts_with("Filesystem").then_some(())?;
        // `Mounted on` is two words and the last column.
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let at = |names: &[&str]| words.iter().position(|word| names.contains(word));
        let point = at(&["Mounted"])?;
        if let (Some(total), Some(free)) = (at(&["Inodes"]), at(&["IFree"])) {
            return Some(Heading {
                total,
                free,
                point,
                inodes: true,
                unit: 1,
            });
        }
        let total = words
            .iter()
            .position(|word| *word == "Size" || word.ends_with("blocks"))?;
        let unit = match *words.get(total)? {
            "1K-blocks" | "1024-blocks" => 1024,
            "512-blocks" => 512,
            "1M-blocks" => 1 << 20,
            "1G-blocks" => 1 << 30,
            // `Size` of `-h` has units; `1B-blocks` and `1-blocks` are bytes.
            _ => 1,
        };
        Some(Heading {
            total,
            free: at(&["Available", "Avail"])?,
            point,
            inodes: false,
            unit,
        })
    }
}

/// The space of a mount point in recorded output of `df`.
pub(super) fn recorded(root: &HostRoot, mount_point: &str) -> Got<Space> {
    let mut space = Space::default();
    for name in super::samples::names(root, "/") {
        if !name.starts_with("df") || name.len() > 40 {
            continue;
        }
        let Ok(text) = root.read_text(format!("/{name}")) else {
            continue;
        };
        for line in parse_df(&text) {
            if line.point != mount_point {
                continue;
            }
            if line.inodes {
                // btrfs and others say zero: they have no fixed number.
                space.inodes = line.total.filter(|total| *total > 0);
                space.inodes_free = line.free.filter(|_| space.inodes.is_some());
            } else {
                space.size = line.total;
                space.free = line.free;
            }
            space.source.clone_from(&name);
        }
    }
    if space.source.is_empty() {
        return Err(Missing::NotPresent {
            source: format!("output of `df` for {mount_point}"),
        });
    }
    Ok(space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_in_its_forms() {
        let text = "\
Filesystem     1K-blocks    Used Available Use% Mounted on
/dev/sda1       20511312 5000000  14400000  26% /
/dev/mapper/a-very-long-name-of-a-volume
                 1000000  900000    100000  90% /var/lib/etcd
Filesystem      Inodes  IUsed   IFree IUse% Mounted on
/dev/sda1      1310720 100000 1210720    8% /
Filesystem     Type  Size  Used Avail Use% Mounted on
/dev/sdb       xfs   100G   60G   40G  60% /mnt/a b
";
        let lines = parse_df(text);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].free, Some(14_400_000 * 1024));
        assert_eq!(lines[1].point, "/var/lib/etcd");
        assert_eq!(lines[1].free, Some(102_400_000));
        assert_eq!((lines[2].inodes, lines[2].free), (true, Some(1_210_720)));
        assert_eq!(lines[3].point, "/mnt/a b");
        assert_eq!(lines[3].free, Some(40 << 30));
    }

    #[test]
    fn sizes_of_etcds_files() {
        let dir = tempfile::tempdir().unwrap();
        let member = dir.path().join("d/member");
        std::fs::create_dir_all(member.join("snap")).unwrap();
        std::fs::create_dir_all(member.join("wal")).unwrap();
        std::fs::write(member.join("snap/db"), [0; 100]).unwrap();
        std::fs::write(member.join("snap/1.snap.db"), [0; 40]).unwrap();
        std::fs::write(member.join("wal/0.wal"), [0; 7]).unwrap();
        std::fs::write(member.join("wal/0.tmp"), [0; 8]).unwrap();
        let root = HostRoot::new(dir.path());
        let kept = kept(&root, "/d", "/d/member/wal").unwrap();
        assert_eq!(
            kept,
            Kept {
                db: Some(100),
                wal: Some(15),
                snapshots: Some(40)
            }
        );
        assert!(super::kept(&root, "/no", "/no/member/wal").is_err());
        let space = live(dir.path().to_owned()).unwrap();
        assert!(space.size >= space.free && space.free.is_some());
    }

    #[test]
    fn a_file_system_without_a_number_of_inodes_lacks_none() {
        let dir = tempfile::tempdir().unwrap();
        let text = "Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/a 0 0 0 - /b\n/dev/c 9 9 0 100% /c\n";
        std::fs::write(dir.path().join("df-i"), text).unwrap();
        let root = HostRoot::new(dir.path());
        assert_eq!(recorded(&root, "/b").unwrap().inodes_free, None);
        assert_eq!(recorded(&root, "/c").unwrap().inodes_free, Some(0));
    }

    proptest::proptest! {
        #[test]
        fn any_text_does(text: String, tail: String) {
            let _ = parse_df(&text);
            let _ = parse_df(&format!("Filesystem Size Used Avail Use% Mounted on\n{tail}"));
        }
    }
}
