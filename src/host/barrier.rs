//! Are flushes really sent, from fsync down to the disk? A ladder of evidence, each step with its
//! own answer, reason and confidence.
//!
//! 1. Mount options.
//! 2. etcd's own `--unsafe-no-fsync`.
//! 3. What the kernel takes the device's cache for, against what the device says.
//! 4. Flushes counted while data was written.
//! 5. Whether the time of a flush is plausible.
//!
//! What only a power cut can show, whether the device or the hypervisor honours a flush, is not
//! claimed.

use crate::formats::mountinfo::Mount;

use super::device::Chain;
use super::filesystem::{flushes_are_its_own, is_memory, is_volatile};
use super::layer::{Layer, LayerKind, WriteCache};

/// Writes below this in a window without a flush prove nothing.
const ENOUGH_WRITES: u64 = 50;
/// Without proof that etcd wrote, a window must be longer than the slowest file system waits
/// before it commits by itself (XFS and btrfs 30 s, ext4 5 s).
const LONG_ENOUGH_SECS: f64 = 35.0;
/// Shortest window for the count at all.
const SHORTEST_SECS: f64 = 3.0;
/// A flush faster than this on a disk of a hypervisor or network is faster than NAND or a network
/// allows: a protected cache, or a host that does not flush.
const IMPLAUSIBLE_MS: f64 = 0.1;

/// Whether flushes reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierState {
    /// They are sent.
    On,
    /// They are not: acknowledged writes can be lost with the power.
    Off,
    /// The device says it has no volatile cache, so none are needed.
    NotNeeded,
    /// Could not be told.
    Unknown,
}

impl BarrierState {
    /// The word in evidence.
    pub fn word(self) -> &'static str {
        match self {
            BarrierState::On => "on",
            BarrierState::Off => "off",
            BarrierState::NotNeeded => "not-needed",
            BarrierState::Unknown => "unknown",
        }
    }
}

/// How sure a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// A hint.
    Low,
    /// Likely.
    Medium,
    /// The kernel says so.
    High,
}

impl Confidence {
    /// The word in evidence.
    pub fn word(self) -> &'static str {
        match self {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }
    }
}

/// One step of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name, stable: `1-mount-options` and so on.
    pub id: &'static str,
    /// Its answer.
    pub state: BarrierState,
    /// Why.
    pub why: String,
    /// How sure.
    pub confidence: Confidence,
}

/// The ladder and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The answer.
    pub state: BarrierState,
    /// Why.
    pub why: String,
    /// How sure.
    pub confidence: Confidence,
    /// All steps.
    pub steps: Vec<Step>,
}

/// Whether an ext4 has a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// It has one.
    Present,
    /// It has none: fsync still flushes, but a crash needs a full check.
    Absent,
    /// Could not be told.
    Unknown,
}

/// Flushes and writes counted on the disks under a mount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlushCount {
    /// Flushes.
    pub flushes: u64,
    /// Writes.
    pub writes: u64,
    /// Milliseconds in flushes.
    pub flush_ms: u64,
    /// Seconds watched.
    pub secs: f64,
    /// Whether etcd itself is known to have written meanwhile.
    pub etcd_wrote: bool,
}

/// All that the ladder looks at.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The mount under the directory, or under an overlay's upper directory.
    pub mount: &'a Mount,
    /// Whether the directory itself is on an overlay that never syncs.
    pub volatile_overlay: bool,
    /// The devices.
    pub chain: &'a Chain,
    /// The journal.
    pub journal: Journal,
    /// etcd's own flag, where its arguments were read.
    pub unsafe_no_fsync: Option<bool>,
    /// Flushes counted.
    pub count: Option<FlushCount>,
    /// `zil_nocacheflush` or `zfs_nocacheflush` of the ZFS module is set.
    pub zfs_no_flush: Option<bool>,
    /// The property `sync` of the ZFS dataset under the directory.
    pub zfs_sync: Option<String>,
}

/// Climbs the ladder.
pub fn judge(facts: &Facts<'_>) -> Barrier {
    judge_within(facts, DEEPEST_FILES)
}

/// How many loop devices on files on loop devices are followed.
const DEEPEST_FILES: u32 = 4;

