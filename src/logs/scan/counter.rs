//! Takes a stream's records into a segment, and learns on the way whose they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::logs::aggregate::segment::{Hot, Segment};
use crate::logs::event::Component;
use crate::logs::head::{Head, Taker};
use crate::logs::record::{Encoding, Record};
use crate::logs::signature::{Detail, classify, classify_as, is_etcd};
use crate::logs::summary::StreamSummary;
use crate::logs::writer::{self, on_host, writer};

use super::filter::{ALL_COMPONENTS, COMPONENTS, TimeFilter};

/// Takes records into a segment.
pub(in crate::logs) struct Counter {
    pub(super) filter: TimeFilter,
    named: Component,
    pub(in crate::logs) current: StreamSummary,
    /// Records outside the window.
    pub(in crate::logs) outside: u64,
    /// Lines in no known form that told something all the same, since they were last asked for.
    explained: u64,
    /// Records that only an etcd server writes, besides those in `components`.
    etcd: u64,
    components: [u64; COMPONENTS],
    /// The next record was offered by its beginning, in vain.
    refused: bool,
    /// The stream's name says whose all of it is.
    of_one: bool,
    /// The stream's name says on which node all of it was written.
    on_one: bool,
    /// Not all records of the stream may be asked for.
    chooses: bool,
    /// Whose records are those that wrappers name so.
    writers: BTreeMap<Vec<u8>, Option<Arc<str>>>,
    /// A wrapper's names as one.
    name: Vec<u8>,
}

/// The writer that an etcd server is.
const ETCD: &str = Component::Etcd.word();
/// Most of a wrapper's names that are remembered.
const MAX_NAMES: usize = 256;

impl Taker for Counter {
    #[inline]
    fn take(&mut self, record: &Record<'_>) {
        self.add(record);
    }

    #[inline]
    fn take_head(&mut self, head: &Head<'_>) -> bool {
        // Whose a line is must be known before it is counted.
        if self.chooses || !self.filter.inside(head.time) {
            return false;
        }
        if head.message.is_none() {
            let component = self.current.segment.add_plain_head(head);
            if let Some(component) = component {
                self.count(component);
            }
            return component.is_some();
        }
        let hot = self.current.segment.add_hot(head, None);
        self.refused = hot == Hot::Other;
        self.etcd += u64::from(hot == Hot::Added);
        hot == Hot::Added
    }
}

impl Counter {
    pub(in crate::logs) fn new(named: Component, filter: TimeFilter) -> Self {
        Counter {
            filter,
            named,
            current: StreamSummary::default(),
            outside: 0,
            explained: 0,
            etcd: 0,
            components: [0; COMPONENTS],
            refused: false,
            of_one: false,
            on_one: false,
            // What a name says of the whole stream was looked at before.
            chooses: named == Component::Unknown && !filter.is_for_all(),
            writers: BTreeMap::new(),
            name: Vec::new(),
        }
    }

    /// As what comes right after a piece.
    pub(in crate::logs) fn after(mut self, before: &Segment) -> Self {
        self.current.segment.follow(before);
        self
    }

    /// Of a stream whose name says whose all of it is, wrappers are asked for no more than which of
    /// several of that program wrote it.
    pub(in crate::logs) fn of(self, named: &str, node: Option<&str>) -> Self {
        Counter {
            on_one: node.is_some(),
            ..self.of_one(!named.is_empty())
        }
    }

    /// Whether the stream's name says whose all of it is.
    pub(in crate::logs) fn of_one(self, of_one: bool) -> Self {
        let chooses = self.chooses && !of_one;
        Counter {
            of_one,
            chooses,
            ..self
        }
    }

    /// Whose record it is, where its wrapper names its writer.
    fn writer(&mut self, ident: &[u8], host: Option<&[u8]>) -> Option<Arc<str>> {
        if self.of_one && self.on_one {
            return None;
        }
        self.name.clear();
        self.name.extend_from_slice(ident);
        if let Some(host) = host {
            self.name.push(0);
            self.name.extend_from_slice(host);
        }
        if let Some(known) = self.writers.get(&self.name) {
            return known.clone();
        }
        if self.writers.len() >= MAX_NAMES {
            self.writers.clear();
        }
        let found: Option<Arc<str>> = writer(ident)
            .map(|writer| match host {
                Some(host) => on_host(writer, host),
                None => writer,
            })
            .filter(|writer| !self.of_one || self.is_one_of_named(writer))
            .map(Arc::from);
        self.writers.insert(self.name.clone(), found.clone());
        found
    }

    /// Whether that is one of several of the program that wrote the stream.
    fn is_one_of_named(&self, writer: &str) -> bool {
        let (component, node) = writer::parts(writer);
        component == self.named.word() && node.is_some()
    }

