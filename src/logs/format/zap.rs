//! zap JSON by position: the form that etcd itself writes, which is nearly every line of a big
//! log. Whatever differs (another key order, spaces, damage) goes to [`super::object`].

use std::borrow::Cow;

use memchr::memchr;

use crate::clock::Timestamp;
use crate::logs::fields::unescape;
use crate::logs::head::{Head, Message};
use crate::logs::needle::{self, near2};
use crate::logs::record::{Encoding, Fields, Level, TimeSource, ValueKind};
use crate::logs::timestamp::{TimeCache, epoch};

use super::json::JsonFields;
use super::site::{Parts, Sites};
use super::{Parsed, level_word};

/// How every genuine line starts.
pub const HEAD: &[u8; 10] = b"{\"level\":\"";

/// Reads `{"level":"…","ts":…,["logger":"…",]["caller":"…",]"msg":"…"…}`. The caller has seen
/// that the text ends with `}`. `sites` remembers what comes again.
pub fn parse<'a>(text: &'a [u8], cache: &mut TimeCache, sites: &mut Sites) -> Option<Parsed<'a>> {
    begin(text, cache, sites).map(Beginning::parsed)
}

/// What stands before a record's fields.
pub struct Beginning<'a> {
    level: Level,
    time: Timestamp,
    site: Site<'a>,
}

impl<'a> Beginning<'a> {
    /// The same, where the message holds no escapes.
    #[inline]
    pub fn head(&self) -> Option<Head<'a>> {
        let site = &self.site;
        let Cow::Borrowed(msg) = site.msg else {
            return None;
        };
        Some(Head {
            message: site.message,
            site: site.number,
            level: self.level,
            time: Some(self.time),
            logger: site.logger,
            caller: site.caller,
            msg,
            fields: site.rest,
        })
    }

    /// The object from the comma after the message on.
    #[inline]
    pub fn fields(&self) -> &'a [u8] {
        self.site.rest
    }

    /// The record.
    #[inline]
    pub fn parsed(self) -> Parsed<'a> {
        let site = self.site;
        Parsed {
            encoding: Encoding::ZapJson,
            level: self.level,
            time: Some(self.time),
            time_source: TimeSource::Inner,
            logger: site.logger,
            caller: site.caller,
            msg: site.msg,
            fields: Fields::Json(site.rest),
            repeats: 1,
        }
    }
}

/// Reads a record up to its fields, as [`parse`] does.
#[inline(always)]
pub fn begin<'a>(
    text: &'a [u8],
    cache: &mut TimeCache,
    sites: &mut Sites,
) -> Option<Beginning<'a>> {
    let (level, time, rest) = match usual(text, cache) {
        Some(usual) => usual,
        None => level_and_time(text, cache)?,
    };
    let site = site(rest, sites)?;
    Some(Beginning { level, time, site })
}

/// Level, time, and the rest from the next key's letters on, of `warn` and `info` within the second
/// of the record before: fixed places of a text that is long enough.
#[inline]
fn usual<'a>(text: &'a [u8], cache: &TimeCache) -> Option<(Level, Timestamp, &'a [u8])> {
    const BEGIN: u64 = u64::from_le_bytes(*b"{\"level\"");
    const WARN: u64 = u64::from_le_bytes(*b":\"warn\",");
    const INFO: u64 = u64::from_le_bytes(*b":\"info\",");
    /// `"ts":"`, and what comes after it.
    const TS: u64 = u64::from_le_bytes(*b"\"ts\":\"\0\0");
    let (head, rest) = text.split_first_chunk::<22>()?;
    let (begin, level, ts) = (head.first_chunk()?, head.get(8..16)?, head.last_chunk()?);
    let level = match u64::from_le_bytes(level.try_into().ok()?) {
        WARN => Level::Warn,
        INFO => Level::Info,
        _ => return None,
    };
    // The last eight bytes begin with two of the level.
    if u64::from_le_bytes(*begin) != BEGIN || u64::from_le_bytes(*ts) >> 16 != TS {
        return None;
    }
    let (time, len) = cache.again(rest)?;
    let rest = rest.get(len..)?.strip_prefix(b"\",\"")?;
    Some((level, time, rest))
}

