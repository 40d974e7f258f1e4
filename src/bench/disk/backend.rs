//! Commits of etcd's database as bbolt makes them: pages one by one by rising page id,
//! `fdatasync`, the meta page, `fdatasync`.
//!
//! Sources: bbolt `tx.go` (`write`, `writeMeta`), `db.go` (`grow`), etcd
//! `mvcc/backend/backend.go`; page counts were checked with strace on 3.4, 3.5 and 3.6. A commit
//! locks the store: puts and new reads wait for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::formats::bench::disk::Growth;

use super::arrivals::Random;
use super::storage::{Disk, DiskFile, Time};
use super::wal::payload;

/// bbolt's page is the kernel's.
const PAGE: u64 = 4096;
/// The revision-ordered key bucket is filled to 90 %.
const FILLED: u64 = PAGE * 9 / 10;
/// Per key: leaf element header and revision.
const PER_KEY: u64 = 24;
/// Two meta pages, freelist, and what the first buckets take.
const FIRST_FREE: u64 = 6 * PAGE;
/// Root, meta bucket, branch path: written again by every commit.
const REUSED: u64 = 4;
/// `DefaultAllocSize`: how far bbolt from 1.3.7 on makes the file longer at once.
const GROW: u64 = 16 << 20;
/// Values from this size on get pages of their own.
const OVERFLOW: u64 = PAGE - PER_KEY;

/// What was applied and waits for a commit.
#[derive(Debug, Default)]
pub struct Pending {
    small_bytes: AtomicU64,
    large: AtomicU64,
    large_bytes: AtomicU64,
    entries: AtomicU64,
}

impl Pending {
    /// Entries were applied.
    pub fn add(&self, entries: &[u32]) {
        for bytes in entries.iter().map(|bytes| u64::from(*bytes)) {
            if bytes < OVERFLOW {
                self.small_bytes
                    .fetch_add(bytes + PER_KEY, Ordering::Relaxed);
            } else {
                self.large.fetch_add(1, Ordering::Relaxed);
                self.large_bytes
                    .fetch_add(bytes + PER_KEY, Ordering::Relaxed);
            }
        }
        self.entries
            .fetch_add(entries.len() as u64, Ordering::Relaxed);
    }

    fn take(&self) -> Batch {
        Batch {
            entries: self.entries.swap(0, Ordering::Relaxed),
            small_bytes: self.small_bytes.swap(0, Ordering::Relaxed),
            large: self.large.swap(0, Ordering::Relaxed),
            large_bytes: self.large_bytes.swap(0, Ordering::Relaxed),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.load(Ordering::Relaxed) == 0
    }
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    entries: u64,
    small_bytes: u64,
    large: u64,
    large_bytes: u64,
}

/// What one commit took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// When it began.
    pub began: u64,
    /// All of it.
    pub total_ns: u64,
    /// The sync of the pages.
    pub data_sync_ns: u64,
    /// The sync of the meta page.
    pub meta_sync_ns: u64,
    /// The fsync after making the file longer.
    pub grow_ns: Option<u64>,
    /// Pages written.
    pub pages: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// The database.
pub struct Backend {
    disk: Arc<dyn Disk>,
    time: Arc<dyn Time>,
    growth: Growth,
    /// Rewrites pages below the first free one only.
    steady: bool,
    file: Box<dyn DiskFile>,
    next_page: u64,
    file_len: u64,
    meta: u64,
    buffer: &'static [u8],
    random: Random,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend")
            .field("next_page", &self.next_page)
            .field("file_len", &self.file_len)
            .finish_non_exhaustive()
    }
}

impl Backend {
    const NAME: &str = "db";

    /// Makes a database of `prefill` bytes.
    pub fn create(
        disk: Arc<dyn Disk>,
        time: Arc<dyn Time>,
        growth: Growth,
        prefill: u64,
        steady: bool,
    ) -> io::Result<Self> {
        let mut file = disk.create(Self::NAME)?;
        let buffer = payload();
        let mut at = 0;
        let end = prefill.next_multiple_of(PAGE).max(FIRST_FREE);
        while at < end {
            let part = (end - at).min(buffer.len() as u64);
            file.write_at(
                buffer
                    .get(..usize::try_from(part).unwrap_or(0))
                    .unwrap_or(&[]),
                at,
            )?;
            at += part;
        }
        file.sync_data()?;
        Ok(Backend {
            disk,
            time,
            growth,
            // With fewer pages there is nothing to reuse.
            steady: steady && end >= 256 * PAGE,
            file,
            next_page: end,
            file_len: end,
            meta: 0,
            buffer,
            random: Random::new(0xDB),
        })
    }