fn judge_within(facts: &Facts<'_>, depth: u32) -> Barrier {
    let files = files(facts, depth);
    let mut first = options(facts);
    // The kernel flushes a loop device by an fsync of its file (drivers/block/loop.c): what that
    // file's mount does with it decides. A file in memory is no disk that loses what it was told to
    // keep: whoever made it knows, and it is told as a doubt.
    let broken = files
        .iter()
        .find(|(_, under)| under.barrier.state == BarrierState::Off && !under.in_memory);
    if let Some((name, under)) = broken.map(|(name, under)| (name, &under.barrier))
        && first.state != BarrierState::Off
    {
        first.state = BarrierState::Off;
        first.why = format!("the file of {name}: {}", under.why);
        first.confidence = under.confidence;
    }
    let steps = vec![
        first,
        etcd_flag(facts),
        cache(facts),
        counted(facts),
        plausible(facts),
    ];
    let (state, mut why, mut confidence) = conclude(facts, &steps);
    let doubtful = files
        .iter()
        .find(|(_, under)| under.in_memory || under.barrier.state == BarrierState::Unknown);
    if let Some((name, under)) = doubtful.map(|(name, under)| (name, &under.barrier))
        && state == BarrierState::On
    {
        why = format!(
            "{why}; what becomes of them in the file of {name} {}: {}",
            match under.state {
                BarrierState::Off => "ends with the power",
                _ => "is not known",
            },
            under.why
        );
        confidence = Confidence::Low;
    }
    Barrier {
        state,
        why,
        confidence,
        steps,
    }
}

/// What lies under a loop device.
struct Under {
    barrier: Barrier,
    /// Its file is in memory.
    in_memory: bool,
}

/// What happens to a flush under each loop device whose file's mount is known, by its name.
fn files(facts: &Facts<'_>, depth: u32) -> Vec<(String, Under)> {
    if depth == 0 {
        return Vec::new();
    }
    facts
        .chain
        .disks()
        .iter()
        .filter(|disk| matches!(disk.kind, LayerKind::Loop(_)))
        .filter_map(|disk| {
            let (mount, chain) = facts.chain.under_file(&disk.name)?;
            let barrier = judge_within(
                &Facts {
                    mount,
                    volatile_overlay: is_volatile(mount),
                    chain: &chain,
                    journal: Journal::Unknown,
                    unsafe_no_fsync: None,
                    count: None,
                    zfs_no_flush: facts.zfs_no_flush,
                    zfs_sync: None,
                },
                depth - 1,
            );
            let in_memory = is_memory(&mount.fs);
            Some((disk.name.clone(), Under { barrier, in_memory }))
        })
        .collect()
}

fn conclude(facts: &Facts<'_>, steps: &[Step]) -> (BarrierState, String, Confidence) {
    let [options, _, cache, counted, _] = steps else {
        return (BarrierState::Unknown, String::new(), Confidence::Low);
    };
    let of = |step: &Step| (step.state, step.why.clone(), step.confidence);
    // A file system that never writes needs no look at the disk.
    if facts.volatile_overlay || is_memory(&facts.mount.fs) {
        return of(options);
    }
    if cache.state == BarrierState::Off {
        return of(cache);
    }
    if options.state == BarrierState::Off {
        // Without a volatile cache the option neither helps nor hurts.
        if cache.state == BarrierState::NotNeeded {
            let why = format!("{}, but {}", options.why, cache.why);
            return (BarrierState::NotNeeded, why, cache.confidence);
        }
        let mut why = options.why.clone();
        if counted.state == BarrierState::Off {
            why = format!("{why}; {}", counted.why);
        }
        return (BarrierState::Off, why, options.confidence);
    }
    if cache.state == BarrierState::NotNeeded {
        return of(cache);
    }
    match counted.state {
        BarrierState::Off | BarrierState::On => of(counted),
        _ => match (options.state, cache.state) {
            (BarrierState::On, BarrierState::On) => of(options),
            (BarrierState::On, _) => (BarrierState::On, options.why.clone(), Confidence::Low),
            _ => of(options),
        },
    }
}

fn step(
    id: &'static str,
    state: BarrierState,
    confidence: Confidence,
    why: impl Into<String>,
) -> Step {
    Step {
        id,
        state,
        why: why.into(),
        confidence,
    }
}

