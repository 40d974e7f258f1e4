//! Keys of `bench etcd`: what a load on a live cluster came to.
//!
//! Readings are about the whole cluster, or about a member where they say so.

use crate::evidence::Table;

keys! {
    BENCH_ETCD;
    /// The highest class of etcdctl's check perf that passed: `s`, `m`, `l`, `xl`, or `none`.
    BENCH_ETCD_CHECK_PERF: String = "bench.etcd.check-perf", None, Latest;
    /// Processor time of the load generator for each request, in microseconds.
    BENCH_ETCD_CLIENT_COST: f64 = "bench.etcd.client.cost", None, Latest;
    /// Share of the one processor that the load generator can use.
    BENCH_ETCD_CLIENT_SHARE: f64 = "bench.etcd.client.share", Ratio, Latest;
    /// Requests that failed, by kind of error; column `count`.
    BENCH_ETCD_ERRORS: Table = "bench.etcd.errors", Count, Latest;
    /// What limited the load: `disk`, `cpu`, `network`, `client`, `concurrency`, `none`, `unknown`.
    BENCH_ETCD_LIMIT: String = "bench.etcd.limit", None, Latest;
    /// Mean round trip to a member's peers under the load.
    BENCH_ETCD_MEMBER_PEER: f64 = "bench.etcd.member.peer", Ms, Latest;
    /// Processors that a member kept busy under the load.
    BENCH_ETCD_MEMBER_CPU: f64 = "bench.etcd.member.processors", Count, Latest;
    /// Mean WAL fsync of a member under the load.
    BENCH_ETCD_MEMBER_FSYNC: f64 = "bench.etcd.member.wal.fsync", Ms, Latest;
    /// Share of the run in which a member waited for its WAL.
    BENCH_ETCD_MEMBER_FSYNC_DUTY: f64 = "bench.etcd.member.wal.fsync.duty", Ratio, Latest;
    /// A read of one key from the idle cluster.
    BENCH_ETCD_READ_IDLE: f64 = "bench.etcd.read.idle", Ms, Latest;
    /// The same read during the load.
    BENCH_ETCD_READ_LOADED: f64 = "bench.etcd.read.loaded", Ms, Latest;
    /// The runs: one row each; columns `per_sec`, `count`, `errors`, `mean_ms`, `p50_ms`, `p99_ms`,
    /// `max_ms`, `clients`, `connections`, `asked_per_sec`, and `target`.
    BENCH_ETCD_RUNS: Table = "bench.etcd.runs", None, Latest;
}