    /// Commits what waits; `None` when nothing does.
    pub fn commit(&mut self, pending: &Pending) -> io::Result<Option<Committed>> {
        let batch = pending.take();
        if batch.entries == 0 {
            return Ok(None);
        }
        let began = self.time.now();
        let leaves = batch.small_bytes.div_ceil(FILLED);
        // Two large values share one run of pages, as strace saw.
        let runs = batch.large.div_ceil(2);
        let run_pages = batch
            .large_bytes
            .checked_div(runs)
            .map_or(0, |bytes| bytes.div_ceil(PAGE) + 1);
        let new_bytes = (leaves + runs * run_pages) * PAGE;
        let mut committed = Committed {
            began,
            entries: batch.entries,
            ..Committed::default()
        };
        if !self.steady {
            committed.grow_ns = self.grow(new_bytes)?;
        }
        for page in 2..2 + REUSED {
            self.page(page * PAGE, 1, &mut committed)?;
        }
        if self.steady {
            self.rewrite(leaves, runs, run_pages, &mut committed)?;
        } else {
            for _ in 0..leaves {
                self.page(self.next_page, 1, &mut committed)?;
                self.next_page += PAGE;
            }
            for _ in 0..runs {
                self.page(self.next_page, run_pages, &mut committed)?;
                self.next_page += run_pages * PAGE;
            }
        }
        let synced = self.time.now();
        self.file.sync_data()?;
        committed.data_sync_ns = self.time.now().saturating_sub(synced);
        self.page(self.meta, 1, &mut committed)?;
        self.meta ^= PAGE;
        let synced = self.time.now();
        self.file.sync_data()?;
        let ended = self.time.now();
        committed.meta_sync_ns = ended.saturating_sub(synced);
        committed.total_ns = ended.saturating_sub(began);
        Ok(Some(committed))
    }

    /// `DB.grow`: inside the commit, and durable before the pages.
    fn grow(&mut self, new_bytes: u64) -> io::Result<Option<u64>> {
        let need = self.next_page + new_bytes;
        if self.growth == Growth::Bbolt136 || need <= self.file_len {
            return Ok(None);
        }
        let began = self.time.now();
        self.file_len = need + GROW;
        self.file.set_len(self.file_len)?;
        self.file.sync_all()?;
        Ok(Some(self.time.now().saturating_sub(began)))
    }

    /// Pages that a compaction freed: scattered, by rising id.
    fn rewrite(
        &mut self,
        leaves: u64,
        runs: u64,
        run_pages: u64,
        committed: &mut Committed,
    ) -> io::Result<()> {
        let first = 2 + REUSED;
        let span = (self.next_page / PAGE).saturating_sub(first).max(1);
        let parts = leaves + runs;
        let step = (span / parts.max(1)).max(1);
        let mut at = self.random.number() % step;
        for part in 0..parts {
            let pages = if part < leaves { 1 } else { run_pages };
            let page = first + at.min(span.saturating_sub(pages));
            self.page(page * PAGE, pages, committed)?;
            at += step.max(pages);
        }
        Ok(())
    }

    fn page(&mut self, offset: u64, pages: u64, committed: &mut Committed) -> io::Result<()> {
        let mut left = pages * PAGE;
        let mut at = offset;
        let most = (self.buffer.len() - 4096) as u64;
        while left > 0 {
            let part = left.min(most);
            let from = usize::try_from(self.random.number() % 512).unwrap_or(0) * 8;
            let to = from + usize::try_from(part).unwrap_or(0);
            self.file
                .write_at(self.buffer.get(from..to).unwrap_or(&[]), at)?;
            at += part;
            left -= part;
        }
        committed.pages += pages;
        committed.bytes += pages * PAGE;
        Ok(())
    }

