//! Replays a real write-ahead log on another disk: the batches that an etcd made durable, byte for
//! byte as large and in the same order. "Would this disk have carried last Tuesday?"
//!
//! A log holds no times. At a rate, batches come as if so many entries had arrived per second;
//! without one they follow each other, and what comes out is the most that the disk carries of
//! this mix. Only lengths are taken from the log, its contents are never written anywhere.

use std::io::{self, BufReader, Read};

use crate::bench::recorder::Recorder;
use crate::bench::stats::whole;
use crate::bench::{Cancel, Progress};
use crate::formats::bench::replay::{FORMAT, Replay, Source, VERSION};
use crate::formats::wal::{Batch, Batcher, End, Reader};

use super::storage::{Disk, DiskFile, Time};

/// A segment of etcd's.
const SEGMENT: u64 = 64_000_000;
/// etcd hands at most so many bytes to one `write` (pkg/ioutil: `defaultBufferBytes`).
const WRITE: usize = 128 << 10;
/// Most batches that are kept: forty bytes each.
const MAX_BATCHES: usize = 4_000_000;

/// What was read of a log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Its batches in order.
    pub batches: Vec<Batch>,
    /// What it is, for the report.
    pub source: Source,
}

impl Log {
    /// Reads segments in their order. Damage ends the reading, and what was read before it stays.
    pub fn read(segments: impl IntoIterator<Item = (String, Box<dyn Read>)>) -> Self {
        let mut log = Log::default();
        let mut batcher = Batcher::default();
        let mut before: Option<Reader<BufReader<Box<dyn Read>>>> = None;
        for (name, source) in segments {
            let source = BufReader::with_capacity(1 << 20, source);
            let mut reader = match before.take() {
                Some(reader) => reader.next_segment(source),
                None => Reader::new(source),
            };
            while let Some(record) = reader.next() {
                log.source.records += 1;
                if let Some(batch) = batcher.push(&record) {
                    log.add(batch);
                }
            }
            log.source.bytes += reader.offset();
            log.source.files.push(name.clone());
            match reader.end() {
                Some(End::Clean) | None => {}
                Some(End::Torn { why }) => log.source.remarks.push(format!(
                    "{name}: torn by a crash at byte {}: {why}",
                    reader.offset()
                )),
                Some(End::Corrupt { why }) => {
                    log.source.remarks.push(format!(
                        "{name}: damaged at byte {}: {why}; the rest is not replayed",
                        reader.offset()
                    ));
                    break;
                }
                Some(End::Unreadable { why }) => {
                    log.source.remarks.push(format!(
                        "{name}: cannot be read from byte {} on: {why}",
                        reader.offset()
                    ));
                    break;
                }
            }
            before = Some(reader);
        }
        if let Some(batch) = batcher.finish() {
            log.add(batch);
        }
        log.source.finish(&log.batches);
        log
    }

    fn add(&mut self, batch: Batch) {
        if self.batches.len() < MAX_BATCHES {
            self.batches.push(batch);
        } else if self.source.remarks.len() < 64 {
            let words = "longer than what is kept; the rest is not replayed".to_owned();
            if self.source.remarks.last() != Some(&words) {
                self.source.remarks.push(words);
            }
        }
    }
}

impl Source {
    fn finish(&mut self, batches: &[Batch]) {
        self.batches = batches.len() as u64;
        self.entries = batches.iter().map(|b| u64::from(b.entries)).sum();
        self.batch_bytes = batches.iter().map(|b| b.bytes).sum();
        self.largest_entry = batches.iter().map(|b| b.largest).max().unwrap_or(0);
        if self.batches > 0 {
            self.entries_per_batch = self.entries as f64 / self.batches as f64;
        }
    }
}

