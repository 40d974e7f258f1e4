//! Single facts that messages tell: versions, restarts, elections, database sizes, compactions,
//! clock differences, throttling, slow API calls.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::{Component, Event, Extra};
use crate::logs::signature::{PlainFields, SLOW_HTTP_NS};

use super::coverage::Count;
use super::delays::{call_row, calls_row, trace_row, trace_second, turned_away_row};
use super::kinds::earliest;
use super::life::{Life, is_told_by};
use super::rejections::Rejections;
use super::runs::{Run, Runs};
use super::said::Settings;
use super::seconds::Seconds;
use super::spark::Grid;
use super::table::Bounded;

pub use super::delays::DelayRow;
pub use super::level::{Latest, Peak};

/// Most starts, hand-overs and terms kept of one stream.
const MAX: usize = 1024;
/// Both round trippers of a peer report one clock check (etcd: rafthttp/probing_status.go).
const CLOCK_GAP_US: i64 = 2_000_000;

/// A start of the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// When, where the line says.
    pub at: Option<Timestamp>,
    /// Its version, where the line says.
    pub version: Option<String>,
    /// The component that started, as the kind of the line says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
}

/// An election, known by its term: every member and several lines tell of the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Election {
    /// First line that names the term.
    pub first: Timestamp,
    /// Last line.
    pub last: Timestamp,
    /// Lines.
    pub lines: u64,
    /// The leader, where a line names it.
    pub leader: Option<String>,
    /// A line says that a leader was lost before.
    pub lost: bool,
    /// A line says that somebody was elected; of a term in which all that is said is that its leader
    /// was lost, the election was before or is still to come.
    #[serde(default = "yes")]
    pub elected: bool,
}

fn yes() -> bool {
    true
}

impl Election {
    fn merge(&mut self, other: &Election) {
        if other.last > self.last && other.leader.is_some() {
            self.leader.clone_from(&other.leader);
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.lines += other.lines;
        self.lost |= other.lost;
        self.elected |= other.elected;
        if self.leader.is_none() {
            self.leader.clone_from(&other.leader);
        }
    }
}

/// Clock differences to one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Checks that found one; the lines of one check are one.
    pub checks: Runs,
    /// The largest in nanoseconds.
    pub max_ns: u64,
}

impl Default for Drift {
    fn default() -> Self {
        Drift {
            checks: Runs::new(CLOCK_GAP_US),
            max_ns: 0,
        }
    }
}

/// Compactions of the key space.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compactions {
    /// How many finished.
    pub count: u64,
    /// First one.
    pub first: Option<Timestamp>,
    /// Last one.
    pub last: Option<Timestamp>,
    /// The longest of each bucket, in nanoseconds.
    pub took: Grid<Peak>,
}

impl Compactions {
    /// Mean time between two, where there were two.
    pub fn period_us(&self) -> Option<i64> {
        let between = i64::try_from(self.count).ok()? - 1;
        let span = self.last?.since_us(self.first?);
        (between > 0).then(|| span / between)
    }
}

/// What was said of one type of alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alarm {
    /// Lines that say that it is raised.
    pub raised: u64,
    /// The last of them.
    pub last_raised: Option<Timestamp>,
    /// Lines that say that it was disarmed.
    pub disarmed: u64,
    /// The last of them.
    pub last_disarmed: Option<Timestamp>,
}

/// Types of alarms that etcd has; what a line names besides is none.
const ALARMS: [&str; 2] = ["NOSPACE", "CORRUPT"];

/// The facts of one stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Starts, by time.
    pub starts: BTreeSet<Start>,
    /// Versions that lines name, with how often.
    pub versions: Bounded<Count>,
    /// The member's name, as it said at its last start.
    #[serde(default)]
    pub member: Option<String>,
    /// Settings as the last start told them, by the name of the flag.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// Elections by term.
    pub elections: BTreeMap<u64, Election>,
    /// Shutdowns and transfers of leadership: an election right after one was planned.
    pub handovers: BTreeSet<Timestamp>,
    /// Clean shutdowns.
    pub shutdowns: u64,
    /// Alarms by type; what is refused because of one counts as raised.
    #[serde(default)]
    pub alarms: BTreeMap<String, Alarm>,
    /// Why connections were turned away.
    #[serde(default, skip_serializing_if = "Rejections::is_empty")]
    pub rejections: Rejections,
    /// Why it could not connect to a server itself.
    #[serde(default, skip_serializing_if = "Rejections::is_empty")]
    pub unconnected: Rejections,
    /// Clock differences by peer.
    pub drift: BTreeMap<String, Drift>,
    /// Of etcd: its starts and ends, and those of its peers.
    #[serde(default, skip_serializing_if = "Life::is_empty")]
    pub life: Life,
    /// Size of the database on disk, in bytes.
    pub db_size: Grid<Latest>,
    /// Of it, in use.
    pub db_in_use: Grid<Latest>,
    /// Compactions.
    pub compactions: Compactions,
    /// Client-side throttling by verb and resource.
    pub throttling: Bounded<DelayRow>,
    /// Waits that a server asked for, by verb and resource.
    pub server_waits: Bounded<DelayRow>,
    /// Requests answered 429, by priority level, flow schema and user agent.
    #[serde(default = "none_turned_away")]
    pub turned_away: Bounded<DelayRow>,
    /// Slow calls that the apiserver traced, by user agent, verb and resource.
    pub traces: Bounded<DelayRow>,
    /// The same by second, resource, class and user agent.
    pub trace_seconds: Seconds,
    /// The same two of the HTTP log.
    #[serde(default = "none_logged")]
    pub http: Bounded<DelayRow>,
    /// By second.
    #[serde(default)]
    pub http_seconds: Seconds,
    /// Slow calls that the apiserver made and traced: whom it called, by name, verb and resource.
    #[serde(default = "none_turned_away")]
    pub calls: Bounded<DelayRow>,
    /// Facts that did not fit.
    pub dropped: u64,
}

