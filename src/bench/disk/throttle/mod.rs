//! Is the disk limited from outside? A burst that ends in a plateau is a token bucket; the same
//! bytes per second for small and large chunks is one that is empty, and so is a time that is a
//! constant and bytes at a low rate; scattered writes that cost in proportion to their number are
//! a limit of writes; syncs that wait while the device is idle are held back by the kernel for a
//! cgroup. Without a burst a slow medium looks the same: only a limit gives credit for a rest.
//!
//! [`probe`] makes the series through the same traits as the emulators, [`judge`] judges any.

pub mod judge;
pub mod probe;
pub mod step;
#[cfg(test)]
mod tests;

use crate::bench::Cancel;
use crate::bench::disk::storage::{Disk, Time};
use crate::formats::bench::throttle::ThrottleProbe;

pub use probe::{Budget, Busy, UnknownBusy};

/// Looks for a limit. `cgroup_limit` is the limit of this program's cgroup in words, if one is set.
pub fn look(
    disk: &dyn Disk,
    time: &dyn Time,
    busy: &dyn Busy,
    budget: Budget,
    cgroup_limit: Option<String>,
    cancel: &Cancel,
) -> ThrottleProbe {
    let mut ran = probe::run(disk, time, busy, budget, cancel);
    ran.measured.cgroup_limit = cgroup_limit;
    let plateau = judge::judge(&ran.measured);
    let doubt = match (&ran.error, cancel.reason()) {
        (Some(err), _) => Some(format!("ended early: {err}")),
        (None, Some(why)) => Some(format!("ended early: {why}")),
        (None, None) => None,
    };
    ThrottleProbe {
        words: judge::words(
            plateau.as_ref(),
            ran.measured.cgroup_limit.as_deref(),
            ran.bytes,
            ran.secs,
        ),
        plateau,
        searched_bytes: ran.bytes,
        searched_secs: ran.secs,
        trials: ran.measured.parts().map(judge::Series::trial).collect(),
        doubt,
    }
}
