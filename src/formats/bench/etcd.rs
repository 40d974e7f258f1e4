//! The saved result of `bench etcd`: what was asked, what came of it, and what may be doubted.
//!
//! Frozen: programs read it. Seconds are `…_secs`, milliseconds `…_ms`. What could not be told is
//! absent, never 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchEtcd {
    /// `etcd-doctor/bench-etcd`.
    pub format: String,
    /// 1.
    pub version: u32,
    /// What was asked.
    pub plan: Plan,
    /// The members that answered.
    pub members: Vec<Member>,
    /// Endpoints that did not.
    pub silent: Vec<Silent>,
    /// What bounded the load.
    pub bounds: Bounds,
    /// The runs in their order: one, or several for `--check-perf`.
    pub runs: Vec<Run>,
    /// The verdict of `--check-perf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_perf: Option<CheckPerf>,
    /// What became of the keys.
    pub cleanup: Cleanup,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `put`, `mixed`, …, or `check-perf`.
    pub workload: String,
    /// `leader`, `all`, or a member.
    pub target: String,
    /// Requests at once.
    pub clients: u64,
    /// Connections that they share.
    pub connections: u64,
    /// Keys that are written over and over.
    pub keys: u64,
    /// Bytes of a key.
    pub key_bytes: u64,
    /// Mean bytes of a value.
    pub value_bytes: f64,
    /// `linearizable` or `serializable`.
    pub consistency: String,
    /// `closed`: as fast as clients can; `open`: by the asked rate.
    pub pacing: String,
    /// Requests a second asked for, at the peak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// How the rate changes.
    pub shape: String,
    /// Seconds asked for.
    pub secs: f64,
    /// Requests asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Whether keys had leases.
    pub leased: bool,
    /// Where the keys were.
    pub prefix: String,
}

/// A member that answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it was reached.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// Whether it led before the load.
    pub leader: bool,
    /// Whether it got load.
    pub loaded: bool,
}

/// An endpoint that did not answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silent {
    /// Its address.
    pub endpoint: String,
    /// Why.
    pub why: String,
}

/// What bounded the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Whether the cluster holds keys of others, and of whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// Keys that an earlier run left.
    pub leftovers: u64,
    /// The largest database before.
    pub db_before_bytes: u64,
    /// The largest seen.
    pub db_after_bytes: u64,
    /// How far it might grow.
    pub growth_limit_bytes: u64,
    /// The smallest quota.
    pub quota_bytes: u64,
    /// `status`, `metric`, or `assumed`.
    pub quota_source: String,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The workload, or the class.
    pub name: String,
    /// Its clients.
    pub clients: u64,
    /// Its connections.
    pub connections: u64,
    /// Rate asked for at the peak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// etcd's own summary; latencies from the moment at which a request should have begun.
    pub summary: Summary,
    /// The same from the moment at which it did begin; in an open loop only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Summary>,
    /// By kind of request.
    pub requests: Vec<Requests>,
    /// Errors by kind.
    pub errors: BTreeMap<String, u64>,
    /// Transactions whose comparison did not hold.
    pub conflicts: u64,
    /// Requests that should have begun and found no idle client.
    pub unserved: u64,
    /// How often the log-in had to be renewed meanwhile; those requests were sent once more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub token_renewals: u64,
    /// Watchers and what reached them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// The run in slices of time.
    pub slices: Vec<Slice>,
    /// What it cost here.
    pub client: Client,
    /// What the members counted meanwhile.
    pub servers: Vec<Server>,
    /// A read of one key from the idle cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_read_ms: Option<f64>,
    /// The same during the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded_read_ms: Option<f64>,
    /// What may have been the limit, the likeliest first.
    pub limits: Vec<Limit>,
    /// Why it ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// What may be doubted.
    pub doubts: Vec<String>,
}

