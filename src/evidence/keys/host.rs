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
    /// `read_bytes_per_sec`, `write_bytes_per_sec`, `reads_per_sec`, `writes_per_sec`; text `on_etcd_disk` (yes, no), where that is known.
    CGROUP_IO_LIMITS: Table = "cgroup.io.limits", None, Latest;
    /// CPU time that was used, share of all CPUs over the window.
    CPU_BUSY: f64 = "cpu.busy", Ratio, Max;
    /// CPU idle with I/O under way, share of the window. A hint only.
    CPU_IOWAIT: f64 = "cpu.iowait", Ratio, Max;
    /// One-minute load per CPU.
    CPU_LOAD: f64 = "cpu.load", Count, Max;
    /// CPU steal, share of the window.
    CPU_STEAL: f64 = "cpu.steal", Ratio, Max;
    /// Layers between etcd's file systems and the device that keep counters of their own (device mapper, RAID), rows by name; columns
    /// `writes`, `max_write_mean_ms` (mean time of one write, of the slowest window), both absent where it was not measured; text `kind`.
    DEVICE_ABOVE: Table = "device.above", None, Sum;
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
    /// The longest time between two samples of the device's counters: what a mean of the slowest window was taken over at most.
    DEVICE_SAMPLE_SECS: f64 = "device.sample-secs", Secs, Max;
    /// Other mount points on a disk of etcd's, rows by mount point; texts `fs`, `source`.
    DEVICE_SHARED: Table = "device.shared", None, Latest;
    /// Bytes written on the device in the window.
    DEVICE_WRITE_BYTES: f64 = "device.write.bytes", Bytes, Sum;
    /// Bytes written on the device per second.
    DEVICE_WRITE_RATE: f64 = "device.write.rate", PerSec, Max;
    /// Mean time of one write request on the device.
    DEVICE_WRITE_TIME: f64 = "device.write.time", Ms, Max;
    /// Cgroups that wrote to the device in the window, rows by cgroup; columns `write_bytes`, `max_bytes_per_sec`.
    DEVICE_WRITERS: Table = "device.writers", None, Sum;
    /// Writes on the device in the window.
    DEVICE_WRITES: f64 = "device.writes", Count, Sum;
    /// Other devices of the node with I/O in the window, rows by name; columns `writes`, `write_bytes`, `reads`, `read_bytes`, `max_busy`.
    DEVICES_OTHER: Table = "devices.other", None, Sum;
    /// Free bytes on the file system that holds the data directory.
    FS_FREE: f64 = "fs.free", Bytes, Min;
    /// Free space, share of the file system that holds the data directory.
    FS_FREE_SHARE: f64 = "fs.free-share", Ratio, Min;
    /// Free inodes there; absent where the file system has no fixed number.
    FS_INODES_FREE: f64 = "fs.inodes-free", Count, Min;
    /// Space under etcd's directories: rows `data`, `wal`; columns `size_bytes`, `free_bytes`, `inodes`, `inodes_free`; `data` also `db_bytes`, `wal_bytes`,
    /// `snapshot_bytes` (kept now), `need_defrag_bytes` (the copy), `need_snapshot_bytes` (one from the leader); `wal` also `need_wal_bytes`; texts of `wal`
    /// `apart` (yes: on another file system than the data directory), `missing` (why its space is not known there).
    FS_SPACE: Table = "fs.space", None, Latest;
    /// Settings of the kernel: rows `governor`, `thp`, `thp-defrag`, `swappiness`, `clocksource`, `clocksource-available`, `dirty-ratio`, `dirty-background-ratio`, `kernel`,
    /// `cpus`, `time-daemons`, `time-max-error-ms` and some more; texts `value`, `source`.
    HOST_SETTINGS: Table = "host.settings", None, Latest;
    /// What the kernel logged about I/O errors, one row a message kind (`io-error`, `buffer-io-error`, `medium-error`, `ext4-error`, `journal-aborted`, `remounted-read-only`,
    /// `xfs-corruption`, `xfs-shutdown`, `btrfs-error`, `nvme-timeout`, `nvme-reset`, `ata-error`, `scsi-error`, `raid-failure`, `multipath-failure`, `hung-task` (etcd's or a journal's)): columns `count` (the last
    /// day, or time unknown), `older`, `on_etcd_disk` (of `count`: name etcd's device or etcd), `elsewhere` (of `count`: name another device, where etcd's is known), `last_unix_secs`;
    /// texts `example`, `others` (those other devices). A table without rows: the log was read and is clean.
    KERNEL_IO_ERRORS: Table = "kernel.io-errors", None, Sum;
    /// Other kernel messages that matter: rows `oom-kill`, `soft-lockup`, `hung-task-other`, `clock-unstable`, `cpu-thermal`; as `kernel.io-errors`. Of `oom-kill` also whom: columns `killed:NAME`, `limited:NAME` (by the limit of its own cgroup).
    KERNEL_NOTES: Table = "kernel.notes", None, Sum;
    /// Memory available, share of all.
    MEM_AVAILABLE: f64 = "mem.available", Ratio, Min;
    /// Memory that waits to be written to disks.
    MEM_DIRTY: f64 = "mem.dirty", Bytes, Max;
    /// Swap in use.
    MEM_SWAP_USED: f64 = "mem.swap-used", Bytes, Max;
    /// The ladder of evidence about barriers: rows `data 1-mount-options`, `wal 4-flush-count` and so on; texts `state`
    /// (on, off, not-needed, unknown), `why`, `confidence` (low, medium, high).
    BARRIER_STEPS: Table = "mount.barrier-steps", None, Latest;
    /// The mount under etcd's data: rows `data`, `wal`; texts `path`, `mount`, `fs`, `options`, `device` (the disk, a `Device` subject's name), `barrier` (on, off, not-needed,
    /// unknown), `why`, `confidence`; also `path_source`, `host_path`, `source`, `devices`, `stack`, `device_kind`, `fs_fitness` (fine, doubtful, unfit, unknown), `fs_why`,
    /// `model`, `cloud_disk`, `ephemeral` (yes, no), `overlay_on`, `overlay_fs`, `journal` (yes, no), `unsafe_no_fsync` (yes, no),
    /// `read_only` (file system, mount, maybe (of a table that does not tell the two apart), no);
    /// columns `flush_mean_ms`, `flush_share` (of the time), `flushes_per_sec`, `flush_mean_since_boot_ms`.
    MOUNTS: Table = "mount.etcd", None, Latest;
    /// Mount options under etcd's data that are worth a remark: rows `data data=journal`, `wal no-journal`, `data discard` and so on; text `why`.
    MOUNT_REMARKS: Table = "mount.remarks", None, Latest;
    /// Pressure stall information: rows `cpu`, `io`, `memory`; columns `max_some`, `max_full`, shares of the window. About a `Node` it is
    /// information alone; about a `Component` it is that of its own cgroup.
    PRESSURE: Table = "pressure", None, Sum;
    /// Facts about a process: rows `pid`, `nofile`, `oom-score-adj`, `swap-bytes`, `rss-bytes`, `nice`, `threads`, `rt-priority`, `write-bytes-per-sec`,
    /// `memory-limit-bytes`, `memory-used-bytes`, `oom-kills` (of its cgroup)
    /// with column `value`; rows `name`, `data-dir`, `wal-dir`, `ionice`, `policy`, `state`, `started`, `unsafe-no-fsync`, `embedded` with text `text`;
    /// a row that could not be read has the text `missing`.
    PROCESS_FACTS: Table = "process.facts", None, Latest;
    /// Time a component's threads waited for a CPU, per second of the window; above 1 when several wait.
    RUN_DELAY: f64 = "process.run-delay", Ratio, Max;
    /// Mean time that a component's threads waited each time before they got a CPU; absent with too few runs.
    RUN_WAIT: f64 = "process.run-wait", Ms, Max;
    /// Waiting for a CPU, share of the time in which a component's threads could run; absent with too few runs.
    RUN_WAIT_SHARE: f64 = "process.run-wait-share", Ratio, Max;
    /// The longest time between two samples of a component's waits and limits: what a share of the worst window was taken over at most.
    PROCESS_SAMPLE_SECS: f64 = "process.sample-secs", Secs, Max;
    /// Offset of the clock from its source, positive when it is ahead.
    TIME_OFFSET: f64 = "time.offset", Ms, Latest;
    /// Whether the clock is kept in step with a source.
    TIME_SYNCED: bool = "time.synced", None, Min;
    /// Processes that wrote in the window, the most first kept: rows `NAME PID`; columns `write_bytes`, `max_bytes_per_sec`; texts `role` (etcd, other),
    /// `on_etcd_disk` (yes, no, unknown: whether it has a file open on a file system that shares etcd's disk).
    WRITERS: Table = "writers", None, Sum;
}
