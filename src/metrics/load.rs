//! Texts to scrapes: what was read, when it was taken, and what is wrong with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::catalog::metrics::Metric;
use crate::clock::Timestamp;
use crate::formats::prometheus::{NotMetrics, Sample, Sink, scan, sniff};

use super::dump;
use super::fault::{Fault, FaultKind};
use super::group::value_of;
use super::identity::{self, Named};
use super::moment::{TimeSource, time_in};
use super::prometheus_api;
use super::store::{Builder, Interner, Scrape};

/// What a load may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one scrape, inflated.
    pub scrape_bytes: u64,
    /// Bytes of all scrapes, inflated.
    pub total_bytes: u64,
    /// Files.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // A kube-apiserver with 10 000 CRD versions was seen at some 80 MB.
            scrape_bytes: 256 << 20,
            total_bytes: 4 << 30,
            files: 5_000,
        }
    }
}

/// What the caller knows about a scrape.
#[derive(Clone, Debug, Default)]
pub struct Hint {
    /// When it was taken, where the caller took it.
    pub taken: Option<Timestamp>,
    /// When the file was last changed.
    pub modified: Option<Timestamp>,
    /// The node.
    pub node: Option<String>,
    /// The component, as the user names it.
    pub component: Option<String>,
}

/// Reads scrapes one by one and makes time lines of them.
#[derive(Debug, Default)]
pub struct Loader {
    pub(super) limits: Limits,
    pub(super) interner: Interner,
    pub(super) scrapes: Vec<(Scrape, Named, usize)>,
    /// Files that were read: one that is given twice is one.
    pub(super) read: BTreeSet<PathBuf>,
    place: usize,
    pub(super) faults: Vec<Fault>,
    bytes: u64,
}

impl Loader {
    /// A loader that has read nothing.
    pub fn new(limits: Limits) -> Self {
        Loader {
            limits,
            ..Loader::default()
        }
    }

    /// What is read from now on is from another place: a folder, or a node's tree. Names of files tell
    /// processes apart within one place only.
    pub fn next_place(&mut self) -> usize {
        self.place += 1;
        self.place
    }

    /// Notes what could not be read.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Reads one text: a scrape, several, a federated one, or a Prometheus answer in JSON.
    /// `path` is its place inside the folder that was given, `source` what the user calls it.
    pub fn add(&mut self, path: &str, source: &str, text: &[u8], hint: &Hint) {
        let size = text.len() as u64;
        if size > self.limits.scrape_bytes || self.bytes + size > self.limits.total_bytes {
            self.faults.push(Fault::new(
                source,
                FaultKind::OverLimit,
                "not read: over the limit of bytes",
            ));
            return;
        }
        self.bytes += size;
        if prometheus_api::is_answer(text) {
            prometheus_api::read(self, source, text);
            return;
        }
        if let Some(what) = sniff(text) {
            let words = match what {
                // A server's answer may be quoted. A file may hold anything: tokens, passwords.
                NotMetrics::Other(_) if hint.taken.is_none() => {
                    NotMetrics::Other(String::new()).to_string()
                }
                what => what.to_string(),
            };
            self.faults
                .push(Fault::new(source, FaultKind::NotMetrics, words));
            return;
        }
        let parts = dump::parts(text);
        // Which scrapes are their processes' last ones, by the number of scrapes before the next part.
        let mut lasts = Vec::new();
        let mut builder = Builder::new(&mut self.interner);
        let stats = match &parts {
            None => scan(text, &mut builder),
            Some(parts) => {
                for part in parts {
                    builder.next_part();
                    lasts.push((builder.done.len(), part.last));
                    scan(&part.text, &mut builder);
                }
                // What is amiss in a line is so in the whole text.
                scan(text, &mut Nothing)
            }
        };
        let (scrapes, repeats) = builder.finish(stats.torn > 0 && !stats.eof);
        if stats.torn > 0 {
            self.faults.push(Fault::new(
                source,
                FaultKind::Truncated,
                "the text stops within a line: its last family and what should follow are unknown",
            ));
        }
        if stats.garbage > 0 {
            self.faults.push(Fault::new(
                source,
                FaultKind::GarbageLines,
                format!(
                    "{} of {} lines are neither samples nor comments",
                    stats.garbage, stats.lines
                ),
            ));
        }
        if scrapes.is_empty() {
            self.faults.push(Fault::new(
                source,
                FaultKind::NotMetrics,
                format!(
                    "holds no metric that is read here ({} other samples)",
                    stats.all_samples()
                ),
            ));
            return;
        }
        if repeats > 0 {
            self.faults.push(Fault::new(
                source,
                FaultKind::SeveralInOne,
                format!("holds {} scrapes one after the other", repeats + 1),
            ));
        }
        let named = identity::from_path(path);
        let last = scrapes.len() - 1;
        for (at, mut scrape) in scrapes.into_iter().enumerate() {
            source.clone_into(&mut scrape.source);
            if scrape.bad > 0 {
                self.faults.push(Fault::new(
                    source,
                    FaultKind::BadValues,
                    format!("{} samples are no number", scrape.bad),
                ));
            }
            if scrape.dropped > 0 {
                self.faults.push(Fault::new(
                    source,
                    FaultKind::OverLimit,
                    format!("{} samples were dropped: too many series", scrape.dropped),
                ));
            }
            // The file's own time is that of its last scrape; federated ones share it.
            let part = lasts.iter().rev().find(|(begin, _)| *begin <= at);
            let own = part.map_or(repeats == 0 || at == last, |(_, last)| *last);
            self.set_time(&mut scrape, path, hint, own);
            let mut named = named.clone();
            if hint.node.is_some() {
                named.node.clone_from(&hint.node);
            }
            if hint.component.is_some() {
                named.component.clone_from(&hint.component);
            }
            self.scrapes.push((scrape, named, self.place));
        }
    }

