//! Writes what shows a limit: chunks in a row, two sizes of chunks, chunks after a rest, scattered
//! small writes; each made durable before the next. At most [`Budget::bytes`] and [`Budget::secs`] in all.

use std::io;

use crate::bench::Cancel;
use crate::bench::disk::storage::{Disk, DiskFile, Time};
use crate::bench::stats::whole;

use super::judge::{Measured, Sample, Series};

const KIB: u64 = 1024;
/// Of the part that looks for a step.
const CHUNK: u64 = 256 * KIB;
/// The two sizes that are compared.
const SMALL: u64 = 64 * KIB;
const LARGE: u64 = 512 * KIB;
/// Scattered writes of one block each.
const BLOCK: u64 = 4 * KIB;
/// How many before each sync.
const SCATTERED: u32 = 16;
/// How far apart: no queue merges them, and no disk has to move far.
const APART: u64 = 64 * KIB;
/// How long the disk rests before a chunk: a limit gives credit for it, a medium does not.
const REST_NS: u64 = 100_000_000;
/// The file's name.
const NAME: &str = "throttle-probe";

/// How much may be written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Bytes in all.
    pub bytes: u64,
    /// Seconds in all.
    pub secs: f64,
}

impl Default for Budget {
    /// What is polite on a disk that nobody else uses: a bucket of 30 minutes cannot be emptied
    /// so, and the result says that.
    fn default() -> Self {
        Budget {
            bytes: 256 << 20,
            secs: 12.0,
        }
    }
}

/// Counters that tell whether the device or something above it was busy; asked between the parts.
pub trait Busy {
    /// Nanoseconds since some moment in which the device had something to do.
    fn device_busy_ns(&self) -> Option<u64>;
    /// Nanoseconds that this thread waited for a processor.
    fn cpu_wait_ns(&self) -> Option<u64>;
}

/// Nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct UnknownBusy;

impl Busy for UnknownBusy {
    fn device_busy_ns(&self) -> Option<u64> {
        None
    }

    fn cpu_wait_ns(&self) -> Option<u64> {
        None
    }
}

struct Part {
    name: &'static str,
    bytes: u64,
    writes: u32,
    apart: u64,
    rest_ns: u64,
    share: f64,
}

/// What ran, and the error that ended it early, if one did.
#[derive(Debug, Default)]
pub struct Ran {
    /// The series.
    pub measured: Measured,
    /// Bytes written.
    pub bytes: u64,
    /// Seconds.
    pub secs: f64,
    /// Why it ended early.
    pub error: Option<io::Error>,
}

/// Runs the probe. What was measured before an error is kept.
pub fn run(
    disk: &dyn Disk,
    time: &dyn Time,
    busy: &dyn Busy,
    budget: Budget,
    cancel: &Cancel,
) -> Ran {
    let mut ran = Ran::default();
    if let Err(err) = parts(disk, time, busy, budget, cancel, &mut ran) {
        ran.error = Some(err);
    }
    // The directory goes with all that is in it; an error here adds nothing.
    disk.remove(NAME).ok();
    ran
}

