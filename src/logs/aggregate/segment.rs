//! One piece of one stream: everything that was learnt from it, with open edges.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::{Component, Event, Extra};
use crate::logs::head::{Head, Message};
use crate::logs::record::{Encoding, Fields, Level, Record};
use crate::logs::signature::{Signature, classify_http, classify_plain, plain_fields};
use crate::logs::timeline;

use super::audit::Audit;
use super::coverage::Coverage;
use super::episodes::Episodes;
use super::facts::{Facts, REJECTED, UNCONNECTED, int};
use super::hot::{self, HotRange};
use super::kinds::Kinds;
use super::last_word::{self, LastWord};
use super::load::{Load, LoadView, Writer};
use super::memory::Memory;
use super::needs::{needs_fields, tells_facts, tells_no_reason};
use super::runs::Run;
use super::sampling::Begin;
use super::writers::Writers;

/// One piece of one stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// What was read.
    pub coverage: Coverage,
    /// Records by kind.
    pub kinds: Kinds,
    /// Requests.
    pub load: Load,
    /// Audit records.
    pub audit: Audit,
    /// Single facts.
    pub facts: Facts,
    /// Episodes by kind.
    pub episodes: Episodes,
    /// Records by level: unknown, trace, debug, info, notice, warn, error, fatal.
    pub levels: [u64; 8],
    /// Kinds, episodes and facts of other writers than the stream's own, where wrappers name them.
    #[serde(default, skip_serializing_if = "Writers::is_empty")]
    pub writers: Writers,
    #[serde(skip, default = "no_ways")]
    ways: [Way; WAYS],
    /// Whether the records of a call site are plain, by its number.
    #[serde(skip, default = "no_sites")]
    sites: [(u64, Option<&'static Signature>); SITES],
    /// What the latest record says of its program's end, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<LastWord>,
    /// Slow ranges in a row that are not among the episodes yet: see [`Segment::settle`].
    #[serde(skip)]
    slow: Option<(Run, timeline::Rule)>,
}

/// What became of a line that was offered by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hot {
    /// It was added.
    Added,
    /// Nothing was done; its record is needed to learn what its key means.
    New,
    /// Nothing was done; it is a line in another form.
    Other,
}

/// How many ways are remembered.
const WAYS: usize = 128;

/// What a kind's records need, remembered by the place of the kind's text.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    kind: &'static str,
    rule: Option<timeline::Rule>,
    needs_fields: bool,
    tells_facts: bool,
    suppressed: bool,
    has_detail: bool,
    /// The kind's number among the episodes, once it has some.
    episodes: Option<u32>,
}

/// How many call sites are remembered.
const SITES: usize = 64;

