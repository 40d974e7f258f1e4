//! Where a file may be cut so that no record is split.
//!
//! The rule looks at the file's bytes alone, so that the threads on both sides of a cut find the
//! same place: from the nominal offset on, the first line that surely starts a record while no
//! runtime's part of a line is open. Decoders end every open record before such a line, so that
//! a cut there changes nothing. Where none is found nearby, the chunk before goes on.

use std::fs::File;
use std::io;

use memchr::memchr;

use crate::logs::decode::LineStart;
use crate::logs::timestamp::TimeCache;

use super::{Chunk, read_at};

/// How far before the nominal place open parts are looked for. Runtimes split at 16 KiB.
pub(super) const BACK: u64 = 128 << 10;
/// How far a safe place is looked for.
pub(super) const AHEAD: u64 = 1 << 20;
/// How much is read at once.
const STEP: usize = 64 << 10;

/// The real bounds of a chunk; the same start and end where it has nothing of its own. The first
/// chunk begins at `first`.
pub(super) fn bounds(
    file: &File,
    chunk: Chunk,
    first: u64,
    size: u64,
) -> io::Result<(u64, Option<u64>)> {
    let start = match chunk.start {
        0 => Some(first),
        nominal => first_cut(file, nominal, chunk.end, chunk.step, size)?,
    };
    let Some(start) = start else {
        return Ok((chunk.start, Some(chunk.start)));
    };
    if chunk.end == u64::MAX {
        return Ok((start, None));
    }
    let end = first_cut(file, chunk.end, u64::MAX, chunk.step, size)?;
    Ok((start, end))
}

/// The first safe place among the nominal ones from `from` on and before `until`, which whoever
/// reads up to there finds as well as who reads from there.
fn first_cut(file: &File, from: u64, until: u64, step: u64, size: u64) -> io::Result<Option<u64>> {
    let mut nominal = from;
    // The last chunk may be longer than its steps say: see `chunks_by`.
    while nominal < until && nominal.saturating_add(step.div_ceil(2)) <= size {
        if let Some(cut) = safe_cut(file, nominal)? {
            return Ok(Some(cut));
        }
        nominal = nominal.saturating_add(step.max(1));
    }
    Ok(None)
}

/// What is read to find a safe place.
pub(super) fn searched(nominal: u64, found: u64) -> (u64, u64) {
    (nominal.saturating_sub(BACK), found + STEP as u64)
}

/// The safe place for a nominal one.
pub(super) fn safe_cut(file: &File, nominal: u64) -> io::Result<Option<u64>> {
    let from = nominal.saturating_sub(BACK);
    let mut window = Window {
        file,
        from,
        bytes: Vec::new(),
    };
    // The first whole line of the window.
    let mut at = if from == 0 {
        0
    } else {
        match window.line_end(0)? {
            Some(end) => end,
            None => return Ok(None),
        }
    };
    let mut edge = Edge::default();
    loop {
        let offset = from + at as u64;
        if offset > nominal + AHEAD {
            return Ok(None);
        }
        let Some(end) = window.line_end(at)? else {
            return Ok(None);
        };
        let line = window.bytes.get(at..end).unwrap_or_default();
        if edge.is_before(line) && offset >= nominal {
            return Ok(Some(offset));
        }
        at = end;
    }
}

/// What was seen of the lines before a place.
#[derive(Debug, Default)]
pub(super) struct Edge {
    cache: TimeCache,
    /// Which runtime's lanes have a part of a line open.
    open: [bool; 2],
}

impl Edge {
    /// Whether no record goes on from before this line to it, as far as the lines told. Goes on
    /// to behind it.
    pub(super) fn is_before(&mut self, line: &[u8]) -> bool {
        let start = LineStart::of(line.strip_suffix(b"\n").unwrap_or(line), &mut self.cache);
        let safe = start.sure && self.open == [false; 2];
        if let Some((lane, more)) = start.part
            && let Some(open) = self.open.get_mut(lane)
        {
            *open = more;
        }
        safe
    }
}

struct Window<'f> {
    file: &'f File,
    from: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Just after the newline of the line at `at`, reading on as needed.
    fn line_end(&mut self, at: usize) -> io::Result<Option<usize>> {
        let mut search = at;
        loop {
            if let Some(found) = self
                .bytes
                .get(search..)
                .and_then(|rest| memchr(b'\n', rest))
            {
                return Ok(Some(search + found + 1));
            }
            search = self.bytes.len();
            if search as u64 > BACK + 2 * AHEAD {
                return Ok(None);
            }
            self.bytes.resize(search + STEP, 0);
            let room = self.bytes.get_mut(search..).unwrap_or_default();
            let len = read_at(self.file, room, self.from + search as u64)?;
            self.bytes.truncate(search + len);
            if len == 0 {
                return Ok(None);
            }
        }
    }
}
