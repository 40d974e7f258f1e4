//! The pace of a guest: short pieces of work with long rests between them.
//!
//! Priorities do not help across control groups: a nice value weighs a task against those of its
//! own group, and etcd's pod and somebody's session are different groups with rights of their own.
//! The I/O class is looked at by few schedulers, and by none of a disk that is elsewhere. What is
//! left is to ask for little at once, and seldom.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};

/// Bytes that a guest reads at once. Parsing them takes about 0.1 ms. Measured with etcd at 1000
/// puts a second: reads of the kernel's read-ahead (128 KiB and more) treble the p99 of puts on a
/// disk of limited bandwidth, these do not show.
pub(super) const PIECE: usize = 64 << 10;
/// Rest for each unit of work: one sixteenth of the time is worked. At a tenth, the p99 of puts
/// still rose.
const REST: u32 = 15;
/// Rest where the reading would not be done in time otherwise.
const REST_LATE: u32 = 3;
/// Longest rest: on a node without free processors each piece takes long, and waiting for those is
/// rest enough.
const LONGEST: Duration = Duration::from_millis(30);
/// How far the disk is asked ahead of the reader when etcd is at rest.
const AHEAD: u64 = 1 << 20;
/// How often the page cache is given back.
const GIVE_BACK: u64 = 1 << 20;

/// Who works beside us, and how much is to be done by when.
#[derive(Debug)]
pub struct Pace {
    /// Nobody is disturbed: no rests.
    free: AtomicBool,
    /// Bytes to read, 0 where that is not known, and read.
    total: AtomicU64,
    done: AtomicU64,
    /// When these were counted from, and by when they should be read, in ms.
    begun: std::sync::OnceLock<Instant>,
    within_ms: AtomicU64,
}

impl Pace {
    /// A pace with rests, until it is [set free](Pace::set_free).
    pub const fn new() -> Self {
        Pace {
            free: AtomicBool::new(false),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            begun: std::sync::OnceLock::new(),
            within_ms: AtomicU64::new(0),
        }
    }

    /// Whether there is nobody to be disturbed just now.
    pub fn set_free(&self, free: bool) {
        self.free.store(free, Ordering::Relaxed);
    }

    /// Says how much is to be read by when; what would come too late is read with shorter rests.
    pub fn plan(&self, bytes: u64, within: Duration) {
        self.begun.get_or_init(Instant::now);
        let ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.within_ms.store(ms, Ordering::Relaxed);
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_free(&self) -> bool {
        self.free.load(Ordering::Relaxed)
    }

    /// How long to rest after so much work.
    fn rest(&self, worked: Duration) -> Duration {
        if self.is_free() {
            return Duration::ZERO;
        }
        let times = if self.is_late() { REST_LATE } else { REST };
        (worked * times).min(LONGEST)
    }

    fn is_late(&self) -> bool {
        let (total, Some(begun)) = (self.total.load(Ordering::Relaxed), self.begun.get()) else {
            return false;
        };
        let within = self.within_ms.load(Ordering::Relaxed) as f64 / 1e3;
        let done = self.done.load(Ordering::Relaxed) as f64;
        total > 0 && begun.elapsed().as_secs_f64() / within > done / total as f64
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace::new()
    }
}

/// One thread's work since its last rest.
#[derive(Debug)]
pub(super) struct Breath {
    pace: &'static Pace,
    /// The thread's processor time at the end of the last rest; a reader may change its thread.
    since: Option<(std::thread::ThreadId, Duration)>,
}

impl Breath {
    pub(super) fn new(pace: &'static Pace) -> Self {
        Breath { pace, since: None }
    }

    /// Rests, after so many bytes of what is planned, from what this thread worked since the last
    /// rest, or from what disks and other processes did for it.
    pub(super) fn take(&mut self, bytes: u64, others: Duration) {
        self.pace.done.fetch_add(bytes, Ordering::Relaxed);
        if self.pace.is_free() {
            self.since = None;
            return;
        }
        let (thread, now) = (std::thread::current().id(), cpu_time());
        let own = match self.since {
            Some((of, since)) if of == thread => now.saturating_sub(since),
            _ => Duration::ZERO,
        };
        let rest = self.pace.rest(own.max(others));
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        self.since = Some((thread, now));
    }
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// A file that is read as a guest: in small pieces, and without leaving in the page
/// cache, or taking out of it, what was not there before.
#[derive(Debug)]
pub(super) struct GuestFile {
    file: File,
    pace: &'static Pace,
    /// What we brought into the page cache and did not give back yet.
    ours: Option<(u64, u64)>,
    /// Up to where the disk was asked ahead of the reader.
    asked: u64,
}

impl GuestFile {
    /// `fresh` is what was brought into the page cache for us already.
    pub(super) fn new(file: File, fresh: Option<(u64, u64)>, pace: &'static Pace) -> Self {
        GuestFile {
            file,
            pace,
            ours: fresh,
            asked: 0,
        }
    }

    /// Without the kernel's own read-ahead, which asks the disk for much at once.
    pub(super) fn no_read_ahead(file: &File) {
        // Only a hint, as are the others here.
        fadvise(file, 0, None, Advice::Random).ok();
    }