/// Replays a log. `rate` is entries per second. The error that ended it comes beside what was
/// measured.
pub fn run(
    log: &Log,
    disk: &dyn Disk,
    time: &dyn Time,
    rate: Option<f64>,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> (Replay, Option<io::Error>) {
    let mut replay = Replay {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        source: log.source.clone(),
        rate,
        ..Replay::default()
    };
    let mut measured = Measured::default();
    let mut wal = Wal {
        disk,
        file: None,
        offset: 0,
        number: 0,
        buffer: noise(),
    };
    let error = batches(log, &mut wal, time, rate, cancel, progress, &mut measured).err();
    wal.close();
    replay.secs = measured.secs;
    replay.batches = measured.sync.count();
    replay.entries = measured.entries;
    replay.bytes = measured.bytes;
    replay.write = measured.write.latency();
    replay.sync = measured.sync.latency();
    replay.durable = measured.durable.latency();
    if measured.secs > 0.0 {
        replay.entries_per_sec = measured.entries as f64 / measured.secs;
        replay.behind_secs =
            rate.map(|rate| (measured.secs - measured.entries as f64 / rate).max(0.0));
    }
    (replay, error)
}

#[derive(Default)]
struct Measured {
    write: Recorder,
    sync: Recorder,
    durable: Recorder,
    entries: u64,
    bytes: u64,
    secs: f64,
}

fn batches(
    log: &Log,
    wal: &mut Wal<'_>,
    time: &dyn Time,
    rate: Option<f64>,
    cancel: &Cancel,
    progress: &dyn Progress,
    measured: &mut Measured,
) -> io::Result<()> {
    wal.cut()?;
    let start = time.now();
    let mut told = start;
    for (number, batch) in log.batches.iter().enumerate() {
        if cancel.stopped() {
            break;
        }
        let due = rate.map(|rate| start + whole(measured.entries as f64 / rate * 1e9));
        if let Some(due) = due {
            while time.now() < due && !cancel.stopped() {
                time.sleep_until(due.min(time.now() + 100_000_000));
            }
        }
        let from = time.now();
        wal.write(batch.bytes)?;
        let written = time.now();
        wal.sync()?;
        let durable = time.now();
        measured.write.record(written - from);
        measured.sync.record(durable - written);
        measured
            .durable
            .record(durable - due.unwrap_or(from).min(from));
        measured.entries += u64::from(batch.entries);
        measured.bytes += batch.bytes;
        measured.secs = (durable - start) as f64 / 1e9;
        if durable - told > 300_000_000 {
            told = durable;
            let done = (number + 1) as f64 / log.batches.len() as f64;
            progress.at("replaying", measured.secs / done - measured.secs);
        }
        if wal.offset >= SEGMENT {
            wal.cut()?;
        }
    }
    Ok(())
}

/// Segments as etcd writes them: preallocated, never used again, the one before removed.
struct Wal<'a> {
    disk: &'a dyn Disk,
    file: Option<(String, Box<dyn DiskFile>)>,
    offset: u64,
    number: u64,
    buffer: Vec<u8>,
}

impl Wal<'_> {
    fn cut(&mut self) -> io::Result<()> {
        let name = format!("replay-{}.tmp", self.number);
        let mut next = self.disk.create(&name)?;
        next.allocate(SEGMENT)?;
        next.sync_data()?;
        if let Some((_, file)) = &mut self.file {
            // etcd cuts the old segment to its length and syncs it.
            file.set_len(self.offset)?;
            file.sync_data()?;
        }
        let renamed = format!("replay-{}.wal", self.number);
        self.disk.rename(&name, &renamed)?;
        self.disk.sync_dir()?;
        self.close();
        self.file = Some((renamed, next));
        self.offset = 0;
        self.number += 1;
        Ok(())
    }

    fn write(&mut self, bytes: u64) -> io::Result<()> {
        let Some((_, file)) = &mut self.file else {
            return Ok(());
        };
        let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
        while left > 0 {
            let count = left.min(WRITE);
            file.write(self.buffer.get(..count).unwrap_or_default())?;
            left -= count;
        }
        self.offset += bytes;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some((_, file)) => file.sync_data(),
            None => Ok(()),
        }
    }

    fn close(&mut self) {
        if let Some((name, file)) = self.file.take() {
            drop(file);
            self.disk.remove(&name).ok();
        }
    }
}

