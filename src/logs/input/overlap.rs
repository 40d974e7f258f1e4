//! Pieces of one log that overlap: `kubectl logs` saved twice, a journal beside the syslog file that
//! it was forwarded to, a file of lines that somebody picked out of another one. What a file holds
//! again must not count twice.
//!
//! Lines of a log are in time order, so that a line is looked for where its time says, and few are:
//! the first one, the last one that the other file can hold, and some in between. A file of which all
//! these stand in another one begins where the other one ends. No file is read whole for it: only the
//! part that need not be read again is gone through once, for its number of lines. Of many files in the
//! same time every one may be a piece of every other; how much is looked through for that is bounded, and
//! which files were not compared with all others is said.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::path::Path;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use crate::clock::Timestamp;
use crate::logs::decode::{DecodeContext, Decoder};
use crate::logs::event::Component;
use crate::logs::record::{Encoding, Record, TimeSource};

use super::copies::{may_be_one, piece};
use super::name::Identity;
use super::years::NO_YEAR;
use super::{LogFile, Source};

/// How much is read at a place to find a line with a time.
const LOOK: usize = 16 << 10;
/// How far before and behind the place that its time says a line may stand: threads of one writer
/// put lines out of order.
const NEAR: u64 = 64 << 10;
/// At how many places between the first and the last line of what may be held twice lines are tried.
const PLACES: u64 = 6;
/// A shorter file may be alike by chance.
const SMALL: u64 = 512;
/// A shorter line may stand in two logs by chance.
const LEAST: usize = 40;

/// How much is looked through for all files together: a second or two of work.
const BUDGET: u64 = 4 << 30;
/// What a look into a file costs at least, and what it costs to see that there is none to do.
const LOOK_COST: u64 = 1 << 10;
const CHECK_COST: u64 = 16;
/// A file that is not longer is kept, while there is room: it is looked into again and again.
const KEPT: u64 = 64 << 10;
/// Bytes of files that are kept.
const ROOM: u64 = 16 << 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What files hold of others.
    pub again: Vec<Again>,
    /// Files that were not compared with all others.
    pub unsought: u64,
}

/// What a file holds of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// The file's place.
    pub at: usize,
    /// The place of the file that holds its beginning, or all of it.
    pub of: usize,
    /// Bytes at its beginning that need not be read again; all of them where nothing is new.
    pub bytes: u64,
    /// Lines in them.
    pub lines: u64,
    /// Whether nothing is new.
    pub all: bool,
}

/// What the files hold of others among them, by their places.
pub(super) fn find<'f>(files: impl Iterator<Item = (&'f LogFile, &'f Identity)>) -> Found {
    within(files, BUDGET)
}

fn within<'f>(files: impl Iterator<Item = (&'f LogFile, &'f Identity)>, budget: u64) -> Found {
    let (left, mut room) = (Cell::new(budget), ROOM);
    let mut pieces: Vec<Piece<'_>> = files
        .enumerate()
        .filter_map(|file| Piece::of(file, &left, &mut room))
        .collect();
    // Whoever begins first, or goes on for longer, is the one that the others are compared with.
    pieces.sort_by_key(|piece| {
        (
            piece.first.time,
            std::cmp::Reverse(piece.last.time),
            piece.at,
        )
    });
    let mut found = Found::default();
    // Those of which nothing is new.
    let mut inside: HashSet<usize> = HashSet::new();
    for (nth, piece) in pieces.iter().enumerate() {
        let mut known: Option<Again> = None;
        // A third file may hold what follows the part that a second one holds.
        let mut begin = piece.first.clone();
        let mut others: Vec<&Piece<'_>> = pieces
            .iter()
            .take(nth)
            .filter(|of| !inside.contains(&of.at))
            .collect();
        let mut stopped = false;
        loop {
            let again = others.iter().enumerate().find_map(|(other, of)| {
                charge(&left, CHECK_COST);
                if !piece.may_go_on_from(of, &begin) {
                    return None;
                }
                stopped |= left.get() == 0;
                let again = (!stopped).then(|| piece.held_by(of, &begin)).flatten()?;
                Some((other, again))
            });
            let Some((other, again)) = again else {
                break;
            };
            others.remove(other);
            let next = (!again.all).then(|| piece.mark_from(again.bytes)).flatten();
            known = Some(again);
            match next {
                Some(next) => begin = next,
                None => break,
            }
        }
        found.unsought += u64::from(stopped);
        if let Some(mut again) = known {
            if again.all {
                inside.insert(again.at);
            } else {
                again.lines = piece.lines_before(again.bytes).unwrap_or(0);
            }
            found.again.push(again);
        }
    }
    found.again.sort_by_key(|again| again.at);
    found
}

