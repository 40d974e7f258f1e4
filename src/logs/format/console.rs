//! zap console (etcd 3.6+ `--log-format=console`, and the operators' development mode):
//! `ts TAB level TAB [logger TAB] caller TAB msg TAB {"took": "48.411µs"}`. Older operators have
//! seconds since the epoch, and any of zap's levels below its own ones as a number.

use std::borrow::Cow;

use memchr::memchr;

use crate::clock::Timestamp;
use crate::logs::record::{Encoding, Fields, Level, TimeSource};
use crate::logs::timestamp::{TimeCache, epoch};

use super::{Parsed, level_word};

/// Whether a console header stands here.
pub fn starts(text: &[u8]) -> bool {
    header(text, &mut TimeCache::default()).is_some()
}

/// Reads a line whose columns are separated by tabs.
pub fn parse<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Parsed<'a>> {
    let (time, level, mut rest) = header(text, cache)?;
    let mut columns: [&[u8]; 3] = [b""; 3];
    let mut count = 0;
    let mut fields = Fields::None;
    loop {
        if count > 0 && rest.first() == Some(&b'{') {
            fields = Fields::Json(rest);
            break;
        }
        let end = memchr(b'\t', rest).unwrap_or(rest.len());
        // A message may hold tabs: the third column takes what is left of it.
        let end = if count == 2 { message_end(rest) } else { end };
        *columns.get_mut(count)? = rest.get(..end)?;
        count += 1;
        match rest.get(end + 1..) {
            Some(next) if count < 3 || next.first() == Some(&b'{') => rest = next,
            _ => break,
        }
        if count == 3 {
            fields = Fields::Json(rest);
            break;
        }
    }
    let (logger, caller, msg): (&[u8], &[u8], &[u8]) = match (count, columns) {
        (1, [msg, ..]) => (b"", b"", msg),
        (2, [first, msg, _]) if is_caller(first) => (b"", first, msg),
        (2, [first, msg, _]) => (first, b"", msg),
        (3, [logger, caller, msg]) if is_caller(caller) => (logger, caller, msg),
        // `caller msg-with-a-tab`.
        (3, [caller, msg, _]) if is_caller(caller) => (b"", caller, msg),
        (_, [logger, msg, _]) => (logger, b"", msg),
    };
    Some(Parsed {
        encoding: Encoding::ZapConsole,
        level,
        time: Some(time),
        time_source: TimeSource::Inner,
        logger,
        caller,
        msg: Cow::Borrowed(msg),
        fields,
        repeats: 1,
    })
}

type Head<'a> = (Timestamp, Level, &'a [u8]);

fn header<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Head<'a>> {
    let (time, len) = match cache.iso(text) {
        Some(stamp) => (stamp.time, stamp.len),
        None => seconds(text)?,
    };
    let rest = text.get(len..)?.strip_prefix(b"\t")?;
    let end = memchr(b'\t', rest.get(..rest.len().min(24))?)?;
    let level = zap_level(uncolour(rest.get(..end)?))?;
    Some((time, level, rest.get(end + 1..)?))
}

/// `1.673954235507425e+09` before a tab: seconds since the epoch as Go prints a large number.
fn seconds(text: &[u8]) -> Option<(Timestamp, usize)> {
    if text.get(1) != Some(&b'.') {
        return None;
    }
    let len = memchr(b'\t', text.get(..text.len().min(26))?)?;
    let number = text.get(..len)?;
    number.ends_with(b"e+09").then_some(())?;
    Some((epoch(number)?, len))
}

/// A level's word, and `lvl-3` or `LEVEL(-3)` for verbosity that has none.
fn zap_level(word: &[u8]) -> Option<Level> {
    if let Some(level) = level_word(word) {
        return Some(level);
    }
    let below = word.strip_prefix(b"lvl-").or_else(|| {
        let word = word
            .strip_prefix(b"LEVEL(-")
            .or(word.strip_prefix(b"Level(-"));
        word?.strip_suffix(b")")
    })?;
    (!below.is_empty() && below.iter().all(u8::is_ascii_digit)).then_some(Level::Debug)
}

