//! The same log twice: beside its compressed copy, as `gunzip -k`, an interrupted logrotate and
//! kubelet at its rotation leave it, or as plain bytes, since `tar -h`, `scp -r` and `rsync -L` make
//! a file of each link that leads to a pod's log. Their lines must not count twice.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::formats::inflate::{Compression, Inflate, Limits};
use crate::logs::event::Component;

use super::name::Identity;
use super::{LogFile, Source};

/// How much of both is compared. Lines of a log have times, so that two logs are not alike for long.
const HEAD: usize = 64 << 10;
/// So much of each file is read to see which ones may be alike. What is shorter may be so by chance.
const FIRST: usize = 512;

/// A file that is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// Its place.
    pub at: usize,
    /// The place of the file that holds all of it.
    pub of: usize,
}

/// A plain file.
#[derive(Clone, Copy)]
struct Plain<'f> {
    at: usize,
    path: &'f Path,
    file: &'f LogFile,
    identity: &'f Identity,
}

/// Which of these files are copies of others among them, in their order.
pub(super) fn find<'f>(
    files: impl Iterator<Item = (&'f LogFile, &'f Identity)> + Clone,
) -> Vec<Copied> {
    let plain: Vec<Plain<'f>> = files
        .clone()
        .enumerate()
        .filter_map(|(at, (file, identity))| match &file.source {
            Source::File { path, .. } if file.compression.is_none() => Some(Plain {
                at,
                path,
                file,
                identity,
            }),
            _ => None,
        })
        .collect();
    let mut copies = compressed(files.clone().map(|(file, _)| file), &plain);
    let groups = by_beginning(&plain);
    copies.extend(packed_elsewhere(files, &groups, &copies));
    copies.extend(alike(groups));
    copies.sort_by_key(|copy| copy.at);
    copies
}

/// Compressed files that are copies of plain ones, by their places.
fn compressed<'f>(files: impl Iterator<Item = &'f LogFile>, plain: &[Plain<'_>]) -> Vec<Copied> {
    let sizes: HashMap<&Path, (usize, u64)> = plain
        .iter()
        .map(|plain| (plain.path, (plain.at, plain.file.size)))
        .collect();
    let original = |file: &LogFile| {
        let (Source::File { path, .. }, Some(Compression::Gzip)) = (&file.source, file.compression)
        else {
            return None;
        };
        let original: PathBuf = path.with_extension("");
        let (of, size) = *sizes.get(&*original)?;
        let copied = match path.extension()?.as_encoded_bytes() {
            b"gz" => is_packed(path, file.size, &original, size),
            b"tmp" => is_packed_so_far(path, &original),
            _ => return None,
        };
        copied.unwrap_or(false).then_some(of)
    };
    let copy = |(at, file)| original(file).map(|of| Copied { at, of });
    files.enumerate().filter_map(copy).collect()
}

/// Whether a compressed file has the length and the beginning of a plain one. What cannot be read
/// is told when it is to be read.
fn is_packed(packed: &Path, packed_size: u64, plain: &Path, size: u64) -> std::io::Result<bool> {
    let file = super::open(packed)?;
    // The last four bytes are the length of what was compressed, up to 4 GiB (RFC 1952).
    let mut length = [0; 4];
    file.read_exact_at(&mut length, packed_size.saturating_sub(4))?;
    if u64::from(u32::from_le_bytes(length)) != size & u64::from(u32::MAX) {
        return Ok(false);
    }
    let mut packed = Vec::with_capacity(HEAD);
    Inflate::new(file, Limits::default())?
        .take(HEAD as u64)
        .read_to_end(&mut packed)?;
    Ok(packed == piece(plain, 0, HEAD)?)
}

/// Whether a file holds the beginning of a plain one, compressed as far as that went: kubelet writes
/// `0.log.TIME.tmp` beside `0.log.TIME`, calls it `.gz` when it is whole, and then removes the plain
/// file (Kubernetes: container_log_manager.go, compressLog).
fn is_packed_so_far(packed: &Path, plain: &Path) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(HEAD);
    let inflate = Inflate::new(super::open(packed)?, Limits::default())?;
    // What was read before an error stays; where that is nothing, it is told when it is read.
    let error = inflate.take(HEAD as u64).read_to_end(&mut head).err();
    let begins = piece(plain, 0, HEAD)?.starts_with(&head);
    Ok(begins && (error.is_none() || !head.is_empty()))
}

