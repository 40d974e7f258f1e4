//! One moment of one process: the wanted samples of a scrape, with interned series.
//!
//! Series that differ only in labels nobody asks for are added up here, so that a scrape of
//! 300 000 lines becomes some ten thousand numbers.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use crate::catalog::metrics::{Kind, METRICS, Metric};
use crate::clock::Timestamp;
use crate::formats::prometheus::{Label, Sample, Sink, number};

use super::moment::TimeSource;

/// Which part of a metric a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    Value,
    Count,
    Sum,
    /// Upper bound as the bits of a float, so that `1` and `1.0` are the same bucket.
    Bucket(u64),
}

/// Parts labels in a key. Control characters are not let into labels.
pub(super) const SEPARATOR: char = '\u{1f}';
/// Longest label value kept.
const MAX_LABEL: usize = 200;

/// What one row of a time line is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) metric: Metric,
    /// Which of the metric's names.
    pub(super) spelling: u8,
    /// Kept label values in the order of the catalogue, parted by [`SEPARATOR`].
    pub(super) labels: Box<str>,
    pub(super) part: Part,
}

impl Key {
    /// The metric's name as this series spells it.
    pub(super) fn name(&self) -> &'static str {
        let names = self.metric.info().names;
        names
            .get(usize::from(self.spelling))
            .copied()
            .unwrap_or_default()
    }
}

/// Where a sample name leads.
struct Meaning {
    metric: Metric,
    kind: Kind,
    spelling: u8,
    part: NamePart,
    /// Kept labels, each with its spellings.
    labels: Vec<Vec<&'static [u8]>>,
}

#[derive(Clone, Copy, PartialEq)]
enum NamePart {
    Value,
    Count,
    Sum,
    Bucket,
}

type FastMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

fn meanings() -> &'static FastMap<Vec<u8>, Meaning> {
    static MAP: OnceLock<FastMap<Vec<u8>, Meaning>> = OnceLock::new();
    MAP.get_or_init(|| {
        let mut map = FastMap::default();
        for (metric, info) in METRICS {
            for (spelling, name) in (0u8..).zip(info.names) {
                let mut put = |end: &str, part| {
                    let meaning = Meaning {
                        metric: *metric,
                        kind: info.kind,
                        spelling,
                        part,
                        labels: info
                            .labels
                            .iter()
                            .map(|label| label.split('|').map(str::as_bytes).collect())
                            .collect(),
                    };
                    map.insert([name.as_bytes(), end.as_bytes()].concat(), meaning);
                };
                match info.kind {
                    Kind::Histogram => {
                        put("_bucket", NamePart::Bucket);
                        put("_sum", NamePart::Sum);
                        put("_count", NamePart::Count);
                    }
                    Kind::Summary => {
                        put("", NamePart::Value);
                        put("_sum", NamePart::Sum);
                        put("_count", NamePart::Count);
                    }
                    _ => put("", NamePart::Value),
                }
            }
        }
        map
    })
}

/// Gives each series a small number, the same in all scrapes of a load.
#[derive(Debug, Default)]
pub(super) struct Interner {
    /// By the bytes that [`write_key`] makes, so that the hot path makes no string.
    ids: FastMap<Box<[u8]>, u32>,
    keys: Vec<Key>,
}

/// Most series of one load: some 200 MB.
const MAX_SERIES: usize = 1_000_000;

impl Interner {
    pub(super) fn key(&self, id: u32) -> Option<&Key> {
        self.keys.get(usize::try_from(id).ok()?)
    }

    /// The number of a series; `None` when there are too many.
    fn id(&mut self, bytes: &[u8], key: impl FnOnce() -> Key) -> Option<u32> {
        if let Some(id) = self.ids.get(bytes) {
            return Some(*id);
        }
        if self.keys.len() >= MAX_SERIES {
            return None;
        }
        let id = u32::try_from(self.keys.len()).ok()?;
        self.keys.push(key());
        self.ids.insert(bytes.into(), id);
        Some(id)
    }
}

/// Where the bits of a bucket's bound stand in the bytes of its key.
const BOUND: std::ops::Range<usize> = 4..12;

