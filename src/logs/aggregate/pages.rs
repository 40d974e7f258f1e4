//! Pages of one paginated LIST are one LIST.
//!
//! The first answer of a paginated LIST is a list by itself; the pages after it ask for the same
//! range end from a later key. A page that follows a line of the same range end within half a minute continues it;
//! one that does not stands for a LIST whose first answer was fast and so was not logged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Pages further apart are two LISTs. A client asks for the next page at once.
const GAP_US: u64 = 30_000_000;
/// Most ranges followed at once.
const MAX: usize = 512;

/// A line about a limited LIST or one of its pages.
#[derive(Clone, Copy, Debug)]
pub struct PageLine {
    /// Hash of the range end.
    pub range: u64,
    /// A page after the first answer.
    pub is_page: bool,
    /// When.
    pub time_us: i64,
    /// Number of the resource's row.
    pub resource: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    first_us: i64,
    /// The first line was a page and was counted as a LIST.
    orphan: bool,
    last_us: i64,
    resource: u32,
}

/// Ranges that are being paged through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pages(BTreeMap<u64, Chain>);

impl Pages {
    /// Adds a line; true when it is a page of which no earlier line was seen.
    pub fn add(&mut self, line: PageLine) -> bool {
        if let Some(chain) = self.0.get_mut(&line.range) {
            let continues = line.time_us.abs_diff(chain.last_us) <= GAP_US;
            chain.last_us = line.time_us;
            return line.is_page && !continues;
        }
        if self.0.len() >= MAX {
            self.forget();
        }
        self.0.insert(
            line.range,
            Chain {
                first_us: line.time_us,
                orphan: line.is_page,
                last_us: line.time_us,
                resource: line.resource,
            },
        );
        line.is_page
    }

    /// Adds the piece that came right after this one. Gives back the row of each LIST that was
    /// counted there and turns out to continue one from here.
    pub fn absorb(&mut self, later: Pages) -> Vec<u32> {
        let mut continued = Vec::new();
        for (range, chain) in later.0 {
            match self.0.get_mut(&range) {
                Some(known) => {
                    if chain.orphan && chain.first_us.abs_diff(known.last_us) <= GAP_US {
                        continued.push(chain.resource);
                    }
                    known.last_us = chain.last_us;
                }
                None => {
                    self.0.insert(range, chain);
                }
            }
        }
        while self.0.len() > MAX {
            self.forget();
        }
        continued
    }

    /// Changes the numbers of rows.
    pub fn renumber(&mut self, new_id: impl Fn(u32) -> u32) {
        for chain in self.0.values_mut() {
            chain.resource = new_id(chain.resource);
        }
    }

    /// Numbers of the rows referred to.
    pub fn resources(&self) -> impl Iterator<Item = u32> {
        self.0.values().map(|chain| chain.resource)
    }

    /// Drops the older half.
    fn forget(&mut self) {
        let mut times: Vec<i64> = self.0.values().map(|chain| chain.last_us).collect();
        times.sort_unstable();
        let limit = times.get(times.len() / 2).copied().unwrap_or(i64::MAX);
        self.0.retain(|_, chain| chain.last_us > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lists(lines: &[(u64, bool, i64)], cut: usize) -> i64 {
        let mut count = 0;
        let mut piece = |lines: &[(u64, bool, i64)]| {
            let mut pages = Pages::default();
            for (range, is_page, secs) in lines {
                count += i64::from(pages.add(PageLine {
                    range: *range,
                    is_page: *is_page,
                    time_us: secs * 1_000_000,
                    resource: 0,
                }));
            }
            pages
        };
        let (a, b) = lines.split_at(cut.min(lines.len()));
        let (mut a, b) = (piece(a), piece(b));
        let continued = a.absorb(b).len();
        count - i64::try_from(continued).unwrap()
    }

    #[test]
    fn pages_after_a_list_add_nothing_and_orphans_add_one() {
        let lines = [(1, false, 0), (1, true, 1), (1, true, 2)];
        assert_eq!(lists(&lines, 0), 0);
        let lines = [(1, true, 0), (1, true, 1), (2, true, 2), (1, true, 600)];
        assert_eq!(lists(&lines, 0), 3);
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(
            lines in prop::collection::vec((0u64..3, any::<bool>(), 0i64..300), 0..40),
            cut in 0usize..40,
        ) {
            let mut lines = lines;
            lines.sort_by_key(|line| line.2);
            prop_assert_eq!(lists(&lines, cut), lists(&lines, 0));
        }
    }
}
