//! Audit records: one per audit id, by user agent, user, verb and resource.
//!
//! A request writes up to three records (RequestReceived, ResponseStarted, ResponseComplete or
//! Panic) with one id. They are joined like the lines of one etcd request. Which of them are
//! written is the policy's choice, so no record is no proof of no request. Watches end long after
//! they began: an end without a begin in sight is counted only where begins are not logged.

mod objects;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::catalog::resources::{KeyParts, RowKey};
use crate::clock::Timestamp;
use crate::logs::audit::{
    self, Asked, AuditRecord, Known, KnownRecord, List, ListSource, Stage, Verb,
};
use crate::units::{Bucket, LogHistogram};

use objects::Objects;

use super::hash::stable_hash;
use super::join::{Item, Joiner, LineKind, Payload};
use super::kinds::earliest;
use super::pace::{ObjectRow, PaceRow};
use super::seconds::{Cell, Class, Seconds};
use super::spark::{Spark, minute_of};
use super::table::{Bounded, RowValue};

/// Rows kept exactly.
const CALLERS: usize = 1024;
/// How many records back the begin of a request is looked for: more than an apiserver has
/// requests in flight (kube-apiserver: --max-requests-inflight 400, mutating 200, plus watches
/// that start).
const REACH: u64 = 2048;
const NONE: u32 = u32::MAX;
/// Clients and objects kept exactly.
const CLIENTS: usize = 512;
const OBJECTS: usize = 1024;
/// Rows that are found without building their key.
const CACHE: usize = 4096;
/// Most rows that are found by the numbers of what was asked.
const PLACES: usize = 8192;
/// Stands between the parts of a row's key.
pub const SEPARATOR: char = '\u{1f}';

/// Requests of one caller for one verb and resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditRow {
    /// Requests, each once; ends of watches whose begin is not logged are apart.
    pub requests: u64,
    /// Ends of watches without a begin.
    pub watch_ends: u64,
    /// Begins of watches.
    pub watch_begins: u64,
    /// Answers 400 and above.
    pub errors: u64,
    /// Answers 404.
    pub not_found: u64,
    /// Answers 409.
    pub conflicts: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Answers 500 and above, 504 among them.
    pub server_errors: u64,
    /// Answers 504.
    pub timeouts: u64,
    /// LISTs without a limit.
    pub unlimited: u64,
    /// LISTs without a resourceVersion.
    pub rv_unset: u64,
    /// LISTs with neither: the expensive kind.
    pub unbounded: u64,
    /// LISTs that etcd answered for sure (exact revision, or a later page).
    pub from_etcd: u64,
    /// Latency of completed requests, watches left out.
    pub took: LogHistogram,
    /// Time in etcd of the requests that say so (slower than 500 ms, 1.24 and later).
    pub etcd_ns: u64,
    /// Time of those requests.
    pub etcd_total_ns: u64,
    /// Time in the queues of priority and fairness, where said.
    pub queue_ns: u64,
    /// Earliest record.
    pub first: Option<Timestamp>,
    /// Latest record.
    pub last: Option<Timestamp>,
    /// Requests over time.
    pub spark: Spark,
}

impl AuditRow {
    /// Requests, with ends of watches where their begins are not logged.
    pub fn all_requests(&self) -> u64 {
        if self.watch_begins == 0 {
            self.requests + self.watch_ends
        } else {
            self.requests
        }
    }

    /// Requests per second between the first and the last one.
    pub fn rate(&self) -> Option<f64> {
        let secs = self.last?.since_us(self.first?) as f64 / 1e6;
        (secs >= 1.0).then(|| self.all_requests() as f64 / secs)
    }
}

