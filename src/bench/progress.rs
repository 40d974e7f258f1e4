//! How far a bench is.

/// Somebody who wants to know how far a bench is. Called a few times a second at most, and never
/// inside a timed region.
pub trait Progress: Sync {
    /// The part under way, and the seconds that the rest of the plan takes.
    fn at(&self, part: &str, left_secs: f64);
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn at(&self, _part: &str, _left_secs: f64) {}
}