fn none_turned_away() -> Bounded<DelayRow> {
    Bounded::new(256)
}

fn none_logged() -> Bounded<DelayRow> {
    Bounded::new(512)
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            starts: BTreeSet::new(),
            versions: Bounded::new(64),
            member: None,
            settings: Settings::default(),
            elections: BTreeMap::new(),
            handovers: BTreeSet::new(),
            shutdowns: 0,
            alarms: BTreeMap::new(),
            rejections: Rejections::default(),
            unconnected: Rejections::default(),
            drift: BTreeMap::new(),
            life: Life::default(),
            db_size: Grid::default(),
            db_in_use: Grid::default(),
            compactions: Compactions::default(),
            throttling: Bounded::new(512),
            server_waits: Bounded::new(256),
            turned_away: none_turned_away(),
            traces: Bounded::new(512),
            trace_seconds: Seconds::default(),
            http: none_logged(),
            http_seconds: Seconds::default(),
            calls: none_turned_away(),
            dropped: 0,
        }
    }
}

/// A text among an event's own fields.
pub fn text<'e>(event: &'e Event<'_>, name: &str) -> Option<&'e str> {
    event.extra.iter().find_map(|(known, value)| match value {
        Extra::Text(text) if *known == name => Some(text.as_ref()),
        _ => None,
    })
}

/// A whole number among an event's own fields.
pub fn int(event: &Event<'_>, name: &str) -> Option<u64> {
    event.extra.iter().find_map(|(known, value)| match value {
        Extra::Int(n) if *known == name => u64::try_from(*n).ok(),
        Extra::Text(text) if *known == name => text.parse().ok(),
        _ => None,
    })
}

/// A number among an event's own fields.
pub fn num(event: &Event<'_>, name: &str) -> Option<f64> {
    event.extra.iter().find_map(|(known, value)| match value {
        Extra::Num(n) if *known == name => Some(*n),
        _ => None,
    })
}

/// The kind of lines that tell of a request that could not be applied.
pub const FAILED_APPLY: &str = "failed-apply";
/// The kind of lines that tell of a connection that was turned away.
pub const REJECTED: &str = "rejected-connection";

/// The kind of lines that tell of a server that a program could not connect to.
pub const UNCONNECTED: &str = "grpc-connect-failed";

impl Facts {
    /// Takes what the event tells. It must have its own fields.
    pub fn add(&mut self, event: &Event<'_>) {
        if is_told_by(event.kind) {
            self.life.add(event);
        }
        match event.kind {
            "client-throttled" => call_row(&mut self.throttling, event),
            "server-wait" => call_row(&mut self.server_waits, event),
            "http-too-many-requests" => turned_away_row(&mut self.turned_away, event),
            "apiserver-trace" => {
                trace_row(&mut self.traces, event);
                trace_second(&mut self.trace_seconds, event);
            }
            "http-log" | "http-timeout" | "http-server-error" => self.http(event),
            "apiserver-storage-trace" => calls_row(&mut self.calls, "etcd", "", event),
            "apiserver-cache-trace" => calls_row(&mut self.calls, "cache", "", event),
            "apiserver-webhook-trace" => {
                let name = text(event, "webhook").unwrap_or("");
                calls_row(&mut self.calls, "webhook", name, event);
            }
            FAILED_APPLY => self.refused(event),
            "compaction-finished" => self.compaction(event),
            "defrag-finish" => {
                if let Some(at) = event.time {
                    let of = |name| int(event, name);
                    self.sized(at, of("db_size_bytes"), of("db_in_use_bytes"));
                }
            }
            "clock-drift" => self.clock(event),
            "alarm-raised" | "health-alarm" | "alarm-disarmed" => self.alarm(event),
            "etcd-start"
            | "apiserver-start"
            | "controller-manager-start"
            | "scheduler-start"
            | "kubelet-start"
            // It ended before it could say that it starts.
            | "settings-refused" => self.start(event),
            "member-name" => self.name(event),
            "component-flag" => self.settings.flag(event),
            "shutdown"
            | "etcd-stopped"
            | "component-stop"
            | "leader-transfer-started"
            | "leader-transfer-finished"
            | "leader-transfer-raft" => self.handover(event),
            _ => {
                if let Some(term) = int(event, "term") {
                    self.election(event, term);
                }
            }
        }
    }

