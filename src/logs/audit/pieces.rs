//! The pieces of a line as the apiserver writes it: each is read from where it must begin, and
//! gives back what follows it, or is not as expected.

use std::borrow::Cow;

use memchr::memchr;

use crate::logs::format::json::nested_end;
use crate::logs::needle::near2;
use crate::logs::record::{Value, ValueKind};

use super::{Stage, code_of};

/// The object of a request.
pub(super) struct Object<'a> {
    pub(super) resource: &'a [u8],
    pub(super) group: &'a [u8],
    pub(super) namespace: Option<&'a [u8]>,
    pub(super) name: Option<&'a [u8]>,
}

impl<'a> Object<'a> {
    /// From behind the quote of the resource, in the order of its fields; and what follows it.
    pub(super) fn read(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (resource, rest) = plain(text)?;
        let (namespace, rest) = field(rest, br#","namespace":""#)?;
        let (name, rest) = field(rest, br#","name":""#)?;
        let (_, rest) = field(rest, br#","uid":""#)?;
        let (group, rest) = field(rest, br#","apiGroup":""#)?;
        let rest = match rest.strip_prefix(br#","apiVersion":"v1"}"#) {
            Some(rest) => rest,
            None => {
                let (_, rest) = field(rest, br#","apiVersion":""#)?;
                let (_, rest) = field(rest, br#","resourceVersion":""#)?;
                let (subresource, rest) = field(rest, br#","subresource":""#)?;
                // What may be a connection that stays open is read with its address, and an eviction by
                // its name.
                if let Some(
                    b"exec" | b"attach" | b"portforward" | b"proxy" | b"log" | b"eviction",
                ) = subresource
                {
                    return None;
                }
                rest.strip_prefix(b"}")?
            }
        };
        if ![namespace, name]
            .into_iter()
            .flatten()
            .all(<[u8]>::is_ascii)
        {
            return None;
        }
        let object = Object {
            resource,
            group: group.unwrap_or_default(),
            namespace,
            name,
        };
        Some((object, rest))
    }
}

/// A field of an object, if it is there, and what follows it.
#[inline(always)]
fn field<'a, const N: usize>(
    text: &'a [u8],
    name: &[u8; N],
) -> Option<(Option<&'a [u8]>, &'a [u8])> {
    match text.strip_prefix(name) {
        Some(text) => {
            let (value, rest) = plain(text)?;
            Some((Some(value), rest))
        }
        None => Some((None, text)),
    }
}

/// A text up to the quote that ends it, which must come before any escape; and what follows.
#[inline]
pub(super) fn plain(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // Half of them end within the first word.
    let len = match text
        .first_chunk()
        .map(|word| marks(u64::from_le_bytes(*word)))
    {
        None => near2(b'"', b'\\', text)?,
        Some(0) => 8 + near2(b'"', b'\\', text.get(8..)?)?,
        Some(found) => (found.trailing_zeros() / 8) as usize,
    };
    let (value, rest) = text.split_at_checked(len)?;
    Some((value, rest.strip_prefix(b"\"")?))
}

/// The high bit of the first quote or backslash in eight bytes, and perhaps of bytes after it.
#[inline]
fn marks(word: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & (LOW << 7);
    zeros(word ^ (LOW * 0x22)) | zeros(word ^ (LOW * 0x5C))
}

/// An id in ASCII, and what follows its quote.
#[inline]
pub(super) fn audit_id(text: &[u8]) -> Option<(&[u8], &[u8])> {
    const UUID: usize = 36;
    if let Some((uuid, rest)) = text.split_first_chunk::<UUID>()
        && let Some(rest) = rest.strip_prefix(b"\"")
    {
        let word = |at: usize| {
            let word = uuid.get(at..).and_then(|rest| rest.first_chunk());
            u64::from_le_bytes(word.copied().unwrap_or_default())
        };
        let odd = [0, 8, 16, 24, UUID - 8]
            .map(word)
            .iter()
            .fold(0, |odd, word| odd | marks(*word) | word);
        if odd & 0x8080_8080_8080_8080 == 0 {
            return Some((uuid, rest));
        }
    }
    let (id, rest) = plain(text)?;
    (!id.is_empty() && id.is_ascii()).then_some((id, rest))
}

/// A long text, with its escapes, up to a quote that surely ends it; and what follows.
#[inline]
pub(super) fn closed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (value, rest) = text.split_at_checked(memchr(b'"', text)?)?;
    let rest = rest.get(1..)?;
    let surely = rest.first().is_some_and(|next| matches!(next, b',' | b'}'));
    (surely && value.last() != Some(&b'\\')).then_some((value, rest))
}

/// One of the stages that there are, and what follows.
#[inline]
pub(super) fn stage(text: &[u8]) -> Option<(Stage, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"ResponseComplete\"") {
        return Some((Stage::ResponseComplete, rest));
    }
    const STAGES: [Stage; 3] = [Stage::RequestReceived, Stage::ResponseStarted, Stage::Panic];
    STAGES.into_iter().find_map(|stage| {
        let rest = text.strip_prefix(stage.word().as_bytes())?;
        Some((stage, rest.strip_prefix(b"\"")?))
    })
}

/// The code of a status, and what follows.
#[inline]
pub(super) fn status(text: &[u8]) -> Option<(Option<u16>, &[u8])> {
    if let Some(rest) = text.strip_prefix(br#"{"metadata":{},"code":"#)
        && let Some((&[a, b, c, b'}'], rest)) = rest.split_first_chunk()
        && [a, b, c].iter().all(u8::is_ascii_digit)
    {
        let code = [a, b, c]
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        return Some((Some(code), rest));
    }
    text.starts_with(b"{").then_some(())?;
    let (status, rest) = text.split_at_checked(nested_end(text, 0).ok()?)?;
    Some((code_of(status), rest))
}

pub(super) fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    let value = Value {
        raw,
        kind: ValueKind::String,
    };
    value.text_lossy()
}