/// Compressed files that hold what a plain one of another name holds, or its beginning: `audit.log`
/// beside `audit.log.1.gz`, a log beside what was rotated away while it was copied.
fn packed_elsewhere<'f>(
    files: impl Iterator<Item = (&'f LogFile, &'f Identity)>,
    groups: &HashMap<Vec<u8>, Vec<Plain<'_>>>,
    known: &[Copied],
) -> Vec<Copied> {
    let known: HashSet<usize> = known.iter().map(|copy| copy.at).collect();
    let original = |(at, (file, identity)): (usize, (&LogFile, &Identity))| {
        let (Source::File { path, .. }, Some(Compression::Gzip)) = (&file.source, file.compression)
        else {
            return None;
        };
        if known.contains(&at) || groups.is_empty() {
            return None;
        }
        let group = groups.get(&beginning(path).ok()?)?;
        let of = group.iter().find(|plain| {
            may_be_one(identity, plain.identity) && is_all_in(path, plain).unwrap_or(false)
        })?;
        Some(Copied { at, of: of.at })
    };
    files.enumerate().filter_map(original).collect()
}

/// The first bytes of what a compressed file holds; shorter ones are no sign.
fn beginning(packed: &Path) -> std::io::Result<Vec<u8>> {
    let mut first = vec![0; FIRST];
    Inflate::new(super::open(packed)?, Limits::default())?.read_exact(&mut first)?;
    Ok(first)
}

/// Whether a plain file begins with all that a compressed one holds. The first byte that differs
/// ends it, and times of lines soon differ.
fn is_all_in(packed: &Path, plain: &Plain<'_>) -> std::io::Result<bool> {
    let mut inflate = Inflate::new(super::open(packed)?, Limits::default())?;
    let mut from = 0;
    loop {
        let mut inner = Vec::with_capacity(HEAD);
        inflate.by_ref().take(HEAD as u64).read_to_end(&mut inner)?;
        if inner.is_empty() {
            return Ok(true);
        }
        if inner != piece(plain.path, from, inner.len())? {
            return Ok(false);
        }
        from += inner.len() as u64;
    }
}

/// Plain files by their first bytes, the longest first, of equal ones the one whose path tells most.
fn by_beginning<'f>(plain: &[Plain<'f>]) -> HashMap<Vec<u8>, Vec<Plain<'f>>> {
    let mut groups: HashMap<Vec<u8>, Vec<Plain<'f>>> = HashMap::new();
    let least = FIRST as u64;
    for file in plain.iter().filter(|plain| plain.file.size >= least) {
        if let Ok(first) = piece(file.path, 0, FIRST) {
            groups.entry(first).or_default().push(*file);
        }
    }
    groups.values_mut().for_each(|group| {
        group.sort_by_key(|plain| {
            let unknown = plain.identity.component == Component::Unknown;
            let name = &plain.file.name;
            let path = (unknown, name.len(), name);
            (Reverse((plain.file.size, plain.identity.rank)), path)
        });
    });
    groups
}

/// Plain files whose bytes are those of another one, or of its beginning: a log that is written to
/// grows between one copy and the next.
fn alike(groups: HashMap<Vec<u8>, Vec<Plain<'_>>>) -> Vec<Copied> {
    let mut copies = Vec::new();
    for group in groups.into_values() {
        // The longest is kept.
        let mut kept: Vec<Plain<'_>> = Vec::new();
        for file in group {
            let whole = kept.iter().find(|whole| {
                may_be_one(file.identity, whole.identity)
                    && begins_with(whole.path, file.path, file.file.size).unwrap_or(false)
            });
            match whole {
                Some(whole) => copies.push(Copied {
                    at: file.at,
                    of: whole.at,
                }),
                None => kept.push(file),
            }
        }
    }
    copies
}

/// Whether two paths may name one writer's log. Two pods are two writers, whatever they write.
pub(super) fn may_be_one(a: &Identity, b: &Identity) -> bool {
    let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
    agree(&a.namespace, &b.namespace)
        && agree(&a.pod, &b.pod)
        && agree(&a.container, &b.container)
        && agree(&a.node, &b.node)
}

/// Whether a file begins with all of another one, by the head and the tail of the latter.
fn begins_with(whole: &Path, part: &Path, size: u64) -> std::io::Result<bool> {
    let tail = size.saturating_sub(HEAD as u64);
    let length = HEAD.min(usize::try_from(size).unwrap_or(HEAD));
    for from in [tail, 0] {
        let inner = piece(part, from, length)?;
        if inner.len() < length || inner != piece(whole, from, length)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// At most so many bytes of a file from a place on.
pub(super) fn piece(path: &Path, from: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let file = super::open(path)?;
    let mut bytes = vec![0; length];
    let mut got = 0;
    while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + got as u64)? {
            0 => break,
            more => got += more,
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}