impl RowValue for AuditRow {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.watch_ends += other.watch_ends;
        self.watch_begins += other.watch_begins;
        self.errors += other.errors;
        self.not_found += other.not_found;
        self.conflicts += other.conflicts;
        self.throttled += other.throttled;
        self.server_errors += other.server_errors;
        self.timeouts += other.timeouts;
        self.unlimited += other.unlimited;
        self.rv_unset += other.rv_unset;
        self.unbounded += other.unbounded;
        self.from_etcd += other.from_etcd;
        self.took.merge(&other.took);
        self.etcd_ns += other.etcd_ns;
        self.etcd_total_ns += other.etcd_total_ns;
        self.queue_ns += other.queue_ns;
        self.first = earliest(self.first, other.first);
        self.last = self.last.max(other.last);
        self.spark.merge(&other.spark);
    }

    fn raise(&mut self, other: &Self) {
        self.requests = self.requests.max(other.requests);
        self.watch_ends = self.watch_ends.max(other.watch_ends);
        self.watch_begins = self.watch_begins.max(other.watch_begins);
        self.errors = self.errors.max(other.errors);
        self.not_found = self.not_found.max(other.not_found);
        self.conflicts = self.conflicts.max(other.conflicts);
        self.throttled = self.throttled.max(other.throttled);
        self.server_errors = self.server_errors.max(other.server_errors);
        self.timeouts = self.timeouts.max(other.timeouts);
        self.unlimited = self.unlimited.max(other.unlimited);
        self.rv_unset = self.rv_unset.max(other.rv_unset);
        self.unbounded = self.unbounded.max(other.unbounded);
        self.from_etcd = self.from_etcd.max(other.from_etcd);
        self.etcd_ns = self.etcd_ns.max(other.etcd_ns);
        self.etcd_total_ns = self.etcd_total_ns.max(other.etcd_total_ns);
        self.queue_ns = self.queue_ns.max(other.queue_ns);
    }

    fn weight(&self) -> u64 {
        self.requests + self.watch_ends
    }
}

/// What one request adds to its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditShare {
    row: u32,
    watch: bool,
    begun: bool,
    ended: bool,
    code: u16,
    took_ns: Option<u64>,
    etcd_ns: u64,
    queue_ns: u64,
    unlimited: bool,
    rv_unset: bool,
    from_etcd: bool,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Payload for AuditShare {
    fn join(&mut self, later: Self) {
        self.row = later.row;
        self.begun |= later.begun;
        self.ended |= later.ended;
        if later.code > 0 {
            self.code = later.code;
        }
        self.took_ns = later.took_ns.or(self.took_ns);
        self.etcd_ns += later.etcd_ns;
        self.queue_ns += later.queue_ns;
        self.first = earliest(self.first, later.first);
        self.last = self.last.max(later.last);
    }
}

/// Callers and totals.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditTables<O = Bounded<ObjectRow>> {
    /// By user agent, user, verb and resource, joined by [`SEPARATOR`].
    pub callers: Bounded<AuditRow>,
    /// All requests.
    pub total: AuditRow,
    /// By user agent and user: how steadily they ask.
    pub clients: Bounded<PaceRow>,
    /// By user agent, user, verb, resource and object.
    pub objects: O,
    /// Lists and changes by second, resource, class, user agent and user.
    pub seconds: Seconds,
}

impl Default for AuditTables {
    fn default() -> Self {
        AuditTables {
            callers: Bounded::new(CALLERS),
            total: AuditRow::default(),
            clients: Bounded::new(CLIENTS),
            objects: Bounded::new(OBJECTS),
            seconds: Seconds::default(),
        }
    }
}

