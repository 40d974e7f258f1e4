//! The commonest line of a big log by position: a slow range of etcd's zap JSON.
//!
//! Only the exact form that etcd 3.4 to 3.6 writes is taken; whatever differs goes the way of all
//! other records, with the same result. The meaning of a key is looked up by its folder and
//! remembered, so that most lines need no look at the catalogue.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use memchr::{memchr, memrchr};

use crate::catalog::resources::{builtin_by_segment, parse_key};
use crate::logs::head::Head;
use crate::logs::needle::{near, near2, same};
use crate::sys::{BLOCK, places_of};
use crate::units::{eight_digits, leading_digits, parse_go_duration};

use super::hash::short;
use super::table::{Bounded, RowValue};

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

/// A text up to the quote that ends it, which must come before any escape.
#[inline(always)]
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = near(b'"', text)?;
    let (value, rest) = text.split_at(len);
    Some((value, rest.get(1..)?))
}

/// What follows a text that is too long for comparing it without a call.
#[inline(always)]
fn after<'a, const N: usize>(text: &'a [u8], wanted: &[u8; N]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_first_chunk::<N>()?;
    let (blocks, end) = head.as_chunks::<16>();
    let (wanted_blocks, wanted_end) = wanted.as_chunks::<16>();
    let alike = blocks.iter().zip(wanted_blocks).all(|(a, b)| a == b);
    (alike && end == wanted_end).then_some(rest)
}

/// As [`quoted`], of a text that holds no escapes.
#[inline(always)]
fn plain_text(text: &[u8]) -> Option<(&[u8], &[u8])> {
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
    /// `steps`, with its brackets.
    pub steps: &'a [u8],
}

