//! A log and its compressed copy side by side, as `gunzip -k` and an interrupted logrotate leave
//! them: their lines must not count twice.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::formats::inflate::{Compression, Inflate, Limits};

use super::{LogFile, Source};

/// How much of both is compared. Lines of a log have times, so that two logs are not alike for long.
const HEAD: usize = 64 << 10;

/// Which of these files are compressed copies of others among them, by their places.
pub(super) fn find<'f>(files: impl Iterator<Item = &'f LogFile> + Clone) -> Vec<usize> {
    let mut plain: HashMap<PathBuf, u64> = HashMap::new();
    for file in files.clone() {
        if let (Source::File { path, .. }, None) = (&file.source, file.compression) {
            plain.insert(path.clone(), file.size);
        }
    }
    let is_copy = |file: &LogFile| {
        let (Source::File { path, .. }, Some(Compression::Gzip)) = (&file.source, file.compression)
        else {
            return false;
        };
        let original = path.with_extension("");
        path.extension().is_some_and(|name| name == "gz")
            && plain
                .get(&original)
                .is_some_and(|size| is_same(path, file.size, &original, *size).unwrap_or(false))
    };
    files
        .enumerate()
        .filter(|(_, file)| is_copy(file))
        .map(|(at, _)| at)
        .collect()
}

/// Whether a compressed file has the length and the beginning of a plain one. What cannot be read
/// is told when it is to be read.
fn is_same(packed: &Path, packed_size: u64, plain: &Path, size: u64) -> std::io::Result<bool> {
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
    let mut head = Vec::with_capacity(HEAD);
    super::open(plain)?
        .take(HEAD as u64)
        .read_to_end(&mut head)?;
    Ok(packed == head)
}
