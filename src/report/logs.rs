//! The report of `logs`: its JSON, version 1, which is also what the tables are made of.
//!
//! Frozen like the diagnosis's: fields are added, never renamed or removed.

use serde::Serialize;

pub use super::logs_calls::CallReport;

/// The whole document.
#[derive(Clone, Debug, Serialize)]
pub struct LogsReport {
    /// Always `etcd-doctor/logs`.
    pub format: &'static str,
    /// Always 1.
    pub version: u32,
    /// What was asked for.
    pub window: WindowReport,
    /// All requests together.
    pub requests: Requests,
    /// Load by `resource.group`.
    pub resources: Vec<LoadReport>,
    /// Load by shape.
    pub shapes: Vec<LoadReport>,
    /// Load by namespace.
    pub namespaces: Vec<LoadReport>,
    /// Load by client address, as far as lines name it.
    pub clients: Vec<LoadReport>,
    /// Load by key prefix.
    pub prefixes: Vec<LoadReport>,
    /// What bounds the tables left out.
    pub bounded: Vec<BoundReport>,
    /// Recognised messages by component, node and kind.
    pub events: Vec<KindReport>,
    /// What happened, in order.
    pub episodes: Vec<EpisodeReport>,
    /// Elections by term.
    pub elections: Vec<ElectionReport>,
    /// Client-side throttling as the client logged it.
    pub throttling: Vec<DelayReport>,
    /// Waits that a server asked for.
    pub server_waits: Vec<DelayReport>,
    /// Slow API calls that the apiserver traced, or that its HTTP log shows where that holds more of them.
    pub traces: Vec<DelayReport>,
    /// Slow calls that the apiserver itself made and traced: of etcd, of its watch cache, of webhooks.
    pub apiserver_calls: Vec<CallReport>,
    /// The audit log; null when there was none.
    pub audit: Option<AuditReport>,
    /// Slow requests of etcd by client: who asked kube-apiserver for the resource in the same second; null where one of
    /// the two logs was not read.
    pub slow_clients: Option<SlowClientsReport>,
    /// Starts of components.
    pub starts: Vec<StartReport>,
    /// Clock differences between members.
    pub clock_drift: Vec<DriftReport>,
    /// Compactions and database sizes, by node.
    pub storage: Vec<StorageReport>,
    /// What `grep -ic WORD` would have said; empty when it was not asked for.
    pub grep: Vec<GrepReport>,
    /// What was read.
    pub coverage: CoverageReport,
    /// What the numbers are not, in sentences.
    pub notes: Vec<String>,
}

/// The time span that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct WindowReport {
    /// `--since`, RFC 3339, or null.
    pub since: Option<String>,
    /// `--until`, RFC 3339, or null.
    pub until: Option<String>,
}

/// How many requests there were.
#[derive(Clone, Debug, Serialize)]
pub struct EstimateReport {
    /// At least so many.
    pub low: u64,
    /// The best single number.
    pub value: u64,
    /// At most so many.
    pub high: u64,
}

/// All requests together.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// Lines about requests.
    pub seen: u64,
    /// Requests, each counted once however many lines it has.
    pub joined: u64,
    /// How many passed the threshold, sampling undone.
    pub estimate: EstimateReport,
    /// Lines in seconds in which the logger left lines out.
    pub sampled_lines: u64,
    /// Lines in seconds that hold as many as the logger lets through whole (100): whether it left
    /// some out, they do not tell.
    pub full_lines: u64,
    /// Smallest threshold that a line names, in milliseconds; null when none does.
    pub threshold_ms: Option<f64>,
    /// Largest threshold that a line names.
    pub threshold_max_ms: Option<f64>,
    /// Whether the log holds every request and not only slow ones.
    pub complete: bool,
    /// Lines at debug level, at which etcd writes one of every request, also of fast ones.
    pub debug_lines: u64,
    /// The sums over all of them.
    #[serde(flatten)]
    pub load: LoadReport,
}