impl<O> AuditTables<O> {
    fn add(&mut self, share: &AuditShare) {
        // Worked out once for both rows.
        let took = share.took_ns.map(|ns| (ns, Bucket::of_ns(ns)));
        let minute = share.first.map(minute_of);
        for row in [self.callers.row_mut(share.row), Some(&mut self.total)]
            .into_iter()
            .flatten()
        {
            if share.watch && share.ended && !share.begun {
                row.watch_ends += 1;
            } else {
                row.requests += 1;
                row.watch_begins += u64::from(share.watch);
            }
            if share.code >= 400 {
                row.errors += 1;
                row.not_found += u64::from(share.code == 404);
                row.conflicts += u64::from(share.code == 409);
                row.throttled += u64::from(share.code == 429);
                row.server_errors += u64::from(share.code >= 500);
                row.timeouts += u64::from(share.code == 504);
            }
            row.unlimited += u64::from(share.unlimited);
            row.rv_unset += u64::from(share.rv_unset);
            row.unbounded += u64::from(share.unlimited && share.rv_unset);
            row.from_etcd += u64::from(share.from_etcd);
            if let Some((ns, bucket)) = took {
                row.took.record(ns, bucket);
                if share.etcd_ns > 0 {
                    row.etcd_total_ns += ns;
                }
            }
            row.etcd_ns += share.etcd_ns;
            row.queue_ns += share.queue_ns;
            row.first = earliest(row.first, share.first);
            row.last = row.last.max(share.last);
            if let Some(minute) = minute {
                row.spark.add_minute(minute, &1);
            }
        }
    }
}

/// The audit records of one stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Most shares wait for nothing, so the joiner's room is not for them.
    joiner: Joiner<Box<AuditShare>>,
    tables: AuditTables<Objects>,
    /// Reused for the key of a row.
    #[serde(skip)]
    key: String,
    #[serde(skip)]
    recent: Recent,
}

impl Default for Audit {
    fn default() -> Self {
        Audit {
            joiner: Joiner::with_reach(REACH),
            tables: AuditTables {
                callers: Bounded::new(CALLERS),
                total: AuditRow::default(),
                clients: Bounded::new(CLIENTS),
                objects: Objects::new(OBJECTS),
                seconds: Seconds::default(),
            },
            key: String::new(),
            recent: Recent::default(),
        }
    }
}

/// Rows that were used lately, found by a hash without building their key.
#[derive(Clone, Debug, Default)]
struct Recent {
    known: Known,
    places: Vec<Place>,
    place_index: HashTable<u32>,
    callers: Numbers,
    clients: Numbers,
    objects: Numbers,
}

impl Recent {
    /// Rows have other numbers from now on.
    fn forget_rows(&mut self) {
        *self = Recent {
            known: std::mem::take(&mut self.known),
            ..Recent::default()
        };
    }
}

/// The rows of what was asked.
#[derive(Clone, Debug)]
struct Place {
    asked: Asked,
    /// Row of the caller.
    row: u32,
    /// Row of the client, once a request of it ended.
    client: u32,
    /// What the keys of its objects begin with, once there was one.
    shared: u32,
    /// What the cells of its seconds are named.
    second: Box<str>,
}

/// What of a request counts, however its line was read.
struct Request {
    stage: Stage,
    watch: bool,
    class: Option<Class>,
    code: Option<u16>,
    took_ns: Option<u64>,
    etcd_ns: u64,
    queue_ns: u64,
    list: Option<List>,
    received: Option<Timestamp>,
    stage_time: Option<Timestamp>,
}

/// Numbers of rows by hash.
#[derive(Clone, Debug, Default)]
struct Numbers(Vec<(u64, u32)>);

impl Numbers {
    /// The number of a row, from those used lately where it is among them.
    fn get(&mut self, hash: u64, find: impl FnOnce() -> u32) -> u32 {
        if self.0.is_empty() {
            self.0.resize(CACHE, (0, NONE));
        }
        let place = usize::try_from(hash % CACHE as u64).unwrap_or(0);
        match self.0.get_mut(place) {
            Some((known, id)) if *known == hash && *id != NONE => *id,
            Some(slot) => {
                let id = find();
                *slot = (hash, id);
                id
            }
            None => find(),
        }
    }
}

/// Writes the parts of a key, with what stands between them.
fn write_key(key: &mut String, parts: &[&str]) {
    key.clear();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            key.push(SEPARATOR);
        }
        key.push_str(part);
    }
}

/// `resource.group` in parts: the resource, what stands between, the group.
fn resource_parts<'p>(parts: &'p KeyParts<'_>) -> [&'p str; 3] {
    match parts.row_key() {
        RowKey::Name(name) => [name, "", ""],
        RowKey::Custom(resource, group) => [resource, ".", group],
    }
}

