//! Block device counters: `/sys/block/X/stat` and `/proc/diskstats`, and what two samples tell.
//!
//! Fields 16 and 17 count flushes (kernel 5.5 and later): they say without any benchmark whether
//! barriers are really sent and what one costs. Source: kernel `Documentation/block/stat.rst`,
//! `Documentation/admin-guide/iostats.rst`. Flushes are counted on whole disks with a request
//! queue only, never on partitions, device-mapper or md devices.

/// The counters of one device since boot. Sectors are 512 bytes whatever the device's own are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockStat {
    /// Reads done.
    pub reads: u64,
    /// Sectors read.
    pub sectors_read: u64,
    /// Milliseconds spent reading.
    pub ms_reading: u64,
    /// Writes done.
    pub writes: u64,
    /// Sectors written.
    pub sectors_written: u64,
    /// Milliseconds spent writing.
    pub ms_writing: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Milliseconds with at least one request in flight.
    pub ms_busy: u64,
    /// Milliseconds times requests in flight.
    pub ms_weighted: u64,
    /// Discards done (kernel 4.18).
    pub discards: Option<u64>,
    /// Milliseconds spent on discards.
    pub ms_discarding: Option<u64>,
    /// Flushes done (kernel 5.5).
    pub flushes: Option<u64>,
    /// Milliseconds spent on flushes.
    pub ms_flushing: Option<u64>,
}

/// One line of `/proc/diskstats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskLine {
    /// Major and minor number.
    pub device: (u32, u32),
    /// The kernel's name.
    pub name: String,
    /// The counters.
    pub stat: BlockStat,
}

/// Reads `/sys/block/X/stat`.
pub fn parse_stat(bytes: &[u8]) -> Option<BlockStat> {
    let text = std::str::from_utf8(bytes).ok()?;
    from_words(text.split_ascii_whitespace())
}

/// Reads `/proc/diskstats`; lines that make no sense are left out, `None` when none does.
pub fn parse_diskstats(bytes: &[u8]) -> Option<Vec<DiskLine>> {
    let lines: Vec<DiskLine> = String::from_utf8_lossy(bytes)
        .lines()
        .take(65_536)
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let device = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let name = words.next()?.to_owned();
            let stat = from_words(words)?;
            Some(DiskLine { device, name, stat })
        })
        .collect();
    (!lines.is_empty()).then_some(lines)
}

fn from_words<'a>(words: impl Iterator<Item = &'a str>) -> Option<BlockStat> {
    let numbers: Vec<u64> = words
        .take(20)
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    // Kernels count 11, 15 or 17 fields; a torn line has another number of them. Later kernels
    // may append further ones.
    if !matches!(numbers.len(), 11 | 15 | 17..) {
        return None;
    }
    let at = |field: usize| numbers.get(field - 1).copied();
    Some(BlockStat {
        reads: at(1)?,
        sectors_read: at(3)?,
        ms_reading: at(4)?,
        writes: at(5)?,
        sectors_written: at(7)?,
        ms_writing: at(8)?,
        in_flight: at(9)?,
        ms_busy: at(10)?,
        ms_weighted: at(11)?,
        discards: at(12),
        ms_discarding: at(15),
        flushes: at(16),
        ms_flushing: at(17),
    })
}

/// What happened on a device between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockDelta {
    /// Seconds between the samples.
    pub secs: f64,
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Milliseconds spent reading.
    pub read_ms: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Milliseconds spent writing.
    pub write_ms: u64,
    /// Share of the time with I/O under way, 0 to 1.
    pub busy: f64,
    /// Mean number of requests queued or under way.
    pub queue: f64,
    /// Discards.
    pub discards: Option<u64>,
    /// Milliseconds spent on discards.
    pub discard_ms: Option<u64>,
    /// Flushes.
    pub flushes: Option<u64>,
    /// Milliseconds spent on flushes.
    pub flush_ms: Option<u64>,
}

impl BlockDelta {
    /// Mean time of one write; `None` when nothing was written.
    pub fn write_mean_ms(&self) -> Option<f64> {
        mean(self.write_ms, self.writes)
    }

    /// Mean time of one read.
    pub fn read_mean_ms(&self) -> Option<f64> {
        mean(self.read_ms, self.reads)
    }

    /// Mean time of one flush; `None` when there was none or they are not counted.
    pub fn flush_mean_ms(&self) -> Option<f64> {
        mean(self.flush_ms?, self.flushes?)
    }

    /// Mean time of one discard.
    pub fn discard_mean_ms(&self) -> Option<f64> {
        mean(self.discard_ms?, self.discards?)
    }
}

fn mean(ms: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| ms as f64 / count as f64)
}

