//! capnslog, etcd's own encoding up to 3.4: `2021-05-25 03:59:18.123456 W | pkg: message`.
//!
//! At debug level the source position stands before the level. People cut off the date, the hour
//! or the minute; such a record has no time of its own.

use std::borrow::Cow;

use memchr::memmem;

use crate::logs::needle;
use crate::logs::record::{Encoding, Fields, Level, TimeSource};
use crate::logs::timestamp::{TimeCache, clock};

use super::{Parsed, Reference};

/// `X | ` after a time: the level and how much it takes.
const SEPARATOR: usize = 4;

/// Whether a capnslog header stands here.
pub fn starts(text: &[u8]) -> bool {
    header(text, &mut TimeCache::default()).is_some()
}

/// Reads a line.
pub fn parse<'a>(
    text: &'a [u8],
    reference: &Reference,
    cache: &mut TimeCache,
) -> Option<Parsed<'a>> {
    let head = header(text, cache)?;
    let rest = text.get(head.len..)?;
    let (logger, msg) = package(rest);
    let (msg, repeats) = merged(msg);
    let (time, time_source) = match head.time {
        Some(local) => match reference.zone(local) {
            (time, true) => (Some(time), TimeSource::Completed),
            (time, false) => (Some(time), TimeSource::Inner),
        },
        None => (None, TimeSource::None),
    };
    Some(Parsed {
        encoding: Encoding::Capnslog,
        level: head.level,
        time,
        time_source,
        logger,
        caller: head.caller,
        msg: Cow::Borrowed(msg),
        fields: Fields::None,
        repeats,
    })
}

/// Where a second record starts that somebody's viewer glued to the end of the first.
pub fn glued(text: &[u8]) -> Option<usize> {
    /// `2017-04-21 17:05:43.088071 W`: what stands before the bar.
    const HEAD: usize = 28;
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| needle::BAR.find(rest)) {
        let bar = from + found;
        if let Some(at) = bar.checked_sub(HEAD).filter(|at| *at > 0)
            && let Some(head) = header(text.get(at..)?, &mut TimeCache::default())
            && head.time.is_some()
        {
            return Some(at);
        }
        from = bar + 3;
    }
    None
}

struct Header<'a> {
    time: Option<crate::clock::Timestamp>,
    level: Level,
    caller: &'a [u8],
    len: usize,
}

fn header<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Header<'a>> {
    let (time, mut len) = time(text, cache)?;
    let mut rest = text.get(len..)?.strip_prefix(b" ")?;
    len += 1;
    let mut caller: &[u8] = b"";
    if let Some(inner) = rest.strip_prefix(b"[") {
        // `[v3_server.go:128] ` at debug level.
        let end = memmem::find(inner.get(..inner.len().min(120))?, b"] ")?;
        caller = inner.get(..end)?;
        len += end + 3;
        rest = inner.get(end + 2..)?;
    }
    let (&[letter, b' ', b'|', b' '], _) = rest.split_first_chunk::<SEPARATOR>()? else {
        return None;
    };
    let level = match letter {
        b'C' => Level::Fatal,
        b'E' => Level::Error,
        b'W' => Level::Warn,
        b'N' => Level::Notice,
        b'I' => Level::Info,
        b'D' => Level::Debug,
        b'T' => Level::Trace,
        _ => return None,
    };
    Some(Header {
        time,
        level,
        caller,
        len: len + SEPARATOR,
    })
}

/// The time, whole or with its beginning cut off, always with six digits of fraction.
fn time(text: &[u8], cache: &mut TimeCache) -> Option<(Option<crate::clock::Timestamp>, usize)> {
    if text.get(10) == Some(&b' ')
        && let Some(stamp) = cache.iso(text)
    {
        return (stamp.digits == 6 && !stamp.zoned).then_some((Some(stamp.time), stamp.len));
    }
    if let Some((_, len)) = clock(text) {
        return (len == 15).then_some((None, len));
    }
    // `10.237579` and `:41.942121`.
    let from = usize::from(text.first() == Some(&b':'));
    let (&[s1, s2, b'.', ref fraction @ ..], _) = text.get(from..)?.split_first_chunk::<9>()?
    else {
        return None;
    };
    let digits = s1.is_ascii_digit() && s2.is_ascii_digit();
    (digits && fraction.iter().all(u8::is_ascii_digit)).then_some((None, from + 9))
}

