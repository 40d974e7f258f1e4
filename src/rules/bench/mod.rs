//! What this program's own benches found.

pub mod disk_slow;
pub mod disk_unsafe;
pub mod wal_shares_device;
