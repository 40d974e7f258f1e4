//! From a record to its signature, without ever walking the catalogue.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind, packed};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::logs::record::{Encoding, Fields, Level, Record};

use super::FAMILIES;
use super::ending;
use super::template::{Captures, Template};
use super::types::{Extractor, How, Role, Signature};

/// What was found: the signature, and what its template captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) signature: &'static Signature,
    pub(super) captures: Captures<'a>,
}

impl Found<'_> {
    fn plain(signature: &'static Signature) -> Self {
        Found {
            signature,
            captures: Captures::default(),
        }
    }
}

type ByText = HashMap<&'static [u8], &'static Signature, FixedState>;

struct Entry {
    signature: &'static Signature,
    template: Template,
}

struct Tables {
    msg: ByText,
    /// Those of `msg` that [`plain`] finds.
    plain: ByText,
    client: ByText,
    klog: ByText,
    /// Templates by their first four bytes.
    text: HashMap<[u8; 4], Vec<Entry>, FixedState>,
    /// Templates that begin with a member's id.
    after_id: Vec<Entry>,
    find: Vec<(Entry, bool)>,
    /// First bytes of the messages that are recognised only by their beginning.
    anchored: Vec<[u8; 4]>,
    /// The other literals of free text, sought many bytes at a time. `None` where the processor
    /// cannot.
    quick: Option<packed::Searcher>,
}

/// Tells which literal it is. Made when it is first needed: most logs hold none.
static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasickBuilder::new()
        .match_kind(MatchKind::LeftmostFirst)
        .kind(Some(AhoCorasickKind::DFA))
        .build(TABLES.find.iter().map(|(entry, _)| entry.template.head))
        .ok()
});

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables {
        msg: ByText::default(),
        plain: ByText::default(),
        client: ByText::default(),
        klog: ByText::default(),
        text: HashMap::default(),
        after_id: Vec::new(),
        find: Vec::new(),
        anchored: Vec::new(),
        quick: None,
    };
    for signature in FAMILIES.iter().copied().flatten() {
        for form in signature.forms {
            let entry = |text| Entry {
                signature,
                template: Template::new(text),
            };
            match form.how {
                How::Msg(text) => {
                    tables.msg.insert(text.as_bytes(), signature);
                    if is_plain(signature) {
                        tables.plain.insert(text.as_bytes(), signature);
                    }
                }
                How::Client(text) => {
                    tables.client.insert(text.as_bytes(), signature);
                }
                How::Klog(text) => {
                    tables.klog.insert(text.as_bytes(), signature);
                }
                How::Text(text) => {
                    let entry = entry(text);
                    match entry.template.head.as_bytes().first_chunk::<4>() {
                        Some(head) => tables.text.entry(*head).or_default().push(entry),
                        None => tables.after_id.push(entry),
                    }
                }
                How::Find(text) => {
                    let anchored = text.strip_prefix('^');
                    tables
                        .find
                        .push((entry(anchored.unwrap_or(text)), anchored.is_some()));
                }
                How::Code => {}
            }
        }
    }
    let mut anywhere: Vec<&[u8]> = Vec::new();
    for (entry, anchored) in &tables.find {
        let head = entry.template.head.as_bytes();
        match head.first_chunk::<4>() {
            Some(head) if *anchored => tables.anchored.push(*head),
            _ => add_literal(&mut anywhere, head),
        }
    }
    tables.quick = packed::Searcher::new(anywhere);
    tables
});

/// Adds a literal to a list of texts of which at least one stands wherever a literal does. The
/// fewer they are, the faster they are sought: those that begin alike become one.
fn add_literal(list: &mut Vec<&'static [u8]>, head: &'static [u8]) {
    /// A shorter beginning would be met too often.
    const ALIKE: usize = 8;
    let holds = |text: &[u8], part: &[u8]| memchr::memmem::find(text, part).is_some();
    if list.iter().any(|known| holds(head, known)) {
        return;
    }
    list.retain(|known| !holds(known, head));
    for known in list.iter_mut() {
        let alike = known.iter().zip(head).take_while(|(a, b)| a == b).count();
        if alike >= ALIKE {
            *known = known.get(..alike).unwrap_or_default();
            return;
        }
    }
    list.push(head);
}

/// The signature of a zap record, if a message of etcd alone names it and all that counting it takes
/// is its duration.
pub(super) fn plain(logger: &[u8], caller: &[u8], msg: &[u8]) -> Option<&'static Signature> {
    if is_client(logger, caller) {
        return None;
    }
    TABLES.plain.get(msg).copied()
}

/// The signature of `"HTTP"`.
pub(super) fn http() -> Option<&'static Signature> {
    let found = TABLES.klog.get(b"HTTP".as_slice()).copied();
    found.filter(|signature| signature.extractor == Extractor::Http)
}