/// Writes what the keys of a caller's objects begin with.
fn object_beginning(key: &mut String, record: &AuditRecord<'_>) {
    let agent = record.user_agent.as_deref().unwrap_or("");
    let user = record.user.as_deref().unwrap_or("");
    let [resource, dot, group] = resource_parts(&record.parts);
    write_key(key, &[agent, user, &record.verb, resource]);
    key.push_str(dot);
    key.push_str(group);
    key.push(SEPARATOR);
}

/// Writes the key of an object.
fn object_key(key: &mut String, record: &AuditRecord<'_>) {
    object_beginning(key, record);
    if let Some(namespace) = record.parts.namespace.as_deref()
        && !namespace.is_empty()
    {
        key.push_str(namespace);
        key.push('/');
    }
    key.push_str(record.parts.name.as_deref().unwrap_or(""));
}

/// Writes the name of a request's cells.
fn second_name(key: &mut String, record: &AuditRecord<'_>) {
    for part in resource_parts(&record.parts) {
        key.push_str(part);
    }
    let class = Class::of_verb(&record.verb).map_or("", Class::word);
    for part in [
        class,
        record.user_agent.as_deref().unwrap_or(""),
        record.user.as_deref().unwrap_or(""),
    ] {
        key.push(SEPARATOR);
        key.push_str(part);
    }
}

impl Request {
    fn of(record: &AuditRecord<'_>) -> Self {
        Request {
            stage: record.stage,
            watch: record.verb == "watch",
            class: Class::of_verb(&record.verb).filter(|_| !record.is_connection()),
            code: record.code,
            took_ns: record.latency_ns(),
            etcd_ns: record.etcd_ns.unwrap_or(0),
            queue_ns: record.queue_ns.unwrap_or(0),
            list: record.list,
            received: record.received,
            stage_time: record.stage_time,
        }
    }

    fn of_known(record: &KnownRecord<'_>) -> Self {
        Request {
            stage: record.stage,
            watch: record.asked.verb == Verb::Watch,
            class: Class::of_verb(record.asked.verb.word()),
            code: record.code,
            took_ns: record.latency_ns(),
            etcd_ns: 0,
            queue_ns: 0,
            list: record.list,
            received: record.received,
            stage_time: record.stage_time,
        }
    }

    /// Whether it is a request that was answered, and no watch.
    fn answered(&self) -> bool {
        self.stage == Stage::ResponseComplete && !self.watch
    }

    fn code(&self) -> u16 {
        self.code.unwrap_or(0)
    }

    fn unlimited(&self) -> bool {
        self.list
            .is_some_and(|list| list.limit.is_none() && !list.continued)
    }

    /// The seconds in which etcd may have worked for it, and what to count there.
    fn seconds(&self) -> Option<(Timestamp, Timestamp, Cell)> {
        let (class, from, to) = (self.class?, self.received?, self.stage_time?);
        // Answered from memory, or turned away: etcd had no part in it.
        let cached = self
            .list
            .is_some_and(|list| matches!(list.source, ListSource::Cache | ListSource::NotOlder));
        let turned_away = matches!(self.code, Some(401 | 403 | 429));
        // Reads of one object are many and cheap; they are in the other tables.
        if cached || turned_away || class == Class::Read {
            return None;
        }
        let cell = Cell {
            requests: 1,
            ns: self.took_ns.unwrap_or(0),
            unlimited: u64::from(self.unlimited()),
        };
        Some((from, to, cell))
    }

    fn share(&self, row: u32) -> AuditShare {
        let ended = line_kind(self.stage) == LineKind::Stats;
        let at = self.received.or(self.stage_time);
        AuditShare {
            row,
            watch: self.watch,
            begun: !ended,
            ended,
            code: self.code(),
            took_ns: self.took_ns,
            etcd_ns: self.etcd_ns,
            queue_ns: self.queue_ns,
            unlimited: self.unlimited(),
            rv_unset: self
                .list
                .is_some_and(|list| list.source == ListSource::Unset),
            from_etcd: self
                .list
                .is_some_and(|list| list.source == ListSource::Exact),
            first: at,
            last: at,
        }
    }
}

