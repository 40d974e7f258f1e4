//! A buffer that turns any byte source into blocks of whole lines, in bounded memory.

use std::fs::File;
use std::io::{self, Read};

use memchr::{memchr, memrchr};

use super::pace::{Breath, GuestFile, Pace};
use super::{Block, ReadOptions, ReadStats, read_at};

/// What the kernel copies a file's cached bytes by. Copies between places of the same alignment
/// take a sixth less time than others, so a byte of a file stands at the same place of a page in
/// memory as in the file.
const PAGE: usize = 4096;

/// The buffer and what is in it.
#[derive(Debug)]
pub(super) struct Lines {
    buf: Vec<u8>,
    /// Where what is held begins.
    begin: usize,
    /// What was given out last and can be overwritten, from `begin` on.
    taken: usize,
    filled: usize,
    /// Offset of what is at `begin`.
    offset: u64,
    /// What may be held now; more than `size` only for a long line.
    room: usize,
    size: usize,
    /// Bytes of which places are kept; 1 where the buffer is too small to spend any on that.
    page: usize,
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
        let page = if size >= 8 * PAGE { PAGE } else { 1 };
        buf.resize(size + 2 * (page - 1), 0);
        let begin = place(&buf, page, offset);
        Lines {
            buf,
            begin,
            taken: 0,
            filled: begin,
            offset,
            room: size,
            size,
            page,
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
        let mut seen = self.begin;
        while !self.ended {
            if self.filled >= self.limit() {
                if self.room >= self.max_line {
                    return self.cut(source).map(Some);
                }
                self.room = (self.room * 2).min(self.max_line);
                self.buf.resize(self.room + 2 * (self.page - 1), 0);
            }
            let limit = self.limit();
            let room = self.buf.get_mut(self.filled..limit).unwrap_or_default();
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
                return Ok(Some(self.give(seen + at + 1 - self.begin)));
            }
            seen = self.filled;
        }
        let rest = self.filled - self.begin;
        if rest > 0 {
            return Ok(Some(self.give(rest)));
        }
        self.error.take().map_or(Ok(None), Err)
    }

    /// Up to where the buffer is filled: the end of a page of the file, but for a long line.
    fn limit(&self) -> usize {
        let begin = match self.room {
            room if room > self.size => self.begin,
            _ => self.begin - within(self.page, self.offset),
        };
        (begin + self.room).min(self.buf.len())
    }

    /// Drops what was given out, and a buffer that one line had made large.
    fn forget(&mut self) {
        let mut kept = self.begin + self.taken..self.filled;
        self.offset += self.taken as u64;
        self.taken = 0;
        if self.room > self.size && kept.len() <= self.size / 2 {
            let len = kept.len();
            self.buf.copy_within(kept, 0);
            self.room = self.size;
            self.buf.truncate(self.size + 2 * (self.page - 1));
            self.buf.shrink_to_fit();
            kept = 0..len;
        }
        self.begin = place(&self.buf, self.page, self.offset);
        self.filled = self.begin + kept.len();
        self.buf.copy_within(kept, self.begin);
    }

    /// The block that was given out last, to keep: its buffer and where in it. What follows goes on
    /// in `spare`.
    pub(super) fn hand_over(&mut self, mut spare: Vec<u8>) -> (Vec<u8>, std::ops::Range<usize>) {
        let given = self.begin..self.begin + self.taken;
        let kept = self.buf.get(given.end..self.filled).unwrap_or_default();
        self.offset += self.taken as u64;
        self.taken = 0;
        if self.room > self.size && kept.len() <= self.size / 2 {
            self.room = self.size;
        }
        spare.resize(self.room + 2 * (self.page - 1), 0);
        self.begin = place(&spare, self.page, self.offset);
        self.filled = self.begin + kept.len();
        if let Some(to) = spare.get_mut(self.begin..self.filled) {
            to.copy_from_slice(kept);
        }
        (std::mem::replace(&mut self.buf, spare), given)
    }

    fn give(&mut self, len: usize) -> Block<'_> {
        self.taken = len;
        self.stats.bytes += len as u64;
        Block {
            bytes: self
                .buf
                .get(self.begin..self.begin + len)
                .unwrap_or_default(),
            offset: self.offset,
        }
    }

    /// A line longer than the limit: its beginning goes out as a line, the rest is read over.
    fn cut(&mut self, source: &mut impl Read) -> io::Result<Block<'_>> {
        let keep = self.begin + self.cut_line;
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
        let given = self.cut_line + usize::from(self.filled > keep);
        let offset = self.offset;
        self.offset += skipped;
        self.taken = given;
        self.stats.bytes += given as u64;
        Ok(Block {
            bytes: self
                .buf
                .get(self.begin..self.begin + given)
                .unwrap_or_default(),
            offset,
        })
    }
}

/// Where what stands at an offset of the file begins in a buffer.
fn place(buf: &[u8], page: usize, offset: u64) -> usize {
    buf.as_ptr().align_offset(page).min(page - 1) + within(page, offset)
}

/// Where an offset of the file is in its page.
fn within(page: usize, offset: u64) -> usize {
    usize::try_from(offset % page as u64).unwrap_or(0)
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