fn no_sites() -> [(u64, Option<&'static Signature>); SITES] {
    [(0, None); SITES]
}

fn no_ways() -> [Way; WAYS] {
    [Way::default(); WAYS]
}

impl Default for Segment {
    fn default() -> Self {
        Segment {
            coverage: Coverage::default(),
            kinds: Kinds::default(),
            load: Load::default(),
            audit: Audit::default(),
            facts: Facts::default(),
            episodes: Episodes::default(),
            levels: [0; 8],
            writers: Writers::default(),
            ways: no_ways(),
            sites: no_sites(),
            end: None,
            slow: None,
        }
    }
}

/// The id of the main line about a slow request.
const SLOW_APPLY: &str = "slow-apply";
/// The id of a request's trace.
const TRACE: &str = "trace";
/// The id of a call's line.
const STATS: &str = "request-stats";

/// The id of a finished compaction, whose fields are a history of the database's size.
const COMPACTION: &str = "compaction-finished";
/// The id of an audit record.
const AUDIT: &str = "audit-request";

impl Segment {
    /// Adds a record whose message the catalogue does not know.
    pub fn add_unknown(&mut self, record: &Record<'_>) {
        self.note(record.level, record.time);
        self.coverage.unknown(&record.msg);
    }

    /// Adds a record of free text that nobody knows; its lines are counted as unparsed.
    pub fn add_bare(&mut self, record: &Record<'_>) {
        self.note(record.level, record.time);
        self.coverage.example(&record.msg);
    }

    /// Adds a line if it is about a range in the usual form, the commonest of a big log. One
    /// without a record has no wrapper that tells anything of its writer.
    pub fn add_hot(&mut self, head: &Head<'_>, record: Option<&Record<'_>>) -> Hot {
        let writer = record.map_or(Writer::BARE, |record| Writer::of(&record.outer));
        let Some(message) = head.message else {
            return Hot::Other;
        };
        let (kind, took_ns) = match message {
            Message::SlowApply => {
                let Some(range) = hot::slow_range(head) else {
                    return Hot::Other;
                };
                self.add_slow_range(head, &range, writer);
                (SLOW_APPLY, range.took_ns)
            }
            Message::Trace => {
                let Some(range) = hot::traced_range(head) else {
                    return Hot::Other;
                };
                if !self.load.add_hot_trace(head, &range, writer, record) {
                    return Hot::New;
                }
                (TRACE, range.took_ns)
            }
            Message::Stats => {
                let Some(range) = hot::called_range(head) else {
                    return Hot::Other;
                };
                if !self.load.add_hot_call(head, &range, writer, record) {
                    return Hot::New;
                }
                (STATS, range.took_ns)
            }
        };
        self.note(head.level, head.time);
        self.kinds.add(kind, head.time, 1, Some(took_ns));
        Hot::Added
    }

    fn add_slow_range(&mut self, head: &Head<'_>, range: &HotRange<'_>, writer: Writer) {
        self.load.add_hot(head, range, writer);
        let Some(at) = head.time else {
            return;
        };
        let took_us = i64::try_from(range.took_ns / 1000).unwrap_or(i64::MAX);
        let from = at.add_us(took_us.saturating_neg());
        // As episodes continue, which do not depend on how their signs are grouped.
        if let Some((run, rule)) = &mut self.slow
            && from >= run.from
            && from.since_us(run.to) <= rule.gap_us
        {
            run.to = run.to.max(at);
            run.count += 1;
            run.max_ns = run.max_ns.max(range.took_ns);
            return;
        }
        let Some(rule) = self.way(SLOW_APPLY).rule else {
            return;
        };
        let run = Run {
            from,
            to: at,
            count: 1,
            max_ns: range.took_ns,
            detail: String::new(),
        };
        if let Some((before, rule)) = self.slow.replace((run, rule)) {
            self.sign(SLOW_APPLY, rule, &before);
        }
    }

    /// Puts into its place what was added up apart to be fast. Due before the piece is read,
    /// saved or absorbed.
    pub fn settle(&mut self) {
        if let Some((run, rule)) = self.slow.take() {
            self.sign(SLOW_APPLY, rule, &run);
        }
        self.load.settle();
    }

    /// As [`Self::settle`], and what a piece that is soon absorbed need not do. Due before the
    /// piece is saved.
    pub fn settle_all(&mut self) {
        self.settle();
        self.load.lay();
    }

    /// Adds an audit record, which is read here and not by the catalogue.
    pub fn add_audit(&mut self, record: &Record<'_>) {
        let took_ns = match record.fields {
            Fields::Json(text) => self.audit.add_line(text),
            _ => None,
        };
        self.note(record.level, record.time);
        self.kinds.add(AUDIT, record.time, record.repeats, took_ns);
    }

    /// Adds a record of which nothing but time and duration count, if it is one, with the result of
    /// [`Segment::add`]. Gives back who wrote it; `None` means that nothing was done.
    pub fn add_plain(&mut self, record: &Record<'_>) -> Option<Component> {
        if record.encoding == Encoding::Klog {
            let (signature, took_ns, component) = classify_http(record)?;
            let way = self.way(signature.id);
            if way.rule.is_some() || way.needs_fields || way.tells_facts {
                return None;
            }
            self.note(record.level, record.time);
            self.kinds
                .add(signature.id, record.time, record.repeats, took_ns);
            return Some(component);
        }
        if record.encoding != Encoding::ZapJson {
            return None;
        }
        let signature = classify_plain(record.logger, record.caller, &record.msg)?;
        let Record { level, time, .. } = *record;
        self.add_plain_of(signature, level, time, record.repeats, &record.fields)
    }

    /// As [`Self::add_plain`], of a line by its beginning.
    #[inline]
    pub fn add_plain_head(&mut self, head: &Head<'_>) -> Option<Component> {
        if head.site == 0 {
            return None;
        }
        let slot = self
            .sites
            .get_mut(usize::try_from(head.site).ok()? % SITES)?;
        if slot.0 != head.site {
            let found = classify_plain(head.logger, head.caller, head.msg);
            *slot = (head.site, found);
        }
        let signature = slot.1?;
        let fields = Fields::Json(head.fields);
        self.add_plain_of(signature, head.level, head.time, 1, &fields)
    }

    fn add_plain_of(
        &mut self,
        signature: &'static Signature,
        level: Level,
        time: Option<Timestamp>,
        repeats: u64,
        fields: &Fields<'_>,
    ) -> Option<Component> {
        let way = way_in(&mut self.ways, signature.id);
        let compaction = signature.id == COMPACTION;
        let tells_facts = way.tells_facts && !(signature.id == REJECTED && tells_no_reason(fields));
        if !compaction && (way.needs_fields || tells_facts || way.suppressed) {
            return None;
        }
        let fields = plain_fields(fields, signature);
        let took_ns = fields.took_ns;
        if let (Some(rule), Some(at)) = (way.rule, time) {
            // The first sign of an episode, and its longest one, show a detail.
            way.episodes = way.episodes.or_else(|| self.episodes.number(signature.id));
            let runs = self.episodes.get_mut(way.episodes?)?;
            if way.has_detail && runs.shows(at, took_ns.unwrap_or(0)) {
                return None;
            }
            runs.add(&timeline::plain_sign(took_ns, repeats, at, rule));
        }
        self.note(level, time);
        self.kinds.add(signature.id, time, repeats, took_ns);
        if compaction {
            self.facts.compacted(time, repeats, &fields);
        }
        Some(signature.component)
    }

    fn sign(&mut self, kind: &'static str, rule: timeline::Rule, run: &Run) {
        self.episodes.add(kind, rule.gap_us, run);
    }

    /// Adds a recognised record, of another writer than the stream's own where the wrapper names it.
    /// Unless it is a plain request line, the event must have its own fields
    /// ([`Segment::wants_fields`]).
    pub fn add(&mut self, who: Option<&str>, record: &Record<'_>, event: &mut Event<'_>) {
        let before = self.end.take();
        self.note(record.level, record.time);
        // Go's runtime writes no time: it ends its program right after what was written last.
        if event.time.is_none() && last_word::is_dump(record) {
            event.time = self.coverage.latest();
        }
        let event = &*event;
        if let Some(word) = LastWord::of(who, record, event) {
            let told = before.filter(|before| before.is_told_again_by(&word));
            self.end = Some(word);
            if let Some(before) = told {
                // What was only said of damage before is known as an end by the dump.
                if !before.ends() {
                    self.facts_of(who).add(event);
                }
                return;
            }
        }
        // What stands in logrus' form came past zap's sampler, unless it is zap's under other names.
        let zap = match record.encoding {
            Encoding::ZapJson | Encoding::ZapConsole => true,
            Encoding::Logrus => !record.caller.is_empty(),
            _ => false,
        };
        // Up to 3.6 a trace's message holds a random number, so no two are the same message.
        let one_message = record.msg.as_ref() == b"trace";
        let mut writer = Writer::of(&record.outer);
        writer.samples &= zap;
        self.load.add(event, writer, one_message);
        let way = self.way(event.kind);
        let said = who.and_then(|name| self.writers.of(name));
        let (kinds, episodes, facts) = match said {
            Some(said) => (&mut said.kinds, &mut said.episodes, &mut said.facts),
            None => (&mut self.kinds, &mut self.episodes, &mut self.facts),
        };
        kinds.add(event.kind, event.time, event.repeats, event.took_ns);
        if let Some(rule) = way.rule
            && let Some(at) = event.time
        {
            // The last episode keeps its detail when this sign is no longer than its longest.
            let known = episodes.number(event.kind);
            match known.and_then(|number| episodes.get_mut(number)) {
                Some(runs) => {
                    let shown = runs.shows(at, event.took_ns.unwrap_or(0));
                    runs.add(&timeline::sign(event, at, rule, shown));
                }
                None => episodes.add(
                    event.kind,
                    rule.gap_us,
                    &timeline::sign(event, at, rule, true),
                ),
            }
        }
        if way.suppressed {
            let unit = event.extra.iter().find_map(|(name, value)| match value {
                Extra::Text(unit) if *name == "unit" => Some(unit.as_ref()),
                _ => None,
            });
            let count = int(event, "count").unwrap_or(0);
            self.coverage.kept_back(unit.unwrap_or_default(), count);
        }
        let refused = match event.kind {
            REJECTED => Some(&mut facts.rejections),
            UNCONNECTED => Some(&mut facts.unconnected),
            _ => None,
        };
        if let (Some(refused), Some(error)) = (refused, &event.error) {
            refused.add(&record.msg, error, event.repeats);
        }
        if way.tells_facts || !event.extra.is_empty() || event.api.is_some() {
            facts.add(event);
        }
        self.drop_surplus();
    }

    fn facts_of(&mut self, who: Option<&str>) -> &mut Facts {
        match who.and_then(|name| self.writers.of(name)) {
            Some(said) => &mut said.facts,
            None => &mut self.facts,
        }
    }

    /// The words of a writer that is one too many are nobody's.
    fn drop_surplus(&mut self) {
        while let Some(said) = self.writers.surplus() {
            self.kinds.merge(&said.kinds);
            self.facts.merge(&said.facts);
            self.episodes.merge(said.episodes);
        }
    }

    /// What a kind's records need.
    fn way(&mut self, kind: &'static str) -> Way {
        *way_in(&mut self.ways, kind)
    }

    /// Whether [`Segment::add`] wants the signature's own fields of an event of this kind.
    pub fn wants_fields(&mut self, kind: &'static str) -> bool {
        self.way(kind).needs_fields
    }

    fn note(&mut self, level: Level, time: Option<Timestamp>) {
        self.end = None;
        self.coverage.records += 1;
        self.coverage.time(time);
        let level = match level {
            Level::Unknown => 0,
            Level::Trace => 1,
            Level::Debug => 2,
            Level::Info => 3,
            Level::Notice => 4,
            Level::Warn => 5,
            Level::Error => 6,
            Level::Fatal => 7,
        };
        if let Some(count) = self.levels.get_mut(level) {
            *count += 1;
        }
    }

    /// Takes over what the thread learnt in earlier pieces; without it, all is learnt anew.
    pub fn lend(&mut self, memory: Memory) {
        self.load.lend(memory);
    }

    /// Gives back what was lent, before the piece goes its way.
    pub fn reclaim(&mut self) -> Memory {
        self.settle();
        self.load.reclaim()
    }

    /// The requests and what they come to when nothing follows.
    pub fn load_view(&self) -> LoadView {
        let starts = self.facts.starts_of(Component::Etcd);
        self.load.view(&Begin::new(self.coverage.begins(), starts))
    }

    /// Whether nothing was added yet. Lines are counted later than records, so both are asked for.
    pub fn is_new(&self) -> bool {
        let read = &self.coverage;
        read.records == 0 && read.lines == 0 && read.bytes == 0
    }

    /// Whether tables have outgrown their bounds and are due to be pruned by [`Self::absorb`].
    pub fn is_over(&self) -> bool {
        self.load.is_over() || self.audit.is_over()
    }

    /// Adds the piece that came right after this one.
    pub fn absorb(&mut self, mut later: Segment) {
        self.settle();
        later.settle();
        let later_has_records = later.coverage.records > 0;
        self.coverage.merge(&later.coverage);
        self.kinds.merge(&later.kinds);
        self.load.absorb(later.load);
        self.audit.absorb(later.audit);
        self.facts.merge(&later.facts);
        self.episodes.merge(later.episodes);
        self.writers.merge(later.writers);
        if later_has_records {
            self.end = later.end;
        }
        self.drop_surplus();
        for (mine, theirs) in self.levels.iter_mut().zip(later.levels) {
            *mine += theirs;
        }
    }

    /// What is added next came right after that piece.
    pub fn follow(&mut self, before: &Segment) {
        self.coverage.follows(before.coverage.latest());
        self.end.clone_from(&before.end);
    }

    /// Rebuilds what is not saved, after reading a saved summary.
    pub fn restore(&mut self) {
        self.coverage.restore();
        self.kinds.restore();
        self.load.restore();
        self.audit.restore();
        self.facts.restore();
        self.writers.restore();
    }
}

/// What a kind's records need, found out once.
#[inline]
fn way_in<'w>(ways: &'w mut [Way; WAYS], kind: &'static str) -> &'w mut Way {
    let address = kind.as_ptr() as usize;
    let first = (address >> 2 ^ address >> 7 ^ address >> 13) % WAYS;
    // Two places, so that two kinds of a log do not drive each other out.
    for at in [first, first ^ 1] {
        if std::ptr::eq(ways[at].kind, kind) {
            return &mut ways[at];
        }
    }
    let slot = match ways[first ^ 1].kind {
        "" => first ^ 1,
        _ => first,
    };
    ways[slot] = Way {
        kind,
        rule: timeline::rule(kind),
        needs_fields: needs_fields(kind),
        tells_facts: tells_facts(kind),
        suppressed: kind == "journald-suppressed",
        has_detail: timeline::has_detail(kind, needs_fields(kind)),
        episodes: None,
    };
    &mut ways[slot]
}
