//! What the bench asks of the host, without knowing who answers: `cli` wires it.

use std::path::Path;

use crate::formats::bench::disk::{Barrier, Disk, Ground};

/// Flushes and writes that the bench itself caused, for the ladder of evidence about barriers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Flushes.
    pub flushes: u64,
    /// Device writes.
    pub writes: u64,
    /// Milliseconds in flushes.
    pub flush_ms: u64,
    /// Seconds.
    pub secs: f64,
}

/// Facts about directories.
pub trait Host: Sync {
    /// What lies under a directory.
    fn ground(&self, dir: &Path) -> Ground;
    /// The ladder about barriers anew, with the flushes that the bench counted.
    fn barrier(&self, dir: &Path, counted: Counted) -> Barrier;
    /// The page of statistics of a volume that keeps one.
    fn volume_page(&self, _disk: &Disk) -> Option<Vec<u8>> {
        None
    }
}
