//! The commonest line of a big log by position: a slow range of etcd's zap JSON.
//!
//! Only the exact form that etcd 3.4 to 3.6 writes is taken; whatever differs goes the way of all
//! other records, with the same result. The meaning of a key is looked up by its folder and
//! remembered ([`super::memory`]), so that most lines need no look at the catalogue.

use memchr::memrchr;

use crate::catalog::resources::{builtin_by_segment, parse_key};
use crate::logs::head::Head;
use crate::logs::needle::{after, after_digits, near, near2};
use crate::logs::signature::{TraceSteps, agreement_step};
use crate::sys::{BLOCK, places_of};
use crate::units::{eight_digits, leading_digits, parse_go_duration};

use super::hash::short;

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
    /// `limit:`, which is never 0.
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

#[inline(always)]
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    if let Some(word) = text.first_chunk()
        && let Some((value, len)) = leading_digits(u64::from_le_bytes(*word))
    {
        return Some((value, text.get(len as usize..)?));
    }
    long_number(text)
}

/// As [`number`], of more digits, or at the end of the text.
fn long_number(text: &[u8]) -> Option<(u64, &[u8])> {
    if text.len() < 8
        && let Some((value, len)) = leading_digits(short(text))
    {
        return Some((value, text.get(len as usize..)?));
    }
    if let Some((first, rest)) = text.split_first_chunk()
        && let Some(high) = eight_digits(u64::from_le_bytes(*first))
        && let Some(word) = rest.first_chunk()
        && let Some((low, len)) = leading_digits(u64::from_le_bytes(*word))
    {
        let value = u64::from(high) * 10_u64.pow(len) + low;
        return Some((value, rest.get(len as usize..)?));
    }
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

/// A part of a trace's detail: ends at the next semicolon, which must come before any quote or
/// escape.
#[inline(always)]
fn detail(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        let block = text.get(at..)?.first_chunk()?;
        let found = places_of([b';', b'"', b'\\'], block);
        if found != 0 {
            at += found.trailing_zeros() as usize;
            let (value, rest) = text.split_at_checked(at)?;
            return (rest.first() == Some(&b';')).then_some((value, rest));
        }
        at += BLOCK;
    }
}

/// A text up to the quote that ends it, which must come before any escape.
#[inline(always)]
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = near2(b'"', b'\\', text)?;
    let (value, rest) = text.split_at(len);
    Some((value, rest.strip_prefix(b"\"")?))
}

