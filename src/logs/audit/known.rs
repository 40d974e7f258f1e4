//! Audit lines like those before them, read by comparing.
//!
//! The users, programs, resources, queries and annotations of an audit log are few and come again
//! and again. So a line is walked from one expected place to the next; the long parts are compared
//! with those of earlier lines instead of being read, and get the number they were given then.
//! Whatever is not as expected, and whatever needs to be read in full, is left to [`super::parse`]
//! with the same result.

use std::borrow::Cow;

use memchr::memchr;

use crate::catalog::resources::KeyParts;
use crate::clock::Timestamp;
use crate::logs::format::json::nested_end;
use crate::logs::needle::near2;
use crate::logs::record::{Value, ValueKind};

use super::tails::{RECEIVED, STAGE, TIME, Tails, is_plain_end};
use super::{AuditRecord, List, Stage, code_of, inner, list_of, resolved, tail, timestamp};

/// How many texts of a kind are remembered.
const TEXTS: usize = 512;
/// How many queries.
const QUERIES: usize = 64;
/// Where nothing is remembered.
const NOWHERE: usize = usize::MAX;
/// Longest text that is remembered.
const LONGEST: usize = 2048;

/// What a request does, where it is one of the API's own verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One object.
    Get,
    /// Many.
    List,
    /// Changes as they come.
    Watch,
    /// A new object.
    Create,
    /// A whole object anew.
    Update,
    /// A part of one.
    Patch,
    /// One object less.
    Delete,
    /// Many.
    DeleteCollection,
}

impl Verb {
    /// The word of the log.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"get" => Verb::Get,
            b"list" => Verb::List,
            b"watch" => Verb::Watch,
            b"create" => Verb::Create,
            b"update" => Verb::Update,
            b"patch" => Verb::Patch,
            b"delete" => Verb::Delete,
            b"deletecollection" => Verb::DeleteCollection,
            _ => return None,
        })
    }
}

/// Who asks for what: equal numbers are equal texts, but not the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The user, with groups and all.
    pub user: u32,
    /// The program.
    pub agent: u32,
    /// Resource and group.
    pub resource: u32,
    /// What for.
    pub verb: Verb,
}

/// The texts of who asks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedTexts<'k> {
    /// User name; empty when there is none.
    pub user: &'k str,
    /// Program; empty when it is not named.
    pub agent: &'k str,
    /// `resource.group`
    pub resource: &'k str,
}

/// A record of a request for a resource. It names no latency of parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownRecord<'a> {
    /// The request's id, without escapes.
    pub audit_id: &'a [u8],
    /// Where in its life it is.
    pub stage: Stage,
    /// Who asks for what.
    pub asked: Asked,
    /// Namespace, in ASCII; `None` also for a resource that has none.
    pub namespace: Option<&'a [u8]>,
    /// Name, in ASCII.
    pub name: Option<&'a [u8]>,
    /// HTTP status.
    pub code: Option<u16>,
    /// When the request arrived.
    pub received: Option<Timestamp>,
    /// When the stage was reached.
    pub stage_time: Option<Timestamp>,
    /// For LISTs, what they asked for.
    pub list: Option<List>,
    /// Where user, program and resource are remembered.
    places: [usize; 3],
}

impl KnownRecord<'_> {
    /// As [`AuditRecord::latency_ns`].
    pub fn latency_ns(&self) -> Option<u64> {
        if self.stage != Stage::ResponseComplete || self.asked.verb == Verb::Watch {
            return None;
        }
        let us = self.stage_time?.since_us(self.received?);
        u64::try_from(us).ok()?.checked_mul(1_000)
    }
}

/// What earlier lines said.
#[derive(Clone, Debug, Default)]
pub struct Known {
    users: Texts,
    agents: Texts,
    resources: Texts,
    /// Queries of LISTs.
    queries: Vec<(Box<[u8]>, Option<List>)>,
    tails: Tails,
    minute: Minute,
}

