//! What the servers counted in the same time: their own metrics, before and after.

use std::collections::BTreeMap;

use crate::formats::prometheus::{Sample, Sink, scan};

/// A histogram as a scrape has it: cumulative counts by bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cumulative {
    /// Bound in seconds and values up to it.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of all values in seconds.
    pub sum: f64,
    /// How many.
    pub count: f64,
}

/// What one scrape of a member tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// WAL fsync.
    pub fsync: Option<Cumulative>,
    /// Backend commit.
    pub commit: Option<Cumulative>,
    /// Round trips to all peers.
    pub peer: Option<Cumulative>,
    /// CPU seconds of the process.
    pub cpu_secs: Option<f64>,
    /// Its resident bytes.
    pub resident: Option<f64>,
    /// When it started, seconds since the epoch.
    pub started: Option<f64>,
    /// Leader changes it has seen.
    pub leader_changes: Option<f64>,
    /// Proposals that failed.
    pub proposals_failed: Option<f64>,
    /// Slow applies.
    pub slow_applies: Option<f64>,
    /// Bytes to its clients.
    pub bytes_out: Option<f64>,
    /// Bytes from its clients.
    pub bytes_in: Option<f64>,
    /// The quota in force; 0 or less: none.
    pub quota: Option<f64>,
}

/// Scalars by metric name; labels are summed.
const SCALARS: [&str; 9] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_slow_apply_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_server_quota_backend_bytes",
];

const HISTOGRAMS: [&str; 3] = [
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_network_peer_round_trip_time_seconds",
];

#[derive(Default)]
struct Reader {
    scalars: BTreeMap<&'static str, f64>,
    histograms: BTreeMap<&'static str, (BTreeMap<u64, f64>, f64, f64)>,
}

/// The histogram that a sample belongs to, and what it is of it.
fn part(name: &[u8]) -> Option<(&'static str, &[u8])> {
    HISTOGRAMS
        .iter()
        .find_map(|known| Some((*known, name.strip_prefix(known.as_bytes())?)))
        .filter(|(_, rest)| matches!(*rest, b"_bucket" | b"_sum" | b"_count"))
}

impl Sink for Reader {
    fn wants(&mut self, name: &[u8]) -> bool {
        SCALARS.iter().any(|known| known.as_bytes() == name) || part(name).is_some()
    }

    fn family(&mut self, _: &[u8], _: &[u8]) {}

    fn sample(&mut self, sample: &Sample<'_, '_>) {
        if let Some((known, rest)) = part(sample.name) {
            let entry = self.histograms.entry(known).or_default();
            match rest {
                b"_sum" => entry.1 += sample.value,
                b"_count" => entry.2 += sample.value,
                _ => {
                    let le = sample.labels.iter().find(|label| label.name == b"le");
                    let bound = le
                        .and_then(|le| crate::formats::prometheus::number(&le.value()))
                        .filter(|bound| *bound >= 0.0);
                    if let Some(bound) = bound {
                        // Bits of positive numbers are in the numbers' order.
                        *entry.0.entry(bound.to_bits()).or_default() += sample.value;
                    }
                }
            }
        } else if let Some(known) = SCALARS.iter().find(|k| k.as_bytes() == sample.name) {
            *self.scalars.entry(known).or_default() += sample.value;
        }
    }
}

impl Counters {
    /// Reads a scrape.
    pub fn parse(text: &[u8]) -> Counters {
        let mut reader = Reader::default();
        scan(text, &mut reader);
        let scalar = |name: &str| reader.scalars.get(name).copied();
        let histogram = |name: &str| {
            let (buckets, sum, count) = reader.histograms.get(name)?;
            Some(Cumulative {
                buckets: buckets
                    .iter()
                    .map(|(bits, count)| (f64::from_bits(*bits), *count))
                    .collect(),
                sum: *sum,
                count: *count,
            })
        };
        let [fsync, commit, peer] = HISTOGRAMS.map(histogram);
        let [
            cpu,
            resident,
            started,
            leader,
            failed,
            slow,
            out,
            received,
            quota,
        ] = SCALARS.map(scalar);
        Counters {
            fsync,
            commit,
            peer,
            cpu_secs: cpu,
            resident,
            started,
            leader_changes: leader,
            proposals_failed: failed,
            slow_applies: slow,
            bytes_out: out,
            bytes_in: received,
            quota,
        }
    }
}

/// A distribution between two scrapes. Quantiles are brackets: the truth lies within a bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Between {
    /// Values.
    pub count: f64,
    /// Their mean in seconds.
    pub mean: f64,
    /// Their sum in seconds.
    pub sum: f64,
    /// Bounds of the bucket that holds the 99th percentile, in seconds.
    pub p99: (f64, f64),
}