/// Splits `pkg: message`; a message without package stays whole.
fn package(text: &[u8]) -> (&[u8], &[u8]) {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'.');
    let end = text.iter().position(|b| !allowed(b));
    match end.and_then(|end| text.split_at_checked(end)) {
        Some((package, rest)) if !package.is_empty() => match rest.strip_prefix(b": ") {
            Some(msg) => (package, msg),
            None => (b"", text),
        },
        _ => (b"", text),
    }
}

/// Takes ` [merged 12 repeated lines in 1s]` off the end.
fn merged(msg: &[u8]) -> (&[u8], u64) {
    let none = (msg, 1);
    if !msg.ends_with(b"s]") {
        return none;
    }
    let Some(at) = memmem::rfind(msg, b" [merged ") else {
        return none;
    };
    let count = || {
        let rest = msg.get(at + 9..)?;
        let len = rest.iter().position(|b| !b.is_ascii_digit())?;
        rest.get(len..)?.strip_prefix(b" repeated lines in ")?;
        std::str::from_utf8(rest.get(..len)?).ok()?.parse().ok()
    };
    match (count(), msg.get(..at)) {
        (Some(count), Some(msg)) => (msg, count),
        _ => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn read<'a>(text: &'a str, reference: &Reference) -> Option<Parsed<'a>> {
        parse(text.as_bytes(), reference, &mut TimeCache::default())
    }

    #[test]
    fn headers_whole_and_cut() {
        let none = Reference::default();
        let cases = [
            (
                "2021-05-14 16:47:40.070062 W | wal: sync duration of 2.004393954s",
                (
                    Level::Warn,
                    "wal",
                    "",
                    "sync duration of 2.004393954s",
                    true,
                ),
            ),
            (
                "2018-04-13 19:32:27.331234 [v3_server.go:128] D | etcdserver/api/v3rpc: x",
                (
                    Level::Debug,
                    "etcdserver/api/v3rpc",
                    "v3_server.go:128",
                    "x",
                    true,
                ),
            ),
            (
                "14:13:31.491815 I | raft: y",
                (Level::Info, "raft", "", "y", false),
            ),
            ("10.237579 N | a: y", (Level::Notice, "a", "", "y", false)),
            (":41.942121 C | a: y", (Level::Fatal, "a", "", "y", false)),
            (
                "2021-05-14 16:47:40.070062 E | no package here: z",
                (Level::Error, "", "", "no package here: z", true),
            ),
        ];
        for (text, (level, logger, caller, msg, timed)) in cases {
            let parsed = read(text, &none).expect(text);
            assert_eq!(parsed.level, level, "{text}");
            assert_eq!(parsed.logger, logger.as_bytes(), "{text}");
            assert_eq!(parsed.caller, caller.as_bytes(), "{text}");
            assert_eq!(&*parsed.msg, msg.as_bytes(), "{text}");
            assert_eq!(parsed.time.is_some(), timed, "{text}");
        }
        for text in [
            "2021-05-14 16:47:40.070062 X | wal: no",
            "2021-05-14 16:47:40.07 W | wal: no",
            "2021-05-14T16:47:40.070062Z W | wal: no",
            "99.237579 | no",
        ] {
            assert!(read(text, &none).is_none(), "{text}");
        }
    }

    #[test]
    fn repeats_are_counted() {
        let text = "2021-05-14 16:47:40.070062 W | rafthttp: lost [merged 12 repeated lines in 1s]";
        let parsed = read(text, &Reference::default()).expect("parses");
        assert_eq!((&*parsed.msg, parsed.repeats), (&b"lost"[..], 12));
    }

    #[test]
    fn two_records_on_one_line_are_found() {
        let text = b"2017-04-21 17:05:43.088034 W | etcdserver: a [2 ms] 2017-04-21 17:05:43.088071 W | etcdserver: b";
        let at = glued(text).expect("glued");
        assert!(starts(&text[at..]));
        assert_eq!(
            glued(b"2017-04-21 17:05:43.088034 W | etcdserver: a | b"),
            None
        );
    }

    #[test]
    fn local_time_is_moved_by_the_wrapper() {
        let reference = Reference {
            outer: Timestamp::parse("2020-05-24T08:40:25Z"),
            outer_zoned: true,
            ..Reference::default()
        };
        let parsed = read("2020-05-24 03:40:24.738911 W | a: b", &reference).expect("parses");
        assert_eq!(parsed.time, Timestamp::parse("2020-05-24T08:40:24.738911Z"));
        assert_eq!(parsed.time_source, TimeSource::Completed);
        // Twenty minutes are a lag or a gap, not a zone.
        let parsed = read("2020-05-24 08:20:24.738911 W | a: b", &reference).expect("parses");
        assert_eq!(parsed.time_source, TimeSource::Inner);
    }
}
