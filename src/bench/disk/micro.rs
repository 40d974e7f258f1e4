//! One thread, one record, one sync, over and over: what a sync of a certain size and kind costs,
//! and how many flushes it takes.

use std::io;
use std::sync::Arc;

use crate::bench::recorder::Recorder;
use crate::formats::bench::disk::{DeviceCount, Ground, PerSync};

use super::emulate::{Class, Rig};
use super::storage::DiskFile;
use super::wal::payload;
use super::watch::device_between;

/// Length of the part that is overwritten again and again.
const OVERWRITTEN: u64 = 4 << 20;

/// Which blocks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// New ones: the file grows with each record, as a log without preallocation.
    Append,
    /// Reserved ones that nobody wrote to yet: etcd's WAL.
    Preallocated,
    /// Those that were written before: what a second run over an old file measures.
    Overwrite,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Micro {
    /// The syncs.
    pub sync: Recorder,
    /// Seconds.
    pub secs: f64,
    /// What the devices did.
    pub device: Option<DeviceCount>,
    /// Bytes of a record.
    pub bytes: u32,
}

/// Measures one kind of sync for `secs` seconds.
pub fn micro(
    rig: &Rig,
    pattern: Pattern,
    bytes: u32,
    secs: f64,
    segment_bytes: u64,
    class: Class,
) -> (Micro, Option<io::Error>) {
    let mut micro = Micro {
        bytes,
        ..Micro::default()
    };
    let failed = std::thread::scope(|scope| {
        let micro = &mut micro;
        scope
            .spawn(move || {
                class.enter()?;
                let mut file =
                    Probe::create(rig, pattern, segment_bytes.max(u64::from(bytes) * 2))?;
                let done = work(rig, &mut file, bytes, secs, micro);
                let removed = file.remove();
                done.and(removed)
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writing thread died")))
    });
    (micro, failed.err())
}

fn work(
    rig: &Rig,
    file: &mut Probe<'_>,
    bytes: u32,
    secs: f64,
    micro: &mut Micro,
) -> io::Result<()> {
    let time = &*rig.time;
    let record = payload().get(..bytes as usize);
    let large;
    let record = match record {
        Some(record) => record,
        None => {
            large = payload().repeat(bytes as usize / payload().len() + 1);
            large.get(..bytes as usize).unwrap_or(&[])
        }
    };
    // The first syncs also settle what making the file left behind.
    for _ in 0..3 {
        file.write(record)?;
        file.sync()?;
    }
    let before = rig.watch.snapshot(time.now());
    let start = time.now();
    let end = start + crate::bench::stats::whole(secs * 1e9);
    let mut outcome = Ok(());
    while time.now() < end && !rig.cancel.stopped() {
        if let Err(err) = file.write(record) {
            outcome = Err(err);
            break;
        }
        let began = time.now();
        if let Err(err) = file.sync() {
            outcome = Err(err);
            break;
        }
        micro.sync.record(time.now().saturating_sub(began));
    }
    let after = rig.watch.snapshot(time.now());
    micro.secs = time.now().saturating_sub(start) as f64 / 1e9;
    micro.device = device_between(&before, &after);
    outcome
}

/// The file that is written.
struct Probe<'a> {
    rig: &'a Rig,
    pattern: Pattern,
    segment_bytes: u64,
    file: Box<dyn DiskFile>,
    number: u64,
    offset: u64,
}

impl<'a> Probe<'a> {
    fn create(rig: &'a Rig, pattern: Pattern, segment_bytes: u64) -> io::Result<Self> {
        let mut probe = Probe {
            rig,
            pattern,
            segment_bytes,
            file: rig.wal.create("probe-0")?,
            number: 0,
            offset: 0,
        };
        probe.prepare()?;
        Ok(probe)
    }

    fn prepare(&mut self) -> io::Result<()> {
        match self.pattern {
            Pattern::Append => {}
            Pattern::Preallocated => {
                self.file.allocate(self.segment_bytes)?;
            }
            Pattern::Overwrite => {
                let mut at = 0;
                while at < OVERWRITTEN {
                    self.file.write_at(payload(), at)?;
                    at += payload().len() as u64;
                }
            }
        }
        self.file.sync_all()
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let len = record.len() as u64;
        let end = match self.pattern {
            Pattern::Append | Pattern::Preallocated => self.segment_bytes,
            Pattern::Overwrite => OVERWRITTEN,
        };
        if self.offset + len > end {
            if self.pattern == Pattern::Overwrite {
                self.file.seek(0)?;
            } else {
                // A reserved block is written once only; so the next file, outside the times.
                let old = format!("probe-{}", self.number);
                self.number += 1;
                self.file = self.rig.wal.create(&format!("probe-{}", self.number))?;
                self.rig.wal.remove(&old)?;
                self.prepare()?;
            }
            self.offset = 0;
        }
        self.file.write(record)?;
        self.offset += len;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn remove(self) -> io::Result<()> {
        let disk = Arc::clone(&self.rig.wal);
        let name = format!("probe-{}", self.number);
        drop(self.file);
        disk.remove(&name)
    }
}

/// What one sync costs the device, the traffic of an idle window taken off.
pub fn per_sync(
    device: Option<&DeviceCount>,
    idle: Option<&DeviceCount>,
    syncs: u64,
    record_bytes: f64,
    expected_flushes: Option<f64>,
) -> Option<PerSync> {
    let device = device?;
    if syncs == 0 {
        return None;
    }
    let others = |count: fn(&DeviceCount) -> f64| {
        idle.filter(|idle| idle.secs > 0.0)
            .map_or(0.0, |idle| count(idle) / idle.secs * device.secs)
    };
    let each = |count: f64, others: f64| (count - others).max(0.0) / syncs as f64;
    Some(PerSync {
        record_bytes,
        flushes: device.flushes.map(|flushes| {
            each(
                flushes as f64,
                others(|idle| idle.flushes.unwrap_or(0) as f64),
            )
        }),
        writes: each(device.writes as f64, others(|idle| idle.writes as f64)),
        device_bytes: each(
            device.write_bytes as f64,
            others(|idle| idle.write_bytes as f64),
        ),
        expected_flushes,
    })
}

/// Flushes that one sync should take, by the law measured on ext4 and XFS; `None` where no law is
/// known.
///
/// A block that is written for the first time needs its extent converted, which is a journal
/// commit and a flush of its own. A device with FUA writes the commit block through.
pub fn expected_flushes(ground: &Ground, pattern: Pattern, bytes: u32) -> Option<f64> {
    let [disk] = ground.disks.as_slice() else {
        return None;
    };
    if !disk.counts_flushes {
        return None;
    }
    if disk.write_cache.as_deref() == Some("write through") || ground.barrier.off() {
        return Some(0.0);
    }
    let has = |option: &str| ground.options.split(',').any(|have| have == option);
    let journal = match (ground.fs.as_str(), ground.journal.as_str()) {
        ("xfs", _) | ("ext4", "present") => !(has("data=journal") || has("fast_commit")),
        ("ext4", "absent") => return Some(1.0),
        _ => return None,
    };
    if !journal || disk.fua == Some(true) {
        return None;
    }
    Some(match pattern {
        Pattern::Append => 2.0,
        Pattern::Preallocated => 1.0 + (f64::from(bytes) / 4096.0).min(1.0),
        Pattern::Overwrite => 1.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Cancel;
    use crate::bench::disk::simulated::{Call, Costs, SimulatedDisk, SimulatedTime};
    use crate::bench::disk::watch::Watch;
    use crate::formats::bench::disk::Disk;

    fn rig() -> (Rig, SimulatedDisk) {
        let time = Arc::new(SimulatedTime::default());
        let disk = SimulatedDisk::new(Arc::clone(&time), Costs::default());
        let rig = Rig {
            wal: Arc::new(disk.clone()),
            db: Arc::new(disk.clone()),
            time,
            watch: Watch::nothing(),
            cancel: Cancel::default(),
        };
        (rig, disk)
    }

    #[test]
    fn a_preallocated_block_is_written_once_only() {
        let (rig, disk) = rig();
        let (micro, failed) = micro(
            &rig,
            Pattern::Preallocated,
            100_000,
            0.5,
            1_000_000,
            Class::Other,
        );
        assert!(failed.is_none());
        assert!(
            (440..=500).contains(&micro.sync.count()),
            "{}",
            micro.sync.count()
        );
        let mut last = (String::new(), 0);
        for call in disk.calls() {
            if let Call::Write { file, offset, .. } = call {
                assert!(file != last.0 || offset > last.1, "{file} {offset}");
                last = (file, offset);
            }
        }
        assert!(disk.files().is_empty());
    }

    #[test]
    fn overwriting_stays_where_it_was() {
        let (rig, disk) = rig();
        micro(
            &rig,
            Pattern::Overwrite,
            65_536,
            0.5,
            64_000_000,
            Class::Other,
        );
        for call in disk.calls() {
            if let Call::Write { offset, len, .. } = call {
                assert!(offset + len as u64 <= OVERWRITTEN);
            }
        }
    }

    #[test]
    fn the_law_of_flushes() {
        let mut ground = Ground {
            fs: "ext4".to_owned(),
            journal: "present".to_owned(),
            options: "rw,relatime".to_owned(),
            disks: vec![Disk {
                counts_flushes: true,
                write_cache: Some("write back".to_owned()),
                fua: Some(false),
                ..Disk::default()
            }],
            ..Ground::default()
        };
        let law = |ground: &Ground, pattern, bytes| expected_flushes(ground, pattern, bytes);
        assert_eq!(law(&ground, Pattern::Append, 2300), Some(2.0));
        let middle = law(&ground, Pattern::Preallocated, 2300).unwrap();
        assert!((middle - 1.5615).abs() < 0.001);
        assert_eq!(law(&ground, Pattern::Preallocated, 8192), Some(2.0));
        assert_eq!(law(&ground, Pattern::Overwrite, 2300), Some(1.0));
        ground.options.push_str(",data=journal");
        assert_eq!(law(&ground, Pattern::Append, 2300), None);
        ground.barrier.state = "off".to_owned();
        assert_eq!(law(&ground, Pattern::Append, 2300), Some(0.0));
    }

    #[test]
    fn idle_traffic_is_taken_off() {
        let device = DeviceCount {
            secs: 10.0,
            writes: 3_000,
            write_bytes: 3_000 * 4096,
            flushes: Some(2_100),
            ..DeviceCount::default()
        };
        let idle = DeviceCount {
            secs: 2.0,
            writes: 20,
            flushes: Some(20),
            ..DeviceCount::default()
        };
        let cost = per_sync(Some(&device), Some(&idle), 1_000, 376.0, None).unwrap();
        assert_eq!((cost.flushes, cost.writes), (Some(2.0), 2.9));
        assert_eq!(per_sync(None, Some(&idle), 1_000, 376.0, None), None);
        assert_eq!(per_sync(Some(&device), None, 0, 376.0, None), None);
    }
}
