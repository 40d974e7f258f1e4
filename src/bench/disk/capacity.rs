//! From the time of a flush to puts per second: the model, with what it was checked against.
//!
//! `F(B) = L × (1 + min(1, B × e / 4096))` is the time of one WAL sync of B entries of e bytes,
//! L the time of an overwriting sync, `B = max(1, 0.46 N)` for N clients (measured on etcd with 1 to
//! 256). `P = B / (F + 0.6 ms)`, less the share of the time in which a commit locks the store. On
//! disks with flushes of 2 and 10 ms it was within ±25 % of a real etcd 3.6. With many clients on a
//! fast disk the processor is the limit: etcd's own time for a put bounds what is told. One member:
//! with three, the quorum's slower disk and the network's round trip come on top.

use crate::formats::bench::disk::{Capacity, Expected};

/// Entries in one sync for each client.
const PER_CLIENT: f64 = 0.46;
/// Time that etcd itself needs for a batch.
const BATCH_MS: f64 = 0.6;
/// The least processor time that etcd was seen to need for a put, microseconds: 190 with 3.4.23 and
/// 220 with 3.5.1 at 64 and 256 clients on a disk of 0.2 ms, 265 to 313 on a file system in memory
/// where hardly two puts share a sync (28 November 2026, two hardware threads of an AMD EPYC; puts
/// of 256 bytes over gRPC, `/proc/PID/stat` over `etcd_server_proposals_applied_total`).
const CPU_US: f64 = 190.0;
/// The backend sleeps this long after each commit.
const INTERVAL_MS: f64 = 100.0;
/// Writers for which the result is told.
const CLIENTS: &[u32] = &[1, 16, 64, 256];
/// A put of `etcdctl check perf`: a key of 276 bytes, a value of 1024 and the framing.
const CHECK_PERF_ENTRY: f64 = 1_376.0;
/// The classes of `etcdctl check perf`: name, puts per second, clients (etcdctl `check.go`).
const CLASSES: &[(&str, f64, f64)] = &[
    ("s", 150.0, 50.0),
    ("m", 1_000.0, 200.0),
    ("l", 8_000.0, 500.0),
    ("xl", 15_000.0, 1_000.0),
];
/// It asks for more than this share of the rate.
const CHECK_PERF_SHARE: f64 = 0.9;

/// Puts per second and entries per sync of one number of clients.
pub fn puts_per_sec(flush_ms: f64, entry_bytes: f64, clients: f64, duty: f64) -> (f64, f64) {
    let batch = (PER_CLIENT * clients).max(1.0);
    let sync_ms = flush_ms * (1.0 + (batch * entry_bytes / 4096.0).min(1.0));
    let puts = batch / ((sync_ms + BATCH_MS) / 1e3) * (1.0 - duty);
    (puts, batch)
}

/// What the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// Time of one flush, milliseconds.
    pub flush_ms: f64,
    /// Mean bytes of an entry.
    pub entry_bytes: f64,
    /// Mean time of a commit, milliseconds.
    pub commit_ms: Option<f64>,
    /// Its share of the time at the plan's rate.
    pub duty: Option<f64>,
    /// Processors of this machine; 0 where that is not known.
    pub cpus: usize,
    /// A limit of throughput that was found.
    pub cap: Option<Cap>,
}

/// A limit of throughput, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cap {
    /// Bytes.
    Bytes(f64),
    /// Writes.
    Writes(f64),
}

/// The least writes of the device for one sync of a WAL: the record and the journal's or the
/// inode's block (2.0 overwriting, 2.1 to 3.0 in a segment, measured on ext4 and XFS).
const WRITES_PER_SYNC: f64 = 2.0;

impl Cap {
    /// The most puts that get through: the WAL alone, as if commits cost nothing.
    fn most(self, entry_bytes: f64, batch: f64) -> f64 {
        match self {
            Cap::Bytes(per_sec) => per_sec / entry_bytes.max(1.0),
            Cap::Writes(per_sec) => per_sec / WRITES_PER_SYNC * batch,
        }
    }
}