/// zap's coloured levels: `ESC[34mINFO ESC[0m`.
fn uncolour(word: &[u8]) -> &[u8] {
    let word = match word.strip_prefix(b"\x1b[") {
        Some(rest) => memchr(b'm', rest)
            .and_then(|at| rest.get(at + 1..))
            .unwrap_or(word),
        None => word,
    };
    memchr(0x1b, word)
        .and_then(|at| word.get(..at))
        .unwrap_or(word)
}

fn message_end(text: &[u8]) -> usize {
    memchr::memmem::find(text, b"\t{").unwrap_or(text.len())
}

/// `etcdserver/server.go:123`.
fn is_caller(text: &[u8]) -> bool {
    memchr::memmem::rfind(text, b".go:").is_some_and(|at| {
        text.get(at + 4..)
            .is_some_and(|line| !line.is_empty() && line.iter().all(u8::is_ascii_digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_with_and_without_logger_and_fields() {
        let cases = [
            (
                "2026-11-21T20:04:01.770441Z\twarn\tembed/config.go:1207\tRunning both\t{\"took\": \"48.411µs\"}",
                (Level::Warn, "", "embed/config.go:1207", "Running both", 1),
            ),
            (
                "2026-11-21T20:04:01.770441Z\tinfo\traft\tv3/raft.go:970\tx became leader",
                (Level::Info, "raft", "v3/raft.go:970", "x became leader", 0),
            ),
            (
                "2026-11-21T20:04:01.770Z\tINFO\tcontroller.bmh\treconciling\t{\"a\": 1, \"b\": \"c\"}",
                (Level::Info, "controller.bmh", "", "reconciling", 2),
            ),
            (
                "2026-11-21T20:04:01.770Z\t\x1b[31mERROR\x1b[0m\tonly text",
                (Level::Error, "", "", "only text", 0),
            ),
            (
                "2026-11-21T20:04:01.770Z\tinfo\traft\tv3/raft.go:970\tm\t{\"a\": 1}",
                (Level::Info, "raft", "v3/raft.go:970", "m", 1),
            ),
        ];
        for (text, (level, logger, caller, msg, fields)) in cases {
            let parsed = parse(text.as_bytes(), &mut TimeCache::default()).expect(text);
            assert_eq!(parsed.level, level, "{text}");
            assert_eq!(parsed.logger, logger.as_bytes(), "{text}");
            assert_eq!(parsed.caller, caller.as_bytes(), "{text}");
            assert_eq!(&*parsed.msg, msg.as_bytes(), "{text}");
            assert_eq!(parsed.fields.iter().count(), fields, "{text}");
        }
        assert!(!starts(b"2026-11-21T20:04:01.770441Z\tnothing\tx"));
        let text =
            b"1.673954235507425e+09\tERROR\tsetup\tproblem running manager\t{\"error\": \"x\"}";
        let parsed = parse(text, &mut TimeCache::default()).expect("a line");
        assert_eq!(parsed.time, Timestamp::parse("2023-01-17T11:17:15.507425Z"));
        assert_eq!((parsed.level, parsed.logger), (Level::Error, &b"setup"[..]));
        assert_eq!(&*parsed.msg, b"problem running manager");
        for level in ["lvl-3", "LEVEL(-3)", "DEBUG"] {
            let text = format!("2022-03-14T13:44:25.433Z\t{level}\tklog\tx");
            let parsed = parse(text.as_bytes(), &mut TimeCache::default()).expect("a line");
            assert_eq!(parsed.level, Level::Debug, "{level}");
        }
        for text in [
            "1.673954235507425\tERROR\tx",
            "1.673954235507425e+09\tnothing\tx",
            "1.673954235507425e+09 ERROR x",
            "2022-03-14T13:44:25.433Z\tlvl-\tx",
        ] {
            assert!(!starts(text.as_bytes()), "{text}");
        }
        assert!(!starts(b"2026-11-21T20:04:01.770441Z stderr F x"));
    }
}