/// The difference of two samples; `None` when the counters started anew between them (the device
/// was detached or the machine restarted) or no time passed.
pub fn delta(before: &BlockStat, after: &BlockStat, secs: f64) -> Option<BlockDelta> {
    if !secs.is_finite() || secs <= 0.0 {
        return None;
    }
    let count = |a: u64, b: u64| b.checked_sub(a);
    let optional = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => count(a, b).map(Some),
        _ => Some(None),
    };
    let optional_ms = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => wrapping_ms(a, b).map(Some),
        _ => Some(None),
    };
    let sectors_written = count(before.sectors_written, after.sectors_written)?;
    let sectors_read = count(before.sectors_read, after.sectors_read)?;
    Some(BlockDelta {
        secs,
        reads: count(before.reads, after.reads)?,
        read_bytes: sectors_read.saturating_mul(512),
        read_ms: wrapping_ms(before.ms_reading, after.ms_reading)?,
        writes: count(before.writes, after.writes)?,
        write_bytes: sectors_written.saturating_mul(512),
        write_ms: wrapping_ms(before.ms_writing, after.ms_writing)?,
        // The kernel's clock and ours differ by some milliseconds.
        busy: (wrapping_ms(before.ms_busy, after.ms_busy)? as f64 / 1e3 / secs).min(1.0),
        queue: wrapping_ms(before.ms_weighted, after.ms_weighted)? as f64 / 1e3 / secs,
        discards: optional(before.discards, after.discards)?,
        discard_ms: optional_ms(before.ms_discarding, after.ms_discarding)?,
        flushes: optional(before.flushes, after.flushes)?,
        flush_ms: optional_ms(before.ms_flushing, after.ms_flushing)?,
    })
}

/// Milliseconds are printed as 32-bit numbers (kernel `part_stat_show`), so they wrap after
/// 49.7 days of accumulated time while the counts go on.
fn wrapping_ms(before: u64, after: u64) -> Option<u64> {
    const WRAP: u64 = 1 << 32;
    match after.checked_sub(before) {
        Some(ms) => Some(ms),
        // Far below the wrap, a smaller number is a reset.
        None if before < WRAP && before > WRAP / 2 && after < WRAP / 2 => {
            Some(WRAP - before + after)
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"   11907       11   112516      925   691584   297215 10208192   631679        1   443240   943601       14        0 14680128      118   393322   310877\n";
    const B: &[u8] = b"   11907       11   112516      925   693439   298245 10237008   695307        0   486124  1049624       14        0 14680128      118   394338   353272\n";

    #[test]
    fn two_samples_give_the_time_of_a_flush() {
        let (a, b) = (parse_stat(A).unwrap(), parse_stat(B).unwrap());
        let delta = delta(&a, &b, 47.499).unwrap();
        assert_eq!(delta.flushes, Some(1016));
        assert!((delta.flush_mean_ms().unwrap() - 41.73).abs() < 0.01);
        assert_eq!(delta.writes, 1855);
        assert!((delta.write_mean_ms().unwrap() - 34.3).abs() < 0.01);
        assert_eq!(delta.write_bytes, 28816 * 512);
        assert!((delta.busy - 0.903).abs() < 0.001);
        assert_eq!(delta.read_mean_ms(), None);
    }

    #[test]
    fn diskstats_has_the_same_fields_after_the_name() {
        let text = format!("   7       0 loop0 {}", String::from_utf8_lossy(A).trim());
        let lines = parse_diskstats(text.as_bytes()).unwrap();
        assert_eq!(lines[0].device, (7, 0));
        assert_eq!(lines[0].stat, parse_stat(A).unwrap());
        assert_eq!(parse_diskstats(b"nothing\n"), None);
    }

    #[test]
    fn older_kernels_count_no_flushes() {
        let eleven = parse_stat(b"1 2 3 4 5 6 7 8 9 10 11").unwrap();
        assert_eq!((eleven.flushes, eleven.discards), (None, None));
        let fifteen = parse_stat(b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15").unwrap();
        assert_eq!((fifteen.flushes, fifteen.discards), (None, Some(12)));
        // Torn in the middle of a line: no number can be trusted.
        assert_eq!(parse_stat(b"1 2 3 4 5 6 7 8 9 10 11 12 13"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn a_reset_is_no_number_and_a_wrap_is_one() {
        let mut before = parse_stat(A).unwrap();
        let after = parse_stat(B).unwrap();
        assert_eq!(delta(&after, &before, 10.0), None);
        assert_eq!(delta(&before, &after, 0.0), None);
        before.ms_flushing = Some((1 << 32) - 10);
        let after = BlockStat {
            ms_flushing: Some(90),
            ..after
        };
        assert_eq!(delta(&before, &after, 1.0).unwrap().flush_ms, Some(100));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>, cut in 0..A.len(), secs: f64) {
            let torn = parse_stat(&A[..cut]);
            let other = parse_stat(&bytes);
            let _ = parse_diskstats(&bytes);
            if let (Some(a), Some(b)) = (torn.or(other), parse_stat(B)) {
                let _ = delta(&a, &b, secs);
            }
        }
    }
}