fn place_hash(asked: Asked) -> u64 {
    let verb = asked.verb as u32;
    [asked.user, asked.agent, asked.resource, verb]
        .into_iter()
        .fold(0, |hash: u64, word| {
            (hash.rotate_left(5) ^ u64::from(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        })
}

/// Which line of a request a record is.
fn line_kind(stage: Stage) -> LineKind {
    match stage {
        Stage::RequestReceived => LineKind::Apply,
        Stage::ResponseStarted => LineKind::Trace,
        Stage::ResponseComplete | Stage::Panic | Stage::Unknown => LineKind::Stats,
    }
}

/// The hash of user agent and user.
fn client_hash(record: &AuditRecord<'_>) -> u64 {
    let agent = record.user_agent.as_deref().unwrap_or("");
    let user = record.user.as_deref().unwrap_or("");
    stable_hash(stable_hash(1, agent.as_bytes()), user.as_bytes())
}

impl Audit {
    /// Adds a line, if it is an audit record; gives back how long the request took.
    pub fn add_line(&mut self, line: &[u8]) -> Option<u64> {
        if let Some(record) = self.recent.known.read(line) {
            return self.add_known(&record);
        }
        let record = audit::parse(line)?;
        self.add(&record);
        record.latency_ns()
    }

    /// Adds a record.
    pub fn add(&mut self, record: &AuditRecord<'_>) {
        let request = Request::of(record);
        let client = client_hash(record);
        let row = self.row(record, client);
        if request.answered() {
            self.pace(record, client);
            if let Some((from, to, cell)) = request.seconds() {
                let name = |key: &mut String| second_name(key, record);
                self.tables
                    .seconds
                    .add_span(from.0, to.0, u64::from(row), &cell, &name);
            }
        }
        self.join(record.audit_id.as_bytes(), &request, row);
    }

    /// Adds a record of which the texts are known.
    fn add_known(&mut self, record: &KnownRecord<'_>) -> Option<u64> {
        let request = Request::of_known(record);
        let at = self.place(record);
        let row = self.recent.places.get(at).map_or(NONE, |place| place.row);
        if request.answered() {
            if let Some((from, to, cell)) = request.seconds()
                && let Some(place) = self.recent.places.get(at)
            {
                let name = |key: &mut String| key.push_str(&place.second);
                self.tables
                    .seconds
                    .add_span(from.0, to.0, u64::from(row), &cell, &name);
            }
            self.pace_known(at, record);
        }
        self.join(record.audit_id, &request, row);
        request.took_ns
    }

    /// Where the rows of what was asked are remembered.
    fn place(&mut self, record: &KnownRecord<'_>) -> usize {
        let asked = record.asked;
        let hash = place_hash(asked);
        let places = &self.recent.places;
        let is = |at: &u32| {
            places
                .get(*at as usize)
                .is_some_and(|place| place.asked == asked)
        };
        if let Some(at) = self.recent.place_index.find(hash, is) {
            return *at as usize;
        }
        if places.len() >= PLACES {
            self.recent.places.clear();
            self.recent.place_index.clear();
        }
        let at = self.recent.places.len();
        let texts = self.recent.known.texts(record);
        let (tables, key) = (&mut self.tables, &mut self.key);
        write_key(
            key,
            &[texts.agent, texts.user, asked.verb.word(), texts.resource],
        );
        let row = tables.callers.id(key);
        let class = Class::of_verb(asked.verb.word()).filter(|class| *class != Class::Read);
        let second = class.map_or_else(Box::default, |class| {
            write_key(
                key,
                &[texts.resource, class.word(), texts.agent, texts.user],
            );
            key.as_str().into()
        });
        self.recent.places.push(Place {
            asked,
            row,
            client: NONE,
            shared: NONE,
            second,
        });
        let places = &self.recent.places;
        let hash_of = |at: &u32| {
            places
                .get(*at as usize)
                .map_or(0, |place| place_hash(place.asked))
        };
        let id = u32::try_from(at).unwrap_or(NONE);
        self.recent.place_index.insert_unique(hash, id, hash_of);
        at
    }

    /// As [`Self::pace`], of a record whose texts are known.
    fn pace_known(&mut self, at: usize, record: &KnownRecord<'_>) {
        let Some(time) = record.stage_time.or(record.received) else {
            return;
        };
        let Some(place) = self.recent.places.get_mut(at) else {
            return;
        };
        let code = record.code.unwrap_or(0);
        let (tables, key) = (&mut self.tables, &mut self.key);
        let known = &self.recent.known;
        if place.client == NONE {
            let texts = known.texts(record);
            write_key(key, &[texts.agent, texts.user]);
            place.client = tables.clients.id(key);
        }
        if record.name.is_some() && place.shared == NONE {
            let texts = known.texts(record);
            let verb = record.asked.verb.word();
            write_key(key, &[texts.agent, texts.user, verb, texts.resource, ""]);
            place.shared = tables.objects.shared(key);
        }
        let (client, shared) = (place.client, place.shared);
        if let Some(row) = tables.clients.row_mut(client) {
            row.add_request(time, code);
        }
        if tables.clients.is_over() {
            tables.clients.prune(&[]);
            self.recent.forget_rows();
        }
        let Some(name) = record.name else {
            return;
        };
        let id = tables
            .objects
            .id_in(shared, record.namespace.unwrap_or_default(), name);
        if let Some(row) = tables.objects.row_mut(id) {
            row.add_request(record.received.unwrap_or(time), code);
        }
        self.bound_objects();
    }

    fn bound_objects(&mut self) {
        if self.tables.objects.is_over() {
            if self.tables.objects.prune() {
                self.recent.places.clear();
                self.recent.place_index.clear();
            }
            self.recent.objects = Numbers::default();
        }
    }

    /// Joins the record with the others of its request.
    fn join(&mut self, audit_id: &[u8], request: &Request, row: u32) {
        let kind = line_kind(request.stage);
        let key = stable_hash(0, audit_id);
        let share = request.share(row);
        let tables = &mut self.tables;
        if kind == LineKind::Stats {
            if self
                .joiner
                .add_alone(key, &mut |share: Box<AuditShare>| tables.add(&share))
            {
                tables.add(&share);
            } else {
                self.joiner
                    .add_last(key, Box::new(share), &mut |share: Box<AuditShare>| {
                        tables.add(&share)
                    });
            }
            return;
        }
        let item = Item {
            kind,
            key: Some(key),
            txn: false,
            writer: 0,
            time_us: None,
            took_us: 0,
        };
        self.joiner
            .add(item, Box::new(share), &mut |share: Box<AuditShare>| {
                tables.add(&share)
            });
    }

    /// How steadily the client asks, and asks for this object. `client` is its hash.
    fn pace(&mut self, record: &AuditRecord<'_>, client: u64) {
        let Some(at) = record.stage_time.or(record.received) else {
            return;
        };
        let code = record.code.unwrap_or(0);
        let agent = record.user_agent.as_deref().unwrap_or("");
        let user = record.user.as_deref().unwrap_or("");
        let (tables, key) = (&mut self.tables, &mut self.key);
        let id = self.recent.clients.get(client, || {
            write_key(key, &[agent, user]);
            tables.clients.id(key)
        });
        if let Some(row) = tables.clients.row_mut(id) {
            row.add_request(at, code);
        }
        if tables.clients.is_over() {
            tables.clients.prune(&[]);
            self.recent.forget_rows();
        }
        let Some(name) = record.parts.name.as_deref() else {
            return;
        };
        let [resource, _, group] = resource_parts(&record.parts);
        let namespace = record.parts.namespace.as_deref().unwrap_or("");
        let hash = [record.verb.as_ref(), resource, group, namespace, name]
            .iter()
            .fold(client, |hash, part| stable_hash(hash, part.as_bytes()));
        let id = self.recent.objects.get(hash, || {
            object_key(key, record);
            tables.objects.id(key)
        });
        let received = record.received.unwrap_or(at);
        if let Some(row) = tables.objects.row_mut(id) {
            row.add_request(received, code);
        }
        self.bound_objects();
    }

    /// The caller's row. `client` is the hash of user agent and user.
    fn row(&mut self, record: &AuditRecord<'_>, client: u64) -> u32 {
        let verb = record.verb.as_ref();
        let [resource, dot, group] = resource_parts(&record.parts);
        // Not a resource: the path's first two parts say enough, and are few.
        let path = if resource.is_empty() && dot.is_empty() {
            let path = record.uri.split('?').next().unwrap_or_default();
            let cut = path
                .match_indices('/')
                .nth(3)
                .map_or(path.len(), |(at, _)| at);
            path.get(..cut).unwrap_or_default()
        } else {
            resource
        };
        let hash = [verb, path, group]
            .iter()
            .fold(client, |hash, part| stable_hash(hash, part.as_bytes()));
        let (tables, key) = (&mut self.tables, &mut self.key);
        self.recent.callers.get(hash, || {
            let agent = record.user_agent.as_deref().unwrap_or("");
            let user = record.user.as_deref().unwrap_or("");
            write_key(key, &[agent, user, verb, path]);
            key.push_str(dot);
            key.push_str(group);
            tables.callers.id(key)
        })
    }

    /// Adds the piece that came right after this one.
    pub fn absorb(&mut self, mut later: Audit) {
        let (mine, theirs) = (&mut self.tables, later.tables);
        let map = mine.callers.take(theirs.callers);
        mine.total.add(&theirs.total);
        mine.clients.take(theirs.clients);
        mine.objects.merge(&theirs.objects);
        mine.seconds.take(theirs.seconds);
        if mine.clients.is_over() {
            mine.clients.prune(&[]);
        }
        if mine.objects.is_over() {
            mine.objects.prune();
        }
        self.recent.forget_rows();
        for share in later.joiner.open_mut() {
            share.row = map.get(share.row as usize).copied().unwrap_or(NONE);
        }
        let tables = &mut self.tables;
        self.joiner
            .absorb(later.joiner, &mut |share: Box<AuditShare>| {
                tables.add(&share)
            });
        if self.tables.callers.is_over() {
            // Rows get new numbers.
            self.tables.seconds.forget();
            let keep: Vec<u32> = self.joiner.open_mut().map(|share| share.row).collect();
            let map = self.tables.callers.prune(&keep);
            for share in self.joiner.open_mut() {
                share.row = map
                    .get(share.row as usize)
                    .copied()
                    .flatten()
                    .unwrap_or(NONE);
            }
        }
    }

    /// Rebuilds what is not saved.
    pub fn restore(&mut self) {
        self.joiner.restore();
        self.tables.callers.restore();
        self.tables.clients.restore();
        self.tables.seconds.restore();
    }

    /// Whether the callers have outgrown their bound.
    pub fn is_over(&self) -> bool {
        self.tables.callers.is_over()
    }

    /// Whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.joiner.total() == 0
    }

    /// Records added.
    pub fn records(&self) -> u64 {
        self.joiner.total()
    }

    /// What it all comes to when nothing follows.
    pub fn view(&self) -> AuditTables {
        let mine = &self.tables;
        let mut tables = AuditTables {
            callers: mine.callers.clone(),
            total: mine.total.clone(),
            clients: mine.clients.clone(),
            objects: mine.objects.table(),
            seconds: mine.seconds.clone(),
        };
        self.joiner
            .clone()
            .finish(&mut |share: Box<AuditShare>| tables.add(&share));
        tables
    }
}