    /// Reads what is there at an offset, up to the buffer's length or a piece. Rests are up to the
    /// caller.
    pub(super) fn read_at(&mut self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = buf.len().min(PIECE);
        let buf = buf.get_mut(..len).unwrap_or_default();
        if self.pace.is_free() {
            self.ask_ahead(offset);
        }
        let cached = read_cached(&self.file, buf, offset) == Some(buf.len());
        let len = match cached {
            true => buf.len(),
            false => super::read_at(&self.file, buf, offset)?,
        };
        let end = offset + len as u64;
        match &mut self.ours {
            // The disk was asked for all of it.
            Some((_, to)) if *to >= end => {}
            Some((_, to)) if !cached && *to >= offset => *to = end,
            _ if !cached => {
                self.give_back(offset);
                self.ours = Some((offset, end));
            }
            _ => {}
        }
        if self
            .ours
            .is_some_and(|(from, _)| end.saturating_sub(from) >= GIVE_BACK)
        {
            self.give_back(end);
        }
        Ok(len)
    }

    /// Asks the disk for what comes next while what came is parsed.
    fn ask_ahead(&mut self, offset: u64) {
        self.asked = self.asked.max(offset);
        while self.asked < offset + AHEAD {
            let from = self.asked;
            self.asked += AHEAD;
            let mut probe = [0; 1];
            if read_cached(&self.file, &mut probe, from).is_some() {
                continue;
            }
            fadvise(
                &self.file,
                from,
                std::num::NonZeroU64::new(AHEAD),
                Advice::WillNeed,
            )
            .ok();
            match &mut self.ours {
                Some((_, to)) if *to >= from => *to = self.asked,
                _ => {
                    self.give_back(offset);
                    self.ours = Some((from, self.asked));
                }
            }
        }
    }

    /// Gives back what is ours up to an offset.
    fn give_back(&mut self, up_to: u64) {
        let Some((from, to)) = self.ours else {
            return;
        };
        let end = up_to.min(to);
        if let Some(len) = std::num::NonZeroU64::new(end.saturating_sub(from)) {
            fadvise(&self.file, from, Some(len), Advice::DontNeed).ok();
        }
        self.ours = (to > end).then_some((end.max(from), to));
    }
}

impl Drop for GuestFile {
    fn drop(&mut self) {
        self.give_back(u64::MAX);
    }
}

/// Whether the page at an offset is in the page cache; where the kernel does not tell, it is.
pub(super) fn is_cached(file: &File, offset: u64) -> bool {
    read_cached(file, &mut [0; 1], offset).is_some()
}

/// Reads only what is in the page cache; `None` where a disk was asked.
///
/// Since Linux 5.9 reading without waiting has the disk asked, and with a disk that is busy the
/// asking takes so long that the answer comes as if it had been there. Who asks is counted, though.
fn read_cached(file: &File, buf: &mut [u8], offset: u64) -> Option<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let before = crate::sys::own_reads();
    let read = loop {
        let mut parts = [IoSliceMut::new(buf)];
        match preadv2(file, &mut parts, offset, ReadWriteFlags::NOWAIT) {
            Ok(len) => break Some(len),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => break None,
            // Old kernels and some file systems know no such reading.
            Err(_) => break file.read_at(buf, offset).ok(),
        }
    };
    let (blocks, pages) = crate::sys::own_reads();
    // A page of the program that came in meanwhile is among the blocks.
    read.filter(|_| blocks == before.0 || pages != before.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_are_long_unless_nobody_works_or_time_runs_out() {
        let pace = Pace::new();
        let ms = Duration::from_millis;
        assert_eq!(pace.rest(ms(1)), ms(15));
        assert_eq!(pace.rest(ms(400)), LONGEST);
        pace.plan(1000, ms(0));
        assert_eq!(pace.rest(ms(1)), ms(3));
        pace.plan(1000, Duration::from_secs(3600));
        pace.done.store(900, Ordering::Relaxed);
        assert_eq!(pace.rest(ms(1)), ms(15));
        pace.set_free(true);
        assert_eq!(pace.rest(ms(1)), ms(0));
    }

    /// Whatever is cached and whether or not it is hurried, the bytes are those of the file.
    #[test]
    fn a_guest_reads_what_is_there() {
        static PACE: Pace = Pace::new();
        const KEPT: u64 = 1 << 20;
        const DROPPED: u64 = 2 << 20;
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_300_001_u32).map(|n| (n % 251) as u8).collect();
        // A file for each look: a look may have the kernel read the page that it looks at.
        let partly_cached = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            let file = crate::logs::input::open(&path).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, KEPT, None, Advice::DontNeed).ok();
            file
        };
        let stays = is_cached(&partly_cached("whether the file system lets go"), DROPPED);
        for (name, free) in [("hurried", true), ("at rest", false)] {
            PACE.set_free(free);
            let file = partly_cached(name);
            GuestFile::no_read_ahead(&file);
            let mut guest = GuestFile::new(file, None, &PACE);
            let mut read = Vec::new();
            let mut buf = vec![0; 100_000];
            loop {
                let len = guest.read_at(&mut buf, read.len() as u64).unwrap();
                if len == 0 {
                    break;
                }
                assert!(len <= PIECE);
                read.extend_from_slice(&buf[..len]);
            }
            assert!(read == bytes);
            drop(guest);
            let file = crate::logs::input::open(&dir.path().join(name)).unwrap();
            let cached = [0, DROPPED].map(|at| is_cached(&file, at));
            assert_eq!(cached, [true, stays], "the page cache is as it was");
        }
    }
}