fn is_plain(signature: &Signature) -> bool {
    signature.extractor == Extractor::Fields
        && signature.fields.iter().all(|field| {
            matches!(
                field.role,
                Role::Took | Role::Expected | Role::Error | Role::Client
            ) || field.role.extra().is_some()
        })
}

/// Builds the tables now rather than at the first record.
pub(super) fn warm_up() {
    LazyLock::force(&TABLES);
}

/// Free text is looked through no further than this: a message that is longer is a dump.
pub(super) const FIND_LIMIT: usize = 16 * 1024;

/// Beginnings of client-go's messages that matter, as programs with a logger of their own write
/// them. No message of etcd begins so.
const CLIENT_GO: &[&[u8]] = &[
    b"Throttling request took ",
    b"Waited ",
    b"failed to renew lease ",
    b"failed to tryAcquireOrRenew ",
    b"leader election lost",
    b"leaderelection lost",
];

/// The signature of a record, if the catalogue has one. A line that ends its program always has.
pub(super) fn find<'a>(record: &'a Record<'_>) -> Option<Found<'a>> {
    let found = usual(record);
    if let Some(known) = &found
        && let Some(id) = turned_away(known.signature, record)
            .or_else(|| passed_on(known.signature, record))
            .or_else(|| expired(known.signature, record))
    {
        return super::signature(id).map(Found::plain);
    }
    if !ending::may_tell(record) {
        return found;
    }
    let kind = match &found {
        Some(known) if known.signature.id == "panic" && record.level >= Level::Error => {
            ending::dump(record)
        }
        Some(_) => None,
        None => ending::unknown(record),
    };
    match (kind.and_then(super::signature), found) {
        (Some(signature), found) => Some(Found {
            signature,
            captures: found.map(|found| found.captures).unwrap_or_default(),
        }),
        (None, found) => found,
    }
}