fn charge(left: &Cell<u64>, cost: u64) {
    left.set(left.get().saturating_sub(cost));
}

/// A line that can be found again.
#[derive(Clone, Debug)]
struct Mark {
    time: Timestamp,
    /// The line without what may be a wrapper's.
    text: Vec<u8>,
}

impl Mark {
    /// That of a line, where it is a record with a time.
    fn of(line: &[u8]) -> Option<Mark> {
        let mut decoder = Decoder::new(DecodeContext {
            reference: Some(NO_YEAR),
            ..DecodeContext::default()
        });
        let mut found = None;
        let mut take = |record: &Record<'_>| {
            if let (None, Some(time)) = (found, record.time) {
                found = Some((time, record.encoding, record.time_source));
            }
        };
        let mut whole = line.to_vec();
        whole.push(b'\n');
        decoder.block(&whole, 1, &mut take);
        decoder.finish(&mut take);
        let (time, encoding, source) = found?;
        let inner = match (source, encoding) {
            (TimeSource::Wrapper, _) => 0,
            (_, Encoding::ZapJson | Encoding::KlogJson | Encoding::Audit) => {
                memmem::find(line, b"{\"").unwrap_or(0)
            }
            (_, Encoding::Klog) => klog_head(line).unwrap_or(0),
            _ => 0,
        };
        let text = line.get(inner..).unwrap_or_default().trim_ascii_end();
        (text.len() >= LEAST).then(|| Mark {
            time,
            text: text.to_vec(),
        })
    }
}

/// Where `W1101 10:00:` begins.
fn klog_head(line: &[u8]) -> Option<usize> {
    let is_head = |window: &[u8]| match window {
        [level, date @ .., b' ', h, o, b':'] => {
            b"IWEF".contains(level) && date.iter().chain([h, o]).all(u8::is_ascii_digit)
        }
        _ => false,
    };
    line.windows(9).position(is_head)
}

/// A plain file with its first and last record. It is opened anew for each look: files may be more than
/// a process can have open.
struct Piece<'f> {
    at: usize,
    identity: &'f Identity,
    path: &'f Path,
    size: u64,
    /// All of it, where it is short.
    whole: Option<Vec<u8>>,
    first: Mark,
    last: Mark,
    /// What may still be looked through, of all files.
    left: &'f Cell<u64>,
}

impl<'f> Piece<'f> {
    fn of(
        (at, (file, identity)): (usize, (&'f LogFile, &'f Identity)),
        left: &'f Cell<u64>,
        room: &mut u64,
    ) -> Option<Self> {
        let Source::File { path, .. } = &file.source else {
            return None;
        };
        if file.size < SMALL
            || file.compression.is_some()
            || file.told.newest_first
            || file.told.sections
        {
            return None;
        }
        let head = piece(path, 0, LOOK).ok()?;
        let first = lines(&head).find_map(|(_, line)| Mark::of(line))?;
        let tail = file.size.saturating_sub(LOOK as u64);
        let bytes = piece(path, tail, LOOK).ok()?;
        let ends: Vec<_> = lines(bytes.get(from_line(tail, &bytes)?..)?).collect();
        let last = ends.iter().rev().find_map(|(_, line)| Mark::of(line))?;
        if first.time > last.time {
            return None;
        }
        let keep = file.size <= KEPT.min(*room);
        let whole = match keep {
            true => Some(piece(path, 0, usize::try_from(file.size).ok()?).ok()?),
            false => None,
        };
        *room -= whole.as_ref().map_or(0, |_| file.size);
        Some(Piece {
            at,
            identity,
            path,
            size: file.size,
            whole,
            first,
            last,
            left,
        })
    }

