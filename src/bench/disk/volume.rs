//! What a volume says itself of its limits: the statistics of Amazon's NVMe devices before and after.
//! No measurement from inside is as sure, and reading them writes nothing.

use crate::formats::bench::observe::VolumeLimits;
use crate::formats::ebs::{self, Statistics};

/// Its statistics, where it keeps any.
pub fn read(page: Option<Vec<u8>>) -> Option<Statistics> {
    ebs::parse(&page?)
}

/// For how long its limits were exceeded between two readings.
pub fn limits(before: &Statistics, after: &Statistics) -> Option<VolumeLimits> {
    let window = after.since(before)?;
    Some(VolumeLimits {
        instance_store: after.kind == ebs::Kind::InstanceStore,
        volume_us: window
            .volume_iops_exceeded_us
            .max(window.volume_throughput_exceeded_us),
        instance_us: window
            .instance_iops_exceeded_us
            .max(window.instance_throughput_exceeded_us),
        since_attach_us: after.exceeded_us(),
    })
}

/// One sentence about a bench's volume; `None` when no limit was met.
pub fn words(name: &str, limits: &VolumeLimits) -> Option<String> {
    let time = |us: u64| crate::units::format_ms(us as f64 / 1e3);
    let mut parts = Vec::new();
    for (who, us) in [
        ("its own", limits.volume_us),
        ("this machine's", limits.instance_us),
    ] {
        if us > 0 {
            parts.push(format!("{who} for {}", time(us)));
        }
    }
    (!parts.is_empty()).then(|| {
        format!(
            "the volume {name} says that limits were exceeded meanwhile: {} (since it was attached: {})",
            parts.join(", "),
            time(limits.since_attach_us)
        )
    })
}

#[cfg(test)]
pub(in crate::bench::disk) mod tests {
    use super::*;

    /// A page of an EBS volume whose throughput limits were exceeded for so long.
    pub(in crate::bench::disk) fn page(volume_us: u64, instance_us: u64) -> Vec<u8> {
        let mut page = vec![0; ebs::LOG_BYTES];
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &0x3C23_B510u32.to_le_bytes());
        put(64, &volume_us.to_le_bytes());
        put(80, &instance_us.to_le_bytes());
        page
    }

    #[test]
    fn a_volume_tells_whose_limit_was_met_and_for_how_long() {
        let at = |volume, instance| read(Some(page(volume, instance))).unwrap();
        let met = limits(&at(5_000, 0), &at(1_505_000, 40_000)).unwrap();
        assert_eq!((met.volume_us, met.instance_us), (1_500_000, 40_000));
        let text = words("nvme1n1", &met).unwrap();
        assert!(
            text.contains("its own for 1.5 s, this machine's for 40"),
            "{text}"
        );
        let calm = limits(&at(9, 9), &at(9, 9)).unwrap();
        assert_eq!(words("nvme1n1", &calm), None);
        // Attached anew in between: its counters began again.
        assert_eq!(limits(&at(9, 0), &at(1, 0)), None);
        assert_eq!(read(Some(vec![0; 4096])), None);
        assert_eq!(read(None), None);
    }
}
