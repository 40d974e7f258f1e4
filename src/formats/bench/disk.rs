//! The result of `bench disk`: what was asked, what was found, and the doubts about it.
//!
//! Fields are added over time: readers ignore those that they do not know, and take a missing one
//! as empty. Times carry their unit in their name. Everything that could not be measured is `null` and has
//! a line in [`DiskBench::doubts`] or a reason beside it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::latency::Latency;
use super::observe::VolumeLimits;
pub use super::plan::{Arrivals, Growth, Plan, PlanName, RecordSize, Records};
use super::throttle::ThrottleProbe;

/// The format's name in the file.
pub const FORMAT: &str = "etcd-doctor/bench-disk";
/// The format's version. Readers refuse newer ones.
pub const VERSION: u32 = 1;

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Its name.
    pub node: String,
    /// Model of the processor.
    pub cpu: Option<String>,
    /// Processors that this program may use.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// The kernel's release.
    pub kernel: Option<String>,
}

/// One disk under the directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// The kernel's name.
    pub name: String,
    /// Its kind: `nvme`, `virtio`, `loop`.
    pub kind: String,
    /// Its model, where it tells.
    pub model: Option<String>,
    /// `write back` or `write through`, where known.
    pub write_cache: Option<String>,
    /// Whether it takes writes with FUA, which spares a flush.
    pub fua: Option<bool>,
    /// Whether the kernel counts its flushes.
    pub counts_flushes: bool,
    /// The file of its counters.
    pub stat_path: String,
}

/// One step of the ladder of evidence about barriers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BarrierStep {
    /// Its name, such as `1-mount-options`.
    pub id: String,
    /// `on`, `off`, `not-needed` or `unknown`.
    pub state: String,
    /// `low`, `medium` or `high`.
    pub confidence: String,
    /// Why.
    pub why: String,
}

/// Whether flushes reach the disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Barrier {
    /// `on`, `off`, `not-needed` or `unknown`.
    pub state: String,
    /// `low`, `medium` or `high`.
    pub confidence: String,
    /// Why.
    pub why: String,
    /// The ladder.
    pub steps: Vec<BarrierStep>,
}

impl Barrier {
    /// Whether acknowledged writes can be lost with the power.
    pub fn off(&self) -> bool {
        self.state == "off"
    }
}

/// What lies under a directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ground {
    /// The directory.
    pub dir: String,
    /// The file system's kind.
    pub fs: String,
    /// How it serves etcd: `fine`, `doubtful`, `unfit`, `unknown`.
    pub fitness: String,
    /// Why.
    pub fitness_why: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// Mount options.
    pub options: String,
    /// `present`, `absent` or `unknown`.
    pub journal: String,
    /// Remarks about the options.
    pub remarks: Vec<String>,
    /// The stack of devices, top first, in words.
    pub devices: String,
    /// The disks whose counters tell about it.
    pub disks: Vec<Disk>,
    /// Layers whose I/O the kernel's own threads do, such as `loop0 (loop)`: these wait for a processor
    /// whatever class the writer is in.
    pub kernel_threads: Vec<String>,
    /// Major and minor numbers of the file system.
    pub device: Option<(u32, u32)>,
    /// Whether flushes reach the disk.
    pub barrier: Barrier,
    /// Why there is no more, where something could not be told.
    pub problem: Option<String>,
}

/// What the disks did meanwhile. The traffic of the idle window is not taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceCount {
    /// Seconds.
    pub secs: f64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Milliseconds in writes.
    pub write_ms: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Flushes; `null` where the kernel does not count them.
    pub flushes: Option<u64>,
    /// Milliseconds in flushes.
    pub flush_ms: Option<u64>,
    /// Discards.
    pub discards: Option<u64>,
}

/// What the machine did meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// Share of the time in which some task waited for a processor.
    pub psi_cpu_some: Option<f64>,
    /// Share of the time in which some task waited for I/O.
    pub psi_io_some: Option<f64>,
    /// Share of the processor time that the hypervisor took.
    pub steal: Option<f64>,
    /// Share of the processor time in use.
    pub cpu_busy: Option<f64>,
    /// What the writing thread waited for a processor in all, milliseconds.
    pub run_delay_ms: Option<f64>,
    /// Bytes that this program dirtied.
    pub own_write_bytes: Option<u64>,
    /// Limits that this program's own cgroup sets to its I/O.
    pub own_io_limits: Vec<String>,
    /// Others that wrote to the same disk, the most first.
    pub writers: Vec<Writer>,
}

/// Somebody else who wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Writer {
    /// Its process id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Bytes that it dirtied.
    pub bytes: u64,
    /// Whether it has a file open on the same file system; `null` where that could not be seen.
    pub same_fs: Option<bool>,
}

