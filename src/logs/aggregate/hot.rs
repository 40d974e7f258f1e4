//! The commonest line of a big log by position: a slow range of etcd's zap JSON.
//!
//! Only the exact form that etcd 3.4 to 3.6 writes is taken; whatever differs goes the way of all
//! other records, with the same result. The meaning of a key is looked up by its folder and
//! remembered, so that most lines need no look at the catalogue.

use memchr::memchr;

use crate::logs::record::{Encoding, Fields, Record};
use crate::units::parse_go_duration;

/// A slow range, as its line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotRange<'a> {
    /// `took`.
    pub took_ns: u64,
    /// `expected-duration`, verbatim.
    pub expected: &'a [u8],
    /// The key; it holds no escapes.
    pub key: &'a [u8],
    /// The end of the range; empty when absent.
    pub range_end: &'a [u8],
    /// `limit:`.
    pub limit: Option<u64>,
    /// What stands in the text besides key and range end, in order, as bits.
    pub options: u8,
    /// The whole request text, escaped as it stands.
    pub request: &'a [u8],
    /// `range_response_count:`.
    pub count: u64,
    /// `size:`.
    pub size: u64,
}

const LIMIT: u8 = 1;
const COUNT_ONLY: u8 = 2;
const KEYS_ONLY: u8 = 4;

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    let mut len = 0;
    for digit in text {
        if !digit.is_ascii_digit() {
            break;
        }
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
        len += 1;
    }
    (len > 0).then_some((value, text.get(len..)?))
}

/// A text up to the quote that ends it, which must come before any escape.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = memchr(b'"', text)?;
    let (value, rest) = text.split_at(len);
    Some((value, rest.get(1..)?))
}