fn level_and_time<'a>(
    text: &'a [u8],
    cache: &mut TimeCache,
) -> Option<(Level, Timestamp, &'a [u8])> {
    let rest = text.strip_prefix(HEAD)?;
    let (level, rest) = level(rest)?;
    let rest = rest.strip_prefix(b"\",\"ts\":")?;
    let (time, rest) = match rest.split_first()? {
        (b'"', inner) => {
            let stamp = cache.iso(inner)?;
            let rest = inner.get(stamp.len..)?;
            (stamp.time, rest.strip_prefix(b"\",\"")?)
        }
        _ => {
            let len = memchr(b',', rest)?;
            let (number, rest) = rest.split_at(len);
            (epoch(number)?, rest.strip_prefix(b",\"")?)
        }
    };
    Some((level, time, rest))
}

/// What stands between the time and the fields.
struct Site<'a> {
    logger: &'a [u8],
    caller: &'a [u8],
    msg: Cow<'a, [u8]>,
    message: Option<Message>,
    number: u64,
    rest: &'a [u8],
}

#[inline(always)]
fn site<'a>(text: &'a [u8], sites: &mut Sites) -> Option<Site<'a>> {
    let Some(parts) = sites.find(text) else {
        return new_site(text, sites);
    };
    let part = |(from, to): (u8, u8)| text.get(usize::from(from)..usize::from(to));
    let (logger, caller) = (part(parts.logger)?, part(parts.caller)?);
    if parts.end == 0 {
        let (msg, rest) = message(text.get(usize::from(parts.msg)..)?)?;
        return Some(Site {
            logger,
            caller,
            message: Message::of(logger, caller, &msg),
            msg,
            number: 0,
            rest,
        });
    }
    let rest = text.get(usize::from(parts.end) + 1..)?;
    if !matches!(rest, [b',', b'"', ..] | [b'}', ..]) {
        return None;
    }
    Some(Site {
        logger,
        caller,
        msg: Cow::Borrowed(part((parts.msg, parts.end))?),
        message: parts.message,
        number: parts.number,
        rest,
    })
}

/// Where a part of a text is in it.
fn place(text: &[u8], part: &[u8]) -> Option<(u8, u8)> {
    if part.is_empty() {
        return Some((0, 0));
    }
    let from = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let to = u8::try_from(from + part.len()).ok()?;
    Some((u8::try_from(from).ok()?, to))
}

/// Reads a site that is not known, and remembers it.
fn new_site<'a>(text: &'a [u8], sites: &mut Sites) -> Option<Site<'a>> {
    let mut rest = text;
    let mut logger: &[u8] = b"";
    let mut caller: &[u8] = b"";
    if let Some(inner) = rest.strip_prefix(b"logger\":\"") {
        (logger, rest) = simple(inner)?;
    }
    if let Some(inner) = rest.strip_prefix(b"caller\":\"") {
        (caller, rest) = simple(inner)?;
    }
    let inner = rest.strip_prefix(b"msg\":\"")?;
    let (msg, rest) = message(inner)?;
    let known = Message::of(logger, caller, &msg);
    if let Cow::Borrowed(raw) = msg
        && let (Some(logger), Some(caller), Some((msg, end))) =
            (place(text, logger), place(text, caller), place(text, raw))
        && end > 0
    {
        let parts = Parts {
            logger,
            caller,
            msg,
            end,
            message: known,
            number: 0,
        };
        sites.keep(text, parts);
    }
    Some(Site {
        logger,
        caller,
        msg,
        message: known,
        number: 0,
        rest,
    })
}

/// Longest text before a message whose begin was cut off: a time, a logger and a caller.
const MAX_BEFORE: usize = 256;