    pub(in crate::logs) fn add(&mut self, record: &Record<'_>) {
        if !self.filter.inside(record.time) {
            self.outside += 1;
            return;
        }
        if self.chooses
            && !self
                .filter
                .wants(record, classify(record, Detail::Counts).as_ref())
        {
            return;
        }
        let writer = match record.outer.ident {
            Some(ident) if record.encoding != Encoding::Audit => {
                self.writer(ident, record.outer.host)
            }
            _ => None,
        };
        let elsewhere = writer.is_none() && record.outer.host.is_some();
        if elsewhere || writer.as_deref().is_some_and(|writer| writer != ETCD) {
            self.add_of(record, writer.as_deref());
            return;
        }
        let segment = &mut self.current.segment;
        if !std::mem::take(&mut self.refused)
            && let Some(head) = Head::of(record)
            && segment.add_hot(&head, Some(record)) == Hot::Added
        {
            self.etcd += 1;
            return;
        }
        if record.encoding == Encoding::Audit {
            segment.add_audit(record);
            self.count(Component::Apiserver);
            return;
        }
        if let Some(component) = segment.add_plain(record) {
            self.count(component);
            return;
        }
        self.add_of(record, writer.as_deref());
    }

    /// The way of all records, whatever their form, of the writer that their wrapper names.
    pub(super) fn add_of(&mut self, record: &Record<'_>, writer: Option<&str>) {
        let segment = &mut self.current.segment;
        let mut asked = ("", Detail::Counts);
        let found = classify_as(record, |kind| {
            let detail = match segment.wants_fields(kind) {
                true => Detail::Full,
                false => Detail::Counts,
            };
            asked = (kind, detail);
            detail
        });
        let Some(mut event) = found else {
            // Free text in no known form is counted as unparsed already.
            if record.encoding == Encoding::Bare {
                segment.add_bare(record);
            } else {
                segment.add_unknown(record);
                // Whose it is may be sure where nobody knows what it means.
                let own = writer.is_none_or(|name| name == ETCD);
                if own && self.named == Component::Unknown && is_etcd(record) {
                    self.count(Component::Etcd);
                }
            }
            return;
        };
        self.explained += record.outer.unread;
        // What is read of a record may change its kind.
        if !std::ptr::eq(asked.0, event.kind) {
            let detail = match segment.wants_fields(event.kind) {
                true => Detail::Full,
                false => Detail::Counts,
            };
            if detail != asked.1
                && let Some(other) = classify(record, detail)
            {
                event = other;
            }
        }
        // Where only a host is named, the text names its program.
        let hosted = match record.outer.host {
            Some(host) if writer.is_none() && event.component != Component::Unknown => {
                self.writer(event.component.word().as_bytes(), Some(host))
            }
            _ => None,
        };
        let writer = writer.or(hosted.as_deref());
        // What only an etcd server says is the stream's own, as it is where nothing is wrapped.
        let other = writer.filter(|name| {
            *name != ETCD || event.component == Component::Unknown || event.writer.is_some()
        });
        let told = event.writer.filter(|_| !self.of_one && writer.is_none());
        self.current.segment.add(other.or(told), record, &mut event);
        let own = other.is_none_or(|name| writer::parts(name).0 == ETCD);
        if own && told.is_none_or(|name| name == ETCD) {
            self.count(event.component);
        }
    }

    fn count(&mut self, component: Component) {
        if self.named == Component::Unknown
            && let Some(count) = ALL_COMPONENTS
                .iter()
                .position(|known| *known == component)
                .and_then(|at| self.components.get_mut(at))
        {
            *count += 1;
        }
    }

    /// How many lines of no known form told something since the last call.
    pub(in crate::logs) fn explained(&mut self) -> u64 {
        std::mem::take(&mut self.explained)
    }

    pub(in crate::logs) fn finish(mut self) -> StreamSummary {
        self.take()
    }

    /// What was counted since the last call.
    pub(in crate::logs) fn take(&mut self) -> StreamSummary {
        let etcd = std::mem::take(&mut self.etcd);
        let components = std::mem::take(&mut self.components);
        // What was learnt stays here for what comes next.
        let memory = self.current.segment.reclaim();
        let mut current = std::mem::take(&mut self.current);
        self.current.segment.lend(memory);
        self.current.segment.follow(&current.segment);
        let mut counts = components;
        if self.named == Component::Unknown
            && let Some(count) = counts.get_mut(1)
        {
            *count += etcd;
        }
        for (component, count) in ALL_COMPONENTS.iter().zip(counts) {
            if count > 0 && *component != Component::Unknown {
                let word = component.word().to_owned();
                *current.components.entry(word).or_default() += count;
            }
        }
        current
    }
}