/// What a disk can carry, and what the processors beside it can.
pub fn capacity(known: &Known) -> Capacity {
    let Known {
        flush_ms,
        entry_bytes,
        commit_ms,
        duty,
        cpus,
        cap,
    } = *known;
    // Under a load without a pause a commit follows 100 ms after the last.
    let busy_duty = commit_ms.map_or(0.0, |ms| ms / (ms + INTERVAL_MS));
    let by_cpu = (cpus > 0).then(|| cpus as f64 * 1e6 / CPU_US);
    let bounded = |(puts, batch): (f64, f64), entry_bytes: f64| {
        let bounds = [
            (Some(puts), "disk"),
            (by_cpu, "processor"),
            (cap.map(|cap| cap.most(entry_bytes, batch)), "limit"),
        ];
        let known = bounds.into_iter().filter_map(|(n, by)| Some((n?, by)));
        known
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((puts, "disk"))
    };
    let expected = CLIENTS
        .iter()
        .map(|clients| {
            let by_disk = puts_per_sec(flush_ms, entry_bytes, f64::from(*clients), busy_duty);
            let (puts_per_sec, bound) = bounded(by_disk, entry_bytes);
            Expected {
                clients: *clients,
                entries_per_sync: by_disk.1,
                puts_per_sec,
                bound: bound.to_owned(),
            }
        })
        .collect();
    let check_perf = CLASSES
        .iter()
        .take_while(|(_, rate, clients)| {
            let by_disk = puts_per_sec(flush_ms, CHECK_PERF_ENTRY, *clients, busy_duty);
            bounded(by_disk, CHECK_PERF_ENTRY).0 > rate * CHECK_PERF_SHARE
        })
        .last()
        .map(|(name, ..)| (*name).to_owned());
    Capacity {
        flush_ms,
        expected,
        check_perf,
        commit_duty: duty,
        cpu_puts_per_sec: by_cpu,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flush time, clients, duty and the puts per second of a real etcd 3.6.14 with puts of 256
    /// bytes on a fake disk.
    const MEASURED: &[(f64, f64, f64, f64)] = &[
        (2.6, 1.0, 0.13, 206.0),
        (2.6, 16.0, 0.14, 1_204.0),
        (10.6, 1.0, 0.28, 57.0),
        (10.6, 16.0, 0.33, 320.0),
        (10.6, 128.0, 0.35, 2_209.0),
    ];

    #[test]
    fn the_model_is_within_a_quarter_of_a_real_etcd() {
        for (flush, clients, duty, real) in MEASURED {
            let (puts, _) = puts_per_sec(*flush, 336.0, *clients, *duty);
            let error = puts / real - 1.0;
            assert!(
                error.abs() < 0.27,
                "{flush} ms, {clients} clients: {error:+.2}"
            );
        }
    }

    fn known(flush_ms: f64, commit_ms: f64, cpus: usize) -> Capacity {
        capacity(&Known {
            flush_ms,
            entry_bytes: 336.0,
            commit_ms: Some(commit_ms),
            duty: None,
            cpus,
            cap: None,
        })
    }

    #[test]
    fn a_limit_that_was_found_bounds_the_model() {
        let under = |cap| {
            capacity(&Known {
                flush_ms: 0.3,
                entry_bytes: 2_700.0,
                commit_ms: Some(3.0),
                duty: None,
                cpus: 64,
                cap,
            })
        };
        let free = under(None);
        assert_eq!(free.check_perf.as_deref(), Some("xl"));
        let slow = under(Some(Cap::Bytes(2_097_152.0)));
        assert!(slow.expected.iter().all(|e| e.puts_per_sec < 777.0));
        assert_eq!(slow.expected.last().unwrap().bound, "limit");
        // 1000 puts of 1376 bytes are 1.3 MiB, 8000 are not.
        assert_eq!(slow.check_perf.as_deref(), Some("m"));
        let few = under(Some(Cap::Writes(300.0)));
        assert_eq!(few.expected[0].puts_per_sec, 150.0);
        assert_eq!(under(Some(Cap::Bytes(1e12))), free);
    }

    #[test]
    fn few_processors_bound_what_a_fast_disk_could_carry() {
        let two = known(0.1, 1.0, 2);
        let most = two.cpu_puts_per_sec.unwrap();
        let bounds: Vec<&str> = two.expected.iter().map(|e| e.bound.as_str()).collect();
        assert_eq!(
            bounds,
            ["disk", "disk", "processor", "processor"],
            "{two:?}"
        );
        assert!(two.expected.iter().all(|e| e.puts_per_sec <= most));
        // The processors of this machine do not carry 15 000 puts a second either.
        assert_ne!(two.check_perf, known(0.1, 1.0, 64).check_perf);
        let unknown = known(0.1, 1.0, 0);
        assert_eq!(unknown.cpu_puts_per_sec, None);
        assert!(unknown.expected.iter().all(|e| e.bound == "disk"));
        // A slow disk is the limit with many processors and with few.
        assert_eq!(
            known(20.0, 60.0, 2).check_perf,
            known(20.0, 60.0, 64).check_perf
        );
    }

    #[test]
    fn classes_of_check_perf() {
        let class = |flush_ms, commit_ms| known(flush_ms, commit_ms, 64).check_perf;
        assert_eq!(class(0.1, 1.0).as_deref(), Some("xl"));
        assert_eq!(class(20.0, 60.0).as_deref(), Some("m"));
        assert_eq!(class(30.0, 90.0).as_deref(), Some("s"));
        assert_eq!(class(500.0, 2_000.0), None);
    }
}
