//! The model of a node: everything that was read, with its sources and windows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::clock::Timestamp;
use crate::formats::mountinfo::Mount;

use super::Got;
use super::barrier::{Barrier, Journal};
use super::cgroup::Placement;
use super::cpu::{CpuShares, Waits};
use super::device::Chain;
use super::kernel_log::KernelLog;
use super::memory::{CgroupMemory, Memory};
use super::process::{EtcdProcess, ProcessScan};
use super::settings::Setting;
use super::space::{Kept, Space};
use super::time_sync::TimeSync;
use super::writers::{GroupWriter, Writer};
use crate::formats::blockstat::BlockDelta;

/// What the caller knows already, from settings or from the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// etcd's data directory on this host: a flag's value or a static pod's host path.
    pub data_dir: Option<String>,
    /// etcd's WAL directory, where it is a separate one.
    pub wal_dir: Option<String>,
    /// Size of the database file in bytes.
    pub db_bytes: Option<u64>,
    /// Folders of this host's logs that were taken apart from its tree: a kernel log may be there.
    pub logs: Vec<PathBuf>,
}

/// A span of time; an open end is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First moment.
    pub from: Option<Timestamp>,
    /// Last moment.
    pub to: Option<Timestamp>,
}

/// A measured value with its window and source.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured<T> {
    /// When it holds.
    pub span: Span,
    /// The files.
    pub source: String,
    /// The value.
    pub value: T,
}

/// Which of etcd's directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageRole {
    /// The data directory, with the database.
    Data,
    /// The write-ahead log.
    Wal,
}

impl StorageRole {
    /// The row's key in evidence.
    pub fn word(self) -> &'static str {
        match self {
            StorageRole::Data => "data",
            StorageRole::Wal => "wal",
        }
    }
}

/// One directory of one etcd and what lies under it.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The etcd's process id, where a process is known.
    pub pid: Option<u32>,
    /// Which directory.
    pub role: StorageRole,
    /// Its path, as etcd sees it.
    pub path: String,
    /// How the path is known: `--data-dir`, `hint`, `usual path`.
    pub path_source: &'static str,
    /// Its path on the host, where it is mounted elsewhere there.
    pub host_path: String,
    /// The mount that holds it.
    pub mount: Got<Mount>,
    /// The mount below an overlay, where the directory is on one.
    pub below_overlay: Option<Mount>,
    /// The mount table.
    pub source: String,
    /// The devices under it.
    pub chain: Chain,
    /// Whether the file system has a journal.
    pub journal: Journal,
    /// Whether flushes reach them.
    pub barrier: Option<Barrier>,
    /// Options worth a remark, with the reason.
    pub remarks: Vec<(String, &'static str)>,
    /// Free space of its file system.
    pub space: Option<Got<Space>>,
    /// What etcd keeps there, by file sizes (data directory only).
    pub kept: Option<Got<Kept>>,
    /// Other mount points on the same disks.
    pub shared_with: Vec<Mount>,
}

/// One window of one device's counters.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceWindow {
    /// When.
    pub span: Span,
    /// The two files.
    pub source: String,
    /// What happened.
    pub delta: BlockDelta,
}

/// The counters of one device.
#[derive(Clone, Debug, Default)]
pub struct DeviceUse {
    /// Windows between neighbouring samples; those over a counter's restart are left out.
    pub windows: Vec<DeviceWindow>,
    /// How many windows a restart of the counters took away.
    pub resets: u64,
    /// Mean time of a flush since boot, and how many there were.
    pub since_boot: Option<(f64, u64)>,
    /// Why there are no windows.
    pub missing: Option<super::Missing>,
    /// Where the counters come from, when there are no windows.
    pub source: String,
    /// Whether the flush counters of this device mean anything.
    pub counts_flushes: bool,
}

/// One window of pressure: shares of the time.
#[derive(Clone, Debug, PartialEq)]
pub struct PressureUse {
    /// When.
    pub span: Span,
    /// The files.
    pub source: String,
    /// Whether it is only the kernel's ten-second mean.
    pub average: bool,
    /// Some task waited.
    pub some: f64,
    /// All tasks waited.
    pub full: Option<f64>,
}