/// One 100 ms window of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tick {
    /// Milliseconds since the run's start, at the window's begin.
    pub at_ms: u64,
    /// Syncs that ended in it.
    pub syncs: u32,
    /// Bytes that they made durable.
    pub bytes: u64,
    /// Their median, microseconds.
    pub p50_us: f64,
    /// The largest.
    pub max_us: f64,
}

/// Commits of the database in one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commits {
    /// From the first page write to the end of the second sync: what locks the store.
    pub total: Latency,
    /// The sync of the pages.
    pub data_sync: Latency,
    /// The sync of the meta page.
    pub meta_sync: Latency,
    /// The fsync that follows making the file longer.
    pub grow_sync: Latency,
    /// Share of the time in which a commit was under way.
    pub duty: f64,
    /// Pages written.
    pub pages: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// One run of the emulators.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Round {
    /// What it was: `round 2 of 5`, `wal alone`.
    pub name: String,
    /// Seconds counted.
    pub secs: f64,
    /// Entries made durable.
    pub entries: u64,
    /// Bytes made durable.
    pub bytes: u64,
    /// Entries that were due and not yet written at the end.
    pub backlog: u64,
    /// `write()` alone.
    pub write: Latency,
    /// `fdatasync()` alone: what etcd's `wal_fsync_duration` measures.
    pub sync: Latency,
    /// From the moment a record was due to its being durable.
    pub durable: Latency,
    /// Cutting a segment, all of it.
    pub cuts: Latency,
    /// What the writing thread waited for a processor in each sync; `null` where the kernel does
    /// not tell. A lower bound: the kernel's own threads wait too.
    pub run_delay: Option<Latency>,
    /// The syncs without those waits.
    pub sync_without_delay: Option<Latency>,
    /// The commits, unless there were none.
    pub commits: Option<Commits>,
    /// By 100 ms.
    pub series: Vec<Tick>,
    /// What the disks did; those of the database too when it is on others.
    pub device: Option<DeviceCount>,
    /// What the machine did.
    pub around: Surroundings,
    /// Scheduling class: `other` or `fifo`.
    pub class: String,
}

impl Round {
    /// Entries in one sync.
    pub fn entries_per_sync(&self) -> Option<f64> {
        (self.sync.count > 0).then(|| self.entries as f64 / self.sync.count as f64)
    }

    /// Syncs per second.
    pub fn syncs_per_sec(&self) -> Option<f64> {
        (self.secs > 0.0).then(|| self.sync.count as f64 / self.secs)
    }
}

/// What one sync costs the device, idle traffic taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PerSync {
    /// Bytes of the record.
    pub record_bytes: f64,
    /// Flushes; `null` where they are not counted.
    pub flushes: Option<f64>,
    /// Device writes.
    pub writes: f64,
    /// Bytes that the device wrote.
    pub device_bytes: f64,
    /// Flushes that the file system and the size let expect; `null` where there is no law.
    pub expected_flushes: Option<f64>,
}

/// The flush ledger: what is paid to the device, and for what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// What the device did while nothing was written by us, per second.
    pub idle: Option<DeviceCount>,
    /// One new block after the other, the file growing: `append`.
    pub append: Option<PerSync>,
    /// Small records in a preallocated segment, as most of etcd's are.
    pub small: Option<PerSync>,
    /// Records of 2300 bytes in a preallocated segment, as in fio's recipe.
    pub fio: Option<PerSync>,
    /// Blocks that were written before.
    pub overwrite: Option<PerSync>,
    /// The syncs of small records in a preallocated segment, one after the other.
    pub small_sync: Option<Latency>,
    /// The syncs of records of 2300 bytes.
    pub fio_sync: Option<Latency>,
    /// Median of the overwriting syncs, milliseconds: next to one flush.
    pub overwrite_sync_ms: Option<f64>,
    /// Syncs of small records per second, one after the other.
    pub syncs_per_sec: Option<f64>,
    /// Mean time of one flush as the device's counters have it, milliseconds.
    pub flush_ms: Option<f64>,
    /// In the main rounds: flushes per second.
    pub flushes_per_sec: Option<f64>,
    /// In the main rounds: flushes for one put.
    pub flushes_per_put: Option<f64>,
    /// In the main rounds: device writes for one put.
    pub writes_per_put: Option<f64>,
    /// In the main rounds: bytes that the device wrote for one put.
    pub bytes_per_put: Option<f64>,
}

/// One point of the fsync curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CurvePoint {
    /// Bytes written before each sync.
    pub bytes: u32,
    /// The syncs.
    pub sync: Latency,
    /// Syncs per second, one after the other.
    pub per_sec: f64,
    /// What one costs the device.
    pub cost: Option<PerSync>,
}

/// The WAL alone against WAL and commits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contention {
    /// The WAL alone.
    pub alone: Round,
    /// With commits.
    pub with_commits: Round,
    /// How much later the 99th percentile is with commits, as a share; `null` when either side has
    /// too few samples.
    pub p99_cost: Option<f64>,
    /// How much the mean is.
    pub mean_cost: f64,
    /// Whether the difference is larger than what chance explains.
    pub shown: bool,
}

