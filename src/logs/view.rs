//! What a summary comes to when nothing follows: all streams side by side or added up, sorted,
//! with elections told apart and the first sign of an incident marked.

#[cfg(test)]
mod calls_tests;
mod elections;
mod settling;

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;

use super::aggregate::audit::AuditTables;
use super::aggregate::coverage::Coverage;
use super::aggregate::episodes::Episodes;
use super::aggregate::facts::{DelayRow, Drift, Election, Facts};
use super::aggregate::kinds::{KindRow, Kinds, earliest};
use super::aggregate::load::{LoadView, Tables};
use super::aggregate::sampling::Estimate;
use super::aggregate::table::{Bounded, RowValue};
use super::event::Component;
use super::mix::Mix;
use super::signature::{Nature, signature};
use super::summary::{StreamSummary, Summary};
use super::writer;

/// An election right after a shutdown or transfer was planned.
const PLANNED_US: i64 = 2_000_000;
/// Lines about one election by several members are not further apart than this; the same term
/// much later is another cluster's.
const ELECTION_US: u64 = 60_000_000;
/// Episodes closer than this belong to one incident.
const INCIDENT_US: i64 = 30_000_000;

/// The component of words of the client library in a stream of several programs that does not say
/// whose they are.
pub const UNNAMED_CLIENT: &str = "unnamed-client";

/// Who said something.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Component.
    pub component: String,
    /// Node, where known.
    pub node: Option<String>,
}

/// Records of one kind by one component on one node.
#[derive(Clone, Debug)]
pub struct KindView {
    /// Who.
    pub place: Place,
    /// The signature's id.
    pub kind: String,
    /// What it says about the system.
    pub nature: Nature,
    /// How often, when, how long.
    pub row: KindRow,
    /// Of them, those that only tell of a member that was stopped or just started.
    pub settling: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeView {
    /// Who.
    pub place: Place,
    /// The signature's id.
    pub kind: String,
    /// What it says about the system.
    pub nature: Nature,
    /// First sign, or the begin of what it tells.
    pub from: Timestamp,
    /// Last sign.
    pub to: Timestamp,
    /// Signs.
    pub count: u64,
    /// The longest duration that a sign named; of stalls that repeat lines, their whole length.
    pub max_ns: u64,
    /// A detail.
    pub detail: String,
    /// Done on purpose.
    pub planned: bool,
    /// The first sign of trouble of its incident.
    pub first: bool,
}

/// One election, whoever told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ElectionView {
    /// Its term.
    pub term: u64,
    /// What the lines said.
    pub election: Election,
    /// Members that told of it.
    pub nodes: BTreeSet<String>,
    /// It followed a shutdown or transfer at once.
    pub planned: bool,
    /// It is the first one after a start.
    pub start: bool,
}

/// A delay table of one component on one node.
#[derive(Clone, Debug)]
pub struct DelayView {
    /// Who.
    pub place: Place,
    /// The parts of the row's key.
    pub parts: Vec<String>,
    /// Its row.
    pub row: DelayRow,
}

/// Everything that a summary says.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Load tables over all streams.
    pub tables: Tables,
    /// Load of each stream that has any.
    pub loads: Vec<(Place, LoadView)>,
    /// Request lines.
    pub lines: u64,
    /// How many requests passed the threshold.
    pub estimate: Estimate,
    /// Messages that the journal kept back and that may have told of further requests.
    pub kept_back: u64,
    /// Smallest and largest threshold that was named, in nanoseconds.
    pub threshold_ns: Option<(u64, u64)>,
    /// Whether every stream with requests holds all of them.
    pub complete: bool,
    /// Request stats at debug level.
    pub debug_lines: u64,
    /// Records by kind.
    pub kinds: Vec<KindView>,
    /// Episodes by begin.
    pub episodes: Vec<EpisodeView>,
    /// Elections by time.
    pub elections: Vec<ElectionView>,
    /// Client-side throttling: verb, resource.
    pub throttling: Vec<DelayView>,
    /// Waits that a server asked for: verb, resource.
    pub server_waits: Vec<DelayView>,
    /// Requests answered 429: priority level, flow schema, user agent.
    pub turned_away: Vec<DelayView>,
    /// Slow API calls: user agent, verb, resource.
    pub traces: Vec<DelayView>,
    /// Slow calls that kube-apiserver made: whom it called, name, verb, resource.
    pub calls: Vec<DelayView>,
    /// Clock differences: who, peer, what.
    pub drift: Vec<(Place, String, Drift)>,
    /// Single facts of each stream that has any.
    pub facts: Vec<(Place, Facts)>,
    /// Audit records over all streams.
    pub audit: AuditTables,
    /// Number of audit records.
    pub audit_records: u64,
    /// Everybody who wrote something, whether alone in a stream or not.
    pub places: BTreeSet<Place>,
    /// Streams of several programs, by their place in [`Self::coverage`].
    pub mixed: BTreeSet<usize>,
    /// Streams of programs of which no more than their workloads' names are known, by their place in
    /// [`Self::coverage`].
    pub by_workload: BTreeSet<usize>,
    /// What was read of each stream.
    pub coverage: Vec<(Place, String, Coverage)>,
    /// What was read over all streams.
    pub total: Coverage,
    /// Records by level over all streams: unknown, trace, debug, info, notice, warn, error, fatal.
    pub levels: [u64; 8],
}