    /// At most so many of its bytes from a place on.
    fn bytes(&self, from: u64, length: u64) -> Option<Cow<'_, [u8]>> {
        let length = length.min(self.size.saturating_sub(from));
        charge(self.left, length.max(LOOK_COST));
        let length = usize::try_from(length).ok()?;
        match &self.whole {
            Some(whole) => {
                let rest = whole.get(usize::try_from(from).ok()?..)?;
                Some(Cow::Borrowed(rest.get(..length).unwrap_or(rest)))
            }
            None => piece(self.path, from, length).ok().map(Cow::Owned),
        }
    }

    /// Whether a record of this file may stand in another one.
    fn may_go_on_from(&self, of: &Piece<'_>, begin: &Mark) -> bool {
        let (mine, theirs) = (self.identity.component, of.identity.component);
        let unknown = [mine, theirs].contains(&Component::Unknown);
        (of.first.time..=of.last.time).contains(&begin.time)
            && (unknown || mine == theirs)
            && may_be_one(self.identity, of.identity)
    }

    /// What another file holds of this one, up to which its records are known from `begin` on.
    fn held_by(&self, of: &Piece<'_>, begin: &Mark) -> Option<Again> {
        if !of.has(begin) {
            return None;
        }
        let all = self.last.time <= of.last.time && of.has(&self.last);
        let bytes = match all {
            true => self.size,
            false => {
                let (mark, end) = self.last_until(of.last.time)?;
                of.has(&mark).then_some(end)?
            }
        };
        let from = self.place_of(begin)?;
        let step = bytes.saturating_sub(from) / (PLACES + 1);
        let mut places = (1..=PLACES).map(|place| from + place * step);
        // A file of picked lines lacks most of those that the whole one has.
        let held = step == 0
            || places.all(|place| {
                self.mark_from(place)
                    .is_none_or(|mark| mark.time > of.last.time || of.has(&mark))
            });
        held.then_some(Again {
            at: self.at,
            of: of.at,
            bytes,
            lines: 0,
            all,
        })
    }

    /// Whether the file holds that line.
    fn has(&self, mark: &Mark) -> bool {
        self.place_of(mark).is_some()
    }

    /// Where it stands.
    fn place_of(&self, mark: &Mark) -> Option<u64> {
        let (from, bytes) = self.near(|time| time < mark.time)?;
        let whole = from_line(from, &bytes)?;
        let at = memmem::find(bytes.get(whole..)?, &mark.text)?;
        Some(from + (whole + at) as u64)
    }

    /// The last record until a time, and where its line ends.
    fn last_until(&self, until: Timestamp) -> Option<(Mark, u64)> {
        let (from, bytes) = self.near(|time| time <= until)?;
        let whole = from_line(from, &bytes)?;
        let lines: Vec<_> = lines(bytes.get(whole..)?).collect();
        lines.iter().rev().find_map(|(end, line)| {
            let mark = Mark::of(line)?;
            (mark.time <= until).then_some((mark, from + (whole + *end) as u64))
        })
    }

    /// The bytes around the place where records stop to be `before`, and where they begin.
    fn near(&self, before: impl Fn(Timestamp) -> bool) -> Option<(u64, Cow<'_, [u8]>)> {
        let (mut low, mut high) = (0, self.size);
        while high - low > 2 * NEAR {
            let middle = low + (high - low) / 2;
            match self.mark_from(middle) {
                Some(mark) if before(mark.time) => low = middle,
                Some(_) => high = middle,
                None => return None,
            }
        }
        let from = low.saturating_sub(NEAR);
        Some((from, self.bytes(from, high + NEAR - from)?))
    }

    /// The first record of the lines that begin after a place.
    fn mark_from(&self, place: u64) -> Option<Mark> {
        let from = place.saturating_sub(1);
        let bytes = self.bytes(from, LOOK as u64)?;
        let begin = from_line(place, &bytes)?;
        lines(bytes.get(begin..)?).find_map(|(_, line)| Mark::of(line))
    }

    fn lines_before(&self, end: u64) -> Option<u64> {
        let mut count = 0;
        let mut from = 0;
        while from < end {
            let length = usize::try_from((end - from).min(1 << 20)).ok()?;
            let bytes = piece(self.path, from, length).ok()?;
            if bytes.is_empty() {
                break;
            }
            count += memchr_iter(b'\n', &bytes).count() as u64;
            from += bytes.len() as u64;
        }
        Some(count)
    }
}

