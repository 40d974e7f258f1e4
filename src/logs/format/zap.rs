//! zap JSON by position: the form that etcd itself writes, which is nearly every line of a big
//! log. Whatever differs (another key order, spaces, damage) goes to [`super::object`].

use std::borrow::Cow;

use memchr::memchr;

use crate::logs::fields::unescape;
use crate::logs::needle::near2;
use crate::logs::record::{Encoding, Fields, Level, TimeSource};
use crate::logs::timestamp::{TimeCache, epoch};

use super::Parsed;

/// How every genuine line starts.
pub const HEAD: &[u8; 10] = b"{\"level\":\"";

/// Reads `{"level":"…","ts":…,["logger":"…",]["caller":"…",]"msg":"…"…}`. The caller has seen
/// that the text ends with `}`.
#[inline]
pub fn parse<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Parsed<'a>> {
    let rest = text.strip_prefix(HEAD)?;
    let (level, rest) = level(rest)?;
    let rest = rest.strip_prefix(b"\",\"ts\":")?;
    let (time, mut rest) = match rest.split_first()? {
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
    Some(Parsed {
        encoding: Encoding::ZapJson,
        level,
        time: Some(time),
        time_source: TimeSource::Inner,
        logger,
        caller,
        msg,
        fields: Fields::Json(rest),
        repeats: 1,
    })
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
        parse(text.as_bytes(), &mut TimeCache::default())
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
