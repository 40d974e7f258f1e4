//! Which scrapes a number is taken between.

/// From one scrape of a time line to a later one, by number. `from == to` stands for the life of
/// the process up to that scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Span {
    /// Whether this is not a window but the whole life of the process.
    pub fn is_lifetime(self) -> bool {
        self.from == self.to
    }
}
