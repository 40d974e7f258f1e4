//! The host around etcd.

pub mod cpu_governor_slow;
pub mod io_scheduler_unsuited;
pub mod memory_low;
pub mod oom_killed;
pub mod open_files_limit_low;
pub mod swap_in_use;
pub mod time_unsynced;
