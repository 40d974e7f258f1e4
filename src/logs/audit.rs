//! One line of the apiserver's audit log (audit.k8s.io/v1) to a struct.
//!
//! The apiserver writes the fields in one order: who and what at the head, then request and
//! response bodies of up to megabytes, then the two times and the annotations. So the head is
//! walked forwards, the rest is found from the end, and a body is never read. Lines whose fields
//! come in another order (rewritten by a shipper) are walked as a whole.

mod known;
mod pieces;
mod tails;
mod texts;
mod times;
mod verb;

use std::borrow::Cow;

use crate::catalog::resources::{KeyParts, Scope, builtin_by_name, parse_path};
use crate::clock::Timestamp;
use crate::units::parse_go_duration;

use super::fields::text;
use super::format::json::{nested_end, string_end};
use super::needle::{self, near, near2};
use super::record::{Fields, Value, ValueKind};

pub use known::{Asked, AskedTexts, Known, KnownRecord};
pub use tails::Tails;
pub use verb::Verb;

/// Where in its life the request was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Not known.
    #[default]
    Unknown,
    /// Arrived.
    RequestReceived,
    /// Headers sent, body to come: watches and exec.
    ResponseStarted,
    /// Done.
    ResponseComplete,
    /// The handler panicked.
    Panic,
}

impl Stage {
    /// The word of the log.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Unknown => "unknown",
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

/// Where a LIST was answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListSource {
    /// No resourceVersion: from etcd up to 1.30, from 1.31 on mostly from the watch cache after
    /// asking etcd for its revision.
    Unset,
    /// `resourceVersion=0`: from the watch cache.
    Cache,
    /// `resourceVersionMatch=Exact`, or a later page: from etcd.
    Exact,
    /// At least that revision: from the watch cache.
    NotOlder,
}

impl ListSource {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            ListSource::Unset => "unset",
            ListSource::Cache => "cache",
            ListSource::Exact => "exact",
            ListSource::NotOlder => "not-older",
        }
    }
}

/// What a LIST asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Where it was answered from.
    pub source: ListSource,
    /// `limit=`.
    pub limit: Option<u64>,
    /// It continues an earlier page.
    pub continued: bool,
    /// It has a label or field selector.
    pub selected: bool,
}

/// One audit record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditRecord<'a> {
    /// The request's id: one to three records share it.
    pub audit_id: Cow<'a, str>,
    /// Which of these it is.
    pub stage: Stage,
    /// `get list watch create update patch delete deletecollection`, or an HTTP method in lower
    /// case for paths that are no resource.
    pub verb: Cow<'a, str>,
    /// Path and query.
    pub uri: Cow<'a, str>,
    /// Who asked.
    pub user: Option<Cow<'a, str>>,
    /// As whom.
    pub impersonated: Option<Cow<'a, str>>,
    /// The program.
    pub user_agent: Option<Cow<'a, str>>,
    /// The first address: the client, before proxies.
    pub source_ip: Option<Cow<'a, str>>,
    /// Resource, group, namespace, name.
    pub parts: KeyParts<'a>,
    /// `status`, `binding`, ….
    pub subresource: Option<Cow<'a, str>>,
    /// HTTP status.
    pub code: Option<u16>,
    /// When the request arrived.
    pub received: Option<Timestamp>,
    /// When the stage was reached.
    pub stage_time: Option<Timestamp>,
    /// Time spent in etcd, for requests over 500 ms since 1.24.
    pub etcd_ns: Option<u64>,
    /// Time spent waiting in the queues of priority and fairness.
    pub queue_ns: Option<u64>,
    /// For LISTs, what they asked for.
    pub list: Option<List>,
}

impl AuditRecord<'_> {
    /// How long the request took, where the record is its end. The duration of a watch is its
    /// lifetime, not its latency, and is not given.
    pub fn latency_ns(&self) -> Option<u64> {
        if self.stage != Stage::ResponseComplete || self.verb == "watch" || self.is_connection() {
            return None;
        }
        let us = self.stage_time?.since_us(self.received?);
        u64::try_from(us).ok()?.checked_mul(1_000)
    }
}