/// Where the first whole line begins in the bytes from a place of a file on.
fn from_line(place: u64, bytes: &[u8]) -> Option<usize> {
    match place {
        0 => Some(0),
        _ => Some(memchr(b'\n', bytes)? + 1),
    }
}

/// The whole lines of these bytes, and where each ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let whole = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
    let mut end = 0;
    let lines = bytes.get(..whole).unwrap_or_default();
    lines
        .split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            end += line.len();
            (end, line.trim_ascii_end())
        })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use crate::logs::scan::{ScanOptions, scan};
    use crate::target::HostRoot;

    use super::super::{Plan, plan};

    /// Line `n` of a log: one in a second, of one of four resources.
    fn line(n: u32) -> String {
        let resource = ["pods", "events", "leases", "nodes"][n as usize % 4];
        format!(
            "{{\"level\":\"warn\",\"ts\":\"2026-11-01T{:02}:{:02}:{:02}.{:06}Z\",\"caller\":\"txn/util.go:93\",\"msg\":\"apply request took too long\",\"took\":\"{}ms\",\"expected-duration\":\"100ms\",\"prefix\":\"read-only range \",\"request\":\"key:\\\"/registry/{resource}/p{n}\\\" \",\"response\":\"range_response_count:1 size:615\"}}\n",
            n / 3600,
            n / 60 % 60,
            n % 60,
            n * 7919 % 1_000_000,
            100 + n % 900,
        )
    }

    fn lines(numbers: impl Iterator<Item = u32>) -> String {
        numbers.map(line).collect()
    }

    fn planned(dir: &Path) -> Plan {
        plan(&[dir.to_owned()], &HostRoot::new("/"), None)
    }

    /// How many lines are read of files with these texts, and how many files overlap.
    fn read(files: &[(&str, String)]) -> (u64, u64) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let plan = planned(dir.path());
        let count = |chunk| {
            let options = ScanOptions {
                chunk,
                ..ScanOptions::default()
            };
            let summary = scan(&plan, &options, &AtomicBool::new(false));
            let coverage = |stream: &crate::logs::summary::StreamSummary| {
                let coverage = &stream.segment.coverage;
                assert_eq!(coverage.parsed + coverage.unparsed, coverage.lines);
                coverage.lines
            };
            summary.streams.iter().map(coverage).sum::<u64>()
        };
        let lines = count(None);
        // Wherever the files are cut.
        for chunk in [20_000, 400_000] {
            assert_eq!(count(Some(chunk)), lines, "chunks of {chunk}");
        }
        (lines, plan.skipped.overlaps)
    }

    #[test]
    fn pieces_of_one_log_count_once() {
        // Long enough for a search.
        let (a, b) = (lines(0..4000), lines(1500..6000));
        assert_eq!(read(&[("a.log", a), ("b.log", b)]), (6000, 1));
    }

    #[test]
    fn a_part_of_a_log_adds_nothing() {
        let whole = lines(0..3000);
        let part = lines(1000..2000);
        assert_eq!(
            read(&[("a.log", part), ("b.log", whole.clone())]),
            (3000, 1)
        );
        let picked = lines((0..3000).filter(|n| n % 4 == 0));
        assert_eq!(read(&[("picked.log", picked), ("b.log", whole)]), (3000, 1));
    }

    #[test]
    fn three_pieces_follow_each_other() {
        let files = [
            ("a.log", lines(0..2000)),
            ("b.log", lines(1500..2500)),
            ("c.log", lines(1800..4000)),
        ];
        assert_eq!(read(&files), (4000, 2));
    }

    #[test]
    fn a_wrapper_makes_no_other_line() {
        let mut wrapped = String::new();
        for n in 1000..3000 {
            write!(wrapped, "Nov  1 00:00:00 cp1 etcd[912]: {}", line(n)).unwrap();
        }
        assert_eq!(
            read(&[("a.log", lines(0..2000)), ("messages", wrapped)]),
            (3000, 1)
        );
    }

    #[test]
    fn what_is_new_in_the_same_time_counts() {
        // The later one has lines between those of the first one: it is no piece of it.
        let picked = lines((0..3000).filter(|n| n % 4 == 0));
        let later = lines(1000..2800);
        assert_eq!(
            read(&[("picked.log", picked), ("b.log", later)]),
            (750 + 1800, 0)
        );
        // Two members in the same hour.
        let other = lines(1000..2000).replace("took\":\"", "took\":\"1");
        assert_eq!(
            read(&[("a.log", lines(0..3000)), ("b.log", other)]),
            (4000, 0)
        );
    }

    #[test]
    fn rotated_files_that_do_not_overlap_stay_whole() {
        let files = [
            ("etcd.log.1", lines(0..2000)),
            ("etcd.log", lines(2000..3000)),
        ];
        assert_eq!(read(&files), (3000, 0));
    }

    #[test]
    fn two_pods_are_two_writers() {
        let dir = tempfile::tempdir().unwrap();
        for (pod, text) in [("etcd-a", lines(0..900)), ("etcd-b", lines(100..900))] {
            let folder = dir.path().join(format!(
                "kube-system_{pod}_6b1f0a2c4d5e6f708192a3b4c5d6e7f8/etcd"
            ));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("0.log"), text).unwrap();
        }
        assert_eq!(planned(dir.path()).skipped.overlaps, 0);
    }

    #[test]
    fn many_files_in_one_time_are_not_compared_without_end() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..120_u32 {
            // Of one time, and no line in two of them.
            let other = lines((0..8).map(|at| at * 200 + n));
            std::fs::write(dir.path().join(format!("{n:03}.log")), other).unwrap();
        }
        // The last one is a part of the first.
        let part = lines((1..8).map(|at| at * 200));
        std::fs::write(dir.path().join("part.log"), part).unwrap();
        let seen = planned(dir.path());
        assert_eq!((seen.skipped.overlaps, seen.skipped.unsought), (1, 0));
        let found: Vec<_> = seen
            .streams
            .iter()
            .flat_map(|stream| &stream.files)
            .map(|file| (file, super::super::name::identify(Path::new(&file.name))))
            .collect();
        assert_eq!(found.len(), 120);
        let files = || found.iter().map(|(file, identity)| (*file, identity));
        // Each look is of 2 KiB, and all pairs are 7140 of them.
        let all = super::within(files(), 7_140 * 3 * 1024);
        assert_eq!(all.unsought, 0);
        let few = super::within(files(), 700 * 3 * 1024);
        assert!((70..119).contains(&few.unsought), "{few:?}");
    }
}