/// Load of one row.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadReport {
    /// `resource.group`, shape, namespace, client or prefix.
    pub name: String,
    /// Requests.
    pub requests: u64,
    /// LISTs; pages of one LIST are one.
    pub lists: u64,
    /// Further pages of LISTs.
    pub pages: u64,
    /// LISTs without a limit.
    pub unlimited: u64,
    /// Reads of one object.
    pub gets: u64,
    /// Object count polls.
    pub counts: u64,
    /// Creates, updates and deletes.
    pub writes: u64,
    /// Health checks and revision probes.
    pub probes: u64,
    /// Everything else.
    pub other: u64,
    /// Requests whose time went into waiting for the read index.
    pub stalled: u64,
    /// Requests that ended in an error.
    pub errors: u64,
    /// Time of all requests in seconds.
    pub slow_secs: f64,
    /// Of it, LISTs and pages without the stalled ones.
    pub list_slow_secs: f64,
    /// Of it, writes without the stalled ones.
    pub write_slow_secs: f64,
    /// Of it, stalled requests.
    pub stalled_secs: f64,
    /// Median duration, rounded up to a sixteenth; null without requests.
    pub p50_ms: Option<f64>,
    /// 99th percentile, likewise.
    pub p99_ms: Option<f64>,
    /// The exact longest.
    pub max_ms: Option<f64>,
    /// Objects returned.
    pub items: u64,
    /// Bytes returned.
    pub bytes: u64,
    /// Most bytes returned by one request.
    pub max_bytes: u64,
    /// Share of all slow seconds, 0 to 1.
    pub share: f64,
    /// Requests over time.
    pub spark: SparkReport,
}

/// Counts over time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SparkReport {
    /// Start of the first bucket, RFC 3339; null when empty.
    pub start: Option<String>,
    /// Width of a bucket.
    pub width_secs: u64,
    /// The counts.
    pub counts: Vec<u64>,
}

/// What the bound of a table left out.
#[derive(Clone, Debug, Serialize)]
pub struct BoundReport {
    /// Which table.
    pub table: &'static str,
    /// Rows that were added up in `other`.
    pub dropped: u64,
    /// Their requests.
    pub requests: u64,
    /// Their slow seconds.
    pub slow_secs: f64,
    /// No row lacks more requests than this.
    pub error_requests: u64,
    /// No row lacks more slow seconds than this.
    pub error_slow_secs: f64,
}

/// Records of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct KindReport {
    /// Component.
    pub component: String,
    /// Node, where known.
    pub node: Option<String>,
    /// The signature's id.
    pub kind: String,
    /// `fault`, `symptom`, `request`, `change`, `planned` or `noise`.
    pub nature: &'static str,
    /// How often.
    pub count: u64,
    /// First one, RFC 3339.
    pub first: Option<String>,
    /// Last one.
    pub last: Option<String>,
    /// The longest, where the kind has a duration.
    pub max_ms: Option<f64>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct EpisodeReport {
    /// Component.
    pub component: String,
    /// Node, where known.
    pub node: Option<String>,
    /// The signature's id.
    pub kind: String,
    /// As in [`KindReport`].
    pub nature: &'static str,
    /// First sign, RFC 3339.
    pub from: String,
    /// Last sign.
    pub to: String,
    /// Signs.
    pub count: u64,
    /// The longest, where the kind has a duration.
    pub max_ms: Option<f64>,
    /// A detail.
    pub detail: String,
    /// Done on purpose, or part of a start.
    pub planned: bool,
    /// The first sign of trouble of its incident.
    pub first: bool,
}

/// An election.
#[derive(Clone, Debug, Serialize)]
pub struct ElectionReport {
    /// Its term.
    pub term: u64,
    /// First line about it, RFC 3339.
    pub at: String,
    /// Who became leader, where a line says so.
    pub leader: Option<String>,
    /// Members that told of it.
    pub members: u64,
    /// It followed a shutdown or a transfer of leadership.
    pub planned: bool,
    /// It is the first one after a start.
    pub start: bool,
}

/// Delays of one client's requests of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct DelayReport {
    /// Component.
    pub component: String,
    /// Node, where known.
    pub node: Option<String>,
    /// User agent, where the line names it.
    pub user_agent: Option<String>,
    /// Verb.
    pub verb: String,
    /// `resource.group`.
    pub resource: String,
    /// Lines: a floor.
    pub lines: u64,
    /// The largest delay.
    pub max_ms: f64,
    /// All delays.
    pub total_ms: f64,
    /// First line, RFC 3339.
    pub first: Option<String>,
    /// Last line.
    pub last: Option<String>,
}

