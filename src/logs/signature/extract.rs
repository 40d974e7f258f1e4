//! Reads the declared fields of a signature.

use std::borrow::Cow;

use crate::logs::event::{ApiCall, Event, Extra};
use crate::logs::fields::{text, unescape};
use crate::logs::format::json::plain_field;
use crate::logs::needle::{near, same};
use crate::logs::record::{Fields, Record, Value, ValueKind};
use crate::logs::request::{parse_request, parse_response};
use crate::units::parse_go_duration;

use super::api;
use super::classify::Detail;
use super::dispatch::Found;
use super::ending;
use super::types::{Field, Role, Signature};

/// Longest text of an extra field or an error: what a person reads, not a dump.
const MAX_TEXT: usize = 1024;

/// Applies all declared fields: from the template's holes and from the record's own fields.
pub(super) fn fields<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    let declared = found.signature.fields;
    for (name, text) in found.captures.iter() {
        if let Some(field) = declared.iter().find(|field| field.name == name) {
            apply(event, field.role, captured(text, &record.fields), detail);
        }
    }
    // A structured line may say in a field what its error says, too.
    let said = event.extra.len();
    // A count needs no signature's own fields, and most lines have no others.
    let wanted = |field: &Field| detail == Detail::Full || field.role.extra().is_none();
    if declared.iter().any(wanted) {
        each(&record.fields, declared, |role, value| {
            let mut known = event.extra.iter().take(said);
            if !known.any(|(name, _)| role.extra() == Some(*name)) {
                apply(event, role, value, detail);
            }
        });
    }
}

/// A captured part as a value. One that stands in a field ends where the field's value does, and is
/// escaped as that is.
fn captured<'a>(text: &'a [u8], fields: &Fields<'a>) -> Value<'a> {
    let start = text.as_ptr() as usize;
    let around = fields.iter().find_map(|(_, value)| {
        let from = value.raw.as_ptr() as usize;
        let left = (from + value.raw.len()).checked_sub(start)?;
        (from <= start).then_some((left, value.kind))
    });
    match around {
        Some((left, kind)) => Value {
            raw: text.get(..left).unwrap_or(text),
            kind: match kind {
                ValueKind::String | ValueKind::Torn => kind,
                _ => ValueKind::Plain,
            },
        },
        None => Value {
            raw: text,
            kind: ValueKind::Plain,
        },
    }
}

/// What `fields` would tell of a record whose fields are few and plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlainFields {
    /// The event's duration.
    pub took_ns: Option<u64>,
    /// Size of the database, which compactions tell.
    pub db_size: Option<u64>,
    /// Of it, in use.
    pub db_in_use: Option<u64>,
}

/// Reads them.
pub(super) fn plain(fields: &Fields<'_>, signature: &Signature) -> PlainFields {
    let mut out = PlainFields::default();
    let wanted = |field: &Field| match field.role {
        Role::Took => true,
        Role::Int(name) => matches!(name, DB_SIZE | DB_IN_USE),
        _ => false,
    };
    if !signature.fields.iter().any(wanted) {
        return out;
    }
    if let Fields::Json(text) = fields {
        if let Some(took_ns) = first_took(text, signature) {
            out.took_ns = Some(took_ns);
            return out;
        }
        let mut quick = out;
        let add = &mut |role, value| quick.add(role, value);
        if each_plain(text, signature.fields, add).is_some() {
            return quick;
        }
    }
    each(fields, signature.fields, |role, value| out.add(role, value));
    out
}

impl PlainFields {
    #[inline]
    fn add(&mut self, role: Role, value: Value<'_>) {
        match role {
            Role::Took => self.took_ns = duration(&value).or(self.took_ns),
            // Of an event's own fields the first of a name counts.
            Role::Int(DB_SIZE) => self.db_size = self.db_size.or_else(|| whole(&value)),
            Role::Int(DB_IN_USE) => self.db_in_use = self.db_in_use.or_else(|| whole(&value)),
            _ => {}
        }
    }
}

/// As [`each`], of an object whose fields are all plain ones. `None` where it is not such an object.
#[inline]
fn each_plain<'a>(
    text: &'a [u8],
    declared: &[Field],
    take: &mut impl FnMut(Role, Value<'a>),
) -> Option<()> {
    let mut at = 0;
    let mut open = declared.len();
    while text.get(at..) != Some(b"}") {
        let (name, value, next) = plain_field(text, at)?;
        at = next;
        let is = |field: &&Field| same(field.name.as_bytes(), name);
        if let Some(field) = declared.iter().find(is) {
            take(field.role, value);
            open = open.saturating_sub(1);
            if open == 0 && declared.len() > 2 {
                break;
            }
        }
    }
    Some(())
}