impl Known {
    /// Reads a line. `None` when it is not as expected: [`super::parse`] then tells what it is.
    pub fn read<'a>(&mut self, line: &'a [u8]) -> Option<KnownRecord<'a>> {
        let rest =
            line.strip_prefix(br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":""#)?;
        let rest = match rest.strip_prefix(br#"Metadata","auditID":""#) {
            Some(rest) => rest,
            None => plain(rest)?.1.strip_prefix(br#","auditID":""#)?,
        };
        let (audit_id, rest) = audit_id(rest)?;
        let (stage, rest) = stage(rest.strip_prefix(br#","stage":""#)?)?;
        let (uri, rest) = closed(rest.strip_prefix(br#","requestURI":""#)?)?;
        let (verb, rest) = plain(rest.strip_prefix(br#","verb":""#)?)?;
        let verb = Verb::of(verb)?;
        let ((user, user_at), mut rest) = self.users.object(rest.strip_prefix(br#","user":"#)?)?;
        if let Some(after) = rest.strip_prefix(br#","impersonatedUser":"#) {
            (_, rest) = self.users.object(after)?;
        }
        (_, rest) = plain(rest.strip_prefix(br#","sourceIPs":[""#)?)?;
        while let Some(more) = rest.strip_prefix(b",\"") {
            (_, rest) = plain(more)?;
        }
        rest = rest.strip_prefix(b"]")?;
        let (mut agent, mut agent_at) = (0, NOWHERE);
        if let Some(after) = rest.strip_prefix(br#","userAgent":""#) {
            ((agent, agent_at), rest) = self.agent(after, user_at)?;
        }
        let (object, rest) = Object::read(rest.strip_prefix(br#","objectRef":{"resource":""#)?)?;
        let (resource, resource_at) = self.resource(&object)?;
        let flag = |known: &Text| known.flag;
        let namespaced = self.resources.slots.get(resource_at).is_some_and(flag);
        let (code, rest) = match rest.strip_prefix(br#","responseStatus":"#) {
            Some(after) => status(after)?,
            None => (None, rest),
        };
        let (received, stage_time) = self.times(line, rest)?;
        let list = match verb {
            Verb::List => Some(self.list(uri)?),
            _ => None,
        };
        Some(KnownRecord {
            audit_id,
            stage,
            asked: Asked {
                user,
                agent,
                resource,
                verb,
            },
            namespace: object.namespace.filter(|_| namespaced),
            name: object.name,
            code,
            received,
            stage_time,
            list,
            places: [user_at, agent_at, resource_at],
        })
    }

    /// The texts of what the last line that was read asked.
    pub fn texts(&self, record: &KnownRecord<'_>) -> AskedTexts<'_> {
        let [user, agent, resource] = record.places;
        AskedTexts {
            user: self.users.value(user),
            agent: self.agents.value(agent),
            resource: self.resources.value(resource),
        }
    }

    /// The number of a program and where it is remembered; and what follows its quote. Most users
    /// have one program.
    #[inline]
    fn agent<'a>(&mut self, text: &'a [u8], user_at: usize) -> Option<((u32, usize), &'a [u8])> {
        let at = self
            .users
            .slots
            .get(user_at)
            .map_or(NOWHERE, |user| user.agent);
        if let Some(known) = self.agents.slots.get(at)
            && let Some(rest) = text.strip_prefix(&*known.text)
            && let Some(rest) = rest.strip_prefix(b"\"")
            && rest.starts_with(b",")
        {
            // No text of a program holds a quote, so it ends at this one.
            return Some(((known.number, at), rest));
        }
        let (agent, rest) = closed(text)?;
        let known = self.agents.number(agent, b"", || {
            Some((unescaped(agent).into_owned().into_boxed_str(), false))
        })?;
        if let Some(user) = self.users.slots.get_mut(user_at) {
            user.agent = known.1;
        }
        Some((known, rest))
    }

    /// The number of a resource and where it is remembered, with whether its objects may have a
    /// namespace.
    fn resource(&mut self, object: &Object<'_>) -> Option<(u32, usize)> {
        let (resource, group) = (object.resource, object.group);
        self.resources.number(resource, group, || {
            let mut parts = KeyParts {
                resource: Cow::Borrowed(std::str::from_utf8(resource).ok()?),
                group: Some(Cow::Borrowed(std::str::from_utf8(group).ok()?)),
                ..KeyParts::default()
            };
            // Without a resource, the path says more.
            if resource.is_empty() {
                return None;
            }
            parts = resolved(parts);
            let namespaced = parts.builtin.is_none_or(|builtin| builtin.namespaced);
            let name = parts.resource_group().into_owned().into_boxed_str();
            Some((name, namespaced))
        })
    }

    /// What a LIST asked for.
    fn list(&mut self, uri: &[u8]) -> Option<List> {
        let unknown = || list_of(&unescaped(uri));
        let Some(at) = memchr(b'?', uri) else {
            return Some(unknown());
        };
        let query = uri.get(at..)?;
        // Behind a scheme and a host, another question mark may begin the query.
        if query.len() > LONGEST || memchr(b':', uri).is_some() || !query.is_ascii() {
            return Some(unknown());
        }
        if self.queries.is_empty() {
            self.queries.resize(QUERIES, (Box::default(), None));
        }
        let slot = self.queries.get_mut(place(hash(query), QUERIES))?;
        match slot.1 {
            Some(list) if *slot.0 == *query => Some(list),
            _ => {
                let list = unknown();
                *slot = (query.into(), Some(list));
                Some(list)
            }
        }
    }

    /// The two times of a line, of which `rest` follows what comes before bodies and times.
    fn times(
        &mut self,
        line: &[u8],
        rest: &[u8],
    ) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
        let body =
            rest.starts_with(br#","requestObject":"#) || rest.starts_with(br#","responseObject":"#);
        if let Some(end) = self.tails.known(line)
            && let Some((received, stage, before)) = two_times(line.get(..end)?)
            // Without a body, nothing may stand before the times but a comma.
            && (body || before + rest.len() == line.len() + 1 && rest.starts_with(b","))
            && let Some(received) = self.minute.read(received)
            && let Some(stage) = self.minute.read(stage)
        {
            return Some((Some(received), Some(stage)));
        }
        if body {
            let mut record = AuditRecord::default();
            tail(&mut record, line);
            if record.etcd_ns.is_some() || record.queue_ns.is_some() {
                return None;
            }
            self.tails.learn(line);
            return Some((record.received, record.stage_time));
        }
        let (received, rest) = plain(rest.strip_prefix(br#","requestReceivedTimestamp":""#)?)?;
        let (stage, rest) = plain(rest.strip_prefix(br#","stageTimestamp":""#)?)?;
        if !is_plain_end(rest) {
            return None;
        }
        self.tails.learn(line);
        Some((timestamp(received), timestamp(stage)))
    }
}

/// The times that end here, each in the usual length, and where the first one's name begins.
#[inline]
fn two_times(text: &[u8]) -> Option<(&[u8; TIME], &[u8; TIME], usize)> {
    let (text, stage) = text.split_last_chunk()?;
    let (text, received) = text
        .strip_suffix(STAGE)?
        .strip_suffix(b"\",")?
        .split_last_chunk()?;
    Some((received, stage, text.strip_suffix(RECEIVED)?.len()))
}

/// The minute of the last time that was read.
#[derive(Clone, Debug, Default)]
struct Minute {
    text: [u8; 17],
    start: Option<Timestamp>,
}

impl Minute {
    /// As [`timestamp`], for `2022-05-15T17:50:20.617783Z`.
    #[inline]
    fn read(&mut self, text: &[u8; TIME]) -> Option<Timestamp> {
        let (minute, rest) = text.split_first_chunk::<17>()?;
        if *minute != self.text || self.start.is_none() {
            let mut whole = [b'0'; 20];
            whole.get_mut(..17)?.copy_from_slice(minute);
            *whole.last_mut()? = b'Z';
            self.text = *minute;
            self.start = timestamp(&whole);
        }
        let &[tens, ones, b'.', a, b, c, d, e, f, b'Z'] = rest.first_chunk()? else {
            return None;
        };
        let us = eight_digits([tens, ones, a, b, c, d, e, f])?;
        Some(self.start?.add_us(us))
    }
}

/// The number that eight digits make.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<i64> {
    let digits = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // Anything above 9 reaches the high bit of its byte, or had it.
    let above = digits.wrapping_add(0x7676_7676_7676_7676) | digits;
    if above & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Pairs of digits in every other byte, then pairs of pairs; the sum is in the upper half.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let even = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let odd = (pairs >> 16 & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    i64::try_from(even.wrapping_add(odd) >> 32).ok()
}

/// The object of a request.
struct Object<'a> {
    resource: &'a [u8],
    group: &'a [u8],
    namespace: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
}

impl<'a> Object<'a> {
    /// From behind the quote of the resource, in the order of its fields; and what follows it.
    fn read(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
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
                let (_, rest) = field(rest, br#","subresource":""#)?;
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

/// Texts that were met, each with its number.
#[derive(Clone, Debug, Default)]
struct Texts {
    slots: Vec<Text>,
    last: u32,
}

/// A text, or two without anything between them.
#[derive(Clone, Debug, Default)]
struct Text {
    text: Box<[u8]>,
    /// Where the second one begins.
    cut: usize,
    /// 0 stands for no text.
    number: u32,
    /// What it says.
    value: Box<str>,
    /// Of a resource, whether its objects may have a namespace.
    flag: bool,
    /// Of a user, where its last program is remembered.
    agent: usize,
}

impl Texts {
    /// The number of an object that begins here with a user's name and where it is remembered; and
    /// what follows it.
    #[inline]
    fn object<'a>(&mut self, text: &'a [u8]) -> Option<((u32, usize), &'a [u8])> {
        let name = match text.strip_prefix(br#"{"username":""#) {
            Some(name) => name.get(..memchr(b'"', name)?)?,
            None => b"",
        };
        let place = place(hash(name), TEXTS);
        for place in [place, place ^ 1] {
            // An object ends where its own brackets say, whatever follows.
            if let Some(known) = self.slots.get(place)
                && known.number > 0
                && let Some(rest) = text.strip_prefix(&*known.text)
            {
                return Some(((known.number, place), rest));
            }
        }
        text.starts_with(b"{").then_some(())?;
        let (object, rest) = text.split_at_checked(nested_end(text, 0).ok()?)?;
        let value = inner(object, "username").unwrap_or_default().into_owned();
        let number = self.keep(place, object, b"", (value.into_boxed_str(), false))?;
        Some(((number, place), rest))
    }

    /// The number of two texts and where they are remembered; `value` says what they say.
    #[inline]
    fn number(
        &mut self,
        first: &[u8],
        second: &[u8],
        value: impl FnOnce() -> Option<(Box<str>, bool)>,
    ) -> Option<(u32, usize)> {
        let place = place(hash(first), TEXTS);
        for place in [place, place ^ 1] {
            if let Some(known) = self.slots.get(place)
                && known.number > 0
                && known.cut == first.len()
                && known.text.strip_prefix(first) == Some(second)
            {
                return Some((known.number, place));
            }
        }
        let value = value()?;
        Some((self.keep(place, first, second, value)?, place))
    }

    /// Remembers a text. Two may stand side by side; the older one goes.
    fn keep(
        &mut self,
        place: usize,
        first: &[u8],
        second: &[u8],
        (value, flag): (Box<str>, bool),
    ) -> Option<u32> {
        let text = [first, second].concat();
        // Nothing in a text may look like what stands between the parts of a key.
        let odd = value.contains(char::is_control) || std::str::from_utf8(&text).is_err();
        if odd || text.len() > LONGEST {
            return None;
        }
        if self.slots.is_empty() {
            self.slots.resize(TEXTS, Text::default());
        }
        self.last = self.last.checked_add(1)?;
        let new = Text {
            text: text.into_boxed_slice(),
            cut: first.len(),
            number: self.last,
            value,
            flag,
            agent: NOWHERE,
        };
        if let Ok([here, beside]) = self.slots.get_disjoint_mut([place, place ^ 1]) {
            if here.number > 0 {
                std::mem::swap(here, beside);
            }
            *here = new;
        }
        Some(self.last)
    }

    fn value(&self, place: usize) -> &str {
        self.slots.get(place).map_or("", |known| &known.value)
    }
}

/// A hash of a text's length and ends.
#[inline]
fn hash(text: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(ODD);
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let hash = mix(0, text.len() as u64);
    match (text.first_chunk(), text.split_last_chunk()) {
        (Some(head), Some((rest, last))) => {
            let before = rest.last_chunk().map_or(0, word);
            mix(mix(mix(hash, word(head)), before), word(last))
        }
        _ => text
            .iter()
            .fold(hash, |hash, byte| mix(hash, u64::from(*byte))),
    }
}

/// One of `places`, which is a power of two, for a hash.
#[inline]
fn place(hash: u64, places: usize) -> usize {
    usize::try_from(hash >> (64 - places.ilog2())).unwrap_or(0)
}

/// A text up to the quote that ends it, which must come before any escape; and what follows.
#[inline]
fn plain(text: &[u8]) -> Option<(&[u8], &[u8])> {
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
fn audit_id(text: &[u8]) -> Option<(&[u8], &[u8])> {
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
fn closed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (value, rest) = text.split_at_checked(memchr(b'"', text)?)?;
    let rest = rest.get(1..)?;
    let surely = rest.first().is_some_and(|next| matches!(next, b',' | b'}'));
    (surely && value.last() != Some(&b'\\')).then_some((value, rest))
}

/// One of the stages that there are, and what follows.
#[inline]
fn stage(text: &[u8]) -> Option<(Stage, &[u8])> {
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
fn status(text: &[u8]) -> Option<(Option<u16>, &[u8])> {
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

fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    let value = Value {
        raw,
        kind: ValueKind::String,
    };
    value.text_lossy()
}
