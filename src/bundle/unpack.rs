//! Tarballs of a node's tree, unpacked into a private folder that goes away again.
//!
//! A tarball is untrusted: only plain files and folders are taken, none outside the folder, and
//! never more than a stated amount.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::scratch::Scratch;

/// Most bytes taken from one tarball, decompressed.
const MAX_BYTES: u64 = 8 << 30;
/// Most bytes out for each byte in, once more than [`FREE_BYTES`] came out. Logs of a storm come to
/// 100; a bomb of zeros has 1000 (gzip) and more (zstd).
const MAX_RATIO: u64 = 300;
/// Bytes that come out whatever came in.
const FREE_BYTES: u64 = 256 << 20;
/// Most entries taken from one tarball.
const MAX_ENTRIES: usize = 200_000;
/// Most bytes of a header that holds a long name. Linux' PATH_MAX is 4096.
const MAX_HEADER: u64 = 64 << 10;
/// How many things that were left out are named.
const NAMED: usize = 20;

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

/// Unpacks a tarball, compressed or not, until told to stop. Gives the folder and what was left out.
pub fn unpack(input: impl Read, stop: &AtomicBool) -> io::Result<(Scratch, Vec<String>)> {
    let scratch = Scratch::new()?;
    let eaten = Rc::new(Cell::new(0));
    let mut input = io::BufReader::new(Counted(input, Rc::clone(&eaten)));
    let head = io::BufRead::fill_buf(&mut input)?.to_vec();
    #[expect(clippy::disallowed_types, reason = "capped by the budget below")]
    let plain: Box<dyn Read> = if head.starts_with(&[0x1F, 0x8B]) {
        Box::new(flate2::read::MultiGzDecoder::new(input))
    } else if head.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(input)?)
    } else {
        Box::new(input)
    };
    let most = room(scratch.path()).min(MAX_BYTES);
    let budget = Budget {
        inner: plain,
        given: 0,
        most,
        eaten,
        spent: Rc::new(Cell::new(false)),
        stop,
    };
    let spent = Rc::clone(&budget.spent);
    let mut archive = tar::Archive::new(budget);
    let mut left_out = LeftOut::default();
    let mut entries = 0;
    let mut long_name: Option<Vec<u8>> = None;
    // Raw: else the library reads a name of any length into memory, and writes the holes of a
    // sparse file, of any size.
    for entry in archive.entries()?.raw(true) {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(_) if spent.get() || stop.load(Ordering::Relaxed) => break,
            Err(err) if entries == 0 => return Err(err),
            Err(err) => {
                left_out.one(format!("the tarball ends early: {err}"));
                break;
            }
        };
        entries += 1;
        if entries > MAX_ENTRIES {
            left_out.one(format!(
                "more than {MAX_ENTRIES} entries; the rest was left out"
            ));
            break;
        }
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            match header_name(&mut entry, kind.is_gnu_longname()) {
                Ok(name) => long_name = name.or(long_name),
                Err(_) => break,
            }
            continue;
        }
        if kind.is_gnu_longlink() || kind.is_pax_global_extensions() {
            continue;
        }
        let name = long_name
            .take()
            .unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = PathBuf::from(OsString::from_vec(name));
        let shown = name.display();
        let Some(target) = inside(scratch.path(), &name) else {
            left_out.one(format!("`{shown}` points out of the bundle"));
            continue;
        };
        if kind.is_dir() {
            if let Err(err) = fs::create_dir_all(target) {
                left_out.one(format!("`{shown}` cannot be made: {err}"));
            }
        } else if kind.is_file() || kind.is_contiguous() {
            match write(&mut entry, &target) {
                Ok(()) => {}
                Err(Fault::Target(err)) => left_out.one(format!("`{shown}` cannot be made: {err}")),
                Err(Fault::Full(err)) => return Err(err),
                Err(Fault::Torn(_)) if spent.get() || stop.load(Ordering::Relaxed) => break,
                Err(Fault::Torn(err)) => {
                    left_out.one(format!("`{shown}` is torn: {err}"));
                    break;
                }
            }
        } else {
            left_out.link(format!("`{shown}` is no plain file"));
        }
    }
    if stop.load(Ordering::Relaxed) {
        left_out.one("unpacking was stopped by a signal; the rest was left out".to_owned());
    } else if spent.get() {
        left_out.one(
            "unpacks to more than it may, as a whole or for its compressed size; the rest was left out"
                .to_owned(),
        );
    }
    Ok((scratch, left_out.words()))
}

/// What was left out: a few of each kind by name, the others counted.
#[derive(Default)]
struct LeftOut {
    words: Vec<String>,
    more: usize,
    links: Vec<String>,
    more_links: usize,
}

