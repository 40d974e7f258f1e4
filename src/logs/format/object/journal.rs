//! Records of the journal, and the texts and times that fields of shippers hold.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::logs::format::json::{JsonFields, nested_end, string_end};
use crate::logs::format::level_priority;
use crate::logs::record::{Value, ValueKind};
use crate::logs::timestamp::{TimeCache, epoch};
use crate::logs::writer;

use super::{Seen, Wrapped, has_objects};

/// A record of the journal by its fields.
pub(super) fn journal<'a>(seen: &Seen<'a>, text: &'a [u8]) -> Wrapped<'a> {
    let number = |value: Option<Value<'a>>| value.and_then(|value| value.as_i64());
    let null = Value {
        raw: text.get(..0).unwrap_or_default(),
        kind: ValueKind::String,
    };
    let package = seen.package.map(|value| value.raw).unwrap_or_default();
    let priority = number(seen.priority).and_then(|level| u32::try_from(level).ok());
    Wrapped {
        text: seen.message.unwrap_or(null),
        time: number(seen.source_time)
            .or_else(|| number(seen.realtime))
            .map(Timestamp),
        ident: writer::best([seen.ident, seen.comm, seen.unit].map(|v| v.map(|v| v.raw))),
        host: seen.host.map(|value| value.raw),
        place: seen.place(),
        level: priority.map(level_priority).unwrap_or_default(),
        package,
        docker: None,
        journal: true,
        unsampled: seen.origin.is_unsampled(package),
        headless: b"",
    }
}

/// A time as ISO text or as a number since the epoch.
pub(super) fn time_of(value: Value<'_>, cache: &mut TimeCache) -> Option<Timestamp> {
    match value.kind {
        ValueKind::String => cache
            .iso(value.raw)
            .map(|stamp| stamp.time)
            .or_else(|| epoch(value.raw)),
        ValueKind::Number => epoch(value.raw),
        // Elasticsearch gives each field as a list.
        ValueKind::Nested if value.raw.first() == Some(&b'[') => {
            let first = strings(value.raw).next()?;
            cache.iso(first).map(|stamp| stamp.time)
        }
        _ => None,
    }
}

/// The text of a journal's MESSAGE or a shipper's field: a string, an array of byte values (what
/// is not UTF-8), or an array of strings (a field given more than once). Objects stay as they are.
pub fn line_of<'a>(value: Value<'a>) -> Cow<'a, [u8]> {
    match (value.kind, value.raw.first()) {
        (ValueKind::Nested, _) if has_objects(&value) => return Cow::Borrowed(value.raw),
        (ValueKind::Nested | ValueKind::Torn, Some(b'[')) => {}
        (ValueKind::Word, _) => return Cow::Borrowed(b""),
        _ => return value.bytes(),
    }
    let inner = value.raw.get(1..).unwrap_or_default();
    if inner.trim_ascii_start().first() == Some(&b'[') {
        return Cow::Owned(lines_of_rows(inner));
    }
    let mut out = Vec::with_capacity(inner.len() / 3);
    if inner.trim_ascii_start().first() == Some(&b'"') {
        for raw in strings(inner) {
            if !out.is_empty() {
                out.push(b'\n');
            }
            crate::logs::fields::unescape_into(raw, &mut out);
        }
        return Cow::Owned(out);
    }
    for number in inner.split(|b| matches!(b, b',' | b']')) {
        let number = number.trim_ascii();
        if let Some(byte) = std::str::from_utf8(number)
            .ok()
            .and_then(|text| text.parse().ok())
        {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

/// The lines of Loki's `["1795201602223456000","line"],…` and of CloudWatch Insights'
/// `[{"field":"@timestamp","value":"2024-03-05 10:11:12.346"},{"field":"@message",…}],…`, each behind
/// its time as `kubectl logs --timestamps` has it.
fn lines_of_rows(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| memchr::memchr(b'[', rest)) {
        let from = at + open;
        at = nested_end(text, from).unwrap_or(text.len());
        let row = text.get(from..at).unwrap_or_default();
        let Some((nanos, line)) = pair(row).or_else(|| columns(row)) else {
            continue;
        };
        if !out.is_empty() {
            out.push(b'\n');
        }
        if let Some(nanos) = nanos
            && let Ok(time) = jiff::Timestamp::from_nanosecond(nanos.into())
        {
            out.extend_from_slice(format!("{time:.9} ").as_bytes());
        }
        crate::logs::fields::unescape_into(line, &mut out);
    }
    out
}

/// Loki's row: nanoseconds since the epoch and the line.
fn pair(row: &[u8]) -> Option<(Option<i64>, &[u8])> {
    if row.get(1..)?.trim_ascii_start().first() != Some(&b'"') {
        return None;
    }
    let mut texts = strings(row);
    let nanos = std::str::from_utf8(texts.next()?).ok()?.parse().ok();
    // 2001-09-09: a smaller number counts no nanoseconds.
    Some((
        nanos.filter(|nanos| *nanos >= 1_000_000_000_000_000_000),
        texts.next()?,
    ))
}

/// CloudWatch's row: an object a column. Its times are UTC.
fn columns(row: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let (mut nanos, mut line) = (None, None);
    let mut at = 0;
    while let Some(open) = row.get(at..).and_then(|rest| memchr::memchr(b'{', rest)) {
        let from = at + open;
        at = nested_end(row, from).unwrap_or(row.len());
        let (mut field, mut value) = (None, None);
        for (name, found) in JsonFields::new(row.get(from..at).unwrap_or_default()) {
            match name {
                b"field" => field = Some(found.raw),
                b"value" if found.kind == ValueKind::String => value = Some(found.raw),
                _ => {}
            }
        }
        match (field, value) {
            (Some(b"@timestamp"), Some(value)) => {
                let stamp = TimeCache::default().iso(value);
                nanos = stamp.and_then(|stamp| stamp.time.0.checked_mul(1000));
            }
            (Some(b"@message"), Some(value)) => line = Some(value),
            _ => {}
        }
    }
    Some((nanos, line?))
}

/// Whether the first of rows, which begins here, has a line.
pub(super) fn is_row(text: &[u8]) -> bool {
    let row = nested_end(text, 0).ok().and_then(|end| text.get(..end));
    row.is_some_and(|row| pair(row).or_else(|| columns(row)).is_some())
}

/// The strings of an array, still escaped.
pub(super) fn strings(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + memchr::memchr(b'"', array.get(at..)?)? + 1;
        let end = string_end(array, from)?;
        at = end + 1;
        array.get(from..end)
    })
}