    fn compaction(&mut self, event: &Event<'_>) {
        let fields = PlainFields {
            took_ns: event.took_ns,
            db_size: int(event, "db_size_bytes"),
            db_in_use: int(event, "db_in_use_bytes"),
        };
        self.compacted(event.time, event.repeats, &fields);
    }

    /// Takes what a finished compaction tells.
    pub fn compacted(&mut self, time: Option<Timestamp>, repeats: u64, fields: &PlainFields) {
        let found = &mut self.compactions;
        found.count += repeats;
        let Some(at) = time else {
            return;
        };
        found.first = earliest(found.first, Some(at));
        found.last = found.last.max(Some(at));
        if let Some(ns) = fields.took_ns {
            found.took.add(at, &Peak(ns));
        }
        self.sized(at, fields.db_size, fields.db_in_use);
    }

    fn sized(&mut self, at: Timestamp, size: Option<u64>, in_use: Option<u64>) {
        let both = [(&mut self.db_size, size), (&mut self.db_in_use, in_use)];
        for (sizes, value) in both {
            if let Some(value) = value {
                sizes.add(at, &Latest { at, value });
            }
        }
    }

    /// A slow request of the HTTP log. What is streamed takes as long as its client likes.
    fn http(&mut self, event: &Event<'_>) {
        const STREAMS: [&str; 5] = ["log", "exec", "attach", "portforward", "proxy"];
        let streams = event.api.as_deref().is_some_and(|call| {
            let sub = call.subresource.as_deref();
            sub.is_some_and(|sub| STREAMS.contains(&sub))
        });
        let of_api = event.component == Component::Apiserver;
        if of_api && !streams && event.took_ns.is_some_and(|ns| ns >= SLOW_HTTP_NS) {
            trace_row(&mut self.http, event);
            trace_second(&mut self.http_seconds, event);
        }
    }

    /// Slow calls of kube-apiserver's clients. Traces and the HTTP log tell of the same ones, so the
    /// one that holds more of them counts.
    pub fn slow_calls(&self) -> (&Bounded<DelayRow>, &Seconds) {
        let lines = |table: &Bounded<DelayRow>| -> u64 {
            let other = table.other().map_or(0, |row| row.lines);
            table.iter().map(|(_, row)| row.lines).sum::<u64>() + other
        };
        match lines(&self.http) > lines(&self.traces) {
            true => (&self.http, &self.http_seconds),
            false => (&self.traces, &self.trace_seconds),
        }
    }

    /// What etcd refuses to apply while an alarm is raised (etcd: server/etcdserver/errors). From 3.6
    /// on this may be all that tells of the alarm.
    fn refused(&mut self, event: &Event<'_>) {
        let kind = match event.error.as_deref().map(str::trim_end) {
            Some("etcdserver: no space") => "NOSPACE",
            Some("etcdserver: corrupt cluster") => "CORRUPT",
            _ => return,
        };
        let alarm = self.alarms.entry(kind.to_owned()).or_default();
        alarm.raised += event.repeats;
        alarm.last_raised = alarm.last_raised.max(event.time);
    }

    fn alarm(&mut self, event: &Event<'_>) {
        let Some(kind) = text(event, "alarm").filter(|kind| ALARMS.contains(kind)) else {
            return;
        };
        let alarm = self.alarms.entry(kind.to_owned()).or_default();
        let (count, last) = match event.kind {
            "alarm-disarmed" => (&mut alarm.disarmed, &mut alarm.last_disarmed),
            _ => (&mut alarm.raised, &mut alarm.last_raised),
        };
        *count += event.repeats;
        *last = (*last).max(event.time);
    }

    fn clock(&mut self, event: &Event<'_>) {
        let peer = text(event, "peer").unwrap_or("unknown");
        if self.drift.len() >= MAX && !self.drift.contains_key(peer) {
            self.dropped += 1;
            return;
        }
        let drift = self.drift.entry(peer.to_owned()).or_default();
        let ns = event.took_ns.unwrap_or(0);
        drift.max_ns = drift.max_ns.max(ns);
        if let Some(at) = event.time {
            drift.checks.add(&Run {
                from: at,
                to: at,
                count: 1,
                max_ns: ns,
                detail: String::new(),
            });
        }
    }

