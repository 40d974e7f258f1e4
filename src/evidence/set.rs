//! The set of all readings of a run: filled by collectors, merged, saved and replayed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::address::{Origin, Subject, Window};
use super::key::{FromShape, Key};
use super::merge::{MergeError, merge_readings};
use super::shape::Shape;
use super::{Missing, Reading, keys};

/// One self-describing reading, as bundles store it. Unknown keys are kept as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The key's dotted name.
    pub key: String,
    /// What it is about.
    pub subject: Subject,
    /// When it holds.
    #[serde(default)]
    pub window: Window,
    /// Where it came from.
    pub origin: Origin,
    /// The value, or why there is none.
    pub value: Reading<Shape>,
}

/// All readings of a run, by key and subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvidenceSet {
    records: BTreeMap<(String, Subject), Record>,
    conflicts: Vec<String>,
}

impl EvidenceSet {
    /// No reading.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a typed reading; a reading of the same key and subject is merged by the key's law.
    pub fn put<T: FromShape>(
        &mut self,
        key: &Key<T>,
        subject: Subject,
        window: Window,
        origin: Origin,
        value: T,
    ) {
        self.insert(Record {
            key: key.info.name.to_owned(),
            subject,
            window,
            origin,
            value: Reading::Known(value.into_shape()),
        });
    }

    /// Notes that a reading could not be had. Never replaces a known one.
    pub fn put_missing<T>(&mut self, key: &Key<T>, subject: Subject, origin: Origin, why: Missing) {
        self.insert(Record {
            key: key.info.name.to_owned(),
            subject,
            window: Window::default(),
            origin,
            value: Reading::Missing(why),
        });
    }

    /// Adds a record, as read from a bundle.
    pub fn insert(&mut self, record: Record) {
        use std::collections::btree_map::Entry;
        match self
            .records
            .entry((record.key.clone(), record.subject.clone()))
        {
            Entry::Vacant(slot) => {
                slot.insert(record);
            }
            Entry::Occupied(mut slot) => {
                let law = keys::info(&record.key).map(|info| info.merge);
                if let Err(MergeError { why }) = merge_readings(law, slot.get_mut(), &record) {
                    self.conflicts
                        .push(format!("{} of {}: {why}", record.key, record.subject));
                }
            }
        }
    }

    /// Adds all readings of another run: the same node again, or another node.
    pub fn merge(&mut self, other: EvidenceSet) {
        self.conflicts.extend(other.conflicts);
        for record in other.records.into_values() {
            self.insert(record);
        }
    }

    /// All records, by key and subject.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Keeps what could not be merged elsewhere, said in words.
    pub fn note_conflict(&mut self, words: String) {
        self.conflicts.push(words);
    }

    /// What could not be merged, said in words.
    pub fn conflicts(&self) -> &[String] {
        &self.conflicts
    }

    /// The record of a key and subject.
    pub fn record<T>(&self, key: &Key<T>, subject: &Subject) -> Option<&Record> {
        self.records
            .get(&(key.info.name.to_owned(), subject.clone()))
    }

    /// All records of a key, by subject.
    pub fn of_key<'a, T>(&'a self, key: &Key<T>) -> impl Iterator<Item = &'a Record> + use<'a, T> {
        let name = key.info.name;
        self.records
            .range((name.to_owned(), least_subject())..)
            .take_while(move |((key, _), _)| key == name)
            .map(|(_, record)| record)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Drops records whose shape does not fit their key, and says so: a forged or foreign bundle
    /// must not reach the rules.
    pub fn drop_misfits(&mut self) {
        let misfit = |record: &Record| {
            let info = keys::info(&record.key)?;
            match &record.value {
                Reading::Known(shape) if shape.kind() != info.shape => {
                    Some(format!("{}: expected a {:?}", record.key, info.shape))
                }
                _ => None,
            }
        };
        let conflicts = &mut self.conflicts;
        self.records.retain(|_, record| match misfit(record) {
            Some(why) => {
                conflicts.push(why);
                false
            }
            None => true,
        });
    }

    /// Keeps only records that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&Record) -> bool) {
        self.records.retain(|_, record| keep(record));
    }
}

fn least_subject() -> Subject {
    Subject::cluster()
}
