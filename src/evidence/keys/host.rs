//! Keys of what a node's kernel tells.
//!
//! Subjects: `Node`, `Device` (on a node), `Component` (a process on a node).

use super::super::Table;

keys! { HOST;
    /// CPU limit of a component's cgroup, in cores.
    CGROUP_CPU_LIMIT: f64 = "cgroup.cpu.limit", Count, Min;
    /// Share of the scheduling periods in which a component's cgroup was throttled.
    CGROUP_THROTTLED: f64 = "cgroup.cpu.throttled", Ratio, Max;
    /// Time that a component's cgroup was throttled, per second of the window.
    CGROUP_THROTTLED_TIME: f64 = "cgroup.cpu.throttled-time", Ratio, Max;
    /// CPU steal, share of the window.
    CPU_STEAL: f64 = "cpu.steal", Ratio, Max;
    /// Share of the window in which the device had I/O under way.
    DEVICE_BUSY: f64 = "device.busy", Ratio, Max;
    /// Mean time of one flush of the device's cache.
    DEVICE_FLUSH_TIME: f64 = "device.flush.time", Ms, Max;
    /// Flushes of the device's cache in the window.
    DEVICE_FLUSHES: f64 = "device.flushes", Count, Sum;
    /// Queue settings of the device: rows `write_cache`, `scheduler`, `rotational`, `read_ahead_kb`, `fua`, text `value`.
    DEVICE_QUEUE: Table = "device.queue", None, Latest;
    /// Mean time of one write request on the device.
    DEVICE_WRITE_TIME: f64 = "device.write.time", Ms, Max;
    /// Writes on the device in the window.
    DEVICE_WRITES: f64 = "device.writes", Count, Sum;
    /// Free bytes on the file system that holds the data directory.
    FS_FREE: f64 = "fs.free", Bytes, Min;
    /// What the kernel logged about I/O errors, one row a message kind: column `count`.
    KERNEL_IO_ERRORS: Table = "kernel.io-errors", None, Sum;
    /// Memory available, share of all.
    MEM_AVAILABLE: f64 = "mem.available", Ratio, Min;
    /// The mount under etcd's data: rows `data`, `wal`; texts `path`, `mount`, `fs`, `options`, `device`, `barrier` (on, off, unknown), `why`.
    MOUNTS: Table = "mount.etcd", None, Latest;
    /// Pressure stall information: rows `cpu`, `io`, `memory`; columns `max_some`, `max_full`, shares of the window.
    PRESSURE: Table = "pressure", None, Sum;
    /// Time a component's threads waited for a CPU, per second of the window.
    RUN_DELAY: f64 = "process.run-delay", Ratio, Max;
}