/// Writes what identifies a series: metric, spelling, part and kept labels. `None` when a bucket
/// has no bound.
fn write_key<'t>(
    meaning: &Meaning,
    find: impl Fn(&[u8]) -> Option<Cow<'t, [u8]>>,
    out: &mut Vec<u8>,
) -> Option<Part> {
    let part = match meaning.part {
        NamePart::Value => Part::Value,
        NamePart::Count => Part::Count,
        NamePart::Sum => Part::Sum,
        NamePart::Bucket => {
            let bound = number(&find(b"le")?)?;
            if bound.is_nan() {
                return None;
            }
            Part::Bucket(bound.to_bits())
        }
    };
    out.clear();
    out.extend_from_slice(&(meaning.metric as u16).to_le_bytes());
    out.push(meaning.spelling);
    match part {
        Part::Value => out.push(0),
        Part::Count => out.push(1),
        Part::Sum => out.push(2),
        Part::Bucket(bits) => {
            out.push(3);
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }
    for spellings in &meaning.labels {
        if let Some(value) = spellings.iter().find_map(|name| find(name)) {
            out.extend_from_slice(value.get(..value.len().min(MAX_LABEL)).unwrap_or(&value));
        }
        // Never a byte of UTF-8.
        out.push(0xFF);
    }
    Some(part)
}

/// The readable form of what [`write_key`] wrote.
fn read_key(meaning: &Meaning, part: Part, bytes: &[u8]) -> Key {
    let skip = if matches!(part, Part::Bucket(_)) {
        12
    } else {
        4
    };
    let mut labels = String::new();
    let values = bytes.get(skip..).unwrap_or_default();
    for (at, value) in values
        .split(|b| *b == 0xFF)
        .take(meaning.labels.len())
        .enumerate()
    {
        if at > 0 {
            labels.push(SEPARATOR);
        }
        labels.extend(
            String::from_utf8_lossy(value)
                .chars()
                .map(|c| if c.is_control() { '?' } else { c }),
        );
    }
    Key {
        metric: meaning.metric,
        spelling: meaning.spelling,
        labels: labels.into(),
        part,
    }
}

/// A value that is no number where one should be, as `NaN` in a counter.
pub(super) const BAD: f64 = f64::NEG_INFINITY;

/// The samples of one moment of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrape {
    /// Value by series.
    pub(super) values: Vec<(u32, f64)>,
    /// Where it came from, as the user would name it.
    pub(super) source: String,
    /// When.
    pub(super) at: Option<(Timestamp, TimeSource)>,
    /// Families are complete up to and without this one; `None` when the scrape is whole.
    pub(super) torn_at: Option<Box<str>>,
    /// The last family of the text, and whether families came sorted, as Go programs print them.
    pub(super) last_family: Box<str>,
    pub(super) sorted: bool,
    /// `job`, `instance` and `pod` of a federated scrape.
    pub(super) from: Option<Box<str>>,
    /// Values that are not numbers, and series over the limit.
    pub(super) bad: u64,
    pub(super) dropped: u64,
}

/// Collects a text into scrapes.
pub(super) struct Builder<'i> {
    interner: &'i mut Interner,
    /// Done scrapes: a file may hold several, one after the other or by `instance`.
    pub(super) done: Vec<Scrape>,
    current: Scrape,
    /// Scrapes of a federated text beside the current one.
    others: Vec<Scrape>,
    /// Place of a series in its scrape's values, by id; `(scrape number, place)`.
    places: Vec<(u32, u32)>,
    round: u32,
    meaning: Option<&'static Meaning>,
    first_family: Box<[u8]>,
    scratch: Vec<u8>,
    /// Whether the text repeated its first family, as when files were concatenated.
    pub(super) repeats: u64,
    timestamps: Option<i64>,
    /// The first series, of a text without comments.
    first_series: Option<(&'static Meaning, Box<[u8]>)>,
}

impl<'i> Builder<'i> {
    pub(super) fn new(interner: &'i mut Interner) -> Self {
        Builder {
            interner,
            done: Vec::new(),
            current: Scrape {
                sorted: true,
                ..Scrape::default()
            },
            others: Vec::new(),
            places: Vec::new(),
            round: 1,
            meaning: None,
            first_family: Box::default(),
            scratch: Vec::new(),
            repeats: 0,
            timestamps: None,
            first_series: None,
        }
    }

    /// Ends the text; gives back all scrapes found in it.
    pub(super) fn finish(mut self, torn: bool) -> (Vec<Scrape>, u64) {
        if self.current.last_family.is_empty()
            && let Some(meaning) = self.meaning
        {
            // A text without comments: its last sample is of this family.
            let names = meaning.metric.info().names;
            let name = names.get(usize::from(meaning.spelling));
            self.current.last_family = name.copied().unwrap_or_default().into();
            self.current.sorted = false;
        }
        if torn {
            for scrape in std::iter::once(&mut self.current).chain(&mut self.others) {
                // Of unsorted families nobody knows which ones should follow.
                scrape.torn_at = Some(match scrape.sorted {
                    true => scrape.last_family.clone(),
                    false => Box::default(),
                });
            }
        }
        self.end_of_scrape();
        (self.done, self.repeats)
    }

