//! A file whose newest lines stand first, from its end to its beginning, so that its records come
//! in the order in which they were written.

use std::fs::File;
use std::io::{self, Read};

use crate::logs::decode::LineStart;
use crate::logs::input::{LogFile, Told};
use crate::logs::needle;
use crate::logs::timestamp::TimeCache;

use super::{Chunk, ReadOptions, open, read_at};

/// How much is read at once.
const STEP: usize = 256 << 10;

/// How many lines a file has, from which those of a file that is read from its end are counted.
pub fn lines_of(file: &LogFile, options: &ReadOptions) -> io::Result<u64> {
    let forward = LogFile {
        told: Told::default(),
        ..file.clone()
    };
    let mut reader = open(&forward, Chunk::WHOLE, options, Vec::new())?;
    let mut lines = 0;
    while let Some(block) = reader.next_block()? {
        lines += memchr::memchr_iter(b'\n', block.bytes).count() as u64;
        lines += u64::from(!block.bytes.ends_with(b"\n"));
    }
    Ok(lines)
}

/// Gives the file's bytes with its records in the opposite order. What goes on over several lines
/// stays as it is.
#[derive(Debug)]
pub(super) struct Backward {
    file: File,
    /// What lies from here on was read.
    from: u64,
    /// Lines without the beginning of their record, which lies before `from`.
    open: Vec<u8>,
    /// What is to be given out, and how much of it was.
    ready: Vec<u8>,
    given: usize,
    cache: TimeCache,
    /// A line longer than this is given out in pieces.
    max_line: usize,
}

impl Backward {
    pub(super) fn new(file: File, size: u64, max_line: usize) -> Self {
        Backward {
            file,
            from: size,
            open: Vec::new(),
            ready: Vec::new(),
            given: 0,
            cache: TimeCache::default(),
            max_line,
        }
    }

    /// Reads the piece before what was read.
    fn step(&mut self) -> io::Result<()> {
        let step = self.from.min(STEP as u64);
        self.from -= step;
        let mut bytes = vec![0; usize::try_from(step).unwrap_or(STEP)];
        let len = read_at(&self.file, &mut bytes, self.from)?;
        bytes.truncate(len);
        bytes.append(&mut self.open);
        let mut starts = self.starts(&bytes);
        let first = match starts.first() {
            _ if self.from == 0 => 0,
            Some(first) => *first,
            // No record begins here, or it is longer than any that is kept whole.
            None if bytes.len() <= self.max_line => bytes.len(),
            None => 0,
        };
        if starts.first() != Some(&first) && first < bytes.len() {
            starts.insert(0, first);
        }
        self.given = 0;
        self.ready.clear();
        self.ready.reserve(bytes.len() + 1);
        let mut end = bytes.len();
        for start in starts.into_iter().rev() {
            let record = bytes.get(start..end).unwrap_or_default();
            self.ready.extend_from_slice(record);
            // The last line of the file may lack it.
            if !record.ends_with(b"\n") {
                self.ready.push(b'\n');
            }
            end = start;
        }
        bytes.truncate(first);
        self.open = bytes;
        Ok(())
    }

    /// Where records surely begin. Before the first newline stands the rest of a line, unless it is
    /// the file's first.
    fn starts(&mut self, bytes: &[u8]) -> Vec<usize> {
        let mut starts = Vec::new();
        let mut at = match self.from {
            0 => 0,
            _ => memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1),
        };
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            // A trace's lines are no record's beginning, but each of them was a line by itself.
            if LineStart::of(line, &mut self.cache).sure || needle::TRACE.is_in(line) {
                starts.push(at);
            }
            at += end + 1;
        }
        starts
    }
}

impl Read for Backward {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given >= self.ready.len() {
            if self.from == 0 {
                return Ok(0);
            }
            self.step()?;
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let len = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.given += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn backward(text: &str) -> String {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("writes");
        let mut out = String::new();
        Backward::new(file, text.len() as u64, 1 << 20)
            .read_to_string(&mut out)
            .expect("reads");
        out
    }

    #[test]
    fn records_are_turned_round_and_stay_whole() {
        let record = |n: u32| {
            format!(
                "2026-11-21 19:{:02}:{:02}.000001 W | etcdserver: {n}",
                n / 60,
                n % 60
            )
        };
        let text = format!("{}\n  more of it\n{}\n{}", record(3), record(2), record(1));
        let want = format!(
            "{}\n{}\n{}\n  more of it\n",
            record(1),
            record(2),
            record(3)
        );
        assert_eq!(backward(&text), want);
        assert_eq!(backward(""), "");
        assert_eq!(backward("no record\nat all\n"), "no record\nat all\n");
    }

    #[test]
    fn any_length_is_read() {
        let record = |n: u32| {
            format!(
                "2026-11-21 19:{:02}:{:02}.000001 W | etcdserver: {n} {}\n",
                n / 60,
                n % 60,
                "x".repeat(n as usize * 7 % 5000)
            )
        };
        let forth: String = (0..600).map(record).collect();
        let back: String = (0..600).rev().map(record).collect();
        assert!(forth.len() > 4 * STEP);
        assert!(backward(&back) == forth);
    }
}