impl View {
    /// Makes the view of a summary.
    pub fn of(summary: &Summary) -> Self {
        let mut view = View {
            complete: true,
            ..View::default()
        };
        let mut kinds: BTreeMap<(Place, String), KindRow> = BTreeMap::new();
        for stream in &summary.streams {
            view.add_stream(stream, &mut kinds);
        }
        view.complete &= view.lines > 0;
        if view.lines > 0 {
            view.kept_back = view.total.maybe_etcds();
            view.complete &= view.kept_back == 0;
        }
        view.kinds = kinds
            .into_iter()
            .map(|((place, kind), row)| KindView {
                nature: nature(&kind),
                place,
                kind,
                row,
                settling: 0,
            })
            .collect();
        view.settle_elections();
        view.mark_planned();
        view.mark_settling();
        view.episodes.sort_by(|a, b| {
            (a.from, a.to, &a.kind, &a.place).cmp(&(b.from, b.to, &b.kind, &b.place))
        });
        view.mark_first();
        for list in [
            &mut view.throttling,
            &mut view.server_waits,
            &mut view.turned_away,
            &mut view.traces,
            &mut view.calls,
        ] {
            list.sort_by(|a, b| {
                (b.row.sum_ns, b.row.lines, &a.place, &a.parts).cmp(&(
                    a.row.sum_ns,
                    a.row.lines,
                    &b.place,
                    &b.parts,
                ))
            });
        }
        view
    }

    fn add_stream(
        &mut self,
        stream: &StreamSummary,
        kinds: &mut BTreeMap<(Place, String), KindRow>,
    ) {
        let place = if stream.is_on_events_node() {
            Place {
                component: Component::Etcd.word().to_owned(),
                node: stream.segment.facts.member.clone(),
            }
        } else {
            Place {
                component: stream.who().to_owned(),
                // A plain file names no node; an etcd member says its own name when it starts, which is its
                // node's wherever a control plane's tools start it.
                node: stream
                    .node
                    .clone()
                    .or_else(|| stream.member())
                    .or_else(|| only_member(stream))
                    .or_else(|| stream.member_pod()),
            }
        };
        let segment = &stream.segment;
        let mix = Mix::of(stream, place.clone());
        // Its file's node, or its own word, tells more than a wrapper.
        let of_one = place.node.is_some() && only_member(stream).is_some();
        let etcd = mix.place_of(Component::Etcd.word());
        let load = segment.load_view();
        if load.lines > 0 {
            add_tables(&mut self.tables, &load.tables);
            self.lines += load.lines;
            self.estimate.add(&load.estimate);
            self.threshold_ns = match (self.threshold_ns, load.threshold_ns) {
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                (a, b) => a.or(b),
            };
            self.complete &= load.complete;
            self.debug_lines += load.debug_lines;
            self.loads.push((etcd.clone(), load));
        }
        self.add_said(
            (&segment.kinds, &segment.episodes, &segment.facts),
            &|kind| mix.place(kind),
            kinds,
        );
        let mut facts = vec![(etcd.clone(), segment.facts.clone())];
        part_starts(&mut facts, |component| mix.place_of(component));
        for (writer, said) in segment.writers.iter() {
            let at = match writer::is_etcd(writer::parts(writer).0) && of_one {
                true => etcd.clone(),
                false => mix.place_of_writer(segment.writers.whose(writer)),
            };
            self.places.insert(at.clone());
            self.add_said(
                (&said.kinds, &said.episodes, &said.facts),
                &|_| at.clone(),
                kinds,
            );
            match facts.iter_mut().find(|(have, _)| *have == at) {
                Some((_, have)) => have.merge(&said.facts),
                None => facts.push((at, said.facts.clone())),
            }
        }
        self.places.insert(place.clone());
        self.places.extend(mix.places());
        for (place, facts) in &facts {
            for (peer, drift) in &facts.drift {
                self.drift
                    .push((place.clone(), peer.clone(), drift.clone()));
            }
        }
        self.facts.extend(facts);
        if !segment.audit.is_empty() {
            let audit = segment.audit.view();
            self.audit.callers.merge(&audit.callers);
            self.audit.clients.merge(&audit.clients);
            self.audit.objects.merge_beside(&audit.objects);
            self.audit.seconds.merge(&audit.seconds);
            self.audit.total.add(&audit.total);
            self.audit_records += segment.audit.records();
        }
        self.total.merge(&segment.coverage);
        for (mine, theirs) in self.levels.iter_mut().zip(segment.levels) {
            *mine += theirs;
        }
        if mix.is_mixed(stream) {
            self.mixed.insert(self.coverage.len());
        }
        if stream.goes_by_workload() {
            self.by_workload.insert(self.coverage.len());
        }
        self.coverage
            .push((place, stream.id.clone(), segment.coverage.clone()));
    }