/// Reads what is left of a record whose begin was cut off somewhere before its message. What stands
/// before that is one of zap's own fields, so that no other program's object is taken for one.
pub fn torn<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Parsed<'a>> {
    if text.first() == Some(&b'{') || !text.ends_with(b"}") {
        return None;
    }
    let at = needle::MSG_FIELD.find(text).filter(|at| *at < MAX_BEFORE)?;
    let (before, rest) = text.split_at(at);
    let foreign = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'{' | b'[' | b'\\');
    if !matches!(before.last(), None | Some(b',')) || before.iter().any(foreign) {
        return None;
    }
    let (msg, rest) = message(rest.strip_prefix(b"\"msg\":\"")?)?;
    let mut parsed = Parsed {
        encoding: Encoding::ZapJson,
        msg,
        fields: Fields::Json(rest),
        ..Parsed::bare(Encoding::ZapJson, b"")
    };
    // The first field that is whole.
    let from = match before {
        [b'"', letter, ..] if letter.is_ascii_lowercase() => Some(0),
        _ => memchr::memmem::find(before, b",\"").map(|at| at + 1),
    };
    let whole = from.and_then(|from| before.get(from..)).unwrap_or_default();
    for (name, value) in JsonFields::new(whole) {
        match name {
            b"level" => parsed.level = level_word(value.raw).unwrap_or(Level::Unknown),
            b"ts" => {
                parsed.time = match value.kind {
                    ValueKind::Number => epoch(value.raw),
                    _ => cache.iso(value.raw).map(|stamp| stamp.time),
                };
                if parsed.time.is_some() {
                    parsed.time_source = TimeSource::Inner;
                }
            }
            b"logger" => parsed.logger = value.raw,
            b"caller" => parsed.caller = value.raw,
            _ => return None,
        }
    }
    Some(parsed)
}

#[inline]
fn level(text: &[u8]) -> Option<(Level, &[u8])> {
    Some(match text {
        [b'w', b'a', b'r', b'n', rest @ ..] => (Level::Warn, rest),
        [b'i', b'n', b'f', b'o', rest @ ..] => (Level::Info, rest),
        [b'd', b'e', b'b', b'u', b'g', rest @ ..] => (Level::Debug, rest),
        [b'e', b'r', b'r', b'o', b'r', rest @ ..] => (Level::Error, rest),
        _ => return None,
    })
}

/// A text without escapes, and what follows `","`.
#[inline]
fn simple(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = near2(b'"', b'\\', text)?;
    let (value, rest) = text.split_at(len);
    Some((value, rest.strip_prefix(b"\",\"")?))
}