/// One reading of a cgroup's CPU limit.
#[derive(Clone, Debug, PartialEq)]
pub struct CgroupUse {
    /// When; since the group was made, where only one sample is there.
    pub span: Span,
    /// The files.
    pub source: String,
    /// The folder.
    pub folder: String,
    /// Share of the periods that were throttled.
    pub share: Option<f64>,
    /// Time throttled per second; `None` when the length of the window is unknown.
    pub time: Option<f64>,
    /// Periods.
    pub periods: u64,
    /// Throttled periods.
    pub throttled: u64,
    /// Whether this is the group's whole life, not a window.
    pub lifetime: bool,
}

/// How threads waited for a CPU in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunDelay {
    /// Seconds of waiting per second; above 1 when several wait.
    pub per_sec: f64,
    /// All of it.
    pub waits: Waits,
}

/// Facts about one etcd that come from samples.
#[derive(Clone, Debug, Default)]
pub struct ProcessUse {
    /// How its threads waited for a CPU.
    pub run_delay: Vec<Measured<RunDelay>>,
    /// Whether all of its threads are in that, or only the first.
    pub run_delay_of_all: bool,
    /// Why there is none.
    pub run_delay_missing: Option<super::Missing>,
    /// Where it stands in the cgroup tree.
    pub placement: Placement,
    /// How often its CPU limit bit.
    pub throttling: Vec<CgroupUse>,
    /// Why that is unknown.
    pub throttling_missing: Option<super::Missing>,
    /// Pressure in its own cgroup (version 2): `cpu`, `io`, `memory`.
    pub pressure: BTreeMap<&'static str, Vec<PressureUse>>,
    /// Limits of I/O: device, what, how much.
    pub io_limits: Vec<(String, &'static str, f64)>,
    /// Its cgroup's memory.
    pub memory: CgroupMemory,
    /// Bytes written per second, between samples.
    pub write_rate: Option<f64>,
}

/// Everything that was read about a node.
#[derive(Clone, Debug, Default)]
pub struct HostModel {
    /// Whether the tree is a running kernel's.
    pub live: bool,
    /// The node's own name, where the tree holds it.
    pub hostname: Option<String>,
    /// When the machine started.
    pub boot: Option<Timestamp>,
    /// When the files without a time in their name were read.
    pub taken: Option<Timestamp>,
    /// All samples lie in this span.
    pub span: Span,
    /// The processes.
    pub processes: ProcessScan,
    /// By process id, what samples tell.
    pub process_use: BTreeMap<u32, ProcessUse>,
    /// etcd's directories.
    pub storage: Vec<Storage>,
    /// Why there are none.
    pub storage_missing: Option<super::Missing>,
    /// Counters of the disks under etcd's directories.
    pub devices: BTreeMap<String, DeviceUse>,
    /// Counters of the layers between etcd's file systems and those disks: device mapper, RAID.
    pub layers_above: BTreeMap<String, DeviceUse>,
    /// Disks that are taken for etcd's only because nothing else was sampled.
    pub assumed_devices: bool,
    /// Stacks of devices that no mount led to, by device.
    pub assumed_chains: BTreeMap<String, Chain>,
    /// Counters of every other device with I/O.
    pub other_devices: BTreeMap<String, DeviceUse>,
    /// Pressure of the host: `cpu`, `io`, `memory`.
    pub pressure: BTreeMap<&'static str, Got<Vec<PressureUse>>>,
    /// Shares of the CPU time.
    pub cpu: Option<Got<Vec<Measured<CpuShares>>>>,
    /// Number of CPUs.
    pub cpus: Option<u32>,
    /// One-minute load at each sample.
    pub load: Option<Got<Vec<Measured<f64>>>>,
    /// Memory.
    pub memory: Option<Got<Measured<Memory>>>,
    /// Settings of the kernel.
    pub settings: Vec<Setting>,
    /// What the kernel logged.
    pub kernel_log: Option<Got<KernelLog>>,
    /// The clock.
    pub time: TimeSync,
    /// Processes that wrote in the window, the most first.
    pub writers: Vec<Writer>,
    /// Cgroups that wrote to etcd's disks in the window; `device` is the disk's name.
    pub group_writers: Vec<GroupWriter>,
    /// Size of the database as the caller knows it.
    pub db_hint: Option<u64>,
}

impl HostModel {
    /// The etcd with a process id.
    pub fn etcd(&self, pid: u32) -> Option<&EtcdProcess> {
        self.processes.etcd.iter().find(|etcd| etcd.pid == pid)
    }
}
