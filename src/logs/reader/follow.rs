//! Following a file that grows, is rotated, or is truncated.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memchr::memrchr;

use crate::logs::input::{FileId, LogFile, Source};

use super::lines::Lines;
use super::{Block, ReadOptions, read_at};

/// How long [`Follower::next_block`] sleeps when nothing came.
const POLL: Duration = Duration::from_millis(250);
/// How far back the beginning of the last line is looked for.
const BACK: u64 = 1 << 20;

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the file's beginning.
    Start,
    /// After the last whole line.
    End,
}

/// Gives the lines of a file as they are written.
#[derive(Debug)]
pub struct Follower {
    lines: Lines,
    tail: Tail,
}

impl Follower {
    /// Starts to follow a plain file. Pipes and commands need no follower: their
    /// [`super::BlockReader`] gives what comes when it comes.
    pub fn new(file: &LogFile, from: From, options: &ReadOptions) -> io::Result<Self> {
        let Source::File { path, .. } = &file.source else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only files can be followed",
            ));
        };
        let mut tail = Tail::open(path)?;
        if from == From::End {
            tail.at = last_line_end(&tail.file)?;
        }
        Ok(Follower {
            lines: Lines::new(Vec::new(), tail.at, options),
            tail,
        })
    }

    /// The next lines, if there are any by now.
    pub fn poll(&mut self) -> io::Result<Option<Block<'_>>> {
        match self.lines.next(&mut self.tail) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other,
        }
    }

    /// The next lines, waited for until `stop` is set.
    pub fn next_block(&mut self, stop: &AtomicBool) -> io::Result<Option<Block<'_>>> {
        while !self.tail.ready()? {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
        self.poll()
    }

    /// How often the file was replaced or truncated: line numbers start anew each time.
    pub fn generation(&self) -> u64 {
        self.tail.generation
    }
}

#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: File,
    id: FileId,
    at: u64,
    generation: u64,
    /// Whether the last byte given was a newline.
    ended: bool,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        let file = crate::logs::input::open(path)?;
        let meta = file.metadata()?;
        Ok(Tail {
            path: path.to_owned(),
            file,
            id: FileId {
                dev: meta.dev(),
                ino: meta.ino(),
            },
            at: 0,
            generation: 0,
            ended: true,
        })
    }

    /// Whether a read would give something.
    fn ready(&mut self) -> io::Result<bool> {
        let size = self.file.metadata()?.len();
        if size != self.at {
            return Ok(true);
        }
        Ok(self.replaced())
    }

    /// Whether the path leads to another file by now.
    fn replaced(&self) -> bool {
        let now = std::fs::metadata(&self.path);
        // Between the two steps of a rotation there is no file: wait for the new one.
        now.is_ok_and(|meta| (meta.dev(), meta.ino()) != (self.id.dev, self.id.ino))
    }
}

impl Read for Tail {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let replaced = self.replaced();
        // Read after the look at the path: what was written before the new file was there.
        let len = read_at(&self.file, buf, self.at)?;
        if len > 0 {
            self.at += len as u64;
            self.ended = buf.get(len - 1) == Some(&b'\n');
            return Ok(len);
        }
        let truncated = self.file.metadata()?.len() < self.at;
        if !truncated && !replaced {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // A line without its end is ended, as the last one of its file.
        if !std::mem::replace(&mut self.ended, true)
            && let Some(first) = buf.first_mut()
        {
            *first = b'\n';
            return Ok(1);
        }
        let generation = self.generation + 1;
        if !truncated {
            *self = Tail::open(&self.path)?;
        }
        self.at = 0;
        self.generation = generation;
        self.read(buf)
    }
}

/// The end of the last whole line.
fn last_line_end(file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(BACK);
    let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(0)];
    let len = read_at(file, &mut bytes, from)?;
    let end = memrchr(b'\n', bytes.get(..len).unwrap_or_default());
    Ok(end.map_or(size, |at| from + at as u64 + 1))
}