/// The audit log.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// Records.
    pub records: u64,
    /// Requests, each counted once.
    pub requests: u64,
    /// By user agent, user, verb and resource.
    pub callers: Vec<CallerReport>,
    /// By user agent and user: how steadily they ask, the most requests first.
    pub clients: Vec<PaceReport>,
    /// Objects that one client asks for again and again, the most requests first.
    pub objects: Vec<ObjectReport>,
}

/// How steadily one client asks.
#[derive(Clone, Debug, Serialize)]
pub struct PaceReport {
    /// User agent.
    pub user_agent: String,
    /// User.
    pub user: String,
    /// Requests.
    pub requests: u64,
    /// Answers 404.
    pub not_found: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Seconds in which it asked at all.
    pub active_secs: u64,
    /// Requests per second that it is pinned at, or null where its pace changes.
    pub plateau_per_sec: Option<f64>,
    /// Share of its active seconds that have this number, within a tenth.
    pub plateau_share: Option<f64>,
}

/// One object that a client asks for again and again.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectReport {
    /// User agent.
    pub user_agent: String,
    /// User.
    pub user: String,
    /// Verb.
    pub verb: String,
    /// Resource and group.
    pub resource: String,
    /// `namespace/name`, or the name.
    pub object: String,
    /// Requests.
    pub requests: u64,
    /// Answers 404.
    pub not_found: u64,
    /// Between the first and the last one.
    pub per_sec: Option<f64>,
    /// The gaps are all about the same: a timer, not a change.
    pub steady: bool,
}

/// One caller's requests of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct CallerReport {
    /// User agent.
    pub user_agent: String,
    /// User.
    pub user: String,
    /// Verb.
    pub verb: String,
    /// `resource.group`, or the beginning of a path that is no resource.
    pub resource: String,
    /// Requests.
    pub requests: u64,
    /// Requests per second between the first and the last one; null for less than a second.
    pub per_sec: Option<f64>,
    /// Answers 400 and above.
    pub errors: u64,
    /// Answers 404.
    pub not_found: u64,
    /// Answers 409.
    pub conflicts: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Answers 500 and above.
    pub server_errors: u64,
    /// LISTs without a limit.
    pub unlimited: u64,
    /// LISTs without a resourceVersion.
    pub rv_unset: u64,
    /// Median latency.
    pub p50_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// Share of etcd in the time of the requests that name it; null when none does.
    pub etcd_share: Option<f64>,
}

/// A start of a component.
#[derive(Clone, Debug, Serialize)]
pub struct StartReport {
    /// Component.
    pub component: String,
    /// Node, where known.
    pub node: Option<String>,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// Version, where the line says.
    pub version: Option<String>,
}

/// Clock differences to one peer.
#[derive(Clone, Debug, Serialize)]
pub struct DriftReport {
    /// Node, where known.
    pub node: Option<String>,
    /// The peer's id.
    pub peer: String,
    /// Checks that found a difference.
    pub checks: u64,
    /// The largest difference.
    pub max_ms: f64,
}

/// Storage of one member.
#[derive(Clone, Debug, Serialize)]
pub struct StorageReport {
    /// Node, where known.
    pub node: Option<String>,
    /// Compactions that finished.
    pub compactions: u64,
    /// Mean time between two.
    pub compaction_period_secs: Option<f64>,
    /// The longest one.
    pub compaction_max_ms: Option<f64>,
    /// Size of the database over time: start of bucket, bytes, bytes in use where said.
    pub db: Vec<(String, u64, Option<u64>)>,
}

