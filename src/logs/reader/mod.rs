//! Files to blocks of whole lines.
//!
//! A plain file is cut into chunks at places that depend on its bytes alone, so that any number
//! of threads gives the same answer; a chunk is read with `pread` into one reused buffer, which
//! copes with logrotate's truncation where a memory map would die. What is compressed is inflated by
//! one thread and cut into parts in the same way. What is piped or printed by a command is read in
//! sequence.

mod backward;
mod cut;
mod flow;
pub mod follow;
mod lines;
mod pace;
mod parts;
mod pipe;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::AtomicBool;

use crate::formats::inflate::Limits;

use super::input::{FileId, LogFile, Source};

use backward::Backward;
pub use backward::lines_of;
use lines::{Lines, Range};
use pace::GuestFile;
pub use pace::Pace;
pub use parts::{Part, inflate, is_in_parts};
use pipe::Pipe;

/// Least nominal length of a chunk, and what all of them are multiples of.
pub const CHUNK: u64 = 8 << 20;

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Bytes read at once; 256 KiB stays inside the second-level cache.
    pub buffer: usize,
    /// Longest line that is kept whole.
    pub max_line: usize,
    /// What is kept of a longer one.
    pub cut_line: usize,
    /// Read as a guest on a sick node does: in small pieces with rests, leaving the page cache as it
    /// was.
    pub guest: Option<&'static Pace>,
    /// Limits on what comes out of compressed files.
    pub limits: Limits,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            buffer: 256 << 10,
            // Audit records hold whole request bodies, of which etcd takes 1.5 MiB by default.
            max_line: 16 << 20,
            cut_line: 1 << 20,
            guest: None,
            limits: Limits::default(),
        }
    }
}

/// A part of a file that one thread reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its place among the file's chunks, from 0.
    pub index: u32,
    /// Nominal beginning; the real one is the next safe place from here on.
    pub start: u64,
    /// Nominal end. `u64::MAX` is the end of the file, wherever it is by then.
    pub end: u64,
    /// Where one of these is no safe place, the next one is so many bytes further on.
    pub step: u64,
}

impl Chunk {
    /// All of a file, pipe or command.
    pub const WHOLE: Chunk = Chunk {
        index: 0,
        start: 0,
        end: u64::MAX,
        step: u64::MAX,
    };
}

/// The chunks of a file: one for what can only be read in sequence. Others are long at first,
/// because each begins with empty tables that are then absorbed, and short in the end, so that all
/// threads are done at about the same time.
pub fn chunks(file: &LogFile) -> Vec<Chunk> {
    /// Most steps of a chunk.
    const LONGEST: u64 = 8;
    /// A chunk is no longer than this part of what is left, so that so many threads have work.
    const PARTS: u64 = 4;
    chunks_by(file, CHUNK, |left| (left / PARTS).clamp(1, LONGEST))
}

/// Like [`chunks`], all of the same nominal length.
pub fn chunks_of(file: &LogFile, length: u64) -> Vec<Chunk> {
    chunks_by(file, length, |_| 1)
}

/// Chunks of as many steps each as `steps` says of those that are left.
fn chunks_by(file: &LogFile, step: u64, steps: impl Fn(u64) -> u64) -> Vec<Chunk> {
    let is_plain = file.compression.is_none() && matches!(file.source, Source::File { .. });
    // A line far above says whose the lines are; or the file is read from its end.
    if !is_plain || file.told.sections || file.told.newest_first {
        return vec![Chunk::WHOLE];
    }
    let step = step.max(1);
    // A last step of less than half its length is not worth a search for its beginning.
    let count = ((file.size + step / 2) / step).max(1);
    let mut chunks = Vec::new();
    // What another file holds as well is passed over; the first one begins there, wherever that is.
    let mut at = (file.told.again.0 / step).min(count - 1);
    while at < count {
        let next = at + steps(count - at).max(1);
        chunks.push(Chunk {
            index: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
            start: if chunks.is_empty() { 0 } else { at * step },
            end: if next < count { next * step } else { u64::MAX },
            step,
        });
        at = next;
    }
    chunks
}

/// Whole lines, as they stand in the file.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The lines. The last one of a file may lack its newline.
    pub bytes: &'a [u8],
    /// Where the block begins, in bytes from the beginning of the (inflated) file.
    pub offset: u64,
}

/// What a reader met besides lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Bytes given out.
    pub bytes: u64,
    /// Bytes read from the disk or pipe; of a part of a compressed file, those inflated.
    pub bytes_read: u64,
    /// Lines that were longer than the limit, of which only the beginning was given out.
    pub cut_lines: u64,
    /// Bytes that these lost.
    pub skipped_bytes: u64,
    /// Whether the file became shorter while it was read.
    pub truncated: bool,
}

/// Gives the blocks of one chunk.
#[derive(Debug)]
pub struct BlockReader {
    source: Input,
}

#[derive(Debug)]
enum Input {
    Range(Lines, Range),
    Pipe(Lines, Pipe),
    Backward(Lines, Backward),
    Part(Part),
}

