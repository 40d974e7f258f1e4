//! The write-ahead log as etcd writes it: preallocated segments, unaligned appends through a
//! 128 KiB buffer, one `fdatasync` a batch, a cut at 64 MB.
//!
//! Sources: etcd `server/storage/wal/{wal,encoder,file_pipeline}.go`, `pkg/ioutil/pagewriter.go`;
//! the order of calls was checked with strace on 3.4, 3.5 and 3.6. Segments are never recycled:
//! every block is written once into an unwritten extent, which costs a journal commit, so a bench
//! that overwrites its file measures something else.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};

use crate::formats::crc32c;

use super::storage::{Allocation, Disk, DiskFile, Time};

/// `walPageBytes`: 8 sectors of 512 bytes.
const PAGE: usize = 4096;
/// `defaultBufferBytes` of the page writer.
const BUFFER: usize = 128 * 1024;
/// etcd keeps five segments (`--max-wals`).
const KEEP: usize = 5;
/// Random bytes that records are cut from: disks that compress must not gain.
const PAYLOAD: usize = 1 << 20;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// Length of a segment.
    pub segment_bytes: u64,
    /// Whether records carry a checksum.
    pub crc: bool,
    /// Bytes that each batch adds to its entries.
    pub per_sync_bytes: u32,
}

/// What one batch took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Bytes.
    pub bytes: u64,
    /// All `write` calls together.
    pub write_ns: u64,
    /// `fdatasync` alone.
    pub sync_ns: u64,
    /// When the sync began and ended.
    pub sync_began: u64,
    /// When the batch was durable.
    pub durable_at: u64,
    /// The cut that followed, all of it.
    pub cut_ns: Option<u64>,
}

/// Something to do right before and after the timed sync, such as reading counters.
pub trait AroundSync {
    /// Before.
    fn before(&mut self) {}
    /// After.
    fn after(&mut self) {}
}

impl AroundSync for () {}

/// The log.
pub struct Wal {
    disk: Arc<dyn Disk>,
    time: Arc<dyn Time>,
    options: WalOptions,
    pipeline: Pipeline,
    file: Box<dyn DiskFile>,
    name: String,
    sequence: u64,
    /// Bytes in the segment, those in the buffer included.
    offset: u64,
    crc: u32,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte within its page.
    page_offset: usize,
    payload: &'static [u8],
    payload_at: usize,
    segments: Vec<String>,
    allocation: Allocation,
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("segment", &self.name)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Begins a log in an empty directory.
    pub fn create(
        disk: Arc<dyn Disk>,
        time: Arc<dyn Time>,
        options: WalOptions,
    ) -> io::Result<Self> {
        let pipeline = Pipeline::start(Arc::clone(&disk), options.segment_bytes)?;
        let ready = pipeline.next()?;
        let mut wal = Wal {
            disk,
            time,
            options,
            pipeline,
            file: ready.file,
            name: ready.name,
            sequence: 0,
            offset: 0,
            crc: 0,
            buffer: Vec::with_capacity(BUFFER + PAGE),
            page_offset: 0,
            payload: payload(),
            payload_at: 0,
            segments: Vec::new(),
            allocation: ready.allocation,
        };
        wal.begin_segment()?;
        Ok(wal)
    }

    /// Whether blocks could be reserved.
    pub fn allocation(&self) -> Allocation {
        self.allocation
    }

    /// Writes a batch of entries and makes it durable.
    pub fn save(&mut self, entries: &[u32], around: &mut dyn AroundSync) -> io::Result<Saved> {
        let mut saved = Saved::default();
        for bytes in entries {
            self.record(*bytes as usize, &mut saved)?;
        }
        if self.options.per_sync_bytes > 0 {
            self.record(self.options.per_sync_bytes as usize, &mut saved)?;
        }
        self.flush(&mut saved)?;
        around.before();
        saved.sync_began = self.time.now();
        self.file.sync_data()?;
        saved.durable_at = self.time.now();
        around.after();
        saved.sync_ns = saved.durable_at.saturating_sub(saved.sync_began);
        if self.offset >= self.options.segment_bytes {
            self.cut()?;
            saved.cut_ns = Some(self.time.now().saturating_sub(saved.durable_at));
        }
        Ok(saved)
    }

