//! The disk under etcd.

pub mod backend_commit_slow;
pub mod device_flush_slow;
pub mod device_write_slow;
pub mod disk_shared;
pub mod disk_space_low;
pub mod etcd_io_limited;
pub mod filesystem_read_only;
pub mod filesystem_unsuited;
pub mod kernel_io_errors;
pub mod wal_fsync_slow;
pub mod wal_sync_stalled;
pub mod write_barriers_off;