/// The duration of a record that has it first and nothing else to count. `None` where that is not
/// sure.
fn first_took(text: &[u8], signature: &Signature) -> Option<u64> {
    let fields = signature.fields;
    if fields
        .iter()
        .any(|field| matches!(field.role, Role::Int(_)))
    {
        return None;
    }
    let mut took = fields.iter().filter(|field| field.role == Role::Took);
    let name = match (took.next(), took.next()) {
        (Some(field), None) => field.name.as_bytes(),
        _ => return None,
    };
    let rest = text.strip_prefix(b",\"")?.strip_prefix(name)?;
    let rest = rest.strip_prefix(b"\":\"")?;
    let (value, rest) = rest.split_at(near(b'"', rest)?);
    let took_ns = parse_go_duration(value)?;
    (is_without(rest, name) && matches!(rest, [b'"', b',' | b'}', ..])).then_some(took_ns)
}

/// Whether no other field of this name, which would count instead, can be in the rest of a record.
fn is_without(rest: &[u8], name: &[u8]) -> bool {
    let mut rest = rest;
    while let Some(at) = near(b'"', rest) {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.starts_with(name) {
            return false;
        }
    }
    true
}

fn whole(value: &Value<'_>) -> Option<u64> {
    match value.as_i64() {
        Some(number) => u64::try_from(number).ok(),
        None => value.as_u64(),
    }
}

const DB_SIZE: &str = "db_size_bytes";
const DB_IN_USE: &str = "db_in_use_bytes";

/// Gives out the declared fields of a record.
fn each<'a>(fields: &Fields<'a>, declared: &[Field], mut take: impl FnMut(Role, Value<'a>)) {
    let mut open = declared.len();
    for (name, value) in fields.iter() {
        if let Some(field) = declared.iter().find(|field| {
            // Comparing lengths first spares a call for nearly every name.
            field.name.len() == name.len() && field.name.as_bytes() == name
        }) {
            take(field.role, value);
            // A record may repeat a field more often than it is declared.
            open = open.saturating_sub(1);
            // `from` may stand twice (membership lines up to 3.5), so stop only at the end of
            // long lists.
            if open == 0 && declared.len() > 2 {
                break;
            }
        }
    }
}

/// Applies the declared fields and keeps the whole text around the found literal as the error.
pub(super) fn around<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    fields(event, record, found, detail);
    if event.error.is_none() {
        let error = record
            .fields
            .get("err")
            .or_else(|| record.fields.get("error"));
        event.error = match error {
            Some(value) => Some(clip(value.text_lossy())),
            None if !record.msg.is_empty() => Some(clip(String::from_utf8_lossy(&record.msg))),
            None => None,
        };
    }
    if event.api.is_none() {
        api::call_in_text(event, record);
    }
}

/// Applies the declared fields; of the first of them that is none what stands before the found literal
/// names it: `XFS (sda1): …`, `[sda] tag#12 …`, `ata1.00: …`, `etcd.service: …`.
pub(super) fn before<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    fields(event, record, found, detail);
    let Some(name) = found
        .signature
        .fields
        .first()
        .and_then(|first| first.role.extra())
    else {
        return;
    };
    if detail != Detail::Full || event.extra.iter().any(|(known, _)| *known == name) {
        return;
    }
    let places = found
        .signature
        .literals()
        .into_iter()
        .filter_map(|literal| {
            let head = literal.split('{').next()?;
            memchr::memmem::find(&record.msg, head.as_bytes())
        });
    let Some(text) = places.min().and_then(|at| record.msg.get(..at)) else {
        return;
    };
    let between = |open: u8, close: u8| {
        let rest = text.get(memchr::memrchr(open, text)? + 1..)?;
        rest.get(..memchr::memchr(close, rest).unwrap_or(rest.len()))
    };
    let is_time = |text: &[u8]| {
        let clock = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b' ');
        text.iter().all(clock)
    };
    let word = || {
        let text = text.trim_ascii_end();
        let text = text.strip_suffix(b":")?;
        text.rsplit(|b| *b == b' ').next()
    };
    let whom = between(b'(', b')')
        .or_else(|| between(b'[', b']').filter(|text| !is_time(text)))
        .or_else(word);
    if let Some(whom) = whom.filter(|whom| !whom.is_empty()) {
        let whom = String::from_utf8_lossy(whom);
        event.extra.push((name, Extra::Text(clip(whom))));
    }
}