/// What `grep -ic` would have said.
#[derive(Clone, Debug, Serialize)]
pub struct GrepReport {
    /// The word.
    pub word: String,
    /// Lines that hold it, in any case.
    pub lines: u64,
    /// The resource that people mean by the word.
    pub resource: Option<String>,
    /// Its requests here.
    pub requests: Option<u64>,
    /// Its lists here.
    pub lists: Option<u64>,
}

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct CoverageReport {
    /// Files.
    pub files: u64,
    /// Bytes, inflated.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// Lines of records that were understood. `parsed + unparsed = lines`.
    pub parsed: u64,
    /// Lines that were not.
    pub unparsed: u64,
    /// Records in a known format whose message is not in the catalogue.
    pub unknown: u64,
    /// Records without a time.
    pub untimed: u64,
    /// Records outside the window.
    pub outside: u64,
    /// Messages that a rate limiter says it kept back.
    pub suppressed: u64,
    /// The same by the unit whose they were.
    pub suppressed_by: std::collections::BTreeMap<String, u64>,
    /// First record, RFC 3339.
    pub from: Option<String>,
    /// Last record.
    pub to: Option<String>,
    /// Times in which a stream says nothing.
    pub gaps: Vec<GapReport>,
    /// The streams.
    pub streams: Vec<StreamReport>,
    /// The files.
    pub file_list: Vec<FileReport>,
    /// What could not be read.
    pub problems: Vec<ProblemReport>,
    /// Files passed over, by reason.
    pub skipped: std::collections::BTreeMap<String, u64>,
    /// Beginnings of messages that were not known, with how often.
    pub examples: Vec<(String, u64)>,
    /// Reading was stopped early.
    pub interrupted: bool,
}

/// A time in which a stream says nothing.
#[derive(Clone, Debug, Serialize)]
pub struct GapReport {
    /// The stream.
    pub stream: String,
    /// Last record before.
    pub from: String,
    /// First record after.
    pub to: String,
    /// How long.
    pub secs: f64,
}

/// One stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub id: String,
    /// Component.
    pub component: String,
    /// Node, where known.
    pub node: Option<String>,
    /// Files.
    pub files: u64,
    /// Lines.
    pub lines: u64,
    /// Lines understood.
    pub parsed: u64,
    /// Lines not understood.
    pub unparsed: u64,
    /// Records whose message is not known.
    pub unknown: u64,
    /// First record.
    pub from: Option<String>,
    /// Last record.
    pub to: Option<String>,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Its name, as it was given or found.
    pub name: String,
    /// Lines.
    pub lines: u64,
    /// Lines understood.
    pub parsed: u64,
    /// Lines not understood.
    pub unparsed: u64,
    /// Lines that were too long and were cut.
    pub cut_lines: u64,
    /// Bytes, inflated.
    pub bytes: u64,
    /// First record.
    pub from: Option<String>,
    /// Last record.
    pub to: Option<String>,
    /// Why it could not be read, or not to its end.
    pub error: Option<String>,
}

/// What could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct ProblemReport {
    /// What.
    pub path: String,
    /// Why.
    pub why: String,
}

/// Slow requests of etcd by client.
#[derive(Clone, Debug, Serialize)]
pub struct SlowClientsReport {
    /// Time of slow lists and changes in seconds, whoever sent them.
    pub slow_secs: f64,
    /// Of it, what no client was found for.
    pub unknown_secs: f64,
    /// Clients, the most slow time first.
    pub clients: Vec<SlowClientReport>,
    /// Members whose clock seems to differ from kube-apiserver's.
    pub clock_skews: Vec<SkewReport>,
}

/// Slow requests of etcd that are one client's.
#[derive(Clone, Debug, Serialize)]
pub struct SlowClientReport {
    /// User agent.
    pub user_agent: String,
    /// User; empty where only a trace names the client.
    pub user: String,
    /// `audit` or `trace`.
    pub source: &'static str,
    /// Resource and group.
    pub resource: String,
    /// `list` or `write`.
    pub class: String,
    /// Requests, by its share of each second.
    pub requests: f64,
    /// Their time.
    pub slow_secs: f64,
    /// Of the time of all slow requests of the class.
    pub share: f64,
    /// 0 to 1.
    pub confidence: f64,
}

/// A clock that differs.
#[derive(Clone, Debug, Serialize)]
pub struct SkewReport {
    /// The member.
    pub member: String,
    /// Seconds ahead; negative is behind.
    pub secs: i64,
}