/// Step 1. What the mount asks for.
fn options(facts: &Facts<'_>) -> Step {
    use BarrierState::{Off, On, Unknown};
    use Confidence::{High, Low, Medium};
    const ID: &str = "1-mount-options";
    let mount = facts.mount;
    let at = &mount.point;
    if facts.volatile_overlay {
        return step(
            ID,
            Off,
            High,
            "the overlay is mounted volatile: fsync returns without writing anything",
        );
    }
    if is_memory(&mount.fs) {
        let why = format!("{at} is {}: memory, fsync writes nothing", mount.fs);
        return step(ID, Off, High, why);
    }
    let off = [
        "nobarrier",
        "barrier=0",
        "barrier=none",
        "barriers=off",
        "fsync_mode=nobarrier",
        // bcachefs: fsync then waits for no journal flush, and a second of writes can be lost.
        "journal_flush_disabled",
    ]
    .into_iter()
    .find(|option| mount.has(option));
    if let Some(option) = off {
        // XFS ignores the option since 4.10 and refuses it since 4.19, so it may be idle.
        let confidence = if mount.fs == "xfs" { Medium } else { High };
        return step(
            ID,
            Off,
            confidence,
            format!("{at} ({}) is mounted with {option}", mount.fs),
        );
    }
    if mount.fs == "zfs" {
        let dataset = &mount.source;
        return match (facts.zfs_no_flush, facts.zfs_sync.as_deref()) {
            (_, Some("disabled")) => step(
                ID,
                Off,
                High,
                format!(
                    "the ZFS dataset {dataset} has sync=disabled: fsync returns before anything is on a disk"
                ),
            ),
            (Some(true), _) => step(
                ID,
                Off,
                High,
                "the ZFS module is told not to flush caches (zil_nocacheflush or zfs_nocacheflush)",
            ),
            (_, Some(sync @ ("standard" | "always"))) => step(
                ID,
                On,
                High,
                format!(
                    "the ZFS dataset {dataset} has sync={sync}: fsync waits for the intent log"
                ),
            ),
            _ => step(
                ID,
                Unknown,
                Low,
                "ZFS keeps `sync` per dataset, which is not in the mount options: see `zfs get sync`",
            ),
        };
    }
    if !flushes_are_its_own(&mount.fs) {
        let why = format!("whether {} flushes is not in its mount options", mount.fs);
        return step(ID, Unknown, Low, why);
    }
    let mut why = format!("{at} ({}) has no option that turns flushes off", mount.fs);
    if facts.journal == Journal::Absent {
        why.push_str("; it has no journal, yet fsync still flushes");
    }
    step(ID, On, Medium, why)
}

/// Step 2. Whether etcd calls fsync at all.
fn etcd_flag(facts: &Facts<'_>) -> Step {
    use BarrierState::{Off, On, Unknown};
    const ID: &str = "2-etcd-flag";
    match facts.unsafe_no_fsync {
        Some(true) => step(
            ID,
            Off,
            Confidence::High,
            "etcd runs with --unsafe-no-fsync: it never calls fsync",
        ),
        Some(false) => step(
            ID,
            On,
            Confidence::High,
            "etcd runs without --unsafe-no-fsync",
        ),
        None => step(
            ID,
            Unknown,
            Confidence::Low,
            "etcd's arguments were not to be read",
        ),
    }
}

/// Step 3. What the kernel takes the cache for.
fn cache(facts: &Facts<'_>) -> Step {
    use BarrierState::{NotNeeded, Off, On, Unknown};
    use Confidence::{High, Low, Medium};
    const ID: &str = "3-write-cache";
    let layers = &facts.chain.layers;
    let through = |layer: &&Layer| layer.write_cache == Ok(WriteCache::Through);
    let back = |layer: &Layer| layer.write_cache == Ok(WriteCache::Back);
    for layer in layers.iter().filter(through) {
        if let Some((WriteCache::Back, source)) = &layer.claim {
            return step(
                ID,
                Off,
                if matches!(layer.kind, LayerKind::Loop(_)) {
                    Medium
                } else {
                    High
                },
                format!(
                    "{}: queue/write_cache says `write through`, {source} says the cache is volatile: somebody turned the kernel's flushes off",
                    layer.name
                ),
            );
        }
        // A flush ends at the first layer that says it needs none.
        let under = below(facts.chain, layer);
        if let Some(lower) = under.iter().find(|lower| back(lower)) {
            return step(
                ID,
                Off,
                Medium,
                format!(
                    "{} says `write through` and stops flushes, {} below it has a volatile cache",
                    layer.name, lower.name
                ),
            );
        }
    }
    let disks = facts.chain.disks();
    if disks.is_empty() {
        return step(ID, Unknown, Low, "no device is known under the mount");
    }
    if let Some(unknown) = disks.iter().find(|disk| disk.write_cache.is_err()) {
        let why = match &unknown.write_cache {
            Err(why) => format!("{}: {why}", unknown.name),
            Ok(_) => String::new(),
        };
        return step(ID, Unknown, Low, why);
    }
    let names = |disks: &[&Layer]| {
        let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
        names.join(", ")
    };
    let volatile: Vec<&Layer> = disks.iter().copied().filter(|disk| back(disk)).collect();
    if !volatile.is_empty() {
        let why = format!("{} has a volatile cache (write back)", names(&volatile));
        return step(ID, On, Medium, why);
    }
    let confirmed = disks.iter().all(|disk| {
        matches!(disk.claim, Some((WriteCache::Through, _))) || disk.kind == LayerKind::Memory
    });
    step(
        ID,
        NotNeeded,
        if confirmed { High } else { Medium },
        format!(
            "{} says it has no volatile cache (write through)",
            names(&disks)
        ),
    )
}

