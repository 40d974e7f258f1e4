//! `bench disk`: an emulator of etcd's WAL and of its database commits, in plain blocking threads,
//! and what it says about the disk under a directory.
//!
//! ```text
//! plan + host facts
//!   → storage       the real file system, or a simulated one
//!   → wal, backend  the calls that etcd makes, timed one by one
//!   → emulate       one run: arrivals, group commit, device counters, what disturbed it
//!   → run           the plan's parts in their order
//!   → trust, verdict, capacity     judged against the profile
//! ```

pub mod arrivals;
pub mod backend;
pub mod capacity;
pub mod emulate;
pub mod faults;
pub mod host;
pub mod micro;
pub mod observe;
pub mod place;
pub mod plan;
pub mod power_cut;
pub mod replay;
pub mod run;
pub mod simulated;
mod stand;
pub mod storage;
pub mod throttle;
pub mod trust;
pub mod verdict;
pub mod volume;
pub mod wal;
pub mod watch;
pub mod workdir;

pub use emulate::Rig;
pub use host::{Counted, Host};
pub use place::{Refused, Terms};
pub use storage::{Disk, DiskFile, RealDisk, SystemTime, Time};
pub use workdir::WorkDir;
