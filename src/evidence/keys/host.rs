//! Keys of what a node's kernel tells.
//!
//! Subjects: `Node`, `Device` (a disk under an etcd, on a node), `Component` (`etcd` or
//! `etcd-events` on a node; a lab's several etcds are each on a node of the member's name).
//! Readings over several windows (a bundle with many samples) are merged by the key's law: means
//! are the worst window's, counts are sums.

use super::super::Table;

keys! { HOST;
    /// CPU limit of a component's cgroup or of one above it, in cores; absent when there is none.
    CGROUP_CPU_LIMIT: f64 = "cgroup.cpu.limit", Count, Min;
    /// Periods of the CPU limit: a row for each cgroup folder; columns `periods`, `throttled`.
    CGROUP_PERIODS: Table = "cgroup.cpu.periods", None, Sum;
    /// Share of the scheduling periods in which a component's cgroup was throttled.
    CGROUP_THROTTLED: f64 = "cgroup.cpu.throttled", Ratio, Max;
    /// Time that a component's cgroup was throttled, per second of the window.
    CGROUP_THROTTLED_TIME: f64 = "cgroup.cpu.throttled-time", Ratio, Max;
    /// Limits of a component's I/O by its cgroup, rows by device `MAJOR:MINOR`; columns
    /// `read_bytes_per_sec`, `write_bytes_per_sec`, `reads_per_sec`, `writes_per_sec`.
    CGROUP_IO_LIMITS: Table = "cgroup.io.limits", None, Latest;
    /// CPU time that was used, share of all CPUs over the window.
    CPU_BUSY: f64 = "cpu.busy", Ratio, Max;
    /// CPU idle with I/O under way, share of the window. A hint only.
    CPU_IOWAIT: f64 = "cpu.iowait", Ratio, Max;
    /// One-minute load per CPU.
    CPU_LOAD: f64 = "cpu.load", Count, Max;
    /// CPU steal, share of the window.
    CPU_STEAL: f64 = "cpu.steal", Ratio, Max;
    /// Share of the window in which the device had I/O under way.
    DEVICE_BUSY: f64 = "device.busy", Ratio, Max;
    /// Discards on the device in the window.
    DEVICE_DISCARDS: f64 = "device.discards", Count, Sum;
    /// Share of the window that the device spent in flushes: what barriers cost here.
    DEVICE_FLUSH_SHARE: f64 = "device.flush.share", Ratio, Max;
    /// Mean time of one flush of the device's cache.
    DEVICE_FLUSH_TIME: f64 = "device.flush.time", Ms, Max;
    /// Mean time of one flush since the machine started.
    DEVICE_FLUSH_TIME_BOOT: f64 = "device.flush.time-since-boot", Ms, Latest;
    /// Flushes of the device's cache in the window.
    DEVICE_FLUSHES: f64 = "device.flushes", Count, Sum;
    /// Queue settings of the device: rows `write_cache`, `scheduler` (the active one), `rotational`, `read_ahead_kb`, `fua`,
    /// `nr_requests`, `discard_max_bytes`, `cache_claim` (what the device says of its cache), `kind`, `model`, `size`; text `value`.
    DEVICE_QUEUE: Table = "device.queue", None, Latest;
    /// Mean number of requests queued or under way on the device.
    DEVICE_QUEUE_LENGTH: f64 = "device.queue-length", Count, Max;
    /// Bytes written on the device in the window.
    DEVICE_WRITE_BYTES: f64 = "device.write.bytes", Bytes, Sum;
    /// Bytes written on the device per second.
    DEVICE_WRITE_RATE: f64 = "device.write.rate", PerSec, Max;
    /// Mean time of one write request on the device.
    DEVICE_WRITE_TIME: f64 = "device.write.time", Ms, Max;
    /// Writes on the device in the window.
    DEVICE_WRITES: f64 = "device.writes", Count, Sum;
    /// Other devices of the node with I/O in the window, rows by name; columns `writes`, `write_bytes`, `reads`, `read_bytes`, `max_busy`.
    DEVICES_OTHER: Table = "devices.other", None, Sum;
    /// Free bytes on the file system that holds the data directory.
    FS_FREE: f64 = "fs.free", Bytes, Min;
    /// What the kernel logged about I/O errors, one row a message kind: column `count`.
    KERNEL_IO_ERRORS: Table = "kernel.io-errors", None, Sum;
    /// Memory available, share of all.
    MEM_AVAILABLE: f64 = "mem.available", Ratio, Min;
    /// The ladder of evidence about barriers: rows `data 1-mount-options`, `wal 4-flush-count` and so on; texts `state`
    /// (on, off, not-needed, unknown), `why`, `confidence` (low, medium, high).
    BARRIER_STEPS: Table = "mount.barrier-steps", None, Latest;
    /// The mount under etcd's data: rows `data`, `wal`; texts `path`, `mount`, `fs`, `options`, `device` (the disk, a `Device` subject's name), `barrier` (on, off, not-needed,
    /// unknown), `why`, `confidence`; also `path_source`, `host_path`, `source`, `devices`, `stack`, `device_kind`, `fs_fitness` (fine, doubtful, unfit, unknown), `fs_why`,
    /// `model`, `cloud_disk`, `ephemeral` (yes, no), `overlay_on`, `overlay_fs`, `unsafe_no_fsync` (yes, no);
    /// columns `flush_mean_ms`, `flush_share` (of the time), `flushes_per_sec`, `flush_mean_since_boot_ms`.
    MOUNTS: Table = "mount.etcd", None, Latest;
    /// Mount options under etcd's data that are worth a remark: rows `data data=journal`; text `why`.
    MOUNT_REMARKS: Table = "mount.remarks", None, Latest;
    /// Pressure stall information: rows `cpu`, `io`, `memory`; columns `max_some`, `max_full`, shares of the window. About a `Node` it is
    /// information alone; about a `Component` it is that of its own cgroup.
    PRESSURE: Table = "pressure", None, Sum;
    /// Facts about a process: rows `pid`, `nofile`, `oom-score-adj`, `swap-bytes`, `rss-bytes`, `nice`, `threads`, `rt-priority`, `write-bytes-per-sec`
    /// with column `value`; rows `name`, `data-dir`, `wal-dir`, `ionice`, `policy`, `state`, `started`, `unsafe-no-fsync`, `embedded` with text `text`;
    /// a row that could not be read has the text `missing`.
    PROCESS_FACTS: Table = "process.facts", None, Latest;
    /// Time a component's threads waited for a CPU, per second of the window; above 1 when several wait.
    RUN_DELAY: f64 = "process.run-delay", Ratio, Max;
}