    /// Adds kinds, episodes and delays; `whose` tells a kind's place.
    fn add_said(
        &mut self,
        (said, episodes, facts): (&Kinds, &Episodes, &Facts),
        whose: &dyn Fn(&str) -> Place,
        kinds: &mut BTreeMap<(Place, String), KindRow>,
    ) {
        for (kind, row) in said.iter() {
            kinds
                .entry((whose(kind), kind.to_owned()))
                .or_default()
                .add(row);
        }
        for (kind, runs) in episodes.iter() {
            let place = whose(kind);
            for run in runs.iter() {
                // Lines that repeat while a stall goes on name no duration: its length is theirs.
                let length = u64::try_from(run.to.since_us(run.from)).unwrap_or(0) * 1000;
                let repeats = kind == "readindex-retry";
                self.episodes.push(EpisodeView {
                    place: place.clone(),
                    kind: kind.to_owned(),
                    nature: nature(kind),
                    from: run.from,
                    to: run.to,
                    count: run.count,
                    max_ns: if repeats { length } else { run.max_ns },
                    detail: run.detail.clone(),
                    planned: nature(kind) == Nature::Planned,
                    first: false,
                });
            }
        }
        for (list, table, kind) in [
            (&mut self.throttling, &facts.throttling, "client-throttled"),
            (&mut self.server_waits, &facts.server_waits, "server-wait"),
            (
                &mut self.turned_away,
                &facts.turned_away,
                "http-too-many-requests",
            ),
            (&mut self.traces, facts.slow_calls().0, "apiserver-trace"),
            (&mut self.calls, &facts.calls, "apiserver-storage-trace"),
        ] {
            let place = whose(kind);
            for (key, row) in table.iter() {
                list.push(DelayView {
                    place: place.clone(),
                    parts: parts(key),
                    row: row.clone(),
                });
            }
        }
    }

    /// Whether a component wrote something.
    pub fn has(&self, component: &str) -> bool {
        self.places.iter().any(|place| place.component == component)
    }

    /// Elections of one term at about the same time are one, whoever told of it.
    fn settle_elections(&mut self) {
        let mut found: Vec<ElectionView> = Vec::new();
        for (place, facts) in &self.facts {
            for (term, election) in &facts.elections {
                let node = place.node.clone().unwrap_or_default();
                let known = found.iter_mut().find(|known| {
                    known.term == *term
                        && known.election.first.0.abs_diff(election.first.0) <= ELECTION_US
                });
                match known {
                    Some(known) => {
                        known.election.lines += election.lines;
                        known.election.first = known.election.first.min(election.first);
                        known.election.last = known.election.last.max(election.last);
                        known.election.lost |= election.lost;
                        known.election.elected |= election.elected;
                        if known.election.leader.is_none() {
                            known.election.leader.clone_from(&election.leader);
                        }
                        known.nodes.insert(node);
                    }
                    None => found.push(ElectionView {
                        term: *term,
                        election: election.clone(),
                        nodes: BTreeSet::from([node]),
                        planned: false,
                        start: false,
                    }),
                }
            }
        }
        found.sort_by_key(|view| (view.election.first, view.term));
        elections::join_losses(&mut found);
        let handovers: BTreeSet<Timestamp> = self
            .facts
            .iter()
            .flat_map(|(_, facts)| facts.handovers.iter().copied())
            .collect();
        let starts: BTreeSet<Timestamp> = self
            .facts
            .iter()
            .flat_map(|(_, facts)| facts.starts.iter().filter_map(|start| start.at))
            .collect();
        for view in &mut found {
            let at = view.election.first;
            view.planned = handovers
                .range(at.add_us(-PLANNED_US)..=at.add_us(PLANNED_US))
                .next()
                .is_some();
            // Nobody leads before the first election after a start: nothing was lost.
            view.start =
                !view.election.lost && starts.range(at.add_us(-START_US)..=at).next().is_some();
        }
        self.elections = found;
    }

