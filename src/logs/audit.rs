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
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"6f26","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/default/deployments?limit=500\u0026resourceVersion=0","verb":"list","user":{"username":"admin","groups":["system:masters"],"extra":{"k":["v"]}},"impersonatedUser":{"username":"bob"},"sourceIPs":["192.168.13.138","10.0.0.1"],"userAgent":"kubectl/v1.23.5 (linux/amd64) kubernetes/c285e78","objectRef":{"resource":"deployments","namespace":"default","apiGroup":"apps","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2022-05-15T17:50:20.617783Z","stageTimestamp":"2022-05-15T17:50:20.620154Z","annotations":{"apiserver.latency.k8s.io/etcd":"1.5ms","authorization.k8s.io/decision":"allow"}}"#;

    #[test]
    fn a_whole_record() {
        let audit = parse(LINE.as_bytes()).unwrap();
        assert_eq!(audit.audit_id, "6f26");
        assert_eq!(audit.stage, Stage::ResponseComplete);
        assert_eq!(audit.parts.resource_group(), "deployments.apps");
        assert_eq!(audit.parts.namespace.as_deref(), Some("default"));
        assert_eq!(audit.user.as_deref(), Some("admin"));
        assert_eq!(audit.impersonated.as_deref(), Some("bob"));
        assert_eq!(audit.source_ip.as_deref(), Some("192.168.13.138"));
        assert_eq!(audit.code, Some(200));
        assert_eq!(audit.latency_ns(), Some(2_371_000));
        assert_eq!(audit.etcd_ns, Some(1_500_000));
        assert_eq!(
            audit.list,
            Some(List {
                source: ListSource::Cache,
                limit: Some(500),
                continued: false,
                selected: false
            })
        );
        assert_eq!(
            audit.received.unwrap().to_string(),
            "2022-05-15T17:50:20.617783Z"
        );
    }

    /// What a record of known texts says, as a line read in full does.
    fn as_whole<'a>(known: &'a Known, record: &'a KnownRecord<'_>) -> AuditRecord<'a> {
        let text = |bytes: &'a [u8]| Cow::Borrowed(std::str::from_utf8(bytes).unwrap());
        AuditRecord {
            audit_id: text(record.audit_id),
            stage: record.stage,
            verb: Cow::Borrowed(record.asked.verb.word()),
            code: record.code,
            received: record.received,
            stage_time: record.stage_time,
            list: record.list,
            parts: KeyParts {
                namespace: record.namespace.map(text),
                name: record.name.map(text),
                ..KeyParts::default()
            },
            user: Some(Cow::Borrowed(known.texts(record).user)),
            user_agent: Some(Cow::Borrowed(known.texts(record).agent)),
            subresource: Some(Cow::Borrowed(known.texts(record).resource)),
            ..AuditRecord::default()
        }
    }

    /// The same of a line read in full.
    fn only_known(record: AuditRecord<'_>) -> AuditRecord<'_> {
        AuditRecord {
            user: Some(record.user.unwrap_or_default()),
            user_agent: Some(record.user_agent.unwrap_or_default()),
            subresource: Some(Cow::Owned(record.parts.resource_group().into_owned())),
            parts: KeyParts {
                namespace: record.parts.namespace.clone(),
                name: record.parts.name.clone(),
                ..KeyParts::default()
            },
            uri: Cow::default(),
            impersonated: None,
            source_ip: None,
            ..record
        }
    }

    fn with_body(line: &str) -> String {
        line.replace(
            r#""requestReceivedTimestamp""#,
            r#""requestObject":{"a":["}",{"verb":"x"}]},"requestReceivedTimestamp""#,
        )
    }

    #[test]
    fn a_line_like_those_before_it_is_known() {
        let line = LINE.replace("\"apiserver.latency.k8s.io/etcd\":\"1.5ms\",", "");
        let mut known = Known::default();
        for line in [&line, &with_body(&line), &line, &with_body(&line)] {
            let record = known.read(line.as_bytes()).unwrap();
            let whole = parse(line.as_bytes()).unwrap();
            assert_eq!(as_whole(&known, &record), only_known(whole));
        }
        // What says how long its parts took is read in full.
        assert_eq!(known.read(LINE.as_bytes()), None);
        // Another user, program, resource, query and end, one at a time.
        for (from, to) in [
            (r#""admin""#, r#""adm\u0069n""#),
            (r#""admin","groups""#, r#""other","groups""#),
            (r#"{"username":"admin","#, "{"),
            ("kubectl/v1.23.5", "kubectl/v1.24.0"),
            (
                r#""userAgent":"kubectl/v1.23.5 (linux/amd64) kubernetes/c285e78","#,
                "",
            ),
            (r#""resource":"deployments""#, r#""resource":"nodes""#),
            (r#""apiGroup":"apps""#, r#""apiGroup":"example.com""#),
            ("resourceVersion=0", "resourceVersion=7"),
            ("limit=500", "continue=abc"),
            ("/apis/apps", "https://host/apis/apps"),
            (r#""allow""#, r#""forbid""#),
            (
                r#","annotations":{"authorization.k8s.io/decision":"allow"}"#,
                "",
            ),
            (":200", r#":404,"reason":"NotFound""#),
            ("ResponseComplete", "RequestReceived"),
        ] {
            for line in [
                line.replacen(from, to, 1),
                with_body(&line).replacen(from, to, 1),
            ] {
                assert!(line.contains(to));
                let record = known.read(line.as_bytes()).expect(to);
                let whole = parse(line.as_bytes()).unwrap();
                assert_eq!(as_whole(&known, &record), only_known(whole), "{to}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn known_or_read_in_full_is_the_same(
            cut in 0usize..760,
            len in 0usize..12,
            put in "[\"\\\\{},a:\\[\\]é0Z\u{1}]{0,3}",
            body: bool,
            other: bool,
        ) {
            let mut line = LINE.replace("\"apiserver.latency.k8s.io/etcd\":\"1.5ms\",", "");
            if other {
                line = line.replace(r#""namespace":"default""#, r#""namespace":"default","name":"n""#);
            }
            let line = if body { with_body(&line) } else { line };
            let mut known = Known::default();
            proptest::prop_assert!(known.read(line.as_bytes()).is_some());
            let mut line = line.into_bytes();
            let cut = cut.min(line.len());
            let end = (cut + len).min(line.len());
            line.splice(cut..end, put.bytes());
            // Once as it comes, once when all its texts were met.
            for _ in 0..2 {
                if let Some(record) = known.read(&line) {
                    let whole = parse(&line).map(only_known);
                    proptest::prop_assert_eq!(Some(as_whole(&known, &record)), whole);
                }
            }
        }

        #[test]
        fn the_time_of_a_line_is_the_same_by_a_known_end(
            cut in 0usize..400,
            len in 0usize..12,
            put in "[\"\\\\{},a:é0Z]{0,3}",
        ) {
            use crate::logs::format::object::{audit, usual_audit};
            use crate::logs::timestamp::TimeCache;

            let mut tails = Tails::default();
            let first = LINE.replace("\"apiserver.latency.k8s.io/etcd\":\"1.5ms\",", "");
            usual_audit(first.as_bytes(), &mut TimeCache::default(), &mut tails);
            proptest::prop_assert!(tails.stage_time(first.as_bytes()).is_some());
            let mut line = first.into_bytes();
            let cut = line.len().saturating_sub(cut);
            let end = (cut + len).min(line.len());
            line.splice(cut..end, put.bytes());
            let usual = usual_audit(&line, &mut TimeCache::default(), &mut tails);
            let whole = audit(&line, &mut TimeCache::default());
            proptest::prop_assert_eq!((usual.time, usual.time_source), (whole.time, whole.time_source));
        }

        #[test]
        fn by_position_or_in_any_order_is_the_same(
            cut in 0usize..700,
            len in 0usize..12,
            put in "[\"\\\\{},a:\\[\\]é]{0,3}",
            body: bool,
        ) {
            let usual_line = LINE.replace(r#""impersonatedUser":{"username":"bob"},"#, "");
            let mut line = match body {
                true => usual_line.replace(
                    r#""requestReceivedTimestamp""#,
                    r#""requestObject":{"a":["}",{"verb":"x"}]},"requestReceivedTimestamp""#,
                ),
                false => usual_line,
            }
            .into_bytes();
            proptest::prop_assert!(usual(&line).is_some());
            let cut = cut.min(line.len());
            let end = (cut + len).min(line.len());
            line.splice(cut..end, put.bytes());
            if let Some(record) = usual(&line) {
                proptest::prop_assert_eq!(Some(record), any_order(&line));
            }
        }
    }

    #[test]
    fn bodies_are_not_read_and_other_orders_are() {
        let body = r#""requestObject":{"auditID":"wrong","verb":"x","s":"} \" {"},"responseObject":{"stageTimestamp":"1999-01-01T00:00:00.000000Z"},"requestReceivedTimestamp""#;
        let with_body = LINE.replace("\"requestReceivedTimestamp\"", body);
        assert_eq!(parse(with_body.as_bytes()), parse(LINE.as_bytes()));
        let mut value: serde_json::Value = serde_json::from_str(&with_body).unwrap();
        // serde_json sorts the names, so bodies come before verb and user.
        value["annotations"]["z"] = "1".into();
        let sorted = value.to_string();
        let audit = parse(sorted.as_bytes()).unwrap();
        let plain = parse(LINE.as_bytes()).unwrap();
        assert_eq!((audit.verb, audit.code), (plain.verb, plain.code));
        assert_eq!(audit.code, plain.code);
    }

    #[test]
    fn watches_have_no_latency() {
        let watch = LINE.replace("\"verb\":\"list\"", "\"verb\":\"watch\"");
        let audit = parse(watch.as_bytes()).unwrap();
        assert_eq!((audit.latency_ns(), audit.list), (None, None));
    }

    #[test]
    fn torn_lines_give_what_is_there() {
        for cut in 0..LINE.len() {
            let _ = parse(LINE.as_bytes().get(..cut).unwrap());
        }
        let cut = LINE.find("\"objectRef\"").unwrap();
        let audit = parse(LINE.as_bytes().get(..cut).unwrap()).unwrap();
        // The path still names the resource.
        assert_eq!(audit.parts.resource_group(), "deployments.apps");
        assert_eq!(audit.latency_ns(), None);
        assert!(parse(b"{}").is_none());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line: Vec<u8>) {
            let _ = parse(&line);
            let _ = timestamp(&line);
        }
    }
}
