//! The statistics that Amazon's NVMe devices keep: log page 0xD0 of an EBS volume or an instance
//! store. They say how long the volume's or the machine's limits were exceeded since the volume
//! was attached, which no measurement from inside can be as sure of.
//!
//! Layout: linux-nvme/nvme-cli, `plugins/amzn/amzn-nvme.c`; meaning: CloudWatch, "Collect Amazon
//! EBS NVMe driver metrics". All numbers are little-endian.

/// The page's number.
pub const LOG_PAGE: u8 = 0xD0;
/// Its length.
pub const LOG_BYTES: usize = 4096;
const MAGIC_EBS: u32 = 0x3C23_B510;
const MAGIC_INSTANCE_STORE: u32 = 0xEC2C_0D7E;
const HISTOGRAM_AT: usize = 512;
const MAX_BINS: usize = 64;
const BIN_BYTES: usize = 24;
const HISTOGRAM_BYTES: usize = 8 + MAX_BINS * BIN_BYTES;

/// What kind of device answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A volume over the network.
    Ebs,
    /// A disk of the machine itself: it is lost with the machine.
    InstanceStore,
}

/// One bin of a histogram of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// From, microseconds.
    pub from_us: u64,
    /// To, microseconds.
    pub to_us: u64,
    /// Operations.
    pub count: u32,
}

/// The counters since the volume was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// What answered.
    pub kind: Kind,
    /// Layout version.
    pub version: u32,
    /// Reads.
    pub read_ops: u64,
    /// Writes.
    pub write_ops: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Microseconds in reads.
    pub read_us: u64,
    /// Microseconds in writes.
    pub write_us: u64,
    /// Microseconds in which more IOPS were asked for than the volume gives.
    pub volume_iops_exceeded_us: u64,
    /// The same of throughput.
    pub volume_throughput_exceeded_us: u64,
    /// Microseconds in which more IOPS were asked for than the machine may use for all its volumes.
    pub instance_iops_exceeded_us: u64,
    /// The same of throughput.
    pub instance_throughput_exceeded_us: u64,
    /// Operations waiting when it was asked.
    pub queue_length: u64,
    /// Latencies of reads.
    pub reads: Vec<Bin>,
    /// Latencies of writes.
    pub writes: Vec<Bin>,
}

impl Statistics {
    /// Microseconds for which any limit was exceeded; the limits overlap, so it is the largest.
    pub fn exceeded_us(&self) -> u64 {
        self.volume_iops_exceeded_us
            .max(self.volume_throughput_exceeded_us)
            .max(self.instance_iops_exceeded_us)
            .max(self.instance_throughput_exceeded_us)
    }

    /// What happened since an earlier reading; `None` when the counters began anew.
    pub fn since(&self, before: &Statistics) -> Option<Statistics> {
        let less = |now: u64, then: u64| now.checked_sub(then);
        Some(Statistics {
            kind: self.kind,
            version: self.version,
            read_ops: less(self.read_ops, before.read_ops)?,
            write_ops: less(self.write_ops, before.write_ops)?,
            read_bytes: less(self.read_bytes, before.read_bytes)?,
            write_bytes: less(self.write_bytes, before.write_bytes)?,
            read_us: less(self.read_us, before.read_us)?,
            write_us: less(self.write_us, before.write_us)?,
            volume_iops_exceeded_us: less(
                self.volume_iops_exceeded_us,
                before.volume_iops_exceeded_us,
            )?,
            volume_throughput_exceeded_us: less(
                self.volume_throughput_exceeded_us,
                before.volume_throughput_exceeded_us,
            )?,
            instance_iops_exceeded_us: less(
                self.instance_iops_exceeded_us,
                before.instance_iops_exceeded_us,
            )?,
            instance_throughput_exceeded_us: less(
                self.instance_throughput_exceeded_us,
                before.instance_throughput_exceeded_us,
            )?,
            queue_length: self.queue_length,
            reads: bins_since(&self.reads, &before.reads),
            writes: bins_since(&self.writes, &before.writes),
        })
    }
}

fn bins_since(now: &[Bin], before: &[Bin]) -> Vec<Bin> {
    let old = |bin: &Bin| {
        before
            .iter()
            .find(|b| (b.from_us, b.to_us) == (bin.from_us, bin.to_us))
            .map_or(0, |b| b.count)
    };
    now.iter()
        .map(|bin| Bin {
            // The count is a 32-bit number and may wrap.
            count: bin.count.wrapping_sub(old(bin)),
            ..*bin
        })
        .filter(|bin| bin.count > 0)
        .collect()
}

