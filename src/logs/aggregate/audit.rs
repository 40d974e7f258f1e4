//! Audit records: one per audit id, by user agent, user, verb and resource.
//!
//! A request writes up to three records (RequestReceived, ResponseStarted, ResponseComplete or
//! Panic) with one id. They are joined like the lines of one etcd request. Which of them are
//! written is the policy's choice, so no record is no proof of no request. Watches end long after
//! they began: an end without a begin in sight is counted only where begins are not logged.

mod keys;
mod objects;
mod request;
mod row;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::logs::audit::{self, Asked, AuditRecord, Known, KnownRecord};

pub use keys::SEPARATOR;
use keys::{object_key, resource_parts, second_name, write_key};
use objects::Objects;
use request::{Request, line_kind};
pub use row::{AuditRow, AuditShare, AuditTables};

use super::hash::stable_hash;
use super::join::{Item, Joiner, LineKind};
use super::seconds::{Class, Seconds};
use super::table::{Bounded, RowValue as _};

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

fn place_hash(asked: Asked) -> u64 {
    let verb = asked.verb as u32;
    [asked.user, asked.agent, asked.resource, verb]
        .into_iter()
        .fold(0, |hash: u64, word| {
            (hash.rotate_left(5) ^ u64::from(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        })
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
        // One that was put off is no sign of load.
        let code = match record.is_held_eviction() {
            true => 0,
            false => record.code.unwrap_or(0),
        };
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
