//! Writes records, makes each durable, tells the peer. It goes on until the power is cut.

use std::io;
use std::time::Duration;

use crate::bench::disk::storage::{Disk, Time};
use crate::bench::recorder::Recorder;
use crate::bench::{Cancel, Progress};

use super::peer::Link;
use super::ring::{Head, encode};

/// The file.
pub const FILE: &str = "records";

/// How it ended.
#[derive(Debug)]
pub struct Recorded {
    /// Records that are durable as far as the kernel says.
    pub durable: u64,
    /// Seconds.
    pub secs: f64,
    /// `fdatasync` alone.
    pub sync: Recorder,
    /// Why it ended, unless it was told to.
    pub error: Option<io::Error>,
}

/// Records. The file must not exist yet and stays.
pub fn run(
    disk: &dyn Disk,
    time: &dyn Time,
    head: &Head,
    link: &mut Link,
    limit: Option<Duration>,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Recorded {
    let mut recorded = Recorded {
        durable: 0,
        secs: 0.0,
        sync: Recorder::default(),
        error: None,
    };
    if let Err(err) = write(
        disk,
        time,
        head,
        link,
        limit,
        cancel,
        progress,
        &mut recorded,
    ) {
        recorded.error = Some(err);
    }
    recorded
}

#[expect(clippy::too_many_arguments, reason = "the parts of one loop")]
fn write(
    disk: &dyn Disk,
    time: &dyn Time,
    head: &Head,
    link: &mut Link,
    limit: Option<Duration>,
    cancel: &Cancel,
    progress: &dyn Progress,
    recorded: &mut Recorded,
) -> io::Result<()> {
    let mut file = disk.create(FILE)?;
    file.allocate(head.file_bytes())?;
    file.write_at(&head.encode(), 0)?;
    // The head, the length and the name are there before the first record is acknowledged.
    file.sync_all()?;
    disk.sync_dir()?;
    let start = time.now();
    let mut told = start;
    let mut record = Vec::new();
    while !cancel.stopped() {
        let number = recorded.durable + 1;
        encode(head, number, &mut record);
        file.write_at(&record, head.offset(number))?;
        let written = time.now();
        file.sync_data()?;
        let durable = time.now();
        recorded.sync.record(durable - written);
        recorded.durable = number;
        recorded.secs = (durable - start) as f64 / 1e9;
        link.tell(number)?;
        let left = limit.map(|limit| limit.as_secs_f64() - recorded.secs);
        if left.is_some_and(|left| left <= 0.0) {
            break;
        }
        if durable - told > 500_000_000 {
            told = durable;
            let part = format!("{number} records are durable and told; cut the power now");
            progress.at(&part, left.unwrap_or(0.0));
        }
    }
    Ok(())
}