/// Reads a line as the trace of a range up to 3.6, if it is one in exactly the usual form.
pub fn traced_range<'a>(head: &Head<'a>) -> Option<HotTrace<'a>> {
    let text = head.fields;
    let name = head.msg.strip_prefix(b"trace[")?;
    let close = near(b']', name)?;
    if name.get(close..) != Some(b"] range") {
        return None;
    }
    let until = |text: &'a [u8]| near(b';', text).and_then(|end| text.split_at_checked(end));
    let (detail, rest) = quoted(text.strip_prefix(br#","detail":""#)?)?;
    // Times and durations with escapes are none, and steps are read as they stand.
    if memchr(b'\\', detail).is_some() {
        return None;
    }
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
    let (_, rest) = plain_text(text.strip_prefix(br#","start time":""#)?)?;
    let (took, rest) = plain_text(rest.strip_prefix(br#","time spent":""#)?)?;
    let (remote, rest) = plain_text(rest.strip_prefix(br#","remote":""#)?)?;
    let rest = after(
        rest,
        br#","response type":"/etcdserverpb.KV/Range","request count":"#,
    )?;
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
    let slashes = || folder.iter().filter(|b| **b == b'/').count();
    (end + 1 < key.len() && slashes() >= 4).then_some(folder)
}

/// The folder of a key's namespace and the namespace, if it is surely one wherever that folder
/// holds one: see [`is_free`].
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

/// What a key was found to mean, in the numbers of one piece's tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meaning {
    /// Place of the shape in the list of shapes.
    pub shape: u8,
    /// Row of the resource.
    pub resource: u32,
    /// Row of the namespace.
    pub namespace: u32,
    /// Row of the prefix.
    pub prefix: u32,
}

/// Names of rows, by a number that outlives the tables. The rows of one piece are looked up once.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16, FixedState>,
    /// In which piece the row was looked up, and which it is there.
    rows: Vec<(u32, u32)>,
}

impl Names {
    fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u16::try_from(self.names.len()).unwrap_or(NO_NAME);
        self.names.push(name.into());
        self.rows.push((0, 0));
        self.numbers.insert(name.into(), number);
        number
    }

    /// The row of a name in the piece `epoch`.
    #[inline]
    fn row(&mut self, number: u16, epoch: u32, find: impl FnOnce(&str) -> u32) -> u32 {
        let at = usize::from(number);
        let Some(known) = self.rows.get_mut(at) else {
            return NOTHING;
        };
        if known.0 != epoch {
            let Some(name) = self.names.get(at) else {
                return NOTHING;
            };
            *known = (epoch, find(name));
        }
        known.1
    }
}

/// No name, and no row.
const NO_NAME: u16 = u16::MAX;
const NOTHING: u32 = u32::MAX;

/// Small, so that many stand in the processor's cache.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u64,
    /// Whether the names are known: see [`Meanings::set`].
    named: bool,
    shape: u8,
    resource: u16,
    namespace: u16,
    prefix: u16,
}

/// In how many places a meaning may stand.
const WAYS: usize = 4;
/// Those places together, which are one line of the processor's cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([Place; WAYS]);
/// How many sets there are.
const SETS: usize = 4 * 1024;
/// How many names are; with more, all is forgotten.
const NAMES: usize = 4 * 1024;
/// Longest name that is remembered, so that strange keys take no room.
const NAME_MAX: usize = 256;

/// Remembered meanings, by hash, each in one of few places. A thread takes them along from piece
/// to piece ([`Self::renumber`]): a new piece has the same names and only other numbers for them.
#[derive(Clone, Debug)]
pub struct Meanings {
    epoch: u32,
    sets: Vec<Set>,
    resources: Names,
    namespaces: Names,
    prefixes: Names,
}

impl Default for Meanings {
    fn default() -> Self {
        Meanings {
            epoch: 1,
            sets: Vec::new(),
            resources: Names::default(),
            namespaces: Names::default(),
            prefixes: Names::default(),
        }
    }
}

/// The tables that a meaning has rows in.
pub struct Rows<'t, R> {
    /// By resource.
    pub resources: &'t mut Bounded<R>,
    /// By namespace.
    pub namespaces: &'t mut Bounded<R>,
    /// By prefix.
    pub prefixes: &'t mut Bounded<R>,
}

impl Meanings {
    /// The meaning remembered for a hash, which is never 0.
    #[inline]
    pub fn get<R: RowValue>(&mut self, hash: u64, rows: &mut Rows<'_, R>) -> Option<Meaning> {
        let set = self.sets.get(set_of(hash))?;
        let place = *set.0.iter().find(|known| known.hash == hash)?;
        if !place.named {
            return None;
        }
        let epoch = self.epoch;
        Some(Meaning {
            shape: place.shape,
            // In this order new rows were always made.
            resource: self
                .resources
                .row(place.resource, epoch, |name| rows.resources.id(name)),
            namespace: self
                .namespaces
                .row(place.namespace, epoch, |name| rows.namespaces.id(name)),
            prefix: self
                .prefixes
                .row(place.prefix, epoch, |name| rows.prefixes.id(name)),
        })
    }

    /// Remembers a meaning. At first only that it was met: in a log of a million names most are
    /// never met again, and their texts would be kept for nothing.
    pub fn set(
        &mut self,
        hash: u64,
        shape: u8,
        resource: &str,
        namespace: Option<&str>,
        prefix: Option<&str>,
    ) {
        if self.sets.is_empty() {
            self.sets.resize(SETS, Set::default());
        }
        let set = self.sets.get(set_of(hash)).copied().unwrap_or_default();
        let known = set.0.iter().position(|known| known.hash == hash);
        // A place that is free, else one that its hash picks.
        let free = set.0.iter().position(|known| known.hash == 0);
        let way = known.or(free).unwrap_or((hash >> 60) as usize % WAYS);
        let mut new = Place {
            hash,
            ..Place::default()
        };
        let names = [Some(resource), namespace, prefix];
        let short = names
            .into_iter()
            .flatten()
            .all(|name| name.len() <= NAME_MAX);
        if known.is_some() && short {
            let count = [&self.resources, &self.namespaces, &self.prefixes]
                .into_iter()
                .map(|names| names.names.len())
                .max();
            if count.is_some_and(|count| count >= NAMES) {
                *self = Meanings {
                    epoch: self.epoch,
                    ..Meanings::default()
                };
                self.sets.resize(SETS, Set::default());
            }
            let number = |names: &mut Names, name: Option<&str>| {
                name.map_or(NO_NAME, |name| names.number(name))
            };
            new = Place {
                hash,
                named: true,
                shape,
                resource: self.resources.number(resource),
                namespace: number(&mut self.namespaces, namespace),
                prefix: number(&mut self.prefixes, prefix),
            };
        }
        if let Some(set) = self.sets.get_mut(set_of(hash))
            && let Some(place) = set.0.get_mut(way)
        {
            *place = new;
        }
    }

    /// The tables' rows have got new numbers, or the tables are new.
    pub fn renumber(&mut self) {
        match self.epoch.checked_add(1) {
            Some(next) => self.epoch = next,
            None => *self = Meanings::default(),
        }
    }
}

/// The set that a hash may stand in.
#[inline]
fn set_of(hash: u64) -> usize {
    usize::try_from(hash % SETS as u64).unwrap_or(0)
}

/// What a thread remembers from line to line, whatever piece they are of.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What keys mean.
    pub meanings: Meanings,
    /// The last `expected-duration` text and its value: lines hardly ever differ in it.
    pub expected: (Vec<u8>, Option<u64>),
    /// Rows of clients in the present piece, by address and port.
    pub clients: Recent,
    /// Rows of namespaces in the present piece.
    pub namespaces: Recent,
}

impl Memory {
    /// The tables' rows have got new numbers, or the tables are new.
    pub fn renumber(&mut self) {
        self.meanings.renumber();
        self.clients.forget();
        self.namespaces.forget();
    }
}

/// How many texts are remembered.
const TEXTS: usize = 128;
/// Longest text that is: all of a namespace's names but the longest, and of addresses with a port.
const TEXT_MAX: usize = 59;

/// One line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Text {
    text: [u8; TEXT_MAX],
    len: u8,
    row: u32,
}

/// Rows of the texts that were met lately, as they stand in the line.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    rows: Vec<Text>,
}

impl Recent {
    /// The row of a text, if it is remembered.
    #[inline]
    pub fn get(&self, text: &[u8]) -> Option<u32> {
        let known = self.rows.get(slot(text))?;
        let have = known.text.get(..usize::from(known.len))?;
        (known.row != NOTHING && same(have, text)).then_some(known.row)
    }

    /// Remembers a row.
    pub fn put(&mut self, text: &[u8], row: u32) {
        if self.rows.is_empty() {
            let nothing = Text {
                text: [0; TEXT_MAX],
                len: 0,
                row: NOTHING,
            };
            self.rows.resize(TEXTS, nothing);
        }
        if let Some(known) = self.rows.get_mut(slot(text))
            && let Some(room) = known.text.get_mut(..text.len())
        {
            room.copy_from_slice(text);
            (known.len, known.row) = (u8::try_from(text.len()).unwrap_or(0), row);
        }
    }

    /// The rows have got new numbers, or the tables are new.
    pub fn forget(&mut self) {
        self.rows.clear();
    }
}

/// Texts differ most in their last bytes.
#[inline]
fn slot(text: &[u8]) -> usize {
    let last = match (
        text.last_chunk(),
        text.first_chunk::<4>(),
        text.last_chunk::<4>(),
    ) {
        (Some(last), ..) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => text
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let hash = last
        .wrapping_add(text.len() as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(hash >> 32).unwrap_or(0) % TEXTS
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