fn parts(
    disk: &dyn Disk,
    time: &dyn Time,
    busy: &dyn Busy,
    budget: Budget,
    cancel: &Cancel,
    ran: &mut Ran,
) -> io::Result<()> {
    // The shares of both the bytes and the seconds. The long part goes first: what comes after
    // it meets the plateau, if there is one.
    let plan = [
        Part {
            name: "sequential",
            bytes: CHUNK,
            writes: 1,
            apart: CHUNK,
            rest_ns: 0,
            share: 0.5,
        },
        Part {
            name: "64 KiB",
            bytes: SMALL,
            writes: 1,
            apart: SMALL,
            rest_ns: 0,
            share: 0.1,
        },
        Part {
            name: "512 KiB",
            bytes: LARGE,
            writes: 1,
            apart: LARGE,
            rest_ns: 0,
            share: 0.15,
        },
        Part {
            name: "rested",
            bytes: SMALL,
            writes: 1,
            apart: SMALL,
            rest_ns: REST_NS,
            share: 0.08,
        },
        Part {
            name: "single",
            bytes: BLOCK,
            writes: 1,
            apart: APART,
            rest_ns: 0,
            share: 0.05,
        },
        Part {
            name: "scattered",
            bytes: BLOCK * u64::from(SCATTERED),
            writes: SCATTERED,
            apart: APART,
            rest_ns: 0,
            share: 0.12,
        },
    ];
    let mut file = disk.create(NAME)?;
    // Each part has a stretch of its own, so that all writes are first ones.
    let length = budget.bytes + APART * 64;
    file.allocate(length)?;
    file.sync_all()?;
    let start = time.now();
    let mut offset = 0;
    for part in &plan {
        if cancel.stopped() {
            break;
        }
        let share = |all: f64| all * part.share;
        let bytes = whole(share(budget.bytes as f64));
        let limits = Limits {
            end_ns: time.now() + whole(share(budget.secs) * 1e9),
            bytes,
            stretch: (offset, offset + bytes),
        };
        let mut samples = Vec::new();
        let (busy_before, wait_before, begin) =
            (busy.device_busy_ns(), busy.cpu_wait_ns(), time.now());
        let done = one(
            &mut *file,
            time,
            part,
            &limits,
            cancel,
            &mut samples,
            &mut ran.bytes,
        );
        let took = (time.now() - begin).max(1) as f64;
        let of = |before: Option<u64>, after: Option<u64>| {
            Some((after?.checked_sub(before?)? as f64 / took).min(1.0))
        };
        let series = Series {
            name: part.name,
            bytes: part.bytes,
            writes: part.writes,
            samples,
            device_busy: of(busy_before, busy.device_busy_ns()),
            cpu_wait: of(wait_before, busy.cpu_wait_ns()),
        };
        let place = match part.name {
            "sequential" => &mut ran.measured.sequential,
            "64 KiB" => &mut ran.measured.small,
            "512 KiB" => &mut ran.measured.large,
            "rested" => &mut ran.measured.rested,
            "single" => &mut ran.measured.single,
            _ => &mut ran.measured.scattered,
        };
        *place = Some(series);
        ran.secs = (time.now() - start) as f64 / 1e9;
        done?;
        offset += bytes;
    }
    Ok(())
}

struct Limits {
    end_ns: u64,
    bytes: u64,
    stretch: (u64, u64),
}

fn one(
    file: &mut dyn DiskFile,
    time: &dyn Time,
    part: &Part,
    limits: &Limits,
    cancel: &Cancel,
    samples: &mut Vec<Sample>,
    total: &mut u64,
) -> io::Result<()> {
    let size = part.bytes / u64::from(part.writes);
    let chunk = pattern(usize::try_from(size).unwrap_or(4096));
    let begin = time.now();
    let (mut at, mut written) = (limits.stretch.0, 0);
    while written + part.bytes <= limits.bytes && time.now() < limits.end_ns && !cancel.stopped() {
        if part.rest_ns > 0 {
            time.sleep_until(time.now() + part.rest_ns);
        }
        let from = time.now();
        for _ in 0..part.writes {
            file.write_at(&chunk, at)?;
            at += part.apart;
            if at + size > limits.stretch.1 {
                // Further on between the blocks of the first pass.
                at = limits.stretch.0
                    + (written / part.apart.max(1) * BLOCK) % part.apart.max(BLOCK);
            }
        }
        file.sync_data()?;
        let now = time.now();
        written += part.bytes;
        *total += part.bytes;
        samples.push(Sample {
            at: (now - begin) as f64 / 1e9,
            us: (now - from) as f64 / 1e3,
        });
    }
    Ok(())
}

/// Bytes that no device compresses or takes for zeroes: a linear generator's.
fn pattern(len: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