/// A key: ends at `\" `, and no other record's quotes are in it.
#[inline(always)]
fn key(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = near2(b'\\', b'"', text)?;
    let (value, rest) = text.split_at(len);
    Some((value, rest.strip_prefix(br#"\" "#)?))
}

/// Reads a line as a slow range, if it is one in exactly the usual form.
pub fn slow_range<'a>(head: &Head<'a>) -> Option<HotRange<'a>> {
    let rest = head.fields.strip_prefix(br#","took":""#)?;
    let (took, rest) = quoted(rest)?;
    let rest = rest.strip_prefix(br#","expected-duration":""#)?;
    let (expected, rest) = quoted(rest)?;
    let start = after(rest, br#","prefix":"read-only range ","request":""#)?;
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
    let rest = after(rest, br#"","response":"range_response_count:"#)?;
    let (count, rest) = number(rest)?;
    let (size, rest) = number(rest.strip_prefix(b" size:")?)?;
    if rest != br#""}"# || key_text.is_empty() || limit == Some(0) {
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
    /// What its `steps` tell.
    pub steps: TraceSteps,
}

/// Reads a line as the trace of a range up to 3.6, if it is one in exactly the usual form.
pub fn traced_range<'a>(head: &Head<'a>) -> Option<HotTrace<'a>> {
    let text = head.fields;
    let name = head.msg.strip_prefix(b"trace[")?;
    let close = near(b']', name)?;
    if name.get(close..) != Some(b"] range") {
        return None;
    }
    let rest = text.strip_prefix(br#","detail":"{range_begin:"#)?;
    let (key, rest) = detail(rest)?;
    let (range_end, rest) = detail(rest.strip_prefix(b"; range_end:")?)?;
    let (count, rest) = number(rest.strip_prefix(b"; response_count:")?)?;
    let rest = after_digits(rest.strip_prefix(b"; response_revision:")?)?;
    let rest = rest.strip_prefix(br#"; }""#)?;
    if key.is_empty() {
        return None;
    }
    let (took, rest) = quoted(rest.strip_prefix(br#","duration":""#)?)?;
    let (_, rest) = quoted(rest.strip_prefix(br#","start":""#)?)?;
    let (_, rest) = quoted(rest.strip_prefix(br#","end":""#)?)?;
    let mut rest = rest.strip_prefix(br#","steps":["#)?;
    let mut steps = TraceSteps::default();
    let rest = loop {
        let step = rest.strip_prefix(b"\"")?;
        let after = match agreement_step(step) {
            Some((ns, after)) => {
                steps.agreement_ns = Some(ns);
                after
            }
            None => {
                let (step, after) = quoted(step)?;
                steps.add(step);
                after
            }
        };
        match after.split_first()? {
            (b',', next) => rest = next,
            (b']', after) => break after,
            _ => return None,
        }
    };
    let rest = after_digits(rest.strip_prefix(br#","step_count":"#)?)?;
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
    pub remote: &'a [u8],
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

/// Reads a line as the request stats of a range, if it is one in exactly the usual form.
pub fn called_range<'a>(head: &Head<'a>) -> Option<HotCall<'a>> {
    let text = head.fields;
    let (_, rest) = quoted(text.strip_prefix(br#","start time":""#)?)?;
    let (took, rest) = quoted(rest.strip_prefix(br#","time spent":""#)?)?;
    let (remote, rest) = quoted(rest.strip_prefix(br#","remote":""#)?)?;
    let rest = after(
        rest,
        br#","response type":"/etcdserverpb.KV/Range","request count":"#,
    )?;
    let rest = after_digits(rest)?;
    let rest = after_digits(rest.strip_prefix(br#","request size":"#)?)?;
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
        remote: Some(remote).filter(|remote| remote.is_ascii())?,
        count,
        size,
        key: key_text,
        range_end,
        limit,
        options,
    })
}

/// The folder of a key, where that alone decides what the key means: the name of an object says
/// nothing once prefix, resource and namespace stand before it.
pub fn folder_of<'a>(key: &'a [u8], range_end: &[u8]) -> Option<&'a [u8]> {
    if !range_end.is_empty() {
        return None;
    }
    let end = memrchr(b'/', key)?;
    let folder = key.get(..=end)?;
    // Under a prefix of many words it is no object.
    if key.get(end..) == Some(b"/health") {
        return None;
    }
    let slashes = || folder.iter().filter(|b| **b == b'/').count();
    (end + 1 < key.len() && slashes() >= 4).then_some(folder)
}

/// The folder of a key's namespace and the namespace, if it is surely one wherever that folder
/// holds one: see [`is_free`].
#[inline(always)]
pub fn in_namespace<'a>(key: &'a [u8], range_end: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if !range_end.is_empty() || !key.starts_with(b"/registry/") {
        return None;
    }
    let (begin, name) = last_slashes(key)?;
    let begin = begin + 1;
    // There is a segment between the prefix and the namespace.
    if begin <= b"/registry/".len() || name + 1 >= key.len() {
        return None;
    }
    Some((key.get(..begin)?, key.get(begin..name)?))
}

/// Where the last slash but one is, and where the last one.
#[inline]
fn last_slashes(key: &[u8]) -> Option<(usize, usize)> {
    let places = |block| u64::from(places_of([b'/'], block));
    // Names are seldom so long that the last blocks do not hold both.
    let end = key.last_chunk().map_or(0, places);
    let (from, found) = match key.get(..key.len() - BLOCK.min(key.len())) {
        Some(rest) => match (rest.last_chunk(), key.first_chunk()) {
            (Some(before), _) => (rest.len() - BLOCK, places(before) | end << BLOCK),
            (None, Some(first)) => (0, places(first) | end << rest.len()),
            _ => (0, 0),
        },
        None => (0, 0),
    };
    if let Some(last) = found.checked_ilog2()
        && let Some(before) = (found ^ 1 << last).checked_ilog2()
    {
        return Some((from + before as usize, from + last as usize));
    }
    let last = memrchr(b'/', key)?;
    Some((memrchr(b'/', key.get(..last)?)?, last))
}

/// Whether a namespace has a name that means nothing else in a key.
pub fn is_plain(namespace: &[u8]) -> bool {
    (1..=63).contains(&namespace.len())
        && builtin_by_segment(namespace).is_none()
        && namespace
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Whether what a key in this folder means does not depend on its namespace's name, of which this
/// key is an example.
pub fn is_free(key: &[u8], folder: &[u8], namespace: &[u8]) -> bool {
    /// Nobody's namespace, and no word that keys have.
    const OTHER: &str = "q0-other";
    let Some(name) = key.get(folder.len() + namespace.len()..) else {
        return false;
    };
    let other = [folder, OTHER.as_bytes(), name].concat();
    let (here, there) = (parse_key(key), parse_key(&other));
    here.namespace.as_deref().map(str::as_bytes) == Some(namespace)
        && there.namespace.as_deref() == Some(OTHER)
        && here.prefix == there.prefix
        && here.row_key() == there.row_key()
        && here.scope == there.scope
        && here.name == there.name
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn slashes_are_found_wherever_they_are(key in proptest::collection::vec(proptest::sample::select(b"/abcdefgh".to_vec()), 0..80)) {
            let last = memrchr(b'/', &key);
            let both = last.and_then(|last| Some((memrchr(b'/', &key[..last])?, last)));
            proptest::prop_assert_eq!(last_slashes(&key), both);
        }

        #[test]
        fn numbers_of_any_length_are_read(text in "[0-9]{0,24}[^0-9]{0,9}") {
            let len = text.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = text.split_at(len);
            let told = digits.parse::<u64>().ok();
            let rest = rest.as_bytes();
            proptest::prop_assert_eq!(number(text.as_bytes()), told.map(|value| (value, rest)));
        }
    }
}