/// What etcd's benchmark prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Requests answered well.
    pub count: u64,
    /// From the begin to the last answer.
    pub total_secs: f64,
    /// The slowest.
    pub slowest_secs: f64,
    /// The fastest.
    pub fastest_secs: f64,
    /// The mean.
    pub average_secs: f64,
    /// The standard deviation.
    pub stddev_secs: f64,
    /// Requests a second.
    pub per_sec: f64,
    /// Eleven bars from the fastest to the slowest.
    pub histogram: Vec<Bar>,
    /// 10, 25, 50, 75, 90, 95, 99 and 99.9.
    pub percentiles: Vec<Percentile>,
}

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    /// Up to this.
    pub upto_secs: f64,
    /// From the bar before on.
    pub count: u64,
}

/// One percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentile {
    /// Which.
    pub percent: f64,
    /// Its value.
    pub secs: f64,
}

/// Requests of one kind; latencies from the real begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// `put`, `txn update`, …
    pub kind: String,
    /// Answered well.
    pub count: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Slowest.
    pub max_ms: f64,
}

/// Watchers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// How many.
    pub watchers: u64,
    /// Events that reached them.
    pub events: u64,
    /// Events that should have.
    pub expected: u64,
}

/// A slice of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Its begin.
    pub at_secs: f64,
    /// Rate asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_per_sec: Option<f64>,
    /// Rate reached.
    pub done_per_sec: f64,
    /// Requests that failed.
    pub failed: u64,
    /// Median latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

/// What the load cost here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Processor time in this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_secs: Option<f64>,
    /// And in the kernel for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_secs: Option<f64>,
    /// Both as a share of one processor, which is all that it can use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Both for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub us_per_request: Option<f64>,
    /// Share of this machine's processors in use, by whomever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_busy: Option<f64>,
    /// Processors of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Whether this program was the limit.
    pub limit: bool,
    /// How late requests began in an open loop, 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_p99_ms: Option<f64>,
}

/// What a member counted meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Whether it led.
    pub leader: bool,
    /// Why its metrics could not be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// WAL fsync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_fsync: Option<Timed>,
    /// Backend commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_commit: Option<Timed>,
    /// Round trips to its peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_round_trip: Option<Timed>,
    /// Processors that it kept busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<f64>,
    /// Its memory afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<f64>,
    /// Bytes from clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<f64>,
    /// Bytes to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<f64>,
    /// Leader changes that it saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_changes: Option<f64>,
    /// Proposals that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposals_failed: Option<f64>,
    /// Slow applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_applies: Option<f64>,
}

/// A server's histogram over the run. A percentile is a bracket: the bounds of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// How many.
    pub count: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Share of the run that they took together.
    pub duty: f64,
    /// The 99th percentile is above this.
    pub p99_low_ms: f64,
    /// And not above this; absent in the open last bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_high_ms: Option<f64>,
}

/// What may have been the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// `client`, `cpu`, `disk`, `network`, `concurrency`, `none`, `unknown`.
    pub limit: String,
    /// The evidence.
    pub why: String,
}

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// `signal`, `hurt`, `growth-limit`, `decided`.
    pub kind: String,
    /// In words.
    pub why: String,
}

/// The verdict of `--check-perf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckPerf {
    /// The class asked for, or `highest`.
    pub asked: String,
    /// What a short run as fast as possible came to, where the class was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_per_sec: Option<f64>,
    /// The highest class that passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<String>,
    /// The classes that were run.
    pub classes: Vec<Class>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// `s`, `m`, `l`, `xl`.
    pub class: String,
    /// `pass`, `fail`, or `unknown` where the run ended for another reason.
    pub verdict: String,
    /// Whether the run was as long as the official one.
    pub official: bool,
    /// The criteria.
    pub criteria: Vec<Criterion>,
    /// What limited it.
    pub limited_by: String,
}

/// One criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// `errors`, `throughput` (writes/s), `slowest` (s), `stddev` (s).
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// What it is held against.
    pub limit: f64,
    /// Whether it holds.
    pub pass: bool,
}

/// What became of the keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// Keys under the prefix afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_left: Option<u64>,
    /// Leases revoked.
    pub leases_revoked: u64,
    /// What went wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