/// Reads the page; `None` when another device answered, or too little of it is there.
pub fn parse(page: &[u8]) -> Option<Statistics> {
    let word = |at: usize| Some(u32::from_le_bytes(*page.get(at..)?.first_chunk::<4>()?));
    let long = |at: usize| Some(u64::from_le_bytes(*page.get(at..)?.first_chunk::<8>()?));
    let kind = match word(0)? {
        MAGIC_EBS => Kind::Ebs,
        MAGIC_INSTANCE_STORE => Kind::InstanceStore,
        _ => return None,
    };
    Some(Statistics {
        kind,
        version: word(4)?,
        read_ops: long(8)?,
        write_ops: long(16)?,
        read_bytes: long(24)?,
        write_bytes: long(32)?,
        read_us: long(40)?,
        write_us: long(48)?,
        volume_iops_exceeded_us: long(56)?,
        volume_throughput_exceeded_us: long(64)?,
        instance_iops_exceeded_us: long(72)?,
        instance_throughput_exceeded_us: long(80)?,
        queue_length: long(88)?,
        reads: histogram(page, HISTOGRAM_AT),
        writes: histogram(page, HISTOGRAM_AT + HISTOGRAM_BYTES),
    })
}

/// The bins that hold something; none when the page is cut short.
fn histogram(page: &[u8], at: usize) -> Vec<Bin> {
    let Some(bytes) = page.get(at..at + HISTOGRAM_BYTES) else {
        return Vec::new();
    };
    let (head, bins) = bytes.split_at(8);
    let count = head.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    let count = usize::try_from(count).map_or(MAX_BINS, |count| count.min(MAX_BINS));
    bins.chunks_exact(BIN_BYTES)
        .take(count)
        .filter_map(|bin| {
            let long = |at: usize| Some(u64::from_le_bytes(*bin.get(at..)?.first_chunk::<8>()?));
            Some(Bin {
                from_us: long(0)?,
                to_us: long(8)?,
                count: u32::from_le_bytes(*bin.get(16..)?.first_chunk::<4>()?),
            })
        })
        .filter(|bin| bin.count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page as a volume gives it, laid out by hand after the header file.
    fn page(magic: u32, numbers: &[u64], writes: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut page = vec![0; LOG_BYTES];
        page[..4].copy_from_slice(&magic.to_le_bytes());
        page[4] = 1;
        for (at, number) in numbers.iter().enumerate() {
            page[8 + at * 8..16 + at * 8].copy_from_slice(&number.to_le_bytes());
        }
        let at = HISTOGRAM_AT + HISTOGRAM_BYTES;
        page[at..at + 8].copy_from_slice(&(writes.len() as u64).to_le_bytes());
        for (i, (from, to, count)) in writes.iter().enumerate() {
            let at = at + 8 + i * BIN_BYTES;
            page[at..at + 8].copy_from_slice(&from.to_le_bytes());
            page[at + 8..at + 16].copy_from_slice(&to.to_le_bytes());
            page[at + 16..at + 20].copy_from_slice(&count.to_le_bytes());
        }
        page
    }

    #[test]
    fn a_throttled_volume_says_so_and_since_when() {
        let numbers = |iops| {
            [
                10, 2_000, 40_960, 8_192_000, 9_000, 1_600_000, iops, 7, 0, 0, 3,
            ]
        };
        let before = page(
            MAGIC_EBS,
            &numbers(1_000_000),
            &[(0, 512, 90), (512, 1024, 10)],
        );
        let mut later = numbers(5_500_000);
        later[1] = 2_500;
        let after = page(MAGIC_EBS, &later, &[(0, 512, 90), (512, 1024, 510)]);
        let (before, after) = (parse(&before).unwrap(), parse(&after).unwrap());
        assert_eq!(before.kind, Kind::Ebs);
        assert_eq!((before.queue_length, before.write_us), (3, 1_600_000));
        let delta = after.since(&before).unwrap();
        assert_eq!(delta.exceeded_us(), 4_500_000);
        assert_eq!(delta.write_ops, 500);
        let grown = Bin {
            from_us: 512,
            to_us: 1024,
            count: 500,
        };
        assert_eq!(delta.writes, [grown]);
        // Detached and attached again.
        assert_eq!(before.since(&after), None);
    }

    #[test]
    fn other_devices_and_cut_pages() {
        assert_eq!(parse(&[0; LOG_BYTES]), None);
        assert_eq!(parse(&[]), None);
        let whole = page(MAGIC_INSTANCE_STORE, &[1; 11], &[(0, 1, 2)]);
        let parsed = parse(&whole).unwrap();
        assert_eq!((parsed.kind, parsed.writes.len()), (Kind::InstanceStore, 1));
        let head = parse(&whole[..600]).unwrap();
        assert_eq!((head.queue_length, head.writes.len()), (1, 0));
        assert_eq!(parse(&whole[..90]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(mut bytes: Vec<u8>, ebs: bool) {
            if ebs && bytes.len() > 4 {
                bytes[..4].copy_from_slice(&MAGIC_EBS.to_le_bytes());
            }
            if let Some(page) = parse(&bytes) {
                let _ = page.since(&page);
            }
        }
    }
}