    /// Adds scrapes that are already split up, as from Prometheus.
    pub(super) fn add_scrapes(&mut self, scrapes: Vec<Scrape>) {
        for scrape in scrapes {
            self.scrapes.push((scrape, Named::default(), self.place));
        }
    }

    pub(super) fn interner(&mut self) -> &mut Interner {
        &mut self.interner
    }

    fn set_time(&mut self, scrape: &mut Scrape, path: &str, hint: &Hint, own: bool) {
        let gauge = |metric| value_of(&self.interner, scrape, metric).filter(|v| *v > 0.0);
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        let last_gc = gauge(Metric::LastGc).map(|secs| Timestamp((secs * 1e6) as i64));
        if let Some(at) = hint.taken.filter(|_| own) {
            scrape.at = Some((at, TimeSource::Taken));
        } else if scrape.at.is_some() {
            // The samples say so.
        } else if let Some((at, _)) = time_in(file_of(path)).filter(|_| own) {
            scrape.at = Some((at, TimeSource::Name));
            if last_gc.is_some_and(|gc| at.since_us(gc) < -5_000_000) {
                self.faults.push(Fault::new(
                    &scrape.source,
                    FaultKind::DoubtfulTime,
                    "the time in its name is before its last garbage collection: another time \
                     zone or another clock",
                ));
            }
        } else if let Some(at) = hint.modified.filter(|at| {
            // A copy has the time of the copy. Go collects garbage at least every two minutes.
            own && last_gc.is_none_or(|gc| (-5_000_000..150_000_000).contains(&at.since_us(gc)))
        }) {
            scrape.at = Some((at, TimeSource::Modified));
        } else {
            scrape.at = last_gc.map(|at| (at, TimeSource::LastGc));
            self.faults.push(Fault::new(
                &scrape.source,
                FaultKind::DoubtfulTime,
                match scrape.at {
                    Some(_) => {
                        "neither its name nor its file tells when it was taken: the last \
                                garbage collection stands for it, up to two minutes early"
                    }
                    None => "nothing tells when it was taken: no rates",
                },
            ));
        }
    }
}

/// Wants nothing: for a second look at what is wrong with a text.
struct Nothing;

impl Sink for Nothing {
    fn wants(&mut self, _name: &[u8]) -> bool {
        false
    }

    fn family(&mut self, _name: &[u8], _kind: &[u8]) {}

    fn sample(&mut self, _sample: &Sample<'_, '_>) {}
}

/// The last part of a path.
pub(super) fn file_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
