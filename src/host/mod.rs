//! What a node's kernel tells: mounts and barriers, devices and their flushes, cgroups, pressure,
//! CPU, memory, processes, kernel messages and time.
//!
//! All of it goes through a [`HostRoot`](crate::target::HostRoot): the live host, a mounted `/host`, a bundle's `host/`
//! folder and a fixture run the same code. Counters need two samples: two reads a window apart
//! when live, the timed files of a bundle else. Parsers are pure; [`read`] does the reading and
//! [`collect`] turns the model into evidence.
//!
//! procfs parses what it parses from any bytes without a panic (cgroups, load, uptime, schedstat);
//! its parsers of `stat`, `limits` and `status` panic or give up on torn text, so those are ours.

pub mod apiserver;
pub mod barrier;
pub mod cgroup;
pub mod cloud;
mod collect;
pub mod device;
pub mod directory;
pub mod filesystem;
pub mod kernel_log;
pub mod layer;
pub mod memory;
mod model;
pub mod process;
mod read;
mod samples;
mod series;
pub mod settings;
pub mod space;
mod storage;
pub mod time_sync;
pub mod writers;

pub use crate::formats::cpu;
pub use collect::{Missing, collect};
pub use model::{
    CgroupUse, DeviceUse, DeviceWindow, Hints, HostModel, Measured, PressureUse, ProcessUse, Span,
    Storage, StorageRole,
};
pub use read::{hostname, read, read_until, roots};

/// A value, or why there is none.
pub type Got<T> = Result<T, Missing>;