/// What a member did between two scrapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Seconds between the two. A member that stands still answers the second one late, and what it did until
    /// then is in it: more than the load's own time.
    pub secs: f64,
    /// WAL fsync.
    pub fsync: Option<Between>,
    /// Backend commit.
    pub commit: Option<Between>,
    /// Round trips to its peers.
    pub peer: Option<Between>,
    /// CPU seconds.
    pub cpu_secs: Option<f64>,
    /// Resident bytes afterwards.
    pub resident: Option<f64>,
    /// Leader changes.
    pub leader_changes: Option<f64>,
    /// Proposals that failed.
    pub proposals_failed: Option<f64>,
    /// Slow applies.
    pub slow_applies: Option<f64>,
    /// Bytes to clients.
    pub bytes_out: Option<f64>,
    /// Bytes from clients.
    pub bytes_in: Option<f64>,
}

impl Delta {
    /// The seconds that its counts are of, where the load took `load` of them.
    pub fn window(&self, load: f64) -> f64 {
        self.secs.max(load)
    }
}

/// The change of one member; `None` when it was restarted in between, so that its counters began
/// anew.
pub fn between(before: &Counters, after: &Counters) -> Option<Delta> {
    if before.started != after.started {
        return None;
    }
    Some(Delta {
        secs: 0.0,
        fsync: histogram(before.fsync.as_ref(), after.fsync.as_ref()),
        commit: histogram(before.commit.as_ref(), after.commit.as_ref()),
        peer: histogram(before.peer.as_ref(), after.peer.as_ref()),
        cpu_secs: rise(before.cpu_secs, after.cpu_secs),
        resident: after.resident,
        leader_changes: rise(before.leader_changes, after.leader_changes),
        proposals_failed: rise(before.proposals_failed, after.proposals_failed),
        slow_applies: rise(before.slow_applies, after.slow_applies),
        bytes_out: rise(before.bytes_out, after.bytes_out),
        bytes_in: rise(before.bytes_in, after.bytes_in),
    })
}

fn rise(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    Some(after? - before?).filter(|rise| *rise >= 0.0)
}

fn histogram(before: Option<&Cumulative>, after: Option<&Cumulative>) -> Option<Between> {
    let after = after?;
    // A histogram with labels appears with its first value.
    let empty = Cumulative::default();
    let before = before.unwrap_or(&empty);
    let count = after.count - before.count;
    let sum = after.sum - before.sum;
    if count <= 0.0 || sum < 0.0 {
        return None;
    }
    let at = |buckets: &[(f64, f64)], bound: f64| {
        buckets
            .iter()
            .find(|(le, _)| *le == bound)
            .map_or(0.0, |(_, count)| *count)
    };
    let wanted = 0.99 * count;
    let mut low = 0.0;
    let mut p99 = (0.0, f64::INFINITY);
    for (le, cumulative) in &after.buckets {
        if cumulative - at(&before.buckets, *le) >= wanted {
            p99 = (low, *le);
            break;
        }
        low = *le;
        p99 = (low, f64::INFINITY);
    }
    Some(Between {
        count,
        mean: sum / count,
        sum,
        p99,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &[u8] = b"\
process_start_time_seconds 1000
process_cpu_seconds_total 10
etcd_server_quota_backend_bytes 2.147483648e+09
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 10
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.002\"} 10
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 10
etcd_disk_wal_fsync_duration_seconds_sum 0.005
etcd_disk_wal_fsync_duration_seconds_count 10
";
    const AFTER: &[u8] = b"\
process_start_time_seconds 1000
process_cpu_seconds_total 12.5
etcd_server_quota_backend_bytes 2.147483648e+09
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 60
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.002\"} 110
etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 110
etcd_disk_wal_fsync_duration_seconds_sum 0.125
etcd_disk_wal_fsync_duration_seconds_count 110
etcd_network_peer_round_trip_time_seconds_bucket{To=\"a\",le=\"0.1\"} 2
etcd_network_peer_round_trip_time_seconds_bucket{To=\"b\",le=\"0.1\"} 2
etcd_network_peer_round_trip_time_seconds_sum{To=\"a\"} 0.1
etcd_network_peer_round_trip_time_seconds_sum{To=\"b\"} 0.1
etcd_network_peer_round_trip_time_seconds_count{To=\"a\"} 2
etcd_network_peer_round_trip_time_seconds_count{To=\"b\"} 2
";

    #[test]
    fn the_change_between_two_scrapes() {
        let (before, after) = (Counters::parse(BEFORE), Counters::parse(AFTER));
        assert_eq!(before.quota, Some(2_147_483_648.0));
        let delta = between(&before, &after).unwrap();
        let fsync = delta.fsync.unwrap();
        assert_eq!(fsync.count, 100.0);
        assert!((fsync.mean - 0.0012).abs() < 1e-9);
        assert_eq!(fsync.p99, (0.001, 0.002));
        assert_eq!(delta.cpu_secs, Some(2.5));
        // Labels are summed, and a metric that appeared counts from nothing.
        assert_eq!(delta.peer.unwrap().count, 4.0);
        assert_eq!(delta.commit, None);
        assert_eq!(delta.leader_changes, None, "absent is not zero");
    }

    #[test]
    fn a_restart_in_between_tells_nothing() {
        let before = Counters::parse(BEFORE);
        let mut after = Counters::parse(AFTER);
        after.started = Some(2000.0);
        assert_eq!(between(&before, &after), None);
    }
}