/// A key: ends at `\" `.
fn key(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = memchr(b'\\', text)?;
    let (value, rest) = text.split_at(len);
    Some((value, rest.strip_prefix(br#"\" "#)?))
}

/// Reads a record as a slow range, if it is one in exactly the usual form.
pub fn slow_range<'a>(record: &Record<'a>) -> Option<HotRange<'a>> {
    if record.encoding != Encoding::ZapJson
        || record.repeats != 1
        || record.msg.as_ref() != b"apply request took too long"
        || !record.logger.is_empty()
    {
        return None;
    }
    let Fields::Json(text) = record.fields else {
        return None;
    };
    let rest = text.strip_prefix(br#","took":""#)?;
    let (took, rest) = quoted(rest)?;
    let rest = rest.strip_prefix(br#","expected-duration":""#)?;
    let (expected, rest) = quoted(rest)?;
    let start = rest.strip_prefix(br#","prefix":"read-only range ","request":""#)?;
    let rest = start.strip_prefix(br#"key:\""#)?;
    let (key_text, mut rest) = key(rest)?;
    let mut range_end: &[u8] = b"";
    if let Some(after) = rest.strip_prefix(br#"range_end:\""#) {
        (range_end, rest) = key(after)?;
    }
    let mut options = 0;
    let mut limit = None;
    if let Some(after) = rest.strip_prefix(b"limit:") {
        let (value, after) = number(after)?;
        (limit, rest) = (Some(value), after.strip_prefix(b" ")?);
        options |= LIMIT;
    }
    if let Some(after) = rest.strip_prefix(b"keys_only:true ") {
        rest = after;
        options |= KEYS_ONLY;
    }
    if let Some(after) = rest.strip_prefix(b"count_only:true ") {
        rest = after;
        options |= COUNT_ONLY;
    }
    let request = start.get(..start.len() - rest.len())?;
    let rest = rest.strip_prefix(br#"","response":"range_response_count:"#)?;
    let (count, rest) = number(rest)?;
    let (size, rest) = number(rest.strip_prefix(b" size:")?)?;
    if rest != br#""}"# || key_text.is_empty() {
        return None;
    }
    Some(HotRange {
        took_ns: parse_go_duration(took)?,
        expected,
        key: key_text,
        range_end,
        limit,
        options,
        request,
        count,
        size,
    })
}

/// A traced range, as its line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotTrace<'a> {
    /// `duration`.
    pub took_ns: u64,
    /// `range_begin`.
    pub key: &'a [u8],
    /// `range_end`; empty when absent.
    pub range_end: &'a [u8],
    /// `response_count`.
    pub count: u64,
    /// `steps`, with its brackets.
    pub steps: &'a [u8],
}

/// Reads a record as the trace of a range up to 3.6, if it is one in exactly the usual form.
pub fn traced_range<'a>(record: &Record<'a>) -> Option<HotTrace<'a>> {
    let text = own_fields(record)?;
    let name = record.msg.strip_prefix(b"trace[")?;
    let close = memchr(b']', name)?;
    if name.get(close..) != Some(b"] range") || memchr(b'\\', text).is_some() {
        return None;
    }
    let until = |text: &'a [u8]| memchr(b';', text).and_then(|end| text.split_at_checked(end));
    let (detail, rest) = quoted(text.strip_prefix(br#","detail":""#)?)?;
    let (key, detail) = until(detail.strip_prefix(b"{range_begin:")?)?;
    let (range_end, detail) = until(detail.strip_prefix(b"; range_end:")?)?;
    let (count, detail) = number(detail.strip_prefix(b"; response_count:")?)?;
    let (_, detail) = number(detail.strip_prefix(b"; response_revision:")?)?;
    if detail != b"; }" || key.is_empty() {
        return None;
    }
    let (took, rest) = quoted(rest.strip_prefix(br#","duration":""#)?)?;
    let (_, rest) = quoted(rest.strip_prefix(br#","start":""#)?)?;
    let (_, rest) = quoted(rest.strip_prefix(br#","end":""#)?)?;
    let steps = rest.strip_prefix(br#","steps":"#)?;
    let mut rest = steps.strip_prefix(b"[")?;
    loop {
        let (_, after) = quoted(rest.strip_prefix(b"\"")?)?;
        match after.strip_prefix(b",") {
            Some(next) => rest = next,
            None => {
                rest = after.strip_prefix(b"]")?;
                break;
            }
        }
    }
    let steps = steps.get(..steps.len() - rest.len())?;
    let (_, rest) = number(rest.strip_prefix(br#","step_count":"#)?)?;
    (rest == b"}").then_some(())?;
    Some(HotTrace {
        took_ns: parse_go_duration(took)?,
        key,
        range_end,
        count,
        steps,
    })
}

/// A range's call, as its line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotCall<'a> {
    /// `time spent`.
    pub took_ns: u64,
    /// `remote`.
    pub remote: &'a str,
    /// `response count`.
    pub count: u64,
    /// `response size`.
    pub size: u64,
    /// The key; it holds no escapes.
    pub key: &'a [u8],
    /// The end of the range; empty when absent.
    pub range_end: &'a [u8],
    /// `limit:`, which is never 0.
    pub limit: Option<u64>,
    /// As of [`HotRange`].
    pub options: u8,
}

/// Reads a record as the request stats of a range, if it is one in exactly the usual form.
pub fn called_range<'a>(record: &Record<'a>) -> Option<HotCall<'a>> {
    let text = own_fields(record)?;
    if record.msg.as_ref() != b"request stats" {
        return None;
    }
    let plain = |text: &'a [u8]| quoted(text).filter(|(text, _)| memchr(b'\\', text).is_none());
    let (_, rest) = plain(text.strip_prefix(br#","start time":""#)?)?;
    let (took, rest) = plain(rest.strip_prefix(br#","time spent":""#)?)?;
    let (remote, rest) = plain(rest.strip_prefix(br#","remote":""#)?)?;
    let rest =
        rest.strip_prefix(br#","response type":"/etcdserverpb.KV/Range","request count":"#)?;
    let (_, rest) = number(rest)?;
    let (_, rest) = number(rest.strip_prefix(br#","request size":"#)?)?;
    let (count, rest) = number(rest.strip_prefix(br#","response count":"#)?)?;
    let (size, rest) = number(rest.strip_prefix(br#","response size":"#)?)?;
    let rest = rest.strip_prefix(br#","request content":"key:\""#)?;
    let (key_text, mut rest) = key(rest)?;
    let mut range_end: &[u8] = b"";
    if let Some(after) = rest.strip_prefix(br#"range_end:\""#) {
        (range_end, rest) = key(after)?;
    }
    let mut options = 0;
    let mut limit = None;
    if let Some(after) = rest.strip_prefix(b"limit:") {
        let (value, after) = number(after)?;
        (limit, rest) = (Some(value), after.strip_prefix(b" ")?);
        options |= LIMIT;
    }
    if let Some(after) = rest.strip_prefix(b"count_only:true ") {
        rest = after;
        options |= COUNT_ONLY;
    }
    if rest != br#""}"# || key_text.is_empty() || remote.is_empty() || limit == Some(0) {
        return None;
    }
    Some(HotCall {
        took_ns: parse_go_duration(took)?,
        remote: std::str::from_utf8(remote).ok()?,
        count,
        size,
        key: key_text,
        range_end,
        limit,
        options,
    })
}

/// The fields of a record that an etcd server wrote as zap JSON.
fn own_fields<'a>(record: &Record<'a>) -> Option<&'a [u8]> {
    match record.fields {
        Fields::Json(text)
            if record.encoding == Encoding::ZapJson
                && record.repeats == 1
                && record.logger.is_empty()
                && !record.caller.starts_with(b"clientv3/") =>
        {
            Some(text)
        }
        _ => None,
    }
}

/// The part of a key that decides what it means, and whether that is its folder: the name of an
/// object says nothing once prefix, resource and namespace stand before it.
pub fn meaning<'a>(key: &'a [u8], range_end: &[u8]) -> (&'a [u8], bool) {
    if range_end.is_empty()
        && let Some(end) = memchr::memrchr(b'/', key)
        && let Some(folder) = key.get(..=end)
        && end + 1 < key.len()
        && folder.iter().filter(|b| **b == b'/').count() >= 4
    {
        return (folder, true);
    }
    (key, false)
}

/// What a key was found to mean, in the numbers of one piece's tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meaning {
    pub(super) hash: u64,
    /// Place of the shape in the list of shapes.
    pub shape: u8,
    /// Row of the resource.
    pub resource: u32,
    /// Row of the namespace.
    pub namespace: u32,
    /// Row of the prefix.
    pub prefix: u32,
}

/// How many meanings are remembered.
const PLACES: usize = 8192;

/// Remembered meanings, by hash.
#[derive(Clone, Debug, Default)]
pub struct Meanings(Vec<Meaning>);

impl Meanings {
    /// The meaning remembered for a hash, which is never 0.
    pub fn get(&self, hash: u64) -> Option<Meaning> {
        self.0
            .get(place(hash))
            .copied()
            .filter(|meaning| meaning.hash == hash)
    }

    /// Remembers a meaning.
    pub fn set(&mut self, hash: u64, meaning: Meaning) {
        if self.0.is_empty() {
            self.0.resize(PLACES, Meaning::default());
        }
        if let Some(slot) = self.0.get_mut(place(hash)) {
            *slot = Meaning { hash, ..meaning };
        }
    }

    /// Forgets all: the tables' rows have got new numbers.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

fn place(hash: u64) -> usize {
    usize::try_from(hash % PLACES as u64).unwrap_or(0)
}