/// The message, and the rest of the object from `,` or `}` on.
#[inline]
fn message(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut at = 0;
    let mut escaped = false;
    loop {
        at += near2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            break;
        }
        escaped = true;
        at += 2;
    }
    let (raw, rest) = text.split_at(at);
    let rest = rest.get(1..)?;
    // A quote that ends the string is followed by the next field or the end.
    if !matches!(rest, [b',', b'"', ..] | [b'}', ..]) {
        return None;
    }
    let msg = if escaped {
        unescape(raw)
    } else {
        Cow::Borrowed(raw)
    };
    Some((msg, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Parsed<'_>> {
        parse(
            text.as_bytes(),
            &mut TimeCache::default(),
            &mut Sites::default(),
        )
    }

    #[test]
    fn genuine_lines_of_every_age() {
        let parsed = read(
            r#"{"level":"warn","ts":"2026-11-21T19:32:28.496Z","caller":"etcdserver/util.go:166","msg":"apply request took too long","took":"101.2ms"}"#,
        )
        .expect("parses");
        assert_eq!(parsed.level, Level::Warn);
        assert_eq!(&*parsed.msg, b"apply request took too long");
        assert_eq!(parsed.caller, b"etcdserver/util.go:166");
        assert_eq!(
            parsed
                .fields
                .get("took")
                .and_then(|took| took.duration_ns()),
            Some(101_200_000)
        );
        let parsed = read(
            r#"{"level":"info","ts":1526587299.0738947,"logger":"raft","caller":"raft/node.go:312","msg":"a \"b\""}"#,
        )
        .expect("parses");
        assert_eq!(parsed.logger, b"raft");
        assert_eq!(&*parsed.msg, b"a \"b\"");
        assert_eq!(parsed.time.map(|time| time.0), Some(1_526_587_299_073_894));
        assert_eq!(parsed.fields.iter().count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn remembered_sites_change_nothing(
            picks in proptest::collection::vec((0..5_usize, 0..6_usize, 0..4_usize, 0..3_usize), 1..40),
        ) {
            let callers = [
                "",
                r#""logger":"raft","caller":"raft/node.go:312","#,
                r#""caller":"etcdserver/server.go:2240","#,
                r#""caller":"etcdserver/server.go:2241","#,
                r#""caller":"","#,
            ];
            let msgs = ["apply request took too long", "a", "", r#"a \"b\""#, "trace[1] range", r#"a" b"#];
            let rests = ["}", r#","took":"1s"}"#, "", r#" ,"x":1}"#];
            let times = [r#""2026-11-21T19:32:28.496Z""#, "1526587299.07", r#""2026-11-21T19:32:29Z""#];
            let mut sites = Sites::default();
            let mut cache = TimeCache::default();
            for (caller, msg, rest, time) in picks {
                let (caller, msg, rest, time) = (callers[caller], msgs[msg], rests[rest], times[time]);
                let line = format!(r#"{{"level":"info","ts":{time},{caller}"msg":"{msg}"{rest}"#);
                let told = parse(line.as_bytes(), &mut cache, &mut sites);
                let alone = parse(line.as_bytes(), &mut TimeCache::default(), &mut Sites::default());
                proptest::prop_assert_eq!(format!("{told:?}"), format!("{alone:?}"));
            }
        }
    }

    #[test]
    fn a_record_without_its_begin_is_told_by_its_message() {
        let line = r#"{"level":"warn","ts":"2026-11-21T19:32:28.496Z","caller":"etcdserver/util.go:166","msg":"apply request took too long","took":"101.2ms","request":"key:\"/a\" "}"#;
        let msg = line.find(r#""msg""#).unwrap();
        for cut in 1..=msg {
            let Some(parsed) = torn(&line.as_bytes()[cut..], &mut TimeCache::default()) else {
                panic!("cut at {cut}");
            };
            assert_eq!(&*parsed.msg, b"apply request took too long");
            let took = parsed
                .fields
                .get("took")
                .and_then(|took| took.duration_ns());
            assert_eq!(took, Some(101_200_000));
            let whole = |field: &str| cut <= line.find(field).unwrap();
            assert_eq!(parsed.level == Level::Warn, whole("\"level\""), "{cut}");
            assert_eq!(parsed.time.is_some(), whole("\"ts\""), "{cut}");
            assert_eq!(
                parsed.caller,
                if whole("\"caller\"") {
                    &b"etcdserver/util.go:166"[..]
                } else {
                    b""
                }
            );
        }
        // Within the message, of another program, or torn at both ends.
        for text in [
            line.get(msg + 5..).unwrap(),
            line,
            r#"id":7,"user":"x","msg":"hello"}"#,
            r#"err":{"a":1},"msg":"hello"}"#,
            r#"some words ,"msg":"hello"}"#,
            r#"util.go:166","msg":"apply request took too long","took":"101"#,
            r#"util.go:166","msg":"apply request took"#,
        ] {
            assert!(
                torn(text.as_bytes(), &mut TimeCache::default()).is_none(),
                "{text}"
            );
        }
    }

    #[test]
    fn other_forms_are_left_to_others() {
        for text in [
            r#"{"ts":"2026-11-21T19:32:28.496Z","level":"warn","msg":"x"}"#,
            r#"{"level":"warn","ts":"...","msg":"x"}"#,
            r#"{"level": "warn","ts":"2026-11-21T19:32:28.496Z","msg":"x"}"#,
            r#"{"level":"warn","ts":"2026-11-21T19:32:28.496Z","msg":"say "x" now"}"#,
            r#"{"level":"warn","ts":"2026-11-21T19:32:28.496Z","took":"x"}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