    /// What follows is a scrape of its own.
    fn next_moment(&mut self) {
        self.repeats += 1;
        self.end_of_scrape();
    }

    /// What follows is another part of a text, of which nothing repeats what was before.
    pub(super) fn next_part(&mut self) {
        if !self.current.values.is_empty() {
            self.next_moment();
        }
        self.first_family = Box::default();
        self.first_series = None;
    }

    fn end_of_scrape(&mut self) {
        let at = self
            .timestamps
            .take()
            .map(|ms| (Timestamp(ms.saturating_mul(1000)), TimeSource::Sample));
        let fresh = Scrape {
            sorted: true,
            ..Scrape::default()
        };
        let whole = std::mem::replace(&mut self.current, fresh);
        for mut scrape in std::iter::once(whole).chain(std::mem::take(&mut self.others)) {
            if !scrape.values.is_empty() {
                scrape.at = at;
                self.done.push(scrape);
            }
        }
        self.round += 1;
    }

    /// Whether the first series of a text stands there again, so that a scrape follows another one.
    fn is_first_again(&mut self, meaning: &'static Meaning, labels: &[Label<'_>]) -> bool {
        let text = || {
            let pairs = labels
                .iter()
                .map(|l| [l.name, b"=", &l.value(), b","].concat());
            pairs.flatten().collect::<Box<[u8]>>()
        };
        match &self.first_series {
            None => {
                self.first_series = Some((meaning, text()));
                false
            }
            Some((first, labels)) => std::ptr::eq(*first, meaning) && *labels == text(),
        }
    }

    /// The scrape of a federated text that `from` names.
    fn select(&mut self, from: Option<Box<str>>) {
        if self.current.from == from {
            return;
        }
        if self.current.values.is_empty() && self.current.from.is_none() {
            self.current.from = from;
            return;
        }
        let at = self.others.iter().position(|other| other.from == from);
        let wanted = match at {
            Some(at) => self.others.swap_remove(at),
            // Sources beyond this are folded into the last one kept nowhere: they are dropped.
            None => Scrape {
                from,
                sorted: true,
                last_family: self.current.last_family.clone(),
                ..Scrape::default()
            },
        };
        let before = std::mem::replace(&mut self.current, wanted);
        self.others.push(before);
        // Places are by scrape.
        self.round += 1;
        for (place, (id, _)) in (0u32..).zip(&self.current.values) {
            set_place(&mut self.places, *id, (self.round, place));
        }
    }

    fn put(&mut self, id: u32, value: f64, kind: Kind, part: Part) {
        let slot = usize::try_from(id)
            .ok()
            .and_then(|id| self.places.get(id))
            .filter(|(round, _)| *round == self.round)
            .and_then(|(_, place)| usize::try_from(*place).ok());
        match slot.and_then(|place| self.current.values.get_mut(place)) {
            Some((_, have)) => {
                // Series that differ only in labels not kept.
                *have = match (kind, part) {
                    (Kind::Info, _) => have.max(value),
                    (Kind::Summary, Part::Value) => have.max(value),
                    _ => *have + value,
                };
            }
            None => {
                let place = u32::try_from(self.current.values.len()).unwrap_or(u32::MAX);
                set_place(&mut self.places, id, (self.round, place));
                self.current.values.push((id, value));
            }
        }
    }

    /// Adds one value that is already split up, as from a Prometheus answer.
    pub(super) fn add(
        &mut self,
        name: &str,
        labels: &BTreeMap<Cow<'_, str>, Cow<'_, str>>,
        value: f64,
    ) {
        let Some(meaning) = meanings().get(name.as_bytes()) else {
            return;
        };
        let find = |wanted: &[u8]| {
            let wanted = std::str::from_utf8(wanted).ok()?;
            labels
                .get(wanted)
                .map(|value| Cow::Borrowed(value.as_bytes()))
        };
        self.record(meaning, find, value);
    }

    /// Takes the next bucket of the sample before: its key differs in the bound alone. `false`
    /// when the sample before left no key.
    fn next_bucket(&mut self, meaning: &Meaning, bound: f64, value: f64) -> bool {
        let bits = bound.to_bits();
        if bound.is_nan() || meaning.part != NamePart::Bucket {
            return false;
        }
        let Some(slot) = self.scratch.get_mut(BOUND) else {
            return false;
        };
        slot.copy_from_slice(&bits.to_le_bytes());
        let part = Part::Bucket(bits);
        let bytes = self.scratch.as_slice();
        let id = self.interner.id(bytes, || read_key(meaning, part, bytes));
        match id {
            None => self.current.dropped += 1,
            Some(id) => self.number(id, meaning.kind, part, value),
        }
        true
    }

    fn record<'t>(
        &mut self,
        meaning: &Meaning,
        find: impl Fn(&[u8]) -> Option<Cow<'t, [u8]>>,
        value: f64,
    ) {
        let mut bytes = std::mem::take(&mut self.scratch);
        match write_key(meaning, find, &mut bytes) {
            None => {
                self.current.bad += 1;
                bytes.clear();
            }
            Some(part) => match self.interner.id(&bytes, || read_key(meaning, part, &bytes)) {
                None => self.current.dropped += 1,
                Some(id) => self.number(id, meaning.kind, part, value),
            },
        }
        self.scratch = bytes;
    }

    fn number(&mut self, id: u32, kind: Kind, part: Part, value: f64) {
        // A revision is -1 before the first compaction.
        let only_rises = !matches!(kind, Kind::Gauge | Kind::Level) && part != Part::Sum;
        let wrong = value.is_nan()
            || value == f64::NEG_INFINITY
            || (only_rises && value < 0.0)
            || (value.is_infinite() && kind != Kind::Gauge);
        // An empty summary prints NaN quantiles: no fault.
        if wrong && kind != Kind::Summary {
            self.current.bad += 1;
        }
        self.put(id, if wrong { BAD } else { value }, kind, part);
    }
}

