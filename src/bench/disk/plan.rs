//! From what the user asks for to a plan with every number in it.

use crate::formats::bench::disk::{Arrivals, Growth, Plan, PlanName, RecordSize, Records};

/// etcd's segment length (`wal.SegmentSizeBytes`): 64 * 1000 * 1000, not MiB.
pub const SEGMENT_BYTES: u64 = 64_000_000;
/// Smallest segment that may be asked for.
pub const LEAST_SEGMENT_BYTES: u64 = 8_000_000;
/// One HardState record, which etcd writes with every batch of entries.
pub const HARD_STATE_BYTES: u32 = 40;
/// The name and sizes of a profile of records.
type Named = (&'static str, &'static [(u32, f64)]);
/// The profiles. Sizes are bytes in the WAL: value, key and about 80 bytes of framing.
const PROFILES: &[Named] = &[
    // A value of 256 bytes: 376 bytes with the HardState, as strace saw with etcd 3.4 to 3.6.
    ("put256", &[(336, 1.0)]),
    ("lease", &[(480, 1.0)]),
    // A guess at what an apiserver writes: leases and small updates, pods, nodes, large objects.
    (
        "k8s",
        &[(500, 0.60), (2300, 0.30), (8192, 0.09), (102_400, 0.01)],
    ),
    ("fio", &[(2300, 1.0)]),
    ("large", &[(102_400, 1.0)]),
];
/// Record sizes of the whole curve, in bytes before each sync.
const CURVE: &[u32] = &[
    376, 512, 1_024, 2_300, 3_072, 4_096, 8_192, 16_384, 32_768, 65_536, 102_400,
];
/// What a quick plan measures of the curve.
const SHORT_CURVE: &[u32] = &[8_192];

/// Reads a record profile: a name or a number of bytes.
pub fn records(text: &str) -> Result<Records, String> {
    let known = PROFILES.iter().find(|(name, _)| *name == text);
    if let Some((name, sizes)) = known {
        return Ok(Records {
            name: (*name).to_owned(),
            sizes: sizes
                .iter()
                .map(|(bytes, share)| RecordSize {
                    bytes: *bytes,
                    share: *share,
                })
                .collect(),
            // fio writes its block and nothing else.
            per_sync_bytes: if *name == "fio" { 0 } else { HARD_STATE_BYTES },
        });
    }
    let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
    let bytes: u32 = text
        .parse()
        .ok()
        .filter(|bytes| (32..=10_000_000).contains(bytes))
        .ok_or_else(|| {
            format!(
                "`{text}` is neither one of {} nor a number of bytes from 32 to 10000000",
                names.join(", ")
            )
        })?;
    Ok(Records {
        name: text.to_owned(),
        sizes: vec![RecordSize { bytes, share: 1.0 }],
        per_sync_bytes: HARD_STATE_BYTES,
    })
}

/// Mean bytes of one record.
pub fn mean_bytes(records: &Records) -> f64 {
    records
        .sizes
        .iter()
        .map(|size| f64::from(size.bytes) * size.share)
        .sum()
}

/// A plan with the numbers of its name; records, arrivals and directories as they are by default.
pub fn named(name: PlanName) -> Plan {
    let quick = Plan {
        name,
        records: records("k8s").unwrap_or_default(),
        arrivals: Arrivals::default(),
        segment_bytes: SEGMENT_BYTES,
        crc: true,
        growth: Growth::Bbolt137,
        warm_up_secs: 0.3,
        rounds: 4,
        round_secs: 2.5,
        idle_secs: 1.0,
        point_secs: 1.5,
        curve_bytes: SHORT_CURVE.to_vec(),
        real_time_secs: 2.0,
        seed: 1,
        ..Plan::default()
    };
    match name {
        PlanName::Quick => quick,
        PlanName::Standard => Plan {
            rounds: 5,
            round_secs: 8.0,
            idle_secs: 2.0,
            point_secs: 2.0,
            curve_bytes: CURVE.to_vec(),
            contention_secs: 5.0,
            real_time_secs: 3.0,
            throttle_probe: true,
            warm_up_secs: 0.5,
            ..quick
        },
        PlanName::Soak => Plan {
            name,
            rounds: 28,
            round_secs: 60.0,
            ..named(PlanName::Standard)
        },
    }
}

/// The most bytes that the plan has on the disk at one time, files and all.
///
/// etcd itself holds two segments at least. Segments are removed from the sixth on, as etcd does
/// (`--max-wals=5`).
pub fn most_bytes(plan: &Plan) -> u64 {
    const MAX_SEGMENTS: u64 = 7;
    let per_sec = match plan.arrivals {
        Arrivals::Constant { per_sec } | Arrivals::Poisson { per_sec } => per_sec,
        // As fast as a fast disk can.
        Arrivals::Clients { clients } => 5_000.0 * f64::from(clients.max(1)).sqrt(),
    };
    let longest = plan.round_secs.max(plan.contention_secs) + plan.warm_up_secs;
    let round = crate::bench::stats::whole(per_sec * mean_bytes(&plan.records) * longest);
    let segments = (round / plan.segment_bytes.max(1) + 2).min(MAX_SEGMENTS);
    let wal = segments * plan.segment_bytes;
    let db = if plan.wal_only {
        0
    } else {
        // Twice the payload: pages are not full, and growth goes ahead by 16 MiB.
        plan.db_prefill_bytes + round * 2 + (32 << 20)
    };
    wal + db
}

/// Seconds that the plan takes when nothing ends it early.
pub fn seconds(plan: &Plan) -> f64 {
    let runs = |count: f64, secs: f64| count * (secs + plan.warm_up_secs);
    let ledger = 4.0 * plan.point_secs;
    let curve = plan.curve_bytes.len() as f64 * plan.point_secs;
    let contention = if plan.contention_secs > 0.0 && !plan.wal_only {
        runs(4.0, plan.contention_secs / 2.0)
    } else {
        0.0
    };
    let throttle = if plan.throttle_probe { 10.0 } else { 0.0 };
    plan.idle_secs
        + ledger
        + curve
        + contention
        + runs(f64::from(plan.rounds), plan.round_secs)
        + 2.0 * plan.real_time_secs
        + throttle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_shares_of_one_and_numbers_are_sizes() {
        for (name, _) in PROFILES {
            let sum: f64 = records(name).unwrap().sizes.iter().map(|s| s.share).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{name}");
        }
        assert_eq!(records("4096").unwrap().sizes[0].bytes, 4096);
        assert_eq!(records("fio").unwrap().per_sync_bytes, 0);
        assert!(records("31").is_err());
        assert!(records("huge").unwrap_err().contains("put256"));
    }

    #[test]
    fn plans_take_about_as_long_as_they_say() {
        for (name, low, high) in [
            (PlanName::Quick, 12.0, 25.0),
            (PlanName::Standard, 80.0, 140.0),
            (PlanName::Soak, 1_500.0, 2_000.0),
        ] {
            let plan = named(name);
            // A soak that took itself for a standard plan would end early.
            assert_eq!(plan.name, name);
            let secs = seconds(&plan);
            assert!((low..high).contains(&secs), "{name:?}: {secs}");
        }
    }

    #[test]
    fn space_is_bounded_whatever_is_asked() {
        let mut plan = named(PlanName::Quick);
        assert!(most_bytes(&plan) < 300_000_000);
        plan.arrivals = Arrivals::Constant { per_sec: 1e6 };
        assert!(most_bytes(&plan) > 1 << 30);
        plan.wal_only = true;
        assert_eq!(most_bytes(&plan), 7 * SEGMENT_BYTES);
    }
}