/// A message of another kind that tells of an answer 429: its own kind.
fn turned_away(signature: &Signature, record: &Record<'_>) -> Option<&'static str> {
    let fields = raw_fields(record);
    if signature.extractor == Extractor::Http {
        let told = is_429(fields) || fields.is_empty() && is_429(&record.msg);
        return told.then_some("http-too-many-requests");
    }
    let by_reflector = signature.id.starts_with("reflector-");
    let told = |text: &[u8]| {
        [
            &b"the server has received too many requests"[..],
            b"Too many requests, please try again later",
        ]
        .iter()
        .any(|part| memchr::memmem::find(text, part).is_some())
    };
    (by_reflector && (told(&record.msg) || told(fields))).then_some("api-too-many-requests")
}

/// Errors of etcd and of the apiserver that a watch cache passes on: they say more than that a list
/// or a watch failed.
const PASSED_ON: &[(&[u8], &str)] = &[
    (b"etcdserver: request timed out", "etcd-error-timeout"),
    (b"etcdserver: leader changed", "etcd-error-leader-changed"),
    (b"etcdserver: no leader", "etcd-error-no-leader"),
    (
        b"etcdserver: too many requests",
        "etcd-error-too-many-requests",
    ),
    (
        b"etcdserver: mvcc: database space exceeded",
        "etcd-error-no-space",
    ),
    (
        b"request did not complete within requested timeout",
        "api-timeout",
    ),
    (
        b"the server was unable to return a response in the time allotted",
        "api-timeout",
    ),
    (
        b"trying to send message larger than max",
        "etcd-error-too-large",
    ),
    (b"received message larger than max", "etcd-error-too-large"),
    (b"rpc error: code = DeadlineExceeded", "etcd-deadline"),
    (b"rpc error: code = Unavailable", "etcd-unavailable"),
];

/// The kind of the error that a reflector's line passes on.
fn passed_on(signature: &Signature, record: &Record<'_>) -> Option<&'static str> {
    if !matches!(
        signature.id,
        "reflector-list-failed" | "reflector-watch-failed"
    ) {
        return None;
    }
    let texts =
        [&record.msg, raw_fields(record)].map(|text| text.get(..FIND_LIMIT).unwrap_or(text));
    PASSED_ON.iter().find_map(|(error, id)| {
        let told = texts
            .iter()
            .any(|text| memchr::memmem::find(text, error).is_some());
        told.then_some(*id)
    })
}

/// A client certificate that is not valid at this time.
fn expired(signature: &Signature, record: &Record<'_>) -> Option<&'static str> {
    let told = |text: &[u8]| memchr::memmem::find(text, b"x509: certificate has expired").is_some();
    let expired = signature.id == "apiserver-unauthenticated"
        && [&record.msg, raw_fields(record)].into_iter().any(told);
    expired.then_some("apiserver-client-expired")
}

/// Whether a line of the HTTP log has the status 429, in any of its forms: `resp=429`,
/// `"resp":429`, `: (2.3ms) 429 [`.
pub(super) fn is_429(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"429").any(|at| {
        let (before, after) = text.split_at(at);
        match after.get(3) {
            None | Some(b' ' | b',' | b'}' | b'\n') => [&b" resp="[..], b"\"resp\":", b") "]
                .iter()
                .any(|begin| before.ends_with(begin)),
            _ => false,
        }
    })
}

/// As [`find`], by what a record says and not by how bad it says it is.
fn usual<'a>(record: &'a Record<'_>) -> Option<Found<'a>> {
    let msg: &[u8] = &record.msg;
    match record.encoding {
        Encoding::ZapJson | Encoding::ZapConsole => {
            if is_client(record.logger, record.caller) {
                return TABLES
                    .client
                    .get(msg)
                    .map(|signature| Found::plain(signature));
            }
            let found = TABLES
                .msg
                .get(msg)
                .map(|signature| Found::plain(signature))
                .or_else(|| text(msg));
            match found {
                None if record.level >= Level::Error => free_text(msg, raw_fields(record)),
                // controller-runtime hands client-go's messages to zap.
                None if is_client_go(msg) => {
                    client_go(msg).or_else(|| free_text(msg, raw_fields(record)))
                }
                found => found,
            }
        }
        Encoding::Capnslog if ending::may_tell(record) => text(msg).or_else(|| free_text(msg, b"")),
        Encoding::Capnslog | Encoding::RaftText => text(msg),
        Encoding::Bare => {
            let stamped = record.outer.time.and_then(|_| message(msg));
            stamped
                .or_else(|| text(without_package(msg)))
                .or_else(|| free_text(msg, b""))
        }
        Encoding::GrpcText => text(msg).or_else(|| free_text(msg, b"")),
        // A program that has etcd inside it may hand on its messages with their fields.
        Encoding::Logrus => text(msg)
            .or_else(|| {
                let found = TABLES.msg.get(msg)?;
                (!is_client(record.logger, record.caller)).then(|| Found::plain(found))
            })
            .or_else(|| client_go(msg))
            .or_else(|| match record.level >= Level::Error {
                true => free_text(msg, raw_fields(record)),
                false => free_text(msg, b""),
            }),
        Encoding::Klog | Encoding::KlogJson => {
            let fields = raw_fields(record);
            match TABLES.klog.get(msg) {
                // From 1.35 on the wording of leader election and of node leases is the same.
                Some(_) if is_election(record) && msg == b"Failed to update lease" => {
                    super::signature("leaderelection-lock-error").map(Found::plain)
                }
                Some(_) if msg == b"Failed to update lease" && is_conflict(fields) => {
                    super::signature("lease-update-conflict").map(Found::plain)
                }
                // From 1.33 on a list that failed is told so, too.
                Some(signature) if signature.id == "reflector-watch-failed" => {
                    let found = free_text(b"", fields);
                    found
                        .filter(|found| found.signature.id == "reflector-list-failed")
                        .or(Some(Found::plain(signature)))
                }
                // A general message whose error names the cause.
                Some(signature) if signature.extractor == super::Extractor::Around => {
                    free_text(b"", fields).or(Some(Found::plain(signature)))
                }
                Some(signature) => Some(Found::plain(signature)),
                None => free_text(msg, fields),
            }
        }
        Encoding::KlogTrace => {
            // Newer servers trace a webhook's call inside the request that waits for it.
            let id = match super::api_trace::is_webhook_step(msg) {
                true => "apiserver-webhook-trace",
                false => "apiserver-trace-step",
            };
            super::signature(id).map(Found::plain)
        }
        Encoding::Audit => super::signature("audit-request").map(Found::plain),
    }
}

/// A message of etcd's without the package before it, where time and level before that were cut off.
fn without_package(msg: &[u8]) -> &[u8] {
    let packages: &[&[u8]] = match msg.first() {
        Some(b'e') => &[b"etcdserver: ", b"etcdmain: ", b"embed: "],
        Some(b'r') => &[b"rafthttp: ", b"raft: "],
        Some(b'm') => &[b"mvcc: ", b"mvcc/backend: "],
        Some(b'w') => &[b"wal: "],
        _ => &[],
    };
    packages
        .iter()
        .find_map(|package| msg.strip_prefix(*package))
        .unwrap_or(msg)
}

/// One of zap's messages, of which an export left nothing else but the time. Short ones are anybody's,
/// but for one that names a system call.
pub(super) fn message(msg: &[u8]) -> Option<Found<'_>> {
    /// `slow fdatasync`; the longest has some hundred bytes.
    const LENGTHS: std::ops::RangeInclusive<usize> = 14..=160;
    /// `apply request took too long`.
    const WORDS: usize = 5;
    if !LENGTHS.contains(&msg.len()) || !msg.first().is_some_and(u8::is_ascii_lowercase) {
        return None;
    }
    let spaces = msg.iter().filter(|b| **b == b' ').count();
    if spaces + 1 < WORDS && msg != b"slow fdatasync" {
        return None;
    }
    TABLES.msg.get(msg).map(|signature| Found::plain(signature))
}

fn is_client_go(msg: &[u8]) -> bool {
    CLIENT_GO.iter().any(|begin| msg.starts_with(begin))
}

/// A whole message of client-go's in a program with a logger of its own.
fn client_go(msg: &[u8]) -> Option<Found<'_>> {
    let signature = is_client_go(msg).then(|| TABLES.klog.get(msg)).flatten()?;
    Some(Found::plain(signature))
}