    /// One record: its length, its checksum, its bytes, padded to eight.
    fn record(&mut self, bytes: usize, saved: &mut Saved) -> io::Result<()> {
        const HEAD: usize = 16;
        let bytes = bytes.next_multiple_of(8).max(HEAD);
        let body = bytes - HEAD;
        if self.payload_at + body > self.payload.len() {
            self.payload_at = 0;
        }
        let mut from = self.payload_at;
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&(body as u64).to_le_bytes());
        if self.options.crc {
            let mut left = body;
            let mut at = from;
            while left > 0 {
                let part = left.min(self.payload.len() - at);
                self.crc = crc32c::update(self.crc, &self.payload[at..at + part]);
                left -= part;
                at = 0;
            }
            head[8..12].copy_from_slice(&self.crc.to_le_bytes());
        }
        self.put(Source::Head(&head), saved)?;
        let mut left = body;
        while left > 0 {
            let part = left.min(self.payload.len() - from);
            self.put(Source::Payload(from, part), saved)?;
            left -= part;
            from = 0;
        }
        // Another place each time, and never the same alignment.
        self.payload_at = (self.payload_at + body + 13) % (self.payload.len() / 2);
        self.offset += bytes as u64;
        saved.bytes += bytes as u64;
        Ok(())
    }

    /// The page writer: what overflows the buffer first fills the page under way, goes out, then
    /// whole pages directly, and the rest stays.
    fn put(&mut self, source: Source<'_>, saved: &mut Saved) -> io::Result<()> {
        let len = source.len();
        if self.buffer.len() + len <= BUFFER {
            self.buffer
                .extend_from_slice(source.bytes(self.payload, 0, len));
            return Ok(());
        }
        let mut at = 0;
        let slack = PAGE - (self.page_offset + self.buffer.len()) % PAGE;
        if slack != PAGE {
            at = slack.min(len);
            self.buffer
                .extend_from_slice(source.bytes(self.payload, 0, at));
            if slack > len {
                return Ok(());
            }
        }
        self.flush(saved)?;
        let whole = (len - at) / PAGE * PAGE;
        if len - at > PAGE {
            let began = self.time.now();
            self.file.write(source.bytes(self.payload, at, whole))?;
            saved.write_ns += self.time.now().saturating_sub(began);
            at += whole;
        }
        self.buffer
            .extend_from_slice(source.bytes(self.payload, at, len - at));
        Ok(())
    }

    /// Writes exactly what is buffered.
    fn flush(&mut self, saved: &mut Saved) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let began = self.time.now();
        self.file.write(&self.buffer)?;
        saved.write_ns += self.time.now().saturating_sub(began);
        self.page_offset = (self.page_offset + self.buffer.len()) % PAGE;
        self.buffer.clear();
        Ok(())
    }

    /// `WAL.cut`: the segment gets its real length, the next one its header and its name.
    fn cut(&mut self) -> io::Result<()> {
        let mut saved = Saved::default();
        self.file.set_len(self.offset)?;
        self.flush(&mut saved)?;
        self.file.sync_data()?;
        let ready = self.pipeline.next()?;
        self.file = ready.file;
        self.name = ready.name;
        self.allocation = ready.allocation;
        self.sequence += 1;
        self.offset = 0;
        self.page_offset = 0;
        self.begin_segment()?;
        if self.segments.len() > KEEP {
            self.pipeline.purge(self.segments.remove(0));
        }
        Ok(())
    }

    /// Checksum, metadata and state records, then the final name.
    fn begin_segment(&mut self) -> io::Result<()> {
        let mut saved = Saved::default();
        for bytes in [16, 40, 40] {
            self.record(bytes, &mut saved)?;
        }
        self.flush(&mut saved)?;
        self.file.sync_data()?;
        let name = format!("{:016x}.wal", self.sequence);
        self.disk.rename(&self.name, &name)?;
        self.disk.sync_dir()?;
        self.name.clone_from(&name);
        self.segments.push(name);
        Ok(())
    }

    /// Ends the log and removes its files.
    pub fn remove(self) -> io::Result<()> {
        let Wal {
            disk,
            pipeline,
            file,
            segments,
            ..
        } = self;
        drop(file);
        pipeline.stop();
        for name in segments {
            disk.remove(&name)?;
        }
        Ok(())
    }
}