    /// Episodes of elections that were planned, or that belong to a start.
    fn mark_planned(&mut self) {
        let calm: Vec<(Timestamp, Timestamp)> = self
            .elections
            .iter()
            .filter(|view| view.planned || view.start)
            .map(|view| (view.election.first, view.election.last))
            .collect();
        for episode in &mut self.episodes {
            if is_election(&episode.kind) {
                episode.planned |= calm
                    .iter()
                    .any(|(from, to)| episode.from >= *from && episode.to <= *to);
            }
        }
    }

    /// The first sign of trouble of each incident.
    fn mark_first(&mut self) {
        let mut end: Option<Timestamp> = None;
        for episode in &mut self.episodes {
            let trouble =
                matches!(episode.nature, Nature::Fault | Nature::Symptom) && !episode.planned;
            if !trouble {
                continue;
            }
            episode.first = end.is_none_or(|end| episode.from.since_us(end) > INCIDENT_US);
            end = end.max(Some(episode.to));
        }
    }

    /// First and last record over all streams.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let mut from = None;
        let mut to = None;
        for (_, _, coverage) in &self.coverage {
            if let Some((a, b)) = coverage.span() {
                from = earliest(from, Some(a));
                to = to.max(Some(b));
            }
        }
        from.zip(to)
    }
}

/// The only member of etcd that wrappers of a stream name.
fn only_member(stream: &StreamSummary) -> Option<String> {
    let writers = stream.segment.writers.iter();
    let mut members = writers
        .map(|(writer, _)| writer::parts(writer))
        .filter(|(component, _)| writer::is_etcd(component))
        .filter_map(|(_, node)| node);
    let only = members.next()?;
    members.next().is_none().then(|| only.to_owned())
}

/// A member that starts has its first election within the election timeout, or after its peers
/// came: half a minute is generous.
const START_US: i64 = 30_000_000;

fn is_election(kind: &str) -> bool {
    matches!(kind, "leader-elected" | "leader-changed" | "leader-lost")
}

/// Starts of other programs than the one that the first facts are about, as facts of their own.
fn part_starts(all: &mut Vec<(Place, Facts)>, whose: impl Fn(&str) -> Place) {
    let Some((main, facts)) = all.first_mut() else {
        return;
    };
    let main = main.clone();
    let at = |component: Option<&str>| component.map_or(main.clone(), &whose);
    let (own, others) = std::mem::take(&mut facts.starts)
        .into_iter()
        .partition(|start| at(start.component.as_deref()) == main);
    facts.starts = own;
    for start in others {
        let place = at(start.component.as_deref());
        match all.iter_mut().find(|(have, _)| *have == place) {
            Some((_, facts)) => {
                facts.starts.insert(start);
            }
            None => {
                let mut facts = Facts::default();
                facts.starts.insert(start);
                all.push((place, facts));
            }
        }
    }
}

/// What a kind says about the system.
pub fn nature(kind: &str) -> Nature {
    signature(kind).map_or(Nature::Noise, |signature| signature.nature)
}

/// The parts of a row's key.
pub fn parts(key: &str) -> Vec<String> {
    key.split(super::aggregate::audit::SEPARATOR)
        .map(str::to_owned)
        .collect()
}

fn add_tables(into: &mut Tables, from: &Tables) {
    for (mine, theirs) in [
        (&mut into.resources, &from.resources),
        (&mut into.namespaces, &from.namespaces),
        (&mut into.clients, &from.clients),
        (&mut into.prefixes, &from.prefixes),
    ] {
        mine.merge(theirs);
    }
    for (mine, theirs) in into.shapes.iter_mut().zip(&from.shapes) {
        mine.add(theirs);
    }
    into.total.add(&from.total);
    into.without_apply += from.without_apply;
}

/// Rows by falling weight, then by key.
pub fn sorted<R: RowValue>(table: &Bounded<R>) -> Vec<(&str, &R)> {
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_by(|a, b| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(b.0)));
    rows
}
