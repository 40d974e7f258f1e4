//! Keys of benches: what this program measured itself by writing.

use crate::evidence::{Histogram, Table};

keys! {
    BENCH;
    /// Whether flushes reach the disk, by mount options, cache and the flushes that the bench
    /// counted: `on`, `off`, `not-needed`, `unknown`.
    BENCH_DISK_BARRIER: String = "bench.disk.barrier", None, Latest;
    /// Commits of the bench's database: from the first page to the second sync.
    BENCH_DISK_COMMIT: Histogram = "bench.disk.commit", Ms, Latest;
    /// Share of the time in which such a commit was under way at the plan's rate.
    BENCH_DISK_COMMIT_DUTY: f64 = "bench.disk.commit.duty", Ratio, Latest;
    /// The fsync curve: rows by bytes before each sync; columns `mean_ms`, `p50_ms`, `p99_ms`,
    /// `per_sec`, `flushes`.
    BENCH_DISK_CURVE: Table = "bench.disk.curve", None, Latest;
    /// What to keep in mind about the bench: one row each.
    BENCH_DISK_DOUBTS: Table = "bench.disk.doubts", None, Latest;
    /// From the moment a record was due to its being durable.
    BENCH_DISK_DURABLE: Histogram = "bench.disk.durable", Ms, Latest;
    /// Mean time of one flush by the device's counters.
    BENCH_DISK_FLUSH_TIME: f64 = "bench.disk.flush.time", Ms, Latest;
    /// What one sync costs: rows `append`, `small`, `fio`, `overwrite`; columns `flushes`,
    /// `expected_flushes`, `writes`, `device_bytes`.
    BENCH_DISK_LEDGER: Table = "bench.disk.ledger", None, Latest;
    /// The verdict: `heavy-load-ok`, `ok`, `marginal`, `not-for-etcd`, `inconclusive`, `unsafe`.
    BENCH_DISK_LEVEL: String = "bench.disk.level", None, Latest;
    /// What was written, when and where, in words: results of other plans are not comparable.
    BENCH_DISK_PLAN: String = "bench.disk.plan", None, Latest;
    /// Where the throughput stops to rise, if somebody limits it.
    BENCH_DISK_PLATEAU: f64 = "bench.disk.plateau", BytesPerSec, Latest;
    /// Puts per second that the model expects: rows by number of clients; columns `puts_per_sec`,
    /// `entries_per_sync`.
    BENCH_DISK_PUTS: Table = "bench.disk.puts", None, Latest;
    /// The rounds of the main measurement: columns `samples`, `mean_ms`, `p50_ms`, `p99_ms`,
    /// `durable_p99_ms`, `syncs_per_sec`, `commit_mean_ms`.
    BENCH_DISK_ROUNDS: Table = "bench.disk.rounds", None, Latest;
    /// How much later the WAL's p99 is with commits on the same device, as a share; there only
    /// where the difference is larger than chance.
    BENCH_DISK_WAL_DB_COST: f64 = "bench.disk.wal.db-cost", Ratio, Latest;
    /// fdatasync of the bench's WAL.
    BENCH_DISK_SYNC: Histogram = "bench.disk.wal.sync", Ms, Latest;
    /// Why the verdict is what it is.
    BENCH_DISK_WHY: String = "bench.disk.why", None, Latest;
}