enum Source<'a> {
    Head(&'a [u8]),
    Payload(usize, usize),
}

impl Source<'_> {
    fn len(&self) -> usize {
        match self {
            Source::Head(bytes) => bytes.len(),
            Source::Payload(_, len) => *len,
        }
    }

    fn bytes<'a>(&'a self, payload: &'a [u8], at: usize, len: usize) -> &'a [u8] {
        match self {
            Source::Head(bytes) => &bytes[at..at + len],
            Source::Payload(from, _) => &payload[from + at..from + at + len],
        }
    }
}

/// Random bytes, made once.
pub(super) fn payload() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut random = super::arrivals::Random::new(0x5EED);
        let mut bytes = Vec::with_capacity(PAYLOAD);
        while bytes.len() < PAYLOAD {
            bytes.extend_from_slice(&random.number().to_le_bytes());
        }
        bytes
    })
}

/// A segment that is ready.
struct Ready {
    file: Box<dyn DiskFile>,
    name: String,
    allocation: Allocation,
}

/// Keeps the next segment ready in a thread of its own, as etcd's file pipeline does.
struct Pipeline {
    ready: Option<Receiver<io::Result<Ready>>>,
    purge: Sender<String>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Pipeline {
    fn start(disk: Arc<dyn Disk>, segment_bytes: u64) -> io::Result<Self> {
        // No room: the thread waits with the next segment in its hand until it is taken.
        let (send, ready) = sync_channel(0);
        let (purge, unwanted) = channel();
        let thread = std::thread::Builder::new()
            .name("wal pipeline".to_owned())
            .spawn(move || Self::work(&*disk, segment_bytes, &send, &unwanted))?;
        Ok(Pipeline {
            ready: Some(ready),
            purge,
            thread: Some(thread),
        })
    }

    fn work(
        disk: &dyn Disk,
        segment_bytes: u64,
        send: &SyncSender<io::Result<Ready>>,
        unwanted: &Receiver<String>,
    ) {
        for count in 0u64.. {
            let name = format!("{}.tmp", count % 2);
            let made = disk.create(&name).and_then(|mut file| {
                let allocation = file.allocate(segment_bytes)?;
                Ok(Ready {
                    file,
                    name: name.clone(),
                    allocation,
                })
            });
            let failed = made.is_err();
            let taken = send.send(made).is_ok();
            for name in unwanted.try_iter() {
                disk.remove(&name).ok();
            }
            if failed || !taken {
                disk.remove(&name).ok();
                return;
            }
        }
    }

    fn next(&self) -> io::Result<Ready> {
        let closed = || io::Error::other("the thread that reserves segments ended");
        self.ready
            .as_ref()
            .and_then(|ready| ready.recv().ok())
            .ok_or_else(closed)?
    }

    fn purge(&self, name: String) {
        // A thread that ended leaves the file to the directory's removal.
        self.purge.send(name).ok();
    }

    fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The thread sees that nobody takes its segment, and removes it.
        self.ready = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::disk::simulated::{Call, Costs, SimulatedDisk, SimulatedTime};

    const OPTIONS: WalOptions = WalOptions {
        segment_bytes: 1_000_000,
        crc: true,
        per_sync_bytes: 40,
    };

    fn wal(options: WalOptions, costs: Costs) -> (Wal, SimulatedDisk) {
        let time = Arc::new(SimulatedTime::default());
        let disk = SimulatedDisk::new(Arc::clone(&time), costs);
        let wal = Wal::create(Arc::new(disk.clone()), time, options).unwrap();
        (wal, disk)
    }

    fn writes(calls: &[Call]) -> Vec<(u64, usize)> {
        calls
            .iter()
            .filter_map(|call| match call {
                Call::Write { offset, len, .. } => Some((*offset, *len)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_small_put_is_one_unaligned_write_of_376_bytes_and_one_sync() {
        let (mut wal, disk) = wal(OPTIONS, Costs::default());
        let before = disk.calls().len();
        let one = wal.save(&[336], &mut ()).unwrap();
        let two = wal.save(&[336], &mut ()).unwrap();
        let calls = disk.calls()[before..].to_vec();
        assert_eq!(writes(&calls), [(96, 376), (472, 376)]);
        assert_eq!(calls.len(), 4);
        assert!(matches!(calls[1], Call::SyncData(_)));
        assert_eq!(
            (one.bytes, one.write_ns, one.sync_ns),
            (376, 2_000, 1_000_000)
        );
        assert_eq!(two.durable_at - one.durable_at, 1_002_000);
    }

    #[test]
    fn a_large_batch_goes_out_in_whole_pages_and_an_unaligned_tail() {
        let (mut wal, disk) = wal(OPTIONS, Costs::default());
        let before = disk.calls().len();
        wal.save(&[100_080, 100_080], &mut ()).unwrap();
        let pieces = writes(&disk.calls()[before..]);
        assert_eq!(pieces.iter().map(|(_, len)| len).sum::<usize>(), 200_200);
        let (last, aligned) = pieces.split_last().unwrap();
        for (offset, len) in aligned {
            assert_eq!((offset + *len as u64) % 4096, 0, "{pieces:?}");
        }
        assert_ne!((last.0 + last.1 as u64) % 4096, 0);
    }

    #[test]
    fn a_cut_is_truncate_sync_header_sync_rename_and_sync_of_the_directory() {
        let (mut wal, disk) = wal(OPTIONS, Costs::default());
        wal.save(&[500_000], &mut ()).unwrap();
        let before = disk.calls().len();
        let saved = wal.save(&[500_000], &mut ()).unwrap();
        assert!(saved.cut_ns.is_some());
        let calls: Vec<Call> = disk.calls()[before..]
            .iter()
            .filter(|call| !matches!(call, Call::Write { .. } | Call::Create(_)))
            .cloned()
            .collect();
        let first = "0.tmp".to_owned();
        let second = "1.tmp".to_owned();
        assert_eq!(
            calls,
            [
                Call::SyncData(first.clone()),
                Call::SetLen(first.clone(), 1_000_176),
                Call::SyncData(first),
                Call::SyncData(second.clone()),
                Call::Rename(second, "0000000000000001.wal".to_owned()),
                Call::SyncDir,
            ]
        );
        // The next batch starts right after the header.
        let before = disk.calls().len();
        wal.save(&[336], &mut ()).unwrap();
        assert_eq!(writes(&disk.calls()[before..]), [(96, 376)]);
    }

    #[test]
    fn old_segments_go_and_nothing_is_left_at_the_end() {
        let (mut wal, disk) = wal(OPTIONS, Costs::default());
        for _ in 0..20 {
            wal.save(&[600_000], &mut ()).unwrap();
            assert!(disk.files().len() <= KEEP + 4, "{:?}", disk.files());
        }
        wal.remove().unwrap();
        assert_eq!(disk.files(), Vec::<String>::new());
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_sparse_segment_is_told() {
        let full = Costs {
            full_at_write: Some(2),
            allocates: false,
            ..Costs::default()
        };
        let (mut wal, _disk) = wal(OPTIONS, full);
        assert_eq!(wal.allocation(), Allocation::Sparse);
        wal.save(&[336], &mut ()).unwrap();
        let err = wal.save(&[336], &mut ()).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::StorageFull);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
        #[test]
        fn every_byte_is_written_once_and_in_order(batches in proptest::collection::vec(
            proptest::collection::vec(32u32..300_000, 1..4), 1..5)) {
            let options = WalOptions { segment_bytes: u64::MAX, crc: false, ..OPTIONS };
            let (mut wal, disk) = wal(options, Costs::default());
            let mut expected = 96u64;
            for batch in &batches {
                let saved = wal.save(batch, &mut ()).unwrap();
                let bytes: u64 = batch.iter().map(|b| u64::from(b.next_multiple_of(8))).sum();
                proptest::prop_assert_eq!(saved.bytes, bytes + 40);
                expected += saved.bytes;
            }
            let mut at = 0;
            for (offset, len) in writes(&disk.calls()) {
                proptest::prop_assert_eq!(offset, at);
                at += len as u64;
            }
            proptest::prop_assert_eq!(at, expected);
        }
    }
}