    /// Ends it and removes the file.
    pub fn remove(self) -> io::Result<()> {
        let Backend { disk, file, .. } = self;
        drop(file);
        disk.remove(Self::NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::disk::simulated::{Call, Costs, SimulatedDisk, SimulatedTime};

    fn backend(growth: Growth, prefill: u64, steady: bool) -> (Backend, SimulatedDisk) {
        let time = Arc::new(SimulatedTime::default());
        let disk = SimulatedDisk::new(Arc::clone(&time), Costs::default());
        let made = Backend::create(Arc::new(disk.clone()), time, growth, prefill, steady).unwrap();
        (made, disk)
    }

    fn after(disk: &SimulatedDisk, before: usize) -> Vec<Call> {
        disk.calls()[before..].to_vec()
    }

    fn offsets(calls: &[Call]) -> Vec<u64> {
        calls
            .iter()
            .filter_map(|call| match call {
                Call::Write { offset, .. } => Some(*offset),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn pages_by_rising_id_sync_meta_sync_and_the_meta_page_alternates() {
        let (mut db, disk) = backend(Growth::Bbolt136, 0, false);
        let pending = Pending::default();
        for meta in [0, 4096, 0] {
            // 17 puts of 336 bytes: two new leaves, as strace saw at 132 puts/s.
            pending.add(&[336; 17]);
            let before = disk.calls().len();
            let committed = db.commit(&pending).unwrap().unwrap();
            let calls = after(&disk, before);
            let offsets = offsets(&calls);
            let (last, pages) = offsets.split_last().unwrap();
            assert!(pages.is_sorted());
            assert_eq!(pages.len(), 6);
            assert_eq!(*last, meta);
            let syncs: Vec<usize> = calls
                .iter()
                .enumerate()
                .filter_map(|(i, call)| matches!(call, Call::SyncData(_)).then_some(i))
                .collect();
            assert_eq!(syncs, [6, 8]);
            assert_eq!(committed.pages, 7);
            assert_eq!(committed.total_ns, 7 * 2_000 + 2_000_000);
            assert_eq!(committed.grow_ns, None);
        }
        assert_eq!(db.commit(&pending).unwrap(), None, "nothing waits");
    }

    #[test]
    fn newer_bbolt_makes_the_file_longer_and_fsyncs_once_in_16_mib() {
        let (mut db, disk) = backend(Growth::Bbolt137, 0, false);
        let pending = Pending::default();
        let mut grown = 0;
        for _ in 0..40 {
            pending.add(&[336; 3000]);
            grown += u32::from(db.commit(&pending).unwrap().unwrap().grow_ns.is_some());
        }
        // 40 commits of 293 pages are 48 MB.
        assert_eq!(grown, 3);
        let fsyncs = disk
            .calls()
            .iter()
            .filter(|call| matches!(call, Call::SyncAll(_)))
            .count();
        assert_eq!(fsyncs, 3);
    }

    #[test]
    fn two_large_values_share_a_run() {
        let (mut db, disk) = backend(Growth::Bbolt136, 0, false);
        let pending = Pending::default();
        pending.add(&[100_080; 14]);
        let before = disk.calls().len();
        db.commit(&pending).unwrap();
        let runs: Vec<usize> = after(&disk, before)
            .iter()
            .filter_map(|call| match call {
                Call::Write { len, .. } if *len > 4096 => Some(*len),
                _ => None,
            })
            .collect();
        assert_eq!(runs, [204_800; 7]);
    }

    #[test]
    fn a_steady_database_does_not_grow() {
        let (mut db, disk) = backend(Growth::Bbolt137, 8 << 20, true);
        let pending = Pending::default();
        for _ in 0..50 {
            pending.add(&[336; 200]);
            pending.add(&[100_080; 2]);
            let before = disk.calls().len();
            db.commit(&pending).unwrap().unwrap();
            let calls = after(&disk, before);
            let offsets = offsets(&calls);
            assert!(offsets[..offsets.len() - 1].is_sorted());
            for call in &calls {
                if let Call::Write { offset, len, .. } = call {
                    assert!(offset + *len as u64 <= 8 << 20, "{call:?}");
                }
            }
        }
        db.remove().unwrap();
        assert!(disk.files().is_empty());
    }
}