/// Every layer under one.
fn below<'a>(chain: &'a Chain, layer: &'a Layer) -> Vec<&'a Layer> {
    let mut found: Vec<&Layer> = Vec::new();
    let mut todo: Vec<&str> = layer.below.iter().map(String::as_str).collect();
    while let Some(name) = todo.pop() {
        if found.iter().any(|have| have.name == name) {
            continue;
        }
        if let Some(next) = chain.layer(name) {
            // Under a loop device lies a file: its file system flushes for itself.
            if !matches!(next.kind, LayerKind::Loop(_)) {
                todo.extend(next.below.iter().map(String::as_str));
            }
            found.push(next);
        }
    }
    // What holds a loop device's file is reached by fsync of that file, not by this queue.
    if matches!(layer.kind, LayerKind::Loop(_)) {
        found.clear();
    }
    found
}

/// Step 4. Flushes counted while data was written.
fn counted(facts: &Facts<'_>) -> Step {
    use BarrierState::{NotNeeded, Off, On, Unknown};
    use Confidence::{High, Low, Medium};
    const ID: &str = "4-flush-count";
    let Some(count) = facts.count else {
        return step(
            ID,
            Unknown,
            Low,
            "flushes were not counted: it takes two samples, a kernel of 5.5 or later and a disk with a queue",
        );
    };
    let (flushes, writes, secs) = (count.flushes, count.writes, count.secs);
    if flushes > 0 {
        let why = format!("{flushes} flushes and {writes} writes in {secs:.0} s");
        return step(ID, On, High, why);
    }
    let volatile = facts
        .chain
        .disks()
        .iter()
        .any(|disk| disk.write_cache == Ok(WriteCache::Back));
    let through = facts
        .chain
        .disks()
        .iter()
        .all(|disk| disk.write_cache == Ok(WriteCache::Through));
    let why = format!("no flush while {writes} writes were done in {secs:.0} s");
    if through {
        let why = format!("{why}; the device says it needs none");
        return step(ID, NotNeeded, Medium, why);
    }
    let enough = writes >= ENOUGH_WRITES
        && secs >= SHORTEST_SECS
        && (count.etcd_wrote || secs >= LONG_ENOUGH_SECS)
        && flushes_are_its_own(&facts.mount.fs)
        && facts.unsafe_no_fsync != Some(true);
    if !enough || !volatile {
        let why = format!("{why}: too little to tell, or the cache is not known to be volatile");
        return step(ID, Unknown, Low, why);
    }
    let confidence = if count.etcd_wrote { High } else { Medium };
    step(ID, Off, confidence, why)
}

/// Step 5. Whether a flush takes as long as it must.
fn plausible(facts: &Facts<'_>) -> Step {
    use BarrierState::{On, Unknown};
    const ID: &str = "5-flush-time";
    let mean = facts
        .count
        .filter(|count| count.flushes > 0)
        .map(|count| count.flush_ms as f64 / count.flushes as f64);
    let Some(mean) = mean else {
        return step(ID, Unknown, Confidence::Low, "no flush was timed");
    };
    let virtual_disk = facts.chain.disks().iter().any(|disk| {
        matches!(
            disk.kind,
            LayerKind::Virtio | LayerKind::Xen | LayerKind::Network
        ) || disk.cloud.is_some_and(|cloud| !cloud.ephemeral)
    });
    if virtual_disk && mean < IMPLAUSIBLE_MS {
        return step(
            ID,
            Unknown,
            Confidence::Low,
            format!(
                "a flush takes {:.0} µs, faster than a network or flash memory allows: a protected cache, or a host that does not flush; they cannot be told apart from inside",
                mean * 1e3
            ),
        );
    }
    step(
        ID,
        On,
        Confidence::Low,
        format!(
            "a flush takes {mean:.2} ms; only a power cut can prove that the device honours it"
        ),
    )
}

#[cfg(test)]
mod tests;