fn set_place(places: &mut Vec<(u32, u32)>, id: u32, place: (u32, u32)) {
    let Ok(id) = usize::try_from(id) else { return };
    if places.len() <= id {
        places.resize(id + 1, (0, 0));
    }
    if let Some(slot) = places.get_mut(id) {
        *slot = place;
    }
}

/// What names the process in a federated text.
fn from_of(labels: &[Label<'_>]) -> Option<Box<str>> {
    // `instance` is put on by Prometheus; no component of the control plane has it as a label.
    if !labels.iter().any(|l| l.name == b"instance") {
        return None;
    }
    let mut text = String::new();
    for wanted in FROM_LABELS {
        if let Some(label) = labels.iter().find(|l| l.name == wanted.as_bytes()) {
            let value = label.value();
            text.push_str(wanted);
            text.push('=');
            text.push_str(&String::from_utf8_lossy(&value));
            text.push(SEPARATOR);
        }
    }
    Some(text.into())
}

/// Labels that Prometheus puts on, which tell processes apart.
pub(super) const FROM_LABELS: [&str; 5] = ["job", "instance", "pod", "node", "container"];

/// Processes told apart in one federated text.
const MAX_FROM: usize = 200;

impl Sink for Builder<'_> {
    fn wants(&mut self, name: &[u8]) -> bool {
        self.meaning = meanings().get(name);
        self.meaning.is_some()
    }

    fn family(&mut self, name: &[u8], _kind: &[u8]) {
        if self.first_family.is_empty() {
            self.first_family = name.into();
        } else if *self.first_family == *name {
            self.repeats += 1;
            self.end_of_scrape();
        }
        let text: Box<str> = String::from_utf8_lossy(name).into();
        if text < self.current.last_family {
            self.current.sorted = false;
        }
        self.current.last_family = text;
    }

    fn sample(&mut self, sample: &Sample<'_, '_>) {
        let Some(meaning) = self.meaning else { return };
        if self.first_family.is_empty() && self.is_first_again(meaning, sample.labels) {
            self.next_moment();
        }
        if let Some(ms) = sample.timestamp_ms {
            self.timestamps = Some(self.timestamps.map_or(ms, |have: i64| have.max(ms)));
        }
        if sample.next_bucket
            && let Some(bound) = sample.labels.last().and_then(|le| number(&le.value()))
            && self.next_bucket(meaning, bound, sample.value)
        {
            return;
        }
        let from = from_of(sample.labels);
        if from != self.current.from {
            if self.others.len() >= MAX_FROM {
                self.current.dropped += 1;
                // Its next buckets must not land in another series.
                self.scratch.clear();
                return;
            }
            self.select(from);
        }
        let find = |wanted: &[u8]| {
            let label = sample.labels.iter().find(|l| l.name == wanted)?;
            Some(label.value())
        };
        self.record(meaning, find, sample.value);
    }
}