/// Applies the declared fields; the error is what the message says, and the error that it names.
pub(super) fn crash<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    fields(event, record, found, detail);
    if event.error.is_none()
        && let Some(err) = record.fields.get("err")
    {
        event.error = some_text(&err);
    }
    // The rest of a message of several lines is a dump.
    let line = record.msg.split(|b| *b == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    if let Some(signal) = ending::signal(&record.msg) {
        let signal = String::from_utf8_lossy(signal);
        event.error = Some(Cow::Owned(format!("{line}: {signal}")));
        return;
    }
    let structured = !record.fields.is_none();
    event.error = match event.error.take() {
        Some(error) if structured && !line.is_empty() => {
            Some(clip(Cow::Owned(format!("{line}: {error}"))))
        }
        Some(error) => Some(error),
        None => (!line.is_empty()).then(|| clip(line)),
    };
}

/// One field's value to its place. Values that were cut off give texts only.
pub(super) fn apply<'a>(event: &mut Event<'a>, role: Role, value: Value<'a>, detail: Detail) {
    // The beginning of an address, a path or a program is another one.
    let names = matches!(
        role,
        Role::Client | Role::Verb | Role::Url | Role::Agent | Role::Lease
    );
    match role {
        _ if names && value.kind == ValueKind::Torn => {}
        Role::Took => event.took_ns = duration(&value).or(event.took_ns),
        Role::Expected => event.expected_ns = duration(&value),
        Role::Client => event.client = some_text(&value),
        Role::Error => event.error = some_text(&value),
        Role::Request => event.request = Some(parse_request(value.raw)),
        Role::Response => event.response = parse_response(value.raw),
        Role::ResponseCount => event.response.range_response_count = value.as_u64(),
        Role::ResponseSize => event.response.size = value.as_u64(),
        Role::Agreement => event.agreement_ns = duration(&value),
        Role::Verb => {
            if let Some(text) = some_text(&value) {
                call(event).verb = api::verb(text);
            }
        }
        Role::Url => api::url(event, value.text_lossy()),
        Role::Agent => {
            let agent = some_text(&value);
            call(event).user_agent = agent;
        }
        Role::Status => {
            let status = value.as_u64().and_then(|status| u16::try_from(status).ok());
            call(event).status = status.filter(|status| is_status(*status));
        }
        Role::Lease => api::lease(event, value.text_lossy()),
        Role::Text(_) | Role::Int(_) | Role::Ms(_) | Role::Flag(_) | Role::Member(_)
            if detail == Detail::Counts => {}
        Role::Text(name) => {
            if let Some(text) = some_text(&value) {
                // Up to 3.5 the new version of the cluster stood in a second `from`.
                let again = name == "from" && event.extra.iter().any(|(known, _)| *known == name);
                let name = if again { "to" } else { name };
                event.extra.push((name, Extra::Text(text)));
            }
        }
        Role::Int(name) => {
            if let Some(number) = value.as_i64() {
                event.extra.push((name, Extra::Int(number)));
            } else if let Some(text) = value.as_u64() {
                // Request ids are larger than an i64.
                event
                    .extra
                    .push((name, Extra::Text(text.to_string().into())));
            }
        }
        Role::Ms(name) => {
            if let Some(ns) = duration(&value) {
                event.extra.push((name, Extra::Num(ns as f64 / 1e6)));
            }
        }
        Role::Member(name) => {
            if let Some(id) = value.as_u64() {
                event
                    .extra
                    .push((name, Extra::Text(format!("{id:x}").into())));
            }
        }
        Role::Flag(name) => {
            if let Some(flag) = value.as_bool() {
                event.extra.push((name, Extra::Flag(flag)));
            }
        }
    }
}

/// Whether a number is an HTTP status, and not the beginning of one. What was handed over to its
/// client has 0.
pub(super) fn is_status(number: u16) -> bool {
    number == 0 || (100..600).contains(&number)
}

/// The event's API call, made when it is first needed.
pub(super) fn call<'e, 'a>(event: &'e mut Event<'a>) -> &'e mut ApiCall<'a> {
    event.api.get_or_insert_default()
}

/// A duration as Go prints it, with `ms` and `s` units; 3.4/3.5 snapshot lines say `now`.
fn duration(value: &Value<'_>) -> Option<u64> {
    value.duration_ns().or_else(|| {
        let raw = value.raw.trim_ascii();
        (value.kind != ValueKind::Torn)
            .then(|| parse_go_duration(raw))
            .flatten()
    })
}

fn some_text<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    let text = match value.kind {
        // Text captured from a message may still hold Go's escapes (`error "…\"…"`).
        ValueKind::Plain => text(value.raw),
        ValueKind::Word if value.raw == b"null" => return None,
        _ => value.text_lossy(),
    };
    (!text.is_empty()).then(|| clip(text))
}

/// Cuts a text to what a person reads.
pub(super) fn clip(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// One level of escapes off, as text.
pub(super) fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    match unescape(raw) {
        Cow::Borrowed(bytes) => text(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}
