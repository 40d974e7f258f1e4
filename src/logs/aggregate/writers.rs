//! What a stream's other writers said, where wrappers name them: kinds, episodes and facts, which
//! are about the program that wrote them. What was read and etcd's requests stay the stream's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::episodes::Episodes;
use super::facts::Facts;
use super::kinds::Kinds;
use crate::logs::event::Component;
use crate::logs::signature::CLOUD_MANAGER;

/// Most writers of one stream that are kept apart.
const MAX: usize = 64;

/// What one writer said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Records by kind.
    pub kinds: Kinds,
    /// Episodes by kind.
    pub episodes: Episodes,
    /// Single facts.
    pub facts: Facts,
}

impl Said {
    /// Recognised records.
    pub fn records(&self) -> u64 {
        self.kinds.iter().map(|(_, row)| row.count).sum()
    }

    fn merge(&mut self, other: Said) {
        self.kinds.merge(&other.kinds);
        self.facts.merge(&other.facts);
        self.episodes.merge(other.episodes);
    }
}

/// What each writer said. Of too many the first by name are kept, so that it does not depend on
/// who came first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Writers {
    by_name: BTreeMap<String, Said>,
}

impl Writers {
    /// Whether no wrapper named a writer.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Where a writer's words go; `None` where it is one too many.
    pub fn of(&mut self, name: &str) -> Option<&mut Said> {
        if !self.by_name.contains_key(name) {
            if self.by_name.len() >= MAX
                && self
                    .by_name
                    .last_key_value()
                    .is_none_or(|(last, _)| name > last.as_str())
            {
                return None;
            }
            self.by_name.insert(name.to_owned(), Said::default());
        }
        self.by_name.get_mut(name)
    }

    /// Takes the writer out that is one too many, if there is one.
    pub fn surplus(&mut self) -> Option<Said> {
        if self.by_name.len() <= MAX {
            return None;
        }
        self.by_name.pop_last().map(|(_, said)| said)
    }

    /// Adds what came right after. There may be a surplus then.
    pub fn merge(&mut self, other: Writers) {
        for (name, said) in other.by_name {
            self.by_name.entry(name).or_default().merge(said);
        }
    }

    /// Whose a writer's words are. That a lease was lost both controller managers say from a file of
    /// one name, and before it whose lease could not be renewed: where that is known of the cloud's
    /// only, it is the cloud's.
    pub fn whose<'n>(&self, name: &'n str) -> &'n str {
        let only_lost = |said: &Said| {
            said.kinds
                .iter()
                .all(|(kind, _)| kind == "leaderelection-lost")
        };
        let is_other = name == Component::ControllerManager.word()
            && self.by_name.contains_key(CLOUD_MANAGER)
            && self.by_name.get(name).is_some_and(only_lost);
        if is_other { CLOUD_MANAGER } else { name }
    }

    /// The writers by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Said)> {
        self.by_name.iter().map(|(name, said)| (&**name, said))
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        for said in self.by_name.values_mut() {
            said.kinds.restore();
            said.facts.restore();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    /// Counts by writer, with those of nobody in front.
    fn counts(names: &[usize], cut: usize) -> (u64, Vec<(String, u64)>) {
        let mut nobody = Kinds::default();
        let mut pieces = names.split_at(cut.min(names.len()));
        let mut read = |names: &mut &[usize]| {
            let mut writers = Writers::default();
            for name in *names {
                let name = format!("w{name:03}");
                let at = Some(Timestamp(1));
                match writers.of(&name) {
                    Some(said) => said.kinds.add("client-throttled", at, 1, None),
                    None => nobody.add("client-throttled", at, 1, None),
                }
                while let Some(said) = writers.surplus() {
                    nobody.merge(&said.kinds);
                }
            }
            writers
        };
        let mut first = read(&mut pieces.0);
        first.merge(read(&mut pieces.1));
        while let Some(said) = first.surplus() {
            nobody.merge(&said.kinds);
        }
        let all = first.iter();
        (
            nobody.iter().map(|(_, row)| row.count).sum(),
            all.map(|(name, said)| (name.to_owned(), said.records()))
                .collect(),
        )
    }

    #[test]
    fn a_lost_lease_is_the_controller_managers_that_could_not_renew_it() {
        let manager = "kube-controller-manager";
        let said = |kinds: &[(&str, &'static str)]| {
            let mut writers = Writers::default();
            for (name, kind) in kinds {
                let said = writers.of(name).unwrap();
                said.kinds.add(kind, Some(Timestamp(1)), 1, None);
            }
            writers.whose(manager).to_owned()
        };
        let (lost, renew) = ("leaderelection-lost", "leaderelection-renew-failed");
        assert_eq!(
            said(&[(CLOUD_MANAGER, renew), (manager, lost)]),
            CLOUD_MANAGER
        );
        let both = [(CLOUD_MANAGER, renew), (manager, renew), (manager, lost)];
        assert_eq!(said(&both), manager);
        assert_eq!(said(&[(manager, lost)]), manager);
    }

    proptest::proptest! {
        #[test]
        fn too_many_writers_are_the_same_ones_however_the_stream_is_cut(
            names in proptest::collection::vec(0_usize..90, 0..400),
            cut in 0_usize..400,
        ) {
            let whole = counts(&names, 0);
            proptest::prop_assert!(whole.1.len() <= MAX);
            let total: u64 = whole.1.iter().map(|(_, count)| count).sum();
            proptest::prop_assert_eq!(whole.0 + total, names.len() as u64);
            proptest::prop_assert_eq!(counts(&names, cut), whole);
        }
    }
}
