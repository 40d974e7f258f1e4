//! The set of all readings of a run: filled by collectors, merged, saved and replayed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};

use serde::{Deserialize, Serialize};

use super::address::{Origin, Subject, Window};
use super::key::MergeLaw;
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
    /// The stretches of the window that were looked at, where there are gaps between them, as of
    /// runs on several days. Empty when it is the whole window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covered: Vec<Window>,
    /// Where it came from.
    pub origin: Origin,
    /// The value, or why there is none.
    pub value: Reading<Shape>,
}

impl Record {
    /// The stretches of time that were looked at, by time.
    pub fn stretches(&self) -> Vec<Window> {
        match self.covered.as_slice() {
            [] => Window::stretches([self.window]),
            covered => Window::stretches(covered.iter().copied()),
        }
    }

    /// Seconds that were looked at, which counts are to be divided by; `None` where an end is not
    /// known. The window of runs on several days is much longer.
    pub fn secs(&self) -> Option<f64> {
        self.window.secs()?;
        Some(self.stretches().iter().filter_map(Window::secs).sum())
    }

    /// Tells readings apart: the same one again has the same digest.
    fn digest(&self) -> u64 {
        struct Into(DefaultHasher);
        impl std::fmt::Write for Into {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.write(text.as_bytes());
                Ok(())
            }
        }
        let mut digest = Into(DefaultHasher::new());
        // Writing into a hasher cannot fail.
        write!(digest, "{self:?}").ok();
        digest.0.finish()
    }
}

/// From such a gap on there are two runs: rotated logs and files of one run lie closer together.
const APART_US: i64 = 3_600_000_000;

/// All readings of a run, by key and subject.
#[derive(Clone, Debug, Default)]
pub struct EvidenceSet {
    records: BTreeMap<(String, Subject), Record>,
    /// What the sums are made of, as digests, so that no reading counts twice.
    parts: BTreeMap<(String, Subject), BTreeSet<u64>>,
    conflicts: Vec<String>,
}

/// What was found out, however it came together.
impl PartialEq for EvidenceSet {
    fn eq(&self, other: &Self) -> bool {
        self.records == other.records && self.conflicts == other.conflicts
    }
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
            covered: Vec::new(),
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
            covered: Vec::new(),
            origin,
            value: Reading::Missing(why),
        });
    }

    /// Adds a record, as read from a bundle. One that is part of a sum already changes nothing.
    pub fn insert(&mut self, record: Record) {
        self.add(record, BTreeSet::new());
    }

    /// Adds all readings of another run: the same node again, or another node.
    pub fn merge(&mut self, mut other: EvidenceSet) {
        for words in other.conflicts {
            self.note_conflict(words);
        }
        for (address, record) in other.records {
            let parts = other.parts.remove(&address).unwrap_or_default();
            self.add(record, parts);
        }
    }

    /// Adds a record that is the sum of `parts`; of itself alone when there are none.
    fn add(&mut self, record: Record, mut parts: BTreeSet<u64>) {
        let address = (record.key.clone(), record.subject.clone());
        let mut slot = match self.records.entry(address.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(record);
                if !parts.is_empty() {
                    self.parts.insert(address, parts);
                }
                return;
            }
            Entry::Occupied(slot) => slot,
        };
        // A saved sum does not say of what it is one.
        if *slot.get() == record {
            return;
        }
        let law = keys::info(&record.key).map(|info| info.merge);
        let known = |record: &Record| matches!(record.value, Reading::Known(_));
        let sums = matches!(law, Some(MergeLaw::Sum | MergeLaw::Union));
        let mut said = None;
        if sums && known(slot.get()) && known(&record) {
            if parts.is_empty() {
                parts.insert(record.digest());
            }
            let have = self
                .parts
                .entry(address)
                .or_insert_with(|| [slot.get().digest()].into());
            if parts.is_subset(have) {
                return;
            }
            if have.is_subset(&parts) {
                slot.insert(record);
                *have = parts;
                return;
            }
            if !have.is_disjoint(&parts) {
                said = Some("runs that were merged before share a part, which counts twice".into());
            }
            have.extend(parts);
        } else if !known(slot.get()) && known(&record) && !parts.is_empty() {
            self.parts.insert(address, parts);
        }
        match merge_readings(law, slot.get_mut(), &record) {
            Ok(0) => {}
            Ok(dropped) => said = Some(format!("{dropped} over the bound were dropped")),
            Err(MergeError { why }) => said = Some(why),
        }
        if let Some(why) = said {
            self.note_conflict(format!("{} of {}: {why}", record.key, record.subject));
        }
    }

    /// All records, by key and subject.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The runs that the sums are made of, by time, where hours lie between them; else nothing. Readings
    /// of runs on several days became one.
    pub fn runs(&self) -> Vec<Window> {
        let gaps = self.records().filter(|record| !record.covered.is_empty());
        let covered = gaps.flat_map(|record| record.covered.iter().copied());
        let mut runs: Vec<Window> = Vec::new();
        for stretch in Window::stretches(covered) {
            let gap = |last: &Window| Some(stretch.from?.since_us(last.to?));
            match runs.last_mut() {
                Some(last) if gap(last).is_some_and(|us| us < APART_US) => {
                    *last = last.union(stretch);
                }
                _ => runs.push(stretch),
            }
        }
        if runs.len() < 2 {
            runs.clear();
        }
        runs
    }

    /// Keeps what could not be merged elsewhere, said in words.
    pub fn note_conflict(&mut self, words: String) {
        if !self.conflicts.contains(&words) {
            self.conflicts.push(words);
        }
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