impl LeftOut {
    fn one(&mut self, words: String) {
        match self.words.len() < NAMED {
            true => self.words.push(words),
            false => self.more += 1,
        }
    }

    /// Links are many in a copy of a host's root, and seldom a loss.
    fn link(&mut self, words: String) {
        match self.links.len() < 3 {
            true => self.links.push(words),
            false => self.more_links += 1,
        }
    }

    fn words(mut self) -> Vec<String> {
        if self.more > 0 {
            self.words.push(format!("{} more were left out", self.more));
        }
        self.words.append(&mut self.links);
        if self.more_links > 0 {
            self.words.push(format!(
                "{} more links and devices were left out",
                self.more_links
            ));
        }
        self.words
    }
}

/// Half of what is free where the folder is: evidence must not fill a disk.
fn room(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |stat| {
        stat.f_bavail.saturating_mul(stat.f_frsize) / 2
    })
}

/// Counts what goes through.
struct Counted<R>(R, Rc<Cell<u64>>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buf)?;
        self.1.set(self.1.get() + read as u64);
        Ok(read)
    }
}

/// Gives no more than a number of bytes, and no more than a multiple of what came in; nothing more
/// once it is to stop.
struct Budget<'a, R> {
    inner: R,
    given: u64,
    most: u64,
    eaten: Rc<Cell<u64>>,
    spent: Rc<Cell<bool>>,
    stop: &'a AtomicBool,
}

impl<R: Read> Read for Budget<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped by a signal"));
        }
        let ratio = FREE_BYTES + self.eaten.get().saturating_mul(MAX_RATIO);
        let most = self.most.min(ratio);
        if self.given >= most {
            self.spent.set(true);
            return Err(io::Error::other("the limit for a tarball is reached"));
        }
        let left = usize::try_from(most - self.given).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let read = self.inner.read(buf.get_mut(..len).unwrap_or_default())?;
        self.given += read as u64;
        Ok(read)
    }
}

enum Fault {
    /// The file cannot be made: its name, or another entry stands in its way.
    Target(io::Error),
    /// The disk is full.
    Full(io::Error),
    /// The tarball breaks off.
    Torn(io::Error),
}

fn write(entry: &mut impl Read, target: &Path) -> Result<(), Fault> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(Fault::Target)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(target)
        .map_err(Fault::Target)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(Fault::Torn(err)),
        };
        file.write_all(buffer.get(..read).unwrap_or_default())
            .map_err(Fault::Full)?;
    }
}

/// The name that a header entry gives to the next one: GNU's, or the `path` of a PAX header.
fn header_name(entry: &mut impl Read, gnu: bool) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    entry.take(MAX_HEADER).read_to_end(&mut bytes)?;
    if gnu {
        bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
        return Ok(Some(bytes));
    }
    // LENGTH KEY=VALUE\n
    let mut rest = bytes.as_slice();
    while let Some(space) = rest.iter().position(|b| *b == b' ') {
        let length = std::str::from_utf8(rest.get(..space).unwrap_or_default())
            .ok()
            .and_then(|digits| digits.parse::<usize>().ok());
        let Some(record) = length.and_then(|length| rest.get(space + 1..length)) else {
            break;
        };
        if let Some(path) = record.strip_prefix(b"path=") {
            return Ok(Some(path.strip_suffix(b"\n").unwrap_or(path).to_vec()));
        }
        rest = rest.get(length.unwrap_or(rest.len())..).unwrap_or_default();
    }
    Ok(None)
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

    static GO: AtomicBool = AtomicBool::new(false);

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
    fn who_is_told_to_stop_unpacks_no_more() {
        let tar = tarball(&[("logs/a.log", b"x")]);
        let (scratch, left_out) = unpack(tar.as_slice(), &AtomicBool::new(true)).unwrap();
        assert!(!scratch.path().join("logs").exists());
        assert!(left_out.concat().contains("stopped"), "{left_out:?}");
    }

    #[test]
    fn nothing_leaves_the_folder_and_it_goes_away() {
        let tar = tarball(&[("logs/a.log", b"x"), ("../out", b"y"), ("/abs", b"z")]);
        let (scratch, left_out) = unpack(tar.as_slice(), &GO).unwrap();
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
        let (scratch, _) = unpack(zst.as_slice(), &GO).unwrap();
        assert!(scratch.path().join("logs/a.log").is_file());
        // What came before the tear is kept.
        let (scratch, left_out) = unpack(&tar[..1500], &GO).unwrap();
        assert!(scratch.path().join("logs/a.log").is_file());
        assert!(!left_out.is_empty());
    }
}