/// Opens one chunk of a file. `buffer` is any buffer to reuse; [`BlockReader::into_buffer`] gives
/// it back.
pub fn open(
    file: &LogFile,
    chunk: Chunk,
    options: &ReadOptions,
    buffer: Vec<u8>,
) -> io::Result<BlockReader> {
    let options = &match options.guest {
        None => *options,
        Some(_) => ReadOptions {
            buffer: options.buffer.min(pace::PIECE),
            ..*options
        },
    };
    let lines = |offset| Lines::new(buffer, offset, options);
    match &file.source {
        Source::File { path, id } => {
            let opened = open_same(path, *id)?;
            if file.compression.is_some() {
                let pipe = Pipe::inflate(opened, options)?;
                return Ok(BlockReader {
                    source: Input::Pipe(lines(0), pipe),
                });
            }
            if file.is_read_backward(options) {
                let lines = lines(0);
                return Ok(BlockReader {
                    source: Input::Backward(
                        lines,
                        Backward::new(opened, file.size, options.max_line),
                    ),
                });
            }
            let first = file.told.again.0;
            let nominal = chunk.start.max(first);
            let cold = options.guest.is_some() && {
                GuestFile::no_read_ahead(&opened);
                !pace::is_cached(&opened, nominal)
            };
            let (start, end) = cut::bounds(&opened, chunk, first, file.size)?;
            let range = match options.guest {
                None => Range::new(opened, start, end),
                Some(pace) => {
                    // The search for the bounds brought in what is around them.
                    let fresh = cold.then(|| cut::searched(nominal, start));
                    Range::guest(opened, (start, end), fresh, pace)
                }
            };
            Ok(BlockReader {
                source: Input::Range(lines(start), range),
            })
        }
        other => Ok(BlockReader {
            source: Input::Pipe(lines(0), Pipe::open(other, options)?),
        }),
    }
}

impl From<Part> for BlockReader {
    fn from(part: Part) -> Self {
        BlockReader {
            source: Input::Part(part),
        }
    }
}

impl BlockReader {
    /// The next block; `None` at the end. After an error, nothing more comes; all that was read
    /// before it was given.
    pub fn next_block(&mut self) -> io::Result<Option<Block<'_>>> {
        match &mut self.source {
            Input::Range(lines, range) => lines.next(range),
            Input::Pipe(lines, pipe) => lines.next(pipe),
            Input::Backward(lines, file) => lines.next(file),
            Input::Part(part) => part.next(None),
        }
    }

    /// As [`Self::next_block`], but what waits for others ends when `stop` is set.
    pub fn next_block_until(&mut self, stop: &AtomicBool) -> io::Result<Option<Block<'_>>> {
        match &mut self.source {
            Input::Range(lines, range) => lines.next(range),
            Input::Pipe(lines, pipe) => lines.next(&mut pipe.until(stop)),
            Input::Backward(lines, file) => lines.next(file),
            Input::Part(part) => part.next(Some(stop)),
        }
    }

    /// Of a part of a compressed file, whether there is no other after it. Known once all of the
    /// part was read.
    pub fn is_last_part(&self) -> Option<bool> {
        match &self.source {
            Input::Part(part) => Some(part.is_last()),
            Input::Range(..) | Input::Pipe(..) | Input::Backward(..) => None,
        }
    }

    /// What it met so far.
    pub fn stats(&self) -> ReadStats {
        match &self.source {
            Input::Range(lines, range) => ReadStats {
                truncated: range.truncated(),
                ..lines.stats()
            },
            Input::Pipe(lines, pipe) => ReadStats {
                bytes_read: pipe.bytes_read(),
                ..lines.stats()
            },
            Input::Backward(lines, _) => lines.stats(),
            Input::Part(part) => part.stats(),
        }
    }

    /// The buffer, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        match self.source {
            Input::Range(lines, _) | Input::Pipe(lines, _) | Input::Backward(lines, _) => {
                lines.into_buffer()
            }
            Input::Part(_) => Vec::new(),
        }
    }
}

/// Opens a file that was found before; when it was rotated away since, finds it by its inode
/// beside its old name.
fn open_same(path: &std::path::Path, id: FileId) -> io::Result<File> {
    let same = |file: &File| {
        file.metadata()
            .map(|meta| (meta.dev(), meta.ino()) == (id.dev, id.ino))
    };
    let gone = match super::input::open(path) {
        Ok(file) if same(&file)? => return Ok(file),
        Ok(_) => io::Error::new(
            io::ErrorKind::NotFound,
            "was rotated away while it was to be read",
        ),
        Err(err) if err.kind() == io::ErrorKind::NotFound => err,
        Err(err) => return Err(err),
    };
    let Some(folder) = path.parent() else {
        return Err(gone);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the folder of a path that the user named"
    )]
    let entries = std::fs::read_dir(folder);
    for entry in entries.into_iter().flatten().take(10_000).flatten() {
        if std::os::unix::fs::DirEntryExt::ino(&entry) != id.ino {
            continue;
        }
        if let Ok(file) = super::input::open(&entry.path())
            && same(&file)?
        {
            return Ok(file);
        }
    }
    Err(gone)
}

/// Reads exactly what is there at an offset, up to the buffer's length.
fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