/// Whether an object was changed by somebody else in between.
fn is_conflict(fields: &[u8]) -> bool {
    memchr::memmem::find(fields, b"the object has been modified").is_some()
}

fn is_election(record: &Record<'_>) -> bool {
    // KlogJson callers have a folder before the file.
    memchr::memmem::find(record.caller, b"leaderelection.go").is_some()
}

pub(super) fn raw_fields<'a>(record: &Record<'a>) -> &'a [u8] {
    match record.fields {
        Fields::None => b"",
        Fields::Json(text) | Fields::Klog(text) => text,
    }
}

/// Lines of an etcd client inside another program look like a server's, but for their logger.
/// `v3@` in `caller` proves nothing: the server's raft module has it too.
pub(super) fn is_client(logger: &[u8], caller: &[u8]) -> bool {
    match logger {
        b"" => caller.starts_with(b"clientv3/"),
        logger => matches!(logger, b"client" | b"etcd-client"),
    }
}

fn text(msg: &[u8]) -> Option<Found<'_>> {
    let head = msg.first_chunk::<4>()?;
    let from = |entries: &'static [Entry]| {
        entries.iter().find_map(|entry| {
            Some(Found {
                signature: entry.signature,
                captures: entry.template.matches(msg)?,
            })
        })
    };
    if let Some(entries) = TABLES.text.get(head)
        && let Some(found) = from(entries)
    {
        return Some(found);
    }
    let id = msg
        .iter()
        .take(17)
        .take_while(|b| b.is_ascii_hexdigit())
        .count();
    if (1..=16).contains(&id) && matches!(msg.get(id), Some(b' ' | b'\'')) {
        let after = msg.get(id..)?;
        return TABLES
            .after_id
            .iter()
            .filter(|entry| after.starts_with(entry.template.second().as_bytes()))
            .find_map(|entry| {
                Some(Found {
                    signature: entry.signature,
                    captures: entry.template.matches(msg)?,
                })
            });
    }
    None
}

/// The first of the texts at the beginning of a message that is there.
fn begun(msg: &[u8]) -> Option<Found<'_>> {
    let text = msg.get(..FIND_LIMIT).unwrap_or(msg);
    TABLES
        .find
        .iter()
        .filter(|(_, anchored)| *anchored)
        .find_map(|(entry, _)| {
            Some(Found {
                signature: entry.signature,
                captures: entry.template.matches(text)?,
            })
        })
}

/// Looks for the first-ranked literal that stands in the message or its fields.
fn free_text<'a>(msg: &'a [u8], fields: &'a [u8]) -> Option<Found<'a>> {
    let tables = &*TABLES;
    let begins = || {
        msg.first_chunk::<4>()
            .is_some_and(|head| tables.anchored.contains(head))
    };
    if let Some(quick) = &tables.quick
        && ![msg, fields]
            .into_iter()
            .any(|text| quick.find(text.get(..FIND_LIMIT).unwrap_or(text)).is_some())
    {
        // What may stand anywhere is not there; what begins a message is soon compared.
        return begins().then(|| begun(msg)).flatten();
    }
    let automaton = AUTOMATON.as_ref()?;
    let mut best: Option<(usize, Found<'a>)> = None;
    for (text, is_msg) in [(msg, true), (fields, false)] {
        let text = text.get(..FIND_LIMIT).unwrap_or(text);
        for hit in automaton.find_iter(text) {
            let at = text.get(hit.start()..).unwrap_or_default();
            let first = hit.pattern().as_usize();
            // Templates may share their beginning: the automaton names the first of them only.
            for (rank, (entry, anchored)) in TABLES.find.iter().enumerate().skip(first) {
                if best.as_ref().is_some_and(|(known, _)| *known <= rank) {
                    break;
                }
                if *anchored && !(is_msg && hit.start() == 0) {
                    continue;
                }
                if let Some(captures) = entry.template.matches(at) {
                    let found = Found {
                        signature: entry.signature,
                        captures,
                    };
                    best = Some((rank, found));
                    break;
                }
            }
        }
    }
    best.map(|(_, found)| found)
}