impl AuditRecord<'_> {
    /// Whether it is an eviction that was put off: a PodDisruptionBudget lets no pod go, which is answered
    /// 429 whatever the load (kubernetes: pkg/registry/core/pod/storage/eviction.go).
    pub fn is_held_eviction(&self) -> bool {
        self.code == Some(429) && self.subresource.as_deref() == Some("eviction")
    }

    /// Whether it is a connection that stays open for as long as its client likes: a shell, a
    /// tunnel, a followed log.
    pub fn is_connection(&self) -> bool {
        match self.subresource.as_deref() {
            Some("exec" | "attach" | "portforward" | "proxy") => true,
            Some("log") => matches!(parse_path(&self.uri).param("follow"), Some("true" | "1")),
            _ => false,
        }
    }
}

/// Reads a line. `None` when it is no audit event.
pub fn parse(line: &[u8]) -> Option<AuditRecord<'_>> {
    usual(line).or_else(|| any_order(line))
}

/// How much of a line is looked at by position: more than stands before the bodies.
const HEAD: usize = 4096;

/// Reads a line as the apiserver writes it, by position; whatever differs is left to
/// [`any_order`], with the same result.
fn usual(line: &[u8]) -> Option<AuditRecord<'_>> {
    let start = line.get(..HEAD).unwrap_or(line);
    // Checked once for all fields. Where the cut went through a letter, the letters before it do.
    let whole = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(err) => std::str::from_utf8(start.get(..err.valid_up_to())?).ok()?,
    };
    let mut out = AuditRecord::default();
    let rest = whole.strip_prefix(r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":""#)?;
    let (_, rest) = plain(rest)?;
    let (id, rest) = plain(rest.strip_prefix(r#","auditID":""#)?)?;
    out.audit_id = Cow::Borrowed(id);
    let (stage, rest) = plain(rest.strip_prefix(r#","stage":""#)?)?;
    out.stage = stage_of(stage.as_bytes());
    let (uri, rest) = string(rest.strip_prefix(r#","requestURI":""#)?)?;
    out.uri = uri;
    let (verb, rest) = plain(rest.strip_prefix(r#","verb":""#)?)?;
    out.verb = Cow::Borrowed(verb);
    let (user, rest) = nested(rest.strip_prefix(r#","user":"#)?)?;
    out.user = match user.strip_prefix(r#"{"username":""#).and_then(plain) {
        Some((name, after)) if after.starts_with([',', '}']) => Some(Cow::Borrowed(name)),
        _ => inner(user.as_bytes(), "username"),
    };
    let (ip, mut rest) = plain(rest.strip_prefix(r#","sourceIPs":[""#)?)?;
    out.source_ip = Some(Cow::Borrowed(ip));
    while let Some(more) = rest.strip_prefix(",\"") {
        (_, rest) = plain(more)?;
    }
    rest = rest.strip_prefix(']')?;
    if let Some(after) = rest.strip_prefix(r#","userAgent":""#) {
        let (agent, after) = string(after)?;
        out.user_agent = Some(agent);
        rest = after;
    }
    let mut object = false;
    if let Some(after) = rest.strip_prefix(r#","objectRef":"#) {
        object = true;
        rest = usual_object(&mut out, after)?;
    }
    if let Some(after) = rest.strip_prefix(r#","responseStatus":"#) {
        rest = match after
            .strip_prefix(r#"{"metadata":{},"code":"#)
            .and_then(code)
        {
            Some((code, after)) => {
                out.code = Some(code);
                after
            }
            None => {
                let (status, after) = nested(after)?;
                out.code = code_of(status.as_bytes());
                after
            }
        };
    }
    if rest.starts_with(r#","requestObject":"#) || rest.starts_with(r#","responseObject":"#) {
        tail(&mut out, line);
        return completed(out, object);
    }
    if line.len() > whole.len() {
        return None;
    }
    let (received, rest) = plain(rest.strip_prefix(r#","requestReceivedTimestamp":""#)?)?;
    out.received = timestamp(received.as_bytes());
    let (reached, rest) = plain(rest.strip_prefix(r#","stageTimestamp":""#)?)?;
    out.stage_time = timestamp(reached.as_bytes());
    if rest != "}" {
        let notes = rest.strip_prefix(r#","annotations":"#)?.strip_suffix('}')?;
        let end = notes.len().checked_sub(1)?;
        // No other object may close before the annotations do.
        (notes.starts_with('{') && memchr::memchr(b'}', notes.as_bytes()) == Some(end))
            .then_some(())?;
        annotations(&mut out, notes.as_bytes());
    }
    completed(out, object)
}

/// The object, in the order of its fields; gives back what follows it.
fn usual_object<'a>(out: &mut AuditRecord<'a>, raw: &'a str) -> Option<&'a str> {
    let mut parts = KeyParts {
        group: Some(Cow::Borrowed("")),
        ..KeyParts::default()
    };
    let (resource, mut rest) = plain(raw.strip_prefix(r#"{"resource":""#)?)?;
    parts.resource = Cow::Borrowed(resource);
    let mut field = |name: &str| -> Option<Option<Cow<'a, str>>> {
        let Some(after) = rest.strip_prefix(name) else {
            return Some(None);
        };
        let (value, after) = plain(after)?;
        rest = after;
        Some(Some(Cow::Borrowed(value)))
    };
    parts.namespace = field(r#","namespace":""#)?;
    parts.name = field(r#","name":""#)?;
    field(r#","uid":""#)?;
    if let Some(group) = field(r#","apiGroup":""#)? {
        parts.group = Some(group);
    }
    field(r#","apiVersion":""#)?;
    field(r#","resourceVersion":""#)?;
    out.subresource = field(r#","subresource":""#)?;
    let rest = rest.strip_prefix('}')?;
    out.parts = resolved(parts);
    Some(rest)
}

/// A text up to the quote that ends it, which must come before any escape; and what follows.
fn plain(text: &str) -> Option<(&str, &str)> {
    let len = near2(b'"', b'\\', text.as_bytes())?;
    let (value, rest) = text.split_at_checked(len)?;
    Some((value, rest.strip_prefix('"')?))
}

/// A text that may have escapes, and what follows its quote.
fn string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    if let Some((value, rest)) = plain(text)
        && rest.starts_with([',', '}'])
    {
        return Some((Cow::Borrowed(value), rest));
    }
    let end = string_end(text.as_bytes(), 0)?;
    let (raw, rest) = text.split_at_checked(end)?;
    let value = Value {
        raw: raw.as_bytes(),
        kind: ValueKind::String,
    };
    let value = match memchr::memchr(b'\\', raw.as_bytes()) {
        None => Cow::Borrowed(raw),
        Some(_) => value.text_lossy(),
    };
    Some((value, rest.get(1..)?))
}

/// An object or array, and what follows it.
fn nested(text: &str) -> Option<(&str, &str)> {
    text.starts_with(['{', '[']).then_some(())?;
    text.split_at_checked(nested_end(text.as_bytes(), 0).ok()?)
}

/// The number before the end of an object, and what follows that.
fn code(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(near(b'}', text.as_bytes())?)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    Some((digits.parse().ok()?, rest.get(1..)?))
}

/// Reads a line whatever the order of its fields is.
fn any_order(line: &[u8]) -> Option<AuditRecord<'_>> {
    let mut out = AuditRecord::default();
    let mut seen = Seen::default();
    for (name, value) in Fields::Json(line).iter() {
        // The bodies: everything behind them is found from the end.
        if matches!(name, b"requestObject" | b"responseObject") {
            seen.body = true;
            break;
        }
        note(&mut out, &mut seen, name, value);
    }
    if seen.body {
        tail(&mut out, line);
        // Another order: what the head should have held lies behind a body.
        if out.verb.is_empty() || !seen.stage {
            for (name, value) in Fields::Json(line).iter() {
                note(&mut out, &mut seen, name, value);
            }
        }
    }
    completed(out, seen.object)
}

/// What the fields of a record say together.
fn completed(mut out: AuditRecord<'_>, object: bool) -> Option<AuditRecord<'_>> {
    if out.audit_id.is_empty() || out.verb.is_empty() {
        return None;
    }
    if !object {
        from_uri(&mut out);
    }
    if out.verb == "list" {
        out.list = Some(list_of(&out.uri));
    }
    Some(out)
}

#[derive(Default)]
struct Seen {
    body: bool,
    stage: bool,
    object: bool,
}

fn note<'a>(out: &mut AuditRecord<'a>, seen: &mut Seen, name: &[u8], value: Value<'a>) {
    // The beginning of a name is another name. Of an object that was cut off, what is whole counts.
    let torn = value.kind == ValueKind::Torn && !value.raw.starts_with(b"{");
    match name {
        _ if torn => {}
        b"auditID" => out.audit_id = value.text_lossy(),
        b"stage" => {
            seen.stage = true;
            out.stage = stage_of(value.raw);
        }
        b"requestURI" => out.uri = value.text_lossy(),
        b"verb" => out.verb = value.text_lossy(),
        b"user" => out.user = inner(value.raw, "username"),
        b"impersonatedUser" => out.impersonated = inner(value.raw, "username"),
        b"userAgent" => out.user_agent = Some(value.text_lossy()),
        b"sourceIPs" => out.source_ip = first_text(value.raw),
        // Without it the address says what it was.
        b"objectRef" if value.kind != ValueKind::Torn => {
            seen.object = true;
            object_ref(out, value);
        }
        b"responseStatus" => {
            out.code = code_of(value.raw);
        }
        b"requestReceivedTimestamp" => out.received = timestamp(value.raw),
        b"stageTimestamp" => out.stage_time = timestamp(value.raw),
        b"annotations" => annotations(out, value.raw),
        _ => {}
    }
}

/// The two times and the annotations, sought from the end.
fn tail<'a>(out: &mut AuditRecord<'a>, line: &'a [u8]) {
    let Some(at) = needle::RECEIVED_TIME.rfind(line) else {
        return;
    };
    for (name, value) in Fields::Json(line.get(at..).unwrap_or_default()).iter() {
        match name {
            b"requestReceivedTimestamp" => out.received = timestamp(value.raw),
            b"stageTimestamp" => out.stage_time = timestamp(value.raw),
            b"annotations" => annotations(out, value.raw),
            _ => {}
        }
    }
}

fn stage_of(text: &[u8]) -> Stage {
    match text {
        b"RequestReceived" => Stage::RequestReceived,
        b"ResponseStarted" => Stage::ResponseStarted,
        b"ResponseComplete" => Stage::ResponseComplete,
        b"Panic" => Stage::Panic,
        _ => Stage::Unknown,
    }
}

fn code_of(status: &[u8]) -> Option<u16> {
    let code = Fields::Json(status).get("code")?;
    u16::try_from(code.as_u64()?).ok()
}

fn inner<'a>(object: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let value = Fields::Json(object).get(name)?;
    (value.kind != ValueKind::Torn).then(|| value.text_lossy())
}

/// The first text of `["10.0.0.1","10.0.0.2"]`.
fn first_text(array: &[u8]) -> Option<Cow<'_, str>> {
    let open = memchr::memchr(b'"', array)?;
    let body = array.get(open + 1..)?;
    let end = memchr::memchr(b'"', body)?;
    body.get(..end).map(text)
}

fn object_ref<'a>(out: &mut AuditRecord<'a>, value: Value<'a>) {
    let mut parts = KeyParts {
        group: Some(Cow::Borrowed("")),
        ..KeyParts::default()
    };
    for (name, value) in Fields::Json(value.raw).iter() {
        match name {
            b"resource" => parts.resource = value.text_lossy(),
            b"namespace" => parts.namespace = Some(value.text_lossy()),
            b"name" => parts.name = Some(value.text_lossy()),
            b"apiGroup" => parts.group = Some(value.text_lossy()),
            b"subresource" => out.subresource = Some(value.text_lossy()),
            _ => {}
        }
    }
    out.parts = resolved(parts);
}

/// With what the catalogue and the fields together say.
fn resolved(mut parts: KeyParts<'_>) -> KeyParts<'_> {
    parts.builtin = builtin_by_name(&parts.resource, parts.group.as_deref().unwrap_or_default());
    if let Some(builtin) = parts.builtin {
        parts.group = Some(Cow::Borrowed(builtin.group));
    }
    parts.scope = match (&parts.name, &parts.namespace) {
        (Some(_), _) => Scope::Object,
        (None, Some(_)) => Scope::Namespace,
        (None, None) => Scope::Resource,
    };
    // A namespace's own record names it twice.
    if parts.builtin.is_some_and(|builtin| !builtin.namespaced) {
        parts.namespace = None;
    }
    parts
}

fn from_uri(out: &mut AuditRecord<'_>) {
    let path = parse_path(&out.uri);
    let subresource = path.subresource.map(|text| Cow::Owned(text.to_owned()));
    let parts = path.parts.into_owned();
    out.parts = parts;
    out.subresource = subresource;
}

fn list_of(uri: &str) -> List {
    let path = parse_path(uri);
    let version = path.param("resourceVersion").unwrap_or_default();
    let exact = path
        .param("resourceVersionMatch")
        .is_some_and(|how| how == "Exact");
    let continued = path
        .param("continue")
        .is_some_and(|token| !token.is_empty());
    List {
        source: match version {
            _ if exact || continued => ListSource::Exact,
            "" => ListSource::Unset,
            "0" => ListSource::Cache,
            _ => ListSource::NotOlder,
        },
        limit: path
            .param("limit")
            .and_then(|limit| limit.parse().ok())
            .filter(|limit| *limit > 0),
        continued,
        selected: path.param("labelSelector").is_some() || path.param("fieldSelector").is_some(),
    }
}

fn annotations(out: &mut AuditRecord<'_>, raw: &[u8]) {
    // Most records have two annotations of authorization and none of latency.
    if !needle::LATENCY.is_in(raw) {
        return;
    }
    for (name, value) in Fields::Json(raw).iter() {
        let ns = || parse_go_duration(value.raw);
        match name {
            b"apiserver.latency.k8s.io/etcd" => out.etcd_ns = ns(),
            b"apiserver.latency.k8s.io/apf-queue-wait" => out.queue_ns = ns(),
            _ => {}
        }
    }
}

/// `2022-05-15T17:50:20.617783Z`, of any precision, in UTC as the apiserver writes it.
fn timestamp(text: &[u8]) -> Option<Timestamp> {
    let fixed = || {
        let (head, rest) = text.split_first_chunk::<19>()?;
        let us = match rest {
            b"Z" => 0,
            [b'.', a, b, c, d, e, f, b'Z'] => {
                [a, b, c, d, e, f].iter().try_fold(0_i64, |value, byte| {
                    let digit = byte.wrapping_sub(b'0');
                    (digit < 10).then(|| value * 10 + i64::from(digit))
                })?
            }
            _ => return None,
        };
        let mut valid = true;
        let mut two = |at: usize| {
            let digit = |at: usize| head.get(at).map_or(10, |byte| byte.wrapping_sub(b'0'));
            let (tens, ones) = (digit(at), digit(at + 1));
            valid &= tens < 10 && ones < 10;
            i64::from(tens) * 10 + i64::from(ones)
        };
        let year = two(0) * 100 + two(2);
        let (month, day) = (two(5), two(8));
        let (hour, minute, second) = (two(11), two(14), two(17));
        if !valid || !(1..=12).contains(&month) {
            return None;
        }
        // Days since 1970 of a civil date (Howard Hinnant, "chrono-compatible low-level date
        // algorithms").
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted - era * 400;
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Timestamp(seconds * 1_000_000 + us))
    };
    fixed().or_else(|| Timestamp::parse(std::str::from_utf8(text).ok()?))
}

#[cfg(test)]
mod tests;