/// Bytes that no device compresses.
fn noise() -> Vec<u8> {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut bytes = Vec::with_capacity(WRITE);
    while bytes.len() < WRITE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::NoProgress;
    use crate::bench::disk::simulated::{Call, Costs, SimulatedDisk, SimulatedTime};
    use std::sync::Arc;

    fn log(sizes: &[(u32, u64)]) -> Log {
        let mut log = Log::default();
        for (entries, bytes) in sizes {
            log.batches.push(Batch {
                entries: *entries,
                bytes: *bytes,
                largest: *bytes,
            });
        }
        log.source.finish(&log.batches);
        log
    }

    fn play(
        log: &Log,
        costs: Costs,
        rate: Option<f64>,
    ) -> (Replay, Option<io::Error>, SimulatedDisk) {
        let time = Arc::new(SimulatedTime::default());
        let disk = SimulatedDisk::new(Arc::clone(&time), costs);
        let (replay, error) = run(log, &disk, &*time, rate, &Cancel::default(), &NoProgress);
        (replay, error, disk)
    }

    #[test]
    fn batches_keep_their_order_and_sizes() {
        let (replay, error, disk) = play(
            &log(&[(1, 376), (5, 200_000), (2, 800)]),
            Costs::default(),
            None,
        );
        assert!(error.is_none());
        assert_eq!(
            (replay.batches, replay.entries, replay.bytes),
            (3, 8, 201_176)
        );
        let written: Vec<usize> = disk
            .calls()
            .iter()
            .filter_map(|call| match call {
                Call::Write { len, .. } => Some(*len),
                _ => None,
            })
            .collect();
        assert_eq!(written, [376, 131_072, 68_928, 800]);
        assert_eq!(disk.files(), Vec::<String>::new(), "nothing is left");
    }

    #[test]
    fn a_rate_is_kept_and_being_late_is_told() {
        let many = log(&[(10, 3_400); 200]);
        let (calm, ..) = play(&many, Costs::default(), Some(1_000.0));
        assert!(
            (calm.entries_per_sec - 1_000.0).abs() < 10.0,
            "{}",
            calm.entries_per_sec
        );
        assert!(calm.behind_secs.unwrap() < 0.02);
        let (late, ..) = play(
            &many,
            Costs {
                sync_ns: |_| 20_000_000,
                ..Costs::default()
            },
            Some(1_000.0),
        );
        assert!(
            (late.behind_secs.unwrap() - 2.0).abs() < 0.1,
            "{:?}",
            late.behind_secs
        );
        assert!(
            late.durable.max_us > 1.9e6,
            "late from the moment it was due"
        );
        assert!((late.sync.max_us - 20_000.0).abs() < 50.0);
    }

    #[test]
    fn segments_are_cut_as_etcd_cuts_them() {
        let (_, _, disk) = play(&log(&[(1, 40_000_000); 3]), Costs::default(), None);
        let renames: Vec<String> = disk
            .calls()
            .iter()
            .filter_map(|call| match call {
                Call::Rename(_, to) => Some(to.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(renames, ["replay-0.wal", "replay-1.wal"]);
        assert_eq!(disk.files(), Vec::<String>::new());
    }

    #[test]
    fn a_full_disk_keeps_what_was_measured() {
        let costs = Costs {
            full_at_write: Some(2),
            ..Costs::default()
        };
        let (replay, error, disk) = play(&log(&[(1, 100); 9]), costs, None);
        assert_eq!(replay.batches, 2);
        assert_eq!(error.unwrap().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.files(), Vec::<String>::new());
    }

    #[test]
    fn damage_ends_the_reading_and_is_told() {
        let bad: Box<dyn Read> = Box::new(&[0xffu8; 100][..]);
        let log = Log::read([("a.wal".to_owned(), bad)]);
        assert!(log.batches.is_empty());
        assert_eq!(
            log.source.remarks,
            ["a.wal: damaged at byte 0: a length that no record has; the rest is not replayed"]
        );
    }
}