/// The same load in the normal and in a real-time scheduling class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RealTime {
    /// Normal.
    pub normal: Latency,
    /// SCHED_FIFO; empty when it was refused.
    pub fifo: Latency,
    /// Why there is no comparison.
    pub refused: Option<String>,
    /// Normal p99 over real-time p99; of the p90 where there are too few samples for a p99.
    pub ratio: Option<f64>,
}

/// What the latencies are to be blamed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// Nothing disturbed the measurement, or it was settled by the device's own times.
    #[default]
    Disk,
    /// The processor: run-queue waits, pressure.
    Cpu,
    /// Somebody else's I/O.
    Neighbour,
    /// A limit of this program's cgroup.
    Cgroup,
    /// Too few samples.
    Samples,
}

/// How bad, in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Carries a large cluster.
    HeavyLoadOk,
    /// Carries etcd.
    Ok,
    /// At the edge.
    Marginal,
    /// Too slow.
    NotForEtcd,
    /// Could not be told.
    #[default]
    Inconclusive,
    /// Loses acknowledged writes with the power, whatever its latency.
    Unsafe,
}

impl Level {
    /// The words.
    pub fn words(self) -> &'static str {
        match self {
            Level::HeavyLoadOk => "HEAVY-LOAD OK",
            Level::Ok => "OK",
            Level::Marginal => "MARGINAL",
            Level::NotForEtcd => "NOT FOR ETCD",
            Level::Inconclusive => "INCONCLUSIVE",
            Level::Unsafe => "UNSAFE",
        }
    }
}

/// One line that was looked at for the verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Judged {
    /// What: `WAL fsync p99`.
    pub what: String,
    /// The measured value with its interval, in words.
    pub measured: String,
    /// The limit, in words with its source.
    pub limit: String,
    /// `pass`, `fail` or `open` (the interval holds the line, or too few samples).
    pub outcome: String,
}

/// The verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// The level.
    pub level: Level,
    /// What the latency alone would be, where another level stands above it.
    pub latency_level: Option<Level>,
    /// Why, one sentence.
    pub why: String,
    /// What is to blame.
    pub blame: Blame,
    /// All lines that were looked at.
    pub lines: Vec<Judged>,
    /// Whether flushes are sent: `flushes sent, not proven`, `barriers off`, ….
    pub barrier: String,
    /// The profile whose limits were used.
    pub profile: String,
}

/// Puts per second that the model expects for a number of writers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expected {
    /// Clients that write at the same time, each waiting for its answer.
    pub clients: u32,
    /// Entries in one sync.
    pub entries_per_sync: f64,
    /// Puts per second (±30 %).
    pub puts_per_sec: f64,
    /// What bounds it: `disk`, `processor`, or `limit` where a limit of throughput was found.
    pub bound: String,
}

/// What this disk can carry, from the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// Time of one flush as an overwriting sync has it, milliseconds: the model's input.
    pub flush_ms: f64,
    /// By writers.
    pub expected: Vec<Expected>,
    /// The largest class of `etcdctl check perf` that it should pass: `s`, `m`, `l`, `xl`.
    pub check_perf: Option<String>,
    /// Share of the time in which a commit locks the store, as measured at the plan's rate.
    pub commit_duty: Option<f64>,
    /// Puts per second that this machine's processors allow, by etcd's own processor time for a put.
    pub cpu_puts_per_sec: Option<f64>,
}

/// What a volume says itself of its limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// The kernel's name.
    pub name: String,
    /// For how long limits were exceeded while the bench ran.
    pub limits: VolumeLimits,
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskBench {
    /// Always [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it ended early, where it did: what was measured by then is in here.
    pub partial: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// The plan.
    pub plan: Plan,
    /// What lies under the WAL.
    pub ground: Ground,
    /// What lies under the database, when it is elsewhere.
    pub db_ground: Option<Ground>,
    /// The verdict.
    pub verdict: Verdict,
    /// The main measurement, all rounds as one.
    pub total: Option<Round>,
    /// Its rounds.
    pub rounds: Vec<Round>,
    /// Spread of the rounds' p99: (largest − smallest) / smallest.
    pub spread: Option<f64>,
    /// The ledger.
    pub ledger: Ledger,
    /// The fsync curve.
    pub curve: Vec<CurvePoint>,
    /// The WAL alone against WAL and commits.
    pub contention: Option<Contention>,
    /// Normal against real-time scheduling.
    pub real_time: Option<RealTime>,
    /// Whether something limits its throughput.
    pub throttle: Option<ThrottleProbe>,
    /// What the volumes say themselves of their limits (Amazon's NVMe devices).
    pub volumes: Vec<Volume>,
    /// What it can carry.
    pub capacity: Option<Capacity>,
    /// What to keep in mind.
    pub doubts: Vec<String>,
}
