//! The disk under etcd.

pub mod backend_commit_slow;
pub mod device_flush_slow;
pub mod kernel_io_errors;
pub mod wal_fsync_slow;
pub mod wal_sync_stalled;
pub mod write_barriers_off;
