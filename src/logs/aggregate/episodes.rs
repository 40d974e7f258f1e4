//! Episodes of every kind, reached by a number where the same kinds come again and again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::runs::{Run, Runs};

/// Episodes by kind. A kind's number never changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, Runs>", from = "BTreeMap<String, Runs>")]
pub struct Episodes {
    kinds: Vec<(String, Runs)>,
}

impl Episodes {
    /// The number of a kind that has episodes.
    pub fn number(&self, kind: &str) -> Option<u32> {
        let at = self.kinds.iter().position(|(known, _)| known == kind)?;
        u32::try_from(at).ok()
    }

    /// The episodes of the kind with this number.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Runs> {
        self.kinds.get_mut(number as usize).map(|(_, runs)| runs)
    }

    /// Adds a sign of a kind; `gap_us` as of [`Runs::new`].
    pub fn add(&mut self, kind: &str, gap_us: i64, run: &Run) {
        match self.number(kind).and_then(|number| self.get_mut(number)) {
            Some(runs) => runs.add(run),
            None => {
                let mut runs = Runs::new(gap_us);
                runs.add(run);
                self.kinds.push((kind.to_owned(), runs));
            }
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        for (kind, runs) in other.kinds {
            match self.number(&kind).and_then(|number| self.get_mut(number)) {
                Some(known) => known.merge(&runs),
                None => self.kinds.push((kind, runs)),
            }
        }
    }

    /// Kinds in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Runs)> {
        let mut order: Vec<_> = self
            .kinds
            .iter()
            .map(|(kind, runs)| (&**kind, runs))
            .collect();
        order.sort_by_key(|(kind, _)| *kind);
        order.into_iter()
    }
}

impl From<Episodes> for BTreeMap<String, Runs> {
    fn from(episodes: Episodes) -> Self {
        episodes.kinds.into_iter().collect()
    }
}

impl From<BTreeMap<String, Runs>> for Episodes {
    fn from(kinds: BTreeMap<String, Runs>) -> Self {
        Episodes {
            kinds: kinds.into_iter().collect(),
        }
    }
}