    fn name(&mut self, event: &Event<'_>) {
        if let Some(name) = text(event, "name").filter(|name| !name.is_empty()) {
            self.member = Some(name.to_owned());
        }
    }

    fn start(&mut self, event: &Event<'_>) {
        if event.kind == "etcd-start" {
            self.name(event);
            self.settings.of_etcd(event);
        }
        let version = text(event, "version").map(str::to_owned);
        if let Some(version) = &version {
            self.versions.entry(version).0 += 1;
        }
        if self.starts.len() >= MAX {
            self.dropped += 1;
            return;
        }
        self.starts.insert(Start {
            at: event.time,
            version,
            component: Some(event.component.word().to_owned()),
        });
    }

    /// When a component started.
    pub fn starts_of(&self, component: Component) -> impl Iterator<Item = Timestamp> {
        let whose = move |start: &&Start| start.component.as_deref() == Some(component.word());
        self.starts
            .iter()
            .filter(whose)
            .filter_map(|start| start.at)
    }

    fn handover(&mut self, event: &Event<'_>) {
        self.shutdowns += u64::from(event.kind == "shutdown");
        match event.time {
            Some(at) if self.handovers.len() < MAX => {
                self.handovers.insert(at);
            }
            _ => self.dropped += 1,
        }
    }

    fn election(&mut self, event: &Event<'_>, term: u64) {
        let lost = match event.kind {
            "leader-elected" | "leader-changed" => false,
            "leader-lost" => true,
            _ => return,
        };
        let Some(at) = event.time else {
            return;
        };
        // A loss names who leads no more.
        let leader = text(event, "leader").filter(|_| !lost);
        let found = Election {
            first: at,
            last: at,
            lines: 1,
            leader: leader.map(str::to_owned),
            lost,
            elected: !lost,
        };
        if let Some(known) = self.elections.get_mut(&term) {
            known.merge(&found);
        } else if self.elections.len() < MAX {
            self.elections.insert(term, found);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds another piece.
    pub fn merge(&mut self, other: &Facts) {
        for start in &other.starts {
            if self.starts.len() < MAX {
                self.starts.insert(start.clone());
            }
        }
        self.versions.merge(&other.versions);
        // Pieces come in the order of time.
        if other.member.is_some() {
            self.member.clone_from(&other.member);
        }
        for (term, election) in &other.elections {
            self.elections
                .entry(*term)
                .and_modify(|known| known.merge(election))
                .or_insert_with(|| election.clone());
        }
        while self.elections.len() > MAX {
            self.elections.pop_first();
            self.dropped += 1;
        }
        self.handovers.extend(&other.handovers);
        while self.handovers.len() > MAX {
            self.handovers.pop_first();
            self.dropped += 1;
        }
        self.settings.merge(&other.settings);
        self.shutdowns += other.shutdowns;
        for (kind, theirs) in &other.alarms {
            let mine = self.alarms.entry(kind.clone()).or_default();
            mine.raised += theirs.raised;
            mine.last_raised = mine.last_raised.max(theirs.last_raised);
            mine.disarmed += theirs.disarmed;
            mine.last_disarmed = mine.last_disarmed.max(theirs.last_disarmed);
        }
        self.rejections.merge(&other.rejections);
        self.unconnected.merge(&other.unconnected);
        for (peer, drift) in &other.drift {
            let known = self.drift.entry(peer.clone()).or_default();
            known.checks.merge(&drift.checks);
            known.max_ns = known.max_ns.max(drift.max_ns);
        }
        self.life.merge(&other.life);
        self.db_size.merge(&other.db_size);
        self.db_in_use.merge(&other.db_in_use);
        let (mine, theirs) = (&mut self.compactions, &other.compactions);
        mine.count += theirs.count;
        mine.first = earliest(mine.first, theirs.first);
        mine.last = mine.last.max(theirs.last);
        mine.took.merge(&theirs.took);
        for (table, add) in [
            (&mut self.throttling, &other.throttling),
            (&mut self.server_waits, &other.server_waits),
            (&mut self.turned_away, &other.turned_away),
            (&mut self.traces, &other.traces),
            (&mut self.http, &other.http),
            (&mut self.calls, &other.calls),
        ] {
            table.merge(add);
            if table.is_over() {
                table.prune(&[]);
            }
        }
        self.trace_seconds.merge(&other.trace_seconds);
        self.http_seconds.merge(&other.http_seconds);
        self.dropped += other.dropped;
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.versions.restore();
        self.throttling.restore();
        self.server_waits.restore();
        self.turned_away.restore();
        self.traces.restore();
        self.trace_seconds.restore();
        self.http.restore();
        self.http_seconds.restore();
        self.calls.restore();
    }
}
