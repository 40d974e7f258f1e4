//! A buffer that turns any byte source into blocks of whole lines, in bounded memory.

use std::fs::File;
use std::io::{self, Read};

use memchr::{memchr, memrchr};

use super::pace::{Breath, GuestFile, Pace};
use super::{Block, ReadOptions, ReadStats, read_at};

/// The buffer and what is in it.
#[derive(Debug)]
pub(super) struct Lines {
    buf: Vec<u8>,
    /// What was given out last and can be overwritten.
    taken: usize,
    filled: usize,
    /// Offset of `buf[0]`.
    offset: u64,
    size: usize,
    max_line: usize,
    cut_line: usize,
    ended: bool,
    /// What went wrong, until all that was read before it is given out.
    error: Option<io::Error>,
    stats: ReadStats,
}

impl Lines {
    pub(super) fn new(mut buf: Vec<u8>, offset: u64, options: &ReadOptions) -> Self {
        let size = options.buffer.max(64);
        buf.resize(size, 0);
        Lines {
            buf,
            taken: 0,
            filled: 0,
            offset,
            size,
            max_line: options.max_line.max(size),
            cut_line: options.cut_line.min(options.max_line.max(size) - 1).max(1),
            ended: false,
            error: None,
            stats: ReadStats::default(),
        }
    }

    pub(super) fn stats(&self) -> ReadStats {
        self.stats
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buf
    }

    pub(super) fn next(&mut self, source: &mut impl Read) -> io::Result<Option<Block<'_>>> {
        self.forget();
        // Where the search for a newline goes on: what is before holds none.
        let mut seen = 0;
        while !self.ended {
            if self.filled == self.buf.len() {
                if self.buf.len() >= self.max_line {
                    return self.cut(source).map(Some);
                }
                let len = (self.buf.len() * 2).min(self.max_line);
                self.buf.resize(len, 0);
            }
            let room = self.buf.get_mut(self.filled..).unwrap_or_default();
            let len = match source.read(room) {
                Ok(len) => len,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                // Nothing yet: what is here stays.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Err(err),
                Err(err) => {
                    self.error = Some(err);
                    0
                }
            };
            self.stats.bytes_read += len as u64;
            self.ended = len == 0;
            self.filled += len;
            // Whole buffers are worth more than early blocks, except from a slow pipe.
            let fresh = self.buf.get(seen..self.filled).unwrap_or_default();
            if let Some(at) = memrchr(b'\n', fresh) {
                return Ok(Some(self.give(seen + at + 1)));
            }
            seen = self.filled;
        }
        let rest = self.filled;
        if rest > 0 {
            return Ok(Some(self.give(rest)));
        }
        self.error.take().map_or(Ok(None), Err)
    }

    /// Drops what was given out, and a buffer that one line had made large.
    fn forget(&mut self) {
        self.buf.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.offset += self.taken as u64;
        self.taken = 0;
        if self.buf.len() > self.size && self.filled <= self.size / 2 {
            self.buf.truncate(self.size);
            self.buf.shrink_to(self.size);
        }
    }

    fn give(&mut self, len: usize) -> Block<'_> {
        self.taken = len;
        self.stats.bytes += len as u64;
        Block {
            bytes: self.buf.get(..len).unwrap_or_default(),
            offset: self.offset,
        }
    }

    /// A line longer than the limit: its beginning goes out as a line, the rest is read over.
    fn cut(&mut self, source: &mut impl Read) -> io::Result<Block<'_>> {
        let keep = self.cut_line;
        self.stats.cut_lines += 1;
        self.stats.skipped_bytes += (self.filled - keep) as u64;
        let mut skipped = (self.filled - keep) as u64;
        // What follows the newline moves behind the kept beginning.
        self.filled = keep;
        loop {
            let room = self.buf.get_mut(keep..keep + self.size / 2);
            let room = match room {
                Some(room) => room,
                None => self.buf.get_mut(keep..).unwrap_or_default(),
            };
            let len = match source.read(room) {
                Ok(len) => len,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => {
                    self.error = Some(err);
                    0
                }
            };
            self.stats.bytes_read += len as u64;
            if len == 0 {
                self.ended = true;
                break;
            }
            let fresh = self.buf.get(keep..keep + len).unwrap_or_default();
            if let Some(at) = memchr(b'\n', fresh) {
                skipped += at as u64;
                self.stats.skipped_bytes += at as u64;
                self.buf.copy_within(keep + at..keep + len, keep);
                self.filled = keep + len - at;
                break;
            }
            skipped += len as u64;
            self.stats.skipped_bytes += len as u64;
        }
        let given = if self.filled > keep { keep + 1 } else { keep };
        let offset = self.offset;
        self.offset += skipped;
        self.taken = given;
        self.stats.bytes += given as u64;
        Ok(Block {
            bytes: self.buf.get(..given).unwrap_or_default(),
            offset,
        })
    }
}

/// A part of a file, read with `pread`.
#[derive(Debug)]
pub(super) struct Range {
    file: Handle,
    at: u64,
    /// Where it ends; `None` is the end of the file as it is by then.
    end: Option<u64>,
    truncated: bool,
}

#[derive(Debug)]
enum Handle {
    Plain(File),
    Guest(GuestFile, Breath),
}

impl Range {
    pub(super) fn new(file: File, start: u64, end: Option<u64>) -> Self {
        // Only a hint: an error here (a pipe, a strange filesystem) changes nothing.
        rustix::fs::fadvise(&file, start, None, rustix::fs::Advice::Sequential).ok();
        Range::of(Handle::Plain(file), start, end)
    }

    /// As a guest; `fresh` as in [`GuestFile::new`].
    pub(super) fn guest(
        file: File,
        (start, end): (u64, Option<u64>),
        fresh: Option<(u64, u64)>,
        pace: &'static Pace,
    ) -> Self {
        let file = GuestFile::new(file, fresh, pace);
        Range::of(Handle::Guest(file, Breath::new(pace)), start, end)
    }

    fn of(file: Handle, at: u64, end: Option<u64>) -> Self {
        Range {
            file,
            at,
            end,
            truncated: false,
        }
    }

    pub(super) fn truncated(&self) -> bool {
        self.truncated
    }
}

impl Read for Range {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(self.at));
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let room = buf.get_mut(..room).unwrap_or_default();
        if room.is_empty() {
            return Ok(0);
        }
        let len = match &mut self.file {
            Handle::Plain(file) => read_at(file, room, self.at)?,
            Handle::Guest(file, breath) => {
                let begun = std::time::Instant::now();
                let len = file.read_at(room, self.at)?;
                breath.take(len as u64, begun.elapsed());
                len
            }
        };
        self.at += len as u64;
        if len == 0 {
            self.truncated = self.end.is_some();
        }
        Ok(len)
    }
}
